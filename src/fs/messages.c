/* SPDX-License-Identifier: MIT */
#include "messages.h"

#include <errno.h>
#include <stdlib.h>

#include "held.h"

static int messages_open(const struct node *node, int flags, struct file **file)
{
	struct messages *self = calloc(1, sizeof(*self));
	int r = 0;

	if (!self)
		return -ENOMEM;
	self->from = SIVC_ANY;
	self->sender = -1;
	if (node->kind == NODE_PEER) {
		self->from = node->domid;
		r = sivc_peer_open(node->branch->endpoint, node->domid);
	}
	if (r < 0) {
		free(self);
		return r;
	}
	TAILQ_INIT(&self->held);
	file_init(&self->file, node->kind == NODE_PEER ? &peer_ops : &inbox_ops, node, flags);
	*file = &self->file;
	return 0;
}

static bool messages_unread(struct file *file)
{
	const struct messages *self = container_of(file, struct messages, file);

	return reading_left(self) > 0 || sivc_queued(file->branch->endpoint, self->from, NULL) > 0;
}

static void messages_leave(struct file *file)
{
	struct messages *self = container_of(file, struct messages, file);

	held_abandon_all(self, -ENODEV);
	poll_notify(self);
}

static void messages_release(struct file *file)
{
	struct messages *self = container_of(file, struct messages, file);

	held_abandon_all(self, -ENODEV); /* none, unless the connection was cut */
	poll_deinit(self);
	reading_put_back(self);
	if (self->from != SIVC_ANY && file->branch->endpoint)
		sivc_peer_close(file->branch->endpoint, (uint16_t)self->from);
	file_deinit(file);
	free(self);
}

const struct file_ops inbox_ops = {
	.open_flags = READING_FLAGS,
	.open = messages_open,
	.release = messages_release,
	.read = messages_read,
	.poll = messages_poll,
	.unread = messages_unread,
	.leave = messages_leave,
};

const struct file_ops peer_ops = {
	.open_flags = WRITING_FLAGS,
	.open = messages_open,
	.release = messages_release,
	.read = messages_read,
	.write = messages_write,
	.poll = messages_poll,
	.unread = messages_unread,
	.leave = messages_leave,
};
