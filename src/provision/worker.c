/*
 * worker.c - brings an agent to a host: one job, told on stdout as it goes.
 *
 * Decides the order of the steps and what is undone when one fails.  Must
 * never sign anything, never decide who becomes a member, never write a
 * file: the agent and the target do.
 */
#include "worker.h"

#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "message.h"
#include "ssh.h"
#include "target.h"

#define FIRST_MS	30000	/* for the agent's first line */
#define HELLO_MS	20000
#define CHECK_MS	60000
#define REQUEST_MS	30000
#define SIGN_MS		120000	/* the agent commits the new member first */
#define INSTALL_MS	30000
#define START_MS	(TARGET_START_MS + 15000)
#define UNDO_MS		(TARGET_STOP_MS + 60000)

#define STATUS_NOT_FOUND	127
#define STATUS_NOT_EXECUTABLE	126

static const char remote_command[] = "failover-provision --target";

struct worker {
	json_t *job;		/* the agent's first line */
	struct ssh_destination to;
	struct ssh *ssh;	/* NULL = no connection */
	bool touched;		/* the host is no longer as it was */
	bool undoing;		/* the job is to undo: never undo that */
	struct line_buffer input;
};

static void
tell(json_t *message)
{
	/* The agent is gone: nobody wants the rest done. */
	if (message_write(STDOUT_FILENO, message) != 0)
		exit(1);
}

__attribute__((format(printf, 1, 2)))
static void
progress(const char *format, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	tell(json_pack("{s:s, s:s}", "type", "progress", "text", text));
}

static void
warn(const char *text, const char *hint)
{
	tell(json_pack("{s:s, s:s, s:s, s:s}", "type", "finding", "level",
	    "warn", "text", text, "hint", hint));
}

static int
copy_key(const json_t *object, const char *key, char *to, size_t size,
    const char *fallback, struct problem *problem)
{
	const char *text = message_text(object, key, fallback);

	if (strlen(text) >= size)
		return problem_set(problem, "\"%s\" of the job is too long",
		    key);
	strcpy(to, text);
	return 0;
}

/* No option to any program, no bytes that a terminal or a line would mind. */
static bool
is_plain_host(const char *host)
{
	return host[0] != '\0' && host[0] != '-' && strspn(host,
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	    ".:_%-") == strlen(host);
}

/* A node without PostgreSQL: neither a version nor a key of it is given. */
static bool
is_witness(const json_t *job)
{
	const json_t *facts = json_object_get(job, "facts"), *value;
	const char *key;

	json_object_foreach(json_object_get(job, "conf"), key, value) {
		if (strncmp(key, "postgresql.", 11) == 0)
			return false;
	}
	return json_integer_value(json_object_get(facts, "pg_major")) == 0;
}

static int
read_destination(struct worker *worker, struct problem *problem)
{
	const json_t *job = worker->job;
	const json_t *conf = json_object_get(job, "conf");
	const json_t *files = json_object_get(job, "known_hosts"), *entry;
	struct ssh_destination *to = &worker->to;
	json_int_t port = json_integer_value(json_object_get(job, "port"));
	const char *node = message_text(conf, "node", "");
	size_t i;

	if (copy_key(job, "host", to->host, sizeof(to->host), "",
	    problem) != 0 ||
	    copy_key(job, "user", to->user, sizeof(to->user), "postgres",
	    problem) != 0 ||
	    copy_key(job, "ssh_key", to->key_file, sizeof(to->key_file), "",
	    problem) != 0 ||
	    copy_key(conf, "cluster", to->cluster, sizeof(to->cluster), "",
	    problem) != 0 ||
	    copy_key(job, "accept_host_key", to->accept_host_key,
	    sizeof(to->accept_host_key), "", problem) != 0 ||
	    copy_key(job, "known_host_line", to->known_host_line,
	    sizeof(to->known_host_line), "", problem) != 0)
		return -1;
	to->port = port == 0 ? 22 : (int)port;
	if (!is_plain_host(to->host) || port < 0 || port > 65535)
		return problem_set(problem, "\"%s\", port %d, is no host",
		    to->host, (int)port);
	if (to->user[0] == '\0' || to->key_file[0] == '\0' ||
	    !conf_is_name(to->cluster) || !conf_is_name(node) ||
	    message_text(job, "job", "")[0] == '\0')
		return problem_set(problem, "the job lacks one of job, user, "
		    "ssh_key, conf.cluster, conf.node");
	json_array_foreach(files, i, entry) {
		const char *file = json_string_value(entry);

		if (file == NULL || strlen(file) >= CONF_PATH_MAX ||
		    i >= SSH_KNOWN_HOSTS_MAX)
			return problem_set(problem, "\"known_hosts\" of the "
			    "job is too long");
		strcpy(to->known_hosts[to->known_hosts_count++], file);
	}
	snprintf(to->command, sizeof(to->command), "failoverctl %s %.60s "
	    "--name %.31s", is_witness(job) ? "add-witness" :
	    "clone-standby", to->host, node);
	return 0;
}

/* What came instead of the target's first line, in words. */
static int
no_hello(struct worker *worker, const char *line, struct problem *problem)
{
	const struct ssh_destination *to = &worker->to;
	char said[512];
	int status;

	if (line != NULL) {
		char copy[101];

		snprintf(copy, sizeof(copy), "%.100s", line);
		message_clean(copy);
		problem_set(problem, "host \"%s\" did not start "
		    "failover-provision for the cluster's SSH key, it "
		    "answered \"%s\"", to->host, copy);
		return problem_hint(problem, "The key's line in "
		    "~%s/.ssh/authorized_keys must begin with "
		    "restrict,...,command=\"...failover-provision --target\", "
		    "and the shell's start files there must not print "
		    "anything.", to->user);
	}
	status = ssh_exit_status(worker->ssh, said, sizeof(said));
	if (status == STATUS_NOT_FOUND || status == STATUS_NOT_EXECUTABLE) {
		problem_set(problem, "host \"%s\" has no failover-provision "
		    "(exit status %d%s%s)", to->host, status,
		    said[0] == '\0' ? "" : ": ", said);
		return problem_hint(problem, "Install the package failoverd "
		    "there; the path in command=\"...\" of "
		    "~%s/.ssh/authorized_keys must be the one it is installed "
		    "under.", to->user);
	}
	problem_set(problem, "the program that host \"%s\" started for the "
	    "cluster's SSH key ended at once (exit status %d%s%s)", to->host,
	    status, said[0] == '\0' ? "" : ": ", said);
	return problem_hint(problem, "Look at the key's line in "
	    "~%s/.ssh/authorized_keys there.", to->user);
}

static int
read_hello(struct worker *worker, struct problem *problem)
{
	struct problem ignored;
	json_t *hello = NULL;
	char *line;
	int rc;

	rc = ssh_read_line(worker->ssh, HELLO_MS, &line, problem);
	if (rc < 0)
		return -1;
	if (rc == 0)
		return no_hello(worker, NULL, problem);
	hello = message_parse(line, &ignored);
	if (hello == NULL ||
	    strcmp(message_text(hello, "type", ""), "hello") != 0 ||
	    strcmp(message_text(hello, "program", ""),
	    "failover-provision") != 0) {
		/* The parser has not changed the line. */
		rc = no_hello(worker, line, problem);
	} else if (json_integer_value(json_object_get(hello, "protocol")) !=
	    TARGET_PROTOCOL) {
		rc = problem_set(problem, "host \"%s\" has failoverd %.32s, "
		    "this node has " FAILOVERD_VERSION, worker->to.host,
		    message_text(hello, "version", "?"));
		problem_hint(problem, "Install the same version of failoverd "
		    "on both hosts.");
	} else {
		rc = 0;
		if (!json_is_true(json_object_get(hello, "forced")))
			warn("the cluster's SSH key is not limited to "
			    "failover-provision on that host", "Its line in "
			    "authorized_keys lacks command=\"...\".");
	}
	json_decref(hello);
	return rc;
}

static int
open_target(struct worker *worker, struct problem *problem)
{
	worker->ssh = ssh_open(&worker->to, problem);
	if (worker->ssh == NULL)
		return -1;
	if (ssh_exec(worker->ssh, remote_command, HELLO_MS, problem) != 0 ||
	    read_hello(worker, problem) != 0) {
		ssh_close(worker->ssh);
		worker->ssh = NULL;
		return -1;
	}
	return 0;
}

static void
close_target(struct worker *worker)
{
	ssh_close(worker->ssh);
	worker->ssh = NULL;
}

/* An "error" of the target as our problem. */
static void
take_error(struct worker *worker, const json_t *answer,
    struct problem *problem)
{
	problem_set(problem, "%s: %s", message_text(json_object_get(
	    worker->job, "conf"), "node", worker->to.host),
	    message_text(answer, "text", "failed without a word"));
	problem_hint(problem, "%s", message_text(answer, "hint", ""));
}

/* What the other host says reaches a terminal in the end. */
static void
clean_texts(json_t *answer)
{
	static const char *const keys[] = { "text", "hint" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *text = message_text(answer, keys[i], NULL);
		char *copy = text == NULL ? NULL : strdup(text);

		if (copy == NULL)
			continue;
		message_clean(copy);
		json_object_set_new(answer, keys[i], json_string(copy));
		free(copy);
	}
}

/*
 * One request to the target and its answer of type `wanted` (the caller's).
 * Findings on the way are passed on.  NULL with problem; the connection is
 * closed when it was that which failed.
 */
static json_t *
ask(struct worker *worker, const char *op, const char *cert,
    const char *wanted, int timeout_ms, struct problem *problem)
{
	json_t *request = json_copy(worker->job), *answer;
	const char *type;
	char *text, *line;
	int rc;

	problem->text[0] = problem->hint[0] = '\0';
	json_object_set_new(request, "op", json_string(op));
	/* Of no use there: where our key stands. */
	json_object_del(request, "ssh_key");
	json_object_del(request, "known_hosts");
	if (cert != NULL)
		json_object_set_new(request, "cert", json_string(cert));
	text = message_format(request);
	rc = text == NULL ? problem_set(problem, "out of memory") :
	    ssh_write(worker->ssh, text, strlen(text), timeout_ms, problem);
	free(text);
	while (rc == 0) {
		if (ssh_read_line(worker->ssh, timeout_ms, &line,
		    problem) != 1) {
			if (problem->text[0] == '\0')
				problem_set(problem, "failover-provision on "
				    "host \"%s\" has ended", worker->to.host);
			break;
		}
		answer = message_parse(line, problem);
		if (answer == NULL)
			break;
		clean_texts(answer);
		type = message_text(answer, "type", "");
		if (strcmp(type, wanted) == 0)
			return answer;
		if (strcmp(type, "finding") == 0) {
			tell(answer);
			continue;
		}
		if (strcmp(type, "error") == 0)
			take_error(worker, answer, problem);
		else
			problem_set(problem, "host \"%s\" gave an answer of "
			    "another kind", worker->to.host);
		json_decref(answer);
		return NULL;
	}
	close_target(worker);
	return NULL;
}

/* Directories that undo had to leave, each in a line. */
static void
tell_left(struct worker *worker, const json_t *answer)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(answer, "left"), i, entry) {
		char path[CONF_PATH_MAX];

		snprintf(path, sizeof(path), "%s", json_is_string(entry) ?
		    json_string_value(entry) : "?");
		message_clean(path);
		progress("%s: \"%s\" is not empty and stays",
		    worker->to.host, path);
	}
}

/*
 * After a failure: takes away what this job has put there, over a new
 * connection if that one is lost.  0 = the host is as it was.
 */
static int
clean_up(struct worker *worker)
{
	struct problem problem = { .text = "" };
	json_t *answer;

	if (!worker->touched)
		return 0;
	progress("%s: undoing", worker->to.host);
	if (worker->ssh == NULL && open_target(worker, &problem) != 0) {
		progress("%s: could not undo: %s", worker->to.host,
		    problem.text);
		return -1;
	}
	answer = ask(worker, "undo", NULL, "undone", UNDO_MS, &problem);
	if (answer == NULL) {
		progress("%s: could not undo: %s", worker->to.host,
		    problem.text);
		return -1;
	}
	progress("%s: %s", worker->to.host, message_text(answer, "text",
	    "undone"));
	tell_left(worker, answer);
	json_decref(answer);
	return 0;
}

static int
give_up(struct worker *worker, struct problem *problem)
{
	const bool changed = worker->undoing || clean_up(worker) != 0;
	json_t *message;

	close_target(worker);
	message = json_pack("{s:s, s:s, s:b}", "type", "error", "text",
	    problem->text, "changed", changed);
	if (problem->hint[0] != '\0')
		json_object_set_new(message, "hint",
		    json_string(problem->hint));
	else if (changed)
		json_object_set_new(message, "hint", json_string("What is on "
		    "the host stays until the job is cancelled again: "
		    "\"failoverctl jobs --cancel ID\"."));
	tell(message);
	return 1;
}

/* The agent's answer to "sign": a certificate, the caller's, or NULL. */
static char *
await_certificate(struct worker *worker, struct problem *problem)
{
	char *line, *cert = NULL;
	json_t *answer;
	int rc;

	rc = message_read_line(STDIN_FILENO, &worker->input, SIGN_MS, &line,
	    problem);
	if (rc == 0)
		problem_set(problem, "the agent has gone away before it "
		    "signed");
	answer = rc == 1 ? message_parse(line, problem) : NULL;
	if (answer == NULL)
		return NULL;
	if (strcmp(message_text(answer, "type", ""), "certificate") == 0 &&
	    message_text(answer, "cert", "")[0] != '\0') {
		cert = strdup(message_text(answer, "cert", ""));
	} else {
		problem_set(problem, "%s", message_text(answer, "text",
		    "the agent did not sign"));
		problem_hint(problem, "%s", message_text(answer, "hint", ""));
	}
	json_decref(answer);
	return cert;
}

/* What the target said of itself in "checked", for the agent to commit. */
static json_t *
sign_message(struct worker *worker, const json_t *checked, const char *csr)
{
	const json_t *conf = json_object_get(worker->job, "conf");

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "type",
	    "sign", "node", message_text(conf, "node", ""), "csr", csr,
	    "advertise", message_text(checked, "advertise", ""),
	    "pg_advertise", message_text(checked, "pg_advertise", ""),
	    "data_dir", message_text(checked, "data_dir", ""),
	    "known_host_line", ssh_host_line(worker->ssh));
}

static int
install(struct worker *worker, const json_t *checked,
    struct problem *problem)
{
	const char *host = worker->to.host;
	json_t *answer;
	char *cert;

	worker->touched = true;
	answer = ask(worker, "request", NULL, "request", REQUEST_MS, problem);
	if (answer == NULL)
		return -1;
	progress("%s: key made, asking for its certificate", host);
	tell(sign_message(worker, checked, message_text(answer, "csr", "")));
	json_decref(answer);
	cert = await_certificate(worker, problem);
	if (cert == NULL)
		return -1;
	answer = ask(worker, "install", cert, "installed", INSTALL_MS,
	    problem);
	free(cert);
	if (answer == NULL)
		return -1;
	json_decref(answer);
	progress("%s: configuration and certificate written", host);
	answer = ask(worker, "start", NULL, "started", START_MS, problem);
	if (answer == NULL)
		return -1;
	progress("%s: agent started, pid %d", host, (int)json_integer_value(
	    json_object_get(answer, "pid")));
	json_decref(answer);
	return 0;
}

static json_t *
check(struct worker *worker, struct problem *problem)
{
	json_t *checked = ask(worker, "check", NULL, "checked", CHECK_MS,
	    problem);
	int fails;

	if (checked == NULL)
		return NULL;
	worker->touched = json_is_true(json_object_get(checked, "touched"));
	fails = (int)json_integer_value(json_object_get(checked, "fails"));
	if (fails == 0)
		return checked;
	problem_set(problem, "host \"%s\" is not fit for node \"%s\": %d "
	    "finding%s", worker->to.host, message_text(json_object_get(
	    worker->job, "conf"), "node", ""), fails, fails == 1 ? "" : "s");
	problem_hint(problem, "The findings above say what to do about each; "
	    "then run the command again.");
	json_decref(checked);
	return NULL;
}

static int
finish(struct worker *worker, const char *text)
{
	close_target(worker);
	tell(json_pack("{s:s, s:s}", "type", "done", "text", text));
	return 0;
}

static int
run_job(struct worker *worker, const char *op, struct problem *problem)
{
	char text[512];
	json_t *answer;
	int rc;

	progress("%s: connecting", worker->to.host);
	if (open_target(worker, problem) != 0)
		return give_up(worker, problem);
	tell(json_pack("{s:s, s:s, s:s}", "type", "host_key", "line",
	    ssh_host_line(worker->ssh), "fingerprint",
	    ssh_host_fingerprint(worker->ssh)));
	if (ssh_warning(worker->ssh)[0] != '\0')
		warn(ssh_warning(worker->ssh), "Put the known_hosts file in "
		    "order.");
	answer = worker->undoing ? ask(worker, "undo", NULL, "undone",
	    UNDO_MS, problem) : check(worker, problem);
	if (strcmp(op, "check") == 0)
		worker->touched = false;
	rc = answer == NULL ? -1 : 0;
	tell_left(worker, answer);
	if (rc == 0 && strcmp(op, "provision") == 0)
		rc = install(worker, answer, problem);
	snprintf(text, sizeof(text), "%s: %s", worker->to.host,
	    worker->undoing ? message_text(answer, "text", "") :
	    strcmp(op, "check") == 0 ? "fit for the new node" :
	    "its agent runs");
	json_decref(answer);
	return rc == 0 ? finish(worker, text) : give_up(worker, problem);
}

int
worker_run(void)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	struct problem problem = { .text = "" };
	const char *op = "";
	char *line;
	int rc;

	signal(SIGPIPE, SIG_IGN);
	if (worker == NULL)
		return 1;
	rc = message_read_line(STDIN_FILENO, &worker->input, FIRST_MS, &line,
	    &problem);
	if (rc == 0)
		problem_set(&problem, "no job arrived");
	if (rc == 1)
		worker->job = message_parse(line, &problem);
	if (worker->job != NULL) {
		op = message_text(worker->job, "op", "");
		if (strcmp(op, "provision") != 0 && strcmp(op, "undo") != 0 &&
		    strcmp(op, "check") != 0)
			problem_set(&problem, "unknown job \"%.40s\"", op);
		else
			read_destination(worker, &problem);
		worker->undoing = strcmp(op, "undo") == 0;
	}
	rc = problem.text[0] != '\0' ? give_up(worker, &problem) :
	    run_job(worker, op, &problem);
	json_decref(worker->job);
	free(worker);
	return rc;
}
