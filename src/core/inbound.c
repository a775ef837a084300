/* SPDX-License-Identifier: MIT */
#include "inbound.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "shared.h"

/*
 * A permitted domain whose signals bring nothing wakes us at most this often in a row; then its
 * port stays masked for SPURIOUS_MS, at the end of which we look at its ring ourselves (XSA-332).
 */
#define SPURIOUS_MAX 8
#define SPURIOUS_MS  10

/* The room that was read is given back in portions of this part of the ring, or when it is empty.
 */
#define RELEASE_PART 8

struct inbound *inbound_find(const struct sivc_endpoint *ep, uint16_t domid)
{
	struct inbound *in;

	HASH_FIND(hh, ep->inbounds, &domid, sizeof(domid), in);
	return in;
}

int inbound_get(struct sivc_endpoint *ep, uint16_t domid, struct inbound **result)
{
	struct inbound *in = inbound_find(ep, domid);

	if (!in) {
		in = calloc(1, sizeof(*in));
		if (!in)
			return -ENOMEM;
		in->ep = ep;
		in->domid = domid;
		TAILQ_INIT(&in->saved);
		TAILQ_INIT(&in->waiters);
		HASH_ADD(hh, ep->inbounds, domid, sizeof(in->domid), in);
		if (!in->hh.tbl) {
			free(in);
			return -ENOMEM;
		}
	}
	*result = in;
	return 0;
}

/* The queue. */

void inbound_queue(struct inbound *in, enum inbound_state state)
{
	struct sivc_endpoint *ep = in->ep;

	if (in->state == INBOUND_READY)
		TAILQ_REMOVE(&ep->ready, in, link);
	else if (in->state == INBOUND_LOOKOUT)
		TAILQ_REMOVE(&ep->lookout, in, link);
	in->state = state;
	if (state == INBOUND_READY)
		TAILQ_INSERT_TAIL(&ep->ready, in, link);
	else if (state == INBOUND_LOOKOUT)
		TAILQ_INSERT_TAIL(&ep->lookout, in, link);
}

/* It may have a message: it gets its turn, or has it already. */
static void make_ready(struct inbound *in)
{
	if (in->state != INBOUND_READY)
		inbound_queue(in, INBOUND_READY);
}

static void on_event(void *data)
{
	struct inbound *in = data;

	in->masked = true;
	in->spurious++;
	make_ready(in);
}

/* Saved messages, and the one being put together. */

static struct saved *saved_new(uint32_t capacity)
{
	struct saved *saved = malloc(sizeof(*saved) + capacity);

	if (saved)
		saved->length = 0;
	return saved;
}

static void saved_append(struct saved *saved, const struct ring_frame *frame)
{
	for (int i = 0; i < frame->iovcnt; i++) {
		memcpy(saved->bytes + saved->length, frame->iov[i].iov_base, frame->iov[i].iov_len);
		saved->length += (uint32_t)frame->iov[i].iov_len;
	}
}

static void saved_add(struct inbound *in, struct saved *saved, bool front)
{
	if (front)
		TAILQ_INSERT_HEAD(&in->saved, saved, link);
	else
		TAILQ_INSERT_TAIL(&in->saved, saved, link);
	in->saved_bytes += saved->length;
}

static void partial_drop(struct inbound *in)
{
	free(in->partial);
	in->partial = NULL;
	in->partial_capacity = 0;
}

/* Grows by doubling, up to max_msg: P pays for what it sends, not we for what it announces. */
static int partial_reserve(struct inbound *in, uint32_t more)
{
	uint32_t max = in->ep->sivc->max_msg;
	uint32_t length = in->partial ? in->partial->length : 0;
	uint32_t capacity = in->partial_capacity ? in->partial_capacity : in->rx.size;
	struct saved *bigger;

	if (more > max || length > max - more)
		return -EPROTO;
	if (in->partial && length + more <= in->partial_capacity)
		return 0;
	while (capacity < length + more)
		capacity *= 2;
	bigger = realloc(in->partial, sizeof(*bigger) + capacity);
	if (!bigger)
		return -ENOMEM;
	bigger->length = length;
	in->partial = bigger;
	in->partial_capacity = capacity;
	return 0;
}

/* A fragment of a message goes where it belongs.  -EPROTO: it belongs nowhere. */
static int partial_add(struct inbound *in, const struct ring_frame *frame)
{
	int r;

	if (frame->flags & SIVC_FRAME_FIRST)
		partial_drop(in); /* its sender has given it up */
	else if (!in->partial)
		return -EPROTO;
	r = partial_reserve(in, frame->length);
	if (r < 0)
		return r;
	saved_append(in->partial, frame);
	if (frame->flags & SIVC_FRAME_LAST) {
		saved_add(in, in->partial, false);
		in->partial = NULL;
		in->partial_capacity = 0;
	}
	return 0;
}

static bool whole(const struct ring_frame *frame)
{
	return frame->flags == (SIVC_FRAME_FIRST | SIVC_FRAME_LAST);
}

/* The ring. */

static void ring_close(struct inbound *in)
{
	if (!in->data)
		return;
	/* A sender that sleeps finds out now; afterwards the channel is gone. */
	hv_port_notify(in->port);
	hv_unshare(in->ep->sivc->hv, in->data, in->pages);
	hv_unshare(in->ep->sivc->hv, in->ctl, 1);
	hv_port_free(in->port);
	loop_timer_cancel(&in->ep->sivc->loop, &in->penalty);
	in->data = NULL;
	in->ctl = NULL;
	in->port = NULL;
	partial_drop(in);
	if (TAILQ_EMPTY(&in->saved))
		inbound_queue(in, INBOUND_IDLE);
}

/* What P did cannot be undone and not be trusted: its ring is closed and never looked at again. */
static void breach(struct inbound *in)
{
	hv_log(in->ep->sivc->hv, LOG_WARNING,
		"domain %u broke the protocol of endpoint %s; its ring is closed until it is "
		"allowed "
		"again",
		in->domid, in->ep->name);
	in->ep->breaches++;
	in->breached = true;
	page_revoke_begin(&in->owner);
	page_revoke_end(&in->owner, SIVC_VERDICT_REFUSED, in->ring_nonce, in->rx.cons);
	ring_close(in);
	if (!TAILQ_EMPTY(&in->waiters))
		endpoint_breached(in->ep);
}

static void release(struct inbound *in)
{
	if (ring_rx_release(&in->rx))
		hv_port_notify(in->port);
}

/* Takes every whole message that was seen by the last look out of the ring. */
static void drain(struct inbound *in)
{
	struct ring_frame frame;
	int r;

	while ((r = ring_rx_frame(&in->rx, in->rx.cons, &frame)) == 0) {
		r = partial_add(in, &frame);
		if (r < 0)
			break;
		ring_rx_advance(&in->rx, frame.next);
	}
	if (r == -EPROTO)
		in->ep->breaches++;
	else if (r == -ENOMEM)
		hv_log(in->ep->sivc->hv, LOG_ERR,
			"out of memory: messages of domain %u to endpoint %s are lost", in->domid,
			in->ep->name);
}

/*
 * Tells P the verdict, and takes the ring back; `keep`: with what P has sent.  Between the two
 * steps is only the last look at P's index: a sender that meets us there has to come again.
 */
static void revoke(struct inbound *in, enum sivc_verdict verdict, bool keep)
{
	uint32_t final = in->rx.cons;

	if (!in->owner.page)
		return;
	page_revoke_begin(&in->owner);
	if (in->data && keep && ring_rx_look(&in->rx) == 0)
		final = in->rx.prod;
	page_revoke_end(&in->owner, verdict, in->ring_nonce, final);
	if (in->data && keep)
		drain(in);
	if (in->data)
		in->ep->rings_revoked++;
	ring_close(in);
	if (!TAILQ_EMPTY(&in->saved))
		make_ready(in);
}

/* Permission. */

static int publish(struct inbound *in)
{
	char value[SIVC_NODE_MAX];

	snprintf(value, sizeof(value), SIVC_NODE_FORMAT, in->page_ref, in->owner.nonce);
	return hv_node_write(in->ep->sivc->hv, in->ep->name, in->domid, value);
}

static int page_open(struct inbound *in)
{
	struct hv *hv = in->ep->sivc->hv;
	void *memory;
	uint32_t ref;
	int r;

	r = hv_share(hv, in->domid, 1, false, NULL, &memory, &ref);
	if (r < 0)
		return r;
	page_init(&in->owner, memory, nonce_draw());
	in->page_ref = ref;
	return 0;
}

static void page_close(struct inbound *in)
{
	if (!in->owner.page)
		return;
	hv_node_remove(in->ep->sivc->hv, in->ep->name, in->domid);
	hv_unshare(in->ep->sivc->hv, in->owner.page, 1);
	in->owner.page = NULL;
}

static int ring_open(struct inbound *in)
{
	struct hv *hv = in->ep->sivc->hv;
	uint32_t pages = in->ep->sivc->ring / SIVC_PAGE_SIZE;
	uint32_t refs[SIVC_RING_PAGES_MAX], ctl_ref;
	struct hv_port *port;
	void *ctl, *data;
	int r;

	r = hv_port_alloc(in->ep->in_events, in->domid, on_event, in, &port);
	if (r < 0)
		return r;
	r = hv_share(hv, in->domid, 1, true,
		&(struct hv_notify){port, offsetof(struct sivc_ctl, receiver_alive)}, &ctl,
		&ctl_ref);
	if (r < 0)
		goto free_port;
	r = hv_share(hv, in->domid, pages, true, NULL, &data, refs);
	if (r < 0)
		goto unshare_ctl;

	in->port = port;
	in->ctl = ctl;
	in->data = data;
	in->pages = pages;
	in->masked = false;
	in->spurious = 0;
	in->ring_nonce = nonce_draw();
	shared_store8(&in->ctl->receiver_alive, 1);
	ring_rx_init(&in->rx, in->owner.page, in->ctl, in->data, pages * SIVC_PAGE_SIZE);
	page_permit(&in->owner, &(struct page_permission){
					.ring_nonce = in->ring_nonce,
					.port = hv_port_number(port),
					.ctl_ref = ctl_ref,
					.ring_pages = pages,
					.max_msg = in->ep->sivc->max_msg,
					.refs = refs,
				});
	return 0;

unshare_ctl:
	hv_unshare(hv, ctl, 1);
free_port:
	hv_port_free(port);
	return r;
}

int inbound_permit(struct inbound *in)
{
	bool had_page = in->owner.page != NULL;
	int r;

	if (in->permitted)
		return 0;
	r = had_page ? 0 : page_open(in);
	if (r == 0)
		r = ring_open(in);
	if (r == 0 && !had_page) {
		r = publish(in);
		if (r < 0)
			ring_close(in);
	}
	if (r < 0) {
		if (!had_page)
			page_close(in);
		return r;
	}
	in->permitted = true;
	/* A ready one stays so for what it has saved; the turn finds out that the ring is empty. */
	return 0;
}

void inbound_refuse(struct inbound *in)
{
	if (in->permitted)
		revoke(in, SIVC_VERDICT_REFUSED, true);
	in->permitted = false;
	in->breached = false;
}

void inbound_suspend(struct inbound *in)
{
	revoke(in, SIVC_VERDICT_CLOSED, true);
	page_close(in);
	in->permitted = false;
	in->breached = false;
}

void inbound_free(struct inbound *in)
{
	struct saved *saved;

	if (!in)
		return;
	revoke(in, SIVC_VERDICT_CLOSED, false);
	page_close(in);
	inbound_queue(in, INBOUND_IDLE);
	while ((saved = TAILQ_FIRST(&in->saved)) != NULL) {
		TAILQ_REMOVE(&in->saved, saved, link);
		free(saved);
	}
	HASH_DELETE(hh, in->ep->inbounds, in);
	free(in);
}

/* Reading. */

/* Moves the fragments at the front of the ring; stops at a whole message, in the ring or saved. */
static int advance_to_message(struct inbound *in)
{
	struct ring_frame frame;
	int r;

	while (TAILQ_EMPTY(&in->saved)) {
		r = ring_rx_frame(&in->rx, in->rx.cons, &frame);
		if (r == -EAGAIN && in->rx.released != in->rx.cons)
			release(in);
		if (r < 0)
			return r;
		if (whole(&frame)) {
			if (frame.length > in->ep->sivc->max_msg)
				return -EPROTO;
			partial_drop(in);
			in->frame = frame;
			return 0;
		}
		r = partial_add(in, &frame);
		if (r < 0)
			return r;
		ring_rx_advance(&in->rx, frame.next);
		release(in);
		if (!(frame.flags & SIVC_FRAME_FIRST))
			in->spurious = 0; /* a long message goes on */
	}
	return 0;
}

/* After this, a message is in front of `saved`, or `frame` is one. */
static int find_message(struct inbound *in)
{
	bool alive;
	int r;

	if (!TAILQ_EMPTY(&in->saved))
		return 0;
	if (!in->data)
		return in->breached ? -EPROTO : -EAGAIN;
	r = advance_to_message(in);
	if (r == -EAGAIN) {
		alive = shared_load8(&in->ctl->sender_alive) != 0;
		r = ring_rx_look(&in->rx);
		if (r == 0)
			r = advance_to_message(in);
		/* Its process ended in the middle of a message: nobody will finish that. */
		if (r == -EAGAIN && !alive)
			partial_drop(in);
	}
	if (r == -EPROTO)
		breach(in);
	return r;
}

/*
 * The message will be handed to a system call.  Memory that is gone (a file of the local backend
 * that somebody has cut) must be noticed before, by a load that the backend can mend: a system call
 * would fail half way through a reply.
 */
static void touch(const struct ring_frame *frame)
{
	for (int i = 0; i < frame->iovcnt; i++) {
		const uint8_t *bytes = frame->iov[i].iov_base;
		size_t length = frame->iov[i].iov_len;

		for (size_t at = 0; at < length; at += SIVC_PAGE_SIZE)
			shared_load8(bytes + at);
		shared_load8(bytes + length - 1);
	}
}

int inbound_peek(struct inbound *in, struct sivc_message *message)
{
	const struct saved *saved;
	int r = find_message(in);

	if (r < 0)
		return r;
	in->spurious = 0;
	saved = TAILQ_FIRST(&in->saved);
	message->sender = in->domid;
	if (saved) {
		message->length = saved->length;
		message->iovcnt = 1;
		message->iov[0] = (struct iovec){(void *)(uintptr_t)saved->bytes, saved->length};
	} else {
		message->length = in->frame.length;
		message->iovcnt = in->frame.iovcnt;
		memcpy(message->iov, in->frame.iov, sizeof(message->iov));
		touch(&in->frame);
	}
	return 0;
}

void inbound_consume(struct inbound *in)
{
	struct saved *saved = TAILQ_FIRST(&in->saved);

	in->messages++;
	if (saved) {
		in->bytes += saved->length;
		in->saved_bytes -= saved->length;
		TAILQ_REMOVE(&in->saved, saved, link);
		free(saved);
		return;
	}
	if (!in->data) /* its ring was closed since the peek */
		return;
	in->bytes += in->frame.length;
	ring_rx_advance(&in->rx, in->frame.next);
	if (in->rx.cons == in->rx.prod ||
		in->rx.cons - in->rx.released >= in->rx.size / RELEASE_PART)
		release(in);
}

int inbound_putback(struct inbound *in, const void *data, uint32_t length)
{
	struct saved *saved = saved_new(length);

	if (!saved)
		return -ENOMEM;
	memcpy(saved->bytes, data, length);
	saved->length = length;
	saved_add(in, saved, true);
	in->messages--;
	in->bytes -= length;
	make_ready(in);
	return 0;
}

uint64_t inbound_queued(struct inbound *in, uint32_t *next)
{
	struct sivc_message message;
	struct ring_frame frame;
	uint64_t bytes;
	uint32_t at;

	*next = 0;
	if (inbound_peek(in, &message) < 0)
		return 0;
	*next = message.length;
	bytes = in->saved_bytes;
	if (!in->data || ring_rx_look(&in->rx) < 0)
		return bytes;
	for (at = in->rx.cons; ring_rx_frame(&in->rx, at, &frame) == 0; at = frame.next) {
		if (!whole(&frame))
			break;
		bytes += frame.length;
	}
	return bytes;
}

/* Sleeping. */

static void on_penalty(struct loop_timer *timer)
{
	struct inbound *in = (void *)((char *)timer - offsetof(struct inbound, penalty));

	in->spurious = 0;
	make_ready(in);
	endpoint_serve(in->ep);
}

bool inbound_empty(struct inbound *in)
{
	/* A breach is for whoever reads to find. */
	return TAILQ_EMPTY(&in->saved) &&
	       (!in->data || (ring_rx_look(&in->rx) == 0 && in->rx.prod == in->rx.cons));
}

bool inbound_sleep(struct inbound *in)
{
	bool sleep;

	if (!TAILQ_EMPTY(&in->saved))
		return false;
	if (!in->data)
		return true;
	if (ring_rx_sleep(&in->rx, &sleep) < 0) {
		breach(in);
		return true;
	}
	if (!sleep)
		return false;
	if (in->masked && in->spurious > SPURIOUS_MAX) {
		loop_timer_set(&in->ep->sivc->loop, &in->penalty, SPURIOUS_MS, on_penalty);
	} else if (in->masked) {
		in->masked = false;
		hv_port_unmask(in->port);
	}
	return true;
}
