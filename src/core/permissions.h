/* SPDX-License-Identifier: MIT */
/*
 * permissions.h: an endpoint's access control table in force.
 *
 * Rules become pages and rings.  Refusals come first, so at no time more is allowed than the old or
 * the new table allows.  A rule can change its meaning without being written: a name gets another
 * domain, or under `allow *` a domain comes.  Only for such rules are names watched.  A domain id
 * that loses its name is refused at once: the next domain with this id inherits nothing.
 *
 * A domain may change its name all the time: names are read once in NAMES_PAUSE_MS at most.
 */
#ifndef SIVC_PERMISSIONS_H
#define SIVC_PERMISSIONS_H

#include "endpoint.h"

void permissions_init(struct permissions *permissions);
void permissions_deinit(struct sivc_endpoint *ep);
/* Around a change of the hypervisor's handles. */
void permissions_suspend(struct sivc_endpoint *ep);
int permissions_resume(struct sivc_endpoint *ep);

#endif
