/* SPDX-License-Identifier: MIT */
/*
 * restore.h: the hypervisor is opened again while we run.
 *
 * Either this domain was saved and restored, or migrated: it has another id, and what it shared is
 * gone.  Or the store answered too late, and what is in it is not
 * known.
 *
 * Every endpoint gives up what it had of the hypervisor, but for what senders had finished, and
 * publishes its table anew.  Readers go on waiting.  So do sends, if the receiver permits the new
 * id; else they fail.  If something is lacking, all is done again after BACKOFF_MS.
 *
 * After a restore, what was mapped from another domain reads as zeros, and is not used any more.
 */
#ifndef SIVC_RESTORE_H
#define SIVC_RESTORE_H

#include "core.h"

void restore_init(struct sivc *sivc);
void restore_deinit(struct sivc *sivc);

#endif
