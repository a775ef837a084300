/* SPDX-License-Identifier: MIT */
/* The layout of sivc/wire.h, which two domains with different builds must agree upon. */
#include <sivc/ioctl.h>
#include <sivc/wire.h>
#include <stddef.h>

#include "tap.h"

#define AT(type, field, offset)                                                                    \
	_Static_assert(offsetof(struct type, field) == (offset), #type "." #field)

AT(sivc_page, magic, 0);
AT(sivc_page, version, 4);
AT(sivc_page, page_nonce, 8);
AT(sivc_page, seq, 16);
AT(sivc_page, verdict, 20);
AT(sivc_page, ring_nonce, 24);
AT(sivc_page, port, 32);
AT(sivc_page, ring_pages, 36);
AT(sivc_page, ctl_ref, 40);
AT(sivc_page, max_msg, 44);
AT(sivc_page, final, 48);
AT(sivc_page, data_event, 52);
AT(sivc_page, final_nonce, 56);
AT(sivc_page, cons, 64);
AT(sivc_page, refs, 128);
_Static_assert(sizeof(struct sivc_page) == 128 + 4 * SIVC_RING_PAGES_MAX, "page");

AT(sivc_ctl, prod, 0);
AT(sivc_ctl, space_event, 64);
AT(sivc_ctl, receiver_alive, 68);
AT(sivc_ctl, sender_alive, 69);

AT(sivc_frame, length, 0);
AT(sivc_frame, flags, 4);
_Static_assert(sizeof(struct sivc_frame) == SIVC_FRAME_ALIGN, "a frame's header is one unit");

AT(sivc_frame_header, length, 0);
AT(sivc_frame_header, domain, 4);
_Static_assert(sizeof(struct sivc_frame_header) == 8, "frame header");

int main(void)
{
	ok(SIVC_MAGIC == 0x43564953u, "the magic number spells SIVC in memory");
	ok(SIVC_IOC_ALLOW == 0x4004b501, "ioctl numbers do not change: ALLOW");
	ok(SIVC_IOC_DENY == 0x4004b502, "ioctl numbers do not change: DENY");
	ok(SIVC_IOC_PERMITTED == 0xc004b503, "ioctl numbers do not change: PERMITTED");
	ok(SIVC_IOC_SENDER == 0x8004b504, "ioctl numbers do not change: SENDER");
	ok(SIVC_IOC_FRAMED == 0x4004b505, "ioctl numbers do not change: FRAMED");
	ok(SIVC_IOC_QUEUED == 0x8004b506, "ioctl numbers do not change: QUEUED");
	return done_testing();
}
