/* SPDX-License-Identifier: MIT */
/*
 * poll, select and epoll on inbox and peers/N.
 *
 * A FUSE poll is answered at once.  The kernel may leave a handle with it, by which we say, once,
 * that it should ask again; the newest one counts.  Ready means that the next call without waiting
 * does not give EAGAIN, which for a writer depends on the length: after an EAGAIN the length that
 * did not fit.
 *
 * Who polls edge-triggered is not asked again while it is ready, so when it has read or written
 * until EAGAIN, that call (poll_expect) begins the wait for the next edge.
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

	if (messages->rest)
		return EVENTS_IN;
	r = sivc_peek(endpoint_of(messages), messages->from, &message);
	if (r == -EAGAIN)
		return 0;
	return r == 0 ? EVENTS_IN : EVENTS_IN | POLLERR;
}

static unsigned int ready_out(const struct messages *messages)
{
	int r = sivc_writable(endpoint_of(messages), (uint16_t)messages->from,
		messages->want > 0 ? messages->want : 1);

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

/* Without telling anybody. */
void poll_deinit(struct messages *messages)
{
	struct poll *poll = &messages->poll;

	sivc_wait_cancel(&poll->readable);
	sivc_wait_cancel(&poll->writable);
	if (poll->handle)
		fuse_pollhandle_destroy(poll->handle);
	poll->handle = NULL;
}

void poll_notify(struct messages *messages)
{
	if (messages->poll.handle)
		fuse_lowlevel_notify_poll(messages->poll.handle);
	poll_deinit(messages);
}

static void on_readable(struct sivc_waiter *waiter)
{
	poll_notify(container_of(waiter, struct messages, poll.readable));
}

static void on_writable(struct sivc_waiter *waiter)
{
	poll_notify(container_of(waiter, struct messages, poll.writable));
}

/* The callbacks may come before these return, and then nobody is to be told any more. */
static int wait_for(struct messages *messages, unsigned int events)
{
	struct poll *poll = &messages->poll;
	int r = 0;

	if (events & EVENTS_IN) {
		sivc_wait_cancel(&poll->readable);
		poll->readable.fn = on_readable;
		r = sivc_wait_receive(endpoint_of(messages), messages->from, &poll->readable);
	}
	if (r == 0 && poll->handle && events & EVENTS_OUT) {
		sivc_wait_cancel(&poll->writable);
		poll->writable.fn = on_writable;
		r = sivc_wait_send(endpoint_of(messages), (uint16_t)messages->from,
			messages->want > 0 ? messages->want : 1, &poll->writable);
	}
	return r;
}

void poll_expect(struct messages *messages, unsigned int events)
{
	events = possible(messages, events & messages->poll.events);
	/* One that cannot wait had better look again. */
	if (messages->poll.handle && wait_for(messages, events) < 0)
		poll_notify(messages);
}

void messages_poll(
	struct file *file, fuse_req_t request, unsigned int events, struct fuse_pollhandle *handle)
{
	struct messages *messages = container_of(file, struct messages, file);
	unsigned int result;
	int r = 0;

	events = possible(messages, events);
	result = ready(messages, events);
	if (handle) {
		poll_deinit(messages);
		messages->poll.handle = handle;
		messages->poll.events = events;
		r = wait_for(messages, events & ~result);
	}
	if (r < 0) {
		poll_deinit(messages);
		reply_error(request, r);
		return;
	}
	fuse_reply_poll(request, result);
}
