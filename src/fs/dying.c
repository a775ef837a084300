/* SPDX-License-Identifier: MIT */
/*
 * Who closes a file waits for our answer, and can be looked at: the field `flags` of
 * /proc/PID/stat (proc_pid_stat(5)) has PF_SIGNALED in a thread that a signal ends.  All may read
 * it.
 *
 * But a thread that executes a program closes files, too, and holds a lock then that a read of stat
 * waits for: it would wait for us, and we for it.  A thread that ends has no memory any more when
 * it closes its files, and status, which takes no such lock, says so: then stat can be read.
 *
 * When a process ends by exit(2), the kernel ends its other threads as if by SIGKILL, and they have
 * the flag, too.  The file is closed by the thread that goes last, which may be one of those.  But
 * the thread that called exit has no flag, and if it is the first one of the process it can be seen
 * until all have gone.  So a process seems to die of a signal if all of its threads that can be
 * seen do.  A first thread without the flag that has gone may have called exit, or has ended alone,
 * long before.
 */
#include "dying.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIGNALED   0x400 /* PF_SIGNALED of <linux/sched.h>, which programs have not */
#define FLAGS      7     /* the field of that number comes after so many spaces behind the name */
#define STAT_MAX   1024
#define STATUS_MAX 32768 /* its groups come before its memory, and it may have many */
#define PATH_ROOM  64

/* Its beginning, as a string. */
static int read_beginning(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	int error;

	if (fd < 0)
		return -errno;
	n = read(fd, text, size - 1);
	error = errno;
	close(fd);
	if (n < 0)
		return -error;
	text[n] = '\0';
	return 0;
}

/* 1: it has the flag; 0: it has not.  *gone: it is a zombie, as a first thread can be. */
static int is_signaled(const char *path, bool *gone)
{
	char text[STAT_MAX];
	const char *field;
	int r = read_beginning(path, text, sizeof(text));

	if (r < 0)
		return r;
	field = strrchr(text, ')'); /* of the name, which may have anything in it */
	*gone = field && strncmp(field, ") Z", strlen(") Z")) == 0;
	for (int i = 0; field && i < FLAGS; i++) {
		field = strchr(field, ' ');
		field = field ? field + 1 : NULL;
	}
	return field ? (strtoul(field, NULL, 10) & SIGNALED) != 0 : -EIO;
}

/* 0: the thread does not end.  1: it does, and *process is what it is of. */
static int is_ending(pid_t thread, pid_t *process)
{
	char path[PATH_ROOM], text[STATUS_MAX];
	const char *field;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)thread);
	r = read_beginning(path, text, sizeof(text));
	if (r < 0)
		return r;
	field = strstr(text, "\nTgid:\t");
	if (!field)
		return -EIO;
	if (!strstr(text, "\nThreads:\t")) /* which comes after its memory */
		return -EFBIG;
	*process = (pid_t)strtol(field + strlen("\nTgid:\t"), NULL, 10);
	return strstr(text, "\nVmSize:") == NULL;
}

/* A thread that goes while we look says nothing. */
static int may_be_signaled(pid_t process, bool *seems)
{
	char path[PATH_ROOM + sizeof(((struct dirent *)NULL)->d_name)];
	const struct dirent *entry;
	bool signaled, gone = false, may_be = true;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)process);
	tasks = opendir(path);
	if (!tasks)
		return -errno;
	*seems = true;
	while (may_be && (entry = readdir(tasks)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", (int)process, entry->d_name);
		signaled = is_signaled(path, &gone) != 0;
		*seems = *seems && signaled;
		may_be = signaled || gone;
	}
	closedir(tasks);
	return may_be;
}

int dying_of_signal(pid_t thread, pid_t *process, bool *seems)
{
	char path[PATH_ROOM];
	bool gone;
	int r = is_ending(thread, process);

	if (r <= 0)
		return r;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)thread);
	r = is_signaled(path, &gone);
	return r <= 0 ? r : may_be_signaled(*process, seems);
}
