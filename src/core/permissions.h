/* SPDX-License-Identifier: MIT */
/*
 * permissions.h: an endpoint's access control table in force.
 *
 * The acl says who may send; here it becomes pages and rings.  Refusals come first, so that at no
 * time more is allowed than the old or the new table allows.  What a rule means can change without
 * the table being written: a name gets another domain (`allow web`), a domain comes (`allow *`);
 * only then are names watched.  A domain id that a name has lost is refused at once, so that who
 * gets the id next inherits nothing.
 *
 * The adversary may come and go under a name of its own, or rewrite its own; the names are the
 * registry's word.  They are read once in NAMES_PAUSE_MS, and less often if reading takes long.
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
