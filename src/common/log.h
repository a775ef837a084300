/* SPDX-License-Identifier: MIT */
/*
 * log.h: where messages for people go: standard error in the foreground, syslog in the background.
 *
 * Until a background process has said that it is mounted, it has a terminal, too: what went wrong
 * is to be read where the command was typed, and what is merely worth knowing is not.
 *
 * Others have a say in what is logged: names in it are theirs, and so is how often it comes.  Bytes
 * that are no printable ASCII are written as \xNN.  While the log is limited, a burst of LOG_BURST
 * messages goes through, and after it one every LOG_INTERVAL_MS; how many were left out is said
 * with the next.
 */
#ifndef SIVC_LOG_H
#define SIVC_LOG_H

#include <stdbool.h>
#include <stdint.h>

struct log {
	const char *name;    /* the program's */
	int stderr_priority; /* messages of this LOG_* and worse go to standard error; -1: none */
	bool syslog;
	bool journal; /* standard error is journald's, which takes priorities as sd-daemon(3) has
			 them */

	/* While it is limited: a token bucket. */
	bool limited;
	unsigned int tokens;
	unsigned int left_out;
	uint64_t filled; /* ms, CLOCK_MONOTONIC: when the last token came */
};

#define LOG_BURST       100u
#define LOG_INTERVAL_MS 5000u

void log_init(struct log *log, const char *name, bool foreground, bool debug);
/* From when others have a say on, until the end. */
void log_limit(struct log *log, bool limited);
void log_detach(struct log *log); /* standard error is gone */

/* As sivc_config.log wants it; data is a struct log. */
void log_message(void *data, int priority, const char *message);
void log_print(struct log *log, int priority, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
