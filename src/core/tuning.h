/* SPDX-License-Identifier: MIT */
/*
 * tuning.h: every number that tunes how libsivc behaves, with its unit and the reason for it.
 *
 * None of them decides whether a message arrives or who may send: they weigh one process's time
 * against another's.  Sizes that users see are in sivc/sivc.h, the wire's in sivc/wire.h.
 */
#ifndef SIVC_TUNING_H
#define SIVC_TUNING_H

/* Turns. */

/*
 * So many in a row, of any kind; then all else that this process has to do gets its turn.  Also
 * pieces of unfinished messages that one turn may take, besides a ring's worth of bytes: an honest
 * sender's ring holds less than ten.
 */
#define TURNS_MAX 32

/* Peers that keep us busy. */

/*
 * So often in a row may a peer do what costs us and brings nothing, before it has to wait: signal
 * for nothing (XSA-332), begin a message and not end it, cause a line in the log.  A lost race
 * brings one or two.
 */
#define IDLE_EVENTS_MAX 8

/* ms; how long such a peer waits after each further one: 100 wake-ups a second, at the most. */
#define IDLE_EVENT_MS 10

/*
 * Looks in a row at a page that changes under our eyes, or turns of a sender that bring it nothing.
 * An honest peer needs a system call of one of its users for each.
 */
#define FRUITLESS_MAX 100

/*
 * ms; a peer that does so is not looked at for that long.  A page that is being changed for that
 * long is not going to be finished.  Also how often a restored domain tries to come back.
 */
#define BACKOFF_MS 1000

/* ms; when to look again at a page that is being changed: its owner has lost its processor. */
#define UNSETTLED_MS 1

/* Looks at such a page by a sender that cannot wait, with the processor offered in between. */
#define DOUBT_TRIES 1000

/* Rings that one domain can leave here unread, one for each time that it was refused. */
#define UNREAD_RINGS_MAX 2

/* ms until peers can cause one more line in the log, after IDLE_EVENTS_MAX in a row. */
#define REPORT_MS 5000

/* ms; something of ours was short, memory or descriptors or the store: when to try again. */
#define RETRY_MS 100

/* Names (each read of all names on Xen is a request to dom0 for each of them). */

/* ms between two reads of all names, and from the change of one until rules follow it. */
#define NAMES_PAUSE_MS 25

/* Reads in a row before that pause counts: `ls -l` of some endpoints. */
#define NAME_READS 16

/* Parts of a ring: measured with 1 KB and 512 KiB messages through 64 KiB. */

/* Room is given back in portions of this part, or when the ring is empty. */
#define RELEASE_PART 8

/* A long message goes out in pieces that are at least this part, so that both sides work. */
#define PIECE_PART 4

/* Spinning: sivc/sivc.h, sivc_wait. */

/* us; in the middle of a message, where the other side is known to be at work. */
#define SPIN_MESSAGE_US 200

/* us; a shorter spin is none: it is less than two system calls. */
#define SPIN_LEAST_US 5

/*
 * Bytes a turn that a sender must bring, on the average, for us to spin until its next piece.  An
 * honest one brings a PIECE_PART of the smallest ring; crumbs would keep us busy.
 */
#define FLOW_LEAST 512

#endif
