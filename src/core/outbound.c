/* SPDX-License-Identifier: MIT */
#include "outbound.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <sivc/ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <syslog.h>

#include "container_of.h"
#include "shared.h"

/* What SIVC_NODE_FORMAT writes. */
#define SIVC_NODE_SCAN "1 %" SCNu32 " %" SCNx64

/*
 * A page that changes under our eyes again and again is no page: an honest owner needs a system
 * call of one of its users for each change.  Nor is there room where nothing can be put.  Who does
 * either so often in a row, and takes nothing, is not looked at again before SHUNNED_MS are over.
 */
#define NOTHING_MAX 100
#define SHUNNED_MS  1000

/* A page that is being changed: when to look again, and when to take it for hostile. */
#define UNSETTLED_MS     1
#define UNSETTLED_MAX_NS 1000000000ull

/* Looks at such a page by a sender that cannot wait, with the CPU offered to others in between. */
#define DOUBT_TRIES 1000

/* A long message goes out in pieces that are at least this part of the ring, so that both sides
 * work.
 */
#define PIECE_PART 4

static int outbound_update(struct outbound *out);
static void outbound_run(struct outbound *out);

struct outbound *outbound_find(struct sivc_endpoint *ep, uint16_t domid)
{
	struct outbound *out = ep->sent_to; /* mostly: who sends does it again */

	if (!out || out->domid != domid)
		HASH_FIND(hh, ep->outbounds, &domid, sizeof(domid), out);
	return ep->sent_to = out;
}

/* The link: what we have mapped of R. */

static void ring_unlink(struct outbound *out)
{
	struct hv *hv = out->ep->sivc->hv;

	if (!out->data)
		return;
	hv_unmap(hv, out->data, out->pages);
	hv_unmap(hv, out->ctl, 1);
	hv_port_free(out->port);
	out->data = NULL;
	out->ctl = NULL;
	out->port = NULL;
}

static void page_unmap(struct outbound *out)
{
	ring_unlink(out);
	if (out->page)
		hv_unmap(out->ep->sivc->hv, (void *)(uintptr_t)out->page, 1);
	out->page = NULL;
	out->unsettled = 0;
}

static void on_again(struct loop_timer *timer)
{
	outbound_run(container_of(timer, struct outbound, again));
}

static void run_soon(struct outbound *out, uint32_t ms)
{
	loop_timer_set(&out->ep->sivc->loop, &out->again, ms, on_again);
}

/*
 * The link has changed.  Whoever found out may not be one of those who wait, and they must not wait
 * for an event of a port that is gone.
 */
static void tell_waiting(struct outbound *out)
{
	if (out->waiting && !out->running)
		run_soon(out, 0);
}

/*
 * R breaks the protocol: its ring is not used again, until it opens another.  -EAGAIN: it was not
 * R, this domain was restored; outbound_resume_all goes on.
 */
static int receiver_breach(struct outbound *out)
{
	uint64_t n;

	if (hv_lost(out->ep->sivc->hv)) {
		sivc_reopen_later(out->ep->sivc);
		return -EAGAIN;
	}
	n = ++out->breaches;
	/* One that does it again and again does not fill the log: the 1st, 2nd, 4th, 8th time. */
	if ((n & (n - 1)) == 0)
		hv_log(out->ep->sivc->hv, LOG_WARNING,
			"domain %u broke the protocol of endpoint %s; nothing is sent to it before "
			"it opens another ring (breaches until now: %" PRIu64 ")",
			out->domid, out->ep->name, n);
	out->ep->breaches++;
	ring_unlink(out);
	out->unsettled = 0;
	out->state = OUTBOUND_PAGE;
	out->error = -EPROTO;
	tell_waiting(out);
	return -EPROTO;
}

/* R does not let us come to an end. */
static int receiver_shun(struct outbound *out)
{
	out->shunned = loop_now() + SHUNNED_MS * NSEC_PER_MSEC;
	return receiver_breach(out);
}

static void on_event(void *data)
{
	struct outbound *out = data;

	out->masked = true;
	out->spurious++;
	outbound_run(out);
}

/* Maps the ring that out->view describes.  Whatever is wrong with it is R's fault: -EPROTO. */
static int ring_link(struct outbound *out)
{
	struct hv *hv = out->ep->sivc->hv;
	const struct page_view *view = &out->view;
	struct hv_port *port;
	void *ctl, *data;
	int r;

	r = hv_port_bind(out->ep->out_events, out->domid, view->port, on_event, out, &port);
	if (r < 0)
		return r;
	r = hv_map(hv, out->domid, 1, &view->ctl_ref, true,
		&(struct hv_notify){port, offsetof(struct sivc_ctl, sender_alive)}, &ctl);
	if (r < 0)
		goto free_port;
	r = hv_map(hv, out->domid, view->ring_pages, view->refs, true, NULL, &data);
	if (r < 0)
		goto unmap_ctl;
	r = ring_tx_init(&out->tx, out->page, ctl, data, view->ring_pages * SIVC_PAGE_SIZE);
	if (r < 0)
		goto unmap_data;
	out->ctl = ctl;
	out->data = data;
	out->pages = view->ring_pages;
	out->port = port;
	out->masked = false;
	out->ring_nonce = view->ring_nonce;
	shared_store8(&out->ctl->sender_alive, 1);
	/* A sender before us may have been killed between publishing and signalling. */
	if (out->tx.prod != out->tx.cons)
		hv_port_notify(out->port);
	return 0;

unmap_data:
	hv_unmap(hv, data, view->ring_pages);
unmap_ctl:
	hv_unmap(hv, ctl, 1);
free_port:
	hv_port_free(port);
	return r;
}

/* R is changing the page, or has lost its CPU while it did: nothing is known until it is done. */
static void page_unsettled(struct outbound *out)
{
	if (out->unsettled == 0)
		out->unsettled = loop_now();
	run_soon(out, UNSETTLED_MS);
}

/* The page permits us: links the ring that it describes, unless we have it.  0, or a send's error.
 */
static int follow_permission(struct outbound *out)
{
	int r;

	if (out->data && out->ring_nonce == out->view.ring_nonce)
		return 0;
	ring_unlink(out);
	r = ring_link(out);
	/* If it was revoked while we were at it, that is no breach. */
	if (r < 0 && !page_unchanged(out->page, &out->view))
		return -EAGAIN;
	return r == -EINVAL ? -EPROTO : r;
}

/* What the page said when it was read (page_read: r) is followed. */
static void follow_view(struct outbound *out, int r)
{
	if (r == -EAGAIN) {
		if (out->error != -EPROTO) /* one that did not settle in its time stays so */
			page_unsettled(out);
		return;
	}
	out->unsettled = 0;
	if (r == 0 && out->view.verdict == SIVC_VERDICT_PERMITTED)
		r = follow_permission(out);
	else if (r == 0)
		r = out->view.verdict == SIVC_VERDICT_CLOSED ? -EPIPE : -EACCES;
	if (r == -EPROTO || r == -ESTALE) {
		receiver_breach(out);
		return;
	}
	if (r < 0)
		ring_unlink(out);
	out->state = r < 0 ? OUTBOUND_PAGE : OUTBOUND_LINKED;
	out->error = r;
	tell_waiting(out);
}

static void follow_page(struct outbound *out)
{
	follow_view(out, page_read(out->page, out->page_nonce, &out->view));
}

/* The node. */

static int node_parse(const char *value, uint32_t *ref, uint64_t *nonce)
{
	char again[SIVC_NODE_MAX];

	/* Exactly what we would have written, or nothing of ours. */
	if (sscanf(value, SIVC_NODE_SCAN, ref, nonce) != 2) /* NOLINT(cert-err34-c): see below */
		return -EPROTO;
	snprintf(again, sizeof(again), SIVC_NODE_FORMAT, *ref, *nonce);
	return strcmp(again, value) == 0 ? 0 : -EPROTO;
}

static void node_vanished(struct outbound *out)
{
	if (out->page)
		out->state = OUTBOUND_GONE;
	page_unmap(out);
	tell_waiting(out);
}

/* Maps the page that the node names. */
static int page_link(struct outbound *out, uint32_t ref, uint64_t nonce)
{
	void *page;
	int r;

	page_unmap(out);
	out->state = out->state == OUTBOUND_NOTHING ? OUTBOUND_NOTHING : OUTBOUND_GONE;
	r = hv_map(out->ep->sivc->hv, out->domid, 1, &ref, false, NULL, &page);
	if (r < 0) /* a node that a killed process left names nothing that can be mapped: no page */
		return r == -EINVAL ? 0 : r;
	/* Odd, as that of no settled page: one that is not settled now is read again. */
	out->view.seq = 1;
	r = page_read(page, nonce, &out->view);
	if (r == -ESTALE) {
		hv_unmap(out->ep->sivc->hv, page, 1);
		return 0;
	}
	out->page = page;
	out->page_ref = ref;
	out->page_nonce = nonce;
	out->state = OUTBOUND_PAGE;
	out->error = -EACCES;
	follow_view(out, r);
	return 0;
}

/* Whatever the node says is R's word; an error is of this side, and worth another try. */
static int read_node(struct outbound *out)
{
	struct sivc *sivc = out->ep->sivc;
	char value[SIVC_NODE_MAX];
	uint32_t ref;
	uint64_t nonce;
	int r;

	r = hv_node_read(sivc->hv, out->domid, out->ep->name, value, sizeof(value));
	if (r < 0 && r != -ENOENT && r != -EMSGSIZE)
		return r;
	if (r < 0 || node_parse(value, &ref, &nonce) < 0) {
		node_vanished(out);
		return 0;
	}
	if (out->page && ref == out->page_ref && nonce == out->page_nonce)
		return 0;
	return page_link(out, ref, nonce);
}

static void on_watch(void *data)
{
	struct outbound *out = data;

	out->stale = true;
	/* What we have mapped of a domain that has ended keeps it from going, whoever waits here.
	 */
	if (out->page && !out->waiting && !out->ep->sivc->stale)
		outbound_update(out);
	outbound_run(out);
}

static int watch_start(struct outbound *out)
{
	return hv_watch_node(
		out->ep->sivc->hv, out->domid, out->ep->name, on_watch, out, &out->watch);
}

/* R's process has ended: its kernel cleared the byte, or the watch said so. */
static bool receiver_ended(const struct outbound *out)
{
	return out->data && !shared_load8(&out->ctl->receiver_alive);
}

/* A failure of ours, not R's word: worth another try. */
static bool passing(int error)
{
	return error != 0 && error != -EACCES && error != -EPIPE && error != -EPROTO;
}

static void update_page(struct outbound *out)
{
	bool ended = receiver_ended(out);

	if (out->shunned > 0 && loop_now() < out->shunned)
		return;
	out->shunned = 0;
	shared_read_barrier(); /* a ring that R revokes ends after its seq has changed */
	if (!page_unchanged(out->page, &out->view) ||
		(out->state == OUTBOUND_PAGE && passing(out->error)))
		follow_page(out);
	else if (ended)
		node_vanished(out);
}

/* 0: linked, and permitted a moment ago.  Else the error of a send. */
static int outbound_update(struct outbound *out)
{
	int r;

	/* What we have mapped may be gone; after sivc_reopen we know. */
	if (out->ep->sivc->stale)
		return -EAGAIN;
	if (out->state != OUTBOUND_LINKED)
		sivc_look_at_store(out->ep->sivc); /* what was published before we were asked */
	if (out->stale) {
		r = read_node(out);
		if (r < 0)
			return r;
		out->stale = false;
	}
	if (out->page)
		update_page(out);
	if (out->ep->sivc->stale) /* since a moment ago */
		return -EAGAIN;
	if (out->unsettled > 0)
		return loop_now() - out->unsettled > UNSETTLED_MAX_NS ? receiver_breach(out)
								      : -EAGAIN;
	switch (out->state) {
	case OUTBOUND_NOTHING:
		return -EACCES;
	case OUTBOUND_GONE:
		return -EPIPE;
	case OUTBOUND_PAGE:
		return out->error == -EAGAIN ? -EACCES : out->error;
	case OUTBOUND_LINKED:
		break;
	}
	return 0;
}

/* Sending. */

static bool is_large(const struct outbound *out, size_t length)
{
	return ring_span((uint32_t)length) > out->tx.size;
}

/* How much must be free to go on with a message of which `offset` bytes have gone. */
static uint32_t need_of(const struct outbound *out, size_t length, size_t offset)
{
	uint32_t span = ring_span((uint32_t)(length - offset));
	uint32_t piece = out->tx.size / PIECE_PART;

	return is_large(out, length) && span > piece ? piece : span;
}

/* A whole message in one frame, or a piece of one that is larger than the ring. */
static int put_piece(struct outbound *out, const struct iovec *message, size_t *offset)
{
	uint32_t length = (uint32_t)(message->iov_len - *offset);
	uint32_t flags = *offset == 0 ? SIVC_FRAME_FIRST : 0;
	uint32_t need = need_of(out, message->iov_len, *offset);
	uint32_t room;
	int r;

	r = ring_tx_room(&out->tx, need, &room);
	if (r < 0)
		return r;
	if (room < need)
		return -EAGAIN;
	if (ring_span(length) > room)
		length = (room - (uint32_t)sizeof(struct sivc_frame)) & ~(SIVC_FRAME_ALIGN - 1);
	if (*offset + length == message->iov_len)
		flags |= SIVC_FRAME_LAST;
	ring_tx_put(&out->tx, flags, (const char *)message->iov_base + *offset, length);
	*offset += length;
	return 0;
}

/* What can be published as one: a run of whole messages, or pieces of one large message. */
static int put_batch(struct outbound *out, struct sivc_sending *s)
{
	size_t first = s->sent;
	int r = 0;

	while (r == 0 && s->sent < s->count) {
		const struct iovec *message = &s->messages[s->sent];
		bool large = is_large(out, message->iov_len);

		if (message->iov_len == 0)
			return -EINVAL;
		/* Whatever the page allows: beyond our own limit, sums of 32 bits overflow. */
		if (message->iov_len > SIVC_MAX_MSG_MAX)
			return -EMSGSIZE;
		if (message->iov_len > out->view.max_msg || (large && s->nowait))
			return -EMSGSIZE;
		if (large && s->sent > first)
			return 0;
		r = put_piece(out, message, &s->offset);
		if (r < 0 || s->offset < message->iov_len)
			continue;
		s->offset = 0;
		s->sent++;
		if (large)
			return 0;
	}
	return r;
}

static void count_sent(struct outbound *out, const struct sivc_sending *s)
{
	for (size_t i = s->first; i < s->sent; i++) {
		out->messages++;
		out->bytes += s->messages[i].iov_len;
	}
}

/* The ring that a batch was published in was revoked: takes back from s->sent what R did not take.
 */
static void take_back(const struct outbound *out, struct sivc_sending *s)
{
	const struct page_view *view = &out->view;
	bool known = out->page && view->final_nonce == s->ring_nonce;
	uint32_t end = s->start;
	size_t arrived;

	for (arrived = s->first; known && arrived < s->sent; arrived++) {
		uint32_t span = ring_span((uint32_t)s->messages[arrived].iov_len);

		/* One that was larger than the ring ended the batch. */
		end = span > s->ring_size ? s->end : end + span;
		if ((int32_t)(view->final - end) < 0)
			break;
	}
	s->sent = arrived;
	s->offset = 0;
}

/* The page changed when a batch was out.  -EAGAIN: what became of it cannot be known yet. */
static int resolve(struct outbound *out, struct sivc_sending *s)
{
	int r = outbound_update(out);

	if (r == -EAGAIN)
		return r;
	s->in_doubt = false;
	if (r < 0 || out->ring_nonce != s->ring_nonce) {
		take_back(out, s);
		r = r < 0 ? r : -EACCES;
	}
	count_sent(out, s);
	return r;
}

/* For those who cannot wait: an owner that has lost its CPU gets it back soon, or is taken for no.
 */
static int resolve_now(struct outbound *out, struct sivc_sending *s)
{
	int r = -EAGAIN;

	for (int i = 0; i < DOUBT_TRIES && r == -EAGAIN; i++) {
		r = resolve(out, s);
		if (r == -EAGAIN)
			sched_yield();
	}
	if (r != -EAGAIN)
		return r;
	s->in_doubt = false;
	s->sent = s->first;
	return -EACCES;
}

/* Nobody may rely on what such a receiver has of this batch. */
static int breach_in_batch(struct outbound *out, struct sivc_sending *s)
{
	s->sent = s->first;
	s->offset = 0;
	return receiver_breach(out);
}

static void progress(struct outbound *out)
{
	out->spurious = 0;
	out->nothing = 0;
}

static int push_batch(struct outbound *out, struct sivc_sending *s)
{
	int put, r = 0;

	s->first = s->sent;
	s->start = out->tx.prod;
	s->ring_size = out->tx.size;
	s->ring_nonce = out->ring_nonce;
	put = put_batch(out, s);
	s->end = out->tx.prod;
	if (ring_tx_publish(&out->tx))
		hv_port_notify(out->port);
	if (s->end != s->start)
		progress(out);
	if (page_unchanged(out->page, &out->view)) {
		if (put != -EPROTO)
			count_sent(out, s);
	} else {
		s->in_doubt = true;
		r = s->nowait ? resolve_now(out, s) : resolve(out, s);
	}
	if (r < 0)
		return r;
	/* An index that makes no sense: only now it is known to be of this ring, and not of the
	 * next. */
	return put == -EPROTO ? breach_in_batch(out, s) : put;
}

/*
 * Sends what there is room for.  0: all went; -EAGAIN: the rest has to wait; else it failed.
 * s->sent counts what went in each case, if it is not in doubt.
 */
static int push(struct outbound *out, struct sivc_sending *s)
{
	int r = s->in_doubt ? resolve(out, s) : 0;

	while (r == 0 && s->sent < s->count) {
		r = outbound_update(out);
		if (r < 0)
			break;
		/* The rest of a message whose beginning went into another ring is not sent. */
		if (s->offset > 0 && s->ring_nonce != out->ring_nonce)
			return -EACCES;
		r = push_batch(out, s);
	}
	return s->sent == s->count && !s->in_doubt ? 0 : r;
}

/* How much room changes anything: those who poll have none before those who stand in line. */
static uint32_t need_least(const struct outbound *out)
{
	const struct sivc_sending *s = TAILQ_FIRST(&out->sendings);
	const struct sivc_waiter *w;
	uint32_t need = out->tx.size, n;

	if (s)
		return need_of(out, s->messages[s->sent].iov_len, s->offset);
	TAILQ_FOREACH (w, &out->waiters, link) {
		n = need_of(out, w->length, 0);
		need = n < need ? n : need;
	}
	return need;
}

/* Those who wait. */

static void on_out_events(void *data)
{
	struct sivc_endpoint *ep = data;

	if (ep->sending == 0) {
		loop_remove(&ep->sivc->loop, ep->out_handle);
		ep->out_handle = NULL;
		return;
	}
	ep->out_wakeups++;
	hv_events_dispatch(ep->out_events);
}

static void on_penalty(struct loop_timer *timer)
{
	struct outbound *out = container_of(timer, struct outbound, penalty);

	out->spurious = 0;
	outbound_run(out);
}

static void leave_lookout(struct outbound *out)
{
	if (out->lookout)
		TAILQ_REMOVE(&out->ep->out_lookout, out, lookout_link);
	out->lookout = false;
}

static void waiting_update(struct outbound *out)
{
	bool waiting = !TAILQ_EMPTY(&out->sendings) || !TAILQ_EMPTY(&out->waiters);

	if (!waiting)
		leave_lookout(out);
	if (waiting != out->waiting)
		out->ep->sending += waiting ? 1u : -1u;
	out->waiting = waiting;
}

/* What the page says, and what became of what was published last. */
static bool unknown(const struct outbound *out)
{
	return out->ep->sivc->stale || out->unsettled > 0;
}

/* Asks R for a signal.  False: there is room now. */
static bool sleep_for_room(struct outbound *out)
{
	bool sleep = true;
	int r;

	if (unknown(out))
		return true; /* outbound_resume_all or on_again goes on */
	if (out->state != OUTBOUND_LINKED)
		return false; /* let them fail */
	r = ring_tx_sleep(&out->tx, need_least(out), &sleep);
	/* R may have revoked the ring before it could see that we sleep. */
	if (!page_unchanged(out->page, &out->view) || receiver_ended(out))
		return false;
	if (r < 0) {
		receiver_breach(out);
		return false;
	}
	if (sleep && out->masked && out->spurious > SPURIOUS_MAX) {
		if (out->penalty.due == 0)
			loop_timer_set(
				&out->ep->sivc->loop, &out->penalty, SPURIOUS_MS, on_penalty);
	} else if (sleep && out->masked) {
		out->masked = false;
		hv_port_unmask(out->port);
	}
	return sleep;
}

/* Is this process to look out for room itself?  Because it spins, or in the middle of a long
 * message or a batch; if what it has found was room. */
static bool worth_looking(const struct outbound *out)
{
	const struct sivc *sivc = out->ep->sivc;
	const struct sivc_sending *s = TAILQ_FIRST(&out->sendings);

	return sivc->may_spin && s && out->state == OUTBOUND_LINKED && !unknown(out) &&
	       out->spurious <= SPURIOUS_MAX && (sivc->spin > 0 || s->offset > 0 || s->sent > 0);
}

/* The same, without asking yet if this process will spin. */
static bool look_for_room(struct outbound *out)
{
	if (!worth_looking(out))
		return sleep_for_room(out);
	if (!out->lookout)
		TAILQ_INSERT_TAIL(&out->ep->out_lookout, out, lookout_link);
	out->lookout = true;
	return true;
}

static void serve_sendings(struct outbound *out)
{
	struct sivc_sending *s;

	while ((s = TAILQ_FIRST(&out->sendings)) != NULL) {
		int r = push(out, s);

		if (r == -EAGAIN)
			return;
		TAILQ_REMOVE(&out->sendings, s, link);
		s->outbound = NULL;
		out->nothing = 0;
		s->done(s, r);
	}
}

/* Each is looked at once; a callback may take others off the list, or come again. */
static void serve_waiters(struct outbound *out)
{
	struct sivc_waiter *w;
	unsigned int count = 0;
	int r;

	TAILQ_FOREACH (w, &out->waiters, link)
		count++;
	for (; count > 0 && (w = TAILQ_FIRST(&out->waiters)) != NULL; count--) {
		r = sivc_writable(out->ep, out->domid, w->length);
		if (TAILQ_FIRST(&out->waiters) != w)
			continue;
		TAILQ_REMOVE(&out->waiters, w, link);
		if (r == -EAGAIN) {
			TAILQ_INSERT_TAIL(&out->waiters, w, link);
			continue;
		}
		progress(out);
		w->list = NULL;
		w->fn(w);
	}
}

/* Something may have changed: go on with those who wait, until they must sleep. */
static void outbound_run(struct outbound *out)
{
	int turns = 0;

	if (out->running || !out->waiting)
		return;
	leave_lookout(out);
	out->running = true;
	out->nothing = 0;
	do {
		if (++out->nothing > NOTHING_MAX)
			receiver_shun(out);
		serve_sendings(out);
		if (TAILQ_EMPTY(&out->sendings))
			serve_waiters(out);
		waiting_update(out);
		turns += out->nothing == 0;
	} while (out->waiting && !look_for_room(out) && turns < TURNS_MAX);
	out->running = false;
	if (turns == TURNS_MAX)
		run_soon(out, 0);
}

/* What R has done since decides how it goes on; whatever that is, outbound_run finds out. */
static bool something_new(struct outbound *out)
{
	uint32_t need = need_least(out), room;

	return ring_tx_room(&out->tx, need, &room) < 0 || room >= need ||
	       !page_unchanged(out->page, &out->view) || receiver_ended(out);
}

bool outbound_look_out(struct sivc_endpoint *ep)
{
	struct outbound *out, *next;
	bool found = false;

	for (out = TAILQ_FIRST(&ep->out_lookout); out && !found; out = next) {
		next = TAILQ_NEXT(out, lookout_link);
		found = out->state != OUTBOUND_LINKED || something_new(out);
		if (!found)
			continue;
		out->spurious++; /* until there was room */
		outbound_run(out);
	}
	return found;
}

bool outbound_rest(struct sivc_endpoint *ep)
{
	struct outbound *out;
	bool found = false;

	while ((out = TAILQ_FIRST(&ep->out_lookout)) != NULL) {
		leave_lookout(out);
		if (sleep_for_room(out))
			continue;
		out->spurious++;
		outbound_run(out);
		found = true;
	}
	return found;
}

static int wait_start(struct sivc_endpoint *ep)
{
	if (ep->out_handle || !ep->out_events) /* outbound_resume_all will */
		return 0;
	return loop_add(&ep->sivc->loop, hv_events_fd(ep->out_events), EPOLLIN, on_out_events, ep,
		&ep->out_handle);
}

/* The public functions. */

int outbound_get(struct sivc_endpoint *ep, uint16_t domid, struct outbound **result)
{
	struct outbound *out = outbound_find(ep, domid);
	int r;

	if (out) {
		*result = out;
		return 0;
	}
	if (domid > SIVC_DOMID_MAX)
		return -ENOENT;
	out = calloc(1, sizeof(*out));
	if (!out)
		return -ENOMEM;
	out->ep = ep;
	out->domid = domid;
	out->stale = true;
	TAILQ_INIT(&out->sendings);
	TAILQ_INIT(&out->waiters);
	r = watch_start(out);
	if (r == 0) {
		HASH_ADD(hh, ep->outbounds, domid, sizeof(out->domid), out);
		r = out->hh.tbl ? 0 : -ENOMEM;
	}
	if (r < 0) {
		hv_watch_free(out->watch);
		free(out);
		return r;
	}
	*result = out;
	return 0;
}

void outbound_free_all(struct sivc_endpoint *ep)
{
	struct outbound *out, *next;
	struct sivc_sending *s;
	struct sivc_waiter *w;

	HASH_ITER (hh, ep->outbounds, out, next) {
		TAILQ_FOREACH (s, &out->sendings, link)
			s->outbound = NULL;
		TAILQ_FOREACH (w, &out->waiters, link)
			w->list = NULL;
		leave_lookout(out);
		loop_timer_cancel(&ep->sivc->loop, &out->again);
		loop_timer_cancel(&ep->sivc->loop, &out->penalty);
		hv_watch_free(out->watch);
		page_unmap(out);
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): it has a next */
		HASH_DELETE(hh, ep->outbounds, out);
		free(out);
	}
}

void outbound_suspend_all(struct sivc_endpoint *ep)
{
	struct outbound *out, *next;

	HASH_ITER (hh, ep->outbounds, out, next) {
		hv_watch_free(out->watch);
		out->watch = NULL;
		node_vanished(out);
	}
}

int outbound_resume_all(struct sivc_endpoint *ep)
{
	struct outbound *out, *next;
	int r = ep->sending > 0 ? wait_start(ep) : 0;

	HASH_ITER (hh, ep->outbounds, out, next) {
		if (r == 0)
			r = watch_start(out);
		out->stale = true;
		outbound_run(out);
	}
	return r;
}

int sivc_peer_open(struct sivc_endpoint *ep, uint16_t domid)
{
	struct outbound *out = outbound_find(ep, domid);
	int r;

	if (out)
		return 0;
	r = outbound_get(ep, domid, &out);
	if (r == 0)
		table_peer_opened(ep);
	return r;
}

/* Without waiting: -EAGAIN also if others stand in line. */
static int send_now(struct outbound *out, struct sivc_sending *s)
{
	int r = TAILQ_EMPTY(&out->sendings) ? push(out, s) : -EAGAIN;

	if (r == -EACCES)
		out->refused++;
	else if (r == -EAGAIN)
		out->full++;
	return r;
}

ssize_t sivc_send_many(
	struct sivc_endpoint *ep, uint16_t domid, const struct iovec *messages, size_t count)
{
	struct sivc_sending s = {.messages = messages, .count = count, .nowait = true};
	struct outbound *out;
	int r = outbound_get(ep, domid, &out);

	if (r == 0)
		r = send_now(out, &s);
	return s.sent > 0 ? (ssize_t)s.sent : r;
}

int sivc_writable(struct sivc_endpoint *ep, uint16_t domid, size_t length)
{
	struct outbound *out;
	uint32_t room, need;
	int r = outbound_get(ep, domid, &out);

	if (r == 0)
		r = outbound_update(out);
	if (r < 0)
		return r;
	if (length > SIVC_MAX_MSG_MAX || length > out->view.max_msg)
		return -EMSGSIZE;
	if (!TAILQ_EMPTY(&out->sendings))
		return -EAGAIN;
	need = need_of(out, length, 0);
	r = ring_tx_room(&out->tx, need, &room);
	if (r < 0 && page_unchanged(out->page, &out->view))
		return receiver_breach(out);
	return r < 0 || room < need ? -EAGAIN : 0;
}

int sivc_send_start(struct sivc_endpoint *ep, uint16_t domid, struct sivc_sending *s)
{
	struct outbound *out;
	int r = outbound_get(ep, domid, &out);

	s->sent = 0;
	s->offset = 0;
	s->nowait = false;
	s->in_doubt = false;
	s->outbound = NULL;
	if (r < 0)
		return r;
	for (out->nothing = 0; r == 0 || r == -EAGAIN;) {
		r = ++out->nothing <= NOTHING_MAX ? send_now(out, s) : receiver_shun(out);
		if (r != -EAGAIN)
			return r;
		r = wait_start(ep);
		if (r < 0)
			return r;
		TAILQ_INSERT_TAIL(&out->sendings, s, link);
		if (TAILQ_FIRST(&out->sendings) != s || look_for_room(out)) {
			s->outbound = out;
			waiting_update(out);
			return -EINPROGRESS;
		}
		TAILQ_REMOVE(&out->sendings, s, link);
	}
	return r;
}

void sivc_send_cancel(struct sivc_sending *s)
{
	struct outbound *out = s->outbound;

	if (!out)
		return;
	TAILQ_REMOVE(&out->sendings, s, link);
	s->outbound = NULL;
	if (s->in_doubt)
		s->sent = s->first; /* nobody may rely on it */
	waiting_update(out);
	outbound_run(out); /* the next in line may need less room */
}

int sivc_wait_send(
	struct sivc_endpoint *ep, uint16_t domid, size_t length, struct sivc_waiter *waiter)
{
	struct outbound *out;
	int r = outbound_get(ep, domid, &out);

	if (r == 0)
		r = wait_start(ep);
	if (r < 0)
		return r;
	waiter->endpoint = ep;
	waiter->from = domid;
	waiter->length = length > 0 ? length : 1;
	TAILQ_INSERT_TAIL(&out->waiters, waiter, link);
	waiter->list = &out->waiters;
	waiting_update(out);
	outbound_run(out);
	return 0;
}

void outbound_wait_cancel(struct sivc_waiter *waiter)
{
	struct outbound *out = outbound_find(waiter->endpoint, (uint16_t)waiter->from);

	TAILQ_REMOVE(&out->waiters, waiter, link);
	waiter->list = NULL;
	waiting_update(out);
}
