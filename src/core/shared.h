/* SPDX-License-Identifier: MIT */
/*
 * shared.h: the only way to touch memory that another domain can see.
 *
 * Each helper is one access, which the compiler can neither repeat, tear nor leave out.  A loaded
 * value is a private copy: check that, use that, and do not load it again (XSA-155).
 */
#ifndef SIVC_SHARED_H
#define SIVC_SHARED_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t shared_load(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint64_t shared_load64(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint8_t shared_load8(const uint8_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline void shared_store(uint32_t *p, uint32_t value)
{
	__atomic_store_n(p, value, __ATOMIC_RELAXED);
}

static inline void shared_store64(uint64_t *p, uint64_t value)
{
	__atomic_store_n(p, value, __ATOMIC_RELAXED);
}

static inline void shared_store8(uint8_t *p, uint8_t value)
{
	__atomic_store_n(p, value, __ATOMIC_RELAXED);
}

/* Later loads see what the other side wrote before its release. */
static inline uint32_t shared_load_acquire(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

/* An acquire of this value sees what was written before it. */
static inline void shared_store_release(uint32_t *p, uint32_t value)
{
	__atomic_store_n(p, value, __ATOMIC_RELEASE);
}

/*
 * Bytes of messages, which the other side may change meanwhile.  By the letter of C that is a race,
 * the only one; nothing here is decided by these bytes.  ThreadSanitizer sees single accesses.
 */
#ifdef __SANITIZE_THREAD__

static inline void shared_copy_from(void *to, const void *from, size_t length)
{
	for (size_t i = 0; i < length; i++)
		((uint8_t *)to)[i] = shared_load8((const uint8_t *)from + i);
}

static inline void shared_copy_to(void *to, const void *from, size_t length)
{
	for (size_t i = 0; i < length; i++)
		shared_store8((uint8_t *)to + i, ((const uint8_t *)from)[i]);
}

#else

/*
 * glibc's memcpy has one instruction (rep movsb) for what is longer than 2 KiB, and AMD's Zen 3 and
 * 4 take up to 20 times as long for it if the destination is 1 to 31 bytes ahead of the source
 * modulo 4096 (glibc's bug 30994).  With a frame that is a multiple of a page that is each message,
 * or none.  So long copies are made of shorter ones; by memmove, because gcc makes the same
 * instruction of a memcpy whose length it knows.
 */
static inline void shared_copy_to(void *to, const void *from, size_t length)
{
	const size_t most = 1024;

	for (size_t at = 0; at < length; at += most)
		memmove((uint8_t *)to + at, (const uint8_t *)from + at,
			length - at < most ? length - at : most);
}

static inline void shared_copy_from(void *to, const void *from, size_t length)
{
	shared_copy_to(to, from, length);
}

#endif

/*
 * The full barriers.  Each stands between a store and a load, and pairs with one of the other side
 * that has the two words in the opposite order.  So at least one side sees what the other wrote.
 * tests/model leaves out each by its name.
 */
enum barrier {
	/* wrote prod; looks at data_event (RING_RX_SLEEP), then at the page's seq (PAGE_CHANGE) */
	RING_PUBLISH,
	RING_RX_SLEEP, /* wrote data_event; looks at prod (RING_PUBLISH) */
	RING_RELEASE,  /* wrote cons; looks at space_event (RING_TX_SLEEP) */
	RING_TX_SLEEP, /* wrote space_event; looks at cons (RING_RELEASE) */
	PAGE_CHANGE,   /* wrote an odd seq; looks at prod (RING_PUBLISH) */
};

static inline void shared_barrier(enum barrier name)
{
	(void)name;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Orders loads (a reader under seq).  Pairs with shared_write_barrier. */
static inline void shared_read_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
}

/* Orders stores (a writer under seq). */
static inline void shared_write_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

#endif
