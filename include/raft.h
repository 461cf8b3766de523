/*
 * raft.h - consensus: elections, the replicated log, membership.
 *
 * Ongaro, "Consensus: Bridging Theory and Practice" (2014): chapters 3
 * (elections, log), 4 (single-server membership), 5 (snapshots), 6.4 (fresh
 * quorum), 9.6 (pre-vote).  Pure: no clock, no I/O, no allocation, no global.
 *
 * One event in, effects out.  The caller carries the effects out in this
 * order and feeds no further event before it has finished:
 *	1 persist	store what raft_encode() writes, durably
 *	2 send		the messages
 *	3 restore	the state machine from raft->snapshot, if set
 *	4 apply		the entries apply_first..apply_last, in order
 *	5 notify	role, leader, proposal
 * So "in memory but not on disk" cannot be observed.  When the write fails
 * the caller sends nothing, restores nothing, applies nothing and feeds
 * RAFT_EVENT_DISK_FAILED: the server then leads no more, what was to be
 * applied is handed out again, and nothing leaves it before a write of the
 * whole has succeeded.  After a start the first step hands out the snapshot
 * and the entries known to be committed in the same way.
 *
 * now is the caller's clock, read just before the call and not cached over
 * anything that blocks: promises to a leader run from it.
 *
 * Rules kept here: pre-vote; check-quorum; a voter refuses votes within an
 * election timeout of hearing a leader and for one election timeout after
 * raft_start(); a no-op first in every term; commit only by counting entries
 * of the own term; a follower acknowledges only what the very message at hand
 * verified; one vote per term without exception; one membership change at a
 * time, and none before an entry of the own term is committed; a learner
 * is never counted, for an election, a commit or freshness; a configuration
 * is in force as soon as it is appended and rolled back on truncation.
 *
 * Whose messages count: a reply only from a server of the configuration in
 * force.  A request is judged by its term and log alone, as in the
 * dissertation (4.1): a server that was away may not know yet that its
 * leader, or a candidate whose vote it is needed for, is a member, and
 * refusing those could leave a majority unable to elect anybody.  What keeps
 * a removed server out are its older log, stickiness and pre-vote; a server
 * without any configuration follows a leader but gives no vote, because it
 * may be one that has lost its disk.
 */
#ifndef FAILOVERD_RAFT_H
#define FAILOVERD_RAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "limits.h"
#include "monotime.h"
#include "trace.h"

#define RAFT_NOBODY 0u		/* no member has id 0 */

enum raft_role {
	RAFT_FOLLOWER,
	RAFT_PRE_CANDIDATE,
	RAFT_CANDIDATE,
	RAFT_LEADER
};

enum raft_entry_type {
	RAFT_ENTRY_NOOP = 1,
	RAFT_ENTRY_COMMAND,	/* data is a state command (state.h) */
	RAFT_ENTRY_CONFIG	/* data is an encoded struct raft_config */
};

struct raft_entry {
	uint64_t term;
	uint8_t type;
	uint16_t len;
	uint8_t data[ENTRY_DATA_MAX];
};

struct raft_server {
	uint32_t id;
	bool voter;
};

struct raft_config {
	uint64_t index;		/* of the entry that made it; 0 = none yet */
	uint32_t count;
	struct raft_server servers[MEMBERS_MAX];	/* by rising id */
};

enum raft_message_type {
	RAFT_MSG_VOTE = 1,	/* pre set: asks without raising any term */
	RAFT_MSG_VOTE_REPLY,
	RAFT_MSG_APPEND,	/* also the heartbeat */
	RAFT_MSG_APPEND_REPLY,
	RAFT_MSG_SNAPSHOT,	/* whole state in one message */
	RAFT_MSG_TIMEOUT_NOW	/* leadership transfer */
};

/*
 * entries and snapshot are borrowed: in an effect they point into struct raft
 * and are valid until the next raft_step(); in an event they belong to the
 * caller.
 */
struct raft_message {
	uint8_t type;
	bool pre;		/* VOTE, VOTE_REPLY */
	bool granted;		/* VOTE_REPLY; APPEND_REPLY: it matched */
	bool transfer;		/* VOTE: asked for by the leader itself */
	uint32_t from, to;
	uint64_t term;
	/*
	 * APPEND: what precedes the entries; VOTE: the last of the log;
	 * APPEND_REPLY: prev_index of the message that it answers.
	 */
	uint64_t prev_index, prev_term;
	uint64_t commit;	/* APPEND */
	uint64_t match;		/* APPEND_REPLY: verified up to here, or, when
				 * refused, a hint where to try next */
	int64_t stamp_ns;	/* leader's clock when sent; replies echo it */
	uint32_t promise_ms;	/* APPEND_REPLY: votes for no other so long */
	uint32_t entry_count;
	const struct raft_entry *entries;
	/* SNAPSHOT: prev_index/prev_term are the last entry it contains */
	const uint8_t *snapshot;
	size_t snapshot_len;
	const struct raft_config *snapshot_config;
};

enum raft_event_type {
	RAFT_EVENT_TICK = 1,
	RAFT_EVENT_MESSAGE,	/* message */
	RAFT_EVENT_PROPOSE,	/* data, len: one command */
	RAFT_EVENT_CHANGE,	/* server_id, change */
	RAFT_EVENT_TRANSFER,	/* server_id: make that voter leader */
	RAFT_EVENT_COMPACT,	/* data, len: the state after raft->applied */
	RAFT_EVENT_DISK_FAILED	/* the last persist did not succeed */
};

enum raft_change {
	RAFT_ADD_LEARNER = 1,
	RAFT_PROMOTE_VOTER,	/* refused until the learner has caught up */
	RAFT_DEMOTE_VOTER,
	RAFT_REMOVE
};

struct raft_event {
	uint8_t type;
	uint8_t change;
	uint32_t server_id;
	const void *data;
	size_t len;
	const struct raft_message *message;
};

/* One append or snapshot each, and a round of votes or a reply. */
#define RAFT_MESSAGES_MAX (2 * MEMBERS_MAX)

struct raft_effects {
	bool persist;
	bool restore;
	bool role_changed;	/* role, leader or term is another now */
	uint64_t apply_first, apply_last;	/* 0, 0 = nothing to apply */
	uint32_t message_count;
	struct raft_message messages[RAFT_MESSAGES_MAX];
	/* PROPOSE, CHANGE, TRANSFER, COMPACT: 0 or a RAFT_E code below */
	int result;
	uint64_t proposed_index;	/* where the command stands if 0 */
};

#define RAFT_E_NOT_LEADER	(-1)
#define RAFT_E_FULL		(-2)	/* log full: compact, or no majority */
#define RAFT_E_BUSY		(-3)	/* a change or transfer is under way */
#define RAFT_E_TOO_LARGE	(-4)
#define RAFT_E_UNKNOWN_SERVER	(-5)
#define RAFT_E_NOT_CAUGHT_UP	(-6)
#define RAFT_E_LAST_VOTER	(-7)	/* would leave nobody who may vote */
#define RAFT_E_NO_CHANGE	(-8)	/* that server is that already */
#define RAFT_E_TOO_MANY		(-9)	/* MEMBERS_MAX or VOTERS_MAX reached */
/* A constant text for any of these, or for 0. */
const char *raft_strerror(int code);

/* What the leader knows of one other server. */
struct raft_progress {
	uint32_t id;
	uint64_t next, match;
	monotime_t acked_stamp;	/* newest own send stamp it has answered, */
	uint32_t promise_ms;	/* and what it promised from then on */
	bool vote_granted;
	bool append_due;	/* within a step: gets an append at its end */
	monotime_t snapshot_sent;	/* never = none under way */
};

struct raft {
	/* durable: raft_encode() */
	uint32_t self;
	uint64_t term;
	uint32_t voted_for;
	uint64_t commit;	/* saved with the rest, never the reason to */
	uint64_t snapshot_index, snapshot_term;
	struct raft_config snapshot_config;
	size_t snapshot_len;
	uint8_t snapshot[SNAPSHOT_MAX];
	uint32_t log_count;			/* entries behind the snapshot */
	struct raft_entry log[RAFT_LOG_MAX];	/* from snapshot_index + 1 on */

	/* volatile */
	struct raft_config config;		/* in force: last of the log */
	struct raft_config committed_config;	/* last at or below commit */
	uint8_t role;
	uint32_t leader;		/* RAFT_NOBODY = not known */
	uint64_t applied;
	/* May be changed between steps, also on one server alone. */
	uint32_t election_ms, heartbeat_ms;
	uint64_t random;
	monotime_t now;
	monotime_t bound_until;		/* no vote before: a leader was heard */
	monotime_t silent_until;	/* no vote before, after a start */
	monotime_t election_due;
	monotime_t heartbeat_due;
	monotime_t leader_since;
	uint64_t term_start_index;	/* the no-op of the own term */
	uint32_t transfer_to;
	bool transfer_sent;		/* TIMEOUT_NOW is out */
	monotime_t transfer_due;
	bool restore_due;	/* the next step hands out the snapshot */
	bool unsaved;		/* memory is ahead of the disk */
	bool step_restored;	/* what the last step handed out, ... */
	uint64_t step_applied, step_commit;	/* ... and stood at before */
	uint32_t progress_count;
	struct raft_progress progress[MEMBERS_MAX];
	struct trace trace;		/* of the last step; facts -> verdict */
};

/*
 * raft_init: an empty server that knows nobody; it never starts an election
 * until it has a configuration in which it is a voter.
 * raft_bootstrap: the first server of a new cluster, only on an empty one:
 * entry 1 is a configuration with it as the only voter.
 * raft_force_alone: disaster recovery of a stopped server, which becomes the
 * only member and keeps its whole log, committed or not.  The caller must
 * make sure that no other member of the old cluster is heard ever again.
 * Returns 0 or RAFT_E_FULL.
 * raft_start: after init, bootstrap or decode; sets the silence and timers.
 * seed must differ between servers; it only spreads the election timeouts.
 * What bootstrap and force_alone changed is durable only when the caller has
 * stored raft_encode(); the first step asks for it as well.
 */
void	raft_init(struct raft *raft, uint32_t self);
void	raft_bootstrap(struct raft *raft);
int	raft_force_alone(struct raft *raft);
void	raft_start(struct raft *raft, uint32_t election_ms,
	    uint32_t heartbeat_ms, uint64_t seed, monotime_t now);

void	raft_step(struct raft *raft, const struct raft_event *event,
	    monotime_t now, struct raft_effects *effects);

/* When the next TICK is needed at the latest; may be in the past. */
monotime_t raft_next_deadline(const struct raft *raft);

/*
 * True while this leader may decide: a majority of the voters, itself
 * included, has answered a message sent at or after now - 0.8 of what that
 * voter promised (its election_ms, or ours if that is shorter), an entry of the own term is committed, no leadership transfer is under way
 * and it is a voter itself.  "I am leader" is no permission.
 */
bool	raft_may_decide(const struct raft *raft, monotime_t now);

/* Voters answered within the time above, the leader itself included. */
uint32_t raft_fresh_voters(const struct raft *raft, monotime_t now);

uint32_t raft_voters(const struct raft_config *config);
bool	raft_is_voter(const struct raft_config *config, uint32_t id);
const struct raft_server *raft_find_server(const struct raft_config *config,
	    uint32_t id);
uint64_t raft_last_index(const struct raft *raft);
/* NULL when the index is not in the log. */
const struct raft_entry *raft_entry_at(const struct raft *raft,
	    uint64_t index);
/* Leader only: is that server's log complete up to the commit index? */
bool	raft_is_caught_up(const struct raft *raft, uint32_t id);

/* The least free room in the log for which PROPOSE and CHANGE are taken:
 * what is left is for the no-ops of new leaders. */
#define RAFT_LOG_RESERVE	16
/* Where the caller had better feed COMPACT (log_count). */
#define RAFT_LOG_COMPACT	(RAFT_LOG_MAX / 2)
/* The most bytes that raft_encode() and raft_config_encode() write. */
#define RAFT_CONFIG_IMAGE_MAX	(16 + 5 * MEMBERS_MAX)
#define RAFT_IMAGE_MAX		(128 + RAFT_CONFIG_IMAGE_MAX + \
	    SNAPSHOT_MAX + RAFT_LOG_MAX * (ENTRY_DATA_MAX + 11))

/*
 * The durable part, without a checksum: that is the store's.  raft_decode()
 * reads exactly one image (what follows it is the caller's), checks all of
 * it, and returns 0, or -1 with a message in errmsg[ERRMSG_MAX] and raft
 * empty.  raft->trace, timers and role are left to raft_start().
 */
void	raft_encode(const struct raft *raft, struct buf *buf);
int	raft_decode(struct raft *raft, struct reader *reader, char *errmsg);
/*
 * One configuration.  Decoding refuses unknown versions, ids that are 0 or
 * do not rise, too many voters, and members without a voter; returns 0, or
 * -1 and an empty config.
 */
void	raft_config_encode(const struct raft_config *config, struct buf *buf);
int	raft_config_decode(struct raft_config *config, struct reader *reader);

#endif
