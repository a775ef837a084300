/* SPDX-License-Identifier: MIT */
/*
 * acl.h: the rules of an access control table: their grammar and what they mean.
 *
 *	text    = { line "\n" }
 *	line    = [ ( "allow" | "deny" ) WHO ] [ "#" comment ]
 *	WHO     = domain id | name | "*"
 *
 * Rules are a set, one for each WHO.  `*` is for domains without a rule, and is `deny` unless it is
 * said otherwise.  A domain can have several rules, by number and by names: one `deny` is enough.
 */
#ifndef SIVC_ACL_H
#define SIVC_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "hv.h"

struct acl_rule {
	char name[HV_NAME_MAX + 1]; /* "": the rule is about `domid` */
	uint16_t domid;
	bool allow;
	uint32_t written; /* the order in which rules came */
};

struct acl {
	bool everybody;         /* allow * */
	bool says_all;          /* `*` was written */
	struct acl_rule *rules; /* in order, one for each WHO */
	size_t count;
	size_t capacity;
};

void acl_init(struct acl *acl);
void acl_deinit(struct acl *acl);
int acl_copy(const struct acl *acl, struct acl *copy);

int acl_set(struct acl *acl, uint16_t domid, bool allow);
int acl_merge(struct acl *acl, const struct acl *added); /* on failure it is half merged */

struct acl_error {
	unsigned int line;
	const char *why;
};

/* Adds the rules.  On failure the acl is half changed.  -EINVAL: *error says where and why. */
int acl_parse(struct acl *acl, const char *text, size_t length, struct acl_error *error);
/* Returns the length of *text, which the caller frees.  -ENOMEM */
ssize_t acl_format(const struct acl *acl, char **text);

/* The rule with this name, or number; NULL: none. */
const struct acl_rule *acl_rule_of(const struct acl *acl, const char *name);
const struct acl_rule *acl_rule_for(const struct acl *acl, uint16_t domid);
bool acl_names(const struct acl *acl); /* Is there a rule by name? */
/* Does it depend on names, or on which domains there are? */
bool acl_follows_names(const struct acl *acl);
/* May `domid` send, given these names? */
bool acl_allows(const struct acl *acl, uint16_t domid, const struct hv_name *names, size_t count);

#endif
