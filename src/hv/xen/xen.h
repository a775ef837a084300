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
	TAILQ_HEAD(, xen_lock) locks; /* the oldest first */

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

/* hv_lost(), after xenstore was asked: before what the kernel does not survive after a restore. */
bool xen_lost(struct xen_hv *xen);

/* Says why a device of /dev/xen could not be opened and what to do.  Returns -error. */
int xen_no_device(const struct hv *hv, const char *device, const char *module, int error);

int xen_store_open(struct xen_hv *xen); /* sets xen->hv.domid */
void xen_store_close(struct xen_hv *xen);
int xen_store_domid(struct store_thread *thread, uint16_t *domid); /* ours, as it is now */
int xen_watch_domid(struct xen_hv *xen, hv_watch_fn *fn, void *data, struct hv_watch **watch);
hv_fd_op xen_fd;
hv_dispatch_op xen_dispatch;
int xen_endpoint_create(struct xen_hv *xen, const char *endpoint); /* empty, whatever was there */
void xen_endpoint_remove(struct xen_hv *xen, const char *endpoint);
bool xen_endpoint_exists(struct xen_hv *xen, const char *endpoint);
hv_node_write_op xen_node_write;
hv_node_remove_op xen_node_remove;
hv_node_read_op xen_node_read;
hv_watch_node_op xen_watch_node;
hv_watch_free_op xen_watch_free;
hv_names_op xen_names;
hv_own_name_op xen_own_name;
hv_watch_names_op xen_watch_names;
hv_domains_op xen_domains;

hv_events_new_op xen_events_new;
hv_events_free_op xen_events_free;
hv_events_fd_op xen_events_fd;
hv_events_dispatch_op xen_events_dispatch;
hv_port_alloc_op xen_port_alloc;
hv_port_bind_op xen_port_bind;
hv_port_free_op xen_port_free;
hv_port_notify_op xen_port_notify;
hv_port_unmask_op xen_port_unmask;

int xen_pages_open(struct xen_hv *xen);
void xen_pages_close(struct xen_hv *xen);
hv_share_op xen_share;
hv_unshare_op xen_unshare;
hv_map_op xen_map;
hv_unmap_op xen_unmap;
void xen_self_port_freed(struct xen_hv *xen, const struct hv_port *port);

#endif
