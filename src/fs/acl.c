/* SPDX-License-Identifier: MIT */
/*
 * The file acl: who may send to this endpoint.
 *
 * A reader sees the table of the moment at which it opened the file, or wrote to it last.  Each
 * write is one update.  What it does to the rules that were there depends on how the file was
 * opened:
 *
 *	with O_TRUNC (`>`)	the first write replaces them, later ones add to it
 *	otherwise (`>>`)	it adds to them
 *
 * Cut to nothing (O_TRUNC, ftruncate) and closed without a write, the file permits nobody
 * (`: > acl`).  The old table holds until then, so that `echo "allow 7" > acl` never refuses domain
 * 7 in between.
 *
 * That can only be done at `release`, when the last descriptor is closed: `flush` comes for each,
 * and a shell closes one before the command writes to the other.  The kernel does not wait for the
 * answer to `release`, but it puts the request into its queue before close(2) returns, and we take
 * requests in the order of that queue: whoever comes after the close finds the table empty.  (The
 * kernel would hold it back only if more background requests than max_background had no answer yet.
 * There are no others: see fs_init in ops.c.)
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "log.h"
#include "text.h"

/*
 * The kernel splits a write that does not fit into one request, and the parts are not one update.
 * Anything up to here surely comes in one.
 */
#define TEXT_MAX SIVC_MAX_MSG_MAX

struct acl_file {
	struct file file;

	/* What a reader gets. */
	char *text;
	size_t length;

	bool replace;        /* the next write that succeeds replaces the table */
	bool empty_at_close; /* nobody has tried to write yet */
};

static int take_snapshot(struct acl_file *acl)
{
	char *text;
	ssize_t n;

	if ((acl->file.flags & O_ACCMODE) == O_WRONLY)
		return 0;
	n = text_of(acl->file.branch, NODE_ACL, &text);
	if (n < 0)
		return (int)n;
	free(acl->text);
	acl->text = text;
	acl->length = (size_t)n;
	return 0;
}

static void acl_truncate(struct file *file)
{
	struct acl_file *acl = container_of(file, struct acl_file, file);

	acl->replace = true;
	acl->empty_at_close = true;
}

static int acl_open(const struct node *node, int flags, struct file **file)
{
	struct acl_file *acl = calloc(1, sizeof(*acl));
	int r;

	if (!acl)
		return -ENOMEM;
	file_init(&acl->file, &acl_ops, node, flags);
	r = take_snapshot(acl);
	if (r < 0) {
		file_release(&acl->file);
		return r;
	}
	if (flags & O_TRUNC)
		acl_truncate(&acl->file);
	*file = &acl->file;
	return 0;
}

static void acl_release(struct file *file)
{
	struct acl_file *acl = container_of(file, struct acl_file, file);
	const struct branch *branch = file->branch;
	int r = 0;

	if (acl->empty_at_close && branch->endpoint)
		r = sivc_acl_write(branch->endpoint, "", 0, true);
	if (r < 0)
		log_print(branch->fs->log, LOG_ERR, "endpoint %s: the acl was not emptied: %s",
			branch->name, strerror(-r));
	file_deinit(file);
	free(acl->text);
	free(acl);
}

static void acl_read(struct file *file, fuse_req_t request, size_t size, off_t offset,
	const struct fuse_file_info *fi)
{
	const struct acl_file *acl = container_of(file, struct acl_file, file);

	(void)fi;
	reply_part(request, acl->text, acl->length, size, offset);
}

static void acl_write(struct file *file, fuse_req_t request, const char *data, size_t size,
	const struct fuse_file_info *fi)
{
	struct acl_file *acl = container_of(file, struct acl_file, file);
	int r = -EFBIG;

	(void)fi;
	acl->empty_at_close = false; /* a write that fails changes nothing, now or later */
	if (size <= TEXT_MAX)
		r = sivc_acl_write(file->branch->endpoint, data, size, acl->replace);
	/* ENOSPC: the rules are in force, but for some domains. */
	if (r == 0 || r == -ENOSPC)
		acl->replace = false;
	if (r == 0)
		r = take_snapshot(acl);
	if (r < 0)
		reply_error(request, r);
	else
		fuse_reply_write(request, size);
}

const struct file_ops acl_ops = {
	.open_flags = FOPEN_DIRECT_IO | FOPEN_NOFLUSH,
	.open = acl_open,
	.release = acl_release,
	.read = acl_read,
	.write = acl_write,
	.truncate = acl_truncate,
};
