/*
 * wire_fuzz.c - frames from another agent.
 *
 * The first byte is the frame's type, the rest its payload.  What is taken
 * must have been written by an encoder: encoded again it is the same bytes.
 */
#include "../fixtures/table.h"

#include "fuzz.h"

static uint8_t memory[FRAME_MAX];

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader reader;
	struct buf buf;
	size_t i;

	if (size == 0 || size - 1 > FRAME_MAX)
		return -1;
	for (i = 0; i < GOLDEN_COUNT; i++)
		if (goldens[i].frame != 0 && goldens[i].frame == data[0])
			break;
	if (i == GOLDEN_COUNT)
		return -1;
	reader_init(&reader, data + 1, size - 1);
	buf_init(&buf, memory, sizeof(memory));
	if (goldens[i].again(&reader, &buf) != 0)
		return 0;
	assert(!buf.failed);
	assert(buf.len == size - 1);
	assert(memcmp(memory, data + 1, buf.len) == 0);
	return 0;
}
