/* SPDX-License-Identifier: MIT */
/*
 * stream.c: pipes, Unix sockets and TCP: what programs on one machine use otherwise.
 *
 * Each message is one call on either side, as it is for files of sivcfs.  TCP is measured twice,
 * over loopback and over a veth pair between two network namespaces: the way between two virtual
 * machines or containers on one host, without the cost of the hypervisor.
 */
#include "transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* From here on a message does not fit into a Unix socket's buffer as it is by default. */
#define UNIX_BUFFER_SPARE 4

enum side side_other(enum side side)
{
	return side == SIDE_A ? SIDE_B : SIDE_A;
}

int link_write_all(struct link *link, const void *bytes, size_t size)
{
	const char *at = bytes;

	while (size) {
		ssize_t n = write(link->send_fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

int link_read_all(struct link *link, void *bytes, size_t size)
{
	char *at = bytes;

	while (size) {
		ssize_t n = read(link->receive_fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EPIPE;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

static int stream_send(struct link *link, size_t size)
{
	return link_write_all(link, link->out, size);
}

static int stream_receive(struct link *link, size_t size, const void **bytes)
{
	*bytes = link->in;
	return link_read_all(link, link->in, size);
}

/* Takes this side's descriptors of the pairs that prepare made. */
static int pair_open(struct link *link)
{
	const struct plan *plan = link->plan;

	link->receive_fd = plan->pair[link->side][0];
	link->send_fd = plan->pair[side_other(link->side)][1];
	return 0;
}

static int pipe_prepare(struct plan *plan)
{
	for (int side = 0; side < SIDES; side++) {
		if (pipe2(plan->pair[side], O_CLOEXEC) < 0)
			return -errno;
	}
	return 0;
}

const struct transport transport_pipe = {
	.name = "pipe",
	.prepare = pipe_prepare,
	.open = pair_open,
	.send = stream_send,
	.receive = stream_receive,
};

/* The default buffer, unless a message would not fit. */
static int unix_enlarge(int fd, size_t size)
{
	int have;
	int want = (int)(size * UNIX_BUFFER_SPARE);
	socklen_t length = sizeof have;

	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &have, &length) < 0)
		return -errno;
	if (want <= have)
		return 0;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &want, sizeof want) < 0)
		return errno == EPERM ? -EOPNOTSUPP : -errno;
	return 0;
}

static int seqpacket_prepare(struct plan *plan)
{
	int fds[SIDES];
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	for (int side = 0; side < SIDES; side++) {
		plan->pair[side][0] = fds[side];
		plan->pair[side][1] = fds[side_other((enum side)side)];
		r = unix_enlarge(fds[side], plan->size);
		if (r < 0)
			return r;
	}
	return 0;
}

static int seqpacket_send(struct link *link, size_t size)
{
	ssize_t n;

	do {
		n = send(link->send_fd, link->out, size, 0);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int seqpacket_receive(struct link *link, size_t size, const void **bytes)
{
	ssize_t n;

	do {
		n = recv(link->receive_fd, link->in, size, 0);
	} while (n < 0 && errno == EINTR);
	*bytes = link->in;
	if (n < 0)
		return -errno;
	return n == (ssize_t)size ? 0 : -EPIPE;
}

const struct transport transport_seqpacket = {
	.name = "seqpacket",
	.prepare = seqpacket_prepare,
	.open = pair_open,
	.send = seqpacket_send,
	.receive = seqpacket_receive,
};

static int enter_netns(const char *name)
{
	char path[256];
	int fd;
	int r = 0;

	if (!name)
		return 0;
	snprintf(path, sizeof path, "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (setns(fd, CLONE_NEWNET) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int tcp_listen(struct link *link, int fd, struct sockaddr_in *address)
{
	socklen_t length = sizeof *address;

	if (bind(fd, (struct sockaddr *)address, length) < 0 || listen(fd, 1) < 0 ||
		getsockname(fd, (struct sockaddr *)address, &length) < 0)
		return -errno;
	link->plan->shared->tcp_port = address->sin_port;
	link->own = (void *)(intptr_t)fd;
	return 0;
}

/* One way in a row the kernel may put small messages together; an answer goes out at once. */
static int tcp_set_nodelay(int fd)
{
	int on = 1;

	return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ? -errno : 0;
}

static int tcp_connect(struct link *link, int fd, struct sockaddr_in *address)
{
	address->sin_port = link->plan->shared->tcp_port;
	if (connect(fd, (struct sockaddr *)address, sizeof *address) < 0)
		return -errno;
	link->send_fd = fd;
	link->receive_fd = fd;
	return link->plan->stream ? 0 : tcp_set_nodelay(fd);
}

static int tcp_open_at(struct link *link, const char *text)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int fd;

	if (inet_pton(AF_INET, text, &address.sin_addr) != 1)
		return -EINVAL;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	return link->side == SIDE_B ? tcp_listen(link, fd, &address)
				    : tcp_connect(link, fd, &address);
}

static int tcp_open(struct link *link)
{
	return tcp_open_at(link, "127.0.0.1");
}

static int tcp_flush(struct link *link)
{
	return link->plan->stream ? tcp_set_nodelay(link->send_fd) : 0;
}

static int tcp_accept(struct link *link)
{
	int listener = (int)(intptr_t)link->own;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(listener);
	link->send_fd = fd;
	link->receive_fd = fd;
	return tcp_set_nodelay(fd);
}

static int tcp_receive(struct link *link, size_t size, const void **bytes)
{
	int r = 0;

	if (link->receive_fd < 0)
		r = tcp_accept(link);
	return r < 0 ? r : stream_receive(link, size, bytes);
}

const struct transport transport_tcp = {
	.name = "tcp",
	.open = tcp_open,
	.send = stream_send,
	.flush = tcp_flush,
	.receive = tcp_receive,
};

static int veth_prepare(struct plan *plan)
{
	return plan->netns[SIDE_A] && plan->netns[SIDE_B] && plan->address_b ? 0 : -EOPNOTSUPP;
}

static int veth_open(struct link *link)
{
	int r = enter_netns(link->plan->netns[link->side]);

	return r < 0 ? r : tcp_open_at(link, link->plan->address_b);
}

const struct transport transport_veth = {
	.name = "veth",
	.prepare = veth_prepare,
	.open = veth_open,
	.send = stream_send,
	.flush = tcp_flush,
	.receive = tcp_receive,
};
