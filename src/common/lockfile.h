/* SPDX-License-Identifier: MIT */
/*
 * lockfile.h: one process at a time, in one domain of Xen: for an endpoint, or as the registry.
 *
 * The kernel releases the lock when the process ends, however it ends.  It belongs to an open file
 * (OFD), not to a process, so that one process cannot take it twice either.  The file stays: one
 * that is unlinked while somebody else is about to lock it would give two holders.
 *
 * Others may be able to write to the directory.  A symbolic link is not followed.  Nothing is
 * locked but a regular file of our own user that has one name, and that name must still be the
 * file's when it is locked.  Its mode lets nobody else open it, because who can read a file can
 * lock it.  What is in the file is the holder's process id, for the message of who finds it locked.
 */
#ifndef SIVC_LOCKFILE_H
#define SIVC_LOCKFILE_H

#include <sys/types.h>

#define LOCKFILE_DIR "/run/sivc" /* of endpoints */

/*
 * A descriptor that has the lock of the file `name` in `directory` until it is closed.  Taken after
 * the last fork: a child would hold it, too.  The directory is made if it is not there.
 * -EBUSY: another process has it; *holder is its id, 0 if it is not known.
 * -EINVAL: it is no regular file, or has a second name.  -EPERM: it is another user's.
 * -ESTALE: its name was taken away meanwhile.  Otherwise, what making or opening the file fails
 * with.
 */
int lockfile_take(const char *directory, const char *name, pid_t *holder);
/* The same in a directory that is open.  holder may be NULL. */
int lockfile_take_at(int directory, const char *name, pid_t *holder);
void lockfile_release(int lock); /* a negative one is fine */

#endif
