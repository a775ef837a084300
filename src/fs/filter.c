/* SPDX-License-Identifier: MIT */
#include "filter.h"

#if SIVC_HAVE_SECCOMP

#include <errno.h>
#include <linux/ioctl.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

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
	SCMP_SYS(fcntl),
	SCMP_SYS(fcntl64),
	SCMP_SYS(lseek),
	SCMP_SYS(_llseek),
	SCMP_SYS(pipe2),
	SCMP_SYS(fallocate),
	SCMP_SYS(ftruncate),
	SCMP_SYS(ftruncate64),
	SCMP_SYS(fchmod),
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

static const int deadly[] = {
	/* Other programs and processes. */
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(fork),
	SCMP_SYS(vfork),
	SCMP_SYS(kill),
	SCMP_SYS(tkill),
	SCMP_SYS(rt_sigqueueinfo),
	SCMP_SYS(rt_tgsigqueueinfo),
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(pidfd_send_signal),
	SCMP_SYS(kcmp),
	/* File systems and namespaces. */
	SCMP_SYS(mount),
	SCMP_SYS(umount),
	SCMP_SYS(umount2),
	SCMP_SYS(move_mount),
	SCMP_SYS(open_tree),
	SCMP_SYS(fsopen),
	SCMP_SYS(fsconfig),
	SCMP_SYS(fsmount),
	SCMP_SYS(fspick),
	SCMP_SYS(mount_setattr),
	SCMP_SYS(pivot_root),
	SCMP_SYS(chroot),
	SCMP_SYS(setns),
	SCMP_SYS(unshare),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(quotactl),
	SCMP_SYS(link),
	SCMP_SYS(linkat),
	SCMP_SYS(symlink),
	SCMP_SYS(mknod),
	/* Other identities. */
	SCMP_SYS(setuid),
	SCMP_SYS(setuid32),
	SCMP_SYS(setgid),
	SCMP_SYS(setgid32),
	SCMP_SYS(setreuid),
	SCMP_SYS(setreuid32),
	SCMP_SYS(setregid),
	SCMP_SYS(setregid32),
	SCMP_SYS(setresuid),
	SCMP_SYS(setresuid32),
	SCMP_SYS(setresgid),
	SCMP_SYS(setresgid32),
	SCMP_SYS(setfsuid),
	SCMP_SYS(setfsuid32),
	SCMP_SYS(setfsgid),
	SCMP_SYS(setfsgid32),
	SCMP_SYS(setgroups),
	SCMP_SYS(setgroups32),
	SCMP_SYS(capset),
	SCMP_SYS(personality),
	/* The kernel. */
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(keyctl),
	SCMP_SYS(add_key),
	SCMP_SYS(request_key),
	SCMP_SYS(reboot),
	SCMP_SYS(syslog),
	SCMP_SYS(iopl),
	SCMP_SYS(ioperm),
	SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime),
	SCMP_SYS(adjtimex),
	SCMP_SYS(sethostname),
	SCMP_SYS(setdomainname),
	/* Being a server. */
	SCMP_SYS(bind),
	SCMP_SYS(listen),
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
};

/* A call with a condition on an argument, which has a 0 in the place of those it does not mean. */
struct condition {
	int call;
	uint32_t action;
	struct scmp_arg_cmp argument;
};

#define MASKED(number, mask, value)                                                                \
	{                                                                                          \
		.arg = (number), .op = SCMP_CMP_MASKED_EQ, .datum_a = (mask), .datum_b = (value)   \
	}
#define OF_ITSELF MASKED(0, UINT32_MAX, 0)
/* The kernel looks at 32 bits. */
#define KIND_OF_IOCTL(kind) MASKED(1, _IOC_TYPEMASK << _IOC_TYPESHIFT, (kind) << _IOC_TYPESHIFT)
#define KIND_OF_SOCKET(operator)                                                                   \
	{                                                                                          \
		.arg = 0, .op = (operator), .datum_a = AF_UNIX                                     \
	}

static const struct condition conditions[] = {
	/* syslog and xenstored are reached by Unix sockets; there is no other network. */
	{SCMP_SYS(socket), SCMP_ACT_ALLOW, KIND_OF_SOCKET(SCMP_CMP_EQ)},
	{SCMP_SYS(socket), SCMP_ACT_KILL_PROCESS, KIND_OF_SOCKET(SCMP_CMP_NE)},
	/* Threads, and no processes.  (clone3 does not show its flags: it does not exist.) */
	{SCMP_SYS(clone), SCMP_ACT_ALLOW, MASKED(0, CLONE_THREAD, CLONE_THREAD)},
	{SCMP_SYS(clone), SCMP_ACT_KILL_PROCESS, MASKED(0, CLONE_THREAD, 0)},
	/* No memory that can be written and executed; a library that is loaded has none. */
	{SCMP_SYS(mmap), SCMP_ACT_ALLOW, MASKED(2, PROT_EXEC, 0)},
	{SCMP_SYS(mmap), SCMP_ACT_ALLOW, MASKED(2, PROT_EXEC | PROT_WRITE, PROT_EXEC)},
	{SCMP_SYS(mmap2), SCMP_ACT_ALLOW, MASKED(2, PROT_EXEC, 0)},
	{SCMP_SYS(mmap2), SCMP_ACT_ALLOW, MASKED(2, PROT_EXEC | PROT_WRITE, PROT_EXEC)},
	{SCMP_SYS(mprotect), SCMP_ACT_ALLOW, MASKED(2, PROT_EXEC, 0)},
	{SCMP_SYS(mprotect), SCMP_ACT_ALLOW, MASKED(2, PROT_EXEC | PROT_WRITE, PROT_EXEC)},
	/* Its own limits: a limit of processor time would end another process of the same user. */
	{SCMP_SYS(prlimit64), SCMP_ACT_ALLOW, OF_ITSELF},
	/* Of FUSE and of Xen's devices.  What a terminal knows would type commands into it. */
	{SCMP_SYS(ioctl), SCMP_ACT_ALLOW, KIND_OF_IOCTL(FUSE_IOCTLS)},
	{SCMP_SYS(ioctl), SCMP_ACT_ALLOW, KIND_OF_IOCTL(GRANT_IOCTLS)},
	{SCMP_SYS(ioctl), SCMP_ACT_ALLOW, KIND_OF_IOCTL(EVTCHN_IOCTLS)},
	/* FIFOs are the local backend's event channels; there are no devices to be made. */
	{SCMP_SYS(mknodat), SCMP_ACT_ALLOW, MASKED(2, S_IFMT, S_IFIFO)},
};

static int add_all(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++)
		r = seccomp_rule_add(filter, action, calls[i], 0);
	return r;
}

static int fill(scmp_filter_ctx filter)
{
	/* abort() and raise(), and nobody else's threads. */
	const struct scmp_arg_cmp own = {
		.arg = 0, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)getpid()};
	int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	if (r == 0)
		r = add_all(filter, SCMP_ACT_ALLOW, allowed, COUNT(allowed));
	if (r == 0)
		r = add_all(filter, SCMP_ACT_KILL_PROCESS, deadly, COUNT(deadly));
	if (r == 0)
		r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &own);
	for (size_t i = 0; r == 0 && i < COUNT(conditions); i++)
		r = seccomp_rule_add_array(filter, conditions[i].action, conditions[i].call, 1,
			&conditions[i].argument);
	return r;
}

int filter_install(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int r;

	if (!filter)
		return -ENOMEM;
	r = fill(filter);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r;
}

#else

int filter_install(void)
{
	return 0;
}

#endif
