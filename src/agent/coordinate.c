/*
 * coordinate.c - what only the coordinator does: keep the soft view, ask the
 * core for a decision while a quorum is fresh, and propose it.
 */
#include <stdio.h>
#include <string.h>

#include "agent.h"
#include "log.h"

void
coordinate_reset(struct agent *agent)
{
	const struct raft *raft = raftio_raft(agent->raftio);
	monotime_t now = monotime_now();

	agent->view_term = raft->term;
	view_reset(&agent->view, now);
	agent->proposal_pending = false;
	agent->leader_since = raft->role == RAFT_LEADER ? now :
	    monotime_never();
	agent->phase_since = agent->config_since = now;
	agent->job_step_since = now;
	agent->phase_index = agent->config_index = 0;
	agent->job_step_index = 0;
}

/* When did this coordinator first see the present phase, voters, step? */
static void
follow_times(struct agent *agent)
{
	const struct state *state = &agent->state;
	const struct job *job = state_running_job(state, 0);
	uint64_t phase = state->seal_index, config;
	uint32_t i;

	if (state->promote_index > phase)
		phase = state->promote_index;
	if (state->opened_index > phase)
		phase = state->opened_index;
	if (phase != agent->phase_index) {
		agent->phase_index = phase;
		agent->phase_since = agent->now;
	}
	config = raftio_raft(agent->raftio)->config.index;
	if (config != agent->config_index) {
		/* The first look at it says nothing about its age. */
		agent->config_since = agent->now;
		agent->config_index = config;
	}
	for (i = 0; i < state->job_count; i++)
		if (state->jobs[i].status == JOB_RUNNING &&
		    state->jobs[i].kind != JOB_CLONE)
			job = &state->jobs[i];
	if (job != NULL && job->step_index != agent->job_step_index) {
		agent->job_step_index = job->step_index;
		agent->job_step_since = agent->now;
	}
}

void
coordinate_input(struct agent *agent, struct decide_input *input)
{
	memset(input, 0, sizeof(*input));
	input->state = &agent->state;
	input->view = &agent->view;
	input->config = &raftio_raft(agent->raftio)->config;
	input->self = agent_self(agent);
	input->now = agent->now;
	input->leader_since = agent->leader_since;
	input->phase_since = agent->phase_since;
	input->config_since = agent->config_since;
	input->job_step_index = agent->job_step_index;
	input->job_step_since = agent->job_step_since;
	input->time_us = agent_wall_us();
}

static void
proposed(void *arg, bool effect, const char *why)
{
	struct agent *agent = arg;

	agent->proposal_pending = false;
	if (!effect)
		log_info("decide", "proposal had no effect: %s", why);
	agent_wake(agent);
}

static void
log_trace(const struct trace *trace)
{
	const char *line = trace->text, *end;

	while (*line != '\0') {
		end = strchr(line, '\n');
		if (end == NULL)
			end = line + strlen(line);
		log_info("decide", "%.*s", (int)(end - line), line);
		line = *end == '\n' ? end + 1 : end;
	}
}

static void
act_on(struct agent *agent, const struct decision *decision)
{
	enum raft_change change;

	switch (decision->action) {
	case DECIDE_PROPOSE:
		agent->proposal_pending = true;
		raftio_propose(agent->raftio, &decision->command, proposed,
		    agent);
		return;
	case DECIDE_TRANSFER:
		raftio_transfer(agent->raftio, decision->member_id);
		return;
	case DECIDE_ADD_LEARNER:
		change = RAFT_ADD_LEARNER;
		break;
	case DECIDE_PROMOTE_VOTER:
		change = RAFT_PROMOTE_VOTER;
		break;
	case DECIDE_DEMOTE_VOTER:
		change = RAFT_DEMOTE_VOTER;
		break;
	case DECIDE_REMOVE_SERVER:
		change = RAFT_REMOVE;
		break;
	default:
		return;
	}
	raftio_change(agent->raftio, change, decision->member_id);
}

void
coordinate(struct agent *agent)
{
	struct decide_input input;
	struct decision decision;
	struct report own;

	if (!raftio_is_leader(agent->raftio) || agent->stopping)
		return;
	follow_times(agent);
	join_welcome_members(agent);
	/* "I am leader" is no permission: a majority must have answered. */
	if (!raftio_may_decide(agent->raftio))
		return;
	clone_worker_turn(agent);
	if (agent->proposal_pending)
		return;
	say_report(agent, &own);
	state_hear(&agent->view, &own, agent->now);
	coordinate_input(agent, &input);
	trace_reset(&agent->trace);
	decide(&input, &decision, &agent->trace);
	if (decision.action == DECIDE_NOTHING)
		return;
	if (decision.action != DECIDE_PROPOSE) {
		/* The consensus answers a change by its log, not to us. */
		if (monotime_diff_ms(agent->now, agent->changed) <
		    agent->state.settings.election_ms)
			return;
		agent->changed = agent->now;
	}
	log_trace(&agent->trace);
	act_on(agent, &decision);
}
