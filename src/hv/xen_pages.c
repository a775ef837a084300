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
 * After a restore (see xen.c) a mapped page is not there any more, but gntdev would still clear the
 * byte in it, and as of Linux 6.1 crashes the process in the kernel: the notification is taken back
 * first.
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

int xen_map(struct hv *hv, uint16_t domid, uint32_t count, const uint32_t *refs, bool writable,
	const struct hv_notify *notify, void **memory)
{
	xengnttab_handle *gnttab = xen_of(hv)->gnttab;
	int prot = PROT_READ | (writable ? PROT_WRITE : 0);
	uint32_t *copy; /* the library takes no const */
	void *pages;

	copy = malloc(count * sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	memcpy(copy, refs, count * sizeof(*copy));
	if (notify)
		pages = xengnttab_map_grant_ref_notify(
			gnttab, domid, copy[0], prot, notify->offset, notify->port->number);
	else
		pages = xengnttab_map_domain_grant_refs(gnttab, count, domid, copy, prot);
	free(copy);
	if (!pages)
		return errno == ENOMEM ? -ENOMEM : -EINVAL;
	*memory = pages;
	return 0;
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

void xen_unmap(struct hv *hv, void *memory, uint32_t count)
{
	if (xen_of(hv)->stale)
		notify_cancel(xengnttab_fd(xen_of(hv)->gnttab), memory);
	xengnttab_unmap(xen_of(hv)->gnttab, memory, count);
}
