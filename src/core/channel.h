/* SPDX-License-Identifier: MIT */
/*
 * channel.h: a ring and its event channel, on either side.
 *
 * The receiver opens one (it owns the memory and allocates the port), the sender links to it (it
 * maps the memory and binds to the port).  From there on both do the same:
 *
 *	armed	the other side has been asked to signal, and its port is unmasked
 *	polled	it has not been asked: this process looks itself, all the time, before it sleeps
 *		(spin.c)
 *	neither	there may be something to do
 *
 * The other side can signal as often as it likes.  A port is masked from its event until it is
 * armed again, and arming costs a token if the event brought nothing: a peer that signals for
 * nothing waits for its next token (XSA-332).
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
	/* It may have something: an event came, a pause is over, or `look` has found something. */
	void (*ready)(struct channel *channel);
	/* Is there something new?  In shared memory alone. */
	bool (*look)(struct channel *channel);
	/* Asks the other side to signal, and arms.  False: there is something already. */
	bool (*arm)(struct channel *channel);
};

struct channel {
	/* Set by channel_init. */
	struct hv *const *hv; /* of our struct sivc: another one after a restore */
	struct loop *loop;
	const struct channel_ops *ops;

	/* From channel_open or channel_link until channel_close; else zero. */
	bool owned; /* opened, not linked */
	uint32_t pages;
	uint64_t nonce; /* of the ring */
	struct sivc_ctl *ctl;
	uint8_t *data; /* NULL: closed */
	struct hv_port *port;

	/* Events: channel.c. */
	bool masked;   /* one was dispatched */
	bool fruitful; /* something has come since */
	struct limit idle;
	struct loop_timer pause;

	/* spin.c */
	enum { CHANNEL_NOT_POLLED, CHANNEL_POLLED, CHANNEL_IN_MESSAGE } polled;
	TAILQ_ENTRY(channel) link;
};

void channel_init(struct channel *channel, struct hv *const *hv, struct loop *loop,
	const struct channel_ops *ops);

/* For `domid` to link to; *permission gets what its page has to say, refs[pages] included. */
int channel_open(struct channel *channel, struct hv_events *events, uint16_t domid, uint32_t pages,
	struct page_permission *permission, uint32_t *refs);
/* To what `domid` has opened, as its page says.  -EINVAL: there is nothing of the kind. */
int channel_link(struct channel *channel, struct hv_events *events, uint16_t domid,
	const struct page_view *view);
void channel_close(struct channel *channel); /* one that is closed is fine */

/* False: its process has ended, or its kernel has said so; never said in the local backend. */
static inline bool channel_peer_alive(const struct channel *channel)
{
	const struct sivc_ctl *ctl = channel->ctl;

	return shared_load8(channel->owned ? &ctl->sender_alive : &ctl->receiver_alive) != 0;
}

/* Something came, or was made room for: the last event was not for nothing. */
static inline void channel_progress(struct channel *channel)
{
	channel->fruitful = true;
}

/* Unmasks the port, at once or when the other side has a token again. */
void channel_unmask(struct channel *channel);
/* The port stays masked for that long; then it is ready. */
void channel_pause(struct channel *channel, uint64_t ns);
bool channel_paused(const struct channel *channel);

#endif
