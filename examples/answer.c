/* SPDX-License-Identifier: MIT */
/*
 * answer.c: an endpoint without a mount.  Permits one domain, and answers each of its messages with
 * the same bytes in upper case.
 *
 *	cc answer.c $(pkg-config --cflags --libs libsivc) -o answer
 *	./answer local 1 2	(we are domain 1 of the local backend, and answer domain 2)
 *	./answer xen -1 7	(on Xen, this domain answers domain 7)
 */
#include <ctype.h>
#include <sivc/sivc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_log(void *data, int priority, const char *message)
{
	(void)data;
	(void)priority;
	fprintf(stderr, "answer: %s\n", message);
}

static int answer_one(struct sivc_endpoint *endpoint)
{
	static char buffer[SIVC_MAX_MSG_DEFAULT];
	uint16_t sender;
	ssize_t n;

	n = sivc_receive(endpoint, SIVC_ANY, buffer, sizeof(buffer), &sender, 0);
	if (n < 0)
		return (int)n;
	for (ssize_t i = 0; i < n; i++)
		buffer[i] = (char)toupper((unsigned char)buffer[i]);
	return sivc_send(endpoint, sender, buffer, (size_t)n, 0);
}

int main(int argc, char **argv)
{
	struct sivc_config config = {.log = print_log};
	struct sivc_endpoint *endpoint;
	struct sivc *sivc = NULL;
	uint16_t peer;
	int r;

	if (argc != 4) {
		fprintf(stderr, "usage: answer BACKEND OUR-DOMID PEER\n");
		return EXIT_FAILURE;
	}
	config.backend = argv[1];
	config.domid = atoi(argv[2]);
	r = sivc_open(&config, &sivc);
	if (r == 0)
		r = sivc_endpoint_open(sivc, "default", NULL, &endpoint);
	if (r == 0)
		r = sivc_resolve(sivc, argv[3], &peer);
	if (r == 0)
		r = sivc_permit(endpoint, peer);
	while (r == 0)
		r = answer_one(endpoint);
	fprintf(stderr, "answer: %s\n", strerror(-r));
	sivc_close(sivc);
	return EXIT_FAILURE;
}
