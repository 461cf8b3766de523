/*
 * view.c - the coordinator's soft view: what it has heard lately.
 */
#include <string.h>

#include "state.h"

void
view_reset(struct view *view, monotime_t now)
{
	memset(view, 0, sizeof(*view));
	view->since = now;
}

static bool
is_healthy_standby(const struct report *report)
{
	return report->pg_state == PG_RUNNING &&
	    report->pg_role == PG_ROLE_STANDBY && report->receiver_streaming;
}

void
state_hear(struct view *view, const struct report *report, monotime_t now)
{
	struct hearing *slot = NULL;
	uint32_t i;

	for (i = 0; i < MEMBERS_MAX; i++) {
		if (view->hearings[i].member_id == report->member_id) {
			slot = &view->hearings[i];
			break;
		}
		if (slot == NULL && view->hearings[i].member_id == 0)
			slot = &view->hearings[i];
	}
	if (slot == NULL || report->member_id == 0)
		return;
	/* A duplicate or late copy of an older report says nothing new. */
	if (slot->member_id != 0 &&
	    slot->report.agent_start_ns == report->agent_start_ns &&
	    slot->report.applied_index > report->applied_index)
		return;
	if (!is_healthy_standby(report)) {
		slot->healthy_since = monotime_never();
		if (monotime_is_never(slot->unhealthy_since))
			slot->unhealthy_since = now;
	} else {
		slot->unhealthy_since = monotime_never();
		if (monotime_is_never(slot->healthy_since) ||
		    slot->report.incarnation != report->incarnation)
			slot->healthy_since = now;
	}
	slot->member_id = report->member_id;
	slot->at = now;
	slot->report = *report;
}

const struct hearing *
view_of(const struct view *view, uint32_t member_id)
{
	uint32_t i;

	for (i = 0; i < MEMBERS_MAX; i++)
		if (view->hearings[i].member_id == member_id &&
		    member_id != 0)
			return &view->hearings[i];
	return NULL;
}
