/*
 * node.c - one host and its agent: clock, crash and freeze, and every turn
 * look, say, agree, decide, fence, act, as src/agent does it.
 */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mutant.h"

#define TURN		(50 * MS)
#define MARGIN_MS	300

/* ---- clock ---- */

int64_t
node_local(const struct node *node)
{
	int64_t passed = sim.now - node->clock_at;

	return node->clock_local + passed + passed / 1000000 *
	    node->clock_ppm;
}

int64_t
node_until(const struct node *node, int64_t local)
{
	int64_t left = local - node_local(node);

	if (left <= 0)
		return 0;
	return left - left / 1000000 * node->clock_ppm + MS / 100;
}

static int64_t
wall_us(const struct node *node)
{
	return 1700000000000000 + node->wall_us + sim.now / 1000;
}

bool
node_agent_runs(const struct node *node)
{
	return node->host_up && node->agent_up &&
	    node->host_frozen <= sim.now && node->agent_frozen <= sim.now;
}

struct node *
node_of(uint32_t member_id)
{
	return member_id >= 1 && member_id <= sim.node_count ?
	    sim.nodes[member_id - 1] : NULL;
}

/* ---- look ---- */

enum pg_state
node_pg_state(const struct node *node)
{
	if (!node->has_data)
		return PG_ABSENT;
	if (!node->guarded) {
		if (!node->control_known)
			return PG_UNKNOWN;
		return node->control.exists ? PG_STOPPED : PG_ABSENT;
	}
	if (node->guard.run != GUARD_RUNS)
		return PG_STOPPING;
	if (!node->was_answering)
		return PG_STARTING;
	if (node->silent_since != 0 && node_local(node) -
	    node->silent_since >= node->state->settings.hang_ms * MS)
		return PG_HUNG;
	return PG_RUNNING;
}

static lsn_t
lsn_of(uint32_t record)
{
	return (lsn_t){ record != 0 ? wal_lsn(record) : 0 };
}

static void
sample_standby(struct node *node, struct sample *s)
{
	const struct pg *pg = &node->pg;
	uint32_t upstream = pg->receiver_from;

	s->role = PG_ROLE_STANDBY;
	s->receive = lsn_of(pg->received);
	s->replay = lsn_of(pg->replayed);
	s->paused = pg->paused;
	s->parked = pg_is_parked(node);
	s->streaming = pg->receiver == RECEIVER_STREAMING;
	s->upstream_id = s->streaming ? upstream : 0;
	if (s->streaming && wal_get(pg->written)->timeline >
	    s->received_timeline)
		s->received_timeline = wal_get(pg->written)->timeline;
	s->timeline = s->received_timeline;
	/*
	 * From the names of the WAL files: an agent that has just begun saw
	 * no walreceiver, and pg_control follows late.
	 */
	if (wal_get(node->pgdisk.flushed)->timeline > s->timeline &&
	    !RULE_OFF("timeline-of-wal"))
		s->timeline = wal_get(node->pgdisk.flushed)->timeline;
	if (node->pgdisk.timeline > s->timeline)
		s->timeline = node->pgdisk.timeline;
	if (node->pgdisk.min_recovery_timeline > s->timeline)
		s->timeline = node->pgdisk.min_recovery_timeline;
}

static void
sample_primary(struct node *node, struct sample *s)
{
	const struct pg *pg = &node->pg;
	uint32_t i;

	s->role = PG_ROLE_PRIMARY;
	s->timeline = wal_get(pg->inserted)->timeline;
	s->insert = lsn_of(pg->inserted);
	s->flush = lsn_of(node->pgdisk.flushed);
	s->streaming = s->paused = s->parked = false;
	s->upstream_id = 0;
	s->receive = s->replay = (lsn_t){ 0 };
	s->sender_count = 0;
	for (i = 0; i < NODES_MAX; i++) {
		const struct sender *sender = &pg->senders[i];
		struct walsender *w = &s->senders[s->sender_count];

		if (!sender->used)
			continue;
		memset(w, 0, sizeof(*w));
		w->member_id = sender->member_id;
		w->incarnation = sender->incarnation;
		w->streaming = sender->streaming;
		w->sent = lsn_of(sender->sent);
		w->flush = lsn_of(sender->flush);
		w->replay = lsn_of(sender->replay);
		w->sync_priority = sender->priority;
		s->sender_count++;
	}
}

static void
probe_answered(struct sim_event *event)
{
	struct node *node = event->node;
	struct sample *s = &node->sample;

	node->probing = false;
	if (!node->guarded || node->guard.run != GUARD_RUNS ||
	    event->a != node->guard.life)
		return;
	if (!pg_answers(node)) {
		if (node->silent_since == 0)
			node->silent_since = node_local(node);
		s->layer = PROBE_CONNECT_TIMEOUT;
		return;
	}
	node->silent_since = 0;
	s->layer = PROBE_OK;
	s->known = true;
	s->taken = node_local(node);
	if (node->pg.run == PG_RECOVERY)
		sample_standby(node, s);
	else
		sample_primary(node, s);
	if (s->parked)
		node->has_parked = true;
	if (!node->was_answering) {
		node->was_answering = true;
		node_say(node);
	}
	node_wake(node);
}

static void
look(struct node *node)
{
	if (!node->guarded || node->guard.run != GUARD_RUNS || node->probing)
		return;
	node->probing = true;
	sim_plan(sim_delay(MS, 50 * MS), probe_answered, node,
	    LAYER_AGENT)->a = node->guard.life;
}

static void
control_read(struct sim_event *event)
{
	struct node *node = event->node;

	if (node->guarded)
		return;
	node->control = node->pgdisk;
	if (!node->control_known) {
		node->control_known = true;
		node_say(node);
	}
}

void
node_read_control(struct node *node)
{
	sim_plan(sim_delay(MS, 50 * MS), control_read, node, LAYER_AGENT);
}

/* How the primary looks from here. */
static void
port_silent(struct sim_event *event)
{
	struct node *node = event->node;

	if (!node->port_asking || node->port_life != event->a)
		return;
	node->port_asking = false;
	node->primary_port = PORT_SILENT;
	node_say(node);
}

static void
look_at_primary(struct node *node)
{
	const struct reign *reign = state_reign(node->state);
	int64_t detect = node->state->settings.detect_ms * MS;

	if (reign == NULL)
		return;
	if (reign->epoch != node->primary_heard_epoch) {
		node->primary_heard_epoch = reign->epoch;
		node->primary_heard = node->now.ns;
		node->primary_port = PORT_NOT_TRIED;
	}
	if (node->now.ns - node->primary_heard < detect / 2) {
		node->primary_port = PORT_NOT_TRIED;
		return;
	}
	if (node->port_asking || reign->primary_id == node->id ||
	    node_of(reign->primary_id) == NULL)
		return;
	node->port_asking = true;
	node->port_life = sim_random();
	net_send(node, node_of(reign->primary_id), NET_PORT_ASK, NULL, 0, 0,
	    node->port_life, 0, 0);
	sim_plan(detect / 2, port_silent, node, LAYER_AGENT)->a =
	    node->port_life;
}

/* ---- fence ---- */

static uint64_t
wanted_epoch(const struct node *node)
{
	struct order order;

	state_order(node->state, node->id, &order);
	if (order.kind != ORDER_PRIMARY && order.kind != ORDER_PROMOTE &&
	    order.kind != ORDER_STOP)
		return 0;
	if (node->released_epoch == order.epoch &&
	    order.index <= node->released_index)
		return 0;
	if (node->io.disk.promise > order.epoch)
		return 0;
	return order.epoch;
}

static void	take_lease(struct node *node, const struct lease_message *m);

static void
send_lease(struct node *node, uint32_t member_id,
    const struct lease_message *m)
{
	struct node *to = node_of(member_id);

	if (to == node)
		take_lease(node, m);
	else if (to != NULL)
		net_send(node, to, NET_LEASE, m, sizeof(*m), 0, 0, 0, 0);
}

static void
send_to_voters(struct node *node, const struct lease_message *m)
{
	uint32_t ids[VOTERS_MAX], count = node->holder.voter_count, i;

	for (i = 0; i < count; i++)
		ids[i] = node->holder.voters[i].id;
	for (i = 0; i < count; i++)
		send_lease(node, ids[i], m);
}

static void
fill_lease(const struct node *node, uint8_t type, struct lease_message *m)
{
	memset(m, 0, sizeof(*m));
	m->type = type;
	m->holder_id = node->id;
	m->epoch = node->holder.epoch;
	m->config_index = node->holder.config_index;
	m->holder_start_ns = node->start_ns;
	m->lease_ms = (uint32_t)node->state->settings.lease_ms;
	if (type == LEASE_REQUEST)
		m->lsn = node->sample.flush;
	m->stamp_ns = node_local(node);	/* read before it is sent */
	if (RULE_OFF("lease-stamp-at-send"))
		m->stamp_ns += node->state->settings.lease_ms * MS / 2;
}

void
node_renew(struct node *node)
{
	const struct raft_config *config = &node->io.raft->config;
	uint32_t ids[VOTERS_MAX], count = 0, i;
	struct lease_message request;
	uint64_t epoch = wanted_epoch(node);

	for (i = 0; i < config->count && count < VOTERS_MAX; i++)
		if (config->servers[i].voter)
			ids[count++] = config->servers[i].id;
	lease_holder_set_voters(&node->holder, config->index, ids, count);
	if (node->holder.epoch != epoch)
		lease_holder_begin(&node->holder, epoch, node->start_ns,
		    (monotime_t){ node_local(node) });
	if (epoch == 0)
		return;
	fill_lease(node, LEASE_REQUEST, &request);
	node->renewed = node->now.ns;
	send_to_voters(node, &request);
}

static void
take_request(struct node *node, const struct lease_message *request)
{
	const struct reign *reign = state_reign(node->state);
	struct lease_message reply;

	lease_voter_request(&node->voter, request, node->id,
	    node->io.raft->config.index,
	    reign != NULL ? reign->primary_id : 0,
	    reign != NULL ? reign->epoch : 0,
	    (monotime_t){ node_local(node) }, &reply);
	if (reign != NULL && request->epoch == reign->epoch &&
	    request->holder_id == reign->primary_id)
		node->primary_heard = node->now.ns;
	send_lease(node, request->holder_id, &reply);
}

static void
take_lease(struct node *node, const struct lease_message *m)
{
	bool was_valid;

	switch (m->type) {
	case LEASE_REQUEST:
		take_request(node, m);
		break;
	case LEASE_GRANT:
		was_valid = lease_holder_is_valid(&node->holder, node->now);
		lease_holder_grant(&node->holder, m,
		    (uint32_t)node->state->settings.lease_ms);
		if (!was_valid && lease_holder_is_valid(&node->holder,
		    node->now))
			node_say(node);
		node_fence_check(node);
		break;
	case LEASE_RELEASE:
		lease_voter_release(&node->voter, m, node->now);
		break;
	default:
		break;
	}
}

bool
node_may_write(const struct node *node, uint64_t epoch)
{
	return node->holder.epoch == epoch && lease_holder_is_valid(
	    &node->holder, (monotime_t){ node_local(node) });
}

void
node_fence_check(struct node *node)
{
	int64_t deadline = node->guard.deadline, left;

	if (!node->guarded)
		return;
	if (node->holder.epoch == node->armed_epoch &&
	    node->holder.deadline.ns > deadline)
		deadline = node->holder.deadline.ns;
	if (node->armed != node->guard.armed || node->armed_epoch !=
	    node->guard.epoch || deadline != node->guard.deadline)
		guard_page(node, node->armed, node->armed_epoch, deadline);
	if (!node->armed || node->guard.run != GUARD_RUNS ||
	    node->holder.epoch != node->armed_epoch ||
	    monotime_is_never(node->holder.deadline))
		return;
	left = node->holder.deadline.ns - node_local(node);
	if (left < node->state->settings.lease_ms * MS / 2) {
		sim_say(node, "half of the lease is gone: stops");
		guard_stop(node);
	}
}

void
node_release(struct node *node, uint64_t epoch)
{
	struct lease_message release;
	struct order order;

	state_order(node->state, node->id, &order);
	node->released_epoch = epoch;
	node->released_index = order.index;
	node->armed = false;
	sim_say(node, "releases epoch %llu", (unsigned long long)epoch);
	if (node->holder.epoch == epoch) {
		fill_lease(node, LEASE_RELEASE, &release);
		send_to_voters(node, &release);
		lease_holder_begin(&node->holder, 0, node->start_ns,
		    (monotime_t){ node_local(node) });
	}
	node_say(node);
}

void
node_none_left(struct node *node)
{
	uint64_t epoch = node->armed ? node->armed_epoch : 0;
	bool stopped = node->guard.why == WHY_STOPPED;

	node->died = !stopped && node->guard.why != WHY_ORDERED;
	node->guarded = node->was_answering = node->has_parked = false;
	node->control_known = node->has_position = false;
	node->sealed_epoch = 0;
	memset(&node->sample, 0, sizeof(node->sample));
	node->silent_since = 0;
	act_forget(node);
	if (epoch != 0 && !(stopped &&
	    node->act.order.kind == ORDER_STOP))
		node_release(node, epoch);
	node_read_control(node);
	node_say(node);
}

/* ---- say ---- */

static void
fill_sample(const struct node *node, struct report *r)
{
	const struct sample *s = &node->sample;

	r->probe = s->layer;
	r->pg_role = s->role;
	r->timeline = s->timeline;
	r->insert_lsn = s->insert;
	r->flush_lsn = s->flush;
	r->receive_lsn = s->receive;
	r->replay_lsn = s->replay;
	r->replay_paused = s->paused;
	r->receiver_streaming = s->streaming;
	r->upstream_id = s->upstream_id;
	r->walsender_count = s->sender_count;
	memcpy(r->walsenders, s->senders,
	    s->sender_count * sizeof(s->senders[0]));
}

static void
fill_node(const struct node *node, struct report *r)
{
	r->guard_present = node->guarded;
	r->pg_state = (uint8_t)node_pg_state(node);
	r->postmaster_died = node->died;
	r->died_epoch = node->released_epoch;
	r->released = node->released_epoch != 0;
	if (!node->guarded && node->control_known) {
		r->stopped_clean = node->control.shut_down;
		r->shutdown_lsn = (lsn_t){ node->control.shutdown_lsn };
		if (r->timeline == 0)
			r->timeline = node->control.timeline;
	}
	r->sealed_epoch = node->sealed_epoch;
	r->has_position = node->has_position;
	r->position = node->position;
	r->opened_epoch = node->opened_epoch;
	r->opened_timeline = node->opened_timeline;
	r->opened_lsn = node->opened_lsn;
}

static void
make_report(struct node *node, struct report *r)
{
	const struct member *self = state_member(node->state, node->id);
	const struct reign *reign = state_reign(node->state);
	monotime_t now = { node_local(node) };

	memset(r, 0, sizeof(*r));
	if (node->has_data)
		fill_sample(node, r);
	r->member_id = node->id;
	r->incarnation = self != NULL ? self->incarnation : 0;
	r->agent_start_ns = node->start_ns;
	r->store_generation = node->io.disk.generation;
	r->applied_index = node->state->applied;
	r->promise = RULE_OFF("promise-durable") ? node->io.promise_wanted :
	    node->io.disk.promise;
	if (node->has_data)
		fill_node(node, r);
	else
		r->pg_state = PG_ABSENT;
	if (lease_holder_is_valid(&node->holder, now)) {
		r->lease_epoch = node->holder.epoch;
		r->lease_left_ms = (uint32_t)monotime_diff_ms(
		    node->holder.deadline, now);
	}
	r->primary_silence_ms = (uint32_t)((node->now.ns -
	    node->primary_heard) / MS);
	r->primary_port = node->primary_port;
	r->primary_heard = node->voter.heard_position;
	r->clear = reign != NULL && lease_voter_is_clear(&node->voter,
	    reign->epoch, (uint32_t)node->state->settings.lease_ms, now);
	act_fill_report(node, r);
}

static void
send_report(struct node *node)
{
	struct node *to = node_of(node->io.raft->leader);
	struct report report;

	if (to == NULL)
		return;
	make_report(node, &report);
	if (to == node)
		state_hear(node->view, &report, node->now);
	else
		net_send(node, to, NET_REPORT, &report, sizeof(report), 0, 0,
		    0, 0);
}

/* ---- decide ---- */

static void
reset_coordinator(struct node *node)
{
	monotime_t now = { node_local(node) };

	node->view_term = node->io.raft->term;
	view_reset(node->view, now);
	node->proposal_pending = false;
	node->leader_since = node->io.raft->role == RAFT_LEADER ? now :
	    monotime_never();
	node->phase_since = node->config_since = node->job_step_since = now;
	node->phase_index = node->config_index = node->job_step_index = 0;
}

static void
follow_times(struct node *node)
{
	const struct state *state = node->state;
	const struct job *job = state_running_job(state, 0);
	uint64_t phase = state->seal_index;
	uint32_t i;

	if (state->promote_index > phase)
		phase = state->promote_index;
	if (state->opened_index > phase)
		phase = state->opened_index;
	if (phase != node->phase_index) {
		node->phase_index = phase;
		node->phase_since = node->now;
	}
	if (node->io.raft->config.index != node->config_index) {
		node->config_since = node->now;
		node->config_index = node->io.raft->config.index;
	}
	for (i = 0; i < state->job_count; i++)
		if (state->jobs[i].status == JOB_RUNNING &&
		    state->jobs[i].kind != JOB_CLONE)
			job = &state->jobs[i];
	if (job != NULL && job->step_index != node->job_step_index) {
		node->job_step_index = job->step_index;
		node->job_step_since = node->now;
	}
}

static void
act_on(struct node *node, const struct decision *d)
{
	switch (d->action) {
	case DECIDE_PROPOSE:
		node->proposal_pending = true;
		consensus_propose(node, &d->command, true);
		return;
	case DECIDE_TRANSFER:
		consensus_transfer(node, d->member_id);
		return;
	case DECIDE_ADD_LEARNER:
		consensus_change(node, RAFT_ADD_LEARNER, d->member_id);
		return;
	case DECIDE_PROMOTE_VOTER:
		consensus_change(node, RAFT_PROMOTE_VOTER, d->member_id);
		return;
	case DECIDE_DEMOTE_VOTER:
		consensus_change(node, RAFT_DEMOTE_VOTER, d->member_id);
		return;
	case DECIDE_REMOVE_SERVER:
		consensus_change(node, RAFT_REMOVE, d->member_id);
		return;
	default:
		return;
	}
}

static void
say_trace(const struct node *node, const struct trace *trace)
{
	const char *line = trace->text;

	while (sim.options.verbose && *line != '\0') {
		size_t len = strcspn(line, "\n");

		sim_say(node, "decides: %.*s", (int)len, line);
		line += len + (line[len] == '\n');
	}
}

static void
coordinate(struct node *node)
{
	struct decide_input input;
	struct decision decision;
	struct report own;

	if (!consensus_is_leader(node))
		return;
	follow_times(node);
	if ((!consensus_may_decide(node) && !RULE_OFF("may-decide")) ||
	    node->proposal_pending)
		return;
	make_report(node, &own);
	state_hear(node->view, &own, node->now);
	memset(&input, 0, sizeof(input));
	input.state = node->state;
	input.view = node->view;
	input.config = &node->io.raft->config;
	input.self = node->id;
	input.now = node->now;
	input.leader_since = node->leader_since;
	input.phase_since = node->phase_since;
	input.config_since = node->config_since;
	input.job_step_index = node->job_step_index;
	input.job_step_since = node->job_step_since;
	input.time_us = wall_us(node);
	trace_reset(&node->trace);
	decide(&input, &decision, &node->trace);
	if (decision.action == DECIDE_NOTHING)
		return;
	check_decides(node);
	if (decision.action != DECIDE_PROPOSE) {
		if (node->now.ns - node->changed <
		    node->state->settings.election_ms * MS)
			return;
		node->changed = node->now.ns;
	}
	say_trace(node, &node->trace);
	act_on(node, &decision);
}

/* ---- the turn ---- */

static void
turn(struct node *node)
{
	bool beat;

	if (!node->joined)
		return;
	node->now.ns = node_local(node);
	beat = node->now.ns >= node->next_beat;
	if (beat) {
		node->next_beat = node->now.ns +
		    node->state->settings.heartbeat_ms * MS;
		look(node);
		look_at_primary(node);
		node_renew(node);
	}
	if (beat || node->say_at_once) {
		node->say_at_once = false;
		send_report(node);
	}
	coordinate(node);
	node_fence_check(node);
	act_turn(node);
}

static void
on_beat(struct sim_event *event)
{
	struct node *node = event->node;

	sim_plan(TURN, on_beat, node, LAYER_AGENT);
	turn(node);
}

static void
on_wake(struct sim_event *event)
{
	event->node->turn_planned = false;
	turn(event->node);
}

void
node_wake(struct node *node)
{
	if (node->turn_planned || !node->agent_up)
		return;
	node->turn_planned = true;
	sim_plan(MS / 50, on_wake, node, LAYER_AGENT);
}

void
node_say(struct node *node)
{
	node->say_at_once = true;
	node_wake(node);
}

/* ---- what comes in ---- */

void
node_message(struct node *node, const struct net_message *m)
{
	node->now.ns = node_local(node);
	if (!node->joined)
		return;
	switch (m->kind) {
	case NET_RAFT:
		consensus_receive(node, m);
		break;
	case NET_REPORT:
		if (state_member(node->state, m->from + 1) == NULL ||
		    !consensus_is_leader(node))
			return;
		state_hear(node->view, (const void *)m->data, node->now);
		node_wake(node);
		break;
	case NET_LEASE:
		take_lease(node, (const void *)m->data);
		break;
	default:
		if (!node->port_asking || node->port_life != m->b)
			return;
		node->port_asking = false;
		node->primary_port = (uint8_t)m->a;
		node_say(node);
		break;
	}
}

void
node_applied(struct node *node, const struct raft_entry *entry,
    uint64_t index, bool effect, const char *why)
{
	if (entry->type == RAFT_ENTRY_COMMAND && !effect)
		sim_say(node, "entry %llu had no effect: %s",
		    (unsigned long long)index, why);
	node_say(node);
}

void
node_restored(struct node *node)
{
	node_say(node);
}

void
node_role(struct node *node)
{
	const struct raft *raft = node->io.raft;

	if (raft->term != node->view_term ||
	    monotime_is_never(node->leader_since) ==
	    (raft->role == RAFT_LEADER))
		reset_coordinator(node);
	node_say(node);
}

void
node_promise_kept(struct node *node, uint64_t promise)
{
	node->voter.promise = promise;
	sim_say(node, "promised epoch %llu", (unsigned long long)promise);
	node_say(node);
}

/* ---- life and death ---- */

/* What a process that has just begun knows: nothing. */
static void
forget(struct node *node)
{
	struct node kept = *node;

	memset((char *)node + offsetof(struct node, guarded), 0,
	    sizeof(*node) - offsetof(struct node, guarded));
	node->view = kept.view;
	memset(node->view, 0, sizeof(*node->view));
	node->turn_planned = node->say_at_once = false;
	node->next_beat = 0;
}

/* A guard that lives already is attached to. */
static void
find_guard(struct node *node)
{
	if (!node->has_data)
		return;
	if (node->guard.run == GUARD_NONE ||
	    node->guard.run == GUARD_IS_GONE) {
		node_read_control(node);
		return;
	}
	node->guarded = true;
	node->armed = node->guard.armed;
	node->armed_epoch = node->guard.epoch;
}

void
node_start_agent(struct node *node)
{
	if (!node->host_up || node->agent_up)
		return;
	sim_say(node, "agent starts");
	node->agent_up = true;
	node->agent_life++;
	node->agent_frozen = 0;
	forget(node);
	node->now.ns = node_local(node);
	node->start_ns = (uint64_t)node->now.ns;
	node->primary_heard = node->now.ns;
	lease_voter_init(&node->voter, node->now);
	node->voter.promise = node->io.disk.promise;
	consensus_start(node);
	find_guard(node);
	sim_plan(MS, on_beat, node, LAYER_AGENT);
}

void
node_kill_agent(struct node *node)
{
	if (!node->agent_up)
		return;
	sim_say(node, "agent dies");
	node->agent_up = false;
	node->agent_life++;
	consensus_stop(node);
}

void
node_crash_host(struct node *node)
{
	if (!node->host_up)
		return;
	sim_say(node, "host crashes");
	node_kill_agent(node);
	node->host_up = false;
	node->host_life++;
	node->host_frozen = 0;
	pg_power_cut(node);
	node->guard.run = GUARD_NONE;
	node->guard.life++;
}

void
node_boot_host(struct node *node)
{
	if (node->host_up)
		return;
	node->host_up = true;
	node->host_life++;
	node->clock_at = sim.now;
	node->clock_local = sim_between(SECOND, 100 * SECOND);
	sim_say(node, "host boots");
	node_start_agent(node);
}

void
node_freeze_agent(struct node *node, int64_t duration)
{
	sim_say(node, "agent freezes for %.3f s", (double)duration / 1e9);
	node->agent_frozen = sim.now + duration;
}

void
node_freeze_host(struct node *node, int64_t duration, bool clock_too)
{
	sim_say(node, "host freezes for %.3f s%s", (double)duration / 1e9,
	    clock_too ? ", its clock as well" : "");
	if (clock_too) {
		node->clock_local = node_local(node) - duration;
		node->clock_at = sim.now;
		sim.clocks_lie = true;
	}
	node->host_frozen = sim.now + duration;
}
