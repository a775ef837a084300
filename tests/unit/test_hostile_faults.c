/* SPDX-License-Identifier: MIT */
/*
 * What goes wrong without anybody's ill will: calls of the hypervisor that fail, memory that is
 * not there, processes that end in the wrong moment, and tables that are changed between any two
 * steps of a sender.
 */
#include "no_memory.h"

#if OWN_ALLOCATOR
#define FAKE_CALLOC __libc_calloc /* the hypervisor itself always has memory */
#endif

#include "hostile.h"

/* One life of two domains, in steps.  Each may fail once, and must succeed when it is tried again.
 */

#define TABLE_MAX 256

struct life {
	struct house a, b;
	struct sending sending;
	struct iovec message;
	struct sivc_unread *unread;
	char large[3 * RING], buffer[3 * RING];
	int done; /* 1: not yet */
};

static void on_done(struct sending *sending, int error)
{
	struct life *life = (void *)((char *)sending - offsetof(struct life, sending));

	life->done = error;
}

static int open_domain(struct house *house, int domid, const char *name)
{
	struct sivc_config config = {
		.backend = "local", .domid = domid, .name = name, .ring = RING};

	return house->sivc ? 0 : sivc_open(&config, &house->sivc);
}

static int open_a(struct life *life)
{
	return open_domain(&life->a, VICTIM, "victim");
}

static int open_b(struct life *life)
{
	int r = open_domain(&life->b, FRIEND, NULL);

	return r < 0 ? r : strcmp(sivc_name(life->b.sivc), "friend") == 0 ? 0 : -EBADMSG;
}

static int endpoint_a(struct life *life)
{
	return sivc_endpoint_open(life->a.sivc, "default", NULL, &life->a.ep);
}

static int endpoint_b(struct life *life)
{
	return sivc_endpoint_open(life->b.sivc, "default", NULL, &life->b.ep);
}

static int open_peer(struct life *life)
{
	return sivc_peer_open(life->b.ep, VICTIM);
}

static int allow(struct life *life)
{
	static const char text[] = "allow friend\nallow *\ndeny 9\n";

	return sivc_acl_write(life->a.ep, text, sizeof(text) - 1, true);
}

static int send_small(struct life *life)
{
	return send_bytes(&life->b, VICTIM, "small", 5);
}

static int receive_small(struct life *life)
{
	ssize_t n = receive(&life->a, SIVC_ANY, life->buffer, sizeof(life->buffer));

	return n == 5 && memcmp(life->buffer, "small", 5) == 0 ? 0 : n < 0 ? (int)n : -EBADMSG;
}

static int start_large(struct life *life)
{
	int r;

	life->message = (struct iovec){life->large, sizeof(life->large)};
	life->sending = (struct sending){.messages = &life->message, .count = 1, .done = on_done};
	life->done = 1;
	r = send_start(life->b.ep, VICTIM, &life->sending);
	return r == -EINPROGRESS ? 0 : r;
}

static int receive_large(struct life *life)
{
	ssize_t n = -EAGAIN;

	for (int i = 0; n == -EAGAIN && i < 100; i++) {
		n = receive(&life->a, FRIEND, life->buffer, sizeof(life->buffer));
		house_run(&life->b);
	}
	if (n < 0)
		return (int)n;
	return n == sizeof(life->large) && memcmp(life->buffer, life->large, (size_t)n) == 0
		       ? 0
		       : -EBADMSG;
}

static int is_done(struct life *life)
{
	house_run(&life->b);
	return life->done;
}

static int refuse(struct life *life)
{
	return sivc_refuse(life->a.ep, FRIEND);
}

static int is_refused(struct life *life)
{
	int r = send_bytes(&life->b, VICTIM, "small", 5);

	return r == -EACCES ? 0 : r < 0 ? r : -EBADMSG;
}

static int permit(struct life *life)
{
	return sivc_permit(life->a.ep, FRIEND);
}

static int close_a(struct life *life)
{
	sivc_endpoint_close(life->a.ep);
	life->a.ep = NULL;
	return 0;
}

static int is_closed(struct life *life)
{
	int r = send_bytes(&life->b, VICTIM, "small", 5);

	return r == -EPIPE ? 0 : r < 0 ? r : -EBADMSG;
}

static int show(struct life *life)
{
	char *text = NULL;
	ssize_t n = sivc_stats(life->a.ep, &text);

	if (n > 0)
		free(text);
	if (n > 0 && (n = sivc_acl_read(life->a.ep, &text)) > 0)
		free(text);
	return n < 0 ? (int)n : 0;
}

static int find_name(struct life *life)
{
	uint16_t domid = 0;
	int r = sivc_resolve(life->a.sivc, "friend", &domid);

	return r < 0 ? r : domid == FRIEND ? 0 : -EBADMSG;
}

static int take(struct life *life)
{
	struct sivc_message message;
	int r = sivc_peek(life->a.ep, SIVC_ANY, &message);

	return r < 0 ? r : sivc_take(life->a.ep, &message, &life->unread);
}

/* With no memory at all. */
static int put_back(struct life *life)
{
	unsigned long fails = memory_fails;
	bool failed = memory_failed, asked;

	memory_fails = 1;
	memory_failed = false;
	sivc_putback(life->unread);
	asked = memory_failed;
	memory_fails = fails;
	memory_failed = failed;
	return asked ? -EBADMSG : 0;
}

static const struct step {
	const char *name;
	int (*fn)(struct life *life);
} steps[] = {
	{"open the one domain", open_a},
	{"open the other", open_b},
	{"open an endpoint", endpoint_a},
	{"open the other's", endpoint_b},
	{"write the table", allow},
	{"open a peer", open_peer},
	{"send", send_small},
	{"receive", receive_small},
	{"start a large message", start_large},
	{"receive the large message", receive_large},
	{"know that it went", is_done},
	{"send again", send_small},
	{"take it", take},
	{"put it back", put_back},
	{"receive what was put back", receive_small},
	{"send before the refusal", send_small},
	{"refuse", refuse},
	{"be refused", is_refused},
	{"receive what came before", receive_small},
	{"permit", permit},
	{"send after the permission", send_small},
	{"receive that", receive_small},
	{"write the table again", allow},
	{"show what it is", show},
	{"find a name", find_name},
	{"close", close_a},
	{"find it closed", is_closed},
	{"open again", endpoint_a},
	{"permit again", permit},
	{"send again", send_small},
	{"receive again", receive_small},
};

static bool in_force(const struct sivc_endpoint *ep, uint16_t domid)
{
	const struct inbound *in = ep ? receiver_find(ep, domid) : NULL;

	return in && in->permission != INBOUND_REFUSED;
}

/* The table as it reads, and who is permitted: the caller compares it, and nothing else fails
 * meanwhile. */
static const char *table(const struct life *life, char text[TABLE_MAX])
{
	char *read = NULL;
	ssize_t n = life->a.ep ? sivc_acl_read(life->a.ep, &read) : 0;

	snprintf(text, TABLE_MAX, "%s%d%d", n > 0 ? read : "", in_force(life->a.ep, FRIEND),
		in_force(life->a.ep, VICTIM));
	free(n >= 0 ? read : NULL);
	return text;
}

/*
 * What may a step fail with?  What one domain lacks is -ENOSPC, and the rule stands.  Any other
 * error of a table is the one that was set up, and nothing is done.
 */
static bool fails_well(struct life *life, int r, int error, const char *before)
{
	char after[TABLE_MAX];

	if (r == -ENOSPC && strcmp(before, table(life, after)) != 0)
		return true;
	return r == error && strcmp(before, table(life, after)) == 0;
}

/*
 * All steps, of which one meets the failure that was set up before.  It may fail with that error
 * and with no other.
 */
static bool live(const char *failure, bool (*happened)(void), int error)
{
	static struct life once;
	struct life *life = &once;
	char text[TABLE_MAX];
	bool good = true;

	*life = (struct life){0};
	fake_name_set("friend", FRIEND);
	for (size_t i = 0; i < sizeof(life->large); i++)
		life->large[i] = (char)(i * 7);
	for (size_t i = 0; good && i < sizeof(steps) / sizeof(steps[0]); i++) {
		bool before = happened();
		int r;

		if (!before)
			table(life, text);
		r = steps[i].fn(life);
		if (r < 0 && happened() && !before) {
			good = fails_well(life, r, error, text);
			if (!good)
				printf("# %s: cannot %s: %s instead of %s\n", failure,
					steps[i].name, strerror(-r), strerror(-error));
			r = steps[i].fn(life);
		}
		if (r != 0) {
			printf("# %s: afterwards it cannot %s: %s\n", failure, steps[i].name,
				strerror(-r));
			good = false;
		}
	}
	house_close(&life->a);
	house_close(&life->b);
	return good;
}

static bool seam_failed(void)
{
	return fake.failed != FAKE_CALLS;
}

static bool allocation_failed(void)
{
	return memory_failed;
}

static const char *const calls[FAKE_CALLS] = {
	[FAKE_OPEN] = "open",
	[FAKE_SHARE] = "share",
	[FAKE_MAP] = "map",
	[FAKE_EVENTS] = "events_new",
	[FAKE_ALLOC] = "port_alloc",
	[FAKE_BIND] = "port_bind",
	[FAKE_SERVE] = "serve",
	[FAKE_NODE_WRITE] = "node_write",
	[FAKE_NODE_REMOVE] = "node_remove",
	[FAKE_NODE_READ] = "node_read",
	[FAKE_WATCH] = "watch",
	[FAKE_NAMES] = "names",
	[FAKE_DOMAINS] = "domains",
};

static bool each_call_fails(int error)
{
	bool good = true;
	char failure[64];

	for (unsigned long n = 1;; n++) {
		fake_reset();
		fake.fail_at = n;
		fake.fail_error = error;
		snprintf(failure, sizeof(failure), "call %lu (%s)", n, strerror(-error));
		if (!live(failure, seam_failed, error)) {
			printf("# that call was %s\n",
				fake.failed < FAKE_CALLS ? calls[fake.failed] : "none");
			good = false;
		}
		if (fake.failed == FAKE_CALLS)
			break;
		if (fake_leaks() > 0) {
			printf("# %s: %u objects are left\n", failure, fake_leaks());
			good = false;
		}
	}
	return good;
}

static bool no_space(void)
{
	return each_call_fails(-ENOSPC);
}

static bool no_memory_in_the_seam(void)
{
	return each_call_fails(-ENOMEM);
}

static bool no_descriptors(void)
{
	return each_call_fails(-EMFILE);
}

static bool no_memory(void)
{
	bool good = true;
	char failure[64];

	for (unsigned long n = 1;; n++) {
		fake_reset();
		memory_failed = false;
		memory_fails = n;
		snprintf(failure, sizeof(failure), "allocation %lu", n);
		good = live(failure, allocation_failed, -ENOMEM) && good;
		memory_fails = 0;
		if (!memory_failed)
			break;
		if (fake_leaks() > 0) {
			printf("# %s: %u objects are left\n", failure, fake_leaks());
			good = false;
		}
	}
	return good;
}

/* When the table cannot be put in force, what it says and what it does are still the same. */
static bool table_fails_as_a_whole(void)
{
	char *text;
	struct scene s;

	scene_open(&s);
	CHECK_IS(sivc_acl_write(s.victim.ep, "allow *\n", 8, true), 0);
	CHECK(sivc_permitted(s.victim.ep, FRIEND));
	fake.fail_at = 1;
	fake.fail_error = -EMFILE;
	CHECK_IS(sivc_acl_write(s.victim.ep, "deny 2\n", 7, false), -EMFILE);
	CHECK(sivc_acl_read(s.victim.ep, &text) > 0);
	CHECK_IS(!strstr(text, "deny 2"), sivc_permitted(s.victim.ep, FRIEND));
	free(text);
	scene_close(&s);
	return true;
}

/* A name has gone, and just then the names cannot be read. */
static bool lost_name_loses_permission(void)
{
	struct scene s;

	scene_open(&s);
	fake_name_set("mallory", ATTACKER);
	CHECK_IS(sivc_acl_write(s.victim.ep, "allow mallory\n", 14, true), 0);
	CHECK(sivc_permitted(s.victim.ep, ATTACKER));
	house_live(&s.victim, 50);
	fake_name_set("mallory", -1);
	fake.fail_at = 1;
	fake.fail_error = -EMFILE;
	house_live(&s.victim, 300);
	CHECK_IS(fake.failed, FAKE_NAMES);
	CHECK(!sivc_permitted(s.victim.ep, ATTACKER));
	scene_close(&s);
	return true;
}

/* One sender's message cannot be put together for want of memory; the others' can be read. */
static bool one_without_memory(void)
{
	char buffer[16];
	struct scene s;

	scene_open(&s);
	CHECK(attacker_link(&s.x, VICTIM));
	attacker_put(&s.x, 8, SIVC_FRAME_FIRST, "12345678", 8);
	attacker_put(&s.x, 8, SIVC_FRAME_LAST, "12345678", 8);
	attacker_publish(&s.x);
	memory_fails = 1;
	CHECK_IS(receive(&s.victim, SIVC_ANY, buffer, sizeof(buffer)), -ENOMEM);
	CHECK_IS(send_bytes(&s.friend, VICTIM, "x", 1), 0);
	memory_fails = 1;
	CHECK_IS(receive(&s.victim, SIVC_ANY, buffer, sizeof(buffer)), 1);
	memory_fails = 0;
	CHECK_IS(receive(&s.victim, SIVC_ANY, buffer, sizeof(buffer)), 16);
	scene_close(&s);
	return true;
}

static void ignore(struct waiter *waiter)
{
	(void)waiter;
}

/* A reader waits when memory is short for a moment.  It gets its message when there is some. */
static bool waiting_without_memory(void)
{
	struct waiter waiter = {.fn = ignore};
	struct scene s;

	scene_open(&s);
	CHECK(attacker_link(&s.x, VICTIM));
	CHECK_IS(wait_receive(s.victim.ep, SIVC_ANY, &waiter), 0);
	attacker_put(&s.x, 8, SIVC_FRAME_FIRST, "12345678", 8);
	attacker_put(&s.x, 8, SIVC_FRAME_LAST, "12345678", 8);
	attacker_publish(&s.x);
	memory_fails = 1;
	sivc_dispatch(s.victim.sivc);
	CHECK(memory_failed);
	house_live(&s.victim, 200);
	CHECK(!waiter.handle);
	scene_close(&s);
	return true;
}

/* Races: the receiver acts within a call that the sender makes. */

static struct race {
	struct scene *scene;
	enum fake_call at;
	int after; /* calls of that kind before it */
	void (*act)(struct scene *s);
	int received; /* messages that the victim's reader got */
} race;

static void race_receive(struct scene *s)
{
	char buffer[4 * RING];

	while (s->victim.ep && receive(&s->victim, SIVC_ANY, buffer, sizeof(buffer)) > 0)
		race.received++;
}

static void race_refuse(struct scene *s)
{
	sivc_refuse(s->victim.ep, FRIEND);
}

static void race_renew(struct scene *s)
{
	race_refuse(s);
	sivc_permit(s->victim.ep, FRIEND);
}

/* The page remembers one revocation; of the one before it, the ring itself tells. */
static void race_renew_and_refuse(struct scene *s)
{
	race_renew(s);
	race_refuse(s);
}

static void race_close(struct scene *s)
{
	race_receive(s);
	sivc_endpoint_close(s->victim.ep);
	s->victim.ep = NULL;
}

static void race_refuse_read_close(struct scene *s)
{
	race_refuse(s);
	race_receive(s);
	race_close(s);
}

static void race_read_and_close(struct scene *s)
{
	race_receive(s);
	race_close(s);
}

static void race_reopen(struct scene *s)
{
	race_close(s);
	sivc_endpoint_open(s->victim.sivc, "default", NULL, &s->victim.ep);
	sivc_permit(s->victim.ep, FRIEND);
}

static void race_before(void *data, enum fake_call call, uint16_t domid)
{
	(void)data;
	if (domid != FRIEND || call != race.at || race.after-- != 0)
		return;
	race.act(race.scene);
}

struct waiting_send {
	struct sending sending;
	int result; /* 1: not yet */
};

static void waiting_done(struct sending *sending, int error)
{
	((struct waiting_send *)sending)->result = error;
}

/* Sends a few; says how many went. */
static int send_one(struct scene *s, const struct iovec *message)
{
	struct waiting_send w = {
		.sending = {.messages = message, .count = 1, .done = waiting_done}, .result = 1};
	int r = send_start(s->friend.ep, VICTIM, &w.sending);

	if (r != -EINPROGRESS)
		return r;
	for (int i = 0; w.result == 1 && i < 50; i++) {
		race_receive(s);
		house_run(&s->friend);
	}
	if (w.result == 1) {
		send_cancel(&w.sending);
		return -ETIME;
	}
	return w.result;
}

static int send_some(struct scene *s, size_t length)
{
	static char bytes[2 * RING];
	struct iovec message = {bytes, length};
	int sent = 0;

	for (int i = 0; i < 6; i++) {
		int r = send_one(s, &message);

		sent += r == 0;
		if (r == -ETIME || r == -EPROTO)
			printf("# a message of %zu bytes: %s\n", length, strerror(-r));
	}
	return sent;
}

static bool is_exact(enum fake_call at, int after, void (*act)(struct scene *s), size_t length)
{
	struct scene s;
	int sent;

	scene_open(&s);
	race = (struct race){.scene = &s, .at = at, .after = after, .act = act};
	fake.before = race_before;
	sent = send_some(&s, length);
	race_receive(&s);
	if (sent != race.received)
		printf("# %s %d: %d sent, %d received\n", calls[at] ? calls[at] : "notify", after,
			sent, race.received);
	CHECK_IS(sent, race.received);
	CHECK_IS(s.friend.ep->counters.breaches, 0);
	if (s.victim.ep)
		CHECK_IS(s.victim.ep->counters.breaches, 0);
	fake.before = NULL;
	scene_close(&s);
	return true;
}

static bool is_exact_everywhere(void (*act)(struct scene *s))
{
	static const enum fake_call at[] = {FAKE_NOTIFY, FAKE_MAP, FAKE_BIND, FAKE_NODE_READ};
	static const size_t lengths[] = {1, 100, RING / 2, RING, 2 * RING};
	bool good = true;

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++)
		for (size_t j = 0; j < sizeof(lengths) / sizeof(lengths[0]); j++)
			for (int after = 0; after < 5; after++)
				good = is_exact(at[i], after, act, lengths[j]) && good;
	return good;
}

static bool exact_refuse(void)
{
	return is_exact_everywhere(race_refuse);
}

static bool exact_renew(void)
{
	return is_exact_everywhere(race_renew);
}

static bool exact_renew_and_refuse(void)
{
	return is_exact_everywhere(race_renew_and_refuse);
}

static bool exact_close(void)
{
	return is_exact_everywhere(race_read_and_close);
}

static bool exact_refuse_read_close(void)
{
	return is_exact_everywhere(race_refuse_read_close);
}

static bool exact_reopen(void)
{
	return is_exact_everywhere(race_reopen);
}

/* A sending is taken back while it is not known whether its message arrived. */

static struct doubt {
	struct scene *scene;
	bool settles; /* while it is taken back */
} doubt;

static void refuse_slowly(struct scene *s)
{
	receiver_find(s->victim.ep, FRIEND)->owner.seq--; /* it goes on with what it has begun */
	sivc_refuse(s->victim.ep, FRIEND);
	sivc_permit(s->victim.ep, FRIEND);
	sivc_refuse(s->victim.ep, FRIEND);
}

static void doubt_before(void *data, enum fake_call call, uint16_t domid)
{
	(void)data;
	if (domid != FRIEND)
		return;
	if (call == FAKE_NOTIFY) /* the message is out, and the victim is about to refuse */
		page_revoke_begin(&receiver_find(doubt.scene->victim.ep, FRIEND)->owner);
	if (call != FAKE_STORE_DISPATCH || !doubt.settles)
		return;
	doubt.settles = false;
	refuse_slowly(doubt.scene);
}

/* Returns how many went, of those that are received afterwards. */
static bool taken_back_in_doubt(bool settles, size_t *went)
{
	static struct sending sending; /* in its line to the end, if that fails */
	const struct iovec message = {(void *)(uintptr_t) "x", 1};
	uint64_t start;
	struct scene s;

	scene_open(&s);
	doubt = (struct doubt){.scene = &s};
	receive(&s.victim, SIVC_ANY, NULL, 0);
	fake.before = doubt_before;
	sending = (struct sending){.messages = &message, .count = 1};
	CHECK_IS(send_start(s.friend.ep, VICTIM, &sending), -EINPROGRESS);
	CHECK(sending.handle->in_doubt);
	doubt.settles = settles;
	start = used_us();
	send_cancel(&sending);
	CHECK(used_us() - start <= CALL_US);
	fake.before = NULL;
	if (!settles)
		refuse_slowly(&s);
	CHECK_IS(receive(&s.victim, FRIEND, NULL, 0), 1);
	*went = sending.sent;
	scene_close(&s);
	return true;
}

static bool exact_cancel(void)
{
	size_t went;

	CHECK(taken_back_in_doubt(true, &went));
	CHECK_IS(went, 1);
	return true;
}

/* This is the only way in which a message arrives of which its sender was told that it did not. */
static bool never_known(void)
{
	size_t went;

	CHECK(taken_back_in_doubt(false, &went));
	CHECK_IS(went, 0);
	return true;
}

/* kill -9. */

static void kill_friend(struct scene *s)
{
	fake_kill(s->friend.sivc->hv);
}

/* The sender's process ends after it has published a message, and before it signals. */
static bool killed_before_the_signal(bool xen)
{
	struct waiter waiter = {.fn = ignore};
	struct house again;
	struct scene s;

	scene_open(&s);
	fake.xen = xen;
	CHECK_IS(wait_receive(s.victim.ep, SIVC_ANY, &waiter), 0);
	race = (struct race){.scene = &s, .at = FAKE_NOTIFY, .act = kill_friend};
	fake.before = race_before;
	send_bytes(&s.friend, VICTIM, "last words", 10);
	fake.before = NULL;
	house_close(&s.friend);
	house_run(&s.victim);
	house_open(&again, FRIEND, "friend");
	CHECK_IS(send_bytes(&again, VICTIM, "next", 4), 0);
	house_run(&s.victim);
	CHECK(!waiter.handle);
	house_close(&again);
	house_close(&s.victim);
	return true;
}

static bool killed_before_the_signal_local(void)
{
	return killed_before_the_signal(false);
}

static bool killed_before_the_signal_xen(void)
{
	return killed_before_the_signal(true);
}

/* It ends in the middle of a large message: nothing of that is delivered, the next ones are. */
static bool killed_in_the_middle(bool xen)
{
	static char large[2 * RING];
	struct iovec message = {large, sizeof(large)};
	struct sending sending = {.messages = &message, .count = 1};
	struct house again;
	char buffer[16];
	struct scene s;

	scene_open(&s);
	fake.xen = xen;
	CHECK_IS(send_start(s.friend.ep, VICTIM, &sending), -EINPROGRESS);
	CHECK_IS(receive(&s.victim, SIVC_ANY, buffer, sizeof(buffer)), -EAGAIN);
	house_run(&s.friend);
	fake_kill(s.friend.sivc->hv);
	house_close(&s.friend);
	CHECK_IS(receive(&s.victim, SIVC_ANY, buffer, sizeof(buffer)), -EAGAIN);
	house_open(&again, FRIEND, "friend");
	CHECK_IS(send_bytes(&again, VICTIM, "x", 1), 0);
	CHECK_IS(receive(&s.victim, SIVC_ANY, buffer, sizeof(buffer)), 1);
	CHECK_IS(s.victim.ep->counters.breaches, 0);
	house_close(&again);
	house_close(&s.victim);
	attacker_close(&s.x);
	CHECK_IS(fake_leaks(), 0);
	return true;
}

static bool killed_in_the_middle_local(void)
{
	return killed_in_the_middle(false);
}

static bool killed_in_the_middle_xen(void)
{
	return killed_in_the_middle(true);
}

/* The receiver's process ends while a sender waits, and comes back. */
static bool receiver_is_killed(bool xen)
{
	struct iovec message = {(void *)(uintptr_t) "message", 8};
	struct waiting_send w = {.result = 1};
	struct house again;
	struct scene s;

	scene_open(&s);
	fake.xen = xen;
	race_renew(&s); /* a ring that knows about unmap-notify */
	while (send_bytes(&s.friend, VICTIM, "message", 8) == 0)
		;
	w.sending = (struct sending){.messages = &message, .count = 1, .done = waiting_done};
	CHECK_IS(send_start(s.friend.ep, VICTIM, &w.sending), -EINPROGRESS);
	fake_kill(s.victim.sivc->hv);
	house_close(&s.victim);
	house_run(&s.friend);
	CHECK_IS(w.result, -EPIPE);
	CHECK_IS(send_bytes(&s.friend, VICTIM, "x", 1), -EPIPE);
	house_open(&again, VICTIM, "victim");
	CHECK_IS(sivc_permit(again.ep, FRIEND), 0);
	CHECK(goes(&s.friend, &again));
	house_close(&again);
	house_close(&s.friend);
	return true;
}

static bool receiver_killed_local(void)
{
	return receiver_is_killed(false);
}

static bool receiver_killed_xen(void)
{
	return receiver_is_killed(true);
}

/* XSA-396: the peer maps every ring that it gets, and never lets go of one. */
static bool peer_never_unmaps(void)
{
	struct mallinfo2 before, after;
	struct attacker *x;
	struct scene s;
	int cycles = 0;

	scene_open(&s);
	x = &s.x;
	CHECK(attacker_link(x, VICTIM));
	for (int i = 0; i < 10; i++) {
		CHECK_IS(sivc_refuse(s.victim.ep, ATTACKER), 0);
		CHECK_IS(sivc_permit(s.victim.ep, ATTACKER), 0);
	}
	CHECK(others_go_on(&s));
	before = mallinfo2();
	for (int i = 0; i < 1000; i++, cycles++) {
		CHECK_IS(sivc_refuse(s.victim.ep, ATTACKER), 0);
		if (sivc_permit(s.victim.ep, ATTACKER) < 0)
			break;
		if (i % 100 == 0) /* each stays mapped */
			CHECK(attacker_link(x, VICTIM));
		CHECK(others_go_on(&s));
	}
	after = mallinfo2();
	CHECK_IS(cycles, 1000);
	/* Ten mappings of the attacker are kept by the hypervisor, which is here as well. */
	CHECK(after.uordblks <= before.uordblks + 16384);
	CHECK_IS(s.victim.ep->counters.rings_revoked, 1010); /* in stats, */
	CHECK_IS(s.victim.warnings, 1);                      /* and once in the log */
	scene_close(&s);
	return true;
}

/* Grants run out: that domain alone has none, and gets one when there are some again. */
static bool grants_run_out(void)
{
	struct scene s;
	void *memory[FAKE_PAGES];
	uint32_t ref;
	int n = 0;

	scene_open(&s);
	CHECK_IS(sivc_refuse(s.victim.ep, ATTACKER), 0);
	while (n < (int)FAKE_PAGES && hv_share(s.x.hv, 9, 1, false, NULL, &memory[n], &ref) == 0)
		n++;
	CHECK_IS(sivc_permit(s.victim.ep, ATTACKER), -ENOSPC);
	CHECK(!sivc_permitted(s.victim.ep, ATTACKER));
	CHECK(others_go_on(&s));
	while (n > 0)
		hv_unshare(s.x.hv, memory[--n], 1);
	CHECK_IS(sivc_permit(s.victim.ep, ATTACKER), 0);
	CHECK(attacker_link(&s.x, VICTIM));
	scene_close(&s);
	return true;
}

int main(void)
{
	holds("each call of the hypervisor may fail with ENOSPC once: it is said, nothing leaks, "
	      "and afterwards all works",
		no_space);
	holds("with ENOMEM", no_memory_in_the_seam);
	holds("with EMFILE", no_descriptors);
	if (OWN_ALLOCATOR) { /* the sanitizers have theirs */
		holds("so may each allocation of memory", no_memory);
		holds("a sender whose message there is no memory for holds up no other",
			one_without_memory);
		holds("a reader that waited while memory was short gets its message",
			waiting_without_memory);
	}
	holds("a table that cannot be put in force is not the table", table_fails_as_a_whole);
	holds("who has lost a name loses its permission, also if that takes two tries",
		lost_name_loses_permission);
	holds("a message went if and only if it arrived, when its sender is refused meanwhile",
		exact_refuse);
	holds("or refused and permitted again", exact_renew);
	holds("or the endpoint is closed", exact_close);
	holds("or it is refused, its messages are read, and the endpoint is closed",
		exact_refuse_read_close);
	holds("or the endpoint is closed and opened again", exact_reopen);
	holds("or it is refused, permitted and refused", exact_renew_and_refuse);
	holds("or the sending is taken back while that is not known yet", exact_cancel);
	holds("who takes it back is not held up by a receiver that has lost its processor",
		never_known);
	holds("a sender killed before its signal does not silence the next one (local)",
		killed_before_the_signal_local);
	holds("nor does it on Xen", killed_before_the_signal_xen);
	holds("of a message whose sender was killed nothing is delivered (local)",
		killed_in_the_middle_local);
	holds("nor is it on Xen", killed_in_the_middle_xen);
	holds("a sender that waits learns that the receiver was killed (local)",
		receiver_killed_local);
	holds("and on Xen", receiver_killed_xen);
	holds("a peer that never unmaps costs no memory of ours in 1000 permissions",
		peer_never_unmaps);
	holds("when grants run out, one domain has none, and gets one later", grants_run_out);
	return done_testing();
}
