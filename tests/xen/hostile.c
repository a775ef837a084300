/* SPDX-License-Identifier: MIT */
/*
 * hostile: a domain that does what sivcfs does not do: it asks the hypervisor itself.
 *
 * It links Xen's libraries directly and ignores the verdict in its page; wire.h tells it where
 * things are, as it tells everybody.  VICTIM is the domain id of the receiver.
 *
 *	hostile grants VICTIM		map every grant of it, for reading and for writing
 *	hostile ports VICTIM		bind to every event channel of it
 *	hostile write VICTIM		write to our page of its table, mapped for reading
 *	hostile mprotect VICTIM		the same, after mprotect to writable
 *	hostile writable VICTIM		map our page of its table for writing
 *	hostile node VICTIM OTHER	read the node of OTHER, list its neighbours, write ours
 *	hostile foreign VICTIM REF PORT	use another domain's grant and event channel
 *	hostile port VICTIM		print the event channel that the victim has for us
 *	hostile scribble VICTIM SECONDS	write to the ring, after the permission was taken back
 *	hostile signal VICTIM SECONDS	signal its channel, after the permission was taken back
 *
 * Each attack prints one line, "ok - " or "not ok - " and what was found, and exits 0 or 1.  The
 * last two print "# mapped" when they hold the ring of a permission, and go on when they are given
 * a line; whether what they then do has an effect is for the victim to say.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <xenevtchn.h>
#include <xengnttab.h>
#include <xenstore.h>

#include <sivc/wire.h>

#define NODES      "/local/domain/%u/data/sivc/v1/default"
#define PATH_LIMIT 128
#define LAST_GRANT 4095u /* a domain that shares 2 MiB of rings uses the first 600 */
#define LAST_PORT  1023u
#define FAILED     2

struct attacker {
	uint32_t self;
	uint32_t victim;
	xengnttab_handle *gnttab;
	xenevtchn_handle *evtchn;
	struct xs_handle *xs;
	char **arguments; /* of the command, beside VICTIM */
};

static int verdict(bool ok, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int verdict(bool ok, const char *format, ...)
{
	va_list arguments;

	fputs(ok ? "ok - " : "not ok - ", stdout);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void *map(const struct attacker *a, uint32_t ref, int prot)
{
	return xengnttab_map_grant_ref(a->gnttab, a->victim, ref, prot);
}

/* What VICTIM has published for `reader`; only the reader's own may be found. */
static bool node_read(const struct attacker *a, uint32_t reader, uint32_t *ref)
{
	char path[PATH_LIMIT];
	unsigned int length;
	uint64_t nonce;

	snprintf(path, sizeof path, NODES "/%u", a->victim, reader);
	char *value = xs_read(a->xs, XBT_NULL, path, &length);
	bool found = value && sscanf(value, SIVC_NODE_FORMAT, ref, &nonce) == 2;
	free(value);
	return found;
}

/* Our page, as an honest sender maps it.  Ends the program if there is none. */
static struct sivc_page *page_map(const struct attacker *a)
{
	uint32_t ref;
	struct sivc_page *page = NULL;

	if (node_read(a, a->self, &ref))
		page = map(a, ref, PROT_READ);
	if (!page || page->magic != SIVC_MAGIC) {
		printf("not ok - domain %u has no page for us: the attack was not tried\n",
			a->victim);
		exit(FAILED);
	}
	return page;
}

static int attack_grants(const struct attacker *a)
{
	uint32_t readable = 0, writable = 0, own = 0;
	bool have_own = node_read(a, a->self, &own);

	for (uint32_t ref = 0; ref <= LAST_GRANT; ref++) {
		void *page = map(a, ref, PROT_READ);
		if (page && !(have_own && ref == own))
			readable++;
		if (page)
			xengnttab_unmap(a->gnttab, page, 1);
		page = map(a, ref, PROT_READ | PROT_WRITE);
		if (page)
			writable++;
		if (page)
			xengnttab_unmap(a->gnttab, page, 1);
	}
	return verdict(readable == 0 && writable == 0,
		"of the grants 0 to %u of domain %u, %u can be mapped for writing, and %u for "
		"reading "
		"beside our page%s",
		LAST_GRANT, a->victim, writable, readable, have_own ? "" : " (we have none)");
}

static int attack_ports(const struct attacker *a)
{
	uint32_t bound = 0;

	for (uint32_t port = 1; port <= LAST_PORT; port++) {
		xenevtchn_port_or_error_t local =
			xenevtchn_bind_interdomain(a->evtchn, a->victim, port);
		if (local < 0)
			continue;
		bound++;
		xenevtchn_unbind(a->evtchn, (evtchn_port_t)local);
	}
	return verdict(bound == 0, "of the event channels 1 to %u of domain %u, %u can be bound to",
		LAST_PORT, a->victim, bound);
}

static sigjmp_buf refused;

static void on_fault(int signal_number)
{
	siglongjmp(refused, signal_number);
}

/* The signal that a write of another value to there gives, or 0. */
static int write_fault(volatile uint32_t *at, uint32_t before)
{
	int fault = sigsetjmp(refused, 1);

	signal(SIGSEGV, fault ? SIG_DFL : on_fault);
	signal(SIGBUS, fault ? SIG_DFL : on_fault);
	if (!fault)
		*at = before + 1;
	return fault;
}

/*
 * What the page says is read from a new mapping: the one that was written to may be gone.  PV: the
 * write faults.  PVH, after mprotect: the process goes on, and Xen drops what it wrote.
 */
static int try_write(
	const struct attacker *a, struct sivc_page *page, uint32_t before, const char *what)
{
	int fault = write_fault(&page->verdict, before);
	uint32_t after = page_map(a)->verdict;

	return verdict(after == before, "%s: %s", what,
		fault             ? strsignal(fault)
		: after == before ? "Xen drops it"
				  : "it was written");
}

static int attack_write(const struct attacker *a)
{
	struct sivc_page *page = page_map(a);

	return try_write(a, page, page->verdict, "a write to our page of the table");
}

static int attack_mprotect(const struct attacker *a)
{
	struct sivc_page *page = page_map(a);
	uint32_t before = page->verdict; /* nothing can be read there any more after mprotect */

	if (mprotect(page, SIVC_PAGE_SIZE, PROT_READ | PROT_WRITE) < 0)
		return verdict(true, "mprotect of our page to writable: %s", strerror(errno));
	return try_write(a, page, before,
		"a write to our page of the table, after mprotect, which succeeds");
}

static int attack_writable(const struct attacker *a)
{
	uint32_t ref = 0;

	page_map(a);
	node_read(a, a->self, &ref);
	void *page = map(a, ref, PROT_READ | PROT_WRITE);
	return verdict(!page, "mapping our page of the table for writing: %s",
		page ? "done" : strerror(errno));
}

static int attack_node(const struct attacker *a)
{
	char path[PATH_LIMIT];
	unsigned int count;
	uint32_t other = (uint32_t)strtoul(a->arguments[0], NULL, 10), ref;

	bool read = node_read(a, other, &ref);
	snprintf(path, sizeof path, NODES, a->victim);
	char **names = xs_directory(a->xs, XBT_NULL, path, &count);
	snprintf(path, sizeof path, NODES "/%u", a->victim, a->self);
	bool written = xs_write(a->xs, XBT_NULL, path, "1 1 1", strlen("1 1 1"));
	bool removed = xs_rm(a->xs, XBT_NULL, path);
	free(names);
	return verdict(!read && !names && !written && !removed,
		"the node of domain %u can%s be read, the nodes can%s be listed, ours can%s be "
		"written "
		"and can%s be removed",
		other, read ? "" : "not", names ? "" : "not", written ? "" : "not",
		removed ? "" : "not");
}

static int attack_foreign(const struct attacker *a)
{
	uint32_t ref = (uint32_t)strtoul(a->arguments[0], NULL, 10);
	uint32_t port = (uint32_t)strtoul(a->arguments[1], NULL, 10);
	bool readable = map(a, ref, PROT_READ), writable = map(a, ref, PROT_READ | PROT_WRITE);
	bool bound = xenevtchn_bind_interdomain(a->evtchn, a->victim, port) >= 0;

	return verdict(!readable && !writable && !bound,
		"another domain's grant %u can%s be mapped for reading and can%s for writing, and "
		"its "
		"event channel %u can%s be bound to",
		ref, readable ? "" : "not", writable ? "" : "not", port, bound ? "" : "not");
}

static int print_port(const struct attacker *a)
{
	printf("%" PRIu32 "\n", page_map(a)->port);
	return EXIT_SUCCESS;
}

/* What a permitted sender holds, and nobody can take from it. */
struct loot {
	struct sivc_ctl *ctl;
	uint8_t *data;
	uint32_t size;
	evtchn_port_t port;
};

static void loot_take(const struct attacker *a, struct loot *loot)
{
	struct sivc_page copy = *page_map(a);
	xenevtchn_port_or_error_t port;

	loot->size = copy.ring_pages * SIVC_PAGE_SIZE;
	loot->ctl = map(a, copy.ctl_ref, PROT_READ | PROT_WRITE);
	loot->data = xengnttab_map_domain_grant_refs(
		a->gnttab, copy.ring_pages, a->victim, copy.refs, PROT_READ | PROT_WRITE);
	port = xenevtchn_bind_interdomain(a->evtchn, a->victim, copy.port);
	loot->port = (evtchn_port_t)port;
	if (copy.verdict == SIVC_VERDICT_PERMITTED && loot->ctl && loot->data && port >= 0)
		return;
	printf("not ok - the attack was not tried: domain %u does not permit us, or sivcfs of this "
	       "domain has bound to the channel\n",
		a->victim);
	exit(FAILED);
}

/* Says that we hold it all, and waits until the victim has refused us. */
static void await_refusal(void)
{
	char line[16];

	puts("# mapped");
	fflush(stdout);
	if (!fgets(line, sizeof line, stdin))
		exit(FAILED);
}

static time_t deadline(const struct attacker *a)
{
	return time(NULL) + (time_t)strtoul(a->arguments[0], NULL, 10);
}

/* Messages that are as they should be, then all that is not. */
static int attack_scribble(const struct attacker *a)
{
	struct loot loot;
	struct sivc_frame frame = {.length = 8, .flags = SIVC_FRAME_FIRST | SIVC_FRAME_LAST};
	uint64_t rounds = 0;

	loot_take(a, &loot);
	await_refusal();
	time_t end = deadline(a);
	for (uint32_t prod = loot.ctl->prod; time(NULL) < end; rounds++) {
		memcpy(loot.data + prod % loot.size, &frame, sizeof frame);
		memcpy(loot.data + prod % loot.size + sizeof frame, "scribble", frame.length);
		prod += rounds % 2 ? (uint32_t)rand() : (uint32_t)sizeof frame + frame.length;
		prod &= ~(uint32_t)(sizeof frame + frame.length - 1);
		__atomic_store_n(&loot.ctl->prod, prod, __ATOMIC_RELEASE);
		__atomic_store_n(&loot.ctl->space_event, (uint32_t)rand(), __ATOMIC_RELEASE);
		loot.ctl->sender_alive = (uint8_t)rounds;
		loot.ctl->receiver_alive = (uint8_t)(rounds >> 1);
	}
	return verdict(
		true, "wrote %" PRIu64 " messages, good and bad, to the revoked ring", rounds);
}

static int attack_signal(const struct attacker *a)
{
	struct loot loot;
	uint64_t sent = 0, failed = 0;

	loot_take(a, &loot);
	await_refusal();
	for (time_t end = deadline(a); time(NULL) < end; sent++) {
		if (xenevtchn_notify(a->evtchn, loot.port) < 0)
			failed++;
	}
	return verdict(true,
		"signalled the revoked event channel %" PRIu64 " times, %" PRIu64 " with an error",
		sent, failed);
}

static const struct command {
	const char *name;
	int arguments;
	int (*run)(const struct attacker *a);
} commands[] = {
	{"grants", 0, attack_grants},
	{"ports", 0, attack_ports},
	{"write", 0, attack_write},
	{"mprotect", 0, attack_mprotect},
	{"writable", 0, attack_writable},
	{"node", 1, attack_node},
	{"foreign", 2, attack_foreign},
	{"port", 0, print_port},
	{"scribble", 1, attack_scribble},
	{"signal", 1, attack_signal},
};

static const struct command *find_command(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		if (argc == commands[i].arguments + 3 && strcmp(argv[1], commands[i].name) == 0)
			return &commands[i];
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const struct command *command = find_command(argc, argv);
	struct attacker a = {0};
	unsigned int length;

	if (!command) {
		fprintf(stderr, "usage: hostile COMMAND VICTIM [ARGUMENT]...: see the source\n");
		return FAILED;
	}
	a.victim = (uint32_t)strtoul(argv[2], NULL, 10);
	a.arguments = argv + 3;
	/* Without the libraries' own word on every call that fails: thousands do. */
	if (!freopen("/dev/null", "w", stderr))
		return FAILED;
	a.gnttab = xengnttab_open(NULL, 0);
	a.evtchn = xenevtchn_open(NULL, 0);
	a.xs = xs_open(0);
	char *self = a.xs ? xs_read(a.xs, XBT_NULL, "domid", &length) : NULL;
	if (!a.gnttab || !a.evtchn || !self) {
		printf("not ok - this is no domain of Xen: %s\n", strerror(errno));
		return FAILED;
	}
	a.self = (uint32_t)strtoul(self, NULL, 10);
	return command->run(&a);
}
