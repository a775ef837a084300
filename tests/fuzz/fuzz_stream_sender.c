/* SPDX-License-Identifier: MIT */
/*
 * A hostile sender of streams, against a receiver that reads them in every way.
 *
 * Of half of the inputs the sender writes what it likes where it likes, and memory changes between
 * two looks.  Of the others it only puts frames, in whatever order, and memory rests: then each
 * byte of a stream is that stream's number, and what a reader is told is compared with what was
 * put.
 *
 * The frames that the receiver sees and takes are looked at on their way (--wrap).
 */
#include "attack.h"
#include "container_of.h"

#define READERS     2
#define STREAMS_MAX (STEPS_MAX + 1)
#define NOT_OVER    1
#define TAKEN_MAX   2000 /* bytes at a time */

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			__builtin_trap();                                                          \
	} while (0)

static struct scene scene;
static bool linked;
static bool wild; /* the sender writes what it likes */

/* What a sender that is not wild has put.  Number 0: no stream. */
static struct stream {
	uint32_t length;
	bool ended;
} streams[STREAMS_MAX];
static uint8_t stream; /* the one that it is in */
static unsigned int begun;

/* Somebody who reads. */
static struct reading {
	struct sivc_reader *reader;
	struct waiter waiter; /* for a stream, or its next bytes */
	int over;             /* what it was told at the end; or NOT_OVER */
	uint8_t stream;       /* as its bytes say; 0: none yet */
	uint32_t bytes;       /* that it has read */
	unsigned int frames;  /* that were taken for it, whole */
	bool last, cut;       /* one of these was */
} readings[READERS];

static bool last_seen; /* since the last stream was accepted */

/* On their way. */

int __real_ring_rx_frame(const struct ring_rx *rx, uint32_t at, struct ring_frame *frame);
int __wrap_ring_rx_frame(const struct ring_rx *rx, uint32_t at, struct ring_frame *frame);
void __real_inbound_taken(struct inbound *in, struct ring_rx *rx, const struct ring_frame *frame);
void __wrap_inbound_taken(struct inbound *in, struct ring_rx *rx, const struct ring_frame *frame);

int __wrap_ring_rx_frame(const struct ring_rx *rx, uint32_t at, struct ring_frame *frame)
{
	int r = __real_ring_rx_frame(rx, at, frame);
	size_t bytes = 0;

	if (r < 0)
		return r;
	for (int i = 0; i < frame->iovcnt; i++) {
		const uint8_t *base = frame->iov[i].iov_base;

		REQUIRE(base >= rx->data && frame->iov[i].iov_len <= rx->size);
		REQUIRE(base + frame->iov[i].iov_len <= rx->data + rx->size);
		bytes += frame->iov[i].iov_len;
	}
	REQUIRE(bytes == frame->length && bytes < rx->size);
	last_seen = last_seen || frame->flags & SIVC_FRAME_LAST;
	return r;
}

static struct reading *reading_of(const struct sivc_reader *reader)
{
	for (int i = 0; reader && i < READERS; i++)
		if (readings[i].reader == reader)
			return &readings[i];
	return NULL;
}

void __wrap_inbound_taken(struct inbound *in, struct ring_rx *rx, const struct ring_frame *frame)
{
	struct reading *reading = reading_of(in->incoming.reader);

	if (reading) {
		REQUIRE(!reading->last && !reading->cut);
		REQUIRE(reading->frames == 0 || !(frame->flags & SIVC_FRAME_FIRST));
		REQUIRE(reading->frames > 0 || frame->flags & SIVC_FRAME_FIRST || wild);
		reading->frames++;
		reading->cut = frame->flags & SIVC_FRAME_CUT;
		reading->last = frame->flags & SIVC_FRAME_LAST;
	}
	__real_inbound_taken(in, rx, frame);
}

/* The sender. */

static bool has_room(const struct attacker *x, uint32_t length)
{
	return x->prod - x->page->cons + ring_span(length) <= x->size;
}

static void put(struct attacker *x, struct input *input)
{
	static uint8_t bytes[4 * UINT8_MAX];
	uint32_t length = take_byte(input) * 4u;
	uint32_t flags = take_byte(input) % 8;

	if (!wild && !has_room(x, length))
		return;
	if (flags & SIVC_FRAME_FIRST)
		stream = (uint8_t)++begun;
	memset(bytes, stream, length);
	attacker_put(x, length, flags, bytes, length);
	streams[stream].length += length;
	if (!(flags & (SIVC_FRAME_LAST | SIVC_FRAME_CUT)))
		return;
	streams[stream].ended = !(flags & SIVC_FRAME_CUT);
	stream = 0;
}

/* Its process ends, or another one comes: that shows in the node that it has for us. */
static void change_node(struct attacker *x, struct input *input)
{
	char value[SIVC_NODE_MAX];

	snprintf(value, sizeof(value), SIVC_NODE_FORMAT, 1u, (uint64_t)take_byte(input) % 4);
	fake_node_set(ATTACKER, x->endpoint, VICTIM, take_byte(input) % 2 ? value : NULL);
}

static void attack(struct input *input)
{
	struct attacker *x = &scene.x;

	if (take_byte(input) % 8 == 0) {
		change_node(x, input);
	} else if (wild) {
		attack_as_sender(x, input, put);
	} else {
		put(x, input);
		x->ctl->sender_alive = take_byte(input) % 8 != 0;
		attacker_publish(x);
	}
}

/* The receiver. */

static void accept_stream(struct reading *reading, int from)
{
	struct waiter waiter = reading->waiter;
	struct sivc_message message;

	if (reading->reader || sivc_peek(scene.victim.streams, from, &message) < 0)
		return;
	*reading = (struct reading){.waiter = waiter, .over = NOT_OVER};
	last_seen = false;
	if (sivc_stream_accept(scene.victim.streams, &message, &reading->reader) < 0)
		reading->reader = NULL;
}

static void read_bytes(struct reading *reading, const struct iovec *iov, int count, size_t most)
{
	for (int i = 0; i < count; i++) {
		const uint8_t *bytes = iov[i].iov_base;

		for (size_t n = 0; n < iov[i].iov_len && most > 0; n++, most--) {
			uint8_t byte = *(const volatile uint8_t *)&bytes[n];

			if (reading->stream == 0)
				reading->stream = byte;
			REQUIRE(wild || byte == reading->stream);
			reading->bytes++;
		}
	}
}

/* It is told that its stream has ended, or was cut; for the first time, or again. */
static void told(struct reading *reading, int r)
{
	const struct stream *whole;

	REQUIRE(r == 0 || r == -ECONNRESET);
	REQUIRE(reading->over == NOT_OVER || reading->over == r);
	if (reading->over == r)
		return;
	reading->over = r;
	REQUIRE(r < 0 || last_seen || reading->last);
	REQUIRE(r == 0 || !reading->last);
	if (wild || reading->stream == 0)
		return;
	whole = &streams[reading->stream];
	REQUIRE(r < 0 || (whole->ended && whole->length == reading->bytes));
	REQUIRE(reading->bytes <= whole->length);
}

static void read_some(struct reading *reading, size_t most)
{
	struct iovec iov[SIVC_STREAM_IOV];
	size_t bytes = 0;
	ssize_t n;
	int count;

	if (!reading->reader)
		return;
	n = sivc_stream_peek(reading->reader, iov, &count);
	REQUIRE(count >= 0 && count <= SIVC_STREAM_IOV);
	for (int i = 0; i < count; i++)
		bytes += iov[i].iov_len;
	REQUIRE(n <= 0 || bytes == (size_t)n);
	if (n > 0) {
		REQUIRE(reading->over == NOT_OVER);
		most = most < (size_t)n ? most : (size_t)n;
		read_bytes(reading, iov, count, most);
		if (most > 0)
			sivc_stream_consume(reading->reader, most);
	} else if (n != -EAGAIN) {
		told(reading, (int)n);
		sivc_stream_consume(reading->reader, 0);
		told(reading, (int)sivc_stream_peek(reading->reader, iov, &count));
	} else {
		REQUIRE(reading->over == NOT_OVER);
	}
}

static void leave(struct reading *reading)
{
	wait_cancel(&reading->waiter);
	sivc_stream_leave(reading->reader);
	reading->reader = NULL;
}

/* What it waited for. */
static void on_ready(struct waiter *waiter)
{
	struct reading *reading = container_of(waiter, struct reading, waiter);

	if (reading->reader)
		read_some(reading, TAKEN_MAX);
	else if (waiter->r == 0)
		accept_stream(reading, ATTACKER);
}

static void wait_for_more(struct reading *reading, int from)
{
	if (reading->waiter.handle)
		return;
	if (reading->reader)
		wait_stream(reading->reader, &reading->waiter);
	else
		wait_receive(scene.victim.streams, from, &reading->waiter);
}

static void permit(struct sivc_endpoint *ep)
{
	const struct inbound *in = receiver_find(ep, ATTACKER);

	if (in && in->permission != INBOUND_REFUSED)
		return;
	sivc_permit(ep, ATTACKER);
	linked = link_attacker(&scene.x);
	stream = 0;
}

static void use(struct input *input)
{
	struct reading *reading = &readings[take_byte(input) % READERS];
	struct house *victim = &scene.victim;
	char *text;

	switch (take_byte(input) % 12) {
	case 0:
	case 1:
		accept_stream(reading, take_byte(input) % 2 ? ATTACKER : SIVC_ANY);
		break;
	case 2:
	case 3:
	case 4:
		read_some(reading, TAKEN_MAX);
		break;
	case 5:
		read_some(reading, take_byte(input));
		break;
	case 6:
		leave(reading);
		break;
	case 7:
		wait_for_more(reading, take_byte(input) % 2 ? ATTACKER : SIVC_ANY);
		break;
	case 8:
		wait_cancel(&reading->waiter);
		break;
	case 9:
		sivc_refuse(victim->streams, ATTACKER);
		break;
	case 10:
		permit(victim->streams);
		break;
	case 11:
		if (sivc_stats(victim->streams, &text) > 0)
			free(text);
		break;
	}
	sivc_dispatch(victim->sivc);
}

static void begin(bool xen)
{
	fake_reset();
	fake.xen = xen;
	memset(readings, 0, sizeof(readings));
	memset(streams, 0, sizeof(streams));
	stream = 0;
	begun = 0;
	for (int i = 0; i < READERS; i++)
		readings[i].waiter.fn = on_ready;
	house_open_ring(&scene.victim, VICTIM, NULL, 4096);
	house_open_streams(&scene.victim);
	attacker_open(&scene.x);
	scene.x.endpoint = SIVC_STREAM_PREFIX STREAMS;
	permit(scene.victim.streams);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};

	changes.size = 0;
	wild = take_byte(&input) % 2;
	begin(take_byte(&input) % 2);
	if (wild) {
		changes = (struct input){input.data + input.size / 2, input.size - input.size / 2};
		input.size /= 2;
	}
	for (int i = 0; i < STEPS_MAX && input.size > 0; i++) {
		if (linked && take_byte(&input) % 2)
			attack(&input);
		else
			use(&input);
	}
	changes.size = 0;
	for (int i = 0; i < READERS; i++)
		leave(&readings[i]);
	house_close(&scene.victim);
	unlink_attacker(&scene.x);
	attacker_close(&scene.x);
	fake_node_set(ATTACKER, scene.x.endpoint, VICTIM, NULL);
	REQUIRE(fake_leaks() == 0);
	return 0;
}
