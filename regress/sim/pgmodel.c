/*
 * pgmodel.c - PostgreSQL as far as replication goes: its data directory, its
 * start and end, replay, promotion, checkpoints.
 *
 * Modelled as seen on PostgreSQL 15: pg_control follows a promotion only at
 * the next checkpoint; the new timeline is the newest contiguous history file
 * plus one; a crash makes commits that were waiting visible.
 */
#include "sim.h"

#include <assert.h>
#include <string.h>

bool
pg_answers(const struct node *node)
{
	return (node->pg.run == PG_OPEN || (node->pg.run == PG_RECOVERY &&
	    node->pg.consistent)) && node->pg.hung_until <= sim.now &&
	    node->host_frozen <= sim.now;
}

uint32_t
pg_timeline(const struct node *node)
{
	return wal_get(node->pg.run == PG_OFF ? node->pgdisk.flushed :
	    node->pg.run == PG_OPEN ? node->pg.inserted :
	    node->pg.written)->timeline;
}

bool
pg_has_history(const struct pg_disk *disk, uint32_t timeline)
{
	uint32_t i;

	for (i = 0; i < disk->history_count; i++)
		if (disk->histories[i].timeline == timeline)
			return true;
	return timeline == 1;
}

void
pg_add_history(struct pg_disk *disk, uint32_t timeline, uint64_t fork)
{
	if (pg_has_history(disk, timeline))
		return;
	assert(disk->history_count < HISTORIES_MAX);
	disk->histories[disk->history_count].timeline = timeline;
	disk->histories[disk->history_count++].fork = fork;
}

/* ---- replay ---- */

static void	plan_replay(struct node *node);

static void
finish_promotion(struct sim_event *event)
{
	struct node *node = event->node;
	struct pg *pg = &node->pg;
	struct pg_disk *disk = &node->pgdisk;
	uint32_t timeline = wal_get(pg->written)->timeline;
	uint64_t fork = wal_lsn(pg->written);

	/* The target is the timeline it recovers along, or a later file. */
	while (pg_has_history(disk, timeline + 1))
		timeline++;
	timeline++;
	pg_add_history(disk, timeline, fork);
	check_promoted(node, timeline, pg->written);
	pg->inserted = pg->written = wal_append(pg->written, timeline, 48, 0,
	    pg->epoch);
	pg->replayed = pg->written;
	disk->flushed = pg->written;
	disk->standby_signal = false;
	disk->shut_down = false;
	pg->run = PG_OPEN;
	sim.counts.failovers++;
	sim_say(node, "PostgreSQL is read-write on timeline %u from %llu",
	    timeline, (unsigned long long)fork);
	check_opens(node);
	pg_checkpoint(node, sim_delay(200 * MS, 4 * SECOND));
}

static void
promote_when_replayed(struct node *node)
{
	struct pg *pg = &node->pg;

	if (!pg->promote_asked || pg->run != PG_RECOVERY ||
	    pg->replayed != node->pgdisk.flushed)
		return;
	pg->promote_asked = false;
	pgstream_drop_receiver(node);
	if (pg->replayed != pg->written) {
		pg->promote_asked = true;
		plan_replay(node);
		return;
	}
	sim_plan(sim_delay(15 * MS, 200 * MS), finish_promotion, node,
	    LAYER_PG);
}

static void
replay(struct sim_event *event)
{
	struct node *node = event->node;
	struct pg *pg = &node->pg;

	pg->replay_planned = false;
	if (pg->run != PG_RECOVERY || (pg->paused && pg->consistent))
		return;
	/* After a start, readers come before the end of what lies there. */
	if (!pg->consistent && wal_lsn(pg->replayed) <
	    wal_lsn(node->pgdisk.min_recovery))
		pg->replayed = wal_at(node->pgdisk.flushed,
		    wal_lsn(node->pgdisk.min_recovery));
	/* Only what is flushed is replayed. */
	else if (pg->consistent)
		pg->replayed = node->pgdisk.flushed;
	if (!pg->consistent && wal_lsn(pg->replayed) >=
	    wal_lsn(node->pgdisk.min_recovery)) {
		pg->consistent = true;
		node->pgdisk.timeline = wal_get(pg->replayed)->timeline;
		sim_say(node, "PostgreSQL accepts readers");
		pg->replay_planned = true;
		sim_plan(sim_delay(40 * MS, 2 * SECOND), replay, node,
		    LAYER_PG);
	}
	promote_when_replayed(node);
	pgstream_look(node, MS);
}

static void
plan_replay(struct node *node)
{
	struct pg *pg = &node->pg;

	if (pg->replay_planned || pg->run != PG_RECOVERY)
		return;
	pg->replay_planned = true;
	sim_plan(pg->lag > 0 ? pg->lag : sim_delay(MS, 20 * MS), replay,
	    node, LAYER_PG);
}

/* The walreceiver has written up to `record` and flushed it. */
void
pg_take_flushed(struct node *node, uint32_t record)
{
	if (wal_lsn(record) > wal_lsn(node->pgdisk.flushed) ||
	    !wal_contains(node->pgdisk.flushed, record))
		node->pgdisk.flushed = record;
	node->pg.received = record;
	plan_replay(node);
}

bool
pg_is_parked(const struct node *node)
{
	const struct pg *pg = &node->pg;

	/* A pause takes effect at the next record only. */
	return pg->run == PG_RECOVERY && !pg->promote_asked &&
	    pg->replayed == node->pgdisk.flushed;
}

void
pg_set_replay(struct node *node, bool paused, int64_t lag)
{
	node->pg.paused = paused;
	node->pg.lag = lag;
	plan_replay(node);
}

/* ---- start and end ---- */

static void
recovered(struct sim_event *event)
{
	struct node *node = event->node;
	struct pg *pg = &node->pg;
	struct pg_disk *disk = &node->pgdisk;

	if (disk->standby_signal) {
		pg->run = PG_RECOVERY;
		pg->consistent = false;
		pg->replayed = disk->min_recovery;
		if (!wal_contains(pg->written, pg->replayed))
			pg->replayed = wal_common(pg->written,
			    pg->replayed);
		plan_replay(node);
		return;
	}
	pg->run = PG_OPEN;
	pg->consistent = true;
	pg->replayed = pg->inserted = pg->written = disk->flushed;
	disk->shut_down = false;
	disk->timeline = wal_get(pg->inserted)->timeline;
	sim_say(node, "PostgreSQL is read-write again on timeline %u",
	    disk->timeline);
	check_opens(node);
}

void
pg_start(struct node *node)
{
	struct pg *pg = &node->pg;
	struct pg_disk *disk = &node->pgdisk;
	uint64_t life = pg->life + 1;

	assert(pg->run == PG_OFF && disk->exists);
	if (disk->broken)
		sim_fail("rejoin", "n%u starts a data directory that a "
		    "rewind or clone left half-written", node->id);
	memset(pg, 0, sizeof(*pg));
	pg->life = life;
	pg->run = PG_BOOTING;
	pg->written = disk->flushed;
	pg->epoch = node->guard.armed ? node->guard.epoch : 0;
	pg->startup_upstream = pg->session_upstream = disk->upstream;
	pgsync_start(node);
	/* A crash is replayed; a clean stop is not. */
	sim_plan(disk->shut_down ? sim_delay(20 * MS, 300 * MS) :
	    sim_delay(150 * MS, 2 * SECOND), recovered, node, LAYER_PG);
}

/* What the operating system has, a kill does not take. */
static void
end_processes(struct node *node)
{
	struct pg *pg = &node->pg;

	if (pg->run == PG_RECOVERY &&
	    wal_lsn(pg->replayed) > wal_lsn(node->pgdisk.min_recovery) &&
	    pg->consistent) {
		node->pgdisk.min_recovery = pg->replayed;
		node->pgdisk.min_recovery_timeline =
		    wal_get(pg->replayed)->timeline;
	}
	pg->run = PG_OFF;
	pg->life++;
	pg->receiver = RECEIVER_NONE;
	memset(pg->senders, 0, sizeof(pg->senders));
	pg->waiter_count = 0;
	memset(pg->waiters, 0, sizeof(pg->waiters));
	pg->hung_until = 0;
}

void
pg_kill(struct node *node)
{
	struct pg *pg = &node->pg;

	if (pg->run == PG_OFF)
		return;
	node->pgdisk.shut_down = pg->run == PG_BOOTING ?
	    node->pgdisk.shut_down : false;
	if (pg->run == PG_OPEN || pg->run == PG_CLOSING) {
		/* WAL that was written, but not flushed, is in the cache. */
		if (pg->inserted != 0 && sim_chance(500))
			node->pgdisk.flushed = pg->inserted;
	} else if (pg->run == PG_RECOVERY) {
		node->pgdisk.flushed = pg->written;
	}
	end_processes(node);
}

void
pg_power_cut(struct node *node)
{
	if (node->pg.run == PG_OFF)
		return;
	if (node->pg.run != PG_BOOTING)
		node->pgdisk.shut_down = false;
	end_processes(node);
}

static void
closed(struct sim_event *event)
{
	struct node *node = event->node;
	struct pg *pg = &node->pg;
	struct pg_disk *disk = &node->pgdisk;
	uint32_t i;

	/* Senders hold the end until their standby has it all, or is gone. */
	if (pg->inserted != 0 && event->a > 0) {
		for (i = 0; i < NODES_MAX; i++)
			if (pg->senders[i].used &&
			    pg->senders[i].flush != pg->inserted)
				break;
		if (i < NODES_MAX) {
			event = sim_plan(20 * MS, closed, node, LAYER_PG);
			event->a = 1;
			pgstream_push(node);
			return;
		}
	}
	if (pg->inserted != 0) {
		disk->flushed = pg->inserted;
		disk->timeline = wal_get(pg->inserted)->timeline;
		disk->shutdown_lsn = wal_lsn(pg->inserted);
	} else {
		disk->flushed = pg->written;
		disk->shutdown_lsn = wal_lsn(pg->written);
		disk->timeline = wal_get(pg->replayed)->timeline;
	}
	disk->shut_down = true;
	end_processes(node);
	sim_say(node, "PostgreSQL has stopped");
	guard_child_ended(node, true);
}

void
pg_stop_fast(struct node *node)
{
	struct pg *pg = &node->pg;
	struct sim_event *event;

	if (pg->run == PG_OFF || pg->run == PG_CLOSING)
		return;
	if (pg->run == PG_BOOTING) {
		pg->run = PG_OFF;
		pg->life++;
		guard_child_ended(node, true);
		return;
	}
	pgstream_drop_receiver(node);
	if (pg->run == PG_OPEN)
		/* The shutdown checkpoint. */
		pg->inserted = wal_append(pg->inserted,
		    wal_get(pg->inserted)->timeline, 120, 0, pg->epoch);
	else
		pg->inserted = 0;
	pg->run = PG_CLOSING;
	pg->waiter_count = 0;
	memset(pg->waiters, 0, sizeof(pg->waiters));
	if (pg->inserted != 0) {
		node->pgdisk.flushed = pg->inserted;
		pgstream_push(node);
	}
	event = sim_plan(sim_delay(30 * MS, SECOND), closed, node, LAYER_PG);
	event->a = pg->inserted != 0;
}

/* ---- configuration ---- */

void
pg_write_files(struct node *node, uint32_t upstream, const struct ssn *ssn,
    uint32_t incarnation)
{
	node->pgdisk.upstream = upstream;
	node->pgdisk.ssn = *ssn;
	node->pgdisk.incarnation = incarnation;
}

static void
startup_reloads(struct sim_event *event)
{
	struct pg *pg = &event->node->pg;

	pg->startup_reloads--;
	pg->startup_upstream = event->node->pgdisk.upstream;
	sim_say(event->node, "startup process: upstream n%u",
	    pg->startup_upstream);
	pgstream_look(event->node, MS / 10);
}

static void
session_reloads(struct sim_event *event)
{
	event->node->pg.session_ssn = event->node->pgdisk.ssn;
	event->node->pg.session_upstream = event->node->pgdisk.upstream;
}

void
pg_reload(struct node *node)
{
	if (node->pg.run == PG_OFF || node->pg.run == PG_CLOSING)
		return;
	if (node->pg.run != PG_OPEN) {
		node->pg.startup_reloads++;
		sim_plan(sim_delay(MS, 200 * MS), startup_reloads, node,
		    LAYER_PG);
	}
	sim_plan(sim_delay(MS, 20 * MS), session_reloads, node, LAYER_PG);
	pgsync_reload(node);
}

void
pg_plant_histories(struct node *node, uint32_t expected)
{
	uint32_t timeline = wal_get(node->pg.written)->timeline + 1;

	for (; timeline < expected; timeline++)
		pg_add_history(&node->pgdisk, timeline, 1);
}

void
pg_promote(struct node *node, uint64_t epoch)
{
	if (node->pg.run != PG_RECOVERY)
		return;
	node->pg.epoch = epoch;
	node->pg.promote_asked = true;
	pg_set_replay(node, false, node->pg.lag);
}

/* ---- checkpoints ---- */

static void
checkpoint_ends(struct sim_event *event)
{
	struct node *node = event->node;
	struct pg *pg = &node->pg;

	if (pg->run == PG_OPEN)
		node->pgdisk.timeline = wal_get(pg->inserted)->timeline;
	else if (pg->run == PG_RECOVERY)
		node->pgdisk.timeline = wal_get(pg->replayed)->timeline;
	pgsync_checkpointer_wakes(node);
}

void
pg_checkpoint(struct node *node, int64_t duration)
{
	struct pg *pg = &node->pg;

	if (pg->run != PG_OPEN && pg->run != PG_RECOVERY)
		return;
	if (pg->checkpoint_until < sim.now + duration)
		pg->checkpoint_until = sim.now + duration;
	sim_plan(duration, checkpoint_ends, node, LAYER_PG);
}

/* ---- commits ---- */

static void
commit_flushed(struct sim_event *event)
{
	struct node *node = event->node;
	struct waiter waiter = { true, event->b != 0, (uint32_t)event->c,
		(uint32_t)event->a };

	if (node->pg.run != PG_OPEN)
		return;
	if (wal_lsn(waiter.record) > wal_lsn(node->pgdisk.flushed))
		node->pgdisk.flushed = waiter.record;
	pgstream_push(node);
	pgsync_commit_flushed(node, waiter);
}

bool
pg_commit(struct node *node, bool probe)
{
	struct pg *pg = &node->pg;
	struct sim_event *event;
	uint32_t number = 0;

	if (pg->run != PG_OPEN || pg->waiter_count + 8 > WAITERS_MAX)
		return false;
	if (!probe) {
		struct commit *commit;

		if (sim.commit_count == sim.commit_room)
			return false;
		commit = &sim.commits[sim.commit_count++];
		memset(commit, 0, sizeof(*commit));
		commit->node = node->index;
		commit->epoch = pg->epoch;
		commit->calm = sim.calm;
		number = sim.commit_count;
		sim.counts.commits++;
	}
	pg->inserted = wal_append(pg->inserted,
	    wal_get(pg->inserted)->timeline, 120, number, pg->epoch);
	if (number > 0)
		sim.commits[number - 1].wal = pg->inserted;
	event = sim_plan(sim_delay(MS / 2, 20 * MS), commit_flushed, node,
	    LAYER_PG);
	event->a = pg->inserted;
	event->b = probe;
	event->c = number;
	return true;
}
