/* SPDX-License-Identifier: MIT */
#include "lockfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "number.h"

#define PID_TEXT_MAX 16   /* bytes, with newline and final NUL */
#define LOCK_MODE    0600 /* who may read a file can lock it against writers */

/* Nothing but a file of ours that has no other name. */
static int lock_check(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
		return -EINVAL;
	return st.st_uid == geteuid() ? 0 : -EPERM;
}

static int lock_open(int at, const char *name)
{
	int fd =
		openat(at, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, LOCK_MODE);
	int r;

	if (fd < 0)
		return -errno;
	r = lock_check(fd);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

/* Somebody may have taken the file's name away before it was locked. */
static bool lock_has_name(int fd, int at, const char *path)
{
	struct stat file, name;

	return fstat(fd, &file) == 0 && fstatat(at, path, &name, AT_SYMLINK_NOFOLLOW) == 0 &&
	       file.st_dev == name.st_dev && file.st_ino == name.st_ino;
}

/* As the holder has written it into the file; 0 if that is no process id. */
static pid_t lock_holder(int fd)
{
	char text[PID_TEXT_MAX];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	const char *end;
	uint64_t pid;

	if (n <= 0)
		return 0;
	text[n] = '\0';
	if (number_parse(text, INT32_MAX, &pid, &end) < 0 || *end != '\n')
		return 0;
	return (pid_t)pid;
}

/* Not worth failing for. */
static void lock_sign(int fd)
{
	if (ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0)
		dprintf(fd, "%ld\n", (long)getpid());
}

int lockfile_take_at(int at, const char *name, pid_t *holder)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = lock_open(at, name);
	int r;

	if (fd < 0)
		return fd;
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
		r = -errno;
	else
		r = lock_has_name(fd, at, name) ? 0 : -ESTALE;
	if (r == 0) {
		lock_sign(fd);
		return fd;
	}
	if (r == -EAGAIN || r == -EACCES) {
		if (holder)
			*holder = lock_holder(fd);
		r = -EBUSY;
	}
	close(fd);
	return r;
}

int lockfile_take(const char *directory, const char *name, pid_t *holder)
{
	char path[PATH_MAX];

	if (mkdir(directory, 0755) < 0 && errno != EEXIST)
		return -errno;
	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return lockfile_take_at(AT_FDCWD, path, holder);
}

void lockfile_release(int lock)
{
	if (lock < 0)
		return;
	if (ftruncate(lock, 0) < 0) {
		/* The next holder writes over it. */
	}
	close(lock);
}
