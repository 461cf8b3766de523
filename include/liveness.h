/*
 * liveness.h - down, or merely quiet?
 *
 * Turns the age of what was heard into a verdict.  Unknown is not down: a
 * member that this coordinator has never heard is UNKNOWN until it speaks.
 */
#ifndef FAILOVERD_LIVENESS_H
#define FAILOVERD_LIVENESS_H

#include "state.h"

enum liveness {
	LIVENESS_UNKNOWN,	/* never heard by this coordinator */
	LIVENESS_FRESH,		/* heard within two and a half heartbeats */
	LIVENESS_LATE,		/* later, but not yet `detect` */
	LIVENESS_SILENT		/* nothing for `detect` */
};

enum liveness liveness_of(const struct state *state, const struct view *view,
	    uint32_t member_id, monotime_t now);
const char *liveness_name(enum liveness liveness);

/*
 * What the agents say of the primary.  silent: fresh agents that have heard
 * nothing of it for `detect`; answers: fresh agents that got an answer from
 * its PostgreSQL port; asked: fresh agents other than its own.
 */
struct primary_evidence {
	uint32_t members;	/* voters, the primary included */
	uint32_t asked, silent, port_answers, port_dead, clear;
	bool majority_silent;	/* of all voters */
	bool majority_clear;
};
void	liveness_primary(const struct state *state, const struct view *view,
	    monotime_t now, struct primary_evidence *evidence);

#endif
