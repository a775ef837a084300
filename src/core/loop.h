/* SPDX-License-Identifier: MIT */
/*
 * loop.h: one thread's event loop: descriptors by epoll, timers, and tasks.
 *
 * A task is work for the next loop_run, when no function is in the middle of anything.  So
 * callbacks of the program come from sivc_dispatch and sivc_wait alone.
 *
 * A callback may add and remove any descriptor, timer and task, and may call loop_run.  What it
 * frees, and a caller may still use, goes through loop_dispose.
 */
#ifndef SIVC_LOOP_H
#define SIVC_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define NSEC_PER_USEC 1000ull
#define NSEC_PER_MSEC 1000000ull

/* Embedded in what `free` frees. */
struct loop_object {
	void (*free)(struct loop_object *object);
	STAILQ_ENTRY(loop_object) link;
};

STAILQ_HEAD(loop_objects, loop_object);

struct loop_fd {
	int fd;
	void (*fn)(void *data);
	void *data;
	bool dead; /* removed */
	LIST_ENTRY(loop_fd) link;
	struct loop_object object;
};

/* Embedded by its owner.  Zeroed: not set. */
struct loop_timer {
	void (*fn)(struct loop_timer *timer);
	uint64_t due; /* CLOCK_MONOTONIC, ns; 0: not set */
	TAILQ_ENTRY(loop_timer) link;
};

/* The same. */
struct loop_task {
	void (*fn)(struct loop_task *task);
	bool queued;
	uint64_t round; /* in which it was queued */
	TAILQ_ENTRY(loop_task) link;
};

struct loop {
	int epoll;
	int timerfd;
	LIST_HEAD(, loop_fd) fds;
	TAILQ_HEAD(, loop_timer) timers; /* by due time */
	TAILQ_HEAD(, loop_task) tasks;
	uint64_t round;            /* of loop_run_tasks */
	bool watched;              /* the program waits for `epoll` to be readable */
	unsigned int depth;        /* of loop_enter */
	struct loop_objects ended; /* freed when that is 0 */
};

int loop_init(struct loop *loop);
/* Nothing is called any more.  A callback may do this. */
void loop_stop(struct loop *loop);
void loop_deinit(struct loop *loop); /* one that was stopped */

/* *handle is for loop_remove.  -EEXIST: it is in the loop. */
int loop_add(struct loop *loop, int fd, uint32_t events, void (*fn)(void *), void *data,
	struct loop_fd **handle);
void loop_remove(struct loop *loop, struct loop_fd *handle); /* NULL is fine */
struct loop_fd *loop_find(struct loop *loop, int fd);

void loop_timer_set(
	struct loop *loop, struct loop_timer *timer, uint64_t ns, void (*fn)(struct loop_timer *));
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer); /* not set is fine */

/* ns by which a timer of so many ns wakes this process too late; UINT64_MAX: nobody knows, or
 * others had the processor for half of that. */
uint64_t loop_lateness(struct loop *loop, uint64_t ns);

void loop_defer(struct loop *loop, struct loop_task *task, void (*fn)(struct loop_task *));
void loop_task_cancel(struct loop *loop, struct loop_task *task); /* not queued is fine */

/* From now on `epoll` is readable for tasks, too. */
void loop_watch(struct loop *loop);

/* Around calls of callbacks: the outermost loop_leave frees what they disposed of. */
static inline void loop_enter(struct loop *loop)
{
	loop->depth++;
}

void loop_leave(struct loop *loop);
void loop_dispose(
	struct loop *loop, struct loop_object *object, void (*fn)(struct loop_object *object));

/* Does the tasks, waits at most timeout_ms (-1: for ever) if there were none, and calls what is
 * due.  Returns how much that was, or an error. */
int loop_run(struct loop *loop, int timeout_ms);
/* The tasks alone. */
int loop_run_tasks(struct loop *loop);

uint64_t loop_now(void); /* ns */

#endif
