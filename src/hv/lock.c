/* SPDX-License-Identifier: MIT */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PID_TEXT_MAX 16   /* bytes, with newline and final NUL */
#define LOCK_TRIES   16   /* each is lost only to somebody who takes the file away */
#define LOCK_MODE    0600 /* who may read a file can lock it against writers */

static int lock_open(const char *path)
{
	struct stat st;
	int r = 0, fd;

	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, LOCK_MODE);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1)
		r = -EINVAL;
	else if (st.st_uid != geteuid())
		r = -EPERM;
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

/* What is locked is what the next one would find. */
static bool lock_in_place(const char *path, int fd)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 && ours.st_ino == there.st_ino &&
	       ours.st_dev == there.st_dev;
}

/* As the holder has written it into the file; 0 if that is no process id. */
static pid_t lock_holder(int fd)
{
	char text[PID_TEXT_MAX], *end;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	long pid;

	if (n <= 0)
		return 0;
	text[n] = '\0';
	errno = 0;
	pid = strtol(text, &end, 10);
	if (errno || *end != '\n' || pid <= 0 || pid > INT32_MAX)
		return 0;
	return (pid_t)pid;
}

/* Not worth failing for. */
static void lock_sign(int fd)
{
	if (ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0)
		dprintf(fd, "%ld\n", (long)getpid());
}

/* -ESTALE: the file was taken away before it was locked. */
static int lock_try(const char *path, pid_t *holder)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = lock_open(path);
	int r;

	if (fd < 0)
		return fd;
	r = fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
	if (r == 0 && !lock_in_place(path, fd))
		r = -ESTALE;
	if (r == 0) {
		lock_sign(fd);
		return fd;
	}
	if (r == -EAGAIN || r == -EACCES) {
		*holder = lock_holder(fd);
		r = -EBUSY;
	}
	close(fd);
	return r;
}

int lock_take(const char *name, pid_t *holder)
{
	char path[sizeof(LOCK_DIR "/") + NAME_MAX];
	int r = -ESTALE;

	if (mkdir(LOCK_DIR, 0755) < 0 && errno != EEXIST)
		return -errno;
	if (snprintf(path, sizeof(path), LOCK_DIR "/%s", name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	for (int i = 0; i < LOCK_TRIES && r == -ESTALE; i++)
		r = lock_try(path, holder);
	return r;
}

void lock_release(int lock)
{
	if (lock < 0)
		return;
	if (ftruncate(lock, 0) < 0) {
		/* The next holder writes over it. */
	}
	close(lock);
}
