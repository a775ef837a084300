/* SPDX-License-Identifier: MIT */
#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "exit_wait.h"
#include "file.h"
#include "held.h"
#include "locks.h"
#include "log.h"
#include "options.h"
#include "rules.h"
#include "tree.h"

/* Requests that are handled before libsivc has its turn. */
#define REQUESTS_AT_ONCE 8

#define LAST_READS_MS 3000

#define DESCRIPTOR_DIGITS 10
#define RESERVE           4096 /* bytes: more than malloc keeps apart by size */

/* Rules to start with. */

static int rules_failed(const struct fs *fs, int r)
{
	log_print(
		fs->log, LOG_ERR, "acl=%s: these rules cannot be used: %s", fs->acl, strerror(-r));
	return r;
}

static int apply_rules(struct fs *fs)
{
	int r = sivc_acl_write(fs->root->endpoint, fs->rules, fs->rules_length, true);

	free(fs->rules);
	fs->rules = NULL;
	if (r == -ENOSPC) {
		log_print(fs->log, LOG_WARNING, "acl=%s: not all of the rules could be followed",
			fs->acl);
		return 0;
	}
	return r < 0 ? rules_failed(fs, r) : 0;
}

/* At SIGHUP: the mounter reads the file again, and sends what it has read. */

static int receive_rules(struct fs *fs)
{
	int fd = mounter_receive_rules(&fs->mounter), r;

	if (fd < 0)
		return fd;
	r = rules_read(fd, &fs->rules, &fs->rules_length);
	close(fd);
	return r;
}

static void on_rules(void *data)
{
	struct fs *fs = data;
	int r = receive_rules(fs);

	if (r == -EPIPE) /* the mounter has ended, and its socket would be readable for ever */
		sivc_remove_fd(fs->sivc, fs->mounter.socket);
	r = r < 0 ? rules_failed(fs, r) : apply_rules(fs);
	if (r < 0)
		log_print(fs->log, LOG_ERR, "the rules that were in force before stay");
	else
		log_print(fs->log, LOG_INFO, "acl=%s was read again", fs->acl);
}

static void read_rules_again(struct fs *fs)
{
	int r;

	if (!fs->acl) {
		log_print(fs->log, LOG_WARNING,
			"SIGHUP: mounted without acl=FILE, so there is nothing to read again");
		return;
	}
	r = mounter_ask_rules(&fs->mounter);
	if (r < 0)
		rules_failed(fs, r);
}

/*
 * The end by a signal.  What has come is acknowledged to its sender, and is lost if it is not read.
 * So nothing more is taken, and who has a file open gets some time to read what is there.
 */

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static bool unread_in(const struct branch *branch)
{
	struct file *file;

	TAILQ_FOREACH (file, &branch->files, link)
		if (branch->endpoint && file->ops->unread &&
			(file->flags & O_ACCMODE) != O_WRONLY && file->ops->unread(file))
			return true;
	return false;
}

static bool unread(const struct fs *fs)
{
	const struct branch *branch;

	TAILQ_FOREACH (branch, &fs->branches, link)
		if (unread_in(branch))
			return true;
	return false;
}

static void begin_to_end(struct fs *fs)
{
	struct branch *branch;

	TAILQ_FOREACH (branch, &fs->branches, link)
		if (branch->endpoint)
			sivc_acl_write(branch->endpoint, "", 0, true);
	fs->end_by = now_ms() + LAST_READS_MS;
}

/* ms that are left for reading; -1: it is not to end. */
static int left_to_read(const struct fs *fs)
{
	long long left;

	if (fs->end_by == 0)
		return -1;
	left = fs->end_by - now_ms();
	return left > 0 && unread(fs) ? (int)left : 0;
}

/* What the loop calls. */

static void on_signal(void *data)
{
	struct fs *fs = data;
	struct signalfd_siginfo info;

	if (read(fs->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP) {
		if (fs->end_by == 0)
			read_rules_again(fs);
		return;
	}
	log_limit(fs->log, false); /* this one is not lost */
	log_print(fs->log, LOG_INFO, "ending: %s", strsignal((int)info.ssi_signo));
	log_limit(fs->log, true);
	if (fs->end_by > 0)
		fs->done = true;
	else
		begin_to_end(fs);
}

/*
 * libfuse drops a request for which it has no memory.  Of a release nobody would hear, and what a
 * file does when it is closed would not be done.  So there is a piece of memory that one always
 * gets.
 */
static void process(struct fs *fs)
{
	const struct fuse_in_header *header = fs->request.mem;

	if (header->opcode == FUSE_RELEASE) {
		free(fs->reserve);
		fs->reserve = NULL;
	}
	fuse_session_process_buf(fs->session, &fs->request);
	if (!fs->reserve)
		fs->reserve = malloc(RESERVE);
}

static void on_request(void *data)
{
	struct fs *fs = data;

	for (int i = 0; i < REQUESTS_AT_ONCE; i++) {
		int n = fuse_session_receive_buf(fs->session, &fs->request);

		if (n == -EAGAIN || n == -EINTR)
			return;
		if (n <= 0) { /* unmounted or aborted */
			fs->done = true;
			return;
		}
		process(fs);
		held_finish_interrupted(fs);
		locks_finish_interrupted(fs);
	}
}

/* Life. */

int fs_new(struct options *options, struct log *log, struct fs **result)
{
	struct fs *fs = calloc(1, sizeof(*fs));

	if (!fs)
		return -ENOMEM;
	fs->log = log;
	fs->uid = options->uid;
	fs->gid = options->gid;
	fs->mode = options->mode;
	fs->acl_mode = options->acl_mode;
	fs->umask = options->umask;
	fs->acl = options->acl;
	fs->signals = -1;
	fs->mounter.socket = -1;
	TAILQ_INIT(&fs->branches);
	TAILQ_INIT(&fs->interrupted);
	LIST_INIT(&fs->exit_waits);
	fs->session = fuse_session_new(&options->fuse, &fs_ops, sizeof(fs_ops), fs);
	if (!fs->session) { /* libfuse has said why */
		free(fs);
		return -EINVAL;
	}
	*result = fs;
	return 0;
}

int fs_prepare(struct fs *fs, const struct options *options)
{
	int r = mounter_start(fs->session, options->mountpoint, options->acl, &fs->mounter);

	if (r < 0) {
		log_print(
			fs->log, LOG_ERR, "cannot start the process that mounts: %s", strerror(-r));
		return r;
	}
	if (options->acl)
		r = rules_read_file(options->acl, &fs->rules, &fs->rules_length);
	return r < 0 ? rules_failed(fs, r) : 0;
}

int fs_open(struct fs *fs, const struct options *options)
{
	const struct sivc_config config = {
		.backend = options->source,
		.dir = options->dir,
		.domid = options->domid,
		.name = options->name,
		.mountpoint = options->mountpoint,
		.ring = options->ring,
		.max_msg = options->max_msg,
		.spin = options->spin,
		.log = log_message,
		.log_data = fs->log,
	};
	int r = sivc_open(&config, &fs->sivc);

	if (r < 0) {
		log_print(fs->log, LOG_ERR, "source %s cannot be used: %s", options->source,
			strerror(-r));
		return r;
	}
	r = branch_new(fs, options->endpoint, false, &fs->root);
	if (r < 0) {
		log_print(fs->log, LOG_ERR, "endpoint %s cannot be opened: %s", options->endpoint,
			strerror(-r));
		return r;
	}
	return fs->rules ? apply_rules(fs) : 0;
}

/* From now on a signal ends the loop, not the process: there will be something to clean up. */
static int take_signals(struct fs *fs)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fs->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fs->signals < 0)
		return -errno;
	return sivc_add_fd(fs->sivc, fs->signals, EPOLLIN, on_signal, fs);
}

static int take_requests(struct fs *fs, int fd)
{
	char path[sizeof("/dev/fd/") + DESCRIPTOR_DIGITS];
	int flags = fcntl(fd, F_GETFL);

	/* libfuse's way to be handed what somebody else has mounted. */
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	if (fuse_session_mount(fs->session, path) < 0)
		return -EIO;
	fs->mounted = true;
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return sivc_add_fd(fs->sivc, fd, EPOLLIN, on_request, fs);
}

int fs_mount(struct fs *fs, const struct options *options)
{
	int r = take_signals(fs);

	if (r == 0)
		r = mounter_mount(&fs->mounter);
	if (r >= 0)
		r = take_requests(fs, r);
	if (r == 0)
		r = sivc_add_fd(fs->sivc, fs->mounter.socket, EPOLLIN, on_rules, fs);
	if (r < 0)
		log_print(fs->log, LOG_ERR, "mount point %s: not mounted: %s", options->mountpoint,
			strerror(-r));
	return r;
}

int fs_run(struct fs *fs)
{
	int r = 0, left = -1;

	log_limit(fs->log, true);
	while (!fs->done && left != 0 && (r >= 0 || r == -EINTR)) {
		r = sivc_wait(fs->sivc, left);
		left = left_to_read(fs);
	}
	log_limit(fs->log, false);
	if (fs->done || left == 0)
		return 0;
	log_print(fs->log, LOG_ERR, "the event loop failed: %s", strerror(-r));
	return r;
}

static void close_endpoints(struct fs *fs)
{
	struct branch *branch, *next;

	for (branch = TAILQ_FIRST(&fs->branches); branch; branch = next) {
		next = TAILQ_NEXT(branch, link);
		branch_close(branch);
	}
}

void fs_free(struct fs *fs)
{
	if (!fs)
		return;
	exit_wait_abandon_all(fs);
	close_endpoints(fs); /* answers what is held, while there is somebody to answer */
	if (fs->mounted)
		sivc_remove_fd(fs->sivc, fuse_session_fd(fs->session));
	fuse_session_destroy(fs->session); /* closes its descriptor */
	if (fs->sivc && fs->mounter.socket >= 0)
		sivc_remove_fd(fs->sivc, fs->mounter.socket);
	mounter_end(&fs->mounter);
	tree_free(fs);
	if (fs->signals >= 0) {
		sivc_remove_fd(fs->sivc, fs->signals);
		close(fs->signals);
	}
	sivc_close(fs->sivc);
	free(fs->request.mem);
	free(fs->spare);
	free(fs->reserve);
	free(fs->scratch);
	free(fs->rules);
	free(fs);
}
