/* SPDX-License-Identifier: MIT */
#include "outgoing.h"

#include <errno.h>
#include <stdlib.h>

/* Bytes: more than any ring, and the span of its frame does not overflow. */
#define PIECE_MAX (1u << 30)

static struct sivc_writer *first(const struct outbound *out)
{
	return TAILQ_FIRST(&out->line.writers);
}

static struct writers *list_of(const struct sivc_writer *writer)
{
	struct line *line = &writer->out->line;

	return writer->in_line ? &line->writers : &line->others;
}

static void set_in_line(struct sivc_writer *writer, bool in_line)
{
	if (writer->in_line == in_line)
		return;
	TAILQ_REMOVE(list_of(writer), writer, link);
	writer->in_line = in_line;
	TAILQ_INSERT_TAIL(list_of(writer), writer, link);
}

void outgoing_enter(struct sivc_writer *writer)
{
	set_in_line(writer, true);
}

int outgoing_new(struct outbound *out, struct sivc_writer **result)
{
	struct sivc_writer *writer = calloc(1, sizeof(*writer));

	if (!writer)
		return -ENOMEM;
	writer->out = out;
	TAILQ_INSERT_TAIL(list_of(writer), writer, link);
	*result = writer;
	return 0;
}

/* The others need not wait for it. */
static int dead(struct sivc_writer *writer, int error)
{
	writer->error = error;
	if (writer->end == WRITER_ENDS)
		writer->out->untold = error;
	writer->out->counters.cut += writer->begun;
	set_in_line(writer, false);
	if (first(writer->out))
		outbound_run_line(writer->out);
	return error;
}

/* Its reader has left. */
static bool is_broken(const struct sivc_writer *writer)
{
	return writer->begun && page_stream_is_broken(writer->out->page, writer->begin);
}

int outgoing_check(struct sivc_writer *writer)
{
	struct outbound *out = writer->out;
	int r;

	if (!out)
		return -EPIPE;
	if (writer->error)
		return writer->error;
	r = outbound_update(out);
	if (r < 0)
		return dead(writer, r);
	if (r > 0)
		return r;
	if ((writer->begun && out->channel.nonce != writer->ring_nonce) || is_broken(writer))
		return dead(writer, -EPIPE);
	return 0;
}

/* Room for a frame of `length` bytes or a piece of it, and its turn. */
static int check_room(struct sivc_writer *writer, uint32_t length, uint32_t *room)
{
	struct outbound *out = writer->out;
	uint32_t need;
	int r = outgoing_check(writer);

	if (r != 0)
		return r;
	outgoing_enter(writer);
	if (first(out) != writer)
		return OUTBOUND_NO_ROOM;
	need = outbound_piece(out); /* of the ring that is linked now */
	need = need < ring_span(length) ? need : ring_span(length);
	r = outbound_space(out, need, room);
	return r < 0 ? dead(writer, r) : r;
}

int outgoing_ready(struct sivc_writer *writer)
{
	uint32_t room;

	return check_room(writer, PIECE_MAX, &room);
}

/* In what is put, and not published yet. */
static void put(struct sivc_writer *writer, uint32_t flags, const void *data, uint32_t length)
{
	struct outbound *out = writer->out;

	if (!writer->begun) {
		flags |= SIVC_FRAME_FIRST;
		writer->begun = true;
		writer->begin = out->tx.prod;
		writer->ring_nonce = out->channel.nonce;
		out->counters.streams++;
	}
	ring_tx_put(&out->tx, flags, data, length);
}

int outgoing_write(struct sivc_writer *writer, const void *data, size_t length, size_t *sent)
{
	struct outbound *out = writer->out;
	const char *bytes = data;
	uint32_t room, n;
	int r = 0;

	*sent = 0;
	while (*sent < length) {
		n = length - *sent < PIECE_MAX ? (uint32_t)(length - *sent) : PIECE_MAX;
		r = check_room(writer, n, &room);
		if (r != 0)
			break;
		if (ring_span(n) > room)
			n = ring_fitting(room);
		put(writer, 0, bytes + *sent, n);
		outbound_publish(out);
		*sent += n;
		out->counters.bytes += n;
	}
	return *sent > 0 && r >= 0 ? 0 : r;
}

/* The mark of its end.  A stream that never began and is cut has none. */
static int send_end(struct sivc_writer *writer)
{
	struct outbound *out = writer->out;
	bool cut = writer->end == WRITER_CUTS;
	uint32_t room;
	int r;

	if (cut && !writer->begun)
		return 0;
	r = check_room(writer, 0, &room);
	if (r != 0)
		return r;
	put(writer, cut ? SIVC_FRAME_CUT : SIVC_FRAME_LAST, "", 0);
	outbound_publish(out);
	out->counters.cut += cut;
	out->counters.ended += !cut;
	return 0;
}

bool outgoing_broken(const struct outbound *out)
{
	const struct sivc_writer *writer = first(out);

	return writer && is_broken(writer);
}

/* Whether its writer looks or not: others in line wait for it. */
static void end_broken(struct outbound *out)
{
	struct sivc_writer *writer = first(out);

	if (out->state != OUTBOUND_LINKED || !outgoing_broken(out))
		return;
	dead(writer, -EPIPE);
	if (writer->end != WRITER_OPEN)
		outgoing_free(writer);
}

bool outgoing_ends(const struct outbound *out)
{
	const struct sivc_writer *writer = first(out);

	return writer && writer->end != WRITER_OPEN;
}

void outgoing_end(struct outbound *out)
{
	struct sivc_writer *writer;

	end_broken(out);
	while (outgoing_ends(out)) {
		writer = first(out);
		if (send_end(writer) > 0)
			return;
		outgoing_free(writer);
	}
}

uint32_t outgoing_need(const struct outbound *out)
{
	return outgoing_ends(out) ? ring_span(0) : outbound_piece(out);
}

void outgoing_free(struct sivc_writer *writer)
{
	if (writer->out)
		TAILQ_REMOVE(list_of(writer), writer, link);
	free(writer);
}

static void abandon(struct writers *writers)
{
	struct sivc_writer *writer;

	while ((writer = TAILQ_FIRST(writers)) != NULL) {
		TAILQ_REMOVE(writers, writer, link);
		writer->out = NULL;
		if (writer->end != WRITER_OPEN)
			free(writer);
	}
}

void outgoing_abandon_all(struct outbound *out)
{
	abandon(&out->line.writers);
	abandon(&out->line.others);
}
