/* SPDX-License-Identifier: MIT */
#include "privilege.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <unistd.h>

#include "default_dir.h"
#include "lockfile.h"
#include "log.h"
#include "options.h"
#include "sandbox.h"

/*
 * Root is in the class of whoever may write to the directory by its group, as others of that group
 * are, and shares with them; for this there would otherwise have to be CAP_CHOWN and
 * CAP_DAC_OVERRIDE.
 */
static int join_group_of(const char *dir)
{
	gid_t groups[NGROUPS_MAX];
	struct stat st;
	int n;

	if (stat(dir, &st) < 0)
		return 0; /* it will be made, by us and for us */
	n = getgroups(NGROUPS_MAX - 1, groups);
	if (n < 0)
		return -errno;
	groups[n] = st.st_gid;
	return setgroups((size_t)n + 1, groups) < 0 ? -errno : 0;
}

static int become(const struct options *options)
{
	if (initgroups(options->user_name, options->user_gid) < 0 ||
		setresgid(options->user_gid, options->user_gid, options->user_gid) < 0 ||
		setresuid(options->user_uid, options->user_uid, options->user_uid) < 0)
		return -errno;
	/* Root's; where the user's is, nobody has said. */
	return unsetenv("XDG_RUNTIME_DIR") < 0 ? -errno : 0;
}

static int set_identity(const struct options *options, struct log *log)
{
	int r = 0;

	if (geteuid() != 0)
		return 0;
	if (options->user_uid != 0) {
		r = become(options);
		if (r < 0)
			log_print(log, LOG_ERR,
				"cannot become user %s: %s; the unit must leave CAP_SETUID and "
				"CAP_SETGID",
				options->user_name, strerror(-r));
	} else if (options->dir) {
		r = join_group_of(options->dir);
		/* Without CAP_SETGID we are in the groups that we are in. */
		if (r < 0 && r != -EPERM)
			log_print(log, LOG_ERR, "cannot join the group of %s: %s", options->dir,
				strerror(-r));
		else
			r = 0;
	}
	return r;
}

int privilege_limit(uint64_t capabilities)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	/* Fails if we may not, and then NO_NEW_PRIVS does the same; or at the last one. */
	for (unsigned long capability = 0; capability < 64; capability++)
		if (!(capabilities >> capability & 1) &&
			prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
			break;
	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].permitted &= (uint32_t)(capabilities >> 32 * i);
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, data) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

/* A rule is about what is there.  If it cannot be made, libsivc will say why. */
static int limit_files_of_local(const char *given)
{
	char *directory = given ? strdup(given) : default_dir();
	bool there;
	int r;

	if (!directory)
		return -ENOMEM;
	there = mkdir(directory, S_IRWXU) == 0 || errno == EEXIST;
	r = sandbox_files(there ? directory : NULL);
	free(directory);
	return r;
}

static int limit_files(const struct options *options)
{
	if (strcmp(options->source, "xen") != 0)
		return limit_files_of_local(options->dir);
	mkdir(LOCKFILE_DIR, S_IRWXU | S_IRGRP | S_IXGRP | S_IROTH | S_IXOTH);
	return sandbox_files(NULL);
}

int privilege_drop(const struct options *options, struct log *log)
{
	int r = set_identity(options, log);

	if (r < 0)
		return r;
	r = privilege_limit(0);
	if (r == 0)
		r = limit_files(options);
	if (r == 0)
		r = sandbox_calls();
	if (r < 0)
		log_print(log, LOG_ERR, "cannot give up privileges: %s", strerror(-r));
	return r;
}
