/* SPDX-License-Identifier: MIT */
/*
 * load.c: many domains at once, on the local backend: no loss, no growth, fair shares.
 *
 *	load DIR SECONDS SENDERS RECEIVERS SEED
 *
 * Every sender is a process with libsivc and sends to every receiver in turn, messages of mixed
 * sizes, some larger than the ring.  Senders are killed and started again at random; receivers
 * refuse and permit senders at random.  What was acknowledged is counted in memory that all share,
 * by the sender when sivc_send has returned 0 and by the receiver when it has the message.
 *
 * Afterwards, for each receiver and sender: all that was acknowledged has arrived, and no more than
 * that and the one message that each kill may have caught under way; every message was whole, and
 * they were in order.  Receivers have not grown since the first quarter of the time.  Of the
 * senders, a third is never killed and never refused: the slowest of those has had at least half of
 * their mean.
 */
#include <errno.h>
#include <signal.h>
#include <sivc/sivc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"

#define SENDERS_MAX   200
#define RECEIVERS_MAX 16
#define LARGEST       100000u /* more than a ring */
#define TICK_MS       20
#define KILL_MS       100
#define REFUSED_TICKS 4 /* a refusal lasts about so long */

/* KiB: what malloc and messages in pieces may come to; ASan keeps 256 MiB of what was freed. */
#ifdef __SANITIZE_ADDRESS__
#define GROWTH_MAX (300 * 1024)
#else
#define GROWTH_MAX 4096
#endif

enum phase { RUN, DRAIN };

struct header {
	uint32_t sender;
	uint32_t length;
	uint64_t serial; /* rises from one message to the next, not always by one */
};

struct pair {
	uint64_t acknowledged;
	uint64_t received;
};

/* Shared by all processes. */
static struct load {
	int phase;
	bool quarter; /* the first quarter of the time is over */
	struct pair pairs[RECEIVERS_MAX][SENDERS_MAX];
	uint64_t serials[SENDERS_MAX];
	unsigned int kills[SENDERS_MAX];
	unsigned int refusals;
	unsigned int broken;       /* messages that were not whole, or not in order */
	long grown[RECEIVERS_MAX]; /* KiB */
} * load;

static const char *dir;
static int seconds, senders, receivers;

static bool is_steady(int sender)
{
	return sender % 3 == 0;
}

static uint16_t domid_of_receiver(int i)
{
	return (uint16_t)(1 + i);
}

static uint16_t domid_of_sender(int i)
{
	return (uint16_t)(1 + RECEIVERS_MAX + i);
}

static void die(const char *what, int error)
{
	printf("# %s: %s\n", what, strerror(-error));
	fflush(stdout);
	_exit(EXIT_FAILURE);
}

static struct sivc_endpoint *endpoint_of(uint16_t domid, struct sivc **sivc)
{
	struct sivc_config config = {.backend = "local", .dir = dir, .domid = domid};
	struct sivc_endpoint *ep;
	int r = sivc_open(&config, sivc);

	if (r == 0)
		r = sivc_endpoint_open(*sivc, "default", NULL, &ep);
	if (r < 0)
		die("cannot open", r);
	return ep;
}

/* The sender. */

static uint8_t byte_of(const struct header *header, size_t at)
{
	return (uint8_t)(header->serial * 31 + header->sender + at);
}

static uint32_t some_length(void)
{
	switch (random() % 16) {
	case 0:
		return LARGEST - (uint32_t)random() % 4096;
	case 1:
	case 2:
		return 4096 + (uint32_t)random() % 16384;
	default:
		return (uint32_t)sizeof(struct header) + (uint32_t)random() % 2048;
	}
}

static void send_for_ever(int i)
{
	static char bytes[LARGEST];
	struct sivc *sivc;
	struct sivc_endpoint *ep = endpoint_of(domid_of_sender(i), &sivc);
	struct header header = {.sender = (uint32_t)i};

	for (int to = (int)(random() % receivers);; to = (to + 1) % receivers) {
		int r;

		header.length = some_length();
		header.serial = ++load->serials[i];
		memcpy(bytes, &header, sizeof(header));
		for (size_t at = sizeof(header); at < header.length; at++)
			bytes[at] = (char)byte_of(&header, at);
		r = sivc_send(ep, domid_of_receiver(to), bytes, header.length, 0);
		if (r == 0)
			load->pairs[to][i].acknowledged++;
		else if (r != -EACCES)
			die("cannot send", r);
	}
}

/* The receiver. */

static volatile sig_atomic_t ticks;

static void on_tick(int signal)
{
	(void)signal;
	ticks++;
}

static long resident_kib(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long size = 0, resident = 0, shared = 0;

	if (!f || fscanf(f, "%ld %ld %ld", &size, &resident, &shared) != 3)
		die("cannot read /proc/self/statm", -errno);
	fclose(f);
	return (resident - shared) * (sysconf(_SC_PAGESIZE) / 1024);
}

static void check(int receiver, uint16_t domid, const char *bytes, size_t length)
{
	static uint64_t last[SENDERS_MAX];
	struct header header;
	bool whole = length >= sizeof(header);

	memcpy(&header, bytes, sizeof(header));
	whole = whole && header.length == length && header.sender < (uint32_t)senders &&
		domid_of_sender((int)header.sender) == domid;
	for (size_t at = sizeof(header); whole && at < length; at++)
		whole = (uint8_t)bytes[at] == byte_of(&header, at);
	if (!whole || header.serial <= last[header.sender]) {
		__atomic_add_fetch(&load->broken, 1, __ATOMIC_RELAXED);
		return;
	}
	last[header.sender] = header.serial;
	load->pairs[receiver][header.sender].received++;
}

/* One that is not steady is refused, and permitted some ticks later. */
static void change_mind(struct sivc_endpoint *ep)
{
	static int refused = -1;
	int r = 0;

	if (refused >= 0 && random() % REFUSED_TICKS == 0) {
		r = sivc_permit(ep, domid_of_sender(refused));
		if (r == -ENOSPC) /* what it had sent before it was refused twice is not read yet */
			return;
		refused = -1;
	} else if (refused < 0) {
		refused = (int)(random() % senders);
		if (is_steady(refused))
			refused = -1;
		else
			r = sivc_refuse(ep, domid_of_sender(refused));
		__atomic_add_fetch(&load->refusals, refused >= 0, __ATOMIC_RELAXED);
	}
	if (r < 0)
		die("cannot change the table", r);
}

static void receive_all(int i, int ready)
{
	static char bytes[LARGEST];
	const struct itimerval tick = {{0, TICK_MS * 1000}, {0, TICK_MS * 1000}};
	struct sigaction action = {.sa_handler = on_tick};
	struct sivc *sivc;
	struct sivc_endpoint *ep = endpoint_of(domid_of_receiver(i), &sivc);
	sig_atomic_t seen = 0;
	long before = 0;
	uint16_t sender;
	ssize_t n = 0;

	for (int s = 0; s < senders; s++)
		if (sivc_permit(ep, domid_of_sender(s)) < 0)
			die("cannot permit", -errno);
	if (write(ready, "", 1) != 1)
		die("cannot say that it is ready", -errno);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &tick, NULL);
	for (bool drain = false; !drain || n != -EAGAIN;) {
		drain = load->phase == DRAIN;
		n = sivc_receive(
			ep, SIVC_ANY, bytes, sizeof(bytes), &sender, drain ? SIVC_NOWAIT : 0);
		if (n > 0)
			check(i, sender, bytes, (size_t)n);
		else if (n != -EINTR && n != -EAGAIN)
			die("cannot receive", (int)n);
		if (ticks != seen && !drain)
			change_mind(ep);
		seen = ticks;
		if (load->quarter && before == 0)
			before = resident_kib();
	}
	load->grown[i] = resident_kib() - before;
	sivc_close(sivc);
	_exit(EXIT_SUCCESS);
}

/* All of it. */

static pid_t start(void (*fn)(int i, int ready), int i, int ready)
{
	unsigned int seed = (unsigned int)random();
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		srandom(seed);
		fn(i, ready);
	}
	return pid;
}

static void send_all(int i, int ready)
{
	(void)ready;
	send_for_ever(i);
}

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

/* 0: it ended as it should: by our signal, or by itself with status 0. */
static int ends(pid_t pid, int signal)
{
	int status;

	if (signal)
		kill(pid, signal);
	waitpid(pid, &status, 0);
	return signal ? !WIFSIGNALED(status) : status != 0;
}

static int run(pid_t *sender_pids)
{
	const struct timespec pause = {.tv_nsec = KILL_MS * 1000000};
	time_t begin = now();
	int bad = 0;

	for (int i = 0; i < senders; i++)
		sender_pids[i] = start(send_all, i, -1);
	while (now() - begin < seconds) {
		int i = (int)(random() % senders);

		nanosleep(&pause, NULL); /* the load is what it waits for */
		load->quarter = (now() - begin) * 4 >= seconds;
		if (is_steady(i))
			continue;
		bad += ends(sender_pids[i], SIGKILL);
		load->kills[i]++;
		sender_pids[i] = start(send_all, i, -1);
	}
	for (int i = 0; i < senders; i++)
		load->kills[i]++;
	for (int i = 0; i < senders; i++)
		bad += ends(sender_pids[i], SIGKILL);
	return bad;
}

static void judge(void)
{
	unsigned int lost = 0, surplus = 0, kills = 0;
	uint64_t all = 0, sum = 0, least = UINT64_MAX;
	int steady = 0;
	long grown = 0;

	for (int r = 0; r < receivers; r++)
		grown = load->grown[r] > grown ? load->grown[r] : grown;
	for (int s = 0; s < senders; s++) {
		uint64_t received = 0, more = 0;

		for (int r = 0; r < receivers; r++) {
			const struct pair *pair = &load->pairs[r][s];

			lost += pair->received < pair->acknowledged;
			more += pair->received - pair->acknowledged;
			received += pair->received;
		}
		surplus += more > load->kills[s];
		kills += load->kills[s];
		all += received;
		if (!is_steady(s))
			continue;
		steady++;
		sum += received;
		least = received < least ? received : least;
	}
	printf("# %llu messages, %u kills, %u refusals; a steady sender had at least %llu, on "
	       "average %llu; "
	       "receivers grew by at most %ld KiB\n",
		(unsigned long long)all, kills, load->refusals, (unsigned long long)least,
		(unsigned long long)sum / (unsigned int)steady, grown);
	ok(lost == 0, "nothing that was acknowledged is lost");
	ok(surplus == 0, "nothing arrives that was not sent, and nothing twice");
	ok(load->broken == 0, "every message is whole, and in order");
	ok(load->refusals > 0 && kills > (unsigned int)senders, "senders were killed and refused");
	ok(grown <= GROWTH_MAX, "no receiver grows");
	ok(2 * least * (unsigned int)steady >= sum,
		"the slowest steady sender has half of the mean");
}

int main(int argc, char **argv)
{
	pid_t receiver_pids[RECEIVERS_MAX], sender_pids[SENDERS_MAX];
	int ready[2], bad = 0;
	char byte;

	if (argc != 6)
		return EXIT_FAILURE;
	dir = argv[1];
	seconds = atoi(argv[2]);
	senders = atoi(argv[3]);
	receivers = atoi(argv[4]);
	srandom((unsigned int)atoi(argv[5]));
	if (seconds < 1 || senders < 3 || senders > SENDERS_MAX || receivers < 1 ||
		receivers > RECEIVERS_MAX || pipe(ready) < 0)
		return EXIT_FAILURE;
	load = mmap(NULL, sizeof(*load), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (load == MAP_FAILED)
		return EXIT_FAILURE;
	for (int i = 0; i < receivers; i++)
		receiver_pids[i] = start(receive_all, i, ready[1]);
	close(ready[1]);
	for (int i = 0; i < receivers; i++)
		bad += read(ready[0], &byte, 1) != 1;
	bad += run(sender_pids);
	load->phase = DRAIN;
	for (int i = 0; i < receivers; i++)
		bad += ends(receiver_pids[i], 0);
	ok(bad == 0, "every process goes on until it is told to end");
	judge();
	return done_testing();
}
