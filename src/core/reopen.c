/* SPDX-License-Identifier: MIT */
/*
 * reopen.c: the hypervisor is opened again while we run.
 *
 * Either this domain was saved and restored (or migrated).  It goes on under another id.  Grants,
 * mappings, event channels and nodes are gone; our processes, our memory, and what was in our rings
 * are not.  Or the store has answered too late, and what is in it is not known; then all else is as
 * it was, and messages go on until the hypervisor is open again (the store may not answer that
 * either).
 *
 * So every endpoint gives up what it had of the hypervisor (what senders had finished is kept, to
 * be read), and publishes its table anew.  Readers go on waiting.  Those who wait to send go on
 * too, if the receiver permits the new id; else their sends fail.
 *
 * Until a restore is noticed (`stale`), what was mapped from another domain reads as zeros; then
 * nothing is done with it before the new beginning, which happens from the loop, when nobody is in
 * the middle of anything.  If something is lacking then, all of it is done again a second later;
 * meanwhile an endpoint has no event channels, and whoever comes to it waits.
 */
#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "container_of.h"
#include "core.h"

#define RETRY_MS 1000

static void on_reopen(struct loop_timer *timer);

/* False: an endpoint lacks descriptors or memory.  It is suspended again. */
static bool resume_all(struct sivc *sivc)
{
	struct sivc_endpoint *ep;
	bool whole = true;
	int r;

	LIST_FOREACH (ep, &sivc->endpoints, link) {
		r = endpoint_resume(ep);
		if (r == 0)
			continue;
		endpoint_suspend(ep);
		whole = false;
		if (!sivc->resume_failed)
			hv_log(sivc->hv, LOG_ERR,
				"endpoint %s did not come back: %s; trying again every %d ms",
				ep->name, strerror(-r), RETRY_MS);
		sivc->resume_failed = true;
	}
	if (whole)
		sivc->resume_failed = false;
	return whole;
}

/* It has nothing more to say, but its descriptor may stay readable. */
static void ignore_store(struct sivc *sivc)
{
	loop_remove(&sivc->loop, sivc->hv_handle);
	sivc->hv_handle = NULL;
}

static void renew(struct sivc *sivc, struct hv *hv)
{
	struct sivc_endpoint *ep;
	int r;

	LIST_FOREACH (ep, &sivc->endpoints, link)
		endpoint_suspend(ep);
	sivc_disconnect(sivc);
	r = sivc_connect(sivc, hv);
	sivc->stale = false;
	if (r < 0)
		hv_log(hv, LOG_ERR, "changes of other domains will not be noticed: %s",
			strerror(-r));
	if (!resume_all(sivc)) {
		sivc->stale = true;
		ignore_store(sivc);
		loop_timer_set(&sivc->loop, &sivc->reopen, RETRY_MS, on_reopen);
		return;
	}
	hv_log(hv, LOG_NOTICE, "this is domain %u now", hv_domid(hv));
}

static void on_reopen(struct loop_timer *timer)
{
	struct sivc *sivc = container_of(timer, struct sivc, reopen);
	struct hv *hv;

	if (hv_open(&sivc->config, &hv) < 0) /* it has said why */
		loop_timer_set(&sivc->loop, &sivc->reopen, RETRY_MS, on_reopen);
	else
		renew(sivc, hv);
}

void sivc_reopen_later(struct sivc *sivc)
{
	if (hv_lost(sivc->hv) && !sivc->stale) {
		hv_log(sivc->hv, LOG_NOTICE,
			"domain %u was saved and restored: what it shared with others is gone",
			hv_domid(sivc->hv));
		sivc->stale = true;
	}
	ignore_store(sivc);
	if (sivc->reopen.due == 0)
		loop_timer_set(&sivc->loop, &sivc->reopen, 0, on_reopen);
}
