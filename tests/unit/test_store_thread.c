/* SPDX-License-Identifier: MIT */
/*
 * store_thread.c and store.c on a libxenstore that answers when the test lets it: not at all, late,
 * or at once.  No Xen is needed.
 *
 * A request that nobody lets go on is a hang: the alarm ends the test.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"
#include "xen/xen.h"

#define LIMIT      500   /* ms: of a request that has no answer; at once is sooner */
#define LONG       20000 /* ms: of one that has */
#define TIME_LIMIT 60    /* seconds for all */

/* A libxenstore. */

struct xs_handle {
	int pipe[2]; /* readable: an event of a watch.  There never is one */
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stopped;          /* nothing is answered before it is false */
	unsigned int waiting;  /* requests that wait for that */
	unsigned int requests; /* all there were */
	unsigned int handles;  /* that are open */
	unsigned int watches;  /* requests for one or against one */
	int error;             /* of every request; 0: none */
	bool names_fail;       /* reading a name does with EIO */
	bool signals_blocked;  /* all of them, in the thread of the last request */
} xs = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void note_signals(void)
{
	sigset_t set;

	pthread_sigmask(SIG_SETMASK, NULL, &set);
	xs.signals_blocked = sigismember(&set, SIGTERM) && sigismember(&set, SIGIO);
}

static bool request(void)
{
	int error;

	pthread_mutex_lock(&xs.lock);
	xs.requests++;
	note_signals();
	xs.waiting++;
	pthread_cond_broadcast(&xs.changed);
	while (xs.stopped)
		pthread_cond_wait(&xs.changed, &xs.lock);
	xs.waiting--;
	error = xs.error;
	pthread_mutex_unlock(&xs.lock);
	errno = error;
	return error == 0;
}

static bool watch_request(void)
{
	pthread_mutex_lock(&xs.lock);
	xs.watches++;
	pthread_mutex_unlock(&xs.lock);
	return request();
}

static void count_handles(int more)
{
	pthread_mutex_lock(&xs.lock);
	xs.handles += (unsigned int)more;
	pthread_cond_broadcast(&xs.changed);
	pthread_mutex_unlock(&xs.lock);
}

struct xs_handle *xs_open(unsigned long flags)
{
	struct xs_handle *handle;

	(void)flags;
	if (!request())
		return NULL;
	handle = calloc(1, sizeof(*handle));
	if (!handle || pipe(handle->pipe) < 0)
		abort();
	count_handles(1);
	return handle;
}

/* libxenstore's waits for its request, too. */
void xs_close(struct xs_handle *handle)
{
	if (!handle)
		return;
	pthread_mutex_lock(&xs.lock);
	while (xs.waiting > 0)
		pthread_cond_wait(&xs.changed, &xs.lock);
	pthread_mutex_unlock(&xs.lock);
	close(handle->pipe[0]);
	close(handle->pipe[1]);
	free(handle);
	count_handles(-1);
}

int xs_fileno(struct xs_handle *handle)
{
	return handle->pipe[0];
}

char **xs_check_watch(struct xs_handle *handle)
{
	(void)handle;
	errno = EAGAIN;
	return NULL;
}

void *xs_read(struct xs_handle *handle, xs_transaction_t transaction, const char *path,
	unsigned int *length)
{
	(void)handle;
	(void)transaction;
	if (!request())
		return NULL;
	if (xs.names_fail && strstr(path, "/names/")) {
		errno = EIO;
		return NULL;
	}
	if (length)
		*length = 1;
	return strdup("7");
}

char **xs_directory(struct xs_handle *handle, xs_transaction_t transaction, const char *path,
	unsigned int *count)
{
	char **entries;

	(void)handle;
	(void)transaction;
	(void)path;
	if (!request())
		return NULL;
	entries = calloc(1, sizeof(*entries) + sizeof("9"));
	if (!entries)
		abort();
	*entries = strcpy((char *)(entries + 1), "9");
	*count = 1;
	return entries;
}

bool xs_write(struct xs_handle *handle, xs_transaction_t transaction, const char *path,
	const void *data, unsigned int length)
{
	(void)handle;
	(void)transaction;
	(void)path;
	(void)data;
	(void)length;
	return request();
}

bool xs_mkdir(struct xs_handle *handle, xs_transaction_t transaction, const char *path)
{
	(void)handle;
	(void)transaction;
	(void)path;
	return request();
}

bool xs_rm(struct xs_handle *handle, xs_transaction_t transaction, const char *path)
{
	(void)handle;
	(void)transaction;
	(void)path;
	return request();
}

bool xs_set_permissions(struct xs_handle *handle, xs_transaction_t transaction, const char *path,
	struct xs_permissions *permissions, unsigned int count)
{
	(void)handle;
	(void)transaction;
	(void)path;
	(void)permissions;
	(void)count;
	return request();
}

bool xs_watch(struct xs_handle *handle, const char *path, const char *token)
{
	(void)handle;
	(void)path;
	(void)token;
	return watch_request();
}

bool xs_unwatch(struct xs_handle *handle, const char *path, const char *token)
{
	(void)handle;
	(void)path;
	(void)token;
	return watch_request();
}

/* What the test does with it. */

static void stop(void)
{
	pthread_mutex_lock(&xs.lock);
	xs.stopped = true;
	pthread_mutex_unlock(&xs.lock);
}

static void go_on(void)
{
	pthread_mutex_lock(&xs.lock);
	xs.stopped = false;
	pthread_cond_broadcast(&xs.changed);
	pthread_mutex_unlock(&xs.lock);
}

static unsigned int requests(void)
{
	unsigned int n;

	pthread_mutex_lock(&xs.lock);
	n = xs.requests;
	pthread_mutex_unlock(&xs.lock);
	return n;
}

static unsigned int logged; /* errors */

static void on_log(void *data, int priority, const char *message)
{
	(void)data;
	logged += priority <= LOG_ERR;
	printf("# log: %s\n", message);
}

static struct hv hv = {.log = on_log};

int hv_local_open(const struct hv_config *config, const struct hv *base, struct hv **result)
{
	(void)config;
	(void)base;
	(void)result;
	return -ENOSYS;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool readable(int fd, int ms)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	return poll(&poll_fd, 1, ms) == 1;
}

static struct store_thread *open_thread(unsigned int limit)
{
	struct store_thread *thread;

	if (store_thread_open(&hv, limit, &thread) < 0)
		abort();
	return thread;
}

/* One that has given up. */
static struct store_thread *stuck_thread(void)
{
	struct store_thread *thread = open_thread(LIMIT);

	stop();
	if (store_thread_mkdir(thread, "path") != -ETIMEDOUT)
		abort();
	return thread;
}

/* Until all requests that were given up have their answer, and what they held is closed. */
static void settle(void)
{
	struct store_thread *thread;

	go_on();
	while (store_thread_open(&hv, LONG, &thread) < 0)
		sched_yield();
	store_thread_close(thread);
	pthread_mutex_lock(&xs.lock);
	while (xs.handles > 0)
		pthread_cond_wait(&xs.changed, &xs.lock);
	pthread_mutex_unlock(&xs.lock);
}

static void late(struct store_thread *thread)
{
	go_on();
	if (!readable(store_thread_late_fd(thread), LONG))
		abort();
}

/* The tests. */

static void each_is_answered(void)
{
	const struct xs_permissions nobody = {.id = 1, .perms = XS_PERM_NONE};
	struct store_thread *thread = open_thread(LONG);
	unsigned int length = 0, count = 0;
	char *value = NULL, **entries = NULL;

	ok(store_thread_read(thread, "path", &value, &length) == 0 && length == 1 &&
			strcmp(value, "7") == 0,
		"a value is read");
	ok(store_thread_list(thread, "path", &entries, &count) == 0 && count == 1 &&
			strcmp(entries[0], "9") == 0,
		"a directory is read");
	ok(store_thread_write(thread, "path", "value") == 0 &&
			store_thread_mkdir(thread, "path") == 0 &&
			store_thread_permit(thread, "path", &nobody, 1) == 0 &&
			store_thread_remove(thread, "path") == 0 &&
			store_thread_watch(thread, "path", "token") == 0 &&
			store_thread_unwatch(thread, "path", "token") == 0,
		"and so is all else that xenstore can be asked");
	ok(xs.signals_blocked, "by a thread that takes no signals");
	xs.error = ENOSPC;
	is(store_thread_write(thread, "path", "value"), -ENOSPC, "an error is that of libxenstore");
	xs.error = 0;
	free(value);
	free(entries);
	store_thread_close(thread);
	is(xs.handles, 0, "and when it is closed nothing is left open");
}

static void time_out(void)
{
	struct store_thread *thread = open_thread(LIMIT);
	struct store_thread *other = NULL;
	unsigned int before, length;
	uint64_t start;
	char *value;

	logged = 0;
	stop();
	start = now_ms();
	is(store_thread_read(thread, "path", &value, &length), -ETIMEDOUT,
		"a request that is not answered ends with an error");
	ok(now_ms() - start >= LIMIT, "at the limit, and not before");
	before = requests();
	start = now_ms();
	ok(store_thread_write(thread, "path", "value") == -ETIMEDOUT &&
			store_thread_watch(thread, "path", "token") == -ETIMEDOUT,
		"those after it fail");
	ok(now_ms() - start < LIMIT, "at once");
	is(requests(), before, "and ask xenstore nothing");
	is(logged, 1, "which is said once");
	start = now_ms();
	is(store_thread_open(&hv, LIMIT, &other), -ETIMEDOUT,
		"nor is another connection opened as long as there is such a request");
	ok(now_ms() - start < LIMIT && requests() == before && logged == 1,
		"at once, and without a word");
	ok(!store_thread_late(thread) && !readable(store_thread_late_fd(thread), 0),
		"nothing is late yet");
	late(thread);
	ok(store_thread_late(thread), "an answer that comes after all is noticed, by a descriptor");
	is(store_thread_write(thread, "path", "value"), -ETIMEDOUT,
		"and the connection is not used again");
	is(store_thread_open(&hv, LONG, &other), 0, "another one can be opened");
	is(store_thread_write(other, "path", "value"), 0, "and used");
	store_thread_close(thread);
	store_thread_close(other);
	is(xs.handles, 0, "and all of it closed");
}

static void opening(void)
{
	struct store_thread *thread = NULL;
	uint64_t start = now_ms();

	logged = 0;
	stop();
	ok(store_thread_open(&hv, LIMIT, &thread) == -ETIMEDOUT && !thread,
		"opening ends with an error if xenstore cannot even be reached");
	ok(now_ms() - start >= LIMIT && logged == 1, "at the limit, and says so");
	settle();
	ok(true, "and leaves nothing behind when it can");
	xs.error = EACCES;
	is(store_thread_open(&hv, LONG, &thread), -EACCES, "what libxenstore says is passed on");
	xs.error = 0;
}

static void close_while_stuck(void)
{
	struct store_thread *thread = stuck_thread();
	uint64_t start = now_ms();

	store_thread_close(thread);
	ok(now_ms() - start < LIMIT, "closing does not wait for a request that has no answer");
	is(xs.handles, 1, "its connection stays with that request");
	settle();
	ok(true, "and goes with it");
}

static void close_when_late(void)
{
	struct store_thread *thread = stuck_thread();

	late(thread);
	store_thread_close(thread);
	is(xs.handles, 0, "closing after a late answer leaves nothing open");
}

/* In the kernel nothing ends that wait, not even the end of the process. */
static void no_watch_of_the_dead(void)
{
	struct store_thread *thread = open_thread(LIMIT);

	xs.watches = 0;
	stop();
	is(store_thread_watch(thread, "path", "token"), -ETIMEDOUT, "no watch is set");
	is(xs.watches, 0, "while xenstore does not answer something else");
	store_thread_close(thread);
	settle();
	thread = open_thread(LIMIT);
	xs.watches = 0;
	stop();
	is(store_thread_unwatch(thread, "path", "token"), -ETIMEDOUT, "and none is taken away");
	is(xs.watches, 0, "either");
	store_thread_close(thread);
	settle();
}

/* As xen.c does it. */

static void store_init(struct xen_hv *xen, unsigned int limit)
{
	*xen = (struct xen_hv){.hv = hv, .epoll = -1, .timer = -1, .store_limit = limit};
	TAILQ_INIT(&xen->ready);
	TAILQ_INIT(&xen->locks);
}

static void in_the_store(void)
{
	struct xen_hv xen;
	struct hv_watch *watch;
	uint64_t start;

	store_init(&xen, LIMIT);
	is(xen_store_open(&xen), 0, "the store is opened");
	is(xen.hv.domid, 7, "and knows this domain");
	stop();
	logged = 0;
	is(xen_watch_node(&xen.hv, 77, "default", NULL, NULL, &watch), -EIO,
		"what asks a dead store fails with EIO");
	start = now_ms();
	ok(xen_node_write(&xen.hv, "default", 8, "value") == -EIO &&
			xen_node_remove(&xen.hv, "default", 8) == -EIO &&
			xen_endpoint_create(&xen, "default") == -EIO,
		"and so does what asks it then");
	ok(now_ms() - start < LIMIT && logged == 1, "at once, and without a word more");
	ok(!readable(xen_fd(&xen.hv), 0) && xen_dispatch(&xen.hv) == 0,
		"there is nothing to do meanwhile");
	go_on();
	ok(readable(xen_fd(&xen.hv), LONG), "a late answer wakes whoever waits for the store");
	is(xen_dispatch(&xen.hv), -ESTALE, "and says that all is to be made anew");
	is(xen_dispatch(&xen.hv), -ESTALE, "from then on");
	ok(!hv_lost(&xen.hv), "but not that what was shared is gone");
	xen_store_close(&xen);
	is(xs.handles, 0, "and all of it is closed");
	stop();
	store_init(&xen, LIMIT);
	is(xen_store_open(&xen), -EIO, "a store that is dead from the beginning is an error");
	xen_store_close(&xen);
	settle();
}

static void names(void)
{
	struct hv_name *names = NULL;
	struct xen_hv xen;

	store_init(&xen, LONG);
	if (xen_store_open(&xen) < 0)
		abort();
	xs.names_fail = true;
	ok(xen_names(&xen.hv, NULL, &names) == -EIO && !names,
		"a name that cannot be read is an error, and not a domain without a name");
	xs.names_fail = false;
	xen_store_close(&xen);
}

int main(void)
{
	alarm(TIME_LIMIT);
	each_is_answered();
	time_out();
	opening();
	close_while_stuck();
	close_when_late();
	no_watch_of_the_dead();
	in_the_store();
	names();
	return done_testing();
}
