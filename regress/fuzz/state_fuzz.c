/*
 * state_fuzz.c - the replicated state and the commands that change it.
 *
 * First byte 0: an encoded state.  1: one command.  2: entries, each a type,
 * a length and that many bytes, applied to an empty state, or 3: to the
 * golden one.  Whatever entries are committed, the state that they make can
 * be stored and read again, and gives every member an order.
 */
#include "../fixtures/table.h"

#include "fuzz.h"

static struct state state, decoded;
static uint8_t memory[SNAPSHOT_MAX], memory_again[SNAPSHOT_MAX];

/* What one decoder takes it writes as the same bytes. */
static void
check_canonical(int (*again)(struct reader *, struct buf *),
    const uint8_t *data, size_t size)
{
	struct reader reader;
	struct buf buf;

	reader_init(&reader, data, size);
	buf_init(&buf, memory, sizeof(memory));
	if (again(&reader, &buf) != 0)
		return;
	assert(!buf.failed && buf.len == size);
	assert(memcmp(memory, data, size) == 0);
}

/* The ring of events is turned, so bytes are compared, not memory. */
static void
check_storable(void)
{
	char errmsg[ERRMSG_MAX];
	struct reader reader;
	struct buf buf, again;

	buf_init(&buf, memory, sizeof(memory));
	state_encode(&state, &buf);
	assert(!buf.failed);
	reader_init(&reader, memory, buf.len);
	assert(state_decode(&decoded, &reader, errmsg) == 0);
	buf_init(&again, memory_again, sizeof(memory_again));
	state_encode(&decoded, &again);
	assert(again.len == buf.len && memcmp(memory, memory_again,
	    buf.len) == 0);
}

static void
check_orders(void)
{
	struct order order;
	uint32_t i;

	state_order(&state, 0, &order);
	assert(order.kind < ORDER_COUNT);
	for (i = 0; i < state.member_count; i++) {
		state_order(&state, state.members[i].id, &order);
		assert(order.kind < ORDER_COUNT);
		assert(order.target_id == state.members[i].id);
	}
}

static void
apply_entries(struct reader *reader)
{
	static struct raft_entry entry;
	char why[TEXT_MAX_LEN + 1];
	bool unknown, effect;
	int i;

	for (i = 0; i < 64 && reader->pos < reader->size; i++) {
		entry.type = (uint8_t)(RAFT_ENTRY_NOOP +
		    reader_get_u8(reader) % 3);
		entry.len = reader_get_u16(reader);
		if (entry.len > sizeof(entry.data))
			return;
		reader_get_bytes(reader, entry.data, entry.len);
		if (reader->failed)
			return;
		effect = state_apply(&state, &entry, state.applied + 1, why,
		    &unknown);
		assert(!(effect && unknown));
		assert(effect || why[0] != '\0' ||
		    entry.type == RAFT_ENTRY_NOOP);
		check_storable();
		check_orders();
		if (unknown)
			return;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader reader;

	if (size == 0 || size > SNAPSHOT_MAX)
		return -1;
	switch (data[0]) {
	case 0:
		check_canonical(again_state, data + 1, size - 1);
		return 0;
	case 1:
		check_canonical(again_command, data + 1, size - 1);
		return 0;
	case 2:
		state_init(&state);
		break;
	case 3:
		golden_state(&state);
		break;
	default:
		return -1;
	}
	reader_init(&reader, data + 1, size - 1);
	apply_entries(&reader);
	return 0;
}
