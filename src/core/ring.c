/* SPDX-License-Identifier: MIT */
/*
 * ring.c: the two ends of a ring.
 *
 * What keeps it safe, whatever is in shared memory:
 *   - our own index is private; shared memory only has a copy of it.
 *   - the other side's index is loaded once, and accepted only if prod - cons <= size.
 *   - a frame's header is loaded once, and its length is compared with two private indices before
 *     an address is made of it.
 * So every address is data + (index & (size - 1)), and what follows it ends before data + size.
 */
#include "ring.h"

#include <errno.h>

#include "shared.h"
#include "tuning.h"

#define RING_FLAGS (SIVC_FRAME_FIRST | SIVC_FRAME_LAST)
#define MARKS      (SIVC_FRAME_LAST | SIVC_FRAME_CUT)

static uint32_t tx_used(const struct ring_tx *tx)
{
	return tx->prod - tx->cons;
}

/* Pairs with ring_rx_release: what was read may be overwritten now. */
static int tx_look(struct ring_tx *tx)
{
	uint32_t cons = shared_load_acquire(&tx->page->cons);

	/* Else the receiver gives back what it never had. */
	if (cons - tx->cons > tx_used(tx))
		return -EPROTO;
	tx->cons = cons;
	return 0;
}

int ring_tx_init(struct ring_tx *tx, const struct sivc_page *page, struct sivc_ctl *ctl, void *data,
	uint32_t size)
{
	/* Left by a sender of our domain before us. */
	uint32_t prod = shared_load(&ctl->prod);
	uint32_t cons = shared_load_acquire(&page->cons);

	/* An index that is not aligned would let a header wrap. */
	if (prod - cons > size || prod % SIVC_FRAME_ALIGN != 0)
		return -EPROTO;
	*tx = (struct ring_tx){
		.data = data,
		.ctl = ctl,
		.page = page,
		.size = size,
		.prod = prod,
		.published = prod,
		.cons = cons,
	};
	return 0;
}

int ring_tx_room(struct ring_tx *tx, uint32_t enough, uint32_t *room)
{
	int r;

	if (tx->size - tx_used(tx) < enough) {
		r = tx_look(tx);
		if (r < 0)
			return r;
	}
	*room = tx->size - tx_used(tx);
	return 0;
}

void ring_tx_put(struct ring_tx *tx, uint32_t flags, const void *bytes, uint32_t length)
{
	struct sivc_frame header = {.length = length, .flags = flags};
	uint32_t at = tx->prod & (tx->size - 1);
	uint32_t first;

	shared_copy_to(tx->data + at, &header, sizeof(header));
	at = (tx->prod + (uint32_t)sizeof(header)) & (tx->size - 1);
	first = tx->size - at < length ? tx->size - at : length;
	shared_copy_to(tx->data + at, bytes, first);
	shared_copy_to(tx->data, (const uint8_t *)bytes + first, length - first);
	tx->prod += ring_span(length);
}

bool ring_tx_publish(struct ring_tx *tx)
{
	uint32_t old = tx->published;

	if (tx->prod == old)
		return false;
	tx->published = tx->prod;
	shared_store_release(&tx->ctl->prod, tx->prod); /* pairs with ring_rx_look */
	shared_barrier(RING_PUBLISH);
	return ring_passes(old, tx->prod, shared_load(&tx->page->data_event));
}

/* Not less than `need`: woken sooner, the sender would sleep again with its event passed. */
static uint32_t worth_waking(const struct ring_tx *tx, uint32_t need)
{
	uint32_t many = tx->size / WAKE_PART < WAKE_MOST ? tx->size / WAKE_PART : WAKE_MOST;

	return need < tx->size / RELEASE_PART && need < many ? many : need;
}

int ring_tx_sleep(struct ring_tx *tx, uint32_t need, bool *sleep)
{
	int r;

	/* size - (prod - cons) is free: so much, when cons has passed this. */
	shared_store(&tx->ctl->space_event, tx->prod + worth_waking(tx, need) - tx->size - 1);
	shared_barrier(RING_TX_SLEEP);
	r = tx_look(tx);
	if (r < 0)
		return r;
	*sleep = tx->size - tx_used(tx) < need;
	return 0;
}

void ring_rx_init(struct ring_rx *rx, struct sivc_page *page, const struct sivc_ctl *ctl,
	const void *data, uint32_t size)
{
	*rx = (struct ring_rx){.data = data, .ctl = ctl, .page = page, .size = size};
}

void ring_rx_copy(const struct ring_rx *rx, void *memory, struct ring_rx *copy)
{
	uint32_t left = rx->prod - rx->cons;
	uint32_t at = rx->cons & (rx->size - 1);
	uint32_t first = rx->size - at < left ? rx->size - at : left;

	shared_copy_from((uint8_t *)memory + at, rx->data + at, first);
	shared_copy_from(memory, rx->data, left - first);
	*copy = (struct ring_rx){
		.data = memory,
		.size = rx->size,
		.streams = rx->streams,
		.cons = rx->cons,
		.prod = rx->prod,
	};
}

int ring_rx_look(struct ring_rx *rx)
{
	uint32_t prod = shared_load_acquire(&rx->ctl->prod); /* pairs with ring_tx_publish */

	/* Not more than the ring holds, and not less than was there before. */
	if (prod - rx->cons > rx->size || prod - rx->prod > rx->size)
		return -EPROTO;
	rx->prod = prod;
	return 0;
}

/* A mark ends a stream; all else has bytes. */
static bool flags_valid(const struct ring_rx *rx, uint32_t length, uint32_t flags)
{
	if (!rx->streams)
		return length > 0 && (flags & ~RING_FLAGS) == 0;
	if ((flags & ~(RING_FLAGS | SIVC_FRAME_CUT)) != 0)
		return false;
	return length > 0 ? !(flags & SIVC_FRAME_CUT) : (flags & MARKS) != 0;
}

int ring_rx_frame(const struct ring_rx *rx, uint32_t at, struct ring_frame *frame)
{
	const struct sivc_frame *header = (const void *)(rx->data + (at & (rx->size - 1)));
	uint32_t left = rx->prod - at;
	uint32_t length, flags, start, first;

	if (left == 0)
		return -EAGAIN;
	/* Aligned, a header does not wrap. */
	if (left < sizeof(*header) || at % SIVC_FRAME_ALIGN != 0)
		return -EPROTO;
	length = shared_load(&header->length);
	flags = shared_load(&header->flags);
	/* left <= size < 2^31: once length was compared, no sum overflows. */
	if (length > left || ring_span(length) > left || !flags_valid(rx, length, flags))
		return -EPROTO;

	start = (at + (uint32_t)sizeof(*header)) & (rx->size - 1);
	first = rx->size - start < length ? rx->size - start : length;
	frame->length = length;
	frame->flags = flags;
	frame->next = at + ring_span(length);
	frame->iov[0] = (struct iovec){(void *)(uintptr_t)(rx->data + start), first};
	frame->iov[1] = (struct iovec){(void *)(uintptr_t)rx->data, length - first};
	frame->iovcnt = (length > 0) + (first < length);
	return 0;
}

bool ring_rx_release(struct ring_rx *rx)
{
	uint32_t old = rx->released;

	if (rx->cons == old)
		return false;
	rx->released = rx->cons;
	shared_store_release(&rx->page->cons, rx->cons); /* pairs with tx_look */
	shared_barrier(RING_RELEASE);
	return ring_passes(old, rx->cons, shared_load(&rx->ctl->space_event));
}

int ring_rx_sleep(struct ring_rx *rx, bool *sleep)
{
	int r;

	shared_store(&rx->page->data_event, rx->prod);
	shared_barrier(RING_RX_SLEEP);
	r = ring_rx_look(rx);
	if (r < 0)
		return r;
	*sleep = rx->prod == rx->cons;
	return 0;
}
