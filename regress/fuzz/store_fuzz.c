/*
 * store_fuzz.c - a file of the store.
 *
 * The first byte says what is put right first, or nothing would come past
 * it: 1 mark and checksum, 2 length and generation.  The rest is the file.
 * Also taken as the name of a file: only one that would be written counts.
 */
#include "../../src/agent/store.c"

#include "fuzz.h"

#include <stdlib.h>

#define GENERATION 7u

static uint8_t image[STORE_MAX], body[STORE_MAX];

static void
check_name(const uint8_t *data, size_t size)
{
	char name[FILE_NAME_MAX], written[FILE_NAME_MAX];
	uint64_t generation;

	if (size >= sizeof(name))
		return;
	memcpy(name, data, size);
	name[size] = '\0';
	generation = generation_of(name);
	assert(!is_leftover(name) || generation == 0);
	if (generation == 0)
		return;
	file_name(written, generation);
	assert(strcmp(name, written) == 0);
}

static void
put_right(uint8_t what, size_t len)
{
	struct buf buf;

	if ((what & 2) != 0) {
		buf_init(&buf, image + CRC_END + 4, 16);
		buf_put_u64(&buf, len);
		buf_put_u64(&buf, GENERATION);
	}
	if ((what & 1) != 0) {
		memcpy(image, STORE_MAGIC, MAGIC_LEN);
		set_crc(image, len, "", 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store_identity identity = { .member_id = 0 };
	char errmsg[ERRMSG_MAX] = "";
	uint8_t head[HEAD_MAX];
	size_t len, body_len = 0;
	struct buf buf;

	if (size == 0 || size - 1 > STORE_MAX)
		return -1;
	len = size - 1;
	check_name(data + 1, len);
	if (len < FIXED_LEN)
		return 0;
	memcpy(image, data + 1, len);
	put_right(data[0], len);
	memcpy(body, image, len);
	if (parse_file("state.7", GENERATION, body, len, &identity,
	    &body_len, errmsg) != 0) {
		assert(errmsg[0] != '\0');
		return 0;
	}
	assert(body_len < len);
	buf_init(&buf, head, sizeof(head));
	put_head(&buf, &identity, GENERATION, body_len);
	assert(!buf.failed && buf.len + body_len == len);
	set_crc(head, buf.len, body, body_len);
	assert(memcmp(head, image, buf.len) == 0);
	assert(memcmp(body, image + buf.len, body_len) == 0);
	return 0;
}
