/* SPDX-License-Identifier: MIT */
/*
 * sivc.c: a domain's connection, its event loop, and sending and receiving that waits.
 */
#include <errno.h>
#include <sched.h>
#include <sivc/ioctl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <syslog.h>
#include <unistd.h>

#include "container_of.h"
#include "core.h"
#include "shared.h"

#define NSEC_PER_USEC 1000ull

/* How long to look for the other side in the middle of a message, and the shortest look there is.
 */
#define SPIN_MESSAGE 200 /* microseconds */
#define SPIN_LEAST   5   /* the same */
#define SPIN_LOOKS   32  /* at the rings, between two system calls */
#define LOOK_PAUSES  4   /* of the processor, after each: some microseconds for all of them */
#define LOOKS_MAX    32  /* each such wait runs the loop, and is measured, whatever is found */

static void log_nothing(void *data, int priority, const char *message)
{
	(void)data;
	(void)priority;
	(void)message;
}

/* Opening. */

static bool ring_valid(uint32_t ring)
{
	return ring >= SIVC_RING_MIN && ring <= SIVC_RING_MAX && (ring & (ring - 1)) == 0;
}

static int check_config(const struct sivc_config *config)
{
	const char *why = NULL;

	if (config->ring != 0 && !ring_valid(config->ring))
		why = "ring: a power of two from 4096 to 2097152 bytes";
	else if (config->max_msg > SIVC_MAX_MSG_MAX)
		why = "max_msg: from 1 to 917504 bytes";
	else if (config->spin > SIVC_SPIN_MAX && config->spin != SIVC_SPIN_NONE)
		why = "spin: from 1 to 10000 microseconds, or none";
	if (!why)
		return 0;
	if (config->log)
		config->log(config->log_data, LOG_ERR, why);
	return -EINVAL;
}

static void on_store(void *data)
{
	sivc_look_at_store(data);
}

void sivc_look_at_store(struct sivc *sivc)
{
	if (sivc->in_store || sivc->stale)
		return;
	sivc->in_store = true;
	if (hv_dispatch(sivc->hv) == -ESTALE)
		sivc_reopen_later(sivc);
	sivc->in_store = false;
}

static int own_name(struct sivc *sivc, const char *configured)
{
	struct hv_name *names;
	int n;

	if (configured) {
		strncpy(sivc->name, configured, HV_NAME_MAX);
		return 0;
	}
	sivc->name[0] = '\0';
	n = hv_names(sivc->hv, &names);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++)
		if (names[i].domid == hv_domid(sivc->hv))
			strcpy(sivc->name, names[i].name);
	free(names);
	return 0;
}

static char *copy_string(const char *string, bool *failed)
{
	char *copy = string ? strdup(string) : NULL;

	*failed = *failed || (string && !copy);
	return copy;
}

static int copy_config(struct sivc *sivc, const struct sivc_config *config)
{
	bool failed = false;

	sivc->ring = config->ring ? config->ring : SIVC_RING_DEFAULT;
	sivc->max_msg = config->max_msg ? config->max_msg : SIVC_MAX_MSG_DEFAULT;
	sivc->spin = config->spin ? config->spin : SIVC_SPIN_DEFAULT;
	if (config->spin == SIVC_SPIN_NONE)
		sivc->spin = 0;
	sivc->spin_now = SPIN_MESSAGE * NSEC_PER_USEC;
	sivc->config = (struct hv_config){
		.backend = copy_string(config->backend, &failed),
		.dir = copy_string(config->dir, &failed),
		.domid = config->domid,
		.name = copy_string(config->name, &failed),
		.log = config->log ? config->log : log_nothing,
		.log_data = config->log_data,
	};
	return failed ? -ENOMEM : 0;
}

int sivc_connect(struct sivc *sivc, struct hv *hv)
{
	int r;

	sivc->hv = hv;
	sivc->may_spin = hv_parallel(hv) && !sivc->polled;
	r = loop_add(&sivc->loop, hv_fd(hv), EPOLLIN, on_store, sivc, &sivc->hv_handle);
	return r == 0 ? own_name(sivc, sivc->config.name) : r;
}

void sivc_disconnect(struct sivc *sivc)
{
	loop_remove(&sivc->loop, sivc->hv_handle);
	names_forget(sivc);
	hv_close(sivc->hv);
	sivc->hv_handle = NULL;
	sivc->hv = NULL;
}

int sivc_open(const struct sivc_config *config, struct sivc **result)
{
	struct sivc *sivc;
	struct hv *hv;
	int r = check_config(config);

	if (r < 0)
		return r;
	sivc = calloc(1, sizeof(*sivc));
	if (!sivc)
		return -ENOMEM;
	LIST_INIT(&sivc->endpoints);
	r = loop_init(&sivc->loop);
	if (r < 0) {
		free(sivc);
		return r;
	}
	r = copy_config(sivc, config);
	if (r == 0)
		r = hv_open(&sivc->config, &hv);
	if (r == 0)
		r = sivc_connect(sivc, hv);
	if (r < 0) {
		sivc_close(sivc);
		return r;
	}
	*result = sivc;
	return 0;
}

void sivc_close(struct sivc *sivc)
{
	if (!sivc)
		return;
	while (!LIST_EMPTY(&sivc->endpoints))
		sivc_endpoint_close(LIST_FIRST(&sivc->endpoints));
	loop_timer_cancel(&sivc->loop, &sivc->reopen);
	sivc_disconnect(sivc);
	loop_deinit(&sivc->loop);
	/* Copied by copy_config. */
	free((void *)(uintptr_t)sivc->config.backend);
	free((void *)(uintptr_t)sivc->config.dir);
	free((void *)(uintptr_t)sivc->config.name);
	free(sivc);
}

/* The loop. */

/* Before a sleep that only a signal ends, every sender is asked for one.  True: one has come. */
static bool rest(struct sivc *sivc)
{
	struct sivc_endpoint *ep;
	bool found = false;

	LIST_FOREACH (ep, &sivc->endpoints, link)
		found = endpoint_rest(ep) || found;
	return found;
}

/* Whoever waits there does not look out for anybody: from now on, all are asked to signal. */
int sivc_fd(struct sivc *sivc)
{
	sivc->polled = true;
	sivc->may_spin = false;
	rest(sivc);
	return sivc->loop.epoll;
}

int sivc_dispatch(struct sivc *sivc)
{
	int r = loop_run(&sivc->loop, 0);

	rest(sivc);
	return r > 0 || r == -EINTR ? 0 : r;
}

/*
 * Spinning.  It pays if what is waited for comes sooner than a sleeping process could be woken, and
 * takes a processor from those who are to bring it if not.  So the time is what has been worth it:
 * shorter, down to nothing, while waits turn out to be longer than the longest spin, and longer
 * again as soon as they are short (as KVM does before it halts a processor).
 */
static void spin_learn(struct sivc *sivc, uint64_t most, uint64_t waited)
{
	uint64_t least = SPIN_LEAST * NSEC_PER_USEC;

	if (waited > most) {
		sivc->spin_now = sivc->spin_now / 2 < least ? 0 : sivc->spin_now / 2;
	} else {
		sivc->spin_now = 2 * sivc->spin_now > least ? 2 * sivc->spin_now : least;
		sivc->spin_now = sivc->spin_now < most ? sivc->spin_now : most;
	}
}

/* ns; 0: there is nothing to look for. */
static uint64_t spin_most(const struct sivc *sivc)
{
	const struct sivc_endpoint *ep;
	uint64_t most = sivc->spin;

	if (!sivc->may_spin)
		return 0;
	LIST_FOREACH (ep, &sivc->endpoints, link)
		if (most < SPIN_MESSAGE && endpoint_in_message(ep))
			most = SPIN_MESSAGE;
	return most * NSEC_PER_USEC;
}

/* What the other side writes comes sooner if we do not ask for it all the time. */
static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* In shared memory alone: what is there costs no system call, and the lookout holds but those who
 * had something a moment ago. */
static bool look_out(struct sivc *sivc)
{
	struct sivc_endpoint *ep;

	for (int i = 0; i < SPIN_LOOKS; i++) {
		LIST_FOREACH (ep, &sivc->endpoints, link)
			if (endpoint_look_out(ep))
				return true;
		for (int pause = 0; pause < LOOK_PAUSES; pause++)
			relax();
	}
	return false;
}

/* Looks on until there is something to do or the time is over.  Returns how much there was. */
static int spin(struct sivc *sivc, uint64_t end)
{
	int r;

	do {
		sched_yield(); /* who is to give us work may need this very processor */
		r = loop_run(&sivc->loop, 0);
		if (r == 0 && look_out(sivc))
			r = 1;
	} while (r == 0 && loop_now() < end);
	return r;
}

/* What came at the last moment is no reason to sleep. */
static int rest_and_sleep(struct sivc *sivc, int timeout_ms)
{
	return loop_run(&sivc->loop, rest(sivc) ? 0 : timeout_ms);
}

static int spin_and_sleep(struct sivc *sivc, int timeout_ms, uint64_t most)
{
	uint64_t now = sivc->spin_now < most ? sivc->spin_now : most, start;
	int r;

	/* Mostly without reading a clock.  Who always has something keeps nobody else from his
	 * turn; and what does not pay is measured again now and then. */
	if (++sivc->looks % LOOKS_MAX != 0) {
		if (now == 0)
			return rest_and_sleep(sivc, timeout_ms);
		if (look_out(sivc))
			return 1;
	}
	start = loop_now();
	r = now > 0 ? spin(sivc, start + now) : 0;
	if (r != 0)
		return r;
	r = rest_and_sleep(sivc, timeout_ms);
	spin_learn(sivc, most, loop_now() - start);
	return r;
}

int sivc_wait(struct sivc *sivc, int timeout_ms)
{
	uint64_t most = timeout_ms != 0 ? spin_most(sivc) : 0;
	int r = most > 0 ? spin_and_sleep(sivc, timeout_ms, most)
			 : rest_and_sleep(sivc, timeout_ms);

	return r > 0 ? 0 : r;
}

int sivc_add_fd(struct sivc *sivc, int fd, uint32_t events, void (*fn)(void *data), void *data)
{
	struct loop_fd *handle;

	return loop_add(&sivc->loop, fd, events, fn, data, &handle);
}

void sivc_remove_fd(struct sivc *sivc, int fd)
{
	loop_remove(&sivc->loop, loop_find(&sivc->loop, fd));
}

/* What it is. */

const char *sivc_backend(const struct sivc *sivc)
{
	return hv_backend(sivc->hv);
}

uint16_t sivc_domid(const struct sivc *sivc)
{
	return hv_domid(sivc->hv);
}

const char *sivc_name(const struct sivc *sivc)
{
	return sivc->name;
}

uint32_t sivc_ring(const struct sivc *sivc)
{
	return sivc->ring;
}

uint32_t sivc_max_msg(const struct sivc *sivc)
{
	return sivc->max_msg;
}

/* Sending and receiving that waits. */

struct blocking_send {
	struct sivc_sending sending;
	bool done;
	int error;
};

static void send_done(struct sivc_sending *sending, int error)
{
	struct blocking_send *b = container_of(sending, struct blocking_send, sending);

	b->done = true;
	b->error = error;
}

int sivc_send(struct sivc_endpoint *ep, uint16_t domid, const void *data, size_t length, int flags)
{
	struct iovec message = {(void *)(uintptr_t)data, length};
	struct blocking_send b = {
		.sending = {.messages = &message, .count = 1, .done = send_done},
	};
	ssize_t r;

	if (length > SIVC_MAX_MSG_MAX)
		return -EMSGSIZE;
	if (flags & SIVC_NOWAIT) {
		r = sivc_send_many(ep, domid, &message, 1);
		return r < 0 ? (int)r : 0;
	}
	r = sivc_send_start(ep, domid, &b.sending);
	if (r != -EINPROGRESS)
		return (int)r;
	while (!b.done) {
		r = sivc_wait(ep->sivc, -1);
		if (r < 0 && !b.done) {
			sivc_send_cancel(&b.sending);
			return (int)r;
		}
	}
	return b.error;
}

struct blocking_receive {
	struct sivc_waiter waiter;
	bool ready;
};

static void receive_ready(struct sivc_waiter *waiter)
{
	struct blocking_receive *b = container_of(waiter, struct blocking_receive, waiter);

	b->ready = true;
}

static ssize_t take(struct sivc_endpoint *ep, const struct sivc_message *message, void *buffer,
	size_t size, uint16_t *sender)
{
	char *to = buffer;

	for (int i = 0; i < message->iovcnt && size > 0; i++) {
		size_t n = message->iov[i].iov_len < size ? message->iov[i].iov_len : size;

		shared_copy_from(to, message->iov[i].iov_base, n);
		to += n;
		size -= n;
	}
	if (sender)
		*sender = message->sender;
	sivc_consume(ep, message);
	return (ssize_t)message->length;
}

ssize_t sivc_receive(
	struct sivc_endpoint *ep, int from, void *buffer, size_t size, uint16_t *sender, int flags)
{
	struct sivc_message message;
	int r;

	while ((r = endpoint_peek(ep, from, &message, flags & SIVC_NOWAIT)) == -EAGAIN &&
		!(flags & SIVC_NOWAIT)) {
		struct blocking_receive b = {.waiter = {.fn = receive_ready}};

		r = sivc_wait_receive(ep, from, &b.waiter);
		while (r == 0 && !b.ready)
			r = sivc_wait(ep->sivc, -1);
		if (r < 0) {
			sivc_wait_cancel(&b.waiter);
			return r;
		}
	}
	return r < 0 ? r : take(ep, &message, buffer, size, sender);
}
