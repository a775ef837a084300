/* SPDX-License-Identifier: MIT */
/*
 * outgoing.h: the streams to one outbound.
 *
 * They stand in line.  The first one has its turn from its first byte until its end is sent; the
 * others wait.  A stream whose ring is gone, or whose reader has left, is dead: its writer is told,
 * and its end need not be sent.
 */
#ifndef SIVC_OUTGOING_H
#define SIVC_OUTGOING_H

#include "outbound.h"

/* 0: it may go on; a wait (outbound.h); else its error, from now on. */
int outgoing_check(struct sivc_writer *writer);
/* The same; 0: a write sends something. */
int outgoing_ready(struct sivc_writer *writer);
/* The same; 0: *sent bytes went, 1..length. */
int outgoing_write(struct sivc_writer *writer, const void *data, size_t length, size_t *sent);
/* Has the writer of the first one ended it, and its end waits to be sent? */
bool outgoing_ends(const struct outbound *out);
/* Sends the ends that are due, as far as there is room. */
void outgoing_end(struct outbound *out);
/* Has the reader of the first stream left? */
bool outgoing_broken(const struct outbound *out);
/* Bytes of room that the first one needs to go on. */
uint32_t outgoing_need(const struct outbound *out);
int outgoing_new(struct outbound *out, struct sivc_writer **writer);
void outgoing_enter(struct sivc_writer *writer); /* at the end of the line, or it is there */
void outgoing_free(struct sivc_writer *writer);
/* The endpoint closes.  They are their owners' to end, unless that was done. */
void outgoing_abandon_all(struct outbound *out);

#endif
