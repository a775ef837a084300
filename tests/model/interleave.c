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
 *	- a message went, as its sender was told, if and only if it arrived, once, in order;
 *	- nobody sleeps for ever while there is something to do for him;
 *	- neither says that the other broke the protocol;
 *	- a refused sender is told EACCES, one of a closed endpoint EPIPE, and nothing else.
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
#include <ucontext.h>
#include <unistd.h>

#include "endpoint.h"
#include "fake_hv.h"
#include "page.h"

#define RECEIVER 0
#define SENDER   1
#define SIDES    2

#define RING         4096u
#define MESSAGES_MAX 8
#define STACK        (256 * 1024)
#define STEPS_MAX    100000
#define SWITCHES_MAX 4
#define STORES_MAX   1024
#define SPINS_MAX    4
#define TIMERS_MS    200 /* longer than any timer of libsivc */
#define ARENA        (8 * 1024 * 1024)

#define USAGE 2 /* exit status */

/* A domain. */
struct side {
	ucontext_t context;
	char *stack;
	bool done;   /* the script has ended */
	bool asleep; /* waits for its descriptor */
	int fd;      /* the one it waits for */
	void (*script)(struct side *side);
	void (*restarted)(struct side *side); /* instead, after a kill */
	int kills;
	struct sivc *sivc;
	struct sivc_endpoint *ep;
	/* Stores that the other side does not see yet. */
	struct {
		void *p;
		size_t size;
		uint64_t value;
	} stores[STORES_MAX];
	unsigned int store_count;
	/* The load that it repeats. */
	const void *spins_at;
	unsigned int spins;
};

struct scenario {
	const char *name;
	void (*receiver)(struct side *side);
	void (*sender)(struct side *side);
	/* If the process of this side is killed at a step instead of losing the processor. */
	void (*receiver_again)(struct side *side);
	void (*sender_again)(struct side *side);
	size_t length; /* of a message */
	bool lossy;    /* what was not read when the receiver ended is lost */
	bool waits;    /* in the end the receiver waits for more */
};

static struct {
	const struct scenario *scenario;
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

	/* What happened. */
	unsigned int sent[MESSAGES_MAX], sent_count;
	unsigned int got[MESSAGES_MAX], got_count;
	unsigned int next_message;
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

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void fail(const char *format, ...)
{
	va_list args;

	if (run.failure[0] != '\0')
		return;
	va_start(args, format);
	vsnprintf(run.failure, sizeof(run.failure), format, args);
	va_end(args);
}

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void tell(const char *format, ...)
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

static void step(void)
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

/* Scripts.  Message i is filled with i + 1. */

static char message_bytes[MESSAGES_MAX][4 * RING];

static int send_one(struct side *side, int flags)
{
	unsigned int i = run.next_message++;
	int r = sivc_send(side->ep, RECEIVER, message_bytes[i], run.scenario->length, flags);

	tell("is told of message %u: %s", i, strerror(-r));
	if (r == 0)
		run.sent[run.sent_count++] = i;
	return r;
}

static ssize_t get_from(struct side *side, int from, int flags)
{
	static char buffer[4 * RING];
	ssize_t n = sivc_receive(side->ep, from, buffer, sizeof(buffer), NULL, flags);

	if (n < 0)
		return n;
	if ((size_t)n != run.scenario->length || buffer[0] == 0 ||
		memcmp(buffer, message_bytes[(unsigned char)buffer[0] - 1], (size_t)n) != 0)
		fail("a message is not what was sent");
	else if (run.got_count == MESSAGES_MAX)
		fail("more messages arrive than were sent");
	else
		run.got[run.got_count++] = (unsigned int)buffer[0] - 1;
	tell("got message %d", buffer[0] - 1);
	return n;
}

static ssize_t get_one(struct side *side, int flags)
{
	return get_from(side, SIVC_ANY, flags);
}

static void get_all(struct side *side)
{
	while (get_one(side, SIVC_NOWAIT) > 0)
		;
}

static void refuse(struct side *side)
{
	int r = sivc_refuse(side->ep, SENDER);

	if (r < 0)
		fail("refusing failed: %s", strerror(-r));
	tell("has refused");
}

static void permit(struct side *side)
{
	int r = sivc_permit(side->ep, SENDER);

	if (r < 0)
		fail("permitting failed: %s", strerror(-r));
	tell("has permitted");
}

static void close_endpoint(struct side *side)
{
	sivc_endpoint_close(side->ep);
	side->ep = NULL;
	tell("has closed");
}

static void open_side(struct side *side)
{
	struct sivc_config config = {
		.backend = "local", .domid = (int)(side - run.sides), .ring = RING};

	if (sivc_open(&config, &side->sivc) < 0 ||
		sivc_endpoint_open(side->sivc, "default", NULL, &side->ep) < 0)
		fail("it does not open");
}

/* The sender sends three, waiting where it must. */
static void send_three(struct side *side)
{
	for (int i = 0; i < 3; i++) {
		int r = send_one(side, 0);

		if (r != 0 && r != -EACCES && r != -EPIPE)
			fail("a send fails: %s", strerror(-r));
	}
}

static void send_three_all_go(struct side *side)
{
	for (int i = 0; i < 3; i++)
		if (send_one(side, 0) != 0)
			fail("a send fails though nobody refused");
}

static void send_one_or_not(struct side *side)
{
	send_one(side, 0);
}

static void send_four(struct side *side)
{
	send_three(side);
	run.next_message = 3;
	send_one(side, 0);
}

static void receive_three(struct side *side)
{
	for (int i = 0; i < 3; i++)
		if (get_one(side, 0) < 0)
			fail("a receive fails");
}

static void send_five_all_go(struct side *side)
{
	for (int i = 0; i < 5; i++)
		if (send_one(side, 0) != 0)
			fail("a send fails though nobody refused");
}

static void receive_five(struct side *side)
{
	for (int i = 0; i < 5; i++)
		if (get_one(side, 0) < 0)
			fail("a receive fails");
}

static void get_one_and_refuse(struct side *side)
{
	get_one(side, 0);
	refuse(side);
	get_all(side);
}

static void just_refuse(struct side *side)
{
	refuse(side);
	get_all(side);
}

static void receive_for_ever(struct side *side)
{
	while (get_one(side, 0) > 0)
		;
}

static void refuse_and_permit(struct side *side)
{
	refuse(side);
	permit(side);
	receive_for_ever(side);
}

static void refuse_and_permit_twice(struct side *side)
{
	for (int i = 0; i < 2; i++) {
		refuse(side);
		get_all(side);
		permit(side);
	}
	receive_for_ever(side);
}

static void read_refuse_permit_read(struct side *side)
{
	get_one(side, 0);
	refuse(side);
	get_all(side);
	permit(side);
	receive_for_ever(side);
}

static void refuse_read_close(struct side *side)
{
	refuse(side);
	get_all(side);
	close_endpoint(side);
}

static void read_and_close(struct side *side)
{
	get_all(side);
	close_endpoint(side);
}

static void refuse_large(struct side *side)
{
	get_one(side, SIVC_NOWAIT);
	get_one(side, SIVC_NOWAIT);
	refuse(side);
	get_all(side);
}

static void renew_large(struct side *side)
{
	for (int i = 0; i < 3; i++)
		get_one(side, SIVC_NOWAIT);
	refuse(side);
	permit(side);
	receive_for_ever(side);
}

static void receive_one(struct side *side)
{
	get_one(side, 0);
}

static void receive_one_of_the_sender(struct side *side)
{
	if (get_from(side, SENDER, 0) < 0)
		fail("a receive fails");
}

static void send_one_all_goes(struct side *side)
{
	if (send_one(side, 0) != 0)
		fail("a send fails though nobody refused");
}

/* After a kill: a new process sends one more, which must arrive. */
static void send_again(struct side *side)
{
	open_side(side);
	run.next_message = MESSAGES_MAX - 1;
	if (send_one(side, 0) != 0)
		fail("a new process cannot send");
}

static void receive_three_or_the_last(struct side *side)
{
	/* Three arrive, or one of a new process does. */
	for (int i = 0; i < 3 && run.failure[0] == '\0'; i++) {
		get_one(side, 0);
		if (run.got_count > 0 && run.got[run.got_count - 1] == MESSAGES_MAX - 1)
			return;
	}
}

static void receive_again(struct side *side)
{
	open_side(side);
	permit(side);
	get_all(side);
}

static const struct scenario scenarios[] = {
	{.name = "five messages through a ring of two",
		.length = 1500,
		.receiver = receive_five,
		.sender = send_five_all_go},
	{.name = "three small messages",
		.length = 8,
		.receiver = receive_three,
		.sender = send_three_all_go},
	{.name = "a message in fragments",
		.length = 3 * RING,
		.receiver = receive_one,
		.sender = send_one_all_goes},
	{.name = "a reader of that domain gets a message in fragments",
		.length = 3 * RING,
		.receiver = receive_one_of_the_sender,
		.sender = send_one_all_goes},
	{.name = "the sender is refused",
		.length = 8,
		.receiver = just_refuse,
		.sender = send_three},
	{.name = "the sender is refused after a message",
		.length = 1500,
		.receiver = get_one_and_refuse,
		.sender = send_three},
	{.name = "the sender is refused and permitted",
		.length = 1500,
		.receiver = refuse_and_permit,
		.sender = send_three,
		.waits = true},
	{.name = "the sender is refused and permitted, twice",
		.length = 8,
		.receiver = refuse_and_permit_twice,
		.sender = send_three,
		.waits = true},
	{.name = "the sender is refused and permitted, with reading",
		.length = 1500,
		.receiver = read_refuse_permit_read,
		.sender = send_three,
		.waits = true},
	{.name = "a sender that has waited is refused and permitted",
		.length = 1500,
		.receiver = read_refuse_permit_read,
		.sender = send_four,
		.waits = true},
	{.name = "the sender is refused, then the endpoint is closed",
		.length = 8,
		.receiver = refuse_read_close,
		.sender = send_three},
	{.name = "the endpoint is closed",
		.length = 8,
		.receiver = read_and_close,
		.sender = send_three,
		.lossy = true},
	{.name = "the sender of fragments is refused",
		.length = 2 * RING,
		.receiver = refuse_large,
		.sender = send_three},
	{.name = "the sender of fragments is refused and permitted",
		.length = RING,
		.receiver = renew_large,
		.sender = send_one_or_not,
		.waits = true},
	{.name = "the sender's process is killed",
		.length = 1500,
		.receiver = receive_three_or_the_last,
		.sender = send_three_all_go,
		.sender_again = send_again},
	{.name = "the process of a sender of fragments is killed",
		.length = 2 * RING,
		.receiver = receive_three_or_the_last,
		.sender = send_three_all_go,
		.sender_again = send_again},
	{.name = "the receiver's process is killed",
		.length = 1500,
		.receiver = receive_three,
		.sender = send_three,
		.receiver_again = receive_again,
		.lossy = true},
};

#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

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
	if (run.failure[0] != '\0' || !choose_side())
		return;
	setcontext(&current()->context);
}

static bool is_subsequence(bool whole)
{
	unsigned int at = 0;

	/* What arrived is what went, in order; less what died with a process. */
	for (unsigned int i = 0; i < run.got_count; i++) {
		while (at < run.sent_count && run.sent[at] != run.got[i])
			at++;
		if (at == run.sent_count)
			return false;
		at++;
	}
	return !whole || run.got_count == run.sent_count;
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
	/* Of a message that was under way when its sender was killed, nobody knows. */
	if (!killed && !is_subsequence(!scenario->lossy))
		fail("%u messages went, %u arrived", run.sent_count, run.got_count);
	for (int i = 0; i < SIDES; i++)
		if (run.sides[i].ep && run.sides[i].ep->counters.breaches > 0)
			fail("the %s sees a breach", i == SENDER ? "sender" : "receiver");
}

static int first_fd;

static void run_once(const struct scenario *scenario)
{
	run.running = false;
	run.scenario = scenario;
	run.step = run.sent_count = run.got_count = run.next_message = 0;
	run.failure[0] = '\0';
	run.current = RECEIVER;
	arena_used = 0;
	fake_reset();
	close_range((unsigned int)first_fd, ~0u, 0);
	fake.before = before_call;
	fake.nests = true;
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

static void report(const struct scenario *scenario)
{
	printf("# %s\n# to see it: -s %d%s", run.failure, (int)(scenario - scenarios),
		run.lazy ? " -l" : "");
	if (run.kill < run.switch_count)
		printf(" -k %u", run.kill);
	for (unsigned int i = 0; i < run.switch_count; i++)
		printf(" %u", run.switches[i]);
	printf("\n");
}

/* This run, and all that begin like it and have at most `more` further switches. */
static bool explore(const struct scenario *scenario, unsigned int more)
{
	unsigned int steps, from;

	run_once(scenario);
	if (run.failure[0] != '\0') {
		report(scenario);
		return false;
	}
	if (more == 0)
		return true;
	steps = run.step;
	from = run.switch_count > 0 ? run.switches[run.switch_count - 1] + 1 : 0;
	run.switch_count++;
	for (unsigned int at = from; at < steps; at++) {
		run.switches[run.switch_count - 1] = at;
		if (!explore(scenario, more - 1))
			return false;
	}
	run.switch_count--;
	return true;
}

static bool holds(const struct scenario *scenario, unsigned int switches)
{
	bool kills = scenario->sender_again || scenario->receiver_again;

	for (int lazy = 0; lazy < 2; lazy++) {
		run.lazy = lazy;
		for (unsigned int kill = 0; kill < (kills ? switches : 1); kill++) {
			run.kill = kills ? kill : SWITCHES_MAX;
			run.switch_count = 0;
			if (!explore(scenario, switches))
				return false;
		}
	}
	return true;
}

static void prepare(void)
{
	for (unsigned int i = 0; i < MESSAGES_MAX; i++)
		memset(message_bytes[i], (int)i + 1, sizeof(message_bytes[i]));
	for (int i = 0; i < SIDES; i++)
		run.sides[i].stack = malloc(STACK);
	fake_reset();
	first_fd = dup(STDIN_FILENO);
}

static int one_run(const struct scenario *scenario)
{
	run.verbose = true;
	run_once(scenario);
	printf("# %s\n", run.failure[0] != '\0' ? run.failure : "all is well");
	return run.failure[0] != '\0' ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int scenario_named(const char *text)
{
	for (int i = 0; i < (int)SCENARIOS; i++)
		if (strcmp(scenarios[i].name, text) == 0)
			return i;
	return atoi(text);
}

static int name_all(void)
{
	for (int i = 0; i < (int)SCENARIOS; i++)
		printf("%d %s\n", i, scenarios[i].name);
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
	if (switches > SWITCHES_MAX || argc - optind > SWITCHES_MAX || only >= (int)SCENARIOS)
		return USAGE;
	prepare();
	for (; optind < argc; optind++)
		run.switches[run.switch_count++] = (unsigned int)atoi(argv[optind]);
	if (run.switch_count > 0)
		return one_run(&scenarios[only < 0 ? 0 : only]);
	for (int i = 0; i < (int)SCENARIOS; i++) {
		bool good;

		if (only >= 0 && only != i)
			continue;
		runs = 0;
		good = holds(&scenarios[i], switches);
		failures += !good;
		printf("%sok %d - in every order of steps: %s\n# %lu runs\n", good ? "" : "not ",
			++n, scenarios[i].name, runs);
		fflush(stdout);
	}
	printf("1..%d\n", n);
	if (without.barrier && !without.met) {
		printf("# no scenario has met a barrier %s\n", without.barrier);
		return USAGE;
	}
	return failures > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
