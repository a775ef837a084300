/* SPDX-License-Identifier: MIT */
/*
 * file.c: files of sivcfs, and of the two file systems that do nothing (floorfs.c).
 *
 * One write(2) and one read(2), into a buffer of its size, is one message; `cat` reads into a
 * larger one, as programs do.  The framed form puts as many messages into a call as a batch holds,
 * as sendmmsg and recvmmsg do.
 */
#include "transport.h"

#include <errno.h>
#include <fcntl.h>
#include <sivc/ioctl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int file_prepare(struct plan *plan)
{
	return plan->send_path[SIDE_A] && plan->receive_path[SIDE_A] ? 0 : -EOPNOTSUPP;
}

static int file_open(struct link *link)
{
	const struct plan *plan = link->plan;

	link->receive_fd = open(plan->receive_path[link->side], O_RDONLY | O_CLOEXEC);
	if (link->receive_fd < 0)
		return -errno;
	link->send_fd = open(plan->send_path[link->side], O_WRONLY | O_CLOEXEC);
	return link->send_fd < 0 ? -errno : 0;
}

static int file_send(struct link *link, size_t size)
{
	ssize_t n = write(link->send_fd, link->out, size);

	if (n < 0)
		return -errno;
	return n == (ssize_t)size ? 0 : -EPROTO;
}

static int file_receive(struct link *link, size_t size, const void **bytes)
{
	ssize_t n = read(link->receive_fd, link->in, size);

	*bytes = link->in;
	if (n < 0)
		return -errno;
	return n == (ssize_t)size ? 0 : -EPROTO;
}

const struct transport transport_null = {
	.name = "null",
	.alone = true,
	.prepare = file_prepare,
	.open = file_open,
	.send = file_send,
	.receive = file_receive,
};

const struct transport transport_relay = {
	.name = "relay",
	.prepare = file_prepare,
	.open = file_open,
	.send = file_send,
	.receive = file_receive,
};

const struct transport transport_file = {
	.name = "file",
	.prepare = file_prepare,
	.open = file_open,
	.send = file_send,
	.receive = file_receive,
};

/* As cat reads: a buffer of this size, whatever comes, and again until the message is there. */
#define CAT_BUFFER (128u * 1024)

static int cat_receive(struct link *link, size_t size, const void **bytes)
{
	ssize_t n;

	*bytes = link->in;
	for (size_t got = 0; got < size; got += (size_t)n) {
		if (got + CAT_BUFFER > BENCH_MSG_MAX)
			return -EPROTO;
		n = read(link->receive_fd, link->in + got, CAT_BUFFER);
		if (n <= 0)
			return n < 0 ? -errno : -EPROTO;
	}
	return 0;
}

const struct transport transport_cat = {
	.name = "cat",
	.prepare = file_prepare,
	.open = file_open,
	.send = file_send,
	.receive = cat_receive,
};

/* Frames on their way out, and frames that were read and not yet handed over. */
struct framed {
	uint32_t peer; /* the domain that we write to */
	size_t batch;  /* bytes that `out` holds */
	size_t used;
	char *out;
	size_t next;
	size_t filled;
	char *in;
};

static void framed_close(struct link *link)
{
	struct framed *framed = link->own;

	if (!framed)
		return;
	free(framed->out);
	free(framed->in);
	free(framed);
	link->own = NULL;
}

static int framed_new(struct link *link)
{
	size_t frame = sizeof(struct sivc_frame_header) + link->plan->size;
	struct framed *framed = calloc(1, sizeof *framed);

	if (!framed)
		return -ENOMEM;
	link->own = framed;
	framed->peer = (uint32_t)side_other(link->side) + 1;
	framed->batch = BATCH_BYTES / frame * frame;
	if (framed->batch < frame)
		framed->batch = frame;
	framed->out = aligned_alloc(sizeof(uint64_t), framed->batch);
	framed->in = aligned_alloc(sizeof(uint64_t), framed->batch);
	return framed->out && framed->in ? 0 : -ENOMEM;
}

static int framed_open(struct link *link)
{
	uint32_t on = 1;
	int r = file_open(link);

	if (r < 0)
		return r;
	if (ioctl(link->send_fd, SIVC_IOC_FRAMED, &on) < 0 ||
		ioctl(link->receive_fd, SIVC_IOC_FRAMED, &on) < 0)
		return -errno;
	return framed_new(link);
}

static void *framed_place(struct link *link)
{
	struct framed *framed = link->own;

	return framed->out + framed->used + sizeof(struct sivc_frame_header);
}

static int framed_flush(struct link *link)
{
	struct framed *framed = link->own;
	int r = link_write_all(link, framed->out, framed->used);

	framed->used = 0;
	return r;
}

static int framed_send(struct link *link, size_t size)
{
	struct framed *framed = link->own;
	struct sivc_frame_header header = {.length = (uint32_t)size, .domain = framed->peer};

	memcpy(framed->out + framed->used, &header, sizeof header);
	framed->used += sizeof header + size;
	if (framed->used + sizeof header + link->plan->size <= framed->batch)
		return 0;
	return framed_flush(link);
}

static int framed_receive(struct link *link, size_t size, const void **bytes)
{
	struct framed *framed = link->own;
	struct sivc_frame_header header;

	if (framed->next == framed->filled) {
		ssize_t n = read(link->receive_fd, framed->in, framed->batch);

		if (n < 0)
			return -errno;
		framed->filled = (size_t)n;
		framed->next = 0;
	}
	memcpy(&header, framed->in + framed->next, sizeof header);
	*bytes = framed->in + framed->next + sizeof header;
	framed->next += sizeof header + header.length;
	return header.length == size && framed->next <= framed->filled ? 0 : -EPROTO;
}

const struct transport transport_framed = {
	.name = "framed",
	.prepare = file_prepare,
	.open = framed_open,
	.place = framed_place,
	.send = framed_send,
	.flush = framed_flush,
	.receive = framed_receive,
	.close = framed_close,
};
