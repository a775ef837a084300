/* SPDX-License-Identifier: MIT */
/*
 * The FUSE operations.  What is missing here libfuse answers with ENOSYS, which the kernel
 * understands: there are no extended attributes, and copies are made by reading and writing.
 */
#include <errno.h>

#include "dir.h"
#include "file.h"
#include "fs.h"
#include "ioctl.h"
#include "locks.h"
#include "tree.h"

static void fs_init(void *data, struct fuse_conn_info *connection)
{
	(void)data;
	connection->max_write = FS_REQUEST_MAX;
	/*
	 * Without splice: a message is copied once, and small ones are many.  Without ASYNC_DIO: a
	 * read by AIO that waits would be a background request, a few of which hold back every
	 * `release` (acl.c counts on those).
	 */
	connection->want &= ~(unsigned int)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
					    FUSE_CAP_SPLICE_MOVE | FUSE_CAP_ASYNC_DIO);
}

/* Files are not made, named or removed here; a number in peers/ that does not exist is no domain.
 */

static void on_mknod(
	fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
	const struct node *node = node_of(fuse_req_userdata(request), parent);

	(void)name;
	(void)mode;
	(void)device;
	reply_error(request, node->kind == NODE_PEERS ? -ENOENT : -EPERM);
}

static void on_create(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode,
	struct fuse_file_info *fi)
{
	(void)fi;
	on_mknod(request, parent, name, mode, 0);
}

static void on_unlink(fuse_req_t request, fuse_ino_t parent, const char *name)
{
	(void)parent;
	(void)name;
	reply_error(request, -EPERM);
}

static void on_symlink(fuse_req_t request, const char *target, fuse_ino_t parent, const char *name)
{
	(void)target;
	(void)parent;
	(void)name;
	reply_error(request, -EPERM);
}

static void on_link(fuse_req_t request, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	(void)ino;
	(void)parent;
	(void)name;
	reply_error(request, -EPERM);
}

static void on_rename(fuse_req_t request, fuse_ino_t parent, const char *name,
	fuse_ino_t new_parent, const char *new_name, unsigned int flags)
{
	(void)parent;
	(void)name;
	(void)new_parent;
	(void)new_name;
	(void)flags;
	reply_error(request, -EPERM);
}

const struct fuse_lowlevel_ops fs_ops = {
	.init = fs_init,

	.lookup = tree_lookup,
	.forget = tree_forget,
	.forget_multi = tree_forget_multi,
	.getattr = tree_getattr,
	.setattr = tree_setattr,
	.readlink = tree_readlink,

	.opendir = file_open,
	.readdir = dir_read,
	.releasedir = file_on_release,
	.mkdir = dir_mkdir,
	.rmdir = dir_rmdir,

	.open = file_open,
	.flush = file_on_flush,
	.fsync = file_sync,
	.release = file_on_release,
	.read = file_read,
	.write = file_write,
	.poll = file_poll,
	.ioctl = file_ioctl,
	.getlk = locks_getlk,
	.setlk = locks_setlk,
	.flock = locks_flock,

	.mknod = on_mknod,
	.create = on_create,
	.unlink = on_unlink,
	.symlink = on_symlink,
	.link = on_link,
	.rename = on_rename,
};
