/* SPDX-License-Identifier: MIT */
#include "sender.h"

#include <errno.h>
#include <sivc/ioctl.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "container_of.h"
#include "outgoing.h"
#include "receiver.h"
#include "tuning.h"

static void on_run(struct loop_task *task);

/* Those who wait. */

/* All that was sent has been read when so much is free.  0: it is not room that it waits for. */
static uint32_t need_of(const struct outbound *out, const struct sivc_waiter *w)
{
	if (w->read)
		return out->tx.size - (out->tx.prod - w->target);
	if (w->length > 0)
		return outbound_need(out, w->length, 0);
	return w->writer == TAILQ_FIRST(&out->line.writers) ? outgoing_need(out) : 0;
}

/* How much room changes anything: those who poll have none before those who stand in line.  0: none
 * does. */
static uint32_t least_need(const struct outbound *out)
{
	const struct sivc_sending *s = TAILQ_FIRST(&out->line.sendings);
	const struct sivc_waiter *w;
	uint32_t need = 0, n;

	if (s && s->sent == s->count) /* the last of it is in doubt */
		return need;
	if (s)
		return outbound_need(out, s->messages[s->sent].iov_len, s->offset);
	if (outgoing_ends(out))
		need = outgoing_need(out);
	TAILQ_FOREACH (w, &out->line.waiters, link) {
		n = need_of(out, w);
		need = n > 0 && (need == 0 || n < need) ? n : need;
	}
	return need;
}

static void count_waiting(struct outbound *out)
{
	bool waiting = !TAILQ_EMPTY(&out->line.sendings) || !TAILQ_EMPTY(&out->line.waiters) ||
		       outgoing_ends(out);

	out->ep->sender.waiting += (unsigned int)waiting - (unsigned int)out->line.waiting;
	out->line.waiting = waiting;
	if (!waiting)
		spin_forget(&out->ep->sivc->spin, &out->channel);
}

/* Also for the news that the reader of a stream has left, of which R signals once. */
static bool arm(struct outbound *out)
{
	bool armed = outbound_arm(out, least_need(out));

	return armed && !(out->state == OUTBOUND_LINKED && outgoing_broken(out));
}

/* Polls for room, if that is worth it, or asks for a signal.  False: there is some now. */
static bool put_aside(struct outbound *out)
{
	struct spin *spin = &out->ep->sivc->spin;
	const struct sivc_sending *s = TAILQ_FIRST(&out->line.sendings);
	const struct sivc_writer *writer = TAILQ_FIRST(&out->line.writers);
	bool begun = (s && (s->offset > 0 || s->sent > 0)) || (writer && writer->begun);

	if ((!s && !begun) || out->state != OUTBOUND_LINKED || out->ep->sivc->lost ||
		out->fruitless > IDLE_EVENTS_MAX || !spin_would(spin, begun))
		return arm(out);
	spin_poll(spin, &out->channel, true);
	return true;
}

static void sending_leave(struct sivc_sending *s)
{
	TAILQ_REMOVE(&s->outbound->line.sendings, s, link);
	s->outbound = NULL;
}

/* False: the endpoint is closed now. */
static bool serve_sendings(struct outbound *out, unsigned int *turns)
{
	const struct sivc_endpoint *ep = out->ep;
	struct sivc_sending *s;
	int r;

	while (*turns < TURNS_MAX && (s = TAILQ_FIRST(&out->line.sendings)) != NULL) {
		r = outbound_send(out, s);
		if (r > 0)
			break;
		++*turns;
		sending_leave(s);
		count_waiting(out);
		out->fruitless = 0;
		s->done(s->data, r, s->sent);
		free(s);
		if (ep->closed)
			return false;
	}
	return true;
}

/* What became of a message that is in doubt is known of the last ring alone: nobody else looks at R
 * before that is found out. */
static int writable(struct outbound *out, size_t length)
{
	const struct sivc_sending *s = TAILQ_FIRST(&out->line.sendings);
	int r = s && s->in_doubt ? OUTBOUND_NOT_KNOWN : outbound_update(out);

	if (r != 0)
		return r;
	return s ? OUTBOUND_NO_ROOM : outbound_room(out, length);
}

/* Who asks for no stream of his own is told of any that was lost, once. */
static int follow(struct outbound *out, struct sivc_writer *writer)
{
	int r = writer ? outgoing_check(writer) : outbound_update(out);

	if (writer || r > 0)
		return r;
	r = r < 0 ? r : out->untold;
	out->untold = 0;
	return r;
}

static int all_read(struct outbound *out, struct sivc_waiter *w)
{
	uint32_t space;
	int r = follow(out, w->writer);

	if (r != 0)
		return r;
	if (out->channel.nonce != w->ring_nonce)
		return -EPIPE;
	if (w->ends_due) {
		w->target = out->tx.prod;
		w->ends_due = outgoing_ends(out);
	}
	r = outbound_space(out, out->tx.size, &space);
	if (r < 0)
		return r;
	if (w->ends_due || (int32_t)(out->tx.cons - w->target) < 0)
		return OUTBOUND_NO_ROOM;
	return follow(out, w->writer); /* its reader may have left, and thrown it away */
}

static int waiter_ready(struct outbound *out, struct sivc_waiter *w)
{
	if (w->read)
		return all_read(out, w);
	return w->writer ? outgoing_ready(w->writer) : writable(out, w->length);
}

static void waiter_leave(struct outbound *out, struct sivc_waiter *w)
{
	TAILQ_REMOVE(&out->line.waiters, w, link);
	count_waiting(out);
}

/* Each is looked at once; a callback may take others off the list, or come again. */
static bool serve_waiters(struct outbound *out)
{
	const struct sivc_endpoint *ep = out->ep;
	struct sivc_waiter *w;
	unsigned int count = 0;
	int r;

	TAILQ_FOREACH (w, &out->line.waiters, link)
		count++;
	for (; count > 0 && (w = TAILQ_FIRST(&out->line.waiters)) != NULL; count--) {
		r = waiter_ready(out, w);
		if (r > 0) {
			TAILQ_REMOVE(&out->line.waiters, w, link);
			TAILQ_INSERT_TAIL(&out->line.waiters, w, link);
			continue;
		}
		outbound_progress(out);
		waiter_leave(out, w);
		if (w->read)
			w->read(w->data, r);
		else
			w->ready(w->data);
		free(w);
		if (ep->closed)
			return false;
	}
	return true;
}

/* Something may have changed: goes on with those who wait, until they must wait again.  False: the
 * endpoint is closed now. */
static bool run(struct outbound *out)
{
	unsigned int turns;

	spin_forget(&out->ep->sivc->spin, &out->channel);
	for (turns = 0; turns < TURNS_MAX; turns++) {
		outgoing_end(out);
		count_waiting(out);
		if (!serve_sendings(out, &turns) || !serve_waiters(out))
			return false;
		if (!out->line.waiting || put_aside(out))
			return true;
		outbound_fruitless(out);
	}
	loop_defer(&out->ep->sivc->loop, &out->line.run, on_run);
	return true;
}

/* Who is forgotten. */

static void forget(struct outbound *out)
{
	struct sender *sender = &out->ep->sender;

	if (sender->last == out)
		sender->last = NULL;
	sender->idle -= out->users == 0;
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): it has a next */
	HASH_DELETE(hh, sender->outbounds, out);
	outbound_free(out);
}

/* Of those that nobody has open, has a ring of or waits at, the oldest. */
static void forget_one(struct sender *sender)
{
	struct outbound *out, *next;

	HASH_ITER (hh, sender->outbounds, out, next) {
		if (out->users == 0 && !out->line.waiting && !out->channel.data &&
			TAILQ_EMPTY(&out->line.writers)) {
			forget(out);
			return;
		}
	}
}

/* It is open, and not forgotten until it was let go as often. */
static void hold(struct outbound *out)
{
	out->ep->sender.idle -= out->users == 0;
	out->users++;
}

static void let_go(struct outbound *out)
{
	struct sender *sender = &out->ep->sender;

	if (--out->users == 0 && ++sender->idle > SENDER_IDLE_MAX)
		forget_one(sender);
}

/* When there is something to do. */

/* What we have mapped of a domain that has ended keeps it from going, whether somebody waits or
 * not.
 */
static void on_run(struct loop_task *task)
{
	struct outbound *out = container_of(task, struct outbound, line.run);

	if (!out->line.waiting) {
		if (out->page)
			outbound_update(out);
		return;
	}
	hold(out); /* whatever a callback does */
	if (run(out))
		let_go(out);
}

/* What the channel does. */

static struct outbound *outbound_of(struct channel *channel)
{
	return container_of(channel, struct outbound, channel);
}

static void on_ready(struct channel *channel)
{
	struct outbound *out = outbound_of(channel);

	loop_defer(&out->ep->sivc->loop, &out->line.run, on_run);
}

static bool on_look(struct channel *channel)
{
	struct outbound *out = outbound_of(channel);

	if (!outbound_look(out, least_need(out)) && !outgoing_broken(out))
		return false;
	outbound_fruitless(out); /* until something is sent */
	return true;
}

static bool on_arm(struct channel *channel)
{
	return arm(outbound_of(channel));
}

static bool on_awaited(struct channel *channel)
{
	return outbound_of(channel)->line.waiting;
}

static const struct channel_ops outbound_ops = {
	.ready = on_ready,
	.look = on_look,
	.arm = on_arm,
	.awaited = on_awaited,
};

static void on_events(void *data)
{
	struct sivc_endpoint *ep = data;
	struct sender *sender = &ep->sender;

	if (sender->waiting == 0) {
		loop_remove(&ep->sivc->loop, sender->handle);
		sender->handle = NULL;
		return;
	}
	ep->counters.send_wakeups++;
	hv_events_dispatch(sender->events);
}

static int listen_for_events(struct sivc_endpoint *ep)
{
	struct sender *sender = &ep->sender;

	if (sender->handle || !sender->events) /* sender_resume will */
		return 0;
	return loop_add(&ep->sivc->loop, hv_events_fd(sender->events), EPOLLIN, on_events, ep,
		&sender->handle);
}

/* Whom we send to. */

struct outbound *sender_find(struct sivc_endpoint *ep, uint16_t domid)
{
	struct outbound *out = ep->sender.last; /* mostly: who sends does it again */

	if (!out || out->domid != domid)
		HASH_FIND(hh, ep->sender.outbounds, &domid, sizeof(domid), out);
	return ep->sender.last = out;
}

/* Or makes one. */
static int get(struct sivc_endpoint *ep, uint16_t domid, struct outbound **result)
{
	struct sender *sender = &ep->sender;
	struct outbound *out = sender_find(ep, domid);
	int r;

	if (out) {
		*result = out;
		return 0;
	}
	if (domid > SIVC_DOMID_MAX)
		return -ENOENT;
	if (sender->idle >= SENDER_IDLE_MAX)
		forget_one(sender);
	r = outbound_new(ep, domid, on_run, &outbound_ops, &out);
	if (r < 0)
		return r;
	HASH_ADD(hh, sender->outbounds, domid, sizeof(out->domid), out);
	if (!out->hh.tbl) {
		outbound_free(out);
		return -ENOMEM;
	}
	sender->idle++;
	*result = sender->last = out;
	return 0;
}

int sender_open(struct sivc_endpoint *ep, uint16_t domid)
{
	struct outbound *out;
	int r = get(ep, domid, &out);

	if (r == 0)
		hold(out);
	return r;
}

void sivc_peer_close(struct sivc_endpoint *ep, uint16_t domid)
{
	struct outbound *out = sender_find(ep, domid);

	if (out && out->users > 0)
		let_go(out);
}

/* Sending.  The inside's waits are -EAGAIN outside. */

static int public(int r)
{
	return r > 0 ? -EAGAIN : r;
}

/* A wait also if others stand in line. */
static int send_now(struct outbound *out, struct sivc_sending *s)
{
	int r = TAILQ_EMPTY(&out->line.sendings) ? outbound_send(out, s) : OUTBOUND_NO_ROOM;

	if (r == -EACCES)
		out->counters.refused++;
	else if (r > 0)
		out->counters.full++;
	return r;
}

ssize_t sivc_send_many(
	struct sivc_endpoint *ep, uint16_t domid, const struct iovec *messages, size_t count)
{
	struct sivc_sending s = {.messages = messages, .count = count, .nowait = true};
	struct outbound *out;
	int r = get(ep, domid, &out);

	if (r == 0)
		r = send_now(out, &s);
	return s.sent > 0 ? (ssize_t)s.sent : public(r);
}

int sivc_writable(struct sivc_endpoint *ep, uint16_t domid, size_t length)
{
	struct outbound *out;
	int r = get(ep, domid, &out);

	return r < 0 ? r : public(writable(out, length));
}

/* It stands in line: the first one asks for room. */
static void sending_enter(struct outbound *out, struct sivc_sending *s)
{
	s->outbound = out;
	TAILQ_INSERT_TAIL(&out->line.sendings, s, link);
	count_waiting(out);
	if (TAILQ_FIRST(&out->line.sendings) == s && !put_aside(out))
		loop_defer(&out->ep->sivc->loop, &out->line.run, on_run);
}

/* It stands in line, in memory of its own.  Else nothing of it is in doubt. */
static int wait_in_line(
	struct outbound *out, struct sivc_sending *now, struct sivc_sending **result)
{
	struct sivc_sending *s = malloc(sizeof(*s));
	int r = s ? listen_for_events(out->ep) : -ENOMEM;

	if (r < 0) {
		outbound_settle(out, now);
		free(s);
		return r;
	}
	*s = *now;
	sending_enter(out, s);
	*result = s;
	return -EINPROGRESS;
}

ssize_t sivc_send_start(struct sivc_endpoint *ep, uint16_t domid, const struct iovec *messages,
	size_t count, sivc_done_fn *done, void *data, struct sivc_sending **result)
{
	struct sivc_sending now = {
		.messages = messages, .count = count, .done = done, .data = data};
	struct outbound *out;
	int r = get(ep, domid, &out);

	if (r == 0)
		r = send_now(out, &now);
	if (r > 0)
		r = wait_in_line(out, &now, result);
	return r != -EINPROGRESS && now.sent > 0 ? (ssize_t)now.sent : r;
}

size_t sivc_send_cancel(struct sivc_sending *s)
{
	struct outbound *out = s->outbound;
	size_t sent;

	outbound_settle(out, s); /* so that `sent` is what went */
	sent = s->sent;
	sending_leave(s);
	free(s);
	count_waiting(out);
	if (out->line.waiting) /* the next in line may need less room */
		loop_defer(&out->ep->sivc->loop, &out->line.run, on_run);
	return sent;
}

static int wait_add(
	struct outbound *out, const struct sivc_waiter *what, struct sivc_waiter **result)
{
	struct sivc_waiter *waiter;
	int r = listen_for_events(out->ep);

	if (r < 0)
		return r;
	waiter = malloc(sizeof(*waiter));
	if (!waiter)
		return -ENOMEM;
	*waiter = *what;
	waiter->ep = out->ep;
	waiter->list = &out->line.waiters;
	waiter->out = out;
	TAILQ_INSERT_TAIL(&out->line.waiters, waiter, link);
	count_waiting(out);
	loop_defer(&out->ep->sivc->loop, &out->line.run, on_run);
	*result = waiter;
	return 0;
}

int sivc_wait_send(struct sivc_endpoint *ep, uint16_t domid, size_t length, sivc_ready_fn *fn,
	void *data, struct sivc_waiter **waiter)
{
	const struct sivc_waiter what = {
		.length = length > 0 ? length : 1, .ready = fn, .data = data};
	struct outbound *out;
	int r = get(ep, domid, &out);

	return r < 0 ? r : wait_add(out, &what, waiter);
}

/* Streams. */

int sivc_stream_begin(struct sivc_endpoint *ep, uint16_t domid, struct sivc_writer **result)
{
	struct outbound *out;
	int r = get(ep, domid, &out);

	if (r == 0)
		r = public(outbound_update(out));
	if (r == 0 || r == -EAGAIN) /* it is not known yet */
		r = receiver_publish(ep, domid);
	if (r < 0)
		return r;
	r = outgoing_new(out, result);
	if (r == 0)
		hold(out);
	return r;
}

ssize_t sivc_stream_write(struct sivc_writer *writer, const void *data, size_t length)
{
	size_t sent;
	int r = outgoing_write(writer, data, length, &sent);

	return r == 0 ? (ssize_t)sent : public(r);
}

int sivc_stream_writable(struct sivc_writer *writer)
{
	return public(outgoing_ready(writer));
}

int sivc_stream_wait_room(
	struct sivc_writer *writer, sivc_ready_fn *fn, void *data, struct sivc_waiter **waiter)
{
	const struct sivc_waiter what = {.writer = writer, .ready = fn, .data = data};

	return writer->out ? wait_add(writer->out, &what, waiter) : -EPIPE;
}

int sivc_stream_wait_read(struct sivc_endpoint *ep, uint16_t domid, struct sivc_writer *writer,
	sivc_read_fn *fn, void *data, struct sivc_waiter **waiter)
{
	struct sivc_waiter what = {.writer = writer, .read = fn, .data = data};
	struct outbound *out;
	int r = get(ep, domid, &out);

	if (r == 0)
		r = follow(out, writer);
	if (r < 0)
		return r;
	what.ends_due = !writer && outgoing_ends(out);
	what.target = out->tx.prod;
	what.ring_nonce = out->channel.nonce;
	return wait_add(out, &what, waiter);
}

/* Who waits until all was read goes on waiting. */
static void forget_writer(struct outbound *out, const struct sivc_writer *writer)
{
	struct sivc_waiter *w;

	TAILQ_FOREACH (w, &out->line.waiters, link)
		if (w->writer == writer)
			w->writer = NULL;
}

void sivc_stream_end(struct sivc_writer *writer, bool cut)
{
	struct outbound *out = writer->out;

	if (!out) {
		outgoing_free(writer);
		return;
	}
	forget_writer(out, writer);
	if (writer->error || (cut && !writer->begun)) {
		outgoing_free(writer);
	} else {
		writer->end = cut ? WRITER_CUTS : WRITER_ENDS;
		outgoing_enter(writer);
	}
	outgoing_end(out);
	listen_for_events(out->ep); /* without it, the end goes with the next stream, or as a cut */
	count_waiting(out);
	if (!TAILQ_EMPTY(&out->line.writers))
		loop_defer(&out->ep->sivc->loop, &out->line.run, on_run);
	let_go(out);
}

void sender_wait_cancel(struct sivc_waiter *waiter)
{
	waiter_leave(waiter->out, waiter);
	free(waiter);
}

/* Life. */

static void close_events(struct sivc_endpoint *ep)
{
	loop_remove(&ep->sivc->loop, ep->sender.handle);
	ep->sender.handle = NULL;
	hv_events_free(ep->sender.events);
	ep->sender.events = NULL;
}

void sender_suspend(struct sivc_endpoint *ep)
{
	struct outbound *out, *next;

	HASH_ITER (hh, ep->sender.outbounds, out, next)
		outbound_suspend(out);
	close_events(ep);
}

int sender_resume(struct sivc_endpoint *ep)
{
	struct outbound *out, *next;
	int r = hv_events_new(ep->sivc->hv, &ep->sender.events);

	if (r == 0 && ep->sender.waiting > 0)
		r = listen_for_events(ep);
	HASH_ITER (hh, ep->sender.outbounds, out, next) {
		if (r == 0)
			r = outbound_resume(out);
	}
	return r;
}

void sender_deinit(struct sivc_endpoint *ep)
{
	struct outbound *out, *next;
	struct sivc_sending *s;
	struct sivc_waiter *w;

	HASH_ITER (hh, ep->sender.outbounds, out, next) {
		while ((s = TAILQ_FIRST(&out->line.sendings)) != NULL) {
			sending_leave(s);
			free(s);
		}
		outgoing_abandon_all(out);
		while ((w = TAILQ_FIRST(&out->line.waiters)) != NULL) {
			TAILQ_REMOVE(&out->line.waiters, w, link);
			free(w);
		}
		forget(out);
	}
	close_events(ep);
}
