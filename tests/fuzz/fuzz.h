/* SPDX-License-Identifier: MIT */
/*
 * fuzz.h: the input of a fuzzing target, taken apart, and memory that changes between two reads.
 *
 * The targets fuzz_sender and fuzz_receiver link the real core with tests/lib/shared_hook.h in
 * the place of shared.h.  The first half of an input is what the two domains do, one after the
 * other; the second half decides what each load of shared memory returns: what is there, or
 * something else that the adversary has put there at that moment.
 */
#ifndef SIVC_FUZZ_H
#define SIVC_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t size;
};

static inline uint8_t take_byte(struct input *input)
{
	if (input->size == 0)
		return 0;
	input->size--;
	return *input->data++;
}

static inline uint32_t take_word(struct input *input)
{
	uint32_t value = 0;

	for (int i = 0; i < 4; i++)
		value = value << 8 | take_byte(input);
	return value;
}

/* Values near `value`, near the limits, or any. */
static inline uint32_t take_near(struct input *input, uint32_t value)
{
	uint8_t kind = take_byte(input);

	if (kind < 0x40)
		return value + (uint32_t)kind * 8;
	if (kind < 0x80)
		return value - (uint32_t)(kind - 0x40) * 8;
	if (kind < 0xC0)
		return value + kind - 0xA0;
	if (kind < 0xE0)
		return (uint32_t)kind - 0xC0;
	if (kind < 0xF0)
		return 1u << (2 * (kind - 0xE0));
	if (kind < 0xF8)
		return 0u - (kind - 0xF0);
	return take_word(input);
}

/* The memory: changes[] is taken for loads; nothing left means that it rests. */
static struct input changes;

uint64_t hook_load(const void *p, size_t size);
void hook_store(void *p, size_t size, uint64_t value);
void hook_copy(void *to, const void *from, size_t size);
void hook_barrier(const char *name);

uint64_t hook_load(const void *p, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, p, size);
	if (changes.size == 0 || take_byte(&changes) < 0xC0)
		return value;
	value = take_near(&changes, (uint32_t)value);
	return size == 1 ? value & 0xFF : value;
}

void hook_store(void *p, size_t size, uint64_t value)
{
	memcpy(p, &value, size);
}

void hook_copy(void *to, const void *from, size_t size)
{
	memcpy(to, from, size);
}

void hook_barrier(const char *name)
{
	(void)name;
}

#endif
