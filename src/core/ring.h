/* SPDX-License-Identifier: MIT */
/*
 * ring.h: one direction of bytes between two domains that do not trust each other.
 *
 * sivc/wire.h describes the memory; these are its two ends.  -EPROTO from any function: the other
 * side broke the protocol, and the ring must not be used again.  Nothing here waits, allocates or
 * signals.
 */
#ifndef SIVC_RING_H
#define SIVC_RING_H

#include <sivc/wire.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Bytes of a frame with a message of `length` bytes. */
static inline uint32_t ring_span(uint32_t length)
{
	return (uint32_t)sizeof(struct sivc_frame) +
	       ((length + SIVC_FRAME_ALIGN - 1) & ~(SIVC_FRAME_ALIGN - 1));
}

/* Bytes of the largest message whose frame fits into `room` bytes. */
static inline uint32_t ring_fitting(uint32_t room)
{
	return (room - (uint32_t)sizeof(struct sivc_frame)) & ~(SIVC_FRAME_ALIGN - 1);
}

/* Does an index that goes from old to new pass `event`? */
static inline bool ring_passes(uint32_t old, uint32_t new, uint32_t event)
{
	return new - event - 1 < new - old;
}

/* The sender's end. */
struct ring_tx {
	/* Mapped from the receiver. */
	uint8_t *data;                /* we write */
	struct sivc_ctl *ctl;         /* we write */
	const struct sivc_page *page; /* the receiver writes */
	/* Ours alone. */
	uint32_t size;      /* bytes, a power of two; fixed */
	uint32_t prod;      /* where the next frame goes */
	uint32_t published; /* what the receiver was told */
	uint32_t cons;      /* the receiver's, as last checked */
};

/* Goes on where an earlier sender of this domain stopped.  -EPROTO */
int ring_tx_init(struct ring_tx *tx, const struct sivc_page *page, struct sivc_ctl *ctl, void *data,
	uint32_t size);
/* Free bytes.  Looks at the receiver's index only if less than `enough` are known. */
int ring_tx_room(struct ring_tx *tx, uint32_t enough, uint32_t *room);
/* Writes a frame, for which there must be room.  Not yet published. */
void ring_tx_put(struct ring_tx *tx, uint32_t flags, const void *bytes, uint32_t length);
/* Publishes what was put.  True: signal the receiver.  A full barrier. */
bool ring_tx_publish(struct ring_tx *tx);
/* Asks for a signal at `need` free bytes, or more.  *sleep = false: they are free.  -EPROTO */
int ring_tx_sleep(struct ring_tx *tx, uint32_t need, bool *sleep);

/* The receiver's end. */
struct ring_rx {
	/* Ours, shared with the sender. */
	const uint8_t *data;        /* the sender writes */
	const struct sivc_ctl *ctl; /* the sender writes */
	struct sivc_page *page;     /* we write */
	/* Ours alone. */
	uint32_t size;     /* bytes, a power of two; fixed */
	bool streams;      /* frames may be marks: without bytes, LAST or CUT */
	uint32_t cons;     /* where the next frame is */
	uint32_t released; /* what the sender was told */
	uint32_t prod;     /* the sender's, as last checked */
};

#define RING_IOV 2 /* parts of a frame's bytes: they may wrap */

struct ring_frame {
	uint32_t length; /* checked: the bytes lie in the ring, before prod */
	uint32_t flags;  /* checked: FIRST and LAST only, and CUT in streams */
	uint32_t next;   /* the index behind it */
	int iovcnt;      /* of iov; 0 of a mark */
	struct iovec iov[RING_IOV];
};

void ring_rx_init(struct ring_rx *rx, struct sivc_page *page, const struct sivc_ctl *ctl,
	const void *data, uint32_t size); /* .streams is the caller's to set */
/* Copies what the last look saw and was not read into memory[size], where *copy reads on. */
void ring_rx_copy(const struct ring_rx *rx, void *memory, struct ring_rx *copy);
/* Reads the sender's index.  -EPROTO */
int ring_rx_look(struct ring_rx *rx);
/* The frame at `at`: cons, or a frame's `next`.  -EAGAIN: the last look saw none.  -EPROTO */
int ring_rx_frame(const struct ring_rx *rx, uint32_t at, struct ring_frame *frame);
/* Everything before `next` was read. */
static inline void ring_rx_advance(struct ring_rx *rx, uint32_t next)
{
	rx->cons = next;
}

/* Gives the room back to the sender.  True: signal it.  A full barrier. */
bool ring_rx_release(struct ring_rx *rx);
/* Asks for a signal when something comes.  *sleep = false: it has come.  -EPROTO */
int ring_rx_sleep(struct ring_rx *rx, bool *sleep);

#endif
