/* SPDX-License-Identifier: MIT */
#include "kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "account.h"
#include "fs.h"

/*
 * Bytes of data for which a request's memory, which is FS_REQUEST_MAX, is kept and not copied; and
 * what it counts as at least, so that what is charged is a quarter of what is taken, or more.
 */
#define WORTH_TAKING (FS_REQUEST_MAX / 8)
#define TAKEN_CHARGE (FS_REQUEST_MAX / 4)

int kept_take(struct fs *fs, uid_t uid, const char *data, size_t size, size_t more,
	struct kept *kept, const char **bytes)
{
	bool take = size >= WORTH_TAKING;
	size_t charged = (take ? MAX(size, TAKEN_CHARGE) : size) + more;
	char *memory = take ? fs->request.mem : malloc(size);
	int r = memory ? account_take(fs, uid, charged) : -ENOMEM;

	if (r < 0) {
		if (!take)
			free(memory);
		return r;
	}
	*kept = (struct kept){memory, take, uid, charged};
	if (take) {
		fs->request.mem = fs->spare; /* NULL: libfuse makes another */
		fs->spare = NULL;
		*bytes = data;
	} else {
		*bytes = memcpy(memory, data, size);
	}
	return 0;
}

void kept_give(struct fs *fs, const struct kept *kept)
{
	account_give(fs, kept->uid, kept->charged);
	if (kept->taken && !fs->spare)
		fs->spare = kept->memory;
	else
		free(kept->memory);
}
