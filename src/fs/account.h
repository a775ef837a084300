/* SPDX-License-Identifier: MIT */
/*
 * account.h: memory of this process that a user of this machine causes.
 *
 * What a handle, a text, a listing, a lock, a write that waits or a message that was read in part
 * takes is charged to the user who has asked for it.  A user who has used up ACCOUNT_MAX gets
 * ENOBUFS, and the others notice nothing.  Root is not limited: it can do worse.  One text that is
 * larger is given to who has nothing else.
 */
#ifndef SIVCFS_ACCOUNT_H
#define SIVCFS_ACCOUNT_H

#include <stddef.h>
#include <sys/types.h>

struct fs;

#define ACCOUNT_MAX ((size_t)8 * 1024 * 1024) /* bytes a user: 16,000 open files, say */

/* -ENOBUFS: the user has too much.  -ENOMEM */
int account_take(struct fs *fs, uid_t uid, size_t bytes);
/* What was taken. */
void account_give(struct fs *fs, uid_t uid, size_t bytes);

#endif
