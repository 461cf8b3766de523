/*
 * guard.c - the guard as the core needs it: parent of the postmaster, with a
 * page that outlives the agent.  Once it kills it finishes.
 */
#include "sim.h"

#include <assert.h>

#include "mutant.h"

static void	arm(struct node *node);

static void
agent_hears(struct sim_event *event)
{
	if (event->node->guarded && event->node->guard.run == GUARD_IS_GONE)
		node_none_left(event->node);
}

static void
tell(struct node *node)
{
	node->guard.run = GUARD_IS_GONE;
	if (node->agent_up)
		sim_plan(sim_delay(MS / 5, 5 * MS), agent_hears, node,
		    LAYER_AGENT);
}

static void
killed(struct sim_event *event)
{
	struct node *node = event->node;

	if (node->guard.run != GUARD_KILLS ||
	    node->guard.life != event->a)
		return;
	pg_kill(node);
	tell(node);
}

static void
kill_all(struct node *node, uint8_t why)
{
	struct sim_event *event;

	if (node->guard.run != GUARD_RUNS && node->guard.run != GUARD_STOPS)
		return;
	node->guard.run = GUARD_KILLS;
	node->guard.why = why;
	sim_say(node, "guard kills PostgreSQL (%s)",
	    why == WHY_DEADLINE ? "lease" : "ordered");
	event = sim_plan(sim_delay(3 * MS, 60 * MS), killed, node,
	    LAYER_HOST);
	event->a = node->guard.life;
}

static void
deadline(struct sim_event *event)
{
	struct node *node = event->node;

	if (node->guard.life != event->a || !node->guard.armed ||
	    (node->guard.run != GUARD_RUNS && node->guard.run != GUARD_STOPS))
		return;
	if (node_local(node) < node->guard.deadline -
	    node->guard.margin_ms * MS) {
		arm(node);
		return;
	}
	if (!RULE_OFF("guard-deadline"))
		kill_all(node, WHY_DEADLINE);
}

static void
arm(struct node *node)
{
	struct sim_event *event;

	if (!node->guard.armed)
		return;
	event = sim_plan(node_until(node, node->guard.deadline -
	    node->guard.margin_ms * MS), deadline, node, LAYER_HOST);
	event->a = node->guard.life;
}

void
guard_begin(struct node *node, bool armed, uint64_t epoch,
    int64_t deadline_local)
{
	struct guard *guard = &node->guard;

	assert(guard->run == GUARD_NONE || guard->run == GUARD_IS_GONE);
	guard->run = GUARD_RUNS;
	guard->why = WHY_NONE;
	guard->life++;
	guard->armed = armed;
	guard->epoch = epoch;
	guard->deadline = deadline_local;
	guard->margin_ms = 300;
	pg_start(node);
	arm(node);
}

void
guard_page(struct node *node, bool armed, uint64_t epoch,
    int64_t deadline_local)
{
	struct guard *guard = &node->guard;
	bool newly = armed && !guard->armed;

	if (guard->run != GUARD_RUNS && guard->run != GUARD_STOPS)
		return;
	guard->armed = armed;
	guard->epoch = epoch;
	guard->deadline = deadline_local;
	if (newly)
		arm(node);
}

void
guard_stop(struct node *node)
{
	if (node->guard.run != GUARD_RUNS)
		return;
	node->guard.run = GUARD_STOPS;
	pg_stop_fast(node);
}

void
guard_kill(struct node *node)
{
	kill_all(node, WHY_ORDERED);
}

void
guard_child_ended(struct node *node, bool as_asked)
{
	struct guard *guard = &node->guard;

	if (guard->run != GUARD_RUNS && guard->run != GUARD_STOPS)
		return;
	guard->why = as_asked && guard->run == GUARD_STOPS ? WHY_STOPPED :
	    WHY_EXITED;
	tell(node);
}
