/*
 * probe_sql.h - the SQL that orders need, for probe_command().
 *
 * Every text is one statement for PostgreSQL 13 to 18, with parameters as
 * text ($1, ...) and the columns named above it.  All of it runs as superuser
 * with search_path=pg_catalog.  None of it waits for synchronous standbys,
 * except PROBE_SQL_COMMIT on lane PROBE_COMMIT, which is made to.
 */
#ifndef FAILOVERD_PROBE_SQL_H
#define FAILOVERD_PROBE_SQL_H

#include <stddef.h>
#include <stdint.h>

#include "postgres.h"

/* --- Role ----------------------------------------------------------------- */

#define PROBE_SQL_ROLE_MAX	2048

/*
 * Creates REPLICATION_ROLE or sets its attributes and password anew.
 * verifier: SCRAM-SHA-256$..., from PQencryptPasswordConn(), so that neither
 * the server nor its log ever sees the password.  -1 with errmsg when it is
 * none (a password given by mistake is never put into SQL).
 */
int	probe_sql_replication_role(const char *verifier, char *sql,
	    size_t size, char *errmsg);

/* What pg_rewind calls, in this database ("postgres"). */
#define PROBE_SQL_GRANT_REWIND						\
	"GRANT EXECUTE ON FUNCTION"					\
	" pg_catalog.pg_ls_dir(text, boolean, boolean),"		\
	" pg_catalog.pg_stat_file(text, boolean),"			\
	" pg_catalog.pg_read_binary_file(text),"			\
	" pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean)" \
	" TO " REPLICATION_ROLE

/* --- Slots ---------------------------------------------------------------- */

/* $1 name.  Makes it if it is missing, with WAL reserved at once.  No rows
 * when it was there. */
#define PROBE_SQL_SLOT_CREATE						\
	"SELECT slot_name, lsn"						\
	" FROM pg_create_physical_replication_slot($1::name, true)"	\
	" WHERE NOT EXISTS (SELECT FROM pg_replication_slots"		\
	"  WHERE slot_name = $1::name)"

/* $1 name.  No rows when there is none; an active one is an error (55006). */
#define PROBE_SQL_SLOT_DROP						\
	"SELECT pg_drop_replication_slot(slot_name)"			\
	" FROM pg_replication_slots WHERE slot_name = $1::name"

/* slot_name, active (t/f), restart_lsn, wal_status, bytes of WAL it keeps;
 * ours only. */
#define PROBE_SQL_SLOTS							\
	"SELECT slot_name, active, restart_lsn, wal_status,"		\
	" pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery()"		\
	"  THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END," \
	"  restart_lsn)::bigint"					\
	" FROM pg_replication_slots WHERE slot_type = 'physical'"	\
	"  AND slot_name ~ '^failoverd_' ORDER BY slot_name"

/* $1 name, $2 LSN: lets go of WAL before it, never beyond what this node has
 * itself; no rows when there is nothing to do. */
#define PROBE_SQL_SLOT_ADVANCE						\
	"SELECT a.end_lsn FROM pg_replication_slots s,"			\
	" LATERAL (SELECT LEAST($2::pg_lsn, CASE WHEN pg_is_in_recovery()" \
	"  THEN pg_last_wal_replay_lsn()"				\
	"  ELSE pg_current_wal_flush_lsn() END) AS lsn OFFSET 0) t,"	\
	" LATERAL pg_replication_slot_advance(s.slot_name, t.lsn) a"	\
	" WHERE s.slot_name = $1::name AND NOT s.active"		\
	"  AND s.restart_lsn < t.lsn"

/* --- Promotion and checkpoints -------------------------------------------- */

/* Returns at once; then ask PROBE_SQL_IS_OPEN.  (Its own wait would look
 * every 100 ms only.) */
#define PROBE_SQL_PROMOTE	"SELECT pg_promote(false)"

/* open (t/f), timeline (8 hex digits, NULL before), flush LSN (NULL before).
 * The timeline comes from the WAL that is being written. */
#define PROBE_SQL_IS_OPEN						\
	"SELECT NOT pg_is_in_recovery(),"				\
	" CASE WHEN NOT pg_is_in_recovery()"				\
	"  THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END," \
	" CASE WHEN NOT pg_is_in_recovery()"				\
	"  THEN pg_current_wal_flush_lsn() END"

/* Slow: for lane PROBE_SLOW.  On a standby, a restartpoint. */
#define PROBE_SQL_CHECKPOINT	"CHECKPOINT"
#define PROBE_SQL_SWITCH_WAL	"SELECT pg_switch_wal()"

/* --- Settings ------------------------------------------------------------- */

/* From then on, not at once: read PROBE_SQL_SETTINGS until it shows. */
#define PROBE_SQL_RELOAD	"SELECT pg_reload_conf()"

/* name, effective setting, sourcefile (NULL: command line or default),
 * pending_restart (t/f); every setting of owned.conf.  A sourcefile that is
 * postgresql.auto.conf defeats us: probe_sql_reset_setting(). */
#define PROBE_SQL_SETTINGS						\
	"SELECT name, setting, sourcefile, pending_restart"		\
	" FROM pg_settings WHERE name IN ('primary_conninfo',"		\
	" 'primary_slot_name', 'restore_command',"			\
	" 'synchronous_standby_names', 'hot_standby',"			\
	" 'recovery_target_timeline', 'archive_command',"		\
	" 'restart_after_crash', 'hba_file', 'wal_log_hints',"		\
	" 'wal_receiver_status_interval',"				\
	" 'wal_retrieve_retry_interval', 'wal_level', 'port')"		\
	" ORDER BY name"

/* The three that the seal and the cover look at, quick: primary_conninfo,
 * restore_command, synchronous_standby_names as in force in this session. */
#define PROBE_SQL_UPSTREAM						\
	"SELECT current_setting('primary_conninfo'),"			\
	" current_setting('restore_command'),"				\
	" current_setting('synchronous_standby_names')"

/* ALTER SYSTEM RESET of one of owned.conf's; -1 for any other name. */
int	probe_sql_reset_setting(const char *name, char *sql, size_t size,
	    char *errmsg);

/* line_number, error: what is wrong in the pg_hba.conf on disk; no rows: the
 * next reload takes it. */
#define PROBE_SQL_HBA_ERRORS						\
	"SELECT line_number, error FROM pg_hba_file_rules"		\
	" WHERE error IS NOT NULL"

/* name, error of settings on disk that a reload would not take. */
#define PROBE_SQL_CONF_ERRORS						\
	"SELECT coalesce(name, sourcefile), error FROM pg_file_settings" \
	" WHERE error IS NOT NULL"					\
	" AND error <> 'setting could not be applied'"

/* --- Replay --------------------------------------------------------------- */

/*
 * One row: wait_event of the startup process ('' when it works; NULL on a
 * primary), replay paused (t/f), receive LSN (NULL unknown), replay LSN, and
 * the greater of the two.  Parked at the end of its WAL:
 * PROBE_PARKED_1 or PROBE_PARKED_2 in two looks.
 */
#define PROBE_SQL_REPLAY						\
	"SELECT (SELECT coalesce(wait_event, '') FROM pg_stat_activity"	\
	"  WHERE backend_type = 'startup'),"				\
	" CASE WHEN pg_is_in_recovery()"				\
	"  THEN pg_is_wal_replay_paused() END,"				\
	" pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(),"		\
	" greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"
#define PROBE_PARKED_1		"RecoveryWalStream"
#define PROBE_PARKED_2		"RecoveryRetrieveRetryInterval"

/* Ends a pause; no rows when there is none. */
#define PROBE_SQL_REPLAY_RESUME						\
	"SELECT pg_wal_replay_resume() WHERE CASE WHEN"			\
	" pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END"

/*
 * Ends the sessions that replay waits for: every open transaction of a client
 * while the startup process waits for a conflict, a lock or a buffer.  pid of
 * each; no rows when nothing is in the way.
 */
#define PROBE_SQL_END_BLOCKERS						\
	"SELECT b.pid, pg_terminate_backend(b.pid)"			\
	" FROM pg_stat_activity b, pg_stat_activity s"			\
	" WHERE s.backend_type = 'startup'"				\
	"  AND (s.wait_event ~ '^RecoveryConflict'"			\
	"   OR s.wait_event_type IN ('Lock', 'BufferPin', 'Buffer'))"	\
	"  AND b.backend_type = 'client backend'"			\
	"  AND b.xact_start IS NOT NULL AND b.pid <> pg_backend_pid()"

/* --- Synchronous standbys ------------------------------------------------- */

/* Per walsender: pid, application_name, state, sync_state, sync_priority
 * (from the walsender's own copy of the list), flush LSN. */
#define PROBE_SQL_WALSENDERS						\
	"SELECT pid, application_name, state, sync_state, sync_priority," \
	" flush_lsn FROM pg_stat_replication ORDER BY application_name, pid"

/* $1 pid: a walsender that cannot be confirmed, or hangs in a shutdown. */
#define PROBE_SQL_END_WALSENDER						\
	"SELECT pg_terminate_backend(pid) FROM pg_stat_replication"	\
	" WHERE pid = $1::integer"

/* A commit that has to wait for the list: on lane PROBE_COMMIT alone. */
#define PROBE_SQL_COMMIT						\
	"SELECT pg_logical_emit_message(true, 'failoverd', '')"

/* On another lane meanwhile: pid of it, when it waits. */
#define PROBE_SQL_COMMIT_WAITS						\
	"SELECT pid FROM pg_stat_activity"				\
	" WHERE application_name = 'failoverd_commit'"			\
	"  AND usename = current_user AND wait_event = 'SyncRep'"

/* Afterwards: ends it, no user's. */
#define PROBE_SQL_COMMIT_END						\
	"SELECT pg_terminate_backend(pid) FROM pg_stat_activity"	\
	" WHERE application_name = 'failoverd_commit'"			\
	"  AND usename = current_user"

/* --- Facts ---------------------------------------------------------------- */

/* Bytes of everything, tablespaces included. */
#define PROBE_SQL_DATA_BYTES						\
	"SELECT sum(pg_tablespace_size(oid))::bigint FROM pg_tablespace"

#endif
