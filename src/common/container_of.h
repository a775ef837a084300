/* SPDX-License-Identifier: MIT */
/* container_of.h: from a member to what it is a member of. */
#ifndef SIVC_CONTAINER_OF_H
#define SIVC_CONTAINER_OF_H

#include <stddef.h>

/* For callbacks that are given what is embedded in their own struct.  The pointer is not checked to
 * be of the member's type, so that it may be const or not. */
#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#endif
