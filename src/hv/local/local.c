/* SPDX-License-Identifier: MIT */
/*
 * local.c: the backend for machines without Xen.  Domains are processes, and a directory is the
 * hypervisor.
 *
 *	DIR/7.0=web		an entry: process ("instance") 0 of domain 7 lives; its name is web
 *	DIR/7/			domain 7; only its owner may write here and below
 *	DIR/7/0/		instance 0
 *		lock		locked by the process while it lives; its process id
 *		R.8.ro, R.8.rw	pages from reference R on, for domain 8 to read, or to write
 *		P.8.in, P.8.out	event channel P, for domain 8
 *		ENDPOINT.lock	locked by the process that serves the endpoint; its process id
 *		ENDPOINT.alive	a FIFO that has a writer while that process lives
 *		ENDPOINT.8	the node for domain 8: a symbolic link whose text is its value
 *
 * Processes of one domain number themselves: an instance is the first whose lock is free.  It is
 * in the upper bits of every reference and port number, so that these name a file without search.
 * Who takes an instance first removes what a killed process has left there.
 *
 * There is no daemon.  What ends with a process is what the kernel ends: its locks (for those who
 * want its place) and its ends of FIFOs (for those who talk to it; a watcher is woken when the FIFO
 * is closed, which is before the locks are given up).
 *
 * Who may be a domain is what DIR's mode says: a class of users (group, others) that may read,
 * write and search it.  No other class gets any bit of what is made here, whatever umask is; what
 * is made has DIR's group.  A DIR to which all others may write must have its sticky bit, as /tmp
 * has: anybody could put a domain in the place of another's otherwise.  One that a group shares
 * should; it is not demanded, because a group may be one user (umask 002).
 *
 * What this does not do: processes of one user can do to each other what they want, and so can
 * users who share a DIR with the pages of domains that they are not.  The names of the files keep
 * honest processes honest, and find mistakes.  Walls are what a hypervisor is for.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "default_dir.h"
#include "fork.h"
#include "local.h"
#include "number.h"
#include "sigbus.h"
#include "sivc/ioctl.h"

#define DIR_TRIES 16 /* each is lost only to a process that ended in that very moment */

static void local_close(struct hv *hv);

static const struct hv_ops local_ops = {
	.close = local_close,
	.fd = local_fd,
	.dispatch = local_dispatch,
	.share = local_share,
	.unshare = local_unshare,
	.map = local_map,
	.unmap = local_unmap,
	.events_new = local_events_new,
	.events_free = local_events_free,
	.events_fd = local_events_fd,
	.events_dispatch = local_events_dispatch,
	.port_alloc = local_port_alloc,
	.port_bind = local_port_bind,
	.port_free = local_port_free,
	.port_notify = local_port_notify,
	.port_unmask = local_port_unmask,
	.serve = local_serve,
	.unserve = local_unserve,
	.node_write = local_node_write,
	.node_remove = local_node_remove,
	.node_read = local_node_read,
	.watch_node = local_watch_node,
	.watch_free = local_watch_free,
	.names = local_names,
	.watch_names = local_watch_names,
	.domains = local_domains,
};

static int check_config(const struct hv_config *config, const struct hv *base)
{
	if (config->domid < 0 || config->domid > (int)SIVC_DOMID_MAX) {
		hv_log(base, LOG_ERR,
			"backend local: it needs a domain id of 0 to %u (domid=), not %d",
			SIVC_DOMID_MAX, config->domid);
		return -EINVAL;
	}
	if (config->name && !hv_name_valid(config->name)) {
		hv_log(base, LOG_ERR,
			"backend local: \"%s\" cannot be a domain's name (name=): 1 to %d of "
			"A-Z a-z 0-9 . _ -, not digits alone, and no . or - first",
			config->name, HV_NAME_MAX);
		return -EINVAL;
	}
	if (config->dir && !config->dir[0]) {
		hv_log(base, LOG_ERR, "backend local: the directory (dir=) is empty");
		return -EINVAL;
	}
	return 0;
}

/* A slash at the end would make the system follow a link. */
static char *given_dir(const char *given)
{
	char *dir = strdup(given);
	size_t length = dir ? strlen(dir) : 0;

	while (length > 1 && dir[length - 1] == '/')
		dir[--length] = '\0';
	return dir;
}

/* The bits of a class of users, if DIR lets that class be domains. */
static mode_t class_bits(mode_t mode, mode_t class)
{
	return (mode & class) == class ? class : 0;
}

/*
 * Whose DIR it is: whoever owns it can do everything to everybody in it.  So it is ours, or
 * root's, or one that was given to us by name and that its owner has opened to others.  In one that
 * all others may write to, the sticky bit must keep them from removing what is not theirs.
 */
static int check_dir(struct local *local, bool given)
{
	struct stat st;

	if (fstat(local->dir_fd, &st))
		return local_fail(local, -errno, "cannot look at %s", local->dir);
	if ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))
		return local_fail(local, -EPERM,
			"anybody could remove what is ours from %s: give it the sticky bit "
			"(chmod +t)",
			local->dir);
	local->group = st.st_gid;
	local->others = class_bits(st.st_mode, S_IRWXG) | class_bits(st.st_mode, S_IRWXO);
	if (st.st_uid == geteuid() || st.st_uid == 0 || (given && local->others))
		return 0;
	return local_fail(local, -EPERM, "%s belongs to user %u, who has not opened it to others",
		local->dir, st.st_uid);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/* It is not DIR, nor below it: whoever looks into DIR would ask this process, and wait for it. */
static int check_mountpoint(const struct local *local, const char *mountpoint)
{
	/* Not O_DIRECTORY, which would set an automount off that waits for us. */
	int up, at = mountpoint ? open(mountpoint, O_PATH | O_CLOEXEC) : -1;
	struct stat dir, here, below = {0};
	bool inside = false;

	if (at < 0 || fstat(local->dir_fd, &dir))
		return 0; /* to mount there fails as well */
	while (at >= 0 && fstat(at, &here) == 0 && !same_file(&here, &below)) {
		inside |= same_file(&here, &dir);
		below = here;
		up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		close(at);
		at = up;
	}
	if (at >= 0)
		close(at);
	if (!inside)
		return 0;
	hv_log(&local->hv, LOG_ERR,
		"backend local: the mount point %s is in %s, which is for the domains that meet "
		"there: mount elsewhere, or choose another directory (dir=)",
		mountpoint, local->dir);
	return -EINVAL;
}

static int open_dir(struct local *local, const char *given)
{
	local->dir = given ? given_dir(given) : default_dir();
	if (!local->dir)
		return -ENOMEM;
	if (mkdir(local->dir, S_IRWXU) && errno != EEXIST)
		return local_fail(local, -errno, "cannot make the directory %s", local->dir);
	local->dir_fd =
		fork_private(open(local->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
	if (local->dir_fd < 0)
		return local_fail(local, -errno, "cannot open %s as a directory", local->dir);
	return check_dir(local, given);
}

/* -EBUSY: it is taken.  -ENOENT: a process that ended has removed a directory meanwhile. */
static int take_instance(struct local *local, uint32_t instance)
{
	char name[LOCAL_NAME_MAX];
	int lock, fd;

	snprintf(name, sizeof(name), "%" PRIu32, instance);
	fd = fork_private(local_make_dir(local, local->domain_fd, name));
	if (fd < 0)
		return fd;
	lock = local_lock(fd, LOCAL_LOCK, NULL);
	if (lock < 0) {
		fork_close(fd);
		return lock;
	}
	local->instance_fd = fd;
	local->lock_fd = lock;
	local->instance = instance;
	local_clear(fd);
	return 0;
}

static int take_domain(struct local *local)
{
	char name[LOCAL_NAME_MAX];
	int r = -EBUSY;

	snprintf(name, sizeof(name), "%u", local->hv.domid);
	local->domain_fd = fork_private(local_make_dir(local, local->dir_fd, name));
	if (local->domain_fd < 0)
		return local->domain_fd;
	for (uint32_t i = 0; r == -EBUSY && i < LOCAL_INSTANCES; i++)
		r = take_instance(local, i);
	if (r) {
		unlinkat(local->dir_fd, name, AT_REMOVEDIR); /* fails if somebody is there */
		fork_close(local->domain_fd);
		local->domain_fd = -1;
	}
	return r;
}

static int take_place(struct local *local)
{
	int r = -ENOENT;

	for (int i = 0; r == -ENOENT && i < DIR_TRIES; i++)
		r = take_domain(local);
	if (!r)
		return 0;
	if (r == -EBUSY)
		hv_log(&local->hv, LOG_ERR,
			"backend local: domain %u has %d processes in %s already; end some",
			local->hv.domid, LOCAL_INSTANCES, local->dir);
	else
		local_fail(local, r, "cannot be domain %u in %s", local->hv.domid, local->dir);
	return r;
}

static int open_place(struct local *local, const struct hv_config *config)
{
	int r = fork_init();

	if (!r)
		r = sigbus_init();
	if (r)
		return local_fail(local, r, "cannot handle SIGBUS or fork");
	r = local_watching_init(local);
	if (r)
		return local_fail(local, r, "cannot watch");
	r = open_dir(local, config->dir);
	if (!r)
		r = check_mountpoint(local, config->mountpoint);
	if (r)
		return r;
	local->spare = fcntl(local->dir_fd, F_DUPFD_CLOEXEC, 0);
	if (local->spare < 0)
		return local_fail(local, -errno, "cannot open %s", local->dir);
	r = take_place(local);
	if (r)
		return r;
	return local_enter(local, config->name);
}

int hv_local_open(const struct hv_config *config, const struct hv *base, struct hv **hv)
{
	struct local *local;
	int r = check_config(config, base);

	if (r)
		return r;
	local = calloc(1, sizeof(*local));
	if (!local)
		return -ENOMEM;
	local->hv = *base;
	local->hv.ops = &local_ops;
	if (config->name)
		strcpy(local->hv.name, config->name); /* fits: check_config() */
	local->hv.domid = (uint16_t)config->domid;
	local->hv.parallel = sysconf(_SC_NPROCESSORS_ONLN) > 1;
	local->dir_fd = local->domain_fd = local->instance_fd = local->lock_fd = -1;
	local->alive_fd = local->spare = -1;
	local->watching.fd = local->watching.changes = local->watching.timer = -1;
	local->watching.inotify = -1;
	LIST_INIT(&local->shares);
	LIST_INIT(&local->servings);
	r = open_place(local, config);
	if (r) {
		local_close(&local->hv);
		return r;
	}
	*hv = &local->hv;
	return 0;
}

/* Another instance of our domain, if nobody has its lock. */
static int sweep_instance(void *data, const char *name)
{
	struct local *local = data;
	uint64_t instance;
	int fd, lock;

	if (number_parse(name, LOCAL_INSTANCES - 1, &instance, NULL) < 0)
		return 0;
	fd = local_open_dir(local->domain_fd, name);
	if (fd < 0)
		return 0;
	lock = local_lock(fd, LOCAL_LOCK, NULL);
	if (lock >= 0) {
		local_remove_entries(local, (uint32_t)instance);
		local_clear(fd);
		local_remove_locked(local->domain_fd, name, fd);
		fork_close(lock);
	}
	close(fd);
	return 0;
}

/*
 * Everything of this process goes, and what processes of this domain that were killed have left:
 * the leaves first, so that the directories are empty.  A process of this domain that starts in
 * this very moment at worst takes another number.
 */
static void leave_place(struct local *local)
{
	char name[LOCAL_NAME_MAX];

	if (local->alive_fd >= 0)
		unlinkat(local->dir_fd, local->entry, 0);
	if (local->lock_fd < 0)
		return;
	local_clear(local->instance_fd);
	fork_close(local->lock_fd);
	local_sweep_endpoints(local);
	local_each(local->domain_fd, sweep_instance, local);
	snprintf(name, sizeof(name), "%u", local->hv.domid);
	unlinkat(local->dir_fd, name, AT_REMOVEDIR); /* fails if somebody else is there */
}

static void local_close(struct hv *hv)
{
	struct local *local = (struct local *)hv;

	local_unserve_all(local);
	leave_place(local);
	local_watching_deinit(local);
	fork_close(local->alive_fd);
	fork_close(local->instance_fd);
	fork_close(local->domain_fd);
	fork_close(local->spare);
	fork_close(local->dir_fd);
	free(local->dir);
	free(local);
}
