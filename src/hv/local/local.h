/* SPDX-License-Identifier: MIT */
/*
 * local.h: what the files of the local backend share.  The essay is in local.c.
 *
 *	local.c		open and close: the directory, our place in it, the table of functions
 *	dir.c		directories, FIFOs, locks: what is opened, and what is refused
 *	pages.c		pages: files that are mapped
 *	events.c	event channels: pairs of FIFOs
 *	store.c		serving, nodes, names, domains
 *	watch.c		being told about changes there, and about the ends of processes
 */
#ifndef SIVC_HV_LOCAL_H
#define SIVC_HV_LOCAL_H

#include <stdint.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <time.h>

#include "backend.h"

#define LOCAL_INSTANCES    256 /* processes a domain */
#define LOCAL_COUNTER      24 /* bits of a reference or port number that count; the rest: instance */
#define LOCAL_NAME_MAX     96 /* bytes of any file name of ours, with the final NUL */
#define LOCAL_LOCK         "lock"
#define LOCAL_LOCK_SUFFIX  "." LOCAL_LOCK
#define LOCAL_ENDPOINT_MAX 80 /* bytes of an endpoint's name, so that its files have one, too */

struct local_watch;

/* Watching, by watch.c alone. */
struct local_watching {
	int fd;      /* hv_fd(): an epoll set of the next two */
	int changes; /* an epoll set of the inotify descriptor and the FIFOs of live processes */
	int timer;   /* rings when a watch is to fire, or when it is time to look again */
	int inotify; /* -1 before the first watch */
	int top;     /* inotify's watch descriptor of DIR, or -1 */
	size_t top_users;
	TAILQ_HEAD(local_watches, local_watch) nodes;
	struct local_watches names;
	TAILQ_HEAD(, local_watch) pending;
	struct resident *residents; /* whose entries are watched, by entry */
	bool incomplete;            /* looking for them failed */

	/* Times are us of CLOCK_MONOTONIC. */
	uint64_t retry;     /* when to try again what failed, or 0 */
	uint64_t window;    /* when counting began ... */
	unsigned int wakes; /* ... of wake-ups by changes, ... */
	uint64_t busy;      /* ... and of the time that they took */
	bool quiet; /* enough of either: `changes` is not looked at before the window ends */
};

struct local {
	struct hv hv; /* first: the seam's pointers are ours */

	/* Our place; set by open. */
	char *dir;         /* its path, for messages */
	int dir_fd;        /* DIR */
	int domain_fd;     /* DIR/N */
	int instance_fd;   /* DIR/N/I */
	int lock_fd;       /* DIR/N/I/lock: locked while we live */
	int alive_fd;      /* DIR/N.I or DIR/N.I=NAME: has a writer while we live */
	mode_t others;     /* group's and others' bits that our files may have ... */
	gid_t group;       /* ... and the group that they are for */
	uint32_t instance; /* I */
	char entry[LOCAL_NAME_MAX];

	/* Used by one file each. */
	uint32_t next_page;                  /* pages.c */
	LIST_HEAD(, local_share) shares;     /* pages.c */
	uint32_t next_port;                  /* events.c */
	LIST_HEAD(, local_serving) servings; /* store.c */
	struct local_watching watching;      /* watch.c */

	int logged; /* the error that was logged last by local_fail_once(); 0 after a success */
	int spare;  /* a descriptor to give up when none are left and one is needed for a moment */
};

/*
 * dir.c.  All names are names in the directory `at`: no paths.  No links are followed, and no other
 * file system is entered.  Descriptors are close-on-exec.  They return a descriptor or 0, or a
 * negative errno.
 */

/* Logs what could not be done, why, and what to do about it.  Returns `r`. */
int local_fail(const struct local *local, int r, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same for what is tried again and again: logged once, until local_plenty(). */
int local_fail_once(struct local *local, int r, const char *what);
void local_plenty(struct local *local);
/* The error means that there is nothing for us there, not that something ran out here. */
bool local_absent(int r);

/* For reading or writing, or O_PATH; what is made is this user's alone.  -EXDEV: something is
 * mounted there. */
int local_open(int at, const char *name, int flags);
int local_open_dir(int at, const char *name);
int local_make_dir(const struct local *local, int at, const char *name);
/* DIR/N.  -EINVAL: somebody besides its owner could write there. */
int local_open_domain(const struct local *local, uint16_t domid);
/* DIR/N/I, of the process that made this reference or port number. */
int local_open_instance(const struct local *local, uint16_t domid, uint32_t number);
/*
 * What is open as `fd` was made in the directory `at` by its owner.  A peer could also have linked
 * a file of ours there, to make us write to it.
 */
bool local_made_here(int at, int fd);
/* A FIFO that is there.  -EINVAL: it is something else.  `access`: O_RDONLY or O_RDWR. */
int local_open_fifo(int at, const char *name, int access);
int local_make_fifo(const struct local *local, int at, const char *name, mode_t mode);
/* A FIFO that was opened for reading: somebody has it open for writing. */
bool local_fifo_alive(int fd);
/* A new regular file, open for reading and writing. */
int local_make_file(const struct local *local, int at, const char *name, mode_t mode);

/*
 * The lock `name` in the directory `at`, ours while the descriptor is open.  -EBUSY: *holder has
 * it. -ENOENT: the directory was removed.  Who holds the lock of a directory and has emptied it
 * gives it up, with the directory, by local_remove_locked().
 */
int local_lock(int at, const char *name, pid_t *holder);
void local_remove_locked(int parent, const char *name, int at);

/* Calls fn for every name in the directory, until it returns an error. */
int local_each(int at, int (*fn)(void *data, const char *name), void *data);
/* Removes every file but LOCAL_LOCK. */
void local_clear(int at);

/* pages.c */
hv_share_op local_share;
hv_unshare_op local_unshare;
hv_map_op local_map;
hv_unmap_op local_unmap;

/* events.c */
hv_events_new_op local_events_new;
hv_events_free_op local_events_free;
hv_events_fd_op local_events_fd;
hv_events_dispatch_op local_events_dispatch;
hv_port_alloc_op local_port_alloc;
hv_port_bind_op local_port_bind;
hv_port_free_op local_port_free;
hv_port_notify_op local_port_notify;
hv_port_unmask_op local_port_unmask;

/* store.c */
struct local_entry { /* of DIR: a process, "N.I", or "N.I=NAME" */
	uint16_t domid;
	uint32_t instance;
	char name[HV_NAME_MAX + 1]; /* or "" */
};

bool local_entry_parse(const char *text, struct local_entry *entry);
/* The entry's FIFO, open for reading, and since when it is there, in ns.  -ENOENT: that process is
 * gone, or it is not that domain. */
int local_entry_open(const struct local *local, const char *text, uint64_t *since);
/* Enters this process into DIR.  -EEXIST: another domain has the name. */
int local_enter(struct local *local, const char *name);
void local_remove_entries(const struct local *local, uint32_t instance); /* of our domain */
void local_sweep_endpoints(struct local *local); /* that processes which were killed have left */

/* A name that can be a file's; what an endpoint may be called is decided above the seam. */
bool local_endpoint_valid(const char *endpoint);
void local_node_name(char name[LOCAL_NAME_MAX], const char *endpoint, uint16_t reader);
void local_alive_name(char name[LOCAL_NAME_MAX], const char *endpoint);
/* The FIFO of an endpoint in DIR/N, open for reading.  -ENOENT: its server is gone. */
int local_alive_open(int at, const char *endpoint);
hv_serve_op local_serve;
hv_unserve_op local_unserve;
void local_unserve_all(struct local *local);
hv_node_write_op local_node_write;
hv_node_remove_op local_node_remove;
hv_node_read_op local_node_read;
hv_names_op local_names;
hv_domains_op local_domains;

/* watch.c */
int local_watching_init(struct local *local);
void local_watching_deinit(struct local *local);
hv_fd_op local_fd;
hv_dispatch_op local_dispatch;
hv_watch_node_op local_watch_node;
hv_watch_names_op local_watch_names;
hv_watch_free_op local_watch_free;

#endif
