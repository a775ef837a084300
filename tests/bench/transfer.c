/* SPDX-License-Identifier: MIT */
/*
 * transfer.c: the same work over any transport, timed and counted.
 *
 * Side A makes messages, side B, another process, consumes and checks them.  One way in a row: A
 * sends as fast as it can and B acknowledges the last message; the time is A's, from before the
 * first to after the acknowledgement, divided by the messages.  Round trips: B answers each
 * message with one of the same size, and A takes the time of each.
 *
 * How many messages: A doubles the number until it takes a measurable time, and scales it to the
 * time that was asked for.  That is also the warm-up.
 *
 * The output is one line of tab-separated values, named by `transfer --header`.  A transport that
 * is not possible here (a limit, a missing right) prints nothing and ends with status 77.
 */
#include "transport.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <sivc/sivc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_NOT_POSSIBLE 77
#define SERVERS_MAX       4
#define METERS_MAX        (SIDES + SERVERS_MAX)
#define NS_PER_MS         UINT64_C(1000000)
#define WARM_UP_SHARE     8   /* a try that takes this part of the time is long enough to scale */
#define MESSAGES_MIN      100 /* however long they take */
#define SAMPLES_MAX       (1u << 20)
#define STUCK_S           60 /* longer than any measurement: something hangs */
#define PAGE              4096

static const struct transport *const transports[] = {
	&transport_null,
	&transport_relay,
	&transport_file,
	&transport_cat,
	&transport_framed,
	&transport_libsivc,
	&transport_batched,
	&transport_memcpy,
	&transport_futex,
	&transport_pipe,
	&transport_seqpacket,
	&transport_tcp,
	&transport_veth,
	&transport_mqueue,
};
#define TRANSPORTS (sizeof transports / sizeof transports[0])

struct run {
	struct plan plan;
	/* From the command line. */
	uint64_t budget; /* ns */
	bool count_syscalls;
	pid_t servers[SERVERS_MAX];
	size_t n_servers;
	/* While it runs. */
	struct link link;
	uint64_t sequence;
	uint64_t *samples;
	struct bench_meter meters[METERS_MAX];
	size_t n_meters;
};

struct result {
	uint64_t messages;
	uint64_t median_ns;
	uint64_t p99_ns;
	struct bench_usage usage;
	uint64_t interrupts; /* UINT64_MAX: unknown */
};

static int link_open(struct link *link, const struct plan *plan, enum side side)
{
	int r = bench_run_on(plan->cpu[side]);

	*link = (struct link){.plan = plan, .side = side, .send_fd = -1, .receive_fd = -1};
	if (r < 0)
		return r;
	link->out = aligned_alloc(PAGE, BENCH_MSG_MAX);
	link->in = aligned_alloc(PAGE, BENCH_MSG_MAX);
	if (!link->out || !link->in)
		return -ENOMEM;
	return plan->transport->open(link);
}

static void link_close(struct link *link)
{
	if (link->plan->transport->close)
		link->plan->transport->close(link);
	if (link->send_fd >= 0)
		close(link->send_fd);
	if (link->receive_fd >= 0 && link->receive_fd != link->send_fd)
		close(link->receive_fd);
	free(link->out);
	free(link->in);
}

static int link_flush(struct link *link)
{
	return link->plan->transport->flush ? link->plan->transport->flush(link) : 0;
}

static int link_send(struct link *link, size_t size, uint64_t sequence, enum bench_kind kind)
{
	const struct transport *transport = link->plan->transport;
	void *bytes = transport->place ? transport->place(link) : link->out;

	bench_make(bytes, size, sequence, kind);
	return transport->send(link, size);
}

static int link_receive(struct link *link, size_t size, struct bench_head *head)
{
	const void *bytes;
	int r = link->plan->transport->receive(link, size, &bytes);

	if (r < 0 || link->plan->transport->alone)
		return r;
	return bench_check(bytes, size, head) ? 0 : -EBADMSG;
}

static size_t answer_size(const struct plan *plan)
{
	return plan->stream ? BENCH_MSG_MIN : plan->size;
}

/* Side B until it is told to quit. */
static int answer(struct link *link)
{
	const struct plan *plan = link->plan;
	struct bench_head head;
	uint64_t expected = 0;
	int r;

	for (;;) {
		r = link_receive(link, plan->size, &head);
		if (r < 0)
			return r;
		if (head.sequence != expected++)
			return -EILSEQ;
		if (head.kind == BENCH_QUIT)
			return 0;
		if (plan->stream && head.kind != BENCH_LAST)
			continue;
		r = link_send(link, answer_size(plan), head.sequence, BENCH_DATA);
		if (r >= 0)
			r = link_flush(link);
		if (r < 0)
			return r;
	}
}

static int wait_answer(struct run *run)
{
	struct bench_head head = {0};
	int r = link_flush(&run->link);

	if (r >= 0)
		r = link_receive(&run->link, answer_size(&run->plan), &head);
	if (r < 0)
		return r;
	return head.sequence == run->sequence - 1 || run->plan.transport->alone ? 0 : -EILSEQ;
}

static int stream(struct run *run, uint64_t count)
{
	int r;

	for (uint64_t i = 0; i < count; i++) {
		r = link_send(&run->link, run->plan.size, run->sequence++,
			i + 1 == count ? BENCH_LAST : BENCH_DATA);
		if (r < 0)
			return r;
	}
	return wait_answer(run);
}

static int round_trips(struct run *run, uint64_t count)
{
	uint64_t before = bench_now();
	uint64_t after;
	int r;

	for (uint64_t i = 0; i < count; i++) {
		r = link_send(&run->link, run->plan.size, run->sequence++, BENCH_DATA);
		if (r >= 0)
			r = wait_answer(run);
		if (r < 0)
			return r;
		after = bench_now();
		run->samples[i] = after - before;
		before = after;
	}
	return 0;
}

static int work(struct run *run, uint64_t count, uint64_t *ns)
{
	uint64_t before = bench_now();
	int r = run->plan.stream ? stream(run, count) : round_trips(run, count);

	*ns = bench_now() - before;
	return r;
}

/* How many messages take the time that was asked for. */
static int calibrate(struct run *run, uint64_t *count)
{
	uint64_t n;
	uint64_t ns;
	int r;

	for (n = MESSAGES_MIN / 2;; n *= 2) {
		r = work(run, n, &ns);
		if (r < 0)
			return r;
		if (ns >= run->budget / WARM_UP_SHARE || n >= SAMPLES_MAX)
			break;
	}
	n = (uint64_t)((double)n * (double)run->budget / (double)ns);
	if (n < MESSAGES_MIN)
		n = MESSAGES_MIN;
	*count = n < SAMPLES_MAX || run->plan.stream ? n : SAMPLES_MAX;
	return 0;
}

static void read_meters(const struct run *run, struct bench_usage *sum)
{
	struct bench_usage usage;

	*sum = (struct bench_usage){0};
	for (size_t i = 0; i < run->n_meters; i++) {
		bench_meter_read(&run->meters[i], &usage);
		bench_usage_add(sum, &usage);
	}
}

static int measure(struct run *run, struct result *result)
{
	struct bench_usage before;
	uint64_t interrupts, ns;
	int r = calibrate(run, &result->messages);

	if (r < 0)
		return r;
	read_meters(run, &before);
	interrupts = bench_interrupts();
	r = work(run, result->messages, &ns);
	result->interrupts = bench_interrupts();
	if (interrupts != UINT64_MAX)
		result->interrupts -= interrupts;
	read_meters(run, &result->usage);
	bench_usage_subtract(&result->usage, &before);
	if (run->plan.stream) {
		result->median_ns = ns / result->messages;
		result->p99_ns = 0;
	} else {
		result->median_ns = bench_quantile(run->samples, result->messages, 0.5);
		result->p99_ns = bench_quantile(run->samples, result->messages, 0.99);
	}
	return r;
}

static int add_meter(struct run *run, pid_t pid)
{
	int r = bench_meter_init(&run->meters[run->n_meters], pid, run->count_syscalls);

	if (r < 0) {
		fprintf(stderr, "transfer: cannot count system calls of process %d: %s\n", (int)pid,
			strerror(-r));
		return r;
	}
	run->n_meters++;
	return 0;
}

static int add_meters(struct run *run, pid_t other)
{
	int r = add_meter(run, getpid());

	if (r >= 0 && other > 0)
		r = add_meter(run, other);
	for (size_t i = 0; r >= 0 && i < run->n_servers; i++)
		r = add_meter(run, run->servers[i]);
	return r;
}

static void print_header(void)
{
	puts("transport\tmode\tsize\tmessages\tmedian_ns\tp99_ns\tswitches\tsyscalls\tcpu_ns\t"
	     "interrupts");
}

static void print_each(bool known, uint64_t total, uint64_t messages)
{
	if (known)
		printf("\t%.3f", (double)total / (double)messages);
	else
		printf("\t-");
}

static void print_result(const struct run *run, const struct result *result)
{
	printf("%s\t%s\t%zu\t%" PRIu64 "\t%" PRIu64 "\t", run->plan.transport->name,
		run->plan.stream ? "oneway" : "roundtrip", run->plan.size, result->messages,
		result->median_ns);
	if (run->plan.stream)
		printf("-");
	else
		printf("%" PRIu64, result->p99_ns);
	print_each(true, result->usage.switches, result->messages);
	print_each(run->count_syscalls, result->usage.syscalls, result->messages);
	print_each(true, result->usage.cpu_ns, result->messages);
	print_each(result->interrupts != UINT64_MAX, result->interrupts, result->messages);
	putchar('\n');
}

/* Side B, a process of its own.  One byte through `ready` says that A may open. */
static int side_b(const struct plan *plan, int ready)
{
	struct link link;
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	r = link_open(&link, plan, SIDE_B);
	if (r >= 0 && write(ready, "", 1) != 1)
		r = -errno;
	if (r >= 0)
		r = answer(&link);
	link_close(&link);
	if (r < 0)
		fprintf(stderr, "transfer: %s: side B: %s\n", plan->transport->name, strerror(-r));
	return r < 0;
}

static int side_a(struct run *run, pid_t other)
{
	struct result result = {0};
	int r = link_open(&run->link, &run->plan, SIDE_A);

	if (r >= 0)
		r = add_meters(run, other);
	if (r >= 0)
		r = measure(run, &result);
	signal(SIGCHLD, SIG_DFL); /* from here on B may end */
	if (r >= 0 && !run->plan.transport->alone) {
		r = link_send(&run->link, run->plan.size, run->sequence++, BENCH_QUIT);
		if (r >= 0)
			r = link_flush(&run->link);
	}
	if (r >= 0)
		print_result(run, &result);
	return r;
}

/* B ends before A has told it to: it has said why. */
static void other_ended(int signal_number)
{
	(void)signal_number;
	_exit(1);
}

static void stuck(int signal_number)
{
	static const char text[] = "transfer: nothing moves any more\n";

	(void)signal_number;
	_exit(write(STDERR_FILENO, text, sizeof text - 1) < 0 ? 2 : 1);
}

static pid_t start_b(const struct plan *plan)
{
	int ready[2];
	char byte;
	pid_t pid;
	ssize_t n;

	if (pipe(ready) < 0)
		return -errno;
	signal(SIGCHLD, other_ended);
	pid = fork();
	if (pid == 0)
		_exit(side_b(plan, ready[1]));
	close(ready[1]);
	n = pid < 0 ? -1 : read(ready[0], &byte, 1);
	close(ready[0]);
	return n == 1 ? pid : -EPIPE;
}

static int transfer(struct run *run)
{
	bool alone = run->plan.transport->alone;
	pid_t other = 0;
	int status = 0;
	int r;

	if (!alone) {
		other = start_b(&run->plan);
		if (other < 0)
			return other;
	}
	r = side_a(run, other);
	if (r >= 0 && !alone && (waitpid(other, &status, 0) != other || status != 0))
		r = -EPIPE;
	for (size_t i = 0; i < run->n_meters; i++)
		bench_meter_deinit(&run->meters[i]);
	link_close(&run->link);
	return r;
}

static const struct transport *find_transport(const char *name)
{
	for (size_t i = 0; i < TRANSPORTS; i++) {
		if (strcmp(transports[i]->name, name) == 0)
			return transports[i];
	}
	fprintf(stderr, "transfer: %s: no such transport; there are:", name);
	for (size_t i = 0; i < TRANSPORTS; i++)
		fprintf(stderr, " %s", transports[i]->name);
	fputc('\n', stderr);
	exit(2);
}

enum option_code {
	OPT_HEADER = 1,
	OPT_TRANSPORT,
	OPT_SIZE,
	OPT_MODE,
	OPT_MS,
	OPT_SYSCALLS,
	OPT_SERVER,
	OPT_DIR,
	OPT_SPIN,
	/* One for each side, A's first. */
	OPT_SEND_A,
	OPT_SEND_B,
	OPT_RECEIVE_A,
	OPT_RECEIVE_B,
	OPT_NETNS_A,
	OPT_NETNS_B,
	OPT_CPU_A,
	OPT_CPU_B,
	OPT_ADDRESS_B,
};

static const struct option options[] = {
	{"header", no_argument, NULL, OPT_HEADER},
	{"transport", required_argument, NULL, OPT_TRANSPORT},
	{"size", required_argument, NULL, OPT_SIZE},
	{"mode", required_argument, NULL, OPT_MODE},
	{"ms", required_argument, NULL, OPT_MS},
	{"count-syscalls", no_argument, NULL, OPT_SYSCALLS},
	{"server", required_argument, NULL, OPT_SERVER},
	{"dir", required_argument, NULL, OPT_DIR},
	{"spin", required_argument, NULL, OPT_SPIN},
	{"send-a", required_argument, NULL, OPT_SEND_A},
	{"send-b", required_argument, NULL, OPT_SEND_B},
	{"receive-a", required_argument, NULL, OPT_RECEIVE_A},
	{"receive-b", required_argument, NULL, OPT_RECEIVE_B},
	{"netns-a", required_argument, NULL, OPT_NETNS_A},
	{"netns-b", required_argument, NULL, OPT_NETNS_B},
	{"cpu-a", required_argument, NULL, OPT_CPU_A},
	{"cpu-b", required_argument, NULL, OPT_CPU_B},
	{"address-b", required_argument, NULL, OPT_ADDRESS_B},
	{0},
};

static void usage(void)
{
	fputs("usage: transfer --transport NAME --size BYTES --mode oneway|roundtrip [--ms TIME]\n"
	      "                [--count-syscalls] [--server PID]... [--dir DIRECTORY]\n"
	      "                [--spin MICROSECONDS|none]\n"
	      "                [--send-a FILE --receive-a FILE --send-b FILE --receive-b FILE]\n"
	      "                [--netns-a NAME --netns-b NAME --address-b ADDRESS]\n"
	      "                [--cpu-a NUMBER] [--cpu-b NUMBER]\n"
	      "       transfer --header\n",
		stderr);
	exit(2);
}

static size_t message_size(const char *text)
{
	uint64_t size = bench_number("--size", text);

	if (size >= BENCH_MSG_MIN && size <= BENCH_MSG_MAX && size % sizeof(uint64_t) == 0)
		return (size_t)size;
	fprintf(stderr, "transfer: --size %s: not a multiple of 8 from %u to %u\n", text,
		BENCH_MSG_MIN, BENCH_MSG_MAX);
	exit(2);
}

static bool is_stream(const char *mode)
{
	if (strcmp(mode, "oneway") != 0 && strcmp(mode, "roundtrip") != 0)
		usage();
	return strcmp(mode, "oneway") == 0;
}

static void add_server(struct run *run, const char *text)
{
	if (run->n_servers == SERVERS_MAX)
		usage();
	run->servers[run->n_servers++] = (pid_t)bench_number("--server", text);
}

static void set_option(struct run *run, int code, const char *text)
{
	struct plan *plan = &run->plan;

	switch (code) {
	case OPT_HEADER:
		print_header();
		exit(0);
	case OPT_TRANSPORT:
		plan->transport = find_transport(text);
		break;
	case OPT_SIZE:
		plan->size = message_size(text);
		break;
	case OPT_MODE:
		plan->stream = is_stream(text);
		break;
	case OPT_MS:
		run->budget = bench_number("--ms", text) * NS_PER_MS;
		break;
	case OPT_SYSCALLS:
		run->count_syscalls = true;
		break;
	case OPT_SERVER:
		add_server(run, text);
		break;
	case OPT_DIR:
		plan->dir = text;
		break;
	case OPT_SPIN:
		plan->spin_us = strcmp(text, "none") == 0 ? SIVC_SPIN_NONE
							  : (uint32_t)bench_number("--spin", text);
		break;
	case OPT_SEND_A:
	case OPT_SEND_B:
		plan->send_path[code - OPT_SEND_A] = text;
		break;
	case OPT_RECEIVE_A:
	case OPT_RECEIVE_B:
		plan->receive_path[code - OPT_RECEIVE_A] = text;
		break;
	case OPT_NETNS_A:
	case OPT_NETNS_B:
		plan->netns[code - OPT_NETNS_A] = text;
		break;
	case OPT_CPU_A:
	case OPT_CPU_B:
		plan->cpu[code - OPT_CPU_A] = (int)bench_number("a processor", text);
		break;
	case OPT_ADDRESS_B:
		plan->address_b = text;
		break;
	default:
		usage();
	}
}

static void parse(struct run *run, int argc, char **argv)
{
	int code;

	while ((code = getopt_long(argc, argv, "", options, NULL)) != -1)
		set_option(run, code, optarg);
	if (optind != argc || !run->plan.transport || !run->plan.size)
		usage();
}

static int prepare(struct run *run)
{
	struct plan *plan = &run->plan;

	run->samples = calloc(SAMPLES_MAX, sizeof *run->samples);
	plan->shared = mmap(NULL, sizeof *plan->shared, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!run->samples || plan->shared == MAP_FAILED)
		return -ENOMEM;
	return plan->transport->prepare ? plan->transport->prepare(plan) : 0;
}

int main(int argc, char **argv)
{
	struct run run = {.budget = 200 * NS_PER_MS, .plan.cpu = {-1, -1}};
	int r;

	parse(&run, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGALRM, stuck);
	alarm(STUCK_S);
	r = prepare(&run);
	if (r == -EOPNOTSUPP)
		return EXIT_NOT_POSSIBLE;
	if (r >= 0)
		r = transfer(&run);
	free(run.samples);
	if (r < 0)
		fprintf(stderr, "transfer: %s: %s\n", run.plan.transport->name, strerror(-r));
	return r < 0;
}
