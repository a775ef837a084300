/* SPDX-License-Identifier: MIT */
/*
 * fake_hv.h: a hypervisor in memory, for tests that must decide what happens between any two steps.
 *
 * It is an implementation of the seam (src/hv/backend.h) that takes the place of the local one:
 * whoever links fake_hv.c gets it for backend "local".  All of its domains live in one process and
 * in one world.  A page is granted to one domain, read-only or for writing, and a mapping has that
 * protection and a guard page on either side, so that an access that is not allowed, or one byte
 * too far, ends the process.
 *
 * The adversary is the test: it gets every page by its reference (fake_page), may act before each
 * call of the seam (`before`), can make any call fail (`fail_at`), can kill a domain's process
 * between any two instructions (fake_kill), save and restore a domain (fake_restore), and have the
 * store answer it too late (fake_late).
 *
 * One world at a time, one thread; other threads may write to the pages alone.
 */
#ifndef SIVC_FAKE_HV_H
#define SIVC_FAKE_HV_H

#include "hv.h"

#define FAKE_PAGES 4096u /* of the world; a share that does not fit is -ENOSPC */

enum fake_call {
	/* Those that can fail, */
	FAKE_OPEN,
	FAKE_SHARE,
	FAKE_MAP,
	FAKE_EVENTS,
	FAKE_ALLOC,
	FAKE_BIND,
	FAKE_SERVE,
	FAKE_NODE_WRITE,
	FAKE_NODE_REMOVE,
	FAKE_NODE_READ,
	FAKE_WATCH,
	FAKE_NAMES,
	FAKE_DOMAINS,
	/* and those that cannot. */
	FAKE_UNSHARE,
	FAKE_UNMAP,
	FAKE_NOTIFY,
	FAKE_UNMASK,
	FAKE_EVENTS_DISPATCH,
	FAKE_STORE_DISPATCH,
	FAKE_CALLS,
};

#define FAKE_CAN_FAIL(call) ((call) <= FAKE_DOMAINS)

/* All of it may be set by the test at any time. */
struct fake_control {
	/* Called before each call, on behalf of `domid`; from within itself only if it `nests`. */
	void (*before)(void *data, enum fake_call call, uint16_t domid);
	void *before_data;
	bool nests;

	/* The `fail_at`-th call from now that can fail does, with `fail_error`.  0: none. */
	unsigned long fail_at;
	int fail_error;
	enum fake_call failed; /* which one it was; FAKE_CALLS: none yet */

	/*
	 * How the end of a process is seen.  true: as on Xen, where the alive bytes are cleared and
	 * signalled, and its nodes stay; false: as on the local backend, where its nodes go, and
	 * the watches on them fire.
	 */
	bool xen;

	unsigned long calls[FAKE_CALLS];
};

extern struct fake_control fake;

/* A new, empty world.  What is left of the old one is taken away. */
void fake_reset(void);
/* Objects that were made and not freed.  */
unsigned int fake_leaks(void);

/* The page behind a reference, whoever owns it and however it is granted.  NULL: none. */
void *fake_page(uint32_t ref);
/* Where that page's byte really is, whoever maps it at `p`.  NULL: nobody does. */
void *fake_physical(const void *p);
/* Of memory that somebody shares or maps: the reference of its first page. */
uint32_t fake_ref(const void *memory);

/*
 * kill -9: from here on nothing that the domain does is seen by anybody; its memory is a private
 * copy, so that the program's objects can be freed.
 */
void fake_kill(struct hv *hv);

/*
 * As on Xen: what this process had of the hypervisor is gone, what was mapped from others is
 * zeros, and the next hv_open is that of domain `domid`.
 */
void fake_restore(struct hv *hv, uint16_t domid);

/* As on Xen: the store has answered it too late, and says nothing to it any more. */
void fake_late(struct hv *hv);

/* The store in the hands of the adversary: any value, for any reader.  NULL: removes it. */
void fake_node_set(uint16_t owner, const char *endpoint, uint16_t reader, const char *value);
/* Who has which name: adds or (domid < 0) removes. */
void fake_name_set(const char *name, int domid);

#endif
