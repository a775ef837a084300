/* SPDX-License-Identifier: MIT */
/*
 * Writing peers/N.
 *
 * A write is one message, or, framed, a batch of them, each behind a header that was checked here
 * first.  libsivc sends whole messages, in order; a write returns the bytes of those that went. One
 * that has to wait is held; the data is copied then, because the request's memory is used for the
 * next request.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sivc/ioctl.h>
#include <stdlib.h>
#include <string.h>

#include "held.h"

#define BATCH_FIRST 64

/* Stays where it was initialised: `messages` may point into it. */
struct batch {
	struct iovec *messages; /* `single`, or allocated */
	size_t count;
	size_t room;
	size_t header; /* bytes before each message that count as written, too */
	struct iovec single;
};

struct held_write {
	struct held held;
	struct batch batch;
	char *copy; /* of the data */
	struct sivc_sending sending;

	/* From sivc_send_start: done() may be called before that returns. */
	bool starting;
	bool finished;
	int result;
};

static struct sivc_endpoint *endpoint_of(const struct messages *messages)
{
	return messages->file.branch->endpoint;
}

/* Batches. */

static void batch_deinit(struct batch *batch)
{
	if (batch->messages != &batch->single)
		free(batch->messages);
}

static int batch_add(struct batch *batch, const char *data, size_t length)
{
	size_t room = batch->room ? 2 * batch->room : BATCH_FIRST;
	struct iovec *messages;

	if (batch->count == batch->room) {
		messages = reallocarray(batch->messages, room, sizeof(*messages));
		if (!messages)
			return -ENOMEM;
		batch->messages = messages;
		batch->room = room;
	}
	batch->messages[batch->count++] = (struct iovec){(void *)(uintptr_t)data, length};
	return 0;
}

/* How many bytes of the write the first `count` messages are. */
static size_t batch_bytes(const struct batch *batch, size_t count)
{
	size_t bytes = count * batch->header;

	for (size_t i = 0; i < count; i++)
		bytes += batch->messages[i].iov_len;
	return bytes;
}

/* The same messages, in a copy of the data that they lie in. */
static void batch_rebase(struct batch *batch, const char *data, char *copy)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct iovec *message = &batch->messages[i];

		message->iov_base = copy + ((const char *)message->iov_base - data);
	}
}

static int check_length(const struct messages *messages, size_t length)
{
	if (length == 0)
		return -EINVAL;
	return length > sivc_max_msg(messages->file.branch->fs->sivc) ? -EMSGSIZE : 0;
}

static int parse_frame(
	const struct messages *messages, const char *data, size_t size, uint32_t *length)
{
	struct sivc_frame_header header;
	int r;

	if (size < sizeof(header))
		return -EINVAL;
	memcpy(&header, data, sizeof(header));
	if (header.domain != (uint32_t)messages->from)
		return -EINVAL;
	r = check_length(messages, header.length);
	if (r < 0)
		return r;
	if (header.length > size - sizeof(header))
		return -EINVAL;
	*length = header.length;
	return 0;
}

/* What is wrong with the first frame is this write's error; with a later one, the next write's. */
static int parse_frames(
	struct batch *batch, const struct messages *messages, const char *data, size_t size)
{
	size_t at = 0;
	uint32_t length;
	int r = size > 0 ? 0 : -EINVAL;

	batch->header = sizeof(struct sivc_frame_header);
	while (r == 0 && at < size) {
		r = parse_frame(messages, data + at, size - at, &length);
		if (r == 0)
			r = batch_add(batch, data + at + batch->header, length);
		if (r == 0)
			at += batch->header + length;
	}
	return batch->count > 0 ? 0 : r;
}

static int batch_init(
	struct batch *batch, const struct messages *messages, const char *data, size_t size)
{
	*batch = (struct batch){0};
	if (messages->framed)
		return parse_frames(batch, messages, data, size);
	batch->single = (struct iovec){(void *)(uintptr_t)data, size};
	batch->messages = &batch->single;
	batch->count = 1;
	return check_length(messages, size);
}

/* Without waiting. */

static int send_now(struct messages *messages, fuse_req_t request, const struct batch *batch)
{
	ssize_t n = sivc_send_many(
		endpoint_of(messages), (uint16_t)messages->from, batch->messages, batch->count);

	if (n == -EAGAIN) {
		messages->want = batch->messages[0].iov_len;
		poll_expect(messages, POLLOUT | POLLWRNORM);
	}
	if (n < 0)
		return (int)n;
	messages->want = 0;
	fuse_reply_write(request, batch_bytes(batch, (size_t)n));
	return 0;
}

static int write_now(struct messages *messages, fuse_req_t request, const char *data, size_t size)
{
	struct batch batch;
	int r = batch_init(&batch, messages, data, size);

	if (r == 0)
		r = send_now(messages, request, &batch);
	batch_deinit(&batch);
	return r;
}

/* Waiting. */

static void held_write_free(struct held_write *write)
{
	batch_deinit(&write->batch);
	free(write->copy);
	free(write);
}

/* What went was written; an error is told of if nothing did. */
static void reply_sent(fuse_req_t request, const struct held_write *write, int r)
{
	size_t bytes = batch_bytes(&write->batch, write->sending.sent);

	if (bytes > 0)
		fuse_reply_write(request, bytes);
	else
		reply_error(request, r);
}

static void finish(struct held_write *write, int r)
{
	held_deinit(&write->held);
	reply_sent(write->held.request, write, r);
	held_write_free(write);
}

static void on_done(struct sivc_sending *sending, int r)
{
	struct held_write *write = container_of(sending, struct held_write, sending);

	if (write->starting) {
		write->finished = true;
		write->result = r;
		return;
	}
	finish(write, r);
}

static void abandon(struct held *held, int r)
{
	struct held_write *write = container_of(held, struct held_write, held);

	sivc_send_cancel(&write->sending);
	finish(write, r);
}

/* 0: all went; -EINPROGRESS: it waits. */
static int send_or_wait(struct held_write *write, struct sivc_endpoint *endpoint, int domid)
{
	int r;

	write->sending.messages = write->batch.messages;
	write->sending.count = write->batch.count;
	write->sending.done = on_done;
	write->starting = true;
	r = sivc_send_start(endpoint, (uint16_t)domid, &write->sending);
	write->starting = false;
	return r == -EINPROGRESS && write->finished ? write->result : r;
}

static int keep_data(struct held_write *write, const char *data, size_t size)
{
	write->copy = malloc(size);
	if (!write->copy)
		return -ENOMEM;
	memcpy(write->copy, data, size);
	batch_rebase(&write->batch, data, write->copy);
	return 0;
}

static int write_or_hold(
	struct messages *messages, fuse_req_t request, const char *data, size_t size)
{
	struct held_write *write = calloc(1, sizeof(*write));
	int r;

	if (!write)
		return -ENOMEM;
	r = batch_init(&write->batch, messages, data, size);
	if (r < 0) {
		held_write_free(write);
		return r;
	}
	r = send_or_wait(write, endpoint_of(messages), messages->from);
	if (r == -EINPROGRESS) {
		r = keep_data(write, data, size);
		if (r == 0) {
			held_init(&write->held, messages, request, abandon);
			return 0;
		}
		sivc_send_cancel(&write->sending);
	}
	reply_sent(request, write, r);
	held_write_free(write);
	return 0;
}

void messages_write(struct file *file, fuse_req_t request, const char *data, size_t size,
	const struct fuse_file_info *fi)
{
	struct messages *messages = container_of(file, struct messages, file);
	int r;

	if (fi->flags & O_NONBLOCK)
		r = write_now(messages, request, data, size);
	else
		r = write_or_hold(messages, request, data, size);
	if (r < 0)
		reply_error(request, r);
}
