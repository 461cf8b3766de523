/*
 * raft.c - one step of consensus: roles, elections, freshness.
 *
 * Owns term, vote, role and timers, and the order in which an event becomes
 * effects.  It must never vote twice in a term, never let a server that may
 * still be bound to a leader vote for another, and never take "I am leader"
 * for permission.
 */
#include "raft_internal.h"

#include <assert.h>
#include <string.h>

#include "mutant.h"

/* Share of the election timeout for which an answer counts as fresh: what is
 * left covers clocks that run apart. */
#define FRESH_TENTHS 8

static unsigned long long
ull(uint64_t value)
{
	return value;
}

const char *
raft_strerror(int code)
{
	switch (code) {
	case 0:
		return "done";
	case RAFT_E_NOT_LEADER:
		return "this node is not the coordinator";
	case RAFT_E_FULL:
		return "log of uncommitted entries is full";
	case RAFT_E_BUSY:
		return "another change or a transfer is under way";
	case RAFT_E_TOO_LARGE:
		return "too many bytes";
	case RAFT_E_UNKNOWN_SERVER:
		return "no such member, or not one that can do this";
	case RAFT_E_NOT_CAUGHT_UP:
		return "that member has not caught up";
	case RAFT_E_LAST_VOTER:
		return "that member is the last voter";
	case RAFT_E_NO_CHANGE:
		return "that member is that already";
	case RAFT_E_TOO_MANY:
		return "no more members or voters are possible";
	default:
		return "unknown result";
	}
}

/* ---- life ---- */

void
raft_init(struct raft *raft, uint32_t self)
{
	memset(raft, 0, sizeof(*raft));
	raft->self = self;
}

/* Appends a configuration with this server as the only member. */
static void
append_lonely_config(struct raft *raft)
{
	struct raft_config config;
	uint8_t memory[RAFT_CONFIG_IMAGE_MAX];
	struct buf buf;

	memset(&config, 0, sizeof(config));
	config.index = raft_last_index(raft) + 1;
	config.count = 1;
	config.servers[0].id = raft->self;
	config.servers[0].voter = true;
	buf_init(&buf, memory, sizeof(memory));
	raft_config_encode(&config, &buf);
	raft_log_append(raft, NULL, raft->term, RAFT_ENTRY_CONFIG, memory,
	    buf.len);
	raft->unsaved = true;
}

void
raft_bootstrap(struct raft *raft)
{
	assert(raft->self != RAFT_NOBODY && raft->term == 0 &&
	    raft_last_index(raft) == 0);
	raft->term = 1;
	raft->voted_for = raft->self;
	append_lonely_config(raft);
}

int
raft_force_alone(struct raft *raft)
{
	if (raft->log_count == RAFT_LOG_MAX)
		return RAFT_E_FULL;
	raft->term++;
	raft->voted_for = raft->self;
	append_lonely_config(raft);
	return 0;
}

static bool
is_only_voter(const struct raft *raft)
{
	return raft_is_voter(&raft->config, raft->self) &&
	    raft_voters(&raft->config) == 1;
}

void
raft_start(struct raft *raft, uint32_t election_ms, uint32_t heartbeat_ms,
    uint64_t seed, monotime_t now)
{
	assert(election_ms > 0 && heartbeat_ms > 0);
	raft->role = RAFT_FOLLOWER;
	raft->leader = RAFT_NOBODY;
	raft->election_ms = election_ms;
	raft->heartbeat_ms = heartbeat_ms;
	raft->random = seed ^ (uint64_t)raft->self << 32;
	raft->now = now;
	raft->bound_until = monotime_never();
	raft->silent_until = monotime_add_ms(now, election_ms);
	raft->transfer_to = RAFT_NOBODY;
	raft->progress_count = 0;
	raft->applied = raft->snapshot_index;
	raft->restore_due = raft->snapshot_index > 0;
	raft->step_applied = raft->applied;
	raft->step_commit = raft->commit;
	raft->step_restored = false;
	trace_reset(&raft->trace);
	raft_reset_election(raft);
	/* Nobody else can lead, so there is nobody to wait for. */
	if (is_only_voter(raft))
		raft->election_due = now;
}

/* ---- timers and freshness ---- */

/* splitmix64 */
static uint64_t
next_random(struct raft *raft)
{
	uint64_t z = raft->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

void
raft_reset_election(struct raft *raft)
{
	uint32_t spread = (uint32_t)(next_random(raft) % raft->election_ms);

	raft->election_due = monotime_add_ms(raft->now,
	    (int64_t)raft->election_ms + spread);
}

void
raft_bind(struct raft *raft)
{
	monotime_t until = monotime_add_ms(raft->now, raft->election_ms);

	/* A shorter timeout takes no promise back. */
	if (monotime_before(raft->bound_until, until) ||
	    RULE_OFF("promise-kept"))
		raft->bound_until = until;
}

monotime_t
raft_next_deadline(const struct raft *raft)
{
	if (raft->restore_due || raft->applied < raft->commit)
		return raft->now;
	if (raft->role != RAFT_LEADER)
		return raft->election_due;
	if (raft->transfer_to != RAFT_NOBODY &&
	    monotime_before(raft->transfer_due, raft->heartbeat_due))
		return raft->transfer_due;
	return raft->heartbeat_due;
}

uint32_t
raft_majority(const struct raft *raft)
{
	return raft_voters(&raft->config) / 2 + 1;
}

bool
raft_is_fresh(const struct raft_progress *progress, monotime_t now,
    int64_t window_ms)
{
	return !monotime_is_never(progress->acked_stamp) &&
	    !monotime_before(monotime_add_ms(progress->acked_stamp,
	    window_ms), now);
}

/* For how long its answer lets us decide. */
static int64_t
deciding_window_ms(const struct raft *raft,
    const struct raft_progress *progress)
{
	int64_t window_ms = raft->election_ms;

	if (progress->promise_ms < window_ms && !RULE_OFF("voters-promise"))
		window_ms = progress->promise_ms;
	if (RULE_OFF("short-lease"))
		return 2 * window_ms;
	return window_ms * FRESH_TENTHS / 10;
}

/*
 * Voters that answered, ourselves included: within an election timeout (so
 * that we may go on leading), or recently enough to decide.
 */
static uint32_t
count_fresh(const struct raft *raft, monotime_t now, bool to_decide)
{
	uint32_t i, count;

	if (monotime_before(now, raft->now))
		now = raft->now;
	count = raft_is_voter(&raft->config, raft->self) ? 1 : 0;
	for (i = 0; i < raft->progress_count; i++) {
		const struct raft_progress *progress = &raft->progress[i];
		int64_t window_ms = raft->election_ms;

		if (to_decide)
			window_ms = deciding_window_ms(raft, progress);
		if (raft_is_fresh(progress, now, window_ms) &&
		    (RULE_OFF("learner-uncounted") ||
		    raft_is_voter(&raft->config, progress->id)))
			count++;
	}
	return count;
}

uint32_t
raft_fresh_voters(const struct raft *raft, monotime_t now)
{
	return raft->role == RAFT_LEADER ? count_fresh(raft, now, true) : 0;
}

bool
raft_may_decide(const struct raft *raft, monotime_t now)
{
	return raft->role == RAFT_LEADER &&
	    (raft->transfer_to == RAFT_NOBODY || RULE_OFF("transfer-lease")) &&
	    raft->commit >= raft->term_start_index &&
	    raft_is_voter(&raft->config, raft->self) &&
	    raft_fresh_voters(raft, now) >= raft_majority(raft);
}

/* ---- who else there is ---- */

struct raft_progress *
raft_find_progress(struct raft *raft, uint32_t id)
{
	uint32_t i;

	for (i = 0; i < raft->progress_count; i++)
		if (raft->progress[i].id == id)
			return &raft->progress[i];
	return NULL;
}

void
raft_sync_progress(struct raft *raft)
{
	const struct raft_config *config = &raft->config;
	uint32_t i, kept = 0;

	for (i = 0; i < raft->progress_count; i++)
		if (raft_find_server(config, raft->progress[i].id) != NULL)
			raft->progress[kept++] = raft->progress[i];
	raft->progress_count = kept;

	for (i = 0; i < config->count; i++) {
		uint32_t id = config->servers[i].id;
		struct raft_progress *progress;

		if (id == raft->self || raft_find_progress(raft, id) != NULL)
			continue;
		assert(raft->progress_count < MEMBERS_MAX);
		progress = &raft->progress[raft->progress_count++];
		memset(progress, 0, sizeof(*progress));
		progress->id = id;
		progress->next = raft_last_index(raft) + 1;
	}
}

struct raft_message *
raft_send(struct raft *raft, struct raft_effects *effects, uint8_t type,
    uint32_t to)
{
	struct raft_message *m;

	assert(effects->message_count < RAFT_MESSAGES_MAX);
	m = &effects->messages[effects->message_count++];
	memset(m, 0, sizeof(*m));
	m->type = type;
	m->from = raft->self;
	m->to = to;
	m->term = raft->term;
	return m;
}

/* ---- roles ---- */

void
raft_become_follower(struct raft *raft, struct raft_effects *effects,
    uint64_t term, uint32_t leader)
{
	assert(term >= raft->term);
	if (raft->role == RAFT_LEADER)
		trace_add(&raft->trace, "led term %llu, now term %llu -> "
		    "follower", ull(raft->term), ull(term));
	else if (leader != RAFT_NOBODY)
		trace_add(&raft->trace, "%u leads term %llu -> followed",
		    leader, ull(term));
	if (term > raft->term) {
		raft->term = term;
		raft->voted_for = RAFT_NOBODY;
		effects->persist = true;
	}
	if (raft->role != RAFT_FOLLOWER)
		raft_reset_election(raft);
	raft->role = RAFT_FOLLOWER;
	raft->leader = leader;
	raft->transfer_to = RAFT_NOBODY;
}

static void
become_leader(struct raft *raft, struct raft_effects *effects)
{
	raft->role = RAFT_LEADER;
	raft->leader = raft->self;
	raft->leader_since = raft->now;
	raft->transfer_to = RAFT_NOBODY;
	raft->heartbeat_due = monotime_add_ms(raft->now, raft->heartbeat_ms);
	raft->progress_count = 0;
	raft_sync_progress(raft);
	raft->term_start_index = raft_last_index(raft) + 1;
	if (!RULE_OFF("no-op"))
		raft_log_append(raft, effects, raft->term, RAFT_ENTRY_NOOP,
		    NULL, 0);
	trace_add(&raft->trace, "elected by %u of %u voters -> leader of "
	    "term %llu, which begins with entry %llu", raft_majority(raft),
	    raft_voters(&raft->config), ull(raft->term),
	    ull(raft->term_start_index));
	raft_append_to_all(raft);
	raft_advance_commit(raft);
}

/* ---- elections: the asking side ---- */

static bool
may_campaign(const struct raft *raft)
{
	/* A leader needs room for its no-op. */
	return raft_is_voter(&raft->config, raft->self) &&
	    raft->log_count < RAFT_LOG_MAX;
}

static bool
has_majority_of_votes(const struct raft *raft)
{
	uint32_t i, votes = 1;

	for (i = 0; i < raft->progress_count; i++)
		if (raft->progress[i].vote_granted &&
		    raft_is_voter(&raft->config, raft->progress[i].id))
			votes++;
	return votes >= raft_majority(raft);
}

static void
ask_for_votes(struct raft *raft, struct raft_effects *effects, bool pre,
    bool transfer)
{
	uint32_t i;

	raft->leader = RAFT_NOBODY;
	raft->transfer_to = RAFT_NOBODY;
	raft_reset_election(raft);
	raft_sync_progress(raft);
	for (i = 0; i < raft->progress_count; i++) {
		struct raft_progress *progress = &raft->progress[i];
		struct raft_message *m;

		progress->vote_granted = false;
		progress->append_due = false;
		if (!raft_is_voter(&raft->config, progress->id))
			continue;
		m = raft_send(raft, effects, RAFT_MSG_VOTE, progress->id);
		m->pre = pre;
		m->transfer = transfer;
		if (pre)
			m->term = raft->term + 1;
		m->prev_index = raft_last_index(raft);
		m->prev_term = raft_last_term(raft);
	}
}

void
raft_campaign(struct raft *raft, struct raft_effects *effects, bool transfer)
{
	if (!may_campaign(raft)) {
		trace_add(&raft->trace, "not a voter, or no room in the log "
		    "-> no election here");
		raft_become_follower(raft, effects, raft->term, RAFT_NOBODY);
		return;
	}
	raft->role = RAFT_CANDIDATE;
	raft->term++;
	raft->voted_for = raft->self;
	effects->persist = true;
	trace_add(&raft->trace, "candidate with log up to %llu/%llu%s -> "
	    "asks for votes in term %llu", ull(raft_last_term(raft)),
	    ull(raft_last_index(raft)), transfer ? ", by transfer" : "",
	    ull(raft->term));
	ask_for_votes(raft, effects, false, transfer);
	if (has_majority_of_votes(raft))
		become_leader(raft, effects);
}

/* The election timer ran out without a leader. */
static void
start_election(struct raft *raft, struct raft_effects *effects)
{
	if (!may_campaign(raft)) {
		raft->leader = RAFT_NOBODY;
		raft_reset_election(raft);
		return;
	}
	if (is_only_voter(raft) || RULE_OFF("pre-vote")) {
		raft_campaign(raft, effects, false);
		return;
	}
	trace_add(&raft->trace, "no leader heard in term %llu -> asks who "
	    "would vote in term %llu", ull(raft->term), ull(raft->term + 1));
	raft->role = RAFT_PRE_CANDIDATE;
	ask_for_votes(raft, effects, true, false);
}

static void
on_vote_reply(struct raft *raft, struct raft_effects *effects,
    const struct raft_message *m)
{
	struct raft_progress *progress = raft_find_progress(raft, m->from);

	if (m->term > raft->term && !(m->pre && m->granted)) {
		raft_become_follower(raft, effects, m->term, RAFT_NOBODY);
		return;
	}
	if (!m->granted || progress == NULL)
		return;
	if (m->pre) {
		if (raft->role != RAFT_PRE_CANDIDATE ||
		    m->term != raft->term + 1)
			return;
		progress->vote_granted = true;
		if (has_majority_of_votes(raft))
			raft_campaign(raft, effects, false);
	} else {
		if (raft->role != RAFT_CANDIDATE || m->term != raft->term)
			return;
		progress->vote_granted = true;
		if (has_majority_of_votes(raft))
			become_leader(raft, effects);
	}
}

/* ---- elections: the voting side ---- */

/* Why this server is not free to vote for anybody yet, or NULL. */
static const char *
bound_by(const struct raft *raft, const struct raft_message *m)
{
	/* Perhaps a voter that lost its disk, and with it its last vote. */
	if (raft->config.count == 0)
		return "this server has no configuration";
	/* The leader itself has given up what this protects. */
	if (m->transfer)
		return NULL;
	if (raft->role == RAFT_LEADER)
		return "this server leads";
	if (monotime_before(raft->now, raft->silent_until) &&
	    !RULE_OFF("silence-after-start"))
		return "this server started less than an election timeout ago";
	if (monotime_before(raft->now, raft->bound_until) &&
	    !RULE_OFF("stickiness"))
		return "a leader was heard less than an election timeout ago";
	return NULL;
}

static bool
is_up_to_date(const struct raft *raft, const struct raft_message *m)
{
	uint64_t last_term = raft_last_term(raft);

	return m->prev_term > last_term || (m->prev_term == last_term &&
	    m->prev_index >= raft_last_index(raft));
}

/* Why not, or NULL; a real vote has brought us to at least its term. */
static const char *
refusal(const struct raft *raft, const struct raft_message *m)
{
	if (m->term < raft->term || (m->pre && m->term == raft->term))
		return "the term is not a new one";
	if (!is_up_to_date(raft, m) && !RULE_OFF("up-to-date"))
		return "its log lacks entries of ours";
	if (!m->pre && raft->voted_for != RAFT_NOBODY &&
	    raft->voted_for != m->from && !RULE_OFF("one-vote") &&
	    !(m->transfer && RULE_OFF("one-vote-transfer")))
		return "the vote of this term is given";
	return NULL;
}

static void
on_vote(struct raft *raft, struct raft_effects *effects,
    const struct raft_message *m)
{
	const char *why = bound_by(raft, m);
	struct raft_message *answer;

	if (why == NULL) {
		if (!m->pre && m->term > raft->term)
			raft_become_follower(raft, effects, m->term,
			    RAFT_NOBODY);
		why = refusal(raft, m);
	}
	if (why == NULL && !m->pre) {
		if (raft->voted_for != m->from) {
			raft->voted_for = m->from;
			effects->persist = true;
		}
		if (raft->role != RAFT_FOLLOWER)
			raft_become_follower(raft, effects, raft->term,
			    RAFT_NOBODY);
		raft_reset_election(raft);
	}
	trace_add(&raft->trace, "%u asks for our %svote in term %llu%s, its "
	    "log %llu/%llu, ours %llu/%llu -> %s%s", m->from,
	    m->pre ? "pre-" : "", ull(m->term),
	    m->transfer ? " by transfer" : "", ull(m->prev_term),
	    ull(m->prev_index), ull(raft_last_term(raft)),
	    ull(raft_last_index(raft)), why == NULL ? "granted" : "refused: ",
	    why == NULL ? "" : why);
	answer = raft_send(raft, effects, RAFT_MSG_VOTE_REPLY, m->from);
	answer->pre = m->pre;
	answer->granted = why == NULL;
	if (m->pre && answer->granted)
		answer->term = m->term;
}

/* ---- events ---- */

/* A leader whom no majority has answered for an election timeout. */
static bool
has_lost_quorum(const struct raft *raft)
{
	/* Nobody could have answered a leader that is new. */
	if (monotime_before(raft->now, monotime_add_ms(raft->leader_since,
	    raft->election_ms)))
		return false;
	return count_fresh(raft, raft->now, false) < raft_majority(raft) &&
	    !RULE_OFF("check-quorum");
}

static void
on_tick(struct raft *raft, struct raft_effects *effects)
{
	if (raft->role != RAFT_LEADER) {
		if (!monotime_before(raft->now, raft->election_due))
			start_election(raft, effects);
		return;
	}
	if (has_lost_quorum(raft)) {
		trace_add(&raft->trace, "fewer than %u of %u voters answered "
		    "within %u ms -> no longer leader", raft_majority(raft),
		    raft_voters(&raft->config), raft->election_ms);
		raft_become_follower(raft, effects, raft->term, RAFT_NOBODY);
		return;
	}
	if (raft->transfer_to != RAFT_NOBODY &&
	    !monotime_before(raft->now, raft->transfer_due)) {
		raft_abandon_transfer(raft, effects);
		if (raft->role != RAFT_LEADER)
			return;
	}
	if (!monotime_before(raft->now, raft->heartbeat_due)) {
		raft->heartbeat_due = monotime_add_ms(raft->now,
		    raft->heartbeat_ms);
		raft_append_to_all(raft);
		/* It may have been lost; once in a later term it is void. */
		if (raft->transfer_to != RAFT_NOBODY && raft->transfer_sent)
			raft_send(raft, effects, RAFT_MSG_TIMEOUT_NOW,
			    raft->transfer_to);
	}
}

static void
on_message(struct raft *raft, struct raft_effects *effects,
    const struct raft_message *m)
{
	bool is_reply = m->type == RAFT_MSG_VOTE_REPLY ||
	    m->type == RAFT_MSG_APPEND_REPLY;

	if (m->to != raft->self || m->from == raft->self ||
	    m->from == RAFT_NOBODY || m->term > RAFT_MESSAGE_NUMBER_MAX) {
		trace_add(&raft->trace, "message from %u to %u in term %llu "
		    "-> ignored, not for us", m->from, m->to, ull(m->term));
		return;
	}
	if (is_reply && raft_find_server(&raft->config, m->from) == NULL) {
		trace_add(&raft->trace, "%u answers but is no member -> "
		    "ignored", m->from);
		return;
	}
	switch (m->type) {
	case RAFT_MSG_VOTE:
		on_vote(raft, effects, m);
		break;
	case RAFT_MSG_VOTE_REPLY:
		on_vote_reply(raft, effects, m);
		break;
	case RAFT_MSG_APPEND:
		raft_on_append(raft, effects, m);
		break;
	case RAFT_MSG_APPEND_REPLY:
		raft_on_append_reply(raft, effects, m);
		break;
	case RAFT_MSG_SNAPSHOT:
		raft_on_snapshot(raft, effects, m);
		break;
	case RAFT_MSG_TIMEOUT_NOW:
		raft_on_timeout_now(raft, effects, m);
		break;
	default:
		trace_add(&raft->trace, "message of unknown type %u from %u "
		    "-> ignored", (unsigned int)m->type, m->from);
		break;
	}
}

static int
on_propose(struct raft *raft, struct raft_effects *effects, const void *data,
    size_t len)
{
	if (raft->role != RAFT_LEADER)
		return RAFT_E_NOT_LEADER;
	if (raft->transfer_to != RAFT_NOBODY)
		return RAFT_E_BUSY;
	if (len > ENTRY_DATA_MAX)
		return RAFT_E_TOO_LARGE;
	if (raft->log_count >= RAFT_LOG_MAX - RAFT_LOG_RESERVE)
		return RAFT_E_FULL;
	raft_log_append(raft, effects, raft->term, RAFT_ENTRY_COMMAND, data,
	    len);
	effects->proposed_index = raft_last_index(raft);
	raft_append_to_all(raft);
	raft_advance_commit(raft);
	return 0;
}

/*
 * Nothing of the last step has happened outside: it counts as not taken,
 * except that memory keeps the entries, term and vote, which all go to disk
 * before anything else is sent.
 */
static void
on_disk_failed(struct raft *raft, struct raft_effects *effects)
{
	trace_add(&raft->trace, "consensus state could not be stored -> "
	    "silent until it can");
	raft->unsaved = true;
	raft->commit = raft->step_commit;
	raft->applied = raft->step_applied;
	raft->restore_due = raft->restore_due || raft->step_restored;
	if (raft->commit < raft->snapshot_index)
		raft->commit = raft->snapshot_index;
	if (raft->restore_due)
		raft->applied = raft->snapshot_index;
	raft_config_as_of(raft, raft->commit, &raft->committed_config);
	raft_become_follower(raft, effects, raft->term, RAFT_NOBODY);
	raft_reset_election(raft);
}

static void
take_event(struct raft *raft, struct raft_effects *effects,
    const struct raft_event *event)
{
	switch (event->type) {
	case RAFT_EVENT_TICK:
		on_tick(raft, effects);
		break;
	case RAFT_EVENT_MESSAGE:
		on_message(raft, effects, event->message);
		break;
	case RAFT_EVENT_PROPOSE:
		effects->result = on_propose(raft, effects, event->data,
		    event->len);
		break;
	case RAFT_EVENT_CHANGE:
		effects->result = raft_on_change(raft, effects, event);
		break;
	case RAFT_EVENT_TRANSFER:
		effects->result = raft_on_transfer(raft, effects,
		    event->server_id);
		break;
	case RAFT_EVENT_COMPACT:
		effects->result = raft_log_compact(raft, effects,
		    event->data, event->len);
		break;
	default:
		assert(event->type == RAFT_EVENT_DISK_FAILED);
		on_disk_failed(raft, effects);
		break;
	}
}

/* ---- one step ---- */

/* Sends what the leader owes, and takes leave when it is no voter now. */
static void
finish_leader(struct raft *raft, struct raft_effects *effects)
{
	if (raft->role != RAFT_LEADER)
		return;
	raft_flush(raft, effects);
	if (raft->config.index <= raft->commit &&
	    !raft_is_voter(&raft->config, raft->self) &&
	    !RULE_OFF("removed-leader")) {
		trace_add(&raft->trace, "entry %llu takes our vote away and "
		    "is committed -> no longer leader",
		    ull(raft->config.index));
		raft_become_follower(raft, effects, raft->term, RAFT_NOBODY);
	}
}

/* Hands out the snapshot and the committed entries that are due. */
static void
finish_apply(struct raft *raft, struct raft_effects *effects)
{
	effects->restore = raft->restore_due;
	raft->restore_due = false;
	if (raft->commit > raft->applied) {
		effects->apply_first = raft->applied + 1;
		effects->apply_last = raft->commit;
		raft->applied = raft->commit;
	}
}

void
raft_step(struct raft *raft, const struct raft_event *event, monotime_t now,
    struct raft_effects *effects)
{
	uint8_t role = raft->role;
	uint32_t leader = raft->leader;
	uint64_t term = raft->term;
	bool failed = event->type == RAFT_EVENT_DISK_FAILED;

	effects->persist = effects->restore = effects->role_changed = false;
	effects->apply_first = effects->apply_last = 0;
	effects->message_count = 0;
	effects->result = 0;
	effects->proposed_index = 0;
	trace_reset(&raft->trace);
	if (monotime_before(raft->now, now))
		raft->now = now;
	if (!failed) {
		raft->step_applied = raft->applied;
		raft->step_commit = raft->commit;
	}

	take_event(raft, effects, event);
	if (!failed) {
		finish_leader(raft, effects);
		finish_apply(raft, effects);
		raft->step_restored = effects->restore;
		if (raft->unsaved)
			effects->persist = true;
		raft->unsaved = false;
	}
	effects->role_changed = role != raft->role ||
	    leader != raft->leader || term != raft->term;
}
