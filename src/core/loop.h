/* SPDX-License-Identifier: MIT */
/*
 * loop.h: one thread's event loop: descriptors by epoll, and timers.
 *
 * A callback may add and remove any descriptor and any timer, its own included.
 */
#ifndef SIVC_LOOP_H
#define SIVC_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define NSEC_PER_MSEC 1000000ull

struct loop_fd {
	int fd;
	void (*fn)(void *data);
	void *data;
	bool dead; /* removed; freed at the end of the outermost loop_run */
	LIST_ENTRY(loop_fd) link;
};

LIST_HEAD(loop_fds, loop_fd);

/* Embedded by its owner.  Zeroed: not set. */
struct loop_timer {
	void (*fn)(struct loop_timer *timer);
	uint64_t due; /* CLOCK_MONOTONIC, ns; 0: not set */
	TAILQ_ENTRY(loop_timer) link;
};

TAILQ_HEAD(loop_timers, loop_timer);

struct loop {
	int epoll;
	int timerfd;
	struct loop_fds fds;
	struct loop_fds dead;
	struct loop_timers timers; /* by due time */
	unsigned int depth;        /* calls of loop_run that have not returned */
};

int loop_init(struct loop *loop);
void loop_deinit(struct loop *loop);

/* *handle is for loop_remove.  -EEXIST: that descriptor is in the loop */
int loop_add(struct loop *loop, int fd, uint32_t events, void (*fn)(void *), void *data,
	struct loop_fd **handle);
void loop_remove(struct loop *loop, struct loop_fd *handle); /* NULL is fine */
struct loop_fd *loop_find(struct loop *loop, int fd);

void loop_timer_set(
	struct loop *loop, struct loop_timer *timer, uint32_t ms, void (*fn)(struct loop_timer *));
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer); /* not set is fine */

/* Waits at most timeout_ms (-1: for ever) and calls what is due.  Returns how much that was.
 * A callback may call it, too. */
int loop_run(struct loop *loop, int timeout_ms);

uint64_t loop_now(void); /* ns */

#endif
