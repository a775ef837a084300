/* SPDX-License-Identifier: MIT */
/*
 * What root without capabilities can still open.  Landlock is sivcfs' own and no part of libsivc,
 * so it is built into this test.  Each attempt is made by a process of its own, which has the
 * rules.
 */
#define SIVC_HAVE_LANDLOCK 1
#include "../../src/fs/landlock.c"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "tap.h"

#define NEW 0600

/* The errno of an attempt, 0 if it succeeded. */
static int attempt(int (*fn)(const char *path), const char *path)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		/* As privilege_limit() does, so that it may be root's or not. */
		if (syscall(SYS_prctl, 38 /* PR_SET_NO_NEW_PRIVS */, 1, 0, 0, 0) < 0 ||
			sandbox_files("shared") < 0)
			_exit(255);
		_exit(fn(path) < 0 ? errno : 0);
	}
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

static int open_to_read(const char *path)
{
	return open(path, O_RDONLY);
}

static int open_to_write(const char *path)
{
	return open(path, O_WRONLY);
}

static int make_file(const char *path)
{
	return open(path, O_RDWR | O_CREAT | O_TRUNC, NEW);
}

static int make_directory(const char *path)
{
	return mkdir(path, 0700);
}

static int make_fifo(const char *path)
{
	return mkfifo(path, NEW);
}

static int make_link(const char *path)
{
	return symlink("target", path);
}

static int make_socket(const char *path)
{
	return mknod(path, S_IFSOCK | NEW, 0);
}

static int cut(const char *path)
{
	return truncate(path, 0);
}

static int move(const char *path)
{
	return rename("shared/file", path);
}

static int list(const char *path)
{
	return open(path, O_RDONLY | O_DIRECTORY);
}

static int signal_parent(const char *path)
{
	(void)path;
	return kill(getppid(), 0);
}

static void test_forbidden(void)
{
	is(attempt(open_to_write, "/proc/sys/kernel/core_pattern"), EACCES,
		"no settings of the kernel");
	is(attempt(open_to_read, "/etc/shadow"), EACCES, "no passwords are read");
	is(attempt(open_to_write, "/etc/shadow"), EACCES, "or written");
	is(attempt(list, "/root"), EACCES, "root's directory is not listed");
	is(attempt(open_to_read, "other/file"), EACCES, "no other file is read");
	is(attempt(open_to_write, "other/file"), EACCES, "or written");
	is(attempt(make_file, "other/new"), EACCES, "or made");
	is(attempt(make_directory, "other/directory"), EACCES, "and no directory");
	is(attempt(move, "other/file"), EACCES, "nothing is moved out of the shared directory");
	is(attempt(make_socket, "shared/socket"), EACCES, "no socket is made in it");
	is(attempt(open_to_write, "/usr/bin/env"), EACCES, "what libraries read is not written");
}

static void test_works(void)
{
	is(attempt(open_to_read, "shared/file"), 0, "a file of the shared directory is read");
	is(attempt(open_to_write, "shared/file"), 0, "and written");
	is(attempt(cut, "shared/file"), 0, "and cut");
	is(attempt(list, "shared"), 0, "and it is listed");
	is(attempt(make_file, "shared/new"), 0, "a file is made there");
	is(attempt(make_directory, "shared/directory"), 0, "a directory");
	is(attempt(make_fifo, "shared/directory/fifo"), 0, "a FIFO below that");
	is(attempt(make_link, "shared/link"), 0, "a link");
	is(attempt(move, "shared/directory/file"), 0, "a file is moved to another directory there");
	is(attempt(open_to_write, "/dev/null"), 0, "/dev/null is written");
	is(attempt(open_to_read, "/proc/self/status"), 0,
		"what the kernel says of a process is read");
	is(attempt(open_to_read, "/usr/bin/env"), 0, "what libraries read is read");
}

static void make_places(void)
{
	mkdir("shared", 0700);
	mkdir("other", 0700);
	close(make_file("shared/file"));
	close(make_file("other/file"));
}

static void remove_places(void)
{
	const char *const files[] = {"shared/new", "shared/link", "shared/file", "other/file",
		"other/new", "shared/directory/fifo", "shared/directory/file"};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(files[i]);
	rmdir("shared/directory");
	rmdir("shared");
	rmdir("other");
}

int main(void)
{
	long version = create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	char dir[] = "/tmp/sivc-landlock-XXXXXX";

	if (!mkdtemp(dir) || chdir(dir) < 0)
		return EXIT_FAILURE;
	make_places();
	test_works();
	close(make_file("shared/file"));
	if (version >= 3)
		test_forbidden();
	else
		is(attempt(open_to_read, "other/file"), version > 0 ? EACCES : 0,
			"a kernel with less forbids less");
	if (version >= 6)
		is(attempt(signal_parent, NULL), EPERM, "no signal leaves it");
	remove_places();
	rmdir(dir);
	return done_testing();
}
