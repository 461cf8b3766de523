/*
 * table.h - answers of an agent as text for a terminal.
 *
 * Pure: from JSON to text, so that the unit test sees what an operator sees.
 * What is unknown (null or missing) is "?", what does not apply is "-".
 */
#ifndef FAILOVERCTL_TABLE_H
#define FAILOVERCTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <jansson.h>

struct table_style {
	size_t width;		/* columns of the terminal */
	bool color;
	bool utf8;		/* may use characters outside ASCII */
	bool verbose;		/* status: one more line for each node */
};

/*
 * The `data` of status: the headline, what is special about the cluster, the
 * node table and a line for each warning.  text is what the agent said about
 * the answer, shown when it is stale; may be NULL.
 */
void	table_status(FILE *out, const json_t *data, const char *text,
	    const struct table_style *style);

/* The `data` of jobs. */
void	table_jobs(FILE *out, const json_t *data,
	    const struct table_style *style);

/* One event of `events`: its time and its text. */
void	table_event(FILE *out, const json_t *event,
	    const struct table_style *style);

/* `last` of explain: what was decided, when, and its trace; may be NULL. */
void	table_decision(FILE *out, const json_t *last,
	    const struct table_style *style);

/* The lines of a trace, an array of texts, each indented. */
void	table_trace(FILE *out, const json_t *trace, size_t indent,
	    const struct table_style *style);

#endif
