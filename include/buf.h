/*
 * buf.h - reading and writing bytes with every length checked.
 *
 * All numbers are big-endian.  A writer or reader that ran out of room sets
 * failed and does nothing more; the caller checks it once, at the end.
 * Nothing is allocated: the caller owns the memory on both sides.
 */
#ifndef FAILOVERD_BUF_H
#define FAILOVERD_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {			/* writer */
	uint8_t *data;
	size_t size;
	size_t len;
	bool failed;
};

struct reader {
	const uint8_t *data;
	size_t size;
	size_t pos;
	bool failed;
};

void	buf_init(struct buf *buf, void *memory, size_t size);
void	buf_put_u8(struct buf *buf, uint8_t value);
void	buf_put_u16(struct buf *buf, uint16_t value);
void	buf_put_u32(struct buf *buf, uint32_t value);
void	buf_put_u64(struct buf *buf, uint64_t value);
void	buf_put_bytes(struct buf *buf, const void *bytes, size_t len);
/* u16 length, then the bytes without a NUL. */
void	buf_put_string(struct buf *buf, const char *text);
/* u32 length, then the bytes. */
void	buf_put_blob(struct buf *buf, const void *bytes, size_t len);

void	reader_init(struct reader *reader, const void *bytes, size_t size);
uint8_t	reader_get_u8(struct reader *reader);
uint16_t reader_get_u16(struct reader *reader);
uint32_t reader_get_u32(struct reader *reader);
uint64_t reader_get_u64(struct reader *reader);
void	reader_get_bytes(struct reader *reader, void *bytes, size_t len);
/*
 * Copies a string into text (size bytes with the NUL).  A longer one, or one
 * with a NUL inside, fails the reader; text is then "".
 */
void	reader_get_string(struct reader *reader, char *text, size_t size);
/* Points into the reader's memory; NULL and *len 0 on failure. */
const uint8_t *reader_get_blob(struct reader *reader, size_t *len);
/* True when nothing failed and nothing is left over. */
bool	reader_is_done(const struct reader *reader);

#endif
