/*
 * raft_fuzz.c - an image of the consensus and what comes after a start.
 *
 * The input is one image as the store keeps it, then events.  The other side
 * of a link is authenticated, not trusted to be right: whatever it says, the
 * server must stay storable, and term, vote and commit never go back.
 */
#include "../fixtures/table.h"

#include "fuzz.h"

static struct raft raft, stored;
static struct raft_effects effects;
static struct raft_entry entries[RAFT_BATCH_MAX];
static struct raft_config config;
static uint8_t image[RAFT_IMAGE_MAX], image_again[RAFT_IMAGE_MAX];
static uint8_t frame[FRAME_MAX];

static void
check_storable(void)
{
	char errmsg[ERRMSG_MAX];
	struct reader reader;
	struct buf buf, again;

	buf_init(&buf, image, sizeof(image));
	raft_encode(&raft, &buf);
	assert(!buf.failed);
	reader_init(&reader, image, buf.len);
	assert(raft_decode(&stored, &reader, errmsg) == 0);
	assert(reader_is_done(&reader));
	buf_init(&again, image_again, sizeof(image_again));
	raft_encode(&stored, &again);
	assert(again.len == buf.len && memcmp(image, image_again,
	    buf.len) == 0);
}

static void
check_messages(void)
{
	struct raft_message message;
	struct reader reader;
	struct buf buf;
	uint32_t i;

	for (i = 0; i < effects.message_count; i++) {
		const struct raft_message *m = &effects.messages[i];

		assert(m->from == raft.self && m->to != raft.self);
		assert(m->to != RAFT_NOBODY);
		buf_init(&buf, frame, sizeof(frame));
		wire_put_raft(&buf, m);
		assert(!buf.failed);
		reader_init(&reader, frame, buf.len);
		assert(wire_get_raft(&reader, &message, entries,
		    &config) == 0);
	}
}

/* One step, and what must hold across it. */
static void
step(const struct raft_event *event, monotime_t now)
{
	uint64_t term = raft.term, commit = raft.commit;
	uint32_t vote = raft.voted_for;

	raft_step(&raft, event, now, &effects);
	assert(raft.term >= term);
	assert(raft.term > term || vote == RAFT_NOBODY ||
	    raft.voted_for == vote);
	assert(raft.commit >= commit ||
	    event->type == RAFT_EVENT_DISK_FAILED);
	assert(raft.commit <= raft_last_index(&raft));
	assert(raft.applied <= raft.commit);
	assert(raft.log_count <= RAFT_LOG_MAX);
	check_messages();
	if (effects.persist)
		check_storable();
}

/* A frame of the input, addressed to this server. */
static bool
read_message(struct reader *input, struct raft_message *message)
{
	uint16_t len = reader_get_u16(input);
	struct reader reader;

	if (input->failed || len > input->size - input->pos)
		return false;
	reader_init(&reader, input->data + input->pos, len);
	input->pos += len;
	if (wire_get_raft(&reader, message, entries, &config) != 0)
		return false;
	message->to = raft.self;
	return true;
}

static bool
read_event(struct reader *input, struct raft_event *event,
    struct raft_message *message)
{
	memset(event, 0, sizeof(*event));
	event->type = (uint8_t)(RAFT_EVENT_TICK +
	    reader_get_u8(input) % RAFT_EVENT_DISK_FAILED);
	switch (event->type) {
	case RAFT_EVENT_MESSAGE:
		event->message = message;
		return read_message(input, message);
	case RAFT_EVENT_PROPOSE:
	case RAFT_EVENT_COMPACT:
		event->len = reader_get_u16(input) % (ENTRY_DATA_MAX + 2);
		if (event->len > input->size - input->pos)
			return false;
		event->data = input->data + input->pos;
		input->pos += event->len;
		return true;
	case RAFT_EVENT_CHANGE:
		event->change = reader_get_u8(input) % 5;
		event->server_id = reader_get_u8(input) % 16;
		return true;
	case RAFT_EVENT_TRANSFER:
		event->server_id = reader_get_u8(input) % 16;
		return true;
	case RAFT_EVENT_DISK_FAILED:
		return effects.persist;
	default:
		return true;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char errmsg[ERRMSG_MAX] = "";
	monotime_t now = monotime_from_ms(1000000);
	struct raft_message message;
	struct raft_event event;
	struct reader reader;
	struct buf buf;
	int i;

	reader_init(&reader, data, size);
	if (raft_decode(&raft, &reader, errmsg) != 0) {
		assert(errmsg[0] != '\0' && raft.self == RAFT_NOBODY);
		return 0;
	}
	buf_init(&buf, image, sizeof(image));
	raft_encode(&raft, &buf);
	assert(!buf.failed && buf.len == reader.pos);
	assert(memcmp(image, data, buf.len) == 0);

	memset(&effects, 0, sizeof(effects));
	raft_start(&raft, 1000, 200, 1, now);
	for (i = 0; i < 64 && reader.pos < reader.size; i++) {
		now = monotime_add_ms(now, reader_get_u8(&reader) * 16);
		if (!read_event(&reader, &event, &message) || reader.failed)
			break;
		step(&event, now);
		(void)raft_may_decide(&raft, now);
		(void)raft_next_deadline(&raft);
	}
	return 0;
}
