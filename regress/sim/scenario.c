/*
 * scenario.c - scripted schedules: the ones that broke earlier texts of the
 * design, and those that random search finds too seldom.
 *
 * A script drives a quiet world by hand: what it expects is said with
 * expect(); all other invariants are the checkers', as everywhere.
 */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- tools ---- */

static void
expect(bool good, const char *what)
{
	if (!good)
		sim_fail("scenario", "expected: %s", what);
}

static void
run_ms(int64_t ms)
{
	sim_run_until(sim.now + ms * MS);
}

/* Until it is so, at most that long; then it is expected to be so. */
static void
until(bool (*is_so)(void), int64_t ms, const char *what)
{
	int64_t end = sim.now + ms * MS;

	while (!sim.failed && sim.now < end && !is_so())
		run_ms(1);
	expect(is_so(), what);
}

static struct node *
primary(void)
{
	return node_of(state_reign(sim.truth)->primary_id);
}

static struct node *
coordinator(void)
{
	uint32_t i;

	for (i = 0; i < sim.node_count; i++)
		if (node_agent_runs(sim.nodes[i]) &&
		    consensus_may_decide(sim.nodes[i]))
			return sim.nodes[i];
	return NULL;
}

static bool has_coordinator(void) { return coordinator() != NULL; }

static bool
is_settled(void)
{
	return has_coordinator() && check_is_healthy() &&
	    sim.truth->sync_settled && sim.truth->cover_count == 1 &&
	    (sim.node_count < 3 || coordinator() != primary());
}

static bool
is_sealing(void)
{
	return state_phase(sim.truth) == REIGN_SEALING;
}

static bool
is_open(void)
{
	return state_phase(sim.truth) == REIGN_OPEN;
}

static void
propose(struct command *c)
{
	struct node *leader = coordinator();

	expect(leader != NULL, "a coordinator");
	if (leader != NULL)
		consensus_propose(leader, c, false);
}

static void
order_failover(uint32_t target)
{
	struct command c;

	memset(&c, 0, sizeof(c));
	c.type = CMD_JOB_START;
	c.u.job.kind = JOB_FAILOVER;
	c.u.job.step = JOB_STEP_SEAL;
	c.u.job.member_id = target;
	propose(&c);
}

static void
order_switchover(uint32_t target)
{
	struct command c;

	memset(&c, 0, sizeof(c));
	c.type = CMD_JOB_START;
	c.u.job.kind = JOB_SWITCHOVER;
	c.u.job.step = JOB_STEP_PREPARE;
	c.u.job.member_id = target;
	propose(&c);
}

static void
set(const char *name, int64_t value)
{
	struct command c;

	memset(&c, 0, sizeof(c));
	c.type = CMD_SETTING;
	snprintf(c.u.setting.name, sizeof(c.u.setting.name), "%s", name);
	c.u.setting.value = value;
	propose(&c);
}

static void
isolate(struct node *node, bool cut)
{
	uint32_t i;

	for (i = 0; i < sim.node_count; i++)
		if (i != node->index)
			sim.cut[i][node->index] =
			    sim.cut[node->index][i] = cut;
}

static struct node *
standby(uint32_t number)
{
	uint32_t i;

	for (i = 0; i < sim.node_count; i++)
		if (sim.nodes[i]->has_data && sim.nodes[i] != primary() &&
		    number-- == 0)
			return sim.nodes[i];
	return NULL;
}

/* Settings are the quick ones; the world is whole and serves. */
static void
world(uint32_t nodes, int durability, int failover_wait)
{
	sim.options.nodes = nodes;
	sim.options.durability = durability;
	sim.options.failover_wait = failover_wait;
	cluster_found();
	clients_start();
	sim.calm = true;
	until(is_settled, 30000, "a settled cluster at the beginning");
}

static void
end_well(void)
{
	net_heal();
	nemesis_end();
	until(check_is_healthy, 60000, "a whole cluster at the end");
	if (!sim.failed)
		check_end();
}

/* ---- a seal, and what races it ---- */

/* A1: "async since" behind the seal, upon the version that the seal made. */
static void
async_since_after_seal(void)
{
	struct command c;

	world(3, DURABILITY_PREFERRED, FAILOVER_WAIT_SEAL);
	order_failover(0);
	until(is_sealing, 2000, "a seal");
	memset(&c, 0, sizeof(c));
	c.type = CMD_SYNC_BEGIN;
	c.based_on = sim.truth->version;
	c.u.sync_begin.epoch = 1;
	propose(&c);
	run_ms(20);
	expect(sim.truth->sync.k > 0 && sim.truth->covers[0].k > 0,
	    "no cover of a sealed epoch is changed");
	end_well();
}

/* A decision taken upon a version that is over has no effect. */
static void
stale_decision(void)
{
	struct command c;
	uint64_t before;

	world(3, DURABILITY_PREFERRED, FAILOVER_WAIT_SEAL);
	before = sim.truth->sync_version;
	memset(&c, 0, sizeof(c));
	c.type = CMD_SYNC_BEGIN;
	c.based_on = sim.truth->version - 1;
	c.u.sync_begin.epoch = 1;
	propose(&c);
	run_ms(50);
	expect(sim.truth->sync_version == before,
	    "a decision upon an older version has no effect");
	end_well();
}

/* A3, A4, B1: replay lags, so a reload alone would go on acknowledging. */
static void
false_alarm_lagging(void)
{
	world(3, DURABILITY_PREFERRED, FAILOVER_WAIT_SEAL);
	pg_set_replay(standby(0), false, 700 * MS);
	pg_set_replay(standby(1), false, 700 * MS);
	run_ms(1500);
	order_failover(0);
	until(is_sealing, 2000, "a seal");
	end_well();
	expect(state_reign(sim.truth)->epoch == 2, "one failover");
}

static void
false_alarm_paused(void)
{
	world(3, DURABILITY_REQUIRED, FAILOVER_WAIT_SEAL);
	pg_set_replay(standby(0), true, 0);
	pg_set_replay(standby(1), true, 0);
	run_ms(500);
	order_failover(0);
	until(is_sealing, 2000, "a seal");
	until(is_open, 5000, "a failover with replay paused");
	end_well();
}

/* The seal's walreceivers must not come back while the primary lives. */
static void
seal_without_coordinator(void)
{
	struct node *leader;

	world(3, DURABILITY_PREFERRED, FAILOVER_WAIT_SEAL);
	leader = coordinator();
	order_failover(0);
	until(is_sealing, 2000, "a seal");
	node_crash_host(leader);
	run_ms(4000);
	end_well();
	expect(state_reign(sim.truth)->epoch >= 2, "the seal is carried "
	    "through by the next coordinator");
}

/* ---- the primary ends ---- */

static void
primary_dies(void)
{
	struct node *node;

	world(3, DURABILITY_PREFERRED, FAILOVER_WAIT_SEAL);
	node = primary();
	run_ms(300);
	pg_kill(node);
	guard_child_ended(node, false);
	run_ms(1000);
	expect(state_reign(sim.truth)->epoch == 2 && is_open() &&
	    primary()->pg.run == PG_OPEN, "a failover within a second");
	end_well();
}

static void
host_vanishes(void)
{
	world(3, DURABILITY_PREFERRED, FAILOVER_WAIT_SEAL);
	run_ms(300);
	node_crash_host(primary());
	run_ms(4000);
	expect(state_reign(sim.truth)->epoch == 2 && is_open(),
	    "a failover within four seconds");
	end_well();
}

/* B4: one standby goes, S shrinks, then the primary goes as well. */
static void
standby_then_primary(void)
{
	struct node *gone;

	world(3, DURABILITY_PREFERRED, FAILOVER_WAIT_SEAL);
	gone = standby(0) == coordinator() ? standby(1) : standby(0);
	gone->pg.hung_until = sim.now + 8 * SECOND;
	run_ms(4500);
	expect(sim.truth->sync.count == 1 && sim.truth->sync_settled,
	    "the set has shrunk");
	pg_kill(primary());
	guard_child_ended(primary(), false);
	run_ms(3000);
	expect(state_reign(sim.truth)->epoch >= 2 && is_open(),
	    "a failover to the one that is left");
	end_well();
}

/* B2: too few answer: the epoch stays open, its primary comes back. */
static void
seal_that_could_not_succeed(void)
{
	struct node *down;

	world(5, DURABILITY_REQUIRED, FAILOVER_WAIT_SEAL);
	down = standby(0) == coordinator() ? standby(1) : standby(0);
	set("sync_leave", 600000);
	run_ms(200);
	node_kill_agent(down);
	node_freeze_host(primary(), 900 * MS, false);
	run_ms(3000);
	expect(sim.truth->seal == 0, "no seal that nobody could follow");
	end_well();
	expect(state_reign(sim.truth)->epoch == 1, "the primary came back");
}

/* A standby whose agent is silent could not be sealed: it leaves the set. */
static void
silent_standby(void)
{
	struct node *silent;

	world(3, DURABILITY_PREFERRED, FAILOVER_WAIT_SEAL);
	silent = standby(0) == coordinator() ? standby(1) : standby(0);
	node_kill_agent(silent);
	run_ms(2000);
	expect(sim.truth->sync.count == 1 && sim.truth->sync_settled,
	    "the silent one has left the set");
	end_well();
}

/* Degraded: what was acknowledged alone is on the primary alone. */
static void
degraded_primary_vanishes(void)
{
	struct node *a, *b, *old;

	world(3, DURABILITY_PREFERRED, FAILOVER_WAIT_SEAL);
	old = primary();
	a = standby(0);
	b = standby(1);
	a->pg.hung_until = b->pg.hung_until = sim.now + 3 * SECOND;
	run_ms(2900);
	expect(sim.truth->sync.k == 0, "async since");
	node_crash_host(old);
	run_ms(5000);
	expect(sim.truth->seal == 0, "nobody but the old primary may lead");
	end_well();
	expect(primary() == old, "the old primary leads");
}

/* The answer to a seal waits for the promise on a disk that is slow. */
static void
slow_promise(void)
{
	uint32_t i;

	world(3, DURABILITY_PREFERRED, FAILOVER_WAIT_SEAL);
	order_failover(0);
	until(is_sealing, 2000, "a seal");
	for (i = 0; i < sim.node_count; i++)
		if (sim.nodes[i] != coordinator())
			sim.nodes[i]->disk_slow = 400 * MS;
	run_ms(3000);
	end_well();
}

/* B5: the candidate dies after its promotion, before anybody follows it. */
static void
candidate_dies(void)
{
	world(3, DURABILITY_PREFERRED, FAILOVER_WAIT_SEAL);
	node_crash_host(primary());
	while (!sim.failed && state_phase(sim.truth) != REIGN_PROMOTING)
		run_ms(1);
	run_ms(5);
	node_crash_host(primary());
	run_ms(500);
	end_well();
	expect(state_reign(sim.truth)->epoch >= 3 ||
	    primary()->pg.run == PG_OPEN, "an epoch after the burnt one");
}

/* B6, C1: promoted, then restarted: tried once, and a timeline of its own. */
static void
burnt_timeline(void)
{
	struct node *candidate;

	world(3, DURABILITY_PREFERRED, FAILOVER_WAIT_SEAL);
	node_crash_host(primary());
	while (!sim.failed && state_phase(sim.truth) != REIGN_PROMOTING)
		run_ms(1);
	candidate = primary();
	while (!sim.failed && candidate->pg.run != PG_OPEN)
		sim_run_until(sim.now + MS / 10);
	node_kill_agent(candidate);
	pg_kill(candidate);
	guard_child_ended(candidate, false);
	run_ms(100);
	node_start_agent(candidate);
	run_ms(3000);
	end_well();
	expect(state_reign(sim.truth)->epoch >= 3, "the promotion is burnt");
}

/* C1: a history file that nobody knows of: another timeline is chosen. */
static void
unknown_history(void)
{
	uint32_t i;

	world(3, DURABILITY_PREFERRED, FAILOVER_WAIT_SEAL);
	for (i = 0; i < sim.node_count; i++)
		pg_add_history(&sim.nodes[i]->pgdisk, 2, 1);
	order_failover(0);
	run_ms(3000);
	end_well();
	expect(state_reign(sim.truth)->epoch >= 3,
	    "a promotion to an unexpected timeline is burnt");
}

/*
 * A6: a standby that restarted has not replayed what it acknowledged, and
 * the other one lags behind.
 */
static void
restarted_standby(void)
{
	struct node *old, *full, *behind;

	world(3, DURABILITY_PREFERRED, FAILOVER_WAIT_SEAL);
	old = primary();
	full = standby(0);
	behind = standby(1);
	set("sync_leave", 600000);
	run_ms(100);
	pg_set_replay(full, true, 0);
	behind->pg.hung_until = sim.now + 600 * MS;
	run_ms(500);
	pg_kill(full);
	guard_child_ended(full, false);
	run_ms(20);
	pg_kill(old);
	guard_child_ended(old, false);
	node_kill_agent(old);
	run_ms(4000);
	end_well();
}

/* ---- the synchronous set ---- */

/* `ANY 2 (a,b)` to `ANY 2 (b,c)`: {a,c} may acknowledge meanwhile. */
static void
set_changes_while_primary_dies(int64_t after_ms)
{
	struct node *out;

	world(5, DURABILITY_PREFERRED, FAILOVER_WAIT_SEAL);
	set("sync_standbys", 2);
	run_ms(2000);
	out = standby(0) == coordinator() ? standby(1) : standby(0);
	isolate(out, true);
	run_ms(after_ms);
	isolate(out, false);
	node_crash_host(primary());
	run_ms(3000);
	end_well();
}

static void set_changes_0(void) { set_changes_while_primary_dies(480); }
static void set_changes_1(void) { set_changes_while_primary_dies(560); }
static void set_changes_2(void) { set_changes_while_primary_dies(1100); }

/* A2: leaving the empty list under a checkpoint that is deaf to reloads. */
static void
deaf_checkpointer(void)
{
	struct node *a, *b;

	world(3, DURABILITY_PREFERRED, FAILOVER_WAIT_SEAL);
	a = standby(0);
	b = standby(1);
	a->pg.hung_until = b->pg.hung_until = sim.now + 4 * SECOND;
	run_ms(3900);
	expect(sim.truth->sync.k == 0, "async since");
	pg_checkpoint(primary(), 4 * SECOND);
	run_ms(5000);
	node_crash_host(primary());
	run_ms(3000);
	end_well();
}

/* k rises: no priority shows it. */
static void
k_rises(void)
{
	world(5, DURABILITY_PREFERRED, FAILOVER_WAIT_SEAL);
	run_ms(200);
	sim.options.quiet = false;	/* walsenders reload late */
	set("sync_standbys", 2);
	run_ms(2000);
	end_well();
}

/* ---- leases ---- */

static void
primary_cut_off(int durability, int failover_wait)
{
	struct node *old;

	world(3, durability, failover_wait);
	old = primary();
	isolate(old, true);
	run_ms(9000);
	expect(old->pg.run != PG_OPEN, "the old primary is fenced");
	expect(state_reign(sim.truth)->epoch == 2 && is_open(),
	    "somebody else is primary");
	end_well();
}

static void
cut_off_async(void)
{
	primary_cut_off(DURABILITY_ASYNC, FAILOVER_WAIT_SEAL);
}

static void
cut_off_lease(void)
{
	primary_cut_off(DURABILITY_PREFERRED, FAILOVER_WAIT_LEASE);
}

/* A voter that restarts has forgotten what it granted. */
static void
voters_restart(void)
{
	struct node *old;
	uint32_t i;

	world(3, DURABILITY_ASYNC, FAILOVER_WAIT_LEASE);
	old = primary();
	isolate(old, true);
	node_kill_agent(old);	/* only its guard ends it */
	run_ms(100);
	for (i = 0; i < sim.node_count; i++)
		if (sim.nodes[i] != old) {
			node_kill_agent(sim.nodes[i]);
			node_start_agent(sim.nodes[i]);
		}
	run_ms(9000);
	end_well();
}

/* The primary's agent is gone; its guard is not. */
static void
agent_of_primary_dies(void)
{
	struct node *old;

	world(3, DURABILITY_ASYNC, FAILOVER_WAIT_LEASE);
	old = primary();
	node_kill_agent(old);
	run_ms(8000);
	expect(old->pg.run != PG_OPEN, "its guard has killed it");
	end_well();
}

/* ---- switchover, cold start ---- */

static void
switchover(void)
{
	uint32_t target;

	world(3, DURABILITY_PREFERRED, FAILOVER_WAIT_SEAL);
	target = standby(0)->id;
	order_switchover(target);
	run_ms(6000);
	expect(primary()->id == target && is_open(),
	    "the target is primary");
	end_well();
}

/* Its target dies after the seal: the old primary is the next candidate. */
static void
switchover_target_dies(void)
{
	struct node *target;

	world(3, DURABILITY_PREFERRED, FAILOVER_WAIT_SEAL);
	target = standby(0) == coordinator() ? standby(1) : standby(0);
	order_switchover(target->id);
	until(is_sealing, 8000, "the seal of the switchover");
	node_crash_host(target);
	run_ms(6000);
	expect(is_open() && primary() != target, "another one is primary");
	end_well();
}

static void
everything_reboots(void)
{
	uint32_t i, order;

	world(3, DURABILITY_PREFERRED, FAILOVER_WAIT_SEAL);
	for (order = 0; order < 6 && !sim.failed; order++) {
		static const uint8_t orders[6][3] = { { 0, 1, 2 },
			{ 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 },
			{ 2, 1, 0 } };

		for (i = 0; i < 3; i++)
			node_crash_host(sim.nodes[i]);
		for (i = 0; i < 3; i++) {
			node_boot_host(sim.nodes[orders[order][i]]);
			run_ms(1500);
		}
		until(is_settled, 40000, "a whole cluster after a reboot");
	}
	end_well();
}

static bool
is_list_back(void)
{
	return sim.truth->sync.k > 0 &&
	    primary()->act.in_force.sync_version == sim.truth->sync_version;
}

static bool is_list_settled(void) { return sim.truth->sync_settled; }

/*
 * The primary took a list into force, the cover rests on it, and a restart
 * finds the entry in its log but does not know it to be committed.
 */
static void
restart_with_an_old_list(void)
{
	struct node *old;
	uint32_t i;

	world(3, DURABILITY_PREFERRED, FAILOVER_WAIT_SEAL);
	old = primary();
	standby(0)->pg.hung_until = sim.now + 3 * SECOND;
	standby(1)->pg.hung_until = sim.now + 3 * SECOND;
	run_ms(2900);
	expect(sim.truth->sync.k == 0, "async since");
	until(is_list_back, 5000, "a list again");
	for (i = 0; i < sim.node_count; i++)
		sim.cut[i][old->index] = i != old->index;
	until(is_list_settled, 1000, "the list is confirmed");
	node_crash_host(old);
	net_heal();
	node_boot_host(old);
	run_ms(3000);
	end_well();
}

/* ---- all of them ---- */

static const struct {
	const char *name;
	void (*run)(void);
} scenarios[] = {
#define S(name) { #name, name }
	S(async_since_after_seal), S(stale_decision),
	S(false_alarm_lagging), S(false_alarm_paused),
	S(seal_without_coordinator), S(primary_dies), S(host_vanishes),
	S(standby_then_primary), S(seal_that_could_not_succeed),
	S(silent_standby), S(degraded_primary_vanishes), S(slow_promise),
	S(scenario_rules), S(candidate_dies), S(burnt_timeline),
	S(unknown_history), S(restarted_standby), S(set_changes_0),
	S(set_changes_1), S(set_changes_2), S(deaf_checkpointer), S(k_rises),
	S(cut_off_async), S(cut_off_lease), S(voters_restart),
	S(agent_of_primary_dies), S(switchover), S(switchover_target_dies),
	S(everything_reboots), S(restart_with_an_old_list),
#undef S
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

uint32_t
scenario_count(void)
{
	return SCENARIOS;
}

const char *
scenario_name(uint32_t number)
{
	return scenarios[number].name;
}

bool
scenario_run(uint32_t number, bool verbose, char *failure, size_t size)
{
	struct sim_options options = { .seed = number + 1, .quiet = true,
	    .quick = true, .verbose = verbose };

	sim_reset(&options);
	scenarios[number].run();
	snprintf(failure, size, "%s", sim.failure);
	return !sim.failed;
}

bool
scenarios_fail(char *by, size_t size)
{
	char failure[1024];
	uint32_t i;

	for (i = 0; i < SCENARIOS; i++)
		if (!scenario_run(i, false, failure, sizeof(failure))) {
			snprintf(by, size, "scenario %s: %.300s",
			    scenarios[i].name, failure);
			return true;
		}
	return false;
}
