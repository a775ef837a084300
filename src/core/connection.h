/* SPDX-License-Identifier: MIT */
/*
 * connection.h: the handle of the hypervisor, and what the store says.
 */
#ifndef SIVC_CONNECTION_H
#define SIVC_CONNECTION_H

#include "core.h"

/* `hv` is its own from now on. */
int connection_take(struct sivc *sivc, struct hv *hv);
void connection_close(struct sivc *sivc);

/* Takes in what the store has to say. */
void connection_look(struct sivc *sivc);

/* The store takes no more requests: a task opens it anew (restore.c). */
void connection_renew(struct sivc *sivc);

/* Was this domain restored?  To be asked before a peer is blamed for what was read. */
bool connection_lost(struct sivc *sivc);

#endif
