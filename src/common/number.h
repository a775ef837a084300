/* SPDX-License-Identifier: MIT */
/*
 * number.h: decimal numbers in text that is not ours.
 *
 * A number is written as printf's %u would: digits alone, no sign, no blank and no zero in front.
 */
#ifndef SIVC_NUMBER_H
#define SIVC_NUMBER_H

#include <stdint.h>

/*
 * The number that `text` begins with, 0 to `most`, and in *end what follows it.  If `end` is NULL,
 * nothing may follow.
 * -EINVAL: it is no number.  -ERANGE: it is one, above `most`.
 */
int number_parse(const char *text, uint64_t most, uint64_t *number, const char **end);

/* A whole text that is a domain id, 0 to SIVC_DOMID_MAX.  Errors as above. */
int domid_parse(const char *text, uint16_t *domid);

#endif
