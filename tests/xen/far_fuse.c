/* SPDX-License-Identifier: MIT */
/*
 * far_fuse: the guest's half of far.c, loaded into an unchanged sivcfs by LD_PRELOAD.
 *
 * It connects to far when it is loaded, because sivcfs gives up what that takes.  Where sivcfs has
 * something mounted, nothing is, and where it takes the descriptor over, it gets the connection to
 * far in its place: from then on sivcfs gets its requests from there and sends its replies there.
 * A read and a write of FUSE's device are one request and one reply, and each begins with its
 * length, so the protocol on the wire is FUSE's own.  Beside it, the reply to a read is answered by
 * the errno that the kernel gave it: sivcfs wants to know whether the reader was still there to
 * take the message.
 *
 *	first connection	our process id, then requests, to us
 *	second connection	before each reply an int32_t: 1 if we wait for the errno; the reply;
 *				the other way, the errno, an int32_t
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <linux/fuse.h>

#define READS  1024 /* that may wait at the same time */
#define IOVECS 64   /* pieces of a reply */

/* fuse_custom_io's functions are given no data of ours. */
static int requests = -1, replies = -1;
static uint64_t reads[READS]; /* `unique` of each read that waits for its reply; or 0 */

/* Replaces `from` by `to`.  False: it is not there. */
static bool reads_replace(uint64_t from, uint64_t to)
{
	for (size_t i = 0; i < READS; i++) {
		if (reads[i] == from) {
			reads[i] = to;
			return true;
		}
	}
	return false;
}

/* All of it, also from a descriptor that does not block.  False: far has closed it. */
static bool receive_all(int fd, void *bytes, size_t size)
{
	for (char *at = bytes; size > 0;) {
		ssize_t n = recv(fd, at, size, 0);
		if (n < 0 && errno == EAGAIN)
			poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1);
		else if (n <= 0 && errno != EINTR)
			return false;
		at += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
	return true;
}

static ssize_t gone(void)
{
	errno = ENODEV; /* as the device says it when it was unmounted */
	return -1;
}

static ssize_t far_read(int fd, void *buffer, size_t size, void *data)
{
	struct fuse_in_header header;
	ssize_t n = recv(fd, &header, sizeof header, MSG_PEEK);

	(void)data;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return -1;
	if (n <= 0 || !receive_all(fd, &header, sizeof header) || header.len > size)
		return gone();
	memcpy(buffer, &header, sizeof header);
	if (!receive_all(fd, (char *)buffer + sizeof header, header.len - sizeof header))
		return gone();
	if (header.opcode == FUSE_READ && !reads_replace(0, header.unique))
		return gone();
	return (ssize_t)header.len;
}

/* One message on a socket that blocks: what one call sends is all. */
static bool send_reply(const struct iovec *iov, int count, int32_t wait)
{
	struct iovec pieces[IOVECS];

	if (count >= IOVECS)
		return false;

	pieces[0] = (struct iovec){&wait, sizeof wait};
	memcpy(pieces + 1, iov, (size_t)count * sizeof *iov);
	const struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)count + 1};
	return sendmsg(replies, &message, MSG_NOSIGNAL) > 0;
}

static ssize_t far_writev(int fd, struct iovec *iov, int count, void *data)
{
	const struct fuse_out_header *header = iov[0].iov_base;
	bool wait = header->unique != 0 && reads_replace(header->unique, 0);
	int32_t error = 0;

	(void)fd;
	(void)data;
	if (!send_reply(iov, count, wait) || (wait && !receive_all(replies, &error, sizeof error)))
		return gone();
	errno = error;
	return error ? -1 : (ssize_t)header->len;
}

static int far_connect(const char *address_and_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	char host[INET_ADDRSTRLEN];
	unsigned short port;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (!address_and_port || sscanf(address_and_port, "%15[0-9.]:%hu", host, &port) != 2 ||
		inet_pton(AF_INET, host, &address.sin_addr) != 1)
		return -1;
	address.sin_port = htons(port);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -1 : fd;
}

__attribute__((constructor)) static void far_start(void)
{
	int32_t pid = getpid();

	requests = far_connect(getenv("FAR"));
	replies = far_connect(getenv("FAR"));
	if (requests < 0 || replies < 0 || write(requests, &pid, sizeof pid) != sizeof pid)
		perror("far_fuse: FAR");
}

/* In place of libfuse's.  sivcfs calls it in the process that mounts, and in the one that serves.
 */
__attribute__((visibility("default"))) int fuse_session_mount(
	struct fuse_session *session, const char *mountpoint)
{
	const struct fuse_custom_io io = {.read = far_read, .writev = far_writev};
	int fd;

	if (sscanf(mountpoint, "/dev/fd/%d", &fd) != 1)
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	else if (dup2(requests, fd) < 0)
		return -1;
	return fd >= 0 && fuse_session_custom_io(session, &io, fd) == 0 ? 0 : -1;
}
