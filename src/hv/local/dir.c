/* SPDX-License-Identifier: MIT */
/*
 * dir.c: directories, FIFOs and locks of the local backend.
 *
 * What is in another domain's directory is that domain's word.  So everything is opened a name at a
 * time, relative to a directory that is open already.  No link is followed.  No other file system
 * is entered, because the process behind it may never answer (openat2; a kernel before 5.6 does not
 * have it, and does not keep us out of other file systems).  Opening does not wait (O_NONBLOCK).
 * What was opened is looked at through its descriptor before it is used: a FIFO where a file should
 * be is refused, not read.
 *
 * A directory of ours can be removed by the process before us while we enter it.  The lock file in
 * it is the proof that it is still there: a directory in which somebody holds the lock is not
 * empty, so nobody can remove it, and a lock that was taken on a file that is no longer in the
 * directory is no lock.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <unistd.h>

#include "fork.h"
#include "local.h"
#include "lockfile.h"
#include "number.h"

#define LOCK_TRIES 16 /* each is lost only to a process that ended in that very moment */

static const char *advice(int r)
{
	switch (r) {
	case -EACCES:
	case -EPERM:
	case -EROFS:
		return "; choose another directory (dir=) or have its owner let you write there";
	case -ENOSPC:
	case -EDQUOT:
		return "; make room there or choose another directory (dir=)";
	case -ENOTDIR:
	case -ELOOP:
	case -EINVAL:
	case -EEXIST:
		return "; something that is not ours stands there: remove it, or choose another "
		       "directory (dir=)";
	case -EXDEV:
		return "; another file system is mounted there: unmount it, or choose another "
		       "directory (dir=)";
	case -EMFILE:
		return "; raise the limit of open files (ulimit -n, or LimitNOFILE= of the unit)";
	case -ENOSYS:
		return "; mount /proc";
	case -ENFILE:
		return "; raise fs.file-max (sysctl)";
	default:
		return "";
	}
}

int local_fail(const struct local *local, int r, const char *format, ...)
{
	char what[PATH_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	hv_log(&local->hv, LOG_ERR, "backend local: %s: %s%s", what, strerror(-r), advice(r));
	return r;
}

int local_fail_once(struct local *local, int r, const char *what)
{
	if (r != local->logged) {
		local_fail(local, r, "%s in %s", what, local->dir);
		local->logged = r;
	}
	return r;
}

void local_plenty(struct local *local)
{
	local->logged = 0;
}

bool local_absent(int r)
{
	switch (r) {
	case -ENOENT:
	case -ENOTDIR:
	case -ELOOP:
	case -EACCES:
	case -EPERM:
	case -EINVAL:
	case -EISDIR:
	case -ENXIO:
	case -ENODEV:
	case -EXDEV:
		return true;
	default:
		return false;
	}
}

int local_open(int at, const char *name, int flags)
{
	struct open_how how = {.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS};
	int fd;

	flags |= O_NOFOLLOW | O_CLOEXEC | (flags & O_PATH ? 0 : O_NONBLOCK);
	how.flags = (unsigned int)flags;
	how.mode = flags & O_CREAT ? S_IRUSR | S_IWUSR : 0;
	fd = (int)syscall(SYS_openat2, at, name, &how, sizeof(how));
	if (fd < 0 && errno == ENOSYS)
		fd = openat(at, name, flags, S_IRUSR | S_IWUSR);
	return fd < 0 ? -errno : fd;
}

int local_open_dir(int at, const char *name)
{
	return local_open(at, name, O_RDONLY | O_DIRECTORY);
}

/* `error`, after closing what the failure leaves behind. */
static int give_up(int fd, int r)
{
	fork_close(fd);
	return r;
}

/* Of what we have made, who may do what: as DIR says, not umask. */
static int set_access(const struct local *local, int fd, mode_t mode)
{
	/* Fails if the group is none of ours; then DIR is not open to us by its group either. */
	if ((local->others & S_IRWXG) && fchown(fd, (uid_t)-1, local->group) && errno != EPERM)
		return -errno;
	return fchmod(fd, mode & (S_IRWXU | local->others)) ? -errno : 0;
}

int local_make_dir(const struct local *local, int at, const char *name)
{
	struct stat st;
	int r, fd;

	if (mkdirat(at, name, S_IRWXU) && errno != EEXIST)
		return -errno;
	fd = local_open_dir(at, name);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st))
		return give_up(fd, -errno);
	if (st.st_uid != geteuid())
		return give_up(fd, -EACCES);
	/* Only its owner writes there, so what is in it is its owner's word. */
	r = set_access(local, fd, 0755);
	return r ? give_up(fd, r) : fd;
}

int local_open_domain(const struct local *local, uint16_t domid)
{
	char name[LOCAL_NAME_MAX];
	struct stat st;
	int fd;

	snprintf(name, sizeof(name), "%u", domid);
	fd = local_open_dir(local->dir_fd, name);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st))
		return give_up(fd, -errno);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return give_up(fd, -EINVAL);
	return fd;
}

int local_open_instance(const struct local *local, uint16_t domid, uint32_t number)
{
	char name[LOCAL_NAME_MAX];
	int domain = local_open_domain(local, domid);
	int fd;

	if (domain < 0)
		return domain;
	snprintf(name, sizeof(name), "%" PRIu32, number >> LOCAL_COUNTER);
	fd = local_open_dir(domain, name);
	close(domain);
	return fd;
}

bool local_made_here(int at, int fd)
{
	struct stat directory, file;

	return fstat(at, &directory) == 0 && fstat(fd, &file) == 0 &&
	       directory.st_uid == file.st_uid && file.st_nlink == 1;
}

int local_open_fifo(int at, const char *name, int access)
{
	struct stat st;
	int fd = local_open(at, name, access);

	if (fd < 0)
		return fd;
	if (fstat(fd, &st))
		return give_up(fd, -errno);
	if (!S_ISFIFO(st.st_mode))
		return give_up(fd, -EINVAL);
	return fd;
}

/* The descriptor of what we have just made, or the error, without a trace. */
static int finish(const struct local *local, int at, const char *name, int fd, mode_t mode)
{
	int r = fd < 0 ? fd : set_access(local, fd, mode);

	if (!r)
		return fd;
	unlinkat(at, name, 0);
	if (fd >= 0)
		fork_close(fd);
	return r;
}

int local_make_fifo(const struct local *local, int at, const char *name, mode_t mode)
{
	if (mkfifoat(at, name, S_IRUSR | S_IWUSR))
		return -errno;
	return finish(local, at, name, local_open_fifo(at, name, O_RDWR), mode);
}

bool local_fifo_alive(int fd)
{
	char byte;

	return read(fd, &byte, sizeof(byte)) != 0; /* 0, end of file: nobody could write */
}

int local_make_file(const struct local *local, int at, const char *name, mode_t mode)
{
	int fd = local_open(at, name, O_RDWR | O_CREAT | O_EXCL);

	return fd < 0 ? fd : finish(local, at, name, fd, mode);
}

int local_lock(int at, const char *name, pid_t *holder)
{
	struct stat st;
	int r = -ESTALE;

	for (int i = 0; r == -ESTALE && i < LOCK_TRIES; i++) {
		fork_hold();
		r = fork_private(lockfile_take_at(at, name, holder));
		fork_release();
	}
	/* Who cannot write a process id has no room for anything else either. */
	if (r >= 0 && fstat(r, &st) == 0 && st.st_size == 0)
		return give_up(r, -ENOSPC);
	return r;
}

void local_remove_locked(int parent, const char *name, int at)
{
	unlinkat(at, LOCAL_LOCK, 0);
	/* Fails if somebody has come since, or if something is in it that we did not make. */
	unlinkat(parent, name, AT_REMOVEDIR);
}

int local_each(int at, int (*fn)(void *data, const char *name), void *data)
{
	int fd = local_open_dir(at, ".");
	struct dirent *entry;
	int r = 0;
	DIR *stream;

	if (fd < 0)
		return fd;
	stream = fdopendir(fd);
	if (!stream)
		return give_up(fd, -errno);
	while (!r && (entry = readdir(stream)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = fn(data, entry->d_name);
	closedir(stream);
	return r;
}

static int clear_name(void *data, const char *name)
{
	const int *at = data;

	if (strcmp(name, LOCAL_LOCK) != 0)
		unlinkat(*at, name, 0);
	return 0;
}

void local_clear(int at)
{
	local_each(at, clear_name, &at);
}
