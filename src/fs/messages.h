/* SPDX-License-Identifier: MIT */
/*
 * messages.h: an open inbox, inbox.from or peers/N.
 *
 * What a handle remembers: the rest of a message that was read in part, who sent what was read
 * last, the requests that wait (held.c) and who polls (poll.c).  If the kernel does not take the
 * reply with the first part of a message, because the reader is gone, the message goes back to
 * where it was.  Nothing of that takes memory, so no message is lost for want of it.
 */
#ifndef SIVCFS_MESSAGES_H
#define SIVCFS_MESSAGES_H

#include <poll.h>

#include "file.h"

#define EVENTS_IN  (POLLIN | POLLRDNORM)
#define EVENTS_OUT (POLLOUT | POLLWRNORM)

/* Who is to be told when the handle becomes ready: poll.c. */
struct poll {
	struct fuse_pollhandle *handle; /* the newest; NULL: nobody */
	unsigned int events;            /* POLL* that anybody has asked for since the last notice */
	struct sivc_waiter *readable;
	struct sivc_waiter *writable;
};

struct messages;

/* What a kind of handle is ready for, and how it waits for that. */
struct poll_ops {
	/* 0: the next call does not wait; -EAGAIN: it does; else its error. */
	int (*readable)(struct messages *messages);
	int (*writable)(struct messages *messages);
	int (*wait_for)(struct messages *messages, unsigned int events);
	void (*notify)(struct messages *messages);
};

/* Of inbox.from: what stands before a message. */
struct line {
	char text[sizeof("65535 4294967295 \n") + SIVC_NAME_MAX];
	uint8_t length;
	uint8_t offset; /* this much of it was read */
};

struct messages {
	struct file file;
	int from;    /* SIVC_ANY: inbox, inbox.from; else the domain: peers/N */
	bool framed; /* ioctl.c */

	/* reading.c */
	int sender;                 /* of what was read last; -1: nothing was */
	struct sivc_unread *unread; /* the message that was read in part; NULL: none */
	size_t unread_charged;      /* bytes; to the user who has opened the handle */
	struct line line;           /* before that message */

	/* writing.c: the length of a message that did not fit without waiting; 0: none. */
	size_t want;

	TAILQ_HEAD(, held) held; /* held.c */
	struct poll poll;
};

/*
 * STREAM: there is no position (see reply_open).  NOFLUSH: closing a descriptor would otherwise
 * wait for the inode's lock, which another process's write may hold.  PARALLEL_DIRECT_WRITES: who
 * shares one open file need not wait for each other's writes, except for those that are longer than
 * any before (the kernel takes them for writes beyond the end of the file).
 */
#define READING_FLAGS (FOPEN_DIRECT_IO | FOPEN_STREAM | FOPEN_NONSEEKABLE | FOPEN_NOFLUSH)
#define WRITING_FLAGS (READING_FLAGS | FOPEN_PARALLEL_DIRECT_WRITES)

/* reading.c */
void messages_read(struct file *file, fuse_req_t request, size_t size, off_t offset,
	const struct fuse_file_info *fi);
/* Of inbox.from: the line before what `sender` has sent.  length: of that; 0: not known. */
void line_make(struct messages *messages, uint16_t sender, uint32_t length);
/* Bytes that are left of the message that was read in part. */
size_t reading_left(const struct messages *messages);
/* They go to the front of the queue again. */
void reading_put_back(struct messages *messages);

/* writing.c */
void messages_write(struct file *file, fuse_req_t request, const char *data, size_t size,
	const struct fuse_file_info *fi);

/* poll.c */
void messages_poll(
	struct file *file, fuse_req_t request, unsigned int events, struct fuse_pollhandle *handle);
/* Replies.  handle: NULL, or of a caller who waits if nothing is ready. */
void poll_answer(struct messages *messages, const struct poll_ops *ops, fuse_req_t request,
	unsigned int events, struct fuse_pollhandle *handle);
/* Of those events: what there is now. */
unsigned int poll_ready(struct messages *messages, const struct poll_ops *ops, unsigned int events);
/* Of those events: what the handle can have at all. */
unsigned int poll_possible(const struct messages *messages, unsigned int events);
void poll_deinit(struct messages *messages);
/* The handle is ready: tell whoever polls. */
void poll_notify(struct messages *messages);
/* After a read or a write: who polls is told of what it can do next, once that changes. */
void poll_expect(struct messages *messages, unsigned int events);

#endif
