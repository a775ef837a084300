/* SPDX-License-Identifier: MIT */
#include "incoming.h"

#include <errno.h>
#include <stdlib.h>

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

/* Nothing more comes out of the front ring now.  True: there is another one to look at. */
static bool ring_is_empty(struct inbound *in, const struct ring_rx *rx)
{
	if (in->incoming.state == INCOMING_DROPPED && is_lost(in, rx))
		over(in);
	return in->incoming.state == INCOMING_NONE && inbound_leave_ring(in);
}

/* A frame of a stream that nobody reads on.  False: it is the beginning of the next one. */
static bool drop(struct inbound *in, struct ring_rx *rx, const struct ring_frame *frame)
{
	if (frame->flags & SIVC_FRAME_FIRST && !in->incoming.at_first) {
		over(in);
		return false;
	}
	in->incoming.at_first = false;
	inbound_taken(in, rx, frame);
	if (frame->flags & (SIVC_FRAME_LAST | SIVC_FRAME_CUT))
		over(in);
	return true;
}

/* The next frame that is not to be dropped. */
static int next_frame(struct inbound *in, struct ring_rx **rx, struct ring_frame *frame)
{
	int r;

	for (int turns = 0; turns < TURNS_MAX; turns++) {
		r = inbound_front(in, rx, frame);
		if (r == -EPROTO && *rx && *rx != &in->rx) {
			(*rx)->cons = (*rx)->prod; /* a revoked ring: the rest of it */
			r = -EAGAIN;
		}
		if (r == -EAGAIN && ring_is_empty(in, *rx))
			continue;
		if (r < 0 || in->incoming.state != INCOMING_DROPPED || !drop(in, *rx, frame))
			return r;
	}
	return -EAGAIN;
}

static void bytes_of(
	const struct inbound *in, const struct ring_frame *frame, struct sivc_message *message)
{
	size_t skip = in->incoming.offset;

	*message = (struct sivc_message){
		.sender = in->domid, .length = frame->length - (uint32_t)skip};
	for (int i = 0; i < frame->iovcnt; i++) {
		size_t n = frame->iov[i].iov_len < skip ? frame->iov[i].iov_len : skip;

		skip -= n;
		if (n == frame->iov[i].iov_len)
			continue;
		message->iov[message->iovcnt].iov_base = (char *)frame->iov[i].iov_base + n;
		message->iov[message->iovcnt++].iov_len = frame->iov[i].iov_len - n;
	}
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
	bytes_of(in, &frame, message);
	return 0;
}

/* Of the stream that a reader has. */
static int peek_next(struct inbound *in, struct sivc_message *message)
{
	struct incoming *incoming = &in->incoming;
	struct ring_frame frame;
	struct ring_rx *rx;
	int r;

	*message = (struct sivc_message){.sender = in->domid};
	if (incoming->state == INCOMING_ENDED)
		return 0;
	r = inbound_front(in, &rx, &frame);
	if (r < 0)
		return r == -EAGAIN && !is_lost(in, rx) ? -EAGAIN : -ECONNRESET;
	if (frame.flags & SIVC_FRAME_CUT || (frame.flags & SIVC_FRAME_FIRST && !incoming->at_first))
		return -ECONNRESET;
	if (rx == &in->rx && incoming->ring_nonce != in->channel.nonce)
		return -ECONNRESET;
	bytes_of(in, &frame, message);
	return 0;
}

int incoming_peek(struct inbound *in, struct sivc_message *message)
{
	return in->incoming.reader ? peek_next(in, message) : peek_begin(in, message);
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
	incoming->state = INCOMING_OPEN;
	incoming->at_first = true;
	incoming->sender_gone = false;
	incoming->offset = 0;
	incoming->begin = ring ? ring->rx.cons : in->rx.cons;
	incoming->ring_nonce = ring ? 0 : in->channel.nonce;
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

static void take_bytes(struct inbound *in, size_t bytes)
{
	struct incoming *incoming = &in->incoming;
	struct ring_frame frame;
	struct ring_rx *rx;

	if (inbound_front(in, &rx, &frame) < 0) /* its ring was closed since the peek */
		return;
	in->counters.bytes += bytes;
	incoming->offset += (uint32_t)bytes;
	if (incoming->offset < frame.length)
		return;
	incoming->offset = 0;
	incoming->at_first = false;
	inbound_taken(in, rx, &frame);
	if (frame.flags & SIVC_FRAME_LAST)
		incoming->state = INCOMING_ENDED;
}

/* The mark goes with it, if that is what is in front. */
static void take_end(struct inbound *in, int r)
{
	struct incoming *incoming = &in->incoming;
	uint32_t mark = r < 0 ? SIVC_FRAME_CUT : SIVC_FRAME_LAST;
	struct ring_frame frame;
	struct ring_rx *rx;

	if (incoming->state == INCOMING_OPEN && inbound_front(in, &rx, &frame) == 0 &&
		frame.length == 0 && frame.flags & mark)
		inbound_taken(in, rx, &frame);
	in->counters.cut += r < 0;
	in->counters.ended += r >= 0;
	over(in);
	reader_done(in, r);
}

void incoming_taken(struct inbound *in, size_t bytes, int r)
{
	if (bytes > 0)
		take_bytes(in, bytes);
	else
		take_end(in, r);
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
	if (!is_in_channel(in) || incoming->ring_nonce != in->channel.nonce)
		return;
	page_stream_broken(&in->owner, incoming->begin | 1);
	hv_port_notify(in->channel.port); /* if it waits for room, it need not */
}
