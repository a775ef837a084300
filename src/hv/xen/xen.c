/* SPDX-License-Identifier: MIT */
/*
 * xen.c: the backend on real Xen.  Opening and closing, and one process an endpoint.
 *
 * Everything goes through Xen's own libraries: libxenstore (store.c), libxenevtchn
 * (events.c) and libxengnttab (pages.c).  A struct xen_hv holds one handle of each, but for
 * event channels, where each set has its own.  None of them survives a fork.  What is asked of
 * xenstore is asked by a thread of ours (store_thread.c), and libxenstore starts one as soon as
 * there is a watch.  Both have all signals blocked, and neither calls anything of ours but in
 * store_thread.c.
 *
 * Who is trusted: Xen, dom0 (xenstored runs there) and the kernel of this domain.  Another domain
 * can write its own nodes, its own pages and what it was given for writing, and signal its event
 * channels; it cannot make a call here wait.  xenstored can, for XEN_STORE_LIMIT_MS.
 *
 * One process of a domain serves an endpoint: it holds a lock on a file (lockfile.h).
 *
 * A domain that is saved and restored (or migrated) goes on in another domain: its processes do
 * not notice, but grants, mappings, event channels and nodes are gone.  What tells of it is a
 * watch, a page of another domain that is no longer there, or xenstore, which is asked before a
 * port is given up, whichever is first (hv_lost); all that is left to do then is to free
 * everything, close, and open again.  Linux does not expect that of a program that uses event
 * channels and mapped grants, and fails an assertion in the kernel when they are freed: events.c
 * and pages.c go around that.  A page that was shared is still there, for us.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "fork.h"
#include "lockfile.h"
#include "xen.h"

struct xen_lock {
	TAILQ_ENTRY(xen_lock) link;
	int fd;
	char endpoint[]; /* flexible: the name's length was checked by the caller */
};

static void log_vmessage(struct xentoollog_logger *logger, xentoollog_level level, int errnoval,
	const char *context, const char *format, va_list args)
	__attribute__((format(printf, 5, 0)));

static void log_vmessage(struct xentoollog_logger *logger, xentoollog_level level, int errnoval,
	const char *context, const char *format, va_list args)
{
	const struct hv *hv = ((struct xen_logger *)logger)->hv;
	char text[256];

	(void)level;
	vsnprintf(text, sizeof(text), format, args);
	hv_log(hv, LOG_DEBUG, "%s: %s%s%s", context ? context : "libxen", text,
		errnoval > 0 ? ": " : "", errnoval > 0 ? strerror(errnoval) : "");
}

static void log_destroy(struct xentoollog_logger *logger)
{
	(void)logger; /* part of struct xen_hv */
}

int xen_no_device(const struct hv *hv, const char *device, const char *module, int error)
{
	if (error == ENOENT || error == ENODEV || error == ENXIO)
		hv_log(hv, LOG_ERR, "no %s: load its driver with \"modprobe %s\"", device, module);
	else if (error == EACCES || error == EPERM)
		hv_log(hv, LOG_ERR, "may not open %s: run as root, or as a user who may", device);
	else
		hv_log(hv, LOG_ERR, "cannot open %s: %s", device, strerror(error));
	return -error;
}

/*
 * One process an endpoint.
 */

static int take_endpoint(const struct hv *hv, const char *endpoint, pid_t *holder)
{
	char name[sizeof("xen-.lock") + NAME_MAX];
	int lock;

	if (snprintf(name, sizeof(name), "xen-%s.lock", endpoint) >= (int)sizeof(name))
		return -EINVAL;
	lock = lockfile_take(LOCKFILE_DIR, name, holder);
	if (lock < 0 && lock != -EBUSY)
		hv_log(hv, LOG_ERR, "cannot lock " LOCKFILE_DIR "/%s: %s%s", name, strerror(-lock),
			lock == -EACCES  ? "; run as root, or as a user who may write there"
			: lock == -EPERM ? "; it is another user's: remove it"
					 : "");
	return lock;
}

static void lock_free(struct xen_hv *xen, struct xen_lock *lock)
{
	TAILQ_REMOVE(&xen->locks, lock, link);
	fork_remove(lock->fd);
	lockfile_release(lock->fd);
	free(lock);
}

static int xen_serve(struct hv *hv, const char *endpoint, pid_t *holder)
{
	struct xen_hv *xen = xen_of(hv);
	size_t size = strlen(endpoint) + 1;
	struct xen_lock *lock = malloc(sizeof(*lock) + size);
	int r;

	if (!lock)
		return -ENOMEM;
	fork_hold();
	r = fork_private(take_endpoint(hv, endpoint, holder));
	fork_release();
	if (r < 0) {
		free(lock);
		return r;
	}
	lock->fd = r;
	memcpy(lock->endpoint, endpoint, size);
	TAILQ_INSERT_TAIL(&xen->locks, lock, link);
	r = xen_endpoint_create(xen, endpoint);
	if (r < 0)
		lock_free(xen, lock);
	return r;
}

static void xen_unserve(struct hv *hv, const char *endpoint)
{
	struct xen_hv *xen = xen_of(hv);
	struct xen_lock *lock;

	TAILQ_FOREACH (lock, &xen->locks, link)
		if (strcmp(lock->endpoint, endpoint) == 0)
			break;
	if (!lock)
		return;
	xen_endpoint_remove(xen, endpoint);
	lock_free(xen, lock);
}

/*
 * Restoring.
 */

/*
 * The domain's id tells a restore on the same host; on another host it may be the same, but what we
 * wrote is gone.  The oldest is asked for: the newest may have been written there.
 */
static bool was_restored(struct xen_hv *xen)
{
	const struct xen_lock *lock = TAILQ_FIRST(&xen->locks);
	uint16_t domid;

	if (xen_store_domid(xen->thread, &domid) < 0)
		return false;
	return domid != xen->hv.domid || (lock && !xen_endpoint_exists(xen, lock->endpoint));
}

bool xen_lost(struct xen_hv *xen)
{
	if (!hv_lost(&xen->hv) && was_restored(xen))
		xen->hv.lost = true;
	return hv_lost(&xen->hv);
}

/* After a restore the kernel sets our watches again, the last one first, which makes them fire. */
static void on_domid(void *data)
{
	xen_lost(data);
}

/*
 * Opening and closing.
 */

static void xen_close(struct hv *hv)
{
	struct xen_hv *xen = xen_of(hv);

	if (xen->restored)
		xen_watch_free(xen->restored);
	while (!TAILQ_EMPTY(&xen->locks))
		lock_free(xen, TAILQ_FIRST(&xen->locks));
	xen_pages_close(xen);
	xen_store_close(xen);
	free(xen);
}

static const struct hv_ops xen_ops = {
	.close = xen_close,
	.fd = xen_fd,
	.dispatch = xen_dispatch,
	.share = xen_share,
	.unshare = xen_unshare,
	.map = xen_map,
	.unmap = xen_unmap,
	.events_new = xen_events_new,
	.events_free = xen_events_free,
	.events_fd = xen_events_fd,
	.events_dispatch = xen_events_dispatch,
	.port_alloc = xen_port_alloc,
	.port_bind = xen_port_bind,
	.port_free = xen_port_free,
	.port_notify = xen_port_notify,
	.port_unmask = xen_port_unmask,
	.serve = xen_serve,
	.unserve = xen_unserve,
	.node_write = xen_node_write,
	.node_remove = xen_node_remove,
	.node_read = xen_node_read,
	.watch_node = xen_watch_node,
	.watch_free = xen_watch_free,
	.names = xen_names,
	.own_name = xen_own_name,
	.watch_names = xen_watch_names,
	.domains = xen_domains,
};

/* On Xen the toolstack in dom0 gives a domain its id and its name, and there is no directory. */
static int config_check(const struct hv_config *config, const struct hv *hv)
{
	const char *wrong = config->domid != -1 ? "domain id"
			    : config->name      ? "name"
			    : config->dir       ? "directory"
						: NULL;

	if (!wrong)
		return 0;
	hv_log(hv, LOG_ERR, "the xen backend takes no %s: that is for the local one", wrong);
	return -EINVAL;
}

int hv_xen_open(const struct hv_config *config, const struct hv *base, struct hv **hv)
{
	struct xen_hv *xen;
	int r = config_check(config, base);

	if (r < 0)
		return r;
	xen = calloc(1, sizeof(*xen));
	if (!xen)
		return -ENOMEM;
	xen->hv = *base;
	xen->hv.ops = &xen_ops;
	xen->hv.parallel = true; /* also in a domain with one processor: the others have theirs */
	xen->logger.vtable.vmessage = log_vmessage;
	xen->logger.vtable.destroy = log_destroy;
	xen->logger.hv = &xen->hv;
	xen->epoll = xen->timer = -1;
	xen->store_limit = XEN_STORE_LIMIT_MS;
	TAILQ_INIT(&xen->ready);
	TAILQ_INIT(&xen->locks);
	LIST_INIT(&xen->self_shared);
	LIST_INIT(&xen->self_mapped);
	xen->next_self_ref = 1;

	r = xen_store_open(xen);
	if (r == 0)
		r = xen_pages_open(xen);
	if (r == 0)
		r = xen_watch_domid(xen, on_domid, xen, &xen->restored);
	if (r < 0) {
		xen_close(&xen->hv);
		return r;
	}
	*hv = &xen->hv;
	return 0;
}
