/*
 * buf.c - reading and writing bytes with every length checked.
 *
 * Owns nothing: the memory is the caller's on both sides.  It must never
 * touch a byte outside of it, whatever the lengths inside the data claim.
 */
#include "buf.h"

#include <string.h>

/* Room for len bytes at the end, or NULL and failed. */
static uint8_t *
buf_reserve(struct buf *buf, size_t len)
{
	uint8_t *at;

	if (buf->failed || len > buf->size - buf->len) {
		buf->failed = true;
		return NULL;
	}
	at = buf->data + buf->len;
	buf->len += len;
	return at;
}

/* The low count bytes of value, most significant first. */
static void
buf_put_number(struct buf *buf, uint64_t value, size_t count)
{
	uint8_t *at = buf_reserve(buf, count);

	if (at == NULL)
		return;
	while (count-- > 0) {
		at[count] = (uint8_t)(value & 0xff);
		value >>= 8;
	}
}

void
buf_init(struct buf *buf, void *memory, size_t size)
{
	buf->data = memory;
	buf->size = size;
	buf->len = 0;
	buf->failed = false;
}

void
buf_put_u8(struct buf *buf, uint8_t value)
{
	buf_put_number(buf, value, 1);
}

void
buf_put_u16(struct buf *buf, uint16_t value)
{
	buf_put_number(buf, value, 2);
}

void
buf_put_u32(struct buf *buf, uint32_t value)
{
	buf_put_number(buf, value, 4);
}

void
buf_put_u64(struct buf *buf, uint64_t value)
{
	buf_put_number(buf, value, 8);
}

void
buf_put_bytes(struct buf *buf, const void *bytes, size_t len)
{
	uint8_t *at = buf_reserve(buf, len);

	if (at != NULL && len > 0)
		memcpy(at, bytes, len);
}

void
buf_put_string(struct buf *buf, const char *text)
{
	size_t len = strlen(text);

	/* Both or nothing: a length without its bytes would be a lie. */
	if (len > UINT16_MAX || buf->failed || buf->size - buf->len < 2 ||
	    len > buf->size - buf->len - 2) {
		buf->failed = true;
		return;
	}
	buf_put_u16(buf, (uint16_t)len);
	buf_put_bytes(buf, text, len);
}

void
buf_put_blob(struct buf *buf, const void *bytes, size_t len)
{
	if (len > UINT32_MAX || buf->failed || buf->size - buf->len < 4 ||
	    len > buf->size - buf->len - 4) {
		buf->failed = true;
		return;
	}
	buf_put_u32(buf, (uint32_t)len);
	buf_put_bytes(buf, bytes, len);
}

/* The next len bytes, or NULL and failed. */
static const uint8_t *
reader_take(struct reader *reader, size_t len)
{
	const uint8_t *at;

	if (reader->failed || len > reader->size - reader->pos) {
		reader->failed = true;
		return NULL;
	}
	at = reader->data + reader->pos;
	reader->pos += len;
	return at;
}

static uint64_t
reader_get_number(struct reader *reader, size_t count)
{
	const uint8_t *at = reader_take(reader, count);
	uint64_t value = 0;
	size_t i;

	if (at == NULL)
		return 0;
	for (i = 0; i < count; i++)
		value = value << 8 | at[i];
	return value;
}

void
reader_init(struct reader *reader, const void *bytes, size_t size)
{
	reader->data = bytes;
	reader->size = size;
	reader->pos = 0;
	reader->failed = false;
}

uint8_t
reader_get_u8(struct reader *reader)
{
	return (uint8_t)reader_get_number(reader, 1);
}

uint16_t
reader_get_u16(struct reader *reader)
{
	return (uint16_t)reader_get_number(reader, 2);
}

uint32_t
reader_get_u32(struct reader *reader)
{
	return (uint32_t)reader_get_number(reader, 4);
}

uint64_t
reader_get_u64(struct reader *reader)
{
	return reader_get_number(reader, 8);
}

void
reader_get_bytes(struct reader *reader, void *bytes, size_t len)
{
	const uint8_t *at = reader_take(reader, len);

	if (len == 0)
		return;
	if (at == NULL)
		memset(bytes, 0, len);
	else
		memcpy(bytes, at, len);
}

void
reader_get_string(struct reader *reader, char *text, size_t size)
{
	const uint8_t *at;
	size_t len;

	if (size == 0) {
		reader->failed = true;
		return;
	}
	text[0] = '\0';
	len = reader_get_u16(reader);
	if (reader->failed)
		return;
	if (len >= size) {
		reader->failed = true;
		return;
	}
	at = reader_take(reader, len);
	if (at == NULL || len == 0)
		return;
	if (memchr(at, '\0', len) != NULL) {
		reader->failed = true;
		return;
	}
	memcpy(text, at, len);
	text[len] = '\0';
}

const uint8_t *
reader_get_blob(struct reader *reader, size_t *len)
{
	const uint8_t *at;

	*len = reader_get_u32(reader);
	at = reader->failed ? NULL : reader_take(reader, *len);
	if (at == NULL)
		*len = 0;
	return at;
}

bool
reader_is_done(const struct reader *reader)
{
	return !reader->failed && reader->pos == reader->size;
}
