/* SPDX-License-Identifier: MIT */
/*
 * locks.h: flock(2) and fcntl(2) locks.
 *
 * The kernel's own locks are an inode's, and what is in peers/ has an inode for each opener
 * (tree.h). So the locks of a file are here, one list for all that is called the same: peers/7, by
 * number, by name, in any number of opens.
 *
 * flock and fcntl locks are two kinds that do not see each other, as on Linux.  One of flock is of
 * an open file and is about all of it; one of fcntl is of a process and is about a range. Otherwise
 * they are treated alike.  Who waits gets the lock in the order of waiting, unless others can have
 * theirs without disturbing anybody.  Who waits is let go when it is interrupted or killed.
 * Deadlocks are not looked for.
 *
 * A lock goes when it is taken back, and with the open file that it was set through: when the last
 * copy of its descriptor is closed.  (fcntl locks should go with any close by their process.  They
 * do where the kernel sends a flush; for inbox and peers/N it does not, see messages.c.)
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
