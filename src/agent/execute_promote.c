/*
 * execute_promote.c - becoming primary of the epoch that was committed.
 *
 * Tried once.  The order of things: the lease; the complete synchronous list
 * in force; the page armed; timelines made contiguous up to the expected one;
 * pg_promote; then the new timeline is read from the WAL itself, never from
 * pg_control, which follows only at the next checkpoint.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "execute_internal.h"
#include "log.h"

enum promote_step {
	PROMOTE_BEGIN,
	PROMOTE_FILES,		/* list and histories on disk, reloaded */
	PROMOTE_LIST,		/* list in force */
	PROMOTE_CALL,
	PROMOTE_POLL,
	PROMOTE_READ,
	PROMOTE_FORK,
	PROMOTE_OPEN
};

static int
files_run(struct work *work)
{
	if (start_write_files(work) != 0)
		return -1;
	if (postgres_plant_histories(&work->pg, work->timeline,
	    work->expected, work->lsn, work->errmsg) != 0)
		return -1;
	return postgres_reload(&work->pg, work->errmsg);
}

static void
files_done(struct work *work)
{
	struct execute *ex = work->ex;

	if (work->result != 0) {
		execute_result(ex, ORDER_FAILED, "%.200s", work->errmsg);
		return;
	}
	ex->in_force.known = true;
	ex->in_force.upstream_id = 0;
	ex->in_force.upstream[0] = '\0';
	memcpy(ex->in_force.sync, work->sync, sizeof(ex->in_force.sync));
	ex->promote.step = PROMOTE_LIST;
}

static void
write_files(struct execute *ex)
{
	struct agent *agent = ex->agent;
	struct work *work = execute_work_new(ex);
	struct report report;
	char sync[1024];

	if (work == NULL)
		return;
	sync_text(ex, &ex->order.sync, sync, sizeof(sync));
	start_fill(ex, work, 0, sync);
	memset(&report, 0, sizeof(report));
	probe_fill_report(agent->probe, agent->now, &report);
	work->timeline = report.timeline;
	work->expected = ex->order.timeline;
	work->lsn = report.replay_lsn;
	execute_work(work, "promotion: files", files_run, files_done);
}

static void
list_done(struct execute *ex, const char *error, int row_count,
    int column_count, const char *const *rows)
{
	(void)column_count;
	if (error != NULL || row_count != 1 || rows[0] == NULL ||
	    strcmp(rows[0], ex->in_force.sync) != 0) {
		execute_again(ex, 5);
		return;
	}
	ex->promote.step = PROMOTE_CALL;
}

static void
call_done(struct execute *ex, const char *error, int row_count,
    int column_count, const char *const *rows)
{
	(void)row_count;
	(void)column_count;
	(void)rows;
	if (error != NULL) {
		execute_result(ex, ORDER_FAILED, "pg_promote: %.200s", error);
		return;
	}
	ex->promote.step = PROMOTE_POLL;
}

/* From here on it may be read-write: the guard must know first. */
static void
call_promote(struct execute *ex)
{
	struct node *node = &ex->agent->node;

	node->armed = true;
	node->armed_epoch = ex->order.epoch;
	fence_check(ex->agent);
	execute_sql(ex, "promotion: call", "SELECT pg_promote(false)", 0,
	    NULL, 5000, call_done);
}

static void
poll_done(struct execute *ex, const char *error, int row_count,
    int column_count, const char *const *rows)
{
	(void)column_count;
	if (error == NULL && row_count == 1 && rows[0] != NULL &&
	    strcmp(rows[0], "f") == 0)
		ex->promote.step = PROMOTE_READ;
	else
		execute_again(ex, 5);
}

static void
read_done(struct execute *ex, const char *error, int row_count,
    int column_count, const char *const *rows)
{
	struct node *node = &ex->agent->node;

	if (error != NULL || row_count != 1 || column_count != 1 ||
	    rows[0] == NULL || strlen(rows[0]) != 24) {
		execute_again(ex, 5);
		return;
	}
	{
		char hex[9];

		memcpy(hex, rows[0], 8);
		hex[8] = '\0';
		node->opened_timeline = (uint32_t)strtoul(hex, NULL, 16);
	}
	if (node->opened_timeline != ex->order.timeline) {
		guarded_kill(ex->agent, "it opened on another timeline than "
		    "the ledger expects");
		execute_result(ex, ORDER_FAILED, "opened on timeline %u, "
		    "expected %u", node->opened_timeline, ex->order.timeline);
		return;
	}
	ex->promote.step = PROMOTE_FORK;
}

static int
fork_run(struct work *work)
{
	return postgres_timeline_begin(&work->pg, work->timeline,
	    &work->parent, &work->begin_lsn, work->errmsg);
}

static void
fork_done(struct work *work)
{
	struct execute *ex = work->ex;
	struct node *node = &ex->agent->node;
	char text[LSN_TEXT_MAX];

	if (work->result != 0) {
		execute_result(ex, ORDER_FAILED, "%.200s", work->errmsg);
		return;
	}
	node->opened_lsn = work->begin_lsn;
	node->opened_epoch = ex->order.epoch;
	ex->in_force.sync_version = ex->order.sync_version;
	ex->promote.step = PROMOTE_OPEN;
	log_info("promote", "read-write in epoch %llu on timeline %u from %s, "
	    "%lld ms after the order",
	    (unsigned long long)ex->order.epoch, node->opened_timeline,
	    lsn_format(node->opened_lsn, text),
	    (long long)monotime_diff_ms(ex->agent->now, ex->order_since));
	execute_result(ex, ORDER_DONE, "%s", "");
	/* The sample of a standby is no news of a primary. */
	probe_look(ex->agent->probe,
	    (pid_t)ex->agent->node.status.postmaster_pid,
	    (uint32_t)ex->agent->state.settings.detect_ms);
	agent_say(ex->agent);
}

static void
find_fork(struct execute *ex)
{
	struct work *work = execute_work_new(ex);

	if (work == NULL)
		return;
	work->timeline = ex->agent->node.opened_timeline;
	execute_work(work, "promotion: history", fork_run, fork_done);
}

void
promote_turn(struct execute *ex)
{
	struct agent *agent = ex->agent;

	if (ex->promote.epoch != ex->order.epoch) {
		/* After a restart of the agent nobody knows how far it got. */
		if (agent->node.sealed_epoch != ex->order.epoch ||
		    !agent->node.has_position) {
			execute_result(ex, ORDER_FAILED, "this agent did not "
			    "seal epoch %llu itself",
			    (unsigned long long)ex->order.epoch);
			return;
		}
		memset(&ex->promote, 0, sizeof(ex->promote));
		ex->promote.epoch = ex->order.epoch;
		ex->promote.begun = agent->now;
		fence_renew(agent);
	}
	if (ex->promote.step >= PROMOTE_LIST &&
	    !fence_may_write(agent, ex->order.epoch)) {
		execute_result(ex, ORDER_FAILED, "the lease of epoch %llu ran "
		    "out", (unsigned long long)ex->order.epoch);
		guarded_kill(agent, "promotion without a lease");
		return;
	}
	if (ex->promote.said != ex->promote.step + 1) {
		ex->promote.said = ex->promote.step + 1;
		log_debug("promote", "step %d after %lld ms",
		    ex->promote.step, (long long)monotime_diff_ms(
		    monotime_now(), ex->order_since));
	}
	switch (ex->promote.step) {
	case PROMOTE_BEGIN:
		if (!fence_may_write(agent, ex->order.epoch)) {
			/* Voters that have not applied the entry yet. */
			if (monotime_diff_ms(agent->now, agent->renewed) > 10)
				fence_renew(agent);
			execute_again(ex, 5);
			return;
		}
		write_files(ex);
		break;
	case PROMOTE_LIST:
		execute_sql(ex, "promotion: list",
		    "SHOW synchronous_standby_names", 0, NULL, 1000,
		    list_done);
		break;
	case PROMOTE_CALL:
		call_promote(ex);
		break;
	case PROMOTE_POLL:
		execute_sql(ex, "promotion: poll",
		    "SELECT pg_is_in_recovery()", 0, NULL, 1000, poll_done);
		break;
	case PROMOTE_READ:
		execute_sql(ex, "promotion: timeline",
		    "SELECT pg_walfile_name(pg_current_wal_lsn())", 0, NULL,
		    1000, read_done);
		break;
	case PROMOTE_FORK:
		find_fork(ex);
		break;
	default:
		break;
	}
}
