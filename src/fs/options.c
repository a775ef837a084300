/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
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

#include "daemon.h"
#include "log.h"
#include "number.h"

#define ENDPOINT_DEFAULT "default"
#define KIBI             UINT64_C(1024)
#define ID_MAX           (UINT32_MAX - 1) /* the last one means "none" */
#define MODE_DEFAULT     0600

/* An -o option. */
struct entry {
	const char *name;
	const char *argument; /* what its value is called; NULL: it has none */
	/* Checks the value, which is not empty, and puts it where it belongs. */
	int (*take)(struct options *options, const struct entry *entry, const char *value);
	size_t field; /* in struct options */
	uint32_t least;
	uint32_t most;
	bool local;
	const char *text; /* in the help; or why it is refused; or what number is wanted */
};

static int bad(const struct options *options, const struct entry *entry, const char *value,
	const char *why)
{
	log_print(options->log, LOG_ERR, "option %s%s%s: %s", entry->name, value ? "=" : "",
		value ? value : "", why);
	return -EINVAL;
}

static void *field_of(struct options *options, const struct entry *entry)
{
	return (char *)options + entry->field;
}

/* Values. */

static int take_text(struct options *options, const struct entry *entry, const char *value)
{
	char **field = field_of(options, entry), *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

/* It must mean the same after daemon_let_go(). */
static int take_path(struct options *options, const struct entry *entry, const char *value)
{
	char *path;
	int r = daemon_path(value, &path);

	if (r < 0)
		return r == -ENOMEM ? r : bad(options, entry, value, strerror(-r));
	r = take_text(options, entry, path);
	free(path);
	return r;
}

static int out_of_range(const struct options *options, const struct entry *entry, const char *value)
{
	char why[64];

	snprintf(why, sizeof(why), "must be a number from %u to %u", entry->least, entry->most);
	return bad(options, entry, value, why);
}

static int take_number(struct options *options, const struct entry *entry, const char *value)
{
	uint64_t number;

	if (number_parse(value, entry->most, &number, NULL) < 0 || number < entry->least)
		return out_of_range(options, entry, value);
	*(uint32_t *)field_of(options, entry) = (uint32_t)number;
	return 0;
}

static int take_spin(struct options *options, const struct entry *entry, const char *value)
{
	int r = take_number(options, entry, value);

	if (r == 0 && options->spin == 0)
		options->spin = SIVC_SPIN_NONE;
	return r;
}

/* With K or M behind it for 1024 or 1024 * 1024 of them. */
static int take_bytes(struct options *options, const struct entry *entry, const char *value)
{
	uint64_t number, unit = 1;
	const char *end;

	if (number_parse(value, entry->most, &number, &end) < 0)
		return out_of_range(options, entry, value);
	if (*end == 'K' || *end == 'k')
		unit = KIBI;
	else if (*end == 'M' || *end == 'm')
		unit = KIBI * KIBI;
	end += unit > 1;
	number *= unit; /* 32 bits by 20: it fits */
	if (*end != '\0' || number < entry->least || number > entry->most)
		return out_of_range(options, entry, value);
	*(uint32_t *)field_of(options, entry) = (uint32_t)number;
	return 0;
}

static int take_ring(struct options *options, const struct entry *entry, const char *value)
{
	int r = take_bytes(options, entry, value);

	if (r == 0 && (options->ring & (options->ring - 1)))
		r = bad(options, entry, value, "must be a power of two");
	return r;
}

static int take_mode(struct options *options, const struct entry *entry, const char *value)
{
	size_t digits = strspn(value, "01234567");
	unsigned long mode = strtoul(value, NULL, 8);

	if (value[digits] != '\0' || mode > ACCESSPERMS)
		return bad(options, entry, value, "must be an octal mode from 0 to 0777");
	*(mode_t *)field_of(options, entry) = (mode_t)mode;
	return 0;
}

static int take_domid(struct options *options, const struct entry *entry, const char *value)
{
	uint16_t domid;

	if (domid_parse(value, &domid) < 0)
		return out_of_range(options, entry, value);
	options->domid = domid;
	return 0;
}

static int take_uid(struct options *options, const struct entry *entry, const char *value)
{
	const struct passwd *user = getpwnam(value);

	if (!user)
		return take_number(options, entry, value);
	options->uid = user->pw_uid;
	return 0;
}

static int take_gid(struct options *options, const struct entry *entry, const char *value)
{
	const struct group *group = getgrnam(value);

	if (!group)
		return take_number(options, entry, value);
	options->gid = group->gr_gid;
	return 0;
}

/* mount(8) adds user=, too, with the name of whoever has called it. */
static int take_user(struct options *options, const struct entry *entry, const char *value)
{
	const struct passwd *user = getpwnam(value);
	uint64_t uid;

	if (!user && number_parse(value, ID_MAX, &uid, NULL) == 0)
		user = getpwuid((uid_t)uid);
	if (!user)
		return bad(options, entry, value, "there is no such user");
	if (user->pw_uid == geteuid())
		return 0;
	if (geteuid() != 0)
		return bad(options, entry, value, "only root can become another user");
	options->user_uid = user->pw_uid;
	options->user_gid = user->pw_gid;
	free(options->user_name);
	options->user_name = strdup(user->pw_name);
	return options->user_name ? 0 : -ENOMEM;
}

static int take_remount(struct options *options, const struct entry *entry, const char *value)
{
	(void)entry;
	(void)value;
	options->remount = true;
	return 0;
}

static int take_refused(struct options *options, const struct entry *entry, const char *value)
{
	return bad(options, entry, value, entry->text);
}

#define OURS(field) offsetof(struct options, field)

static const struct entry table[] = {
	{"endpoint", "NAME", take_text, OURS(endpoint), 0, 0, false,
		"the endpoint at the mount point (" ENDPOINT_DEFAULT ")"},
	{"acl", "FILE", take_path, OURS(acl), 0, 0, false,
		"rules to start with, read again at SIGHUP"},
	{"ring", "BYTES", take_ring, OURS(ring), SIVC_RING_MIN, SIVC_RING_MAX, false,
		"memory for each sender that we allow (512K, then 64K)"},
	{"max_msg", "BYTES", take_bytes, OURS(max_msg), 1, SIVC_MAX_MSG_MAX, false,
		"longest message (512K)"},
	{"spin", "USEC", take_spin, OURS(spin), 0, SIVC_SPIN_MAX, false,
		"look for messages so long before sleeping (200 or more)"},
	{"mode", "MODE", take_mode, OURS(mode), 0, 0, false, "mode of inbox and peers/N (0600)"},
	{"acl_mode", "MODE", take_mode, OURS(acl_mode), 0, 0, false, "mode of acl (0600)"},
	{"umask", "MODE", take_mode, OURS(umask), 0, 0, false, "bits that no file's mode has (0)"},
	{"uid", "USER", take_uid, OURS(uid), 0, ID_MAX, false, "owner of the files"},
	{"gid", "GROUP", take_gid, OURS(gid), 0, ID_MAX, false, "group of the files"},
	{"user", "USER", take_user, 0, 0, 0, false, "run as this user, when root mounts"},
	{"dir", "DIR", take_path, OURS(dir), 0, 0, true, "local: the directory that domains share"},
	{"domid", "N", take_domid, 0, 0, SIVC_DOMID_MAX, true, "local: this domain's id"},
	{"name", "NAME", take_text, OURS(name), 0, 0, true, "local: this domain's name"},
	{"remount", NULL, take_remount, 0, 0, 0, false, "read acl=FILE again, as one update"},
	{"ro", NULL, take_refused, 0, 0, 0, false,
		"messages are sent by writing, so nothing here can be read-only"},
	{"max_read", "BYTES", take_refused, 0, 0, 0, false,
		"a message has to be read in one piece"},
	{"blkdev", NULL, take_refused, 0, 0, 0, false, "there is no device"},
};
#define ENTRIES (sizeof(table) / sizeof(table[0]))

/* What libfuse and the kernel are to get. */
static const char to_fuse[] =
	" allow_other allow_root default_permissions fsname= nosuid suid nodev dev noexec exec "
	"noatime atime dirsync sync async context= fscontext= defcontext= rootcontext= ";

/* What mount(8), fstab(5) and the list of mounts say to each other. */
static const char dropped[] =
	" defaults rw auto noauto user nouser users owner group nofail _netdev relatime "
	"auto_unmount comment= user_id= group_id= ";

/* Is it in the list, with or without a value as it was given? */
static bool listed(const char *list, const char *name, bool value)
{
	char word[64];

	return snprintf(word, sizeof(word), " %s%s ", name, value ? "=" : "") < (int)sizeof(word) &&
	       strstr(list, word);
}

static const struct entry *find_entry(const char *name)
{
	for (size_t i = 0; i < ENTRIES; i++)
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	return NULL;
}

static int unknown(const struct options *options, const char *name)
{
	char known[512] = "";
	size_t used = 0;

	for (size_t i = 0; i < ENTRIES && table[i].take != take_refused; i++)
		used += (size_t)snprintf(
			known + used, sizeof(known) - used, "%s%s", i ? ", " : "", table[i].name);
	log_print(options->log, LOG_ERR,
		"option %s: there is no such option.  There are %s, and some of mount(8): see "
		"sivcfs(8)",
		name, known);
	return -EINVAL;
}

static int hand_to_fuse(struct options *options, const char *name, const char *value)
{
	char *text, *escaped = NULL;
	int r = asprintf(&text, "%s%s%s", name, value ? "=" : "", value ? value : "");

	if (r < 0)
		return -ENOMEM;
	r = fuse_opt_add_opt_escaped(&escaped, text);
	if (r == 0)
		r = fuse_opt_add_arg(&options->fuse, "-o");
	if (r == 0)
		r = fuse_opt_add_arg(&options->fuse, escaped);
	free(escaped);
	free(text);
	return r == 0 ? 0 : -ENOMEM;
}

/* NAME or NAME=VALUE. */
static int take_option(struct options *options, char *text)
{
	const struct entry *entry;
	char *value = strchr(text, '=');

	if (value)
		*value++ = '\0';
	if (text[0] == '\0' || strncmp(text, "x-", 2) == 0 || listed(dropped, text, value))
		return 0;
	if (listed(to_fuse, text, value))
		return hand_to_fuse(options, text, value);
	entry = find_entry(text);
	if (!entry)
		return unknown(options, text);
	if (entry->argument && (!value || value[0] == '\0'))
		return bad(options, entry, value, "needs a value");
	if (!entry->argument && value)
		return bad(options, entry, value, "takes no value");
	if (entry->local)
		options->local_only = entry->name;
	return entry->take(options, entry, value);
}

/* OPTION[,OPTION...], where a backslash makes the next character one like others. */
static int take_options(struct options *options, const char *text)
{
	char *one = malloc(strlen(text) + 1);
	size_t length = 0;
	int r = one ? 0 : -ENOMEM;

	for (const char *c = text; r == 0; c++) {
		if (*c == '\\' && c[1] != '\0')
			c++;
		else if (*c == ',' || *c == '\0') {
			one[length] = '\0';
			length = 0;
			r = take_option(options, one);
			if (*c == '\0')
				break;
			continue;
		}
		one[length++] = *c;
	}
	free(one);
	return r;
}

/* Arguments. */

static int positional(struct options *options, const char *argument)
{
	char **place = !options->source ? &options->source : &options->mountpoint;

	if (*place) {
		log_print(options->log, LOG_ERR,
			"one argument too many: \"%s\"; after SOURCE and MOUNTPOINT come options",
			argument);
		return -EINVAL;
	}
	*place = strdup(argument);
	return *place ? 0 : -ENOMEM;
}

static int take_argument(struct options *options, int letter, const char *text)
{
	switch (letter) {
	case 1:
		return positional(options, text);
	case 'o':
		return take_options(options, text);
	case 's': /* one thread is all there is */
		return 0;
	case 'd':
		options->debug = true;
		/* fallthrough */
	case 'f':
		options->foreground = true;
		return 0;
	case 'h':
		options->help = true;
		return 0;
	case 'V':
		options->version = true;
		return 0;
	default:
		log_print(options->log, LOG_ERR,
			"option %s: there is no such option, or its value is missing; there are "
			"-o, -f, "
			"-d, -h and -V",
			text);
		return -EINVAL;
	}
}

/* In the order in which they stand, whatever POSIXLY_CORRECT says. */
static int take_arguments(struct options *options, int argc, char **argv)
{
	static const struct option names[] = {
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	int letter, r = 0;

	optind = 0; /* glibc: from the beginning */
	opterr = 0;
	while (r == 0 && (letter = getopt_long(argc, argv, "-o:fdhVs", names, NULL)) != -1)
		r = take_argument(options, letter, letter == '?' ? argv[optind - 1] : optarg);
	for (; r == 0 && optind < argc; optind++) /* behind -- */
		r = positional(options, argv[optind]);
	return r;
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

/* All of it. */

/*
 * With O_PATH, and not as a directory, an automount point stays what it is: its automount waits for
 * us.  The kernel remembers attributes of a dead mount's root; fstatvfs has to ask.
 */
static int look_at_mountpoint(const char *mountpoint)
{
	int fd = open(mountpoint, O_PATH | O_CLOEXEC), r = 0;
	struct statvfs vfs;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || fstatvfs(fd, &vfs) < 0)
		r = -errno;
	else if (!S_ISDIR(st.st_mode))
		r = -ENOTDIR;
	close(fd);
	return r;
}

static int check_mountpoint(struct options *options)
{
	int r = look_at_mountpoint(options->mountpoint);
	const char *why = NULL;
	char *real;

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
	char text[sizeof("-ofsname=local")];
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
		log_print(options->log, LOG_ERR, "there is no %s; sivcfs -h says more",
			options->source ? "MOUNTPOINT" : "SOURCE");
		return -EINVAL;
	}
	r = check_source(options);
	if (r == 0 && options->local_only && strcmp(options->source, "xen") == 0) {
		log_print(options->log, LOG_ERR,
			"option %s: for SOURCE local only; Xen knows it by itself",
			options->local_only);
		r = -EINVAL;
	}
	if (r == 0)
		r = check_mountpoint(options);
	if (r == 0 && !options->endpoint) {
		options->endpoint = strdup(ENDPOINT_DEFAULT);
		r = options->endpoint ? 0 : -ENOMEM;
	}
	return r == 0 ? add_fuse_options(options) : r;
}

int options_init(struct options *options, struct log *log, int argc, char **argv)
{
	int r;

	*options = (struct options){
		.domid = -1,
		.uid = geteuid(),
		.gid = getegid(),
		.mode = MODE_DEFAULT,
		.acl_mode = MODE_DEFAULT,
		.fuse = FUSE_ARGS_INIT(0, NULL),
		.log = log,
	};
	if (fuse_opt_add_arg(&options->fuse, argv[0]) < 0)
		return -ENOMEM;
	r = take_arguments(options, argc, argv);
	if (r == -ENOMEM)
		log_print(log, LOG_ERR, "out of memory");
	return r < 0 || options->help || options->version ? r : check(options);
}

void options_deinit(struct options *options)
{
	free(options->endpoint);
	free(options->acl);
	free(options->dir);
	free(options->name);
	free(options->user_name);
	free(options->source);
	free(options->mountpoint);
	fuse_opt_free_args(&options->fuse);
}

void options_usage(void)
{
	char name[32];

	printf("Usage: sivcfs SOURCE MOUNTPOINT [-o OPTION[,OPTION...]] [-f] [-d] [-h] [-V]\n"
	       "Messages between virtual machines, as files.\n"
	       "SOURCE is xen, local, or auto (xen where xenstore can be opened, else local).\n"
	       "  -o OPTION:\n");
	for (size_t i = 0; i < ENTRIES && table[i].take != take_refused; i++) {
		snprintf(name, sizeof(name), "%s%s%s", table[i].name, table[i].argument ? "=" : "",
			table[i].argument ? table[i].argument : "");
		printf("     %-15s %s\n", name, table[i].text);
	}
	printf("  -f stay in the foreground   -d the same, and say what FUSE does\n"
	       "  -h this text                -V version\n"
	       "BYTES may end in K or M.  Some options of mount(8) are taken, too: sivcfs(8).\n");
}
