/* SPDX-License-Identifier: MIT */
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define LOOP_BATCH   16
#define NSEC_PER_SEC 1000000000ull

uint64_t loop_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* The timerfd follows the first timer. */
static void timers_arm(struct loop *loop)
{
	const struct loop_timer *first = TAILQ_FIRST(&loop->timers);
	uint64_t due = first ? first->due : 0;
	struct itimerspec its = {.it_value = {
					 .tv_sec = (time_t)(due / NSEC_PER_SEC),
					 .tv_nsec = (long)(due % NSEC_PER_SEC),
				 }};

	timerfd_settime(loop->timerfd, TFD_TIMER_ABSTIME, &its, NULL);
}

static void timers_expire(void *data)
{
	struct loop *loop = data;
	struct loop_timer *timer;
	uint64_t count, now = loop_now();

	/* Only to make it unreadable; how often it expired is of no interest. */
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
	struct loop *loop, struct loop_timer *timer, uint32_t ms, void (*fn)(struct loop_timer *))
{
	struct loop_timer *other;

	loop_timer_cancel(loop, timer);
	timer->fn = fn;
	timer->due = loop_now() + ms * NSEC_PER_MSEC;
	TAILQ_FOREACH (other, &loop->timers, link)
		if (other->due > timer->due)
			break;
	if (other)
		TAILQ_INSERT_BEFORE(other, timer, link);
	else
		TAILQ_INSERT_TAIL(&loop->timers, timer, link);
	timers_arm(loop);
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *timer)
{
	if (timer->due == 0)
		return;
	TAILQ_REMOVE(&loop->timers, timer, link);
	timer->due = 0;
	timers_arm(loop);
}

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

void loop_remove(struct loop *loop, struct loop_fd *handle)
{
	if (!handle)
		return;
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, handle->fd, NULL);
	LIST_REMOVE(handle, link);
	handle->dead = true;
	LIST_INSERT_HEAD(&loop->dead, handle, link);
}

struct loop_fd *loop_find(struct loop *loop, int fd)
{
	struct loop_fd *entry;

	LIST_FOREACH (entry, &loop->fds, link)
		if (entry->fd == fd)
			return entry;
	return NULL;
}

static void free_all(struct loop_fds *list)
{
	struct loop_fd *entry;

	while ((entry = LIST_FIRST(list)) != NULL) {
		LIST_REMOVE(entry, link);
		free(entry);
	}
}

int loop_run(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[LOOP_BATCH];
	int n = epoll_wait(loop->epoll, events, LOOP_BATCH, timeout_ms);

	if (n < 0)
		return -errno;
	loop->depth++;
	for (int i = 0; i < n; i++) {
		struct loop_fd *entry = events[i].data.ptr;

		if (!entry->dead)
			entry->fn(entry->data);
	}
	if (--loop->depth == 0)
		free_all(&loop->dead);
	return n;
}

int loop_init(struct loop *loop)
{
	struct loop_fd *handle;
	int r;

	*loop = (struct loop){.epoll = -1, .timerfd = -1};
	LIST_INIT(&loop->fds);
	LIST_INIT(&loop->dead);
	TAILQ_INIT(&loop->timers);
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	loop->timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (loop->epoll < 0 || loop->timerfd < 0)
		r = -errno;
	else
		r = loop_add(loop, loop->timerfd, EPOLLIN, timers_expire, loop, &handle);
	if (r < 0)
		loop_deinit(loop);
	return r;
}

void loop_deinit(struct loop *loop)
{
	free_all(&loop->fds);
	free_all(&loop->dead);
	if (loop->timerfd >= 0)
		close(loop->timerfd);
	if (loop->epoll >= 0)
		close(loop->epoll);
}
