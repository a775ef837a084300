/* SPDX-License-Identifier: MIT */
/* A hostile receiver: its node, page and ring, against a sender that does all it can do. */
#include "hostile.h"

#include "fuzz.h"

#define STEPS_MAX 200

static struct scene scene;
static struct waiter waiter;
static struct sending sending;
static struct iovec sending_message;
static bool sending_busy;
static char bytes[MAX_MSG];

static void on_room(struct waiter *w)
{
	(void)w;
}

static void on_sent(struct sending *s, int error)
{
	(void)s;
	(void)error;
	sending_busy = false;
}

static void set_node(struct input *input)
{
	char value[80];

	switch (take_byte(input) % 4) {
	case 0:
		attacker_node(&scene.x, VICTIM);
		return;
	case 1:
		fake_node_set(ATTACKER, "default", VICTIM, NULL);
		return;
	case 2:
		snprintf(value, sizeof(value), SIVC_NODE_FORMAT, take_near(input, scene.x.page_ref),
			scene.x.nonce);
		break;
	default:
		for (size_t i = 0; i < sizeof(value) - 1; i++)
			value[i] = (char)take_byte(input);
		value[sizeof(value) - 1] = '\0';
	}
	fake_node_set(ATTACKER, "default", VICTIM, value);
}

static void attack(struct input *input)
{
	struct attacker *x = &scene.x;
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
		set_node(input);
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

static void use(struct input *input)
{
	static const uint32_t lengths[] = {1, 8, 100, 1000, 4000, 4088, 4089, 9000, MAX_MSG};
	struct house *victim = &scene.victim;
	uint32_t length = lengths[take_byte(input) % 9];
	struct iovec many[5];

	switch (take_byte(input) % 6) {
	case 0:
		send_bytes(victim, ATTACKER, bytes, length);
		break;
	case 1:
		for (int i = 0; i < 5; i++)
			many[i] = (struct iovec){bytes, 1 + take_byte(input) * 4u};
		sivc_send_many(victim->ep, ATTACKER, many, 5);
		break;
	case 2:
		if (sending_busy)
			break;
		sending_message = (struct iovec){bytes, length};
		sending =
			(struct sending){.messages = &sending_message, .count = 1, .done = on_sent};
		sending_busy = true;
		if (send_start(victim->ep, ATTACKER, &sending) != -EINPROGRESS)
			sending_busy = false;
		break;
	case 3:
		if (sending_busy)
			send_cancel(&sending);
		sending_busy = false;
		break;
	case 4:
		sivc_writable(victim->ep, ATTACKER, length);
		break;
	case 5:
		if (waiter.handle)
			wait_cancel(&waiter);
		else
			wait_send(victim->ep, ATTACKER, length, &waiter);
		break;
	}
	sivc_dispatch(victim->sivc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size / 2};

	changes.size = 0;
	fake_reset();
	waiter = (struct waiter){.fn = on_room};
	sending_busy = false;
	house_open_ring(&scene.victim, VICTIM, NULL, 4096);
	attacker_open(&scene.x);
	attacker_page(&scene.x, VICTIM);
	attacker_ring(&scene.x, VICTIM, 1 + take_byte(&input) % 2);
	attacker_permit(&scene.x);
	attacker_node(&scene.x, VICTIM);
	changes = (struct input){data + size / 2, size - size / 2};
	for (int i = 0; i < STEPS_MAX && input.size > 0; i++) {
		if (take_byte(&input) % 2)
			attack(&input);
		else
			use(&input);
	}
	changes.size = 0;
	house_close(&scene.victim);
	fake_reset();
	return 0;
}
