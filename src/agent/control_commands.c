/*
 * control_commands.c - what each request of control.h does.
 *
 * Checks on the coordinator, commits, answers with a job; the node that was
 * asked watches the job in its own copy of the state.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "control_internal.h"
#include "execute.h"
#include "liveness.h"
#include "log.h"
#include "provision.h"

#define INIT_DEADLINE_MS 60000
#define PAUSE_MAX_S	(30 * 24 * 3600)

typedef void command_fn(struct request *r);

static const char *
text_arg(const struct request *r, const char *key)
{
	const char *text = json_string_value(json_object_get(r->args, key));

	return text != NULL ? text : "";
}

static bool
flag_arg(const struct request *r, const char *key)
{
	return json_is_true(json_object_get(r->args, key));
}

/* ---- watching a job ---- */

static void
watch_job(struct request *r)
{
	const struct job *job = state_job(&r->agent->state, r->job_id);
	char text[JOB_TEXT_MAX + 1], *hint;
	json_t *data;

	if (job == NULL) {
		if (monotime_diff_ms(r->agent->now, r->waiting_since) > 5000)
			request_result(r, EXIT_BEGUN_FAILED, "the job is not "
			    "known here any more", "Run failoverctl jobs.",
			    NULL);
		return;
	}
	/* A second line is the hint. */
	memcpy(text, job->text, sizeof(text));
	hint = strchr(text, '\n');
	if (hint != NULL)
		*hint++ = '\0';
	if (job->status == JOB_RUNNING) {
		request_progress(r, text);
		return;
	}
	r->waiting = NULL;
	data = json_pack("{s:i}", "job", (int)job->id);
	request_result(r, job->status == JOB_DONE ? EXIT_DONE :
	    job->kind == JOB_CLONE && job->member_id == 0 ? EXIT_REFUSED :
	    EXIT_BEGUN_FAILED, text, hint, data);
}

static void
begin_watch(struct request *r, uint32_t job_id)
{
	r->job_id = job_id;
	r->waiting = watch_job;
	r->waiting_since = r->agent->now;
}

/* The job's entry was applied, or had no effect. */
static void
job_started(void *arg, bool effect, const char *why)
{
	struct request *r = arg;
	const struct state *state = &r->agent->state;
	const struct job *job = NULL;
	json_t *data;

	if (request_release(r))
		return;
	if (!effect) {
		request_result(r, EXIT_REFUSED, why, NULL, NULL);
		return;
	}
	if (state->job_count > 0)
		job = &state->jobs[state->job_count - 1];
	if (job == NULL) {
		request_result(r, EXIT_BEGUN_FAILED, "outcome unknown", NULL,
		    NULL);
		return;
	}
	if (r->remote_node[0] == '\0' && !json_is_false(json_object_get(
	    r->args, "wait"))) {
		begin_watch(r, job->id);
		return;
	}
	data = json_pack("{s:i}", "job", (int)job->id);
	request_result(r, EXIT_DONE, job->text, NULL, data);
}

static void
start_job(struct request *r, const struct command *command)
{
	r->pending++;
	raftio_propose(r->agent->raftio, command, job_started, r);
}

/* ---- init ---- */

static json_t *
authorized_keys(struct agent *agent)
{
	char key[CONF_PATH_MAX + 64], line[2048], errmsg[ERRMSG_MAX];

	join_path(agent, key, sizeof(key), "secrets/ssh_key.pub");
	if (provision_authorized_keys_line(key, agent->conf.cluster, line,
	    sizeof(line), errmsg) != 0) {
		log_warning("init", "%s", errmsg);
		return json_null();
	}
	return json_string(line);
}

static void
watch_init(struct request *r)
{
	struct report report;

	execute_fill_report(r->agent->execute, &report);
	if (execute_order(r->agent->execute)->kind == ORDER_PRIMARY &&
	    report.order_result == ORDER_DONE) {
		r->waiting = NULL;
		request_result(r, EXIT_DONE, "the cluster is founded and its "
		    "primary accepts writes", NULL, json_pack("{s:o}",
		    "authorized_keys", authorized_keys(r->agent)));
		return;
	}
	request_progress(r, report.message);
	if (monotime_diff_ms(r->agent->now, r->waiting_since) >
	    INIT_DEADLINE_MS) {
		r->waiting = NULL;
		request_result(r, EXIT_BEGUN_FAILED, report.message[0] != '\0'
		    ? report.message : "PostgreSQL did not become primary in "
		    "time", "Look at its log file and run failoverctl "
		    "status.", NULL);
	}
}

static void
founded(void *arg, int exit_status, const char *text, const char *hint)
{
	struct request *r = arg;

	if (request_release(r))
		return;
	if (exit_status != 0 || flag_arg(r, "dry_run")) {
		request_result(r, exit_status, text, hint, NULL);
		return;
	}
	r->waiting = watch_init;
	r->waiting_since = r->agent->now;
}

static int
read_settings(struct request *r, struct settings *settings, char *errmsg)
{
	const char *name;
	json_t *value;
	int64_t number;

	settings_init(settings);
	json_object_foreach(json_object_get(r->args, "settings"), name,
	    value) {
		if (!json_is_string(value)) {
			snprintf(errmsg, ERRMSG_MAX, "setting \"%s\" must be "
			    "text", name);
			return -1;
		}
		if (settings_parse(name, json_string_value(value), &number,
		    errmsg) != 0 || settings_set(settings, name, number,
		    errmsg) != 0)
			return -1;
	}
	return settings_check(settings, errmsg);
}

static void
cmd_init(struct request *r)
{
	struct settings settings;
	char errmsg[ERRMSG_MAX];

	if (agent_self(r->agent) != 0) {
		snprintf(errmsg, sizeof(errmsg), "this node is a member of "
		    "cluster \"%s\" already", r->agent->conf.cluster);
		request_result(r, EXIT_REFUSED, errmsg, NULL, NULL);
		return;
	}
	if (read_settings(r, &settings, errmsg) != 0) {
		request_result(r, EXIT_REFUSED, errmsg, NULL, NULL);
		return;
	}
	r->pending++;
	found_cluster(r->agent, &settings, flag_arg(r, "adopt"),
	    flag_arg(r, "dry_run"), founded, r);
}

/* ---- looking ---- */

static void
cmd_ping(struct request *r)
{
	request_result(r, EXIT_DONE, "", NULL, json_pack(
	    "{s:s,s:s,s:i,s:b,s:s}", "node", r->agent->conf.node, "cluster",
	    r->agent->conf.cluster, "pid", (int)getpid(), "initialized",
	    agent_self(r->agent) != 0, "version", FAILOVERD_VERSION));
}

static void
cmd_status(struct request *r)
{
	int exit_status = EXIT_CANNOT_TELL;
	json_t *data = status_json(r->agent, &exit_status);
	char text[NAME_MAX_LEN + 80];

	if (data == NULL)
		request_result(r, EXIT_CANNOT_TELL, "this node is not a "
		    "member of a cluster yet", "Run failoverctl init on the "
		    "first node, or failoverctl clone-standby on a member.",
		    NULL);
	else if (json_is_true(json_object_get(data, "stale"))) {
		snprintf(text, sizeof(text), "no coordinator answers; this "
		    "is what %s itself knows.", r->agent->conf.node);
		request_result(r, exit_status, text, NULL, data);
	} else
		request_result(r, exit_status, json_string_value(
		    json_object_get(data, "health")), NULL, data);
}

static void
cmd_explain(struct request *r)
{
	const char *node = text_arg(r, "node");
	const struct member *member = state_member_named(&r->agent->state,
	    node);
	char text[ERRMSG_MAX];
	json_t *data;

	if (node[0] != '\0' && member == NULL) {
		snprintf(text, sizeof(text), "\"%.64s\" is not a member",
		    node);
		request_result(r, EXIT_REFUSED, text,
		    "Run failoverctl status to see the names.", NULL);
		return;
	}
	data = status_explain(r->agent, member != NULL ? member->id : 0);
	if (data == NULL)
		request_result(r, EXIT_CANNOT_TELL,
		    "this node is not a member of a cluster yet", NULL, NULL);
	else
		request_result(r, EXIT_DONE, "", NULL, data);
}

static void
cmd_events(struct request *r)
{
	const struct state *state = &r->agent->state;
	json_int_t after = json_integer_value(json_object_get(r->args,
	    "after"));
	json_t *events = json_array();
	uint32_t i;

	for (i = 0; i < state->event_count; i++) {
		const struct event *event = &state->events[
		    (state->event_first + i) % EVENTS_MAX];

		if ((json_int_t)event->id > after)
			json_array_append_new(events, json_pack(
			    "{s:I,s:f,s:o}", "id", (json_int_t)event->id,
			    "time", (double)event->time_us / 1e6, "text",
			    control_text(event->text)));
	}
	request_result(r, EXIT_DONE, "", NULL, json_pack("{s:o}", "events",
	    events));
}

static const char *
job_kind_name(unsigned kind)
{
	return kind == JOB_CLONE ? "clone" : kind == JOB_SWITCHOVER ?
	    "switchover" : "failover";
}

static const char *
job_step_name(unsigned step)
{
	static const char *const names[] = {
		"", "ssh", "join", "copy", "stream", "undo", "prepare",
		"stop", "seal", "promote", "end"
	};

	return step < sizeof(names) / sizeof(names[0]) ? names[step] : "";
}

static void
cmd_jobs(struct request *r)
{
	const struct state *state = &r->agent->state;
	json_t *jobs = json_array();
	uint32_t i;

	for (i = 0; i < state->job_count; i++) {
		const struct job *job = &state->jobs[i];

		json_array_append_new(jobs, json_pack(
		    "{s:i,s:s,s:s,s:s,s:s,s:o}", "id", (int)job->id, "kind",
		    job_kind_name(job->kind), "node", job->kind == JOB_CLONE ?
		    job->name : state_name(job->member_id, state), "step",
		    job_step_name(job->step), "state", job->status ==
		    JOB_RUNNING ? "running" : job->status == JOB_DONE ?
		    "done" : "failed", "text", control_text(job->text)));
	}
	request_result(r, EXIT_DONE, "", NULL, json_pack("{s:o}", "jobs",
	    jobs));
}

/* ---- changing ---- */

static void
new_command(struct command *command, uint8_t type)
{
	memset(command, 0, sizeof(*command));
	command->type = type;
	command->time_us = agent_wall_us();
}

static void
cmd_clone(struct request *r)
{
	const char *name = text_arg(r, "name");
	struct command command;
	char text[ERRMSG_MAX];
	json_t *args;
	char *dump;

	if (!conf_is_name(name)) {
		snprintf(text, sizeof(text), "\"%.64s\" cannot be a node "
		    "name: a letter, then letters, digits and \"-\", at most "
		    "31", name);
		request_result(r, EXIT_REFUSED, text, NULL, NULL);
		return;
	}
	if (state_member_named(&r->agent->state, name) != NULL) {
		snprintf(text, sizeof(text), "\"%s\" is a member already",
		    name);
		request_result(r, EXIT_REFUSED, text, "To replace it, run "
		    "failoverctl remove first.", NULL);
		return;
	}
	if (flag_arg(r, "dry_run")) {
		snprintf(text, sizeof(text), "would bring an agent to "
		    "\"%.120s\" over SSH and clone %s from the primary; "
		    "nothing was changed", text_arg(r, "host"), name);
		request_result(r, EXIT_DONE, text, NULL, NULL);
		return;
	}
	args = json_pack("{s:O,s:O,s:O,s:O,s:O,s:O}",
	    "host", json_object_get(r->args, "host"),
	    "port", json_object_get(r->args, "port"),
	    "user", json_object_get(r->args, "user"),
	    "accept_host_key", json_object_get(r->args, "accept_host_key") !=
	    NULL ? json_object_get(r->args, "accept_host_key") : json_null(),
	    "conf", json_object_get(r->args, "conf") != NULL ?
	    json_object_get(r->args, "conf") : json_null(),
	    "replace", json_object_get(r->args, "replace") != NULL ?
	    json_object_get(r->args, "replace") : json_false());
	dump = args != NULL ? json_dumps(args, JSON_COMPACT) : NULL;
	json_decref(args);
	if (dump == NULL || strlen(dump) > JOB_ARGS_MAX) {
		request_result(r, EXIT_REFUSED, dump == NULL ? "the request "
		    "lacks host, port or user" : "the request is too long",
		    NULL, NULL);
		free(dump);
		return;
	}
	new_command(&command, CMD_JOB_START);
	command.u.job.kind = JOB_CLONE;
	command.u.job.step = JOB_STEP_SSH;
	snprintf(command.u.job.name, sizeof(command.u.job.name), "%s", name);
	snprintf(command.u.job.args, sizeof(command.u.job.args), "%s", dump);
	snprintf(command.u.job.text, sizeof(command.u.job.text),
	    "connecting to %.200s", text_arg(r, "host"));
	snprintf(command.why, sizeof(command.why), "clone-standby %s begun",
	    name);
	free(dump);
	start_job(r, &command);
}

/* Is the primary heard, running and leased? */
static bool
primary_is_well(struct agent *agent)
{
	const struct reign *reign = state_reign(&agent->state);
	const struct hearing *h = reign != NULL ? view_of(&agent->view,
	    reign->primary_id) : NULL;

	return h != NULL && state_phase(&agent->state) == REIGN_OPEN &&
	    liveness_of(&agent->state, &agent->view, reign->primary_id,
	    agent->now) <= LIVENESS_LATE &&
	    h->report.pg_state == PG_RUNNING &&
	    h->report.lease_epoch == reign->epoch;
}

/* The standby to switch to when none was named: the best one now. */
static uint32_t
best_standby(struct agent *agent, struct trace *trace)
{
	const struct reign *reign = state_reign(&agent->state);
	const struct hearing *h;
	uint32_t i, best = 0;
	lsn_t best_lsn = { 0 };

	for (i = 0; i < agent->state.member_count; i++) {
		const struct member *m = &agent->state.members[i];

		h = view_of(&agent->view, m->id);
		if (!m->has_data || m->id == reign->primary_id || h == NULL ||
		    m->phase != MEMBER_READY || m->no_failover ||
		    !h->report.receiver_streaming ||
		    liveness_of(&agent->state, &agent->view, m->id,
		    agent->now) > LIVENESS_LATE)
			continue;
		if (best == 0 ||
		    h->report.receive_lsn.value > best_lsn.value) {
			best = m->id;
			best_lsn = h->report.receive_lsn;
		}
	}
	trace_add(trace, "best standby: %s", state_name(best, &agent->state));
	return best;
}

/* 0 and target, or the request has been refused. */
static int
resolve_target(struct request *r, uint32_t *target)
{
	const struct state *state = &r->agent->state;
	const struct reign *reign = state_reign(state);
	const char *node = text_arg(r, "node");
	const struct member *member;
	char text[ERRMSG_MAX];

	*target = 0;
	if (reign == NULL) {
		request_result(r, EXIT_CANNOT_TELL,
		    "this node is not a member of a cluster yet", NULL, NULL);
		return -1;
	}
	if (node[0] == '\0')
		return 0;
	member = state_member_named(state, node);
	text[0] = '\0';
	if (member == NULL)
		snprintf(text, sizeof(text), "\"%.64s\" is not a member of "
		    "cluster \"%s\"", node, state->cluster);
	else if (!member->has_data)
		snprintf(text, sizeof(text), "%s is a witness and holds no "
		    "data", node);
	else if (member->id == reign->primary_id &&
	    state_phase(state) == REIGN_OPEN)
		snprintf(text, sizeof(text), "%s is the primary already",
		    node);
	else if (member->phase != MEMBER_READY)
		snprintf(text, sizeof(text), "%s is still being cloned",
		    node);
	if (text[0] != '\0') {
		request_result(r, EXIT_REFUSED, text,
		    "Run failoverctl status to see the nodes.", NULL);
		return -1;
	}
	*target = member->id;
	return 0;
}

static json_t *
trace_json(const struct trace *trace)
{
	json_t *array = json_array();
	const char *line = trace->text, *end;

	while (*line != '\0' && (end = strchr(line, '\n')) != NULL) {
		json_array_append_new(array, json_stringn(line,
		    (size_t)(end - line)));
		line = end + 1;
	}
	return json_pack("{s:o}", "trace", array);
}

static void
do_switchover(struct request *r, uint32_t target)
{
	struct agent *agent = r->agent;
	const struct reign *reign = state_reign(&agent->state);
	const struct hearing *there;
	struct command command;
	struct trace trace;
	char text[ERRMSG_MAX];

	trace_reset(&trace);
	if (target == 0)
		target = best_standby(agent, &trace);
	there = view_of(&agent->view, target);
	text[0] = '\0';
	if (target == 0)
		snprintf(text, sizeof(text), "no standby is streaming, there "
		    "is nobody to switch over to");
	else if (there == NULL || liveness_of(&agent->state, &agent->view,
	    target, agent->now) > LIVENESS_LATE)
		snprintf(text, sizeof(text), "the agent of %s is not "
		    "heard", state_name(target, &agent->state));
	else if (!there->report.receiver_streaming)
		snprintf(text, sizeof(text), "%s does not stream from the "
		    "primary", state_name(target, &agent->state));
	if (text[0] != '\0') {
		request_result(r, EXIT_REFUSED, text,
		    "Run failoverctl status to see why.", trace_json(&trace));
		return;
	}
	if (flag_arg(r, "dry_run")) {
		snprintf(text, sizeof(text), "would be a switchover from %s "
		    "to %s: checkpoints, clean stop, promotion; nothing was "
		    "changed", state_name(reign->primary_id, &agent->state),
		    state_name(target, &agent->state));
		request_result(r, EXIT_DONE, text, NULL, trace_json(&trace));
		return;
	}
	new_command(&command, CMD_JOB_START);
	command.u.job.kind = JOB_SWITCHOVER;
	command.u.job.step = JOB_STEP_PREPARE;
	command.u.job.member_id = target;
	snprintf(command.u.job.text, sizeof(command.u.job.text),
	    "checkpoints on %s and %s",
	    state_name(reign->primary_id, &agent->state),
	    state_name(target, &agent->state));
	snprintf(command.why, sizeof(command.why), "switchover from %s to %s "
	    "begun", state_name(reign->primary_id, &agent->state),
	    state_name(target, &agent->state));
	start_job(r, &command);
}

static void
do_failover(struct request *r, uint32_t target)
{
	struct agent *agent = r->agent;
	struct decide_input input;
	struct command command;
	struct trace trace;
	bool accept = flag_arg(r, "accept_data_loss");
	char text[ERRMSG_MAX];
	uint32_t best;

	trace_reset(&trace);
	coordinate_input(agent, &input);
	best = decide_dry_run(&input, target, accept, &trace);
	if (best == 0) {
		request_result(r, EXIT_REFUSED, "no node that answers can be "
		    "promoted without risking acknowledged commits, or none "
		    "can be promoted at all", "Read the reasons above; "
		    "--accept-data-loss overrides the promotion rule.",
		    trace_json(&trace));
		return;
	}
	if (flag_arg(r, "dry_run")) {
		snprintf(text, sizeof(text), "would be a failover: %s would "
		    "be promoted; nothing was changed",
		    state_name(target != 0 ? target : best, &agent->state));
		request_result(r, EXIT_DONE, text, NULL, trace_json(&trace));
		return;
	}
	new_command(&command, CMD_JOB_START);
	command.u.job.kind = JOB_FAILOVER;
	command.u.job.step = JOB_STEP_SEAL;
	command.u.job.member_id = target;
	command.u.job.accept_data_loss = accept;
	snprintf(command.u.job.text, sizeof(command.u.job.text),
	    "failover ordered");
	snprintf(command.why, sizeof(command.why), "failover ordered by the "
	    "operator%s", accept ? ", data loss accepted" : "");
	start_job(r, &command);
}

static void
cmd_switchover(struct request *r)
{
	uint32_t target;

	if (resolve_target(r, &target) != 0)
		return;
	if (!primary_is_well(r->agent)) {
		request_result(r, EXIT_REFUSED, "the primary is not well: a "
		    "switchover needs it to stop cleanly",
		    "Run failoverctl failover instead.", NULL);
		return;
	}
	do_switchover(r, target);
}

static void
cmd_failover(struct request *r)
{
	uint32_t target;

	if (resolve_target(r, &target) != 0)
		return;
	if (primary_is_well(r->agent)) {
		request_result(r, EXIT_REFUSED, "the primary is well: it "
		    "answers and holds its lease", "Run failoverctl "
		    "switchover instead.", NULL);
		return;
	}
	do_failover(r, target);
}

static void
cmd_promote(struct request *r)
{
	uint32_t target;

	if (resolve_target(r, &target) != 0)
		return;
	if (primary_is_well(r->agent))
		do_switchover(r, target);
	else
		do_failover(r, target);
}

static void
changed(void *arg, bool effect, const char *why)
{
	struct request *r = arg;

	if (request_release(r))
		return;
	request_result(r, effect ? EXIT_DONE : EXIT_REFUSED, effect ? "done" :
	    why, NULL, NULL);
}

static void
cmd_remove(struct request *r)
{
	const struct state *state = &r->agent->state;
	const struct reign *reign = state_reign(state);
	const struct member *member = state_member_named(state,
	    text_arg(r, "node"));
	struct command command;
	char text[ERRMSG_MAX];

	if (member == NULL) {
		snprintf(text, sizeof(text), "\"%.64s\" is not a member",
		    text_arg(r, "node"));
		request_result(r, EXIT_REFUSED, text,
		    "Run failoverctl status to see the names.", NULL);
		return;
	}
	if (reign != NULL && reign->primary_id == member->id) {
		snprintf(text, sizeof(text), "%s is the primary",
		    member->name);
		request_result(r, EXIT_REFUSED, text, "Run failoverctl "
		    "switchover first.", NULL);
		return;
	}
	new_command(&command, CMD_MEMBER_REMOVE);
	command.u.member_id = member->id;
	snprintf(command.why, sizeof(command.why), "%s removed by the "
	    "operator", member->name);
	r->pending++;
	raftio_propose(r->agent->raftio, &command, changed, r);
}

static void
set_pause(struct request *r, int64_t until_us, const char *why)
{
	struct command command;

	new_command(&command, CMD_PAUSE);
	command.u.paused_until_us = until_us;
	snprintf(command.why, sizeof(command.why), "%s", why);
	r->pending++;
	raftio_propose(r->agent->raftio, &command, changed, r);
}

static void
cmd_pause(struct request *r)
{
	json_int_t seconds = json_integer_value(json_object_get(r->args,
	    "for"));

	if (seconds <= 0)
		seconds = 2 * 3600;
	if (seconds > PAUSE_MAX_S) {
		request_result(r, EXIT_REFUSED, "a pause must not be longer "
		    "than 30 days", NULL, NULL);
		return;
	}
	set_pause(r, agent_wall_us() + seconds * 1000000,
	    "automatic failover paused");
}

static void
cmd_resume(struct request *r)
{
	set_pause(r, 0, "automatic failover resumed");
}

/* ---- the table ---- */

static const struct {
	const char *cmd;
	command_fn *run;
	bool coordinator;	/* only it can answer */
} commands[] = {
	{ "ping", cmd_ping, false },
	{ "status", cmd_status, true },
	{ "explain", cmd_explain, true },
	{ "events", cmd_events, false },
	{ "jobs", cmd_jobs, false },
	{ "init", cmd_init, false },
	{ "clone-standby", cmd_clone, true },
	{ "promote", cmd_promote, true },
	{ "switchover", cmd_switchover, true },
	{ "failover", cmd_failover, true },
	{ "remove", cmd_remove, true },
	{ "pause", cmd_pause, true },
	{ "resume", cmd_resume, true },
};

void
control_without_coordinator(struct request *r)
{
	/* Looking is still possible, and says that it is stale. */
	if (strcmp(r->cmd, "status") == 0)
		cmd_status(r);
	else if (agent_self(r->agent) == 0)
		request_result(r, EXIT_CANNOT_TELL, "this node is not a "
		    "member of a cluster yet", "Run failoverctl init on the "
		    "first node, or failoverctl clone-standby on a member.",
		    NULL);
	else
		request_result(r, EXIT_CANNOT_TELL, "no coordinator with a "
		    "majority can be reached from this node",
		    "Run failoverctl status to see which agents are missing; "
		    "failover(7) says what to do if they are lost for ever.",
		    NULL);
}

void
control_forward_answered(struct request *r, json_t *line)
{
	json_t *data = json_object_get(line, "data");
	json_t *job = json_object_get(data, "job");
	int exit_status = (int)json_integer_value(json_object_get(line,
	    "exit"));
	const char *text = json_string_value(json_object_get(line, "text"));
	const char *hint = json_string_value(json_object_get(line, "hint"));

	if (exit_status == EXIT_DONE && json_is_integer(job) &&
	    !json_is_false(json_object_get(r->args, "wait"))) {
		begin_watch(r, (uint32_t)json_integer_value(job));
		return;
	}
	request_result(r, exit_status, text != NULL ? text : "", hint,
	    json_incref(data));
}

void
control_dispatch(struct request *r, json_t *line)
{
	const char *cmd = json_string_value(json_object_get(line, "cmd"));
	json_t *args = json_object_get(line, "args");
	char text[ERRMSG_MAX];
	size_t i;

	r->args = json_is_object(args) ? json_incref(args) : json_object();
	if (json_integer_value(json_object_get(line, "v")) !=
	    CONTROL_VERSION) {
		request_result(r, EXIT_USAGE_ERROR, "this agent speaks "
		    "version 1 of the control protocol", NULL, NULL);
		return;
	}
	for (i = 0; cmd != NULL &&
	    i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].cmd, cmd) == 0)
			break;
	if (cmd == NULL || i == sizeof(commands) / sizeof(commands[0])) {
		snprintf(text, sizeof(text), "this agent does not know the "
		    "command \"%.40s\"", cmd != NULL ? cmd : "");
		request_result(r, EXIT_USAGE_ERROR, text, NULL, NULL);
		return;
	}
	snprintf(r->cmd, sizeof(r->cmd), "%s", cmd);
	if (commands[i].coordinator && !raftio_may_decide(r->agent->raftio)) {
		if (request_forward(r) != 0)
			control_without_coordinator(r);
		return;
	}
	commands[i].run(r);
}
