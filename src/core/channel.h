/* SPDX-License-Identifier: MIT */
/*
 * channel.h: a ring and its event channel, on either side.
 *
 * The receiver opens it: it owns the memory and allocates the port.  The sender links to it.  From
 * there on both do the same:
 *
 *	armed	the other side was asked to signal, and the port is unmasked
 *	polled	it was not: this process looks by itself until it sleeps (spin.c)
 *	neither	there may be something to do
 *
 * A port is masked from its event until it is armed again.  To arm it after an event that brought
 * nothing takes a token, so a peer cannot wake us all the time (XSA-332).
 */
#ifndef SIVC_CHANNEL_H
#define SIVC_CHANNEL_H

#include <sivc/wire.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "hv.h"
#include "limit.h"
#include "loop.h"
#include "page.h"
#include "shared.h"

struct channel;

struct channel_ops {
	/* There may be something. */
	void (*ready)(struct channel *channel);
	/* Is there something new?  Looks at shared memory alone. */
	bool (*look)(struct channel *channel);
	/* Arms it.  False: there is something already. */
	bool (*arm)(struct channel *channel);
	/* Does anybody wait for it? */
	bool (*awaited)(struct channel *channel);
};

struct channel {
	/* Set by channel_init. */
	struct hv *const *hv; /* another one after a restore */
	struct loop *loop;
	const struct channel_ops *ops;

	/* While it is open. */
	bool owned; /* opened, not linked */
	uint32_t pages;
	uint64_t nonce; /* of the ring */
	struct sivc_ctl *ctl;
	uint8_t *data; /* NULL: closed */
	struct hv_port *port;

	/* Events: channel.c. */
	bool masked;   /* an event came */
	bool fruitful; /* and brought something */
	struct limit idle;
	struct loop_timer pause;

	/* spin.c */
	enum { CHANNEL_NOT_POLLED, CHANNEL_POLLED, CHANNEL_IN_MESSAGE } polled;
	TAILQ_ENTRY(channel) link;
};

void channel_init(struct channel *channel, struct hv *const *hv, struct loop *loop,
	const struct channel_ops *ops);

/* *permission gets what the page of `domid` has to say, refs[pages] included. */
int channel_open(struct channel *channel, struct hv_events *events, uint16_t domid, uint32_t pages,
	struct page_permission *permission, uint32_t *refs);
/* To what `domid` has opened, as its page says.  -EINVAL: it is not there. */
int channel_link(struct channel *channel, struct hv_events *events, uint16_t domid,
	const struct page_view *view);
void channel_close(struct channel *channel); /* a closed one is fine */

/* False: its process has ended, and what it wrote before is seen after this.  The local backend
 * never says so. */
static inline bool channel_peer_alive(const struct channel *channel)
{
	const struct sivc_ctl *ctl = channel->ctl;
	bool alive = shared_load8(channel->owned ? &ctl->sender_alive : &ctl->receiver_alive) != 0;

	shared_read_barrier();
	return alive;
}

/* The last event brought something. */
static inline void channel_progress(struct channel *channel)
{
	channel->fruitful = true;
}

/* At once, or when there is a token. */
void channel_unmask(struct channel *channel);
/* Masked for that long, then ready. */
void channel_pause(struct channel *channel, uint64_t ns);
bool channel_paused(const struct channel *channel);

#endif
