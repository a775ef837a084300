/* SPDX-License-Identifier: MIT */
#ifndef SIVC_DEFAULT_DIR_H
#define SIVC_DEFAULT_DIR_H

/* Where local domains of this user meet if they do not say where.  Allocated; NULL: no memory. */
char *default_dir(void);

#endif
