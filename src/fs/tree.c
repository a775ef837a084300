/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include <errno.h>
#include <sivc/ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "file.h"
#include "locks.h"
#include "log.h"
#include "number.h"
#include "text.h"

#define BLOCK_SIZE      131072 /* what a program writes at once, and so one message */
#define STAT_UNIT       512    /* of st_blocks */
#define DOMID_DIGITS    5
#define KIND_SHIFT      16 /* above the domain id, in keys and st_ino */
#define BRANCH_SHIFT    24
#define NEVER_REACHED   ((off_t)1 << 40) /* bytes; as an int, which FIONREAD is, 0 */
#define FOREVER         86400.0 /* seconds; nobody but the kernel's callers changes these */
#define PERMISSION_BITS 01777   /* nothing here is ever set-id */

/* What the kinds of file are called, and what they are until somebody changes it. */
static const struct kind {
	const char *name; /* NULL: it has no fixed one */
	mode_t mode;
	bool root_only;
} kinds[] = {
	[NODE_TOP] = {NULL, S_IFDIR | 0755, false},
	[NODE_PEERS] = {"peers", S_IFDIR | 0755, false},
	[NODE_ENDPOINTS] = {"endpoints", S_IFDIR | 0755, true},
	[NODE_STREAMS] = {"streams", S_IFDIR | 0755, true},
	[NODE_ACL] = {"acl", S_IFREG | 0600, false},
	[NODE_INBOX] = {"inbox", S_IFREG | 0600, false},
	[NODE_INBOX_FROM] = {"inbox.from", S_IFREG | 0600, false},
	[NODE_SELF] = {"self", S_IFREG | 0444, true},
	[NODE_STATS] = {"stats", S_IFREG | 0444, false},
	[NODE_PEER] = {NULL, S_IFREG | 0600, false},
	[NODE_NAME] = {NULL, S_IFLNK | 0777, false},
};

/* Branches. */

int branch_new(struct fs *fs, const char *name, bool streams, struct branch **result)
{
	struct branch *branch = calloc(1, sizeof(*branch));
	int r;

	if (!branch)
		return -ENOMEM;
	r = streams ? sivc_stream_open(fs->sivc, name, NULL, &branch->endpoint)
		    : sivc_endpoint_open(fs->sivc, name, NULL, &branch->endpoint);
	if (r < 0) {
		free(branch);
		return r;
	}
	branch->fs = fs;
	branch->streams = streams;
	strcpy(branch->name, name); /* libsivc took it: it is not longer */
	branch->number = ++fs->branches_made;
	branch->references = 1;
	branch->uid = fs->uid;
	branch->gid = fs->gid;
	branch->mode = kinds[NODE_TOP].mode;
	clock_gettime(CLOCK_REALTIME, &branch->made);
	TAILQ_INIT(&branch->aliases);
	TAILQ_INIT(&branch->files);
	for (enum node_kind kind = NODE_TOP; kind < NODE_FIXED; kind++)
		branch->fixed[kind] = (struct node){.branch = branch, .kind = kind};
	TAILQ_INSERT_TAIL(&fs->branches, branch, link);
	*result = branch;
	return 0;
}

static void branch_free(struct branch *branch)
{
	struct attributes *attributes, *next;

	HASH_ITER (hh, branch->changed, attributes, next) {
		HASH_DEL(branch->changed, attributes);
		free(attributes);
	}
	TAILQ_REMOVE(&branch->fs->branches, branch, link);
	free(branch);
}

void branch_get(struct branch *branch)
{
	branch->references++;
}

void branch_put(struct branch *branch, uint64_t references)
{
	branch->references -= references;
	if (branch->references == 0)
		branch_free(branch);
}

void branch_close(struct branch *branch)
{
	struct sivc_endpoint *endpoint = branch->endpoint;
	struct file *file;

	if (!endpoint)
		return;
	branch->endpoint = NULL; /* whatever comes from here on is ENODEV */
	TAILQ_FOREACH (file, &branch->files, link)
		if (file->ops->leave)
			file->ops->leave(file);
	locks_close(branch);
	sivc_endpoint_close(endpoint);
	branch_put(branch, 1);
}

struct branch *branch_find(const struct fs *fs, const char *name, bool streams)
{
	struct branch *branch;

	TAILQ_FOREACH (branch, &fs->branches, link)
		if (branch != fs->root && branch->endpoint && branch->streams == streams &&
			strcmp(branch->name, name) == 0)
			return branch;
	return NULL;
}

static void alias_free(struct node *node)
{
	TAILQ_REMOVE(&node->branch->aliases, node, link);
	free(node);
}

void tree_free(struct fs *fs)
{
	struct branch *branch, *next;
	struct node *node;
	struct file *file;

	for (branch = TAILQ_FIRST(&fs->branches); branch; branch = next) {
		next = TAILQ_NEXT(branch, link);
		branch_get(branch); /* until we are done with it */
		branch_close(branch);
		while ((file = TAILQ_FIRST(&branch->files)) != NULL)
			file_release(file);
		while ((node = TAILQ_FIRST(&branch->aliases)) != NULL)
			alias_free(node);
		branch_put(branch, branch->references);
	}
	fs->root = NULL;
}

/* Nodes. */

struct node *node_of(const struct fs *fs, fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? &fs->root->fixed[NODE_TOP] : (struct node *)ino;
}

static fuse_ino_t node_id(const struct node *node)
{
	const struct branch *root = node->branch->fs->root;

	return node == &root->fixed[NODE_TOP] ? FUSE_ROOT_ID : (fuse_ino_t)node;
}

ino_t node_number(const struct branch *branch, enum node_kind kind, uint16_t domid)
{
	return (ino_t)branch->number << BRANCH_SHIFT | (ino_t)kind << KIND_SHIFT | domid;
}

mode_t node_type(enum node_kind kind)
{
	return kinds[kind].mode & S_IFMT;
}

const char *node_name(enum node_kind kind)
{
	return kinds[kind].name;
}

bool node_exists(const struct branch *branch, enum node_kind kind)
{
	return kinds[kind].name && (!kinds[kind].root_only || branch == branch->fs->root);
}

static int alias_new(
	struct branch *branch, enum node_kind kind, uint16_t domid, struct node **result)
{
	struct node *node = malloc(sizeof(*node));

	if (!node)
		return -ENOMEM;
	*node = (struct node){
		.branch = branch, .kind = kind, .domid = domid, .changes = branch->changes};
	TAILQ_INSERT_TAIL(&branch->aliases, node, link);
	*result = node;
	return 0;
}

static void node_forget(struct node *node, uint64_t count)
{
	struct branch *branch = node->branch;

	if (node == &branch->fs->root->fixed[NODE_TOP])
		return; /* it was never looked up */
	node->lookups -= count;
	if (node->lookups == 0 && node->kind >= NODE_FIXED)
		alias_free(node);
	branch_put(branch, count);
}

static int find_peer(struct branch *branch, const char *name, struct node **node)
{
	uint16_t domid;
	int r = domid_parse(name, &domid);

	if (r == 0)
		return alias_new(branch, NODE_PEER, domid, node);
	if (strspn(name, "0123456789") == strlen(name))
		return -ENOENT;
	r = sivc_resolve(branch->fs->sivc, name, &domid);
	if (r < 0)
		return r;
	return alias_new(branch, NODE_NAME, domid, node);
}

static int find_fixed(struct branch *branch, const char *name, struct node **node)
{
	for (enum node_kind kind = NODE_TOP; kind < NODE_FIXED; kind++) {
		if (node_exists(branch, kind) && strcmp(name, kinds[kind].name) == 0) {
			*node = &branch->fixed[kind];
			return 0;
		}
	}
	return -ENOENT;
}

static int find(const struct node *parent, const char *name, struct node **node)
{
	struct branch *branch = parent->branch;

	if (!branch->endpoint)
		return -ENODEV;
	switch (parent->kind) {
	case NODE_TOP:
		return find_fixed(branch, name, node);
	case NODE_PEERS:
		return find_peer(branch, name, node);
	case NODE_ENDPOINTS:
	case NODE_STREAMS:
		branch = branch_find(branch->fs, name, parent->kind == NODE_STREAMS);
		if (!branch)
			return -ENOENT;
		*node = &branch->fixed[NODE_TOP];
		return 0;
	default:
		return -ENOTDIR;
	}
}

/* Attributes. */

/* Who may read inbox may read inbox.from, which is the same queue. */
static uint32_t attributes_key(const struct node *node)
{
	enum node_kind kind = node->kind == NODE_INBOX_FROM ? NODE_INBOX : node->kind;

	return (uint32_t)kind << KIND_SHIFT | node->domid;
}

static struct attributes *attributes_find(const struct node *node)
{
	const uint32_t key = attributes_key(node);
	struct attributes *attributes;

	HASH_FIND(hh, node->branch->changed, &key, sizeof(key), attributes);
	return attributes;
}

/* Until somebody changes it. */
static mode_t first_mode(const struct node *node)
{
	const struct fs *fs = node->branch->fs;
	mode_t mode = kinds[node->kind].mode;

	if (node->kind == NODE_TOP)
		mode = node->branch->mode;
	else if (node->kind == NODE_INBOX || node->kind == NODE_INBOX_FROM ||
		 node->kind == NODE_PEER)
		mode = S_IFREG | fs->mode;
	else if (node->kind == NODE_ACL)
		mode = S_IFREG | fs->acl_mode;
	return mode & ~fs->umask;
}

void node_attributes(const struct node *node, struct attributes *attributes)
{
	const struct attributes *changed = attributes_find(node);
	const struct branch *branch = node->branch;

	if (changed) {
		*attributes = *changed;
		return;
	}
	*attributes = (struct attributes){
		.key = attributes_key(node),
		.mode = first_mode(node),
		.uid = branch->uid,
		.gid = branch->gid,
		.atime = branch->made,
		.mtime = branch->made,
		.ctime = branch->made,
	};
}

/* The attributes of a file that are its own from now on. */
static int attributes_own(const struct node *node, struct attributes **result)
{
	struct attributes *attributes = attributes_find(node);

	if (!attributes) {
		attributes = malloc(sizeof(*attributes));
		if (!attributes)
			return -ENOMEM;
		node_attributes(node, attributes);
		HASH_ADD(hh, node->branch->changed, key, sizeof(attributes->key), attributes);
		if (!attributes->hh.tbl) {
			free(attributes);
			return -ENOMEM;
		}
	}
	*result = attributes;
	return 0;
}

/*
 * A text's length.  Of inbox and peers/N it is 0, whatever waits there: programs that copy files
 * (tar, rsync, cpio) read those that have a size, and would take messages.
 */
static uint64_t node_size(const struct node *node)
{
	char *text;
	ssize_t n;

	if (!node->branch->endpoint)
		return 0;
	switch (node->kind) {
	case NODE_ACL:
	case NODE_SELF:
	case NODE_STATS:
		n = text_of(node->branch, node->kind, &text);
		if (n < 0)
			return 0;
		free(text);
		return (uint64_t)n;
	default:
		return 0;
	}
}

void node_stat(const struct node *node, struct stat *st)
{
	struct attributes attributes;

	node_attributes(node, &attributes);
	*st = (struct stat){
		.st_ino = node_number(node->branch, node->kind, node->domid),
		.st_mode = attributes.mode,
		.st_nlink = S_ISDIR(attributes.mode) ? 2 : 1,
		.st_uid = attributes.uid,
		.st_gid = attributes.gid,
		.st_size = (off_t)node_size(node),
		.st_blksize = BLOCK_SIZE,
		.st_atim = attributes.atime,
		.st_mtim = attributes.mtime,
		.st_ctim = attributes.ctime,
	};
	st->st_blocks = (st->st_size + STAT_UNIT - 1) / STAT_UNIT;
}

/*
 * How long the kernel may believe what it was told.  Files' sizes change by themselves; entries of
 * peers/ must be looked up each time (see tree.h).
 */
static double attributes_timeout(const struct node *node)
{
	return node_type(node->kind) == S_IFDIR ? FOREVER : 0;
}

static double entry_timeout(const struct node *node)
{
	return node->kind < NODE_FIXED ? FOREVER : 0;
}

/* A notice that a byte is stored there, since one of none changes nothing. */
static void tell_end(const struct node *node)
{
	struct fuse_bufvec byte = FUSE_BUFVEC_INIT(1);

	if (!node->endless || node->changes != node->branch->changes)
		return;
	byte.buf[0].mem = (char[]){0};
	fuse_lowlevel_notify_store(
		node->branch->fs->session, node_id(node), NEVER_REACHED - 1, &byte, 0);
}

void tree_endless(struct node *node)
{
	node->endless = true;
	if (node->kind < NODE_FIXED) /* it has no alias through which it is changed */
		node->changes = node->branch->changes;
	tell_end(node);
}

void reply_entry(fuse_req_t request, struct node *node)
{
	struct fuse_entry_param entry = {
		.ino = node_id(node),
		.attr_timeout = attributes_timeout(node),
		.entry_timeout = entry_timeout(node),
	};

	node_stat(node, &entry.attr);
	node->lookups++;
	branch_get(node->branch);
	if (fuse_reply_entry(request, &entry) != 0)
		node_forget(node, 1); /* whoever asked is gone: the kernel did not take it */
}

static void change_time(struct timespec *time, const struct timespec *given,
	const struct timespec *now, int set, int flag, int flag_now)
{
	if (set & flag_now)
		*time = *now;
	else if (set & flag)
		*time = *given;
}

/* cp -p and rsync -a give a file the mode of what they copy: once, this is worth a word. */
static void log_mode(const struct node *node, mode_t before, mode_t after)
{
	struct fs *fs = node->branch->fs;
	char number[DOMID_DIGITS + sizeof("/")];

	if (fs->mode_logged || (node->kind != NODE_PEER && node->kind != NODE_INBOX) ||
		!(after & ~before & (S_IRWXG | S_IRWXO)))
		return;
	fs->mode_logged = true;
	snprintf(number, sizeof(number), "/%u", node->domid);
	log_print(fs->log, LOG_NOTICE,
		"endpoint %s: the mode of %s%s was changed from %04o to %04o, so that other users "
		"can read its messages or send; cp -p and rsync -a do that, too",
		node->branch->name, node->kind == NODE_INBOX ? "inbox" : "peers",
		node->kind == NODE_INBOX ? "" : number, before & ACCESSPERMS, after & ACCESSPERMS);
}

static int change_attributes(const struct node *node, const struct stat *st, int set)
{
	struct attributes *attributes;
	struct timespec now;
	int r = attributes_own(node, &attributes);

	if (r < 0)
		return r;
	clock_gettime(CLOCK_REALTIME, &now);
	node->branch->changes +=
		(set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0;
	if (set & FUSE_SET_ATTR_MODE) {
		log_mode(node, attributes->mode, st->st_mode);
		attributes->mode = node_type(node->kind) | (st->st_mode & PERMISSION_BITS);
	}
	if (set & FUSE_SET_ATTR_UID)
		attributes->uid = st->st_uid;
	if (set & FUSE_SET_ATTR_GID)
		attributes->gid = st->st_gid;
	change_time(&attributes->atime, &st->st_atim, &now, set, FUSE_SET_ATTR_ATIME,
		FUSE_SET_ATTR_ATIME_NOW);
	change_time(&attributes->mtime, &st->st_mtim, &now, set, FUSE_SET_ATTR_MTIME,
		FUSE_SET_ATTR_MTIME_NOW);
	attributes->ctime = now;
	return 0;
}

/*
 * A file cut to nothing: an acl then permits nobody, at once, or through an open file when that is
 * written or closed.  Of the others nothing but "to nothing" is understood, and it changes nothing.
 */
static int change_size(const struct node *node, off_t size, const struct fuse_file_info *fi)
{
	struct file *file = fi ? file_of(fi) : NULL;

	if (!node->branch->endpoint)
		return -ENODEV;
	if (size != 0)
		return -EINVAL;
	if (file && file->ops->truncate)
		file->ops->truncate(file);
	else if (node->kind == NODE_ACL)
		return sivc_acl_write(node->branch->endpoint, "", 0, true);
	return 0;
}

/* The FUSE operations. */

void tree_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
	const struct fs *fs = fuse_req_userdata(request);
	struct node *node;
	int r = find(node_of(fs, parent), name, &node);

	if (r < 0)
		reply_error(request, r);
	else
		reply_entry(request, node);
}

void tree_forget(fuse_req_t request, fuse_ino_t ino, uint64_t count)
{
	node_forget(node_of(fuse_req_userdata(request), ino), count);
	fuse_reply_none(request);
}

void tree_forget_multi(fuse_req_t request, size_t count, struct fuse_forget_data *forgets)
{
	const struct fs *fs = fuse_req_userdata(request);

	for (size_t i = 0; i < count; i++)
		node_forget(node_of(fs, forgets[i].ino), forgets[i].nlookup);
	fuse_reply_none(request);
}

static void reply_attributes(fuse_req_t request, const struct node *node)
{
	struct stat st;

	node_stat(node, &st);
	fuse_reply_attr(request, &st, attributes_timeout(node));
	tell_end(node);
}

void tree_getattr(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	reply_attributes(request, node_of(fuse_req_userdata(request), ino));
}

void tree_setattr(
	fuse_req_t request, fuse_ino_t ino, struct stat *st, int set, struct fuse_file_info *fi)
{
	const struct node *node = node_of(fuse_req_userdata(request), ino);
	int r = 0;

	if (set & FUSE_SET_ATTR_SIZE)
		r = change_size(node, st->st_size, fi);
	if (r == 0 && (set & ~FUSE_SET_ATTR_SIZE))
		r = change_attributes(node, st, set);
	if (r < 0)
		reply_error(request, r);
	else
		reply_attributes(request, node);
}

void tree_readlink(fuse_req_t request, fuse_ino_t ino)
{
	const struct node *node = node_of(fuse_req_userdata(request), ino);
	char target[DOMID_DIGITS + 1];

	snprintf(target, sizeof(target), "%u", node->domid);
	fuse_reply_readlink(request, target);
}
