/* SPDX-License-Identifier: MIT */
/*
 * tree.h: which files there are.
 *
 * A branch is an endpoint with its directory and the files in it: the root of the mount, and one
 * for each directory in endpoints/ and streams/.  A node is what one FUSE node id means; the id is
 * the node's address (the root's is FUSE_ROOT_ID).  Directories, acl, inbox, self and stats have
 * one node each, in the branch.
 *
 * What is in peers/ gets a new node, an alias, at every lookup.  The kernel holds the lock of an
 * inode during a direct write, and somebody who waits for that lock cannot be killed.  A write to
 * peers/7 may wait for as long as domain 7 likes; so everybody who opens peers/7 must have an inode
 * of his own.  (Who is handed an open file, by fork or through /proc/self/fd, shares its inode:
 * such writers wait for each other.)  The aliases of a file have the same st_ino, and the same
 * owner, mode and times.
 *
 * A branch lives as long as the kernel knows a node of it or has a file of it open, also when its
 * endpoint is closed (rmdir): everything on it then fails with ENODEV.
 */
#ifndef SIVCFS_TREE_H
#define SIVCFS_TREE_H

#include <stdint.h>
#include <sys/stat.h>

/* HASH_ADD must not end the process when there is no memory. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "fs.h"

enum node_kind {
	NODE_TOP, /* an endpoint's directory */
	NODE_PEERS,
	NODE_ENDPOINTS, /* in the root only */
	NODE_STREAMS,   /* in the root only */
	NODE_ACL,
	NODE_INBOX,
	NODE_INBOX_FROM, /* its owner, mode and times are inbox's */
	NODE_SELF,       /* in the root only */
	NODE_STATS,
	NODE_FIXED, /* how many there are of those above */
	NODE_PEER = NODE_FIXED,
	NODE_NAME, /* a symbolic link to a NODE_PEER */
};

struct node {
	struct branch *branch;
	enum node_kind kind;
	uint16_t domid; /* of NODE_PEER and NODE_NAME */
	uint64_t lookups;
	bool endless;           /* tree_endless */
	unsigned int changes;   /* of the branch, when this was looked up */
	TAILQ_ENTRY(node) link; /* aliases */
};

/* What can be changed with chmod, chown and utimes.  In memory only. */
struct attributes {
	uint32_t key; /* kind and domain */
	mode_t mode;
	uid_t uid;
	gid_t gid;
	struct timespec atime;
	struct timespec mtime;
	struct timespec ctime;
	UT_hash_handle hh;
};

struct file;

struct branch {
	struct fs *fs;
	struct sivc_endpoint *endpoint; /* NULL: closed */
	bool streams;                   /* it is one of streams */
	char name[SIVC_ENDPOINT_MAX + 1];
	uint32_t number; /* for st_ino */
	TAILQ_ENTRY(branch) link;
	uint64_t references; /* lookups and open files; 1 more while it is in the tree */

	struct node fixed[NODE_FIXED];
	TAILQ_HEAD(, node) aliases;
	TAILQ_HEAD(, file) files; /* open: file.c */

	/* Attributes: of each file until it is changed, and of those that were. */
	uid_t uid;
	gid_t gid;
	mode_t mode;          /* of the directory */
	unsigned int changes; /* of modes and owners */
	struct timespec made;
	struct attributes *changed;

	struct locks *locks; /* of files that have some: locks.c */
};

/* Opens the endpoint.  -EBUSY, -EINVAL, -EEXIST ... as sivc_endpoint_open(). */
int branch_new(struct fs *fs, const char *name, bool streams, struct branch **branch);
/* Answers what is held, closes the endpoint, and takes the branch out of the tree. */
void branch_close(struct branch *branch);
void branch_get(struct branch *branch);
void branch_put(struct branch *branch, uint64_t references);
struct branch *branch_find(const struct fs *fs, const char *name, bool streams);
/* However many references the kernel still holds. */
void tree_free(struct fs *fs);

struct node *node_of(const struct fs *fs, fuse_ino_t ino);
ino_t node_number(const struct branch *branch, enum node_kind kind, uint16_t domid);
mode_t node_type(enum node_kind kind); /* S_IF* */
const char *node_name(enum node_kind kind);
bool node_exists(const struct branch *branch, enum node_kind kind);
void node_attributes(const struct node *node, struct attributes *attributes);
void node_stat(const struct node *node, struct stat *st);

/*
 * The size is 0 for stat(2), so that programs that copy files pass the messages by.  But the kernel
 * takes it for the end of the file too, and ends sendfile(2) and asynchronous reads there without
 * asking us.  So when a node is opened for reading, the kernel is told of an end that is never
 * reached, and again after each answer to stat, which takes that back.
 *
 * Such a notice makes the kernel ignore an answer that is under way, the mode in it included.  So
 * it is not given once a mode or owner was changed, perhaps through another alias.
 */
void tree_endless(struct node *node);

void reply_entry(fuse_req_t request, struct node *node);

void tree_lookup(fuse_req_t request, fuse_ino_t parent, const char *name);
void tree_forget(fuse_req_t request, fuse_ino_t ino, uint64_t count);
void tree_forget_multi(fuse_req_t request, size_t count, struct fuse_forget_data *forgets);
void tree_getattr(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi);
void tree_setattr(
	fuse_req_t request, fuse_ino_t ino, struct stat *st, int set, struct fuse_file_info *fi);
void tree_readlink(fuse_req_t request, fuse_ino_t ino);

#endif
