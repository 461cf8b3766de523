/*
 * guarded.c - the guard as the agent sees it.
 *
 * Attaches to it, hears of its postmaster's death the moment it happens, and
 * kills what is left itself when the guard is the one that died.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "execute.h"
#include "log.h"

static void
socket_path(const struct agent *agent, char *path, size_t size)
{
	snprintf(path, size, "%s/guard.sock", agent->conf.run_dir);
}

bool
guarded_is_running(const struct agent *agent)
{
	return agent->node.guarded &&
	    agent->node.status.state == GUARD_RUNNING &&
	    agent->node.status.postmaster_pid > 0;
}

enum pg_state
guarded_state(const struct agent *agent)
{
	const struct node *node = &agent->node;
	monotime_t silent;

	if (!agent->conf.has_postgresql)
		return PG_ABSENT;
	if (!node->guarded) {
		if (!node->control_known)
			return PG_UNKNOWN;
		return node->control.exists ? PG_STOPPED : PG_ABSENT;
	}
	switch (node->status.state) {
	case GUARD_STARTING:
		return PG_STARTING;
	case GUARD_RUNNING:
		if (!node->was_answering)
			return PG_STARTING;
		silent = probe_silent_since(agent->probe);
		if (!monotime_is_never(silent) && monotime_diff_ms(agent->now,
		    silent) >= agent->state.settings.hang_ms)
			return PG_HUNG;
		return PG_RUNNING;
	default:
		return PG_STOPPING;
	}
}

/* ---- pg_control of a stopped server ---- */

struct control_work {
	uv_work_t req;
	struct agent *agent;
	struct postgres pg;
	struct postgres_control control;
	int result;
	char errmsg[ERRMSG_MAX];
};

static void
control_run(uv_work_t *req)
{
	struct control_work *work = req->data;

	work->result = postgres_read_control(&work->pg, &work->control,
	    work->errmsg);
}

static void
control_done(uv_work_t *req, int status)
{
	struct control_work *work = req->data;
	struct agent *agent = work->agent;

	agent->reading_control = false;
	if (status == 0 && work->result == 0 && !agent->node.guarded) {
		agent->node.control = work->control;
		agent->node.control_known = true;
	} else if (work->result != 0)
		log_warning("look", "%s", work->errmsg);
	agent_say(agent);
	free(work);
}

void
guarded_read_control(struct agent *agent)
{
	struct control_work *work;

	if (agent->reading_control)
		return;
	work = calloc(1, sizeof(*work));
	if (work == NULL)
		return;
	work->agent = agent;
	work->pg = agent->pg;
	work->req.data = work;
	if (uv_queue_work(agent->loop, &work->req, control_run,
	    control_done) == 0)
		agent->reading_control = true;
	else
		free(work);
}

/* ---- hearing the guard ---- */

static void guard_lost(struct agent *agent);

static void
free_poll(uv_handle_t *handle)
{
	free(handle);
}

static void
stop_polling(struct agent *agent)
{
	if (agent->guard_poll != NULL)
		uv_close((uv_handle_t *)agent->guard_poll, free_poll);
	if (agent->pidfd_poll != NULL)
		uv_close((uv_handle_t *)agent->pidfd_poll, free_poll);
	agent->guard_poll = agent->pidfd_poll = NULL;
}

/* Every process of the cluster is gone. */
static void
none_left(struct agent *agent)
{
	struct node *node = &agent->node;
	uint64_t epoch = node->armed ? node->armed_epoch : 0;

	log_info("guard", "PostgreSQL is gone, no process left (%s)",
	    guard_reason_name(node->status.reason));
	node->died = node->status.reason != GUARD_REASON_STOPPED &&
	    node->status.reason != GUARD_REASON_ORDERED;
	stop_polling(agent);
	guard_detach(&node->guard);
	node->guarded = false;
	node->was_answering = false;
	node->has_parked = false;
	node->control_known = false;
	node->has_position = false;
	node->sealed_epoch = 0;
	execute_forget(agent->execute);
	probe_look(agent->probe, 0, 0);
	/* An ordered hand-over keeps its lease until the seal. */
	if (epoch != 0 && !(node->status.reason == GUARD_REASON_STOPPED &&
	    execute_order(agent->execute)->kind == ORDER_STOP))
		fence_release(agent, epoch);
	guarded_read_control(agent);
	agent_say(agent);
}

static void
on_guard_status(struct agent *agent, const struct guard_page_guard *status)
{
	struct node *node = &agent->node;
	uint32_t before = node->status.state;

	node->status = *status;
	if (before != status->state)
		log_info("guard", "PostgreSQL %s (%s)",
		    guard_state_name(status->state),
		    guard_reason_name(status->reason));
	if (status->state == GUARD_GONE)
		none_left(agent);
	else if (before != status->state)
		agent_say(agent);
}

/* ---- the kill that the agent does itself ---- */

struct kill_work {
	uv_work_t req;
	struct agent *agent;
	int result;
	char errmsg[ERRMSG_MAX];
};

static void
kill_run(uv_work_t *req)
{
	struct kill_work *work = req->data;

	work->result = guard_kill_all(&work->agent->node.guard, 5000,
	    work->errmsg);
}

static void
kill_done(uv_work_t *req, int status)
{
	struct kill_work *work = req->data;
	struct agent *agent = work->agent;
	struct guard_page_guard last;

	agent->killing = false;
	agent->now = monotime_now();
	if (status == 0 && work->result == 0) {
		last = agent->node.status;
		last.state = GUARD_GONE;
		last.reason = GUARD_REASON_EXITED;
		on_guard_status(agent, &last);
	} else {
		log_error("guard", "%s", work->errmsg);
		guard_lost(agent);
	}
	free(work);
}

/* The guard is gone without having said "none left". */
static void
guard_lost(struct agent *agent)
{
	struct node *node = &agent->node;
	struct guard_page_guard last;
	struct kill_work *work;

	if (guard_page_read_guard(node->guard.page, &last) &&
	    last.state == GUARD_GONE) {
		on_guard_status(agent, &last);
		return;
	}
	if (agent->killing || !guard_ended(&node->guard))
		return;
	work = calloc(1, sizeof(*work));
	if (work == NULL)
		return;
	log_error("guard", "the guard died: killing PostgreSQL");
	work->agent = agent;
	work->req.data = work;
	agent->killing = uv_queue_work(agent->loop, &work->req, kill_run,
	    kill_done) == 0;
	if (!agent->killing)
		free(work);
}

static void
on_guard_readable(uv_poll_t *poll, int status, int events)
{
	struct agent *agent = poll->data;
	struct guard_message message;
	int got = 0;

	(void)status;
	(void)events;
	agent->now = monotime_now();
	while (agent->node.guarded &&
	    (got = guard_receive(&agent->node.guard, &message)) > 0)
		on_guard_status(agent, &message.status);
	if (agent->node.guarded && got < 0) {
		uv_poll_stop(poll);
		guard_lost(agent);
	}
}

static void
on_guard_ended(uv_poll_t *poll, int status, int events)
{
	struct agent *agent = poll->data;

	(void)status;
	(void)events;
	agent->now = monotime_now();
	uv_poll_stop(poll);
	if (agent->node.guarded)
		guard_lost(agent);
}

/* Poll handles cannot be used again before they are closed. */
static uv_poll_t *
new_poll(struct agent *agent, int fd, uv_poll_cb callback)
{
	uv_poll_t *poll = calloc(1, sizeof(*poll));

	if (poll == NULL)
		return NULL;
	if (uv_poll_init(agent->loop, poll, fd) != 0) {
		free(poll);
		return NULL;
	}
	poll->data = agent;
	uv_poll_start(poll, UV_READABLE, callback);
	return poll;
}

int
guarded_attach(struct agent *agent, char *errmsg)
{
	struct node *node = &agent->node;
	struct guard_page_agent half;
	char path[CONF_PATH_MAX + 32];

	socket_path(agent, path, sizeof(path));
	if (guard_attach(path, &node->guard, errmsg) != 0)
		return -1;
	node->guarded = true;
	node->died = false;
	node->control_known = false;
	node->status = node->guard.status;
	guard_page_read_agent(node->guard.page, &half);
	node->armed = half.armed != 0;
	node->armed_epoch = half.epoch;
	agent->guard_poll = new_poll(agent, node->guard.fd,
	    on_guard_readable);
	if (node->guard.pidfd >= 0)
		agent->pidfd_poll = new_poll(agent, node->guard.pidfd,
		    on_guard_ended);
	if (node->status.state == GUARD_GONE)
		none_left(agent);
	return 0;
}

void
guarded_find(struct agent *agent)
{
	char errmsg[ERRMSG_MAX];

	if (guarded_attach(agent, errmsg) == 0) {
		log_info("guard", "found PostgreSQL %s under its guard, "
		    "postmaster %d", guard_state_name(
		    agent->node.status.state),
		    (int)agent->node.status.postmaster_pid);
		return;
	}
	if (errno != ENOENT && errno != ECONNREFUSED)
		log_warning("guard", "%s", errmsg);
	guarded_read_control(agent);
}

void
guarded_stop(struct agent *agent)
{
	char errmsg[ERRMSG_MAX];

	if (!agent->node.guarded ||
	    agent->node.status.state != GUARD_RUNNING)
		return;
	if (guard_send(&agent->node.guard, GUARD_STOP, errmsg) != 0)
		log_error("guard", "%s", errmsg);
}

void
guarded_kill(struct agent *agent, const char *why)
{
	char errmsg[ERRMSG_MAX];

	if (!agent->node.guarded ||
	    agent->node.status.state == GUARD_KILLING)
		return;
	log_warning("fence", "killing PostgreSQL: %s", why);
	if (guard_send(&agent->node.guard, GUARD_KILL, errmsg) != 0)
		log_error("guard", "%s", errmsg);
}
