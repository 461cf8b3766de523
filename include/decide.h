/*
 * decide.h - what the coordinator wants next, and why.
 *
 * Pure: agreed state, soft view and time in; at most one command or action
 * out, with the trace of facts and verdict.  Called every beat and whenever
 * something was heard; whatever it wants is proposed, never done.
 */
#ifndef FAILOVERD_DECIDE_H
#define FAILOVERD_DECIDE_H

#include "monotime.h"
#include "state.h"
#include "trace.h"

enum decision_action {
	DECIDE_NOTHING,
	DECIDE_PROPOSE,		/* command */
	DECIDE_ADD_LEARNER,	/* member_id */
	DECIDE_PROMOTE_VOTER,	/* member_id */
	DECIDE_DEMOTE_VOTER,	/* member_id */
	DECIDE_REMOVE_SERVER,	/* member_id */
	DECIDE_TRANSFER		/* member_id: coordinator moves there */
};

struct decide_input {
	const struct state *state;
	const struct view *view;
	const struct raft_config *config;	/* of the consensus */
	uint32_t self;
	monotime_t now;
	monotime_t leader_since;
	monotime_t phase_since;	/* this coordinator has seen the present
				 * seal, promotion or opening since then */
	monotime_t config_since;	/* and the present voters */
	uint64_t job_step_index;	/* and this step of a job ... */
	monotime_t job_step_since;	/* ... since then */
	int64_t time_us;	/* wall clock, for event stamps only */
};

struct decision {
	uint8_t action;
	uint32_t member_id;
	struct command command;
};

void	decide(const struct decide_input *input, struct decision *decision,
	    struct trace *trace);

/*
 * May a failover (named_id, or 0 for the best) succeed if the seal were
 * proposed now?  For --dry-run, explain and refusals.  Returns the best
 * candidate's id or 0; the trace says why.
 */
uint32_t decide_dry_run(const struct decide_input *input, uint32_t named_id,
	    bool accept_data_loss, struct trace *trace);

/* The table itself, for `failoverd -D rules` and the tests. */
struct decide_row {
	uint32_t phases;	/* 1 << enum reign_phase, or'ed */
	const char *what;	/* "fact -> what is then wanted" */
};
uint32_t decide_row_count(void);
struct decide_row decide_row(uint32_t number);

#endif
