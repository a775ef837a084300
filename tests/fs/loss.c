/* SPDX-License-Identifier: MIT */
/*
 * loss: counts that no message is lost, doubled, changed or out of order while readers are killed.
 *
 *	loss COUNT MAX_MSG SEED RECEIVER SENDER...
 *
 * RECEIVER and SENDERs are domain ids; each is mounted on a directory of that name.  One process a
 * sender writes its share of COUNT messages, sizes from 1 byte to MAX_MSG (most are small).  One
 * reader at a time receives them, and is killed (-9, SIGTERM) after a random short time.  Writers
 * and readers use plain and framed handles, readers the inbox and peers/N.
 *
 * What a message is follows from its sender and its number, so that each can be checked whole and
 * in order without anything written down.  A reader reads into memory that it shares with us and
 * that was zeroed before: what a killed reader has taken is there, whether or not its read ever
 * returned, and is counted as received.  So there is no allowance for what was in flight: every
 * message that a write has acknowledged must come exactly once, in its sender's order.
 *
 * Exit status 0 and one line if that is so; 1 and a diagnosis if not.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sivc/ioctl.h>

#define SENDERS_MAX   16u
#define MSG_MAX       (1u << 20)
#define BATCH_MAX     100u        /* messages a framed write */
#define BATCH_BYTES   65536u      /* and bytes, but for one large message */
#define READ_BYTES    (64u << 10) /* a framed read, beside room for one of the largest */
#define LIFE_MS_MAX   200         /* of a reader */
#define STALL_SECONDS 60          /* without one message */
#define IDS           31u         /* of message numbers in the first byte; see message_fill */

enum kind {
	FRAMED_INBOX,
	PLAIN_INBOX,
	FRAMED_PEER,
	PLAIN_PEER,
	KINDS,
};

struct sender {
	int domid;
	uint64_t count;                /* messages to send */
	_Atomic uint64_t acknowledged; /* written by its writer */
	uint64_t received;
	pid_t writer;
};

/* Shared by all of our processes. */
struct shared {
	struct sender senders[SENDERS_MAX];
	char taken[MSG_MAX + READ_BYTES]; /* what the reader read; zero behind it */
};

struct loss {
	struct shared *shared;
	size_t senders;
	size_t max_msg;
	uint64_t seed;
	int receiver;
	unsigned char *noise; /* 2 * MSG_MAX bytes that messages are cut out of */
	uint64_t random;
	/* The reader, and what it is doing. */
	pid_t reader;
	enum kind kind;
	size_t peer; /* of a reader of peers/N: which sender */
	int reports; /* it has read something: a byte */
	int permits; /* it may read on: a byte */
	/* What happened. */
	unsigned long kills, killed_with;
};

static uint64_t mix(uint64_t x)
{
	/* The finisher of splitmix64: every bit of x changes half of the bits. */
	x += 0x9E3779B97F4A7C15u;
	x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
	x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
	return x ^ (x >> 31);
}

static uint64_t next_random(struct loss *loss)
{
	return loss->random = mix(loss->random);
}

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "loss: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* --- Messages --------------------------------------------------------------------------------- */

static uint64_t message_hash(const struct loss *loss, size_t sender, uint64_t number)
{
	return mix(loss->seed + sender * 0x100000000u + number);
}

static size_t message_size(const struct loss *loss, size_t sender, uint64_t number)
{
	uint64_t hash = message_hash(loss, sender, number), most = 128;

	if ((hash & 1023) == 0)
		most = loss->max_msg;
	else if ((hash & 1023) < 16)
		most = 16384;
	else if ((hash & 1023) < 128)
		most = 1024;
	if (most > loss->max_msg)
		most = loss->max_msg;
	return 1 + (hash >> 10) % most;
}

/*
 * A cut of the noise, and in the first byte the sender and the last digits of the number; that byte
 * is never 0, so that memory that was zeroed shows whether a message was put there.
 */
static unsigned char first_byte(size_t sender, uint64_t number)
{
	return (unsigned char)(1 + number % IDS * 8 + sender % 8);
}

static const unsigned char *message_tail(const struct loss *loss, size_t sender, uint64_t number)
{
	return loss->noise + (message_hash(loss, sender, number) >> 34) % MSG_MAX;
}

static size_t message_fill(const struct loss *loss, size_t sender, uint64_t number, char *to)
{
	size_t size = message_size(loss, sender, number);

	memcpy(to, message_tail(loss, sender, number), size);
	to[0] = (char)first_byte(sender, number);
	return size;
}

static bool message_is(
	const struct loss *loss, size_t sender, uint64_t number, const char *data, size_t size)
{
	return size == message_size(loss, sender, number) &&
	       (unsigned char)data[0] == first_byte(sender, number) &&
	       !memcmp(data + 1, message_tail(loss, sender, number) + 1, size - 1);
}

/* --- Writers ---------------------------------------------------------------------------------- */

static size_t put_frames(
	const struct loss *loss, size_t index, uint64_t from, unsigned int most, char *to)
{
	const struct sender *sender = &loss->shared->senders[index];
	struct sivc_frame_header header = {.domain = (uint32_t)loss->receiver};
	size_t at = 0;

	for (unsigned int i = 0; i < most && from + i < sender->count; i++) {
		size_t size = message_size(loss, index, from + i);

		if (at && at + sizeof header + size > BATCH_BYTES)
			break;
		header.length = (uint32_t)size;
		memcpy(to + at, &header, sizeof header);
		message_fill(loss, index, from + i, to + at + sizeof header);
		at += sizeof header + size;
	}
	return at;
}

/* How many frames there are in the first `length` bytes. */
static uint64_t count_frames(const char *frames, size_t length)
{
	struct sivc_frame_header header;
	uint64_t count = 0;

	for (size_t at = 0; at < length; at += sizeof header + header.length, count++)
		memcpy(&header, frames + at, sizeof header);
	return count;
}

/* One in four writers is a plain one. */
static bool is_plain(size_t sender)
{
	return sender % 4 == 3;
}

static void write_all(struct loss *loss, size_t index)
{
	static char buffer[MSG_MAX + BATCH_BYTES];
	struct sender *sender = &loss->shared->senders[index];
	uint32_t framed = !is_plain(index);
	uint64_t number = 0;
	char path[64];
	int fd;

	snprintf(path, sizeof path, "%d/peers/%d", sender->domid, loss->receiver);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, SIVC_IOC_FRAMED, &framed))
		give_up(path);
	while (number < sender->count) {
		unsigned int most = 1 + (unsigned int)(next_random(loss) % BATCH_MAX);
		size_t size = framed ? put_frames(loss, index, number, most, buffer)
				     : message_fill(loss, index, number, buffer);
		ssize_t n = write(fd, buffer, size);

		if (n <= 0 || (!framed && n != (ssize_t)size))
			give_up(path);
		number += framed ? count_frames(buffer, (size_t)n) : 1;
		sender->acknowledged = number;
	}
	if (close(fd))
		give_up(path);
}

/* A child, which does not outlive us: 0 in the child. */
static pid_t fork_child(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		give_up("fork");
	if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent))
		_exit(1);
	return pid;
}

static void start_writers(struct loss *loss)
{
	for (size_t i = 0; i < loss->senders; i++) {
		struct sender *sender = &loss->shared->senders[i];

		sender->writer = fork_child();
		if (sender->writer == 0) {
			loss->random = mix(loss->seed + i);
			write_all(loss, i);
			_exit(0);
		}
	}
}

/* --- Readers ---------------------------------------------------------------------------------- */

/* The reader: reads, tells, and reads on when what it read was looked at and zeroed. */
static _Noreturn void read_on(const struct loss *loss, int reports, int permits)
{
	uint32_t framed = loss->kind == FRAMED_INBOX || loss->kind == FRAMED_PEER;
	size_t size = loss->max_msg + (framed ? READ_BYTES : 0);
	char path[64], byte = 0;
	int fd;

	if (loss->kind == FRAMED_INBOX || loss->kind == PLAIN_INBOX)
		snprintf(path, sizeof path, "%d/inbox", loss->receiver);
	else
		snprintf(path, sizeof path, "%d/peers/%d", loss->receiver,
			loss->shared->senders[loss->peer].domid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, SIVC_IOC_FRAMED, &framed))
		give_up(path);
	do {
		if (read(fd, loss->shared->taken, size) <= 0)
			give_up(path);
	} while (write(reports, &byte, 1) == 1 && read(permits, &byte, 1) == 1);
	give_up("pipe");
}

static void start_reader(struct loss *loss)
{
	int reports[2], permits[2];

	if (pipe2(reports, O_CLOEXEC) || pipe2(permits, O_CLOEXEC))
		give_up("pipe");
	loss->kind = (enum kind)(next_random(loss) % KINDS);
	/* The quick kind twice as often. */
	if (next_random(loss) % 2)
		loss->kind = FRAMED_INBOX;
	loss->peer = next_random(loss) % loss->senders;
	loss->reader = fork_child();
	if (loss->reader == 0) {
		close(reports[0]);
		close(permits[1]);
		read_on(loss, reports[1], permits[0]);
	}
	close(reports[1]);
	close(permits[0]);
	loss->reports = reports[0];
	loss->permits = permits[1];
}

/* --- Checking --------------------------------------------------------------------------------- */

static _Noreturn void wrong(const struct loss *loss, size_t index, const char *data, size_t size)
{
	const struct sender *sender = &loss->shared->senders[index];
	uint64_t expected = sender->received;

	fprintf(stderr, "loss: from domain %d: expected message %llu of %zu bytes, got %zu bytes, ",
		sender->domid, (unsigned long long)expected, message_size(loss, index, expected),
		size);
	for (uint64_t number = 0; number < sender->count; number++) {
		if (!message_is(loss, index, number, data, size))
			continue;
		fprintf(stderr, "which are message %llu: %s\n", (unsigned long long)number,
			number < expected ? "doubled, or out of order" : "others are lost");
		exit(1);
	}
	fprintf(stderr, "which are none of its messages (first byte %u)\n", (unsigned char)data[0]);
	exit(1);
}

static void receive(struct loss *loss, size_t index, const char *data, size_t size)
{
	struct sender *sender = &loss->shared->senders[index];

	if (sender->received >= sender->count ||
		!message_is(loss, index, sender->received, data, size))
		wrong(loss, index, data, size);
	sender->received++;
}

static size_t sender_of(const struct loss *loss, uint32_t domid)
{
	for (size_t i = 0; i < loss->senders; i++)
		if (loss->shared->senders[i].domid == (int)domid)
			return i;
	fprintf(stderr, "loss: a frame of domain %u, which sends nothing\n", domid);
	exit(1);
}

/* Takes the frames in shared->taken; returns how many bytes they were. */
static size_t take_frames(struct loss *loss)
{
	const char *taken = loss->shared->taken;
	struct sivc_frame_header header;
	size_t at = 0;

	for (;;) {
		if (at + sizeof header > sizeof loss->shared->taken)
			return at;
		memcpy(&header, taken + at, sizeof header);
		if (header.length == 0)
			return at;
		if (header.length > loss->max_msg ||
			at + sizeof header + header.length > sizeof loss->shared->taken) {
			fprintf(stderr, "loss: a frame of %u bytes\n", header.length);
			exit(1);
		}
		receive(loss, sender_of(loss, header.domain), taken + at + sizeof header,
			header.length);
		at += sizeof header + header.length;
	}
}

/* The same for a plain reader.  The first byte tells the sender, its next number the size. */
static size_t take_message(struct loss *loss)
{
	const char *taken = loss->shared->taken;
	size_t index = ((unsigned char)taken[0] - 1u) % 8, size;

	if (taken[0] == 0)
		return 0;
	if (index >= loss->senders) {
		fprintf(stderr, "loss: a message of nobody (first byte %u)\n",
			(unsigned char)taken[0]);
		exit(1);
	}
	size = message_size(loss, index, loss->shared->senders[index].received);
	receive(loss, index, taken, size);
	return size;
}

/* Returns true if there was anything. */
static bool take(struct loss *loss)
{
	bool framed = loss->kind == FRAMED_INBOX || loss->kind == FRAMED_PEER;
	size_t size = framed ? take_frames(loss) : take_message(loss);

	for (size_t i = size; i < size + sizeof(struct sivc_frame_header); i++) {
		if (i < sizeof loss->shared->taken && loss->shared->taken[i]) {
			fprintf(stderr, "loss: more was read than a message\n");
			exit(1);
		}
	}
	memset(loss->shared->taken, 0, size);
	return size > 0;
}

static void kill_reader(struct loss *loss)
{
	int status;

	kill(loss->reader, next_random(loss) % 2 ? SIGKILL : SIGTERM);
	if (waitpid(loss->reader, &status, 0) < 0)
		give_up("waitpid");
	if (!WIFSIGNALED(status)) {
		fprintf(stderr, "loss: a reader has failed\n");
		exit(1);
	}
	/* Its kernel may have had the answer for it, whether or not it ever saw it. */
	loss->kills++;
	loss->killed_with += take(loss);
	close(loss->reports);
	close(loss->permits);
}

static uint64_t total(const struct loss *loss)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < loss->senders; i++)
		sum += loss->shared->senders[i].received;
	return sum;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Lets the reader read until `end`, or until all is there. */
static void supervise(struct loss *loss, uint64_t count, int64_t end)
{
	struct pollfd report = {.fd = loss->reports, .events = POLLIN};
	char byte;

	while (total(loss) < count) {
		int64_t left = end - now_ms();

		if (left <= 0 || poll(&report, 1, (int)left) == 0)
			return;
		if (read(loss->reports, &byte, 1) != 1)
			return; /* it failed, which kill_reader finds */
		take(loss);
		if (write(loss->permits, &byte, 1) != 1)
			return;
	}
}

static void check_progress(const struct loss *loss, uint64_t count, uint64_t *last, int64_t *since)
{
	if (total(loss) != *last) {
		*last = total(loss);
		*since = now_ms();
	}
	if (now_ms() - *since < STALL_SECONDS * 1000)
		return;
	fprintf(stderr, "loss: nothing comes any more; %llu of %llu are here\n",
		(unsigned long long)*last, (unsigned long long)count);
	for (size_t i = 0; i < loss->senders; i++) {
		const struct sender *sender = &loss->shared->senders[i];

		fprintf(stderr, "loss: domain %d: acknowledged %llu, received %llu of %llu\n",
			sender->domid, (unsigned long long)sender->acknowledged,
			(unsigned long long)sender->received, (unsigned long long)sender->count);
	}
	exit(1);
}

static void receive_all(struct loss *loss, uint64_t count)
{
	uint64_t last = 0;
	int64_t since = now_ms();

	while (total(loss) < count) {
		start_reader(loss);
		supervise(loss, count, now_ms() + 1 + (int64_t)(next_random(loss) % LIFE_MS_MAX));
		kill_reader(loss);
		check_progress(loss, count, &last, &since);
	}
}

/* All writers have ended well, and nothing is left. */
static void check_end(const struct loss *loss)
{
	char path[64], byte;
	int status, fd;

	for (size_t i = 0; i < loss->senders; i++) {
		waitpid(loss->shared->senders[i].writer, &status, 0);
		if (status) {
			fprintf(stderr, "loss: the writer of domain %d has failed\n",
				loss->shared->senders[i].domid);
			exit(1);
		}
	}
	snprintf(path, sizeof path, "%d/inbox", loss->receiver);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || read(fd, &byte, 1) != -1 || errno != EAGAIN) {
		fprintf(stderr, "loss: there is more than was sent\n");
		exit(1);
	}
	close(fd);
}

static void make_noise(struct loss *loss)
{
	loss->noise = malloc(2 * MSG_MAX);
	if (!loss->noise)
		give_up("malloc");
	for (size_t i = 0; i < 2 * MSG_MAX; i += sizeof(uint64_t)) {
		uint64_t word = mix(loss->seed ^ i);

		memcpy(loss->noise + i, &word, sizeof word);
	}
}

static void setup(struct loss *loss, char **argv, uint64_t count)
{
	loss->shared = mmap(NULL, sizeof *loss->shared, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (loss->shared == MAP_FAILED)
		give_up("mmap");
	for (size_t i = 0; i < loss->senders; i++) {
		struct sender *sender = &loss->shared->senders[i];

		sender->domid = atoi(argv[i]);
		sender->count = count / loss->senders + (i < count % loss->senders);
	}
	make_noise(loss);
}

int main(int argc, char **argv)
{
	struct loss loss = {0};
	uint64_t count;
	int64_t start = now_ms();

	/* The first byte of a message tells 8 senders apart. */
	if (argc < 6 || argc > 5 + 8) {
		fputs("usage: loss COUNT MAX_MSG SEED RECEIVER SENDER... (1 to 8)\n", stderr);
		return 2;
	}
	count = strtoull(argv[1], NULL, 10);
	loss.max_msg = strtoull(argv[2], NULL, 10);
	loss.seed = strtoull(argv[3], NULL, 10);
	loss.receiver = atoi(argv[4]);
	loss.senders = (size_t)argc - 5;
	loss.random = mix(loss.seed);
	if (loss.max_msg == 0 || loss.max_msg > MSG_MAX) {
		fprintf(stderr, "loss: MAX_MSG must be 1 to %u\n", MSG_MAX);
		return 2;
	}
	setup(&loss, argv + 5, count);
	signal(SIGPIPE, SIG_IGN);
	start_writers(&loss);
	receive_all(&loss, count);
	check_end(&loss);
	printf("%llu messages of %zu senders, each once, whole and in order; %lu readers killed, "
	       "%lu of them with something in their hands; %lld ms\n",
		(unsigned long long)count, loss.senders, loss.kills, loss.killed_with,
		(long long)(now_ms() - start));
	free(loss.noise);
	return 0;
}
