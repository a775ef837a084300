/* SPDX-License-Identifier: MIT */
/*
 * every.c: for every content of the shared memory at every read, the ring and the page stay within
 * their memory, and end.
 *
 * The real ring.c and page.c are included below.  Their helpers for shared memory come from
 * shared_hook.h: a load returns what the adversary chooses at that very moment, so that two loads
 * of one word may differ, and its address is checked.  Copying is checked, too.  All choices are
 * tried, by going through the tree of them depth first.
 *
 * Why that is every content, for any number of calls:
 *
 * 1. By induction over calls.  Each function is started in every state that its end of the ring can
 *    be in (STATES below), not only in those that some sequence of calls happens to reach, and must
 *    leave a state that is among them.  So what holds for one call holds for any sequence.
 *
 * 2. A state is a private index (where in the ring, and how far from 2^32), the distances between
 *    the private indices, and the ring's size.  The code uses an index in no other way than modulo
 *    the size and in differences, so an index that is larger by a multiple of the size behaves in
 *    the same way unless something wraps: bases at 0, before 2^31 and before 2^32 are tried.
 *
 * 3. A value that is loaded is compared before anything else is done with it.  An index is accepted
 *    if its distance from ours is at most the ring's size: each of these is tried.  The others
 *    take one path, out; the smallest, the largest and those in the middle are tried.  A length is
 *    accepted if it is 1..left, in streams also 0: each is tried, and of the others those where a
 *    sum could overflow.  Of flags all that streams have and each single bad bit.  An event index
 * decides nothing but whether to signal: both.  Of the words of a page: all that a comparison in
 * page.c tells apart.
 *
 * 4. The size is a power of two from 4096 to 2 MiB, and appears as a mask and in comparisons.
 *    Smaller ones behave in the same way: 16 to 64 bytes are tried in full, 4096 for all lengths
 *    and distances at places around the end of the ring.
 *
 * Exit status 0: it holds.  A violation prints the state and aborts.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ring.c"
#undef RING_FLAGS
#undef MARKS
#include "page.c"

#define SIZE_MAX_RING 4096u
#define SIZE_IN_FULL  64u
#define WALK_MAX      32u /* bytes of a ring that is walked to its end */
#define MESSAGE_MAX   4096u

/* What the code under test may touch. */
static struct {
	struct sivc_page page;
	struct sivc_ctl ctl;
	uint8_t data[SIZE_MAX_RING] __attribute__((aligned(8)));
	uint8_t message[MESSAGE_MAX];
	uint32_t size;
	bool page_writable, ctl_writable, data_writable;
} memory;

static char state[256]; /* what is being tried, for the report */
static unsigned long tried;
static size_t copied; /* bytes, by hook_copy */

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("# %s: not %s\n", state, #condition);                               \
			fflush(stdout);                                                            \
			_Exit(EXIT_FAILURE);                                                       \
		}                                                                                  \
	} while (0)

/* The tree of choices. */

#define DEPTH 64

static struct {
	unsigned int at[DEPTH], of[DEPTH];
	unsigned int depth, used;
} tree;

static unsigned int choose(unsigned int n)
{
	unsigned int i = tree.used++;

	REQUIRE(i < DEPTH);
	if (i == tree.depth) {
		tree.at[i] = 0;
		tree.of[i] = n;
		tree.depth++;
	}
	return tree.at[i];
}

/* The next path.  False: that was the last. */
static bool next_path(void)
{
	tried++;
	tree.used = 0;
	while (tree.depth > 0) {
		if (++tree.at[tree.depth - 1] < tree.of[tree.depth - 1])
			return true;
		tree.depth--;
	}
	return false;
}

#define FOR_EVERY_PATH for (bool more_ = true; more_; more_ = next_path())

/* The adversary.  `expect` says what a load means, which depends on who is asked. */

static struct {
	uint32_t ours;     /* an index: accepted up to... */
	uint32_t distance; /* ...this far from ours */
	bool behind;       /* an index is accepted behind ours, not before it */
	bool exact;        /* the sender's index is ours */
	uint32_t left;     /* a length: accepted up to this */
	bool settles;      /* the page's seq may stay as it is */
	unsigned int loads, seqs, try;
} expect;

static bool within(const void *p, const void *area, size_t size)
{
	return (const uint8_t *)p >= (const uint8_t *)area &&
	       (const uint8_t *)p < (const uint8_t *)area + size;
}

static uint32_t any_index(void)
{
	static const uint32_t far_[] = {1, 8, 0x40000000u, 0x7FFFFFFFu};
	uint32_t n = choose(expect.distance + 1 + 4);
	uint32_t d = n <= expect.distance ? n : expect.distance + far_[n - expect.distance - 1];

	return expect.behind ? expect.ours - d : expect.ours + d;
}

static uint32_t any_length(void)
{
	static const uint32_t bad[] = {
		0, 0x7FFFFFF8u, 0x80000000u, 0xFFFFFFF0u, 0xFFFFFFF8u, 0xFFFFFFF9u, 0xFFFFFFFFu};
	uint32_t n = choose(expect.left + 1 + 7);

	return n <= expect.left ? n + 1 : bad[n - expect.left - 1];
}

static uint32_t any_flags(void)
{
	uint32_t n;

	if (memory.size > SIZE_IN_FULL)
		return 3;
	n = choose(8 + 29);
	return n < 8 ? n : 1u << (n - 5);
}

static uint32_t any_of(const uint32_t *values, unsigned int count)
{
	return values[choose(count)];
}

static bool try_counts(void)
{
	return expect.try == 0 || expect.seqs > (expect.try == 2 ? 2 : 1);
}

static uint64_t page_word(size_t offset)
{
	static const uint32_t pages[] = {
		0, 1, 2, 3, 256, 511, 512, 513, 0x7FFFFFFFu, 0x80000000u, 0xFFFFFFFFu};
	static const uint32_t verdicts[] = {0, 1, 2, 3, 0xFFFFFFFFu};
	static const uint32_t few[] = {0, 1, 0xFFFFFFFFu};

	switch (offset) {
	case offsetof(struct sivc_page, magic):
		return choose(2) ? 0 : SIVC_MAGIC;
	case offsetof(struct sivc_page, version):
		return choose(2) ? SIVC_WIRE_VERSION - 1 : SIVC_WIRE_VERSION;
	case offsetof(struct sivc_page, page_nonce):
		return choose(2) ? 0 : 1;
	case offsetof(struct sivc_page, verdict):
		return try_counts() ? any_of(verdicts, 5) : 1;
	case offsetof(struct sivc_page, ring_pages):
		return try_counts() ? any_of(pages, 11) : 512;
	case offsetof(struct sivc_page, ring_nonce):
	case offsetof(struct sivc_page, max_msg):
		return try_counts() ? any_of(few, 3) : 0;
	case offsetof(struct sivc_page, cons):
		return any_index();
	case offsetof(struct sivc_page, data_event):
		return expect.ours - choose(2); /* passed, or not */
	default:
		return 0x5A5A5A5A;
	}
}

/*
 * The page's seq is read before and after a try.  The first try finds it settled, or odd, or
 * changed; in the last two cases the second finds it settled.  (What a try that failed has read is
 * read again by the next; so a try is made in full only where it counts.)
 */
static uint32_t any_seq(void)
{
	if (!expect.settles)
		return expect.loads; /* never the same */
	switch (expect.seqs++) {
	case 0:
		expect.try = choose(3);
		return expect.try == 1 ? 1 : 2;
	case 1:
		return expect.try == 2 ? 4 : 2;
	default:
		return 2;
	}
}

uint64_t hook_load(const void *p, size_t size)
{
	size_t offset;

	expect.loads++;
	if (within(p, memory.data, memory.size)) {
		offset = (size_t)((const uint8_t *)p - memory.data);
		REQUIRE(offset % 8 + size <= 8);
		return offset % 8 == 0 ? any_length() : any_flags();
	}
	if (within(p, &memory.ctl, sizeof(memory.ctl))) {
		if (p == &memory.ctl.prod)
			return expect.exact ? expect.ours : any_index();
		REQUIRE(p == &memory.ctl.space_event);
		return expect.ours - choose(2);
	}
	REQUIRE(within(p, &memory.page, sizeof(memory.page)));
	offset = (size_t)((const uint8_t *)p - (const uint8_t *)&memory.page);
	REQUIRE(offset + size <= sizeof(memory.page));
	if (offset == offsetof(struct sivc_page, seq))
		return any_seq();
	return page_word(offset);
}

void hook_store(void *p, size_t size, uint64_t value)
{
	(void)value;
	if (within(p, &memory.page, sizeof(memory.page)))
		REQUIRE(memory.page_writable &&
			within((uint8_t *)p + size - 1, &memory.page, sizeof(memory.page)));
	else
		REQUIRE(memory.ctl_writable && within(p, &memory.ctl, sizeof(memory.ctl)) &&
			within((uint8_t *)p + size - 1, &memory.ctl, sizeof(memory.ctl)));
}

void hook_barrier(const char *name)
{
	(void)name;
}

/* A message or a header goes into the ring, or what is in the ring out of it. */
void hook_copy(void *to, const void *from, size_t size)
{
	bool out = within(from, memory.data, memory.size);

	if (size == 0)
		return;
	REQUIRE(out || memory.data_writable);
	REQUIRE(within(to, out ? memory.message : memory.data, memory.size));
	REQUIRE(within((uint8_t *)to + size - 1, out ? memory.message : memory.data, memory.size));
	REQUIRE(!out || within((const uint8_t *)from + size - 1, memory.data, memory.size));
	REQUIRE(out || size <= sizeof(struct sivc_frame) ||
		(within(from, memory.message, MESSAGE_MAX) &&
			within((const uint8_t *)from + size - 1, memory.message, MESSAGE_MAX)));
	copied += size;
}

/* The receiver's end. */

/*
 * STATES: cons is aligned, and what was seen lies at most a ring before it.  (What was released is
 * compared with nothing; it decides whether to signal.)
 */
static void rx_require(const struct ring_rx *rx)
{
	REQUIRE(rx->size == memory.size && rx->data == memory.data && rx->ctl == &memory.ctl);
	REQUIRE(rx->cons % SIVC_FRAME_ALIGN == 0);
	REQUIRE(rx->prod - rx->cons <= rx->size);
}

/* A mark has no bytes, and is a LAST or a CUT one; only a mark is a CUT one. */
static void flags_require(const struct ring_rx *rx, const struct ring_frame *frame)
{
	bool mark = frame->length == 0, cut = frame->flags & SIVC_FRAME_CUT;

	REQUIRE((frame->flags & ~7u) == 0);
	REQUIRE(rx->streams || (!mark && !cut));
	REQUIRE(mark || !cut);
	REQUIRE(!mark || cut || frame->flags & SIVC_FRAME_LAST);
}

static void frame_require(const struct ring_rx *rx, uint32_t at, const struct ring_frame *frame)
{
	uint32_t left = rx->prod - at;
	size_t bytes = 0;

	REQUIRE(frame->length + sizeof(struct sivc_frame) <= left);
	flags_require(rx, frame);
	REQUIRE(frame->next - at <= left && frame->next - at > frame->length);
	REQUIRE(frame->next % SIVC_FRAME_ALIGN == 0);
	REQUIRE(frame->iovcnt >= (frame->length > 0) && frame->iovcnt <= 2);
	for (int i = 0; i < frame->iovcnt; i++) {
		const uint8_t *base = frame->iov[i].iov_base;

		REQUIRE(frame->iov[i].iov_len >= 1);
		REQUIRE(within(base, memory.data, memory.size));
		REQUIRE(within(base + frame->iov[i].iov_len - 1, memory.data, memory.size));
		bytes += frame->iov[i].iov_len;
	}
	REQUIRE(bytes == frame->length);
}

/* All frames that are seen, from one index on; the walk ends. */
static void rx_walk(struct ring_rx *rx)
{
	struct ring_frame frame;
	uint32_t at = rx->cons;
	uint32_t frames = 0;
	int r;

	for (;;) {
		expect.left = rx->prod - at;
		r = ring_rx_frame(rx, at, &frame);
		if (r < 0)
			break;
		frame_require(rx, at, &frame);
		REQUIRE(++frames <= rx->size / sizeof(struct sivc_frame));
		at = frame.next;
		if (memory.size > WALK_MAX)
			break; /* the rest is what starts in another state */
	}
	REQUIRE(r == 0 || r == -EAGAIN || r == -EPROTO);
	ring_rx_advance(rx, at);
	rx_require(rx);
}

static void rx_copy(const struct ring_rx *rx)
{
	struct ring_rx copy;

	copied = 0;
	ring_rx_copy(rx, memory.message, &copy);
	REQUIRE(copied == rx->prod - rx->cons);
	REQUIRE(copy.data == memory.message && copy.size == rx->size);
	REQUIRE(copy.streams == rx->streams);
	REQUIRE(copy.cons == rx->cons && copy.prod == rx->prod);
}

static void rx_every(uint32_t cons, uint32_t seen)
{
	struct ring_rx start, rx;
	bool sleep;
	int r;

	snprintf(state, sizeof(state), "receiver, size %u, cons %u, prod +%u", memory.size, cons,
		seen);
	ring_rx_init(&start, &memory.page, &memory.ctl, memory.data, memory.size);
	start.cons = cons;
	start.prod = cons + seen;
	start.released = cons;
	expect.ours = cons;
	expect.distance = memory.size;

	for (int streams = 0; streams < 2; streams++) {
		start.streams = streams;
		FOR_EVERY_PATH
		{
			rx = start;
			rx_walk(&rx);
		}
		rx_copy(&start);
	}
	if (memory.size > SIZE_IN_FULL)
		return;
	FOR_EVERY_PATH
	{
		rx = start;
		r = ring_rx_look(&rx);
		REQUIRE(r == 0 || (r == -EPROTO && rx.prod == start.prod));
		rx_require(&rx);
	}
	FOR_EVERY_PATH
	{
		rx = start;
		sleep = true;
		r = ring_rx_sleep(&rx, &sleep);
		REQUIRE(r == -EPROTO || (r == 0 && sleep == (rx.prod == rx.cons)));
		rx_require(&rx);
	}
	for (uint32_t unreleased = 0; unreleased <= memory.size; unreleased += 8)
		FOR_EVERY_PATH
		{
			rx = start;
			rx.released = cons - unreleased;
			ring_rx_release(&rx);
			REQUIRE(rx.released == rx.cons);
			rx_require(&rx);
		}
}

/* The sender's end. */

/*
 * STATES: prod is aligned, and what was read lies at most a ring behind it.  (What was published
 * is compared with nothing; it decides whether to signal.)
 */
static void tx_require(const struct ring_tx *tx)
{
	REQUIRE(tx->size == memory.size && tx->data == memory.data && tx->ctl == &memory.ctl);
	REQUIRE(tx->prod % SIVC_FRAME_ALIGN == 0);
	REQUIRE(tx->prod - tx->cons <= tx->size);
}

static void tx_every(uint32_t prod, uint32_t used)
{
	struct ring_tx start, tx;
	uint32_t room;
	bool sleep;
	int r;

	snprintf(state, sizeof(state), "sender, size %u, prod %u, cons -%u", memory.size, prod,
		used);
	start = (struct ring_tx){
		.data = memory.data,
		.ctl = &memory.ctl,
		.page = &memory.page,
		.size = memory.size,
		.prod = prod,
		.published = prod,
		.cons = prod - used,
	};
	/* The receiver may go on from the cons that we know to prod. */
	expect.ours = start.cons;
	expect.distance = used;

	for (uint32_t need = 1; need <= memory.size; need++)
		FOR_EVERY_PATH
		{
			tx = start;
			r = ring_tx_room(&tx, need, &room);
			REQUIRE(r == -EPROTO || (r == 0 && room == tx.size - (tx.prod - tx.cons)));
			tx_require(&tx);
		}
	for (uint32_t need = 1; need <= memory.size; need++)
		FOR_EVERY_PATH
		{
			tx = start;
			sleep = true;
			r = ring_tx_sleep(&tx, need, &sleep);
			REQUIRE(r == -EPROTO ||
				(r == 0 && sleep == (tx.size - (tx.prod - tx.cons) < need)));
			tx_require(&tx);
		}
	for (uint32_t length = 0; ring_span(length) <= memory.size - used; length++) {
		tx = start;
		ring_tx_put(&tx, 3, memory.message, length);
		tx_require(&tx);
		REQUIRE(tx.prod - prod == ring_span(length));
	}
	for (uint32_t unpublished = 0; unpublished <= memory.size; unpublished += 8)
		FOR_EVERY_PATH
		{
			tx = start;
			tx.published = prod - unpublished;
			ring_tx_publish(&tx);
			REQUIRE(tx.published == tx.prod);
			tx_require(&tx);
		}
}

/* The very first state comes from shared memory alone: a ring that others have used before. */
static void tx_first(uint32_t prod)
{
	struct ring_tx tx;
	int r;

	snprintf(state, sizeof(state), "new sender, size %u, prod %u", memory.size, prod);
	expect.ours = prod;
	expect.distance = memory.size;
	expect.exact = expect.behind = true;
	FOR_EVERY_PATH
	{
		r = ring_tx_init(&tx, &memory.page, &memory.ctl, memory.data, memory.size);
		REQUIRE(r == 0 || r == -EPROTO);
		if (r == 0)
			tx_require(&tx);
	}
	expect.exact = expect.behind = false;
}

/* The page. */

static void page_every(void)
{
	static struct page_view view;
	int r;

	snprintf(state, sizeof(state), "page");
	expect.settles = true;
	FOR_EVERY_PATH
	{
		expect.loads = expect.seqs = expect.try = 0;
		r = page_read(&memory.page, 1, &view);
		REQUIRE(r == 0 || r == -EPROTO || r == -EAGAIN || r == -ESTALE);
		if (r == 0 && view.verdict == SIVC_VERDICT_PERMITTED) {
			REQUIRE(view.ring_pages >= 1 && view.ring_pages <= SIVC_RING_PAGES_MAX);
			REQUIRE((view.ring_pages & (view.ring_pages - 1)) == 0);
			REQUIRE(view.max_msg >= 1 && view.ring_nonce != 0);
		}
	}
}

/* It ends, whatever seq does: each of the first choices again, with a seq that never rests. */
static void page_ends(void)
{
	static struct page_view view;
	unsigned int most = 0;
	int r;

	snprintf(state, sizeof(state), "page that never settles");
	expect.settles = false;
	expect.try = 1;
	FOR_EVERY_PATH
	{
		expect.loads = expect.seqs = 0;
		r = page_read(&memory.page, 1, &view);
		REQUIRE(r == -EPROTO || r == -EAGAIN || r == -ESTALE);
		most = expect.loads > most ? expect.loads : most;
	}
	printf("# a page that never settles is given up after %u loads\n", most);
}

static const uint32_t bases[] = {0, 0x80000000u, 0u - 128, 0u - 64};

static void as_receiver(void)
{
	memory.page_writable = true;
	memory.ctl_writable = memory.data_writable = false;
}

static void as_sender(void)
{
	memory.page_writable = false;
	memory.ctl_writable = memory.data_writable = true;
}

static void ring_in_full(uint32_t size)
{
	memory.size = size;
	for (unsigned int b = 0; b < sizeof(bases) / sizeof(bases[0]); b++)
		for (uint32_t at = 0; at < 2 * size; at += 8)
			for (uint32_t d = 0; d <= size; d++) {
				as_receiver();
				rx_every(bases[b] + at, d);
				as_sender();
				tx_every(bases[b] + at, d);
			}
	for (unsigned int b = 0; b < sizeof(bases) / sizeof(bases[0]); b++)
		for (uint32_t at = 0; at < 2 * size; at++)
			tx_first(bases[b] + at);
}

/* All distances and lengths of a real ring, where its end is near. */
static void ring_of_a_page(void)
{
	static const uint32_t places[] = {0, 8, 2048, SIZE_MAX_RING - 16, SIZE_MAX_RING - 8};

	memory.size = SIZE_MAX_RING;
	as_receiver();
	for (unsigned int i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		for (uint32_t d = 0; d <= SIZE_MAX_RING; d++)
			rx_every(0u - SIZE_MAX_RING + places[i], d);
}

int main(void)
{
	for (uint32_t size = 16; size <= SIZE_IN_FULL; size *= 2)
		ring_in_full(size);
	ring_of_a_page();
	memory.page_writable = memory.ctl_writable = memory.data_writable = false;
	page_every();
	page_ends();
	printf("# %lu paths\n", tried);
	return EXIT_SUCCESS;
}
