/* SPDX-License-Identifier: MIT */
/*
 * events.c: event channels, by /dev/xen/evtchn.
 *
 * A set is one open file of that device.  The kernel masks a port when it puts the port's number
 * into the file's queue, and unmasks it when the number is written back: so a queue holds each port
 * once, and a peer that floods gets one event through for each time we unmask.  A port's number in
 * the queue may be that of a port that was freed, even one given out again since: numbers are
 * looked up in the set when they are read, and an event may be spurious.
 *
 * The peer can close its end at any time; ours is then unbound, without an event, and signals to it
 * go nowhere.  Binding signals our own end once.
 *
 * After a restore (see xen.c) the ports are gone, but the driver does not know: as of Linux 6.1 it
 * fails an assertion (BUG) when such a port is unbound or the file closed, which leaves a process
 * that cannot be killed.  What it does survive, and what makes it forget all ports of the file, is
 * to be given a port by Xen that it thinks it has already (it says EEXIST).  Xen gives the lowest
 * number that is free, so the numbers below one that was lost are taken until that is the lowest.
 * What the driver forgets is lost until the domain ends: some hundred bytes a port.
 *
 * So a number that was lost has to stay free until its process has done that.  Each set holds a
 * lock for reading (fcntl) on the bytes of /dev/xen/evtchn that have the numbers of its ports; what
 * another set has locked is left free.  One process of the domain at a time takes numbers (flock).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <syslog.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1 /* the element's hh.tbl is NULL then */
#include <uthash.h>

#include "fork.h"
#include "xen.h"

#define TURN_LIMIT_MS 1000

struct xen_port {
	struct hv_port port;
	UT_hash_handle hh; /* by port.number */
	bool lost;         /* freed after a restore: only the driver still has it */
};

struct xen_events {
	struct hv_events events;
	xenevtchn_handle *handle;
	struct xen_port *ports;
	bool forgotten; /* after a restore: the driver has no port any more that was lost */
};

static struct xen_events *events_of(struct hv_events *events)
{
	return (struct xen_events *)events;
}

static struct xen_port *port_find(const struct xen_events *events, uint32_t number)
{
	struct xen_port *port;

	HASH_FIND(hh, events->ports, &number, sizeof(number), port);
	return port;
}

/*
 * Files of the device.  No child has them.
 */

static xenevtchn_handle *handle_open(struct hv *hv)
{
	xenevtchn_handle *handle;

	fork_hold();
	handle = xenevtchn_open(&xen_of(hv)->logger.vtable, 0);
	if (handle && fork_add(xenevtchn_fd(handle)) < 0) {
		xenevtchn_close(handle);
		handle = NULL;
		errno = ENOMEM;
	}
	fork_release();
	return handle;
}

static void handle_close(xenevtchn_handle *handle)
{
	int error = errno;

	if (!handle)
		return;
	fork_hold();
	fork_remove(xenevtchn_fd(handle));
	xenevtchn_close(handle);
	fork_release();
	errno = error;
}

/*
 * Numbers.
 */

/* Who is stopped in the middle of its turn does not stop us for longer than that. */
static void turn_begin(const struct xen_events *events)
{
	int fd = xenevtchn_fd(events->handle);

	for (int ms = 0; ms < TURN_LIMIT_MS && flock(fd, LOCK_EX | LOCK_NB) < 0; ms++)
		poll(NULL, 0, 1); /* there is no event that could be waited for with a limit */
}

static void turn_end(const struct xen_events *events)
{
	int error = errno;

	flock(xenevtchn_fd(events->handle), LOCK_UN);
	errno = error;
}

/* F_RDLCK, F_UNLCK */
static int number_lock(const struct xen_events *events, uint32_t number, short type)
{
	struct flock lock = {.l_type = type, .l_start = number, .l_len = 1};

	return fcntl(xenevtchn_fd(events->handle), F_OFD_SETLK, &lock);
}

/* Another set had it before a restore, and the driver thinks that it has it yet. */
static bool is_anothers(const struct xen_events *events, xenevtchn_port_or_error_t number)
{
	struct flock lock = {.l_type = F_WRLCK, .l_start = number, .l_len = 1};

	return fcntl(xenevtchn_fd(events->handle), F_OFD_GETLK, &lock) == 0 &&
	       lock.l_type != F_UNLCK;
}

/* `remote`: a port of that domain, to bind to; NULL: one is made for it to bind to. */
static xenevtchn_port_or_error_t bind_lowest(
	struct xen_events *events, uint16_t domid, const uint32_t *remote)
{
	xenevtchn_port_or_error_t number =
		remote ? xenevtchn_bind_interdomain(events->handle, domid, *remote)
		       : xenevtchn_bind_unbound_port(events->handle, domid);

	if (number < 0 && errno == EEXIST) {
		events->forgotten = true;
		xen_of(events->events.hv)->hv.lost = true;
	}
	return number;
}

/* The same while the numbers that others lost are taken. */
static xenevtchn_port_or_error_t bind_above(
	struct xen_events *events, uint16_t domid, const uint32_t *remote)
{
	xenevtchn_handle *spare = handle_open(events->events.hv);
	xenevtchn_port_or_error_t number;

	if (!spare)
		return -1;
	do
		number = xenevtchn_bind_unbound_port(spare, DOMID_SELF);
	while (number >= 0 && is_anothers(events, number));
	if (number >= 0) {
		xenevtchn_unbind(spare, (evtchn_port_t)number);
		number = bind_lowest(events, domid, remote);
	}
	handle_close(spare);
	return number;
}

static xenevtchn_port_or_error_t bind_number(
	struct xen_events *events, uint16_t domid, const uint32_t *remote)
{
	xenevtchn_port_or_error_t number;

	turn_begin(events);
	number = bind_lowest(events, domid, remote);
	if (number >= 0 && is_anothers(events, number)) {
		xenevtchn_unbind(events->handle, (evtchn_port_t)number);
		number = bind_above(events, domid, remote);
	}
	if (number >= 0 && number_lock(events, (uint32_t)number, F_RDLCK) < 0) {
		xenevtchn_unbind(events->handle, (evtchn_port_t)number);
		errno = ENOMEM;
		number = -1;
	}
	turn_end(events);
	return number;
}

static void unbind_number(struct xen_events *events, uint32_t number)
{
	number_lock(events, number, F_UNLCK);
	xenevtchn_unbind(events->handle, number);
}

/*
 * Gives the file the lowest number, until that is one that it had: `spare` keeps the others.  The
 * kernel's own drivers take numbers meanwhile, and give some back.
 */
static void forget_with(struct xen_events *events, xenevtchn_handle *spare)
{
	xenevtchn_port_or_error_t number;

	while ((number = bind_lowest(events, DOMID_SELF, NULL)) >= 0) {
		xenevtchn_unbind(events->handle, (evtchn_port_t)number);
		number = xenevtchn_bind_unbound_port(spare, DOMID_SELF);
		if (number < 0)
			return;
		if (port_find(events, (uint32_t)number))
			xenevtchn_unbind(spare, (evtchn_port_t)number);
	}
}

/* Makes the driver forget the ports that were lost by a restore, so that the file can be closed. */
static bool forget_lost(struct xen_events *events)
{
	xenevtchn_handle *spare = handle_open(events->events.hv);

	if (!spare)
		return false;
	turn_begin(events);
	forget_with(events, spare);
	handle_close(spare);
	turn_end(events);
	return events->forgotten;
}

/*
 * Sets.
 */

int xen_events_new(struct hv *hv, struct hv_events **out)
{
	struct xen_events *events = calloc(1, sizeof(*events));
	int error;

	if (!events)
		return -ENOMEM;
	events->events.hv = hv;
	events->handle = handle_open(hv);
	/* Reading must not wait; the library has no way to say so. */
	if (!events->handle ||
		fcntl(xenevtchn_fd(events->handle), F_SETFL, O_RDWR | O_NONBLOCK) < 0) {
		error = errno;
		handle_close(events->handle);
		free(events);
		return xen_no_device(hv, "/dev/xen/evtchn", "xen-evtchn", error);
	}
	*out = &events->events;
	return 0;
}

void xen_events_free(struct hv_events *base)
{
	struct xen_events *events = events_of(base);
	struct xen_port *port, *next;

	if (!events->ports || events->forgotten || forget_lost(events))
		handle_close(events->handle);
	else
		hv_log(base->hv, LOG_WARNING,
			"the kernel does not give up event channels of before the restore: when "
			"this program ends, its process may stay");
	HASH_ITER (hh, events->ports, port, next) {
		HASH_DEL(events->ports, port);
		free(port);
	}
	free(events);
}

int xen_events_fd(const struct hv_events *events)
{
	return xenevtchn_fd(((const struct xen_events *)events)->handle);
}

/* The device gives all ports that wait in one read; xenevtchn_pending asks for one at a time. */
int xen_events_dispatch(struct hv_events *base)
{
	struct xen_events *events = events_of(base);
	uint32_t numbers[SIVC_HV_BATCH];
	ssize_t bytes = read(xenevtchn_fd(events->handle), numbers, sizeof(numbers));
	int handled = 0;

	for (ssize_t i = 0; i < bytes / (ssize_t)sizeof(numbers[0]); i++) {
		struct xen_port *port = port_find(events, numbers[i]);

		if (!port || port->lost)
			continue;
		port->port.fn(port->port.data); /* may free any port */
		handled++;
	}
	return handled;
}

/* Enters a port that the kernel has given us. */
static int port_new(struct xen_events *events, xenevtchn_port_or_error_t number, hv_port_fn *fn,
	void *data, struct hv_port **out)
{
	struct xen_port *port = calloc(1, sizeof(*port));

	if (!port)
		goto no_memory;
	port->port = (struct hv_port){
		.events = &events->events, .number = (uint32_t)number, .fn = fn, .data = data};
	HASH_ADD(hh, events->ports, port.number, sizeof(port->port.number), port);
	if (!port->hh.tbl)
		goto no_memory;
	*out = &port->port;
	return 0;

no_memory:
	free(port);
	unbind_number(events, (uint32_t)number);
	return -ENOMEM;
}

/* -ENOSPC, and once in the log where the limit stands. */
static int no_ports(struct hv *hv)
{
	struct xen_hv *xen = xen_of(hv);

	if (!xen->logged_no_ports)
		hv_log(hv, LOG_ERR,
			"this domain has no event channel left: raise max_event_channels= (default "
			"1023) in its configuration in dom0");
	xen->logged_no_ports = true;
	return -ENOSPC;
}

/* Xen's own access control, which is asked before ours. */
static const char forbidden[] =
	"; Xen does not let these domains share anything: in its SILO mode none but dom0 may "
	"(xsm=dummy on Xen's command line lifts that), or a FLASK policy forbids it";

int xen_port_alloc(
	struct hv_events *base, uint16_t domid, hv_port_fn *fn, void *data, struct hv_port **port)
{
	struct xen_events *events = events_of(base);
	xenevtchn_port_or_error_t number = bind_number(events, domid, NULL);
	int error = errno;

	if (number >= 0)
		return port_new(events, number, fn, data, port);
	if (error == ENOSPC)
		return no_ports(base->hv);
	if (error == EEXIST) /* this domain was restored */
		return -EAGAIN;
	hv_log(base->hv, LOG_ERR, "cannot allocate an event channel for domain %u: %s%s", domid,
		strerror(error), error == EPERM ? forbidden : "");
	return -error;
}

int xen_port_bind(struct hv_events *base, uint16_t domid, uint32_t number, hv_port_fn *fn,
	void *data, struct hv_port **port)
{
	struct xen_events *events = events_of(base);
	xenevtchn_port_or_error_t own = bind_number(events, domid, &number);

	if (own >= 0)
		return port_new(events, own, fn, data, port);
	if (errno == ENOSPC)
		return no_ports(base->hv);
	return errno == ENOMEM ? -ENOMEM : -EINVAL; /* the domain or its port is not there for us */
}

void xen_port_free(struct hv_port *base)
{
	struct xen_port *port = (struct xen_port *)base;
	struct xen_events *events = events_of(base->events);

	xen_self_port_freed(xen_of(base->events->hv), base);
	if (xen_lost(xen_of(base->events->hv))) {
		port->lost = true; /* xen_events_free needs its number */
		return;
	}
	HASH_DEL(events->ports, port);
	unbind_number(events, base->number);
	free(port);
}

void xen_port_notify(struct hv_port *port)
{
	xenevtchn_notify(events_of(port->events)->handle, port->number);
}

void xen_port_unmask(struct hv_port *port)
{
	xenevtchn_unmask(events_of(port->events)->handle, port->number);
}
