/* SPDX-License-Identifier: MIT */
#include "name_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "number.h"
#include "tuning.h"

void name_cache_forget(struct sivc *sivc)
{
	free(sivc->names.names);
	sivc->names = (struct name_cache){0};
}

int name_cache_read(struct sivc *sivc)
{
	struct name_cache *cache = &sivc->names;
	struct hv_name *names = NULL;

	if (limit_take(&cache->limit, NAME_READS, NAMES_PAUSE_MS * NSEC_PER_MSEC, loop_now()) > 0)
		return cache->count;
	cache->count = hv_names(sivc->hv, &names);
	free(cache->names);
	cache->names = cache->count > 0 ? names : NULL;
	return cache->count;
}

int sivc_names(
	struct sivc *sivc, void (*fn)(void *data, const char *name, uint16_t domid), void *data)
{
	int n = name_cache_read(sivc);
	struct hv_name *names;

	if (n <= 0)
		return n;
	names = calloc((size_t)n, sizeof(*names)); /* fn may ask for names, too */
	if (!names)
		return -ENOMEM;
	memcpy(names, sivc->names.names, (size_t)n * sizeof(*names));
	for (int i = 0; i < n; i++)
		fn(data, names[i].name, names[i].domid);
	free(names);
	return 0;
}

_Static_assert(SIVC_NAME_MAX == HV_NAME_MAX, "sivc.h says how long a name is");

int sivc_name_of(struct sivc *sivc, uint16_t domid, char name[SIVC_NAME_MAX + 1])
{
	int n = name_cache_read(sivc);

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		if (sivc->names.names[i].domid == domid) {
			strcpy(name, sivc->names.names[i].name); /* as long as that, at most */
			return 0;
		}
	}
	return -ENOENT;
}

int sivc_resolve(struct sivc *sivc, const char *text, uint16_t *domid)
{
	int n, r = domid_parse(text, domid);

	if (r == 0)
		return 0;
	if (r == -ERANGE || !hv_name_valid(text))
		return -ENOENT;
	n = name_cache_read(sivc);
	if (n < 0)
		return n;
	while (n-- > 0) {
		if (strcmp(sivc->names.names[n].name, text) == 0) {
			*domid = sivc->names.names[n].domid;
			return 0;
		}
	}
	return -ENOENT;
}
