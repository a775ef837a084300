/* SPDX-License-Identifier: MIT */
/*
 * An endpoint, and the whole struct sivc, may be closed in any callback, also while a call waits.
 * Two domains, on the hypervisor in memory; it is the address sanitizer that sees whether what was
 * closed is used afterwards.
 */
#include "hostile.h"

#include <sys/epoll.h>

static struct house a, b; /* domains 1 and 2; the one that closes is `a` */
static bool descriptor;   /* of the program: it is that which calls */
static bool attacked;     /* who has mapped what was closed, and keeps it */

static void open_both(void)
{
	fake_reset();
	attacked = false;
	descriptor = false;
	house_open(&a, VICTIM, NULL);
	house_open(&b, FRIEND, NULL);
	if (sivc_permit(a.ep, FRIEND) < 0 || sivc_permit(b.ep, VICTIM) < 0)
		abort();
}

static bool close_both(void)
{
	house_close(&a);
	house_close(&b);
	CHECK(attacked || fake_leaks() == 0);
	return true;
}

/* What a callback does. */

static void close_endpoint(void)
{
	sivc_endpoint_close(a.ep);
	a.ep = NULL;
}

static void close_all(void)
{
	house_close(&a);
	a.ep = NULL;
}

static void reopen_endpoint(void)
{
	close_endpoint();
	if (sivc_endpoint_open(a.sivc, "default", NULL, &a.ep) < 0 || sivc_permit(a.ep, FRIEND) < 0)
		abort();
}

static void reopen_all(void)
{
	close_all();
	house_open(&a, VICTIM, NULL);
	if (sivc_permit(a.ep, FRIEND) < 0)
		abort();
}

static void (*const ways[])(void) = {close_endpoint, close_all, reopen_endpoint, reopen_all};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

/* In which callbacks. */

static void (*act)(void);
static unsigned int called; /* callbacks, of which the first one acts */

static void act_once(void)
{
	if (called++ == 0)
		act();
}

static void on_message(void *data, int r, const struct sivc_message *message)
{
	(void)data;
	(void)r;
	(void)message;
	act_once();
}

static void on_room(void *data)
{
	(void)data;
	act_once();
}

static void on_done(void *data, int r, size_t sent)
{
	(void)data;
	(void)r;
	(void)sent;
	act_once();
}

static void on_readable(void *data)
{
	(void)data;
	act_once();
}

static const char bytes[RING];
static const struct iovec message = {(void *)(uintptr_t)bytes, RING / 2};

/* The next thing to send has to wait. */
static void fill(void)
{
	while (send_bytes(&a, FRIEND, bytes, RING / 2) == 0)
		;
}

static void drain(void)
{
	while (receive(&b, VICTIM, NULL, 0) > 0)
		;
}

static int pipes[2];

static bool make_readable(void)
{
	descriptor = true;
	CHECK_IS(pipe(pipes), 0);
	CHECK_IS(write(pipes[1], "x", 1), 1);
	CHECK_IS(sivc_add_fd(a.sivc, pipes[0], EPOLLIN, on_readable, NULL), 0);
	return true;
}

static void close_pipes(void)
{
	close(pipes[0]);
	close(pipes[1]);
}

/* Several wait for each thing: those behind the first one are let go, or it was reopened. */

static bool readers_wait(void)
{
	struct sivc_waiter *waiter;

	for (int i = 0; i < 3; i++) {
		CHECK_IS(sivc_wait_receive(a.ep, SIVC_ANY, on_message, NULL, &waiter), 0);
		CHECK_IS(sivc_wait_receive(a.ep, FRIEND, on_message, NULL, &waiter), 0);
	}
	CHECK_IS(send_bytes(&b, VICTIM, "x", 1), 0);
	CHECK_IS(send_bytes(&b, VICTIM, "x", 1), 0);
	return true;
}

static bool writers_wait(void)
{
	struct sivc_waiter *waiter;

	fill();
	for (int i = 0; i < 3; i++)
		CHECK_IS(sivc_wait_send(a.ep, FRIEND, 1, on_room, NULL, &waiter), 0);
	drain();
	return true;
}

static bool sendings_wait(void)
{
	struct sivc_sending *sending;

	fill();
	for (int i = 0; i < 3; i++)
		CHECK_IS(sivc_send_start(a.ep, FRIEND, &message, 1, on_done, NULL, &sending),
			-EINPROGRESS);
	drain();
	return true;
}

/* They fail, because the receiver has gone. */
static bool sendings_fail(void)
{
	CHECK(sendings_wait());
	fill();
	sivc_endpoint_close(b.ep);
	b.ep = NULL;
	return true;
}

/* A message that is given waits for its domain's breach, too. */
static bool reader_of_a_breach_waits(void)
{
	struct sivc_waiter *waiter;
	struct attacker x;

	CHECK_IS(sivc_permit(a.ep, ATTACKER), 0);
	attacked = true;
	attacker_open(&x);
	CHECK(attacker_link(&x, VICTIM));
	attacker_put(&x, 8, 77, "12345678", 8);
	attacker_publish(&x);
	CHECK_IS(sivc_wait_receive(a.ep, ATTACKER, on_message, NULL, &waiter), 0);
	return true;
}

static bool (*const setups[])(void) = {
	readers_wait, writers_wait, sendings_wait, sendings_fail, reader_of_a_breach_waits,
	make_readable, /* the last one */
};

#define SETUPS (sizeof(setups) / sizeof(setups[0]))

static bool with_each(bool (*fn)(void))
{
	for (size_t i = 0; i < SETUPS; i++) {
		for (size_t j = 0; j < WAYS; j++) {
			open_both();
			called = 0;
			act = ways[j];
			if (!setups[i]() || !fn() || !close_both()) {
				printf("# callback %zu, way %zu\n", i, j);
				return false;
			}
			if (setups[i] == make_readable)
				close_pipes();
		}
	}
	return true;
}

static bool ends_all(void)
{
	return act == close_all || act == reopen_all;
}

/* The program's own loop: sivc_wait says that there is nothing left to wait for. */
static bool wait_and_close(void)
{
	struct sivc *sivc = a.sivc;
	int r = 0;

	for (int i = 0; called == 0 && i < 10 && r == 0; i++)
		r = sivc_wait(sivc, 100);
	CHECK(called > 0);
	CHECK_IS(r, ends_all() ? -ESHUTDOWN : 0);
	for (int i = 0; i < 3 && a.sivc; i++)
		CHECK_IS(sivc_dispatch(a.sivc), 0);
	/* Those who waited at what was closed are not called.  A descriptor is the program's. */
	CHECK(called == 1 || (descriptor && !ends_all()));
	return true;
}

static bool close_in_wait(void)
{
	return with_each(wait_and_close);
}

/* A call that waits, of the endpoint that is closed.  Nobody is left to wait for. */
static bool receive_and_close(void)
{
	char byte;

	CHECK_IS(sivc_receive(a.ep, 77, &byte, 1, NULL, 0), -ESHUTDOWN);
	CHECK(called > 0);
	return true;
}

static bool close_in_receive(void)
{
	return with_each(receive_and_close);
}

/* It stands in a line of its own: at itself, whose messages nobody takes. */
static bool send_and_close(void)
{
	if (sivc_permit(a.ep, VICTIM) < 0)
		abort();
	while (send_bytes(&a, VICTIM, bytes, RING / 2) == 0)
		;
	CHECK_IS(sivc_send(a.ep, VICTIM, bytes, RING / 2, 0), -ESHUTDOWN);
	CHECK(called > 0);
	return true;
}

static bool close_in_send(void)
{
	return with_each(send_and_close);
}

/* In a callback that waits itself. */
static void (*inner)(void);

static void wait_inside(void)
{
	struct sivc_endpoint *ep = a.ep;

	called = 0;
	act = inner;
	if (!make_readable() || sivc_receive(ep, 77, NULL, 0, NULL, 0) != -ESHUTDOWN)
		abort();
	close_pipes();
}

static bool close_in_a_call_within_a_callback(void)
{
	for (size_t i = 0; i < SETUPS && setups[i] != make_readable; i++) {
		for (size_t j = 0; j < WAYS; j++) {
			open_both();
			called = 0;
			act = wait_inside;
			inner = ways[j];
			CHECK(setups[i]());
			CHECK_IS(sivc_receive(a.ep, 78, NULL, 0, NULL, 0), -ESHUTDOWN);
			CHECK(close_both());
		}
	}
	return true;
}

/* One that was opened in done() sends and receives at once. */
static int tries;

static void on_failed(void *data, int r, size_t sent)
{
	struct sivc_sending *sending;

	(void)data;
	(void)sent;
	if (r != -EPIPE || ++tries == 100)
		return;
	reopen_endpoint();
	if (sivc_endpoint_open(b.sivc, "default", NULL, &b.ep) < 0 || sivc_permit(b.ep, VICTIM) < 0)
		abort();
	house_run(&b);
	fill();
	if (sivc_send_start(a.ep, FRIEND, &message, 1, on_failed, NULL, &sending) != -EINPROGRESS)
		abort();
	sivc_endpoint_close(b.ep);
	b.ep = NULL;
}

static bool reopened_in_done(void)
{
	struct sivc_sending *sending;

	open_both();
	fill();
	CHECK_IS(sivc_send_start(a.ep, FRIEND, &message, 1, on_failed, NULL, &sending),
		-EINPROGRESS);
	sivc_endpoint_close(b.ep);
	b.ep = NULL;
	for (int i = 0; tries < 100 && i < 1000; i++)
		CHECK_IS(sivc_wait(a.sivc, 10), 0);
	CHECK_IS(tries, 100);
	return close_both();
}

int main(void)
{
	holds("what is closed in a callback of sivc_wait is not used again, and may be reopened",
		close_in_wait);
	holds("a sivc_receive that waits meanwhile returns -ESHUTDOWN", close_in_receive);
	holds("so does a sivc_send", close_in_send);
	holds("and a call that waits in a callback of one that waits",
		close_in_a_call_within_a_callback);
	holds("an endpoint may be reopened in done(), again and again", reopened_in_done);
	return done_testing();
}
