/* SPDX-License-Identifier: MIT */
/*
 * name_cache.h: who has which name, for the users of this domain.
 *
 * Whoever may look into a mount can ask, as often as they like, and on Xen each time that the names
 * are read takes a request to xenstored for each of them: in dom0, and in everybody's way.  So
 * after NAME_READS in a row they are read once in NAMES_PAUSE_MS.  Who asks meanwhile gets what was
 * read last, or the error that it was.
 *
 * That is for showing, for sending, and for who asks whether a domain is permitted.  Whom a rule
 * permits is read by permissions.c, which trusts no copy.
 */
#ifndef SIVC_NAME_CACHE_H
#define SIVC_NAME_CACHE_H

#include "core.h"

/* Makes sivc->names as new as it has to be.  Returns how many there are, or an error. */
int name_cache_read(struct sivc *sivc);
/* What was read is of a hypervisor that is closed now. */
void name_cache_forget(struct sivc *sivc);

#endif
