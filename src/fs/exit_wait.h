/* SPDX-License-Identifier: MIT */
/*
 * exit_wait.h: was a process that ends ended by a signal?
 *
 * The kernel tells anybody, since Linux 6.15, as soon as the parent has waited for the process.  A
 * parent that does not is not waited for long.
 */
#ifndef SIVCFS_EXIT_WAIT_H
#define SIVCFS_EXIT_WAIT_H

#include <linux/ioctl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct fs;

/* What struct pidfd_info of <linux/pidfd.h> begins with; that header may be older. */
struct process_info {
	uint64_t mask; /* what is asked for, and what there is */
	uint64_t cgroup;
	uint32_t ids[11];
	int32_t exit_code; /* as wait(2) has it */
};

#define PROCESS_INFO _IOWR(0xFF, 11, struct process_info) /* PIDFD_GET_INFO */

/*
 * fn is called once, from the loop or from exit_wait_abandon_all(), with `otherwise` if it is not
 * known then.  Returns 1; 0: the same process is waited for with the same `data`; or a negative
 * errno: this kernel does not tell.
 */
int exit_wait_begin(struct fs *fs, pid_t process, bool otherwise,
	void (*fn)(void *data, bool by_signal), void *data);
void exit_wait_abandon_all(struct fs *fs);

#endif
