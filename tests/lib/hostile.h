/* SPDX-License-Identifier: MIT */
/*
 * hostile.h: what the tests against a hostile domain have in common.
 *
 * Three domains on the hypervisor in memory (tests/lib/fake_hv.h).  The victim (1) and its friend
 * (2) are libsivc as it is.  The attacker (3) has no libsivc: it is a kernel in the wrong hands
 * that uses the seam itself and writes what it likes into everything that it may write.
 *
 * Each test runs in a process of its own with a time limit: a victim that crashes or hangs is a
 * test that failed.
 */
#ifndef SIVC_HOSTILE_H
#define SIVC_HOSTILE_H

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fake_hv.c"

#include "endpoint.h"
#include "inbound.h"
#include "outbound.h"
#include "page.h"
#include "receiver.h"
#include "ring.h"
#include "sender.h"
#include "tap.h"
#include "tuning.h"
#include "waits.h"

#define VICTIM   1
#define FRIEND   2
#define ATTACKER 3

#define RING       16384u /* of the victim and its friend */
#define MAX_MSG    32768u
#define RING_PAGES (RING / SIVC_PAGE_SIZE)
#define WHOLE      (SIVC_FRAME_FIRST | SIVC_FRAME_LAST)
#define STREAMS    "backup" /* the endpoint of streams */

#define TIME_LIMIT 20 /* seconds a test */

/* Processor time that one call may take, whatever a peer does: others wait that long. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CALL_US 200000
#else
#define CALL_US 20000
#endif

/* A domain that is what it should be. */
struct house {
	struct sivc *sivc;
	struct sivc_endpoint *ep;
	struct sivc_endpoint *streams; /* NULL until it was opened */
	unsigned int warnings;         /* lines of LOG_WARNING and worse */
	unsigned int left_out; /* lines, as the last one of report.c that counts them says */
};

/* The attacker's end of a channel, either as the sender or as the receiver. */
struct attacker {
	const char *endpoint; /* which one it attacks, as the store calls it */
	struct hv *hv;
	struct hv_events *events;
	struct hv_port *port;
	struct sivc_page *page; /* NULL until it was linked */
	struct sivc_ctl *ctl;
	uint8_t *data;
	uint32_t size; /* of data, bytes */
	uint32_t prod; /* as the sender */
	uint32_t page_ref, ctl_ref, refs[SIVC_RING_PAGES_MAX];
	uint64_t nonce, ring_nonce;
	uint32_t seq;
	unsigned long heard; /* events */
};

static inline void on_log(void *data, int priority, const char *message)
{
	struct house *house = data;

	house->warnings += priority <= 4; /* LOG_WARNING */
	sscanf(message, "%u messages", &house->left_out);
	if (getenv("SIVC_TEST_LOG"))
		printf("# log: %s\n", message);
}

static inline void house_open_ring(struct house *house, int domid, const char *name, uint32_t ring)
{
	struct sivc_config config = {
		.backend = "local",
		.domid = domid,
		.name = name,
		.ring = ring,
		.max_msg = MAX_MSG,
		.log = on_log,
		.log_data = house,
	};

	*house = (struct house){0};
	if (sivc_open(&config, &house->sivc) < 0 ||
		sivc_endpoint_open(house->sivc, "default", NULL, &house->ep) < 0)
		abort();
}

static inline void house_open(struct house *house, int domid, const char *name)
{
	house_open_ring(house, domid, name, RING);
}

static inline void house_open_streams(struct house *house)
{
	if (sivc_stream_open(house->sivc, STREAMS, NULL, &house->streams) < 0)
		abort();
}

static inline void house_close(struct house *house)
{
	sivc_close(house->sivc);
	house->sivc = NULL;
}

/* A house does all that it has to do now. */
static inline void house_run(struct house *house)
{
	for (int i = 0; i < 8; i++)
		sivc_dispatch(house->sivc);
}

static inline uint64_t now_ms(void)
{
	return loop_now() / 1000000;
}

/* Processor time of this thread: what others do on the machine does not count. */
static inline uint64_t used_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* It runs for a while, and sleeps when it has nothing to do. */
static inline void house_live(struct house *house, int ms)
{
	uint64_t end = now_ms() + (uint64_t)ms;

	for (uint64_t now = now_ms(); now < end; now = now_ms())
		sivc_wait(house->sivc, (int)(end - now));
}

static inline int send_bytes(struct house *from, uint16_t to, const void *bytes, size_t length)
{
	return sivc_send(from->ep, to, bytes, length, SIVC_NOWAIT);
}

static inline ssize_t receive(struct house *house, int from, void *buffer, size_t size)
{
	return sivc_receive(house->ep, from, buffer, size, NULL, SIVC_NOWAIT);
}

/* Messages go from `a` to `b`. */
static inline bool goes(struct house *a, struct house *b)
{
	static uint32_t serial;
	uint32_t got = 0;
	uint16_t sender = 0;

	serial++;
	return send_bytes(a, sivc_domid(b->sivc), &serial, sizeof(serial)) == 0 &&
	       sivc_receive(b->ep, sivc_domid(a->sivc), &got, sizeof(got), &sender, SIVC_NOWAIT) ==
		       sizeof(got) &&
	       got == serial && sender == sivc_domid(a->sivc);
}

static inline void attacker_heard(void *data)
{
	((struct attacker *)data)->heard++;
}

static inline void attacker_open(struct attacker *x)
{
	struct hv_config config = {.backend = "local", .domid = ATTACKER};

	*x = (struct attacker){.endpoint = "default"};
	if (hv_open(&config, &x->hv) < 0 || hv_events_new(x->hv, &x->events) < 0)
		abort();
}

/* If it has nothing open. */
static inline void attacker_close(struct attacker *x)
{
	hv_events_free(x->events);
	hv_close(x->hv);
}

/* As a sender: takes what `owner` has published for it.  False: nothing that it may send to. */
static inline bool attacker_link(struct attacker *x, uint16_t owner)
{
	struct page_view view;
	char value[SIVC_NODE_MAX];
	void *memory;

	if (hv_node_read(x->hv, owner, x->endpoint, value, sizeof(value)) < 0 ||
		sscanf(value, "1 %" SCNu32 " %" SCNx64, &x->page_ref, &x->nonce) != 2 ||
		hv_map(x->hv, owner, 1, &x->page_ref, false, NULL, &memory) < 0)
		return false;
	x->page = memory;
	if (page_read(x->page, x->nonce, &view) < 0 || view.verdict != SIVC_VERDICT_PERMITTED)
		return false;
	x->size = view.ring_pages * SIVC_PAGE_SIZE;
	if (hv_port_bind(x->events, owner, view.port, attacker_heard, x, &x->port) < 0 ||
		hv_map(x->hv, owner, 1, &view.ctl_ref, true, NULL, &memory) < 0)
		return false;
	x->ctl = memory;
	x->prod = x->ctl->prod & ~(SIVC_FRAME_ALIGN - 1);
	if (hv_map(x->hv, owner, view.ring_pages, view.refs, true, NULL, &memory) < 0)
		return false;
	x->data = memory;
	return true;
}

/* Puts a frame of any kind at the attacker's place in the ring. */
static inline void attacker_put(
	struct attacker *x, uint32_t length, uint32_t flags, const void *bytes, uint32_t size)
{
	struct sivc_frame *frame = (void *)(x->data + x->prod % x->size);

	*frame = (struct sivc_frame){length, flags};
	for (uint32_t i = 0; i < size; i++)
		x->data[(x->prod + sizeof(*frame) + i) % x->size] =
			bytes ? ((const uint8_t *)bytes)[i] : 0;
	x->prod += ring_span(size);
}

static inline void attacker_publish(struct attacker *x)
{
	__atomic_store_n(&x->ctl->prod, x->prod, __ATOMIC_SEQ_CST);
	hv_port_notify(x->port);
}

/* A good message. */
static inline void attacker_send(struct attacker *x, const void *bytes, uint32_t length)
{
	attacker_put(x, length, WHOLE, bytes, length);
	attacker_publish(x);
}

/* As a receiver: what it says to `reader`, in parts that a test can spoil. */
static inline void attacker_page(struct attacker *x, uint16_t reader)
{
	struct page_owner owner;
	void *memory;

	x->nonce = nonce_draw();
	if (hv_share(x->hv, reader, 1, false, NULL, &memory, &x->page_ref) < 0)
		abort();
	x->page = memory;
	page_init(&owner, memory, x->nonce);
}

static inline void attacker_ring(struct attacker *x, uint16_t reader, uint32_t pages)
{
	void *memory;

	if (hv_share(x->hv, reader, 1, true, NULL, &memory, &x->ctl_ref) < 0)
		abort();
	x->ctl = memory;
	x->ctl->receiver_alive = 1;
	if (hv_share(x->hv, reader, pages, true, NULL, &memory, x->refs) < 0 ||
		hv_port_alloc(x->events, reader, attacker_heard, x, &x->port) < 0)
		abort();
	x->data = memory;
	x->size = pages * SIVC_PAGE_SIZE;
	x->ring_nonce = nonce_draw();
}

static inline void attacker_permit(struct attacker *x)
{
	struct page_owner owner = {.page = x->page, .nonce = x->nonce, .seq = x->seq};

	page_permit(&owner, &(struct page_permission){
				    .ring_nonce = x->ring_nonce,
				    .port = hv_port_number(x->port),
				    .ctl_ref = x->ctl_ref,
				    .ring_pages = x->size / SIVC_PAGE_SIZE,
				    .max_msg = MAX_MSG,
				    .refs = x->refs,
			    });
	x->seq = owner.seq;
}

static inline void attacker_node(struct attacker *x, uint16_t reader)
{
	char value[SIVC_NODE_MAX];

	snprintf(value, sizeof(value), SIVC_NODE_FORMAT, x->page_ref, x->nonce);
	fake_node_set(ATTACKER, x->endpoint, reader, value);
}

/* All of it at once: a receiver that permits `reader`, and is all right so far. */
static inline void attacker_serve(struct attacker *x, uint16_t reader)
{
	attacker_page(x, reader);
	attacker_ring(x, reader, RING_PAGES);
	attacker_permit(x);
	attacker_node(x, reader);
}

/* What a rewritten page's readers have to look at again. */
static inline void attacker_turn(struct attacker *x)
{
	x->seq += 2;
	__atomic_store_n(&x->page->seq, x->seq, __ATOMIC_SEQ_CST);
}

/* As a receiver: takes everything, and signals. */
static inline void attacker_take(struct attacker *x)
{
	__atomic_store_n(&x->page->cons, x->ctl->prod, __ATOMIC_SEQ_CST);
	hv_port_notify(x->port);
}

/* The attacker's other thread, which never rests. */
struct scribbler {
	struct attacker *x;
	void (*scribble)(struct attacker *x, uint64_t *random);
	atomic_bool stop;
	pthread_t thread;
};

static inline void *scribbler_run(void *data)
{
	struct scribbler *scribbler = data;
	uint64_t random = 1;

	while (!atomic_load(&scribbler->stop))
		scribbler->scribble(scribbler->x, &random);
	return NULL;
}

static inline void scribbler_start(struct scribbler *scribbler)
{
	atomic_store(&scribbler->stop, false);
	pthread_create(&scribbler->thread, NULL, scribbler_run, scribbler);
}

static inline void scribbler_stop(struct scribbler *scribbler)
{
	atomic_store(&scribbler->stop, true);
	pthread_join(scribbler->thread, NULL);
}

/* The three of them.  The victim permits both others, and the friend permits the victim. */
struct scene {
	struct house victim, friend;
	struct attacker x;
};

static inline void scene_open_ring(struct scene *s, uint32_t ring)
{
	fake_reset();
	house_open_ring(&s->victim, VICTIM, "victim", ring);
	house_open(&s->friend, FRIEND, "friend");
	attacker_open(&s->x);
	if (sivc_permit(s->victim.ep, FRIEND) < 0 || sivc_permit(s->victim.ep, ATTACKER) < 0 ||
		sivc_permit(s->friend.ep, VICTIM) < 0)
		abort();
}

static inline void scene_open(struct scene *s)
{
	scene_open_ring(s, RING);
}

/* And the same with streams, which the attacker goes for. */
static inline void scene_open_streams(struct scene *s)
{
	scene_open(s);
	house_open_streams(&s->victim);
	house_open_streams(&s->friend);
	s->x.endpoint = SIVC_STREAM_PREFIX STREAMS;
	if (sivc_permit(s->victim.streams, FRIEND) < 0 ||
		sivc_permit(s->victim.streams, ATTACKER) < 0 ||
		sivc_permit(s->friend.streams, VICTIM) < 0)
		abort();
}

static inline void scene_close(struct scene *s)
{
	house_close(&s->victim);
	house_close(&s->friend);
	fake_reset();
}

/* The victim and its friend notice nothing of it all. */
static inline bool others_go_on(struct scene *s)
{
	return goes(&s->friend, &s->victim) && goes(&s->victim, &s->friend);
}

/*
 * A test in a process of its own: `sentence` holds if fn returns true in time.  What it writes to
 * standard output are comments.
 */
static inline void holds(const char *sentence, bool (*fn)(void))
{
	const char *only = getenv("SIVC_TEST_ONLY");
	int status = 0;
	pid_t pid;

	if (only && !strstr(sentence, only))
		return;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		alarm(TIME_LIMIT);
		exit(fn() ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	waitpid(pid, &status, 0);
	ok(status == 0, "%s", sentence);
	if (WIFSIGNALED(status))
		printf("# %s\n", WTERMSIG(status) == SIGALRM ? "it did not end in time"
							     : strsignal(WTERMSIG(status)));
}

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("# %s:%d: %s\n", __func__, __LINE__, #condition);                   \
			return false;                                                              \
		}                                                                                  \
	} while (0)

#define CHECK_IS(got, want)                                                                        \
	do {                                                                                       \
		long long got_ = (long long)(got), want_ = (long long)(want);                      \
		if (got_ != want_) {                                                               \
			printf("# %s:%d: %s is %lld, not %lld\n", __func__, __LINE__, #got, got_,  \
				want_);                                                            \
			return false;                                                              \
		}                                                                                  \
	} while (0)

#endif
