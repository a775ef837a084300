/* SPDX-License-Identifier: MIT */
/*
 * sigbus.h: mapped memory that stays readable although what is behind it goes.
 */
#ifndef SIVC_HV_SIGBUS_H
#define SIVC_HV_SIGBUS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Called where the fault was, in a signal handler, before zeros take the memory's place. */
typedef void sigbus_fn(void *memory, void *data);

/* 0, or why SIGBUS cannot be handled.  Before anything else here. */
int sigbus_init(void);

/*
 * A shared mapping of `length` bytes of the file, which has the 2 MiB of addresses that it is in to
 * itself.  An access to what is no longer there finds zeros: a page of them where it was if `gone`
 * is NULL, else all of the memory, after `gone` was called.  What mmap(2) fails with; -ENOMEM:
 * there are no addresses left.
 */
int sigbus_map(
	size_t length, int prot, int fd, off_t offset, sigbus_fn *gone, void *data, void **memory);
bool sigbus_unmap(void *memory); /* true: zeros are there, or were put into it */

#endif
