/*
 * raft_internal.h - what the files of the consensus core share.
 *
 *	raft.c			one step, roles, elections, freshness
 *	raft_log.c		the log, its configurations, its snapshot
 *	raft_replicate.c	appends, snapshots, acknowledgement, commit
 *	raft_member.c		membership changes, leadership transfer
 *	raft_codec.c		the durable image
 *
 * Nobody outside of these includes it.
 */
#ifndef FAILOVERD_RAFT_INTERNAL_H
#define FAILOVERD_RAFT_INTERNAL_H

#include "raft.h"

/*
 * Terms and indexes above this are nonsense: adding one must not overflow.
 * Messages are held to half of it, so that what follows stays storable.
 */
#define RAFT_NUMBER_MAX (UINT64_MAX / 4)
#define RAFT_MESSAGE_NUMBER_MAX (RAFT_NUMBER_MAX / 2)

/* raft.c */
void	raft_become_follower(struct raft *raft, struct raft_effects *effects,
	    uint64_t term, uint32_t leader);
/* Asks for votes in the next term; transfer: voters need not wait. */
void	raft_campaign(struct raft *raft, struct raft_effects *effects,
	    bool transfer);
void	raft_reset_election(struct raft *raft);
/* No vote for another within an election timeout from now. */
void	raft_bind(struct raft *raft);
/* A message of ours, all zero but its head; the caller fills in the rest. */
struct raft_message *raft_send(struct raft *raft,
	    struct raft_effects *effects, uint8_t type, uint32_t to);
struct raft_progress *raft_find_progress(struct raft *raft, uint32_t id);
/* Follows the configuration in force; keeps what is known of who stays. */
void	raft_sync_progress(struct raft *raft);
/* Has it answered something sent within the last window_ms? */
bool	raft_is_fresh(const struct raft_progress *progress, monotime_t now,
	    int64_t window_ms);
uint32_t raft_majority(const struct raft *raft);

/* raft_log.c */
uint64_t raft_last_term(const struct raft *raft);
/* Is the entry of this index and term in the log or the last folded one? */
bool	raft_log_has(const struct raft *raft, uint64_t index, uint64_t term);
/* The configuration that is in force once index is the last entry. */
void	raft_config_as_of(const struct raft *raft, uint64_t index,
	    struct raft_config *config);
/*
 * Needs room (log_count < RAFT_LOG_MAX) and, for RAFT_ENTRY_CONFIG, data that
 * raft_entry_is_sound() for this index; the configuration is in force at once.
 */
void	raft_log_append(struct raft *raft, struct raft_effects *effects,
	    uint64_t term, uint8_t type, const void *data, size_t len);
/* Drops index and everything behind it; never at or below commit. */
void	raft_log_truncate(struct raft *raft, struct raft_effects *effects,
	    uint64_t index);
int	raft_log_compact(struct raft *raft, struct raft_effects *effects,
	    const void *data, size_t len);
void	raft_log_install(struct raft *raft, struct raft_effects *effects,
	    const struct raft_message *message);
/* commit moves up to index: configurations follow. */
void	raft_log_commit(struct raft *raft, uint64_t index);
/* Type, length and, for a configuration, contents. */
bool	raft_entry_is_sound(const struct raft_entry *entry, uint64_t index);

/* raft_codec.c */
/* Ids, voters and index; count must be at most MEMBERS_MAX. */
bool	raft_config_is_sound(const struct raft_config *config);

/* raft_replicate.c */
void	raft_on_append(struct raft *raft, struct raft_effects *effects,
	    const struct raft_message *message);
void	raft_on_snapshot(struct raft *raft, struct raft_effects *effects,
	    const struct raft_message *message);
void	raft_on_append_reply(struct raft *raft, struct raft_effects *effects,
	    const struct raft_message *message);
void	raft_append_to_all(struct raft *raft);
/* Sends what append_due asks for. */
void	raft_flush(struct raft *raft, struct raft_effects *effects);
/* Leader: commits what a majority of the voters has. */
void	raft_advance_commit(struct raft *raft);

/* raft_member.c */
int	raft_on_change(struct raft *raft, struct raft_effects *effects,
	    const struct raft_event *event);
int	raft_on_transfer(struct raft *raft, struct raft_effects *effects,
	    uint32_t target);
/* Leader: lets the target go as soon as its log is complete. */
void	raft_continue_transfer(struct raft *raft,
	    struct raft_effects *effects);
/* Leader, at transfer_due. */
void	raft_abandon_transfer(struct raft *raft,
	    struct raft_effects *effects);
void	raft_on_timeout_now(struct raft *raft, struct raft_effects *effects,
	    const struct raft_message *message);

#endif
