/* SPDX-License-Identifier: MIT */
#include "mounter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"
#include "fs.h"
#include "privilege.h"

#define NAME             "sivc-unmount" /* so that `killall sivcfs` does not mean this one */
#define PATIENCE_SECONDS 10             /* for another file system that stands there and hangs */

/* Its place among the descriptors: all above it are closed. */
#define OWN_SOCKET (STDERR_FILENO + 1)

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

/*
 * Nothing is asked of whoever serves what stands there now, but for statfs(2); and an automount
 * point stays what it is (O_PATH).
 */
static bool is_dead(const char *mountpoint)
{
	int fd = open(mountpoint, O_PATH | O_CLOEXEC);
	struct statfs st;
	bool dead;

	if (fd < 0)
		return errno == ENOTCONN;
	dead = fstatfs(fd, &st) < 0 && (errno == ENOTCONN || errno == ECONNABORTED);
	close(fd);
	return dead;
}

/* Lazily: whoever is in it may be there for long. */
static void unmount(const char *mountpoint)
{
	if (umount2(mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || geteuid() == 0)
		return;
	execlp("fusermount3", "fusermount3", "-u", "-q", "-z", "--", mountpoint, NULL);
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

static int mount_and_tell(struct fuse_session *session, const char *mountpoint)
{
	int r = fuse_session_mount(session, mountpoint) < 0 ? -EIO : 0;
	int fd = r == 0 ? fuse_session_fd(session) : -1;

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

/* Ends with the other process, not by what is sent to both. */
static void ignore_signals(void)
{
	setsid();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
}

static void serve(struct fuse_session *session, const char *mountpoint, int socket)
{
	if (dup3(socket, OWN_SOCKET, O_CLOEXEC) < 0 && errno != EINVAL)
		return;
	closefrom(OWN_SOCKET + 1);
	ignore_signals();
	prctl(PR_SET_NAME, NAME);
	if (wait_for_byte(OWN_SOCKET) != 1)
		return; /* it ended before it came to that */
	if (mount_and_tell(session, mountpoint) == 0) {
		daemon_let_go();
		wait_for_byte(OWN_SOCKET); /* none comes: it is the end of the other process */
	}
	alarm(PATIENCE_SECONDS);
	if (is_dead(mountpoint))
		unmount(mountpoint);
}

int mounter_start(struct fuse_session *session, const char *mountpoint, struct mounter *mounter)
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		serve(session, mountpoint, ends[1]);
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
		return n == sizeof(error) ? error : -EIO;
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

void mounter_end(struct mounter *mounter)
{
	if (mounter->socket < 0)
		return;
	close(mounter->socket);
	mounter->socket = -1;
	while (waitpid(mounter->pid, NULL, 0) < 0 && errno == EINTR)
		;
}
