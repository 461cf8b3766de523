/*
 * guardrules.h - what the guard does about each event, as one table.
 */
#ifndef FAILOVERD_GUARDRULES_H
#define FAILOVERD_GUARDRULES_H

#include "guard.h"

#define GUARD_EVENTS(X)							\
	X(GUARD_EV_EXECUTED, 1, "executed")	/* exec succeeded */	\
	X(GUARD_EV_STOP, 2, "stop")		/* an agent, or SIGTERM */ \
	X(GUARD_EV_KILL, 3, "kill")		/* an agent */		\
	X(GUARD_EV_DEADLINE, 4, "deadline")	/* minus margin passed */ \
	X(GUARD_EV_SIGNAL_GONE, 5, "signal-gone") /* and no lease */	\
	X(GUARD_EV_EXITED, 6, "exited")		/* postmaster reaped */	\
	X(GUARD_EV_NONE_LEFT, 7, "none-left")	/* nothing to reap */

#define GUARD_EVENT_ENUM(symbol, value, name) symbol = (value),
enum guard_event { GUARD_EVENTS(GUARD_EVENT_ENUM) };
#undef GUARD_EVENT_ENUM

enum guard_action {
	GUARD_DO_NOTHING,
	GUARD_DO_ANNOUNCE,	/* nothing but to tell the agents */
	GUARD_DO_INTERRUPT,	/* SIGINT to the postmaster */
	GUARD_DO_KILL,		/* every process */
	GUARD_DO_FENCE,		/* the same, and mark the page */
	GUARD_DO_CLEAR,		/* the postmaster is dead: the rest too */
	GUARD_DO_END		/* let go of socket and lock, then exit */
};

struct guard_rule {
	enum guard_state state;
	enum guard_event event;
	enum guard_action action;
	enum guard_state next;
	enum guard_reason reason;	/* GUARD_REASON_NONE: as it was */
	const char *why;		/* the log line, as a clause */
};

/* The one rule for (state, event); NULL if the pair is not listed. */
const struct guard_rule *guard_rule_find(unsigned state, unsigned event);

#endif
