/*
 * state.c - what the cluster agreed on.
 *
 * The one writer of struct state is state_apply(), a table of functions, one
 * a command.  Deterministic: the same entries give the same state on every
 * member.  A decision taken upon a version that is over has no effect.
 */
#include "state.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mutant.h"

typedef bool apply_fn(struct state *state, const struct command *command,
    uint64_t index, char *why);

void
state_init(struct state *state)
{
	memset(state, 0, sizeof(*state));
	settings_init(&state->settings);
	state->next_member_id = 1;
	state->next_incarnation = 1;
	state->next_job_id = 1;
}

/* ---- looking things up ---- */

static struct member *
member_by_id(struct state *state, uint32_t id)
{
	uint32_t i;

	for (i = 0; i < state->member_count; i++)
		if (state->members[i].id == id)
			return &state->members[i];
	return NULL;
}

const struct member *
state_member(const struct state *state, uint32_t id)
{
	uint32_t i;

	for (i = 0; i < state->member_count; i++)
		if (state->members[i].id == id)
			return &state->members[i];
	return NULL;
}

const struct member *
state_member_named(const struct state *state, const char *name)
{
	uint32_t i;

	for (i = 0; i < state->member_count; i++)
		if (strcmp(state->members[i].name, name) == 0)
			return &state->members[i];
	return NULL;
}

const char *
state_name(uint32_t member_id, const void *arg)
{
	const struct state *state = arg;
	const struct member *member = state_member(state, member_id);

	return member != NULL ? member->name :
	    member_id == 0 ? "nobody" : "a former member";
}

const struct reign *
state_reign(const struct state *state)
{
	return state->reign_count > 0 ?
	    &state->reigns[state->reign_count - 1] : NULL;
}

const struct reign *
state_reign_of(const struct state *state, uint64_t epoch)
{
	uint32_t i;

	for (i = 0; i < state->reign_count; i++)
		if (state->reigns[i].epoch == epoch)
			return &state->reigns[i];
	return NULL;
}

uint64_t
state_epoch_of_timeline(const struct state *state, uint32_t timeline)
{
	uint32_t i;

	for (i = state->reign_count; i > 0; i--)
		if (state->reigns[i - 1].timeline == timeline)
			return state->reigns[i - 1].epoch;
	return 0;
}

const struct job *
state_job(const struct state *state, uint32_t id)
{
	uint32_t i;

	for (i = 0; i < state->job_count; i++)
		if (state->jobs[i].id == id)
			return &state->jobs[i];
	return NULL;
}

const struct job *
state_running_job(const struct state *state, int kind)
{
	uint32_t i;

	for (i = 0; i < state->job_count; i++)
		if (state->jobs[i].status == JOB_RUNNING &&
		    (kind == 0 || state->jobs[i].kind == kind))
			return &state->jobs[i];
	return NULL;
}

uint32_t
state_data_members(const struct state *state)
{
	uint32_t i, count = 0;

	for (i = 0; i < state->member_count; i++)
		if (state->members[i].has_data)
			count++;
	return count;
}

enum reign_phase
state_phase(const struct state *state)
{
	const struct reign *reign = state_reign(state);

	if (reign == NULL)
		return REIGN_NONE;
	if (state->seal > reign->epoch)
		return REIGN_SEALING;
	return reign->opened ? REIGN_OPEN : REIGN_PROMOTING;
}

/* ---- changing them ---- */

__attribute__((format(printf, 2, 3)))
static bool
ignored(char *why, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, TEXT_MAX_LEN + 1, format, ap);
	va_end(ap);
	return false;
}

static void
add_event(struct state *state, const struct command *command)
{
	struct event *event;
	uint32_t slot;

	if (command->why[0] == '\0')
		return;
	if (state->event_count < EVENTS_MAX) {
		slot = (state->event_first + state->event_count) % EVENTS_MAX;
		state->event_count++;
	} else {
		slot = state->event_first;
		state->event_first = (state->event_first + 1) % EVENTS_MAX;
	}
	event = &state->events[slot];
	event->id = ++state->last_event_id;
	event->time_us = command->time_us;
	snprintf(event->text, sizeof(event->text), "%.*s", EVENT_TEXT_MAX,
	    command->why);
}

static bool
apply_bootstrap(struct state *state, const struct command *command,
    uint64_t index, char *why)
{
	char errmsg[ERRMSG_MAX];
	struct reign *reign;
	struct member *first;

	if (state->reign_count > 0)
		return ignored(why, "the cluster exists already");
	if (settings_check(&command->u.bootstrap.settings, errmsg) != 0)
		return ignored(why, "%.200s", errmsg);
	memcpy(state->cluster_id, command->u.bootstrap.cluster_id,
	    sizeof(state->cluster_id));
	memcpy(state->cluster, command->u.bootstrap.cluster,
	    sizeof(state->cluster));
	state->generation = 1;
	state->system_identifier = command->u.bootstrap.system_identifier;
	state->pg_major = command->u.bootstrap.pg_major;
	state->settings = command->u.bootstrap.settings;
	first = &state->members[0];
	*first = command->u.bootstrap.first;
	first->id = state->next_member_id++;
	first->incarnation = state->next_incarnation++;
	first->phase = MEMBER_READY;
	first->ready_index = index;
	first->voter = true;
	state->member_count = 1;
	reign = &state->reigns[0];
	reign->epoch = 1;
	reign->primary_id = first->id;
	reign->primary_incarnation = first->incarnation;
	reign->timeline = command->u.bootstrap.timeline;
	reign->opened = true;
	state->reign_count = 1;
	state->promote_index = state->opened_index = index;
	state->sync_version = 1;
	state->sync_settled = true;
	state->sync_since_us = command->time_us;
	cover_from_list(&state->covers[0], 1, first->id, &state->sync);
	state->cover_count = 1;
	state->version++;
	return true;
}

static bool
apply_member_add(struct state *state, const struct command *command,
    uint64_t index, char *why)
{
	struct member *member;

	(void)index;
	if (state_member_named(state, command->u.member.name) != NULL)
		return ignored(why, "\"%s\" is a member already",
		    command->u.member.name);
	if (state->member_count == MEMBERS_MAX)
		return ignored(why, "a cluster has at most %d members",
		    MEMBERS_MAX);
	member = &state->members[state->member_count++];
	*member = command->u.member;
	member->id = state->next_member_id++;
	member->incarnation = state->next_incarnation++;
	member->voter = false;
	member->phase = MEMBER_JOINING;
	member->ready_index = 0;
	return true;
}

static bool
apply_member_phase(struct state *state, const struct command *command,
    uint64_t index, char *why)
{
	struct member *member = member_by_id(state, command->u.phase.id);

	if (member == NULL)
		return ignored(why, "no member has id %u",
		    command->u.phase.id);
	member->phase = command->u.phase.phase;
	if (command->u.phase.new_incarnation)
		member->incarnation = state->next_incarnation++;
	if (member->phase == MEMBER_READY)
		member->ready_index = index;
	return true;
}

static bool
apply_member_address(struct state *state, const struct command *command,
    uint64_t index, char *why)
{
	struct member *member = member_by_id(state, command->u.address.id);

	(void)index;
	if (member == NULL)
		return ignored(why, "no member has id %u",
		    command->u.address.id);
	memcpy(member->address, command->u.address.address,
	    sizeof(member->address));
	memcpy(member->pg_address, command->u.address.pg_address,
	    sizeof(member->pg_address));
	return true;
}

static bool
apply_member_remove(struct state *state, const struct command *command,
    uint64_t index, char *why)
{
	struct member *member = member_by_id(state, command->u.member_id);
	const struct reign *reign = state_reign(state);

	(void)index;
	if (member == NULL)
		return ignored(why, "no member has id %u",
		    command->u.member_id);
	if (reign != NULL && reign->primary_id == member->id)
		return ignored(why, "\"%s\" is the primary", member->name);
	*member = state->members[--state->member_count];
	memset(&state->members[state->member_count], 0, sizeof(*member));
	return true;
}

/*
 * A member that has lost its state comes back as somebody else: what the old
 * one promised, voted and acknowledged is not the new one's.
 */
static bool
apply_member_renew(struct state *state, const struct command *command,
    uint64_t index, char *why)
{
	struct member *member = member_by_id(state, command->u.member_id);

	(void)index;
	if (member == NULL)
		return ignored(why, "no member has id %u",
		    command->u.member_id);
	member->id = state->next_member_id++;
	member->incarnation = state->next_incarnation++;
	member->voter = false;
	state->version++;
	return true;
}

static bool
apply_setting(struct state *state, const struct command *command,
    uint64_t index, char *why)
{
	struct settings settings = state->settings;
	char errmsg[ERRMSG_MAX];

	(void)index;
	if (settings_set(&settings, command->u.setting.name,
	    command->u.setting.value, errmsg) != 0 ||
	    settings_check(&settings, errmsg) != 0)
		return ignored(why, "%.200s", errmsg);
	state->settings = settings;
	return true;
}

static bool
apply_seal(struct state *state, const struct command *command, uint64_t index,
    char *why)
{
	const struct reign *reign = state_reign(state);

	if (reign == NULL || command->u.seal.epoch != reign->epoch + 1 ||
	    command->u.seal.epoch <= state->seal)
		return ignored(why, "epoch %llu is not the one to seal next",
		    (unsigned long long)command->u.seal.epoch);
	state->seal = command->u.seal.epoch;
	state->seal_index = index;
	memcpy(state->seal_why, command->why, sizeof(state->seal_why));
	snprintf(state->last_decision, sizeof(state->last_decision), "%s",
	    command->u.seal.trace);
	state->version++;
	return true;
}

/* Entries that no held cover and no member's timeline needs any more go. */
static void
fold_ledger(struct state *state)
{
	if (state->reign_count < LEDGER_MAX)
		return;
	memmove(&state->reigns[0], &state->reigns[1],
	    (LEDGER_MAX - 1) * sizeof(state->reigns[0]));
	state->reign_count--;
}

/*
 * After many burnt epochs the two oldest covers become one, which is met only
 * by what meets both: the union of the sets, the smaller k, no other proof.
 */
static bool
fold_covers(struct state *state)
{
	struct cover both = state->covers[1];
	const struct cover *oldest = &state->covers[0];
	struct sync_list list = { .k = oldest->k, .count = oldest->count };

	memcpy(list.names, oldest->names, sizeof(list.names));
	if (both.k > both.count)	/* could acknowledge nothing */
		both = *oldest;
	else if (oldest->k <= oldest->count &&
	    cover_widen(&both, &list) != 0)
		return false;
	if (both.primary_id != oldest->primary_id)
		both.primary_id = 0;
	if (both.next_begin.value != oldest->next_begin.value)
		both.next_begin = (lsn_t){ 0 };
	state->covers[1] = both;
	memmove(&state->covers[0], &state->covers[1],
	    (state->cover_count - 1) * sizeof(state->covers[0]));
	state->cover_count--;
	return true;
}

static struct cover *
cover_of(struct state *state, uint64_t epoch)
{
	uint32_t i;

	for (i = 0; i < state->cover_count; i++)
		if (state->covers[i].epoch == epoch)
			return &state->covers[i];
	return NULL;
}

static bool
apply_promote(struct state *state, const struct command *command,
    uint64_t index, char *why)
{
	const struct reign *last = state_reign(state);
	struct reign *reign;
	const struct member *member = state_member(state,
	    command->u.promote.primary_id);
	struct cover *cover;

	if (last == NULL || command->u.promote.epoch != state->seal ||
	    command->u.promote.epoch <= last->epoch)
		return ignored(why, "epoch %llu is not sealed for",
		    (unsigned long long)command->u.promote.epoch);
	/* Members come and go without a new version. */
	if (member == NULL || !member->has_data || member->incarnation !=
	    command->u.promote.primary_incarnation)
		return ignored(why, "the node to promote is not what it was");
	/* Covers that were judged, or overridden, hinder no later epoch. */
	if (command->u.promote.lossy)
		state->cover_count = 0;
	if (state->cover_count == COVERS_MAX && !fold_covers(state))
		return ignored(why, "too many covers are held");
	/*
	 * From here on whoever reaches that position holds what the cover of
	 * its epoch is about, even if this promotion comes to nothing.
	 */
	cover = cover_of(state, command->u.promote.position.epoch);
	if (cover != NULL && !RULE_OFF("promotion-proves-cover"))
		cover->next_begin = command->u.promote.position.lsn;
	fold_ledger(state);
	reign = &state->reigns[state->reign_count++];
	memset(reign, 0, sizeof(*reign));
	reign->epoch = command->u.promote.epoch;
	reign->primary_id = command->u.promote.primary_id;
	reign->primary_incarnation = command->u.promote.primary_incarnation;
	reign->timeline = command->u.promote.timeline;
	reign->parent = command->u.promote.position.epoch;
	reign->lossy = command->u.promote.lossy;
	if ((state->sync.k == 0) != (command->u.promote.sync.k == 0))
		state->sync_since_us = command->time_us;
	state->sync = command->u.promote.sync;
	state->sync_version++;
	state->sync_settled = true;
	cover = &state->covers[state->cover_count++];
	cover_from_list(cover, reign->epoch, reign->primary_id, &state->sync);
	state->promote_index = index;
	snprintf(state->last_decision, sizeof(state->last_decision), "%s",
	    command->u.promote.trace);
	state->version++;
	return true;
}

static bool
apply_opened(struct state *state, const struct command *command,
    uint64_t index, char *why)
{
	struct reign *reign;
	uint32_t i;

	if (state->reign_count == 0 || state_phase(state) != REIGN_PROMOTING)
		return ignored(why, "no promotion is waiting");
	reign = &state->reigns[state->reign_count - 1];
	if (reign->epoch != command->u.opened.epoch)
		return ignored(why, "epoch %llu is not the newest",
		    (unsigned long long)command->u.opened.epoch);
	reign->opened = true;
	reign->timeline = command->u.opened.timeline;
	reign->begin_lsn = command->u.opened.begin_lsn;
	state->opened_index = index;
	for (i = 0; i + 1 < state->cover_count; i++)
		if (state->covers[i].next_begin.value == 0)
			state->covers[i].next_begin = reign->begin_lsn;
	state->version++;
	return true;
}

static struct cover *
newest_cover(struct state *state, uint64_t epoch)
{
	if (state->cover_count == 0 ||
	    state->covers[state->cover_count - 1].epoch != epoch)
		return NULL;
	return &state->covers[state->cover_count - 1];
}

static bool
apply_sync_begin(struct state *state, const struct command *command,
    uint64_t index, char *why)
{
	const struct reign *reign = state_reign(state);
	struct cover *cover, wide;

	(void)index;
	/* From the seal on, the cover of every older epoch is frozen. */
	if (reign == NULL || (state->seal > reign->epoch &&
	    !RULE_OFF("cover-frozen")) ||
	    command->u.sync_begin.epoch != reign->epoch)
		return ignored(why, "the cover of epoch %llu is frozen",
		    (unsigned long long)command->u.sync_begin.epoch);
	cover = newest_cover(state, reign->epoch);
	if (cover == NULL)
		return ignored(why, "epoch %llu has no cover",
		    (unsigned long long)reign->epoch);
	wide = *cover;
	if (RULE_OFF("cover-is-union"))
		cover_from_list(&wide, reign->epoch, reign->primary_id,
		    &command->u.sync_begin.list);
	else if (cover_widen(&wide, &command->u.sync_begin.list) != 0)
		return ignored(why, "the union of the lists is too large");
	*cover = wide;
	if ((state->sync.k == 0) != (command->u.sync_begin.list.k == 0))
		state->sync_since_us = command->time_us;
	state->sync = command->u.sync_begin.list;
	state->sync_version++;
	state->sync_settled = false;
	state->version++;
	return true;
}

static bool
apply_sync_done(struct state *state, const struct command *command,
    uint64_t index, char *why)
{
	const struct reign *reign = state_reign(state);
	struct cover *cover;

	(void)index;
	if (reign == NULL || state->seal > reign->epoch ||
	    command->u.sync_done.epoch != reign->epoch)
		return ignored(why, "the cover of epoch %llu is frozen",
		    (unsigned long long)command->u.sync_done.epoch);
	if (command->u.sync_done.version != state->sync_version &&
	    !RULE_OFF("list-version"))
		return ignored(why, "the list has changed again");
	cover = newest_cover(state, reign->epoch);
	if (cover == NULL)
		return ignored(why, "epoch %llu has no cover",
		    (unsigned long long)reign->epoch);
	/*
	 * A list that can acknowledge nothing has been caught up with by
	 * nobody: what was acknowledged before it stays where it was.
	 */
	if (state->sync.k <= state->sync.count || RULE_OFF("dummy-cover"))
		cover_from_list(cover, reign->epoch, reign->primary_id,
		    &state->sync);
	state->sync_settled = true;
	state->version++;
	return true;
}

static bool
apply_cover_drop(struct state *state, const struct command *command,
    uint64_t index, char *why)
{
	const struct reign *reign = state_reign(state);
	uint32_t i, kept = 0;

	(void)index;
	if (reign == NULL || state->seal > reign->epoch ||
	    command->u.cover_epoch >= reign->epoch)
		return ignored(why, "covers are frozen");
	for (i = 0; i < state->cover_count; i++)
		if (state->covers[i].epoch > command->u.cover_epoch)
			state->covers[kept++] = state->covers[i];
	state->cover_count = kept;
	state->version++;
	return true;
}

/*
 * The oldest ended job makes room; but the last switchover that ended stays,
 * because the primary's order hangs on it and must never become older.
 */
static struct job *
free_job(struct state *state)
{
	uint32_t i, keep = JOBS_MAX;

	if (state->job_count < JOBS_MAX)
		return &state->jobs[state->job_count++];
	for (i = 0; i < JOBS_MAX; i++)
		if (state->jobs[i].kind == JOB_SWITCHOVER &&
		    state->jobs[i].status != JOB_RUNNING &&
		    (keep == JOBS_MAX || state->jobs[i].step_index >
		    state->jobs[keep].step_index))
			keep = i;
	for (i = 0; i < JOBS_MAX; i++)
		if (state->jobs[i].status != JOB_RUNNING && i != keep)
			break;
	if (i == JOBS_MAX)
		return NULL;
	memmove(&state->jobs[i], &state->jobs[i + 1],
	    (JOBS_MAX - 1 - i) * sizeof(state->jobs[0]));
	return &state->jobs[JOBS_MAX - 1];
}

static bool
apply_job_start(struct state *state, const struct command *command,
    uint64_t index, char *why)
{
	const struct reign *reign = state_reign(state);
	const struct job *other;
	struct job *job;
	uint32_t i;

	/* One at a time; only a failover does not wait for a clone. */
	for (i = 0; i < state->job_count; i++) {
		other = &state->jobs[i];
		if (other->status == JOB_RUNNING &&
		    (other->kind != JOB_CLONE ||
		    command->u.job.kind != JOB_FAILOVER))
			return ignored(why, "job %u is running: %.150s",
			    other->id, other->text);
	}
	if (command->u.job.kind == JOB_CLONE &&
	    state_member_named(state, command->u.job.name) != NULL)
		return ignored(why, "\"%s\" is a member already",
		    command->u.job.name);
	job = free_job(state);
	if (job == NULL)
		return ignored(why, "%d jobs are running", JOBS_MAX);
	*job = command->u.job;
	job->id = state->next_job_id++;
	job->status = JOB_RUNNING;
	job->epoch = reign != NULL ? reign->epoch : 0;
	job->step_index = index;
	return true;
}

static struct job *
running_job_by_id(struct state *state, uint32_t id)
{
	uint32_t i;

	for (i = 0; i < state->job_count; i++)
		if (state->jobs[i].id == id &&
		    state->jobs[i].status == JOB_RUNNING)
			return &state->jobs[i];
	return NULL;
}

static bool
apply_job_step(struct state *state, const struct command *command,
    uint64_t index, char *why)
{
	struct job *job = running_job_by_id(state, command->u.job_step.id);
	struct member *member;

	if (job == NULL)
		return ignored(why, "job %u is not running",
		    command->u.job_step.id);
	if (command->u.job_step.step != 0) {
		job->step = command->u.job_step.step;
		job->step_index = index;
		member = member_by_id(state, job->member_id);
		if (job->kind == JOB_CLONE && job->step == JOB_STEP_COPY &&
		    member != NULL)
			member->phase = MEMBER_CLONING;
	}
	if (command->u.job_step.member_id != 0)
		job->member_id = command->u.job_step.member_id;
	memcpy(job->text, command->u.job_step.text, sizeof(job->text));
	return true;
}

static bool
apply_job_end(struct state *state, const struct command *command,
    uint64_t index, char *why)
{
	struct job *job = running_job_by_id(state, command->u.job_step.id);

	if (job == NULL)
		return ignored(why, "job %u is not running",
		    command->u.job_step.id);
	job->status = command->u.job_step.status;
	job->step = JOB_STEP_END;
	job->step_index = index;
	job->args[0] = '\0';
	memcpy(job->text, command->u.job_step.text, sizeof(job->text));
	return true;
}

static bool
apply_pause(struct state *state, const struct command *command,
    uint64_t index, char *why)
{
	(void)index;
	(void)why;
	state->paused_until_us = command->u.paused_until_us;
	return true;
}

static bool
apply_event(struct state *state, const struct command *command,
    uint64_t index, char *why)
{
	(void)state;
	(void)command;
	(void)index;
	(void)why;
	return true;		/* the text is the whole effect */
}

/* ---- the table ---- */

static const struct {
	apply_fn *apply;
	bool is_decision;	/* rests on a version */
} commands[CMD_COUNT] = {
	[CMD_BOOTSTRAP] = { apply_bootstrap, false },
	[CMD_MEMBER_ADD] = { apply_member_add, false },
	[CMD_MEMBER_PHASE] = { apply_member_phase, false },
	[CMD_MEMBER_ADDRESS] = { apply_member_address, false },
	[CMD_MEMBER_REMOVE] = { apply_member_remove, false },
	[CMD_SETTING] = { apply_setting, false },
	[CMD_SEAL] = { apply_seal, true },
	[CMD_PROMOTE] = { apply_promote, true },
	[CMD_OPENED] = { apply_opened, true },
	[CMD_SYNC_BEGIN] = { apply_sync_begin, true },
	[CMD_SYNC_DONE] = { apply_sync_done, true },
	[CMD_COVER_DROP] = { apply_cover_drop, true },
	[CMD_JOB_START] = { apply_job_start, false },
	[CMD_JOB_STEP] = { apply_job_step, false },
	[CMD_JOB_END] = { apply_job_end, false },
	[CMD_PAUSE] = { apply_pause, false },
	[CMD_EVENT] = { apply_event, false },
	[CMD_MEMBER_RENEW] = { apply_member_renew, false },
};

static bool
apply_command(struct state *state, const struct raft_entry *entry,
    uint64_t index, char *why, bool *unknown)
{
	struct command command;
	struct reader reader;

	reader_init(&reader, entry->data, entry->len);
	if (command_decode(&command, &reader) != 0) {
		*unknown = true;
		return ignored(why, "entry %llu needs a newer failoverd",
		    (unsigned long long)index);
	}
	if (commands[command.type].is_decision &&
	    command.based_on != state->version && !RULE_OFF("version-checked"))
		return ignored(why, "decided upon version %llu, now %llu",
		    (unsigned long long)command.based_on,
		    (unsigned long long)state->version);
	if (!commands[command.type].apply(state, &command, index, why))
		return false;
	add_event(state, &command);
	return true;
}

static bool
apply_config(struct state *state, const struct raft_entry *entry,
    uint64_t index, char *why)
{
	struct raft_config config;
	struct reader reader;
	uint32_t i;

	reader_init(&reader, entry->data, entry->len);
	if (raft_config_decode(&config, &reader) != 0)
		return ignored(why, "configuration entry %llu is damaged",
		    (unsigned long long)index);
	for (i = 0; i < state->member_count; i++)
		state->members[i].voter = raft_is_voter(&config,
		    state->members[i].id);
	state->voters_index = index;
	return true;
}

bool
state_apply(struct state *state, const struct raft_entry *entry,
    uint64_t index, char why[TEXT_MAX_LEN + 1], bool *unknown)
{
	bool effect = false;

	why[0] = '\0';
	*unknown = false;
	assert(index == state->applied + 1);
	if (entry->type == RAFT_ENTRY_COMMAND)
		effect = apply_command(state, entry, index, why, unknown);
	else if (entry->type == RAFT_ENTRY_CONFIG)
		effect = apply_config(state, entry, index, why);
	if (!*unknown)
		state->applied = index;
	return effect;
}
