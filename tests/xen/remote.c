/* SPDX-License-Identifier: MIT */
/*
 * remote: a command in another domain, for the lab.
 *
 *	remote --serve PORT			runs commands for whoever connects
 *	remote ADDRESS PORT COMMAND		has `bash -c COMMAND` run there
 *
 * The command gets our standard input, we get its output, its errors and its exit status.  When
 * this side ends, by a signal too, what it started there ends as well (its process group does).
 * Nobody is asked who they are: this is for the network between the lab's own domains.
 *
 * Each direction of a connection is carried by a process of its own that does nothing else, so
 * that no side can wait for the other in a circle.  What is carried is records: the header below
 * and its bytes.  The client sends COMMAND, then INPUT, ended by an empty one; the server OUTPUT
 * and ERRORS, then STATUS.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COMMAND, INPUT, OUTPUT, ERRORS, STATUS };
enum { RECORD_MAX = 65536, BACKLOG = 64, FAILED = 255, SIGNALLED = 128 };

struct record {
	uint32_t type;
	uint32_t length;
	char bytes[RECORD_MAX];
};

#define HEADER offsetof(struct record, bytes)

static bool write_all(int fd, const void *data, size_t length)
{
	for (const char *at = data; length > 0;) {
		ssize_t n = write(fd, at, length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		length -= (size_t)n;
	}
	return true;
}

static bool read_all(int fd, void *data, size_t length)
{
	for (char *at = data; length > 0;) {
		ssize_t n = read(fd, at, length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		length -= (size_t)n;
	}
	return true;
}

static bool record_send(int sock, struct record *record, uint32_t type, size_t length)
{
	record->type = type;
	record->length = (uint32_t)length;
	return write_all(sock, record, HEADER + length);
}

static bool record_receive(int sock, struct record *record)
{
	return read_all(sock, record, HEADER) && record->length <= RECORD_MAX &&
	       read_all(sock, record->bytes, record->length);
}

/* From fd to the socket, as much as one read gives.  False at the end of the file. */
static bool carry(int fd, int sock, uint32_t type)
{
	static struct record record;
	ssize_t n = read(fd, record.bytes, sizeof record.bytes);

	return n > 0 && record_send(sock, &record, type, (size_t)n);
}

static int address_of(const char *host, const char *port, struct sockaddr_in *address)
{
	*address = (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
		.sin_addr.s_addr = htonl(INADDR_ANY)};
	if (host && inet_pton(AF_INET, host, &address->sin_addr) != 1)
		return -EINVAL;
	return 0;
}

/* The server's side of one connection. */

/* The client's input to the command; ends the command when the client has ended. */
static void server_input(int sock, int to, pid_t command)
{
	static struct record record;

	while (record_receive(sock, &record)) {
		if (record.length == 0 && to >= 0) {
			close(to);
			to = -1;
		} else if (to >= 0 && !write_all(to, record.bytes, record.length)) {
			close(to);
			to = -1;
		}
	}
	kill(-command, SIGKILL);
	_exit(0);
}

/* The command's output to the client, until the command has ended (not what it left running). */
static void server_output(int sock, int output, int errors, int command_fd)
{
	struct pollfd polls[] = {{.fd = output, .events = POLLIN}, {.fd = errors, .events = POLLIN},
		{.fd = command_fd, .events = POLLIN}};

	while (poll(polls, 3, polls[2].revents ? 0 : -1) > 0) {
		if (polls[0].revents && !carry(output, sock, OUTPUT))
			polls[0].fd = -1;
		if (polls[1].revents && !carry(errors, sock, ERRORS))
			polls[1].fd = -1;
		if (polls[2].revents && !polls[0].revents && !polls[1].revents)
			break;
	}
}

static void exec_command(const char *command, const int in[2], const int out[2], const int err[2])
{
	setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL);
	dup2(in[0], STDIN_FILENO);
	dup2(out[1], STDOUT_FILENO);
	dup2(err[1], STDERR_FILENO);
	close_range(STDERR_FILENO + 1, ~0u, 0);
	execlp("bash", "bash", "-c", command, NULL);
	_exit(FAILED);
}

static int serve_connection(int sock)
{
	static struct record record;
	int in[2], out[2], err[2], status;

	if (!record_receive(sock, &record) || record.type != COMMAND ||
		record.length == RECORD_MAX || pipe(in) || pipe(out) || pipe(err))
		return FAILED;
	record.bytes[record.length] = '\0';
	pid_t command = fork();
	if (command == 0)
		exec_command(record.bytes, in, out, err);
	setpgid(command, command); /* here too: before anybody kills the group */
	close(in[0]);
	close(out[1]);
	close(err[1]);
	pid_t input = fork();
	if (input == 0)
		server_input(sock, in[1], command);
	close(in[1]);
	server_output(sock, out[0], err[0], pidfd_open(command, 0));
	waitpid(command, &status, 0);
	kill(input, SIGKILL);
	status = WIFSIGNALED(status) ? SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
	memcpy(record.bytes, &status, sizeof status);
	return record_send(sock, &record, STATUS, sizeof status) ? 0 : FAILED;
}

static int serve(const char *port)
{
	struct sockaddr_in address;
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	address_of(NULL, port, &address);
	setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(sock, (struct sockaddr *)&address, sizeof address) || listen(sock, BACKLOG)) {
		perror("remote: listen");
		return FAILED;
	}
	signal(SIGCHLD, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	for (;;) {
		int connection = accept(sock, NULL, NULL);
		if (connection < 0)
			continue;
		if (fork() == 0) {
			signal(SIGCHLD, SIG_DFL);
			setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
			_exit(serve_connection(connection));
		}
		close(connection);
	}
}

/* The client's side. */

static void client_input(int sock)
{
	static struct record record;

	while (carry(STDIN_FILENO, sock, INPUT))
		;
	record_send(sock, &record, INPUT, 0);
	_exit(0);
}

static int client_output(int sock)
{
	static struct record record;
	int status;

	while (record_receive(sock, &record)) {
		switch (record.type) {
		case OUTPUT:
		case ERRORS:
			write_all(record.type == OUTPUT ? STDOUT_FILENO : STDERR_FILENO,
				record.bytes, record.length);
			break;
		case STATUS:
			memcpy(&status, record.bytes, sizeof status);
			return status;
		}
	}
	fprintf(stderr, "remote: the domain has ended the connection\n");
	return FAILED;
}

static int run(const char *host, const char *port, const char *command)
{
	static struct record record;
	struct sockaddr_in address;
	size_t length = strlen(command);
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (length >= RECORD_MAX || address_of(host, port, &address)) {
		fprintf(stderr, "remote: %s: no address, or the command is too long\n", host);
		return FAILED;
	}
	setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	memcpy(record.bytes, command, length);
	if (connect(sock, (struct sockaddr *)&address, sizeof address) ||
		!record_send(sock, &record, COMMAND, length)) {
		fprintf(stderr, "remote: %s port %s: %s\n", host, port, strerror(errno));
		return FAILED;
	}
	pid_t input = fork();
	if (input == 0)
		client_input(sock);
	int status = client_output(sock);
	kill(input, SIGKILL);
	return status;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--serve") == 0)
		return serve(argv[2]);
	if (argc == 4)
		return run(argv[1], argv[2], argv[3]);
	fprintf(stderr, "usage: remote --serve PORT | remote ADDRESS PORT COMMAND\n");
	return FAILED;
}
