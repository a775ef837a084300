/* SPDX-License-Identifier: MIT */
/*
 * backend.h: what an implementation of hv.h provides.  Private to src/hv.
 *
 * Each object of an implementation begins with the struct of the same name here, and the functions
 * are those of hv.h without their prefix, with the same contract.
 */
#ifndef SIVC_HV_BACKEND_H
#define SIVC_HV_BACKEND_H

#include <stdatomic.h>

#include "hv.h"

/* Names that are asked for.  The set of a watch is freed with it, by hv.c. */
struct hv_name_set {
	size_t count;
	char names[][HV_NAME_MAX + 1]; /* sorted */
};

bool hv_name_set_has(const struct hv_name_set *set, const char *name); /* NULL has all */

/* The types of those functions: an implementation declares its own by them. */
typedef void hv_close_op(struct hv *hv);
typedef int hv_fd_op(const struct hv *hv);
typedef int hv_dispatch_op(struct hv *hv);

typedef int hv_share_op(struct hv *hv, uint16_t domid, uint32_t count, bool writable,
	const struct hv_notify *notify, void **memory, uint32_t *refs);
typedef void hv_unshare_op(struct hv *hv, void *memory, uint32_t count);
typedef int hv_map_op(struct hv *hv, uint16_t domid, uint32_t count, const uint32_t *refs,
	bool writable, const struct hv_notify *notify, void **memory);
typedef void hv_unmap_op(struct hv *hv, void *memory, uint32_t count);

typedef int hv_events_new_op(struct hv *hv, struct hv_events **events);
typedef void hv_events_free_op(struct hv_events *events);
typedef int hv_events_fd_op(const struct hv_events *events);
typedef int hv_events_dispatch_op(struct hv_events *events);

typedef int hv_port_alloc_op(struct hv_events *events, uint16_t domid, hv_port_fn *fn, void *data,
	struct hv_port **port);
typedef int hv_port_bind_op(struct hv_events *events, uint16_t domid, uint32_t number,
	hv_port_fn *fn, void *data, struct hv_port **port);
typedef void hv_port_free_op(struct hv_port *port);
typedef void hv_port_notify_op(struct hv_port *port);
typedef void hv_port_unmask_op(struct hv_port *port);

typedef int hv_serve_op(struct hv *hv, const char *endpoint, pid_t *holder);
typedef void hv_unserve_op(struct hv *hv, const char *endpoint);
typedef int hv_node_write_op(
	struct hv *hv, const char *endpoint, uint16_t reader, const char *value);
typedef int hv_node_remove_op(struct hv *hv, const char *endpoint, uint16_t reader);
typedef int hv_node_read_op(
	struct hv *hv, uint16_t owner, const char *endpoint, char *value, size_t size);
typedef int hv_watch_node_op(struct hv *hv, uint16_t owner, const char *endpoint, hv_watch_fn *fn,
	void *data, struct hv_watch **watch);
typedef void hv_watch_free_op(struct hv_watch *watch);

typedef int hv_names_op(
	struct hv *hv, const struct hv_name_set *asked, struct hv_name **names); /* NULL: all */
typedef int hv_own_name_op(struct hv *hv, char *name);
typedef int hv_watch_names_op(struct hv *hv, const struct hv_name_set *asked, hv_watch_fn *fn,
	void *data, struct hv_watch **watch);
typedef int hv_domains_op(struct hv *hv, uint16_t **domids);

struct hv_ops {
	hv_close_op *close;
	hv_fd_op *fd;
	hv_dispatch_op *dispatch;

	hv_share_op *share;
	hv_unshare_op *unshare;
	hv_map_op *map;
	hv_unmap_op *unmap;

	hv_events_new_op *events_new;
	hv_events_free_op *events_free;
	hv_events_fd_op *events_fd;
	hv_events_dispatch_op *events_dispatch;

	hv_port_alloc_op *port_alloc;
	hv_port_bind_op *port_bind;
	hv_port_free_op *port_free;
	hv_port_notify_op *port_notify;
	hv_port_unmask_op *port_unmask;

	hv_serve_op *serve;
	hv_unserve_op *unserve;
	hv_node_write_op *node_write;
	hv_node_remove_op *node_remove;
	hv_node_read_op *node_read;
	hv_watch_node_op *watch_node;
	hv_watch_free_op *watch_free;

	hv_names_op *names;
	hv_own_name_op *own_name; /* NULL: it is hv->name */
	hv_watch_names_op *watch_names;
	hv_domains_op *domains;
};

struct hv {
	const struct hv_ops *ops;
	const char *backend;
	pid_t pid;                  /* of the process that opened it; set by hv_open */
	uint16_t domid;             /* set by the implementation's open */
	bool parallel;              /* the same */
	char name[HV_NAME_MAX + 1]; /* the same, or "" */
	atomic_bool lost; /* hv_lost(); set by the implementation, in a signal handler too */
	void (*log)(void *data, int priority, const char *message);
	void *log_data;
};

struct hv_events {
	struct hv *hv;
};

struct hv_port {
	struct hv_events *events;
	uint32_t number;
	hv_port_fn *fn;
	void *data;
};

struct hv_watch {
	struct hv *hv;
	hv_watch_fn *fn;
	void *data;
	const struct hv_name_set *asked; /* of a watch of names, or NULL: all */
};

/* Allocate, fill in all of struct hv but `backend`, `log` and `log_data`, which they find set in
 * `base` and copy, so that they can log from the start. */
int hv_local_open(const struct hv_config *config, const struct hv *base, struct hv **hv);
int hv_xen_open(const struct hv_config *config, const struct hv *base, struct hv **hv);
/* /dev/xen is there, and xenstore does not refuse to answer; that it does not answer in time is
 * said in the log of `base`. */
bool hv_xen_present(const struct hv *base);

#endif
