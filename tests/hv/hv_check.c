/* SPDX-License-Identifier: MIT */
/*
 * hv_check.c: the seam (src/hv/hv.h), tried between two domains, one promise a line.  It is the
 * same for every backend.
 *
 *	hv_check		all of it but the limits, between processes: the local backend
 *
 * In the lab, on Xen:
 *
 *	hv_check owner DOMID    shares pages with domain DOMID, where "user" runs
 *	hv_check user DOMID     maps the pages of domain DOMID, and tries what it must not
 *	hv_check self           one domain is both
 *	hv_check limits         until grants, nodes and watches run out
 *	hv_check restored       the domain is restored, and gives up a port before it has noticed
 *
 * Owner and user talk through a control page that the owner shares: the user writes `request` and
 * signals, the owner does it, writes `reply` and signals.  Prints "ok - ..." or "not ok - ..." for
 * each promise, and "# ..." for what was measured; exits 1 if one was not kept.
 *
 * The backends differ in this: on Xen the kernel tells of the end of a process by the page, and a
 * port is bound once.  On the local backend the watch of the node tells of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "hv.h"

#define ENDPOINT       "hv_check"
#define PAGE           4096
#define RING_PAGES     4
#define VALUES         (RING_PAGES + 3) /* numbers in the node */
#define PATIENCE_MS    60000            /* for what must come; a lab can be slow */
#define QUIET_MS       300              /* for what must not come */
#define ROUND_TRIPS    200
#define EVENT_FLOOD    2000
#define NODE_FLOOD     300
#define GRANTS_PLENTY  4096
#define NODES_PLENTY   2000
#define WATCHES_PLENTY 256
#define DESCRIPTORS    1000 /* more than a process has here */

enum request { HELLO = 1, HOLD, RELEASE, DIE_SOON, REWRITE, REMOVE, PUBLISH, DIE, PING };

struct control {
	uint32_t request; /* enum request in the low byte, a counter above it; by the user */
	uint32_t reply;   /* the last request that is done; by the owner */
	uint8_t owner_alive;
	uint8_t user_alive;
};

/* One domain's view. */
struct side {
	struct hv *hv;
	struct hv_events *events;
	struct hv_port *port;
	struct control *control;
	uint8_t *ring;
	uint8_t *read_only;
	unsigned int signals; /* on `port` */
	unsigned int calls;   /* of the watch's function */
	bool hold;            /* leave the port masked */
	unsigned int counter; /* of requests */
};

/* Which backend, and what is so on Xen alone. */
static struct hv_config config = {.backend = "xen", .domid = -1};
static bool on_xen = true;
static unsigned int most_calls = 40; /* of a watch's function a second */

/* Shared with our children, some of which are killed. */
static struct {
	atomic_int promises, failed;
} * results;

static unsigned int errors_logged;

static void check(bool kept, const char *promise)
{
	printf("%sok - %s\n", kept ? "" : "not ", promise);
	fflush(stdout);
	results->promises++;
	results->failed |= !kept;
}

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void measured(const char *what, double since)
{
	printf("# %s: %.0f us\n", what, now_us() - since);
}

static void print_log(void *data, int priority, const char *message)
{
	(void)data;
	if (priority <= LOG_WARNING)
		errors_logged++;
	printf("# log %d: %s\n", priority, message);
}

static uint32_t load(const uint32_t *shared)
{
	return __atomic_load_n(shared, __ATOMIC_SEQ_CST);
}

static void store(uint32_t *shared, uint32_t value)
{
	__atomic_store_n(shared, value, __ATOMIC_SEQ_CST);
}

static bool alive(const uint8_t *shared)
{
	return __atomic_load_n(shared, __ATOMIC_SEQ_CST) != 0;
}

/*
 * A side's loop.
 */

static void on_signal(void *data)
{
	struct side *side = data;

	side->signals++;
	if (!side->hold)
		hv_port_unmask(side->port);
}

static void on_watch(void *data)
{
	struct side *side = data;

	side->calls++;
}

/* Waits for something to happen and does it. */
static void turn(struct side *side, int timeout_ms)
{
	struct pollfd fds[] = {
		{.fd = hv_fd(side->hv), .events = POLLIN},
		{.fd = hv_events_fd(side->events), .events = POLLIN},
	};

	if (poll(fds, 2, timeout_ms) <= 0)
		return;
	hv_dispatch(side->hv);
	hv_events_dispatch(side->events);
}

/* Turns until `condition` holds, or for `ms`; its value then. */
#define WAIT(side, condition, ms)                                                                  \
	({                                                                                         \
		double until = now_us() + (ms)*1e3;                                                \
		while (!(condition) && now_us() < until)                                           \
			turn(side, 1 + (int)((until - now_us()) / 1e3));                           \
		(condition);                                                                       \
	})

static void side_open(struct side *side)
{
	double start = now_us();

	memset(side, 0, sizeof(*side));
	config.log = print_log;
	if (hv_open(&config, &side->hv) < 0 || hv_events_new(side->hv, &side->events) < 0) {
		printf("not ok - the hypervisor answers\n");
		exit(1);
	}
	measured("open", start);
}

static void side_close(struct side *side)
{
	hv_events_free(side->events);
	hv_close(side->hv);
}

/*
 * The owner.
 */

static uint32_t values[VALUES]; /* port, control page, read-only page, ring */

static void owner_share(struct side *side, uint16_t peer)
{
	struct hv_notify notify = {.offset = offsetof(struct control, owner_alive)};
	double start = now_us();
	void *memory;
	bool good;

	good = hv_port_alloc(side->events, peer, on_signal, side, &side->port) == 0;
	check(good, "a port can be allocated");
	notify.port = side->port;
	values[0] = hv_port_number(side->port);
	check(hv_share(side->hv, peer, 1, true, &notify, &memory, &values[1]) == 0,
		"a page can be shared with a notification");
	side->control = memory;
	check(hv_share(side->hv, peer, 1, false, NULL, &memory, &values[2]) == 0,
		"a page can be shared read-only");
	side->read_only = memory;
	check(hv_share(side->hv, peer, RING_PAGES, true, NULL, &memory, &values[3]) == 0,
		"pages can be shared");
	side->ring = memory;
	measured("port and pages", start);
	for (good = true, start = 0; start < RING_PAGES * PAGE; start++)
		good &= side->ring[(size_t)start] == 0;
	check(good, "shared pages are zeroed");
	memset(side->read_only, 'r', PAGE);
	__atomic_store_n(&side->control->owner_alive, 1, __ATOMIC_SEQ_CST);
}

static int owner_publish(struct side *side, uint16_t peer, unsigned int version)
{
	char value[VALUES * 11 + 16];
	int length = snprintf(value, sizeof(value), "%u", version);

	for (int i = 0; i < VALUES; i++)
		length += snprintf(
			value + length, sizeof(value) - (size_t)length, " %" PRIu32, values[i]);
	return hv_node_write(side->hv, ENDPOINT, peer, value);
}

/*
 * The user floods while our port is masked; then one event comes through.  (One more if we have
 * seen the request that ends the flood before its signal came.)
 */
static void owner_release(struct side *side)
{
	unsigned int before = side->signals;

	side->hold = false;
	hv_port_unmask(side->port);
	WAIT(side, side->signals > before, PATIENCE_MS);
	WAIT(side, false, QUIET_MS);
	check(side->signals > before && side->signals <= before + 2,
		"of a flood on a masked port one event comes through");
}

static void owner_rewrite(struct side *side, uint16_t peer)
{
	double start = now_us();

	for (unsigned int i = 1; i <= NODE_FLOOD; i++)
		owner_publish(side, peer, i);
	printf("# writing a node: %.0f us\n", (now_us() - start) / NODE_FLOOD);
}

static void owner_do(struct side *side, uint16_t peer, enum request request)
{
	switch (request) {
	case HELLO:
		check(side->ring[0] == 'u' && side->ring[RING_PAGES * PAGE - 1] == 'u',
			"what the user writes to a shared page is there");
		memset(side->ring, 'o', RING_PAGES * PAGE);
		break;
	case HOLD:
		side->hold = true; /* the next event masks the port for good */
		break;
	case REWRITE:
		owner_rewrite(side, peer);
		break;
	case REMOVE:
		check(hv_node_remove(side->hv, ENDPOINT, peer) == 0, "a node can be removed");
		break;
	case PUBLISH:
		check(owner_publish(side, peer, 0) == 0, "a node can be written again");
		break;
	case DIE:
		fflush(stdout);
		raise(SIGKILL);
		break;
	case RELEASE:
	case DIE_SOON:
	case PING:
		break;
	}
}

/* While our port is masked nothing may wake us, so we look. */
static void owner_held(struct side *side, uint32_t last)
{
	unsigned int before = side->signals;

	while (load(&side->control->request) == last)
		WAIT(side, false, 10);
	check(side->signals <= before + 1, "a masked port wakes nobody");
	owner_release(side);
}

static uint32_t owner_next(struct side *side, uint32_t last)
{
	if (side->hold)
		owner_held(side, last);
	if (!WAIT(side, load(&side->control->request) != last, PATIENCE_MS)) {
		check(false, "the user asks for something");
		exit(1);
	}
	return load(&side->control->request);
}

/* The local backend has no kernel that could tell: the owner learns of it when it looks. */
static void owner_sees_death(struct side *side)
{
	double start = now_us();
	unsigned int before = side->signals;
	bool seen = WAIT(side, !alive(&side->control->user_alive), PATIENCE_MS);

	measured("until the user's end was seen", start);
	WAIT(side, side->signals > before, QUIET_MS);
	check(seen && side->signals > before, "a user that is killed clears its byte and signals");
}

static int owner_child(uint16_t peer, int serving)
{
	struct side side;
	pid_t holder = 0;
	uint32_t last = 0;

	side_open(&side);
	check(hv_serve(side.hv, ENDPOINT, &holder) == 0, "an endpoint can be served");
	check(hv_serve(side.hv, ENDPOINT, &holder) == -EBUSY && holder == getpid(),
		"but not twice by one process");
	if (write(serving, "s", 1) != 1)
		return 1;
	owner_share(&side, peer);
	check(owner_publish(&side, peer, 0) == 0, "a node can be written");

	for (;;) {
		uint32_t request = owner_next(&side, last);

		owner_do(&side, peer, request & 0xff);
		store(&side.control->reply, last = request);
		hv_port_notify(side.port);
		if ((request & 0xff) == DIE_SOON && on_xen)
			owner_sees_death(&side);
	}
}

static int owner(uint16_t peer)
{
	struct side side;
	pid_t holder = 0, child;
	int serving[2], status;
	char byte;

	if (pipe2(serving, O_CLOEXEC) < 0 || (child = fork()) < 0)
		return 1;
	if (child == 0)
		exit(owner_child(peer, serving[1]));
	close(serving[1]);
	if (read(serving[0], &byte, 1) != 1)
		return 1;
	side_open(&side);
	check(hv_serve(side.hv, ENDPOINT, &holder) == -EBUSY && holder == child,
		"what another process serves is busy, and its process id is known");
	waitpid(child, &status, 0);
	check(WIFSIGNALED(status), "the owner's process reached its end");
	check(hv_serve(side.hv, ENDPOINT, &holder) == 0,
		"after a kill -9 the endpoint can be served at once");
	WAIT(&side, false, QUIET_MS);
	hv_unserve(side.hv, ENDPOINT);
	side_close(&side);
	return results->failed;
}

/*
 * The user.
 */

static sigjmp_buf fault;

static void on_fault(int signal)
{
	(void)signal;
	siglongjmp(fault, 1);
}

static bool writing_faults(uint8_t *page)
{
	struct sigaction action = {.sa_handler = on_fault}, before;
	bool faults = true;

	sigaction(SIGSEGV, &action, &before);
	if (sigsetjmp(fault, 1) == 0) {
		*(volatile uint8_t *)page = 'x';
		faults = false;
	}
	sigaction(SIGSEGV, &before, NULL);
	return faults;
}

/* The node as owner_publish() writes it; returns its version, or a negative errno. */
static int user_read_node(struct side *side, uint16_t peer)
{
	char value[256], *next = value;
	int r = hv_node_read(side->hv, peer, ENDPOINT, value, sizeof(value));
	long version;

	if (r < 0)
		return r;
	version = strtol(next, &next, 10);
	for (int i = 0; i < VALUES; i++)
		values[i] = (uint32_t)strtoul(next, &next, 10);
	return *next ? -EPROTO : (int)version;
}

static void user_wait_for_node(struct side *side, uint16_t peer)
{
	unsigned int calls = 0;

	while (user_read_node(side, peer) < 0) {
		if (!WAIT(side, side->calls > calls, 10 * PATIENCE_MS)) {
			check(false, "a watch fires when the node appears");
			exit(1);
		}
		calls = side->calls;
	}
}

static void user_map(struct side *side, uint16_t peer)
{
	struct hv_notify notify = {.offset = offsetof(struct control, user_alive)};
	double start = now_us();
	void *memory;

	check(hv_port_bind(side->events, peer, values[0], on_signal, side, &side->port) == 0,
		"the owner's port can be bound");
	notify.port = side->port;
	check(hv_map(side->hv, peer, 1, &values[1], true, &notify, &memory) == 0,
		"the control page can be mapped with a notification");
	side->control = memory;
	check(hv_map(side->hv, peer, 1, &values[2], false, NULL, &memory) == 0,
		"the read-only page can be mapped read-only");
	side->read_only = memory;
	check(hv_map(side->hv, peer, RING_PAGES, &values[3], true, NULL, &memory) == 0,
		"the ring can be mapped");
	side->ring = memory;
	measured("binding and mapping", start);
	__atomic_store_n(&side->control->user_alive, 1, __ATOMIC_SEQ_CST);
}

static void user_misbehave(struct side *side, uint16_t peer)
{
	uint32_t bogus = 0x7fffff, half[2] = {values[3], bogus};
	struct hv_port *port;
	char value[8];
	void *memory;

	check(hv_map(side->hv, peer, 1, &values[2], true, NULL, &memory) == -EINVAL,
		"a read-only page cannot be mapped for writing");
	check(writing_faults(side->read_only), "and not be written where it is mapped");
	check(side->read_only[0] == 'r', "it has its contents");
	check(hv_map(side->hv, peer, 1, &bogus, false, NULL, &memory) == -EINVAL,
		"a reference that nobody gave cannot be mapped");
	check(hv_map(side->hv, peer, 2, half, true, NULL, &memory) == -EINVAL,
		"nor two, of which one is good");
	check(hv_map(side->hv, 0, 1, &values[3], false, NULL, &memory) == -EINVAL,
		"nor a reference of a domain that gave us none");
	check(hv_map(side->hv, 32000, 1, &values[3], false, NULL, &memory) == -EINVAL,
		"nor one of a domain that does not exist");
	check(hv_port_bind(side->events, peer, 999, on_signal, side, &port) == -EINVAL,
		"a port that nobody gave cannot be bound");
	if (on_xen)
		check(hv_port_bind(side->events, peer, values[0], on_signal, side, &port) ==
				-EINVAL,
			"nor the same port a second time");
	check(hv_port_bind(side->events, 32000, 1, on_signal, side, &port) == -EINVAL,
		"nor one of a domain that does not exist");
	check(hv_node_read(side->hv, peer, "other", value, sizeof(value)) == -ENOENT,
		"a node that is not there cannot be read");
	check(hv_node_read(side->hv, 32000, ENDPOINT, value, sizeof(value)) == -ENOENT,
		"nor that of a domain that does not exist");
	check(hv_node_read(side->hv, peer, ENDPOINT, value, sizeof(value)) == -EMSGSIZE,
		"nor one that is longer than we take");
}

static bool user_ask(struct side *side, enum request request)
{
	uint32_t asked = ++side->counter << 8 | request;

	store(&side->control->request, asked);
	hv_port_notify(side->port);
	return WAIT(side, load(&side->control->reply) == asked, PATIENCE_MS);
}

static void user_measure(struct side *side)
{
	double start = now_us();
	bool answered = true;

	for (int i = 0; i < ROUND_TRIPS && answered; i++)
		answered = user_ask(side, PING);
	check(answered, "signals go both ways");
	printf("# round trip by two signals: %.0f us\n", (now_us() - start) / ROUND_TRIPS);
}

static void user_flood(struct side *side)
{
	double start;

	check(user_ask(side, HOLD), "the owner leaves its port masked");
	start = now_us();
	for (int i = 0; i < EVENT_FLOOD; i++)
		hv_port_notify(side->port);
	printf("# a signal: %.1f us\n", (now_us() - start) / EVENT_FLOOD);
	WAIT(side, false, QUIET_MS);
	check(user_ask(side, RELEASE), "the owner goes on after a flood");
}

/* The first user: everything in order, and then killed. */
static int user_child(uint16_t peer)
{
	struct side side;
	struct hv_watch *watch;

	side_open(&side);
	if (hv_watch_node(side.hv, peer, ENDPOINT, on_watch, &side, &watch) < 0)
		return 1;
	user_wait_for_node(&side, peer);
	user_map(&side, peer);
	user_misbehave(&side, peer);
	memset(side.ring, 'u', RING_PAGES * PAGE);
	check(user_ask(&side, HELLO), "the owner answers");
	check(side.ring[0] == 'o' && side.ring[RING_PAGES * PAGE - 1] == 'o',
		"what the owner writes to a shared page is there");
	user_measure(&side);
	user_flood(&side);
	user_ask(&side, DIE_SOON);
	fflush(stdout);
	raise(SIGKILL);
	return 1;
}

static void user_watch(struct side *side, uint16_t peer)
{
	unsigned int before = side->calls, most;
	double start = now_us();

	check(user_ask(side, REWRITE), "the owner rewrites its node many times");
	check(WAIT(side, user_read_node(side, peer) == NODE_FLOOD, PATIENCE_MS),
		"in the end its last value is read");
	most = most_calls * (1 + (unsigned int)((now_us() - start) / 1e6));
	printf("# %u changes of a node were %u calls\n", NODE_FLOOD, side->calls - before);
	check(side->calls > before && side->calls - before < most,
		"a node that changes all the time does not keep us busy");
	WAIT(side, false, 2000);

	before = side->calls;
	check(user_ask(side, REMOVE), "the owner removes its node");
	check(WAIT(side, side->calls > before, PATIENCE_MS) &&
			user_read_node(side, peer) == -ENOENT,
		"the watch fires when the node goes");
	before = side->calls;
	check(user_ask(side, PUBLISH), "the owner writes its node again");
	check(WAIT(side, side->calls > before, PATIENCE_MS) && user_read_node(side, peer) == 0,
		"the watch fires when the node comes");
}

static void user_sees_death(struct side *side, uint16_t peer)
{
	unsigned int signals = side->signals, calls = side->calls;
	double start = now_us();
	bool seen;

	store(&side->control->request, ++side->counter << 8 | DIE);
	hv_port_notify(side->port);
	if (on_xen) {
		seen = WAIT(side, !alive(&side->control->owner_alive), PATIENCE_MS);
		measured("until the owner's end was seen", start);
		WAIT(side, side->signals > signals, QUIET_MS);
		check(seen && side->signals > signals,
			"an owner that is killed clears its byte and signals");
	} else {
		seen = WAIT(side, side->calls > calls, PATIENCE_MS);
		measured("until the owner's end was seen", start);
		check(seen, "the watch fires when the owner is killed");
	}
	check(WAIT(side, user_read_node(side, peer) == -ENOENT, PATIENCE_MS),
		"its node goes: the next process of the owner removes it, at the latest");
	hv_port_notify(side->port);
	check(true, "a signal to nobody does no harm");
	check(side->ring[0] == 'o', "and the pages of the dead are still there");
}

/* On Xen: what a child does to such a file is done to its parent. */
static bool has_channels(void)
{
	char path[sizeof("/proc/self/fd/") + 4], target[PATH_MAX];

	for (int fd = 0; fd < DESCRIPTORS; fd++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		if (strcmp(target, "/dev/xen/evtchn") == 0)
			return true;
	}
	return false;
}

static bool child_has_channels(void)
{
	pid_t child = fork();
	int status;

	if (child == 0)
		_exit(has_channels());
	return child < 0 || waitpid(child, &status, 0) != child || status != 0;
}

static int user(uint16_t peer)
{
	struct side side;
	struct hv_watch *watch;
	pid_t child = fork();
	int status;

	if (child < 0)
		return 1;
	if (child == 0)
		exit(user_child(peer));
	waitpid(child, &status, 0);
	check(WIFSIGNALED(status), "the first user reached its end");

	side_open(&side);
	side.counter = 0x10000;
	check(hv_watch_node(side.hv, peer, ENDPOINT, on_watch, &side, &watch) == 0,
		"a node can be watched");
	user_wait_for_node(&side, peer);
	user_map(&side, peer);
	check(user_ask(&side, PING), "a second user takes the first one's place");
	if (on_xen)
		check(has_channels() && !child_has_channels(),
			"a child has no file of event channels");
	user_watch(&side, peer);
	user_sees_death(&side, peer);
	hv_watch_free(watch);
	hv_unmap(side.hv, side.ring, RING_PAGES);
	hv_unmap(side.hv, side.read_only, 1);
	hv_unmap(side.hv, side.control, 1);
	hv_port_free(side.port);
	side_close(&side);
	return results->failed;
}

/*
 * One domain is both.
 */

static int self(void)
{
	struct side owner_side, user_side;
	struct hv_watch *watch;
	uint16_t domid;
	pid_t holder;
	void *memory;

	side_open(&owner_side);
	memset(&user_side, 0, sizeof(user_side));
	user_side.hv = owner_side.hv;
	if (hv_events_new(user_side.hv, &user_side.events) < 0)
		return 1;
	domid = hv_domid(owner_side.hv);
	check(hv_serve(owner_side.hv, ENDPOINT, &holder) == 0, "an endpoint can be served");
	check(hv_watch_node(user_side.hv, domid, ENDPOINT, on_watch, &user_side, &watch) == 0,
		"a domain watches its own node");
	owner_share(&owner_side, domid);
	check(owner_publish(&owner_side, domid, 1) == 0, "and writes it");
	check(WAIT(&user_side, user_read_node(&user_side, domid) == 1, PATIENCE_MS),
		"and reads it");
	user_map(&user_side, domid);
	memset(user_side.ring, 'u', RING_PAGES * PAGE);
	check(owner_side.ring[RING_PAGES * PAGE - 1] == 'u', "and maps its own pages");
	check(hv_map(user_side.hv, domid, 1, &values[2], true, NULL, &memory) == -EINVAL &&
			writing_faults(user_side.read_only) && user_side.read_only[0] == 'r',
		"and may not write what it shares read-only with itself");
	hv_port_notify(user_side.port);
	check(WAIT(&owner_side, owner_side.signals > 0, PATIENCE_MS), "and signals itself");
	user_side.signals = 0;
	hv_port_notify(owner_side.port);
	check(WAIT(&user_side, user_side.signals > 0, PATIENCE_MS), "both ways");
	owner_side.signals = 0;
	hv_unmap(user_side.hv, user_side.control, 1);
	if (on_xen)
		check(WAIT(&owner_side, owner_side.signals > 0, PATIENCE_MS) &&
				!alive(&owner_side.control->user_alive),
			"and is told of its own unmapping");
	hv_watch_free(watch);
	hv_unserve(owner_side.hv, ENDPOINT);
	hv_unshare(owner_side.hv, owner_side.ring, RING_PAGES);
	check(user_side.ring[0] == 'u', "a page that is unshared stays until it is unmapped");
	hv_unmap(user_side.hv, user_side.ring, RING_PAGES);
	hv_unmap(user_side.hv, user_side.read_only, 1);
	hv_unshare(owner_side.hv, owner_side.read_only, 1);
	hv_unshare(owner_side.hv, owner_side.control, 1);
	hv_port_free(user_side.port);
	hv_port_free(owner_side.port);
	hv_events_free(user_side.events);
	side_close(&owner_side);
	return results->failed;
}

/*
 * Limits.
 */

static void limit_grants(struct side *side)
{
	static void *pages[GRANTS_PLENTY];
	uint32_t ref;
	unsigned int logged = errors_logged;
	int n = 0, r;

	while (n < GRANTS_PLENTY &&
		(r = hv_share(side->hv, 1, 1, false, NULL, &pages[n], &ref)) == 0)
		n++;
	printf("# %d pages could be shared\n", n);
	check(r == -ENOSPC && hv_share(side->hv, 1, 1, false, NULL, &pages[n], &ref) == -ENOSPC,
		"grants run out with ENOSPC");
	check(errors_logged == logged + 1, "which is logged once");
	while (n > 0)
		hv_unshare(side->hv, pages[--n], 1);
	check(hv_share(side->hv, 1, 1, false, NULL, &pages[0], &ref) == 0,
		"and are there again when pages are unshared");
	hv_unshare(side->hv, pages[0], 1);
}

static void limit_nodes(struct side *side)
{
	unsigned int logged = errors_logged;
	pid_t holder;
	uint16_t n = 0;
	int r;

	hv_serve(side->hv, ENDPOINT, &holder);
	while (n < NODES_PLENTY && (r = hv_node_write(side->hv, ENDPOINT, n, "value")) == 0)
		n++;
	printf("# %u nodes could be written\n", n);
	check(r == -ENOSPC && hv_node_write(side->hv, ENDPOINT, n, "value") == -ENOSPC,
		"nodes run out with ENOSPC");
	check(errors_logged == logged + 1, "which is logged once");
	check(hv_node_remove(side->hv, ENDPOINT, (uint16_t)(n - 1)) == 0 &&
			hv_node_write(side->hv, ENDPOINT, n, "value") == 0,
		"and are there again when one is removed");
	hv_unserve(side->hv, ENDPOINT);
}

static void limit_watches(struct side *side)
{
	static struct hv_watch *watches[WATCHES_PLENTY];
	unsigned int logged = errors_logged, n = 0;
	double start = now_us();
	char value[16];
	int r = 0;

	while (n < WATCHES_PLENTY && r == 0) {
		r = hv_watch_node(side->hv, (uint16_t)(NODES_PLENTY + n), ENDPOINT, on_watch, side,
			&watches[n]);
		n += r == 0;
	}
	printf("# %u watches could be set, in %.0f us each\n", n, (now_us() - start) / n);
	check(r == -ENOSPC, "watches run out with ENOSPC");
	check(errors_logged == logged + 1, "which is logged once");
	check(WAIT(side, side->calls == n, PATIENCE_MS), "each watch fires once at first");
	check(hv_node_read(side->hv, 0, "other", value, sizeof(value)) == -ENOENT,
		"the store still answers");
	hv_watch_free(watches[n - 1]);
	check(hv_watch_node(side->hv, 0, "other", on_watch, side, &watches[n - 1]) == 0,
		"and a watch can be set when one is freed");
	while (n > 0)
		hv_watch_free(watches[--n]);
}

static int limits(void)
{
	struct side side;

	side_open(&side);
	limit_grants(&side);
	limit_watches(&side);
	if (hv_domid(side.hv) != 0) /* no quota there */
		limit_nodes(&side);
	side_close(&side);
	return results->failed;
}

/*
 * Between processes of this machine.
 */

static pid_t start(int domid, int (*role)(uint16_t peer), uint16_t peer)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	config.domid = domid;
	exit(role(peer));
}

static int self_role(uint16_t peer)
{
	(void)peer;
	return self();
}

static int local(void)
{
	const char *tmp = getenv("TMPDIR");
	char dir[PATH_MAX], command[PATH_MAX + 16];
	int failures = 0;

	snprintf(dir, sizeof(dir), "%s/hv_check.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		return 1;
	config = (struct hv_config){.backend = "local", .dir = dir};
	on_xen = false;
	most_calls = 400;
	start(1, owner, 2);
	start(2, user, 1);
	start(3, self_role, 0);
	for (int i = 0, status; i < 3; i++)
		if (wait(&status) > 0)
			failures += status != 0;
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	printf("1..%d\n", results->promises);
	return system(command) != 0 || failures > 0 || results->failed;
}

/*
 * The domain is saved and restored between "waits" and SIGUSR1.
 */
static int restored(void)
{
	struct side side;
	sigset_t go_on;
	int signal;

	sigemptyset(&go_on);
	sigaddset(&go_on, SIGUSR1);
	sigprocmask(SIG_BLOCK, &go_on, NULL);
	side_open(&side);
	check(hv_port_alloc(side.events, 0, on_signal, &side, &side.port) == 0,
		"a port can be allocated");
	printf("# waits\n");
	fflush(stdout);
	sigwait(&go_on, &signal);
	check(!hv_lost(side.hv), "nothing has told of a restore");
	hv_port_free(side.port);
	check(hv_lost(side.hv), "who gives up a port is told of it");
	side_close(&side);
	check(errors_logged == 0, "the kernel gives up what was lost");
	return results->failed;
}

int main(int argc, char **argv)
{
	const char *role = argc > 1 ? argv[1] : "";
	uint16_t peer = argc > 2 ? (uint16_t)strtoul(argv[2], NULL, 10) : 0;

	results = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (results == MAP_FAILED)
		return 1;
	if (argc == 1)
		return local();
	if (argc == 3 && strcmp(role, "owner") == 0)
		return owner(peer);
	if (argc == 3 && strcmp(role, "user") == 0)
		return user(peer);
	if (argc == 2 && strcmp(role, "self") == 0)
		return self();
	if (argc == 2 && strcmp(role, "limits") == 0)
		return limits();
	if (argc == 2 && strcmp(role, "restored") == 0)
		return restored();
	fprintf(stderr, "usage: hv_check | owner DOMID | user DOMID | self | limits | restored\n");
	return 2;
}
