/* SPDX-License-Identifier: MIT */
/* poll, select and epoll on a stream: as in poll.c. */
#include <errno.h>
#include <fcntl.h>

#include "stream.h"

/* Events that the handle can have at all, out of those. */
static unsigned int possible(const struct stream *stream, unsigned int events)
{
	int access = stream->handle.file.flags & O_ACCMODE;

	if (access == O_WRONLY)
		events &= ~(unsigned int)EVENTS_IN;
	if (access == O_RDONLY)
		events &= ~(unsigned int)EVENTS_OUT;
	return events;
}

static unsigned int ready_in(struct stream *stream)
{
	const struct line *line = &stream->handle.line;
	struct sivc_message message;
	int r;

	if (line->offset < line->length)
		return EVENTS_IN;
	r = TAILQ_EMPTY(&stream->reads) ? stream_readable(stream, &message) : -EAGAIN;

	if (r == -EAGAIN)
		return 0;
	return r == 0 ? EVENTS_IN : EVENTS_IN | POLLERR;
}

static unsigned int ready_out(struct stream *stream)
{
	int r = stream->error;

	if (r == 0)
		r = TAILQ_EMPTY(&stream->writes) ? sivc_stream_writable(stream->writer) : -EAGAIN;
	if (r == -EAGAIN)
		return 0;
	return r == 0 ? EVENTS_OUT : EVENTS_OUT | POLLERR;
}

static unsigned int ready(struct stream *stream, unsigned int events)
{
	unsigned int result = 0;

	if (events & EVENTS_IN)
		result |= ready_in(stream) & (events | POLLERR);
	if (events & EVENTS_OUT)
		result |= ready_out(stream) & (events | POLLERR);
	return result;
}

static int wait_for(struct stream *stream, unsigned int events)
{
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

void stream_poll_notify(struct stream *stream)
{
	poll_notify(&stream->handle);
	stream_stop_waiting(stream);
}

void stream_poll_expect(struct stream *stream, unsigned int events)
{
	const struct poll *poll = &stream->handle.poll;

	if (!poll->handle)
		return;
	events = possible(stream, events & poll->events);
	if (!events)
		return;
	/* One that cannot wait had better look again. */
	if (ready(stream, events) || wait_for(stream, events) < 0)
		stream_poll_notify(stream);
}

/* This caller's answer is `result`.  For the others, what they have asked for stays watched. */
static int watch(struct stream *stream, unsigned int events, unsigned int result,
	struct fuse_pollhandle *handle)
{
	struct poll *poll = &stream->handle.poll;

	if (poll->handle)
		fuse_pollhandle_destroy(poll->handle);
	poll->handle = handle;
	poll->events |= events;
	return wait_for(stream, events & ~result);
}

void stream_poll(
	struct file *file, fuse_req_t request, unsigned int events, struct fuse_pollhandle *handle)
{
	struct stream *stream = stream_of(file);
	unsigned int result;

	events = possible(stream, events);
	result = ready(stream, events);
	if (handle && watch(stream, events, result, handle) < 0) {
		stream_poll_notify(stream);
		reply_error(request, -ENOMEM);
		return;
	}
	fuse_reply_poll(request, result);
}
