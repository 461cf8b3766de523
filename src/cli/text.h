/*
 * text.h - text as a terminal shows it: columns, sizes, durations.
 *
 * Pure functions over strings; nothing here knows the cluster.
 */
#ifndef FAILOVERCTL_TEXT_H
#define FAILOVERCTL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TEXT_NUMBER_MAX 24	/* a size or duration in words, with NUL */

/*
 * Makes text safe to print: control characters become blanks, bytes that are
 * not UTF-8 become '?'.  In place, the length stays.
 */
void	text_clean(char *text);

/* Columns that UTF-8 text takes (one for each code point). */
size_t	text_columns(const char *text);

/*
 * Copies text into out, shortened in the middle to at most columns with
 * the given ellipsis ("n1.very...example.org").  Returns out.
 */
char	*text_shorten(char *out, size_t size, const char *text,
	    size_t columns, const char *ellipsis);

/* "0 B", "812 B", "1.9 GB": PostgreSQL's units.  Returns out. */
char	*text_bytes(char out[TEXT_NUMBER_MAX], int64_t bytes);

/* "0 ms", "340 ms", "1.2 s", "47 s", "12 min", "5 h", "3 d".  Returns out. */
char	*text_duration(char out[TEXT_NUMBER_MAX], int64_t ms);

/* The same for the age of a sample, in tenths of a second at least. */
char	*text_age(char out[TEXT_NUMBER_MAX], int64_t ms);

/*
 * Prints text broken at blanks so that no line exceeds width; lines after
 * the first begin with indent blanks.  Ends with a newline.  A single word
 * that is wider (a command to copy, a path) is never broken.
 */
void	text_wrap(FILE *out, size_t width, size_t indent, const char *text);

/*
 * The number of changes (letters put in, left out, replaced or swapped)
 * between two short words, for "did you mean"; 99 for long ones.
 */
unsigned text_distance(const char *a, const char *b);

#endif
