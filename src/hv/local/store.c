/* SPDX-License-Identifier: MIT */
/*
 * store.c: the store of the local backend: who lives here, and what is published for whom.
 *
 * Every process has one FIFO in DIR, its entry: "N.I", or "N.I=NAME" if it has a name.  The process
 * holds it open for writing and never looks at it.  That it has a writer means that the process
 * lives, and the kernel makes it so however the process ends.  So one look through DIR gives all
 * domains and all names, and whoever watches the FIFOs is told of every end.  An entry counts only
 * if it belongs to the user whom domain N's directory belongs to.
 *
 * Of an endpoint that is served, DIR/N has
 *
 *	ENDPOINT.lock	locked by the process that serves it
 *	ENDPOINT.alive	a FIFO as above, of that process
 *	ENDPOINT.8	the node for domain 8
 *
 * An endpoint's name may have dots.  What follows the last one says which file it is, so that no
 * two endpoints share a name.  A node is a symbolic link that leads nowhere: its text is the value,
 * which takes no page of memory, as a file would.  It is read, and never followed.  Nodes and FIFOs
 * are made under another name in our instance's directory and renamed, so that nobody sees half of
 * one, nor an ENDPOINT.alive without its writer.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "fork.h"
#include "local.h"
#include "number.h"
#include "sivc/ioctl.h"
#include "sivc/wire.h"

#define SCRATCH    "new" /* in the instance's directory: what is about to be renamed */
#define ALIVE_MODE 0644

#define NSEC_PER_SEC UINT64_C(1000000000)

struct local_serving {
	char endpoint[LOCAL_ENDPOINT_MAX + 1];
	int lock;
	int alive; /* the FIFO, for writing */
	LIST_ENTRY(local_serving) link;
};

/* Entries of DIR. */

bool local_entry_parse(const char *text, struct local_entry *entry)
{
	uint64_t domid, instance;
	const char *p, *name = "";

	if (number_parse(text, SIVC_DOMID_MAX, &domid, &p) < 0 || *p != '.' ||
		number_parse(p + 1, LOCAL_INSTANCES - 1, &instance, &p) < 0)
		return false;
	if (*p == '=')
		name = p + 1;
	if (*p == '=' ? !hv_name_valid(name) : *p != '\0')
		return false;
	entry->domid = (uint16_t)domid;
	entry->instance = (uint32_t)instance;
	strcpy(entry->name, name); /* fits: hv_name_valid() */
	return true;
}

/* The directory of the domain belongs to the user who made the entry. */
static bool same_owner(const struct local *local, const struct stat *entry, uint16_t domid)
{
	char name[LOCAL_NAME_MAX];
	struct stat domain;
	bool same;
	int fd;

	snprintf(name, sizeof(name), "%u", domid);
	fd = local_open(local->dir_fd, name, O_PATH | O_DIRECTORY);
	if (fd < 0)
		return false;
	same = fstat(fd, &domain) == 0 && domain.st_uid == entry->st_uid;
	close(fd);
	return same;
}

int local_entry_open(const struct local *local, const char *text, uint64_t *since)
{
	struct local_entry entry;
	struct stat st;
	int fd;

	if (!local_entry_parse(text, &entry))
		return -ENOENT;
	fd = local_open_fifo(local->dir_fd, text, O_RDONLY);
	if (fd < 0)
		return local_absent(fd) ? -ENOENT : fd;
	/* One FIFO under many names would be many processes for the price of one. */
	if (local_fifo_alive(fd) && fstat(fd, &st) == 0 && st.st_nlink == 1 &&
		same_owner(local, &st, entry.domid)) {
		*since = (uint64_t)st.st_ctim.tv_sec * NSEC_PER_SEC + (uint64_t)st.st_ctim.tv_nsec;
		return fd;
	}
	close(fd);
	return -ENOENT;
}

/* A process that lives, and since when. */
struct resident {
	struct local_entry entry;
	uint64_t since; /* ns */
};

/* All that live here, or those who have one of the names that are asked for. */
struct residents {
	struct local *local;
	const struct hv_name_set *asked; /* NULL: all */
	struct resident *list;
	size_t count, room;
};

static int add_resident(void *data, const char *name)
{
	struct residents *all = data;
	struct resident resident, *more;
	int fd;

	if (!local_entry_parse(name, &resident.entry) ||
		!hv_name_set_has(all->asked, resident.entry.name))
		return 0;
	fd = local_entry_open(all->local, name, &resident.since);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	close(fd);
	if (all->count == all->room) {
		all->room = all->room ? 2 * all->room : 16;
		more = reallocarray(all->list, all->room, sizeof(*more));
		if (!more)
			return -ENOMEM;
		all->list = more;
	}
	all->list[all->count++] = resident;
	return 0;
}

static int by_domid(const void *a, const void *b)
{
	const struct resident *x = a, *y = b;

	return (int)x->entry.domid - (int)y->entry.domid;
}

/* Of two domains with one name, it is the older one's. */
static int by_name(const void *a, const void *b)
{
	const struct resident *x = a, *y = b;
	int order = strcmp(x->entry.name, y->entry.name);

	if (order)
		return order;
	if (x->since != y->since)
		return x->since < y->since ? -1 : 1;
	return by_domid(a, b);
}

/* In order; the caller frees all->list. */
static int find_residents(struct hv *hv, const struct hv_name_set *asked,
	int (*order)(const void *, const void *), struct residents *all)
{
	struct local *local = (struct local *)hv;
	int r;

	*all = (struct residents){.local = local, .asked = asked};
	r = local_each(local->dir_fd, add_resident, all);
	if (r) {
		free(all->list);
		return local_fail_once(local, r, "cannot find out who lives");
	}
	if (all->count)
		qsort(all->list, all->count, sizeof(*all->list), order);
	return 0;
}

int local_names(struct hv *hv, const struct hv_name_set *asked, struct hv_name **names)
{
	struct residents all;
	struct hv_name *list;
	int r = find_residents(hv, asked, by_name, &all), count = 0;

	if (r)
		return r;
	list = calloc(all.count + 1, sizeof(*list)); /* never of nothing: NULL is a failure */
	for (size_t i = 0; list && i < all.count; i++) {
		const struct local_entry *e = &all.list[i].entry;

		if (!e->name[0] || (count && strcmp(list[count - 1].name, e->name) == 0))
			continue;
		list[count].domid = e->domid;
		strcpy(list[count++].name, e->name);
	}
	free(all.list);
	if (!list)
		return -ENOMEM;
	if (!count) {
		free(list);
		list = NULL;
	}
	*names = list;
	return count;
}

int local_domains(struct hv *hv, uint16_t **domids)
{
	struct residents all;
	uint16_t *list;
	int r = find_residents(hv, NULL, by_domid, &all), count = 0;

	if (r)
		return r;
	list = calloc(all.count + 1, sizeof(*list));
	for (size_t i = 0; list && i < all.count; i++) {
		uint16_t domid = all.list[i].entry.domid;

		if (!count || list[count - 1] != domid)
			list[count++] = domid;
	}
	free(all.list);
	if (!list)
		return -ENOMEM;
	*domids = list; /* there is one at least: we live */
	return count;
}

/* A FIFO with us as its writer, put in place at once and over what was there. */
static int make_alive(const struct local *local, int at, const char *name)
{
	int fd;

	fork_hold();
	fd = fork_private(local_make_fifo(local, local->instance_fd, SCRATCH, ALIVE_MODE));
	fork_release();
	if (fd < 0)
		return fd;
	if (renameat(local->instance_fd, SCRATCH, at, name)) {
		int r = -errno;

		unlinkat(local->instance_fd, SCRATCH, 0);
		fork_close(fd);
		return r;
	}
	return fd;
}

struct removal {
	const struct local *local;
	uint32_t instance;
};

static int remove_entry(void *data, const char *name)
{
	const struct removal *removal = data;
	struct local_entry entry;

	if (local_entry_parse(name, &entry) && entry.domid == removal->local->hv.domid &&
		entry.instance == removal->instance)
		unlinkat(removal->local->dir_fd, name, 0);
	return 0;
}

void local_remove_entries(const struct local *local, uint32_t instance)
{
	struct removal removal = {local, instance};

	local_each(local->dir_fd, remove_entry, &removal);
}

struct rival {
	const struct local *local;
	const char *name;
	uint16_t domid;
};

static int look_for_rival(void *data, const char *name)
{
	struct rival *rival = data;
	struct local_entry entry;
	uint64_t since;
	int fd;

	if (!local_entry_parse(name, &entry) || strcmp(entry.name, rival->name) != 0 ||
		entry.domid == rival->local->hv.domid)
		return 0;
	fd = local_entry_open(rival->local, name, &since);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	close(fd);
	rival->domid = entry.domid;
	return -EEXIST;
}

/*
 * Whoever wants a name enters first and then looks for a rival.  Of two that come at the same time
 * at least one sees the other and leaves.
 */
int local_enter(struct local *local, const char *name)
{
	struct rival rival = {.local = local, .name = name};
	int r;

	local_remove_entries(local, local->instance); /* of whoever had our place before */
	snprintf(local->entry, sizeof(local->entry), "%u.%" PRIu32 "%s%s", local->hv.domid,
		local->instance, name ? "=" : "", name ? name : "");
	local->alive_fd = make_alive(local, local->dir_fd, local->entry);
	if (local->alive_fd < 0)
		return local_fail(local, local->alive_fd, "cannot enter domain %u into %s",
			local->hv.domid, local->dir);
	r = name ? local_each(local->dir_fd, look_for_rival, &rival) : 0;
	if (r == -EEXIST)
		hv_log(&local->hv, LOG_ERR,
			"backend local: domain %u has the name \"%s\" in %s; choose another name",
			rival.domid, name, local->dir);
	else if (r)
		local_fail(local, r, "cannot look for names in %s", local->dir);
	return r;
}

/* Endpoints. */

/* The name of one of its files in DIR/N: that it fits was checked by local_endpoint_valid(). */
static void file_name(char name[LOCAL_NAME_MAX], const char *endpoint, const char *suffix)
{
	snprintf(name, LOCAL_NAME_MAX, "%.*s.%s", LOCAL_ENDPOINT_MAX, endpoint, suffix);
}

void local_node_name(char name[LOCAL_NAME_MAX], const char *endpoint, uint16_t reader)
{
	snprintf(name, LOCAL_NAME_MAX, "%.*s.%u", LOCAL_ENDPOINT_MAX, endpoint, reader);
}

void local_alive_name(char name[LOCAL_NAME_MAX], const char *endpoint)
{
	file_name(name, endpoint, "alive");
}

bool local_endpoint_valid(const char *endpoint)
{
	return endpoint[0] && endpoint[0] != '.' && !strchr(endpoint, '/') &&
	       strlen(endpoint) <= LOCAL_ENDPOINT_MAX;
}

static struct local_serving *find_serving(struct local *local, const char *endpoint)
{
	struct local_serving *s;

	LIST_FOREACH (s, &local->servings, link) {
		if (strcmp(s->endpoint, endpoint) == 0)
			return s;
	}
	return NULL;
}

struct clearing {
	int at;
	const char *endpoint;
};

/* A node, or the FIFO: all but the lock. */
static int clear_file(void *data, const char *name)
{
	const struct clearing *clearing = data;
	size_t length = strlen(clearing->endpoint);
	const char *end = strrchr(name, '.');

	if (end && (size_t)(end - name) == length &&
		memcmp(name, clearing->endpoint, length) == 0 &&
		strcmp(end, LOCAL_LOCK_SUFFIX) != 0)
		unlinkat(clearing->at, name, 0);
	return 0;
}

static void clear_endpoint(struct local *local, const char *endpoint)
{
	struct clearing clearing = {local->domain_fd, endpoint};

	local_each(local->domain_fd, clear_file, &clearing);
}

static int take_endpoint(struct local *local, struct local_serving *serving, pid_t *holder)
{
	char name[LOCAL_NAME_MAX];

	file_name(name, serving->endpoint, "lock");
	serving->lock = local_lock(local->domain_fd, name, holder);
	return serving->lock < 0 ? serving->lock : 0;
}

/* `alive` is closed last: its watchers are woken by that, too, and find nothing. */
static void leave_endpoint(struct local *local, struct local_serving *serving)
{
	char name[LOCAL_NAME_MAX];

	clear_endpoint(local, serving->endpoint);
	file_name(name, serving->endpoint, "lock");
	unlinkat(local->domain_fd, name, 0);
	fork_close(serving->lock);
	fork_close(serving->alive);
}

static int open_serving(struct local *local, struct local_serving *serving, pid_t *holder)
{
	char name[LOCAL_NAME_MAX];
	int r = take_endpoint(local, serving, holder);

	if (r == -EBUSY)
		return r;
	if (!r) {
		clear_endpoint(local, serving->endpoint);
		local_alive_name(name, serving->endpoint);
		serving->alive = make_alive(local, local->domain_fd, name);
		if (serving->alive >= 0)
			return 0;
		r = serving->alive;
		leave_endpoint(local, serving);
	}
	return local_fail(local, r, "cannot serve endpoint \"%s\" in %s/%u", serving->endpoint,
		local->dir, local->hv.domid);
}

int local_serve(struct hv *hv, const char *endpoint, pid_t *holder)
{
	struct local *local = (struct local *)hv;
	struct local_serving *serving;
	pid_t pid = 0;
	int r;

	if (!local_endpoint_valid(endpoint))
		return -EINVAL;
	serving = calloc(1, sizeof(*serving));
	if (!serving)
		return -ENOMEM;
	strcpy(serving->endpoint, endpoint);
	r = open_serving(local, serving, &pid);
	if (r) {
		free(serving);
		if (r == -EBUSY && holder)
			*holder = pid;
		return r;
	}
	LIST_INSERT_HEAD(&local->servings, serving, link);
	return 0;
}

void local_unserve(struct hv *hv, const char *endpoint)
{
	struct local *local = (struct local *)hv;
	struct local_serving *serving = find_serving(local, endpoint);

	if (!serving)
		return;
	LIST_REMOVE(serving, link);
	leave_endpoint(local, serving);
	free(serving);
}

void local_unserve_all(struct local *local)
{
	struct local_serving *serving;

	while ((serving = LIST_FIRST(&local->servings)))
		local_unserve(&local->hv, serving->endpoint);
}

/* What has a lock that nobody holds. */
static int sweep_endpoint(void *data, const char *name)
{
	struct local_serving serving = {.alive = -1};
	const char *end = strrchr(name, '.');
	struct local *local = data;

	if (!end || strcmp(end, LOCAL_LOCK_SUFFIX) != 0 || end - name > LOCAL_ENDPOINT_MAX)
		return 0;
	memcpy(serving.endpoint, name, (size_t)(end - name));
	if (take_endpoint(local, &serving, NULL) == 0)
		leave_endpoint(local, &serving);
	return 0;
}

void local_sweep_endpoints(struct local *local)
{
	local_each(local->domain_fd, sweep_endpoint, local);
}

/* Nodes. */

int local_node_write(struct hv *hv, const char *endpoint, uint16_t reader, const char *value)
{
	struct local *local = (struct local *)hv;
	char name[LOCAL_NAME_MAX];
	int r;

	if (!find_serving(local, endpoint) || !*value || strlen(value) >= SIVC_NODE_MAX)
		return -EINVAL;
	local_node_name(name, endpoint, reader);
	if (symlinkat(value, local->instance_fd, SCRATCH) ||
		renameat(local->instance_fd, SCRATCH, local->domain_fd, name)) {
		r = -errno;
		unlinkat(local->instance_fd, SCRATCH, 0);
		return local_fail_once(local, r == -EDQUOT ? -ENOSPC : r, "cannot publish a node");
	}
	local_plenty(local);
	return 0;
}

int local_node_remove(struct hv *hv, const char *endpoint, uint16_t reader)
{
	struct local *local = (struct local *)hv;
	char name[LOCAL_NAME_MAX];

	if (!find_serving(local, endpoint))
		return -EINVAL;
	local_node_name(name, endpoint, reader);
	if (unlinkat(local->domain_fd, name, 0) && errno != ENOENT)
		return local_fail_once(local, -errno, "cannot remove a node");
	return 0;
}

int local_alive_open(int at, const char *endpoint)
{
	char name[LOCAL_NAME_MAX];
	int fd;

	local_alive_name(name, endpoint);
	fd = local_open_fifo(at, name, O_RDONLY);
	if (fd < 0)
		return local_absent(fd) ? -ENOENT : fd;
	if (local_made_here(at, fd) && local_fifo_alive(fd))
		return fd;
	close(fd);
	return -ENOENT;
}

static int read_link(int at, const char *name, char *value, size_t size)
{
	char text[SIVC_NODE_MAX];
	ssize_t length = -1;
	struct stat st;
	int r = 0, fd;

	fd = local_open(at, name, O_PATH); /* the link itself */
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) == 0 && S_ISLNK(st.st_mode) && local_made_here(at, fd))
		length = readlinkat(fd, "", text, sizeof(text));
	close(fd);
	if (length < 0)
		r = -ENOENT;
	else if ((size_t)length >= sizeof(text) || (size_t)length >= size)
		r = -EMSGSIZE;
	if (r)
		return r;
	memcpy(value, text, (size_t)length);
	value[length] = '\0';
	return 0;
}

static int read_node(
	const struct local *local, int at, const char *endpoint, char *value, size_t size)
{
	int alive = local_alive_open(at, endpoint);
	char name[LOCAL_NAME_MAX];

	if (alive < 0)
		return alive;
	close(alive);
	local_node_name(name, endpoint, local->hv.domid);
	return read_link(at, name, value, size);
}

int local_node_read(struct hv *hv, uint16_t owner, const char *endpoint, char *value, size_t size)
{
	struct local *local = (struct local *)hv;
	int r = -ENOENT, at;

	if (local_endpoint_valid(endpoint)) {
		r = at = local_open_domain(local, owner);
		if (at >= 0) {
			r = read_node(local, at, endpoint, value, size);
			close(at);
		}
	}
	if (r && local_absent(r))
		return -ENOENT;
	if (r && r != -EMSGSIZE)
		return local_fail_once(local, r, "cannot read a node");
	return r;
}
