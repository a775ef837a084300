/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "page.h"
#include "tap.h"

#define NONCE 0x1122334455667788ull

static struct sivc_page *page_new(struct page_owner *owner)
{
	struct sivc_page *page = calloc(1, SIVC_PAGE_SIZE);

	page_init(owner, page, NONCE);
	return page;
}

static const struct page_permission permission = {
	.ring_nonce = 42,
	.port = 9,
	.ctl_ref = 100,
	.ring_pages = 2,
	.max_msg = 1000,
	.refs = (const uint32_t[]){101, 102},
};

static void test_verdicts(void)
{
	struct page_owner owner;
	struct sivc_page *page = page_new(&owner);
	struct page_view view;

	ok(page_read(page, NONCE, &view) == 0 && view.verdict == SIVC_VERDICT_REFUSED,
		"a new page refuses");
	ok(page_read(page, NONCE + 1, &view) == -ESTALE,
		"a page of another nonce is not the one meant");
	page_read(page, NONCE, &view);
	ok(page_unchanged(page, &view), "a page that was not written is unchanged");
	page_permit(&owner, &permission);
	ok(!page_unchanged(page, &view), "a permission changes it");
	ok(page_read(page, NONCE, &view) == 0 && view.verdict == SIVC_VERDICT_PERMITTED &&
			view.ring_nonce == 42 && view.port == 9 && view.ctl_ref == 100 &&
			view.ring_pages == 2 && view.max_msg == 1000 && view.refs[0] == 101 &&
			view.refs[1] == 102,
		"a permission is read as it was written");
	page_revoke_begin(&owner);
	ok(!page_unchanged(page, &view), "a revocation shows before it is complete");
	page_revoke_end(&owner, SIVC_VERDICT_REFUSED, 42, 4711);
	ok(page_read(page, NONCE, &view) == 0 && view.verdict == SIVC_VERDICT_REFUSED &&
			view.final == 4711 && view.final_nonce == 42 && view.port == 0 &&
			view.ring_pages == 0,
		"a refusal says what arrived, and nothing else");
	free(page);
}

/* The owner is hostile: it writes what it likes. */
static int read_with(uint32_t verdict, uint32_t pages, uint32_t max_msg, uint64_t nonce)
{
	struct page_owner owner;
	struct sivc_page *page = page_new(&owner);
	struct page_view view;
	int r;

	page->verdict = verdict;
	page->ring_pages = pages;
	page->max_msg = max_msg;
	page->ring_nonce = nonce;
	r = page_read(page, NONCE, &view);
	free(page);
	return r;
}

static void test_hostile(void)
{
	struct page_owner owner;
	struct sivc_page *page = page_new(&owner);
	struct page_view view;

	ok(read_with(SIVC_VERDICT_PERMITTED, 16, 1, 1) == 0,
		"a permission that makes sense is read");
	ok(read_with(3, 16, 1, 1) == -EPROTO, "an unknown verdict is a breach");
	ok(read_with(SIVC_VERDICT_PERMITTED, 0, 1, 1) == -EPROTO, "a ring of 0 pages is a breach");
	ok(read_with(SIVC_VERDICT_PERMITTED, 3, 1, 1) == -EPROTO, "so is one of 3");
	ok(read_with(SIVC_VERDICT_PERMITTED, 1024, 1, 1) == -EPROTO, "and one of too many");
	ok(read_with(SIVC_VERDICT_PERMITTED, 0xFFFFFFFFu, 1, 1) == -EPROTO, "or of 2^32 - 1");
	ok(read_with(SIVC_VERDICT_PERMITTED, 16, 0, 1) == -EPROTO, "no message can have 0 bytes");
	ok(read_with(SIVC_VERDICT_PERMITTED, 16, 1, 0) == -EPROTO, "a ring has a nonce");

	page->seq = 1;
	ok(page_read(page, NONCE, &view) == -EAGAIN, "a page that does not settle keeps nobody");
	page->seq = 2;
	page->version = SIVC_WIRE_VERSION + 1;
	ok(page_read(page, NONCE, &view) == -EPROTO, "a page of another version is not understood");
	page->magic = 0;
	ok(page_read(page, NONCE, &view) == -ESTALE, "what is no page is no page");
	free(page);
}

int main(void)
{
	test_verdicts();
	test_hostile();
	return done_testing();
}
