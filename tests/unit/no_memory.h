/* SPDX-License-Identifier: MIT */
/*
 * no_memory.h: allocations that fail.  A sanitizer has an allocator of its own, which does not
 * (OWN_ALLOCATOR is 0 then).
 */
#ifndef SIVC_TEST_NO_MEMORY_H
#define SIVC_TEST_NO_MEMORY_H

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_ALLOCATOR 0
#else
#define OWN_ALLOCATOR 1
void *__libc_calloc(size_t count, size_t size);
void *__libc_malloc(size_t size);
void *__libc_realloc(void *old, size_t size);
#endif

/* The `memory_fails`-th allocation from now fails; 0: none. */
static unsigned long memory_fails;
static bool memory_failed;

#if OWN_ALLOCATOR

static bool out_of_memory(void)
{
	if (memory_fails == 0 || --memory_fails > 0)
		return false;
	memory_failed = true;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return out_of_memory() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return out_of_memory() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	return out_of_memory() ? NULL : __libc_realloc(old, size);
}

void *reallocarray(void *old, size_t count, size_t size)
{
	return out_of_memory() ? NULL : __libc_realloc(old, count * size);
}
#endif

#endif
