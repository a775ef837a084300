/* SPDX-License-Identifier: MIT */
/*
 * fork.h: what a child of this process does not get.
 *
 * A child has copies of all descriptors.  A lock, and the proof that a process lives, last until
 * the last copy is closed; and what a child does to a copy of an epoll set or an inotify descriptor
 * is done to its parent.  So these descriptors are private: in a child that fork(2) makes, another
 * file is in their place before fork() returns there, one that takes no request.  What the parent
 * has opened is of no use to the child, which can still free it.
 *
 * A process made by clone(2) alone is not seen here.  It keeps what it has until it ends or calls
 * exec: all descriptors are close-on-exec.
 */
#ifndef SIVC_HV_FORK_H
#define SIVC_HV_FORK_H

int fork_init(void); /* before the first of what follows.  0 or -ENOMEM */

/* The descriptor, private from now on.  A negative one is returned as it is.  -ENOMEM, which errno
 * is then, too: closed. */
int fork_private(int fd);
void fork_close(int fd); /* what fork_private() has returned; negative is fine */

/* The same for a descriptor that a library opens and closes.  0 or -ENOMEM, in errno, too. */
int fork_add(int fd);
void fork_remove(int fd); /* before it is closed */

/*
 * No other thread forks in between, so that no child has a descriptor that is not private yet.
 * They do not nest.  (A signal handler may not fork: POSIX.)
 */
void fork_hold(void);
void fork_release(void);

#endif
