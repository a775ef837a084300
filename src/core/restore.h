/* SPDX-License-Identifier: MIT */
/*
 * restore.h: the hypervisor is opened again while we run.
 *
 * It happens for two reasons.  This domain was saved and restored, or migrated: it has another id,
 * and grants, mappings, event channels and nodes are gone.  Or the store answered too late, and
 * what is in it is not known.
 *
 * Every endpoint gives up what it had of the hypervisor, but for what senders had finished, and
 * publishes its table anew.  Readers go on waiting.  So do sends, if the receiver permits the new
 * id; else they fail.
 *
 * After a restore, what was mapped from another domain reads as zeros; nothing is done with it any
 * more.  If something is lacking, all of it is done again after BACKOFF_MS.
 */
#ifndef SIVC_RESTORE_H
#define SIVC_RESTORE_H

#include "core.h"

void restore_init(struct sivc *sivc);
void restore_deinit(struct sivc *sivc);

#endif
