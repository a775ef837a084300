/* SPDX-License-Identifier: MIT */
#include "inbound.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <syslog.h>

#include "report.h"
#include "shared.h"
#include "tuning.h"

int inbound_new(struct sivc_endpoint *ep, uint16_t domid, const struct channel_ops *ops,
	struct inbound **result)
{
	struct inbound *in = calloc(1, sizeof(*in));

	if (!in)
		return -ENOMEM;
	in->ep = ep;
	in->domid = domid;
	channel_init(&in->channel, &ep->sivc->hv, &ep->sivc->loop, ops);
	TAILQ_INIT(&in->unread);
	TAILQ_INIT(&in->taken);
	TAILQ_INIT(&in->rings);
	TAILQ_INIT(&in->waiters);
	TAILQ_INIT(&in->incoming.waiters);
	*result = in;
	return 0;
}

static struct hv *hv_of(const struct inbound *in)
{
	return in->ep->sivc->hv;
}

static uint32_t max_msg(const struct inbound *in)
{
	return in->ep->sivc->max_msg;
}

/* Messages out of the ring, and the one that is being put together. */

/* What was not read of it. */
static uint32_t unread_length(const struct sivc_unread *unread)
{
	return unread->length - unread->offset;
}

static uint8_t *unread_bytes(struct sivc_unread *unread)
{
	return unread->loan ? unread->loan->bytes : unread->bytes;
}

static void unread_append(struct sivc_unread *unread, const struct iovec *iov, int count)
{
	uint8_t *bytes = unread_bytes(unread);

	for (int i = 0; i < count; i++) {
		shared_copy_from(bytes + unread->length, iov[i].iov_base, iov[i].iov_len);
		unread->length += (uint32_t)iov[i].iov_len;
	}
}

static void unread_lend(struct sivc_unread *unread, struct loan *loan)
{
	unread->loan = loan;
	loan->unread = unread;
}

static void unread_destroy(struct sivc_unread *unread)
{
	if (unread && unread->loan)
		unread->loan->unread = NULL;
	free(unread);
}

static void unread_free(struct inbound *in, struct sivc_unread *unread)
{
	in->unread_bytes -= unread_length(unread);
	TAILQ_REMOVE(&in->unread, unread, link);
	unread_destroy(unread);
}

void inbound_loan_end(struct loan *loan)
{
	struct sivc_unread *unread = loan->unread;

	if (!unread)
		return;
	memcpy(unread->bytes, loan->bytes, unread->length);
	unread->loan = NULL;
	loan->unread = NULL;
}

/* Of who will have the next message of this domain. */
static struct loan *loan_offered(const struct inbound *in)
{
	const struct receiver *receiver = &in->ep->receiver;
	const struct sivc_waiter *waiter = TAILQ_FIRST(&in->waiters);
	struct loan *loan;

	if (!waiter)
		waiter = TAILQ_FIRST(&receiver->waiters);
	loan = waiter ? waiter->loan : receiver->loan;
	return loan && !loan->unread && loan->size > 0 ? loan : NULL;
}

static void assembly_drop(struct assembly *assembly)
{
	unread_destroy(assembly->message);
	assembly->message = NULL;
	assembly->capacity = 0;
	assembly->turns = 0;
}

/* Its sender has begun another message instead. */
static void assembly_abandon(struct assembly *assembly)
{
	if (!assembly->message)
		return;
	assembly->abandoned++;
	assembly->wasted += 1 + assembly->turns;
	assembly_drop(assembly);
}

static void assembly_forgive(struct assembly *assembly)
{
	assembly->abandoned = 0;
	assembly->wasted = 0;
}

/* Grows by doubling, up to max_msg: P pays for what it sends, not we for what it announces. */
static int assembly_reserve(struct inbound *in, uint32_t more)
{
	struct assembly *assembly = &in->assembly;
	uint32_t length = assembly->message ? assembly->message->length : 0;
	uint32_t capacity = assembly->capacity ? assembly->capacity : in->rx.size;
	struct sivc_unread *bigger;

	if (more > max_msg(in) || length > max_msg(in) - more)
		return -EPROTO;
	if (assembly->message && length + more <= assembly->capacity)
		return 0;
	while (capacity < length + more)
		capacity *= 2;
	bigger = realloc(assembly->message, sizeof(*bigger) + capacity);
	if (!bigger)
		return -ENOMEM;
	if (!assembly->message)
		*bigger = (struct sivc_unread){.loan = NULL};
	assembly->message = bigger;
	assembly->capacity = capacity;
	return 0;
}

/* Where the next piece goes.  There is memory of ours for it as well, so that a loan can end. */
static int assembly_place(struct inbound *in, const struct ring_frame *frame)
{
	int r = assembly_reserve(in, frame->length);
	struct sivc_unread *message = in->assembly.message;
	struct loan *loan;

	if (r < 0)
		return r;
	loan = frame->flags & SIVC_FRAME_FIRST ? loan_offered(in) : message->loan;
	if (!loan)
		return 0;
	unread_lend(message, loan); /* which may have moved */
	if (loan->size - message->length < frame->length)
		inbound_loan_end(loan);
	return 0;
}

/* A piece of a message goes where it belongs.  -EPROTO: it belongs nowhere. */
static int assembly_add(struct inbound *in, const struct ring_frame *frame)
{
	struct assembly *assembly = &in->assembly;
	int r;

	if (frame->flags & SIVC_FRAME_FIRST)
		assembly_abandon(assembly);
	else if (!assembly->message)
		return -EPROTO;
	r = assembly_place(in, frame);
	if (r < 0)
		return r;
	unread_append(assembly->message, frame->iov, frame->iovcnt);
	if (frame->flags & SIVC_FRAME_LAST) {
		in->unread_bytes += assembly->message->length;
		TAILQ_INSERT_TAIL(&in->unread, assembly->message, link);
		assembly->message = NULL;
		assembly_drop(assembly);
	}
	return 0;
}

static bool whole(const struct ring_frame *frame)
{
	return frame->flags == (SIVC_FRAME_FIRST | SIVC_FRAME_LAST);
}

/* Rings that were revoked. */

static bool has_unread(const struct inbound *in)
{
	return !TAILQ_EMPTY(&in->unread) || !TAILQ_EMPTY(&in->rings);
}

/* By mmap: malloc would touch a page of it, for each sender that we allow. */
static struct unread_ring *ring_new(uint32_t size)
{
	void *ring = mmap(NULL, sizeof(struct unread_ring) + size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return ring == MAP_FAILED ? NULL : ring;
}

static void ring_free(struct unread_ring *ring, uint32_t size)
{
	if (ring)
		munmap(ring, sizeof(*ring) + size);
}

/* What the last look at the ring saw. */
static void ring_keep(struct inbound *in)
{
	struct unread_ring *ring = in->next_ring;

	in->next_ring = NULL;
	ring_rx_copy(&in->rx, ring->bytes, &ring->rx);
	ring->nonce = in->channel.nonce;
	TAILQ_INSERT_TAIL(&in->rings, ring, link);
	ring_rx_advance(&in->rx, in->rx.prod); /* what a later verdict says of this ring, too */
}

static void ring_drop(struct inbound *in, struct unread_ring *ring)
{
	TAILQ_REMOVE(&in->rings, ring, link);
	ring_free(ring, ring->rx.size);
}

static bool may_leave_another_ring(const struct inbound *in)
{
	const struct unread_ring *ring;
	int n = 0;

	TAILQ_FOREACH (ring, &in->rings, link)
		n++;
	if (n < UNREAD_RINGS_MAX)
		return true;
	report(in->ep->sivc, LOG_WARNING,
		"domain %u was refused %d times, and nobody has read what it had sent to endpoint "
		"%s; allow it again when somebody has",
		in->domid, n, in->ep->name);
	return false;
}

/* The channel. */

static void close_channel(struct inbound *in)
{
	if (!in->channel.data)
		return;
	/* A sender that sleeps finds out now; afterwards the channel is gone. */
	hv_port_notify(in->channel.port);
	channel_close(&in->channel);
	in->ep->sivc->rings_large -= in->rx.size == in->ep->sivc->ring;
	ring_free(in->next_ring, in->rx.size);
	in->next_ring = NULL;
	assembly_forgive(&in->assembly);
	if (TAILQ_EMPTY(&in->rings)) /* else it is of the first one of those */
		assembly_drop(&in->assembly);
}

static void log_breach(const struct inbound *in, const char *consequence)
{
	in->ep->counters.breaches++;
	report(in->ep->sivc, LOG_WARNING, "domain %u broke the protocol of endpoint %s; %s",
		in->domid, in->ep->name, consequence);
}

/* What P did cannot be undone and not be trusted: its ring is closed and never looked at again. */
static void breach(struct inbound *in)
{
	log_breach(in, "its ring is closed until it is allowed again");
	in->permission = INBOUND_BREACHED;
	page_revoke_begin(&in->owner);
	page_revoke_end(&in->owner, SIVC_VERDICT_REFUSED, in->channel.nonce, in->rx.cons);
	close_channel(in);
}

static void release(struct inbound *in)
{
	if (ring_rx_release(&in->rx))
		hv_port_notify(in->channel.port);
}

/* Whether P still maps them, nobody tells us. */
static void count_revoked(struct inbound *in)
{
	in->ep->counters.rings_revoked++;
	if (++in->counters.revoked == TURNS_MAX)
		report(in->ep->sivc, LOG_WARNING,
			"%d rings of domain %u were taken back from endpoint %s; their memory "
			"stays taken as long as that domain maps them",
			TURNS_MAX, in->domid, in->ep->name);
}

/*
 * Tells P the verdict, and takes the ring back; `keep`: with what P has sent.  Between the two
 * steps is only the last look at P's index: a sender that meets us there has to come again.
 */
static void revoke(struct inbound *in, enum sivc_verdict verdict, bool keep)
{
	bool open = in->channel.data != NULL;
	uint32_t final = in->rx.cons;
	int r = 0;

	if (!in->owner.page)
		return;
	page_revoke_begin(&in->owner);
	if (open && keep)
		r = ring_rx_look(&in->rx);
	if (open && keep && r == 0)
		final = in->rx.prod;
	if (open)
		page_finish_ring(in->channel.ctl, final);
	page_revoke_end(&in->owner, verdict, in->channel.nonce, final);
	if (open && final != in->rx.cons)
		ring_keep(in);
	if (r < 0)
		log_breach(in, "what was in its ring is dropped");
	if (open)
		count_revoked(in);
	close_channel(in);
}

/* Permission. */

static int publish(struct inbound *in)
{
	char value[SIVC_NODE_MAX];

	snprintf(value, sizeof(value), SIVC_NODE_FORMAT, in->page_ref, in->owner.nonce);
	return hv_node_write(hv_of(in), in->ep->name, in->domid, value);
}

static int page_open(struct inbound *in)
{
	void *memory;
	uint32_t ref;
	int r = hv_share(hv_of(in), in->domid, 1, false, NULL, &memory, &ref);

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
	hv_node_remove(hv_of(in), in->ep->name, in->domid);
	hv_unshare(hv_of(in), in->owner.page, 1);
	in->owner.page = NULL;
}

/* With memory for what will be in the ring when it is revoked, so that a refusal cannot fail. */
static int open_channel(struct inbound *in)
{
	struct sivc *sivc = in->ep->sivc;
	uint32_t size = sivc->rings_large < SIVC_RINGS_LARGE ? sivc->ring : sivc->ring_many;
	struct page_permission permission;
	uint32_t refs[SIVC_RING_PAGES_MAX];
	int r;

	in->next_ring = ring_new(size);
	if (!in->next_ring)
		return -ENOMEM;
	r = channel_open(&in->channel, in->ep->receiver.events, in->domid, size / SIVC_PAGE_SIZE,
		&permission, refs);
	if (r < 0) {
		ring_free(in->next_ring, size);
		in->next_ring = NULL;
		return r;
	}
	ring_rx_init(&in->rx, in->owner.page, in->channel.ctl, in->channel.data, size);
	sivc->rings_large += size == sivc->ring;
	in->rx.streams = in->ep->streams;
	permission.max_msg = max_msg(in);
	page_permit(&in->owner, &permission);
	return 0;
}

int inbound_publish(struct inbound *in)
{
	int r;

	if (in->owner.page) /* and then a node */
		return 0;
	r = page_open(in);
	if (r < 0)
		return r;
	r = publish(in);
	if (r < 0)
		page_close(in);
	return r;
}

int inbound_permit(struct inbound *in)
{
	bool had_page = in->owner.page != NULL;
	int r = 0;

	if (in->permission != INBOUND_REFUSED)
		return 0;
	if (!may_leave_another_ring(in))
		return -ENOSPC;
	if (!had_page)
		r = page_open(in);
	if (r == 0)
		r = open_channel(in);
	if (r == 0 && !had_page) {
		r = publish(in);
		if (r < 0)
			close_channel(in);
	}
	if (r < 0 && !had_page)
		page_close(in);
	if (r == 0)
		in->permission = INBOUND_PERMITTED;
	return r;
}

static void forbid(struct inbound *in, enum sivc_verdict verdict)
{
	revoke(in, verdict, true);
	in->permission = INBOUND_REFUSED;
}

void inbound_refuse(struct inbound *in)
{
	if (in->permission != INBOUND_REFUSED)
		forbid(in, SIVC_VERDICT_REFUSED);
}

void inbound_suspend(struct inbound *in)
{
	forbid(in, SIVC_VERDICT_CLOSED);
	page_close(in);
}

bool inbound_forgettable(const struct inbound *in)
{
	bool gone = in->domain == INBOUND_ENDED ||
		    (in->domain == INBOUND_UNKNOWN && !in->owner.page &&
			    in->counters.messages == 0); /* it was only waited for */

	return gone && in->permission == INBOUND_REFUSED && !in->assembly.message &&
	       !has_unread(in) && TAILQ_EMPTY(&in->taken) && TAILQ_EMPTY(&in->waiters) &&
	       !in->incoming.reader;
}

void inbound_free(struct inbound *in)
{
	struct sivc_unread *unread;

	if (!in)
		return;
	revoke(in, SIVC_VERDICT_CLOSED, false);
	page_close(in);
	while (!TAILQ_EMPTY(&in->unread))
		unread_free(in, TAILQ_FIRST(&in->unread));
	while ((unread = TAILQ_FIRST(&in->taken)) != NULL) {
		TAILQ_REMOVE(&in->taken, unread, link);
		unread->in = NULL; /* its reader frees it */
	}
	while (!TAILQ_EMPTY(&in->rings))
		ring_drop(in, TAILQ_FIRST(&in->rings));
	assembly_drop(&in->assembly);
	free(in);
}

/* Reading. */

/* What one turn may take of pieces out of the ring. */
struct budget {
	unsigned int pieces;
	uint32_t bytes;
};

static bool spent(struct budget *budget, uint32_t bytes)
{
	if (budget->pieces == 0 || budget->bytes < bytes)
		return true;
	budget->pieces--;
	budget->bytes -= bytes;
	return false;
}

/* One piece of a message.  0: it was taken out of the ring; -EAGAIN: it is the others' turn. */
static int take_piece(struct inbound *in, struct ring_rx *rx, const struct ring_frame *frame,
	struct budget *budget)
{
	bool live = rx == &in->rx; /* else it was revoked: what is in it ends */
	int r;

	if (live && (in->assembly.abandoned >= IDLE_EVENTS_MAX || channel_paused(&in->channel) ||
			    spent(budget, frame->length)))
		return -EAGAIN;
	r = assembly_add(in, frame);
	if (r < 0)
		return r;
	ring_rx_advance(rx, frame->next);
	if (live)
		release(in);
	if (!(frame->flags & SIVC_FRAME_FIRST))
		channel_progress(&in->channel); /* a long message goes on */
	return 0;
}

/*
 * Takes the pieces at the front of the ring; stops at a whole message, which is `frame`, or unread.
 * -EAGAIN: there is none, or it is the others' turn.
 */
static int advance(struct inbound *in, struct ring_rx *rx, struct budget *budget)
{
	struct ring_frame frame;
	int r = 0;

	while (r == 0 && TAILQ_EMPTY(&in->unread)) {
		r = ring_rx_frame(rx, rx->cons, &frame);
		if (r < 0)
			break;
		if (whole(&frame)) {
			if (frame.length > max_msg(in))
				return -EPROTO;
			if (in->assembly.message)
				assembly_drop(&in->assembly);
			in->frame = frame;
			return 0;
		}
		r = take_piece(in, rx, &frame, budget);
	}
	return r;
}

/* The same in the rings that were revoked; that ends. */
static int advance_in_rings(struct inbound *in)
{
	struct unread_ring *ring;
	int r = -EAGAIN;

	while (r == -EAGAIN && (ring = TAILQ_FIRST(&in->rings)) != NULL) {
		r = advance(in, &ring->rx, NULL);
		assembly_forgive(&in->assembly);
		if (r == -EPROTO) {
			log_breach(in, "the rest of a ring that it had before is dropped");
			r = -EAGAIN;
		}
		if (r == -EAGAIN) {
			/* What was not finished when the ring was revoked never will be. */
			assembly_drop(&in->assembly);
			ring_drop(in, ring);
		}
	}
	return r;
}

static int advance_in_ring(struct inbound *in)
{
	struct budget budget = {.pieces = TURNS_MAX, .bytes = in->rx.size};
	struct ring_rx *rx = &in->rx;
	uint32_t prod = rx->prod;
	bool alive;
	int r = -EAGAIN;

	if (in->assembly.message)
		in->assembly.turns++;
	if (rx->cons != prod)
		r = advance(in, rx, &budget);
	if (r != -EAGAIN || rx->cons != prod)
		return r;
	if (rx->released != rx->cons)
		release(in);
	alive = channel_peer_alive(&in->channel);
	r = ring_rx_look(rx);
	if (r == 0)
		r = rx->prod != prod ? advance(in, rx, &budget) : -EAGAIN;
	/* Its process ended in the middle of a message, and no other has begun one since. */
	if (r == -EAGAIN && !alive && rx->prod == prod)
		assembly_drop(&in->assembly);
	return r;
}

/* After this, a message is the first of `unread`, or `frame` is one. */
static int find_message(struct inbound *in)
{
	int r;

	if (!TAILQ_EMPTY(&in->unread))
		return 0;
	r = TAILQ_EMPTY(&in->rings) ? -EAGAIN : advance_in_rings(in);
	if (r != -EAGAIN)
		return r;
	if (in->permission == INBOUND_BREACHED)
		return -EPROTO;
	if (!in->channel.data)
		return -EAGAIN;
	r = advance_in_ring(in);
	if (r == -EPROTO)
		breach(in);
	return r;
}

void inbound_touch(const struct iovec *iov, int iovcnt)
{
	for (int i = 0; i < iovcnt; i++) {
		const uint8_t *bytes = iov[i].iov_base;
		size_t length = iov[i].iov_len;

		for (size_t at = 0; at < length; at += SIVC_PAGE_SIZE)
			shared_load8(bytes + at);
		shared_load8(bytes + length - 1);
	}
}

int inbound_peek(struct inbound *in, struct sivc_message *message)
{
	struct sivc_unread *unread;
	int r = find_message(in);

	if (r < 0)
		return r;
	channel_progress(&in->channel);
	assembly_forgive(&in->assembly);
	unread = TAILQ_FIRST(&in->unread);
	message->sender = in->domid;
	if (unread) {
		message->length = unread_length(unread);
		message->iovcnt = 1;
		message->iov[0] =
			(struct iovec){unread_bytes(unread) + unread->offset, message->length};
	} else {
		message->length = in->frame.length;
		message->iovcnt = in->frame.iovcnt;
		memcpy(message->iov, in->frame.iov, sizeof(message->iov));
		inbound_touch(message->iov, message->iovcnt);
	}
	return 0;
}

void inbound_consume(struct inbound *in)
{
	struct sivc_unread *unread = TAILQ_FIRST(&in->unread);
	struct unread_ring *ring = TAILQ_FIRST(&in->rings);

	in->counters.messages++;
	if (unread) {
		in->counters.bytes += unread_length(unread);
		unread_free(in, unread);
		return;
	}
	if (!ring && !in->channel.data) /* its ring was closed since the peek */
		return;
	in->counters.bytes += in->frame.length;
	/* The same place, if the ring was revoked since. */
	inbound_taken(in, ring ? &ring->rx : &in->rx, &in->frame);
}

/* Out of a ring. */
static int take_copy(struct inbound *in, const struct sivc_message *message)
{
	struct sivc_unread *unread = malloc(sizeof(*unread) + message->length);

	if (!unread)
		return -ENOMEM;
	*unread = (struct sivc_unread){.in = in};
	unread_append(unread, message->iov, message->iovcnt);
	TAILQ_INSERT_TAIL(&in->taken, unread, link);
	inbound_consume(in);
	return 0;
}

int inbound_take(
	struct inbound *in, const struct sivc_message *message, struct sivc_unread **result)
{
	struct sivc_unread *unread = TAILQ_FIRST(&in->unread);
	int r = 0;

	if (unread) {
		if (unread->loan)
			inbound_loan_end(unread->loan);
		in->unread_bytes -= unread_length(unread);
		TAILQ_REMOVE(&in->unread, unread, link);
		TAILQ_INSERT_TAIL(&in->taken, unread, link);
		unread->in = in;
		in->counters.messages++;
		in->counters.bytes += unread_length(unread);
	} else {
		r = take_copy(in, message);
	}
	if (r == 0)
		*result = TAILQ_LAST(&in->taken, unreads);
	return r;
}

void inbound_putback(struct sivc_unread *unread)
{
	struct inbound *in = unread->in;

	TAILQ_REMOVE(&in->taken, unread, link);
	TAILQ_INSERT_HEAD(&in->unread, unread, link);
	in->unread_bytes += unread_length(unread);
	in->counters.messages--;
	in->counters.bytes -= unread_length(unread);
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

uint64_t inbound_queued(struct inbound *in)
{
	const struct unread_ring *ring;
	uint64_t bytes = in->unread_bytes;

	TAILQ_FOREACH (ring, &in->rings, link)
		bytes += queued_in(&ring->rx);
	if (in->channel.data && ring_rx_look(&in->rx) == 0)
		bytes += queued_in(&in->rx);
	return bytes;
}

uint64_t inbound_queued_memory(const struct inbound *in)
{
	const struct unread_ring *ring;
	struct ring_rx rx = in->rx;
	uint64_t bytes = in->unread_bytes;

	TAILQ_FOREACH (ring, &in->rings, link)
		bytes += ring->rx.prod - ring->rx.cons;
	if (in->channel.data && ring_rx_look(&rx) == 0)
		bytes += rx.prod - rx.cons;
	return bytes;
}

/* When there is nothing. */

bool inbound_empty(struct inbound *in)
{
	return !has_unread(in) &&
	       (!in->channel.data || (ring_rx_look(&in->rx) == 0 && in->rx.prod == in->rx.cons));
}

bool inbound_flows(const struct inbound *in)
{
	const struct assembly *assembly = &in->assembly;

	if (in->ep->streams)
		return in->incoming.state == INCOMING_OPEN;
	return assembly->message && assembly->abandoned == 0 &&
	       assembly->message->length >= (uint64_t)assembly->turns * FLOW_LEAST;
}

/* So many of its messages were begun and not ended that it waits 1 ms for each turn they took. */
static bool wastes_turns(struct inbound *in)
{
	uint64_t ms = in->assembly.wasted < BACKOFF_MS ? in->assembly.wasted : BACKOFF_MS;

	if (in->assembly.abandoned < IDLE_EVENTS_MAX)
		return false;
	channel_pause(&in->channel, ms * NSEC_PER_MSEC);
	assembly_forgive(&in->assembly);
	return true;
}

bool inbound_arm(struct inbound *in)
{
	bool empty;

	if (has_unread(in))
		return false;
	if (!in->channel.data || channel_paused(&in->channel) || wastes_turns(in))
		return true; /* after the pause it is ready */
	if (ring_rx_sleep(&in->rx, &empty) < 0 || !empty)
		return false;
	channel_unmask(&in->channel);
	return true;
}

/* Streams: frames one by one. */

int inbound_breach(struct inbound *in)
{
	breach(in);
	return -EPROTO;
}

int inbound_frame(struct inbound *in, struct ring_rx *rx, uint32_t at, struct ring_frame *frame)
{
	int r = ring_rx_frame(rx, at, frame);

	if (r != -EAGAIN || rx != &in->rx)
		return r;
	if (rx->released != rx->cons)
		release(in);
	r = ring_rx_look(rx);
	return r == 0 ? ring_rx_frame(rx, at, frame) : r;
}

int inbound_front(struct inbound *in, struct ring_rx **rx, struct ring_frame *frame)
{
	struct unread_ring *ring = TAILQ_FIRST(&in->rings);
	int r;

	if (ring) {
		*rx = &ring->rx;
		r = inbound_frame(in, *rx, ring->rx.cons, frame);
		if (r != -EPROTO)
			return r;
		log_breach(in, "the rest of a ring that it had before is dropped");
		ring_rx_advance(*rx, ring->rx.prod);
		return -EAGAIN;
	}
	*rx = in->channel.data ? &in->rx : NULL;
	if (!*rx)
		return in->permission == INBOUND_BREACHED ? -EPROTO : -EAGAIN;
	r = inbound_frame(in, *rx, in->rx.cons, frame);
	if (r == 0)
		channel_progress(&in->channel);
	return r == -EPROTO ? inbound_breach(in) : r;
}

void inbound_taken(struct inbound *in, struct ring_rx *rx, const struct ring_frame *frame)
{
	ring_rx_advance(rx, frame->next);
	if (rx == &in->rx &&
		(rx->cons == rx->prod || rx->cons - rx->released >= rx->size / RELEASE_PART))
		release(in);
}

bool inbound_leave_ring(struct inbound *in)
{
	struct unread_ring *ring = TAILQ_FIRST(&in->rings);

	if (ring)
		ring_drop(in, ring);
	return ring != NULL;
}
