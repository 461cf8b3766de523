/*
 * state.h - what the cluster agreed on, and the leader's soft view.
 *
 * struct state is replicated: it changes only by state_apply() of committed
 * commands, deterministically, on every member.  struct view is what the
 * coordinator has heard lately; it is not replicated and empty after an
 * election: "not heard yet" is unknown, never down.
 */
#ifndef FAILOVERD_STATE_H
#define FAILOVERD_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "limits.h"
#include "lsn.h"
#include "monotime.h"
#include "order.h"
#include "quorum.h"
#include "raft.h"
#include "report.h"

#define EVENT_TEXT_MAX	191
#define JOB_ARGS_MAX	1535
#define JOB_TEXT_MAX	799

/* name, default, min, max, unit, help */
#define SETTING_LIST(X)							\
	X(heartbeat_ms, "heartbeat", 200, 20, 5000, "ms",		\
	    "how often agents report and the primary renews its lease")	\
	X(election_ms, "election", 1000, 100, 60000, "ms",		\
	    "shortest election timeout; the longest is twice that")	\
	X(lease_ms, "lease", 5000, 2000, 120000, "ms",			\
	    "how long the primary may go on without a majority")	\
	X(detect_ms, "detect", 1500, 200, 60000, "ms",			\
	    "silence after which a primary is suspected")		\
	X(hang_ms, "hang", 5000, 1000, 120000, "ms",			\
	    "no answer from a living PostgreSQL before it is fenced")	\
	X(promote_timeout_ms, "promote_timeout", 30000, 1000, 3600000, "ms",\
	    "how long a promotion may take before another is tried")	\
	X(sync_leave_ms, "sync_leave", 2000, 100, 600000, "ms",		\
	    "a silent standby leaves the synchronous set after")	\
	X(sync_join_ms, "sync_join", 5000, 100, 600000, "ms",		\
	    "a healthy standby joins the synchronous set after")	\
	X(clone_timeout_ms, "clone_timeout", 60000, 5000, 3600000, "ms",\
	    "a cloned standby must be streaming within")		\
	X(sync_standbys, "sync_standbys", 1, 1, SYNC_MAX, "",		\
	    "standbys that must acknowledge a commit")			\
	X(durability, "durability", 1, 0, 2, "",			\
	    "required, preferred or async")				\
	X(failover_wait, "failover_wait", 0, 0, 1, "",			\
	    "seal, or lease: wait for the old lease to end as well")	\
	X(max_lag_bytes, "max_lag_bytes", 1048576, 0, INT64_MAX, "bytes",\
	    "async: the most a promoted standby may be behind")

struct settings {
#define X(field, name, def, min, max, unit, help) int64_t field;
	SETTING_LIST(X)
#undef X
};

enum durability { DURABILITY_REQUIRED, DURABILITY_PREFERRED,
	DURABILITY_ASYNC };
enum failover_wait { FAILOVER_WAIT_SEAL, FAILOVER_WAIT_LEASE };

enum member_phase {
	MEMBER_JOINING = 1,	/* named; its agent is not connected yet */
	MEMBER_CLONING,		/* agent is there; data is being copied */
	MEMBER_READY		/* has streamed, or needs no data (witness) */
};

struct member {
	uint32_t id;			/* never used twice */
	uint32_t incarnation;		/* of its data directory */
	uint8_t phase;
	bool voter;			/* as the consensus has it */
	bool has_data;			/* false: witness */
	bool no_failover;
	int32_t priority;
	char name[NAME_MAX_LEN + 1];
	char address[ADDRESS_MAX_LEN + 1];	/* agent */
	char pg_address[ADDRESS_MAX_LEN + 1];	/* "" for a witness */
	uint8_t key_hash[32];		/* pinned public key */
	uint64_t ready_index;		/* entry that made it READY */
};

/* The ledger: every epoch ever intended, with its timeline. */
struct reign {
	uint64_t epoch;
	uint32_t primary_id, primary_incarnation;
	uint32_t timeline;		/* expected, then confirmed */
	uint64_t parent;		/* epoch whose WAL it goes on from */
	lsn_t begin_lsn;		/* 0 until confirmed */
	bool opened;			/* confirmed read-write */
	bool lossy;			/* opened by --accept-data-loss */
};

enum job_kind { JOB_CLONE = 1, JOB_SWITCHOVER, JOB_FAILOVER };
enum job_status { JOB_RUNNING = 1, JOB_DONE, JOB_FAILED };

/* Steps of jobs, in order. */
enum job_step {
	JOB_STEP_SSH = 1,	/* CLONE: worker brings the agent there */
	JOB_STEP_JOIN,		/*	  its agent connects */
	JOB_STEP_COPY,		/*	  base backup */
	JOB_STEP_STREAM,	/*	  streams within the deadline */
	JOB_STEP_UNDO,		/*	  taking back what was done */
	JOB_STEP_PREPARE,	/* SWITCHOVER: checkpoints, target in S */
	JOB_STEP_STOP,		/*	  primary stops under its lease */
	JOB_STEP_SEAL,		/* from here on it is carried through */
	JOB_STEP_PROMOTE,
	JOB_STEP_END
};

struct job {
	uint32_t id;
	uint8_t kind, status, step;
	uint32_t member_id;	/* CLONE: the new member, 0 until named;
				 * SWITCHOVER, FAILOVER: target, 0 = best */
	uint64_t epoch;		/* it was begun in */
	bool accept_data_loss;
	uint64_t step_index;	/* entry of the last step */
	char name[NAME_MAX_LEN + 1];	/* CLONE: wanted node name */
	char text[JOB_TEXT_MAX + 1];	/* one sentence: where it stands; a
				 * hint may follow in a second line */
	char args[JOB_ARGS_MAX + 1];	/* CLONE: request, JSON */
};

struct event {
	uint64_t id;
	int64_t time_us;	/* unix time on the coordinator */
	char text[EVENT_TEXT_MAX + 1];
};

struct state {
	uint8_t cluster_id[16];
	char cluster[NAME_MAX_LEN + 1];
	uint64_t generation;
	uint64_t system_identifier;
	uint32_t pg_major;
	uint64_t applied;		/* index of the last applied entry */
	uint64_t version;		/* rises with every decision below */
	struct settings settings;

	uint32_t next_member_id, next_incarnation, next_job_id;
	uint32_t member_count;
	struct member members[MEMBERS_MAX];
	uint64_t voters_index;		/* configuration entry in force */

	uint32_t reign_count;
	struct reign reigns[LEDGER_MAX];	/* oldest first */
	uint64_t seal;			/* highest epoch sealed for */
	uint64_t seal_index, promote_index, opened_index;
	char seal_why[TEXT_MAX_LEN + 1];

	uint64_t sync_version;
	struct sync_list sync;		/* wanted in force in this epoch */
	bool sync_settled;		/* and alone in the cover */
	int64_t sync_since_us;		/* unix time of the last change to or
					 * from k = 0 */
	uint32_t cover_count;
	struct cover covers[COVERS_MAX];	/* oldest first */

	uint32_t job_count;
	struct job jobs[JOBS_MAX];
	int64_t paused_until_us;	/* unix time, 0 = not paused */
	uint64_t last_event_id;
	uint32_t event_count, event_first;
	struct event events[EVENTS_MAX];
	char last_decision[1024];	/* trace of the last seal or promotion */
};

/* One replicated command. */
#define COMMAND_LIST(X)							\
	X(CMD_BOOTSTRAP, "bootstrap")					\
	X(CMD_MEMBER_ADD, "add member")					\
	X(CMD_MEMBER_PHASE, "member phase")				\
	X(CMD_MEMBER_ADDRESS, "member address")				\
	X(CMD_MEMBER_REMOVE, "remove member")				\
	X(CMD_SETTING, "setting")					\
	X(CMD_SEAL, "seal")						\
	X(CMD_PROMOTE, "promote")					\
	X(CMD_OPENED, "opened")						\
	X(CMD_SYNC_BEGIN, "synchronous list")				\
	X(CMD_SYNC_DONE, "synchronous list confirmed")			\
	X(CMD_COVER_DROP, "drop cover")					\
	X(CMD_JOB_START, "job")						\
	X(CMD_JOB_STEP, "job step")					\
	X(CMD_JOB_END, "job end")					\
	X(CMD_PAUSE, "pause")						\
	X(CMD_EVENT, "event")						\
	X(CMD_MEMBER_RENEW, "new identity of a member")

enum command_type {
	CMD_NONE,
#define X(name, text) name,
	COMMAND_LIST(X)
#undef X
	CMD_COUNT
};

struct command {
	uint8_t type;
	uint64_t based_on;	/* state.version the decision rests on;
				 * checked for seal, promote, opened, sync,
				 * cover; 0 = not a decision */
	int64_t time_us;	/* unix time at the proposer, for events */
	char why[TEXT_MAX_LEN + 1];	/* the event text */
	union {
		struct {
			uint8_t cluster_id[16];
			char cluster[NAME_MAX_LEN + 1];
			uint64_t system_identifier;
			uint32_t pg_major, timeline;
			struct member first;
			struct settings settings;
		} bootstrap;
		struct member member;		/* ADD: id, incarnation are
						 * given by apply */
		struct {
			uint32_t id;
			uint8_t phase;
			bool new_incarnation;
		} phase;
		struct {
			uint32_t id;
			char address[ADDRESS_MAX_LEN + 1];
			char pg_address[ADDRESS_MAX_LEN + 1];
		} address;
		uint32_t member_id;		/* REMOVE, RENEW */
		struct {
			char name[32];
			int64_t value;
		} setting;
		struct {
			uint64_t epoch;		/* sealed for */
			char trace[512];
		} seal;
		struct {
			uint64_t epoch;
			uint32_t primary_id, primary_incarnation;
			uint32_t timeline;	/* expected */
			bool lossy;
			/* of the promoted node: it holds every commit that
			 * was acknowledged in its epoch and before */
			struct position position;
			struct sync_list sync;
			char trace[1024];
		} promote;
		struct {
			uint64_t epoch;
			uint32_t timeline;
			lsn_t begin_lsn;
		} opened;
		struct {
			uint64_t epoch;
			struct sync_list list;
		} sync_begin;
		struct {
			uint64_t epoch, version;
		} sync_done;
		uint64_t cover_epoch;		/* COVER_DROP: this and older */
		struct job job;			/* START: id given by apply */
		struct {
			uint32_t id;
			uint8_t step;		/* STEP; 0 = unchanged */
			uint8_t status;		/* END */
			uint32_t member_id;	/* 0 = unchanged */
			char text[JOB_TEXT_MAX + 1];
		} job_step;
		int64_t paused_until_us;
	} u;
};

void	command_encode(const struct command *command, struct buf *buf);
int	command_decode(struct command *command, struct reader *reader);
const char *command_name(unsigned type);

void	state_init(struct state *state);

/*
 * Applies one committed entry (command or configuration).  Returns true when
 * it had an effect; otherwise why says on which facts it was ignored.
 * A command that cannot be decoded returns false with why, and *unknown set:
 * this binary is too old and must stop voting.
 */
bool	state_apply(struct state *state, const struct raft_entry *entry,
	    uint64_t index, char why[TEXT_MAX_LEN + 1], bool *unknown);

void	state_encode(const struct state *state, struct buf *buf);
int	state_decode(struct state *state, struct reader *reader,
	    char *errmsg);

const struct member *state_member(const struct state *state, uint32_t id);
const struct member *state_member_named(const struct state *state,
	    const char *name);
/* "n2", or "member 7" for an id nobody has; storage is one of four rings. */
const char *state_name(uint32_t member_id, const void *state);
/* The newest reign, or NULL before bootstrap. */
const struct reign *state_reign(const struct state *state);
const struct reign *state_reign_of(const struct state *state,
	    uint64_t epoch);
/* The epoch whose WAL timeline `timeline` is; 0 = not in the ledger. */
uint64_t state_epoch_of_timeline(const struct state *state,
	    uint32_t timeline);
const struct job *state_job(const struct state *state, uint32_t id);
const struct job *state_running_job(const struct state *state, int kind);
uint32_t state_data_members(const struct state *state);

/* What is the cluster at, derived: never stored twice. */
enum reign_phase {
	REIGN_NONE,		/* not bootstrapped */
	REIGN_SEALING,		/* a seal is open, nobody is primary */
	REIGN_PROMOTING,	/* somebody is named, not confirmed */
	REIGN_OPEN
};
enum reign_phase state_phase(const struct state *state);

/* The order of one member (order.h). */
void	state_order(const struct state *state, uint32_t member_id,
	    struct order *order);

/* Settings by name.  value text is "500ms", "2s", "1min", "preferred", "3". */
int	settings_parse(const char *name, const char *text, int64_t *value,
	    char *errmsg);
int	settings_set(struct settings *settings, const char *name,
	    int64_t value, char *errmsg);
void	settings_init(struct settings *settings);
/* Ranges, and the rules between the times; -1 says which is broken. */
int	settings_check(const struct settings *settings, char *errmsg);
const char *durability_name(int64_t durability);

/* The leader's soft view. */
struct hearing {
	uint32_t member_id;	/* 0 = free */
	monotime_t at;
	monotime_t healthy_since;	/* as a synchronous standby */
	monotime_t unhealthy_since;
	struct report report;
};

struct view {
	monotime_t since;	/* empty since then */
	struct hearing hearings[MEMBERS_MAX];
};

void	view_reset(struct view *view, monotime_t now);
void	state_hear(struct view *view, const struct report *report,
	    monotime_t now);
const struct hearing *view_of(const struct view *view, uint32_t member_id);

#endif
