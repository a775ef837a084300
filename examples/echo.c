/* SPDX-License-Identifier: MIT */
/*
 * echo.c: an echo server with a poll loop of its own.  It permits some domains, and sends each of
 *their messages back.  A domain that does not read its answers keeps nobody else waiting.  It ends
 *when its standard input ends.
 *
 *	cc echo.c $(pkg-config --cflags --libs libsivc) -o echo
 *	./echo local 1 2 3	(we are domain 1 of the local backend, for domains 2 and 3)
 *	./echo xen -1 web	(on Xen, for the domain web)
 */
#include <errno.h>
#include <poll.h>
#include <sivc/sivc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PEERS_MAX 16

/* One message of each is under way at a time. */
struct peer {
	struct sivc_endpoint *endpoint;
	struct sivc_waiter *waiter;
	struct sivc_sending *sending;
	uint16_t domid;
	struct iovec message;
	char bytes[SIVC_MAX_MSG_DEFAULT];
};

static struct peer peers[PEERS_MAX];

static void print_log(void *data, int priority, const char *message)
{
	(void)data;
	(void)priority;
	fprintf(stderr, "echo: %s\n", message);
}

static void wait_for_message(struct peer *peer);

static void sent(void *data, int r, size_t count)
{
	struct peer *peer = data;

	(void)count;
	if (r < 0)
		fprintf(stderr, "echo: no answer to domain %u: %s\n", peer->domid, strerror(-r));
	wait_for_message(peer);
}

static void received(void *data, int r, const struct sivc_message *message)
{
	struct peer *peer = data;
	size_t length = 0;

	if (r < 0) {
		fprintf(stderr, "echo: domain %u: %s\n", peer->domid, strerror(-r));
		return;
	}
	for (int i = 0; i < message->iovcnt; i++) {
		memcpy(peer->bytes + length, message->iov[i].iov_base, message->iov[i].iov_len);
		length += message->iov[i].iov_len;
	}
	sivc_consume(peer->endpoint, message);
	peer->message = (struct iovec){.iov_base = peer->bytes, .iov_len = length};
	r = (int)sivc_send_start(
		peer->endpoint, peer->domid, &peer->message, 1, sent, peer, &peer->sending);
	if (r != -EINPROGRESS)
		sent(peer, r, 0);
}

static void wait_for_message(struct peer *peer)
{
	int r = sivc_wait_receive(peer->endpoint, (int)peer->domid, received, peer, &peer->waiter);

	if (r < 0)
		received(peer, r, NULL);
}

static int serve(struct sivc *sivc, struct sivc_endpoint *endpoint, char **names)
{
	int r = 0;

	for (int i = 0; r == 0 && i < PEERS_MAX && names[i]; i++) {
		peers[i].endpoint = endpoint;
		r = sivc_resolve(sivc, names[i], &peers[i].domid);
		if (r == 0)
			r = sivc_permit(endpoint, peers[i].domid);
		if (r == 0)
			wait_for_message(&peers[i]);
	}
	return r;
}

static int loop(struct sivc *sivc)
{
	struct pollfd fds[] = {
		{.fd = sivc_fd(sivc), .events = POLLIN},
		{.fd = STDIN_FILENO, .events = POLLIN},
	};
	char byte;
	int r = 0;

	while (r == 0) {
		if (poll(fds, 2, -1) < 0)
			return -errno;
		if (fds[1].revents && read(STDIN_FILENO, &byte, 1) <= 0)
			return 0;
		r = sivc_dispatch(sivc);
	}
	return r;
}

int main(int argc, char **argv)
{
	struct sivc_config config = {.log = print_log};
	struct sivc_endpoint *endpoint;
	struct sivc *sivc = NULL;
	int r;

	if (argc < 4) {
		fprintf(stderr, "usage: echo BACKEND OUR-DOMID PEER...\n");
		return EXIT_FAILURE;
	}
	config.backend = argv[1];
	config.domid = atoi(argv[2]);
	r = sivc_open(&config, &sivc);
	if (r == 0)
		r = sivc_endpoint_open(sivc, "default", NULL, &endpoint);
	if (r == 0)
		r = serve(sivc, endpoint, argv + 3);
	if (r == 0)
		r = loop(sivc);
	if (r < 0)
		fprintf(stderr, "echo: %s\n", strerror(-r));
	sivc_close(sivc);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
