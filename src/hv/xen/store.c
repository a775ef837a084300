/* SPDX-License-Identifier: MIT */
/*
 * store.c: xenstore.  Nodes, watches and names.
 *
 *	/local/domain/R/data/sivc/v1/ENDPOINT/P   R's node for P: owner R, readable by P alone
 *	/local/domain/D/sivc/names/N              dom0's word to D: domain N has this name
 *
 * A domain can write below its own /local/domain/R/data and nowhere else, so nobody but dom0 can
 * tell D a name.  (The id is the path and the name the value because a path may not contain '.'.)
 * xenstored looks at the permissions of a node itself and not at those of its parents: P can read
 * its node without being able to list the directories above it, or to see the other nodes there.
 *
 * A node is written first and shown to P second.  It inherits the permissions of the endpoint's
 * directory, which nobody but us can read, so P sees all of it or nothing, and others nothing ever.
 * xenstored ignores a permission given to a domain that is younger than the permission (so that a
 * domain inherits nothing from an earlier one with its id): a node that was written before its
 * reader existed has to be written again.
 *
 * The adversary writes its own nodes, as often as it likes, and dom0's xenstored has a thread of
 * libxenstore wake us for each.  So a watch that fires too often is taken away, and set again when
 * a second has passed (which makes it fire): nothing is missed, and a flood costs us WATCH_BURST
 * events a second.  Events of one watch that wait together are one call.
 *
 * A watch's token is a number that we give once.  An event with a token that no watch has is one
 * that was under way when its watch was freed.  (libxenstore could filter those, but leaks them.)
 *
 * Whatever is asked here has an answer within a limit, or is an error (store_thread.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1 /* the element's hh.tbl is NULL then */
#include <uthash.h>

#include "fork.h"
#include "number.h"
#include "sivc/ioctl.h"
#include "xen.h"

#define SIVC_DIR    "data/sivc"
#define VERSION_DIR SIVC_DIR "/v1"
#define NAMES_DIR   "sivc/names"
#define DOMAIN_DIR  "/local/domain/%u/"

#define WATCH_BURST     32 /* events of one watch a period; a peer that restarts makes three */
#define WATCH_PERIOD_MS 1000

struct xen_watch {
	struct hv_watch watch;

	/* Set by watch_new. */
	uint64_t token;
	char path[XEN_PATH_SIZE];
	UT_hash_handle hh;

	/* Written by dispatch. */
	bool is_ready; /* on xen_hv.ready */
	TAILQ_ENTRY(xen_watch) ready;

	/* The rate.  Written by dispatch. */
	uint64_t period_start; /* ms, CLOCK_MONOTONIC */
	unsigned int events;   /* since period_start */
	bool muted;            /* is not set in xenstore; the timer runs */
	bool logged;
};

/* Whether something is to be logged that is logged once: not if *logged is set.  Sets it. */
static bool log_once(bool *logged)
{
	bool first = !*logged;

	*logged = true;
	return first;
}

/*
 * What a failed request means.  libxenstore reports a connection that it has given up as EBADF, and
 * as other errors while it does so.
 */
static int store_failed(struct xen_hv *xen, const char *path, int error)
{
	switch (error) {
	case -ETIMEDOUT: /* it has been said why */
		return -EIO;
	case -ENOSPC:
	case -E2BIG:
	case -EDQUOT:
		if (log_once(&xen->logged_no_nodes))
			hv_log(&xen->hv, LOG_ERR,
				"xenstore has no room for %s: a domain may have 1000 nodes, and an "
				"endpoint 2048 bytes of their names, unless xenstored in dom0 was "
				"started with another --entry-nb and --entry-size",
				path);
		return -ENOSPC;
	case -EBADF:
	case -EPIPE:
	case -EIO:
		if (log_once(&xen->logged_store_lost))
			hv_log(&xen->hv, LOG_ERR,
				"the connection to xenstore is lost: is xenstored running in dom0? "
				"Start this program again");
		return -EIO;
	default:
		hv_log(&xen->hv, LOG_ERR, "xenstore refuses %s: %s", path, strerror(-error));
		return error;
	}
}

/*
 * Our own nodes.
 */

static int endpoint_path(const struct xen_hv *xen, const char *endpoint, char path[XEN_PATH_SIZE])
{
	int n = snprintf(
		path, XEN_PATH_SIZE, DOMAIN_DIR VERSION_DIR "/%s", xen->hv.domid, endpoint);

	return n < XEN_PATH_SIZE ? 0 : -EINVAL;
}

static int node_path(
	uint16_t owner, const char *endpoint, uint16_t reader, char path[XEN_PATH_SIZE])
{
	int n = snprintf(
		path, XEN_PATH_SIZE, DOMAIN_DIR VERSION_DIR "/%s/%u", owner, endpoint, reader);

	return n < XEN_PATH_SIZE ? 0 : -EINVAL;
}

/* A directory of ours that nobody else can list. */
static int directory_create(struct xen_hv *xen, const char *path)
{
	struct xs_permissions nobody = {.id = xen->hv.domid, .perms = XS_PERM_NONE};
	int r = store_thread_mkdir(xen->thread, path);

	if (r == 0)
		r = store_thread_permit(xen->thread, path, &nobody, 1);
	return r < 0 ? store_failed(xen, path, r) : 0;
}

int xen_endpoint_create(struct xen_hv *xen, const char *endpoint)
{
	static const char *const above[] = {SIVC_DIR, VERSION_DIR};
	char path[XEN_PATH_SIZE];
	int r;

	for (size_t i = 0; i < sizeof(above) / sizeof(above[0]); i++) {
		snprintf(path, sizeof(path), DOMAIN_DIR "%s", xen->hv.domid, above[i]);
		r = directory_create(xen, path);
		if (r < 0)
			return r;
	}
	r = endpoint_path(xen, endpoint, path);
	if (r < 0)
		return r;
	store_thread_remove(xen->thread, path); /* fails if there is none */
	return directory_create(xen, path);
}

void xen_endpoint_remove(struct xen_hv *xen, const char *endpoint)
{
	char path[XEN_PATH_SIZE];

	if (endpoint_path(xen, endpoint, path) == 0)
		store_thread_remove(xen->thread, path);
}

/* It does, as long as xenstore does not say that it does not. */
bool xen_endpoint_exists(struct xen_hv *xen, const char *endpoint)
{
	char path[XEN_PATH_SIZE], *text;
	unsigned int length;
	int r = endpoint_path(xen, endpoint, path);

	if (r < 0)
		return false;
	r = store_thread_read(xen->thread, path, &text, &length);
	if (r == 0)
		free(text);
	return r != -ENOENT && r != -EACCES;
}

int xen_node_write(struct hv *hv, const char *endpoint, uint16_t reader, const char *value)
{
	struct xen_hv *xen = xen_of(hv);
	struct xs_permissions reader_only[] = {
		{.id = hv->domid, .perms = XS_PERM_NONE},
		{.id = reader, .perms = XS_PERM_READ},
	};
	char path[XEN_PATH_SIZE];
	int r = node_path(hv->domid, endpoint, reader, path);

	if (r < 0)
		return r;
	r = store_thread_write(xen->thread, path, value);
	if (r < 0)
		return store_failed(xen, path, r);
	r = store_thread_permit(xen->thread, path, reader_only, 2);
	if (r < 0) {
		r = store_failed(xen, path, r);
		store_thread_remove(xen->thread, path);
	}
	return r;
}

int xen_node_remove(struct hv *hv, const char *endpoint, uint16_t reader)
{
	struct xen_hv *xen = xen_of(hv);
	char path[XEN_PATH_SIZE];
	int r = node_path(hv->domid, endpoint, reader, path);

	if (r < 0 || hv_lost(hv)) /* it was another domain's, and has gone with it */
		return r;
	r = store_thread_remove(xen->thread, path);
	return r < 0 && r != -ENOENT ? store_failed(xen, path, r) : 0;
}

/*
 * The others' nodes.  That there is none and that it is not for us cannot be told apart.
 */
int xen_node_read(struct hv *hv, uint16_t owner, const char *endpoint, char *value, size_t size)
{
	struct xen_hv *xen = xen_of(hv);
	char path[XEN_PATH_SIZE];
	unsigned int length;
	char *text;
	int r = node_path(owner, endpoint, hv->domid, path);

	if (r < 0)
		return r;
	r = store_thread_read(xen->thread, path, &text, &length);
	if (r == -ENOENT || r == -EACCES)
		return -ENOENT;
	if (r < 0)
		return store_failed(xen, path, r);
	if (length < size)
		memcpy(value, text, length + 1); /* libxenstore appends a NUL */
	else
		r = -EMSGSIZE;
	free(text);
	return r;
}

/*
 * Watches.
 */

static void token_format(uint64_t token, char text[24])
{
	snprintf(text, 24, "%" PRIu64, token);
}

static struct xen_watch *watch_find(struct xen_hv *xen, const char *text)
{
	struct xen_watch *watch;
	uint64_t token;
	char *end;

	errno = 0;
	token = strtoull(text, &end, 10);
	if (errno || *end)
		return NULL;
	HASH_FIND(hh, xen->watches, &token, sizeof(token), watch);
	return watch;
}

static int watch_set(struct xen_hv *xen, const struct xen_watch *watch)
{
	char token[24];
	int r;

	token_format(watch->token, token);
	r = store_thread_watch(xen->thread, watch->path, token);
	if (r == 0)
		return 0;
	if (r != -E2BIG && r != -ENOSPC)
		return store_failed(xen, watch->path, r);
	if (log_once(&xen->logged_no_watches))
		hv_log(&xen->hv, LOG_ERR,
			"xenstore allows no watch of %s: a domain may have 128, those of its "
			"kernel included, unless xenstored in dom0 was started with another "
			"--watch-nb",
			watch->path);
	return -ENOSPC;
}

static void watch_unset(struct xen_hv *xen, const struct xen_watch *watch)
{
	char token[24];

	token_format(watch->token, token);
	store_thread_unwatch(xen->thread, watch->path, token);
}

static int watch_new(
	struct xen_hv *xen, const char *path, hv_watch_fn *fn, void *data, struct hv_watch **out)
{
	struct xen_watch *watch = calloc(1, sizeof(*watch));
	int r;

	if (!watch)
		return -ENOMEM;
	watch->watch = (struct hv_watch){.hv = &xen->hv, .fn = fn, .data = data};
	watch->token = ++xen->last_token;
	snprintf(watch->path, sizeof(watch->path), "%s", path);
	HASH_ADD(hh, xen->watches, token, sizeof(watch->token), watch);
	if (!watch->hh.tbl) {
		free(watch);
		return -ENOMEM;
	}
	r = watch_set(xen, watch);
	if (r < 0) {
		HASH_DEL(xen->watches, watch);
		free(watch);
		return r;
	}
	*out = &watch->watch;
	return 0;
}

int xen_watch_node(struct hv *hv, uint16_t owner, const char *endpoint, hv_watch_fn *fn, void *data,
	struct hv_watch **watch)
{
	char path[XEN_PATH_SIZE];
	int r = node_path(owner, endpoint, hv->domid, path);

	return r < 0 ? r : watch_new(xen_of(hv), path, fn, data, watch);
}

/* The directory of all of them: there is one watch of it, however many names are asked for. */
int xen_watch_names(struct hv *hv, const struct hv_name_set *asked, hv_watch_fn *fn, void *data,
	struct hv_watch **watch)
{
	char path[XEN_PATH_SIZE];

	(void)asked;

	snprintf(path, sizeof(path), DOMAIN_DIR NAMES_DIR, hv->domid);
	return watch_new(xen_of(hv), path, fn, data, watch);
}

int xen_watch_domid(struct xen_hv *xen, hv_watch_fn *fn, void *data, struct hv_watch **watch)
{
	return watch_new(xen, XEN_DOMID_NODE, fn, data, watch);
}

void xen_watch_free(struct hv_watch *base)
{
	struct xen_watch *watch = (struct xen_watch *)base;
	struct xen_hv *xen = xen_of(base->hv);

	if (!watch->muted)
		watch_unset(xen, watch);
	if (watch->is_ready)
		TAILQ_REMOVE(&xen->ready, watch, ready);
	HASH_DEL(xen->watches, watch);
	free(watch);
}

/*
 * Dispatching.
 */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void timer_start(struct xen_hv *xen)
{
	const struct itimerspec in = {.it_value.tv_sec = WATCH_PERIOD_MS / 1000,
		.it_value.tv_nsec = WATCH_PERIOD_MS % 1000 * 1000000L};

	timerfd_settime(xen->timer, 0, &in, NULL);
}

/* Takes it away until the timer runs out. */
static void watch_mute(struct xen_hv *xen, struct xen_watch *watch)
{
	if (log_once(&watch->logged))
		hv_log(&xen->hv, LOG_WARNING,
			"xenstore changes %s more than %d times a second: looking at it once a "
			"second",
			watch->path, WATCH_BURST);
	watch_unset(xen, watch);
	watch->muted = true;
	timer_start(xen);
}

/* Sets the muted watches again, which makes them fire. */
static void unmute_all(struct xen_hv *xen)
{
	struct xen_watch *watch, *next;
	bool again = false;

	HASH_ITER (hh, xen->watches, watch, next) {
		if (!watch->muted)
			continue;
		watch->muted = watch_set(xen, watch) < 0;
		again |= watch->muted;
	}
	if (again)
		timer_start(xen);
}

/* Takes what libxenstore has read.  The rest waits for the next dispatch: hv_fd stays readable. */
static void collect(struct xen_hv *xen)
{
	for (int i = 0; i < SIVC_HV_BATCH; i++) {
		char **event = store_thread_event(xen->thread);
		struct xen_watch *watch;

		if (!event)
			return;
		watch = watch_find(xen, event[XS_WATCH_TOKEN]);
		free(event);
		if (!watch)
			continue;
		watch->events++;
		if (!watch->is_ready)
			TAILQ_INSERT_TAIL(&xen->ready, watch, ready);
		watch->is_ready = true;
	}
}

static void watch_rate(struct xen_hv *xen, struct xen_watch *watch)
{
	uint64_t now = now_ms();

	if (now - watch->period_start >= WATCH_PERIOD_MS) {
		watch->period_start = now;
		watch->events = 0;
	}
	if (watch->events > WATCH_BURST && !watch->muted)
		watch_mute(xen, watch);
}

/* Its function may free any watch, this one included. */
static void call_ready(struct xen_hv *xen)
{
	struct xen_watch *watch;

	while ((watch = TAILQ_FIRST(&xen->ready))) {
		TAILQ_REMOVE(&xen->ready, watch, ready);
		watch->is_ready = false;
		watch_rate(xen, watch);
		watch->watch.fn(watch->watch.data);
	}
}

/* What the request has done that nobody waited for is not known: all is to be made anew. */
static bool is_late(struct xen_hv *xen)
{
	if (!store_thread_late(xen->thread))
		return false;
	if (log_once(&xen->logged_late))
		hv_log(&xen->hv, LOG_NOTICE,
			"the request that xenstore did not answer in time has ended: connecting "
			"to it again");
	return true;
}

int xen_dispatch(struct hv *hv)
{
	struct xen_hv *xen = xen_of(hv);
	uint64_t expirations;

	if (read(xen->timer, &expirations, sizeof(expirations)) == sizeof(expirations))
		unmute_all(xen);
	collect(xen);
	call_ready(xen);
	return hv_lost(hv) || is_late(xen) ? -ESTALE : 0;
}

int xen_fd(const struct hv *hv)
{
	return ((const struct xen_hv *)hv)->epoll;
}

/*
 * Names.
 */

/* One entry of the directory of names: 1, or 0 if it is not as the registry writes them, or is gone
 * by now. */
static int name_read(struct xen_hv *xen, const char *entry, struct hv_name *name)
{
	char path[XEN_PATH_SIZE], *text;
	unsigned int length;
	bool valid;
	int r;

	if (domid_parse(entry, &name->domid) < 0)
		return 0;
	snprintf(path, sizeof(path), DOMAIN_DIR NAMES_DIR "/%u", xen->hv.domid, name->domid);
	r = store_thread_read(xen->thread, path, &text, &length);
	if (r == -ENOENT || r == -EACCES)
		return 0;
	if (r < 0)
		return store_failed(xen, path, r);
	valid = length <= HV_NAME_MAX && strlen(text) == length && hv_name_valid(text);
	if (valid)
		memcpy(name->name, text, length + 1);
	free(text);
	return valid;
}

/* All of them or an error: a domain whose name is not there loses what the name permits. */
static int names_read(struct xen_hv *xen, char *const *entries, unsigned int count,
	const struct hv_name_set *asked, struct hv_name *names)
{
	int n = 0;

	for (unsigned int i = 0; i < count; i++) {
		int r = name_read(xen, entries[i], &names[n]);

		if (r < 0)
			return r;
		n += r && hv_name_set_has(asked, names[n].name);
	}
	return n;
}

int xen_names(struct hv *hv, const struct hv_name_set *asked, struct hv_name **out)
{
	struct xen_hv *xen = xen_of(hv);
	char path[XEN_PATH_SIZE], **entries = NULL;
	struct hv_name *names = NULL;
	unsigned int count = 0;
	int n;

	snprintf(path, sizeof(path), DOMAIN_DIR NAMES_DIR, hv->domid);
	n = store_thread_list(xen->thread, path, &entries, &count);
	if (n < 0 && n != -ENOENT && n != -EACCES)
		return store_failed(xen, path, n);
	n = 0;
	if (count > 0) {
		names = calloc(count, sizeof(*names));
		n = names ? names_read(xen, entries, count, asked, names) : -ENOMEM;
	}
	free(entries);
	if (n <= 0) {
		free(names);
		names = NULL;
	}
	if (n >= 0)
		*out = names;
	return n;
}

int xen_own_name(struct hv *hv, char name[HV_NAME_MAX + 1])
{
	struct hv_name own;
	char entry[8];
	int r;

	snprintf(entry, sizeof(entry), "%u", hv->domid);
	r = name_read(xen_of(hv), entry, &own);
	if (r > 0)
		strcpy(name, own.name);
	return r > 0 ? 0 : r < 0 ? r : -ENOENT;
}

int xen_domains(struct hv *hv, uint16_t **out)
{
	struct hv_name *names = NULL;
	uint16_t *domids = NULL;
	int n = xen_names(hv, NULL, &names);

	if (n < 0)
		return n;
	if (names) {
		domids = calloc((size_t)n, sizeof(*domids));
		if (!domids)
			n = -ENOMEM;
		for (int i = 0; i < n; i++)
			domids[i] = names[i].domid;
	}
	free(names);
	if (n >= 0)
		*out = domids;
	return n;
}

/*
 * Opening and closing.
 */

int xen_store_domid(struct store_thread *thread, uint16_t *domid)
{
	unsigned int length;
	char *text;
	int r = store_thread_read(thread, XEN_DOMID_NODE, &text, &length);

	if (r < 0)
		return r;
	if (domid_parse(text, domid) < 0)
		r = -EINVAL;
	free(text);
	return r;
}

/* Does the kernel say that there is a Xen below it? */
static bool on_xen(void)
{
	char text[4] = "";
	int fd = open("/sys/hypervisor/type", O_RDONLY | O_CLOEXEC);
	bool is_xen;

	if (fd < 0)
		return access("/dev/xen", F_OK) == 0 || access("/proc/xen", F_OK) == 0;
	is_xen = read(fd, text, 3) == 3 && strcmp(text, "xen") == 0;
	close(fd);
	return is_xen;
}

static int no_store(const struct hv *hv, int error)
{
	if (error == -ETIMEDOUT) /* it has been said why */
		return -EIO;
	if (!on_xen())
		hv_log(hv, LOG_ERR,
			"this machine is no domain of Xen (/sys/hypervisor/type does not say xen): "
			"use the local backend");
	else if (error == -EACCES || error == -EPERM)
		hv_log(hv, LOG_ERR, "may not open xenstore: run as root");
	else
		hv_log(hv, LOG_ERR,
			"xenstore does not answer (%s): in dom0 xenstored must run; elsewhere "
			"/dev/xen/xenbus must exist",
			strerror(-error));
	return error;
}

static int epoll_add(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int xen_store_open(struct xen_hv *xen)
{
	int r, events;

	r = store_thread_open(&xen->hv, xen->store_limit, &xen->thread);
	if (r == 0)
		r = xen_store_domid(xen->thread, &xen->hv.domid);
	if (r < 0)
		return no_store(&xen->hv, r);
	events = store_thread_events_fd(xen->thread);
	xen->timer = fork_private(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	xen->epoll = fork_private(epoll_create1(EPOLL_CLOEXEC));
	if (events < 0 || xen->timer < 0 || xen->epoll < 0 || epoll_add(xen->epoll, events) < 0 ||
		epoll_add(xen->epoll, store_thread_late_fd(xen->thread)) < 0 ||
		epoll_add(xen->epoll, xen->timer) < 0) {
		r = events < 0 ? events : -errno;
		hv_log(&xen->hv, LOG_ERR, "cannot watch xenstore: %s", strerror(-r));
	}
	return r;
}

void xen_store_close(struct xen_hv *xen)
{
	fork_close(xen->epoll);
	fork_close(xen->timer);
	store_thread_close(xen->thread);
}

bool hv_xen_present(const struct hv *hv)
{
	struct store_thread *thread = NULL;
	uint16_t domid;
	int r;

	if (access("/dev/xen", F_OK) < 0 && access("/proc/xen", F_OK) < 0)
		return false;
	r = store_thread_open(hv, XEN_STORE_LIMIT_MS, &thread);
	if (r == 0)
		r = xen_store_domid(thread, &domid);
	store_thread_close(thread);
	return r == 0 || r == -ETIMEDOUT;
}
