/* SPDX-License-Identifier: MIT */
/*
 * xen.h: what the files of the xen backend share.  Private to src/hv/xen/.
 *
 *   xen.c         opening and closing, the libraries' log, one process an endpoint
 *   store.c   xenstore: nodes, watches, names
 *   store_thread.c  requests to xenstore, and what becomes of those that have no answer
 *   events.c  event channels
 *   pages.c   grants: sharing and mapping pages
 */
#ifndef SIVC_HV_XEN_H
#define SIVC_HV_XEN_H

#include <sys/queue.h>
#include <xenevtchn.h>
#include <xengnttab.h>
#include <xentoollog.h>

#include "backend.h"
#include "store_thread.h"

struct xen_watch;
struct xen_lock;

/* What Xen's libraries have to say goes to hv_log(), at LOG_DEBUG: we say what it means. */
struct xen_logger {
	xentoollog_logger vtable; /* first: the libraries know no more than this */
	const struct hv *hv;
};

TAILQ_HEAD(xen_ready, xen_watch);
LIST_HEAD(xen_selves, xen_self);

struct xen_hv {
	struct hv hv;

	/* Set by hv_xen_open. */
	struct xen_logger logger;
	struct store_thread *thread;
	unsigned int store_limit; /* ms */
	xengntshr_handle *gntshr;
	xengnttab_handle *gnttab;
	int epoll; /* hv_fd: the store's descriptors, and `timer` */
	int timer; /* runs while a watch is muted */

	struct hv_watch *restored; /* fires when this domain may have been */

	/* store.c.  A token is given to one watch and never again. */
	uint64_t last_token;
	struct xen_watch *watches; /* hash by token */
	struct xen_ready ready;    /* their function is to be called */

	/* xen.c: the endpoints that this process serves. */
	LIST_HEAD(, xen_lock) locks;

	/* pages.c: what we share with ourselves. */
	struct xen_selves self_shared;
	struct xen_selves self_mapped;
	uint32_t next_self_ref;

	/* What is logged once. */
	bool logged_store_lost;
	bool logged_late;
	bool logged_no_nodes;
	bool logged_no_watches;
	bool logged_no_grants;
	bool logged_no_ports;
};

static inline struct xen_hv *xen_of(struct hv *hv)
{
	return (struct xen_hv *)hv;
}

/* Says why a device of /dev/xen could not be opened and what to do.  Returns -error. */
int xen_no_device(const struct hv *hv, const char *device, const char *module, int error);

int xen_store_open(struct xen_hv *xen); /* sets xen->hv.domid */
void xen_store_close(struct xen_hv *xen);
int xen_store_domid(struct store_thread *thread, uint16_t *domid); /* ours, as it is now */
int xen_watch_domid(struct xen_hv *xen, hv_watch_fn *fn, void *data, struct hv_watch **watch);
int xen_fd(const struct hv *hv);
int xen_dispatch(struct hv *hv);
int xen_endpoint_create(struct xen_hv *xen, const char *endpoint); /* empty, whatever was there */
void xen_endpoint_remove(struct xen_hv *xen, const char *endpoint);
bool xen_endpoint_exists(struct xen_hv *xen, const char *endpoint);
int xen_node_write(struct hv *hv, const char *endpoint, uint16_t reader, const char *value);
int xen_node_remove(struct hv *hv, const char *endpoint, uint16_t reader);
int xen_node_read(struct hv *hv, uint16_t owner, const char *endpoint, char *value, size_t size);
int xen_watch_node(struct hv *hv, uint16_t owner, const char *endpoint, hv_watch_fn *fn, void *data,
	struct hv_watch **watch);
void xen_watch_free(struct hv_watch *watch);
int xen_names(struct hv *hv, struct hv_name **names);
int xen_own_name(struct hv *hv, char name[HV_NAME_MAX + 1]);
int xen_watch_names(struct hv *hv, const char *const *names, size_t count, hv_watch_fn *fn,
	void *data, struct hv_watch **watch);
int xen_domains(struct hv *hv, uint16_t **domids);

int xen_events_new(struct hv *hv, struct hv_events **events);
void xen_events_free(struct hv_events *events);
int xen_events_fd(const struct hv_events *events);
int xen_events_dispatch(struct hv_events *events);
int xen_port_alloc(struct hv_events *events, uint16_t domid, hv_port_fn *fn, void *data,
	struct hv_port **port);
int xen_port_bind(struct hv_events *events, uint16_t domid, uint32_t number, hv_port_fn *fn,
	void *data, struct hv_port **port);
void xen_port_free(struct hv_port *port);
void xen_port_notify(struct hv_port *port);
void xen_port_unmask(struct hv_port *port);

int xen_pages_open(struct xen_hv *xen);
void xen_pages_close(struct xen_hv *xen);
int xen_share(struct hv *hv, uint16_t domid, uint32_t count, bool writable,
	const struct hv_notify *notify, void **memory, uint32_t *refs);
void xen_unshare(struct hv *hv, void *memory, uint32_t count);
int xen_map(struct hv *hv, uint16_t domid, uint32_t count, const uint32_t *refs, bool writable,
	const struct hv_notify *notify, void **memory);
void xen_unmap(struct hv *hv, void *memory, uint32_t count);
void xen_self_port_freed(struct xen_hv *xen, const struct hv_port *port);

#endif
