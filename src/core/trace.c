/*
 * trace.c - the bounded narration of a decision.
 *
 * Owns the text of one trace.  It must never write past it, and never keep
 * half a line: a reader compares whole lines.
 */
#include "trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ELLIPSIS "...\n"

void
trace_reset(struct trace *trace)
{
	trace->len = 0;
	trace->full = false;
	trace->text[0] = '\0';
}

void
trace_add(struct trace *trace, const char *format, ...)
{
	/* What every line must leave behind it, with the NUL. */
	const size_t tail = sizeof(ELLIPSIS);
	char *at;
	size_t room;
	va_list ap;
	int len;

	if (trace == NULL || trace->full)
		return;
	at = trace->text + trace->len;
	room = sizeof(trace->text) - trace->len - tail;

	va_start(ap, format);
	len = vsnprintf(at, room, format, ap);
	va_end(ap);

	/* The newline takes the place of the NUL that was counted in room. */
	if (len < 0 || (size_t)len >= room) {
		memcpy(at, ELLIPSIS, sizeof(ELLIPSIS));
		trace->len += strlen(ELLIPSIS);
		trace->full = true;
		return;
	}
	at[len] = '\n';
	at[len + 1] = '\0';
	trace->len += (size_t)len + 1;
}
