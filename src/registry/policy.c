/* SPDX-License-Identifier: MIT */
#include "policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS     " \t\r\n"
#define EVERYBODY  "*"
#define RULE_WORDS 4 /* show NAME to NAME */

static bool who_valid(const char *who)
{
	return strcmp(who, EVERYBODY) == 0 || hv_name_valid(who);
}

static int add_rule(struct policy *policy, const char *name, const char *viewer)
{
	struct policy_rule *rules =
		reallocarray(policy->rules, policy->count + 1, sizeof(*policy->rules));

	if (!rules)
		return -ENOMEM;
	policy->rules = rules;
	strcpy(rules[policy->count].name, name); /* who_valid: they fit */
	strcpy(rules[policy->count].viewer, viewer);
	policy->count++;
	return 0;
}

static int parse_line(struct policy *policy, char *line, const char **why)
{
	char *words[RULE_WORDS + 1]; /* one more, to see that there is one too many */
	char *word, *rest;
	size_t n = 0;

	line[strcspn(line, "#")] = '\0';
	for (word = strtok_r(line, BLANKS, &rest); word && n <= RULE_WORDS;
		word = strtok_r(NULL, BLANKS, &rest))
		words[n++] = word;
	if (n == 0)
		return 0;
	if (n != RULE_WORDS || strcmp(words[0], "show") != 0 || strcmp(words[2], "to") != 0) {
		*why = "a rule is `show NAME to NAME`";
		return -EINVAL;
	}
	if (!who_valid(words[1]) || !who_valid(words[3])) {
		*why = "neither a name nor *: a name is 1 to 63 of A-Z a-z 0-9 . _ -, not digits "
		       "alone, without . or - at its beginning";
		return -EINVAL;
	}
	return add_rule(policy, words[1], words[3]);
}

int policy_parse(FILE *file, struct policy_error *error, struct policy *policy)
{
	struct policy new = {0};
	const char *why = NULL;
	unsigned int number;
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	int r = 0;

	for (number = 1; r == 0; number++) {
		errno = 0;
		n = getline(&line, &size, file);
		if (n < 0) {
			r = feof(file) ? 0 : -errno;
			break;
		}
		if (strlen(line) == (size_t)n) {
			r = parse_line(&new, line, &why);
		} else {
			why = "a NUL byte is in it";
			r = -EINVAL;
		}
		if (r == -EINVAL)
			*error = (struct policy_error){.line = number, .why = why};
	}
	free(line);
	if (r < 0)
		policy_deinit(&new);
	else
		*policy = new;
	return r;
}

void policy_deinit(struct policy *policy)
{
	free(policy->rules);
	*policy = (struct policy){0};
}

static bool has_name(const struct policy_domain *domain)
{
	return domain->name[0] != '\0' && !domain->ambiguous;
}

void policy_compare(struct policy_domain *domains, size_t count)
{
	for (size_t i = 0; i < count; i++)
		domains[i].ambiguous = false;
	for (size_t i = 0; i < count; i++)
		for (size_t k = i + 1; k < count; k++)
			if (domains[i].name[0] != '\0' &&
				strcmp(domains[i].name, domains[k].name) == 0)
				domains[i].ambiguous = domains[k].ambiguous = true;
}

static bool means(const char *who, const struct policy_domain *domain)
{
	return strcmp(who, EVERYBODY) == 0 || (has_name(domain) && strcmp(who, domain->name) == 0);
}

static bool sees(const struct policy *policy, const struct policy_domain *viewer,
	const struct policy_domain *domain)
{
	if (!has_name(domain))
		return false;
	if (domain->domid == viewer->domid)
		return true;
	for (size_t i = 0; i < policy->count; i++)
		if (means(policy->rules[i].name, domain) && means(policy->rules[i].viewer, viewer))
			return true;
	return false;
}

int policy_view(const struct policy *policy, const struct policy_domain *domains, size_t count,
	size_t viewer, struct hv_name **view)
{
	struct hv_name *names = calloc(count, sizeof(*names));
	int n = 0;

	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (!sees(policy, &domains[viewer], &domains[i]))
			continue;
		names[n].domid = domains[i].domid;
		strcpy(names[n].name, domains[i].name);
		n++;
	}
	if (n == 0) {
		free(names);
		names = NULL;
	}
	*view = names;
	return n;
}
