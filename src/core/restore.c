/* SPDX-License-Identifier: MIT */
#include "restore.h"

#include <string.h>
#include <syslog.h>

#include "connection.h"
#include "container_of.h"
#include "endpoint.h"
#include "report.h"
#include "tuning.h"

static void on_restore_again(struct loop_timer *timer);

static void try_again(struct sivc *sivc)
{
	loop_timer_set(
		&sivc->loop, &sivc->restore_again, BACKOFF_MS * NSEC_PER_MSEC, on_restore_again);
}

/* False: one lacks descriptors or memory, and is suspended again. */
static bool resume_all(struct sivc *sivc)
{
	struct sivc_endpoint *ep;
	bool all = true;
	int r;

	LIST_FOREACH (ep, &sivc->endpoints, link) {
		r = endpoint_resume(ep);
		if (r == 0)
			continue;
		endpoint_suspend(ep);
		all = false;
		report(sivc, LOG_ERR, "endpoint %s did not come back: %s; trying again every %d ms",
			ep->name, strerror(-r), BACKOFF_MS);
	}
	return all;
}

static void renew(struct sivc *sivc, struct hv *hv)
{
	struct sivc_endpoint *ep;
	int r;

	LIST_FOREACH (ep, &sivc->endpoints, link)
		endpoint_suspend(ep);
	connection_close(sivc);
	r = connection_take(sivc, hv);
	if (r < 0)
		hv_log(hv, LOG_ERR, "changes of other domains will not be noticed: %s",
			strerror(-r));
	if (resume_all(sivc)) {
		hv_log(hv, LOG_NOTICE, "this is domain %u now", hv_domid(hv));
		return;
	}
	sivc->lost = true; /* nothing is used before all of it is there */
	try_again(sivc);
	connection_renew(sivc);
}

static void restore(struct sivc *sivc)
{
	struct hv *hv;

	if (hv_open(&sivc->config, &hv) < 0) /* it has said why */
		try_again(sivc);
	else
		renew(sivc, hv);
}

static void on_restore(struct loop_task *task)
{
	restore(container_of(task, struct sivc, restore));
}

static void on_restore_again(struct loop_timer *timer)
{
	restore(container_of(timer, struct sivc, restore_again));
}

void restore_init(struct sivc *sivc)
{
	sivc->restore.fn = on_restore;
}

void restore_deinit(struct sivc *sivc)
{
	loop_task_cancel(&sivc->loop, &sivc->restore);
	loop_timer_cancel(&sivc->loop, &sivc->restore_again);
}
