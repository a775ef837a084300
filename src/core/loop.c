/* SPDX-License-Identifier: MIT */
#include "loop.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "container_of.h"
#include "fork.h"
#include "number.h"

#define LOOP_BATCH   16
#define NSEC_PER_SEC 1000000000ull

uint64_t loop_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void timerfd_arm(struct loop *loop, uint64_t due)
{
	struct itimerspec its = {.it_value = {
					 .tv_sec = (time_t)(due / NSEC_PER_SEC),
					 .tv_nsec = (long)(due % NSEC_PER_SEC),
				 }};

	timerfd_settime(loop->timerfd, TFD_TIMER_ABSTIME, &its, NULL);
}

/* The timerfd follows the first timer.  It is due at once if a task makes `epoll` readable. */
static void timers_arm(struct loop *loop)
{
	const struct loop_timer *first = TAILQ_FIRST(&loop->timers);
	bool now = loop->watched && !TAILQ_EMPTY(&loop->tasks);

	timerfd_arm(loop, now ? 1 : first ? first->due : 0);
}

static void timers_expire(void *data)
{
	struct loop *loop = data;
	struct loop_timer *timer;
	uint64_t count, now = loop_now();

	/* Only to make it unreadable. */
	if (read(loop->timerfd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	while ((timer = TAILQ_FIRST(&loop->timers)) != NULL && timer->due <= now) {
		TAILQ_REMOVE(&loop->timers, timer, link);
		timer->due = 0;
		timer->fn(timer);
	}
	timers_arm(loop);
}

void loop_timer_set(
	struct loop *loop, struct loop_timer *timer, uint64_t ns, void (*fn)(struct loop_timer *))
{
	struct loop_timer *other;

	loop_timer_cancel(loop, timer);
	timer->fn = fn;
	timer->due = loop_now() + ns;
	TAILQ_FOREACH (other, &loop->timers, link)
		if (other->due > timer->due)
			break;
	if (other)
		TAILQ_INSERT_BEFORE(other, timer, link);
	else
		TAILQ_INSERT_TAIL(&loop->timers, timer, link);
	if (TAILQ_FIRST(&loop->timers) == timer)
		timers_arm(loop);
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	bool first = TAILQ_FIRST(&loop->timers) == timer;

	if (timer->due == 0)
		return;
	TAILQ_REMOVE(&loop->timers, timer, link);
	timer->due = 0;
	if (first)
		timers_arm(loop);
}

/* ns for which this thread could have run and had no processor (Documentation/scheduler/
 * sched-stats.rst).  UINT64_MAX: this Linux does not tell. */
static uint64_t run_delay(void)
{
	FILE *file = fopen("/proc/thread-self/schedstat", "re");
	uint64_t ns = UINT64_MAX;
	char line[128], *second;
	const char *end;

	if (!file)
		return ns;
	second = fgets(line, sizeof(line), file) ? strchr(line, ' ') : NULL;
	if (!second || number_parse(second + 1, UINT64_MAX, &ns, &end) < 0)
		ns = UINT64_MAX;
	fclose(file);
	return ns;
}

uint64_t loop_lateness(struct loop *loop, uint64_t ns)
{
	struct pollfd timer = {.fd = loop->timerfd, .events = POLLIN};
	uint64_t delay = run_delay(), due = loop_now() + ns, late;

	timerfd_arm(loop, due);
	while (poll(&timer, 1, -1) < 0 && errno == EINTR)
		;
	late = loop_now() - due;
	timers_arm(loop);
	return delay != UINT64_MAX && run_delay() - delay < late / 2 ? late : UINT64_MAX;
}

/* Tasks. */

void loop_defer(struct loop *loop, struct loop_task *task, void (*fn)(struct loop_task *))
{
	if (task->queued)
		return;
	task->fn = fn;
	task->queued = true;
	task->round = loop->round;
	TAILQ_INSERT_TAIL(&loop->tasks, task, link);
	if (loop->watched && TAILQ_FIRST(&loop->tasks) == task)
		timers_arm(loop);
}

void loop_task_cancel(struct loop *loop, struct loop_task *task)
{
	if (task->queued)
		TAILQ_REMOVE(&loop->tasks, task, link);
	task->queued = false;
}

void loop_watch(struct loop *loop)
{
	loop->watched = true;
	timers_arm(loop);
}

/* What they queue is for the next round. */
int loop_run_tasks(struct loop *loop)
{
	struct loop_task *task;
	uint64_t round = loop->round++;
	int n = 0;

	while ((task = TAILQ_FIRST(&loop->tasks)) != NULL && task->round <= round) {
		loop_task_cancel(loop, task);
		task->fn(task);
		n++;
	}
	return n;
}

/* Descriptors. */

int loop_add(struct loop *loop, int fd, uint32_t events, void (*fn)(void *), void *data,
	struct loop_fd **handle)
{
	struct loop_fd *entry = calloc(1, sizeof(*entry));
	struct epoll_event event = {.events = events, .data.ptr = entry};

	if (!entry)
		return -ENOMEM;
	*entry = (struct loop_fd){.fd = fd, .fn = fn, .data = data};
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		free(entry);
		return -errno;
	}
	LIST_INSERT_HEAD(&loop->fds, entry, link);
	*handle = entry;
	return 0;
}

static void fd_free(struct loop_object *object)
{
	free(container_of(object, struct loop_fd, object));
}

void loop_remove(struct loop *loop, struct loop_fd *handle)
{
	if (!handle)
		return;
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, handle->fd, NULL);
	LIST_REMOVE(handle, link);
	handle->dead = true;
	loop_dispose(loop, &handle->object, fd_free);
}

struct loop_fd *loop_find(struct loop *loop, int fd)
{
	struct loop_fd *entry;

	LIST_FOREACH (entry, &loop->fds, link)
		if (entry->fd == fd)
			return entry;
	return NULL;
}

/* Objects that end in a callback.  The last one may embed the loop. */
void loop_leave(struct loop *loop)
{
	struct loop_objects ended = STAILQ_HEAD_INITIALIZER(ended);
	struct loop_object *object;

	if (--loop->depth > 0)
		return;
	STAILQ_CONCAT(&ended, &loop->ended);
	while ((object = STAILQ_FIRST(&ended)) != NULL) {
		STAILQ_REMOVE_HEAD(&ended, link);
		object->free(object);
	}
}

void loop_dispose(
	struct loop *loop, struct loop_object *object, void (*fn)(struct loop_object *object))
{
	object->free = fn;
	if (loop->depth == 0)
		fn(object);
	else
		STAILQ_INSERT_TAIL(&loop->ended, object, link);
}

int loop_run(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[LOOP_BATCH];
	int n, done;

	loop_enter(loop);
	done = loop_run_tasks(loop);
	n = epoll_wait(loop->epoll, events, LOOP_BATCH,
		done > 0 || !TAILQ_EMPTY(&loop->tasks) ? 0 : timeout_ms);
	if (n < 0)
		n = done > 0 ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		struct loop_fd *entry = events[i].data.ptr;

		if (!entry->dead)
			entry->fn(entry->data);
	}
	if (n > 0)
		done += n + loop_run_tasks(loop);
	loop_leave(loop);
	return n < 0 ? n : done;
}

/* Life. */

int loop_init(struct loop *loop)
{
	struct loop_fd *handle;
	int r;

	*loop = (struct loop){.epoll = -1, .timerfd = -1};
	LIST_INIT(&loop->fds);
	TAILQ_INIT(&loop->timers);
	TAILQ_INIT(&loop->tasks);
	STAILQ_INIT(&loop->ended);
	loop->epoll = fork_private(epoll_create1(EPOLL_CLOEXEC));
	loop->timerfd = fork_private(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
	if (loop->epoll < 0 || loop->timerfd < 0)
		r = -errno;
	else
		r = loop_add(loop, loop->timerfd, EPOLLIN, timers_expire, loop, &handle);
	if (r < 0)
		loop_deinit(loop);
	return r;
}

void loop_stop(struct loop *loop)
{
	while (!LIST_EMPTY(&loop->fds))
		loop_remove(loop, LIST_FIRST(&loop->fds));
	TAILQ_INIT(&loop->timers);
	TAILQ_INIT(&loop->tasks);
}

void loop_deinit(struct loop *loop)
{
	fork_close(loop->timerfd);
	fork_close(loop->epoll);
}
