/* SPDX-License-Identifier: MIT */
/*
 * restless.c: a receiver whose page changes between any two looks at it, and a sender that waits,
 * or cannot.
 *
 * The real libsivc with shared_hook.h in the place of shared.h.  The page is always settled when it
 * is copied, and always another one when it is asked whether it has changed: the worst that a
 * hostile owner can do with perfect timing.  The sender's process must go on with its other work.
 * Or its owner has lost the processor in the middle of a change, for as many looks as a test says.
 * Or what it says of a stream's reader is always something else when it is asked again.
 *
 * What is counted is loads of shared memory, which do not depend on the machine.
 */
#include "hostile.h"

#include <limits.h>

#define LOADS_MAX   10000  /* in one call: a hundred changes, each followed */
#define LOADS_LEFT  100    /* in one call, of a page that is left alone */
#define LOADS_DOUBT 200000 /* in one call, of one that does not settle */
#define LOADS_HANG  10000000ul
#define LINES_MAX   10 /* in the log */
#define TURNS_LEFT  20 /* of the loop */

static struct {
	const struct sivc_page *page; /* the attacker's; NULL: it rests */
	bool copied;                  /* what it permits, since the last look at its seq */
	uint32_t seq;
	bool changing; /* instead: the next look finds it as it was, then it is being changed */
	unsigned long change; /* for so many looks; then it is done */
	unsigned long looks;
	uint32_t broken; /* every other look at `broken` finds this; 0: it rests */
	bool was_broken;

	unsigned long loads;
} restless;

uint64_t hook_load(const void *p, size_t size);
void hook_store(void *p, size_t size, uint64_t value);
void hook_copy(void *to, const void *from, size_t size);
void hook_barrier(const char *name);

/* The look after a copy finds the page as it was; each other one finds another page. */
static uint32_t next_seq(void)
{
	if (!restless.copied)
		restless.seq += 2;
	restless.copied = false;
	return restless.seq;
}

static uint32_t changing_seq(uint32_t seq)
{
	if (restless.looks++ == 0)
		return seq;
	return restless.looks <= restless.change ? seq + 1 : seq + 2;
}

static bool is_of_page(const void *p, const void *field)
{
	return fake_physical(p) == fake_physical(field);
}

uint64_t hook_load(const void *p, size_t size)
{
	uint64_t value = 0;

	if (++restless.loads > LOADS_HANG) {
		printf("# it does not end\n");
		exit(EXIT_FAILURE);
	}
	memcpy(&value, p, size);
	if (!restless.page)
		return value;
	if (restless.broken && is_of_page(p, &restless.page->broken)) {
		restless.was_broken = !restless.was_broken;
		return restless.was_broken ? 0 : restless.broken;
	}
	if (restless.broken)
		return value;
	if (is_of_page(p, &restless.page->final_nonce))
		restless.copied = true;
	if (!is_of_page(p, &restless.page->seq))
		return value;
	return restless.changing ? changing_seq((uint32_t)value) : next_seq();
}

void hook_store(void *p, size_t size, uint64_t value)
{
	memcpy(p, &value, size);
}

void hook_copy(void *to, const void *from, size_t size)
{
	memcpy(to, from, size);
}

void hook_barrier(const char *name)
{
	(void)name;
}

static bool waiting; /* somebody who is to be let go */

static void on_done(struct sending *sending, int error)
{
	(void)sending;
	(void)error;
	waiting = false;
}

static void on_room(struct waiter *waiter)
{
	(void)waiter;
	waiting = false;
}

/* Who comes when others were let go. */

static int send_one(struct scene *s)
{
	return send_bytes(&s->victim, ATTACKER, "message", 8);
}

static int begin_one(struct scene *s)
{
	struct sivc_writer *writer;
	int r = sivc_stream_begin(s->victim.streams, ATTACKER, &writer);

	if (r == 0)
		sivc_stream_end(writer, true);
	return r;
}

static int (*attempt)(struct scene *s) = send_one;

/* A full ring, and a page that does not rest from now on. */
static bool scene_restless(struct scene *s)
{
	scene_open(s);
	attacker_serve(&s->x, VICTIM);
	while (send_one(s) == 0)
		;
	restless.seq = s->x.seq;
	restless.page = s->x.page;
	return true;
}

/* How many loads it took since the last time. */
static unsigned long loads(void)
{
	unsigned long n = restless.loads;

	restless.loads = 0;
	return n;
}

static bool left_alone(struct scene *s)
{
	loads();
	for (int i = 0; i < 100; i++) {
		hv_port_notify(s->x.port);
		sivc_dispatch(s->victim.sivc);
		CHECK_IS(attempt(s), -EPROTO);
		CHECK(loads() <= LOADS_LEFT);
		CHECK(others_go_on(s));
		loads();
	}
	CHECK(s->victim.warnings <= LINES_MAX);
	return true;
}

/* It says something sensible again, of a new ring, in which there is room. */
static void makes_sense(struct attacker *x)
{
	restless.page = NULL;
	x->seq = x->page->seq > restless.seq ? x->page->seq : restless.seq;
	x->ring_nonce++;
	x->ctl->prod = 0;
	x->page->cons = 0;
	attacker_permit(x);
}

/* Nobody looks at it for a second, whatever it says then; afterwards it is what it says. */
static bool left_for_a_second(struct scene *s)
{
	CHECK(left_alone(s));
	makes_sense(&s->x);
	CHECK_IS(attempt(s), -EPROTO);
	house_live(&s->victim, 1100);
	CHECK_IS(attempt(s), 0);
	scene_close(s);
	return true;
}

/* Whoever stands in line is let go after a few turns, each of which ends. */
static bool is_let_go(struct scene *s)
{
	int turns = 0;

	for (; waiting && turns < TURNS_LEFT; turns++) {
		loads();
		sivc_dispatch(s->victim.sivc);
		CHECK(loads() <= LOADS_MAX);
	}
	printf("# after %d turns\n", turns);
	CHECK(!waiting);
	return left_for_a_second(s);
}

static bool while_one_waits(void)
{
	struct iovec message = {(void *)(uintptr_t) "message", 8};
	struct sending sending = {.messages = &message, .count = 1, .done = on_done};
	struct scene s;

	CHECK(scene_restless(&s));
	restless.page = NULL;
	waiting = true;
	CHECK_IS(send_start(s.victim.ep, ATTACKER, &sending), -EINPROGRESS);
	restless.page = s.x.page;
	hv_port_notify(s.x.port);
	return is_let_go(&s);
}

static bool while_one_comes(void)
{
	struct iovec message = {(void *)(uintptr_t) "message", 8};
	struct sending sending = {.messages = &message, .count = 1, .done = on_done};
	struct scene s;

	CHECK(scene_restless(&s));
	loads();
	waiting = true;
	CHECK_IS(send_start(s.victim.ep, ATTACKER, &sending), -EINPROGRESS);
	CHECK(loads() <= LOADS_MAX);
	return is_let_go(&s);
}

/* A stream that has begun, and another whose writer waits for its turn. */
static bool scene_wait_for_turn(struct scene *s)
{
	static struct waiter waiter = {.fn = on_room};
	struct sivc_writer *first, *second;

	attempt = begin_one;
	scene_open_streams(s);
	attacker_serve(&s->x, VICTIM);
	CHECK_IS(sivc_stream_begin(s->victim.streams, ATTACKER, &first), 0);
	CHECK_IS(sivc_stream_begin(s->victim.streams, ATTACKER, &second), 0);
	CHECK_IS(sivc_stream_write(first, "stream", 6), 6);
	waiting = true;
	CHECK_IS(wait_room(second, &waiter), 0);
	house_run(&s->victim);
	CHECK(waiting);
	hv_port_notify(s->x.port);
	return true;
}

static bool while_a_stream_waits(void)
{
	struct scene s;

	CHECK(scene_wait_for_turn(&s));
	restless.seq = s.x.seq;
	restless.page = s.x.page;
	return is_let_go(&s);
}

static bool reader_that_has_left_and_not(void)
{
	struct scene s;

	CHECK(scene_wait_for_turn(&s));
	restless.broken = 1; /* it began at 0 */
	restless.page = s.x.page;
	return is_let_go(&s);
}

/* Its owner begins a change when a message is out that cannot wait, and loses its processor. */
static int send_in_doubt(struct scene *s, unsigned long change)
{
	int r;

	scene_open(s);
	attacker_serve(&s->x, VICTIM);
	if (send_bytes(&s->victim, ATTACKER, "message", 8) < 0)
		abort();
	restless.changing = true;
	restless.change = change;
	restless.page = s->x.page;
	loads();
	r = send_bytes(&s->victim, ATTACKER, "message", 8);
	restless.page = NULL;
	return r;
}

/* It is back soon: the sender is told what became of the message. */
static bool doubt_that_ends(void)
{
	struct scene s;

	CHECK_IS(send_in_doubt(&s, 1000), 0);
	CHECK_IS(s.x.ctl->prod, 2 * ring_span(8));
	scene_close(&s);
	return true;
}

static bool doubt_without_an_end(void)
{
	struct scene s;
	int r = send_in_doubt(&s, ULONG_MAX);

	CHECK(r == -EACCES || r == -EPROTO); /* the latter, if that took a second */
	printf("# %lu loads\n", restless.loads);
	CHECK(loads() <= LOADS_DOUBT);
	CHECK(others_go_on(&s));
	scene_close(&s);
	return true;
}

int main(void)
{
	holds("a page that changes between any two looks holds nobody up who waits, and is left "
	      "alone for a second",
		while_one_waits);
	holds("nor who comes to send", while_one_comes);
	holds("nor a stream that waits for its turn", while_a_stream_waits);
	holds("nor does a reader that has left when one looks, and not when one looks again",
		reader_that_has_left_and_not);
	holds("who cannot wait is told what became of a message although the page changed then",
		doubt_that_ends);
	holds("but waits for no change that does not end", doubt_without_an_end);
	return done_testing();
}
