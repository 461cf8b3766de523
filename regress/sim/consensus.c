/*
 * consensus.c - what raftio does, in virtual time: the one order of effects,
 * the core frozen while a write is under way, events queued meanwhile.
 *
 * A write is durable only when it has ended; one that a crash cuts short may
 * or may not have reached the disk.
 */
#include "sim.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mutant.h"

#define MESSAGES_QUEUED_MAX	512

enum item_kind { ITEM_TICK, ITEM_MESSAGE, ITEM_PROPOSE, ITEM_CHANGE,
	ITEM_TRANSFER };

struct item {
	struct item *next;
	uint8_t kind, change;
	bool from_decide;
	uint32_t server_id;
	size_t len;
	uint8_t data[];
};

static void	pump(struct node *node);
static void	set_timer(struct node *node);

/* ---- messages: everything that a pointer names goes along ---- */

static void
send_raft(struct node *node, const struct raft_message *m)
{
	struct node *to = node_of(m->to);
	size_t entries = m->entry_count * sizeof(struct raft_entry);
	size_t config = m->snapshot_config != NULL ?
	    sizeof(struct raft_config) : 0;
	size_t len = sizeof(*m) + entries + config + m->snapshot_len;
	uint8_t *bytes, *at;

	if (to == NULL)
		return;
	bytes = at = malloc(len);
	if (bytes == NULL)
		abort();
	memcpy(at, m, sizeof(*m));
	at += sizeof(*m);
	if (entries > 0)
		memcpy(at, m->entries, entries);
	at += entries;
	if (config > 0)
		memcpy(at, m->snapshot_config, config);
	at += config;
	if (m->snapshot_len > 0)
		memcpy(at, m->snapshot, m->snapshot_len);
	net_send(node, to, NET_RAFT, bytes, len, 0, 0, 0, 0);
	free(bytes);
}

static void
read_raft(const uint8_t *bytes, struct raft_message *m)
{
	memcpy(m, bytes, sizeof(*m));
	bytes += sizeof(*m);
	m->entries = m->entry_count > 0 ? (const void *)bytes : NULL;
	bytes += m->entry_count * sizeof(struct raft_entry);
	if (m->snapshot_config != NULL) {
		m->snapshot_config = (const void *)bytes;
		bytes += sizeof(struct raft_config);
	}
	m->snapshot = m->snapshot_len > 0 ? bytes : NULL;
}

/* ---- the queue ---- */

static struct item *
new_item(uint8_t kind, const void *data, size_t len)
{
	struct item *item = calloc(1, sizeof(*item) + len);

	if (item == NULL)
		abort();
	item->kind = kind;
	item->len = len;
	if (len > 0)
		memcpy(item->data, data, len);
	return item;
}

static void
enqueue(struct node *node, struct item *item)
{
	*node->io.end = item;
	node->io.end = &item->next;
	if (item->kind == ITEM_MESSAGE)
		node->io.messages++;
}

static struct item *
dequeue(struct node *node)
{
	struct item *item = node->io.first;

	if (item == NULL)
		return NULL;
	node->io.first = item->next;
	if (node->io.first == NULL)
		node->io.end = &node->io.first;
	if (item->kind == ITEM_MESSAGE)
		node->io.messages--;
	else if (item->kind == ITEM_TICK)
		node->io.tick_queued = false;
	return item;
}

/* ---- carrying out effects ---- */

static void
proposal_over(struct node *node)
{
	node->io.pending_index = 0;
	if (node->proposal_pending) {
		node->proposal_pending = false;
		node_wake(node);
	}
}

static void
restore_state(struct node *node)
{
	const struct raft *raft = node->io.raft;
	char errmsg[ERRMSG_MAX];
	struct reader reader;

	reader_init(&reader, raft->snapshot, raft->snapshot_len);
	if (state_decode(node->state, &reader, errmsg) != 0)
		sim_fail("state", "n%u cannot read a snapshot: %.200s",
		    node->id, errmsg);
	else if (node->state->applied != raft->snapshot_index)
		sim_fail("state", "n%u: snapshot at entry %llu holds the "
		    "state at %llu", node->id,
		    (unsigned long long)raft->snapshot_index,
		    (unsigned long long)node->state->applied);
	node_restored(node);
}

static void
retime(struct node *node)
{
	node->io.raft->election_ms =
	    (uint32_t)node->state->settings.election_ms;
	node->io.raft->heartbeat_ms =
	    (uint32_t)node->state->settings.heartbeat_ms;
}

static void
apply_entries(struct node *node)
{
	struct consensus *io = &node->io;
	uint64_t index;

	for (index = io->effects->apply_first; index != 0 &&
	    index <= io->effects->apply_last && !sim.failed; index++) {
		const struct raft_entry *entry = raft_entry_at(io->raft,
		    index);
		char why[TEXT_MAX_LEN + 1];
		bool effect, unknown;

		assert(entry != NULL);
		effect = state_apply(node->state, entry, index, why,
		    &unknown);
		if (unknown) {
			sim_fail("state", "n%u cannot read entry %llu",
			    node->id, (unsigned long long)index);
			return;
		}
		retime(node);
		check_applied(node, entry, index);
		node_applied(node, entry, index, effect, why);
		if (io->pending_index == index)
			proposal_over(node);
	}
}

static void
notify(struct node *node)
{
	struct consensus *io = &node->io;
	const struct raft *raft = io->raft;

	if (raft->role != RAFT_LEADER || raft->term != io->term)
		proposal_over(node);
	if (raft->role == io->role && raft->leader == io->leader &&
	    raft->term == io->term)
		return;
	if (raft->role == RAFT_LEADER && (io->role != RAFT_LEADER ||
	    io->term != raft->term)) {
		check_leader(node);
		sim.counts.elections++;
		sim_say(node, "leads term %llu",
		    (unsigned long long)raft->term);
	}
	io->role = raft->role;
	io->leader = raft->leader;
	io->term = raft->term;
	node_role(node);
}

static void
carry_out(struct node *node)
{
	const struct raft_effects *effects = node->io.effects;
	uint32_t i;

	for (i = 0; i < effects->message_count; i++)
		send_raft(node, &effects->messages[i]);
	if (effects->restore) {
		restore_state(node);
		retime(node);
	}
	apply_entries(node);
	notify(node);
}

/* ---- the write ---- */

static void
swap_images(struct consensus *io)
{
	struct disk_image held = io->disk;

	io->disk = io->image;
	io->image = held;
}

static void
write_failed(struct node *node)
{
	struct raft_event event = { .type = RAFT_EVENT_DISK_FAILED };

	node->io.disk_failing = true;
	node->io.retry_at = node_local(node) + 250 * MS;
	raft_step(node->io.raft, &event, (monotime_t){ node_local(node) },
	    node->io.effects);
	sim_say(node, "its disk refuses a write");
	notify(node);
}

static void
written(struct sim_event *event)
{
	struct node *node = event->node;
	struct consensus *io = &node->io;
	bool kept = io->image.promise > io->disk.promise;

	io->writing = false;
	io->stepping = true;
	if (event->a != 0) {
		write_failed(node);
	} else {
		io->disk_failing = false;
		swap_images(io);
		io->disk.generation = io->image.generation + 1;
		check_entries(node);
		carry_out(node);
		if (kept)
			node_promise_kept(node, io->disk.promise);
	}
	io->stepping = false;
	pump(node);
}

static void
make_image(struct node *node)
{
	struct consensus *io = &node->io;
	struct buf buf;

	if (io->image.bytes == NULL)
		io->image.bytes = malloc(RAFT_IMAGE_MAX);
	if (io->image.bytes == NULL)
		abort();
	buf_init(&buf, io->image.bytes, RAFT_IMAGE_MAX);
	raft_encode(io->raft, &buf);
	assert(!buf.failed);
	io->image.len = buf.len;
	io->image.promise = io->promise_wanted > io->disk.promise ?
	    io->promise_wanted : io->disk.promise;
}

static void
start_write(struct node *node)
{
	int64_t takes = sim_delay(MS, 30 * MS);

	make_image(node);
	node->io.writing = true;
	if (!sim.options.quiet && !sim.calm && sim_chance(2))
		takes = sim_between(SECOND / 2, 2 * SECOND);
	if (node->disk_slow > takes)
		takes = node->disk_slow;
	sim_plan(takes, written, node, LAYER_AGENT)->a = !sim.options.quiet &&
	    !sim.calm && sim_chance(1);
}

void
consensus_store_now(struct node *node)
{
	make_image(node);
	swap_images(&node->io);
}

/* ---- one step ---- */

static void
step(struct node *node, const struct raft_event *event, bool must_store)
{
	struct consensus *io = &node->io;

	io->stepping = true;
	raft_step(io->raft, event, (monotime_t){ node_local(node) },
	    io->effects);
	if ((io->effects->persist && !RULE_OFF("stored-first")) ||
	    must_store)
		start_write(node);
	else
		carry_out(node);
	io->stepping = false;
}

static void
settle_proposal(struct node *node, const struct item *item)
{
	struct consensus *io = &node->io;

	if (!item->from_decide)
		return;
	if (io->effects->result == 0) {
		io->pending_index = io->effects->proposed_index;
		io->pending_term = io->raft->term;
	} else
		proposal_over(node);
}

/* As step(), with the proposal settled between the step and its effects. */
static void
step_request(struct node *node, const struct raft_event *event,
    const struct item *item)
{
	struct consensus *io = &node->io;

	io->stepping = true;
	raft_step(io->raft, event, (monotime_t){ node_local(node) },
	    io->effects);
	settle_proposal(node, item);
	if (io->effects->persist && !RULE_OFF("stored-first"))
		start_write(node);
	else
		carry_out(node);
	io->stepping = false;
}

static void
step_item(struct node *node, struct item *item)
{
	struct raft_event event = { 0 };
	struct raft_message message;

	switch (item->kind) {
	case ITEM_TICK:
		event.type = RAFT_EVENT_TICK;
		break;
	case ITEM_MESSAGE:
		event.type = RAFT_EVENT_MESSAGE;
		read_raft(item->data, &message);
		event.message = &message;
		break;
	case ITEM_PROPOSE:
		event.type = RAFT_EVENT_PROPOSE;
		event.data = item->data;
		event.len = item->len;
		break;
	case ITEM_CHANGE:
		event.type = RAFT_EVENT_CHANGE;
		event.change = item->change;
		event.server_id = item->server_id;
		break;
	default:
		event.type = RAFT_EVENT_TRANSFER;
		event.server_id = item->server_id;
		break;
	}
	step_request(node, &event, item);
	free(item);
}

static bool
may_step(const struct node *node)
{
	const struct consensus *io = &node->io;

	return node->joined && node->agent_up && !io->writing &&
	    !io->stepping && !sim.failed && (!io->disk_failing ||
	    node_local(node) >= io->retry_at);
}

static void
step_compact(struct node *node)
{
	static uint8_t memory[SNAPSHOT_MAX];
	struct raft_event event = { .type = RAFT_EVENT_COMPACT };
	struct buf buf;

	node->io.compacted_at = node->io.raft->applied;
	buf_init(&buf, memory, sizeof(memory));
	state_encode(node->state, &buf);
	if (buf.failed) {
		sim_fail("state", "the state of n%u does not fit in a "
		    "snapshot", node->id);
		return;
	}
	event.data = buf.data;
	event.len = buf.len;
	step(node, &event, false);
}

static void
pump(struct node *node)
{
	struct consensus *io = &node->io;
	struct raft_event tick = { .type = RAFT_EVENT_TICK };
	struct item *item;

	while (may_step(node)) {
		const struct raft *raft = io->raft;

		if (raft->log_count > RAFT_LOG_COMPACT &&
		    raft->applied > raft->snapshot_index &&
		    raft->applied == node->state->applied &&
		    raft->applied != io->compacted_at) {
			step_compact(node);
		} else if (io->promise_wanted > io->disk.promise) {
			step(node, &tick, true);
		} else {
			item = dequeue(node);
			if (item == NULL)
				break;
			step_item(node, item);
		}
	}
	set_timer(node);
}

/* ---- timer ---- */

static void
on_timer(struct sim_event *event)
{
	struct node *node = event->node;

	if (event->a != node->io.timer_life)
		return;
	if (!node->io.tick_queued) {
		node->io.tick_queued = true;
		enqueue(node, new_item(ITEM_TICK, NULL, 0));
	}
	pump(node);
}

static void
set_timer(struct node *node)
{
	struct consensus *io = &node->io;
	int64_t due;

	io->timer_life++;
	if (!node->joined || io->writing || io->stepping || !node->agent_up)
		return;
	due = io->disk_failing ? io->retry_at :
	    raft_next_deadline(io->raft).ns;
	due = node_until(node, due) + MS;
	sim_plan(due > MS ? due : MS, on_timer, node, LAYER_AGENT)->a =
	    io->timer_life;
}

static void
on_wake(struct sim_event *event)
{
	if (event->node->io.kept_due) {
		event->node->io.kept_due = false;
		node_promise_kept(event->node, event->node->io.disk.promise);
	}
	pump(event->node);
}

static void
wake(struct node *node)
{
	sim_plan(MS / 50, on_wake, node, LAYER_AGENT);
}

/* ---- life ---- */

void
consensus_start(struct node *node)
{
	struct consensus *io = &node->io;
	char errmsg[ERRMSG_MAX];
	struct reader reader;

	io->first = NULL;
	io->end = &io->first;
	io->stepping = io->writing = io->disk_failing = false;
	io->tick_queued = io->kept_due = false;
	io->promise_wanted = io->disk.promise;
	io->pending_index = 0;
	io->compacted_at = 0;
	io->checked_count = 0;
	state_init(node->state);
	raft_init(io->raft, node->id);
	reader_init(&reader, io->disk.bytes, io->disk.len);
	if (raft_decode(io->raft, &reader, errmsg) != 0) {
		sim_fail("store", "n%u cannot read what it stored: %.200s",
		    node->id, errmsg);
		return;
	}
	/* As raftio: the settings that may have been in force. */
	if (io->raft->snapshot_len > 0) {
		reader_init(&reader, io->raft->snapshot,
		    io->raft->snapshot_len);
		if (state_decode(node->state, &reader, errmsg) != 0)
			sim_fail("store", "%.200s", errmsg);
	}
	raft_start(io->raft, (uint32_t)node->state->settings.election_ms,
	    (uint32_t)node->state->settings.heartbeat_ms, sim_random(),
	    (monotime_t){ node_local(node) });
	state_init(node->state);
	io->stored_last = raft_last_index(io->raft);
	io->role = io->raft->role;
	io->leader = io->raft->leader;
	io->term = io->raft->term;
	node->joined = true;
	io->tick_queued = true;
	enqueue(node, new_item(ITEM_TICK, NULL, 0));
	wake(node);
}

void
consensus_stop(struct node *node)
{
	struct item *item;

	if (node->io.end != NULL)
		while ((item = dequeue(node)) != NULL)
			free(item);
	/* The rename may have happened. */
	if (node->io.writing && sim_chance(500))
		swap_images(&node->io);
	node->io.writing = false;
	node->joined = false;
}

/* ---- what comes in ---- */

void
consensus_receive(struct node *node, const struct net_message *m)
{
	if (!node->joined || node->io.messages >= MESSAGES_QUEUED_MAX)
		return;
	enqueue(node, new_item(ITEM_MESSAGE, m->data, m->len));
	pump(node);
}

void
consensus_propose(struct node *node, const struct command *command,
    bool from_decide)
{
	uint8_t data[ENTRY_DATA_MAX];
	struct item *item;
	struct buf buf;

	buf_init(&buf, data, sizeof(data));
	command_encode(command, &buf);
	if (buf.failed) {
		sim_fail("state", "a %s does not fit in an entry",
		    command_name(command->type));
		return;
	}
	item = new_item(ITEM_PROPOSE, data, buf.len);
	item->from_decide = from_decide;
	enqueue(node, item);
	wake(node);
}

void
consensus_change(struct node *node, uint8_t change, uint32_t id)
{
	struct item *item = new_item(ITEM_CHANGE, NULL, 0);

	item->change = change;
	item->server_id = id;
	enqueue(node, item);
	wake(node);
}

void
consensus_transfer(struct node *node, uint32_t id)
{
	struct item *item = new_item(ITEM_TRANSFER, NULL, 0);

	item->server_id = id;
	enqueue(node, item);
	wake(node);
}

void
consensus_promise(struct node *node, uint64_t epoch)
{
	if (epoch <= node->io.disk.promise)
		node->io.kept_due = true;
	else if (epoch > node->io.promise_wanted)
		node->io.promise_wanted = epoch;
	wake(node);
}

bool
consensus_is_leader(const struct node *node)
{
	return node->joined && node->io.role == RAFT_LEADER &&
	    node->io.raft->role == RAFT_LEADER &&
	    node->io.raft->term == node->io.term;
}

bool
consensus_is_behind(const struct node *node)
{
	uint64_t last = raft_last_index(node->io.raft);

	if (last > node->io.stored_last)
		last = node->io.stored_last;
	return node->state->applied < last;
}

bool
consensus_may_decide(const struct node *node)
{
	return consensus_is_leader(node) && raft_may_decide(node->io.raft,
	    (monotime_t){ node_local(node) });
}
