/* SPDX-License-Identifier: MIT */
#include "channel.h"

#include <stddef.h>

#include "container_of.h"
#include "shared.h"
#include "tuning.h"

void channel_init(struct channel *channel, struct hv *const *hv, struct loop *loop,
	const struct channel_ops *ops)
{
	*channel = (struct channel){.hv = hv, .loop = loop, .ops = ops};
}

static void on_event(void *data)
{
	struct channel *channel = data;

	channel->masked = true;
	channel->fruitful = false;
	channel->ops->ready(channel);
}

static void opened(struct channel *channel, bool owned, uint32_t pages, uint64_t nonce)
{
	channel->owned = owned;
	channel->pages = pages;
	channel->nonce = nonce;
	channel->masked = false;
	channel->fruitful = false;
	channel->idle = (struct limit){0};
	shared_store8(owned ? &channel->ctl->receiver_alive : &channel->ctl->sender_alive, 1);
}

int channel_open(struct channel *channel, struct hv_events *events, uint16_t domid, uint32_t pages,
	struct page_permission *permission, uint32_t *refs)
{
	struct hv *hv = *channel->hv;
	struct hv_notify notify = {.offset = offsetof(struct sivc_ctl, receiver_alive)};
	uint32_t ctl_ref;
	void *ctl, *data;
	int r;

	r = hv_port_alloc(events, domid, on_event, channel, &notify.port);
	if (r < 0)
		return r;
	r = hv_share(hv, domid, 1, true, &notify, &ctl, &ctl_ref);
	if (r < 0)
		goto free_port;
	r = hv_share(hv, domid, pages, true, NULL, &data, refs);
	if (r < 0)
		goto unshare_ctl;
	channel->port = notify.port;
	channel->ctl = ctl;
	channel->data = data;
	opened(channel, true, pages, nonce_draw());
	*permission = (struct page_permission){
		.ring_nonce = channel->nonce,
		.port = hv_port_number(channel->port),
		.ctl_ref = ctl_ref,
		.ring_pages = pages,
		.refs = refs,
	};
	return 0;

unshare_ctl:
	hv_unshare(hv, ctl, 1);
free_port:
	hv_port_free(notify.port);
	return r;
}

int channel_link(struct channel *channel, struct hv_events *events, uint16_t domid,
	const struct page_view *view)
{
	struct hv *hv = *channel->hv;
	struct hv_notify notify = {.offset = offsetof(struct sivc_ctl, sender_alive)};
	void *ctl, *data;
	int r;

	r = hv_port_bind(events, domid, view->port, on_event, channel, &notify.port);
	if (r < 0)
		return r;
	r = hv_map(hv, domid, 1, &view->ctl_ref, true, &notify, &ctl);
	if (r < 0)
		goto free_port;
	r = hv_map(hv, domid, view->ring_pages, view->refs, true, NULL, &data);
	if (r < 0)
		goto unmap_ctl;
	channel->port = notify.port;
	channel->ctl = ctl;
	channel->data = data;
	opened(channel, false, view->ring_pages, view->ring_nonce);
	return 0;

unmap_ctl:
	hv_unmap(hv, ctl, 1);
free_port:
	hv_port_free(notify.port);
	return r;
}

void channel_close(struct channel *channel)
{
	void (*give_back)(struct hv *, void *, uint32_t) = channel->owned ? hv_unshare : hv_unmap;

	if (!channel->data)
		return;
	loop_timer_cancel(channel->loop, &channel->pause);
	give_back(*channel->hv, channel->data, channel->pages);
	give_back(*channel->hv, channel->ctl, 1);
	hv_port_free(channel->port);
	channel->data = NULL;
	channel->ctl = NULL;
	channel->port = NULL;
}

static void on_pause_over(struct loop_timer *timer)
{
	struct channel *channel = container_of(timer, struct channel, pause);

	channel->ops->ready(channel);
}

bool channel_paused(const struct channel *channel)
{
	return channel->pause.due != 0;
}

void channel_pause(struct channel *channel, uint64_t ns)
{
	if (!channel_paused(channel))
		loop_timer_set(channel->loop, &channel->pause, ns, on_pause_over);
}

void channel_unmask(struct channel *channel)
{
	uint64_t wait = 0;

	if (!channel->masked || channel_paused(channel))
		return;
	if (channel->fruitful)
		limit_give(&channel->idle, IDLE_EVENT_MS * NSEC_PER_MSEC);
	else
		wait = limit_take(
			&channel->idle, IDLE_EVENTS_MAX, IDLE_EVENT_MS * NSEC_PER_MSEC, loop_now());
	if (wait > 0) {
		channel_pause(channel, wait);
		return;
	}
	channel->masked = false;
	hv_port_unmask(channel->port);
}
