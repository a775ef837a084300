/* SPDX-License-Identifier: MIT */
/*
 * log.h: where messages for people go: standard error in the foreground, syslog in the background.
 *
 * Until a background process has said that it is mounted, it has a terminal, too: what went wrong
 * is to be read where the command was typed, and what is merely worth knowing is not.
 */
#ifndef SIVC_LOG_H
#define SIVC_LOG_H

#include <stdbool.h>

struct log {
	const char *name;    /* the program's */
	int stderr_priority; /* messages of this LOG_* and worse go to standard error; -1: none */
	bool syslog;
};

void log_init(struct log *log, const char *name, bool foreground, bool debug);
void log_detach(struct log *log); /* standard error is gone */

/* As sivc_config.log wants it; data is a struct log. */
void log_message(void *data, int priority, const char *message);
void log_print(const struct log *log, int priority, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
