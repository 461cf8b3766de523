/*
 * execute_sync.c - a synchronous list taken into force and confirmed.
 *
 * Never by sleeping: every walsender shows in sync_priority which copy of the
 * list it has; and leaving an empty list counts only once a commit of our own
 * was seen waiting, because the checkpointer sets the flag that makes
 * backends wait, and is deaf to reloads during a checkpoint.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "execute_internal.h"
#include "log.h"
#include "probe_sql.h"

#define WAITER_DEADLINE_MS 10000

enum sync_step {
	SYNC_BEGIN,
	SYNC_DUMMY,		/* the dummy is in the file */
	SYNC_WAITER,		/* until our own commit waits */
	SYNC_LIST,		/* the list is in the file */
	SYNC_CATCH_UP		/* confirmed, and k have caught up */
};

void
sync_text(struct execute *ex, const struct sync_list *list, char *text,
    size_t size)
{
	const struct member *member;
	char name[80];
	size_t len;
	uint8_t i;

	text[0] = '\0';
	if (list->k == 0)
		return;
	if (list->count == 0) {
		snprintf(text, size, "ANY 1 (\"%s\")", SYNC_DUMMY_NAME);
		return;
	}
	len = (size_t)snprintf(text, size, "ANY %u (", list->k);
	for (i = 0; i < list->count && len < size; i++) {
		member = state_member(&ex->agent->state,
		    list->names[i].member_id);
		postgres_application_name(member != NULL ? member->name :
		    SYNC_DUMMY_NAME, list->names[i].incarnation, name,
		    sizeof(name));
		len += (size_t)snprintf(text + len, size - len, "%s\"%s\"",
		    i > 0 ? "," : "", name);
	}
	if (len < size)
		snprintf(text + len, size - len, ")");
}

const char *
sync_text_of_standby(const struct execute *ex)
{
	return ex->agent->state.settings.durability == DURABILITY_ASYNC ?
	    "" : "ANY 1 (\"" SYNC_DUMMY_NAME "\")";
}

void
sync_forget(struct execute *ex)
{
	memset(&ex->sync, 0, sizeof(ex->sync));
}

static void
written(struct work *work)
{
	struct execute *ex = work->ex;

	if (work->result != 0) {
		log_error("sync", "%s", work->errmsg);
		return;
	}
	ex->in_force.known = true;
	memcpy(ex->in_force.sync, work->sync, sizeof(ex->in_force.sync));
	if (work->sync[0] == '\0')
		ex->in_force.waits = false;
	ex->in_force.hba_hash = work->hba_hash;
	ex->sync.step = ex->sync.step == SYNC_DUMMY ? SYNC_WAITER :
	    SYNC_CATCH_UP;
}

static int
write_run(struct work *work)
{
	if (start_write_files(work) != 0)
		return -1;
	return postgres_reload(&work->pg, work->errmsg);
}

static void
write_list(struct execute *ex, enum sync_step step, const char *text)
{
	struct work *work = execute_work_new(ex);

	if (work == NULL)
		return;
	ex->sync.step = (int)step;
	start_fill(ex, work, 0, text);
	execute_work(work, "synchronous list", write_run, written);
}

/* ---- leaving the empty list ---- */

static void
waiter_done(void *arg, const char *error, int row_count, int column_count,
    const char *const *rows)
{
	struct execute *ex = arg;

	(void)row_count;
	(void)column_count;
	(void)rows;
	ex->waiter_pending = false;
	/* It returned: fine once it has been seen waiting, a lie before. */
	if (error != NULL)
		log_debug("sync", "probe commit: %s", error);
}

static void
begin_waiter(struct execute *ex)
{
	ex->waiter_pending = true;
	probe_command_on(ex->agent->probe, PROBE_COMMIT, PROBE_SQL_COMMIT, 0,
	    NULL, WAITER_DEADLINE_MS, waiter_done, ex);
}

static void
waiting_done(struct execute *ex, const char *error, int row_count,
    int column_count, const char *const *rows)
{
	char text[1024];

	(void)column_count;
	(void)rows;
	if (error == NULL && row_count > 0) {
		ex->in_force.waits = true;
		sync_text(ex, &ex->order.sync, text, sizeof(text));
		write_list(ex, SYNC_LIST, text);
		return;
	}
	execute_again(ex, 5);
}

/* A commit that returned unseen did not wait, or was quick: once more. */
static void
watch_waiter(struct execute *ex)
{
	if (!ex->waiter_pending)
		begin_waiter(ex);
	execute_sql(ex, "synchronous list: waiter", PROBE_SQL_COMMIT_WAITS, 0,
	    NULL, 1000, waiting_done);
}

/* ---- confirming ---- */

/* '{"n2.2","n3.3"}' for = ANY($1). */
static void
names_array(struct execute *ex, char *text, size_t size)
{
	const struct sync_list *list = &ex->order.sync;
	const struct member *member;
	char name[80];
	size_t len = (size_t)snprintf(text, size, "{");
	uint8_t i;

	for (i = 0; i < list->count && len < size; i++) {
		member = state_member(&ex->agent->state,
		    list->names[i].member_id);
		if (member == NULL)
			continue;
		postgres_application_name(member->name,
		    list->names[i].incarnation, name, sizeof(name));
		len += (size_t)snprintf(text + len, size - len, "%s\"%s\"",
		    len > 1 ? "," : "", name);
	}
	if (len < size)
		snprintf(text + len, size - len, "}");
}

static void
confirm_done(struct execute *ex, const char *error, int row_count,
    int column_count, const char *const *rows)
{
	lsn_t flushed;

	if (error != NULL || row_count != 1 || column_count != 4) {
		execute_again(ex, 20);
		return;
	}
	/* own session, every walsender, and where the WAL stands */
	if (rows[0] == NULL || strcmp(rows[0], ex->in_force.sync) != 0 ||
	    rows[1] == NULL || strcmp(rows[1], "0") != 0) {
		execute_again(ex, 10);
		return;
	}
	if (!lsn_is_known(ex->sync.wanted) && rows[2] != NULL &&
	    lsn_parse(rows[2], &ex->sync.wanted) != 0) {
		execute_again(ex, 10);
		return;
	}
	/* the k-th greatest flush position of the list */
	if (ex->order.sync.k > 0 && ex->order.sync.count > 0 &&
	    (rows[3] == NULL || lsn_parse(rows[3], &flushed) != 0 ||
	    flushed.value < ex->sync.wanted.value)) {
		execute_again(ex, 20);
		return;
	}
	ex->in_force.sync_version = ex->sync.version;
	log_info("sync", "list %llu is in force: %s",
	    (unsigned long long)ex->sync.version,
	    ex->in_force.sync[0] != '\0' ? ex->in_force.sync : "empty");
	agent_say(ex->agent);
}

static void
confirm(struct execute *ex)
{
	char names[1024], k[8];
	const char *params[2] = { names, k };

	names_array(ex, names, sizeof(names));
	snprintf(k, sizeof(k), "%d", ex->order.sync.k > 0 ?
	    ex->order.sync.k - 1 : 0);
	execute_sql(ex, "synchronous list: confirm",
	    "SELECT current_setting('synchronous_standby_names'), "
	    "(SELECT count(*) FROM pg_stat_replication WHERE "
	    "state = 'streaming' AND flush_lsn IS NOT NULL AND "
	    "(application_name = ANY ($1::text[])) <> (sync_priority > 0)), "
	    "pg_current_wal_flush_lsn(), "
	    "(SELECT flush_lsn FROM pg_stat_replication WHERE "
	    "application_name = ANY ($1::text[]) AND state = 'streaming' AND "
	    "flush_lsn IS NOT NULL ORDER BY flush_lsn DESC "
	    "OFFSET $2::int LIMIT 1)", 2, params, 1000, confirm_done);
}

static void
begin(struct execute *ex)
{
	char text[1024], dummy[64];

	sync_text(ex, &ex->order.sync, text, sizeof(text));
	snprintf(dummy, sizeof(dummy), "ANY 1 (\"%s\")", SYNC_DUMMY_NAME);
	/*
	 * Nobody has seen a commit wait under this server, or the agent that
	 * did is gone: through the dummy once more.
	 */
	if (text[0] != '\0' && !ex->in_force.waits)
		write_list(ex, SYNC_DUMMY, dummy);
	else if (strcmp(text, ex->in_force.sync) == 0)
		ex->sync.step = SYNC_CATCH_UP;
	else
		write_list(ex, SYNC_LIST, text);
	if (ex->busy == NULL)
		execute_again(ex, 0);
}

void
sync_turn(struct execute *ex)
{
	if (ex->sync.version != ex->order.sync_version) {
		sync_forget(ex);
		ex->sync.version = ex->order.sync_version;
	}
	switch (ex->sync.step) {
	case SYNC_BEGIN:
		begin(ex);
		break;
	case SYNC_WAITER:
		watch_waiter(ex);
		break;
	case SYNC_CATCH_UP:
		confirm(ex);
		break;
	default:
		/* A write that was cut short: begin again. */
		ex->sync.step = SYNC_BEGIN;
		execute_again(ex, 50);
		break;
	}
}
