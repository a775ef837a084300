/* SPDX-License-Identifier: MIT */
/*
 * policy.h: which domain may see which names: the policy's grammar, and what it means.
 *
 *	text    = { line "\n" }
 *	line    = [ "show" WHO "to" WHO ] [ "#" comment ]
 *	WHO     = name | "*"
 *
 * Rules only add: what no rule shows is not seen, and an empty policy shows everybody its own name
 * and nothing else.  A domain without a name, or with a name that another domain has as well, is
 * meant by no rule about names, only by `*`: so a second domain that calls itself as the first does
 * gets to see nothing of what the first one sees.  Knows nothing of xenstore.
 */
#ifndef SIVC_POLICY_H
#define SIVC_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "hv.h"

struct policy_rule {
	char name[HV_NAME_MAX + 1]; /* or "*" */
	char viewer[HV_NAME_MAX + 1];
};

struct policy {
	struct policy_rule *rules;
	size_t count;
};

/* What was wrong with a text, for the log. */
struct policy_error {
	unsigned int line;
	const char *why;
};

/*
 * Reads a policy from `file` to its end.
 * -EINVAL: *error says where and why.  -ENOMEM, and what reading fails with.
 */
int policy_parse(FILE *file, struct policy_error *error, struct policy *policy);
void policy_deinit(struct policy *policy);

/* A domain that runs. */
struct policy_domain {
	uint16_t domid;
	char name[HV_NAME_MAX + 1]; /* "": it has none that others could use */
	bool ambiguous;             /* another one has the same name; policy_compare() says so */
};

/* Finds the names that several domains have. */
void policy_compare(struct policy_domain *domains, size_t count);

/*
 * The names that domains[viewer] is to see, in the order of `domains`: an array for the caller to
 * free(), of the number returned; NULL if that is 0.
 */
int policy_view(const struct policy *policy, const struct policy_domain *domains, size_t count,
	size_t viewer, struct hv_name **view);

#endif
