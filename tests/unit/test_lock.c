/* SPDX-License-Identifier: MIT */
/*
 * The lock of an endpoint on Xen, and of the registry: one holder, and nobody keeps that one out.
 */
#include "lock.h"

#include <fcntl.h>

/* Of this test: below a new directory, which is the current one. */
#undef LOCK_DIR
#define LOCK_DIR "locks"

/* Between opening the file and locking it. */
static void (*before_locking)(void);

#define fcntl(...) (before_locking ? before_locking() : (void)0, (fcntl)(__VA_ARGS__))
#include "../../src/hv/lock.c"
#undef fcntl

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "tap.h"

#define NAME   "default"
#define PATH   LOCK_DIR "/" NAME
#define NOBODY 65534

static void test_one_holder(void)
{
	pid_t holder = 0;
	int lock = lock_take(NAME, &holder), again;

	ok(lock >= 0, "a lock can be taken");
	is(lock_take(NAME, &holder), -EBUSY, "by one, also within a process");
	is(holder, getpid(), "who is told of the other");
	lock_release(lock);
	again = lock_take(NAME, &holder);
	ok(again >= 0, "and again when it was released");
	lock_release(again);
}

static int take_and_wait(int ready)
{
	pid_t holder;

	if (lock_take(NAME, &holder) < 0 || write(ready, "", 1) != 1)
		return 1;
	for (;;)
		pause();
}

static void test_kill(void)
{
	pid_t holder = 0, pid;
	int ends[2], lock;
	char byte;

	if (pipe(ends) < 0)
		return;
	pid = fork();
	if (pid == 0)
		_exit(take_and_wait(ends[1]));
	is(read(ends[0], &byte, 1), 1, "another process takes it");
	is(lock_take(NAME, &holder), -EBUSY, "which holds it");
	is(holder, pid, "and is named");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	lock = lock_take(NAME, &holder);
	ok(lock >= 0, "when it is killed the lock is free");
	lock_release(lock);
}

static int planted(void)
{
	pid_t holder;
	int lock = lock_take(NAME, &holder);

	lock_release(lock);
	unlink(PATH);
	return lock < 0 ? lock : 0;
}

static void test_planted(void)
{
	struct stat st;
	int fd = open("precious", O_CREAT | O_WRONLY, 0600);

	is(write(fd, "precious", 8), 8, "a file that somebody means");
	close(fd);
	unlink(PATH);
	is(symlink("../precious", PATH), 0, "in the place of the lock is a link to it");
	is(planted(), -ELOOP, "that is refused");
	is(link("precious", PATH), 0, "or another name of it");
	is(planted(), -EINVAL, "that is refused");
	ok(stat("precious", &st) == 0 && st.st_size == 8, "and it stays as it was");
	is(mkfifo(PATH, 0600), 0, "or a FIFO");
	is(planted(), -EINVAL, "that is refused");
	is(planted(), 0, "a file that is not there is made");
}

static int files_taken;

/* Somebody takes the file away, and puts another one there. */
static void take_away(void)
{
	unlink(PATH);
	close(open(PATH, O_CREAT | O_WRONLY, LOCK_MODE));
	if (++files_taken == 1)
		before_locking = NULL;
}

static void test_taken_away(void)
{
	pid_t holder;
	int lock, other;

	files_taken = 0;
	before_locking = take_away;
	lock = lock_take(NAME, &holder);
	ok(lock >= 0 && files_taken == 1, "a file that was taken away before it was locked");
	other = lock_take(NAME, &holder);
	is(other, -EBUSY, "is not what is locked: a second process does not get the lock");
	lock_release(other);
	lock_release(lock);
	files_taken = 1;
	before_locking = take_away;
	is(lock_take(NAME, &holder), -ESTALE, "one that is taken away all the time is an error");
	before_locking = NULL;
	unlink(PATH);
}

static void test_others_file(void)
{
	if (geteuid() != 0) {
		skip("a file of another user", "not root");
		return;
	}
	close(open(PATH, O_CREAT | O_WRONLY, LOCK_MODE));
	is(chown(PATH, NOBODY, NOBODY), 0, "in the place of the lock is a file of another user");
	is(planted(), -EPERM, "that is refused");
}

/* A lock for reading is enough to keep those out who want to write. */
static int keep_out(void)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	int fd;

	if (setegid(NOBODY) < 0 || seteuid(NOBODY) < 0)
		return 2;
	fd = open(PATH, O_RDONLY);
	return fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0;
}

static void test_other_users(void)
{
	pid_t holder, pid;
	int status;

	if (geteuid() != 0) {
		skip("other users", "not root");
		return;
	}
	umask(0);
	lock_release(lock_take(NAME, &holder));
	pid = fork();
	if (pid == 0)
		_exit(keep_out());
	waitpid(pid, &status, 0);
	is(status, 0, "another user cannot lock it, whatever umask is");
}

int main(void)
{
	char dir[] = "/tmp/sivc-lock-XXXXXX";

	if (!mkdtemp(dir) || chdir(dir) < 0 || chmod(dir, 0755) < 0)
		return EXIT_FAILURE;
	test_one_holder();
	test_kill();
	test_planted();
	test_taken_away();
	test_others_file();
	test_other_users();
	unlink(PATH);
	unlink("precious");
	rmdir(LOCK_DIR);
	rmdir(dir);
	return done_testing();
}
