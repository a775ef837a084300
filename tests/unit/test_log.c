/* SPDX-License-Identifier: MIT */
/*
 * What others have a say in, in the log: bytes that a terminal would obey, and how often.
 */
#include "../../src/common/log.c"

#include <stdlib.h>
#include <unistd.h>

#include "tap.h"

#define TEXT_MAX 65536

static char text[TEXT_MAX];

/* What was written to standard error since the last call. */
static const char *written(void)
{
	size_t n;

	fflush(stderr);
	rewind(stderr);
	n = fread(text, 1, sizeof(text) - 1, stderr);
	text[n] = '\0';
	rewind(stderr);
	return ftruncate(fileno(stderr), 0) == 0 ? text : "";
}

static bool wrote(const char *expected)
{
	const char *got = written();

	if (strcmp(got, expected) == 0)
		return true;
	printf("# got \"%s\"\n", got);
	return false;
}

static unsigned int lines(void)
{
	unsigned int count = 0;

	for (const char *p = written(); *p; p++)
		count += *p == '\n';
	return count;
}

static void test_foreign_bytes(struct log *log)
{
	char longest[2 * LOG_LINE_MAX];

	log_print(log, LOG_ERR, "name %s", "plain 100%");
	ok(wrote("sivc: name plain 100%\n"), "a text is written as it is");
	log_print(log, LOG_ERR, "name \"%s\"", "a\nsivc: b\033[2J\x9b\x7f\xc3\xa4");
	ok(wrote("sivc: name \"a\\x0asivc: b\\x1b[2J\\x9b\\x7f\\xc3\\xa4\"\n"),
		"but for bytes that end a line or that a terminal obeys");
	memset(longest, '\n', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	log_message(log, LOG_ERR, longest);
	is(lines(), 1, "however many they are");
}

static void test_limit(struct log *log)
{
	for (unsigned int i = 0; i < 3 * LOG_BURST; i++)
		log_print(log, LOG_ERR, "message %u", i);
	is(lines(), 3 * LOG_BURST, "without a limit all is written");
	log_limit(log, true);
	for (unsigned int i = 0; i < 3 * LOG_BURST; i++)
		log_print(log, LOG_ERR, "message %u", i);
	is(lines(), LOG_BURST, "with it, a burst is");
	log->filled -= 2 * LOG_INTERVAL_MS;
	for (unsigned int i = 0; i < 3; i++)
		log_print(log, LOG_ERR, "later %u", i);
	ok(wrote("sivc: 200 messages were left out, because there were too many\n"
		 "sivc: later 0\nsivc: later 1\n"),
		"and later one each interval, and how many were left out");
	log->filled -= (uint64_t)10 * LOG_BURST * LOG_INTERVAL_MS;
	for (unsigned int i = 0; i < 3 * LOG_BURST; i++)
		log_print(log, LOG_ERR, "message %u", i);
	is(lines(), LOG_BURST + 1, "after a long pause, a burst again and no more");
	log_limit(log, false);
	log_print(log, LOG_ERR, "the end");
	ok(wrote("sivc: 200 messages were left out, because there were too many\nsivc: the end\n"),
		"what comes when the limit has ended is written");
}

int main(void)
{
	struct log log;

	if (!freopen("/dev/null", "r", stdin))
		return EXIT_FAILURE;
	stderr = tmpfile();
	if (!stderr)
		return EXIT_FAILURE;
	log_init(&log, "sivc", true, false);
	test_foreign_bytes(&log);
	test_limit(&log);
	return done_testing();
}
