/* SPDX-License-Identifier: MIT */
/*
 * interleave_messages.c: scenarios of messages.
 *
 * In every run:
 *	- a message went, as its sender was told, if and only if it arrived, once, in order;
 *	- a refused sender is told EACCES, one of a closed endpoint EPIPE, and nothing else.
 */
#include <errno.h>
#include <string.h>

#include "interleave.h"

#define MESSAGES_MAX 8

/* Message i is filled with i + 1. */
static char message_bytes[MESSAGES_MAX][4 * RING];
static size_t length; /* of each */

/* What happened. */
static unsigned int sent[MESSAGES_MAX], sent_count;
static unsigned int got[MESSAGES_MAX], got_count;
static unsigned int next_message;

/* Scripts. */

static int send_one(struct side *side, int flags)
{
	unsigned int i = next_message++;
	int r = sivc_send(side->ep, RECEIVER, message_bytes[i], length, flags);

	tell("is told of message %u: %s", i, strerror(-r));
	if (r == 0)
		sent[sent_count++] = i;
	return r;
}

static ssize_t get_from(struct side *side, int from, int flags)
{
	static char buffer[4 * RING];
	ssize_t n = sivc_receive(side->ep, from, buffer, sizeof(buffer), NULL, flags);

	if (n < 0)
		return n;
	if ((size_t)n != length || buffer[0] == 0 ||
		memcmp(buffer, message_bytes[(unsigned char)buffer[0] - 1], (size_t)n) != 0)
		fail("a message is not what was sent");
	else if (got_count == MESSAGES_MAX)
		fail("more messages arrive than were sent");
	else
		got[got_count++] = (unsigned int)buffer[0] - 1;
	tell("got message %d", buffer[0] - 1);
	return n;
}

static ssize_t get_one(struct side *side, int flags)
{
	return get_from(side, SIVC_ANY, flags);
}

static void get_all(struct side *side)
{
	while (get_one(side, SIVC_NOWAIT) > 0)
		;
}

/* The sender sends three, waiting where it must. */
static void send_three(struct side *side)
{
	for (int i = 0; i < 3; i++) {
		int r = send_one(side, 0);

		if (r != 0 && r != -EACCES && r != -EPIPE)
			fail("a send fails: %s", strerror(-r));
	}
}

static void send_three_all_go(struct side *side)
{
	for (int i = 0; i < 3; i++)
		if (send_one(side, 0) != 0)
			fail("a send fails though nobody refused");
}

static void send_one_or_not(struct side *side)
{
	send_one(side, 0);
}

static void send_four(struct side *side)
{
	send_three(side);
	next_message = 3;
	send_one(side, 0);
}

static void receive_three(struct side *side)
{
	for (int i = 0; i < 3; i++)
		if (get_one(side, 0) < 0)
			fail("a receive fails");
}

static void send_five_all_go(struct side *side)
{
	for (int i = 0; i < 5; i++)
		if (send_one(side, 0) != 0)
			fail("a send fails though nobody refused");
}

static void receive_five(struct side *side)
{
	for (int i = 0; i < 5; i++)
		if (get_one(side, 0) < 0)
			fail("a receive fails");
}

static void get_one_and_refuse(struct side *side)
{
	get_one(side, 0);
	refuse(side);
	get_all(side);
}

static void just_refuse(struct side *side)
{
	refuse(side);
	get_all(side);
}

static void receive_for_ever(struct side *side)
{
	while (get_one(side, 0) > 0)
		;
}

static void refuse_and_permit(struct side *side)
{
	refuse(side);
	permit(side);
	receive_for_ever(side);
}

static void refuse_and_permit_twice(struct side *side)
{
	for (int i = 0; i < 2; i++) {
		refuse(side);
		get_all(side);
		permit(side);
	}
	receive_for_ever(side);
}

static void read_refuse_permit_read(struct side *side)
{
	get_one(side, 0);
	refuse(side);
	get_all(side);
	permit(side);
	receive_for_ever(side);
}

static void refuse_read_close(struct side *side)
{
	refuse(side);
	get_all(side);
	close_endpoint(side);
}

static void read_and_close(struct side *side)
{
	get_all(side);
	close_endpoint(side);
}

static void refuse_large(struct side *side)
{
	get_one(side, SIVC_NOWAIT);
	get_one(side, SIVC_NOWAIT);
	refuse(side);
	get_all(side);
}

static void renew_large(struct side *side)
{
	for (int i = 0; i < 3; i++)
		get_one(side, SIVC_NOWAIT);
	refuse(side);
	permit(side);
	receive_for_ever(side);
}

static void receive_one(struct side *side)
{
	get_one(side, 0);
}

static void receive_one_of_the_sender(struct side *side)
{
	if (get_from(side, SENDER, 0) < 0)
		fail("a receive fails");
}

static void send_one_all_goes(struct side *side)
{
	if (send_one(side, 0) != 0)
		fail("a send fails though nobody refused");
}

/* After a kill: a new process sends one more, which must arrive. */
static void send_again(struct side *side)
{
	open_side(side);
	next_message = MESSAGES_MAX - 1;
	if (send_one(side, 0) != 0)
		fail("a new process cannot send");
}

static void receive_three_or_the_last(struct side *side)
{
	/* Three arrive, or one of a new process does. */
	for (int i = 0; i < 3 && !failed(); i++) {
		get_one(side, 0);
		if (got_count > 0 && got[got_count - 1] == MESSAGES_MAX - 1)
			return;
	}
}

static void receive_again(struct side *side)
{
	open_side(side);
	permit(side);
	get_all(side);
}

static const struct scenario scenarios[] = {
	{.name = "five messages through a ring of two",
		.length = 1500,
		.receiver = receive_five,
		.sender = send_five_all_go},
	{.name = "three small messages",
		.length = 8,
		.receiver = receive_three,
		.sender = send_three_all_go},
	{.name = "a message in fragments",
		.length = 3 * RING,
		.receiver = receive_one,
		.sender = send_one_all_goes},
	{.name = "a reader of that domain gets a message in fragments",
		.length = 3 * RING,
		.receiver = receive_one_of_the_sender,
		.sender = send_one_all_goes},
	{.name = "the sender is refused",
		.length = 8,
		.receiver = just_refuse,
		.sender = send_three},
	{.name = "the sender is refused after a message",
		.length = 1500,
		.receiver = get_one_and_refuse,
		.sender = send_three},
	{.name = "the sender is refused and permitted",
		.length = 1500,
		.receiver = refuse_and_permit,
		.sender = send_three,
		.waits = true},
	{.name = "the sender is refused and permitted, twice",
		.length = 8,
		.receiver = refuse_and_permit_twice,
		.sender = send_three,
		.waits = true},
	{.name = "the sender is refused and permitted, with reading",
		.length = 1500,
		.receiver = read_refuse_permit_read,
		.sender = send_three,
		.waits = true},
	{.name = "a sender that has waited is refused and permitted",
		.length = 1500,
		.receiver = read_refuse_permit_read,
		.sender = send_four,
		.waits = true},
	{.name = "the sender is refused, then the endpoint is closed",
		.length = 8,
		.receiver = refuse_read_close,
		.sender = send_three},
	{.name = "the endpoint is closed",
		.length = 8,
		.receiver = read_and_close,
		.sender = send_three,
		.lossy = true},
	{.name = "the sender of fragments is refused",
		.length = 2 * RING,
		.receiver = refuse_large,
		.sender = send_three},
	{.name = "the sender of fragments is refused and permitted",
		.length = RING,
		.receiver = renew_large,
		.sender = send_one_or_not,
		.waits = true},
	{.name = "the sender's process is killed",
		.length = 1500,
		.receiver = receive_three_or_the_last,
		.sender = send_three_all_go,
		.sender_again = send_again},
	{.name = "the process of a sender of fragments is killed",
		.length = 2 * RING,
		.receiver = receive_three_or_the_last,
		.sender = send_three_all_go,
		.sender_again = send_again},
	{.name = "the receiver's process is killed",
		.length = 1500,
		.receiver = receive_three,
		.sender = send_three,
		.receiver_again = receive_again,
		.lossy = true},
};

/* The subject. */

static int open_messages(struct sivc *sivc, struct sivc_endpoint **ep)
{
	return sivc_endpoint_open(sivc, "default", NULL, ep);
}

static void begin(const struct scenario *scenario)
{
	for (int i = 0; i < MESSAGES_MAX; i++)
		memset(message_bytes[i], i + 1, sizeof(message_bytes[i]));
	length = scenario->length;
	sent_count = got_count = next_message = 0;
}

static bool is_subsequence(bool whole)
{
	unsigned int at = 0;

	/* What arrived is what went, in order; less what died with a process. */
	for (unsigned int i = 0; i < got_count; i++) {
		while (at < sent_count && sent[at] != got[i])
			at++;
		if (at == sent_count)
			return false;
		at++;
	}
	return !whole || got_count == sent_count;
}

static void judge(const struct scenario *scenario, bool killed)
{
	/* Of a message that was under way when its sender was killed, nobody knows. */
	if (!killed && !is_subsequence(!scenario->lossy))
		fail("%u messages went, %u arrived", sent_count, got_count);
}

const struct subject messages = {
	.scenarios = scenarios,
	.count = sizeof(scenarios) / sizeof(scenarios[0]),
	.open = open_messages,
	.begin = begin,
	.judge = judge,
};
