/* SPDX-License-Identifier: MIT */
#include "outbound.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "connection.h"
#include "container_of.h"
#include "report.h"
#include "shared.h"
#include "tuning.h"

/* What SIVC_NODE_FORMAT writes. */
#define SIVC_NODE_SCAN "1 %" SCNu32 " %" SCNx64

static struct sivc *sivc_of(const struct outbound *out)
{
	return out->ep->sivc;
}

/* The state. */

void outbound_run_line(struct outbound *out)
{
	loop_defer(&sivc_of(out)->loop, &out->line.run, out->line.run.fn);
}

/* Whoever found out may not be one of those who wait, and they must not wait for an event of a port
 * that is gone. */
static void set_state(struct outbound *out, enum outbound_state state, int error)
{
	if (out->state != OUTBOUND_UNSETTLED && state == OUTBOUND_UNSETTLED)
		out->since = loop_now();
	if (state == OUTBOUND_BACKOFF)
		out->since = loop_now();
	if (out->state == OUTBOUND_UNSETTLED && state != OUTBOUND_UNSETTLED)
		loop_timer_cancel(&sivc_of(out)->loop, &out->settle);
	out->state = state;
	out->error = error;
	if (out->line.waiting && state != OUTBOUND_UNSETTLED)
		outbound_run_line(out);
}

static bool older_than_backoff(const struct outbound *out)
{
	return loop_now() - out->since >= BACKOFF_MS * NSEC_PER_MSEC;
}

/* The link: what we have mapped of R. */

/* Has R read all that is in the ring? */
static bool ring_is_read(struct outbound *out)
{
	uint32_t room;

	return ring_tx_room(&out->tx, out->tx.size, &room) == 0 && room == out->tx.size;
}

static void unlink_ring(struct outbound *out)
{
	if (!out->channel.data)
		return;
	if (out->ep->streams && !ring_is_read(out))
		out->untold = -EPIPE;
	out->last.nonce = 0;
	if (page_ring_finished(out->channel.ctl, &out->last.final))
		out->last.nonce = out->channel.nonce;
	spin_forget(&sivc_of(out)->spin, &out->channel);
	channel_close(&out->channel);
}

static void unmap_page(struct outbound *out)
{
	unlink_ring(out);
	if (out->page)
		hv_unmap(sivc_of(out)->hv, (void *)(uintptr_t)out->page, 1);
	free(out->view);
	out->page = NULL;
	out->view = NULL;
}

/*
 * R breaks the protocol: its ring is not used again, until it opens another.  A wait: it was not R,
 * this domain was restored.
 */
static int breach(struct outbound *out, enum outbound_state state)
{
	if (connection_lost(sivc_of(out)))
		return OUTBOUND_NOT_KNOWN;
	out->ep->counters.breaches++;
	report(sivc_of(out), LOG_WARNING,
		"domain %u broke the protocol of endpoint %s; nothing is sent to it before it "
		"opens another ring",
		out->domid, out->ep->name);
	unlink_ring(out);
	set_state(out, state, 0);
	return -EPROTO;
}

/* Maps the ring that the page describes.  Whatever is wrong with it is R's fault: -EPROTO. */
static int link_ring(struct outbound *out)
{
	int r = channel_link(&out->channel, out->ep->sender.events, out->domid, out->view);

	if (r < 0)
		return r == -EINVAL ? -EPROTO : r;
	r = ring_tx_init(&out->tx, out->page, out->channel.ctl, out->channel.data,
		out->channel.pages * SIVC_PAGE_SIZE);
	if (r < 0) {
		channel_close(&out->channel);
		return r;
	}
	/* A sender before us may have been killed between publishing and signalling. */
	if (out->tx.prod != out->tx.cons)
		hv_port_notify(out->channel.port);
	return 0;
}

/* The page permits us. */
static void follow_permission(struct outbound *out)
{
	int r = 0;

	if (!out->channel.data || out->channel.nonce != out->view->ring_nonce) {
		unlink_ring(out);
		r = link_ring(out);
	}
	if (r == 0)
		set_state(out, OUTBOUND_LINKED, 0);
	else if (!page_unchanged(out->page, out->view))
		set_state(out, OUTBOUND_REFUSED, 0); /* revoked while we were at it: no breach */
	else if (r == -EPROTO)
		breach(out, OUTBOUND_BREACHED);
	else
		set_state(out, OUTBOUND_LACKING, r);
}

static void on_settle(struct loop_timer *timer)
{
	outbound_run_line(container_of(timer, struct outbound, settle));
}

/* What the page said when it was read (page_read: r) is followed. */
static void follow_view(struct outbound *out, int r)
{
	if (r == -EAGAIN) {
		if (out->state == OUTBOUND_BREACHED) /* it did not settle in its time */
			return;
		set_state(out, OUTBOUND_UNSETTLED, 0);
		loop_timer_set(
			&sivc_of(out)->loop, &out->settle, UNSETTLED_MS * NSEC_PER_MSEC, on_settle);
	} else if (r < 0) {
		breach(out, OUTBOUND_BREACHED);
	} else if (out->view->verdict == SIVC_VERDICT_PERMITTED) {
		follow_permission(out);
	} else {
		unlink_ring(out);
		set_state(out,
			out->view->verdict == SIVC_VERDICT_CLOSED ? OUTBOUND_CLOSED
								  : OUTBOUND_REFUSED,
			0);
	}
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
	bool had_page = out->page != NULL;

	unmap_page(out);
	set_state(out, had_page ? OUTBOUND_GONE : out->state, 0);
}

/* Maps the page that the node names.  A node that a killed process left names none. */
static int link_page(struct outbound *out, uint32_t ref, uint64_t nonce)
{
	struct page_view *view = malloc(sizeof(*view));
	void *page;
	int r;

	if (!view)
		return -ENOMEM;
	node_vanished(out);
	r = hv_map(sivc_of(out)->hv, out->domid, 1, &ref, false, NULL, &page);
	if (r < 0) {
		free(view);
		return r == -EINVAL ? 0 : r;
	}
	view->seq = 1; /* odd, as that of no settled page: it is read again */
	view->final_nonce = 0;
	r = page_read(page, nonce, view);
	if (r == -ESTALE) {
		hv_unmap(sivc_of(out)->hv, page, 1);
		free(view);
		return 0;
	}
	out->page = page;
	out->view = view;
	out->page_ref = ref;
	out->page_nonce = nonce;
	follow_view(out, r);
	return 0;
}

/* Whatever the node says is R's word; an error is of this side, and worth another try. */
static int read_node(struct outbound *out)
{
	char value[SIVC_NODE_MAX];
	uint32_t ref;
	uint64_t nonce;
	int r;

	r = hv_node_read(sivc_of(out)->hv, out->domid, out->ep->name, value, sizeof(value));
	if (r < 0 && r != -ENOENT && r != -EMSGSIZE)
		return r;
	if (r < 0 || node_parse(value, &ref, &nonce) < 0) {
		node_vanished(out);
		return 0;
	}
	if (out->page && ref == out->page_ref && nonce == out->page_nonce)
		return 0;
	return link_page(out, ref, nonce);
}

static void on_watch(void *data)
{
	struct outbound *out = data;

	out->stale = true;
	outbound_run_line(out);
}

static int watch_start(struct outbound *out)
{
	return hv_watch_node(
		sivc_of(out)->hv, out->domid, out->ep->name, on_watch, out, &out->watch);
}

/* R's process has ended: its kernel cleared the byte, or the watch said so. */
static bool receiver_ended(const struct outbound *out)
{
	return out->channel.data && !channel_peer_alive(&out->channel);
}

static void look_at_page(struct outbound *out)
{
	/* Before the page: a ring that R revokes ends after its seq has changed. */
	bool ended = receiver_ended(out);

	if (out->state == OUTBOUND_BACKOFF) {
		if (!older_than_backoff(out))
			return;
		set_state(out, OUTBOUND_BREACHED, 0);
	}
	if (!page_unchanged(out->page, out->view) || out->state == OUTBOUND_LACKING)
		follow_view(out, page_read(out->page, out->page_nonce, out->view));
	else if (ended)
		node_vanished(out);
}

bool outbound_known(const struct outbound *out)
{
	return !sivc_of(out)->lost && out->state != OUTBOUND_UNSETTLED;
}

static int outcome(struct outbound *out)
{
	switch (out->state) {
	case OUTBOUND_NO_NODE:
	case OUTBOUND_REFUSED:
		return -EACCES;
	case OUTBOUND_GONE:
	case OUTBOUND_CLOSED:
		return -EPIPE;
	case OUTBOUND_UNSETTLED:
		return older_than_backoff(out) ? breach(out, OUTBOUND_BREACHED)
					       : OUTBOUND_NOT_KNOWN;
	case OUTBOUND_LACKING:
		return out->error;
	case OUTBOUND_BREACHED:
	case OUTBOUND_BACKOFF:
		return -EPROTO;
	case OUTBOUND_LINKED:
		break;
	}
	return 0;
}

int outbound_update(struct outbound *out)
{
	const struct sivc *sivc = sivc_of(out);
	int r;

	if (out->state != OUTBOUND_LINKED)
		connection_look(sivc_of(out)); /* what was published before we were asked */
	if (sivc->lost) /* what we have mapped may be gone; after a restore we know */
		return OUTBOUND_NOT_KNOWN;
	if (out->stale) {
		r = read_node(out);
		if (r < 0)
			return r;
		out->stale = false;
	}
	if (out->page)
		look_at_page(out);
	return sivc->lost ? OUTBOUND_NOT_KNOWN : outcome(out); /* lost since a moment ago */
}

/* Sending. */

void outbound_progress(struct outbound *out)
{
	out->fruitless = 0;
	channel_progress(&out->channel);
}

void outbound_fruitless(struct outbound *out)
{
	if (outbound_known(out) && ++out->fruitless > FRUITLESS_MAX) {
		out->fruitless = 0;
		breach(out, OUTBOUND_BACKOFF);
	}
}

static bool is_large(const struct outbound *out, size_t length)
{
	return ring_span((uint32_t)length) > out->tx.size;
}

uint32_t outbound_piece(const struct outbound *out)
{
	return out->tx.size / PIECE_PART;
}

uint32_t outbound_need(const struct outbound *out, size_t length, size_t offset)
{
	uint32_t span = ring_span((uint32_t)(length - offset));
	uint32_t piece = outbound_piece(out);

	return is_large(out, length) && span > piece ? piece : span;
}

int outbound_space(struct outbound *out, uint32_t need, uint32_t *space)
{
	int r = ring_tx_room(&out->tx, need, space);

	/* An index that makes no sense, unless it is that of the next ring. */
	if (r < 0 && page_unchanged(out->page, out->view))
		return breach(out, OUTBOUND_BREACHED);
	return r < 0 || *space < need ? OUTBOUND_NO_ROOM : 0;
}

int outbound_room(struct outbound *out, size_t length)
{
	uint32_t space;

	if (length > SIVC_MAX_MSG_MAX || length > out->view->max_msg)
		return -EMSGSIZE;
	return outbound_space(out, outbound_need(out, length, 0), &space);
}

void outbound_publish(struct outbound *out)
{
	bool asleep = ring_tx_publish(&out->tx);

	if (asleep)
		hv_port_notify(out->channel.port);
	spin_met(&sivc_of(out)->spin, !asleep);
	outbound_progress(out);
}

/* A whole message in one frame, or a piece of one that is larger than the ring. */
static int put_piece(struct outbound *out, const struct iovec *message, size_t *offset)
{
	uint32_t length = (uint32_t)(message->iov_len - *offset);
	uint32_t flags = *offset == 0 ? SIVC_FRAME_FIRST : 0;
	uint32_t need = outbound_need(out, message->iov_len, *offset);
	uint32_t room;
	int r;

	r = ring_tx_room(&out->tx, need, &room);
	if (r < 0)
		return r;
	if (room < need)
		return OUTBOUND_NO_ROOM;
	if (ring_span(length) > need)
		length = ring_fitting(need);
	if (*offset + length == message->iov_len)
		flags |= SIVC_FRAME_LAST;
	ring_tx_put(&out->tx, flags, (const char *)message->iov_base + *offset, length);
	*offset += length;
	return 0;
}

/* Whatever the page allows: beyond our own limit, sums of 32 bits overflow. */
static int check_length(
	const struct outbound *out, const struct sivc_sending *s, const struct iovec *message)
{
	size_t length = message->iov_len;

	if (length == 0)
		return -EINVAL;
	if (length > SIVC_MAX_MSG_MAX || length > out->view->max_msg)
		return -EMSGSIZE;
	return s->nowait && is_large(out, length) ? -EMSGSIZE : 0;
}

/* What is published as one: a run of whole messages, or a piece of a large one, so that R takes it
 * while we copy the next. */
static int put_batch(struct outbound *out, struct sivc_sending *s)
{
	size_t first = s->sent;
	int r = 0;

	while (r == 0 && s->sent < s->count) {
		const struct iovec *message = &s->messages[s->sent];
		bool large = is_large(out, message->iov_len);

		r = check_length(out, s, message);
		if (r == 0 && large && s->sent > first)
			return 0;
		if (r == 0)
			r = put_piece(out, message, &s->offset);
		if (r == 0 && s->offset == message->iov_len) {
			s->offset = 0;
			s->sent++;
		}
		if (large)
			return r;
	}
	return r;
}

static void count_sent(struct outbound *out, const struct sivc_sending *s)
{
	for (size_t i = s->batch.first; i < s->sent; i++) {
		out->counters.messages++;
		out->counters.bytes += s->messages[i].iov_len;
	}
}

/* How far R took the ring in which the batch was published. */
static bool final_of(const struct outbound *out, const struct sivc_sending *s, uint32_t *final)
{
	if (out->last.nonce == s->batch.ring_nonce)
		*final = out->last.final;
	else if (out->view && out->view->final_nonce == s->batch.ring_nonce)
		*final = out->view->final;
	else
		return false;
	return true;
}

/* That ring was revoked: takes back from s->sent what R did not take. */
static void take_back(const struct outbound *out, struct sivc_sending *s)
{
	uint32_t end = s->batch.start, final = end;
	bool known = final_of(out, s, &final);
	size_t arrived;

	for (arrived = s->batch.first; known && arrived < s->sent; arrived++) {
		uint32_t span = ring_span((uint32_t)s->messages[arrived].iov_len);

		/* One that was larger than the ring ended the batch. */
		end = span > s->batch.ring_size ? s->batch.end : end + span;
		if ((int32_t)(final - end) < 0)
			break;
	}
	s->sent = arrived;
	s->offset = 0;
}

/* The page changed when a batch was out.  A wait: what became of it cannot be known yet. */
static int resolve(struct outbound *out, struct sivc_sending *s)
{
	int r = outbound_update(out);

	if (r > 0)
		return r;
	s->in_doubt = false;
	if (r < 0 || out->channel.nonce != s->batch.ring_nonce) {
		take_back(out, s);
		r = r < 0 ? r : -EACCES;
	}
	count_sent(out, s);
	return r;
}

/* For those who cannot wait: an owner that has lost its processor gets it back soon, or is taken
 * for no. */
static int resolve_now(struct outbound *out, struct sivc_sending *s)
{
	int r = OUTBOUND_NOT_KNOWN;

	for (int i = 0; i < DOUBT_TRIES && r > 0; i++) {
		r = resolve(out, s);
		if (r > 0)
			sched_yield();
	}
	if (r <= 0)
		return r;
	s->in_doubt = false;
	s->sent = s->batch.first;
	return -EACCES;
}

void outbound_settle(struct outbound *out, struct sivc_sending *s)
{
	if (s->in_doubt)
		resolve_now(out, s);
}

/* Nobody may rely on what such a receiver has of this batch. */
static int breach_in_batch(struct outbound *out, struct sivc_sending *s)
{
	s->sent = s->batch.first;
	s->offset = 0;
	return breach(out, OUTBOUND_BREACHED);
}

static int push_batch(struct outbound *out, struct sivc_sending *s)
{
	int put, r = 0;

	s->batch = (struct batch){
		.first = s->sent,
		.start = out->tx.prod,
		.ring_size = out->tx.size,
		.ring_nonce = out->channel.nonce,
	};
	put = put_batch(out, s);
	s->batch.end = out->tx.prod;
	if (s->batch.end != s->batch.start)
		outbound_publish(out);
	if (page_unchanged(out->page, out->view)) {
		if (put != -EPROTO)
			count_sent(out, s);
	} else {
		s->in_doubt = true;
		r = s->nowait ? resolve_now(out, s) : resolve(out, s);
	}
	if (r != 0)
		return r;
	/* An index that makes no sense: only now it is known to be of this ring, and not of the
	 * next. */
	return put == -EPROTO ? breach_in_batch(out, s) : put;
}

int outbound_send(struct outbound *out, struct sivc_sending *s)
{
	int r = s->in_doubt ? resolve(out, s) : 0;

	while (r == 0 && s->sent < s->count) {
		r = outbound_update(out);
		if (r != 0)
			break;
		/* The rest of a message whose beginning went into another ring is not sent. */
		if (s->offset > 0 && s->batch.ring_nonce != out->channel.nonce)
			return -EACCES;
		r = push_batch(out, s);
	}
	return s->sent == s->count && !s->in_doubt ? 0 : r;
}

bool outbound_look(struct outbound *out, uint32_t need)
{
	uint32_t room;

	return out->state != OUTBOUND_LINKED || ring_tx_room(&out->tx, need, &room) < 0 ||
	       (need > 0 && room >= need) || !page_unchanged(out->page, out->view) ||
	       receiver_ended(out);
}

bool outbound_arm(struct outbound *out, uint32_t need)
{
	bool sleep = true;
	int r;

	if (!outbound_known(out))
		return true; /* restore.c goes on, or on_settle */
	if (out->state != OUTBOUND_LINKED)
		return false; /* let them fail */
	r = need > 0 ? ring_tx_sleep(&out->tx, need, &sleep) : 0;
	/* R may have revoked the ring before it could see that we sleep. */
	if (!page_unchanged(out->page, out->view) || receiver_ended(out))
		return false;
	if (r < 0) {
		breach(out, OUTBOUND_BREACHED);
		return false;
	}
	if (sleep)
		channel_unmask(&out->channel);
	return sleep;
}

/* Life. */

int outbound_new(struct sivc_endpoint *ep, uint16_t domid, void (*run)(struct loop_task *task),
	const struct channel_ops *ops, struct outbound **result)
{
	struct outbound *out = calloc(1, sizeof(*out));
	int r;

	if (!out)
		return -ENOMEM;
	out->ep = ep;
	out->domid = domid;
	out->stale = true;
	out->line.run.fn = run;
	TAILQ_INIT(&out->line.sendings);
	TAILQ_INIT(&out->line.writers);
	TAILQ_INIT(&out->line.others);
	TAILQ_INIT(&out->line.waiters);
	channel_init(&out->channel, &ep->sivc->hv, &ep->sivc->loop, ops);
	r = watch_start(out);
	if (r < 0) {
		free(out);
		return r;
	}
	*result = out;
	return 0;
}

void outbound_free(struct outbound *out)
{
	loop_task_cancel(&sivc_of(out)->loop, &out->line.run);
	loop_timer_cancel(&sivc_of(out)->loop, &out->settle);
	hv_watch_free(out->watch);
	unmap_page(out);
	free(out);
}

void outbound_suspend(struct outbound *out)
{
	hv_watch_free(out->watch);
	out->watch = NULL;
	node_vanished(out);
}

int outbound_resume(struct outbound *out)
{
	int r = out->watch ? 0 : watch_start(out);

	out->stale = true;
	outbound_run_line(out);
	return r;
}
