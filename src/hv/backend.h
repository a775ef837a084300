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

struct hv_ops {
	void (*close)(struct hv *);
	int (*fd)(const struct hv *);
	int (*dispatch)(struct hv *);

	int (*share)(struct hv *, uint16_t, uint32_t, bool, const struct hv_notify *, void **,
		uint32_t *);
	void (*unshare)(struct hv *, void *, uint32_t);
	int (*map)(struct hv *, uint16_t, uint32_t, const uint32_t *, bool,
		const struct hv_notify *, void **);
	void (*unmap)(struct hv *, void *, uint32_t);

	int (*events_new)(struct hv *, struct hv_events **);
	void (*events_free)(struct hv_events *);
	int (*events_fd)(const struct hv_events *);
	int (*events_dispatch)(struct hv_events *);

	int (*port_alloc)(struct hv_events *, uint16_t, hv_port_fn *, void *, struct hv_port **);
	int (*port_bind)(
		struct hv_events *, uint16_t, uint32_t, hv_port_fn *, void *, struct hv_port **);
	void (*port_free)(struct hv_port *);
	void (*port_notify)(struct hv_port *);
	void (*port_unmask)(struct hv_port *);

	int (*serve)(struct hv *, const char *, pid_t *);
	void (*unserve)(struct hv *, const char *);
	int (*node_write)(struct hv *, const char *, uint16_t, const char *);
	int (*node_remove)(struct hv *, const char *, uint16_t);
	int (*node_read)(struct hv *, uint16_t, const char *, char *, size_t);
	int (*watch_node)(
		struct hv *, uint16_t, const char *, hv_watch_fn *, void *, struct hv_watch **);
	void (*watch_free)(struct hv_watch *);

	int (*names)(struct hv *, struct hv_name **);
	int (*lookup)(struct hv *, const char *const *, size_t, uint16_t *); /* NULL: by names */
	int (*own_name)(struct hv *, char *);                                /* NULL: by names */
	int (*watch_names)(struct hv *, const char *const *, size_t, hv_watch_fn *, void *,
		struct hv_watch **);
	int (*domains)(struct hv *, uint16_t **);
};

struct hv {
	const struct hv_ops *ops;
	const char *backend;
	pid_t pid;        /* of the process that opened it; set by hv_open */
	uint16_t domid;   /* set by the implementation's open */
	bool parallel;    /* the same */
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
};

/* Allocate, fill in all of struct hv but `backend`, `log` and `log_data`, which they find set in
 * `base` and copy, so that they can log from the start. */
int hv_local_open(const struct hv_config *config, const struct hv *base, struct hv **hv);
int hv_xen_open(const struct hv_config *config, const struct hv *base, struct hv **hv);
/* /dev/xen is there, and xenstore does not refuse to answer; that it does not answer in time is
 * said in the log of `base`. */
bool hv_xen_present(const struct hv *base);

#endif
