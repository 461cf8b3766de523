/*
 * execute_clone.c - copying a data directory, and mending one that has left
 * the chain.
 *
 * A marker outside PGDATA stands from before the first byte until the copy is
 * whole, so that a half copy is never started and only our own is removed.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "execute_internal.h"
#include "log.h"

#define SLOT_WAIT_MS	15000	/* the source makes slot and hba line first */

enum clone_step {
	CLONE_BEGIN,
	CLONE_COPY,
	CLONE_COPYING,
	CLONE_FINISH,
	CLONE_DONE
};

static void
marker_path(const struct execute *ex, const char *what, char *path,
    size_t size)
{
	char name[64];

	snprintf(name, sizeof(name), "markers/%s", what);
	join_path(ex->agent, path, size, name);
}

void
clone_forget(struct execute *ex)
{
	child_free(ex->clone.child);
	memset(&ex->clone, 0, sizeof(ex->clone));
}

static void
fail(struct execute *ex, const char *what, const char *detail)
{
	execute_result(ex, ORDER_FAILED, "%.60s: %.180s", what, detail);
}

/* ---- before: the directory must be empty, or a half copy of ours ---- */

static int
prepare_run(struct work *work)
{
	char directory[CONF_PATH_MAX + 64];
	char *slash;

	if (access(work->path, F_OK) == 0 &&
	    !postgres_is_empty(work->pg.data_dir) &&
	    postgres_remove_data(&work->pg, work->errmsg) != 0)
		return -1;
	if (!postgres_is_empty(work->pg.data_dir) && work->replace &&
	    postgres_set_aside(&work->pg, work->slot, work->errmsg) != 0)
		return -1;
	if (!postgres_is_empty(work->pg.data_dir)) {
		snprintf(work->errmsg, ERRMSG_MAX, "data directory \"%s\" is "
		    "not empty", work->pg.data_dir);
		return -1;
	}
	snprintf(directory, sizeof(directory), "%s", work->path);
	slash = strrchr(directory, '/');
	*slash = '\0';
	if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
		snprintf(work->errmsg, ERRMSG_MAX, "could not create "
		    "directory \"%s\": %s", directory, strerror(errno));
		return -1;
	}
	if (join_write_file(work->path, "a copy of ours is being made\n",
	    work->errmsg) != 0)
		return -1;
	return postgres_write_passfile(&work->pg, work->password,
	    work->errmsg);
}

static void
prepare_done(struct work *work)
{
	work->ex->markers_known = false;
	if (work->result != 0)
		fail(work->ex, "clone", work->errmsg);
	else
		work->ex->clone.step = CLONE_COPY;
}

static bool
job_says_replace(const struct execute *ex)
{
	const struct job *job = state_job(&ex->agent->state,
	    ex->order.job_id);
	json_t *args = json_loads(job != NULL ? job->args : "", 0, NULL);
	bool replace = json_is_true(json_object_get(args, "replace"));

	json_decref(args);
	return replace;
}

static void
prepare(struct execute *ex)
{
	struct work *work;
	char errmsg[ERRMSG_MAX], password[64];

	/* The coordinator brings it over the link; without it we wait. */
	if (join_read_password(ex->agent, password, sizeof(password),
	    errmsg) != 0) {
		execute_result(ex, ORDER_RUNNING,
		    "waiting for the replication password");
		return;
	}
	work = execute_work_new(ex);
	if (work == NULL)
		return;
	memcpy(work->password, password, sizeof(password));
	work->replace = job_says_replace(ex);
	snprintf(work->slot, sizeof(work->slot), "before-clone-%u",
	    ex->order.job_id);
	marker_path(ex, "clone", work->path, sizeof(work->path));
	execute_work(work, "clone: prepare", prepare_run, prepare_done);
}

/* ---- the copy ---- */

static void
copy_line(void *arg, const char *line, bool is_error)
{
	struct execute *ex = arg;
	uint64_t done, total;

	if (postgres_parse_progress(line, &done, &total)) {
		ex->clone.done_bytes = done;
		ex->clone.total_bytes = total;
	} else if (is_error)
		log_info("clone", "pg_basebackup: %s", line);
}

static void
copy_done(void *arg, const struct child_result *result)
{
	struct execute *ex = arg;

	child_free(ex->clone.child);
	ex->clone.child = NULL;
	ex->busy = NULL;
	ex->agent->now = monotime_now();
	if (result->ok) {
		ex->clone.step = CLONE_FINISH;
		execute_again(ex, 0);
		return;
	}
	/* Slot and pg_hba line are made by the source at the same time. */
	if (monotime_diff_ms(ex->agent->now, ex->clone.begun) <
	    SLOT_WAIT_MS && ex->clone.done_bytes == 0) {
		log_info("clone", "not yet: %s", result->error);
		ex->clone.retry_at = monotime_add_ms(ex->agent->now, 500);
		ex->clone.step = CLONE_COPY;
		execute_again(ex, 500);
		return;
	}
	fail(ex, "pg_basebackup", result->error);
}

static bool
source_address(struct execute *ex, char *host, size_t host_size, char *port,
    size_t port_size)
{
	const struct member *source = state_member(&ex->agent->state,
	    ex->order.upstream_id);
	char errmsg[ERRMSG_MAX];

	if (source == NULL || conf_split_address(source->pg_address, "5432",
	    host, host_size, port, port_size, errmsg) != 0) {
		fail(ex, "clone", "the source has no address");
		return false;
	}
	return true;
}

static void
copy(struct execute *ex)
{
	char host[ADDRESS_MAX_LEN + 1], port[16], slot[80];
	char errmsg[ERRMSG_MAX];
	struct child_spec spec = { 0 };

	if (monotime_before(ex->agent->now, ex->clone.retry_at))
		return;
	if (!source_address(ex, host, sizeof(host), port, sizeof(port)))
		return;
	postgres_slot_name(ex->agent->conf.node, slot, sizeof(slot));
	if (postgres_basebackup_child(&ex->agent->pg, host, port, slot,
	    &ex->clone.spec, errmsg) != 0) {
		fail(ex, "clone", errmsg);
		return;
	}
	spec.argv = ex->clone.spec.args.argv;
	spec.env = ex->clone.spec.env;
	spec.line = copy_line;
	spec.done = copy_done;
	spec.arg = ex;
	ex->clone.child = child_start(ex->agent->loop, &spec, errmsg);
	if (ex->clone.child == NULL) {
		fail(ex, "clone", errmsg);
		return;
	}
	ex->clone.step = CLONE_COPYING;
	execute_result(ex, ORDER_RUNNING, "copying from %s",
	    state_name(ex->order.upstream_id, &ex->agent->state));
}

/* ---- after: identity checked, configuration ours, marker gone ---- */

static int
finish_run(struct work *work)
{
	struct postgres_control control;
	char changes[2048];

	if (postgres_read_control(&work->pg, &control, work->errmsg) != 0)
		return -1;
	if (control.system_identifier != work->system_identifier) {
		snprintf(work->errmsg, ERRMSG_MAX, "the copy belongs to "
		    "another database system (identifier %llu)",
		    (unsigned long long)control.system_identifier);
		return -1;
	}
	if (postgres_set_standby(&work->pg, true, work->errmsg) != 0)
		return -1;
	if (start_write_files(work) != 0)
		return -1;
	if (postgres_take_over(&work->pg, false, changes, sizeof(changes),
	    work->errmsg) != 0)
		return -1;
	/* The clone's own marker goes when the member is one for good. */
	if (work->path[0] != '\0' && unlink(work->path) != 0 &&
	    errno != ENOENT) {
		snprintf(work->errmsg, ERRMSG_MAX, "could not remove \"%s\": "
		    "%s", work->path, strerror(errno));
		return -1;
	}
	return 0;
}

static void
finish_done(struct work *work)
{
	struct execute *ex = work->ex;

	if (work->result != 0) {
		fail(ex, "clone", work->errmsg);
		return;
	}
	ex->agent->node.control_known = false;
	ex->markers_known = false;
	if (ex->order.kind != ORDER_CLONE)
		return;
	ex->clone.step = CLONE_DONE;
	execute_result(ex, ORDER_DONE, "%s", "");
}

static void
finish(struct execute *ex, const char *marker, const char *name)
{
	struct agent *agent = ex->agent;
	char errmsg[ERRMSG_MAX];
	struct work *work;

	/* Only now is there a version to know, and its configuration. */
	if (postgres_locate(&agent->pg, &agent->conf, errmsg) != 0) {
		fail(ex, name, errmsg);
		return;
	}
	work = execute_work_new(ex);
	if (work == NULL)
		return;
	start_fill(ex, work, ex->order.upstream_id,
	    sync_text_of_standby(ex));
	if (marker != NULL)
		marker_path(ex, marker, work->path, sizeof(work->path));
	work->system_identifier = agent->state.system_identifier;
	execute_work(work, name, finish_run, finish_done);
}

void
clone_turn(struct execute *ex)
{
	struct agent *agent = ex->agent;

	if (ex->clone.step == CLONE_DONE && ex->clone.index ==
	    ex->order.index)
		return;
	if (ex->clone.index != ex->order.index) {
		clone_forget(ex);
		ex->clone.index = ex->order.index;
		ex->clone.begun = agent->now;
	}
	switch (ex->clone.step) {
	case CLONE_BEGIN:
		prepare(ex);
		break;
	case CLONE_COPY:
		copy(ex);
		break;
	case CLONE_FINISH:
		finish(ex, NULL, "clone: finish");
		break;
	default:
		break;
	}
}

/* ---- taking it back, and being done with it ---- */

static int
remove_run(struct work *work)
{
	if (!work->standby && postgres_remove_data(&work->pg,
	    work->errmsg) != 0)
		return -1;
	if (unlink(work->path) != 0 && errno != ENOENT) {
		snprintf(work->errmsg, ERRMSG_MAX, "could not remove \"%s\": "
		    "%s", work->path, strerror(errno));
		return -1;
	}
	return 0;
}

static void
remove_done(struct work *work)
{
	if (work->result != 0)
		log_error("clone", "%s", work->errmsg);
	work->ex->markers_known = false;
	work->ex->agent->node.control_known = false;
	guarded_read_control(work->ex->agent);
}

void
clone_end(struct execute *ex, bool keep)
{
	struct work *work = execute_work_new(ex);

	if (work == NULL)
		return;
	marker_path(ex, "clone", work->path, sizeof(work->path));
	work->standby = keep;
	execute_work(work, "clone: end", remove_run, remove_done);
}

/* ---- rewind ---- */

static int
mark_rewind_run(struct work *work)
{
	char directory[CONF_PATH_MAX + 64];

	snprintf(directory, sizeof(directory), "%s", work->path);
	*strrchr(directory, '/') = '\0';
	if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
		snprintf(work->errmsg, ERRMSG_MAX, "could not create "
		    "directory \"%s\": %s", directory, strerror(errno));
		return -1;
	}
	if (join_write_file(work->path, "pg_rewind is at work\n",
	    work->errmsg) != 0)
		return -1;
	return postgres_write_passfile(&work->pg, work->password,
	    work->errmsg);
}

static void
rewound(void *arg, const struct child_result *result)
{
	struct execute *ex = arg;

	child_free(ex->clone.child);
	ex->clone.child = NULL;
	ex->busy = NULL;
	ex->agent->now = monotime_now();
	if (!result->ok) {
		ex->rewind_failed = true;
		execute_result(ex, ORDER_FAILED, "pg_rewind: %.120s; remove "
		    "this node and clone it again", result->error);
		return;
	}
	log_info("rejoin", "rewound");
	finish(ex, "rewind", "rewind: finish");
}

static void
rewind_line(void *arg, const char *line, bool is_error)
{
	(void)arg;
	(void)is_error;
	log_info("rejoin", "pg_rewind: %s", line);
}

static void
marked_rewind(struct work *work)
{
	struct execute *ex = work->ex;
	char host[ADDRESS_MAX_LEN + 1], port[16], errmsg[ERRMSG_MAX];
	struct child_spec spec = { 0 };

	ex->markers_known = false;
	if (work->result != 0) {
		fail(ex, "rewind", work->errmsg);
		return;
	}
	if (!source_address(ex, host, sizeof(host), port, sizeof(port)))
		return;
	if (postgres_rewind_child(&ex->agent->pg, host, port,
	    &ex->clone.spec, errmsg) != 0) {
		fail(ex, "rewind", errmsg);
		return;
	}
	spec.argv = ex->clone.spec.args.argv;
	spec.env = ex->clone.spec.env;
	spec.line = rewind_line;
	spec.done = rewound;
	spec.arg = ex;
	ex->clone.child = child_start(ex->agent->loop, &spec, errmsg);
	if (ex->clone.child == NULL) {
		fail(ex, "rewind", errmsg);
		return;
	}
	ex->busy = "pg_rewind";
}

void
rewind_begin(struct execute *ex)
{
	char from[LSN_TEXT_MAX], to[LSN_TEXT_MAX], errmsg[ERRMSG_MAX];
	struct work *work;

	if (lsn_is_known(ex->fork_lsn))
		execute_result(ex, ORDER_RUNNING, "rewinding: its WAL ends at "
		    "%s, the cluster left that timeline at %s (%llu bytes "
		    "were never on the new primary)",
		    lsn_format(ex->end_lsn, from),
		    lsn_format(ex->fork_lsn, to), (unsigned long long)
		    (ex->end_lsn.value - ex->fork_lsn.value));
	else
		execute_result(ex, ORDER_RUNNING, "rewinding: its timeline %u "
		    "is none of the present primary's", ex->end_timeline);
	work = execute_work_new(ex);
	if (work == NULL)
		return;
	marker_path(ex, "rewind", work->path, sizeof(work->path));
	if (join_read_password(ex->agent, work->password,
	    sizeof(work->password), errmsg) != 0) {
		fail(ex, "rewind", errmsg);
		free(work);
		return;
	}
	execute_work(work, "rewind: marker", mark_rewind_run, marked_rewind);
}
