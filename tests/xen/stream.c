/* SPDX-License-Identifier: MIT */
/*
 * stream: sends numbers by libsivc, one message each, until it is ended.
 *
 *	stream ENDPOINT DOMID
 *
 * Prints each number when it was acknowledged, so that its output is what must arrive, in order.
 * What was not acknowledged is sent again.  It is not a user of a mount: a process that is in a
 * request of FUSE keeps Linux from suspending (doc/xenlab.md), and this one does not.
 */
#include <errno.h>
#include <sivc/sivc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define AGAIN_MS 50

static void print_log(void *data, int priority, const char *message)
{
	(void)data;
	(void)priority;
	fprintf(stderr, "stream: %s\n", message);
}

/* 0, or the error that was said. */
static int send_number(struct sivc_endpoint *endpoint, uint16_t domid, unsigned int number)
{
	char text[16];
	int length = snprintf(text, sizeof text, "%u\n", number);
	int r = sivc_send(endpoint, domid, text, (size_t)length, 0);

	if (r == 0)
		fputs(text, stdout);
	else
		fprintf(stderr, "stream: %u: %s\n", number, strerror(-r));
	return r;
}

int main(int argc, char **argv)
{
	const struct sivc_config config = {.backend = "xen", .domid = -1, .log = print_log};
	struct sivc_endpoint *endpoint;
	struct sivc *sivc;

	setlinebuf(stdout);
	if (argc != 3 || sivc_open(&config, &sivc) < 0 ||
		sivc_endpoint_open(sivc, argv[1], NULL, &endpoint) < 0) {
		fprintf(stderr, "usage: stream ENDPOINT DOMID, in a domain of Xen\n");
		return EXIT_FAILURE;
	}
	for (unsigned int number = 0;;) {
		int r = send_number(endpoint, (uint16_t)atoi(argv[2]), number);

		if (r == 0)
			number++;
		else if (r != -EINTR) /* a suspension interrupts; afterwards it does not wait */
			sivc_wait(sivc, AGAIN_MS);
	}
}
