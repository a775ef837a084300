/* SPDX-License-Identifier: MIT */
/*
 * mqueue.c: POSIX message queues.
 *
 * How large and how deep a queue may be is limited by fs.mqueue.msgsize_max and by
 * RLIMIT_MSGQUEUE.  The queues here are as deep as the limits allow, and no deeper than
 * MQUEUE_DEPTH_MAX; a message that does not fit at all is a measurement that is not possible.
 */
#include "transport.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define MQUEUE_DEPTH_MAX 64

static int mqueue_new(enum side side, size_t size, long depth)
{
	struct mq_attr attr = {.mq_maxmsg = depth, .mq_msgsize = (long)size};
	char name[64];
	mqd_t queue;

	snprintf(name, sizeof name, "/sivc-bench-%d-%d", (int)getpid(), (int)side);
	queue = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attr);
	if (queue == (mqd_t)-1)
		return -errno;
	mq_unlink(name);
	return queue;
}

/* The deepest that the limits allow: EINVAL is fs.mqueue.*, EMFILE is RLIMIT_MSGQUEUE. */
static int mqueue_new_deepest(enum side side, size_t size, long depth)
{
	int queue;

	for (;;) {
		queue = mqueue_new(side, size, depth);
		if (queue >= 0 || (queue != -EINVAL && queue != -EMFILE))
			return queue;
		if (depth == 1)
			return -EOPNOTSUPP;
		depth /= 2;
	}
}

static int mqueue_prepare(struct plan *plan)
{
	struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
	size_t answer = plan->stream ? BENCH_MSG_MIN : plan->size;
	int queue;

	setrlimit(RLIMIT_MSGQUEUE, &all); /* if we may; else the limit shows in mq_open */
	queue = mqueue_new_deepest(SIDE_A, answer, 1);
	if (queue < 0)
		return queue;
	plan->pair[SIDE_A][0] = queue;
	queue = mqueue_new_deepest(SIDE_B, plan->size, plan->stream ? MQUEUE_DEPTH_MAX : 1);
	if (queue < 0)
		return queue;
	plan->pair[SIDE_B][0] = queue;
	return 0;
}

static int mqueue_open(struct link *link)
{
	link->receive_fd = link->plan->pair[link->side][0];
	link->send_fd = link->plan->pair[side_other(link->side)][0];
	return 0;
}

static int mqueue_send(struct link *link, size_t size)
{
	int r;

	do {
		r = mq_send(link->send_fd, link->out, size, 0);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

/* The buffer must have the queue's message size: link->in is larger than any. */
static int mqueue_receive(struct link *link, size_t size, const void **bytes)
{
	ssize_t n;

	do {
		n = mq_receive(link->receive_fd, link->in, BENCH_MSG_MAX, NULL);
	} while (n < 0 && errno == EINTR);
	*bytes = link->in;
	if (n < 0)
		return -errno;
	return n == (ssize_t)size ? 0 : -EPROTO;
}

const struct transport transport_mqueue = {
	.name = "mqueue",
	.prepare = mqueue_prepare,
	.open = mqueue_open,
	.send = mqueue_send,
	.receive = mqueue_receive,
};
