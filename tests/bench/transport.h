/* SPDX-License-Identifier: MIT */
/*
 * transport.h: one way to carry messages between two processes.
 *
 * transfer.c does the same work over each of them.  A plan is made once, before the process forks
 * into side A, which measures, and side B, which answers; each side opens its link.  B opens
 * before A does.
 *
 * Errors: 0 or a count, or a negative errno.  -EOPNOTSUPP from prepare: not possible here.
 */
#ifndef BENCH_TRANSPORT_H
#define BENCH_TRANSPORT_H

#include "bench.h"

struct transport;

enum side {
	SIDE_A,
	SIDE_B,
	SIDES,
};

/* Memory that both sides share beside the transport's own, zeroed. */
struct shared {
	uint16_t tcp_port; /* B listens there */
};

struct plan {
	/* From the command line. */
	size_t size;                  /* bytes a message */
	bool stream;                  /* one way in a row, not round trips */
	const char *send_path[SIDES]; /* files: what each side writes to */
	const char *receive_path[SIDES];
	const char *dir;  /* libsivc: the local backend's directory */
	uint32_t spin_us; /* libsivc: how long it may spin before it sleeps; 0: its default */
	int cpu[SIDES];   /* where each side runs; -1: anywhere */
	const char *netns[SIDES]; /* veth: names of network namespaces */
	const char *address_b;    /* veth: where B listens */
	/* Set by transfer.c before prepare. */
	const struct transport *transport;
	struct shared *shared;
	/* Set by prepare, inherited by both sides. */
	void *prepared;
	int pair[SIDES][2]; /* descriptors: [i][0] is read by, [i][1] written to reach side i */
};

/* The most that is done in one go: bytes of a framed call; messages of libsivc's batches, few
 * enough that the other side works meanwhile. */
#define BATCH_BYTES    (256u * 1024)
#define BATCH_MESSAGES 16u

struct link {
	const struct plan *plan;
	enum side side;
	char *out; /* where the next message is made, unless place() says otherwise */
	char *in;  /* where it is received */
	void *own; /* the transport's */
	int send_fd;
	int receive_fd;
};

struct transport {
	const char *name;
	bool alone; /* nobody at the other end: side A only, what it reads is made up */
	int (*prepare)(struct plan *plan); /* NULL: nothing to do */
	int (*open)(struct link *link);
	void *(*place)(struct link *link); /* NULL: link->out */
	int (*send)(struct link *link, size_t size);
	int (*flush)(struct link *link); /* NULL: send does not keep anything back */
	/* A message of `size` bytes; *bytes is valid until the next call. */
	int (*receive)(struct link *link, size_t size, const void **bytes);
	void (*close)(struct link *link); /* NULL: only link->send_fd and receive_fd */
};

extern const struct transport transport_pipe;
extern const struct transport transport_seqpacket;
extern const struct transport transport_tcp;
extern const struct transport transport_veth;
extern const struct transport transport_mqueue;
extern const struct transport transport_memcpy;
extern const struct transport transport_futex;
extern const struct transport transport_null;
extern const struct transport transport_relay;
extern const struct transport transport_file;
extern const struct transport transport_cat;
extern const struct transport transport_framed;
extern const struct transport transport_libsivc;
extern const struct transport transport_batched;

/* For the transports: all of `size` bytes, in as many calls as it takes. */
int link_write_all(struct link *link, const void *bytes, size_t size);
int link_read_all(struct link *link, void *bytes, size_t size);
/* The other side. */
enum side side_other(enum side side);

#endif
