/* SPDX-License-Identifier: MIT */
/*
 * hv.c: the part of the seam that all hypervisors have in common.
 *
 * It chooses the implementation when a domain is opened; from then on every call goes through the
 * table of functions that the implementation brought.  What can be checked without knowing the
 * hypervisor (ranges, counts) is checked here, once, and the implementations rely on it.
 *
 * The choice is never made silently.  "auto" is xen where xenstore can be opened, or is there and
 * does not answer in time; it does not fall back from a Xen that was chosen and does not open.
 */
#include "hv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "backend.h"
#include "sivc/ioctl.h"

#define LOG_LINE_MAX 1024 /* bytes; what is longer is cut */

static bool domid_valid(uint16_t domid)
{
	return domid <= SIVC_DOMID_MAX;
}

#if SIVC_HAVE_XEN

static int open_xen(const struct hv_config *config, struct hv *base, struct hv **hv)
{
	base->backend = "xen";
	return hv_xen_open(config, base, hv);
}

static bool xen_present(const struct hv *base)
{
	if (hv_xen_present(base)) {
		hv_log(base, LOG_INFO, "backend xen: /dev/xen and xenstore are there");
		return true;
	}
	hv_log(base, LOG_INFO, "backend local: no Xen here (/dev/xen and xenstore do not answer)");
	return false;
}

#else

static int open_xen(const struct hv_config *config, struct hv *base, struct hv **hv)
{
	(void)config;
	(void)hv;
	hv_log(base, LOG_ERR,
		"backend xen: not in this build; install Xen's development libraries (libxen-dev) "
		"and build again with: meson setup -Dxen=enabled");
	return -ENOSYS;
}

static bool xen_present(const struct hv *base)
{
	hv_log(base, LOG_INFO, "backend local: this build has no xen backend");
	return false;
}

#endif

static int open_local(const struct hv_config *config, struct hv *base, struct hv **hv)
{
	base->backend = "local";
	return hv_local_open(config, base, hv);
}

static int open_backend(const struct hv_config *config, struct hv **hv)
{
	struct hv base = {.log = config->log, .log_data = config->log_data};
	const char *backend = config->backend ? config->backend : "";

	if (strcmp(backend, "xen") == 0)
		return open_xen(config, &base, hv);
	if (strcmp(backend, "local") == 0)
		return open_local(config, &base, hv);
	if (strcmp(backend, "auto") == 0) {
		if (xen_present(&base))
			return open_xen(config, &base, hv);
		return open_local(config, &base, hv);
	}
	hv_log(&base, LOG_ERR, "no such backend: \"%s\"; there are xen, local and auto", backend);
	return -EINVAL;
}

int hv_open(const struct hv_config *config, struct hv **hv)
{
	int r = open_backend(config, hv);

	if (r == 0)
		(*hv)->pid = getpid();
	return r;
}

void hv_close(struct hv *hv)
{
	if (hv && hv->pid == getpid())
		hv->ops->close(hv);
}

const char *hv_backend(const struct hv *hv)
{
	return hv->backend;
}

uint16_t hv_domid(const struct hv *hv)
{
	return hv->domid;
}

bool hv_parallel(const struct hv *hv)
{
	return hv->parallel;
}

void hv_log(const struct hv *hv, int priority, const char *format, ...)
{
	int kept = errno;
	char line[LOG_LINE_MAX];
	va_list args;

	if (!hv->log)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	hv->log(hv->log_data, priority, line);
	errno = kept;
}

static bool pages_valid(uint16_t domid, uint32_t count, const struct hv_notify *notify)
{
	return domid_valid(domid) && count >= 1 && (!notify || count == 1);
}

int hv_share(struct hv *hv, uint16_t domid, uint32_t count, bool writable,
	const struct hv_notify *notify, void **memory, uint32_t *refs)
{
	if (!pages_valid(domid, count, notify))
		return -EINVAL;
	return hv->ops->share(hv, domid, count, writable, notify, memory, refs);
}

void hv_unshare(struct hv *hv, void *memory, uint32_t count)
{
	hv->ops->unshare(hv, memory, count);
}

int hv_map(struct hv *hv, uint16_t domid, uint32_t count, const uint32_t *refs, bool writable,
	const struct hv_notify *notify, void **memory)
{
	if (!pages_valid(domid, count, notify))
		return -EINVAL;
	return hv->ops->map(hv, domid, count, refs, writable, notify, memory);
}

void hv_unmap(struct hv *hv, void *memory, uint32_t count)
{
	hv->ops->unmap(hv, memory, count);
}

int hv_events_new(struct hv *hv, struct hv_events **events)
{
	return hv->ops->events_new(hv, events);
}

void hv_events_free(struct hv_events *events)
{
	if (events)
		events->hv->ops->events_free(events);
}

int hv_events_fd(const struct hv_events *events)
{
	return events->hv->ops->events_fd(events);
}

int hv_events_dispatch(struct hv_events *events)
{
	return events->hv->ops->events_dispatch(events);
}

int hv_port_alloc(
	struct hv_events *events, uint16_t domid, hv_port_fn *fn, void *data, struct hv_port **port)
{
	if (!domid_valid(domid))
		return -EINVAL;
	return events->hv->ops->port_alloc(events, domid, fn, data, port);
}

int hv_port_bind(struct hv_events *events, uint16_t domid, uint32_t number, hv_port_fn *fn,
	void *data, struct hv_port **port)
{
	if (!domid_valid(domid))
		return -EINVAL;
	return events->hv->ops->port_bind(events, domid, number, fn, data, port);
}

void hv_port_free(struct hv_port *port)
{
	if (port)
		port->events->hv->ops->port_free(port);
}

uint32_t hv_port_number(const struct hv_port *port)
{
	return port->number;
}

void hv_port_notify(struct hv_port *port)
{
	port->events->hv->ops->port_notify(port);
}

void hv_port_unmask(struct hv_port *port)
{
	port->events->hv->ops->port_unmask(port);
}

int hv_serve(struct hv *hv, const char *endpoint, pid_t *holder)
{
	return hv->ops->serve(hv, endpoint, holder);
}

void hv_unserve(struct hv *hv, const char *endpoint)
{
	hv->ops->unserve(hv, endpoint);
}

int hv_node_write(struct hv *hv, const char *endpoint, uint16_t reader, const char *value)
{
	if (!domid_valid(reader))
		return -EINVAL;
	return hv->ops->node_write(hv, endpoint, reader, value);
}

int hv_node_remove(struct hv *hv, const char *endpoint, uint16_t reader)
{
	if (!domid_valid(reader))
		return -EINVAL;
	return hv->ops->node_remove(hv, endpoint, reader);
}

int hv_node_read(struct hv *hv, uint16_t owner, const char *endpoint, char *value, size_t size)
{
	if (!domid_valid(owner))
		return -ENOENT;
	if (size == 0)
		return -EMSGSIZE;
	return hv->ops->node_read(hv, owner, endpoint, value, size);
}

int hv_watch_node(struct hv *hv, uint16_t owner, const char *endpoint, hv_watch_fn *fn, void *data,
	struct hv_watch **watch)
{
	if (!domid_valid(owner))
		return -EINVAL;
	return hv->ops->watch_node(hv, owner, endpoint, fn, data, watch);
}

void hv_watch_free(struct hv_watch *watch)
{
	const struct hv_name_set *asked;

	if (!watch)
		return;
	asked = watch->asked;
	watch->hv->ops->watch_free(watch);
	free((void *)(uintptr_t)asked);
}

int hv_fd(const struct hv *hv)
{
	return hv->ops->fd(hv);
}

int hv_dispatch(struct hv *hv)
{
	return hv->ops->dispatch(hv);
}

bool hv_lost(const struct hv *hv)
{
	return atomic_load_explicit(&hv->lost, memory_order_relaxed);
}

bool hv_name_valid(const char *name)
{
	static const char digits[] = "0123456789";
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789._-";
	size_t length = strlen(name);

	if (length < 1 || length > HV_NAME_MAX || name[0] == '.' || name[0] == '-')
		return false;
	return strspn(name, letters) == length && strspn(name, digits) != length;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

static struct hv_name_set *name_set_new(const char *const *names, size_t count)
{
	struct hv_name_set *set = malloc(sizeof(*set) + count * sizeof(set->names[0]));

	if (!set)
		return NULL;
	set->count = count;
	for (size_t i = 0; i < count; i++)
		snprintf(set->names[i], sizeof(set->names[i]), "%s", names[i]);
	qsort(set->names, count, sizeof(set->names[0]), compare_names);
	return set;
}

bool hv_name_set_has(const struct hv_name_set *set, const char *name)
{
	return !set || bsearch(name, set->names, set->count, sizeof(set->names[0]), compare_names);
}

int hv_names(struct hv *hv, struct hv_name **names)
{
	return hv->ops->names(hv, NULL, names);
}

int hv_lookup(struct hv *hv, const char *const *names, size_t count, uint16_t *domids)
{
	struct hv_name_set *asked = name_set_new(names, count);
	struct hv_name *found = NULL;
	int n;

	if (!asked)
		return -ENOMEM;
	n = hv->ops->names(hv, asked, &found);
	free(asked);
	if (n < 0)
		return n;
	for (size_t i = 0; i < count; i++) {
		domids[i] = HV_NO_DOMAIN;
		for (int j = 0; j < n; j++)
			if (strcmp(found[j].name, names[i]) == 0)
				domids[i] = found[j].domid;
	}
	free(found);
	return 0;
}

int hv_own_name(struct hv *hv, char name[HV_NAME_MAX + 1])
{
	if (hv->ops->own_name)
		return hv->ops->own_name(hv, name);
	if (!hv->name[0])
		return -ENOENT;
	strcpy(name, hv->name);
	return 0;
}

int hv_watch_names(struct hv *hv, const char *const *names, size_t count, hv_watch_fn *fn,
	void *data, struct hv_watch **watch)
{
	struct hv_name_set *asked = names ? name_set_new(names, count) : NULL;
	int r;

	if (names && !asked)
		return -ENOMEM;
	r = hv->ops->watch_names(hv, asked, fn, data, watch);
	if (r < 0)
		free(asked);
	else
		(*watch)->asked = asked;
	return r;
}

int hv_domains(struct hv *hv, uint16_t **domids)
{
	return hv->ops->domains(hv, domids);
}
