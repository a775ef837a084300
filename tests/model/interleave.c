/* SPDX-License-Identifier: MIT */
/*
 * interleave.c: a sender and a receiver, each the real libsivc, in every order of their steps.
 *
 * All of src/core is linked with shared_hook.h in the place of shared.h, and with the hypervisor in
 * memory (tests/lib/fake_hv.h).  The two domains are coroutines.  At each access to shared memory
 * and before each call of the hypervisor, the other may go on instead: a run is given by the steps
 * at which that happens, and all runs with at most so many such steps are tried (two, by default;
 * experience with this method is that nearly all races need no more).
 *
 * Memory is that of a processor that keeps stores for itself for a while (total store order, as on
 * x86, with stores that wait as long as they can): a store is seen by the other side at the next
 * barrier, call of the hypervisor, or sleep.  So a barrier that is missing is found.  All runs are
 * also tried with stores that are seen at once.
 *
 * What must hold in every run:
 *	- nobody sleeps for ever while there is something to do for him;
 *	- neither says that the other broke the protocol;
 *	- and what interleave_messages.c and interleave_streams.c say, which have the scenarios.
 *
 * A scenario may also kill a process between any two steps (kill -9); then it is started again.
 *
 *	interleave [-b SWITCHES] [-s SCENARIO] [-w BARRIER] [-l] [-k N] [STEP...]
 *	interleave -n
 *
 * With STEPs, one run, told step by step: the side that runs loses the processor at these; with -k
 * the Nth of them is a kill; with -l stores wait.  -n names the scenarios.  A SCENARIO is a number
 * or a name.  With -w that barrier of src/core/shared.h is left out.
 *
 * Exit status: 0 all is well, 1 something is wrong with a run, 2 wrong usage.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "fake_hv.h"
#include "interleave.h"
#include "page.h"

#define STACK        (256 * 1024)
#define STEPS_MAX    100000
#define SWITCHES_MAX 4
#define SPINS_MAX    4
#define TIMERS_MS    200 /* longer than any timer of libsivc */
#define ARENA        (8 * 1024 * 1024)

#define USAGE 2 /* exit status */

static struct {
	const struct subject *subject;
	const struct scenario *scenario;
	int number; /* of that */
	struct side sides[SIDES];
	int current;
	ucontext_t main;

	/* The run. */
	bool lazy; /* stores wait */
	unsigned int switches[SWITCHES_MAX];
	unsigned int switch_count;
	unsigned int kill; /* this one of the switches is a kill; or SWITCHES_MAX */
	unsigned int step;
	bool running; /* accesses are steps */
	bool verbose;

	char failure[256];
} run;

static unsigned long runs;

/* The barrier that is left out.  NULL: none. */
static struct {
	const char *barrier;
	bool met;
} without;

static struct side *current(void)
{
	return &run.sides[run.current];
}

bool failed(void)
{
	return run.failure[0] != '\0';
}

void fail(const char *format, ...)
{
	va_list args;

	if (failed())
		return;
	va_start(args, format);
	vsnprintf(run.failure, sizeof(run.failure), format, args);
	va_end(args);
}

void tell(const char *format, ...)
{
	va_list args;

	if (!run.verbose)
		return;
	printf("# %4u %s ", run.step, run.current == SENDER ? "\t\t\tsender" : "receiver");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

/* Memory of the domains comes from here: a process that is killed frees nothing. */

static char arena[ARENA] __attribute__((aligned(16)));
static size_t arena_used;

void *arena_malloc(size_t size);
void *arena_calloc(size_t count, size_t size);
void *arena_realloc(void *old, size_t size);
void *arena_reallocarray(void *old, size_t count, size_t size);
void arena_free(void *p);
void *arena_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset);
int arena_munmap(void *p, size_t length);

void *arena_malloc(size_t size)
{
	size_t *header = (size_t *)(void *)(arena + arena_used);

	arena_used += (size + 2 * sizeof(size_t) + 15) & ~(size_t)15;
	if (arena_used > ARENA)
		abort();
	header[0] = size;
	return header + 2;
}

void *arena_calloc(size_t count, size_t size)
{
	return memset(arena_malloc(count * size), 0, count * size);
}

void *arena_realloc(void *old, size_t size)
{
	void *p = arena_malloc(size);
	size_t had = old ? ((size_t *)old)[-2] : 0;

	return memcpy(p, old ? old : p, had < size ? had : size);
}

void *arena_reallocarray(void *old, size_t count, size_t size)
{
	return arena_realloc(old, count * size);
}

void arena_free(void *p)
{
	if ((char *)p < arena || (char *)p >= arena + ARENA)
		free(p); /* the hypervisor's or the C library's */
}

void *arena_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
	(void)at, (void)protection, (void)flags, (void)fd, (void)offset;
	return arena_calloc(1, length);
}

int arena_munmap(void *p, size_t length)
{
	(void)p, (void)length;
	return 0;
}

/* Stores that wait. */

static void store_now(void *p, size_t size, uint64_t value)
{
	memcpy(p, &value, size);
}

static void drain(struct side *side)
{
	for (unsigned int i = 0; i < side->store_count; i++)
		store_now(side->stores[i].p, side->stores[i].size, side->stores[i].value);
	side->store_count = 0;
}

/* Steps. */

static bool can_go(const struct side *side)
{
	struct pollfd fd = {side->fd, POLLIN, 0};

	return !side->done && (!side->asleep || poll(&fd, 1, 0) == 1);
}

static void other_side(void)
{
	struct side *from = current();

	run.current = !run.current;
	current()->asleep = false; /* it looks itself, and sleeps on */
	swapcontext(&from->context, &current()->context);
}

static void kill_current(void)
{
	struct side *side = current();

	tell("is killed");
	drain(side); /* they are on their way already */
	fake_kill(side->sivc->hv);
	side->kills++;
	/* It starts again when the other side has nothing to do. */
	setcontext(&run.main);
}

/* Returns the place of this step among the switches, or SWITCHES_MAX. */
static unsigned int switch_at(unsigned int at)
{
	for (unsigned int i = 0; i < run.switch_count; i++)
		if (run.switches[i] == at)
			return i;
	return SWITCHES_MAX;
}

void step(void)
{
	unsigned int i;

	if (!run.running)
		return;
	if (run.step >= STEPS_MAX) {
		fail("it does not end");
		setcontext(&run.main);
	}
	i = switch_at(run.step++);
	if (i == SWITCHES_MAX)
		return;
	if (i == run.kill && current()->restarted && current()->kills == 0)
		kill_current();
	if (run.sides[!run.current].done)
		return;
	tell("loses the processor");
	other_side();
}

/* Offsets within a page: the many references are one step, as they are read and written as one. */
static bool is_step(const void *p)
{
	size_t offset = (uintptr_t)p % SIVC_PAGE_SIZE;

	return offset <= offsetof(struct sivc_page, refs);
}

/* What was kept of a ring is the receiver's own memory. */
static bool is_private(const void *p)
{
	return (const char *)p >= arena && (const char *)p < arena + ARENA;
}

static void *physical(const void *p)
{
	void *memory = fake_physical(p);

	if (!memory) {
		fail("an access to memory that is not mapped");
		setcontext(&run.main);
	}
	return memory;
}

/* One load again and again is waiting for the other, who goes on then. */
static bool spins(struct side *side, const void *p)
{
	side->spins = side->spins_at == p ? side->spins + 1 : 0;
	side->spins_at = p;
	if (!run.running || side->spins < SPINS_MAX)
		return false;
	side->spins = 0;
	if (can_go(&run.sides[!run.current]))
		other_side();
	return true;
}

static const char *name_of(const void *p)
{
	static const char *const page[] = {[0] = "magic|prod",
		[1] = "version",
		[2] = "page_nonce",
		[4] = "seq",
		[5] = "verdict",
		[6] = "ring_nonce",
		[8] = "port",
		[9] = "ring_pages",
		[10] = "ctl_ref",
		[11] = "max_msg",
		[12] = "final",
		[13] = "data_event",
		[14] = "final_nonce",
		[16] = "cons|space_event",
		[17] = "alive"};
	size_t word = (uintptr_t)p % SIVC_PAGE_SIZE / sizeof(uint32_t);

	return word < sizeof(page) / sizeof(page[0]) && page[word] ? page[word] : "other";
}

uint64_t hook_load(const void *p, size_t size)
{
	struct side *side = current();
	uint64_t value = 0;
	void *at;

	if (is_private(p)) {
		memcpy(&value, p, size);
		return value;
	}
	if (!spins(side, p) && is_step(p))
		step();
	at = physical(p);
	memcpy(&value, at, size);
	for (unsigned int i = 0; i < side->store_count; i++)
		if (side->stores[i].p == at)
			value = side->stores[i].value;
	if (is_step(p))
		tell("loads %s: %llu", name_of(p), (unsigned long long)value);
	return value;
}

void hook_store(void *p, size_t size, uint64_t value)
{
	struct side *side = current();

	if (is_step(p)) {
		step();
		tell("stores %s: %llu", name_of(p), (unsigned long long)value);
	}
	if (!run.lazy || side->store_count == STORES_MAX)
		drain(side);
	if (!run.lazy) {
		store_now(physical(p), size, value);
		return;
	}
	side->stores[side->store_count].p = physical(p);
	side->stores[side->store_count].size = size;
	side->stores[side->store_count++].value = value;
}

void hook_copy(void *to, const void *from, size_t size)
{
	memcpy(to, from, size);
}

void hook_barrier(const char *name)
{
	if (without.barrier && strcmp(name, without.barrier) == 0)
		without.met = true;
	else
		drain(current());
}

static void before_call(void *data, enum fake_call call, uint16_t domid)
{
	(void)data;
	(void)domid;
	if (!run.running || call == FAKE_EVENTS_DISPATCH || call == FAKE_STORE_DISPATCH)
		return;
	step();
	tell("calls the hypervisor (%d)", (int)call);
	drain(current());
}

/* In the place of epoll_wait: who would sleep lets the other go on. */
int hook_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout);

int hook_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout)
{
	struct side *side = current();
	int n;

	for (;;) {
		drain(side);
		n = epoll_wait(epoll, events, max, 0);
		if (n != 0 || timeout == 0)
			return n;
		tell("sleeps");
		side->asleep = true;
		side->fd = epoll;
		swapcontext(&side->context, &run.main);
	}
}

/* What scripts of both subjects have. */

void refuse(struct side *side)
{
	int r = sivc_refuse(side->ep, SENDER);

	if (r < 0)
		fail("refusing failed: %s", strerror(-r));
	tell("has refused");
}

void permit(struct side *side)
{
	int r = sivc_permit(side->ep, SENDER);

	if (r < 0)
		fail("permitting failed: %s", strerror(-r));
	tell("has permitted");
}

void close_endpoint(struct side *side)
{
	sivc_endpoint_close(side->ep);
	side->ep = NULL;
	tell("has closed");
}

void open_side(struct side *side)
{
	struct sivc_config config = {
		.backend = "local", .domid = (int)(side - run.sides), .ring = RING};

	if (sivc_open(&config, &side->sivc) < 0 || run.subject->open(side->sivc, &side->ep) < 0)
		fail("it does not open");
}

/* Running. */

static void script_start(void)
{
	struct side *side = current();

	(side->kills > 0 ? side->restarted : side->script)(side);
	drain(side);
	side->done = true;
	tell("is done");
	setcontext(&run.main);
}

static void side_start(struct side *side)
{
	getcontext(&side->context);
	side->context.uc_stack.ss_sp = side->stack;
	side->context.uc_stack.ss_size = STACK;
	side->context.uc_link = NULL;
	side->asleep = side->done = false;
	makecontext(&side->context, script_start, 0);
}

static bool has_timer(const struct side *side)
{
	return !side->done && side->sivc && !TAILQ_EMPTY(&side->sivc->loop.timers);
}

/* The one who had it goes on; else the other one. */
static bool choose_side(void)
{
	/* Until a timer that is due soon has run. */
	for (int waited = 0; waited < TIMERS_MS; waited++) {
		for (int i = 0; i < SIDES; i++) {
			int side = i == 0 ? run.current : !run.current;

			if (can_go(&run.sides[side])) {
				run.current = side;
				run.sides[side].asleep = false;
				return true;
			}
		}
		if (!has_timer(&run.sides[RECEIVER]) && !has_timer(&run.sides[SENDER]))
			return false;
		poll(NULL, 0, 1);
	}
	return false;
}

/* The side that was killed starts again, as a new process. */
static void start_again(struct side *side)
{
	side->store_count = 0;
	side->sivc = NULL;
	side->ep = NULL;
	side_start(side);
}

static void schedule(void)
{
	static volatile int kills[SIDES];

	kills[0] = kills[1] = 0;
	getcontext(&run.main);
	for (int i = 0; i < SIDES; i++)
		if (run.sides[i].kills > kills[i]) {
			kills[i] = run.sides[i].kills;
			start_again(&run.sides[i]);
			run.current = !i;
		}
	if (failed() || !choose_side())
		return;
	setcontext(&current()->context);
}

static void judge(void)
{
	const struct scenario *scenario = run.scenario;
	bool killed = run.sides[SENDER].kills > 0;

	for (int i = 0; i < SIDES; i++) {
		/* Nobody reads any more what a new process sends after all that was awaited. */
		if (i == SENDER && killed && run.sides[RECEIVER].done)
			continue;
		if (!run.sides[i].done && !(i == RECEIVER && scenario->waits))
			fail("the %s sleeps for ever", i == SENDER ? "sender" : "receiver");
	}
	run.subject->judge(scenario, killed);
	for (int i = 0; i < SIDES; i++)
		if (run.sides[i].ep && run.sides[i].ep->counters.breaches > 0)
			fail("the %s sees a breach", i == SENDER ? "sender" : "receiver");
}

static int first_fd;

static void run_once(void)
{
	const struct scenario *scenario = run.scenario;

	run.running = false;
	run.step = 0;
	run.failure[0] = '\0';
	run.current = RECEIVER;
	arena_used = 0;
	fake_reset();
	close_range((unsigned int)first_fd, ~0u, 0);
	fake.before = before_call;
	fake.nests = true;
	fake.xen = scenario->xen;
	run.subject->begin(scenario);
	for (int i = 0; i < SIDES; i++) {
		struct side *side = &run.sides[i];

		side->script = i == SENDER ? scenario->sender : scenario->receiver;
		side->restarted = i == SENDER ? scenario->sender_again : scenario->receiver_again;
		side->kills = 0;
		side->store_count = side->spins = 0;
		side->spins_at = NULL;
		open_side(side);
		side_start(side);
	}
	permit(&run.sides[RECEIVER]);
	for (int i = 0; i < SIDES; i++)
		drain(&run.sides[i]);
	run.current = SENDER;
	run.running = true;
	schedule();
	run.running = false;
	judge();
	runs++;
}

static void report(void)
{
	printf("# %s\n# to see it: -s %d%s", run.failure, run.number, run.lazy ? " -l" : "");
	if (run.kill < run.switch_count)
		printf(" -k %u", run.kill);
	for (unsigned int i = 0; i < run.switch_count; i++)
		printf(" %u", run.switches[i]);
	printf("\n");
}

/* This run, and all that begin like it and have at most `more` further switches. */
static bool explore(unsigned int more)
{
	unsigned int steps, from;

	run_once();
	if (failed()) {
		report();
		return false;
	}
	if (more == 0)
		return true;
	steps = run.step;
	from = run.switch_count > 0 ? run.switches[run.switch_count - 1] + 1 : 0;
	run.switch_count++;
	for (unsigned int at = from; at < steps; at++) {
		run.switches[run.switch_count - 1] = at;
		if (!explore(more - 1))
			return false;
	}
	run.switch_count--;
	return true;
}

static bool holds(unsigned int switches)
{
	bool kills = run.scenario->sender_again || run.scenario->receiver_again;

	for (int lazy = 0; lazy < 2; lazy++) {
		run.lazy = lazy;
		for (unsigned int kill = 0; kill < (kills ? switches : 1); kill++) {
			run.kill = kills ? kill : SWITCHES_MAX;
			run.switch_count = 0;
			if (!explore(switches))
				return false;
		}
	}
	return true;
}

static void prepare(void)
{
	for (int i = 0; i < SIDES; i++)
		run.sides[i].stack = malloc(STACK);
	fake_reset();
	first_fd = dup(STDIN_FILENO);
}

static int one_run(void)
{
	run.verbose = true;
	run_once();
	printf("# %s\n", failed() ? run.failure : "all is well");
	return failed() ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Scenarios are numbered across the subjects.  False: there are not so many. */
static bool choose_scenario(int number)
{
	static const struct subject *const subjects[] = {&messages, &streams};
	size_t n = (size_t)number;

	for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
		if (n < subjects[i]->count) {
			run.number = number;
			run.subject = subjects[i];
			run.scenario = &subjects[i]->scenarios[n];
			return true;
		}
		n -= subjects[i]->count;
	}
	return false;
}

static int scenario_named(const char *text)
{
	for (int i = 0; choose_scenario(i); i++)
		if (strcmp(run.scenario->name, text) == 0)
			return i;
	return atoi(text);
}

static int name_all(void)
{
	for (int i = 0; choose_scenario(i); i++)
		printf("%d %s\n", i, run.scenario->name);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	unsigned int switches = 2;
	int option, only = -1, failures = 0, n = 0;

	run.kill = SWITCHES_MAX;
	while ((option = getopt(argc, argv, "b:s:k:w:ln")) != -1)
		switch (option) {
		case 'b':
			switches = (unsigned int)atoi(optarg);
			break;
		case 's':
			only = scenario_named(optarg);
			break;
		case 'n':
			return name_all();
		case 'k':
			run.kill = (unsigned int)atoi(optarg);
			break;
		case 'l':
			run.lazy = true;
			break;
		case 'w':
			without.barrier = optarg;
			break;
		default:
			return USAGE;
		}
	if (switches > SWITCHES_MAX || argc - optind > SWITCHES_MAX ||
		!choose_scenario(only < 0 ? 0 : only))
		return USAGE;
	prepare();
	for (; optind < argc; optind++)
		run.switches[run.switch_count++] = (unsigned int)atoi(argv[optind]);
	if (run.switch_count > 0)
		return one_run();
	for (int i = 0; choose_scenario(i); i++) {
		bool good;

		if (only >= 0 && only != i)
			continue;
		runs = 0;
		good = holds(switches);
		failures += !good;
		printf("%sok %d - in every order of steps: %s\n# %lu runs\n", good ? "" : "not ",
			++n, run.scenario->name, runs);
		fflush(stdout);
	}
	printf("1..%d\n", n);
	if (without.barrier && !without.met) {
		printf("# no scenario has met a barrier %s\n", without.barrier);
		return USAGE;
	}
	return failures > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
