/* SPDX-License-Identifier: MIT */
/*
 * core.h: the two objects that everything in libsivc hangs on.
 *
 * struct sivc is a domain's connection to its hypervisor and the event loop.  An endpoint owns its
 * table (acl), one struct inbound for each domain that may have something for us, and one struct
 * outbound for each domain that a local user has asked for.
 */
#ifndef SIVC_CORE_H
#define SIVC_CORE_H

#include <sivc/sivc.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "acl.h"
#include "hv.h"
#include "loop.h"

struct sivc {
	struct hv *hv;
	struct loop loop;
	struct loop_fd *hv_handle; /* the store's descriptor; NULL: reopen.c is at it */
	bool in_store;             /* sivc_look_at_store is running */
	bool stale;                /* this domain was restored: what hv has is gone; reopen.c */
	struct loop_timer reopen;
	bool resume_failed;      /* reopen.c: said once */
	struct hv_config config; /* for opening it again; its strings are ours */
	char name[HV_NAME_MAX + 1];
	uint32_t ring;    /* bytes */
	uint32_t max_msg; /* bytes */

	/* The names of domains, as they were read last: names.c. */
	struct hv_name *names;
	int name_count;     /* or the error */
	uint64_t names_due; /* ns; when they may be read again, if that is to come */

	LIST_HEAD(, sivc_endpoint) endpoints;

	/* Looking for work before sleeping: sivc.c. */
	bool may_spin;      /* others can give us work meanwhile, and nobody polls sivc_fd() */
	bool polled;        /* somebody does */
	uint32_t spin;      /* microseconds; 0: only in the middle of a message */
	uint64_t spin_now;  /* ns; what has been worth it lately */
	unsigned int looks; /* waits in which this process may spin */
};

/*
 * A domain whose signals bring nothing wakes us at most this often in a row; then its port stays
 * masked for SPURIOUS_MS, at the end of which we look ourselves (XSA-332).
 */
#define SPURIOUS_MAX 8
#define SPURIOUS_MS  10

/*
 * So many turns in a row do those who wait have, each of them with something to do: one that was
 * served may come back.  Then all else gets its turn.
 */
#define TURNS_MAX 64

TAILQ_HEAD(waiters, sivc_waiter);

struct inbound;
struct outbound;
TAILQ_HEAD(inbounds, inbound);
TAILQ_HEAD(outbounds, outbound);

/* Written by endpoint.c unless another file is named. */
struct sivc_endpoint {
	struct sivc *sivc;
	char name[SIVC_ENDPOINT_MAX + 1];
	LIST_ENTRY(sivc_endpoint) link;

	/* The table: table.c. */
	struct acl acl;
	struct hv_watch *names_watch; /* only while a rule depends on who has which name */
	struct loop_timer names_timer;
	bool names_unknown; /* they could not be read: said once */

	/* Receiving. */
	struct hv_events *in_events;
	struct loop_fd *in_handle; /* NULL: nobody waits here, and nobody can wake us */
	struct inbound *inbounds;  /* hash by domid */
	struct inbounds ready;     /* may have a message; the first one's turn is next */
	struct inbounds lookout;   /* had nothing a moment ago, and are not asked to signal */
	unsigned int asleep;       /* have a ring, and are in neither: they signal */
	bool flowing;              /* one of those is in the middle of a message */
	struct waiters waiters;    /* for a message from anybody */
	unsigned int waiting;      /* waiters here and at the inbounds */
	unsigned int waiting_own;  /* those at the inbounds */
	struct loop_timer again;   /* serve, after giving others a turn */
	unsigned int since_events; /* messages taken since the last look at in_events */
	bool serving;              /* endpoint_serve is running */
	bool breach_untold;        /* somebody may wait for a domain that is in breach */

	/* Sending: outbound.c. */
	struct hv_events *out_events;
	struct loop_fd *out_handle;   /* NULL: nobody waits to send */
	struct outbound *outbounds;   /* hash by domid */
	struct outbound *sent_to;     /* the one that was asked for last, or NULL */
	unsigned int sending;         /* outbounds at which somebody waits */
	struct outbounds out_lookout; /* had no room a moment ago, and are not asked to signal */

	/* Since the endpoint was opened. */
	uint64_t in_wakeups;  /* in_events woke us */
	uint64_t out_wakeups; /* out_events woke us */
	uint64_t breaches;
	uint64_t rings_revoked;
};

/* Takes in what the store has to say, so that an answer is not older than the question. */
void sivc_look_at_store(struct sivc *sivc);

/* Takes over a handle of the hypervisor; gives it back. */
int sivc_connect(struct sivc *sivc, struct hv *hv);
void sivc_disconnect(struct sivc *sivc);

/* names.c: makes sivc->names as new as it has to be.  Returns how many there are, or an error. */
int names_read(struct sivc *sivc);
/* names.c: what was read of the names is of a hypervisor that is closed now. */
void names_forget(struct sivc *sivc);

/* reopen.c: hv_dispatch says -ESTALE, or hv_lost() that this domain was restored. */
void sivc_reopen_later(struct sivc *sivc);

/* Somebody's message may have come, or a waiter: gives messages to waiters, in turn.  True: one got
 * something. */
bool endpoint_serve(struct sivc_endpoint *ep);

/* As sivc_peek.  Who will wait if there is nothing, and is told by the loop of what comes, need not
 * `look` for it in the hypervisor first. */
int endpoint_peek(struct sivc_endpoint *ep, int from, struct sivc_message *message, bool look);

/* A domain has broken the protocol: those who wait for it are told, from the loop. */
void endpoint_breached(struct sivc_endpoint *ep);

/*
 * While this process spins, some of whom it waits for are on the lookout: not asked to signal, but
 * looked at all the time.
 */
bool endpoint_in_message(const struct sivc_endpoint *ep); /* one of them may be */
/* Looks at them; true: there was something to do. */
bool endpoint_look_out(struct sivc_endpoint *ep);
/* Nobody is on the lookout any more, all are asked to signal; true: there was something to do. */
bool endpoint_rest(struct sivc_endpoint *ep);

/* table.c.  A domain that was opened by number is one that `allow *` is about. */
void table_peer_opened(struct sivc_endpoint *ep);
/* Around a change of the hypervisor's handles. */
void table_suspend(struct sivc_endpoint *ep);
int table_resume(struct sivc_endpoint *ep);
void table_deinit(struct sivc_endpoint *ep);

/* endpoint.c: the same. */
void endpoint_suspend(struct sivc_endpoint *ep);
int endpoint_resume(struct sivc_endpoint *ep);

/* From the kernel's generator; never 0. */
uint64_t nonce_draw(void);

#endif
