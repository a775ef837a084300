/* SPDX-License-Identifier: MIT */
#include "dir.h"

#include <errno.h>
#include <limits.h>
#include <sivc/ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITEMS_FIRST 16
#define DOMAINS     (SIVC_DOMID_MAX + 1)

struct item {
	char *name;
	ino_t number;
	mode_t type;
};

struct listing {
	struct file file;
	struct item *items;
	size_t count;
	size_t room;
	int error; /* the first, while it is made */
};

/* What peers/ lists, while it is collected. */
struct peers {
	struct listing *listing;
	uint8_t domains[(DOMAINS + CHAR_BIT - 1) / CHAR_BIT];
};

static int make_room(struct listing *listing)
{
	size_t room = listing->room ? 2 * listing->room : ITEMS_FIRST;
	struct item *items;

	if (listing->count < listing->room)
		return 0;
	items = reallocarray(listing->items, room, sizeof(*items));
	if (!items)
		return -ENOMEM;
	listing->items = items;
	listing->room = room;
	return 0;
}

static void add(struct listing *listing, const char *name, const struct branch *branch,
	enum node_kind kind, uint16_t domid)
{
	struct item item = {
		.number = node_number(branch, kind, domid),
		.type = node_type(kind),
	};

	if (listing->error < 0)
		return;
	listing->error = make_room(listing);
	if (listing->error < 0)
		return;
	item.name = strdup(name);
	if (!item.name)
		listing->error = -ENOMEM;
	else
		listing->items[listing->count++] = item;
	listing->file.memory += sizeof(item) + strlen(name);
}

static void on_peer(void *data, uint16_t domid)
{
	struct peers *peers = data;

	if (domid < DOMAINS)
		peers->domains[domid / CHAR_BIT] |= (uint8_t)(1 << domid % CHAR_BIT);
}

static void on_name(void *data, const char *name, uint16_t domid)
{
	struct peers *peers = data;

	on_peer(data, domid);
	add(peers->listing, name, peers->listing->file.branch, NODE_NAME, domid);
}

static void list_peers(struct listing *listing)
{
	const struct branch *branch = listing->file.branch;
	struct peers peers = {.listing = listing};
	char name[sizeof("65535")];
	int r = sivc_names(branch->fs->sivc, on_name, &peers);

	if (r < 0)
		listing->error = r;
	sivc_peers(branch->endpoint, on_peer, &peers);
	for (unsigned int domid = 0; domid < DOMAINS; domid++) {
		if (!(peers.domains[domid / CHAR_BIT] & 1 << domid % CHAR_BIT))
			continue;
		snprintf(name, sizeof(name), "%u", domid);
		add(listing, name, branch, NODE_PEER, (uint16_t)domid);
	}
}

static void list_endpoints(struct listing *listing, bool streams)
{
	const struct fs *fs = listing->file.branch->fs;
	const struct branch *branch;

	TAILQ_FOREACH (branch, &fs->branches, link)
		if (branch != fs->root && branch->endpoint && branch->streams == streams)
			add(listing, branch->name, branch, NODE_TOP, 0);
}

static void list_top(struct listing *listing)
{
	const struct branch *branch = listing->file.branch;

	for (enum node_kind kind = NODE_TOP; kind < NODE_FIXED; kind++)
		if (node_exists(branch, kind))
			add(listing, node_name(kind), branch, kind, 0);
}

static void list(struct listing *listing)
{
	const struct branch *branch = listing->file.branch;
	enum node_kind kind = listing->file.kind;
	/* The parent of the root is nothing that we know. */
	const struct branch *above = kind == NODE_TOP ? branch->fs->root : branch;
	enum node_kind above_kind = NODE_TOP;

	if (kind == NODE_TOP && branch != above)
		above_kind = branch->streams ? NODE_STREAMS : NODE_ENDPOINTS;

	add(listing, ".", branch, kind, 0);
	add(listing, "..", above, above_kind, 0);
	if (kind == NODE_TOP)
		list_top(listing);
	else if (kind == NODE_PEERS)
		list_peers(listing);
	else
		list_endpoints(listing, kind == NODE_STREAMS);
}

static int listing_open(const struct node *node, int flags, struct file **file)
{
	struct listing *listing = calloc(1, sizeof(*listing));
	int r;

	if (!listing)
		return -ENOMEM;
	file_init(&listing->file, &listing_ops, node, flags);
	list(listing);
	r = listing->error;
	if (r < 0)
		file_release(&listing->file);
	else
		*file = &listing->file;
	return r;
}

static void listing_release(struct file *file)
{
	struct listing *listing = container_of(file, struct listing, file);

	file_deinit(file);
	for (size_t i = 0; i < listing->count; i++)
		free(listing->items[i].name);
	free(listing->items);
	free(listing);
}

const struct file_ops listing_ops = {
	.open = listing_open,
	.release = listing_release,
};

/* An entry's offset is where to go on after it. */
void dir_read(
	fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	const struct listing *listing = container_of(file_of(fi), struct listing, file);
	char *buffer = malloc(size);
	size_t used = 0;

	(void)ino;
	if (!buffer) {
		reply_error(request, -ENOMEM);
		return;
	}
	for (size_t i = (size_t)offset; i < listing->count; i++) {
		const struct item *item = &listing->items[i];
		struct stat st = {.st_ino = item->number, .st_mode = item->type};
		size_t n = fuse_add_direntry(
			request, buffer + used, size - used, item->name, &st, (off_t)i + 1);

		if (n > size - used)
			break;
		used += n;
	}
	fuse_reply_buf(request, used > 0 ? buffer : NULL, used);
	free(buffer);
}

/* Whoever makes an endpoint owns it. */
static int make_endpoint(struct fs *fs, const struct fuse_ctx *caller, const char *name,
	mode_t mode, bool streams, struct node **node)
{
	struct branch *branch;
	int r;

	if (strlen(name) > (streams ? SIVC_STREAM_MAX : SIVC_ENDPOINT_MAX))
		return -ENAMETOOLONG;
	r = branch_new(fs, name, streams, &branch);
	if (r < 0)
		return r;
	branch->uid = caller->uid;
	branch->gid = caller->gid;
	branch->mode = S_IFDIR | (mode & ACCESSPERMS);
	*node = &branch->fixed[NODE_TOP];
	return 0;
}

void dir_mkdir(fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct fs *fs = fuse_req_userdata(request);
	enum node_kind kind = node_of(fs, parent)->kind;
	struct node *node;
	int r = -EPERM;

	if (kind == NODE_ENDPOINTS || kind == NODE_STREAMS)
		r = make_endpoint(
			fs, fuse_req_ctx(request), name, mode, kind == NODE_STREAMS, &node);
	if (r < 0)
		reply_error(request, r);
	else
		reply_entry(request, node);
}

/*
 * Closes an endpoint, also while files of it are open: whoever waits there gets ENODEV, and so does
 * whatever is done with those files later.  One forgotten reader must not keep an endpoint open.
 */
void dir_rmdir(fuse_req_t request, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fuse_req_userdata(request);
	enum node_kind kind = node_of(fs, parent)->kind;
	struct branch *branch;
	int r = -EPERM;

	if (kind == NODE_ENDPOINTS || kind == NODE_STREAMS) {
		branch = branch_find(fs, name, kind == NODE_STREAMS);
		r = branch ? 0 : -ENOENT;
		if (branch)
			branch_close(branch);
	}
	reply_error(request, r);
}
