/*
 * decide_member_test.c - who votes, and where the coordinator lives.
 */
#include "cluster.h"

static bool
acts(uint8_t action, uint32_t id)
{
	return decides() == action && w.decision.member_id == id;
}

/* A committed configuration: these members, the first `voters` of them. */
static void
change_voters(uint32_t voters)
{
	set_voters(voters);
	w.input.config_since = w.now;
	say_all();
}

static void
test_growing(void)
{
	uint32_t id;

	cluster_start(1);
	id = add_member("n2", true);
	is_int(decides(), DECIDE_ADD_LEARNER, "a new member: learner");
	is_trace("n2 is a member -> learner\n", "why");
	set_voters(1);
	set_phase(id, MEMBER_READY, false);
	be_well_all();
	set_setting("durability", DURABILITY_ASYNC);
	is_int(decides(), DECIDE_NOTHING, "two members: one votes, the number "
	    "stays odd");
	id = add_member("n3", false);
	set_phase(id, MEMBER_READY, false);
	change_voters(1);
	be_well_all();
	is_int(decides(), DECIDE_NOTHING, "voters changed lately: wait");
	pass_ms(5999);
	say_all();
	is_int(decides(), DECIDE_NOTHING, "for 1.2 leases");
	pass_ms(1);
	say_all();
	ok(acts(DECIDE_PROMOTE_VOTER, 2), "then the second becomes a voter");
	is_trace("1 voters of 3 members that can vote -> n2 becomes voter\n",
	    "why");
	change_voters(2);
	is_int(decides(), DECIDE_NOTHING, "one at a time: wait again");
	pass_ms(6000);
	say_all();
	ok(acts(DECIDE_PROMOTE_VOTER, 3), "then the third");
	change_voters(3);
	pass_ms(6000);
	say_all();
	is_int(decides(), DECIDE_TRANSFER, "and no more");
}

static void
test_who_votes(void)
{
	cluster_start(3);
	set_voters(1);
	fall_silent(3, 600);
	is_int(decides(), DECIDE_NOTHING, "a silent member is no voter to be: "
	    "two would be even");
	say(3);
	ok(acts(DECIDE_PROMOTE_VOTER, 2), "heard again: is");
	set_phase(3, MEMBER_CLONING, false);
	is_int(wanted(), CMD_SYNC_BEGIN, "a member being copied leaves the "
	    "list first");
	set_setting("durability", DURABILITY_ASYNC);
	sync_begin(0, 0, 0);
	sync_done();
	report_of(1)->sync_version = w.state.sync_version;
	say(1);
	is_int(decides(), DECIDE_NOTHING, "and is no voter to be either");
	cluster_start(3);
	set_voters(1);
	seal(2);
	is_int(decides(), DECIDE_NOTHING, "no voter change while a seal is "
	    "open");
	promote(2, 2, 1, 3, 0);
	new_phase();
	is_int(decides(), DECIDE_NOTHING, "nor during a promotion");
}

static void
test_nine(void)
{
	cluster_start(12);
	set_voters(7);
	set_setting("durability", DURABILITY_ASYNC);
	sync_begin(0, 0, 0);
	sync_done();
	report_of(1)->sync_version = w.state.sync_version;
	say_all();
	ok(acts(DECIDE_PROMOTE_VOTER, 8), "an eighth of twelve");
	set_voters(8);
	say_all();
	ok(acts(DECIDE_PROMOTE_VOTER, 9), "and a ninth");
	set_voters(9);
	say_all();
	is_int(decides(), DECIDE_NOTHING, "but no tenth");
}

static void
test_removing(void)
{
	struct raft_config before;

	cluster_start(4);	/* n4 learns */
	set_setting("durability", DURABILITY_ASYNC);
	sync_begin(0, 0, 0);
	sync_done();
	report_of(1)->sync_version = w.state.sync_version;
	say_all();
	before = w.config;
	remove_member(4);
	w.input.config_since = w.now;
	ok(acts(DECIDE_REMOVE_SERVER, 4), "a removed learner goes at once");
	is_trace("server 4 is no member -> removed\n", "why");
	remove_member(3);
	w.config = before;
	w.config.count = 3;
	is_int(decides(), DECIDE_NOTHING, "a removed voter goes 1.2 leases "
	    "after the last change of voters");
	pass_ms(6000);
	say_all();
	ok(acts(DECIDE_DEMOTE_VOTER, 3), "first it stops voting");
	w.config.servers[2].voter = false;
	w.input.config_since = w.now;
	ok(acts(DECIDE_REMOVE_SERVER, 3), "then it goes");
}

static void
test_transfer(void)
{
	cluster_start(3);
	is_int(decides(), DECIDE_NOTHING, "the coordinator is elsewhere: "
	    "stays");
	w.input.self = 1;
	ok(acts(DECIDE_TRANSFER, 2), "on the primary's node: moves");
	is_trace("coordinator lives on the primary's node -> moves to n2\n",
	    "why");
	w.input.leader_since = w.now;
	is_int(decides(), DECIDE_NOTHING, "just elected: not at once");
	w.input.leader_since = monotime_add_ms(w.now, -2000);
	ok(acts(DECIDE_TRANSFER, 2), "but after two election times");
	report_of(2)->applied_index = 1;
	w.view.hearings[1].report = *report_of(2);
	w.state.applied = 100;
	w.view.hearings[2].report.applied_index = 100;
	ok(acts(DECIDE_TRANSFER, 3), "not to one that lags behind");
	fall_silent(3, 600);
	report_of(2)->applied_index = w.state.applied;
	say(1);
	say(2);
	ok(acts(DECIDE_TRANSFER, 2), "nor to one not heard");
	start_job(JOB_SWITCHOVER, JOB_STEP_PREPARE, 2, false);
	is_int(decides(), DECIDE_NOTHING, "not while a job runs");
	cluster_start(2);
	w.input.self = 1;
	is_int(decides(), DECIDE_NOTHING, "one voter: nowhere to go");
}

int
main(void)
{
	test_growing();
	test_who_votes();
	test_nine();
	test_removing();
	test_transfer();
	return done_testing();
}
