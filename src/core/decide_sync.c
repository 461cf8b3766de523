/*
 * decide_sync.c - the synchronous set follows the living standbys.
 *
 * A list is begun (its union with the old one becomes the cover), taken into
 * force and confirmed by the primary's agent, and only then stands alone in
 * the cover.  Covers of older epochs go once the new epoch has proven that k
 * of its own standbys hold the switch.
 */
#include <stdio.h>
#include <string.h>

#include "decide_internal.h"
#include "mutant.h"

static const struct walsender *
walsender_of(const struct report *primary, const struct member *member)
{
	uint32_t i;

	for (i = 0; i < primary->walsender_count; i++)
		if (primary->walsenders[i].member_id == member->id &&
		    primary->walsenders[i].incarnation ==
		    member->incarnation && primary->walsenders[i].streaming)
			return &primary->walsenders[i];
	return NULL;
}

static bool
list_has(const struct sync_list *list, const struct member *member)
{
	uint8_t i;

	for (i = 0; i < list->count; i++)
		if (list->names[i].member_id == member->id &&
		    list->names[i].incarnation == member->incarnation)
			return true;
	return false;
}

/* Is that member, by what was heard, to be in the set? */
static bool
belongs(const struct facts *f, const struct member *member)
{
	const struct settings *s = &f->state->settings;
	const struct hearing *hearing = view_of(f->in->view, member->id);
	bool inside = list_has(&f->state->sync, member);

	if (!member->has_data || member->phase != MEMBER_READY ||
	    member->id == f->reign->primary_id)
		return false;
	if (hearing == NULL)	/* unknown: stays as it is, for a while */
		return inside && monotime_diff_ms(f->in->now,
		    f->in->leader_since) < s->sync_leave_ms;
	if (monotime_diff_ms(f->in->now, hearing->at) > s->sync_leave_ms)
		return RULE_OFF("silent-leave") && inside;
	/* A new reign gives its followers that long to find it. */
	if (inside)
		return monotime_is_never(hearing->unhealthy_since) ||
		    monotime_diff_ms(f->in->now, hearing->unhealthy_since) <
		    s->sync_leave_ms ||
		    monotime_diff_ms(f->in->now, f->in->phase_since) <
		    s->sync_leave_ms;
	return !monotime_is_never(hearing->healthy_since) &&
	    monotime_diff_ms(f->in->now, hearing->healthy_since) >=
	    s->sync_join_ms &&
	    walsender_of(&f->primary->report, member) != NULL;
}

static void
wanted_list(const struct facts *f, struct sync_list *list)
{
	const struct state *state = f->state;
	uint8_t k = (uint8_t)state->settings.sync_standbys;
	uint32_t i;

	memset(list, 0, sizeof(*list));
	if (state->settings.durability == DURABILITY_ASYNC)
		return;
	for (i = 0; i < state->member_count && list->count < SYNC_MAX; i++) {
		if (!belongs(f, &state->members[i]))
			continue;
		list->names[list->count].member_id = state->members[i].id;
		list->names[list->count].incarnation =
		    state->members[i].incarnation;
		list->count++;
	}
	list->k = k;
	if (list->count < k && state->settings.durability ==
	    DURABILITY_PREFERRED)
		memset(list, 0, sizeof(*list));
	/* required, and nobody there: the dummy alone, commits wait */
	if (list->count < k && state->settings.durability ==
	    DURABILITY_REQUIRED && state_data_members(state) < 2)
		memset(list, 0, sizeof(*list));
}

static bool
same_list(const struct sync_list *a, const struct sync_list *b)
{
	uint8_t i;

	if (a->k != b->k || a->count != b->count)
		return false;
	for (i = 0; i < a->count; i++)
		if (a->names[i].member_id != b->names[i].member_id ||
		    a->names[i].incarnation != b->names[i].incarnation)
			return false;
	return true;
}

static void
describe(const struct facts *f, const struct sync_list *list, char *text,
    size_t size)
{
	size_t len;
	uint8_t i;

	if (list->k == 0) {
		snprintf(text, size, "none: commits are not replicated "
		    "synchronously");
		return;
	}
	len = (size_t)snprintf(text, size, "any %u of ", list->k);
	for (i = 0; i < list->count && len < size; i++)
		len += (size_t)snprintf(text + len, size - len, "%s%s",
		    i > 0 ? ", " : "", state_name(list->names[i].member_id,
		    f->state));
	if (list->count == 0 && len < size)
		snprintf(text + len, size - len, "nobody: commits wait");
}

bool
decide_sync(const struct facts *f, struct decision *d, struct trace *trace)
{
	struct sync_list want;
	char text[160];

	if (f->primary == NULL || f->primary_liveness != LIVENESS_FRESH ||
	    f->primary->report.lease_epoch != f->reign->epoch ||
	    (f->job != NULL && f->job->kind == JOB_SWITCHOVER &&
	    f->job->step >= JOB_STEP_STOP))
		return false;
	wanted_list(f, &want);
	describe(f, &want, text, sizeof(text));
	if (!same_list(&want, &f->state->sync)) {
		trace_add(trace, "synchronous standbys: %s -> change", text);
		decide_command(f, d, CMD_SYNC_BEGIN,
		    "synchronous standbys: %s", text);
		d->command.u.sync_begin.epoch = f->reign->epoch;
		d->command.u.sync_begin.list = want;
		return true;
	}
	if (!f->state->sync_settled &&
	    f->primary->report.sync_version == f->state->sync_version) {
		trace_add(trace, "synchronous standbys: %s -> confirmed",
		    text);
		decide_command(f, d, CMD_SYNC_DONE, "%s", "");
		d->command.u.sync_done.epoch = f->reign->epoch;
		d->command.u.sync_done.version = f->state->sync_version;
		return true;
	}
	return false;
}

bool
decide_cover_drop(const struct facts *f, struct decision *d,
    struct trace *trace)
{
	const struct state *state = f->state;
	const struct walsender *ws;
	uint32_t i, hold = 0;

	if (state->cover_count < 2 || !state->sync_settled ||
	    f->primary == NULL || f->primary->report.sync_version !=
	    state->sync_version)
		return false;
	for (i = 0; i < state->member_count; i++) {
		if (!list_has(&state->sync, &state->members[i]))
			continue;
		ws = walsender_of(&f->primary->report, &state->members[i]);
		if (ws != NULL && ws->flush.value > f->reign->begin_lsn.value)
			hold++;
	}
	if (hold < state->sync.k && !RULE_OFF("cover-drop"))
		return false;
	trace_add(trace, "%u of the new set hold the switch -> covers before "
	    "epoch %llu go", hold, (unsigned long long)f->reign->epoch);
	decide_command(f, d, CMD_COVER_DROP, "%s", "");
	d->command.u.cover_epoch = f->reign->epoch - 1;
	return true;
}
