/*
 * decide_job_test.c - switchovers and clones, step by step.
 */
#include "cluster.h"

static const struct job *
job(void)
{
	return &w.state.jobs[w.state.job_count - 1];
}

/* What the agent does for each turn. */
static void
see_step(void)
{
	w.input.job_step_index = job()->step_index;
	w.input.job_step_since = w.now;
}

static void
result_of(uint32_t id, uint8_t result)
{
	report_of(id)->order_index = job()->step_index;
	report_of(id)->order_result = result;
	say(id);
}

static bool
ends(uint8_t status)
{
	return wanted() == CMD_JOB_END &&
	    w.decision.command.u.job_step.status == status;
}

static void
begin_switchover(void)
{
	cluster_start(3);
	start_job(JOB_SWITCHOVER, JOB_STEP_PREPARE, 3, false);
	see_step();
}

/* n1 has stopped cleanly at lsn, under its lease. */
static void
stopped(uint64_t lsn)
{
	struct report *r = report_of(1);

	r->pg_state = PG_STOPPED;
	r->pg_role = PG_ROLE_UNKNOWN;
	r->stopped_clean = true;
	r->shutdown_lsn = LSN(lsn);
	r->walsender_count = 0;
	result_of(1, ORDER_DONE);
}

static void
test_switchover(void)
{
	begin_switchover();
	is_int(wanted(), CMD_NONE, "prepare: checkpoints first");
	is_trace("switchover to n3: checkpoints at n1 running, at n3 "
	    "running\n", "prepare: why it waits");
	report_of(1)->order_result = report_of(3)->order_result = ORDER_DONE;
	report_of(1)->order_index = job()->step_index - 1;
	report_of(3)->order_index = job()->step_index - 1;
	say_all();
	is_int(wanted(), CMD_NONE, "what was done for an older order does not "
	    "count");
	report_of(3)->order_index = 0;
	say(3);
	result_of(1, ORDER_DONE);
	is_int(wanted(), CMD_NONE, "one checkpoint is not two");
	is_trace("switchover to n3: checkpoints at n1 done, at n3 running\n",
	    "prepare: which one is missing");
	result_of(3, ORDER_DONE);
	is_int(wanted(), CMD_JOB_STEP, "both: stop");
	is_trace("switchover to n3: checkpoints at n1 done, at n3 done\n",
	    "stop: why");
	is_int(w.decision.command.u.job_step.step, JOB_STEP_STOP, "stop");
	is_text(w.decision.command.u.job_step.text,
	    "stopping n1 under its lease", "in words");
	ok(apply(&w.decision.command), "stopping");
	see_step();
	is_int(wanted(), CMD_NONE, "not stopped yet: wait");
	is_trace("", "without a word");
	stopped(HERE + 0x80);
	is_int(wanted(), CMD_NONE, "the target lacks the shutdown "
	    "checkpoint: no seal");
	is_trace("switchover: n1 stopped at 0/3000080, n3 has 0/3000000\n",
	    "why not yet");
	report_of(3)->receive_lsn = LSN(HERE + 0x80);
	say(3);
	is_int(wanted(), CMD_SEAL, "it has it: seal");
	is_trace("switchover: n1 stopped at 0/3000080, n3 has 0/3000080\n",
	    "why now");
	ok(apply(&w.decision.command), "the point of no return");
	new_phase();
	keep_seal(1, 1, HERE + 0x80);
	report_of(1)->pg_state = PG_STOPPED;
	say(1);
	keep_seal(2, 1, HERE + 0x80);
	keep_seal(3, 1, HERE + 0x80);
	report_of(3)->replay_lsn = LSN(HERE);
	say(3);
	is_int(wanted(), CMD_PROMOTE, "promote");
	is_trace("epoch 2 is sealed: switchover: n1 is stopped and n3 has its "
	    "last WAL\n"
	    "voters sealed 3 of 3 -> majority\n"
	    "candidate 1: n3 at epoch 1, 0/3000080, 128 bytes to replay, "
	    "named\n"
	    "  before the next by rule 3\n"
	    "candidate 2: n2 at epoch 1, 0/3000080, 0 bytes to replay\n"
	    "  before the next by rule 1\n"
	    "candidate 3: n1 at epoch 1, 0/3000080, 0 bytes to replay, not "
	    "eligible: PostgreSQL is not running\n"
	    "cover of epoch 1: any 1 of {n2,n3}; sealed {n2,n3}, 2 of 2 "
	    "needed -> met: its stopped primary is sealed\n"
	    "-> promote n3, epoch 2\n", "why n3");
	apply(&w.decision.command);
	new_phase();
	report_of(3)->opened_epoch = 2;
	report_of(3)->opened_timeline = 2;
	report_of(3)->opened_lsn = LSN(HERE + 0x80);
	say(3);
	ok(carry_out(CMD_OPENED), "open");
	be_well_all();
	ok(ends(JOB_DONE), "and done");
	is_text(w.decision.command.u.job_step.text, "n3 is primary",
	    "in words");
	apply(&w.decision.command);
	ok(wanted() != CMD_JOB_END, "once");
}

/* Before the seal every failure ends with the old primary where it was. */
static void
test_switchover_fails(void)
{
	begin_switchover();
	result_of(3, ORDER_FAILED);
	ok(ends(JOB_FAILED), "prepare: a checkpoint failed: given up");
	is_text(w.decision.command.u.job_step.text, "switchover to n3 given "
	    "up: the checkpoints before it did not end; nothing was changed",
	    "in words");
	begin_switchover();
	pass_ms(30000);
	say_all();
	ok(!ends(JOB_FAILED), "prepare: within promote_timeout");
	pass_ms(1);
	say_all();
	ok(ends(JOB_FAILED), "prepare: too late: given up");
	w.input.job_step_index--;
	ok(!ends(JOB_FAILED), "but not before the step itself was seen");

	begin_switchover();
	remove_member(3);
	ok(ends(JOB_FAILED), "the target was removed: given up");

	begin_switchover();
	result_of(1, ORDER_DONE);
	result_of(3, ORDER_DONE);
	carry_out(CMD_JOB_STEP);
	see_step();
	result_of(1, ORDER_FAILED);
	ok(ends(JOB_FAILED), "stop: not clean: given up");
	report_of(1)->order_result = ORDER_DONE;
	say(1);
	is_int(wanted(), CMD_NONE, "stop: done, but pg_control does not say "
	    "shut down: no seal");
	stopped(HERE + 0x80);
	pass_ms(30001);
	say_all();
	ok(ends(JOB_FAILED), "stop: the target never got the last WAL: given "
	    "up");
	ok(apply(&w.decision.command), "ended");
	is_int(state_phase(&w.state), REIGN_OPEN, "the epoch is still open");
	is_int(w.state.seal, 0, "and nothing was sealed");
}

static void
test_switchover_crash(void)
{
	begin_switchover();
	pause_until(w.input.time_us + 1);
	primary_dies();
	is_int(wanted(), CMD_SEAL, "the primary dies meanwhile: failover, "
	    "also under pause");
	apply(&w.decision.command);
	new_phase();
	keep_seal(2, 1, HERE + 1);
	keep_seal(3, 1, HERE);
	pass_ms(2000);
	say(2);
	say(3);
	ok(carry_out(CMD_PROMOTE), "to whoever holds most");
	new_phase();
	report_of(2)->opened_epoch = report_of(2)->opened_timeline = 2;
	report_of(2)->opened_lsn = LSN(HERE + 1);
	say(2);
	carry_out(CMD_OPENED);
	be_well_all();
	ok(ends(JOB_FAILED), "the job says so");
	is_text(w.decision.command.u.job_step.text,
	    "n2 became primary instead of n3", "in words");
}

static void
test_failover_job(void)
{
	cluster_start(3);
	start_job(JOB_FAILOVER, JOB_STEP_SEAL, 0, false);
	seal(2);
	promote(2, 2, 1, 3, 0);
	opened(2, HERE);
	be_well_all();
	ok(ends(JOB_DONE), "a failover to the best ends with whoever it was");
	cluster_start(3);
	start_job(JOB_FAILOVER, JOB_STEP_SEAL, 3, false);
	seal(2);
	promote(2, 2, 1, 3, 0);
	opened(2, HERE);
	be_well_all();
	ok(ends(JOB_FAILED), "one to a node ends with that node only");
}

/* ---- clones ---- */

static uint32_t
begin_clone(void)
{
	struct command c;
	uint32_t id;

	cluster_start(3);
	start_job(JOB_CLONE, JOB_STEP_SSH, 0, false);
	id = add_member("n9", true);
	c = command_of(CMD_JOB_STEP);
	c.based_on = 0;
	c.u.job_step.id = job()->id;
	c.u.job_step.step = JOB_STEP_JOIN;
	c.u.job_step.member_id = id;
	apply(&c);
	set_voters(3);
	see_step();
	return id;
}

static bool
steps_to(uint8_t step)
{
	return wanted() == CMD_JOB_STEP &&
	    w.decision.command.u.job_step.step == step;
}

static void
test_clone(void)
{
	uint32_t id = begin_clone();

	ok(wanted() == CMD_NONE, "its agent is not there yet: wait");
	be_well(id);
	report_of(id)->pg_state = PG_ABSENT;
	report_of(id)->receiver_streaming = false;
	say(id);
	ok(steps_to(JOB_STEP_COPY), "it is: copy");
	apply(&w.decision.command);
	see_step();
	is_int(wanted(), CMD_NONE, "copying: wait");
	result_of(id, ORDER_DONE);
	ok(steps_to(JOB_STEP_STREAM), "copied: stream");
	apply(&w.decision.command);
	see_step();
	is_int(wanted(), CMD_NONE, "not streaming yet: wait");
	report_of(id)->receiver_streaming = true;
	report_of(id)->timeline = 9;
	say(id);
	is_int(wanted(), CMD_NONE, "on another timeline: wait");
	report_of(id)->timeline = 1;
	say(id);
	is_int(wanted(), CMD_MEMBER_PHASE, "streams: a member");
	is_trace("clone: n9 streams on timeline 1\n", "why");
	is_int(w.decision.command.u.phase.phase, MEMBER_READY, "ready");
	apply(&w.decision.command);
	ok(ends(JOB_DONE), "done");
}

static void
test_clone_fails(void)
{
	uint32_t id = begin_clone();

	pass_ms(60001);
	say_all();
	ok(steps_to(JOB_STEP_UNDO), "its agent never came: undo");
	id = begin_clone();
	be_well(id);
	say(id);
	carry_out(CMD_JOB_STEP);
	see_step();
	snprintf(report_of(id)->message, sizeof(report_of(id)->message),
	    "disk full");
	result_of(id, ORDER_FAILED);
	ok(steps_to(JOB_STEP_UNDO), "the copy failed: undo");
	is_text(w.decision.command.u.job_step.text, "disk full",
	    "with the agent's words");
	result_of(id, ORDER_DONE);
	carry_out(CMD_JOB_STEP);
	see_step();
	report_of(id)->receiver_streaming = false;
	pass_ms(60001);
	say_all();
	ok(steps_to(JOB_STEP_UNDO), "it never streams: undo");
	is_text(w.decision.command.u.job_step.text, "n9 does not stream "
	    "within clone_timeout (60000 ms): disk full", "in words");
	remove_member(id);
	ok(ends(JOB_FAILED), "undone: failed");
	id = begin_clone();
	be_well(id);
	say(id);
	seal(2);
	ok(!steps_to(JOB_STEP_COPY), "under a seal nothing is copied");
}

int
main(void)
{
	test_switchover();
	test_switchover_fails();
	test_switchover_crash();
	test_failover_job();
	test_clone();
	test_clone_fails();
	return done_testing();
}
