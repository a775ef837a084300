/* SPDX-License-Identifier: MIT */
/*
 * fs.h: the mounted file system, and the way through its files.
 *
 *	main.c		command line -> mount -> loop -> unmount
 *	options.c	the command line
 *	daemon.c	fork, and the parent's wait for the child
 *	mounter.c	the process that mounts and unmounts, and keeps the privileges for that
 *	privilege.c	giving up the others; then landlock.c, seccomp.c
 *	rules.c		the file of acl=
 *	log.c		where messages for people go
 *	fs.c		life of a struct fs: libsivc, the FUSE session, requests, signals
 *	ops.c		the table of FUSE operations
 *	tree.c		which files there are: endpoints' directories, nodes, attributes
 *	dir.c		directories: listing them, mkdir and rmdir of endpoints
 *	file.c		open files, whatever they are; replies
 *	acl.c		the file acl
 *	text.c		the files self and stats
 *	messages.c	the files inbox, inbox.from and peers/N; then reading.c, writing.c, poll.c,
 *			held.c
 *	stream.c	the same of endpoints of streams; then stream_*.c, dying.c, exit_wait.c
 *	ioctl.c		ioctls on any of them
 *	locks.c		flock and fcntl locks on any of them
 *	account.c	the memory that each user may cause
 *
 * A handler decodes a request, calls libsivc and replies exactly once, at once or, for a read or
 * write that has to wait, later (held.c).  What is allowed to whom is decided by the kernel
 * (default_permissions, with the modes that tree.c keeps) and by libsivc.
 *
 * Functions return 0 or a count, or a negative errno; reply_error() is the one place where that
 * becomes an answer.  One thread; everything hangs on one struct fs, and what the kernel never
 * gives back (it forgets nothing at an unmount) is freed with it.
 */
#ifndef SIVCFS_FS_H
#define SIVCFS_FS_H

#define FUSE_USE_VERSION 35

#include <fuse_lowlevel.h>
#include <sivc/sivc.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "container_of.h"
#include "mounter.h"

struct account;
struct exit_wait;
struct held;
struct log;
struct options;
struct branch;

struct fs {
	/* Set by fs_new. */
	struct log *log;
	struct fuse_session *session;
	uid_t uid;
	gid_t gid;
	mode_t mode; /* of inbox, inbox.from and peers/N */
	mode_t acl_mode;
	mode_t umask;
	const char *acl; /* the file of acl=; NULL: none */

	/* Set by fs_prepare, fs_open and fs_mount, before the first request. */
	struct mounter mounter;
	char *rules; /* of the file of acl=; until they are applied */
	size_t rules_length;
	struct sivc *sivc;
	int signals; /* signalfd; -1: none */
	bool mounted;

	/* The tree: tree.c. */
	struct branch *root; /* the endpoint of the mount point */
	TAILQ_HEAD(, branch) branches;
	uint32_t branches_made;

	/* Held requests that were interrupted while a request was processed: held.c. */
	TAILQ_HEAD(, held) interrupted;
	/* Somebody who waits for a lock was: locks.c. */
	bool lock_interrupted;

	/* Processes whose end is awaited: exit_wait.c. */
	LIST_HEAD(, exit_wait) exit_waits;

	/* By user; those with nothing have none: account.c. */
	struct account *accounts;

	/* Memory that is used again and again. */
	struct fuse_buf request; /* fs.c */
	void *spare;             /* writing.c: another one's memory, or NULL */
	void *reserve;           /* fs.c: for when there is no more */
	char *scratch;           /* reading.c: FS_REQUEST_MAX bytes, or NULL */

	bool processes_hidden; /* in /proc, and the log has said so: stream.c */
	bool mode_logged; /* that a mode was changed so that others can read messages: tree.c */
	long long end_by; /* fs.c: told to end; ms of CLOCK_MONOTONIC.  0: not */
	bool done;        /* unmounted or aborted, or told twice to end */
};

/* The most bytes that one request of the kernel carries, either way. */
#define FS_REQUEST_MAX ((size_t)1024 * 1024)

/* Checks, and takes, FUSE's options; opens nothing. */
int fs_new(struct options *options, struct log *log, struct fs **fs);
/* What takes the privileges that are given up next: the mounter, and the file of first rules. */
int fs_prepare(struct fs *fs, const struct options *options);
/* libsivc, the endpoint and its first rules.  Nothing of this survives a fork. */
int fs_open(struct fs *fs, const struct options *options);
int fs_mount(struct fs *fs, const struct options *options);
/* Until it is unmounted or told to end by a signal. */
int fs_run(struct fs *fs);
/* Answers what is held, unmounts, closes the endpoints.  NULL is fine. */
void fs_free(struct fs *fs);

extern const struct fuse_lowlevel_ops fs_ops; /* ops.c */

#endif
