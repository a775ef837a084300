/* SPDX-License-Identifier: MIT */
/*
 * floorfs.c: what FUSE itself costs, with nothing behind it: two file systems to measure against.
 *
 *	floorfs null MOUNTPOINT   a write is thrown away, a read is made up: the file "null"
 *	floorfs relay MOUNTPOINT  a write to "a" answers the blocked read of "b", and so back
 *
 * The relay is the shortest way that two programs can talk through files: one process, no ring, no
 * wake-up but FUSE's own.  Each file holds one message that nobody has read yet; the writer of a
 * second one waits.
 *
 * Both mount and open as sivcfs does: default_permissions, direct_io, without a position.
 * Requests are taken as sivcfs takes them, from an epoll loop with one thread; with --block by
 * libfuse's own loop, which blocks in read(2) and needs one system call less a request.
 *
 * They serve the benchmark and nobody else: interrupts are ignored, so a program that is killed in
 * a blocked read of the relay ends when the relay does.
 */
#define FUSE_USE_VERSION 35
#include <errno.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define FLOOR_MSG_MAX (1024 * 1024)
#define FLOOR_FILES   2

/* What was written to one file, on its way to the reader of the other. */
struct lane {
	/* The reader that waits, if any.  Then nothing is held. */
	fuse_req_t reader;
	size_t reader_size;
	/* The message that waits, if any: its writer has its answer already. */
	size_t held;
	char *held_bytes;
	/* The writer that waits until `held` was read, if any. */
	fuse_req_t writer;
	size_t next;
	char *next_bytes;
};

struct floorfs {
	bool relay;
	struct lane lanes[FLOOR_FILES]; /* [i]: written to file i */
	char *made_up;                  /* what a read of null returns */
};

static const char *const relay_names[FLOOR_FILES] = {"a", "b"};

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static const char *file_name(const struct floorfs *fs, size_t index)
{
	if (fs->relay)
		return relay_names[index];
	return index == 0 ? "null" : NULL;
}

static size_t file_index(fuse_ino_t ino)
{
	return (size_t)(ino - FUSE_ROOT_ID - 1);
}

static void fill_stat(fuse_ino_t ino, struct stat *st)
{
	memset(st, 0, sizeof *st);
	st->st_ino = ino;
	st->st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0600;
	st->st_nlink = 1;
	st->st_uid = getuid();
	st->st_gid = getgid();
}

static void floor_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct floorfs *fs = fuse_req_userdata(req);
	struct fuse_entry_param entry = {0};

	(void)parent;
	for (size_t i = 0; i < FLOOR_FILES && file_name(fs, i); i++) {
		if (strcmp(name, file_name(fs, i)) != 0)
			continue;
		entry.ino = FUSE_ROOT_ID + 1 + i;
		fill_stat(entry.ino, &entry.attr);
		fuse_reply_entry(req, &entry);
		return;
	}
	fuse_reply_err(req, ENOENT);
}

static void floor_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	fill_stat(ino, &st);
	fuse_reply_attr(req, &st, 0);
}

static void floor_setattr(
	fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	(void)attr;
	(void)to_set;
	floor_getattr(req, ino, fi);
}

/* struct fuse_file_info of libfuse 3.14 cannot say FOPEN_STREAM, so the reply is written by hand.
 */
static void floor_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct fuse_open_out out = {
		.open_flags = FOPEN_DIRECT_IO | FOPEN_STREAM | FOPEN_NONSEEKABLE | FOPEN_NOFLUSH,
	};

	(void)ino;
	(void)fi;
	fuse_reply_buf(req, (const char *)&out, sizeof out);
}

/* Answers the reader first: it is what the other side waits for. */
static void lane_write(struct lane *lane, fuse_req_t req, const char *bytes, size_t size)
{
	if (lane->reader) {
		fuse_req_t reader = lane->reader;

		lane->reader = NULL;
		fuse_reply_buf(reader, bytes, smaller(size, lane->reader_size));
	} else if (!lane->held) {
		memcpy(lane->held_bytes, bytes, size);
		lane->held = size;
	} else if (!lane->writer) {
		memcpy(lane->next_bytes, bytes, size);
		lane->next = size;
		lane->writer = req;
		return;
	} else {
		fuse_reply_err(req, EBUSY);
		return;
	}
	fuse_reply_write(req, size);
}

static void lane_read(struct lane *lane, fuse_req_t req, size_t size)
{
	char *swap = lane->held_bytes;

	if (!lane->held && lane->reader) {
		fuse_reply_err(req, EBUSY);
		return;
	}
	if (!lane->held) {
		lane->reader = req;
		lane->reader_size = size;
		return;
	}
	fuse_reply_buf(req, lane->held_bytes, smaller(lane->held, size));
	lane->held = 0;
	if (!lane->writer)
		return;
	fuse_reply_write(lane->writer, lane->next);
	lane->writer = NULL;
	lane->held = lane->next;
	lane->held_bytes = lane->next_bytes;
	lane->next_bytes = swap;
}

static void floor_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t off,
	struct fuse_file_info *fi)
{
	struct floorfs *fs = fuse_req_userdata(req);

	(void)off;
	(void)fi;
	if (fs->relay)
		lane_write(&fs->lanes[file_index(ino)], req, bytes, size);
	else
		fuse_reply_write(req, size);
}

static void floor_read(
	fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct floorfs *fs = fuse_req_userdata(req);

	(void)off;
	(void)fi;
	if (fs->relay)
		lane_read(&fs->lanes[FLOOR_FILES - 1 - file_index(ino)], req, size);
	else
		fuse_reply_buf(req, fs->made_up, smaller(size, FLOOR_MSG_MAX));
}

static const struct fuse_lowlevel_ops floor_ops = {
	.lookup = floor_lookup,
	.getattr = floor_getattr,
	.setattr = floor_setattr,
	.open = floor_open,
	.read = floor_read,
	.write = floor_write,
};

static void floorfs_deinit(struct floorfs *fs)
{
	for (size_t i = 0; i < FLOOR_FILES; i++) {
		free(fs->lanes[i].held_bytes);
		free(fs->lanes[i].next_bytes);
	}
	free(fs->made_up);
}

static int floorfs_init(struct floorfs *fs, bool relay)
{
	bool complete;

	*fs = (struct floorfs){.relay = relay, .made_up = calloc(1, FLOOR_MSG_MAX)};
	complete = fs->made_up != NULL;
	for (size_t i = 0; i < FLOOR_FILES; i++) {
		fs->lanes[i].held_bytes = malloc(FLOOR_MSG_MAX);
		fs->lanes[i].next_bytes = malloc(FLOOR_MSG_MAX);
		complete = complete && fs->lanes[i].held_bytes && fs->lanes[i].next_bytes;
	}
	if (complete)
		return 0;
	floorfs_deinit(fs);
	return -ENOMEM;
}

static int serve(struct fuse_session *session, int epoll)
{
	struct fuse_buf buf = {.mem = NULL};
	struct epoll_event event;
	int r = 0;

	while (!fuse_session_exited(session)) {
		if (epoll_wait(epoll, &event, 1, -1) < 0)
			continue; /* a signal: fuse_session_exited knows whether it was the end */
		r = fuse_session_receive_buf(session, &buf);
		if (r > 0)
			fuse_session_process_buf(session, &buf);
		else if (r != -EINTR && r != -EAGAIN)
			break;
	}
	free(buf.mem);
	return r < 0 ? r : 0;
}

static int serve_epoll(struct fuse_session *session)
{
	struct epoll_event event = {.events = EPOLLIN};
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int r;

	if (epoll < 0)
		return -errno;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fuse_session_fd(session), &event) < 0)
		r = -errno;
	else
		r = serve(session, epoll);
	close(epoll);
	return r;
}

/* Returns to the shell when the mount is there; the rest goes on in the background. */
static int mount_and_serve(struct fuse_session *session, const char *mountpoint, bool block)
{
	int r;

	if (fuse_set_signal_handlers(session) < 0)
		return -EINVAL;
	if (fuse_session_mount(session, mountpoint) < 0) {
		fuse_remove_signal_handlers(session);
		return -EINVAL;
	}
	if (fuse_daemonize(0) < 0)
		r = -errno;
	else
		r = block ? fuse_session_loop(session) : serve_epoll(session);
	fuse_session_unmount(session);
	fuse_remove_signal_handlers(session);
	return r;
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	bool block = argc == 4 && strcmp(argv[1], "--block") == 0;
	struct fuse_session *session;
	struct floorfs fs;
	const char *mode;
	int r;

	if (argc != 3 && !block) {
		fputs("usage: floorfs [--block] null|relay MOUNTPOINT\n", stderr);
		return 2;
	}
	mode = argv[argc - 2];
	if (strcmp(mode, "null") != 0 && strcmp(mode, "relay") != 0) {
		fprintf(stderr, "floorfs: %s: neither null nor relay\n", mode);
		return 2;
	}
	r = floorfs_init(&fs, strcmp(mode, "relay") == 0);
	if (r < 0) {
		fprintf(stderr, "floorfs: %s\n", strerror(-r));
		return 1;
	}
	fuse_opt_add_arg(&args, "floorfs");
	fuse_opt_add_arg(&args, "-odefault_permissions,fsname=floorfs");
	session = fuse_session_new(&args, &floor_ops, sizeof floor_ops, &fs);
	r = session ? mount_and_serve(session, argv[argc - 1], block) : -EINVAL;
	if (session)
		fuse_session_destroy(session);
	fuse_opt_free_args(&args);
	floorfs_deinit(&fs);
	return r < 0;
}
