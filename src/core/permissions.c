/* SPDX-License-Identifier: MIT */
#include "permissions.h"

#include <errno.h>
#include <sivc/ioctl.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "container_of.h"
#include "inbound.h"
#include "name_cache.h"
#include "outbound.h"
#include "receiver.h"
#include "sender.h"
#include "tuning.h"

/* A domain whose name a rule has, and what such rules say. */
struct named {
	uint16_t domid;
	bool refused;
	bool allowed;
};

/* Names and domains of now, as far as the acl asks. */
struct snapshot {
	struct named *named; /* by domid */
	size_t named_count;
	uint16_t *domids; /* domains that `*` is about, by number */
	size_t domid_count;
	bool unasked; /* no local user has caused it: the log is limited */
};

static void snapshot_deinit(struct snapshot *snapshot)
{
	free(snapshot->named);
	free(snapshot->domids);
}

static int named_compare(const void *a, const void *b)
{
	const struct named *first = a, *second = b;

	return (int)first->domid - (int)second->domid;
}

/* One for each domain. */
static void named_settle(struct snapshot *snapshot)
{
	struct named *named = snapshot->named;
	size_t last = 0;

	qsort(named, snapshot->named_count, sizeof(*named), named_compare);
	for (size_t i = 1; i < snapshot->named_count; i++) {
		if (named[i].domid != named[last].domid) {
			named[++last] = named[i];
			continue;
		}
		named[last].refused = named[last].refused || named[i].refused;
		named[last].allowed = named[last].allowed || named[i].allowed;
	}
	snapshot->named_count = last + 1;
}

/* The names in rules, in the order of the rules: an array for the caller to free(). */
static int rule_names(const struct acl *acl, const char *const **result)
{
	const char **names = calloc(acl->count > 0 ? acl->count : 1, sizeof(*names));
	int n = 0;

	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < acl->count; i++)
		if (acl->rules[i].name[0] != '\0')
			names[n++] = acl->rules[i].name;
	*result = names;
	return n;
}

/* The domain of each, or HV_NO_DOMAIN, for the caller to free(). */
static int look_up(struct sivc_endpoint *ep, const struct acl *acl, uint16_t **result)
{
	const char *const *names;
	uint16_t *domids;
	int n = rule_names(acl, &names), r;

	if (n < 0)
		return n;
	domids = calloc((size_t)n + 1, sizeof(*domids));
	r = domids ? hv_lookup(ep->sivc->hv, names, (size_t)n, domids) : -ENOMEM;
	free((void *)(uintptr_t)names);
	if (r < 0) {
		free(domids);
		return r;
	}
	*result = domids;
	return n;
}

static int named_read(struct sivc_endpoint *ep, const struct acl *acl, struct snapshot *snapshot)
{
	uint16_t *domids;
	size_t at = 0;
	int n = acl_names(acl) ? look_up(ep, acl, &domids) : 0;

	if (n <= 0)
		return n;
	snapshot->named = calloc((size_t)n, sizeof(*snapshot->named));
	for (size_t i = 0; snapshot->named && i < acl->count; i++) {
		const struct acl_rule *rule = &acl->rules[i];

		if (rule->name[0] == '\0' || domids[at++] == HV_NO_DOMAIN)
			continue;
		snapshot->named[snapshot->named_count++] = (struct named){
			.domid = domids[at - 1], .refused = !rule->allow, .allowed = rule->allow};
	}
	free(domids);
	if (!snapshot->named)
		return -ENOMEM;
	if (snapshot->named_count > 0)
		named_settle(snapshot);
	return 0;
}

static int domid_compare(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

static int snapshot_take(struct sivc_endpoint *ep, const struct acl *acl, struct snapshot *snapshot)
{
	int r;

	*snapshot = (struct snapshot){0};
	r = named_read(ep, acl, snapshot);
	if (r >= 0 && acl->everybody) {
		r = hv_domains(ep->sivc->hv, &snapshot->domids);
		if (r > 0) {
			snapshot->domid_count = (size_t)r;
			qsort(snapshot->domids, (size_t)r, sizeof(*snapshot->domids),
				domid_compare);
		}
	}
	if (r < 0)
		snapshot_deinit(snapshot);
	return r < 0 ? r : 0;
}

static const struct named *named_find(const struct snapshot *snapshot, uint16_t domid)
{
	const struct named key = {.domid = domid};

	if (snapshot->named_count == 0)
		return NULL;
	return bsearch(&key, snapshot->named, snapshot->named_count, sizeof(key), named_compare);
}

/* One rule that refuses it is enough. */
static bool allows(const struct acl *acl, const struct snapshot *snapshot, uint16_t domid)
{
	const struct acl_rule *rule = acl_rule_for(acl, domid);
	const struct named *named = named_find(snapshot, domid);

	if ((rule && !rule->allow) || (named && named->refused))
		return false;
	return rule || (named && named->allowed) || acl->everybody;
}

static void refuse_others(struct sivc_endpoint *ep, const struct snapshot *snapshot)
{
	struct inbound *in, *next;

	HASH_ITER (hh, ep->receiver.inbounds, in, next) {
		if (!allows(&ep->permissions.acl, snapshot, in->domid))
			receiver_refuse(in);
	}
}

static bool exists(const struct snapshot *snapshot, uint16_t domid)
{
	return named_find(snapshot, domid) ||
	       (snapshot->domid_count > 0 &&
		       bsearch(&domid, snapshot->domids, snapshot->domid_count, sizeof(domid),
			       domid_compare));
}

/* A domain has ended if the same rules found it before and do not now. */
static void mark_known(struct sivc_endpoint *ep, const struct snapshot *snapshot, bool same_rules)
{
	struct inbound *in, *next;

	HASH_ITER (hh, ep->receiver.inbounds, in, next) {
		if (exists(snapshot, in->domid))
			in->domain = INBOUND_KNOWN;
		else if (in->domain == INBOUND_KNOWN)
			in->domain = same_rules ? INBOUND_ENDED : INBOUND_UNKNOWN;
	}
}

/* Their pages and nodes would stay for ever. */
static void forget_ended(struct sivc_endpoint *ep)
{
	struct inbound *in, *next;

	HASH_ITER (hh, ep->receiver.inbounds, in, next) {
		if (inbound_forgettable(in))
			receiver_forget(in);
	}
}

/* The first error counts; it does not stop the others. */
static void permit(
	struct sivc_endpoint *ep, const struct snapshot *snapshot, uint16_t domid, int *error)
{
	int r = allows(&ep->permissions.acl, snapshot, domid)
			? receiver_permit(ep, domid, !snapshot->unasked)
			: 0;

	if (*error == 0)
		*error = r;
}

/* Every domain that a rule may mean. */
static int permit_all(struct sivc_endpoint *ep, const struct snapshot *snapshot)
{
	const struct acl *acl = &ep->permissions.acl;
	struct outbound *out, *next;
	int error = 0;

	for (size_t i = 0; i < acl->count; i++)
		if (acl->rules[i].name[0] == '\0')
			permit(ep, snapshot, acl->rules[i].domid, &error);
	for (size_t i = 0; i < snapshot->named_count; i++)
		permit(ep, snapshot, snapshot->named[i].domid, &error);
	for (size_t i = 0; i < snapshot->domid_count; i++)
		permit(ep, snapshot, snapshot->domids[i], &error);
	if (!acl->everybody)
		return error;
	HASH_ITER (hh, ep->sender.outbounds, out, next)
		permit(ep, snapshot, out->domid, &error);
	return error;
}

/* -ENOSPC: one domain lacks something, all others are done. */
static int put_in_force(struct sivc_endpoint *ep, const struct snapshot *snapshot)
{
	refuse_others(ep, snapshot);
	return permit_all(ep, snapshot);
}

/* Names. */

static void on_names_timer(struct loop_timer *timer);

static void enforce_after(struct sivc_endpoint *ep, uint64_t ns)
{
	loop_timer_set(&ep->sivc->loop, &ep->permissions.timer, ns, on_names_timer);
}

/* A domain that lost its name must not stay permitted. */
static void enforce_later(struct sivc_endpoint *ep, int error)
{
	if (!ep->permissions.names_unknown)
		hv_log(ep->sivc->hv, LOG_ERR,
			"endpoint %s: cannot find out who has which name (%s); trying again every "
			"%d ms",
			ep->name, strerror(-error), RETRY_MS);
	ep->permissions.names_unknown = true;
	enforce_after(ep, RETRY_MS * NSEC_PER_MSEC);
}

static void enforce(struct sivc_endpoint *ep)
{
	struct snapshot snapshot;
	uint64_t start = loop_now();
	int r;

	if (!ep->receiver.events) /* permissions_resume will */
		return;
	r = snapshot_take(ep, &ep->permissions.acl, &snapshot);
	if (r < 0) {
		enforce_later(ep, r);
		return;
	}
	ep->permissions.names_unknown = false;
	snapshot.unasked = true;
	put_in_force(ep, &snapshot); /* what is lacking is in the log */
	mark_known(ep, &snapshot, true);
	forget_ended(ep);
	snapshot_deinit(&snapshot);
	ep->permissions.cost = loop_now() - start;
}

static void on_names_timer(struct loop_timer *timer)
{
	enforce(container_of(timer, struct sivc_endpoint, permissions.timer));
}

/* The pause grows with the cost of the last look: at most a fifth of a processor. */
static void on_names(void *data)
{
	struct sivc_endpoint *ep = data;
	uint64_t pause = NAMES_PAUSE_MS * NSEC_PER_MSEC;

	if (ep->permissions.timer.due == 0)
		enforce_after(ep, pause + TURNS_MAX * ep->permissions.cost);
}

void permissions_suspend(struct sivc_endpoint *ep)
{
	hv_watch_free(ep->permissions.watch);
	ep->permissions.watch = NULL;
	loop_timer_cancel(&ep->sivc->loop, &ep->permissions.timer);
}

/* NULL if no rule depends on names, or on which domains there are. */
static int watch_names(struct sivc_endpoint *ep, const struct acl *acl, struct hv_watch **watch)
{
	const char *const *names = NULL;
	int n = 0, r;

	*watch = NULL;
	if (!acl_follows_names(acl))
		return 0;
	if (!acl->everybody)
		n = rule_names(acl, &names);
	if (n < 0)
		return n;
	r = hv_watch_names(ep->sivc->hv, names, (size_t)n, on_names, ep, watch);
	free((void *)(uintptr_t)names);
	return r;
}

/* A rule may be about a domain that comes later.  Or its name is a slip, which the log shows. */
static int say_unknown(struct sivc_endpoint *ep, const struct acl *acl)
{
	uint16_t *domids;
	size_t at = 0;
	int n = acl_names(acl) ? look_up(ep, acl, &domids) : 0;

	if (n <= 0)
		return n;
	for (size_t i = 0; i < acl->count; i++) {
		const char *name = acl->rules[i].name;

		if (name[0] != '\0' && domids[at++] == HV_NO_DOMAIN &&
			!acl_rule_of(&ep->permissions.acl, name))
			hv_log(ep->sivc->hv, LOG_WARNING,
				"acl of endpoint %s: no domain is named \"%s\" now", ep->name,
				name);
	}
	free(domids);
	return 0;
}

/* A domain that broke the protocol gets another ring when it is allowed anew. */
static void forgive(
	struct sivc_endpoint *ep, const struct acl *written, const struct snapshot *snapshot)
{
	struct inbound *in, *next;

	HASH_ITER (hh, ep->receiver.inbounds, in, next) {
		if (in->permission == INBOUND_BREACHED && allows(written, snapshot, in->domid))
			receiver_refuse(in);
	}
}

/*
 * Takes the acl over, also if a domain lacks something (-ENOSPC).  Any other error changes nothing.
 * `written`: those of its rules that are new.
 */
static int replace_acl(struct sivc_endpoint *ep, struct acl *acl, const struct acl *written)
{
	struct snapshot snapshot = {0};
	struct hv_watch *watch = NULL;
	int r = ep->receiver.events ? watch_names(ep, acl, &watch) : -EAGAIN; /* restore.c */

	if (r == 0)
		r = snapshot_take(ep, acl, &snapshot);
	if (r < 0) {
		hv_watch_free(watch);
		acl_deinit(acl);
		return r;
	}
	permissions_suspend(ep);
	ep->permissions.watch = watch;
	acl_deinit(&ep->permissions.acl);
	ep->permissions.acl = *acl;
	forgive(ep, written, &snapshot);
	r = put_in_force(ep, &snapshot);
	mark_known(ep, &snapshot, false);
	snapshot_deinit(&snapshot);
	return r;
}

void permissions_init(struct permissions *permissions)
{
	acl_init(&permissions->acl);
}

int permissions_resume(struct sivc_endpoint *ep)
{
	int r = watch_names(ep, &ep->permissions.acl, &ep->permissions.watch);

	if (r == 0)
		enforce(ep);
	return r;
}

void permissions_deinit(struct sivc_endpoint *ep)
{
	permissions_suspend(ep);
	acl_deinit(&ep->permissions.acl);
}

/* The public functions. */

static int merge(
	const struct sivc_endpoint *ep, const struct acl *written, bool replace, struct acl *merged)
{
	int r = acl_copy(replace ? written : &ep->permissions.acl, merged);

	if (r == 0 && !replace)
		r = acl_merge(merged, written);
	if (r < 0)
		acl_deinit(merged);
	return r;
}

static int write_rules(struct sivc_endpoint *ep, const struct acl *written, bool replace)
{
	struct acl merged = {0};
	int r = merge(ep, written, replace, &merged);

	return r < 0 ? r : replace_acl(ep, &merged, written);
}

int sivc_acl_write(struct sivc_endpoint *ep, const char *text, size_t length, bool replace)
{
	struct acl written;
	struct acl_error error;
	int r;

	acl_init(&written);
	r = acl_parse(&written, text, length, &error);
	if (r == -EINVAL)
		hv_log(ep->sivc->hv, LOG_ERR, "acl of endpoint %s, line %u: %s; nothing changed",
			ep->name, error.line, error.why);
	if (r == 0)
		r = say_unknown(ep, &written);
	if (r == 0)
		r = write_rules(ep, &written, replace);
	acl_deinit(&written);
	return r;
}

ssize_t sivc_acl_read(const struct sivc_endpoint *ep, char **text)
{
	return acl_format(&ep->permissions.acl, text);
}

static int set_one(struct sivc_endpoint *ep, uint16_t domid, bool allow)
{
	struct acl written;
	int r;

	if (domid > SIVC_DOMID_MAX)
		return -EINVAL;
	acl_init(&written);
	r = acl_set(&written, domid, allow);
	if (r == 0)
		r = write_rules(ep, &written, false);
	acl_deinit(&written);
	return r;
}

int sivc_permit(struct sivc_endpoint *ep, uint16_t domid)
{
	return set_one(ep, domid, true);
}

int sivc_refuse(struct sivc_endpoint *ep, uint16_t domid)
{
	return set_one(ep, domid, false);
}

bool sivc_permitted(const struct sivc_endpoint *ep, uint16_t domid)
{
	const struct inbound *in = receiver_find(ep, domid);
	const struct acl *acl = &ep->permissions.acl;
	int names;

	if (in)
		return in->permission != INBOUND_REFUSED;
	/* Never seen: under `allow *` it would be. */
	names = acl_names(acl) ? name_cache_read(ep->sivc) : 0;
	return acl->everybody && names >= 0 &&
	       acl_allows(acl, domid, ep->sivc->names.names, (size_t)names);
}

int sivc_peer_open(struct sivc_endpoint *ep, uint16_t domid)
{
	bool known = sender_find(ep, domid) != NULL;
	int r = sender_open(ep, domid);

	/* `allow *` is about a domain that was opened by number. */
	if (r == 0 && !known && ep->permissions.acl.everybody)
		enforce(ep);
	return r;
}

void sivc_peers(const struct sivc_endpoint *ep, void (*fn)(void *data, uint16_t domid), void *data)
{
	const struct acl *acl = &ep->permissions.acl;
	struct outbound *out, *next_out;
	struct inbound *in, *next_in;

	for (size_t i = 0; i < acl->count; i++)
		if (acl->rules[i].name[0] == '\0')
			fn(data, acl->rules[i].domid);
	HASH_ITER (hh, ep->sender.outbounds, out, next_out)
		fn(data, out->domid);
	HASH_ITER (hh, ep->receiver.inbounds, in, next_in)
		if (in->permission != INBOUND_REFUSED)
			fn(data, in->domid);
}
