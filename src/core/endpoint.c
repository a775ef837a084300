/* SPDX-License-Identifier: MIT */
#include "endpoint.h"

#include <errno.h>
#include <sivc/wire.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "container_of.h"
#include "permissions.h"
#include "receiver.h"
#include "sender.h"

static bool name_valid(const char *name, size_t max)
{
	size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

	return n > 0 && n <= max && name[n] == '\0';
}

static int serve(struct sivc_endpoint *ep, pid_t *holder)
{
	struct hv *hv = ep->sivc->hv;
	pid_t pid = 0;
	int r = hv_serve(hv, ep->name, &pid);

	if (r == -EBUSY) {
		hv_log(hv, LOG_ERR, "endpoint %s of domain %u is already served by process %d",
			ep->name, hv_domid(hv), (int)pid);
		if (holder)
			*holder = pid;
	}
	return r;
}

void endpoint_suspend(struct sivc_endpoint *ep)
{
	permissions_suspend(ep);
	receiver_suspend(ep);
	sender_suspend(ep);
	hv_unserve(ep->sivc->hv, ep->name);
}

static int resume(struct sivc_endpoint *ep, pid_t *holder)
{
	int r = serve(ep, holder);

	if (r == 0)
		r = receiver_resume(ep);
	if (r == 0)
		r = sender_resume(ep);
	return r == 0 ? permissions_resume(ep) : r;
}

int endpoint_resume(struct sivc_endpoint *ep)
{
	return resume(ep, NULL);
}

static int open_new(struct sivc *sivc, const char *name, bool streams, pid_t *holder,
	struct sivc_endpoint **endpoint)
{
	struct sivc_endpoint *ep;
	int r;

	LIST_FOREACH (ep, &sivc->endpoints, link)
		if (strcmp(ep->name, name) == 0)
			return -EEXIST;

	ep = calloc(1, sizeof(*ep));
	if (!ep)
		return -ENOMEM;
	ep->sivc = sivc;
	ep->streams = streams;
	strcpy(ep->name, name); /* name_valid: it fits */
	permissions_init(&ep->permissions);
	receiver_init(&ep->receiver);
	LIST_INSERT_HEAD(&sivc->endpoints, ep, link);
	r = resume(ep, holder);
	if (r < 0) {
		sivc_endpoint_close(ep);
		return r;
	}
	*endpoint = ep;
	return 0;
}

static int check_name(struct sivc *sivc, const char *name, size_t max)
{
	if (name_valid(name, max))
		return 0;
	hv_log(sivc->hv, LOG_ERR,
		"no endpoint can be named \"%s\": 1 to %zu letters, digits, '-' or '_'", name, max);
	return -EINVAL;
}

int sivc_endpoint_open(
	struct sivc *sivc, const char *name, pid_t *holder, struct sivc_endpoint **endpoint)
{
	int r = check_name(sivc, name, SIVC_ENDPOINT_MAX);

	return r < 0 ? r : open_new(sivc, name, false, holder, endpoint);
}

int sivc_stream_open(
	struct sivc *sivc, const char *name, pid_t *holder, struct sivc_endpoint **endpoint)
{
	char full[SIVC_ENDPOINT_MAX + 1] = SIVC_STREAM_PREFIX;
	int r = check_name(sivc, name, SIVC_STREAM_MAX);

	if (r < 0)
		return r;
	return open_new(sivc, strcat(full, name), true, holder, endpoint);
}

static void endpoint_free(struct loop_object *object)
{
	free(container_of(object, struct sivc_endpoint, object));
}

void sivc_endpoint_close(struct sivc_endpoint *ep)
{
	if (!ep)
		return;
	permissions_deinit(ep);
	receiver_deinit(ep);
	sender_deinit(ep);
	hv_unserve(ep->sivc->hv, ep->name);
	LIST_REMOVE(ep, link);
	ep->closed = true;
	loop_dispose(&ep->sivc->loop, &ep->object, endpoint_free);
}

const char *sivc_endpoint_name(const struct sivc_endpoint *ep)
{
	return ep->name + (ep->streams ? strlen(SIVC_STREAM_PREFIX) : 0);
}

void sivc_wait_cancel(struct sivc_waiter *waiter)
{
	if (!waiter)
		return;
	if (waiter->receive)
		receiver_wait_cancel(waiter);
	else
		sender_wait_cancel(waiter);
}
