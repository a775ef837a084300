/* SPDX-License-Identifier: MIT */
/*
 * pages.c: pages shared with a domain.
 *
 * A share of `count` pages is one file of the directory of the process that shares it, mapped by
 * both sides.  Its name says all that a hypervisor would have to know about the grant: the first
 * reference, the domain that it is for, and whether that domain may write.  The references of the
 * pages follow each other.  Space is allocated when the share is made, so that a full disk is an
 * error here and not a fault later.
 *
 * unshare removes the name and our mapping.  A peer that has the file mapped keeps it: the inode
 * lives until the last mapping goes, and its memory is nobody else's before.
 *
 * What a peer's reference leads to is checked before it is mapped (a regular file, long enough);
 * what it does with the file afterwards is sigbus.c's subject.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <syslog.h>
#include <unistd.h>

#include "local.h"
#include "sigbus.h"
#include "sivc/wire.h"

#define COUNTER_MASK ((UINT32_C(1) << LOCAL_COUNTER) - 1)

struct local_share {
	void *memory;
	uint32_t first; /* the counter's part of the first reference */
	uint32_t count;
	uint16_t domid;
	bool writable;
	LIST_ENTRY(local_share) link;
};

static void file_name(char *name, uint32_t ref, uint16_t domid, bool writable)
{
	snprintf(name, LOCAL_NAME_MAX, "%" PRIu32 ".%u.%s", ref, domid, writable ? "rw" : "ro");
}

static uint32_t share_ref(const struct local *local, const struct local_share *share)
{
	return local->instance << LOCAL_COUNTER | share->first;
}

/*
 * References that no share of ours has.  They run up and begin again when they are used up; 0 is
 * left out, so that it can mean "none" on the wire.
 */
static int new_refs(struct local *local, uint32_t count, uint32_t *first)
{
	uint32_t start = local->next_page;
	bool wrapped = false;
	struct local_share *s;

	if (count > COUNTER_MASK)
		return -ENOSPC;
again:
	if (start == 0 || start > COUNTER_MASK - count + 1) {
		if (wrapped)
			return -ENOSPC;
		wrapped = true;
		start = 1;
	}
	LIST_FOREACH (s, &local->shares, link) {
		if (start < s->first + s->count && s->first < start + count) {
			start = s->first + s->count;
			goto again;
		}
	}
	local->next_page = start + count;
	*first = start;
	return 0;
}

/* Maps the file, which must have that many bytes.  The mapping survives what happens to it. */
static int map_file(int fd, size_t length, bool writable, void **memory)
{
	return sigbus_map(
		length, writable ? PROT_READ | PROT_WRITE : PROT_READ, fd, 0, NULL, NULL, memory);
}

static void unmap_file(struct local *local, void *memory)
{
	if (sigbus_unmap(memory))
		hv_log(&local->hv, LOG_WARNING,
			"backend local: a file of shared memory in %s was truncated while it was "
			"in use; what was in it is lost",
			local->dir);
}

static int allocate(int fd, size_t length)
{
	int r;

	do
		r = posix_fallocate(fd, 0, (off_t)length);
	while (r == EINTR);
	return r == EDQUOT || r == EFBIG ? -ENOSPC : -r;
}

static int make_share(struct local *local, struct local_share *share)
{
	size_t length = (size_t)share->count * SIVC_PAGE_SIZE;
	mode_t mode = share->writable ? 0666 : 0644;
	char name[LOCAL_NAME_MAX];
	int r, fd;

	file_name(name, share_ref(local, share), share->domid, share->writable);
	fd = local_make_file(local, local->instance_fd, name, mode);
	if (fd < 0)
		return fd;
	r = allocate(fd, length);
	if (!r)
		r = map_file(fd, length, true, &share->memory);
	if (r)
		unlinkat(local->instance_fd, name, 0);
	close(fd);
	return r;
}

/*
 * `notify` is for a kernel that outlives us.  There is none here; the peer sees our end by its
 * watch on our node.
 */
int local_share(struct hv *hv, uint16_t domid, uint32_t count, bool writable,
	const struct hv_notify *notify, void **memory, uint32_t *refs)
{
	struct local *local = (struct local *)hv;
	struct local_share *share = calloc(1, sizeof(*share));
	int r;

	(void)notify;
	if (!share)
		return -ENOMEM;
	share->domid = domid;
	share->count = count;
	share->writable = writable;
	r = new_refs(local, count, &share->first);
	if (!r)
		r = make_share(local, share);
	if (r) {
		free(share);
		return local_fail_once(local, r, "cannot share memory");
	}
	local_plenty(local);
	LIST_INSERT_HEAD(&local->shares, share, link);
	for (uint32_t i = 0; i < count; i++)
		refs[i] = share_ref(local, share) + i;
	*memory = share->memory;
	return 0;
}

void local_unshare(struct hv *hv, void *memory, uint32_t count)
{
	struct local *local = (struct local *)hv;
	char name[LOCAL_NAME_MAX];
	struct local_share *share;

	LIST_FOREACH (share, &local->shares, link) {
		if (share->memory == memory)
			break;
	}
	if (!share)
		return;
	file_name(name, share_ref(local, share), share->domid, share->writable);
	unlinkat(local->instance_fd, name, 0);
	(void)count;
	unmap_file(local, memory);
	LIST_REMOVE(share, link);
	free(share);
}

static int open_ref(const struct local *local, uint16_t domid, uint32_t ref, bool writable)
{
	int access = writable ? O_RDWR : O_RDONLY;
	int at = local_open_instance(local, domid, ref);
	char name[LOCAL_NAME_MAX];
	int fd;

	if (at < 0)
		return at;
	file_name(name, ref, local->hv.domid, writable);
	fd = local_open(at, name, access);
	if (fd == -ENOENT && !writable) {
		/* As on Xen, what may be written may also be mapped to be read. */
		file_name(name, ref, local->hv.domid, true);
		fd = local_open(at, name, access);
	}
	if (fd >= 0 && !local_made_here(at, fd)) {
		close(fd);
		fd = -EINVAL;
	}
	close(at);
	return fd;
}

static int check_and_map(int fd, uint32_t count, bool writable, void **memory)
{
	size_t length = (size_t)count * SIVC_PAGE_SIZE;
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)length)
		return -EINVAL;
	return map_file(fd, length, writable, memory);
}

int local_map(struct hv *hv, uint16_t domid, uint32_t count, const uint32_t *refs, bool writable,
	const struct hv_notify *notify, void **memory)
{
	struct local *local = (struct local *)hv;
	int r, fd;

	(void)notify;
	for (uint32_t i = 1; i < count; i++)
		if (refs[i] != refs[0] + i)
			return -EINVAL;
	fd = open_ref(local, domid, refs[0], writable);
	if (fd < 0) {
		r = fd;
	} else {
		r = check_and_map(fd, count, writable, memory);
		close(fd);
	}
	if (r && local_absent(r))
		return -EINVAL;
	return r ? local_fail_once(local, r, "cannot map memory") : 0;
}

void local_unmap(struct hv *hv, void *memory, uint32_t count)
{
	(void)count;
	unmap_file((struct local *)hv, memory);
}
