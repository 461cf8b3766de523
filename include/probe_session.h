/*
 * probe_session.h - one non-blocking libpq session in the loop.
 *
 * For probe*.c.  It has no deadlines of its own: who asks keeps the time, and
 * closes the session or goes on waiting.  One thing at a time is under way:
 * an opening or a query; its end is told by done, exactly once.
 */
#ifndef FAILOVERD_PROBE_SESSION_H
#define FAILOVERD_PROBE_SESSION_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <uv.h>

#include "limits.h"
#include "postgres.h"

enum session_state {
	SESSION_CLOSED,
	SESSION_OPENING,
	SESSION_IDLE,
	SESSION_BUSY
};

struct session;

/*
 * layer: enum probe_layer.  result: of a query that was answered, an error
 * included, else NULL; borrowed.  error: NULL, or "SQLSTATE: message" in one
 * line; borrowed.
 */
typedef void session_done_fn(void *arg, struct session *session, int layer,
	    const PGresult *result, const char *error);

struct session {		/* read only; owned by the embedding struct */
	uv_loop_t *loop;
	PGconn *conn;
	uv_poll_t *poll;
	int poll_fd, poll_events;
	enum session_state state;
	PGresult *result;	/* of the query under way */
	bool no_postgres;	/* no database of that name: template1 */
	session_done_fn *done;
	void *arg;
	char error[ERRMSG_MAX];
};

void	session_init(struct session *session, uv_loop_t *loop,
	    session_done_fn *done, void *arg);

/* What a session is for: its name in pg_stat_activity and its commits. */
struct session_kind {
	const char *application_name;
	const char *synchronous_commit;	/* "local", "on" */
};

/* Begins to connect.  A failure at once is told by done as well. */
void	session_open(struct session *session, const struct postgres *pg,
	    const char *socket_dir, const char *port,
	    const struct session_kind *kind);

/*
 * On an idle session: sends a query with text parameters; the name of a
 * prepared statement instead of sql when prepared is set; PREPARE of sql
 * under name when name is not NULL and prepared is not set.
 */
void	session_query(struct session *session, const char *name,
	    bool prepared, const char *sql, int param_count,
	    const char *const *params);

/* Closes it at once; done is not called.  May be opened again. */
void	session_close(struct session *session);

/* PQserverVersion: 150020; 0 when closed. */
int	session_server_version(const struct session *session);

#endif
