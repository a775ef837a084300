/* SPDX-License-Identifier: MIT */
/* A hostile receiver: its node, page and ring, against a sender that does all it can do. */
#include "attack.h"

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
			attack_as_receiver(&scene.x, &input);
		else
			use(&input);
	}
	changes.size = 0;
	house_close(&scene.victim);
	fake_reset();
	return 0;
}
