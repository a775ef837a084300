/* SPDX-License-Identifier: MIT */
/*
 * attack.h: what a hostile domain does to what it shares with the victim, whether messages or
 * streams go through it.  An input chooses.
 */
#ifndef SIVC_ATTACK_H
#define SIVC_ATTACK_H

#include "hostile.h"

#include "fuzz.h"

#define STEPS_MAX 200

/* As a sender. */

static inline void unlink_attacker(struct attacker *x)
{
	if (x->page)
		hv_unmap(x->hv, x->page, 1);
	if (x->ctl)
		hv_unmap(x->hv, x->ctl, 1);
	if (x->data)
		hv_unmap(x->hv, x->data, x->size / SIVC_PAGE_SIZE);
	hv_port_free(x->port);
	x->page = NULL;
	x->ctl = NULL;
	x->data = NULL;
	x->port = NULL;
}

/* False: it may not send.  It reads the page as it is; what changes is only for the victim. */
static inline bool link_attacker(struct attacker *x)
{
	struct input kept = changes;
	bool linked;

	changes.size = 0;
	unlink_attacker(x);
	linked = attacker_link(x, VICTIM);
	changes = kept;
	return linked;
}

/* `put`: a frame, at its place. */
static inline void attack_as_sender(struct attacker *x, struct input *input,
	void (*put)(struct attacker *x, struct input *input))
{
	struct sivc_frame *frame;

	switch (take_byte(input) % 6) {
	case 0:
		x->ctl->prod = take_near(input, x->ctl->prod);
		break;
	case 1:
		frame = (void *)(x->data + take_near(input, x->page->cons) % x->size / 8 * 8);
		frame->length = take_near(input, frame->length);
		frame->flags = take_byte(input) % 16;
		break;
	case 2:
		put(x, input);
		attacker_publish(x);
		break;
	case 3:
		hv_port_notify(x->port);
		break;
	case 4:
		x->ctl->space_event = take_near(input, x->page->cons);
		x->ctl->sender_alive = take_byte(input) % 2;
		break;
	case 5:
		x->prod = take_near(input, x->page->cons) / 8 * 8;
		break;
	}
}

/* As a receiver. */

static inline void spoil_node(struct attacker *x, struct input *input)
{
	char value[80];

	switch (take_byte(input) % 4) {
	case 0:
		attacker_node(x, VICTIM);
		return;
	case 1:
		fake_node_set(ATTACKER, x->endpoint, VICTIM, NULL);
		return;
	case 2:
		snprintf(value, sizeof(value), SIVC_NODE_FORMAT, take_near(input, x->page_ref),
			x->nonce);
		break;
	default:
		for (size_t i = 0; i < sizeof(value) - 1; i++)
			value[i] = (char)take_byte(input);
		value[sizeof(value) - 1] = '\0';
	}
	fake_node_set(ATTACKER, x->endpoint, VICTIM, value);
}

static inline void attack_as_receiver(struct attacker *x, struct input *input)
{
	uint32_t *word;

	switch (take_byte(input) % 8) {
	case 0: /* any word of the page, or of its first references */
		word = (uint32_t *)(void *)x->page + take_byte(input) % 48;
		*word = take_near(input, *word);
		break;
	case 1:
		attacker_turn(x);
		break;
	case 2:
		x->page->seq = take_near(input, x->page->seq);
		break;
	case 3:
		x->page->cons = take_near(input, x->ctl->prod);
		hv_port_notify(x->port);
		break;
	case 4:
		x->ctl->prod = take_near(input, x->page->cons);
		break;
	case 5:
		spoil_node(x, input);
		break;
	case 6:
		if (take_byte(input) % 2)
			x->ring_nonce++;
		x->ctl->prod = 0;
		attacker_permit(x);
		break;
	case 7:
		x->ctl->receiver_alive = take_byte(input) % 2;
		hv_port_notify(x->port);
		break;
	}
}

#endif
