/* SPDX-License-Identifier: MIT */
/*
 * pingpong: the same work between two domains over whatever can carry it, timed.
 *
 *	pingpong b TRANSPORT PEER WORK...	consumes and answers; prints "ready" when it can
 *	pingpong a TRANSPORT PEER WORK...	produces and measures; started when b is ready
 *
 * WORK is oneway:SIZE:COUNT or roundtrip:SIZE:COUNT, bytes and messages; both sides are given the
 * same.  One way: COUNT messages in a row, of which the last is acknowledged; the time is from
 * before the first to after the acknowledgement.  Round trip: each is answered by one of its size.
 * Side a makes every byte and b reads and checks every byte (../bench/bench.h), so no transport
 * wins by not moving the data.
 *
 * TRANSPORT and its PEER:
 *	file	domain id: write to peers/PEER, read inbox, below SIVC_MOUNT or /sivc
 *	framed	the same with many messages a call (SIVC_IOC_FRAMED)
 *	libsivc	domain id: sivc_send and sivc_receive, without a mount
 *	batched	domain id: sivc_send_many, and sivc_peek where the message lies
 *	vchan	domain id: libxenvchan with rings of the size of ours; b is its server
 *	tcp	a's PEER is b's address, b's is a port, which a finds behind the address' colon
 *
 * For each work a prints a line: transport, mode, size, count, microseconds a message, and for
 * round trips median and 99th percentile, separated by tabs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libxenvchan.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sivc/ioctl.h>
#include <sivc/sivc.h>

#include "../bench/bench.h"

#define BATCH_BYTES (256u * 1024)
#define ENDPOINT    "default"
#define NS_PER_US   1000.0
#define PATH_LIMIT  256

struct link;

struct transport {
	const char *name;
	int (*open)(struct link *link);
	void *(*place)(
		struct link *link, size_t size); /* where to make the next; NULL: link->out */
	int (*send)(struct link *link, size_t size);
	int (*flush)(struct link *link); /* NULL: send keeps nothing back */
	/* A message of `size` bytes; *bytes is valid until the next call. */
	int (*receive)(struct link *link, size_t size, const void **bytes);
	void (*close)(struct link *link);
};

struct link {
	const struct transport *transport;
	const char *peer;
	bool consumer; /* side b */
	char *out;     /* BATCH_BYTES and a message more */
	char *in;
	/* What is made and not sent, received and not consumed: bytes of out, of in. */
	size_t used, next, filled;
	/* The transports'. */
	int send_fd, receive_fd;
	struct sivc *sivc;
	struct sivc_endpoint *endpoint;
	struct sivc_message message;
	bool peeked;
	struct libxenvchan *vchan;
};

static uint16_t peer_domid(const struct link *link)
{
	return (uint16_t)bench_number("PEER", link->peer);
}

/* --- Files ------------------------------------------------------------------------------------ */

static int file_open(struct link *link)
{
	const char *mount = getenv("SIVC_MOUNT");
	char path[PATH_LIMIT];

	mount = mount ? mount : "/sivc";
	snprintf(path, sizeof path, "%s/inbox", mount);
	link->receive_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (link->receive_fd < 0)
		return -errno;
	snprintf(path, sizeof path, "%s/peers/%s", mount, link->peer);
	link->send_fd = open(path, O_WRONLY | O_CLOEXEC);
	return link->send_fd < 0 ? -errno : 0;
}

static int file_send(struct link *link, size_t size)
{
	ssize_t n = write(link->send_fd, link->out, size);

	if (n < 0)
		return -errno;
	return n == (ssize_t)size ? 0 : -EPROTO;
}

static int file_receive(struct link *link, size_t size, const void **bytes)
{
	ssize_t n = read(link->receive_fd, link->in, size);

	*bytes = link->in;
	if (n < 0)
		return -errno;
	return n == (ssize_t)size ? 0 : -EPROTO;
}

static void file_close(struct link *link)
{
	close(link->send_fd);
	close(link->receive_fd);
}

/* --- Framed files: as many messages a call as BATCH_BYTES hold -------------------------------- */

static int framed_open(struct link *link)
{
	uint32_t on = 1;
	int r = file_open(link);

	if (r < 0)
		return r;
	if (ioctl(link->send_fd, SIVC_IOC_FRAMED, &on) < 0 ||
		ioctl(link->receive_fd, SIVC_IOC_FRAMED, &on) < 0)
		return -errno;
	return 0;
}

static int write_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, bytes, size);
		if (n < 0)
			return -errno;
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}

static int framed_flush(struct link *link)
{
	int r = write_all(link->send_fd, link->out, link->used);

	link->used = 0;
	return r;
}

static void *framed_place(struct link *link, size_t size)
{
	struct sivc_frame_header header = {(uint32_t)size, peer_domid(link)};

	memcpy(link->out + link->used, &header, sizeof header);
	return link->out + link->used + sizeof header;
}

static int framed_send(struct link *link, size_t size)
{
	link->used += sizeof(struct sivc_frame_header) + size;
	return link->used + sizeof(struct sivc_frame_header) + size <= BATCH_BYTES
		       ? 0
		       : framed_flush(link);
}

static int framed_receive(struct link *link, size_t size, const void **bytes)
{
	struct sivc_frame_header header;

	if (link->next == link->filled) {
		size_t room =
			sizeof header + size > BATCH_BYTES ? sizeof header + size : BATCH_BYTES;
		ssize_t n = read(link->receive_fd, link->in, room);
		if (n < 0)
			return -errno;
		link->filled = (size_t)n;
		link->next = 0;
	}
	memcpy(&header, link->in + link->next, sizeof header);
	*bytes = link->in + link->next + sizeof header;
	link->next += sizeof header + header.length;
	return header.length == size && link->next <= link->filled ? 0 : -EPROTO;
}

/* --- libsivc ---------------------------------------------------------------------------------- */

static void library_log(void *data, int priority, const char *message)
{
	(void)data;
	fprintf(stderr, "libsivc: <%d> %s\n", priority, message);
}

static int library_open(struct link *link)
{
	const struct sivc_config config = {
		.backend = "xen",
		.domid = -1,
		.log = library_log,
	};
	int r = sivc_open(&config, &link->sivc);

	if (r == 0)
		r = sivc_endpoint_open(link->sivc, ENDPOINT, NULL, &link->endpoint);
	return r < 0 ? r : sivc_permit(link->endpoint, peer_domid(link));
}

/* The receiver was there first, but our watch on its node may be a moment behind. */
static int library_open_when_permitted(struct link *link)
{
	int r = library_open(link);

	while (r == 0 && !link->consumer &&
		sivc_writable(link->endpoint, peer_domid(link), 1) == -EACCES)
		r = sivc_wait(link->sivc, 100);
	return r;
}

static int library_send(struct link *link, size_t size)
{
	return sivc_send(link->endpoint, peer_domid(link), link->out, size, 0);
}

static int library_receive(struct link *link, size_t size, const void **bytes)
{
	ssize_t n = sivc_receive(link->endpoint, SIVC_ANY, link->in, size, NULL, 0);

	*bytes = link->in;
	if (n < 0)
		return (int)n;
	return n == (ssize_t)size ? 0 : -EPROTO;
}

static void library_close(struct link *link)
{
	sivc_close(link->sivc);
}

/* --- libsivc, many messages with one signal; received where they lie -------------------------- */

#define BATCH_MESSAGES 16u /* few enough that the other side works meanwhile */

static void *batched_place(struct link *link, size_t size)
{
	(void)size;
	return link->out + link->used;
}

static void depart(void *data, int r, size_t sent)
{
	(void)sent;
	*(int *)data = r;
}

static int batched_flush_of(struct link *link, size_t size)
{
	struct iovec messages[BATCH_MESSAGES];
	size_t count = 0;
	struct sivc_sending *sending;
	int result = -EINPROGRESS;
	ssize_t n;
	int r = 0;

	for (size_t at = 0; at < link->used; at += size)
		messages[count++] = (struct iovec){link->out + at, size};
	link->used = 0;
	n = sivc_send_start(
		link->endpoint, peer_domid(link), messages, count, depart, &result, &sending);
	if (n != -EINPROGRESS)
		return n < 0 ? (int)n : 0;
	while (result == -EINPROGRESS && (r = sivc_wait(link->sivc, -1)) >= 0)
		;
	return result == -EINPROGRESS ? r : result;
}

static int batched_send(struct link *link, size_t size)
{
	link->next = size; /* for the flush */
	link->used += size;
	if (link->used + size <= BATCH_BYTES && link->used / size < BATCH_MESSAGES)
		return 0;
	return batched_flush_of(link, size);
}

static int batched_flush(struct link *link)
{
	return link->used ? batched_flush_of(link, link->next) : 0;
}

static void arrive(void *data, int r, const struct sivc_message *message)
{
	(void)r;
	(void)message; /* it stays: batched_peek takes it */
	*(bool *)data = true;
}

static int batched_peek(struct link *link)
{
	int r;

	if (link->peeked)
		sivc_consume(link->endpoint, &link->message);
	link->peeked = false;
	while ((r = sivc_peek(link->endpoint, SIVC_ANY, &link->message)) == -EAGAIN) {
		struct sivc_waiter *waiter;
		bool arrived = false;
		r = sivc_wait_receive(link->endpoint, SIVC_ANY, arrive, &arrived, &waiter);
		while (r >= 0 && !arrived)
			r = sivc_wait(link->sivc, -1);
		if (r < 0)
			return r;
	}
	link->peeked = r >= 0;
	return r;
}

/* Where it lies, unless it wraps: the check wants it in one piece. */
static int batched_receive(struct link *link, size_t size, const void **bytes)
{
	const struct iovec *iov = link->message.iov;
	int r = batched_peek(link);

	if (r < 0)
		return r;
	if (link->message.length != size)
		return -EPROTO;
	*bytes = iov[0].iov_base;
	if (link->message.iovcnt == 1)
		return 0;
	memcpy(link->in, iov[0].iov_base, iov[0].iov_len);
	memcpy(link->in + iov[0].iov_len, iov[1].iov_base, iov[1].iov_len);
	*bytes = link->in;
	return 0;
}

static void batched_close(struct link *link)
{
	if (link->peeked)
		sivc_consume(link->endpoint, &link->message);
	library_close(link);
}

/* --- libxenvchan: a stream, so that a message is as many writes and reads as it takes --------- */

static int vchan_open(struct link *link)
{
	int peer = peer_domid(link);
	char path[PATH_LIMIT];

	if (link->consumer) {
		link->vchan = libxenvchan_server_init(
			NULL, peer, "data/pingpong", SIVC_RING_DEFAULT, SIVC_RING_DEFAULT);
	} else {
		snprintf(path, sizeof path, "/local/domain/%d/data/pingpong", peer);
		link->vchan = libxenvchan_client_init(NULL, peer, path);
	}
	if (!link->vchan)
		return -errno;
	link->vchan->blocking = -1; /* one bit with a sign */
	return 0;
}

static int vchan_send(struct link *link, size_t size)
{
	return libxenvchan_write(link->vchan, link->out, size) == (int)size ? 0 : -EPIPE;
}

static int vchan_receive(struct link *link, size_t size, const void **bytes)
{
	for (size_t got = 0; got < size;) {
		int n = libxenvchan_read(link->vchan, link->in + got, size - got);
		if (n <= 0)
			return -EPIPE;
		got += (size_t)n;
	}
	*bytes = link->in;
	return 0;
}

static void vchan_close(struct link *link)
{
	libxenvchan_close(link->vchan);
}

/* --- TCP -------------------------------------------------------------------------------------- */

static int tcp_listen(struct link *link, const struct sockaddr_in *address)
{
	int sock = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(sock, (const struct sockaddr *)address, sizeof *address) < 0 ||
		listen(sock, 1) < 0)
		return -errno;
	puts("ready"); /* before it has a peer */
	fflush(stdout);
	link->send_fd = accept(sock, NULL, NULL);
	close(sock);
	return link->send_fd < 0 ? -errno : 0;
}

static int tcp_open(struct link *link)
{
	const char *colon = strrchr(link->peer, ':');
	struct sockaddr_in address = {.sin_family = AF_INET};
	char host[INET_ADDRSTRLEN];
	int r = 0, one = 1;

	address.sin_port = htons((uint16_t)bench_number("PEER", colon ? colon + 1 : link->peer));
	if (link->consumer) {
		r = tcp_listen(link, &address);
	} else {
		snprintf(host, sizeof host, "%.*s", (int)(colon ? colon - link->peer : 0),
			link->peer);
		link->send_fd = socket(AF_INET, SOCK_STREAM, 0);
		if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
			return -EINVAL;
		if (connect(link->send_fd, (struct sockaddr *)&address, sizeof address) < 0)
			return -errno;
	}
	setsockopt(link->send_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return r;
}

static int tcp_send(struct link *link, size_t size)
{
	return write_all(link->send_fd, link->out, size);
}

static int tcp_receive(struct link *link, size_t size, const void **bytes)
{
	ssize_t n = recv(link->send_fd, link->in, size, MSG_WAITALL);

	*bytes = link->in;
	if (n < 0)
		return -errno;
	return n == (ssize_t)size ? 0 : -EPIPE;
}

static void tcp_close(struct link *link)
{
	close(link->send_fd);
}

/* --- The work, which is the same for all ------------------------------------------------------ */

static const struct transport transports[] = {
	{"file", file_open, NULL, file_send, NULL, file_receive, file_close},
	{"framed", framed_open, framed_place, framed_send, framed_flush, framed_receive,
		file_close},
	{"libsivc", library_open_when_permitted, NULL, library_send, NULL, library_receive,
		library_close},
	{"batched", library_open_when_permitted, batched_place, batched_send, batched_flush,
		batched_receive, batched_close},
	{"vchan", vchan_open, NULL, vchan_send, NULL, vchan_receive, vchan_close},
	{"tcp", tcp_open, NULL, tcp_send, NULL, tcp_receive, tcp_close},
};

struct work {
	bool round_trips;
	size_t size;
	size_t count;
};

static int send_message(struct link *link, size_t size, uint64_t sequence)
{
	const struct transport *transport = link->transport;
	void *place = transport->place ? transport->place(link, size) : link->out;

	bench_make(place, size, sequence, BENCH_DATA);
	return transport->send(link, size);
}

static int flush(struct link *link)
{
	return link->transport->flush ? link->transport->flush(link) : 0;
}

static int receive_message(struct link *link, size_t size, uint64_t sequence)
{
	struct bench_head head;
	const void *bytes;
	int r = link->transport->receive(link, size, &bytes);

	if (r < 0)
		return r;
	return bench_check(bytes, size, &head) && head.sequence == sequence ? 0 : -EBADMSG;
}

static int consume(struct link *link, const struct work *work)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < work->count; i++) {
		r = receive_message(link, work->size, i);
		if (r == 0 && (work->round_trips || i + 1 == work->count)) {
			r = send_message(link, work->round_trips ? work->size : BENCH_MSG_MIN, i);
			if (r == 0)
				r = flush(link);
		}
	}
	return r;
}

static int await_answer(struct link *link, const struct work *work, size_t i)
{
	int r = flush(link);

	return r < 0 ? r : receive_message(link, work->round_trips ? work->size : BENCH_MSG_MIN, i);
}

/* times[i]: when message i was answered; one way that is the last one.  In a guest reading the
 * clock is a system call: what is sent in a row is not timed one by one. */
static int produce(struct link *link, const struct work *work, uint64_t *times)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < work->count; i++) {
		r = send_message(link, work->size, i);
		if (!work->round_trips && i + 1 < work->count)
			continue;
		if (r == 0)
			r = await_answer(link, work, i);
		times[i] = bench_now();
	}
	return r;
}

static void report_quantiles(const struct work *work, uint64_t start, uint64_t *times)
{
	for (size_t i = work->count - 1; i > 0; i--)
		times[i] -= times[i - 1];
	times[0] -= start;
	printf("\t%.2f\t%.2f\n", (double)bench_quantile(times, work->count, 0.5) / NS_PER_US,
		(double)bench_quantile(times, work->count, 0.99) / NS_PER_US);
}

static void report(
	const struct link *link, const struct work *work, uint64_t start, uint64_t *times)
{
	double each = (double)(times[work->count - 1] - start) / (double)work->count;

	printf("%s\t%s\t%zu\t%zu\t%.2f", link->transport->name,
		work->round_trips ? "roundtrip" : "oneway", work->size, work->count,
		each / NS_PER_US);
	if (work->round_trips)
		report_quantiles(work, start, times);
	else
		printf("\t-\t-\n");
	fflush(stdout);
}

static int do_work(struct link *link, const struct work *work)
{
	if (link->consumer)
		return consume(link, work);
	uint64_t *times = calloc(work->count, sizeof *times);
	if (!times)
		return -ENOMEM;
	uint64_t start = bench_now();
	int r = produce(link, work, times);
	if (r == 0)
		report(link, work, start, times);
	free(times);
	return r;
}

static bool parse_work(const char *text, struct work *work)
{
	char mode[16];

	if (sscanf(text, "%15[a-z]:%zu:%zu", mode, &work->size, &work->count) != 3)
		return false;
	work->round_trips = strcmp(mode, "roundtrip") == 0;
	return (work->round_trips || strcmp(mode, "oneway") == 0) && work->count > 0 &&
	       work->size >= BENCH_MSG_MIN && work->size <= BENCH_MSG_MAX;
}

static const struct transport *find_transport(const char *name)
{
	for (size_t i = 0; i < sizeof transports / sizeof *transports; i++) {
		if (strcmp(transports[i].name, name) == 0)
			return &transports[i];
	}
	return NULL;
}

static int run(struct link *link, char **works)
{
	int r = link->transport->open(link);

	if (r == 0 && link->consumer) {
		puts("ready");
		fflush(stdout);
	}
	for (struct work work; r == 0 && *works; works++)
		r = parse_work(*works, &work) ? do_work(link, &work) : -EINVAL;
	if (r == 0)
		link->transport->close(link);
	return r;
}

int main(int argc, char **argv)
{
	struct link link = {0};

	if (argc < 5 || !(link.transport = find_transport(argv[2]))) {
		fprintf(stderr, "usage: pingpong a|b TRANSPORT PEER WORK...: see the source\n");
		return EXIT_FAILURE;
	}
	link.consumer = strcmp(argv[1], "b") == 0;
	link.peer = argv[3];
	link.out = malloc(BATCH_BYTES + BENCH_MSG_MAX + sizeof(struct sivc_frame_header));
	link.in = malloc(BATCH_BYTES + BENCH_MSG_MAX + sizeof(struct sivc_frame_header));
	int r = link.out && link.in ? run(&link, argv + 4) : -ENOMEM;
	free(link.out);
	free(link.in);
	if (r < 0)
		fprintf(stderr, "pingpong: %s: %s\n", link.transport->name, strerror(-r));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
