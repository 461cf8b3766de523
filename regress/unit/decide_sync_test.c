/*
 * decide_sync_test.c - the synchronous set follows the living standbys, and
 * old covers go when they are proven needless.
 */
#include "cluster.h"

static const struct sync_list *
wanted_list(void)
{
	return &w.decision.command.u.sync_begin.list;
}

static bool
list_is(uint8_t k, uint32_t a, uint32_t b)
{
	const struct sync_list want = list_of(k, a, b);

	return memcmp(wanted_list(), &want, sizeof(want)) == 0;
}

static void
confirm(void)
{
	report_of(1)->sync_version = w.state.sync_version;
	say(1);
}

static void
test_leave(void)
{
	cluster_start(3);
	fall_silent(3, 2000);
	say(1);
	is_int(wanted(), CMD_NONE, "silent for sync_leave: stays");
	fall_silent(3, 1);
	is_int(wanted(), CMD_SYNC_BEGIN, "longer: leaves the set");
	is_trace("synchronous standbys: any 1 of n2 -> change\n",
	    "leaving: why");
	ok(list_is(1, 2, 0), "n2 stays");
	apply(&w.decision.command);
	is_int(wanted(), CMD_NONE, "not confirmed by the primary: wait");
	confirm();
	is_int(wanted(), CMD_SYNC_DONE, "confirmed");
	is_trace("synchronous standbys: any 1 of n2 -> confirmed\n",
	    "confirmed: why");
	ok(apply(&w.decision.command), "settled");
	is_int(decides(), DECIDE_NOTHING, "then nothing more");

	cluster_start(3);
	report_of(3)->receiver_streaming = false;
	say(3);
	pass_ms(1999);
	say_all();
	is_int(wanted(), CMD_NONE, "not streaming for less than sync_leave");
	pass_ms(1);
	say_all();
	is_int(wanted(), CMD_SYNC_BEGIN, "for as long: leaves too");
	new_phase();
	is_int(wanted(), CMD_NONE, "in a new reign it has that long to find "
	    "the primary");
	cluster_start(3);
	remove_member(3);
	is_int(wanted(), CMD_SYNC_BEGIN, "a removed member leaves at once");
	ok(list_is(1, 2, 0), "n2 stays");
	cluster_start(3);
	set_phase(3, MEMBER_READY, true);
	is_int(wanted(), CMD_SYNC_BEGIN, "an old incarnation leaves at once");
	ok(list_is(1, 2, 0), "and the new one is not taken for it");
}

static void
test_join(void)
{
	cluster_start(3);
	sync_begin(1, 2, 0);
	sync_done();
	confirm();
	report_of(3)->receiver_streaming = false;
	say(3);
	report_of(3)->receiver_streaming = true;
	say(3);
	pass_ms(4999);
	say_all();
	is_int(decides(), DECIDE_NOTHING, "healthy for less than sync_join: "
	    "not yet");
	pass_ms(1);
	say_all();
	is_int(wanted(), CMD_SYNC_BEGIN, "for as long: joins");
	ok(list_is(1, 2, 3), "beside n2");
	report_of(1)->walsenders[1].streaming = false;
	say(1);
	is_int(decides(), DECIDE_NOTHING, "not while the primary does not "
	    "see it stream");
	report_of(1)->walsenders[1].streaming = true;
	report_of(1)->walsenders[1].incarnation++;
	say(1);
	is_int(decides(), DECIDE_NOTHING, "nor by another incarnation's "
	    "walsender");
}

static void
test_durability(void)
{
	cluster_start(3);
	fall_silent(3, 2001);
	w.view.hearings[1].at = w.view.hearings[2].at;
	is_int(wanted(), CMD_SYNC_BEGIN, "preferred, nobody left: change");
	is_trace("synchronous standbys: none: commits are not replicated "
	    "synchronously -> change\n", "preferred: \"async since\", in "
	    "words");
	ok(list_is(0, 0, 0), "K = 0");

	set_setting("durability", DURABILITY_REQUIRED);
	is_int(wanted(), CMD_SYNC_BEGIN, "required, nobody left: change");
	is_trace("synchronous standbys: any 1 of nobody: commits wait -> "
	    "change\n", "required: commits wait");
	ok(wanted_list()->k == 1 && wanted_list()->count == 0, "the dummy "
	    "alone");

	cluster_start(3);
	set_setting("sync_standbys", 2);
	is_int(wanted(), CMD_SYNC_BEGIN, "two must acknowledge: change");
	ok(list_is(2, 2, 3), "ANY 2 of both");
	fall_silent(3, 2001);
	is_int(wanted(), CMD_SYNC_BEGIN, "preferred, one of two left");
	ok(list_is(0, 0, 0), "too few: K = 0");
	set_setting("durability", DURABILITY_REQUIRED);
	is_int(wanted(), CMD_SYNC_BEGIN, "required, one of two left");
	ok(list_is(2, 2, 0), "ANY 2 of one: commits wait");

	cluster_start(3);
	set_setting("durability", DURABILITY_ASYNC);
	is_int(wanted(), CMD_SYNC_BEGIN, "async: change");
	ok(list_is(0, 0, 0), "to none");
	cluster_start(1);
	set_setting("durability", DURABILITY_REQUIRED);
	is_int(decides(), DECIDE_NOTHING, "required with a single data node: "
	    "it does not lock itself out");
	cluster_make(3, true);
	is_int(decides(), DECIDE_NOTHING, "a witness is in no list");
}

/* Who may be told to change the list: a primary under its lease. */
static void
test_when(void)
{
	cluster_start(3);
	set_setting("durability", DURABILITY_ASYNC);
	report_of(1)->lease_epoch = 0;
	say(1);
	is_int(wanted(), CMD_NONE, "a primary without its lease: no change");
	report_of(1)->lease_epoch = 1;
	say(1);
	is_int(wanted(), CMD_SYNC_BEGIN, "with it: change");
	fall_silent(1, 600);
	is_int(wanted(), CMD_NONE, "a late primary: no change");
	say(1);
	start_job(JOB_SWITCHOVER, JOB_STEP_PREPARE, 2, false);
	is_int(wanted(), CMD_SYNC_BEGIN, "preparing a switchover: change");
	start_job(JOB_SWITCHOVER, JOB_STEP_STOP, 2, false);
	w.state.jobs[0].step = JOB_STEP_STOP;
	is_int(wanted(), CMD_NONE, "while it stops: no change");
	cluster_start(3);
	set_setting("durability", DURABILITY_ASYNC);
	seal(2);
	ok(wanted() != CMD_SYNC_BEGIN, "under a seal: no change");
	promote(2, 2, 1, 3, 0);
	be_well_all();
	ok(wanted() != CMD_SYNC_BEGIN, "under a promotion: no change");
}

/* A coordinator that has heard nothing yet. */
static void
test_unknown(void)
{
	cluster_start(3);
	view_reset(&w.view, w.now);
	w.input.leader_since = w.now;
	say(1);
	is_int(wanted(), CMD_NONE, "standbys not heard yet are unknown, not "
	    "down: the set stays");
	pass_ms(1999);
	say(1);
	is_int(wanted(), CMD_NONE, "for sync_leave");
	pass_ms(1);
	say(1);
	is_int(wanted(), CMD_SYNC_BEGIN, "and no longer");
}

/* ---- old covers ---- */

static void
new_reign(uint8_t k)
{
	cluster_start(3);
	seal(2);
	promote(2, 2, k, k > 0 ? 3 : 0, 0);
	opened(2, HERE);
	new_phase();
	be_well_all();
	/* n3 has found it; n1 is not back. */
	fall_silent(1, 10);
	w.view.hearings[0].report.receiver_streaming = false;
}

static void
set_flush(uint64_t lsn)
{
	report_of(2)->walsenders[1].flush = LSN(lsn);
	say(2);
}

static void
test_cover_drop(void)
{
	new_reign(1);
	set_flush(HERE);
	is_int(wanted(), CMD_NONE, "the standby stands at the switch: the "
	    "older cover is held");
	set_flush(HERE + 1);
	is_int(wanted(), CMD_COVER_DROP, "it holds the switch: the older "
	    "cover goes");
	is_trace("1 of the new set hold the switch -> covers before epoch 2 "
	    "go\n", "dropping: why");
	report_of(2)->walsenders[1].streaming = false;
	say(2);
	is_int(wanted(), CMD_NONE, "not by a walsender that does not stream");
	report_of(2)->walsenders[1].streaming = true;
	report_of(2)->walsenders[1].incarnation++;
	say(2);
	is_int(wanted(), CMD_NONE, "nor by a stale incarnation");
	report_of(2)->walsenders[1].incarnation--;
	report_of(2)->walsenders[0].flush = LSN(HERE + 9);
	report_of(2)->walsenders[1].flush = LSN(0);
	say(2);
	is_int(wanted(), CMD_NONE, "nor by one that is not of the set");
	set_flush(HERE + 1);
	report_of(2)->sync_version--;
	say(2);
	is_int(wanted(), CMD_NONE, "nor before the primary confirms the list "
	    "it is judged by");
	report_of(2)->sync_version++;
	say(2);
	w.state.sync_settled = false;
	report_of(2)->lease_epoch = 0;	/* or it would be settled first */
	say(2);
	is_int(wanted(), CMD_NONE, "nor while a change is in flight");
	report_of(2)->lease_epoch = 2;
	w.state.sync_settled = true;
	say(2);
	ok(carry_out(CMD_COVER_DROP), "dropped");
	is_int(w.state.cover_count, 1, "the newest stays");
	is_int(wanted(), CMD_NONE, "and that is all");

	new_reign(0);
	set_setting("durability", DURABILITY_ASYNC);
	is_int(wanted(), CMD_COVER_DROP, "K = 0: as soon as the next cover "
	    "is there");
	cluster_start(3);
	set_setting("durability", DURABILITY_REQUIRED);
	seal(2);
	{
		struct command c = promotion(2, 2, 1, 0, 0);

		apply(&c);	/* the dummy alone */
	}
	opened(2, HERE);
	new_phase();
	be_well_all();
	report_of(1)->receiver_streaming = false;
	report_of(3)->receiver_streaming = false;
	say_all();
	is_int(wanted(), CMD_NONE, "a list of dummies proves nothing");
}

int
main(void)
{
	test_leave();
	test_join();
	test_durability();
	test_when();
	test_unknown();
	test_cover_drop();
	return done_testing();
}
