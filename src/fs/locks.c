/* SPDX-License-Identifier: MIT */
#include "locks.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/file.h>

#include "account.h"

/* What a lock is charged: more than it takes, because each request looks at all of the file. */
#define LOCK_COST  2048
#define RANGE_END  INT64_MAX
#define KIND_SHIFT 17 /* above the domain id and the kind of lock */

/* One that is held, or waited for. */
struct lock {
	uint64_t owner;
	const struct file *file; /* it was set through */
	int64_t start, end;      /* both in it */
	pid_t pid;
	uid_t uid; /* whose memory it is */
	bool write;
	TAILQ_ENTRY(lock) link;

	/* Of one that is waited for. */
	fuse_req_t request;
	struct fs *fs;
	bool interrupted;
};

TAILQ_HEAD(lock_list, lock);

struct locks {
	uint32_t key; /* kind of file, domain, kind of lock */
	struct branch *branch;
	struct lock_list held;
	struct lock_list waiting;
	UT_hash_handle hh;
};

/* The locks of a file. */

static uint32_t key_of(const struct node *node, bool flock)
{
	return (uint32_t)node->kind << KIND_SHIFT | (uint32_t)node->domid << 1 | flock;
}

static struct locks *locks_find(const struct node *node, bool flock)
{
	const uint32_t key = key_of(node, flock);
	struct locks *locks;

	HASH_FIND(hh, node->branch->locks, &key, sizeof(key), locks);
	return locks;
}

static struct locks *locks_get(const struct node *node, bool flock)
{
	struct locks *locks = locks_find(node, flock);

	if (locks)
		return locks;
	locks = calloc(1, sizeof(*locks));
	if (!locks)
		return NULL;
	locks->key = key_of(node, flock);
	locks->branch = node->branch;
	TAILQ_INIT(&locks->held);
	TAILQ_INIT(&locks->waiting);
	HASH_ADD(hh, node->branch->locks, key, sizeof(locks->key), locks);
	if (locks->hh.tbl)
		return locks;
	free(locks);
	return NULL;
}

/* If there is nothing in it. */
static void locks_put(struct locks *locks)
{
	if (!TAILQ_EMPTY(&locks->held) || !TAILQ_EMPTY(&locks->waiting))
		return;
	HASH_DEL(locks->branch->locks, locks);
	free(locks);
}

static int lock_new(struct fs *fs, const struct lock *like, struct lock **result)
{
	struct lock *lock;
	int r = account_take(fs, like->uid, LOCK_COST);

	if (r < 0)
		return -ENOLCK;
	lock = malloc(sizeof(*lock));
	if (!lock) {
		account_give(fs, like->uid, LOCK_COST);
		return -ENOLCK;
	}
	*lock = *like;
	*result = lock;
	return 0;
}

static void lock_free(struct lock_list *list, struct lock *lock)
{
	TAILQ_REMOVE(list, lock, link);
	account_give(lock->fs, lock->uid, LOCK_COST);
	free(lock);
}

/* Ranges. */

static bool overlap(const struct lock *a, const struct lock *b)
{
	return a->start <= b->end && b->start <= a->end;
}

static const struct lock *conflict(const struct locks *locks, const struct lock *wanted)
{
	const struct lock *lock;

	TAILQ_FOREACH (lock, &locks->held, link)
		if (lock->owner != wanted->owner && overlap(lock, wanted) &&
			(lock->write || wanted->write))
			return lock;
	return NULL;
}

/* Takes the range from what the owner holds.  A lock that has it in its middle becomes two. */
static int cut(struct locks *locks, const struct lock *range)
{
	struct lock *lock, *next, *behind;
	int r;

	for (lock = TAILQ_FIRST(&locks->held); lock; lock = next) {
		next = TAILQ_NEXT(lock, link);
		if (lock->owner != range->owner || !overlap(lock, range))
			continue;
		if (lock->start < range->start && lock->end > range->end) {
			r = lock_new(lock->fs, lock, &behind);
			if (r < 0)
				return r;
			behind->start = range->end + 1;
			TAILQ_INSERT_TAIL(&locks->held, behind, link);
			lock->end = range->start - 1;
		} else if (lock->start < range->start) {
			lock->end = range->start - 1;
		} else if (lock->end > range->end) {
			lock->start = range->end + 1;
		} else {
			lock_free(&locks->held, lock);
		}
	}
	return 0;
}

/* Nobody's lock is in the way. */
static int hold(struct locks *locks, const struct lock *wanted)
{
	struct lock *lock;
	int r = lock_new(wanted->fs, wanted, &lock);

	if (r < 0)
		return r;
	r = cut(locks, wanted);
	TAILQ_INSERT_TAIL(&locks->held, lock, link);
	if (r < 0)
		lock_free(&locks->held, lock);
	return r;
}

/* Waiting. */

static void answer(struct locks *locks, struct lock *waiter, int r)
{
	const struct lock range = *waiter;

	lock_free(&locks->waiting, waiter);
	if (r == 0)
		r = hold(locks, &range);
	/* Whoever waited is gone, and does not have it. */
	if (fuse_reply_err(range.request, -r) != 0 && r == 0)
		cut(locks, &range);
}

/* Something was given back. */
static void serve(struct locks *locks)
{
	struct lock *waiter, *next;

	for (waiter = TAILQ_FIRST(&locks->waiting); waiter; waiter = next) {
		next = TAILQ_NEXT(waiter, link);
		if (!waiter->interrupted && !conflict(locks, waiter))
			answer(locks, waiter, 0);
	}
}

/* Under the request's own lock: see held.h. */
static void on_interrupt(fuse_req_t request, void *data)
{
	struct lock *waiter = data;

	(void)request;
	waiter->interrupted = true;
	waiter->fs->lock_interrupted = true;
}

static int wait(struct locks *locks, const struct lock *wanted)
{
	struct lock *waiter;
	int r = lock_new(wanted->fs, wanted, &waiter);

	if (r < 0)
		return r;
	TAILQ_INSERT_TAIL(&locks->waiting, waiter, link);
	fuse_req_interrupt_func(waiter->request, on_interrupt, waiter);
	return -EINPROGRESS;
}

static void finish_interrupted(struct branch *branch)
{
	struct locks *locks, *more;
	struct lock *waiter, *next;

	HASH_ITER (hh, branch->locks, locks, more) {
		for (waiter = TAILQ_FIRST(&locks->waiting); waiter; waiter = next) {
			next = TAILQ_NEXT(waiter, link);
			if (waiter->interrupted)
				answer(locks, waiter, -EINTR);
		}
		locks_put(locks);
	}
}

void locks_finish_interrupted(struct fs *fs)
{
	struct branch *branch;

	if (!fs->lock_interrupted)
		return;
	fs->lock_interrupted = false;
	TAILQ_FOREACH (branch, &fs->branches, link)
		finish_interrupted(branch);
}

/* Requests. */

/* -EINPROGRESS: it will be answered later. */
static int set(struct locks *locks, const struct lock *wanted, bool unlock, bool sleep)
{
	int r;

	if (unlock)
		r = cut(locks, wanted);
	else if (!conflict(locks, wanted))
		r = hold(locks, wanted);
	else
		return sleep ? wait(locks, wanted) : -EAGAIN;
	serve(locks);
	return r;
}

static struct lock wanted_lock(fuse_req_t request, const struct fuse_file_info *fi)
{
	const struct fuse_ctx *caller = fuse_req_ctx(request);

	return (struct lock){
		.owner = fi->lock_owner,
		.file = file_of(fi),
		.end = RANGE_END,
		.pid = caller->pid,
		.uid = caller->uid,
		.request = request,
		.fs = fuse_req_userdata(request),
	};
}

static void set_and_reply(
	const struct node *node, bool flock, struct lock *wanted, bool unlock, bool sleep)
{
	struct locks *locks = node->branch->endpoint ? locks_get(node, flock) : NULL;
	int r = node->branch->endpoint ? -ENOLCK : -ENODEV;

	if (locks) {
		/* As on Linux: who asks for another lock gives up what it has before it waits. */
		r = flock && !unlock ? cut(locks, wanted) : 0;
		if (r == 0)
			r = set(locks, wanted, unlock, sleep);
	}
	if (r != -EINPROGRESS && fuse_reply_err(wanted->request, -r) != 0 && r == 0 && !unlock)
		set(locks, wanted, true, false);
	if (locks)
		locks_put(locks);
}

void locks_flock(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi, int operation)
{
	const struct node *node = node_of(fuse_req_userdata(request), ino);
	struct lock wanted = wanted_lock(request, fi);

	wanted.write = operation & LOCK_EX;
	set_and_reply(node, true, &wanted, operation & LOCK_UN, !(operation & LOCK_NB));
}

static void take_range(struct lock *wanted, const struct flock *lock)
{
	wanted->start = lock->l_start;
	wanted->end = lock->l_len > 0 ? lock->l_start + (lock->l_len - 1) : RANGE_END;
	wanted->pid = lock->l_pid;
	wanted->write = lock->l_type == F_WRLCK;
}

void locks_setlk(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock,
	int sleep)
{
	const struct node *node = node_of(fuse_req_userdata(request), ino);
	struct lock wanted = wanted_lock(request, fi);

	take_range(&wanted, lock);
	set_and_reply(node, false, &wanted, lock->l_type == F_UNLCK, sleep);
}

void locks_getlk(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock)
{
	const struct node *node = node_of(fuse_req_userdata(request), ino);
	const struct locks *locks = locks_find(node, false);
	struct lock wanted = wanted_lock(request, fi);
	const struct lock *other;

	take_range(&wanted, lock);
	other = locks ? conflict(locks, &wanted) : NULL;
	if (!other) {
		lock->l_type = F_UNLCK;
	} else {
		lock->l_type = other->write ? F_WRLCK : F_RDLCK;
		lock->l_whence = SEEK_SET;
		lock->l_start = other->start;
		lock->l_len = other->end == RANGE_END ? 0 : other->end - other->start + 1;
		lock->l_pid = other->pid;
	}
	fuse_reply_lock(request, lock);
}

/* The end. */

void locks_release(struct file *file)
{
	struct locks *locks, *more;
	struct lock *lock, *next;

	HASH_ITER (hh, file->branch->locks, locks, more) {
		for (lock = TAILQ_FIRST(&locks->held); lock; lock = next) {
			next = TAILQ_NEXT(lock, link);
			if (lock->file == file)
				lock_free(&locks->held, lock);
		}
		serve(locks);
		locks_put(locks);
	}
}

void locks_flush(const struct node *node, uint64_t owner)
{
	struct locks *locks = locks_find(node, false);
	const struct lock all = {.owner = owner, .end = RANGE_END};

	if (!locks)
		return;
	cut(locks, &all); /* takes whole locks, which needs no memory */
	serve(locks);
	locks_put(locks);
}

void locks_close(struct branch *branch)
{
	struct locks *locks, *more;

	HASH_ITER (hh, branch->locks, locks, more) {
		while (!TAILQ_EMPTY(&locks->waiting))
			answer(locks, TAILQ_FIRST(&locks->waiting), -ENODEV);
		while (!TAILQ_EMPTY(&locks->held))
			lock_free(&locks->held, TAILQ_FIRST(&locks->held));
		locks_put(locks);
	}
}
