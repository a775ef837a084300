/* SPDX-License-Identifier: MIT */
/*
 * wire.h: what two domains share, byte for byte, on every backend.
 *
 * R is the receiver, the domain that owns all of this memory.  P is the peer, the one domain that
 * R shares it with, and the sender.  Three pieces:
 *
 *   the node    in the store, /local/domain/R/data/sivc/v1/ENDPOINT/P, readable by P: where P's
 *               page is.  Text: SIVC_NODE_FORMAT.
 *   the page    P's row of R's access control table, one page granted to P read-only.  All that R
 *               says to P is in it.  P maps it as long as the node names it.
 *   the ring    only while P is permitted: a control page and 2^n data pages, granted to P for
 *               writing.  All that P says to R is in it, and R believes none of it: each field is
 *               read once, into a private copy, which is checked and then used.
 *
 * All integers are little endian.  Indices (prod, cons, ...) count bytes, run freely and wrap at
 * 2^32; a byte's place in the ring is index modulo the ring's size, which is a power of two.
 * At all times prod - cons <= size, or whoever published the later one is in breach.
 */
#ifndef SIVC_WIRE_H
#define SIVC_WIRE_H

#include <stdint.h>

#define SIVC_PAGE_SIZE      4096u
#define SIVC_MAGIC          0x43564953u /* "SIVC" in memory */
#define SIVC_WIRE_VERSION   2u
#define SIVC_RING_PAGES_MAX 512u /* 2 MiB: the references must fit in struct sivc_page */

/*
 * The store node: grant reference of the page, then its nonce.  The nonce is drawn anew by every
 * process of R; a page whose page_nonce differs is not the page that the node means (a reference
 * that was given out again after R restarted).
 */
#define SIVC_NODE_FORMAT "1 %" PRIu32 " %016" PRIx64 /* version, reference, page_nonce */
#define SIVC_NODE_MAX    64                          /* bytes, with the final NUL */

/* struct sivc_page, verdict: what R has decided about P. */
enum sivc_verdict {
	SIVC_VERDICT_REFUSED = 0,   /* EACCES; also what a zeroed page says */
	SIVC_VERDICT_PERMITTED = 1, /* the ring described here is open */
	SIVC_VERDICT_CLOSED = 2,    /* EPIPE: R has closed the endpoint */
};

/*
 * P's row of the table.  Written by R alone, read by P alone.
 *
 * R changes the fields from `verdict` to `refs` between two increments of `seq`: it is odd while
 * they change.  P reads them all between two equal, even values of `seq`, else reads again, a
 * bounded number of times.  P then sends with one load of `seq` a message: unchanged `seq` means
 * unchanged permission.
 *
 * To refuse: R makes `seq` odd, then (full barrier) reads ctl.prod for the last time, writes that
 * as `final`, and `verdict`, and makes `seq` even; then it takes what lies before `final` out of
 * the ring. P: publishes ctl.prod, then (full barrier) reads `seq`.  Whichever comes first, either
 * R sees the message or P sees that it has to look: the message arrived if its ring is
 * `final_nonce` and it ends at or before `final`.
 */
struct sivc_page {
	/* Who this is.  Written once, before the node is published. */
	uint32_t magic;      /* SIVC_MAGIC */
	uint32_t version;    /* SIVC_WIRE_VERSION */
	uint64_t page_nonce; /* the same as in the node */

	/* The permission.  Written by R, under seq. */
	uint32_t seq;        /* odd: being changed */
	uint32_t verdict;    /* enum sivc_verdict */
	uint64_t ring_nonce; /* new with every permission: a new ring */
	uint32_t port;       /* R's event channel for P to bind to; valid if permitted */
	uint32_t ring_pages; /* data pages: a power of two, 1..SIVC_RING_PAGES_MAX; or 0 */
	uint32_t ctl_ref;    /* grant reference of struct sivc_ctl; valid if permitted */
	uint32_t max_msg;    /* bytes; the largest message that R accepts */
	uint32_t final;      /* the index up to which R took the ring that it revoked last */

	/*
	 * Not under seq: R sleeps, signal the channel when prod passes this.  See below.  P reads
	 * it and seq for each message, so it is where cons, which changes all the time, is not.
	 */
	uint32_t data_event;

	uint64_t final_nonce; /* that ring's ring_nonce; 0: none yet */

	/* The traffic: a cache line of its own.  Written by R at any time, not under seq. */
	uint32_t cons; /* R has read up to here.  Release; pairs with P's acquire */
	/* Of a stream that is not read on: the index of its FIRST frame, with bit 0 set; else 0. */
	uint32_t broken;
	uint32_t unused[14];

	/* The ring's data pages: `ring_pages` grant references.  Written by R, under seq. */
	uint32_t refs[SIVC_RING_PAGES_MAX];
};

/*
 * The control page of the ring: what P says.  Written by P (but for receiver_alive, finished and
 * final, and by the two kernels, which clear the alive bytes), read by R, who believes none of it.
 */
struct sivc_ctl {
	/* A cache line of its own, as cons. */
	uint32_t prod; /* P has written up to here.  Release; pairs with R's acquire */
	uint32_t unused[15];

	uint32_t space_event; /* P sleeps: signal the channel when cons passes this.  See below */

	/*
	 * Written 1 by its owner when it comes, cleared by the owner's kernel when the owner's
	 * process ends, however it ends (unmap-notify, which also signals the channel).  The local
	 * backend has no kernel that does this; there, R's end shows in the store.
	 */
	uint8_t receiver_alive;
	uint8_t sender_alive;

	/*
	 * Written by R when it revokes this ring, before the page's `final`, which says the same of
	 * the last one only: the index up to which R took it.  `final` first, then `finished` = 1
	 * (release).  An R that does not write it leaves zeros.
	 */
	uint32_t finished;
	uint32_t final;
};

/*
 * Wake-ups are event indices, as in Xen's own rings: "signal me when your index passes X", where
 * an index that moves from OLD to NEW passes X if X lies in [OLD, NEW), that is, if
 * (uint32_t)(NEW - X - 1) < (uint32_t)(NEW - OLD).  X is passed once, so a sleeper gets one signal
 * for each time it goes to sleep, and nobody has to take the flag down.
 *
 *   sleeper: write the event index, full barrier, read the other's index, sleep if nothing new
 *   waker:	  write the index, full barrier, read the event index, signal if it was passed
 */

/*
 * A frame in the ring: this header, `length` bytes of message, and padding to a multiple of
 * SIVC_FRAME_ALIGN.  The header never wraps, the bytes may.  A message is one frame that is FIRST
 * and LAST, or a FIRST frame, any number of middle ones, and a LAST one.  A FIRST frame in the
 * middle of a message means that its sender has given that message up; it is dropped.
 */
struct sivc_frame {
	uint32_t length; /* bytes that follow, 1 and up, without the padding */
	uint32_t flags;  /* SIVC_FRAME_*; other bits are a breach */
};

#define SIVC_FRAME_FIRST 1u
#define SIVC_FRAME_LAST  2u
#define SIVC_FRAME_CUT   4u /* in streams alone */
#define SIVC_FRAME_ALIGN 8u

/*
 * Streams.  An endpoint whose name begins with this prefix is one of streams, which differ from
 * messages in what a frame may be.  A stream is a message of any length.  It begins with a FIRST
 * frame and ends with a LAST one, which may have no bytes, or is cut: by a CUT frame, which has no
 * bytes, by the FIRST frame of the next one, or by the end of its ring or of P.
 *
 * P publishes a node for R before it begins a stream: that node goes when P ends, however it ends.
 * If nobody reads on, R writes `broken`, signals, and drops what there is of that stream; P sends
 * no more of it.
 */
#define SIVC_STREAM_PREFIX "stream@"

#endif
