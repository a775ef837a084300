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

#include "messages.h"

unsigned int poll_possible(const struct messages *messages, unsigned int events)
{
	int access = messages->file.flags & O_ACCMODE;

	if (access == O_WRONLY)
		events &= ~(unsigned int)EVENTS_IN;
	if (access == O_RDONLY)
		events &= ~(unsigned int)EVENTS_OUT;
	return events;
}

/* Of a call that gives r. */
static unsigned int events_of(int r, unsigned int events)
{
	if (r == -EAGAIN)
		return 0;
	return r == 0 ? events : events | POLLERR;
}

unsigned int poll_ready(struct messages *messages, const struct poll_ops *ops, unsigned int events)
{
	unsigned int result = 0;

	if (events & EVENTS_IN)
		result |= events_of(ops->readable(messages), EVENTS_IN);
	if (events & EVENTS_OUT)
		result |= events_of(ops->writable(messages), EVENTS_OUT);
	return result & (events | POLLERR);
}

/* This caller's answer is `result`.  For the others, what they have asked for stays watched. */
static int watch(struct messages *messages, const struct poll_ops *ops, unsigned int events,
	unsigned int result, struct fuse_pollhandle *handle)
{
	struct poll *poll = &messages->poll;

	if (poll->handle)
		fuse_pollhandle_destroy(poll->handle);
	poll->handle = handle;
	poll->events |= events;
	return ops->wait_for(messages, events & ~result);
}

void poll_answer(struct messages *messages, const struct poll_ops *ops, fuse_req_t request,
	unsigned int events, struct fuse_pollhandle *handle)
{
	unsigned int result;

	events = poll_possible(messages, events);
	result = poll_ready(messages, ops, events);
	if (handle && watch(messages, ops, events, result, handle) < 0) {
		ops->notify(messages);
		reply_error(request, -ENOMEM);
		return;
	}
	fuse_reply_poll(request, result);
}

/* Of a handle for messages. */

static struct sivc_endpoint *endpoint_of(const struct messages *messages)
{
	return messages->file.branch->endpoint;
}

static int readable(struct messages *messages)
{
	struct sivc_message message;

	return messages->unread ? 0 : sivc_peek(endpoint_of(messages), messages->from, &message);
}

static size_t wanted_length(const struct messages *messages)
{
	return messages->want > 0 ? messages->want : 1;
}

static int writable(struct messages *messages)
{
	return sivc_writable(
		endpoint_of(messages), (uint16_t)messages->from, wanted_length(messages));
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
	events = poll_possible(messages, events & poll->events);
	if (events & EVENTS_OUT && writable(messages) != -EAGAIN)
		events &= ~(unsigned int)EVENTS_OUT;
	/* One that cannot wait had better look again. */
	if (events && wait_for(messages, events) < 0)
		poll_notify(messages);
}

static const struct poll_ops messages_polling = {
	.readable = readable,
	.writable = writable,
	.wait_for = wait_for,
	.notify = poll_notify,
};

void messages_poll(
	struct file *file, fuse_req_t request, unsigned int events, struct fuse_pollhandle *handle)
{
	poll_answer(container_of(file, struct messages, file), &messages_polling, request, events,
		handle);
}
