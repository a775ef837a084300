/* SPDX-License-Identifier: MIT */
/*
 * page.c: the access control table's page.
 *
 * The owner of a page that we read may write anything at any time.  So reading is bounded
 * (FRUITLESS_MAX), and what was read is checked before it is used.
 */
#include "page.h"

#include <errno.h>
#include <stddef.h>
#include <sys/random.h>

#include "shared.h"
#include "tuning.h"

_Static_assert(sizeof(struct sivc_page) <= SIVC_PAGE_SIZE, "a row is a page");
_Static_assert(sizeof(struct sivc_ctl) <= SIVC_PAGE_SIZE, "a control page is a page");

void page_init(struct page_owner *owner, void *memory, uint64_t nonce)
{
	struct sivc_page *page = memory;

	*owner = (struct page_owner){.page = page, .nonce = nonce};
	shared_store(&page->version, SIVC_WIRE_VERSION);
	shared_store64(&page->page_nonce, nonce);
	shared_store_release(&page->magic, SIVC_MAGIC);
}

/* seq becomes odd: a reader reads again. */
static void change_begin(struct page_owner *owner)
{
	shared_store(&owner->page->seq, ++owner->seq);
	shared_barrier(PAGE_CHANGE); /* orders later stores, too */
}

static void change_end(struct page_owner *owner)
{
	shared_store_release(&owner->page->seq, ++owner->seq);
}

void page_permit(struct page_owner *owner, const struct page_permission *permission)
{
	struct sivc_page *page = owner->page;

	change_begin(owner);
	shared_store64(&page->ring_nonce, permission->ring_nonce);
	shared_store(&page->port, permission->port);
	shared_store(&page->ring_pages, permission->ring_pages);
	shared_store(&page->ctl_ref, permission->ctl_ref);
	shared_store(&page->max_msg, permission->max_msg);
	owner->ring_pages = permission->ring_pages;
	for (uint32_t i = 0; i < permission->ring_pages; i++)
		shared_store(&page->refs[i], permission->refs[i]);
	/* A new ring starts at 0. */
	shared_store(&page->cons, 0);
	shared_store(&page->broken, 0);
	shared_store(&page->data_event, 0);
	shared_store(&page->verdict, SIVC_VERDICT_PERMITTED);
	change_end(owner);
}

void page_revoke_begin(struct page_owner *owner)
{
	change_begin(owner);
}

void page_revoke_end(
	struct page_owner *owner, enum sivc_verdict verdict, uint64_t ring_nonce, uint32_t final)
{
	struct sivc_page *page = owner->page;

	shared_store(&page->verdict, verdict);
	shared_store64(&page->ring_nonce, 0);
	shared_store(&page->port, 0);
	shared_store(&page->ctl_ref, 0);
	shared_store(&page->ring_pages, 0);
	shared_store(&page->max_msg, 0);
	for (uint32_t i = 0; i < owner->ring_pages; i++)
		shared_store(&page->refs[i], 0);
	owner->ring_pages = 0;
	shared_store(&page->final, final);
	shared_store64(&page->final_nonce, ring_nonce);
	change_end(owner);
}

static bool permission_sane(const struct page_view *view)
{
	uint32_t pages = view->ring_pages;

	if (view->verdict != SIVC_VERDICT_PERMITTED)
		return view->verdict == SIVC_VERDICT_REFUSED ||
		       view->verdict == SIVC_VERDICT_CLOSED;
	return pages >= 1 && pages <= SIVC_RING_PAGES_MAX && (pages & (pages - 1)) == 0 &&
	       view->max_msg >= 1 && view->ring_nonce != 0;
}

/* One try.  The sizes in `view` are not checked yet. */
static bool copy(const struct sivc_page *page, struct page_view *view)
{
	uint32_t seq = shared_load_acquire(&page->seq); /* pairs with change_end */

	if (seq % 2 != 0)
		return false;
	view->seq = seq;
	view->verdict = shared_load(&page->verdict);
	view->ring_nonce = shared_load64(&page->ring_nonce);
	view->port = shared_load(&page->port);
	view->ring_pages = shared_load(&page->ring_pages);
	view->ctl_ref = shared_load(&page->ctl_ref);
	view->max_msg = shared_load(&page->max_msg);
	view->final = shared_load(&page->final);
	view->final_nonce = shared_load64(&page->final_nonce);
	for (uint32_t i = 0; i < view->ring_pages && i < SIVC_RING_PAGES_MAX; i++)
		view->refs[i] = shared_load(&page->refs[i]);
	shared_read_barrier();
	return shared_load(&page->seq) == seq;
}

static int check_header(const struct sivc_page *page, uint64_t nonce)
{
	if (shared_load_acquire(&page->magic) != SIVC_MAGIC ||
		shared_load64(&page->page_nonce) != nonce)
		return -ESTALE;
	return shared_load(&page->version) == SIVC_WIRE_VERSION ? 0 : -EPROTO;
}

int page_read(const struct sivc_page *page, uint64_t nonce, struct page_view *view)
{
	struct page_view now;
	uint32_t seq = shared_load_acquire(&page->seq);
	int r = check_header(page, nonce);

	if (r < 0) {
		view->seq = seq; /* looked at again when it changes */
		return r;
	}
	for (int i = 0; i < FRUITLESS_MAX; i++) {
		if (!copy(page, &now))
			continue;
		*view = now;
		return permission_sane(view) ? 0 : -EPROTO;
	}
	return -EAGAIN;
}

bool page_unchanged(const struct sivc_page *page, const struct page_view *view)
{
	return shared_load_acquire(&page->seq) == view->seq;
}

void page_finish_ring(struct sivc_ctl *ctl, uint32_t final)
{
	shared_store(&ctl->final, final);
	shared_store_release(&ctl->finished, 1);
}

bool page_ring_finished(const struct sivc_ctl *ctl, uint32_t *final)
{
	if (shared_load_acquire(&ctl->finished) != 1)
		return false;
	*final = shared_load(&ctl->final);
	return true;
}

void page_stream_broken(struct page_owner *owner, uint32_t broken)
{
	shared_store(&owner->page->broken, broken);
}

bool page_stream_is_broken(const struct sivc_page *page, uint32_t begin)
{
	return shared_load(&page->broken) == (begin | 1);
}

uint64_t nonce_draw(void)
{
	uint64_t nonce = 0;

	/* Does not fail for 8 bytes after boot. */
	while (nonce == 0)
		if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce))
			nonce = 0;
	return nonce;
}
