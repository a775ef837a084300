/* SPDX-License-Identifier: MIT */
/*
 * acl.h: the rules of an access control table: their grammar and what they mean.
 *
 *	text    = { line "\n" }
 *	line    = [ ( "allow" | "deny" ) WHO ] [ "#" comment ]
 *	WHO     = domain id | name | "*"
 *
 * Rules are a set, at most one for each WHO; `*` is for everybody without a rule, and is `deny`
 * unless it is said otherwise.  Where several rules mean one domain (its number, its names), it is
 * refused if one of them refuses it.  Knows nothing of rings, pages or files.
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
	uint32_t written; /* acl.c: the order in which rules came */
};

struct acl {
	bool everybody;         /* allow * */
	bool says_all;          /* `*` was written: `everybody` counts in acl_merge */
	struct acl_rule *rules; /* in order, one for each WHO */
	size_t count;
	size_t capacity;
};

void acl_init(struct acl *acl);
void acl_deinit(struct acl *acl);
int acl_copy(const struct acl *acl, struct acl *copy);

int acl_set(struct acl *acl, uint16_t domid, bool allow);
int acl_merge(struct acl *acl, const struct acl *added); /* on failure it is half merged */

/* What was wrong with a text, for the log. */
struct acl_error {
	unsigned int line;
	const char *why;
};

/*
 * Adds the rules of the text.  On failure the acl is half changed: parse into a copy.
 * -EINVAL: *error says where and why.  -ENOMEM
 */
int acl_parse(struct acl *acl, const char *text, size_t length, struct acl_error *error);
/* *text is for the caller to free(); returns its length or -ENOMEM. */
ssize_t acl_format(const struct acl *acl, char **text);

bool acl_has_name(const struct acl *acl, const char *name);
bool acl_names(const struct acl *acl); /* Does a rule of it have a name? */
/* Does what it says depend on names, or on which domains there are? */
bool acl_follows_names(const struct acl *acl);
/* May `domid` send, given who has which name? */
bool acl_allows(const struct acl *acl, uint16_t domid, const struct hv_name *names, size_t count);

#endif
