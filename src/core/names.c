/* SPDX-License-Identifier: MIT */
/*
 * names.c: who has which name, for the users of this domain.
 *
 * Whoever may look into a mount can ask, as often as they like, and on Xen each time that the names
 * are read takes a request to xenstored for each of them: in dom0, and in everybody's way.  So
 * after READS in a row they are read once in READ_PAUSE_MS; who asks meanwhile gets what was read
 * last, at most READ_PAUSE_MS ago, or the error that it was.
 *
 * That is for showing, for sending and for who asks whether a domain is permitted.  Whom a rule
 * permits is read by table.c, which trusts no copy.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "number.h"

#define READS         16
#define READ_PAUSE_MS 25

/* Time that was not used for reading is kept, for READS of them. */
static bool may_read(struct sivc *sivc)
{
	const uint64_t pause = READ_PAUSE_MS * NSEC_PER_MSEC;
	uint64_t now = loop_now();

	if (sivc->names_due + READS * pause < now)
		sivc->names_due = now - READS * pause;
	if (sivc->names_due > now)
		return false;
	sivc->names_due += pause;
	return true;
}

void names_forget(struct sivc *sivc)
{
	free(sivc->names);
	sivc->names = NULL;
	sivc->name_count = 0;
	sivc->names_due = 0;
}

int names_read(struct sivc *sivc)
{
	struct hv_name *names = NULL;
	int n;

	if (!may_read(sivc))
		return sivc->name_count;
	n = hv_names(sivc->hv, &names);
	free(sivc->names);
	sivc->names = n > 0 ? names : NULL;
	sivc->name_count = n;
	return n;
}

int sivc_names(
	struct sivc *sivc, void (*fn)(void *data, const char *name, uint16_t domid), void *data)
{
	int n = names_read(sivc);
	struct hv_name *names;

	if (n <= 0)
		return n;
	names = calloc((size_t)n, sizeof(*names)); /* fn may ask for names, too */
	if (!names)
		return -ENOMEM;
	memcpy(names, sivc->names, (size_t)n * sizeof(*names));
	for (int i = 0; i < n; i++)
		fn(data, names[i].name, names[i].domid);
	free(names);
	return 0;
}

int sivc_resolve(struct sivc *sivc, const char *text, uint16_t *domid)
{
	int n, r = domid_parse(text, domid);

	if (r == 0)
		return 0;
	if (r == -ERANGE || !hv_name_valid(text))
		return -ENOENT;
	n = names_read(sivc);
	if (n < 0)
		return n;
	while (n-- > 0) {
		if (strcmp(sivc->names[n].name, text) == 0) {
			*domid = sivc->names[n].domid;
			return 0;
		}
	}
	return -ENOENT;
}
