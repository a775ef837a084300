/* SPDX-License-Identifier: MIT */
#include "fake_hv.h"

#include <errno.h>
#include <sivc/ioctl.h>
#include <sivc/wire.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <unistd.h>

#include "backend.h"

#define FIRST_REF  8u /* smaller ones are bogus */
#define NAMES_MAX  16384
#define DOMAIN_MAX 256

/* Where the hypervisor's own memory comes from: tests of allocations that fail have another. */
#ifndef FAKE_CALLOC
#define FAKE_CALLOC calloc
#endif

struct grant {
	bool used;    /* by its owner; a page that is not may still be mapped */
	bool granted; /* false: revoked, cannot be mapped any more */
	bool writable;
	uint16_t owner, peer;
	unsigned int mapped;
};

struct fake_port;

struct fake_hv {
	struct hv hv; /* first */
	bool dead;
	bool late; /* fake_late */
	int fd;    /* readable while a watch has fired */
	LIST_ENTRY(fake_hv) link;
};

struct mapping {
	struct fake_hv *hv;
	bool owner; /* it shares; otherwise it maps */
	uint8_t *memory;
	uint32_t count;
	uint32_t *refs;
	bool notify;
	uint32_t notify_offset;
	struct fake_port *notify_port;
	LIST_ENTRY(mapping) link;
};

struct fake_events {
	struct hv_events events; /* first */
	int fd;                  /* readable while a port is pending and not masked */
	unsigned int ports;
	LIST_ENTRY(fake_events) link;
};

struct fake_port {
	struct hv_port port; /* first */
	bool allocated;      /* else bound */
	uint16_t owner, peer;
	bool masked, pending;
	struct fake_port *other; /* NULL: unbound */
	TAILQ_ENTRY(fake_port) link;
};

struct node {
	uint16_t owner, reader;
	char endpoint[64];
	char value[SIVC_NODE_MAX * 4];
	bool dead; /* its owner's process has ended */
	LIST_ENTRY(node) link;
};

struct serving {
	struct fake_hv *hv;
	char endpoint[64];
	LIST_ENTRY(serving) link;
};

struct fake_watch {
	struct hv_watch watch; /* first */
	bool names;
	uint16_t owner;
	char endpoint[64];
	bool fired, due;
	TAILQ_ENTRY(fake_watch) link;
};

struct fake_control fake;

static struct {
	int memfd;
	uint8_t *all; /* every page, for the hypervisor itself */
	struct grant grants[FAKE_PAGES];
	uint32_t next_page, next_port;
	int was, restored; /* who opens as `was` is this one since; or -1 */
	LIST_HEAD(, fake_hv) hvs;
	LIST_HEAD(, mapping) mappings;
	LIST_HEAD(, fake_events) events;
	TAILQ_HEAD(, fake_port) ports;
	LIST_HEAD(, node) nodes;
	LIST_HEAD(, serving) servings;
	TAILQ_HEAD(, fake_watch) watches;
	struct hv_name names[NAMES_MAX];
	int name_count;
	bool in_before;
} world;

static bool asks_store(enum fake_call call)
{
	return call >= FAKE_SERVE && call <= FAKE_DOMAINS;
}

/* Before every call.  An error: the call fails with it. */
static int enter(const struct hv *hv, enum fake_call call)
{
	fake.calls[call]++;
	if (fake.before && (fake.nests || !world.in_before)) {
		world.in_before = !fake.nests;
		fake.before(fake.before_data, call, hv->domid);
		world.in_before = false;
	}
	if (asks_store(call) && ((const struct fake_hv *)hv)->late)
		return -EIO;
	if (!FAKE_CAN_FAIL(call) || world.in_before || fake.fail_at == 0 || --fake.fail_at > 0)
		return 0;
	fake.failed = call;
	return fake.fail_error;
}

static void *zalloc(size_t size)
{
	void *p = FAKE_CALLOC(1, size);

	if (!p)
		abort();
	return p;
}

static void set_readable(int fd, bool readable)
{
	uint64_t value = 1;

	if (readable ? write(fd, &value, sizeof(value)) < 0 : read(fd, &value, sizeof(value)) < 0)
		if (errno != EAGAIN)
			abort();
}

static bool dead(const struct hv *hv)
{
	return ((const struct fake_hv *)hv)->dead;
}

/* Pages. */

static struct grant *grant_of(uint32_t ref)
{
	return ref >= FIRST_REF && ref < FAKE_PAGES ? &world.grants[ref] : NULL;
}

void *fake_page(uint32_t ref)
{
	return grant_of(ref) ? world.all + (size_t)ref * SIVC_PAGE_SIZE : NULL;
}

static struct mapping *mapping_find(const void *memory)
{
	struct mapping *m;

	LIST_FOREACH (m, &world.mappings, link)
		if (m->memory == memory)
			return m;
	return NULL;
}

void *fake_physical(const void *p)
{
	const struct mapping *m;
	const uint8_t *byte = p;

	LIST_FOREACH (m, &world.mappings, link) {
		size_t offset = (size_t)(byte - m->memory);

		if (byte >= m->memory && offset < (size_t)m->count * SIVC_PAGE_SIZE)
			return (uint8_t *)fake_page(m->refs[offset / SIVC_PAGE_SIZE]) +
			       offset % SIVC_PAGE_SIZE;
	}
	return NULL;
}

uint32_t fake_ref(const void *memory)
{
	const struct mapping *m = mapping_find(memory);

	return m ? m->refs[0] : 0;
}

/* A run of free pages, after the last one that was given out: references are not reused soon. */
static uint32_t find_pages(uint32_t count)
{
	uint32_t run = 0, ref = world.next_page;

	for (uint32_t seen = 0; seen < 2 * FAKE_PAGES; seen++, ref++) {
		if (ref + (count - run) > FAKE_PAGES) {
			ref = FIRST_REF - 1;
			run = 0;
			continue;
		}
		run = world.grants[ref].used || world.grants[ref].mapped > 0 ? 0 : run + 1;
		if (run == count)
			return ref + 1 - count;
	}
	return 0;
}

static struct mapping *mapping_new(
	struct hv *hv, bool owner, uint32_t count, const uint32_t *refs, int protection)
{
	struct mapping *m = zalloc(sizeof(*m));
	size_t size = (size_t)count * SIVC_PAGE_SIZE;
	uint8_t *area = mmap(NULL, size + 2 * SIVC_PAGE_SIZE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (area == MAP_FAILED)
		abort();
	m->hv = (struct fake_hv *)hv;
	m->owner = owner;
	m->memory = area + SIVC_PAGE_SIZE;
	m->count = count;
	m->refs = zalloc(count * sizeof(*refs));
	memcpy(m->refs, refs, count * sizeof(*refs));
	for (uint32_t i = 0, n; i < count; i += n) {
		for (n = 1; i + n < count && refs[i + n] == refs[i] + n; n++)
			;
		if (mmap(m->memory + (size_t)i * SIVC_PAGE_SIZE, (size_t)n * SIVC_PAGE_SIZE,
			    protection, MAP_SHARED | MAP_FIXED, world.memfd,
			    (off_t)refs[i] * SIVC_PAGE_SIZE) == MAP_FAILED)
			abort();
	}
	LIST_INSERT_HEAD(&world.mappings, m, link);
	return m;
}

static void port_signal(struct fake_port *port);

static void mapping_free(struct mapping *m)
{
	if (m->notify && !m->hv->dead) {
		((uint8_t *)fake_page(m->refs[0]))[m->notify_offset] = 0;
		if (m->notify_port && m->notify_port->other)
			port_signal(m->notify_port->other);
	}
	for (uint32_t i = 0; i < m->count && !m->hv->dead; i++) {
		struct grant *grant = grant_of(m->refs[i]);

		if (m->owner)
			*grant = (struct grant){.mapped = grant->mapped};
		else
			grant->mapped--;
	}
	LIST_REMOVE(m, link);
	munmap(m->memory - SIVC_PAGE_SIZE, ((size_t)m->count + 2) * SIVC_PAGE_SIZE);
	free(m->refs);
	free(m);
}

static void set_notify(struct mapping *m, const struct hv_notify *notify)
{
	if (!notify || !fake.xen)
		return;
	m->notify = true;
	m->notify_offset = notify->offset;
	m->notify_port = (struct fake_port *)notify->port;
}

static int fake_share(struct hv *hv, uint16_t domid, uint32_t count, bool writable,
	const struct hv_notify *notify, void **memory, uint32_t *refs)
{
	uint32_t first = 0;
	struct mapping *m;
	int r = enter(hv, FAKE_SHARE);

	if (r == 0 && !dead(hv))
		first = find_pages(count);
	if (r == 0 && first == 0)
		r = -ENOSPC;
	if (r < 0)
		return r;
	world.next_page = first + count;
	for (uint32_t i = 0; i < count; i++) {
		refs[i] = first + i;
		world.grants[first + i] = (struct grant){
			.used = true,
			.granted = true,
			.writable = writable,
			.owner = hv->domid,
			.peer = domid,
		};
	}
	memset(fake_page(first), 0, (size_t)count * SIVC_PAGE_SIZE);
	m = mapping_new(hv, true, count, refs, PROT_READ | PROT_WRITE);
	set_notify(m, notify);
	*memory = m->memory;
	return 0;
}

static void fake_unshare(struct hv *hv, void *memory, uint32_t count)
{
	struct mapping *m = mapping_find(memory);

	enter(hv, FAKE_UNSHARE);
	if (!m || m->count != count || !m->owner || (void *)m->hv != (void *)hv)
		abort();
	mapping_free(m);
}

static int fake_map(struct hv *hv, uint16_t domid, uint32_t count, const uint32_t *refs,
	bool writable, const struct hv_notify *notify, void **memory)
{
	struct mapping *m;
	int r = enter(hv, FAKE_MAP);

	for (uint32_t i = 0; r == 0 && i < count; i++) {
		const struct grant *grant = grant_of(refs[i]);

		if (dead(hv) || !grant || !grant->granted || grant->owner != domid ||
			grant->peer != hv->domid || (writable && !grant->writable))
			r = -EINVAL;
	}
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < count; i++)
		grant_of(refs[i])->mapped++;
	m = mapping_new(hv, false, count, refs, writable ? PROT_READ | PROT_WRITE : PROT_READ);
	set_notify(m, notify);
	*memory = m->memory;
	return 0;
}

static void fake_unmap(struct hv *hv, void *memory, uint32_t count)
{
	struct mapping *m = mapping_find(memory);

	enter(hv, FAKE_UNMAP);
	if (!m || m->count != count || m->owner || (void *)m->hv != (void *)hv)
		abort();
	mapping_free(m);
}

/* Event channels. */

static void events_update(struct hv_events *events)
{
	const struct fake_port *port;
	bool readable = false;

	TAILQ_FOREACH (port, &world.ports, link)
		if (port->port.events == events && port->pending && !port->masked)
			readable = true;
	set_readable(((struct fake_events *)events)->fd, readable);
}

static void port_signal(struct fake_port *port)
{
	if (port->pending)
		return;
	port->pending = true;
	events_update(port->port.events);
}

static int fake_events_new(struct hv *hv, struct hv_events **events)
{
	struct fake_events *e;
	int r = enter(hv, FAKE_EVENTS);

	if (r < 0)
		return r;
	e = zalloc(sizeof(*e));
	e->events.hv = hv;
	e->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	LIST_INSERT_HEAD(&world.events, e, link);
	*events = &e->events;
	return 0;
}

static void fake_events_free(struct hv_events *events)
{
	struct fake_events *e = (struct fake_events *)events;

	if (e->ports != 0)
		abort(); /* hv.h: they must be freed before */
	LIST_REMOVE(e, link);
	close(e->fd);
	free(e);
}

static int fake_events_fd(const struct hv_events *events)
{
	return ((const struct fake_events *)events)->fd;
}

static struct fake_port *port_pending(const struct hv_events *events)
{
	struct fake_port *port;

	TAILQ_FOREACH (port, &world.ports, link)
		if (port->port.events == events && port->pending && !port->masked)
			return port;
	return NULL;
}

static int fake_events_dispatch(struct hv_events *events)
{
	struct fake_port *port;
	int n = 0;

	enter(events->hv, FAKE_EVENTS_DISPATCH);
	while (n < SIVC_HV_BATCH && (port = port_pending(events)) != NULL) {
		port->pending = false;
		port->masked = true;
		port->port.fn(port->port.data);
		n++;
	}
	events_update(events);
	return n;
}

static struct fake_port *port_new(
	struct hv_events *events, uint16_t peer, hv_port_fn *fn, void *data, struct hv_port **port)
{
	struct fake_port *p = zalloc(sizeof(*p));

	p->port.events = events;
	p->port.fn = fn;
	p->port.data = data;
	p->owner = events->hv->domid;
	p->peer = peer;
	((struct fake_events *)events)->ports++;
	TAILQ_INSERT_TAIL(&world.ports, p, link);
	*port = &p->port;
	return p;
}

static int fake_port_alloc(
	struct hv_events *events, uint16_t domid, hv_port_fn *fn, void *data, struct hv_port **port)
{
	struct fake_port *p;
	int r = enter(events->hv, FAKE_ALLOC);

	if (r < 0)
		return r;
	p = port_new(events, domid, fn, data, port);
	p->allocated = true;
	p->port.number = ++world.next_port;
	return 0;
}

static int fake_port_bind(struct hv_events *events, uint16_t domid, uint32_t number, hv_port_fn *fn,
	void *data, struct hv_port **port)
{
	struct fake_port *p, *other;
	int r = enter(events->hv, FAKE_BIND);

	if (r < 0)
		return r;
	TAILQ_FOREACH (other, &world.ports, link)
		if (other->allocated && other->port.number == number && other->owner == domid &&
			other->peer == events->hv->domid && !other->other)
			break;
	if (!other || dead(events->hv))
		return -EINVAL;
	p = port_new(events, domid, fn, data, port);
	p->port.number = ++world.next_port;
	p->other = other;
	other->other = p;
	return 0;
}

static void fake_port_free(struct hv_port *port)
{
	struct fake_port *p = (struct fake_port *)port;
	struct mapping *m;

	/* xen: the notification of a page that is still there is lost with its port. */
	LIST_FOREACH (m, &world.mappings, link)
		if (m->notify_port == p)
			m->notify_port = NULL;
	if (p->other)
		p->other->other = NULL;
	TAILQ_REMOVE(&world.ports, p, link);
	((struct fake_events *)port->events)->ports--;
	events_update(port->events);
	free(p);
}

static void fake_port_notify(struct hv_port *port)
{
	struct fake_port *p = (struct fake_port *)port;

	enter(port->events->hv, FAKE_NOTIFY);
	if (p->other && !dead(port->events->hv))
		port_signal(p->other);
}

static void fake_port_unmask(struct hv_port *port)
{
	enter(port->events->hv, FAKE_UNMASK);
	((struct fake_port *)port)->masked = false;
	events_update(port->events);
}

/* The store. */

static void watch_fire(struct fake_watch *w)
{
	w->fired = true;
	set_readable(((struct fake_hv *)w->watch.hv)->fd, true);
}

static void watches_fire(bool names, uint16_t owner, const char *endpoint)
{
	struct fake_watch *w;

	TAILQ_FOREACH (w, &world.watches, link)
		if (w->names == names &&
			(names || (w->owner == owner &&
					  (!endpoint || strcmp(w->endpoint, endpoint) == 0))))
			watch_fire(w);
}

static struct node *node_find(uint16_t owner, const char *endpoint, uint16_t reader)
{
	struct node *n;

	LIST_FOREACH (n, &world.nodes, link)
		if (n->owner == owner && n->reader == reader && strcmp(n->endpoint, endpoint) == 0)
			return n;
	return NULL;
}

void fake_node_set(uint16_t owner, const char *endpoint, uint16_t reader, const char *value)
{
	struct node *n = node_find(owner, endpoint, reader);

	if (n && !value) {
		LIST_REMOVE(n, link);
		free(n);
	} else if (value) {
		if (!n) {
			n = zalloc(sizeof(*n));
			n->owner = owner;
			n->reader = reader;
			snprintf(n->endpoint, sizeof(n->endpoint), "%s", endpoint);
			LIST_INSERT_HEAD(&world.nodes, n, link);
		}
		snprintf(n->value, sizeof(n->value), "%s", value);
		n->dead = false;
	}
	watches_fire(false, owner, endpoint);
}

static struct serving *serving_find(uint16_t domid, const char *endpoint)
{
	struct serving *s;

	LIST_FOREACH (s, &world.servings, link)
		if (s->hv->hv.domid == domid && strcmp(s->endpoint, endpoint) == 0)
			return s;
	return NULL;
}

static void nodes_remove(uint16_t owner, const char *endpoint)
{
	struct node *n, *next;

	for (n = LIST_FIRST(&world.nodes); n; n = next) {
		next = LIST_NEXT(n, link);
		if (n->owner == owner && strcmp(n->endpoint, endpoint) == 0)
			fake_node_set(owner, endpoint, n->reader, NULL);
	}
}

static int fake_serve(struct hv *hv, const char *endpoint, pid_t *holder)
{
	struct serving *s;
	int r = enter(hv, FAKE_SERVE);

	if (r == 0 && serving_find(hv->domid, endpoint)) {
		if (holder)
			*holder = getpid();
		r = -EBUSY;
	}
	if (r < 0)
		return r;
	nodes_remove(hv->domid, endpoint); /* of a process that was killed */
	s = zalloc(sizeof(*s));
	s->hv = (struct fake_hv *)hv;
	snprintf(s->endpoint, sizeof(s->endpoint), "%s", endpoint);
	LIST_INSERT_HEAD(&world.servings, s, link);
	return 0;
}

static void fake_unserve(struct hv *hv, const char *endpoint)
{
	struct serving *s = serving_find(hv->domid, endpoint);

	if (!s || (void *)s->hv != (void *)hv)
		return;
	if (!s->hv->late)
		nodes_remove(hv->domid, endpoint);
	LIST_REMOVE(s, link);
	free(s);
}

static int fake_node_write(struct hv *hv, const char *endpoint, uint16_t reader, const char *value)
{
	int r = enter(hv, FAKE_NODE_WRITE);

	if (r == 0 && !dead(hv))
		fake_node_set(hv->domid, endpoint, reader, value);
	return r;
}

static int fake_node_remove(struct hv *hv, const char *endpoint, uint16_t reader)
{
	int r = enter(hv, FAKE_NODE_REMOVE);

	if (r == 0 && !dead(hv))
		fake_node_set(hv->domid, endpoint, reader, NULL);
	return r;
}

static int fake_node_read(
	struct hv *hv, uint16_t owner, const char *endpoint, char *value, size_t size)
{
	const struct node *n;
	int r = enter(hv, FAKE_NODE_READ);

	n = node_find(owner, endpoint, hv->domid);
	if (r == 0 && (!n || n->dead || hv_lost(hv)))
		r = -ENOENT;
	if (r == 0 && strlen(n->value) >= size)
		r = -EMSGSIZE;
	if (r == 0)
		strcpy(value, n->value);
	return r;
}

static struct fake_watch *watch_new(
	struct hv *hv, hv_watch_fn *fn, void *data, struct hv_watch **watch)
{
	struct fake_watch *w = zalloc(sizeof(*w));

	w->watch.hv = hv;
	w->watch.fn = fn;
	w->watch.data = data;
	TAILQ_INSERT_TAIL(&world.watches, w, link);
	watch_fire(w);
	*watch = &w->watch;
	return w;
}

static int fake_watch_node(struct hv *hv, uint16_t owner, const char *endpoint, hv_watch_fn *fn,
	void *data, struct hv_watch **watch)
{
	struct fake_watch *w;
	int r = enter(hv, FAKE_WATCH);

	if (r < 0)
		return r;
	w = watch_new(hv, fn, data, watch);
	w->owner = owner;
	snprintf(w->endpoint, sizeof(w->endpoint), "%s", endpoint);
	return 0;
}

static int fake_watch_names(struct hv *hv, const struct hv_name_set *asked, hv_watch_fn *fn,
	void *data, struct hv_watch **watch)
{
	int r = enter(hv, FAKE_WATCH);

	(void)asked;
	if (r < 0)
		return r;
	watch_new(hv, fn, data, watch)->names = true;
	return 0;
}

static void fake_watch_free(struct hv_watch *watch)
{
	struct fake_watch *w = (struct fake_watch *)watch;

	TAILQ_REMOVE(&world.watches, w, link);
	free(w);
}

static struct fake_watch *watch_due(const struct hv *hv)
{
	struct fake_watch *w;

	TAILQ_FOREACH (w, &world.watches, link)
		if (w->watch.hv == hv && w->due)
			return w;
	return NULL;
}

/* Those that have fired until now; what fires meanwhile is for the next time. */
static int fake_dispatch(struct hv *hv)
{
	struct fake_watch *w;

	enter(hv, FAKE_STORE_DISPATCH);
	set_readable(((struct fake_hv *)hv)->fd, ((struct fake_hv *)hv)->late);
	TAILQ_FOREACH (w, &world.watches, link) {
		w->due = w->watch.hv == hv && w->fired;
		if (w->due)
			w->fired = false;
	}
	while ((w = watch_due(hv)) != NULL) {
		w->due = false;
		w->watch.fn(w->watch.data);
	}
	return hv_lost(hv) || ((struct fake_hv *)hv)->late ? -ESTALE : 0;
}

static int fake_fd(const struct hv *hv)
{
	return ((const struct fake_hv *)hv)->fd;
}

/* Names and domains. */

void fake_name_set(const char *name, int domid)
{
	int at;

	for (at = 0; at < world.name_count; at++)
		if (strcmp(world.names[at].name, name) == 0)
			break;
	if (domid >= 0 && at < NAMES_MAX) {
		snprintf(world.names[at].name, sizeof(world.names[at].name), "%s", name);
		world.names[at].domid = (uint16_t)domid;
		world.name_count += at == world.name_count;
	} else if (domid < 0 && at < world.name_count) {
		world.names[at] = world.names[--world.name_count];
	}
	watches_fire(true, 0, NULL);
}

static int fake_names(struct hv *hv, const struct hv_name_set *asked, struct hv_name **names)
{
	int r = enter(hv, FAKE_NAMES);

	(void)asked; /* all are more than is asked for */
	if (r < 0)
		return r;
	*names = NULL;
	if (world.name_count > 0) {
		*names = zalloc((size_t)world.name_count * sizeof(**names));
		memcpy(*names, world.names, (size_t)world.name_count * sizeof(**names));
	}
	return world.name_count;
}

static int fake_own_name(struct hv *hv, char *name)
{
	int r = enter(hv, FAKE_NAMES);

	for (int i = 0; r == 0 && i < world.name_count; i++) {
		if (world.names[i].domid != hv->domid)
			continue;
		strcpy(name, world.names[i].name);
		return 0;
	}
	return r < 0 ? r : -ENOENT;
}

static int fake_domains(struct hv *hv, uint16_t **domids)
{
	const struct fake_hv *other;
	int n = 0, r = enter(hv, FAKE_DOMAINS);

	if (r < 0)
		return r;
	*domids = zalloc(DOMAIN_MAX * sizeof(**domids));
	LIST_FOREACH (other, &world.hvs, link)
		if (!other->dead && n < DOMAIN_MAX)
			(*domids)[n++] = other->hv.domid;
	return n;
}

/* Life. */

static void fake_close(struct hv *hv)
{
	struct fake_hv *f = (struct fake_hv *)hv;

	LIST_REMOVE(f, link);
	watches_fire(true, 0, NULL);
	close(f->fd);
	free(f);
}

static const struct hv_ops fake_ops = {
	.close = fake_close,
	.fd = fake_fd,
	.dispatch = fake_dispatch,
	.share = fake_share,
	.unshare = fake_unshare,
	.map = fake_map,
	.unmap = fake_unmap,
	.events_new = fake_events_new,
	.events_free = fake_events_free,
	.events_fd = fake_events_fd,
	.events_dispatch = fake_events_dispatch,
	.port_alloc = fake_port_alloc,
	.port_bind = fake_port_bind,
	.port_free = fake_port_free,
	.port_notify = fake_port_notify,
	.port_unmask = fake_port_unmask,
	.serve = fake_serve,
	.unserve = fake_unserve,
	.node_write = fake_node_write,
	.node_remove = fake_node_remove,
	.node_read = fake_node_read,
	.watch_node = fake_watch_node,
	.watch_free = fake_watch_free,
	.names = fake_names,
	.own_name = fake_own_name,
	.watch_names = fake_watch_names,
	.domains = fake_domains,
};

int hv_local_open(const struct hv_config *config, const struct hv *base, struct hv **hv)
{
	struct fake_hv *f;
	int r;

	if (config->domid < 0 || config->domid > (int)SIVC_DOMID_MAX)
		return -EINVAL;
	if (!world.all)
		fake_reset();
	r = enter(&(struct hv){.domid = (uint16_t)config->domid}, FAKE_OPEN);
	if (r < 0)
		return r;
	f = zalloc(sizeof(*f));
	f->hv = *base;
	f->hv.ops = &fake_ops;
	f->hv.domid = (uint16_t)(config->domid == world.was ? world.restored : config->domid);
	f->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	LIST_INSERT_HEAD(&world.hvs, f, link);
	if (config->name)
		fake_name_set(config->name, config->domid);
	else
		watches_fire(true, 0, NULL);
	*hv = &f->hv;
	return 0;
}

/* Its memory is replaced by a copy, at the same place; that of others by zeros if it is `lost`. */
static void mapping_detach(struct mapping *m, bool lost)
{
	for (uint32_t i = 0; i < m->count; i++) {
		uint8_t *at = m->memory + (size_t)i * SIVC_PAGE_SIZE;

		if (mmap(at, SIVC_PAGE_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			abort();
		if (m->owner || !lost)
			memcpy(at, fake_page(m->refs[i]), SIVC_PAGE_SIZE);
		if (m->owner)
			world.grants[m->refs[i]] =
				(struct grant){.mapped = world.grants[m->refs[i]].mapped};
		else
			world.grants[m->refs[i]].mapped--;
	}
	if (!m->notify || lost) /* a domain that goes as a whole has no kernel that could */
		return;
	((uint8_t *)fake_page(m->refs[0]))[m->notify_offset] = 0;
	if (m->notify_port && m->notify_port->other)
		port_signal(m->notify_port->other);
}

/* Nothing of what it has is the hypervisor's any more. */
static void detach(struct hv *hv, bool lost)
{
	struct fake_hv *f = (struct fake_hv *)hv;
	struct serving *s, *next;
	struct fake_port *p;
	struct mapping *m;

	LIST_FOREACH (m, &world.mappings, link)
		if (m->hv == f)
			mapping_detach(m, lost);
	TAILQ_FOREACH (p, &world.ports, link) {
		if (p->port.events->hv != hv)
			continue;
		if (p->other)
			p->other->other = NULL;
		p->other = NULL;
		p->allocated = false;
	}
	for (s = LIST_FIRST(&world.servings); s; s = next) {
		next = LIST_NEXT(s, link);
		if (s->hv != f)
			continue;
		LIST_REMOVE(s, link);
		free(s);
	}
	f->dead = true;
}

void fake_kill(struct hv *hv)
{
	struct node *n;

	detach(hv, false);
	if (fake.xen)
		return;
	LIST_FOREACH (n, &world.nodes, link)
		n->dead = n->dead || n->owner == hv->domid;
	watches_fire(false, hv->domid, NULL);
	watches_fire(true, 0, NULL);
}

void fake_restore(struct hv *hv, uint16_t domid)
{
	struct fake_watch *w;
	struct node *n;

	detach(hv, true);
	LIST_FOREACH (n, &world.nodes, link)
		n->dead = n->dead || n->owner == hv->domid;
	watches_fire(false, hv->domid, NULL);
	hv->lost = true;
	if (hv->domid != world.restored)
		world.was = hv->domid;
	world.restored = domid;
	TAILQ_FOREACH (w, &world.watches, link) /* the kernel sets them again */
		if (w->watch.hv == hv)
			watch_fire(w);
}

void fake_late(struct hv *hv)
{
	struct fake_hv *f = (struct fake_hv *)hv;

	f->late = true;
	set_readable(f->fd, true);
}

unsigned int fake_leaks(void)
{
	const struct fake_events *e;
	const struct fake_watch *w;
	const struct fake_port *p;
	const struct fake_hv *hv;
	const struct mapping *m;
	const struct serving *s;
	const struct node *n;
	unsigned int leaks = 0;

	LIST_FOREACH (hv, &world.hvs, link)
		leaks++;
	LIST_FOREACH (m, &world.mappings, link)
		leaks++;
	LIST_FOREACH (e, &world.events, link)
		leaks++;
	TAILQ_FOREACH (p, &world.ports, link)
		leaks++;
	LIST_FOREACH (n, &world.nodes, link)
		leaks += !n->dead;
	LIST_FOREACH (s, &world.servings, link)
		leaks++;
	TAILQ_FOREACH (w, &world.watches, link)
		leaks++;
	for (uint32_t i = 0; i < FAKE_PAGES; i++)
		leaks += world.grants[i].used || world.grants[i].mapped > 0;
	return leaks;
}

static void forget_all(void)
{
	struct fake_events *e;
	struct fake_watch *w;
	struct fake_port *p;
	struct fake_hv *hv;
	struct mapping *m;
	struct serving *s;
	struct node *n;

	while ((m = LIST_FIRST(&world.mappings)) != NULL) {
		m->notify = false;
		mapping_free(m);
	}
	while ((p = TAILQ_FIRST(&world.ports)) != NULL) {
		TAILQ_REMOVE(&world.ports, p, link);
		free(p);
	}
	while ((w = TAILQ_FIRST(&world.watches)) != NULL) {
		TAILQ_REMOVE(&world.watches, w, link);
		free(w);
	}
	while ((e = LIST_FIRST(&world.events)) != NULL) {
		LIST_REMOVE(e, link);
		close(e->fd);
		free(e);
	}
	while ((n = LIST_FIRST(&world.nodes)) != NULL) {
		LIST_REMOVE(n, link);
		free(n);
	}
	while ((s = LIST_FIRST(&world.servings)) != NULL) {
		LIST_REMOVE(s, link);
		free(s);
	}
	while ((hv = LIST_FIRST(&world.hvs)) != NULL) {
		LIST_REMOVE(hv, link);
		close(hv->fd);
		free(hv);
	}
}

static void world_start(void)
{
	size_t size = (size_t)FAKE_PAGES * SIVC_PAGE_SIZE;

	world.memfd = memfd_create("fake", MFD_CLOEXEC);
	if (world.memfd < 0 || ftruncate(world.memfd, (off_t)size) < 0)
		abort();
	world.all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, world.memfd, 0);
	if (world.all == MAP_FAILED)
		abort();
	TAILQ_INIT(&world.ports);
	TAILQ_INIT(&world.watches);
}

void fake_reset(void)
{
	if (!world.all)
		world_start();
	forget_all();
	memset(world.grants, 0, sizeof(world.grants));
	world.next_page = FIRST_REF;
	world.next_port = 0;
	world.was = world.restored = -1;
	world.name_count = 0;
	fake = (struct fake_control){.failed = FAKE_CALLS};
}
