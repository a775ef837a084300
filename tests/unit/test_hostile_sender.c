/* SPDX-License-Identifier: MIT */
/*
 * What a domain that may send to us can do to us: nothing.  It has a ring and an event channel, and
 * writes what it likes into the one and signals the other as fast as it can.
 */
#include "hostile.h"

#include <limits.h>

/* The victim's answer to what is in the attacker's ring now. */
static ssize_t look(struct scene *s)
{
	char buffer[MAX_MSG];

	return receive(&s->victim, ATTACKER, buffer, sizeof(buffer));
}

/* After a breach: an error, told once; the ring is gone, and nobody else has noticed. */
static bool is_breach(struct scene *s)
{
	struct page_view view;

	CHECK_IS(look(s), -EPROTO);
	CHECK_IS(look(s), -EPROTO);
	CHECK_IS(receive(&s->victim, SIVC_ANY, NULL, 0), -EAGAIN);
	CHECK_IS(s->victim.ep->counters.breaches, 1);
	CHECK_IS(s->victim.warnings, 1);
	CHECK_IS(page_read(s->x.page, s->x.nonce, &view), 0);
	CHECK_IS(view.verdict, SIVC_VERDICT_REFUSED);
	CHECK_IS(view.ctl_ref + view.port + view.ring_pages, 0);
	CHECK(others_go_on(s));
	/* Allowed again by a local user, it begins anew. */
	CHECK_IS(sivc_refuse(s->victim.ep, ATTACKER), 0);
	CHECK_IS(sivc_permit(s->victim.ep, ATTACKER), 0);
	CHECK_IS(look(s), -EAGAIN);
	CHECK(others_go_on(s));
	scene_close(s);
	return true;
}

static bool scene_link_ring(struct scene *s, uint32_t ring)
{
	scene_open_ring(s, ring);
	CHECK(attacker_link(&s->x, VICTIM));
	s->x.ctl->sender_alive = 1;
	return true;
}

static bool scene_link(struct scene *s)
{
	return scene_link_ring(s, RING);
}

/* Its index is at 64, which is known, and then it is at this. */
static bool index_is_breach(uint32_t prod)
{
	struct scene s;

	CHECK(scene_link(&s));
	for (int i = 0; i < 4; i++)
		attacker_send(&s.x, "message", 8);
	CHECK_IS(look(&s), 8);
	s.x.ctl->prod = prod;
	for (int i = 0; i < 3; i++)
		CHECK_IS(look(&s), 8); /* what was seen already is still good */
	return is_breach(&s);
}

static bool index_too_far(void)
{
	return index_is_breach(64 + RING + 8);
}

static bool index_half_way_round(void)
{
	return index_is_breach(0x80000000u);
}

static bool index_backwards(void)
{
	return index_is_breach(56);
}

static bool index_unaligned(void)
{
	return index_is_breach(64 + 13);
}

static bool index_within_a_header(void)
{
	return index_is_breach(64 + 4);
}

/* A frame with this header, of which `size` bytes are there. */
static bool frame_is_breach(uint32_t length, uint32_t flags, uint32_t size)
{
	struct scene s;

	CHECK(scene_link(&s));
	attacker_put(&s.x, length, flags, NULL, size);
	attacker_publish(&s.x);
	return is_breach(&s);
}

static bool lengths(void)
{
	static const uint32_t bad[] = {0, 17, 1024, RING - 8, RING - 7, RING, 0x7FFFFFFFu,
		0x80000000u, 0xFFFFFFF0u, 0xFFFFFFF8u, 0xFFFFFFF9u, 0xFFFFFFFFu};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(frame_is_breach(bad[i], WHOLE, 16));
	return true;
}

static bool flags(void)
{
	for (uint32_t bit = 4; bit != 0; bit <<= 1)
		CHECK(frame_is_breach(16, WHOLE | bit, 16));
	return true;
}

static bool middle_without_first(void)
{
	return frame_is_breach(16, 0, 16) && frame_is_breach(16, SIVC_FRAME_LAST, 16);
}

/* The victim takes at most 8 KiB, and its ring is larger. */
static bool too_long_whole(void)
{
	struct scene s;

	CHECK(scene_link(&s));
	s.victim.sivc->max_msg = 8192;
	attacker_put(&s.x, 8193, WHOLE, NULL, 8193);
	attacker_publish(&s.x);
	return is_breach(&s);
}

static bool too_long_in_pieces(void)
{
	struct inbound *in;
	struct scene s;
	ssize_t r = -EAGAIN;
	uint32_t sent = 0;

	CHECK(scene_link(&s));
	in = receiver_find(s.victim.ep, ATTACKER);
	while (r == -EAGAIN && sent < 4 * MAX_MSG) {
		attacker_put(&s.x, 1000, sent == 0 ? SIVC_FRAME_FIRST : 0, NULL, 1000);
		attacker_publish(&s.x);
		sent += 1000;
		r = look(&s);
		CHECK(in->assembly.capacity <= 2 * MAX_MSG);
	}
	CHECK_IS(r, -EPROTO);
	CHECK(sent > MAX_MSG && sent <= MAX_MSG + 1000);
	CHECK(!in->assembly.message);
	return is_breach(&s);
}

/* The header is changed between the look at it and the taking of the message. */
static bool header_changes_after_the_look(void)
{
	struct sivc_message message;
	struct scene s;

	CHECK(scene_link(&s));
	attacker_send(&s.x, "the first", 9);
	attacker_send(&s.x, "the second", 10);
	CHECK_IS(sivc_peek(s.victim.ep, ATTACKER, &message), 0);
	*(struct sivc_frame *)(void *)s.x.data = (struct sivc_frame){0xFFFFFFFFu, 0xFFFFFFFFu};
	s.x.ctl->prod = 0x12345678;
	CHECK_IS(message.length, 9);
	sivc_consume(s.victim.ep, &message);
	CHECK_IS(look(&s), 10);
	return is_breach(&s);
}

/* The message that was looked at is in breach when it is looked at again, and is taken then. */
static bool taken_after_a_breach(void)
{
	struct sivc_message message;
	struct scene s;

	CHECK(scene_link(&s));
	attacker_send(&s.x, "message", 8);
	CHECK_IS(sivc_peek(s.victim.ep, ATTACKER, &message), 0);
	((struct sivc_frame *)(void *)s.x.data)->flags = 0xFFFFFFFFu;
	CHECK_IS(sivc_queued(s.victim.ep, ATTACKER, NULL), 0);
	sivc_consume(s.victim.ep, &message);
	CHECK(others_go_on(&s));
	scene_close(&s);
	return true;
}

static bool stale_bytes(void)
{
	char buffer[64], expected[64];
	struct scene s;

	CHECK(scene_link(&s));
	memset(buffer, 'S', sizeof(buffer));
	attacker_send(&s.x, buffer, sizeof(buffer));
	CHECK_IS(receive(&s.victim, ATTACKER, buffer, sizeof(buffer)), sizeof(buffer));
	memset(buffer, '-', sizeof(buffer));
	memset(expected, '-', sizeof(expected));

	attacker_send(&s.x, "x", 1);
	CHECK_IS(receive(&s.victim, ATTACKER, buffer, sizeof(buffer)), 1);
	expected[0] = 'x';
	CHECK(memcmp(buffer, expected, sizeof(buffer)) == 0);

	attacker_put(&s.x, 3, SIVC_FRAME_FIRST, "abc", 3);
	attacker_put(&s.x, 2, SIVC_FRAME_LAST, "de", 2);
	attacker_publish(&s.x);
	CHECK_IS(receive(&s.victim, ATTACKER, buffer, sizeof(buffer)), 5);
	memcpy(expected, "abcde", 5);
	CHECK(memcmp(buffer, expected, sizeof(buffer)) == 0);
	scene_close(&s);
	return true;
}

/* The attacker's own word about who it is does not exist; its channel is. */
static bool sender_is_the_channel(void)
{
	char buffer[8];
	uint16_t sender = 0;
	struct scene s;

	CHECK(scene_link(&s));
	attacker_send(&s.x, "from 2", 6);
	CHECK_IS(sivc_receive(s.victim.ep, SIVC_ANY, buffer, sizeof(buffer), &sender, SIVC_NOWAIT),
		6);
	CHECK_IS(sender, ATTACKER);
	scene_close(&s);
	return true;
}

/* The victim's pages are where the attacker has been told; it may not write to the table. */
static bool table_is_read_only(void)
{
	struct scene s;
	void *memory;
	int status;
	pid_t pid;

	CHECK(scene_link(&s));
	CHECK_IS(hv_map(s.x.hv, VICTIM, 1, &s.x.page_ref, true, NULL, &memory), -EINVAL);
	pid = fork();
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		s.x.page->verdict = SIVC_VERDICT_PERMITTED;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	CHECK(status != 0);
	scene_close(&s);
	return true;
}

/* What was revoked is not read again, whatever is written to it. */
static bool revoked_ring_is_not_read(void)
{
	struct scene s;
	char buffer[16];

	CHECK(scene_link(&s));
	attacker_send(&s.x, "before", 6);
	CHECK_IS(sivc_refuse(s.victim.ep, ATTACKER), 0);
	attacker_send(&s.x, "after", 5);
	CHECK_IS(receive(&s.victim, SIVC_ANY, buffer, sizeof(buffer)), 6);
	CHECK_IS(receive(&s.victim, SIVC_ANY, buffer, sizeof(buffer)), -EAGAIN);
	CHECK_IS(sivc_permit(s.victim.ep, ATTACKER), 0);
	attacker_send(&s.x, "old ring", 8);
	CHECK_IS(receive(&s.victim, SIVC_ANY, buffer, sizeof(buffer)), -EAGAIN);
	CHECK(others_go_on(&s));
	scene_close(&s);
	return true;
}

/* Who is refused has no event channel: it wakes nobody, also one that reads. */
static void ignore(struct waiter *waiter)
{
	(void)waiter;
}

static bool refused_wakes_nobody(void)
{
	struct waiter waiter = {.fn = ignore};
	struct pollfd fd;
	struct scene s;

	CHECK(scene_link(&s));
	CHECK_IS(wait_receive(s.victim.ep, SIVC_ANY, &waiter), 0);
	CHECK_IS(sivc_refuse(s.victim.ep, ATTACKER), 0);
	house_live(&s.victim, 20);
	fd = (struct pollfd){sivc_fd(s.victim.sivc), POLLIN, 0};
	for (int i = 0; i < 1000; i++) {
		attacker_send(&s.x, "let me in", 9);
		CHECK_IS(poll(&fd, 1, 0), 0);
	}
	CHECK_IS(s.victim.ep->counters.receive_wakeups, 0);
	wait_cancel(&waiter);
	scene_close(&s);
	return true;
}

/* Nobody reads: it may wake the process once, not again. */
static bool flood_without_readers(void)
{
	struct pollfd fd;
	struct scene s;
	int woken = 0;

	CHECK(scene_link(&s));
	house_live(&s.victim, 20);
	fd = (struct pollfd){sivc_fd(s.victim.sivc), POLLIN, 0};
	for (int i = 0; i < 1000; i++) {
		if (s.x.prod < RING / 2)
			attacker_put(&s.x, 8, WHOLE, "message", 8);
		attacker_publish(&s.x);
		woken += poll(&fd, 1, 0);
		sivc_dispatch(s.victim.sivc);
	}
	CHECK(woken <= 1);
	scene_close(&s);
	return true;
}

/* Somebody reads, and all that comes are events.  XSA-332, XSA-391. */
static bool flood_with_a_reader(void)
{
	struct waiter waiter = {.fn = ignore};
	struct scene s;
	uint64_t end;

	CHECK(scene_link(&s));
	CHECK_IS(wait_receive(s.victim.ep, SIVC_ANY, &waiter), 0);
	for (end = now_ms() + 500; now_ms() < end;) {
		hv_port_notify(s.x.port);
		sivc_wait(s.victim.sivc, 1);
	}
	printf("# %llu wake-ups in 500 ms\n",
		(unsigned long long)s.victim.ep->counters.receive_wakeups);
	CHECK(s.victim.ep->counters.receive_wakeups <=
		600); /* a storm would be tens of thousands */
	CHECK_IS(send_bytes(&s.friend, VICTIM, "x", 1), 0);
	house_run(&s.victim);
	CHECK(!waiter.handle); /* the friend's message is there at once */
	scene_close(&s);
	return true;
}

/* After the flood the attacker's own messages arrive, too: the penalty ends. */
static bool flood_ends(void)
{
	struct waiter waiter = {.fn = ignore};
	struct scene s;

	CHECK(scene_link(&s));
	CHECK_IS(wait_receive(s.victim.ep, SIVC_ANY, &waiter), 0);
	for (int i = 0; i < 1000; i++) {
		hv_port_notify(s.x.port);
		house_run(&s.victim);
	}
	attacker_send(&s.x, "honest now", 10);
	house_live(&s.victim, 50);
	CHECK(!waiter.handle);
	CHECK_IS(look(&s), 10);
	scene_close(&s);
	return true;
}

/* What each of its messages may cost us for nothing besides is one wake-up. */
static bool flood_between_messages(void)
{
	struct waiter waiter = {.fn = ignore};
	uint64_t start = now_ms(), most;
	unsigned int messages = 100;
	struct scene s;

	CHECK(scene_link(&s));
	for (unsigned int i = 0; i < messages; i++) {
		CHECK_IS(wait_receive(s.victim.ep, SIVC_ANY, &waiter), 0);
		for (int j = 0; j < 100; j++) {
			hv_port_notify(s.x.port);
			house_run(&s.victim);
		}
		attacker_send(&s.x, "message", 8);
		while (waiter.handle)
			house_live(&s.victim, 1);
		CHECK_IS(look(&s), 8);
	}
	most = 2 * messages + IDLE_EVENTS_MAX + 2 + (now_ms() - start) / IDLE_EVENT_MS;
	printf("# %llu wake-ups for %u messages\n",
		(unsigned long long)s.victim.ep->counters.receive_wakeups, messages);
	CHECK(s.victim.ep->counters.receive_wakeups <= most);
	scene_close(&s);
	return true;
}

/* A reader that is faster than the sender is woken by the beginning of each, which is nothing yet.
 */
static bool beginnings_that_have_an_end(void)
{
	struct waiter waiter = {.fn = ignore};
	char buffer[16];
	struct scene s;

	CHECK(scene_link(&s));
	for (int i = 0; i < 4 * IDLE_EVENTS_MAX; i++) {
		CHECK_IS(wait_receive(s.victim.ep, SIVC_ANY, &waiter), 0);
		attacker_put(&s.x, 4, SIVC_FRAME_FIRST, "fini", 4);
		attacker_publish(&s.x);
		house_run(&s.victim);
		CHECK(!channel_paused(&receiver_find(s.victim.ep, ATTACKER)->channel));
		attacker_put(&s.x, 4, SIVC_FRAME_LAST, "shed", 4);
		attacker_publish(&s.x);
		house_run(&s.victim);
		CHECK(!waiter.handle);
		CHECK_IS(receive(&s.victim, SIVC_ANY, buffer, sizeof(buffer)), 8);
	}
	scene_close(&s);
	return true;
}

static uint32_t draw(uint64_t *random)
{
	*random = *random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*random >> 32);
}

/*
 * Messages that are begun again and again, and never end.  The ring is full of such beginnings, so
 * that all there is to do is to say, again and again, that it is.
 */
#define LARGE_RING 1048576u

static void fill_with_beginnings(struct attacker *x)
{
	while (x->prod < x->size)
		attacker_put(x, 8, SIVC_FRAME_FIRST, "12345678", 8);
}

static void begin_for_ever(struct attacker *x, uint64_t *random)
{
	uint32_t cons = __atomic_load_n(&x->page->cons, __ATOMIC_ACQUIRE);

	(void)random;
	__atomic_store_n(&x->ctl->prod, cons + x->size, __ATOMIC_RELEASE);
}

static bool messages_that_never_end(void)
{
	struct scribbler scribbler = {.scribble = begin_for_ever};
	uint64_t end, start, longest = 0;
	struct scene s;
	char buffer[16];
	bool others;

	CHECK(scene_link_ring(&s, LARGE_RING));
	scribbler.x = &s.x;
	fill_with_beginnings(&s.x);
	scribbler_start(&scribbler);
	for (end = now_ms() + 1000; now_ms() < end && longest <= CALL_US;) {
		hv_port_notify(s.x.port);
		start = used_us();
		receive(&s.victim, SIVC_ANY, buffer, sizeof(buffer));
		longest = used_us() - start > longest ? used_us() - start : longest;
	}
	others = others_go_on(&s);
	scribbler_stop(&scribbler);
	printf("# the longest call took %llu us\n", (unsigned long long)longest);
	CHECK(longest <= CALL_US);
	CHECK(others);
	scene_close(&s);
	return true;
}

/*
 * The same while a reader waits: the process rests in between, whatever the machine could do. Eight
 * beginnings are looked at, then it rests for 8 ms at least.
 */
static bool messages_that_never_end_with_a_reader(void)
{
	struct waiter waiter = {.fn = ignore};
	struct scene s;
	uint64_t end, beginnings;

	CHECK(scene_link(&s));
	fill_with_beginnings(&s.x);
	CHECK_IS(wait_receive(s.victim.ep, SIVC_ANY, &waiter), 0);
	for (end = now_ms() + 500; now_ms() < end;) {
		begin_for_ever(&s.x, NULL);
		hv_port_notify(s.x.port);
		sivc_wait(s.victim.sivc, 1);
	}
	beginnings = s.x.page->cons / ring_span(8);
	printf("# %llu beginnings in half a second\n", (unsigned long long)beginnings);
	CHECK(beginnings >= 8 && beginnings <= 1000);
	wait_cancel(&waiter);
	scene_close(&s);
	return true;
}

/*
 * A caller who waits lends his buffer, as sivc_receive does.
 */

struct lender {
	struct sivc_endpoint *ep;
	char buffer[2 * RING];
	struct loan loan;
	size_t length; /* of the message that he was given; 0: none yet */
	bool in_place;
	bool takes; /* it, out of the queue */
	struct sivc_unread *taken;
};

static void on_lent(void *data, int r, const struct sivc_message *message)
{
	struct lender *lender = data;

	if (r < 0)
		return;
	lender->length = message->length;
	lender->in_place = message->iov[0].iov_base == lender->buffer;
	if (lender->takes) {
		sivc_take(lender->ep, message, &lender->taken);
		return;
	}
	if (!lender->in_place) {
		inbound_loan_end(&lender->loan);
		memcpy(lender->buffer, message->iov[0].iov_base, message->iov[0].iov_len);
	}
	sivc_consume(lender->ep, message);
}

/* Eight bytes of a message of sixteen. */
static void piece_sent(struct attacker *x, uint32_t flags, const char *bytes)
{
	attacker_put(x, 8, flags, bytes, 8);
	attacker_publish(x);
	hv_port_notify(x->port);
}

static void piece_arrives(struct scene *s, uint32_t flags, const char *bytes)
{
	piece_sent(&s->x, flags, bytes);
	house_run(&s->victim);
}

static bool lent(struct scene *s, struct lender *lender, size_t size)
{
	struct sivc_waiter *waiter;

	CHECK(scene_link(s));
	*lender = (struct lender){.ep = s->victim.ep};
	lender->loan = (struct loan){.bytes = (uint8_t *)lender->buffer, .size = size};
	CHECK_IS(receiver_wait(s->victim.ep, SIVC_ANY, &lender->loan, on_lent, lender, &waiter), 0);
	piece_arrives(s, SIVC_FRAME_FIRST, "12345678");
	CHECK(lender->loan.unread);
	CHECK(memcmp(lender->buffer, "12345678", 8) == 0);
	return true;
}

static bool put_together(size_t size, bool in_place)
{
	struct lender lender;
	struct scene s;

	CHECK(lent(&s, &lender, size));
	piece_arrives(&s, SIVC_FRAME_LAST, "abcdefgh");
	CHECK_IS(lender.length, 16);
	CHECK_IS(lender.in_place, in_place);
	CHECK(memcmp(lender.buffer, "12345678abcdefgh", 16) == 0);
	CHECK(!lender.loan.unread);
	scene_close(&s);
	return true;
}

static bool put_together_in_place(void)
{
	return put_together(16, true);
}

static bool too_long_for_the_buffer(void)
{
	return put_together(15, false);
}

/* What is kept for it grows meanwhile. */
static bool longer_than_the_ring(void)
{
	struct lender lender;
	struct scene s;
	size_t length = 8;

	CHECK(lent(&s, &lender, sizeof(lender.buffer)));
	for (; length <= RING; length += 8)
		piece_arrives(&s, 0, "middle..");
	CHECK(lender.loan.unread == receiver_find(s.victim.ep, ATTACKER)->assembly.message);
	piece_arrives(&s, SIVC_FRAME_LAST, "abcdefgh");
	CHECK_IS(lender.length, length + 8);
	CHECK(lender.in_place);
	CHECK(memcmp(lender.buffer, "12345678middle..", 16) == 0);
	CHECK(memcmp(lender.buffer + length - 8, "middle..abcdefgh", 16) == 0);
	CHECK(!lender.loan.unread);
	scene_close(&s);
	return true;
}

static bool taken_out_of_it(void)
{
	struct lender lender;
	struct scene s;
	size_t length;

	CHECK(lent(&s, &lender, 16));
	lender.takes = true;
	piece_arrives(&s, SIVC_FRAME_LAST, "abcdefgh");
	CHECK(lender.in_place && lender.taken);
	CHECK(!lender.loan.unread);
	memset(lender.buffer, 'x', sizeof(lender.buffer));
	CHECK(memcmp(sivc_unread_bytes(lender.taken, &length), "12345678abcdefgh", 16) == 0);
	CHECK_IS(length, 16);
	sivc_unread_free(lender.taken);
	scene_close(&s);
	return true;
}

static bool another_comes_first(void)
{
	struct lender lender;
	struct scene s;
	char buffer[32];

	CHECK(lent(&s, &lender, 16));
	CHECK_IS(send_bytes(&s.friend, VICTIM, "friend", 6), 0);
	house_run(&s.victim);
	CHECK_IS(lender.length, 6);
	CHECK(memcmp(lender.buffer, "friend", 6) == 0);
	CHECK(!lender.loan.unread);
	memset(lender.buffer, 'x', sizeof(lender.buffer));
	piece_arrives(&s, SIVC_FRAME_LAST, "abcdefgh");
	CHECK_IS(receive(&s.victim, SIVC_ANY, buffer, sizeof(buffer)), 16);
	CHECK(memcmp(buffer, "12345678abcdefgh", 16) == 0);
	scene_close(&s);
	return true;
}

static bool closed_meanwhile(void)
{
	struct lender lender;
	struct scene s;

	CHECK(lent(&s, &lender, 16));
	scene_close(&s);
	CHECK(!lender.loan.unread);
	return true;
}

/* What happens while sivc_receive waits: a piece arrives, and then the friend's message. */
static struct {
	struct loop_timer timer;
	struct scene *s;
	unsigned int steps;
	bool lent;
} meanwhile;

static void on_meanwhile(struct loop_timer *timer)
{
	struct scene *s = meanwhile.s;

	if (meanwhile.steps++ == 0) {
		piece_sent(&s->x, SIVC_FRAME_FIRST, "12345678");
		loop_timer_set(&s->victim.sivc->loop, timer, 10000000, on_meanwhile);
		return;
	}
	meanwhile.lent = receiver_find(s->victim.ep, ATTACKER)->assembly.message->loan != NULL;
	send_bytes(&s->friend, VICTIM, "friend", 6);
}

static bool receive_lends(void)
{
	char buffer[32];
	struct scene s;

	CHECK(scene_link(&s));
	meanwhile.s = &s;
	loop_timer_set(&s.victim.sivc->loop, &meanwhile.timer, 0, on_meanwhile);
	CHECK_IS(sivc_receive(s.victim.ep, SIVC_ANY, buffer, sizeof(buffer), NULL, 0), 6);
	CHECK(meanwhile.lent);
	CHECK(memcmp(buffer, "friend", 6) == 0);
	memset(buffer, 'x', sizeof(buffer));
	piece_arrives(&s, SIVC_FRAME_LAST, "abcdefgh");
	CHECK_IS(sivc_receive(s.victim.ep, SIVC_ANY, buffer, sizeof(buffer), NULL, 0), 16);
	CHECK(memcmp(buffer, "12345678abcdefgh", 16) == 0);
	scene_close(&s);
	return true;
}

/* A message in a thousand pieces: one turn takes a few of them. */
static bool many_pieces(void)
{
	const struct inbound *in;
	struct scene s;

	CHECK(scene_link(&s));
	in = receiver_find(s.victim.ep, ATTACKER);
	for (uint32_t i = 0; i < RING / ring_span(8); i++)
		attacker_put(&s.x, 8, i == 0 ? SIVC_FRAME_FIRST : 0, "12345678", 8);
	attacker_publish(&s.x);
	CHECK_IS(look(&s), -EAGAIN);
	CHECK(in->assembly.message);
	printf("# %u bytes in a turn\n", in->assembly.message->length);
	CHECK(in->assembly.message->length <= 100 * 8);
	scene_close(&s);
	return true;
}

/*
 * A ring of a thousand turns, all of them pieces of one message that goes on and on.  Whoever looks
 * what there is takes a few turns, and then this process does what else it has to do.
 */
#define TURN_BYTES 512u /* 64 pieces */

static bool scene_pieces(struct scene *s)
{
	CHECK(scene_link_ring(s, LARGE_RING));
	for (uint32_t i = 0; i < LARGE_RING / ring_span(8); i++)
		attacker_put(&s->x, 8, i == 0 ? SIVC_FRAME_FIRST : 0, "12345678", 8);
	attacker_publish(&s->x);
	return true;
}

static bool took_a_few_turns(const struct scene *s)
{
	const struct inbound *in = receiver_find(s->victim.ep, ATTACKER);

	CHECK(in->assembly.message);
	printf("# %u turns\n", in->assembly.message->length / TURN_BYTES);
	CHECK(in->assembly.message->length > TURN_BYTES &&
		in->assembly.message->length <= 2 * TURNS_MAX * TURN_BYTES);
	return true;
}

static bool many_turns(void)
{
	struct waiter own = {.fn = ignore}, any = {.fn = ignore};
	struct scene s;

	CHECK(scene_pieces(&s));
	CHECK_IS(receive(&s.victim, SIVC_ANY, NULL, 0), -EAGAIN);
	CHECK(took_a_few_turns(&s));
	scene_close(&s);

	CHECK(scene_pieces(&s));
	CHECK_IS(wait_receive(s.victim.ep, SIVC_ANY, &any), 0);
	sivc_dispatch(s.victim.sivc);
	CHECK(took_a_few_turns(&s));
	scene_close(&s);

	CHECK(scene_pieces(&s));
	CHECK_IS(wait_receive(s.victim.ep, ATTACKER, &own), 0);
	sivc_dispatch(s.victim.sivc);
	CHECK(took_a_few_turns(&s));
	scene_close(&s);
	return true;
}

/* It has always something; another one, that slept, gets its turn all the same. */
static bool always_ready(void)
{
	struct scene s;
	char buffer[16];
	uint16_t sender = 0;
	int n;

	CHECK(scene_link(&s));
	CHECK_IS(receive(&s.victim, SIVC_ANY, buffer, sizeof(buffer)), -EAGAIN); /* all sleep */
	for (int i = 0; i < 100; i++)
		attacker_send(&s.x, "message", 8);
	CHECK_IS(receive(&s.victim, SIVC_ANY, buffer, sizeof(buffer)), 8);
	CHECK_IS(send_bytes(&s.friend, VICTIM, "x", 1), 0);
	for (n = 0; n < 1000 && sender != FRIEND; n++) {
		attacker_send(&s.x, "message", 8);
		CHECK(sivc_receive(s.victim.ep, SIVC_ANY, buffer, sizeof(buffer), &sender,
			      SIVC_NOWAIT) > 0);
	}
	printf("# after %d messages\n", n);
	CHECK(n <= 40);
	scene_close(&s);
	return true;
}

/* Two attackers, each with a reader of its own. */
static struct attacker *second;

static void begin_both_for_ever(struct attacker *x, uint64_t *random)
{
	begin_for_ever(x, random);
	begin_for_ever(second, random);
}

static bool two_that_never_end(void)
{
	struct waiter own[] = {{.fn = ignore}, {.fn = ignore}};
	struct scribbler scribbler = {.scribble = begin_both_for_ever};
	struct attacker other = {.endpoint = "default"};
	uint64_t start, longest = 0;
	struct scene s;

	CHECK(scene_link_ring(&s, LARGE_RING));
	CHECK_IS(sivc_permit(s.victim.ep, 4), 0);
	CHECK_IS(hv_open(&(struct hv_config){.backend = "local", .domid = 4}, &other.hv), 0);
	CHECK_IS(hv_events_new(other.hv, &other.events), 0);
	CHECK(attacker_link(&other, VICTIM));
	second = &other;
	scribbler.x = &s.x;
	fill_with_beginnings(&s.x);
	fill_with_beginnings(&other);
	CHECK_IS(wait_receive(s.victim.ep, ATTACKER, &own[0]), 0);
	CHECK_IS(wait_receive(s.victim.ep, 4, &own[1]), 0);
	scribbler_start(&scribbler);
	for (int i = 0; i < 200 && longest <= CALL_US; i++) {
		hv_port_notify(s.x.port);
		hv_port_notify(other.port);
		start = used_us();
		sivc_wait(s.victim.sivc, 1);
		longest = used_us() - start > longest ? used_us() - start : longest;
	}
	scribbler_stop(&scribbler);
	printf("# the longest call took %llu us\n", (unsigned long long)longest);
	CHECK(longest <= CALL_US);
	scene_close(&s);
	return true;
}

/*
 * A process that spins before it sleeps.  The attacker has sent a message that nobody wants; the
 * reader of another domain must not be kept from it.
 */
static bool unwanted_message_while_spinning(void)
{
	struct waiter waiter = {.fn = ignore};
	struct scene s;

	CHECK(scene_link(&s));
	s.victim.sivc->spin.allowed = true;
	s.victim.sivc->spin.most = 50;
	attacker_send(&s.x, "unwanted", 8);
	CHECK_IS(wait_receive(s.victim.ep, ATTACKER, &waiter), 0); /* it is ready; */
	loop_run_tasks(&s.victim.sivc->loop);
	CHECK(!waiter.handle); /* poll, say */
	CHECK_IS(wait_receive(s.victim.ep, FRIEND, &waiter), 0);
	sivc_dispatch(s.victim.sivc);
	CHECK_IS(send_bytes(&s.friend, VICTIM, "wanted", 6), 0);
	for (int i = 0; i < 1000; i++)
		sivc_wait(s.victim.sivc, 1);
	CHECK(!waiter.handle);
	scene_close(&s);
	return true;
}

static void count_call(void *data)
{
	++*(int *)data;
}

/*
 * Each time that we look out it has sent one more message, so that nothing is ever waited for. What
 * else this process waits for (the requests of its users, say) is looked at all the same.
 */
static bool message_by_looking_out(struct scene *s, struct waiter *waiter)
{
	loop_run_tasks(&s->victim.sivc->loop); /* there is nothing: it is polled */
	attacker_send(&s->x, "message", 8);
	for (int i = 0; i < 2 && waiter->handle; i++) /* the first may have found something else */
		sivc_wait(s->victim.sivc, 1000);
	CHECK(!waiter->handle);
	CHECK_IS(receive(&s->victim, ATTACKER, NULL, 0), 8);
	CHECK_IS(wait_receive(s->victim.ep, SIVC_ANY, waiter), 0);
	return true;
}

static bool always_something_while_spinning(void)
{
	struct waiter waiter = {.fn = ignore};
	int calls = 0, pipes[2], n;
	struct scene s;

	CHECK(scene_link(&s));
	CHECK_IS(pipe(pipes), 0);
	CHECK_IS(write(pipes[1], "x", 1), 1);
	s.victim.sivc->spin.allowed = true;
	s.victim.sivc->spin.most = 50;
	CHECK_IS(wait_receive(s.victim.ep, SIVC_ANY, &waiter), 0);
	house_run(&s.victim);
	CHECK(message_by_looking_out(&s, &waiter)); /* it slept, and was woken; not again */
	CHECK_IS(sivc_add_fd(s.victim.sivc, pipes[0], POLLIN, count_call, &calls), 0);
	for (n = 0; n < 1000 && calls == 0; n++)
		CHECK(message_by_looking_out(&s, &waiter));
	printf("# after %d messages\n", n);
	CHECK(n > 1 && n <= 40);
	scene_close(&s);
	return true;
}

/* Spinning has not paid, and is not done any more; then answers come at once, and that is seen. */
static bool spins_again(void)
{
	struct waiter waiter = {.fn = ignore};
	struct scene s;

	CHECK(scene_link(&s));
	s.victim.sivc->spin.allowed = true;
	s.victim.sivc->spin.most = 10000;
	s.victim.sivc->spin.now = 0;
	CHECK_IS(wait_receive(s.victim.ep, SIVC_ANY, &waiter), 0);
	for (int i = 0; i < 40; i++)
		CHECK(message_by_looking_out(&s, &waiter));
	CHECK(s.victim.sivc->spin.now > 0);
	wait_cancel(&waiter);
	scene_close(&s);
	return true;
}

/* Who has read, and waits for nothing more, has not asked for a signal. */
static bool nobody_waits_nobody_signals(void)
{
	struct sivc_message message;
	struct scene s;

	CHECK(scene_link(&s));
	s.victim.sivc->spin.allowed = true;
	CHECK_IS(send_bytes(&s.friend, VICTIM, "first", 5), 0);
	house_run(&s.victim);
	CHECK_IS(receive(&s.victim, FRIEND, NULL, 0), 5);
	CHECK_IS(sivc_peek(s.victim.ep, SIVC_ANY, &message), -EAGAIN);
	sivc_wait(s.victim.sivc, 1);
	fake.calls[FAKE_NOTIFY] = 0;
	for (int i = 0; i < 10; i++)
		CHECK_IS(send_bytes(&s.friend, VICTIM, "second", 6), 0);
	CHECK_IS(fake.calls[FAKE_NOTIFY], 0);
	CHECK_IS(receive(&s.victim, FRIEND, NULL, 0), 6);
	scene_close(&s);
	return true;
}

static void look_once(struct house *house)
{
	loop_run(&house->sivc->loop, 0);
	if (!house->sivc->spin.allowed)
		sivc_dispatch(house->sivc);
	else if (spin_look(&house->sivc->spin))
		loop_run_tasks(&house->sivc->loop);
}

static void on_sent(struct sending *sending, int error)
{
	(void)sending;
	(void)error;
}

/*
 * What it is for: a message of many pieces, between two who look out for each other.  Returns how
 * many signals they sent each other for it.
 */
static unsigned long signals_for_a_message(bool may_spin)
{
	static char bytes[MAX_MSG];
	struct iovec message = {bytes, MAX_MSG};
	struct sending sending = {.messages = &message, .count = 1, .done = on_sent};
	struct waiter waiter = {.fn = ignore};
	unsigned long signals;
	struct scene s;

	scene_open_ring(&s, SIVC_RING_MIN);
	s.victim.sivc->spin.allowed = s.friend.sivc->spin.allowed = may_spin;
	s.victim.sivc->spin.most = s.friend.sivc->spin.most = 0;
	if (wait_receive(s.victim.ep, SIVC_ANY, &waiter) < 0 ||
		send_start(s.friend.ep, VICTIM, &sending) != -EINPROGRESS)
		abort();
	for (int i = 0; i < 1000 && (waiter.handle || sending.handle); i++) {
		look_once(&s.victim);
		look_once(&s.friend);
	}
	signals = fake.calls[FAKE_NOTIFY];
	printf("# %lu signals\n", signals);
	if (receive(&s.victim, FRIEND, bytes, sizeof(bytes)) != MAX_MSG)
		signals = ULONG_MAX;
	scene_close(&s);
	return signals;
}

static bool long_message_without_signals(void)
{
	unsigned long asleep = signals_for_a_message(false);

	CHECK(asleep >= MAX_MSG / SIVC_RING_MIN && asleep < ULONG_MAX);
	CHECK(signals_for_a_message(true) <= 2);
	return true;
}

/* Takes what has come, and does not ask for a signal yet: is the rest looked out for? */
static bool looks_out(struct scene *s)
{
	const struct channel *channel;

	loop_run(&s->victim.sivc->loop, 0);
	channel = TAILQ_FIRST(&s->victim.sivc->spin.polled);
	return channel && channel->polled == CHANNEL_IN_MESSAGE;
}

/*
 * In the middle of a long message we look out for the rest, but only if it comes at a fair pace:
 * who brings crumbs cannot keep us awake with them.
 */
static bool crumbs_of_a_message(void)
{
	struct waiter waiter = {.fn = ignore};
	struct scene s;

	CHECK(scene_link(&s));
	s.victim.sivc->spin.allowed = true;
	s.victim.sivc->spin.most = 0;
	CHECK_IS(wait_receive(s.victim.ep, SIVC_ANY, &waiter), 0);
	attacker_put(&s.x, 1000, SIVC_FRAME_FIRST, NULL, 1000);
	attacker_publish(&s.x);
	CHECK(looks_out(&s));
	for (int i = 0; i < 3; i++) {
		sivc_dispatch(s.victim.sivc);
		attacker_put(&s.x, 8, 0, "a crumb.", 8);
		attacker_publish(&s.x);
		looks_out(&s);
	}
	CHECK(!looks_out(&s));
	wait_cancel(&waiter);
	scene_close(&s);
	return true;
}

/* Everything that it may write, at any time, with values that are nearly right. */
static void scribble_all(struct attacker *x, uint64_t *random)
{
	static const uint32_t lengths_[] = {0, 1, 8, 9, 100, RING - 8, RING, 0xFFFFFFFFu};
	uint32_t cons = __atomic_load_n(&x->page->cons, __ATOMIC_RELAXED);
	struct sivc_frame *frame = (void *)(x->data + (cons + draw(random) % 256 * 8) % x->size);
	bool good = draw(random) % 1024 > 0;

	__atomic_store_n(&frame->length, good ? 8 : lengths_[draw(random) % 8], __ATOMIC_RELAXED);
	__atomic_store_n(&frame->flags, good ? WHOLE : draw(random) % 8, __ATOMIC_RELAXED);
	__atomic_store_n(&x->ctl->prod, cons + (draw(random) % (good ? 64 : RING / 4)) * 8,
		__ATOMIC_RELAXED);
	__atomic_store_n(&x->ctl->space_event, cons + draw(random) % 64, __ATOMIC_RELAXED);
	__atomic_store_n(&x->ctl->sender_alive, (uint8_t)draw(random), __ATOMIC_RELAXED);
}

static bool scribbled_upon_while_it_is_read(void)
{
	struct scribbler scribbler = {.scribble = scribble_all};
	struct scene s;
	char buffer[MAX_MSG];
	unsigned int messages = 0, breaches = 0;
	uint64_t end;

	CHECK(scene_link(&s));
	scribbler.x = &s.x;
	/* On a busy machine the other thread may not run before this one has had its time. */
	for (end = now_ms() + 1500; now_ms() < end || breaches == 0;) {
		ssize_t r;

		scribbler_start(&scribbler);
		for (int i = 0; i < 10000; i++) {
			r = receive(&s.victim, ATTACKER, buffer, sizeof(buffer));
			messages += r > 0;
			if (r == -EPROTO)
				break;
			if (i % 16 == 0)
				sivc_queued(s.victim.ep, SIVC_ANY, NULL);
		}
		scribbler_stop(&scribbler);
		breaches += r == -EPROTO;
		CHECK(others_go_on(&s));
		/* Permitted again, it comes again. */
		sivc_refuse(s.victim.ep, ATTACKER);
		while (receive(&s.victim, ATTACKER, buffer, sizeof(buffer)) > 0)
			;
		sivc_permit(s.victim.ep, ATTACKER);
		hv_port_free(s.x.port);
		hv_unmap(s.x.hv, s.x.page, 1);
		hv_unmap(s.x.hv, s.x.ctl, 1);
		hv_unmap(s.x.hv, s.x.data, RING_PAGES);
		CHECK(attacker_link(&s.x, VICTIM));
	}
	printf("# %u messages, %u breaches\n", messages, breaches);
	CHECK(breaches > 0);
	scene_close(&s);
	return true;
}

/* A reader of that domain alone waits when the domain breaks the protocol. */
static bool waiting_reader_is_told(void)
{
	struct waiter waiter = {.fn = ignore};
	struct scene s;

	CHECK(scene_link(&s));
	CHECK_IS(wait_receive(s.victim.ep, ATTACKER, &waiter), 0);
	attacker_put(&s.x, 0, 0xFF, NULL, 8);
	attacker_publish(&s.x);
	house_run(&s.victim);
	CHECK_IS(s.victim.ep->counters.breaches, 1);
	CHECK(!waiter.handle);
	CHECK_IS(look(&s), -EPROTO);
	scene_close(&s);
	return true;
}

/* Rules follow names after a pause, which grows with what that costs. */
static bool becomes(struct house *house, bool permitted)
{
	uint64_t end = now_ms() + 3000;

	while (sivc_permitted(house->ep, ATTACKER) != permitted && now_ms() < end)
		house_live(house, NAMES_PAUSE_MS);
	return sivc_permitted(house->ep, ATTACKER) == permitted;
}

/* It comes and goes under a name that a rule permits, and leaves a full ring each time. */
static bool memory_is_bounded(void)
{
	struct inbound *in;
	struct scene s;
	const struct unread_ring *ring;
	uint64_t kept, most = 0;
	unsigned int messages = 0;
	char bytes[8];

	scene_open(&s);
	fake_name_set("mallory", ATTACKER);
	CHECK_IS(sivc_acl_write(s.victim.ep, "allow friend\nallow mallory\n", 27, true), 0);
	for (int i = 0; i < 10; i++) {
		struct attacker x;

		attacker_open(&x);
		if (!attacker_link(&x, VICTIM))
			break;
		while (x.prod < RING)
			attacker_put(&x, 8, WHOLE, "12345678", 8);
		attacker_publish(&x);
		fake_name_set("mallory", -1);
		CHECK(becomes(&s.victim, false));
		fake_kill(x.hv);
		fake_name_set("mallory", ATTACKER);
		becomes(&s.victim, true); /* if it does */
		in = receiver_find(s.victim.ep, ATTACKER);
		kept = 0;
		TAILQ_FOREACH (ring, &in->rings, link)
			kept++;
		most = kept > most ? kept : most;
	}
	printf("# %llu rings are kept\n", (unsigned long long)most);
	CHECK_IS(most, 2);
	/* It is refused, with a word, until somebody has read and it is allowed again. */
	CHECK(!attacker_link(&s.x, VICTIM));
	CHECK_IS(sivc_permit(s.victim.ep, ATTACKER), -ENOSPC);
	while (receive(&s.victim, SIVC_ANY, bytes, sizeof(bytes)) == 8)
		messages++;
	CHECK_IS(messages, 2 * RING / 16);
	CHECK_IS(sivc_permit(s.victim.ep, ATTACKER), 0);
	CHECK(attacker_link(&s.x, VICTIM));
	scene_close(&s);
	return true;
}

/* It comes and goes as fast as it can, under a name that a rule is about. */
static bool names_change_all_the_time(void)
{
	uint64_t start;
	unsigned long before;
	struct scene s;

	scene_open(&s);
	fake_name_set("mallory", ATTACKER);
	CHECK_IS(sivc_acl_write(s.victim.ep, "allow mallory\n", 14, true), 0);
	before = fake.calls[FAKE_NAMES];
	start = now_ms();
	while (now_ms() - start < 100) {
		fake_name_set("mallory", -1);
		sivc_dispatch(s.victim.sivc);
		fake_name_set("mallory", ATTACKER);
		sivc_dispatch(s.victim.sivc);
	}
	printf("# the names were read %lu times in %llu ms\n", fake.calls[FAKE_NAMES] - before,
		(unsigned long long)(now_ms() - start));
	CHECK(fake.calls[FAKE_NAMES] - before <= 2 + (now_ms() - start) / 20);
	house_live(&s.victim, 60);
	CHECK(sivc_permitted(s.victim.ep, ATTACKER)); /* what they are in the end */
	scene_close(&s);
	return true;
}

/* Who is being told names may ask for some. */
static void resolve_again(void *data, const char *name, uint16_t domid)
{
	uint16_t same;

	if (sivc_resolve(data, name, &same) < 0 || same != domid)
		abort();
}

/* For so long, and until they have just been read (or a second more).  Returns how long that was.
 */
static uint64_t ask_for_nobody(struct sivc *sivc, unsigned int ms)
{
	uint64_t start = now_ms();
	unsigned long reads;
	uint16_t domid;

	do {
		reads = fake.calls[FAKE_NAMES];
		if (sivc_resolve(sivc, "nobody", &domid) != -ENOENT)
			abort();
	} while (now_ms() - start < ms ||
		 (fake.calls[FAKE_NAMES] == reads && now_ms() - start < ms + 1000));
	return now_ms() - start;
}

/*
 * Any user of this domain may ask who has a name, also one that nobody has; xenstored pays for it.
 * Others who ask meanwhile learn of a new name by the next time that they are read.  Permission is
 * by what is so.
 */
static bool users_ask_for_names(void)
{
	unsigned long before, reads;
	struct scene s;
	uint64_t ms, start;
	uint16_t domid = 0;

	scene_open(&s);
	before = fake.calls[FAKE_NAMES];
	ms = ask_for_nobody(s.victim.sivc, 200);
	reads = fake.calls[FAKE_NAMES] - before;
	printf("# the names were read %lu times in %llu ms\n", reads, (unsigned long long)ms);
	CHECK(reads <= 16 + 2 + ms / 25);

	fake_name_set("somebody", ATTACKER);
	CHECK_IS(sivc_acl_write(s.victim.ep, "allow somebody\n", 15, false), 0);
	CHECK(sivc_permitted(s.victim.ep, ATTACKER));
	before = fake.calls[FAKE_NAMES];
	start = now_ms();
	while (sivc_resolve(s.victim.sivc, "somebody", &domid) == -ENOENT)
		CHECK(fake.calls[FAKE_NAMES] == before && now_ms() - start < 1000);
	CHECK_IS(domid, ATTACKER);
	for (int i = 0; i < 100; i++)
		CHECK_IS(sivc_names(s.victim.sivc, resolve_again, s.victim.sivc), 0);
	scene_close(&s);
	return true;
}

/* An error is told to who asks, and is no answer to who asks next. */
static bool names_cannot_be_read(void)
{
	struct scene s;
	uint16_t domid = 0;

	scene_open(&s);
	fake_name_set("somebody", ATTACKER);
	fake.fail_at = 1;
	fake.fail_error = -EIO;
	CHECK_IS(sivc_resolve(s.victim.sivc, "somebody", &domid), -EIO);
	CHECK_IS(fake.failed, FAKE_NAMES);
	CHECK_IS(sivc_resolve(s.victim.sivc, "somebody", &domid), 0);
	CHECK_IS(domid, ATTACKER);
	scene_close(&s);
	return true;
}

int main(void)
{
	holds("an index beyond the ring is a breach", index_too_far);
	holds("an index half way round the numbers is a breach", index_half_way_round);
	holds("an index that runs backwards is a breach", index_backwards);
	holds("an index that is not aligned is a breach", index_unaligned);
	holds("an index in the middle of a header is a breach", index_within_a_header);
	holds("a length that is 0, not there, or overflows is a breach", lengths);
	holds("an unknown flag is a breach", flags);
	holds("a fragment without a beginning is a breach", middle_without_first);
	holds("a message longer than max_msg is a breach", too_long_whole);
	holds("so is one in pieces, as soon as it is too long, and no more is kept",
		too_long_in_pieces);
	holds("a header that changes after it was looked at changes nothing",
		header_changes_after_the_look);
	holds("a message may be taken after its sender's ring was closed", taken_after_a_breach);
	holds("bytes of an older message are never shown", stale_bytes);
	holds("a message's sender is whose channel it came through", sender_is_the_channel);
	holds("the table cannot be written by those it is about", table_is_read_only);
	holds("a revoked ring is not read again", revoked_ring_is_not_read);
	holds("a refused domain wakes nobody, not even a waiting reader", refused_wakes_nobody);
	holds("a flood of messages that nobody reads wakes the process once",
		flood_without_readers);
	holds("a flood of events that bring nothing costs a bounded number of wake-ups",
		flood_with_a_reader);
	holds("after such a flood, messages arrive again", flood_ends);
	holds("messages do not excuse a flood between them", flood_between_messages);
	holds("messages in pieces, one after the other, are no flood", beginnings_that_have_an_end);
	holds("messages that never end hold nobody up", messages_that_never_end);
	holds("nor do they keep the process busy while a reader waits",
		messages_that_never_end_with_a_reader);
	holds("a message in pieces is put together in the buffer of who waits for it",
		put_together_in_place);
	holds("so far as it has room", too_long_for_the_buffer);
	holds("also when it is longer than the ring", longer_than_the_ring);
	holds("and it can be taken out of there", taken_out_of_it);
	holds("and goes on elsewhere when he is given another message", another_comes_first);
	holds("and is gone when its endpoint is closed", closed_meanwhile);
	holds("sivc_receive lends its caller's buffer, and keeps what another message overwrites",
		receive_lends);
	holds("a message in a thousand pieces is taken a few of them at a time", many_pieces);
	holds("a ring full of pieces is looked at for a few turns at a time, by who looks and who "
	      "waits",
		many_turns);
	holds("one that has always something keeps no other asleep", always_ready);
	holds("two such senders, each with a reader, hold nobody up", two_that_never_end);
	holds("an unwanted message keeps nobody from another who spins",
		unwanted_message_while_spinning);
	holds("who always has something keeps us from nothing else while we spin",
		always_something_while_spinning);
	holds("spinning that did not pay is tried again", spins_again);
	holds("who has read and does not wait is not signalled", nobody_waits_nobody_signals);
	holds("a message of many pieces takes no signal for each while both look out for it",
		long_message_without_signals);
	holds("who sends a long message in crumbs is not waited for awake", crumbs_of_a_message);
	holds("memory that is rewritten while it is read does no harm",
		scribbled_upon_while_it_is_read);
	holds("a reader that waits for a domain is told of its breach", waiting_reader_is_told);
	holds("what a domain that comes and goes can make us keep is bounded", memory_is_bounded);
	holds("names that change all the time are looked at now and then",
		names_change_all_the_time);
	holds("users who ask for names all the time have them read now and then",
		users_ask_for_names);
	holds("names that could not be read are read when they are asked for again",
		names_cannot_be_read);
	return done_testing();
}
