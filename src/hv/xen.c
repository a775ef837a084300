/* SPDX-License-Identifier: MIT */
/*
 * xen.c: the backend on real Xen.  Opening and closing, and one process an endpoint.
 *
 * Everything goes through Xen's own libraries: libxenstore (xen_store.c), libxenevtchn
 * (xen_events.c) and libxengnttab (xen_pages.c).  A struct xen_hv holds one handle of each, but for
 * event channels, where each set has its own.  None of them survives a fork.  libxenstore starts a
 * thread, with all signals blocked, as soon as there is a watch; it never calls us.
 *
 * Who is trusted: Xen, dom0 (xenstored runs there) and the kernel of this domain.  Another domain
 * can write its own nodes, its own pages and what it was given for writing, and signal its event
 * channels; it cannot make a call here wait.
 *
 * One process of a domain serves an endpoint: it holds a lock on a file in LOCK_DIR, which the
 * kernel releases when that process ends, however it ends.  The lock belongs to an open file (OFD),
 * not to a process, so that one process cannot serve an endpoint twice either.  The file stays: a
 * file that is unlinked while somebody else is about to lock it would give two holders.
 *
 * A domain that is saved and restored (or migrated) goes on in another domain: its processes do
 * not notice, but grants, mappings, event channels and nodes are gone.  hv_dispatch() then returns
 * -ESTALE, and all that is left to do is to free everything, close, and open again.  Linux does not
 * expect that of a program that uses event channels and mapped grants, and fails an assertion in
 * the kernel when they are freed: xen_events.c and xen_pages.c go around that.  A page that was
 * mapped is no longer there (SIGBUS), a page that was shared still is, for us.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "xen.h"

#define LOCK_DIR "/run/sivc"

struct xen_lock {
	LIST_ENTRY(xen_lock) link;
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
		hv_log(hv, LOG_ERR, "may not open %s: run as root", device);
	else
		hv_log(hv, LOG_ERR, "cannot open %s: %s", device, strerror(error));
	return -error;
}

/*
 * One process an endpoint.
 */

/* Who holds the lock, as the holder has written into the file; 0 if that is no process id. */
static pid_t lock_holder(int fd)
{
	char text[16], *end;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	long pid;

	if (n <= 0)
		return 0;
	text[n] = '\0';
	errno = 0;
	pid = strtol(text, &end, 10);
	if (errno || *end != '\n' || pid <= 0 || pid > INT32_MAX)
		return 0;
	return (pid_t)pid;
}

/* Our process id, for the others' message; not worth failing for. */
static void lock_sign(const struct hv *hv, int fd)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)length, 0) != length)
		hv_log(hv, LOG_DEBUG, "cannot write to a lock in " LOCK_DIR ": %s",
			strerror(errno));
}

static int lock_open(const struct hv *hv, const char *endpoint)
{
	char path[sizeof(LOCK_DIR "/xen-.lock") + NAME_MAX];
	int fd, error;

	if (mkdir(LOCK_DIR, 0755) < 0 && errno != EEXIST) {
		error = errno;
		hv_log(hv, LOG_ERR, "cannot make the directory " LOCK_DIR ": %s%s", strerror(error),
			error == EACCES ? "; run as root" : "");
		return -error;
	}
	if (snprintf(path, sizeof(path), LOCK_DIR "/xen-%s.lock", endpoint) >= (int)sizeof(path))
		return -EINVAL;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0) {
		error = errno;
		hv_log(hv, LOG_ERR, "cannot open %s: %s%s", path, strerror(error),
			error == EACCES ? "; run as root" : "");
		return -error;
	}
	return fd;
}

static int lock_take(const struct hv *hv, const char *endpoint, pid_t *holder)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = lock_open(hv, endpoint);
	int error;

	if (fd < 0)
		return fd;
	if (fcntl(fd, F_OFD_SETLK, &lock) == 0) {
		lock_sign(hv, fd);
		return fd;
	}
	error = errno;
	if (error == EAGAIN || error == EACCES) {
		*holder = lock_holder(fd);
		error = EBUSY;
	} else {
		hv_log(hv, LOG_ERR, "cannot lock endpoint %s in " LOCK_DIR ": %s", endpoint,
			strerror(error));
	}
	close(fd);
	return -error;
}

static void lock_free(struct xen_lock *lock)
{
	LIST_REMOVE(lock, link);
	if (ftruncate(lock->fd, 0) < 0) {
		/* The next holder writes over it. */
	}
	close(lock->fd);
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
	r = lock_take(hv, endpoint, holder);
	if (r < 0) {
		free(lock);
		return r;
	}
	lock->fd = r;
	memcpy(lock->endpoint, endpoint, size);
	LIST_INSERT_HEAD(&xen->locks, lock, link);
	r = xen_endpoint_create(xen, endpoint);
	if (r < 0)
		lock_free(lock);
	return r;
}

static void xen_unserve(struct hv *hv, const char *endpoint)
{
	struct xen_hv *xen = xen_of(hv);
	struct xen_lock *lock;

	LIST_FOREACH (lock, &xen->locks, link)
		if (strcmp(lock->endpoint, endpoint) == 0)
			break;
	if (!lock)
		return;
	xen_endpoint_remove(xen, endpoint);
	lock_free(lock);
}

/*
 * Restoring.
 */

/*
 * After a restore the kernel sets our watches again, which makes them fire.  The domain's id tells
 * a restore on the same host; on another host it may be the same, but what we wrote is gone.
 */
static bool was_restored(struct xen_hv *xen)
{
	struct xen_lock *lock;
	uint16_t domid;

	if (xen_store_domid(xen->store, &domid) < 0)
		return false;
	if (domid != xen->hv.domid)
		return true;
	LIST_FOREACH (lock, &xen->locks, link)
		if (!xen_endpoint_exists(xen, lock->endpoint))
			return true;
	return false;
}

static void on_domid(void *data)
{
	struct xen_hv *xen = data;

	if (xen->stale || !was_restored(xen))
		return;
	xen->stale = true;
	hv_log(&xen->hv, LOG_NOTICE,
		"domain %u was saved and restored: what it shared with others is gone",
		xen->hv.domid);
}

/*
 * Opening and closing.
 */

static void xen_close(struct hv *hv)
{
	struct xen_hv *xen = xen_of(hv);

	if (xen->restored)
		xen_watch_free(xen->restored);
	while (!LIST_EMPTY(&xen->locks))
		lock_free(LIST_FIRST(&xen->locks));
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
	xen->logger.vtable.vmessage = log_vmessage;
	xen->logger.vtable.destroy = log_destroy;
	xen->logger.hv = &xen->hv;
	xen->epoll = xen->timer = -1;
	TAILQ_INIT(&xen->ready);
	LIST_INIT(&xen->locks);
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
