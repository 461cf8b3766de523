/*
 * say.c - the report of this node, and how the primary looks from here.
 *
 * Collects what probe, guard, lease and execute know into one report and
 * sends it to the coordinator.  Judges nothing.
 */
#include <stdio.h>
#include <string.h>

#include "agent.h"
#include "execute.h"
#include "log.h"

static void
fill_guard(const struct agent *agent, struct report *report)
{
	const struct node *node = &agent->node;

	report->guard_present = node->guarded;
	report->pg_state = (uint8_t)guarded_state(agent);
	report->postmaster_died = node->died;
	report->died_epoch = node->released_epoch;
	report->released = node->released_epoch != 0;
	if (!node->guarded && node->control_known) {
		report->stopped_clean = node->control.shut_down;
		report->shutdown_lsn = node->control.shutdown_end_lsn;
		report->system_identifier = node->control.system_identifier;
		if (report->timeline == 0)
			report->timeline = node->control.timeline;
	}
	/* The answer is given only once the promise is on disk. */
	if (raftio_kept_promise(agent->raftio) >= node->sealed_epoch)
		report->sealed_epoch = node->sealed_epoch;
	report->has_position = node->has_position;
	report->position = node->position;
	report->opened_epoch = node->opened_epoch;
	report->opened_timeline = node->opened_timeline;
	report->opened_lsn = node->opened_lsn;
}

static void
fill_lease(const struct agent *agent, struct report *report)
{
	const struct reign *reign = state_reign(&agent->state);

	if (lease_holder_is_valid(&agent->holder, agent->now)) {
		report->lease_epoch = agent->holder.epoch;
		report->lease_left_ms = (uint32_t)monotime_diff_ms(
		    agent->holder.deadline, agent->now);
	}
	report->primary_silence_ms = (uint32_t)monotime_diff_ms(agent->now,
	    agent->primary_heard);
	report->primary_port = agent->primary_port;
	report->primary_heard = agent->voter.heard_position;
	report->clear = reign != NULL && lease_voter_is_clear(&agent->voter,
	    reign->epoch, (uint32_t)agent->state.settings.lease_ms,
	    agent->now);
}

void
say_report(struct agent *agent, struct report *report)
{
	const struct member *self;

	memset(report, 0, sizeof(*report));
	if (agent->probe != NULL)
		probe_fill_report(agent->probe, agent->now, report);
	report->member_id = agent_self(agent);
	self = state_member(&agent->state, report->member_id);
	report->incarnation = self != NULL ? self->incarnation : 0;
	report->agent_start_ns = agent->start_ns;
	report->store_generation = raftio_store_generation(agent->raftio);
	report->applied_index = agent->state.applied;
	report->promise = raftio_kept_promise(agent->raftio);
	if (agent->conf.has_postgresql)
		fill_guard(agent, report);
	else
		report->pg_state = PG_ABSENT;
	fill_lease(agent, report);
	execute_fill_report(agent->execute, report);
}

void
say_send(struct agent *agent)
{
	static uint8_t memory[sizeof(struct report) * 2];
	uint32_t coordinator = agent_coordinator(agent);
	struct report report;
	struct buf buf;

	if (agent_self(agent) == 0 || coordinator == 0)
		return;
	say_report(agent, &report);
	if (coordinator == agent_self(agent)) {
		state_hear(&agent->view, &report, agent->now);
		return;
	}
	buf_init(&buf, memory, sizeof(memory));
	wire_put_report(&buf, &report);
	if (!buf.failed)
		(void)agent_send(agent, coordinator, FRAME_REPORT, buf.data,
		    buf.len);
}

void
say_heard(struct agent *agent, const char *from, const uint8_t *data,
    size_t len)
{
	const struct member *member = state_member_named(&agent->state, from);
	struct report report;
	struct reader reader;

	reader_init(&reader, data, len);
	if (wire_get_report(&reader, &report) != 0) {
		log_warning("say", "report of %s is damaged", from);
		return;
	}
	if (member == NULL || member->id != report.member_id)
		return;
	if (!raftio_is_leader(agent->raftio))
		return;
	state_hear(&agent->view, &report, agent->now);
	agent_wake(agent);
}

/* ---- the primary, seen from here ---- */

static void
port_answered(void *arg, int answer)
{
	struct agent *agent = arg;

	agent->port_asking = false;
	if (agent->primary_port != answer)
		log_info("look", "the primary's PostgreSQL port %s",
		    port_answer_name((unsigned)answer));
	agent->primary_port = (uint8_t)answer;
	agent_say(agent);
}

void
say_look_at_primary(struct agent *agent)
{
	const struct reign *reign = state_reign(&agent->state);
	const struct member *primary;
	int64_t silence_ms;

	if (reign == NULL)
		return;
	if (reign->epoch != agent->primary_heard_epoch) {
		agent->primary_heard_epoch = reign->epoch;
		agent->primary_heard = agent->now;
		agent->primary_port = PORT_NOT_TRIED;
	}
	silence_ms = monotime_diff_ms(agent->now, agent->primary_heard);
	if (silence_ms < agent->state.settings.detect_ms / 2) {
		agent->primary_port = PORT_NOT_TRIED;
		return;
	}
	primary = state_member(&agent->state, reign->primary_id);
	if (agent->port_asking || primary == NULL ||
	    primary->id == agent_self(agent))
		return;
	if (probe_port(agent->loop, primary->pg_address,
	    (uint32_t)agent->state.settings.detect_ms / 2, port_answered,
	    agent) == 0)
		agent->port_asking = true;
}
