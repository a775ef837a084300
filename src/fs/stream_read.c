/* SPDX-License-Identifier: MIT */
/*
 * Reading a stream.
 *
 * A read gives what has come, straight from where it lies, in memory that the sender may still
 * write to; only its length is believed.  What the kernel has taken is consumed; what it has not,
 * because the reader is gone, stays for the handle's next read.
 *
 * Several processes that have one handle share its stream: their reads are answered in order.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/param.h>

#include "stream.h"

struct stream_read {
	struct held held;
	size_t size;
	TAILQ_ENTRY(stream_read) link;
};

ssize_t stream_readable(struct stream *stream)
{
	struct iovec iov[SIVC_STREAM_IOV];
	struct sivc_message message;
	int count, r;

	if (stream->reader)
		return sivc_stream_peek(stream->reader, iov, &count);
	r = sivc_peek(stream_endpoint(stream), stream->handle.from, &message);
	return r < 0 ? r : (ssize_t)message.length;
}

static void give_line(struct line *line, fuse_req_t request, size_t size)
{
	size_t given = MIN(size, (size_t)(line->length - line->offset));

	if (fuse_reply_buf(request, line->text + line->offset, given) == 0)
		line->offset = (uint8_t)(line->offset + given);
}

/* The stream that begins is this handle's. */
static int accept_stream(struct stream *stream)
{
	struct sivc_endpoint *endpoint = stream_endpoint(stream);
	struct sivc_message message;
	int r = sivc_peek(endpoint, stream->handle.from, &message);

	if (r == 0)
		r = sivc_stream_accept(endpoint, &message, &stream->reader);
	if (r < 0)
		return r;
	stream->handle.sender = message.sender;
	line_make(&stream->handle, message.sender, 0);
	return 0;
}

/* 0: the request was answered.  -EAGAIN: there is nothing now.  Another error: the caller replies.
 */
static int give(struct stream *stream, fuse_req_t request, size_t size)
{
	struct line *line = &stream->handle.line;
	struct iovec iov[SIVC_STREAM_IOV];
	ssize_t length;
	size_t given;
	int count, r = stream->reader ? 0 : accept_stream(stream);

	if (r == 0 && line->offset < line->length) {
		give_line(line, request, size);
		return 0;
	}
	if (r < 0)
		return r;
	length = sivc_stream_peek(stream->reader, iov, &count);
	if (length == -ECONNRESET)
		sivc_stream_consume(stream->reader, 0);
	if (length < 0)
		return (int)length;
	given = MIN(size, (size_t)length);
	if (reply_bytes(request, iov, count, given) == 0)
		sivc_stream_consume(stream->reader, given);
	return 0;
}

/* Reads that wait. */

static void stream_read_free(struct stream_read *read)
{
	TAILQ_REMOVE(&stream_of_held(&read->held)->reads, read, link);
	held_deinit(&read->held);
	free(read);
}

static void abandon(struct held *held, int r)
{
	struct stream *stream = stream_of_held(held);
	fuse_req_t request = held->request;

	stream_read_free(container_of(held, struct stream_read, held));
	reply_error(request, r);
	stream_stop_waiting(stream);
}

/* In order, as far as it goes. */
static void serve(struct stream *stream, int r)
{
	struct stream_read *read;

	while (r != -EAGAIN && (read = TAILQ_FIRST(&stream->reads)) != NULL) {
		fuse_req_t request = read->held.request;

		if (r == 0)
			r = give(stream, request, read->size);
		if (r == -EAGAIN)
			return;
		stream_read_free(read);
		if (r < 0)
			reply_error(request, r);
		if (r == -ECONNRESET)
			r = 0; /* it says so itself */
	}
}

static void on_next(void *data, int r, const struct sivc_message *message)
{
	struct stream *stream = data;

	(void)message; /* looked at again for each read */
	stream->next = NULL;
	serve(stream, r == -ECONNRESET ? 0 : r);
	stream_poll_expect(stream, EVENTS_IN);
	r = TAILQ_EMPTY(&stream->reads) ? 0 : stream_wait_next(stream);
	if (r < 0)
		serve(stream, r);
}

int stream_wait_next(struct stream *stream)
{
	if (stream->next)
		return 0;
	if (stream->reader)
		return sivc_stream_wait(stream->reader, on_next, stream, &stream->next);
	return sivc_wait_receive(
		stream_endpoint(stream), stream->handle.from, on_next, stream, &stream->next);
}

static int hold(struct stream *stream, fuse_req_t request, size_t size)
{
	struct stream_read *read = calloc(1, sizeof(*read));
	int r;

	if (!read)
		return -ENOMEM;
	read->size = size;
	TAILQ_INSERT_TAIL(&stream->reads, read, link);
	held_init(&read->held, &stream->handle, request, abandon);
	if (read->held.interrupted)
		return 0;
	r = stream_wait_next(stream);
	if (r < 0)
		abandon(&read->held, r);
	return 0;
}

void stream_read(struct file *file, fuse_req_t request, size_t size, off_t offset,
	const struct fuse_file_info *fi)
{
	struct stream *stream = stream_of(file);
	int r = -EAGAIN;

	(void)offset;
	if (fi->lock_owner == 0)
		r = -EINVAL; /* from the page cache: see reading.c */
	else if (TAILQ_EMPTY(&stream->reads))
		r = give(stream, request, size);
	if (r == -EAGAIN && !(fi->flags & O_NONBLOCK))
		r = hold(stream, request, size);
	else if (r == 0 || r == -EAGAIN)
		stream_poll_expect(stream, EVENTS_IN);
	if (r < 0)
		reply_error(request, r);
}
