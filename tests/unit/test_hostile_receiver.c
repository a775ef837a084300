/* SPDX-License-Identifier: MIT */
/*
 * What a domain that we send to can do to us: refuse our messages.  It owns the node, the page and
 * the ring, and may lie in each of them at any time.
 */
#include "hostile.h"

#include <sys/mman.h>

#define HUGE_MESSAGE 0xFFFFFFFFu

static int send_to_attacker(struct scene *s)
{
	return send_bytes(&s->victim, ATTACKER, "message", 8);
}

/* The attacker has published all it takes, and the victim can send. */
static bool scene_serve(struct scene *s)
{
	scene_open(s);
	attacker_serve(&s->x, VICTIM);
	CHECK_IS(send_to_attacker(s), 0);
	return true;
}

/* The store. */

static bool nodes(void)
{
	static const char *const bad[] = {"", " ", "1", "1 ", "1 8", "1 8 ", "2 8 0000000000000001",
		"1 8 1", "1 8 0000000000000001 ", " 1 8 0000000000000001", "1  8 0000000000000001",
		"1 08 0000000000000001", "1 -8 0000000000000001", "1 +8 0000000000000001",
		"1 4294967304 0000000000000001", "1 8 000000000000000g", "1 8 0x00000000000001",
		"1 8 00000000000000010", "1 8 -000000000000001", "1 8 FFFFFFFFFFFFFFFF",
		"1 99999999999999999999999999 0000000000000001", "1 %n%n%n%n %s", "\n", "\xff\xfe",
		"1 8 0000000000000001\n", "permit me",
		"1 8 00000000000000010000000000000000000000000000000000000000000000000000000000"};
	struct scene s;

	scene_open(&s);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fake_node_set(ATTACKER, "default", VICTIM, bad[i]);
		CHECK_IS(send_to_attacker(&s), -EACCES);
	}
	CHECK(others_go_on(&s));
	attacker_serve(&s.x, VICTIM);
	CHECK_IS(send_to_attacker(&s), 0);
	scene_close(&s);
	return true;
}

/* The node names pages that are not the attacker's to show. */
static bool node_names_others_pages(void)
{
	char value[SIVC_NODE_MAX];
	struct scene s;

	scene_open(&s);
	for (uint32_t ref = 0; ref < 64; ref++) {
		snprintf(value, sizeof(value), SIVC_NODE_FORMAT, ref, (uint64_t)1);
		fake_node_set(ATTACKER, "default", VICTIM, value);
		CHECK_IS(send_to_attacker(&s), -EACCES);
	}
	CHECK(others_go_on(&s));
	scene_close(&s);
	return true;
}

/* The page. */

/* The victim is told the error each time, and the log once. */
static bool fails_with(struct scene *s, int error)
{
	unsigned int before = s->victim.warnings;
	uint64_t start = used_us();

	for (int i = 0; i < 50; i++)
		CHECK_IS(send_to_attacker(s), error);
	CHECK(used_us() - start <= 50 * CALL_US);
	CHECK(s->victim.warnings - before <= 1);
	CHECK(others_go_on(s));
	return true;
}

/* What it says is absurd; when it makes sense again, messages go again. */
static bool page_is_breach(void (*spoil)(struct attacker *x))
{
	struct scene s;

	CHECK(scene_serve(&s));
	spoil(&s.x);
	attacker_turn(&s.x);
	CHECK(fails_with(&s, -EPROTO));
	CHECK(s.victim.ep->counters.breaches >= 1);
	CHECK_IS(s.victim.warnings, 1);
	s.x.page->magic = SIVC_MAGIC;
	s.x.page->page_nonce = s.x.nonce;
	s.x.page->version = SIVC_WIRE_VERSION;
	s.x.page->cons = s.x.ctl->prod;
	attacker_permit(&s.x);
	s.x.ctl->prod = 0;
	CHECK_IS(send_to_attacker(&s), 0);
	scene_close(&s);
	return true;
}

static void spoil_magic(struct attacker *x)
{
	x->page->magic = 0;
}

static bool magic(void)
{
	return page_is_breach(spoil_magic);
}

static void spoil_nonce(struct attacker *x)
{
	x->page->page_nonce++;
}

static bool page_nonce(void)
{
	return page_is_breach(spoil_nonce);
}

static void spoil_version(struct attacker *x)
{
	x->page->version = SIVC_WIRE_VERSION + 1;
}

static bool version(void)
{
	return page_is_breach(spoil_version);
}

static void spoil_verdict(struct attacker *x)
{
	x->page->verdict = 77;
}

static bool verdict(void)
{
	return page_is_breach(spoil_verdict);
}

static uint32_t bad_pages;

static void spoil_pages(struct attacker *x)
{
	x->page->ring_pages = bad_pages;
	x->page->ring_nonce++;
}

static bool geometry(void)
{
	static const uint32_t bad[] = {0, 3, 6, 513, 1024, 0x80000000u, 0x00100000u, 0xFFFFFFFFu};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		bad_pages = bad[i];
		CHECK(page_is_breach(spoil_pages));
	}
	return true;
}

static void spoil_max_msg(struct attacker *x)
{
	x->page->max_msg = 0;
}

static bool max_msg(void)
{
	return page_is_breach(spoil_max_msg);
}

static void spoil_ctl_ref(struct attacker *x)
{
	x->page->ctl_ref = 0xDEADBEEF;
	x->page->ring_nonce++;
}

static bool ctl_reference(void)
{
	return page_is_breach(spoil_ctl_ref);
}

static void spoil_last_ref(struct attacker *x)
{
	x->page->refs[RING_PAGES - 1] = 0;
	x->page->ring_nonce++;
}

static bool half_valid_references(void)
{
	return page_is_breach(spoil_last_ref);
}

/* The ring's last page is the page itself, which the victim may only read. */
static void spoil_read_only(struct attacker *x)
{
	x->page->refs[RING_PAGES - 1] = x->page_ref;
	x->page->ring_nonce++;
}

static bool read_only_reference(void)
{
	return page_is_breach(spoil_read_only);
}

static void spoil_port(struct attacker *x)
{
	x->page->port = 4711;
	x->page->ring_nonce++;
}

static bool port(void)
{
	return page_is_breach(spoil_port);
}

/* All of the ring is one page, which is also its control page.  It harms the attacker alone. */
static bool aliased_references(void)
{
	struct sivc_page *page;
	struct scene s;

	scene_open(&s);
	attacker_serve(&s.x, VICTIM);
	page = s.x.page;
	for (uint32_t i = 0; i < RING_PAGES; i++)
		page->refs[i] = s.x.ctl_ref;
	attacker_turn(&s.x);
	for (int i = 0; i < 1000; i++) {
		send_to_attacker(&s);
		page->cons = s.victim.ep->sender.outbounds->tx.prod;
	}
	CHECK(others_go_on(&s));
	scene_close(&s);
	return true;
}

static bool seq_is_odd_for_ever(void)
{
	struct scene s;
	int r;

	CHECK(scene_serve(&s));
	s.x.page->seq = s.x.seq + 1;
	r = send_to_attacker(&s);
	CHECK(r == -EPROTO || r == -EAGAIN);
	CHECK(fails_with(&s, r));
	attacker_turn(&s.x);
	CHECK_IS(send_to_attacker(&s), 0);
	scene_close(&s);
	return true;
}

/* Another process of the receiver is met while it changes its page, which then says what the page
 * before it said at the same place. */
static bool first_seen_unsettled(int ms)
{
	struct scene s;

	CHECK(scene_serve(&s));
	s.x.seq = 0;
	attacker_serve(&s.x, VICTIM);
	CHECK_IS(s.x.seq, s.victim.ep->sender.outbounds->view->seq);
	s.x.page->seq = s.x.seq - 1;
	house_run(&s.victim); /* its watch fires */
	CHECK_IS(send_to_attacker(&s), -EAGAIN);
	house_live(&s.victim, ms);
	CHECK_IS(send_to_attacker(&s), ms > 0 ? -EPROTO : -EAGAIN);
	s.x.page->seq = s.x.seq;
	CHECK_IS(send_to_attacker(&s), 0);
	scene_close(&s);
	return true;
}

static bool unsettled_at_first_sight(void)
{
	return first_seen_unsettled(0);
}

static bool unsettled_too_long_at_first_sight(void)
{
	return first_seen_unsettled(1100);
}

/* The ring. */

static bool index_is_breach(void (*spoil)(struct attacker *x))
{
	struct scene s;

	CHECK(scene_serve(&s));
	while (send_to_attacker(&s) == 0)
		;
	CHECK_IS(send_to_attacker(&s), -EAGAIN);
	spoil(&s.x);
	CHECK(fails_with(&s, -EPROTO));
	CHECK_IS(s.victim.ep->counters.breaches, 1);
	CHECK_IS(s.victim.warnings, 1);
	scene_close(&s);
	return true;
}

static void spoil_cons_ahead(struct attacker *x)
{
	x->page->cons = x->ctl->prod + 8;
}

static bool index_ahead(void)
{
	return index_is_breach(spoil_cons_ahead);
}

static void spoil_cons_behind(struct attacker *x)
{
	x->page->cons = (uint32_t)-8;
}

static bool index_behind(void)
{
	return index_is_breach(spoil_cons_behind);
}

/* Half a unit is given back: the victim's own index stays aligned. */
static bool index_unaligned(void)
{
	struct scene s;

	CHECK(scene_serve(&s));
	while (send_to_attacker(&s) == 0)
		;
	for (int i = 0; i < 4000; i++) {
		s.x.page->cons += 3;
		send_to_attacker(&s);
		CHECK_IS(s.x.ctl->prod % SIVC_FRAME_ALIGN, 0);
		if (s.x.ctl->prod == s.x.page->cons)
			break;
	}
	CHECK(others_go_on(&s));
	scene_close(&s);
	return true;
}

/* The ring is older than the sender, says the attacker: this is where an earlier one stopped. */
static bool starts_at(uint32_t prod, uint32_t cons)
{
	struct scene s;
	char bytes[2000] = {0};

	scene_open(&s);
	attacker_serve(&s.x, VICTIM);
	s.x.ctl->prod = prod;
	s.x.page->cons = cons;
	for (int i = 0; i < 20; i++) {
		int r = send_bytes(&s.victim, ATTACKER, bytes, sizeof(bytes));

		CHECK(r == 0 || r == -EPROTO || r == -EAGAIN);
	}
	CHECK(others_go_on(&s));
	scene_close(&s);
	return true;
}

static bool ring_starts_anywhere(void)
{
	static const uint32_t prods[] = {0, 1, 4, 8, RING - 8, RING - 7, RING - 4, RING - 1, RING,
		0x7FFFFFFFu, 0x80000000u, 0xFFFFFFF8u, 0xFFFFFFFCu, 0xFFFFFFFFu};
	static const uint32_t used[] = {0, 1, 4, 8, RING - 8, RING, RING + 1, 0xFFFFFFFFu};

	for (size_t i = 0; i < sizeof(prods) / sizeof(prods[0]); i++)
		for (size_t j = 0; j < sizeof(used) / sizeof(used[0]); j++)
			CHECK(starts_at(prods[i], prods[i] - used[j]));
	return true;
}

/* It says that it takes 4 GiB.  A program that believes it must not harm itself. */
static bool huge_message(void)
{
	struct iovec message = {.iov_len = HUGE_MESSAGE};
	struct scene s;

	message.iov_base = mmap(
		NULL, HUGE_MESSAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(message.iov_base != MAP_FAILED);
	scene_open(&s);
	attacker_serve(&s.x, VICTIM);
	s.x.page->max_msg = UINT32_MAX;
	attacker_turn(&s.x);
	for (size_t cut = 0; cut < 16; cut++) {
		message.iov_len = HUGE_MESSAGE - cut;
		CHECK_IS(sivc_send_many(s.victim.ep, ATTACKER, &message, 1), -EMSGSIZE);
		CHECK_IS(sivc_writable(s.victim.ep, ATTACKER, message.iov_len), -EMSGSIZE);
	}
	CHECK(others_go_on(&s));
	scene_close(&s);
	return true;
}

/* It breaks the protocol and starts anew, again and again: the log says it now and then. */
static bool breaches_again_and_again(void)
{
	struct scene s;

	CHECK(scene_serve(&s));
	for (int i = 0; i < 200; i++) {
		while (send_to_attacker(&s) == 0)
			;
		s.x.page->cons = s.x.ctl->prod + 8;
		send_to_attacker(&s);
		s.x.ctl->prod = 0;
		s.x.ring_nonce++;
		attacker_permit(&s.x);
	}
	printf("# %u lines in the log\n", s.victim.warnings);
	CHECK(s.victim.warnings <= 20);
	CHECK(others_go_on(&s));
	scene_close(&s);
	return true;
}

/* Those who wait. */

static void on_done(struct sending *sending, int error)
{
	(void)sending;
	(void)error;
}

static bool scene_fill(struct scene *s)
{
	CHECK(scene_serve(s));
	while (send_to_attacker(s) == 0)
		;
	return true;
}

static bool begin_to_wait(struct scene *s, struct sending *sending)
{
	static const struct iovec message = {(void *)(uintptr_t) "message", 8};

	*sending = (struct sending){.messages = &message, .count = 1, .done = on_done};
	CHECK_IS(send_start(s->victim.ep, ATTACKER, sending), -EINPROGRESS);
	return true;
}

static bool scene_wait(struct scene *s, struct sending *sending)
{
	return scene_fill(s) && begin_to_wait(s, sending);
}

/* It waits while the page is being changed, which no event tells the end of. */
static bool settles_for_who_waits(void)
{
	struct sending sending;
	struct scene s;

	CHECK(scene_serve(&s));
	s.x.page->seq = s.x.seq + 1;
	CHECK(begin_to_wait(&s, &sending));
	house_live(&s.victim, 20);
	CHECK(sending.handle);
	attacker_turn(&s.x);
	house_live(&s.victim, 200);
	CHECK(!sending.handle);
	CHECK_IS(sending.sent, 1);
	scene_close(&s);
	return true;
}

/* XSA-332: events that bring no room. */
static bool flood_at_a_waiting_sender(void)
{
	struct sending sending;
	struct scene s;
	uint64_t end;

	CHECK(scene_wait(&s, &sending));
	for (end = now_ms() + 500; now_ms() < end;) {
		hv_port_notify(s.x.port);
		sivc_wait(s.victim.sivc, 1);
	}
	printf("# %llu wake-ups in 500 ms\n",
		(unsigned long long)s.victim.ep->counters.send_wakeups);
	CHECK(s.victim.ep->counters.send_wakeups <= 600);
	CHECK(others_go_on(&s));
	attacker_take(&s.x);
	house_live(&s.victim, 50);
	CHECK(!sending.handle); /* room is found all the same */
	scene_close(&s);
	return true;
}

static bool flood_at_nobody(void)
{
	struct sending sending;
	struct pollfd fd;
	struct scene s;
	int woken = 0;

	CHECK(scene_wait(&s, &sending));
	send_cancel(&sending);
	house_live(&s.victim, 20);
	fd = (struct pollfd){sivc_fd(s.victim.sivc), POLLIN, 0};
	for (int i = 0; i < 1000; i++) {
		hv_port_notify(s.x.port);
		woken += poll(&fd, 1, 0);
		sivc_dispatch(s.victim.sivc);
	}
	CHECK(woken <= 1);
	scene_close(&s);
	return true;
}

static void turn_for_ever(struct attacker *x, uint64_t *random)
{
	(void)random;
	attacker_turn(x);
	for (volatile int i = 0; i < 100; i++)
		;
}

static void turn_without_rest(struct attacker *x, uint64_t *random)
{
	(void)random;
	attacker_turn(x);
}

/* The page changes all the time, and a sender waits. */
static bool page_never_rests(void (*scribble)(struct attacker *x, uint64_t *random))
{
	struct sending sending;
	struct scribbler scribbler = {.scribble = scribble};
	uint64_t start, longest = 0;
	struct scene s;

	CHECK(scene_wait(&s, &sending));
	scribbler.x = &s.x;
	scribbler_start(&scribbler);
	for (int i = 0; i < 50 && longest <= CALL_US; i++) {
		hv_port_notify(s.x.port);
		start = used_us();
		sivc_wait(s.victim.sivc, 1);
		send_to_attacker(&s);
		longest = used_us() - start > longest ? used_us() - start : longest;
	}
	scribbler_stop(&scribbler);
	printf("# the longest call took %llu us; %u lines in the log\n",
		(unsigned long long)longest, s.victim.warnings);
	CHECK(longest <= CALL_US);
	CHECK(s.victim.warnings <= 10);
	CHECK(others_go_on(&s));
	scene_close(&s);
	return true;
}

static bool page_changes_all_the_time(void)
{
	return page_never_rests(turn_for_ever);
}

static bool page_changes_as_fast_as_it_can(void)
{
	return page_never_rests(turn_without_rest);
}

/*
 * The victim looks out for room itself while a batch is under way; what it finds instead is no
 * reason to go on looking.
 */
static bool looks_out_for_nothing(void (*scribble)(struct attacker *x, uint64_t *random))
{
	struct sending sending;
	struct scribbler scribbler = {.scribble = scribble};
	struct scene s;
	uint64_t used;

	CHECK(scene_fill(&s));
	s.victim.sivc->spin.allowed = true;
	CHECK(begin_to_wait(&s, &sending));
	scribbler.x = &s.x;
	scribbler_start(&scribbler);
	used = used_us();
	house_live(&s.victim, 500);
	used = used_us() - used;
	scribbler_stop(&scribbler);
	printf("# %llu us of 500 ms\n", (unsigned long long)used);
	CHECK(used <= 2 * CALL_US);
	CHECK(others_go_on(&s));
	scene_close(&s);
	return true;
}

static void turn_now_and_then(struct attacker *x, uint64_t *random)
{
	(void)random;
	attacker_turn(x);
	for (volatile int i = 0; i < 5000; i++)
		;
}

static bool page_turns_at_a_lookout(void)
{
	return looks_out_for_nothing(turn_now_and_then);
}

static void be_odd(struct attacker *x, uint64_t *random)
{
	(void)random;
	__atomic_store_n(&x->page->seq, x->seq + 1, __ATOMIC_SEQ_CST);
	usleep(1000);
}

static bool page_is_odd_at_a_lookout(void)
{
	return looks_out_for_nothing(be_odd);
}

/* Odd most of the time, so that it is just when a message was published. */
static void odd_then_even(struct attacker *x, uint64_t *random)
{
	(void)random;
	x->seq += 2;
	__atomic_store_n(&x->page->seq, x->seq, __ATOMIC_SEQ_CST);
	for (volatile int i = 0; i < 200; i++)
		;
	__atomic_store_n(&x->page->seq, x->seq + 1, __ATOMIC_SEQ_CST);
	for (volatile int i = 0; i < 200; i++)
		;
}

/* A message of which it cannot be known yet whether it went: there is none after it to look at. */
static bool last_message_is_in_doubt(void)
{
	struct scribbler scribbler = {.scribble = odd_then_even};
	struct sending sending;
	struct iovec *message;
	unsigned int doubts = 0;
	struct scene s;

	CHECK(scene_serve(&s));
	message = malloc(sizeof(*message));
	*message = (struct iovec){(void *)(uintptr_t) "message", 8};
	s.victim.sivc->spin.allowed = true;
	scribbler.x = &s.x;
	scribbler_start(&scribbler);
	for (uint64_t end = now_ms() + 1000; now_ms() < end;) {
		attacker_take(&s.x);
		sending = (struct sending){.messages = message, .count = 1, .done = on_done};
		if (send_start(s.victim.ep, ATTACKER, &sending) != -EINPROGRESS)
			continue;
		doubts += sending.handle->in_doubt;
		sivc_wait(s.victim.sivc, 1);
		send_cancel(&sending);
	}
	scribbler_stop(&scribbler);
	free(message);
	printf("# %u times in doubt\n", doubts);
	CHECK(others_go_on(&s));
	scene_close(&s);
	return true;
}

/* What one finds out who does not wait, they are told who do; no event tells them. */
static void on_told(struct waiter *waiter)
{
	(void)waiter;
}

static bool who_waits_is_told(void (*spoil)(struct attacker *x), int error)
{
	struct waiter waiter = {.fn = on_told};
	struct scene s;

	CHECK(scene_fill(&s));
	CHECK_IS(wait_send(s.victim.ep, ATTACKER, 8, &waiter), 0);
	spoil(&s.x);
	CHECK_IS(send_to_attacker(&s), error);
	house_run(&s.victim);
	CHECK(!waiter.handle);
	scene_close(&s);
	return true;
}

static void run_ahead(struct attacker *x)
{
	x->page->cons = x->ctl->prod + 8;
}

static bool who_waits_is_told_of_a_breach(void)
{
	return who_waits_is_told(run_ahead, -EPROTO);
}

static void die(struct attacker *x)
{
	x->ctl->receiver_alive = 0;
}

static bool who_waits_is_told_of_an_end(void)
{
	return who_waits_is_told(die, -EPIPE);
}

/* The first of two who poll takes the second off the list, as a program may. */
struct poller {
	struct waiter waiter;
	struct poller *other;
	int calls;
};

static void cancel_other(struct waiter *waiter)
{
	struct poller *poller = (struct poller *)waiter;

	poller->calls++;
	wait_cancel(&poller->other->waiter);
}

static bool waiter_cancels_the_next(void)
{
	struct poller a = {.waiter.fn = cancel_other}, b = {.waiter.fn = cancel_other};
	struct scene s;

	a.other = &b;
	b.other = &a;
	CHECK(scene_serve(&s));
	while (send_to_attacker(&s) == 0)
		;
	CHECK_IS(wait_send(s.victim.ep, ATTACKER, 8, &a.waiter), 0);
	CHECK_IS(wait_send(s.victim.ep, ATTACKER, 8, &b.waiter), 0);
	attacker_take(&s.x);
	house_run(&s.victim);
	CHECK_IS(a.calls, 1);
	CHECK_IS(b.calls, 0);
	scene_close(&s);
	return true;
}

int main(void)
{
	holds("a node that is not what we write ourselves permits nothing", nodes);
	holds("a node that names another's page permits nothing", node_names_others_pages);
	holds("a page with another magic number is a breach", magic);
	holds("a page whose nonce changes is a breach", page_nonce);
	holds("a page of an unknown version is a breach", version);
	holds("an unknown verdict is a breach", verdict);
	holds("absurd numbers of pages are a breach", geometry);
	holds("a permission for messages of 0 bytes is a breach", max_msg);
	holds("a bogus reference of the control page is a breach", ctl_reference);
	holds("references of which one is bogus are a breach", half_valid_references);
	holds("references that may only be read are a breach", read_only_reference);
	holds("a bogus event channel is a breach", port);
	holds("a ring that is one page many times does us no harm", aliased_references);
	holds("a sequence number that is odd for ever is an error, and no hang",
		seq_is_odd_for_ever);
	holds("a page that is being changed when it is first seen is followed when it has settled",
		unsettled_at_first_sight);
	holds("also if that took so long that it was taken for hostile",
		unsettled_too_long_at_first_sight);
	holds("a receiver that has read what was not sent is in breach", index_ahead);
	holds("a receiver whose index runs backwards is in breach", index_behind);
	holds("a receiver that gives back parts of units gets aligned frames", index_unaligned);
	holds("a ring may begin anywhere; what is written stays in it", ring_starts_anywhere);
	holds("a receiver that takes 4 GiB gets no message that overflows", huge_message);
	holds("one that breaks the protocol again and again does not fill the log",
		breaches_again_and_again);
	holds("who waits goes on when a page has settled, without an event", settles_for_who_waits);
	holds("a flood of events at a sender that waits is bounded", flood_at_a_waiting_sender);
	holds("a flood of events at nobody wakes the process once", flood_at_nobody);
	holds("a page that changes all the time holds nobody up", page_changes_all_the_time);
	holds("nor does one that changes as fast as it can", page_changes_as_fast_as_it_can);
	holds("a page that changes does not keep one busy who looks out for room",
		page_turns_at_a_lookout);
	holds("nor does one that is never settled", page_is_odd_at_a_lookout);
	holds("a page that is being changed when a message was published is waited for",
		last_message_is_in_doubt);
	holds("of a breach that one finds who does not wait, those hear who do",
		who_waits_is_told_of_a_breach);
	holds("and of an end", who_waits_is_told_of_an_end);
	holds("who polls may take another who polls off the list", waiter_cancels_the_next);
	return done_testing();
}
