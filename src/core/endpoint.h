/* SPDX-License-Identifier: MIT */
/*
 * endpoint.h: an endpoint's life.  It owns a receiver, a sender and permissions.
 */
#ifndef SIVC_ENDPOINT_H
#define SIVC_ENDPOINT_H

#include "acl.h"
#include "core.h"

struct inbound;
struct loan;
struct outbound;

/* Freed when its function was called, or by sivc_wait_cancel. */
struct sivc_waiter {
	struct sivc_endpoint *ep;
	struct waiters *list;
	struct inbound *in;       /* to receive: from that domain; NULL: from any */
	sivc_receive_fn *receive; /* NULL: it waits to send */
	struct loan *loan;        /* where a message to receive may be put together; may be NULL */
	sivc_ready_fn *ready;
	sivc_read_fn *read; /* until all was read; NULL: for room */
	void *data;
	struct outbound *out;       /* to send: to whom, */
	size_t length;              /* and how long a message; 0: */
	struct sivc_writer *writer; /* the next bytes of this stream */
	uint32_t target;            /* `read`: until R has read up to here, */
	uint64_t ring_nonce;        /* of this ring; */
	bool ends_due;              /* and beyond, as ends are to be sent yet */
	TAILQ_ENTRY(sivc_waiter) link;
};

TAILQ_HEAD(waiters, sivc_waiter);

/* receiver.c */
struct receiver {
	struct hv_events *events;    /* NULL: suspended */
	struct loop_fd *handle;      /* NULL: no event can wake us */
	struct inbound *inbounds;    /* hash by domid */
	TAILQ_HEAD(, inbound) ready; /* may have a message, in order of their turns */
	unsigned int asleep;         /* armed inbounds */
	unsigned int taken;          /* messages since the last look at events */
	struct waiters waiters;      /* for a message of any domain */
	unsigned int waiting;        /* all waiters, those of inbounds included */
	struct loan *loan;           /* of a caller who takes what there is, meanwhile */
	struct loop_task serve;
	struct loop_timer serve_again;
};

/* sender.c */
struct sender {
	struct hv_events *events;   /* NULL: suspended */
	struct loop_fd *handle;     /* the same */
	struct outbound *outbounds; /* hash by domid */
	struct outbound *last;      /* that was asked for last, or NULL */
	unsigned int idle;          /* outbounds that are not opened */
	unsigned int waiting;       /* outbounds at which something waits */
};

/* permissions.c */
struct permissions {
	struct acl acl;         /* what was written */
	struct hv_watch *watch; /* of names, while a rule depends on them */
	struct loop_timer timer;
	uint64_t cost;      /* ns of the last look at names */
	bool names_unknown; /* they could not be read: logged */
};

struct sivc_endpoint {
	struct sivc *sivc;
	char name[SIVC_ENDPOINT_MAX + 1]; /* in the store: that of streams has a prefix */
	bool streams;
	LIST_ENTRY(sivc_endpoint) link;
	struct permissions permissions;
	struct receiver receiver;
	struct sender sender;

	/* Written where it is counted. */
	struct endpoint_counters {
		uint64_t receive_wakeups;
		uint64_t send_wakeups;
		uint64_t breaches;
		uint64_t rings_revoked;
	} counters;

	/* From sivc_endpoint_close on.  Looked at after each callback, which may do that. */
	bool closed;
	struct loop_object object;
};

/* Around a change of the hypervisor's handles. */
void endpoint_suspend(struct sivc_endpoint *ep);
int endpoint_resume(struct sivc_endpoint *ep);

#endif
