/* SPDX-License-Identifier: MIT */
/*
 * sender.h: which domains an endpoint sends to, and what waits to be sent.
 *
 * Each domain has a line: sendings, in order, and then the waiters for room (poll).  The line's
 * task sends what there is room for.  The events' descriptor is in the loop only while something
 * waits, and a port is unmasked only then.  In the middle of a long message the channel is polled
 * before R is asked for a signal, because R makes room at any moment.
 */
#ifndef SIVC_SENDER_H
#define SIVC_SENDER_H

#include "endpoint.h"

void sender_deinit(struct sivc_endpoint *ep); /* drops what waits */
/* Around a change of the hypervisor's handles.  What waits goes on waiting. */
void sender_suspend(struct sivc_endpoint *ep);
int sender_resume(struct sivc_endpoint *ep);

struct outbound *sender_find(struct sivc_endpoint *ep, uint16_t domid);
/* A local user asks for that domain. */
int sender_open(struct sivc_endpoint *ep, uint16_t domid);
void sender_wait_cancel(struct sivc_waiter *waiter);

#endif
