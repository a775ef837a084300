/* SPDX-License-Identifier: MIT */
/*
 * xen_ask.c: what is asked of xenstore has an end, whatever xenstored does.
 *
 * libxenstore knows no time limit: when xenstored in dom0 has ended, or has stopped, a request
 * waits for ever, and so would the one thread of whoever uses us.  So a thread of its own makes the
 * requests, one at a time, and the asker waits for the answer no longer than a limit.  That is the
 * only thing that two threads do here: all else, the events of watches included, is the asker's.
 *
 * What is given up is not over.  The request is in struct xen_ask, which belongs to the thread from
 * then on; everything that is asked meanwhile fails at once, so that a dead xenstored costs the
 * limit once.  When the answer comes after all (xenstored was only stopped, or dom0 had no time),
 * it is thrown away.  Nobody knows then what the store looks like (a node that failed to be written
 * may be there), so this connection stays useless, its descriptor becomes readable, and the owner
 * opens another one.
 *
 * Nothing can end a request that waits: xs_close() waits for a mutex that the request holds.  So
 * whoever closes while one is under way leaves everything to the thread, which frees it if there is
 * an answer; if there never is, the end of the process does.  As long as there is such a request in
 * this process, nobody else opens a connection, so there is at most one a connection that was there
 * before.
 *
 * A process can end while its thread waits, but for one case: without a socket to xenstored (in a
 * guest; in dom0 when xenstored has ended) the kernel makes and frees watches itself, and waits for
 * xenstored so that no signal ends it.  Therefore xenstored is asked for something else before.
 *
 * All signals are blocked in the thread: they are the asker's.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "xen.h"

#define NSEC_PER_SEC 1000000000L

#define TEXT_SIZE       2049 /* a node has 2048 bytes, if xenstored was not told otherwise */
#define PERMISSIONS_MAX 2

struct request;
typedef int request_fn(struct xs_handle **store, struct request *request);

/* Written by the asker before it is put to the thread, but for the answer. */
struct request {
	request_fn *fn;
	char path[XEN_PATH_SIZE];
	char text[TEXT_SIZE]; /* a value or a token */
	struct xs_permissions permissions[PERMISSIONS_MAX];
	unsigned int count; /* of permissions; with a list as the answer, of its entries */

	void *answer; /* malloced */
	unsigned int length;
	int result; /* 0 or -errno */
};

enum state {
	IDLE,
	ASKED,    /* the thread has the request */
	ANSWERED, /* and is done with it */
	GIVEN_UP, /* it is not, and the asker waits no more */
	LATE,     /* it is, but that is of no use any more */
};

struct xen_ask {
	/* Set by xen_ask_open. */
	const struct hv *hv; /* for its log; the asker's */
	unsigned int limit;  /* ms */
	int fd;              /* readable: LATE */
	pthread_t thread;

	/* Under the lock.  Only one of the two ever waits for `changed`. */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum state state;
	bool closed;
	bool orphan; /* closed by an asker that could not wait: the thread frees all */

	struct xs_handle *store; /* set by the first request; libxenstore has locks of its own */
	struct request request;  /* the thread's while it is ASKED or GIVEN_UP, else the asker's */
};

/*
 * Requests of this process that were given up and have no answer yet.  One of the two pieces of
 * state that no struct hv owns (the other one is guard.c's): they outlive the struct hv.
 */
static atomic_uint given_up;

/*
 * In the thread.
 */

/* Some failures of libxenstore's own set no errno. */
static int failed(void)
{
	return errno > 0 ? -errno : -EIO;
}

static int request_open(struct xs_handle **store, struct request *request)
{
	(void)request;
	*store = xs_open(0);
	return *store ? 0 : failed();
}

static int request_read(struct xs_handle **store, struct request *request)
{
	request->answer = xs_read(*store, XBT_NULL, request->path, &request->length);
	return request->answer ? 0 : failed();
}

static int request_list(struct xs_handle **store, struct request *request)
{
	request->answer = xs_directory(*store, XBT_NULL, request->path, &request->count);
	return request->answer ? 0 : failed();
}

static int request_write(struct xs_handle **store, struct request *request)
{
	unsigned int length = (unsigned int)strlen(request->text);

	return xs_write(*store, XBT_NULL, request->path, request->text, length) ? 0 : failed();
}

static int request_mkdir(struct xs_handle **store, struct request *request)
{
	return xs_mkdir(*store, XBT_NULL, request->path) ? 0 : failed();
}

static int request_permit(struct xs_handle **store, struct request *request)
{
	return xs_set_permissions(
		       *store, XBT_NULL, request->path, request->permissions, request->count)
		       ? 0
		       : failed();
}

static int request_remove(struct xs_handle **store, struct request *request)
{
	return xs_rm(*store, XBT_NULL, request->path) ? 0 : failed();
}

/* Who waits for this can be ended by a signal; who waits for a watch cannot. */
static int answers(struct xs_handle *store)
{
	char *domid = xs_read(store, XBT_NULL, XEN_DOMID_NODE, NULL);

	if (!domid)
		return failed();
	free(domid);
	return 0;
}

/*
 * The quota of watches needs care: a guest's kernel answers a watch that exceeds it by failing the
 * write to /dev/xen/xenbus, and libxenstore then gives the whole connection up.  So a watch is
 * tried on a connection of its own first.
 */
static int watch_try(const char *path)
{
	struct xs_handle *store = xs_open(0);
	int r = 0;

	if (!store)
		return failed();
	if (xs_watch(store, path, "try"))
		xs_unwatch(store, path, "try");
	else
		r = failed();
	xs_close(store);
	return r;
}

static int request_watch(struct xs_handle **store, struct request *request)
{
	int r = answers(*store);

	if (r == 0)
		r = watch_try(request->path);
	if (r == 0 && !xs_watch(*store, request->path, request->text))
		r = failed();
	return r;
}

static int request_unwatch(struct xs_handle **store, struct request *request)
{
	int r = answers(*store);

	if (r == 0 && !xs_unwatch(*store, request->path, request->text))
		r = failed();
	return r;
}

static void ask_free(struct xen_ask *ask)
{
	xs_close(ask->store);
	if (ask->fd >= 0)
		close(ask->fd);
	pthread_cond_destroy(&ask->changed);
	pthread_mutex_destroy(&ask->lock);
	free(ask);
}

static void answered_late(struct xen_ask *ask)
{
	const uint64_t one = 1;

	free(ask->request.answer);
	ask->request.answer = NULL;
	ask->state = LATE;
	atomic_fetch_sub(&given_up, 1);
	if (write(ask->fd, &one, sizeof(one)) < 0)
		abort(); /* an eventfd that was never written to takes a one */
}

/* The lock is held before and after. */
static void answer(struct xen_ask *ask)
{
	pthread_mutex_unlock(&ask->lock);
	errno = 0;
	ask->request.result = ask->request.fn(&ask->store, &ask->request);
	pthread_mutex_lock(&ask->lock);
	if (ask->state == GIVEN_UP)
		answered_late(ask);
	else
		ask->state = ANSWERED;
	pthread_cond_signal(&ask->changed);
}

static void *run(void *data)
{
	struct xen_ask *ask = data;
	bool orphan;

	pthread_mutex_lock(&ask->lock);
	while (!ask->closed)
		if (ask->state == ASKED)
			answer(ask);
		else
			pthread_cond_wait(&ask->changed, &ask->lock);
	orphan = ask->orphan;
	pthread_mutex_unlock(&ask->lock);
	if (orphan)
		ask_free(ask);
	return NULL;
}

/*
 * The asker.
 */

static struct timespec after(unsigned int ms)
{
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += ms / 1000;
	end.tv_nsec += ms % 1000 * 1000000L;
	if (end.tv_nsec >= NSEC_PER_SEC) {
		end.tv_sec++;
		end.tv_nsec -= NSEC_PER_SEC;
	}
	return end;
}

static int give_up(struct xen_ask *ask)
{
	ask->state = GIVEN_UP;
	atomic_fetch_add(&given_up, 1);
	hv_log(ask->hv, LOG_ERR,
		"xenstore has not answered for %u ms: is xenstored running in dom0?  Until it "
		"answers, what has to ask it fails with EIO; messages between domains that are "
		"linked go on",
		ask->limit);
	return -ETIMEDOUT;
}

/* The request is filled in, and the lock is held. */
static int wait_for_answer(struct xen_ask *ask)
{
	struct timespec end = after(ask->limit);
	int error = 0;

	ask->state = ASKED;
	pthread_cond_signal(&ask->changed);
	while (ask->state == ASKED && error == 0)
		error = pthread_cond_timedwait(&ask->changed, &ask->lock, &end);
	if (ask->state == ASKED)
		return give_up(ask);
	ask->state = IDLE;
	return ask->request.result;
}

/* `filled` has all that the request needs, but for its path and text. */
static int put(
	struct xen_ask *ask, const struct request *filled, const char *path, const char *text)
{
	int r = -ETIMEDOUT;

	if (strlen(path) >= XEN_PATH_SIZE || strlen(text) >= TEXT_SIZE)
		return -E2BIG;
	pthread_mutex_lock(&ask->lock);
	if (ask->state == IDLE) {
		ask->request = *filled;
		strcpy(ask->request.path, path);
		strcpy(ask->request.text, text);
		r = wait_for_answer(ask);
	}
	pthread_mutex_unlock(&ask->lock);
	return r;
}

static int ask_plain(struct xen_ask *ask, request_fn *fn, const char *path, const char *text)
{
	return put(ask, &(struct request){.fn = fn}, path, text);
}

int xen_ask_read(struct xen_ask *ask, const char *path, char **value, unsigned int *length)
{
	int r = ask_plain(ask, request_read, path, "");

	if (r < 0)
		return r;
	*value = ask->request.answer;
	*length = ask->request.length;
	return 0;
}

int xen_ask_list(struct xen_ask *ask, const char *path, char ***entries, unsigned int *count)
{
	int r = ask_plain(ask, request_list, path, "");

	if (r < 0)
		return r;
	*entries = ask->request.answer;
	*count = ask->request.count;
	return 0;
}

int xen_ask_write(struct xen_ask *ask, const char *path, const char *value)
{
	return ask_plain(ask, request_write, path, value);
}

int xen_ask_mkdir(struct xen_ask *ask, const char *path)
{
	return ask_plain(ask, request_mkdir, path, "");
}

int xen_ask_permit(struct xen_ask *ask, const char *path, const struct xs_permissions *permissions,
	unsigned int count)
{
	struct request filled = {.fn = request_permit, .count = count};

	if (count > PERMISSIONS_MAX)
		return -E2BIG;
	memcpy(filled.permissions, permissions, count * sizeof(*permissions));
	return put(ask, &filled, path, "");
}

int xen_ask_remove(struct xen_ask *ask, const char *path)
{
	return ask_plain(ask, request_remove, path, "");
}

int xen_ask_watch(struct xen_ask *ask, const char *path, const char *token)
{
	return ask_plain(ask, request_watch, path, token);
}

int xen_ask_unwatch(struct xen_ask *ask, const char *path, const char *token)
{
	return ask_plain(ask, request_unwatch, path, token);
}

char **xen_ask_event(struct xen_ask *ask)
{
	return xs_check_watch(ask->store);
}

int xen_ask_events_fd(struct xen_ask *ask)
{
	int fd = xs_fileno(ask->store);

	return fd < 0 ? failed() : fd;
}

int xen_ask_late_fd(const struct xen_ask *ask)
{
	return ask->fd;
}

bool xen_ask_late(struct xen_ask *ask)
{
	bool late;

	pthread_mutex_lock(&ask->lock);
	late = ask->state == LATE;
	pthread_mutex_unlock(&ask->lock);
	return late;
}

/*
 * Opening and closing.
 */

static int init(struct xen_ask *ask)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&ask->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&ask->changed, &attr);
	pthread_condattr_destroy(&attr);
	ask->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return ask->fd < 0 ? -errno : 0;
}

static int thread_start(struct xen_ask *ask)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&ask->thread, NULL, run, ask);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}

int xen_ask_open(const struct hv *hv, unsigned int limit_ms, struct xen_ask **result)
{
	struct xen_ask *ask;
	int r;

	if (atomic_load(&given_up) > 0)
		return -ETIMEDOUT;
	ask = calloc(1, sizeof(*ask));
	if (!ask)
		return -ENOMEM;
	ask->hv = hv;
	ask->limit = limit_ms;
	r = init(ask);
	if (r == 0)
		r = thread_start(ask);
	if (r < 0) {
		ask_free(ask);
		return r;
	}
	r = ask_plain(ask, request_open, "", "");
	if (r < 0) {
		xen_ask_close(ask);
		return r;
	}
	*result = ask;
	return 0;
}

void xen_ask_close(struct xen_ask *ask)
{
	pthread_t thread;
	bool orphan;

	if (!ask)
		return;
	pthread_mutex_lock(&ask->lock);
	thread = ask->thread;
	orphan = ask->state == GIVEN_UP;
	ask->orphan = orphan;
	ask->closed = true;
	pthread_cond_signal(&ask->changed);
	pthread_mutex_unlock(&ask->lock);
	if (orphan) {
		pthread_detach(thread); /* and it may have freed all by now */
		return;
	}
	pthread_join(thread, NULL);
	ask_free(ask);
}
