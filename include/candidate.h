/*
 * candidate.h - who becomes primary: a total order with numbered rules.
 *
 * Two different nodes never compare equal.  The numbers are the same in
 * failover(7), in the trace and in the test.
 */
#ifndef FAILOVERD_CANDIDATE_H
#define FAILOVERD_CANDIDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "lsn.h"

/* The node with the position of rule 2 has all once the covers are met. */
#define CANDIDATE_RULE_LIST(X)						\
	X(1, "may be promoted: a running standby with a position, not "	\
	    "tagged no_failover, whose last order has not failed")	\
	X(2, "greatest position: epoch, then LSN")			\
	X(3, "named by the operator")					\
	X(4, "least WAL still to replay")				\
	X(5, "higher priority")						\
	X(6, "smaller member id: who joined first")

struct candidate {
	uint32_t member_id;
	bool eligible;
	const char *why_not;	/* when not eligible */
	struct position position;
	bool named;
	uint64_t backlog_bytes;
	int32_t priority;
};

/* < 0 when a ranks before b; *rule is the number that decided. */
int	candidate_compare(const struct candidate *a,
	    const struct candidate *b, int *rule);

/* The text of rule `number`; NULL = there is none. */
const char *candidate_rule(int number);

/* Sorts best first. */
void	candidate_rank(struct candidate *candidates, uint32_t count);

#endif
