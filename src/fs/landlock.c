/* SPDX-License-Identifier: MIT */
#include "sandbox.h"

#if SIVC_HAVE_LANDLOCK

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lockfile.h"

/* <linux/landlock.h> may be older than the kernel: what came with versions 3, 5 and 6. */
#define ACCESS_TRUNCATE  (UINT64_C(1) << 14)
#define ACCESS_IOCTL_DEV (UINT64_C(1) << 15)
#define SCOPE_ALL        (UINT64_C(1) << 0 | UINT64_C(1) << 1) /* abstract sockets, signals */

struct ruleset {
	uint64_t files;
	uint64_t net;
	uint64_t scoped;
};

#define READ    ((uint64_t)LANDLOCK_ACCESS_FS_READ_FILE | (uint64_t)LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE   ((uint64_t)LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE)
#define DEVICES (READ | WRITE | ACCESS_IOCTL_DEV)
#define CHANGE                                                                                     \
	((uint64_t)LANDLOCK_ACCESS_FS_MAKE_REG | (uint64_t)LANDLOCK_ACCESS_FS_MAKE_DIR |           \
		(uint64_t)LANDLOCK_ACCESS_FS_MAKE_FIFO | (uint64_t)LANDLOCK_ACCESS_FS_MAKE_SYM |   \
		(uint64_t)LANDLOCK_ACCESS_FS_REMOVE_FILE |                                         \
		(uint64_t)LANDLOCK_ACCESS_FS_REMOVE_DIR | (uint64_t)LANDLOCK_ACCESS_FS_REFER)
#define OF_FILES                                                                                   \
	((uint64_t)LANDLOCK_ACCESS_FS_EXECUTE | (uint64_t)LANDLOCK_ACCESS_FS_READ_FILE | WRITE |   \
		ACCESS_IOCTL_DEV)

static const struct {
	const char *path;
	uint64_t access;
} known[] = {
	{LOCKFILE_DIR, READ | WRITE | CHANGE},
	{"/dev/xen", DEVICES},
	{"/proc/xen", DEVICES},
	{"/dev/null", READ | WRITE},
	/* Callers' groups; limits; what a library loads or looks up. */
	{"/proc", READ},
	{"/sys", READ},
	{"/usr", READ},
	{"/lib", READ},
	{"/lib64", READ},
	{"/etc/ld.so.cache", READ},
	{"/etc/localtime", READ},
};

static long create_ruleset(const struct ruleset *ruleset, size_t size, unsigned int flags)
{
	return syscall(SYS_landlock_create_ruleset, ruleset, size, flags);
}

/* All that the version knows is forbidden, unless there is a rule. */
static size_t forbid_all(long version, struct ruleset *ruleset)
{
	*ruleset = (struct ruleset){.files = ((uint64_t)LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
	if (version >= 2)
		ruleset->files |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= 3)
		ruleset->files |= ACCESS_TRUNCATE;
	if (version >= 5)
		ruleset->files |= ACCESS_IOCTL_DEV;
	if (version < 6)
		return sizeof(ruleset->files);
	ruleset->scoped = SCOPE_ALL;
	return sizeof(*ruleset);
}

/* What is not there needs no rule. */
static int allow(int fd, const struct ruleset *ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = access & ruleset->files};
	struct stat st;
	int r = 0;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(rule.parent_fd, &st) < 0)
		r = -errno;
	else if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= OF_FILES;
	if (r == 0 && syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		r = -errno;
	close(rule.parent_fd);
	return r;
}

int sandbox_files(const char *directory)
{
	struct ruleset ruleset;
	long version = create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	size_t size;
	int fd, r = 0;

	if (version < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
	size = forbid_all(version, &ruleset);
	fd = (int)create_ruleset(&ruleset, size, 0);
	if (fd < 0)
		return -errno;
	for (size_t i = 0; r == 0 && i < sizeof(known) / sizeof(known[0]); i++)
		r = allow(fd, &ruleset, known[i].path, known[i].access);
	if (r == 0 && directory)
		r = allow(fd, &ruleset, directory, READ | WRITE | CHANGE);
	if (r == 0 && syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		r = -errno;
	close(fd);
	return r;
}

#else

int sandbox_files(const char *directory)
{
	(void)directory;
	return 0;
}

#endif
