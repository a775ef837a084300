/* SPDX-License-Identifier: MIT */
/*
 * held.h: reads and writes that wait.
 *
 * A held request is on its handle's list and known to libsivc (as a waiter or a sending) until it
 * is answered.  That happens once: when libsivc has what it waits for, or with abandon(), when its
 * process was interrupted or killed, when the endpoint closes, or at the end.  A process whose
 * request is not answered after an interrupt cannot be killed.
 *
 * libfuse calls the interrupt callback under the request's own lock, from within whatever request
 * is processed, or from the registration itself.  So it only puts the request on a list, and the
 * loop calls held_finish_interrupted() after each request.
 */
#ifndef SIVCFS_HELD_H
#define SIVCFS_HELD_H

#include "messages.h"

struct held {
	/* Set by held_init. */
	struct messages *messages;
	fuse_req_t request;
	/* Takes it back from libsivc, replies with the error unless part of it was done, frees it.
	 */
	void (*abandon)(struct held *held, int r);
	TAILQ_ENTRY(held) link;

	bool interrupted; /* and on the list of those */
	TAILQ_ENTRY(held) interrupted_link;
};

/* From here on it can be abandoned.  If it is interrupted already, do not begin to wait. */
void held_init(struct held *held, struct messages *messages, fuse_req_t request,
	void (*abandon)(struct held *held, int r));
void held_deinit(struct held *held);

void held_abandon_all(struct messages *messages, int r);
void held_finish_interrupted(struct fs *fs);

#endif
