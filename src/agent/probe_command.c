/*
 * probe_command.c - SQL commands on sessions of their own.
 *
 * Owns the queues: one command at a time and lane, in order, each with its
 * own deadline.  Decides nothing about what is run.  Must never call back
 * twice for one command, and never run a command that was given up.
 */
#include "probe_lane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

#define TIMEOUT_MIN_MS	10u

struct command {
	struct command *next;
	char *sql;
	int param_count;
	char **params;
	uint32_t timeout_ms;
	probe_result_fn *done;
	void *arg;
};

static const struct session_kind kinds[PROBE_LANES] = {
	[PROBE_QUICK] = { PROBE_NAME, "local" },
	[PROBE_SLOW] = { PROBE_NAME, "local" },
	[PROBE_COMMIT] = { PROBE_COMMIT_NAME, "on" },
};

static void	on_timer(uv_timer_t *timer);

static void
command_free(struct command *command)
{
	int i;

	if (command == NULL)
		return;
	for (i = 0; i < command->param_count && command->params != NULL; i++)
		free(command->params[i]);
	free(command->params);
	free(command->sql);
	free(command);
}

static struct command *
command_new(const char *sql, int param_count, const char *const *params)
{
	struct command *command = calloc(1, sizeof(*command));
	int i;

	if (command == NULL)
		return NULL;
	command->sql = strdup(sql);
	command->param_count = param_count;
	if (param_count > 0)
		command->params = calloc((size_t)param_count, sizeof(char *));
	if (command->sql == NULL ||
	    (param_count > 0 && command->params == NULL))
		goto fail;
	for (i = 0; i < param_count; i++) {
		if (params[i] == NULL)
			continue;
		command->params[i] = strdup(params[i]);
		if (command->params[i] == NULL)
			goto fail;
	}
	return command;
fail:
	command_free(command);
	return NULL;
}

/* In the next turn of the loop, so that no callback comes from a call. */
static void
take_turn(struct lane *lane)
{
	if (lane->running == NULL)
		uv_timer_start(&lane->timer, on_timer, 0, 0);
}

static void
finish(struct lane *lane, const char *error, int rows, int columns,
    const char *const *values)
{
	struct command *command = lane->running;

	lane->running = NULL;
	uv_timer_stop(&lane->timer);
	if (lane->head != NULL)
		take_turn(lane);
	command->done(command->arg, error, rows, columns, values);
	command_free(command);
}

/* Hands out a result as rows of text. */
static void
finish_with(struct lane *lane, const PGresult *result)
{
	int rows = PQntuples(result), columns = PQnfields(result), r, c;
	size_t count = (size_t)rows * (size_t)columns;
	const char **values;

	values = calloc(count + 1, sizeof(*values));
	if (values == NULL) {
		finish(lane, "53200: out of memory", 0, 0, NULL);
		return;
	}
	for (r = 0; r < rows; r++)
		for (c = 0; c < columns; c++)
			if (!PQgetisnull(result, r, c))
				values[r * columns + c] =
				    PQgetvalue(result, r, c);
	finish(lane, NULL, rows, columns, values);
	free(values);
}

static void
send_command(struct lane *lane)
{
	struct command *command = lane->running;
	uint32_t limit_ms = command->timeout_ms / 10 * 9;
	char statement[16], lock[16];
	const char *settings[2] = { statement, lock };
	const char *const *params;

	if (limit_ms < TIMEOUT_MIN_MS)
		limit_ms = TIMEOUT_MIN_MS;
	if (lane->server_timeout_ms != limit_ms) {
		lane->timeout_is_set = false;
		lane->server_timeout_ms = limit_ms;
		snprintf(statement, sizeof(statement), "%u", limit_ms);
		snprintf(lock, sizeof(lock), "%u", limit_ms / 4 * 3 + 1);
		session_query(&lane->session, NULL, false,
		    "SELECT set_config('statement_timeout', $1, false),"
		    " set_config('lock_timeout', $2, false)", 2, settings);
		return;
	}
	lane->timeout_is_set = true;
	memcpy(&params, &command->params, sizeof(params));
	session_query(&lane->session, NULL, false, command->sql,
	    command->param_count, params);
}

/* The next step of the command that is running, or of opening ahead. */
static void
go_on(struct lane *lane)
{
	switch (lane->session.state) {
	case SESSION_CLOSED:
		lane->server_timeout_ms = 0;
		(void)probe_open_session(lane->probe, &lane->session,
		    lane->kind);
		break;
	case SESSION_IDLE:
		if (lane->running != NULL)
			send_command(lane);
		break;
	case SESSION_OPENING:
	case SESSION_BUSY:
		break;
	}
}

static void
on_session(void *arg, struct session *session, int layer,
    const PGresult *result, const char *error)
{
	struct lane *lane = arg;

	(void)session;
	lane->warm_up = false;
	if (layer == PROBE_OK || layer == PROBE_REFUSED ||
	    layer == PROBE_QUERY)
		probe_note_answer(lane->probe);
	if (lane->running == NULL)
		return;
	if (layer != PROBE_OK && !lane->timeout_is_set)
		lane->server_timeout_ms = 0;
	if (layer != PROBE_OK)
		finish(lane, error, 0, 0, NULL);
	else if (result != NULL && lane->timeout_is_set)
		finish_with(lane, result);
	else
		go_on(lane);
}

static void
on_timer(uv_timer_t *timer)
{
	struct lane *lane = timer->data;
	struct command *command = lane->running;
	char error[96];

	if (command != NULL) {
		snprintf(error, sizeof(error), "08006: no answer within "
		    "%u ms", command->timeout_ms);
		session_close(&lane->session);
		finish(lane, error, 0, 0, NULL);
		return;
	}
	if (lane->head == NULL)
		return;
	command = lane->running = lane->head;
	lane->head = command->next;
	if (lane->head == NULL)
		lane->tail = NULL;
	if (!probe_is_running(lane->probe)) {
		finish(lane, "08001: PostgreSQL is not running", 0, 0, NULL);
		return;
	}
	uv_timer_start(&lane->timer, on_timer, command->timeout_ms, 0);
	go_on(lane);
}

void
lane_init(struct lane *lane, struct probe *probe, uv_loop_t *loop,
    enum probe_lane which)
{
	memset(lane, 0, sizeof(*lane));
	lane->probe = probe;
	lane->kind = &kinds[which];
	uv_timer_init(loop, &lane->timer);
	lane->timer.data = lane;
	session_init(&lane->session, loop, on_session, lane);
}

void
lane_kick(struct lane *lane)
{
	if (lane->running != NULL || lane->warm_up)
		go_on(lane);
	else if (lane->head != NULL)
		take_turn(lane);
}

void
lane_fail_all(struct lane *lane, const char *error)
{
	struct command *list = lane->head, *command;

	if (lane->running != NULL) {
		session_close(&lane->session);
		lane->running->next = list;
		list = lane->running;
	}
	/* Off the lane first: a callback may queue new ones. */
	lane->running = lane->head = lane->tail = NULL;
	uv_timer_stop(&lane->timer);
	while ((command = list) != NULL) {
		list = command->next;
		/* A callback may also have freed the probe. */
		if (!uv_is_closing((uv_handle_t *)&lane->timer))
			command->done(command->arg, error, 0, 0, NULL);
		command_free(command);
	}
}

void
lane_close(struct lane *lane, uv_close_cb closed)
{
	struct command *command;

	session_close(&lane->session);
	while ((command = lane->head) != NULL) {
		lane->head = command->next;
		command_free(command);
	}
	/* One whose callback is on the stack is not in the lane any more. */
	command_free(lane->running);
	lane->running = lane->tail = NULL;
	uv_timer_stop(&lane->timer);
	lane->timer.data = lane->probe;
	uv_close((uv_handle_t *)&lane->timer, closed);
}

void
probe_command_on(struct probe *probe, enum probe_lane which, const char *sql,
    int param_count, const char *const *params, uint32_t timeout_ms,
    probe_result_fn *done, void *arg)
{
	struct lane *lane = probe_lane(probe, which);
	struct command *command = command_new(sql, param_count, params);

	if (command == NULL) {
		done(arg, "53200: out of memory", 0, 0, NULL);
		return;
	}
	command->timeout_ms = timeout_ms < TIMEOUT_MIN_MS ? TIMEOUT_MIN_MS :
	    timeout_ms;
	command->done = done;
	command->arg = arg;
	if (lane->tail != NULL)
		lane->tail->next = command;
	else
		lane->head = command;
	lane->tail = command;
	take_turn(lane);
}

void
probe_command(struct probe *probe, const char *sql, int param_count,
    const char *const *params, uint32_t timeout_ms, probe_result_fn *done,
    void *arg)
{
	probe_command_on(probe, PROBE_QUICK, sql, param_count, params,
	    timeout_ms, done, arg);
}

void
probe_warm_up(struct probe *probe, enum probe_lane which)
{
	struct lane *lane = probe_lane(probe, which);

	if (!probe_is_running(probe) || lane->running != NULL ||
	    lane->session.state != SESSION_CLOSED)
		return;
	lane->warm_up = true;
	go_on(lane);
}

void
probe_cancel_commands(struct probe *probe)
{
	int i;

	for (i = 0; i < PROBE_LANES; i++)
		lane_fail_all(probe_lane(probe, (enum probe_lane)i),
		    "57014: given up");
}
