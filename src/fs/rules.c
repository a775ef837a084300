/* SPDX-License-Identifier: MIT */
#include "rules.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "log.h"
#include "options.h"

#define MOUNTS "/proc/self/mounts"
#define TYPE   "fuse.sivc"

int rules_read(int fd, char **text, size_t *length)
{
	const size_t room = SIVC_MAX_MSG_MAX + 1; /* one more, to see that there is more */
	char *buffer = malloc(room);
	size_t used = 0;
	ssize_t n = 1;

	if (!buffer)
		return -ENOMEM;
	while (used < room && (n = read(fd, buffer + used, room - used)) > 0)
		used += (size_t)n;
	if (n != 0) {
		free(buffer);
		return n < 0 ? -errno : -EFBIG;
	}
	*text = buffer;
	*length = used;
	return 0;
}

int rules_read_file(const char *path, char **text, size_t *length)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = rules_read(fd, text, length);
	close(fd);
	return r;
}

/* The last mount on a directory is the one that is seen. */
static int check_mount(const char *mountpoint)
{
	FILE *mounts = setmntent(MOUNTS, "re");
	const struct mntent *mount;
	int r = -EINVAL;

	if (!mounts)
		return -errno;
	while ((mount = getmntent(mounts)) != NULL)
		if (strcmp(mount->mnt_dir, mountpoint) == 0)
			r = strcmp(mount->mnt_type, TYPE) == 0 ? 0 : -EINVAL;
	endmntent(mounts);
	return r;
}

static int write_acl(const char *mountpoint, const char *text, size_t length)
{
	char *path;
	ssize_t n;
	int fd, r = 0;

	if (asprintf(&path, "%s/acl", mountpoint) < 0)
		return -ENOMEM;
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	free(path);
	if (fd < 0)
		return -errno;
	n = length > 0 ? write(fd, text, length) : 0; /* nothing at all permits nobody */
	if (n < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r == 0 && (size_t)n != length ? -EIO : r;
}

int rules_remount(const struct options *options, struct log *log)
{
	size_t length = 0;
	char *text = NULL;
	int r = check_mount(options->mountpoint);

	if (r < 0) {
		log_print(
			log, LOG_ERR, "remount: sivcfs is not mounted on %s", options->mountpoint);
		return r;
	}
	if (!options->acl)
		return 0;
	r = rules_read_file(options->acl, &text, &length);
	if (r == 0) {
		r = write_acl(options->mountpoint, text, length);
		free(text);
	}
	if (r < 0)
		log_print(log, LOG_ERR,
			"acl=%s: not in force on %s: %s (the log of its sivcfs says more)",
			options->acl, options->mountpoint, strerror(-r));
	return r;
}
