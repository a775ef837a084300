/* SPDX-License-Identifier: MIT */
/*
 * xen_pages.c: sharing pages with another domain, and mapping those it shares, by grants.
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
 * there is nothing where the page was, but gntdev would still clear the byte in it, and as of Linux
 * 6.1 crashes the process in the kernel: the notification is taken back before the page is
 * unmapped.
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

#include "xen.h"

#define LIMIT_FILE "/sys/module/xen_gntalloc/parameters/limit"
#define PAGE       ((size_t)4096)
#define TABLE      (512 * PAGE) /* what one page table maps */

int xen_pages_open(struct xen_hv *xen)
{
	xen->gntshr = xengntshr_open(&xen->logger.vtable, 0);
	if (!xen->gntshr)
		return xen_no_device(&xen->hv, "/dev/xen/gntalloc", "xen-gntalloc", errno);
	if (fcntl(xengntshr_fd(xen->gntshr), F_SETFD, FD_CLOEXEC) < 0) /* the library does not */
		return -errno;
	xen->gnttab = xengnttab_open(&xen->logger.vtable, 0);
	if (!xen->gnttab)
		return xen_no_device(&xen->hv, "/dev/xen/gntdev", "xen-gntdev", errno);
	return 0;
}

void xen_pages_close(struct xen_hv *xen)
{
	xengnttab_close(xen->gnttab);
	xengntshr_close(xen->gntshr);
}

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

	if (xen->said_no_grants)
		return -ENOSPC;
	xen->said_no_grants = true;
	limit_read(limit);
	hv_log(&xen->hv, LOG_ERR,
		"no pages left to share: gntalloc's limit is %s pages, for all programs of this "
		"domain together. Raise it: write a larger number to " LIMIT_FILE
		", or \"options xen-gntalloc limit=N\" in /etc/modprobe.d; and max_grant_frames= "
		"of this domain's configuration in dom0 must allow as many",
		*limit ? limit : "1024");
	return -ENOSPC;
}

int xen_share(struct hv *hv, uint16_t domid, uint32_t count, bool writable,
	const struct hv_notify *notify, void **memory, uint32_t *refs)
{
	struct xen_hv *xen = xen_of(hv);
	void *pages;
	int error;

	if (notify)
		pages = xengntshr_share_page_notify(
			xen->gntshr, domid, refs, writable, notify->offset, notify->port->number);
	else
		pages = xengntshr_share_pages(xen->gntshr, domid, (int)count, refs, writable);
	if (pages) {
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
	xengntshr_unshare(xen_of(hv)->gntshr, memory, count);
}

/* Addresses that share no page table with others': what is mapped, and what is kept free for it. */
static size_t place_size(uint32_t count)
{
	return (count * PAGE + TABLE - 1) / TABLE * TABLE;
}

/* The end of a place is reserved, so that nothing else is mapped there. */
static void place_free(char *place, uint32_t count)
{
	size_t used = count * PAGE;

	if (place_size(count) > used)
		munmap(place + used, place_size(count) - used);
}

/* The beginning of the place is free when this returns, its end reserved.  NULL: no memory. */
static char *place_new(uint32_t count)
{
	size_t size = place_size(count);
	char *area = mmap(
		NULL, size + TABLE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *place;

	if (area == MAP_FAILED)
		return NULL;
	place = (char *)(((uintptr_t)area + TABLE - 1) / TABLE * TABLE);
	if (place > area)
		munmap(area, (size_t)(place - area));
	if (area + TABLE > place)
		munmap(place + size, (size_t)(area + TABLE - place));
	munmap(place, count * PAGE);
	return place;
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
	struct ioctl_gntdev_get_offset_for_vaddr where = {.vaddr = (uintptr_t)memory};
	struct ioctl_gntdev_unmap_notify nothing = {.action = 0};

	if (ioctl(fd, IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR, &where) < 0)
		return;
	nothing.index = where.offset;
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

/* Maps what stands at `index`, in a place of its own. */
static int refs_map(int fd, uint32_t count, uint64_t index, bool writable, void **memory)
{
	int prot = PROT_READ | (writable ? PROT_WRITE : 0);
	char *place = place_new(count);
	void *pages;
	int error;

	if (!place)
		return -ENOMEM;
	pages = mmap(place, count * PAGE, prot, MAP_SHARED, fd, (off_t)index);
	error = errno;
	if (pages == place) {
		*memory = pages;
		return 0;
	}
	place_free(place, count);
	if (pages == MAP_FAILED)
		return error == ENOMEM ? -ENOMEM : -EINVAL;
	munmap(pages, count * PAGE); /* another thread was faster to take the place */
	return -ENOMEM;
}

int xen_map(struct hv *hv, uint16_t domid, uint32_t count, const uint32_t *refs, bool writable,
	const struct hv_notify *notify, void **memory)
{
	int fd = xengnttab_fd(xen_of(hv)->gnttab);
	uint64_t index = 0;
	void *pages = NULL;
	int r = refs_add(fd, domid, count, refs, &index);

	if (r < 0)
		return r == -ENOMEM ? r : -EINVAL;
	r = refs_map(fd, count, index, writable, &pages);
	if (r == 0 && notify && notify_set(fd, index, notify) < 0) {
		munmap(pages, count * PAGE);
		place_free(pages, count);
		r = -EINVAL;
	}
	if (r < 0)
		refs_remove(fd, count, index);
	else
		*memory = pages;
	return r;
}

void xen_unmap(struct hv *hv, void *memory, uint32_t count)
{
	xengnttab_handle *gnttab = xen_of(hv)->gnttab;

	if (xen_of(hv)->stale)
		notify_cancel(xengnttab_fd(gnttab), memory);
	xengnttab_unmap(gnttab, memory, count);
	place_free(memory, count);
}
