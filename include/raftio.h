/*
 * raftio.h - the glue between raft.c and the world.
 *
 * Carries out effects in the fixed order persist, send, restore, apply,
 * notify.  While a write is under way (store_save() in a libuv worker) the
 * core is frozen: events queue, bounded; ticks are merged, messages beyond
 * the bound are dropped (consensus survives loss), proposals are answered
 * with RAFT_E_BUSY.  Decides nothing.
 */
#ifndef FAILOVERD_RAFTIO_H
#define FAILOVERD_RAFTIO_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "raft.h"
#include "state.h"
#include "store.h"

struct raftio;

struct raftio_callbacks {
	/* Sends an encoded FRAME_RAFT payload to a member; loss is allowed. */
	void (*send)(void *arg, uint32_t member_id, const void *frame,
	    size_t len);
	/*
	 * One entry was applied; effect as state_apply() returned it.  After
	 * a start, what was applied before is applied again behind the
	 * snapshot: it is history then.
	 */
	void (*applied)(void *arg, const struct raft_entry *entry,
	    uint64_t index, bool effect, const char *why);
	/* The state was replaced by a snapshot. */
	void (*restored)(void *arg);
	/* Role, leader or term changed. */
	void (*role)(void *arg);
	/*
	 * The disk refused: leadership is given up, errmsg says why.  Called
	 * once; the write is repeated until it succeeds, and until then
	 * nothing leaves this node.
	 */
	void (*disk_failed)(void *arg, const char *errmsg);
	/* Durability of promise changes: called when it is on disk. */
	void (*promise_kept)(void *arg, uint64_t promise);
};

/*
 * state is the caller's and is written only here, from now on; it is empty
 * until the loop runs.  identity is copied.  body is what store_load() gave,
 * or NULL when it was STORE_EMPTY or STORE_DAMAGED (then with an identity of
 * zeroes, but with the store_generation found).  NULL with errmsg when it
 * does not decode.  The node takes part only after identity.member_id is set.
 * Callbacks, done of a proposal included, come from the loop and never from
 * within the functions below, except that raftio_free() ends proposals; they
 * may call any of these but raftio_free().
 */
struct raftio *raftio_new(uv_loop_t *loop, const char *state_dir,
	    struct state *state, const struct store_identity *identity,
	    uint64_t store_generation, const void *body, size_t body_len,
	    const struct raftio_callbacks *callbacks, void *arg,
	    char *errmsg);
/*
 * Waits for the write under way; afterwards nothing is called back.  Ends
 * every proposal.  The memory goes when the loop has run once more.
 */
void	raftio_free(struct raftio *raftio);

/*
 * Founds a cluster: member_id 1, first voter, then proposes `command` until
 * it is applied.  [blocking: one write, once in the life of a node]
 * The identity is on the disk when it returns 0; -1: nothing has changed.
 * A founding that a crash cut short, before the command was in the log, may
 * be begun again.
 */
int	raftio_bootstrap(struct raftio *raftio,
	    const struct store_identity *identity,
	    const struct command *command, char *errmsg);
/*
 * A new member has been told who it is (WELCOME).  [blocking, as above]
 * A node that has lost its state needs a member_id that nobody ever had:
 * under the old one its lost acknowledgements would still be counted.
 */
int	raftio_join(struct raftio *raftio,
	    const struct store_identity *identity, char *errmsg);

/* A decoded-from-frame payload of FRAME_RAFT from that member. */
void	raftio_receive(struct raftio *raftio, uint32_t from, const void *data,
	    size_t len);

/*
 * Proposes a command.  done is called once, after this has returned: effect
 * true when it was applied with effect, false with why otherwise
 * (ignored, full, not the leader).  A why that begins with "outcome unknown"
 * is no failure: the command may still be applied.  done may be NULL.
 */
typedef void raftio_done_fn(void *arg, bool effect, const char *why);
void	raftio_propose(struct raftio *raftio, const struct command *command,
	    raftio_done_fn *done, void *arg);
void	raftio_change(struct raftio *raftio, enum raft_change change,
	    uint32_t member_id);
void	raftio_transfer(struct raftio *raftio, uint32_t member_id);

/*
 * Raises the durable promise (never lowers it); promise_kept follows, also
 * when that was kept already.  Goes through the same write queue as raft; the
 * promise of a node that is no member yet is stored when it joins.
 */
void	raftio_promise(struct raftio *raftio, uint64_t epoch);
uint64_t raftio_kept_promise(const struct raftio *raftio);

/* For looking at only; while a write is under way it is ahead of the disk. */
const struct raft *raftio_raft(const struct raftio *raftio);
/* These two and the kept promise are what is on the disk. */
const struct store_identity *raftio_identity(const struct raftio *raftio);
uint64_t raftio_store_generation(const struct raftio *raftio);
/*
 * NULL, or why this node takes part no longer: it met an entry or snapshot
 * that needs a newer failoverd.
 */
const char *raftio_halted(const struct raftio *raftio);
bool	raftio_is_leader(const struct raftio *raftio);
/* raft_may_decide() now, with the clock read anew. */
bool	raftio_may_decide(const struct raftio *raftio);
/* Takes over election and heartbeat times; done after every apply anyway. */
void	raftio_retime(struct raftio *raftio);

/* CLOCK_BOOTTIME now. */
monotime_t monotime_now(void);

#endif
