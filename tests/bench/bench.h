/* SPDX-License-Identifier: MIT */
/*
 * bench.h: what the programs of the benchmark share: a clock, counters, and the messages.
 *
 * A message is made by one process and consumed by another, byte for byte: the maker writes all of
 * it, the consumer reads all of it and checks it.  So no transport wins by not moving the data.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BENCH_MSG_MIN 64u
#define BENCH_MSG_MAX (512u * 1024)

uint64_t bench_now(void); /* CLOCK_MONOTONIC, ns */

/* The fraction'th (0..1) of `count` values, which are put in order.  0 if there are none. */
uint64_t bench_quantile(uint64_t *values, size_t count, double fraction);

/* What a message says about itself; the rest of its bytes all have one value. */
enum bench_kind {
	BENCH_DATA,
	BENCH_LAST, /* the measurement ends: answer */
	BENCH_QUIT, /* the consumer's work is done: no answer */
};

struct bench_head {
	uint64_t sequence;
	uint64_t kind; /* enum bench_kind */
};

/* size: a multiple of 8, BENCH_MSG_MIN and more. */
void bench_make(void *bytes, size_t size, uint64_t sequence, enum bench_kind kind);
/* False: the bytes are not those that bench_make wrote. */
bool bench_check(const void *bytes, size_t size, struct bench_head *head);

/*
 * What processes have used so far.  System calls are counted by the kernel's tracepoint, which
 * makes each of them slower: in a run of its own.
 */
struct bench_usage {
	uint64_t switches; /* voluntary and involuntary */
	uint64_t cpu_ns;
	uint64_t syscalls;
};

struct bench_meter {
	pid_t pid;
	int syscalls_fd; /* perf event, or -1 */
};

/* syscalls: count them, too.  -errno: not possible (as -EACCES: not root) */
int bench_meter_init(struct bench_meter *meter, pid_t pid, bool syscalls);
void bench_meter_deinit(struct bench_meter *meter);
void bench_meter_read(const struct bench_meter *meter, struct bench_usage *usage);
void bench_usage_add(struct bench_usage *sum, const struct bench_usage *usage);
void bench_usage_subtract(struct bench_usage *sum, const struct bench_usage *usage);

/*
 * How often one processor of this machine has interrupted another so far, for whatever reason: to
 * wake it up, mostly.  UINT64_MAX: this machine does not tell.
 */
uint64_t bench_interrupts(void);

/* This process on that processor; -1: on any. */
int bench_run_on(int cpu);

/* One unsigned number from a command line; ends the program with a message if it is none. */
uint64_t bench_number(const char *option, const char *text);

#endif
