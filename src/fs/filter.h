/* SPDX-License-Identifier: MIT */
/*
 * filter.h: which system calls this process can still make (seccomp).
 *
 * Three classes.  What sivcfs, libfuse, libsivc and Xen's libraries do when they serve works.  What
 * only somebody would call who has taken over the process ends it: executing, forking, tracing,
 * mounting, other identities, network sockets, modules ...  All the rest does not exist (ENOSYS),
 * so that a C library that is newer than this list takes its older ways.
 *
 * The sanitizers and valgrind do things that are deadly here: a build with b_sanitize has no
 * filter, and for valgrind it is to be built with -Dseccomp=disabled.
 */
#ifndef SIVCFS_FILTER_H
#define SIVCFS_FILTER_H

/* For ever, and for all threads that are made later.  Nothing, if it is not built in. */
int filter_install(void);

#endif
