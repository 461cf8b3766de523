/*
 * state_codec.c - commands and the whole state as bytes.
 *
 * Every format begins with a version.  A command of a type or version that
 * is not known fails to decode: the binary is too old for this cluster.
 */
#include <stdio.h>
#include <string.h>

#include "state.h"

#define COMMAND_VERSION	1
#define STATE_VERSION	1

const char *
command_name(unsigned type)
{
	static const char *const names[] = {
		"none",
#define X(name, text) text,
		COMMAND_LIST(X)
#undef X
	};

	return type < CMD_COUNT ? names[type] : "unknown";
}

/* What no encoder here could have written is damage, not "true". */
static bool
get_bool(struct reader *reader)
{
	uint8_t value = reader_get_u8(reader);

	if (value > 1)
		reader->failed = true;
	return value == 1;
}

static void
put_list(struct buf *buf, const struct sync_list *list)
{
	uint8_t i;

	buf_put_u8(buf, list->k);
	buf_put_u8(buf, list->count);
	for (i = 0; i < list->count; i++) {
		buf_put_u32(buf, list->names[i].member_id);
		buf_put_u32(buf, list->names[i].incarnation);
	}
}

static void
get_list(struct reader *reader, struct sync_list *list)
{
	uint8_t i;

	memset(list, 0, sizeof(*list));
	list->k = reader_get_u8(reader);
	list->count = reader_get_u8(reader);
	if (list->count > SYNC_MAX || list->k > SYNC_MAX) {
		reader->failed = true;
		list->count = 0;
		return;
	}
	for (i = 0; i < list->count; i++) {
		list->names[i].member_id = reader_get_u32(reader);
		list->names[i].incarnation = reader_get_u32(reader);
	}
}

static void
put_cover(struct buf *buf, const struct cover *cover)
{
	uint8_t i;

	buf_put_u64(buf, cover->epoch);
	buf_put_u32(buf, cover->primary_id);
	buf_put_u64(buf, cover->next_begin.value);
	buf_put_u8(buf, cover->k);
	buf_put_u8(buf, cover->count);
	for (i = 0; i < cover->count; i++) {
		buf_put_u32(buf, cover->names[i].member_id);
		buf_put_u32(buf, cover->names[i].incarnation);
	}
}

static void
get_cover(struct reader *reader, struct cover *cover)
{
	uint8_t i;

	memset(cover, 0, sizeof(*cover));
	cover->epoch = reader_get_u64(reader);
	cover->primary_id = reader_get_u32(reader);
	cover->next_begin.value = reader_get_u64(reader);
	cover->k = reader_get_u8(reader);
	cover->count = reader_get_u8(reader);
	if (cover->count > SYNC_MAX || cover->k > SYNC_MAX) {
		reader->failed = true;
		cover->count = 0;
		return;
	}
	for (i = 0; i < cover->count; i++) {
		cover->names[i].member_id = reader_get_u32(reader);
		cover->names[i].incarnation = reader_get_u32(reader);
	}
}

static void
put_member(struct buf *buf, const struct member *member)
{
	buf_put_u32(buf, member->id);
	buf_put_u32(buf, member->incarnation);
	buf_put_u8(buf, member->phase);
	buf_put_u8(buf, member->voter);
	buf_put_u8(buf, member->has_data);
	buf_put_u8(buf, member->no_failover);
	buf_put_u32(buf, (uint32_t)member->priority);
	buf_put_string(buf, member->name);
	buf_put_string(buf, member->address);
	buf_put_string(buf, member->pg_address);
	buf_put_bytes(buf, member->key_hash, sizeof(member->key_hash));
	buf_put_u64(buf, member->ready_index);
}

static void
get_member(struct reader *reader, struct member *member)
{
	memset(member, 0, sizeof(*member));
	member->id = reader_get_u32(reader);
	member->incarnation = reader_get_u32(reader);
	member->phase = reader_get_u8(reader);
	member->voter = get_bool(reader);
	member->has_data = get_bool(reader);
	member->no_failover = get_bool(reader);
	member->priority = (int32_t)reader_get_u32(reader);
	reader_get_string(reader, member->name, sizeof(member->name));
	reader_get_string(reader, member->address, sizeof(member->address));
	reader_get_string(reader, member->pg_address,
	    sizeof(member->pg_address));
	reader_get_bytes(reader, member->key_hash, sizeof(member->key_hash));
	member->ready_index = reader_get_u64(reader);
}

static void
put_settings(struct buf *buf, const struct settings *settings)
{
#define X(field, name, def, min, max, unit, help)			\
	buf_put_u64(buf, (uint64_t)settings->field);
	SETTING_LIST(X)
#undef X
}

static void
get_settings(struct reader *reader, struct settings *settings)
{
#define X(field, name, def, min, max, unit, help)			\
	settings->field = (int64_t)reader_get_u64(reader);
	SETTING_LIST(X)
#undef X
}

static void
put_job(struct buf *buf, const struct job *job)
{
	buf_put_u32(buf, job->id);
	buf_put_u8(buf, job->kind);
	buf_put_u8(buf, job->status);
	buf_put_u8(buf, job->step);
	buf_put_u32(buf, job->member_id);
	buf_put_u64(buf, job->epoch);
	buf_put_u8(buf, job->accept_data_loss);
	buf_put_u64(buf, job->step_index);
	buf_put_string(buf, job->name);
	buf_put_string(buf, job->text);
	buf_put_string(buf, job->args);
}

static void
get_job(struct reader *reader, struct job *job)
{
	memset(job, 0, sizeof(*job));
	job->id = reader_get_u32(reader);
	job->kind = reader_get_u8(reader);
	job->status = reader_get_u8(reader);
	job->step = reader_get_u8(reader);
	job->member_id = reader_get_u32(reader);
	job->epoch = reader_get_u64(reader);
	job->accept_data_loss = get_bool(reader);
	job->step_index = reader_get_u64(reader);
	reader_get_string(reader, job->name, sizeof(job->name));
	reader_get_string(reader, job->text, sizeof(job->text));
	reader_get_string(reader, job->args, sizeof(job->args));
}

/* ---- commands ---- */

static void
put_bootstrap(struct buf *buf, const struct command *command)
{
	buf_put_bytes(buf, command->u.bootstrap.cluster_id, 16);
	buf_put_string(buf, command->u.bootstrap.cluster);
	buf_put_u64(buf, command->u.bootstrap.system_identifier);
	buf_put_u32(buf, command->u.bootstrap.pg_major);
	buf_put_u32(buf, command->u.bootstrap.timeline);
	put_member(buf, &command->u.bootstrap.first);
	put_settings(buf, &command->u.bootstrap.settings);
}

static void
get_bootstrap(struct reader *reader, struct command *command)
{
	reader_get_bytes(reader, command->u.bootstrap.cluster_id, 16);
	reader_get_string(reader, command->u.bootstrap.cluster,
	    sizeof(command->u.bootstrap.cluster));
	command->u.bootstrap.system_identifier = reader_get_u64(reader);
	command->u.bootstrap.pg_major = reader_get_u32(reader);
	command->u.bootstrap.timeline = reader_get_u32(reader);
	get_member(reader, &command->u.bootstrap.first);
	get_settings(reader, &command->u.bootstrap.settings);
}

static void
put_promote(struct buf *buf, const struct command *command)
{
	buf_put_u64(buf, command->u.promote.epoch);
	buf_put_u32(buf, command->u.promote.primary_id);
	buf_put_u32(buf, command->u.promote.primary_incarnation);
	buf_put_u32(buf, command->u.promote.timeline);
	buf_put_u8(buf, command->u.promote.lossy);
	buf_put_u64(buf, command->u.promote.position.epoch);
	buf_put_u64(buf, command->u.promote.position.lsn.value);
	put_list(buf, &command->u.promote.sync);
	buf_put_string(buf, command->u.promote.trace);
}

static void
get_promote(struct reader *reader, struct command *command)
{
	command->u.promote.epoch = reader_get_u64(reader);
	command->u.promote.primary_id = reader_get_u32(reader);
	command->u.promote.primary_incarnation = reader_get_u32(reader);
	command->u.promote.timeline = reader_get_u32(reader);
	command->u.promote.lossy = get_bool(reader);
	command->u.promote.position.epoch = reader_get_u64(reader);
	command->u.promote.position.lsn.value = reader_get_u64(reader);
	get_list(reader, &command->u.promote.sync);
	reader_get_string(reader, command->u.promote.trace,
	    sizeof(command->u.promote.trace));
}

static void
put_job_step(struct buf *buf, const struct command *command)
{
	buf_put_u32(buf, command->u.job_step.id);
	buf_put_u8(buf, command->u.job_step.step);
	buf_put_u8(buf, command->u.job_step.status);
	buf_put_u32(buf, command->u.job_step.member_id);
	buf_put_string(buf, command->u.job_step.text);
}

static void
get_job_step(struct reader *reader, struct command *command)
{
	command->u.job_step.id = reader_get_u32(reader);
	command->u.job_step.step = reader_get_u8(reader);
	command->u.job_step.status = reader_get_u8(reader);
	command->u.job_step.member_id = reader_get_u32(reader);
	reader_get_string(reader, command->u.job_step.text,
	    sizeof(command->u.job_step.text));
}

void
command_encode(const struct command *command, struct buf *buf)
{
	buf_put_u8(buf, COMMAND_VERSION);
	buf_put_u8(buf, command->type);
	buf_put_u64(buf, command->based_on);
	buf_put_u64(buf, (uint64_t)command->time_us);
	buf_put_string(buf, command->why);
	switch ((enum command_type)command->type) {
	case CMD_BOOTSTRAP:
		put_bootstrap(buf, command);
		break;
	case CMD_MEMBER_ADD:
		put_member(buf, &command->u.member);
		break;
	case CMD_MEMBER_PHASE:
		buf_put_u32(buf, command->u.phase.id);
		buf_put_u8(buf, command->u.phase.phase);
		buf_put_u8(buf, command->u.phase.new_incarnation);
		break;
	case CMD_MEMBER_ADDRESS:
		buf_put_u32(buf, command->u.address.id);
		buf_put_string(buf, command->u.address.address);
		buf_put_string(buf, command->u.address.pg_address);
		break;
	case CMD_MEMBER_REMOVE:
	case CMD_MEMBER_RENEW:
		buf_put_u32(buf, command->u.member_id);
		break;
	case CMD_SETTING:
		buf_put_string(buf, command->u.setting.name);
		buf_put_u64(buf, (uint64_t)command->u.setting.value);
		break;
	case CMD_SEAL:
		buf_put_u64(buf, command->u.seal.epoch);
		buf_put_string(buf, command->u.seal.trace);
		break;
	case CMD_PROMOTE:
		put_promote(buf, command);
		break;
	case CMD_OPENED:
		buf_put_u64(buf, command->u.opened.epoch);
		buf_put_u32(buf, command->u.opened.timeline);
		buf_put_u64(buf, command->u.opened.begin_lsn.value);
		break;
	case CMD_SYNC_BEGIN:
		buf_put_u64(buf, command->u.sync_begin.epoch);
		put_list(buf, &command->u.sync_begin.list);
		break;
	case CMD_SYNC_DONE:
		buf_put_u64(buf, command->u.sync_done.epoch);
		buf_put_u64(buf, command->u.sync_done.version);
		break;
	case CMD_COVER_DROP:
		buf_put_u64(buf, command->u.cover_epoch);
		break;
	case CMD_JOB_START:
		put_job(buf, &command->u.job);
		break;
	case CMD_JOB_STEP:
	case CMD_JOB_END:
		put_job_step(buf, command);
		break;
	case CMD_PAUSE:
		buf_put_u64(buf, (uint64_t)command->u.paused_until_us);
		break;
	case CMD_EVENT:
		break;
	case CMD_NONE:
	case CMD_COUNT:
		buf->failed = true;
		break;
	}
}

int
command_decode(struct command *command, struct reader *reader)
{
	memset(command, 0, sizeof(*command));
	if (reader_get_u8(reader) != COMMAND_VERSION)
		return -1;
	command->type = reader_get_u8(reader);
	command->based_on = reader_get_u64(reader);
	command->time_us = (int64_t)reader_get_u64(reader);
	reader_get_string(reader, command->why, sizeof(command->why));
	switch (command->type) {
	case CMD_BOOTSTRAP:
		get_bootstrap(reader, command);
		break;
	case CMD_MEMBER_ADD:
		get_member(reader, &command->u.member);
		break;
	case CMD_MEMBER_PHASE:
		command->u.phase.id = reader_get_u32(reader);
		command->u.phase.phase = reader_get_u8(reader);
		command->u.phase.new_incarnation = get_bool(reader);
		break;
	case CMD_MEMBER_ADDRESS:
		command->u.address.id = reader_get_u32(reader);
		reader_get_string(reader, command->u.address.address,
		    sizeof(command->u.address.address));
		reader_get_string(reader, command->u.address.pg_address,
		    sizeof(command->u.address.pg_address));
		break;
	case CMD_MEMBER_REMOVE:
	case CMD_MEMBER_RENEW:
		command->u.member_id = reader_get_u32(reader);
		break;
	case CMD_SETTING:
		reader_get_string(reader, command->u.setting.name,
		    sizeof(command->u.setting.name));
		command->u.setting.value = (int64_t)reader_get_u64(reader);
		break;
	case CMD_SEAL:
		command->u.seal.epoch = reader_get_u64(reader);
		reader_get_string(reader, command->u.seal.trace,
		    sizeof(command->u.seal.trace));
		break;
	case CMD_PROMOTE:
		get_promote(reader, command);
		break;
	case CMD_OPENED:
		command->u.opened.epoch = reader_get_u64(reader);
		command->u.opened.timeline = reader_get_u32(reader);
		command->u.opened.begin_lsn.value = reader_get_u64(reader);
		break;
	case CMD_SYNC_BEGIN:
		command->u.sync_begin.epoch = reader_get_u64(reader);
		get_list(reader, &command->u.sync_begin.list);
		break;
	case CMD_SYNC_DONE:
		command->u.sync_done.epoch = reader_get_u64(reader);
		command->u.sync_done.version = reader_get_u64(reader);
		break;
	case CMD_COVER_DROP:
		command->u.cover_epoch = reader_get_u64(reader);
		break;
	case CMD_JOB_START:
		get_job(reader, &command->u.job);
		break;
	case CMD_JOB_STEP:
	case CMD_JOB_END:
		get_job_step(reader, command);
		break;
	case CMD_PAUSE:
		command->u.paused_until_us = (int64_t)reader_get_u64(reader);
		break;
	case CMD_EVENT:
		break;
	default:
		return -1;
	}
	return reader_is_done(reader) ? 0 : -1;
}

/* ---- the whole state ---- */

static void
put_reign(struct buf *buf, const struct reign *reign)
{
	buf_put_u64(buf, reign->epoch);
	buf_put_u32(buf, reign->primary_id);
	buf_put_u32(buf, reign->primary_incarnation);
	buf_put_u32(buf, reign->timeline);
	buf_put_u64(buf, reign->parent);
	buf_put_u64(buf, reign->begin_lsn.value);
	buf_put_u8(buf, reign->opened);
	buf_put_u8(buf, reign->lossy);
}

static void
get_reign(struct reader *reader, struct reign *reign)
{
	reign->epoch = reader_get_u64(reader);
	reign->primary_id = reader_get_u32(reader);
	reign->primary_incarnation = reader_get_u32(reader);
	reign->timeline = reader_get_u32(reader);
	reign->parent = reader_get_u64(reader);
	reign->begin_lsn.value = reader_get_u64(reader);
	reign->opened = get_bool(reader);
	reign->lossy = get_bool(reader);
}

static void
put_tail(struct buf *buf, const struct state *state)
{
	const struct event *event;
	uint32_t i;

	buf_put_u32(buf, state->job_count);
	for (i = 0; i < state->job_count; i++)
		put_job(buf, &state->jobs[i]);
	buf_put_u64(buf, (uint64_t)state->paused_until_us);
	buf_put_u64(buf, state->last_event_id);
	buf_put_u32(buf, state->event_count);
	for (i = 0; i < state->event_count; i++) {
		event = &state->events[(state->event_first + i) % EVENTS_MAX];
		buf_put_u64(buf, event->id);
		buf_put_u64(buf, (uint64_t)event->time_us);
		buf_put_string(buf, event->text);
	}
	buf_put_string(buf, state->last_decision);
}

void
state_encode(const struct state *state, struct buf *buf)
{
	uint32_t i;

	buf_put_u8(buf, STATE_VERSION);
	buf_put_bytes(buf, state->cluster_id, sizeof(state->cluster_id));
	buf_put_string(buf, state->cluster);
	buf_put_u64(buf, state->generation);
	buf_put_u64(buf, state->system_identifier);
	buf_put_u32(buf, state->pg_major);
	buf_put_u64(buf, state->applied);
	buf_put_u64(buf, state->version);
	put_settings(buf, &state->settings);
	buf_put_u32(buf, state->next_member_id);
	buf_put_u32(buf, state->next_incarnation);
	buf_put_u32(buf, state->next_job_id);
	buf_put_u32(buf, state->member_count);
	for (i = 0; i < state->member_count; i++)
		put_member(buf, &state->members[i]);
	buf_put_u64(buf, state->voters_index);
	buf_put_u32(buf, state->reign_count);
	for (i = 0; i < state->reign_count; i++)
		put_reign(buf, &state->reigns[i]);
	buf_put_u64(buf, state->seal);
	buf_put_u64(buf, state->seal_index);
	buf_put_u64(buf, state->promote_index);
	buf_put_u64(buf, state->opened_index);
	buf_put_string(buf, state->seal_why);
	buf_put_u64(buf, state->sync_version);
	put_list(buf, &state->sync);
	buf_put_u8(buf, state->sync_settled);
	buf_put_u64(buf, (uint64_t)state->sync_since_us);
	buf_put_u32(buf, state->cover_count);
	for (i = 0; i < state->cover_count; i++)
		put_cover(buf, &state->covers[i]);
	put_tail(buf, state);
}

/* Reads a count that must not exceed max. */
static uint32_t
get_count(struct reader *reader, uint32_t max)
{
	uint32_t count = reader_get_u32(reader);

	if (count > max) {
		reader->failed = true;
		return 0;
	}
	return count;
}

static void
get_tail(struct reader *reader, struct state *state)
{
	uint32_t i;

	state->job_count = get_count(reader, JOBS_MAX);
	for (i = 0; i < state->job_count; i++)
		get_job(reader, &state->jobs[i]);
	state->paused_until_us = (int64_t)reader_get_u64(reader);
	state->last_event_id = reader_get_u64(reader);
	state->event_count = get_count(reader, EVENTS_MAX);
	for (i = 0; i < state->event_count; i++) {
		state->events[i].id = reader_get_u64(reader);
		state->events[i].time_us = (int64_t)reader_get_u64(reader);
		reader_get_string(reader, state->events[i].text,
		    sizeof(state->events[i].text));
	}
	reader_get_string(reader, state->last_decision,
	    sizeof(state->last_decision));
}

/* What every state that entries have made keeps, and others rely upon. */
static bool
is_sound(const struct state *state)
{
	char errmsg[ERRMSG_MAX];
	uint32_t i, j;

	if (settings_check(&state->settings, errmsg) != 0)
		return false;
	for (i = 0; i < state->member_count; i++) {
		uint32_t id = state->members[i].id;

		if (id == 0 || id >= state->next_member_id)
			return false;
		for (j = 0; j < i; j++)
			if (state->members[j].id == id)
				return false;
	}
	return true;
}

int
state_decode(struct state *state, struct reader *reader, char *errmsg)
{
	unsigned version;
	uint32_t i;

	memset(state, 0, sizeof(*state));
	version = reader_get_u8(reader);
	if (version != STATE_VERSION) {
		snprintf(errmsg, ERRMSG_MAX, "the state has format %u, this "
		    "failoverd knows format %u", version, STATE_VERSION);
		return -1;
	}
	reader_get_bytes(reader, state->cluster_id, sizeof(state->cluster_id));
	reader_get_string(reader, state->cluster, sizeof(state->cluster));
	state->generation = reader_get_u64(reader);
	state->system_identifier = reader_get_u64(reader);
	state->pg_major = reader_get_u32(reader);
	state->applied = reader_get_u64(reader);
	state->version = reader_get_u64(reader);
	get_settings(reader, &state->settings);
	state->next_member_id = reader_get_u32(reader);
	state->next_incarnation = reader_get_u32(reader);
	state->next_job_id = reader_get_u32(reader);
	state->member_count = get_count(reader, MEMBERS_MAX);
	for (i = 0; i < state->member_count; i++)
		get_member(reader, &state->members[i]);
	state->voters_index = reader_get_u64(reader);
	state->reign_count = get_count(reader, LEDGER_MAX);
	for (i = 0; i < state->reign_count; i++)
		get_reign(reader, &state->reigns[i]);
	state->seal = reader_get_u64(reader);
	state->seal_index = reader_get_u64(reader);
	state->promote_index = reader_get_u64(reader);
	state->opened_index = reader_get_u64(reader);
	reader_get_string(reader, state->seal_why, sizeof(state->seal_why));
	state->sync_version = reader_get_u64(reader);
	get_list(reader, &state->sync);
	state->sync_settled = get_bool(reader);
	state->sync_since_us = (int64_t)reader_get_u64(reader);
	state->cover_count = get_count(reader, COVERS_MAX);
	for (i = 0; i < state->cover_count; i++)
		get_cover(reader, &state->covers[i]);
	get_tail(reader, state);
	if (!reader_is_done(reader) || !is_sound(state)) {
		snprintf(errmsg, ERRMSG_MAX,
		    "the state is damaged near byte %zu", reader->pos);
		memset(state, 0, sizeof(*state));
		return -1;
	}
	return 0;
}
