/*
 * execute_internal.h - what the files of execute share.
 */
#ifndef FAILOVERD_EXECUTE_INTERNAL_H
#define FAILOVERD_EXECUTE_INTERNAL_H

#include <uv.h>

#include "agent.h"
#include "child.h"
#include "execute.h"

/* Never connects: a list of it alone makes every commit wait. */
#define SYNC_DUMMY_NAME "failoverd-nobody"

/* What owned.conf and the passfile say now; unknown after a start. */
struct in_force {
	bool known;
	uint32_t upstream_id;		/* 0 = none */
	char upstream[ADDRESS_MAX_LEN + 1];
	char sync[1024];		/* synchronous_standby_names */
	bool waits;			/* backends have been seen to wait for
					 * it, or it stood at the start */
	uint64_t hba_hash;		/* of the members' addresses */
	uint64_t slots_hash;
	bool role_made;			/* replication role, this server */
	uint64_t sync_version;		/* confirmed */
};

/* Where a run of several SQL steps stands; 0 = not begun. */
struct seal_run {
	int step, said;
	uint64_t epoch;
	monotime_t begun;
	uint32_t timeline;
	int quiet_looks, parked_looks;
	monotime_t quiet_since;
};

struct promote_run {
	int step, said;			/* said: logged, plus one */
	uint64_t epoch;
	monotime_t begun;
};

struct sync_run {
	int step;
	uint64_t version;
	lsn_t wanted;
};

struct clone_run {
	int step;
	uint64_t index;
	monotime_t begun, retry_at;
	struct child *child;
	struct postgres_child spec;
	uint64_t done_bytes, total_bytes;
};

struct execute {
	struct agent *agent;
	struct order order;
	uint8_t result;			/* enum order_result */
	char message[TEXT_MAX_LEN + 1];
	const char *busy;		/* step under way */
	monotime_t busy_since;
	uint64_t run;			/* rises when the order changes */
	uv_timer_t again;		/* a look sooner than the next turn */
	bool again_asked;
	struct in_force in_force;
	struct seal_run seal;
	struct promote_run promote;
	struct sync_run sync;
	struct clone_run clone;
	bool checkpointing, checkpoint_error;
	uint64_t checkpoint_asked, checkpoint_index;	/* orders' entries */
	monotime_t start_failed;	/* last failed start */
	monotime_t order_since;
	bool waiter_pending;		/* our own commit, on lane COMMIT */
	bool rewind_failed;
	bool newcomer;			/* when last a member, no full one */
	bool markers_known, clone_marker, rewind_marker;
	uint64_t markers_run;
	uint32_t end_timeline;		/* where the own WAL ends, ... */
	lsn_t end_lsn, fork_lsn;	/* ... and where the chain left it */
	unsigned last_step;
	bool shutting_down;
};

/* ---- execute.c ---- */
void	execute_again(struct execute *ex, uint32_t in_ms);
void	execute_result(struct execute *ex, uint8_t result,
	    const char *format, ...) __attribute__((format(printf, 3, 4)));

/*
 * One blocking step in a libuv worker.  run fills work->errmsg and returns
 * 0 or -1; done is called in the loop, unless the order has changed, in
 * which case only the step is over.
 */
struct work {
	uv_work_t req;
	struct execute *ex;
	uint64_t run;
	int result;
	char errmsg[ERRMSG_MAX];
	struct postgres pg;
	int (*work)(struct work *work);
	void (*done)(struct work *work);

	/* what starting and rewriting need */
	bool standby, start, replace, hba_stands;
	char host[ADDRESS_MAX_LEN + 1], port[16];	/* upstream */
	char slot[64];
	char sync[1024];
	char password[64];
	uint32_t self_id, self_incarnation, member_count;
	char self_name[NAME_MAX_LEN + 1];
	char addresses[MEMBERS_MAX][ADDRESS_MAX_LEN + 1];
	uint32_t address_count;
	uint32_t upstream_id;
	uint64_t hba_hash;
	struct guard_page_agent page;
	uint32_t timeline, expected;
	lsn_t lsn, begin_lsn;
	uint32_t parent;
	char guard_program[CONF_PATH_MAX], socket_path[CONF_PATH_MAX + 32];
	char path[CONF_PATH_MAX + 64];
	char sql[2048];
	uint64_t system_identifier;
};
struct work *execute_work_new(struct execute *ex);
void	execute_work(struct work *work, const char *name,
	    int (*run)(struct work *), void (*done)(struct work *));

/* One SQL command; done gets the execute, unless the order has changed. */
typedef void execute_sql_fn(struct execute *ex, const char *error,
	    int row_count, int column_count, const char *const *rows);
void	execute_sql(struct execute *ex, const char *name, const char *sql,
	    int param_count, const char *const *params, uint32_t timeout_ms,
	    execute_sql_fn *done);

/* ---- execute_start.c ---- */
/* Fills what owned.conf, pg_hba.conf and passfile are to say. */
void	start_fill(struct execute *ex, struct work *work,
	    uint32_t upstream_id, const char *sync);
void	start_postgres(struct execute *ex, bool standby,
	    uint32_t upstream_id, const char *sync);
/* Rewrites the files of a running server and reloads it. */
void	start_rewrite(struct execute *ex, uint32_t upstream_id,
	    const char *sync, void (*done)(struct work *));
int	start_write_files(struct work *work);
uint64_t start_hba_hash(const struct execute *ex);

/* ---- one file an order ---- */
void	seal_turn(struct execute *ex);	/* of a running standby */
void	seal_stopped(struct execute *ex);
/* Sealed without a running server, or restarted without an upstream. */
void	seal_forget(struct execute *ex);
void	promote_turn(struct execute *ex);
void	primary_turn(struct execute *ex);	/* of a running primary */
uint64_t primary_slots_hash(const struct execute *ex);
void	primary_make_slots(struct execute *ex, bool standby);
void	sync_text(struct execute *ex, const struct sync_list *list,
	    char *text, size_t size);
/* The list a standby carries, so that it is never empty at a promotion. */
const char *sync_text_of_standby(const struct execute *ex);
void	sync_turn(struct execute *ex);
void	sync_forget(struct execute *ex);
void	clone_turn(struct execute *ex);
void	clone_forget(struct execute *ex);
/* A copy whose marker goes: keep = it is a member's; else it goes too. */
void	clone_end(struct execute *ex, bool keep);
/* Rewinds a stopped standby to the fork that gather() found. */
void	rewind_begin(struct execute *ex);

#endif
