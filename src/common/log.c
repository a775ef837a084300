/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

#define LOG_LINE_MAX 1024 /* longer ones are cut */

void log_init(struct log *log, const char *name, bool foreground, bool debug)
{
	log->name = name;
	log->syslog = !foreground;
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

void log_message(void *data, int priority, const char *message)
{
	const struct log *log = data;

	if (priority <= log->stderr_priority)
		fprintf(stderr, "%s: %s\n", log->name, message);
	if (log->syslog)
		syslog(priority, "%s", message);
}

void log_print(const struct log *log, int priority, const char *format, ...)
{
	char message[LOG_LINE_MAX];
	struct log copy = *log;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	log_message(&copy, priority, message);
}
