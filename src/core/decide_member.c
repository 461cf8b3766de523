/*
 * decide_member.c - who votes, and where the coordinator lives.
 *
 * Voters are kept odd in number: of two members only the first votes, a
 * third one makes both others voters, one at a time.
 */
#include <string.h>

#include "decide_internal.h"

static bool
server_action(struct decision *d, uint8_t action, uint32_t member_id)
{
	d->action = action;
	d->member_id = member_id;
	return true;
}

static bool
is_voter_to_be(const struct facts *f, const struct member *member)
{
	return member->phase == MEMBER_READY && liveness_of(f->state,
	    f->in->view, member->id, f->in->now) == LIVENESS_FRESH;
}

/*
 * A member unknown to the consensus, or a server nobody knows.  may_vote:
 * the voters have stood long enough to be changed again.
 */
static bool
match_servers(const struct facts *f, struct decision *d, bool may_vote,
    struct trace *trace)
{
	const struct raft_config *config = f->in->config;
	const struct state *state = f->state;
	uint32_t i;

	for (i = 0; i < state->member_count; i++)
		if (raft_find_server(config, state->members[i].id) == NULL) {
			trace_add(trace, "%s is a member -> learner",
			    state->members[i].name);
			return server_action(d, DECIDE_ADD_LEARNER,
			    state->members[i].id);
		}
	for (i = 0; i < config->count; i++)
		if (state_member(state, config->servers[i].id) == NULL &&
		    (may_vote || !config->servers[i].voter)) {
			trace_add(trace, "server %u is no member -> removed",
			    config->servers[i].id);
			return server_action(d, config->servers[i].voter &&
			    raft_voters(config) > 1 ? DECIDE_DEMOTE_VOTER :
			    DECIDE_REMOVE_SERVER, config->servers[i].id);
		}
	return false;
}

/* Who is missed least as a voter: silent ones first, never the primary. */
static const struct member *
spare_voter(const struct facts *f)
{
	const struct state *state = f->state;
	const struct member *best = NULL;
	bool fresh, best_fresh = false;
	uint32_t i;

	for (i = 0; i < state->member_count; i++) {
		const struct member *member = &state->members[i];

		if (!member->voter || member->id == f->in->self ||
		    member->id == f->reign->primary_id)
			continue;
		fresh = liveness_of(state, f->in->view, member->id,
		    f->in->now) == LIVENESS_FRESH;
		if (best == NULL || (best_fresh && !fresh) ||
		    (best_fresh == fresh && member->id > best->id)) {
			best = member;
			best_fresh = fresh;
		}
	}
	return best;
}

bool
decide_membership(const struct facts *f, struct decision *d,
    struct trace *trace)
{
	const struct state *state = f->state;
	uint32_t voters = raft_voters(f->in->config);
	uint32_t i, possible = voters, wanted;
	const struct member *next = NULL;
	/* Two majorities a voter apart must not both be granting leases. */
	bool may_vote = monotime_diff_ms(f->in->now, f->in->config_since) >=
	    state->settings.lease_ms * 6 / 5;

	if (match_servers(f, d, may_vote, trace))
		return true;
	if (!may_vote)
		return false;
	for (i = 0; i < state->member_count; i++) {
		if (state->members[i].voter ||
		    !is_voter_to_be(f, &state->members[i]))
			continue;
		possible++;
		if (next == NULL || state->members[i].id < next->id)
			next = &state->members[i];
	}
	if (possible > VOTERS_MAX)
		possible = VOTERS_MAX;
	wanted = possible - (possible % 2 == 0 ? 1 : 0);
	if (voters < wanted && next != NULL) {
		trace_add(trace, "%u voters of %u members that can vote -> "
		    "%s becomes voter", voters, possible, next->name);
		return server_action(d, DECIDE_PROMOTE_VOTER, next->id);
	}
	/* Even after a removal: with two voters either one's death stops all. */
	if (voters > wanted && (next = spare_voter(f)) != NULL) {
		trace_add(trace, "%u voters are an even number -> %s votes no "
		    "more", voters, next->name);
		return server_action(d, DECIDE_DEMOTE_VOTER, next->id);
	}
	return false;
}

bool
decide_transfer(const struct facts *f, struct decision *d,
    struct trace *trace)
{
	const struct state *state = f->state;
	const struct hearing *hearing;
	const struct member *best = NULL;
	uint32_t i;

	if (f->in->self != f->reign->primary_id || f->job != NULL ||
	    raft_voters(f->in->config) < 3 ||
	    monotime_diff_ms(f->in->now, f->in->leader_since) <
	    2 * state->settings.election_ms)
		return false;
	for (i = 0; i < state->member_count; i++) {
		const struct member *member = &state->members[i];

		if (!member->voter || member->id == f->in->self)
			continue;
		hearing = view_of(f->in->view, member->id);
		if (liveness_of(state, f->in->view, member->id, f->in->now) !=
		    LIVENESS_FRESH || hearing->report.applied_index + 16 <
		    state->applied)
			continue;
		if (best == NULL || member->id < best->id)
			best = member;
	}
	if (best == NULL)
		return false;
	trace_add(trace, "coordinator lives on the primary's node -> "
	    "moves to %s", best->name);
	return server_action(d, DECIDE_TRANSFER, best->id);
}
