/*
 * trace.h - the bounded narration of a decision.
 *
 * The core cannot log.  It appends "facts -> verdict" lines here; the agent
 * logs them, the unit tests compare them, the simulator prints them and
 * `failoverctl explain` shows them: one text, four readers.  A trace that is
 * full drops further lines and ends with "...".
 */
#ifndef FAILOVERD_TRACE_H
#define FAILOVERD_TRACE_H

#include <stdbool.h>
#include <stddef.h>

#include "limits.h"

struct trace {
	size_t len;		/* of text, without the NUL */
	bool full;		/* ends with "..." */
	char text[TRACE_MAX];
};

void	trace_reset(struct trace *trace);

/* Appends one line (the newline is added).  trace may be NULL. */
void	trace_add(struct trace *trace, const char *format, ...)
	    __attribute__((format(printf, 2, 3)));

#endif
