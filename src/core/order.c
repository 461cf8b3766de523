/*
 * order.c - what one node must do now, derived from the agreed state alone.
 */
#include <string.h>

#include "state.h"

/* The running switchover of the present epoch, in that step or NULL. */
static const struct job *
switchover_in(const struct state *state, enum job_step step)
{
	const struct job *job = state_running_job(state, JOB_SWITCHOVER);
	const struct reign *reign = state_reign(state);

	if (job == NULL || reign == NULL || job->epoch != reign->epoch ||
	    job->step != step)
		return NULL;
	return job;
}

/* The newest end of a switchover: it allows a restart in place. */
static uint64_t
last_switchover_end(const struct state *state)
{
	uint64_t index = 0;
	uint32_t i;

	for (i = 0; i < state->job_count; i++)
		if (state->jobs[i].kind == JOB_SWITCHOVER &&
		    state->jobs[i].status != JOB_RUNNING &&
		    state->jobs[i].step_index > index)
			index = state->jobs[i].step_index;
	return index;
}

static void
order_open(const struct state *state, const struct member *member,
    const struct reign *reign, struct order *order)
{
	const struct job *job;

	if (member->id == reign->primary_id) {
		job = switchover_in(state, JOB_STEP_STOP);
		if (job != NULL) {
			order->kind = ORDER_STOP;
			order->index = job->step_index;
			order->job_id = job->id;
			return;
		}
		order->kind = ORDER_PRIMARY;
		order->index = last_switchover_end(state);
		if (order->index < state->opened_index)
			order->index = state->opened_index;
		order->restart_allowed = true;
		order->sync = state->sync;
		order->sync_version = state->sync_version;
		order->sync_confirm = !state->sync_settled;
	} else {
		order->kind = ORDER_FOLLOW;
		order->index = state->opened_index;
		order->upstream_id = reign->primary_id;
	}
	job = switchover_in(state, JOB_STEP_PREPARE);
	if (job != NULL && (member->id == reign->primary_id ||
	    member->id == job->member_id)) {
		order->checkpoint = true;
		order->index = job->step_index;
	}
}

static void
order_newcomer(const struct state *state, const struct member *member,
    const struct reign *reign, struct order *order)
{
	uint32_t i;

	order->kind = ORDER_NOTHING;
	for (i = 0; i < state->job_count; i++) {
		const struct job *job = &state->jobs[i];

		if (job->kind != JOB_CLONE || job->status != JOB_RUNNING ||
		    job->member_id != member->id)
			continue;
		if (job->step != JOB_STEP_COPY && job->step != JOB_STEP_STREAM)
			continue;
		order->kind = job->step == JOB_STEP_COPY ? ORDER_CLONE :
		    ORDER_FOLLOW;
		order->index = job->step_index;
		order->job_id = job->id;
		order->upstream_id = reign->primary_id;
	}
}

void
state_order(const struct state *state, uint32_t member_id,
    struct order *order)
{
	const struct member *member = state_member(state, member_id);
	const struct reign *reign = state_reign(state);

	memset(order, 0, sizeof(*order));
	order->generation = state->generation;
	order->target_id = member_id;
	if (member == NULL) {
		order->kind = member_id != 0 &&
		    member_id < state->next_member_id ? ORDER_LEAVE :
		    ORDER_NOTHING;
		return;
	}
	order->target_incarnation = member->incarnation;
	if (reign == NULL)
		return;
	order->epoch = reign->epoch;
	order->timeline = reign->timeline;
	order->begin_lsn = reign->begin_lsn;
	order->seal_epoch = state->seal;
	if (!member->has_data) {
		order->kind = ORDER_WITNESS;
		order->index = state->seal_index;
		return;
	}
	switch (state_phase(state)) {
	case REIGN_NONE:
		return;
	case REIGN_PROMOTING:
		if (member->id == reign->primary_id) {
			order->kind = ORDER_PROMOTE;
			order->index = state->promote_index;
			order->sync = state->sync;
			order->sync_version = state->sync_version;
			return;
		}
		break;
	case REIGN_SEALING:
		break;
	case REIGN_OPEN:
		if (member->phase == MEMBER_READY)
			order_open(state, member, reign, order);
		else
			order_newcomer(state, member, reign, order);
		return;
	}
	/* A newcomer has acknowledged nothing and holds no position. */
	if (member->phase != MEMBER_READY)
		return;
	order->kind = ORDER_SEAL;
	order->index = state->seal_index;
}
