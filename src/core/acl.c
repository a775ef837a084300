/* SPDX-License-Identifier: MIT */
#include "acl.h"

#include <errno.h>
#include <sivc/ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "number.h"

#define BLANKS  " \t\r"
#define WHO_MAX (HV_NAME_MAX + 1)

#define RULES_MIN 16 /* room for so many at first */

void acl_init(struct acl *acl)
{
	*acl = (struct acl){0};
}

void acl_deinit(struct acl *acl)
{
	free(acl->rules);
	acl_init(acl);
}

int acl_copy(const struct acl *acl, struct acl *copy)
{
	struct acl_rule *rules = NULL;

	if (acl->count > 0) {
		rules = calloc(acl->count, sizeof(*rules));
		if (!rules)
			return -ENOMEM;
		memcpy(rules, acl->rules, acl->count * sizeof(*rules));
	}
	*copy = *acl;
	copy->rules = rules;
	copy->capacity = copy->count;
	return 0;
}

/* Numbers by value, then names by alphabet. */
static int rule_compare(const struct acl_rule *a, const struct acl_rule *b)
{
	int r = strcmp(a->name, b->name);

	return r != 0 ? r : (int)a->domid - (int)b->domid;
}

static size_t rule_place(const struct acl *acl, const struct acl_rule *rule)
{
	size_t low = 0, high = acl->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (rule_compare(&acl->rules[middle], rule) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static const struct acl_rule *rule_find(const struct acl *acl, const struct acl_rule *rule)
{
	size_t at = rule_place(acl, rule);

	return at < acl->count && rule_compare(&acl->rules[at], rule) == 0 ? &acl->rules[at] : NULL;
}

static int rule_append(struct acl *acl, const struct acl_rule *rule)
{
	struct acl_rule *rules;

	if (acl->count == acl->capacity) {
		size_t capacity = acl->capacity ? 2 * acl->capacity : RULES_MIN;

		rules = reallocarray(acl->rules, capacity, sizeof(*rules));
		if (!rules)
			return -ENOMEM;
		acl->rules = rules;
		acl->capacity = capacity;
	}
	acl->rules[acl->count] = *rule;
	acl->count++;
	acl->rules[acl->count - 1].written = (uint32_t)acl->count;
	return 0;
}

/* By WHO, then by when it was written. */
static int written_compare(const void *a, const void *b)
{
	const struct acl_rule *first = a, *second = b;
	int r = rule_compare(first, second);

	return r != 0 ? r : (first->written > second->written) - (first->written < second->written);
}

/* Of several rules for one WHO, the last one counts. */
static void rules_settle(struct acl *acl)
{
	size_t kept = 0;

	if (acl->count == 0)
		return;
	qsort(acl->rules, acl->count, sizeof(*acl->rules), written_compare);
	for (size_t i = 1; i < acl->count; i++) {
		if (rule_compare(&acl->rules[kept], &acl->rules[i]) != 0)
			kept++;
		acl->rules[kept] = acl->rules[i];
	}
	acl->count = kept + 1;
	for (size_t i = 0; i < acl->count; i++)
		acl->rules[i].written = 0; /* before all that follow */
}

int acl_set(struct acl *acl, uint16_t domid, bool allow)
{
	int r = rule_append(acl, &(struct acl_rule){.domid = domid, .allow = allow});

	rules_settle(acl);
	return r;
}

int acl_merge(struct acl *acl, const struct acl *added)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < added->count; i++)
		r = rule_append(acl, &added->rules[i]);
	rules_settle(acl);
	if (added->says_all)
		acl->everybody = added->everybody;
	return r;
}

static int parse_who(struct acl *acl, const char *who, bool allow, const char **why)
{
	struct acl_rule rule = {.allow = allow};
	int r;

	if (strcmp(who, "*") == 0) {
		acl->everybody = allow;
		acl->says_all = true;
		return 0;
	}
	r = domid_parse(who, &rule.domid);
	if (r == -ERANGE) {
		*why = "no domain has an id that large (the largest is 32751)";
		return -EINVAL;
	}
	if (r < 0) {
		if (!hv_name_valid(who)) {
			*why = "neither a domain id, nor a name, nor *";
			return -EINVAL;
		}
		strcpy(rule.name, who); /* hv_name_valid: it fits */
	}
	return rule_append(acl, &rule);
}

/* The next word of *p; NULL: none.  One that is longer than any of ours is cut. */
static const char *word(const char **p, const char *end, char *buffer, size_t size)
{
	size_t n = 0;

	while (*p < end && strchr(BLANKS, **p) && **p != '\0')
		(*p)++;
	while (*p < end && (**p == '\0' || !strchr(BLANKS, **p))) {
		if (n < size - 1)
			buffer[n++] = (char)(**p ? **p : '?'); /* a NUL is in no word of ours */
		(*p)++;
	}
	buffer[n] = '\0';
	return n > 0 ? buffer : NULL;
}

static int parse_line(struct acl *acl, const char *p, const char *end, const char **why)
{
	const char *comment = memchr(p, '#', (size_t)(end - p));
	char verb[sizeof("allow") + 1], who[WHO_MAX + 1], rest[2];
	bool allow;

	if (comment)
		end = comment;
	if (!word(&p, end, verb, sizeof(verb)))
		return 0;
	allow = strcmp(verb, "allow") == 0;
	if (!allow && strcmp(verb, "deny") != 0) {
		*why = "a rule is `allow WHO` or `deny WHO`";
		return -EINVAL;
	}
	if (!word(&p, end, who, sizeof(who))) {
		*why = "whom? A domain id, a name or * is missing";
		return -EINVAL;
	}
	if (word(&p, end, rest, sizeof(rest))) {
		*why = "more than one WHO in a line";
		return -EINVAL;
	}
	return parse_who(acl, who, allow, why);
}

static int parse_lines(struct acl *acl, const char *text, size_t length, struct acl_error *error)
{
	const char *p = text, *stop = text + length;
	unsigned int line;

	for (line = 1; p < stop; line++) {
		const char *newline = memchr(p, '\n', (size_t)(stop - p));
		const char *end = newline ? newline : stop;
		const char *why = "out of memory";
		int r = parse_line(acl, p, end, &why);

		if (r < 0) {
			*error = (struct acl_error){.line = line, .why = why};
			return r;
		}
		p = newline ? newline + 1 : stop;
	}
	return 0;
}

int acl_parse(struct acl *acl, const char *text, size_t length, struct acl_error *error)
{
	int r = parse_lines(acl, text, length, error);

	rules_settle(acl);
	return r;
}

ssize_t acl_format(const struct acl *acl, char **text)
{
	size_t length;
	FILE *f = open_memstream(text, &length);
	bool failed;

	if (!f)
		return -ENOMEM;
	if (acl->everybody)
		fputs("allow *\n", f);
	for (size_t i = 0; i < acl->count; i++) {
		const struct acl_rule *rule = &acl->rules[i];

		fputs(rule->allow ? "allow " : "deny ", f);
		if (rule->name[0] != '\0')
			fprintf(f, "%s\n", rule->name);
		else
			fprintf(f, "%u\n", rule->domid);
	}
	failed = ferror(f) != 0;
	if (fclose(f) != 0 || failed) {
		free(*text);
		return -ENOMEM;
	}
	return (ssize_t)length;
}

const struct acl_rule *acl_rule_of(const struct acl *acl, const char *name)
{
	struct acl_rule rule = {0};

	if (!hv_name_valid(name))
		return NULL;
	strcpy(rule.name, name);
	return rule_find(acl, &rule);
}

const struct acl_rule *acl_rule_for(const struct acl *acl, uint16_t domid)
{
	return rule_find(acl, &(struct acl_rule){.domid = domid});
}

bool acl_names(const struct acl *acl)
{
	/* Names sort last. */
	return acl->count > 0 && acl->rules[acl->count - 1].name[0] != '\0';
}

bool acl_follows_names(const struct acl *acl)
{
	return acl->everybody || acl_names(acl);
}

bool acl_allows(const struct acl *acl, uint16_t domid, const struct hv_name *names, size_t count)
{
	const struct acl_rule *rule = acl_rule_for(acl, domid);
	bool found = rule != NULL;

	if (rule && !rule->allow)
		return false;
	for (size_t i = 0; i < count; i++) {
		rule = names[i].domid == domid ? acl_rule_of(acl, names[i].name) : NULL;
		if (rule && !rule->allow)
			return false;
		found = found || rule;
	}
	return found || acl->everybody;
}
