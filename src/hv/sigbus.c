/* SPDX-License-Identifier: MIT */
/*
 * sigbus.c: memory of others that stays readable although it goes.
 *
 * In the local backend the owner of a mapped file can make it shorter at any time, and so can
 * whoever has it for writing.  On Xen a page that is mapped stays, unless this domain is saved and
 * restored: then the pages of other domains are gone.  The next access of ours is a SIGBUS in
 * either case.  A handler of SIGBUS puts zeros where the fault was.  Zeros are no valid page and no
 * valid frame: what the code above the seam makes of them is that the peer has broken the protocol,
 * if hv_lost() does not say that it was no peer's doing.
 *
 * All of this memory is in one arena of addresses, which is cut into slots of 2 MiB, what one page
 * table maps.  The number of its slot tells the handler what an address is.  A mapping has as many
 * slots as it needs, so it shares no page table with others; xen/pages.c says why that matters.
 * What is not mapped is reserved: nobody else's memory is there.
 *
 * The arena is state of the process, not of a struct hv: there is one signal handler a process.  It
 * is installed once and stays.  Faults elsewhere go to whoever had the signal before, or end the
 * process as they would have.
 *
 * Several threads, each with its own struct hv, may map and unmap at once: slots are given out
 * under fork_hold().  The handler takes no lock.  The mapping that faulted is in nobody's hands but
 * the thread's that faulted, so its slots do not change meanwhile; they are atomics because
 * another thread may change a slot at which the handler looks in vain.
 *
 * The child of a fork has zeros in the place of all mappings, so that it changes nothing in them.
 *
 * The kernel does not raise SIGBUS for its own accesses: a system call that is handed memory that
 * is gone fails with EFAULT.
 */
#include "sigbus.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fork.h"

#define SLOT      ((size_t)2 << 20)
#define SLOTS_MAX 32768 /* 64 GiB of addresses; fewer where there are not so many */
#define SLOTS_MIN 64

struct slot {
	/* Of the first slot of a mapping. */
	atomic_size_t length;      /* bytes */
	_Atomic(sigbus_fn *) gone; /* or NULL */
	_Atomic(void *) data;

	/* Of each: the number of the mapping's first slot, and 1; 0: free.  Written last. */
	atomic_uint first;
	atomic_bool replaced; /* of the first slot; set by the handler */
};

static struct {
	char *arena;
	size_t count;            /* of slots */
	size_t end;              /* no slot was ever used from here on */
	struct sigaction before; /* who had the signal */
	size_t page;
	int error;
	pthread_once_t once;
} state = {.once = PTHREAD_ONCE_INIT};

static struct slot slots[SLOTS_MAX];

static void *start_of(const struct slot *slot)
{
	return state.arena + (size_t)(slot - slots) * SLOT;
}

/* The first slot of the mapping that has the address; NULL: it is not ours. */
static struct slot *find(const void *address)
{
	size_t offset = (uintptr_t)address - (uintptr_t)state.arena;
	struct slot *slot;
	unsigned int first;

	if (offset / SLOT >= state.count)
		return NULL;
	first = atomic_load(&slots[offset / SLOT].first);
	if (first == 0)
		return NULL;
	slot = &slots[first - 1];
	return offset - (size_t)(first - 1) * SLOT < atomic_load(&slot->length) ? slot : NULL;
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

static bool replace(struct slot *slot, const void *address)
{
	char *start = (char *)((uintptr_t)address & ~((uintptr_t)state.page - 1));
	sigbus_fn *gone = atomic_load(&slot->gone);
	size_t length = state.page;

	if (gone) {
		start = start_of(slot);
		length = atomic_load(&slot->length);
		gone(start, atomic_load(&slot->data));
	}
	/* mmap is a plain system call here, and as safe in a handler as any. */
	if (mmap(start, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		    0) == MAP_FAILED)
		return false;
	atomic_store(&slot->replaced, true);
	return true;
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	struct slot *slot = info->si_code <= 0 ? NULL : find(info->si_addr);
	int kept = errno;

	if (!slot || !replace(slot, info->si_addr))
		pass_on(number, info, context);
	errno = kept;
}

/* What is there now is unmapped. */
static bool reserve(void *start, size_t length, int how)
{
	return mmap(start, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | how, -1,
		       0) == start;
}

/* In the child of a fork. */
static void forget_memory(void)
{
	size_t length = state.end * SLOT;

	if (length && mmap(state.arena, length, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
			      0) == MAP_FAILED)
		reserve(state.arena, length, MAP_FIXED);
}

static int make_arena(void)
{
	char *area = MAP_FAILED;

	/* A slot more, to begin where a page table does. */
	for (state.count = SLOTS_MAX; state.count >= SLOTS_MIN; state.count /= 2) {
		area = mmap(NULL, (state.count + 1) * SLOT, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (area != MAP_FAILED)
			break;
	}
	if (area == MAP_FAILED)
		return -ENOMEM;
	state.arena = (char *)(((uintptr_t)area + SLOT - 1) / SLOT * SLOT);
	return 0;
}

static void install(void)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	state.page = (size_t)sysconf(_SC_PAGESIZE);
	sigemptyset(&action.sa_mask);
	state.error = make_arena();
	if (state.error == 0)
		state.error = -pthread_atfork(NULL, NULL, forget_memory);
	if (state.error == 0 && sigaction(SIGBUS, &action, &state.before))
		state.error = -errno;
}

int sigbus_init(void)
{
	pthread_once(&state.once, install);
	return state.error;
}

static size_t slots_for(size_t length)
{
	return (length + SLOT - 1) / SLOT;
}

/* Slots in a row that are free, taken under the lock; NULL: there are none. */
static struct slot *take_slots(size_t count)
{
	struct slot *taken = NULL;
	size_t free = 0;

	fork_hold();
	for (size_t i = 0; i < state.count && free < count; i++) {
		free = atomic_load(&slots[i].first) ? 0 : free + 1;
		taken = &slots[i + 1 - free];
	}
	if (free < count)
		taken = NULL;
	for (size_t i = 0; taken && i < count; i++)
		atomic_store(&taken[i].first, (unsigned int)(taken - slots) + 1);
	if (taken && state.end < (size_t)(taken - slots) + count)
		state.end = (size_t)(taken - slots) + count;
	fork_release();
	return taken;
}

static void give_slots_back(struct slot *slot, size_t count)
{
	atomic_store(&slot->length, 0);
	while (count > 0)
		atomic_store(&slot[--count].first, 0);
}

int sigbus_map(
	size_t length, int prot, int fd, off_t offset, sigbus_fn *gone, void *data, void **memory)
{
	struct slot *slot = take_slots(slots_for(length));
	int r;

	if (!slot)
		return -ENOMEM;
	atomic_store(&slot->gone, gone);
	atomic_store(&slot->data, data);
	atomic_store(&slot->replaced, false);
	atomic_store(&slot->length, length);
	if (mmap(start_of(slot), length, prot, MAP_SHARED | MAP_FIXED, fd, offset) != MAP_FAILED) {
		*memory = start_of(slot);
		return 0;
	}
	r = -errno;
	/* The reservation may be gone.  If another thread was faster to map something there, these
	 * slots are lost. */
	if (reserve(start_of(slot), length, MAP_FIXED_NOREPLACE) || errno != EEXIST)
		give_slots_back(slot, slots_for(length));
	return r;
}

bool sigbus_unmap(void *memory)
{
	struct slot *slot = find(memory);
	size_t length;
	bool replaced;

	if (!slot)
		return false;
	length = atomic_load(&slot->length);
	replaced = atomic_load(&slot->replaced);
	if (reserve(memory, length, MAP_FIXED))
		give_slots_back(slot, slots_for(length));
	return replaced;
}
