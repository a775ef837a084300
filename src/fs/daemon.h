/* SPDX-License-Identifier: MIT */
/*
 * daemon.h: into the background.
 *
 * The fork comes first, because nothing of libsivc survives one.  The parent waits until the child
 * is mounted, or has ended; until then the child has the terminal for what went wrong.
 */
#ifndef SIVCFS_DAEMON_H
#define SIVCFS_DAEMON_H

/* 0 in the child, and *ready is for daemon_ready(); 1 in the parent when the child is ready. */
int daemon_fork(int *ready);
/* Lets go of the terminal, the directory and the parent. */
int daemon_ready(int ready);

#endif
