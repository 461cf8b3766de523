/*
 * execute_primary.c - what a running primary owes its standbys.
 *
 * The replication role, a slot and a pg_hba line for each of them, the
 * synchronous list, and one checkpoint after a promotion, which a rewind of
 * the old primary needs.  One step a turn, the most urgent first.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "execute_internal.h"
#include "log.h"
#include "probe_sql.h"

static void
learned(struct execute *ex, const char *error, int row_count,
    int column_count, const char *const *rows)
{
	(void)column_count;
	if (error != NULL || row_count != 1 || rows[0] == NULL) {
		execute_again(ex, 50);
		return;
	}
	snprintf(ex->in_force.sync, sizeof(ex->in_force.sync), "%s", rows[0]);
	ex->in_force.known = true;
	ex->in_force.hba_hash = 0;
}

static void
granted(struct execute *ex, const char *error, int row_count,
    int column_count, const char *const *rows)
{
	(void)row_count;
	(void)column_count;
	(void)rows;
	if (error != NULL)
		log_error("act", "replication role: %s", error);
	ex->in_force.role_made = error == NULL;
	execute_again(ex, error == NULL ? 0 : 1000);
}

static void
role_made(struct execute *ex, const char *error, int row_count,
    int column_count, const char *const *rows)
{
	(void)row_count;
	(void)column_count;
	(void)rows;
	if (error != NULL) {
		log_error("act", "replication role: %s", error);
		execute_again(ex, 1000);
		return;
	}
	execute_sql(ex, "replication role: grants", PROBE_SQL_GRANT_REWIND, 0,
	    NULL, 5000, granted);
}

/*
 * The verifier is made here, so that neither the server nor its log sees the
 * password.  libpq wants a connection object for it, but no connection.
 */
static int
verifier_run(struct work *work)
{
	PGconn *conn = PQconnectStart("host=/nonexistent port=1");
	char *verifier;
	int result = -1;

	verifier = PQencryptPasswordConn(conn, work->password,
	    REPLICATION_ROLE, "scram-sha-256");
	explicit_bzero(work->password, sizeof(work->password));
	if (verifier == NULL)
		snprintf(work->errmsg, ERRMSG_MAX, "could not make the "
		    "verifier of the replication password: %.200s",
		    PQerrorMessage(conn));
	else
		result = probe_sql_replication_role(verifier, work->sql,
		    sizeof(work->sql), work->errmsg);
	PQfreemem(verifier);
	PQfinish(conn);
	return result;
}

static void
verifier_done(struct work *work)
{
	struct execute *ex = work->ex;

	if (work->result != 0) {
		log_error("act", "%s", work->errmsg);
		return;
	}
	execute_sql(ex, "replication role", work->sql, 0, NULL, 5000,
	    role_made);
	explicit_bzero(work->sql, sizeof(work->sql));
}

static void
make_role(struct execute *ex)
{
	struct work *work = execute_work_new(ex);

	if (work == NULL)
		return;
	if (join_read_password(ex->agent, work->password,
	    sizeof(work->password), work->errmsg) != 0) {
		log_error("act", "%s", work->errmsg);
		free(work);
		return;
	}
	execute_work(work, "replication role: verifier", verifier_run,
	    verifier_done);
}

uint64_t
primary_slots_hash(const struct execute *ex)
{
	const struct state *state = &ex->agent->state;
	uint64_t hash = 1;
	uint32_t i;

	for (i = 0; i < state->member_count; i++)
		hash = hash * 1000003 + state->members[i].id * 8u +
		    state->members[i].phase;
	return hash;
}

static void
slots_done(struct execute *ex, const char *error, int row_count,
    int column_count, const char *const *rows)
{
	(void)row_count;
	(void)column_count;
	(void)rows;
	if (error != NULL) {
		log_error("act", "replication slots: %s", error);
		return;
	}
	ex->in_force.slots_hash = primary_slots_hash(ex);
	execute_again(ex, 0);
}

/*
 * One statement makes those that are missing.  A standby keeps them empty
 * (without WAL held back), so that a promotion finds them; what an old
 * primary still held back for its standbys is let go.
 */
void
primary_make_slots(struct execute *ex, bool standby)
{
	const struct state *state = &ex->agent->state;
	char names[4096], slot[80];
	const char *params[1] = { names };
	size_t len = (size_t)snprintf(names, sizeof(names), "{");
	uint32_t i;

	for (i = 0; i < state->member_count && len < sizeof(names); i++) {
		if (!state->members[i].has_data ||
		    state->members[i].id == agent_self(ex->agent))
			continue;
		postgres_slot_name(state->members[i].name, slot,
		    sizeof(slot));
		len += (size_t)snprintf(names + len, sizeof(names) - len,
		    "%s%s", len > 1 ? "," : "", slot);
	}
	if (len < sizeof(names))
		snprintf(names + len, sizeof(names) - len, "}");
	execute_sql(ex, "replication slots", standby ?
	    "WITH stale AS MATERIALIZED (SELECT slot_name, "
	    "pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
	    "WHERE slot_type = 'physical' AND NOT active AND restart_lsn IS "
	    "NOT NULL AND slot_name LIKE 'failoverd\\_%'), "
	    "gone AS MATERIALIZED (SELECT count(*) AS n FROM stale) "
	    "SELECT pg_create_physical_replication_slot(name, false) "
	    "FROM gone, unnest($1::text[]) AS name WHERE gone.n >= 0 AND "
	    "(name IN (SELECT slot_name FROM stale) OR NOT EXISTS (SELECT "
	    "FROM pg_replication_slots WHERE slot_name = name))" :
	    "SELECT pg_create_physical_replication_slot(name, true) "
	    "FROM unnest($1::text[]) AS name WHERE NOT EXISTS (SELECT FROM "
	    "pg_replication_slots WHERE slot_name = name)", 1, params, 5000,
	    slots_done);
}

static void
checkpoint_done(void *arg, const char *error, int row_count,
    int column_count, const char *const *rows)
{
	struct execute *ex = arg;

	(void)row_count;
	(void)column_count;
	(void)rows;
	ex->checkpointing = false;
	ex->checkpoint_error = error != NULL;
	if (error != NULL)
		log_warning("act", "checkpoint: %s", error);
	else
		ex->checkpoint_index = ex->checkpoint_asked;
	execute_again(ex, 0);
}

/* On its own lane: it may take long, and nothing else waits for it. */
static void
checkpoint(struct execute *ex)
{
	if (ex->checkpointing)
		return;
	ex->checkpointing = true;
	ex->checkpoint_error = false;
	ex->checkpoint_asked = ex->order.index;
	probe_command_on(ex->agent->probe, PROBE_SLOW, PROBE_SQL_CHECKPOINT,
	    0, NULL, (uint32_t)ex->agent->state.settings.promote_timeout_ms,
	    checkpoint_done, ex);
}

void
primary_turn(struct execute *ex)
{
	struct agent *agent = ex->agent;
	bool promoted = agent->node.opened_epoch == ex->order.epoch;

	/* Shared with a standby: the checkpoint ahead of a switchover. */
	if (ex->order.checkpoint) {
		if (ex->result == ORDER_FAILED)
			return;
		if (ex->checkpoint_index == ex->order.index)
			execute_result(ex, ORDER_DONE, "%s", "");
		else if (ex->checkpoint_error && ex->checkpoint_asked ==
		    ex->order.index)
			execute_result(ex, ORDER_FAILED,
			    "the checkpoint did not end");
		else
			checkpoint(ex);
		return;
	}
	if (!ex->in_force.known) {
		execute_sql(ex, "synchronous list: read",
		    "SHOW synchronous_standby_names", 0, NULL, 2000, learned);
		return;
	}
	if (ex->in_force.hba_hash != start_hba_hash(ex)) {
		start_rewrite(ex, 0, ex->in_force.sync, NULL);
		return;
	}
	/* A promoted standby has it by replication. */
	if (!ex->in_force.role_made && !promoted) {
		make_role(ex);
		return;
	}
	if (ex->in_force.slots_hash != primary_slots_hash(ex)) {
		primary_make_slots(ex, false);
		return;
	}
	if (agent_is_behind(agent))
		return;
	if (ex->in_force.sync_version != ex->order.sync_version) {
		execute_result(ex, ORDER_RUNNING, "%s", "");
		sync_turn(ex);
		return;
	}
	if (promoted && ex->checkpoint_index == 0)
		checkpoint(ex);
	execute_result(ex, ORDER_DONE, "%s", "");
}
