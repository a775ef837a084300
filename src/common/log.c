/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>

#define LOG_LINE_MAX 1024 /* longer ones are cut */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Children of a service may have the variable, and another standard error. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char ours[2 * 21];
	struct stat st;

	if (!stream || fstat(fileno(stderr), &st) < 0)
		return false;
	snprintf(ours, sizeof(ours), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(stream, ours) == 0;
}

void log_init(struct log *log, const char *name, bool foreground, bool debug)
{
	*log = (struct log){.name = name};
	log->syslog = !foreground;
	log->journal = foreground && stderr_is_journal();
	log->stderr_priority = LOG_WARNING;
	if (foreground)
		log->stderr_priority = debug ? LOG_DEBUG : LOG_INFO;
	if (log->syslog)
		openlog(name, LOG_PID, LOG_DAEMON);
}

void log_detach(struct log *log)
{
	log->stderr_priority = -1;
}

void log_limit(struct log *log, bool limited)
{
	log->limited = limited;
	log->tokens = LOG_BURST;
	log->filled = now_ms();
}

static void escape(const char *message, char *line, size_t size)
{
	size_t used = 0;

	for (; *message != '\0' && used + sizeof("\\xNN") <= size; message++) {
		unsigned char c = (unsigned char)*message;

		if (c >= ' ' && c <= '~')
			line[used++] = (char)c;
		else
			used += (size_t)snprintf(line + used, size - used, "\\x%02x", c);
	}
	line[used] = '\0';
}

static void write_line(const struct log *log, int priority, const char *text)
{
	char message[LOG_LINE_MAX];

	escape(text, message, sizeof(message));
	if (log->journal && priority <= log->stderr_priority)
		fprintf(stderr, "<%d>%s\n", priority, message);
	else if (priority <= log->stderr_priority)
		fprintf(stderr, "%s: %s\n", log->name, message);
	if (log->syslog)
		syslog(priority, "%s", message);
}

/* Is there a token for one more? */
static bool log_take(struct log *log)
{
	uint64_t now = now_ms(), more = (now - log->filled) / LOG_INTERVAL_MS;

	if (!log->limited)
		return true;
	log->filled += more * LOG_INTERVAL_MS;
	log->tokens = more < LOG_BURST - log->tokens ? log->tokens + (unsigned int)more : LOG_BURST;
	if (log->tokens == 0)
		return false;
	log->tokens--;
	return true;
}

void log_message(void *data, int priority, const char *message)
{
	struct log *log = data;
	char left_out[64];

	if (!log_take(log)) {
		log->left_out++;
		return;
	}
	if (log->left_out > 0) {
		snprintf(left_out, sizeof(left_out),
			"%u messages were left out, because there were too many", log->left_out);
		log->left_out = 0;
		write_line(log, LOG_WARNING, left_out);
	}
	write_line(log, priority, message);
}

void log_print(struct log *log, int priority, const char *format, ...)
{
	char message[LOG_LINE_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	log_message(log, priority, message);
}
