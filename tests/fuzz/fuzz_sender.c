/* SPDX-License-Identifier: MIT */
/* A hostile sender: everything that it can write, against a receiver that does all it can do. */
#include "attack.h"

static struct scene scene;
static struct waiter waiters[2];
static bool linked;

static void on_ready(struct waiter *waiter)
{
	(void)waiter;
}

static void put(struct attacker *x, struct input *input)
{
	uint32_t length = 1 + take_byte(input) * 4u;

	attacker_put(x, length, take_byte(input) % 4, NULL, length);
}

static void use(struct input *input)
{
	struct house *victim = &scene.victim;
	struct sivc_message message;
	struct sivc_unread *unread;
	char buffer[64];
	char *text;

	switch (take_byte(input) % 10) {
	case 0:
		receive(victim, SIVC_ANY, buffer, sizeof(buffer));
		break;
	case 1:
		receive(victim, ATTACKER, buffer, sizeof(buffer));
		break;
	case 2:
		sivc_queued(victim->ep, SIVC_ANY, NULL);
		break;
	case 3:
		if (sivc_peek(victim->ep, ATTACKER, &message) == 0) {
			sivc_queued(victim->ep, ATTACKER, NULL);
			sivc_consume(victim->ep, &message);
		}
		break;
	case 4:
		if (sivc_peek(victim->ep, ATTACKER, &message) == 0 &&
			sivc_take(victim->ep, &message, &unread) == 0) {
			sivc_unread_skip(unread, take_byte(input) % message.length);
			sivc_putback(unread);
		}
		break;
	case 5:
		sivc_refuse(victim->ep, ATTACKER);
		break;
	case 6:
		sivc_permit(victim->ep, ATTACKER);
		linked = link_attacker(&scene.x);
		break;
	case 7:
		for (int i = 0; i < 2; i++)
			if (!waiters[i].handle)
				wait_receive(victim->ep, i ? ATTACKER : SIVC_ANY, &waiters[i]);
		break;
	case 8:
		wait_cancel(&waiters[take_byte(input) % 2]);
		break;
	case 9:
		if (sivc_stats(victim->ep, &text) > 0)
			free(text);
		break;
	}
	sivc_dispatch(victim->sivc);
}

static void check(void)
{
	const struct inbound *in = receiver_find(scene.victim.ep, ATTACKER);

	if (in && in->assembly.message && in->assembly.capacity > 4 * MAX_MSG)
		abort(); /* more than it has sent, and more than a message */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size / 2};

	changes.size = 0;
	fake_reset();
	memset(waiters, 0, sizeof(waiters));
	waiters[0].fn = waiters[1].fn = on_ready;
	house_open_ring(&scene.victim, VICTIM, NULL, 4096);
	attacker_open(&scene.x);
	sivc_permit(scene.victim.ep, ATTACKER);
	linked = link_attacker(&scene.x);
	changes = (struct input){data + size / 2, size - size / 2};
	for (int i = 0; i < STEPS_MAX && input.size > 0; i++) {
		if (linked && take_byte(&input) % 2)
			attack_as_sender(&scene.x, &input, put);
		else
			use(&input);
		check();
	}
	changes.size = 0;
	house_close(&scene.victim);
	unlink_attacker(&scene.x);
	attacker_close(&scene.x);
	if (fake_leaks() > 0)
		abort();
	return 0;
}
