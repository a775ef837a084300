/* SPDX-License-Identifier: MIT */
#include "incoming.h"

#include <errno.h>
#include <stdlib.h>

#include "container_of.h"
#include "tuning.h"

/* Its ring was revoked and is read to its end, or its sender is gone. */
static bool is_lost(const struct inbound *in, const struct ring_rx *rx)
{
	const struct incoming *incoming = &in->incoming;

	if (rx != &in->rx || !in->channel.data)
		return true;
	return incoming->ring_nonce != in->channel.nonce || incoming->sender_gone ||
	       !channel_peer_alive(&in->channel);
}

static bool is_in_channel(const struct inbound *in)
{
	return TAILQ_EMPTY(&in->rings) && in->channel.data != NULL;
}

static void over(struct inbound *in)
{
	if (in->incoming.state == INCOMING_DROPPED && is_in_channel(in))
		page_stream_broken(&in->owner, 0);
	in->incoming.state = INCOMING_NONE;
	in->incoming.offset = 0;
}

static uint64_t nonce_of(const struct inbound *in, struct ring_rx *rx)
{
	if (rx == &in->rx)
		return in->channel.nonce;
	return container_of(rx, struct unread_ring, rx)->nonce;
}

/* What is in front.  -ECONNRESET: nothing more comes of the stream that is under way. */
static int front(struct inbound *in, struct ring_rx **rx, struct ring_frame *frame)
{
	const struct incoming *incoming = &in->incoming;
	int r = inbound_front(in, rx, frame);
	bool lost;

	if (incoming->state == INCOMING_NONE)
		return r;
	lost = r == -EAGAIN && is_lost(in, *rx);
	if (lost)
		r = inbound_front(in, rx, frame); /* what was published before that */
	if (r == 0 && nonce_of(in, *rx) != incoming->ring_nonce)
		return -ECONNRESET;
	return r == -EAGAIN && lost ? -ECONNRESET : r;
}

static bool begins_next(const struct inbound *in, const struct ring_frame *frame)
{
	return frame->flags & SIVC_FRAME_FIRST && !in->incoming.at_first;
}

/* A frame of a stream that nobody reads on.  When P was told, there was a ring of them at most, and
 * one more on its way. */
static int drop(struct inbound *in, struct ring_rx *rx, const struct ring_frame *frame)
{
	in->incoming.at_first = false;
	in->incoming.dropped += frame->next - rx->cons;
	if (rx == &in->rx && in->incoming.dropped > 2 * rx->size)
		return inbound_breach(in);
	inbound_taken(in, rx, frame);
	if (frame->flags & (SIVC_FRAME_LAST | SIVC_FRAME_CUT))
		over(in);
	return 0;
}

/* The next frame that is not to be dropped. */
static int next_frame(struct inbound *in, struct ring_rx **rx, struct ring_frame *frame)
{
	int r;

	for (int turns = 0; turns < TURNS_MAX; turns++) {
		r = front(in, rx, frame);
		if (r == -ECONNRESET) {
			over(in);
			continue;
		}
		if (r == -EAGAIN && in->incoming.state == INCOMING_NONE && inbound_leave_ring(in))
			continue;
		if (r < 0 || in->incoming.state != INCOMING_DROPPED)
			return r;
		if (begins_next(in, frame)) {
			over(in);
			return 0;
		}
		r = drop(in, *rx, frame);
		if (r < 0)
			return r;
	}
	return -EAGAIN;
}

/* The bytes behind the first `skip` ones; returns how many parts of `iov` they take. */
static int bytes_of(const struct ring_frame *frame, size_t skip, struct iovec *iov)
{
	int count = 0;

	for (int i = 0; i < frame->iovcnt; i++) {
		size_t n = frame->iov[i].iov_len < skip ? frame->iov[i].iov_len : skip;

		skip -= n;
		if (n == frame->iov[i].iov_len)
			continue;
		iov[count].iov_base = (char *)frame->iov[i].iov_base + n;
		iov[count++].iov_len = frame->iov[i].iov_len - n;
	}
	inbound_touch(iov, count);
	return count;
}

static void message_of(
	const struct inbound *in, const struct ring_frame *frame, struct sivc_message *message)
{
	uint32_t skip = in->incoming.offset;

	message->length = frame->length - skip;
	message->iovcnt = bytes_of(frame, skip, message->iov);
}

static int peek_begin(struct inbound *in, struct sivc_message *message)
{
	struct ring_frame frame;
	struct ring_rx *rx;
	int r = next_frame(in, &rx, &frame);

	if (r < 0)
		return r;
	if (!(frame.flags & SIVC_FRAME_FIRST)) {
		if (rx == &in->rx)
			return inbound_breach(in);
		inbound_taken(in, rx, &frame); /* a stream that was cut when its ring was revoked */
		return -EAGAIN;
	}
	message->sender = in->domid;
	message_of(in, &frame, message);
	return 0;
}

/* The next frame of the stream that a reader has; it may be the end's mark. */
static int frame_of_reader(struct inbound *in, struct ring_rx **rx, struct ring_frame *frame)
{
	const struct incoming *incoming = &in->incoming;
	int r = front(in, rx, frame);

	if (r < 0)
		return r == -EAGAIN ? -EAGAIN : -ECONNRESET;
	if (incoming->offset > 0 && incoming->offset >= frame->length) {
		if (*rx == &in->rx)
			inbound_breach(in); /* it has written over what is being read */
		return -ECONNRESET;
	}
	if (frame->flags & SIVC_FRAME_CUT || begins_next(in, frame))
		return -ECONNRESET;
	return 0;
}

/* There are so many bytes, or r < 0.  Of its end the reader is told once, whatever its sender does
 * to the mark meanwhile. */
static void tell(struct inbound *in, ssize_t r)
{
	if (r == 0 || r == -ECONNRESET)
		in->incoming.reader->over = (int)r;
}

static int peek_next(struct inbound *in, struct sivc_message *message)
{
	bool ended = in->incoming.state == INCOMING_ENDED;
	struct ring_frame frame;
	struct ring_rx *rx;
	int r = ended ? 0 : frame_of_reader(in, &rx, &frame);

	*message = (struct sivc_message){.sender = in->domid};
	if (r == 0 && !ended)
		message_of(in, &frame, message);
	tell(in, r < 0 ? r : (ssize_t)message->length);
	return r;
}

int incoming_peek(struct inbound *in, struct sivc_message *message)
{
	return in->incoming.reader ? peek_next(in, message) : peek_begin(in, message);
}

/* What lies behind a frame, if those are bytes of the same stream. */
static bool goes_on(struct inbound *in, struct ring_rx *rx, struct ring_frame *frame)
{
	return !(frame->flags & SIVC_FRAME_LAST) &&
	       inbound_frame(in, rx, frame->next, frame) == 0 && frame->length > 0 &&
	       !(frame->flags & SIVC_FRAME_FIRST);
}

static ssize_t pieces(struct inbound *in, struct iovec *iov, int *iovcnt)
{
	uint32_t skip = in->incoming.offset;
	struct ring_frame frame;
	struct ring_rx *rx;
	size_t bytes = 0;
	int r;

	*iovcnt = 0;
	if (in->incoming.state == INCOMING_ENDED)
		return 0;
	r = frame_of_reader(in, &rx, &frame);
	if (r < 0)
		return r;
	do {
		*iovcnt += bytes_of(&frame, skip, iov + *iovcnt);
		bytes += frame.length - skip;
		skip = 0;
	} while (*iovcnt + RING_IOV <= SIVC_STREAM_IOV && goes_on(in, rx, &frame));
	return (ssize_t)bytes;
}

ssize_t incoming_pieces(struct inbound *in, struct iovec *iov, int *iovcnt)
{
	ssize_t r = pieces(in, iov, iovcnt);

	tell(in, r);
	return r;
}

int incoming_accept(struct inbound *in, struct sivc_reader **result)
{
	struct sivc_reader *reader = calloc(1, sizeof(*reader));
	const struct unread_ring *ring = TAILQ_FIRST(&in->rings);
	struct incoming *incoming = &in->incoming;

	if (!reader)
		return -ENOMEM;
	reader->in = in;
	reader->sender = in->domid;
	reader->over = -ECONNRESET; /* unless it is told otherwise */
	incoming->state = INCOMING_OPEN;
	incoming->at_first = true;
	incoming->sender_gone = false;
	incoming->offset = 0;
	incoming->begin = ring ? ring->rx.cons : in->rx.cons;
	incoming->ring_nonce = ring ? ring->nonce : in->channel.nonce;
	incoming->reader = reader;
	in->counters.streams++;
	*result = reader;
	return 0;
}

static void reader_done(struct inbound *in, int r)
{
	struct sivc_reader *reader = in->incoming.reader;

	hv_watch_free(reader->watch);
	reader->watch = NULL;
	reader->in = NULL;
	reader->over = r;
	in->incoming.reader = NULL;
}

/* Of the frame in front.  False: that is all, or its ring was closed since the peek. */
static bool take_from_front(struct inbound *in, size_t *bytes)
{
	struct incoming *incoming = &in->incoming;
	struct ring_frame frame;
	struct ring_rx *rx;
	uint32_t left;

	if (frame_of_reader(in, &rx, &frame) < 0)
		return false;
	left = frame.length - incoming->offset;
	if (*bytes < left) {
		incoming->offset += (uint32_t)*bytes;
		return false;
	}
	*bytes -= left;
	incoming->offset = 0;
	incoming->at_first = false;
	inbound_taken(in, rx, &frame);
	if (frame.flags & SIVC_FRAME_LAST)
		incoming->state = INCOMING_ENDED;
	return *bytes > 0 && incoming->state == INCOMING_OPEN;
}

static void take_bytes(struct inbound *in, size_t bytes)
{
	in->counters.bytes += bytes;
	while (take_from_front(in, &bytes))
		;
}

/* The mark goes with it, if that is what is in front. */
static void take_end(struct inbound *in)
{
	struct incoming *incoming = &in->incoming;
	int r = incoming->reader->over;
	uint32_t mark = r < 0 ? SIVC_FRAME_CUT : SIVC_FRAME_LAST;
	struct ring_frame frame;
	struct ring_rx *rx;

	if (incoming->state == INCOMING_OPEN && inbound_front(in, &rx, &frame) == 0 &&
		frame.length == 0 && frame.flags & mark && !begins_next(in, &frame))
		inbound_taken(in, rx, &frame);
	in->counters.cut += r < 0;
	in->counters.ended += r >= 0;
	over(in);
	reader_done(in, r);
}

void incoming_taken(struct inbound *in, size_t bytes)
{
	if (bytes > 0)
		take_bytes(in, bytes);
	else
		take_end(in);
}

void incoming_suspend(struct inbound *in)
{
	struct sivc_reader *reader = in->incoming.reader;

	if (!reader)
		return;
	hv_watch_free(reader->watch);
	reader->watch = NULL;
	in->incoming.sender_gone = true; /* its ring is gone, for one of us */
}

void incoming_leave(struct inbound *in)
{
	struct incoming *incoming = &in->incoming;

	reader_done(in, -ECONNRESET);
	if (incoming->state == INCOMING_ENDED) {
		in->counters.ended++;
		over(in);
		return;
	}
	in->counters.cut++;
	incoming->state = INCOMING_DROPPED;
	incoming->offset = 0;
	incoming->dropped = 0;
	if (!is_in_channel(in) || incoming->ring_nonce != in->channel.nonce)
		return;
	page_stream_broken(&in->owner, incoming->begin | 1);
	hv_port_notify(in->channel.port); /* if it waits for room, it need not */
}
