/* SPDX-License-Identifier: MIT */
/*
 * lock.h: one process at a time, in one domain of Xen: for an endpoint, or as the registry.
 *
 * The kernel releases the lock when the process ends, however it ends.  It belongs to an open file
 * (OFD), not to a process, so that one process cannot take it twice either.  The file stays: one
 * that is unlinked while somebody else is about to lock it would give two holders.
 *
 * Whoever may write to LOCK_DIR could put there what they like: a link is not followed, and
 * nothing but a file of this user is locked, one that has no other name, and it is still there when
 * it is locked.  Whoever may read the file could hold
 * a lock that keeps us out: nobody else may.  What is in it is for the message of who finds it
 * locked.
 */
#ifndef SIVC_HV_LOCK_H
#define SIVC_HV_LOCK_H

#include <sys/types.h>

#define LOCK_DIR "/run/sivc"

/*
 * A descriptor that has the lock of the file `name` in LOCK_DIR until it is closed.  Taken after
 * the last fork: a child would hold it, too.
 * -EBUSY: another process has it; *holder is its id, 0 if it is not known.
 * -EPERM: the file is another user's.  -ESTALE: somebody takes it away all the time.
 * Otherwise, what making or opening the file fails with.
 */
int lock_take(const char *name, pid_t *holder);
void lock_release(int lock); /* a negative one is fine */

#endif
