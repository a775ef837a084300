/* SPDX-License-Identifier: MIT */
/*
 * spin.h: to look for work for a while before sleeping.
 *
 * A channel that had nothing a moment ago is polled: its other side is not asked for a signal, and
 * this process looks at the ring itself.  Before it sleeps it arms those for which somebody waits.
 * The others stay polled: who reads next looks at them, and until then their domains do not signal.
 *
 * Spinning pays if work comes sooner than a sleeping process would wake.  Otherwise it takes a
 * processor from others.  So the longest spin is some wake-ups of this machine, unless the user has
 * set it, and the time adapts: it is halved, down to nothing, when a wait was longer than the
 * longest spin, and doubled when it was not.  Where both sides sleep, all waits are long, and would
 * be short if both spun.  So now and then longer ones are tried.
 */
#ifndef SIVC_SPIN_H
#define SIVC_SPIN_H

#include "channel.h"
#include "loop.h"

struct spin {
	struct loop *loop;
	bool allowed;  /* other domains run meanwhile, and the program does not wait by sivc_fd */
	uint32_t most; /* us; 0: only in the middle of a message */
	bool learns;   /* spin_allow() finds out what `most` suits this machine */
	uint64_t now;  /* ns; what has paid lately */
	unsigned int waits; /* every TURNS_MAXth is measured */
	bool met;           /* to whom we sent last was awake */
	uint64_t tried;     /* ns: when it was tried last to spin for longer */
	TAILQ_HEAD(, channel) polled;
};

void spin_init(struct spin *spin, struct loop *loop, uint32_t most_us); /* or SIVC_SPIN_* */
void spin_allow(struct spin *spin, bool allowed);
/* Something was sent, and that domain was awake or had to be signalled. */
void spin_met(struct spin *spin, bool awake);

/* May a channel be polled?  In the middle of a message: also with SIVC_SPIN_NONE. */
bool spin_would(const struct spin *spin, bool in_message);
void spin_poll(struct spin *spin, struct channel *channel, bool in_message);
void spin_forget(struct spin *spin, struct channel *channel); /* not polled is fine */

/* Looks at each polled channel.  True: one had something, and is ready. */
bool spin_look(struct spin *spin);
/* As loop_run, but spins first. */
int spin_wait(struct spin *spin, int timeout_ms);

#endif
