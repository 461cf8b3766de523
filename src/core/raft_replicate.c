/*
 * raft_replicate.c - appends, snapshots, acknowledgement, commit.
 *
 * Decides what a follower takes and acknowledges, what a leader sends next,
 * and when an entry is committed.  A follower must never acknowledge more
 * than the very message at hand verified, and a leader must never commit an
 * entry of an older term by counting who has it (dissertation 3.6.2).
 */
#include "raft_internal.h"

#include <assert.h>

#include "mutant.h"

/* A frame holds the longest append and the longest snapshot. */
_Static_assert(RAFT_BATCH_MAX * (ENTRY_DATA_MAX + 32) + 1024 <= FRAME_MAX,
    "a full append fits in a frame");
_Static_assert(SNAPSHOT_MAX + RAFT_CONFIG_IMAGE_MAX + 1024 <= FRAME_MAX,
    "a snapshot fits in a frame");

static unsigned long long
ull(uint64_t value)
{
	return value;
}

/* Everything in it that does not depend on our own log. */
static bool
append_is_sound(const struct raft_message *m)
{
	uint64_t term = m->prev_term;
	uint32_t i;

	if (m->entry_count > RAFT_BATCH_MAX ||
	    (m->entry_count > 0 && m->entries == NULL) ||
	    m->prev_index > RAFT_MESSAGE_NUMBER_MAX ||
	    (m->prev_index == 0) != (m->prev_term == 0) || term > m->term)
		return false;
	for (i = 0; i < m->entry_count; i++) {
		const struct raft_entry *entry = &m->entries[i];

		if (entry->term < term || entry->term > m->term ||
		    !raft_entry_is_sound(entry, m->prev_index + 1 + i))
			return false;
		term = entry->term;
	}
	return true;
}

static void
reply(struct raft *raft, struct raft_effects *effects,
    const struct raft_message *m, bool granted, uint64_t match)
{
	struct raft_message *answer;

	answer = raft_send(raft, effects, RAFT_MSG_APPEND_REPLY, m->from);
	answer->granted = granted;
	answer->match = match;
	answer->prev_index = m->prev_index;
	/* Of an older term: it has not been followed, so it renews nothing. */
	if (m->term == raft->term) {
		answer->stamp_ns = m->stamp_ns;
		answer->promise_ms = raft->election_ms;
	}
}

/* True when the sender is the leader that we follow from now on. */
static bool
accept_leader(struct raft *raft, struct raft_effects *effects,
    const struct raft_message *m)
{
	if (m->term < raft->term) {
		trace_add(&raft->trace, "append of %u from term %llu, we are "
		    "in term %llu -> refused", m->from, ull(m->term),
		    ull(raft->term));
		reply(raft, effects, m, false, 0);
		return false;
	}
	if (m->term == raft->term && (raft->role == RAFT_LEADER ||
	    (raft->leader != RAFT_NOBODY && raft->leader != m->from))) {
		trace_add(&raft->trace, "%u says it leads term %llu, but %u "
		    "does -> ignored, that cannot be", m->from, ull(m->term),
		    raft->leader);
		return false;
	}
	if (m->term > raft->term || raft->role != RAFT_FOLLOWER ||
	    raft->leader != m->from)
		raft_become_follower(raft, effects, m->term, m->from);
	raft_bind(raft);
	raft_reset_election(raft);
	return true;
}

/*
 * Where the leader should try next, when index cannot be matched: before the
 * whole term that stands there, because none of it may be the leader's.  What
 * is committed matches in any case.
 */
static uint64_t
match_hint(const struct raft *raft, uint64_t index)
{
	uint64_t term;

	if (index > raft_last_index(raft))
		return raft_last_index(raft);
	if (index <= raft->commit)
		return index - 1;	/* cannot be; let it step back */
	term = raft_entry_at(raft, index)->term;
	while (index > raft->commit && raft_log_has(raft, index, term))
		index--;
	return index;
}

/*
 * Puts the entries where they belong.  Returns how many of them are in our
 * log afterwards, or -1 when they contradict a committed one.
 */
static int64_t
take_entries(struct raft *raft, struct raft_effects *effects,
    const struct raft_message *m)
{
	uint32_t i, appended = 0;

	for (i = 0; i < m->entry_count; i++) {
		const struct raft_entry *entry = &m->entries[i];
		uint64_t index = m->prev_index + 1 + i;

		if (index <= raft->snapshot_index ||
		    raft_log_has(raft, index, entry->term))
			continue;
		if (index <= raft->commit) {
			trace_add(&raft->trace, "entry %llu of term %llu from "
			    "%u contradicts a committed one -> refused",
			    ull(index), ull(entry->term), m->from);
			return -1;
		}
		if (index <= raft_last_index(raft)) {
			trace_add(&raft->trace, "entry %llu of %u is of term "
			    "%llu, ours is not -> ours dropped from there on",
			    ull(index), m->from, ull(entry->term));
			raft_log_truncate(raft, effects, index);
		}
		if (raft->log_count == RAFT_LOG_MAX) {
			trace_add(&raft->trace, "log full at entry %llu -> "
			    "took %u of %u entries", ull(index - 1), i,
			    m->entry_count);
			break;
		}
		raft_log_append(raft, effects, entry->term, entry->type,
		    entry->data, entry->len);
		appended++;
	}
	if (appended > 0)
		trace_add(&raft->trace, "%u entries after %llu from %u -> "
		    "%u appended, last is %llu", m->entry_count,
		    ull(m->prev_index), m->from, appended,
		    ull(raft_last_index(raft)));
	return i;
}

void
raft_on_append(struct raft *raft, struct raft_effects *effects,
    const struct raft_message *m)
{
	uint64_t match;
	int64_t taken;

	if (!append_is_sound(m)) {
		trace_add(&raft->trace, "append of %u after entry %llu is "
		    "malformed -> ignored", m->from, ull(m->prev_index));
		return;
	}
	if (!accept_leader(raft, effects, m))
		return;

	/* What the snapshot holds is committed, and so the leader's too. */
	if (m->prev_index >= raft->snapshot_index &&
	    !raft_log_has(raft, m->prev_index, m->prev_term)) {
		match = match_hint(raft, m->prev_index);
		trace_add(&raft->trace, "append of %u needs entry %llu of "
		    "term %llu, ours do not have it -> refused, try after "
		    "%llu", m->from, ull(m->prev_index), ull(m->prev_term),
		    ull(match));
		reply(raft, effects, m, false, match);
		return;
	}
	taken = take_entries(raft, effects, m);
	if (taken < 0)
		return;
	match = m->prev_index + (uint64_t)taken;
	if (m->commit > raft->commit && match > raft->commit) {
		raft_log_commit(raft, m->commit < match ? m->commit : match);
		trace_add(&raft->trace, "%u committed up to %llu, verified up "
		    "to %llu -> committed up to %llu", m->from,
		    ull(m->commit), ull(match), ull(raft->commit));
	}
	if (RULE_OFF("verified-ack"))
		match = raft_last_index(raft);
	reply(raft, effects, m, true, match);
}

void
raft_on_snapshot(struct raft *raft, struct raft_effects *effects,
    const struct raft_message *m)
{
	const struct raft_config *config = m->snapshot_config;

	if (m->prev_index == 0 || m->prev_index > RAFT_MESSAGE_NUMBER_MAX ||
	    m->prev_term == 0 || m->prev_term > m->term ||
	    m->snapshot_len > SNAPSHOT_MAX ||
	    (m->snapshot_len > 0 && m->snapshot == NULL) || config == NULL ||
	    config->count == 0 || config->count > MEMBERS_MAX ||
	    !raft_config_is_sound(config) || config->index > m->prev_index) {
		trace_add(&raft->trace, "snapshot of %u at entry %llu is "
		    "malformed -> ignored", m->from, ull(m->prev_index));
		return;
	}
	if (!accept_leader(raft, effects, m))
		return;
	if (m->prev_index > raft->commit) {
		trace_add(&raft->trace, "snapshot of %u at entry %llu, ours "
		    "are committed up to %llu -> installed", m->from,
		    ull(m->prev_index), ull(raft->commit));
		raft_log_install(raft, effects, m);
	}
	reply(raft, effects, m, true, m->prev_index);
}

void
raft_append_to_all(struct raft *raft)
{
	uint32_t i;

	for (i = 0; i < raft->progress_count; i++)
		raft->progress[i].append_due = true;
}

/* False when one is under way and may still arrive. */
static bool
send_snapshot(struct raft *raft, struct raft_effects *effects,
    struct raft_progress *progress)
{
	struct raft_message *m;

	if (!monotime_is_never(progress->snapshot_sent) &&
	    monotime_before(raft->now, monotime_add_ms(
	    progress->snapshot_sent, raft->election_ms)))
		return false;
	progress->snapshot_sent = raft->now;
	m = raft_send(raft, effects, RAFT_MSG_SNAPSHOT, progress->id);
	m->prev_index = raft->snapshot_index;
	m->prev_term = raft->snapshot_term;
	m->commit = raft->commit;
	m->stamp_ns = raft->now.ns;
	m->snapshot = raft->snapshot;
	m->snapshot_len = raft->snapshot_len;
	m->snapshot_config = &raft->snapshot_config;
	trace_add(&raft->trace, "%u needs entry %llu, the log begins after "
	    "%llu -> snapshot sent", progress->id, ull(progress->next),
	    ull(raft->snapshot_index));
	return true;
}

static void
send_append(struct raft *raft, struct raft_effects *effects,
    struct raft_progress *progress)
{
	struct raft_message *m;
	uint64_t prev = progress->next - 1;
	uint64_t count = 0;

	if (prev < raft->snapshot_index) {
		if (send_snapshot(raft, effects, progress))
			return;
		prev = raft->snapshot_index;	/* a heartbeat meanwhile */
	} else {
		count = raft_last_index(raft) - prev;
	}
	if (count > RAFT_BATCH_MAX)
		count = RAFT_BATCH_MAX;

	m = raft_send(raft, effects, RAFT_MSG_APPEND, progress->id);
	m->prev_index = prev;
	m->prev_term = prev == raft->snapshot_index ? raft->snapshot_term :
	    raft_entry_at(raft, prev)->term;
	m->commit = raft->commit;
	m->stamp_ns = raft->now.ns;
	m->entry_count = (uint32_t)count;
	if (count > 0)
		m->entries = raft_entry_at(raft, prev + 1);
}

void
raft_flush(struct raft *raft, struct raft_effects *effects)
{
	uint32_t i;

	for (i = 0; i < raft->progress_count; i++) {
		struct raft_progress *progress = &raft->progress[i];

		if (!progress->append_due)
			continue;
		progress->append_due = false;
		send_append(raft, effects, progress);
	}
}

/* How many voters have it, the leader's own (durable) log included. */
static uint32_t
voters_with(const struct raft *raft, uint64_t index)
{
	uint32_t i, count = raft_is_voter(&raft->config, raft->self) ? 1 : 0;

	for (i = 0; i < raft->progress_count; i++)
		if (raft->progress[i].match >= index && (RULE_OFF(
		    "learner-uncounted") || raft_is_voter(&raft->config,
		    raft->progress[i].id)))
			count++;
	return count;
}

void
raft_advance_commit(struct raft *raft)
{
	uint64_t index;

	for (index = raft_last_index(raft); index > raft->commit; index--) {
		if (raft_entry_at(raft, index)->term != raft->term &&
		    !RULE_OFF("own-term-commit"))
			return;
		if (voters_with(raft, index) < raft_majority(raft))
			continue;
		raft_log_commit(raft, index);
		trace_add(&raft->trace, "entry %llu of term %llu is in the "
		    "logs of %u of %u voters -> committed", ull(index),
		    ull(raft->term), voters_with(raft, index),
		    raft_voters(&raft->config));
		/* At once: agents act on what they know to be committed. */
		if (!RULE_OFF("prompt-commit"))
			raft_append_to_all(raft);
		return;
	}
}

static void
on_refusal(struct raft *raft, struct raft_progress *progress,
    const struct raft_message *m)
{
	/* An answer to something older, or to a heartbeat on the side. */
	if (m->prev_index != progress->next - 1)
		return;
	if (m->prev_index <= progress->match) {
		trace_add(&raft->trace, "%u refuses entry %llu that it had "
		    "acknowledged -> ignored; has it lost its disk?",
		    progress->id, ull(m->prev_index));
		return;
	}
	progress->next = m->match < m->prev_index ? m->match + 1 :
	    m->prev_index;
	if (progress->next <= progress->match)
		progress->next = progress->match + 1;
	progress->append_due = true;
}

void
raft_on_append_reply(struct raft *raft, struct raft_effects *effects,
    const struct raft_message *m)
{
	struct raft_progress *progress = raft_find_progress(raft, m->from);

	if (m->term > raft->term) {
		raft_become_follower(raft, effects, m->term, RAFT_NOBODY);
		return;
	}
	if (raft->role != RAFT_LEADER || m->term < raft->term ||
	    progress == NULL)
		return;

	/* Only what this leader has sent in this term can be echoed. */
	if (m->stamp_ns >= raft->leader_since.ns &&
	    m->stamp_ns <= raft->now.ns &&
	    m->stamp_ns > progress->acked_stamp.ns) {
		progress->acked_stamp.ns = m->stamp_ns;
		progress->promise_ms = m->promise_ms;
	}
	if (RULE_OFF("stamp-at-send"))
		progress->acked_stamp = raft->now;
	if (!m->granted) {
		on_refusal(raft, progress, m);
		return;
	}
	if (m->match > raft_last_index(raft)) {
		trace_add(&raft->trace, "%u acknowledges entry %llu, our last "
		    "is %llu -> ignored, that cannot be", m->from,
		    ull(m->match), ull(raft_last_index(raft)));
		return;
	}
	if (m->match > progress->match) {
		progress->match = m->match;
		progress->snapshot_sent = monotime_never();
		/* Only after an advance: a full log must not be hammered. */
		progress->append_due = m->match < raft_last_index(raft);
		raft_advance_commit(raft);
	}
	progress->next = progress->match + 1;
	raft_continue_transfer(raft, effects);
}
