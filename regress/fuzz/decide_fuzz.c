/*
 * decide_fuzz.c - the coordinator's decision on any state and any reports.
 *
 * Every byte of the input picks one value from the few that matter, so that
 * ids, epochs and positions meet each other.  The state is one that can be
 * decoded.  Whatever it is, a decision is made without a failed assertion,
 * fits in an entry, is decoded as what was encoded, has an effect upon the
 * state that it was made on, and leaves one that can be stored.
 */
#include <stdio.h>
#include <string.h>

#include "decide.h"
#include "fuzz.h"
#include "wire.h"

#define TIME_US	1700000000000000
#define NOW_MS	1000000
#define STEPS	12

static struct {
	const uint8_t *data;
	size_t size, pos;
} input;

static struct state state, decoded;
static struct view view;
static struct raft_config config;
static struct decision decision;
static struct trace trace;
static uint8_t memory[SNAPSHOT_MAX], memory_again[ENTRY_DATA_MAX];

/* 0 to below - 1; 0 for ever when the input has ended. */
static uint32_t
pick(uint32_t below)
{
	if (input.pos == input.size)
		return 0;
	return input.data[input.pos++] % below;
}

static bool
maybe(void)
{
	return pick(2) == 1;
}

static lsn_t
pick_lsn(void)
{
	static const uint64_t values[] = { 0, 0x2ffffff, 0x3000000,
		0x3000001, 0x3100000, 0x4000000, UINT64_MAX };

	return (lsn_t){ values[pick(7)] };
}

static monotime_t
pick_time(void)
{
	static const int64_t ages_ms[] = { 0, 100, 300, 700, 1600, 2500,
		6000, 40000, 100000 };

	return monotime_from_ms(NOW_MS - ages_ms[pick(9)]);
}

/* ---- the state ---- */

static void
pick_settings(struct settings *settings)
{
	settings_init(settings);
	settings->sync_standbys = 1 + pick(3);
	settings->durability = pick(3);
	settings->failover_wait = pick(2);
	if (maybe())
		settings->max_lag_bytes = maybe() ? 0 : INT64_MAX;
	if (maybe())
		settings->lease_ms = 120000;
}

static void
pick_members(void)
{
	uint32_t i;

	state.member_count = pick(8) == 7 ? MEMBERS_MAX : pick(6);
	state.next_member_id = 1;
	for (i = 0; i < state.member_count; i++) {
		struct member *m = &state.members[i];

		m->id = state.next_member_id;
		state.next_member_id += 1 + pick(2);
		m->incarnation = 1 + pick(2);
		m->phase = (uint8_t)(MEMBER_READY - pick(3));
		m->voter = !maybe();
		m->has_data = pick(4) != 1;
		m->no_failover = pick(4) == 1;
		m->priority = (int32_t)pick(3) - 1;
		/* The longest name there may be. */
		snprintf(m->name, sizeof(m->name), "%s%u", maybe() ?
		    "n23456789012345678901234567" : "n", i + 1);
	}
}

static uint32_t
pick_member(void)
{
	return pick(8) == 7 ? 99 : pick(state.member_count + 1);
}

static void
pick_list(struct sync_list *list)
{
	uint8_t i;

	list->k = (uint8_t)pick(4);
	list->count = (uint8_t)(pick(8) == 7 ? SYNC_MAX : pick(4));
	for (i = 0; i < list->count; i++) {
		list->names[i].member_id = 1 + i + pick(2);
		list->names[i].incarnation = 1 + pick(2);
	}
}

static void
pick_reigns(void)
{
	uint32_t i;

	state.reign_count = pick(16) == 15 ? LEDGER_MAX : 1 + pick(4);
	for (i = 0; i < state.reign_count; i++) {
		struct reign *r = &state.reigns[i];

		r->epoch = i + 1;
		r->primary_id = pick_member();
		r->primary_incarnation = 1 + pick(2);
		r->timeline = i + pick(2);
		r->begin_lsn = pick_lsn();
		r->opened = !maybe();
		r->lossy = maybe();
	}
	state.seal = state.reign_count + pick(2);
	state.seal_index = pick(4);
	state.promote_index = pick(4);
	state.opened_index = pick(4);
}

static void
pick_covers(void)
{
	struct sync_list list;
	uint32_t i;

	/* The newest epoch always has one. */
	state.cover_count = pick(8) == 7 ? COVERS_MAX : 1 + pick(3);
	for (i = 0; i < state.cover_count; i++) {
		memset(&list, 0, sizeof(list));
		pick_list(&list);
		cover_from_list(&state.covers[i], state.reign_count -
		    (state.cover_count - 1 - i) % state.reign_count,
		    pick_member(), &list);
		state.covers[i].next_begin = pick_lsn();
	}
}

static void
pick_jobs(void)
{
	uint32_t i;

	state.job_count = pick(3);
	state.next_job_id = state.job_count + 1;
	for (i = 0; i < state.job_count; i++) {
		struct job *job = &state.jobs[i];

		job->id = i + 1;
		job->kind = (uint8_t)(JOB_CLONE + pick(3));
		job->status = (uint8_t)(JOB_RUNNING + pick(2));
		job->step = (uint8_t)(JOB_STEP_SSH + pick(JOB_STEP_END));
		job->member_id = pick_member();
		job->epoch = state.reign_count - pick(2);
		job->accept_data_loss = maybe();
		job->step_index = pick(4);
		snprintf(job->name, sizeof(job->name), "n9");
		memset(job->text, 'x', maybe() ? JOB_TEXT_MAX : 9);
	}
}

static void
pick_state(void)
{
	state_init(&state);
	state.generation = 1;
	state.applied = 100;
	state.version = 5;
	pick_settings(&state.settings);
	pick_members();
	pick_reigns();
	pick_covers();
	pick_jobs();
	pick_list(&state.sync);
	state.sync_version = 3;
	state.sync_settled = maybe();
	state.paused_until_us = pick(4) == 1 ? TIME_US + 1 : 0;
	memset(state.seal_why, 'w', maybe() ? TEXT_MAX_LEN : 3);
}

/* ---- what is heard ---- */

static void
pick_walsenders(struct report *r)
{
	uint32_t i;

	r->walsender_count = pick(4);
	for (i = 0; i < r->walsender_count; i++) {
		r->walsenders[i].member_id = pick_member();
		r->walsenders[i].incarnation = 1 + pick(2);
		r->walsenders[i].streaming = !maybe();
		r->walsenders[i].flush = pick_lsn();
	}
}

static void
pick_standing(struct report *r)
{
	uint64_t last = state.reign_count;

	r->released = maybe();
	r->died_epoch = last - pick(2);
	r->lease_epoch = maybe() ? last : 0;
	r->stopped_clean = maybe();
	r->shutdown_lsn = pick_lsn();
	r->primary_silence_ms = maybe() ? 2000 : 0;
	r->primary_port = (uint8_t)pick(PORT_SILENT + 1);
	r->promise = state.seal - pick(2);
	r->sealed_epoch = state.seal - pick(2);
	r->has_position = !maybe();
	r->position.epoch = last - pick(2);
	r->position.lsn = pick_lsn();
	r->clear = maybe();
	r->primary_heard.epoch = last - pick(2);
	r->primary_heard.lsn = pick_lsn();
	r->order_index = pick(4);
	r->order_result = (uint8_t)pick(ORDER_FAILED + 1);
	r->opened_epoch = last - pick(2);
	r->opened_timeline = 1 + pick(4);
	r->opened_lsn = pick_lsn();
	r->sync_version = state.sync_version - pick(2);
	memset(r->message, 'm', maybe() ? TEXT_MAX_LEN : 0);
}

static void
hear(uint32_t member_id)
{
	static struct report r, heard;
	struct reader reader;
	struct buf buf;

	memset(&r, 0, sizeof(r));
	r.member_id = member_id;
	r.incarnation = 1 + pick(2);
	r.agent_start_ns = 1 + pick(2);
	r.applied_index = 100 - pick(2);
	r.pg_state = (uint8_t)(pick(2) == 0 ? PG_RUNNING :
	    (int)pick(PG_STATE_COUNT));
	r.pg_role = (uint8_t)pick(3);
	r.timeline = (uint32_t)state.reign_count + pick(2);
	r.receive_lsn = pick_lsn();
	r.replay_lsn = pick_lsn();
	r.receiver_streaming = maybe();
	pick_walsenders(&r);
	pick_standing(&r);
	/* As it comes: over the wire. */
	buf_init(&buf, memory, sizeof(memory));
	wire_put_report(&buf, &r);
	reader_init(&reader, memory, buf.len);
	assert(!buf.failed && wire_get_report(&reader, &heard) == 0);
	state_hear(&view, &heard, pick_time());
}

static void
pick_view(void)
{
	uint32_t i;

	view_reset(&view, pick_time());
	for (i = 0; i < state.member_count; i++) {
		if (pick(8) == 7)
			continue;
		hear(state.members[i].id);
		if (pick(8) == 7)
			hear(state.members[i].id);
	}
	if (pick(8) == 7)
		hear(99);
}

static void
pick_config(void)
{
	uint32_t i, voters = 0;

	memset(&config, 0, sizeof(config));
	config.index = 4;
	for (i = 0; i < state.member_count; i++) {
		if (pick(8) == 7)
			continue;
		config.servers[config.count].id = state.members[i].id;
		config.servers[config.count].voter = voters < VOTERS_MAX &&
		    (voters == 0 || !maybe());
		voters += config.servers[config.count++].voter;
	}
	if (config.count == 0 || (config.count < MEMBERS_MAX &&
	    pick(8) == 7)) {
		config.servers[config.count].id = state.next_member_id;
		config.servers[config.count++].voter = voters == 0;
	}
}

/* ---- what must hold ---- */

static bool
state_is_decodable(void)
{
	char errmsg[ERRMSG_MAX];
	struct reader reader;
	struct buf buf;

	buf_init(&buf, memory, sizeof(memory));
	state_encode(&state, &buf);
	assert(!buf.failed);
	reader_init(&reader, memory, buf.len);
	return state_decode(&decoded, &reader, errmsg) == 0;
}

static void
check_command(void)
{
	static struct raft_entry entry;
	static struct command command;
	char why[TEXT_MAX_LEN + 1];
	struct reader reader;
	bool unknown, effect;
	struct buf buf;

	memset(&entry, 0, sizeof(entry));
	entry.type = RAFT_ENTRY_COMMAND;
	buf_init(&buf, entry.data, sizeof(entry.data));
	command_encode(&decision.command, &buf);
	assert(!buf.failed);
	entry.len = (uint16_t)buf.len;
	reader_init(&reader, entry.data, entry.len);
	assert(command_decode(&command, &reader) == 0);
	buf_init(&buf, memory_again, sizeof(memory_again));
	command_encode(&command, &buf);
	assert(buf.len == entry.len &&
	    memcmp(memory_again, entry.data, buf.len) == 0);

	effect = state_apply(&state, &entry, state.applied + 1, why,
	    &unknown);
	assert(!unknown);
	if (!effect)
		fprintf(stderr, "%s: %s\n%s", command_name(command.type), why,
		    trace.text);
	/* Where a cover is full and another name would have to stand in it. */
	assert(effect || strcmp(why, "the union of the lists is too large")
	    == 0 || strcmp(why, "too many covers are held") == 0);
	assert(state_is_decodable());
}

static void
check_decision(const struct decide_input *in)
{
	struct order order;
	uint32_t i;

	assert(strlen(trace.text) == trace.len);
	switch ((enum decision_action)decision.action) {
	case DECIDE_NOTHING:
		break;
	case DECIDE_PROPOSE:
		check_command();
		break;
	case DECIDE_ADD_LEARNER:
		assert(raft_find_server(&config, decision.member_id) == NULL);
		break;
	case DECIDE_PROMOTE_VOTER:
		assert(state_member(&state, decision.member_id) != NULL);
		break;
	case DECIDE_DEMOTE_VOTER:
	case DECIDE_REMOVE_SERVER:
		assert(raft_find_server(&config, decision.member_id) != NULL);
		break;
	case DECIDE_TRANSFER:
		assert(decision.member_id != in->self);
		break;
	}
	for (i = 0; i < state.member_count; i++) {
		state_order(&state, state.members[i].id, &order);
		assert(order.kind < ORDER_COUNT);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct decide_input in;
	int i;

	input.data = data;
	input.size = size;
	input.pos = 0;
	pick_state();
	assert(state_is_decodable());
	state = decoded;
	pick_view();
	pick_config();
	memset(&in, 0, sizeof(in));
	in.state = &state;
	in.view = &view;
	in.config = &config;
	in.self = pick_member();
	in.now = monotime_from_ms(NOW_MS);
	in.leader_since = pick_time();
	in.phase_since = pick_time();
	in.config_since = pick_time();
	in.job_step_index = pick(4);
	in.job_step_since = pick_time();
	in.time_us = TIME_US;
	for (i = 0; i < STEPS; i++) {
		trace_reset(&trace);
		decide(&in, &decision, &trace);
		check_decision(&in);
		if (decision.action != DECIDE_PROPOSE)
			break;
	}
	trace_reset(&trace);
	(void)decide_dry_run(&in, pick_member(), maybe(), &trace);
	return 0;
}
