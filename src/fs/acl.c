/* SPDX-License-Identifier: MIT */
/*
 * The file acl: who may send to this endpoint.
 *
 * A reader sees the table of the moment at which it opened the file, or wrote to it last.
 *
 * What is written through one handle is one text, however many writes it comes in: a program's
 * standard output comes in pieces of its buffer's size, a shell's printf a line at a time.
 *
 *	a write that ends a line	puts all that was written in force, before its reply
 *	any other write			is held until a later one ends the line, or until the close
 *
 * So the beginning of a line, a rule that nobody wrote, is never in force.  What happens to the old
 * rules depends on how the file was opened:
 *
 *	without O_TRUNC (`>>`)		the text adds to them
 *	with O_TRUNC (`>`)		they stay until the close; then the text alone is the table
 *
 * So a domain that is permitted before and after is not refused in between.
 *
 * After an error each later write fails with it, and the text is taken back.  With O_TRUNC that is
 * all of it; without it, all from the first write on that cut a line, because every write before
 * that was an update of its own.  If the table was changed by another handle meanwhile, nothing is
 * taken back.
 *
 * The close is when the process that opened the file closes it (`flush`: close(2) waits for the
 * answer and returns it), or when the last copy of its descriptor is closed (`release`).  A flush
 * comes for each copy.  One before anything was written means nothing: a shell closes a copy before
 * its command writes to the other.  One of another process means nothing either: it is the end of
 * one of several commands that write to one handle.  What is written after the close, through
 * another copy, adds to the table.
 *
 * A file that was cut to nothing and closed without a write permits nobody (`: > acl`).  That can
 * only be done at `release`.  The kernel does not wait for its answer, but it queues the request
 * before close(2) returns, and we take requests in that order: what is done after the close finds
 * the table empty.  (The kernel would hold the request back only if more than max_background others
 * had no answer yet.  There are none: see fs_init in ops.c.)
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "log.h"
#include "text.h"

/* The most that a text may have.  One write of that much surely comes in one request. */
#define TEXT_MAX SIVC_MAX_MSG_MAX

struct acl_file {
	struct file file;
	/* What a reader gets. */
	char *text;
	size_t length;

	/* What was written: with `replace` from the beginning, else what is not in force yet. */
	char *written;
	size_t written_length;
	size_t in_force; /* of that */

	bool replace; /* at the close the text is to be the table */
	bool emptied; /* cut to nothing, and nothing was written since */
	int error;    /* of an earlier write; 0: none */

	/* The table before the text, as a text, and what we have made of it.  NULL: none. */
	char *before;
	size_t before_length;
	char *after;
	size_t after_length;
};

static struct sivc_endpoint *endpoint_of(const struct acl_file *acl)
{
	return acl->file.branch->endpoint;
}

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
	acl->length = acl->file.memory = (size_t)n;
	return 0;
}

/* Taking back. */

static void forget_before(struct acl_file *acl)
{
	free(acl->before);
	free(acl->after);
	acl->before = NULL;
	acl->after = NULL;
}

/* NULL: there is none. */
static int remember_table(const struct acl_file *acl, char **text, size_t *length)
{
	ssize_t n = sivc_acl_read(endpoint_of(acl), text);

	if (n < 0) {
		*text = NULL;
		return (int)n;
	}
	*length = (size_t)n;
	return 0;
}

/* Before a part of a text comes into force that may have to be taken back. */
static int remember_before(struct acl_file *acl)
{
	return acl->before ? 0 : remember_table(acl, &acl->before, &acl->before_length);
}

/* After it. */
static int remember_after(struct acl_file *acl)
{
	free(acl->after);
	return remember_table(acl, &acl->after, &acl->after_length);
}

static void take_back(struct acl_file *acl)
{
	const struct branch *branch = acl->file.branch;
	char *now;
	ssize_t n;
	int r = 0;

	if (!acl->before || !acl->after)
		return;
	n = sivc_acl_read(endpoint_of(acl), &now);
	if (n < 0)
		r = (int)n;
	else if ((size_t)n == acl->after_length && memcmp(now, acl->after, (size_t)n) == 0)
		r = sivc_acl_write(endpoint_of(acl), acl->before, acl->before_length, true);
	if (n >= 0)
		free(now);
	if (r < 0)
		log_print(branch->fs->log, LOG_ERR,
			"endpoint %s: the beginning of a text with an error in it stays in the "
			"acl: %s",
			branch->name, strerror(-r));
	forget_before(acl);
}

/* ENOSPC: the rules are in the table, and stay there. */
static void fail(struct acl_file *acl, int r)
{
	if (r != -ENOSPC)
		take_back(acl);
	free(acl->written);
	acl->written = NULL;
	acl->written_length = 0;
	acl->in_force = 0;
	acl->replace = false;
	acl->error = r;
}

/* The text. */

static int append(struct acl_file *acl, const char *data, size_t size)
{
	char *written;

	if (size > TEXT_MAX - acl->written_length)
		return -EFBIG;
	if (size == 0)
		return 0;
	written = realloc(acl->written, acl->written_length + size);
	if (!written)
		return -ENOMEM;
	memcpy(written + acl->written_length, data, size);
	acl->written = written;
	acl->written_length += size;
	return 0;
}

/* The text is the table now.  ENOSPC: it is, but for some domains. */
static int replace_table(struct acl_file *acl)
{
	int r = sivc_acl_write(
		endpoint_of(acl), acl->written ? acl->written : "", acl->written_length, true);

	if (r == 0 || r == -ENOSPC) {
		acl->replace = false;
		acl->written_length = acl->in_force = 0;
		forget_before(acl);
	}
	return r;
}

static int add_to_table(struct acl_file *acl, bool part)
{
	int r = part ? remember_before(acl) : 0;

	if (r == 0)
		r = sivc_acl_write(endpoint_of(acl), acl->written + acl->in_force,
			acl->written_length - acl->in_force, false);
	/* What is to go at the close may be what there is no room beside. */
	if (r == -ENOSPC && acl->replace)
		return replace_table(acl);
	if (r < 0)
		return r;
	acl->in_force = acl->written_length;
	if (!acl->replace)
		acl->written_length = acl->in_force = 0;
	return part ? remember_after(acl) : 0;
}

/* Lines that have their end. */
static int end_lines(struct acl_file *acl)
{
	/* Lines that were not cut, and replace nothing, are an update of their own. */
	bool part = acl->replace || acl->before;

	if (acl->written_length == acl->in_force || acl->written[acl->written_length - 1] == '\n')
		return add_to_table(acl, part);
	return remember_before(acl);
}

/* All of it. */
static int end_text(struct acl_file *acl)
{
	int r = 0;

	if (acl->replace)
		r = replace_table(acl);
	else if (acl->written_length > 0)
		r = add_to_table(acl, true);
	if (r == 0)
		forget_before(acl);
	return r;
}

/* The file. */

static void acl_truncate(struct file *file)
{
	struct acl_file *acl = container_of(file, struct acl_file, file);

	acl->replace = true;
	acl->emptied = true;
	acl->written_length = acl->in_force = 0;
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

static void close_failed(struct acl_file *acl, int r)
{
	const struct branch *branch = acl->file.branch;

	log_print(branch->fs->log, LOG_ERR, "endpoint %s: the end of what was written to acl: %s",
		branch->name, strerror(-r));
	fail(acl, r);
}

static void acl_flush(struct file *file, fuse_req_t request)
{
	struct acl_file *acl = container_of(file, struct acl_file, file);
	int r = 0;

	if (!acl->emptied && acl->error == 0 && fuse_req_ctx(request)->pid == file->opener)
		r = end_text(acl);
	if (r < 0)
		close_failed(acl, r);
	reply_error(request, r);
}

static void acl_release(struct file *file)
{
	struct acl_file *acl = container_of(file, struct acl_file, file);
	int r = 0;

	if (endpoint_of(acl) && file->opened && acl->error == 0)
		r = end_text(acl);
	if (r < 0)
		close_failed(acl, r);
	file_deinit(file);
	forget_before(acl);
	free(acl->written);
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

static int take_text(struct acl_file *acl, const char *data, size_t size)
{
	int r = acl->error;

	if (r < 0)
		return r;
	acl->emptied = false; /* a write that fails changes nothing, now or later */
	r = append(acl, data, size);
	if (r == 0)
		r = end_lines(acl);
	if (r == 0)
		r = take_snapshot(acl);
	else
		fail(acl, r);
	return r;
}

static void acl_write(struct file *file, fuse_req_t request, const char *data, size_t size,
	const struct fuse_file_info *fi)
{
	int r = take_text(container_of(file, struct acl_file, file), data, size);

	(void)fi;
	if (r < 0)
		reply_error(request, r);
	else
		fuse_reply_write(request, size);
}

const struct file_ops acl_ops = {
	.open_flags = FOPEN_DIRECT_IO,
	.open = acl_open,
	.release = acl_release,
	.flush = acl_flush,
	.read = acl_read,
	.write = acl_write,
	.truncate = acl_truncate,
};
