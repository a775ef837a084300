/* SPDX-License-Identifier: MIT */
/*
 * options.h: the command line of sivcfs, checked.
 *
 * Three kinds of -o options: ours; those of mount(8) and fstab, which say nothing to us and are
 * dropped; and FUSE's, which stay in `fuse` for libfuse to judge.
 */
#ifndef SIVCFS_OPTIONS_H
#define SIVCFS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs.h"

struct log;

struct options {
	/* As given. */
	char *source;     /* xen, local, auto */
	char *mountpoint; /* absolute */
	char *endpoint;
	char *acl;  /* file with rules to start with, or NULL */
	char *dir;  /* local: absolute, or NULL */
	char *name; /* local, or NULL */
	int foreground;
	int debug;
	int help;
	int version;

	/* The texts of numbers, and the numbers. */
	char *ring_text;
	char *max_msg_text;
	char *spin_text;
	char *uid_text;
	char *gid_text;
	char *user_text; /* whom to run as, or NULL */
	char *domid_text;
	uint32_t ring;    /* bytes; 0: default */
	uint32_t max_msg; /* bytes; 0: default */
	uint32_t spin;    /* microseconds */
	uid_t uid;
	gid_t gid;
	int domid; /* -1: not given */
	char *user_name;
	uid_t user_uid; /* 0 if we stay who we are */
	gid_t user_gid;

	/* For libfuse. */
	struct fuse_args fuse;

	const struct log *log;
};

/*
 * 0, also if help or version was asked for (then nothing else is checked); or a negative errno, and
 * the log says what is wrong with which option.  options_deinit() in both cases.
 */
int options_init(struct options *options, const struct log *log, int argc, char **argv);
void options_deinit(struct options *options);

void options_usage(void);

#endif
