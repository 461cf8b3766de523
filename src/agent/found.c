/*
 * found.c - init: a cluster of one.
 *
 * PKI, secrets, data directory, in a worker; then the first entry of the log.
 * What was made is removed again when any of it fails.
 */
#include <errno.h>
#include <ftw.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "child.h"
#include "log.h"
#include "tls.h"

#define STOP_DEADLINE_MS 60000

struct found {
	uv_work_t req;
	struct agent *agent;
	struct postgres pg;
	struct conf conf;
	bool adopt, made_data, stopped_it, dry_run;
	struct settings settings;
	struct postgres_control control;
	uint8_t key_hash[KEY_HASH_LEN];
	char provision_program[CONF_PATH_MAX];
	int result;
	char errmsg[ERRMSG_MAX], hint[ERRMSG_MAX], text[4096];
	found_done_fn *done;
	void *arg;
};

static int
make_directory(const struct found *f, const char *name, char *errmsg)
{
	char path[CONF_PATH_MAX + 64];

	join_path(f->agent, path, sizeof(path), name);
	if (mkdir(path, 0700) != 0 && errno != EEXIST) {
		snprintf(errmsg, ERRMSG_MAX, "could not create directory "
		    "\"%s\": %s", path, strerror(errno));
		return -1;
	}
	return 0;
}

static int
make_pki(struct found *f)
{
	char ca_key[CONF_PATH_MAX + 64], ca[CONF_PATH_MAX + 64];
	char key[CONF_PATH_MAX + 64], cert[CONF_PATH_MAX + 64];
	char csr[PEM_MAX], pem[PEM_MAX];

	join_path(f->agent, ca_key, sizeof(ca_key), "secrets/ca.key");
	join_path(f->agent, ca, sizeof(ca), "tls/ca.crt");
	join_path(f->agent, key, sizeof(key), "tls/node.key");
	join_path(f->agent, cert, sizeof(cert), "tls/node.crt");
	if (tls_make_ca(f->conf.cluster, ca_key, ca, f->errmsg) != 0 ||
	    tls_make_request(f->conf.node, key, csr, f->errmsg) != 0 ||
	    tls_sign_request(ca_key, ca, f->conf.node, csr, pem, f->key_hash,
	    f->errmsg) != 0)
		return -1;
	return join_write_file(cert, pem, f->errmsg);
}

static int
make_secrets(struct found *f)
{
	char path[CONF_PATH_MAX + 64], secret[44], comment[64];
	const char *argv[5];
	static const char *const env[] = {
		"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", NULL
	};

	join_path(f->agent, path, sizeof(path),
	    "secrets/replication_password");
	if (tls_random_secret(secret, f->errmsg) != 0 ||
	    join_write_file(path, secret, f->errmsg) != 0)
		return -1;
	explicit_bzero(secret, sizeof(secret));
	join_path(f->agent, path, sizeof(path), "secrets/ssh_key");
	snprintf(comment, sizeof(comment), "failoverd:%s", f->conf.cluster);
	argv[0] = f->provision_program;
	argv[1] = "--make-key";
	argv[2] = path;
	argv[3] = comment;
	argv[4] = NULL;
	return child_run(argv, env, NULL, 20000, NULL, 0, f->errmsg) == 0 ?
	    0 : -1;
}

/* The one interruption of an adoption: a fast stop, last of all steps. */
static int
stop_running(struct found *f)
{
	const struct timespec pause = { 0, 20 * 1000000 };
	monotime_t begun = monotime_now();
	pid_t pid;

	if (!postgres_is_running(&f->pg, &pid))
		return 0;
	log_info("init", "stopping PostgreSQL %d to start it under its guard",
	    (int)pid);
	f->stopped_it = true;
	if (kill(pid, SIGINT) != 0) {
		snprintf(f->errmsg, ERRMSG_MAX, "could not stop PostgreSQL "
		    "%d: %s", (int)pid, strerror(errno));
		return -1;
	}
	while (postgres_is_running(&f->pg, NULL)) {
		if (monotime_diff_ms(monotime_now(), begun) >
		    STOP_DEADLINE_MS) {
			snprintf(f->errmsg, ERRMSG_MAX, "PostgreSQL %d did "
			    "not stop within %d s", (int)pid,
			    STOP_DEADLINE_MS / 1000);
			return -1;
		}
		nanosleep(&pause, NULL);
	}
	return 0;
}

/* An adoption that failed leaves what was there: a running server. */
static void
start_again(struct found *f)
{
	char program[CONF_PATH_MAX + 16], data[CONF_PATH_MAX];
	char options[2 * CONF_PATH_MAX], errmsg[ERRMSG_MAX];
	const char *argv[] = { program, "-D", data, "-o", options, "-l",
		f->pg.log_file, "-w", "start", NULL };
	static const char *const env[] = {
		"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", NULL
	};

	snprintf(program, sizeof(program), "%s/pg_ctl", f->pg.bin_dir);
	snprintf(data, sizeof(data), "%s", f->conf.data_dir);
	snprintf(options, sizeof(options), "-c config_file=%s",
	    f->pg.config_file);
	if (child_run(argv, env, NULL, STOP_DEADLINE_MS, NULL, 0,
	    errmsg) != 0)
		log_error("init", "PostgreSQL could not be started again: %s",
		    errmsg);
}

static int
make_data(struct found *f)
{
	char changes[2048];

	if (postgres_is_empty(f->conf.data_dir)) {
		if (f->adopt) {
			snprintf(f->errmsg, ERRMSG_MAX, "data directory "
			    "\"%s\" is empty: there is nothing to adopt",
			    f->conf.data_dir);
			return -1;
		}
		f->made_data = true;
		if (postgres_initdb(&f->pg, f->errmsg) != 0 ||
		    postgres_locate(&f->pg, &f->conf, f->errmsg) != 0)
			return -1;
	} else if (!f->adopt) {
		snprintf(f->errmsg, ERRMSG_MAX, "data directory \"%s\" is "
		    "not empty", f->conf.data_dir);
		snprintf(f->hint, sizeof(f->hint), "To take over the "
		    "PostgreSQL that lives there, run failoverctl init "
		    "--adopt %s.", f->conf.data_dir);
		return -1;
	}
	if (postgres_is_standby_configured(&f->pg)) {
		snprintf(f->errmsg, ERRMSG_MAX, "\"%s\" is a standby; a "
		    "cluster is founded on its primary", f->conf.data_dir);
		return -1;
	}
	if (stop_running(f) != 0 ||
	    postgres_read_control(&f->pg, &f->control, f->errmsg) != 0)
		return -1;
	if (!f->control.shut_down) {
		snprintf(f->errmsg, ERRMSG_MAX, "\"%s\" was not stopped "
		    "cleanly (pg_control says \"%s\")",
		    f->conf.data_dir, f->control.state);
		snprintf(f->hint, sizeof(f->hint), "Start it once by "
		    "itself, so that it recovers, and run init again.");
		return -1;
	}
	return postgres_take_over(&f->pg, false, changes, sizeof(changes),
	    f->errmsg);
}

static int
remove_entry(const char *path, const struct stat *st, int type,
    struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void
undo(struct found *f)
{
	static const char *const made[] = { "tls", "secrets" };
	char path[CONF_PATH_MAX + 64], errmsg[ERRMSG_MAX];
	char changes[2048];
	size_t i;

	for (i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
		join_path(f->agent, path, sizeof(path), made[i]);
		nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	}
	if (f->adopt && !postgres_is_empty(f->conf.data_dir) &&
	    postgres_give_back(&f->pg, changes, sizeof(changes),
	    errmsg) != 0)
		log_error("init", "%s", errmsg);
	if (f->stopped_it)
		start_again(f);
	if (f->made_data && !postgres_is_empty(f->conf.data_dir) &&
	    postgres_remove_data(&f->pg, errmsg) != 0)
		log_error("init", "%s", errmsg);
}

/* What init would do, one line a thing; nothing is changed. */
static int
list_changes(struct found *f)
{
	char changes[2048] = "";
	pid_t pid;

	if (f->adopt && postgres_is_empty(f->conf.data_dir)) {
		snprintf(f->errmsg, ERRMSG_MAX, "data directory \"%s\" is "
		    "empty: there is nothing to adopt", f->conf.data_dir);
		return -1;
	}
	if (f->adopt && postgres_take_over(&f->pg, true, changes,
	    sizeof(changes), f->errmsg) != 0)
		return -1;
	snprintf(f->text, sizeof(f->text), "would make a CA, keys and "
	    "secrets in \"%s\"\n%s%s%snothing was changed",
	    f->conf.state_dir, changes,
	    changes[0] != '\0' && changes[strlen(changes) - 1] != '\n' ?
	    "\n" : "", !f->adopt ? "would make the data directory\n" :
	    postgres_is_running(&f->pg, &pid) ? "would stop PostgreSQL fast "
	    "and start it again under its guard: this interrupts service\n" :
	    "would start PostgreSQL under its guard\n");
	return 0;
}

static void
found_run(uv_work_t *req)
{
	struct found *f = req->data;
	char path[CONF_PATH_MAX + 64];

	f->result = -1;
	if (f->dry_run) {
		f->result = list_changes(f);
		return;
	}
	join_path(f->agent, path, sizeof(path), "tls/node.crt");
	if (access(path, F_OK) == 0) {
		snprintf(f->errmsg, ERRMSG_MAX, "\"%s\" exists: this node "
		    "has a certificate of a cluster already", path);
		return;
	}
	if (make_directory(f, "tls", f->errmsg) == 0 &&
	    make_directory(f, "secrets", f->errmsg) == 0 &&
	    make_directory(f, "markers", f->errmsg) == 0 &&
	    make_pki(f) == 0 && make_secrets(f) == 0 && make_data(f) == 0)
		f->result = 0;
	else
		undo(f);
}

static void
fill_bootstrap(const struct found *f, struct command *command,
    struct store_identity *identity)
{
	struct member *first = &command->u.bootstrap.first;

	memset(command, 0, sizeof(*command));
	memset(identity, 0, sizeof(*identity));
	command->type = CMD_BOOTSTRAP;
	command->time_us = agent_wall_us();
	snprintf(command->why, sizeof(command->why),
	    "cluster %s founded by %s", f->conf.cluster, f->conf.node);
	RAND_bytes(command->u.bootstrap.cluster_id, 16);
	memcpy(command->u.bootstrap.cluster, f->conf.cluster,
	    sizeof(command->u.bootstrap.cluster));
	command->u.bootstrap.system_identifier =
	    f->control.system_identifier;
	command->u.bootstrap.pg_major = f->pg.major;
	command->u.bootstrap.timeline = f->control.timeline;
	command->u.bootstrap.settings = f->settings;
	first->has_data = true;
	memcpy(first->name, f->conf.node, sizeof(first->name));
	memcpy(first->address, f->conf.advertise, sizeof(first->address));
	memcpy(first->pg_address, f->conf.pg_advertise,
	    sizeof(first->pg_address));
	memcpy(first->key_hash, f->key_hash, sizeof(first->key_hash));
	memcpy(identity->cluster_id, command->u.bootstrap.cluster_id, 16);
	identity->generation = 1;
	identity->member_id = 1;
	memcpy(identity->cluster, f->conf.cluster,
	    sizeof(identity->cluster));
	memcpy(identity->node, f->conf.node, sizeof(identity->node));
}

static void
found_done(uv_work_t *req, int status)
{
	struct found *f = req->data;
	struct agent *agent = f->agent;
	struct store_identity identity;
	struct command *command = malloc(sizeof(*command));

	if (status != 0 || command == NULL)
		f->result = -1;
	if (f->result == 0 && !f->dry_run) {
		agent->pg = f->pg;
		agent->node.control_known = false;
		fill_bootstrap(f, command, &identity);
		if (raftio_bootstrap(agent->raftio, &identity, command,
		    f->errmsg) != 0 || agent_open_links(agent,
		    f->errmsg) != 0)
			f->result = -1;
	}
	if (f->result == 0)
		f->done(f->arg, 0, f->text, "");
	else
		f->done(f->arg, 3, f->errmsg, f->hint);
	agent_wake(agent);
	free(command);
	free(f);
}

void
found_cluster(struct agent *agent, const struct settings *settings,
    bool adopt, bool dry_run, found_done_fn *done, void *arg)
{
	struct found *f;

	if (agent_self(agent) != 0) {
		done(arg, 3, "this node is a member of a cluster already",
		    "");
		return;
	}
	if (!agent->conf.has_postgresql) {
		done(arg, 3, "failoverd.conf has no postgresql section: the "
		    "first node of a cluster holds the database", "");
		return;
	}
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return;
	f->agent = agent;
	f->pg = agent->pg;
	f->conf = agent->conf;
	f->adopt = adopt;
	f->dry_run = dry_run;
	f->settings = *settings;
	memcpy(f->provision_program, agent->provision_program,
	    sizeof(f->provision_program));
	f->done = done;
	f->arg = arg;
	f->req.data = f;
	if (uv_queue_work(agent->loop, &f->req, found_run, found_done) != 0) {
		done(arg, 4, "no worker could be started", "");
		free(f);
	}
}
