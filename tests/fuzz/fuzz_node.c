/* SPDX-License-Identifier: MIT */
/* A node of the store: exactly what we would have written ourselves, or nothing. */
#include "outbound.c"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char value[SIVC_NODE_MAX] = "", again[SIVC_NODE_MAX];
	uint32_t ref;
	uint64_t nonce;

	memcpy(value, data, size < sizeof(value) - 1 ? size : sizeof(value) - 1);
	if (node_parse(value, &ref, &nonce) == 0) {
		snprintf(again, sizeof(again), SIVC_NODE_FORMAT, ref, nonce);
		if (strcmp(again, value) != 0)
			__builtin_trap();
	}
	return 0;
}
