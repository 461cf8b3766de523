/*
 * act.c - carrying out orders as src/agent/execute*.c does, over the model of
 * PostgreSQL: step_next() of the core chooses the step, this takes the time
 * for it and makes it true.
 *
 * Everything that takes time ends in done(), unless the order has changed
 * meanwhile.
 */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mutant.h"
#include "step.h"

#define QUIET		(20 * MS)
#define SEAL_DEADLINE	(500 * MS)

enum { SEAL_BEGIN, SEAL_EFFECTIVE, SEAL_QUIET, SEAL_POSITION, SEAL_KEPT };
enum { PROMOTE_BEGIN, PROMOTE_LIST, PROMOTE_CALL, PROMOTE_POLL,
	PROMOTE_READ, PROMOTE_OPEN };
enum { SYNC_BEGIN, SYNC_DUMMY, SYNC_WAITER, SYNC_RISE, SYNC_RISEN,
	SYNC_LIST, SYNC_CATCH_UP };

typedef void done_fn(struct node *node, uint64_t a);

/* ---- steps under way ---- */

static void
on_again(struct sim_event *event)
{
	if (event->node->act.again_life != event->a)
		return;
	event->node->now.ns = node_local(event->node);
	act_turn(event->node);
}

static void
again(struct node *node, int64_t in)
{
	sim_plan(in + MS / 10, on_again, node, LAYER_AGENT)->a =
	    ++node->act.again_life;
}

__attribute__((format(printf, 3, 4)))
static void
result(struct node *node, uint8_t value, const char *format, ...)
{
	char text[TEXT_MAX_LEN + 1];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (node->act.result == value &&
	    strcmp(node->act.message, text) == 0)
		return;
	if (text[0] != '\0')
		sim_say(node, "%s: %s", order_name(node->act.order.kind),
		    text);
	node->act.result = value;
	memcpy(node->act.message, text, sizeof(text));
	node_say(node);
}

struct op {
	done_fn *effect, *done;
	bool start;		/* done even when the order has changed */
};

static void
op_ends(struct sim_event *event)
{
	struct node *node = event->node;
	struct op op;

	memcpy(&op, event->data, sizeof(op));
	node->act.busy = NULL;
	node->now.ns = node_local(node);
	if (op.effect != NULL)
		op.effect(node, event->b);
	if (event->a == node->act.run || op.start)
		op.done(node, event->b);
	else
		node->act.in_force.known = false;
	again(node, 0);
}

/* effect happens when the time is over, then done. */
static void
begin_op(struct node *node, const char *name, int64_t usual, int64_t longest,
    done_fn *effect, done_fn *done, bool start, uint64_t a)
{
	struct op *op = calloc(1, sizeof(*op));
	struct sim_event *event;

	if (op == NULL)
		abort();
	op->effect = effect;
	op->done = done;
	op->start = start;
	node->act.busy = name;
	event = sim_plan(sim_delay(usual, longest), op_ends, node,
	    LAYER_AGENT);
	event->a = node->act.run;
	event->b = a;
	event->data = op;
}

/* One SQL command; done looks at the server itself when it ends. */
static void
begin_sql(struct node *node, const char *name, done_fn *done)
{
	begin_op(node, name, MS, 60 * MS, NULL, done, false, 0);
}

/* ---- files ---- */

static uint32_t
own_incarnation(const struct node *node)
{
	const struct member *self = state_member(node->state, node->id);

	return self != NULL ? self->incarnation : 0;
}

static struct ssn
standby_ssn(const struct node *node)
{
	struct ssn ssn;

	memset(&ssn, 0, sizeof(ssn));
	if (node->state->settings.durability != DURABILITY_ASYNC)
		ssn.kind = SSN_DUMMY;
	return ssn;
}

static void
in_force_now(struct node *node)
{
	node->act.in_force.known = true;
	node->act.in_force.upstream_id = node->pgdisk.upstream;
	node->act.in_force.ssn = node->pgdisk.ssn;
	if (node->pgdisk.ssn.kind == SSN_EMPTY)
		node->act.in_force.waits = false;
	if (node->act.in_force.k > node->pgdisk.ssn.list.k)
		node->act.in_force.k = node->pgdisk.ssn.list.k;
}

static void
rewrite_effect(struct node *node, uint64_t upstream)
{
	struct ssn ssn = standby_ssn(node);

	pg_write_files(node, (uint32_t)upstream, &ssn, own_incarnation(node));
	pg_reload(node);
}

static void
rewrite_done(struct node *node, uint64_t upstream)
{
	(void)upstream;
	in_force_now(node);
}

/* ---- starting ---- */

static void
start_done(struct node *node, uint64_t how)
{
	bool standby = (how & 1) != 0;

	if (node->guarded || !node->pgdisk.exists || (node->guard.run !=
	    GUARD_NONE && node->guard.run != GUARD_IS_GONE))
		return;
	if (!sim.calm && !sim.options.quiet && sim_chance(20)) {
		node->act.start_failed = node->now.ns;
		result(node, ORDER_RUNNING, "could not start PostgreSQL");
		return;
	}
	node->pgdisk.standby_signal = standby;
	pg_write_files(node, (uint32_t)(how >> 1), &node->act.start.ssn,
	    own_incarnation(node));
	guard_begin(node, !standby, standby ? 0 : node->act.start.epoch,
	    node->act.start.deadline);
	node->guarded = true;
	node->died = false;
	node->control_known = false;
	node->armed = node->guard.armed;
	node->armed_epoch = node->guard.epoch;
	in_force_now(node);
	node->act.in_force.waits = node->pgdisk.ssn.kind != SSN_EMPTY;
	node->act.in_force.k = node->pgdisk.ssn.list.k;
	sim_say(node, "starts PostgreSQL as %s", standby ? "standby" :
	    "primary");
	node_say(node);
}

/* The page is filled now: the lease may be over when the step ends. */
static void
start_postgres(struct node *node, bool standby, uint32_t upstream)
{
	struct act *act = &node->act;

	if (act->start_failed != 0 && node->now.ns - act->start_failed <
	    SECOND)
		return;
	act->start.ssn = standby_ssn(node);
	if (!standby)
		ssn_from_list(&act->start.ssn, &act->order.sync);
	act->start.epoch = act->order.epoch;
	act->start.deadline = node->holder.deadline.ns;
	begin_op(node, "start", 20 * MS, 300 * MS, NULL, start_done, true,
	    (uint64_t)upstream << 1 | standby);
}

/* ---- rejoin ---- */

/* pg_rewind copies the source's WAL as well, up to where it is by then. */
static void
rewind_done(struct node *node, uint64_t source_index)
{
	struct node *source = sim.nodes[source_index];
	struct pg_disk *disk = &node->pgdisk;

	if (node->rewind_marker && (net_is_cut(source, node) ||
	    net_is_cut(node, source) || source->pg.run != PG_OPEN)) {
		sim_say(node, "pg_rewind finds no source");
		node->act.rewind_failed = true;
		result(node, ORDER_FAILED, "pg_rewind failed");
		return;
	}
	node->rewind_marker = disk->broken = false;
	node->rewound_at = sim.now;
	disk->flushed = disk->min_recovery = source->pgdisk.flushed;
	disk->timeline = source->pgdisk.timeline;
	disk->min_recovery_timeline = wal_get(disk->flushed)->timeline;
	disk->history_count = source->pgdisk.history_count;
	memcpy(disk->histories, source->pgdisk.histories,
	    sizeof(disk->histories));
	disk->shut_down = false;
	disk->shutdown_lsn = 0;
	disk->standby_signal = true;
	node->control_known = false;
	sim_say(node, "rewound");
}

static void
begin_rewind(struct node *node)
{
	struct node *source = node_of(node->act.order.upstream_id);

	if (source == NULL)
		return;
	/* Refused before anything was touched: tried again. */
	if (net_is_cut(source, node) || net_is_cut(node, source) ||
	    source->pg.run != PG_OPEN)
		return;
	result(node, ORDER_RUNNING, "rewinding");
	node->rewind_marker = node->pgdisk.broken = true;
	begin_op(node, "rewind", 100 * MS, 2 * SECOND, NULL, rewind_done,
	    true, source->index);
}

static bool
known_end(const struct node *node, uint32_t *timeline, lsn_t *end)
{
	const struct sample *s = &node->sample;

	if (!node->guarded) {
		if (!node->control_known || !node->control.shut_down)
			return false;
		*timeline = node->control.timeline;
		end->value = node->control.shutdown_lsn != 0 ?
		    node->control.shutdown_lsn :
		    wal_lsn(node->control.min_recovery);
		if (node->control.min_recovery_timeline > *timeline)
			*timeline = node->control.min_recovery_timeline;
		return true;
	}
	*timeline = s->timeline;
	*end = lsn_max(s->receive, s->replay);
	return s->layer == PROBE_OK && s->timeline != 0 && node->has_parked;
}

/* ---- the synchronous list ---- */

static struct ssn
ordered_ssn(const struct node *node)
{
	struct ssn ssn;

	ssn_from_list(&ssn, &node->act.order.sync);
	return ssn;
}

static void
list_effect(struct node *node, uint64_t step)
{
	(void)step;
	pg_write_files(node, 0, &node->act.writing, own_incarnation(node));
	pg_reload(node);
}

static void
list_done(struct node *node, uint64_t step)
{
	in_force_now(node);
	node->act.sync.step = step == SYNC_DUMMY ? SYNC_WAITER :
	    step == SYNC_RISE ? SYNC_RISEN : SYNC_CATCH_UP;
}

static void
write_list(struct node *node, int step)
{
	struct ssn *ssn = &node->act.writing;

	*ssn = ordered_ssn(node);
	if (step == SYNC_DUMMY) {
		memset(ssn, 0, sizeof(*ssn));
		ssn->kind = SSN_DUMMY;
	} else if (step == SYNC_RISE)
		ssn->kind = SSN_FIRST;
	node->act.sync.step = step;
	begin_op(node, "list", 2 * MS, 50 * MS, list_effect, list_done,
	    false, (uint64_t)step);
}

/* A rise of k shows in no priority but by way of FIRST, where they are 2. */
static void
write_real_list(struct node *node)
{
	struct ssn want = ordered_ssn(node);

	write_list(node, want.kind == SSN_ANY && want.list.k >
	    node->act.in_force.k && !RULE_OFF("rise-by-first") ?
	    SYNC_RISE : SYNC_LIST);
}

static void
risen(struct node *node, uint64_t a)
{
	const struct pg *pg = &node->pg;
	struct ssn want = ordered_ssn(node);
	uint32_t i;

	(void)a;
	for (i = 0; i < NODES_MAX; i++) {
		const struct sender *s = &pg->senders[i];

		if (s->used && s->streaming && s->flush != 0 &&
		    ssn_has(&want, s->member_id, s->incarnation) !=
		    (s->priority > 1))
			break;
	}
	if (!pg_answers(node) || i < NODES_MAX) {
		again(node, 10 * MS);
		return;
	}
	node->act.in_force.k = want.list.k;
	write_list(node, SYNC_LIST);
}

static void
waiter_seen(struct node *node, uint64_t a)
{
	(void)a;
	if (pg_answers(node) && (pgsync_probe_waits(node) ||
	    RULE_OFF("waiter-seen"))) {
		node->act.in_force.waits = true;
		write_real_list(node);
		return;
	}
	again(node, 5 * MS);
}

static void
confirmed(struct node *node, uint64_t a)
{
	const struct pg *pg = &node->pg;
	struct ssn want = ordered_ssn(node);
	uint64_t lsn[NODES_MAX] = { 0 };
	uint32_t i, j, reached = 0;

	(void)a;
	if (!pg_answers(node) || pg->run != PG_OPEN ||
	    !ssn_equal(&pg->session_ssn, &node->act.in_force.ssn)) {
		again(node, 20 * MS);
		return;
	}
	for (i = 0, j = 0; i < NODES_MAX; i++) {
		const struct sender *s = &pg->senders[i];
		bool listed = ssn_has(&want, s->member_id, s->incarnation);

		if (!s->used || !s->streaming || s->flush == 0)
			continue;
		if (listed != (s->priority == 1) &&
		    !RULE_OFF("list-confirmed")) {
			again(node, 10 * MS);
			return;
		}
		if (listed)
			lsn[j++] = wal_lsn(s->flush);
	}
	if (node->act.sync.wanted == 0)
		node->act.sync.wanted = wal_lsn(node->pgdisk.flushed);
	for (i = 0; i < j; i++)
		reached += lsn[i] >= node->act.sync.wanted;
	if (want.kind == SSN_ANY && reached < want.list.k &&
	    !RULE_OFF("list-caught-up")) {
		again(node, 20 * MS);
		return;
	}
	node->act.in_force.sync_version = node->act.sync.version;
	sim_say(node, "list %llu is in force",
	    (unsigned long long)node->act.sync.version);
	node_say(node);
}

static void
sync_turn(struct node *node)
{
	struct act *act = &node->act;
	struct ssn want = ordered_ssn(node);

	if (act->sync.version != act->order.sync_version) {
		memset(&act->sync, 0, sizeof(act->sync));
		act->sync.version = act->order.sync_version;
	}
	switch (act->sync.step) {
	case SYNC_BEGIN:
		if (ssn_equal(&want, &act->in_force.ssn) &&
		    want.list.k <= act->in_force.k) {
			act->sync.step = SYNC_CATCH_UP;
			again(node, 0);
		} else if (!act->in_force.waits && want.kind != SSN_EMPTY)
			write_list(node, SYNC_DUMMY);
		else
			write_real_list(node);
		break;
	case SYNC_RISEN:
		begin_sql(node, "rise", risen);
		break;
	case SYNC_WAITER:
		if (!act->waiter_pending)
			act->waiter_pending = pg_commit(node, true);
		begin_sql(node, "waiter", waiter_seen);
		break;
	case SYNC_CATCH_UP:
		begin_sql(node, "confirm", confirmed);
		break;
	default:
		act->sync.step = SYNC_BEGIN;
		again(node, 50 * MS);
		break;
	}
}

/* ---- a running primary ---- */

static void
checkpointed(struct sim_event *event)
{
	struct node *node = event->node;

	node->act.checkpointing = false;
	if (pg_answers(node))
		node->act.checkpoint_index = event->a;
	again(node, 0);
}

static void
checkpoint(struct node *node)
{
	int64_t takes = sim_delay(50 * MS, 2 * SECOND);

	if (node->act.checkpointing)
		return;
	node->act.checkpointing = true;
	pg_checkpoint(node, takes);
	sim_plan(takes + MS, checkpointed, node, LAYER_AGENT)->a =
	    node->act.order.index;
}

static void
learned(struct node *node, uint64_t a)
{
	(void)a;
	if (!pg_answers(node)) {
		again(node, 50 * MS);
		return;
	}
	node->act.in_force.known = true;
	node->act.in_force.ssn = node->pg.session_ssn;
	/* The dummy may have been written by an agent that saw no waiter. */
	node->act.in_force.waits = node->pg.session_ssn.kind == SSN_ANY;
}

static void
primary_turn(struct node *node)
{
	struct act *act = &node->act;

	if (act->order.checkpoint) {
		if (act->checkpoint_index == act->order.index)
			result(node, ORDER_DONE, "%s", "");
		else
			checkpoint(node);
		return;
	}
	if (!act->in_force.known) {
		begin_sql(node, "learn", learned);
		return;
	}
	if (consensus_is_behind(node) && !RULE_OFF("own-log-applied"))
		return;
	if (act->in_force.sync_version != act->order.sync_version) {
		result(node, ORDER_RUNNING, "%s", "");
		sync_turn(node);
		return;
	}
	if (node->opened_epoch == act->order.epoch &&
	    act->checkpoint_index == 0)
		checkpoint(node);
	result(node, ORDER_DONE, "%s", "");
}

/* ---- a standby ---- */

static void
seal_forget(struct node *node)
{
	memset(&node->act.seal, 0, sizeof(node->act.seal));
	node->sealed_epoch = 0;
	node->has_position = false;
}

static void
follow(struct node *node)
{
	if (node->sample.streaming)
		node->has_parked = true;
	if (node->act.order.checkpoint)
		primary_turn(node);
	else if (node->sample.streaming)
		result(node, ORDER_DONE, "%s", "");
	else
		result(node, ORDER_RUNNING, "waiting to stream");
}

/* ---- seal ---- */

static void
cut_effect(struct node *node, uint64_t a)
{
	(void)a;
	rewrite_effect(node, 0);
}

static void
cut_done(struct node *node, uint64_t a)
{
	(void)a;
	in_force_now(node);
	node->act.seal.step = SEAL_EFFECTIVE;
}

static void
seal_begin(struct node *node, uint64_t epoch)
{
	struct act *act = &node->act;

	memset(&act->seal, 0, sizeof(act->seal));
	act->seal.epoch = epoch;
	act->seal.begun = node->now.ns;
	act->seal.timeline = node->sample.timeline;
	if (node->sample.streaming)
		node->has_parked = true;
	if (!RULE_OFF("receiver-gone"))
		(void)pgstream_terminate_receivers(node);
	begin_op(node, "cut", 2 * MS, 50 * MS, cut_effect, cut_done, false,
	    0);
}

static void
effective(struct node *node, uint64_t a)
{
	(void)a;
	if (pg_answers(node) && node->pg.session_upstream == 0)
		node->act.seal.step = SEAL_QUIET;
	else
		again(node, 5 * MS);
}

static void
check_quiet(struct node *node)
{
	struct act *act = &node->act;

	if (RULE_OFF("receiver-gone")) {
		act->seal.step = SEAL_POSITION;
		again(node, 0);
		return;
	}
	if (pgstream_terminate_receivers(node) != 0 ||
	    node->pg.startup_reloads > 0) {
		act->seal.quiet_looks = 0;
		again(node, 2 * MS);
		return;
	}
	if (act->seal.quiet_looks++ == 0) {
		act->seal.quiet_since = node->now.ns;
		again(node, QUIET);
		return;
	}
	if (node->now.ns - act->seal.quiet_since < QUIET) {
		again(node, QUIET);
		return;
	}
	act->seal.step = SEAL_POSITION;
	again(node, 0);
}

static void
position_read(struct node *node, uint64_t a)
{
	struct act *act = &node->act;
	lsn_t receive = { 0 }, replay = { 0 };

	(void)a;
	if (!pg_answers(node) || node->pg.run != PG_RECOVERY) {
		again(node, 10 * MS);
		return;
	}
	if (!node->has_parked && node->pg.paused)
		pg_set_replay(node, false, node->pg.lag);
	if (node->pg.received != 0)
		receive.value = wal_lsn(node->pg.received);
	replay.value = wal_lsn(node->pg.replayed);
	if (node->pgdisk.timeline > act->seal.timeline)
		act->seal.timeline = node->pgdisk.timeline;
	if (wal_get(node->pgdisk.flushed)->timeline > act->seal.timeline &&
	    !RULE_OFF("timeline-of-wal"))
		act->seal.timeline = wal_get(node->pgdisk.flushed)->timeline;
	if (node->sample.timeline > act->seal.timeline)
		act->seal.timeline = node->sample.timeline;
	act->seal.parked_looks = pg_is_parked(node) ?
	    act->seal.parked_looks + 1 : 0;
	if (act->seal.parked_looks >= 2)
		node->has_parked = true;
	if (!node->has_parked && !RULE_OFF("parked")) {
		again(node, 5 * MS);
		return;
	}
	node->position.lsn = lsn_max(receive, replay);
	node->position.epoch = state_epoch_of_timeline(node->state,
	    act->seal.timeline);
	node->has_position = node->position.epoch != 0 &&
	    lsn_is_known(node->position.lsn);
	node->sealed_epoch = act->seal.epoch;
	act->seal.step = SEAL_KEPT;
	sim_say(node, "sealed for epoch %llu at epoch %llu, %llu",
	    (unsigned long long)act->seal.epoch,
	    (unsigned long long)node->position.epoch,
	    (unsigned long long)node->position.lsn.value);
	result(node, ORDER_DONE, "%s", "");
	node_say(node);
}

static void
seal_turn(struct node *node)
{
	struct act *act = &node->act;
	uint64_t kept = node->io.disk.promise;
	uint64_t epoch = act->order.seal_epoch > kept ?
	    act->order.seal_epoch : kept;

	if (act->seal.epoch != epoch || act->seal.step == SEAL_BEGIN) {
		seal_begin(node, epoch);
		return;
	}
	if (act->seal.step < SEAL_POSITION &&
	    node->now.ns - act->seal.begun > SEAL_DEADLINE) {
		guard_kill(node);
		return;
	}
	switch (act->seal.step) {
	case SEAL_EFFECTIVE:
		begin_sql(node, "effective", effective);
		break;
	case SEAL_QUIET:
		check_quiet(node);
		break;
	case SEAL_POSITION:
		begin_sql(node, "position", position_read);
		break;
	default:
		if (!RULE_OFF("receiver-gone") &&
		    pgstream_terminate_receivers(node) > 0) {
			sim_say(node, "a walreceiver came back");
			seal_forget(node);
			node_say(node);
		}
		break;
	}
}

static void
seal_stopped(struct node *node)
{
	const struct pg_disk *control = &node->control;
	uint64_t epoch = state_epoch_of_timeline(node->state,
	    control->timeline);

	if (epoch == 0 || node->sealed_epoch == node->act.order.seal_epoch)
		return;
	node->position.epoch = epoch;
	node->position.lsn.value = control->shutdown_lsn;
	node->has_position = true;
	node->sealed_epoch = node->act.order.seal_epoch;
	result(node, ORDER_DONE, "%s", "");
	node_say(node);
}

/* ---- promote ---- */

static void
files_effect(struct node *node, uint64_t timeline)
{
	pg_write_files(node, 0, &node->act.writing, own_incarnation(node));
	if (!RULE_OFF("histories-planted"))
		pg_plant_histories(node, (uint32_t)timeline);
	pg_reload(node);
}

static void
files_done(struct node *node, uint64_t a)
{
	(void)a;
	in_force_now(node);
	node->act.promote.step = PROMOTE_LIST;
}

static void
promote_list_done(struct node *node, uint64_t a)
{
	(void)a;
	if (!pg_answers(node) || !ssn_equal(&node->pg.session_ssn,
	    &node->act.in_force.ssn))
		again(node, 5 * MS);
	else
		node->act.promote.step = PROMOTE_CALL;
}

static void
called(struct node *node, uint64_t a)
{
	(void)a;
	if (!pg_answers(node)) {
		result(node, ORDER_FAILED, "pg_promote: no answer");
		return;
	}
	pg_promote(node, node->act.order.epoch);
	node->act.promote.step = PROMOTE_POLL;
}

static void
polled(struct node *node, uint64_t a)
{
	(void)a;
	if (pg_answers(node) && node->pg.run == PG_OPEN)
		node->act.promote.step = PROMOTE_READ;
	else
		again(node, 5 * MS);
}

static void
timeline_read(struct node *node, uint64_t a)
{
	const struct pg_disk *disk = &node->pgdisk;
	uint32_t i, timeline;

	(void)a;
	if (!pg_answers(node) || node->pg.run != PG_OPEN) {
		again(node, 5 * MS);
		return;
	}
	timeline = wal_get(node->pg.inserted)->timeline;
	node->opened_timeline = timeline;
	if (timeline != node->act.order.timeline &&
	    !RULE_OFF("timeline-expected")) {
		guard_kill(node);
		result(node, ORDER_FAILED, "opened on timeline %u, expected "
		    "%u", timeline, node->act.order.timeline);
		return;
	}
	for (i = 0; i < disk->history_count; i++)
		if (disk->histories[i].timeline == timeline)
			node->opened_lsn.value = disk->histories[i].fork;
	node->opened_epoch = node->act.order.epoch;
	node->act.in_force.sync_version = node->act.order.sync_version;
	node->act.promote.step = PROMOTE_OPEN;
	result(node, ORDER_DONE, "%s", "");
	node_say(node);
}

static bool
promote_ready(struct node *node)
{
	struct act *act = &node->act;

	if (act->promote.step == PROMOTE_OPEN)
		return false;
	if (act->promote.epoch != act->order.epoch) {
		/* One that opened before this agent began has no position. */
		if ((node->sealed_epoch != act->order.epoch ||
		    !node->has_position) && !RULE_OFF("promoted-once")) {
			result(node, ORDER_FAILED, "not sealed here");
			return false;
		}
		memset(&act->promote, 0, sizeof(act->promote));
		act->promote.epoch = act->order.epoch;
		act->promote.begun = node->now.ns;
		node_renew(node);
	}
	if (act->promote.step >= PROMOTE_LIST &&
	    !node_may_write(node, act->order.epoch)) {
		result(node, ORDER_FAILED, "the lease ran out");
		guard_kill(node);
		return false;
	}
	return true;
}

static void
promote_turn(struct node *node)
{
	struct act *act = &node->act;

	if (!promote_ready(node))
		return;
	switch (act->promote.step) {
	case PROMOTE_BEGIN:
		if (!node_may_write(node, act->order.epoch)) {
			if (node->now.ns - node->renewed > 10 * MS)
				node_renew(node);
			again(node, 5 * MS);
			return;
		}
		act->writing = ordered_ssn(node);
		begin_op(node, "files", 3 * MS, 60 * MS, files_effect,
		    files_done, false, act->order.timeline);
		break;
	case PROMOTE_LIST:
		begin_sql(node, "list", promote_list_done);
		break;
	case PROMOTE_CALL:
		node->armed = true;
		node->armed_epoch = act->order.epoch;
		node_fence_check(node);
		begin_sql(node, "call", called);
		break;
	case PROMOTE_POLL:
		begin_sql(node, "poll", polled);
		break;
	default:
		begin_sql(node, "timeline", timeline_read);
		break;
	}
}

/* ---- orders ---- */

static void
gather_standby(struct node *node, struct step_facts *f)
{
	const struct act *act = &node->act;
	const struct member *self = state_member(node->state, node->id);
	uint32_t timeline;
	lsn_t end, fork;

	f->newcomer = self != NULL && self->phase != MEMBER_READY;
	f->upstream_in_force = act->order.upstream_id != 0 &&
	    act->in_force.known &&
	    act->in_force.upstream_id == act->order.upstream_id;
	f->upstream_other = act->in_force.known &&
	    act->in_force.upstream_id != 0 && !f->upstream_in_force;
	f->end_known = known_end(node, &timeline, &end);
	f->plan = f->end_known ? rejoin_plan(node->state, timeline, end,
	    &fork) : REJOIN_WAIT;
	f->rewind_unfinished = act->rewind_failed ||
	    (node->rewind_marker && !f->guarded);
}

static void
gather(struct node *node, struct step_facts *f)
{
	const struct act *act = &node->act;
	enum pg_state pg = node_pg_state(node);

	memset(f, 0, sizeof(*f));
	f->order = act->order;
	f->failed = act->result == ORDER_FAILED;
	f->order_age_ms = (node->now.ns - act->order_since) / MS;
	f->detect_ms = node->state->settings.detect_ms;
	f->guarded = node->guarded;
	f->answering = pg == PG_RUNNING;
	f->hung = pg == PG_HUNG;
	f->armed = node->armed;
	f->armed_epoch = node->armed_epoch;
	f->opened_epoch = node->opened_epoch;
	f->control_known = node->control_known;
	f->data_exists = node->control.exists;
	f->shut_down = node->control.shut_down;
	f->shutdown_known = node->control.shutdown_lsn != 0;
	f->was_standby = !node->control.shut_down &&
	    node->control.standby_signal;
	f->given_up = node->released_epoch == act->order.epoch &&
	    act->order.index <= node->released_index;
	/*
	 * An earlier life of this agent may have taken a list into force
	 * that its applied state does not show yet, and the cover rests on
	 * it.
	 */
	f->may_write = node_may_write(node, act->order.epoch) &&
	    (!consensus_is_behind(node) || RULE_OFF("own-log-applied"));
	f->promise = node->io.disk.promise;
	if (node->has_data)
		gather_standby(node, f);
}

static void
take_step(struct node *node, enum step step, const char *why)
{
	uint32_t upstream = node->act.order.upstream_id;

	switch (step) {
	case STEP_IDLE:
		result(node, ORDER_IDLE, "%s", why);
		break;
	case STEP_DONE:
		if (node->act.result != ORDER_DONE)
			result(node, ORDER_DONE, "%s", why);
		break;
	case STEP_WAIT:
		result(node, ORDER_RUNNING, "%s", why);
		break;
	case STEP_FAIL:
		if (why[0] != '\0')
			result(node, ORDER_FAILED, "%s", why);
		break;
	case STEP_KILL:
		guard_kill(node);
		break;
	case STEP_STOP:
		guard_stop(node);
		result(node, ORDER_RUNNING, "%s", why);
		break;
	case STEP_RELEASE:
		node_release(node, node->armed_epoch);
		break;
	case STEP_READ_CONTROL:
		node_read_control(node);
		break;
	case STEP_START_PRIMARY:
		start_postgres(node, false, 0);
		break;
	case STEP_START_STANDBY:
		start_postgres(node, true, upstream);
		break;
	case STEP_START_ALONE:
		start_postgres(node, true, 0);
		break;
	case STEP_SEAL:
		seal_turn(node);
		break;
	case STEP_SEAL_STOPPED:
		seal_stopped(node);
		break;
	case STEP_PROMOTE:
		promote_turn(node);
		break;
	case STEP_SERVE:
		primary_turn(node);
		break;
	case STEP_CONFIGURE:
		seal_forget(node);
		begin_op(node, "rewrite", 2 * MS, 50 * MS, rewrite_effect,
		    rewrite_done, false, upstream);
		break;
	case STEP_FOLLOW:
		follow(node);
		break;
	case STEP_REWIND:
		begin_rewind(node);
		break;
	default:
		sim_fail("step", "n%u: no step %s is modelled", node->id,
		    step_name(step));
		break;
	}
}

static bool
same_order(const struct order *a, const struct order *b)
{
	return a->kind == b->kind && a->index == b->index &&
	    a->epoch == b->epoch && a->upstream_id == b->upstream_id &&
	    a->seal_epoch == b->seal_epoch;
}

static void
take_up(struct node *node, const struct order *order)
{
	struct act *act = &node->act;

	if (same_order(&act->order, order)) {
		act->order = *order;
		return;
	}
	sim_say(node, "order: %s (epoch %llu, entry %llu)",
	    order_name(order->kind), (unsigned long long)order->epoch,
	    (unsigned long long)order->index);
	act->order = *order;
	act->run++;
	act->order_since = node->now.ns;
	act->result = ORDER_RUNNING;
	act->message[0] = '\0';
	memset(&act->sync, 0, sizeof(act->sync));
	node_say(node);
}

void
act_turn(struct node *node)
{
	struct act *act = &node->act;
	struct step_facts facts;
	struct order order;
	const char *why;
	enum step step;

	if (!node->joined)
		return;
	state_order(node->state, node->id, &order);
	take_up(node, &order);
	if ((order.kind == ORDER_SEAL || order.kind == ORDER_WITNESS) &&
	    node->io.disk.promise < order.seal_epoch)
		consensus_promise(node, order.seal_epoch);
	gather(node, &facts);
	step = step_next(&facts, &why);
	if ((int)step != act->last_step) {
		sim_say(node, "step: %s%s%s", step_name(step),
		    why[0] != '\0' ? ": " : "", why);
		act->last_step = (int)step;
	}
	if (act->busy == NULL || step == STEP_KILL)
		take_step(node, step, why);
}

void
act_forget(struct node *node)
{
	struct act *act = &node->act;

	memset(&act->in_force, 0, sizeof(act->in_force));
	memset(&act->seal, 0, sizeof(act->seal));
	memset(&act->promote, 0, sizeof(act->promote));
	memset(&act->sync, 0, sizeof(act->sync));
	act->checkpoint_index = 0;
	act->waiter_pending = false;
}

void
act_fill_report(const struct node *node, struct report *report)
{
	report->order_index = node->act.order.index;
	report->order_result = node->act.result;
	report->sync_version = node->act.in_force.sync_version;
	memcpy(report->message, node->act.message, sizeof(report->message));
}
