/* SPDX-License-Identifier: MIT */
/*
 * await: waits for what a test has to wait for, without sleeping and for a bounded time.
 *
 *	await mount PID DIR	until DIR is a mount point; fails at once if process PID ends before
 *	await exit PID...	until all of these processes have ended
 *	await blocked PID...	until each sleeps in a file operation or in poll, select or epoll
 *
 * The kernel tells of mounts (poll on mountinfo) and of ends (pidfd).  Of a process that falls
 * asleep it does not tell: that state is read again every millisecond.
 *
 * Exit status: 0; 1 after AWAIT_SECONDS (environment; 20), with a line that says what did not
 * come; 2 for a wrong call.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_SECONDS 20
#define MOUNTINFO_MAX   (1u << 20)

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static int left_ms(long long deadline)
{
	long long left = deadline - now_ms();

	return left > 0 ? (int)left : 0;
}

/* The file's text; empty if it cannot be read. */
static void read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t n;

	while (fd >= 0 && length < size - 1) {
		n = read(fd, text + length, size - 1 - length);
		if (n <= 0)
			break;
		length += (size_t)n;
	}
	text[length] = '\0';
	if (fd >= 0)
		close(fd);
}

static int open_pid(const char *pid)
{
	return (int)syscall(SYS_pidfd_open, atoi(pid), 0);
}

/* 0 when it has ended, 1 at the deadline. */
static int await_exit(const char *pid, long long deadline)
{
	struct pollfd end = {.fd = open_pid(pid), .events = POLLIN};

	if (end.fd < 0)
		return errno == ESRCH ? 0 : 1;
	if (poll(&end, 1, left_ms(deadline)) == 1)
		return 0;
	fprintf(stderr, "await: process %s has not ended\n", pid);
	return 1;
}

static int is_mounted(const char *dir)
{
	static char text[MOUNTINFO_MAX];
	char pattern[PATH_MAX + 3];

	snprintf(pattern, sizeof pattern, " %s ", dir);
	read_text("/proc/self/mountinfo", text, sizeof text);
	return strstr(text, pattern) != NULL;
}

static int await_mount(const char *pid, const char *dir, long long deadline)
{
	char real[PATH_MAX];
	struct pollfd fds[] = {
		{.fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC), .events = POLLPRI},
		{.fd = open_pid(pid), .events = POLLIN},
	};

	/* A mount that does not answer cannot be resolved; its path is what was given then. */
	if (!realpath(dir, real))
		snprintf(real, sizeof real, "%s", dir);
	while (!is_mounted(real)) {
		if (fds[1].fd < 0 || fds[1].revents) {
			fprintf(stderr, "await: process %s ended and has not mounted %s\n", pid,
				dir);
			return 1;
		}
		if (poll(fds, 2, left_ms(deadline)) == 0) {
			fprintf(stderr, "await: nothing was mounted on %s\n", dir);
			return 1;
		}
	}
	return 0;
}

/* Of the system calls a process may wait in, those that move data or wait for it. */
static int waits_for_data(const char *pid)
{
	static const long calls[] = {
		SYS_read,
		SYS_write,
		SYS_readv,
		SYS_writev,
		SYS_ppoll,
		SYS_pselect6,
		SYS_epoll_pwait,
		SYS_sendfile,
		SYS_splice,
		SYS_copy_file_range,
		SYS_fsync,
		SYS_flock,
		SYS_fcntl,
#ifdef SYS_poll /* newer architectures have only those above */
		SYS_poll,
		SYS_select,
		SYS_epoll_wait,
#endif
	};
	char path[64], text[128], *end;
	long call;

	snprintf(path, sizeof path, "/proc/%s/syscall", pid);
	read_text(path, text, sizeof text);
	call = strtol(text, &end, 10);
	for (size_t i = 0; end != text && i < sizeof calls / sizeof calls[0]; i++)
		if (call == calls[i])
			return 1;
	return 0;
}

static int sleeps_in_file(const char *pid)
{
	static const char *const places[] = {"fuse", "request_wait", "poll", "select"};
	char path[64], where[128];

	snprintf(path, sizeof path, "/proc/%s/wchan", pid);
	read_text(path, where, sizeof where);
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
		if (strstr(where, places[i]))
			return waits_for_data(pid);
	return 0;
}

static int await_blocked(const char *pid, long long deadline)
{
	struct pollfd end = {.fd = open_pid(pid), .events = POLLIN};

	while (!sleeps_in_file(pid)) {
		if (end.fd < 0 || poll(&end, 1, 1) == 1) {
			fprintf(stderr, "await: process %s has ended instead of waiting\n", pid);
			return 1;
		}
		if (left_ms(deadline) == 0) {
			fprintf(stderr, "await: process %s does not wait\n", pid);
			return 1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *seconds = getenv("AWAIT_SECONDS");
	long long deadline = now_ms() + 1000LL * (seconds ? atoi(seconds) : DEFAULT_SECONDS);
	int failed = 0;

	if (argc == 4 && !strcmp(argv[1], "mount"))
		return await_mount(argv[2], argv[3], deadline);
	if (argc < 3 || (strcmp(argv[1], "exit") && strcmp(argv[1], "blocked"))) {
		fputs("usage: await mount PID DIR | exit PID... | blocked PID...\n", stderr);
		return 2;
	}
	for (int i = 2; i < argc; i++) {
		if (!strcmp(argv[1], "exit"))
			failed |= await_exit(argv[i], deadline);
		else
			failed |= await_blocked(argv[i], deadline);
	}
	return failed;
}
