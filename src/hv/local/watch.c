/* SPDX-License-Identifier: MIT */
/*
 * watch.c: being told about changes of the store.
 *
 * All watches of the names hang on one, the snapshot, whose path is empty: its directory is DIR, in
 * which every process has its entry.  While there is a snapshot it also answers who lives here
 * (local_snapshot), without a look at the processes that were there before.
 *
 * An event makes a watch pending; pending watches look again where they stand, and then fire.  They
 * keep no history.  What they look at, and why no change is missed, is in watch_path.c.
 *
 * What another domain can do with its directory is to change it all the time.  The events of one
 * dispatch are one call of a watch, and after WAKES_MAX wake-ups within a window we do not look at
 * changes any more before the window ends: a flood costs a bounded number of wake-ups a second.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fork.h"
#include "watch.h"

#define WINDOW_MS   100   /* in which at most ... */
#define WAKES_MAX   32    /* ... wake-ups are let through */
#define RETRY_MS    1000  /* until a watch that could not be set up is tried again */
#define EVENTS_SIZE 16384 /* bytes of inotify events a dispatch */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Pending watches, and the timer that makes hv_fd() readable for them. */

/* To ring at a time of now_ms(), at once if it has passed, or never if it is 0. */
static void set_timer(struct local_watching *w, uint64_t ms)
{
	struct itimerspec when = {.it_value = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000}};

	timerfd_settime(w->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* The next time that something is to be done here without a change of the store. */
static void plan(struct local_watching *w)
{
	if (!TAILQ_EMPTY(&w->pending))
		set_timer(w, now_ms());
	else if (w->quiet)
		set_timer(w, w->window + WINDOW_MS);
	else
		set_timer(w, w->failed ? w->retry : 0);
}

static void make_pending(struct local_watch *watch)
{
	struct local_watching *w = &local_watch_local(watch)->watching;

	if (watch->pending)
		return;
	watch->pending = true;
	TAILQ_INSERT_TAIL(&w->pending, watch, pending_link);
}

static void look_again(struct local_watch *watch, bool moved)
{
	watch->look = true;
	watch->moved |= moved;
	make_pending(watch);
}

static void set_failed(struct local_watch *watch, bool failed)
{
	struct local_watching *w = &local_watch_local(watch)->watching;

	if (failed && !watch->failed)
		w->failed++;
	if (!failed && watch->failed)
		w->failed--;
	watch->failed = failed;
}

static void fail_to_watch(struct local *local, int error)
{
	if (error == -EMFILE && local->watching.inotify < 0 && error != local->logged)
		hv_log(&local->hv, LOG_ERR,
			"backend local: cannot watch %s: too many processes of this user watch, or "
			"too many open files; raise fs.inotify.max_user_instances (sysctl) or the "
			"limit of open files (ulimit -n)",
			local->dir);
	else if (error == -ENOSPC && error != local->logged)
		hv_log(&local->hv, LOG_ERR,
			"backend local: cannot watch %s: too many directories are watched; raise "
			"fs.inotify.max_user_watches (sysctl)",
			local->dir);
	else
		local_fail_once(local, error, "cannot watch");
	local->logged = error;
}

static void wake_subscribers(struct local_watching *w)
{
	struct local_watch *watch;

	TAILQ_FOREACH (watch, &w->subscribers, link) {
		make_pending(watch);
	}
}

/* Looks again, if that is due; what fails is tried again later. */
static void refresh(struct local_watch *watch)
{
	struct local_watching *w = &local_watch_local(watch)->watching;
	int error;

	if (!watch->look)
		return;
	error = local_look(watch);
	set_failed(watch, error != 0);
	watch->look = false;
	watch->moved = error != 0;
	if (error) {
		fail_to_watch(local_watch_local(watch), error);
		w->retry = now_ms() + RETRY_MS;
	}
	if (watch == w->snapshot)
		wake_subscribers(w);
}

/* Events. */

/* What happened to `name` in the directory of that spot matters to its watch. */
static bool concerns(const struct local_spot *spot, const char *name)
{
	const struct local_watch *watch = spot->watch;
	struct local_entry entry;

	if (spot->level < watch->depth)
		return strcmp(name, watch->path[spot->level]) == 0;
	if (watch->depth == 0)
		return local_entry_parse(name, &entry);
	return strcmp(name, watch->node) == 0 || strcmp(name, LOCAL_ALIVE) == 0;
}

static void spot_changed(struct local_spot *spot, const char *name)
{
	struct local_liveness *liveness;

	if (!concerns(spot, name))
		return;
	if (spot->level < spot->watch->depth) {
		local_drop_all_liveness(spot->watch);
		look_again(spot->watch, true);
		return;
	}
	liveness = local_find_liveness(spot->watch, name);
	if (liveness)
		local_drop_liveness(
			liveness); /* that FIFO has gone, or another one is in its place */
	look_again(spot->watch, false);
}

/* The directory is gone, and inotify's watch with it. */
static void directory_gone(struct local_watching *w, struct local_watched *directory)
{
	struct local_spot *spot;

	HASH_DEL(w->directories, directory);
	while ((spot = LIST_FIRST(&directory->spots))) {
		LIST_REMOVE(spot, link);
		spot->directory = NULL;
		local_drop_all_liveness(spot->watch);
		look_again(spot->watch, true);
	}
	free(directory);
}

static void everything_changed(struct local_watching *w)
{
	struct local_watch *watch;

	TAILQ_FOREACH (watch, &w->all, link) {
		local_drop_all_liveness(watch);
		look_again(watch, true);
	}
}

static void handle_event(struct local_watching *w, const struct inotify_event *event)
{
	struct local_watched *directory;
	struct local_spot *spot;

	if (event->mask & IN_Q_OVERFLOW) {
		everything_changed(w);
		return;
	}
	HASH_FIND_INT(w->directories, &event->wd, directory);
	if (!directory)
		return; /* nobody is interested any more */
	if (event->mask & IN_IGNORED) {
		directory_gone(w, directory);
		return;
	}
	if (event->len)
		LIST_FOREACH (spot, &directory->spots, link) {
			spot_changed(spot, event->name);
		}
}

static void read_events(struct local_watching *w)
{
	_Alignas(struct inotify_event) char buffer[EVENTS_SIZE];
	ssize_t length = read(w->inotify, buffer, sizeof buffer);

	for (ssize_t at = 0; at < length;) {
		const struct inotify_event *event = (const void *)(buffer + at);

		handle_event(w, event);
		at += (ssize_t)(sizeof *event + event->len);
	}
}

/* The lives that have ended come first: read_events() may drop others, which epoll has reported. */
static void collect(struct local_watching *w)
{
	struct epoll_event events[SIVC_HV_BATCH];
	int count = epoll_wait(w->changes, events, SIVC_HV_BATCH, 0);
	bool changed = false;

	for (int i = 0; i < count; i++) {
		struct local_liveness *liveness = events[i].data.ptr;

		if (!liveness) {
			changed = true;
			continue;
		}
		look_again(liveness->watch, false);
		local_drop_liveness(liveness);
	}
	if (changed)
		read_events(w);
}

static void set_quiet(struct local_watching *w, bool quiet)
{
	struct epoll_event event = {.events = quiet ? 0 : EPOLLIN, .data.fd = w->changes};

	if (epoll_ctl(w->fd, EPOLL_CTL_MOD, w->changes, &event) == 0)
		w->quiet = quiet;
}

static void count_wake(struct local_watching *w)
{
	uint64_t now = now_ms();

	if (now - w->window >= WINDOW_MS) {
		w->window = now;
		w->wakes = 0;
	}
	if (++w->wakes >= WAKES_MAX)
		set_quiet(w, true);
}

/* It rang: for pending watches, for the end of a quiet time, or for those that failed. */
static void timer_rang(struct local_watching *w)
{
	uint64_t now = now_ms(), times;
	struct local_watch *watch;

	if (read(w->timer, &times, sizeof times) < 0)
		return;
	if (w->quiet && now - w->window >= WINDOW_MS)
		set_quiet(w, false);
	if (!w->failed || now < w->retry)
		return;
	TAILQ_FOREACH (watch, &w->all, link) {
		if (watch->failed)
			look_again(watch, true);
	}
}

static void settle(struct local_watch *watch)
{
	struct local_watching *w = &local_watch_local(watch)->watching;

	if (watch->pending)
		TAILQ_REMOVE(&w->pending, watch, pending_link);
	watch->pending = false;
	refresh(watch);
}

/* Those that are pending now, each once.  A callback may free any watch, and make new ones. */
static void fire(struct local_watching *w)
{
	struct local_watch *watch;
	size_t count = 0;

	if (w->snapshot)
		settle(w->snapshot); /* first: others become pending by it */
	TAILQ_FOREACH (watch, &w->pending, pending_link) {
		count++;
	}
	while (count-- && (watch = TAILQ_FIRST(&w->pending))) {
		settle(watch);
		if (watch != w->snapshot)
			watch->watch.fn(watch->watch.data);
	}
}

int local_dispatch(struct hv *hv)
{
	struct local_watching *w = &((struct local *)hv)->watching;
	struct epoll_event events[2];
	int count = epoll_wait(w->fd, events, 2, 0);

	if (count < 0)
		return errno == EINTR ? 0 : -errno;
	if (count == 0)
		return 0;
	for (int i = 0; i < count; i++) {
		if (events[i].data.fd == w->timer)
			timer_rang(w);
		else
			collect(w);
		if (events[i].data.fd == w->changes)
			count_wake(w);
	}
	fire(w);
	plan(w);
	return 0;
}

int local_fd(const struct hv *hv)
{
	return ((const struct local *)hv)->watching.fd;
}

/* Watches. */

static struct local_watch *watch_new(struct hv *hv, hv_watch_fn *fn, void *data)
{
	struct local_watch *watch = calloc(1, sizeof *watch);

	if (!watch)
		return NULL;
	watch->watch.hv = hv;
	watch->watch.fn = fn;
	watch->watch.data = data;
	for (int i = 0; i <= LOCAL_LEVELS; i++) {
		watch->spots[i].watch = watch;
		watch->spots[i].level = i;
	}
	return watch;
}

static void watch_drop(struct local_watch *watch)
{
	set_failed(watch, false);
	local_look_away(watch);
	free(watch);
}

/* Sets it up; *watch is freed if that fails. */
static int watch_start(struct local_watch *watch)
{
	struct local *local = local_watch_local(watch);
	int error;

	watch->moved = true;
	error = local_look(watch);
	if (error) {
		fail_to_watch(local, error);
		watch_drop(watch);
		return error;
	}
	watch->moved = false;
	TAILQ_INSERT_TAIL(&local->watching.all, watch, link);
	return 0;
}

static void watch_stop(struct local_watch *watch)
{
	struct local_watching *w = &local_watch_local(watch)->watching;

	if (watch->pending)
		TAILQ_REMOVE(&w->pending, watch, pending_link);
	TAILQ_REMOVE(watch->names ? &w->subscribers : &w->all, watch, link);
	watch_drop(watch);
}

static void fire_soon(struct local_watch *watch)
{
	make_pending(watch);
	plan(&local_watch_local(watch)->watching);
}

int local_watch_node(struct hv *hv, uint16_t owner, const char *endpoint, hv_watch_fn *fn,
	void *data, struct hv_watch **watch)
{
	struct local_watch *w;
	int error;

	if (!local_name_valid(endpoint))
		return -EINVAL;
	w = watch_new(hv, fn, data);
	if (!w)
		return -ENOMEM;
	w->owner = owner;
	w->depth = LOCAL_LEVELS;
	snprintf(w->path[0], LOCAL_NAME_MAX, "%u", owner);
	strcpy(w->path[1], LOCAL_STORE);
	strcpy(w->path[2], endpoint);
	snprintf(w->node, sizeof w->node, "%u", hv->domid);
	error = watch_start(w);
	if (error)
		return error;
	fire_soon(w);
	*watch = &w->watch;
	return 0;
}

static int need_snapshot(struct hv *hv)
{
	struct local_watching *w = &((struct local *)hv)->watching;
	struct local_watch *snapshot;
	int error;

	if (w->snapshot)
		return 0;
	snapshot = watch_new(hv, NULL, NULL);
	if (!snapshot)
		return -ENOMEM;
	error = watch_start(snapshot);
	if (!error)
		w->snapshot = snapshot;
	return error;
}

int local_watch_names(struct hv *hv, hv_watch_fn *fn, void *data, struct hv_watch **watch)
{
	struct local_watching *w = &((struct local *)hv)->watching;
	struct local_watch *names = watch_new(hv, fn, data);
	int error;

	if (!names)
		return -ENOMEM;
	error = need_snapshot(hv);
	if (error) {
		free(names);
		return error;
	}
	names->names = true;
	TAILQ_INSERT_TAIL(&w->subscribers, names, link);
	fire_soon(names);
	*watch = &names->watch;
	return 0;
}

void local_watch_free(struct hv_watch *watch)
{
	struct local_watch *freed = (struct local_watch *)watch;
	struct local_watching *w = &local_watch_local(freed)->watching;

	watch_stop(freed);
	if (w->snapshot && TAILQ_EMPTY(&w->subscribers)) {
		watch_stop(w->snapshot);
		w->snapshot = NULL;
	}
}

int local_snapshot(struct local *local, local_snapshot_fn *fn, void *data)
{
	struct local_watching *w = &local->watching;
	struct local_liveness *liveness, *next;
	int error = 0;

	if (!w->snapshot)
		return -ENODATA;
	collect(w); /* what has happened since the last dispatch */
	refresh(w->snapshot);
	plan(w);
	if (w->snapshot->failed)
		return -ENODATA;
	HASH_ITER (hh, w->snapshot->lives, liveness, next) {
		error = fn(data, liveness->name, liveness->since);
		if (error)
			break;
	}
	return error;
}

static int add_to_set(struct local_watching *w, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(w->fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

int local_watching_init(struct local *local)
{
	struct local_watching *w = &local->watching;
	int error = 0;

	TAILQ_INIT(&w->all);
	TAILQ_INIT(&w->subscribers);
	TAILQ_INIT(&w->pending);
	w->inotify = -1;
	w->fd = fork_private(epoll_create1(EPOLL_CLOEXEC));
	w->changes = fork_private(epoll_create1(EPOLL_CLOEXEC));
	w->timer = fork_private(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
	if (w->fd < 0 || w->changes < 0 || w->timer < 0)
		error = -errno;
	if (!error)
		error = add_to_set(w, w->changes);
	if (!error)
		error = add_to_set(w, w->timer);
	return error;
}

void local_watching_deinit(struct local *local)
{
	struct local_watching *w = &local->watching;

	fork_close(w->inotify);
	fork_close(w->timer);
	fork_close(w->changes);
	fork_close(w->fd);
}
