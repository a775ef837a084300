/* SPDX-License-Identifier: MIT */
/*
 * A hostile receiver of streams: its node, page and ring, against a sender with several writers.
 *
 * Each frame is looked at on its way into the ring (--wrap): there is room for it, and it belongs
 * there.
 */
#include "attack.h"

#define WRITERS 3

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			__builtin_trap();                                                          \
	} while (0)

static struct scene scene;
static struct waiter polling; /* with no writer */

static struct writing {
	struct sivc_writer *writer;
	struct waiter waiter; /* for room */
	int error;            /* that it was told; 0 */
} writings[WRITERS];

/* What was put last. */
static struct {
	uint64_t nonce; /* into this ring */
	bool open;      /* in a stream, */
	uint8_t bytes;  /* of these */
} ring;

void __real_ring_tx_put(struct ring_tx *tx, uint32_t flags, const void *bytes, uint32_t length);
void __wrap_ring_tx_put(struct ring_tx *tx, uint32_t flags, const void *bytes, uint32_t length);

void __wrap_ring_tx_put(struct ring_tx *tx, uint32_t flags, const void *bytes, uint32_t length)
{
	bool mark = length == 0, first = flags & SIVC_FRAME_FIRST;
	bool ends = flags & (SIVC_FRAME_LAST | SIVC_FRAME_CUT);
	uint8_t byte = mark ? 0 : *(const uint8_t *)bytes;
	uint64_t nonce = sender_find(scene.victim.streams, ATTACKER)->channel.nonce;

	REQUIRE(length <= tx->size && ring_span(length) <= tx->size - (tx->prod - tx->cons));
	REQUIRE(mark == ends);
	REQUIRE(first || (ring.open && ring.nonce == nonce));
	REQUIRE(first || mark || byte == ring.bytes);
	__real_ring_tx_put(tx, flags, bytes, length);
	ring.open = !ends;
	ring.nonce = nonce;
	if (first)
		ring.bytes = byte;
}

static void on_room(struct waiter *waiter)
{
	(void)waiter;
}

static void attack(struct input *input)
{
	struct attacker *x = &scene.x;

	if (take_byte(input) % 8 > 0) {
		attack_as_receiver(x, input);
		return;
	}
	x->page->broken = take_near(input, x->page->cons) | 1; /* its reader has left */
	hv_port_notify(x->port);
}

static void begin_stream(struct writing *writing)
{
	if (writing->writer)
		return;
	writing->error = 0;
	sivc_stream_begin(scene.victim.streams, ATTACKER, &writing->writer);
}

/* After an error each write fails with it. */
static void write_some(struct writing *writing, size_t length)
{
	static uint8_t bytes[WRITERS][MAX_MSG];
	uint8_t *own = bytes[writing - writings];
	ssize_t n;

	if (!writing->writer)
		return;
	memset(own, (int)(writing - writings) + 1, length);
	n = sivc_stream_write(writing->writer, own, length);
	REQUIRE(n < 0 || (n > 0 && (size_t)n <= length));
	REQUIRE(writing->error == 0 || n == writing->error);
	if (n < 0 && n != -EAGAIN)
		writing->error = (int)n;
}

static void end_stream(struct writing *writing, bool cut)
{
	wait_cancel(&writing->waiter);
	if (writing->writer)
		sivc_stream_end(writing->writer, cut);
	writing->writer = NULL;
}

static void use(struct input *input)
{
	static const uint32_t lengths[] = {1, 8, 100, 1000, 4080, 4088, 4089, 9000, MAX_MSG};
	struct writing *writing = &writings[take_byte(input) % WRITERS];
	struct sivc_endpoint *ep = scene.victim.streams;

	switch (take_byte(input) % 10) {
	case 0:
	case 1:
		begin_stream(writing);
		break;
	case 2:
	case 3:
	case 4:
		write_some(writing, lengths[take_byte(input) % 9]);
		break;
	case 5:
		end_stream(writing, take_byte(input) % 2);
		break;
	case 6:
		if (writing->writer && !writing->waiter.handle)
			wait_room(writing->writer, &writing->waiter);
		break;
	case 7:
		wait_cancel(&writing->waiter);
		break;
	case 8:
		if (writing->writer)
			sivc_stream_writable(writing->writer);
		else
			sivc_writable(ep, ATTACKER, 1);
		break;
	case 9:
		if (polling.handle)
			wait_cancel(&polling);
		else
			wait_read(ep, ATTACKER, writing->writer, &polling);
		break;
	}
	sivc_dispatch(scene.victim.sivc);
}

/* With a page that may be unsettled, and a ring that may be full of what an earlier sender left. */
static void begin(uint8_t kind)
{
	struct attacker *x = &scene.x;

	fake_reset();
	memset(writings, 0, sizeof(writings));
	memset(&ring, 0, sizeof(ring));
	polling = (struct waiter){.fn = on_room};
	for (int i = 0; i < WRITERS; i++)
		writings[i].waiter.fn = on_room;
	house_open_ring(&scene.victim, VICTIM, NULL, 4096);
	house_open_streams(&scene.victim);
	attacker_open(x);
	x->endpoint = SIVC_STREAM_PREFIX STREAMS;
	attacker_page(x, VICTIM);
	attacker_ring(x, VICTIM, 1 + kind % 2);
	attacker_permit(x);
	attacker_node(x, VICTIM);
	x->ctl->prod = kind & 2 ? x->size : 0;
	x->page->seq -= kind & 4 ? 1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size / 2};

	changes.size = 0;
	begin(take_byte(&input));
	changes = (struct input){data + size / 2, size - size / 2};
	for (int i = 0; i < STEPS_MAX && input.size > 0; i++) {
		if (take_byte(&input) % 2)
			attack(&input);
		else
			use(&input);
	}
	changes.size = 0;
	for (int i = 0; i < WRITERS; i++)
		end_stream(&writings[i], false);
	house_close(&scene.victim);
	fake_reset();
	return 0;
}
