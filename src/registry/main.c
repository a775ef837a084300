/* SPDX-License-Identifier: MIT */
/*
 * sivc-registry: tells the domains of this machine the names of the domains that they may see.
 *
 * The policy is read when the program starts and at SIGHUP.  A policy that is wrong is never taken
 * in part: at the start nothing is published and the program ends; later the old one stays.  A
 * program that ends takes back all that it has published, whatever it ends for but SIGKILL; what
 * one that was killed has left is the next one's.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <syslog.h>
#include <unistd.h>

#include "daemon.h"
#include "lockfile.h"
#include "log.h"
#include "registry.h"

#define NAME "sivc-registry"
/* Not /run/sivc: who may be an endpoint there may not keep the registry out. */
#define LOCK_DIR  "/run/sivc-registry"
#define LOCK_NAME "lock"

struct program {
	bool foreground;
	bool check; /* the policy, and no more */
	struct log log;
	char *policy; /* path, absolute */
	int signals;
	int lock;
	struct registry *registry;
};

static void usage(FILE *out)
{
	fputs("usage: sivc-registry [-f] -p POLICY\n"
	      "       sivc-registry --check POLICY\n"
	      "  -f         stay in the foreground, log to standard error\n"
	      "  -p POLICY  who sees whom: a file of lines `show NAME to NAME`; * is everybody\n"
	      "  --check    say whether the policy is right, and do nothing\n",
		out);
}

/* -EINVAL: the caller is told the usage.  1: done already. */
static int parse_options(struct program *program, int argc, char **argv)
{
	static const struct option names[] = {
		{"check", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	const char *policy = NULL;
	int letter, r;

	while ((letter = getopt_long(argc, argv, "fhp:", names, NULL)) != -1) {
		switch (letter) {
		case 'c':
			program->check = true;
			policy = optarg;
			break;
		case 'f':
			program->foreground = true;
			break;
		case 'p':
			policy = optarg;
			break;
		case 'h':
			usage(stdout);
			return 1;
		default:
			return -EINVAL;
		}
	}
	if (!policy || optind != argc)
		return -EINVAL;
	r = daemon_path(policy, &program->policy);
	if (r < 0)
		log_print(&program->log, LOG_ERR, "cannot find %s: %s", policy, strerror(-r));
	return r;
}

static int load_policy(struct program *program, struct policy *policy)
{
	struct policy_error error = {0};
	FILE *file = fopen(program->policy, "re");
	int r = file ? policy_parse(file, &error, policy) : -errno;

	if (r == -EINVAL && error.why)
		log_print(&program->log, LOG_ERR, "policy %s, line %u: %s", program->policy,
			error.line, error.why);
	else if (r < 0)
		log_print(&program->log, LOG_ERR, "cannot read the policy %s: %s", program->policy,
			strerror(-r));
	if (file)
		fclose(file);
	return r;
}

/* Needs neither root nor xenstore. */
static int check(struct program *program)
{
	struct policy policy = {0};
	int r = load_policy(program, &policy);

	if (r < 0)
		return r;
	log_print(&program->log, LOG_INFO, "policy %s: %zu rules", program->policy, policy.count);
	policy_deinit(&policy);
	return 0;
}

static int reload(struct program *program)
{
	struct policy policy = {0};

	if (load_policy(program, &policy) < 0) {
		log_print(&program->log, LOG_ERR, "the policy that was read before stays in force");
		return 0;
	}
	log_print(&program->log, LOG_INFO, "the policy %s was read again: %zu rules",
		program->policy, policy.count);
	return registry_set_policy(program->registry, &policy);
}

/* 1: it is the end. */
static int take_signal(struct program *program)
{
	struct signalfd_siginfo info;

	if (read(program->signals, &info, sizeof(info)) != sizeof(info))
		return 0;
	return info.ssi_signo == SIGHUP ? reload(program) : 1;
}

/* Until a signal ends it (0), or an error does. */
static int serve(struct program *program)
{
	struct pollfd fds[] = {
		{.fd = program->signals, .events = POLLIN},
		{.fd = registry_fd(program->registry), .events = POLLIN},
	};
	int r = 0;

	while (r == 0) {
		if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0)
			continue; /* nobody but a debugger interrupts: our signals are blocked */
		if (fds[0].revents)
			r = take_signal(program);
		if (r == 0 && fds[1].revents)
			r = registry_dispatch(program->registry);
	}
	return r < 0 ? r : 0;
}

static int take_signals(struct program *program)
{
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	program->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (program->signals >= 0)
		return 0;
	r = -errno;
	log_print(&program->log, LOG_ERR, "cannot take signals: %s", strerror(-r));
	return r;
}

static int take_lock(struct program *program)
{
	pid_t holder = 0;

	program->lock = lockfile_take(LOCK_DIR, LOCK_NAME, &holder);
	if (program->lock == -EBUSY && holder > 0)
		log_print(&program->log, LOG_ERR, "already runs as process %ld", (long)holder);
	else if (program->lock == -EBUSY)
		log_print(&program->log, LOG_ERR,
			"already runs: another process has locked " LOCK_DIR "/" LOCK_NAME);
	else if (program->lock < 0)
		log_print(&program->log, LOG_ERR, "cannot lock " LOCK_DIR "/" LOCK_NAME ": %s%s",
			strerror(-program->lock), program->lock == -EACCES ? "; run as root" : "");
	return program->lock < 0 ? program->lock : 0;
}

/* From the first publication to the end; `ready` is daemon_ready's, or negative. */
static int publish(struct program *program, int ready)
{
	struct policy policy = {0};
	int r = load_policy(program, &policy);

	if (r == 0)
		r = registry_set_policy(program->registry, &policy);
	if (r == 0 && ready >= 0) {
		log_detach(&program->log);
		r = daemon_ready(ready);
		if (r < 0)
			log_print(
				&program->log, LOG_ERR, "not in the background: %s", strerror(-r));
	}
	return r < 0 ? r : serve(program);
}

static int run(struct program *program, int ready)
{
	int withdrawn, r = take_signals(program);

	if (r == 0)
		r = take_lock(program);
	if (r == 0)
		r = registry_open(log_message, &program->log, &program->registry);
	if (r < 0)
		return r;
	r = publish(program, ready);
	withdrawn = registry_withdraw(program->registry);
	return r < 0 ? r : withdrawn;
}

static int start(struct program *program)
{
	int ready = -1, r;

	log_init(&program->log, NAME, program->foreground, false);
	if (!program->foreground) {
		r = daemon_fork(&ready);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	r = run(program, ready);
	registry_free(program->registry);
	lockfile_release(program->lock);
	if (program->signals >= 0)
		close(program->signals);
	return r;
}

int main(int argc, char **argv)
{
	struct program program = {.signals = -1, .lock = -1};
	int r;

	log_init(&program.log, NAME, true, false);
	if (daemon_open_standard() < 0)
		return EXIT_FAILURE; /* there is nobody to tell */
	r = parse_options(&program, argc, argv);
	if (r == -EINVAL)
		usage(stderr);
	if (r == 0)
		r = program.check ? check(&program) : start(&program);
	free(program.policy);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
