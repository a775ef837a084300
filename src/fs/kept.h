/* SPDX-License-Identifier: MIT */
/*
 * kept.h: what a write that waits keeps its bytes in: the request's memory, if that is mostly those
 * bytes, or a copy.
 */
#ifndef SIVCFS_KEPT_H
#define SIVCFS_KEPT_H

#include <stdbool.h>
#include <stddef.h>

struct fs;

struct kept {
	char *memory;
	bool taken; /* it was the request's */
};

/* `data` lies in the memory of the request that is processed.  *bytes: where it lies now.  -ENOMEM
 */
int kept_take(struct fs *fs, const char *data, size_t size, struct kept *kept, const char **bytes);
void kept_give(struct fs *fs, const struct kept *kept);

#endif
