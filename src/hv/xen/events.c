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
 * number that is free, so we take the numbers below one that was lost until that is the lowest.
 * What the driver forgets is lost until the domain ends: some hundred bytes a port.
 *
 * No other process of the domain must take that number meanwhile.  So they forget one at a time
 * (flock), and none gets a new set before all have closed those of before: each set holds a lock
 * for reading on one byte of /dev/xen/evtchn, which the domain's id gives.  (Where the id stays the
 * same on another host, the order is left to chance.)
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <syslog.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1 /* the element's hh.tbl is NULL then */
#include <uthash.h>

#include "fork.h"
#include "xen.h"

struct xen_port {
	struct hv_port port;
	UT_hash_handle hh; /* by port.number */
	bool lost;         /* freed after a restore: only the driver still has it */
};

struct xen_events {
	struct hv_events events;
	xenevtchn_handle *handle;
	struct xen_port *ports;
};

static struct xen_events *events_of(struct hv_events *events)
{
	return (struct xen_events *)events;
}

/* The byte that is locked.  Not the first: 0 bytes before it would mean all (fcntl). */
static off_t byte_of(uint16_t domid)
{
	return 1 + (off_t)domid;
}

static int lock_byte(int fd, uint16_t domid)
{
	struct flock own = {.l_type = F_RDLCK, .l_start = byte_of(domid), .l_len = 1};

	return fcntl(fd, F_OFD_SETLK, &own);
}

static bool is_locked(int fd, off_t first, off_t length)
{
	struct flock any = {.l_type = F_WRLCK, .l_start = first, .l_len = length};

	return fcntl(fd, F_OFD_GETLK, &any) == 0 && any.l_type != F_UNLCK;
}

/* Whether a process has a set that was opened when this domain had another id. */
static bool any_of_before(int fd, uint16_t domid)
{
	off_t own = byte_of(domid);

	return is_locked(fd, 0, own) || is_locked(fd, own + 1, 0 /* to the end */);
}

int xen_events_new(struct hv *hv, struct hv_events **out)
{
	struct xen_events *events = calloc(1, sizeof(*events));
	int error;

	if (!events)
		return -ENOMEM;
	events->events.hv = hv;
	events->handle = xenevtchn_open(&xen_of(hv)->logger.vtable, 0);
	/* Reading must not wait; the library has no way to say so. */
	if (!events->handle ||
		fcntl(xenevtchn_fd(events->handle), F_SETFL, O_RDWR | O_NONBLOCK) < 0 ||
		lock_byte(xenevtchn_fd(events->handle), hv->domid) < 0 ||
		fork_add(xenevtchn_fd(events->handle)) < 0) {
		error = errno;
		xenevtchn_close(events->handle);
		free(events);
		return xen_no_device(hv, "/dev/xen/evtchn", "xen-evtchn", error);
	}
	if (any_of_before(xenevtchn_fd(events->handle), hv->domid)) {
		xen_events_free(&events->events);
		return -EAGAIN;
	}
	*out = &events->events;
	return 0;
}

static bool forget_with(struct xen_events *events, xenevtchn_handle *spare)
{
	xenevtchn_port_or_error_t next;
	struct xen_port *lost;

	do {
		uint32_t number;

		next = xenevtchn_bind_unbound_port(spare, DOMID_SELF);
		if (next < 0)
			return false;
		number = (uint32_t)next;
		HASH_FIND(hh, events->ports, &number, sizeof(number), lost);
	} while (!lost);
	xenevtchn_unbind(spare, (evtchn_port_t)next);
	return xenevtchn_bind_unbound_port(events->handle, DOMID_SELF) < 0 && errno == EEXIST;
}

/*
 * Makes the driver forget the ports that were lost by a restore, so that the file can be closed.
 * Other processes that do so are waited for: that takes each some system calls.
 */
static bool forget_lost(struct xen_events *events)
{
	xenevtchn_handle *spare = xenevtchn_open(&xen_of(events->events.hv)->logger.vtable, 0);
	bool forgotten;

	if (!spare)
		return false;
	flock(xenevtchn_fd(spare), LOCK_EX); /* until it is closed */
	forgotten = forget_with(events, spare);
	xenevtchn_close(spare);
	return forgotten;
}

void xen_events_free(struct hv_events *base)
{
	struct xen_events *events = events_of(base);
	struct xen_port *port, *next;

	fork_remove(xenevtchn_fd(events->handle));
	if (!events->ports || forget_lost(events)) {
		xenevtchn_close(events->handle);
	} else {
		fcntl(xenevtchn_fd(events->handle), F_OFD_SETLK,
			&(struct flock){.l_type = F_UNLCK});
		hv_log(base->hv, LOG_WARNING,
			"the kernel does not give up event channels of before the restore: when "
			"this program ends, its process may stay");
	}
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
		struct xen_port *port;

		HASH_FIND(hh, events->ports, &numbers[i], sizeof(numbers[i]), port);
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
	xenevtchn_unbind(events->handle, (evtchn_port_t)number);
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
	xenevtchn_port_or_error_t number = xenevtchn_bind_unbound_port(events->handle, domid);
	int error = errno;

	if (number >= 0)
		return port_new(events, number, fn, data, port);
	if (error == ENOSPC)
		return no_ports(base->hv);
	hv_log(base->hv, LOG_ERR, "cannot allocate an event channel for domain %u: %s%s", domid,
		strerror(error), error == EPERM ? forbidden : "");
	return -error;
}

int xen_port_bind(struct hv_events *base, uint16_t domid, uint32_t number, hv_port_fn *fn,
	void *data, struct hv_port **port)
{
	struct xen_events *events = events_of(base);
	xenevtchn_port_or_error_t own = xenevtchn_bind_interdomain(events->handle, domid, number);

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
	xenevtchn_unbind(events->handle, base->number);
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
