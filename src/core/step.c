/*
 * step.c - the table of steps.
 *
 * Read top down within an order.  Rows that kill or refuse stand above rows
 * that start or follow; nothing is started read-write without the lease, and
 * nothing follows an epoch below the node's own promise.
 */
#include "step.h"

#include <assert.h>

#include "mutant.h"

typedef const struct step_facts F;

const char *
step_name(unsigned step)
{
	static const char *const names[] = {
#define X(name, text) text,
		STEP_TABLE(X)
#undef X
	};

	return step < STEP_COUNT ? names[step] : "unknown";
}

/* ---- conditions ---- */

static bool always(F *f) { (void)f; return true; }
static bool failed(F *f) { return f->failed; }
static bool guarded(F *f) { return f->guarded; }
static bool control_unknown(F *f) { return !f->control_known; }
static bool no_data(F *f) { return !f->data_exists; }
static bool foreign(F *f) { return f->data_foreign; }
static bool starting(F *f) { return f->guarded && !f->answering; }
static bool armed_gone(F *f) { return f->armed && !f->guarded; }

static bool
mine(F *f)
{
	return f->guarded && f->armed && f->armed_epoch == f->order.epoch;
}

static bool mine_hung(F *f) { return mine(f) && f->hung; }
static bool mine_answering(F *f) { return mine(f) && f->answering; }

static bool
armed_for_another(F *f)
{
	return f->guarded && f->armed && f->armed_epoch != f->order.epoch;
}

static bool
promised_more(F *f)
{
	return f->promise > f->order.epoch && !RULE_OFF("promise-obeyed");
}

static bool given_up_runs(F *f) { return f->guarded && f->given_up; }
static bool given_up(F *f) { return f->given_up; }

static bool
given_up_long(F *f)
{
	return f->given_up && f->order_age_ms > 1000;
}

static bool
no_lease(F *f)
{
	return !f->may_write && !RULE_OFF("lease-before-start");
}

static bool armed_runs(F *f) { return f->guarded && f->armed; }

static bool
armed_below_seal(F *f)
{
	return f->guarded && f->armed &&
	    f->armed_epoch < f->order.seal_epoch && !RULE_OFF("seal-kills");
}

static bool
promised_runs(F *f)
{
	return promised_more(f) && f->guarded && f->answering;
}

static bool
promised_starting(F *f)
{
	return promised_more(f) && f->guarded;
}

static bool
must_rewind_runs(F *f)
{
	return f->guarded && f->end_known && f->plan == REJOIN_REWIND &&
	    !RULE_OFF("rewind-before-follow");
}

static bool
must_rewind(F *f)
{
	return f->end_known && f->plan == REJOIN_REWIND &&
	    !RULE_OFF("rewind-before-follow");
}

static bool
must_reclone(F *f)
{
	return f->end_known && f->plan == REJOIN_RECLONE;
}

static bool
chain_open(F *f)
{
	return f->end_known && f->plan == REJOIN_WAIT;
}

static bool
no_upstream_runs(F *f)
{
	return f->guarded && !f->upstream_in_force;
}

static bool
kept_clone(F *f)
{
	return f->guarded && f->clone_marker && !f->newcomer;
}

static bool rewind_unfinished(F *f) { return f->rewind_unfinished; }
static bool
crashed(F *f)
{
	return !f->shut_down && !f->was_standby;
}

static bool
starting_astray(F *f)
{
	return f->guarded && !f->answering && f->upstream_other &&
	    !f->end_known && f->promise <= f->order.epoch;
}

static bool clean(F *f) { return f->shut_down && f->shutdown_known; }

static bool
resting(F *f)
{
	return clean(f) && f->order_age_ms < 2 * f->detect_ms;
}

static bool not_answering(F *f) { return !f->guarded || !f->answering; }

static bool
opened(F *f)
{
	return f->opened_epoch == f->order.epoch;
}

static bool unwanted_clone(F *f) { return f->clone_marker && f->newcomer; }

/* ---- the table ---- */

#define ROW(order, condition, step, why)				\
	{ order, #condition, condition, step, why }

static const struct {
	uint8_t order;
	const char *name;
	bool (*holds)(F *f);
	uint8_t step;
	const char *why;
} rows[] = {
	ROW(ORDER_NOTHING, unwanted_clone, STEP_UNDO_CLONE,
	    "no job wants this copy any more"),
	ROW(ORDER_NOTHING, always, STEP_IDLE, ""),

	ROW(ORDER_WITNESS, always, STEP_DONE, ""),

	ROW(ORDER_PRIMARY, promised_starting, STEP_KILL,
	    "this node has sealed a later epoch"),
	ROW(ORDER_PRIMARY, promised_more, STEP_WAIT,
	    "this node has sealed a later epoch"),
	ROW(ORDER_PRIMARY, mine_hung, STEP_KILL,
	    "it has not answered for `hang`"),
	ROW(ORDER_PRIMARY, mine_answering, STEP_SERVE, ""),
	ROW(ORDER_PRIMARY, mine, STEP_WAIT,
	    "PostgreSQL is starting or ending"),
	ROW(ORDER_PRIMARY, armed_for_another, STEP_KILL,
	    "it is read-write for another epoch"),
	ROW(ORDER_PRIMARY, given_up_runs, STEP_WAIT,
	    "read-only: the lease of this epoch was given up"),
	ROW(ORDER_PRIMARY, guarded, STEP_STOP,
	    "it runs as a standby and is to be read-write"),
	ROW(ORDER_PRIMARY, control_unknown, STEP_READ_CONTROL, ""),
	ROW(ORDER_PRIMARY, no_data, STEP_FAIL,
	    "the data directory of the primary is gone"),
	ROW(ORDER_PRIMARY, foreign, STEP_FAIL,
	    "the data directory belongs to another database system"),
	ROW(ORDER_PRIMARY, rewind_unfinished, STEP_FAIL,
	    "a rewind of this data directory did not end"),
	ROW(ORDER_PRIMARY, given_up_long, STEP_START_ALONE,
	    "reads go on; who is primary next is for all to agree"),
	ROW(ORDER_PRIMARY, given_up, STEP_WAIT,
	    "the lease of this epoch was given up"),
	ROW(ORDER_PRIMARY, no_lease, STEP_WAIT,
	    "waiting for the lease of this epoch"),
	ROW(ORDER_PRIMARY, always, STEP_START_PRIMARY, ""),

	ROW(ORDER_FOLLOW, armed_runs, STEP_KILL, "another node is primary"),
	ROW(ORDER_FOLLOW, armed_gone, STEP_RELEASE, ""),
	ROW(ORDER_FOLLOW, promised_runs, STEP_SEAL,
	    "this node has sealed a later epoch"),
	ROW(ORDER_FOLLOW, starting_astray, STEP_CONFIGURE,
	    "it may need the WAL of the new upstream to start at all"),
	ROW(ORDER_FOLLOW, starting, STEP_WAIT, "PostgreSQL is starting"),
	ROW(ORDER_FOLLOW, must_rewind_runs, STEP_STOP,
	    "its WAL has left the chain: to be rewound"),
	ROW(ORDER_FOLLOW, must_reclone, STEP_FAIL,
	    "its timeline is not in the cluster's ledger; remove this node "
	    "and clone it again"),
	ROW(ORDER_FOLLOW, chain_open, STEP_WAIT,
	    "the next epoch is not open yet"),
	ROW(ORDER_FOLLOW, no_upstream_runs, STEP_CONFIGURE, ""),
	ROW(ORDER_FOLLOW, kept_clone, STEP_KEEP_CLONE, ""),
	ROW(ORDER_FOLLOW, guarded, STEP_FOLLOW, ""),
	ROW(ORDER_FOLLOW, control_unknown, STEP_READ_CONTROL, ""),
	ROW(ORDER_FOLLOW, no_data, STEP_FAIL,
	    "there is no data directory; remove this node and clone it "
	    "again"),
	ROW(ORDER_FOLLOW, foreign, STEP_FAIL,
	    "the data directory belongs to another database system"),
	ROW(ORDER_FOLLOW, rewind_unfinished, STEP_FAIL,
	    "a rewind of this data directory did not end; remove this node "
	    "and clone it again"),
	ROW(ORDER_FOLLOW, promised_more, STEP_START_ALONE,
	    "this node has sealed a later epoch"),
	ROW(ORDER_FOLLOW, must_rewind, STEP_REWIND,
	    "its WAL has left the chain"),
	ROW(ORDER_FOLLOW, crashed, STEP_START_ALONE,
	    "after the crash of a primary the end of its WAL is not known"),
	ROW(ORDER_FOLLOW, always, STEP_START_STANDBY, ""),

	ROW(ORDER_SEAL, armed_below_seal, STEP_KILL, "its epoch is sealed"),
	ROW(ORDER_SEAL, armed_runs, STEP_WAIT,
	    "it is read-write for the sealed epoch itself: its promotion has "
	    "yet to be heard of again"),
	ROW(ORDER_SEAL, armed_gone, STEP_RELEASE, ""),
	ROW(ORDER_SEAL, starting, STEP_WAIT, "PostgreSQL is starting"),
	ROW(ORDER_SEAL, guarded, STEP_SEAL, ""),
	ROW(ORDER_SEAL, control_unknown, STEP_READ_CONTROL, ""),
	ROW(ORDER_SEAL, no_data, STEP_FAIL, "there is no data directory"),
	ROW(ORDER_SEAL, foreign, STEP_FAIL,
	    "the data directory belongs to another database system"),
	ROW(ORDER_SEAL, rewind_unfinished, STEP_FAIL,
	    "a rewind of this data directory did not end"),
	ROW(ORDER_SEAL, resting, STEP_SEAL_STOPPED,
	    "stopped cleanly for a switchover"),
	ROW(ORDER_SEAL, always, STEP_START_ALONE, ""),

	ROW(ORDER_PROMOTE, armed_for_another, STEP_KILL,
	    "it is read-write for another epoch"),
	ROW(ORDER_PROMOTE, failed, STEP_FAIL, ""),
	ROW(ORDER_PROMOTE, opened, STEP_DONE, ""),
	ROW(ORDER_PROMOTE, promised_more, STEP_FAIL,
	    "this node has sealed a later epoch"),
	ROW(ORDER_PROMOTE, not_answering, STEP_FAIL,
	    "PostgreSQL is not running on the candidate"),
	ROW(ORDER_PROMOTE, always, STEP_PROMOTE, ""),

	ROW(ORDER_STOP, guarded, STEP_STOP, "stopping for a switchover"),
	ROW(ORDER_STOP, control_unknown, STEP_READ_CONTROL, ""),
	ROW(ORDER_STOP, clean, STEP_DONE, ""),
	ROW(ORDER_STOP, always, STEP_FAIL,
	    "PostgreSQL did not stop cleanly"),

	ROW(ORDER_CLONE, failed, STEP_FAIL, ""),
	ROW(ORDER_CLONE, guarded, STEP_FAIL, "PostgreSQL is running here"),
	ROW(ORDER_CLONE, always, STEP_CLONE, ""),

	ROW(ORDER_LEAVE, armed_runs, STEP_STOP, "removed from the cluster"),
	ROW(ORDER_LEAVE, armed_gone, STEP_RELEASE, ""),
	ROW(ORDER_LEAVE, unwanted_clone, STEP_UNDO_CLONE,
	    "the clone was called off"),
	ROW(ORDER_LEAVE, guarded, STEP_STOP, "removed from the cluster"),
	ROW(ORDER_LEAVE, always, STEP_DONE,
	    "this node was removed from the cluster; its data is kept"),
};
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

uint32_t
step_find(const struct step_facts *facts)
{
	uint32_t i;

	for (i = 0; i < ROW_COUNT; i++)
		if (rows[i].order == facts->order.kind &&
		    rows[i].holds(facts))
			break;
	return i;
}

enum step
step_next(const struct step_facts *facts, const char **why)
{
	uint32_t i = step_find(facts);

	assert(i < ROW_COUNT);
	*why = rows[i].why;
	return rows[i].step;
}

uint32_t
step_row_count(void)
{
	return ROW_COUNT;
}

struct step_row
step_row(uint32_t number)
{
	struct step_row row;

	assert(number < ROW_COUNT);
	row.order = rows[number].order;
	row.condition = rows[number].name;
	row.step = rows[number].step;
	row.why = rows[number].why;
	return row;
}
