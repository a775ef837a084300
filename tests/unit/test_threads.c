/* SPDX-License-Identifier: MIT */
/*
 * What two domains share, with each of them in a thread, and both at the same addresses: there
 * ThreadSanitizer (tests/run.sh tsan) sees every access of both sides.  Without it these are tests
 * of the real order of loads and stores on this machine.
 *
 * A lost wake-up is a test that does not end: the alarm ends it.
 */
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <sivc/sivc.h>

#include "loop.h"
#include "page.h"
#include "ring.h"
#include "shared.h"
#include "tap.h"

#define SIZE       1024u
#define TIME_LIMIT 60 /* seconds a test */
#define ENOUGH     10 /* seconds of a test that can stop at any time */

/* ThreadSanitizer takes ten times as long. */
#ifdef __SANITIZE_THREAD__
#define MESSAGES 20000u
#define ROUNDS   100
#else
#define MESSAGES 200000u
#define ROUNDS   1000
#endif

/* The two sides of a ring. */

static struct {
	struct sivc_page page;
	struct sivc_ctl ctl;
	uint8_t data[SIZE] __attribute__((aligned(8)));
	int data_channel, space_channel; /* event channels */
	atomic_bool stop;
} common;

static void common_init(void)
{
	memset(&common.page, 0, sizeof(common.page));
	memset(&common.ctl, 0, sizeof(common.ctl));
	memset(common.data, 0, sizeof(common.data));
	common.data_channel = eventfd(0, 0);
	common.space_channel = eventfd(0, 0);
	atomic_store(&common.stop, false);
}

static void common_deinit(void)
{
	close(common.data_channel);
	close(common.space_channel);
}

static void notify(int channel)
{
	uint64_t one = 1;

	if (write(channel, &one, sizeof(one)) != sizeof(one))
		abort();
}

static void wait_for(int channel)
{
	uint64_t count;

	if (read(channel, &count, sizeof(count)) != sizeof(count))
		abort();
}

static uint32_t length_of(uint32_t serial)
{
	return (uint32_t)sizeof(serial) + serial * 7 % (SIZE / 3);
}

static void make_room(struct ring_tx *tx, uint32_t need)
{
	uint32_t room;
	bool sleep;

	while (ring_tx_room(tx, need, &room) == 0 && room < need)
		if (ring_tx_sleep(tx, need, &sleep) == 0 && sleep)
			wait_for(common.space_channel);
}

static void *send_all(void *unused)
{
	uint8_t message[SIZE];
	struct ring_tx tx;

	if (ring_tx_init(&tx, &common.page, &common.ctl, common.data, SIZE) < 0)
		abort();
	for (uint32_t serial = 1; serial <= MESSAGES; serial++) {
		uint32_t length = length_of(serial);

		memset(message, (int)serial, length);
		memcpy(message, &serial, sizeof(serial));
		make_room(&tx, ring_span(length));
		ring_tx_put(&tx, SIVC_FRAME_FIRST | SIVC_FRAME_LAST, message, length);
		if (ring_tx_publish(&tx))
			notify(common.data_channel);
	}
	return unused;
}

/* The next message is in message[]; its length, or a negative errno. */
static int take(struct ring_rx *rx, uint8_t *message)
{
	struct ring_frame frame;
	int r = ring_rx_look(rx);

	if (r == 0)
		r = ring_rx_frame(rx, rx->cons, &frame);
	if (r < 0)
		return r;
	for (int i = 0; i < frame.iovcnt; i++) {
		shared_copy_from(message, frame.iov[i].iov_base, frame.iov[i].iov_len);
		message += frame.iov[i].iov_len;
	}
	ring_rx_advance(rx, frame.next);
	if (ring_rx_release(rx))
		notify(common.space_channel);
	return (int)frame.length;
}

static bool is_message(const uint8_t *message, int length, uint32_t serial)
{
	uint32_t got;

	memcpy(&got, message, sizeof(got));
	return got == serial && (uint32_t)length == length_of(serial) &&
	       (length == sizeof(serial) || message[length - 1] == (uint8_t)serial);
}

static void test_ring(void)
{
	uint8_t message[SIZE];
	struct ring_rx rx;
	pthread_t sender;
	uint32_t good = 0;
	bool sleep;
	int r = 0;

	common_init();
	ring_rx_init(&rx, &common.page, &common.ctl, common.data, SIZE);
	pthread_create(&sender, NULL, send_all, NULL);
	while (good < MESSAGES && (r >= 0 || r == -EAGAIN)) {
		r = take(&rx, message);
		if (r == -EAGAIN && ring_rx_sleep(&rx, &sleep) == 0 && sleep)
			wait_for(common.data_channel);
		else if (r > 0 && !is_message(message, r, good + 1))
			break;
		good += r > 0;
	}
	is(good, MESSAGES,
		"messages between two threads arrive whole, in order, and wake whoever sleeps");
	pthread_join(sender, NULL);
	common_deinit();
}

/* The sender is hostile: all it may write changes all the time, most of it to what makes sense. */
static void *scribble(void *unused)
{
	uint32_t random = 1;

	while (!atomic_load(&common.stop)) {
		uint32_t cons = shared_load_acquire(&common.page.cons);
		uint32_t *words; /* of a frame of 16 bytes */
		bool good;

		random = random * 1664525 + 1013904223;
		good = random >> 21 != 0;
		words = (uint32_t *)(void *)common.data + (random >> 8) % (SIZE / 16) * 4;
		shared_store(&words[0], good ? 8 : random);
		shared_store(&words[1], good ? SIVC_FRAME_FIRST | SIVC_FRAME_LAST : random);
		shared_store(&words[2], random);
		shared_store(&words[3], random);
		shared_store_release(
			&common.ctl.prod, cons + (random >> 16) % (good ? 4 : SIZE) * 16);
		shared_store(&common.ctl.space_event, random);
		shared_store8(&common.ctl.sender_alive, (uint8_t)random);
	}
	return unused;
}

static void test_hostile_sender(void)
{
	uint8_t message[SIZE], kept[SIZE];
	unsigned int messages = 0, breaches = 0;
	struct ring_rx rx, copy;
	uint64_t end = loop_now() + ENOUGH * 1000 * NSEC_PER_MSEC;
	pthread_t sender;
	int r = -EPROTO; /* begin anew */

	common_init();
	pthread_create(&sender, NULL, scribble, NULL);
	/* On a busy machine a turn of the other thread takes long: then a few of each are enough.
	 */
	while ((messages < MESSAGES / 20 || breaches < MESSAGES / 200) &&
		(loop_now() < end || messages == 0 || breaches < 2)) {
		if (r == -EPROTO) {
			ring_rx_init(&rx, &common.page, &common.ctl, common.data, SIZE);
			shared_store_release(&common.page.cons, 0);
			breaches++;
		}
		r = take(&rx, message);
		messages += r > 0;
		if (r == -EAGAIN)
			sched_yield();
		else
			ring_rx_copy(&rx, kept, &copy);
	}
	atomic_store(&common.stop, true);
	pthread_join(sender, NULL);
	ok(true, "a ring that is rewritten while it is read gives %u messages and %u breaches",
		messages, breaches);
	common_deinit();
}

/* The page: the owner's permission number n has n in all of its fields. */
static void *change_page(void *unused)
{
	struct page_owner owner;
	uint32_t refs[8];

	page_init(&owner, &common.page, 1);
	for (uint32_t n = 1; !atomic_load(&common.stop); n++) {
		for (int i = 0; i < 8; i++)
			refs[i] = n;
		page_permit(&owner, &(struct page_permission){
					    .ring_nonce = n,
					    .port = n,
					    .ctl_ref = n,
					    .ring_pages = 8,
					    .max_msg = n,
					    .refs = refs,
				    });
		page_revoke_begin(&owner);
		page_revoke_end(&owner, SIVC_VERDICT_REFUSED, n, n);
	}
	return unused;
}

static bool is_one_permission(const struct page_view *view)
{
	uint32_t n = view->port;

	if (view->verdict != SIVC_VERDICT_PERMITTED)
		return view->final_nonce == view->final && n == 0;
	for (int i = 0; i < 8; i++)
		if (view->refs[i] != n)
			return false;
	return view->ring_nonce == n && view->ctl_ref == n && view->max_msg == n;
}

static void test_page(void)
{
	static struct page_view view;
	unsigned int whole = 0, torn = 0;
	pthread_t owner;

	common_init();
	pthread_create(&owner, NULL, change_page, NULL);
	while (whole < MESSAGES / 10) {
		if (page_read(&common.page, 1, &view) != 0)
			continue;
		whole++;
		torn += !is_one_permission(&view);
	}
	atomic_store(&common.stop, true);
	pthread_join(owner, NULL);
	is(torn, 0,
		"a permission that is read while another thread changes it is one, and not two "
		"halves");
	common_deinit();
}

/* libsivc: a thread has a domain of its own. */

static char dir[] = "/tmp/test_threads.XXXXXX";

struct domain {
	struct sivc *sivc;
	struct sivc_endpoint *ep;
	uint16_t domid, peer;
	unsigned int received;
};

static void domain_open(struct domain *domain)
{
	struct sivc_config config = {
		.backend = "local", .dir = dir, .domid = domain->domid, .ring = 4096};

	if (sivc_open(&config, &domain->sivc) < 0 ||
		sivc_endpoint_open(domain->sivc, "default", NULL, &domain->ep) < 0 ||
		sivc_permit(domain->ep, domain->peer) < 0)
		abort();
}

/* One of a pair asks, and opens its domain anew now and then; the other one answers. */
static void *ask(void *data)
{
	struct domain *domain = data;
	char answer[64];

	for (int round = 0; round < ROUNDS; round++) {
		if (round % 10 == 0) {
			sivc_close(domain->sivc);
			domain_open(domain);
		}
		while (sivc_send(domain->ep, domain->peer, "question", 8, 0) < 0)
			; /* the other one has not opened its own yet */
		while (sivc_receive(domain->ep, SIVC_ANY, answer, sizeof(answer), NULL, 0) < 0)
			;
		domain->received++;
	}
	return NULL;
}

static void *answer(void *data)
{
	struct domain *domain = data;
	char question[64];
	uint16_t sender;

	domain_open(domain);
	while (domain->received < ROUNDS) {
		if (sivc_receive(domain->ep, SIVC_ANY, question, sizeof(question), &sender, 0) < 0)
			continue;
		domain->received++;
		while (sivc_send(domain->ep, sender, "answer", 6, 0) < 0)
			;
	}
	return NULL;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void test_domains(void)
{
	struct domain domains[4] = {{.domid = 1, .peer = 2}, {.domid = 2, .peer = 1},
		{.domid = 3, .peer = 4}, {.domid = 4, .peer = 3}};
	pthread_t threads[4];
	bool good = true;

	if (!mkdtemp(dir))
		abort();
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, i % 2 ? answer : ask, &domains[i]);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		good = good && domains[i].received == ROUNDS;
	}
	for (int i = 0; i < 4; i++)
		sivc_close(domains[i].sivc);
	ok(good, "threads that have a domain each, and open and close them, talk with each other");
	nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	static void (*const tests[])(void) = {
		test_ring, test_hostile_sender, test_page, test_domains};

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		alarm(TIME_LIMIT);
		tests[i]();
	}
	return done_testing();
}
