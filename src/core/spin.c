/* SPDX-License-Identifier: MIT */
#include "spin.h"

#include <sched.h>
#include <sivc/sivc.h>
#include <sys/param.h>

#include "tuning.h"

void spin_init(struct spin *spin, struct loop *loop, uint32_t most_us)
{
	*spin = (struct spin){
		.loop = loop,
		.most = most_us,
		.learns = most_us == SIVC_SPIN_DEFAULT,
		.now = SPIN_USUAL_US * NSEC_PER_USEC,
	};
	if (most_us == SIVC_SPIN_NONE)
		spin->most = 0;
	else if (spin->learns)
		spin->most = SPIN_USUAL_US; /* until spin_allow() */
	TAILQ_INIT(&spin->polled);
}

/* us that suit this machine. */
static uint32_t usual(struct loop *loop)
{
	uint64_t wake_up = UINT64_MAX, us;
	int known = 0;

	for (int i = 0; i < WAKE_TRIES && known < WAKE_TIMES; i++) {
		uint64_t late = loop_lateness(loop, WAKE_AFTER_US * NSEC_PER_USEC);

		known += late != UINT64_MAX;
		wake_up = MIN(wake_up, late);
	}
	us = wake_up == UINT64_MAX ? 0 : SPIN_WAKES * (wake_up / NSEC_PER_USEC);
	return (uint32_t)MIN(MAX(us, SPIN_USUAL_US), SIVC_SPIN_MAX);
}

/* What is polled. */

bool spin_would(const struct spin *spin, bool in_message)
{
	return spin->allowed && (spin->most > 0 || in_message);
}

void spin_poll(struct spin *spin, struct channel *channel, bool in_message)
{
	if (!channel->polled)
		TAILQ_INSERT_TAIL(&spin->polled, channel, link);
	channel->polled = in_message ? CHANNEL_IN_MESSAGE : CHANNEL_POLLED;
}

void spin_forget(struct spin *spin, struct channel *channel)
{
	if (channel->polled)
		TAILQ_REMOVE(&spin->polled, channel, link);
	channel->polled = CHANNEL_NOT_POLLED;
}

static void found(struct spin *spin, struct channel *channel)
{
	spin_forget(spin, channel);
	channel->ops->ready(channel);
}

bool spin_look(struct spin *spin)
{
	struct channel *channel, *next;
	bool some = false;

	for (channel = TAILQ_FIRST(&spin->polled); channel; channel = next) {
		next = TAILQ_NEXT(channel, link);
		if (!channel->ops->look(channel))
			continue;
		found(spin, channel);
		some = true;
	}
	return some;
}

/* Those for which nobody waits need no signal, unless all are to have one. */
static void arm(struct spin *spin, bool all)
{
	struct channel *channel, *next;

	for (channel = TAILQ_FIRST(&spin->polled); channel; channel = next) {
		next = TAILQ_NEXT(channel, link);
		if (!all && !channel->ops->awaited(channel))
			continue;
		spin_forget(spin, channel);
		if (!channel->ops->arm(channel))
			channel->ops->ready(channel);
	}
}

void spin_met(struct spin *spin, bool awake)
{
	spin->met = awake;
}

void spin_allow(struct spin *spin, bool allowed)
{
	spin->allowed = allowed;
	if (!allowed) {
		arm(spin, true);
	} else if (spin->learns) {
		spin->most = usual(spin->loop);
		spin->learns = false; /* once */
	}
}

/* How long. */

/*
 * While both sides sleep, a wait is as long as all their wake-ups, and short only if both spin at
 * the same time.  So each tries it after a pause, or after half of one if the other side was awake,
 * as it is when it tries.
 */
static bool trying(struct spin *spin, uint64_t now)
{
	uint64_t pause = SPIN_PAUSE_MS * NSEC_PER_MSEC;

	if (now - spin->tried >= (spin->met ? pause / 2 : pause))
		spin->tried = now;
	return now - spin->tried < SPIN_TRY_MS * NSEC_PER_MSEC;
}

static void learn(struct spin *spin, uint64_t most, uint64_t waited, uint64_t now)
{
	uint64_t least = SPIN_LEAST_US * NSEC_PER_USEC, reach = SPIN_REACH * most;

	if (waited <= most) {
		spin->now = 2 * spin->now > least ? 2 * spin->now : least;
		spin->now = spin->now < most ? spin->now : most;
	} else if (waited <= reach && trying(spin, now)) {
		spin->now = reach;
	} else {
		spin->now = spin->now / 2 < least ? 0 : spin->now / 2;
	}
}

/* ns; 0: there is nothing to look for. */
static uint64_t longest(const struct spin *spin)
{
	struct channel *channel;
	uint64_t most = 0;

	if (!spin->allowed)
		return 0;
	TAILQ_FOREACH (channel, &spin->polled, link) {
		if (!channel->ops->awaited(channel))
			continue;
		most = most < spin->most ? spin->most : most;
		if (channel->polled == CHANNEL_IN_MESSAGE && most < SPIN_USUAL_US)
			most = SPIN_USUAL_US;
	}
	return most * NSEC_PER_USEC;
}

/* Memory that is not loaded all the time is written sooner.  TURNS_MAX of this take microseconds.
 */
static void relax(void)
{
	for (int i = 0; i < 4; i++) {
#if defined(__x86_64__) || defined(__i386__)
		__builtin_ia32_pause();
#elif defined(__aarch64__)
		__asm__ volatile("yield");
#endif
	}
}

static int look_and_do(struct spin *spin)
{
	for (int i = 0; i < TURNS_MAX; i++) {
		if (spin_look(spin))
			return loop_run_tasks(spin->loop);
		relax();
	}
	return 0;
}

/* Returns how much there was to do. */
static int look_until(struct spin *spin, uint64_t end)
{
	int r;

	do {
		sched_yield(); /* the other side may need this processor */
		spin_look(spin);
		r = loop_run(spin->loop, 0);
		if (r == 0)
			r = look_and_do(spin);
	} while (r == 0 && loop_now() < end);
	return r;
}

static int arm_and_sleep(struct spin *spin, int timeout_ms)
{
	arm(spin, false);
	return loop_run(spin->loop, timeout_ms);
}

int spin_wait(struct spin *spin, int timeout_ms)
{
	uint64_t most = timeout_ms != 0 ? longest(spin) : 0, reach = SPIN_REACH * most;
	uint64_t now = spin->now < reach ? spin->now : reach;
	uint64_t start, end;
	int r;

	if (most == 0)
		return arm_and_sleep(spin, timeout_ms);
	/* Mostly no clock is read.  Now and then one wait goes on to loop_run, so that a busy
	 * channel does not keep others waiting, and is measured. */
	if (++spin->waits % TURNS_MAX != 0) {
		if (now == 0 && !spin->met)
			return arm_and_sleep(spin, timeout_ms);
		r = loop_run_tasks(spin->loop);
		if (r == 0)
			r = look_and_do(spin);
		if (r != 0)
			return r;
	}
	start = loop_now();
	r = now > 0 ? look_until(spin, start + now) : 0;
	if (r == 0)
		r = arm_and_sleep(spin, timeout_ms);
	end = loop_now();
	learn(spin, most, end - start, end);
	return r;
}
