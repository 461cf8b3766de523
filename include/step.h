/*
 * step.h - from an order and the facts to the next step.
 *
 * The policy of execute, pure: no program counter is remembered, every turn
 * the table of the order is read top down and the first row whose condition
 * holds says what to do.  A test walks every order in every combination of
 * facts: each has a row.
 */
#ifndef FAILOVERD_STEP_H
#define FAILOVERD_STEP_H

#include <stdbool.h>
#include <stdint.h>

#include "order.h"
#include "rejoin.h"

#define STEP_TABLE(X)							\
	X(STEP_IDLE, "nothing is asked of this node")			\
	X(STEP_DONE, "the order is carried out")			\
	X(STEP_WAIT, "wait")						\
	X(STEP_FAIL, "cannot be carried out")				\
	X(STEP_KILL, "kill PostgreSQL through its guard")		\
	X(STEP_STOP, "stop PostgreSQL fast")				\
	X(STEP_RELEASE, "give the lease up")				\
	X(STEP_READ_CONTROL, "read pg_control")				\
	X(STEP_START_PRIMARY, "start PostgreSQL read-write")		\
	X(STEP_START_STANDBY, "start PostgreSQL as a standby")		\
	X(STEP_START_ALONE, "start PostgreSQL as a standby of nobody")	\
	X(STEP_SEAL, "cut off from older epochs, find the position")	\
	X(STEP_SEAL_STOPPED, "position from pg_control")		\
	X(STEP_PROMOTE, "become primary")				\
	X(STEP_SERVE, "primary: role, slots, synchronous list")		\
	X(STEP_CONFIGURE, "name the upstream and reload")		\
	X(STEP_FOLLOW, "stream")					\
	X(STEP_REWIND, "pg_rewind")					\
	X(STEP_CLONE, "copy the data directory")			\
	X(STEP_KEEP_CLONE, "the copy is a member's now")		\
	X(STEP_UNDO_CLONE, "remove the copy again")

enum step {
#define X(name, text) name,
	STEP_TABLE(X)
#undef X
	STEP_COUNT
};

struct step_facts {
	struct order order;
	bool failed;		/* this very order has failed: tried once */
	int64_t order_age_ms;
	int64_t detect_ms;	/* setting */

	/* the server */
	bool guarded;		/* a guard lives, so may processes of it */
	bool answering;		/* running, and answers */
	bool hung;		/* running, no answer for `hang` */
	bool armed;		/* read-write, or may be; stays set when it is
				 * gone until its lease is released */
	uint64_t armed_epoch;
	uint64_t opened_epoch;

	/* the stopped server */
	bool control_known, data_exists, data_foreign;
	bool shut_down;		/* cleanly */
	bool shutdown_known;	/* and the end of a primary's WAL is known */
	bool was_standby;	/* in recovery when it ended, or a fresh copy:
				 * it needs an upstream to become consistent */

	/* permission */
	bool given_up;		/* released under this very order */
	bool may_write;		/* holds the lease of the order's epoch */
	uint64_t promise;	/* kept on disk */

	/* the standby */
	bool upstream_in_force;	/* the files name the order's upstream */
	bool upstream_other;	/* they name another one */
	bool end_known;		/* of its WAL, so plan means something */
	enum rejoin plan;
	bool rewind_unfinished;	/* marker, or pg_rewind has failed */
	bool clone_marker;	/* a copy of ours that is not yet a member's */
	bool newcomer;		/* this node is no full member yet, or left
				 * before it became one */
};

/* The next step; *why is the row's text, for log and status. */
enum step step_next(const struct step_facts *facts, const char **why);

const char *step_name(unsigned step);

/* The table itself, for `failoverd -D rules` and the tests. */
struct step_row {
	uint8_t order;
	const char *condition;
	uint8_t step;
	const char *why;
};
uint32_t step_row_count(void);
struct step_row step_row(uint32_t number);

/* The number of the row that step_next() obeys; step_row_count() = none. */
uint32_t step_find(const struct step_facts *facts);

#endif
