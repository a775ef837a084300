/* SPDX-License-Identifier: MIT */
/*
 * inbound.h: what one other domain, P, has for one endpoint of ours.
 *
 * We own its page of the table and, while it is permitted, a channel.  Messages are read in place.
 * Before what is in the ring come `unread` messages, which were put together from pieces or given
 * back by a reader, and then `rings` that were revoked, copied out of P's reach.
 *
 * P is the adversary.  It can make us hold a ring, UNREAD_RINGS_MAX revoked rings, and one message
 * in pieces (max_msg).  Signals without data, and messages that never end, make P wait.  A breach
 * closes the ring until P is permitted anew.
 *
 * Nothing here calls upward: receiver.c asks.
 */
#ifndef SIVC_INBOUND_H
#define SIVC_INBOUND_H

#include "channel.h"
#include "endpoint.h"
#include "page.h"
#include "ring.h"

/* HASH_ADD must not end the process when there is no memory. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* A caller's memory, where a message in pieces is put together that he waits for. */
struct loan {
	uint8_t *bytes;
	size_t size;
	struct sivc_unread *unread; /* what is there now; NULL: nothing */
};

/* A message out of the ring: unread, or taken by a reader. */
struct sivc_unread {
	TAILQ_ENTRY(sivc_unread) link;
	struct inbound *in; /* if taken; NULL: the endpoint was closed */
	struct loan *loan;  /* where its bytes are; NULL: here */
	uint32_t length;
	uint32_t offset; /* of what was not read */
	uint8_t bytes[];
};

TAILQ_HEAD(unreads, sivc_unread);

/* A ring that was revoked, as it was at the last look. */
struct unread_ring {
	TAILQ_ENTRY(unread_ring) link;
	uint64_t nonce; /* of the channel that it was in */
	struct ring_rx rx;
	uint8_t bytes[]; /* [rx.size] */
};

/* A message in pieces. */
struct assembly {
	struct sivc_unread *message; /* NULL: none */
	uint32_t capacity;           /* bytes */
	uint32_t turns;              /* that went into it */
	unsigned int abandoned;      /* in a row: begun and not ended */
	uint32_t wasted;             /* turns that went into those */
};

/* A stream, from its FIRST frame on. */
struct incoming {
	enum {
		INCOMING_NONE,
		INCOMING_OPEN,    /* a reader has it */
		INCOMING_ENDED,   /* the same, and its last bytes were taken */
		INCOMING_DROPPED, /* its reader has left: what follows is thrown away */
	} state;
	bool at_first;              /* its FIRST frame is the next one */
	bool sender_gone;           /* the node that it publishes for us has gone */
	uint32_t begin;             /* the index of its FIRST frame */
	uint32_t offset;            /* bytes of the next frame that were taken */
	uint32_t dropped;           /* bytes of frames, since its reader has left */
	uint64_t ring_nonce;        /* of the ring in which it began */
	struct sivc_reader *reader; /* who has it */
	struct waiters waiters;     /* of that one */
};

enum inbound_permission {
	INBOUND_REFUSED,
	INBOUND_PERMITTED, /* it has a channel */
	INBOUND_BREACHED,  /* it broke the protocol, and has none any more */
};

enum inbound_turn {
	INBOUND_IDLE,   /* nothing here; its channel is armed */
	INBOUND_READY,  /* in the receiver's queue: may have a message */
	INBOUND_POLLED, /* its channel is polled */
};

struct inbound {
	struct sivc_endpoint *ep;
	uint16_t domid;
	UT_hash_handle hh;

	/* inbound.c: the page, from the first permission on. */
	struct page_owner owner; /* .page == NULL: none */
	uint32_t page_ref;
	enum inbound_permission permission;

	/* inbound.c: messages. */
	struct channel channel;
	struct ring_rx rx;
	struct ring_frame frame; /* the one that was peeked, if it is in a ring */
	struct assembly assembly;
	struct unreads unread;
	uint64_t unread_bytes;           /* of those that were not read */
	struct unreads taken;            /* with readers */
	TAILQ_HEAD(, unread_ring) rings; /* the oldest first */
	struct unread_ring *next_ring;   /* with the channel: where what is in it will go */
	struct incoming incoming;        /* incoming.c: the stream that is under way */

	/* receiver.c: its turn. */
	enum inbound_turn turn;
	bool asleep; /* armed: counted in the receiver */
	TAILQ_ENTRY(inbound) link;
	struct waiters waiters; /* for a message from this domain */

	/* permissions.c: as names and domains were looked at last. */
	enum {
		INBOUND_UNKNOWN,
		INBOUND_KNOWN, /* a rule has its name, or it was there */
		INBOUND_ENDED, /* it was, and has gone: forgotten when all is read */
	} domain;

	struct inbound_counters {
		uint64_t messages; /* that readers have taken */
		uint64_t bytes;    /* of those */
		uint64_t revoked;  /* rings */
		uint64_t streams;  /* that readers have begun to read */
		uint64_t ended;    /* of those */
		uint64_t cut;      /* of those */
	} counters;
};

int inbound_new(struct sivc_endpoint *ep, uint16_t domid, const struct channel_ops *ops,
	struct inbound **in);
void inbound_free(struct inbound *in); /* tells P that the endpoint is closed */

/* 0 also if it has broken the protocol since.  -ENOSPC: grants, event channels or nodes are used
 * up, or UNREAD_RINGS_MAX of its rings wait for a reader. */
int inbound_permit(struct inbound *in);
void inbound_refuse(struct inbound *in); /* what it has sent stays readable */
/* The same, and its page goes, too. */
void inbound_suspend(struct inbound *in);
/* Its domain has ended, or never was, and nothing of it is left. */
bool inbound_forgettable(const struct inbound *in);

/* The frame at `at` of one of its rings: cons, or a frame's `next`.  -EAGAIN, -EPROTO */
int inbound_frame(struct inbound *in, struct ring_rx *rx, uint32_t at, struct ring_frame *frame);
/* What is in front of whatever ring is next, unless it is empty.  -EAGAIN, -EPROTO */
int inbound_front(struct inbound *in, struct ring_rx **rx, struct ring_frame *frame);
void inbound_taken(struct inbound *in, struct ring_rx *rx, const struct ring_frame *frame);
/* Done with the ring that was in front.  False: it is the channel's. */
bool inbound_leave_ring(struct inbound *in);
int inbound_breach(struct inbound *in); /* -EPROTO */
/* For a stream of ours to that domain: it has a node of ours, which goes when we end. */
int inbound_publish(struct inbound *in);

/* The next message, in place.  -EAGAIN, -EPROTO: none. */
int inbound_peek(struct inbound *in, struct sivc_message *message);
void inbound_consume(struct inbound *in);
int inbound_take(
	struct inbound *in, const struct sivc_message *message, struct sivc_unread **unread);
void inbound_putback(struct sivc_unread *unread);
/* The memory is its owner's again; what is there goes on elsewhere.  Cannot fail. */
void inbound_loan_end(struct loan *loan);
/*
 * Bytes in a ring that will be handed to a system call.  Memory that is gone (a file of the local
 * backend that somebody has cut) must be noticed before, by a load that the backend can mend: a
 * system call would fail half way through a reply.
 */
void inbound_touch(const struct iovec *iov, int iovcnt);
/* Bytes of the whole messages that wait.  Looks at each of them. */
uint64_t inbound_queued(struct inbound *in);
/* Bytes that wait, with the headers and padding of those in rings.  Looks at no message. */
uint64_t inbound_queued_memory(const struct inbound *in);

/* Nothing new since the last look.  A breach is something. */
bool inbound_empty(struct inbound *in);
/* Asks for a signal.  False: it is not empty. */
bool inbound_arm(struct inbound *in);
/* In a message of which each turn brings a fair piece. */
bool inbound_flows(const struct inbound *in);

#endif
