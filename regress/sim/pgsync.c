/*
 * pgsync.c - synchronous replication as PostgreSQL does it: every walsender
 * decides with its own copy of synchronous_standby_names over priorities that
 * all of them share, and only the checkpointer raises the flag that makes
 * backends wait at all.
 */
#include "sim.h"

#include <string.h>

bool
ssn_equal(const struct ssn *a, const struct ssn *b)
{
	uint8_t i;

	if (a->kind != b->kind)
		return false;
	if (a->kind < SSN_ANY)
		return true;
	if (a->list.k != b->list.k || a->list.count != b->list.count)
		return false;
	for (i = 0; i < a->list.count; i++)
		if (a->list.names[i].member_id !=
		    b->list.names[i].member_id ||
		    a->list.names[i].incarnation !=
		    b->list.names[i].incarnation)
			return false;
	return true;
}

void
ssn_from_list(struct ssn *ssn, const struct sync_list *list)
{
	memset(ssn, 0, sizeof(*ssn));
	ssn->kind = list->k == 0 ? SSN_EMPTY :
	    list->count == 0 ? SSN_DUMMY : SSN_ANY;
	if (ssn->kind == SSN_ANY)
		ssn->list = *list;
}

bool
ssn_has(const struct ssn *ssn, uint32_t member_id, uint32_t incarnation)
{
	uint8_t i;

	if (ssn->kind >= SSN_ANY)
		for (i = 0; i < ssn->list.count; i++)
			if (ssn->list.names[i].member_id == member_id &&
			    ssn->list.names[i].incarnation == incarnation)
				return true;
	return false;
}

/* ---- waiting and being released ---- */

static void
end_wait(struct node *node, struct waiter *waiter)
{
	uint32_t commit = waiter->commit;
	bool probe = waiter->probe;

	waiter->used = false;
	node->pg.waiter_count--;
	if (probe)
		node->act.waiter_pending = false;
	else
		check_acknowledged(node, commit, true);
}

static void
wake(struct node *node, bool all)
{
	struct pg *pg = &node->pg;
	uint32_t i;

	for (i = 0; i < WAITERS_MAX && pg->waiter_count > 0; i++)
		if (pg->waiters[i].used && (all ||
		    wal_lsn(pg->waiters[i].record) <= pg->released))
			end_wait(node, &pg->waiters[i]);
}

void
pgsync_commit_flushed(struct node *node, struct waiter waiter)
{
	struct pg *pg = &node->pg;
	uint32_t i;

	if (!pg->flag || wal_lsn(waiter.record) <= pg->released) {
		if (waiter.probe)
			node->act.waiter_pending = false;
		else
			check_acknowledged(node, waiter.commit, pg->flag);
		return;
	}
	for (i = 0; i < WAITERS_MAX; i++)
		if (!pg->waiters[i].used) {
			pg->waiters[i] = waiter;
			pg->waiter_count++;
			return;
		}
}

bool
pgsync_probe_waits(const struct node *node)
{
	uint32_t i;

	for (i = 0; i < WAITERS_MAX; i++)
		if (node->pg.waiters[i].used && node->pg.waiters[i].probe)
			return true;
	return false;
}

/* ---- walsenders ---- */

void
pgsync_set_priority(struct sender *sender)
{
	const struct ssn *ssn = &sender->ssn;
	uint8_t i;

	sender->priority = 0;
	if (!ssn_has(ssn, sender->member_id, sender->incarnation))
		return;
	sender->priority = 1;
	for (i = 0; ssn->kind == SSN_FIRST && i < ssn->list.count; i++)
		if (ssn->list.names[i].member_id == sender->member_id)
			sender->priority = (uint8_t)(i + 2);
}

/* The k-th greatest flush position. */
static uint64_t
any_of(const struct sender **candidates, uint32_t count, uint32_t k)
{
	uint32_t i, j, at_least;
	uint64_t lsn, best = 0;

	for (i = 0; i < count; i++) {
		lsn = wal_lsn(candidates[i]->flush);
		at_least = 0;
		for (j = 0; j < count; j++)
			if (wal_lsn(candidates[j]->flush) >= lsn)
				at_least++;
		if (at_least >= k && lsn > best)
			best = lsn;
	}
	return best;
}

/* The smallest flush position of the k with the best priority. */
static uint64_t
first_of(const struct sender **candidates, uint32_t count, uint32_t k)
{
	uint64_t least = UINT64_MAX;
	uint32_t i, j;

	for (i = 0; i < k; i++)
		for (j = i + 1; j < count; j++)
			if (candidates[j]->priority <
			    candidates[i]->priority) {
				const struct sender *held = candidates[i];

				candidates[i] = candidates[j];
				candidates[j] = held;
			}
	for (i = 0; i < k; i++)
		if (wal_lsn(candidates[i]->flush) < least)
			least = wal_lsn(candidates[i]->flush);
	return least;
}

/* SyncRepReleaseWaiters(), in the walsender that got a reply. */
void
pgsync_reply(struct node *node, struct sender *sender)
{
	struct pg *pg = &node->pg;
	const struct sender *candidates[NODES_MAX];
	uint32_t i, count = 0, k = sender->ssn.list.k;
	uint64_t best;

	if (sender->priority == 0 || !sender->streaming ||
	    sender->flush == 0 || sender->ssn.kind < SSN_ANY)
		return;
	for (i = 0; i < NODES_MAX; i++)
		if (pg->senders[i].used && pg->senders[i].streaming &&
		    pg->senders[i].flush != 0 && pg->senders[i].priority > 0)
			candidates[count++] = &pg->senders[i];
	if (count < k)
		return;
	best = sender->ssn.kind == SSN_FIRST ? first_of(candidates, count,
	    k) : any_of(candidates, count, k);
	if (best <= pg->released)
		return;
	for (i = 0; i < count; i++)
		if (wal_lsn(candidates[i]->flush) >= best)
			check_counted(node, sim.nodes[candidates[i]->node],
			    wal_at(pg->inserted, best));
	sim_say(node, "n%u's walsender releases up to %llu, as any %u of %u",
	    sender->member_id, (unsigned long long)best, k, count);
	pg->released = best;
	wake(node, false);
}

/* ---- reloads ---- */

static void
sender_reloads(struct sim_event *event)
{
	struct node *node = event->node;
	struct sender *sender = &node->pg.senders[event->a];

	if (!sender->used || sender->session != event->b)
		return;
	sender->ssn = node->pgdisk.ssn;
	pgsync_set_priority(sender);
}

static void
checkpointer_reloads(struct node *node)
{
	struct pg *pg = &node->pg;
	bool flag = node->pgdisk.ssn.kind != SSN_EMPTY;

	if (pg->flag && !flag)
		wake(node, true);
	pg->flag = flag;
}

static void
checkpointer_signalled(struct sim_event *event)
{
	if (event->node->pg.checkpoint_until > sim.now)
		return;		/* deaf; looks when it is done */
	checkpointer_reloads(event->node);
}

void
pgsync_checkpointer_wakes(struct node *node)
{
	if (node->pg.checkpoint_until <= sim.now)
		checkpointer_reloads(node);
}

void
pgsync_reload(struct node *node)
{
	struct pg *pg = &node->pg;
	struct sim_event *event;
	uint32_t i;

	pg->postmaster_ssn = node->pgdisk.ssn;
	for (i = 0; i < NODES_MAX; i++) {
		if (!pg->senders[i].used)
			continue;
		event = sim_plan(sim_delay(2 * MS, SECOND), sender_reloads,
		    node, LAYER_PG);
		event->a = i;
		event->b = pg->senders[i].session;
	}
	sim_plan(sim_delay(2 * MS, 100 * MS), checkpointer_signalled, node,
	    LAYER_PG);
}

void
pgsync_start(struct node *node)
{
	struct pg *pg = &node->pg;

	pg->session_ssn = pg->postmaster_ssn = node->pgdisk.ssn;
	/* Since the minor releases of 2025: not known yet = waits. */
	pg->flag = node->pgdisk.ssn.kind != SSN_EMPTY;
}
