/*
 * text.c - text as a terminal shows it.
 *
 * Owns how a size, a duration and a long name look, and that nothing an
 * agent or a server says can send control sequences to the terminal.  It
 * must never turn "unknown" into a number: its callers print "?" for that.
 */
#include "text.h"

#include <string.h>

#define WORD_MAX 32		/* text_distance() */

/*
 * The length of the UTF-8 sequence at text, 0 if there is none; *control
 * says whether it is a control character.
 */
static size_t
sequence_length(const char *text, bool *control)
{
	const unsigned char *s = (const unsigned char *)text;
	uint32_t code;
	size_t len, i;

	*control = false;
	if (s[0] < 0x80) {
		*control = s[0] < 0x20 || s[0] == 0x7f;
		return 1;
	}
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		len = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		len = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		len = 4;
	else
		return 0;
	code = s[0] & (0xffu >> (len + 1));
	for (i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3fu);
	}
	if ((len == 3 && code < 0x800) || (len == 4 && code < 0x10000) ||
	    (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff)
		return 0;
	*control = code < 0xa0;
	return len;
}

void
text_clean(char *text)
{
	bool control;
	size_t len;

	while (*text != '\0') {
		len = sequence_length(text, &control);
		if (len == 0) {
			*text++ = '?';
			continue;
		}
		if (control)
			memset(text, ' ', len);
		text += len;
	}
}

size_t
text_columns(const char *text)
{
	size_t columns = 0;

	for (; *text != '\0'; text++)
		if (((unsigned char)*text & 0xc0) != 0x80)
			columns++;
	return columns;
}

/* The byte at which the code point number `column` begins. */
static size_t
column_offset(const char *text, size_t column)
{
	size_t at;

	for (at = 0; text[at] != '\0'; at++)
		if (((unsigned char)text[at] & 0xc0) != 0x80 && column-- == 0)
			break;
	return at;
}

char *
text_shorten(char *out, size_t size, const char *text, size_t columns,
    const char *ellipsis)
{
	size_t have = text_columns(text), dots = text_columns(ellipsis);
	size_t head, tail, left;

	if (have <= columns) {
		snprintf(out, size, "%s", text);
		return out;
	}
	if (columns <= dots) {
		left = column_offset(text, columns);
		snprintf(out, size, "%.*s", (int)left, text);
		return out;
	}
	left = columns - dots;
	head = column_offset(text, (left + 1) / 2);
	tail = column_offset(text, have - left / 2);
	snprintf(out, size, "%.*s%s%s", (int)head, text, ellipsis,
	    text + tail);
	return out;
}

char *
text_bytes(char out[TEXT_NUMBER_MAX], int64_t bytes)
{
	static const char *const unit[] = { "kB", "MB", "GB", "TB", "PB" };
	const size_t last = sizeof(unit) / sizeof(unit[0]) - 1;
	double value = (double)bytes / 1024;
	size_t i = 0;

	if (bytes < 1024) {
		snprintf(out, TEXT_NUMBER_MAX, "%lld B", (long long)bytes);
		return out;
	}
	while (value >= 1023.5 && i < last) {
		value /= 1024;
		i++;
	}
	snprintf(out, TEXT_NUMBER_MAX, value < 9.95 ? "%.1f %s" : "%.0f %s",
	    value, unit[i]);
	return out;
}

/* One second and longer. */
static char *
long_duration(char out[TEXT_NUMBER_MAX], int64_t ms)
{
	long long s = ms / 1000;

	if (ms < 10000)
		snprintf(out, TEXT_NUMBER_MAX, "%lld.%lld s", s,
		    (long long)(ms % 1000 / 100));
	else if (s < 120)
		snprintf(out, TEXT_NUMBER_MAX, "%lld s", s);
	else if (s < 120 * 60)
		snprintf(out, TEXT_NUMBER_MAX, "%lld min", s / 60);
	else if (s < 48 * 3600)
		snprintf(out, TEXT_NUMBER_MAX, "%lld h", s / 3600);
	else
		snprintf(out, TEXT_NUMBER_MAX, "%lld d", s / 86400);
	return out;
}

char *
text_duration(char out[TEXT_NUMBER_MAX], int64_t ms)
{
	if (ms >= 1000)
		return long_duration(out, ms);
	snprintf(out, TEXT_NUMBER_MAX, "%lld ms", (long long)ms);
	return out;
}

char *
text_age(char out[TEXT_NUMBER_MAX], int64_t ms)
{
	if (ms >= 1000)
		return long_duration(out, ms);
	if (ms < 0)
		ms = 0;
	/* Rounded up: a sample is never shown fresher than it is. */
	ms = (ms + 99) / 100;
	snprintf(out, TEXT_NUMBER_MAX, "%lld.%lld s", (long long)(ms / 10),
	    (long long)(ms % 10));
	return out;
}

void
text_wrap(FILE *out, size_t width, size_t indent, const char *text)
{
	size_t column = 0, words = 0, len, columns;
	const char *word = text;

	while (*word == ' ')
		word++;
	while (*word != '\0') {
		len = strcspn(word, " ");
		columns = 0;
		for (size_t i = 0; i < len; i++)
			if (((unsigned char)word[i] & 0xc0) != 0x80)
				columns++;
		if (words > 0 && column + 1 + columns > width) {
			fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
		} else if (words > 0) {
			fputc(' ', out);
			column++;
		}
		fwrite(word, 1, len, out);
		column += columns;
		words++;
		word += len;
		while (*word == ' ')
			word++;
	}
	fputc('\n', out);
}

static unsigned
least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned
text_distance(const char *a, const char *b)
{
	unsigned cost[WORD_MAX + 1][WORD_MAX + 1];
	size_t m = strlen(a), n = strlen(b), i, j;
	unsigned best;

	if (m > WORD_MAX || n > WORD_MAX)
		return 99;
	for (i = 0; i <= m; i++)
		for (j = 0; j <= n; j++) {
			if (i == 0 || j == 0) {
				cost[i][j] = (unsigned)(i + j);
				continue;
			}
			best = cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
			best = least(best, cost[i - 1][j] + 1);
			best = least(best, cost[i][j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				best = least(best, cost[i - 2][j - 2] + 1);
			cost[i][j] = best;
		}
	return cost[m][n];
}
