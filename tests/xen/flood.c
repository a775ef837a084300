/* SPDX-License-Identifier: MIT */
/*
 * flood: sends to one who does not want it, as fast as it can.
 *
 *	flood file PATH SECONDS		writes of 4 KB to a file of sivcfs, each of which is refused
 *	flood udp ADDRESS PORT SECONDS	datagrams of 4 KB
 *	flood tcp ADDRESS PORT SECONDS	requests for a connection, by which 4 KB would be sent
 *
 * Prints how many it sent.  A request for a connection is not waited for: its socket is closed and
 * the next one opened.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE 4096
#define FAILED  2

static char message[MESSAGE];

struct flood {
	bool (*send)(const struct flood *flood); /* false: not what was expected */
	int fd;
	struct sockaddr_in address;
};

static bool send_file(const struct flood *flood)
{
	return write(flood->fd, message, sizeof message) < 0 && errno == EACCES;
}

/* What is answered to one datagram (closed port) is an error of the next. */
static bool send_udp(const struct flood *flood)
{
	ssize_t n = sendto(flood->fd, message, sizeof message, 0,
		(const struct sockaddr *)&flood->address, sizeof flood->address);

	return n == sizeof message || errno == ECONNREFUSED;
}

static bool send_tcp(const struct flood *flood)
{
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (sock < 0)
		return false;
	int r = connect(sock, (const struct sockaddr *)&flood->address, sizeof flood->address);
	int error = errno;
	close(sock);
	return r == 0 || error == EINPROGRESS || error == ECONNREFUSED;
}

static bool parse(struct flood *flood, int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "file") == 0) {
		flood->fd = open(argv[2], O_WRONLY);
		flood->send = send_file;
		return flood->fd >= 0;
	}
	if (argc != 5)
		return false;
	flood->address.sin_family = AF_INET;
	flood->address.sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10));
	flood->fd = socket(AF_INET, SOCK_DGRAM, 0);
	flood->send = strcmp(argv[1], "udp") == 0 ? send_udp : send_tcp;
	return inet_pton(AF_INET, argv[2], &flood->address.sin_addr) == 1;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct flood flood = {.fd = -1};
	uint64_t sent = 0;

	if (!parse(&flood, argc, argv)) {
		fprintf(stderr,
			"usage: flood file PATH SECONDS | flood udp|tcp ADDRESS PORT SECONDS\n");
		return FAILED;
	}
	for (double end = now() + strtod(argv[argc - 1], NULL); now() < end; sent++) {
		if (!flood.send(&flood)) {
			fprintf(stderr, "flood: after %" PRIu64 ": %s\n", sent, strerror(errno));
			return EXIT_FAILURE;
		}
	}
	printf("%" PRIu64 "\n", sent);
	return EXIT_SUCCESS;
}
