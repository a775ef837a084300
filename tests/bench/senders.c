/* SPDX-License-Identifier: MIT */
/*
 * senders.c: one receiver, a mounted endpoint, and many permitted senders, each a domain and a
 * process of its own that uses libsivc.
 *
 * What does a sender cost that is permitted and silent?  All of them connect and send one message;
 * then one of them, or all of them at once, send as fast as they can, and the time a message is
 * taken at the reader.  At the end nobody sends, and the receiver must not run at all.
 *
 * Memory is what the receiver's side holds for a sender: the growth of the shared files and of the
 * receiver's own heap, from before the rules to after each sender has sent a message.
 *
 * With --null there is no endpoint and no mount: each sender makes its messages in memory as large
 * as a ring, and when that is full it tells the reader and yields the processor; nobody waits until
 * there is room.  The reader copies as many messages out of one ring after the other, and looks at
 * each byte.  So much do that many processes and rings take alone.
 *
 * The output is one line of tab-separated values, named by `senders --header`.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sivc/ioctl.h>
#include <sivc/sivc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SENDERS_MAX   1000u
#define DOMID_FIRST   100u
#define NS_PER_MS     UINT64_C(1000000)
#define WARM_UP_SHARE 8
#define MESSAGE       1024u
#define EACH_MIN      200u /* messages of each sender: more than fill its ring */
#define BATCH         (256u * 1024)
#define IDLE_MS       1000
#define SETTLE_MS     100 /* for the receiver to go to sleep, and what was under way to arrive */
#define RULE_MAX      32
#define PATH_LENGTH   4096
#define BLOCK         512 /* what st_blocks counts in */
#define STUCK_S       120
#define QUIT          (UINT64_MAX - 1)
#define PLACES        (SIVC_RING_MANY / MESSAGE) /* null: in a ring */

struct senders {
	/* From the command line. */
	unsigned int count;
	bool all_active;
	bool framed;
	bool null;
	uint64_t budget; /* ns */
	const char *dir;
	const char *mount;
	uint16_t domid; /* the receiver's */
	pid_t receiver;
	int cpu_reader, cpu_senders; /* -1: any */
	/* While it runs. */
	int inbox;           /* null: eventfd, counts what was made and not read */
	char *rings;         /* null: one for each sender */
	uint64_t next;       /* null: which message of all those is read next */
	int go[SENDERS_MAX]; /* eventfd: how many messages that sender is to send */
	char *buffer;
	struct bench_meter meter;
};

struct result {
	uint64_t messages;
	uint64_t ns;
	struct bench_usage busy;
	struct bench_usage idle;
	uint64_t memory; /* bytes a sender */
};

static int send_messages(struct sivc_endpoint *endpoint, uint16_t to, uint64_t count)
{
	char message[MESSAGE];
	int r = 0;

	for (uint64_t i = 0; r >= 0 && i < count; i++) {
		bench_make(message, sizeof message, i, BENCH_DATA);
		r = sivc_send(endpoint, to, message, sizeof message, 0);
	}
	return r;
}

static int serve(struct sivc *sivc, uint16_t to, int go)
{
	struct sivc_endpoint *endpoint;
	uint64_t count;
	int r = sivc_endpoint_open(sivc, "default", NULL, &endpoint);

	if (r >= 0)
		r = send_messages(endpoint, to, 1);
	while (r >= 0) {
		if (read(go, &count, sizeof count) != sizeof count)
			return -errno;
		if (count == QUIT)
			return 0;
		r = send_messages(endpoint, to, count);
	}
	return r;
}

static int make_messages(char *ring, uint64_t count, int made)
{
	for (uint64_t n, left = count; left > 0; left -= n) {
		n = left < PLACES ? left : PLACES;
		for (uint64_t i = 0; i < n; i++)
			bench_make(ring + i * MESSAGE, MESSAGE, i, BENCH_DATA);
		if (write(made, &n, sizeof n) != sizeof n)
			return -errno;
		sched_yield();
	}
	return 0;
}

static int serve_nobody(const struct senders *senders, unsigned int index)
{
	uint64_t count = 1;
	int r = 0;

	while (r >= 0 && count != QUIT) {
		r = make_messages(senders->rings + index * SIVC_RING_MANY, count, senders->inbox);
		if (r >= 0 && read(senders->go[index], &count, sizeof count) != sizeof count)
			r = -errno;
	}
	return r;
}

static int sender(const struct senders *senders, unsigned int index)
{
	const struct sivc_config config = {
		.backend = "local",
		.dir = senders->dir,
		.domid = (int)(DOMID_FIRST + index),
	};
	struct sivc *sivc;
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	r = bench_run_on(senders->cpu_senders);
	if (r >= 0 && senders->null)
		return serve_nobody(senders, index) < 0;
	if (r >= 0)
		r = sivc_open(&config, &sivc);
	if (r >= 0) {
		r = serve(sivc, senders->domid, senders->go[index]);
		sivc_close(sivc);
	}
	if (r < 0)
		fprintf(stderr, "senders: domain %d: %s\n", config.domid, strerror(-r));
	return r < 0;
}

static void sender_ended(int signal_number)
{
	(void)signal_number;
	_exit(1);
}

static int start_senders(struct senders *senders)
{
	pid_t pid;

	signal(SIGCHLD, sender_ended);
	for (unsigned int i = 0; i < senders->count; i++) {
		senders->go[i] = eventfd(0, EFD_CLOEXEC);
		pid = senders->go[i] < 0 ? -1 : fork();
		if (pid < 0)
			return -errno;
		if (pid == 0)
			_exit(sender(senders, i));
	}
	return 0;
}

static int stop_senders(struct senders *senders)
{
	const uint64_t quit = QUIT;
	int status;
	int r = 0;

	signal(SIGCHLD, SIG_DFL);
	for (unsigned int i = 0; i < senders->count; i++) {
		if (write(senders->go[i], &quit, sizeof quit) != sizeof quit)
			return -errno;
	}
	for (unsigned int i = 0; i < senders->count; i++) {
		if (wait(&status) < 0 || status != 0)
			r = -EPIPE;
	}
	return r;
}

/* Permits all of them by one write to the table. */
static int permit_all(const struct senders *senders)
{
	char path[PATH_LENGTH];
	char *rules = calloc(senders->count, RULE_MAX);
	size_t length = 0;
	ssize_t n = -1;
	int fd;

	if (!rules)
		return -ENOMEM;
	for (unsigned int i = 0; i < senders->count; i++)
		length += (size_t)snprintf(rules + length, RULE_MAX, "allow %u\n", DOMID_FIRST + i);
	snprintf(path, sizeof path, "%s/acl", senders->mount);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd >= 0) {
		n = write(fd, rules, length);
		close(fd);
	}
	free(rules);
	return n == (ssize_t)length ? 0 : -errno;
}

static int open_inbox(struct senders *senders)
{
	char path[PATH_LENGTH];
	uint32_t on = 1;

	snprintf(path, sizeof path, "%s/inbox", senders->mount);
	senders->inbox = open(path, O_RDONLY | O_CLOEXEC);
	if (senders->inbox < 0)
		return -errno;
	if (senders->framed && ioctl(senders->inbox, SIVC_IOC_FRAMED, &on) < 0)
		return -errno;
	return 0;
}

static int open_mount(struct senders *senders)
{
	int r = permit_all(senders);

	return r < 0 ? r : open_inbox(senders);
}

/* What it has instead of an inbox, and the rings. */
static int open_nothing(struct senders *senders)
{
	senders->inbox = eventfd(0, EFD_CLOEXEC);
	senders->rings = mmap(NULL, (size_t)senders->count * SIVC_RING_MANY, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return senders->inbox < 0 || senders->rings == MAP_FAILED ? -errno : 0;
}

static int check(const char *bytes, size_t size)
{
	struct bench_head head;

	return size == MESSAGE && bench_check(bytes, size, &head) ? 0 : -EBADMSG;
}

/* Each is looked at, and may be anything: its sender goes on. */
static void look_at(struct senders *senders, uint64_t count)
{
	struct bench_head head;

	while (count-- > 0) {
		uint64_t place = senders->next++ % ((uint64_t)senders->count * PLACES);

		memcpy(senders->buffer, senders->rings + place * MESSAGE, MESSAGE);
		(void)bench_check(senders->buffer, MESSAGE, &head);
	}
}

/* What one read has brought: a message, frames, or a count.  Returns how many. */
static int check_all(struct senders *senders, size_t filled)
{
	struct sivc_frame_header header;
	uint64_t made;
	size_t at = 0;
	int count = 0;
	int r = 0;

	if (senders->null) {
		memcpy(&made, senders->buffer, sizeof made);
		look_at(senders, made);
		return (int)made;
	}
	if (!senders->framed)
		return check(senders->buffer, filled) < 0 ? -EBADMSG : 1;
	while (r >= 0 && at < filled) {
		memcpy(&header, senders->buffer + at, sizeof header);
		at += sizeof header;
		r = header.length > filled - at ? -EBADMSG
						: check(senders->buffer + at, header.length);
		at += header.length;
		count++;
	}
	return r < 0 ? r : count;
}

static int receive(struct senders *senders, uint64_t count)
{
	uint64_t received = 0;

	while (received < count) {
		ssize_t n =
			read(senders->inbox, senders->buffer, senders->framed ? BATCH : MESSAGE);
		int r = n < 0 ? -errno : check_all(senders, (size_t)n);

		if (r < 0)
			return r;
		received += (uint64_t)r;
	}
	return 0;
}

/* About `count` messages in all; as many as were sent in *count. */
static int work(struct senders *senders, uint64_t *count, uint64_t *ns)
{
	unsigned int active = senders->all_active ? senders->count : 1;
	uint64_t each = (*count + active - 1) / active;
	uint64_t before = bench_now();
	int r;

	for (unsigned int i = 0; i < active; i++) {
		if (write(senders->go[i], &each, sizeof each) != sizeof each)
			return -errno;
	}
	r = receive(senders, each * active);
	*ns = bench_now() - before;
	*count = each * active;
	return r;
}

static int calibrate(struct senders *senders, uint64_t *count)
{
	unsigned int active = senders->all_active ? senders->count : 1;
	uint64_t ns;
	int r;

	for (*count = EACH_MIN * active;; *count *= 2) {
		r = work(senders, count, &ns);
		if (r < 0)
			return r;
		if (ns >= senders->budget / WARM_UP_SHARE)
			break;
	}
	*count = (uint64_t)((double)*count * (double)senders->budget / (double)ns);
	if (*count < EACH_MIN * active)
		*count = EACH_MIN * active;
	return 0;
}

/* Of the receiver's domain: what it shares, and its nodes. */
static uint64_t files_used(const struct senders *senders)
{
	char path[PATH_LENGTH];
	char *paths[] = {path, NULL};
	FTSENT *entry;
	uint64_t blocks = 0;
	FTS *tree;

	snprintf(path, sizeof path, "%s/%u", senders->dir, senders->domid);
	tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	while (tree && (entry = fts_read(tree))) {
		if (entry->fts_info == FTS_F)
			blocks += (uint64_t)entry->fts_statp->st_blocks;
	}
	if (tree)
		fts_close(tree);
	return blocks * BLOCK;
}

/* Of the shared files and of the receiver's heap, in bytes; null: there is no receiver. */
static uint64_t memory_used(const struct senders *senders)
{
	char path[PATH_LENGTH];
	char line[256];
	uint64_t kb = 0;
	FILE *maps;

	if (senders->null)
		return 0;
	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)senders->receiver);
	maps = fopen(path, "re");
	while (maps && fgets(line, sizeof line, maps)) {
		if (strncmp(line, "Pss_Anon:", strlen("Pss_Anon:")) == 0)
			kb = strtoull(line + strlen("Pss_Anon:"), NULL, 10);
	}
	if (maps)
		fclose(maps);
	return files_used(senders) + kb * 1024;
}

static int measure_busy(struct senders *senders, struct result *result)
{
	struct bench_usage before;
	int r = calibrate(senders, &result->messages);

	if (r < 0)
		return r;
	bench_meter_read(&senders->meter, &before);
	r = work(senders, &result->messages, &result->ns);
	bench_meter_read(&senders->meter, &result->busy);
	bench_usage_subtract(&result->busy, &before);
	return r;
}

/* The only waits for time: nothing must happen meanwhile. */
static void measure_idle(struct senders *senders, struct result *result)
{
	struct bench_usage before;

	poll(NULL, 0, SETTLE_MS);
	bench_meter_read(&senders->meter, &before);
	poll(NULL, 0, IDLE_MS);
	bench_meter_read(&senders->meter, &result->idle);
	bench_usage_subtract(&result->idle, &before);
}

static int measure(struct senders *senders, struct result *result)
{
	uint64_t before = memory_used(senders);
	int r = senders->null ? open_nothing(senders) : open_mount(senders);

	if (r >= 0)
		r = start_senders(senders);
	if (r >= 0)
		r = receive(senders, senders->count);
	if (r < 0)
		return r;
	result->memory = (memory_used(senders) - before) / senders->count;
	r = measure_busy(senders, result);
	if (r < 0)
		return r;
	measure_idle(senders, result);
	return stop_senders(senders);
}

static void print_header(void)
{
	puts("receiver\tactive\tsenders\tmessages\tns\tswitches\tcpu_ns\tidle_switches\t"
	     "idle_cpu_ns\tmemory");
}

static void print_result(const struct senders *senders, const struct result *result)
{
	double messages = (double)result->messages;

	printf("%s%s\t%s\t%u\t%" PRIu64 "\t%.0f\t%.3f\t%.0f\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64
	       "\n",
		senders->null     ? "null"
		: senders->framed ? "framed"
				  : "file",
		senders->cpu_senders < 0 ? "" : "-apart", senders->all_active ? "all" : "one",
		senders->count, result->messages, (double)result->ns / messages,
		(double)result->busy.switches / messages, (double)result->busy.cpu_ns / messages,
		result->idle.switches, result->idle.cpu_ns, result->memory);
}

static void usage(void)
{
	fputs("usage: senders --mount MOUNTPOINT --domid N --dir DIRECTORY --receiver PID\n"
	      "               [--senders COUNT] [--all] [--framed] [--ms TIME]\n"
	      "               [--cpu-reader NUMBER] [--cpu-senders NUMBER]\n"
	      "       senders --null [--senders COUNT] [--all] [--ms TIME] [--cpu-...]\n"
	      "       senders --header\n",
		stderr);
	exit(2);
}

enum option_code {
	OPT_HEADER = 1,
	OPT_MOUNT,
	OPT_DOMID,
	OPT_DIR,
	OPT_RECEIVER,
	OPT_SENDERS,
	OPT_ALL,
	OPT_FRAMED,
	OPT_NULL,
	OPT_MS,
	OPT_CPU_READER,
	OPT_CPU_SENDERS,
};

static const struct option options[] = {
	{"header", no_argument, NULL, OPT_HEADER},
	{"mount", required_argument, NULL, OPT_MOUNT},
	{"domid", required_argument, NULL, OPT_DOMID},
	{"dir", required_argument, NULL, OPT_DIR},
	{"receiver", required_argument, NULL, OPT_RECEIVER},
	{"senders", required_argument, NULL, OPT_SENDERS},
	{"all", no_argument, NULL, OPT_ALL},
	{"framed", no_argument, NULL, OPT_FRAMED},
	{"null", no_argument, NULL, OPT_NULL},
	{"ms", required_argument, NULL, OPT_MS},
	{"cpu-reader", required_argument, NULL, OPT_CPU_READER},
	{"cpu-senders", required_argument, NULL, OPT_CPU_SENDERS},
	{0},
};

static void set_option(struct senders *senders, int code, const char *text)
{
	switch (code) {
	case OPT_HEADER:
		print_header();
		exit(0);
	case OPT_MOUNT:
		senders->mount = text;
		break;
	case OPT_DOMID:
		senders->domid = (uint16_t)bench_number("--domid", text);
		break;
	case OPT_DIR:
		senders->dir = text;
		break;
	case OPT_RECEIVER:
		senders->receiver = (pid_t)bench_number("--receiver", text);
		break;
	case OPT_SENDERS:
		senders->count = (unsigned int)bench_number("--senders", text);
		break;
	case OPT_ALL:
		senders->all_active = true;
		break;
	case OPT_FRAMED:
		senders->framed = true;
		break;
	case OPT_NULL:
		senders->null = true;
		senders->dir = senders->mount = ""; /* of nobody */
		senders->receiver = getpid();
		break;
	case OPT_MS:
		senders->budget = bench_number("--ms", text) * NS_PER_MS;
		break;
	case OPT_CPU_READER:
		senders->cpu_reader = (int)bench_number("--cpu-reader", text);
		break;
	case OPT_CPU_SENDERS:
		senders->cpu_senders = (int)bench_number("--cpu-senders", text);
		break;
	default:
		usage();
	}
}

static void parse(struct senders *senders, int argc, char **argv)
{
	int code;

	while ((code = getopt_long(argc, argv, "", options, NULL)) != -1)
		set_option(senders, code, optarg);
	if (optind != argc || !senders->mount || !senders->dir || !senders->receiver)
		usage();
	if (senders->count < 1 || senders->count > SENDERS_MAX)
		usage();
}

int main(int argc, char **argv)
{
	struct senders senders = {
		.count = 1,
		.budget = 200 * NS_PER_MS,
		.inbox = -1,
		.cpu_reader = -1,
		.cpu_senders = -1,
	};
	struct result result = {0};
	int r;

	parse(&senders, argc, argv);
	alarm(STUCK_S);
	senders.buffer = malloc(BATCH);
	r = senders.buffer ? bench_run_on(senders.cpu_reader) : -ENOMEM;
	if (r >= 0)
		r = bench_meter_init(&senders.meter, senders.receiver, false);
	if (r >= 0)
		r = measure(&senders, &result);
	if (r >= 0)
		print_result(&senders, &result);
	else
		fprintf(stderr, "senders: %s\n", strerror(-r));
	free(senders.buffer);
	return r < 0;
}
