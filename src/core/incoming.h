/* SPDX-License-Identifier: MIT */
/*
 * incoming.h: the streams of one inbound, one after the other.
 *
 * A stream is read frame by frame, in place, and never put together.  It ends with its mark, or it
 * is cut: by a CUT frame, by the beginning of another one, or because its ring or its sender is
 * gone.  What arrived before is read first.
 */
#ifndef SIVC_INCOMING_H
#define SIVC_INCOMING_H

#include "inbound.h"

/* A stream that somebody reads.  Outlives the inbound if the endpoint is closed. */
struct sivc_reader {
	struct inbound *in; /* NULL: the stream is over, or its endpoint is closed */
	int over;           /* what it was told last: 0, it ended; -ECONNRESET, it was cut */
	uint16_t sender;
	struct hv_watch *watch;   /* of the sender's node; NULL: there was no need to wait yet */
	char node[SIVC_NODE_MAX]; /* what it said at first; "": not known yet */
};

/*
 * What is next.  If no reader has a stream of this inbound: 0, one begins, with the bytes that are
 * there.  If one has: 0, its next bytes, or, if *message has none, its end; -ECONNRESET: it was
 * cut. -EAGAIN: nothing, or it is the others' turn.  -EPROTO: nothing, and the sender broke the
 * protocol.
 */
int incoming_peek(struct inbound *in, struct sivc_message *message);
/* All the bytes of the reader's stream that lie there: how many; 0, its end; or incoming_peek's
 * error.
 */
ssize_t incoming_pieces(struct inbound *in, struct iovec *iov, int *iovcnt);
/* After a peek.  -ENOMEM */
int incoming_accept(struct inbound *in, struct sivc_reader **reader);
/* After a peek of its stream: so many bytes of it were read; 0: what that told of its end. */
void incoming_taken(struct inbound *in, size_t bytes);
/* Before the hypervisor's handles are closed. */
void incoming_suspend(struct inbound *in);
/* Its reader does not read on. */
void incoming_leave(struct inbound *in);

#endif
