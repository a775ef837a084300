/* SPDX-License-Identifier: MIT */
/*
 * dying.h: is a process that closes a file being ended by a signal?
 */
#ifndef SIVCFS_DYING_H
#define SIVCFS_DYING_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * `thread` is a thread's id, as a request has it, while it waits for the answer.  0: its process is
 * not ended by a signal; 1: *process may be, and *seems to be or not; a negative errno: that cannot
 * be seen.
 */
int dying_of_signal(pid_t thread, pid_t *process, bool *seems);

#endif
