/* SPDX-License-Identifier: MIT */
/*
 * options.h: the command line of sivcfs, checked.
 *
 * One table (options.c) says of every -o option what it is called, what its value may be, where
 * that goes and what the help text says.  Three kinds are in it: ours; those of mount(8) and
 * fstab(5), which say nothing to us and are dropped; and those that libfuse and the kernel are to
 * get, which are collected in `fuse`.
 */
#ifndef SIVCFS_OPTIONS_H
#define SIVCFS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs.h"

struct log;

struct options {
	/* Arguments. */
	char *source;     /* xen, local, auto */
	char *mountpoint; /* absolute */
	bool foreground;
	bool debug;
	bool help;
	bool version;

	/* -o.  Written by the functions of the table. */
	bool remount;     /* mount nothing: remount.h */
	char *endpoint;   /* never NULL when options_init() has succeeded */
	char *acl;        /* file with rules, absolute; NULL: none */
	char *dir;        /* local: absolute; NULL: the default */
	char *name;       /* local; NULL: none */
	int domid;        /* local; -1: not given */
	uint32_t ring;    /* bytes; 0: default */
	uint32_t max_msg; /* bytes; 0: default */
	uint32_t spin;    /* microseconds, or SIVC_SPIN_* */
	uid_t uid;
	gid_t gid;
	mode_t mode;     /* of inbox and peers/N */
	mode_t acl_mode; /* of acl */
	mode_t umask;    /* taken from the modes of all files and directories */
	char *user_name; /* whom to run as; NULL: we stay who we are */
	uid_t user_uid;  /* 0: we stay who we are */
	gid_t user_gid;

	const char *local_only; /* an option that was given and is for the local backend, or NULL */

	/* For libfuse. */
	struct fuse_args fuse;

	struct log *log;
};

/*
 * 0, also if help or version was asked for (then nothing else is checked); or a negative errno, and
 * the log says what is wrong with which option.  options_deinit() in both cases.
 */
int options_init(struct options *options, struct log *log, int argc, char **argv);
void options_deinit(struct options *options);

void options_usage(void);

#endif
