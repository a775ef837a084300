/* SPDX-License-Identifier: MIT */
#include "exit_wait.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs.h"

#define INFO_EXIT 8  /* PIDFD_INFO_EXIT */
#define PATIENCE  2  /* seconds */
#define WAITS_MAX 64 /* each has two descriptors, and other users need some */

struct exit_wait {
	struct fs *fs;
	pid_t process;
	bool otherwise;
	void (*fn)(void *data, bool by_signal);
	void *data;
	int pidfd;
	int timer;
	LIST_ENTRY(exit_wait) link;
};

static int ask(const struct exit_wait *wait, struct process_info *info)
{
	*info = (struct process_info){.mask = INFO_EXIT};
	return ioctl(wait->pidfd, PROCESS_INFO, info) < 0 ? -errno : 0;
}

static void stop(struct fs *fs, int fd)
{
	if (fd < 0)
		return;
	sivc_remove_fd(fs->sivc, fd);
	close(fd);
}

static void wait_free(struct exit_wait *wait)
{
	stop(wait->fs, wait->pidfd);
	stop(wait->fs, wait->timer);
	free(wait);
}

static void finish(struct exit_wait *wait, bool by_signal)
{
	LIST_REMOVE(wait, link);
	wait->fn(wait->data, by_signal);
	wait_free(wait);
}

static void on_gone(void *data)
{
	struct exit_wait *wait = data;
	struct process_info info;
	bool known = ask(wait, &info) == 0 && (info.mask & INFO_EXIT);

	finish(wait, known ? WIFSIGNALED(info.exit_code) : wait->otherwise);
}

static void on_late(void *data)
{
	struct exit_wait *wait = data;

	finish(wait, wait->otherwise);
}

static int start(struct exit_wait *wait)
{
	const struct itimerspec limit = {.it_value.tv_sec = PATIENCE};
	struct process_info info;
	struct sivc *sivc = wait->fs->sivc;
	int r;

	wait->pidfd = (int)syscall(SYS_pidfd_open, wait->process, 0);
	if (wait->pidfd < 0)
		return -errno;
	r = ask(wait, &info);
	if (r < 0)
		return r;
	wait->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (wait->timer < 0 || timerfd_settime(wait->timer, 0, &limit, NULL) < 0)
		return -errno;
	/* EPOLLIN would be that it has ended; EPOLLHUP, which is always told, is that it has gone.
	 */
	r = sivc_add_fd(sivc, wait->pidfd, 0, on_gone, wait);
	return r < 0 ? r : sivc_add_fd(sivc, wait->timer, EPOLLIN, on_late, wait);
}

int exit_wait_begin(struct fs *fs, pid_t process, bool otherwise,
	void (*fn)(void *data, bool by_signal), void *data)
{
	struct exit_wait *wait;
	unsigned int count = 0;
	int r;

	LIST_FOREACH (wait, &fs->exit_waits, link) {
		if (wait->process == process && wait->data == data)
			return 0;
		count++;
	}
	if (count >= WAITS_MAX)
		return -EMFILE;
	wait = malloc(sizeof(*wait));
	if (!wait)
		return -ENOMEM;
	*wait = (struct exit_wait){.fs = fs,
		.process = process,
		.otherwise = otherwise,
		.fn = fn,
		.data = data,
		.pidfd = -1,
		.timer = -1};
	r = start(wait);
	if (r < 0) {
		wait_free(wait);
		return r;
	}
	LIST_INSERT_HEAD(&fs->exit_waits, wait, link);
	return 1;
}

void exit_wait_abandon_all(struct fs *fs)
{
	struct exit_wait *wait;

	while ((wait = LIST_FIRST(&fs->exit_waits)) != NULL)
		finish(wait, wait->otherwise);
}
