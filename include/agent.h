/*
 * agent.h - the one agent of this node: what its modules share.
 *
 * Every turn: look (probe, guard), say (report), agree (raftio, on its own
 * timer), decide (coordinate.c, only the coordinator), fence (lease), act
 * (execute).  All of it runs in one libuv loop that never blocks.
 */
#ifndef FAILOVERD_AGENT_H
#define FAILOVERD_AGENT_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "conf.h"
#include "decide.h"
#include "guardlink.h"
#include "lease.h"
#include "peer.h"
#include "postgres.h"
#include "probe.h"
#include "raftio.h"
#include "report.h"
#include "state.h"
#include "wire.h"

/* What this agent knows of its own PostgreSQL beyond the probe. */
struct node {
	struct guard_link guard;
	bool guarded;			/* attached to a living guard */
	struct guard_page_guard status;	/* last heard of it */
	bool was_answering;		/* since this postmaster started */
	bool has_parked;		/* at the end of WAL, since then */
	bool control_known;		/* control is of the stopped server */
	struct postgres_control control;
	bool armed;			/* started or promoted read-write */
	uint64_t armed_epoch;

	/* the end of a read-write PostgreSQL */
	bool died;			/* none left, without an order */
	uint64_t released_epoch;	/* the lease of it was given up ... */
	uint64_t released_index;	/* ... under the order of this entry */

	/* seal */
	uint64_t sealed_epoch;
	bool has_position;
	struct position position;

	/* promotion */
	uint64_t opened_epoch;
	uint32_t opened_timeline;
	lsn_t opened_lsn;
};

struct agent_link {			/* one link that is up */
	char node[NAME_MAX_LEN + 1];
	uint32_t member_id;		/* as its hello said */
	uint64_t agent_start;
	monotime_t up_since, welcomed;
	bool lost;			/* it says that its state is gone */
	uint32_t lost_id;		/* member id it had then */
};

struct execute;
struct control;
struct clone_worker;

struct agent {
	uv_loop_t *loop;
	struct conf conf;
	struct postgres pg;
	uint64_t start_ns;
	int64_t start_us;		/* unix time, a little before */
	monotime_t now;			/* read once a turn */
	bool stopping;
	int exit_status;

	struct state state;		/* written by raftio only */
	struct raftio *raftio;
	bool lost_state;	/* was a member: needs a new identity */
	uint64_t log_at_start;		/* last entry in the own log then */
	monotime_t current_since;	/* nothing of the log is missing */
	bool removed;		/* a majority says "not a member" */
	uint32_t refused_by[MEMBERS_MAX];
	monotime_t targets_set;

	struct ssl_ctx_st *ssl;
	struct peers *peers;		/* NULL before init or without PKI */
	unsigned link_count;
	struct agent_link links[MEMBERS_MAX];

	struct probe *probe;		/* NULL on a witness */
	struct node node;
	uv_poll_t *guard_poll, *pidfd_poll;
	bool reading_control;
	bool killing;			/* the guard died: a worker kills */

	struct lease_voter voter;
	struct lease_holder holder;
	monotime_t renewed;		/* last request sent */
	struct execute *execute;
	char guard_program[CONF_PATH_MAX];	/* beside this one */
	char provision_program[CONF_PATH_MAX];

	/* as the coordinator */
	struct view view;
	struct trace trace;		/* of the last look at the table */
	monotime_t leader_since, phase_since, config_since, job_step_since;
	uint64_t phase_index, config_index, job_step_index;
	bool proposal_pending;
	monotime_t changed;		/* last change or transfer asked for */
	struct clone_worker *worker;	/* runs failover-provision */
	monotime_t worker_ended;
	uint64_t data_bytes;		/* size of the database, last known */
	uint64_t view_term;
	uint64_t last_event_said;	/* logged */

	/* how the primary looks from here */
	monotime_t primary_heard;	/* its last lease request */
	uint64_t primary_heard_epoch;
	uint8_t primary_port;
	bool port_asking;
	monotime_t port_asked;

	struct control *control;
	uv_timer_t beat;
	uv_idle_t wake;
	bool waking;
	monotime_t next_beat;
	bool say_at_once;
};

/* ---- agent.c ---- */
int	agent_start(struct agent *agent, const struct conf *conf,
	    uv_loop_t *loop, char *errmsg);
/* SIGTERM: leave as operations.md section 3 says; the loop then ends. */
void	agent_stop(struct agent *agent, int exit_status);
/* Another turn as soon as the loop is idle; and a report with it. */
void	agent_wake(struct agent *agent);
void	agent_say(struct agent *agent);
uint32_t agent_self(const struct agent *agent);
const char *agent_member_name(const struct agent *agent, uint32_t id);
/* The coordinator's member id, or 0. */
uint32_t agent_coordinator(const struct agent *agent);
/* Sends a frame to a member by id; -1 when no link is up. */
int	agent_send(struct agent *agent, uint32_t member_id, uint8_t type,
	    const void *data, size_t len);
/* Starts the peer links once the PKI is there. */
int	agent_open_links(struct agent *agent, char *errmsg);
void	agent_set_targets(struct agent *agent);
/*
 * True until everything that stood in the own log at the start is applied:
 * orders may be older than what this node has promised or agreed to.
 */
bool	agent_is_behind(const struct agent *agent);
/* Leaving: a coordinator lets another voter take over first. */
void	agent_hand_over(struct agent *agent);
int64_t	agent_wall_us(void);

/* ---- say.c: reports, and how the primary looks from here ---- */
void	say_report(struct agent *agent, struct report *report);
void	say_send(struct agent *agent);
void	say_heard(struct agent *agent, const char *from, const uint8_t *data,
	    size_t len);
void	say_look_at_primary(struct agent *agent);

/* ---- fence.c: lease as voter and holder, and the guard's page ---- */
void	fence_renew(struct agent *agent);
void	fence_message(struct agent *agent, const struct lease_message *m);
/* Writes the page; begins the fast stop at half of the lease. */
void	fence_check(struct agent *agent);
/* The PostgreSQL of that epoch is gone: gives the lease up. */
void	fence_release(struct agent *agent, uint64_t epoch);
bool	fence_may_write(const struct agent *agent, uint64_t epoch);

/* ---- guarded.c: the guard as seen by the agent ---- */
/* Attaches to a guard that lives already, if there is one. */
void	guarded_find(struct agent *agent);
int	guarded_attach(struct agent *agent, char *errmsg);
void	guarded_stop(struct agent *agent);	/* fast */
void	guarded_kill(struct agent *agent, const char *why);
enum pg_state guarded_state(const struct agent *agent);
bool	guarded_is_running(const struct agent *agent);
/* Reads pg_control of a stopped server in a worker, then wakes. */
void	guarded_read_control(struct agent *agent);

/* ---- coordinate.c ---- */
void	coordinate(struct agent *agent);
void	coordinate_reset(struct agent *agent);
void	coordinate_input(struct agent *agent, struct decide_input *input);

/* ---- join.c: welcome, secrets, and the files behind them ---- */
void	join_welcome_members(struct agent *agent);
void	join_frame(struct agent *agent, const char *from, uint8_t type,
	    const uint8_t *data, size_t len);
int	join_read_password(const struct agent *agent, char *password,
	    size_t size, char *errmsg);
void	join_path(const struct agent *agent, char *path, size_t size,
	    const char *below_state_dir);
int	join_read_file(const char *path, char *text, size_t size,
	    char *errmsg);
int	join_write_file(const char *path, const char *text, char *errmsg);

/* ---- clone_worker.c: the provision worker of a clone job ---- */
void	clone_worker_turn(struct agent *agent);
void	clone_worker_free(struct agent *agent);

/* ---- found.c: init ---- */
typedef void found_done_fn(void *arg, int exit_status, const char *text,
	    const char *hint);
void	found_cluster(struct agent *agent, const struct settings *settings,
	    bool adopt, bool dry_run, found_done_fn *done, void *arg);

/* ---- status.c: JSON ---- */
struct json_t;
struct json_t *status_json(struct agent *agent, int *exit_status);
/* member_id 0: of no node in particular */
struct json_t *status_explain(struct agent *agent, uint32_t member_id);

#endif
