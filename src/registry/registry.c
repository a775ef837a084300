/* SPDX-License-Identifier: MIT */
/*
 * registry.c: the registry's side of xenstore.
 *
 *	/local/domain/N/name		the name of domain N, as the toolstack has set it
 *	/local/domain/D/sivc/names/N	our word to D: domain N has this name
 *
 * A domain can write below its own /local/domain/D/data and nowhere else, so only dom0 can tell D a
 * name; all of /local/domain/D/sivc is ours.  It belongs to dom0 and D alone can read it.
 *
 * The model: whenever something may have changed (a domain came or went, a name changed, a policy
 * was set), look at all domains, compute what each is to see, and change what differs, in one
 * transaction for each viewer.  So D never sees a name at two domains, and no order of events
 * matters.  Events that wait together are one look.
 *
 * What a viewer was told is remembered, and is compared with that; the store is read only for a
 * viewer that we have not told anything since its name's watch fired.  That watch fires when its
 * directory is made or removed, so a domain is never taken for an earlier one with its id.
 *
 * A domain runs if it has a directory in the store and is introduced to it.  The toolstack removes
 * the directory when it destroys a domain, xenstored forgets the introduction when the hypervisor
 * says that it is dying; whichever is first, its names and what it was told go at once.  An id
 * comes again a minute later at the earliest.  Nothing is written for a domain whose directory is
 * gone: that is looked at in the same transaction, and would make the directory anew.
 *
 * The adversary is a guest, and has no say here: it can neither write its name nor ours.  It can be
 * started and ended as often as its owner has the toolstack do so.  A name that is not of our kind,
 * or that two domains have, is nobody's.
 *
 * An error of xenstore other than that a domain has gone is the program's end: half of the truth
 * about names is worse than none.
 */
#include "registry.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <xenstore.h>

#define HASH_NONFATAL_OOM 1 /* the element's hh.tbl is NULL then */
#include <uthash.h>

#include "number.h"

#define DOM0         0
#define DOMAINS_DIR  "/local/domain"
#define DOMAIN_DIR   DOMAINS_DIR "/%u"
#define NAME_NODE    DOMAIN_DIR "/name"
#define SIVC_DIR     DOMAIN_DIR "/sivc"
#define NAMES_DIR    SIVC_DIR "/names"
#define NAMES_NODE   NAMES_DIR "/%u"
#define PATH_SIZE    64 /* the longest, NAMES_NODE with two ids of 5 digits, takes 36 */
#define LOG_LINE_MAX 256

#define OUT_OF_MEMORY "out of memory"

#define INTRODUCED    "@introduceDomain"
#define RELEASED      "@releaseDomain"
#define DOMAINS_TOKEN "domains" /* of these two; that of a name's watch is its domain's id */

/* What a domain is to see, or was told. */
struct view {
	struct hv_name *names;
	int count;
};

/* A domain that runs; we watch its name. */
struct domain {
	uint16_t domid;
	UT_hash_handle hh;

	/* Written at each look. */
	bool present;
	bool said_bad;       /* that its name cannot be used */
	bool said_ambiguous; /* that another one has it, too */

	/* The watch has not fired yet, as it does when it is set. */
	bool fresh;

	/* `view` is what is in the store; written when that was changed, or may have been. */
	bool told;
	struct view view;
};

struct registry {
	struct xs_handle *store;
	struct policy policy;
	struct domain *domains; /* hash by domid */
	bool said_lost;         /* that the connection is lost */
	void (*log)(void *data, int priority, const char *message);
	void *log_data;
};

__attribute__((format(printf, 3, 4))) static void say(
	const struct registry *registry, int priority, const char *format, ...)
{
	char message[LOG_LINE_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	registry->log(registry->log_data, priority, message);
}

/* A request about `path` has failed.  EBADF: libxenstore has given the connection up. */
static int store_failed(struct registry *registry, const char *path, int error)
{
	switch (error) {
	case EBADF:
	case EPIPE:
	case EIO:
		if (!registry->said_lost)
			say(registry, LOG_ERR,
				"the connection to xenstore is lost: is xenstored running in "
				"dom0?");
		registry->said_lost = true;
		break;
	case EACCES:
		say(registry, LOG_ERR,
			"xenstore refuses %s: names are published from dom0; run this program "
			"there",
			path);
		break;
	default:
		say(registry, LOG_ERR, "xenstore fails at %s: %s", path, strerror(error));
	}
	return -error;
}

/*
 * Domains.
 */

static int domain_watch(struct registry *registry, uint16_t domid)
{
	char path[PATH_SIZE], token[8];

	snprintf(path, sizeof(path), NAME_NODE, domid);
	snprintf(token, sizeof(token), "%u", domid);
	return xs_watch(registry->store, path, token) ? 0 : store_failed(registry, path, errno);
}

static void domain_unwatch(struct registry *registry, uint16_t domid)
{
	char path[PATH_SIZE], token[8];

	snprintf(path, sizeof(path), NAME_NODE, domid);
	snprintf(token, sizeof(token), "%u", domid);
	xs_unwatch(registry->store, path, token);
}

static struct domain *domain_find(const struct registry *registry, uint16_t domid)
{
	struct domain *domain;

	HASH_FIND(hh, registry->domains, &domid, sizeof(domid), domain);
	return domain;
}

static void domain_free(struct registry *registry, struct domain *domain)
{
	HASH_DEL(registry->domains, domain);
	free(domain->view.names);
	free(domain);
}

static int domain_get(struct registry *registry, uint16_t domid, struct domain **out)
{
	struct domain *domain = domain_find(registry, domid);
	int r;

	if (domain) {
		*out = domain;
		return 0;
	}
	domain = calloc(1, sizeof(*domain));
	if (!domain)
		return -ENOMEM;
	domain->domid = domid;
	domain->fresh = true;
	HASH_ADD(hh, registry->domains, domid, sizeof(domain->domid), domain);
	if (!domain->hh.tbl) {
		free(domain);
		return -ENOMEM;
	}
	r = domain_watch(registry, domid);
	if (r < 0)
		domain_free(registry, domain);
	else
		*out = domain;
	return r;
}

/* What is in a directory; nothing, if it is not there.  For the caller to free(). */
static int list_directory(struct registry *registry, xs_transaction_t transaction, const char *path,
	char ***entries, unsigned int *count)
{
	unsigned int n = 0;
	char **list = xs_directory(registry->store, transaction, path, &n);

	if (!list && errno != ENOENT)
		return store_failed(registry, path, errno);
	*entries = list;
	*count = list ? n : 0;
	return 0;
}

/* ENOENT is fine: there was nothing. */
static int remove_node(struct registry *registry, xs_transaction_t transaction, const char *path)
{
	if (!xs_rm(registry->store, transaction, path) && errno != ENOENT)
		return store_failed(registry, path, errno);
	return 0;
}

static int remove_view(struct registry *registry, uint16_t domid)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), SIVC_DIR, domid);
	return remove_node(registry, XBT_NULL, path);
}

/*
 * Looking.
 */

/* The toolstack's name, or "" if there is none that sivcfs could use. */
static int read_name(struct registry *registry, struct domain *domain, char name[HV_NAME_MAX + 1])
{
	char path[PATH_SIZE], *text;
	unsigned int length;
	bool valid;

	name[0] = '\0';
	snprintf(path, sizeof(path), NAME_NODE, domain->domid);
	text = xs_read(registry->store, XBT_NULL, path, &length);
	if (!text)
		return errno == ENOENT ? 0 : store_failed(registry, path, errno);
	valid = strlen(text) == length && hv_name_valid(text);
	if (valid)
		memcpy(name, text, length + 1);
	else if (!domain->said_bad)
		say(registry, LOG_WARNING,
			"domain %u is not published: its name in xenstore is not 1 to %d of "
			"A-Z a-z 0-9 . _ -, or is digits alone, or begins with . or -",
			domain->domid, HV_NAME_MAX);
	domain->said_bad = !valid;
	free(text);
	return 0;
}

/* One entry of the directory of domains.  *count grows if it is a domain that runs. */
static int look_at(
	struct registry *registry, const char *entry, struct policy_domain *running, size_t *count)
{
	struct domain *domain;
	uint16_t domid;
	int r;

	if (domid_parse(entry, &domid) < 0)
		return 0;
	if (!xs_is_domain_introduced(registry->store, domid))
		return remove_view(registry, domid);
	r = domain_get(registry, domid, &domain);
	if (r < 0)
		return r;
	domain->present = true;
	running[*count].domid = domid;
	r = read_name(registry, domain, running[*count].name);
	if (r == 0)
		(*count)++;
	return r;
}

/* All domains that run, for the caller to free(). */
static int look(struct registry *registry, struct policy_domain **out, size_t *out_count)
{
	struct policy_domain *running;
	unsigned int n = 0;
	size_t count = 0;
	char **entries = NULL;
	int r = list_directory(registry, XBT_NULL, DOMAINS_DIR, &entries, &n);

	if (r < 0)
		return r;
	running = calloc(n ? n : 1, sizeof(*running));
	if (!running)
		r = -ENOMEM;
	for (unsigned int i = 0; r == 0 && i < n; i++)
		r = look_at(registry, entries[i], running, &count);
	free(entries);
	if (r < 0) {
		free(running);
		return r;
	}
	*out = running;
	*out_count = count;
	return 0;
}

static void forget_absent(struct registry *registry)
{
	struct domain *domain, *next;

	HASH_ITER (hh, registry->domains, domain, next) {
		if (!domain->present) {
			domain_unwatch(registry, domain->domid);
			domain_free(registry, domain);
		} else {
			domain->present = false; /* for the next look */
		}
	}
}

/*
 * Publishing.
 */

static const char *name_in(const struct view *view, uint16_t domid)
{
	for (int i = 0; i < view->count; i++)
		if (view->names[i].domid == domid)
			return view->names[i].name;
	return NULL;
}

static bool has(const struct view *view, const struct hv_name *name)
{
	const char *known = name_in(view, name->domid);

	return known && strcmp(known, name->name) == 0;
}

static bool views_equal(const struct view *a, const struct view *b)
{
	if (a->count != b->count)
		return false;
	for (int i = 0; i < a->count; i++)
		if (!has(b, &a->names[i]))
			return false;
	return true;
}

/* -ENOENT: the viewer has gone.  Otherwise its directory stays until the transaction's end. */
static int check_alive(struct registry *registry, xs_transaction_t transaction, uint16_t viewer)
{
	char path[PATH_SIZE];
	void *value;

	snprintf(path, sizeof(path), DOMAIN_DIR, viewer);
	value = xs_read(registry->store, transaction, path, NULL);
	if (!value)
		return errno == ENOENT ? -ENOENT : store_failed(registry, path, errno);
	free(value);
	return 0;
}

/* What is made in it later inherits its permissions. */
static int make_directory(
	struct registry *registry, xs_transaction_t transaction, const char *path, uint16_t viewer)
{
	struct xs_permissions viewer_only[] = {
		{.id = DOM0, .perms = XS_PERM_NONE},
		{.id = viewer, .perms = XS_PERM_READ},
	};

	if (!xs_mkdir(registry->store, transaction, path) ||
		!xs_set_permissions(registry->store, transaction, path, viewer_only, 2))
		return store_failed(registry, path, errno);
	return 0;
}

static int make_directories(
	struct registry *registry, xs_transaction_t transaction, uint16_t viewer)
{
	char path[PATH_SIZE];
	int r;

	snprintf(path, sizeof(path), SIVC_DIR, viewer);
	r = make_directory(registry, transaction, path, viewer);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), NAMES_DIR, viewer);
	return make_directory(registry, transaction, path, viewer);
}

/* Removes what the view does not have from the directory, which has `entries`. */
static int remove_others(struct registry *registry, xs_transaction_t transaction, uint16_t viewer,
	const struct view *view, char **entries, unsigned int count)
{
	char path[PATH_SIZE];
	uint16_t domid;
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < count; i++) {
		/* What is no domain id goes, too, unless it is longer than anything of ours. */
		if (domid_parse(entries[i], &domid) == 0 && name_in(view, domid))
			continue;
		if (snprintf(path, sizeof(path), NAMES_DIR "/%s", viewer, entries[i]) < PATH_SIZE)
			r = remove_node(registry, transaction, path);
	}
	return r;
}

static int write_name(struct registry *registry, xs_transaction_t transaction, uint16_t viewer,
	const struct hv_name *name)
{
	unsigned int length = (unsigned int)strlen(name->name), old_length;
	char path[PATH_SIZE], *old;
	bool same;

	snprintf(path, sizeof(path), NAMES_NODE, viewer, name->domid);
	old = xs_read(registry->store, transaction, path, &old_length);
	same = old && old_length == length && memcmp(old, name->name, length) == 0;
	free(old);
	if (!same && !xs_write(registry->store, transaction, path, name->name, length))
		return store_failed(registry, path, errno);
	return 0;
}

/* From what the viewer was told to what it is to see. */
static int write_view(struct registry *registry, xs_transaction_t transaction,
	const struct domain *viewer, const struct view *view)
{
	char path[PATH_SIZE], **entries = NULL;
	unsigned int n = 0;
	int r = check_alive(registry, transaction, viewer->domid);

	if (r < 0)
		return r;
	snprintf(path, sizeof(path), NAMES_DIR, viewer->domid);
	r = list_directory(registry, transaction, path, &entries, &n);
	if (r < 0)
		return r;
	if (!entries)
		r = make_directories(registry, transaction, viewer->domid);
	else
		r = remove_others(registry, transaction, viewer->domid, view, entries, n);
	free(entries);
	for (int i = 0; r == 0 && i < view->count; i++)
		if (!viewer->told || !has(&viewer->view, &view->names[i]))
			r = write_name(registry, transaction, viewer->domid, &view->names[i]);
	return r;
}

/* All of it at once.  -ENOENT: the viewer has gone. */
static int commit_view(
	struct registry *registry, const struct domain *viewer, const struct view *view)
{
	xs_transaction_t transaction;
	int r;

	for (;;) {
		transaction = xs_transaction_start(registry->store);
		if (transaction == XBT_NULL)
			return store_failed(registry, "the start of a transaction", errno);
		r = write_view(registry, transaction, viewer, view);
		if (xs_transaction_end(registry->store, transaction, r < 0) || r < 0)
			return r;
		if (errno != EAGAIN) /* somebody else has changed what we have read */
			return store_failed(registry, "the end of a transaction", errno);
	}
}

/* Takes the view over. */
static int publish_view(struct registry *registry, struct domain *viewer, const struct view *view)
{
	int r = 0;

	if (!viewer->told || !views_equal(&viewer->view, view)) {
		r = commit_view(registry, viewer, view);
		viewer->told = r == 0;
	}
	free(viewer->view.names);
	viewer->view = *view;
	return r == -ENOENT ? 0 : r; /* gone: an event is under way that says so */
}

static void say_ambiguous(
	const struct registry *registry, struct domain *domain, const struct policy_domain *running)
{
	if (running->ambiguous && !domain->said_ambiguous)
		say(registry, LOG_WARNING,
			"domain %u is not published: another domain is named \"%s\", too",
			domain->domid, running->name);
	domain->said_ambiguous = running->ambiguous;
}

static int publish_all(struct registry *registry, const struct policy_domain *running, size_t count)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		struct domain *viewer = domain_find(registry, running[i].domid);
		struct view view;

		view.count = policy_view(&registry->policy, running, count, i, &view.names);
		if (view.count < 0)
			return view.count;
		say_ambiguous(registry, viewer, &running[i]);
		r = publish_view(registry, viewer, &view);
	}
	return r;
}

static int update(struct registry *registry)
{
	struct policy_domain *running;
	size_t count;
	int r = look(registry, &running, &count);

	if (r == 0) {
		forget_absent(registry);
		policy_compare(running, count);
		r = publish_all(registry, running, count);
		free(running);
	}
	if (r == -ENOMEM)
		say(registry, LOG_ERR, OUT_OF_MEMORY);
	return r;
}

int registry_set_policy(struct registry *registry, struct policy *policy)
{
	policy_deinit(&registry->policy);
	registry->policy = *policy;
	return update(registry);
}

int registry_withdraw(struct registry *registry)
{
	unsigned int n = 0;
	uint16_t domid;
	char **entries = NULL;
	int r = list_directory(registry, XBT_NULL, DOMAINS_DIR, &entries, &n);

	if (r < 0)
		return r;
	for (unsigned int i = 0; r == 0 && i < n; i++)
		if (domid_parse(entries[i], &domid) == 0)
			r = remove_view(registry, domid);
	free(entries);
	return r;
}

/*
 * Events.
 */

int registry_fd(struct registry *registry)
{
	return xs_fileno(registry->store);
}

/*
 * Does the event say anything new?  The first one of a name's watch does not: it came when the
 * watch was set, and the name was read after that.
 */
static bool take_event(struct registry *registry, const char *token)
{
	struct domain *domain;
	uint16_t domid;

	if (domid_parse(token, &domid) < 0)
		return true;
	domain = domain_find(registry, domid);
	if (!domain)
		return false; /* it was under way when the watch was removed */
	if (domain->fresh) {
		domain->fresh = false;
		return false;
	}
	domain->told = false; /* what we told it may have gone with its directory */
	return true;
}

int registry_dispatch(struct registry *registry)
{
	bool changed = false;
	char **event;

	while ((event = xs_check_watch(registry->store))) {
		changed |= take_event(registry, event[XS_WATCH_TOKEN]);
		free(event);
	}
	return changed ? update(registry) : 0;
}

static int watch_domains(struct registry *registry)
{
	static const char *const events[] = {INTRODUCED, RELEASED};

	if (xs_fileno(registry->store) < 0)
		return store_failed(registry, "the descriptor of watches", errno);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (!xs_watch(registry->store, events[i], DOMAINS_TOKEN))
			return store_failed(registry, events[i], errno);
	return 0;
}

/* Others may watch, in vain, but may not list the domains. */
static int check_dom0(struct registry *registry)
{
	unsigned int n = 0;
	char **entries = NULL;
	int r = list_directory(registry, XBT_NULL, DOMAINS_DIR, &entries, &n);

	if (r == 0)
		free(entries);
	return r;
}

static int open_store(struct registry *registry)
{
	int r;

	registry->store = xs_open(0);
	if (!registry->store) {
		r = -errno;
		say(registry, LOG_ERR,
			"xenstore does not answer (%s): this program runs in dom0, as root, and "
			"xenstored must run",
			strerror(-r));
		return r;
	}
	r = check_dom0(registry);
	return r < 0 ? r : watch_domains(registry);
}

int registry_open(void (*log)(void *data, int priority, const char *message), void *log_data,
	struct registry **out)
{
	struct registry *registry = calloc(1, sizeof(*registry));
	int r;

	if (!registry) {
		log(log_data, LOG_ERR, OUT_OF_MEMORY);
		return -ENOMEM;
	}
	registry->log = log;
	registry->log_data = log_data;
	r = open_store(registry);
	if (r < 0)
		registry_free(registry);
	else
		*out = registry;
	return r;
}

void registry_free(struct registry *registry)
{
	struct domain *domain, *next;

	if (!registry)
		return;
	HASH_ITER (hh, registry->domains, domain, next) {
		domain_free(registry, domain);
	}
	xs_close(registry->store); /* NULL is fine */
	policy_deinit(&registry->policy);
	free(registry);
}
