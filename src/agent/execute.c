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

#include "execute_internal.h"
#include "log.h"
#include "rejoin.h"

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
	if (sql->run == ex->run)
		sql->done(ex, error, row_count, column_count, rows);
	free(sql);
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

/* ---- orders ---- */

static bool
is_read_write(const struct execute *ex)
{
	return ex->agent->node.armed && ex->agent->node.guarded;
}

static void
fence(struct execute *ex, const char *why)
{
	guarded_kill(ex->agent, why);
}

static void
turn_primary(struct execute *ex)
{
	struct agent *agent = ex->agent;
	struct node *node = &agent->node;
	char sync[1024];
	bool given_up = node->released_epoch == ex->order.epoch &&
	    ex->order.index <= node->released_index;

	if (node->guarded) {
		if (node->armed && node->armed_epoch == ex->order.epoch) {
			if (guarded_state(agent) == PG_HUNG)
				fence(ex, "it has not answered for `hang`");
			else if (guarded_state(agent) == PG_RUNNING)
				primary_turn(ex);
			return;
		}
		if (given_up)
			execute_result(ex, ORDER_RUNNING, "read-only: the "
			    "lease of epoch %llu was given up",
			    (unsigned long long)ex->order.epoch);
		else
			guarded_stop(agent);	/* to start it read-write */
		return;
	}
	if (given_up) {
		/* Reads go on; who is primary next is for all to agree. */
		if (monotime_diff_ms(agent->now, ex->order_since) > 1000)
			start_postgres(ex, true, 0, sync_text_of_standby(ex));
		return;
	}
	if (!node->control_known) {
		guarded_read_control(agent);
		return;
	}
	if (!node->control.exists) {
		execute_result(ex, ORDER_FAILED, "the data directory \"%s\" "
		    "of the primary is gone", agent->pg.data_dir);
		return;
	}
	if (!fence_may_write(agent, ex->order.epoch)) {
		execute_result(ex, ORDER_RUNNING,
		    "waiting for the lease of epoch %llu",
		    (unsigned long long)ex->order.epoch);
		return;
	}
	sync_text(ex, &ex->order.sync, sync, sizeof(sync));
	start_postgres(ex, false, 0, sync);
}

/* A running standby: does it stream from where it should? */
static void
turn_standby(struct execute *ex)
{
	struct agent *agent = ex->agent;
	const struct member *upstream = state_member(&agent->state,
	    ex->order.upstream_id);
	struct report report;

	if (upstream == NULL)
		return;
	if (!ex->in_force.known || ex->in_force.upstream_id != upstream->id ||
	    strcmp(ex->in_force.upstream, upstream->pg_address) != 0 ||
	    ex->in_force.hba_hash != start_hba_hash(ex)) {
		if (rewind_turn(ex))
			return;
		seal_forget(ex);
		start_rewrite(ex, upstream->id, sync_text_of_standby(ex),
		    NULL);
		return;
	}
	memset(&report, 0, sizeof(report));
	probe_fill_report(agent->probe, agent->now, &report);
	if (report.receiver_streaming)
		agent->node.has_parked = true;
	if (!report.receiver_streaming && rewind_turn(ex))
		return;
	if (state_member(&agent->state, ex->order.target_id)->phase ==
	    MEMBER_READY && clone_keep(ex))
		return;
	if (ex->order.checkpoint)
		primary_turn(ex);
	else if (report.receiver_streaming && ex->in_force.slots_hash !=
	    primary_slots_hash(ex))
		primary_make_slots(ex, true);
	else if (report.receiver_streaming)
		execute_result(ex, ORDER_DONE, "%s", "");
	else
		execute_result(ex, ORDER_RUNNING, "waiting to stream from %s",
		    upstream->name);
}

static void
turn_follow(struct execute *ex)
{
	struct agent *agent = ex->agent;
	struct node *node = &agent->node;

	if (is_read_write(ex)) {
		fence(ex, "another node is primary");
		return;
	}
	if (node->guarded) {
		if (guarded_state(agent) == PG_RUNNING)
			turn_standby(ex);
		return;
	}
	if (!node->control_known) {
		guarded_read_control(agent);
		return;
	}
	if (!node->control.exists) {
		execute_result(ex, ORDER_FAILED, "there is no data directory "
		    "\"%s\"; remove this node and clone it again",
		    agent->pg.data_dir);
		return;
	}
	if (node->control.system_identifier !=
	    agent->state.system_identifier) {
		execute_result(ex, ORDER_FAILED, "\"%s\" belongs to another "
		    "database system (identifier %llu)", agent->pg.data_dir,
		    (unsigned long long)node->control.system_identifier);
		return;
	}
	if (rewind_turn(ex))
		return;
	/*
	 * After a crash the end of its WAL is not known: it starts without
	 * an upstream, and turn_standby() judges where it ended.
	 */
	start_postgres(ex, true, node->control.shut_down ?
	    ex->order.upstream_id : 0, sync_text_of_standby(ex));
}

static void
turn_stop(struct execute *ex)
{
	struct node *node = &ex->agent->node;

	if (node->guarded) {
		guarded_stop(ex->agent);
		execute_result(ex, ORDER_RUNNING, "stopping for a switchover");
	} else if (!node->control_known)
		guarded_read_control(ex->agent);
	else if (node->control.shut_down && lsn_is_known(
	    node->control.shutdown_end_lsn))
		execute_result(ex, ORDER_DONE, "%s", "");
	else
		execute_result(ex, ORDER_FAILED, "PostgreSQL did not stop "
		    "cleanly (%s)", node->control.state);
}

static void
turn_leave(struct execute *ex)
{
	if (clone_undo(ex))
		return;
	if (ex->agent->node.guarded)
		guarded_stop(ex->agent);
	execute_result(ex, ORDER_DONE, "this node was removed from the "
	    "cluster; its data is kept");
}

static void
turn_witness(struct execute *ex)
{
	if (ex->order.seal_epoch > raftio_kept_promise(ex->agent->raftio))
		raftio_promise(ex->agent->raftio, ex->order.seal_epoch);
	else
		execute_result(ex, ORDER_DONE, "%s", "");
}

static void
turn_nothing(struct execute *ex)
{
	const struct member *self = state_member(&ex->agent->state,
	    ex->order.target_id);

	/* A newcomer without a job: what was copied for it goes again. */
	if (self != NULL && self->phase != MEMBER_READY && clone_undo(ex))
		return;
	execute_result(ex, ORDER_IDLE, "%s", "");
}

static void (*const turns[ORDER_COUNT])(struct execute *) = {
	[ORDER_NOTHING] = turn_nothing,
	[ORDER_WITNESS] = turn_witness,
	[ORDER_PRIMARY] = turn_primary,
	[ORDER_FOLLOW] = turn_follow,
	[ORDER_SEAL] = seal_turn,
	[ORDER_PROMOTE] = promote_turn,
	[ORDER_STOP] = turn_stop,
	[ORDER_CLONE] = clone_turn,
	[ORDER_LEAVE] = turn_leave,
};

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

void
execute_turn(struct execute *ex)
{
	struct agent *agent = ex->agent;
	struct order order;

	if (agent_self(agent) == 0 || ex->shutting_down)
		return;
	if (agent->node.guarded && guarded_is_running(agent) &&
	    monotime_is_never(probe_silent_since(agent->probe)) &&
	    !agent->node.was_answering) {
		struct report report;

		memset(&report, 0, sizeof(report));
		probe_fill_report(agent->probe, agent->now, &report);
		if (report.probe == PROBE_OK) {
			agent->node.was_answering = true;
			log_info("look", "PostgreSQL answers");
			agent_say(agent);
		}
	}
	state_order(&agent->state, agent_self(agent), &order);
	take_up(ex, &order);
	/* The kill waits for nothing. */
	if (ex->order.kind == ORDER_SEAL && is_read_write(ex) &&
	    agent->node.armed_epoch < ex->order.seal_epoch)
		fence(ex, "its epoch is sealed");
	if (ex->busy != NULL)
		return;
	turns[ex->order.kind](ex);
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
