/* SPDX-License-Identifier: MIT */
/*
 * Reading inbox and peers/N.
 *
 * A reply to the kernel is written straight from where the message lies, in memory that its sender
 * may still write to; only its length is believed, which libsivc has copied and checked.  When the
 * kernel has taken the reply, what did not fit goes into the handle's `rest`, and the message is
 * consumed.  When it has not, the reader is gone, and the message stays, for the next one.
 *
 * Framed reads return as many messages as fit, whole, each behind a header.  They are consumed one
 * by one before the reply, and put back if the kernel does not take it.
 *
 * Reads through the page cache (mmap, sendfile) get EINVAL: they come in pages, ahead of need, and
 * what was read would stay there.  They are known by having no lock owner.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sivc/ioctl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <syslog.h>

#include "held.h"
#include "log.h"

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

/* The rest of a message. */

static void rest_drop(struct messages *messages)
{
	free(messages->rest);
	messages->rest = NULL;
	messages->rest_length = 0;
	messages->rest_offset = 0;
}

void reading_put_back_rest(struct messages *messages)
{
	const struct branch *branch = messages->file.branch;
	int r = 0;

	if (messages->rest && branch->endpoint)
		r = sivc_putback(branch->endpoint, (uint16_t)messages->sender,
			messages->rest + messages->rest_offset,
			messages->rest_length - messages->rest_offset);
	if (r < 0)
		log_print(branch->fs->log, LOG_ERR,
			"endpoint %s: the rest of a message from domain %d is lost: %s",
			branch->name, messages->sender, strerror(-r));
	rest_drop(messages);
}

static void give_rest(struct messages *messages, fuse_req_t request, size_t size)
{
	size_t n = MIN(size, messages->rest_length - messages->rest_offset);

	if (fuse_reply_buf(request, messages->rest + messages->rest_offset, n) != 0)
		return;
	messages->rest_offset += n;
	if (messages->rest_offset == messages->rest_length)
		rest_drop(messages);
}

/* Whole messages. */

/* Copies what lies behind the first `skip` bytes. */
static void copy_message(const struct sivc_message *message, size_t skip, char *to)
{
	for (int i = 0; i < message->iovcnt; i++) {
		size_t n = MIN(skip, message->iov[i].iov_len);

		memcpy(to, (const char *)message->iov[i].iov_base + n, message->iov[i].iov_len - n);
		to += message->iov[i].iov_len - n;
		skip -= n;
	}
}

static int reply_message(fuse_req_t request, const struct sivc_message *message, size_t size)
{
	struct iovec iov[2];
	int count = 0;

	for (; count < message->iovcnt && size > 0; count++) {
		iov[count].iov_base = message->iov[count].iov_base;
		iov[count].iov_len = MIN(size, message->iov[count].iov_len);
		size -= iov[count].iov_len;
	}
	if (count == 1)
		return fuse_reply_buf(request, iov[0].iov_base, iov[0].iov_len);
	return fuse_reply_iov(request, iov, count);
}

/* What does not fit is the handle's `rest`.  If the kernel does not take the reply, the reader is
 * gone, and the message stays where it is. */
static int give_message(struct messages *messages, fuse_req_t request, size_t size,
	const struct sivc_message *message)
{
	size_t more = message->length > size ? message->length - size : 0;
	char *rest = more > 0 ? malloc(more) : NULL;

	if (more > 0 && !rest)
		return -ENOMEM;
	if (reply_message(request, message, size) != 0) {
		free(rest);
		return 0;
	}
	messages->sender = message->sender;
	if (rest) {
		copy_message(message, size, rest);
		messages->rest = rest;
		messages->rest_length = more;
	}
	sivc_consume(endpoint_of(messages), message);
	if (rest)
		poll_notify(messages);
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
	size_t *starts; /* of each frame */
	size_t count;
	size_t room;
};

static int frames_reserve(struct frames *frames)
{
	size_t room = frames->room ? 2 * frames->room : FRAMES_FIRST;
	size_t *starts;

	if (frames->count < frames->room)
		return 0;
	starts = reallocarray(frames->starts, room, sizeof(*starts));
	if (!starts)
		return -ENOMEM;
	frames->starts = starts;
	frames->room = room;
	return 0;
}

/* -EMSGSIZE: it does not fit. */
static int frames_take(struct messages *messages, struct frames *frames)
{
	struct sivc_message message;
	struct sivc_frame_header header;
	int r = sivc_peek(endpoint_of(messages), messages->from, &message);

	if (r < 0)
		return r;
	r = frames_reserve(frames);
	if (r < 0)
		return r;
	if (sizeof(header) + message.length > frames->size - frames->used)
		return -EMSGSIZE;
	header = (struct sivc_frame_header){.length = message.length, .domain = message.sender};
	frames->starts[frames->count++] = frames->used;
	memcpy(frames->bytes + frames->used, &header, sizeof(header));
	copy_message(&message, 0, frames->bytes + frames->used + sizeof(header));
	frames->used += sizeof(header) + message.length;
	sivc_consume(endpoint_of(messages), &message);
	return 0;
}

/* The last one first, so that they stand in order again. */
static void frames_put_back(struct messages *messages, const struct frames *frames)
{
	const struct branch *branch = messages->file.branch;
	struct sivc_frame_header header;

	for (size_t i = frames->count; i-- > 0;) {
		const char *frame = frames->bytes + frames->starts[i];
		int r;

		memcpy(&header, frame, sizeof(header));
		r = sivc_putback(branch->endpoint, (uint16_t)header.domain, frame + sizeof(header),
			header.length);
		if (r < 0)
			log_print(branch->fs->log, LOG_ERR,
				"endpoint %s: a message from domain %u is lost: %s", branch->name,
				header.domain, strerror(-r));
	}
}

static int frames_sender(const struct frames *frames)
{
	struct sivc_frame_header header;

	memcpy(&header, frames->bytes + frames->starts[frames->count - 1], sizeof(header));
	return (int)header.domain;
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

	while (r == 0)
		r = frames_take(messages, &frames);
	if (frames.count > 0) {
		r = 0;
		if (fuse_reply_buf(request, frames.bytes, frames.used) == 0)
			messages->sender = frames_sender(&frames);
		else
			frames_put_back(messages, &frames);
	}
	free(frames.starts);
	scratch_give(fs, frames.bytes);
	return r;
}

/* 0: the request was answered.  -EAGAIN: there is nothing.  Another error: the caller replies. */
static int receive(struct messages *messages, fuse_req_t request, size_t size)
{
	if (messages->rest) {
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

	for (held = TAILQ_FIRST(&messages->held); held && messages->rest; held = next) {
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
	else if (r == 0 || r == -EAGAIN)
		poll_expect(messages, POLLIN | POLLRDNORM);
	if (r < 0)
		reply_error(request, r);
	else
		serve_rest(messages);
}
