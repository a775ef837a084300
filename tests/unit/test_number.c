/* SPDX-License-Identifier: MIT */
/*
 * Decimal numbers in other people's text.
 */
#include "number.h"

#include <errno.h>
#include <string.h>

#include "tap.h"

#define UNTOUCHED 77

/* What a whole text gives: the number, or the error. */
static long whole(const char *text, uint64_t most)
{
	uint64_t number = UNTOUCHED;
	int r = number_parse(text, most, &number, NULL);

	if (r < 0 && number != UNTOUCHED)
		return -EFAULT;
	return r < 0 ? r : (long)number;
}

int main(void)
{
	const char *const none[] = {
		"", " 1", "1 ", "+1", "-1", "00", "01", "1x", "0x1", "a", "1\n"};
	const char *end = NULL;
	uint64_t number = 0;
	uint16_t domid = UNTOUCHED;

	is(whole("0", 9), 0, "0 is a number");
	is(whole("9", 9), 9, "so is the largest");
	is(whole("10", 9), -ERANGE, "one more is too large");
	is(whole("10", 0), -ERANGE, "also where 0 is the largest");
	is(whole("99999999999999999999999999", UINT64_MAX), -ERANGE, "and what fits nowhere");
	is(number_parse("18446744073709551615", UINT64_MAX, &number, NULL), 0, "2^64 - 1 fits");
	ok(number == UINT64_MAX, "and is what it is");
	is(whole("18446744073709551616", UINT64_MAX), -ERANGE, "2^64 does not");
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		ok(whole(none[i], 100) == -EINVAL, "no number: case %zu", i);
	is(whole("999x", 9), -EINVAL, "a large one with a letter behind it is none");
	is(number_parse("64K", 100, &number, &end), 0, "what follows a number may be asked for");
	ok(number == 64 && strcmp(end, "K") == 0, "and is not part of it");
	is(number_parse("640K", 100, &number, &end), -ERANGE, "the number has to fit nevertheless");
	is(domid_parse("32752", &domid), -ERANGE, "32752 is no domain id");
	ok(domid == UNTOUCHED, "and nothing is written");
	is(domid_parse("32751", &domid), 0, "32751 is one");
	is(domid, 32751, "the last one");
	return done_testing();
}
