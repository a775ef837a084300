/* SPDX-License-Identifier: MIT */
/*
 * privilege.h: what this process may do.
 *
 * Root is needed to mount and unmount, which the mounter does (mounter.h); to read the file of
 * acl=; and to become the user of user=.  Nothing else here needs more than any user has who may
 * open the files: the directory of the local backend, or Xen's devices.  So all of it is given up
 * at once, before libsivc is opened and before anything is read that another domain has written,
 * and what works when it starts works later, too, when devices are opened anew after a restore.
 *
 * Given up are all capabilities; that a program could be executed which has some; and, where the
 * build has them, the files and system calls that nothing here needs (sandbox.h).
 *
 * user= is better than root without capabilities: it is nobody to the sockets and files of others.
 */
#ifndef SIVCFS_PRIVILEGE_H
#define SIVCFS_PRIVILEGE_H

#include <stdint.h>

struct log;
struct options;

/* The log says what could not be given up, or become. */
int privilege_drop(const struct options *options, struct log *log);

/* Keeps these capabilities (a bit for each CAP_*), of those there are, and gains no others. */
int privilege_limit(uint64_t capabilities);

#endif
