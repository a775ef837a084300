/* SPDX-License-Identifier: MIT */
/*
 * outbound.h: what one other domain, R, lets one endpoint of ours send.
 *
 * R's node in the store names R's page, which describes R's ring.  `state` is how far we have come,
 * and what a send fails with.  set_state() alone changes it, from outbound_update(), which runs
 * before each send: it reads the node if the watch has fired, and the page if its seq has changed.
 * What the page says is copied and checked; at worst we cannot send to R.
 */
#ifndef SIVC_OUTBOUND_H
#define SIVC_OUTBOUND_H

#include "channel.h"
#include "endpoint.h"
#include "page.h"
#include "ring.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum outbound_state {
	OUTBOUND_NO_NODE,   /* R has published nothing: EACCES */
	OUTBOUND_GONE,      /* any more: EPIPE */
	OUTBOUND_REFUSED,   /* its page says so: EACCES */
	OUTBOUND_CLOSED,    /* its page says so: EPIPE */
	OUTBOUND_UNSETTLED, /* its page is being changed, since `since` */
	OUTBOUND_LACKING,   /* we lack memory or descriptors: `error` */
	OUTBOUND_BREACHED,  /* R broke the protocol: EPROTO until its page changes */
	OUTBOUND_BACKOFF,   /* the same, and not looked at for BACKOFF_MS from `since` on */
	OUTBOUND_LINKED,    /* we have its ring */
};

/* Why a send has to wait.  Its other outcomes are 0 and a negative errno. */
enum outbound_wait {
	OUTBOUND_NO_ROOM = 1, /* in the ring, or in the line */
	OUTBOUND_NOT_KNOWN,   /* OUTBOUND_UNSETTLED, or this domain is being restored */
};

/* The messages of one send. */
struct sivc_sending {
	/* The caller. */
	const struct iovec *messages;
	size_t count;
	bool nowait; /* no message that must wait in the middle */

	/* outbound.c */
	size_t sent;          /* whole messages; less again if the last batch did not arrive */
	size_t offset;        /* bytes of the next one in the ring */
	bool in_doubt;        /* the page changed when the last batch was published */
	struct batch {        /* what was published last */
		size_t first; /* message */
		uint32_t start, end; /* where it lies */
		uint32_t ring_size;
		uint64_t ring_nonce;
	} batch;

	/* sender.c */
	struct outbound *outbound; /* in its line; NULL: in none */
	sivc_done_fn *done;
	void *data;
	TAILQ_ENTRY(sivc_sending) link;
};

/* A stream to one domain: outgoing.c. */
struct sivc_writer {
	struct outbound *out; /* NULL: its endpoint is closed */
	bool in_line;         /* until its end is sent, or it is dead */
	bool begun;           /* its FIRST frame is in a ring */
	int error;            /* what each write fails with; 0 */
	uint32_t begin;       /* the index of that frame, */
	uint64_t ring_nonce;  /* in this ring */
	enum { WRITER_OPEN, WRITER_ENDS, WRITER_CUTS } end; /* what is to be sent yet */
	TAILQ_ENTRY(sivc_writer) link;
};

/* sender.c: what waits. */
TAILQ_HEAD(writers, sivc_writer);

struct line {
	struct writers writers; /* the first one has its turn */
	struct writers others;  /* have nothing to send yet, or are dead */
	TAILQ_HEAD(, sivc_sending) sendings;
	struct waiters waiters; /* after those: for room, or until all was read */
	bool waiting;           /* there are some: counted in the sender */
	struct loop_task run;
};

struct outbound {
	/* Set by outbound_new. */
	struct sivc_endpoint *ep;
	uint16_t domid;

	/* outbound.c */
	struct hv_watch *watch; /* of the node; the backend limits it (XSA-349) */
	bool stale;             /* it has fired: the node is to be read */
	uint32_t page_ref;
	uint64_t page_nonce;
	const struct sivc_page *page; /* NULL: none */
	struct page_view *view;       /* what it said last; with `page` */
	enum outbound_state state;
	int error;
	uint64_t since;           /* ns */
	struct loop_timer settle; /* OUTBOUND_UNSETTLED: look again */
	struct channel channel;
	struct ring_tx tx;
	struct ring_end {       /* what R took of the ring before */
		uint64_t nonce; /* 0: it has not said */
		uint32_t final;
	} last;
	unsigned int fruitless; /* turns in a row without a message */

	/* sender.c */
	UT_hash_handle hh;
	unsigned int users; /* of sivc_peer_open */
	struct line line;

	/* outbound.c, outgoing.c: of streams that were ended, why not all will be read; 0 */
	int untold;

	/* outbound.c; refused, full: sender.c */
	struct outbound_counters {
		uint64_t messages;
		uint64_t bytes;
		uint64_t refused; /* sends that failed with EACCES */
		uint64_t full;    /* sends that found no room at once */
		uint64_t streams; /* begun */
		uint64_t ended;   /* of those: whole */
		uint64_t cut;     /* of those */
	} counters;
};

/* `run` is the line's task, `ops` are the channel's. */
int outbound_new(struct sivc_endpoint *ep, uint16_t domid, void (*run)(struct loop_task *task),
	const struct channel_ops *ops, struct outbound **out);
void outbound_free(struct outbound *out);
/* Around a change of the hypervisor's handles. */
void outbound_suspend(struct outbound *out);
int outbound_resume(struct outbound *out);

/* 0: linked.  Else a send's error, or OUTBOUND_NOT_KNOWN. */
int outbound_update(struct outbound *out);
/* Is it known what the page says? */
bool outbound_known(const struct outbound *out);

/* Bytes of room for a piece of what is larger than the ring, or has no length. */
uint32_t outbound_piece(const struct outbound *out);
/* Bytes of room to go on with a message of which `offset` bytes have gone. */
uint32_t outbound_need(const struct outbound *out, size_t length, size_t offset);
/* After outbound_update: bytes of room.  A wait: less than `need`. */
int outbound_space(struct outbound *out, uint32_t need, uint32_t *space);
/* The same.  0: a message of `length` bytes can go, or begin. */
int outbound_room(struct outbound *out, size_t length);

/* Sends what there is room for.  0: all went.  A wait: for the rest. */
int outbound_send(struct outbound *out, struct sivc_sending *sending);
/* Waits no longer: `sent` is what went. */
void outbound_settle(struct outbound *out, struct sivc_sending *sending);

/* From the loop, what the line waits for is looked at again. */
void outbound_run_line(struct outbound *out);
/* R has done something since: made `need` bytes of room (0: nobody needs any), or changed its page.
 */
bool outbound_look(struct outbound *out, uint32_t need);
/* Asks for a signal at `need` bytes of room.  False: R did one of these. */
bool outbound_arm(struct outbound *out, uint32_t need);
/* A turn brought nothing.  After FRUITLESS_MAX in a row: OUTBOUND_BACKOFF. */
void outbound_fruitless(struct outbound *out);
void outbound_progress(struct outbound *out);
/* What was put; signals if R sleeps.  That is progress. */
void outbound_publish(struct outbound *out);

#endif
