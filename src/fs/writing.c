/* SPDX-License-Identifier: MIT */
/*
 * Writing peers/N.
 *
 * A write is one message, or, framed, a batch of them, each behind a header that was checked here
 * first.  libsivc sends whole messages, in order; a write returns the bytes of those that went.  If
 * some have to wait, the write is held.  Then it keeps the request's memory, if much of that is the
 * message's, or else a copy of the data, before libsivc gets it to wait with.  That memory is
 * charged to the user who writes.
 */
#include <errno.h>
#include <fcntl.h>
#include <sivc/ioctl.h>
#include <stdlib.h>
#include <string.h>

#include "held.h"
#include "kept.h"

#define BATCH_FIRST 64

struct batch {
	struct iovec *messages; /* allocated; NULL: `single` */
	size_t count;
	size_t room;
	size_t header; /* bytes before each message that count as written, too */
	struct iovec single;
};

struct held_write {
	struct held held;
	struct batch batch;
	size_t sent;      /* messages that went before it was held */
	struct kept kept; /* what the messages lie in */
	struct sivc_sending *sending;
};

static struct sivc_endpoint *endpoint_of(const struct messages *messages)
{
	return messages->file.branch->endpoint;
}

/* Batches. */

static void batch_deinit(struct batch *batch)
{
	free(batch->messages);
}

static struct iovec *batch_messages(struct batch *batch)
{
	return batch->messages ? batch->messages : &batch->single;
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
static size_t batch_bytes(struct batch *batch, size_t count)
{
	const struct iovec *messages = batch_messages(batch);
	size_t bytes = count * batch->header;

	for (size_t i = 0; i < count; i++)
		bytes += messages[i].iov_len;
	return bytes;
}

/* The same messages; the data that they lie in is elsewhere now. */
static void batch_rebase(struct batch *batch, const char *data, const char *now)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct iovec *message = &batch_messages(batch)[i];

		message->iov_base =
			(void *)(uintptr_t)(now + ((const char *)message->iov_base - data));
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
	batch->count = 1;
	return check_length(messages, size);
}

/* Without waiting.  -EMSGSIZE may mean that this message takes waiting. */

static ssize_t send_now(struct messages *messages, struct batch *batch)
{
	return sivc_send_many(endpoint_of(messages), (uint16_t)messages->from,
		batch_messages(batch), batch->count);
}

/* What went was written; an error is told of if nothing did.  The next edge: poll.c. */
static void reply_sent(
	struct messages *messages, fuse_req_t request, struct batch *batch, size_t sent, int r)
{
	bool more = sent < batch->count && (r == 0 || r == -EAGAIN);

	messages->want = more ? batch_messages(batch)[sent].iov_len : 0;
	if (sent > 0)
		fuse_reply_write(request, batch_bytes(batch, sent));
	else
		reply_error(request, r);
	poll_expect(messages, EVENTS_OUT);
}

/* Waiting. */

static int keep(
	struct fs *fs, struct held_write *write, fuse_req_t request, const char *data, size_t size)
{
	size_t more = sizeof(*write) + write->batch.room * sizeof(struct iovec);
	const char *now;
	int r = kept_take(fs, fuse_req_ctx(request)->uid, data, size, more, &write->kept, &now);

	if (r == 0)
		batch_rebase(&write->batch, data, now);
	return r;
}

static void held_write_free(struct fs *fs, struct held_write *write)
{
	batch_deinit(&write->batch);
	kept_give(fs, &write->kept);
	free(write);
}

static void finish(struct held_write *write, int r, size_t sent)
{
	struct messages *messages = write->held.messages;

	held_deinit(&write->held);
	reply_sent(messages, write->held.request, &write->batch, write->sent + sent, r);
	held_write_free(messages->file.branch->fs, write);
}

static void on_done(void *data, int r, size_t sent)
{
	finish(data, r, sent);
}

static void abandon(struct held *held, int r)
{
	struct held_write *write = container_of(held, struct held_write, held);

	finish(write, r, sivc_send_cancel(write->sending));
}

/* `sent` messages of the batch have gone; the others wait for room.  0: it is answered, or held. */
static int hold(struct messages *messages, fuse_req_t request, struct batch *batch, size_t sent,
	const char *data, size_t size)
{
	struct held_write *write = calloc(1, sizeof(*write));
	struct fs *fs = messages->file.branch->fs;
	ssize_t n;

	if (!write)
		return -ENOMEM;
	write->batch = *batch;
	write->sent = sent;
	*batch = (struct batch){0};
	n = keep(fs, write, request, data, size);
	if (n == 0)
		n = sivc_send_start(endpoint_of(messages), (uint16_t)messages->from,
			batch_messages(&write->batch) + sent, write->batch.count - sent, on_done,
			write, &write->sending);
	if (n == -EINPROGRESS) {
		held_init(&write->held, messages, request, abandon);
		return 0;
	}
	reply_sent(messages, request, &write->batch, sent + (n > 0 ? (size_t)n : 0),
		n < 0 ? (int)n : 0);
	held_write_free(fs, write);
	return 0;
}

/* 0: it is answered, or held. */
static int write_batch(struct messages *messages, fuse_req_t request, struct batch *batch,
	const char *data, size_t size, bool wait)
{
	ssize_t n = send_now(messages, batch);
	size_t sent = n > 0 ? (size_t)n : 0;

	if (wait && sent < batch->count && (n > 0 || n == -EAGAIN || n == -EMSGSIZE))
		return hold(messages, request, batch, sent, data, size);
	reply_sent(messages, request, batch, sent, n < 0 ? (int)n : 0);
	return 0;
}

void messages_write(struct file *file, fuse_req_t request, const char *data, size_t size,
	const struct fuse_file_info *fi)
{
	struct messages *messages = container_of(file, struct messages, file);
	struct batch batch;
	int r = batch_init(&batch, messages, data, size);

	if (r == 0)
		r = write_batch(messages, request, &batch, data, size, !(fi->flags & O_NONBLOCK));
	batch_deinit(&batch);
	if (r < 0)
		reply_error(request, r);
}
