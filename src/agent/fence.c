/*
 * fence.c - the lease: asked for by the primary's agent, granted by voters,
 * and written into the page that the guard enforces.
 *
 * Judgement is core/lease.c's, killing is the guard's; this only carries.
 */
#include <stdio.h>
#include <string.h>

#include "agent.h"
#include "execute.h"
#include "log.h"

/* Until this node has measured a kill of its own. */
#define MARGIN_DEFAULT_MS 300u

/* The epoch this node is ordered to hold the lease of; 0 = none. */
static uint64_t
wanted_epoch(const struct agent *agent)
{
	struct order order;

	state_order(&agent->state, agent_self(agent), &order);
	if (order.kind != ORDER_PRIMARY && order.kind != ORDER_PROMOTE &&
	    order.kind != ORDER_STOP)
		return 0;
	/* What was given up stays so until a newer entry says otherwise. */
	if (agent->node.released_epoch == order.epoch &&
	    order.index <= agent->node.released_index)
		return 0;
	if (raftio_kept_promise(agent->raftio) > order.epoch)
		return 0;
	return order.epoch;
}

static void
update_voters(struct agent *agent)
{
	const struct raft_config *config =
	    &raftio_raft(agent->raftio)->config;
	uint32_t ids[VOTERS_MAX], count = 0, i;

	for (i = 0; i < config->count && count < VOTERS_MAX; i++)
		if (config->servers[i].voter)
			ids[count++] = config->servers[i].id;
	lease_holder_set_voters(&agent->holder, config->index, ids, count);
}

static void
send_lease(struct agent *agent, uint32_t member_id,
    const struct lease_message *message)
{
	uint8_t memory[256];
	struct buf buf;

	if (member_id == agent_self(agent)) {
		fence_message(agent, message);
		return;
	}
	buf_init(&buf, memory, sizeof(memory));
	wire_put_lease(&buf, message);
	if (!buf.failed)
		(void)agent_send(agent, member_id, FRAME_LEASE, buf.data,
		    buf.len);
}

static void
send_to_voters(struct agent *agent, const struct lease_message *message)
{
	uint32_t ids[VOTERS_MAX], count = agent->holder.voter_count, i;

	for (i = 0; i < count; i++)
		ids[i] = agent->holder.voters[i].id;
	for (i = 0; i < count; i++)
		send_lease(agent, ids[i], message);
}

static void
fill_message(const struct agent *agent, uint8_t type,
    struct lease_message *message)
{
	struct report report;

	memset(message, 0, sizeof(*message));
	message->type = type;
	message->holder_id = agent_self(agent);
	message->epoch = agent->holder.epoch;
	message->config_index = agent->holder.config_index;
	message->holder_start_ns = agent->start_ns;
	message->lease_ms = (uint32_t)agent->state.settings.lease_ms;
	if (agent->probe != NULL && type == LEASE_REQUEST) {
		memset(&report, 0, sizeof(report));
		probe_fill_report(agent->probe, agent->now, &report);
		message->lsn = report.flush_lsn;
	}
	/* Read anew, and before anything is sent. */
	message->stamp_ns = monotime_now().ns;
}

void
fence_renew(struct agent *agent)
{
	struct lease_message request;
	uint64_t epoch;

	if (agent_self(agent) == 0 || agent->stopping)
		return;
	epoch = wanted_epoch(agent);
	update_voters(agent);
	if (agent->holder.epoch != epoch) {
		if (epoch != 0)
			log_info("lease", "asking for the lease of epoch %llu",
			    (unsigned long long)epoch);
		lease_holder_begin(&agent->holder, epoch, agent->start_ns,
		    monotime_now());
	}
	if (epoch == 0)
		return;
	fill_message(agent, LEASE_REQUEST, &request);
	agent->renewed = agent->now;
	send_to_voters(agent, &request);
}

static void
voter_requested(struct agent *agent, const struct lease_message *request)
{
	const struct reign *reign = state_reign(&agent->state);
	struct lease_message reply;

	lease_voter_request(&agent->voter, request, agent_self(agent),
	    raftio_raft(agent->raftio)->config.index,
	    reign != NULL ? reign->primary_id : 0,
	    reign != NULL ? reign->epoch : 0, monotime_now(), &reply);
	if (reign != NULL && request->epoch == reign->epoch &&
	    request->holder_id == reign->primary_id)
		agent->primary_heard = agent->now;
	send_lease(agent, request->holder_id, &reply);
}

void
fence_message(struct agent *agent, const struct lease_message *message)
{
	bool was_valid;

	switch (message->type) {
	case LEASE_REQUEST:
		voter_requested(agent, message);
		break;
	case LEASE_GRANT:
		was_valid = lease_holder_is_valid(&agent->holder, agent->now);
		lease_holder_grant(&agent->holder, message,
		    (uint32_t)agent->state.settings.lease_ms);
		if (!was_valid && lease_holder_is_valid(&agent->holder,
		    agent->now)) {
			log_info("lease", "epoch %llu held, granted by a "
			    "majority",
			    (unsigned long long)agent->holder.epoch);
			agent_say(agent);
		}
		fence_check(agent);
		break;
	case LEASE_DENY:
		log_debug("lease", "denied by member %u: %s",
		    message->voter_id, message->why);
		break;
	case LEASE_RELEASE:
		lease_voter_release(&agent->voter, message, agent->now);
		break;
	default:
		break;
	}
}

bool
fence_may_write(const struct agent *agent, uint64_t epoch)
{
	return agent->holder.epoch == epoch &&
	    lease_holder_is_valid(&agent->holder, monotime_now());
}

static uint32_t
margin_ms(const struct agent *agent)
{
	uint32_t measured = agent->node.status.kill_ms * 3;

	return measured > MARGIN_DEFAULT_MS ? measured : MARGIN_DEFAULT_MS;
}

static void
write_page(struct agent *agent)
{
	struct guard_page_agent half = { 0 }, before;

	half.armed = agent->node.armed;
	half.epoch = agent->node.armed_epoch;
	half.margin_ms = margin_ms(agent);
	/* Only the lease of this very epoch moves the deadline. */
	guard_page_read_agent(agent->node.guard.page, &before);
	half.deadline_ns = before.deadline_ns;
	if (agent->holder.epoch == half.epoch &&
	    agent->holder.deadline.ns > half.deadline_ns)
		half.deadline_ns = agent->holder.deadline.ns;
	if (before.armed != half.armed || before.epoch != half.epoch ||
	    before.deadline_ns != half.deadline_ns ||
	    before.margin_ms != half.margin_ms) {
		guard_page_write_agent(agent->node.guard.page, &half);
		if (before.armed != half.armed) {
			char errmsg[ERRMSG_MAX];

			(void)guard_send(&agent->node.guard, GUARD_POKE,
			    errmsg);
		}
	}
}

void
fence_check(struct agent *agent)
{
	struct node *node = &agent->node;
	monotime_t now = monotime_now();
	int64_t left_ms;

	if (!node->guarded || node->guard.page == NULL)
		return;
	write_page(agent);
	if (!node->armed || node->status.state != GUARD_RUNNING)
		return;
	left_ms = agent->holder.epoch == node->armed_epoch ?
	    monotime_diff_ms(agent->holder.deadline, now) : 0;
	if (left_ms < agent->state.settings.lease_ms / 2 &&
	    agent->holder.epoch == node->armed_epoch &&
	    !monotime_is_never(agent->holder.deadline)) {
		log_warning("fence", "no majority has renewed the lease of "
		    "epoch %llu, %lld ms are left: stopping PostgreSQL",
		    (unsigned long long)node->armed_epoch,
		    (long long)left_ms);
		guarded_stop(agent);
	}
}

void
fence_release(struct agent *agent, uint64_t epoch)
{
	struct lease_message release;
	struct order order;

	state_order(&agent->state, agent_self(agent), &order);
	agent->node.released_epoch = epoch;
	agent->node.released_index = order.index;
	agent->node.armed = false;
	log_info("lease", "epoch %llu released: no process of its PostgreSQL "
	    "is left", (unsigned long long)epoch);
	if (agent->holder.epoch == epoch) {
		fill_message(agent, LEASE_RELEASE, &release);
		send_to_voters(agent, &release);
		lease_holder_begin(&agent->holder, 0, agent->start_ns,
		    monotime_now());
	}
	agent_say(agent);
}
