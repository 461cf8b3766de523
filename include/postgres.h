/*
 * postgres.h - the mechanics of the one local PostgreSQL.
 *
 * The only module that touches a data directory, its configuration or its
 * processes.  It decides nothing: execute.c says what, this says how.
 * Functions marked [worker] may block for long and are called only in a libuv
 * worker or a child, never in the loop; none of them touches global state, so
 * they may run beside the loop.  Errors: -1 and errmsg.
 */
#ifndef FAILOVERD_POSTGRES_H
#define FAILOVERD_POSTGRES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf.h"
#include "lsn.h"
#include "order.h"

/* Where everything of the local cluster is; filled once by postgres_locate. */
struct postgres {
	char data_dir[CONF_PATH_MAX];
	char config_file[CONF_PATH_MAX];	/* postgresql.conf */
	char user_hba_file[CONF_PATH_MAX];	/* the user's pg_hba.conf */
	char ident_file[CONF_PATH_MAX];
	char bin_dir[CONF_PATH_MAX];
	char hba_file[CONF_PATH_MAX];	/* STATE_DIR/pg_hba.conf, ours */
	char owned_file[CONF_PATH_MAX];	/* STATE_DIR/owned.conf, ours */
	char passfile[CONF_PATH_MAX];	/* secrets/replication.pgpass in it */
	char agent_passfile[CONF_PATH_MAX];	/* of the agent's own sessions,
					 * "" = the socket asks for none */
	char start_conf[CONF_PATH_MAX];	/* Debian's start.conf, "" = none */
	char log_file[CONF_PATH_MAX];
	char state_dir[CONF_PATH_MAX];
	char run_dir[CONF_PATH_MAX];
	char superuser[64];		/* the agent's own sessions */
	char listen_addresses[256];	/* "" = the user's */
	char socket_dir[CONF_PATH_MAX];	/* "" = the user's */
	char host[ADDRESS_MAX_LEN + 1];	/* advertised */
	char port[16];
	unsigned major;			/* 15; 0 = no data directory yet */
};

#define REPLICATION_ROLE "failoverd_replication"

/*
 * Reads failoverd.conf's view, PG_VERSION, /etc/postgresql (Debian).  A
 * missing or empty data_dir is no error: major is 0 and bin_dir the newest
 * PostgreSQL found.  To be repeated after initdb and after a clone.
 * postgres_locate_below() looks for /etc, /usr and /var below root, for tests.
 */
int	postgres_locate(struct postgres *pg, const struct conf *conf,
	    char *errmsg);
int	postgres_locate_below(const char *root, struct postgres *pg,
	    const struct conf *conf, char *errmsg);

/*
 * Is a postmaster of this data directory running?  By postmaster.pid and the
 * working directory of the process it names, so that a pid given to somebody
 * else does not count.  *pid (may be NULL) is it.  [worker]
 */
bool	postgres_is_running(const struct postgres *pg, pid_t *pid);

/* pg_controldata, run as a child with LC_ALL=C.  [worker] */
struct postgres_control {
	bool exists;			/* a data directory with pg_control */
	uint64_t system_identifier;
	uint32_t catalog_version;
	char state[64];			/* "in production", "shut down", ... */
	bool shut_down;			/* cleanly, as primary or standby */
	bool backup_label;		/* a copy that was never consistent yet */
	uint32_t timeline;		/* of the latest checkpoint */
	uint32_t min_recovery_timeline;
	lsn_t checkpoint_lsn, redo_lsn, min_recovery_lsn;
	lsn_t shutdown_end_lsn;		/* end of a shutdown checkpoint record
					 * of a primary; 0 otherwise */
	bool checksums, wal_log_hints;
	/* settings of the primary that wrote the WAL; a standby with less
	 * does not start (or pauses, 14 and later) */
	unsigned max_connections, max_worker_processes, max_wal_senders,
	    max_prepared_transactions, max_locks_per_transaction;
};
/* No pg_control: 0 with exists = false. */
int	postgres_read_control(const struct postgres *pg,
	    struct postgres_control *control, char *errmsg);

/* initdb with checksums, SCRAM, UTF-8, -U superuser.  [worker] */
int	postgres_initdb(const struct postgres *pg, char *errmsg);

/*
 * Once per data directory, and again after every clone and rewind, which
 * bring the source's files: the `include` of owned_file as last line of
 * postgresql.conf (the original kept as .before-failoverd; an include of
 * another node's file, copied with the directory, is taken out), Debian's
 * start.conf set to "disabled", settings of ours removed from
 * postgresql.auto.conf (only while PostgreSQL is stopped; otherwise a line
 * names them, and probe_sql_reset_setting() is the way).  Idempotent.
 * PostgreSQL does not start before owned_file is written, too.
 * changes gets one line per thing done; dry_run: that would be done.
 * [worker]
 */
int	postgres_take_over(const struct postgres *pg, bool dry_run,
	    char *changes, size_t changes_size, char *errmsg);
/*
 * The way back (detach): the include and start.conf; copies of ours are
 * removed.  The user's postgresql.conf keeps what was edited since.
 * [worker]
 */
int	postgres_give_back(const struct postgres *pg, char *changes,
	    size_t changes_size, char *errmsg);

/* Is this a setting that owned.conf may set? */
bool	postgres_is_owned_setting(const char *name);

/* Everything in owned.conf; written whole, fsynced, renamed. */
struct postgres_owned {
	uint32_t self_id, self_incarnation;
	const char *self_name;		/* node */
	/* upstream; host "" = none (primary, or sealed) */
	const char *upstream_host, *upstream_port;
	const char *upstream_address;	/* the host's number, so that nothing
				 * has to resolve it; NULL = unknown */
	const char *slot_name;		/* ours on the upstream; "" = none */
	/* synchronous_standby_names as SQL text, "" = empty */
	const char *synchronous_standby_names;
	const char *archive_command;	/* NULL = leave the user's */
	const char *restore_command;	/* NULL = none */
	uint32_t max_members;		/* for max_wal_senders and slots */
	/* of this data directory, or NULL: a standby is not given less than
	 * its WAL needs */
	const struct postgres_control *control;
};
/* The text of owned.conf, for tests and `init --dry-run`; to be freed. */
char	*postgres_owned_text(const struct postgres *pg,
	    const struct postgres_owned *owned, char *errmsg);
int	postgres_write_owned(const struct postgres *pg,
	    const struct postgres_owned *owned, char *errmsg);	/* [worker] */

/*
 * STATE_DIR/pg_hba.conf: our block (the agent's user on the local socket;
 * REPLICATION_ROLE from each address with scram-sha-256 and from nowhere
 * else), then the user's file, unless gate is set: the restart gate lets
 * nobody in but ourselves.  addresses are host names or numbers without
 * port; a name costs PostgreSQL a look-up both ways at every connection, so
 * pass its numbers too.  [worker]
 */
int	postgres_write_hba(const struct postgres *pg,
	    const char *const *addresses, unsigned address_count, bool gate,
	    char *errmsg);
/* The text of it, for tests; to be freed. */
char	*postgres_hba_text(const struct postgres *pg,
	    const char *const *addresses, unsigned address_count, bool gate,
	    char *errmsg);

/* The passfile with the replication password, 0600.  [worker] */
int	postgres_write_passfile(const struct postgres *pg,
	    const char *password, char *errmsg);
/* The seal: the credential is gone until written again.  [worker] */
int	postgres_remove_passfile(const struct postgres *pg, char *errmsg);

/* standby.signal made or removed (recovery.signal is removed in any case),
 * fsynced.  [worker] */
int	postgres_set_standby(const struct postgres *pg, bool standby,
	    char *errmsg);
bool	postgres_is_standby_configured(const struct postgres *pg);

/* The argv to hand to the guard: postgres -D ... -c config_file=... */
#define POSTGRES_ARGV_MAX 16
struct postgres_argv {
	char storage[POSTGRES_ARGV_MAX][2 * CONF_PATH_MAX];
	const char *argv[POSTGRES_ARGV_MAX + 1];
};
int	postgres_start_argv(const struct postgres *pg,
	    struct postgres_argv *argv, char *errmsg);

/*
 * postmaster.pid: socket directory and port of the running server; both ""
 * while it has not written them yet.  [worker]: a hung disk blocks it.
 */
int	postgres_read_pidfile(const struct postgres *pg, pid_t *pid,
	    char *socket_dir, size_t size, char *port, size_t port_size,
	    char *errmsg);

/* SIGHUP to the postmaster of postmaster.pid.  [worker] */
int	postgres_reload(const struct postgres *pg, char *errmsg);
/* The same by pid, for the loop; checks that it is a postgres. */
int	postgres_reload_pid(pid_t postmaster, char *errmsg);
/*
 * Has a child that matters for the seal (startup, walreceiver) or the
 * postmaster itself a SIGHUP that it has not taken yet?  True for a stopped
 * process; -1 on error.  What was taken is acted upon within milliseconds.
 */
int	postgres_is_reload_pending(pid_t postmaster);

/*
 * What the postmaster has used since its start, to tell "hung" from "busy":
 * CPU in clock ticks, context switches.  -1: no such process.
 */
int	postgres_read_activity(pid_t postmaster, uint64_t *cpu_ticks,
	    uint64_t *context_switches);

/*
 * SIGTERM to every walreceiver child of the postmaster, found in /proc by
 * parent and title, never SIGKILL.  Returns how many were found, -1 on error.
 * A child forked this very moment has no title yet: 0 counts when it is seen
 * twice, 20 ms apart, and then goes on being watched.
 */
int	postgres_terminate_walreceivers(pid_t postmaster, char *errmsg);
int	postgres_count_walreceivers(pid_t postmaster);

/*
 * For every timeline between the replayed one and `expected` that has no
 * history file in pg_wal, writes one with a fork point below replay_lsn, so
 * that PostgreSQL, which takes the newest contiguous one plus one, chooses
 * exactly `expected`.  Fsynced, and kept for ever: a follower fetches each.
 * -1 as well when that cannot be brought about: `expected` exists already, or
 * one between forks off ahead of replay_lsn.  Idempotent.  [worker]
 */
int	postgres_plant_histories(const struct postgres *pg, uint32_t current,
	    uint32_t expected, lsn_t replay_lsn, char *errmsg);

/*
 * Where `timeline` forked from its parent, from its history file in pg_wal;
 * timeline 1: 0 and 0.  -1 when there is no such file.  [worker]
 */
int	postgres_timeline_begin(const struct postgres *pg, uint32_t timeline,
	    uint32_t *parent, lsn_t *begin, char *errmsg);

/*
 * argv of the children that take long: pg_basebackup from host:port with
 * slot and passfile in its environment (env is a NULL-terminated list),
 * pg_rewind.  Progress lines are parsed by postgres_parse_progress().
 */
struct postgres_child {
	struct postgres_argv args;
	char env_storage[8][CONF_PATH_MAX + 64];
	const char *env[9];
};
int	postgres_basebackup_child(const struct postgres *pg, const char *host,
	    const char *port, const char *slot, struct postgres_child *child,
	    char *errmsg);
int	postgres_rewind_child(const struct postgres *pg, const char *host,
	    const char *port, struct postgres_child *child, char *errmsg);
bool	postgres_parse_progress(const char *line, uint64_t *done_bytes,
	    uint64_t *total_bytes);

/*
 * Crash recovery of a stopped cluster by a single-user run without input,
 * standby.signal aside and the synchronous list empty (a commit would wait
 * for ever), as a rewind needs it.  [worker]
 */
int	postgres_recover(const struct postgres *pg, uint32_t timeout_ms,
	    char *errmsg);

/* Is data_dir empty or missing (lost+found and dot files do not count)? */
bool	postgres_is_empty(const char *data_dir);
/*
 * Sets an old data directory aside as DIR.SUFFIX and leaves an empty one in
 * its place.  Refused while it is running.  Its tablespaces stay where they
 * are and belong to the copy that was set aside.  [worker]
 */
int	postgres_set_aside(const struct postgres *pg, const char *suffix,
	    char *errmsg);
/*
 * Empties a data directory: only for a partial copy of ours, which the
 * caller knows from its marker.  Files of its tablespaces go too.  Refused
 * while it is running and when it does not look like a data directory.
 * [worker]
 */
int	postgres_remove_data(const struct postgres *pg, char *errmsg);

/* Names: "n2.3" is node n2, incarnation 3; slots are "failoverd_n2". */
void	postgres_application_name(const char *node, uint32_t incarnation,
	    char *text, size_t size);
int	postgres_parse_application_name(const char *text, char *node,
	    size_t size, uint32_t *incarnation);
void	postgres_slot_name(const char *node, char *text, size_t size);

#endif
