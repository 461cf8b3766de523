/*
 * execute_seal.c - having nothing more to do with older epochs.
 *
 * In this order: the promise on disk; a read-write PostgreSQL killed (by
 * execute_turn(), which does not wait for the promise); a standby cut from
 * its upstream in files and in fact; then the position.  A reload alone
 * leaves a walreceiver acknowledging while replay lags or is paused, so every
 * walreceiver gets SIGTERM and is watched.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "execute_internal.h"
#include "log.h"

#define SEAL_DEADLINE_MS	500	/* then the guard makes it true */
#define QUIET_MS		20

/*
 * pg_control lags behind, and after a restart of the agent nobody remembers
 * what was received last: the names of the WAL files say it as well.
 */
#define TIMELINE_OF_WAL							\
	"greatest((pg_control_checkpoint()).timeline_id, "		\
	"(SELECT max(('x' || substr(name, 1, 8))::bit(32)::int) "	\
	"FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'))"

enum seal_step {
	SEAL_BEGIN,		/* files without upstream, reload */
	SEAL_EFFECTIVE,		/* a session says the values are empty */
	SEAL_QUIET,		/* no walreceiver, twice */
	SEAL_POSITION,		/* parked, or parked before */
	SEAL_KEPT
};

void
seal_forget(struct execute *ex)
{
	memset(&ex->seal, 0, sizeof(ex->seal));
	ex->agent->node.sealed_epoch = 0;
	ex->agent->node.has_position = false;
}

static int
cut_run(struct work *work)
{
	if (start_write_files(work) != 0)
		return -1;
	return postgres_reload(&work->pg, work->errmsg);
}

static void
cut_done(struct work *work)
{
	struct execute *ex = work->ex;

	if (work->result != 0) {
		log_error("seal", "%s", work->errmsg);
		return;
	}
	ex->in_force.known = true;
	ex->in_force.upstream_id = 0;
	ex->in_force.upstream[0] = '\0';
	ex->seal.step = SEAL_EFFECTIVE;
}

static void
begin(struct execute *ex, uint64_t epoch)
{
	struct agent *agent = ex->agent;
	struct work *work;
	struct report report;
	char errmsg[ERRMSG_MAX];

	memset(&ex->seal, 0, sizeof(ex->seal));
	ex->seal.epoch = epoch;
	ex->seal.begun = agent->now;
	/* The timeline it received last, read before the receiver ends. */
	memset(&report, 0, sizeof(report));
	probe_fill_report(agent->probe, agent->now, &report);
	ex->seal.timeline = report.timeline;
	if (report.receiver_streaming)
		agent->node.has_parked = true;
	(void)postgres_terminate_walreceivers(
	    (pid_t)agent->node.status.postmaster_pid, errmsg);
	work = execute_work_new(ex);
	if (work == NULL)
		return;
	start_fill(ex, work, 0, sync_text_of_standby(ex));
	execute_work(work, "seal", cut_run, cut_done);
}

static void
effective_done(struct execute *ex, const char *error, int row_count,
    int column_count, const char *const *rows)
{
	(void)column_count;
	if (error != NULL || row_count != 1 || rows[0] == NULL) {
		log_warning("seal", "settings could not be read: %s",
		    error != NULL ? error : "no row");
		execute_again(ex, 10);
		return;
	}
	if (strcmp(rows[0], "0") == 0)
		ex->seal.step = SEAL_QUIET;
	else
		execute_again(ex, 5);
}

static void
check_effective(struct execute *ex)
{
	execute_sql(ex, "seal: settings", "SELECT count(*) FROM pg_settings "
	    "WHERE name IN ('primary_conninfo', 'restore_command') "
	    "AND setting <> ''", 0, NULL, SEAL_DEADLINE_MS, effective_done);
}

static void
check_quiet(struct execute *ex)
{
	pid_t postmaster = (pid_t)ex->agent->node.status.postmaster_pid;
	char errmsg[ERRMSG_MAX];
	int found = postgres_terminate_walreceivers(postmaster, errmsg);

	/* A reload not yet taken could still start one with the old values. */
	if (found != 0 || postgres_is_reload_pending(postmaster) != 0) {
		ex->seal.quiet_looks = 0;
		execute_again(ex, 2);
		return;
	}
	if (ex->seal.quiet_looks++ == 0) {
		ex->seal.quiet_since = ex->agent->now;
		execute_again(ex, QUIET_MS);
		return;
	}
	if (monotime_diff_ms(ex->agent->now, ex->seal.quiet_since) <
	    QUIET_MS) {
		execute_again(ex, QUIET_MS);
		return;
	}
	ex->seal.step = SEAL_POSITION;
	execute_again(ex, 0);
}

static void
position_done(struct execute *ex, const char *error, int row_count,
    int column_count, const char *const *rows)
{
	struct node *node = &ex->agent->node;
	char text[LSN_TEXT_MAX];
	lsn_t receive, replay;
	uint32_t timeline;
	bool parked;

	if (error != NULL || row_count != 1 || column_count != 4) {
		log_warning("seal", "position could not be read: %s",
		    error != NULL ? error : "no row");
		execute_again(ex, 10);
		return;
	}
	lsn_parse(rows[0] != NULL ? rows[0] : "0/0", &receive);
	lsn_parse(rows[1] != NULL ? rows[1] : "0/0", &replay);
	timeline = (uint32_t)strtoul(rows[2] != NULL ? rows[2] : "0", NULL,
	    10);
	parked = rows[3] != NULL && strcmp(rows[3], "t") == 0;
	if (timeline > ex->seal.timeline)
		ex->seal.timeline = timeline;
	ex->seal.parked_looks = parked ? ex->seal.parked_looks + 1 : 0;
	if (ex->seal.parked_looks >= 2)
		node->has_parked = true;
	if (probe_has_parked(ex->agent->probe))
		node->has_parked = true;
	if (!node->has_parked) {
		execute_again(ex, 5);
		return;
	}
	node->position.lsn = lsn_max(receive, replay);
	node->position.epoch = state_epoch_of_timeline(&ex->agent->state,
	    ex->seal.timeline);
	node->has_position = node->position.epoch != 0 &&
	    lsn_is_known(node->position.lsn);
	node->sealed_epoch = ex->seal.epoch;
	ex->seal.step = SEAL_KEPT;
	log_info("seal", "sealed for epoch %llu at epoch %llu, %s, in %lld ms",
	    (unsigned long long)ex->seal.epoch,
	    (unsigned long long)node->position.epoch,
	    lsn_format(node->position.lsn, text),
	    (long long)monotime_diff_ms(ex->agent->now, ex->seal.begun));
	execute_result(ex, ORDER_DONE, "%s", "");
	agent_say(ex->agent);
}

/*
 * Pause and delay end first where this server has not been at the end of its
 * WAL yet; otherwise they do not matter for the position.
 */
static void
check_position(struct execute *ex)
{
	execute_sql(ex, "seal: position", ex->agent->node.has_parked ?
	    "SELECT pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), "
	    TIMELINE_OF_WAL ", true" :
	    "SELECT pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), "
	    TIMELINE_OF_WAL ", "
	    "coalesce((SELECT wait_event IN ('RecoveryWalStream', "
	    "'RecoveryRetrieveRetryInterval') FROM pg_stat_activity "
	    "WHERE backend_type = 'startup'), false) "
	    "FROM (SELECT CASE WHEN pg_is_wal_replay_paused() "
	    "THEN pg_wal_replay_resume() END OFFSET 0) AS resumed", 0, NULL,
	    SEAL_DEADLINE_MS, position_done);
}

/* Sealed already: a walreceiver that comes back withdraws the answer. */
static void
watch(struct execute *ex)
{
	char errmsg[ERRMSG_MAX];

	if (postgres_terminate_walreceivers(
	    (pid_t)ex->agent->node.status.postmaster_pid, errmsg) > 0) {
		log_warning("seal", "a walreceiver came back; the answer is "
		    "withdrawn");
		seal_forget(ex);
		agent_say(ex->agent);
	}
}

void
seal_turn(struct execute *ex)
{
	uint64_t kept = raftio_kept_promise(ex->agent->raftio);
	uint64_t epoch = ex->order.seal_epoch > kept ? ex->order.seal_epoch :
	    kept;

	if (ex->seal.epoch != epoch || ex->seal.step == SEAL_BEGIN) {
		begin(ex, epoch);
		return;
	}
	/* What cannot be verified in time is made true by a restart. */
	if (ex->seal.step < SEAL_POSITION && monotime_diff_ms(
	    ex->agent->now, ex->seal.begun) > SEAL_DEADLINE_MS) {
		guarded_kill(ex->agent, "the seal could not be verified");
		return;
	}
	if (ex->seal.said != ex->seal.step) {
		ex->seal.said = ex->seal.step;
		log_debug("seal", "step %d after %lld ms", ex->seal.step,
		    (long long)monotime_diff_ms(monotime_now(),
		    ex->seal.begun));
	}
	switch (ex->seal.step) {
	case SEAL_EFFECTIVE:
		check_effective(ex);
		break;
	case SEAL_QUIET:
		check_quiet(ex);
		break;
	case SEAL_POSITION:
		check_position(ex);
		break;
	default:
		watch(ex);
		break;
	}
}

/* The old primary of a switchover: its position is in pg_control. */
void
seal_stopped(struct execute *ex)
{
	struct node *node = &ex->agent->node;
	const struct postgres_control *control = &node->control;
	uint64_t epoch = state_epoch_of_timeline(&ex->agent->state,
	    control->timeline);

	if (epoch == 0 || node->sealed_epoch == ex->order.seal_epoch)
		return;
	node->position.epoch = epoch;
	node->position.lsn = control->shutdown_end_lsn;
	node->has_position = true;
	node->sealed_epoch = ex->order.seal_epoch;
	execute_result(ex, ORDER_DONE, "%s", "");
	agent_say(ex->agent);
}
