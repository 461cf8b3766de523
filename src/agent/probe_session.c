/*
 * probe_session.c - one non-blocking libpq session in the loop.
 *
 * Decides whether a failure was an answer of the server (then it lives) or
 * the want of one.  Must never block: the socket's directory and everything
 * libpq would look up by itself is given.
 */
#include "probe_session.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

/*
 * Of every session of ours.  Nothing of it is written to the server's log: a
 * role's verifier must not be there, and ten looks a second would drown the
 * rest.  English, because we read some of it.
 */
#define SESSION_OPTIONS							\
	"-c search_path=pg_catalog -c lc_messages=C"			\
	" -c statement_timeout=5000 -c lock_timeout=1000"		\
	" -c idle_in_transaction_session_timeout=60000"			\
	" -c log_statement=none -c log_min_duration_statement=-1"	\
	" -c log_min_error_statement=panic -c log_duration=off"		\
	" -c jit=off -c max_parallel_workers_per_gather=0"		\
	" -c synchronous_commit="

/*
 * libpq looks for ~/.pgpass when it has no password, by way of NSS, which may
 * hang.  With peer authentication nobody ever asks for this one.
 */
#define NO_PASSWORD	"none"

#define NO_DATABASE	"3D000"

void
session_init(struct session *session, uv_loop_t *loop, session_done_fn *done,
    void *arg)
{
	memset(session, 0, sizeof(*session));
	session->loop = loop;
	session->poll_fd = -1;
	session->done = done;
	session->arg = arg;
}

static void
on_poll_closed(uv_handle_t *handle)
{
	free(handle);
}

static void
stop_polling(struct session *session)
{
	if (session->poll == NULL)
		return;
	uv_poll_stop(session->poll);
	session->poll->data = NULL;
	uv_close((uv_handle_t *)session->poll, on_poll_closed);
	session->poll = NULL;
	session->poll_fd = -1;
}

void
session_close(struct session *session)
{
	/* Before the descriptor goes: it may be another's at once. */
	stop_polling(session);
	PQclear(session->result);
	session->result = NULL;
	if (session->conn != NULL)
		PQfinish(session->conn);
	session->conn = NULL;
	session->state = SESSION_CLOSED;
}

int
session_server_version(const struct session *session)
{
	return session->conn == NULL ? 0 : PQserverVersion(session->conn);
}

static bool
is_sqlstate(const char *text)
{
	int i;

	for (i = 0; i < 5; i++)
		if (!isdigit((unsigned char)text[i]) &&
		    !isupper((unsigned char)text[i]))
			return false;
	return text[5] == ':';
}

/* "FATAL:  53300: sorry, ..." anywhere in libpq's verbose message. */
static const char *
find_sqlstate(const char *message)
{
	const char *at = message;

	while ((at = strstr(at, ":  ")) != NULL) {
		at += 3;
		if (is_sqlstate(at))
			return at;
	}
	return NULL;
}

/* One line, with the class 08 when the server did not speak. */
static void
set_error(struct session *session, const char *message)
{
	const char *state = find_sqlstate(message);

	if (state == NULL)
		snprintf(session->error, sizeof(session->error), "08006: %.*s",
		    (int)strcspn(message, "\n"), message);
	else
		snprintf(session->error, sizeof(session->error), "%.*s",
		    (int)strcspn(state, "\n"), state);
}

/* The connection is of no more use: close it, then tell. */
static void
fail(struct session *session, int layer, const char *message)
{
	set_error(session, message);
	session_close(session);
	session->done(session->arg, session, layer, NULL, session->error);
}

/*
 * Why an opening failed.  A message with a SQLSTATE came from a server; so
 * did the one of a postmaster that cannot fork.  A socket that is full is a
 * server that does not accept.
 */
static int
opening_layer(const char *message)
{
	if (find_sqlstate(message) != NULL ||
	    strstr(message, "could not fork") != NULL)
		return PROBE_REFUSED;
	if (strstr(message, "not connected") != NULL ||
	    strstr(message, "temporarily unavailable") != NULL)
		return PROBE_CONNECT_TIMEOUT;
	return PROBE_SOCKET;
}

static void	on_poll(uv_poll_t *poll, int status, int events);

/* Waits for events on whatever socket libpq has now. */
static int
poll_for(struct session *session, int events)
{
	int fd = PQsocket(session->conn);

	if (session->poll != NULL && session->poll_fd == fd &&
	    session->poll_events == events)
		return 0;
	if (session->poll != NULL && session->poll_fd != fd)
		stop_polling(session);
	if (session->poll == NULL) {
		session->poll = malloc(sizeof(*session->poll));
		if (session->poll == NULL)
			return -1;
		if (uv_poll_init(session->loop, session->poll, fd) != 0) {
			free(session->poll);
			session->poll = NULL;
			return -1;
		}
		session->poll->data = session;
		session->poll_fd = fd;
	}
	session->poll_events = events;
	return uv_poll_start(session->poll, events, on_poll);
}

static void
go_on_opening(struct session *session)
{
	PostgresPollingStatusType status = PQconnectPoll(session->conn);
	int events = UV_READABLE;

	if (status == PGRES_POLLING_FAILED) {
		const char *state =
		    find_sqlstate(PQerrorMessage(session->conn));

		/* Somebody dropped "postgres": next time the other one. */
		if (state != NULL && strncmp(state, NO_DATABASE, 5) == 0)
			session->no_postgres = !session->no_postgres;
		fail(session, opening_layer(PQerrorMessage(session->conn)),
		    PQerrorMessage(session->conn));
		return;
	}
	if (status == PGRES_POLLING_WRITING)
		events = UV_WRITABLE;
	if (poll_for(session, events) != 0) {
		fail(session, PROBE_SOCKET, "could not watch a socket");
		return;
	}
	if (status != PGRES_POLLING_OK)
		return;
	PQsetnonblocking(session->conn, 1);
	session->state = SESSION_IDLE;
	session->done(session->arg, session, PROBE_OK, NULL, NULL);
}

/* The query is over: hands out its result. */
static void
answer(struct session *session)
{
	PGresult *result = session->result;
	ExecStatusType status = PQresultStatus(result);
	const char *error = NULL;
	int layer = PROBE_OK;

	session->result = NULL;
	session->state = SESSION_IDLE;
	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
		const char *state = PQresultErrorField(result,
		    PG_DIAG_SQLSTATE);
		const char *text = PQresultErrorField(result,
		    PG_DIAG_MESSAGE_PRIMARY);

		layer = state == NULL ? PROBE_SOCKET : PROBE_QUERY;
		if (state == NULL)
			set_error(session, PQresultErrorMessage(result));
		else
			snprintf(session->error, sizeof(session->error),
			    "%s: %s", state, text == NULL ? "" : text);
		error = session->error;
	}
	/* A FATAL is an answer, and the end of the connection. */
	if (PQstatus(session->conn) == CONNECTION_BAD)
		session_close(session);
	session->done(session->arg, session, layer, result, error);
	PQclear(result);
}

static void
go_on_reading(struct session *session)
{
	PGresult *result;

	while (!PQisBusy(session->conn)) {
		result = PQgetResult(session->conn);
		if (result == NULL) {
			if (session->result != NULL)
				answer(session);
			return;
		}
		/* Of several the last counts, but an error stays. */
		if (session->result != NULL && PQresultStatus(session->result)
		    == PGRES_FATAL_ERROR) {
			PQclear(result);
		} else {
			PQclear(session->result);
			session->result = result;
		}
		if (PQstatus(session->conn) == CONNECTION_BAD) {
			answer(session);
			return;
		}
	}
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
	struct session *session = poll->data;
	int flushed = 0;

	(void)events;
	if (session == NULL)
		return;
	if (session->state == SESSION_OPENING) {
		go_on_opening(session);
		return;
	}
	if (session->state == SESSION_BUSY)
		flushed = PQflush(session->conn);
	if (status < 0 || flushed < 0 || !PQconsumeInput(session->conn)) {
		/* A last word of the server may be in the buffer. */
		if (session->state == SESSION_BUSY)
			go_on_reading(session);
		if (session->state == SESSION_BUSY)
			fail(session, PROBE_SOCKET,
			    PQerrorMessage(session->conn));
		else if (session->state == SESSION_IDLE)
			session_close(session);
		return;
	}
	if (session->state == SESSION_BUSY) {
		if (poll_for(session, flushed == 1 ?
		    UV_READABLE | UV_WRITABLE : UV_READABLE) != 0) {
			fail(session, PROBE_SOCKET, "could not watch a socket");
			return;
		}
		go_on_reading(session);
	} else if (PQstatus(session->conn) == CONNECTION_BAD)
		session_close(session);
}

/* libpq would write notices to stderr, past the log. */
static void
on_notice(void *arg, const char *message)
{
	(void)arg;
	(void)message;
}

void
session_open(struct session *session, const struct postgres *pg,
    const char *socket_dir, const char *port, const struct session_kind *kind)
{
	bool has_passfile = pg->agent_passfile[0] != '\0';
	char options[sizeof(SESSION_OPTIONS) + 16];
	const char *keywords[] = { "host", "port", "user", "dbname",
	    "application_name", "options", "client_encoding", "sslmode",
	    "gssencmode", has_passfile ? "passfile" : "password", NULL };
	const char *values[] = { socket_dir, port, pg->superuser,
	    session->no_postgres ? "template1" : "postgres",
	    kind->application_name, options, "UTF8", "disable", "disable",
	    has_passfile ? pg->agent_passfile : NO_PASSWORD, NULL };

	session_close(session);
	snprintf(options, sizeof(options), "%s%s", SESSION_OPTIONS,
	    kind->synchronous_commit);
	session->conn = PQconnectStartParams(keywords, values, 0);
	session->state = SESSION_OPENING;
	if (session->conn == NULL) {
		fail(session, PROBE_SOCKET, "out of memory");
		return;
	}
	PQsetNoticeProcessor(session->conn, on_notice, NULL);
	/* The SQLSTATE in messages: what a server says has one. */
	PQsetErrorVerbosity(session->conn, PQERRORS_VERBOSE);
	if (PQstatus(session->conn) == CONNECTION_BAD) {
		fail(session, opening_layer(PQerrorMessage(session->conn)),
		    PQerrorMessage(session->conn));
		return;
	}
	if (poll_for(session, UV_WRITABLE) != 0)
		fail(session, PROBE_SOCKET, "could not watch a socket");
}

void
session_query(struct session *session, const char *name, bool prepared,
    const char *sql, int param_count, const char *const *params)
{
	int sent, flushed;

	if (name != NULL && !prepared)
		sent = PQsendPrepare(session->conn, name, sql, 0, NULL);
	else if (name != NULL)
		sent = PQsendQueryPrepared(session->conn, name, param_count,
		    params, NULL, NULL, 0);
	else
		sent = PQsendQueryParams(session->conn, sql, param_count,
		    NULL, params, NULL, NULL, 0);
	session->state = SESSION_BUSY;
	flushed = sent ? PQflush(session->conn) : -1;
	if (flushed < 0) {
		/* The server may have said why it closed. */
		if (sent && PQconsumeInput(session->conn))
			go_on_reading(session);
		if (session->state == SESSION_BUSY)
			fail(session, PROBE_SOCKET,
			    PQerrorMessage(session->conn));
		return;
	}
	if (poll_for(session, flushed == 1 ? UV_READABLE | UV_WRITABLE :
	    UV_READABLE) != 0)
		fail(session, PROBE_SOCKET, "could not watch a socket");
}
