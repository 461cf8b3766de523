/*
 * raft_codec.c - the durable image of a server and of a configuration.
 *
 * Owns the layout.  Decoding trusts nothing: an image that is cut short,
 * contradicts itself or comes from a newer version is refused with a message
 * that says what was found, and the server is left empty.  It must never
 * guess a missing term or vote: that would be amnesia.
 */
#include "raft_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define IMAGE_MAGIC	0x52414654u	/* "RAFT" */
#define IMAGE_END	0x54464152u
#define IMAGE_VERSION	1
#define CONFIG_VERSION	1

_Static_assert(RAFT_CONFIG_IMAGE_MAX <= ENTRY_DATA_MAX,
    "a configuration fits in an entry");

void
raft_config_encode(const struct raft_config *config, struct buf *buf)
{
	uint32_t i;

	buf_put_u8(buf, CONFIG_VERSION);
	buf_put_u64(buf, config->index);
	buf_put_u16(buf, (uint16_t)config->count);
	for (i = 0; i < config->count; i++) {
		buf_put_u32(buf, config->servers[i].id);
		buf_put_u8(buf, config->servers[i].voter ? 1 : 0);
	}
}

bool
raft_config_is_sound(const struct raft_config *config)
{
	uint32_t i, last_id = RAFT_NOBODY, voters = raft_voters(config);

	if (config->index > RAFT_NUMBER_MAX)
		return false;
	for (i = 0; i < config->count; i++) {
		if (config->servers[i].id <= last_id)
			return false;
		last_id = config->servers[i].id;
	}
	/* Nobody at all is where a new server begins, and entry 0 made it. */
	if (config->count == 0)
		return config->index == 0;
	return config->index > 0 && voters > 0 && voters <= VOTERS_MAX;
}

static bool
read_config(struct raft_config *config, struct reader *reader)
{
	uint32_t i;

	if (reader_get_u8(reader) != CONFIG_VERSION)
		return false;
	config->index = reader_get_u64(reader);
	config->count = reader_get_u16(reader);
	if (reader->failed || config->count > MEMBERS_MAX)
		return false;
	for (i = 0; i < config->count; i++) {
		struct raft_server *server = &config->servers[i];
		uint8_t voter;

		server->id = reader_get_u32(reader);
		voter = reader_get_u8(reader);
		if (voter > 1)
			return false;
		server->voter = voter == 1;
	}
	return !reader->failed && raft_config_is_sound(config);
}

int
raft_config_decode(struct raft_config *config, struct reader *reader)
{
	memset(config, 0, sizeof(*config));
	if (read_config(config, reader))
		return 0;
	memset(config, 0, sizeof(*config));
	return -1;
}

void
raft_encode(const struct raft *raft, struct buf *buf)
{
	uint32_t i;

	buf_put_u32(buf, IMAGE_MAGIC);
	buf_put_u8(buf, IMAGE_VERSION);
	buf_put_u32(buf, raft->self);
	buf_put_u64(buf, raft->term);
	buf_put_u32(buf, raft->voted_for);
	buf_put_u64(buf, raft->commit);
	buf_put_u64(buf, raft->snapshot_index);
	buf_put_u64(buf, raft->snapshot_term);
	raft_config_encode(&raft->snapshot_config, buf);
	buf_put_blob(buf, raft->snapshot, raft->snapshot_len);
	buf_put_u32(buf, raft->log_count);
	for (i = 0; i < raft->log_count; i++) {
		buf_put_u64(buf, raft->log[i].term);
		buf_put_u8(buf, raft->log[i].type);
		buf_put_u16(buf, raft->log[i].len);
		buf_put_bytes(buf, raft->log[i].data, raft->log[i].len);
	}
	buf_put_u32(buf, IMAGE_END);
}

static int
read_head(struct raft *raft, struct reader *reader, char *errmsg)
{
	uint32_t magic, self;
	uint8_t version;

	magic = reader_get_u32(reader);
	version = reader_get_u8(reader);
	if (reader->failed || magic != IMAGE_MAGIC) {
		snprintf(errmsg, ERRMSG_MAX,
		    "consensus state does not begin with its mark");
		return -1;
	}
	if (version != IMAGE_VERSION) {
		snprintf(errmsg, ERRMSG_MAX, "consensus state has format "
		    "version %u, this program reads version %u",
		    (unsigned int)version, (unsigned int)IMAGE_VERSION);
		return -1;
	}
	self = reader_get_u32(reader);
	raft->self = self;
	raft->term = reader_get_u64(reader);
	raft->voted_for = reader_get_u32(reader);
	raft->commit = reader_get_u64(reader);
	if (reader->failed) {
		snprintf(errmsg, ERRMSG_MAX,
		    "consensus state ends before its term and vote");
		return -1;
	}
	if (self == RAFT_NOBODY || raft->term > RAFT_NUMBER_MAX) {
		snprintf(errmsg, ERRMSG_MAX, "consensus state of member %u in "
		    "term %llu cannot be", self,
		    (unsigned long long)raft->term);
		return -1;
	}
	return 0;
}

static int
read_snapshot(struct raft *raft, struct reader *reader, char *errmsg)
{
	const uint8_t *data;
	bool is_first;

	raft->snapshot_index = reader_get_u64(reader);
	raft->snapshot_term = reader_get_u64(reader);
	if (raft_config_decode(&raft->snapshot_config, reader) != 0) {
		snprintf(errmsg, ERRMSG_MAX,
		    "members in the snapshot of the consensus state are "
		    "damaged");
		return -1;
	}
	data = reader_get_blob(reader, &raft->snapshot_len);
	if (reader->failed || raft->snapshot_len > SNAPSHOT_MAX) {
		snprintf(errmsg, ERRMSG_MAX,
		    "snapshot in the consensus state is cut short or longer "
		    "than %d bytes", SNAPSHOT_MAX);
		raft->snapshot_len = 0;
		return -1;
	}
	if (raft->snapshot_len > 0)
		memcpy(raft->snapshot, data, raft->snapshot_len);

	/* Before the first snapshot there is nothing at all. */
	is_first = raft->snapshot_index == 0;
	if (raft->snapshot_index > RAFT_NUMBER_MAX ||
	    raft->snapshot_term > raft->term ||
	    raft->snapshot_config.index > raft->snapshot_index ||
	    is_first != (raft->snapshot_term == 0) ||
	    is_first != (raft->snapshot_config.count == 0) ||
	    (is_first && raft->snapshot_len != 0)) {
		snprintf(errmsg, ERRMSG_MAX, "snapshot at entry %llu of term "
		    "%llu contradicts the consensus state of term %llu",
		    (unsigned long long)raft->snapshot_index,
		    (unsigned long long)raft->snapshot_term,
		    (unsigned long long)raft->term);
		return -1;
	}
	return 0;
}

/* Reads one entry behind the others.  False when it is cut or unsound. */
static bool
read_entry(struct raft *raft, struct reader *reader)
{
	struct raft_entry *entry = &raft->log[raft->log_count];

	entry->term = reader_get_u64(reader);
	entry->type = reader_get_u8(reader);
	entry->len = reader_get_u16(reader);
	if (reader->failed || entry->len > ENTRY_DATA_MAX)
		return false;
	reader_get_bytes(reader, entry->data, entry->len);
	if (reader->failed || entry->term > raft->term ||
	    entry->term < raft_last_term(raft) ||
	    !raft_entry_is_sound(entry, raft_last_index(raft) + 1))
		return false;
	raft->log_count++;
	return true;
}

static int
read_log(struct raft *raft, struct reader *reader, char *errmsg)
{
	uint32_t count = reader_get_u32(reader);

	if (reader->failed || count > RAFT_LOG_MAX) {
		snprintf(errmsg, ERRMSG_MAX, "number of entries in the "
		    "consensus state is missing or above %d", RAFT_LOG_MAX);
		return -1;
	}
	while (raft->log_count < count)
		if (!read_entry(raft, reader)) {
			snprintf(errmsg, ERRMSG_MAX, "entry %llu of the "
			    "consensus state is damaged or cut short",
			    (unsigned long long)(raft_last_index(raft) + 1));
			return -1;
		}
	if (reader_get_u32(reader) != IMAGE_END) {
		snprintf(errmsg, ERRMSG_MAX,
		    "consensus state does not end with its mark");
		return -1;
	}
	if (raft->commit < raft->snapshot_index ||
	    raft->commit > raft_last_index(raft)) {
		snprintf(errmsg, ERRMSG_MAX, "consensus state is committed up "
		    "to entry %llu but holds %llu to %llu",
		    (unsigned long long)raft->commit,
		    (unsigned long long)raft->snapshot_index,
		    (unsigned long long)raft_last_index(raft));
		return -1;
	}
	return 0;
}

int
raft_decode(struct raft *raft, struct reader *reader, char *errmsg)
{
	errmsg[0] = '\0';
	raft_init(raft, RAFT_NOBODY);
	if (read_head(raft, reader, errmsg) != 0 ||
	    read_snapshot(raft, reader, errmsg) != 0 ||
	    read_log(raft, reader, errmsg) != 0) {
		raft_init(raft, RAFT_NOBODY);
		return -1;
	}
	raft_config_as_of(raft, raft_last_index(raft), &raft->config);
	raft_config_as_of(raft, raft->commit, &raft->committed_config);
	return 0;
}
