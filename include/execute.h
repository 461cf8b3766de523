/*
 * execute.h - carrying out the order of this node, step by step.
 *
 * Looks at the order and at the facts, never at a remembered program counter:
 * each turn the first row of the order's table whose condition holds says
 * the next step.  At most one step is under way; an order to seal or to stop
 * being primary does not wait for it, because the guard's kill needs nobody.
 */
#ifndef FAILOVERD_EXECUTE_H
#define FAILOVERD_EXECUTE_H

#include "order.h"
#include "report.h"

struct agent;
struct execute;

struct execute *execute_new(struct agent *agent);
void	execute_free(struct execute *execute);

/* Looks again; called every turn. */
void	execute_turn(struct execute *execute);

/* The order taken up and how it goes, for the report. */
void	execute_fill_report(const struct execute *execute,
	    struct report *report);
const struct order *execute_order(const struct execute *execute);

/* The postmaster is another one, or none: forget what was in force. */
void	execute_forget(struct execute *execute);

/* Stop everything for good (SIGTERM). True when PostgreSQL is down. */
bool	execute_shut_down(struct execute *execute);

#endif
