/*
 * decide_test.c - when a primary is deposed and who follows it.
 *
 * The trace is the test: the main roads are compared word by word.  Then
 * every rule that protects data, one by one.
 */
#include "cluster.h"

#define DIED "PostgreSQL of primary n1 has ended, no process is left, its " \
	"lease is released\n"
#define CANDIDATE(n, name) "candidate " #n ": " name " at epoch 1, " \
	"0/3000000, 0 bytes to replay\n"
#define BEFORE(rule) "  before the next by rule " #rule "\n"

/* ---- the main roads, word by word ---- */

static void
test_failover(void)
{
	const struct command *c = &w.decision.command;

	cluster_start(3);
	is_int(decides(), DECIDE_NOTHING, "all is well: nothing is wanted");
	is_trace("", "and nothing said");
	primary_dies();
	is_int(wanted(), CMD_SEAL, "the primary died: seal");
	is_trace(DIED
	    CANDIDATE(1, "n2") BEFORE(6)
	    CANDIDATE(2, "n3") BEFORE(1)
	    "candidate 3: n1 at epoch 1, 0/0, 0 bytes to replay, not "
	    "eligible: PostgreSQL is not running\n"
	    "cover of epoch 1: any 1 of {n2,n3}; sealed {n2,n3}, 2 of 2 "
	    "needed -> met: its stopped primary is sealed\n"
	    "-> seal epoch 2\n", "failover: why it seals");
	is_int((long long)c->u.seal.epoch, 2, "for epoch 2");
	is_int((long long)c->based_on, (long long)w.state.version,
	    "upon the present version");
	ok(strstr(c->u.seal.trace, "-> seal epoch 2") != NULL,
	    "with its trace");
	ok(apply(c), "sealed");
	new_phase();
	is_int(wanted(), CMD_NONE, "nobody has sealed: nobody is promoted");
	is_trace("epoch 2 is sealed: failover begins: " DIED
	    "voters sealed 0 of 3 -> not yet\n", "failover: why it waits");
	keep_seal(2, 1, HERE);
	keep_seal(3, 1, HERE + 0x100);
	is_int(wanted(), CMD_PROMOTE, "a majority has: promote");
	is_trace("epoch 2 is sealed: failover begins: " DIED
	    "voters sealed 2 of 3 -> majority\n"
	    "candidate 1: n3 at epoch 1, 0/3000100, 0 bytes to replay\n"
	    BEFORE(2) CANDIDATE(2, "n2")
	    "cover of epoch 1: any 1 of {n2,n3}; sealed {n2,n3}, 2 of 2 "
	    "needed -> met: enough\n"
	    "-> promote n3, epoch 2\n", "failover: why it promotes n3");
	is_int(c->u.promote.primary_id, 3, "n3");
	is_int(c->u.promote.primary_incarnation, 3, "as it is");
	is_int(c->u.promote.timeline, 2, "to timeline 2");
	ok(!c->u.promote.lossy, "without loss");
	ok(c->u.promote.sync.k == 1 && c->u.promote.sync.count == 1 &&
	    c->u.promote.sync.names[0].member_id == 2,
	    "with ANY 1 (n2): the sealed and reachable without itself");
	ok(apply(c), "promoted");
	new_phase();
	is_int(wanted(), CMD_NONE, "not read-write yet: wait");
	report_of(3)->opened_epoch = 2;
	report_of(3)->opened_timeline = 2;
	report_of(3)->opened_lsn = LSN(HERE + 0x100);
	say(3);
	is_int(wanted(), CMD_OPENED, "read-write: open");
	is_trace("n3 is read-write on timeline 2 -> epoch 2 open\n",
	    "failover: why it is open");
	ok(apply(c) && state_phase(&w.state) == REIGN_OPEN, "open");
	is_int((long long)state_reign(&w.state)->begin_lsn.value,
	    HERE + 0x100, "from where it began");
}

/* `preferred` and degraded: nobody but the old primary will do. */
static void
test_refusal(void)
{
	cluster_start(3);
	sync_begin(0, 0, 0);
	sync_done();
	primary_vanishes(2000, PORT_SILENT);
	is_int(wanted(), CMD_NONE, "degraded: no failover by itself");
	is_trace("primary n1: 2 of 2 agents heard nothing for 1500 ms; its "
	    "PostgreSQL port answers 0, dead at 2\n"
	    "primary n1 is silent to a majority and its PostgreSQL does not "
	    "answer\n"
	    CANDIDATE(1, "n2") BEFORE(6) CANDIDATE(2, "n3")
	    "cover of epoch 1: any 0 of {}; sealed {}, 0 of 1 needed -> not "
	    "met\n"
	    "a seal could not be followed by a promotion -> not sealed, epoch "
	    "1 stays open\n", "refusal: why not");
	be_well_all();
	primary_dies();
	ok(carry_out(CMD_SEAL), "its own death is another matter");
	new_phase();
	keep_seal(2, 1, HERE);
	keep_seal(3, 1, HERE);
	is_int(wanted(), CMD_NONE, "degraded: but nobody else is promoted");
	w.state.members[0].incarnation += 9;
	report_of(1)->incarnation += 9;
	keep_seal(1, 1, HERE + 8);
	is_int(wanted(), CMD_NONE, "nor the old primary's node in another "
	    "life");
	w.state.members[0].incarnation -= 9;
	report_of(1)->incarnation -= 9;
	keep_seal(1, 1, HERE + 8);
	is_int(wanted(), CMD_PROMOTE, "until the old primary is back");
	is_int(w.decision.command.u.promote.primary_id, 1, "and is it again");
}

static void
test_silent(void)
{
	cluster_start(3);
	primary_vanishes(2000, PORT_SILENT);
	is_int(wanted(), CMD_SEAL, "the primary vanished: seal");
	is_trace("primary n1: 2 of 2 agents heard nothing for 1500 ms; its "
	    "PostgreSQL port answers 0, dead at 2\n"
	    "primary n1 is silent to a majority and its PostgreSQL does not "
	    "answer\n"
	    CANDIDATE(1, "n2") BEFORE(6) CANDIDATE(2, "n3")
	    "cover of epoch 1: any 1 of {n2,n3}; sealed {n2,n3}, 2 of 2 "
	    "needed -> met: enough\n"
	    "-> seal epoch 2\n", "silence: why it seals");

	cluster_start(3);
	primary_vanishes(2000, PORT_SILENT);
	report_of(3)->primary_port = PORT_ANSWERS;
	say(3);
	is_int(wanted(), CMD_NONE, "its port answers one agent: wait");
	is_trace("primary n1: 2 of 2 agents heard nothing for 1500 ms; its "
	    "PostgreSQL port answers 1, dead at 1\n"
	    "-> waiting: its PostgreSQL answers\n", "an answering port: why");
	report_of(2)->clear = report_of(3)->clear = true;
	say(2);
	is_int(wanted(), CMD_NONE, "clear at one voter: wait");
	say(3);
	is_int(wanted(), CMD_SEAL, "clear at a majority: an answering port "
	    "postpones no longer");

	cluster_start(3);
	primary_vanishes(2000, PORT_NOT_TRIED);
	is_int(wanted(), CMD_NONE, "nobody has tried its port: wait");
	is_trace("primary n1: 2 of 2 agents heard nothing for 1500 ms; its "
	    "PostgreSQL port answers 0, dead at 0\n"
	    "-> waiting for an answer about its port\n",
	    "a port not tried: why");

	cluster_start(3);
	primary_vanishes(2000, PORT_SILENT);
	say(1);
	is_int(wanted(), CMD_NONE, "heard by the coordinator itself: not "
	    "silent");
	cluster_start(3);
	report_of(2)->primary_silence_ms = 9000;
	report_of(2)->primary_port = PORT_SILENT;
	fall_silent(1, 2000);
	is_int(wanted(), CMD_NONE, "one of three misses it: no majority");
}

static void
test_paused(void)
{
	cluster_start(3);
	pause_until(w.input.time_us + 1);
	primary_dies();
	is_int(wanted(), CMD_NONE, "paused: no failover");
	is_trace("n1 died, automatic failover is paused\n", "paused: why");
	start_job(JOB_CLONE, JOB_STEP_SSH, 0, false);
	is_int(wanted(), CMD_NONE, "paused: a clone under way changes "
	    "nothing");
	start_job(JOB_FAILOVER, JOB_STEP_SEAL, 0, false);
	is_int(wanted(), CMD_SEAL, "paused: the operator's order is carried "
	    "out");
	cluster_start(3);
	pause_until(w.input.time_us + 1);
	primary_vanishes(2000, PORT_SILENT);
	is_int(wanted(), CMD_NONE, "paused: silence neither");
	is_trace("primary n1: 2 of 2 agents heard nothing for 1500 ms; its "
	    "PostgreSQL port answers 0, dead at 2\n"
	    "-> nothing: automatic failover is paused\n",
	    "paused and silent: why");
	w.input.time_us++;
	is_int(wanted(), CMD_SEAL, "a pause expires");
	cluster_start(3);
	primary_dies();
	carry_out(CMD_SEAL);
	new_phase();
	pause_until(w.input.time_us + 1);
	keep_seal(2, 1, HERE);
	keep_seal(3, 1, HERE);
	is_int(wanted(), CMD_PROMOTE, "paused: a seal is carried through");
}

static void
test_single_node(void)
{
	cluster_start(1);
	is_int(decides(), DECIDE_NOTHING, "one node, all is well");
	primary_dies();
	ok(carry_out(CMD_SEAL), "one node: its death seals");
	is_trace(DIED
	    "candidate 1: n1 at epoch 1, 0/0, 0 bytes to replay, not "
	    "eligible: PostgreSQL is not running\n"
	    "cover of epoch 1: any 0 of {}; sealed {}, 0 of 1 needed -> met: "
	    "its stopped primary is sealed\n"
	    "-> seal epoch 2\n", "one node: why");
	new_phase();
	keep_seal(1, 1, HERE);
	ok(carry_out(CMD_PROMOTE), "one node: it is promoted again");
	is_trace("epoch 2 is sealed: failover begins: " DIED
	    "voters sealed 1 of 1 -> majority\n"
	    CANDIDATE(1, "n1")
	    "cover of epoch 1: any 0 of {}; sealed {}, 0 of 1 needed -> met: "
	    "its stopped primary is sealed\n"
	    "-> promote n1, epoch 2\n", "one node: why it again");
	is_int(w.state.sync.k, 0, "one node: alone, K = 0");
	primary_vanishes(60000, PORT_SILENT);
	ok(wanted() != CMD_SEAL || w.decision.command.u.seal.epoch != 2,
	    "one node: its own silence deposes nobody");
}

/* Two data nodes: n1 alone votes. */
static void
test_two_nodes(void)
{
	cluster_start(2);
	primary_vanishes(60000, PORT_SILENT);
	is_int(wanted(), CMD_NONE, "two nodes: the other's silence is no "
	    "majority");
	is_trace("", "two nodes: nothing to say");
	cluster_start(2);
	primary_dies();
	ok(carry_out(CMD_SEAL), "two nodes: a death its own agent saw");
	is_trace(DIED
	    CANDIDATE(1, "n2") BEFORE(1)
	    "candidate 2: n1 at epoch 1, 0/0, 0 bytes to replay, not "
	    "eligible: PostgreSQL is not running\n"
	    "cover of epoch 1: any 1 of {n2}; sealed {n2}, 1 of 1 needed -> "
	    "met: its stopped primary is sealed\n"
	    "-> seal epoch 2\n", "two nodes: why");
	new_phase();
	keep_seal(2, 1, HERE);
	is_int(wanted(), CMD_NONE, "two nodes: without the voter's seal "
	    "nobody");
	report_of(1)->promise = 2;
	say(1);
	ok(carry_out(CMD_PROMOTE), "two nodes: with it n2 is promoted");
	is_trace("epoch 2 is sealed: failover begins: " DIED
	    "voters sealed 1 of 1 -> majority\n"
	    CANDIDATE(1, "n2")
	    "cover of epoch 1: any 1 of {n2}; sealed {n2}, 1 of 1 needed -> "
	    "met: enough\n"
	    "-> promote n2, epoch 2\n", "two nodes: why n2");
	is_int(w.state.sync.k, 0, "two nodes: \"async since\" in that very "
	    "entry");

	cluster_make(3, true);
	primary_vanishes(2000, PORT_SILENT);
	ok(carry_out(CMD_SEAL), "with a witness, the primary's host gone: "
	    "seal");
	new_phase();
	keep_seal(2, 1, HERE);
	report_of(3)->promise = 2;
	say(3);
	is_int(wanted(), CMD_PROMOTE, "with a witness: n2 is promoted");

	is_int(w.decision.command.u.promote.primary_id, 2, "n2");
	is_int(w.decision.command.u.promote.sync.k, 0, "degraded");
}

/* ---- a promotion that fails ---- */

static void
begin_promotion(uint32_t id)
{
	primary_dies();
	carry_out(CMD_SEAL);
	keep_seal(2, 1, HERE + (id == 2 ? 8 : 0));
	keep_seal(3, 1, HERE + (id == 3 ? 8 : 0));
	carry_out(CMD_PROMOTE);
	new_phase();
}

static void
test_burnt(void)
{
	struct report *r;

	cluster_start(3);
	begin_promotion(3);
	fall_silent(1, 100);
	r = report_of(3);
	r->order_index = w.state.promote_index;
	r->order_result = ORDER_FAILED;
	snprintf(r->message, sizeof(r->message), "pg_promote: no space");
	say(3);
	is_int(wanted(), CMD_SEAL, "a promotion that failed is burnt");
	is_trace("promotion of n3 burnt: pg_promote: no space\n"
	    "candidate 1: n3 at epoch 1, 0/3000008, 0 bytes to replay\n"
	    BEFORE(2) CANDIDATE(2, "n2")
	    "cover of epoch 1: any 1 of {n2,n3}; sealed {n2,n3}, 2 of 2 "
	    "needed -> met: a sealed node holds the epoch that followed\n"
	    "cover of epoch 2: any 1 of {n2}; sealed {n2}, 1 of 1 needed -> "
	    "met: its stopped primary is sealed\n"
	    "-> seal epoch 3\n", "burnt: why the next is sealed");
	ok(apply(&w.decision.command), "sealed for epoch 3");
	new_phase();
	keep_seal(2, 1, HERE);
	is_int(wanted(), CMD_NONE, "one of three has sealed: wait");
	keep_seal(3, 1, HERE + 8);
	is_int(wanted(), CMD_PROMOTE, "N is an ordinary candidate");
	is_int(w.decision.command.u.promote.primary_id, 3,
	    "the one with the greatest position");
	is_int(w.decision.command.u.promote.timeline, 3,
	    "to a timeline that no epoch was ever given");
}

/* The target of the promotion is lost; the old primary, stopped, is there. */
static void
test_burnt_and_gone(void)
{
	cluster_start(3);
	begin_promotion(3);
	keep_seal(1, 1, HERE + 8);
	primary_vanishes(2000, PORT_SILENT);
	ok(carry_out(CMD_SEAL), "N silent to a majority: burnt");
	new_phase();
	keep_seal(1, 1, HERE + 8);
	keep_seal(2, 1, HERE);
	ok(carry_out(CMD_PROMOTE), "the old primary, stopped and sealed, is "
	    "an ordinary candidate");
	is_trace("epoch 3 is sealed: failover begins: promotion of n3 burnt: "
	    "it is silent to a majority\n"
	    "voters sealed 2 of 3 -> majority\n"
	    "candidate 1: n1 at epoch 1, 0/3000008, 0 bytes to replay\n"
	    BEFORE(2) CANDIDATE(2, "n2")
	    "cover of epoch 1: any 1 of {n2,n3}; sealed {n2}, 1 of 2 needed "
	    "-> met: its stopped primary is sealed\n"
	    "cover of epoch 2: any 1 of {n2}; sealed {n2}, 1 of 1 needed -> "
	    "met: enough\n"
	    "-> promote n1, epoch 3\n", "burnt and gone: why n1");
	is_int(state_reign(&w.state)->primary_id, 1, "n1 is named");
}

static void
test_promotion_waits(void)
{
	cluster_start(3);
	begin_promotion(3);
	fall_silent(1, 100);
	report_of(3)->order_index = w.state.promote_index - 1;
	report_of(3)->order_result = ORDER_FAILED;
	say(3);
	is_int(wanted(), CMD_NONE, "an older order's failure is not the "
	    "promotion's");
	report_of(3)->order_result = ORDER_RUNNING;
	pass_ms(29900);
	say_all();
	is_int(wanted(), CMD_NONE, "within promote_timeout: wait");
	pass_ms(1);
	say_all();
	is_int(wanted(), CMD_SEAL, "behind it: burnt");
	ok(strstr(w.trace.text, "it took longer than promote_timeout") !=
	    NULL, "  and says so");

	cluster_start(3);
	begin_promotion(3);
	primary_vanishes(2000, PORT_ANSWERS);
	is_int(wanted(), CMD_NONE, "silent, but its port answers: wait");
	primary_dies();
	is_int(wanted(), CMD_SEAL, "its PostgreSQL ended: burnt");
}

/* ---- rules that protect data ---- */

/* Sealed after n1's death, nobody has answered yet. */
static void
sealed_cluster(uint32_t count)
{
	cluster_start(count);
	primary_dies();
	carry_out(CMD_SEAL);
	new_phase();
	fall_silent(1, 2000);
}

static void
test_cover_rule(void)
{
	sealed_cluster(3);
	keep_seal(2, 1, HERE);
	report_of(3)->promise = 2;
	say(3);
	is_int(wanted(), CMD_NONE, "one of ANY 1 of two: the other may have "
	    "an acknowledged commit: refused");
	ok(strstr(w.trace.text, "sealed {n2}, 1 of 2 needed -> not met") !=
	    NULL, "  and says so");
	keep_seal(3, 1, HERE);
	is_int(wanted(), CMD_PROMOTE, "both: promoted");

	sealed_cluster(3);
	keep_seal(2, 1, HERE);
	keep_seal(3, 1, HERE);
	report_of(3)->has_position = false;
	say(3);
	is_int(wanted(), CMD_NONE, "sealed without a position: not in Q");
	sealed_cluster(3);
	keep_seal(2, 1, HERE);
	keep_seal(3, 1, HERE);
	report_of(3)->sealed_epoch = 1;
	say(3);
	is_int(wanted(), CMD_NONE, "sealed for an older epoch: not in Q");
	report_of(3)->sealed_epoch = 2;
	report_of(3)->incarnation++;
	say(3);
	is_int(wanted(), CMD_NONE, "a stale incarnation never counts: a "
	    "report of another life");
	report_of(3)->incarnation--;
	say(3);
	is_int(wanted(), CMD_PROMOTE, "as it is: counts");
	set_phase(3, MEMBER_READY, true);
	is_int(wanted(), CMD_NONE, "a stale incarnation never counts: re-"
	    "cloned since");
	report_of(3)->incarnation = member_of(3)->incarnation;
	say(3);
	is_int(wanted(), CMD_NONE, "a new incarnation never counts in the "
	    "old U");
	cluster_start(3);
	set_phase(3, MEMBER_CLONING, false);
	primary_dies();
	carry_out(CMD_SEAL);
	fall_silent(1, 2000);
	keep_seal(2, 1, HERE);
	keep_seal(3, 1, HERE);
	is_int(wanted(), CMD_NONE, "a node still being copied: not in Q");
}

static void
test_old_cover(void)
{
	cluster_start(3);
	seal(2);
	promote(2, 3, 1, 2, 0);
	opened(2, HERE);
	new_phase();
	be_well_all();
	/* n3 dies before n2 has proven to hold the switch; n1, once primary
	 * of that epoch, has been led elsewhere since and proves nothing. */
	report_of(1)->timeline = 1;
	report_of(1)->receive_lsn = report_of(1)->replay_lsn = LSN(HERE - 1);
	primary_vanishes(2000, PORT_SILENT);
	report_of(2)->timeline = 1;
	report_of(2)->receive_lsn = report_of(2)->replay_lsn = LSN(HERE - 1);
	say(2);
	is_int(wanted(), CMD_NONE, "an older cover is still held: refused");
	ok(strstr(w.trace.text, "cover of epoch 1: any 1 of {n2,n3}; sealed "
	    "{n2}, 1 of 2 needed -> not met") != NULL, "  by that cover");
	report_of(2)->receive_lsn = report_of(2)->replay_lsn = LSN(HERE);
	say(2);
	is_int(wanted(), CMD_SEAL, "met by a member that reaches the begin "
	    "of the next epoch");
	ok(strstr(w.trace.text, "-> met: a sealed node holds the epoch that "
	    "followed") != NULL, "  and says so");
}

static void
test_dummy_epoch(void)
{
	sealed_cluster(3);
	set_setting("sync_standbys", 2);
	set_setting("durability", DURABILITY_REQUIRED);
	keep_seal(2, 1, HERE);
	keep_seal(3, 1, HERE);
	ok(carry_out(CMD_PROMOTE), "`required` with too few: promoted");
	ok(w.state.sync.k == 2 && w.state.sync.count == 0, "with the dummy "
	    "alone: commits wait");
	new_phase();
	primary_vanishes(2000, PORT_SILENT);
	keep_seal(1, 1, HERE);
	report_of(1)->primary_silence_ms = 9000;
	report_of(1)->primary_port = PORT_SILENT;
	say(1);
	ok(carry_out(CMD_SEAL), "burnt");
	new_phase();
	keep_seal(1, 1, HERE);
	keep_seal(3, 1, HERE);
	is_int(wanted(), CMD_PROMOTE, "an epoch of dummies alone hinders "
	    "nobody");
	ok(strstr(w.trace.text, "cover of epoch 2: any 2 of {}; sealed {}, 0 "
	    "of 0 needed -> met") != NULL, "  and says so");
}

static void
test_greatest_position(void)
{
	sealed_cluster(3);
	member_of(3)->no_failover = true;
	keep_seal(2, 1, HERE);
	keep_seal(3, 1, HERE + 1);
	is_int(wanted(), CMD_NONE, "never one that holds less than another "
	    "of Q");
	ok(strstr(w.trace.text, "n3 holds more WAL than n2 but cannot be "
	    "promoted -> refused") != NULL, "  and says who");
	keep_seal(2, 1, HERE + 1);
	is_int(wanted(), CMD_PROMOTE, "as much as the other: promoted");
	is_int(w.decision.command.u.promote.primary_id, 2, "n2");
	ok(strstr(w.trace.text, "not eligible: tagged no_failover") != NULL,
	    "not the one tagged no_failover");
	member_of(2)->no_failover = true;
	is_int(wanted(), CMD_NONE, "all tagged: nobody");
	ok(strstr(w.trace.text, "no eligible candidate") != NULL,
	    "  and says so");
	sealed_cluster(3);
	keep_seal(2, 1, HERE);
	keep_seal(3, 1, HERE);
	report_of(2)->order_result = ORDER_FAILED;
	say(2);
	is_int(wanted(), CMD_PROMOTE, "one whose seal failed is passed over");
	is_int(w.decision.command.u.promote.primary_id, 3, "n3 it is");
}

static void
test_voters_sealed(void)
{
	sealed_cluster(5);
	keep_seal(2, 1, HERE);
	keep_seal(3, 1, HERE);
	is_int(wanted(), CMD_NONE, "two of five voters sealed: no majority");
	ok(strstr(w.trace.text, "voters sealed 2 of 5 -> not yet") != NULL,
	    "  and says so");
	report_of(4)->promise = 2;
	say(4);
	is_int(wanted(), CMD_PROMOTE, "three of five: promoted");

	/* Removed from the members, still voting: it may still grant. */
	sealed_cluster(5);
	remove_member(4);
	remove_member(5);
	keep_seal(2, 1, HERE);
	keep_seal(3, 1, HERE);
	is_int(wanted(), CMD_NONE, "members removed meanwhile still count as "
	    "the voters they are");
	sealed_cluster(4);	/* n4 is a learner */
	keep_seal(4, 1, HERE);
	keep_seal(2, 1, HERE);
	report_of(3)->promise = 0;
	say(3);
	is_int(wanted(), CMD_NONE, "a learner's seal is no vote");
}

static void
test_clear(void)
{
	int mode;

	for (mode = 0; mode < 2; mode++) {
		uint32_t id;

		sealed_cluster(5);
		if (mode == 0)
			set_setting("failover_wait", FAILOVER_WAIT_LEASE);
		else {
			set_setting("durability", DURABILITY_ASYNC);
			report_of(2)->primary_heard.epoch = 1;
			report_of(2)->primary_heard.lsn = LSN(HERE);
		}
		for (id = 2; id <= 4; id++)
			keep_seal(id, 1, HERE);
		is_int(wanted(), CMD_NONE, mode == 0 ? "wait for the lease: "
		    "sealed is not enough" : "async: sealed is not enough");
		ok(strstr(w.trace.text, "voters sealed 3 of 5, lease clear "
		    "at too few -> not yet") != NULL, "  and says so");
		report_of(3)->clear = report_of(4)->clear = true;
		report_of(5)->clear = true;	/* but has not promised */
		for (id = 3; id <= 5; id++)
			say(id);
		is_int(wanted(), CMD_NONE, "clear counts only of who has "
		    "promised: before, it may grant again");
		report_of(2)->clear = true;
		say(2);
		is_int(wanted(), CMD_PROMOTE, "sealed and clear at a "
		    "majority: promoted");
		ok(strstr(w.trace.text, "lease clear at a majority") != NULL,
		    "  and says so");
	}
	sealed_cluster(3);
	keep_seal(2, 1, HERE);
	keep_seal(3, 1, HERE);
	is_int(wanted(), CMD_PROMOTE, "by default the seal is enough");
}

static void
async_cluster(uint64_t heard_epoch, uint64_t heard)
{
	uint32_t id;

	cluster_start(3);
	set_setting("durability", DURABILITY_ASYNC);
	set_setting("max_lag_bytes", 100);
	sync_begin(0, 0, 0);
	sync_done();
	for (id = 2; id <= 3; id++) {
		report_of(id)->primary_heard.epoch = heard_epoch;
		report_of(id)->primary_heard.lsn = LSN(id == 3 ? heard : 1);
		report_of(id)->clear = true;
	}
	primary_vanishes(2000, PORT_SILENT);
}

static void
test_async(void)
{
	async_cluster(1, HERE + 100);
	is_int(wanted(), CMD_SEAL, "async: within max_lag_bytes");
	ok(strstr(w.trace.text, "async: 100 bytes behind the primary as last "
	    "heard, max_lag_bytes 100 -> allowed") != NULL, "  and says so");
	async_cluster(1, HERE + 101);
	is_int(wanted(), CMD_NONE, "async: one byte more: refused");
	ok(strstr(w.trace.text, "-> too far") != NULL, "  and says so");
	async_cluster(0, 0);
	is_int(wanted(), CMD_NONE, "async: a position nobody heard is "
	    "unknown, not zero");
	ok(strstr(w.trace.text, "async: no voter has heard how far epoch 1 "
	    "was -> too far") != NULL, "  and says so");
	async_cluster(2, HERE);
	is_int(wanted(), CMD_NONE, "async: a newer epoch was heard: refused");

	async_cluster(1, HERE + 5000);
	seal(2);
	new_phase();
	keep_seal(2, 1, HERE);
	keep_seal(3, 1, HERE);
	is_int(wanted(), CMD_NONE, "async: sealed, but too far behind");
	keep_seal(1, 1, HERE + 5000);
	report_of(1)->clear = true;
	say(1);
	is_int(wanted(), CMD_PROMOTE, "async: the old primary is back");
	is_int(w.decision.command.u.promote.primary_id, 1, "and has it all");
	is_int(w.decision.command.u.promote.sync.k, 0, "async: no list");
}

static void
test_died(void)
{
	cluster_start(3);
	primary_dies();
	report_of(1)->incarnation++;
	say(1);
	is_int(wanted(), CMD_NONE, "the death of another incarnation is not "
	    "this primary's");
	report_of(1)->incarnation--;
	report_of(1)->died_epoch = 0;
	say(1);
	is_int(wanted(), CMD_NONE, "nor that of another epoch");
	report_of(1)->died_epoch = 1;
	report_of(1)->released = false;
	say(1);
	is_int(wanted(), CMD_NONE, "not released: not certain");
	report_of(1)->released = true;
	report_of(1)->lease_epoch = 1;
	say(1);
	is_int(wanted(), CMD_NONE, "started again in place, under a new "
	    "lease: it lives");
	report_of(1)->lease_epoch = 0;
	say(1);
	is_int(wanted(), CMD_SEAL, "released and gone: certain");
	fall_silent(1, 60000);
	is_int(wanted(), CMD_SEAL, "and stays certain, however old");
	cluster_start(3);
	primary_dies();
	report_of(2)->pg_state = report_of(3)->pg_state = PG_STOPPED;
	fall_silent(1, 2000);
	is_int(wanted(), CMD_NONE, "nobody who could follow: not sealed");
}

static void
test_unknown(void)
{
	cluster_start(3);
	primary_vanishes(60000, PORT_SILENT);
	view_reset(&w.view, w.now);
	is_int(decides(), DECIDE_NOTHING, "nothing heard after an election: "
	    "unknown, nothing is decided");
	say(2);
	is_int(decides(), DECIDE_NOTHING, "one voter heard: not yet");
	say(3);
	is_int(wanted(), CMD_SEAL, "a majority that misses it, and a dead "
	    "port, are evidence");
}

/* ---- the operator ---- */

static void
test_ordered(void)
{
	const struct command *c = &w.decision.command;

	cluster_start(3);
	start_job(JOB_FAILOVER, JOB_STEP_SEAL, 3, false);
	ok(carry_out(CMD_SEAL), "a failover that was ordered: seal");
	ok(strncmp(w.trace.text, "failover ordered by the operator\n", 33) ==
	    0, "  because of that");
	new_phase();
	keep_seal(2, 1, HERE);
	keep_seal(3, 1, HERE);
	is_int(wanted(), CMD_PROMOTE, "promoted");
	is_int(c->u.promote.primary_id, 3, "the one named, among equals");
	keep_seal(2, 1, HERE + 1);
	is_int(wanted(), CMD_NONE, "another holds more: a moment's wait");
	ok(strstr(w.trace.text, "-> waiting for n3, named by the operator") !=
	    NULL, "  for the one named");
	pass_ms(1500);
	say_all();
	is_int(wanted(), CMD_PROMOTE, "and then");
	is_int(c->u.promote.primary_id, 2, "the one that holds more");

	cluster_start(5);
	start_job(JOB_FAILOVER, JOB_STEP_SEAL, 2, false);
	fall_silent(1, 2000);
	w.view.hearings[2].at = monotime_never();	/* n3 */
	is_int(wanted(), CMD_JOB_END, "a failover that could lose a commit is "
	    "refused");
	is_int(c->u.job_step.status, JOB_FAILED, "  failed");
	is_int((long long)c->based_on, 0, "  and the cluster unchanged");
}

static void
test_accept_loss(void)
{
	int loss;

	for (loss = 0; loss < 2; loss++) {
		cluster_start(5);
		start_job(JOB_FAILOVER, JOB_STEP_SEAL, 2, true);
		ok(carry_out(CMD_SEAL), "a loss is accepted: seal");
		new_phase();
		fall_silent(1, 2000);
		if (loss)
			w.view.hearings[2].at = monotime_never();
		else
			keep_seal(3, 1, HERE);
		report_of(4)->promise = report_of(5)->promise = 2;
		say(4);
		say(5);
		keep_seal(2, 1, HERE);
		is_int(wanted(), CMD_PROMOTE, loss ? "promoted with a loss" :
		    "promoted, as it turns out without");
		is_int(w.decision.command.u.promote.lossy, loss, loss ?
		    "the entry says so" :
		    "then no cover is given up either");
		ok((strstr(w.trace.text, "overridden by --accept-data-loss")
		    != NULL) == loss, "  and so does the trace");
	}
}

static void
test_dry_run(void)
{
	cluster_start(3);
	trace_reset(&w.trace);
	is_int(decide_dry_run(&w.input, 0, false, &w.trace), 2,
	    "dry run: the best");
	trace_reset(&w.trace);
	is_int(decide_dry_run(&w.input, 3, false, &w.trace), 3,
	    "dry run: the one named");
	w.view.hearings[2].at = monotime_never();
	trace_reset(&w.trace);
	fall_silent(3, 600);
	is_int(decide_dry_run(&w.input, 0, false, &w.trace), 0,
	    "dry run: nobody");
	ok(strstr(w.trace.text, "-> not met") != NULL, "  and why");
	trace_reset(&w.trace);
	is_int(decide_dry_run(&w.input, 0, true, &w.trace), 2,
	    "dry run: accepting a loss");
	is_int(w.state.seal, 0, "nothing was changed");
	memset(&w.state, 0, sizeof(w.state));
	trace_reset(&w.trace);
	is_int(decide_dry_run(&w.input, 0, false, &w.trace), 0,
	    "dry run without a cluster: nobody");
	is_int(decides(), DECIDE_NOTHING, "no cluster: nothing is wanted");
}

/* With n2 alone in the list, n3 could be the standby of the next epoch. */
static void
test_waits_for_standbys(void)
{
	cluster_start(3);
	sync_begin(1, 2, 0);
	sync_done();
	primary_dies();
	carry_out(CMD_SEAL);
	new_phase();
	fall_silent(1, 200);
	keep_seal(2, 1, HERE);
	report_of(3)->promise = 2;
	say(3);
	is_int(wanted(), CMD_NONE, "a standby about to be sealed: a moment's "
	    "wait");
	ok(strstr(w.trace.text, "-> waiting a moment: 0 of 1 synchronous "
	    "standbys are sealed, 1 more run") != NULL, "  and says so");
	keep_seal(3, 1, HERE);
	is_int(wanted(), CMD_PROMOTE, "it is sealed: promoted");
	is_int(w.decision.command.u.promote.sync.k, 1, "with it in the list");
	report_of(3)->sealed_epoch = 1;
	say(3);
	is_int(wanted(), CMD_NONE, "still waiting");
	pass_ms(101);
	say(2);
	say(3);
	is_int(wanted(), CMD_PROMOTE, "a moment only");
	is_int(w.decision.command.u.promote.sync.k, 0, "without it");
	new_phase();
	is_int(wanted(), CMD_NONE, "waiting again");
	fall_silent(3, 1500);
	keep_seal(2, 1, HERE);
	new_phase();
	is_int(wanted(), CMD_PROMOTE, "nobody waits for one that fell silent");
}

/* What is decided must fit the entry it is carried by, trace and all. */
static void
test_long_trace(void)
{
	struct raft_entry entry;
	uint32_t id;

	cluster_start(9);
	for (id = 10; id <= 40; id++) {
		char name[32];

		snprintf(name, sizeof(name), "a-node-with-a-long-name-%u",
		    id);
		set_phase(add_member(name, true), MEMBER_READY, false);
	}
	be_well_all();
	primary_dies();
	ok(carry_out(CMD_SEAL), "forty members: sealed");
	for (id = 2; id <= 40; id++)
		keep_seal(id, 1, HERE);
	is_int(wanted(), CMD_PROMOTE, "forty members: promoted");
	make_entry(&w.decision.command, &entry);
	ok(w.trace.full && strcmp(w.trace.text + w.trace.len - 4, "...\n") ==
	    0, "the trace ends with an ellipsis");
	is_int(w.decision.command.u.promote.sync.count, SYNC_MAX,
	    "as many standbys as a list takes");
}

int
main(void)
{
	test_failover();
	test_refusal();
	test_silent();
	test_paused();
	test_single_node();
	test_two_nodes();
	test_burnt();
	test_burnt_and_gone();
	test_promotion_waits();
	test_cover_rule();
	test_old_cover();
	test_dummy_epoch();
	test_greatest_position();
	test_voters_sealed();
	test_clear();
	test_async();
	test_died();
	test_unknown();
	test_ordered();
	test_accept_loss();
	test_dry_run();
	test_waits_for_standbys();
	test_long_trace();
	return done_testing();
}
