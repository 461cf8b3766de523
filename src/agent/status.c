/*
 * status.c - status and explain as JSON (operations.md section 5).
 *
 * Only the coordinator sees the whole; another node shows what it knows of
 * itself and whom it can reach, marked stale.  null means unknown, never 0.
 */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "control.h"
#include "control_internal.h"
#include "execute.h"
#include "liveness.h"

struct status {
	struct agent *agent;
	const struct state *state;
	const struct reign *reign;
	const struct view *view;
	bool stale;
	bool degraded;
	json_t *warnings;
};

__attribute__((format(printf, 4, 5)))
static void
warn(struct status *s, bool degrades, const char *command,
    const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text) - 1, format, ap);
	va_end(ap);
	/* A sentence: a command may stand behind it. */
	if (text[0] != '\0' && text[strlen(text) - 1] != '.')
		strcat(text, ".");
	if (degrades)
		s->degraded = true;
	json_array_append_new(s->warnings, json_pack("{s:o,s:o}", "text",
	    control_text(text), "command", command != NULL ? json_string(command) :
	    json_null()));
}

static json_t *
json_lsn(lsn_t lsn)
{
	char text[LSN_TEXT_MAX];

	return lsn_is_known(lsn) ? json_string(lsn_format(lsn, text)) :
	    json_null();
}

static json_t *
json_known(uint64_t value)
{
	return value != 0 ? json_integer((json_int_t)value) : json_null();
}

static const struct walsender *
find_walsender(const struct report *primary, uint32_t member_id)
{
	uint32_t i;

	for (i = 0; i < primary->walsender_count; i++)
		if (primary->walsenders[i].member_id == member_id)
			return &primary->walsenders[i];
	return NULL;
}

static const char *
state_word(const struct status *s, const struct member *member,
    const struct report *r)
{
	bool is_primary = member->id == s->reign->primary_id;

	if (!member->has_data)
		return "running";
	if (r->order_result == ORDER_FAILED)
		return "failed";
	switch (r->pg_state) {
	case PG_STARTING:
		return "starting";
	case PG_STOPPING:
		return "stopping";
	case PG_CLONING:
		return "cloning";
	case PG_REWINDING:
		return "rewinding";
	case PG_STOPPED:
	case PG_ABSENT:
		return r->released ? "fenced" : "stopped";
	case PG_HUNG:
	case PG_FAILED:
		return "failed";
	case PG_RUNNING:
		break;
	default:
		return "unknown";
	}
	if (r->pg_role == PG_ROLE_PRIMARY)
		return is_primary ? "running" : "failed";
	if (is_primary)
		return state_phase(s->state) == REIGN_PROMOTING ?
		    "starting" : "read-only";
	if (r->receiver_streaming)
		return "streaming";
	return r->in_archive_recovery ? "archive-recovery" : "catching-up";
}

static const char *
role_word(const struct status *s, const struct member *member)
{
	if (!member->has_data)
		return "witness";
	return member->id == s->reign->primary_id &&
	    state_phase(s->state) != REIGN_SEALING ? "primary" : "standby";
}

static json_t *
sync_word(const struct status *s, const struct member *member)
{
	uint8_t i;

	if (!member->has_data || member->id == s->reign->primary_id)
		return json_null();
	for (i = 0; i < s->state->sync.count; i++)
		if (s->state->sync.names[i].member_id == member->id &&
		    s->state->sync.names[i].incarnation ==
		    member->incarnation)
			return json_string(s->state->sync_settled ? "sync" :
			    "joining");
	return json_string("async");
}

static void
add_lag(const struct status *s, json_t *node, const struct member *member,
    const struct report *r, bool reachable)
{
	const struct hearing *primary = view_of(s->view,
	    s->reign->primary_id);
	const struct walsender *ws;
	json_t *bytes = json_null(), *ms = json_null();
	uint64_t lag;

	/* What was the lag of a node that is silent now is no lag. */
	if (reachable && primary != NULL &&
	    member->id != s->reign->primary_id &&
	    r->pg_role == PG_ROLE_STANDBY &&
	    lsn_is_known(primary->report.flush_lsn) &&
	    lsn_is_known(r->replay_lsn)) {
		lag = primary->report.flush_lsn.value > r->replay_lsn.value ?
		    primary->report.flush_lsn.value - r->replay_lsn.value : 0;
		bytes = json_integer((json_int_t)lag);
		ws = find_walsender(&primary->report, member->id);
		if (lag == 0)
			ms = json_integer(0);
		else if (ws != NULL && ws->streaming)
			ms = json_integer(ws->replay_lag_ms);
	}
	json_object_set_new(node, "lag_bytes", bytes);
	json_object_set_new(node, "lag_ms", ms);
}

/* Without a coordinator: is there a link to that agent? */
static bool
has_link(const struct agent *agent, const struct member *member)
{
	unsigned i;

	for (i = 0; i < agent->link_count; i++)
		if (strcmp(agent->links[i].node, member->name) == 0)
			return true;
	return false;
}

static void
add_unheard(json_t *node, bool reachable)
{
	static const char *const keys[] = {
		"timeline", "lsn", "receive_lsn", "replay_lsn", "lag_bytes",
		"lag_ms", "upstream", "server_version", "agent_version",
		"age_ms", "message", "pending_restart"
	};
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		json_object_set_new(node, keys[i], json_null());
	json_object_set_new(node, "state", json_string("unknown"));
	json_object_set_new(node, "reachable", json_boolean(reachable));
}

static void
add_heard(struct status *s, json_t *node, const struct member *member,
    const struct hearing *hearing)
{
	const struct report *r = &hearing->report;
	int64_t age = monotime_diff_ms(s->agent->now, hearing->at);
	bool reachable = liveness_of(s->state, s->view, member->id,
	    s->agent->now) <= LIVENESS_LATE;
	bool standby = r->pg_role == PG_ROLE_STANDBY;

	json_object_set_new(node, "state", json_string(reachable ?
	    state_word(s, member, r) : "unknown"));
	json_object_set_new(node, "timeline", json_known(r->timeline));
	json_object_set_new(node, "lsn", json_lsn(standby ? r->replay_lsn :
	    r->flush_lsn));
	json_object_set_new(node, "receive_lsn", json_lsn(standby ?
	    r->receive_lsn : (lsn_t){ 0 }));
	json_object_set_new(node, "replay_lsn", json_lsn(standby ?
	    r->replay_lsn : (lsn_t){ 0 }));
	add_lag(s, node, member, r, reachable);
	json_object_set_new(node, "upstream", r->receiver_streaming ?
	    json_string(state_name(r->upstream_id != 0 ? r->upstream_id :
	    s->reign->primary_id, s->state)) : json_null());
	json_object_set_new(node, "server_version",
	    json_known(r->server_version));
	json_object_set_new(node, "agent_version", reachable ?
	    json_string(FAILOVERD_VERSION) : json_null());
	/* Of the sample, where there is one; else of the report. */
	if (r->sample_age_ms != UINT32_MAX)
		age += r->sample_age_ms;
	json_object_set_new(node, "age_ms", json_integer(age));
	json_object_set_new(node, "reachable", json_boolean(reachable));
	json_object_set_new(node, "pending_restart",
	    json_boolean(r->pending_restart));
	json_object_set_new(node, "message", r->message[0] != '\0' ?
	    control_text(r->message) : json_null());
}

static void
warn_of_node(struct status *s, const struct member *member,
    const struct hearing *hearing, json_t *node)
{
	const char *state = json_string_value(json_object_get(node,
	    "state"));

	if (hearing == NULL) {
		warn(s, true, NULL, "%s: its agent has not been heard by "
		    "this coordinator", member->name);
		return;
	}
	if (json_is_false(json_object_get(node, "reachable"))) {
		warn(s, true, NULL, "%s: its agent has not been heard for "
		    "%lld s", member->name, (long long)(monotime_diff_ms(
		    s->agent->now, hearing->at) / 1000));
		return;
	}
	if (hearing->report.message[0] != '\0')
		warn(s, true, NULL, "%s: %s", member->name,
		    hearing->report.message);
	else if (member->has_data && strcmp(state, "streaming") != 0 &&
	    member->id != s->reign->primary_id)
		warn(s, true, NULL, "%s does not stream (%s)", member->name,
		    state);
}

static json_t *
node_json(struct status *s, const struct member *member)
{
	const struct hearing *hearing = view_of(s->view, member->id);
	char host[ADDRESS_MAX_LEN + 1] = "", port[16] = "";
	char errmsg[ERRMSG_MAX], slot[80];
	json_t *node = json_object();

	(void)conf_split_address(member->has_data ? member->pg_address :
	    member->address, "5432", host, sizeof(host), port, sizeof(port),
	    errmsg);
	postgres_slot_name(member->name, slot, sizeof(slot));
	json_object_set_new(node, "name", json_string(member->name));
	json_object_set_new(node, "host", json_string(host));
	json_object_set_new(node, "port", json_integer(
	    (json_int_t)strtol(port, NULL, 10)));
	json_object_set_new(node, "role", json_string(role_word(s, member)));
	json_object_set_new(node, "sync", sync_word(s, member));
	json_object_set_new(node, "slot", member->has_data &&
	    member->id != s->reign->primary_id ? json_string(slot) :
	    json_null());
	json_object_set_new(node, "tags", json_object());
	json_object_set_new(node, "incarnation",
	    json_integer(member->incarnation));
	json_object_set_new(node, "voter", json_boolean(member->voter));
	if (hearing == NULL)
		add_unheard(node, s->stale && has_link(s->agent, member));
	else
		add_heard(s, node, member, hearing);
	if (!s->stale)
		warn_of_node(s, member, hearing, node);
	return node;
}

/* Voters are added one at a time, a lease apart. */
static void
warn_of_voters(struct status *s)
{
	uint32_t i, ready = 0, voters = 0, wanted;

	for (i = 0; i < s->state->member_count; i++) {
		if (s->state->members[i].phase == MEMBER_READY)
			ready++;
		if (s->state->members[i].voter)
			voters++;
	}
	wanted = ready > VOTERS_MAX ? VOTERS_MAX : ready;
	wanted -= wanted % 2 == 0 ? 1 : 0;
	if (voters < wanted)
		warn(s, true, NULL, "%u of %u voters so far: no automatic "
		    "failover until the others vote as well", voters, wanted);
}

/* Voters that this node can talk to, itself included. */
static int
linked_voters(const struct status *s)
{
	const struct raft_config *config =
	    &raftio_raft(s->agent->raftio)->config;
	const struct member *member;
	uint32_t i;
	int count = 0;

	for (i = 0; i < config->count; i++) {
		member = state_member(s->state, config->servers[i].id);
		if (config->servers[i].voter && member != NULL &&
		    (member->id == agent_self(s->agent) ||
		    has_link(s->agent, member)))
			count++;
	}
	return count;
}

/* "n2, n3": the agents this node has no link to. */
static void
list_missing(const struct status *s, char *text, size_t size)
{
	size_t len = 0;
	uint32_t i;

	text[0] = '\0';
	for (i = 0; i < s->state->member_count; i++) {
		const struct member *member = &s->state->members[i];

		if (member->id != agent_self(s->agent) &&
		    !has_link(s->agent, member) && len < size)
			len += (size_t)snprintf(text + len, size - len,
			    "%s%s", len > 0 ? ", " : "", member->name);
	}
}

static void
warn_of_missing(struct status *s)
{
	const struct hearing *own = view_of(s->view, agent_self(s->agent));
	uint32_t voters = raft_voters(&raftio_raft(s->agent->raftio)->config);
	int linked = linked_voters(s);
	char missing[256];

	if (linked >= (int)quorum_majority(voters)) {
		warn(s, true, NULL, "%s reaches %d of %u voters: they have "
		    "no coordinator at the moment, an election is under way",
		    s->agent->conf.node, linked, voters);
		return;
	}
	list_missing(s, missing, sizeof(missing));
	warn(s, true, NULL, "%sno majority: %s reaches %d of %u voters, %u "
	    "needed; start the agents that are missing, or their network: "
	    "%s", own != NULL &&
	    own->report.pg_state == PG_RUNNING && own->report.pg_role ==
	    PG_ROLE_STANDBY ? "read-only: " : "", s->agent->conf.node,
	    linked, voters, quorum_majority(voters), missing);
}

/* The headline says that there is no primary: why, if it is known. */
static void
warn_of_primary(struct status *s)
{
	const struct hearing *primary = view_of(s->view,
	    s->reign->primary_id);
	const char *name = state_name(s->reign->primary_id, s->state);
	const struct report *r = primary != NULL ? &primary->report : NULL;

	if (state_phase(s->state) == REIGN_PROMOTING)
		warn(s, true, "failoverctl explain", "%s is being promoted "
		    "to primary of epoch %llu", name,
		    (unsigned long long)s->reign->epoch);
	else if (r == NULL || state_phase(s->state) != REIGN_OPEN)
		return;
	else if (r->pg_state != PG_RUNNING || r->pg_role != PG_ROLE_PRIMARY)
		warn(s, true, "failoverctl explain", "PostgreSQL on %s does "
		    "not take writes (%s)", name, r->pg_state == PG_RUNNING ?
		    "read-only" : pg_state_name(r->pg_state));
	else if (r->lease_epoch != s->reign->epoch)
		warn(s, true, "failoverctl explain", "%s does not hold the "
		    "lease of epoch %llu", name,
		    (unsigned long long)s->reign->epoch);
}

/* One voter is a majority of its own, as long as it is there. */
static void
warn_of_two(struct status *s)
{
	const struct raft_config *config =
	    &raftio_raft(s->agent->raftio)->config;
	const char *voter = "either node";
	uint32_t i;

	for (i = 0; i < config->count && raft_voters(config) == 1; i++)
		if (config->servers[i].voter)
			voter = state_name(config->servers[i].id, s->state);
	warn(s, false, "failoverctl clone-standby HOST", "no automatic "
	    "failover if the host of %s is lost: its vote is needed; add a "
	    "third node", voter);
}

static void
warn_of_degraded(struct status *s)
{
	const struct hearing *hearing;
	int64_t streaming = 0;
	uint32_t i;

	for (i = 0; i < s->state->member_count; i++) {
		hearing = view_of(s->view, s->state->members[i].id);
		if (hearing != NULL && hearing->report.receiver_streaming &&
		    liveness_of(s->state, s->view, hearing->member_id,
		    s->agent->now) <= LIVENESS_LATE)
			streaming++;
	}
	if (streaming < s->state->settings.sync_standbys)
		warn(s, true, NULL, "commits are not replicated "
		    "synchronously: too few standbys stream");
	else
		warn(s, true, NULL, "commits are not replicated "
		    "synchronously yet: a standby counts once it has "
		    "streamed for %lld ms",
		    (long long)s->state->settings.sync_join_ms);
}

static void
warn_of_cluster(struct status *s)
{
	const struct state *state = s->state;
	const struct job *job = state_running_job(state, 0);

	if (s->stale) {
		warn_of_missing(s);
		return;
	}
	warn_of_primary(s);
	if (state->member_count == 2)
		warn_of_two(s);
	warn_of_voters(s);
	if (state->settings.durability == DURABILITY_PREFERRED &&
	    state_data_members(state) > 1 && state->sync.k == 0)
		warn_of_degraded(s);
	else if (!state->sync_settled)
		warn(s, true, NULL, "the synchronous standbys are changing");
	if (state->paused_until_us > agent_wall_us())
		warn(s, true, "failoverctl resume",
		    "automatic failover is paused");
	if (job != NULL)
		warn(s, false, "failoverctl jobs", "job %u is running: %s",
		    job->id, job->text);
	if (state_phase(state) == REIGN_SEALING)
		warn(s, true, "failoverctl explain", "no primary: epoch %llu "
		    "is sealed (%.150s)", (unsigned long long)state->seal,
		    state->seal_why);
}

static json_t *
quorum_json(const struct status *s)
{
	const struct raft *raft = raftio_raft(s->agent->raftio);
	uint32_t voters = raft_voters(&raft->config);

	return json_pack("{s:i,s:o,s:i}", "voters", (int)voters,
	    "reachable", json_integer(s->stale ? linked_voters(s) :
	    (int)raft_fresh_voters(raft, s->agent->now)),
	    "needed", (int)quorum_majority(voters));
}

static bool
primary_is_well(const struct status *s)
{
	const struct hearing *primary = view_of(s->view,
	    s->reign->primary_id);

	return state_phase(s->state) == REIGN_OPEN && primary != NULL &&
	    liveness_of(s->state, s->view, s->reign->primary_id,
	    s->agent->now) <= LIVENESS_LATE &&
	    primary->report.pg_state == PG_RUNNING &&
	    primary->report.pg_role == PG_ROLE_PRIMARY &&
	    primary->report.lease_epoch == s->reign->epoch;
}

static void
put_health(struct status *s, json_t *data, int *exit_status)
{
	const char *health = "healthy";

	*exit_status = EXIT_DONE;
	if (s->stale) {
		health = "unknown";
		*exit_status = EXIT_CANNOT_TELL;
	} else if (!primary_is_well(s)) {
		health = "no-primary";
		*exit_status = EXIT_NO_PRIMARY;
	} else if (s->degraded) {
		health = "degraded";
		*exit_status = EXIT_DEGRADED;
	}
	json_object_set_new(data, "health", json_string(health));
}

/* What this node can see without a coordinator: itself. */
static const struct view *
own_view(struct agent *agent)
{
	static struct view view;
	struct report own;

	view_reset(&view, agent->now);
	say_report(agent, &own);
	state_hear(&view, &own, agent->now);
	return &view;
}

json_t *
status_json(struct agent *agent, int *exit_status)
{
	const struct state *state = &agent->state;
	struct status s = { .agent = agent, .state = state,
		.view = &agent->view };
	const char *coordinator = agent_member_name(agent,
	    agent_coordinator(agent));
	json_t *data, *nodes;
	uint32_t i;

	s.reign = state_reign(state);
	if (s.reign == NULL)
		return NULL;
	s.stale = !raftio_may_decide(agent->raftio);
	if (s.stale)
		s.view = own_view(agent);
	s.warnings = json_array();
	data = json_object();
	nodes = json_array();
	for (i = 0; i < state->member_count; i++)
		json_array_append_new(nodes, node_json(&s,
		    &state->members[i]));
	warn_of_cluster(&s);
	json_object_set_new(data, "cluster", json_string(state->cluster));
	json_object_set_new(data, "generation",
	    json_integer((json_int_t)state->generation));
	put_health(&s, data, exit_status);
	json_object_set_new(data, "epoch",
	    json_integer((json_int_t)s.reign->epoch));
	json_object_set_new(data, "coordinator", coordinator != NULL ?
	    json_string(coordinator) : json_null());
	json_object_set_new(data, "primary", state_phase(state) ==
	    REIGN_SEALING ? json_null() :
	    json_string(state_name(s.reign->primary_id, state)));
	json_object_set_new(data, "durability",
	    json_string(durability_name(state->settings.durability)));
	json_object_set_new(data, "sync_since", state->sync_since_us != 0 ?
	    json_real((double)state->sync_since_us / 1e6) : json_null());
	json_object_set_new(data, "quorum", quorum_json(&s));
	json_object_set_new(data, "paused",
	    json_boolean(state->paused_until_us > agent_wall_us()));
	json_object_set_new(data, "maintenance", json_array());
	json_object_set_new(data, "stale", json_boolean(s.stale));
	json_object_set_new(data, "warnings", s.warnings);
	json_object_set_new(data, "nodes", nodes);
	return data;
}

static json_t *
lines(const char *text)
{
	json_t *array = json_array();
	const char *end;

	while (*text != '\0') {
		end = strchr(text, '\n');
		if (end == NULL)
			end = text + strlen(text);
		json_array_append_new(array, json_stringn(text,
		    (size_t)(end - text)));
		text = *end == '\n' ? end + 1 : end;
	}
	return array;
}

static const char *
result_word(unsigned result)
{
	static const char *const words[] = {
		[ORDER_IDLE] = "not begun", [ORDER_RUNNING] = "under way",
		[ORDER_DONE] = "done", [ORDER_FAILED] = "failed"
	};

	return result < sizeof(words) / sizeof(words[0]) ? words[result] :
	    "unknown";
}

/* What the coordinator knows of one node, and what it wants of it. */
static void
explain_member(const struct agent *agent, const struct member *member,
    struct trace *trace)
{
	const struct hearing *hearing = view_of(&agent->view, member->id);
	const struct report *r = hearing != NULL ? &hearing->report : NULL;
	struct order order;

	state_order(&agent->state, member->id, &order);
	trace_add(trace, "%s: member %u, incarnation %u, %s", member->name,
	    member->id, member->incarnation, member->voter ? "voter" :
	    "without a vote");
	if (r == NULL) {
		trace_add(trace, "  its agent has not been heard by this "
		    "coordinator");
		trace_add(trace, "  order: %s", order_name(order.kind));
		return;
	}
	trace_add(trace, liveness_of(&agent->state, &agent->view, member->id,
	    agent->now) <= LIVENESS_LATE ?
	    "  its agent was heard %lld ms ago: PostgreSQL %s%s" :
	    "  its agent has been silent for %lld ms; before, PostgreSQL was "
	    "%s%s",
	    (long long)monotime_diff_ms(agent->now, hearing->at),
	    pg_state_name(r->pg_state), r->pg_state != PG_RUNNING ? "" :
	    r->pg_role == PG_ROLE_PRIMARY ? ", read-write" :
	    r->receiver_streaming ? ", streaming" : ", not streaming");
	trace_add(trace, "  order: %s: %s%s%s", order_name(order.kind),
	    result_word(r->order_result), r->message[0] != '\0' ? ", " : "",
	    r->message);
	if (r->lease_epoch != 0)
		trace_add(trace, "  it holds the lease of epoch %llu, %u ms "
		    "are left", (unsigned long long)r->lease_epoch,
		    r->lease_left_ms);
	if (r->promise != 0)
		trace_add(trace, "  it has promised to have nothing to do "
		    "with epochs before %llu",
		    (unsigned long long)r->promise);
}

/* When the last decision was made; its event may have been overwritten. */
static json_t *
decision_time(const struct state *state)
{
	const struct event *event;
	uint32_t i;

	for (i = state->event_count; i > 0; i--) {
		event = &state->events[(state->event_first + i - 1) %
		    EVENTS_MAX];
		if (strncmp(event->text, state->seal_why,
		    sizeof(event->text) - 1) == 0)
			return json_real((double)event->time_us / 1e6);
	}
	return json_null();
}

json_t *
status_explain(struct agent *agent, uint32_t member_id)
{
	const struct state *state = &agent->state;
	const struct member *member = state_member(state, member_id);
	const struct reign *reign = state_reign(state);
	struct decide_input input;
	struct trace trace;
	uint32_t best;

	if (reign == NULL)
		return NULL;
	trace_reset(&trace);
	coordinate_input(agent, &input);
	trace_add(&trace, "epoch %llu, primary %s, timeline %u",
	    (unsigned long long)reign->epoch,
	    state_name(reign->primary_id, state), reign->timeline);
	if (member != NULL)
		explain_member(agent, member, &trace);
	trace_add(&trace, "if the primary died now:");
	best = decide_dry_run(&input, 0, false, &trace);
	if (best != 0)
		trace_add(&trace, "-> %s would be promoted",
		    state_name(best, state));
	else
		trace_add(&trace, "-> nobody would be promoted by itself");
	if (agent->trace.len > 0)
		trace_add(&trace, "last look at the table:\n%.1500s",
		    agent->trace.text);
	return json_pack("{s:o,s:o}", "trace", lines(trace.text), "last",
	    state->last_decision[0] != '\0' ? json_pack("{s:s,s:o,s:o}",
	    "what", state->seal_why, "time", decision_time(state), "trace",
	    lines(state->last_decision)) : json_null());
}
