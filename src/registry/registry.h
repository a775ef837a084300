/* SPDX-License-Identifier: MIT */
/*
 * registry.h: who has which name, told to each domain in xenstore, as far as a policy lets it see.
 *
 * Errors: 0 or a negative errno; what went wrong is in the log.  After an error the connection to
 * xenstore, or what is published, may be in any state: withdraw, and end.  Not thread-safe, and
 * does not survive a fork.
 */
#ifndef SIVC_REGISTRY_H
#define SIVC_REGISTRY_H

#include "policy.h"

struct registry;

/* `log` has priorities of syslog.h.  Publishes nothing: that begins with a policy. */
int registry_open(void (*log)(void *data, int priority, const char *message), void *log_data,
	struct registry **registry);
void registry_free(struct registry *registry); /* NULL is fine; withdraws nothing */

/* Takes the policy over, and publishes what it says. */
int registry_set_policy(struct registry *registry, struct policy *policy);

/* Readable when registry_dispatch() has something to do, which never waits for a domain. */
int registry_fd(struct registry *registry);
int registry_dispatch(struct registry *registry);

/* Removes all that this registry, or one before it, has published. */
int registry_withdraw(struct registry *registry);

#endif
