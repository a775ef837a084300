/* SPDX-License-Identifier: MIT */
/*
 * events.c: event channels.
 *
 * A port is two FIFOs in the directory of the process that allocated it, NUMBER.PEER.in (the peer
 * writes, the owner reads) and NUMBER.PEER.out (the other way).  A byte is an event.  Both sides
 * open for reading and writing, so that nobody ever gets SIGPIPE or sees the other end come and
 * go.  A FIFO takes one page of bytes, and who finds it full leaves it at that: an event is
 * already waiting there.
 *
 * A set is an epoll descriptor, and a port's mask is EPOLLONESHOT: the kernel masks the port when
 * it delivers it.  From then on a peer can write what it wants; nothing wakes here until
 * hv_port_unmask.  Dispatch empties the FIFO before it calls: an event that comes after that stays
 * in it for the next unmask.
 *
 * The owner opens its end for writing at the first notify only: most of a receiver's senders
 * never need one, and descriptors are scarce where there are hundreds.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "fork.h"
#include "local.h"
#include "sivc/wire.h"

#define COUNTER_MASK ((UINT32_C(1) << LOCAL_COUNTER) - 1)
#define FIFO_MODE    0666

struct local_events {
	struct hv_events events;
	int fd;
	/*
	 * Ports that epoll has reported and dispatch has not called yet, from `next` on.  They are
	 * kept here, so that a port that is freed can be taken out.
	 */
	struct epoll_event batch[SIVC_HV_BATCH];
	int next, count;
};

struct local_port {
	struct hv_port port;
	int in;  /* read by us */
	int out; /* written by us; -1: the owner has not needed it yet */
	bool ours;
	bool masked;
	uint16_t domid;
};

static struct local *port_local(const struct local_port *port)
{
	return (struct local *)port->port.events->hv;
}

static void fifo_name(char *name, uint32_t number, uint16_t domid, const char *end)
{
	snprintf(name, LOCAL_NAME_MAX, "%" PRIu32 ".%u.%s", number, domid, end);
}

int local_events_new(struct hv *hv, struct hv_events **events)
{
	struct local_events *set = calloc(1, sizeof(*set));
	int r;

	if (!set)
		return -ENOMEM;
	set->events.hv = hv;
	set->fd = fork_private(epoll_create1(EPOLL_CLOEXEC));
	if (set->fd < 0) {
		r = -errno;
		free(set);
		return local_fail_once((struct local *)hv, r, "cannot make a set of ports");
	}
	*events = &set->events;
	return 0;
}

void local_events_free(struct hv_events *events)
{
	struct local_events *set = (struct local_events *)events;

	fork_close(set->fd);
	free(set);
}

int local_events_fd(const struct hv_events *events)
{
	return ((const struct local_events *)events)->fd;
}

static void drain(int fd)
{
	char bytes[SIVC_PAGE_SIZE];

	/* What does not fit is a later, spurious event. */
	while (read(fd, bytes, sizeof(bytes)) < 0 && errno == EINTR)
		;
}

int local_events_dispatch(struct hv_events *events)
{
	struct local_events *set = (struct local_events *)events;
	int handled = 0;

	if (set->next == set->count) {
		int count = epoll_wait(set->fd, set->batch, SIVC_HV_BATCH, 0);

		if (count < 0)
			return errno == EINTR ? 0 : -errno;
		set->next = 0;
		set->count = count;
	}
	while (set->next < set->count) {
		struct local_port *port = set->batch[set->next++].data.ptr;

		if (!port)
			continue;
		port->masked = true;
		drain(port->in);
		port->port.fn(port->port.data);
		handled++;
	}
	return handled;
}

static int arm(struct local_port *port, int operation)
{
	struct local_events *set = (struct local_events *)port->port.events;
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = port};

	return epoll_ctl(set->fd, operation, port->in, &event) ? -errno : 0;
}

static struct local_port *port_new(
	struct hv_events *events, uint16_t domid, hv_port_fn *fn, void *data)
{
	struct local_port *port = calloc(1, sizeof(*port));

	if (!port)
		return NULL;
	port->port.events = events;
	port->port.fn = fn;
	port->port.data = data;
	port->domid = domid;
	port->in = port->out = -1;
	return port;
}

static void close_ends(struct local_port *port)
{
	if (port->in >= 0)
		close(port->in);
	if (port->out >= 0)
		close(port->out);
}

static void remove_fifos(struct local_port *port)
{
	struct local *local = port_local(port);
	char name[LOCAL_NAME_MAX];

	fifo_name(name, port->port.number, port->domid, "in");
	unlinkat(local->instance_fd, name, 0);
	fifo_name(name, port->port.number, port->domid, "out");
	unlinkat(local->instance_fd, name, 0);
}

/* One page: what a peer can make the kernel hold.  More works as well. */
static int shrink(int fd)
{
	if (fd >= 0)
		fcntl(fd, F_SETPIPE_SZ, SIVC_PAGE_SIZE);
	return fd;
}

static int make_fifo(struct local *local, uint32_t number, uint16_t domid, const char *end)
{
	char name[LOCAL_NAME_MAX];

	fifo_name(name, number, domid, end);
	return shrink(local_make_fifo(local, local->instance_fd, name, FIFO_MODE));
}

/* Both FIFOs, of the next number that is free. */
static int make_fifos(struct local_port *port)
{
	struct local *local = port_local(port);
	int out;

	do {
		local->next_port = local->next_port % COUNTER_MASK + 1; /* 1..: 0 means none */
		port->port.number = local->instance << LOCAL_COUNTER | local->next_port;
		port->in = make_fifo(local, port->port.number, port->domid, "in");
	} while (port->in == -EEXIST);
	if (port->in < 0)
		return port->in;
	out = make_fifo(local, port->port.number, port->domid, "out");
	if (out < 0)
		return out;
	close(out);
	return 0;
}

static int open_end(const struct local_port *port, int at, const char *end)
{
	char name[LOCAL_NAME_MAX];
	int fd;

	fifo_name(name, port->port.number, port_local(port)->hv.domid, end);
	fd = local_open_fifo(at, name, O_RDWR);
	if (fd >= 0 && !local_made_here(at, fd)) {
		close(fd);
		return -EINVAL;
	}
	return shrink(fd);
}

/* The other way round: the owner's `in` is where we write. */
static int open_fifos(struct local_port *port)
{
	int at = local_open_instance(port_local(port), port->domid, port->port.number);

	if (at < 0)
		return at;
	port->out = open_end(port, at, "in");
	if (port->out >= 0)
		port->in = open_end(port, at, "out");
	close(at);
	if (port->out < 0)
		return port->out;
	return port->in < 0 ? port->in : 0;
}

/* Takes over `port`, or frees it, with what there is of it, if that failed. */
static int port_start(struct local_port *port, int r, struct hv_port **started)
{
	struct local *local = port_local(port);

	if (!r)
		r = arm(port, EPOLL_CTL_ADD);
	if (!r) {
		local_plenty(local);
		*started = &port->port;
		return 0;
	}
	if (port->ours && port->in >= 0)
		remove_fifos(port);
	close_ends(port);
	r = !port->ours && local_absent(r)
		    ? -EINVAL
		    : local_fail_once(local, r, "cannot open an event channel");
	free(port);
	return r;
}

int local_port_alloc(
	struct hv_events *events, uint16_t domid, hv_port_fn *fn, void *data, struct hv_port **port)
{
	struct local_port *p = port_new(events, domid, fn, data);

	if (!p)
		return -ENOMEM;
	p->ours = true;
	return port_start(p, make_fifos(p), port);
}

int local_port_bind(struct hv_events *events, uint16_t domid, uint32_t number, hv_port_fn *fn,
	void *data, struct hv_port **port)
{
	struct local_port *p = port_new(events, domid, fn, data);

	if (!p)
		return -ENOMEM;
	p->port.number = number;
	return port_start(p, open_fifos(p), port);
}

static void forget_reported(struct local_port *port)
{
	struct local_events *set = (struct local_events *)port->port.events;

	for (int i = set->next; i < set->count; i++)
		if (set->batch[i].data.ptr == port)
			set->batch[i].data.ptr = NULL;
}

void local_port_free(struct hv_port *port)
{
	struct local_port *p = (struct local_port *)port;
	struct local_events *set = (struct local_events *)port->events;

	forget_reported(p);
	epoll_ctl(set->fd, EPOLL_CTL_DEL, p->in, NULL);
	if (p->ours)
		remove_fifos(p);
	close_ends(p);
	free(p);
}

static int open_out(const struct local_port *port)
{
	char name[LOCAL_NAME_MAX];

	fifo_name(name, port->port.number, port->domid, "out");
	return shrink(local_open_fifo(port_local(port)->instance_fd, name, O_RDWR));
}

static void put_event(int fd)
{
	while (write(fd, "", 1) < 0 && errno == EINTR)
		;
}

/*
 * No descriptor is left to open the FIFO with.  An event that is lost is a peer that sleeps for
 * ever, so the one that was kept for this is used.
 */
static void notify_by_spare(struct local_port *port)
{
	struct local *local = port_local(port);
	int fd;

	close(local->spare);
	fd = open_out(port);
	if (fd >= 0) {
		put_event(fd);
		close(fd);
	}
	local->spare = fcntl(local->dir_fd, F_DUPFD_CLOEXEC, 0);
}

void local_port_notify(struct hv_port *port)
{
	struct local_port *p = (struct local_port *)port;
	int fd;

	if (p->out < 0) {
		fd = open_out(p);
		if (fd == -EMFILE || fd == -ENFILE)
			notify_by_spare(p);
		if (fd < 0)
			return; /* no file: the peer has taken our directory apart, and hears
				   nothing */
		p->out = fd;
	}
	put_event(p->out);
}

void local_port_unmask(struct hv_port *port)
{
	struct local_port *p = (struct local_port *)port;

	/* It cannot fail: the descriptor is in the set, and a change needs no memory. */
	if (p->masked && arm(p, EPOLL_CTL_MOD) == 0)
		p->masked = false;
}
