/* SPDX-License-Identifier: MIT */
/*
 * Memory goes, here, when the file behind it is made shorter.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sigbus.h"
#include "tap.h"

#define PAGE  4096
#define PAGES 4
#define SIZE  (PAGES * PAGE)

/* What the function was given. */
static struct {
	int calls;
	void *memory, *data;
	bool was_there; /* when it was called, the file was still mapped */
} seen;

struct memory {
	int fd;
	volatile char *at;
};

static int file_new(void)
{
	int fd = memfd_create("sigbus", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, SIZE) < 0)
		exit(EXIT_FAILURE);
	return fd;
}

/* As anybody maps a file. */
static struct memory plain_new(void)
{
	struct memory m = {.fd = file_new()};

	m.at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, m.fd, 0);
	memset((void *)(uintptr_t)m.at, 'x', SIZE);
	return m;
}

static void plain_free(struct memory *m)
{
	munmap((void *)(uintptr_t)m->at, SIZE);
	close(m->fd);
}

static struct memory memory_new(sigbus_fn *gone, void *data)
{
	struct memory m = {.fd = file_new()};
	void *memory = NULL;

	if (sigbus_map(SIZE, PROT_READ | PROT_WRITE, m.fd, 0, gone, data, &memory) < 0)
		exit(EXIT_FAILURE);
	memset(memory, 'x', SIZE);
	m.at = memory;
	return m;
}

static bool removed(const struct memory *m)
{
	bool gone = sigbus_unmap((void *)(uintptr_t)m->at);

	close(m->fd);
	return gone;
}

static void shorten(const struct memory *m, off_t pages)
{
	if (ftruncate(m->fd, pages * PAGE) < 0)
		exit(EXIT_FAILURE);
}

static void on_gone(void *memory, void *data)
{
	/* Of a private mapping, which is what zeros are, mremap makes no second one. */
	void *second = mremap(memory, 0, PAGE, MREMAP_MAYMOVE);

	seen.calls++;
	seen.memory = memory;
	seen.data = data;
	seen.was_there = second != MAP_FAILED;
	munmap(second, PAGE);
}

static void test_pages(void)
{
	struct memory m = memory_new(NULL, NULL);

	ok(m.at[0] == 'x' && m.at[SIZE - 1] == 'x', "memory is mapped");
	shorten(&m, 2);
	is(m.at[2 * PAGE + 5], 0, "a page that is gone reads as zeros");
	is(m.at[PAGE], 'x', "a page that is there is as it was");
	m.at[3 * PAGE] = 'y';
	is(m.at[3 * PAGE], 'y', "a page that is gone can be written");
	ok(removed(&m), "who unmaps it learns that something was gone");

	m = memory_new(NULL, NULL);
	ok(!removed(&m), "and that nothing was");
	ok(!sigbus_unmap((void *)(uintptr_t)m.at), "what is not mapped was not gone");
}

/* A page table each, and nobody else's memory beside it. */
static void test_addresses(void)
{
	enum { TABLE = 2 << 20, LARGE = 5 << 20 };
	struct memory one = memory_new(NULL, NULL), two = memory_new(NULL, NULL);
	void *large = NULL, *none = &large;
	int fd = file_new();

	ok((uintptr_t)one.at / TABLE != (uintptr_t)two.at / TABLE,
		"no two mappings are in the same 2 MiB of addresses");
	ok(msync((void *)((uintptr_t)one.at + SIZE), PAGE, MS_ASYNC) == 0 &&
			mmap((void *)((uintptr_t)one.at + SIZE), PAGE, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
				0) == MAP_FAILED,
		"the rest of them is reserved");
	if (ftruncate(fd, LARGE) < 0)
		return;
	is(sigbus_map(LARGE, PROT_READ | PROT_WRITE, fd, 0, NULL, NULL, &large), 0,
		"a large file is mapped, too");
	memset(large, 'x', LARGE);
	shorten(&(struct memory){.fd = fd}, 0);
	is(((const volatile char *)large)[LARGE - 1], 0, "and reads as zeros at its end");
	is(sigbus_map(SIZE, PROT_READ, -1, 0, NULL, NULL, &none), -EBADF,
		"what cannot be mapped is an error");
	ok(none == &large, "which changes nothing");
	ok(sigbus_unmap(large), "the large one was gone");
	ok(!removed(&one) && !removed(&two), "and no other");
	close(fd);
}

static void test_whole(void)
{
	int data;
	struct memory m = memory_new(on_gone, &data);

	ok(m.at[0] == 'x' && seen.calls == 0, "a function is not called before something is gone");
	shorten(&m, 2);
	is(m.at[3 * PAGE + 1], 0, "with a function, too, what is gone reads as zeros");
	ok(seen.calls == 1 && seen.memory == (const volatile void *)m.at && seen.data == &data,
		"the function was called, with the memory and its data");
	ok(seen.was_there, "before anything was put in the memory's place");
	is(m.at[0] + m.at[PAGE], 0, "then all of that memory is zeros");
	is(seen.calls, 1, "it is called once");
	ok(removed(&m), "who unmaps it learns of it");
}

static void test_many(void)
{
	enum { MANY = 600 };
	static struct memory many[MANY];
	int zeros = 0, gone = 0, others = 0;

	for (int i = 0; i < MANY; i++)
		many[i] = memory_new(NULL, NULL);
	for (int i = 0; i < MANY; i += 2)
		shorten(&many[i], 0);
	for (int i = 0; i < MANY; i++) {
		zeros += many[i].at[PAGE] == 0;
		others += many[i].at[PAGE] == 'x';
	}
	for (int i = 0; i < MANY; i++)
		gone += removed(&many[i]);
	ok(zeros == MANY / 2 && others == MANY / 2 && gone == MANY / 2,
		"of %d mappings, those that are gone read as zeros, and no other", MANY);
}

/* What a child does to it, its parent does not see. */
static void test_child(void)
{
	struct memory m = memory_new(NULL, NULL);
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		bool zeros = m.at[0] == 0 && m.at[SIZE - 1] == 0;

		m.at[0] = 'y';
		_exit(zeros ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	waitpid(child, &status, 0);
	is(status, 0, "in a child there are zeros");
	is(m.at[0], 'x', "and what it writes there is its own");
	removed(&m);
}

/* The signal that ends a process which does that. */
static int ends_by(void (*act)(const struct memory *m))
{
	struct memory m = plain_new();
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		act(&m);
		_exit(EXIT_SUCCESS);
	}
	waitpid(child, &status, 0);
	plain_free(&m);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void unguarded(const struct memory *m)
{
	shorten(m, 0);
	(void)m->at[0];
}

/* Something else of the program's is where such memory was. */
static void mapped_before(const struct memory *m)
{
	struct memory other = memory_new(NULL, NULL);

	removed(&other);
	other.at = mmap(
		(void *)(uintptr_t)other.at, SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, m->fd, 0);
	other.fd = m->fd;
	unguarded(&other);
}

static void beside(const struct memory *m)
{
	memory_new(on_gone, NULL);
	unguarded(m);
}

/* In the same 2 MiB. */
static void behind(const struct memory *m)
{
	struct memory other = memory_new(on_gone, NULL);

	other.at = mmap((void *)((uintptr_t)other.at + SIZE), SIZE, PROT_READ,
		MAP_SHARED | MAP_FIXED, m->fd, 0);
	other.fd = m->fd;
	unguarded(&other);
}

static void sent(const struct memory *m)
{
	(void)m;
	raise(SIGBUS);
}

static void test_others(void)
{
	is(ends_by(unguarded), SIGBUS, "a fault in memory that is not guarded ends the process");
	is(ends_by(mapped_before), SIGBUS, "also where such memory was mapped before");
	is(ends_by(beside), SIGBUS, "also beside memory that is guarded");
	is(ends_by(behind), SIGBUS, "also behind its end");
	is(ends_by(sent), SIGBUS, "so does a SIGBUS that somebody sends");
}

/* Of a process that had a handler before, which mends a fault of its own. */
static struct memory theirs;

static void their_handler(int number)
{
	(void)number;
	if (ftruncate(theirs.fd, SIZE) < 0)
		_exit(EXIT_FAILURE);
}

static void test_before(void)
{
	int status = 0;
	pid_t child = fork(); /* a process has one handler, and installs it once */

	if (child == 0) {
		theirs = plain_new();
		signal(SIGBUS, their_handler);
		sigbus_init();
		shorten(&theirs, 0);
		_exit(theirs.at[0] == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	waitpid(child, &status, 0);
	is(status, 0, "a fault that is not ours goes to the handler that was there before");
}

int main(void)
{
	signal(SIGBUS, SIG_DFL);
	test_before();
	if (!is(sigbus_init(), 0, "a handler of SIGBUS is installed"))
		return done_testing();
	test_pages();
	test_addresses();
	test_child();
	test_whole();
	test_many();
	test_others();
	return done_testing();
}
