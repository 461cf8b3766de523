/*
 * buf_test.c - every length is checked, on both sides.
 */
#include "buf.h"

#include <stdlib.h>
#include <string.h>

#include "tap.h"

static void
test_numbers(void)
{
	static const uint8_t want[] = {
		0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07,
		0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0xff
	};
	uint8_t memory[sizeof(want)];
	struct reader reader;
	struct buf buf;

	buf_init(&buf, memory, sizeof(memory));
	buf_put_u8(&buf, 0x01);
	buf_put_u16(&buf, 0x0203);
	buf_put_u32(&buf, 0x04050607);
	buf_put_u64(&buf, 0x08090a0b0c0d0eff);
	ok(!buf.failed, "numbers that just fit are written");
	is_int(buf.len, sizeof(want), "with their own lengths");
	ok(memcmp(memory, want, sizeof(want)) == 0, "most significant first");

	reader_init(&reader, memory, buf.len);
	is_int(reader_get_u8(&reader), 0x01, "u8 comes back");
	is_int(reader_get_u16(&reader), 0x0203, "u16 comes back");
	ok(!reader_is_done(&reader), "not done with bytes left over");
	is_int(reader_get_u32(&reader), 0x04050607, "u32 comes back");
	ok(reader_get_u64(&reader) == 0x08090a0b0c0d0eff, "u64 comes back");
	ok(reader_is_done(&reader), "done at the very end");
	is_int(reader_get_u8(&reader), 0, "behind the end a number is 0");
	ok(reader.failed && !reader_is_done(&reader), "and it has failed");
}

static void
test_writer_full(void)
{
	uint8_t memory[8] = "abcdefg";
	struct buf buf;

	buf_init(&buf, memory, 3);
	buf_put_u16(&buf, 1);
	buf_put_u16(&buf, 2);
	ok(buf.failed, "a number that does not fit fails the writer");
	is_int(buf.len, 2, "without a part of it");
	buf_put_u8(&buf, 3);
	is_int(buf.len, 2, "nothing is written after a failure");
	ok(memory[3] == 'd', "nothing is written behind the end");

	buf_init(&buf, memory, 5);
	buf_put_string(&buf, "four");
	ok(buf.failed && buf.len == 0, "a string fits whole or not at all");
	buf_init(&buf, memory, 5);
	buf_put_blob(&buf, "xx", 2);
	ok(buf.failed && buf.len == 0, "a blob fits whole or not at all");
	buf_init(&buf, memory, 6);
	buf_put_blob(&buf, "xx", 2);
	ok(!buf.failed && buf.len == 6, "a blob that just fits is written");
	buf_init(&buf, NULL, 0);
	buf_put_bytes(&buf, NULL, 0);
	ok(!buf.failed, "nothing fits into nothing");
	buf_put_bytes(&buf, "x", SIZE_MAX);
	ok(buf.failed, "a length that would overflow fails");
}

static void
test_long_string(void)
{
	static char text[70000];
	static uint8_t memory[80000];
	struct buf buf;

	memset(text, 'x', 65536);
	buf_init(&buf, memory, sizeof(memory));
	buf_put_string(&buf, text);
	ok(buf.failed, "a string longer than its length can say fails");
	text[65535] = '\0';
	buf_init(&buf, memory, sizeof(memory));
	buf_put_string(&buf, text);
	ok(!buf.failed && buf.len == 65537, "the longest string is written");
}

/* Writes len and then bytes, and reads that as a string of size. */
static bool
read_string(const char *bytes, size_t count, uint16_t len, size_t size,
    char *text)
{
	uint8_t memory[64];
	struct reader reader;
	struct buf buf;

	buf_init(&buf, memory, sizeof(memory));
	buf_put_u16(&buf, len);
	buf_put_bytes(&buf, bytes, count);
	reader_init(&reader, memory, buf.len);
	reader_get_string(&reader, text, size);
	return reader_is_done(&reader);
}

static void
test_strings(void)
{
	char text[6];

	ok(read_string("abcde", 5, 5, sizeof(text), text),
	    "a string that just fits is read");
	is_text(text, "abcde", "with its NUL");
	ok(!read_string("abcdef", 6, 6, sizeof(text), text),
	    "a longer one is refused");
	is_text(text, "", "and leaves nothing");
	strcpy(text, "old");
	ok(!read_string("ab", 2, 3, sizeof(text), text),
	    "a string that is cut short is refused");
	is_text(text, "", "and leaves nothing");
	ok(!read_string("a\0b", 3, 3, sizeof(text), text),
	    "a string with a NUL inside is refused");
	is_text(text, "", "and leaves nothing");
	ok(read_string("", 0, 0, sizeof(text), text),
	    "an empty string is a string");
	ok(read_string("", 0, 0, 1, text), "that fits into one byte");
}

static void
test_blobs_and_bytes(void)
{
	static const uint8_t image[] = { 0, 0, 0, 3, 'a', 'b', 'c', 'd' };
	static const uint8_t liar[] = { 0xff, 0xff, 0xff, 0xff, 'a' };
	struct reader reader;
	const uint8_t *blob;
	char bytes[3] = "xx";
	size_t len;

	reader_init(&reader, image, sizeof(image));
	blob = reader_get_blob(&reader, &len);
	ok(blob == image + 4 && len == 3, "a blob is pointed to in place");
	reader_get_bytes(&reader, bytes, 2);
	ok(reader.failed, "more bytes than there are fail");
	ok(bytes[0] == 0 && bytes[1] == 0, "and leave zeroes");
	blob = reader_get_blob(&reader, &len);
	ok(blob == NULL && len == 0, "after a failure there is no blob");

	reader_init(&reader, liar, sizeof(liar));
	blob = reader_get_blob(&reader, &len);
	ok(blob == NULL && len == 0 && reader.failed,
	    "a blob that claims too much is refused");
	reader_init(&reader, NULL, 0);
	ok(reader_is_done(&reader), "nothing is done at once");
	reader_get_bytes(&reader, bytes, 0);
	ok(!reader.failed, "reading nothing from nothing succeeds");
}

/* Every prefix of a good image fails, and none is read beyond its end. */
static void
test_every_prefix(void)
{
	uint8_t memory[64], *copy;
	struct reader reader;
	struct buf buf;
	size_t size, len, refused = 0;
	char text[32];

	buf_init(&buf, memory, sizeof(memory));
	buf_put_u32(&buf, 7);
	buf_put_string(&buf, "position");
	buf_put_blob(&buf, "0123456789", 10);
	buf_put_u64(&buf, 9);
	for (size = 0; size < buf.len; size++) {
		/* Of exactly this size, so that sanitizers see one too far. */
		copy = malloc(size == 0 ? 1 : size);
		if (copy == NULL)
			abort();
		memcpy(copy, memory, size);
		reader_init(&reader, copy, size);
		reader_get_u32(&reader);
		reader_get_string(&reader, text, sizeof(text));
		reader_get_blob(&reader, &len);
		reader_get_u64(&reader);
		refused += !reader_is_done(&reader);
		free(copy);
	}
	is_int(refused, buf.len, "every image that is cut short is refused");
}

int
main(void)
{
	test_numbers();
	test_writer_full();
	test_long_string();
	test_strings();
	test_blobs_and_bytes();
	test_every_prefix();
	return done_testing();
}
