/*
 * rejoin.c - attach, rewind or re-clone?
 */
#include "rejoin.h"

enum rejoin
rejoin_plan(const struct state *state, uint32_t timeline, lsn_t end,
    lsn_t *fork)
{
	uint64_t epoch = state_epoch_of_timeline(state, timeline);
	bool own_opened = true;
	uint32_t i;

	*fork = (lsn_t){ 0 };
	if (epoch == 0)
		return REJOIN_RECLONE;
	for (i = 0; i < state->reign_count; i++) {
		const struct reign *next = &state->reigns[i];

		if (next->epoch < epoch)
			continue;
		if (next->epoch == epoch) {
			own_opened = next->opened;
			continue;
		}
		/* A burnt epoch has left nothing on the chain. */
		if (!next->opened) {
			if (i + 1 == state->reign_count)
				return REJOIN_WAIT;
			continue;
		}
		*fork = next->begin_lsn;
		if (!own_opened)
			return REJOIN_REWIND;
		return end.value > next->begin_lsn.value ? REJOIN_REWIND :
		    REJOIN_ATTACH;
	}
	return REJOIN_ATTACH;
}
