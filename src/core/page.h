/* SPDX-License-Identifier: MIT */
/*
 * page.h: a row of the access control table, for its owner and for its peer.
 *
 * The peer maps it read-only.  It copies a settled permission into a private struct page_view.
 * While seq is unchanged, so is the permission: one load.
 */
#ifndef SIVC_PAGE_H
#define SIVC_PAGE_H

#include <sivc/wire.h>
#include <stdbool.h>
#include <stdint.h>

/* The owner's end. */
struct page_owner {
	struct sivc_page *page; /* shared; we write */
	uint64_t nonce;         /* page_nonce */
	uint32_t seq;           /* the page has a copy of it */
	uint32_t ring_pages;    /* of the permission in force */
};

struct page_permission {
	uint64_t ring_nonce;
	uint32_t port;
	uint32_t ctl_ref;
	uint32_t ring_pages;
	uint32_t max_msg;
	const uint32_t *refs; /* [ring_pages] */
};

void page_init(struct page_owner *owner, void *memory, uint64_t nonce);
void page_permit(struct page_owner *owner, const struct page_permission *permission);
/* Around the last look at a ring.  After the first, a sender that publishes sees that it has to
 * look here; the second tells it what arrived. */
void page_revoke_begin(struct page_owner *owner);
void page_revoke_end(
	struct page_owner *owner, enum sivc_verdict verdict, uint64_t ring_nonce, uint32_t final);

/* In the ring's own control page, before page_revoke_end: it stays true when the page changes. */
void page_finish_ring(struct sivc_ctl *ctl, uint32_t final);
/* For the peer.  False: the ring is in force, or its owner was killed. */
bool page_ring_finished(const struct sivc_ctl *ctl, uint32_t *final);

/* Of streams, and not under seq: sivc/wire.h, `broken`. */
void page_stream_broken(struct page_owner *owner, uint32_t broken);
bool page_stream_is_broken(const struct sivc_page *page, uint32_t begin);

/* From the kernel's generator; never 0. */
uint64_t nonce_draw(void);

/* The peer's end: a private copy. */
struct page_view {
	uint32_t seq;
	uint32_t verdict;
	uint64_t ring_nonce;
	uint32_t port;
	uint32_t ring_pages;
	uint32_t ctl_ref;
	uint32_t max_msg;
	uint32_t final;
	uint64_t final_nonce;
	uint32_t refs[SIVC_RING_PAGES_MAX]; /* the first ring_pages are valid */
};

/*
 * -ESTALE: not the page that the node means.  -EPROTO: another version, or a permission that makes
 * no sense; page_unchanged is true until it changes.  -EAGAIN: it is being changed, and *view is as
 * before.
 */
int page_read(const struct sivc_page *page, uint64_t nonce, struct page_view *view);
bool page_unchanged(const struct sivc_page *page, const struct page_view *view);

#endif
