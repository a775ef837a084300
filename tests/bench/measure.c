/* SPDX-License-Identifier: MIT */
/*
 * measure.c: the clock, the counters and the messages of the benchmark.
 *
 * Counters are read from outside of the process that is counted (/proc, perf events), so that the
 * server of a file system, which knows nothing of the benchmark, is counted as the two ends are.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S        UINT64_C(1000000000)
#define PROC_TEXT_MAX   4096
#define SYSCALL_TRACE   "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id"
#define SYSCALL_DEBUGFS "/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id"

static uint64_t to_ns(const struct timespec *time)
{
	return (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_nsec;
}

uint64_t bench_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return to_ns(&now);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

uint64_t bench_quantile(uint64_t *values, size_t count, double fraction)
{
	if (count == 0)
		return 0;
	qsort(values, count, sizeof *values, compare);
	return values[(size_t)(fraction * (double)(count - 1))];
}

/*
 * Two words at a time, which is what every processor has registers for.  In the lab making and
 * checking must not take longer than carrying, and there memset does: glibc's has one instruction
 * for a long message (rep stosb), which an emulated processor does byte by byte.
 */
typedef uint64_t words __attribute__((vector_size(2 * sizeof(uint64_t))));

/* What each word of a message is. */
static uint64_t word_of(uint64_t sequence)
{
	return (sequence & 0xff) * UINT64_C(0x0101010101010101);
}

static void make_words(char *bytes, size_t size, uint64_t word)
{
	const words two = {word, word};
	size_t i;

	for (i = 0; i + sizeof two <= size; i += sizeof two)
		memcpy(bytes + i, &two, sizeof two);
	for (; i < size; i += sizeof word)
		memcpy(bytes + i, &word, sizeof word);
}

static uint64_t sum_words(const char *bytes, size_t size)
{
	words sum = {0}, two;
	uint64_t rest = 0, word;
	size_t i;

	for (i = 0; i + sizeof two <= size; i += sizeof two) {
		memcpy(&two, bytes + i, sizeof two);
		sum += two;
	}
	for (; i < size; i += sizeof word) {
		memcpy(&word, bytes + i, sizeof word);
		rest += word;
	}
	return sum[0] + sum[1] + rest;
}

void bench_make(void *bytes, size_t size, uint64_t sequence, enum bench_kind kind)
{
	struct bench_head head = {.sequence = sequence, .kind = kind};

	make_words(bytes, size, word_of(sequence));
	memcpy(bytes, &head, sizeof head);
}

bool bench_check(const void *bytes, size_t size, struct bench_head *head)
{
	size_t rest = size - sizeof *head;

	if (size < BENCH_MSG_MIN)
		return false;
	memcpy(head, bytes, sizeof *head);
	return sum_words((const char *)bytes + sizeof *head, rest) ==
	       word_of(head->sequence) * (rest / sizeof(uint64_t));
}

/* Text of a file in /proc or /sys, "" if it cannot be read. */
static void read_text(const char *path, char text[PROC_TEXT_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, PROC_TEXT_MAX - 1);

	text[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
}

static uint64_t field(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static int syscalls_open(pid_t pid)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof attr,
	};
	char text[PROC_TEXT_MAX];
	long fd;

	read_text(SYSCALL_TRACE, text);
	if (!*text)
		read_text(SYSCALL_DEBUGFS, text);
	if (!*text)
		return -ENOENT;
	attr.config = strtoull(text, NULL, 10);
	fd = syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : (int)fd;
}

int bench_meter_init(struct bench_meter *meter, pid_t pid, bool syscalls)
{
	int fd = -1;

	if (syscalls) {
		fd = syscalls_open(pid);
		if (fd < 0)
			return fd;
	}
	*meter = (struct bench_meter){.pid = pid, .syscalls_fd = fd};
	return 0;
}

void bench_meter_deinit(struct bench_meter *meter)
{
	if (meter->syscalls_fd >= 0)
		close(meter->syscalls_fd);
}

void bench_meter_read(const struct bench_meter *meter, struct bench_usage *usage)
{
	struct timespec cpu;
	clockid_t clock;
	char path[64];
	char text[PROC_TEXT_MAX];

	*usage = (struct bench_usage){0};
	/* Before /proc is read, which takes system calls, too. */
	if (meter->syscalls_fd >= 0 &&
		read(meter->syscalls_fd, &usage->syscalls, sizeof usage->syscalls) < 0)
		usage->syscalls = 0;
	snprintf(path, sizeof path, "/proc/%d/status", (int)meter->pid);
	read_text(path, text);
	usage->switches = field(text, "\nvoluntary_ctxt_switches:") +
			  field(text, "\nnonvoluntary_ctxt_switches:");
	if (clock_getcpuclockid(meter->pid, &clock) == 0 && clock_gettime(clock, &cpu) == 0)
		usage->cpu_ns = to_ns(&cpu);
}

void bench_usage_add(struct bench_usage *sum, const struct bench_usage *usage)
{
	sum->switches += usage->switches;
	sum->cpu_ns += usage->cpu_ns;
	sum->syscalls += usage->syscalls;
}

void bench_usage_subtract(struct bench_usage *sum, const struct bench_usage *usage)
{
	sum->switches -= usage->switches;
	sum->cpu_ns -= usage->cpu_ns;
	sum->syscalls -= usage->syscalls;
}

/* The numbers of a line of /proc/interrupts, one a processor, behind its name. */
static uint64_t sum_numbers(const char *text)
{
	uint64_t sum = 0;
	char *end;

	for (uint64_t n = strtoull(text, &end, 10); end != text; n = strtoull(text, &end, 10)) {
		sum += n;
		text = end;
	}
	return sum;
}

/* Rescheduling and function calls, by the names that x86 has for them. */
uint64_t bench_interrupts(void)
{
	FILE *file = fopen("/proc/interrupts", "re");
	char *line = NULL;
	size_t room = 0;
	uint64_t sum = 0;
	bool found = false;

	while (file && getline(&line, &room, file) > 0) {
		const char *name = line + strspn(line, " ");

		if (strncmp(name, "RES:", 4) == 0 || strncmp(name, "CAL:", 4) == 0) {
			sum += sum_numbers(name + 4);
			found = true;
		}
	}
	free(line);
	if (file)
		fclose(file);
	return found ? sum : UINT64_MAX;
}

int bench_run_on(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return 0;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	return sched_setaffinity(0, sizeof set, &set) < 0 ? -errno : 0;
}

uint64_t bench_number(const char *option, const char *text)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno == 0 && end != text && *end == '\0' && *text != '-')
		return value;
	fprintf(stderr, "%s %s: not a number\n", option, text);
	exit(2);
}
