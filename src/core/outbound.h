/* SPDX-License-Identifier: MIT */
/*
 * outbound.h: how one endpoint of ours sends to one other domain, R.
 *
 * R publishes, we map.  `state` is how far we have come:
 *
 *	NOTHING	R has no node for us.  The answer is "no" (EACCES), kept until the watch fires.
 *	GONE	R had one and has none any more: EPIPE, until there is one again.
 *	PAGE	we have R's page, and it does not permit us: EACCES, EPIPE (closed) or EPROTO.
 *	LINKED	we have the ring.
 *
 * Only outbound_update() changes it.  It runs when the watch on the node has fired, and when the
 * page's seq has changed, which every send checks with one load.  R's page is R's word: what it
 * says is copied and checked, and its worst effect is that we cannot send to R.
 *
 * Those who wait to send stand in line (`sendings`), then those who poll (`waiters`).  The port is
 * unmasked, and out_events in the loop, only while somebody does.  In the middle of a message that
 * is longer than the ring, R makes room at any moment: then it is not asked for a signal before
 * this process has looked for that a while (the lookout; sivc.c: spin).
 */
#ifndef SIVC_OUTBOUND_H
#define SIVC_OUTBOUND_H

#include "core.h"
#include "page.h"
#include "ring.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum outbound_state {
	OUTBOUND_NOTHING,
	OUTBOUND_GONE,
	OUTBOUND_PAGE,
	OUTBOUND_LINKED,
};

struct outbound {
	struct sivc_endpoint *ep;
	uint16_t domid;
	UT_hash_handle hh;

	/* The node: outbound_update(). */
	struct hv_watch *watch; /* the backend limits how often it fires (XSA-349) */
	bool stale;             /* the node has to be read again */
	uint32_t page_ref;
	uint64_t page_nonce;

	/* The page and what it said when we last read it. */
	enum outbound_state state;
	const struct sivc_page *page; /* PAGE, LINKED */
	struct page_view view;
	int error;          /* PAGE: what a send fails with */
	uint64_t unsettled; /* ns: since when it is being changed, under our eyes; 0: it is not */
	uint64_t shunned;   /* ns: until then it is not looked at */

	/* The ring: LINKED. */
	uint64_t ring_nonce;
	struct sivc_ctl *ctl;
	uint8_t *data;
	uint32_t pages;
	struct hv_port *port;
	bool masked;           /* the port's event was dispatched */
	unsigned int spurious; /* events in a row that brought no room */
	struct loop_timer penalty;
	struct ring_tx tx;

	/* Those who wait. */
	TAILQ_HEAD(, sivc_sending) sendings;
	struct waiters waiters;
	bool waiting;            /* counted in ep->sending */
	bool running;            /* outbound_run is */
	unsigned int nothing;    /* turns in a row in which they got nothing */
	struct loop_timer again; /* runs outbound_run */
	bool lookout; /* in ep->out_lookout: R is not asked to signal, but looked at all the time */
	TAILQ_ENTRY(outbound) lookout_link;

	/* Counters. */
	uint64_t messages;
	uint64_t bytes;
	uint64_t refused; /* sends that failed with EACCES */
	uint64_t full;    /* sends that found no room at once */
	uint64_t breaches;
};

struct outbound *outbound_find(struct sivc_endpoint *ep, uint16_t domid);
int outbound_get(struct sivc_endpoint *ep, uint16_t domid, struct outbound **out); /* or make one */
void outbound_free_all(struct sivc_endpoint *ep);
/* Around a change of the hypervisor's handles.  Who waits to send goes on waiting. */
void outbound_suspend_all(struct sivc_endpoint *ep);
int outbound_resume_all(struct sivc_endpoint *ep);
void outbound_wait_cancel(struct sivc_waiter *waiter);

/* As endpoint_look_out and endpoint_rest. */
bool outbound_look_out(struct sivc_endpoint *ep);
bool outbound_rest(struct sivc_endpoint *ep);

#endif
