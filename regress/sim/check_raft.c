/*
 * check_raft.c - consensus: one leader a term, matching logs, equal states,
 * nothing committed ever lost, one coordinator that may decide.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

#define TERMS_MAX	8192
#define ENTRIES_MAX	65536
#define SLOTS		(1u << 15)

struct committed {
	uint64_t term, hash, state;
};

static struct {
	uint32_t leaders[TERMS_MAX];	/* by term */
	struct committed *committed;	/* by index */
	uint64_t committed_count;
	/* what stands at (index, term) in anybody's log */
	struct { uint64_t run, index, term, hash; } *slots;
	uint64_t run;
} seen;

void
check_reset(void)
{
	if (seen.committed == NULL) {
		seen.committed = calloc(ENTRIES_MAX,
		    sizeof(*seen.committed));
		seen.slots = calloc(SLOTS, sizeof(*seen.slots));
		if (seen.committed == NULL || seen.slots == NULL)
			abort();
	}
	memset(seen.leaders, 0, sizeof(seen.leaders));
	memset(seen.committed, 0, (seen.committed_count + 1) *
	    sizeof(*seen.committed));
	seen.committed_count = 0;
	seen.run++;
	check_data_reset();
}

void
check_leader(const struct node *node)
{
	uint64_t term = node->io.raft->term;

	if (term >= TERMS_MAX)
		return;
	if (seen.leaders[term] != 0 && seen.leaders[term] != node->id)
		sim_fail("raft", "n%u and n%u both lead term %llu",
		    seen.leaders[term], node->id, (unsigned long long)term);
	seen.leaders[term] = node->id;
}

static uint64_t
hash_entry(const struct raft_entry *entry)
{
	return sim_hash(entry->data, entry->len) * 31 + entry->type;
}

static void
check_match(const struct node *node, uint64_t index,
    const struct raft_entry *entry)
{
	uint64_t hash = hash_entry(entry);
	uint64_t slot = (index * 0x9e3779b97f4a7c15u + entry->term) *
	    0xbf58476d1ce4e5b9u >> 49;
	uint32_t tries;

	for (tries = 0; tries < 64; tries++, slot = (slot + 1) % SLOTS) {
		if (seen.slots[slot].run != seen.run) {
			seen.slots[slot].run = seen.run;
			seen.slots[slot].index = index;
			seen.slots[slot].term = entry->term;
			seen.slots[slot].hash = hash;
			return;
		}
		if (seen.slots[slot].index != index ||
		    seen.slots[slot].term != entry->term)
			continue;
		if (seen.slots[slot].hash != hash)
			sim_fail("raft", "n%u has another entry %llu of "
			    "term %llu than others", node->id,
			    (unsigned long long)index,
			    (unsigned long long)entry->term);
		return;
	}
}

void
check_entries(struct node *node)
{
	const struct raft *raft = node->io.raft;
	uint64_t index, last = raft_last_index(raft);

	index = raft->snapshot_index + 1;
	if (last > index + 20)
		index = last - 20;
	for (; index <= last; index++)
		check_match(node, index, raft_entry_at(raft, index));
}

static uint64_t
hash_state(const struct state *state)
{
	static uint8_t memory[SNAPSHOT_MAX];
	struct buf buf;
	uint64_t hash = 7, word;
	size_t i;

	buf_init(&buf, memory, sizeof(memory));
	state_encode(state, &buf);
	for (i = 0; i + 8 <= buf.len; i += 8) {
		memcpy(&word, memory + i, 8);
		hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 29;
	}
	return hash;
}

void
check_applied(struct node *node, const struct raft_entry *entry,
    uint64_t index)
{
	struct committed *c;
	bool first;

	if (index >= ENTRIES_MAX)
		return;
	c = &seen.committed[index];
	first = c->term == 0;
	if (first) {
		c->term = entry->term;
		c->hash = hash_entry(entry);
		if (index > seen.committed_count)
			seen.committed_count = index;
	} else if (c->term != entry->term || c->hash != hash_entry(entry)) {
		sim_fail("raft", "n%u applies another entry %llu (term %llu) "
		    "than was applied before (term %llu)", node->id,
		    (unsigned long long)index,
		    (unsigned long long)entry->term,
		    (unsigned long long)c->term);
		return;
	}
	/* The state is large: every eighth is compared. */
	if (index % 8 == 0) {
		uint64_t hash = hash_state(node->state);

		if (c->state == 0)
			c->state = hash;
		else if (c->state != hash)
			sim_fail("state", "the state of n%u at entry %llu "
			    "differs", node->id, (unsigned long long)index);
	}
	if (index > sim.truth->applied)
		check_truth(node);
}

void
check_decides(const struct node *node)
{
	uint32_t i;

	if (sim.clocks_lie)
		return;
	for (i = 0; i < sim.node_count; i++) {
		const struct node *other = sim.nodes[i];

		if (other != node && other->agent_up &&
		    consensus_may_decide(other))
			sim_fail("raft", "n%u decides in term %llu while n%u "
			    "may in term %llu", node->id,
			    (unsigned long long)node->io.raft->term,
			    other->id,
			    (unsigned long long)other->io.raft->term);
	}
}
