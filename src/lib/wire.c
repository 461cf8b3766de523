/*
 * wire.c - the frames that carry consensus, reports and leases.
 *
 * Pure over a buffer; decides nothing about what a frame asks for.  What
 * comes in is refused when a length, a count, a flag or the number of a state
 * is not one that an encoder here could have written, and then nothing of it
 * is left in what the caller gets.
 */
#include "wire.h"

#include <string.h>

#define RAFT_VERSION	1u
#define REPORT_VERSION	1u
#define LEASE_VERSION	1u

static void
put_bool(struct buf *buf, bool value)
{
	buf_put_u8(buf, value ? 1 : 0);
}

/* A number from 0 to most; anything else fails the reader. */
static uint8_t
get_upto(struct reader *reader, unsigned most)
{
	uint8_t value = reader_get_u8(reader);

	if (value <= most)
		return value;
	reader->failed = true;
	return 0;
}

static bool
get_bool(struct reader *reader)
{
	return get_upto(reader, 1) == 1;
}

static void
put_lsn(struct buf *buf, lsn_t lsn)
{
	buf_put_u64(buf, lsn.value);
}

static lsn_t
get_lsn(struct reader *reader)
{
	return (lsn_t){ reader_get_u64(reader) };
}

static void
put_i64(struct buf *buf, int64_t value)
{
	buf_put_u64(buf, (uint64_t)value);
}

static int64_t
get_i64(struct reader *reader)
{
	return (int64_t)reader_get_u64(reader);
}

/* ---- consensus ---- */

void
wire_put_raft(struct buf *buf, const struct raft_message *message)
{
	uint32_t i;

	if (message->entry_count > RAFT_BATCH_MAX) {
		buf->failed = true;
		return;
	}
	buf_put_u8(buf, RAFT_VERSION);
	buf_put_u8(buf, message->type);
	put_bool(buf, message->pre);
	put_bool(buf, message->granted);
	put_bool(buf, message->transfer);
	buf_put_u32(buf, message->from);
	buf_put_u32(buf, message->to);
	buf_put_u64(buf, message->term);
	buf_put_u64(buf, message->prev_index);
	buf_put_u64(buf, message->prev_term);
	buf_put_u64(buf, message->commit);
	buf_put_u64(buf, message->match);
	put_i64(buf, message->stamp_ns);
	buf_put_u32(buf, message->promise_ms);
	if (message->type == RAFT_MSG_APPEND) {
		buf_put_u8(buf, (uint8_t)message->entry_count);
		for (i = 0; i < message->entry_count; i++) {
			const struct raft_entry *entry = &message->entries[i];

			buf_put_u64(buf, entry->term);
			buf_put_u8(buf, entry->type);
			buf_put_u16(buf, entry->len);
			buf_put_bytes(buf, entry->data, entry->len);
		}
	} else if (message->type == RAFT_MSG_SNAPSHOT) {
		raft_config_encode(message->snapshot_config, buf);
		buf_put_blob(buf, message->snapshot, message->snapshot_len);
	}
}

static void
get_entries(struct reader *reader, struct raft_message *message,
    struct raft_entry *entries)
{
	uint32_t i, count = get_upto(reader, RAFT_BATCH_MAX);

	for (i = 0; i < count && !reader->failed; i++) {
		struct raft_entry *entry = &entries[i];

		entry->term = reader_get_u64(reader);
		entry->type = reader_get_u8(reader);
		entry->len = reader_get_u16(reader);
		if (entry->len > ENTRY_DATA_MAX)
			reader->failed = true;
		else
			reader_get_bytes(reader, entry->data, entry->len);
	}
	message->entry_count = count;
	message->entries = count > 0 ? entries : NULL;
}

static void
get_snapshot(struct reader *reader, struct raft_message *message,
    struct raft_config *config)
{
	if (raft_config_decode(config, reader) != 0)
		reader->failed = true;
	message->snapshot = reader_get_blob(reader, &message->snapshot_len);
	message->snapshot_config = config;
	if (message->snapshot_len > SNAPSHOT_MAX)
		reader->failed = true;
}

int
wire_get_raft(struct reader *reader, struct raft_message *message,
    struct raft_entry *entries, struct raft_config *config)
{
	memset(message, 0, sizeof(*message));
	memset(config, 0, sizeof(*config));
	if (reader_get_u8(reader) != RAFT_VERSION)
		return -1;
	message->type = get_upto(reader, RAFT_MSG_TIMEOUT_NOW);
	message->pre = get_bool(reader);
	message->granted = get_bool(reader);
	message->transfer = get_bool(reader);
	message->from = reader_get_u32(reader);
	message->to = reader_get_u32(reader);
	message->term = reader_get_u64(reader);
	message->prev_index = reader_get_u64(reader);
	message->prev_term = reader_get_u64(reader);
	message->commit = reader_get_u64(reader);
	message->match = reader_get_u64(reader);
	message->stamp_ns = get_i64(reader);
	message->promise_ms = reader_get_u32(reader);
	if (message->type == RAFT_MSG_APPEND)
		get_entries(reader, message, entries);
	else if (message->type == RAFT_MSG_SNAPSHOT)
		get_snapshot(reader, message, config);
	if (message->type != 0 && reader_is_done(reader))
		return 0;
	memset(message, 0, sizeof(*message));
	memset(config, 0, sizeof(*config));
	return -1;
}

/* ---- reports ---- */

static void
put_walsender(struct buf *buf, const struct walsender *sender)
{
	buf_put_u32(buf, sender->member_id);
	buf_put_u32(buf, sender->incarnation);
	put_bool(buf, sender->streaming);
	put_lsn(buf, sender->sent);
	put_lsn(buf, sender->flush);
	put_lsn(buf, sender->replay);
	buf_put_u32(buf, sender->replay_lag_ms);
	buf_put_u8(buf, sender->sync);
	buf_put_u8(buf, sender->sync_priority);
}

static void
get_walsender(struct reader *reader, struct walsender *sender)
{
	sender->member_id = reader_get_u32(reader);
	sender->incarnation = reader_get_u32(reader);
	sender->streaming = get_bool(reader);
	sender->sent = get_lsn(reader);
	sender->flush = get_lsn(reader);
	sender->replay = get_lsn(reader);
	sender->replay_lag_ms = reader_get_u32(reader);
	sender->sync = get_upto(reader, SYNC_QUORUM);
	sender->sync_priority = reader_get_u8(reader);
}

static void
put_position(struct buf *buf, struct position position)
{
	buf_put_u64(buf, position.epoch);
	put_lsn(buf, position.lsn);
}

static struct position
get_position(struct reader *reader)
{
	struct position position;

	position.epoch = reader_get_u64(reader);
	position.lsn = get_lsn(reader);
	return position;
}

/* What the node is and how its PostgreSQL does. */
static void
put_postgres(struct buf *buf, const struct report *report)
{
	uint32_t i;

	buf_put_u8(buf, report->pg_state);
	buf_put_u8(buf, report->pg_role);
	buf_put_u8(buf, report->probe);
	buf_put_u32(buf, report->sample_age_ms);
	buf_put_u32(buf, report->server_version);
	put_bool(buf, report->pending_restart);
	buf_put_u64(buf, report->system_identifier);
	buf_put_u64(buf, report->data_bytes);
	put_i64(buf, report->postmaster_start_us);
	buf_put_u32(buf, report->timeline);
	put_lsn(buf, report->insert_lsn);
	put_lsn(buf, report->flush_lsn);
	put_lsn(buf, report->receive_lsn);
	put_lsn(buf, report->replay_lsn);
	put_i64(buf, report->replay_time_us);
	put_bool(buf, report->replay_paused);
	put_bool(buf, report->receiver_streaming);
	buf_put_u32(buf, report->upstream_id);
	put_bool(buf, report->in_archive_recovery);
	buf_put_u8(buf, (uint8_t)report->walsender_count);
	for (i = 0; i < report->walsender_count; i++)
		put_walsender(buf, &report->walsenders[i]);
}

static void
get_postgres(struct reader *reader, struct report *report)
{
	uint32_t i;

	report->pg_state = get_upto(reader, PG_STATE_COUNT - 1);
	report->pg_role = get_upto(reader, PG_ROLE_STANDBY);
	report->probe = get_upto(reader, PROBE_LAYER_COUNT - 1);
	report->sample_age_ms = reader_get_u32(reader);
	report->server_version = reader_get_u32(reader);
	report->pending_restart = get_bool(reader);
	report->system_identifier = reader_get_u64(reader);
	report->data_bytes = reader_get_u64(reader);
	report->postmaster_start_us = get_i64(reader);
	report->timeline = reader_get_u32(reader);
	report->insert_lsn = get_lsn(reader);
	report->flush_lsn = get_lsn(reader);
	report->receive_lsn = get_lsn(reader);
	report->replay_lsn = get_lsn(reader);
	report->replay_time_us = get_i64(reader);
	report->replay_paused = get_bool(reader);
	report->receiver_streaming = get_bool(reader);
	report->upstream_id = reader_get_u32(reader);
	report->in_archive_recovery = get_bool(reader);
	report->walsender_count = get_upto(reader, WALSENDERS_MAX);
	for (i = 0; i < report->walsender_count; i++)
		get_walsender(reader, &report->walsenders[i]);
}

/* What it knows for certain, what it promised, how its order stands. */
static void
put_standing(struct buf *buf, const struct report *report)
{
	put_bool(buf, report->guard_present);
	put_bool(buf, report->postmaster_died);
	buf_put_u64(buf, report->died_epoch);
	put_bool(buf, report->stopped_clean);
	put_lsn(buf, report->shutdown_lsn);
	buf_put_u64(buf, report->lease_epoch);
	buf_put_u32(buf, report->lease_left_ms);
	put_bool(buf, report->released);
	buf_put_u32(buf, report->primary_silence_ms);
	buf_put_u8(buf, report->primary_port);
	buf_put_u64(buf, report->sealed_epoch);
	put_bool(buf, report->has_position);
	put_position(buf, report->position);
	put_bool(buf, report->clear);
	put_position(buf, report->primary_heard);
	buf_put_u64(buf, report->order_index);
	buf_put_u8(buf, report->order_result);
	buf_put_u64(buf, report->opened_epoch);
	buf_put_u32(buf, report->opened_timeline);
	put_lsn(buf, report->opened_lsn);
	buf_put_u64(buf, report->sync_version);
	buf_put_u64(buf, report->progress_bytes);
	buf_put_u64(buf, report->total_bytes);
	buf_put_string(buf, report->message);
}

static void
get_standing(struct reader *reader, struct report *report)
{
	report->guard_present = get_bool(reader);
	report->postmaster_died = get_bool(reader);
	report->died_epoch = reader_get_u64(reader);
	report->stopped_clean = get_bool(reader);
	report->shutdown_lsn = get_lsn(reader);
	report->lease_epoch = reader_get_u64(reader);
	report->lease_left_ms = reader_get_u32(reader);
	report->released = get_bool(reader);
	report->primary_silence_ms = reader_get_u32(reader);
	report->primary_port = get_upto(reader, PORT_SILENT);
	report->sealed_epoch = reader_get_u64(reader);
	report->has_position = get_bool(reader);
	report->position = get_position(reader);
	report->clear = get_bool(reader);
	report->primary_heard = get_position(reader);
	report->order_index = reader_get_u64(reader);
	report->order_result = get_upto(reader, ORDER_FAILED);
	report->opened_epoch = reader_get_u64(reader);
	report->opened_timeline = reader_get_u32(reader);
	report->opened_lsn = get_lsn(reader);
	report->sync_version = reader_get_u64(reader);
	report->progress_bytes = reader_get_u64(reader);
	report->total_bytes = reader_get_u64(reader);
	reader_get_string(reader, report->message, sizeof(report->message));
}

void
wire_put_report(struct buf *buf, const struct report *report)
{
	if (report->walsender_count > WALSENDERS_MAX) {
		buf->failed = true;
		return;
	}
	buf_put_u8(buf, REPORT_VERSION);
	buf_put_u32(buf, report->member_id);
	buf_put_u32(buf, report->incarnation);
	buf_put_u64(buf, report->agent_start_ns);
	buf_put_u64(buf, report->store_generation);
	buf_put_u64(buf, report->applied_index);
	buf_put_u64(buf, report->promise);
	put_postgres(buf, report);
	put_standing(buf, report);
}

int
wire_get_report(struct reader *reader, struct report *report)
{
	memset(report, 0, sizeof(*report));
	if (reader_get_u8(reader) != REPORT_VERSION)
		return -1;
	report->member_id = reader_get_u32(reader);
	report->incarnation = reader_get_u32(reader);
	report->agent_start_ns = reader_get_u64(reader);
	report->store_generation = reader_get_u64(reader);
	report->applied_index = reader_get_u64(reader);
	report->promise = reader_get_u64(reader);
	get_postgres(reader, report);
	get_standing(reader, report);
	if (reader_is_done(reader))
		return 0;
	memset(report, 0, sizeof(*report));
	return -1;
}

/* ---- leases ---- */

void
wire_put_lease(struct buf *buf, const struct lease_message *message)
{
	buf_put_u8(buf, LEASE_VERSION);
	buf_put_u8(buf, message->type);
	buf_put_u32(buf, message->holder_id);
	buf_put_u32(buf, message->voter_id);
	buf_put_u64(buf, message->epoch);
	buf_put_u64(buf, message->config_index);
	buf_put_u64(buf, message->holder_start_ns);
	put_i64(buf, message->stamp_ns);
	buf_put_u32(buf, message->lease_ms);
	put_lsn(buf, message->lsn);
	buf_put_string(buf, message->why);
}

int
wire_get_lease(struct reader *reader, struct lease_message *message)
{
	memset(message, 0, sizeof(*message));
	if (reader_get_u8(reader) != LEASE_VERSION)
		return -1;
	message->type = get_upto(reader, LEASE_RELEASE);
	message->holder_id = reader_get_u32(reader);
	message->voter_id = reader_get_u32(reader);
	message->epoch = reader_get_u64(reader);
	message->config_index = reader_get_u64(reader);
	message->holder_start_ns = reader_get_u64(reader);
	message->stamp_ns = get_i64(reader);
	message->lease_ms = reader_get_u32(reader);
	message->lsn = get_lsn(reader);
	reader_get_string(reader, message->why, sizeof(message->why));
	if (message->type != 0 && reader_is_done(reader))
		return 0;
	memset(message, 0, sizeof(*message));
	return -1;
}
