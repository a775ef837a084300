/* SPDX-License-Identifier: MIT */
#include "mounter.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"
#include "fs.h"
#include "privilege.h"
#include "sandbox.h"

#define NAME             "sivc-unmount" /* so that `killall sivcfs` does not mean this one */
#define PATIENCE_SECONDS 10             /* for another file system that stands there and hangs */

/* Its place among the descriptors: all above it are closed. */
#define OWN_SOCKET (STDERR_FILENO + 1)

#define COPY_AT_ONCE 65536 /* bytes */

/*
 * Where it is mounted: a name in a directory that is kept open, because the whole path could mean
 * something else later.  (What is mounted is not kept open: nobody could unmount it then.)
 */
struct place {
	int parent; /* O_PATH */
	const char *name;
	dev_t device; /* of what we have mounted there; 0: nothing yet */
};

/* What its answer looks like: an error, or 0 and a descriptor. */
union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

static ssize_t wait_for_byte(int socket)
{
	ssize_t n;
	char byte;

	do
		n = read(socket, &byte, sizeof(byte));
	while (n < 0 && errno == EINTR);
	return n;
}

static int send_answer(int socket, int error, int fd)
{
	struct iovec data = {.iov_base = &error, .iov_len = sizeof(error)};
	union control control = {.header = {
					 .cmsg_len = CMSG_LEN(sizeof(fd)),
					 .cmsg_level = SOL_SOCKET,
					 .cmsg_type = SCM_RIGHTS,
				 }};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};

	if (error == 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* The place. */

static int place_open(const char *mountpoint, struct place *place)
{
	const char *slash = strrchr(mountpoint, '/');
	char *path = strndup(mountpoint, (size_t)(slash - mountpoint) + 1);

	if (!path)
		return -ENOMEM;
	place->name = slash + 1;
	place->parent = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	free(path);
	return place->parent < 0 ? -errno : 0;
}

/* The device of what stands there.  Nothing is asked of whoever serves it. */
static int place_device(const struct place *place, dev_t *device)
{
	struct statx st;

	if (statx(place->parent, place->name,
		    AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, 0, &st) < 0)
		return -errno;
	*device = makedev(st.stx_dev_major, st.stx_dev_minor);
	return 0;
}

/*
 * A descriptor of what is mounted there, if that is ours and dead; or an error.  Whoever serves
 * what stands there now is asked for statfs(2) alone; an automount point stays what it is (O_PATH).
 */
static int open_dead(const struct place *place)
{
	int fd = openat(place->parent, place->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct statfs st;
	dev_t device = 0;

	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &st) < 0 && (errno == ENOTCONN || errno == ECONNABORTED) &&
		place_device(place, &device) == 0 && device == place->device)
		return fd;
	close(fd);
	return -ENOENT;
}

/* Lazily: whoever is in it may be there for long. */
static void unmount(const struct place *place)
{
	char path[sizeof("/proc/self/fd/2147483647")], name[NAME_MAX + sizeof("./")];
	int fd = open_dead(place);

	if (fd < 0)
		return;
	/* What was looked at, whatever has its name by now. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (umount2(path, MNT_DETACH) == 0 || geteuid() == 0 || fchdir(place->parent) < 0)
		return;
	/* It looks by itself whether the mount is this user's. */
	snprintf(name, sizeof(name), "./%s", place->name);
	execlp("fusermount3", "fusermount3", "-u", "-q", "-z", "--", name, NULL);
}

/* The file of acl=. */

/* Memory that has what is in the file now: what happens to the file later changes nothing. */
static int copy_rules(int from)
{
	int to = memfd_create("acl", MFD_CLOEXEC);
	char buffer[COPY_AT_ONCE];
	ssize_t n = 0;
	int r = to < 0 ? -errno : 0;

	while (r == 0 && (n = read(from, buffer, sizeof(buffer))) > 0)
		if (write(to, buffer, (size_t)n) != n)
			r = -EIO;
		else if (lseek(to, 0, SEEK_CUR) > (off_t)SIVC_MAX_MSG_MAX)
			r = -EFBIG;
	if (n < 0)
		r = -errno;
	if (r == 0 && lseek(to, 0, SEEK_SET) < 0)
		r = -errno;
	if (r < 0 && to >= 0)
		close(to);
	return r < 0 ? r : to;
}

static void send_rules(const char *acl)
{
	int from = open(acl, O_RDONLY | O_NONBLOCK | O_CLOEXEC), copy;
	struct stat st;

	if (from < 0)
		copy = -errno;
	else if (fstat(from, &st) < 0 || !S_ISREG(st.st_mode))
		copy = -EINVAL;
	else
		copy = copy_rules(from);
	send_answer(OWN_SOCKET, copy < 0 ? copy : 0, copy);
	if (copy >= 0)
		close(copy);
	if (from >= 0)
		close(from);
}

/*
 * An ordinary user's fusermount3 has its privileges from its file.  Root needs CAP_SYS_ADMIN to
 * unmount, and must reach a mount point in a directory that is not open to root as to anybody.
 */
static int keep_what_unmounting_needs(void)
{
	if (geteuid() != 0)
		return 0;
	return privilege_limit(UINT64_C(1) << CAP_SYS_ADMIN | UINT64_C(1) << CAP_DAC_READ_SEARCH);
}

static int mount_and_tell(struct fuse_session *session, const char *mountpoint, struct place *place)
{
	int r = fuse_session_mount(session, mountpoint) < 0 ? -EIO : 0;
	int fd = r == 0 ? fuse_session_fd(session) : -1;

	if (r == 0)
		r = place_device(place, &place->device);
	if (r == 0)
		r = keep_what_unmounting_needs();
	if (r == 0)
		r = send_answer(OWN_SOCKET, 0, fd);
	else
		send_answer(OWN_SOCKET, r, -1);
	/* Not to be the one who keeps a connection open that nobody serves. */
	if (fd >= 0)
		close(fd);
	return r;
}

/*
 * Ends with the other process, not by what is sent to both.  Until it has mounted it stays in its
 * process group: systemd's automount lets that one alone pass.
 */
static void ignore_signals(void)
{
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
}

static void serve(struct fuse_session *session, const char *mountpoint, const char *acl, int socket)
{
	struct place place = {0};
	int r;

	if (dup3(socket, OWN_SOCKET, O_CLOEXEC) < 0 && errno != EINVAL)
		return;
	closefrom(OWN_SOCKET + 1);
	ignore_signals();
	prctl(PR_SET_NAME, NAME);
	prctl(PR_SET_DUMPABLE, 0); /* nobody but root looks into it, or changes what it does */
	if (wait_for_byte(OWN_SOCKET) != 1)
		return; /* it ended before it came to that */
	r = place_open(mountpoint, &place);
	if (r < 0) {
		send_answer(OWN_SOCKET, r, -1);
		return;
	}
	if (mount_and_tell(session, mountpoint, &place) == 0) {
		daemon_let_go();
		/* A program with a filter cannot become more: fusermount3 would not be root. */
		if (geteuid() == 0 && sandbox_mounter_calls() < 0)
			_exit(1);
		while (wait_for_byte(OWN_SOCKET) == 1)
			send_rules(acl);
	}
	alarm(PATIENCE_SECONDS);
	unmount(&place);
}

int mounter_start(struct fuse_session *session, const char *mountpoint, const char *acl,
	struct mounter *mounter)
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		serve(session, mountpoint, acl, ends[1]);
		_exit(0);
	}
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return -errno;
	}
	mounter->socket = ends[0];
	mounter->pid = pid;
	return 0;
}

/* The descriptor. */
static int receive_answer(int socket)
{
	int fd, error = -EIO;
	struct iovec data = {.iov_base = &error, .iov_len = sizeof(error)};
	union control control;
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	const struct cmsghdr *header;
	ssize_t n;

	do
		n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n != sizeof(error) || error < 0)
		return n == sizeof(error) ? error : -EPIPE; /* it has ended */
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS)
		return -EIO;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

int mounter_mount(struct mounter *mounter)
{
	if (write(mounter->socket, "", 1) != 1)
		return -EIO;
	return receive_answer(mounter->socket);
}

int mounter_ask_rules(struct mounter *mounter)
{
	return send(mounter->socket, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

int mounter_receive_rules(struct mounter *mounter)
{
	return receive_answer(mounter->socket);
}

void mounter_end(struct mounter *mounter)
{
	if (mounter->socket < 0)
		return;
	close(mounter->socket);
	mounter->socket = -1;
	while (waitpid(mounter->pid, NULL, 0) < 0 && errno == EINTR)
		;
}
