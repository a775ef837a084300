/* SPDX-License-Identifier: MIT */
/*
 * sigbus.h: mapped memory that stays readable although what is behind it goes.
 */
#ifndef SIVC_HV_SIGBUS_H
#define SIVC_HV_SIGBUS_H

#include <stdbool.h>
#include <stddef.h>

/* Called where the fault was, in a signal handler, before zeros take the memory's place. */
typedef void sigbus_fn(void *memory, void *data);

/* 0, or why SIGBUS cannot be handled. */
int sigbus_install(void);

/*
 * From now on an access to what is no longer there finds zeros: a page of them where it was if
 * `gone` is NULL, else all of the memory, after `gone` was called.  -ENOMEM.
 */
int sigbus_add(void *memory, size_t length, sigbus_fn *gone, void *data);
bool sigbus_remove(void *memory); /* true: zeros are there, or were put into it */

#endif
