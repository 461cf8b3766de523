/*
 * raft_member.c - membership changes and the transfer of leadership.
 *
 * Decides whether one server may be added, promoted, demoted or removed, and
 * when another voter is told to take over.  Two changes must never be under
 * way at once (dissertation 4.1, and the correction to it: none before an
 * entry of the own term is committed).  A leader that has let a transfer out
 * must never decide again in that term: the vote it asked for may come at any
 * time, and voters will not wait for its sake.
 */
#include "raft_internal.h"

#include <string.h>

#include "mutant.h"

uint32_t
raft_voters(const struct raft_config *config)
{
	uint32_t i, voters = 0;

	for (i = 0; i < config->count; i++)
		if (config->servers[i].voter)
			voters++;
	return voters;
}

const struct raft_server *
raft_find_server(const struct raft_config *config, uint32_t id)
{
	uint32_t i;

	for (i = 0; i < config->count; i++)
		if (config->servers[i].id == id)
			return &config->servers[i];
	return NULL;
}

bool
raft_is_voter(const struct raft_config *config, uint32_t id)
{
	const struct raft_server *server = raft_find_server(config, id);

	return server != NULL && server->voter;
}

bool
raft_is_caught_up(const struct raft *raft, uint32_t id)
{
	uint32_t i;

	if (raft->role != RAFT_LEADER)
		return false;
	if (id == raft->self)
		return true;
	for (i = 0; i < raft->progress_count; i++)
		if (raft->progress[i].id == id)
			return raft->progress[i].match >= raft->commit;
	return false;
}

/* Complete, and answering: a server that has died catches up with nobody. */
static bool
is_ready(struct raft *raft, uint32_t id)
{
	const struct raft_progress *progress = raft_find_progress(raft, id);

	return progress != NULL && raft_is_caught_up(raft, id) &&
	    raft_is_fresh(progress, raft->now, raft->election_ms);
}

static int
add_learner(struct raft_config *config, uint32_t id)
{
	uint32_t at = 0;

	if (id == RAFT_NOBODY)
		return RAFT_E_UNKNOWN_SERVER;
	if (raft_find_server(config, id) != NULL)
		return RAFT_E_NO_CHANGE;
	if (config->count == MEMBERS_MAX)
		return RAFT_E_TOO_MANY;
	while (at < config->count && config->servers[at].id < id)
		at++;
	memmove(&config->servers[at + 1], &config->servers[at],
	    (config->count - at) * sizeof(config->servers[0]));
	config->servers[at].id = id;
	config->servers[at].voter = false;
	config->count++;
	return 0;
}

/* Changes config, which starts as a copy of the one in force. */
static int
change_config(struct raft *raft, struct raft_config *config,
    uint8_t change, uint32_t id)
{
	const struct raft_server *server = raft_find_server(config, id);
	uint32_t at;

	if (change == RAFT_ADD_LEARNER)
		return add_learner(config, id);
	if (server == NULL)
		return RAFT_E_UNKNOWN_SERVER;
	at = (uint32_t)(server - config->servers);

	switch (change) {
	case RAFT_PROMOTE_VOTER:
		if (server->voter)
			return RAFT_E_NO_CHANGE;
		if (raft_voters(config) == VOTERS_MAX)
			return RAFT_E_TOO_MANY;
		if (!is_ready(raft, id) && !RULE_OFF("promote-caught-up"))
			return RAFT_E_NOT_CAUGHT_UP;
		config->servers[at].voter = true;
		return 0;
	case RAFT_DEMOTE_VOTER:
		if (!server->voter)
			return RAFT_E_NO_CHANGE;
		if (raft_voters(config) == 1)
			return RAFT_E_LAST_VOTER;
		config->servers[at].voter = false;
		return 0;
	case RAFT_REMOVE:
		if (server->voter && raft_voters(config) == 1)
			return RAFT_E_LAST_VOTER;
		config->count--;
		memmove(&config->servers[at], &config->servers[at + 1],
		    (config->count - at) * sizeof(config->servers[0]));
		return 0;
	default:
		return RAFT_E_NO_CHANGE;
	}
}

static const char *
change_text(uint8_t change)
{
	switch (change) {
	case RAFT_ADD_LEARNER:
		return "add as learner";
	case RAFT_PROMOTE_VOTER:
		return "make voter";
	case RAFT_DEMOTE_VOTER:
		return "make learner";
	case RAFT_REMOVE:
		return "remove";
	default:
		return "unknown change";
	}
}

/* One at a time, and only on the ground of an own committed entry. */
static int
check_changeable(const struct raft *raft)
{
	if (raft->role != RAFT_LEADER)
		return RAFT_E_NOT_LEADER;
	if (raft->transfer_to != RAFT_NOBODY)
		return RAFT_E_BUSY;
	if (raft->commit < raft->term_start_index &&
	    !RULE_OFF("change-after-own-commit"))
		return RAFT_E_BUSY;
	if (raft->config.index > raft->commit && !RULE_OFF("one-change"))
		return RAFT_E_BUSY;
	if (raft->log_count >= RAFT_LOG_MAX - RAFT_LOG_RESERVE)
		return RAFT_E_FULL;
	return 0;
}

int
raft_on_change(struct raft *raft, struct raft_effects *effects,
    const struct raft_event *event)
{
	struct raft_config config = raft->config;
	uint8_t memory[RAFT_CONFIG_IMAGE_MAX];
	struct buf buf;
	int rc;

	rc = check_changeable(raft);
	if (rc == 0)
		rc = change_config(raft, &config, event->change,
		    event->server_id);
	if (rc != 0) {
		trace_add(&raft->trace, "%u: %s -> refused: %s",
		    event->server_id, change_text(event->change),
		    raft_strerror(rc));
		return rc;
	}
	config.index = raft_last_index(raft) + 1;
	buf_init(&buf, memory, sizeof(memory));
	raft_config_encode(&config, &buf);
	raft_log_append(raft, effects, raft->term, RAFT_ENTRY_CONFIG,
	    memory, buf.len);
	effects->proposed_index = config.index;
	trace_add(&raft->trace, "%u: %s -> entry %llu, %u members, %u of "
	    "them voters", event->server_id, change_text(event->change),
	    (unsigned long long)config.index, config.count,
	    raft_voters(&config));
	raft_sync_progress(raft);
	raft_append_to_all(raft);
	raft_advance_commit(raft);
	return 0;
}

int
raft_on_transfer(struct raft *raft, struct raft_effects *effects,
    uint32_t target)
{
	const struct raft_progress *progress;

	if (raft->role != RAFT_LEADER)
		return RAFT_E_NOT_LEADER;
	if (raft->transfer_to != RAFT_NOBODY)
		return RAFT_E_BUSY;
	if (!raft_is_voter(&raft->config, target))
		return RAFT_E_UNKNOWN_SERVER;
	if (target == raft->self)
		return 0;
	progress = raft_find_progress(raft, target);
	if (progress == NULL || !raft_is_fresh(progress, raft->now,
	    raft->election_ms))
		return RAFT_E_NOT_CAUGHT_UP;
	raft->transfer_to = target;
	raft->transfer_sent = false;
	raft->transfer_due = monotime_add_ms(raft->now, raft->election_ms);
	trace_add(&raft->trace, "leadership is to go to %u -> nothing is "
	    "decided or proposed here meanwhile", target);
	raft_append_to_all(raft);
	raft_continue_transfer(raft, effects);
	return 0;
}

void
raft_continue_transfer(struct raft *raft, struct raft_effects *effects)
{
	const struct raft_progress *progress;

	if (raft->transfer_to == RAFT_NOBODY || raft->transfer_sent)
		return;
	progress = raft_find_progress(raft, raft->transfer_to);
	if (progress == NULL || progress->match < raft_last_index(raft))
		return;
	raft->transfer_sent = true;
	raft_send(raft, effects, RAFT_MSG_TIMEOUT_NOW, raft->transfer_to);
	trace_add(&raft->trace, "%u has all up to entry %llu -> told to take "
	    "over", raft->transfer_to,
	    (unsigned long long)raft_last_index(raft));
}

void
raft_abandon_transfer(struct raft *raft, struct raft_effects *effects)
{
	if (!raft->transfer_sent || RULE_OFF("transfer-ends-term")) {
		trace_add(&raft->trace, "%u did not catch up in time -> "
		    "transfer given up", raft->transfer_to);
		raft->transfer_to = RAFT_NOBODY;
		return;
	}
	trace_add(&raft->trace, "%u was told to take over and did not -> "
	    "this term is spent, asking for the next", raft->transfer_to);
	raft_campaign(raft, effects, true);
}

void
raft_on_timeout_now(struct raft *raft, struct raft_effects *effects,
    const struct raft_message *m)
{
	if (m->term != raft->term || raft->role != RAFT_FOLLOWER ||
	    (raft->leader != RAFT_NOBODY && raft->leader != m->from)) {
		trace_add(&raft->trace, "%u asks us to take over from term "
		    "%llu, we are in term %llu -> ignored", m->from,
		    (unsigned long long)m->term,
		    (unsigned long long)raft->term);
		return;
	}
	trace_add(&raft->trace, "%u hands leadership over -> asking for "
	    "votes", m->from);
	raft_campaign(raft, effects, true);
}
