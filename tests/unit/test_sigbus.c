/* SPDX-License-Identifier: MIT */
/*
 * Memory goes, here, when the file behind it is made shorter.
 */
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

/* What a function of sigbus_add was given. */
static struct {
	int calls;
	void *memory, *data;
	bool was_there; /* when it was called, the file was still mapped */
} seen;

struct memory {
	int fd;
	volatile char *at;
};

static struct memory memory_new(void)
{
	struct memory m = {.fd = memfd_create("sigbus", MFD_CLOEXEC)};

	if (m.fd < 0 || ftruncate(m.fd, SIZE) < 0)
		exit(EXIT_FAILURE);
	m.at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, m.fd, 0);
	memset((void *)(uintptr_t)m.at, 'x', SIZE);
	return m;
}

static void memory_free(struct memory *m)
{
	munmap((void *)(uintptr_t)m->at, SIZE);
	close(m->fd);
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

static int add(const struct memory *m, sigbus_fn *gone, void *data)
{
	return sigbus_add((void *)(uintptr_t)m->at, SIZE, gone, data);
}

static bool removed(const struct memory *m)
{
	return sigbus_remove((void *)(uintptr_t)m->at);
}

static void test_pages(void)
{
	struct memory m = memory_new();

	is(add(&m, NULL, NULL), 0, "memory is guarded");
	shorten(&m, 2);
	is(m.at[2 * PAGE + 5], 0, "a page that is gone reads as zeros");
	is(m.at[PAGE], 'x', "a page that is there is as it was");
	m.at[3 * PAGE] = 'y';
	is(m.at[3 * PAGE], 'y', "a page that is gone can be written");
	ok(removed(&m), "who takes the guard away learns that something was gone");
	memory_free(&m);

	m = memory_new();
	add(&m, NULL, NULL);
	ok(!removed(&m), "and that nothing was");
	ok(!removed(&m), "what is not guarded was not gone");
	memory_free(&m);
}

static void test_whole(void)
{
	struct memory m = memory_new();
	int data;

	add(&m, on_gone, &data);
	ok(m.at[0] == 'x' && seen.calls == 0, "a function is not called before something is gone");
	shorten(&m, 2);
	is(m.at[3 * PAGE + 1], 0, "with a function, too, what is gone reads as zeros");
	ok(seen.calls == 1 && seen.memory == (const volatile void *)m.at && seen.data == &data,
		"the function was called, with the memory and its data");
	ok(seen.was_there, "before anything was put in the memory's place");
	is(m.at[0] + m.at[PAGE], 0, "then all of that memory is zeros");
	is(seen.calls, 1, "it is called once");
	ok(removed(&m), "who takes the guard away learns of it");
	memory_free(&m);
}

/* More mappings than a chunk of the registry has slots. */
static void test_many(void)
{
	enum { MANY = 600 };
	static struct memory many[MANY];
	int zeros = 0, gone = 0, others = 0;

	for (int i = 0; i < MANY; i++) {
		many[i] = memory_new();
		add(&many[i], NULL, NULL);
	}
	for (int i = 0; i < MANY; i += 2)
		shorten(&many[i], 0);
	for (int i = 0; i < MANY; i++) {
		zeros += many[i].at[PAGE] == 0;
		others += many[i].at[PAGE] == 'x';
	}
	for (int i = 0; i < MANY; i++) {
		gone += removed(&many[i]);
		memory_free(&many[i]);
	}
	ok(zeros == MANY / 2 && others == MANY / 2 && gone == MANY / 2,
		"of %d mappings, those that are gone read as zeros, and no other", MANY);
}

/* The signal that ends a process which does that. */
static int ends_by(void (*act)(const struct memory *m))
{
	struct memory m = memory_new();
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		act(&m);
		_exit(EXIT_SUCCESS);
	}
	waitpid(child, &status, 0);
	memory_free(&m);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void unguarded(const struct memory *m)
{
	shorten(m, 0);
	(void)m->at[0];
}

static void guarded_before(const struct memory *m)
{
	add(m, NULL, NULL);
	removed(m);
	unguarded(m);
}

static void beside(const struct memory *m)
{
	struct memory other = memory_new();

	add(&other, on_gone, NULL);
	unguarded(m);
}

static void sent(const struct memory *m)
{
	(void)m;
	raise(SIGBUS);
}

static void test_others(void)
{
	is(ends_by(unguarded), SIGBUS, "a fault in memory that is not guarded ends the process");
	is(ends_by(guarded_before), SIGBUS, "also in memory that was guarded before");
	is(ends_by(beside), SIGBUS, "also beside memory that is guarded");
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
		theirs = memory_new();
		signal(SIGBUS, their_handler);
		sigbus_install();
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
	if (!is(sigbus_install(), 0, "a handler of SIGBUS is installed"))
		return done_testing();
	test_pages();
	test_whole();
	test_many();
	test_others();
	return done_testing();
}
