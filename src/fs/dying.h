/* SPDX-License-Identifier: MIT */
/*
 * dying.h: is a process that closes a file being ended by a signal?
 */
#ifndef SIVCFS_DYING_H
#define SIVCFS_DYING_H

#include <sys/types.h>

/*
 * `thread` is a thread's id, as a request has it, while it waits for the answer.  1: its process is
 * ended by a signal, or by exit(2) in a thread that is not its first and has gone, and *process is
 * its id; 0: neither; a negative errno: that cannot be seen.
 */
int dying_of_signal(pid_t thread, pid_t *process);

#endif
