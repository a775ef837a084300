/* SPDX-License-Identifier: MIT */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/param.h>

#include "account.h"
#include "locks.h"

/* Bytes: the largest struct of an open file, and what an allocation adds. */
#define HANDLE_COST 512

static const struct file_ops *ops_of(const struct node *node)
{
	switch (node->kind) {
	case NODE_ACL:
		return &acl_ops;
	case NODE_SELF:
	case NODE_STATS:
		return &text_ops;
	case NODE_INBOX:
	case NODE_INBOX_FROM:
		return node->branch->streams ? &stream_inbox_ops : &inbox_ops;
	case NODE_PEER:
		return node->branch->streams ? &stream_peer_ops : &peer_ops;
	default:
		return &listing_ops;
	}
}

void file_init(struct file *file, const struct file_ops *ops, const struct node *node, int flags)
{
	file->ops = ops;
	file->branch = node->branch;
	file->kind = node->kind;
	file->flags = flags;
	branch_get(file->branch);
	TAILQ_INSERT_TAIL(&file->branch->files, file, link);
}

void file_deinit(struct file *file)
{
	locks_release(file);
	account_give(file->branch->fs, file->uid, file->charged);
	TAILQ_REMOVE(&file->branch->files, file, link);
	branch_put(file->branch, 1);
}

void file_release(struct file *file)
{
	file->ops->release(file);
}

struct file *file_of(const struct fuse_file_info *fi)
{
	return (struct file *)(uintptr_t)fi->fh;
}

void reply_error(fuse_req_t request, int r)
{
	fuse_reply_err(request, -r);
}

int reply_bytes(fuse_req_t request, struct iovec *iov, int count, size_t size)
{
	int used = 0;

	for (; used < count && size > 0; used++) {
		iov[used].iov_len = MIN(size, iov[used].iov_len);
		size -= iov[used].iov_len;
	}
	if (used == 1)
		return fuse_reply_buf(request, iov[0].iov_base, iov[0].iov_len);
	return fuse_reply_iov(request, iov, used);
}

/*
 * Not fuse_reply_open(): the struct fuse_file_info of libfuse 3.14 cannot say FOPEN_STREAM. Without
 * it the kernel holds a lock on the file's position while a read or write waits; a second process
 * that has the same open file (a child of a shell, say) then waits for that lock and cannot be
 * killed.
 */
void reply_open(fuse_req_t request, struct file *file)
{
	const struct fuse_open_out out = {
		.fh = (uintptr_t)file,
		.open_flags = file->ops->open_flags,
	};

	pid_t opener = fuse_req_ctx(request)->pid; /* the request is gone after the reply */

	/* Whoever opened it is gone: the kernel did not take it. */
	if (fuse_reply_buf(request, (const char *)&out, sizeof(out)) != 0) {
		file_release(file);
		return;
	}
	file->opened = true;
	file->opener = opener;
}

/* Modes say who; what cannot be written is nobody's to write. */
static int check_access(const struct file_ops *ops, int flags)
{
	return (flags & O_ACCMODE) == O_RDONLY || ops->write ? 0 : -EACCES;
}

/* What the user may not have is not opened; what is known only then is closed again. */
static int open_charged(fuse_req_t request, const struct file_ops *ops, const struct node *node,
	int flags, struct file **result)
{
	const uid_t uid = fuse_req_ctx(request)->uid;
	struct fs *fs = node->branch->fs;
	struct file *file;
	int r = account_take(fs, uid, HANDLE_COST);

	if (r < 0)
		return r;
	r = ops->open(node, flags, &file);
	if (r < 0) {
		account_give(fs, uid, HANDLE_COST);
		return r;
	}
	file->uid = uid;
	file->charged = HANDLE_COST;
	r = account_take(fs, uid, file->memory);
	if (r < 0) {
		file_release(file);
		return r;
	}
	file->charged += file->memory;
	*result = file;
	return 0;
}

void file_open(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *node = node_of(fuse_req_userdata(request), ino);
	const struct file_ops *ops = ops_of(node);
	struct file *file;
	int r = node->branch->endpoint ? check_access(ops, fi->flags) : -ENODEV;

	if (r == 0)
		r = open_charged(request, ops, node, fi->flags, &file);
	if (r < 0) {
		reply_error(request, r);
		return;
	}
	if (ops->poll && (fi->flags & O_ACCMODE) != O_WRONLY)
		tree_endless(node);
	reply_open(request, file);
}

void file_on_flush(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct file *file = file_of(fi);

	locks_flush(node_of(fuse_req_userdata(request), ino), fi->lock_owner);
	if (file->ops->flush && file->branch->endpoint)
		file->ops->flush(file, request);
	else
		reply_error(request, 0);
}

void file_sync(fuse_req_t request, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	struct file *file = file_of(fi);

	(void)ino;
	(void)data_only;
	if (!file->branch->endpoint)
		reply_error(request, -ENODEV);
	else if (file->ops->sync)
		file->ops->sync(file, request);
	else
		reply_error(request, 0);
}

void file_on_release(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	file_release(file_of(fi));
	reply_error(request, 0);
}

void file_read(
	fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct file *file = file_of(fi);

	(void)ino;
	if (!file->branch->endpoint)
		reply_error(request, -ENODEV);
	else
		file->ops->read(file, request, size, offset, fi);
}

void file_write(fuse_req_t request, fuse_ino_t ino, const char *data, size_t size, off_t offset,
	struct fuse_file_info *fi)
{
	struct file *file = file_of(fi);

	(void)ino;
	(void)offset;
	if (!file->branch->endpoint)
		reply_error(request, -ENODEV);
	else
		file->ops->write(file, request, data, size, fi);
}

void file_poll(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi,
	struct fuse_pollhandle *handle)
{
	struct file *file = file_of(fi);

	(void)ino;
	if (file->branch->endpoint && file->ops->poll) {
		file->ops->poll(file, request, fi->poll_events, handle);
		return;
	}
	/* Nothing that is ready here ever stops being so. */
	fuse_reply_poll(request, file->branch->endpoint ? POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM
							: POLLERR | POLLHUP);
	if (handle)
		fuse_pollhandle_destroy(handle);
}
