/* SPDX-License-Identifier: MIT */
/* Streams of libsivc, on the local backend: bytes, ends, cuts, turns. */
#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sivc/sivc.h>

#include "tap.h"

#define RING  4096
#define LARGE 100000
#define STEPS 1000

struct world {
	char dir[32];
	struct sivc *a, *b;
	struct sivc_endpoint *ea, *eb;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static struct sivc *domain_open(const char *dir, int domid)
{
	struct sivc_config config = {.backend = "local", .dir = dir, .domid = domid, .ring = RING};
	struct sivc *sivc = NULL;

	if (sivc_open(&config, &sivc) < 0)
		abort();
	return sivc;
}

static void world_init(struct world *w)
{
	strcpy(w->dir, "/tmp/sivc-stream-XXXXXX");
	if (!mkdtemp(w->dir))
		abort();
	w->a = domain_open(w->dir, 1);
	w->b = domain_open(w->dir, 2);
	if (sivc_stream_open(w->a, "backup", NULL, &w->ea) < 0 ||
		sivc_stream_open(w->b, "backup", NULL, &w->eb) < 0)
		abort();
}

static void world_deinit(struct world *w)
{
	sivc_close(w->a);
	sivc_close(w->b);
	nftw(w->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void step(struct world *w)
{
	if (w->a)
		sivc_wait(w->a, 1);
	if (w->b)
		sivc_wait(w->b, 1);
}

static struct sivc_reader *accept_one(struct world *w)
{
	struct sivc_message message;
	struct sivc_reader *reader = NULL;

	for (int i = 0; i < STEPS && !reader; i++) {
		if (sivc_peek(w->ea, SIVC_ANY, &message) == 0)
			sivc_stream_accept(w->ea, &message, &reader);
		else
			step(w);
	}
	return reader;
}

/* The bytes that are there now, at most `size`; or what peeking says. */
static int read_some(struct sivc_reader *reader, char *buffer, size_t size)
{
	struct iovec iov[SIVC_STREAM_IOV];
	size_t n = 0;
	int count;
	ssize_t r = sivc_stream_peek(reader, iov, &count);

	if (r < 0)
		return (int)r;
	for (int i = 0; i < count; i++) {
		size_t part = iov[i].iov_len;

		part = part < size - n ? part : size - n;
		memcpy(buffer + n, iov[i].iov_base, part);
		n += part;
	}
	sivc_stream_consume(reader, n);
	return (int)n;
}

/* All of it.  Its length, and in *end 0 or what it ended with. */
static size_t read_all(
	struct world *w, struct sivc_reader *reader, char *buffer, size_t size, int *end)
{
	size_t n = 0;
	int r = -EAGAIN;

	for (int i = 0; i < STEPS && (r > 0 || r == -EAGAIN); i++) {
		r = read_some(reader, buffer + n, size - n);
		if (r > 0)
			n += (size_t)r;
		else if (r == -EAGAIN)
			step(w);
	}
	*end = r;
	return n;
}

static char *pattern(void)
{
	char *bytes = malloc(LARGE);

	for (unsigned int i = 0; i < LARGE; i++)
		bytes[i] = (char)(i * 31 + i / 256);
	return bytes;
}

static void test_whole(void)
{
	struct world w;
	struct sivc_writer *writer;
	struct sivc_reader *reader;
	char *out = pattern(), *in = malloc(LARGE);
	size_t sent = 0, got = 0;
	int r, end;

	world_init(&w);
	is(sivc_stream_begin(w.eb, 1, &writer), -EACCES, "nobody may begin who is not permitted");
	sivc_permit(w.ea, 2);
	is(sivc_stream_begin(w.eb, 1, &writer), 0, "who is, may");
	is(sivc_stream_write(writer, out, 10), 10, "bytes go");
	reader = accept_one(&w);
	ok(reader && sivc_stream_sender(reader) == 2, "a reader gets the stream, and who sent it");
	sent = 10;
	while (sent < LARGE || got < LARGE) {
		ssize_t n = sivc_stream_write(writer, out + sent, LARGE - sent);

		sent += n > 0 ? (size_t)n : 0;
		r = read_some(reader, in + got, LARGE - got);
		got += r > 0 ? (size_t)r : 0;
		if ((n < 0 && n != -EAGAIN) || (r < 0 && r != -EAGAIN))
			break;
	}
	ok(got == LARGE && memcmp(in, out, LARGE) == 0, "more bytes than the ring holds arrive");
	is(read_some(reader, in, 1), -EAGAIN, "while it is open, there is no end");
	sivc_stream_end(writer, false);
	read_all(&w, reader, in, LARGE, &end);
	is(end, 0, "then there is");
	is(read_some(reader, in, 1), 0, "for ever");
	sivc_stream_leave(reader);

	sivc_stream_begin(w.eb, 1, &writer);
	sivc_stream_end(writer, false);
	reader = accept_one(&w);
	is(read_all(&w, reader, in, LARGE, &end), 0, "an empty stream arrives");
	is(end, 0, "and ends");
	sivc_stream_leave(reader);
	free(out);
	free(in);
	world_deinit(&w);
}

static void test_cut(void)
{
	struct world w;
	struct sivc_writer *writer;
	struct sivc_reader *reader;
	char in[100];
	int end;

	world_init(&w);
	sivc_permit(w.ea, 2);
	sivc_stream_begin(w.eb, 1, &writer);
	sivc_stream_write(writer, "half", 4);
	sivc_stream_end(writer, true);
	reader = accept_one(&w);
	is(read_all(&w, reader, in, sizeof(in), &end), 4, "of a stream that was cut all is read");
	is(end, -ECONNRESET, "and it is no end");
	is(read_some(reader, in, 1), -ECONNRESET, "for ever");
	sivc_stream_leave(reader);

	sivc_stream_begin(w.eb, 1, &writer);
	sivc_stream_write(writer, "half", 4);
	reader = accept_one(&w);
	sivc_refuse(w.ea, 2);
	is(read_all(&w, reader, in, sizeof(in), &end), 4, "of one that is refused, too");
	is(end, -ECONNRESET, "and it is cut");
	is(sivc_stream_write(writer, "x", 1), -EACCES, "its writer is told");
	sivc_stream_end(writer, false);
	sivc_stream_leave(reader);

	sivc_permit(w.ea, 2);
	sivc_stream_begin(w.eb, 1, &writer);
	sivc_stream_write(writer, "half", 4);
	reader = accept_one(&w);
	is(read_some(reader, in, sizeof(in)), 4, "what was written is read");
	sivc_stream_leave(reader);
	is(sivc_stream_write(writer, "x", 1), -EPIPE, "when the reader leaves, the writer is told");
	sivc_stream_end(writer, false);
	sivc_stream_begin(w.eb, 1, &writer);
	sivc_stream_write(writer, "next", 4);
	sivc_stream_end(writer, false);
	reader = accept_one(&w);
	ok(read_all(&w, reader, in, sizeof(in), &end) == 4 && end == 0 && !memcmp(in, "next", 4),
		"and the next stream is whole");
	sivc_stream_leave(reader);
	world_deinit(&w);
}

static void on_event(void *data, int r, const struct sivc_message *message)
{
	*(int *)data = message && message->length == 0 ? 1 : r;
}

static void test_sender_ends(void)
{
	struct world w;
	struct sivc_writer *writer;
	struct sivc_reader *reader;
	struct sivc_waiter *waiter;
	int result = 2;
	char in[10];

	world_init(&w);
	sivc_permit(w.ea, 2);
	sivc_stream_begin(w.eb, 1, &writer);
	sivc_stream_write(writer, "half", 4);
	reader = accept_one(&w);
	read_some(reader, in, sizeof(in));
	is(sivc_stream_wait(reader, on_event, &result, &waiter), 0, "a reader waits");
	is(sivc_stream_wait(reader, on_event, &result, &waiter), -EBUSY, "and no second one");
	for (int i = 0; i < 10; i++)
		step(&w);
	is(result, 2, "while the writer has not ended");
	sivc_close(w.b);
	w.b = NULL;
	for (int i = 0; i < STEPS && result == 2; i++)
		step(&w);
	is(result, -ECONNRESET, "when the sender's domain ends, the stream is cut");
	sivc_stream_leave(reader);
	sivc_stream_end(writer, false);
	world_deinit(&w);
}

static void on_ready(void *data)
{
	++*(int *)data;
}

static void on_read(void *data, int r)
{
	*(int *)data += r == 0;
}

static void test_turns(void)
{
	struct world w;
	struct sivc_writer *first, *second;
	struct sivc_reader *reader;
	struct sivc_waiter *waiter;
	char *out = pattern(), *in = malloc(LARGE);
	int end, calls = 0, read = 0;

	world_init(&w);
	sivc_permit(w.ea, 2);
	sivc_stream_begin(w.eb, 1, &first);
	sivc_stream_begin(w.eb, 1, &second);
	is(sivc_stream_write(first, "one", 3), 3, "of two streams the first one has its turn");
	is(sivc_stream_write(second, "two", 3), -EAGAIN, "and the second waits");
	sivc_stream_wait_room(second, on_ready, &calls, &waiter);
	for (int i = 0; i < 10; i++)
		step(&w);
	is(calls, 0, "until the first has ended");
	while (sivc_stream_write(first, out, LARGE) > 0)
		;
	sivc_stream_end(first, false);
	reader = accept_one(&w);
	read_all(&w, reader, in, LARGE, &end);
	is(end, 0, "an end for which there was no room comes when there is");
	sivc_stream_leave(reader);
	for (int i = 0; i < STEPS && calls == 0; i++)
		step(&w);
	is(calls, 1, "then it is the second one's turn");
	is(sivc_stream_write(second, "two", 3), 3, "which goes");
	sivc_stream_wait_read(w.eb, 1, NULL, on_read, &read, &waiter);
	for (int i = 0; i < 10; i++)
		step(&w);
	is(read, 0, "while nobody has read it, it was not read");
	reader = accept_one(&w);
	is(read_some(reader, in, 10), 3, "it is read");
	for (int i = 0; i < STEPS && read == 0; i++)
		step(&w);
	is(read, 1, "and then it was");
	sivc_stream_leave(reader);
	sivc_endpoint_close(w.eb);
	is(sivc_stream_write(second, "x", 1), -EPIPE, "after its endpoint was closed nothing goes");
	sivc_stream_end(second, false);
	free(out);
	free(in);
	world_deinit(&w);
}

/* Nobody waits for room: a free ring is no news. */
static void test_idle(void)
{
	struct world w;
	struct sivc_writer *first, *second;
	struct sivc_reader *reader;
	struct sivc_waiter *waiter;
	char in[10];
	int calls = 0;

	world_init(&w);
	sivc_permit(w.ea, 2);
	sivc_stream_begin(w.eb, 1, &first);
	sivc_stream_begin(w.eb, 1, &second);
	sivc_stream_write(first, "one", 3);
	sivc_stream_wait_room(second, on_ready, &calls, &waiter);
	reader = accept_one(&w);
	read_some(reader, in, sizeof(in));
	for (int i = 0; i < STEPS / 10; i++)
		step(&w);
	is(calls, 0, "who waits for its turn waits while the ring is empty");
	is(sivc_stream_writable(first), 0, "and that is no breach of the receiver");
	is(sivc_stream_writable(second), -EAGAIN, "who does not have its turn cannot write");
	sivc_stream_end(first, false);
	for (int i = 0; i < STEPS && calls == 0; i++)
		step(&w);
	is(calls, 1, "until it ends");
	sivc_stream_wait_read(w.eb, 1, NULL, on_read, &calls, &waiter);
	for (int i = 0; i < STEPS / 10; i++)
		step(&w);
	is(sivc_stream_writable(second), 0, "nor is it one to wait until all was read");
	sivc_stream_leave(reader);
	sivc_stream_end(second, true);
	world_deinit(&w);
}

int main(void)
{
	test_whole();
	test_cut();
	test_sender_ends();
	test_turns();
	test_idle();
	return done_testing();
}
