/* SPDX-License-Identifier: MIT */
/*
 * ioctl.h: what can be asked of an open file of a mounted endpoint, beside read and write.
 *
 * Domain ids are 0..SIVC_DOMID_MAX.  Errors are those of ioctl(2), and those named below.
 */
#ifndef SIVC_IOCTL_H
#define SIVC_IOCTL_H

#include <stdint.h>
#include <sys/ioctl.h>

#define SIVC_DOMID_MAX 0x7FEFu /* Xen: DOMID_FIRST_RESERVED - 1 */

#define SIVC_IOC_MAGIC 0xB5

/*
 * Permit, refuse: as `allow N` and `deny N` written to the file acl of this endpoint with >>.
 * On any open file of the endpoint, for a caller who may write its acl.
 * EACCES: the caller may not.  EINVAL: no domain id.  ENOSPC: no grants left.
 */
#define SIVC_IOC_ALLOW _IOW(SIVC_IOC_MAGIC, 1, uint32_t)
#define SIVC_IOC_DENY  _IOW(SIVC_IOC_MAGIC, 2, uint32_t)

/*
 * In: a domain id.  Out: 1 if the table permits that domain to send to this endpoint, else 0.
 * On any open file of the endpoint, for a caller who may read its acl.
 * EACCES: the caller may not.  EINVAL: no domain id.
 */
#define SIVC_IOC_PERMITTED _IOWR(SIVC_IOC_MAGIC, 3, uint32_t)

/*
 * Out: the domain that sent what this handle read last.  On inbox, inbox.from and peers/N.
 * ENODATA: nothing was read yet.
 */
#define SIVC_IOC_SENDER _IOR(SIVC_IOC_MAGIC, 4, uint32_t)

/*
 * In: 1 or 0.  A framed handle reads and writes many messages a call, each behind a struct
 * sivc_frame_header.  On inbox and peers/N.  EINVAL: neither 0 nor 1.  EBUSY: the handle holds
 * the rest of a message that was read in part.
 *
 * A write takes whole frames, in order, and returns the bytes of those it took; each header's
 * domain must be the N of peers/N.  EINVAL: the first header or frame is not whole or its domain
 * is another.  EMSGSIZE: the first message is too long.
 * A read returns as many whole frames as fit.  EMSGSIZE: the first does not fit; it stays queued.
 */
#define SIVC_IOC_FRAMED _IOW(SIVC_IOC_MAGIC, 5, uint32_t)

/*
 * Out: the bytes of messages that this handle can read now, first the rest of one that it has read
 * in part; without the lines of inbox.from.  On inbox, inbox.from and peers/N.  (FIONREAD is
 * answered by the kernel itself, for a regular file, from its size, which is 0.)
 */
#define SIVC_IOC_QUEUED _IOR(SIVC_IOC_MAGIC, 6, uint32_t)

/*
 * Cuts the stream that this handle writes: its reader gets all that was written, and then
 * ECONNRESET.  A write after it is EPIPE.  On peers/N of an endpoint of streams.  EBADF: not open
 * for writing.
 */
#define SIVC_IOC_CUT _IO(SIVC_IOC_MAGIC, 7)

struct sivc_frame_header {
	uint32_t length; /* bytes of message that follow, 1..max_msg, without padding */
	uint32_t domain; /* written: the receiver; read: the sender */
};

#endif
