/* SPDX-License-Identifier: MIT */
/* limit.c: a token bucket as one number (the generic cell rate algorithm). */
#include "limit.h"

uint64_t limit_take(struct limit *limit, unsigned int burst, uint64_t period_ns, uint64_t now)
{
	uint64_t full = (burst - 1) * period_ns;
	uint64_t due = limit->due > now ? limit->due : now;

	if (due - now > full)
		return due - now - full;
	limit->due = due + period_ns;
	return 0;
}

void limit_give(struct limit *limit, uint64_t period_ns)
{
	limit->due -= limit->due < period_ns ? limit->due : period_ns;
}
