/* SPDX-License-Identifier: MIT */
/* The text of an acl: what was read and is written again means the same. */
#include <stdlib.h>

#include "acl.h"
#include "fuzz.h"

static bool same(const struct acl *a, const struct acl *b)
{
	if (a->everybody != b->everybody || a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->rules[i].name, b->rules[i].name) != 0 ||
			a->rules[i].domid != b->rules[i].domid ||
			a->rules[i].allow != b->rules[i].allow)
			return false;
	return true;
}

static void check_again(const struct acl *acl)
{
	struct acl_error error;
	struct acl again;
	char *text;
	ssize_t length = acl_format(acl, &text);

	acl_init(&again);
	if (length < 0 || acl_parse(&again, text, (size_t)length, &error) < 0 || !same(acl, &again))
		abort();
	acl_deinit(&again);
	free(text);
}

static void check_meaning(const struct acl *acl)
{
	for (size_t i = 0; i < acl->count; i++) {
		const struct acl_rule *rule = &acl->rules[i];
		struct hv_name name = {.domid = 7};

		if (rule->name[0] == '\0') {
			if (acl_allows(acl, rule->domid, NULL, 0) != rule->allow)
				abort();
			continue;
		}
		memcpy(name.name, rule->name, sizeof(name.name));
		if (!acl_rule_of(acl, rule->name))
			abort();
		/* A refusal by a name wins; a permission needs no other rule against it. */
		if (!rule->allow && acl_allows(acl, 7, &name, 1))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct acl_error error;
	struct acl acl;

	acl_init(&acl);
	if (acl_parse(&acl, (const char *)data, size, &error) == 0) {
		check_again(&acl);
		check_meaning(&acl);
	}
	acl_deinit(&acl);
	return 0;
}
