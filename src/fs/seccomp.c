/* SPDX-License-Identifier: MIT */
#include "sandbox.h"

#if SIVC_HAVE_SECCOMP

#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exit_wait.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The kinds (_IOC_TYPE) of <linux/fuse.h>, <xen/sys/gntalloc.h> and gntdev.h, <xen/sys/evtchn.h>.
 */
#define FUSE_IOCTLS   229
#define GRANT_IOCTLS  'G'
#define EVTCHN_IOCTLS 'E'

static const int allowed[] = {
	/* Descriptors: messages, the directory, devices. */
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(pread64),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(pwrite64),
	SCMP_SYS(close),
	SCMP_SYS(dup),
	SCMP_SYS(dup2),
	SCMP_SYS(dup3),
	SCMP_SYS(lseek),
	SCMP_SYS(_llseek),
	SCMP_SYS(pipe2),
	SCMP_SYS(fallocate),
	SCMP_SYS(ftruncate),
	SCMP_SYS(ftruncate64),
	SCMP_SYS(fchown),
	SCMP_SYS(fchown32),
	SCMP_SYS(fstat),
	SCMP_SYS(fstat64),
	SCMP_SYS(fstatfs),
	SCMP_SYS(fstatfs64),
	SCMP_SYS(getdents64),
	SCMP_SYS(flock),
	/* Names. */
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(openat2),
	SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(stat),
	SCMP_SYS(stat64),
	SCMP_SYS(lstat),
	SCMP_SYS(lstat64),
	SCMP_SYS(newfstatat),
	SCMP_SYS(fstatat64),
	SCMP_SYS(statx),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(symlinkat), /* a node of the local backend */
	SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat),
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(rmdir),
	SCMP_SYS(rename),
	SCMP_SYS(renameat),
	SCMP_SYS(renameat2),
	SCMP_SYS(getcwd),
	SCMP_SYS(chdir),
	SCMP_SYS(umask),
	/* Waiting. */
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(ppoll_time64),
	SCMP_SYS(select),
	SCMP_SYS(pselect6),
	SCMP_SYS(pselect6_time64),
	SCMP_SYS(epoll_create),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(timerfd_settime64),
	SCMP_SYS(timerfd_gettime),
	SCMP_SYS(timerfd_gettime64),
	SCMP_SYS(signalfd),
	SCMP_SYS(signalfd4),
	SCMP_SYS(eventfd2),
	SCMP_SYS(inotify_init1),
	SCMP_SYS(inotify_add_watch),
	SCMP_SYS(inotify_rm_watch),
	SCMP_SYS(pidfd_open),
	SCMP_SYS(wait4),
	SCMP_SYS(waitid),
	SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(clock_nanosleep_time64),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(sched_yield),
	/* Memory; mmap and mprotect are below. */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	/* Threads (libxenstore has one) and signals. */
	SCMP_SYS(futex),
	SCMP_SYS(futex_time64),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(set_tid_address),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(setsid),
	/* What it is and what time it is. */
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(getuid),
	SCMP_SYS(getuid32),
	SCMP_SYS(geteuid),
	SCMP_SYS(geteuid32),
	SCMP_SYS(getgid),
	SCMP_SYS(getgid32),
	SCMP_SYS(getegid),
	SCMP_SYS(getegid32),
	SCMP_SYS(getrlimit),
	SCMP_SYS(ugetrlimit),
	SCMP_SYS(uname),
	SCMP_SYS(sysinfo),
	SCMP_SYS(getrandom),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_gettime64),
	SCMP_SYS(clock_getres),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	/* syslog and xenstored; socket is below. */
	SCMP_SYS(connect),
	SCMP_SYS(send),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recv),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(shutdown),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
};

/* What is left to the mounter: waiting, reading the file of acl=, and unmounting. */
static const int allowed_to_mounter[] = {
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(close),
	SCMP_SYS(lseek),
	SCMP_SYS(_llseek),
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(fstat),
	SCMP_SYS(fstat64),
	SCMP_SYS(newfstatat),
	SCMP_SYS(fstatat64),
	SCMP_SYS(statx),
	SCMP_SYS(fstatfs),
	SCMP_SYS(fstatfs64),
	SCMP_SYS(memfd_create),
	SCMP_SYS(sendmsg),
	SCMP_SYS(umount),
	SCMP_SYS(umount2),
	SCMP_SYS(alarm),
	SCMP_SYS(setitimer),
	SCMP_SYS(geteuid),
	SCMP_SYS(geteuid32),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigreturn),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(exit_group),
};

/* A call with a condition on an argument. */
struct condition {
	int call;
	struct scmp_arg_cmp argument;
};

#define MASKED(number, mask, value)                                                                \
	{                                                                                          \
		.arg = (number), .op = SCMP_CMP_MASKED_EQ, .datum_a = (mask), .datum_b = (value)   \
	}
#define OF_ITSELF MASKED(0, UINT32_MAX, 0)
/* The kernel looks at 32 bits. */
#define KIND_OF_IOCTL(kind) MASKED(1, _IOC_TYPEMASK << _IOC_TYPESHIFT, (kind) << _IOC_TYPESHIFT)
#define EQUALS(number, value)                                                                      \
	{                                                                                          \
		.arg = (number), .op = SCMP_CMP_EQ, .datum_a = (value)                             \
	}

static const struct condition conditions[] = {
	/* syslog and xenstored are reached by Unix sockets; there is no other network. */
	{SCMP_SYS(socket), EQUALS(0, AF_UNIX)},
	/* Threads, and no processes.  (clone3 does not show its flags: it does not exist.) */
	{SCMP_SYS(clone), MASKED(0, CLONE_THREAD, CLONE_THREAD)},
	/* No memory that can be written and executed; a library that is loaded has none. */
	{SCMP_SYS(mmap), MASKED(2, PROT_EXEC, 0)},
	{SCMP_SYS(mmap), MASKED(2, PROT_EXEC | PROT_WRITE, PROT_EXEC)},
	{SCMP_SYS(mmap2), MASKED(2, PROT_EXEC, 0)},
	{SCMP_SYS(mmap2), MASKED(2, PROT_EXEC | PROT_WRITE, PROT_EXEC)},
	{SCMP_SYS(mprotect), MASKED(2, PROT_EXEC, 0)},
	{SCMP_SYS(mprotect), MASKED(2, PROT_EXEC | PROT_WRITE, PROT_EXEC)},
	/* Its own limits: a limit of processor time would end another process of the same user. */
	{SCMP_SYS(prlimit64), OF_ITSELF},
	/* Of FUSE and of Xen's devices.  What a terminal knows would type commands into it. */
	{SCMP_SYS(ioctl), KIND_OF_IOCTL(FUSE_IOCTLS)},
	{SCMP_SYS(ioctl), KIND_OF_IOCTL(GRANT_IOCTLS)},
	{SCMP_SYS(ioctl), KIND_OF_IOCTL(EVTCHN_IOCTLS)},
	/* And how a process has ended. */
	{SCMP_SYS(ioctl), MASKED(1, UINT32_MAX, PROCESS_INFO)},
	/*
	 * Not whom a descriptor signals and with what (F_SETOWN, F_SETSIG): that would end any
	 * process. The kernel looks at 32 bits.
	 */
	{SCMP_SYS(fcntl), MASKED(1, UINT32_MAX, F_GETFL)},
	{SCMP_SYS(fcntl), MASKED(1, UINT32_MAX, F_SETFL)},
	{SCMP_SYS(fcntl), MASKED(1, UINT32_MAX, F_GETFD)},
	{SCMP_SYS(fcntl), MASKED(1, UINT32_MAX, F_SETFD)},
	{SCMP_SYS(fcntl), MASKED(1, UINT32_MAX, F_DUPFD_CLOEXEC)},
	{SCMP_SYS(fcntl), MASKED(1, UINT32_MAX, F_SETPIPE_SZ)},
	{SCMP_SYS(fcntl), MASKED(1, UINT32_MAX, F_OFD_SETLK)},
	{SCMP_SYS(fcntl), MASKED(1, UINT32_MAX, F_OFD_GETLK)},
	{SCMP_SYS(fcntl64), MASKED(1, UINT32_MAX, F_GETFL)},
	{SCMP_SYS(fcntl64), MASKED(1, UINT32_MAX, F_SETFL)},
	{SCMP_SYS(fcntl64), MASKED(1, UINT32_MAX, F_GETFD)},
	{SCMP_SYS(fcntl64), MASKED(1, UINT32_MAX, F_SETFD)},
	{SCMP_SYS(fcntl64), MASKED(1, UINT32_MAX, F_DUPFD_CLOEXEC)},
	{SCMP_SYS(fcntl64), MASKED(1, UINT32_MAX, F_SETPIPE_SZ)},
	{SCMP_SYS(fcntl64), MASKED(1, UINT32_MAX, F_OFD_SETLK)},
	{SCMP_SYS(fcntl64), MASKED(1, UINT32_MAX, F_OFD_GETLK)},
	/* No set-id bits. */
	{SCMP_SYS(fchmod), MASKED(1, S_ISUID | S_ISGID, 0)},
	/* FIFOs are the local backend's event channels; there are no devices to be made. */
	{SCMP_SYS(mknodat), MASKED(2, S_IFMT, S_IFIFO)},
};

static int allow_calls(scmp_filter_ctx filter, const int *calls, size_t count)
{
	int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	for (size_t i = 0; r == 0 && i < count; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	return r;
}

static int allow_conditions(scmp_filter_ctx filter)
{
	/* abort() and raise(), and nobody else's threads. */
	const struct scmp_arg_cmp own = EQUALS(0, (scmp_datum_t)getpid());
	int r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &own);

	for (size_t i = 0; r == 0 && i < COUNT(conditions); i++)
		r = seccomp_rule_add_array(
			filter, SCMP_ACT_ALLOW, conditions[i].call, 1, &conditions[i].argument);
	return r;
}

static int install(const int *calls, size_t count, bool with_conditions)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int r;

	if (!filter)
		return -ENOMEM;
	r = allow_calls(filter, calls, count);
	if (r == 0 && with_conditions)
		r = allow_conditions(filter);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}

int sandbox_calls(void)
{
	return install(allowed, COUNT(allowed), true);
}

int sandbox_mounter_calls(void)
{
	return install(allowed_to_mounter, COUNT(allowed_to_mounter), false);
}

#else

int sandbox_calls(void)
{
	return 0;
}

int sandbox_mounter_calls(void)
{
	return 0;
}

#endif
