/* SPDX-License-Identifier: MIT */
/*
 * fork.c: see fork.h.  Descriptors of the process, so this is state of the process: a bit for each
 * descriptor, in chunks that are never freed.  Threads may set bits at once, without a lock; the
 * child, in which there is one thread, reads them.
 */
#include "fork.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WORD_BITS  ((int)(8 * sizeof(unsigned long)))
#define CHUNK_BITS (64 * WORD_BITS)
#define CHUNKS     1024 /* of 4096 descriptors each: a process has fewer */

struct chunk {
	atomic_ulong words[CHUNK_BITS / WORD_BITS];
};

static _Atomic(struct chunk *) chunks[CHUNKS];
static pthread_mutex_t forking = PTHREAD_MUTEX_INITIALIZER;

static unsigned long bit_of(int fd)
{
	return 1ul << fd % WORD_BITS;
}

/* NULL: it has none, and if `make`, there is no memory for one. */
static atomic_ulong *word_of(int fd, bool make)
{
	_Atomic(struct chunk *) *place = &chunks[fd / CHUNK_BITS];
	struct chunk *chunk = atomic_load(place), *none = NULL;

	if (!chunk && make) {
		chunk = calloc(1, sizeof(*chunk));
		if (chunk && !atomic_compare_exchange_strong(place, &none, chunk)) {
			free(chunk); /* another thread was first: `none` is its chunk */
			chunk = none;
		}
	}
	return chunk ? &chunk->words[fd % CHUNK_BITS / WORD_BITS] : NULL;
}

/*
 * In the child.  The other file is an eventfd: it is no directory and no set, and nothing is ever
 * to be read there.  It keeps the number taken until the child closes it, as it would have closed
 * ours.
 */
static void replace(int fd, int *eventfd_made)
{
	if (*eventfd_made < 0) {
		close(fd); /* so that a number is free */
		*eventfd_made = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	if (*eventfd_made < 0)
		close(fd);
	else if (*eventfd_made != fd)
		dup3(*eventfd_made, fd, O_CLOEXEC);
}

static bool is_private(int fd)
{
	const atomic_ulong *word = word_of(fd, false);

	return word && *word & bit_of(fd);
}

static void replace_all(void)
{
	int made = -1;

	for (int chunk = 0; chunk < CHUNKS; chunk++)
		for (int i = 0; chunks[chunk] && i < CHUNK_BITS; i++)
			if (is_private(chunk * CHUNK_BITS + i))
				replace(chunk * CHUNK_BITS + i, &made);
	if (made >= 0 && !is_private(made))
		close(made);
}

static void in_child(void)
{
	int kept = errno;

	replace_all();
	pthread_mutex_unlock(&forking);
	errno = kept;
}

void fork_hold(void)
{
	pthread_mutex_lock(&forking);
}

void fork_release(void)
{
	pthread_mutex_unlock(&forking);
}

int fork_init(void)
{
	static bool installed; /* under the mutex */
	int r = 0;

	fork_hold();
	if (!installed)
		r = -pthread_atfork(fork_hold, fork_release, in_child);
	installed = r == 0;
	fork_release();
	return r;
}

int fork_add(int fd)
{
	atomic_ulong *word = fd < CHUNKS * CHUNK_BITS ? word_of(fd, true) : NULL;

	if (!word) {
		errno = ENOMEM;
		return -ENOMEM;
	}
	atomic_fetch_or(word, bit_of(fd));
	return 0;
}

void fork_remove(int fd)
{
	atomic_ulong *word = word_of(fd, false);

	if (word)
		atomic_fetch_and(word, ~bit_of(fd));
}

int fork_private(int fd)
{
	if (fd < 0 || fork_add(fd) == 0)
		return fd;
	close(fd); /* keeps errno: it is a descriptor */
	return -ENOMEM;
}

void fork_close(int fd)
{
	if (fd < 0)
		return;
	fork_remove(fd);
	close(fd);
}
