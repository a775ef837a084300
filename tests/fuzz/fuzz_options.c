/* SPDX-License-Identifier: MIT */
/* The command line: arguments are the input's lines. */
#include "options.c"

#include "fuzz.h"

#define ARGUMENTS_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct log log = {.stderr_priority = -1};
	char *text = malloc(size + 1), *next = text;
	char *argv[ARGUMENTS_MAX + 1] = {(char[]){"sivcfs"}};
	struct options options;
	int argc = 1;

	memcpy(text, data, size);
	text[size] = '\0';
	while (next && argc < ARGUMENTS_MAX)
		argv[argc++] = strsep(&next, "\n");
	if (options_init(&options, &log, argc, argv) == 0 && !options.help && !options.version)
		if (!options.mountpoint || options.mountpoint[0] != '/' ||
			options.max_msg > SIVC_MAX_MSG_MAX || options.ring > SIVC_RING_MAX ||
			options.domid > (int)SIVC_DOMID_MAX || options.mode > 0777 ||
			options.acl_mode > 0777 || options.umask > 0777)
			__builtin_trap();
	options_deinit(&options);
	free(text);
	return 0;
}
