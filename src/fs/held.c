/* SPDX-License-Identifier: MIT */
#include "held.h"

#include <errno.h>

static void on_interrupt(fuse_req_t request, void *data)
{
	struct held *held = data;
	struct fs *fs = held->messages->file.branch->fs;

	(void)request;
	if (held->interrupted)
		return;
	held->interrupted = true;
	TAILQ_INSERT_TAIL(&fs->interrupted, held, interrupted_link);
}

void held_init(struct held *held, struct messages *messages, fuse_req_t request,
	void (*abandon)(struct held *held, int r))
{
	held->messages = messages;
	held->request = request;
	held->abandon = abandon;
	held->interrupted = false;
	TAILQ_INSERT_TAIL(&messages->held, held, link);
	fuse_req_interrupt_func(request, on_interrupt, held);
}

void held_deinit(struct held *held)
{
	struct fs *fs = held->messages->file.branch->fs;

	TAILQ_REMOVE(&held->messages->held, held, link);
	if (held->interrupted)
		TAILQ_REMOVE(&fs->interrupted, held, interrupted_link);
}

void held_abandon_all(struct messages *messages, int r)
{
	struct held *held;

	while ((held = TAILQ_FIRST(&messages->held)) != NULL)
		held->abandon(held, r);
}

void held_finish_interrupted(struct fs *fs)
{
	struct held *held;

	while ((held = TAILQ_FIRST(&fs->interrupted)) != NULL)
		held->abandon(held, -EINTR);
}
