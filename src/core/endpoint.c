/* SPDX-License-Identifier: MIT */
/*
 * endpoint.c: an endpoint's life, its queue of senders and its queues of waiters.
 *
 * Who is served.  `ready` holds the senders that may have a message, in the order of their turns.
 * The one in front gives one message and goes to the end; one whose ring turns out empty is put to
 * sleep (inbound_sleep).  A sender that sleeps comes back when its channel's event is dispatched,
 * which happens when nobody is ready, and after every EVENTS_EVERY messages, so that a sender that
 * is always ready does not keep the others asleep; if nobody sleeps, there is nothing to dispatch.
 *
 * Who is woken.  The descriptor of in_events is in the loop only while somebody waits here, or
 * until the first event that comes when nobody does: a permitted sender can wake this process once,
 * and then not again until a reader waits.  A refused one has no channel.
 */
#include <errno.h>
#include <sivc/ioctl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <syslog.h>

#include "container_of.h"
#include "core.h"
#include "inbound.h"
#include "outbound.h"

#define EVENTS_EVERY 32

/*
 * Looks in a row at senders of which each has something, and none a whole message: pieces of long
 * ones, or of such that never end.  Then all else that this process has to do gets its turn.
 */
#define BUSY_MAX 16

#define AGAIN_MS 1 /* memory is short: when to try again */

uint64_t nonce_draw(void)
{
	uint64_t nonce = 0;

	/* Cannot fail for 8 bytes once the kernel has booted; 0 is no nonce. */
	while (nonce == 0)
		if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce))
			nonce = 0;
	return nonce;
}

/* The wake-up descriptor. */

static void on_in_events(void *data)
{
	struct sivc_endpoint *ep = data;

	if (ep->waiting == 0) {
		loop_remove(&ep->sivc->loop, ep->in_handle);
		ep->in_handle = NULL;
		return;
	}
	ep->in_wakeups++;
	hv_events_dispatch(ep->in_events);
	endpoint_serve(ep);
}

static int listen_for_events(struct sivc_endpoint *ep)
{
	if (ep->in_handle || !ep->in_events) /* endpoint_resume will */
		return 0;
	return loop_add(&ep->sivc->loop, hv_events_fd(ep->in_events), EPOLLIN, on_in_events, ep,
		&ep->in_handle);
}

static void look_for_events(struct sivc_endpoint *ep)
{
	ep->since_events = 0;
	while (ep->asleep > 0 && ep->in_events &&
		hv_events_dispatch(ep->in_events) == SIVC_HV_BATCH)
		;
}

/* Whose turn it is. */

/* Nothing here now: asleep, or to the end of the queue if something came at the last moment. */
static void put_to_sleep(struct inbound *in)
{
	inbound_queue(in, inbound_sleep(in) ? INBOUND_IDLE : INBOUND_READY);
}

/* The same, unless this process is about to spin. */
static void put_aside(struct inbound *in)
{
	const struct sivc *sivc = in->ep->sivc;
	bool flows = inbound_flows(in);

	if (sivc->may_spin && flows)
		in->ep->flowing = true;
	if (sivc->may_spin && (sivc->spin > 0 || flows) && inbound_empty(in))
		inbound_queue(in, INBOUND_LOOKOUT);
	else
		put_to_sleep(in);
}

/* Those on the lookout who have something get a turn. */
static void look_out(struct sivc_endpoint *ep)
{
	struct inbound *in, *next;

	for (in = TAILQ_FIRST(&ep->lookout); in; in = next) {
		next = TAILQ_NEXT(in, link);
		if (!inbound_empty(in))
			inbound_queue(in, INBOUND_READY);
	}
}

bool endpoint_in_message(const struct sivc_endpoint *ep)
{
	return (ep->waiting > 0 && ep->flowing && !TAILQ_EMPTY(&ep->lookout)) ||
	       !TAILQ_EMPTY(&ep->out_lookout);
}

bool endpoint_look_out(struct sivc_endpoint *ep)
{
	bool sent = outbound_look_out(ep);

	if (ep->waiting == 0)
		return sent;
	look_out(ep);
	return endpoint_serve(ep) || sent;
}

/* Serving may put one on the lookout again: a piece of a long message came, and the next did not.
 */
bool endpoint_rest(struct sivc_endpoint *ep)
{
	struct inbound *in;
	bool served = outbound_rest(ep);

	ep->flowing = false;
	while ((in = TAILQ_FIRST(&ep->lookout)) != NULL) {
		put_to_sleep(in);
		if (in->state == INBOUND_READY)
			served = endpoint_serve(ep) || served;
	}
	return served;
}

static void on_again(struct loop_timer *timer)
{
	endpoint_serve(container_of(timer, struct sivc_endpoint, again));
}

/* Those who wait are served again soon. */
static void serve_again(struct sivc_endpoint *ep, uint32_t ms)
{
	if (ep->waiting > 0)
		loop_timer_set(&ep->sivc->loop, &ep->again, ms, on_again);
}

static int peek_any(
	struct sivc_endpoint *ep, struct inbound **result, struct sivc_message *message, bool look)
{
	struct inbound *in, *poor = NULL; /* the first one for whose message there is no memory */
	int r, busy = 0;

	if ((TAILQ_EMPTY(&ep->ready) && look) || ep->since_events >= EVENTS_EVERY) {
		look_out(ep);
		look_for_events(ep);
	}
	while ((in = TAILQ_FIRST(&ep->ready)) != NULL && in != poor) {
		r = inbound_peek(in, message);
		if (r == 0) {
			*result = in;
			return 0;
		}
		if (r == -ENOMEM) {
			if (!poor)
				look_for_events(ep);
			poor = poor ? poor : in;
			inbound_queue(in, INBOUND_READY); /* at the end: the others' turn */
			continue;
		}
		put_aside(in);
		if (in->state == INBOUND_READY && ++busy > BUSY_MAX) {
			serve_again(ep, 0);
			break;
		}
		if (TAILQ_EMPTY(&ep->ready) && ep->since_events > 0 && look)
			look_for_events(ep);
	}
	if (poor)
		serve_again(ep, AGAIN_MS);
	return poor ? -ENOMEM : -EAGAIN;
}

/* What was looked for on behalf of a caller that does not wait may be for those who do. */
static void serve_later(struct sivc_endpoint *ep)
{
	if (ep->waiting > 0 && !ep->serving && !TAILQ_EMPTY(&ep->ready))
		loop_timer_set(&ep->sivc->loop, &ep->again, 0, on_again);
}

int endpoint_peek(struct sivc_endpoint *ep, int from, struct sivc_message *message, bool look)
{
	struct inbound *in;
	int r;

	if (from == SIVC_ANY) {
		r = peek_any(ep, &in, message, look && !ep->serving);
		serve_later(ep);
		return r;
	}
	in = inbound_find(ep, (uint16_t)from);
	return in ? inbound_peek(in, message) : -EAGAIN;
}

int sivc_peek(struct sivc_endpoint *ep, int from, struct sivc_message *message)
{
	return endpoint_peek(ep, from, message, true);
}

void sivc_consume(struct sivc_endpoint *ep, const struct sivc_message *message)
{
	struct inbound *in = inbound_find(ep, message->sender);

	if (!in)
		return;
	inbound_consume(in);
	ep->since_events++;
	inbound_queue(in, INBOUND_READY); /* at the end: the others' turn */
}

int sivc_putback(struct sivc_endpoint *ep, uint16_t sender, const void *data, size_t length)
{
	struct inbound *in;
	int r = sender <= SIVC_DOMID_MAX ? 0 : -EINVAL;

	if (r == 0)
		r = inbound_get(ep, sender, &in); /* it may have been forgotten meanwhile */
	if (r == 0)
		r = inbound_putback(in, data, (uint32_t)length);
	if (r == 0)
		endpoint_serve(ep);
	return r;
}

uint64_t sivc_queued(struct sivc_endpoint *ep, int from, uint32_t *next)
{
	struct sivc_message message;
	struct inbound *in, *after;
	uint64_t bytes = 0;
	uint32_t ignored, *first = next ? next : &ignored;

	*first = 0;
	if (from != SIVC_ANY) {
		in = inbound_find(ep, (uint16_t)from);
		return in ? inbound_queued(in, first) : 0;
	}
	look_for_events(ep);
	if (peek_any(ep, &in, &message, !ep->serving) == 0)
		*first = message.length;
	/* Looking may find a breach, which takes it out of the queue. */
	for (in = TAILQ_FIRST(&ep->ready); in; in = after) {
		after = TAILQ_NEXT(in, link);
		bytes += inbound_queued(in, &ignored);
	}
	serve_later(ep);
	return bytes;
}

/* Waiters. */

static void waiter_add(struct waiters *list, struct sivc_waiter *waiter)
{
	struct sivc_endpoint *ep = waiter->endpoint;

	TAILQ_INSERT_TAIL(list, waiter, link);
	waiter->list = list;
	ep->waiting++;
	ep->waiting_own += list != &ep->waiters;
}

static void waiter_remove(struct sivc_waiter *waiter)
{
	struct waiters *list = waiter->list;
	struct sivc_endpoint *ep = waiter->endpoint;

	TAILQ_REMOVE(list, waiter, link);
	waiter->list = NULL;
	ep->waiting--;
	ep->waiting_own -= list != &ep->waiters;
}

static void waiter_call(struct sivc_waiter *waiter)
{
	waiter_remove(waiter);
	waiter->fn(waiter);
}

/* Gives what `in` has to one who waits for it, its own readers first. */
static int serve_one(struct sivc_endpoint *ep, struct inbound *in)
{
	struct sivc_waiter *waiter = TAILQ_FIRST(&in->waiters);
	struct sivc_message message;
	int r;

	if (!waiter)
		waiter = TAILQ_FIRST(&ep->waiters);
	if (!waiter)
		return -EAGAIN;
	r = inbound_peek(in, &message);
	if (r == 0)
		waiter_call(waiter);
	return r;
}

/*
 * Those who wait for one domain, when others have no turn: everybody in the queue is looked at.
 * One that is put aside, and found at that moment to have something, goes to the end of the queue.
 * Returns how many were served.
 */
static int serve_own(struct sivc_endpoint *ep)
{
	struct inbound *in = TAILQ_FIRST(&ep->ready), *next;
	int r, busy = 0, turns = 0;

	for (; in && ep->waiting_own > 0 && turns < TURNS_MAX; in = next) {
		next = TAILQ_NEXT(in, link);
		if (TAILQ_EMPTY(&in->waiters))
			continue;
		r = serve_one(ep, in);
		if (r == 0) {
			turns++;
			next = TAILQ_FIRST(&ep->ready); /* it has changed: from the start */
		} else if (r == -ENOMEM) {
			serve_again(ep, AGAIN_MS);
		} else if (in->state == INBOUND_READY) {
			put_aside(in);
			if (in->state == INBOUND_READY && ++busy > BUSY_MAX) {
				serve_again(ep, 0);
				break;
			}
			next = next ? next : TAILQ_LAST(&ep->ready, inbounds);
		}
	}
	return turns;
}

/* Those who wait for a domain that has broken the protocol are told so. */
static void tell_breaches(struct sivc_endpoint *ep)
{
	struct inbound *in, *next;

	ep->breach_untold = false;
	HASH_ITER (hh, ep->inbounds, in, next) {
		while (in->breached && inbound_empty(in) && !TAILQ_EMPTY(&in->waiters))
			waiter_call(TAILQ_FIRST(&in->waiters));
	}
}

void endpoint_breached(struct sivc_endpoint *ep)
{
	ep->breach_untold = true;
	loop_timer_set(&ep->sivc->loop, &ep->again, 0, on_again);
}

bool endpoint_serve(struct sivc_endpoint *ep)
{
	struct sivc_message message;
	struct inbound *in;
	int turns = 0;

	if (ep->serving || ep->waiting == 0)
		return false;
	ep->serving = true;
	if (ep->breach_untold)
		tell_breaches(ep);
	if (ep->waiting_own > 0)
		turns = serve_own(ep);
	while (turns < TURNS_MAX && !TAILQ_EMPTY(&ep->waiters) &&
		peek_any(ep, &in, &message, false) == 0)
		turns += serve_one(ep, in) == 0;
	ep->serving = false;
	if (turns == TURNS_MAX)
		serve_again(ep, 0);
	return turns > 0;
}

int sivc_wait_receive(struct sivc_endpoint *ep, int from, struct sivc_waiter *waiter)
{
	struct inbound *in = NULL;
	int r = listen_for_events(ep);

	if (r == 0 && from != SIVC_ANY)
		r = inbound_get(ep, (uint16_t)from, &in);
	if (r < 0)
		return r;
	waiter->endpoint = ep;
	waiter->from = from;
	waiter->length = 0;
	waiter_add(in ? &in->waiters : &ep->waiters, waiter);
	/* What is there already, and whoever was not put to sleep yet, is found by serving. */
	if (in && in->state != INBOUND_READY)
		inbound_queue(in, INBOUND_READY);
	endpoint_serve(ep);
	return 0;
}

void sivc_wait_cancel(struct sivc_waiter *waiter)
{
	if (!waiter->list)
		return;
	if (waiter->length == 0) /* it waits to receive */
		waiter_remove(waiter);
	else
		outbound_wait_cancel(waiter);
}

/* Waiters of an endpoint that closes are let go; they are not called. */
static void waiters_drop(struct waiters *list)
{
	struct sivc_waiter *waiter;

	while ((waiter = TAILQ_FIRST(list)) != NULL)
		waiter_remove(waiter);
}

/* Life. */

static bool name_valid(const char *name)
{
	size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

	return n > 0 && n <= SIVC_ENDPOINT_MAX && name[n] == '\0';
}

static int serve(struct sivc_endpoint *ep, pid_t *holder)
{
	struct hv *hv = ep->sivc->hv;
	pid_t pid = 0;
	int r = hv_serve(hv, ep->name, &pid);

	if (r == -EBUSY) {
		hv_log(hv, LOG_ERR, "endpoint %s of domain %u is already served by process %d",
			ep->name, hv_domid(hv), (int)pid);
		if (holder)
			*holder = pid;
	}
	if (r < 0)
		return r;
	r = hv_events_new(hv, &ep->in_events);
	if (r == 0)
		r = hv_events_new(hv, &ep->out_events);
	return r;
}

static void unserve(struct sivc_endpoint *ep)
{
	loop_remove(&ep->sivc->loop, ep->in_handle);
	loop_remove(&ep->sivc->loop, ep->out_handle);
	ep->in_handle = ep->out_handle = NULL;
	hv_events_free(ep->in_events);
	hv_events_free(ep->out_events);
	ep->in_events = ep->out_events = NULL;
	hv_unserve(ep->sivc->hv, ep->name);
}

void endpoint_suspend(struct sivc_endpoint *ep)
{
	struct inbound *in, *next;

	table_suspend(ep);
	HASH_ITER (hh, ep->inbounds, in, next)
		inbound_suspend(in);
	outbound_suspend_all(ep);
	unserve(ep);
}

int endpoint_resume(struct sivc_endpoint *ep)
{
	int r = serve(ep, NULL);

	if (r == 0 && ep->waiting > 0)
		r = listen_for_events(ep);
	if (r == 0)
		r = table_resume(ep);
	return r < 0 ? r : outbound_resume_all(ep);
}

int sivc_endpoint_open(
	struct sivc *sivc, const char *name, pid_t *holder, struct sivc_endpoint **endpoint)
{
	struct sivc_endpoint *ep;
	int r;

	if (!name_valid(name)) {
		hv_log(sivc->hv, LOG_ERR,
			"\"%s\" is no name for an endpoint: 1 to %d letters, digits, '-' or '_'",
			name, SIVC_ENDPOINT_MAX);
		return -EINVAL;
	}
	LIST_FOREACH (ep, &sivc->endpoints, link)
		if (strcmp(ep->name, name) == 0)
			return -EEXIST;

	ep = calloc(1, sizeof(*ep));
	if (!ep)
		return -ENOMEM;
	ep->sivc = sivc;
	strcpy(ep->name, name); /* name_valid: it fits */
	acl_init(&ep->acl);
	TAILQ_INIT(&ep->ready);
	TAILQ_INIT(&ep->lookout);
	TAILQ_INIT(&ep->out_lookout);
	TAILQ_INIT(&ep->waiters);
	LIST_INSERT_HEAD(&sivc->endpoints, ep, link);
	r = serve(ep, holder);
	if (r < 0) {
		sivc_endpoint_close(ep);
		return r;
	}
	*endpoint = ep;
	return 0;
}

void sivc_endpoint_close(struct sivc_endpoint *ep)
{
	struct inbound *in, *next_in;

	if (!ep)
		return;
	table_deinit(ep);
	loop_timer_cancel(&ep->sivc->loop, &ep->again);
	waiters_drop(&ep->waiters);
	HASH_ITER (hh, ep->inbounds, in, next_in) {
		waiters_drop(&in->waiters);
		inbound_free(in);
	}
	outbound_free_all(ep);
	unserve(ep);
	LIST_REMOVE(ep, link);
	free(ep);
}

const char *sivc_endpoint_name(const struct sivc_endpoint *ep)
{
	return ep->name;
}
