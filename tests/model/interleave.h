/* SPDX-License-Identifier: MIT */
/*
 * interleave.h: what the scenarios of interleave.c are made of.
 *
 * A scenario is a script for each side: a function that uses libsivc as a program does, and waits
 * where it must.  interleave_messages.c and interleave_streams.c have them, and judge what
 * happened.
 */
#ifndef SIVC_INTERLEAVE_H
#define SIVC_INTERLEAVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#include "endpoint.h"

#define RECEIVER 0
#define SENDER   1
#define SIDES    2

#define RING       4096u
#define STORES_MAX 1024

/* A domain. */
struct side {
	ucontext_t context;
	char *stack;
	bool done;   /* the script has ended */
	bool asleep; /* waits for its descriptor */
	int fd;      /* the one it waits for */
	void (*script)(struct side *side);
	void (*restarted)(struct side *side); /* instead, after a kill */
	int kills;
	struct sivc *sivc;
	struct sivc_endpoint *ep;
	/* Stores that the other side does not see yet. */
	struct {
		void *p;
		size_t size;
		uint64_t value;
	} stores[STORES_MAX];
	unsigned int store_count;
	/* The load that it repeats. */
	const void *spins_at;
	unsigned int spins;
};

struct scenario {
	const char *name;
	void (*receiver)(struct side *side);
	void (*sender)(struct side *side);
	/* If the process of this side is killed at a step instead of losing the processor. */
	void (*receiver_again)(struct side *side);
	void (*sender_again)(struct side *side);
	size_t length; /* of a message */
	bool lossy;    /* what was not read when the receiver ended is lost */
	bool waits;    /* in the end the receiver waits for more */
	bool xen;      /* the end of a process shows as it does there (fake_hv.h) */
};

/* Messages, or streams. */
struct subject {
	const struct scenario *scenarios;
	size_t count;
	int (*open)(struct sivc *sivc, struct sivc_endpoint **ep);
	void (*begin)(const struct scenario *scenario); /* before each run */
	/* After it.  `killed`: the sender's process was. */
	void (*judge)(const struct scenario *scenario, bool killed);
};

extern const struct subject messages, streams;

/* The run is wrong. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool failed(void);
/* If one run is told step by step. */
void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A moment at which the other side may go on instead. */
void step(void);

/* What scripts of both have. */
void open_side(struct side *side);
void close_endpoint(struct side *side);
void refuse(struct side *side);
void permit(struct side *side);

#endif
