/* SPDX-License-Identifier: MIT */
/*
 * pages.c: sharing pages with another domain, and mapping those it shares, by grants.
 *
 * Sharing is /dev/xen/gntalloc: pages of the kernel, zeroed, granted to one domain.  A page that is
 * unshared while the peer maps it stays with the kernel, which looks again at every later call; it
 * counts against gntalloc's limit until then.  Mapping is /dev/xen/gntdev: Xen checks each
 * reference, so a peer can name any number and get no more than a call that fails here.
 *
 * The unmap-notification is kept by either kernel with the page: it holds the event channel, also
 * when the port is freed before the page.
 *
 * Save and restore (see xen.c) of a PV domain need care.  A page of another domain cannot be saved,
 * and with it goes the page table that it is mapped by: after a restore, private memory in the same
 * 2 MiB of addresses is zeroes, a thread's stack for instance.  So what is mapped has its 2 MiB to
 * itself; this is why we map it, and not libxengnttab, which cannot be told where.  After a restore
 * there is nothing where the page was: an access is a SIGBUS, after which there are zeros
 * (sigbus.c).  But gntdev would still clear the byte in it, and as of Linux 6.1 the kernel dies of
 * that: the notification is taken back before anything else is mapped there.  So a page is looked
 * at before it is unmapped, because it may be gone before anybody knows.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <syslog.h>
#include <unistd.h>
#include <xen/sys/gntdev.h> /* needs <stdint.h> */

#include "fork.h"
#include "sigbus.h"
#include "xen.h"

#define LIMIT_FILE "/sys/module/xen_gntalloc/parameters/limit"
#define PAGE       ((size_t)4096)

int xen_pages_open(struct xen_hv *xen)
{
	int r = fork_init();

	if (r == 0)
		r = sigbus_init();
	if (r < 0) {
		hv_log(&xen->hv, LOG_ERR, "cannot handle SIGBUS or fork: %s", strerror(-r));
		return r;
	}
	xen->gntshr = xengntshr_open(&xen->logger.vtable, 0);
	if (!xen->gntshr)
		return xen_no_device(&xen->hv, "/dev/xen/gntalloc", "xen-gntalloc", errno);
	if (fcntl(xengntshr_fd(xen->gntshr), F_SETFD, FD_CLOEXEC) < 0) /* the library does not */
		return -errno;
	xen->gnttab = xengnttab_open(&xen->logger.vtable, 0);
	if (!xen->gnttab)
		return xen_no_device(&xen->hv, "/dev/xen/gntdev", "xen-gntdev", errno);
	r = fork_add(xengntshr_fd(xen->gntshr));
	return r < 0 ? r : fork_add(xengnttab_fd(xen->gnttab));
}

void xen_pages_close(struct xen_hv *xen)
{
	if (xen->gnttab)
		fork_remove(xengnttab_fd(xen->gnttab));
	if (xen->gntshr)
		fork_remove(xengntshr_fd(xen->gntshr));
	xengnttab_close(xen->gnttab);
	xengntshr_close(xen->gntshr);
}

/*
 * Pages that a domain shares with itself.
 *
 * Xen maps a domain's own grants as it does others', but Linux does not expect it: in a PVH or HVM
 * domain the page is then at two places of the domain's memory, Linux finds the wrong one, and the
 * kernel's memory is corrupted when it is unmapped (seen with Linux 6.1).  So these pages are
 * memory of this process, mapped twice, and a reference is the number of a page in a list here.
 *
 * One process serves an endpoint, and a domain that sends to itself sends from an endpoint to the
 * same one: both sides are this process, and this struct xen_hv.  The notification that the kernel
 * would give when a side ends is given when the pages are unshared or unmapped; when the process
 * ends, nobody is left to be told.
 */

/* One call of hv_share or of hv_map. */
struct xen_self {
	LIST_ENTRY(xen_self) link;
	char *memory;
	uint32_t count;
	uint32_t first; /* reference of the first page, if shared */
	bool writable;
	struct hv_notify notify; /* port is NULL if there is none, or it was freed */
};

static struct xen_self *self_new(
	char *memory, uint32_t count, bool writable, const struct hv_notify *notify)
{
	struct xen_self *self = calloc(1, sizeof(*self));

	if (!self) {
		munmap(memory, count * PAGE);
		return NULL;
	}
	self->memory = memory;
	self->count = count;
	self->writable = writable;
	if (notify)
		self->notify = *notify;
	return self;
}

static void self_free(struct xen_self *self)
{
	if (self->notify.port) {
		__atomic_store_n(&self->memory[self->notify.offset], 0, __ATOMIC_SEQ_CST);
		hv_port_notify(self->notify.port);
	}
	LIST_REMOVE(self, link);
	munmap(self->memory, self->count * PAGE);
	free(self);
}

static struct xen_self *find_memory(const struct xen_selves *list, const void *memory)
{
	struct xen_self *self;

	LIST_FOREACH (self, list, link)
		if (self->memory == memory)
			return self;
	return NULL;
}

/* What was shared as these pages, in one piece; NULL if nothing was. */
static struct xen_self *find_refs(
	const struct xen_selves *list, uint32_t count, const uint32_t *refs)
{
	struct xen_self *self;

	for (uint32_t i = 1; i < count; i++)
		if (refs[i] != refs[0] + i)
			return NULL;
	LIST_FOREACH (self, list, link)
		if (refs[0] - self->first < self->count &&
			count <= self->count - (refs[0] - self->first))
			return self;
	return NULL;
}

static int self_share(struct xen_hv *xen, uint32_t count, bool writable,
	const struct hv_notify *notify, void **memory, uint32_t *refs)
{
	char *pages =
		mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct xen_self *self;

	if (pages == MAP_FAILED)
		return -ENOMEM;
	self = self_new(pages, count, writable, notify);
	if (!self)
		return -ENOMEM;
	self->first = xen->next_self_ref;
	xen->next_self_ref += count;
	for (uint32_t i = 0; i < count; i++)
		refs[i] = self->first + i;
	LIST_INSERT_HEAD(&xen->self_shared, self, link);
	*memory = pages;
	return 0;
}

static int self_map(struct xen_hv *xen, uint32_t count, const uint32_t *refs, bool writable,
	const struct hv_notify *notify, void **memory)
{
	const struct xen_self *shared = find_refs(&xen->self_shared, count, refs);
	struct xen_self *self;
	char *pages;

	if (!shared || (writable && !shared->writable) || (notify && !writable))
		return -EINVAL;
	/* An old size of 0 maps shared memory a second time. */
	pages = mremap(
		shared->memory + (refs[0] - shared->first) * PAGE, 0, count * PAGE, MREMAP_MAYMOVE);
	if (pages == MAP_FAILED)
		return -ENOMEM;
	self = self_new(pages, count, writable, notify);
	if (!self)
		return -ENOMEM;
	LIST_INSERT_HEAD(&xen->self_mapped, self, link);
	if (!writable)
		mprotect(pages, count * PAGE, PROT_READ);
	*memory = pages;
	return 0;
}

static bool self_unshare(struct xen_hv *xen, const void *memory)
{
	struct xen_self *self = find_memory(&xen->self_shared, memory);

	if (!self)
		return false;
	self_free(self);
	return true;
}

static bool self_unmap(struct xen_hv *xen, const void *memory)
{
	struct xen_self *self = find_memory(&xen->self_mapped, memory);

	if (!self)
		return false;
	self_free(self);
	return true;
}

void xen_self_port_freed(struct xen_hv *xen, const struct hv_port *port)
{
	struct xen_self *self;

	LIST_FOREACH (self, &xen->self_shared, link)
		if (self->notify.port == port)
			self->notify.port = NULL;
	LIST_FOREACH (self, &xen->self_mapped, link)
		if (self->notify.port == port)
			self->notify.port = NULL;
}

/*
 * Pages that are shared with others.
 */

/* gntalloc's limit as the kernel has it now, without the newline. */
static void limit_read(char text[16])
{
	int fd = open(LIMIT_FILE, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, 15);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

static int no_grants(struct xen_hv *xen)
{
	char limit[16];

	if (xen->logged_no_grants)
		return -ENOSPC;
	xen->logged_no_grants = true;
	limit_read(limit);
	hv_log(&xen->hv, LOG_ERR,
		"no pages left to share: gntalloc's limit is %s pages, for all programs of this "
		"domain together. Raise it: write a larger number to " LIMIT_FILE
		", or \"options xen-gntalloc limit=N\" in /etc/modprobe.d; and max_grant_frames= "
		"of this domain's configuration in dom0 must allow as many",
		*limit ? limit : "1024");
	return -ENOSPC;
}

/* A child would keep them, and the peer would not be told of our end. */
static void not_for_children(void *pages, uint32_t count)
{
	madvise(pages, count * PAGE, MADV_DONTFORK);
}

int xen_share(struct hv *hv, uint16_t domid, uint32_t count, bool writable,
	const struct hv_notify *notify, void **memory, uint32_t *refs)
{
	struct xen_hv *xen = xen_of(hv);
	void *pages;
	int error;

	if (domid == hv->domid)
		return self_share(xen, count, writable, notify, memory, refs);
	if (notify)
		pages = xengntshr_share_page_notify(
			xen->gntshr, domid, refs, writable, notify->offset, notify->port->number);
	else
		pages = xengntshr_share_pages(xen->gntshr, domid, (int)count, refs, writable);
	if (pages) {
		not_for_children(pages, count);
		*memory = pages;
		return 0;
	}
	error = errno;
	if (error == ENOSPC)
		return no_grants(xen);
	hv_log(hv, LOG_ERR, "cannot share %u pages with domain %u: %s", count, domid,
		strerror(error));
	return -error;
}

void xen_unshare(struct hv *hv, void *memory, uint32_t count)
{
	if (self_unshare(xen_of(hv), memory))
		return;
	xengntshr_unshare(xen_of(hv)->gntshr, memory, count);
}

/*
 * Pages of others.
 */

/* What gntdev calls the pages that are mapped there. */
static int find_index(int fd, const void *memory, uint64_t *index)
{
	struct ioctl_gntdev_get_offset_for_vaddr where = {.vaddr = (uintptr_t)memory};

	if (ioctl(fd, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, &where) < 0)
		return -errno;
	*index = where.offset;
	return 0;
}

static int notify_set(int fd, uint64_t index, const struct hv_notify *notify)
{
	struct ioctl_gntdev_unmap_notify both = {
		.index = index + notify->offset,
		.action = UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT,
		.event_channel_port = notify->port->number,
	};

	return ioctl(fd, IOCTL_GNTDEV_SET_UNMAP_NOTIFY, &both);
}

static void notify_cancel(int fd, const void *memory)
{
	struct ioctl_gntdev_unmap_notify nothing = {.action = 0};
	uint64_t index = 0;

	if (find_index(fd, memory, &index) < 0)
		return;
	nothing.index = index;
	(void)ioctl(fd, IOCTL_GNTDEV_SET_UNMAP_NOTIFY, &nothing);
}

/* Tells gntdev which references are meant; it looks at them when they are mapped. */
static int refs_add(int fd, uint16_t domid, uint32_t count, const uint32_t *refs, uint64_t *index)
{
	struct ioctl_gntdev_map_grant_ref *add;
	int r = 0;

	add = calloc(1, sizeof(*add) + (count - 1) * sizeof(add->refs[0]));
	if (!add)
		return -ENOMEM;
	add->count = count;
	for (uint32_t i = 0; i < count; i++)
		add->refs[i] = (struct ioctl_gntdev_grant_ref){.domid = domid, .ref = refs[i]};
	if (ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, add) < 0)
		r = -errno;
	else
		*index = add->index;
	free(add);
	return r;
}

static void refs_remove(int fd, uint32_t count, uint64_t index)
{
	struct ioctl_gntdev_unmap_grant_ref remove = {.index = index, .count = count};

	(void)ioctl(fd, IOCTL_GNTDEV_UNMAP_GRANT_REF, &remove);
}

/* In a signal handler: this domain was restored, or the page would be there. */
static void on_gone(void *memory, void *data)
{
	struct xen_hv *xen = data;

	xen->hv.lost = true;
	notify_cancel(xengnttab_fd(xen->gnttab), memory);
}

int xen_map(struct hv *hv, uint16_t domid, uint32_t count, const uint32_t *refs, bool writable,
	const struct hv_notify *notify, void **memory)
{
	int fd = xengnttab_fd(xen_of(hv)->gnttab);
	uint64_t index = 0;
	void *pages = NULL;
	int r;

	if (domid == hv->domid)
		return self_map(xen_of(hv), count, refs, writable, notify, memory);
	r = refs_add(fd, domid, count, refs, &index);
	if (r < 0)
		return r == -ENOMEM ? r : -EINVAL;
	r = sigbus_map(count * PAGE, writable ? PROT_READ | PROT_WRITE : PROT_READ, fd,
		(off_t)index, on_gone, hv, &pages);
	if (r == 0 && notify && notify_set(fd, index, notify) < 0) {
		sigbus_unmap(pages);
		r = -EINVAL;
	}
	if (r < 0) {
		refs_remove(fd, count, index);
		return r == -ENOMEM ? r : -EINVAL;
	}
	not_for_children(pages, count);
	*memory = pages;
	return 0;
}

void xen_unmap(struct hv *hv, void *memory, uint32_t count)
{
	int fd = xengnttab_fd(xen_of(hv)->gnttab);
	uint64_t index = 0;
	bool there;

	if (self_unmap(xen_of(hv), memory))
		return;
	(void)*(volatile char *)memory; /* is it there? */
	there = find_index(fd, memory, &index) == 0;
	if (!sigbus_unmap(memory) && there)
		refs_remove(fd, count, index);
}
