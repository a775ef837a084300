/* SPDX-License-Identifier: MIT */
#include "number.h"

#include <errno.h>
#include <sivc/ioctl.h>
#include <stdbool.h>
#include <stddef.h>

#define DECIMAL 10

int number_parse(const char *text, uint64_t most, uint64_t *number, const char **end)
{
	bool too_large = false;
	uint64_t value = 0;
	const char *p;

	for (p = text; *p >= '0' && *p <= '9'; p++) {
		uint64_t digit = (uint64_t)(*p - '0');

		if (too_large || digit > most || value > (most - digit) / DECIMAL)
			too_large = true;
		else
			value = value * DECIMAL + digit;
	}
	if (p == text || (text[0] == '0' && p > text + 1) || (!end && *p != '\0'))
		return -EINVAL;
	if (too_large)
		return -ERANGE;
	*number = value;
	if (end)
		*end = p;
	return 0;
}

int domid_parse(const char *text, uint16_t *domid)
{
	uint64_t number;
	int r = number_parse(text, SIVC_DOMID_MAX, &number, NULL);

	if (r == 0)
		*domid = (uint16_t)number;
	return r;
}
