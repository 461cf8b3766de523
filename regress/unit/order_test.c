/*
 * order_test.c - what each node must do, from the agreed state alone.
 */
#include "cluster.h"

static struct order order;

static void
get(uint32_t id)
{
	state_order(&w.state, id, &order);
}

static void
is_ordered(uint32_t id, uint8_t want, const char *name)
{
	get(id);
	if (!ok(order.kind == want, "%s", name))
		printf("# got %s\n", order_name(order.kind));
}

static bool
step(uint8_t to)
{
	struct command c = command_of(CMD_JOB_STEP);

	c.based_on = 0;
	c.u.job_step.id = w.state.jobs[w.state.job_count - 1].id;
	c.u.job_step.step = to;
	return apply(&c);
}

static bool
end_job(uint8_t status)
{
	struct command c = command_of(CMD_JOB_END);

	c.based_on = 0;
	c.u.job_step.id = state_running_job(&w.state, 0)->id;
	c.u.job_step.status = status;
	return apply(&c);
}

static void
test_open(void)
{
	uint32_t id;

	state_init(&w.state);
	is_ordered(1, ORDER_NOTHING, "no cluster yet: nothing");
	cluster_make(3, true);
	is_ordered(1, ORDER_PRIMARY, "the primary");
	is_int(order.epoch, 1, "  of epoch 1");
	is_int(order.index, (long long)w.state.opened_index,
	    "  by the entry that opened it");
	is_int(order.sync.k, 1, "  with its synchronous list");
	is_int(order.sync_version, (long long)w.state.sync_version,
	    "  of that version");
	ok(!order.sync_confirm, "  which is settled");
	ok(order.restart_allowed, "  and may be started");
	is_int(order.target_incarnation, 1, "  in this incarnation");
	is_ordered(2, ORDER_FOLLOW, "a standby follows");
	is_int(order.upstream_id, 1, "  the primary");
	is_ordered(3, ORDER_WITNESS, "a witness votes");
	is_ordered(9, ORDER_NOTHING, "an id nobody ever had: nothing");
	is_ordered(0, ORDER_NOTHING, "no id: nothing");
	sync_begin(0, 0, 0);
	get(1);
	ok(order.sync_confirm, "an unsettled list is to be confirmed");
	id = add_member("n7", true);
	is_ordered(id, ORDER_NOTHING, "a newcomer without a job: nothing");
	remove_member(id);
	is_ordered(id, ORDER_LEAVE, "a removed member leaves");
}

static void
test_seal(void)
{
	uint32_t newcomer, id;

	cluster_make(3, true);
	newcomer = add_member("n7", true);
	seal(2);
	for (id = 1; id <= 2; id++) {
		is_ordered(id, ORDER_SEAL, "sealed: every data node, the old "
		    "primary too");
		is_int(order.seal_epoch, 2, "  promises epoch 2");
		is_int(order.index, (long long)w.state.seal_index,
		    "  by the seal's own entry");
	}
	is_ordered(3, ORDER_WITNESS, "sealed: the witness");
	is_int(order.seal_epoch, 2, "  promises too");
	is_ordered(newcomer, ORDER_NOTHING, "sealed: a newcomer has nothing "
	    "to promise");
	promote(2, 2, 1, 0, 0);
	is_ordered(2, ORDER_PROMOTE, "the named node becomes primary");
	is_int(order.epoch, 2, "  of epoch 2");
	is_int(order.timeline, 2, "  on the expected timeline");
	is_int(order.sync.k, 1, "  with the list of the entry");
	is_int(order.index, (long long)w.state.promote_index,
	    "  by the promotion's own entry");
	is_ordered(1, ORDER_SEAL, "the others stay sealed until it is open");
	opened(2, HERE);
	is_ordered(2, ORDER_PRIMARY, "open: primary");
	is_ordered(1, ORDER_FOLLOW, "open: the old primary follows");
	is_int(order.upstream_id, 2, "  the new one");
	is_int((long long)order.begin_lsn.value, HERE,
	    "  and learns where the timeline begins");
	seal(3);
	is_ordered(2, ORDER_SEAL, "sealed again: the primary has to go");
}

static void
test_switchover(void)
{
	uint64_t before, stopped, i;

	cluster_start(3);
	get(1);
	before = order.index;
	start_job(JOB_SWITCHOVER, JOB_STEP_PREPARE, 2, false);
	is_ordered(1, ORDER_PRIMARY, "prepare: still primary");
	ok(order.checkpoint && order.index > before, "  with a checkpoint, "
	    "by a newer entry");
	is_ordered(2, ORDER_FOLLOW, "prepare: the target follows");
	ok(order.checkpoint, "  with a checkpoint");
	get(3);
	ok(!order.checkpoint, "  nobody else");
	step(JOB_STEP_STOP);
	is_ordered(1, ORDER_STOP, "stop: the primary stops");
	stopped = order.index;
	is_ordered(2, ORDER_FOLLOW, "stop: the target streams on");
	end_job(JOB_FAILED);
	is_ordered(1, ORDER_PRIMARY, "given up: primary again");
	ok(order.index > stopped, "  by a newer entry than the stop");
	before = order.index;
	for (i = 0; i < 3 * JOBS_MAX; i++) {
		start_job(JOB_FAILOVER, JOB_STEP_SEAL, 0, false);
		end_job(JOB_FAILED);
	}
	get(1);
	ok(order.index >= before, "  and never by an older one, whatever "
	    "jobs come after");
	seal(2);
	promote(2, 2, 1, 1, 3);
	opened(2, HERE);
	start_job(JOB_SWITCHOVER, JOB_STEP_STOP, 1, false);
	seal(3);
	promote(3, 1, 1, 2, 3);
	opened(3, HERE + 100);
	is_ordered(1, ORDER_PRIMARY, "a switchover of an older epoch stops "
	    "nobody");
}

static void
test_clone(void)
{
	struct command c;
	uint32_t id;

	cluster_start(3);
	start_job(JOB_CLONE, JOB_STEP_SSH, 0, false);
	id = add_member("n9", true);
	c = command_of(CMD_JOB_STEP);
	c.based_on = 0;
	c.u.job_step.id = w.state.jobs[0].id;
	c.u.job_step.step = JOB_STEP_JOIN;
	c.u.job_step.member_id = id;
	apply(&c);
	is_ordered(id, ORDER_NOTHING, "not connected yet: nothing");
	step(JOB_STEP_COPY);
	is_ordered(id, ORDER_CLONE, "copy");
	is_int(order.upstream_id, 1, "  from the primary");
	is_int(state_member(&w.state, id)->phase, MEMBER_CLONING,
	    "  and so its phase says");
	step(JOB_STEP_STREAM);
	is_ordered(id, ORDER_FOLLOW, "stream");
	step(JOB_STEP_UNDO);
	is_ordered(id, ORDER_NOTHING, "undo: nothing, what was copied goes");
	step(JOB_STEP_STREAM);
	set_phase(id, MEMBER_READY, false);
	is_ordered(id, ORDER_FOLLOW, "ready: like any other");
	is_int(order.index, (long long)w.state.opened_index,
	    "  by the epoch's entry");
}

int
main(void)
{
	test_open();
	test_seal();
	test_switchover();
	test_clone();
	return done_testing();
}
