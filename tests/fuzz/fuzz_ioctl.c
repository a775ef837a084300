/* SPDX-License-Identifier: MIT */
/*
 * An ioctl: any command, with any argument, of any size, by any user, on any kind of file.
 *
 * What it does to the endpoint is what a call of libsivc says, which is taken down here; whoever
 * the acl's mode does not let in has no call.
 */
#include "ioctl.c"

#include "fuzz.h"

#define GROUPS_MAX 100

static struct {
	struct fuse_ctx caller;
	gid_t groups[GROUPS_MAX];
	int group_count; /* or a negative errno: they cannot be read */
	struct attributes acl;
	unsigned int changes, answers;
	size_t out_size;
} world;

const struct fuse_ctx *fuse_req_ctx(fuse_req_t request)
{
	(void)request;
	return &world.caller;
}

int fuse_req_getgroups(fuse_req_t request, int size, gid_t list[])
{
	(void)request;
	for (int i = 0; i < world.group_count && i < size; i++)
		list[i] = world.groups[i];
	return world.group_count;
}

void node_attributes(const struct node *node, struct attributes *attributes)
{
	(void)node;
	*attributes = world.acl;
}

struct file *file_of(const struct fuse_file_info *fi)
{
	return (struct file *)(uintptr_t)fi->fh;
}

void reply_error(fuse_req_t request, int r)
{
	(void)request;
	(void)r;
	world.answers++;
}

int fuse_reply_ioctl(fuse_req_t request, int result, const void *buffer, size_t size)
{
	(void)request;
	(void)result;
	world.answers++;
	(void)buffer;
	world.out_size = size;
	return 0;
}

static int changed(uint16_t domid)
{
	if (domid > SIVC_DOMID_MAX)
		__builtin_trap();
	world.changes++;
	return 0;
}

int sivc_permit(struct sivc_endpoint *ep, uint16_t domid)
{
	(void)ep;
	return changed(domid);
}

int sivc_refuse(struct sivc_endpoint *ep, uint16_t domid)
{
	(void)ep;
	return changed(domid);
}

bool sivc_permitted(const struct sivc_endpoint *ep, uint16_t domid)
{
	(void)ep;
	if (domid > SIVC_DOMID_MAX)
		__builtin_trap();
	return domid % 2;
}

uint64_t sivc_queued(struct sivc_endpoint *ep, int from, uint32_t *next)
{
	(void)ep;
	(void)from;
	(void)next;
	return UINT64_MAX - 1000;
}

static unsigned int command_of(struct input *input)
{
	static const unsigned int commands[] = {SIVC_IOC_ALLOW, SIVC_IOC_DENY, SIVC_IOC_PERMITTED,
		SIVC_IOC_SENDER, SIVC_IOC_FRAMED, SIVC_IOC_QUEUED};
	uint8_t kind = take_byte(input);

	return kind < 0xE0 ? commands[kind % 6] : take_word(input);
}

/* By the acl's mode: what open(2) of it would say. */
static bool may_write_acl(void)
{
	bool member = world.caller.gid == world.acl.gid;

	for (int i = 0; i < world.group_count; i++)
		member |= world.groups[i] == world.acl.gid;
	if (world.caller.uid == 0)
		return true;
	if (world.caller.uid == world.acl.uid)
		return world.acl.mode & 0200;
	return world.acl.mode & (member ? 0020 : 0002);
}

static void world_make(struct input *input)
{
	memset(&world, 0, sizeof(world));
	world.caller.uid = take_byte(input) % 3;
	world.caller.gid = take_byte(input) % 8;
	world.acl.uid = 1;
	world.acl.gid = take_byte(input) % 8;
	world.acl.mode = take_word(input) & 0777;
	world.group_count = take_byte(input) % (GROUPS_MAX + 1);
	for (int i = 0; i < world.group_count; i++)
		world.groups[i] = 1u + take_byte(input) % 64;
	if (take_byte(input) == 0xFF)
		world.group_count = -EPERM;
}

/* An open inbox, and none of a stream. */

const struct file_ops inbox_ops, peer_ops;

bool stream_is(const struct file *file)
{
	(void)file;
	return false;
}

struct stream *stream_of(struct file *file)
{
	(void)file;
	return NULL;
}

int stream_cut(struct stream *stream)
{
	(void)stream;
	return 0;
}

uint32_t stream_queued(struct stream *stream)
{
	(void)stream;
	return 0;
}

size_t reading_left(const struct messages *messages)
{
	(void)messages;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	struct branch branch = {0};
	struct messages messages = {.from = 7, .sender = take_byte(&input) - 1};
	struct fuse_file_info fi = {.fh = (uintptr_t)&messages.file};
	unsigned int command = command_of(&input);
	size_t in_size = take_byte(&input) % 9, out_size = take_byte(&input) % 9;
	uint32_t in[2] = {take_word(&input), take_word(&input)};

	messages.file.branch = &branch;
	messages.file.ops = take_byte(&input) % 2 ? &inbox_ops : NULL;
	messages.unread = take_byte(&input) % 4 ? NULL : (void *)&branch;
	branch.endpoint = take_byte(&input) % 8 ? (void *)&branch : NULL;
	world_make(&input);
	file_ioctl(NULL, 0, command, NULL, &fi, 0, in, in_size, out_size);
	if (world.answers != 1 || world.out_size > out_size || world.changes > 1)
		__builtin_trap();
	if (world.changes > 0 && !may_write_acl())
		__builtin_trap();
	return 0;
}
