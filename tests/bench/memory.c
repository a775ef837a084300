/* SPDX-License-Identifier: MIT */
/*
 * memory.c: shared memory between two processes, with nothing around it: the limits.
 *
 *	memcpy  both sides spin on the other's index: no system call, no check, no frame.  What is
 *		left is two copies of the bytes, one in and one out, and the cache lines' way
 *		between two cores.  Nothing that copies twice can be faster.
 *	futex	the same, but who finds nothing sleeps at once and is woken by the other side: what
 *		sleeping and waking cost where shared memory is all there is.
 *
 * A ring a direction.  A message is copied a piece at a time, so that a long one is read while its
 * end is still written.
 */
#include "transport.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RING_SIZE  (1024u * 1024)
#define PIECE      (16u * 1024)
#define CACHE_LINE 64

/* Runs freely.  Who finds it at `event` and sleeps is woken when it passes that (sivc/wire.h). */
struct index {
	_Alignas(CACHE_LINE) uint32_t value;
	uint32_t event;
};

struct ring {
	struct index prod;
	struct index cons;
	_Alignas(CACHE_LINE) char data[RING_SIZE];
};

/* What one side knows: its own indices, and the others' as last seen. */
struct memory {
	struct ring *out;
	struct ring *in;
	uint32_t out_prod, out_cons;
	uint32_t in_prod, in_cons;
	bool sleeps;
};

static uint32_t spin_while(struct index *index, uint32_t old)
{
	uint32_t value;

	while ((value = __atomic_load_n(&index->value, __ATOMIC_ACQUIRE)) == old)
		__builtin_ia32_pause();
	return value;
}

static uint32_t sleep_while(struct index *index, uint32_t old)
{
	uint32_t value;

	while ((value = __atomic_load_n(&index->value, __ATOMIC_ACQUIRE)) == old) {
		__atomic_store_n(&index->event, old, __ATOMIC_SEQ_CST);
		syscall(SYS_futex, &index->value, FUTEX_WAIT, old, NULL, NULL, 0);
	}
	return value;
}

static uint32_t wait_while(const struct memory *m, struct index *index, uint32_t old)
{
	return m->sleeps ? sleep_while(index, old) : spin_while(index, old);
}

static void publish(const struct memory *m, struct index *index, uint32_t old, uint32_t new)
{
	uint32_t event;

	if (!m->sleeps) {
		__atomic_store_n(&index->value, new, __ATOMIC_RELEASE);
		return;
	}
	__atomic_store_n(&index->value, new, __ATOMIC_SEQ_CST);
	event = __atomic_load_n(&index->event, __ATOMIC_SEQ_CST);
	if (new - event - 1 < new - old)
		syscall(SYS_futex, &index->value, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static uint32_t smallest(uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t d = a < b ? a : b;

	return d < c ? d : c;
}

static int memory_send(struct link *link, size_t size)
{
	struct memory *m = link->own;
	const char *from = link->out;
	uint32_t at, n;

	while (size) {
		n = (uint32_t)(size < PIECE ? size : PIECE);
		while (RING_SIZE - (m->out_prod - m->out_cons) < n)
			m->out_cons = wait_while(m, &m->out->cons, m->out_cons);
		at = m->out_prod % RING_SIZE;
		n = smallest(n, RING_SIZE - at, RING_SIZE);
		memcpy(m->out->data + at, from, n);
		publish(m, &m->out->prod, m->out_prod, m->out_prod + n);
		m->out_prod += n;
		from += n;
		size -= n;
	}
	return 0;
}

static int memory_receive(struct link *link, size_t size, const void **bytes)
{
	struct memory *m = link->own;
	char *to = link->in;
	uint32_t at, n;

	*bytes = link->in;
	while (size) {
		if (m->in_prod == m->in_cons)
			m->in_prod = wait_while(m, &m->in->prod, m->in_prod);
		at = m->in_cons % RING_SIZE;
		n = smallest((uint32_t)size, m->in_prod - m->in_cons, RING_SIZE - at);
		memcpy(to, m->in->data + at, n);
		publish(m, &m->in->cons, m->in_cons, m->in_cons + n);
		m->in_cons += n;
		to += n;
		size -= n;
	}
	return 0;
}

static int memory_prepare(struct plan *plan)
{
	size_t bytes = SIDES * (sizeof(struct ring) + sizeof(struct memory));
	struct ring *rings = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (rings == MAP_FAILED)
		return -errno;
	plan->prepared = rings;
	return 0;
}

/* rings[i] is read by side i; behind them, each side's struct memory. */
static int memory_open(struct link *link)
{
	struct ring *rings = link->plan->prepared;
	struct memory *m = (struct memory *)(void *)(rings + SIDES) + link->side;

	m->in = &rings[link->side];
	m->out = &rings[side_other(link->side)];
	link->own = m;
	return 0;
}

static int futex_open(struct link *link)
{
	struct memory *m;

	memory_open(link);
	m = link->own;
	m->sleeps = true;
	return 0;
}

const struct transport transport_memcpy = {
	.name = "memcpy",
	.prepare = memory_prepare,
	.open = memory_open,
	.send = memory_send,
	.receive = memory_receive,
};

const struct transport transport_futex = {
	.name = "futex",
	.prepare = memory_prepare,
	.open = futex_open,
	.send = memory_send,
	.receive = memory_receive,
};
