/* SPDX-License-Identifier: MIT */
/*
 * store.c: the store of the local backend: who lives here, and what is published for whom.
 *
 * Every process has one FIFO in DIR, its entry: "N.I", or "N.I=NAME" if it has a name.  The process
 * holds it open for writing and never looks at it; that it has a writer means that the process
 * lives, and the kernel makes it so however the process ends.  So one look through DIR gives all
 * domains and all names, and whoever watches the FIFOs is told of every end.  An entry counts only
 * if it belongs to the user whom domain N's directory belongs to.
 *
 * Serving an endpoint is holding the lock of DIR/N/v1/ENDPOINT.  In it are the nodes, one for each
 * reader, named by its domain id, and a FIFO `alive` as above.  A node is a symbolic link that
 * leads nowhere: its text is the value, which takes no page of memory, as a file would.  It is
 * read, and never followed.  Everything is made under another name in our instance's directory and
 * renamed, so that nobody sees half of it, nor an `alive` without its writer.
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
#include "sivc/ioctl.h"
#include "sivc/wire.h"

#define SCRATCH    "new" /* in the instance's directory: what is about to be renamed */
#define ALIVE_MODE 0644
#define DIR_TRIES  16 /* each is lost only to a process that ended in that very moment */

struct local_serving {
	char *endpoint;
	int dir;   /* DIR/N/v1/ENDPOINT */
	int lock;  /* its lock */
	int alive; /* its FIFO, for writing */
	LIST_ENTRY(local_serving) link;
};

/* Entries of DIR. */

bool local_entry_parse(const char *text, struct local_entry *entry)
{
	struct local_entry e = {0};
	uint32_t domid;
	const char *p = local_number(text, SIVC_DOMID_MAX, &domid);

	if (!p || *p++ != '.')
		return false;
	p = local_number(p, LOCAL_INSTANCES - 1, &e.instance);
	if (!p || (*p != '\0' && *p != '='))
		return false;
	if (*p == '=') {
		if (!hv_name_valid(p + 1))
			return false;
		strcpy(e.name, p + 1); /* fits: hv_name_valid() */
	}
	e.domid = (uint16_t)domid;
	*entry = e;
	return true;
}

/* The directory of the domain belongs to the user who made the entry. */
static bool same_owner(const struct local *local, const struct stat *entry, uint16_t domid)
{
	char name[LOCAL_NAME_MAX];
	struct stat domain;

	snprintf(name, sizeof name, "%u", domid);
	return fstatat(local->dir_fd, name, &domain, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISDIR(domain.st_mode) && domain.st_uid == entry->st_uid;
}

int local_entry_open(const struct local *local, const char *text, struct timespec *since)
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
		*since = st.st_ctim;
		return fd;
	}
	close(fd);
	return -ENOENT;
}

/* An entry, and since when: of two domains with one name, it is the older one's. */
struct resident {
	struct local_entry entry;
	struct timespec since;
};

struct residents {
	struct local *local;
	struct resident *list;
	size_t count, room;
};

static int add_resident(void *data, const char *name, struct timespec since)
{
	struct residents *all = data;
	struct resident *more;

	if (all->count == all->room) {
		all->room = all->room ? 2 * all->room : 16;
		more = reallocarray(all->list, all->room, sizeof *more);
		if (!more)
			return -ENOMEM;
		all->list = more;
	}
	all->list[all->count].since = since;
	if (local_entry_parse(name, &all->list[all->count].entry))
		all->count++;
	return 0;
}

static int look_at_entry(void *data, const char *name)
{
	struct residents *all = data;
	struct timespec since;
	int fd = local_entry_open(all->local, name, &since);

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	close(fd);
	return add_resident(all, name, since);
}

/* All that live here, in order; the caller frees all->list. */
static int find_residents(
	struct hv *hv, int (*order)(const void *, const void *), struct residents *all)
{
	struct local *local = (struct local *)hv;
	int error;

	*all = (struct residents){.local = local};
	error = local_snapshot(local, add_resident, all);
	if (error == -ENODATA)
		error = local_each(local->dir_fd, look_at_entry, all);
	if (error) {
		free(all->list);
		return local_fail_once(local, error, "cannot find out who lives");
	}
	if (all->count)
		qsort(all->list, all->count, sizeof *all->list, order);
	return 0;
}

static int by_domid(const void *a, const void *b)
{
	const struct resident *x = a, *y = b;

	return (int)x->entry.domid - (int)y->entry.domid;
}

static int by_name(const void *a, const void *b)
{
	const struct resident *x = a, *y = b;
	int order = strcmp(x->entry.name, y->entry.name);

	if (order)
		return order;
	if (x->since.tv_sec != y->since.tv_sec)
		return x->since.tv_sec < y->since.tv_sec ? -1 : 1;
	if (x->since.tv_nsec != y->since.tv_nsec)
		return x->since.tv_nsec < y->since.tv_nsec ? -1 : 1;
	return by_domid(a, b);
}

int local_names(struct hv *hv, struct hv_name **names)
{
	struct residents all;
	struct hv_name *list;
	int error = find_residents(hv, by_name, &all);
	int count = 0;

	if (error)
		return error;
	list = calloc(all.count + 1, sizeof *list); /* never of nothing: NULL is a failure */
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
	int error = find_residents(hv, by_domid, &all);
	int count = 0;

	if (error)
		return error;
	list = calloc(all.count + 1, sizeof *list);
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
		int error = -errno;

		unlinkat(local->instance_fd, SCRATCH, 0);
		fork_close(fd);
		return error;
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
	struct timespec since;
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
	int error;

	local_remove_entries(local, local->instance); /* of whoever had our place before */
	snprintf(local->entry, sizeof local->entry, "%u.%" PRIu32 "%s%s", local->hv.domid,
		local->instance, name ? "=" : "", name ? name : "");
	local->alive_fd = make_alive(local, local->dir_fd, local->entry);
	if (local->alive_fd < 0)
		return local_fail(local, local->alive_fd, "cannot enter domain %u into %s",
			local->hv.domid, local->dir);
	error = name ? local_each(local->dir_fd, look_for_rival, &rival) : 0;
	if (error == -EEXIST)
		hv_log(&local->hv, LOG_ERR,
			"backend local: domain %u has the name \"%s\" in %s; choose another name",
			rival.domid, name, local->dir);
	else if (error)
		local_fail(local, error, "cannot look for names in %s", local->dir);
	return error;
}

/* Endpoints. */

static struct local_serving *find_serving(struct local *local, const char *endpoint)
{
	struct local_serving *s;

	LIST_FOREACH (s, &local->servings, link) {
		if (strcmp(s->endpoint, endpoint) == 0)
			return s;
	}
	return NULL;
}

/* Opens and locks DIR/N/v1/ENDPOINT.  -ENOENT: a process that ended has removed it meanwhile. */
static int take_endpoint(struct local *local, struct local_serving *serving, pid_t *holder)
{
	int store = local_make_dir(local, local->domain_fd, LOCAL_STORE);

	if (store < 0)
		return store;
	serving->dir = fork_private(local_make_dir(local, store, serving->endpoint));
	close(store);
	if (serving->dir < 0)
		return serving->dir;
	serving->lock = local_lock(serving->dir, holder);
	if (serving->lock < 0) {
		fork_close(serving->dir);
		return serving->lock;
	}
	return 0;
}

/* Removes what is ours under DIR/N/v1, from the leaves up.  `alive` is closed last: its watchers
 * are woken by that, too, and find nothing. */
static void leave_endpoint(struct local *local, struct local_serving *serving)
{
	int store = local_open_dir(local->domain_fd, LOCAL_STORE);

	local_clear(serving->dir);
	if (store >= 0) {
		local_remove_locked(store, serving->endpoint, serving->dir);
		close(store);
	}
	unlinkat(local->domain_fd, LOCAL_STORE, AT_REMOVEDIR);
	fork_close(serving->dir);
	fork_close(serving->lock);
	fork_close(serving->alive);
}

static int open_serving(struct local *local, struct local_serving *serving, pid_t *holder)
{
	int error = -ENOENT;

	for (int i = 0; error == -ENOENT && i < DIR_TRIES; i++)
		error = take_endpoint(local, serving, holder);
	if (error == -EBUSY)
		return error;
	if (!error) {
		local_clear(serving->dir);
		serving->alive = make_alive(local, serving->dir, LOCAL_ALIVE);
		if (serving->alive >= 0)
			return 0;
		error = serving->alive;
		leave_endpoint(local, serving);
	}
	return local_fail(local, error, "cannot serve endpoint \"%s\" in %s/%u/%s",
		serving->endpoint, local->dir, local->hv.domid, LOCAL_STORE);
}

static void free_serving(struct local_serving *serving)
{
	if (serving)
		free(serving->endpoint);
	free(serving);
}

static struct local_serving *new_serving(const char *endpoint)
{
	struct local_serving *serving = calloc(1, sizeof *serving);

	if (!serving)
		return NULL;
	serving->dir = serving->lock = serving->alive = -1;
	serving->endpoint = strdup(endpoint);
	if (serving->endpoint)
		return serving;
	free(serving);
	return NULL;
}

int local_serve(struct hv *hv, const char *endpoint, pid_t *holder)
{
	struct local *local = (struct local *)hv;
	struct local_serving *serving;
	pid_t pid = 0;
	int error;

	if (!local_name_valid(endpoint))
		return -EINVAL;
	serving = new_serving(endpoint);
	if (!serving)
		return -ENOMEM;
	error = open_serving(local, serving, &pid);
	if (error) {
		free_serving(serving);
		if (error == -EBUSY && holder)
			*holder = pid;
		return error;
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
	free_serving(serving);
}

void local_unserve_all(struct local *local)
{
	struct local_serving *serving;

	while ((serving = LIST_FIRST(&local->servings)))
		local_unserve(&local->hv, serving->endpoint);
}

static int sweep_endpoint(void *data, const char *name)
{
	struct local *local = data;
	struct local_serving *serving;
	int at = local_open_endpoint(local, local->hv.domid, name);
	int alive;

	if (at < 0)
		return 0;
	alive = local_alive_open(at);
	close(at);
	if (alive >= 0) {
		close(alive);
		return 0;
	}
	serving = new_serving(name);
	if (serving && take_endpoint(local, serving, NULL) == 0)
		leave_endpoint(local, serving);
	free_serving(serving);
	return 0;
}

void local_sweep_endpoints(struct local *local)
{
	int store = local_open_dir(local->domain_fd, LOCAL_STORE);

	if (store < 0)
		return;
	local_each(store, sweep_endpoint, local);
	close(store);
}

/* Nodes. */

int local_node_write(struct hv *hv, const char *endpoint, uint16_t reader, const char *value)
{
	struct local *local = (struct local *)hv;
	struct local_serving *serving = find_serving(local, endpoint);
	char name[LOCAL_NAME_MAX];
	int error;

	if (!serving || !*value || strlen(value) >= SIVC_NODE_MAX)
		return -EINVAL;
	snprintf(name, sizeof name, "%u", reader);
	if (symlinkat(value, local->instance_fd, SCRATCH) ||
		renameat(local->instance_fd, SCRATCH, serving->dir, name)) {
		error = -errno;
		unlinkat(local->instance_fd, SCRATCH, 0);
		return local_fail_once(
			local, error == -EDQUOT ? -ENOSPC : error, "cannot publish a node");
	}
	local_plenty(local);
	return 0;
}

int local_node_remove(struct hv *hv, const char *endpoint, uint16_t reader)
{
	struct local *local = (struct local *)hv;
	struct local_serving *serving = find_serving(local, endpoint);
	char name[LOCAL_NAME_MAX];

	if (!serving)
		return -EINVAL;
	snprintf(name, sizeof name, "%u", reader);
	if (unlinkat(serving->dir, name, 0) && errno != ENOENT)
		return local_fail_once(local, -errno, "cannot remove a node");
	return 0;
}

int local_open_endpoint(const struct local *local, uint16_t owner, const char *endpoint)
{
	int domain, store, fd;

	if (!local_name_valid(endpoint))
		return -ENOENT;
	domain = local_open_domain(local, owner);
	if (domain < 0)
		return domain;
	store = local_open_dir(domain, LOCAL_STORE);
	close(domain);
	if (store < 0)
		return store;
	fd = local_open_dir(store, endpoint);
	close(store);
	return fd;
}

int local_alive_open(int at)
{
	int fd = local_open_fifo(at, LOCAL_ALIVE, O_RDONLY);

	if (fd < 0)
		return local_absent(fd) ? -ENOENT : fd;
	if (local_made_here(at, fd) && local_fifo_alive(fd))
		return fd;
	close(fd);
	return -ENOENT;
}

static int read_node(int at, uint16_t reader, char *value, size_t size)
{
	char name[LOCAL_NAME_MAX], text[SIVC_NODE_MAX];
	struct stat st;
	ssize_t length;
	int fd, error = 0;

	snprintf(name, sizeof name, "%u", reader);
	fd = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC); /* the link itself */
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		error = -errno;
	else if (!S_ISLNK(st.st_mode) || !local_made_here(at, fd))
		error = -ENOENT;
	length = error ? 0 : readlinkat(fd, "", text, sizeof text);
	if (length < 0)
		error = -errno;
	close(fd);
	if (error)
		return error;
	if ((size_t)length >= sizeof text || (size_t)length >= size)
		return -EMSGSIZE;
	memcpy(value, text, (size_t)length);
	value[length] = '\0';
	return 0;
}

int local_node_read(struct hv *hv, uint16_t owner, const char *endpoint, char *value, size_t size)
{
	struct local *local = (struct local *)hv;
	int at = local_open_endpoint(local, owner, endpoint);
	int error = at, alive;

	if (at >= 0) {
		alive = local_alive_open(at);
		error = alive < 0 ? alive : read_node(at, hv->domid, value, size);
		if (alive >= 0)
			close(alive);
		close(at);
	}
	if (error && local_absent(error))
		return -ENOENT;
	if (error && error != -EMSGSIZE)
		return local_fail_once(local, error, "cannot read a node");
	return error;
}
