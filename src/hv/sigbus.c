/* SPDX-License-Identifier: MIT */
/*
 * sigbus.c: memory of others that stays readable although it goes.
 *
 * In the local backend the owner of a mapped file can make it shorter at any time, and so can
 * whoever has it for writing.  On Xen a page that is mapped stays, unless this domain is saved and
 * restored: then the pages of other domains are gone.  The next access of ours is a SIGBUS in
 * either case.  So all mappings are registered, and a handler of SIGBUS puts zeros where the fault
 * was.  Zeros are no valid page and no valid frame: what the code above the seam makes of them is
 * that the peer has broken the protocol, if hv_lost() does not say that it was no peer's doing.
 *
 * This is state of the process, not of a struct hv: there is one signal handler a process.  It is
 * installed once and stays.  Faults elsewhere go to whoever had the signal before, or end the
 * process as they would have.
 *
 * The registry is read by the handler, so it is made of atomics, has no lock, and its chunks are
 * never freed (they hold as many mappings as there ever were at once).  Several threads, each with
 * its own struct hv, may change it at once.  The mapping that faulted is in nobody's hands but the
 * thread's that faulted; what the handler reads of a slot that another thread is changing it does
 * not use, because the slot's start is not the same afterwards.
 *
 * The kernel does not raise SIGBUS for its own accesses: a system call that is handed memory that
 * is gone fails with EFAULT.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sigbus.h"

#define CHUNK_SLOTS 256

#define SLOT_FREE  ((uintptr_t)0)
#define SLOT_TAKEN ((uintptr_t)1) /* being filled in; no mapping begins at this address */

struct slot {
	_Atomic(uintptr_t) start;  /* written after the rest */
	atomic_size_t length;      /* bytes */
	_Atomic(sigbus_fn *) gone; /* or NULL */
	_Atomic(void *) data;
	atomic_bool replaced; /* set by the handler */
};

/* What a slot says, and said until it was read to its end. */
struct guarded {
	struct slot *slot;
	uintptr_t start;
	size_t length;
	sigbus_fn *gone;
	void *data;
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
} state = {.once = PTHREAD_ONCE_INIT};

static bool slot_read(struct slot *slot, struct guarded *guarded)
{
	*guarded = (struct guarded){.slot = slot, .start = atomic_load(&slot->start)};
	guarded->length = atomic_load(&slot->length);
	guarded->gone = atomic_load(&slot->gone);
	guarded->data = atomic_load(&slot->data);
	return guarded->start > SLOT_TAKEN && atomic_load(&slot->start) == guarded->start;
}

static bool find(uintptr_t address, struct guarded *guarded)
{
	for (struct chunk *c = &state.first; c; c = atomic_load(&c->next))
		for (size_t i = 0; i < CHUNK_SLOTS; i++)
			if (slot_read(&c->slots[i], guarded) && address >= guarded->start &&
				address - guarded->start < guarded->length)
				return true;
	return false;
}

/* Not ours: as if we were not here. */
static void pass_on(int number, siginfo_t *info, void *context)
{
	bool sent = info->si_code <= 0; /* by kill(2): there is no fault that could come again */

	if (state.before.sa_flags & SA_SIGINFO) {
		state.before.sa_sigaction(number, info, context);
	} else if (state.before.sa_handler == SIG_IGN && sent) {
		return;
	} else if (state.before.sa_handler == SIG_DFL || state.before.sa_handler == SIG_IGN) {
		signal(number, SIG_DFL);
		if (sent)
			raise(number);
	} else {
		state.before.sa_handler(number);
	}
}

static bool replace(const struct guarded *guarded, uintptr_t address)
{
	uintptr_t start = address & ~((uintptr_t)state.page - 1);
	size_t length = state.page;

	if (guarded->gone) {
		start = guarded->start;
		length = guarded->length;
		guarded->gone((void *)start, guarded->data);
	}
	/* mmap is a plain system call here, and as safe in a handler as any. */
	if (mmap((void *)start, length, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return false;
	atomic_store(&guarded->slot->replaced, true);
	return true;
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	int kept = errno;
	uintptr_t address = (uintptr_t)info->si_addr;
	struct guarded guarded;

	if (info->si_code <= 0 || !find(address, &guarded) || !replace(&guarded, address))
		pass_on(number, info, context);
	errno = kept;
}

static void install(void)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	state.page = (size_t)sysconf(_SC_PAGESIZE);
	sigemptyset(&action.sa_mask);
	if (sigaction(SIGBUS, &action, &state.before))
		state.error = -errno;
}

int sigbus_install(void)
{
	pthread_once(&state.once, install);
	return state.error;
}

static bool take_slot(struct chunk *chunk, const struct guarded *guarded)
{
	for (size_t i = 0; i < CHUNK_SLOTS; i++) {
		struct slot *slot = &chunk->slots[i];
		uintptr_t expected = SLOT_FREE;

		if (!atomic_compare_exchange_strong(&slot->start, &expected, SLOT_TAKEN))
			continue;
		atomic_store(&slot->length, guarded->length);
		atomic_store(&slot->gone, guarded->gone);
		atomic_store(&slot->data, guarded->data);
		atomic_store(&slot->replaced, false);
		atomic_store(&slot->start, guarded->start);
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

int sigbus_add(void *memory, size_t length, sigbus_fn *gone, void *data)
{
	const struct guarded guarded = {
		.start = (uintptr_t)memory, .length = length, .gone = gone, .data = data};

	for (struct chunk *c = &state.first; c; c = next_chunk(c))
		if (take_slot(c, &guarded))
			return 0;
	return -ENOMEM;
}

bool sigbus_remove(void *memory)
{
	struct guarded guarded;
	bool replaced;

	if (!find((uintptr_t)memory, &guarded))
		return false;
	replaced = atomic_load(&guarded.slot->replaced);
	atomic_store(&guarded.slot->start, SLOT_FREE);
	return replaced;
}
