/* SPDX-License-Identifier: MIT */
/*
 * report.h: what peers can cause in the log.
 *
 * A peer that does something again and again must not fill it: there are only so many lines a
 * minute from all of them, and then a line that says how many were left out.
 */
#ifndef SIVC_REPORT_H
#define SIVC_REPORT_H

#include "core.h"

void report(struct sivc *sivc, int priority, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
