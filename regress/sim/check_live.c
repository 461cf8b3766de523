/*
 * check_live.c - after the faults: a primary that acknowledges, and every
 * standby behind it.
 */
#include "sim.h"

#include <stdio.h>

/*
 * Left to the operator, to be cloned again: a rewind that broke off half-way,
 * a timeline that is in no ledger.
 */
static bool
is_stranded(const struct node *node)
{
	return node->act.rewind_failed || node->pgdisk.broken ||
	    state_epoch_of_timeline(sim.truth,
	    wal_get(node->pgdisk.flushed)->timeline) == 0;
}

static bool
is_following(const struct node *node, const struct node *primary)
{
	return node->pg.run == PG_RECOVERY && node->pg.consistent &&
	    node->pg.receiver == RECEIVER_STREAMING &&
	    node->pg.receiver_from == primary->id &&
	    node->act.result == ORDER_DONE;
}

bool
check_is_healthy(void)
{
	const struct reign *reign = state_reign(sim.truth);
	const struct node *primary;
	uint32_t i, stranded = 0;

	if (reign == NULL || state_phase(sim.truth) != REIGN_OPEN)
		return false;
	primary = node_of(reign->primary_id);
	if (primary->pg.run != PG_OPEN ||
	    primary->pg.epoch != reign->epoch)
		return false;
	for (i = 0; i < sim.node_count; i++)
		if (sim.nodes[i]->has_data && sim.nodes[i] != primary &&
		    !is_following(sim.nodes[i], primary)) {
			if (!is_stranded(sim.nodes[i]))
				return false;
			stranded++;
		}
	sim.counts.stranded = stranded;
	/* `required` waits for the standby that the operator must mend. */
	if (stranded > 0 && sim.truth->settings.durability ==
	    DURABILITY_REQUIRED)
		return true;
	return sim.last_ack != 0 && sim.now - sim.last_ack <= SECOND;
}

void
check_say_sick(void)
{
	const struct reign *reign = state_reign(sim.truth);
	char text[600];
	int len = 0;
	uint32_t i;

	for (i = 0; i < sim.node_count && len < 500; i++) {
		const struct node *n = sim.nodes[i];

		len += snprintf(text + len, sizeof(text) - (size_t)len,
		    "%sn%u: %s, %s, %.60s", i > 0 ? "; " : "", n->id,
		    order_name(n->act.order.kind), n->has_data ?
		    pg_state_name(node_pg_state(n)) : "witness",
		    n->act.message);
	}
	sim_fail("liveness", "epoch %llu (%s), last acknowledgement %.3f s: "
	    "%s", (unsigned long long)(reign != NULL ? reign->epoch : 0),
	    state_phase(sim.truth) == REIGN_OPEN ? "open" :
	    state_phase(sim.truth) == REIGN_SEALING ? "sealing" :
	    "promoting", (double)sim.last_ack / 1e9, text);
}
