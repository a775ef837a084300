/* SPDX-License-Identifier: MIT */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int daemon_open_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int wait_for_child(int fd)
{
	ssize_t n;
	char byte;

	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	close(fd);
	return n == 1 ? 1 : -ECHILD; /* the child has said why */
}

int daemon_fork(int *ready)
{
	int ends[2];
	pid_t pid;

	/* Whatever a shell or a test left open would stay open as long as the mount. */
	closefrom(STDERR_FILENO + 1);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		close(ends[0]);
		close(ends[1]);
		return -errno;
	}
	close(ends[pid > 0 ? 1 : 0]);
	if (pid > 0)
		return wait_for_child(ends[0]);
	*ready = ends[1];
	return 0;
}

int daemon_path(const char *path, char **absolute)
{
	char *here;
	int n;

	if (path[0] == '/') {
		*absolute = strdup(path);
		return *absolute ? 0 : -ENOMEM;
	}
	here = getcwd(NULL, 0);
	if (!here)
		return -errno;
	n = asprintf(absolute, "%s/%s", here, path);
	free(here);
	return n < 0 ? -ENOMEM : 0;
}

int daemon_let_go(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int r = 0;

	if (null < 0)
		return -errno;
	setsid(); /* fails for who has done it already */
	if (chdir("/") < 0)
		r = -errno;
	for (int fd = STDIN_FILENO; r == 0 && fd <= STDERR_FILENO; fd++)
		if (dup2(null, fd) < 0)
			r = -errno;
	if (null > STDERR_FILENO)
		close(null);
	return r;
}

int daemon_ready(int ready)
{
	int r = daemon_let_go();

	if (r == 0 && write(ready, "", 1) != 1)
		r = -EPIPE; /* the parent was killed: nobody wants this mount */
	close(ready);
	return r;
}

int daemon_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = path ? strlen(path) : 0;
	int fd, r = 0;

	if (length == 0)
		return 0;
	if (length > sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, length);
	if (path[0] == '@') /* in the abstract namespace */
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
		r = -errno;
	close(fd);
	return r;
}
