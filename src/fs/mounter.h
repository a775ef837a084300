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
 * What is mounted is unmounted also when sivcfs is killed.  It is enough to look whether what
 * stands on the mount point is dead: it is after sivcfs has ended, unless it was unmounted, and
 * then whatever is there now is another's, and alive.
 */
#ifndef SIVCFS_MOUNTER_H
#define SIVCFS_MOUNTER_H

#include <sys/types.h>

struct fuse_session;

struct mounter {
	int socket; /* to the mounter; -1: there is none */
	pid_t pid;
};

/* Nothing is mounted yet.  `session` has FUSE's options; `mountpoint` is absolute. */
int mounter_start(struct fuse_session *session, const char *mountpoint, struct mounter *mounter);
/* A descriptor of /dev/fuse, of what is mounted now.  -EIO: libfuse has said why it is not. */
int mounter_mount(struct mounter *mounter);
/* The descriptor was closed: unmounts, and waits until that is done. */
void mounter_end(struct mounter *mounter);

#endif
