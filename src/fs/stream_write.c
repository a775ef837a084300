/* SPDX-License-Identifier: MIT */
/*
 * Writing a stream, and fsync.
 *
 * A write goes into the receiver's ring as far as there is room.  One that waits is held for the
 * rest; then it keeps the request's memory, if that is mostly data, or a copy.  What several
 * processes write to one handle stays in order, each write in one piece.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "kept.h"
#include "stream.h"

struct stream_write {
	struct held held;
	struct kept kept;
	const char *data;
	size_t size;
	size_t sent; /* bytes of it */
	TAILQ_ENTRY(stream_write) link;
};

struct stream_sync {
	struct held held;
	struct sivc_waiter *waiter;
};

/* 0: all of it was sent; -EAGAIN: *sent bytes more were.  After another error all is over. */
static int send_bytes(struct stream *stream, const char *data, size_t size, size_t *sent)
{
	ssize_t n = 0;

	while (*sent < size && n >= 0) {
		n = sivc_stream_write(stream->writer, data + *sent, size - *sent);
		if (n > 0) {
			*sent += (size_t)n;
			stream->written = true;
		}
	}
	if (n < 0 && n != -EAGAIN)
		stream->error = (int)n;
	return n < 0 ? (int)n : 0;
}

/* Writes that wait. */

/* A part that was sent is said, unless all is over. */
static void finish(struct stream_write *write, int r, bool over)
{
	struct stream *stream = stream_of_held(&write->held);
	fuse_req_t request = write->held.request;
	size_t sent = write->sent;

	TAILQ_REMOVE(&stream->writes, write, link);
	held_deinit(&write->held);
	kept_give(stream->handle.file.branch->fs, &write->kept);
	free(write);
	if (r < 0 && (over || sent == 0))
		reply_error(request, r);
	else
		fuse_reply_write(request, sent);
}

static void abandon(struct held *held, int r)
{
	struct stream *stream = stream_of_held(held);

	finish(container_of(held, struct stream_write, held), r, r != -EINTR);
	stream_stop_waiting(stream);
}

void stream_fail_writes(struct stream *stream, int r)
{
	struct stream_write *write;

	while ((write = TAILQ_FIRST(&stream->writes)) != NULL)
		finish(write, r, true);
}

static void on_room(void *data)
{
	struct stream *stream = data;
	struct stream_write *write;
	int r = 0;

	stream->room = NULL;
	while (r == 0 && (write = TAILQ_FIRST(&stream->writes)) != NULL) {
		r = send_bytes(stream, write->data, write->size, &write->sent);
		if (r == 0)
			finish(write, 0, false);
	}
	if (r == -EAGAIN)
		r = stream_wait_room(stream);
	if (r < 0)
		stream_fail_writes(stream, r);
	stream_poll_expect(stream, EVENTS_OUT);
}

int stream_wait_room(struct stream *stream)
{
	return stream->room ? 0
			    : sivc_stream_wait_room(stream->writer, on_room, stream, &stream->room);
}

static int hold(
	struct stream *stream, fuse_req_t request, const char *data, size_t size, size_t sent)
{
	struct stream_write *write = calloc(1, sizeof(*write));
	int r;

	if (!write)
		return -ENOMEM;
	r = kept_take(stream->handle.file.branch->fs, fuse_req_ctx(request)->uid, data, size,
		sizeof(*write), &write->kept, &write->data);
	if (r < 0) {
		free(write);
		return r;
	}
	write->size = size;
	write->sent = sent;
	TAILQ_INSERT_TAIL(&stream->writes, write, link);
	held_init(&write->held, &stream->handle, request, abandon);
	if (write->held.interrupted)
		return 0;
	r = stream_wait_room(stream);
	if (r < 0)
		abandon(&write->held, r);
	return 0;
}

void stream_write(struct file *file, fuse_req_t request, const char *data, size_t size,
	const struct fuse_file_info *fi)
{
	struct stream *stream = stream_of(file);
	size_t sent = 0;
	int r = stream->error;

	if (r == 0)
		r = TAILQ_EMPTY(&stream->writes) ? send_bytes(stream, data, size, &sent) : -EAGAIN;
	if (r == -EAGAIN && !(fi->flags & O_NONBLOCK)) {
		r = hold(stream, request, data, size, sent);
		if (r < 0)
			reply_error(request, r);
		return;
	}
	if (r == 0 || (r == -EAGAIN && sent > 0))
		fuse_reply_write(request, sent);
	else
		reply_error(request, r);
	stream_poll_expect(stream, EVENTS_OUT);
}

/* fsync. */

static void sync_finish(struct stream_sync *sync, int r)
{
	fuse_req_t request = sync->held.request;

	held_deinit(&sync->held);
	free(sync);
	reply_error(request, r);
}

static void on_read(void *data, int r)
{
	struct stream_sync *sync = data;
	int error = stream_of_held(&sync->held)->error;

	sync_finish(sync, error ? error : r);
}

static void sync_abandon(struct held *held, int r)
{
	struct stream_sync *sync = container_of(held, struct stream_sync, held);

	sivc_wait_cancel(sync->waiter);
	sync_finish(sync, r);
}

void stream_sync(struct file *file, fuse_req_t request)
{
	struct stream *stream = stream_of(file);
	struct stream_sync *sync = calloc(1, sizeof(*sync));
	int r = stream->error;

	if (r == 0 && !sync)
		r = -ENOMEM;
	if (r < 0) {
		free(sync);
		reply_error(request, r);
		return;
	}
	held_init(&sync->held, &stream->handle, request, sync_abandon);
	if (sync->held.interrupted)
		return;
	r = sivc_stream_wait_read(stream_endpoint(stream), (uint16_t)stream->handle.from,
		stream->writer, on_read, sync, &sync->waiter);
	if (r < 0)
		sync_abandon(&sync->held, r);
}
