/*
 * cluster.c - the world's beginning: a cluster that stands, agreed upon by
 * real commands, every host up and every PostgreSQL stopped cleanly.
 */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
apply(struct state *state, uint8_t type, const uint8_t *data, size_t len)
{
	static struct raft_entry entry;
	char why[TEXT_MAX_LEN + 1];
	bool unknown;

	memset(&entry, 0, sizeof(entry));
	entry.term = 1;
	entry.type = type;
	entry.len = (uint16_t)len;
	memcpy(entry.data, data, len);
	if (!state_apply(state, &entry, state->applied + 1, why, &unknown))
		sim_fail("cluster", "founding: %s", why);
}

static void
apply_command(struct state *state, struct command *command)
{
	uint8_t data[ENTRY_DATA_MAX];
	struct buf buf;

	command->time_us = 1700000000000000;
	command->based_on = state->version;
	buf_init(&buf, data, sizeof(data));
	command_encode(command, &buf);
	apply(state, RAFT_ENTRY_COMMAND, data, buf.len);
}

static void
apply_config(struct state *state, struct raft_config *config,
    uint32_t members, uint32_t voters)
{
	uint8_t data[RAFT_CONFIG_IMAGE_MAX];
	struct buf buf;
	uint32_t i;

	memset(config, 0, sizeof(*config));
	config->index = state->applied + 1;
	config->count = members;
	for (i = 0; i < members; i++) {
		config->servers[i].id = i + 1;
		config->servers[i].voter = i < voters;
	}
	buf_init(&buf, data, sizeof(data));
	raft_config_encode(config, &buf);
	apply(state, RAFT_ENTRY_CONFIG, data, buf.len);
}

static void
choose_settings(struct settings *s)
{
	settings_init(s);
	if (sim.options.quick || sim_chance(700)) {
		s->heartbeat_ms = 50;
		s->election_ms = 300;
		s->lease_ms = 2000;
		s->detect_ms = 500;
		s->hang_ms = 2000;
		s->promote_timeout_ms = 5000;
		s->sync_leave_ms = 500;
		s->sync_join_ms = 500;
	}
	s->durability = sim.options.durability >= 0 ?
	    sim.options.durability : sim_chance(650) ?
	    DURABILITY_PREFERRED : sim_chance(700) ? DURABILITY_REQUIRED :
	    DURABILITY_ASYNC;
	s->failover_wait = sim.options.failover_wait >= 0 ?
	    sim.options.failover_wait : sim_chance(300);
}

static void
name_member(struct member *member, uint32_t id)
{
	snprintf(member->name, sizeof(member->name), "n%u", id);
	snprintf(member->address, sizeof(member->address), "10.0.0.%u:8632",
	    id);
	member->has_data = sim.nodes[id - 1]->has_data;
	if (member->has_data)
		snprintf(member->pg_address, sizeof(member->pg_address),
		    "10.0.0.%u:5432", id);
}

static void
add_members(struct state *state)
{
	struct command c;
	uint32_t id;

	for (id = 2; id <= sim.node_count; id++) {
		memset(&c, 0, sizeof(c));
		c.type = CMD_MEMBER_ADD;
		name_member(&c.u.member, id);
		apply_command(state, &c);
		memset(&c, 0, sizeof(c));
		c.type = CMD_MEMBER_PHASE;
		c.u.phase.id = id;
		c.u.phase.phase = MEMBER_READY;
		apply_command(state, &c);
	}
}

static void
set_first_list(struct state *state)
{
	struct command c;
	struct sync_list *list = &c.u.sync_begin.list;
	uint32_t i;

	memset(&c, 0, sizeof(c));
	c.type = CMD_SYNC_BEGIN;
	c.u.sync_begin.epoch = 1;
	for (i = 1; i < sim.node_count; i++)
		if (sim.nodes[i]->has_data) {
			list->names[list->count].member_id = i + 1;
			list->names[list->count++].incarnation =
			    state_member(state, i + 1)->incarnation;
		}
	list->k = (uint8_t)state->settings.sync_standbys;
	if (list->count < list->k || state->settings.durability ==
	    DURABILITY_ASYNC)
		return;
	apply_command(state, &c);
	memset(&c, 0, sizeof(c));
	c.type = CMD_SYNC_DONE;
	c.u.sync_done.epoch = 1;
	c.u.sync_done.version = state->sync_version;
	apply_command(state, &c);
}

static struct node *
new_node(uint32_t index, bool has_data)
{
	struct node *node = calloc(1, sizeof(*node));

	if (node == NULL)
		abort();
	node->index = index;
	node->id = index + 1;
	node->has_data = has_data;
	node->io.raft = calloc(1, sizeof(*node->io.raft));
	node->io.effects = calloc(1, sizeof(*node->io.effects));
	node->state = calloc(1, sizeof(*node->state));
	node->view = calloc(1, sizeof(*node->view));
	if (node->io.raft == NULL || node->io.effects == NULL ||
	    node->state == NULL || node->view == NULL)
		abort();
	node->clock_ppm = (int32_t)sim_between(-20000, 20000);
	node->wall_us = sim_between(-2000000, 2000000);
	node->pgdisk.exists = has_data;
	node->pgdisk.flushed = node->pgdisk.min_recovery = 1;
	node->pgdisk.timeline = node->pgdisk.min_recovery_timeline = 1;
	node->pgdisk.shut_down = true;
	node->pgdisk.shutdown_lsn = wal_lsn(1);
	return node;
}

/* What every store holds: the state as a snapshot, an empty log behind it. */
static void
store(struct node *node, const struct state *state,
    const struct raft_config *config)
{
	struct raft *raft = node->io.raft;
	struct buf buf;

	raft_init(raft, node->id);
	raft->term = 1;
	raft->snapshot_index = raft->commit = state->applied;
	raft->snapshot_term = 1;
	raft->snapshot_config = raft->config = *config;
	raft->committed_config = *config;
	buf_init(&buf, raft->snapshot, sizeof(raft->snapshot));
	state_encode(state, &buf);
	raft->snapshot_len = buf.len;
	consensus_store_now(node);
}

void
cluster_found(void)
{
	uint32_t count = sim.options.nodes, i, voters;
	struct state *state = sim.truth;
	struct raft_config config;
	struct command c;

	for (i = 0; i < count; i++)
		sim.nodes[sim.node_count++] = new_node(i,
		    i < count - sim.options.witnesses);
	voters = count - (count % 2 == 0 ? 1 : 0);
	if (voters > VOTERS_MAX)
		voters = VOTERS_MAX;
	state_init(state);
	apply_config(state, &config, 1, 1);
	memset(&c, 0, sizeof(c));
	c.type = CMD_BOOTSTRAP;
	memset(c.u.bootstrap.cluster_id, 7, 16);
	snprintf(c.u.bootstrap.cluster, sizeof(c.u.bootstrap.cluster), "c");
	c.u.bootstrap.system_identifier = 42;
	c.u.bootstrap.pg_major = 15;
	c.u.bootstrap.timeline = 1;
	name_member(&c.u.bootstrap.first, 1);
	choose_settings(&c.u.bootstrap.settings);
	apply_command(state, &c);
	add_members(state);
	apply_config(state, &config, count, voters);
	set_first_list(state);
	for (i = 0; i < count; i++) {
		store(sim.nodes[i], state, &config);
		node_boot_host(sim.nodes[i]);
	}
}
