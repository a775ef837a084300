/* SPDX-License-Identifier: MIT */
/*
 * name_cache.h: names of domains, for the users of this domain.
 *
 * Users may ask as often as they like, and on Xen each answer takes requests to dom0.  So after
 * NAME_READS in a row, names are read once in NAMES_PAUSE_MS; in between, the last answer counts.
 * permissions.c does not use this: rules go by the current names.
 */
#ifndef SIVC_NAME_CACHE_H
#define SIVC_NAME_CACHE_H

#include "core.h"

/* Fills sivc->names.  Returns how many there are, or an error. */
int name_cache_read(struct sivc *sivc);
void name_cache_forget(struct sivc *sivc);

#endif
