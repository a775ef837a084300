/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "acl.h"
#include "tap.h"

static int parse(struct acl *acl, const char *text, struct acl_error *error)
{
	return acl_parse(acl, text, strlen(text), error);
}

/* Parses and formats; compares. */
static bool becomes(const char *text, const char *expected)
{
	struct acl acl;
	struct acl_error error;
	char *out = NULL;
	bool same;

	acl_init(&acl);
	same = parse(&acl, text, &error) == 0 && acl_format(&acl, &out) >= 0 &&
	       strcmp(out, expected) == 0;
	free(out);
	acl_deinit(&acl);
	return same;
}

static bool fails(const char *text, unsigned int line)
{
	struct acl acl;
	struct acl_error error = {0};
	bool failed;

	acl_init(&acl);
	failed = parse(&acl, text, &error) == -EINVAL && error.line == line && error.why;
	acl_deinit(&acl);
	return failed;
}

static bool allowed(const char *text, uint16_t domid)
{
	static const struct hv_name names[] = {{"web", 7}, {"mail", 8}, {"www", 7}};
	struct acl acl;
	struct acl_error error;
	bool yes;

	acl_init(&acl);
	yes = parse(&acl, text, &error) == 0 && acl_allows(&acl, domid, names, 3);
	acl_deinit(&acl);
	return yes;
}

static void test_grammar(void)
{
	ok(becomes("", ""), "an empty text is an empty table");
	ok(becomes("allow 7", "allow 7\n"), "the last line needs no newline");
	ok(becomes("# who\n\n  allow\t7 # web\r\n", "allow 7\n"),
		"blanks, comments and CR are ignored");
	ok(becomes("allow 8\nallow 7\nallow web\nallow *\n",
		   "allow *\nallow 7\nallow 8\nallow web\n"),
		"rules are listed in one order: everybody, numbers, names");
	ok(becomes("allow 7\ndeny 7\n", "deny 7\n"),
		"a later rule for the same domain replaces it");
	ok(becomes("allow *\ndeny *\n", ""), "`deny *` is what there is without rules");
	ok(becomes("allow 0\nallow 32751\n", "allow 0\nallow 32751\n"), "ids go from 0 to 32751");
	ok(becomes("allow 7up\nallow a.b-c_d\n", "allow 7up\nallow a.b-c_d\n"),
		"a name may begin with a digit");

	ok(fails("allow 7\nallow 32752\n", 2),
		"an id that no domain can have is an error of its line");
	ok(fails("allow 99999999999999999999\n", 1), "a number that does not fit is an error");
	ok(fails("allow 07\n", 1), "a number is written in one way");
	ok(fails("allow -1\n", 1), "a negative number is an error");
	ok(fails("permit 7\n", 1), "an unknown verb is an error");
	ok(fails("allowed 7\n", 1), "a verb that only begins well is an error");
	ok(fails("\n\nallow\n", 3), "a missing WHO is an error");
	ok(fails("allow 7 8\n", 1), "two WHOs in a line are an error");
	ok(fails("allow a/b\n", 1), "a name with a slash is an error");
	ok(fails("allow "
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
		   1),
		"a name of more than 63 characters is an error");
}

static void test_meaning(void)
{
	ok(!allowed("", 7), "nobody is allowed at first");
	ok(allowed("allow 7", 7), "allow N allows N");
	ok(!allowed("allow 7", 8), "and nobody else");
	ok(allowed("allow *", 8), "allow * allows everybody");
	ok(!allowed("deny 8\nallow *", 8), "but not one that has a rule of its own");
	ok(allowed("allow web", 7), "allow NAME allows who has the name");
	ok(!allowed("allow web", 8), "and nobody else by name");
	ok(!allowed("allow web\ndeny 7", 7), "a deny by number wins over an allow by name");
	ok(!allowed("allow 7\ndeny www", 7), "a deny by name wins over an allow by number");
	ok(!allowed("allow none", 7), "a name that nobody has allows nobody");
}

static void test_nul(void)
{
	struct acl acl;
	struct acl_error error;

	acl_init(&acl);
	ok(acl_parse(&acl, "allow 7\0\n", 9, &error) == -EINVAL, "a NUL in the text is an error");
	acl_deinit(&acl);
}

int main(void)
{
	test_grammar();
	test_meaning();
	test_nul();
	return done_testing();
}
