/* SPDX-License-Identifier: MIT */
/*
 * table.c: an endpoint's access control table in force.
 *
 * The acl says who may send; here it becomes pages and rings.  Refusals come first, so that at no
 * time more is allowed than the old or the new table allows.  What a rule means can change without
 * the table being written: a name gets another domain (`allow web`), a domain comes (`allow *`);
 * only then are names watched.  A domain id that a name has lost is refused at once, so that who
 * gets the id next inherits nothing.
 *
 * The adversary may come and go under a name of its own, or rewrite its own; the names are the
 * registry's word.  Changes are looked at once in NAMES_PAUSE_MS.
 */
#include <errno.h>
#include <sivc/ioctl.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "container_of.h"
#include "core.h"
#include "inbound.h"
#include "outbound.h"

#define NAMES_PAUSE_MS 20
#define RETRY_MS       100 /* they could not be read, or acted upon */

/* Who has which name now. */
struct census {
	struct hv_name *names;
	size_t name_count;
	uint16_t *domids; /* domains that `*` is about */
	size_t domid_count;
};

static void census_deinit(struct census *census)
{
	free(census->names);
	free(census->domids);
}

static int census_take(struct sivc_endpoint *ep, const struct acl *acl, struct census *census)
{
	int r = 0;

	*census = (struct census){0};
	if (acl_follows_names(acl)) {
		r = hv_names(ep->sivc->hv, &census->names);
		if (r > 0)
			census->name_count = (size_t)r;
	}
	if (r >= 0 && acl->everybody) {
		r = hv_domains(ep->sivc->hv, &census->domids);
		if (r > 0)
			census->domid_count = (size_t)r;
	}
	if (r < 0)
		census_deinit(census);
	return r < 0 ? r : 0;
}

static bool allows(const struct acl *acl, const struct census *census, uint16_t domid)
{
	return acl_allows(acl, domid, census->names, census->name_count);
}

static void refuse_others(struct sivc_endpoint *ep, const struct census *census)
{
	struct inbound *in, *next;

	HASH_ITER (hh, ep->inbounds, in, next) {
		if (!allows(&ep->acl, census, in->domid))
			inbound_refuse(in);
	}
}

/* All whom that acl refuses can be refused; nothing can fail any more.  -ENOMEM: nothing is done.
 */
static int prepare(struct sivc_endpoint *ep, const struct acl *acl, const struct census *census)
{
	struct inbound *in, *next;
	int r = 0;

	HASH_ITER (hh, ep->inbounds, in, next) {
		if (r == 0 && !allows(acl, census, in->domid))
			r = inbound_prepare(in);
	}
	if (r == 0)
		return 0;
	HASH_ITER (hh, ep->inbounds, in, next)
		inbound_unprepare(in);
	return r;
}

static bool counted(const struct census *census, uint16_t domid)
{
	for (size_t i = 0; i < census->name_count; i++)
		if (census->names[i].domid == domid)
			return true;
	for (size_t i = 0; i < census->domid_count; i++)
		if (census->domids[i] == domid)
			return true;
	return false;
}

/*
 * A domain id that had a name and has none is of a domain that has ended.  It would cost a page and
 * a node for ever: ids are not used again before all have been.
 */
static void forget_ended(struct sivc_endpoint *ep, const struct census *census)
{
	struct inbound *in, *next;

	HASH_ITER (hh, ep->inbounds, in, next) {
		bool named = counted(census, in->domid);

		if (in->named && !named && inbound_forgettable(in))
			inbound_free(in);
		else
			in->named = in->named || named;
	}
}

static int permit(struct sivc_endpoint *ep, const struct census *census, uint16_t domid)
{
	struct inbound *in;
	int r;

	if (!allows(&ep->acl, census, domid))
		return 0;
	r = inbound_get(ep, domid, &in);
	if (r == 0)
		r = inbound_permit(in);
	if (r < 0)
		hv_log(ep->sivc->hv, LOG_ERR, "domain %u cannot send to endpoint %s: %s", domid,
			ep->name, strerror(-r));
	return r;
}

/* Everybody whom a rule may mean.  One that fails does not keep the others out. */
static int permit_all(struct sivc_endpoint *ep, const struct census *census)
{
	const struct acl *acl = &ep->acl;
	struct outbound *out, *next;
	int r, first = 0;

	for (size_t i = 0; i < acl->count; i++) {
		if (acl->rules[i].name[0] != '\0')
			continue;
		r = permit(ep, census, acl->rules[i].domid);
		first = first ? first : r;
	}
	for (size_t i = 0; i < census->name_count; i++) {
		r = permit(ep, census, census->names[i].domid);
		first = first ? first : r;
	}
	for (size_t i = 0; i < census->domid_count; i++) {
		r = permit(ep, census, census->domids[i]);
		first = first ? first : r;
	}
	if (!acl->everybody)
		return first;
	HASH_ITER (hh, ep->outbounds, out, next) {
		r = permit(ep, census, out->domid);
		first = first ? first : r;
	}
	return first;
}

/* Prepared: what ep->acl says is done.  The first error of a permission, which undoes nothing. */
static int put_in_force(struct sivc_endpoint *ep, const struct census *census)
{
	int r;

	refuse_others(ep, census);
	r = permit_all(ep, census);
	endpoint_serve(ep);
	return r;
}

/* Everything that can fail before a refusal.  0: *census is to be put in force. */
static int census_prepare(struct sivc_endpoint *ep, const struct acl *acl, struct census *census)
{
	int r = census_take(ep, acl, census);

	if (r < 0)
		return r;
	r = prepare(ep, acl, census);
	if (r < 0)
		census_deinit(census);
	return r;
}

/* Names. */

static void on_names_timer(struct loop_timer *timer);

/* Who has lost a name must not keep what it permitted: again and again, until it is done. */
static void enforce_later(struct sivc_endpoint *ep, int error)
{
	if (!ep->names_unknown)
		hv_log(ep->sivc->hv, LOG_ERR,
			"endpoint %s: cannot find out who has which name (%s); trying again every "
			"%d ms",
			ep->name, strerror(-error), RETRY_MS);
	ep->names_unknown = true;
	loop_timer_set(&ep->sivc->loop, &ep->names_timer, RETRY_MS, on_names_timer);
}

static int enforce(struct sivc_endpoint *ep)
{
	struct census census;
	int r = census_prepare(ep, &ep->acl, &census);

	if (r < 0) {
		enforce_later(ep, r);
		return r;
	}
	ep->names_unknown = false;
	r = put_in_force(ep, &census);
	if (!ep->serving)
		forget_ended(ep, &census);
	census_deinit(&census);
	return r;
}

static void on_names_timer(struct loop_timer *timer)
{
	enforce(container_of(timer, struct sivc_endpoint, names_timer));
}

static void on_names(void *data)
{
	struct sivc_endpoint *ep = data;

	if (ep->names_timer.due == 0)
		loop_timer_set(&ep->sivc->loop, &ep->names_timer, NAMES_PAUSE_MS, on_names_timer);
}

void table_suspend(struct sivc_endpoint *ep)
{
	hv_watch_free(ep->names_watch);
	ep->names_watch = NULL;
	loop_timer_cancel(&ep->sivc->loop, &ep->names_timer);
}

static int follow_names(struct sivc_endpoint *ep, const struct acl *acl)
{
	if (ep->names_watch || !acl_follows_names(acl))
		return 0;
	return hv_watch_names(ep->sivc->hv, NULL, 0, on_names, ep, &ep->names_watch);
}

static void unfollow_names(struct sivc_endpoint *ep)
{
	if (!acl_follows_names(&ep->acl))
		table_suspend(ep);
}

static bool has_name(const struct hv_name *names, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i].name, name) == 0)
			return true;
	return false;
}

/* A name in a rule must be known: now, or by the table already. */
static int check_names(struct sivc_endpoint *ep, const struct acl *acl)
{
	const struct acl_rule *rule, *unknown = NULL;
	struct hv_name *names = NULL;
	int count;

	if (!acl_names(acl))
		return 0;
	count = hv_names(ep->sivc->hv, &names);
	for (size_t i = 0; count >= 0 && !unknown && i < acl->count; i++) {
		rule = &acl->rules[i];
		if (rule->name[0] != '\0' && !acl_has_name(&ep->acl, rule->name) &&
			!has_name(names, count, rule->name))
			unknown = rule;
	}
	free(names);
	if (!unknown)
		return count < 0 ? count : 0;
	hv_log(ep->sivc->hv, LOG_ERR, "acl of endpoint %s: no domain is named \"%s\"", ep->name,
		unknown->name);
	return -ENOENT;
}

/* A domain that has broken the protocol gets another ring when it is allowed anew, by name or not.
 */
static void forgive(
	struct sivc_endpoint *ep, const struct acl *written, const struct census *census)
{
	struct inbound *in, *next;

	HASH_ITER (hh, ep->inbounds, in, next) {
		if (in->breached && allows(written, census, in->domid))
			inbound_refuse(in);
	}
}

/*
 * Takes the acl over, also when a domain cannot be permitted; on any other error it changes
 * nothing.  `written` is those rules of it that somebody has just written.
 */
static int table_replace(struct sivc_endpoint *ep, struct acl *acl, const struct acl *written)
{
	struct census census = {0};
	int r = follow_names(ep, acl);

	if (r == 0)
		r = census_prepare(ep, acl, &census);
	if (r < 0) {
		acl_deinit(acl);
		unfollow_names(ep);
		return r;
	}
	acl_deinit(&ep->acl);
	ep->acl = *acl;
	unfollow_names(ep);
	forgive(ep, written, &census);
	r = put_in_force(ep, &census);
	census_deinit(&census);
	return r;
}

void table_peer_opened(struct sivc_endpoint *ep)
{
	if (ep->acl.everybody)
		enforce(ep); /* its errors are in the log */
}

int table_resume(struct sivc_endpoint *ep)
{
	int r = follow_names(ep, &ep->acl);

	if (r == 0)
		enforce(ep); /* its errors are in the log: they are one domain's, or it tries again
			      */
	return r;
}

void table_deinit(struct sivc_endpoint *ep)
{
	table_suspend(ep);
	acl_deinit(&ep->acl);
}

/* The public functions. */

/* The table with the written rules added to it, or instead of it. */
static int merge(
	const struct sivc_endpoint *ep, const struct acl *written, bool replace, struct acl *merged)
{
	int r = acl_copy(replace ? written : &ep->acl, merged);

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

	return r < 0 ? r : table_replace(ep, &merged, written);
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
		r = check_names(ep, &written);
	if (r == 0)
		r = write_rules(ep, &written, replace);
	acl_deinit(&written);
	return r;
}

ssize_t sivc_acl_read(const struct sivc_endpoint *ep, char **text)
{
	return acl_format(&ep->acl, text);
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
	const struct inbound *in = inbound_find(ep, domid);
	int names;

	if (in)
		return in->permitted;
	/* One that was never seen would be, under `allow *`, unless its name is refused. */
	names = acl_names(&ep->acl) ? names_read(ep->sivc) : 0;
	return names >= 0 && acl_allows(&ep->acl, domid, ep->sivc->names, (size_t)names);
}

void sivc_peers(const struct sivc_endpoint *ep, void (*fn)(void *data, uint16_t domid), void *data)
{
	struct outbound *out, *next_out;
	struct inbound *in, *next_in;

	for (size_t i = 0; i < ep->acl.count; i++)
		if (ep->acl.rules[i].name[0] == '\0')
			fn(data, ep->acl.rules[i].domid);
	HASH_ITER (hh, ep->outbounds, out, next_out)
		fn(data, out->domid);
	HASH_ITER (hh, ep->inbounds, in, next_in)
		if (in->permitted)
			fn(data, in->domid);
}
