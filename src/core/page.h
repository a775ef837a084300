/* SPDX-License-Identifier: MIT */
/*
 * page.h: a row of the access control table, as its owner writes it and as its peer reads it.
 *
 * The peer has it mapped read-only.  It reads a whole, settled permission into a private struct
 * page_view, and from then on compares one word, seq, to know that nothing has changed.
 */
#ifndef SIVC_PAGE_H
#define SIVC_PAGE_H

#include <sivc/wire.h>
#include <stdbool.h>
#include <stdint.h>

/* The owner's end. */
struct page_owner {
	struct sivc_page *page; /* shared, read-only for the peer; we write */
	uint64_t nonce;         /* page_nonce */
	uint32_t seq;           /* ours; what is in the page is a copy of it */
	uint32_t ring_pages;    /* of the permission that is in force */
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
/*
 * Refusing takes two steps, with the last look at the ring between them: after page_revoke_begin,
 * a sender that publishes sees that it has to look here; page_revoke_end tells it what arrived.
 */
void page_revoke_begin(struct page_owner *owner);
void page_revoke_end(
	struct page_owner *owner, enum sivc_verdict verdict, uint64_t ring_nonce, uint32_t final);

/* Before page_revoke_end, in the ring's own control page: what it says there stays true, however
 * often the page changes after it. */
void page_finish_ring(struct sivc_ctl *ctl, uint32_t final);
/* The peer's end.  False: the ring is in force, or its owner was killed. */
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
 * -ESTALE: not the page that the node means.  -EPROTO: no page of this version, or a permission
 * that makes no sense; page_unchanged is true until it changes.  -EAGAIN: it is being changed; what
 * it said before is still in *view.
 */
int page_read(const struct sivc_page *page, uint64_t nonce, struct page_view *view);
/* Is what `view` says still so?  One load. */
bool page_unchanged(const struct sivc_page *page, const struct page_view *view);

#endif
