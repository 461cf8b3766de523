/*
 * rejoin.h - how a node finds its way back: plan first, then touch.
 *
 * Compares where a node's WAL ends with where the next epoch began in the
 * ledger; never timeline numbers alone.  Pure.
 */
#ifndef FAILOVERD_REJOIN_H
#define FAILOVERD_REJOIN_H

#include "state.h"

enum rejoin {
	REJOIN_ATTACH,		/* its WAL lies on the chain */
	REJOIN_REWIND,		/* it has WAL that the chain has not */
	REJOIN_RECLONE,		/* its timeline is in no ledger */
	REJOIN_WAIT		/* the epoch that followed is not open yet */
};

/*
 * timeline and end of the node's WAL -> plan.  *fork gets where the chain
 * left its timeline (0 = it did not).
 */
enum rejoin rejoin_plan(const struct state *state, uint32_t timeline,
	    lsn_t end, lsn_t *fork);

#endif
