/* SPDX-License-Identifier: MIT */
/*
 * Two domains in one process, on the local backend: what libsivc promises to a program.  A domain
 * is one struct sivc; step() lets both do what they have to do.
 */
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sivc/sivc.h>

#include "tap.h"
#include "waits.h"

#define RING          4096u
#define LONG_MESSAGES 200
#define BUSY          50

static uint32_t spin; /* of the domains that are opened next */

struct world {
	char dir[64];
	struct sivc *a, *b; /* domains 1 and 2 */
	struct sivc_endpoint *ea, *eb;
};

static struct sivc *domain_open(const char *dir, int domid, const char *name)
{
	struct sivc_config config = {.backend = "local",
		.dir = dir,
		.domid = domid,
		.name = name,
		.ring = RING,
		.spin = spin};
	struct sivc *sivc = NULL;

	sivc_open(&config, &sivc);
	return sivc;
}

static void world_init(struct world *w)
{
	strcpy(w->dir, "/tmp/test_sivc.XXXXXX");
	if (!mkdtemp(w->dir))
		abort();
	w->a = domain_open(w->dir, 1, "alice");
	w->b = domain_open(w->dir, 2, "bob");
	if (!w->a || !w->b || sivc_endpoint_open(w->a, "default", NULL, &w->ea) < 0 ||
		sivc_endpoint_open(w->b, "default", NULL, &w->eb) < 0)
		abort();
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void world_deinit(struct world *w)
{
	sivc_close(w->a);
	sivc_close(w->b);
	nftw(w->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Both domains handle what is there; waits a little if nothing is. */
static void step(struct world *w)
{
	struct pollfd fds[] = {{sivc_fd(w->a), POLLIN, 0}, {sivc_fd(w->b), POLLIN, 0}};

	poll(fds, 2, 20);
	sivc_dispatch(w->a);
	sivc_dispatch(w->b);
}

static int send_text(struct sivc_endpoint *ep, uint16_t to, const char *text)
{
	return sivc_send(ep, to, text, strlen(text), SIVC_NOWAIT);
}

/* The next message is this one? */
static bool got(struct sivc_endpoint *ep, int from, const char *text)
{
	char buffer[RING];
	uint16_t sender;
	ssize_t n = sivc_receive(ep, from, buffer, sizeof(buffer), &sender, SIVC_NOWAIT);

	return n == (ssize_t)strlen(text) && memcmp(buffer, text, (size_t)n) == 0;
}

static void test_permission(void)
{
	struct world w;

	world_init(&w);
	is(send_text(w.eb, 1, "x"), -EACCES, "nobody may send at first");
	is(send_text(w.eb, 77, "x"), -EACCES, "a domain that does not exist permits nobody");
	is(send_text(w.eb, 40000, "x"), -ENOENT, "a number that is no domain's is an error");
	is(sivc_permit(w.ea, 2), 0, "a domain is permitted");
	is(send_text(w.eb, 1, "one"), 0, "at once it can send, though it was refused before");
	is(send_text(w.ea, 2, "x"), -EACCES, "permission is for one direction");
	is(send_text(w.eb, 1, "two"), 0, "a second message");
	ok(got(w.ea, SIVC_ANY, "one"), "the first arrives first");
	is(sivc_refuse(w.ea, 2), 0, "the domain is refused");
	is(send_text(w.eb, 1, "three"), -EACCES, "at once it cannot send");
	ok(got(w.ea, SIVC_ANY, "two"), "what it sent before can be read afterwards");
	is(sivc_receive(w.ea, SIVC_ANY, NULL, 0, NULL, SIVC_NOWAIT), -EAGAIN, "and nothing else");
	is(sivc_permit(w.ea, 2), 0, "it is permitted again");
	is(send_text(w.eb, 1, "four"), 0, "at once it can send again");
	ok(got(w.ea, 2, "four"), "a reader of that domain gets it");
	is(sivc_acl_write(w.eb, "allow *\ndeny alice\n", 19, true), 0, "all but one are permitted");
	ok(!sivc_permitted(w.eb, 1), "the one is not, by its name");
	is(send_text(w.ea, 2, "x"), -EACCES, "and cannot send");
	ok(sivc_permitted(w.eb, 77), "one that may come is");
	world_deinit(&w);
}

static void test_order(void)
{
	struct world w;
	char text[32];
	bool good = true;
	int n = 0;

	world_init(&w);
	sivc_permit(w.ea, 2);
	for (int i = 0; good && i < 10000; i++) {
		snprintf(text, sizeof(text), "message %d", i);
		if (send_text(w.eb, 1, text) == -EAGAIN) {
			snprintf(text, sizeof(text), "message %d", n++);
			good = got(w.ea, SIVC_ANY, text);
			i--;
		}
	}
	while (good && n < 10000) {
		snprintf(text, sizeof(text), "message %d", n++);
		good = got(w.ea, SIVC_ANY, text);
	}
	ok(good, "10000 messages arrive in order through a ring that is full most of the time");
	world_deinit(&w);
}

static void test_turns(void)
{
	struct world w;
	int from_a = 0, from_b = 0;

	world_init(&w);
	sivc_acl_write(w.ea, "allow 1\nallow 2\n", 16, true);
	while (send_text(w.ea, 1, "from one") == 0)
		;
	while (send_text(w.eb, 1, "from two") == 0)
		;
	for (int i = 0; i < 20; i++) {
		char buffer[16];
		uint16_t sender = 0;

		sivc_receive(w.ea, SIVC_ANY, buffer, sizeof(buffer), &sender, SIVC_NOWAIT);
		from_a += sender == 1;
		from_b += sender == 2;
	}
	ok(from_a == 10 && from_b == 10, "two senders take turns, one of them being oneself");
	world_deinit(&w);
}

struct async_send {
	struct sending sending;
	struct iovec message;
	int error;
	bool done;
};

static void on_done(struct sending *sending, int error)
{
	struct async_send *s = (struct async_send *)sending;

	s->error = error;
	s->done = true;
}

static int start(struct sivc_endpoint *ep, struct async_send *s, const void *data, size_t length)
{
	*s = (struct async_send){.message = {(void *)(uintptr_t)data, length}};
	s->sending.messages = &s->message;
	s->sending.count = 1;
	s->sending.done = on_done;
	return send_start(ep, 1, &s->sending);
}

static void test_fragments(void)
{
	struct world w;
	struct async_send s;
	char *out = malloc(20 * RING), *in = malloc(20 * RING);
	ssize_t n = -EAGAIN;

	for (unsigned int i = 0; i < 20 * RING; i++)
		out[i] = (char)(i * 31 + i / 256);
	world_init(&w);
	sivc_permit(w.ea, 2);
	is(sivc_send(w.eb, 1, out, 20 * RING, SIVC_NOWAIT), -EMSGSIZE,
		"a message larger than the ring is not begun without waiting");
	is(start(w.eb, &s, out, 20 * RING), -EINPROGRESS, "with waiting, it is");
	while (n == -EAGAIN) {
		step(&w);
		n = sivc_receive(w.ea, SIVC_ANY, in, 20 * RING, NULL, SIVC_NOWAIT);
	}
	ok(n == 20 * RING && memcmp(in, out, 20 * RING) == 0, "it arrives whole");
	step(&w);
	ok(s.done && s.error == 0, "and its sender is told");

	start(w.eb, &s, out, 20 * RING);
	sivc_queued(w.ea, SIVC_ANY, NULL);
	send_cancel(&s.sending);
	n = -EAGAIN;
	is(send_text(w.eb, 1, "x"), 0, "after one that was given up in the middle, another goes");
	ok(got(w.ea, SIVC_ANY, "x"), "and arrives, and nothing of the first");
	is(start(w.eb, &s, out, 524289), -EMSGSIZE, "more than max_msg is an error");
	free(out);
	free(in);
	world_deinit(&w);
}

/* Domain 1 permits domain 2, until no message of that length goes to it. */
static void fill_ring(struct world *w, const char *bytes, size_t length)
{
	sivc_permit(w->ea, 2);
	while (sivc_send(w->eb, 1, bytes, length, SIVC_NOWAIT) == 0)
		;
}

static void test_waiting_sender(void)
{
	struct world w;
	struct async_send s;
	char bytes[1000] = {0}, buffer[1000];

	world_init(&w);
	fill_ring(&w, bytes, sizeof(bytes));
	is(start(w.eb, &s, bytes, sizeof(bytes)), -EINPROGRESS, "at a full ring a sender waits");
	step(&w);
	ok(!s.done, "while nobody reads, it goes on waiting");
	sivc_receive(w.ea, SIVC_ANY, buffer, sizeof(buffer), NULL, SIVC_NOWAIT);
	for (int i = 0; i < 100 && !s.done; i++)
		step(&w);
	ok(s.done && s.error == 0, "one message read makes room for one");

	start(w.eb, &s, bytes, sizeof(bytes));
	sivc_refuse(w.ea, 2);
	for (int i = 0; i < 100 && !s.done; i++)
		step(&w);
	ok(s.done && s.error == -EACCES, "a sender that waits learns that it was refused");

	fill_ring(&w, bytes, sizeof(bytes));
	is(start(w.eb, &s, bytes, sizeof(bytes)), -EINPROGRESS, "it waits again");
	sivc_endpoint_close(w.ea);
	for (int i = 0; i < 100 && !s.done; i++)
		step(&w);
	ok(s.done && s.error == -EPIPE, "a sender that waits learns that the endpoint was closed");
	is(send_text(w.eb, 1, "x"), -EPIPE, "and so does the next");
	is(sivc_endpoint_open(w.a, "default", NULL, &w.ea), 0, "the endpoint is opened again");
	sivc_permit(w.ea, 2);
	is(send_text(w.eb, 1, "again"), 0, "and once it permits, messages go again");
	ok(got(w.ea, SIVC_ANY, "again"), "and arrive");
	world_deinit(&w);
}

struct reader {
	struct waiter waiter;
	int calls;
};

static void on_ready(struct waiter *waiter)
{
	((struct reader *)waiter)->calls++;
}

/* Whoever polls comes after those who wait with a message. */
static void test_poller_beside_sender(void)
{
	struct reader poller = {.waiter.fn = on_ready};
	struct world w;
	struct async_send s;
	char bytes[1000] = {0}, buffer[1000];

	world_init(&w);
	fill_ring(&w, bytes, sizeof(bytes));
	start(w.eb, &s, bytes, sizeof(bytes));
	is(wait_send(w.eb, 1, 1, &poller.waiter), 0, "beside a sender that waits one polls");
	step(&w);
	ok(!s.done && poller.calls == 0, "both wait, though there is room for what the one wants");
	sivc_receive(w.ea, SIVC_ANY, buffer, sizeof(buffer), NULL, SIVC_NOWAIT);
	for (int i = 0; i < 100 && !(s.done && poller.calls); i++)
		step(&w);
	ok(s.done && s.error == 0, "the sender goes on when there is room");
	is(poller.calls, 1, "and then the other one");

	poller.calls = 0;
	start(w.eb, &s, bytes, sizeof(bytes));
	sivc_refuse(w.ea, 2);
	is(sivc_writable(w.eb, 1, 1), -EACCES, "a refusal is found by one who does not wait");
	for (int i = 0; i < 100 && !s.done; i++)
		step(&w);
	ok(s.done && s.error == -EACCES, "who waits learns of it all the same");

	fill_ring(&w, bytes, 1);
	wait_send(w.eb, 1, 1, &poller.waiter);
	sivc_refuse(w.ea, 2);
	is(send_text(w.eb, 1, "x"), -EACCES, "it is found by one who sends");
	for (int i = 0; i < 100 && !poller.calls; i++)
		step(&w);
	is(poller.calls, 1, "who polls learns of it all the same");
	world_deinit(&w);
}

#define COMES_AGAIN 500

struct again {
	struct waiter waiter;
	struct sivc_endpoint *ep;
	int from; /* whom it receives from; or none, and it sends to domain 1 */
	int calls, errors;
};

static void come_again(struct waiter *waiter)
{
	struct again *again = (struct again *)waiter;
	char byte = 'x';
	int r;

	if (again->from == 0)
		r = sivc_send(again->ep, 1, &byte, 1, SIVC_NOWAIT);
	else
		r = (int)sivc_receive(again->ep, again->from, &byte, 1, NULL, SIVC_NOWAIT);
	again->errors += r < 0 && r != -EAGAIN;
	if (++again->calls >= COMES_AGAIN)
		return;
	if (again->from == 0)
		wait_send(again->ep, 1, 1, waiter);
	else
		wait_receive(again->ep, again->from, waiter);
}

static void on_timeout(void *data)
{
	++*(int *)data;
}

/* A program whose callback takes one and waits again, which is all that it does. */
static void test_come_again(void)
{
	struct again sender = {.waiter.fn = come_again};
	struct again readers[] = {
		{.waiter.fn = come_again, .from = SIVC_ANY}, {.waiter.fn = come_again, .from = 2}};
	int ends[2], at, heard;
	struct world w;

	world_init(&w);
	sivc_permit(w.ea, 2);
	sender.ep = w.eb;
	wait_send(w.eb, 1, 1, &sender.waiter);
	for (int i = 0; i < 100 && sender.calls < (int)RING / 16; i++)
		step(&w);
	ok(sender.calls >= (int)RING / 16 && sender.errors == 0,
		"who polls, sends one message and polls again fills the ring");
	wait_cancel(&sender.waiter);

	for (int i = 0; i < 2; i++) {
		fill_ring(&w, "y", 1);
		heard = 0;
		if (pipe(ends) < 0 || write(ends[1], "", 1) != 1)
			abort();
		sivc_add_fd(w.a, ends[0], POLLIN, on_timeout, &heard);
		readers[i].ep = w.ea;
		sivc_queued(w.ea, SIVC_ANY, NULL); /* so that the first look finds all */
		wait_receive(w.ea, readers[i].from, &readers[i].waiter);
		at = readers[i].calls;
		while (!heard)
			step(&w);
		ok(at < (int)RING / 16 && readers[i].errors == 0,
			"who receives one message and waits again leaves others their turn");
		for (int n = 0; n < 100 && readers[i].calls < (int)RING / 16; n++)
			step(&w);
		ok(readers[i].calls >= (int)RING / 16, "and gets all of them");
		wait_cancel(&readers[i].waiter);
		sivc_remove_fd(w.a, ends[0]);
		close(ends[0]);
		close(ends[1]);
	}
	world_deinit(&w);
}

/* Domain 3 comes and goes, so that domain 1, whose rules have names, looks at the names. */
static void names_change(struct world *w)
{
	struct pollfd fd = {sivc_fd(w->a), POLLIN, 0};

	sivc_close(domain_open(w->dir, 3, "carol"));
	while (poll(&fd, 1, 300) == 1) /* longer than any pause between two looks at names */
		sivc_dispatch(w->a);
}

static bool known(struct sivc_endpoint *ep, const char *peer)
{
	char *text = NULL;
	bool found = sivc_stats(ep, &text) > 0 && strstr(text, peer);

	free(text);
	return found;
}

/* Who has read a part has the rest, whatever becomes of the sender. */
static void test_putback_of_the_ended(void)
{
	struct sivc_message message;
	struct sivc_unread *unread;
	struct world w;

	world_init(&w);
	is(sivc_acl_write(w.ea, "allow bob\n", 10, true), 0, "a name is permitted");
	names_change(&w);
	is(send_text(w.eb, 1, "hello"), 0, "its domain sends");
	is(sivc_peek(w.ea, 2, &message), 0, "the message is there");
	is(sivc_take(w.ea, &message, &unread), 0, "it is taken");
	sivc_unread_skip(unread, 2);
	sivc_close(w.b);
	w.b = NULL;
	names_change(&w);
	ok(!sivc_permitted(w.ea, 2), "the domain ends, and is permitted no more");
	sivc_putback(unread);
	ok(got(w.ea, SIVC_ANY, "llo"), "the rest of what it sent is put back, and read");
	is(sivc_receive(w.ea, SIVC_ANY, NULL, 0, NULL, SIVC_NOWAIT), -EAGAIN, "all of it");
	ok(!known(w.ea, "peer=\"2\""), "then the domain is forgotten");
	world_deinit(&w);
}

static bool left(const struct sivc_unread *unread, const char *text)
{
	size_t length;
	const char *bytes = sivc_unread_bytes(unread, &length);

	return length == strlen(text) && memcmp(bytes, text, length) == 0;
}

/* What stats says of messages that were taken. */
static bool counted(struct sivc_endpoint *ep, int messages, int bytes)
{
	char *text = NULL, expected[2][128];
	bool found;

	snprintf(expected[0], sizeof(expected[0]),
		"received_messages_total{endpoint=\"default\",peer=\"2\"} %d\n", messages);
	snprintf(expected[1], sizeof(expected[1]),
		"received_bytes_total{endpoint=\"default\",peer=\"2\"} %d\n", bytes);
	found = sivc_stats(ep, &text) > 0 && strstr(text, expected[0]) && strstr(text, expected[1]);
	free(text);
	return found;
}

static void test_reading_in_parts(void)
{
	struct sivc_unread *first, *second;
	struct sivc_message message;
	struct world w;

	world_init(&w);
	sivc_permit(w.ea, 2);
	send_text(w.eb, 1, "hello");
	send_text(w.eb, 1, "world");
	sivc_peek(w.ea, SIVC_ANY, &message);
	is(sivc_take(w.ea, &message, &first), 0, "a message is taken");
	ok(left(first, "hello"), "it is whole");
	sivc_peek(w.ea, SIVC_ANY, &message);
	is(sivc_take(w.ea, &message, &second), 0, "so is the next");
	is(sivc_peek(w.ea, SIVC_ANY, &message), -EAGAIN, "they are not in the queue");
	ok(counted(w.ea, 2, 10), "and count as received");
	sivc_unread_skip(first, 2);
	ok(left(first, "llo"), "the rest of the first is left");
	sivc_putback(second);
	sivc_putback(first);
	ok(counted(w.ea, 0, 2), "what is put back does not count");
	is(sivc_peek(w.ea, SIVC_ANY, &message), 0, "a message is there again");
	is(message.length, 3, "which is the rest of the first");
	is(sivc_take(w.ea, &message, &first), 0, "it is taken again");
	ok(left(first, "llo"), "and begins where it was left");
	sivc_unread_skip(first, 3);
	sivc_putback(first);
	ok(got(w.ea, SIVC_ANY, "world"), "nothing is left of a message that was read to its end");
	ok(counted(w.ea, 2, 10), "and each byte counts once");
	send_text(w.eb, 1, "last");
	sivc_peek(w.ea, SIVC_ANY, &message);
	sivc_take(w.ea, &message, &first);
	sivc_endpoint_close(w.ea);
	w.ea = NULL;
	ok(left(first, "last"), "a message that was taken outlives its endpoint");
	sivc_putback(first);
	sivc_putback(NULL);
	sivc_unread_free(NULL);
	world_deinit(&w);
}

static void test_forgotten(void)
{
	struct world w;

	world_init(&w);
	sivc_acl_write(w.ea, "allow bob\n", 10, true);
	names_change(&w);
	send_text(w.eb, 1, "unread");
	sivc_close(w.b);
	w.b = NULL;
	names_change(&w);
	ok(known(w.ea, "peer=\"2\""),
		"a domain that has ended is known while it has unread messages");
	ok(got(w.ea, SIVC_ANY, "unread"), "they are read");
	is(sivc_receive(w.ea, SIVC_ANY, NULL, 0, NULL, SIVC_NOWAIT), -EAGAIN, "all of them");
	names_change(&w);
	ok(!known(w.ea, "peer=\"2\""), "then it is forgotten");
	world_deinit(&w);
}

static void test_many(void)
{
	struct world w;
	struct iovec messages[300];
	char byte = 'm', buffer[8];
	ssize_t n;
	int read = 0;

	world_init(&w);
	sivc_permit(w.ea, 2);
	for (int i = 0; i < 300; i++)
		messages[i] = (struct iovec){&byte, 1};
	n = sivc_send_many(w.eb, 1, messages, 300);
	is(n, RING / 16, "a batch goes as far as there is room");
	is(sivc_send_many(w.eb, 1, messages, 300), -EAGAIN, "at a full ring nothing of it goes");
	is((long)sivc_queued(w.ea, SIVC_ANY, NULL), n, "the receiver knows how much is queued");
	while (sivc_receive(w.ea, SIVC_ANY, buffer, sizeof(buffer), NULL, SIVC_NOWAIT) == 1)
		read++;
	is(read, n, "and gets as many messages");
	messages[2].iov_len = 0;
	is(sivc_send_many(w.eb, 1, messages, 5), 2, "a bad message stops a batch before it");
	world_deinit(&w);
}

/* In the middle of a long message sivc_wait looks out for the rest; who polls must be woken. */
static void test_polling_program(void)
{
	static char out[8 * RING], in[8 * RING];
	struct reader reader = {.waiter = {.fn = on_ready}};
	struct async_send s;
	struct pollfd fd;
	struct world w;

	world_init(&w);
	sivc_permit(w.ea, 2);
	fd = (struct pollfd){sivc_fd(w.a), POLLIN, 0};
	wait_receive(w.ea, SIVC_ANY, &reader.waiter);
	start(w.eb, &s, out, sizeof(out));
	while (poll(&fd, 1, 20) == 1)
		sivc_dispatch(w.a);
	sivc_dispatch(w.b);
	is(sivc_receive(w.ea, SIVC_ANY, in, sizeof(in), NULL, SIVC_NOWAIT), -EAGAIN,
		"a part of a long message is taken");
	sivc_dispatch(w.b);
	is(poll(&fd, 1, 1000), 1, "who polls is woken when more of it comes");
	wait_cancel(&reader.waiter);
	send_cancel(&s.sending);
	world_deinit(&w);
}

static void test_waiters(void)
{
	struct world w;
	struct reader any = {.waiter.fn = on_ready}, own = {.waiter.fn = on_ready};

	world_init(&w);
	sivc_permit(w.ea, 2);
	wait_receive(w.ea, SIVC_ANY, &any.waiter);
	wait_receive(w.ea, 2, &own.waiter);
	step(&w);
	is(any.calls + own.calls, 0, "nobody is called while there is nothing");
	send_text(w.eb, 1, "x");
	for (int i = 0; i < 100 && any.calls == 0; i++)
		step(&w);
	ok(own.calls == 1 && any.calls == 1, "who does not take a message leaves it to the next");
	wait_receive(w.ea, SIVC_ANY, &any.waiter);
	is(any.calls, 1,
		"one who comes when there is a message is not called from within the call");
	sivc_dispatch(w.a);
	is(any.calls, 2, "but when the loop runs next");
	ok(got(w.ea, SIVC_ANY, "x"), "the message is still there");
	wait_receive(w.ea, 2, &own.waiter);
	wait_cancel(&own.waiter);
	send_text(w.eb, 1, "y");
	step(&w);
	ok(got(w.ea, SIVC_ANY, "y"), "a message that nobody waits for is there for who asks");
	is(own.calls, 1, "one who has gone is not called");
	wait_receive(w.ea, SIVC_ANY, &any.waiter);
	send_text(w.eb, 1, "z");
	sivc_queued(w.ea, SIVC_ANY, NULL);
	for (int i = 0; i < 100 && any.calls < 3; i++)
		step(&w);
	is(any.calls, 3, "who looks how much is queued does not take another's wake-up");
	ok(got(w.ea, SIVC_ANY, "z"), "and finds it");
	world_deinit(&w);
}

/* Domain 3, a process of its own. */
static _Noreturn void send_long(const struct world *w, char *message, size_t length)
{
	struct sivc *sivc = domain_open(w->dir, 3, NULL);
	struct sivc_endpoint *ep;
	int r = sivc ? sivc_endpoint_open(sivc, "default", NULL, &ep) : -1;

	for (int i = 0; r == 0 && i < LONG_MESSAGES; i++) {
		memset(message, i, length);
		r = sivc_send(ep, 2, message, length, 0);
	}
	sivc_close(sivc);
	_exit(r != 0);
}

/*
 * Both sides look out for each other in the middle of a message, and go to sleep when that takes
 * too long: nobody may miss the moment in which the other one goes on.
 */
static void test_long_messages(void)
{
	static char message[16 * RING], received[16 * RING];
	struct world w;
	int status, whole = 0;
	pid_t pid;

	world_init(&w);
	sivc_permit(w.eb, 3);
	pid = fork();
	if (pid == 0)
		send_long(&w, message, sizeof(message));
	for (int i = 0; i < LONG_MESSAGES; i++) {
		ssize_t n = sivc_receive(w.eb, 3, received, sizeof(received), NULL, 0);

		memset(message, i, sizeof(message));
		whole += n == sizeof(message) && memcmp(message, received, (size_t)n) == 0;
	}
	is(whole, LONG_MESSAGES,
		spin ? "messages longer than the ring come whole to one who spins"
		     : "messages longer than the ring come whole, in a row");
	is(waitpid(pid, &status, 0) == pid ? status : -1, 0, "their sender was told so");
	world_deinit(&w);
}

static void test_acl_text(void)
{
	struct world w;
	char *text = NULL;

	world_init(&w);
	is(sivc_acl_write(w.ea, "allow bob\n", 10, true), 0, "a rule may be about a name");
	is(send_text(w.eb, 1, "x"), 0, "and permits who has it");
	is(sivc_acl_write(w.ea, "allow 3\nallow\n", 14, true), -EINVAL, "a bad line is an error");
	sivc_acl_read(w.ea, &text);
	ok(strcmp(text, "allow bob\n") == 0, "and then nothing has changed");
	free(text);
	ok(sivc_permitted(w.ea, 2) && !sivc_permitted(w.ea, 3), "in force either");
	sivc_close(w.b);
	w.b = NULL;
	for (int i = 0; i < 100 && sivc_permitted(w.ea, 2); i++) {
		poll(&(struct pollfd){sivc_fd(w.a), POLLIN, 0}, 1, 20);
		sivc_dispatch(w.a);
	}
	ok(!sivc_permitted(w.ea, 2), "when the name's domain has gone, its id is refused");
	w.b = domain_open(w.dir, 9, "bob");
	for (int i = 0; i < 100 && !sivc_permitted(w.ea, 9); i++) {
		poll(&(struct pollfd){sivc_fd(w.a), POLLIN, 0}, 1, 20);
		sivc_dispatch(w.a);
	}
	ok(sivc_permitted(w.ea, 9), "when it comes back with another id, that one is permitted");
	is(sivc_acl_write(w.ea, "allow carol\n", 12, true), 0,
		"a rule may be about a name that nobody has");
	ok(!sivc_permitted(w.ea, 9), "and then permits nobody");
	sivc_acl_write(w.ea, "", 0, true);
	ok(!sivc_permitted(w.ea, 9), "an empty table permits nobody");
	world_deinit(&w);
}

static void test_bad_settings(void)
{
	struct sivc *sivc = NULL;
	struct sivc_config config = {.backend = "local", .domid = 1, .ring = 5000};
	struct sivc_endpoint *ep;
	struct world w;
	pid_t holder = 0;

	is(sivc_open(&config, &sivc), -EINVAL, "a ring that is no power of two is an error");
	config.ring = 0;
	config.max_msg = 1 << 20;
	is(sivc_open(&config, &sivc), -EINVAL, "so is a message of 1 MiB");
	config.max_msg = 0;
	config.backend = "vmware";
	is(sivc_open(&config, &sivc), -EINVAL, "and a backend that there is not");
	world_init(&w);
	is(sivc_endpoint_open(w.a, "a/b", NULL, &ep), -EINVAL, "an endpoint's name has no slash");
	is(sivc_endpoint_open(w.a, "default", NULL, &ep), -EEXIST, "an endpoint is opened once");
	sivc = domain_open(w.dir, 1, NULL);
	is(sivc_endpoint_open(sivc, "default", &holder, &ep), -EBUSY, "by one process");
	is(holder, getpid(), "which is named");
	is(sivc_endpoint_open(sivc, "other", NULL, &ep), 0, "another endpoint is another matter");
	sivc_close(sivc);
	world_deinit(&w);
}

/* How late a timer wakes us, beside what it takes here. */
static useconds_t late_us;

int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	struct timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
	int r = ppoll(fds, count, timeout_ms < 0 ? NULL : &timeout, NULL);

	usleep(late_us);
	return r;
}

/* With one processor nobody spins. */
static uint32_t spins(uint32_t setting, useconds_t late)
{
	struct world w;
	uint32_t us;

	spin = setting;
	late_us = late;
	world_init(&w);
	us = sivc_spin(w.a);
	world_deinit(&w);
	late_us = spin = 0;
	return us;
}

/* Beside BUSY processes that never sleep. */
static uint32_t spins_beside_others(void)
{
	pid_t pids[BUSY];
	uint32_t us;

	for (int i = 0; i < BUSY; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			alarm(10);
			for (;;)
				;
		}
	}
	us = spins(SIVC_SPIN_DEFAULT, 0);
	for (int i = 0; i < BUSY; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	return us;
}

static void test_spin(void)
{
	bool alone = sysconf(_SC_NPROCESSORS_ONLN) == 1;
	uint32_t us;

	is(spins(50, 1000), alone ? 0 : 50, "who says for how long to spin has it so");
	is(spins(SIVC_SPIN_NONE, 1000), 0, "and who does not want it does not spin");
	us = spins(SIVC_SPIN_DEFAULT, 0);
	ok(alone || us >= 200, "without a word it is 200 us at least");
	us = spins(SIVC_SPIN_DEFAULT, 500);
	ok(alone || us >= 5000, "and ten times what it takes to wake here, if that is longer");
	is(spins(SIVC_SPIN_DEFAULT, 5000), alone ? 0 : SIVC_SPIN_MAX, "up to the longest there is");
	us = spins_beside_others();
	printf("# %u us\n", us);
	ok(us < SIVC_SPIN_MAX / 2,
		"a machine that is busy does not count as one that wakes slowly");
}

int main(void)
{
	test_permission();
	test_order();
	test_turns();
	test_fragments();
	test_waiting_sender();
	test_poller_beside_sender();
	test_come_again();
	test_putback_of_the_ended();
	test_reading_in_parts();
	test_forgotten();
	test_many();
	test_waiters();
	test_polling_program();
	test_long_messages();
	test_acl_text();
	test_bad_settings();
	test_spin();
	spin = 50;
	test_order();
	test_turns();
	test_waiters();
	test_long_messages();
	return done_testing();
}
