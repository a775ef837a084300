/* SPDX-License-Identifier: MIT */
/*
 * far: the sivcfs of a guest, mounted here.
 *
 *	far local DIRECTORY -f -o dir=...,domid=N,OPTION...
 *
 * It takes the place of sivcfs in the tests of ../fs, so that the same tests, which say
 * `echo hello > 2/peers/1` on one machine, run between virtual machines: 2 is then the file system
 * of the sivcfs that runs in guest 2, with the backend xen.  Of the local backend's options dir is
 * left out, domid says which guest, and the others are for the guest's sivcfs.
 *
 *	a test's process <-> this kernel's FUSE <-> far <-- TCP --> far_fuse in sivcfs in guest N
 *
 * far carries requests and replies and understands none of them, so what a process sees here is
 * what it would see there: waiting, interrupts, polling and all.  Three processes: one carries
 * requests, one replies, and the first looks after them and after `on N ...`, which runs sivcfs in
 * the guest.  It ends as sivcfs ends, with its exit status; when it is killed, sivcfs is killed,
 * and a fourth process unmounts, as sivcfs' own does there.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#define RECORD_MAX    (2u << 20) /* more than FUSE's largest request */
#define COMMAND_LIMIT 4096
#define FAILED        1
#define LOOK_MS       100 /* sivcfs may end without having connected */

struct far {
	const char *domain;
	const char *rules; /* acl=FILE, which the guest does not have; or NULL */
	char options[COMMAND_LIMIT];
	const char *directory;
	int listener;
	pid_t command; /* `on N ...` */
	struct fuse_session *session;
	int requests, replies;
	int32_t sivcfs; /* its process id there */
	pid_t carriers[2];
	int ended; /* a pipe to the process that unmounts */
};

static void die(const char *what)
{
	fprintf(stderr, "far: %s: %s\n", what, strerror(errno));
	exit(FAILED);
}

/* --- Starting sivcfs in the guest ------------------------------------------------------------- */

static void take_option(struct far *far, char *option)
{
	if (strncmp(option, "domid=", 6) == 0) {
		far->domain = option + 6;
	} else if (strncmp(option, "acl=", 4) == 0) {
		far->rules = option + 4;
		strcat(far->options, ",acl=/run/far.acl");
	} else if (strncmp(option, "dir=", 4) != 0) {
		strcat(far->options, ",");
		strcat(far->options, option);
	}
}

static void parse(struct far *far, int argc, char **argv)
{
	if (argc != 6 || strcmp(argv[1], "local") != 0 || strcmp(argv[3], "-f") != 0 ||
		strcmp(argv[4], "-o") != 0 || strlen(argv[5]) > COMMAND_LIMIT / 2) {
		fprintf(stderr, "usage: far local DIRECTORY -f -o dir=...,domid=N,OPTION...\n");
		exit(FAILED);
	}
	far->directory = argv[2];
	for (char *option = strtok(argv[5], ","); option; option = strtok(NULL, ","))
		take_option(far, option);
	if (!far->domain) {
		fprintf(stderr, "far: which domain? (domid=N)\n");
		exit(FAILED);
	}
}

static uint16_t listen_anywhere(struct far *far)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t length = sizeof address;

	far->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(far->listener, (struct sockaddr *)&address, sizeof address) < 0 ||
		listen(far->listener, 2) < 0 ||
		getsockname(far->listener, (struct sockaddr *)&address, &length) < 0)
		die("listen");
	return ntohs(address.sin_port);
}

/* One sivcfs at a time, which holds the lock: the one before may still be ending. */
static void start_sivcfs(struct far *far)
{
	char command[2 * COMMAND_LIMIT];
	const char *input = far->rules ? far->rules : "/dev/null";
	const char *here = getenv("lab_here");

	snprintf(command, sizeof command,
		"cat > /run/far.acl; exec 9> /run/far.lock < /dev/null; flock -w 20 9; "
		"FAR=%s:%u LD_PRELOAD=far_fuse.so exec sivcfs xen /mnt -f -o \"%s\"",
		here ? here : "10.9.0.254", listen_anywhere(far),
		far->options[0] ? far->options + 1 : "rw");
	far->command = fork();
	if (far->command != 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int fd = open(input, O_RDONLY);
	if (fd < 0 || dup2(fd, STDIN_FILENO) < 0)
		die(input);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execlp("on", "on", far->domain, command, NULL);
	die("on");
}

/* --- Carrying --------------------------------------------------------------------------------- */

static bool send_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		bytes += n;
		size -= (size_t)n;
	}
	return true;
}

static void carry_requests(const struct far *far, char *record)
{
	for (;;) {
		ssize_t n = read(fuse_session_fd(far->session), record, RECORD_MAX);
		if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
			continue;
		if (n <= 0 || !send_all(far->requests, record, (size_t)n))
			break;
	}
	shutdown(far->requests, SHUT_RDWR);
}

static void carry_replies(const struct far *far, char *record)
{
	struct {
		int32_t wait; /* for the errno */
		uint32_t length;
	} head;

	while (recv(far->replies, &head, sizeof head, MSG_WAITALL) == sizeof head &&
		head.length > sizeof head.length && head.length <= RECORD_MAX) {
		ssize_t rest = head.length - (ssize_t)sizeof head.length;
		memcpy(record, &head.length, sizeof head.length);
		if (recv(far->replies, record + sizeof head.length, (size_t)rest, MSG_WAITALL) !=
			rest)
			break;
		ssize_t n = write(fuse_session_fd(far->session), record, head.length);
		int32_t error = n < 0 ? errno : 0;
		if (head.wait && !send_all(far->replies, (char *)&error, sizeof error))
			break;
	}
}

static pid_t carrier(const struct far *far, void (*carry)(const struct far *far, char *record))
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	carry(far, malloc(RECORD_MAX));
	_exit(0);
}

/* --- Unmounting ------------------------------------------------------------------------------- */

/* A process that has nothing of the mount, and unmounts if we end without having told it. */
static void start_unmounter(struct far *far)
{
	int ends[2];
	char byte;

	if (pipe2(ends, O_CLOEXEC) < 0)
		die("pipe");
	far->ended = ends[1];
	if (fork() != 0)
		return;
	close(ends[1]);
	setsid();
	if (read(ends[0], &byte, 1) == 0)
		umount2(far->directory, MNT_DETACH);
	_exit(0);
}

/* --- Life ------------------------------------------------------------------------------------- */

static int end(struct far *far, int status)
{
	for (int i = 0; i < 2; i++) {
		if (far->carriers[i] > 0)
			kill(far->carriers[i], SIGKILL);
	}
	if (far->session) {
		fuse_session_unmount(far->session);
		fuse_session_destroy(far->session);
		if (write(far->ended, "", 1) != 1)
			die("write");
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
}

/* Until far_fuse has connected twice, or sivcfs has ended before. */
static bool connected(struct far *far, int *status)
{
	struct pollfd listener = {.fd = far->listener, .events = POLLIN};
	int *connections[] = {&far->requests, &far->replies}, one = 1;

	for (int i = 0; i < 2;) {
		if (poll(&listener, 1, LOOK_MS) == 1) {
			*connections[i] = accept(far->listener, NULL, NULL);
			setsockopt(*connections[i++], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		} else if (waitpid(far->command, status, WNOHANG) == far->command) {
			return false;
		}
	}
	return recv(far->requests, &far->sivcfs, sizeof far->sivcfs, MSG_WAITALL) ==
	       sizeof far->sivcfs;
}

/* Nothing here answers requests: of libfuse we want the mount. */
static void mount_here(struct far *far, char *name)
{
	char options[] = "-oallow_other,default_permissions,subtype=sivc,fsname=far";
	char *argv[] = {name, options, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(2, argv);
	const struct fuse_lowlevel_ops none = {0};

	far->session = fuse_session_new(&args, &none, sizeof none, NULL);
	if (!far->session || fuse_session_mount(far->session, far->directory) < 0)
		exit(FAILED); /* libfuse has said why */
	fuse_opt_free_args(&args);
}

static void forward(const struct far *far, int signal_number)
{
	char command[64];

	snprintf(command, sizeof command, "kill -%d %d", signal_number, (int)far->sivcfs);
	if (fork() == 0) {
		execlp("on", "on", far->domain, command, NULL);
		_exit(FAILED);
	}
}

int main(int argc, char **argv)
{
	struct far far = {0};
	sigset_t signals;
	int status = 0, number;

	parse(&far, argc, argv);
	start_sivcfs(&far);
	if (!connected(&far, &status))
		return end(&far, status);
	start_unmounter(&far);
	mount_here(&far, argv[0]);
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	far.carriers[0] = carrier(&far, carry_requests);
	far.carriers[1] = carrier(&far, carry_replies);
	while (waitpid(far.command, &status, WNOHANG) != far.command) {
		sigwait(&signals, &number);
		if (number != SIGCHLD)
			forward(&far, number);
	}
	return end(&far, status);
}
