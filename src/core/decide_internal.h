/*
 * decide_internal.h - what the files of the decision share.
 */
#ifndef FAILOVERD_DECIDE_INTERNAL_H
#define FAILOVERD_DECIDE_INTERNAL_H

#include "decide.h"
#include "liveness.h"

/* Few named facts, gathered once, before any row is read. */
struct facts {
	const struct decide_input *in;
	const struct state *state;
	const struct reign *reign;
	enum reign_phase phase;
	const struct hearing *primary;	/* NULL = not heard */
	enum liveness primary_liveness;
	struct primary_evidence evidence;
	bool died;		/* its guard says so, and it released */
	bool silent;		/* to a majority, the coordinator included */
	bool paused;
	const struct job *job;	/* running, a switchover before a clone */
	uint32_t named_id;	/* its target */
	bool accept_loss;
};

/* True when the row has decided. */
typedef bool decide_row_fn(const struct facts *f, struct decision *d,
    struct trace *trace);

decide_row_fn decide_switchover, decide_clone;		/* decide_job.c */
decide_row_fn decide_sync, decide_cover_drop;		/* decide_sync.c */
decide_row_fn decide_membership, decide_transfer;	/* decide_member.c */

void	decide_command(const struct facts *f, struct decision *d,
	    uint8_t type, const char *format, ...)
	    __attribute__((format(printf, 4, 5)));

/* As much of the trace as fits. */
void	decide_copy_trace(char *text, size_t size, const struct trace *trace);

#endif
