/* SPDX-License-Identifier: MIT */
/*
 * sandbox.h: what a process of sivcfs can still ask of the kernel when its capabilities are gone.
 *
 * Landlock (landlock.c): which files it can open.  Root without capabilities still owns root's
 * files, such as /etc/shadow and those of /proc/sys.  It can write to the directory of the local
 * backend, to that of the locks, and to Xen's devices, and can read what libraries want; nothing
 * else.  It cannot send signals to processes outside of it either.  A kernel that has no Landlock,
 * or an older one, does less of this, and nothing is said about it.
 *
 * seccomp (seccomp.c): which system calls it can make.  What sivcfs, libfuse, libsivc and Xen's
 * libraries do when they serve works, with the arguments that they use.  All the rest does not
 * exist (ENOSYS): so a C library that is newer than the list takes its older ways.
 *
 * What both leave: sockets of this machine that root may connect to.  user= is for that.
 *
 * The sanitizers and valgrind do things that are forbidden here: a build with b_sanitize has
 * neither, and for valgrind it is to be built with -Dseccomp=disabled.
 */
#ifndef SIVCFS_SANDBOX_H
#define SIVCFS_SANDBOX_H

/* Each is for ever, for this thread and those that are made later.  Nothing, if it is not built in.
 */

/* `directory`, which must be there, is the local backend's; NULL: there is none. */
int sandbox_files(const char *directory);
int sandbox_calls(void);
/* For the mounter of root, once it has mounted. */
int sandbox_mounter_calls(void);

#endif
