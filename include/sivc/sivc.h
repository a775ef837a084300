/* SPDX-License-Identifier: MIT */
/*
 * sivc.h: libsivc, secure messages between domains (virtual machines) through shared memory.
 *
 * A program is a domain's endpoint without a mount:
 *
 *	struct sivc *sivc;
 *	struct sivc_endpoint *ep;
 *	char buffer[512];
 *	uint16_t sender;
 *
 *	sivc_open(&(struct sivc_config){.backend = "auto", .domid = -1}, &sivc);
 *	sivc_endpoint_open(sivc, "default", NULL, &ep);
 *	sivc_permit(ep, 7);
 *	n = sivc_receive(ep, SIVC_ANY, buffer, sizeof buffer, &sender, 0);
 *	sivc_send(ep, sender, "thanks", 6, 0);
 *
 * Errors: every function returns 0 or a count, or a negative errno; the ones that mean something
 * particular here:
 *
 *	-EACCES	  the receiver does not permit us, or has published nothing for us
 *	-EPIPE	  the receiver has closed the endpoint, or has ended
 *	-EPROTO	  the other domain has broken the protocol; its ring is closed
 *	-EMSGSIZE the message is longer than the receiver takes
 *	-EAGAIN	  it would have to wait
 *	-ENOENT	  no domain has this number or name
 *	-ENOSPC	  no grants, event channels or store nodes are left (the log names the limit)
 *	-EIO	  xenstore does not answer, or the connection to it is lost (the log said which)
 *	-ESHUTDOWN the endpoint, or all of it, was closed by a callback while this waited
 *
 * The message of a send that failed did not arrive, and will not: also with -EACCES, -EPIPE and
 * -EINTR, and however often the receiver has refused and permitted meanwhile.  It may have arrived
 * with -ESHUTDOWN; with -EPROTO; with -EPIPE, if this domain was restored meanwhile; and if the
 * receiver was stopped or killed in the middle of refusing or closing, for as long as the sender
 * could wait.  That is no time with SIVC_NOWAIT (-EACCES) and when it is taken back (-EINTR), else
 * a second (-EPROTO) or until the receiver has gone (-EPIPE).
 *
 * Callbacks are called from sivc_dispatch and sivc_wait alone (sivc_send and sivc_receive wait with
 * sivc_wait), and may call anything here, closing included.
 *
 * Nothing here prints: what is worth saying goes to the log callback.  Not thread-safe: a struct
 * sivc and all that was made from it belong to one thread.  A child that this process forks has
 * none of it: there, sivc_close does nothing, and nothing else may be called.
 */
#ifndef SIVC_SIVC_H
#define SIVC_SIVC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default) /* libsivc itself is built with everything hidden */

struct sivc;          /* this domain: one connection to the hypervisor */
struct sivc_endpoint; /* to a domain what a port is to a host */
struct sivc_waiter;   /* somebody who waits for a message, or for room */
struct sivc_sending;  /* messages that wait for room */
struct sivc_unread;   /* a message that is read in parts */
struct sivc_reader;   /* a stream that is read */
struct sivc_writer;   /* a stream that is written */

/* Bytes of ring a permitted sender: of the first SIVC_RINGS_LARGE of a struct sivc that are
 * permitted at a time, and of the others. */
#define SIVC_RING_DEFAULT    524288u
#define SIVC_RING_MANY       65536u
#define SIVC_RINGS_LARGE     4u
#define SIVC_RING_MIN        4096u
#define SIVC_RING_MAX        2097152u
#define SIVC_MAX_MSG_DEFAULT 524288u /* bytes a message */
#define SIVC_MAX_MSG_MAX     917504u /* what one FUSE request surely carries: 1 MiB less some */
#define SIVC_SPIN_DEFAULT    0u      /* what suits this machine; see sivc_wait */
#define SIVC_SPIN_MAX        10000u  /* microseconds */
#define SIVC_SPIN_NONE       UINT32_MAX
#define SIVC_ENDPOINT_MAX    63   /* characters of an endpoint's name */
#define SIVC_NAME_MAX        63   /* characters of a domain's name */
#define SIVC_ANY             (-1) /* receive: from anybody */

struct sivc_config {
	const char *backend;    /* "xen", "local", "auto" */
	const char *dir;        /* local: the directory; NULL: its default */
	int domid;              /* local: our domain id; -1 on xen */
	const char *name;       /* local: our name, or NULL */
	const char *mountpoint; /* where this process mounts a file system, or NULL; not in dir */
	uint32_t ring;    /* bytes, a power of two, SIVC_RING_MIN..SIVC_RING_MAX; 0: default */
	uint32_t max_msg; /* bytes, 1..SIVC_MAX_MSG_MAX; 0: default */
	uint32_t spin;    /* microseconds, 1..SIVC_SPIN_MAX; SIVC_SPIN_DEFAULT;
			     SIVC_SPIN_NONE; see sivc_wait */
	void (*log)(void *data, int priority, const char *message); /* LOG_* of syslog.h; or NULL */
	void *log_data;
};

/* Strings of the config are copied.  -EINVAL: the log says which setting is wrong. */
int sivc_open(const struct sivc_config *config, struct sivc **sivc);
/* Closes its endpoints; NULL is fine.  In a callback: sivc_wait and sivc_dispatch then return
 * -ESHUTDOWN. */
void sivc_close(struct sivc *sivc);

/*
 * The event loop.  sivc_fd() is readable when sivc_dispatch() has work; it never waits and returns
 * 0.  sivc_wait() waits at most timeout_ms (-1: for ever) and dispatches; -EINTR on a signal.  A
 * program may add its own descriptors, so that it has one loop for everything: fn is called when
 * fd has one of `events` (EPOLL*).
 *
 * sivc_wait looks for work for at most `spin` before it sleeps, and nobody has to wake it then: an
 * answer comes sooner, and a processor is busy meanwhile.  Only a wait for messages or for room
 * spins, and only as long as it has paid lately: waits that are longer than `spin` make the time
 * shorter, down to nothing.  For 10 ms out of 100 or more, ten times as long is tried, in case
 * waits are long because the other side sleeps, too.  SIVC_SPIN_DEFAULT is 200 us, or ten times
 * what it takes this machine to wake if that is longer: sivc_open measures it, for 1 to 4 ms, and
 * sivc_spin tells.  In the middle of a message that is longer than the ring, and of a batch, it is
 * 200 us at least, also with SIVC_SPIN_NONE.  In the local backend nobody spins on a machine with
 * one processor; nor does a program that has asked for sivc_fd(), because it waits elsewhere.
 */
int sivc_fd(struct sivc *sivc);
int sivc_dispatch(struct sivc *sivc);
int sivc_wait(struct sivc *sivc, int timeout_ms);
int sivc_add_fd(struct sivc *sivc, int fd, uint32_t events, void (*fn)(void *data), void *data);
void sivc_remove_fd(struct sivc *sivc, int fd);

const char *sivc_backend(const struct sivc *sivc);
uint16_t sivc_domid(const struct sivc *sivc);   /* another one after a restore */
const char *sivc_name(const struct sivc *sivc); /* "" if this domain has none that it knows of */
uint32_t sivc_ring(const struct sivc *sivc);    /* bytes; of the first SIVC_RINGS_LARGE */
uint32_t sivc_max_msg(const struct sivc *sivc); /* bytes */
uint32_t sivc_spin(const struct sivc *sivc);    /* microseconds; 0: it does not spin */

/*
 * Names of domains: 1..SIVC_NAME_MAX of [A-Za-z0-9._-].
 * sivc_resolve: a number or a name; -ENOENT: no domain.
 * sivc_name_of: the name of a domain; -ENOENT: it has none that we know.
 * sivc_names: calls fn for every name that is known now.  They are read forty times a second at
 * most: who asks more often, or while others do, is told what was so up to 25 ms ago.  The acl is
 * not: it goes by what is so.
 */
int sivc_resolve(struct sivc *sivc, const char *text, uint16_t *domid);
int sivc_name_of(struct sivc *sivc, uint16_t domid, char name[SIVC_NAME_MAX + 1]);
int sivc_names(
	struct sivc *sivc, void (*fn)(void *data, const char *name, uint16_t domid), void *data);

/*
 * Endpoints.  A name is 1..SIVC_ENDPOINT_MAX of [A-Za-z0-9_-].  An endpoint begins with nobody
 * permitted.
 * -EINVAL: not a name.  -EEXIST: open in this struct sivc already.
 * -EBUSY: served by another process; *holder (may be NULL) is its id, 0 if not known.
 * Closing tells the senders (their sends fail with -EPIPE) and throws away what was not received.
 */
int sivc_endpoint_open(
	struct sivc *sivc, const char *name, pid_t *holder, struct sivc_endpoint **endpoint);
/* NULL is fine.  Those who wait there are let go: neither done() nor fn() is called. */
void sivc_endpoint_close(struct sivc_endpoint *endpoint);
const char *sivc_endpoint_name(const struct sivc_endpoint *endpoint);

/*
 * The access control table: who may send to this endpoint.
 *
 * Text form, a rule a line: `allow WHO`, `deny WHO`, where WHO is a domain id, a name, or `*` for
 * everybody without a rule; `#` begins a comment.  A later rule for the same WHO replaces an
 * earlier one.  Where a number and a name mean the same domain, a `deny` of either wins.
 *
 * sivc_acl_write: all of the text takes effect at once, or nothing does.  `replace`: the old table
 * goes; otherwise the rules are added to it.  A rule by a name that no domain has waits for one.
 * -EINVAL: the log says which line is wrong and why.  -EAGAIN: this domain was restored, and the
 * endpoint is not back yet.  -ENOSPC: all rules are in the table and in force but for the domains
 * that lack something of ours, grants, event channels, memory or descriptors (the log names them).
 * sivc_acl_read: *text is for the caller to free(); returns its length.  Written back with
 * `replace`, it gives the same table.
 * A domain that was refused twice, and each time left messages that nobody has read, is one of
 * those: allow it again when they are read.
 */
int sivc_permit(struct sivc_endpoint *endpoint, uint16_t domid);
int sivc_refuse(struct sivc_endpoint *endpoint, uint16_t domid);
bool sivc_permitted(const struct sivc_endpoint *endpoint, uint16_t domid);
int sivc_acl_write(struct sivc_endpoint *endpoint, const char *text, size_t length, bool replace);
ssize_t sivc_acl_read(const struct sivc_endpoint *endpoint, char **text);

/* Domains that this endpoint knows: calls fn for each that has a rule by number, is permitted, or
 * was opened. */
void sivc_peers(
	const struct sivc_endpoint *endpoint, void (*fn)(void *data, uint16_t domid), void *data);
/*
 * A local user asks for this domain: from now on it is known, and watched, at least until as many
 * sivc_peer_close as there were sivc_peer_open.  -ENOENT: no domain id.
 */
int sivc_peer_open(struct sivc_endpoint *endpoint, uint16_t domid);
void sivc_peer_close(struct sivc_endpoint *endpoint, uint16_t domid);

/*
 * Sending and receiving, waiting.  They return when the message is in memory of the receiver, or
 * has been received.  SIVC_NOWAIT: -EAGAIN instead of waiting.
 *
 * A message that is longer than the receiver's ring less 8 bytes goes through it in pieces, which
 * takes the receiver's readers to make room; with SIVC_NOWAIT it is refused with -EMSGSIZE.
 *
 * sivc_receive: `from` is a domain id or SIVC_ANY (-EINVAL: neither).  Returns the message's
 * length, which may be more than `size`: then the rest of it is lost.  `sender` may be NULL.  Until
 * it returns the pieces of a message are put together in the buffer: nothing else may be written
 * there, by callbacks neither, and what was there is gone in any case.
 */
#define SIVC_NOWAIT 1

int sivc_send(
	struct sivc_endpoint *endpoint, uint16_t domid, const void *data, size_t length, int flags);
ssize_t sivc_receive(struct sivc_endpoint *endpoint, int from, void *buffer, size_t size,
	uint16_t *sender, int flags);

/*
 * Receiving, for a program with a loop of its own.  sivc_peek: the next message, in place: valid
 * until the next call with this endpoint.  It stays the next one until sivc_consume.  The bytes
 * may lie in memory that the sender can still change: copy what you decide upon.  -EAGAIN: none.
 * sivc_queued: bytes of whole messages that wait, and in *next (may be NULL) the next one's, or 0.
 */
struct sivc_message {
	uint16_t sender;
	uint32_t length;
	int iovcnt; /* 1 or 2 */
	struct iovec iov[2];
};

int sivc_peek(struct sivc_endpoint *endpoint, int from, struct sivc_message *message);
void sivc_consume(struct sivc_endpoint *endpoint, const struct sivc_message *message);
uint64_t sivc_queued(struct sivc_endpoint *endpoint, int from, uint32_t *next);

/*
 * Reading a message in parts.  sivc_take: the message that was peeked is consumed, and its bytes
 * are the caller's, in memory that its sender cannot change.  -ENOMEM: it stays where it is.
 * sivc_unread_bytes: those that were not skipped yet, and how many.
 * sivc_putback: they go to the front of their sender's queue again, which cannot fail.  After the
 * endpoint was closed they are thrown away.
 * After sivc_unread_free (they were all read) or sivc_putback *unread is no more; NULL is fine.
 */
int sivc_take(struct sivc_endpoint *endpoint, const struct sivc_message *message,
	struct sivc_unread **unread);
const void *sivc_unread_bytes(const struct sivc_unread *unread, size_t *length);
void sivc_unread_skip(struct sivc_unread *unread, size_t length);
void sivc_unread_free(struct sivc_unread *unread);
void sivc_putback(struct sivc_unread *unread);

/*
 * Sending many messages with one index update and one signal.  Returns how many whole messages went
 * (1..count), or an error if the first could not.  Never waits.
 * sivc_writable: 0 if a message of that length could go now (of one that is longer than the ring,
 * which takes waiting: its beginning); else the error that sending it gives.
 */
ssize_t sivc_send_many(
	struct sivc_endpoint *endpoint, uint16_t domid, const struct iovec *messages, size_t count);
int sivc_writable(struct sivc_endpoint *endpoint, uint16_t domid, size_t length);

/*
 * Sending that waits for room; if the next message is less than an eighth of the ring, for half of
 * the ring, 32 KiB at most, or what it needs if that is more, so that a sender is woken once for
 * many messages.  The senders to one domain take their turns in order.  What was given to
 * sivc_send_start goes out whole messages at a time, never mixed with another's.  The caller keeps
 * `messages` and the bytes until done() was called.
 *
 * sivc_send_start: count: all went, done() is not called.  -EINPROGRESS: done() will be, once, with
 * 0 or the error, and how many whole messages went; until then *sending is valid.  Else as
 * sivc_send_many, and done() is not called.
 * sivc_send_cancel: takes it back, and returns how many whole messages went; a message sent in part
 * is never delivered.
 */
typedef void sivc_done_fn(void *data, int r, size_t sent);

ssize_t sivc_send_start(struct sivc_endpoint *endpoint, uint16_t domid,
	const struct iovec *messages, size_t count, sivc_done_fn *done, void *data,
	struct sivc_sending **sending);
size_t sivc_send_cancel(struct sivc_sending *sending);

/*
 * Waiting.  fn is called once; then *waiter is no more.  For one `from`, waiters are called in
 * order; those of one domain come before those of SIVC_ANY.  As long as a waiter waits, permitted
 * senders can wake this process; otherwise nobody can.
 *
 * sivc_wait_receive: fn is given the next message, as sivc_peek gives it, valid until fn returns.
 * It is taken with sivc_consume; if it is not, it is the next waiter's.  r is 0, or -EPROTO, to one
 * who waits for a domain that has broken the protocol, and then message is NULL.
 * sivc_wait_send: fn is called when a message of `length` can be sent, or will fail.
 */
typedef void sivc_receive_fn(void *data, int r, const struct sivc_message *message);
typedef void sivc_ready_fn(void *data);

int sivc_wait_receive(struct sivc_endpoint *endpoint, int from, sivc_receive_fn *fn, void *data,
	struct sivc_waiter **waiter);
int sivc_wait_send(struct sivc_endpoint *endpoint, uint16_t domid, size_t length, sivc_ready_fn *fn,
	void *data, struct sivc_waiter **waiter);
void sivc_wait_cancel(struct sivc_waiter *waiter); /* NULL is fine */

/*
 * Streams.  An endpoint of streams has all that an endpoint has, its own names (at most
 * SIVC_STREAM_MAX characters), and streams in the place of messages: bytes with an end.  Only the
 * functions below send and receive there, and sivc_peek and sivc_wait_receive, whose message is the
 * stream that begins next: to be accepted, not consumed.
 *
 * A stream is cut if its writer says so, if its domain, process or permission ends before it did,
 * or if its reader leaves.
 */
#define SIVC_STREAM_MAX 56 /* characters of the name of an endpoint of streams */
#define SIVC_STREAM_IOV 32 /* pieces in which a peek gives bytes, at most */

int sivc_stream_open(
	struct sivc *sivc, const char *name, pid_t *holder, struct sivc_endpoint **endpoint);

/*
 * Reading.
 *
 * sivc_stream_accept: takes the stream that sivc_peek or a waiter has shown.
 *
 * sivc_stream_peek: its next bytes, in place, valid until the next call with this endpoint: how
 * many there are, in *iovcnt pieces; 0: its end.  -EAGAIN: none now.  -ECONNRESET: it was cut; all
 * that arrived was read.
 *
 * sivc_stream_consume: that many bytes were read; with 0, the end, or that it was cut.
 *
 * sivc_stream_wait: as sivc_wait_receive, for one waiter at a time (-EBUSY); r is also -ECONNRESET.
 *
 * sivc_stream_leave: frees the reader.  A stream that it has not read to the end is cut: its writer
 * gets -EPIPE, and what follows is thrown away.
 */
int sivc_stream_accept(struct sivc_endpoint *endpoint, const struct sivc_message *message,
	struct sivc_reader **reader);
uint16_t sivc_stream_sender(const struct sivc_reader *reader);
ssize_t sivc_stream_peek(
	struct sivc_reader *reader, struct iovec iov[SIVC_STREAM_IOV], int *iovcnt);
void sivc_stream_consume(struct sivc_reader *reader, size_t bytes);
int sivc_stream_wait(
	struct sivc_reader *reader, sivc_receive_fn *fn, void *data, struct sivc_waiter **waiter);
void sivc_stream_leave(struct sivc_reader *reader); /* NULL is fine */

/*
 * Writing.  sivc_stream_begin: -EACCES and the like at once, if nothing could be sent.  The stream
 * itself begins with its first byte, or its end; those to one domain follow each other.
 * sivc_stream_write: bytes that are in memory of the receiver now, 1..length.  -EAGAIN: no room, or
 * another stream has its turn.  -EPIPE: nobody reads on, or the receiver has ended.  After an error
 * but -EAGAIN, each later write fails with it.
 * sivc_stream_writable: 0 if a write would send something now; else its error.
 * sivc_stream_wait_room: fn is called when a write does not give -EAGAIN.
 * sivc_stream_end: the end, or `cut`; goes out when there is room.  The writer is no more.
 * sivc_stream_wait_read: fn is called when all that was sent to that domain before has been read;
 * or with -EPIPE, -EACCES or another error if that never will be, be it because the reader of
 * `writer` (may be NULL), which is open, has left.
 */
int sivc_stream_begin(struct sivc_endpoint *endpoint, uint16_t domid, struct sivc_writer **writer);
ssize_t sivc_stream_write(struct sivc_writer *writer, const void *data, size_t length);
int sivc_stream_writable(struct sivc_writer *writer);
int sivc_stream_wait_room(
	struct sivc_writer *writer, sivc_ready_fn *fn, void *data, struct sivc_waiter **waiter);
void sivc_stream_end(struct sivc_writer *writer, bool cut);
typedef void sivc_read_fn(void *data, int r);

int sivc_stream_wait_read(struct sivc_endpoint *endpoint, uint16_t domid,
	struct sivc_writer *writer, sivc_read_fn *fn, void *data, struct sivc_waiter **waiter);

/*
 * Counters, in Prometheus' text format, for the caller to free(); returns the length.
 */
ssize_t sivc_stats(struct sivc_endpoint *endpoint, char **text);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
