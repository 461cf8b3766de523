/*
 * candidate.h - who becomes primary: a total order with numbered rules.
 *
 *	1 may be promoted: a running standby with a position, not no_failover
 *	2 greatest position (epoch, then LSN): it holds every acknowledged
 *	  commit once the covers are met
 *	3 named by the operator, among equals
 *	4 shortest replay backlog
 *	5 higher priority
 *	6 smaller member id
 *
 * Two different nodes never compare equal.  The numbers are the same in
 * failover(7), in the trace and in the test.
 */
#ifndef FAILOVERD_CANDIDATE_H
#define FAILOVERD_CANDIDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "lsn.h"

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

/* Sorts best first. */
void	candidate_rank(struct candidate *candidates, uint32_t count);

#endif
