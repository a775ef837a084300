/* SPDX-License-Identifier: MIT */
/*
 * store_thread.c: what is asked of xenstore has an end, whatever xenstored does.
 *
 * libxenstore knows no time limit: when xenstored in dom0 has ended, or has stopped, a request
 * waits for ever, and so would the one thread of whoever uses us.  So a thread of its own makes the
 * requests, one at a time, and the asker waits for the answer no longer than a limit.  That is the
 * only thing that two threads do here: all else, the events of watches included, is the asker's.
 *
 * What is given up is not over.  The request is in struct store_thread, which belongs to the thread
 * from then on; everything that is asked meanwhile fails at once, so that a dead xenstored costs
 * the limit once.  When the answer comes after all (xenstored was only stopped, or dom0 had no
 * time), it is thrown away.  Nobody knows then what the store looks like (a node that failed to be
 * written may be there), so this connection stays useless, its descriptor becomes readable, and the
 * owner opens another one.
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

#include "store_thread.h"

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

struct store_thread {
	/* Set by store_thread_open. */
	const struct hv *hv; /* for its log; the asker's */
	unsigned int limit;  /* ms */
	int fd;              /* readable: LATE */
	pthread_t id;

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
 * state that no struct hv owns (the other one is sigbus.c's): they outlive the struct hv.
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

static void thread_free(struct store_thread *thread)
{
	xs_close(thread->store);
	if (thread->fd >= 0)
		close(thread->fd);
	pthread_cond_destroy(&thread->changed);
	pthread_mutex_destroy(&thread->lock);
	free(thread);
}

static void answered_late(struct store_thread *thread)
{
	const uint64_t one = 1;

	free(thread->request.answer);
	thread->request.answer = NULL;
	thread->state = LATE;
	atomic_fetch_sub(&given_up, 1);
	if (write(thread->fd, &one, sizeof(one)) < 0)
		abort(); /* an eventfd that was never written to takes a one */
}

/* The lock is held before and after. */
static void answer(struct store_thread *thread)
{
	pthread_mutex_unlock(&thread->lock);
	errno = 0;
	thread->request.result = thread->request.fn(&thread->store, &thread->request);
	pthread_mutex_lock(&thread->lock);
	if (thread->state == GIVEN_UP)
		answered_late(thread);
	else
		thread->state = ANSWERED;
	pthread_cond_signal(&thread->changed);
}

static void *run(void *data)
{
	struct store_thread *thread = data;
	bool orphan;

	pthread_mutex_lock(&thread->lock);
	while (!thread->closed)
		if (thread->state == ASKED)
			answer(thread);
		else
			pthread_cond_wait(&thread->changed, &thread->lock);
	orphan = thread->orphan;
	pthread_mutex_unlock(&thread->lock);
	if (orphan)
		thread_free(thread);
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

static int give_up(struct store_thread *thread)
{
	thread->state = GIVEN_UP;
	atomic_fetch_add(&given_up, 1);
	hv_log(thread->hv, LOG_ERR,
		"xenstore has not answered for %u ms: is xenstored running in dom0?  Until it "
		"answers, what has to ask it fails with EIO; messages between domains that are "
		"linked go on",
		thread->limit);
	return -ETIMEDOUT;
}

/* The request is filled in, and the lock is held. */
static int wait_for_answer(struct store_thread *thread)
{
	struct timespec end = after(thread->limit);
	int error = 0;

	thread->state = ASKED;
	pthread_cond_signal(&thread->changed);
	while (thread->state == ASKED && error == 0)
		error = pthread_cond_timedwait(&thread->changed, &thread->lock, &end);
	if (thread->state == ASKED)
		return give_up(thread);
	thread->state = IDLE;
	return thread->request.result;
}

/* `filled` has all that the request needs, but for its path and text. */
static int put(struct store_thread *thread, const struct request *filled, const char *path,
	const char *text)
{
	int r = -ETIMEDOUT;

	if (strlen(path) >= XEN_PATH_SIZE || strlen(text) >= TEXT_SIZE)
		return -E2BIG;
	pthread_mutex_lock(&thread->lock);
	if (thread->state == IDLE) {
		thread->request = *filled;
		strcpy(thread->request.path, path);
		strcpy(thread->request.text, text);
		r = wait_for_answer(thread);
	}
	pthread_mutex_unlock(&thread->lock);
	return r;
}

static int put_plain(
	struct store_thread *thread, request_fn *fn, const char *path, const char *text)
{
	return put(thread, &(struct request){.fn = fn}, path, text);
}

int store_thread_read(
	struct store_thread *thread, const char *path, char **value, unsigned int *length)
{
	int r = put_plain(thread, request_read, path, "");

	if (r < 0)
		return r;
	*value = thread->request.answer;
	*length = thread->request.length;
	return 0;
}

int store_thread_list(
	struct store_thread *thread, const char *path, char ***entries, unsigned int *count)
{
	int r = put_plain(thread, request_list, path, "");

	if (r < 0)
		return r;
	*entries = thread->request.answer;
	*count = thread->request.count;
	return 0;
}

int store_thread_write(struct store_thread *thread, const char *path, const char *value)
{
	return put_plain(thread, request_write, path, value);
}

int store_thread_mkdir(struct store_thread *thread, const char *path)
{
	return put_plain(thread, request_mkdir, path, "");
}

int store_thread_permit(struct store_thread *thread, const char *path,
	const struct xs_permissions *permissions, unsigned int count)
{
	struct request filled = {.fn = request_permit, .count = count};

	if (count > PERMISSIONS_MAX)
		return -E2BIG;
	memcpy(filled.permissions, permissions, count * sizeof(*permissions));
	return put(thread, &filled, path, "");
}

int store_thread_remove(struct store_thread *thread, const char *path)
{
	return put_plain(thread, request_remove, path, "");
}

int store_thread_watch(struct store_thread *thread, const char *path, const char *token)
{
	return put_plain(thread, request_watch, path, token);
}

int store_thread_unwatch(struct store_thread *thread, const char *path, const char *token)
{
	return put_plain(thread, request_unwatch, path, token);
}

char **store_thread_event(struct store_thread *thread)
{
	return xs_check_watch(thread->store);
}

int store_thread_events_fd(struct store_thread *thread)
{
	int fd = xs_fileno(thread->store);

	return fd < 0 ? failed() : fd;
}

int store_thread_late_fd(const struct store_thread *thread)
{
	return thread->fd;
}

bool store_thread_late(struct store_thread *thread)
{
	bool late;

	pthread_mutex_lock(&thread->lock);
	late = thread->state == LATE;
	pthread_mutex_unlock(&thread->lock);
	return late;
}

/*
 * Opening and closing.
 */

static int init(struct store_thread *thread)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&thread->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&thread->changed, &attr);
	pthread_condattr_destroy(&attr);
	thread->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return thread->fd < 0 ? -errno : 0;
}

static int thread_start(struct store_thread *thread)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread->id, NULL, run, thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}

int store_thread_open(const struct hv *hv, unsigned int limit_ms, struct store_thread **result)
{
	struct store_thread *thread;
	int r;

	if (atomic_load(&given_up) > 0)
		return -ETIMEDOUT;
	thread = calloc(1, sizeof(*thread));
	if (!thread)
		return -ENOMEM;
	thread->hv = hv;
	thread->limit = limit_ms;
	r = init(thread);
	if (r == 0)
		r = thread_start(thread);
	if (r < 0) {
		thread_free(thread);
		return r;
	}
	r = put_plain(thread, request_open, "", "");
	if (r < 0) {
		store_thread_close(thread);
		return r;
	}
	*result = thread;
	return 0;
}

void store_thread_close(struct store_thread *thread)
{
	pthread_t id;
	bool orphan;

	if (!thread)
		return;
	pthread_mutex_lock(&thread->lock);
	id = thread->id;
	orphan = thread->state == GIVEN_UP;
	thread->orphan = orphan;
	thread->closed = true;
	pthread_cond_signal(&thread->changed);
	pthread_mutex_unlock(&thread->lock);
	if (orphan) {
		pthread_detach(id); /* and it may have freed all by now */
		return;
	}
	pthread_join(id, NULL);
	thread_free(thread);
}
