/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sivc/sivc.h>
#include <stdlib.h>
#include <string.h>

#include "ring.h"
#include "tap.h"

#define SIZE 4096u

struct pair {
	struct sivc_page page;
	struct sivc_ctl ctl;
	uint8_t data[SIZE] __attribute__((aligned(8)));
	struct ring_tx tx;
	struct ring_rx rx;
};

/* A ring whose indices begin at `start`. */
static struct pair *pair_new(uint32_t start)
{
	struct pair *p = calloc(1, sizeof(*p));

	p->ctl.prod = start;
	p->page.cons = start;
	ring_tx_init(&p->tx, &p->page, &p->ctl, p->data, SIZE);
	ring_rx_init(&p->rx, &p->page, &p->ctl, p->data, SIZE);
	p->rx.cons = p->rx.prod = p->rx.released = start;
	p->page.data_event = start;
	return p;
}

static bool put(struct pair *p, const void *bytes, uint32_t length)
{
	uint32_t room;

	if (ring_tx_room(&p->tx, ring_span(length), &room) < 0 || room < ring_span(length))
		return false;
	ring_tx_put(&p->tx, SIVC_FRAME_FIRST | SIVC_FRAME_LAST, bytes, length);
	return true;
}

static bool get(struct pair *p, void *bytes, uint32_t *length)
{
	struct ring_frame f;
	uint8_t *to = bytes;

	if (ring_rx_look(&p->rx) < 0 || ring_rx_frame(&p->rx, p->rx.cons, &f) < 0)
		return false;
	for (int i = 0; i < f.iovcnt; i++) {
		memcpy(to, f.iov[i].iov_base, f.iov[i].iov_len);
		to += f.iov[i].iov_len;
	}
	*length = f.length;
	ring_rx_advance(&p->rx, f.next);
	return true;
}

/* Empties a full ring of messages of 8 bytes.  Returns how much was free at the only signal, or 0.
 */
static uint32_t read_until_woken(struct pair *p)
{
	uint8_t bytes[8];
	uint32_t length, free_then = 0;

	for (uint32_t given = 16; get(p, bytes, &length); given += 16)
		if (ring_rx_release(&p->rx)) {
			if (free_then > 0)
				return 0;
			free_then = given;
		}
	return free_then;
}

/* Messages of all lengths, through every place of the ring, with indices that begin at `start`. */
static bool all_arrive(uint32_t start)
{
	struct pair *p = pair_new(start);
	uint8_t out[SIZE], in[SIZE];
	uint32_t length;
	bool good = true;

	for (uint32_t n = 1; good && n <= SIZE - sizeof(struct sivc_frame); n++) {
		for (uint32_t i = 0; i < n; i++)
			out[i] = (uint8_t)(i * 7 + n);
		good = put(p, out, n);
		ring_tx_publish(&p->tx);
		good = good && get(p, in, &length) && length == n && memcmp(in, out, n) == 0;
		ring_rx_release(&p->rx);
	}
	free(p);
	return good;
}

static void test_transport(void)
{
	ok(all_arrive(0), "messages of every length arrive as they were sent");
	ok(all_arrive(0xFFFFFFF8u), "also where the indices wrap at 2^32");
	ok(all_arrive(0x7FFFFFF8u), "and where they become negative as signed numbers");
}

static void test_full(void)
{
	struct pair *p = pair_new(0xFFFFFF00u);
	uint8_t bytes[SIZE];
	uint32_t n = 0, length;

	memset(bytes, 1, sizeof(bytes));
	while (put(p, bytes, 56))
		n++;
	ok(n == SIZE / 64, "a ring takes messages until it is exactly full");
	ring_tx_publish(&p->tx);
	for (n = 0; get(p, bytes, &length); n++)
		;
	ok(n == SIZE / 64, "and gives all of them");
	ok(!put(p, bytes, 56), "what was read is not free before it is released");
	ring_rx_release(&p->rx);
	ok(put(p, bytes, SIZE - sizeof(struct sivc_frame)), "afterwards, all of it is");
	free(p);
}

static void test_wakeups(void)
{
	struct pair *p = pair_new(0);
	uint8_t bytes[64] = {0};
	uint32_t length;
	bool sleep;

	put(p, bytes, 8);
	ok(ring_tx_publish(&p->tx), "the first message of a ring wakes its receiver");
	put(p, bytes, 8);
	ok(!ring_tx_publish(&p->tx), "the second does not, if nobody went to sleep");
	ok(ring_rx_sleep(&p->rx, &sleep) == 0 && !sleep, "with messages there is no sleep");
	while (get(p, bytes, &length))
		;
	ring_rx_release(&p->rx);
	ok(ring_rx_sleep(&p->rx, &sleep) == 0 && sleep, "without, there is");
	ok(!ring_tx_publish(&p->tx), "publishing nothing wakes nobody");
	put(p, bytes, 8);
	put(p, bytes, 8);
	ok(ring_tx_publish(&p->tx), "a batch wakes a sleeper once");

	while (put(p, bytes, 8))
		;
	ring_tx_publish(&p->tx);
	ok(ring_tx_sleep(&p->tx, 32, &sleep) == 0 && sleep, "a sender sleeps at a full ring");
	is(read_until_woken(p), SIZE / 2, "and is woken when half of it is free, once");
	ok(ring_tx_sleep(&p->tx, 32, &sleep) == 0 && !sleep, "with room there is no sleep");

	while (put(p, bytes, 8))
		;
	ring_tx_publish(&p->tx);
	ring_tx_sleep(&p->tx, SIZE - 16, &sleep);
	is(read_until_woken(p), SIZE - 16, "one that needs more, when that is free");

	while (put(p, bytes, 8))
		;
	ring_tx_publish(&p->tx);
	ring_tx_sleep(&p->tx, SIZE / 8, &sleep);
	is(read_until_woken(p), SIZE / 8, "one whose message is large, for that alone");
	put(p, bytes, 8);
	put(p, bytes, 8);
	ok(ring_tx_sleep(&p->tx, SIZE - 48, &sleep) == 0 && !sleep,
		"with what it needs, whatever else is free, there is no sleep");
	free(p);
}

/* How much is free when the signal comes that a sender of `need` bytes asks for at a full ring. */
static uint32_t free_when_woken(uint32_t size, uint32_t need)
{
	struct sivc_page page = {0};
	struct sivc_ctl ctl = {0};
	struct ring_tx tx = {.ctl = &ctl, .page = &page, .size = size, .prod = size};
	bool sleep = false;

	if (ring_tx_sleep(&tx, need, &sleep) < 0 || !sleep)
		return 0;
	return ctl.space_event + 1; /* cons was 0 */
}

/* One that is woken before has passed its event, and would sleep for ever when it looks again. */
static void test_never_woken_too_early(void)
{
	uint32_t early = 0;

	for (uint32_t size = SIVC_RING_MIN; size <= SIVC_RING_MAX; size *= 2)
		for (uint32_t need = SIVC_FRAME_ALIGN; need <= size; need += SIVC_FRAME_ALIGN)
			early += free_when_woken(size, need) < need;
	is(early, 0, "whatever the ring and the message, a sender wakes to room enough");
}

/* The other side writes `prod`; what does the receiver say? */
static int look_at(uint32_t start, uint32_t prod)
{
	struct pair *p = pair_new(start);
	int r;

	p->ctl.prod = prod;
	r = ring_rx_look(&p->rx);
	free(p);
	return r;
}

static int frame_of(uint32_t length, uint32_t flags, uint32_t published)
{
	struct pair *p = pair_new(0);
	struct sivc_frame *f = (void *)p->data;
	struct ring_frame frame;
	int r;

	f->length = length;
	f->flags = flags;
	p->ctl.prod = published;
	r = ring_rx_look(&p->rx);
	if (r == 0)
		r = ring_rx_frame(&p->rx, 0, &frame);
	free(p);
	return r;
}

static void test_hostile_sender(void)
{
	const uint32_t whole = SIVC_FRAME_FIRST | SIVC_FRAME_LAST;
	struct pair *p = pair_new(0);
	struct ring_frame frame;

	ok(look_at(0, SIZE) == 0, "an index one ring ahead is a full ring");
	ok(look_at(0, SIZE + 1) == -EPROTO, "an index further ahead is a breach");
	ok(look_at(100 * 8, 99 * 8) == -EPROTO, "an index that is behind is a breach");
	ok(frame_of(8, whole, 16) == 0, "a good frame is good");
	ok(frame_of(0, whole, 16) == -EPROTO, "length 0 is a breach");
	ok(frame_of(9, whole, 16) == -EPROTO, "a length beyond the index is a breach");
	ok(frame_of(0xFFFFFFFFu, whole, 16) == -EPROTO, "so is one that overflows when rounded");
	ok(frame_of(0xFFFFFFF8u, whole, 16) == -EPROTO, "and one that overflows when added");
	ok(frame_of(1, whole, 12) == -EPROTO, "a frame's padding must be there");
	ok(frame_of(8, 4, 16) == -EPROTO, "unknown flags are a breach");
	ok(frame_of(8, whole, 4) == -EPROTO, "half a header is a breach");
	ok(frame_of(8, whole, 0) == -EAGAIN, "no frame is no frame");

	p->ctl.prod = 64;
	ring_rx_look(&p->rx);
	p->ctl.prod = 32;
	ok(ring_rx_look(&p->rx) == -EPROTO, "an index that runs backwards is a breach");
	p->ctl.prod = 64;
	ok(ring_rx_frame(&p->rx, 4, &frame) == -EPROTO, "a frame that is not aligned is a breach");
	free(p);
}

static void test_hostile_receiver(void)
{
	struct pair *p = pair_new(0);
	uint8_t bytes[SIZE] = {0};
	uint32_t room;
	bool sleep;

	while (put(p, bytes, 56))
		;
	p->page.cons = SIZE + 8;
	ok(ring_tx_room(&p->tx, 64, &room) == -EPROTO,
		"a receiver that read what was not sent is in breach");
	p->page.cons = (uint32_t)-8;
	ok(ring_tx_sleep(&p->tx, 64, &sleep) == -EPROTO, "so is one whose index runs backwards");
	p->ctl.prod = 8192;
	p->page.cons = 0;
	ok(ring_tx_init(&p->tx, &p->page, &p->ctl, p->data, SIZE) == -EPROTO,
		"a ring whose indices make no sense is not taken over");
	free(p);
}

int main(void)
{
	test_transport();
	test_full();
	test_wakeups();
	test_never_woken_too_early();
	test_hostile_sender();
	test_hostile_receiver();
	return done_testing();
}
