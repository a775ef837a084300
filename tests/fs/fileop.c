/* SPDX-License-Identifier: MIT */
/*
 * fileop: one open file for the shell.
 *
 * Opens a file once and does a row of operations on that handle, and prints a line for each: its
 * name and what it gave, a number or the name of the errno.  A shell cannot see errno, and has one
 * handle for one command; the tests need both.  It decides nothing: what should have come out is
 * for the test to say, so that an error is a result and not a failure, and the exit status is 0.
 *
 *	fileop PATH MODE[+nonblock][+trunc][+append] OPERATION...	MODE: r, w or rw
 *
 * Operations are in the table at the end; each takes the text behind its `=`.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <sivc/ioctl.h>

#define BUFFER_SIZE (2u << 20) /* more than any message, and than any request of FUSE */
#define SHOWN_MAX   64u        /* bytes of a message that are printed */

static char buffer[BUFFER_SIZE];
static int epoll_set = -1;

static const char *errno_name(void)
{
	const char *name = strerrorname_np(errno);

	return name ? name : "E?";
}

/* NAME RESULT, or NAME ERRNO if it is negative. */
static void print_result(const char *name, long result)
{
	if (result < 0)
		printf("%s %s\n", name, errno_name());
	else
		printf("%s %ld\n", name, result);
}

static unsigned long number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text) {
		fprintf(stderr, "fileop: \"%s\" is not a number\n", text);
		exit(2);
	}
	return value;
}

static size_t size_or_all(const char *text)
{
	size_t size = text ? number(text) : BUFFER_SIZE;

	return size < BUFFER_SIZE ? size : BUFFER_SIZE;
}

static void print_bytes(const char *bytes, size_t length)
{
	for (size_t i = 0; i < length && i < SHOWN_MAX; i++) {
		if (isprint((unsigned char)bytes[i]))
			putchar(bytes[i]);
		else
			printf("\\x%02x", (unsigned char)bytes[i]);
	}
	puts(length > SHOWN_MAX ? "..." : "");
}

static void op_write(int fd, const char *name, const char *text)
{
	print_result(name, write(fd, text, strlen(text)));
}

/* A,B,...: one writev of that many pieces. */
static void op_writev(int fd, const char *name, const char *text)
{
	struct iovec iov[8];
	int count = 0;

	while (count < 8) {
		size_t length = strcspn(text, ",");

		memcpy(&iov[count].iov_base, &text, sizeof text);
		iov[count++].iov_len = length;
		if (text[length] == '\0')
			break;
		text += length + 1;
	}
	print_result(name, writev(fd, iov, count));
}

/* SIZE or SIZE*COUNT: the results and how often each came, in a row. */
static void op_fill(int fd, const char *name, const char *text)
{
	const char *times = strchr(text, '*');
	unsigned long count = times ? number(times + 1) : 1, same = 0;
	size_t size = size_or_all(text);
	long last = 0;

	memset(buffer, 'x', size);
	for (unsigned long i = 0; i < count; i++) {
		long result = write(fd, buffer, size);

		result = result < 0 ? -errno : result;
		if (same && result != last) {
			errno = (int)-last;
			printf("%lu times ", same);
			print_result(name, last);
			same = 0;
		}
		last = result;
		same++;
	}
	errno = (int)-last;
	if (times)
		printf("%lu times ", same);
	print_result(name, last);
}

/* SIZE: writes until it fails; how many went, and the error. */
static void op_until(int fd, const char *name, const char *text)
{
	size_t size = size_or_all(text);
	unsigned long count = 0;

	memset(buffer, 'x', size);
	while (write(fd, buffer, size) == (ssize_t)size)
		count++;
	printf("%s %lu %s\n", name, count, errno_name());
}

/* [SIZE]: the length, and the bytes. */
static void op_read(int fd, const char *name, const char *text)
{
	ssize_t length = read(fd, buffer, size_or_all(text));

	if (length <= 0) {
		print_result(name, length);
		return;
	}
	printf("%s %zd ", name, length);
	print_bytes(buffer, (size_t)length);
}

/* Reads until it fails; how many came, and the error. */
static void op_drain(int fd, const char *name, const char *text)
{
	unsigned long count = 0;

	(void)text;
	while (read(fd, buffer, BUFFER_SIZE) > 0)
		count++;
	printf("%s %lu %s\n", name, count, errno_name());
}

/* N:TEXT,N:TEXT...: one write of frames. */
static void op_frames(int fd, const char *name, const char *text)
{
	size_t at = 0;

	for (;;) {
		struct sivc_frame_header header;
		size_t skip = strcspn(text, ":") + 1, length = strcspn(text + skip, ",");

		header.length = (uint32_t)length;
		header.domain = (uint32_t)number(text);
		memcpy(buffer + at, &header, sizeof header);
		memcpy(buffer + at + sizeof header, text + skip, length);
		at += sizeof header + length;
		text += skip + length;
		if (*text++ == '\0')
			break;
	}
	print_result(name, write(fd, buffer, at));
}

/* N:SIZE*COUNT: one write of COUNT frames. */
static void op_fillframes(int fd, const char *name, const char *text)
{
	struct sivc_frame_header header;
	size_t at = 0, count = number(strchr(text, '*') + 1);

	header.domain = (uint32_t)number(text);
	header.length = (uint32_t)number(strchr(text, ':') + 1);
	memset(buffer, 'x', BUFFER_SIZE);
	for (; count && at + sizeof header + header.length <= BUFFER_SIZE; count--) {
		memcpy(buffer + at, &header, sizeof header);
		at += sizeof header + header.length;
	}
	print_result(name, write(fd, buffer, at));
}

/* [SIZE]: one read of frames, a line each. */
static void op_readframes(int fd, const char *name, const char *text)
{
	ssize_t length = read(fd, buffer, size_or_all(text));
	struct sivc_frame_header header;

	print_result(name, length);
	for (ssize_t at = 0; at < length; at += (ssize_t)(sizeof header + header.length)) {
		memcpy(&header, buffer + at, sizeof header);
		printf("frame %u %u ", header.domain, header.length);
		print_bytes(buffer + at + sizeof header, header.length);
	}
}

/* in, out, in,out, and :MILLISECONDS (else none): which of them is so, or `-`. */
static void op_poll(int fd, const char *name, const char *text)
{
	const char *timeout = strchr(text, ':');
	struct pollfd pollfd = {.fd = fd};

	if (strstr(text, "in"))
		pollfd.events |= POLLIN;
	if (strstr(text, "out"))
		pollfd.events |= POLLOUT;
	if (poll(&pollfd, 1, timeout ? (int)number(timeout + 1) : 0) < 0) {
		print_result(name, -1);
		return;
	}
	printf("%s%s%s%s%s%s\n", name, pollfd.revents & POLLIN ? " in" : "",
		pollfd.revents & POLLOUT ? " out" : "", pollfd.revents & POLLERR ? " err" : "",
		pollfd.revents & POLLHUP ? " hup" : "", pollfd.revents ? "" : " -");
}

/* Waits that long, in milliseconds, for a message to come; goes on when it is interrupted. */
static void op_epoll(int fd, const char *name, const char *text)
{
	struct epoll_event event = {.events = EPOLLIN};
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	long n = epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);

	if (n == 0) {
		do
			n = epoll_wait(epoll, &event, 1, (int)number(text));
		while (n < 0 && errno == EINTR);
	}
	print_result(name, n);
	close(epoll);
}

/* in, out, in,out: an edge-triggered epoll set, for `edges`. */
static void op_watch(int fd, const char *name, const char *text)
{
	struct epoll_event event = {.events = EPOLLET};

	if (strstr(text, "in"))
		event.events |= EPOLLIN;
	if (strstr(text, "out"))
		event.events |= EPOLLOUT;
	epoll_set = epoll_create1(EPOLL_CLOEXEC);
	print_result(name, epoll_ctl(epoll_set, EPOLL_CTL_ADD, fd, &event));
}

/* MILLISECONDS: the next edge of the set, or `-`. */
static void op_edges(int fd, const char *name, const char *text)
{
	struct epoll_event event = {.events = 0};
	int n = epoll_wait(epoll_set, &event, 1, (int)number(text));

	(void)fd;
	if (n < 0) {
		print_result(name, n);
		return;
	}
	printf("%s%s%s%s\n", name, event.events & EPOLLIN ? " in" : "",
		event.events & EPOLLOUT ? " out" : "", n == 0 ? " -" : "");
}

static void op_allow(int fd, const char *name, const char *text)
{
	uint32_t domid = (uint32_t)number(text);

	print_result(name, ioctl(fd, SIVC_IOC_ALLOW, &domid));
}

static void op_deny(int fd, const char *name, const char *text)
{
	uint32_t domid = (uint32_t)number(text);

	print_result(name, ioctl(fd, SIVC_IOC_DENY, &domid));
}

static void op_permitted(int fd, const char *name, const char *text)
{
	uint32_t value = (uint32_t)number(text);
	int error = ioctl(fd, SIVC_IOC_PERMITTED, &value);

	print_result(name, error ? -1 : (long)value);
}

static void op_sender(int fd, const char *name, const char *text)
{
	uint32_t value = 0;
	int error = ioctl(fd, SIVC_IOC_SENDER, &value);

	(void)text;
	print_result(name, error ? -1 : (long)value);
}

static void op_queued(int fd, const char *name, const char *text)
{
	uint32_t value = 0;
	int error = ioctl(fd, SIVC_IOC_QUEUED, &value);

	(void)text;
	print_result(name, error ? -1 : (long)value);
}

static void op_framed(int fd, const char *name, const char *text)
{
	uint32_t on = (uint32_t)number(text);

	print_result(name, ioctl(fd, SIVC_IOC_FRAMED, &on));
}

static void op_fionread(int fd, const char *name, const char *text)
{
	int value = 0, error = ioctl(fd, FIONREAD, &value);

	(void)text;
	print_result(name, error ? -1 : value);
}

/* NR: an ioctl of our magic that is none of ours. */
static void op_ioctl(int fd, const char *name, const char *text)
{
	uint32_t value = 0;

	print_result(name, ioctl(fd, _IOWR(SIVC_IOC_MAGIC, number(text), uint32_t), &value));
}

static void op_size(int fd, const char *name, const char *text)
{
	struct stat stat;

	(void)text;
	print_result(name, fstat(fd, &stat) ? -1 : (long)stat.st_size);
}

static void op_fsync(int fd, const char *name, const char *text)
{
	(void)text;
	print_result(name, fsync(fd));
}

static void op_cut(int fd, const char *name, const char *text)
{
	(void)text;
	print_result(name, ioctl(fd, SIVC_IOC_CUT));
}

static void op_truncate(int fd, const char *name, const char *text)
{
	print_result(name, ftruncate(fd, (off_t)number(text)));
}

static void op_seek(int fd, const char *name, const char *text)
{
	print_result(name, lseek(fd, (off_t)number(text), SEEK_SET));
}

static void op_nonblock(int fd, const char *name, const char *text)
{
	int flags = fcntl(fd, F_GETFL);

	flags = number(text) ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	print_result(name, fcntl(fd, F_SETFL, flags));
}

/* FD: from now on this inherited descriptor, shared with whoever else has it. */
static void op_use(int fd, const char *name, const char *text)
{
	print_result(name, dup2((int)number(text), fd) < 0 ? -1 : 0);
}

/* Goes on at the next line of standard input, so that the test can do something in between. */
static void op_pause(int fd, const char *name, const char *text)
{
	int c;

	(void)fd;
	(void)text;
	puts(name);
	do
		c = getchar();
	while (c != '\n' && c != EOF);
}

static const struct operation {
	const char *name;
	void (*run)(int fd, const char *name, const char *text);
	bool takes_text;
} operations[] = {
	{"write", op_write, true},
	{"writev", op_writev, true},
	{"fill", op_fill, true},
	{"until", op_until, true},
	{"read", op_read, false},
	{"drain", op_drain, false},
	{"frames", op_frames, true},
	{"fillframes", op_fillframes, true},
	{"readframes", op_readframes, false},
	{"poll", op_poll, true},
	{"epoll", op_epoll, true},
	{"watch", op_watch, true},
	{"edges", op_edges, true},
	{"allow", op_allow, true},
	{"deny", op_deny, true},
	{"permitted", op_permitted, true},
	{"sender", op_sender, false},
	{"queued", op_queued, false},
	{"framed", op_framed, true},
	{"fionread", op_fionread, false},
	{"ioctl", op_ioctl, true},
	{"size", op_size, false},
	{"truncate", op_truncate, true},
	{"fsync", op_fsync, false},
	{"cut", op_cut, false},
	{"seek", op_seek, true},
	{"nonblock", op_nonblock, true},
	{"use", op_use, true},
	{"pause", op_pause, false},
};

static void run(int fd, const char *argument)
{
	size_t length = strcspn(argument, "=");
	const char *text = argument[length] ? argument + length + 1 : NULL;

	for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
		const struct operation *op = &operations[i];

		if (strlen(op->name) == length && !memcmp(op->name, argument, length) &&
			(text || !op->takes_text)) {
			op->run(fd, op->name, text);
			return;
		}
	}
	fprintf(stderr, "fileop: no such operation: %s\n", argument);
	exit(2);
}

static int open_flags(const char *mode)
{
	int flags = O_CLOEXEC;

	if (mode[0] == 'w')
		flags |= O_WRONLY;
	else if (mode[0] == 'r' && mode[1] == 'w')
		flags |= O_RDWR;
	if (strstr(mode, "+nonblock"))
		flags |= O_NONBLOCK;
	if (strstr(mode, "+trunc"))
		flags |= O_TRUNC;
	if (strstr(mode, "+append"))
		flags |= O_APPEND;
	return flags;
}

int main(int argc, char **argv)
{
	int fd;

	if (argc < 3) {
		fputs("usage: fileop PATH r|w|rw[+nonblock][+trunc][+append] OPERATION...\n",
			stderr);
		return 2;
	}
	setlinebuf(stdout);
	fd = open(argv[1], open_flags(argv[2]));
	if (fd < 0) {
		print_result("open", fd);
		return 0;
	}
	for (int i = 3; i < argc; i++)
		run(fd, argv[i]);
	close(fd);
	return 0;
}
