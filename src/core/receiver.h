/* SPDX-License-Identifier: MIT */
/*
 * receiver.h: an endpoint's queue of senders and its waiters.
 *
 * `ready` holds the inbounds that may have a message.  The first one gives one message and goes to
 * the end.  If its ring is empty it is polled, if this process is about to spin, and armed
 * otherwise.  Events are dispatched when no inbound is ready, and after every TURNS_MAX messages,
 * so that a busy sender does not keep the others asleep.
 *
 * The events' descriptor is in the loop while there are waiters, and until the first event that
 * comes when there are none.  So a permitted sender can wake this process once, and then not before
 * a reader waits.  A refused one has no channel.
 */
#ifndef SIVC_RECEIVER_H
#define SIVC_RECEIVER_H

#include "endpoint.h"

void receiver_init(struct receiver *receiver);
void receiver_deinit(struct sivc_endpoint *ep); /* drops the waiters */
/* Around a change of the hypervisor's handles.  What senders had finished stays. */
int receiver_resume(struct sivc_endpoint *ep);
void receiver_suspend(struct sivc_endpoint *ep);

/*
 * As sivc_peek and sivc_wait_receive, for one who copies the message to `loan` and may wait for it:
 * events are not looked at.  It may be there already.  The loan is to be ended.
 */
int receiver_peek(
	struct sivc_endpoint *ep, int from, struct loan *loan, struct sivc_message *message);
int receiver_wait(struct sivc_endpoint *ep, int from, struct loan *loan, sivc_receive_fn *fn,
	void *data, struct sivc_waiter **waiter);
void receiver_wait_cancel(struct sivc_waiter *waiter);

struct inbound *receiver_find(const struct sivc_endpoint *ep, uint16_t domid);
/* For a stream of ours to that domain: see inbound_publish. */
int receiver_publish(struct sivc_endpoint *ep, uint16_t domid);
/* -ENOSPC: what it takes to permit this domain is lacking; the log says what, each time if a local
 * user has `asked`. */
int receiver_permit(struct sivc_endpoint *ep, uint16_t domid, bool asked);
void receiver_refuse(struct inbound *in);
void receiver_forget(struct inbound *in);

#endif
