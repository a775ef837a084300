/* SPDX-License-Identifier: MIT */
/*
 * limit.h: how often something may happen: a token bucket.
 *
 * A bucket holds `burst` tokens and gets a new one every period.  Zeroed, it is full.
 */
#ifndef SIVC_LIMIT_H
#define SIVC_LIMIT_H

#include <stdint.h>

struct limit {
	uint64_t due; /* ns: when the bucket is full again */
};

/* Takes a token.  0, or the ns until there is one, and then none was taken. */
uint64_t limit_take(struct limit *limit, unsigned int burst, uint64_t period_ns, uint64_t now);

#endif
