/* SPDX-License-Identifier: MIT */
/*
 * waits.h: waiters and sendings of libsivc, as a test likes to keep them: embedded in what they
 * belong to, and with a handle that is NULL when they do not wait (any more).
 */
#ifndef SIVC_TEST_WAITS_H
#define SIVC_TEST_WAITS_H

#include <errno.h>
#include <sivc/sivc.h>

struct waiter {
	void (*fn)(struct waiter *waiter);
	struct sivc_waiter *handle;
	int r; /* what fn was called with */
};

static inline void waiter_on_message(void *data, int r, const struct sivc_message *message)
{
	struct waiter *waiter = data;

	(void)message; /* it stays, for whoever receives */
	waiter->handle = NULL;
	waiter->r = r;
	waiter->fn(waiter);
}

static inline void waiter_on_room(void *data)
{
	struct waiter *waiter = data;

	waiter->handle = NULL;
	waiter->fn(waiter);
}

static inline int wait_receive(struct sivc_endpoint *ep, int from, struct waiter *waiter)
{
	return sivc_wait_receive(ep, from, waiter_on_message, waiter, &waiter->handle);
}

static inline int wait_send(
	struct sivc_endpoint *ep, uint16_t domid, size_t length, struct waiter *waiter)
{
	return sivc_wait_send(ep, domid, length, waiter_on_room, waiter, &waiter->handle);
}

static inline int wait_stream(struct sivc_reader *reader, struct waiter *waiter)
{
	return sivc_stream_wait(reader, waiter_on_message, waiter, &waiter->handle);
}

static inline int wait_room(struct sivc_writer *writer, struct waiter *waiter)
{
	return sivc_stream_wait_room(writer, waiter_on_room, waiter, &waiter->handle);
}

static inline void waiter_on_read(void *data, int r)
{
	((struct waiter *)data)->r = r;
	waiter_on_room(data);
}

/* `writer` may be NULL. */
static inline int wait_read(
	struct sivc_endpoint *ep, uint16_t domid, struct sivc_writer *writer, struct waiter *waiter)
{
	return sivc_stream_wait_read(ep, domid, writer, waiter_on_read, waiter, &waiter->handle);
}

static inline void wait_cancel(struct waiter *waiter)
{
	sivc_wait_cancel(waiter->handle);
	waiter->handle = NULL;
}

struct sending {
	const struct iovec *messages;
	size_t count;
	void (*done)(struct sending *sending, int error);
	struct sivc_sending *handle;
	size_t sent;
};

static inline void sending_done(void *data, int r, size_t sent)
{
	struct sending *sending = data;

	sending->handle = NULL;
	sending->sent = sent;
	if (sending->done)
		sending->done(sending, r);
}

/* 0, -EINPROGRESS or the error. */
static inline int send_start(struct sivc_endpoint *ep, uint16_t domid, struct sending *sending)
{
	ssize_t n = sivc_send_start(ep, domid, sending->messages, sending->count, sending_done,
		sending, &sending->handle);

	sending->sent = n > 0 ? (size_t)n : 0;
	return n > 0 ? 0 : (int)n;
}

static inline void send_cancel(struct sending *sending)
{
	if (sending->handle)
		sending->sent = sivc_send_cancel(sending->handle);
	sending->handle = NULL;
}

#endif
