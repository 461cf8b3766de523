/*
 * nemesis.c - what goes wrong, and the clients that go on regardless.
 */
#include "sim.h"

#include <string.h>

/* ---- clients ---- */

static void
client(struct sim_event *event)
{
	struct node *node = event->node;

	sim_plan(sim_between(5 * MS, 100 * MS), client, node, LAYER_WORLD);
	if (node->host_up && pg_answers(node) && node->pg.run == PG_OPEN)
		(void)pg_commit(node, false);
}

void
clients_start(void)
{
	uint32_t i;

	for (i = 0; i < sim.node_count; i++)
		if (sim.nodes[i]->has_data)
			sim_plan(sim_between(0, 100 * MS), client,
			    sim.nodes[i], LAYER_WORLD);
}

/* ---- faults ---- */

static struct node *
anybody(void)
{
	return sim.nodes[sim_random() % sim.node_count];
}

/* Whoever leads the cluster's data, more often than the others. */
static struct node *
somebody(void)
{
	const struct reign *reign = state_reign(sim.truth);

	if (reign != NULL && sim_chance(400))
		return node_of(reign->primary_id);
	return anybody();
}

static void
boots(struct sim_event *event)
{
	node_boot_host(event->node);
}

static void
agent_starts(struct sim_event *event)
{
	node_start_agent(event->node);
}

static void
heals(struct sim_event *event)
{
	(void)event;
	sim_say(NULL, "network heals");
	net_heal();
}

static void
crash_host(void)
{
	struct node *node = somebody();

	node_crash_host(node);
	sim_plan(sim_between(SECOND / 2, 12 * SECOND), boots, node,
	    LAYER_WORLD);
}

static void
crash_all(void)
{
	uint32_t i;

	sim_say(NULL, "everything loses power");
	for (i = 0; i < sim.node_count; i++) {
		node_crash_host(sim.nodes[i]);
		sim_plan(sim_between(SECOND / 4, 5 * SECOND), boots,
		    sim.nodes[i], LAYER_WORLD);
	}
}

static void
kill_agent(void)
{
	struct node *node = somebody();

	node_kill_agent(node);
	sim_plan(sim_between(50 * MS, 6 * SECOND), agent_starts, node,
	    LAYER_WORLD);
}

static void
kill_postgres(void)
{
	struct node *node = somebody();

	if (node->pg.run == PG_OFF || node->guard.run != GUARD_RUNS)
		return;
	sim_say(node, "PostgreSQL dies");
	pg_kill(node);
	guard_child_ended(node, false);
}

static void
partition(void)
{
	uint32_t i, j, sides = 0;

	sim_say(NULL, "network splits");
	for (i = 0; i < sim.node_count; i++)
		sides |= (uint32_t)sim_chance(500) << i;
	for (i = 0; i < sim.node_count; i++)
		for (j = 0; j < sim.node_count; j++)
			sim.cut[i][j] = (sides >> i & 1) != (sides >> j & 1);
	sim_plan(sim_between(SECOND / 4, 10 * SECOND), heals, NULL,
	    LAYER_WORLD);
}

static void
isolate(void)
{
	struct node *node = somebody();
	bool in = sim_chance(700), out = !in || sim_chance(600);
	uint32_t i;

	sim_say(node, "is cut off%s", in && out ? "" : ", one way");
	for (i = 0; i < sim.node_count; i++) {
		if (i == node->index)
			continue;
		sim.cut[i][node->index] = in;
		sim.cut[node->index][i] = out;
	}
	sim_plan(sim_between(SECOND / 4, 10 * SECOND), heals, NULL,
	    LAYER_WORLD);
}

static void
cut_one_link(void)
{
	struct node *a = somebody(), *b = anybody();

	if (a == b)
		return;
	sim_say(a, "link to n%u is cut", b->id);
	sim.cut[a->index][b->index] = true;
	if (sim_chance(700))
		sim.cut[b->index][a->index] = true;
	sim_plan(sim_between(SECOND / 4, 8 * SECOND), heals, NULL,
	    LAYER_WORLD);
}

static void
bad_network(void)
{
	sim_say(NULL, "network turns bad");
	sim.loss_permille = (uint32_t)sim_between(0, 300);
	sim.dup_permille = (uint32_t)sim_between(0, 200);
	sim.slow_permille = (uint32_t)sim_between(0, 300);
	sim_plan(sim_between(SECOND, 8 * SECOND), heals, NULL, LAYER_WORLD);
}

static void
freeze_agent(void)
{
	struct node *node = somebody();

	if (node->agent_up)
		node_freeze_agent(node, sim_between(100 * MS, 7 * SECOND));
}

static void
freeze_host(void)
{
	struct node *node = somebody();
	bool sealed_only = sim.truth->settings.durability !=
	    DURABILITY_ASYNC && sim.truth->settings.failover_wait ==
	    FAILOVER_WAIT_SEAL;

	if (node->host_up && sealed_only && node->host_frozen <= sim.now)
		node_freeze_host(node, sim_between(100 * MS, 7 * SECOND),
		    sim_chance(300));
}

static void
hang_postgres(void)
{
	struct node *node = somebody();

	if (node->pg.run == PG_OFF)
		return;
	sim_say(node, "PostgreSQL hangs");
	node->pg.hung_until = sim.now + sim_between(100 * MS, 8 * SECOND);
}

static void
slow_replay(void)
{
	struct node *node = anybody();

	pg_set_replay(node, sim_chance(400), sim_chance(500) ?
	    sim_between(50 * MS, 3 * SECOND) : 0);
	sim_say(node, "replay %s, lag %lld ms", node->pg.paused ? "paused" :
	    "not paused", (long long)(node->pg.lag / MS));
}

static void
slow_disk(void)
{
	struct node *node = anybody();

	node->disk_slow = sim_chance(500) ? 0 :
	    sim_between(50 * MS, 700 * MS);
	sim_say(node, "every write takes %lld ms",
	    (long long)(node->disk_slow / MS));
}

static void
long_checkpoint(void)
{
	pg_checkpoint(somebody(), sim_between(200 * MS, 4 * SECOND));
}

/* ---- the operator ---- */

static struct node *
coordinator(void)
{
	uint32_t i;

	for (i = 0; i < sim.node_count; i++)
		if (node_agent_runs(sim.nodes[i]) &&
		    consensus_is_leader(sim.nodes[i]))
			return sim.nodes[i];
	return NULL;
}

static void
order_job(void)
{
	struct node *leader = coordinator(), *target = anybody();
	struct command c;

	if (leader == NULL || !target->has_data || state_reign(sim.truth) ==
	    NULL || state_reign(sim.truth)->primary_id == target->id)
		return;
	memset(&c, 0, sizeof(c));
	c.type = CMD_JOB_START;
	c.u.job.kind = sim_chance(800) ? JOB_SWITCHOVER : JOB_FAILOVER;
	c.u.job.step = c.u.job.kind == JOB_SWITCHOVER ? JOB_STEP_PREPARE :
	    JOB_STEP_SEAL;
	c.u.job.member_id = c.u.job.kind == JOB_SWITCHOVER ||
	    sim_chance(500) ? target->id : 0;
	sim_say(leader, "operator orders a %s to n%u",
	    c.u.job.kind == JOB_SWITCHOVER ? "switchover" : "failover",
	    target->id);
	consensus_propose(leader, &c, false);
}

static void
change_setting(void)
{
	struct node *leader = coordinator();
	struct command c;

	if (leader == NULL)
		return;
	memset(&c, 0, sizeof(c));
	c.type = CMD_SETTING;
	if (sim_chance(500) && sim.truth->settings.durability !=
	    DURABILITY_ASYNC) {
		memcpy(c.u.setting.name, "durability",
		    sizeof("durability"));
		c.u.setting.value = sim_chance(500) ? DURABILITY_PREFERRED :
		    DURABILITY_REQUIRED;
	} else {
		memcpy(c.u.setting.name, "sync_standbys",
		    sizeof("sync_standbys"));
		c.u.setting.value = sim_between(1, sim.node_count > 3 ? 2 :
		    1);
	}
	sim_say(leader, "operator sets %s = %lld", c.u.setting.name,
	    (long long)c.u.setting.value);
	consensus_propose(leader, &c, false);
}

static const struct {
	void (*strike)(void);
	uint32_t weight;
} faults[] = {
	{ crash_host, 12 }, { crash_all, 2 }, { kill_agent, 12 },
	{ kill_postgres, 12 }, { partition, 8 }, { isolate, 14 },
	{ cut_one_link, 8 }, { bad_network, 6 }, { freeze_agent, 10 },
	{ freeze_host, 6 }, { hang_postgres, 5 }, { slow_replay, 8 },
	{ long_checkpoint, 6 }, { slow_disk, 5 }, { order_job, 8 },
	{ change_setting, 4 },
};

static void
strike(struct sim_event *event)
{
	uint32_t i, total = 0, at;

	(void)event;
	if (sim.calm)
		return;
	for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		total += faults[i].weight;
	at = (uint32_t)(sim_random() % total);
	for (i = 0; at >= faults[i].weight; i++)
		at -= faults[i].weight;
	faults[i].strike();
	sim_plan(sim_between(20 * MS, 4 * SECOND), strike, NULL,
	    LAYER_WORLD);
}

void
nemesis_start(void)
{
	sim_plan(sim_between(2 * SECOND, 6 * SECOND), strike, NULL,
	    LAYER_WORLD);
}

void
nemesis_end(void)
{
	uint32_t i;

	sim_say(NULL, "calm");
	sim.calm = true;
	net_heal();
	for (i = 0; i < sim.node_count; i++) {
		node_boot_host(sim.nodes[i]);
		node_start_agent(sim.nodes[i]);
		sim.nodes[i]->disk_slow = 0;
		pg_set_replay(sim.nodes[i], false, 0);
	}
}
