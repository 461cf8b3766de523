/*
 * rules.h - the tables of this program, printed (`failoverd -D rules`).
 */
#ifndef FAILOVERD_RULES_H
#define FAILOVERD_RULES_H

#include <stdio.h>

/*
 * Prints the tables of that topic; "rules" is the only one.  One line a row,
 * fields parted by tabs, the first names the table, "-" is an empty one; a
 * line with "#" names the fields.  Neither configuration nor state is read.
 * -1 = no such topic, with errmsg (ERRMSG_MAX).
 */
int	rules_print(const char *topic, FILE *out, char *errmsg);

#endif
