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
#include <syslog.h>
#include <unistd.h>

#include "log.h"

#define ENDPOINT_DEFAULT "default"
#define KIBI             1024u
#define DECIMAL          10

enum key {
	KEY_READ_ONLY,
	KEY_REFUSED,
};

#define VALUE(template, field)                                                                     \
	{                                                                                          \
		template, offsetof(struct options, field), 0                                       \
	}
#define FLAG(template, field)                                                                      \
	{                                                                                          \
		template, offsetof(struct options, field), 1                                       \
	}
#define DROPPED(template) FUSE_OPT_KEY(template, FUSE_OPT_KEY_DISCARD)

static const struct fuse_opt specification[] = {
	VALUE("endpoint=%s", endpoint),
	VALUE("acl=%s", acl),
	VALUE("ring=%s", ring_text),
	VALUE("max_msg=%s", max_msg_text),
	VALUE("uid=%s", uid_text),
	VALUE("gid=%s", gid_text),
	VALUE("dir=%s", dir),
	VALUE("domid=%s", domid_text),
	VALUE("name=%s", name),
	FLAG("-f", foreground),
	FLAG("-d", debug),
	FLAG("-h", help),
	FLAG("--help", help),
	FLAG("-V", version),
	FLAG("--version", version),
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

static const char *const value_names[] = {
	"endpoint", "acl", "ring", "max_msg", "uid", "gid", "dir", "domid", "name"};

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
	for (size_t i = 0; i < sizeof(value_names) / sizeof(value_names[0]); i++) {
		if (strcmp(argument, value_names[i]) != 0)
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

static int take_owner(struct options *options)
{
	const struct passwd *user;
	const struct group *group;
	unsigned long number;
	const char *rest;

	options->uid = geteuid();
	options->gid = getegid();
	if (options->uid_text) {
		user = getpwnam(options->uid_text);
		if (user)
			options->uid = user->pw_uid;
		else if (parse_number(options->uid_text, &number, &rest) == 0 && *rest == '\0' &&
			 number < (uid_t)-1)
			options->uid = (uid_t)number;
		else
			return bad(options, "uid", options->uid_text,
				"no user has this name or number");
	}
	if (options->gid_text) {
		group = getgrnam(options->gid_text);
		if (group)
			options->gid = group->gr_gid;
		else if (parse_number(options->gid_text, &number, &rest) == 0 && *rest == '\0' &&
			 number < (gid_t)-1)
			options->gid = (gid_t)number;
		else
			return bad(options, "gid", options->gid_text,
				"no group has this name or number");
	}
	return 0;
}

static int take_domid(struct options *options)
{
	unsigned long number;
	const char *rest;
	char why[128];

	options->domid = -1;
	if (!options->domid_text)
		return 0;
	if (parse_number(options->domid_text, &number, &rest) < 0 || *rest != '\0' ||
		number > SIVC_DOMID_MAX) {
		snprintf(why, sizeof(why), "a domain id is wanted, 0 to %u", SIVC_DOMID_MAX);
		return bad(options, "domid", options->domid_text, why);
	}
	options->domid = (int)number;
	return 0;
}

static int check_texts(const struct options *options)
{
	const char *const values[] = {options->endpoint, options->acl, options->ring_text,
		options->max_msg_text, options->uid_text, options->gid_text, options->dir,
		options->domid_text, options->name};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		if (values[i] && values[i][0] == '\0')
			return bad(options, value_names[i], values[i], "needs a value");
	return 0;
}

static int check_source(const struct options *options)
{
	const struct {
		const char *option, *value;
	} local[] = {
		{"dir", options->dir}, {"domid", options->domid_text}, {"name", options->name}};

	if (strcmp(options->source, "local") == 0 || strcmp(options->source, "auto") == 0)
		return 0;
	if (strcmp(options->source, "xen") != 0) {
		log_print(options->log, LOG_ERR, "no SOURCE \"%s\": there are xen, local and auto",
			options->source);
		return -EINVAL;
	}
	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
		if (local[i].value)
			return bad(options, local[i].option, local[i].value,
				"for SOURCE local only; Xen knows it by itself");
	return 0;
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
	struct stat st;
	char *real;
	int r = 0;

	if (stat(options->mountpoint, &st) < 0)
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
	r = check_texts(options);
	if (r == 0)
		r = check_source(options);
	if (r == 0)
		r = take_sizes(options);
	if (r == 0)
		r = take_owner(options);
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
	char *const texts[] = {options->source, options->mountpoint, options->endpoint,
		options->acl, options->dir, options->name, options->ring_text,
		options->max_msg_text, options->uid_text, options->gid_text, options->domid_text};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		free(texts[i]);
	fuse_opt_free_args(&options->fuse);
}

void options_usage(void)
{
	printf("Usage: sivcfs SOURCE MOUNTPOINT [-o OPTION[,OPTION...]] [-f] [-d] [-h] [-V]\n"
	       "\n"
	       "Messages between virtual machines, as files.\n"
	       "\n"
	       "SOURCE is xen, local, or auto (xen where it answers, else local).\n"
	       "\n"
	       "    -o endpoint=NAME   the endpoint at the mount point (" ENDPOINT_DEFAULT ")\n"
	       "    -o acl=FILE        rules to start with (none: nobody may send to us)\n"
	       "    -o ring=BYTES      memory for each sender that we allow (%u)\n"
	       "    -o max_msg=BYTES   longest message (%u)\n"
	       "    -o uid=USER        owner of the files\n"
	       "    -o gid=GROUP       group of the files\n"
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
		SIVC_RING_DEFAULT, SIVC_MAX_MSG_DEFAULT, SIVC_DOMID_MAX);
	fuse_lowlevel_help();
}
