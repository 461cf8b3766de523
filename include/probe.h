/*
 * probe.h - how the local PostgreSQL is judged, and how it is talked to.
 *
 * Non-blocking libpq over the Unix socket in a libuv loop.  One persistent
 * session for the beat's probe; further commands (promote, checkpoint, slots,
 * synchronous list) are queued on a second one, so that a slow checkpoint
 * never delays a probe.  Any answer of the server, an error included, is
 * life.  All sessions: search_path=pg_catalog, synchronous_commit=local, own
 * statement_timeout and lock_timeout, application_name failoverd.
 */
#ifndef FAILOVERD_PROBE_H
#define FAILOVERD_PROBE_H

#include <stdbool.h>
#include <uv.h>

#include "monotime.h"
#include "postgres.h"
#include "report.h"

struct probe;

/* Member id of a node name, 0 = not a member: for walsenders. */
typedef uint32_t probe_member_fn(void *arg, const char *node);
/* Member id by where its PostgreSQL is reached, 0 = not a member: for the
 * upstream.  host and port as in the conninfo we wrote. */
typedef uint32_t probe_upstream_fn(void *arg, const char *host,
	    const char *port);
/* Called in the loop after every look, answered or not. */
typedef void probe_done_fn(void *arg);

/* pg must outlive the probe; it may be located anew meanwhile.  The process
 * must ignore SIGPIPE.  NULL: out of memory. */
struct probe *probe_new(uv_loop_t *loop, const struct postgres *pg,
	    probe_member_fn *member, probe_done_fn *done, void *arg);
/* Without it, report.upstream_id stays 0. */
void	probe_set_upstream(struct probe *probe, probe_upstream_fn *upstream);
/* Closes; no callback comes any more; the loop must run on.  NULL is legal. */
void	probe_free(struct probe *probe);

/*
 * Begins one look if none is under way; a look that is not answered within
 * timeout_ms is given up and counted (PROBE_CONNECT_TIMEOUT or
 * PROBE_QUERY_TIMEOUT).  postmaster_pid 0 = known not to run: all sessions
 * are dropped, commands get an error, the result is PROBE_SOCKET at once.
 * So do other sessions when the pid is another than before.
 *
 * A connection attempt that was given up goes on and answers a later look, so
 * that a stopped postmaster is not buried in attempts; a session whose query
 * was given up is dropped (at most one in SESSION_KEEP_MS), so that the next
 * look tries the server with another one.
 */
#define SESSION_KEEP_MS		5000
void	probe_look(struct probe *probe, pid_t postmaster_pid,
	    uint32_t timeout_ms);

/* Copies what the last answered look saw into the PostgreSQL part of report
 * (pg_role, LSNs, walsenders, ..., probe, sample_age_ms).  Values of an
 * earlier postmaster are never reported.  sample_age_ms counts from when the
 * question was sent; UINT32_MAX = there is no sample.  system_identifier is
 * left alone when PostgreSQL has not told it (it is in pg_control, too). */
void	probe_fill_report(const struct probe *probe, monotime_t now,
	    struct report *report);

/*
 * Since when no look and no command has been answered: the beginning of the
 * first look that was not.  never = answering, or not running.  A command
 * that is given up says nothing: it may just be long.
 */
monotime_t probe_silent_since(const struct probe *probe);

/* Of the last look: "SQLSTATE: message" in one line, "" when answered. */
const char *probe_error(const struct probe *probe);

/* Does a command's or probe_error()'s text have this SQLSTATE?  NULL has not. */
bool	probe_error_is(const char *error, const char *sqlstate);
/* The server is starting up, shutting down or recovering. */
#define PROBE_STARTING_UP	"57P03"

/*
 * Has replay been seen parked at the end of its WAL in two looks in a row
 * since this postmaster started?  Then greatest(receive, replay) is all there
 * is.  False once more after a restart.
 */
bool	probe_has_parked(const struct probe *probe);

/* wal receiver of the last answered look: "" when there is none (or when it
 * is still connecting, which PostgreSQL hides). */
const char *probe_receiver_host(const struct probe *probe);
const char *probe_receiver_port(const struct probe *probe);
const char *probe_receiver_slot(const struct probe *probe);

/*
 * Queues one SQL command on the command session.  Parameters are text and
 * copied, as sql is; results come as text: rows[row * columns + column], NULL
 * for SQL NULL, borrowed for the call.  error is NULL on success, else one
 * line "SQLSTATE: message" (08006: no answer, 57014: given up).  timeout_ms is
 * the client's own deadline and counts from when the command's turn comes;
 * the server's statement_timeout is a tenth shorter.  A command that is given
 * up on its deadline drops the session; whether it took effect is unknown.
 * The callback comes from the loop, never from within probe_command().  The
 * queue of one lane is in order; nothing orders lanes among each other.
 */
enum probe_lane {
	PROBE_QUICK,		/* probe_command()'s */
	PROBE_SLOW,		/* checkpoints and what else takes its time */
	PROBE_COMMIT,		/* synchronous_commit=on, application_name
				 * PROBE_COMMIT_NAME: only for the commit that
				 * shows that commits wait */
	PROBE_LANES
};
#define PROBE_NAME		"failoverd"
#define PROBE_COMMIT_NAME	"failoverd_commit"

typedef void probe_result_fn(void *arg, const char *error, int row_count,
	    int column_count, const char *const *rows);
void	probe_command(struct probe *probe, const char *sql, int param_count,
	    const char *const *params, uint32_t timeout_ms,
	    probe_result_fn *done, void *arg);
void	probe_command_on(struct probe *probe, enum probe_lane lane,
	    const char *sql, int param_count, const char *const *params,
	    uint32_t timeout_ms, probe_result_fn *done, void *arg);
/* Opens the session of a lane ahead of its first command. */
void	probe_warm_up(struct probe *probe, enum probe_lane lane);
/* Gives up everything queued on all lanes; each callback gets an error, from
 * within this call. */
void	probe_cancel_commands(struct probe *probe);

/*
 * Does a PostgreSQL answer on "host:port", "[v6]:port" or, when address
 * begins with a slash, on a Unix socket ("/run/postgresql/.s.PGSQL.5432")?
 * Sends an SSLRequest and waits for its one byte: an open port is no answer,
 * a stopped postmaster still accepts.  A new connection every time, and so
 * the second kind of look at the own server.  Names are resolved within the
 * deadline.  Result: enum port_answer.  done is called once, from the loop;
 * -1 (address without sense, no memory): it is not.  There is no way to
 * cancel: arg must outlive timeout_ms.
 */
typedef void probe_port_fn(void *arg, int answer);
int	probe_port(uv_loop_t *loop, const char *address, uint32_t timeout_ms,
	    probe_port_fn *done, void *arg);

#endif
