/*
 * check_data.c - commits: what was acknowledged is on every chain that is
 * opened afterwards, held by as many as the cover says, and nobody else
 * acknowledges.  Judged from the models of PostgreSQL alone.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

#define PROMOTIONS_MAX	512

static struct {
	struct { uint64_t epoch; uint32_t node, timeline, base; }
	    promotions[PROMOTIONS_MAX];
	uint32_t promotion_count;
	uint64_t newest_acked;		/* epoch of an acknowledged commit */
	uint32_t newest_node;
} seen;

void
check_data_reset(void)
{
	memset(&seen, 0, sizeof(seen));
	sim.commit_room = 60000;
	sim.commits = calloc(sim.commit_room, sizeof(*sim.commits));
	if (sim.commits == NULL)
		abort();
}

static bool
is_lossy(uint64_t epoch)
{
	const struct reign *reign = state_reign_of(sim.truth, epoch);

	return reign != NULL && reign->lossy;
}

static bool
is_async(void)
{
	return sim.truth->settings.durability == DURABILITY_ASYNC;
}

/* ---- what the cluster agreed ---- */

/*
 * A promotion was agreed: is it true, on the disks, that a majority of the
 * voters has promised, and enough of the newest cover or its primary?
 */
static void
check_sealed_in_fact(const struct state *before, const struct state *now)
{
	const struct reign *reign = state_reign(now);
	const struct cover *cover;
	uint32_t i, voters = 0, promised = 0, holders = 0;
	const struct node *node;

	if (reign->lossy || before->cover_count == 0)
		return;
	for (i = 0; i < before->member_count; i++) {
		if (!before->members[i].voter)
			continue;
		voters++;
		promised += sim.nodes[before->members[i].id - 1]->
		    io.disk.promise >= reign->epoch;
	}
	if (promised < voters / 2 + 1)
		sim_fail("seal", "epoch %llu is promoted for while %u of %u "
		    "voters have promised", (unsigned long long)reign->epoch,
		    promised, voters);
	cover = &before->covers[before->cover_count - 1];
	node = node_of(cover->primary_id);
	if (is_async() || cover->k == 0 || cover->k > cover->count ||
	    cover->next_begin.value != 0 ||
	    node->io.disk.promise >= reign->epoch)
		return;
	for (i = 0; i < cover->count; i++)
		holders += node_of(cover->names[i].member_id)->
		    io.disk.promise >= reign->epoch;
	if (holders + cover->k <= cover->count)
		sim_fail("seal", "epoch %llu is promoted for while %u of the "
		    "%u in the cover have promised",
		    (unsigned long long)reign->epoch, holders, cover->count);
}

void
check_truth(struct node *node)
{
	const struct state *now = node->state, *before = sim.truth;
	const struct reign *reign = state_reign(now);
	uint32_t i;

	for (i = 0; reign != NULL && i + 1 < now->reign_count; i++) {
		if (now->reigns[i].epoch >= now->reigns[i + 1].epoch)
			sim_fail("epochs", "epoch %llu stands before %llu",
			    (unsigned long long)now->reigns[i].epoch,
			    (unsigned long long)now->reigns[i + 1].epoch);
		if (now->reigns[i].timeline == reign->timeline)
			sim_fail("timelines", "timeline %u belongs to epoch "
			    "%llu and %llu", reign->timeline,
			    (unsigned long long)now->reigns[i].epoch,
			    (unsigned long long)reign->epoch);
	}
	if (reign != NULL && state_reign(before) != NULL &&
	    reign->epoch == state_reign(before)->epoch &&
	    reign->timeline != state_reign(before)->timeline)
		sim_fail("timelines", "epoch %llu was to open timeline %u, "
		    "but opened %u", (unsigned long long)reign->epoch,
		    state_reign(before)->timeline, reign->timeline);
	if (now->promote_index > before->promote_index)
		check_sealed_in_fact(before, now);
	if (before->seal < now->seal)
		sim.counts.seals++;
	if (sim.options.verbose && now->event_count > 0 &&
	    now->last_event_id != before->last_event_id)
		sim_say(NULL, "agreed: %s", now->events[(now->event_first +
		    now->event_count - 1) % EVENTS_MAX].text);
	*sim.truth = *now;
}

/* ---- read-write ---- */

static void
check_holds_all(const struct node *node, uint64_t epoch, uint32_t tip,
    const char *what)
{
	uint32_t i;

	for (i = 0; i < sim.commit_count; i++) {
		const struct commit *c = &sim.commits[i];

		/* One that comes late for a burnt epoch can harm nobody. */
		if (c->acked_at == 0 || c->lost_allowed ||
		    c->epoch > epoch || wal_contains(tip, c->wal))
			continue;
		sim_fail("commits", "n%u %s epoch %llu without commit %u, "
		    "acknowledged by n%u in epoch %llu at %.3f s", node->id,
		    what, (unsigned long long)epoch, i + 1,
		    sim.nodes[c->node]->id, (unsigned long long)c->epoch,
		    (double)c->acked_at / 1e9);
		return;
	}
}

void
check_promoted(const struct node *node, uint32_t timeline, uint32_t record)
{
	uint64_t epoch = node->pg.epoch;
	const struct reign *reign = state_reign_of(sim.truth, epoch);
	uint32_t i;

	if (reign == NULL || reign->primary_id != node->id) {
		sim_fail("orders", "n%u is promoted for epoch %llu, which is "
		    "not its own", node->id, (unsigned long long)epoch);
		return;
	}
	for (i = 0; i < seen.promotion_count; i++)
		if (seen.promotions[i].timeline == timeline)
			sim_fail("timelines", "n%u opens timeline %u, which "
			    "n%u opened before", node->id, timeline,
			    sim.nodes[seen.promotions[i].node]->id);
	if (seen.promotion_count < PROMOTIONS_MAX) {
		i = seen.promotion_count++;
		seen.promotions[i].epoch = epoch;
		seen.promotions[i].node = node->index;
		seen.promotions[i].timeline = timeline;
		seen.promotions[i].base = record;
	}
	if (!is_lossy(epoch))
		check_holds_all(node, epoch, record, "is promoted for");
}

void
check_opens(const struct node *node)
{
	const struct reign *reign = state_reign_of(sim.truth,
	    node->pg.epoch);

	if (reign == NULL || reign->primary_id != node->id)
		sim_fail("orders", "n%u is read-write for epoch %llu, which "
		    "is not its own", node->id,
		    (unsigned long long)node->pg.epoch);
}

/* ---- acknowledgements ---- */

/* Nobody may have been opened elsewhere without this very commit. */
static void
check_not_left_behind(const struct node *node, const struct commit *c)
{
	uint32_t i;

	for (i = 0; i < seen.promotion_count; i++) {
		if (seen.promotions[i].epoch <= c->epoch ||
		    is_lossy(seen.promotions[i].epoch) ||
		    wal_contains(seen.promotions[i].base, c->wal))
			continue;
		sim_fail("commits", "n%u acknowledges a commit in epoch "
		    "%llu that n%u, promoted for epoch %llu, does not hold",
		    node->id, (unsigned long long)c->epoch,
		    sim.nodes[seen.promotions[i].node]->id,
		    (unsigned long long)seen.promotions[i].epoch);
		return;
	}
}

static void
check_cover(const struct node *node, const struct commit *c)
{
	const struct state *state = sim.truth;
	const struct cover *cover = NULL;
	uint32_t i, holders = 0;

	for (i = 0; i < state->cover_count; i++)
		if (state->covers[i].epoch == c->epoch)
			cover = &state->covers[i];
	if (cover == NULL || cover->k == 0)
		return;
	for (i = 0; i < cover->count; i++) {
		const struct node *holder = node_of(
		    cover->names[i].member_id);

		if (holder != NULL && holder->pgdisk.exists &&
		    wal_contains(holder->pgdisk.flushed, c->wal))
			holders++;
	}
	if (holders < cover->k)
		sim_fail("cover", "n%u acknowledges a commit of epoch %llu "
		    "that %u of its cover hold, which says %u of %u",
		    node->id, (unsigned long long)c->epoch, holders,
		    cover->k, cover->count);
}

/* By the clock: two nodes must not acknowledge one after the other. */
static void
check_one_at_a_time(const struct node *node, const struct commit *c)
{
	bool by_clock = is_async() || sim.truth->settings.failover_wait ==
	    FAILOVER_WAIT_LEASE;

	if (by_clock && !sim.clocks_lie && c->epoch < seen.newest_acked)
		sim_fail("lease", "n%u acknowledges a commit in epoch %llu "
		    "after n%u did in epoch %llu", node->id,
		    (unsigned long long)c->epoch, seen.newest_node,
		    (unsigned long long)seen.newest_acked);
	if (c->epoch > seen.newest_acked) {
		seen.newest_acked = c->epoch;
		seen.newest_node = node->id;
	}
}

void
check_acknowledged(struct node *node, uint32_t number, bool waited)
{
	struct commit *c = &sim.commits[number - 1];

	c->acked_at = sim.now;
	c->lost_allowed = is_async();
	sim.counts.acks++;
	if (!waited)
		sim_say(node, "acknowledges commit %u, which did not wait",
		    number);
	check_one_at_a_time(node, c);
	if (is_async()) {
		sim.last_ack = c->calm ? sim.now : 0;
		return;
	}
	check_not_left_behind(node, c);
	check_cover(node, c);
	if (c->calm)
		sim.last_ack = sim.now;
}

void
check_counted(const struct node *primary, const struct node *standby,
    uint32_t record)
{
	if (wal_contains(standby->pgdisk.flushed, record) ||
	    sim.now - standby->rewound_at < 10 * SECOND)
		return;
	sim_fail("counted", "n%u counts n%u, whose WAL is on another chain, "
	    "as synchronous", primary->id, standby->id);
}

void
check_attached(const struct node *standby, uint32_t before, uint32_t after)
{
	if (before != after)
		sim_fail("attached", "n%u goes on at %llu with WAL that does "
		    "not follow its own", standby->id,
		    (unsigned long long)wal_lsn(before));
}

/* ---- the end ---- */

void
check_end(void)
{
	const struct reign *reign = state_reign(sim.truth);
	const struct node *primary = node_of(reign->primary_id);

	check_holds_all(primary, reign->epoch, primary->pgdisk.flushed,
	    "ends as primary of");
}
