/* SPDX-License-Identifier: MIT */
/*
 * shared_hook.h: stands in for src/core/shared.h (same helpers, same names), so that the real code
 * can be run with a memory of our making.  Included before everything else, by the compiler's
 * -include; the guard keeps the real one out.
 *
 * What a load returns, when a store is seen, and who runs in between, is for hook_*() to say.
 */
#ifndef SIVC_SHARED_H
#define SIVC_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t hook_load(const void *p, size_t size);
void hook_store(void *p, size_t size, uint64_t value);
void hook_copy(void *to, const void *from, size_t size); /* bytes of messages */
void hook_barrier(const char *name);

static inline uint32_t shared_load(const uint32_t *p)
{
	return (uint32_t)hook_load(p, sizeof(*p));
}

static inline uint64_t shared_load64(const uint64_t *p)
{
	return hook_load(p, sizeof(*p));
}

static inline uint8_t shared_load8(const uint8_t *p)
{
	return (uint8_t)hook_load(p, sizeof(*p));
}

static inline void shared_store(uint32_t *p, uint32_t value)
{
	hook_store(p, sizeof(*p), value);
}

static inline void shared_store64(uint64_t *p, uint64_t value)
{
	hook_store(p, sizeof(*p), value);
}

static inline void shared_store8(uint8_t *p, uint8_t value)
{
	hook_store(p, sizeof(*p), value);
}

static inline uint32_t shared_load_acquire(const uint32_t *p)
{
	return (uint32_t)hook_load(p, sizeof(*p));
}

static inline void shared_store_release(uint32_t *p, uint32_t value)
{
	hook_store(p, sizeof(*p), value);
}

static inline void shared_copy_from(void *to, const void *from, size_t length)
{
	hook_copy(to, from, length);
}

static inline void shared_copy_to(void *to, const void *from, size_t length)
{
	hook_copy(to, from, length);
}

#define shared_barrier(name) hook_barrier(#name)

/* Loads stay in order with loads, and stores with stores, in the memory that is made here. */
static inline void shared_read_barrier(void)
{
}

static inline void shared_write_barrier(void)
{
}

#endif
