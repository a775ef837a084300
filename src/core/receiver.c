/* SPDX-License-Identifier: MIT */
#include "receiver.h"

#include <errno.h>
#include <sivc/ioctl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <syslog.h>

#include "container_of.h"
#include "inbound.h"
#include "incoming.h"
#include "report.h"
#include "tuning.h"

static void on_serve(struct loop_task *task);

/* The queue. */

static void turn_set(struct inbound *in, enum inbound_turn turn)
{
	struct receiver *receiver = &in->ep->receiver;
	bool asleep;

	if (in->turn == INBOUND_READY)
		TAILQ_REMOVE(&receiver->ready, in, link);
	if (in->turn == INBOUND_POLLED)
		spin_forget(&in->ep->sivc->spin, &in->channel);
	in->turn = turn;
	if (turn == INBOUND_READY)
		TAILQ_INSERT_TAIL(&receiver->ready, in, link);
	if (turn == INBOUND_POLLED)
		spin_poll(&in->ep->sivc->spin, &in->channel, inbound_flows(in));
	asleep = in->channel.data && turn == INBOUND_IDLE;
	receiver->asleep += (unsigned int)asleep - (unsigned int)in->asleep;
	in->asleep = asleep;
}

/* It may have something: it gets its turn, or has it already. */
static void make_ready(struct inbound *in)
{
	struct sivc_endpoint *ep = in->ep;

	if (in->turn != INBOUND_READY)
		turn_set(in, INBOUND_READY);
	if (ep->receiver.waiting > 0)
		loop_defer(&ep->sivc->loop, &ep->receiver.serve, on_serve);
}

/* There is nothing now, unless something comes at the last moment; then it is the others' turn. */
static void put_aside(struct inbound *in)
{
	if (spin_would(&in->ep->sivc->spin, inbound_flows(in)) && inbound_empty(in))
		turn_set(in, INBOUND_POLLED);
	else
		turn_set(in, inbound_arm(in) ? INBOUND_IDLE : INBOUND_READY);
}

static struct inbound *inbound_of(struct channel *channel)
{
	return container_of(channel, struct inbound, channel);
}

static void on_ready(struct channel *channel)
{
	make_ready(inbound_of(channel));
}

static bool on_look(struct channel *channel)
{
	return !inbound_empty(inbound_of(channel));
}

static bool on_arm(struct channel *channel)
{
	struct inbound *in = inbound_of(channel);

	if (!inbound_arm(in))
		return false;
	turn_set(in, INBOUND_IDLE);
	return true;
}

static bool on_awaited(struct channel *channel)
{
	return inbound_of(channel)->ep->receiver.waiting > 0;
}

static const struct channel_ops inbound_ops = {
	.ready = on_ready,
	.look = on_look,
	.arm = on_arm,
	.awaited = on_awaited,
};

struct inbound *receiver_find(const struct sivc_endpoint *ep, uint16_t domid)
{
	struct inbound *in = TAILQ_FIRST(&ep->receiver.ready); /* mostly, because it is its turn */

	if (!in || in->domid != domid)
		HASH_FIND(hh, ep->receiver.inbounds, &domid, sizeof(domid), in);
	return in;
}

/* Or makes one. */
static int get(struct sivc_endpoint *ep, uint16_t domid, struct inbound **result)
{
	struct inbound *in = receiver_find(ep, domid);
	int r;

	if (!in) {
		r = inbound_new(ep, domid, &inbound_ops, &in);
		if (r < 0)
			return r;
		HASH_ADD(hh, ep->receiver.inbounds, domid, sizeof(in->domid), in);
		if (!in->hh.tbl) {
			inbound_free(in);
			return -ENOMEM;
		}
	}
	*result = in;
	return 0;
}

static void log_lacking(struct sivc_endpoint *ep, uint16_t domid, int r, bool asked)
{
	static const char format[] = "domain %u cannot send to endpoint %s: %s";

	if (asked)
		hv_log(ep->sivc->hv, LOG_ERR, format, domid, ep->name, strerror(-r));
	else
		report(ep->sivc, LOG_ERR, format, domid, ep->name, strerror(-r));
}

int receiver_permit(struct sivc_endpoint *ep, uint16_t domid, bool asked)
{
	struct inbound *in;
	int r = get(ep, domid, &in);

	if (r == 0 && in->permission != INBOUND_REFUSED)
		return 0; /* it notices nothing, and keeps its turn */
	if (r == 0)
		r = inbound_permit(in);
	if (r == 0)
		turn_set(in, in->turn); /* it has a channel now */
	if (r == 0)
		return 0;
	log_lacking(ep, domid, r, asked);
	return -ENOSPC;
}

void receiver_refuse(struct inbound *in)
{
	if (in->permission == INBOUND_REFUSED)
		return;
	inbound_refuse(in);
	make_ready(in); /* for what it had sent, and to be put aside */
}

static void waiters_drop(struct waiters *list);

void receiver_forget(struct inbound *in)
{
	struct receiver *receiver = &in->ep->receiver;

	waiters_drop(&in->waiters);
	waiters_drop(&in->incoming.waiters);
	if (in->incoming.reader)
		incoming_leave(in);
	turn_set(in, INBOUND_IDLE);
	receiver->asleep -= in->asleep;
	HASH_DELETE(hh, receiver->inbounds, in);
	inbound_free(in);
}

/* Those who are not ready: polled, or asleep until their event. */

static void look_for_others(struct sivc_endpoint *ep)
{
	struct receiver *receiver = &ep->receiver;

	receiver->taken = 0;
	spin_look(&ep->sivc->spin);
	while (receiver->asleep > 0 && receiver->events &&
		hv_events_dispatch(receiver->events) == SIVC_HV_BATCH)
		;
}

/* Whose turn it is. */

static void on_serve_again(struct loop_timer *timer)
{
	struct sivc_endpoint *ep = container_of(timer, struct sivc_endpoint, receiver.serve_again);

	loop_defer(&ep->sivc->loop, &ep->receiver.serve, on_serve);
}

/* Memory is short, or it is the others' turn. */
static void serve_later(struct sivc_endpoint *ep, int r)
{
	if (ep->receiver.waiting == 0)
		return;
	if (r == -ENOMEM)
		loop_timer_set(&ep->sivc->loop, &ep->receiver.serve_again, RETRY_MS * NSEC_PER_MSEC,
			on_serve_again);
	else
		loop_defer(&ep->sivc->loop, &ep->receiver.serve, on_serve);
}

/* For whom there is to be something. */
enum audience {
	FOR_CALLER,  /* who takes a message, or a stream that begins */
	FOR_WAITERS, /* all of them */
	FOR_OWN,     /* those who wait for one domain */
};

/* A stream that has a reader is for nobody else. */
static bool wanted(const struct inbound *in, enum audience audience)
{
	if (in->incoming.reader)
		return audience != FOR_CALLER && !TAILQ_EMPTY(&in->incoming.waiters);
	return audience != FOR_OWN || !TAILQ_EMPTY(&in->waiters);
}

static int look(struct inbound *in, struct sivc_message *message)
{
	return in->ep->streams ? incoming_peek(in, message) : inbound_peek(in, message);
}

/* A breach is for those who wait for its domain. */
static bool is_news(const struct inbound *in, int r)
{
	return r == 0 || r == -ECONNRESET || (r == -EPROTO && !TAILQ_EMPTY(&in->waiters));
}

/* It has no message now.  Does it keep a place in the queue, behind the others? */
static bool goes_to_the_end(struct inbound *in, int r)
{
	if (r == -ENOMEM) {
		look_for_others(in->ep); /* others may have something */
		turn_set(in, INBOUND_READY);
		return true;
	}
	if (inbound_forgettable(in)) {
		receiver_forget(in);
		return false;
	}
	put_aside(in);
	return in->turn == INBOUND_READY;
}

/*
 * The first one that has something for them; those before it that have nothing are put aside.
 * 0: *message is its; -ECONNRESET: its stream was cut; -EPROTO: it broke the protocol, and some
 * wait for it; -EAGAIN, -ENOMEM: nobody has anything, or it cannot be put together now.
 */
static int next_turn(struct sivc_endpoint *ep, enum audience audience, struct inbound **result,
	struct sivc_message *message)
{
	struct inbound *in, *next, *poor = NULL; /* no memory for the message of the first such */
	int r, turns = 0;

	for (in = TAILQ_FIRST(&ep->receiver.ready); in && in != poor; in = next) {
		next = TAILQ_NEXT(in, link);
		if (!wanted(in, audience))
			continue;
		r = look(in, message);
		*result = in;
		if (is_news(in, r))
			return r;
		poor = r == -ENOMEM && !poor ? in : poor;
		if (!goes_to_the_end(in, r))
			continue;
		ep->receiver.taken++;
		if (++turns == TURNS_MAX)
			break;
		next = next ? next : TAILQ_FIRST(&ep->receiver.ready);
	}
	r = poor ? -ENOMEM : -EAGAIN;
	if (turns == TURNS_MAX || poor)
		serve_later(ep, r);
	return r;
}

/* The same for a caller who takes what there is, from anybody. */
static int next_message(struct sivc_endpoint *ep, struct sivc_message *message)
{
	struct inbound *in, *first = NULL;
	int r;

	if (ep->receiver.taken >= TURNS_MAX)
		look_for_others(ep);
	while ((r = next_turn(ep, FOR_CALLER, &in, message)) == -EPROTO && in != first) {
		serve_later(ep, r); /* that is for those who wait for it */
		look_for_others(ep);
		first = first ? first : in;
		turn_set(in, INBOUND_READY); /* at the end: the others' turn */
	}
	return r == -EPROTO ? -EAGAIN : r;
}

static bool domid_valid(int from)
{
	return from >= 0 && (unsigned int)from <= SIVC_DOMID_MAX;
}

static int peek_one(struct sivc_endpoint *ep, uint16_t domid, struct sivc_message *message)
{
	struct inbound *in = receiver_find(ep, domid);
	int r = in && wanted(in, FOR_CALLER) ? look(in, message) : -EAGAIN;

	if (r == -EPROTO)
		make_ready(in); /* those who wait for it are told */
	return r;
}

static int peek(struct sivc_endpoint *ep, int from, struct sivc_message *message)
{
	if (from == SIVC_ANY)
		return next_message(ep, message);
	return domid_valid(from) ? peek_one(ep, (uint16_t)from, message) : -EINVAL;
}

int receiver_peek(
	struct sivc_endpoint *ep, int from, struct loan *loan, struct sivc_message *message)
{
	int r;

	ep->receiver.loan = loan;
	r = peek(ep, from, message);
	ep->receiver.loan = NULL;
	return r;
}

/* Polled rings and events are looked at before it is said that there is nothing. */
int sivc_peek(struct sivc_endpoint *ep, int from, struct sivc_message *message)
{
	struct receiver *receiver = &ep->receiver;
	int r = peek(ep, from, message);

	if (r != -EAGAIN || from != SIVC_ANY || !TAILQ_EMPTY(&receiver->ready))
		return r;
	look_for_others(ep);
	return TAILQ_EMPTY(&receiver->ready) ? r : next_message(ep, message);
}

static void took_turn(struct inbound *in)
{
	in->ep->receiver.taken++;
	if (in->turn != INBOUND_READY || TAILQ_NEXT(in, link))
		turn_set(in, INBOUND_READY); /* at the end: the others' turn */
}

void sivc_consume(struct sivc_endpoint *ep, const struct sivc_message *message)
{
	struct inbound *in = receiver_find(ep, message->sender);

	if (!in)
		return;
	inbound_consume(in);
	took_turn(in);
}

int sivc_take(
	struct sivc_endpoint *ep, const struct sivc_message *message, struct sivc_unread **unread)
{
	struct inbound *in = receiver_find(ep, message->sender);
	int r = in ? inbound_take(in, message, unread) : -EINVAL;

	if (r == 0)
		took_turn(in);
	return r;
}

const void *sivc_unread_bytes(const struct sivc_unread *unread, size_t *length)
{
	*length = unread->length - unread->offset;
	return unread->bytes + unread->offset;
}

void sivc_unread_skip(struct sivc_unread *unread, size_t length)
{
	unread->offset += (uint32_t)length;
}

void sivc_unread_free(struct sivc_unread *unread)
{
	if (unread && unread->in)
		TAILQ_REMOVE(&unread->in->taken, unread, link);
	free(unread);
}

void sivc_putback(struct sivc_unread *unread)
{
	struct inbound *in = unread ? unread->in : NULL;

	if (!in || unread->offset == unread->length) {
		sivc_unread_free(unread);
		return;
	}
	inbound_putback(unread);
	make_ready(in);
}

uint64_t sivc_queued(struct sivc_endpoint *ep, int from, uint32_t *next)
{
	struct sivc_message message = {0};
	struct inbound *in, *after;
	uint64_t bytes = 0;

	look_for_others(ep);
	if (sivc_peek(ep, from, &message) < 0)
		message.length = 0;
	if (next)
		*next = message.length;
	if (message.length == 0)
		return 0;
	if (from != SIVC_ANY)
		return inbound_queued(receiver_find(ep, (uint16_t)from));
	for (in = TAILQ_FIRST(&ep->receiver.ready); in; in = after) {
		after = TAILQ_NEXT(in, link);
		bytes += inbound_queued(in);
	}
	return bytes;
}

/* Waiters. */

static void waiter_remove(struct sivc_waiter *waiter)
{
	TAILQ_REMOVE(waiter->list, waiter, link);
	waiter->list = NULL;
	waiter->ep->receiver.waiting--;
}

/* Those of an endpoint that closes are not called. */
static void waiters_drop(struct waiters *list)
{
	struct sivc_waiter *waiter;

	while ((waiter = TAILQ_FIRST(list)) != NULL) {
		waiter_remove(waiter);
		free(waiter);
	}
}

/* The domain's own come first, as with a connected UDP socket. */
static void give(struct inbound *in, int r, const struct sivc_message *message)
{
	struct sivc_waiter *waiter =
		TAILQ_FIRST(in->incoming.reader ? &in->incoming.waiters : &in->waiters);

	if (!waiter)
		waiter = TAILQ_FIRST(&in->ep->receiver.waiters);
	waiter_remove(waiter);
	waiter->receive(waiter->data, r, r == 0 ? message : NULL);
	free(waiter);
}

static void serve(struct sivc_endpoint *ep)
{
	struct receiver *receiver = &ep->receiver;
	struct sivc_message message;
	struct inbound *in;
	int r = 0;

	loop_task_cancel(&ep->sivc->loop, &receiver->serve);
	for (int turns = 0; receiver->waiting > 0 && turns < TURNS_MAX; turns++) {
		if (receiver->taken >= TURNS_MAX)
			look_for_others(ep);
		r = next_turn(
			ep, TAILQ_EMPTY(&receiver->waiters) ? FOR_OWN : FOR_WAITERS, &in, &message);
		if (r == -EAGAIN || r == -ENOMEM)
			return;
		give(in, r, &message);
		if (ep->closed)
			return;
	}
	serve_later(ep, r);
}

static void on_serve(struct loop_task *task)
{
	serve(container_of(task, struct sivc_endpoint, receiver.serve));
}

static void on_events(void *data)
{
	struct sivc_endpoint *ep = data;
	struct receiver *receiver = &ep->receiver;

	if (receiver->waiting == 0) {
		loop_remove(&ep->sivc->loop, receiver->handle);
		receiver->handle = NULL;
		return;
	}
	ep->counters.receive_wakeups++;
	hv_events_dispatch(receiver->events);
	serve(ep);
}

static int listen_for_events(struct sivc_endpoint *ep)
{
	struct receiver *receiver = &ep->receiver;

	if (receiver->handle || !receiver->events) /* receiver_resume will */
		return 0;
	return loop_add(&ep->sivc->loop, hv_events_fd(receiver->events), EPOLLIN, on_events, ep,
		&receiver->handle);
}

static int wait_add(struct sivc_endpoint *ep, struct inbound *in, struct waiters *list,
	sivc_receive_fn *fn, void *data, struct sivc_waiter **result)
{
	struct sivc_waiter *waiter;
	int r = listen_for_events(ep);

	if (r < 0)
		return r;
	waiter = malloc(sizeof(*waiter));
	if (!waiter)
		return -ENOMEM;
	*waiter =
		(struct sivc_waiter){.ep = ep, .list = list, .in = in, .receive = fn, .data = data};
	TAILQ_INSERT_TAIL(list, waiter, link);
	ep->receiver.waiting++;
	*result = waiter;
	return 0;
}

/* What is there already, and who was not asked to signal yet, is found by serving. */
int receiver_wait(struct sivc_endpoint *ep, int from, struct loan *loan, sivc_receive_fn *fn,
	void *data, struct sivc_waiter **result)
{
	struct receiver *receiver = &ep->receiver;
	struct inbound *in = NULL;
	int r = 0;

	if (from != SIVC_ANY)
		r = domid_valid(from) ? get(ep, (uint16_t)from, &in) : -EINVAL;
	if (r == 0)
		r = wait_add(ep, in, in ? &in->waiters : &receiver->waiters, fn, data, result);
	if (r < 0)
		return r;
	(*result)->loan = loan;
	if (in)
		make_ready(in);
	else if (!TAILQ_EMPTY(&receiver->ready))
		loop_defer(&ep->sivc->loop, &receiver->serve, on_serve);
	return 0;
}

int sivc_wait_receive(struct sivc_endpoint *ep, int from, sivc_receive_fn *fn, void *data,
	struct sivc_waiter **result)
{
	return receiver_wait(ep, from, NULL, fn, data, result);
}

void receiver_wait_cancel(struct sivc_waiter *waiter)
{
	struct inbound *in = waiter->in;

	waiter_remove(waiter);
	free(waiter);
	if (in && inbound_forgettable(in))
		receiver_forget(in);
}

/* Streams. */

int receiver_publish(struct sivc_endpoint *ep, uint16_t domid)
{
	struct inbound *in;
	int r = get(ep, domid, &in);

	return r < 0 ? r : inbound_publish(in);
}

int sivc_stream_accept(
	struct sivc_endpoint *ep, const struct sivc_message *message, struct sivc_reader **reader)
{
	struct inbound *in = receiver_find(ep, message->sender);

	return in && !in->incoming.reader ? incoming_accept(in, reader) : -EAGAIN;
}

uint16_t sivc_stream_sender(const struct sivc_reader *reader)
{
	return reader->sender;
}

ssize_t sivc_stream_peek(struct sivc_reader *reader, struct iovec iov[SIVC_STREAM_IOV], int *iovcnt)
{
	*iovcnt = 0;
	return reader->in ? incoming_pieces(reader->in, iov, iovcnt) : reader->over;
}

void sivc_stream_consume(struct sivc_reader *reader, size_t bytes)
{
	struct inbound *in = reader->in;

	if (!in)
		return;
	incoming_taken(in, bytes);
	make_ready(in); /* for what comes next */
}

/* The sender's node tells of its end, which a kernel does not tell of in each case. */
static void on_sender_node(void *data)
{
	struct sivc_reader *reader = data;
	struct inbound *in = reader->in;
	char node[SIVC_NODE_MAX] = "";
	int r = hv_node_read(in->ep->sivc->hv, in->domid, in->ep->name, node, sizeof(node));

	if (r < 0 && r != -ENOENT && r != -EMSGSIZE)
		return; /* the store's failure, not the sender's end */
	if (reader->node[0] == '\0' && r == 0)
		memcpy(reader->node, node, sizeof(node));
	if (r == 0 && strcmp(node, reader->node) == 0)
		return;
	in->incoming.sender_gone = true;
	make_ready(in);
}

static int watch_sender(struct sivc_reader *reader)
{
	struct inbound *in = reader->in;

	if (reader->watch)
		return 0;
	return hv_watch_node(
		in->ep->sivc->hv, in->domid, in->ep->name, on_sender_node, reader, &reader->watch);
}

int sivc_stream_wait(
	struct sivc_reader *reader, sivc_receive_fn *fn, void *data, struct sivc_waiter **waiter)
{
	struct inbound *in = reader->in;
	int r;

	if (!in)
		return -ESHUTDOWN;
	if (!TAILQ_EMPTY(&in->incoming.waiters))
		return -EBUSY;
	r = watch_sender(reader);
	if (r == 0)
		r = wait_add(in->ep, in, &in->incoming.waiters, fn, data, waiter);
	if (r == 0)
		make_ready(in);
	return r;
}

void sivc_stream_leave(struct sivc_reader *reader)
{
	struct inbound *in = reader ? reader->in : NULL;
	struct sivc_message message;

	if (in) {
		waiters_drop(&in->incoming.waiters);
		incoming_leave(in);
		incoming_peek(in, &message); /* throws away what is there of it */
		make_ready(in);              /* the next stream is for others */
	}
	free(reader);
}

/* Life. */

void receiver_init(struct receiver *receiver)
{
	TAILQ_INIT(&receiver->ready);
	TAILQ_INIT(&receiver->waiters);
}

static void close_events(struct sivc_endpoint *ep)
{
	loop_remove(&ep->sivc->loop, ep->receiver.handle);
	ep->receiver.handle = NULL;
	hv_events_free(ep->receiver.events);
	ep->receiver.events = NULL;
}

void receiver_suspend(struct sivc_endpoint *ep)
{
	struct inbound *in, *next;

	HASH_ITER (hh, ep->receiver.inbounds, in, next) {
		inbound_suspend(in);
		incoming_suspend(in);
		make_ready(in);
	}
	close_events(ep);
}

int receiver_resume(struct sivc_endpoint *ep)
{
	int r = hv_events_new(ep->sivc->hv, &ep->receiver.events);

	return r == 0 && ep->receiver.waiting > 0 ? listen_for_events(ep) : r;
}

void receiver_deinit(struct sivc_endpoint *ep)
{
	struct inbound *in, *next;

	loop_task_cancel(&ep->sivc->loop, &ep->receiver.serve);
	loop_timer_cancel(&ep->sivc->loop, &ep->receiver.serve_again);
	waiters_drop(&ep->receiver.waiters);
	HASH_ITER (hh, ep->receiver.inbounds, in, next)
		receiver_forget(in);
	close_events(ep);
}
