/* SPDX-License-Identifier: MIT */
/*
 * The victim's domain is saved and restored, and has another id then, between any two calls of the
 * hypervisor.  What it and its friend had acknowledged to each other arrives, once and in order;
 * both go on when the friend permits the new id; nobody is taken for one who breaks the protocol.
 *
 * And the store answers it too late: then it has to begin anew as well, but all else is as it was.
 */
#include "hostile.h"

#define RESTORED 11 /* the victim's id afterwards */
#define MESSAGES 6

static struct scene scene;

/* When it happens: before the `restore_at`-th call from now that the victim makes.  0: not. */
static unsigned long restore_at;
static bool restored;

static void before(void *data, enum fake_call call, uint16_t domid)
{
	(void)data;
	(void)call;
	if (domid != VICTIM || restore_at == 0 || --restore_at > 0)
		return;
	restored = true;
	fake_restore(scene.victim.sivc->hv, RESTORED);
	/* What is sent to a domain that is gone is gone: the friend knows that before it goes on.
	 */
	house_run(&scene.friend);
}

/* Numbers that went from one to the other, as `from` was told, and as `to` has received them. */
struct numbers {
	struct house *from, *to;
	uint32_t sent, doubtful; /* `doubtful` may have arrived, or not */
	uint32_t received;
	bool good;
};

/* The next number, in a message of `length` bytes. */
static void line_send(struct numbers *line, size_t length)
{
	char bytes[3 * RING] = "";
	int r;

	memcpy(bytes, &line->sent, sizeof(line->sent));
	r = sivc_send(line->from->ep, sivc_domid(line->to->sivc), bytes, length, SIVC_NOWAIT);
	if (r == 0)
		line->sent++;
	else
		line->doubtful = line->sent;
}

static void line_take(struct numbers *line, const void *bytes, size_t length)
{
	uint32_t number;

	memcpy(&number, bytes, sizeof(number));
	if (length < sizeof(number) || number != line->received)
		line->good = false;
	line->received++;
}

static void line_receive(struct numbers *line)
{
	char bytes[3 * RING];
	ssize_t n;

	while ((n = receive(line->to, SIVC_ANY, bytes, sizeof(bytes))) >= 0)
		line_take(line, bytes, (size_t)n);
}

/* All that was acknowledged has arrived, and nothing else but what nobody knows of. */
static bool line_whole(const struct numbers *line)
{
	if (!line->good || line->received < line->sent || line->received > line->sent + 1 ||
		(line->received > line->sent && line->doubtful != line->sent)) {
		printf("# %u were acknowledged, %u arrived%s\n", line->sent, line->received,
			line->good ? "" : ", not in order");
		return false;
	}
	return true;
}

/* A message for a reader who waits. */
static struct waiter waiter;
static bool called;

static void on_message(struct waiter *w)
{
	(void)w;
	called = true;
}

/* They talk both ways, and some of it is read.  Any of it may fail once the victim is restored. */
static void talk(struct numbers *in, struct numbers *out)
{
	for (int i = 0; i < MESSAGES; i++) {
		line_send(in, i % 2 ? 100 : RING / 3);
		line_send(out, i % 2 ? 100 : RING / 3);
		house_run(&scene.victim);
		if (i == MESSAGES / 2) {
			line_receive(in);
			line_receive(out);
			sivc_refuse(scene.victim.ep, ATTACKER);
			sivc_permit(scene.victim.ep, ATTACKER);
		}
	}
}

static bool goes_on(struct numbers *in, struct numbers *out)
{
	int r;

	house_run(&scene.victim);
	CHECK_IS(sivc_domid(scene.victim.sivc), RESTORED);
	line_receive(in);
	line_receive(out);
	CHECK(line_whole(in));
	CHECK(line_whole(out));
	/* The friend's rule was for the old id; the victim's is as it was. */
	r = send_bytes(&scene.victim, FRIEND, "x", 1);
	CHECK(r == -EACCES || r == -EPIPE);
	CHECK_IS(sivc_permit(scene.friend.ep, RESTORED), 0);
	CHECK(others_go_on(&scene));
	CHECK_IS(wait_receive(scene.victim.ep, SIVC_ANY, &waiter), 0);
	CHECK_IS(send_bytes(&scene.friend, RESTORED, "x", 1), 0);
	house_run(&scene.victim);
	CHECK(called);
	CHECK_IS(scene.victim.ep->counters.breaches + scene.friend.ep->counters.breaches, 0);
	return true;
}

/* One life of the two, with a restore at that place. */
static bool one_restore(unsigned long at)
{
	struct numbers in, out;
	bool good;

	scene_open(&scene);
	in = (struct numbers){.from = &scene.friend, .to = &scene.victim, .good = true};
	out = (struct numbers){.from = &scene.victim, .to = &scene.friend, .good = true};
	waiter = (struct waiter){.fn = on_message};
	called = restored = false;
	fake.before = before;
	restore_at = at;
	talk(&in, &out);
	restore_at = 0;
	if (!restored)
		fake_restore(scene.victim.sivc->hv, RESTORED);
	good = goes_on(&in, &out);
	attacker_close(&scene.x);
	house_close(&scene.victim);
	house_close(&scene.friend);
	if (good && fake_leaks() > 0) {
		printf("# %u objects are left\n", fake_leaks());
		good = false;
	}
	if (!good)
		printf("# when the victim was restored before call %lu\n", at);
	return good;
}

static bool between_any_two(void)
{
	bool good = true;
	unsigned long at = 1;

	do {
		good = one_restore(at++) && good;
	} while (restored); /* else the victim makes fewer calls, and was restored after them */
	return good && at > MESSAGES;
}

/* How often a send that waited has ended, and with what. */
static int ended, ended_with;

static void on_ended(struct sending *sending, int error)
{
	(void)sending;
	ended++;
	ended_with = error;
}

/* The ring is full when the domain of `from` is restored, or that of the other. */
static bool waiting(struct house *from, uint16_t to, bool large)
{
	static char bytes[MAX_MSG]; /* of two rings */
	struct iovec message = {bytes, large ? sizeof(bytes) : RING / 2};
	struct sending sending = {.messages = &message, .count = 1, .done = on_ended};

	while (!large && send_bytes(from, to, bytes, RING / 2) == 0)
		;
	ended = 0;
	CHECK_IS(send_start(from->ep, to, &sending), -EINPROGRESS);
	fake_restore(scene.victim.sivc->hv, RESTORED);
	house_run(&scene.victim);
	house_run(&scene.friend);
	CHECK_IS(ended, 1);
	CHECK_IS(ended_with, -EPIPE);
	return true;
}

static bool sender_is_restored(void)
{
	for (int large = 0; large < 2; large++) {
		scene_open(&scene);
		CHECK(waiting(&scene.victim, FRIEND, large));
		scene_close(&scene);
	}
	return true;
}

static bool receiver_is_restored(void)
{
	for (int large = 0; large < 2; large++) {
		scene_open(&scene);
		CHECK(waiting(&scene.friend, VICTIM, large));
		scene_close(&scene);
	}
	return true;
}

/* Whoever comes while it is not back waits, or is told so. */
static void use_meanwhile(struct numbers *in)
{
	house_run(&scene.victim);
	sivc_refuse(scene.victim.ep, ATTACKER);
	sivc_permit(scene.victim.ep, ATTACKER);
	wait_receive(scene.victim.ep, SIVC_ANY, &waiter);
	send_bytes(&scene.victim, FRIEND, "x", 1);
	line_receive(in);
}

/* The call `n` of the reopening fails once. */
static bool comes_back(unsigned long n, bool *failed)
{
	struct numbers in = {.from = &scene.friend, .to = &scene.victim, .good = true};

	scene_open(&scene);
	waiter = (struct waiter){.fn = on_message};
	line_send(&in, 100);
	CHECK_IS(send_bytes(&scene.victim, FRIEND, "x", 1), 0); /* it watches the friend's node */
	house_run(&scene.victim);
	fake_restore(scene.victim.sivc->hv, RESTORED);
	fake.fail_at = n;
	fake.fail_error = -EMFILE;
	house_run(&scene.victim);
	fake.fail_at = 0;
	*failed = fake.failed != FAKE_CALLS;
	use_meanwhile(&in);
	if (scene.victim.sivc->lost)
		house_live(&scene.victim, 1100);
	CHECK(!scene.victim.sivc->lost);
	line_receive(&in);
	CHECK(line_whole(&in));
	CHECK_IS(sivc_permit(scene.friend.ep, RESTORED), 0);
	CHECK_IS(sivc_permit(scene.victim.ep, FRIEND), 0); /* that may be what failed */
	CHECK(others_go_on(&scene));
	house_close(&scene.victim);
	house_close(&scene.friend);
	attacker_close(&scene.x);
	CHECK_IS(fake_leaks(), 0);
	return true;
}

static bool at_each_call(bool (*fn)(unsigned long n, bool *failed))
{
	bool failed = true;

	for (unsigned long n = 1; failed; n++)
		if (!fn(n, &failed)) {
			printf("# when call %lu failed\n", n);
			return false;
		}
	return true;
}

static bool each_call_may_fail(void)
{
	return at_each_call(comes_back);
}

/* The call `n` fails, and before it is tried again somebody asks for a domain that all are
 * permitted. */
static bool asks_meanwhile(unsigned long n, bool *failed)
{
	scene_open(&scene);
	CHECK_IS(sivc_acl_write(scene.victim.ep, "allow *", 7, false), 0);
	fake_name_set("new", 9);
	fake_restore(scene.victim.sivc->hv, RESTORED);
	fake.fail_at = n;
	fake.fail_error = -EMFILE;
	house_run(&scene.victim);
	fake.fail_at = 0;
	*failed = fake.failed != FAKE_CALLS;
	sivc_peer_open(scene.victim.ep, 9);
	if (scene.victim.sivc->lost)
		house_live(&scene.victim, 1100);
	CHECK(!scene.victim.sivc->lost);
	CHECK(sivc_permitted(scene.victim.ep, 9));
	scene_close(&scene);
	return true;
}

static bool asked_for_meanwhile(void)
{
	return at_each_call(asks_meanwhile);
}

/* What a user had read of the names, as often as is allowed, is not what is so afterwards. */
static bool names_are_new(void)
{
	uint16_t domid = 0;

	scene_open(&scene);
	CHECK_IS(sivc_peer_open(scene.victim.ep, ATTACKER), 0); /* a watch, which tells of it */
	for (int i = 0; i < 1000; i++)
		CHECK_IS(sivc_resolve(scene.victim.sivc, "somebody", &domid), -ENOENT);
	fake_name_set("somebody", ATTACKER);
	fake_restore(scene.victim.sivc->hv, RESTORED);
	house_run(&scene.victim);
	CHECK_IS(sivc_domid(scene.victim.sivc), RESTORED);
	CHECK_IS(sivc_resolve(scene.victim.sivc, "somebody", &domid), 0);
	CHECK_IS(domid, ATTACKER);
	scene_close(&scene);
	return true;
}

/* The first time; it is tried again a second later. */
static bool opening_fails(void)
{
	fake.fail_at = 1;
	fake.fail_error = -EIO;
	house_run(&scene.victim);
	CHECK_IS(fake.failed, FAKE_OPEN);
	return true;
}

/* The store is of no use before the hypervisor is open again, which fails at first; all else is. */
static bool late_store(void)
{
	struct numbers in, out;

	scene_open(&scene);
	in = (struct numbers){.from = &scene.friend, .to = &scene.victim, .good = true};
	out = (struct numbers){.from = &scene.victim, .to = &scene.friend, .good = true};
	waiter = (struct waiter){.fn = on_message};
	line_send(&in, 100);
	line_send(&out, 100);
	fake_late(scene.victim.sivc->hv);
	if (!opening_fails())
		return false;
	CHECK_IS(sivc_peer_open(scene.victim.ep, 9), -EIO);
	line_send(&in, 100);
	line_send(&out, 100);
	CHECK_IS(in.sent, 2);
	CHECK_IS(out.sent, 2);
	line_receive(&out);
	CHECK(line_whole(&out));

	house_live(&scene.victim, 1100);
	CHECK_IS(sivc_peer_open(scene.victim.ep, 9), 0);
	CHECK_IS(sivc_domid(scene.victim.sivc), VICTIM);
	line_receive(&in); /* what had not been read */
	CHECK_IS(in.received, 2);
	CHECK(line_whole(&in));
	/* Nobody has to be permitted anew. */
	house_run(&scene.friend);
	CHECK(others_go_on(&scene));
	CHECK_IS(wait_receive(scene.victim.ep, SIVC_ANY, &waiter), 0);
	CHECK_IS(send_bytes(&scene.friend, VICTIM, "x", 1), 0);
	house_run(&scene.victim);
	CHECK(called);
	CHECK_IS(scene.victim.ep->counters.breaches + scene.friend.ep->counters.breaches, 0);
	attacker_close(&scene.x);
	house_close(&scene.victim);
	house_close(&scene.friend);
	CHECK_IS(fake_leaks(), 0);
	return true;
}

/* Who waits for room in the friend's ring goes on, when there is some. */
static bool late_while_sending(void)
{
	static char bytes[RING / 2];
	struct iovec message = {bytes, sizeof(bytes)};
	struct sending sending = {.messages = &message, .count = 1, .done = on_ended};
	char buffer[RING];

	scene_open(&scene);
	while (send_bytes(&scene.victim, FRIEND, bytes, sizeof(bytes)) == 0)
		;
	ended = 0;
	CHECK_IS(send_start(scene.victim.ep, FRIEND, &sending), -EINPROGRESS);
	fake_late(scene.victim.sivc->hv);
	house_run(&scene.victim);
	CHECK_IS(ended, 0);
	while (receive(&scene.friend, SIVC_ANY, buffer, sizeof(buffer)) > 0)
		house_run(&scene.victim);
	CHECK_IS(ended, 1);
	CHECK_IS(ended_with, 0);
	scene_close(&scene);
	return true;
}

/* How often its process wakes up while it waits for a second that it can do something. */
static bool sleeps_meanwhile(void)
{
	unsigned int wakeups = 0;
	uint64_t end;

	scene_open(&scene);
	fake_late(scene.victim.sivc->hv);
	if (!opening_fails())
		return false;
	for (end = now_ms() + 500; now_ms() < end; wakeups++)
		sivc_wait(scene.victim.sivc, (int)(end - now_ms()));
	CHECK(wakeups < 10);
	scene_close(&scene);
	return true;
}

int main(void)
{
	holds("a domain that is restored between any two calls loses nothing that was acknowledged",
		between_any_two);
	holds("who waits to send is told EPIPE, once, when its own domain is restored",
		sender_is_restored);
	holds("and when the receiver's is", receiver_is_restored);
	holds("each call may fail once while it comes back", each_call_may_fail);
	holds("and a domain be asked for before it has come back", asked_for_meanwhile);
	holds("names are read anew then", names_are_new);
	holds("when the store has answered too late, messages go on, and then all is made anew",
		late_store);
	holds("who waits to send waits on", late_while_sending);
	holds("and as long as it cannot be made anew, the process sleeps", sleeps_meanwhile);
	return done_testing();
}
