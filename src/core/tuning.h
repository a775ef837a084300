/* SPDX-License-Identifier: MIT */
/*
 * tuning.h: the numbers that tune libsivc, each with its unit and its reason.
 *
 * None of them decides whether a message arrives or who may send.  Those of rings and pages are in
 * ring.c and page.c.
 */
#ifndef SIVC_TUNING_H
#define SIVC_TUNING_H

/* Turns. */

/*
 * What is done so often in a row makes way for everything else.  Also the pieces of an unfinished
 * message that one turn takes: an honest sender's ring holds less than ten.
 */
#define TURNS_MAX 32

/* Peers that keep us busy. */

/*
 * So often in a row may a peer cost us something for nothing: a signal without data (XSA-332), a
 * message without end, a line in the log.  An honest peer that loses a race does it once or twice.
 */
#define IDLE_EVENTS_MAX 8

/* ms from then on for each one more: 100 wake-ups a second. */
#define IDLE_EVENT_MS 10

/* Turns in a row without a message sent: an honest peer's user makes a system call for each. */
#define FRUITLESS_MAX 100

/*
 * ms for which a peer that causes more is left alone.  Also how long a page may be half changed,
 * and how often a restored domain tries to come back.
 */
#define BACKOFF_MS 1000

/* ms until a page that is being changed is looked at again: its owner has lost its processor. */
#define UNSETTLED_MS 1

/* Looks at such a page by a send that cannot wait; each yields the processor. */
#define DOUBT_TRIES 1000

/* Unread rings of one domain; each refusal makes one. */
#define UNREAD_RINGS_MAX 2

/* ms a line that peers cause in the log, after IDLE_EVENTS_MAX in a row. */
#define REPORT_MS 5000

/* ms until we try again what failed for memory, descriptors or the store. */
#define RETRY_MS 100

/* Names.  On Xen, to read them takes a request to dom0 for each. */

/* ms between two reads, and until rules follow a change. */
#define NAMES_PAUSE_MS 25

/* Reads in a row before that counts: `ls -l` of some endpoints. */
#define NAME_READS 16

/* Parts of a ring; measured with 1 KB and 512 KiB messages. */

/* Room is given back in this part of the ring, or when it is empty. */
#define RELEASE_PART 8

/* The pieces of a long message, so that both sides work at once. */
#define PIECE_PART 4

/*
 * A sender whose message is shorter than a RELEASE_PART is woken when this part is free, but no
 * more than WAKE_MOST bytes: once for many messages.
 */
#define WAKE_PART 2
#define WAKE_MOST 32768u

/* Domains that were sent to without being opened, which are remembered: 400 bytes and a watch each.
 */
#define SENDER_IDLE_MAX 64

/* Spinning: see sivc_wait. */

/* us where nothing else is said, and in the middle of a message: the other side is at work. */
#define SPIN_USUAL_US 200

/*
 * Where nothing else is said, so many times what it takes to wake here, if that is longer.  That is
 * how late a timer is, at best, unless others had the processor.  A domain that another one wakes
 * takes up to twice as long, and a wait in which both sides sleep has up to four such wake-ups in
 * it.
 */
#define SPIN_WAKES 10

/*
 * So many such timers, of so many that are tried, and us of each: longer than it takes to set it
 * where processors are emulated.
 */
#define WAKE_TIMES    4
#define WAKE_TRIES    16
#define WAKE_AFTER_US 250

/*
 * So many times the longest spin is tried, because each side's wait has the other's wake-ups in it:
 * for SPIN_TRY_MS in each SPIN_PAUSE_MS, or in half of that.  That takes 5% or 10% of a processor
 * at most.
 */
#define SPIN_REACH    10
#define SPIN_TRY_MS   10
#define SPIN_PAUSE_MS 200

/* us; less would not pay for two system calls. */
#define SPIN_LEAST_US 5

/* Bytes a turn, on average, for which we spin.  Honest senders bring a PIECE_PART of the ring. */
#define FLOW_LEAST 512

#endif
