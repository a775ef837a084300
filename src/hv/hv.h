/* SPDX-License-Identifier: MIT */
/*
 * hv.h: the seam between sivcfs and a hypervisor.
 *
 * It has what Xen has and no more: pages shared with one domain read-only or writable, mapping
 * them, event channels, a store with a node a peer, watches, and names of domains.  Everything
 * above it is the same code on every hypervisor; nothing above it knows which one it is.
 *
 * Two implementations: xen/ (libxengnttab, libxenevtchn, libxenstore) and local/ (domains are
 * processes, and a directory is the hypervisor).
 *
 * The adversary is the other domain.  Whatever a function here returns from another domain (a
 * node's value, the contents of a mapping) is that domain's word.  Whatever is asked of another
 * domain (a reference, a port) may be refused, and must fail here without harm: these functions
 * check it, and no call waits for another domain.  (The store is dom0's on xen: it is waited for at
 * most 5 s, once; then whatever has to ask it fails with -EIO, at once, until hv_dispatch says that
 * it has answered.)
 *
 * Errors: 0 or a count, or a negative errno.  What went wrong and what to do about it is said once,
 * through the log callback, by the implementation, which is the one that knows; an error that is
 * ordinary (-ENOENT of a node, -ENOSPC of grants, which the caller reports) is not logged here.
 * Out-parameters are untouched on failure.  Not thread-safe: one thread uses one struct hv.
 */
#ifndef SIVC_HV_H
#define SIVC_HV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct hv;
struct hv_events;
struct hv_port;
struct hv_watch;

struct hv_config {
	const char *backend;    /* "xen", "local" or "auto" (hv.c: which of them) */
	const char *dir;        /* local: the directory, or NULL for its default */
	int domid;              /* local: our domain id.  Must be -1 on xen, where it is a given */
	const char *name;       /* local: our name, or NULL.  Must be NULL on xen */
	const char *mountpoint; /* where this process mounts a file system, or NULL.  local: it may
				   not be in the directory: others would wait for it there */
	void (*log)(
		void *data, int priority, const char *message); /* priority: LOG_* of syslog.h */
	void *log_data;
};

/*
 * -EINVAL: a config that the backend cannot have.  -ENOSYS: backend not compiled in.
 *
 * A child that this process forks has no part in it: what the process has opened ends with it,
 * whether the child lives on or not.  In the child every call fails or does nothing, also
 * hv_close(), which leaves the memory; and it may not touch the pages.
 */
int hv_open(const struct hv_config *config, struct hv **hv);
void hv_close(struct hv *hv); /* NULL is fine; everything made from it must be freed before */

const char *hv_backend(const struct hv *hv); /* "xen" or "local" */
uint16_t hv_domid(const struct hv *hv);
bool hv_parallel(const struct hv *hv); /* other domains run while this process does not sleep */
void hv_log(const struct hv *hv, int priority, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Pages.  Shared: ours, zeroed, granted to `domid` alone, read-only or for writing; refs[count]
 * receives their references.  `count` pages are contiguous in memory.
 *
 * With `notify` (count must be 1): the byte at `offset` of the page is cleared and `port` is
 * signalled when the process that shares (or maps) the page ends, however it ends.  The local
 * backend has no kernel to do that; there, a watch on the node fires instead (hv_watch_node).
 *
 * hv_share: -ENOSPC: no grants (or no disk) left.  hv_unshare may be called while the peer still
 * maps the page: the memory then stays with the kernel until the peer lets go, and is never
 * handed to anybody else before.
 * hv_map: -EINVAL: no such reference, not granted to us, not granted for writing.
 */
struct hv_notify {
	struct hv_port *port;
	uint32_t offset;
};

int hv_share(struct hv *hv, uint16_t domid, uint32_t count, bool writable,
	const struct hv_notify *notify, void **memory, uint32_t *refs);
void hv_unshare(struct hv *hv, void *memory, uint32_t count);

int hv_map(struct hv *hv, uint16_t domid, uint32_t count, const uint32_t *refs, bool writable,
	const struct hv_notify *notify, void **memory);
void hv_unmap(struct hv *hv, void *memory, uint32_t count);

/*
 * Event channels, in sets.  A set has one descriptor, which is readable while a port of the set
 * that is not masked has an event.  Whoever does not want to be woken does not poll it.
 *
 * A port is masked when its event is dispatched, and stays so until hv_port_unmask; an event that
 * comes meanwhile is kept, as one event.  So a flood on a port wakes us once per unmask, at most.
 * A new port is unmasked.  An event may be spurious.
 *
 * hv_events_dispatch handles at most `SIVC_HV_BATCH` ports, never waits, returns the number
 * handled.  A port's callback may free any port, its own included.
 */
#define SIVC_HV_BATCH 64

typedef void hv_port_fn(void *data);

int hv_events_new(struct hv *hv, struct hv_events **events);
void hv_events_free(struct hv_events *events); /* NULL is fine; its ports must be freed before */
int hv_events_fd(const struct hv_events *events);
int hv_events_dispatch(struct hv_events *events);

/* Ours, for `domid` to bind to.  -ENOSPC: none left.  -EAGAIN: this domain was restored. */
int hv_port_alloc(struct hv_events *events, uint16_t domid, hv_port_fn *fn, void *data,
	struct hv_port **port);
/* To the port that `domid` allocated for us.  -EINVAL: there is none. */
int hv_port_bind(struct hv_events *events, uint16_t domid, uint32_t number, hv_port_fn *fn,
	void *data, struct hv_port **port);
void hv_port_free(struct hv_port *port); /* NULL is fine */
uint32_t hv_port_number(const struct hv_port *port);
void hv_port_notify(struct hv_port *port); /* signal the other end; nobody there is no error */
void hv_port_unmask(struct hv_port *port);

/*
 * Serving an endpoint.  One process of a domain at a time may publish nodes for an endpoint.
 * Removes the nodes that a process which was killed has left.
 * -EBUSY: another process serves it; *holder is its process id, 0 if not known.
 */
int hv_serve(struct hv *hv, const char *endpoint, pid_t *holder);
void hv_unserve(struct hv *hv, const char *endpoint); /* removes all of its nodes */

/* Our node for `reader`, which it alone may read.  -ENOSPC: the store's quota. */
int hv_node_write(struct hv *hv, const char *endpoint, uint16_t reader, const char *value);
int hv_node_remove(struct hv *hv, const char *endpoint, uint16_t reader);

/*
 * The node that `owner` has published for us, NUL-terminated in value[size].
 * -ENOENT: none, or not for us, or its owner is gone.  -EMSGSIZE: longer than any node of ours.
 */
int hv_node_read(struct hv *hv, uint16_t owner, const char *endpoint, char *value, size_t size);

/*
 * Calls fn (from hv_dispatch) when that node may have changed, come or gone, or its owner's
 * process may have ended: read it again.  May be spurious; fires once soon after it was set, and
 * keeps no history: many changes may be one call.  The backend limits how often it fires for one
 * owner, whatever that owner does (XSA-349).  fn may free the watch.
 */
typedef void hv_watch_fn(void *data);

int hv_watch_node(struct hv *hv, uint16_t owner, const char *endpoint, hv_watch_fn *fn, void *data,
	struct hv_watch **watch);
void hv_watch_free(struct hv_watch *watch); /* NULL is fine; cancels what it has not fired yet */

/*
 * Readable when hv_dispatch has something to do.
 *
 * hv_dispatch: -ESTALE, from then on, when all of this is to be made anew: free all of it, close,
 * and open again.  Either this domain was saved and restored (hv_lost): it has another id, and
 * nothing made from this struct hv works any more.  Or the store has answered too late: what is in
 * it and which watches are set is not known, and it takes no more requests; all else works as
 * before.
 *
 * What was mapped from other domains reads as zeros after a restore, also before anything here has
 * noticed it.  Therefore ask hv_lost(), after it was read, before a peer is held to what it says.
 */
int hv_fd(const struct hv *hv);
int hv_dispatch(struct hv *hv);
bool hv_lost(const struct hv *hv); /* a restore was noticed; costs a load */

/*
 * Names of live domains, as the registry (xen) or the directory (local) has them.  They are
 * checked: each is a name that hv_name_valid() accepts, each domid in range.
 */
#define HV_NAME_MAX 63

struct hv_name {
	char name[HV_NAME_MAX + 1];
	uint16_t domid;
};

bool hv_name_valid(const char *name); /* [A-Za-z0-9._-], not all digits, no leading '.' or '-' */
/* All of them: an array for the caller to free(), of the number returned; NULL if that is 0. */
int hv_names(struct hv *hv, struct hv_name **names);
/*
 * Who has these names: domids[i] is the domain that has names[i], or HV_NO_DOMAIN.  Each name is
 * one that hv_name_valid() accepts.  On the local backend, if they are watched, the cost is theirs,
 * however many names others have.
 */
#define HV_NO_DOMAIN UINT16_MAX
int hv_lookup(struct hv *hv, const char *const *names, size_t count, uint16_t *domids);
int hv_own_name(struct hv *hv, char name[HV_NAME_MAX + 1]); /* -ENOENT: this domain has none */
/*
 * As hv_watch_node(), for when who has one of these names may have changed; with NULL, when any
 * domain or name may have come or gone.  On xen it fires for names that were not asked for, too.
 */
int hv_watch_names(struct hv *hv, const char *const *names, size_t count, hv_watch_fn *fn,
	void *data, struct hv_watch **watch);

/*
 * Known domains: those that exist here and could be permitted by `allow *`.  local: every domain of
 * the directory; xen: every domain with a name.  An array as above.
 */
int hv_domains(struct hv *hv, uint16_t **domids);

#endif
