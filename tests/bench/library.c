/* SPDX-License-Identifier: MIT */
/*
 * library.c: libsivc without a mount, between domains 1 and 2 of a directory of the local backend.
 *
 *	libsivc  a message a call: sivc_send and sivc_receive, which copy once each
 *	batched  many messages a call: sivc_send_many; what is received is read where it lies
 */
#include "transport.h"

#include <errno.h>
#include <sivc/sivc.h>
#include <stdlib.h>
#include <string.h>

struct library {
	struct sivc *sivc;
	struct sivc_endpoint *endpoint;
	uint16_t peer;
	/* batched: what is to be sent */
	char *out;
	struct iovec messages[BATCH_MESSAGES];
	size_t batch;
	size_t count;
	/* batched: what was handed over and is not consumed yet */
	struct sivc_message message;
	bool peeked;
};

static uint16_t domid_of(enum side side)
{
	return (uint16_t)(side + 1);
}

static int library_prepare(struct plan *plan)
{
	return plan->dir ? 0 : -EOPNOTSUPP;
}

static void library_close(struct link *link)
{
	struct library *library = link->own;

	if (!library)
		return;
	if (library->peeked)
		sivc_consume(library->endpoint, &library->message); /* or it was never received */
	sivc_close(library->sivc);
	free(library->out);
	free(library);
	link->own = NULL;
}

static int library_open(struct link *link)
{
	const struct sivc_config config = {
		.backend = "local",
		.dir = link->plan->dir,
		.domid = domid_of(link->side),
		.spin = link->plan->spin_us,
	};
	struct library *library = calloc(1, sizeof *library);
	int r;

	if (!library)
		return -ENOMEM;
	link->own = library;
	library->peer = domid_of(side_other(link->side));
	r = sivc_open(&config, &library->sivc);
	if (r < 0)
		return r;
	r = sivc_endpoint_open(library->sivc, "default", NULL, &library->endpoint);
	if (r < 0)
		return r;
	return sivc_permit(library->endpoint, library->peer);
}

static int library_send(struct link *link, size_t size)
{
	struct library *library = link->own;

	return sivc_send(library->endpoint, library->peer, link->out, size, 0);
}

static int library_receive(struct link *link, size_t size, const void **bytes)
{
	struct library *library = link->own;
	ssize_t n = sivc_receive(library->endpoint, SIVC_ANY, link->in, size, NULL, 0);

	*bytes = link->in;
	if (n < 0)
		return (int)n;
	return n == (ssize_t)size ? 0 : -EPROTO;
}

const struct transport transport_libsivc = {
	.name = "libsivc",
	.prepare = library_prepare,
	.open = library_open,
	.send = library_send,
	.receive = library_receive,
	.close = library_close,
};

static int batched_open(struct link *link)
{
	size_t size = link->plan->size;
	struct library *library;
	int r = library_open(link);

	if (r < 0)
		return r;
	library = link->own;
	library->batch = BATCH_BYTES / size;
	if (library->batch < 1)
		library->batch = 1;
	if (library->batch > BATCH_MESSAGES)
		library->batch = BATCH_MESSAGES;
	library->out = malloc(library->batch * size);
	return library->out ? 0 : -ENOMEM;
}

static void *batched_place(struct link *link)
{
	struct library *library = link->own;

	return library->out + library->count * link->plan->size;
}

static void depart(void *data, int r, size_t sent)
{
	(void)sent;
	*(int *)data = r;
}

/* sivc_send_start waits for room where sivc_send_many would give up. */
static int batched_flush(struct link *link)
{
	struct library *library = link->own;
	struct sivc_sending *sending;
	int r, result = -EINPROGRESS;
	ssize_t n;

	if (!library->count)
		return 0;
	n = sivc_send_start(library->endpoint, library->peer, library->messages, library->count,
		depart, &result, &sending);
	library->count = 0;
	if (n != -EINPROGRESS)
		return n < 0 ? (int)n : 0;
	while (result == -EINPROGRESS) {
		r = sivc_wait(library->sivc, -1);
		if (r < 0)
			return r;
	}
	return result;
}

static int batched_send(struct link *link, size_t size)
{
	struct library *library = link->own;

	library->messages[library->count].iov_base = batched_place(link);
	library->messages[library->count].iov_len = size;
	library->count++;
	return library->count < library->batch ? 0 : batched_flush(link);
}

static void arrive(void *data, int r, const struct sivc_message *message)
{
	(void)r;
	(void)message; /* it stays: batched_peek takes it */
	*(bool *)data = true;
}

static int batched_wait(struct library *library)
{
	struct sivc_waiter *waiter;
	bool arrived = false;
	int r = sivc_wait_receive(library->endpoint, SIVC_ANY, arrive, &arrived, &waiter);

	while (r >= 0 && !arrived)
		r = sivc_wait(library->sivc, -1);
	return r;
}

static int batched_peek(struct library *library)
{
	int r;

	if (library->peeked)
		sivc_consume(library->endpoint, &library->message);
	library->peeked = false;
	while ((r = sivc_peek(library->endpoint, SIVC_ANY, &library->message)) == -EAGAIN) {
		r = batched_wait(library);
		if (r < 0)
			return r;
	}
	library->peeked = r >= 0;
	return r;
}

/* Where it lies, unless it wraps: the check wants it in one piece. */
static int batched_receive(struct link *link, size_t size, const void **bytes)
{
	struct library *library = link->own;
	const struct sivc_message *message = &library->message;
	size_t first;
	int r = batched_peek(library);

	if (r < 0)
		return r;
	if (message->length != size)
		return -EPROTO;
	*bytes = message->iov[0].iov_base;
	if (message->iovcnt == 1)
		return 0;
	first = message->iov[0].iov_len;
	memcpy(link->in, message->iov[0].iov_base, first);
	memcpy(link->in + first, message->iov[1].iov_base, message->iov[1].iov_len);
	*bytes = link->in;
	return 0;
}

const struct transport transport_batched = {
	.name = "batched",
	.prepare = library_prepare,
	.open = batched_open,
	.place = batched_place,
	.send = batched_send,
	.flush = batched_flush,
	.receive = batched_receive,
	.close = library_close,
};
