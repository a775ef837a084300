/* SPDX-License-Identifier: MIT */
/*
 * mounter.h: the process that mounts and unmounts.
 *
 * Both need privileges (CAP_SYS_ADMIN, or the set-user-id program fusermount3), which the process
 * that talks to other domains must not have.  So there are two: the mounter keeps the privileges
 * and does nothing but this; the other gives them up before it opens anything (privilege.h).  It is
 * forked first, because nothing of libsivc survives a fork.
 *
 *	sivcfs			mounter
 *	mounter_start()		waits
 *	gives up privileges
 *	opens libsivc
 *	mounter_mount()  --->	mounts, keeps no more than it needs to unmount
 *		   fd of /dev/fuse <---
 *	serves			waits for the end of the other, however that comes
 *	ends             --->	unmounts what is dead there
 *
 * What is mounted is unmounted also when sivcfs is killed, if it is dead, has the device number of
 * what was mounted, and stands under the same name in the same directory.  It does not matter which
 * path leads to that directory by then.
 *
 * The mounter can still read the file of acl=, which may be root's, and does so when it is asked.
 * It takes nothing else from the other process, no path in particular.
 */
#ifndef SIVCFS_MOUNTER_H
#define SIVCFS_MOUNTER_H

#include <sys/types.h>

struct fuse_session;

struct mounter {
	int socket; /* to the mounter; -1: there is none */
	pid_t pid;
};

/* Nothing is mounted yet.  `session` has FUSE's options; the paths are absolute; `acl` may be NULL.
 */
int mounter_start(struct fuse_session *session, const char *mountpoint, const char *acl,
	struct mounter *mounter);
/* A descriptor of /dev/fuse, of what is mounted now.  -EIO: libfuse has said why it is not. */
int mounter_mount(struct mounter *mounter);
/*
 * What is in the file of acl= now: the answer comes when the socket is readable.  It is a
 * descriptor of memory that has the text; or an error of opening and reading the file, which must
 * be a regular one (-EINVAL); or -EPIPE: the mounter has ended.
 */
int mounter_ask_rules(struct mounter *mounter);
int mounter_receive_rules(struct mounter *mounter);
/* The descriptor was closed: unmounts, and waits until that is done. */
void mounter_end(struct mounter *mounter);

#endif
