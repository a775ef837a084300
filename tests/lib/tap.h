/* SPDX-License-Identifier: MIT */
/*
 * tap.h: what a unit test says, in the Test Anything Protocol.
 *
 *	int main(void)
 *	{
 *		ok(1 + 1 == 2, "one and one is two");
 *		return done_testing();
 *	}
 *
 * The sentence says what holds, not what the test does.  A test that cannot run on this machine
 * says why with skip(); what can only fail further down is left out after `if (!ok(...))`.
 */
#ifndef SIVC_TAP_H
#define SIVC_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static int tap_tests, tap_failures; /* one test program is one file */

#define ok(condition, ...)  tap_ok((condition), __FILE__, __LINE__, __VA_ARGS__)
#define is(got, want, what) tap_is((long long)(got), (long long)(want), __FILE__, __LINE__, (what))

/* ok(condition, "sentence %d", ...): returns the condition. */
__attribute__((format(printf, 4, 5))) static inline bool tap_ok(
	bool good, const char *file, int line, const char *format, ...)
{
	va_list args;

	printf("%sok %d - ", good ? "" : "not ", ++tap_tests);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	if (!good) {
		printf("# failed at %s:%d\n", file, line);
		tap_failures++;
	}
	fflush(stdout); /* a child that is forked must not print it again */
	return good;
}

/* is(got, want, "sentence"): as ok(got == want, ...), and shows both numbers if they differ. */
static inline bool tap_is(
	long long got, long long want, const char *file, int line, const char *what)
{
	tap_ok(got == want, file, line, "%s", what);
	if (got != want)
		printf("# got %lld, want %lld\n", got, want);
	fflush(stdout);
	return got == want;
}

static inline void skip(const char *what, const char *why)
{
	printf("ok %d - %s # SKIP %s\n", ++tap_tests, what, why);
	fflush(stdout);
}

/* The plan, and the program's exit status. */
static inline int done_testing(void)
{
	printf("1..%d\n", tap_tests);
	return tap_failures ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
