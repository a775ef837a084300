/* SPDX-License-Identifier: MIT */
/* wait.c: sending and receiving that waits. */
#include <errno.h>
#include <sys/param.h>

#include "endpoint.h"
#include "inbound.h"
#include "receiver.h"
#include "shared.h"

/* What a call waits for. */
struct result {
	bool done;
	int r;
};

/* A callback may close the endpoint meanwhile. */
static int wait_for(struct sivc_endpoint *ep, const struct result *result)
{
	struct loop *loop = &ep->sivc->loop;
	int r = 0;

	loop_enter(loop);
	while (r == 0 && !result->done && !ep->closed)
		r = sivc_wait(ep->sivc, -1);
	if (!result->done && ep->closed)
		r = -ESHUTDOWN;
	loop_leave(loop);
	return result->done ? 0 : r;
}

static void on_done(void *data, int r, size_t sent)
{
	(void)sent;
	*(struct result *)data = (struct result){.done = true, .r = r};
}

int sivc_send(struct sivc_endpoint *ep, uint16_t domid, const void *data, size_t length, int flags)
{
	const struct iovec message = {(void *)(uintptr_t)data, length};
	struct result result = {0};
	struct sivc_sending *sending = NULL; /* of sivc_send_start alone */
	ssize_t n;
	int r;

	if (length > SIVC_MAX_MSG_MAX)
		return -EMSGSIZE;
	if (flags & SIVC_NOWAIT)
		n = sivc_send_many(ep, domid, &message, 1);
	else
		n = sivc_send_start(ep, domid, &message, 1, on_done, &result, &sending);
	if (n != -EINPROGRESS)
		return n < 0 ? (int)n : 0;
	r = wait_for(ep, &result);
	if (r < 0 && r != -ESHUTDOWN && sending && sivc_send_cancel(sending) == 1)
		r = 0; /* it went all the same */
	return r < 0 ? r : result.r;
}

/* Where a message goes. */
struct destination {
	struct result result;
	struct sivc_endpoint *ep;
	struct loan loan; /* the caller's buffer */
	uint16_t *sender;
	ssize_t length;
};

static void fill(struct loan *to, const struct sivc_message *message)
{
	size_t at = 0;

	inbound_loan_end(to); /* what was put together there is another message */
	for (int i = 0; i < message->iovcnt && at < to->size; i++) {
		size_t n = MIN(message->iov[i].iov_len, to->size - at);

		shared_copy_from(to->bytes + at, message->iov[i].iov_base, n);
		at += n;
	}
}

static void take(struct destination *to, const struct sivc_message *message)
{
	if (message->iovcnt == 0 || message->iov[0].iov_base != to->loan.bytes)
		fill(&to->loan, message);
	if (to->sender)
		*to->sender = message->sender;
	to->length = (ssize_t)message->length;
	sivc_consume(to->ep, message);
}

static void on_message(void *data, int r, const struct sivc_message *message)
{
	struct destination *to = data;

	if (r == 0)
		take(to, message);
	to->result = (struct result){.done = true, .r = r};
}

static int wait_for_message(struct destination *to, int from)
{
	struct sivc_waiter *waiter;
	int r = receiver_wait(to->ep, from, &to->loan, on_message, to, &waiter);

	if (r < 0)
		return r;
	r = wait_for(to->ep, &to->result);
	if (r < 0 && r != -ESHUTDOWN)
		sivc_wait_cancel(waiter);
	return r < 0 ? r : to->result.r;
}

ssize_t sivc_receive(
	struct sivc_endpoint *ep, int from, void *buffer, size_t size, uint16_t *sender, int flags)
{
	struct destination to = {.ep = ep, .loan = {buffer, size, NULL}, .sender = sender};
	struct sivc_message message;
	int r = flags & SIVC_NOWAIT ? sivc_peek(ep, from, &message)
				    : receiver_peek(ep, from, &to.loan, &message);

	if (r == 0)
		take(&to, &message);
	else if (r == -EAGAIN && !(flags & SIVC_NOWAIT))
		r = wait_for_message(&to, from);
	inbound_loan_end(&to.loan);
	return r < 0 ? r : to.length;
}
