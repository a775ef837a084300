/* SPDX-License-Identifier: MIT */
/* A framed write: each message that is sent lies in what was written, behind its header. */
#include "writing.c"

#include "fuzz.h"

uint32_t sivc_max_msg(const struct sivc *sivc)
{
	(void)sivc;
	return 100;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct messages messages = {.from = 7, .framed = true};
	struct branch branch = {0};
	struct fs fs = {0};
	struct batch batch;
	size_t at = 0;
	int r;

	branch.fs = &fs;
	messages.file.branch = &branch;
	r = batch_init(&batch, &messages, (const char *)data, size);
	for (size_t i = 0; r == 0 && i < batch.count; i++) {
		const struct iovec *message = &batch.messages[i];

		at += sizeof(struct sivc_frame_header);
		if (message->iov_base != data + at || message->iov_len == 0 ||
			message->iov_len > size - at)
			__builtin_trap();
		at += message->iov_len;
	}
	if (r == 0 && batch_bytes(&batch, batch.count) != at)
		__builtin_trap();
	batch_deinit(&batch);
	return 0;
}
