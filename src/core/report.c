/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

#include "tuning.h"

#define LINE_MAX_BYTES 512

void report(struct sivc *sivc, int priority, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	va_list args;

	if (limit_take(&sivc->reports, IDLE_EVENTS_MAX, REPORT_MS * NSEC_PER_MSEC, loop_now()) >
		0) {
		sivc->reports_left_out++;
		return;
	}
	if (sivc->reports_left_out > 0)
		hv_log(sivc->hv, LOG_WARNING, "%lu messages about other domains were left out",
			sivc->reports_left_out);
	sivc->reports_left_out = 0;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	hv_log(sivc->hv, priority, "%s", line);
}
