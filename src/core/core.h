/* SPDX-License-Identifier: MIT */
/*
 * core.h: a domain's connection to its hypervisor.
 *
 * Who calls whom, from the top:
 *
 *	wait		sivc_send and sivc_receive, which wait
 *	sivc		opening, closing, the loop
 *	restore		the hypervisor is opened again
 *	endpoint	its life
 *	permissions	the acl in force
 *	receiver	whose turn it is, and the waiters for a message
 *	inbound		what one domain has for us
 *	sender		the lines of waiting sends
 *	outbound	what one domain lets us send
 *	channel		a ring and its event channel
 *	spin		which channels are polled, and for how long
 *	connection	what xenstore says, names, the log
 *	ring, page, acl, loop, limit
 *
 * A function calls those below it.  What comes from below comes as a task (loop.h), or through a
 * function that was handed down.  One file writes a group of fields.
 */
#ifndef SIVC_CORE_H
#define SIVC_CORE_H

#include <sivc/sivc.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "hv.h"
#include "limit.h"
#include "loop.h"
#include "spin.h"

LIST_HEAD(endpoints, sivc_endpoint);

struct sivc {
	/* sivc.c */
	pid_t pid;               /* of the process that it belongs to */
	struct hv_config config; /* its strings are ours */
	uint32_t ring;           /* bytes, of the first SIVC_RINGS_LARGE; */
	uint32_t ring_many;      /* of the others */
	uint32_t max_msg;        /* bytes */
	struct loop loop;
	struct spin spin;

	/* connection.c, restore.c */
	struct hv *hv;
	struct loop_fd *hv_handle; /* of the store; NULL: until restore.c is done */
	bool lost;                 /* this domain was restored: what hv has is gone */
	struct loop_task restore;
	struct loop_timer restore_again;
	char name[HV_NAME_MAX + 1];

	/* name_cache.c */
	struct name_cache {
		struct hv_name *names;
		int count; /* or the error */
		struct limit limit;
	} names;

	/* report.c */
	struct limit reports;
	unsigned long reports_left_out;

	/* endpoint.c */
	struct endpoints endpoints;

	/* inbound.c */
	unsigned int rings_large; /* that are open */

	/* sivc.c: from sivc_close on. */
	bool closed;
	struct loop_object object;
};

#endif
