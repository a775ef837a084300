/* SPDX-License-Identifier: MIT */
/*
 * Streams beside a domain that does what it likes: as their sender, which puts any frame anywhere,
 * and as their receiver, which says anything of what it has read.
 */
#include "hostile.h"

#include "incoming.h"

#define FIRST SIVC_FRAME_FIRST
#define LAST  SIVC_FRAME_LAST
#define CUT   SIVC_FRAME_CUT

static void ignore(struct waiter *waiter)
{
	(void)waiter;
}

/* The attacker as a sender. */

static bool scene_link(struct scene *s)
{
	scene_open_streams(s);
	CHECK(attacker_link(&s->x, VICTIM));
	s->x.ctl->sender_alive = 1;
	fake_node_set(ATTACKER, s->x.endpoint, VICTIM, "it is there");
	return true;
}

/* Allowed again by a local user. */
static bool scene_renew(struct scene *s)
{
	CHECK_IS(sivc_refuse(s->victim.streams, ATTACKER), 0);
	CHECK_IS(sivc_permit(s->victim.streams, ATTACKER), 0);
	CHECK(attacker_link(&s->x, VICTIM));
	s->x.ctl->sender_alive = 1;
	return true;
}

static void put(struct scene *s, uint32_t flags, const char *bytes)
{
	uint32_t length = (uint32_t)strlen(bytes);

	attacker_put(&s->x, length, flags, bytes, length);
	attacker_publish(&s->x);
}

/* The stream that begins next.  NULL: none does. */
static struct sivc_reader *accept_next(struct scene *s)
{
	struct sivc_message message;
	struct sivc_reader *reader = NULL;

	if (sivc_peek(s->victim.streams, ATTACKER, &message) == 0)
		sivc_stream_accept(s->victim.streams, &message, &reader);
	return reader;
}

/* What is there is `bytes`, which are taken. */
static bool reads(struct sivc_reader *reader, const char *bytes)
{
	struct iovec iov[SIVC_STREAM_IOV];
	size_t at = 0;
	int count;
	ssize_t n = sivc_stream_peek(reader, iov, &count);

	if (n != (ssize_t)strlen(bytes))
		return false;
	for (int i = 0; i < count; at += iov[i++].iov_len)
		if (memcmp(iov[i].iov_base, bytes + at, iov[i].iov_len) != 0)
			return false;
	sivc_stream_consume(reader, (size_t)n);
	return true;
}

/* What there is but bytes: 0, -EAGAIN or an error. */
static ssize_t says(struct sivc_reader *reader)
{
	struct iovec iov[SIVC_STREAM_IOV];
	int count;

	return sivc_stream_peek(reader, iov, &count);
}

/* It ends with r, and says so for ever. */
static bool ends_with(struct sivc_reader *reader, int r)
{
	CHECK_IS(says(reader), r);
	sivc_stream_consume(reader, 0);
	CHECK_IS(says(reader), r);
	sivc_stream_leave(reader);
	return true;
}

/* The ring is closed until it is allowed again; then streams arrive. */
static bool is_breach(struct scene *s)
{
	struct sivc_reader *reader;

	CHECK(!accept_next(s));
	CHECK_IS(s->victim.streams->counters.breaches, 1);
	put(s, FIRST | LAST, "late");
	CHECK(!accept_next(s));
	CHECK(others_go_on(s));
	CHECK(scene_renew(s));
	put(s, FIRST | LAST, "again");
	reader = accept_next(s);
	CHECK(reads(reader, "again") && ends_with(reader, 0));
	scene_close(s);
	return true;
}

static bool begins_without_a_beginning(void)
{
	static const struct {
		uint32_t flags;
		const char *bytes;
	} frames[] = {{LAST, ""}, {LAST, "end"}, {0, "middle"}, {CUT, ""}, {LAST | CUT, ""}};
	struct scene s;

	for (int i = 0; i < 5; i++) {
		CHECK(scene_link(&s));
		put(&s, frames[i].flags, frames[i].bytes);
		CHECK(is_breach(&s));
	}
	return true;
}

static bool goes_on_after_its_end(void)
{
	struct sivc_reader *reader;
	struct scene s;

	CHECK(scene_link(&s));
	put(&s, FIRST | LAST, "whole");
	put(&s, 0, "more");
	reader = accept_next(&s);
	CHECK(reads(reader, "whole") && ends_with(reader, 0));
	return is_breach(&s);
}

static bool bad_marks(void)
{
	static const struct {
		uint32_t flags;
		const char *bytes;
	} frames[] = {
		{FIRST, ""}, {0, ""}, {FIRST | CUT, "x"}, {CUT, "x"}, {8, "x"}, {8 | LAST, ""}};
	struct sivc_reader *reader;
	struct scene s;

	for (int i = 0; i < 6; i++) {
		CHECK(scene_link(&s));
		put(&s, frames[i].flags, frames[i].bytes);
		CHECK(is_breach(&s));
		CHECK(scene_link(&s)); /* and in the middle of one */
		put(&s, FIRST, "begun");
		reader = accept_next(&s);
		CHECK(reads(reader, "begun"));
		put(&s, frames[i].flags, frames[i].bytes);
		CHECK(ends_with(reader, -ECONNRESET));
		CHECK(is_breach(&s));
	}
	return true;
}

static bool beginning_inside(void)
{
	struct sivc_reader *reader;
	struct scene s;

	CHECK(scene_link(&s));
	put(&s, FIRST, "one");
	put(&s, FIRST | LAST, "two");
	reader = accept_next(&s);
	CHECK(reads(reader, "one") && ends_with(reader, -ECONNRESET));
	reader = accept_next(&s);
	CHECK(reads(reader, "two") && ends_with(reader, 0));
	scene_close(&s);
	return true;
}

/* Also one that is cut at once, and by the same mark. */
static bool beginning_that_is_cut(void)
{
	struct sivc_reader *reader;
	struct scene s;

	CHECK(scene_link(&s));
	put(&s, FIRST, "one");
	put(&s, FIRST | CUT, "");
	put(&s, FIRST | LAST, "");
	reader = accept_next(&s);
	CHECK(reads(reader, "one") && ends_with(reader, -ECONNRESET));
	reader = accept_next(&s);
	CHECK(ends_with(reader, -ECONNRESET));
	reader = accept_next(&s);
	CHECK(ends_with(reader, 0));
	CHECK(!accept_next(&s));
	CHECK_IS(s.victim.streams->counters.breaches, 0);
	scene_close(&s);
	return true;
}

static bool both_in_one_mark(void)
{
	struct sivc_reader *reader;
	struct scene s;

	CHECK(scene_link(&s));
	put(&s, FIRST, "one");
	put(&s, LAST | CUT, "");
	put(&s, FIRST | LAST | CUT, "");
	reader = accept_next(&s);
	CHECK(reads(reader, "one") && ends_with(reader, -ECONNRESET));
	reader = accept_next(&s);
	CHECK(ends_with(reader, -ECONNRESET));
	CHECK(!accept_next(&s));
	scene_close(&s);
	return true;
}

/* XSA-155: what a reader was told of the end holds, whatever is in its place a moment later. */
static bool mark_is_rewritten(uint32_t flags, uint32_t after, int r)
{
	struct sivc_reader *reader;
	struct sivc_frame *mark;
	struct scene s;

	CHECK(scene_link(&s));
	put(&s, FIRST, "one");
	reader = accept_next(&s);
	CHECK(reads(reader, "one"));
	mark = (void *)(s.x.data + s.x.prod % s.x.size);
	put(&s, flags, "");
	CHECK_IS(says(reader), r);
	mark->flags = after;
	sivc_stream_consume(reader, 0);
	CHECK(ends_with(reader, r));
	CHECK(others_go_on(&s));
	scene_close(&s);
	return true;
}

static bool marks_are_rewritten(void)
{
	return mark_is_rewritten(LAST, CUT, 0) && mark_is_rewritten(CUT, LAST, -ECONNRESET) &&
	       mark_is_rewritten(CUT, 0, -ECONNRESET);
}

static bool comes_back_after_its_end(void)
{
	struct sivc_reader *reader;
	struct scene s;

	CHECK(scene_link(&s));
	put(&s, FIRST, "one");
	reader = accept_next(&s);
	CHECK(reads(reader, "one"));
	s.x.ctl->sender_alive = 0;
	CHECK_IS(says(reader), -ECONNRESET);
	s.x.ctl->sender_alive = 1;
	put(&s, LAST, "and more");
	sivc_stream_consume(reader, 0);
	CHECK(ends_with(reader, -ECONNRESET));
	return is_breach(&s);
}

/* What it puts into its next ring is not of that stream, also if that was revoked, too. */
static bool goes_on_in_another_ring(void)
{
	struct sivc_reader *reader;
	struct scene s;

	for (int revoked = 0; revoked < 2; revoked++) {
		CHECK(scene_link(&s));
		put(&s, FIRST, "one");
		reader = accept_next(&s);
		CHECK(reads(reader, "one"));
		CHECK(scene_renew(&s));
		put(&s, LAST, "another");
		if (revoked)
			CHECK_IS(sivc_refuse(s.victim.streams, ATTACKER), 0);
		CHECK(ends_with(reader, -ECONNRESET));
		CHECK(!accept_next(&s));
		CHECK(scene_renew(&s));
		put(&s, FIRST | LAST, "next");
		reader = accept_next(&s);
		CHECK(reads(reader, "next") && ends_with(reader, 0));
		scene_close(&s);
	}
	return true;
}

/* A frame becomes shorter than what was read of it, in its ring or as that is revoked. */
static bool frame_shrinks(void)
{
	struct iovec iov[SIVC_STREAM_IOV];
	struct sivc_reader *reader;
	struct scene s;
	int count;

	for (int revoked = 0; revoked < 2; revoked++) {
		CHECK(scene_link(&s));
		put(&s, FIRST, "some bytes");
		reader = accept_next(&s);
		CHECK_IS(sivc_stream_peek(reader, iov, &count), 10);
		sivc_stream_consume(reader, 8);
		((struct sivc_frame *)(void *)s.x.data)->length = 4;
		if (revoked)
			CHECK_IS(sivc_refuse(s.victim.streams, ATTACKER), 0);
		CHECK(ends_with(reader, -ECONNRESET));
		sivc_stream_leave(accept_next(&s)); /* what it has made of it */
		CHECK(revoked || s.victim.streams->counters.breaches == 1);
		CHECK(others_go_on(&s));
		CHECK(scene_renew(&s));
		put(&s, FIRST | LAST, "next");
		while ((reader = accept_next(&s)) != NULL && !reads(reader, "next"))
			sivc_stream_leave(reader);
		CHECK(reader && ends_with(reader, 0));
		scene_close(&s);
	}
	return true;
}

/* A stream that never ends: nothing is kept of it, its reader is told nothing, others go on. */
static bool never_ends(void)
{
	struct waiter waiter = {.fn = ignore};
	struct sivc_reader *reader;
	struct scene s;

	CHECK(scene_link(&s));
	put(&s, FIRST, "begun");
	reader = accept_next(&s);
	CHECK(reads(reader, "begun"));
	for (int i = 0; i < 10000; i++) {
		put(&s, 0, "on and on");
		CHECK(reads(reader, "on and on"));
		CHECK_IS(says(reader), -EAGAIN);
	}
	CHECK_IS(wait_stream(reader, &waiter), 0);
	for (int i = 0; i < 1000; i++) {
		hv_port_notify(s.x.port);
		house_run(&s.victim);
	}
	CHECK(waiter.handle);
	CHECK(s.victim.streams->counters.receive_wakeups <= 100);
	CHECK(others_go_on(&s));
	wait_cancel(&waiter);
	sivc_stream_leave(reader);
	scene_close(&s);
	return true;
}

/* A reader has left it: what follows is thrown away, a ring of it and some more; then it is a
 * breach. */
static bool never_ends_without_a_reader(void)
{
	struct waiter waiter = {.fn = ignore};
	struct scene s;
	uint32_t sent;

	CHECK(scene_link(&s));
	put(&s, FIRST, "begun");
	sivc_stream_leave(accept_next(&s));
	CHECK_IS(s.x.page->broken, 1);
	CHECK_IS(wait_receive(s.victim.streams, SIVC_ANY, &waiter), 0);
	for (sent = 0; sent < 10000 && s.victim.streams->counters.breaches == 0; sent++) {
		put(&s, 0, "on and on");
		house_run(&s.victim);
	}
	CHECK(sent * ring_span(9) > RING && sent < 10000);
	CHECK(waiter.handle);
	wait_cancel(&waiter);
	return is_breach(&s);
}

/* The attacker as a receiver. */

static bool scene_serve(struct scene *s)
{
	scene_open_streams(s);
	attacker_serve(&s->x, VICTIM);
	return true;
}

static struct sivc_writer *begin_stream(struct scene *s)
{
	struct sivc_writer *writer = NULL;

	sivc_stream_begin(s->victim.streams, ATTACKER, &writer);
	return writer;
}

static bool fails_with(struct scene *s, struct sivc_writer *writer, int r)
{
	CHECK_IS(sivc_stream_write(writer, "x", 1), r);
	CHECK_IS(sivc_stream_write(writer, "x", 1), r);
	CHECK_IS(sivc_stream_writable(writer), r);
	sivc_stream_end(writer, false);
	CHECK(others_go_on(s));
	return true;
}

static bool takes_what_was_not_sent(void)
{
	struct sivc_writer *writer;
	struct scene s;

	CHECK(scene_serve(&s));
	writer = begin_stream(&s);
	while (sivc_stream_write(writer, "stream", 6) > 0)
		;
	s.x.page->cons = s.x.ctl->prod + 8;
	CHECK(fails_with(&s, writer, -EPROTO));
	CHECK_IS(s.victim.streams->counters.breaches, 1);
	scene_close(&s);
	return true;
}

/* Of another stream, it says nothing; of this one, it is told, and the next one goes. */
static bool says_that_the_reader_left(void)
{
	struct sivc_writer *writer;
	struct scene s;

	CHECK(scene_serve(&s));
	writer = begin_stream(&s);
	CHECK_IS(sivc_stream_write(writer, "stream", 6), 6);
	s.x.page->broken = 0; /* without the bit: none */
	CHECK_IS(sivc_stream_write(writer, "stream", 6), 6);
	s.x.page->broken = s.x.ctl->prod | 1;
	CHECK_IS(sivc_stream_write(writer, "stream", 6), 6);
	s.x.page->broken = 1;
	CHECK(fails_with(&s, writer, -EPIPE));
	writer = begin_stream(&s);
	CHECK_IS(sivc_stream_write(writer, "stream", 6), 6);
	sivc_stream_end(writer, false);
	CHECK_IS(s.victim.streams->counters.breaches, 0);
	scene_close(&s);
	return true;
}

/* It has the ring full when we come, and its page in the middle of a change. */
static bool ring_is_full_at_first(void)
{
	struct sivc_writer *writer;
	struct scene s;

	CHECK(scene_serve(&s));
	s.x.ctl->prod = RING;
	s.x.page->seq--;
	writer = begin_stream(&s);
	CHECK(writer);
	s.x.page->seq++;
	CHECK_IS(sivc_stream_write(writer, "stream", 6), -EAGAIN);
	CHECK_IS(sivc_stream_writable(writer), -EAGAIN);
	CHECK_IS(s.x.ctl->prod, RING);
	s.x.page->cons = RING;
	CHECK_IS(sivc_stream_write(writer, "stream", 6), 6);
	sivc_stream_end(writer, true);
	scene_close(&s);
	return true;
}

/* Who waits until all was read is told of a breach, of a refusal and of a closed endpoint. */
static bool read_is_told(void (*spoil)(struct attacker *x), int r)
{
	struct waiter waiter = {.fn = ignore};
	struct sivc_writer *writer;
	struct scene s;

	CHECK(scene_serve(&s));
	writer = begin_stream(&s);
	CHECK_IS(sivc_stream_write(writer, "stream", 6), 6);
	CHECK_IS(wait_read(s.victim.streams, ATTACKER, writer, &waiter), 0);
	house_run(&s.victim);
	CHECK(waiter.handle);
	spoil(&s.x);
	hv_port_notify(s.x.port);
	house_run(&s.victim);
	CHECK(!waiter.handle);
	CHECK_IS(waiter.r, r);
	sivc_stream_end(writer, true);
	CHECK(others_go_on(&s));
	scene_close(&s);
	return true;
}

static void says_too_much(struct attacker *x)
{
	x->page->cons = x->ctl->prod + 8;
}

static void says_all(struct attacker *x)
{
	x->page->cons = x->ctl->prod;
}

static void says_all_and_left(struct attacker *x)
{
	x->page->broken = 1;
	x->page->cons = x->ctl->prod;
}

static void refuses(struct attacker *x)
{
	x->page->verdict = SIVC_VERDICT_REFUSED;
	attacker_turn(x);
}

static void closes(struct attacker *x)
{
	x->page->verdict = SIVC_VERDICT_CLOSED;
	attacker_turn(x);
}

static void permits_anew(struct attacker *x)
{
	x->ring_nonce++;
	x->ctl->prod = 0;
	attacker_permit(x);
}

static bool who_waits_is_told(void)
{
	return read_is_told(says_all, 0) && read_is_told(says_too_much, -EPROTO) &&
	       read_is_told(says_all_and_left, -EPIPE) && read_is_told(refuses, -EACCES) &&
	       read_is_told(closes, -EPIPE) && read_is_told(permits_anew, -EPIPE);
}

/* A stream that was closed, and lost afterwards: who asks next is told, once. */
static bool lost_afterwards(void)
{
	struct waiter waiter = {.fn = ignore};
	struct scene s;
	struct sivc_writer *writer;

	CHECK(scene_serve(&s));
	writer = begin_stream(&s);
	CHECK_IS(sivc_stream_write(writer, "stream", 6), 6);
	sivc_stream_end(writer, false);
	permits_anew(&s.x);
	CHECK_IS(wait_read(s.victim.streams, ATTACKER, NULL, &waiter), -EPIPE);
	CHECK_IS(wait_read(s.victim.streams, ATTACKER, NULL, &waiter), 0);
	house_run(&s.victim);
	CHECK(!waiter.handle);
	CHECK_IS(waiter.r, 0);
	scene_close(&s);
	return true;
}

int main(void)
{
	holds("a stream does not begin without a beginning", begins_without_a_beginning);
	holds("nor go on after its end", goes_on_after_its_end);
	holds("a mark that is none is a breach", bad_marks);
	holds("a beginning inside a stream cuts it, and is the next one's", beginning_inside);
	holds("also one that is cut at once", beginning_that_is_cut);
	holds("a mark of an end and a cut is a cut", both_in_one_mark);
	holds("what a reader was told of the end holds, whatever becomes of the mark",
		marks_are_rewritten);
	holds("a cut stream does not go on when its sender comes back", comes_back_after_its_end);
	holds("nor in another ring", goes_on_in_another_ring);
	holds("a frame that shrinks while it is read cuts the stream", frame_shrinks);
	holds("a stream that never ends holds nobody up", never_ends);
	holds("nor does one that goes on though its reader has left", never_ends_without_a_reader);
	holds("a receiver that has read what was not sent is in breach", takes_what_was_not_sent);
	holds("a writer is told that its own reader has left, and of no other's",
		says_that_the_reader_left);
	holds("into a ring that is full when it is seen first, nothing is written",
		ring_is_full_at_first);
	holds("who waits until all was read is told whatever becomes of it", who_waits_is_told);
	holds("of a stream that was lost after its end, one is told who asks", lost_afterwards);
	return done_testing();
}
