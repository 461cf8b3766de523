/*
 * target.c - puts a node's key, certificate and configuration on this host,
 * starts its agent, and takes all of it away again.
 *
 * Must never let the private key leave, never write what the marker does not
 * name, never touch a data directory, and never end a process that is not
 * failoverd with our configuration.
 */
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "job.h"
#include "launch.h"
#include "marker.h"
#include "message.h"
#include "tls.h"

#define IDLE_MS		600000	/* without a request */

/* Asks the agent to end and waits; 0 when none runs any more. */
static int
stop_agent(const char *run_dir, const char *conf_file,
    struct problem *problem)
{
	int pid = agent_find(run_dir);
	struct pollfd pfd = { .events = POLLIN };
	int rc;

	if (pid == 0)
		return 0;
	/* First a handle, then the look: the pid may change owners between. */
	pfd.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pfd.fd < 0)
		return errno == ESRCH ? 0 : problem_set(problem, "could not "
		    "watch process %d: %s", pid, strerror(errno));
	if (!agent_is_ours(pid, conf_file)) {
		close(pfd.fd);
		problem_set(problem, "process %d has \"%s/control.sock\", but "
		    "it is not failoverd with \"%s\"; it was left alone", pid,
		    run_dir, conf_file);
		return problem_hint(problem, "Look at it on the host with "
		    "\"ps -fp %d\".", pid);
	}
	if (syscall(SYS_pidfd_send_signal, pfd.fd, SIGTERM, NULL, 0) != 0 &&
	    errno != ESRCH)
		rc = problem_set(problem, "could not stop the agent (pid "
		    "%d): %s", pid, strerror(errno));
	else if (poll(&pfd, 1, TARGET_STOP_MS) != 1)
		rc = problem_set(problem, "the agent (pid %d) has not ended "
		    "%d s after SIGTERM", pid, TARGET_STOP_MS / 1000);
	else
		rc = 0;
	close(pfd.fd);
	if (rc != 0)
		problem_hint(problem, "Its log on the host says why; undo "
		    "can be repeated.");
	return rc;
}

/* A guard that still answers has a PostgreSQL: nothing may be removed. */
static bool
guard_answers(const char *run_dir)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	bool answers;
	int fd;

	if ((size_t)snprintf(sun.sun_path, sizeof(sun.sun_path),
	    "%s/guard.sock", run_dir) >= sizeof(sun.sun_path))
		return false;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	answers = connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0;
	close(fd);
	return answers;
}

static int
undo_marker(struct marker *marker, json_t *left, struct problem *problem)
{
	/* Before the agent: a service manager starts it while that exists. */
	if (marker_remove_conf(marker, problem) != 0)
		return -1;
	if (marker_was_started(marker) && stop_agent(marker->run_dir,
	    marker->conf_file, problem) != 0)
		return -1;
	if (guard_answers(marker->run_dir)) {
		problem_set(problem, "a PostgreSQL of this job still runs "
		    "under its guard on this host");
		return problem_hint(problem, "Stop it with \"pg_ctl stop\" "
		    "on the host, then repeat.");
	}
	return marker_remove_all(marker, left, problem);
}

static json_t *
error_message(const struct problem *problem)
{
	json_t *message = json_pack("{s:s, s:s}", "type", "error", "text",
	    problem->text);

	if (message != NULL && problem->hint[0] != '\0')
		json_object_set_new(message, "hint",
		    json_string(problem->hint));
	return message;
}

/* Read-only.  touched = undo would find something. */
static json_t *
do_check(struct job *job, const json_t *request, struct findings *findings,
    struct problem *problem)
{
	(void)request;
	(void)problem;
	if (job->owner.job[0] != '\0')
		job_check(job, findings);
	return json_pack("{s:s, s:i, s:b, s:b, s:s, s:s, s:s}", "type",
	    "checked", "fails", (int)findings->failed, "resumed",
	    job->resumed, "touched", job->resumed, "advertise",
	    job->conf.advertise, "pg_advertise", job->conf.pg_advertise,
	    "data_dir", job->conf.data_dir);
}

static int
read_small(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[n < 0 ? 0 : n] = '\0';
	return n > 0 ? 0 : -1;
}

/*
 * The key is made once; a job that continues sends the same request again,
 * so that the key the cluster has pinned stays the right one.
 */
static int
make_request(struct job *job, char csr[PEM_MAX], struct problem *problem)
{
	char key_path[CONF_PATH_MAX], csr_path[CONF_PATH_MAX];
	char errmsg[ERRMSG_MAX], dir[CONF_PATH_MAX];

	job_tls_path(job, "node.key", key_path);
	job_tls_path(job, "node.csr", csr_path);
	if (marker_has(&job->marker, key_path) &&
	    access(key_path, R_OK) == 0 &&
	    read_small(csr_path, csr, PEM_MAX) == 0)
		return 0;
	snprintf(dir, sizeof(dir), "%.400s/tls", job->conf.state_dir);
	if (marker_make_directory(&job->marker, dir, 0700, problem) != 0)
		return -1;
	/* A key without its request was never signed: nobody knows it. */
	if (marker_has(&job->marker, key_path))
		unlink(key_path);
	if (marker_note_file(&job->marker, key_path, problem) != 0)
		return -1;
	if (tls_make_request(job->conf.node, key_path, csr, errmsg) != 0)
		return problem_set(problem, "%s", errmsg);
	return marker_write_file(&job->marker, csr_path, csr, problem);
}

static json_t *
do_request(struct job *job, const json_t *request, struct findings *findings,
    struct problem *problem)
{
	char csr[PEM_MAX];
	json_t *left;
	int rc;

	(void)request;
	(void)findings;
	/* What an older job of the same cluster left: its agent is gone. */
	if (job->marker.content != NULL && !job->resumed) {
		if (strcmp(job->marker.owner.ca, job->owner.ca) != 0 ||
		    agent_find(job->marker.run_dir) != 0) {
			problem_set(problem, "the marker \"%s\" is of another "
			    "job", job->marker.path);
			return NULL;
		}
		left = json_array();
		rc = marker_lock(&job->marker, problem);
		if (rc == 0 && job->marker.content != NULL)
			rc = undo_marker(&job->marker, left, problem);
		json_decref(left);
		marker_free(&job->marker);
		if (rc != 0 || marker_load(&job->marker,
		    job->conf.state_dir, problem) != 0)
			return NULL;
	}
	if (marker_begin(&job->marker, &job->conf, &job->owner,
	    problem) != 0)
		return NULL;
	if (!marker_is_of(&job->marker, &job->owner)) {
		problem_set(problem, "job %s has begun on this host in the "
		    "meantime", job->marker.owner.job);
		return NULL;
	}
	if (make_request(job, csr, problem) != 0)
		return NULL;
	return json_pack("{s:s, s:s}", "type", "request", "csr", csr);
}

static int
own_marker(struct job *job, struct problem *problem)
{
	if (marker_lock(&job->marker, problem) != 0)
		return -1;
	if (marker_is_of(&job->marker, &job->owner))
		return 0;
	return problem_set(problem, "job %s has not begun on this host, or "
	    "was undone in the meantime", job->owner.job);
}

/* The certificate must fit the key and come from the CA, before it counts. */
static int
install_tls(struct job *job, const char *cert, struct problem *problem)
{
	char ca_path[CONF_PATH_MAX], cert_path[CONF_PATH_MAX];
	char key_path[CONF_PATH_MAX], errmsg[ERRMSG_MAX];
	SSL_CTX *context;

	job_tls_path(job, "ca.crt", ca_path);
	job_tls_path(job, "node.crt", cert_path);
	job_tls_path(job, "node.key", key_path);
	if (marker_write_file(&job->marker, ca_path, job->ca, problem) != 0 ||
	    marker_write_file(&job->marker, cert_path, cert, problem) != 0)
		return -1;
	context = tls_context(ca_path, cert_path, key_path, job->conf.node,
	    errmsg);
	if (context == NULL)
		return problem_set(problem, "the certificate for node \"%s\" "
		    "cannot be used: %s", job->conf.node, errmsg);
	SSL_CTX_free(context);
	return 0;
}

/* Last of all, because on a systemd host the file starts the agent. */
static int
install_conf(struct job *job, struct problem *problem)
{
	char dir[CONF_PATH_MAX], errmsg[ERRMSG_MAX];
	char *slash;

	if (job->keeps_conf)
		return 0;
	snprintf(dir, sizeof(dir), "%s", job->conf.file);
	slash = strrchr(dir, '/');
	if (slash != NULL && slash != dir)
		*slash = '\0';
	if (marker_make_directory(&job->marker, dir, 0700, problem) != 0 ||
	    marker_note_file(&job->marker, job->conf.file, problem) != 0)
		return -1;
	if (conf_write(&job->conf, job->conf.file, errmsg) != 0)
		return problem_set(problem, "%s", errmsg);
	return 0;
}

static json_t *
do_install(struct job *job, const json_t *request, struct findings *findings,
    struct problem *problem)
{
	const char *cert = message_text(request, "cert", "");

	(void)findings;
	if (own_marker(job, problem) != 0)
		return NULL;
	if (cert[0] == '\0' || job->ca[0] == '\0') {
		problem_set(problem, "the request brings no certificate");
		return NULL;
	}
	if (install_tls(job, cert, problem) != 0 ||
	    /* As systemd makes it: control_group has to reach the socket. */
	    marker_make_directory(&job->marker, job->conf.run_dir, 0755,
	    problem) != 0 || install_conf(job, problem) != 0)
		return NULL;
	return json_pack("{s:s}", "type", "installed");
}

static json_t *
do_start(struct job *job, const json_t *request, struct findings *findings,
    struct problem *problem)
{
	const bool managed = launch_is_service_managed() &&
	    getenv("FAILOVERD_CONFIG") == NULL;
	char errmsg[ERRMSG_MAX];
	int pid, rc;

	(void)request;
	(void)findings;
	if (own_marker(job, problem) != 0)
		return NULL;
	pid = agent_find(job->conf.run_dir);
	if (pid == 0) {
		if (marker_note_start(&job->marker, problem) != 0)
			return NULL;
		rc = managed ? launch_wait_socket(&job->conf, TARGET_START_MS,
		    errmsg) : launch_agent(&job->conf, TARGET_START_MS,
		    errmsg);
		if (rc != 0) {
			problem_set(problem, "the agent did not start: %s",
			    errmsg);
			problem_hint(problem, managed ? "On the host look at "
			    "\"systemctl status failoverd.path failoverd\" "
			    "and \"journalctl -u failoverd\"." : "Try it on "
			    "the host with \"failoverd -c %s\".",
			    job->conf.file);
			return NULL;
		}
		pid = agent_find(job->conf.run_dir);
	}
	if (pid != 0 && agent_is_ours(pid, job->conf.file))
		return json_pack("{s:s, s:i}", "type", "started", "pid", pid);
	problem_set(problem, "process %d has \"%s/control.sock\", but it is "
	    "not failoverd with \"%s\"", pid, job->conf.run_dir,
	    job->conf.file);
	return NULL;
}

static json_t *
do_undo(struct job *job, const json_t *request, struct findings *findings,
    struct problem *problem)
{
	json_t *left = json_array();
	const char *text = "removed everything this job has put on the host";

	(void)request;
	(void)findings;	/* a configuration that is wrong stops no undo */
	if (marker_lock(&job->marker, problem) != 0)
		goto failed;
	if (job->marker.content == NULL)
		text = "nothing to undo: no job has put anything on the host";
	else if (!marker_is_of(&job->marker, &job->owner)) {
		problem_set(problem, "what stands on this host is of job %s "
		    "(node \"%s\" of cluster \"%s\"), not of job %s",
		    job->marker.owner.job, job->marker.owner.node,
		    job->marker.owner.cluster, job->owner.job);
		goto failed;
	} else if (undo_marker(&job->marker, left, problem) != 0)
		goto failed;
	if (json_array_size(left) > 0)
		text = "removed what this job has put on the host; "
		    "directories that hold other files stay";
	return json_pack("{s:s, s:s, s:o}", "type", "undone", "text", text,
	    "left", left);
failed:
	json_decref(left);
	return NULL;
}

static const struct {
	const char *name;
	bool tolerant;	/* works although the request has findings */
	json_t *(*act)(struct job *, const json_t *, struct findings *,
	    struct problem *);
} operations[] = {
	{ "check", true, do_check },
	{ "request", false, do_request },
	{ "install", false, do_install },
	{ "start", false, do_start },
	{ "undo", true, do_undo }
};

static json_t *
serve(const json_t *request, struct problem *problem)
{
	const char *op = message_text(request, "op", "");
	struct findings findings = { .fd = -1 };
	json_t *answer = NULL;
	struct job *job;

	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]);
	    i++) {
		if (strcmp(operations[i].name, op) != 0)
			continue;
		job = malloc(sizeof(*job));
		if (job == NULL) {
			problem_set(problem, "out of memory");
			return NULL;
		}
		if (operations[i].act == do_check)
			findings.fd = STDOUT_FILENO;
		job_load(job, request, &findings);
		if (findings.failed > 0 && !operations[i].tolerant)
			*problem = findings.first;
		else
			answer = operations[i].act(job, request, &findings,
			    problem);
		job_free(job);
		free(job);
		return answer;
	}
	problem_set(problem, "unknown request \"%.40s\"", op);
	problem_hint(problem, "Install the same version of failoverd on both "
	    "hosts.");
	return NULL;
}

/* Nobody reads our answers any more: then nothing more is done either. */
static bool
is_abandoned(void)
{
	struct pollfd pfd = { .fd = STDOUT_FILENO };

	return poll(&pfd, 1, 0) == 1 &&
	    (pfd.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
}

int
target_run(void)
{
	static struct line_buffer buffer;
	struct problem problem = { .text = "" };
	json_t *request, *answer;
	char *line;
	int rc;

	signal(SIGPIPE, SIG_IGN);
	umask(077);
	if (message_write(STDOUT_FILENO, json_pack("{s:s, s:s, s:i, s:s, "
	    "s:b}", "type", "hello", "program", "failover-provision",
	    "protocol", TARGET_PROTOCOL, "version", FAILOVERD_VERSION,
	    "forced", getenv("SSH_ORIGINAL_COMMAND") != NULL)) != 0)
		return 1;
	for (;;) {
		rc = message_read_line(STDIN_FILENO, &buffer, IDLE_MS, &line,
		    &problem);
		if (rc == 0 || is_abandoned())
			return 0;
		request = rc < 0 ? NULL : message_parse(line, &problem);
		answer = request == NULL ? NULL : serve(request, &problem);
		json_decref(request);
		if (message_write(STDOUT_FILENO, answer != NULL ? answer :
		    error_message(&problem)) != 0 || rc < 0)
			return 1;
	}
}
