/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>

struct text_file {
	struct file file;
	char *text;
	size_t length;
};

static ssize_t self_text(const struct branch *branch, char **text)
{
	const struct sivc *sivc = branch->fs->sivc;
	int n = asprintf(text,
		"domid %" PRIu16 "\n"
		"name %s\n"
		"backend %s\n"
		"endpoint %s\n"
		"ring %" PRIu32 "\n"
		"max_msg %" PRIu32 "\n"
		"spin %" PRIu32 "\n",
		sivc_domid(sivc), sivc_name(sivc), sivc_backend(sivc), branch->name,
		sivc_ring(sivc), sivc_max_msg(sivc), sivc_spin(sivc));

	return n < 0 ? -ENOMEM : n;
}

ssize_t text_of(const struct branch *branch, enum node_kind kind, char **text)
{
	switch (kind) {
	case NODE_SELF:
		return self_text(branch, text);
	case NODE_STATS:
		return sivc_stats(branch->endpoint, text);
	case NODE_ACL:
		return sivc_acl_read(branch->endpoint, text);
	default:
		return -EINVAL;
	}
}

void reply_part(fuse_req_t request, const char *text, size_t length, size_t size, off_t offset)
{
	size_t start = offset < (off_t)length ? (size_t)offset : length;

	if (size > length - start)
		size = length - start;
	fuse_reply_buf(request, size > 0 ? text + start : NULL, size);
}

static int text_open(const struct node *node, int flags, struct file **file)
{
	struct text_file *self = calloc(1, sizeof(*self));
	ssize_t n;

	if (!self)
		return -ENOMEM;
	n = text_of(node->branch, node->kind, &self->text);
	if (n < 0) {
		free(self);
		return (int)n;
	}
	self->length = (size_t)n;
	file_init(&self->file, &text_ops, node, flags);
	self->file.memory = self->length;
	*file = &self->file;
	return 0;
}

static void text_release(struct file *file)
{
	struct text_file *self = container_of(file, struct text_file, file);

	file_deinit(file);
	free(self->text);
	free(self);
}

static void text_read(struct file *file, fuse_req_t request, size_t size, off_t offset,
	const struct fuse_file_info *fi)
{
	const struct text_file *self = container_of(file, struct text_file, file);

	(void)fi;
	reply_part(request, self->text, self->length, size, offset);
}

const struct file_ops text_ops = {
	.open_flags = FOPEN_DIRECT_IO | FOPEN_NOFLUSH, /* its size is not known before */
	.open = text_open,
	.release = text_release,
	.read = text_read,
};
