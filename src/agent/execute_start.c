/*
 * execute_start.c - the files of PostgreSQL, and starting it in its guard.
 *
 * Everything a start needs is written in one worker step, in an order in
 * which a crash between any two leaves a server that stays a standby.
 */
#include <stdio.h>
#include <string.h>

#include "execute_internal.h"
#include "log.h"

uint64_t
start_hba_hash(const struct execute *ex)
{
	const struct state *state = &ex->agent->state;
	uint64_t hash = 14695981039346656037u;
	const char *p;
	uint32_t i;

	for (i = 0; i < state->member_count; i++)
		for (p = state->members[i].pg_address; ; p++) {
			hash = (hash ^ (uint8_t)*p) * 1099511628211u;
			if (*p == '\0')
				break;
		}
	return hash;
}

static void
fill_addresses(const struct execute *ex, struct work *work)
{
	const struct state *state = &ex->agent->state;
	char port[16], errmsg[ERRMSG_MAX];
	uint32_t i;

	for (i = 0; i < state->member_count; i++) {
		if (!state->members[i].has_data)
			continue;
		if (conf_split_address(state->members[i].pg_address, "5432",
		    work->addresses[work->address_count],
		    sizeof(work->addresses[0]), port, sizeof(port),
		    errmsg) == 0)
			work->address_count++;
	}
	work->hba_hash = start_hba_hash(ex);
}

void
start_fill(struct execute *ex, struct work *work, uint32_t upstream_id,
    const char *sync)
{
	struct agent *agent = ex->agent;
	const struct member *self = state_member(&agent->state,
	    agent_self(agent));
	const struct member *upstream = state_member(&agent->state,
	    upstream_id);
	char errmsg[ERRMSG_MAX];

	work->self_id = agent_self(agent);
	work->self_incarnation = self != NULL ? self->incarnation : 0;
	memcpy(work->self_name, agent->conf.node, sizeof(work->self_name));
	work->member_count = agent->state.member_count;
	snprintf(work->sync, sizeof(work->sync), "%s", sync);
	postgres_slot_name(agent->conf.node, work->slot, sizeof(work->slot));
	work->upstream_id = upstream_id;
	if (upstream != NULL && conf_split_address(upstream->pg_address,
	    "5432", work->host, sizeof(work->host), work->port,
	    sizeof(work->port), errmsg) != 0)
		log_error("act", "%s", errmsg);
	if (upstream != NULL && join_read_password(agent, work->password,
	    sizeof(work->password), errmsg) != 0)
		log_warning("act", "%s", errmsg);
	fill_addresses(ex, work);
	work->hba_stands = ex->agent->node.guarded &&
	    ex->in_force.hba_hash == work->hba_hash;
}

/* In the worker: passfile, owned.conf, pg_hba.conf. */
int
start_write_files(struct work *work)
{
	struct postgres_owned owned = { 0 };
	struct postgres_control control;
	char errmsg[ERRMSG_MAX];
	const char *addresses[MEMBERS_MAX];
	uint32_t i;

	for (i = 0; i < work->address_count; i++)
		addresses[i] = work->addresses[i];
	owned.self_id = work->self_id;
	owned.self_incarnation = work->self_incarnation;
	owned.self_name = work->self_name;
	owned.upstream_host = work->host;
	owned.upstream_port = work->port;
	owned.slot_name = work->slot;
	owned.synchronous_standby_names = work->sync;
	owned.max_members = work->member_count;
	/* A standby is never given less than its WAL needs. */
	if ((work->standby || work->host[0] != '\0') &&
	    postgres_read_control(&work->pg, &control, errmsg) == 0 &&
	    control.exists)
		owned.control = &control;
	if (work->host[0] == '\0') {
		if (postgres_remove_passfile(&work->pg, work->errmsg) != 0)
			return -1;
	} else if (work->password[0] != '\0' &&
	    postgres_write_passfile(&work->pg, work->password,
	    work->errmsg) != 0)
		return -1;
	if (postgres_write_owned(&work->pg, &owned, work->errmsg) != 0)
		return -1;
	/* What stands there already costs no disk write during a failover. */
	return work->hba_stands ? 0 : postgres_write_hba(&work->pg, addresses,
	    work->address_count, false, work->errmsg);
}

static void
now_in_force(struct work *work)
{
	struct in_force *in_force = &work->ex->in_force;
	const struct member *upstream = state_member(
	    &work->ex->agent->state, work->upstream_id);

	in_force->known = true;
	in_force->upstream_id = work->upstream_id;
	snprintf(in_force->upstream, sizeof(in_force->upstream), "%s",
	    upstream != NULL ? upstream->pg_address : "");
	memcpy(in_force->sync, work->sync, sizeof(in_force->sync));
	in_force->hba_hash = work->hba_hash;
}

/* ---- starting ---- */

static int
start_run(struct work *work)
{
	struct postgres_argv argv;
	struct guard_options options = { 0 };

	/* standby.signal first: whatever else is lost, it stays a standby. */
	if (postgres_set_standby(&work->pg, work->standby, work->errmsg) != 0)
		return -1;
	if (start_write_files(work) != 0)
		return -1;
	if (postgres_start_argv(&work->pg, &argv, work->errmsg) != 0)
		return -1;
	options.program = work->guard_program;
	options.socket_path = work->socket_path;
	options.log_file = work->pg.log_file;
	options.data_dir = work->pg.data_dir;
	options.agent = work->page;
	options.watch_standby_signal = work->standby;
	options.postgres_argv = argv.argv;
	return guard_start(&options, work->errmsg);
}

static void
start_done(struct work *work)
{
	struct execute *ex = work->ex;
	char errmsg[ERRMSG_MAX];

	if (work->result != 0) {
		ex->start_failed = ex->agent->now;
		execute_result(ex, ORDER_RUNNING,
		    "could not start PostgreSQL: %.200s", work->errmsg);
		return;
	}
	if (guarded_attach(ex->agent, errmsg) != 0) {
		ex->start_failed = ex->agent->now;
		execute_result(ex, ORDER_RUNNING, "could not reach the guard "
		    "of PostgreSQL: %.200s", errmsg);
		return;
	}
	now_in_force(work);
	ex->in_force.waits = work->sync[0] != '\0';
	log_info("act", "PostgreSQL started as %s, postmaster %d",
	    work->standby ? "standby" : "primary",
	    (int)ex->agent->node.status.postmaster_pid);
	/* It has begun: a failure of the past is over. */
	agent_say(ex->agent);
}

void
start_postgres(struct execute *ex, bool standby, uint32_t upstream_id,
    const char *sync)
{
	struct agent *agent = ex->agent;
	struct work *work;

	/* A start that just failed is not repeated every 50 ms. */
	if (!monotime_is_never(ex->start_failed) &&
	    monotime_diff_ms(agent->now, ex->start_failed) < 1000)
		return;
	work = execute_work_new(ex);
	if (work == NULL)
		return;
	start_fill(ex, work, upstream_id, sync);
	work->standby = standby;
	work->start = true;
	if (!standby) {
		work->page.armed = 1;
		work->page.epoch = ex->order.epoch;
		work->page.deadline_ns = agent->holder.deadline.ns;
		work->page.margin_ms = 300;
	}
	snprintf(work->guard_program, sizeof(work->guard_program), "%s",
	    agent->guard_program);
	snprintf(work->socket_path, sizeof(work->socket_path),
	    "%s/guard.sock", agent->conf.run_dir);
	execute_work(work, "start PostgreSQL", start_run, start_done);
}

/* ---- rewriting under a running server ---- */

static int
rewrite_run(struct work *work)
{
	if (start_write_files(work) != 0)
		return -1;
	return postgres_reload(&work->pg, work->errmsg);
}

static void
rewrite_done(struct work *work)
{
	if (work->result == 0)
		now_in_force(work);
	else
		log_error("act", "%s", work->errmsg);
	agent_wake(work->ex->agent);
}

/* done, if given, must call nothing of the above itself. */
void
start_rewrite(struct execute *ex, uint32_t upstream_id, const char *sync,
    void (*done)(struct work *))
{
	struct work *work = execute_work_new(ex);

	if (work == NULL)
		return;
	start_fill(ex, work, upstream_id, sync);
	execute_work(work, "configuration", rewrite_run,
	    done != NULL ? done : rewrite_done);
}
