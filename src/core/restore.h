/* SPDX-License-Identifier: MIT */
/*
 * restore.h: the hypervisor is opened again while we run.
 *
 * Either this domain was saved and restored (or migrated).  It goes on under another id.  Grants,
 * mappings, event channels and nodes are gone; our processes, our memory, and what was in our rings
 * are not.  Or the store has answered too late, and what is in it is not known; then all else is as
 * it was, and messages go on until the hypervisor is open again.
 *
 * So every endpoint gives up what it had of the hypervisor (what senders had finished is kept, to
 * be read), and publishes its table anew.  Readers go on waiting.  Writers that wait go on too, if
 * the receiver permits the new id; else their sends fail.
 *
 * What was mapped from another domain reads as zeros after a restore.  Nothing is done with it
 * before the new beginning, which is a task of the loop.  If something is lacking then, all of it
 * is done again after BACKOFF_MS; meanwhile an endpoint has no event channels, and waits.
 */
#ifndef SIVC_RESTORE_H
#define SIVC_RESTORE_H

#include "core.h"

void restore_init(struct sivc *sivc);
void restore_deinit(struct sivc *sivc);

#endif
