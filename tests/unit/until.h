/* SPDX-License-Identifier: MIT */
/*
 * until.h: what a test of the seam (hv.h) waits for: descriptors by poll, calls by dispatching.
 * What must not happen is given QUIET_MS to happen.
 */
#ifndef SIVC_TESTS_UNTIL_H
#define SIVC_TESTS_UNTIL_H

#include <poll.h>
#include <stdbool.h>

#include "hv.h"

#define SOON_MS  5000 /* far more than anything takes */
#define QUIET_MS 60

static inline bool readable(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ms) == 1;
}

static inline void count_call(void *data)
{
	++*(int *)data;
}

/* Dispatches until *count is at least `want`. */
static inline bool until(struct hv *hv, const int *count, int want)
{
	while (*count < want && readable(hv_fd(hv), SOON_MS))
		hv_dispatch(hv);
	return *count >= want;
}

/* Dispatches until nothing comes any more. */
static inline void settle(struct hv *hv)
{
	while (readable(hv_fd(hv), QUIET_MS))
		hv_dispatch(hv);
}

#endif
