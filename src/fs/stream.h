/* SPDX-License-Identifier: MIT */
/*
 * stream.h: an open inbox, inbox.from or peers/N of an endpoint of streams.
 *
 * A handle that is open for writing has one stream, from its first byte to the last close.  One
 * that is open for reading takes the next stream at its first read, and no other.
 *
 * Requests that wait stand in line on the handle, reads and writes apart, and the handle waits at
 * libsivc for all of them and for who polls: with `next` for something to read, with `room` to
 * write.
 */
#ifndef SIVCFS_STREAM_H
#define SIVCFS_STREAM_H

#include "held.h"

struct stream {
	struct messages handle; /* what it has in common with one for messages: not its `unread` */

	/* stream_read.c */
	struct sivc_reader *reader; /* NULL: no stream yet */
	struct sivc_waiter *next;
	TAILQ_HEAD(, stream_read) reads;

	/* stream.c, stream_write.c */
	struct sivc_writer *writer; /* NULL: not open for writing; or `error` */
	int error;                  /* what each write fails with; 0 */
	bool written;
	bool cut;           /* it is to be cut at the end */
	unsigned int exits; /* awaited, of processes that closed it: they may yet cut it */
	bool released;      /* only they keep it */
	struct sivc_waiter *room;
	TAILQ_HEAD(, stream_write) writes;
};

/* It is one. */
bool stream_is(const struct file *file);
struct stream *stream_of(struct file *file);
struct stream *stream_of_handle(struct messages *handle);
struct stream *stream_of_held(const struct held *held);
struct sivc_endpoint *stream_endpoint(const struct stream *stream);
/* SIVC_IOC_CUT.  -EBADF: not open for writing. */
int stream_cut(struct stream *stream);
/* SIVC_IOC_QUEUED: bytes that can be read now without waiting for more to arrive. */
uint32_t stream_queued(struct stream *stream);

/* stream_read.c */
void stream_read(struct file *file, fuse_req_t request, size_t size, off_t offset,
	const struct fuse_file_info *fi);
/* What a read gives without waiting: bytes, or 0, the end; -EAGAIN: it waits; else its error. */
ssize_t stream_readable(struct stream *stream);
int stream_wait_next(struct stream *stream);

/* stream_write.c */
void stream_write(struct file *file, fuse_req_t request, const char *data, size_t size,
	const struct fuse_file_info *fi);
void stream_sync(struct file *file, fuse_req_t request);
int stream_wait_room(struct stream *stream);
void stream_fail_writes(struct stream *stream, int r);

/* stream_poll.c */
void stream_poll(
	struct file *file, fuse_req_t request, unsigned int events, struct fuse_pollhandle *handle);
/* After a read or a write, or something has changed: tells who polls, or waits for them. */
void stream_poll_expect(struct stream *stream, unsigned int events);
/* What nobody waits for any more is not waited for at libsivc: nobody can wake us then. */
void stream_stop_waiting(struct stream *stream);

#endif
