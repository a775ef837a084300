/* SPDX-License-Identifier: MIT */
/* stats.c: an endpoint's counters, in Prometheus' text format. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "inbound.h"
#include "outbound.h"

static void describe(FILE *f, const char *name, const char *type, const char *help)
{
	fprintf(f, "# HELP sivc_%s %s\n# TYPE sivc_%s %s\n", name, help, name, type);
}

static void total(FILE *f, const struct sivc_endpoint *ep, const char *name, const char *type,
	const char *help, uint64_t value)
{
	describe(f, name, type, help);
	fprintf(f, "sivc_%s{endpoint=\"%s\"} %" PRIu64 "\n", name, ep->name, value);
}

/* One family for all peers; the counter is at `offset`. */
static void received(
	FILE *f, const struct sivc_endpoint *ep, const char *name, const char *help, size_t offset)
{
	const struct inbound *in, *next;

	describe(f, name, "counter", help);
	HASH_ITER (hh, ep->receiver.inbounds, in, next)
		fprintf(f, "sivc_%s{endpoint=\"%s\",peer=\"%u\"} %" PRIu64 "\n", name, ep->name,
			in->domid, *(const uint64_t *)(const void *)((const char *)in + offset));
}

static void sent(
	FILE *f, const struct sivc_endpoint *ep, const char *name, const char *help, size_t offset)
{
	const struct outbound *out, *next;

	describe(f, name, "counter", help);
	HASH_ITER (hh, ep->sender.outbounds, out, next)
		fprintf(f, "sivc_%s{endpoint=\"%s\",peer=\"%u\"} %" PRIu64 "\n", name, ep->name,
			out->domid, *(const uint64_t *)(const void *)((const char *)out + offset));
}

/*
 * Two families: the sum of one is of use to Prometheus only if nothing in it is a sum already.
 */
static void queued(FILE *f, const struct sivc_endpoint *ep)
{
	const struct inbound *in, *next;
	uint64_t sum = 0;

	describe(f, "queued_bytes", "gauge", "Bytes that wait to be read, by peer.");
	HASH_ITER (hh, ep->receiver.inbounds, in, next) {
		uint64_t bytes = inbound_queued_memory(in);

		fprintf(f, "sivc_queued_bytes{endpoint=\"%s\",peer=\"%u\"} %" PRIu64 "\n", ep->name,
			in->domid, bytes);
		sum += bytes;
	}
	total(f, ep, "endpoint_queued_bytes", "gauge", "Bytes that wait to be read, of all peers.",
		sum);
}

static unsigned int permitted(const struct sivc_endpoint *ep)
{
	const struct inbound *in, *next;
	unsigned int n = 0;

	HASH_ITER (hh, ep->receiver.inbounds, in, next)
		n += in->permission != INBOUND_REFUSED;
	return n;
}

static void write_messages(FILE *f, const struct sivc_endpoint *ep)
{
	received(f, ep, "received_messages_total", "Messages that readers have taken.",
		offsetof(struct inbound, counters.messages));
	received(f, ep, "received_bytes_total", "Bytes of those messages.",
		offsetof(struct inbound, counters.bytes));
	sent(f, ep, "sent_messages_total", "Messages that are in memory of the receiver.",
		offsetof(struct outbound, counters.messages));
	sent(f, ep, "sent_bytes_total", "Bytes of those messages.",
		offsetof(struct outbound, counters.bytes));
}

static void write_streams(FILE *f, const struct sivc_endpoint *ep)
{
	received(f, ep, "received_streams_total", "Streams that readers have begun to read.",
		offsetof(struct inbound, counters.streams));
	received(f, ep, "received_streams_ended_total", "Of those: read to the end.",
		offsetof(struct inbound, counters.ended));
	received(f, ep, "received_streams_cut_total", "Of those: cut, by either side.",
		offsetof(struct inbound, counters.cut));
	received(f, ep, "received_bytes_total", "Bytes of streams that readers have taken.",
		offsetof(struct inbound, counters.bytes));
	sent(f, ep, "sent_streams_total", "Streams that have begun.",
		offsetof(struct outbound, counters.streams));
	sent(f, ep, "sent_streams_ended_total", "Of those: their end was sent.",
		offsetof(struct outbound, counters.ended));
	sent(f, ep, "sent_streams_cut_total", "Of those: cut, by either side.",
		offsetof(struct outbound, counters.cut));
	sent(f, ep, "sent_bytes_total", "Bytes of streams that are in memory of the receiver.",
		offsetof(struct outbound, counters.bytes));
}

static void write_all(FILE *f, const struct sivc_endpoint *ep)
{
	if (ep->streams)
		write_streams(f, ep);
	else
		write_messages(f, ep);
	sent(f, ep, "refused_sends_total", "Sends that the receiver does not permit (EACCES).",
		offsetof(struct outbound, counters.refused));
	sent(f, ep, "full_sends_total", "Sends that found no room and waited, or got EAGAIN.",
		offsetof(struct outbound, counters.full));
	queued(f, ep);
	total(f, ep, "permitted_peers", "gauge", "Domains that may send to us.", permitted(ep));
	total(f, ep, "waiting_readers", "gauge", "Reads and polls that wait for a message.",
		ep->receiver.waiting);
	total(f, ep, "receive_wakeups_total", "counter", "Times that a sender woke this process.",
		ep->counters.receive_wakeups);
	total(f, ep, "send_wakeups_total", "counter", "Times that a receiver woke this process.",
		ep->counters.send_wakeups);
	total(f, ep, "breaches_total", "counter", "Times that a peer broke the protocol.",
		ep->counters.breaches);
	total(f, ep, "rings_revoked_total", "counter",
		"Rings taken back; their memory is pinned while the peer maps it.",
		ep->counters.rings_revoked);
}

ssize_t sivc_stats(struct sivc_endpoint *ep, char **text)
{
	size_t length;
	FILE *f = open_memstream(text, &length);
	bool failed;

	if (!f)
		return -ENOMEM;
	write_all(f, ep);
	failed = ferror(f) != 0;
	if (fclose(f) != 0 || failed) {
		free(*text);
		return -ENOMEM;
	}
	return (ssize_t)length;
}
