/* SPDX-License-Identifier: MIT */
/*
 * spin.h: looking for work for a while before sleeping.
 *
 * A channel that had nothing a moment ago is polled: its other side is not asked to signal, and
 * this process looks at the ring itself until it sleeps.  Before it sleeps it arms all of them.
 *
 * Spinning pays if what is waited for comes sooner than a sleeping process could be woken, and
 * takes a processor from those who are to bring it if not.  So the time is what has been worth it
 * lately: shorter, down to nothing, while waits turn out to be longer than the longest spin, and
 * longer again as soon as they are short (as KVM does before it halts a processor).
 */
#ifndef SIVC_SPIN_H
#define SIVC_SPIN_H

#include "channel.h"
#include "loop.h"

struct spin {
	struct loop *loop;
	bool allowed;  /* other domains run meanwhile, and nobody waits for the loop's descriptor */
	uint32_t most; /* us; 0: only in the middle of a message */
	uint64_t now;  /* ns; what has been worth it lately */
	unsigned int waits; /* of this process, to measure one of them now and then */
	TAILQ_HEAD(, channel) polled;
};

void spin_init(struct spin *spin, struct loop *loop, uint32_t most_us);
/* From here on nobody spins, or may. */
void spin_allow(struct spin *spin, bool allowed);

/* May `channel` be polled?  In the middle of a message also if the user asked for no spinning. */
bool spin_would(const struct spin *spin, bool in_message);
void spin_poll(struct spin *spin, struct channel *channel, bool in_message);
void spin_forget(struct spin *spin, struct channel *channel); /* one that is not polled is fine */

/* Looks once at all that are polled.  True: one had something, and is ready. */
bool spin_look(struct spin *spin);
/* Arms all that are polled.  True: one had something, and is ready. */
bool spin_arm(struct spin *spin);

/* Spins, sleeps for at most timeout_ms (-1: for ever) and does what is to be done, as loop_run. */
int spin_wait(struct spin *spin, int timeout_ms);

#endif
