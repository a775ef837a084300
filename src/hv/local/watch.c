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
 * reading here (struct liveness).  epoll reports the hang-up when the writer goes, however it goes.
 *
 * The entries of DIR that a watch of names asks for are kept, with their FIFOs: the snapshot.  An
 * event is about one entry, and that one is looked at again.  So an entry that nobody here has
 * asked for costs no more than its event.
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

/* An entry of the snapshot. */
struct resident {
	struct liveness liveness; /* first: epoll has a pointer to it */
	struct local_resident is;
	bool stale;
	TAILQ_ENTRY(resident) stale_link;
	UT_hash_handle hh;
	char text[LOCAL_NAME_MAX]; /* the entry's name in DIR */
};

/* A domain of which nodes are watched. */
struct domain {
	uint16_t domid;
	int wd;   /* inotify's watch descriptor of DIR/N, or -1 */
	bool top; /* it needs to know of changes of DIR */
	LIST_HEAD(, local_watch) watches;
	UT_hash_handle hh, by_wd;
};

struct local_watch {
	struct hv_watch watch;

	/* What is watched; never changes: a node, or, if domain is NULL, names. */
	struct domain *domain;
	char endpoint[LOCAL_ENDPOINT_MAX + 1];
	char node[LOCAL_NAME_MAX], alive[LOCAL_NAME_MAX]; /* files in DIR/N */
	struct local_names *wanted;                       /* NULL: every process */

	struct liveness server; /* of a node's endpoint */
	bool pending;           /* it is called at the next dispatch ... */
	bool look;              /* ... after it has looked again */
	bool failed;            /* looking failed; tried again after a while */
	LIST_ENTRY(local_watch) domain_link;
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

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
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
		set_timer(w, w->failed || w->incomplete ? w->retry : 0);
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

static void set_failed(struct local_watch *watch, bool failed)
{
	struct local_watching *w = watching_of(watch);

	if (failed && !watch->failed)
		w->failed++;
	if (!failed && watch->failed)
		w->failed--;
	watch->failed = failed;
}

static void fail_to_watch(struct local *local, int r)
{
	local->watching.retry = now_us() + RETRY_US;
	if (r == -EMFILE && local->watching.inotify < 0 && r != local->logged)
		hv_log(&local->hv, LOG_ERR,
			"backend local: cannot watch %s: too many processes of this user watch, or "
			"too many open files; raise fs.inotify.max_user_instances (sysctl) or the "
			"limit of open files (ulimit -n)",
			local->dir);
	else if (r == -ENOSPC && r != local->logged)
		hv_log(&local->hv, LOG_ERR,
			"backend local: cannot watch %s: too many directories are watched; raise "
			"fs.inotify.max_user_watches (sysctl)",
			local->dir);
	else
		local_fail_once(local, r, "cannot watch");
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
static void directory_gone(struct local_watching *w, struct domain *domain)
{
	struct local_watch *watch;

	HASH_DELETE(by_wd, w->by_wd, domain);
	domain->wd = -1;
	LIST_FOREACH (watch, &domain->watches, domain_link) {
		drop_liveness(w, &watch->server);
		look_again(watch);
	}
}

static void leave_directory(struct local_watching *w, struct domain *domain)
{
	int wd = domain->wd;

	if (wd < 0)
		return;
	directory_gone(w, domain);
	inotify_rm_watch(w->inotify, wd); /* fails if the directory itself is gone */
}

/* Watches DIR/N, which is open as `at`. */
static int enter_directory(struct local_watching *w, struct domain *domain, int at)
{
	int wd = watch_directory(w, at);
	struct domain *other;

	if (wd < 0 || wd == domain->wd)
		return wd < 0 ? wd : 0;
	leave_directory(w, domain);
	HASH_FIND(by_wd, w->by_wd, &wd, sizeof(wd), other);
	if (other)
		directory_gone(w, other); /* it was renamed */
	domain->wd = wd;
	HASH_ADD(by_wd, w->by_wd, wd, sizeof(domain->wd), domain);
	if (domain->by_wd.tbl)
		return 0;
	domain->wd = -1;
	inotify_rm_watch(w->inotify, wd);
	return -ENOMEM;
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

/* DIR does not matter while all endpoints that are watched are served. */
static void settle_top(struct local_watching *w, struct domain *domain)
{
	struct local_watch *watch;

	LIST_FOREACH (watch, &domain->watches, domain_link) {
		if (watch->server.fd < 0)
			return;
	}
	domain->top = false;
	leave_top(w);
}

/* Looks where things stand now, so that the next change will be noticed. */
static int look(struct local_watch *watch)
{
	struct local_watching *w = watching_of(watch);
	struct domain *domain = watch->domain;
	int r, at;

	r = domain->top ? 0 : use_top(w);
	if (r)
		return r;
	domain->top = true;
	at = local_open_domain(local_of(watch), domain->domid);
	if (at < 0) {
		leave_directory(w, domain);
		return local_absent(at) ? 0 : at;
	}
	r = enter_directory(w, domain, at);
	if (!r)
		r = find_server(watch, at);
	close(at);
	if (!r)
		settle_top(w, domain);
	return r;
}

/* Looks again, if that is due; what fails is tried again later. */
static void refresh(struct local_watch *watch)
{
	int r;

	if (!watch->look)
		return;
	watch->look = false;
	r = look(watch);
	set_failed(watch, r != 0);
	if (r)
		fail_to_watch(local_of(watch), r);
}

/* Residents. */

static bool wants(const struct local_watch *watch, const char *name)
{
	return !watch->wanted || local_names_have(watch->wanted, name);
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

/* To be looked at again; and whoever has asked for it is told. */
static void make_stale(struct local_watching *w, struct resident *resident)
{
	struct local_watch *watch;

	drop_liveness(w, &resident->liveness);
	if (!resident->stale)
		TAILQ_INSERT_TAIL(&w->stale, resident, stale_link);
	resident->stale = true;
	TAILQ_FOREACH (watch, &w->names, link) {
		if (wants(watch, resident->is.entry.name))
			make_pending(watch);
	}
}

static void free_resident(struct local_watching *w, struct resident *resident)
{
	drop_liveness(w, &resident->liveness);
	if (resident->stale)
		TAILQ_REMOVE(&w->stale, resident, stale_link);
	HASH_DEL(w->residents, resident);
	free(resident);
}

static struct resident *new_resident(
	struct local_watching *w, const char *text, const struct local_entry *entry)
{
	struct resident *resident = calloc(1, sizeof(*resident));

	if (!resident)
		return NULL;
	resident->liveness.fd = -1;
	resident->is.entry = *entry;
	strcpy(resident->text, text); /* fits: it is an entry */
	HASH_ADD_STR(w->residents, text, resident);
	if (resident->hh.tbl)
		return resident;
	free(resident);
	return NULL;
}

/* An entry that has come, gone or changed. */
static int entry_changed(struct local_watching *w, const char *text)
{
	struct resident *resident;
	struct local_entry entry;

	if (!local_entry_parse(text, &entry) || !wanted(w, entry.name))
		return 0;
	HASH_FIND_STR(w->residents, text, resident);
	if (!resident)
		resident = new_resident(w, text, &entry);
	if (!resident)
		return -ENOMEM;
	make_stale(w, resident);
	return 0;
}

/* Of the whole directory: those that are known to live need no look. */
static int look_for_entry(void *data, const char *text)
{
	struct local_watching *w = data;
	struct resident *resident;

	HASH_FIND_STR(w->residents, text, resident);
	return resident && !resident->stale ? 0 : entry_changed(w, text);
}

static int look_at_resident(struct local_watching *w, struct resident *resident)
{
	int fd = local_entry_open(local_with(w), resident->text, &resident->is.since);
	int r = fd < 0 ? fd : add_liveness(w, &resident->liveness, fd);

	if (r && r != -ENOENT)
		return r;
	TAILQ_REMOVE(&w->stale, resident, stale_link);
	resident->stale = false;
	if (r)
		free_resident(w, resident);
	return 0;
}

/* An error means that changes may go unnoticed: it is tried again. */
static int refresh_residents(struct local_watching *w)
{
	struct resident *resident;
	int r = 0;

	if (w->rescan)
		r = local_each(local_with(w)->dir_fd, look_for_entry, w);
	w->rescan = r != 0;
	while (!r && (resident = TAILQ_FIRST(&w->stale)))
		r = look_at_resident(w, resident);
	w->incomplete = r != 0;
	if (r)
		fail_to_watch(local_with(w), r);
	return r;
}

static void forget_unwanted(struct local_watching *w)
{
	struct resident *resident, *next;

	HASH_ITER (hh, w->residents, resident, next) {
		if (!wanted(w, resident->is.entry.name))
			free_resident(w, resident);
	}
}

/* Events. */

static void top_changed(struct local_watching *w, const char *name)
{
	struct local_watch *watch;
	struct domain *domain;
	uint32_t number;
	uint16_t domid;
	const char *end = local_number(name, UINT16_MAX, &number);

	if (entry_changed(w, name))
		w->rescan = w->incomplete = true;
	if (!end || *end)
		return;
	domid = (uint16_t)number;
	HASH_FIND(hh, w->domains, &domid, sizeof(domid), domain);
	if (domain)
		LIST_FOREACH (watch, &domain->watches, domain_link) {
			look_again(watch);
		}
}

static void domain_changed(struct local_watching *w, struct domain *domain, const char *name)
{
	struct local_watch *watch;

	LIST_FOREACH (watch, &domain->watches, domain_link) {
		if (strcmp(name, watch->node) == 0)
			make_pending(watch);
		if (strcmp(name, watch->alive) == 0) {
			drop_liveness(w, &watch->server); /* another one is in its place */
			look_again(watch);
		}
	}
}

static void everything_changed(struct local_watching *w)
{
	struct resident *resident, *next;
	struct local_watch *watch;

	TAILQ_FOREACH (watch, &w->nodes, link) {
		drop_liveness(w, &watch->server);
		look_again(watch);
	}
	HASH_ITER (hh, w->residents, resident, next) {
		make_stale(w, resident);
	}
	w->rescan = !TAILQ_EMPTY(&w->names);
	TAILQ_FOREACH (watch, &w->names, link) {
		make_pending(watch);
	}
}

static void handle_event(struct local_watching *w, const struct inotify_event *event)
{
	struct domain *domain;

	if (event->mask & IN_Q_OVERFLOW) {
		everything_changed(w);
		return;
	}
	if (event->wd == w->top) {
		if (event->len)
			top_changed(w, event->name);
		return;
	}
	HASH_FIND(by_wd, w->by_wd, &event->wd, sizeof(event->wd), domain);
	if (!domain)
		return; /* nobody is interested any more */
	if (event->len)
		domain_changed(w, domain, event->name);
	else if (event->mask & IN_IGNORED)
		directory_gone(w, domain);
	else
		leave_directory(w, domain); /* moved */
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
			make_stale(w, (struct resident *)liveness);
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

/* Of a dispatch of changes, which began then. */
static void count_wake(struct local_watching *w, uint64_t start)
{
	if (start >= window_end(w)) {
		w->window = start;
		w->wakes = 0;
		w->busy = 0;
	}
	w->busy += now_us() - start;
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
	if (now < w->retry)
		return;
	TAILQ_FOREACH (watch, &w->nodes, link) {
		if (watch->failed)
			look_again(watch);
	}
	TAILQ_FOREACH (watch, &w->names, link) {
		if (w->incomplete)
			make_pending(watch);
	}
}

static void settle(struct local_watch *watch)
{
	if (watch->pending)
		TAILQ_REMOVE(&watching_of(watch)->pending, watch, pending_link);
	watch->pending = false;
	refresh(watch);
}

/* Those that are pending now, each once.  A callback may free any watch, and make new ones. */
static void fire(struct local_watching *w)
{
	struct local_watch *watch;
	size_t count = 0;

	if (!w->incomplete || now_us() >= w->retry)
		refresh_residents(w);
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
	uint64_t start = now_us();
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
		count_wake(w, start);
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
	return watch;
}

static struct domain *get_domain(struct local_watching *w, uint16_t domid)
{
	struct domain *domain;

	HASH_FIND(hh, w->domains, &domid, sizeof(domid), domain);
	if (domain)
		return domain;
	domain = calloc(1, sizeof(*domain));
	if (!domain)
		return NULL;
	domain->domid = domid;
	domain->wd = -1;
	HASH_ADD(hh, w->domains, domid, sizeof(domain->domid), domain);
	if (domain->hh.tbl)
		return domain;
	free(domain);
	return NULL;
}

static void put_domain(struct local_watching *w, struct domain *domain)
{
	if (!LIST_EMPTY(&domain->watches))
		return;
	leave_directory(w, domain);
	if (domain->top)
		leave_top(w);
	HASH_DEL(w->domains, domain);
	free(domain);
}

static void free_node_watch(struct local_watching *w, struct local_watch *watch)
{
	set_failed(watch, false);
	drop_liveness(w, &watch->server);
	LIST_REMOVE(watch, domain_link);
	put_domain(w, watch->domain);
	TAILQ_REMOVE(&w->nodes, watch, link);
}

static void free_names_watch(struct local_watching *w, struct local_watch *watch)
{
	TAILQ_REMOVE(&w->names, watch, link);
	forget_unwanted(w);
	free(watch->wanted);
	if (!TAILQ_EMPTY(&w->names))
		return;
	leave_top(w);
	w->rescan = w->incomplete = false;
}

void local_watch_free(struct hv_watch *freed)
{
	struct local_watch *watch = (struct local_watch *)freed;
	struct local_watching *w = watching_of(watch);

	if (watch->pending)
		TAILQ_REMOVE(&w->pending, watch, pending_link);
	if (watch->domain)
		free_node_watch(w, watch);
	else
		free_names_watch(w, watch);
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
	struct local_watching *w = &((struct local *)hv)->watching;
	struct local_watch *node;

	if (!local_endpoint_valid(endpoint))
		return -EINVAL;
	node = watch_new(hv, fn, data);
	if (!node)
		return -ENOMEM;
	node->domain = get_domain(w, owner);
	if (!node->domain) {
		free(node);
		return -ENOMEM;
	}
	strcpy(node->endpoint, endpoint);
	local_node_name(node->node, endpoint, hv->domid);
	local_alive_name(node->alive, endpoint);
	LIST_INSERT_HEAD(&node->domain->watches, node, domain_link);
	TAILQ_INSERT_TAIL(&w->nodes, node, link);
	return watch_start(node, look(node), watch);
}

int local_watch_names(struct hv *hv, const char *const *names, size_t count, hv_watch_fn *fn,
	void *data, struct hv_watch **watch)
{
	struct local_watching *w = &((struct local *)hv)->watching;
	struct local_watch *new = watch_new(hv, fn, data);
	int r = new ? 0 : -ENOMEM;

	if (!r && names) {
		new->wanted = local_names_new(names, count);
		r = new->wanted ? 0 : -ENOMEM;
	}
	if (!r && TAILQ_EMPTY(&w->names)) {
		r = use_top(w);
		if (r)
			fail_to_watch((struct local *)hv, r);
	}
	if (r) {
		if (new)
			free(new->wanted);
		free(new);
		return r;
	}
	TAILQ_INSERT_TAIL(&w->names, new, link);
	w->rescan = true;
	return watch_start(new, refresh_residents(w), watch);
}

static bool all_watched(const struct local_watching *w, const struct local_names *names)
{
	const struct local_watch *watch;

	TAILQ_FOREACH (watch, &w->names, link) {
		if (!watch->wanted)
			return true;
	}
	for (size_t i = 0; names && i < names->count; i++)
		if (!wanted(w, names->list[i]))
			return false;
	return names && !TAILQ_EMPTY(&w->names);
}

int local_snapshot(
	struct local *local, const struct local_names *names, local_snapshot_fn *fn, void *data)
{
	struct local_watching *w = &local->watching;
	struct resident *resident, *next;
	int r = 0;

	if (!all_watched(w, names))
		return -ENODATA;
	collect(w); /* what has happened since the last dispatch */
	refresh_residents(w);
	plan(w);
	if (w->incomplete)
		return -ENODATA;
	HASH_ITER (hh, w->residents, resident, next) {
		r = fn(data, &resident->is);
		if (r)
			break;
	}
	return r;
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
	TAILQ_INIT(&w->stale);
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
