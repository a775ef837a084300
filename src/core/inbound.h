/* SPDX-License-Identifier: MIT */
/*
 * inbound.h: what one other domain, P, has for one endpoint of ours.
 *
 * We own its page of the table and, while it is permitted, a ring.  Messages are read in place.
 * What was in a ring that was revoked is kept, out of the sender's reach, and read from there
 * (`kept`); new rings wait until there are less than KEPT_MAX of those.  A message in fragments is
 * put together in `partial`; then it is one of the `saved`, as is one that a reader gave back.  So
 * saved messages come first, then kept rings, then the ring.
 *
 * Turn-taking: an inbound is `ready` (in the endpoint's queue: it may have a message), or idle: its
 * ring was empty, data_event asks P for one signal, and the port is unmasked; or, while this
 * process spins, on the lookout: its ring was empty, and nobody has to signal.
 *
 * P is the adversary.  It can fill its ring, KEPT_MAX rings by coming and going, its part of
 * `partial` (max_msg) and signal its port; signals without data make it wait (SPURIOUS_*), and so
 * do messages that are begun and never end (`abandoned`).  A breach closes the ring until the
 * domain is permitted anew.
 */
#ifndef SIVC_INBOUND_H
#define SIVC_INBOUND_H

#include "core.h"
#include "page.h"
#include "ring.h"

/* HASH_ADD must not end the process when there is no memory. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct saved {
	TAILQ_ENTRY(saved) link;
	uint32_t length;
	uint8_t bytes[];
};

/* What a revoked ring still had. */
struct kept {
	TAILQ_ENTRY(kept) link;
	struct ring_rx rx;
	uint8_t bytes[]; /* [rx.size] */
};

enum inbound_state {
	INBOUND_IDLE,    /* in no queue; armed if there is a ring */
	INBOUND_READY,   /* in the endpoint's queue */
	INBOUND_LOOKOUT, /* in its other queue: not armed, but looked at all the time */
};

struct inbound {
	struct sivc_endpoint *ep;
	uint16_t domid;
	UT_hash_handle hh;

	/* The page: from the first permission until the endpoint is closed. */
	struct page_owner owner; /* .page == NULL: none */
	uint32_t page_ref;

	/* The ring: while permitted, and until a breach. */
	bool permitted;
	bool breached; /* permitted, but it broke the protocol */
	bool crowded;  /* permitted, but it has no ring before something kept was read */
	bool named;    /* has had a name, or was a known domain, when that was last looked at */
	bool masked;   /* the port's event was dispatched */
	uint64_t ring_nonce;
	struct sivc_ctl *ctl;
	uint8_t *data; /* NULL: no ring */
	uint32_t pages;
	struct hv_port *port;
	struct ring_rx rx;
	struct ring_frame frame; /* the message that was peeked, if it is in the ring */

	/* A message in fragments. */
	struct saved *partial;     /* NULL: none */
	uint32_t partial_capacity; /* bytes */
	uint32_t partial_turns;    /* that went into it */
	unsigned int abandoned;    /* messages in a row that were begun and not ended */
	uint32_t wasted;           /* turns that went into those */

	/* Taken out of a ring. */
	TAILQ_HEAD(, saved) saved;
	TAILQ_HEAD(, kept) kept; /* the oldest first */
	unsigned int kept_count;
	struct kept *spare; /* for the next revocation: inbound_prepare */

	/* Its turn. */
	enum inbound_state state;
	TAILQ_ENTRY(inbound) link;
	struct waiters waiters; /* for a message from this domain */
	unsigned int spurious;  /* events in a row that brought nothing */
	struct loop_timer penalty;

	/* Counters. */
	uint64_t messages;
	uint64_t bytes;
	uint64_t revoked; /* rings */
};

struct inbound *inbound_find(const struct sivc_endpoint *ep, uint16_t domid);
int inbound_get(struct sivc_endpoint *ep, uint16_t domid, struct inbound **in); /* or make one */
void inbound_free(struct inbound *in); /* tells P that the endpoint is closed */

/* 0 if it is permitted already, even if it has broken the protocol since.  -ENOSPC */
int inbound_permit(struct inbound *in);
/* Before a refusal, which then cannot fail: memory for what the ring has.  -ENOMEM */
int inbound_prepare(struct inbound *in);
void inbound_unprepare(struct inbound *in); /* it is not refused after all */
void inbound_refuse(struct inbound *in);
/* It is refused and has nothing for anybody: its page and node can go with the domain. */
bool inbound_forgettable(const struct inbound *in);
/* Before the hypervisor's handles are closed: gives up page and ring, keeps what P has sent. */
void inbound_suspend(struct inbound *in);

/* The next message, in place.  -EAGAIN: none; -EPROTO: none, and P broke the protocol. */
int inbound_peek(struct inbound *in, struct sivc_message *message);
void inbound_consume(struct inbound *in);
int inbound_putback(struct inbound *in, const void *data, uint32_t length);
uint64_t inbound_queued(struct inbound *in, uint32_t *next);

/* The ring is empty: asks for a signal.  False: it is not empty (any more). */
bool inbound_sleep(struct inbound *in);
bool inbound_empty(struct inbound *in); /* nothing new has come since the last look */
/* In the middle of a long message, of which every turn has brought a fair piece: look out for the
 * rest. */
bool inbound_flows(const struct inbound *in);
void inbound_queue(struct inbound *in, enum inbound_state state); /* at the end of that queue */

#endif
