/* SPDX-License-Identifier: MIT */
#include "kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs.h"

/* Of a request's memory, which is FS_REQUEST_MAX. */
#define WORTH_TAKING (FS_REQUEST_MAX / 16)

int kept_take(struct fs *fs, const char *data, size_t size, struct kept *kept, const char **bytes)
{
	if (size >= WORTH_TAKING) {
		*kept = (struct kept){.memory = fs->request.mem, .taken = true};
		*bytes = data;
		fs->request.mem = fs->spare; /* NULL: libfuse makes another */
		fs->spare = NULL;
		return 0;
	}
	*kept = (struct kept){.memory = malloc(size)};
	if (!kept->memory)
		return -ENOMEM;
	memcpy(kept->memory, data, size);
	*bytes = kept->memory;
	return 0;
}

void kept_give(struct fs *fs, const struct kept *kept)
{
	if (kept->taken && !fs->spare)
		fs->spare = kept->memory;
	else
		free(kept->memory);
}
