/* SPDX-License-Identifier: MIT */
/*
 * limit.h: a token bucket: `burst` tokens, and a new one every period.  Zeroed, it is full.
 */
#ifndef SIVC_LIMIT_H
#define SIVC_LIMIT_H

#include <stdint.h>

struct limit {
	uint64_t due; /* ns: when the bucket is full again */
};

/* 0: a token was taken.  Else the ns until there is one. */
uint64_t limit_take(struct limit *limit, unsigned int burst, uint64_t period_ns, uint64_t now);
/* Gives one back, unless the bucket is full. */
void limit_give(struct limit *limit, uint64_t period_ns);

#endif
