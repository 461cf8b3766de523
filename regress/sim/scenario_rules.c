/*
 * scenario_rules.c - rules that stand behind others: alone, each of them is
 * never needed while the others hold, so it is asked directly.
 */
#include "sim.h"

#include <string.h>

#include "step.h"

static void
expect(bool good, const char *what)
{
	if (!good)
		sim_fail("rules", "expected: %s", what);
}

static void
voter_rules(void)
{
	struct lease_message request, reply;
	struct lease_voter voter;
	monotime_t now = { 100 * SECOND };

	memset(&request, 0, sizeof(request));
	request.type = LEASE_REQUEST;
	request.holder_id = 1;
	request.epoch = 3;
	request.config_index = 5;
	request.holder_start_ns = 7;
	request.lease_ms = 2000;
	request.stamp_ns = 90 * SECOND;
	lease_voter_init(&voter, (monotime_t){ SECOND });
	voter.promise = 4;
	lease_voter_request(&voter, &request, 2, 5, 1, 3, now, &reply);
	expect(reply.type == LEASE_DENY, "no grant below the promise");
	voter.promise = 3;
	lease_voter_request(&voter, &request, 2, 5, 4, 3, now, &reply);
	expect(reply.type == LEASE_DENY, "no grant but to the one named");
	lease_voter_request(&voter, &request, 2, 6, 1, 3, now, &reply);
	expect(reply.type == LEASE_DENY, "no grant by other voters");
	lease_voter_request(&voter, &request, 2, 5, 1, 3, now, &reply);
	expect(reply.type == LEASE_GRANT, "a grant");
	/* A10: the release of before that request comes late. */
	request.type = LEASE_RELEASE;
	request.stamp_ns = 89 * SECOND;
	lease_voter_release(&voter, &request, now);
	expect(!lease_voter_is_clear(&voter, 3, 2000, now),
	    "a late release cancels no newer grant");
	request.stamp_ns = 91 * SECOND;
	lease_voter_release(&voter, &request, now);
	expect(lease_voter_is_clear(&voter, 3, 2000, now), "a release");
	lease_voter_init(&voter, (monotime_t){ 99 * SECOND });
	expect(!lease_voter_is_clear(&voter, 3, 2000, now),
	    "a voter that has just started calls nothing clear");
}

static void
holder_rules(void)
{
	static const uint32_t ids[3] = { 1, 2, 3 };
	struct lease_holder holder;
	struct lease_message grant;

	memset(&holder, 0, sizeof(holder));
	lease_holder_set_voters(&holder, 5, ids, 3);
	lease_holder_begin(&holder, 3, 7, (monotime_t){ 50 * SECOND });
	memset(&grant, 0, sizeof(grant));
	grant.type = LEASE_GRANT;
	grant.holder_id = 1;
	grant.epoch = 3;
	grant.config_index = 5;
	grant.holder_start_ns = 7;
	grant.lease_ms = 2000;
	grant.stamp_ns = 49 * SECOND;
	for (grant.voter_id = 1; grant.voter_id <= 3; grant.voter_id++)
		lease_holder_grant(&holder, &grant, 2000);
	expect(holder.deadline.ns == 0,
	    "grants asked for before the lease began do not count");
	grant.stamp_ns = 51 * SECOND;
	grant.config_index = 4;
	for (grant.voter_id = 1; grant.voter_id <= 3; grant.voter_id++)
		lease_holder_grant(&holder, &grant, 2000);
	expect(holder.deadline.ns == 0,
	    "grants of another voter configuration do not count");
	grant.config_index = 5;
	grant.voter_id = 1;
	lease_holder_grant(&holder, &grant, 2000);
	expect(holder.deadline.ns == 0, "one of three is no majority");
	grant.voter_id = 2;
	lease_holder_grant(&holder, &grant, 2000);
	expect(holder.deadline.ns == 53 * SECOND, "two of three are");
}

static void
step_rules(void)
{
	struct step_facts f;
	const char *why;

	memset(&f, 0, sizeof(f));
	f.order.kind = ORDER_PRIMARY;
	f.order.epoch = f.armed_epoch = 3;
	f.promise = 4;
	f.guarded = f.answering = f.armed = f.may_write = true;
	expect(step_next(&f, &why) == STEP_KILL,
	    "a primary below its own promise is killed");
	f.order.kind = ORDER_SEAL;
	f.order.seal_epoch = 4;
	expect(step_next(&f, &why) == STEP_KILL,
	    "a seal kills the primary of an older epoch");
}

/* The list of an older version is confirmed late. */
static void
list_rules(void)
{
	static struct raft_entry entry;
	struct state state;
	struct command c;
	char why[TEXT_MAX_LEN + 1];
	struct buf buf;
	bool unknown;

	state = *sim.truth;
	state.sync_settled = false;
	memset(&c, 0, sizeof(c));
	memset(&entry, 0, sizeof(entry));
	c.type = CMD_SYNC_DONE;
	c.based_on = state.version;
	c.u.sync_done.epoch = state_reign(&state)->epoch;
	c.u.sync_done.version = state.sync_version - 1;
	entry.type = RAFT_ENTRY_COMMAND;
	buf_init(&buf, entry.data, sizeof(entry.data));
	command_encode(&c, &buf);
	entry.len = (uint16_t)buf.len;
	expect(!state_apply(&state, &entry, state.applied + 1, why,
	    &unknown), "only the newest list can be confirmed");
}

void
scenario_rules(void)
{
	sim.options.nodes = 3;
	cluster_found();
	voter_rules();
	holder_rules();
	step_rules();
	list_rules();
}
