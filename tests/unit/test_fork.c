/* SPDX-License-Identifier: MIT */
/*
 * A program that uses the seam (hv.h) and forks: the child that lives on does no harm to its
 * parent, and does not live in its parent's place.  On the local backend.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hv.h"
#include "sivc/wire.h"
#include "tap.h"
#include "until.h"

static char dir[PATH_MAX];

static struct hv *domain(int domid, const char *name)
{
	const struct hv_config config = {
		.backend = "local", .dir = dir, .domid = domid, .name = name};
	struct hv *hv;

	if (hv_open(&config, &hv)) {
		printf("Bail out! domain %d\n", domid);
		exit(EXIT_FAILURE);
	}
	return hv;
}

/* Never -1, which would be everybody. */
static void end(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0); /* fails for a child of a child */
}

/* A child with copies of all that is open here. */
static pid_t idle_child(void)
{
	pid_t pid = fork();

	while (pid == 0)
		pause();
	return pid;
}

/*
 * Domain 1, a process of its own, which has forked: *heir is its child.  It serves "e", with a node
 * for domain 2.
 */
static pid_t domain_with_child(pid_t *heir)
{
	int ends[2];
	pid_t pid;

	if (pipe(ends) < 0 || (pid = fork()) < 0)
		return -1;
	if (pid == 0) {
		struct hv *hv = domain(1, "web");

		if (hv_serve(hv, "e", NULL) < 0 || hv_node_write(hv, "e", 2, "mine") < 0)
			_exit(EXIT_FAILURE);
		*heir = idle_child();
		if (write(ends[1], heir, sizeof(*heir)) != sizeof(*heir))
			_exit(EXIT_FAILURE);
		for (;;)
			pause();
	}
	close(ends[1]);
	if (read(ends[0], heir, sizeof(*heir)) != sizeof(*heir))
		pid = -1;
	close(ends[0]);
	return pid;
}

static bool has_name(struct hv *hv, const char *name)
{
	struct hv_name *names = NULL;
	int count = hv_names(hv, &names);
	bool found = false;

	for (int i = 0; i < count; i++)
		found |= strcmp(names[i].name, name) == 0;
	free(names);
	return found;
}

static void test_child_outlives(void)
{
	struct hv_watch *watch, *names;
	char value[SIVC_NODE_MAX];
	int calls = 0, named = 0;
	struct hv *a, *b;
	pid_t pid, heir = -1;

	pid = domain_with_child(&heir);
	b = domain(2, NULL);
	hv_watch_node(b, 1, "e", count_call, &calls, &watch);
	hv_watch_names(b, NULL, 0, count_call, &named, &names);
	settle(b);
	ok(hv_node_read(b, 1, "e", value, sizeof(value)) == 0 && has_name(b, "web"),
		"a process that has forked lives");
	calls = named = 0;
	end(pid);
	ok(until(b, &calls, 1), "that it is killed is seen, although its child lives on");
	is(hv_node_read(b, 1, "e", value, sizeof(value)), -ENOENT, "its node is no node any more");
	ok(until(b, &named, 1) && !has_name(b, "web"), "and its name is gone");
	a = domain(1, "web");
	is(hv_serve(a, "e", NULL), 0, "another process can take its place");
	ok(heir > 0 && kill(heir, 0) == 0, "the child lives");
	end(heir);
	hv_watch_free(names);
	hv_watch_free(watch);
	hv_unserve(a, "e");
	hv_close(a);
	hv_close(b);
}

/* What is watched is an object of this process, which the kernel reports as long as it is asked to.
 */
static void test_freed_watches(void)
{
	struct hv_watch *watch, *names;
	pid_t pid, child, heir = -1;
	int calls = 0;
	struct hv *b;

	pid = domain_with_child(&heir);
	b = domain(2, NULL);
	hv_watch_node(b, 1, "e", count_call, &calls, &watch);
	hv_watch_names(b, NULL, 0, count_call, &calls, &names);
	settle(b);
	child = idle_child();
	hv_watch_free(watch);
	hv_watch_free(names);
	settle(b);
	calls = 0;
	end(pid);
	ok(!readable(hv_fd(b), QUIET_MS) && calls == 0,
		"a watch that was freed is not reported, although a child has what it watched "
		"open");
	end(child);
	end(heir);
	hv_close(b);
}

/* Everything that the child has a pointer to, as a program that tidies up would do it. */
static int tidy_up(struct hv *hv, struct hv_watch *watch, struct hv_events *events,
	struct hv_port *port, void *page)
{
	hv_dispatch(hv);
	hv_node_remove(hv, "e", 2);
	hv_watch_free(watch);
	hv_port_notify(port);
	hv_port_free(port);
	hv_events_free(events);
	hv_unshare(hv, page, 1);
	hv_unserve(hv, "e");
	hv_close(hv);
	return EXIT_SUCCESS;
}

static void test_child_tidies_up(void)
{
	struct hv *a = domain(1, NULL), *b = domain(2, NULL);
	struct hv_port *ours, *theirs;
	struct hv_events *at_a, *at_b;
	int calls = 0, events = 0, status = -1;
	char value[SIVC_NODE_MAX];
	struct hv_watch *watch;
	void *page, *mapped;
	uint32_t ref;
	pid_t child;

	hv_serve(a, "e", NULL);
	hv_node_write(a, "e", 2, "mine");
	hv_watch_node(a, 2, "e", count_call, &calls, &watch);
	hv_events_new(a, &at_a);
	hv_events_new(b, &at_b);
	hv_port_alloc(at_a, 2, count_call, &events, &ours);
	hv_share(a, 2, 1, true, NULL, &page, &ref);
	settle(a);
	calls = 0;
	child = fork();
	if (child == 0)
		_exit(tidy_up(a, watch, at_a, ours, page));
	waitpid(child, &status, 0);
	is(status, 0, "a child can free what its parent has opened");
	ok(hv_node_read(b, 1, "e", value, sizeof(value)) == 0, "the parent's node is still there");
	is(hv_map(b, 1, 1, &ref, true, NULL, &mapped), 0, "so are its pages");
	is(hv_port_bind(at_b, 1, hv_port_number(ours), count_call, &events, &theirs), 0,
		"and its ports");
	hv_port_notify(theirs);
	ok(readable(hv_events_fd(at_a), SOON_MS) && hv_events_dispatch(at_a) == 1 && events == 1,
		"which signal");
	hv_serve(b, "e", NULL);
	hv_node_write(b, "e", 1, "theirs");
	ok(until(a, &calls, 1), "and its watches, which fire");
	hv_unmap(b, mapped, 1);
	hv_port_free(theirs);
	hv_port_free(ours);
	hv_events_free(at_a);
	hv_events_free(at_b);
	hv_watch_free(watch);
	hv_unshare(a, page, 1);
	hv_unserve(a, "e");
	hv_unserve(b, "e");
	hv_close(a);
	hv_close(b);
}

/* Files of the program, with the numbers that ours had before. */
static void test_other_descriptors(void)
{
	enum { FILES = 64 };
	struct stat before, after;
	int fds[FILES], status = -1;
	pid_t child;

	hv_close(domain(1, NULL));
	for (int i = 0; i < FILES; i++)
		fds[i] = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	stat(dir, &before);
	child = fork();
	if (child == 0) {
		for (int i = 0; i < FILES; i++)
			if (fstat(fds[i], &after) < 0 || before.st_ino != after.st_ino)
				_exit(EXIT_FAILURE);
		_exit(EXIT_SUCCESS);
	}
	waitpid(child, &status, 0);
	is(status, 0, "a child has all files that are its program's own");
	for (int i = 0; i < FILES; i++)
		close(fds[i]);
}

static int child_opens(int fd)
{
	(void)fd;
	hv_close(domain(1, NULL));
	return EXIT_SUCCESS;
}

static void test_child_opens(void)
{
	struct hv *a = domain(1, NULL);
	int status = -1;
	pid_t child = fork();

	if (child == 0)
		_exit(child_opens(0));
	waitpid(child, &status, 0);
	is(status, 0, "a child can be a domain by itself");
	hv_close(a);
}

int main(void)
{
	const char *tmp = getenv("TMPDIR");
	char command[PATH_MAX + 16];

	snprintf(dir, sizeof(dir), "%s/test_fork.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		return EXIT_FAILURE;
	test_child_outlives();
	test_freed_watches();
	test_child_tidies_up();
	test_other_descriptors();
	test_child_opens();
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command) == 0 ? done_testing() : EXIT_FAILURE;
}
