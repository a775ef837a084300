/* SPDX-License-Identifier: MIT */
/*
 * locks.h: flock(2) and fcntl(2) locks.
 *
 * The kernel's own locks are an inode's, and each opener of a file in peers/ has an inode of its
 * own (tree.h).  So locks are kept here, one list for each file, whatever name or number it was
 * opened by.
 *
 * flock and fcntl locks do not see each other, as on Linux.  A flock belongs to an open file and is
 * about all of it; an fcntl lock belongs to a process and is about a range.  Otherwise they are
 * treated alike.  Waiters get a lock in order; one that conflicts with nothing held does not wait
 * for those before it.  A waiter that is interrupted or killed is let go.  Deadlocks are not looked
 * for.
 *
 * A lock goes when it is taken back, and when the open file that it was set through is released,
 * with the last copy of its descriptor.  (fcntl locks should go with any close by their process.
 * They do on acl, where the kernel sends a flush; see messages.c.)
 */
#ifndef SIVCFS_LOCKS_H
#define SIVCFS_LOCKS_H

#include "file.h"

struct locks; /* of one kind, of one file */

void locks_flock(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi, int operation);
void locks_getlk(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock);
void locks_setlk(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock,
	int sleep);

/* An open file is released. */
void locks_release(struct file *file);
/* A process closes a descriptor: its fcntl locks of that file go. */
void locks_flush(const struct node *node, uint64_t owner);
/* The endpoint closes: who waits gets ENODEV, and there are no locks any more. */
void locks_close(struct branch *branch);
/* Who was interrupted gets EINTR. */
void locks_finish_interrupted(struct fs *fs);

#endif
