/* SPDX-License-Identifier: MIT */
#include "default_dir.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *default_dir(void)
{
	const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
	char *dir;
	int length;

	if (geteuid() == 0)
		return strdup("/run/sivc");
	if (runtime && runtime[0] == '/')
		length = asprintf(&dir, "%s/sivc", runtime);
	else
		length = asprintf(&dir, "/dev/shm/sivc-%u", geteuid());
	return length < 0 ? NULL : dir;
}
