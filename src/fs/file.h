/* SPDX-License-Identifier: MIT */
/*
 * file.h: open files, and how requests are answered.
 *
 * Each kind of file has a const table of what can be done with it; one without `write` cannot be
 * opened for writing.
 * The kernel gives the struct file back with `release`; when it never does, because the connection
 * was cut, the branch has it on its list.
 */
#ifndef SIVCFS_FILE_H
#define SIVCFS_FILE_H

#include <linux/fuse.h>
#include <sys/uio.h>

#include "tree.h"

/* Not in kernel headers before 6.2.  A kernel that does not know it does without. */
#ifndef FOPEN_PARALLEL_DIRECT_WRITES
#define FOPEN_PARALLEL_DIRECT_WRITES (1 << 6)
#endif

struct file {
	/* Set by file_init. */
	const struct file_ops *ops;
	struct branch *branch; /* holds a reference */
	enum node_kind kind;
	int flags;     /* O_* of open; the request's flags are newer */
	size_t memory; /* bytes of a text or listing that it keeps; set by `open` */
	TAILQ_ENTRY(file) link;

	/* Set by file_open: who has opened it, and what of that user's memory it takes. */
	uid_t uid;
	size_t charged;

	/* Set when the kernel has taken it. */
	bool opened;
	pid_t opener;
};

struct file_ops {
	uint32_t open_flags; /* FOPEN_* */
	int (*open)(const struct node *node, int flags, struct file **file);
	void (*release)(struct file *file); /* frees it */

	/* Each replies, now or later.  The endpoint is open. */
	void (*read)(struct file *file, fuse_req_t request, size_t size, off_t offset,
		const struct fuse_file_info *fi);
	void (*write)(struct file *file, fuse_req_t request, const char *data, size_t size,
		const struct fuse_file_info *fi);
	void (*poll)(struct file *file, fuse_req_t request, unsigned int events,
		struct fuse_pollhandle *handle); /* NULL: always ready */

	/* Replies.  A descriptor was closed, perhaps not the last one.  NULL: of no consequence. */
	void (*flush)(struct file *file, fuse_req_t request);
	/* The file was cut to nothing: through this handle.  NULL: of no consequence. */
	void (*truncate)(struct file *file);
	/* Replies, now or later: fsync(2).  NULL: there is nothing to wait for. */
	void (*sync)(struct file *file, fuse_req_t request);
	/* Is there something that a reader of it could read now?  NULL: that is of no consequence.
	 */
	bool (*unread)(struct file *file);
	/* The endpoint is about to close: answer what is held. */
	void (*leave)(struct file *file);
};

extern const struct file_ops acl_ops;          /* acl.c */
extern const struct file_ops text_ops;         /* text.c */
extern const struct file_ops inbox_ops;        /* messages.c */
extern const struct file_ops peer_ops;         /* messages.c */
extern const struct file_ops stream_inbox_ops; /* stream.c */
extern const struct file_ops stream_peer_ops;  /* stream.c */
extern const struct file_ops listing_ops;      /* dir.c */

void file_init(struct file *file, const struct file_ops *ops, const struct node *node, int flags);
void file_deinit(struct file *file);
void file_release(struct file *file);
struct file *file_of(const struct fuse_file_info *fi);

/* The one place where an error becomes an answer.  r: a negative errno, or 0. */
void reply_error(fuse_req_t request, int r);
/* The first `size` bytes of iov[count], which it may shorten.  Not 0: the kernel has not taken
 * them. */
int reply_bytes(fuse_req_t request, struct iovec *iov, int count, size_t size);
/* Or the file is released. */
void reply_open(fuse_req_t request, struct file *file);

void file_open(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi);
void file_on_flush(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi);
void file_sync(fuse_req_t request, fuse_ino_t ino, int data_only, struct fuse_file_info *fi);
void file_on_release(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi);
void file_read(
	fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void file_write(fuse_req_t request, fuse_ino_t ino, const char *data, size_t size, off_t offset,
	struct fuse_file_info *fi);
void file_poll(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi,
	struct fuse_pollhandle *handle);

#endif
