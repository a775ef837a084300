/* SPDX-License-Identifier: MIT */
/*
 * lock.h: one registry at a time.
 *
 * Two would undo each other's work, and the one that ends would remove the names of the other.  The
 * kernel releases the lock when the process ends, however it ends.  The file stays: one that is
 * unlinked while somebody else is about to lock it would give two holders.
 */
#ifndef SIVC_REGISTRY_LOCK_H
#define SIVC_REGISTRY_LOCK_H

#include <sys/types.h>

#define LOCK_FILE LOCK_DIR "/registry.lock"
#define LOCK_DIR  "/run/sivc"

/*
 * A descriptor that has the lock until it is closed; a child of fork does not have it.
 * -EBUSY: another process has it; *holder is its id, 0 if it is not known.
 * Otherwise, what making or opening LOCK_FILE fails with.
 */
int lock_take(pid_t *holder);
void lock_release(int lock); /* a negative one is fine */

#endif
