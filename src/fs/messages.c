/* SPDX-License-Identifier: MIT */
#include "messages.h"

#include <errno.h>
#include <linux/fuse.h>
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

/*
 * STREAM: there is no position (see reply_open).  NOFLUSH: closing a descriptor would otherwise
 * wait for the inode's lock, which another process's write may hold.  PARALLEL_DIRECT_WRITES: who
 * shares one open file need not wait for each other's writes, except for those that are longer than
 * any before (the kernel takes them for writes beyond the end of the file).
 */
#define READING_FLAGS (FOPEN_DIRECT_IO | FOPEN_STREAM | FOPEN_NONSEEKABLE | FOPEN_NOFLUSH)
#define WRITING_FLAGS (READING_FLAGS | FOPEN_PARALLEL_DIRECT_WRITES)

const struct file_ops inbox_ops = {
	.open_flags = READING_FLAGS,
	.open = messages_open,
	.release = messages_release,
	.read = messages_read,
	.poll = messages_poll,
	.leave = messages_leave,
};

const struct file_ops peer_ops = {
	.open_flags = WRITING_FLAGS,
	.open = messages_open,
	.release = messages_release,
	.read = messages_read,
	.write = messages_write,
	.poll = messages_poll,
	.leave = messages_leave,
};
