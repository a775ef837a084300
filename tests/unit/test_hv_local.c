/* SPDX-License-Identifier: MIT */
/*
 * The seam (hv.h) and its local backend: every promise of hv.h that a test can see kept or broken.
 *
 * Domains are structs hv in this process, each as good as one of its own; processes that are killed
 * are children.  Each test has a directory of its own.  Nothing sleeps: what is to happen is waited
 * for by poll, and what must not happen is given QUIET_MS to happen.
 */
#include "no_memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "hv.h"
#include "sivc/ioctl.h"
#include "sivc/wire.h"
#include "tap.h"
#include "until.h"

#define NOBODY 65534

static char base[PATH_MAX / 4]; /* everything is below it */
static char dir[PATH_MAX / 2];  /* of the test that runs */
static char last_log[2048];     /* the last message, after its priority */
static int log_lines;

static void keep_log(void *data, int priority, const char *message)
{
	(void)data;
	snprintf(last_log, sizeof last_log, "%d %s", priority, message);
	log_lines++;
}

static bool logged(const char *text)
{
	return strstr(last_log, text) != NULL;
}

static const char *path(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *path(const char *format, ...)
{
	static char paths[4][PATH_MAX];
	static unsigned int next;
	char *p = paths[next++ % 4];
	va_list args;
	int n = snprintf(p, PATH_MAX, "%s/", dir);

	va_start(args, format);
	vsnprintf(p + n, PATH_MAX - (size_t)n, format, args);
	va_end(args);
	return p;
}

static void fresh_dir(const char *name)
{
	snprintf(dir, sizeof dir, "%s/%s", base, name);
}

static int open_as(int domid, const char *name, struct hv **hv)
{
	const struct hv_config config = {
		.backend = "local", .dir = dir, .domid = domid, .name = name, .log = keep_log};

	return hv_open(&config, hv);
}

static struct hv *domain(int domid)
{
	struct hv *hv;
	int error = open_as(domid, NULL, &hv);

	if (error) {
		printf("Bail out! domain %d in %s: %s (%s)\n", domid, dir, strerror(-error),
			last_log);
		exit(EXIT_FAILURE);
	}
	return hv;
}

/* A child with nothing of ours; fn's result is its exit status. */
static pid_t spawn(int (*fn)(int fd), int fd)
{
	pid_t pid;

	fflush(stdout); /* or the child would print it, too */
	pid = fork();
	if (pid)
		return pid;
	if (fd > 3)
		close_range(3, (unsigned int)fd - 1, 0);
	close_range((unsigned int)(fd > 2 ? fd + 1 : 3), ~0U, 0);
	_exit(fn(fd));
}

static int status_of(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid ? status : -1;
}

static bool child_says_yes(int (*fn)(int fd))
{
	int status = status_of(spawn(fn, -1));

	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* A child that has done its work and waits to be killed.  fn writes a byte to fd when it is ready.
 */
static pid_t spawn_ready(int (*fn)(int fd))
{
	int ends[2];
	char byte;
	pid_t pid;

	if (pipe2(ends, 0))
		return -1;
	pid = spawn(fn, ends[1]);
	close(ends[1]);
	if (read(ends[0], &byte, 1) != 1)
		pid = -1;
	close(ends[0]);
	return pid;
}

static int ready_and_wait(int fd)
{
	if (write(fd, "", 1) != 1)
		return 1;
	for (;;)
		pause();
}

/* Never -1, which would be everybody. */
static void kill_child(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	status_of(pid);
}

static int count_names(const char *directory)
{
	DIR *stream = opendir(directory);
	struct dirent *entry;
	int count = 0;

	if (!stream)
		return -1;
	while ((entry = readdir(stream)))
		count += entry->d_name[0] != '.';
	closedir(stream);
	return count;
}

static int open_files(void)
{
	return count_names("/proc/self/fd");
}

static mode_t mode_of(const char *file)
{
	struct stat st;

	return lstat(file, &st) ? 0 : st.st_mode & 07777;
}

/* The common part. */

static void test_choice(void)
{
	struct hv_config config = {.backend = "vmware", .dir = dir, .domid = 1, .log = keep_log};
	struct hv *const untouched = (struct hv *)&config;
	struct hv *hv = untouched;

	fresh_dir("choice");
	is(hv_open(&config, &hv), -EINVAL, "a backend that there is not is refused");
	ok(logged("\"vmware\""), "and the log names it");
	ok(hv == untouched, "what hv_open would have returned is untouched by a failure");
#if !SIVC_HAVE_XEN
	config.backend = "xen";
	is(hv_open(&config, &hv), -ENOSYS, "xen is refused by a build without it");
	ok(logged("-Dxen=enabled"), "and the log says how to build with it");
	config.backend = "auto";
	is(hv_open(&config, &hv), 0, "auto finds the local backend where there is no Xen");
	ok(logged("local") && last_log[0] == '0' + LOG_INFO, "and says so");
	ok(strcmp(hv_backend(hv), "local") == 0 && hv_domid(hv) == 1, "it is domain 1, local");
	hv_close(hv);
#endif
	hv_close(NULL);
	hv_events_free(NULL);
	hv_port_free(NULL);
	hv_watch_free(NULL);
	ok(true, "every destructor takes NULL");
}

static void test_name_grammar(void)
{
	char longest[HV_NAME_MAX + 2];

	memset(longest, 'x', sizeof longest);
	longest[HV_NAME_MAX + 1] = '\0';
	ok(!hv_name_valid(longest), "a name has at most %d characters", HV_NAME_MAX);
	longest[HV_NAME_MAX] = '\0';
	ok(hv_name_valid(longest) && hv_name_valid("a") && hv_name_valid("web-1.example_x") &&
			hv_name_valid("7up"),
		"names of letters, digits, dot, underscore and minus are good");
	ok(!hv_name_valid("") && !hv_name_valid("42") && !hv_name_valid(".x") &&
			!hv_name_valid("-x") && !hv_name_valid("a/b") && !hv_name_valid("a b") &&
			!hv_name_valid("a=b") && !hv_name_valid("\xc3\xa4"),
		"nothing, digits alone, a leading dot or minus, and other characters are not");
}

static void test_config(void)
{
	struct hv *hv;

	fresh_dir("config");
	is(open_as(-1, NULL, &hv), -EINVAL, "the local backend needs a domain id");
	ok(logged("domid="), "and the log names the option");
	is(open_as((int)SIVC_DOMID_MAX + 1, NULL, &hv), -EINVAL, "a domain id is in range");
	is(open_as(1, "no/name", &hv), -EINVAL, "a name that is none is refused");
	ok(logged("name="), "and the log names the option");
	ok(access(dir, F_OK) != 0, "nothing was made meanwhile");
	is(open_as((int)SIVC_DOMID_MAX, NULL, &hv), 0, "the largest domain id is good");
	hv_close(hv);
}

/* The directory. */

static void test_directory(void)
{
	struct hv *hv;
	int fd;

	fresh_dir("missing/below");
	is(open_as(1, NULL, &hv), -ENOENT, "a directory whose parent is missing is an error");
	ok(logged(dir), "and the log names it");

	fresh_dir("made");
	hv = domain(1);
	is(mode_of(dir), 0700, "a directory that is missing is made, for this user alone");
	hv_close(hv);
	is(count_names(dir), 0, "who leaves, leaves nothing behind");

	if (symlink("made", path("../link")))
		return;
	fresh_dir("link");
	is(open_as(1, NULL, &hv), -ENOTDIR, "a directory that is a link is refused");
	fresh_dir("link/");
	is(open_as(1, NULL, &hv), -ENOTDIR, "with a slash behind it, too");

	fresh_dir("file");
	fd = open(dir, O_CREAT | O_WRONLY, 0600);
	close(fd);
	is(open_as(1, NULL, &hv), -ENOTDIR, "a file is refused as a directory");
	ok(logged("remove it"), "and the log says what to do");

	fresh_dir("taken");
	mkdir(dir, 0700);
	fd = open(path("1"), O_CREAT | O_WRONLY, 0600);
	close(fd);
	is(open_as(1, NULL, &hv), -ENOTDIR,
		"a file where the domain's directory should be is an error");
	unlink(path("1"));
	if (symlink("/tmp", path("1")))
		return;
	is(open_as(1, NULL, &hv), -ENOTDIR, "so is a link");
	is(count_names("/tmp/0"), -1, "which was not followed");
}

static int open_with_mountpoint(const char *mountpoint, struct hv **hv)
{
	const struct hv_config config = {.backend = "local",
		.dir = dir,
		.domid = 1,
		.mountpoint = mountpoint,
		.log = keep_log};

	return hv_open(&config, hv);
}

static void test_mountpoint(void)
{
	struct hv *hv;

	fresh_dir("mountpoint");
	mkdir(dir, 0700);
	mkdir(path("a"), 0700);
	mkdir(path("a/b"), 0700);
	is(open_with_mountpoint(path("a/b"), &hv), -EINVAL,
		"a mount point below the directory is refused");
	ok(logged(path("a/b")) && logged("mount elsewhere"), "and the log says why");
	is(open_with_mountpoint(dir, &hv), -EINVAL, "so is the directory itself");
	is(open_with_mountpoint(path("../mountpoint/a/../a"), &hv), -EINVAL,
		"whatever it is called");
	is(open_with_mountpoint(base, &hv), 0, "one above it is not");
	hv_close(hv);
	is(open_with_mountpoint(path("none"), &hv), 0, "nor one that there is not");
	hv_close(hv);
}

/*
 * Domain 9's directory is another file system, whose process does not answer: here, one that has
 * what a domain has, so that it would be found.
 */
static int foreign_file_system(int fd)
{
	uint32_t ref = 7;
	char value[SIVC_NODE_MAX];
	struct hv_events *events;
	struct hv_name *names = NULL;
	struct hv_port *port;
	struct hv *a, *b;
	void *memory;

	(void)fd;
	if (unshare(CLONE_NEWNS) || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL))
		return 77;
	a = domain(1);
	mkdir(path("9"), 0700);
	mkfifo(path("9.0=web"), 0600);
	if (open(path("9.0=web"), O_RDWR | O_NONBLOCK) < 0 || hv_names(a, &names) != 1)
		return 1;
	if (mount("tmpfs", path("9"), "tmpfs", 0, "mode=700"))
		return 77;
	mkdir(path("9/0"), 0700);
	close(open(path("9/0/7.1.rw"), O_CREAT | O_RDWR, 0600));
	mkfifo(path("9/0/7.1.in"), 0600);
	mkfifo(path("9/0/7.1.out"), 0600);
	mkfifo(path("9/e.alive"), 0600);
	if (truncate(path("9/0/7.1.rw"), SIVC_PAGE_SIZE) ||
		open(path("9/e.alive"), O_RDWR | O_NONBLOCK) < 0 ||
		symlink("value", path("9/e.1")) || hv_events_new(a, &events))
		return 2;
	if (hv_node_read(a, 9, "e", value, sizeof(value)) != -ENOENT)
		return 3;
	if (hv_map(a, 9, 1, &ref, true, NULL, &memory) != -EINVAL ||
		hv_port_bind(events, 9, ref, count_call, NULL, &port) != -EINVAL)
		return 4;
	if (hv_names(a, &names) != 0)
		return 5;
	return open_as(9, NULL, &b) == -EXDEV && logged("unmount it") ? 0 : 6;
}

static void test_foreign_file_system(void)
{
	int status;

	fresh_dir("foreign");
	status = status_of(spawn(foreign_file_system, -1));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		skip("another file system in the directory", "cannot mount one here");
		return;
	}
	is(status, 0, "a domain's directory that is another file system is not entered");
}

static int as_nobody(int fd)
{
	struct hv *hv;

	(void)fd;
	if (setegid(NOBODY) || seteuid(NOBODY))
		return 1;
	return open_as(1, NULL, &hv) == -EACCES && logged("dir=") && logged(dir) ? 0 : 1;
}

static void test_owner(void)
{
	struct hv *hv;

	if (geteuid() != 0) {
		skip("directories of other users", "not root");
		return;
	}
	fresh_dir("roots");
	mkdir(dir, 0755);
	ok(child_says_yes(as_nobody),
		"a directory that is not writable is an error that names it and says what to do");
	fresh_dir("others");
	mkdir(dir, 0700);
	if (chown(dir, NOBODY, NOBODY))
		return;
	is(open_as(1, NULL, &hv), -EPERM,
		"a directory of another user, closed to others, is refused");
	chmod(dir, 01777);
	is(open_as(1, NULL, &hv), 0, "one that its owner has opened to others is not");
	hv_close(hv);
	mkdir(path("1"), 0755);
	if (chown(path("1"), NOBODY, NOBODY))
		return;
	is(open_as(1, NULL, &hv), -EACCES, "a domain of another user's is not ours to be");
}

static void test_modes(void)
{
	mode_t mask = umask(0077);
	void *ro, *rw;
	uint32_t ref;
	struct hv *hv;

	fresh_dir("open");
	mkdir(dir, 0700);
	chmod(dir, 01777);
	hv = domain(3);
	hv_share(hv, 4, 1, false, NULL, &ro, &ref);
	is(mode_of(path("3/0/%" PRIu32 ".4.ro", ref)), 0644,
		"where others may be domains, pages to read are readable, whatever umask is");
	hv_share(hv, 4, 1, true, NULL, &rw, &ref);
	is(mode_of(path("3/0/%" PRIu32 ".4.rw", ref)), 0666, "and pages to write are writable");
	is(mode_of(path("3")), 0755, "but the domain's directory is its owner's alone");
	is(mode_of(path("3.0")), 0644, "and so is the proof that it lives");
	hv_unshare(hv, ro, 1);
	hv_unshare(hv, rw, 1);
	hv_close(hv);

	fresh_dir("closed");
	mkdir(dir, 0700);
	chmod(dir, 0755);
	hv = domain(3);
	hv_share(hv, 4, 1, true, NULL, &rw, &ref);
	is(mode_of(path("3/0/%" PRIu32 ".4.rw", ref)), 0600,
		"where others may only look, they see nothing of the pages");
	is(mode_of(path("3")), 0700, "nor of the domain");
	hv_unshare(hv, rw, 1);
	hv_close(hv);

	fresh_dir("group");
	mkdir(dir, 0700);
	chmod(dir, 0770);
	if (chown(dir, (uid_t)-1, geteuid() ? getegid() : NOBODY) == 0) {
		struct stat group, made;

		hv = domain(3);
		stat(dir, &group);
		ok(stat(path("3.0"), &made) == 0 && made.st_gid == group.st_gid,
			"where a group may be domains, what is made is that group's");
		is(mode_of(path("3.0")), 0640, "and nobody else's");
		hv_close(hv);
	}
	umask(mask);
}

/* Pages. */

static void test_pages(void)
{
	uint32_t refs[4], wrong[4], more;
	struct hv *a, *b, *c;
	char *ours, *theirs, *other, *none = NULL;
	bool zero = true;

	fresh_dir("pages");
	a = domain(1);
	b = domain(2);
	c = domain(3);
	is(hv_share(a, 2, 4, true, NULL, (void **)&ours, refs), 0, "pages can be shared");
	for (size_t i = 0; i < 4 * SIVC_PAGE_SIZE; i++)
		zero &= ours[i] == 0;
	ok(zero, "they are zeroed");
	ok(refs[0] && refs[1] == refs[0] + 1 && refs[3] == refs[0] + 3, "each has a reference");
	is(hv_map(b, 1, 4, refs, true, NULL, (void **)&theirs), 0, "the peer maps them");
	ours[0] = 'x';
	theirs[3 * SIVC_PAGE_SIZE] = 'y';
	ok(theirs[0] == 'x' && ours[3 * SIVC_PAGE_SIZE] == 'y', "both see the same memory");
	is(hv_map(b, 1, 1, refs, false, NULL, (void **)&other), 0,
		"what may be written may also be mapped to be read");
	hv_unmap(b, other, 1);

	is(hv_map(c, 1, 4, refs, true, NULL, (void **)&none), -EINVAL,
		"a domain that they were not granted to cannot map them");
	is(hv_map(c, 1, 4, refs, false, NULL, (void **)&none), -EINVAL, "not even to read");
	is(hv_map(b, 3, 4, refs, true, NULL, (void **)&none), -EINVAL,
		"a reference is of the domain that gave it");
	memcpy(wrong, refs, sizeof refs);
	wrong[2] = wrong[1];
	is(hv_map(b, 1, 4, wrong, true, NULL, (void **)&none), -EINVAL,
		"references that do not follow each other are refused");
	wrong[0] = refs[0] + 1;
	is(hv_map(b, 1, 1, wrong, true, NULL, (void **)&none), -EINVAL,
		"a reference into the middle of a share is refused");
	wrong[0] = 0xFFFFFFFF;
	is(hv_map(b, 1, 1, wrong, true, NULL, (void **)&none), -EINVAL, "so is one of nothing");
	is(hv_map(b, 1, 1, &(uint32_t){0}, true, NULL, (void **)&none), -EINVAL, "so is zero");
	is(hv_share(a, 2, 0, true, NULL, (void **)&none, wrong), -EINVAL, "no pages are no share");
	ok(none == NULL, "a failure touches nothing");

	hv_unshare(a, ours, 4);
	is(hv_map(b, 1, 4, refs, true, NULL, (void **)&none), -EINVAL,
		"a share that was taken back cannot be mapped any more");
	theirs[1] = 'z';
	is(theirs[1] + theirs[0], 'z' + 'x', "who has it mapped keeps it");
	is(hv_share(a, 2, 1, true, NULL, (void **)&ours, &more), 0, "the next share");
	ok(more != refs[0] && ours[1] == 0, "has another reference and other memory");
	hv_unmap(b, theirs, 4);
	hv_unshare(a, ours, 1);
	hv_close(a);
	hv_close(b);
	hv_close(c);
}

static int write_to_it(int fd)
{
	struct hv *a, *b;
	uint32_t ref;
	char *page;

	(void)fd;
	a = domain(1);
	b = domain(2);
	if (hv_share(a, 2, 1, false, NULL, (void **)&page, &ref) ||
		hv_map(b, 1, 1, &ref, false, NULL, (void **)&page))
		return 1;
	signal(SIGSEGV, SIG_DFL);
	*(volatile char *)page = 1;
	return 0;
}

static void test_read_only(void)
{
	char *ours, *theirs;
	struct hv *a, *b;
	uint32_t ref;
	int status;

	fresh_dir("read-only");
	a = domain(1);
	b = domain(2);
	hv_share(a, 2, 1, false, NULL, (void **)&ours, &ref);
	is(hv_map(b, 1, 1, &ref, true, NULL, (void **)&theirs), -EINVAL,
		"a page that is shared to be read cannot be mapped to be written");
	is(hv_map(b, 1, 1, &ref, false, NULL, (void **)&theirs), 0, "to be read it can");
	ours[7] = 'r';
	is(theirs[7], 'r', "and shows what the owner writes");
	is(mprotect(theirs, SIVC_PAGE_SIZE, PROT_READ | PROT_WRITE), -1,
		"nor can it be made writable afterwards");
	hv_unmap(b, theirs, 1);
	hv_unshare(a, ours, 1);
	hv_close(a);
	hv_close(b);
	fresh_dir("read-only-child");
	status = status_of(spawn(write_to_it, -1));
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV,
		"who writes to it all the same is stopped");
}

/* References are never given out twice while they are in use. */
static void test_references(void)
{
	enum { SHARES = 300 };
	static void *memory[SHARES];
	static uint32_t refs[SHARES];
	struct hv *a, *b;
	bool distinct = true;
	void *page;

	fresh_dir("references");
	a = domain(1);
	b = domain(1);
	for (int i = 0; i < SHARES; i++)
		if (hv_share(i % 2 ? a : b, 2, 1, true, NULL, &memory[i], &refs[i]))
			distinct = false;
	for (int i = 0; i < SHARES; i++)
		for (int j = 0; j < i; j++)
			distinct &= refs[i] != refs[j];
	ok(distinct, "two processes of a domain give out distinct references");
	for (int i = 0; i < SHARES; i++)
		hv_unshare(i % 2 ? a : b, memory[i], 1);
	for (int i = 0; i < 1000; i++)
		if (hv_share(a, 2, 1, true, NULL, &page, refs) == 0)
			hv_unshare(a, page, 1);
	is(count_names(path("1/0")), 1, "a thousand shares that were taken back leave nothing");
	hv_close(a);
	hv_close(b);
}

/* XSA-396: a peer maps all that it is given, and never lets go. */
static void test_never_unmapped(void)
{
	enum { CYCLES = 1000 };
	static void *kept[CYCLES];
	int files, descriptors, good = 0;
	struct hv *a, *b;
	uint32_t ref;
	char *page;

	fresh_dir("never-unmapped");
	a = domain(1);
	b = domain(2);
	files = count_names(path("1/0"));
	descriptors = open_files();
	for (int i = 0; i < CYCLES; i++) {
		if (hv_share(a, 2, 1, true, NULL, (void **)&page, &ref) ||
			hv_map(b, 1, 1, &ref, true, NULL, &kept[i]))
			break;
		good += page[0] == 0; /* never one that somebody still has */
		*(char *)kept[i] = 'x';
		hv_unshare(a, page, 1);
	}
	is(good, CYCLES, "a thousand shares that their peer never lets go of are all new");
	is(open_files(), descriptors, "they cost no descriptor");
	is(count_names(path("1/0")), files, "and no file");
	for (int i = 0; i < good; i++)
		hv_unmap(b, kept[i], 1);
	hv_close(a);
	hv_close(b);
}

static void test_truncation(void)
{
	char *ours, *theirs;
	struct hv *a, *b;
	uint32_t refs[2];
	int lines;

	fresh_dir("truncation");
	a = domain(1);
	b = domain(2);
	hv_share(a, 2, 2, true, NULL, (void **)&ours, refs);
	hv_map(b, 1, 2, refs, true, NULL, (void **)&theirs);
	ours[0] = theirs[SIVC_PAGE_SIZE] = 'x';
	if (truncate(path("1/0/%" PRIu32 ".2.rw", refs[0]), 0))
		return;
	is(theirs[0] + theirs[SIVC_PAGE_SIZE], 0,
		"memory whose file was truncated reads as zeros to the peer");
	theirs[0] = 'y';
	is(theirs[0], 'y', "and can be written without harm");
	is(ours[0] + ours[SIVC_PAGE_SIZE], 0, "it is the same for the owner");
	lines = log_lines;
	hv_unmap(b, theirs, 2);
	ok(log_lines == lines + 1 && logged("truncated"), "and the log says what happened");
	is(hv_map(b, 1, 2, refs, true, NULL, (void **)&theirs), -EINVAL,
		"a file that is too short is not mapped");
	hv_unshare(a, ours, 2);
	hv_close(a);
	hv_close(b);
}

/* A mapping that is not ours, of a file that is empty. */
static int touch_foreign(int fd)
{
	char *page;

	(void)fd;
	hv_close(domain(1));
	fd = open(path("empty"), O_CREAT | O_RDWR, 0600);
	page = mmap(NULL, SIVC_PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	return *(volatile char *)page;
}

static void bus_handler(int number)
{
	(void)number;
	_exit(42);
}

static int touch_foreign_handled(int fd)
{
	signal(SIGBUS, bus_handler);
	return touch_foreign(fd);
}

static int touch_foreign_default(int fd)
{
	signal(SIGBUS, SIG_DFL);
	return touch_foreign(fd);
}

/* To be run before anything of the local backend: the handler is installed once a process. */
static void test_foreign_faults(void)
{
	int status;

	fresh_dir("foreign-faults");
	status = status_of(spawn(touch_foreign_default, -1));
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS,
		"a fault in memory that is not ours ends the process as it always did");
	status = status_of(spawn(touch_foreign_handled, -1));
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 42,
		"or goes to the handler that was there before");
}

/* Domain 1's directory is what a hostile process has put there. */
static void test_hostile_files(void)
{
	uint32_t refs[2] = {7, 8};
	char value[SIVC_NODE_MAX], text[2 * SIVC_NODE_MAX] = "";
	struct hv_events *events;
	struct hv_port *port;
	struct hv *b;
	void *memory;
	int fd;

	fresh_dir("hostile");
	b = domain(2);
	hv_events_new(b, &events);
	mkdir(path("1"), 0700);
	mkdir(path("1/0"), 0700);
	mkfifo(path("1/0/7.2.rw"), 0600);
	is(hv_map(b, 1, 1, refs, true, NULL, &memory), -EINVAL, "a FIFO is not mapped");
	unlink(path("1/0/7.2.rw"));
	fd = open(path("1/elsewhere"), O_CREAT | O_RDWR, 0600);
	if (ftruncate(fd, 2 * SIVC_PAGE_SIZE) || symlink("../elsewhere", path("1/0/7.2.rw")))
		return;
	close(fd);
	is(hv_map(b, 1, 1, refs, true, NULL, &memory), -EINVAL, "a link is not followed");
	unlink(path("1/0/7.2.rw"));
	if (link(path("1/elsewhere"), path("1/0/7.2.rw")))
		return;
	is(hv_map(b, 1, 1, refs, true, NULL, &memory), -EINVAL,
		"nor is another name of a file, which could be one of ours");
	unlink(path("1/elsewhere"));
	is(hv_map(b, 1, 2, refs, true, NULL, &memory), 0, "a file of the right size is mapped");
	hv_unmap(b, memory, 2);
	if (truncate(path("1/0/7.2.rw"), 2 * SIVC_PAGE_SIZE - 1))
		return;
	is(hv_map(b, 1, 2, refs, true, NULL, &memory), -EINVAL, "one that is a byte short is not");
	if (symlink("0", path("1/9")))
		return;
	refs[0] = 9u << 24 | 7;
	is(hv_map(b, 1, 1, refs, true, NULL, &memory), -EINVAL,
		"an instance that is a link is none");
	fd = open(path("1/0/5.2.in"), O_CREAT | O_RDWR, 0600);
	close(fd);
	mkfifo(path("1/0/5.2.out"), 0600);
	is(hv_port_bind(events, 1, 5, count_call, NULL, &port), -EINVAL, "a file is no port");

	mkfifo(path("1/e.alive"), 0600);
	fd = open(path("1/e.alive"), O_RDWR | O_NONBLOCK);
	mkfifo(path("1/e.2"), 0600);
	is(hv_node_read(b, 1, "e", value, sizeof value), -ENOENT,
		"a FIFO is no node, and holds nobody");
	chmod(path("1"), 0777);
	unlink(path("1/e.2"));
	if (symlink("1 7 0000000000000001", path("1/e.2")))
		return;
	is(hv_node_read(b, 1, "e", value, sizeof value), -ENOENT,
		"a domain's directory that others could write to is no domain's");
	chmod(path("1"), 0700);
	is(hv_node_read(b, 1, "e", value, sizeof value), 0, "otherwise it is");
	unlink(path("1/e.2"));
	close(open(path("1/e.2"), O_CREAT | O_RDWR, 0600));
	is(hv_node_read(b, 1, "e", value, sizeof value), -ENOENT, "a file is no node");
	unlink(path("1/e.2"));
	memset(text, 'x', sizeof text - 1);
	if (symlink(text, path("1/e.2")))
		return;
	is(hv_node_read(b, 1, "e", value, sizeof value), -EMSGSIZE,
		"a node that is too long is refused");
	close(fd);
	hv_events_free(events);
	hv_close(b);
}

/*
 * What is in domain 1's directory is domain 1's own: another user's things there are not used, nor
 * those that have another name elsewhere.
 */
static void refused_from_others(
	const char *what, const char *file, int (*use)(struct hv *hv), int error, struct hv *b)
{
	const char *alias = path("alias");

	is(use(b), 0, what);
	if (lchown(file, NOBODY, NOBODY))
		return;
	is(use(b), error, "but not another user's");
	if (lchown(file, 0, 0) || linkat(AT_FDCWD, file, AT_FDCWD, alias, 0))
		return;
	is(use(b), error, "nor one that has another name");
	unlink(alias);
	is(use(b), 0, "and again when it is as it was");
}

static int use_page(struct hv *hv)
{
	uint32_t ref = 7;
	void *memory;
	int r = hv_map(hv, 1, 1, &ref, true, NULL, &memory);

	if (r == 0)
		hv_unmap(hv, memory, 1);
	return r;
}

static int use_port(struct hv *hv)
{
	struct hv_events *events;
	struct hv_port *port;
	int calls = 0, r;

	hv_events_new(hv, &events);
	r = hv_port_bind(events, 1, 5, count_call, &calls, &port);
	if (r == 0)
		hv_port_free(port);
	hv_events_free(events);
	return r;
}

static int use_node(struct hv *hv)
{
	char value[SIVC_NODE_MAX];

	return hv_node_read(hv, 1, "e", value, sizeof value);
}

static void test_foreign_owners(void)
{
	struct hv *b;
	int page, alive;

	if (geteuid() != 0) {
		skip("files of other users", "not root");
		return;
	}
	fresh_dir("owners");
	b = domain(2);
	mkdir(path("1"), 0755);
	mkdir(path("1/0"), 0755);
	page = open(path("1/0/7.2.rw"), O_CREAT | O_RDWR, 0600);
	mkfifo(path("1/0/5.2.in"), 0600);
	mkfifo(path("1/0/5.2.out"), 0600);
	mkfifo(path("1/e.alive"), 0600);
	alive = open(path("1/e.alive"), O_RDWR | O_NONBLOCK);
	if (ftruncate(page, SIVC_PAGE_SIZE) || symlink("1 7 0000000000000001", path("1/e.2")))
		return;
	refused_from_others("a page is mapped", path("1/0/7.2.rw"), use_page, -EINVAL, b);
	refused_from_others("a port is bound", path("1/0/5.2.in"), use_port, -EINVAL, b);
	refused_from_others("also by its other end", path("1/0/5.2.out"), use_port, -EINVAL, b);
	refused_from_others("a node is read", path("1/e.2"), use_node, -ENOENT, b);
	refused_from_others("of who lives", path("1/e.alive"), use_node, -ENOENT, b);
	close(page);
	close(alive);
	hv_close(b);
}

/* Event channels. */

struct channel {
	struct hv *a, *b;
	struct hv_events *at_a, *at_b;
	struct hv_port *pa, *pb;
	int ca, cb; /* calls */
};

static void channel_init(struct channel *c)
{
	memset(c, 0, sizeof *c);
	c->a = domain(1);
	c->b = domain(2);
	hv_events_new(c->a, &c->at_a);
	hv_events_new(c->b, &c->at_b);
	is(hv_port_alloc(c->at_a, 2, count_call, &c->ca, &c->pa), 0, "a port can be allocated");
	is(hv_port_bind(c->at_b, 1, hv_port_number(c->pa), count_call, &c->cb, &c->pb), 0,
		"and bound to by the peer");
}

static void channel_deinit(struct channel *c)
{
	hv_port_free(c->pb);
	hv_port_free(c->pa);
	hv_events_free(c->at_a);
	hv_events_free(c->at_b);
	hv_close(c->a);
	hv_close(c->b);
}

static void test_events(void)
{
	struct channel c;

	fresh_dir("events");
	channel_init(&c);
	ok(!readable(hv_events_fd(c.at_a), QUIET_MS), "nothing is there before somebody notifies");
	hv_port_notify(c.pb);
	ok(readable(hv_events_fd(c.at_a), SOON_MS), "a notify makes the other end's set readable");
	is(hv_events_dispatch(c.at_a), 1, "dispatch handles it");
	is(c.ca, 1, "and calls");
	is(hv_events_dispatch(c.at_a), 0, "once");
	hv_port_notify(c.pa);
	ok(readable(hv_events_fd(c.at_b), SOON_MS) && hv_events_dispatch(c.at_b) == 1 && c.cb == 1,
		"it works in the other direction, too");
	hv_port_unmask(c.pa);
	ok(!readable(hv_events_fd(c.at_a), QUIET_MS), "unmasked, with no event, nothing is there");
	channel_deinit(&c);
	is(count_names(dir), 0, "no FIFO is left");
}

static void test_masking(void)
{
	struct channel c;

	fresh_dir("masking");
	channel_init(&c);
	hv_port_notify(c.pb);
	hv_events_dispatch(c.at_a);
	for (int i = 0; i < 1000; i++)
		hv_port_notify(c.pb);
	ok(!readable(hv_events_fd(c.at_a), QUIET_MS),
		"a port that was dispatched is masked: nobody wakes");
	is(hv_events_dispatch(c.at_a), 0, "and nothing is dispatched");
	hv_port_unmask(c.pa);
	ok(readable(hv_events_fd(c.at_a), SOON_MS), "unmasked, what came meanwhile is there");
	is(hv_events_dispatch(c.at_a), 1, "a thousand events are one");
	hv_port_unmask(c.pa);
	ok(!readable(hv_events_fd(c.at_a), QUIET_MS) && c.ca == 2, "and no more");
	for (int i = 0; i < 100000; i++)
		hv_port_notify(c.pb);
	ok(hv_events_dispatch(c.at_a) == 1, "notify does not wait when nobody listens");
	hv_port_unmask(c.pa);
	hv_port_unmask(c.pa);
	hv_port_notify(c.pb);
	ok(readable(hv_events_fd(c.at_a), SOON_MS), "a flood breaks nothing");
	channel_deinit(&c);
}

/* Whoever shares a FIFO with us can take an event out of it when we have just been told of it. */
static int thief_calls;

static void steal_other(void *data)
{
	char byte;
	int fd = open(data, O_RDONLY | O_NONBLOCK);

	thief_calls++;
	if (read(fd, &byte, 1) != 1 && errno != EAGAIN)
		thief_calls = -1;
	close(fd);
}

static int dispatch_stolen(int fd)
{
	char names[2][PATH_MAX];
	struct hv *a = domain(1), *b = domain(2);
	struct hv_events *at_a, *at_b;
	struct hv_port *ours[2], *theirs[2];

	(void)fd;
	alarm(SOON_MS / 1000);
	hv_events_new(a, &at_a);
	hv_events_new(b, &at_b);
	for (int i = 0; i < 2; i++) {
		if (hv_port_alloc(at_a, 2, steal_other, names[!i], &ours[i]) < 0 ||
			hv_port_bind(
				at_b, 1, hv_port_number(ours[i]), count_call, NULL, &theirs[i]) < 0)
			return 1;
		strcpy(names[i], path("1/0/%" PRIu32 ".2.in", hv_port_number(ours[i])));
		hv_port_notify(theirs[i]);
	}
	/* Both were reported; the first call takes the second one's event. */
	return hv_events_dispatch(at_a) == 2 && thief_calls == 2 ? 0 : 1;
}

static void test_stolen_event(void)
{
	fresh_dir("stolen");
	ok(child_says_yes(dispatch_stolen), "an event that somebody else takes holds nobody");
}

static void test_binding(void)
{
	struct hv_port *port = NULL;
	struct hv_events *events;
	struct channel c;
	struct hv *d;

	fresh_dir("binding");
	channel_init(&c);
	d = domain(3);
	hv_events_new(d, &events);
	is(hv_port_bind(events, 1, hv_port_number(c.pa), count_call, NULL, &port), -EINVAL,
		"a port for another domain cannot be bound to");
	is(hv_port_bind(events, 1, hv_port_number(c.pa) + 1, count_call, NULL, &port), -EINVAL,
		"nor can one that is none");
	is(hv_port_bind(events, 9, 1, count_call, NULL, &port), -EINVAL, "nor one of no domain");
	is(hv_port_alloc(events, SIVC_DOMID_MAX + 1, count_call, NULL, &port), -EINVAL,
		"a port is for a domain id");
	ok(port == NULL, "a failure touches nothing");
	hv_events_free(events);
	hv_close(d);

	hv_port_notify(c.pa);
	hv_port_free(c.pa);
	c.pa = NULL;
	ok(readable(hv_events_fd(c.at_b), SOON_MS) && hv_events_dispatch(c.at_b) == 1,
		"what was signalled before the owner freed the port arrives");
	hv_port_unmask(c.pb);
	hv_port_notify(c.pb);
	ok(!readable(hv_events_fd(c.at_b), QUIET_MS), "to notify a port that is gone is no error");
	is(hv_port_bind(c.at_b, 1, hv_port_number(c.pb), count_call, NULL, &port), -EINVAL,
		"and it cannot be bound to again");
	channel_deinit(&c);
}

/* The port that an event is for may be freed by the callback of another one. */
struct killer {
	struct hv_port **ports;
	int count, calls;
};

static void free_all_ports(void *data)
{
	struct killer *k = data;

	k->calls++;
	for (int i = 0; i < k->count; i++) {
		hv_port_free(k->ports[i]);
		k->ports[i] = NULL;
	}
}

static void test_free_in_callback(void)
{
	enum { PORTS = 20 };
	struct hv_port *ports[PORTS], *far[PORTS];
	struct killer k = {.ports = ports, .count = PORTS};
	struct hv_events *at_a, *at_b;
	struct hv *a, *b;
	int ignored = 0;

	fresh_dir("callbacks");
	a = domain(1);
	b = domain(2);
	hv_events_new(a, &at_a);
	hv_events_new(b, &at_b);
	for (int i = 0; i < PORTS; i++) {
		hv_port_alloc(at_a, 2, free_all_ports, &k, &ports[i]);
		hv_port_bind(at_b, 1, hv_port_number(ports[i]), count_call, &ignored, &far[i]);
		hv_port_notify(far[i]);
	}
	hv_events_dispatch(at_a);
	is(k.calls, 1, "a callback may free any port, and freed ports are not called");
	for (int i = 0; i < PORTS; i++)
		hv_port_free(far[i]);
	hv_events_free(at_a);
	hv_events_free(at_b);
	hv_close(a);
	hv_close(b);
}

static void test_batch(void)
{
	enum { PORTS = SIVC_HV_BATCH + 10 };
	struct hv_port *ports[PORTS], *far[PORTS];
	struct hv_events *at_a, *at_b;
	struct hv *a, *b;
	int calls = 0, ignored = 0;

	fresh_dir("batch");
	a = domain(1);
	b = domain(2);
	hv_events_new(a, &at_a);
	hv_events_new(b, &at_b);
	for (int i = 0; i < PORTS; i++) {
		hv_port_alloc(at_a, 2, count_call, &calls, &ports[i]);
		hv_port_bind(at_b, 1, hv_port_number(ports[i]), count_call, &ignored, &far[i]);
		hv_port_notify(far[i]);
	}
	is(hv_events_dispatch(at_a), SIVC_HV_BATCH, "a dispatch handles a bounded number of ports");
	is(hv_events_dispatch(at_a), PORTS - SIVC_HV_BATCH, "the next one the others");
	is(calls, PORTS, "each is called once");
	for (int i = 0; i < PORTS; i++) {
		hv_port_free(far[i]);
		hv_port_free(ports[i]);
	}
	hv_events_free(at_a);
	hv_events_free(at_b);
	hv_close(a);
	hv_close(b);
}

/* The store. */

static void test_nodes(void)
{
	char value[SIVC_NODE_MAX] = "untouched";
	pid_t holder = -1;
	struct hv *a, *b, *c;

	fresh_dir("nodes");
	a = domain(1);
	b = domain(2);
	c = domain(3);
	is(hv_node_write(a, "e", 2, "x"), -EINVAL,
		"who does not serve an endpoint publishes nothing");
	is(hv_serve(a, "e", &holder), 0, "an endpoint can be served");
	is(hv_node_read(b, 1, "e", value, sizeof value), -ENOENT, "at first there is no node");
	is(hv_node_write(a, "e", 2, "1 77 0123456789abcdef"), 0, "a node can be published");
	is(hv_node_read(b, 1, "e", value, sizeof value), 0,
		"and read by the domain that it is for");
	ok(strcmp(value, "1 77 0123456789abcdef") == 0, "it is the same");
	is(hv_node_read(c, 1, "e", value, sizeof value), -ENOENT, "another domain finds nothing");
	is(hv_node_read(b, 1, "f", value, sizeof value), -ENOENT, "nor is it in another endpoint");
	is(hv_node_read(b, 9, "e", value, sizeof value), -ENOENT, "nor of another domain");
	is(hv_node_read(b, 1, "../1/e", value, sizeof value), -ENOENT, "an endpoint is no path");
	is(hv_node_read(b, 1, "e", value, 8), -EMSGSIZE, "a value that does not fit is an error");
	ok(strcmp(value, "1 77 0123456789abcdef") == 0, "a failure touches nothing");
	is(hv_node_write(a, "e", 2, "changed"), 0, "a node can be changed");
	is(hv_node_read(b, 1, "e", value, sizeof value), 0, "at once");
	ok(strcmp(value, "changed") == 0, "for its reader");
	is(hv_node_remove(a, "e", 2), 0, "a node can be removed");
	is(hv_node_remove(a, "e", 2), 0, "also if it is gone already");
	is(hv_node_read(b, 1, "e", value, sizeof value), -ENOENT, "then it is gone");
	hv_node_write(a, "e", 2, "again");
	hv_unserve(a, "e");
	is(hv_node_read(b, 1, "e", value, sizeof value), -ENOENT, "unserve removes all nodes");
	is(count_names(path("1")), 1, "and all else of the endpoint");
	hv_unserve(a, "e");
	is(hv_serve(a, "../e", NULL), -EINVAL, "an endpoint's name is a name");
	hv_close(a);
	hv_close(b);
	hv_close(c);
	is(count_names(dir), 0, "nothing is left");
}

static void test_serving_twice(void)
{
	pid_t holder = -1;
	struct hv *a, *b;

	fresh_dir("twice");
	a = domain(1);
	b = domain(1);
	is(hv_serve(a, "e", &holder), 0, "of two processes of a domain one serves an endpoint");
	is(holder, -1, "holder is untouched");
	is(hv_serve(b, "e", &holder), -EBUSY, "the other one cannot");
	is(holder, getpid(), "and is told who does");
	is(hv_serve(b, "e", NULL), -EBUSY, "if it wants to know");
	is(hv_serve(b, "f", NULL), 0, "but another endpoint it can");
	hv_unserve(a, "e");
	is(hv_serve(b, "e", NULL), 0, "and the same, when the first one has stopped");
	hv_unserve(b, "e");
	hv_unserve(b, "f");
	hv_close(a);
	hv_close(b);
}

/* Watches. */

static int serve_and_wait(int fd)
{
	struct hv *hv = domain(1);
	uint32_t ref;
	void *page;
	struct hv_events *events;
	struct hv_port *port;

	if (hv_serve(hv, "e", NULL) || hv_node_write(hv, "e", 2, "mine") ||
		hv_share(hv, 2, 1, true, NULL, &page, &ref) || hv_events_new(hv, &events) ||
		hv_port_alloc(events, 2, count_call, NULL, &port))
		return 1;
	return ready_and_wait(fd);
}

static void test_death(void)
{
	char value[SIVC_NODE_MAX];
	struct hv_watch *watch;
	struct hv *a, *b;
	pid_t pid, holder = 0;
	int calls = 0;

	fresh_dir("death");
	pid = spawn_ready(serve_and_wait);
	b = domain(2);
	is(hv_watch_node(b, 1, "e", count_call, &calls, &watch), 0, "a node can be watched");
	ok(until(b, &calls, 1), "the watch fires soon after it was set");
	is(hv_node_read(b, 1, "e", value, sizeof value), 0, "the node is there");
	a = domain(1);
	is(hv_serve(a, "e", &holder), -EBUSY, "and served");
	is(holder, pid, "by the child");
	settle(b);
	calls = 0;
	kill_child(pid);
	ok(until(b, &calls, 1), "the watch fires when the owner is killed");
	is(hv_node_read(b, 1, "e", value, sizeof value), -ENOENT,
		"the node of the dead is no node");
	settle(b);
	calls = 0;
	is(hv_serve(a, "e", &holder), 0, "another process can serve then");
	is(hv_node_read(b, 1, "e", value, sizeof value), -ENOENT,
		"without what the dead one published");
	ok(until(b, &calls, 1), "the watch fires");
	settle(b);
	calls = 0;
	hv_node_write(a, "e", 2, "new");
	ok(until(b, &calls, 1) && hv_node_read(b, 1, "e", value, sizeof value) == 0 &&
			strcmp(value, "new") == 0,
		"and fires when it publishes");
	is(count_names(path("1/0")), 4, "the dead one's other files are there still");
	hv_watch_free(watch);
	hv_close(a);
	hv_close(b);
	is(count_names(dir), 0, "until the last one of its domain leaves");
}

static void test_leftovers(void)
{
	pid_t first, second;
	struct hv *a;

	fresh_dir("leftovers");
	first = spawn_ready(serve_and_wait);
	kill_child(first);
	ok(faccessat(AT_FDCWD, path("1/e.2"), F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
			access(path("1.0"), F_OK) == 0 && count_names(path("1/0")) == 4,
		"a process that was killed leaves its files");
	a = domain(1);
	is(count_names(path("1/0")), 1, "who takes its place removes those that were its own");
	second = spawn_ready(serve_and_wait);
	ok(access(path("1.1"), F_OK) == 0, "another process of the domain has its own place");
	kill_child(second);
	hv_close(a);
	is(count_names(dir), 0, "who leaves last leaves nothing, of the killed ones neither");
}

static void test_watch_path(void)
{
	char value[SIVC_NODE_MAX];
	struct hv_watch *watch;
	struct hv *a, *b, *c;
	int calls = 0;

	fresh_dir("paths");
	b = domain(2);
	hv_watch_node(b, 1, "e", count_call, &calls, &watch);
	until(b, &calls, 1);
	settle(b);
	for (int round = 0; round < 3; round++) {
		a = domain(1);
		hv_serve(a, "e", NULL);
		settle(b);
		calls = 0;
		hv_node_write(a, "e", 2, "here");
		ok(until(b, &calls, 1), "a node that comes is seen, though its domain came later");
		is(hv_node_read(b, 1, "e", value, sizeof value), 0, "it is there");
		settle(b);
		calls = 0;
		hv_node_write(a, "e", 2, "there");
		ok(until(b, &calls, 1), "its change is seen");
		settle(b);
		calls = 0;
		c = domain(3);
		hv_serve(a, "f", NULL);
		hv_node_write(a, "f", 2, "other");
		hv_node_write(a, "e", 3, "other");
		settle(b);
		is(calls, 0, "what happens to other nodes, endpoints and domains is not");
		hv_close(c);
		hv_node_remove(a, "e", 2);
		ok(until(b, &calls, 1), "its going is seen");
		hv_node_write(a, "e", 2, "here");
		hv_unserve(a, "f");
		settle(b);
		calls = 0;
		hv_close(a);
		settle(b);

		ok(calls >= 1, "the end of the domain is seen, and its coming back");
	}
	hv_watch_free(watch);
	hv_close(b);
}

/* A directory that is removed says so itself only when nobody has it open any more. */
static void test_watch_held_directory(void)
{
	char value[SIVC_NODE_MAX];
	struct hv_watch *watch;
	int calls = 0, held;
	struct hv *a, *b;

	fresh_dir("held");
	a = domain(1);
	hv_serve(a, "e", NULL);
	b = domain(2);
	hv_watch_node(b, 1, "e", count_call, &calls, &watch);
	settle(b);
	held = open(path("1"), O_RDONLY | O_DIRECTORY);
	hv_unserve(a, "e");
	hv_close(a);
	settle(b);
	a = domain(1);
	hv_serve(a, "e", NULL);
	settle(b);
	calls = 0;
	hv_node_write(a, "e", 2, "new");
	ok(until(b, &calls, 1) && hv_node_read(b, 1, "e", value, sizeof value) == 0,
		"a third party that holds on to the old directory hides no change");
	close(held);
	hv_watch_free(watch);
	hv_unserve(a, "e");
	hv_close(a);
	hv_close(b);
}

struct freer {
	struct hv_watch *first, *second;
	int calls;
};

static void free_both(void *data)
{
	struct freer *f = data;

	f->calls++;
	hv_watch_free(f->first);
	hv_watch_free(f->second);
	f->first = f->second = NULL;
}

static void test_watch_free(void)
{
	struct freer f = {0};
	struct hv_watch *watch;
	int calls = 0, fd;
	struct hv *a, *b;

	fresh_dir("free");
	a = domain(1);
	hv_serve(a, "e", NULL);
	b = domain(2);
	hv_watch_node(b, 1, "e", count_call, &calls, &watch);
	hv_watch_free(watch);
	settle(b);
	is(calls, 0, "a watch that was freed does not fire");
	hv_watch_node(b, 1, "e", free_both, &f, &f.first);
	hv_watch_node(b, 1, "e", free_both, &f, &f.second);
	settle(b);
	is(f.calls, 1, "a callback may free any watch");
	fd = open_files();
	hv_watch_node(b, 1, "e", count_call, &calls, &watch);
	settle(b);
	hv_watch_free(watch);
	is(open_files(), fd, "a watch leaves no descriptor behind");
	settle(b);
	hv_node_write(a, "e", 2, "x");
	ok(!readable(hv_fd(b), QUIET_MS), "without a watch a change wakes nobody");
	hv_unserve(a, "e");
	hv_close(a);
	hv_close(b);
}

static void test_shared_directory(void)
{
	struct hv_watch *mine, *theirs;
	int m = 0, t = 0;
	struct hv *a, *b;

	fresh_dir("shared");
	a = domain(1);
	hv_serve(a, "e", NULL);
	b = domain(2);
	hv_watch_node(b, 1, "e", count_call, &m, &mine);
	hv_watch_node(b, 1, "e", count_call, &t, &theirs);
	settle(b);
	m = t = 0;
	hv_node_write(a, "e", 2, "x");
	settle(b);
	ok(m >= 1 && t >= 1, "of two watches on one node both fire");
	hv_watch_free(theirs);
	m = t = 0;
	hv_node_write(a, "e", 2, "y");
	settle(b);
	ok(m >= 1 && t == 0, "if one is freed the other one stays");
	hv_watch_free(mine);
	hv_unserve(a, "e");
	hv_close(a);
	hv_close(b);
}

static int64_t milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int rewrite_for_ever(int fd)
{
	struct hv *hv = domain(1);
	char value[SIVC_NODE_MAX];

	hv_serve(hv, "e", NULL);
	if (write(fd, "", 1) != 1)
		return 1;
	for (unsigned int i = 0;; i++) {
		snprintf(value, sizeof value, "%u", i);
		hv_node_write(hv, "e", 2, value);
	}
}

static void test_watch_flood(void)
{
	struct hv_watch *watch, *other;
	int calls = 0, calm = 0, wakes = 0;
	struct hv *b, *c;
	int64_t end;
	pid_t pid;

	fresh_dir("flood");
	pid = spawn_ready(rewrite_for_ever);
	b = domain(2);
	c = domain(3);
	hv_serve(c, "e", NULL);
	hv_watch_node(b, 1, "e", count_call, &calls, &watch);
	hv_watch_node(b, 3, "e", count_call, &calm, &other);
	for (end = milliseconds() + 1000; milliseconds() < end; wakes++) {
		readable(hv_fd(b), (int)(end - milliseconds()));
		hv_dispatch(b);
	}
	ok(calls > 1 && wakes < 1000,
		"a node that changes all the time wakes us a bounded number of times");
	printf("# %d wake-ups, %d calls in a second\n", wakes, calls);
	calm = 0;
	hv_node_write(c, "e", 2, "calm");
	ok(until(b, &calm, 1), "and hides no change of another one");
	kill_child(pid);
	settle(b);
	hv_watch_free(watch);
	hv_watch_free(other);
	hv_unserve(c, "e");
	hv_close(b);
	hv_close(c);
}

/* Names and domains. */

static bool has_name(struct hv *hv, const char *name, int domid)
{
	struct hv_name *names = NULL;
	int count = hv_names(hv, &names);
	bool found = false;

	for (int i = 0; i < count; i++)
		found |= strcmp(names[i].name, name) == 0 && names[i].domid == domid;
	free(names);
	return found;
}

static int web_and_wait(int fd)
{
	struct hv *hv;

	return open_as(7, "web", &hv) ? 1 : ready_and_wait(fd);
}

static void test_names(void)
{
	struct hv *a, *b, *c = NULL, *d;
	struct hv_watch *watch;
	struct hv_name *names;
	uint16_t *domids;
	int calls = 0;
	pid_t pid;

	fresh_dir("names");
	a = domain(1);
	names = (struct hv_name *)&calls;
	is(hv_names(a, &names), 0, "at first nobody has a name");
	ok(names == NULL, "and there is no array of none");
	hv_watch_names(a, NULL, 0, count_call, &calls, &watch);
	ok(until(a, &calls, 1), "a watch of the names fires soon after it was set");
	settle(a);
	calls = 0;
	pid = spawn_ready(web_and_wait);
	ok(until(a, &calls, 1) && has_name(a, "web", 7), "a name that comes is seen");
	is(open_as(8, "web", &c), -EEXIST, "a name that a live domain has is refused to another");
	ok(logged("domain 7") && c == NULL, "the log says whose it is");
	ok(has_name(a, "web", 7), "and it stays that domain's");
	is(open_as(7, "web", &c), 0, "another process of that domain may have it");
	names = NULL;
	is(hv_names(a, &names), 1, "it is still one name");
	free(names);
	settle(a);
	hv_close(c);
	ok(has_name(a, "web", 7), "and stays as long as one of them lives");
	b = domain(3);
	is(hv_domains(a, &domids), 3, "all that live here are domains, with a name or without");
	ok(domids[0] == 1 && domids[1] == 3 && domids[2] == 7, "and each is listed once");
	free(domids);
	settle(a);
	calls = 0;
	kill_child(pid);
	ok(until(a, &calls, 1), "the end of a domain is seen");
	ok(!has_name(a, "web", 7), "and its name is gone");
	is(hv_domains(a, &domids), 2, "and so is the domain");
	free(domids);
	is(open_as(8, "web", &c), 0, "the name of the dead is free");
	ok(has_name(a, "web", 8), "for another one");
	d = domain(7);
	ok(has_name(a, "web", 8) && !has_name(a, "web", 7), "whose successor does not inherit it");
	hv_close(d);
	settle(a);
	calls = 0;
	hv_close(c);
	ok(until(a, &calls, 1) && !has_name(a, "web", 8), "a name goes with its domain");
	hv_watch_free(watch);
	hv_close(a);
	hv_close(b);
	is(count_names(dir), 0, "nothing is left");
}

static void test_names_watches(void)
{
	struct hv_watch *first, *second;
	int calls = 0, others = 0;
	struct hv *a, *b;

	fresh_dir("names-watches");
	a = domain(1);
	hv_watch_names(a, NULL, 0, count_call, &calls, &first);
	hv_watch_names(a, NULL, 0, count_call, &others, &second);
	settle(a);
	ok(calls >= 1 && others >= 1, "of two watches of the names both fire");
	open_as(2, "db", &b);
	ok(has_name(a, "db", 2), "who watches the names sees a new one at once");
	calls = others = 0;
	settle(a);
	ok(calls >= 1 && others >= 1, "and is still called");
	hv_watch_free(first);
	calls = others = 0;
	hv_close(b);
	ok(!has_name(a, "db", 2), "one that goes, too");
	settle(a);
	ok(calls == 0 && others >= 1, "a watch that was freed is not called, the other one is");
	hv_watch_free(second);
	open_as(2, "db", &b);
	settle(a);
	ok(!readable(hv_fd(a), QUIET_MS) && has_name(a, "db", 2),
		"without a watch a name that comes wakes nobody, and is found");
	hv_close(a);
	hv_close(b);
}

/* Who asks for names is not disturbed by others'. */
static void test_names_asked_for(void)
{
	static const char *const asked[] = {"web", "db", "none"};
	uint16_t domids[3] = {1, 1, 1};
	char own[HV_NAME_MAX + 1] = "";
	struct hv_watch *watch, *all;
	struct hv *a, *b, *c;
	int calls = 0, files;

	fresh_dir("names-asked");
	open_as(1, "own", &a);
	open_as(2, "web", &b);
	is(hv_own_name(a, own), 0, "a domain's own name is known");
	ok(strcmp(own, "own") == 0, "and is what it was given");
	is(hv_lookup(a, asked, 3, domids), 0, "names can be looked up");
	ok(domids[0] == 2 && domids[1] == HV_NO_DOMAIN && domids[2] == HV_NO_DOMAIN,
		"those that nobody has are no domain's");
	is(hv_watch_names(a, asked, 3, count_call, &calls, &watch), 0, "and watched");
	ok(until(a, &calls, 1), "the watch fires soon after it was set");
	settle(a);
	calls = 0;
	files = open_files();
	open_as(3, "mail", &c);
	settle(a);
	is(calls, 0, "a name that was not asked for does not make it fire");
	hv_close(c);
	settle(a);
	is(calls, 0, "nor does its going");
	is(open_files(), files, "nor does it cost a descriptor");
	open_as(4, "db", &c);
	ok(until(a, &calls, 1), "one that was asked for does");
	ok(hv_lookup(a, asked, 3, domids) == 0 && domids[1] == 4, "it is found");
	settle(a);
	hv_watch_names(a, NULL, 0, count_call, &files, &all);
	settle(a);
	calls = 0;
	hv_close(c);
	ok(until(a, &calls, 1), "and so does its going");
	ok(hv_lookup(a, asked, 3, domids) == 0 && domids[1] == HV_NO_DOMAIN, "it is gone");
	hv_watch_free(all);
	hv_close(b);
	settle(a);
	ok(hv_lookup(a, asked, 3, domids) == 0 && domids[0] == HV_NO_DOMAIN,
		"also when another watch, of all names, was freed");
	hv_watch_free(watch);
	hv_close(a);
	b = domain(5);
	is(hv_own_name(b, own), -ENOENT, "a domain without a name has none");
	hv_close(b);
}

/* One process enters thousands of names, and takes one in and out all the time. */
static int flip_for_ever(int fd)
{
	enum { MANY = 2000 };
	static char flipped[PATH_MAX], other[PATH_MAX];
	int fifo = -1;

	mkdir(path("9"), 0700);
	for (int i = 0; i < MANY; i++) {
		const char *entry = path("9.%d=n%d", i % 256, i);

		mkfifo(entry, 0600);
		fifo = open(entry, O_RDWR | O_NONBLOCK);
	}
	strcpy(flipped, path("9.0=n0"));
	strcpy(other, path("9.0=other"));
	if (fifo < 0 || write(fd, "", 1) != 1)
		return 1;
	for (;;)
		if (rename(flipped, other) || rename(other, flipped))
			return 1;
}

static int64_t processor_ms(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

/* Asks who lives each time that it is called, as whoever permits everybody does. */
static struct hv *asking;

static void ask_for_all(void *data)
{
	uint16_t *domids = NULL;

	++*(int *)data;
	if (hv_domains(asking, &domids) > 0)
		free(domids);
}

static void flipped_for_a_second(
	const char *const *names, size_t count, int64_t most, const char *what)
{
	struct hv_watch *watch;
	int64_t end, used;
	int calls = 0;

	hv_watch_names(asking, names, count, ask_for_all, &calls, &watch);
	hv_dispatch(asking);
	used = processor_ms();
	for (end = milliseconds() + 1000; milliseconds() < end;) {
		readable(hv_fd(asking), (int)(end - milliseconds()));
		hv_dispatch(asking);
	}
	used = processor_ms() - used;
	printf("# %d calls, %d ms of the processor\n", calls, (int)used);
	ok(used < most, "%s", what);
	hv_watch_free(watch);
}

static void test_many_names(void)
{
	static const char *const web[] = {"web"};
	struct rlimit files;
	pid_t pid;

	getrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){files.rlim_max, files.rlim_max});
	fresh_dir("many-names");
	asking = domain(1);
	pid = spawn_ready(flip_for_ever);
	flipped_for_a_second(web, 1, 300,
		"thousands of names that nobody has asked for cost a part of a processor");
	flipped_for_a_second(
		NULL, 0, 400, "those that somebody has asked for cost a part of it, too");
	kill_child(pid);
	hv_close(asking);
	setrlimit(RLIMIT_NOFILE, &files);
}

static void test_squatter(void)
{
	struct hv_name *names = NULL;
	struct hv *a, *b, *c;
	int fd;

	fresh_dir("squatter");
	open_as(1, "web", &a);
	b = domain(2);
	/* Domain 2 ignores the rules and enters itself as web. */
	mkfifo(path("2.9=web"), 0644);
	fd = open(path("2.9=web"), O_RDWR | O_NONBLOCK);
	is(hv_names(b, &names), 1, "a name belongs to one domain");
	ok(names && names[0].domid == 1, "the one that has it longer");
	free(names);
	close(fd);
	mkfifo(path("3.0=db"), 0644);
	fd = open(path("3.0=db"), O_RDWR | O_NONBLOCK);
	ok(!has_name(b, "db", 3), "a name without a domain is none");
	mkdir(path("3"), 0755);
	ok(has_name(b, "db", 3), "with one it is");
	if (geteuid() == 0 && fchown(fd, NOBODY, NOBODY) == 0) {
		ok(!has_name(b, "db", 3), "but another user cannot give the domain one");
		if (fchown(fd, 0, 0))
			return;
	}
	is(link(path("3.0=db"), path("3.1=mail")), 0, "the same process enters a second time");
	ok(!has_name(b, "mail", 3) && !has_name(b, "db", 3), "that is no process");
	close(fd);
	rmdir(path("3"));
	unlink(path("3.1=mail"));
	unlink(path("2.9=web"));
	unlink(path("3.0=db"));
	close(open(path("4.0=file"), O_CREAT | O_WRONLY, 0600));
	close(open(path("99999.0"), O_CREAT | O_WRONLY, 0600));
	close(open(path("README"), O_CREAT | O_WRONLY, 0600));
	names = NULL;
	is(hv_names(b, &names), 1, "foreign files in the directory are not looked at");
	free(names);
	is(open_as(4, NULL, &c), 0, "and do no harm");
	hv_close(c);
	hv_close(a);
	hv_close(b);
}

static void test_instances(void)
{
	struct hv *all[257];
	struct rlimit files;
	int opened = 0;

	getrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){files.rlim_max, files.rlim_max});
	fresh_dir("instances");
	while (opened < 257 && open_as(5, NULL, &all[opened]) == 0)
		opened++;
	is(opened, 256, "a domain has at most 256 processes");
	ok(logged("domain 5"), "and the log says so");
	hv_close(all[100]);
	is(open_as(5, NULL, &all[100]), 0, "the place of one that left is free");
	while (opened)
		hv_close(all[--opened]);
	setrlimit(RLIMIT_NOFILE, &files);
	is(count_names(dir), 0, "nothing is left");
}

/* Shortages. */

static int full_disk(int fd)
{
	void *small, *large;
	struct hv *a = NULL;
	uint32_t refs[64];
	int lines;

	(void)fd;
	mkdir(dir, 0700);
	if (unshare(CLONE_NEWNS) || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) ||
		mount("tmpfs", dir, "tmpfs", 0, "size=128k,mode=700"))
		return 77;
	a = domain(1);
	if (hv_share(a, 2, 4, true, NULL, &small, refs))
		return 1;
	lines = log_lines;
	for (int i = 0; i < 10; i++)
		if (hv_share(a, 2, 64, true, NULL, &large, refs) != -ENOSPC)
			return 2;
	if (log_lines != lines + 1 || !logged("make room"))
		return 3;
	memset(small, 1, 4 * SIVC_PAGE_SIZE);
	if (hv_share(a, 2, 4, true, NULL, &large, refs)) /* room for it was given back */
		return 4;
	hv_unshare(a, small, 4);
	hv_unshare(a, large, 4);
	hv_close(a);
	return count_names(dir);
}

static int full_inodes(int fd)
{
	struct hv *a = NULL;

	(void)fd;
	mkdir(dir, 0700);
	if (unshare(CLONE_NEWNS) || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) ||
		mount("tmpfs", dir, "tmpfs", 0, "nr_inodes=3,mode=700"))
		return 77;
	return open_as(1, NULL, &a) == -ENOSPC && logged("make room") && !a ? 0 : 1;
}

static void test_full(void)
{
	int status;

	fresh_dir("full");
	status = status_of(spawn(full_disk, -1));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		skip("a full disk", "cannot mount a tmpfs here");
		return;
	}
	is(status, 0, "a full disk is ENOSPC when pages are shared, said once, and no fault later");
	is(status_of(spawn(full_inodes, -1)), 0, "and when a domain is opened");
}

/* One of everything: false if any of it failed. */
static bool use_everything(void)
{
	struct hv_events *events = NULL;
	struct hv_port *port = NULL;
	struct hv_watch *watch = NULL, *names = NULL;
	struct hv *hv = NULL;
	void *page = NULL;
	bool worked = open_as(1, "n", &hv) == 0;
	uint32_t ref;
	int calls = 0;

	if (!worked)
		return false;
	worked &= hv_serve(hv, "e", NULL) == 0;
	worked &= hv_events_new(hv, &events) == 0;
	worked &= events && hv_port_alloc(events, 1, count_call, NULL, &port) == 0;
	worked &= hv_share(hv, 1, 1, true, NULL, &page, &ref) == 0;
	worked &= hv_watch_node(hv, 1, "e", count_call, &calls, &watch) == 0;
	worked &= hv_watch_names(hv, NULL, 0, count_call, &calls, &names) == 0;
	hv_watch_free(names);
	hv_watch_free(watch);
	if (page)
		hv_unshare(hv, page, 1);
	hv_port_free(port);
	hv_events_free(events);
	hv_unserve(hv, "e");
	hv_close(hv);
	return worked;
}

/* With every number of descriptors from too few to enough: a clean error, or all works. */
static int few_descriptors(int fd)
{
	int before = open_files();
	bool worked = false;

	(void)fd;
	for (rlim_t limit = 4; limit < 40 && !worked; limit++) {
		struct rlimit small = {limit, 64};

		setrlimit(RLIMIT_NOFILE, &small);
		worked = use_everything();
		setrlimit(RLIMIT_NOFILE, &(struct rlimit){64, 64});
		if (open_files() != before)
			return 2;
	}
	return worked ? 0 : 1;
}

/* The same when one allocation fails, each in its turn. */
static int little_memory(int fd)
{
	int before = open_files();
	bool worked = false;

	(void)fd;
	for (unsigned long nth = 1; !worked; nth++) {
		memory_failed = false;
		memory_fails = nth;
		worked = use_everything() && !memory_failed;
		memory_fails = 0;
		if (open_files() != before)
			return 2;
		if (!worked && !memory_failed)
			return 3;
	}
	return 0;
}

static void test_memory(void)
{
	fresh_dir("memory");
	ok(child_says_yes(little_memory), "where memory is short there are errors, and no leaks");
	is(count_names(dir), 0, "nor files that nobody needs");
}

/* An event is not lost, although the owner cannot open the FIFO for good. */
static int notify_without_descriptors(int fd)
{
	struct channel c;
	struct rlimit limit;
	int taken;

	(void)fd;
	if (freopen("/dev/null", "w", stdout) == NULL)
		return 1;
	channel_init(&c);
	getrlimit(RLIMIT_NOFILE, &limit);
	taken = dup(0);
	limit.rlim_cur = (rlim_t)taken + 1;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (dup(0) >= 0)
		return 2;
	for (int i = 0; i < 3; i++) {
		hv_port_notify(c.pa);
		if (!readable(hv_events_fd(c.at_b), SOON_MS) || hv_events_dispatch(c.at_b) != 1)
			return 3;
		hv_port_unmask(c.pb);
	}
	channel_deinit(&c);
	return 0;
}

static void test_descriptors(void)
{
	fresh_dir("few");
	ok(child_says_yes(few_descriptors),
		"with too few descriptors there are errors, and no leaks");
	is(count_names(dir), 0, "nor files that nobody needs");
	fresh_dir("notify");
	ok(child_says_yes(notify_without_descriptors), "and no event is lost");
}

static int remove_all(const char *top)
{
	char command[PATH_MAX];

	snprintf(command, sizeof command, "rm -rf '%s'", top);
	return system(command);
}

int main(void)
{
	const char *tmp = getenv("TMPDIR");
	int before;

	snprintf(base, sizeof base, "%s/test_hv_local.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(base)) {
		printf("Bail out! %s: %s\n", base, strerror(errno));
		return EXIT_FAILURE;
	}
	chmod(base, 0755);
	before = open_files();
	test_foreign_faults();
	test_choice();
	test_name_grammar();
	test_config();
	test_directory();
	test_mountpoint();
	test_foreign_file_system();
	test_owner();
	test_modes();
	test_pages();
	test_read_only();
	test_references();
	test_never_unmapped();
	test_truncation();
	test_hostile_files();
	test_foreign_owners();
	test_events();
	test_masking();
	test_stolen_event();
	test_binding();
	test_free_in_callback();
	test_batch();
	test_nodes();
	test_serving_twice();
	test_death();
	test_leftovers();
	test_watch_path();
	test_watch_held_directory();
	test_watch_free();
	test_shared_directory();
	test_watch_flood();
	test_names();
	test_names_watches();
	test_names_asked_for();
	test_many_names();
	test_squatter();
	test_instances();
	test_full();
	test_descriptors();
	test_memory();
	is(open_files(), before, "no descriptor was left open by any of this");
	remove_all(base);
	return done_testing();
}
