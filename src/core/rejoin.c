/*
 * rejoin.c - attach, rewind or re-clone?
 *
 * Walks the chain from the newest opened epoch to its parents until it meets
 * the epoch of the node's own timeline.
 */
#include "rejoin.h"

#include "mutant.h"

enum rejoin
rejoin_plan(const struct state *state, uint32_t timeline, lsn_t end,
    lsn_t *fork)
{
	const struct reign *child = state_reign(state), *parent;
	uint64_t epoch = state_epoch_of_timeline(state, timeline);

	*fork = (lsn_t){ 0 };
	if (epoch == 0 || child == NULL)
		return REJOIN_RECLONE;
	/* Where an epoch that is not open yet will begin is not known. */
	if (!child->opened)
		return epoch == child->epoch ? REJOIN_ATTACH : REJOIN_WAIT;
	while (child->epoch > epoch) {
		parent = state_reign_of(state, child->parent);
		if (child->parent == epoch) {
			*fork = child->begin_lsn;
			return end.value > child->begin_lsn.value &&
			    !RULE_OFF("fork-compared") ? REJOIN_REWIND :
			    REJOIN_ATTACH;
		}
		/* Folded away: it was long ago. */
		if (parent == NULL)
			return REJOIN_RECLONE;
		child = parent;
	}
	/* Its own epoch is on the chain, or lies beside it. */
	return child->epoch == epoch ? REJOIN_ATTACH : REJOIN_REWIND;
}
