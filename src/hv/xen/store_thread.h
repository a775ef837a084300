/* SPDX-License-Identifier: MIT */
/*
 * store_thread.h: requests to xenstore that have an end.  Private to src/hv/xen/.
 */
#ifndef SIVC_HV_XEN_STORE_THREAD_H
#define SIVC_HV_XEN_STORE_THREAD_H

#include <xenstore.h>

#include "backend.h"

/*
 * How long xenstored may take to answer a request.  The longest of 829 requests in the lab, where
 * dom0 is emulated and has other things to do, took 0.16 s; on the other hand it is how long a
 * process does nothing else, once, when xenstored has ended.
 */
#define XEN_STORE_LIMIT_MS 5000

#define XEN_PATH_SIZE  256 /* a domain's path, a version's, an endpoint's name and a domain id */
#define XEN_DOMID_NODE "domid" /* relative: below our own directory, whichever that is */

struct store_thread;

/*
 * A connection to xenstore.  No function here takes longer than the limit; each returns 0 or what
 * xenstore or libxenstore fails with, as a negative errno.  -ETIMEDOUT: there was no answer within
 * the limit, which is in the log; or to an earlier request, of whoever in this process if a
 * connection is to be opened.  What is given to the caller is for it to free().
 */
int store_thread_open(const struct hv *hv, unsigned int limit_ms, struct store_thread **thread);
void store_thread_close(struct store_thread *thread); /* NULL is fine; its watches go with it */
int store_thread_read(
	struct store_thread *thread, const char *path, char **value, unsigned int *length);
int store_thread_list(
	struct store_thread *thread, const char *path, char ***entries, unsigned int *count);
int store_thread_write(struct store_thread *thread, const char *path, const char *value);
int store_thread_mkdir(struct store_thread *thread, const char *path);
int store_thread_permit(struct store_thread *thread, const char *path,
	const struct xs_permissions *permissions, unsigned int count);
int store_thread_remove(struct store_thread *thread, const char *path);
int store_thread_watch(struct store_thread *thread, const char *path, const char *token);
int store_thread_unwatch(struct store_thread *thread, const char *path, const char *token);
char **store_thread_event(struct store_thread *thread);  /* of a watch; NULL: none */
int store_thread_events_fd(struct store_thread *thread); /* readable: there may be one */
/* A request that was given up has been answered: nothing can be asked here any more.  Its
 * descriptor is readable from then on. */
bool store_thread_late(struct store_thread *thread);
int store_thread_late_fd(const struct store_thread *thread);

#endif
