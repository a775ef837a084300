/* SPDX-License-Identifier: MIT */
/*
 * kept.h: what a write that waits keeps its bytes in: the request's memory, if that is mostly those
 * bytes, or a copy.
 */
#ifndef SIVCFS_KEPT_H
#define SIVCFS_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct fs;

struct kept {
	char *memory;
	bool taken; /* it was the request's */
	uid_t uid;  /* to whom it is charged */
	size_t charged;
};

/*
 * `data` lies in the memory of the request that is processed, which is that user's.  It is charged,
 * and `more` bytes, which the caller has for the write.  *bytes: where the data lies now.  -ENOMEM;
 * -ENOBUFS: the user has too much (account.h).
 */
int kept_take(struct fs *fs, uid_t uid, const char *data, size_t size, size_t more,
	struct kept *kept, const char **bytes);
/* All zeros: nothing was taken. */
void kept_give(struct fs *fs, const struct kept *kept);

#endif
