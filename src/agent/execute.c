/*
 * execute.c - the policy of steps: from order and facts to the next step.
 *
 * Never remembers where it was: it looks.  Mechanics are postgres.c's, the
 * kill is the guard's, permission to write is the lease's.
 */
#include "execute.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "execute_internal.h"
#include "log.h"
#include "step.h"

/* ---- steps under way ---- */

static void
on_again(uv_timer_t *timer)
{
	struct execute *ex = timer->data;

	ex->agent->now = monotime_now();
	execute_turn(ex);
}

void
execute_again(struct execute *ex, uint32_t in_ms)
{
	ex->again_asked = true;
	if (!uv_is_closing((uv_handle_t *)&ex->again))
		uv_timer_start(&ex->again, on_again, in_ms, 0);
}

void
execute_result(struct execute *ex, uint8_t result, const char *format, ...)
{
	char text[TEXT_MAX_LEN + 1];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (ex->result == result && strcmp(ex->message, text) == 0)
		return;
	if (text[0] != '\0') {
		if (result == ORDER_FAILED)
			log_error("act", "%s: %s",
			    order_name(ex->order.kind), text);
		else
			log_info("act", "%s: %s", order_name(ex->order.kind),
			    text);
	}
	ex->result = result;
	memcpy(ex->message, text, sizeof(text));
	agent_say(ex->agent);
}

struct work *
execute_work_new(struct execute *ex)
{
	struct work *work = calloc(1, sizeof(*work));

	if (work == NULL) {
		log_error("act", "out of memory");
		return NULL;
	}
	work->ex = ex;
	work->run = ex->run;
	work->pg = ex->agent->pg;
	work->req.data = work;
	return work;
}

static void
work_run(uv_work_t *req)
{
	struct work *work = req->data;

	work->result = work->work(work);
}

static void
work_done(uv_work_t *req, int status)
{
	struct work *work = req->data;
	struct execute *ex = work->ex;

	ex->busy = NULL;
	ex->agent->now = monotime_now();
	if (status != 0)
		work->result = -1;
	/* The files may have been written, whoever asked for it. */
	if (work->run == ex->run || work->start)
		work->done(work);
	else if (work->result == 0)
		ex->in_force.known = false;
	free(work);
	execute_again(ex, 0);
}

void
execute_work(struct work *work, const char *name, int (*run)(struct work *),
    void (*done)(struct work *))
{
	struct execute *ex = work->ex;

	work->work = run;
	work->done = done;
	ex->busy = name;
	ex->busy_since = ex->agent->now;
	if (uv_queue_work(ex->agent->loop, &work->req, work_run,
	    work_done) != 0) {
		ex->busy = NULL;
		free(work);
	}
}

struct sql {
	struct execute *ex;
	uint64_t run;
	execute_sql_fn *done;
};

static void
sql_done(void *arg, const char *error, int row_count, int column_count,
    const char *const *rows)
{
	struct sql *sql = arg;
	struct execute *ex = sql->ex;

	ex->busy = NULL;
	ex->agent->now = monotime_now();
	ex->again_asked = false;
	if (sql->run == ex->run)
		sql->done(ex, error, row_count, column_count, rows);
	free(sql);
	/* The next step follows at once, unless this one is to be repeated. */
	if (!ex->again_asked)
		execute_again(ex, 0);
}

void
execute_sql(struct execute *ex, const char *name, const char *sql_text,
    int param_count, const char *const *params, uint32_t timeout_ms,
    execute_sql_fn *done)
{
	struct sql *sql = malloc(sizeof(*sql));

	if (sql == NULL)
		return;
	sql->ex = ex;
	sql->run = ex->run;
	sql->done = done;
	ex->busy = name;
	ex->busy_since = ex->agent->now;
	probe_command(ex->agent->probe, sql_text, param_count, params,
	    timeout_ms, sql_done, sql);
}

/* ---- facts ---- */

/* Where the WAL of this node ends, if that can be known now. */
static bool
known_end(const struct execute *ex, uint32_t *timeline, lsn_t *end)
{
	const struct node *node = &ex->agent->node;
	struct report report;

	if (!node->guarded) {
		if (!node->control_known || !node->control.shut_down)
			return false;
		*timeline = node->control.timeline;
		*end = lsn_is_known(node->control.shutdown_end_lsn) ?
		    node->control.shutdown_end_lsn :
		    node->control.min_recovery_lsn;
		if (node->control.min_recovery_timeline > *timeline)
			*timeline = node->control.min_recovery_timeline;
		return true;
	}
	memset(&report, 0, sizeof(report));
	probe_fill_report(ex->agent->probe, ex->agent->now, &report);
	*timeline = report.timeline;
	*end = lsn_max(report.receive_lsn, report.replay_lsn);
	return report.probe == PROBE_OK && report.timeline != 0 &&
	    node->has_parked;
}

static bool
marker_exists(const struct execute *ex, const char *name)
{
	char path[CONF_PATH_MAX + 64];

	join_path(ex->agent, path, sizeof(path), name);
	return access(path, F_OK) == 0;
}

static void
gather_standby(struct execute *ex, struct step_facts *f)
{
	const struct state *state = &ex->agent->state;
	const struct member *self = state_member(state, agent_self(ex->agent));
	const struct member *upstream = state_member(state,
	    ex->order.upstream_id);

	/* Once removed, what it was last decides whose the data are. */
	if (self != NULL)
		ex->newcomer = self->phase != MEMBER_READY;
	f->newcomer = ex->newcomer;
	f->upstream_in_force = upstream != NULL && ex->in_force.known &&
	    ex->in_force.upstream_id == upstream->id &&
	    strcmp(ex->in_force.upstream, upstream->pg_address) == 0 &&
	    ex->in_force.hba_hash == start_hba_hash(ex);
	f->upstream_other = ex->in_force.known &&
	    ex->in_force.upstream_id != 0 && !f->upstream_in_force;
	f->end_known = known_end(ex, &ex->end_timeline, &ex->end_lsn);
	f->plan = f->end_known ? rejoin_plan(state, ex->end_timeline,
	    ex->end_lsn, &ex->fork_lsn) : REJOIN_WAIT;
	/* The disk is asked only when the answer can have changed. */
	if (ex->markers_run != ex->run || !ex->markers_known) {
		ex->markers_known = true;
		ex->markers_run = ex->run;
		ex->clone_marker = marker_exists(ex, "markers/clone");
		ex->rewind_marker = marker_exists(ex, "markers/rewind");
	}
	f->clone_marker = ex->clone_marker;
	f->rewind_unfinished = ex->rewind_failed ||
	    (ex->rewind_marker && !f->guarded);
}

static void
gather(struct execute *ex, struct step_facts *f)
{
	struct agent *agent = ex->agent;
	const struct node *node = &agent->node;
	enum pg_state pg = guarded_state(agent);

	memset(f, 0, sizeof(*f));
	f->order = ex->order;
	f->failed = ex->result == ORDER_FAILED;
	f->order_age_ms = monotime_diff_ms(agent->now, ex->order_since);
	f->detect_ms = agent->state.settings.detect_ms;
	f->guarded = node->guarded;
	f->answering = pg == PG_RUNNING;
	f->hung = pg == PG_HUNG;
	f->armed = node->armed;
	f->armed_epoch = node->armed_epoch;
	f->opened_epoch = node->opened_epoch;
	f->control_known = node->control_known;
	f->data_exists = node->control.exists;
	f->data_foreign = node->control_known && node->control.exists &&
	    node->control.system_identifier !=
	    agent->state.system_identifier;
	f->shut_down = node->control.shut_down;
	f->shutdown_known = lsn_is_known(node->control.shutdown_end_lsn);
	f->was_standby = node->control.backup_label ||
	    strcmp(node->control.state, "in archive recovery") == 0;
	f->given_up = node->released_epoch == ex->order.epoch &&
	    ex->order.index <= node->released_index;
	f->may_write = fence_may_write(agent, ex->order.epoch) &&
	    !agent_is_behind(agent);
	f->promise = raftio_kept_promise(agent->raftio);
	if (agent->conf.has_postgresql)
		gather_standby(ex, f);
}

/* ---- one function a step ---- */

static void
do_idle(struct execute *ex, const char *why)
{
	execute_result(ex, ORDER_IDLE, "%s", why);
}

static void
do_done(struct execute *ex, const char *why)
{
	if (ex->result != ORDER_DONE)
		execute_result(ex, ORDER_DONE, "%s", why);
}

static void
do_wait(struct execute *ex, const char *why)
{
	execute_result(ex, ORDER_RUNNING, "%s", why);
}

static void
do_fail(struct execute *ex, const char *why)
{
	/* A failure that is known already keeps its own words. */
	if (why[0] != '\0')
		execute_result(ex, ORDER_FAILED, "%s", why);
}

static void
do_kill(struct execute *ex, const char *why)
{
	guarded_kill(ex->agent, why);
}

static void
do_stop(struct execute *ex, const char *why)
{
	guarded_stop(ex->agent);
	execute_result(ex, ORDER_RUNNING, "%s", why);
}

static void
do_release(struct execute *ex, const char *why)
{
	(void)why;
	fence_release(ex->agent, ex->agent->node.armed_epoch);
}

static void
do_read_control(struct execute *ex, const char *why)
{
	(void)why;
	guarded_read_control(ex->agent);
}

static void
do_start_primary(struct execute *ex, const char *why)
{
	char sync[1024];

	(void)why;
	sync_text(ex, &ex->order.sync, sync, sizeof(sync));
	start_postgres(ex, false, 0, sync);
}

static void
do_start_standby(struct execute *ex, const char *why)
{
	(void)why;
	start_postgres(ex, true, ex->order.upstream_id,
	    sync_text_of_standby(ex));
}

static void
do_start_alone(struct execute *ex, const char *why)
{
	(void)why;
	start_postgres(ex, true, 0, sync_text_of_standby(ex));
}

static void
do_configure(struct execute *ex, const char *why)
{
	(void)why;
	seal_forget(ex);
	start_rewrite(ex, ex->order.upstream_id, sync_text_of_standby(ex),
	    NULL);
}

/* A running standby that knows its upstream. */
static void
do_follow(struct execute *ex, const char *why)
{
	struct agent *agent = ex->agent;
	struct report report;

	(void)why;
	memset(&report, 0, sizeof(report));
	probe_fill_report(agent->probe, agent->now, &report);
	if (report.receiver_streaming)
		agent->node.has_parked = true;
	if (ex->order.checkpoint)
		primary_turn(ex);
	else if (report.receiver_streaming && ex->in_force.slots_hash !=
	    primary_slots_hash(ex))
		primary_make_slots(ex, true);
	else if (report.receiver_streaming)
		execute_result(ex, ORDER_DONE, "%s", "");
	else
		execute_result(ex, ORDER_RUNNING, "waiting to stream from %s",
		    state_name(ex->order.upstream_id, &agent->state));
}

static void do_seal(struct execute *ex, const char *why)
    { (void)why; seal_turn(ex); }
static void do_seal_stopped(struct execute *ex, const char *why)
    { (void)why; seal_stopped(ex); }
static void do_promote(struct execute *ex, const char *why)
    { (void)why; promote_turn(ex); }
static void do_serve(struct execute *ex, const char *why)
    { (void)why; primary_turn(ex); }
static void do_rewind(struct execute *ex, const char *why)
    { (void)why; rewind_begin(ex); }
static void do_clone(struct execute *ex, const char *why)
    { (void)why; clone_turn(ex); }
static void do_keep_clone(struct execute *ex, const char *why)
    { (void)why; clone_end(ex, true); }

static void
do_undo_clone(struct execute *ex, const char *why)
{
	(void)why;
	if (ex->agent->node.guarded)
		guarded_stop(ex->agent);
	else
		clone_end(ex, false);
}

static void (*const steps[STEP_COUNT])(struct execute *, const char *why) = {
	[STEP_IDLE] = do_idle,
	[STEP_DONE] = do_done,
	[STEP_WAIT] = do_wait,
	[STEP_FAIL] = do_fail,
	[STEP_KILL] = do_kill,
	[STEP_STOP] = do_stop,
	[STEP_RELEASE] = do_release,
	[STEP_READ_CONTROL] = do_read_control,
	[STEP_START_PRIMARY] = do_start_primary,
	[STEP_START_STANDBY] = do_start_standby,
	[STEP_START_ALONE] = do_start_alone,
	[STEP_SEAL] = do_seal,
	[STEP_SEAL_STOPPED] = do_seal_stopped,
	[STEP_PROMOTE] = do_promote,
	[STEP_SERVE] = do_serve,
	[STEP_CONFIGURE] = do_configure,
	[STEP_FOLLOW] = do_follow,
	[STEP_REWIND] = do_rewind,
	[STEP_CLONE] = do_clone,
	[STEP_KEEP_CLONE] = do_keep_clone,
	[STEP_UNDO_CLONE] = do_undo_clone,
};

/* ---- orders ---- */

static bool
same_order(const struct order *a, const struct order *b)
{
	return a->kind == b->kind && a->index == b->index &&
	    a->epoch == b->epoch && a->upstream_id == b->upstream_id &&
	    a->seal_epoch == b->seal_epoch;
}

static void
take_up(struct execute *ex, const struct order *order)
{
	struct agent *agent = ex->agent;

	if (same_order(&ex->order, order)) {
		ex->order = *order;
		return;
	}
	if (order->kind != ex->order.kind || order->epoch != ex->order.epoch)
		log_info("act", "order: %s (epoch %llu, entry %llu)",
		    order_name(order->kind),
		    (unsigned long long)order->epoch,
		    (unsigned long long)order->index);
	ex->order = *order;
	ex->run++;
	/* Nothing that an older order began may delay a seal. */
	if (agent->probe != NULL && (ex->busy != NULL || ex->checkpointing) &&
	    order->kind == ORDER_SEAL)
		probe_cancel_commands(agent->probe);
	ex->order_since = agent->now;
	ex->result = ORDER_RUNNING;
	ex->message[0] = '\0';
	sync_forget(ex);
	if (order->kind != ORDER_CLONE)
		clone_forget(ex);
	agent_say(agent);
}

static void
note_first_answer(struct agent *agent)
{
	struct report report;

	if (agent->node.was_answering || !guarded_is_running(agent))
		return;
	memset(&report, 0, sizeof(report));
	probe_fill_report(agent->probe, agent->now, &report);
	if (report.probe != PROBE_OK)
		return;
	agent->node.was_answering = true;
	log_info("look", "PostgreSQL answers");
	agent_say(agent);
}

void
execute_turn(struct execute *ex)
{
	struct agent *agent = ex->agent;
	struct step_facts facts;
	struct order order;
	const char *why;
	enum step step;

	if (agent_self(agent) == 0 || ex->shutting_down)
		return;
	note_first_answer(agent);
	state_order(&agent->state, agent_self(agent), &order);
	if (agent->removed) {
		order.kind = ORDER_LEAVE;
		order.index = agent->state.applied;
	}
	take_up(ex, &order);
	/* The promise is written while the rest goes on; the answer waits. */
	if ((order.kind == ORDER_SEAL || order.kind == ORDER_WITNESS) &&
	    raftio_kept_promise(agent->raftio) < order.seal_epoch)
		raftio_promise(agent->raftio, order.seal_epoch);
	gather(ex, &facts);
	step = step_next(&facts, &why);
	if (step != ex->last_step) {
		log_debug("act", "step: %s%s%s", step_name(step),
		    why[0] != '\0' ? ": " : "", why);
		ex->last_step = step;
	}
	/* The kill waits for nothing. */
	if (ex->busy != NULL && step != STEP_KILL)
		return;
	steps[step](ex, why);
}

/* ---- life ---- */

struct execute *
execute_new(struct agent *agent)
{
	struct execute *ex = calloc(1, sizeof(*ex));

	if (ex == NULL)
		return NULL;
	ex->agent = agent;
	uv_timer_init(agent->loop, &ex->again);
	ex->again.data = ex;
	return ex;
}

void
execute_free(struct execute *ex)
{
	if (ex == NULL)
		return;
	sync_forget(ex);
	clone_forget(ex);
	free(ex);
}

void
execute_fill_report(const struct execute *ex, struct report *report)
{
	report->order_index = ex->order.index;
	report->order_result = ex->result;
	report->sync_version = ex->in_force.sync_version;
	if (ex->order.kind == ORDER_CLONE && ex->result == ORDER_RUNNING)
		report->pg_state = PG_CLONING;
	report->progress_bytes = ex->clone.done_bytes;
	report->total_bytes = ex->clone.total_bytes;
	memcpy(report->message, ex->message, sizeof(report->message));
}

const struct order *
execute_order(const struct execute *ex)
{
	return &ex->order;
}

void
execute_forget(struct execute *ex)
{
	uint64_t hba_hash = ex->in_force.hba_hash;

	memset(&ex->in_force, 0, sizeof(ex->in_force));
	ex->in_force.hba_hash = hba_hash;
	memset(&ex->seal, 0, sizeof(ex->seal));
	memset(&ex->promote, 0, sizeof(ex->promote));
	ex->checkpoint_index = 0;
	ex->checkpoint_error = false;
	sync_forget(ex);
}

bool
execute_shut_down(struct execute *ex)
{
	ex->shutting_down = true;
	clone_forget(ex);
	if (!ex->agent->node.guarded)
		return true;
	guarded_stop(ex->agent);
	return false;
}
