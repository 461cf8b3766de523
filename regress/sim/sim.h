/*
 * sim.h - whole clusters in one process: the shipping core in a model world.
 *
 * One world at a time.  Everything that happens is an event at a point of
 * virtual time; all chance comes from one seed, so a seed is a run.  The real
 * raft, state, decide, order, lease, liveness, rejoin run here; around them
 * stand models of clock, network, disk, guard, PostgreSQL and of the agent's
 * glue.  Checkers look at the models, never at what the core says of itself.
 *
 *	world.c   time, events, chance, the verdict
 *	net.c     messages that get lost, doubled, late; cut links
 *	consensus.c  as raftio: persist, send, restore, apply, notify
 *	node.c    the agent: look, say, decide, fence; crash and freeze
 *	act.c     as execute: from order and facts to the next step
 *	wal.c     the tree of all WAL ever written
 *	pgmodel.c, pgsync.c, pgstream.c  PostgreSQL
 *	guard.c   the kill switch
 *	nemesis.c faults and clients
 *	check_*.c invariants
 */
#ifndef FAILOVERD_SIM_H
#define FAILOVERD_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "decide.h"
#include "lease.h"
#include "raft.h"
#include "report.h"
#include "state.h"

#define NODES_MAX	12
#define MS		INT64_C(1000000)
#define SECOND		(1000 * MS)
#define WAITERS_MAX	512
#define HISTORIES_MAX	64
#define LIFE_ANY	UINT64_MAX

/* ---- world.c ---- */

/* Whose death makes an event void, and whose freeze delays it. */
enum layer { LAYER_WORLD, LAYER_HOST, LAYER_AGENT, LAYER_PG };

struct node;

struct sim_event {
	int64_t at;		/* virtual time, ns */
	uint64_t order;
	void (*run)(struct sim_event *event);
	struct node *node;
	uint8_t layer;
	uint64_t life;		/* of that layer, when it was planned */
	uint64_t a, b, c;
	void *data;		/* freed after run */
};

struct sim_options {
	uint64_t seed;
	uint32_t nodes;		/* members; 0 = the seed chooses */
	uint32_t witnesses;
	int durability;		/* -1 = the seed chooses */
	int failover_wait;
	bool verbose;
	bool quiet;		/* no random delays */
	bool quick;		/* the short times, always */
};

struct sim_counts {
	uint64_t events, commits, acks, failovers, elections, seals;
	uint64_t stranded;	/* standbys left to the operator */
	int64_t virtual_ns;
};

struct commit {
	uint32_t wal;		/* its record */
	uint32_t node;		/* index of the primary it was given to */
	uint64_t epoch;
	int64_t acked_at;	/* 0 = never */
	bool calm;		/* of the final phase */
	bool lost_allowed;	/* acknowledged under `async` */
};

struct sim {
	struct sim_options options;
	uint64_t random;
	int64_t now;
	bool failed;
	char failure[1024];
	struct sim_counts counts;

	uint32_t node_count;
	struct node *nodes[NODES_MAX];
	bool cut[NODES_MAX][NODES_MAX];	/* from, to */
	uint32_t loss_permille, dup_permille, slow_permille;
	bool clocks_lie;	/* a clock has stood still: leases are void */
	bool calm;		/* the faults are over */

	struct commit *commits;
	uint32_t commit_count, commit_room;
	int64_t last_ack;	/* of a client's commit of the calm phase */

	struct state *truth;	/* the most advanced applied state */
};

extern struct sim sim;

void	sim_reset(const struct sim_options *options);
/* Plans an event after `in` ns; the event can be filled further. */
struct sim_event *sim_plan(int64_t in, void (*run)(struct sim_event *),
	    struct node *node, uint8_t layer);
/* Runs until virtual time `until`, or a failure.  */
void	sim_run_until(int64_t until);
void	sim_free(void);

uint64_t sim_random(void);
/* lowest .. highest, both included */
int64_t	sim_between(int64_t lowest, int64_t highest);
bool	sim_chance(uint32_t permille);
/* Like a network or a disk: mostly near lowest, now and then far. */
int64_t	sim_delay(int64_t usual, int64_t longest);

void	sim_say(const struct node *node, const char *format, ...)
	    __attribute__((format(printf, 2, 3)));
/* The first failure of a run counts. */
void	sim_fail(const char *checker, const char *format, ...)
	    __attribute__((format(printf, 2, 3)));
uint64_t sim_hash(const void *bytes, size_t len);

/* ---- net.c ---- */

enum net_kind { NET_RAFT = 1, NET_REPORT, NET_LEASE, NET_PORT_ASK,
	NET_PORT_ANSWER, NET_CONNECT, NET_ACCEPT, NET_REFUSE, NET_WAL,
	NET_REPLY };

struct net_message {
	uint8_t kind;
	uint32_t from, to;	/* node indexes */
	uint64_t a, b, c, d;
	size_t len;		/* of what follows */
	uint8_t data[];
};

/* data is copied. */
void	net_send(struct node *from, struct node *to, uint8_t kind,
	    const void *data, size_t len, uint64_t a, uint64_t b, uint64_t c,
	    uint64_t d);
bool	net_is_cut(const struct node *from, const struct node *to);
void	net_heal(void);

/* ---- wal.c ---- */

struct wal_record {
	uint32_t parent, jump, depth;
	uint32_t timeline;
	uint64_t lsn;		/* where it ends */
	uint32_t commit;	/* 0 = none, else index + 1 */
	uint64_t epoch;		/* of the writer */
};

void	wal_reset(void);
/* Record 1 is the beginning of everything. */
uint32_t wal_append(uint32_t parent, uint32_t timeline, uint64_t bytes,
	    uint32_t commit, uint64_t epoch);
const struct wal_record *wal_get(uint32_t record);
/* Is `older` on the chain that ends with `tip`? */
bool	wal_contains(uint32_t tip, uint32_t older);
/* The last record of tip's chain that ends at or before lsn. */
uint32_t wal_at(uint32_t tip, uint64_t lsn);
uint32_t wal_common(uint32_t a, uint32_t b);
static inline uint64_t
wal_lsn(uint32_t record)
{
	return wal_get(record)->lsn;
}

/* ---- PostgreSQL ---- */

enum ssn_kind { SSN_EMPTY, SSN_DUMMY, SSN_ANY,
	SSN_FIRST		/* FIRST k (dummy, names...) */
};

struct ssn {			/* synchronous_standby_names */
	uint8_t kind;
	struct sync_list list;
};

struct history { uint32_t timeline; uint64_t fork; };

struct pg_disk {		/* survives everything but a clone */
	bool exists, broken;	/* broken: half-written by rewind or clone */
	bool standby_signal;
	uint32_t incarnation;	/* in application_name */
	uint32_t upstream;	/* member id in primary_conninfo, 0 = none */
	struct ssn ssn;
	uint32_t flushed;	/* WAL that a power cut leaves */
	bool shut_down;
	uint32_t timeline;	/* pg_control: of the last checkpoint */
	uint64_t shutdown_lsn;
	uint32_t min_recovery;	/* record; consistent from there on */
	uint32_t min_recovery_timeline;
	uint32_t history_count;
	struct history histories[HISTORIES_MAX];
};

enum pg_run { PG_OFF, PG_BOOTING, PG_RECOVERY, PG_OPEN, PG_CLOSING };
enum receiver_run { RECEIVER_NONE, RECEIVER_FORKING, RECEIVER_CONNECTING,
	RECEIVER_STREAMING };

struct sender {			/* a walsender */
	bool used, streaming;
	uint64_t session;
	uint32_t node, member_id, incarnation;
	uint32_t sent, flush, replay;	/* records; 0 = not known */
	struct ssn ssn;		/* its own copy */
	uint8_t priority;	/* shared memory: what its copy gives it */
	int64_t heard;
};

struct waiter {
	bool used, probe;
	uint32_t commit;
	uint32_t record;
};

struct pg {
	uint8_t run;		/* enum pg_run */
	uint64_t life;
	int64_t hung_until;
	uint32_t written, replayed;
	uint32_t inserted;	/* primary: in WAL buffers */
	uint64_t epoch;		/* of the lease it was opened under */
	bool consistent;
	bool paused;
	int64_t lag;		/* of every replay step */
	bool replay_planned, flush_planned, local_flush_planned;
	bool promote_asked;
	/* walreceiver and startup process */
	uint8_t receiver;
	uint64_t session;
	uint32_t receiver_from;	/* member id it was started for */
	uint32_t received;	/* record; 0 = nothing since the start */
	int64_t receiver_heard;
	uint32_t startup_upstream;	/* conninfo as the startup sees it */
	uint32_t startup_reloads;	/* signals not taken yet */
	int64_t retry_at;
	bool look_planned;
	/* synchronous replication */
	struct ssn session_ssn, postmaster_ssn;
	uint32_t session_upstream;
	bool flag;		/* sync_standbys_defined */
	int64_t checkpoint_until;	/* the checkpointer is deaf */
	uint64_t released;	/* LSN up to which waiters may go */
	struct sender senders[NODES_MAX];
	struct waiter waiters[WAITERS_MAX];
	uint32_t waiter_count;
};

/* pgmodel.c */
void	pg_start(struct node *node);
void	pg_kill(struct node *node);	/* all processes, at once */
void	pg_power_cut(struct node *node);	/* and unflushed WAL */
void	pg_stop_fast(struct node *node);
void	pg_write_files(struct node *node, uint32_t upstream,
	    const struct ssn *ssn, uint32_t incarnation);
void	pg_reload(struct node *node);
void	pg_plant_histories(struct node *node, uint32_t expected);
void	pg_promote(struct node *node, uint64_t epoch);
void	pg_checkpoint(struct node *node, int64_t duration);
bool	pg_answers(const struct node *node);
uint32_t pg_timeline(const struct node *node);	/* of the WAL's end */
bool	pg_is_parked(const struct node *node);
void	pg_set_replay(struct node *node, bool paused, int64_t lag);
/* A client's commit, or (probe) one of our own; false: not possible. */
bool	pg_commit(struct node *node, bool probe);
bool	pg_has_history(const struct pg_disk *disk, uint32_t timeline);
void	pg_add_history(struct pg_disk *disk, uint32_t timeline,
	    uint64_t fork);
void	pg_take_flushed(struct node *node, uint32_t record);

/* pgsync.c */
void	pgsync_start(struct node *node);
void	pgsync_reload(struct node *node);
void	pgsync_checkpointer_wakes(struct node *node);
void	pgsync_commit_flushed(struct node *node, struct waiter waiter);
void	pgsync_reply(struct node *node, struct sender *sender);
void	pgsync_set_priority(struct sender *sender);
bool	pgsync_probe_waits(const struct node *node);
bool	ssn_equal(const struct ssn *a, const struct ssn *b);
void	ssn_from_list(struct ssn *ssn, const struct sync_list *list);
bool	ssn_has(const struct ssn *ssn, uint32_t member_id,
	    uint32_t incarnation);

/* pgstream.c */
void	pgstream_look(struct node *node, int64_t in);	/* startup process */
void	pgstream_message(struct node *to, const struct net_message *m);
void	pgstream_push(struct node *node);	/* senders: new WAL */
/* SIGTERM to every walreceiver; returns how many there were. */
int	pgstream_terminate_receivers(struct node *node);
void	pgstream_drop_receiver(struct node *node);

/* ---- guard.c ---- */

enum guard_run { GUARD_NONE, GUARD_RUNS, GUARD_STOPS, GUARD_KILLS,
	GUARD_IS_GONE };
enum guard_why { WHY_NONE, WHY_EXITED, WHY_STOPPED, WHY_ORDERED,
	WHY_DEADLINE };

struct guard {
	uint8_t run, why;
	bool armed;		/* the page */
	uint64_t epoch;
	int64_t deadline;	/* local clock of the node */
	uint32_t margin_ms;
	uint64_t life;
};

void	guard_begin(struct node *node, bool armed, uint64_t epoch,
	    int64_t deadline_local);
void	guard_page(struct node *node, bool armed, uint64_t epoch,
	    int64_t deadline_local);
void	guard_stop(struct node *node);
void	guard_kill(struct node *node);
/* PostgreSQL has ended by itself, or was killed by others. */
void	guard_child_ended(struct node *node, bool as_asked);

/* ---- node.c, consensus.c, act.c ---- */

struct disk_image {
	uint8_t *bytes;
	size_t len;
	uint64_t promise, generation;
};

struct item;
struct consensus {
	struct raft *raft;
	struct raft_effects *effects;
	bool stepping, writing, disk_failing, tick_queued;
	struct item *first, **end;
	uint32_t messages, requests;
	uint64_t timer_life;
	int64_t retry_at;	/* local clock */
	struct disk_image disk;		/* durable */
	struct disk_image image;	/* being written */
	uint64_t promise_wanted;
	bool kept_due;
	uint8_t role;
	uint32_t leader;
	uint64_t term;
	uint64_t compacted_at;
	uint64_t stored_last;	/* of the log when this agent began */
	/* the one proposal of the coordinator, and who waits for it */
	uint64_t pending_index, pending_term;
	uint32_t checked_count;		/* check_raft's */
};

struct sample {			/* what the last probe saw */
	bool known;
	uint8_t layer;
	int64_t taken;		/* local */
	uint8_t role;
	uint32_t timeline, received_timeline;
	lsn_t insert, flush, receive, replay;
	bool paused, streaming, parked;
	uint32_t upstream_id;
	uint32_t sender_count;
	struct walsender senders[NODES_MAX];
};

struct act {			/* as struct execute */
	struct order order;
	uint8_t result;
	char message[TEXT_MAX_LEN + 1];
	const char *busy;
	uint64_t run;
	int64_t order_since;
	struct {
		bool known;
		uint32_t upstream_id;
		struct ssn ssn;
		bool waits;	/* a commit was seen waiting since it
				 * was empty last */
		uint8_t k;	/* every walsender has at least that */
		uint64_t sync_version;
	} in_force;
	struct {
		int step;
		uint64_t epoch;
		int64_t begun, quiet_since;
		uint32_t timeline;
		int quiet_looks, parked_looks;
	} seal;
	struct { int step; uint64_t epoch; int64_t begun; } promote;
	struct { int step; uint64_t version; uint64_t wanted; } sync;
	uint64_t checkpoint_index, checkpoint_asked;
	bool checkpointing, waiter_pending, rewind_failed;
	struct ssn writing;	/* by the step under way */
	int64_t start_failed;
	struct { struct ssn ssn; uint64_t epoch; int64_t deadline; } start;
	int last_step;
	uint64_t again_life;
};

struct node {
	uint32_t index, id;
	bool has_data;
	bool host_up, agent_up, joined;
	int64_t host_frozen, agent_frozen;	/* until, virtual time */
	uint64_t host_life, agent_life;

	int64_t clock_at, clock_local;	/* local = clock_local + ... */
	int32_t clock_ppm;
	int64_t wall_us;

	struct pg_disk pgdisk;
	struct pg pg;
	struct guard guard;
	bool rewind_marker;		/* outside PGDATA, durable */
	int64_t disk_slow;		/* every write of its store takes */
	int64_t rewound_at;

	/* the agent; all of it is lost with the process */
	struct consensus io;
	struct state *state;
	uint64_t start_ns;
	monotime_t now;
	bool turn_planned, say_at_once;
	uint64_t beat_life;
	int64_t next_beat;

	bool guarded, was_answering, has_parked, control_known;
	struct pg_disk control;
	bool armed;
	uint64_t armed_epoch;
	bool died;
	uint64_t released_epoch, released_index;
	uint64_t sealed_epoch;
	bool has_position;
	struct position position;
	uint64_t opened_epoch;
	uint32_t opened_timeline;
	lsn_t opened_lsn;
	struct sample sample;
	int64_t silent_since;		/* local; 0 = it answers */
	bool probing;

	struct lease_voter voter;
	struct lease_holder holder;
	int64_t renewed;
	struct view *view;
	struct trace trace;
	monotime_t leader_since, phase_since, config_since, job_step_since;
	uint64_t phase_index, config_index, job_step_index, view_term;
	bool proposal_pending;
	int64_t changed;
	int64_t primary_heard;
	uint64_t primary_heard_epoch;
	uint8_t primary_port;
	bool port_asking;
	uint64_t port_life;
	struct act act;
};

/* node.c */
int64_t	node_local(const struct node *node);
/* How long, in virtual time, until the node's clock shows `local`. */
int64_t	node_until(const struct node *node, int64_t local);
bool	node_agent_runs(const struct node *node);
struct node *node_of(uint32_t member_id);
void	node_start_agent(struct node *node);
void	node_kill_agent(struct node *node);
void	node_crash_host(struct node *node);
void	node_boot_host(struct node *node);
void	node_freeze_agent(struct node *node, int64_t duration);
void	node_freeze_host(struct node *node, int64_t duration, bool clock_too);
void	node_wake(struct node *node);
void	node_say(struct node *node);
void	node_message(struct node *node, const struct net_message *m);
enum pg_state node_pg_state(const struct node *node);
/* From the guard: every process is gone. */
void	node_none_left(struct node *node);
void	node_read_control(struct node *node);
bool	node_may_write(const struct node *node, uint64_t epoch);
void	node_renew(struct node *node);
void	node_fence_check(struct node *node);
void	node_release(struct node *node, uint64_t epoch);
void	node_applied(struct node *node, const struct raft_entry *entry,
	    uint64_t index, bool effect, const char *why);
void	node_role(struct node *node);
void	node_promise_kept(struct node *node, uint64_t promise);
void	node_restored(struct node *node);

/* consensus.c */
void	consensus_start(struct node *node);
void	consensus_stop(struct node *node);	/* the process is gone */
void	consensus_receive(struct node *node, const struct net_message *m);
void	consensus_propose(struct node *node, const struct command *command,
	    bool from_decide);
void	consensus_change(struct node *node, uint8_t change, uint32_t id);
void	consensus_transfer(struct node *node, uint32_t id);
void	consensus_promise(struct node *node, uint64_t epoch);
bool	consensus_is_leader(const struct node *node);
bool	consensus_may_decide(const struct node *node);
/* Not all that the log held when this agent began has been applied yet. */
bool	consensus_is_behind(const struct node *node);
void	consensus_store_now(struct node *node);	/* before the start */

/* act.c */
void	act_turn(struct node *node);
void	act_forget(struct node *node);
void	act_fill_report(const struct node *node, struct report *report);

/* cluster.c: the world's beginning */
void	cluster_found(void);

/* nemesis.c */
void	nemesis_start(void);
void	nemesis_end(void);	/* heal, thaw, boot */
void	clients_start(void);

/* check_raft.c, check_data.c, check_live.c */
void	check_reset(void);
void	check_data_reset(void);
void	check_truth(struct node *node);
void	check_leader(const struct node *node);
void	check_entries(struct node *node);	/* the image just stored */
void	check_applied(struct node *node, const struct raft_entry *entry,
	    uint64_t index);
void	check_decides(const struct node *node);
void	check_acknowledged(struct node *node, uint32_t commit, bool waited);
void	check_counted(const struct node *primary, const struct node *standby,
	    uint32_t record);
void	check_promoted(const struct node *node, uint32_t timeline,
	    uint32_t record);
void	check_opens(const struct node *node);
void	check_attached(const struct node *standby, uint32_t before,
	    uint32_t after);
void	check_end(void);
bool	check_is_healthy(void);
void	check_say_sick(void);

/* run.c: one seed from beginning to end; true when all held */
bool	run_random(const struct sim_options *options,
	    struct sim_counts *counts, char *failure, size_t size);

/* scenario_rules.c */
void	scenario_rules(void);

/* scenario.c: scripted schedules; how many, and one of them */
uint32_t scenario_count(void);
const char *scenario_name(uint32_t number);
bool	scenario_run(uint32_t number, bool verbose, char *failure,
	    size_t size);
/* Any that fails is named in by. */
bool	scenarios_fail(char *by, size_t size);

/* mutants.c: only in the build with -DMUTANTS; only: one rule, or NULL */
int	mutants_run(const char *only);

#endif
