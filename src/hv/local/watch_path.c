/* SPDX-License-Identifier: MIT */
/*
 * watch_path.c: where a watch stands.
 *
 * A watch of a node has a path below DIR: N, v1, ENDPOINT.  Its directory may not be there yet, and
 * may go and come back.  So two directories are watched with inotify: the deepest that exists, for
 * what appears in it, and its parent, for the going of that one.  (A directory that is removed
 * while anybody has it open says nothing itself before it is closed; its parent does.)  Each is
 * watched before we look for the next one in it, so nothing is missed in between.
 *
 * The path of the snapshot (watch.c) is empty: its directory is DIR.
 *
 * inotify does not see a process end.  So a watch also has the FIFOs of the processes that matter
 * to it open for reading (its lives); epoll reports the hang-up when the last writer goes, however
 * it goes.
 *
 * inotify has one watch a directory and process, whoever asked for it, so directories are shared
 * by their watch descriptor.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "fork.h"
#include "watch.h"

#define CHANGES (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)

/* Lives. */

void local_drop_liveness(struct local_liveness *liveness)
{
	HASH_DEL(liveness->watch->lives, liveness);
	/* A child of ours may have a copy of it: to close it does not take it out of the set. */
	epoll_ctl(local_watch_local(liveness->watch)->watching.changes, EPOLL_CTL_DEL, liveness->fd,
		NULL);
	close(liveness->fd);
	free(liveness);
}

void local_drop_all_liveness(struct local_watch *watch)
{
	struct local_liveness *liveness, *next;

	HASH_ITER (hh, watch->lives, liveness, next) {
		local_drop_liveness(liveness);
	}
}

struct local_liveness *local_find_liveness(struct local_watch *watch, const char *name)
{
	struct local_liveness *liveness;

	HASH_FIND_STR(watch->lives, name, liveness);
	return liveness;
}

/* Takes over `fd`. */
static int add_liveness(struct local_watch *watch, const char *name, int fd, struct timespec since)
{
	/* No events are asked for: the hang-up is always reported. */
	struct epoll_event event = {.events = 0};
	struct local_liveness *liveness = calloc(1, sizeof *liveness);
	int error;

	if (!liveness) {
		close(fd);
		return -ENOMEM;
	}
	liveness->watch = watch;
	liveness->fd = fd;
	liveness->since = since;
	strcpy(liveness->name, name); /* fits: names of ours alone come here */
	event.data.ptr = liveness;
	if (epoll_ctl(local_watch_local(watch)->watching.changes, EPOLL_CTL_ADD, fd, &event)) {
		error = -errno;
	} else {
		HASH_ADD_STR(watch->lives, name, liveness);
		error = liveness->hh.tbl ? 0 : -ENOMEM;
	}
	if (error) {
		epoll_ctl(local_watch_local(watch)->watching.changes, EPOLL_CTL_DEL, fd, NULL);
		close(fd);
		free(liveness);
	}
	return error;
}

/* The server of the node's endpoint, in its directory. */
static int look_for_server(struct local_watch *watch, int at)
{
	int fd;

	if (local_find_liveness(watch, LOCAL_ALIVE))
		return 0;
	fd = local_alive_open(at);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	return add_liveness(watch, LOCAL_ALIVE, fd, (struct timespec){0});
}

static int look_for_entry(void *data, const char *name)
{
	struct local_watch *watch = data;
	struct local_entry entry;
	struct timespec since;
	int fd;

	if (!local_entry_parse(name, &entry) || local_find_liveness(watch, name))
		return 0;
	fd = local_entry_open(local_watch_local(watch), name, &since);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	return add_liveness(watch, name, fd, since);
}

/* Directories. */

static void leave_spot(struct local_spot *spot)
{
	struct local_watching *w = &local_watch_local(spot->watch)->watching;
	struct local_watched *directory = spot->directory;

	if (!directory)
		return;
	LIST_REMOVE(spot, link);
	spot->directory = NULL;
	if (!LIST_EMPTY(&directory->spots))
		return;
	HASH_DEL(w->directories, directory);
	inotify_rm_watch(w->inotify, directory->wd); /* fails if the directory itself is gone */
	free(directory);
}

static int open_inotify(struct local *local)
{
	struct local_watching *w = &local->watching;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	int error = 0;

	if (w->inotify >= 0)
		return 0;
	w->inotify = fork_private(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
	if (w->inotify < 0)
		return -errno;
	if (epoll_ctl(w->changes, EPOLL_CTL_ADD, w->inotify, &event)) {
		error = -errno;
		fork_close(w->inotify);
		w->inotify = -1;
	}
	return error;
}

/* inotify wants a path.  This one names the directory that we have checked and opened; it takes
 * /proc. */
static int watch_directory(const struct local *local, int fd)
{
	char path[LOCAL_NAME_MAX];
	int wd;

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	wd = inotify_add_watch(local->watching.inotify, path, CHANGES | IN_ONLYDIR);
	if (wd < 0)
		return errno == ENOENT ? -ENOSYS
				       : -errno; /* no /proc: not the same as no directory */
	return wd;
}

/* Takes over `wd`.  NULL: there is no memory. */
static struct local_watched *new_directory(struct local *local, int wd)
{
	struct local_watched *directory = calloc(1, sizeof *directory);

	if (directory) {
		directory->wd = wd;
		HASH_ADD_INT(local->watching.directories, wd, directory);
	}
	if (directory && directory->hh.tbl)
		return directory;
	inotify_rm_watch(local->watching.inotify, wd);
	free(directory);
	return NULL;
}

static int take_spot(struct local_spot *spot, int fd)
{
	struct local *local = local_watch_local(spot->watch);
	struct local_watched *directory;
	int wd = watch_directory(local, fd);

	if (wd < 0)
		return wd;
	if (spot->directory && spot->directory->wd == wd)
		return 0;
	leave_spot(spot);
	HASH_FIND_INT(local->watching.directories, &wd, directory);
	if (!directory)
		directory = new_directory(local, wd);
	if (!directory)
		return -ENOMEM;
	spot->directory = directory;
	LIST_INSERT_HEAD(&directory->spots, spot, link);
	return 0;
}

/* The directory below level `level` of the path, which is open as `at`. */
static int open_next(const struct local_watch *watch, int level, int at)
{
	if (level == 0)
		return local_open_domain(local_watch_local(watch), watch->owner);
	return local_open_dir(at, watch->path[level]);
}

/*
 * Goes down the path as far as it exists, and watches the last two directories.  If that is the
 * whole path, *leaf is the deepest one, for the caller to close; else -1.
 */
static int go_down(struct local_watch *watch, int *leaf)
{
	int at = local_open_dir(local_watch_local(watch)->dir_fd, ".");
	int level = 0, error = at < 0 ? at : 0;

	while (!error) {
		int next;

		error = take_spot(&watch->spots[level], at);
		if (error || level == watch->depth)
			break;
		next = open_next(watch, level, at);
		close(at);
		at = next;
		if (at < 0) {
			error = local_absent(at) ? 0 : at;
			break;
		}
		level++;
	}
	for (int i = 0; i <= LOCAL_LEVELS; i++)
		if (i > level || i < level - 1)
			leave_spot(&watch->spots[i]);
	if (!error)
		*leaf = at < 0 ? -1 : at;
	else if (at >= 0)
		close(at);
	return error;
}

/* The same where no directory has changed: all spots are taken. */
static int go_back(const struct local_watch *watch, int *leaf)
{
	const struct local *local = local_watch_local(watch);
	int at;

	if (!watch->spots[watch->depth].directory) {
		*leaf = -1;
		return 0;
	}
	at = watch->depth ? local_open_endpoint(local, watch->owner, watch->path[LOCAL_LEVELS - 1])
			  : local_open_dir(local->dir_fd, ".");
	if (at < 0 && !local_absent(at))
		return at;
	*leaf = at < 0 ? -1 : at; /* if it is gone, inotify will say so */
	return 0;
}

int local_look(struct local_watch *watch)
{
	int error = open_inotify(local_watch_local(watch));
	int leaf;

	if (error)
		return error;
	error = watch->moved ? go_down(watch, &leaf) : go_back(watch, &leaf);
	if (error || leaf < 0)
		return error;
	error = watch->depth ? look_for_server(watch, leaf)
			     : local_each(leaf, look_for_entry, watch);
	close(leaf);
	return error;
}

void local_look_away(struct local_watch *watch)
{
	local_drop_all_liveness(watch);
	for (int i = 0; i <= LOCAL_LEVELS; i++)
		leave_spot(&watch->spots[i]);
}
