/*
 * lsn.h - a position in the write-ahead log, as PostgreSQL prints it.
 */
#ifndef FAILOVERD_LSN_H
#define FAILOVERD_LSN_H

#include <stdbool.h>
#include <stdint.h>

#define LSN_TEXT_MAX 24		/* "FFFFFFFF/FFFFFFFF" and the NUL */

/* Bytes since the beginning of the WAL; 0 = unknown (never a valid LSN). */
typedef struct lsn {
	uint64_t value;
} lsn_t;

/* Where a node's WAL ends.  Positions compare by epoch, then by LSN. */
struct position {
	uint64_t epoch;
	lsn_t lsn;
};

static inline bool
lsn_is_known(lsn_t a)
{
	return a.value != 0;
}

static inline lsn_t
lsn_max(lsn_t a, lsn_t b)
{
	return a.value > b.value ? a : b;
}

/* < 0, 0, > 0 as a is before, at, after b. */
int	position_compare(struct position a, struct position b);

/* "16/B374D848" -> lsn.  Returns 0, or -1 and *out cleared. */
int	lsn_parse(const char *text, lsn_t *out);

/* Writes at most LSN_TEXT_MAX bytes to text, returns text. */
char	*lsn_format(lsn_t lsn, char *text);

#endif
