/* SPDX-License-Identifier: MIT */
/*
 * Reading inbox, inbox.from and peers/N.
 *
 * A reply to the kernel is written straight from where the message lies, in memory that its sender
 * may still write to; only its length is believed, which libsivc has copied and checked.  When the
 * kernel has taken the reply, the message is consumed.  When it has not, the reader is gone, and
 * the message stays, for the next one.
 *
 * A message that does not fit is taken before the reply (sivc_take), and what is left of it belongs
 * to the handle.  Framed reads return as many messages as fit, whole, each behind a header; these
 * are taken, too.  If the kernel does not take the reply, they are put back, which cannot fail.
 *
 * Reads through the page cache (mmap, sendfile) get EINVAL: they come in pages, ahead of need, and
 * what was read would stay there.  They are known by having no lock owner.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sivc/ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "account.h"
#include "held.h"

#define FRAMES_FIRST 64

struct held_read {
	struct held held;
	size_t size;
	struct sivc_waiter *waiter; /* NULL: it waits no more */
};

static struct sivc_endpoint *endpoint_of(const struct messages *messages)
{
	return messages->file.branch->endpoint;
}

/* What a reply is made of: the line of inbox.from, and the message. */

#define PARTS_MAX 3

struct parts {
	struct iovec iov[PARTS_MAX];
	int count;
	size_t length;
};

static void parts_add(struct parts *parts, const void *bytes, size_t length)
{
	if (length == 0)
		return;
	parts->iov[parts->count++] = (struct iovec){(void *)(uintptr_t)bytes, length};
	parts->length += length;
}

static void parts_add_line(struct parts *parts, const struct line *line)
{
	parts_add(parts, line->text + line->offset, (size_t)(line->length - line->offset));
}

void line_make(struct messages *messages, uint16_t sender, uint32_t length)
{
	struct line *line = &messages->line;
	char digits[sizeof("4294967295")] = "-";
	char name[SIVC_NAME_MAX + 1];

	*line = (struct line){.length = 0};
	if (messages->file.kind != NODE_INBOX_FROM)
		return;
	if (sivc_name_of(messages->file.branch->fs->sivc, sender, name) < 0)
		strcpy(name, "-");
	if (length > 0)
		snprintf(digits, sizeof(digits), "%" PRIu32, length);
	line->length = (uint8_t)snprintf(
		line->text, sizeof(line->text), "%" PRIu16 " %s %s\n", sender, digits, name);
}

/* A message that is read in parts. */

/* Before the reply, so that what cannot be had is said while the message is where it was. */
static int unread_take(struct messages *messages, const struct sivc_message *message)
{
	struct file *file = &messages->file;
	struct fs *fs = file->branch->fs;
	int r = account_take(fs, file->uid, message->length);

	if (r < 0)
		return r;
	messages->unread_charged = message->length;
	r = sivc_take(file->branch->endpoint, message, &messages->unread);
	if (r < 0)
		account_give(fs, file->uid, messages->unread_charged);
	return r;
}

static void unread_forget(struct messages *messages)
{
	const struct file *file = &messages->file;

	if (messages->unread)
		account_give(file->branch->fs, file->uid, messages->unread_charged);
	messages->unread = NULL;
}

void reading_put_back(struct messages *messages)
{
	sivc_putback(messages->unread);
	unread_forget(messages);
}

size_t reading_left(const struct messages *messages)
{
	size_t length = 0;

	if (messages->unread)
		sivc_unread_bytes(messages->unread, &length);
	return length;
}

/* False: the kernel has not taken it. */
static bool give_rest(struct messages *messages, fuse_req_t request, size_t size)
{
	struct line *line = &messages->line;
	struct parts parts = {.count = 0};
	size_t length, of_line;
	const void *bytes = sivc_unread_bytes(messages->unread, &length);

	parts_add_line(&parts, line);
	of_line = MIN(size, parts.length);
	parts_add(&parts, bytes, length);
	size = MIN(size, parts.length);
	if (reply_bytes(request, parts.iov, parts.count, size) != 0)
		return false;
	line->offset = (uint8_t)(line->offset + of_line);
	sivc_unread_skip(messages->unread, size - of_line);
	if (size == of_line + length) {
		sivc_unread_free(messages->unread);
		unread_forget(messages);
	}
	return true;
}

static int give_part(struct messages *messages, fuse_req_t request, size_t size,
	const struct sivc_message *message)
{
	int sender = message->sender;
	int r = unread_take(messages, message);

	if (r < 0)
		return r;
	if (!give_rest(messages, request, size)) {
		reading_put_back(messages);
		return 0;
	}
	messages->sender = sender;
	poll_notify(messages);
	return 0;
}

/* Whole messages. */

static int give_message(struct messages *messages, fuse_req_t request, size_t size,
	const struct sivc_message *message)
{
	struct parts parts = {.count = 0};

	line_make(messages, message->sender, message->length);
	parts_add_line(&parts, &messages->line);
	for (int i = 0; i < message->iovcnt; i++)
		parts_add(&parts, message->iov[i].iov_base, message->iov[i].iov_len);
	if (parts.length > size)
		return give_part(messages, request, size, message);
	if (reply_bytes(request, parts.iov, parts.count, size) != 0)
		return 0;
	messages->sender = message->sender;
	sivc_consume(endpoint_of(messages), message);
	return 0;
}

static int receive_plain(struct messages *messages, fuse_req_t request, size_t size)
{
	struct sivc_message message;
	int r = sivc_peek(endpoint_of(messages), messages->from, &message);

	return r < 0 ? r : give_message(messages, request, size, &message);
}

/* Frames. */

struct frames {
	char *bytes;
	size_t size;
	size_t used;
	int sender;                 /* of the last one */
	struct sivc_unread **taken; /* until the kernel has them */
	size_t count;
	size_t room;
};

static int frames_reserve(struct frames *frames)
{
	size_t room = frames->room ? 2 * frames->room : FRAMES_FIRST;
	struct sivc_unread **taken;

	if (frames->count < frames->room)
		return 0;
	taken = reallocarray(frames->taken, room, sizeof(struct sivc_unread *));
	if (!taken)
		return -ENOMEM;
	frames->taken = taken;
	frames->room = room;
	return 0;
}

static void frames_add(struct frames *frames, uint32_t sender, struct sivc_unread *unread)
{
	struct sivc_frame_header header = {.domain = sender};
	size_t length;
	const void *bytes = sivc_unread_bytes(unread, &length);

	header.length = (uint32_t)length;
	memcpy(frames->bytes + frames->used, &header, sizeof(header));
	memcpy(frames->bytes + frames->used + sizeof(header), bytes, length);
	frames->used += sizeof(header) + length;
	frames->sender = (int)sender;
	frames->taken[frames->count++] = unread;
}

/* -EMSGSIZE: it does not fit. */
static int frames_take(struct messages *messages, struct frames *frames)
{
	struct sivc_message message;
	struct sivc_unread *unread;
	int r = sivc_peek(endpoint_of(messages), messages->from, &message);

	if (r < 0)
		return r;
	if (sizeof(struct sivc_frame_header) + message.length > frames->size - frames->used)
		return -EMSGSIZE;
	r = frames_reserve(frames);
	if (r == 0)
		r = sivc_take(endpoint_of(messages), &message, &unread);
	if (r == 0)
		frames_add(frames, message.sender, unread);
	return r;
}

/* Those that the kernel does not have are put back, the last one first: they stand in order again.
 */
static void frames_deinit(struct frames *frames, bool given)
{
	while (frames->count > 0) {
		struct sivc_unread *unread = frames->taken[--frames->count];

		if (given)
			sivc_unread_free(unread);
		else
			sivc_putback(unread);
	}
	free(frames->taken);
}

/* Many messages to many readers in a row: the memory is kept, unless a reader interrupts another.
 */
static char *scratch_take(struct fs *fs)
{
	char *scratch = fs->scratch ? fs->scratch : malloc(FS_REQUEST_MAX);

	fs->scratch = NULL;
	return scratch;
}

static void scratch_give(struct fs *fs, char *scratch)
{
	free(fs->scratch);
	fs->scratch = scratch;
}

static int receive_framed(struct messages *messages, fuse_req_t request, size_t size)
{
	struct fs *fs = messages->file.branch->fs;
	struct frames frames = {
		.bytes = scratch_take(fs),
		.size = MIN(size, FS_REQUEST_MAX),
	};
	int r = frames.bytes ? 0 : -ENOMEM;
	bool given = false;

	while (r == 0)
		r = frames_take(messages, &frames);
	if (frames.count > 0) {
		r = 0;
		given = fuse_reply_buf(request, frames.bytes, frames.used) == 0;
	}
	if (given)
		messages->sender = frames.sender;
	frames_deinit(&frames, given);
	scratch_give(fs, frames.bytes);
	return r;
}

/* 0: the request was answered.  -EAGAIN: there is nothing.  Another error: the caller replies. */
static int receive(struct messages *messages, fuse_req_t request, size_t size)
{
	if (messages->unread) {
		give_rest(messages, request, size);
		return 0;
	}
	if (messages->framed)
		return receive_framed(messages, request, size);
	return receive_plain(messages, request, size);
}

/* Reads that wait. */

static void held_read_free(struct held_read *read)
{
	held_deinit(&read->held);
	free(read);
}

static void abandon(struct held *held, int r)
{
	struct held_read *read = container_of(held, struct held_read, held);
	fuse_req_t request = held->request;

	sivc_wait_cancel(read->waiter);
	held_read_free(read);
	reply_error(request, r);
}

/*
 * Several threads may read one handle: the rest of a message that one read in part is for those who
 * wait there, too.
 */
static void serve_rest(struct messages *messages)
{
	struct held *held, *next;

	for (held = TAILQ_FIRST(&messages->held); held && messages->unread; held = next) {
		struct held_read *read = container_of(held, struct held_read, held);

		next = TAILQ_NEXT(held, link);
		if (held->abandon != abandon || held->interrupted)
			continue;
		sivc_wait_cancel(read->waiter);
		give_rest(messages, held->request, read->size);
		held_read_free(read);
	}
}

static void on_message(void *data, int r, const struct sivc_message *message)
{
	struct held_read *read = data;
	struct messages *messages = read->held.messages;

	read->waiter = NULL;
	if (r == 0 && messages->framed)
		r = receive_framed(messages, read->held.request, read->size);
	else if (r == 0)
		r = give_message(messages, read->held.request, read->size, message);
	if (r == 0)
		held_read_free(read);
	else
		abandon(&read->held, r);
	serve_rest(messages);
}

static int hold(struct messages *messages, fuse_req_t request, size_t size)
{
	struct held_read *read = calloc(1, sizeof(*read));
	int r;

	if (!read)
		return -ENOMEM;
	read->size = size;
	held_init(&read->held, messages, request, abandon);
	if (read->held.interrupted)
		return 0;
	r = sivc_wait_receive(
		endpoint_of(messages), messages->from, on_message, read, &read->waiter);
	if (r < 0)
		abandon(&read->held, r);
	return 0;
}

void messages_read(struct file *file, fuse_req_t request, size_t size, off_t offset,
	const struct fuse_file_info *fi)
{
	struct messages *messages = container_of(file, struct messages, file);
	int r;

	(void)offset;
	if (fi->lock_owner == 0)
		r = -EINVAL; /* from the page cache */
	else
		r = receive(messages, request, size);
	if (r == -EAGAIN && !(fi->flags & O_NONBLOCK))
		r = hold(messages, request, size);
	poll_expect(messages, EVENTS_IN);
	if (r < 0)
		reply_error(request, r);
	else
		serve_rest(messages);
}
