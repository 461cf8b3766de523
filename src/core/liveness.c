/*
 * liveness.c - down, or merely quiet?
 */
#include "liveness.h"

#include <string.h>

#include "quorum.h"

const char *
liveness_name(enum liveness liveness)
{
	switch (liveness) {
	case LIVENESS_FRESH:
		return "fresh";
	case LIVENESS_LATE:
		return "late";
	case LIVENESS_SILENT:
		return "silent";
	case LIVENESS_UNKNOWN:
		break;
	}
	return "not heard yet";
}

enum liveness
liveness_of(const struct state *state, const struct view *view,
    uint32_t member_id, monotime_t now)
{
	const struct hearing *hearing = view_of(view, member_id);
	int64_t age_ms;

	if (hearing == NULL)
		return LIVENESS_UNKNOWN;
	age_ms = monotime_diff_ms(now, hearing->at);
	if (2 * age_ms <= 5 * state->settings.heartbeat_ms)
		return LIVENESS_FRESH;
	return age_ms < state->settings.detect_ms ? LIVENESS_LATE :
	    LIVENESS_SILENT;
}

void
liveness_primary(const struct state *state, const struct view *view,
    monotime_t now, struct primary_evidence *evidence)
{
	const struct reign *reign = state_reign(state);
	const struct member *member;
	const struct hearing *hearing;
	uint32_t i, silent_voters = 0, clear_voters = 0;

	memset(evidence, 0, sizeof(*evidence));
	if (reign == NULL)
		return;
	for (i = 0; i < state->member_count; i++) {
		member = &state->members[i];
		if (member->voter)
			evidence->members++;
		if (member->id == reign->primary_id ||
		    liveness_of(state, view, member->id, now) !=
		    LIVENESS_FRESH)
			continue;
		hearing = view_of(view, member->id);
		/* Who has not applied the promotion speaks of another. */
		if (hearing->report.applied_index < state->promote_index)
			continue;
		evidence->asked++;
		if (hearing->report.primary_port == PORT_ANSWERS)
			evidence->port_answers++;
		if (hearing->report.primary_port == PORT_REFUSED ||
		    hearing->report.primary_port == PORT_SILENT)
			evidence->port_dead++;
		if (hearing->report.clear) {
			evidence->clear++;
			if (member->voter)
				clear_voters++;
		}
		if (hearing->report.primary_silence_ms >=
		    (uint64_t)state->settings.detect_ms) {
			evidence->silent++;
			if (member->voter)
				silent_voters++;
		}
	}
	evidence->majority_silent = evidence->members > 0 &&
	    silent_voters >= quorum_majority(evidence->members);
	evidence->majority_clear = evidence->members > 0 &&
	    clear_voters >= quorum_majority(evidence->members);
}
