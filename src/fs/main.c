/* SPDX-License-Identifier: MIT */
/*
 * sivcfs: this domain's endpoints, mounted as files.  See fs.h for the way through the program.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <syslog.h>

#include "daemon.h"
#include "fs.h"
#include "log.h"
#include "options.h"
#include "privilege.h"
#include "rules.h"

#define NAME "sivcfs"

/* Each permitted sender takes descriptors in the local backend. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int serve(struct options *options, struct log *log, int ready)
{
	struct fs *fs = NULL;
	int r = fs_new(options, log, &fs);

	if (r == 0)
		r = fs_prepare(fs, options);
	if (r == 0)
		r = privilege_drop(options, log);
	if (r == 0)
		r = fs_open(fs, options);
	if (r == 0)
		r = fs_mount(fs, options);
	if (r == 0 && ready >= 0) {
		log_detach(log);
		r = daemon_ready(ready);
		if (r < 0)
			log_print(log, LOG_ERR, "not in the background: %s", strerror(-r));
	} else if (r == 0) {
		r = daemon_notify("READY=1");
		if (r < 0)
			log_print(log, LOG_ERR, "cannot tell $NOTIFY_SOCKET: %s", strerror(-r));
	}
	if (r == 0)
		r = fs_run(fs);
	fs_free(fs);
	return r;
}

static int run(struct options *options, struct log *log)
{
	int r, ready = -1;

	if (options->remount)
		return rules_remount(options, log);
	log_init(log, NAME, options->foreground, options->debug);
	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	if (!options->foreground) {
		r = daemon_fork(&ready);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	return serve(options, log, ready);
}

int main(int argc, char **argv)
{
	struct options options;
	struct log log;
	int r;

	log_init(&log, NAME, true, false);
	if (daemon_open_standard() < 0)
		return EXIT_FAILURE; /* there is nobody to tell */
	r = options_init(&options, &log, argc, argv);
	if (r == 0 && options.help)
		options_usage();
	else if (r == 0 && options.version)
		printf(NAME " %s, FUSE %s\n", SIVC_VERSION, fuse_pkgversion());
	else if (r == 0)
		r = run(&options, &log);
	options_deinit(&options);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
