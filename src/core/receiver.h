/* SPDX-License-Identifier: MIT */
/*
 * receiver.h: an endpoint's queue of senders and its queues of waiters.
 *
 * Who is served.  `ready` holds the inbounds that may have a message, in the order of their turns.
 * The first one gives one message and goes to the end.  One whose ring turns out empty is polled if
 * this process is about to spin; else it is armed, and comes back with its event.  Events are
 * dispatched when nobody is ready, and after every TURNS_MAX messages, so that a sender that always
 * has something does not keep the others asleep.
 *
 * Who is woken.  The descriptor of the events is in the loop only while somebody waits here, or
 * until the first event that comes when nobody does: a permitted sender can wake this process once,
 * and then not again until a reader waits.  A refused one has no channel.
 */
#ifndef SIVC_RECEIVER_H
#define SIVC_RECEIVER_H

#include "endpoint.h"

void receiver_init(struct receiver *receiver);
void receiver_deinit(struct sivc_endpoint *ep); /* those who wait are let go */
/* Around a change of the hypervisor's handles: what senders had finished is kept. */
int receiver_resume(struct sivc_endpoint *ep);
void receiver_suspend(struct sivc_endpoint *ep);

/* As sivc_peek, for a caller who waits if there is nothing, and need not ask the hypervisor. */
int receiver_peek(struct sivc_endpoint *ep, int from, struct sivc_message *message);
void receiver_wait_cancel(struct sivc_waiter *waiter);

struct inbound *receiver_find(const struct sivc_endpoint *ep, uint16_t domid);
/* For a stream of ours to that domain: see inbound_publish. */
int receiver_publish(struct sivc_endpoint *ep, uint16_t domid);
/* -ENOSPC: what it takes to permit this domain is lacking; the log says what. */
int receiver_permit(struct sivc_endpoint *ep, uint16_t domid);
void receiver_refuse(struct inbound *in);
void receiver_forget(struct inbound *in);

#endif
