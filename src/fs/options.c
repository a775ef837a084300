/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sivc/ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <syslog.h>
#include <unistd.h>

#include "log.h"

#define ENDPOINT_DEFAULT "default"
#define KIBI             1024UL
#define DECIMAL          10
#define ID_MAX           (UINT32_MAX - 1) /* the last one means "none" */

enum key {
	KEY_READ_ONLY,
	KEY_REFUSED,
};

/* What there is to say of an option in libfuse's table, with offsets into struct options. */
#define FIELD(field)      offsetof(struct options, field)
#define DROPPED(template) FUSE_OPT_KEY(template, FUSE_OPT_KEY_DISCARD)

static const struct fuse_opt specification[] = {
	{"endpoint=%s", FIELD(endpoint), 0},
	{"acl=%s", FIELD(acl), 0},
	{"ring=%s", FIELD(ring_text), 0},
	{"max_msg=%s", FIELD(max_msg_text), 0},
	{"spin=%s", FIELD(spin_text), 0},
	{"uid=%s", FIELD(uid_text), 0},
	{"gid=%s", FIELD(gid_text), 0},
	{"user=%s", FIELD(user_text), 0},
	{"dir=%s", FIELD(dir), 0},
	{"domid=%s", FIELD(domid_text), 0},
	{"name=%s", FIELD(name), 0},
	{"-f", FIELD(foreground), 1},
	{"-d", FIELD(debug), 1},
	{"-h", FIELD(help), 1},
	{"--help", FIELD(help), 1},
	{"-V", FIELD(version), 1},
	{"--version", FIELD(version), 1},
	DROPPED("-s"), /* one thread is all there is */
	/* What mount(8) and fstab(5) say to each other. */
	DROPPED("defaults"),
	DROPPED("rw"),
	DROPPED("auto"),
	DROPPED("noauto"),
	DROPPED("user"),
	DROPPED("nouser"),
	DROPPED("users"),
	DROPPED("owner"),
	DROPPED("group"),
	DROPPED("nofail"),
	DROPPED("_netdev"),
	DROPPED("comment="),
	FUSE_OPT_KEY("ro", KEY_READ_ONLY),
	/* FUSE's, but a message has to come in one piece, and there is no device. */
	FUSE_OPT_KEY("max_read=", KEY_REFUSED),
	FUSE_OPT_KEY("blkdev", KEY_REFUSED),
	FUSE_OPT_END,
};

/* The texts that options_init has to look at, and options_deinit to free. */
static const struct value {
	const char *name;
	size_t text; /* where it is in struct options */
	bool local;  /* for the local backend only */
} values[] = {
	{"endpoint", FIELD(endpoint), false},
	{"acl", FIELD(acl), false},
	{"ring", FIELD(ring_text), false},
	{"max_msg", FIELD(max_msg_text), false},
	{"spin", FIELD(spin_text), false},
	{"uid", FIELD(uid_text), false},
	{"gid", FIELD(gid_text), false},
	{"user", FIELD(user_text), false},
	{"dir", FIELD(dir), true},
	{"domid", FIELD(domid_text), true},
	{"name", FIELD(name), true},
};

#define VALUES (sizeof(values) / sizeof(values[0]))

static char *given_text(const struct options *options, const struct value *value)
{
	return *(char *const *)((const char *)options + value->text);
}

static int bad(
	const struct options *options, const char *option, const char *value, const char *why)
{
	log_print(options->log, LOG_ERR, "option %s=%s: %s", option, value, why);
	return -EINVAL;
}

/* libfuse's callback: -1 is an error, 0 drops the argument, 1 keeps it for libfuse. */
static int positional(struct options *options, const char *argument)
{
	char **place = !options->source ? &options->source : &options->mountpoint;

	if (*place) {
		log_print(options->log, LOG_ERR,
			"\"%s\" is one argument too many: after SOURCE and MOUNTPOINT come options",
			argument);
		return -1;
	}
	*place = strdup(argument);
	return *place ? 0 : -1;
}

static int other_option(struct options *options, const char *argument)
{
	if (strncmp(argument, "x-", 2) == 0)
		return 0;
	for (size_t i = 0; i < VALUES; i++) {
		if (strcmp(argument, values[i].name) != 0)
			continue;
		log_print(options->log, LOG_ERR, "option %s needs a value: %s=...", argument,
			argument);
		return -1;
	}
	return 1;
}

static int on_argument(void *data, const char *argument, int key, struct fuse_args *outargs)
{
	struct options *options = data;

	(void)outargs;
	switch (key) {
	case FUSE_OPT_KEY_NONOPT:
		return positional(options, argument);
	case KEY_READ_ONLY:
		log_print(options->log, LOG_ERR,
			"option ro: messages are sent by writing, so nothing here can be "
			"read-only");
		return -1;
	case KEY_REFUSED:
		log_print(options->log, LOG_ERR, "option %s is not for this file system", argument);
		return -1;
	default:
		return other_option(options, argument);
	}
}

/* The values. */

static int parse_number(const char *text, unsigned long *number, const char **rest)
{
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*number = strtoul(text, &end, DECIMAL);
	*rest = end;
	return -errno;
}

/* BYTES, with K or M behind it for 1024 or 1024 * 1024 of them. */
static int parse_bytes(const char *text, unsigned long *bytes)
{
	unsigned long unit = 1;
	const char *rest;

	if (parse_number(text, bytes, &rest) < 0)
		return -EINVAL;
	if (*rest == 'K' || *rest == 'k')
		unit = KIBI;
	else if (*rest == 'M' || *rest == 'm')
		unit = KIBI * KIBI;
	rest += unit > 1;
	if (*rest != '\0' || *bytes > UINT32_MAX / unit)
		return -EINVAL;
	*bytes *= unit;
	return 0;
}

static int take_bytes(struct options *options, const char *option, const char *text,
	unsigned long least, unsigned long most, uint32_t *result)
{
	unsigned long bytes;
	char why[128];

	if (!text)
		return 0;
	if (parse_bytes(text, &bytes) < 0)
		return bad(
			options, option, text, "a number of bytes is wanted, such as 65536 or 64K");
	if (bytes < least || bytes > most) {
		snprintf(why, sizeof(why), "must be %lu to %lu bytes", least, most);
		return bad(options, option, text, why);
	}
	*result = (uint32_t)bytes;
	return 0;
}

static int take_sizes(struct options *options)
{
	int r = take_bytes(
		options, "ring", options->ring_text, SIVC_RING_MIN, SIVC_RING_MAX, &options->ring);

	if (r < 0)
		return r;
	if (options->ring & (options->ring - 1))
		return bad(options, "ring", options->ring_text, "must be a power of two");
	return take_bytes(
		options, "max_msg", options->max_msg_text, 1, SIVC_MAX_MSG_MAX, &options->max_msg);
}

/* A number without anything behind it, up to `most`. */
static int take_number(struct options *options, const char *option, const char *given,
	unsigned long most, const char *what, unsigned long *number)
{
	const char *rest;
	char why[128];

	if (parse_number(given, number, &rest) == 0 && *rest == '\0' && *number <= most)
		return 0;
	snprintf(why, sizeof(why), "%s is wanted, 0 to %lu", what, most);
	return bad(options, option, given, why);
}

static int take_spin(struct options *options)
{
	unsigned long spin = 0;
	int r = 0;

	if (options->spin_text)
		r = take_number(options, "spin", options->spin_text, SIVC_SPIN_MAX,
			"a number of microseconds", &spin);
	options->spin = (uint32_t)spin;
	return r;
}

static int take_domid(struct options *options)
{
	unsigned long domid;
	int r;

	options->domid = -1;
	if (!options->domid_text)
		return 0;
	r = take_number(
		options, "domid", options->domid_text, SIVC_DOMID_MAX, "a domain id", &domid);
	if (r == 0)
		options->domid = (int)domid;
	return r;
}

/* A name that somebody has, or a number. */
static int take_owner(struct options *options)
{
	const struct passwd *user = options->uid_text ? getpwnam(options->uid_text) : NULL;
	const struct group *group = options->gid_text ? getgrnam(options->gid_text) : NULL;
	unsigned long uid = user ? user->pw_uid : geteuid();
	unsigned long gid = group ? group->gr_gid : getegid();
	int r = 0;

	if (options->uid_text && !user)
		r = take_number(options, "uid", options->uid_text, ID_MAX,
			"the name or number of a user", &uid);
	if (r == 0 && options->gid_text && !group)
		r = take_number(options, "gid", options->gid_text, ID_MAX,
			"the name or number of a group", &gid);
	options->uid = (uid_t)uid;
	options->gid = (gid_t)gid;
	return r;
}

/* mount(8) adds user=, too, with the name of whoever has called it. */
static int take_user(struct options *options)
{
	const char *text = options->user_text;
	const struct passwd *user = text ? getpwnam(text) : NULL;
	unsigned long uid;

	if (!text)
		return 0;
	if (!user && take_number(options, "user", text, ID_MAX, "the name or number of a user",
			     &uid) < 0)
		return -EINVAL;
	if (!user)
		user = getpwuid((uid_t)uid);
	if (!user)
		return bad(options, "user", text, "there is no such user");
	if (user->pw_uid == geteuid())
		return 0;
	if (geteuid() != 0)
		return bad(options, "user", text, "only root can become another user");
	options->user_uid = user->pw_uid;
	options->user_gid = user->pw_gid;
	options->user_name = strdup(user->pw_name);
	return options->user_name ? 0 : -ENOMEM;
}

static int check_texts(const struct options *options)
{
	bool xen = strcmp(options->source, "xen") == 0;

	for (size_t i = 0; i < VALUES; i++) {
		const char *given = given_text(options, &values[i]);

		if (given && given[0] == '\0')
			return bad(options, values[i].name, given, "needs a value");
		if (given && xen && values[i].local)
			return bad(options, values[i].name, given,
				"for SOURCE local only; Xen knows it by itself");
	}
	return 0;
}

static int check_source(const struct options *options)
{
	static const char *const sources[] = {"xen", "local", "auto"};

	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
		if (strcmp(options->source, sources[i]) == 0)
			return 0;
	log_print(options->log, LOG_ERR, "no SOURCE \"%s\": there are xen, local and auto",
		options->source);
	return -EINVAL;
}

/* Paths must mean the same after chdir(/). */

static int absolute(char **path)
{
	char *here, *result = NULL;

	if (!*path || (*path)[0] == '/')
		return 0;
	here = getcwd(NULL, 0);
	if (!here || asprintf(&result, "%s/%s", here, *path) < 0)
		result = NULL;
	free(here);
	if (!result)
		return -ENOMEM;
	free(*path);
	*path = result;
	return 0;
}

static int check_mountpoint(struct options *options)
{
	const char *why = NULL;
	struct statvfs vfs;
	struct stat st;
	char *real;
	int r = 0;

	/* The kernel remembers attributes of a dead mount's root; statvfs has to ask. */
	if (stat(options->mountpoint, &st) < 0 || statvfs(options->mountpoint, &vfs) < 0)
		r = -errno;
	else if (!S_ISDIR(st.st_mode))
		r = -ENOTDIR;
	if (r == -ENOTCONN)
		why = "a mount whose process has ended is there; unmount it first (umount, or "
		      "fusermount3 -u)";
	else if (r < 0)
		why = strerror(-r);
	if (why) {
		log_print(options->log, LOG_ERR, "mount point %s: %s", options->mountpoint, why);
		return r;
	}
	real = realpath(options->mountpoint, NULL);
	if (!real)
		return -errno;
	free(options->mountpoint);
	options->mountpoint = real;
	return 0;
}

/* What libfuse gets beside what the user wrote for it. */
static int add_fuse_options(struct options *options)
{
	char text[64];
	int r = fuse_opt_add_arg(&options->fuse, "-odefault_permissions,subtype=sivc");

	snprintf(text, sizeof(text), "-ofsname=%s", options->source);
	if (r == 0)
		r = fuse_opt_insert_arg(&options->fuse, 1, text); /* the user's may replace it */
	if (r == 0 && geteuid() == 0)
		r = fuse_opt_add_arg(&options->fuse, "-oallow_other");
	if (r == 0 && options->debug)
		r = fuse_opt_add_arg(&options->fuse, "-odebug");
	return r == 0 ? 0 : -ENOMEM;
}

static int check(struct options *options)
{
	int r;

	if (!options->source || !options->mountpoint) {
		log_print(options->log, LOG_ERR, "%s is missing; sivcfs -h says more",
			options->source ? "MOUNTPOINT" : "SOURCE");
		return -EINVAL;
	}
	r = check_source(options);
	if (r == 0)
		r = check_texts(options);
	if (r == 0)
		r = take_sizes(options);
	if (r == 0)
		r = take_spin(options);
	if (r == 0)
		r = take_owner(options);
	if (r == 0)
		r = take_user(options);
	if (r == 0)
		r = take_domid(options);
	if (r == 0)
		r = check_mountpoint(options);
	if (r == 0)
		r = absolute(&options->dir);
	if (r == 0 && !options->endpoint) {
		options->endpoint = strdup(ENDPOINT_DEFAULT);
		r = options->endpoint ? 0 : -ENOMEM;
	}
	return r == 0 ? add_fuse_options(options) : r;
}

int options_init(struct options *options, const struct log *log, int argc, char **argv)
{
	*options = (struct options){.log = log, .fuse = FUSE_ARGS_INIT(argc, argv)};
	if (fuse_opt_parse(&options->fuse, options, specification, on_argument) < 0)
		return -EINVAL; /* said already */
	if (options->debug)
		options->foreground = 1;
	return options->help || options->version ? 0 : check(options);
}

void options_deinit(struct options *options)
{
	for (size_t i = 0; i < VALUES; i++)
		free(given_text(options, &values[i]));
	free(options->user_name);
	free(options->source);
	free(options->mountpoint);
	fuse_opt_free_args(&options->fuse);
}

void options_usage(void)
{
	printf("Usage: sivcfs SOURCE MOUNTPOINT [-o OPTION[,OPTION...]] [-f] [-d] [-h] [-V]\n"
	       "\n"
	       "Messages between virtual machines, as files.\n"
	       "\n"
	       "SOURCE is xen, local, or auto (xen where xenstore can be opened, else local).\n"
	       "\n"
	       "    -o endpoint=NAME   the endpoint at the mount point (" ENDPOINT_DEFAULT ")\n"
	       "    -o acl=FILE        rules to start with (none: nobody may send to us)\n"
	       "    -o ring=BYTES      memory for each sender that we allow (%u)\n"
	       "    -o max_msg=BYTES   longest message (%u)\n"
	       "    -o spin=USEC       look for work so long before sleeping (0, at most %u)\n"
	       "    -o uid=USER        owner of the files\n"
	       "    -o gid=GROUP       group of the files\n"
	       "    -o user=USER       run as this user, when root mounts\n"
	       "    -o dir=DIR         local: the directory that the domains share\n"
	       "    -o domid=N         local: this domain's id, 0 to %u\n"
	       "    -o name=NAME       local: this domain's name\n"
	       "    -f                 stay in the foreground\n"
	       "    -d                 the same, and say what FUSE does\n"
	       "    -h                 this text\n"
	       "    -V                 version\n"
	       "\n"
	       "BYTES may end in K or M.  FUSE's own:\n"
	       "\n",
		SIVC_RING_DEFAULT, SIVC_MAX_MSG_DEFAULT, SIVC_SPIN_MAX, SIVC_DOMID_MAX);
	fuse_lowlevel_help();
}
