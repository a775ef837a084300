/* SPDX-License-Identifier: MIT */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int lock_open(void)
{
	int fd;

	if (mkdir(LOCK_DIR, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	return fd < 0 ? -errno : fd;
}

/* The kernel says who has it; what is in the file is for people. */
static pid_t lock_holder(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
		return 0;
	return lock.l_pid;
}

int lock_take(pid_t *holder)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = lock_open();
	int r;

	if (fd < 0)
		return fd;
	if (fcntl(fd, F_SETLK, &lock) == 0 && ftruncate(fd, 0) == 0 &&
		dprintf(fd, "%ld\n", (long)getpid()) > 0)
		return fd;
	r = -errno;
	if (r == -EAGAIN || r == -EACCES) {
		*holder = lock_holder(fd);
		r = -EBUSY;
	}
	close(fd);
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
