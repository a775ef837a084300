/* SPDX-License-Identifier: MIT */
/* report.h: what peers can cause in the log: so many lines a minute, for all of them together. */
#ifndef SIVC_REPORT_H
#define SIVC_REPORT_H

#include "core.h"

void report(struct sivc *sivc, int priority, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
