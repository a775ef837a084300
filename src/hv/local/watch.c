/* SPDX-License-Identifier: MIT */
/*
 * watch.c: being told about changes of the store.
 *
 * inotify tells of files that come and go, in two directories: DIR/N, in which are domain N's
 * nodes, and DIR, in which DIR/N comes and goes.  A watch of a node needs DIR only while the
 * endpoint is not served: its ENDPOINT.alive goes before DIR/N can.  (A directory that is removed
 * while anybody has it open says nothing itself before it is closed.)  Each directory is watched
 * before we look for what is in it, so nothing is missed in between.
 *
 * inotify does not see a process end.  So the FIFOs of the processes that matter are open for
 * reading here (struct liveness): of the servers of nodes, and of those whose entries a watch of
 * names asks for.  epoll reports the hang-up when the writer goes, however it goes.  An event is
 * about one entry, and that one is looked at: one that nobody here has asked for costs no more than
 * its event.
 *
 * An event makes a watch pending.  A pending watch looks again where it stands, if need be, and is
 * called.  It keeps no history.
 *
 * What another domain can do with its directory is to change it all the time.  The events of one
 * dispatch are one call of a watch.  After WAKES_MAX wake-ups by changes within a window, or when
 * they have taken their SHARE of the time, changes are not looked at before the window ends, and
 * the window is as long as that share demands: whoever makes a look dear makes looks rare.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define HASH_FUNCTION     HASH_FNV /* the default one falls through cases, which clang warns about */
#define HASH_NONFATAL_OOM 1        /* the element's hh.tbl is NULL then */
#include <uthash.h>

#include "fork.h"
#include "local.h"
#include "number.h"

#define CHANGES     (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MOVE_SELF)
#define WINDOW_US   100000  /* in which at most ... */
#define WAKES_MAX   32      /* ... wake-ups by changes are let through */
#define SHARE       10      /* a tenth of the time is for changes, at most */
#define RETRY_US    1000000 /* until what could not be watched is tried again */
#define EVENTS_SIZE 16384   /* bytes of inotify events a dispatch */

/* A process that somebody wants to know the end of: its FIFO, open for reading; or -1. */
struct liveness {
	int fd;
	struct local_watch *watch; /* of a node; NULL: this is a resident's */
};

/* A process whose entry in DIR a watch of names asks for. */
struct resident {
	struct liveness liveness; /* first: epoll has a pointer to it */
	UT_hash_handle hh;
	char entry[LOCAL_NAME_MAX];
};

struct local_watch {
	struct hv_watch watch;

	/* What is watched; never changes: a node of `owner` or, if `endpoint` is empty, names
	 * (watch.asked). */
	uint16_t owner;
	char endpoint[LOCAL_ENDPOINT_MAX + 1];

	/* Of a node. */
	struct liveness server; /* of its endpoint */
	int wd;                 /* inotify's watch descriptor of DIR/N, or -1 */
	bool top;               /* it needs to know of changes of DIR, too */
	bool failed;            /* looking failed; tried again after a while */

	bool look;    /* it is to look again before it is called */
	bool pending; /* it is called at the next dispatch */
	TAILQ_ENTRY(local_watch) pending_link;
	TAILQ_ENTRY(local_watch) link; /* of `nodes` or `names` */
};

static struct local *local_of(const struct local_watch *watch)
{
	return (struct local *)watch->watch.hv;
}

static struct local_watching *watching_of(const struct local_watch *watch)
{
	return &local_of(watch)->watching;
}

static struct local *local_with(struct local_watching *w)
{
	return (struct local *)((char *)w - offsetof(struct local, watching));
}

static uint64_t clock_us(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t now_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

static uint64_t window_end(const struct local_watching *w)
{
	uint64_t length = SHARE * w->busy;

	return w->window + (length > WINDOW_US ? length : WINDOW_US);
}

/* To ring at a time of now_us(), at once if it has passed, or never if it is 0. */
static void set_timer(struct local_watching *w, uint64_t us)
{
	struct itimerspec when = {
		.it_value = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000}};

	timerfd_settime(w->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* The next time that something is to be done here without a change of the store. */
static void plan(struct local_watching *w)
{
	if (!TAILQ_EMPTY(&w->pending))
		set_timer(w, now_us());
	else if (w->quiet)
		set_timer(w, window_end(w));
	else
		set_timer(w, w->retry);
}

static void make_pending(struct local_watch *watch)
{
	if (!watch->pending)
		TAILQ_INSERT_TAIL(&watching_of(watch)->pending, watch, pending_link);
	watch->pending = true;
}

static void look_again(struct local_watch *watch)
{
	watch->look = true;
	make_pending(watch);
}

static void fail_to_watch(struct local *local, int r)
{
	const char *why = NULL;

	local->watching.retry = now_us() + RETRY_US;
	if (r == -EMFILE && local->watching.inotify < 0)
		why = "too many processes of this user watch, or too many open files; raise "
		      "fs.inotify.max_user_instances (sysctl) or the limit of open files (ulimit "
		      "-n)";
	else if (r == -ENOSPC)
		why = "too many directories are watched; raise fs.inotify.max_user_watches "
		      "(sysctl)";
	if (!why)
		local_fail_once(local, r, "cannot watch");
	else if (r != local->logged)
		hv_log(&local->hv, LOG_ERR, "backend local: cannot watch %s: %s", local->dir, why);
	local->logged = r;
}

/* Liveness. */

/* Takes over `fd`. */
static int add_liveness(struct local_watching *w, struct liveness *liveness, int fd)
{
	/* No events are asked for: the hang-up is always reported. */
	struct epoll_event event = {.events = 0, .data.ptr = liveness};
	int r = 0;

	if (epoll_ctl(w->changes, EPOLL_CTL_ADD, fd, &event)) {
		r = -errno;
		close(fd);
	} else {
		liveness->fd = fd;
	}
	return r;
}

static void drop_liveness(struct local_watching *w, struct liveness *liveness)
{
	if (liveness->fd < 0)
		return;
	/* A child of ours may have a copy of it: to close it does not take it out of the set. */
	epoll_ctl(w->changes, EPOLL_CTL_DEL, liveness->fd, NULL);
	close(liveness->fd);
	liveness->fd = -1;
}

/* Directories. */

static int start_inotify(struct local_watching *w)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	int r = 0;

	if (w->inotify >= 0)
		return 0;
	w->inotify = fork_private(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
	if (w->inotify < 0)
		return -errno;
	if (epoll_ctl(w->changes, EPOLL_CTL_ADD, w->inotify, &event)) {
		r = -errno;
		fork_close(w->inotify);
		w->inotify = -1;
	}
	return r;
}

/* inotify wants a path.  This one names the directory that we have checked and opened. */
static int watch_directory(struct local_watching *w, int fd)
{
	char path[LOCAL_NAME_MAX];
	int wd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	wd = inotify_add_watch(w->inotify, path, CHANGES | IN_ONLYDIR);
	if (wd < 0)
		return errno == ENOENT ? -ENOSYS : -errno; /* there is no /proc */
	return wd;
}

static int use_top(struct local_watching *w)
{
	int r = start_inotify(w);

	if (!r && w->top_users == 0)
		r = w->top = watch_directory(w, local_with(w)->dir_fd);
	if (r < 0)
		return r;
	w->top_users++;
	return 0;
}

static void leave_top(struct local_watching *w)
{
	if (--w->top_users == 0) {
		inotify_rm_watch(w->inotify, w->top);
		w->top = -1;
	}
}

/* DIR/N is not what it was: what was open in it is of no interest. */
static void leave_directory(struct local_watch *watch)
{
	struct local_watching *w = watching_of(watch);
	const struct local_watch *other;
	int wd = watch->wd;

	drop_liveness(w, &watch->server);
	watch->wd = -1;
	TAILQ_FOREACH (other, &w->nodes, link) {
		if (other->wd == wd)
			return;
	}
	if (wd >= 0)
		inotify_rm_watch(w->inotify, wd); /* fails if the directory itself is gone */
}

/* Watches DIR/N, which is open as `at`. */
static int enter_directory(struct local_watch *watch, int at)
{
	int wd = watch_directory(watching_of(watch), at);

	if (wd < 0)
		return wd;
	if (wd != watch->wd)
		leave_directory(watch);
	watch->wd = wd;
	return 0;
}

/* Nodes. */

static int find_server(struct local_watch *watch, int at)
{
	int fd;

	if (watch->server.fd >= 0)
		return 0;
	fd = local_alive_open(at, watch->endpoint);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	return add_liveness(watching_of(watch), &watch->server, fd);
}

/* Looks where things stand now, so that the next change will be noticed. */
static int look(struct local_watch *watch)
{
	struct local_watching *w = watching_of(watch);
	int r, at;

	r = watch->top ? 0 : use_top(w);
	if (r)
		return r;
	watch->top = true;
	at = local_open_domain(local_of(watch), watch->owner);
	if (at < 0) {
		leave_directory(watch);
		return local_absent(at) ? 0 : at;
	}
	r = enter_directory(watch, at);
	if (!r)
		r = find_server(watch, at);
	close(at);
	if (!r && watch->server.fd >= 0) {
		watch->top = false;
		leave_top(w);
	}
	return r;
}

/* Residents. */

static bool wants(const struct local_watch *watch, const char *name)
{
	return hv_name_set_has(watch->watch.asked, name);
}

static bool wanted(const struct local_watching *w, const char *name)
{
	const struct local_watch *watch;

	TAILQ_FOREACH (watch, &w->names, link) {
		if (wants(watch, name))
			return true;
	}
	return false;
}

static void wake_names(struct local_watching *w, const char *name)
{
	struct local_watch *watch;

	TAILQ_FOREACH (watch, &w->names, link) {
		if (!name || wants(watch, name))
			make_pending(watch);
	}
}

static void free_resident(struct local_watching *w, struct resident *resident)
{
	if (!resident)
		return;
	drop_liveness(w, &resident->liveness);
	HASH_DEL(w->residents, resident);
	free(resident);
}

static int add_resident(struct local_watching *w, const char *entry, int fd)
{
	struct resident *resident = calloc(1, sizeof(*resident));
	int r;

	if (!resident) {
		close(fd);
		return -ENOMEM;
	}
	resident->liveness.fd = -1;
	strcpy(resident->entry, entry); /* fits: it is an entry */
	r = add_liveness(w, &resident->liveness, fd);
	if (!r) {
		HASH_ADD_STR(w->residents, entry, resident);
		r = resident->hh.tbl ? 0 : -ENOMEM;
	}
	if (r) {
		drop_liveness(w, &resident->liveness);
		free(resident);
	}
	return r;
}

static struct resident *find_resident(const struct local_watching *w, const char *entry)
{
	struct resident *resident;

	HASH_FIND_STR(w->residents, entry, resident);
	return resident;
}

/* If it is wanted and not known, it is from now on. */
static int look_at_entry(void *data, const char *name)
{
	struct local_watching *w = data;
	struct local_entry entry;
	uint64_t since;
	int fd;

	if (!local_entry_parse(name, &entry) || !wanted(w, entry.name) || find_resident(w, name))
		return 0;
	fd = local_entry_open(local_with(w), name, &since);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	return add_resident(w, name, fd);
}

/* All of DIR.  An error means that changes may go unnoticed: it is tried again. */
static int scan(struct local_watching *w)
{
	int r = TAILQ_EMPTY(&w->names) ? 0 : local_each(local_with(w)->dir_fd, look_at_entry, w);

	w->incomplete = r != 0;
	if (r)
		fail_to_watch(local_with(w), r);
	return r;
}

/* An entry that has come, gone or changed. */
static void entry_changed(struct local_watching *w, const char *name)
{
	struct local_entry entry;
	int r;

	if (!local_entry_parse(name, &entry) || !wanted(w, entry.name))
		return;
	free_resident(w, find_resident(w, name));
	r = look_at_entry(w, name);
	if (r) {
		w->incomplete = true;
		fail_to_watch(local_with(w), r);
	}
	wake_names(w, entry.name);
}

static void free_residents(struct local_watching *w, bool unwanted)
{
	struct resident *resident, *next;
	struct local_entry entry;

	HASH_ITER (hh, w->residents, resident, next) {
		if (!unwanted || !local_entry_parse(resident->entry, &entry) ||
			!wanted(w, entry.name))
			free_resident(w, resident);
	}
}

/* Events. */

static void top_changed(struct local_watching *w, const char *name)
{
	struct local_watch *watch;
	uint16_t domid;

	entry_changed(w, name);
	if (domid_parse(name, &domid) < 0)
		return;
	TAILQ_FOREACH (watch, &w->nodes, link) {
		if (watch->owner == domid)
			look_again(watch);
	}
}

static void node_changed(struct local_watch *watch, const char *name)
{
	char file[LOCAL_NAME_MAX];

	local_node_name(file, watch->endpoint, watch->watch.hv->domid);
	if (strcmp(name, file) == 0)
		make_pending(watch);
	local_alive_name(file, watch->endpoint);
	if (strcmp(name, file) != 0)
		return;
	drop_liveness(watching_of(watch), &watch->server); /* another one is in its place */
	look_again(watch);
}

static void everything_changed(struct local_watching *w)
{
	struct local_watch *watch;

	TAILQ_FOREACH (watch, &w->nodes, link) {
		drop_liveness(w, &watch->server);
		look_again(watch);
	}
	free_residents(w, false);
	scan(w);
	wake_names(w, NULL);
}

static void handle_event(struct local_watching *w, const struct inotify_event *event)
{
	struct local_watch *watch;

	if (event->mask & IN_Q_OVERFLOW)
		everything_changed(w);
	else if (event->wd == w->top && event->len)
		top_changed(w, event->name);
	TAILQ_FOREACH (watch, &w->nodes, link) {
		if (watch->wd != event->wd)
			continue;
		if (event->len) {
			node_changed(watch, event->name);
		} else {
			leave_directory(watch); /* it is gone, or elsewhere */
			look_again(watch);
		}
	}
}

static void read_events(struct local_watching *w)
{
	_Alignas(struct inotify_event) char buffer[EVENTS_SIZE];
	ssize_t length = read(w->inotify, buffer, sizeof(buffer));

	for (ssize_t at = 0; at < length;) {
		const struct inotify_event *event = (const void *)(buffer + at);

		handle_event(w, event);
		at += (ssize_t)(sizeof(*event) + event->len);
	}
}

static void resident_ended(struct local_watching *w, struct resident *resident)
{
	char entry[LOCAL_NAME_MAX];

	strcpy(entry, resident->entry);
	free_resident(w, resident);
	entry_changed(w, entry); /* another one may be in its place */
}

/* The processes that have ended come first: read_events() may drop others, which epoll has
 * reported. */
static void collect(struct local_watching *w)
{
	struct epoll_event events[SIVC_HV_BATCH];
	int count = epoll_wait(w->changes, events, SIVC_HV_BATCH, 0);
	bool changed = false;

	for (int i = 0; i < count; i++) {
		struct liveness *liveness = events[i].data.ptr;

		if (!liveness) {
			changed = true;
		} else if (liveness->watch) {
			drop_liveness(w, liveness);
			look_again(liveness->watch);
		} else {
			resident_ended(w, (struct resident *)liveness);
		}
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

/* A dispatch of changes, which took that much of a processor. */
static void count_wake(struct local_watching *w, uint64_t us)
{
	uint64_t now = now_us();

	if (now >= window_end(w)) {
		w->window = now;
		w->wakes = 0;
		w->busy = 0;
	}
	w->busy += us;
	if (++w->wakes >= WAKES_MAX || SHARE * w->busy >= WINDOW_US)
		set_quiet(w, true);
}

/* It rang: for pending watches, for the end of a quiet time, or for what failed. */
static void timer_rang(struct local_watching *w)
{
	uint64_t now = now_us(), times;
	struct local_watch *watch;

	if (read(w->timer, &times, sizeof(times)) < 0)
		return;
	if (w->quiet && now >= window_end(w))
		set_quiet(w, false);
	if (!w->retry || now < w->retry)
		return;
	w->retry = 0;
	TAILQ_FOREACH (watch, &w->nodes, link) {
		if (watch->failed)
			look_again(watch);
	}
	if (w->incomplete && scan(w) == 0)
		wake_names(w, NULL);
}

/* It is about to be called: it looks again, if that is due.  What fails is tried again later. */
static void settle(struct local_watch *watch)
{
	int r;

	TAILQ_REMOVE(&watching_of(watch)->pending, watch, pending_link);
	watch->pending = false;
	if (!watch->look)
		return;
	watch->look = false;
	r = look(watch);
	watch->failed = r != 0;
	if (r)
		fail_to_watch(local_of(watch), r);
}

/* Those that are pending now, each once.  A callback may free any watch, and make new ones. */
static void fire(struct local_watching *w)
{
	struct local_watch *watch;
	size_t count = 0;

	TAILQ_FOREACH (watch, &w->pending, pending_link) {
		count++;
	}
	while (count-- && (watch = TAILQ_FIRST(&w->pending))) {
		settle(watch);
		watch->watch.fn(watch->watch.data);
	}
}

int local_dispatch(struct hv *hv)
{
	struct local_watching *w = &((struct local *)hv)->watching;
	struct epoll_event events[2];
	int count = epoll_wait(w->fd, events, 2, 0);
	uint64_t start = clock_us(CLOCK_THREAD_CPUTIME_ID);
	bool changes = false;

	if (count <= 0)
		return count == 0 || errno == EINTR ? 0 : -errno;
	for (int i = 0; i < count; i++) {
		if (events[i].data.fd == w->timer) {
			timer_rang(w);
		} else {
			changes = true;
			collect(w);
		}
	}
	fire(w);
	if (changes)
		count_wake(w, clock_us(CLOCK_THREAD_CPUTIME_ID) - start);
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
	struct local_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return NULL;
	watch->watch = (struct hv_watch){.hv = hv, .fn = fn, .data = data};
	watch->server = (struct liveness){.fd = -1, .watch = watch};
	watch->wd = -1;
	return watch;
}

void local_watch_free(struct hv_watch *freed)
{
	struct local_watch *watch = (struct local_watch *)freed;
	struct local_watching *w = watching_of(watch);

	if (watch->pending)
		TAILQ_REMOVE(&w->pending, watch, pending_link);
	if (watch->endpoint[0]) {
		leave_directory(watch);
		TAILQ_REMOVE(&w->nodes, watch, link);
	} else {
		TAILQ_REMOVE(&w->names, watch, link);
		free_residents(w, true);
		w->incomplete &= !TAILQ_EMPTY(&w->names);
	}
	if (watch->top)
		leave_top(w);
	free(watch);
}

/* It is called soon.  If it could not be set up it is freed. */
static int watch_start(struct local_watch *watch, int r, struct hv_watch **started)
{
	if (r) {
		fail_to_watch(local_of(watch), r);
		local_watch_free(&watch->watch);
		return r;
	}
	make_pending(watch);
	plan(watching_of(watch));
	*started = &watch->watch;
	return 0;
}

int local_watch_node(struct hv *hv, uint16_t owner, const char *endpoint, hv_watch_fn *fn,
	void *data, struct hv_watch **watch)
{
	struct local_watch *new;

	if (!local_endpoint_valid(endpoint))
		return -EINVAL;
	new = watch_new(hv, fn, data);
	if (!new)
		return -ENOMEM;
	new->owner = owner;
	strcpy(new->endpoint, endpoint);
	TAILQ_INSERT_TAIL(&watching_of(new)->nodes, new, link);
	return watch_start(new, look(new), watch);
}

int local_watch_names(struct hv *hv, const struct hv_name_set *asked, hv_watch_fn *fn, void *data,
	struct hv_watch **watch)
{
	struct local_watch *new = watch_new(hv, fn, data);
	struct local_watching *w;
	int r;

	if (!new)
		return -ENOMEM;
	w = watching_of(new);
	new->watch.asked = asked;
	TAILQ_INSERT_TAIL(&w->names, new, link);
	r = use_top(w);
	new->top = !r;
	return watch_start(new, r ? r : scan(w), watch);
}

static int add_to_set(struct local_watching *w, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(w->fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

int local_watching_init(struct local *local)
{
	struct local_watching *w = &local->watching;
	int r = 0;

	TAILQ_INIT(&w->nodes);
	TAILQ_INIT(&w->names);
	TAILQ_INIT(&w->pending);
	w->inotify = w->top = -1;
	w->fd = fork_private(epoll_create1(EPOLL_CLOEXEC));
	w->changes = fork_private(epoll_create1(EPOLL_CLOEXEC));
	w->timer = fork_private(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
	if (w->fd < 0 || w->changes < 0 || w->timer < 0)
		r = -errno;
	if (!r)
		r = add_to_set(w, w->changes);
	if (!r)
		r = add_to_set(w, w->timer);
	return r;
}

void local_watching_deinit(struct local *local)
{
	struct local_watching *w = &local->watching;

	fork_close(w->inotify);
	fork_close(w->timer);
	fork_close(w->changes);
	fork_close(w->fd);
}
