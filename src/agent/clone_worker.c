/*
 * clone_worker.c - the provision worker of a clone job, on the coordinator.
 *
 * Speaks the lines of provision.h with a child; commits what they mean.  A
 * new coordinator starts a worker of its own: the other half continues what
 * it finds done.
 */
#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "child.h"
#include "log.h"
#include "tls.h"

#define UNDO_WAIT_MS 15000	/* for the new agent to remove its copy */

struct clone_worker {
	struct agent *agent;
	struct child *child;
	uint32_t job_id;
	uint8_t step;
	bool ended;			/* has said done or error */
	bool failed, changed;
	char text[JOB_TEXT_MAX + 1];	/* "what was wrong\nwhat to do" */
	char findings[JOB_TEXT_MAX + 1];	/* every one that failed */
	/* between sign and certificate */
	char cert[PEM_MAX];
	char name[NAME_MAX_LEN + 1];
};

static void
propose_step(struct agent *agent, uint32_t job_id, uint8_t step,
    uint32_t member_id, const char *text, raftio_done_fn *done, void *arg)
{
	struct command command;

	memset(&command, 0, sizeof(command));
	command.type = CMD_JOB_STEP;
	command.time_us = agent_wall_us();
	command.u.job_step.id = job_id;
	command.u.job_step.step = step;
	command.u.job_step.member_id = member_id;
	snprintf(command.u.job_step.text, sizeof(command.u.job_step.text),
	    "%s", text);
	raftio_propose(agent->raftio, &command, done, arg);
}

static void
propose_end(struct agent *agent, uint32_t job_id, const char *text)
{
	struct command command;

	memset(&command, 0, sizeof(command));
	command.type = CMD_JOB_END;
	command.time_us = agent_wall_us();
	snprintf(command.why, sizeof(command.why), "job %u failed: %.*s",
	    job_id, strcspn(text, "\n") < 180 ? (int)strcspn(text, "\n") :
	    180, text);
	command.u.job_step.id = job_id;
	command.u.job_step.status = JOB_FAILED;
	snprintf(command.u.job_step.text, sizeof(command.u.job_step.text),
	    "%s", text);
	raftio_propose(agent->raftio, &command, NULL, NULL);
}

static void
say_to_worker(struct clone_worker *worker, json_t *line)
{
	char *text = json_dumps(line, JSON_COMPACT);
	char *with_end;

	json_decref(line);
	if (text == NULL || worker->child == NULL)
		goto out;
	with_end = malloc(strlen(text) + 2);
	if (with_end != NULL) {
		sprintf(with_end, "%s\n", text);
		if (child_write(worker->child, with_end) != 0)
			log_warning("clone", "the worker does not listen");
		free(with_end);
	}
out:
	free(text);
}

/* ---- signing: the member is committed before it gets a certificate ---- */

static void
give_certificate(struct clone_worker *worker, bool good, const char *why)
{
	if (good)
		say_to_worker(worker, json_pack("{s:s,s:s}", "type",
		    "certificate", "cert", worker->cert));
	else
		say_to_worker(worker, json_pack("{s:s,s:s}", "type",
		    "refused", "text", why));
}

static void
job_named(void *arg, bool effect, const char *why)
{
	struct agent *agent = arg;

	if (agent->worker != NULL)
		give_certificate(agent->worker, effect, why);
}

static void
member_added(void *arg, bool effect, const char *why)
{
	struct agent *agent = arg;
	struct clone_worker *worker = agent->worker;
	const struct member *member;

	if (worker == NULL)
		return;
	member = state_member_named(&agent->state, worker->name);
	if (!effect || member == NULL) {
		give_certificate(worker, false, why);
		return;
	}
	propose_step(agent, worker->job_id, 0, member->id,
	    "certificate signed", job_named, agent);
}

static const char *
text_of(json_t *line, const char *key)
{
	const char *text = json_string_value(json_object_get(line, key));

	return text != NULL ? text : "";
}

static void
sign(struct clone_worker *worker, json_t *line)
{
	struct agent *agent = worker->agent;
	char key[CONF_PATH_MAX + 64], ca[CONF_PATH_MAX + 64];
	const struct member *known;
	struct command command;
	char errmsg[ERRMSG_MAX];

	memset(&command, 0, sizeof(command));
	join_path(agent, key, sizeof(key), "secrets/ca.key");
	join_path(agent, ca, sizeof(ca), "tls/ca.crt");
	if (tls_sign_request(key, ca, worker->name, text_of(line, "csr"),
	    worker->cert, command.u.member.key_hash, errmsg) != 0) {
		give_certificate(worker, false, errmsg);
		return;
	}
	known = state_member_named(&agent->state, worker->name);
	if (known != NULL) {	/* an earlier coordinator got this far */
		give_certificate(worker, memcmp(known->key_hash,
		    command.u.member.key_hash, KEY_HASH_LEN) == 0,
		    "that name is pinned to another key");
		return;
	}
	command.type = CMD_MEMBER_ADD;
	command.time_us = agent_wall_us();
	snprintf(command.why, sizeof(command.why), "%s is to be a member",
	    worker->name);
	command.u.member.has_data = true;
	snprintf(command.u.member.name, sizeof(command.u.member.name), "%s",
	    worker->name);
	snprintf(command.u.member.address, sizeof(command.u.member.address),
	    "%s", text_of(line, "advertise"));
	snprintf(command.u.member.pg_address,
	    sizeof(command.u.member.pg_address), "%s",
	    text_of(line, "pg_advertise"));
	raftio_propose(agent->raftio, &command, member_added, agent);
}

/* ---- what the worker says ---- */

/* All that is wrong with a host is said at once, each with what to do. */
static void
remember_finding(struct clone_worker *worker, json_t *line)
{
	size_t len = strlen(worker->findings);

	if (strcmp(text_of(line, "level"), "fail") == 0)
		snprintf(worker->findings + len,
		    sizeof(worker->findings) - len, "%s %s. %s",
		    len > 0 ? ";" : "", text_of(line, "text"),
		    text_of(line, "hint"));
}

static void
remember_error(struct clone_worker *worker, json_t *line)
{
	const char *hint = text_of(line, "hint");

	worker->ended = worker->failed = true;
	worker->changed = json_is_true(json_object_get(line, "changed"));
	if (worker->findings[0] != '\0') {
		snprintf(worker->text, sizeof(worker->text), "%.150s:%.600s",
		    text_of(line, "text"), worker->findings);
		return;
	}
	snprintf(worker->text, sizeof(worker->text), "%.390s%s%.400s",
	    text_of(line, "text"), hint[0] != '\0' ? "\n" : "", hint);
}

static void
worker_line(void *arg, const char *text, bool is_error)
{
	struct clone_worker *worker = arg;
	struct agent *agent = worker->agent;
	const char *type;
	json_t *line;

	if (is_error) {
		log_info("clone", "worker: %s", text);
		return;
	}
	line = json_loads(text, 0, NULL);
	type = text_of(line, "type");
	if (strcmp(type, "sign") == 0)
		sign(worker, line);
	else if (strcmp(type, "progress") == 0) {
		log_info("clone", "%s: %s", worker->name,
		    text_of(line, "text"));
		/* Undoing must not overwrite why. */
		if (worker->step != JOB_STEP_UNDO)
			propose_step(agent, worker->job_id, 0, 0,
			    text_of(line, "text"), NULL, NULL);
	} else if (strcmp(type, "finding") == 0) {
		log_info("clone", "%s: %s: %s", worker->name,
		    text_of(line, "level"), text_of(line, "text"));
		remember_finding(worker, line);
	} else if (strcmp(type, "done") == 0)
		worker->ended = true;
	else if (strcmp(type, "error") == 0)
		remember_error(worker, line);
	json_decref(line);
}

static void
provision_ended(struct clone_worker *worker)
{
	struct agent *agent = worker->agent;
	const struct job *job = state_job(&agent->state, worker->job_id);

	if (job == NULL || job->status != JOB_RUNNING)
		return;
	if (!worker->failed) {
		propose_step(agent, worker->job_id, JOB_STEP_JOIN, 0,
		    "agent started, waiting for it to connect", NULL, NULL);
		return;
	}
	if (job->member_id != 0 || worker->changed)
		propose_step(agent, worker->job_id, JOB_STEP_UNDO, 0,
		    worker->text, NULL, NULL);
	else
		propose_end(agent, worker->job_id, worker->text);
}

/* The host is as it was, or could not be reached: the member goes. */
static void
undo_ended(struct clone_worker *worker)
{
	struct agent *agent = worker->agent;
	const struct job *job = state_job(&agent->state, worker->job_id);
	struct command command;

	if (worker->failed)
		log_warning("clone", "%s: not everything was taken back: %s",
		    worker->name, worker->text);
	if (job == NULL || job->status != JOB_RUNNING)
		return;
	if (job->member_id == 0) {
		propose_end(agent, worker->job_id, job->text);
		return;
	}
	memset(&command, 0, sizeof(command));
	command.type = CMD_MEMBER_REMOVE;
	command.time_us = agent_wall_us();
	command.u.member_id = job->member_id;
	snprintf(command.why, sizeof(command.why),
	    "%s was not made a member", worker->name);
	raftio_propose(agent->raftio, &command, NULL, NULL);
}

static void
worker_done(void *arg, const struct child_result *result)
{
	struct clone_worker *worker = arg;
	struct agent *agent = worker->agent;

	if (!worker->ended) {
		worker->failed = true;
		snprintf(worker->text, sizeof(worker->text),
		    "the provision worker ended: %.200s", result->error);
	}
	agent->now = monotime_now();
	if (raftio_is_leader(agent->raftio)) {
		if (worker->step == JOB_STEP_UNDO)
			undo_ended(worker);
		else
			provision_ended(worker);
	}
	agent->worker_ended = agent->now;
	clone_worker_free(agent);
}

/* ---- starting it ---- */

static json_t *
worker_request(struct agent *agent, const struct job *job)
{
	char key[CONF_PATH_MAX + 64], ca_path[CONF_PATH_MAX + 64];
	char ca[PEM_MAX], errmsg[ERRMSG_MAX], id[16];
	char own_hosts[CONF_PATH_MAX];
	const struct passwd *home = getpwuid(geteuid());
	json_t *args = json_loads(job->args, 0, NULL), *conf, *peers, *line;
	uint32_t i;

	join_path(agent, key, sizeof(key), "secrets/ssh_key");
	join_path(agent, ca_path, sizeof(ca_path), "tls/ca.crt");
	if (args == NULL || join_read_file(ca_path, ca, sizeof(ca),
	    errmsg) != 0) {
		json_decref(args);
		return NULL;
	}
	conf = json_deep_copy(json_object_get(args, "conf"));
	if (conf == NULL)
		conf = json_object();
	json_object_set_new(conf, "cluster",
	    json_string(agent->conf.cluster));
	json_object_set_new(conf, "node", json_string(job->name));
	peers = json_array();
	for (i = 0; i < agent->state.member_count; i++)
		if (strcmp(agent->state.members[i].name, job->name) != 0)
			json_array_append_new(peers, json_string(
			    agent->state.members[i].address));
	json_object_set_new(conf, "peers", peers);
	snprintf(id, sizeof(id), "%u", job->id);
	snprintf(own_hosts, sizeof(own_hosts), "%s/.ssh/known_hosts",
	    home != NULL && home->pw_dir != NULL ? home->pw_dir : "");
	line = json_pack("{s:s,s:s,s:O,s:O,s:O,s:s,s:[ss],s:O,s:s,s:o,"
	    "s:{s:i,s:I,s:O}}",
	    "op", job->step == JOB_STEP_UNDO ? "undo" : "provision",
	    "job", id,
	    "host", json_object_get(args, "host"),
	    "port", json_object_get(args, "port"),
	    "user", json_object_get(args, "user"),
	    "ssh_key", key, "known_hosts", agent->conf.known_hosts, own_hosts,
	    "accept_host_key", json_object_get(args, "accept_host_key"),
	    "ca", ca, "conf", conf, "facts",
	    "pg_major", (int)agent->state.pg_major,
	    "data_bytes", (json_int_t)agent->data_bytes,
	    "replace", json_object_get(args, "replace"));
	json_decref(args);
	return line;
}

static void
start_worker(struct agent *agent, const struct job *job)
{
	static const char *const env[] = {
		"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", NULL
	};
	const char *argv[] = { agent->provision_program, "--worker", NULL };
	struct child_spec spec = { 0 };
	struct clone_worker *worker;
	char errmsg[ERRMSG_MAX];
	json_t *request = worker_request(agent, job);

	if (request == NULL) {
		propose_end(agent, job->id, "the request of this job is not "
		    "complete");
		return;
	}
	worker = calloc(1, sizeof(*worker));
	if (worker == NULL) {
		json_decref(request);
		return;
	}
	worker->agent = agent;
	worker->job_id = job->id;
	worker->step = job->step;
	memcpy(worker->name, job->name, sizeof(worker->name));
	spec.argv = argv;
	spec.env = env;
	spec.interactive = true;
	spec.timeout_ms = 300000;
	spec.line = worker_line;
	spec.done = worker_done;
	spec.arg = worker;
	worker->child = child_start(agent->loop, &spec, errmsg);
	if (worker->child == NULL) {
		log_error("clone", "%s", errmsg);
		json_decref(request);
		free(worker);
		return;
	}
	agent->worker = worker;
	log_info("clone", "job %u: worker for %s started", job->id,
	    job->name);
	say_to_worker(worker, request);
}

/* Is the new agent done with removing its copy, or beyond asking? */
static bool
may_undo(struct agent *agent, const struct job *job)
{
	const struct hearing *hearing = view_of(&agent->view,
	    job->member_id);

	if (job->member_id == 0 || hearing == NULL ||
	    monotime_diff_ms(agent->now, hearing->at) > 2000)
		return true;
	return hearing->report.pg_state == PG_ABSENT ||
	    monotime_diff_ms(agent->now, agent->job_step_since) >
	    UNDO_WAIT_MS;
}

void
clone_worker_turn(struct agent *agent)
{
	const struct job *job = state_running_job(&agent->state, JOB_CLONE);

	if (agent->worker != NULL || job == NULL)
		return;
	/* What the last worker proposed must have been applied first. */
	if (!monotime_is_never(agent->worker_ended) && monotime_diff_ms(
	    agent->now, agent->worker_ended) < 1000)
		return;
	if (job->step == JOB_STEP_SSH ||
	    (job->step == JOB_STEP_UNDO && may_undo(agent, job)))
		start_worker(agent, job);
}

void
clone_worker_free(struct agent *agent)
{
	if (agent->worker == NULL)
		return;
	child_free(agent->worker->child);
	free(agent->worker);
	agent->worker = NULL;
}
