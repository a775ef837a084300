/* SPDX-License-Identifier: MIT */
/*
 * The lock of an endpoint on Xen, and of the registry: one holder, and nobody keeps that one out.
 */
#include "../../src/common/lockfile.c"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "tap.h"

/* Below a new directory, which is the current one. */
#define DIR    "locks"
#define NAME   "default"
#define PATH   DIR "/" NAME
#define NOBODY 65534

static void test_one_holder(void)
{
	pid_t holder = 0;
	int lock = lockfile_take(DIR, NAME, &holder), again;

	ok(lock >= 0, "a lock can be taken");
	is(lockfile_take(DIR, NAME, &holder), -EBUSY, "by one, also within a process");
	is(holder, getpid(), "who is told of the other");
	lockfile_release(lock);
	again = lockfile_take(DIR, NAME, &holder);
	ok(again >= 0, "and again when it was released");
	lockfile_release(again);
}

static int take_and_wait(int ready)
{
	pid_t holder;

	if (lockfile_take(DIR, NAME, &holder) < 0 || write(ready, "", 1) != 1)
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
	is(lockfile_take(DIR, NAME, &holder), -EBUSY, "which holds it");
	is(holder, pid, "and is named");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	lock = lockfile_take(DIR, NAME, &holder);
	ok(lock >= 0, "when it is killed the lock is free");
	lockfile_release(lock);
}

static int planted(void)
{
	pid_t holder;
	int lock = lockfile_take(DIR, NAME, &holder);

	lockfile_release(lock);
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
	lockfile_release(lockfile_take(DIR, NAME, &holder));
	pid = fork();
	if (pid == 0)
		_exit(keep_out());
	waitpid(pid, &status, 0);
	is(status, 0, "another user cannot lock it, whatever umask is");
}

/* Root can open the other's file; who could not is kept out by its mode. */
static void test_owner(void)
{
	pid_t holder;

	if (geteuid() != 0) {
		skip("a lock of another user", "not root");
		return;
	}
	lockfile_release(lockfile_take(DIR, NAME, &holder));
	is(chown(PATH, NOBODY, NOBODY), 0, "a file in the place of the lock is another user's");
	is(planted(), -EPERM, "that is refused");
}

static void test_name(void)
{
	int fd = lock_open(AT_FDCWD, PATH), other;

	ok(fd >= 0 && lock_has_name(fd, AT_FDCWD, PATH), "a lock's file has the lock's name");
	unlink(PATH);
	ok(!lock_has_name(fd, AT_FDCWD, PATH), "until the name is taken away");
	other = lock_open(AT_FDCWD, PATH);
	ok(other >= 0 && !lock_has_name(fd, AT_FDCWD, PATH), "or given to another file");
	close(other);
	close(fd);
}

int main(void)
{
	char dir[] = "/tmp/sivc-lock-XXXXXX";

	if (!mkdtemp(dir) || chdir(dir) < 0 || chmod(dir, 0755) < 0)
		return EXIT_FAILURE;
	test_one_holder();
	test_kill();
	test_planted();
	test_other_users();
	test_owner();
	test_name();
	unlink(PATH);
	unlink("precious");
	rmdir(DIR);
	rmdir(dir);
	return done_testing();
}
