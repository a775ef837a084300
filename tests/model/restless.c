/* SPDX-License-Identifier: MIT */
/*
 * restless.c: a receiver whose page changes between any two looks at it, and a sender that waits.
 *
 * The real libsivc with shared_hook.h in the place of shared.h.  The page is always settled when it
 * is copied, and always another one when it is asked whether it has changed: the worst that a
 * hostile owner can do with perfect timing.  The sender's process must go on with its other work.
 */
#include "../unit/test_hostile.h"

#define LOADS_MAX 10000000ul /* in one call; a hang has no end */
#define LINES_MAX 10         /* in the log */

static struct {
	const struct sivc_page *page; /* the attacker's; NULL: it rests */
	enum { ASKED, COPYING, COPIED } next;
	uint32_t seq;
	unsigned long loads;
} restless;

uint64_t hook_load(const void *p, size_t size);
void hook_store(void *p, size_t size, uint64_t value);
void hook_copy(void *to, const void *from, size_t size);
void hook_barrier(void);

/* The load that asks whether it has changed, and the two around a copy, take turns. */
static uint32_t next_seq(void)
{
	switch (restless.next) {
	case ASKED:
		restless.seq += 2;
		restless.next = COPYING;
		break;
	case COPYING:
		restless.next = COPIED;
		break;
	case COPIED:
		restless.next = ASKED;
		break;
	}
	return restless.seq;
}

uint64_t hook_load(const void *p, size_t size)
{
	uint64_t value = 0;

	if (++restless.loads > LOADS_MAX) {
		printf("# it does not end\n");
		exit(EXIT_FAILURE);
	}
	memcpy(&value, p, size);
	if (restless.page && fake_physical(p) == fake_physical(&restless.page->seq))
		return next_seq();
	return value;
}

void hook_store(void *p, size_t size, uint64_t value)
{
	memcpy(p, &value, size);
}

void hook_copy(void *to, const void *from, size_t size)
{
	memcpy(to, from, size);
}

void hook_barrier(void)
{
}

static void on_done(struct sivc_sending *sending, int error)
{
	(void)sending;
	(void)error;
}

static bool goes_on(void)
{
	struct iovec message = {(void *)(uintptr_t) "message", 8};
	struct sivc_sending sending = {.messages = &message, .count = 1, .done = on_done};
	struct scene s;

	scene_open(&s);
	attacker_serve(&s.x, VICTIM);
	while (send_bytes(&s.victim, ATTACKER, "message", 8) == 0)
		;
	CHECK_IS(sivc_send_start(s.victim.ep, ATTACKER, &sending), -EINPROGRESS);
	restless.seq = s.x.seq;
	restless.page = s.x.page;
	for (int i = 0; i < 100; i++) {
		restless.loads = 0;
		hv_port_notify(s.x.port);
		sivc_dispatch(s.victim.sivc);
		CHECK(others_go_on(&s));
		send_bytes(&s.victim, ATTACKER, "message", 8);
	}
	CHECK(s.victim.warnings <= LINES_MAX);
	restless.page = NULL;
	scene_close(&s);
	return true;
}

int main(void)
{
	holds("a page that changes between any two looks holds nobody up", goes_on);
	return done_testing();
}
