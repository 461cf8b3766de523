/*
 * cluster.h - a small cluster for the tests of the core.
 *
 * Made only of what the product is made of: commands, encoded, as committed
 * entries through state_apply(); reports through state_hear().  A test
 * changes one fact with one function, then asks decide().
 *
 * cluster_start(3): n1 is primary of epoch 1 on timeline 1, n2 and n3 are
 * standbys that stream, all vote; the synchronous list is ANY 1 (n2,n3),
 * settled; the coordinator is n2; everything was heard this instant.
 */
#ifndef FAILOVERD_CLUSTER_H
#define FAILOVERD_CLUSTER_H

#include <stdlib.h>

#include "decide.h"
#include "liveness.h"
#include "state.h"
#include "tap.h"

#ifdef MUTANTS
const char *mutant;
#endif

#define LSN(n) ((lsn_t){ (n) })
#define HERE 0x3000000u		/* where the standbys' WAL ends */

static struct {
	struct state state;
	struct view view;
	struct raft_config config;
	struct report reports[MEMBERS_MAX + 1];	/* by id; said by say() */
	struct decide_input input;
	struct decision decision;
	struct trace trace;
	monotime_t now;
	char why[TEXT_MAX_LEN + 1];
	bool unknown;
} w;

/* ---- entries ---- */

static inline bool
apply_entry(const struct raft_entry *entry)
{
	return state_apply(&w.state, entry, w.state.applied + 1, w.why,
	    &w.unknown);
}

static inline void
make_entry(const struct command *command, struct raft_entry *entry)
{
	struct buf buf;

	memset(entry, 0, sizeof(*entry));
	entry->type = RAFT_ENTRY_COMMAND;
	buf_init(&buf, entry->data, sizeof(entry->data));
	command_encode(command, &buf);
	if (buf.failed) {
		printf("Bail out! a %s does not fit in an entry\n",
		    command_name(command->type));
		exit(1);
	}
	entry->len = (uint16_t)buf.len;
}

static inline bool
apply(const struct command *command)
{
	struct raft_entry entry;

	make_entry(command, &entry);
	return apply_entry(&entry);
}

/* A command that rests on the present version. */
static inline struct command
command_of(uint8_t type)
{
	struct command command;

	memset(&command, 0, sizeof(command));
	command.type = type;
	command.based_on = w.state.version;
	command.time_us = 1700000000000000;
	return command;
}

/* Configuration entry: the first `voters` members vote, the rest learn. */
static inline void
set_voters(uint32_t voters)
{
	struct raft_entry entry = { .type = RAFT_ENTRY_CONFIG };
	struct buf buf;
	uint32_t i;

	memset(&w.config, 0, sizeof(w.config));
	w.config.index = w.state.applied + 1;
	w.config.count = w.state.member_count;
	for (i = 0; i < w.config.count; i++) {
		w.config.servers[i].id = w.state.members[i].id;
		w.config.servers[i].voter = i < voters;
	}
	buf_init(&buf, entry.data, sizeof(entry.data));
	raft_config_encode(&w.config, &buf);
	entry.len = (uint16_t)buf.len;
	apply_entry(&entry);
}

static inline bool
set_setting(const char *name, int64_t value)
{
	struct command c = command_of(CMD_SETTING);

	snprintf(c.u.setting.name, sizeof(c.u.setting.name), "%s", name);
	c.u.setting.value = value;
	return apply(&c);
}

static inline struct sync_list
list_of(uint8_t k, uint32_t a, uint32_t b)
{
	const uint32_t ids[2] = { a, b };
	struct sync_list list;
	int i;

	memset(&list, 0, sizeof(list));
	list.k = k;
	for (i = 0; i < 2; i++) {
		if (ids[i] == 0)
			continue;
		list.names[list.count].member_id = ids[i];
		list.names[list.count++].incarnation =
		    state_member(&w.state, ids[i])->incarnation;
	}
	return list;
}

static inline bool
sync_begin(uint8_t k, uint32_t a, uint32_t b)
{
	struct command c = command_of(CMD_SYNC_BEGIN);

	c.u.sync_begin.epoch = state_reign(&w.state)->epoch;
	c.u.sync_begin.list = list_of(k, a, b);
	return apply(&c);
}

static inline bool
sync_done(void)
{
	struct command c = command_of(CMD_SYNC_DONE);

	c.u.sync_done.epoch = state_reign(&w.state)->epoch;
	c.u.sync_done.version = w.state.sync_version;
	return apply(&c);
}

static inline bool
seal(uint64_t epoch)
{
	struct command c = command_of(CMD_SEAL);

	c.u.seal.epoch = epoch;
	snprintf(c.why, sizeof(c.why), "sealed by a test");
	return apply(&c);
}

static inline struct command
promotion(uint64_t epoch, uint32_t id, uint8_t k, uint32_t a, uint32_t b)
{
	struct command c = command_of(CMD_PROMOTE);

	c.u.promote.epoch = epoch;
	c.u.promote.primary_id = id;
	c.u.promote.primary_incarnation =
	    state_member(&w.state, id)->incarnation;
	c.u.promote.timeline = (uint32_t)epoch;
	c.u.promote.sync = list_of(k, a, b);
	return c;
}

static inline bool
promote(uint64_t epoch, uint32_t id, uint8_t k, uint32_t a, uint32_t b)
{
	struct command c = promotion(epoch, id, k, a, b);

	return apply(&c);
}

static inline bool
opened(uint64_t epoch, uint64_t lsn)
{
	struct command c = command_of(CMD_OPENED);

	c.u.opened.epoch = epoch;
	c.u.opened.timeline = (uint32_t)epoch;
	c.u.opened.begin_lsn = LSN(lsn);
	return apply(&c);
}

static inline bool
drop_covers(uint64_t epoch)
{
	struct command c = command_of(CMD_COVER_DROP);

	c.u.cover_epoch = epoch;
	return apply(&c);
}

static inline bool
start_job(uint8_t kind, uint8_t step, uint32_t member_id, bool accept_loss)
{
	struct command c = command_of(CMD_JOB_START);

	c.based_on = 0;
	c.u.job.kind = kind;
	c.u.job.step = step;
	c.u.job.member_id = member_id;
	c.u.job.accept_data_loss = accept_loss;
	if (kind == JOB_CLONE)
		snprintf(c.u.job.name, sizeof(c.u.job.name), "n9");
	return apply(&c);
}

static inline bool
pause_until(int64_t until_us)
{
	struct command c = command_of(CMD_PAUSE);

	c.u.paused_until_us = until_us;
	return apply(&c);
}

static inline uint32_t
add_member(const char *name, bool has_data)
{
	struct command c = command_of(CMD_MEMBER_ADD);

	c.u.member.has_data = has_data;
	snprintf(c.u.member.name, sizeof(c.u.member.name), "%s", name);
	snprintf(c.u.member.address, sizeof(c.u.member.address),
	    "10.0.0.1:7432");
	if (has_data)
		snprintf(c.u.member.pg_address,
		    sizeof(c.u.member.pg_address), "10.0.0.1:5432");
	return apply(&c) ? w.state.next_member_id - 1 : 0;
}

static inline bool
set_phase(uint32_t id, uint8_t phase, bool new_incarnation)
{
	struct command c = command_of(CMD_MEMBER_PHASE);

	c.u.phase.id = id;
	c.u.phase.phase = phase;
	c.u.phase.new_incarnation = new_incarnation;
	return apply(&c);
}

static inline bool
remove_member(uint32_t id)
{
	struct command c = command_of(CMD_MEMBER_REMOVE);

	c.u.member_id = id;
	return apply(&c);
}

static inline struct member *
member_of(uint32_t id)
{
	uint32_t i;

	for (i = 0; i < w.state.member_count; i++)
		if (w.state.members[i].id == id)
			return &w.state.members[i];
	return NULL;
}

/* ---- reports ---- */

static inline struct report *
report_of(uint32_t id)
{
	return &w.reports[id];
}

static inline void
say(uint32_t id)
{
	struct report *r = report_of(id);

	r->applied_index = w.state.applied;
	state_hear(&w.view, r, w.now);
}

/* What a healthy member says, whatever the phase. */
static inline void
be_well(uint32_t id)
{
	const struct reign *reign = state_reign(&w.state);
	const struct member *member = state_member(&w.state, id);
	struct report *r = report_of(id);
	uint32_t i;

	memset(r, 0, sizeof(*r));
	r->member_id = id;
	r->incarnation = member->incarnation;
	r->agent_start_ns = id;
	r->promise = w.state.seal;
	if (!member->has_data) {
		r->pg_state = PG_ABSENT;
		return;
	}
	r->guard_present = true;
	r->pg_state = PG_RUNNING;
	r->timeline = reign->timeline;
	if (id != reign->primary_id) {
		r->pg_role = PG_ROLE_STANDBY;
		r->receive_lsn = r->replay_lsn = LSN(HERE);
		r->receiver_streaming = true;
		r->upstream_id = reign->primary_id;
		return;
	}
	r->pg_role = PG_ROLE_PRIMARY;
	r->insert_lsn = r->flush_lsn = LSN(HERE);
	r->lease_epoch = reign->epoch;
	r->lease_left_ms = 4900;
	r->sync_version = w.state.sync_version;
	for (i = 0; i < w.state.member_count; i++) {
		const struct member *other = &w.state.members[i];
		struct walsender *ws = &r->walsenders[r->walsender_count];

		if (other->id == id || !other->has_data)
			continue;
		ws->member_id = other->id;
		ws->incarnation = other->incarnation;
		ws->streaming = true;
		ws->sent = ws->flush = ws->replay = LSN(HERE);
		r->walsender_count++;
	}
}

static inline void
say_all(void)
{
	uint32_t i;

	for (i = 0; i < w.state.member_count; i++)
		say(w.state.members[i].id);
}

static inline void
be_well_all(void)
{
	uint32_t i;

	for (i = 0; i < w.state.member_count; i++)
		be_well(w.state.members[i].id);
	say_all();
}

static inline void
pass_ms(int64_t ms)
{
	w.now = monotime_add_ms(w.now, ms);
	w.input.now = w.now;
}

/* Nothing more is heard of it; the others speak on for that long. */
static inline void
fall_silent(uint32_t id, int64_t ms)
{
	uint32_t i;

	pass_ms(ms);
	for (i = 0; i < w.state.member_count; i++)
		if (w.state.members[i].id != id)
			say(w.state.members[i].id);
}

/* The others miss the primary for that long and its port says `port`. */
static inline void
primary_vanishes(int64_t ms, uint8_t port)
{
	uint32_t primary = state_reign(&w.state)->primary_id, i;

	for (i = 0; i < w.state.member_count; i++) {
		struct report *r = report_of(w.state.members[i].id);

		r->primary_silence_ms = (uint32_t)ms;
		r->primary_port = port;
		if (r->member_id != primary)
			r->receiver_streaming = false;
	}
	fall_silent(primary, ms);
}

/* The primary's postmaster is gone, all processes with it. */
static inline void
primary_dies(void)
{
	const struct reign *reign = state_reign(&w.state);
	struct report *r = report_of(reign->primary_id);

	r->pg_state = PG_STOPPED;
	r->pg_role = PG_ROLE_UNKNOWN;
	r->postmaster_died = true;
	r->released = true;
	r->died_epoch = reign->epoch;
	r->lease_epoch = 0;
	r->walsender_count = 0;
	r->insert_lsn = r->flush_lsn = LSN(0);
	say(r->member_id);
}

/* That node keeps the present seal and stands at (epoch, lsn). */
static inline void
keep_seal(uint32_t id, uint64_t epoch, uint64_t lsn)
{
	struct report *r = report_of(id);

	r->promise = r->sealed_epoch = w.state.seal;
	r->has_position = lsn != 0;
	r->position.epoch = epoch;
	r->position.lsn = LSN(lsn);
	if (r->pg_state != PG_ABSENT) {
		r->pg_state = PG_RUNNING;
		r->pg_role = PG_ROLE_STANDBY;
	}
	r->receiver_streaming = false;
	r->receive_lsn = r->replay_lsn = LSN(lsn);
	r->order_index = w.state.seal_index;
	r->order_result = ORDER_DONE;
	say(id);
}

/* ---- deciding ---- */

static inline uint8_t
decides(void)
{
	trace_reset(&w.trace);
	decide(&w.input, &w.decision, &w.trace);
	return w.decision.action;
}

/* What is wanted now: a command type, or 0. */
static inline uint8_t
wanted(void)
{
	return decides() == DECIDE_PROPOSE ? w.decision.command.type :
	    (uint8_t)CMD_NONE;
}

/* Decides and applies, as if committed at once. */
static inline bool
carry_out(uint8_t type)
{
	if (wanted() != type)
		return false;
	return apply(&w.decision.command);
}

static inline void
new_phase(void)
{
	w.input.phase_since = w.now;
}

/* Compares the whole trace, line by line in the message. */
static inline void
is_trace(const char *want, const char *name)
{
	if (ok(strcmp(w.trace.text, want) == 0, "%s", name))
		return;
	printf("# --- got\n%s# --- wanted\n%s# ---\n", w.trace.text, want);
}

/* ---- the beginning ---- */

static inline void
cluster_found(bool witness_third, uint32_t count)
{
	struct command c = command_of(CMD_BOOTSTRAP);
	uint32_t i;
	char name[8];

	settings_init(&c.u.bootstrap.settings);
	c.based_on = 0;
	memset(c.u.bootstrap.cluster_id, 7, 16);
	snprintf(c.u.bootstrap.cluster, sizeof(c.u.bootstrap.cluster),
	    "sales");
	c.u.bootstrap.system_identifier = 42;
	c.u.bootstrap.pg_major = 15;
	c.u.bootstrap.timeline = 1;
	c.u.bootstrap.first.has_data = true;
	snprintf(c.u.bootstrap.first.name,
	    sizeof(c.u.bootstrap.first.name), "n1");
	apply(&c);
	for (i = 2; i <= count; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		set_phase(add_member(name, !(witness_third && i == 3)),
		    MEMBER_READY, false);
	}
	set_voters(count % 2 == 0 ? count - 1 : count);
}

static inline void
cluster_make(uint32_t count, bool witness_third)
{
	memset(&w, 0, sizeof(w));
	w.now = monotime_from_ms(1000000);
	state_init(&w.state);
	view_reset(&w.view, w.now);
	cluster_found(witness_third, count);
	if (count > 1) {
		sync_begin(1, 2, count > 2 && !witness_third ? 3 : 0);
		sync_done();
	}
	w.input.state = &w.state;
	w.input.view = &w.view;
	w.input.config = &w.config;
	w.input.self = count > 1 ? 2 : 1;
	w.input.time_us = 1700000000000000;
	/* It has been coordinator for a minute. */
	w.input.leader_since = w.input.phase_since = w.input.config_since =
	    w.now;
	pass_ms(60000);
	be_well_all();
}

static inline void
cluster_start(uint32_t count)
{
	cluster_make(count, false);
}

#endif
