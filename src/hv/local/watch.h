/* SPDX-License-Identifier: MIT */
/*
 * watch.h: a watch of the local backend, between its two files: watch.c is told of
 * changes and calls, watch_path.c finds out where a watch stands and asks to be told.
 */
#ifndef SIVC_HV_LOCAL_WATCH_H
#define SIVC_HV_LOCAL_WATCH_H

#define HASH_FUNCTION     HASH_FNV /* the default one falls through cases, which clang warns about */
#define HASH_NONFATAL_OOM 1        /* the element's hh.tbl is NULL then */
#include <uthash.h>

#include "local.h"

#define LOCAL_LEVELS 3 /* directories in the path of a node: N, v1, ENDPOINT */

/* A directory, by inotify's watch descriptor, and who is interested in it. */
struct local_watched {
	int wd;
	LIST_HEAD(, local_spot) spots;
	UT_hash_handle hh;
};

/* The interest of a watch in the directory at `level` of its path; 0 is DIR. */
struct local_spot {
	struct local_watch *watch;
	struct local_watched *directory; /* NULL: none */
	int level;
	LIST_ENTRY(local_spot) link;
};

/* A process that a watch wants to know the end of: a FIFO, open for reading. */
struct local_liveness {
	struct local_watch *watch;
	int fd;
	struct timespec since; /* of an entry */
	UT_hash_handle hh;
	char name[LOCAL_NAME_MAX]; /* the FIFO's, in the deepest directory of the path */
};

struct local_watch {
	struct hv_watch watch;

	/* What is watched; never changes. */
	bool names; /* it hangs on the snapshot and has nothing else of what follows but `pending`
		     */
	uint16_t owner;
	int depth; /* directories in the path: LOCAL_LEVELS, or 0 for the snapshot */
	char path[LOCAL_LEVELS][LOCAL_NAME_MAX];
	char node[LOCAL_NAME_MAX]; /* the name of our node */

	/* What stands now. */
	struct local_spot spots[LOCAL_LEVELS + 1];
	struct local_liveness *lives; /* by name */

	/* What is to be done. */
	bool pending; /* fires at the next dispatch ... */
	bool look;    /* ... after it has looked again, ... */
	bool moved;   /* ... at its directories, too */
	bool failed;  /* looking failed; tried again after a while */
	TAILQ_ENTRY(local_watch) pending_link;
	TAILQ_ENTRY(local_watch) link; /* of `all`, or of `subscribers` if it is one of the names */
};

static inline struct local *local_watch_local(const struct local_watch *watch)
{
	return (struct local *)watch->watch.hv;
}

/*
 * watch_path.c.  local_look: looks where things stand now, so that the next change will be noticed;
 * if `moved`, from DIR on.  An error means that changes may go unnoticed: try again.
 */
int local_look(struct local_watch *watch);
void local_look_away(struct local_watch *watch); /* as before the first local_look */

struct local_liveness *local_find_liveness(struct local_watch *watch, const char *name);
void local_drop_liveness(struct local_liveness *liveness);
void local_drop_all_liveness(struct local_watch *watch);

#endif
