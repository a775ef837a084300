/* SPDX-License-Identifier: MIT */
/*
 * interleave_streams.c: scenarios of streams.
 *
 * In every run:
 *	- a stream that its writer has ended arrives whole, once, in order, unless its reader leaves
 *or its writer is refused; what a reader takes for whole was ended by its writer;
 *	- a writer whose reader has left, or that is refused, is told EPIPE or EACCES, and the next
 *	  stream is whole;
 *	- who is told that all was read is told so when all was.
 */
#include <errno.h>
#include <string.h>

#include "interleave.h"
#include "outbound.h"
#include "sender.h"

#define STREAMS_MAX 8
#define SHORT       8
#define EMPTY       (STREAMS_MAX - 1) /* the number of each that has no bytes, */
#define LAST        (STREAMS_MAX - 2) /* and of that of a new process */

/* Stream i is filled with i + 1. */
static char stream_bytes[STREAMS_MAX][4 * RING];
static size_t length; /* of a long one */

/* What happened. */
static struct {
	unsigned int ended[STREAMS_MAX], ended_count;   /* by their writers, whole */
	unsigned int got[STREAMS_MAX], got_count;       /* by readers, whole */
	unsigned int ends_read;                         /* by readers */
	size_t written[STREAMS_MAX], read[STREAMS_MAX]; /* bytes */
	bool left[STREAMS_MAX];                         /* by its reader */
	bool reading;                                   /* somebody is in the middle of one */
	bool renewed;                                   /* the writer was refused and permitted */
} seen;

/* Waiting. */

static void on_ready(void *data)
{
	*(bool *)data = true;
}

static void wait_until(struct side *side, const bool *flag)
{
	while (!*flag && !failed())
		sivc_wait(side->sivc, -1);
}

/* Writing. */

static struct sivc_writer *begin_stream(struct side *side)
{
	struct sivc_writer *writer = NULL;
	int r = sivc_stream_begin(side->ep, RECEIVER, &writer);

	if (r < 0 && r != -EACCES && r != -EPIPE)
		fail("a stream does not begin: %s", strerror(-r));
	return writer;
}

static void wait_for_room(struct side *side, struct sivc_writer *writer)
{
	struct sivc_waiter *waiter;
	bool ready = false;

	if (sivc_stream_wait_room(writer, on_ready, &ready, &waiter) < 0)
		fail("it cannot wait for room");
	else
		wait_until(side, &ready);
}

/* All of it, waiting where it must.  0, or what it was told. */
static int write_bytes(struct side *side, struct sivc_writer *writer, unsigned int i, size_t size)
{
	ssize_t n;

	while (size > 0 && !failed()) {
		n = sivc_stream_write(writer, stream_bytes[i], size);
		if (n == -EAGAIN) {
			wait_for_room(side, writer);
			continue;
		}
		if (n < 0) {
			tell("is told of stream %u: %s", i, strerror((int)-n));
			return (int)n;
		}
		seen.written[i] += (size_t)n;
		size -= (size_t)n;
	}
	return 0;
}

/* Its process goes on until it went out. */
static void let_out(struct side *side)
{
	while (side->ep->sender.waiting > 0 && !failed())
		sivc_wait(side->sivc, -1);
}

static void end_stream(struct side *side, struct sivc_writer *writer, unsigned int i)
{
	seen.ended[seen.ended_count++] = i;
	sivc_stream_end(writer, false);
	tell("has ended stream %u", i);
	let_out(side);
}

static void cut_stream(struct side *side, struct sivc_writer *writer)
{
	sivc_stream_end(writer, true);
	tell("has cut a stream");
	let_out(side);
}

/* 0, or what it was told. */
static int write_stream(struct side *side, unsigned int i, size_t size)
{
	struct sivc_writer *writer = begin_stream(side);
	int r = writer ? write_bytes(side, writer, i, size) : -EACCES;

	if (r == 0)
		end_stream(side, writer, i);
	else if (writer)
		cut_stream(side, writer);
	return r;
}

static void write_whole(struct side *side, unsigned int i, size_t size)
{
	if (write_stream(side, i, size) != 0)
		fail("a stream does not go though nobody refused");
}

/* Refused and permitted it is told one of these. */
static int write_or_not(struct side *side, unsigned int i, size_t size)
{
	int r = write_stream(side, i, size);

	if (r != 0 && r != -EACCES && r != -EPIPE)
		fail("a write fails: %s", strerror(-r));
	return r;
}

/* What somebody is told. */
struct answer {
	bool given;
	int r;
};

static void on_read(void *data, int r)
{
	*(struct answer *)data = (struct answer){.given = true, .r = r};
}

/* fsync.  `writer` may be NULL. */
static int wait_read(struct side *side, struct sivc_writer *writer)
{
	struct answer answer = {0};
	struct sivc_waiter *waiter;
	int r = sivc_stream_wait_read(side->ep, RECEIVER, writer, on_read, &answer, &waiter);

	if (r < 0)
		return r;
	wait_until(side, &answer.given);
	return answer.r;
}

static void require_read(unsigned int i, int r)
{
	tell("is told whether stream %u was read: %s", i, strerror(-r));
	if (r == 0 && seen.read[i] != seen.written[i])
		fail("%zu bytes were written, and were said to be read when %zu were",
			seen.written[i], seen.read[i]);
}

/* Reading. */

/* Who waits for a stream. */
struct arrival {
	struct sivc_endpoint *ep;
	struct sivc_reader *reader;
	bool done;
};

static void on_begin(void *data, int r, const struct sivc_message *message)
{
	struct arrival *arrival = data;

	arrival->done = true;
	if (r == 0 && sivc_stream_accept(arrival->ep, message, &arrival->reader) < 0)
		fail("a stream that was shown is not there");
}

static void on_bytes(void *data, int r, const struct sivc_message *message)
{
	(void)r;
	(void)message;
	on_ready(data);
}

/* NULL: there is none now. */
static struct sivc_reader *accept_now(struct side *side)
{
	struct sivc_reader *reader = NULL;
	struct sivc_message message;

	if (sivc_peek(side->ep, SIVC_ANY, &message) == 0)
		sivc_stream_accept(side->ep, &message, &reader);
	return reader;
}

static struct sivc_reader *accept_next(struct side *side)
{
	struct arrival arrival = {.ep = side->ep, .reader = accept_now(side)};
	struct sivc_waiter *waiter;

	while (!arrival.reader && !failed()) {
		arrival.done = false;
		if (sivc_wait_receive(side->ep, SIVC_ANY, on_begin, &arrival, &waiter) < 0)
			fail("it cannot wait for a stream");
		wait_until(side, &arrival.done);
	}
	tell("has accepted a stream");
	return arrival.reader;
}

/* Which stream these bytes are of. */
static unsigned int number_of(const struct iovec *iov, int count)
{
	unsigned int i = (unsigned int)*(const char *)iov[0].iov_base - 1;

	for (int part = 0; part < count; part++)
		if (i >= STREAMS_MAX || iov[part].iov_len > sizeof(stream_bytes[i]) ||
			memcmp(iov[part].iov_base, stream_bytes[i], iov[part].iov_len) != 0) {
			fail("bytes of a stream are not what was written");
			return EMPTY;
		}
	return i;
}

/* What is there: bytes, of stream *i; 0, its end; or an error. */
static ssize_t read_now(struct sivc_reader *reader, unsigned int *i)
{
	struct iovec iov[SIVC_STREAM_IOV];
	unsigned int number;
	int count;
	ssize_t n = sivc_stream_peek(reader, iov, &count);

	if (n > 0) {
		number = number_of(iov, count);
		if (*i != EMPTY && number != *i)
			fail("bytes of two streams are joined");
		*i = number;
		seen.read[number] += (size_t)n;
		tell("has read %zd bytes of stream %u", n, number);
	}
	seen.ends_read += n == 0;
	if (n != -EAGAIN)
		sivc_stream_consume(reader, n > 0 ? (size_t)n : 0);
	return n;
}

/* Waits if there is nothing. */
static ssize_t read_some(struct side *side, struct sivc_reader *reader, unsigned int *i)
{
	ssize_t n = read_now(reader, i);
	struct sivc_waiter *waiter;
	bool ready;

	while (n == -EAGAIN && !failed()) {
		ready = false;
		if (sivc_stream_wait(reader, on_bytes, &ready, &waiter) < 0)
			fail("it cannot wait for bytes");
		wait_until(side, &ready);
		n = read_now(reader, i);
	}
	return n;
}

/* To its end: 0, or it was cut. */
static int read_stream(struct side *side)
{
	struct sivc_reader *reader = accept_next(side);
	unsigned int i = EMPTY;
	ssize_t n = 1;

	seen.reading = true;
	while (n > 0 && !failed())
		n = read_some(side, reader, &i);
	seen.reading = false;
	sivc_stream_leave(reader);
	if (n == 0 && seen.read[i] != seen.written[i])
		fail("stream %u is taken for whole after %zu bytes of %zu", i, seen.read[i],
			seen.written[i]);
	else if (n == 0 && seen.got_count < STREAMS_MAX)
		seen.got[seen.got_count++] = i;
	tell("has read stream %u: %s", i, n == 0 ? "whole" : "cut");
	return (int)n;
}

static void read_whole(struct side *side)
{
	if (read_stream(side) != 0)
		fail("a stream is cut that was ended");
}

static void read_for_ever(struct side *side)
{
	while (!failed())
		read_stream(side);
}

static void leave(struct sivc_reader *reader, unsigned int i)
{
	seen.left[i] = true;
	tell("leaves stream %u", i);
	sivc_stream_leave(reader);
}

/* Scripts. */

static void write_one(struct side *side)
{
	write_whole(side, 0, length);
}

static void read_one(struct side *side)
{
	read_whole(side);
}

/* One of them is empty. */
static void write_three(struct side *side)
{
	write_whole(side, 0, SHORT);
	write_whole(side, EMPTY, 0);
	write_whole(side, 1, SHORT);
}

static void read_three(struct side *side)
{
	for (int i = 0; i < 3; i++)
		read_whole(side);
}

/* The end of what it returns has to wait for room, too. */
static struct sivc_writer *fill(struct side *side)
{
	struct sivc_writer *writer = begin_stream(side);
	ssize_t n;

	while ((n = sivc_stream_write(writer, stream_bytes[0], length)) > 0)
		seen.written[0] += (size_t)n;
	return writer;
}

static void fill_and_end(struct side *side)
{
	end_stream(side, fill(side), 0);
}

static void fill_end_and_wait(struct side *side)
{
	struct sivc_writer *writer = fill(side);

	seen.ended[seen.ended_count++] = 0;
	sivc_stream_end(writer, false);
	if (wait_read(side, NULL) != 0 || seen.ends_read != 1)
		fail("an end that waits for room is not waited for");
}

static void cut_and_write(struct side *side)
{
	struct sivc_writer *writer = begin_stream(side);

	write_bytes(side, writer, 0, length);
	cut_stream(side, writer);
	write_whole(side, 1, SHORT);
}

static void read_cut_and_whole(struct side *side)
{
	if (read_stream(side) != -ECONNRESET)
		fail("a cut stream is not cut");
	read_whole(side);
}

/* The second one waits for its turn until the first one ends. */
static void write_two_at_a_time(struct side *side)
{
	struct sivc_writer *first = begin_stream(side), *second = begin_stream(side);
	struct sivc_waiter *waiter;
	bool turn = false;

	write_bytes(side, first, 0, SHORT);
	if (sivc_stream_write(second, stream_bytes[1], SHORT) != -EAGAIN ||
		sivc_stream_wait_room(second, on_ready, &turn, &waiter) < 0)
		fail("who does not have his turn does not wait");
	sivc_dispatch(side->sivc);
	if (turn)
		fail("a second writer has its turn before the first one has ended");
	seen.ended[seen.ended_count++] = 0;
	sivc_stream_end(first, false);
	wait_until(side, &turn);
	write_bytes(side, second, 1, SHORT);
	end_stream(side, second, 1);
}

static void read_two(struct side *side)
{
	read_whole(side);
	read_whole(side);
}

/* Until it is told; then the next one. */
static void write_until_told(struct side *side)
{
	struct sivc_writer *writer = begin_stream(side);
	int r = 0;

	while (r == 0 && !failed())
		r = write_bytes(side, writer, 0, length);
	if (r != -EPIPE)
		fail("a writer whose reader has left is told: %s", strerror(-r));
	if (sivc_stream_write(writer, "x", 1) != r)
		fail("after an error a write does not fail with it");
	cut_stream(side, writer);
	write_whole(side, 1, SHORT);
}

static void leave_and_read(struct side *side)
{
	struct sivc_reader *reader = accept_next(side);
	unsigned int i = 0;

	read_some(side, reader, &i);
	leave(reader, i);
	read_whole(side);
}

static void leave_unread_and_read(struct side *side)
{
	leave(accept_next(side), 0);
	read_whole(side);
}

/* The first one does nothing more: its reader's leaving gives the second one its turn.  In a ring
 * in which a signal for room is not due anyway. */
static void idle_before_another(struct side *side)
{
	struct sivc_writer *first, *second;

	write_whole(side, 2, SHORT);
	first = begin_stream(side);
	second = begin_stream(side);
	write_bytes(side, first, 0, SHORT);
	write_bytes(side, second, 1, SHORT);
	end_stream(side, second, 1);
	if (sivc_stream_write(first, "x", 1) != -EPIPE)
		fail("a writer whose reader has left is not told");
	cut_stream(side, first);
}

/* So do those who have ended it, if the end waits for room. */
static void end_before_another(struct side *side)
{
	struct sivc_writer *writer = begin_stream(side);
	ssize_t n;

	while ((n = sivc_stream_write(writer, stream_bytes[0], length)) > 0)
		;
	sivc_stream_end(writer, false);
	if (n != -EPIPE && wait_read(side, NULL) == 0 &&
		sender_find(side->ep, RECEIVER)->counters.ended == 0)
		fail("nobody says that an end was not sent");
	write_whole(side, 1, SHORT);
}

static void write_and_wait_read(struct side *side)
{
	struct sivc_writer *writer = begin_stream(side);

	if (write_bytes(side, writer, 0, length) != 0 || wait_read(side, writer) != 0)
		fail("nobody says that it was read");
	require_read(0, 0);
	end_stream(side, writer, 0);
	if (wait_read(side, NULL) != 0)
		fail("nobody says that the end was read");
	if (seen.ends_read != 1)
		fail("an end is said to be read before it was");
}

static void write_and_be_left(struct side *side)
{
	struct sivc_writer *writer = begin_stream(side);
	int r = write_bytes(side, writer, 0, SHORT);

	if (r == 0)
		r = wait_read(side, writer);
	if (r != -EPIPE)
		fail("who waits until it was read is told when the reader leaves: %s",
			strerror(-r));
	cut_stream(side, writer);
	write_whole(side, 1, SHORT);
}

static void read_leave_and_read(struct side *side)
{
	read_whole(side);
	leave_unread_and_read(side);
}

/* Two, that may be refused, and what of the second one is known to be read. */
static void write_two_and_wait_read(struct side *side)
{
	write_or_not(side, 0, length);
	if (write_or_not(side, 1, SHORT) == 0)
		require_read(1, wait_read(side, NULL));
}

/* Until it is told; then others, which go in the next ring. */
static void write_until_renewed(struct side *side)
{
	struct sivc_writer *writer = begin_stream(side);
	bool renewed;
	int r = 0;

	while (r == 0 && !failed())
		r = write_bytes(side, writer, 0, length);
	cut_stream(side, writer);
	for (unsigned int i = 1; i < 4; i++) {
		renewed = seen.renewed;
		if (write_or_not(side, i, SHORT) != 0 && renewed)
			fail("a stream to a new ring does not go");
	}
}

static void write_two_or_not(struct side *side)
{
	write_or_not(side, 0, length);
	write_or_not(side, 1, SHORT);
}

static void read_until_refused(struct side *side)
{
	struct sivc_reader *reader = accept_next(side);
	unsigned int i = EMPTY;
	ssize_t n = read_some(side, reader, &i);

	refuse(side);
	while (n > 0 && !failed())
		n = read_some(side, reader, &i);
	if (n == 0)
		seen.got[seen.got_count++] = i;
	sivc_stream_leave(reader);
}

static void renew_and_read(struct side *side)
{
	refuse(side);
	permit(side);
	seen.renewed = true;
	step();
	read_for_ever(side);
}

static void refuse_and_read(struct side *side)
{
	read_until_refused(side);
	renew_and_read(side);
}

/* What was left is told to writers into that ring alone. */
static void leave_renew_and_read(struct side *side)
{
	leave(accept_next(side), 0);
	renew_and_read(side);
}

static void read_and_close(struct side *side)
{
	struct sivc_reader *reader = accept_next(side);
	unsigned int i = EMPTY;

	read_some(side, reader, &i);
	close_endpoint(side);
	if (read_now(reader, &i) == 0)
		fail("a stream is whole because its endpoint was closed");
	sivc_stream_leave(reader);
}

static void write_until_closed(struct side *side)
{
	struct sivc_writer *writer = begin_stream(side);
	int r = 0;

	while (r == 0 && !failed())
		r = write_bytes(side, writer, 0, length);
	if (r != -EPIPE)
		fail("a writer to an endpoint that was closed is told: %s", strerror(-r));
	cut_stream(side, writer);
}

/* At once after the end went out. */
static void write_and_leave_the_hypervisor(struct side *side)
{
	write_whole(side, 0, SHORT);
	sivc_close(side->sivc);
	side->sivc = NULL;
	side->ep = NULL;
}

static void write_two(struct side *side)
{
	write_whole(side, 0, length);
	write_whole(side, 1, SHORT);
}

/* After a kill: a new process writes one more, which must arrive. */
static void write_again(struct side *side)
{
	open_side(side);
	write_whole(side, LAST, SHORT);
}

/* Two arrive, whole or cut, or one of a new process does. */
static void read_two_or_the_last(struct side *side)
{
	for (int i = 0; i < 2 && seen.read[LAST] == 0 && !failed(); i++)
		read_stream(side);
}

static void leave_and_read_the_last(struct side *side)
{
	struct sivc_reader *reader = accept_next(side);
	unsigned int i = EMPTY;

	read_some(side, reader, &i);
	leave(reader, i);
	if (i != LAST)
		read_stream(side);
}

static void do_nothing(struct side *side)
{
	(void)side;
}

static void read_again(struct side *side)
{
	seen.reading = false;
	open_side(side);
	permit(side);
	read_for_ever(side);
}

static const struct scenario scenarios[] = {
	{.name = "a stream through a ring",
		.length = 2 * RING,
		.receiver = read_one,
		.sender = write_one},
	{.name = "three short streams", .receiver = read_three, .sender = write_three},
	{.name = "the end of a stream waits for room",
		.length = 2 * RING,
		.receiver = read_one,
		.sender = fill_and_end},
	{.name = "a writer waits until its end, which waits for room, was read",
		.length = 2 * RING,
		.receiver = read_one,
		.sender = fill_end_and_wait},
	{.name = "a stream is cut, the next one is whole",
		.length = 1500,
		.receiver = read_cut_and_whole,
		.sender = cut_and_write},
	{.name = "a second writer waits for its turn",
		.receiver = read_two,
		.sender = write_two_at_a_time},
	{.name = "a writer waits until all was read",
		.length = 1500,
		.receiver = read_one,
		.sender = write_and_wait_read},
	{.name = "the reader of a stream leaves",
		.length = 1500,
		.receiver = leave_and_read,
		.sender = write_until_told},
	{.name = "the reader of an idle writer leaves",
		.receiver = read_leave_and_read,
		.sender = idle_before_another},
	{.name = "the reader leaves, and the end of the stream waits for room",
		.length = RING,
		.receiver = leave_unread_and_read,
		.sender = end_before_another},
	{.name = "the reader leaves a writer that waits until all was read",
		.receiver = leave_unread_and_read,
		.sender = write_and_be_left},
	{.name = "the writer is refused",
		.length = 1500,
		.receiver = read_until_refused,
		.sender = write_two_or_not,
		.lossy = true},
	{.name = "the writer is refused and permitted",
		.length = 1500,
		.receiver = renew_and_read,
		.sender = write_two_or_not,
		.lossy = true,
		.waits = true},
	{.name = "the writer is refused and permitted, with reading",
		.length = 2 * RING,
		.receiver = refuse_and_read,
		.sender = write_two_or_not,
		.lossy = true,
		.waits = true},
	{.name = "a writer that waits until all was read is refused and permitted",
		.length = SHORT,
		.receiver = renew_and_read,
		.sender = write_two_and_wait_read,
		.lossy = true,
		.waits = true},
	{.name = "the reader of a stream leaves, its writer is refused and permitted",
		.length = 1500,
		.receiver = leave_renew_and_read,
		.sender = write_until_renewed,
		.lossy = true,
		.waits = true},
	{.name = "the endpoint of a stream is closed",
		.length = 1500,
		.receiver = read_and_close,
		.sender = write_until_closed,
		.lossy = true},
	{.name = "the writer's process ends after its stream",
		.receiver = read_one,
		.sender = write_and_leave_the_hypervisor,
		.xen = true},
	{.name = "the writer's process is killed",
		.length = 1500,
		.receiver = read_two_or_the_last,
		.sender = write_two,
		.sender_again = write_again},
	{.name = "the writer's process is killed on Xen",
		.length = 1500,
		.receiver = read_two_or_the_last,
		.sender = write_two,
		.sender_again = write_again,
		.xen = true},
	{.name = "the writer's process is killed, and no other comes",
		.length = 1500,
		.receiver = read_for_ever,
		.sender = write_one,
		.sender_again = do_nothing,
		.waits = true},
	{.name = "the writer's process is killed on Xen, and no other comes",
		.length = 1500,
		.receiver = read_for_ever,
		.sender = write_one,
		.sender_again = do_nothing,
		.waits = true,
		.xen = true},
	{.name = "the reader leaves, and the writer's process is killed",
		.length = 1500,
		.receiver = leave_and_read_the_last,
		.sender = write_until_told,
		.sender_again = write_again,
		.xen = true},
	{.name = "the reader's process is killed",
		.length = 1500,
		.receiver = read_two,
		.sender = write_two_or_not,
		.receiver_again = read_again,
		.lossy = true,
		.waits = true},
};

/* The subject. */

static int open_streams(struct sivc *sivc, struct sivc_endpoint **ep)
{
	return sivc_stream_open(sivc, "backup", NULL, ep);
}

static void begin(const struct scenario *scenario)
{
	for (int i = 0; i < STREAMS_MAX; i++)
		memset(stream_bytes[i], i + 1, sizeof(stream_bytes[i]));
	length = scenario->length;
	memset(&seen, 0, sizeof(seen));
}

/* What was read whole was ended, in order; all of that was read, but what was left. */
static void judge(const struct scenario *scenario, bool killed)
{
	unsigned int at = 0;

	for (unsigned int i = 0; i < seen.ended_count; i++) {
		if (at < seen.got_count && seen.got[at] == seen.ended[i])
			at++;
		else if (!scenario->lossy && !killed && !seen.left[seen.ended[i]])
			fail("stream %u was ended, and has not arrived whole", seen.ended[i]);
	}
	if (seen.reading)
		fail("a reader waits for ever for the rest of a stream");
	if (at < seen.got_count)
		fail("stream %u arrives whole, which was not ended", seen.got[at]);
}

const struct subject streams = {
	.scenarios = scenarios,
	.count = sizeof(scenarios) / sizeof(scenarios[0]),
	.open = open_streams,
	.begin = begin,
	.judge = judge,
};
