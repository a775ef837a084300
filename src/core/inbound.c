/* SPDX-License-Identifier: MIT */
#include "inbound.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "container_of.h"
#include "shared.h"

/*
 * What one turn may take of a ring in fragments, besides a ring's worth of bytes: an honest sender
 * has never as many in its ring.  A sender that has begun ABANDONED_MAX messages in a row, and none
 * of them was ever whole, rests 1 ms for each turn that we spent on them.
 */
#define TURN_FRAGMENTS 64
#define ABANDONED_MAX  8
#define ABANDONED_MS   1000 /* at most */

/*
 * Bytes that a turn must bring on the average for us to spin until the next piece.  An honest
 * sender brings a quarter of the smallest ring or more; one that would keep us busy with crumbs
 * does not.
 */
#define FLOW_LEAST 512

/* How many revoked rings one domain can leave here unread. */
#define KEPT_MAX 2

/* How many of its rings may be taken back before the log says once what that may cost: whether it
 * maps them still, nobody tells us. */
#define REVOKED_TOLD 16

/* The room that was read is given back in portions of this part of the ring, or when it is empty.
 */
#define RELEASE_PART 8

struct inbound *inbound_find(const struct sivc_endpoint *ep, uint16_t domid)
{
	struct inbound *in = TAILQ_FIRST(&ep->ready); /* mostly, because it is its turn */

	if (!in || in->domid != domid)
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
		TAILQ_INIT(&in->kept);
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

/* Has something only if its port's event says so. */
static bool asleep(const struct inbound *in)
{
	return in->data && in->state == INBOUND_IDLE;
}

void inbound_queue(struct inbound *in, enum inbound_state state)
{
	struct sivc_endpoint *ep = in->ep;

	ep->asleep -= asleep(in);
	if (in->state == INBOUND_READY)
		TAILQ_REMOVE(&ep->ready, in, link);
	else if (in->state == INBOUND_LOOKOUT)
		TAILQ_REMOVE(&ep->lookout, in, link);
	in->state = state;
	if (state == INBOUND_READY)
		TAILQ_INSERT_TAIL(&ep->ready, in, link);
	else if (state == INBOUND_LOOKOUT)
		TAILQ_INSERT_TAIL(&ep->lookout, in, link);
	ep->asleep += asleep(in);
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
		shared_copy_from(saved->bytes + saved->length, frame->iov[i].iov_base,
			frame->iov[i].iov_len);
		saved->length += (uint32_t)frame->iov[i].iov_len;
	}
}

static void saved_add(struct inbound *in, struct saved *saved, bool front)
{
	if (front)
		TAILQ_INSERT_HEAD(&in->saved, saved, link);
	else
		TAILQ_INSERT_TAIL(&in->saved, saved, link);
}

static void partial_drop(struct inbound *in)
{
	free(in->partial);
	in->partial = NULL;
	in->partial_capacity = 0;
	in->partial_turns = 0;
}

/* Its sender has begun another message instead. */
static void partial_abandon(struct inbound *in)
{
	if (!in->partial)
		return;
	in->abandoned++;
	in->wasted += 1 + in->partial_turns;
	partial_drop(in);
}

static void abandoned_forget(struct inbound *in)
{
	in->abandoned = 0;
	in->wasted = 0;
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
		partial_abandon(in);
	else if (!in->partial)
		return -EPROTO;
	r = partial_reserve(in, frame->length);
	if (r < 0)
		return r;
	saved_append(in->partial, frame);
	if (frame->flags & SIVC_FRAME_LAST) {
		saved_add(in, in->partial, false);
		in->partial = NULL;
		partial_drop(in);
	}
	return 0;
}

static bool whole(const struct ring_frame *frame)
{
	return frame->flags == (SIVC_FRAME_FIRST | SIVC_FRAME_LAST);
}

/* Rings that were revoked. */

static bool something_taken(const struct inbound *in)
{
	return !TAILQ_EMPTY(&in->saved) || !TAILQ_EMPTY(&in->kept);
}

static struct kept *kept_new(const struct inbound *in)
{
	return malloc(sizeof(struct kept) + (size_t)in->pages * SIVC_PAGE_SIZE);
}

/* Keeps what the last look at the ring saw. */
static void kept_add(struct inbound *in)
{
	struct kept *kept = in->spare;

	in->spare = NULL;
	ring_rx_copy(&in->rx, kept->bytes, &kept->rx);
	TAILQ_INSERT_TAIL(&in->kept, kept, link);
	in->kept_count++;
	ring_rx_advance(&in->rx, in->rx.prod); /* what a later verdict says of this ring, too */
}

static void kept_free(struct inbound *in, struct kept *kept)
{
	TAILQ_REMOVE(&in->kept, kept, link);
	in->kept_count--;
	free(kept);
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
	abandoned_forget(in);
	in->ep->asleep -= asleep(in);
	in->data = NULL;
	in->ctl = NULL;
	in->port = NULL;
	if (TAILQ_EMPTY(&in->kept)) /* else it is of the first one of those */
		partial_drop(in);
	if (!something_taken(in))
		inbound_queue(in, INBOUND_IDLE);
}

static void log_breach(const struct inbound *in, const char *consequence)
{
	in->ep->breaches++;
	hv_log(in->ep->sivc->hv, LOG_WARNING, "domain %u broke the protocol of endpoint %s; %s",
		in->domid, in->ep->name, consequence);
}

/* What P did cannot be undone and not be trusted: its ring is closed and never looked at again. */
static void breach(struct inbound *in)
{
	log_breach(in, "its ring is closed until it is allowed again");
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

int inbound_prepare(struct inbound *in)
{
	if (in->data && !in->spare)
		in->spare = kept_new(in);
	return in->data && !in->spare ? -ENOMEM : 0;
}

void inbound_unprepare(struct inbound *in)
{
	free(in->spare);
	in->spare = NULL;
}

static void count_revoked(struct inbound *in)
{
	in->ep->rings_revoked++;
	if (++in->revoked == REVOKED_TOLD)
		hv_log(in->ep->sivc->hv, LOG_WARNING,
			"%d rings of domain %u were taken back from endpoint %s; their memory "
			"stays taken as long as that domain maps them",
			REVOKED_TOLD, in->domid, in->ep->name);
}

/*
 * Tells P the verdict, and takes the ring back; `keep`: with what P has sent.  Between the two
 * steps is only the last look at P's index: a sender that meets us there has to come again.
 */
static void revoke(struct inbound *in, enum sivc_verdict verdict, bool keep)
{
	uint32_t final = in->rx.cons;
	int r = 0;

	if (!in->owner.page)
		return;
	page_revoke_begin(&in->owner);
	if (in->data && keep)
		r = ring_rx_look(&in->rx);
	if (in->data && keep && r == 0)
		final = in->rx.prod;
	page_revoke_end(&in->owner, verdict, in->ring_nonce, final);
	if (in->data && final != in->rx.cons)
		kept_add(in);
	if (r < 0)
		log_breach(in, "what was in its ring is dropped");
	if (in->data)
		count_revoked(in);
	ring_close(in);
	inbound_unprepare(in);
	if (something_taken(in))
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

	if (!in->ep->in_events) /* table_resume comes here again */
		return -EAGAIN;
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
	in->ep->asleep += asleep(in);
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

/* The page that tells P of its ring; one that was never permitted has none yet. */
static int publish_ring(struct inbound *in)
{
	bool had_page = in->owner.page != NULL;
	int r = had_page ? 0 : page_open(in);

	if (r == 0)
		r = ring_open(in);
	if (r == 0 && !had_page) {
		r = publish(in);
		if (r < 0)
			ring_close(in);
	}
	if (r < 0 && !had_page)
		page_close(in);
	return r;
}

int inbound_permit(struct inbound *in)
{
	int r;

	if (in->permitted)
		return 0;
	in->crowded = in->kept_count >= KEPT_MAX;
	if (in->crowded)
		hv_log(in->ep->sivc->hv, LOG_WARNING,
			"domain %u came and went %d times and nobody read what it left at endpoint "
			"%s; it can send again when somebody has",
			in->domid, KEPT_MAX, in->ep->name);
	r = in->crowded ? 0 : publish_ring(in);
	/* A ready one stays so for what it has left; the turn finds out that the ring is empty. */
	in->permitted = r == 0;
	return r;
}

/* Something kept was read. */
static void crowd_leaves(struct inbound *in)
{
	int r;

	in->crowded = false;
	r = publish_ring(in);
	if (r == 0)
		return;
	in->permitted = false;
	hv_log(in->ep->sivc->hv, LOG_ERR,
		"domain %u cannot send to endpoint %s before it is allowed again: %s", in->domid,
		in->ep->name, strerror(-r));
}

static void forbid(struct inbound *in, enum sivc_verdict verdict)
{
	if (inbound_prepare(in) < 0)
		hv_log(in->ep->sivc->hv, LOG_ERR,
			"out of memory: what domain %u has sent to endpoint %s is lost", in->domid,
			in->ep->name);
	revoke(in, verdict, in->spare != NULL);
	in->permitted = false;
	in->breached = false;
	in->crowded = false;
}

void inbound_refuse(struct inbound *in)
{
	if (in->permitted)
		forbid(in, SIVC_VERDICT_REFUSED);
}

void inbound_suspend(struct inbound *in)
{
	forbid(in, SIVC_VERDICT_CLOSED);
	page_close(in);
}

bool inbound_forgettable(const struct inbound *in)
{
	return !in->permitted && !in->partial && !something_taken(in) && TAILQ_EMPTY(&in->waiters);
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
	while (!TAILQ_EMPTY(&in->kept))
		kept_free(in, TAILQ_FIRST(&in->kept));
	partial_drop(in);
	inbound_unprepare(in);
	HASH_DELETE(hh, in->ep->inbounds, in);
	free(in);
}

/* Reading. */

/* Where the next message is, if none is saved: a kept ring, or the ring; NULL: nowhere. */
static struct ring_rx *source(struct inbound *in)
{
	struct kept *kept = TAILQ_FIRST(&in->kept);

	if (kept)
		return &kept->rx;
	return in->data ? &in->rx : NULL;
}

/* What one visit may take of fragments. */
struct turn {
	unsigned int fragments;
	uint32_t bytes;
};

static bool turn_over(struct turn *turn, uint32_t bytes)
{
	if (turn->fragments == 0 || turn->bytes < bytes)
		return true;
	turn->fragments--;
	turn->bytes -= bytes;
	return false;
}

/*
 * Moves the fragments at the front of the ring; stops at a whole message, in the ring or saved.
 * -EAGAIN: there is none, or it is the others' turn.
 */
static int advance_to_message(struct inbound *in, struct ring_rx *rx, struct turn *turn)
{
	struct ring_frame frame;
	int r;

	while (TAILQ_EMPTY(&in->saved)) {
		r = ring_rx_frame(rx, rx->cons, &frame);
		if (r == -EAGAIN && rx == &in->rx && rx->released != rx->cons)
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
		if (in->abandoned >= ABANDONED_MAX || turn_over(turn, frame.length))
			return -EAGAIN;
		r = partial_add(in, &frame);
		if (r < 0)
			return r;
		ring_rx_advance(rx, frame.next);
		if (rx == &in->rx)
			release(in);
		if (!(frame.flags & SIVC_FRAME_FIRST))
			in->spurious = 0; /* a long message goes on */
	}
	return 0;
}

/* The same in what was kept of rings; that ends. */
static int advance_in_kept(struct inbound *in)
{
	struct kept *kept;
	int r = -EAGAIN;

	while (r == -EAGAIN && (kept = TAILQ_FIRST(&in->kept)) != NULL) {
		struct turn turn = {.fragments = UINT_MAX, .bytes = UINT32_MAX};

		r = advance_to_message(in, &kept->rx, &turn);
		abandoned_forget(in);
		if (r == -EPROTO) {
			log_breach(in, "the rest of a ring that it had before is dropped");
			r = -EAGAIN;
		}
		if (r == -EAGAIN) {
			/* A message that was not finished when the ring was revoked never will be.
			 */
			partial_drop(in);
			kept_free(in, kept);
		}
	}
	return r;
}

static int advance_in_ring(struct inbound *in)
{
	struct turn turn = {.fragments = TURN_FRAGMENTS, .bytes = in->rx.size};
	uint32_t prod;
	bool alive;
	int r;

	if (in->partial)
		in->partial_turns++;
	r = advance_to_message(in, &in->rx, &turn);
	if (r != -EAGAIN || in->rx.cons != in->rx.prod)
		return r;
	prod = in->rx.prod;
	alive = shared_load8(&in->ctl->sender_alive) != 0;
	r = ring_rx_look(&in->rx);
	if (r == 0)
		r = advance_to_message(in, &in->rx, &turn);
	/* Its process ended in the middle of a message, and no other has begun one since. */
	if (r == -EAGAIN && !alive && prod == in->rx.prod)
		partial_drop(in);
	return r;
}

/* After this, a message is in front of `saved`, or `frame` is one. */
static int find_message(struct inbound *in)
{
	int r;

	if (!TAILQ_EMPTY(&in->saved))
		return 0;
	r = advance_in_kept(in);
	if (in->crowded && in->kept_count < KEPT_MAX)
		crowd_leaves(in);
	if (r != -EAGAIN)
		return r;
	if (!in->data)
		return in->breached ? -EPROTO : -EAGAIN;
	r = advance_in_ring(in);
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
	abandoned_forget(in);
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
	struct ring_rx *rx = source(in);

	in->messages++;
	if (saved) {
		in->bytes += saved->length;
		TAILQ_REMOVE(&in->saved, saved, link);
		free(saved);
		return;
	}
	if (!rx) /* its ring was closed since the peek */
		return;
	in->bytes += in->frame.length;
	ring_rx_advance(rx, in->frame.next); /* the same place, if the ring was kept since */
	if (rx != &in->rx)
		return;
	if (rx->cons == rx->prod || rx->cons - rx->released >= rx->size / RELEASE_PART)
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
	/* One that has been forgotten meanwhile has taken its counters along. */
	if (in->messages > 0 && in->bytes >= length) {
		in->messages--;
		in->bytes -= length;
	}
	make_ready(in);
	return 0;
}

/* Bytes of the whole messages before anything else. */
static uint64_t queued_in(const struct ring_rx *rx)
{
	struct ring_frame frame;
	uint64_t bytes = 0;

	for (uint32_t at = rx->cons; ring_rx_frame(rx, at, &frame) == 0; at = frame.next) {
		if (!whole(&frame))
			break;
		bytes += frame.length;
	}
	return bytes;
}

uint64_t inbound_queued(struct inbound *in, uint32_t *next)
{
	struct sivc_message message;
	const struct saved *saved;
	const struct kept *kept;
	uint64_t bytes = 0;

	*next = 0;
	if (inbound_peek(in, &message) < 0)
		return 0;
	*next = message.length;
	TAILQ_FOREACH (saved, &in->saved, link)
		bytes += saved->length;
	TAILQ_FOREACH (kept, &in->kept, link)
		bytes += queued_in(&kept->rx);
	if (in->data && ring_rx_look(&in->rx) == 0)
		bytes += queued_in(&in->rx);
	return bytes;
}

/* Sleeping. */

static void on_penalty(struct loop_timer *timer)
{
	struct inbound *in = container_of(timer, struct inbound, penalty);

	in->spurious = 0;
	abandoned_forget(in);
	make_ready(in);
	endpoint_serve(in->ep);
}

/* Whatever it does: it is not looked at before the time is over. */
static void punish(struct inbound *in, uint32_t ms)
{
	if (in->penalty.due == 0)
		loop_timer_set(&in->ep->sivc->loop, &in->penalty, ms, on_penalty);
}

bool inbound_empty(struct inbound *in)
{
	/* A breach is for whoever reads to find. */
	return !something_taken(in) &&
	       (!in->data || (ring_rx_look(&in->rx) == 0 && in->rx.prod == in->rx.cons));
}

bool inbound_flows(const struct inbound *in)
{
	return in->partial && in->abandoned == 0 &&
	       in->partial->length >= (uint64_t)in->partial_turns * FLOW_LEAST;
}

bool inbound_sleep(struct inbound *in)
{
	bool sleep;

	if (something_taken(in))
		return false;
	if (!in->data)
		return true;
	if (in->abandoned >= ABANDONED_MAX) {
		punish(in, in->wasted < ABANDONED_MS ? in->wasted : ABANDONED_MS);
		return true;
	}
	if (ring_rx_sleep(&in->rx, &sleep) < 0) {
		breach(in);
		return true;
	}
	if (!sleep)
		return false;
	if (in->masked && in->spurious > SPURIOUS_MAX) {
		punish(in, SPURIOUS_MS);
	} else if (in->masked) {
		in->masked = false;
		hv_port_unmask(in->port);
	}
	return true;
}
