/* SPDX-License-Identifier: MIT */
/*
 * rules.h: the file of the option acl=.
 *
 * It is read when sivcfs starts; again at SIGHUP, by the mounter, which can still open it
 * (mounter.h); and by `-o remount,acl=FILE`, which is a program of its own and writes what it has
 * read to the acl of the mount.  Each time the whole text is one update.
 */
#ifndef SIVCFS_RULES_H
#define SIVCFS_RULES_H

#include <stddef.h>

struct log;
struct options;

/*
 * From where `fd` stands to its end; *text is for the caller to free().
 * -EFBIG: it is longer than one write of an acl may be.
 */
int rules_read(int fd, char **text, size_t *length);
int rules_read_file(const char *path, char **text, size_t *length);

/* What -o remount does, instead of mounting.  The log says what went wrong. */
int rules_remount(const struct options *options, struct log *log);

#endif
