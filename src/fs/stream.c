/* SPDX-License-Identifier: MIT */
/*
 * The life of a handle of streams.
 *
 * At each close of a descriptor the kernel sends FLUSH, with the id of the thread that closes, and
 * that waits for our answer.  If its process is being ended by a signal, the stream is to be cut,
 * whoever else has the descriptor.  At the last close comes RELEASE: then the stream ends, or is
 * cut; unless it cannot be seen yet how a process ends.  Then the writer is kept until it is known.
 */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "dying.h"
#include "exit_wait.h"
#include "log.h"

bool stream_is(const struct file *file)
{
	return file->ops == &stream_inbox_ops || file->ops == &stream_peer_ops;
}

struct stream *stream_of_handle(struct messages *handle)
{
	return container_of(handle, struct stream, handle);
}

struct stream *stream_of(struct file *file)
{
	return stream_of_handle(container_of(file, struct messages, file));
}

struct stream *stream_of_held(const struct held *held)
{
	return stream_of_handle(held->messages);
}

struct sivc_endpoint *stream_endpoint(const struct stream *stream)
{
	return stream->handle.file.branch->endpoint;
}

static int open_peer(struct stream *stream, const struct node *node, int flags)
{
	struct sivc_endpoint *endpoint = node->branch->endpoint;
	int r = sivc_peer_open(endpoint, node->domid);

	if (r < 0)
		return r;
	stream->handle.from = node->domid;
	if ((flags & O_ACCMODE) == O_RDONLY)
		return 0;
	r = sivc_stream_begin(endpoint, node->domid, &stream->writer);
	if (r < 0)
		sivc_peer_close(endpoint, node->domid);
	return r;
}

static int stream_open(const struct node *node, int flags, struct file **file)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	struct messages *handle;
	int r = 0;

	if (!stream)
		return -ENOMEM;
	handle = &stream->handle;
	handle->from = SIVC_ANY;
	handle->sender = -1;
	TAILQ_INIT(&handle->held);
	TAILQ_INIT(&stream->reads);
	TAILQ_INIT(&stream->writes);
	if (node->kind == NODE_PEER)
		r = open_peer(stream, node, flags);
	if (r < 0) {
		free(stream);
		return r;
	}
	file_init(&handle->file, node->kind == NODE_PEER ? &stream_peer_ops : &stream_inbox_ops,
		node, flags);
	*file = &handle->file;
	return 0;
}

/* With an end or a cut.  What was never begun ends only if it is to be an empty stream. */
static void end_writing(struct stream *stream, bool whole, int error)
{
	if (!stream->writer)
		return;
	sivc_wait_cancel(stream->room);
	stream->room = NULL;
	sivc_stream_end(stream->writer, !whole);
	stream->writer = NULL;
	stream->error = error;
}

static void leave_reading(struct stream *stream)
{
	sivc_wait_cancel(stream->next);
	stream->next = NULL;
	sivc_stream_leave(stream->reader);
	stream->reader = NULL;
}

/* A stream's end, too. */
static bool stream_unread(struct file *file)
{
	return stream_readable(stream_of(file)) >= 0;
}

static void stream_leave(struct file *file)
{
	struct stream *stream = stream_of(file);

	held_abandon_all(&stream->handle, -ENODEV);
	poll_notify(&stream->handle);
	leave_reading(stream);
	end_writing(stream, false, -ENODEV);
}

/* At RELEASE, or when the last exit is known. */
static void stream_free(struct stream *stream)
{
	const struct file *file = &stream->handle.file;
	bool has_content = stream->written || (file->flags & O_TRUNC);

	end_writing(stream, file->opened && has_content && !stream->cut, -EPIPE);
	free(stream);
}

static void on_exit_known(void *data, bool by_signal)
{
	struct stream *stream = data;

	stream->cut = stream->cut || by_signal;
	stream->exits--;
	if (stream->released && stream->exits == 0)
		stream_free(stream);
}

static void stream_release(struct file *file)
{
	struct stream *stream = stream_of(file);

	held_abandon_all(&stream->handle, -ENODEV); /* none, unless the connection was cut */
	poll_deinit(&stream->handle);
	if (file->branch->endpoint) {
		leave_reading(stream);
		sivc_wait_cancel(stream->room);
		stream->room = NULL;
		if (stream->handle.from != SIVC_ANY)
			sivc_peer_close(file->branch->endpoint, (uint16_t)stream->handle.from);
	}
	file_deinit(file);
	stream->released = true;
	if (stream->exits == 0)
		stream_free(stream);
}

/* Said once: what hides one process from us hides the others. */
static void say_hidden(struct fs *fs, int r)
{
	if (fs->processes_hidden)
		return;
	fs->processes_hidden = true;
	log_print(fs->log, LOG_ERR,
		"processes that close a stream cannot be seen in /proc (%s): such streams are cut "
		"(sivc(7), Streams)",
		strerror(-r));
}

static void look_at_closer(struct stream *stream, pid_t thread)
{
	struct fs *fs = stream->handle.file.branch->fs;
	pid_t process;
	bool seems;
	int r = dying_of_signal(thread, &process, &seems);

	if (r < 0) {
		say_hidden(fs, r);
		stream->cut = true;
	}
	if (r <= 0)
		return;
	r = exit_wait_begin(fs, process, seems, on_exit_known, stream);
	if (r < 0)
		stream->cut = seems;
	else
		stream->exits += (unsigned int)r;
}

static void stream_flush(struct file *file, fuse_req_t request)
{
	struct stream *stream = stream_of(file);

	if (stream->writer && !stream->cut)
		look_at_closer(stream, fuse_req_ctx(request)->pid);
	reply_error(request, 0);
}

static void stream_truncate(struct file *file)
{
	file->flags |= O_TRUNC;
}

int stream_cut(struct stream *stream)
{
	if ((stream->handle.file.flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	stream_fail_writes(stream, -EPIPE);
	end_writing(stream, false, -EPIPE);
	return 0;
}

uint32_t stream_queued(struct stream *stream)
{
	const struct line *line = &stream->handle.line;
	ssize_t bytes = stream_readable(stream);

	return (uint32_t)(bytes > 0 ? bytes : 0) + line->length - line->offset;
}

const struct file_ops stream_inbox_ops = {
	.open_flags = READING_FLAGS,
	.open = stream_open,
	.release = stream_release,
	.read = stream_read,
	.poll = stream_poll,
	.unread = stream_unread,
	.leave = stream_leave,
};

const struct file_ops stream_peer_ops = {
	.open_flags = WRITING_FLAGS & ~FOPEN_NOFLUSH, /* each close is looked at */
	.open = stream_open,
	.release = stream_release,
	.read = stream_read,
	.write = stream_write,
	.poll = stream_poll,
	.flush = stream_flush,
	.sync = stream_sync,
	.truncate = stream_truncate,
	.unread = stream_unread,
	.leave = stream_leave,
};
