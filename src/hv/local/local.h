/* SPDX-License-Identifier: MIT */
/*
 * local.h: what the files of the local backend share.  The essay is in local.c.
 *
 *	local.c		open and close: the directory, our place in it, the table of functions
 *	dir.c	directories, FIFOs, locks: what is opened, and what is refused
 *	pages.c	pages: files that are mapped
 *	events.c	event channels: pairs of FIFOs
 *	store.c	serving, nodes, names, domains
 *	watch.c	being told about changes there, and about the ends of processes
 *	watch_path.c	what a watch looks at: directories, and FIFOs of processes
 */
#ifndef SIVC_HV_LOCAL_H
#define SIVC_HV_LOCAL_H

#include <stdint.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <time.h>

#include "backend.h"

#define LOCAL_INSTANCES 256 /* processes a domain */
#define LOCAL_COUNTER   24  /* bits of a reference or port number that count; the rest: instance */
#define LOCAL_NAME_MAX  96  /* bytes of any file name of ours, with the final NUL */
#define LOCAL_LOCK      "lock"
#define LOCAL_ALIVE     "alive"
#define LOCAL_STORE     "v1" /* DIR/N/v1: what domain N publishes */

struct local_watched; /* a directory that is watched; watch.c */
struct local_watch;

/* Watching, by watch.c alone. */
struct local_watching {
	int fd;      /* hv_fd(): an epoll set of the next two */
	int changes; /* an epoll set of the inotify descriptor and the FIFOs of live processes */
	int timer;   /* rings when a watch is to fire, or when it is time to look again */
	int inotify; /* -1 before the first watch */
	struct local_watched *directories;
	struct local_watch *snapshot; /* the one that watches the names, or NULL */
	TAILQ_HEAD(local_watches, local_watch) all;
	struct local_watches subscribers; /* of the snapshot */
	TAILQ_HEAD(, local_watch) pending;
	size_t failed;   /* watches that could not be set up again ... */
	uint64_t retry;  /* ... and when to try next; ms of CLOCK_MONOTONIC */
	uint64_t window; /* when counting of wakes began; the same clock */
	unsigned int wakes;
	bool quiet; /* too many wakes: `changes` is not looked at before the window ends */
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
 * dir.c.  All names are names in the directory `at`: no paths, and no links are followed.
 * Descriptors are close-on-exec.  They return a descriptor or 0, or a negative errno.
 */

/* Logs what could not be done, why, and what to do about it.  Returns `error`. */
int local_fail(const struct local *local, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same for what is tried again and again: said once, until local_plenty(). */
int local_fail_once(struct local *local, int error, const char *what);
void local_plenty(struct local *local);
/* The error means that there is nothing for us there, not that something ran out here. */
bool local_absent(int error);

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
 * The lock of the directory `at`, ours while the descriptor is open.  -EBUSY: *holder has it.
 * -ENOENT: the directory was removed.  Who holds a lock and has emptied the directory gives it up,
 * with the directory, by local_remove_locked().
 */
int local_lock(int at, pid_t *holder);
void local_remove_locked(int parent, const char *name, int at);

/* A name that can be a file's; what an endpoint may be called is decided above the seam. */
bool local_name_valid(const char *name);
/* Calls fn for every name in the directory, until it returns an error. */
int local_each(int at, int (*fn)(void *data, const char *name), void *data);
/* Removes every file but LOCAL_LOCK. */
void local_clear(int at);

/* A decimal number without leading zeros, up to `max`.  Returns what follows it, or NULL. */
const char *local_number(const char *text, uint32_t max, uint32_t *number);

/* pages.c */
int local_share(struct hv *hv, uint16_t domid, uint32_t count, bool writable,
	const struct hv_notify *notify, void **memory, uint32_t *refs);
void local_unshare(struct hv *hv, void *memory, uint32_t count);
int local_map(struct hv *hv, uint16_t domid, uint32_t count, const uint32_t *refs, bool writable,
	const struct hv_notify *notify, void **memory);
void local_unmap(struct hv *hv, void *memory, uint32_t count);

/* events.c */
int local_events_new(struct hv *hv, struct hv_events **events);
void local_events_free(struct hv_events *events);
int local_events_fd(const struct hv_events *events);
int local_events_dispatch(struct hv_events *events);
int local_port_alloc(struct hv_events *events, uint16_t domid, hv_port_fn *fn, void *data,
	struct hv_port **port);
int local_port_bind(struct hv_events *events, uint16_t domid, uint32_t number, hv_port_fn *fn,
	void *data, struct hv_port **port);
void local_port_free(struct hv_port *port);
void local_port_notify(struct hv_port *port);
void local_port_unmask(struct hv_port *port);

/* store.c */
struct local_entry { /* of DIR: a process, "N.I", or "N.I=NAME" */
	uint16_t domid;
	uint32_t instance;
	char name[HV_NAME_MAX + 1]; /* or "" */
};

bool local_entry_parse(const char *text, struct local_entry *entry);
/* The entry's FIFO, open for reading, and since when it is there.  -ENOENT: that process is gone,
 * or it is not that domain. */
int local_entry_open(const struct local *local, const char *text, struct timespec *since);
/* Enters this process into DIR.  -EEXIST: another domain has the name. */
int local_enter(struct local *local, const char *name);
void local_remove_entries(const struct local *local, uint32_t instance); /* of our domain */
void local_sweep_endpoints(struct local *local); /* that processes which were killed have left */

/* DIR/owner/v1/endpoint, and its FIFO, open for reading.  -ENOENT of the latter: its server is
 * gone. */
int local_open_endpoint(const struct local *local, uint16_t owner, const char *endpoint);
int local_alive_open(int at);
int local_serve(struct hv *hv, const char *endpoint, pid_t *holder);
void local_unserve(struct hv *hv, const char *endpoint);
void local_unserve_all(struct local *local);
int local_node_write(struct hv *hv, const char *endpoint, uint16_t reader, const char *value);
int local_node_remove(struct hv *hv, const char *endpoint, uint16_t reader);
int local_node_read(struct hv *hv, uint16_t owner, const char *endpoint, char *value, size_t size);
int local_names(struct hv *hv, struct hv_name **names);
int local_domains(struct hv *hv, uint16_t **domids);

/* watch.c */
int local_watching_init(struct local *local);
void local_watching_deinit(struct local *local);
int local_fd(const struct hv *hv);
int local_dispatch(struct hv *hv);
int local_watch_node(struct hv *hv, uint16_t owner, const char *endpoint, hv_watch_fn *fn,
	void *data, struct hv_watch **watch);
int local_watch_names(struct hv *hv, hv_watch_fn *fn, void *data, struct hv_watch **watch);
void local_watch_free(struct hv_watch *watch);
/* Calls fn for every entry that lives, until it returns an error.  -ENODATA: no names are watched.
 */
typedef int local_snapshot_fn(void *data, const char *entry, struct timespec since);
int local_snapshot(struct local *local, local_snapshot_fn *fn, void *data);

#endif
