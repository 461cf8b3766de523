/*
 * decide.c - what the coordinator wants next, and why.
 *
 * The table at the end is read top down: phase, a named fact, what is then
 * wanted.  The first row whose fact holds and whose action has something to
 * say decides.  Nothing here acts: a decision is proposed, committed and only
 * then carried out by the agents it concerns.
 */
#include "decide.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "candidate.h"
#include "decide_internal.h"
#include "liveness.h"
#include "mutant.h"

/* ---- facts ---- */

static bool
primary_died(const struct facts *f)
{
	const struct report *report;

	if (f->primary == NULL || f->primary_liveness == LIVENESS_UNKNOWN)
		return false;
	report = &f->primary->report;
	/*
	 * Its own guard says so: certain, however old the news; unless it
	 * was started again in place, which needs a lease first.
	 */
	return report->released && report->lease_epoch == 0 &&
	    report->died_epoch == f->reign->epoch &&
	    report->incarnation == f->reign->primary_incarnation;
}

static void
gather_facts(const struct decide_input *in, struct facts *f)
{
	const struct state *state = in->state;
	uint32_t i;

	memset(f, 0, sizeof(*f));
	f->in = in;
	f->state = state;
	f->reign = state_reign(state);
	f->phase = state_phase(state);
	if (f->reign == NULL)
		return;
	f->primary = view_of(in->view, f->reign->primary_id);
	f->primary_liveness = liveness_of(state, in->view,
	    f->reign->primary_id, in->now);
	liveness_primary(state, in->view, in->now, &f->evidence);
	f->died = primary_died(f);
	f->silent = !f->died && f->evidence.majority_silent &&
	    f->primary_liveness != LIVENESS_FRESH &&
	    f->primary_liveness != LIVENESS_LATE;
	f->paused = state->paused_until_us > in->time_us;
	f->job = state_running_job(state, 0);
	for (i = 0; i < state->job_count; i++)
		if (state->jobs[i].status == JOB_RUNNING &&
		    state->jobs[i].kind != JOB_CLONE)
			f->job = &state->jobs[i];
	f->named_id = f->job != NULL && f->job->kind != JOB_CLONE ?
	    f->job->member_id : 0;
	f->accept_loss = f->job != NULL && f->job->kind == JOB_FAILOVER &&
	    f->job->accept_data_loss;
}

/* Where a node that is not sealed yet would stand. */
static struct position
likely_position(const struct state *state, const struct report *report)
{
	struct position position;

	if (report->has_position)
		return report->position;
	position.epoch = state_epoch_of_timeline(state, report->timeline);
	position.lsn = lsn_max(report->receive_lsn, report->replay_lsn);
	return position;
}

/*
 * Was it the primary of the last epoch that opened, or of one behind it that
 * never did?  Nobody has led it anywhere else since: its WAL is whole.
 */
static bool
is_last_primary(const struct state *state, const struct member *member)
{
	uint32_t i;

	for (i = state->reign_count; i > 0; i--) {
		const struct reign *reign = &state->reigns[i - 1];

		if (reign->primary_id == member->id &&
		    reign->primary_incarnation == member->incarnation)
			return true;
		if (reign->opened)
			break;
	}
	return false;
}

/* It answered lately: would it keep a seal, with a position? */
static bool
would_be_sealed(const struct facts *f, const struct member *member,
    const struct report *report)
{
	if (member->id == f->reign->primary_id &&
	    member->incarnation == f->reign->primary_incarnation)
		/* A primary that lives on is not to be counted. */
		return f->died || f->named_id != 0 ||
		    f->phase == REIGN_PROMOTING;
	if (f->phase == REIGN_PROMOTING && report->has_position &&
	    report->sealed_epoch == f->state->seal)
		return true;
	return report->pg_state == PG_RUNNING;
}

/*
 * Q: the nodes that are sealed for `seal` with a position; or, when likely,
 * those that answered lately and would be.
 */
static uint32_t
collect_sealed(const struct facts *f, bool likely, struct sealed_node *q)
{
	const struct state *state = f->state;
	const struct hearing *hearing;
	const struct report *r;
	uint32_t i, count = 0;

	for (i = 0; i < state->member_count; i++) {
		const struct member *member = &state->members[i];

		if (!member->has_data || member->phase != MEMBER_READY)
			continue;
		hearing = view_of(f->in->view, member->id);
		if (hearing == NULL || liveness_of(state, f->in->view,
		    member->id, f->in->now) > LIVENESS_LATE)
			continue;
		r = &hearing->report;
		/* What an earlier life of it said is not its own. */
		if (r->incarnation != member->incarnation &&
		    !RULE_OFF("report-incarnation"))
			continue;
		if (likely ? !would_be_sealed(f, member, r) :
		    (r->sealed_epoch != state->seal &&
		    !RULE_OFF("sealed-for-this")) || !r->has_position ||
		    /* What is not on its disk a restart takes back. */
		    (r->promise < state->seal && !RULE_OFF("sealed-promised")))
			continue;
		q[count].member_id = member->id;
		q[count].incarnation = member->incarnation;
		q[count].was_primary = is_last_primary(state, member);
		q[count].position = likely_position(state, r);
		count++;
	}
	return count;
}

static bool
covers_met(const struct facts *f, const struct sealed_node *q,
    uint32_t count, struct trace *trace)
{
	const struct state *state = f->state;
	bool met = true;
	uint32_t i;

	for (i = 0; i < state->cover_count; i++)
		if (!quorum_cover_is_met(&state->covers[i], q, count, trace,
		    state_name, state) && !RULE_OFF("cover-met"))
			met = false;
	return met;
}

/* durability async: how far may the winner be behind? */
static bool
lag_allowed(const struct facts *f, struct position best, struct trace *trace)
{
	const struct state *state = f->state;
	struct position known = { 0, { 0 } };
	uint64_t behind, last_open = 0;
	uint32_t i;

	for (i = 0; i < state->reign_count; i++)
		if (state->reigns[i].opened)
			last_open = state->reigns[i].epoch;
	for (i = 0; i < MEMBERS_MAX; i++)
		if (position_compare(
		    f->in->view->hearings[i].report.primary_heard, known) > 0)
			known = f->in->view->hearings[i].report.primary_heard;
	if (known.epoch < last_open) {
		trace_add(trace, "async: no voter has heard how far epoch "
		    "%llu was -> too far", (unsigned long long)last_open);
		return false;
	}
	behind = known.epoch == best.epoch && known.lsn.value >
	    best.lsn.value ? known.lsn.value - best.lsn.value : 0;
	if (known.epoch > best.epoch)
		behind = UINT64_MAX;
	trace_add(trace, "async: %llu bytes behind the primary as last heard, "
	    "max_lag_bytes %lld -> %s", (unsigned long long)behind,
	    (long long)state->settings.max_lag_bytes,
	    behind <= (uint64_t)state->settings.max_lag_bytes ? "allowed" :
	    "too far");
	return behind <= (uint64_t)state->settings.max_lag_bytes;
}

static const char *
why_not_candidate(const struct facts *f, const struct member *member,
    const struct report *report)
{
	const struct state *state = f->state;

	if (member->no_failover)
		return "tagged no_failover";
	if (report->pg_state != PG_RUNNING)
		return "PostgreSQL is not running";
	if (report->pg_role != PG_ROLE_STANDBY)
		return "not a standby";
	/* An order of before the seal is over, whatever became of it. */
	if (state->seal > f->reign->epoch &&
	    report->order_index >= state->seal_index &&
	    report->order_result == ORDER_FAILED)
		return "its last order failed";
	return NULL;
}

/* Ranks Q; returns how many, best first, and narrates. */
static uint32_t
rank_candidates(const struct facts *f, const struct sealed_node *q,
    uint32_t count, struct candidate *ranked, struct trace *trace)
{
	char lsn[LSN_TEXT_MAX];
	uint32_t i;
	int rule = 0;

	for (i = 0; i < count; i++) {
		const struct member *member = state_member(f->state,
		    q[i].member_id);
		const struct report *report = &view_of(f->in->view,
		    q[i].member_id)->report;
		struct candidate *c = &ranked[i];

		memset(c, 0, sizeof(*c));
		c->member_id = member->id;
		c->why_not = why_not_candidate(f, member, report);
		c->eligible = c->why_not == NULL;
		c->position = q[i].position;
		c->named = member->id == f->named_id;
		c->backlog_bytes = c->position.lsn.value >
		    report->replay_lsn.value ? c->position.lsn.value -
		    report->replay_lsn.value : 0;
		c->priority = member->priority;
	}
	candidate_rank(ranked, count);
	for (i = 0; i < count; i++) {
		if (i + 1 < count)
			candidate_compare(&ranked[i], &ranked[i + 1], &rule);
		trace_add(trace, "candidate %u: %s at epoch %llu, %s, "
		    "%llu bytes to replay%s%s%s", i + 1,
		    state_name(ranked[i].member_id, f->state),
		    (unsigned long long)ranked[i].position.epoch,
		    lsn_format(ranked[i].position.lsn, lsn),
		    (unsigned long long)ranked[i].backlog_bytes,
		    ranked[i].named ? ", named" : "",
		    ranked[i].why_not != NULL ? ", not eligible: " : "",
		    ranked[i].why_not != NULL ? ranked[i].why_not : "");
		if (i + 1 < count)
			trace_add(trace, "  before the next by rule %d", rule);
	}
	return count;
}

/*
 * Does the best of the ranked hold the greatest position of all?  Only then
 * may it be promoted (fetching the rest from another node is not done).
 */
static bool
best_holds_all(const struct facts *f, const struct candidate *ranked,
    uint32_t count, struct trace *trace)
{
	uint32_t i;

	if (count == 0 || !ranked[0].eligible) {
		trace_add(trace, "no eligible candidate");
		return false;
	}
	for (i = 1; i < count; i++)
		if (position_compare(ranked[i].position,
		    ranked[0].position) > 0) {
			trace_add(trace, "%s holds more WAL than %s but "
			    "cannot be promoted -> refused",
			    state_name(ranked[i].member_id, f->state),
			    state_name(ranked[0].member_id, f->state));
			return false;
		}
	return true;
}

/* Is the primary of the last open epoch itself among them? */
static bool
has_last_open_primary(const struct facts *f, const struct sealed_node *q,
    uint32_t count)
{
	const struct state *state = f->state;
	const struct reign *open = NULL;
	uint32_t i;

	for (i = 0; i < state->reign_count; i++)
		if (state->reigns[i].opened)
			open = &state->reigns[i];
	for (i = 0; i < count; i++)
		if (open != NULL && q[i].member_id == open->primary_id &&
		    q[i].incarnation == open->primary_incarnation)
			return true;
	return false;
}

/*
 * The rule of design section 5, "When may N be promoted".  *overridden: only
 * because the operator accepts a loss.
 */
static bool
rule_met(const struct facts *f, bool likely, struct candidate *best,
    bool *overridden, struct trace *trace)
{
	struct sealed_node q[MEMBERS_MAX];
	struct candidate ranked[MEMBERS_MAX];
	const struct state *state = f->state;
	bool durable;
	uint32_t count;

	count = collect_sealed(f, likely, q);
	rank_candidates(f, q, count, ranked, trace);
	if (state->settings.durability == DURABILITY_ASYNC)
		durable = count > 0 && (has_last_open_primary(f, q, count) ||
		    lag_allowed(f, ranked[0].position, trace));
	else
		durable = covers_met(f, q, count, trace);
	*overridden = !durable && f->accept_loss;
	if (*overridden) {
		trace_add(trace, "overridden by --accept-data-loss");
		durable = true;
	}
	/*
	 * Whoever is merely likely may still have to be started; and once a
	 * promotion has failed there is no primary that a seal could harm.
	 */
	if (likely && count > 0 && (f->phase == REIGN_PROMOTING ||
	    (f->died && !ranked[0].eligible))) {
		*best = ranked[0];
		return durable;
	}
	if (!durable || !best_holds_all(f, ranked, count, trace))
		return false;
	*best = ranked[0];
	return true;
}

static bool
voters_sealed(const struct facts *f, struct trace *trace)
{
	const struct raft_config *config = f->in->config;
	const struct state *state = f->state;
	const struct hearing *hearing;
	uint32_t i, voters = 0, sealed = 0, clear = 0;
	bool wait_clear, good;

	/* The consensus's own list: a removed member may still grant. */
	for (i = 0; i < config->count; i++) {
		if (!config->servers[i].voter)
			continue;
		voters++;
		hearing = view_of(f->in->view, config->servers[i].id);
		if (hearing == NULL ||
		    hearing->report.promise < state->seal)
			continue;
		sealed++;
		/* Before its promise it may have granted again since. */
		if (hearing->report.clear)
			clear++;
	}
	wait_clear = state->settings.durability == DURABILITY_ASYNC ||
	    state->settings.failover_wait == FAILOVER_WAIT_LEASE;
	good = (sealed >= quorum_majority(voters) ||
	    RULE_OFF("voters-sealed")) && (!wait_clear ||
	    clear >= quorum_majority(voters) || RULE_OFF("lease-clear"));
	trace_add(trace, "voters sealed %u of %u%s%s -> %s", sealed, voters,
	    wait_clear ? ", lease clear at " : "",
	    !wait_clear ? "" : clear >= quorum_majority(voters) ?
	    "a majority" : "too few", good ? "majority" : "not yet");
	return good;
}

/* ---- making commands ---- */

void
decide_command(const struct facts *f, struct decision *d, uint8_t type,
    const char *format, ...)
{
	va_list ap;

	memset(&d->command, 0, sizeof(d->command));
	d->action = DECIDE_PROPOSE;
	d->command.type = type;
	d->command.based_on = f->state->version;
	d->command.time_us = f->in->time_us;
	va_start(ap, format);
	vsnprintf(d->command.why, sizeof(d->command.why), format, ap);
	va_end(ap);
}

void
decide_copy_trace(char *text, size_t size, const struct trace *trace)
{
	size_t len = trace != NULL ? strlen(trace->text) : 0;

	if (len >= size)
		len = size - 1;
	if (len > 0)
		memcpy(text, trace->text, len);
	text[len] = '\0';
}

__attribute__((format(printf, 4, 5)))
static bool
want_seal(const struct facts *f, struct decision *d, struct trace *trace,
    const char *format, ...)
{
	char reason[TEXT_MAX_LEN + 1];
	struct candidate best;
	bool overridden;
	va_list ap;

	va_start(ap, format);
	vsnprintf(reason, sizeof(reason), format, ap);
	va_end(ap);
	trace_add(trace, "%s", reason);
	if (!rule_met(f, true, &best, &overridden, trace) &&
	    !RULE_OFF("last-round")) {
		trace_add(trace, "a seal could not be followed by a promotion"
		    " -> not sealed, epoch %llu stays open",
		    (unsigned long long)f->reign->epoch);
		return false;
	}
	trace_add(trace, "-> seal epoch %llu",
	    (unsigned long long)f->reign->epoch + 1);
	decide_command(f, d, CMD_SEAL, "failover begins: %.200s", reason);
	d->command.u.seal.epoch = f->reign->epoch + 1;
	decide_copy_trace(d->command.u.seal.trace,
	    sizeof(d->command.u.seal.trace), trace);
	return true;
}

/* ---- rows: phase OPEN ---- */

static bool
row_primary_died(const struct facts *f, struct decision *d,
    struct trace *trace)
{
	if (!f->died)
		return false;
	if (f->paused && (f->job == NULL || f->job->kind == JOB_CLONE)) {
		trace_add(trace, "%s died, automatic failover is paused",
		    state_name(f->reign->primary_id, f->state));
		return false;
	}
	return want_seal(f, d, trace, "PostgreSQL of primary %s has ended, "
	    "no process is left, its lease is released",
	    state_name(f->reign->primary_id, f->state));
}

static bool
row_primary_silent(const struct facts *f, struct decision *d,
    struct trace *trace)
{
	const char *name = state_name(f->reign->primary_id, f->state);

	if (!f->silent)
		return false;
	trace_add(trace, "primary %s: %u of %u agents heard nothing for "
	    "%lld ms; its PostgreSQL port answers %u, dead at %u", name,
	    f->evidence.silent, f->evidence.asked,
	    (long long)f->state->settings.detect_ms,
	    f->evidence.port_answers, f->evidence.port_dead);
	if (f->evidence.port_answers > 0 && !f->evidence.majority_clear) {
		trace_add(trace, "-> waiting: its PostgreSQL answers");
		return false;
	}
	if (f->evidence.port_dead == 0 && !f->evidence.majority_clear) {
		trace_add(trace, "-> waiting for an answer about its port");
		return false;
	}
	if (f->paused) {
		trace_add(trace, "-> nothing: automatic failover is paused");
		return false;
	}
	return want_seal(f, d, trace, "primary %s is silent to a majority and "
	    "its PostgreSQL does not answer", name);
}

static bool
row_failover_ordered(const struct facts *f, struct decision *d,
    struct trace *trace)
{
	if (f->job == NULL || f->job->kind != JOB_FAILOVER ||
	    f->job->epoch != f->reign->epoch)
		return false;
	if (want_seal(f, d, trace, "failover ordered by the operator"))
		return true;
	decide_command(f, d, CMD_JOB_END, "failover refused: the promotion "
	    "rule would not be met (failoverctl explain)");
	d->command.based_on = 0;
	d->command.u.job_step.id = f->job->id;
	d->command.u.job_step.status = JOB_FAILED;
	snprintf(d->command.u.job_step.text,
	    sizeof(d->command.u.job_step.text), "refused: the nodes that "
	    "answer do not prove that every acknowledged commit is kept");
	return true;
}

/* ---- rows: phase SEALING ---- */

/* S of the next epoch: the sealed, reachable data nodes without N. */
static void
next_sync(const struct facts *f, uint32_t winner, struct sync_list *list)
{
	struct sealed_node q[MEMBERS_MAX];
	uint32_t count = collect_sealed(f, false, q), i;
	uint8_t k = (uint8_t)f->state->settings.sync_standbys;

	memset(list, 0, sizeof(*list));
	if (f->state->settings.durability == DURABILITY_ASYNC)
		return;
	for (i = 0; i < count && list->count < SYNC_MAX; i++) {
		if (q[i].member_id == winner)
			continue;
		list->names[list->count].member_id = q[i].member_id;
		list->names[list->count].incarnation = q[i].incarnation;
		list->count++;
	}
	if (list->count >= k)
		list->k = k;
	else if (f->state->settings.durability == DURABILITY_REQUIRED) {
		memset(list, 0, sizeof(*list));
		list->k = k;
	} else
		memset(list, 0, sizeof(*list));
}

/*
 * A standby whose answer is a moment away is worth that moment: without it
 * the next epoch would begin with too few to acknowledge.
 */
#define STANDBY_WAIT_MS 300

static bool
wait_for_standbys(const struct facts *f, uint32_t winner,
    struct trace *trace)
{
	const struct state *state = f->state;
	const struct hearing *hearing;
	uint32_t i, sealed = 0, coming = 0;

	if (state->settings.durability == DURABILITY_ASYNC ||
	    monotime_diff_ms(f->in->now, f->in->phase_since) >
	    STANDBY_WAIT_MS)
		return false;
	for (i = 0; i < state->member_count; i++) {
		const struct member *member = &state->members[i];

		hearing = view_of(f->in->view, member->id);
		if (member->id == winner || !member->has_data ||
		    member->phase != MEMBER_READY || hearing == NULL ||
		    hearing->report.pg_state != PG_RUNNING ||
		    liveness_of(state, f->in->view, member->id,
		    f->in->now) > LIVENESS_LATE)
			continue;
		if (hearing->report.sealed_epoch == state->seal &&
		    hearing->report.has_position)
			sealed++;
		else
			coming++;
	}
	if (coming == 0 || sealed >= state->settings.sync_standbys)
		return false;
	trace_add(trace, "-> waiting a moment: %u of %lld synchronous "
	    "standbys are sealed, %u more run", sealed,
	    (long long)state->settings.sync_standbys, coming);
	return true;
}

/*
 * Newer than every one ever intended, and than what a node may have opened
 * that found a history file of elsewhere.
 */
static uint32_t
next_timeline(const struct facts *f)
{
	const struct state *state = f->state;
	uint32_t i, newest = 0;

	for (i = 0; i < state->reign_count; i++)
		if (state->reigns[i].timeline > newest &&
		    (state->reigns[i].opened || !RULE_OFF("burnt-timelines")))
			newest = state->reigns[i].timeline;
	for (i = 0; i < MEMBERS_MAX; i++) {
		const struct report *report =
		    &f->in->view->hearings[i].report;

		if (RULE_OFF("used-timelines"))
			break;
		if (report->timeline > newest)
			newest = report->timeline;
		if (report->opened_timeline > newest)
			newest = report->opened_timeline;
	}
	return newest + 1;
}

static bool
row_promote(const struct facts *f, struct decision *d, struct trace *trace)
{
	struct candidate best;
	const char *name;
	bool overridden;

	trace_add(trace, "epoch %llu is sealed: %.200s",
	    (unsigned long long)f->state->seal, f->state->seal_why);
	if (!voters_sealed(f, trace) ||
	    !rule_met(f, false, &best, &overridden, trace))
		return false;
	/* The one the operator named is worth a moment's wait. */
	if (f->named_id != 0 && best.member_id != f->named_id &&
	    monotime_diff_ms(f->in->now, f->in->phase_since) <
	    f->state->settings.detect_ms) {
		trace_add(trace, "-> waiting for %s, named by the operator",
		    state_name(f->named_id, f->state));
		return false;
	}
	if (wait_for_standbys(f, best.member_id, trace))
		return false;
	name = state_name(best.member_id, f->state);
	trace_add(trace, "-> promote %s, epoch %llu", name,
	    (unsigned long long)f->state->seal);
	decide_command(f, d, CMD_PROMOTE, "%s is to be primary of epoch %llu%s",
	    name, (unsigned long long)f->state->seal,
	    overridden ? " (data loss accepted)" : "");
	d->command.u.promote.epoch = f->state->seal;
	d->command.u.promote.primary_id = best.member_id;
	d->command.u.promote.primary_incarnation =
	    state_member(f->state, best.member_id)->incarnation;
	d->command.u.promote.timeline = next_timeline(f);
	d->command.u.promote.lossy = overridden;
	d->command.u.promote.position = best.position;
	next_sync(f, best.member_id, &d->command.u.promote.sync);
	decide_copy_trace(d->command.u.promote.trace,
	    sizeof(d->command.u.promote.trace), trace);
	return true;
}

/* ---- rows: phase PROMOTING ---- */

static bool
row_opened(const struct facts *f, struct decision *d, struct trace *trace)
{
	const struct report *report;
	char lsn[LSN_TEXT_MAX];

	if (f->primary == NULL ||
	    f->primary->report.opened_epoch != f->reign->epoch)
		return false;
	report = &f->primary->report;
	trace_add(trace, "%s is read-write on timeline %u -> epoch %llu open",
	    state_name(f->reign->primary_id, f->state),
	    report->opened_timeline, (unsigned long long)f->reign->epoch);
	decide_command(f, d, CMD_OPENED,
	    "%s is primary of epoch %llu, timeline %u from %s",
	    state_name(f->reign->primary_id, f->state),
	    (unsigned long long)f->reign->epoch, report->opened_timeline,
	    lsn_format(report->opened_lsn, lsn));
	d->command.u.opened.epoch = f->reign->epoch;
	d->command.u.opened.timeline = report->opened_timeline;
	d->command.u.opened.begin_lsn = report->opened_lsn;
	return true;
}

/* A promotion is tried once: what went wrong with it, or NULL. */
static const char *
promotion_failure(const struct facts *f)
{
	const struct report *report;

	if (f->died)
		return "its PostgreSQL ended";
	if (f->silent && f->evidence.port_answers == 0)
		return "it is silent to a majority";
	if (f->primary != NULL) {
		report = &f->primary->report;
		if (report->order_index == f->state->promote_index &&
		    report->order_result == ORDER_FAILED)
			return report->message[0] != '\0' ? report->message :
			    "its agent gave up";
	}
	if (monotime_diff_ms(f->in->now, f->in->phase_since) >
	    f->state->settings.promote_timeout_ms)
		return "it took longer than promote_timeout";
	return NULL;
}

static bool
row_promotion_failed(const struct facts *f, struct decision *d,
    struct trace *trace)
{
	const char *failure = promotion_failure(f);

	if (failure == NULL || RULE_OFF("burnt-once"))
		return false;
	return want_seal(f, d, trace, "promotion of %s burnt: %.150s",
	    state_name(f->reign->primary_id, f->state), failure);
}

/* ---- the table ---- */

#define IN(phase)	(1u << (phase))

static const struct {
	unsigned phases;
	decide_row_fn *row;
	const char *what;
} rows[] = {
	{ IN(REIGN_SEALING), row_promote, "seal kept -> promote" },
	{ IN(REIGN_PROMOTING), row_opened, "opened -> say so" },
	{ IN(REIGN_PROMOTING), row_promotion_failed, "burnt -> seal next" },
	{ IN(REIGN_OPEN), row_primary_died, "primary ended -> seal" },
	{ IN(REIGN_OPEN), row_primary_silent, "primary silent -> seal" },
	{ IN(REIGN_OPEN), row_failover_ordered, "operator -> seal" },
	{ IN(REIGN_OPEN), decide_switchover, "switchover -> next step" },
	{ IN(REIGN_OPEN) | IN(REIGN_PROMOTING) | IN(REIGN_SEALING),
	    decide_clone, "clone -> next step" },
	{ IN(REIGN_OPEN), decide_sync, "synchronous set -> follow" },
	{ IN(REIGN_OPEN), decide_cover_drop, "old covers -> drop" },
	{ IN(REIGN_OPEN), decide_membership, "voters -> odd" },
	{ IN(REIGN_OPEN), decide_transfer, "coordinator -> off the primary" },
};
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

uint32_t
decide_row_count(void)
{
	return ROW_COUNT;
}

struct decide_row
decide_row(uint32_t number)
{
	struct decide_row row;

	assert(number < ROW_COUNT);
	row.phases = rows[number].phases;
	row.what = rows[number].what;
	return row;
}

void
decide(const struct decide_input *input, struct decision *decision,
    struct trace *trace)
{
	struct facts facts;
	size_t i;

	memset(decision, 0, sizeof(*decision));
	gather_facts(input, &facts);
	if (facts.phase == REIGN_NONE)
		return;
	for (i = 0; i < ROW_COUNT; i++)
		if ((rows[i].phases & IN(facts.phase)) != 0 &&
		    rows[i].row(&facts, decision, trace))
			return;
}

uint32_t
decide_dry_run(const struct decide_input *input, uint32_t named_id,
    bool accept_data_loss, struct trace *trace)
{
	struct candidate best;
	struct facts facts;
	bool overridden;

	gather_facts(input, &facts);
	if (facts.reign == NULL)
		return 0;
	facts.named_id = named_id;
	facts.accept_loss = accept_data_loss;
	if (!rule_met(&facts, facts.phase != REIGN_SEALING, &best,
	    &overridden, trace))
		return 0;
	return best.member_id;
}
