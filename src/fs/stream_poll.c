/* SPDX-License-Identifier: MIT */
/* poll, select and epoll on a stream: as in poll.c. */
#include <errno.h>

#include "stream.h"

static int readable(struct messages *handle)
{
	struct stream *stream = stream_of_handle(handle);
	const struct line *line = &handle->line;
	ssize_t bytes = TAILQ_EMPTY(&stream->reads) ? stream_readable(stream) : -EAGAIN;

	return bytes >= 0 || line->offset < line->length ? 0 : (int)bytes;
}

static int writable(struct messages *handle)
{
	struct stream *stream = stream_of_handle(handle);

	if (stream->error)
		return stream->error;
	return TAILQ_EMPTY(&stream->writes) ? sivc_stream_writable(stream->writer) : -EAGAIN;
}

static int wait_for(struct messages *handle, unsigned int events)
{
	struct stream *stream = stream_of_handle(handle);
	int r = events & EVENTS_IN ? stream_wait_next(stream) : 0;

	if (r == 0 && events & EVENTS_OUT && stream->error == 0)
		r = stream_wait_room(stream);
	return r;
}

void stream_stop_waiting(struct stream *stream)
{
	unsigned int polled = stream->handle.poll.handle ? stream->handle.poll.events : 0;

	if (TAILQ_EMPTY(&stream->reads) && !(polled & EVENTS_IN)) {
		sivc_wait_cancel(stream->next);
		stream->next = NULL;
	}
	if (TAILQ_EMPTY(&stream->writes) && !(polled & EVENTS_OUT)) {
		sivc_wait_cancel(stream->room);
		stream->room = NULL;
	}
}

static void notify(struct messages *handle)
{
	poll_notify(handle);
	stream_stop_waiting(stream_of_handle(handle));
}

static const struct poll_ops stream_polling = {
	.readable = readable,
	.writable = writable,
	.wait_for = wait_for,
	.notify = notify,
};

void stream_poll_expect(struct stream *stream, unsigned int events)
{
	struct messages *handle = &stream->handle;

	if (!handle->poll.handle)
		return;
	events = poll_possible(handle, events & handle->poll.events);
	if (!events)
		return;
	/* One that cannot wait had better look again. */
	if (poll_ready(handle, &stream_polling, events) || wait_for(handle, events) < 0)
		notify(handle);
}

void stream_poll(
	struct file *file, fuse_req_t request, unsigned int events, struct fuse_pollhandle *handle)
{
	poll_answer(&stream_of(file)->handle, &stream_polling, request, events, handle);
}
