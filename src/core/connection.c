/* SPDX-License-Identifier: MIT */
#include "connection.h"

#include <errno.h>
#include <sys/epoll.h>
#include <syslog.h>

#include "name_cache.h"

static void on_store(void *data)
{
	connection_look(data);
}

static int own_name(struct sivc *sivc)
{
	int r = hv_own_name(sivc->hv, sivc->name);

	if (r < 0)
		sivc->name[0] = '\0';
	return r == -ENOENT ? 0 : r;
}

int connection_take(struct sivc *sivc, struct hv *hv)
{
	int r;

	sivc->hv = hv;
	sivc->lost = false;
	spin_allow(&sivc->spin, hv_parallel(hv) && !sivc->loop.watched);
	r = loop_add(&sivc->loop, hv_fd(hv), EPOLLIN, on_store, sivc, &sivc->hv_handle);
	return r == 0 ? own_name(sivc) : r;
}

void connection_close(struct sivc *sivc)
{
	loop_remove(&sivc->loop, sivc->hv_handle);
	name_cache_forget(sivc);
	hv_close(sivc->hv);
	sivc->hv_handle = NULL;
	sivc->hv = NULL;
}

void connection_look(struct sivc *sivc)
{
	if (!sivc->lost && sivc->hv_handle && hv_dispatch(sivc->hv) == -ESTALE &&
		!connection_lost(sivc))
		connection_renew(sivc);
}

void connection_renew(struct sivc *sivc)
{
	/* It has nothing more to say, but its descriptor may stay readable. */
	loop_remove(&sivc->loop, sivc->hv_handle);
	sivc->hv_handle = NULL;
	if (sivc->restore_again.due == 0)
		loop_defer(&sivc->loop, &sivc->restore, sivc->restore.fn);
}

bool connection_lost(struct sivc *sivc)
{
	if (!hv_lost(sivc->hv))
		return false;
	if (!sivc->lost)
		hv_log(sivc->hv, LOG_NOTICE,
			"domain %u was saved and restored: what it shared with others is gone",
			hv_domid(sivc->hv));
	sivc->lost = true;
	connection_renew(sivc);
	return true;
}
