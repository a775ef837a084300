/* SPDX-License-Identifier: MIT */
/*
 * daemon.h: standard input, output and error, and into the background.
 *
 * The fork comes first, because nothing of libsivc survives one.  The parent waits until the child
 * is mounted, or has ended; until then the child has the terminal for what went wrong.
 */
#ifndef SIVC_DAEMON_H
#define SIVC_DAEMON_H

/* First of all: what is opened later is then not taken for standard input, output or error. */
int daemon_open_standard(void);
/* 0 in the child, and *ready is for daemon_ready(); 1 in the parent when the child is ready. */
int daemon_fork(int *ready);
/* *absolute: what `path` means now and after daemon_let_go(); allocated.  Else a negative errno. */
int daemon_path(const char *path, char **absolute);
/* Lets go of the terminal and the directory. */
int daemon_let_go(void);
/* The same, and of the parent. */
int daemon_ready(int ready);
/*
 * In the foreground: tells the service manager that started this process, if one waits to be told
 * (systemd, Type=notify).  `state` is as sd_notify(3) has it.
 */
int daemon_notify(const char *state);

#endif
