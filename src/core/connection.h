/* SPDX-License-Identifier: MIT */
/*
 * connection.h: the handle of the hypervisor, and what the store says.
 */
#ifndef SIVC_CONNECTION_H
#define SIVC_CONNECTION_H

#include "core.h"

/* Takes over a handle of the hypervisor; gives it back. */
int connection_take(struct sivc *sivc, struct hv *hv);
void connection_close(struct sivc *sivc);

/* Takes in what the store has to say, so that an answer is not older than the question. */
void connection_look(struct sivc *sivc);

/* The store takes no more requests: it is opened anew from the loop (restore.c). */
void connection_renew(struct sivc *sivc);

/*
 * Was this domain restored?  Then what was read of another domain is not its word.  To be asked
 * before a peer is held to what it says.
 */
bool connection_lost(struct sivc *sivc);

#endif
