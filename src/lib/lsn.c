/*
 * lsn.c - write-ahead log positions: their text form and their order.
 *
 * The form is PostgreSQL's own (pg_lsn.c): two hexadecimal halves of at most
 * eight digits each.  Nothing else is ever taken for a position.
 */
#include "lsn.h"

#include <stddef.h>
#include <stdio.h>

#define HALF_DIGITS_MAX 8

int
position_compare(struct position a, struct position b)
{
	if (a.epoch != b.epoch)
		return a.epoch < b.epoch ? -1 : 1;
	if (a.lsn.value != b.lsn.value)
		return a.lsn.value < b.lsn.value ? -1 : 1;
	return 0;
}

/* One to eight digits into *half; returns what follows, or NULL. */
static const char *
parse_half(const char *text, uint32_t *half)
{
	uint32_t value = 0;
	int digits;

	for (digits = 0; ; digits++, text++) {
		uint32_t digit;

		if (*text >= '0' && *text <= '9')
			digit = (uint32_t)(*text - '0');
		else if (*text >= 'A' && *text <= 'F')
			digit = (uint32_t)(*text - 'A') + 10;
		else if (*text >= 'a' && *text <= 'f')
			digit = (uint32_t)(*text - 'a') + 10;
		else
			break;
		if (digits == HALF_DIGITS_MAX)
			return NULL;
		value = value << 4 | digit;
	}
	*half = value;
	return digits > 0 ? text : NULL;
}

int
lsn_parse(const char *text, lsn_t *out)
{
	uint32_t high, low;

	out->value = 0;
	text = parse_half(text, &high);
	if (text == NULL || *text != '/')
		return -1;
	text = parse_half(text + 1, &low);
	if (text == NULL || *text != '\0')
		return -1;
	out->value = (uint64_t)high << 32 | low;
	return 0;
}

char *
lsn_format(lsn_t lsn, char *text)
{
	snprintf(text, LSN_TEXT_MAX, "%X/%X", (uint32_t)(lsn.value >> 32),
	    (uint32_t)(lsn.value & UINT32_MAX));
	return text;
}
