/* SPDX-License-Identifier: MIT */
/*
 * The policy of the registry is no part of libsivc, so it is built into this test.
 */
#include "../../src/registry/policy.c"

#include "tap.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define NAME_63 "abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz.123456789"

/* 1 and 2 are ordinary; 3 has no name that can be used; 4 and 5 have the same one. */
static const struct policy_domain running[] = {
	{.domid = 0, .name = "Domain-0"},
	{.domid = 1, .name = "web"},
	{.domid = 2, .name = "db"},
	{.domid = 3, .name = ""},
	{.domid = 4, .name = "twin"},
	{.domid = 5, .name = "twin"},
	{.domid = 6, .name = ""},
};

static int parse(const char *text, size_t length, struct policy_error *error, struct policy *policy)
{
	char empty[1] = "\n"; /* fmemopen knows no file of 0 bytes */
	FILE *file = fmemopen(length ? (void *)(uintptr_t)text : empty, length ? length : 1, "r");
	int r = policy_parse(file, error, policy);

	fclose(file);
	return r;
}

static bool fails_at(const char *text, size_t length, unsigned int line)
{
	struct policy_error error = {0};
	struct policy policy = {.count = 99};

	return parse(text, length, &error, &policy) == -EINVAL && error.line == line && error.why &&
	       policy.count == 99;
}

static bool fails(const char *text, unsigned int line)
{
	return fails_at(text, strlen(text), line);
}

static bool has_rules(const char *text, size_t count)
{
	struct policy_error error;
	struct policy policy;
	bool good;

	if (parse(text, strlen(text), &error, &policy) < 0)
		return false;
	good = policy.count == count;
	policy_deinit(&policy);
	return good;
}

/* What `viewer` sees under the policy, as "domid:name " a name; compares. */
static bool view_is(const char *text, uint16_t viewer, const char *expected)
{
	struct policy_domain domains[COUNT(running)];
	struct policy_error error;
	struct policy policy;
	struct hv_name *view = NULL;
	char seen[256] = "";
	size_t at = 0;
	int n;

	memcpy(domains, running, sizeof(running));
	policy_compare(domains, COUNT(domains));
	if (parse(text, strlen(text), &error, &policy) < 0)
		return false;
	n = policy_view(&policy, domains, COUNT(domains), viewer, &view);
	for (int i = 0; i < n; i++)
		at += (size_t)snprintf(
			seen + at, sizeof(seen) - at, "%u:%s ", view[i].domid, view[i].name);
	if (strcmp(seen, expected) != 0)
		printf("# domain %u sees \"%s\"\n", viewer, seen);
	free(view);
	policy_deinit(&policy);
	return n >= 0 && (n == 0) == !view && strcmp(seen, expected) == 0;
}

static void test_grammar(void)
{
	ok(has_rules("", 0), "an empty file is a policy without rules");
	ok(has_rules("# nobody\n\n \t\r\n", 0), "comments and empty lines are no rules");
	ok(has_rules("show web to db", 1), "the last line needs no newline");
	ok(has_rules("  show\tweb   to db # why\r\nshow * to *\n", 2),
		"blanks, comments and CR are ignored");
	ok(has_rules("show " NAME_63 " to Domain-0\n", 1), "a name may have 63 characters");
	ok(has_rules("show show to to\n", 1), "show and to are names, too");

	ok(fails("show web\n", 1), "a rule without a viewer is an error");
	ok(fails("show web to\n", 1), "a missing viewer is an error");
	ok(fails("show web db\n", 1), "a missing `to` is an error");
	ok(fails("show web to db mail\n", 1), "a word too many is an error");
	ok(fails("show web to db a b c d e f\n", 1), "and so are many");
	ok(fails("hide web to db\n", 1), "an unknown verb is an error");
	ok(fails("shows web to db\n", 1), "a verb that only begins well is an error");
	ok(fails("show web to db\n\n# x\nshow 7 to db\n", 4),
		"a number is no name; its line is said");
	ok(fails("show web to .db\n", 1), "a viewer is checked as a name is");
	ok(fails("show a/b to *\n", 1), "a name with a slash is an error");
	ok(fails("show w* to db\n", 1), "a pattern is an error: * stands alone");
	ok(fails("show " NAME_63 "0 to *\n", 1), "a name of 64 characters is an error");
	ok(fails_at("show * to *\n\0\n", 14, 2), "a NUL is an error of its line");
	ok(fails_at("show web\0 to db\n", 16, 1), "also within a rule");
}

static void test_unreadable(void)
{
	FILE *file = fopen("/", "r");
	struct policy policy = {.count = 99};
	struct policy_error error;

	is(policy_parse(file, &error, &policy), -EISDIR,
		"what cannot be read is not an empty policy");
	is(policy.count, 99, "and leaves the old policy alone");
	fclose(file);
}

static void test_names(void)
{
	struct policy_domain domains[COUNT(running)];

	memcpy(domains, running, sizeof(running));
	domains[1].ambiguous = true;
	policy_compare(domains, COUNT(domains));
	ok(domains[4].ambiguous && domains[5].ambiguous,
		"a name that two domains have is neither's");
	ok(!domains[1].ambiguous && !domains[2].ambiguous, "other names are their domains'");
	ok(!domains[3].ambiguous && !domains[6].ambiguous,
		"domains without a name are not compared");
}

static void test_views(void)
{
	ok(view_is("", 1, "1:web "), "a domain sees its own name without a rule");
	ok(view_is("", 3, ""), "a domain without a name sees nothing without a rule");
	ok(view_is("show web to db\n", 2, "1:web 2:db "), "show NAME to VIEWER shows it");
	ok(view_is("show web to db\n", 1, "1:web "), "but not the other way round");
	ok(view_is("show web to db\n", 0, "0:Domain-0 "), "and not to others, dom0 included");
	ok(view_is("show web to Domain-0\n", 0, "0:Domain-0 1:web "),
		"dom0 is a viewer by its name");
	ok(view_is("show Domain-0 to *\n", 2, "0:Domain-0 2:db "), "and a name to see");
	ok(view_is("show * to db\n", 2, "0:Domain-0 1:web 2:db "), "show * shows all names");
	ok(view_is("show * to db\n", 1, "1:web "), "to whom it says");
	ok(view_is("show web to *\n", 3, "1:web "), "to * means domains without a name, too");
	ok(view_is("show * to *\n", 1, "0:Domain-0 1:web 2:db "), "show * to * shows all to all");
	ok(view_is("show mail to db\n", 2, "2:db "), "a name that nobody has shows nothing");

	ok(view_is("show twin to web\n", 1, "1:web "), "a name that two domains have is not shown");
	ok(view_is("", 4, ""), "not even to themselves");
	ok(view_is("show web to twin\n", 5, ""), "and no rule by that name means either of them");
	ok(view_is("show web to *\n", 5, "1:web "), "but * does");
}

int main(void)
{
	test_grammar();
	test_unreadable();
	test_names();
	test_views();
	return done_testing();
}
