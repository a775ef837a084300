/* SPDX-License-Identifier: MIT */
/*
 * The filter of system calls is sivcfs' own and no part of libsivc, so it is built into this test.
 * Each call is made by a process of its own, which has the filter.
 */
#define SIVC_HAVE_SECCOMP 1
#include "../../src/fs/seccomp.c"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/nsfs.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tap.h"

#define PAGE 4096

/* A call, with its first arguments; what it gives, or -errno. */
struct call {
	const char *name;
	long number;
	long arguments[5];
};

static long make(const struct call *call)
{
	const long *a = call->arguments;
	long r = syscall(call->number, a[0], a[1], a[2], a[3], a[4], 0);

	return r < 0 ? -errno : r;
}

enum outcome {
	WORKS,
	MISSING, /* ENOSYS */
	FAILS,
	UNFILTERED,
};

static enum outcome outcome_of(long (*fn)(const void *data), const void *data)
{
	pid_t pid = fork();
	int status;
	long r;

	if (pid == 0) {
		if (sandbox_calls() < 0)
			_exit(UNFILTERED);
		r = fn(data);
		_exit(r >= 0 ? WORKS : r == -ENOSYS ? MISSING : FAILS);
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		return FAILS;
	return (enum outcome)WEXITSTATUS(status);
}

static long make_any(const void *data)
{
	return make(data);
}

static void test_forbidden(void)
{
	static char *const none[] = {NULL};
	const struct call calls[] = {
		{"executing", SYS_execve, {(intptr_t) "/bin/true", (intptr_t)none, (intptr_t)none}},
		{"executing a file", SYS_execveat,
			{AT_FDCWD, (intptr_t) "/bin/true", (intptr_t)none, 0, 0}},
		{"making a process", SYS_clone, {SIGCHLD}},
		{"tracing", SYS_ptrace, {PTRACE_TRACEME}},
		{"reading another's memory", SYS_process_vm_readv, {1}},
		{"writing another's memory", SYS_process_vm_writev, {1}},
		{"a signal to another", SYS_kill, {1, 0}},
		{"mounting", SYS_mount, {(intptr_t) "none", (intptr_t) "/nowhere"}},
		{"unmounting", SYS_umount2, {(intptr_t) "/nowhere"}},
		{"a new root", SYS_chroot, {(intptr_t) "/nowhere"}},
		{"a namespace", SYS_unshare, {CLONE_NEWUSER}},
		{"another's namespace", SYS_setns, {-1}},
		{"another user", SYS_setresuid, {-1, -1, -1}},
		{"other groups", SYS_setgroups, {-1}},
		{"capabilities", SYS_capset, {0}},
		{"a module", SYS_init_module, {0}},
		{"a program in the kernel", SYS_bpf, {-1}},
		{"a key", SYS_keyctl, {-1}},
		{"io_uring", SYS_io_uring_setup, {0}},
		{"a file by its handle", SYS_open_by_handle_at, {-1}},
		{"a link", SYS_linkat,
			{AT_FDCWD, (intptr_t) "/nowhere/x", AT_FDCWD, (intptr_t) "/nowhere/y"}},
		{"an Internet socket", SYS_socket, {AF_INET, SOCK_STREAM}},
		{"a netlink socket", SYS_socket, {AF_NETLINK, SOCK_RAW}},
		{"a packet socket", SYS_socket, {AF_PACKET, SOCK_RAW}},
		{"listening", SYS_listen, {-1, 1}},
	};

	for (size_t i = 0; i < COUNT(calls); i++)
		ok(outcome_of(make_any, &calls[i]) == MISSING, "%s does not exist", calls[i].name);
}

/* Each of the calls that a process in the wrong hands would want, whatever its arguments are; those
 * that this kind of machine does not have are left out. */
static void test_never(void)
{
	static const char *const names[] = {"execve", "execveat", "fork", "vfork", "kill", "tkill",
		"rt_sigqueueinfo", "rt_tgsigqueueinfo", "ptrace", "process_vm_readv",
		"process_vm_writev", "pidfd_getfd", "pidfd_send_signal", "kcmp", "mount", "umount",
		"umount2", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick",
		"mount_setattr", "pivot_root", "chroot", "setns", "unshare", "swapon", "swapoff",
		"open_by_handle_at", "quotactl", "link", "linkat", "symlink", "mknod", "setuid",
		"setuid32", "setgid", "setgid32", "setreuid", "setreuid32", "setregid",
		"setregid32", "setresuid", "setresuid32", "setresgid", "setresgid32", "setfsuid",
		"setfsuid32", "setfsgid", "setfsgid32", "setgroups", "setgroups32", "capset",
		"personality", "init_module", "finit_module", "delete_module", "kexec_load",
		"kexec_file_load", "bpf", "perf_event_open", "userfaultfd", "io_uring_setup",
		"keyctl", "add_key", "request_key", "reboot", "syslog", "iopl", "ioperm",
		"settimeofday", "clock_settime", "adjtimex", "sethostname", "setdomainname", "bind",
		"listen", "accept", "accept4"};
	unsigned int tried = 0;

	for (size_t i = 0; i < COUNT(names); i++) {
		struct call call = {
			names[i], seccomp_syscall_resolve_name(names[i]), {-1, -1, -1, -1, -1}};

		if (call.number < 0)
			continue;
		tried++;
		ok(outcome_of(make_any, &call) == MISSING, "%s does not exist", names[i]);
	}
	ok(tried > 60, "%u calls were tried", tried);
}

static char page[PAGE] __attribute__((aligned(PAGE)));

static void test_missing(void)
{
	const struct call calls[] = {
		{"a call that nothing here makes", SYS_sysfs, {1}},
		{"a call that is newer than the filter", 1000, {0}},
		{"memory to write and execute", SYS_mmap,
			{0, PAGE, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1}},
		{"making memory such", SYS_mprotect,
			{(intptr_t)page, PAGE, PROT_WRITE | PROT_EXEC}},
		{"a device", SYS_mknodat, {AT_FDCWD, (intptr_t) "/nowhere/x", S_IFCHR}},
		{"a signal to another's thread", SYS_tgkill, {1, 1, 0}},
		{"a limit of another", SYS_prlimit64, {getppid(), RLIMIT_CPU, 0, 0}},
		{"typing into a terminal", SYS_ioctl, {-1, TIOCSTI}},
		{"the same, with bits that the kernel ignores", SYS_ioctl,
			{-1, TIOCSTI | (long)UINT32_MAX << 32}},
		{"a namespace of a descriptor", SYS_ioctl, {-1, NS_GET_USERNS}},
		{"a namespace of a process", SYS_ioctl, {-1, _IO(0xFF, 9)}},
		{"a file's copy", SYS_ioctl, {-1, FICLONE}},
		/* Allowed calls, with arguments that would do something else. */
		{"signals of a descriptor to another", SYS_fcntl, {0, F_SETOWN, 1}},
		{"the same, with bits that the kernel ignores", SYS_fcntl,
			{0, F_SETOWN | (long)UINT32_MAX << 32, 1}},
		{"the same, to a thread", SYS_fcntl, {0, F_SETOWN_EX, (intptr_t)page}},
		{"another signal of a descriptor", SYS_fcntl, {0, F_SETSIG, SIGKILL}},
		{"a signal for a directory", SYS_fcntl, {0, F_NOTIFY, 1}},
		{"a lease", SYS_fcntl, {0, F_SETLEASE, F_RDLCK}},
		{"a set-user-id bit", SYS_fchmod, {0, 04755}},
		{"a set-group-id bit", SYS_fchmod, {0, 02755}},
	};

	for (size_t i = 0; i < COUNT(calls); i++)
		ok(outcome_of(make_any, &calls[i]) == MISSING, "%s does not exist", calls[i].name);
}

static void *nothing(void *data)
{
	return data;
}

static long make_thread(const void *data)
{
	pthread_t thread;
	int r = pthread_create(&thread, NULL, nothing, NULL);

	(void)data;
	return r ? -r : -pthread_join(thread, NULL);
}

/* As libxenstore does; it loads a library. */
static long cancel_thread(const void *data)
{
	pthread_t thread;
	int r = pthread_create(&thread, NULL, (void *(*)(void *))(uintptr_t)pause, NULL);

	(void)data;
	if (r == 0)
		r = pthread_cancel(thread);
	return r ? -r : -pthread_join(thread, NULL);
}

static long make_fifo(const void *data)
{
	char dir[] = "/tmp/sivc-filter-XXXXXX";
	long r;

	(void)data;
	if (!mkdtemp(dir) || chdir(dir) < 0)
		return -errno;
	r = mkfifo("fifo", 0600) < 0 ? -errno : 0;
	unlink("fifo");
	rmdir(dir);
	return r;
}

static long make_socket(const void *data)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)data;
	return fd < 0 ? -errno : close(fd);
}

static long raise_own(const void *data)
{
	(void)data;
	signal(SIGUSR1, SIG_IGN);
	return raise(SIGUSR1);
}

/* FUSE_DEV_IOC_CLONE, how a process has ended, and the numbers of Xen's devices: whether it is them
 * is for the lab to show.
 */
static const unsigned long ioctls[] = {
	_IOR(229, 0, uint32_t),
	PROCESS_INFO,
	_IOC(_IOC_NONE, 'G', 5, 24),
	_IOC(_IOC_NONE, 'G', 0, 24),
	_IOC(_IOC_NONE, 'E', 0, 4),
};

static void test_works(void)
{
	/* A library that is loaded. */
	const struct call map = {
		"", SYS_mmap, {0, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1}};
	const struct call limit = {"", SYS_prlimit64, {0, RLIMIT_NOFILE, 0, (intptr_t)page}};
	const struct call flags = {"", SYS_fcntl, {1, F_GETFL}};
	const struct call mode = {"", SYS_fchmod, {-1, 0640}};
	const struct call protect = {
		"", SYS_mprotect, {(intptr_t)page, PAGE, PROT_READ | PROT_EXEC}};

	is(outcome_of(make_any, &map), WORKS, "code can be mapped");
	is(outcome_of(make_any, &protect), WORKS, "and protected");
	is(outcome_of(make_any, &limit), WORKS, "its limits are known");
	is(outcome_of(make_any, &flags), WORKS, "a descriptor's flags are known");
	is(outcome_of(make_any, &mode), FAILS, "a mode can be changed, where there is a file");
	for (size_t i = 0; i < COUNT(ioctls); i++) {
		const struct call call = {"", SYS_ioctl, {-1, (long)ioctls[i]}};

		is(outcome_of(make_any, &call), FAILS, "an ioctl comes to its device");
	}
	is(outcome_of(make_thread, NULL), WORKS, "a thread can be made");
	is(outcome_of(cancel_thread, NULL), WORKS, "and cancelled");
	is(outcome_of(make_fifo, NULL), WORKS, "a FIFO can be made");
	is(outcome_of(make_socket, NULL), WORKS, "a Unix socket can be made");
	is(outcome_of(raise_own, NULL), WORKS, "a signal can be raised");
}

int main(void)
{
	test_forbidden();
	test_never();
	test_missing();
	test_works();
	return done_testing();
}
