/* SPDX-License-Identifier: MIT */
/*
 * The ioctls of <sivc/ioctl.h>, on any open file of an endpoint.
 *
 * The kernel copies as many bytes in and out as a command's number says, which for all of these is
 * a uint32_t, also for a 32-bit caller.  Whoever has a file open may not be allowed what the acl
 * says: the acl's own mode decides about that.
 *
 * FIONREAD never comes here: the kernel answers it for regular files, from their size, which is 0.
 * SIVC_IOC_QUEUED says how much waits.
 */
#include "ioctl.h"

#include <errno.h>
#include <sivc/ioctl.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

#define MAY_READ     04u
#define MAY_WRITE    02u
#define GROUP_SHIFT  3
#define OWNER_SHIFT  6
#define GROUPS_FIRST 32

static bool in_group(fuse_req_t request, gid_t gid)
{
	const struct fuse_ctx *caller = fuse_req_ctx(request);
	int room = GROUPS_FIRST, n;
	gid_t *groups = NULL, *more;
	bool found = caller->gid == gid;

	while (!found) {
		more = reallocarray(groups, (size_t)room, sizeof(*groups));
		if (!more)
			break;
		groups = more;
		n = fuse_req_getgroups(request, room, groups);
		for (int i = 0; i < n && i < room; i++)
			found |= groups[i] == gid;
		if (n <= room)
			break;
		room = n;
	}
	free(groups);
	return found;
}

/* What open(2) of the acl would say. */
static int check_acl(fuse_req_t request, struct branch *branch, unsigned int want)
{
	const struct fuse_ctx *caller = fuse_req_ctx(request);
	struct attributes acl;
	unsigned int may;

	node_attributes(&branch->fixed[NODE_ACL], &acl);
	if (caller->uid == 0)
		return 0;
	if (caller->uid == acl.uid)
		may = acl.mode >> OWNER_SHIFT;
	else if (in_group(request, acl.gid))
		may = acl.mode >> GROUP_SHIFT;
	else
		may = acl.mode;
	return may & want ? 0 : -EACCES;
}

static int set_permission(fuse_req_t request, struct branch *branch, bool allow, uint32_t domid)
{
	int r = check_acl(request, branch, MAY_WRITE);

	if (r == 0 && domid > SIVC_DOMID_MAX)
		r = -EINVAL;
	if (r < 0)
		return r;
	return allow ? sivc_permit(branch->endpoint, (uint16_t)domid)
		     : sivc_refuse(branch->endpoint, (uint16_t)domid);
}

static int get_permission(fuse_req_t request, struct branch *branch, uint32_t *value)
{
	int r = check_acl(request, branch, MAY_READ);

	if (r == 0 && *value > SIVC_DOMID_MAX)
		r = -EINVAL;
	if (r == 0)
		*value = sivc_permitted(branch->endpoint, (uint16_t)*value);
	return r;
}

static int get_sender(const struct messages *messages, uint32_t *value)
{
	if (messages->sender < 0)
		return -ENODATA;
	*value = (uint32_t)messages->sender;
	return 0;
}

static uint32_t get_queued(const struct messages *messages)
{
	uint64_t bytes = sivc_queued(messages->file.branch->endpoint, messages->from, NULL) +
			 reading_left(messages);

	return bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
}

static int set_framed(struct messages *messages, uint32_t value)
{
	if (value > 1)
		return -EINVAL;
	if (messages->unread)
		return -EBUSY;
	messages->framed = value;
	return 0;
}

/* *value: what the caller gave, and what it gets. */
static int run(fuse_req_t request, struct file *file, unsigned int command, uint32_t *value)
{
	struct stream *stream = stream_is(file) ? stream_of(file) : NULL;
	struct messages *messages = stream ? &stream->handle : NULL;

	if (file->ops == &inbox_ops || file->ops == &peer_ops)
		messages = container_of(file, struct messages, file);
	if (!file->branch->endpoint)
		return -ENODEV;
	switch (command) {
	case SIVC_IOC_ALLOW:
	case SIVC_IOC_DENY:
		return set_permission(request, file->branch, command == SIVC_IOC_ALLOW, *value);
	case SIVC_IOC_PERMITTED:
		return get_permission(request, file->branch, value);
	case SIVC_IOC_SENDER:
		return messages ? get_sender(messages, value) : -ENOTTY;
	case SIVC_IOC_FRAMED:
		return messages && !stream && file->kind != NODE_INBOX_FROM
			       ? set_framed(messages, *value)
			       : -ENOTTY;
	case SIVC_IOC_QUEUED:
		if (!messages)
			return -ENOTTY;
		*value = stream ? stream_queued(stream) : get_queued(messages);
		return 0;
	case SIVC_IOC_CUT:
		return stream ? stream_cut(stream) : -ENOTTY;
	default:
		return -ENOTTY;
	}
}

void file_ioctl(fuse_req_t request, fuse_ino_t ino, unsigned int command, void *argument,
	struct fuse_file_info *fi, unsigned int flags, const void *in, size_t in_size,
	size_t out_size)
{
	uint32_t value = 0;
	int r;

	(void)ino;
	(void)argument;
	(void)flags;
	if (in_size >= sizeof(value))
		memcpy(&value, in, sizeof(value));
	r = run(request, file_of(fi), command, &value);
	if (r < 0)
		reply_error(request, r);
	else
		fuse_reply_ioctl(request, 0, &value, out_size >= sizeof(value) ? sizeof(value) : 0);
}
