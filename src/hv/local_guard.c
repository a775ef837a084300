/* SPDX-License-Identifier: MIT */
/*
 * local_guard.c: memory that stays readable although somebody truncates the file behind it.
 *
 * The owner of a mapped file can make it shorter at any time, and so can whoever has it for
 * writing; the next access of ours is then a SIGBUS.  On Xen a page that is mapped stays.  To have
 * the same here, all mappings are registered, and a handler of SIGBUS puts a page of zeros where
 * the fault was.  Zeros are no valid page and no valid frame: what the code above the seam makes
 * of them is that the peer has broken the protocol.
 *
 * This is the one piece of state of the process, not of a struct hv: there is one signal handler
 * a process.  It is installed once and stays.  Faults elsewhere go to whoever had the signal
 * before, or end the process as they would have.
 *
 * The registry is read by the handler, so it is made of atomics, has no lock, and its chunks are
 * never freed (they hold as many mappings as there ever were at once).  Several threads, each with
 * its own struct hv, may change it at once.  The handler only ever replaces the one page that
 * faulted; so if it reads a slot that another thread is changing, no page can be hit but one that
 * could not have been accessed anyway.
 *
 * The kernel does not raise SIGBUS for its own accesses: a system call that is handed truncated
 * memory fails with EFAULT.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "local.h"

#define CHUNK_SLOTS 256

#define SLOT_FREE  ((uintptr_t)0)
#define SLOT_TAKEN ((uintptr_t)1) /* being filled in; no mapping begins at this address */

struct slot {
	_Atomic(uintptr_t) start; /* released after the rest was written */
	atomic_size_t length;     /* bytes */
	atomic_bool truncated;    /* set by the handler */
};

struct chunk {
	struct slot slots[CHUNK_SLOTS];
	_Atomic(struct chunk *) next;
};

static struct {
	struct chunk first;
	struct sigaction before; /* who had the signal */
	size_t page;             /* bytes */
	int error;               /* of the installation */
	pthread_once_t once;
} guard = {.once = PTHREAD_ONCE_INIT};

static struct slot *slot_of(uintptr_t address)
{
	for (struct chunk *c = &guard.first; c; c = atomic_load(&c->next))
		for (size_t i = 0; i < CHUNK_SLOTS; i++) {
			uintptr_t start = atomic_load(&c->slots[i].start);

			if (start > SLOT_TAKEN && address >= start &&
				address - start < atomic_load(&c->slots[i].length))
				return &c->slots[i];
		}
	return NULL;
}

/* Not ours: as if we were not here. */
static void pass_on(int number, siginfo_t *info, void *context)
{
	bool sent = info->si_code <= 0; /* by kill(2): there is no fault that could come again */

	if (guard.before.sa_flags & SA_SIGINFO) {
		guard.before.sa_sigaction(number, info, context);
	} else if (guard.before.sa_handler == SIG_IGN && sent) {
		return;
	} else if (guard.before.sa_handler == SIG_DFL || guard.before.sa_handler == SIG_IGN) {
		signal(number, SIG_DFL);
		if (sent)
			raise(number);
	} else {
		guard.before.sa_handler(number);
	}
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	int kept = errno;
	uintptr_t address = (uintptr_t)info->si_addr;
	uintptr_t page = address & ~((uintptr_t)guard.page - 1);
	struct slot *slot = info->si_code > 0 ? slot_of(address) : NULL;

	/* mmap is a plain system call here, and as safe in a handler as any. */
	if (slot && mmap((void *)page, guard.page, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED)
		atomic_store(&slot->truncated, true);
	else
		pass_on(number, info, context);
	errno = kept;
}

static void install(void)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	guard.page = (size_t)sysconf(_SC_PAGESIZE);
	sigemptyset(&action.sa_mask);
	if (sigaction(SIGBUS, &action, &guard.before))
		guard.error = -errno;
}

int local_guard_install(void)
{
	pthread_once(&guard.once, install);
	return guard.error;
}

static bool take_slot(struct chunk *chunk, uintptr_t start, size_t length)
{
	for (size_t i = 0; i < CHUNK_SLOTS; i++) {
		struct slot *slot = &chunk->slots[i];
		uintptr_t expected = SLOT_FREE;

		if (!atomic_compare_exchange_strong(&slot->start, &expected, SLOT_TAKEN))
			continue;
		atomic_store(&slot->length, length);
		atomic_store(&slot->truncated, false);
		atomic_store(&slot->start, start);
		return true;
	}
	return false;
}

/* The chunk after this one, which is made if there is none. */
static struct chunk *next_chunk(struct chunk *chunk)
{
	struct chunk *next = atomic_load(&chunk->next);
	struct chunk *fresh;

	if (next)
		return next;
	fresh = calloc(1, sizeof *fresh);
	if (!fresh)
		return NULL;
	if (atomic_compare_exchange_strong(&chunk->next, &next, fresh))
		return fresh;
	free(fresh); /* another thread was first: `next` is its chunk */
	return next;
}

int local_guard(void *memory, size_t length)
{
	for (struct chunk *c = &guard.first; c; c = next_chunk(c))
		if (take_slot(c, (uintptr_t)memory, length))
			return 0;
	return -ENOMEM;
}

bool local_unguard(void *memory)
{
	struct slot *slot = slot_of((uintptr_t)memory);
	bool truncated;

	if (!slot)
		return false;
	truncated = atomic_load(&slot->truncated);
	atomic_store(&slot->start, SLOT_FREE);
	return truncated;
}
