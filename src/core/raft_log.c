/*
 * raft_log.c - the log, the configurations in it, the snapshot before it.
 *
 * Owns every change of log, snapshot and configuration, and asks for the
 * write that each of them needs.  It must never drop or change an entry at or
 * below commit.
 */
#include "raft_internal.h"

#include <assert.h>
#include <string.h>

#include "mutant.h"

uint64_t
raft_last_index(const struct raft *raft)
{
	return raft->snapshot_index + raft->log_count;
}

const struct raft_entry *
raft_entry_at(const struct raft *raft, uint64_t index)
{
	if (index <= raft->snapshot_index || index > raft_last_index(raft))
		return NULL;
	return &raft->log[index - raft->snapshot_index - 1];
}

uint64_t
raft_last_term(const struct raft *raft)
{
	if (raft->log_count == 0)
		return raft->snapshot_term;
	return raft->log[raft->log_count - 1].term;
}

bool
raft_log_has(const struct raft *raft, uint64_t index, uint64_t term)
{
	const struct raft_entry *entry = raft_entry_at(raft, index);

	if (entry != NULL)
		return entry->term == term;
	return index == raft->snapshot_index && term == raft->snapshot_term;
}

static int
config_of_entry(const struct raft_entry *entry, struct raft_config *config)
{
	struct reader reader;

	reader_init(&reader, entry->data, entry->len);
	if (raft_config_decode(config, &reader) != 0 ||
	    !reader_is_done(&reader))
		return -1;
	return 0;
}

void
raft_config_as_of(const struct raft *raft, uint64_t index,
    struct raft_config *config)
{
	const struct raft_entry *entry;

	for (; (entry = raft_entry_at(raft, index)) != NULL; index--)
		if (entry->type == RAFT_ENTRY_CONFIG) {
			int rc = config_of_entry(entry, config);

			assert(rc == 0);	/* checked when it came in */
			(void)rc;
			return;
		}
	*config = raft->snapshot_config;
}

bool
raft_entry_is_sound(const struct raft_entry *entry, uint64_t index)
{
	struct raft_config config;

	if (entry->term == 0 || entry->term > RAFT_NUMBER_MAX ||
	    entry->len > ENTRY_DATA_MAX)
		return false;
	switch (entry->type) {
	case RAFT_ENTRY_NOOP:
		return entry->len == 0;
	case RAFT_ENTRY_COMMAND:
		return true;
	case RAFT_ENTRY_CONFIG:
		return config_of_entry(entry, &config) == 0 &&
		    config.count > 0 && config.index == index;
	default:
		return false;
	}
}

void
raft_log_append(struct raft *raft, struct raft_effects *effects,
    uint64_t term, uint8_t type, const void *data, size_t len)
{
	struct raft_entry *entry;

	assert(raft->log_count < RAFT_LOG_MAX && len <= ENTRY_DATA_MAX);
	entry = &raft->log[raft->log_count++];
	entry->term = term;
	entry->type = type;
	entry->len = (uint16_t)len;
	if (len > 0)
		memcpy(entry->data, data, len);
	if (type == RAFT_ENTRY_CONFIG)
		raft_config_as_of(raft, raft_last_index(raft), &raft->config);
	if (effects != NULL)
		effects->persist = true;
}

void
raft_log_truncate(struct raft *raft, struct raft_effects *effects,
    uint64_t index)
{
	assert(index > raft->commit && index <= raft_last_index(raft));
	raft->log_count = (uint32_t)(index - raft->snapshot_index - 1);
	if (raft->config.index >= index && !RULE_OFF("config-rollback"))
		raft_config_as_of(raft, index - 1, &raft->config);
	effects->persist = true;
}

/* Drops the front of the log up to index, which becomes the last folded. */
static void
fold(struct raft *raft, uint64_t index, uint64_t term)
{
	uint64_t gone = index - raft->snapshot_index;

	if (gone < raft->log_count && raft_log_has(raft, index, term)) {
		raft->log_count -= (uint32_t)gone;
		memmove(&raft->log[0], &raft->log[gone],
		    raft->log_count * sizeof(raft->log[0]));
	} else {
		raft->log_count = 0;
	}
	raft->snapshot_index = index;
	raft->snapshot_term = term;
}

static void
set_snapshot(struct raft *raft, const void *data, size_t len)
{
	assert(len <= SNAPSHOT_MAX);
	if (len > 0)
		memcpy(raft->snapshot, data, len);
	raft->snapshot_len = len;
}

int
raft_log_compact(struct raft *raft, struct raft_effects *effects,
    const void *data, size_t len)
{
	const struct raft_entry *last = raft_entry_at(raft, raft->applied);
	struct raft_config config;

	if (len > SNAPSHOT_MAX)
		return RAFT_E_TOO_LARGE;
	/* Nothing new, or the state machine has not been restored yet. */
	if (last == NULL || raft->restore_due)
		return 0;
	raft_config_as_of(raft, raft->applied, &config);
	set_snapshot(raft, data, len);
	trace_add(&raft->trace, "the state at entry %llu is %zu bytes, %u "
	    "entries behind it -> log compacted",
	    (unsigned long long)raft->applied, len, raft->log_count -
	    (uint32_t)(raft->applied - raft->snapshot_index));
	fold(raft, raft->applied, last->term);
	raft->snapshot_config = config;
	effects->persist = true;
	return 0;
}

void
raft_log_install(struct raft *raft, struct raft_effects *effects,
    const struct raft_message *message)
{
	fold(raft, message->prev_index, message->prev_term);
	set_snapshot(raft, message->snapshot, message->snapshot_len);
	raft->snapshot_config = *message->snapshot_config;
	raft_config_as_of(raft, raft_last_index(raft), &raft->config);
	raft->commit = raft->snapshot_index;
	raft->committed_config = raft->snapshot_config;
	raft->applied = raft->snapshot_index;
	raft->restore_due = true;
	effects->persist = true;
}

void
raft_log_commit(struct raft *raft, uint64_t index)
{
	assert(index > raft->commit && index <= raft_last_index(raft));
	raft->commit = index;
	if (raft->config.index <= index)
		raft->committed_config = raft->config;
	else
		raft_config_as_of(raft, index, &raft->committed_config);
}
