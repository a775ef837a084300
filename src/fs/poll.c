/* SPDX-License-Identifier: MIT */
/*
 * poll, select and epoll on inbox and peers/N.
 *
 * A FUSE poll is answered at once.  If somebody waits, the kernel leaves a handle with it, by which
 * we say that all who wait should ask again.  There is one queue of waiting pollers an open file,
 * so what we watch for is what any of them has asked for since the last notice.
 *
 * Ready means that the next call without waiting does not give EAGAIN, which for a writer depends
 * on the length: after an EAGAIN the length that did not fit.
 *
 * Who polls edge-triggered does not ask again while it is ready.  So a read or a write begins the
 * wait for the next edge (poll_expect): a read always, since more may come that its caller did not
 * see; a write if there is no room for another.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "messages.h"

#define EVENTS_IN  (POLLIN | POLLRDNORM)
#define EVENTS_OUT (POLLOUT | POLLWRNORM)

static struct sivc_endpoint *endpoint_of(const struct messages *messages)
{
	return messages->file.branch->endpoint;
}

/* Events that the handle can have at all, out of those. */
static unsigned int possible(const struct messages *messages, unsigned int events)
{
	int access = messages->file.flags & O_ACCMODE;

	if (access == O_WRONLY)
		events &= ~(unsigned int)EVENTS_IN;
	if (access == O_RDONLY)
		events &= ~(unsigned int)EVENTS_OUT;
	return events;
}

static unsigned int ready_in(const struct messages *messages)
{
	struct sivc_message message;
	int r;

	if (messages->unread)
		return EVENTS_IN;
	r = sivc_peek(endpoint_of(messages), messages->from, &message);
	if (r == -EAGAIN)
		return 0;
	return r == 0 ? EVENTS_IN : EVENTS_IN | POLLERR;
}

static size_t wanted_length(const struct messages *messages)
{
	return messages->want > 0 ? messages->want : 1;
}

static unsigned int ready_out(const struct messages *messages)
{
	int r = sivc_writable(
		endpoint_of(messages), (uint16_t)messages->from, wanted_length(messages));

	if (r == -EAGAIN)
		return 0;
	return r == 0 ? EVENTS_OUT : EVENTS_OUT | POLLERR;
}

static unsigned int ready(const struct messages *messages, unsigned int events)
{
	unsigned int result = 0;

	if (events & EVENTS_IN)
		result |= ready_in(messages) & (events | POLLERR);
	if (events & EVENTS_OUT)
		result |= ready_out(messages) & (events | POLLERR);
	return result;
}

static void stop_waiting(struct poll *poll)
{
	sivc_wait_cancel(poll->readable);
	sivc_wait_cancel(poll->writable);
	poll->readable = NULL;
	poll->writable = NULL;
}

/* Without telling anybody. */
void poll_deinit(struct messages *messages)
{
	struct poll *poll = &messages->poll;

	stop_waiting(poll);
	if (poll->handle)
		fuse_pollhandle_destroy(poll->handle);
	poll->handle = NULL;
	poll->events = 0;
}

void poll_notify(struct messages *messages)
{
	if (messages->poll.handle)
		fuse_lowlevel_notify_poll(messages->poll.handle);
	poll_deinit(messages);
}

/* The message is for whoever reads. */
static void on_readable(void *data, int r, const struct sivc_message *message)
{
	struct messages *messages = data;

	(void)r;
	(void)message;
	messages->poll.readable = NULL;
	poll_notify(messages);
}

static void on_writable(void *data)
{
	struct messages *messages = data;

	messages->poll.writable = NULL;
	poll_notify(messages);
}

static int wait_for(struct messages *messages, unsigned int events)
{
	struct poll *poll = &messages->poll;
	int r = 0;

	if (events & EVENTS_IN && !poll->readable)
		r = sivc_wait_receive(endpoint_of(messages), messages->from, on_readable, messages,
			&poll->readable);
	if (r < 0 || !(events & EVENTS_OUT))
		return r;
	/* The length that is waited for may be another one now. */
	sivc_wait_cancel(poll->writable);
	poll->writable = NULL;
	return sivc_wait_send(endpoint_of(messages), (uint16_t)messages->from,
		wanted_length(messages), on_writable, messages, &poll->writable);
}

void poll_expect(struct messages *messages, unsigned int events)
{
	struct poll *poll = &messages->poll;

	if (!poll->handle)
		return;
	events = possible(messages, events & poll->events);
	if (events & EVENTS_OUT && ready_out(messages))
		events &= ~(unsigned int)EVENTS_OUT;
	/* One that cannot wait had better look again. */
	if (events && wait_for(messages, events) < 0)
		poll_notify(messages);
}

/* This caller's answer is `result`.  For the others, what they have asked for stays watched. */
static int watch(struct messages *messages, unsigned int events, unsigned int result,
	struct fuse_pollhandle *handle)
{
	struct poll *poll = &messages->poll;

	if (poll->handle)
		fuse_pollhandle_destroy(poll->handle);
	poll->handle = handle;
	poll->events |= events;
	return wait_for(messages, events & ~result);
}

void messages_poll(
	struct file *file, fuse_req_t request, unsigned int events, struct fuse_pollhandle *handle)
{
	struct messages *messages = container_of(file, struct messages, file);
	unsigned int result;

	events = possible(messages, events);
	result = ready(messages, events);
	if (handle && watch(messages, events, result, handle) < 0) {
		poll_notify(messages);
		reply_error(request, -ENOMEM);
		return;
	}
	fuse_reply_poll(request, result);
}
