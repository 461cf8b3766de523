/*
 * agent.c - what the agent does every turn.
 *
 * Look, say, agree, decide, fence, act: agent_turn() is the whole of it.
 * Owns the wiring between the modules; decides nothing itself.
 */
#include "agent.h"

#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control_server.h"
#include "execute.h"
#include "log.h"
#include "tls.h"

#define TURN_MS		50
#define CURRENT_MS	2000	/* caught up for so long: nothing is missing */
#define EVENT_NEWS_US	10000000	/* an event this old is still news */
#define NOT_A_MEMBER	"is not a member of cluster"
#define TARGETS_MS	3000	/* whom to dial, while somebody is missing */

int64_t
agent_wall_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

uint32_t
agent_self(const struct agent *agent)
{
	return agent->raftio != NULL ?
	    raftio_identity(agent->raftio)->member_id : 0;
}

uint32_t
agent_coordinator(const struct agent *agent)
{
	return agent->raftio != NULL ? raftio_raft(agent->raftio)->leader : 0;
}

static struct agent_link *
find_link(struct agent *agent, const char *node)
{
	unsigned i;

	for (i = 0; i < agent->link_count; i++)
		if (strcmp(agent->links[i].node, node) == 0)
			return &agent->links[i];
	return NULL;
}

static bool
find_link_of(const struct agent *agent, const char *node)
{
	unsigned i;

	for (i = 0; i < agent->link_count; i++)
		if (strcmp(agent->links[i].node, node) == 0)
			return true;
	return false;
}

const char *
agent_member_name(const struct agent *agent, uint32_t id)
{
	const struct member *member = state_member(&agent->state, id);
	unsigned i;

	if (member != NULL)
		return member->name;
	for (i = 0; i < agent->link_count; i++)
		if (agent->links[i].member_id == id)
			return agent->links[i].node;
	return NULL;
}

int
agent_send(struct agent *agent, uint32_t member_id, uint8_t type,
    const void *data, size_t len)
{
	const char *name = agent_member_name(agent, member_id);

	if (agent->peers == NULL || name == NULL)
		return -1;
	return peers_send(agent->peers, name, type, data, len);
}

/*
 * Is our state the cluster's, or may it be behind?  While a node catches up,
 * its state goes through times in which today's members were strangers.
 */
static void
follow_currency(struct agent *agent)
{
	const struct raft *raft = raftio_raft(agent->raftio);

	if (raft->leader == RAFT_NOBODY ||
	    agent->state.applied != raft_last_index(raft))
		agent->current_since = monotime_never();
	else if (monotime_is_never(agent->current_since))
		agent->current_since = agent->now;
}

bool
agent_is_behind(const struct agent *agent)
{
	uint64_t last = raft_last_index(raftio_raft(agent->raftio));

	if (last > agent->log_at_start)
		last = agent->log_at_start;
	return agent->state.applied < last;
}

static bool
is_current(const struct agent *agent)
{
	return raftio_may_decide(agent->raftio) ||
	    (!monotime_is_never(agent->current_since) && monotime_diff_ms(
	    agent->now, agent->current_since) > CURRENT_MS);
}

/* A removed member is told so, and gets nothing more. */
static void
drop_strangers(struct agent *agent)
{
	char reason[ERRMSG_MAX];
	unsigned i;

	if (agent->peers == NULL || !is_current(agent))
		return;
	for (i = agent->link_count; i > 0; i--) {
		const char *node = agent->links[i - 1].node;

		if (state_member_named(&agent->state, node) != NULL)
			continue;
		snprintf(reason, sizeof(reason), "\"%s\" " NOT_A_MEMBER
		    " \"%s\"", node, agent->state.cluster);
		peers_drop(agent->peers, node, reason);
	}
}

/* ---- the turn ---- */

static void
agent_turn(struct agent *agent)
{
	bool beat;

	agent->now = monotime_now();
	beat = !monotime_before(agent->now, agent->next_beat);
	if (beat) {
		agent->next_beat = monotime_add_ms(agent->now,
		    agent->state.settings.heartbeat_ms);
		/* look */
		if (agent->probe != NULL)
			probe_look(agent->probe, guarded_is_running(agent) ?
			    (pid_t)agent->node.status.postmaster_pid : 0,
			    (uint32_t)agent->state.settings.detect_ms);
		say_look_at_primary(agent);
		fence_renew(agent);
		follow_currency(agent);
		drop_strangers(agent);
		if (agent->link_count + 1 < agent->state.member_count &&
		    monotime_diff_ms(agent->now, agent->targets_set) >
		    TARGETS_MS)
			agent_set_targets(agent);
	}
	/* say */
	if (beat || agent->say_at_once) {
		agent->say_at_once = false;
		say_send(agent);
	}
	/* agree: raftio has its own timer; decide */
	coordinate(agent);
	/* fence */
	fence_check(agent);
	/* act */
	execute_turn(agent->execute);
	control_turn(agent->control);
}

static void
on_beat(uv_timer_t *timer)
{
	agent_turn(timer->data);
}

static void
on_wake(uv_idle_t *idle)
{
	struct agent *agent = idle->data;

	uv_idle_stop(idle);
	agent->waking = false;
	agent_turn(agent);
}

void
agent_wake(struct agent *agent)
{
	if (agent->waking || agent->stopping)
		return;
	agent->waking = true;
	uv_idle_start(&agent->wake, on_wake);
}

void
agent_say(struct agent *agent)
{
	agent->say_at_once = true;
	agent_wake(agent);
}

/* ---- links ---- */

static bool
on_accept(void *arg, const struct peer_hello *hello,
    const uint8_t key_hash[KEY_HASH_LEN], char *errmsg)
{
	struct agent *agent = arg;
	const struct member *member;

	if (agent->state.member_count == 0)
		return true;	/* no member yet: the CA's word is all */
	member = state_member_named(&agent->state, hello->node);
	if (member == NULL && !is_current(agent))
		return true;
	if (member == NULL) {
		snprintf(errmsg, ERRMSG_MAX, "\"%s\" " NOT_A_MEMBER
		    " \"%s\"", hello->node, agent->state.cluster);
		return false;
	}
	/* Another number than ours is believed only when we may be behind. */
	if (hello->member_id != 0 && hello->member_id != member->id &&
	    hello->member_id < agent->state.next_member_id) {
		snprintf(errmsg, ERRMSG_MAX, "\"%s\" is member %u of cluster "
		    "\"%s\", not %u", hello->node, member->id,
		    agent->state.cluster, hello->member_id);
		return false;
	}
	if (memcmp(member->key_hash, key_hash, KEY_HASH_LEN) != 0) {
		snprintf(errmsg, ERRMSG_MAX, "the key of \"%s\" is not the "
		    "one pinned for that member", hello->node);
		return false;
	}
	return true;
}

static void
on_up(void *arg, const struct peer_hello *hello)
{
	struct agent *agent = arg;
	struct agent_link *link = find_link(agent, hello->node);

	if (link == NULL) {
		if (agent->link_count == MEMBERS_MAX)
			return;
		link = &agent->links[agent->link_count++];
	}
	memset(link, 0, sizeof(*link));
	memcpy(link->node, hello->node, sizeof(link->node));
	link->member_id = hello->member_id;
	link->agent_start = hello->agent_start;
	link->lost = hello->lost;
	link->up_since = agent->now;
	memset(agent->refused_by, 0, sizeof(agent->refused_by));
	agent->removed = false;
	log_info("link", "%s is connected", hello->node);
	agent_say(agent);
}

static void
on_down(void *arg, const char *node, const char *reason)
{
	struct agent *agent = arg;
	struct agent_link *link = find_link(agent, node);

	log_info("link", "%s is disconnected: %s", node, reason);
	if (link != NULL)
		*link = agent->links[--agent->link_count];
	control_link_down(agent->control, node);
	agent_wake(agent);
}

/*
 * "Not a member" from a majority of the voters we know: this node has been
 * removed while it was away.  One alone may merely be behind.
 */
static void
on_refused(void *arg, const char *node, const char *reason)
{
	struct agent *agent = arg;
	const struct state *state = &agent->state;
	uint32_t i, voters = 0, refusing = 0;

	if (strstr(reason, NOT_A_MEMBER) == NULL || agent->removed)
		return;
	for (i = 0; i < state->member_count; i++) {
		const struct member *member = &state->members[i];

		if (strcmp(member->name, node) == 0 && i < MEMBERS_MAX)
			agent->refused_by[i] = member->id;
		if (!member->voter || member->id == agent_self(agent))
			continue;
		voters++;
		if (agent->refused_by[i] == member->id)
			refusing++;
	}
	if (voters == 0 || refusing < quorum_majority(voters))
		return;
	agent->removed = true;
	log_error("link", "this node was removed from cluster \"%s\": its "
	    "PostgreSQL is stopped, its data is kept", state->cluster);
	agent_wake(agent);
}

static void
on_lease(struct agent *agent, const uint8_t *data, size_t len)
{
	struct lease_message message;
	struct reader reader;

	reader_init(&reader, data, len);
	if (wire_get_lease(&reader, &message) == 0)
		fence_message(agent, &message);
}

static void
on_frame(void *arg, const char *node, uint8_t type, const uint8_t *data,
    size_t len)
{
	struct agent *agent = arg;
	const struct agent_link *link = find_link(agent, node);
	const struct member *member = state_member_named(&agent->state, node);

	agent->now = monotime_now();
	switch (type) {
	case FRAME_RAFT:
		/* What it says of itself counts: our state may be behind. */
		raftio_receive(agent->raftio, link != NULL &&
		    link->member_id != 0 ? link->member_id : member != NULL ?
		    member->id : 0, data, len);
		break;
	case FRAME_REPORT:
		say_heard(agent, node, data, len);
		break;
	case FRAME_LEASE:
		on_lease(agent, data, len);
		break;
	case FRAME_CONTROL:
	case FRAME_CONTROL_REPLY:
		control_frame(agent->control, node, type, data, len);
		break;
	default:
		join_frame(agent, node, type, data, len);
		break;
	}
}

static void
make_hello(const struct agent *agent, struct peer_hello *hello)
{
	const struct store_identity *identity =
	    raftio_identity(agent->raftio);

	memset(hello, 0, sizeof(*hello));
	memcpy(hello->node, agent->conf.node, sizeof(hello->node));
	memcpy(hello->cluster, agent->conf.cluster, sizeof(hello->cluster));
	memcpy(hello->cluster_id, identity->cluster_id,
	    sizeof(hello->cluster_id));
	hello->generation = identity->generation;
	hello->level = PEER_LEVEL;
	hello->member_id = identity->member_id;
	hello->agent_start = agent->start_ns;
	hello->lost = agent->lost_state;
	memcpy(hello->advertise, agent->conf.advertise,
	    sizeof(hello->advertise));
}

void
agent_set_targets(struct agent *agent)
{
	struct peer_target targets[MEMBERS_MAX];
	const struct state *state = &agent->state;
	struct peer_hello hello;
	unsigned i, count = 0;

	if (agent->peers == NULL)
		return;
	memset(targets, 0, sizeof(targets));
	for (i = 0; i < state->member_count; i++) {
		/*
		 * Of two members the one with the smaller name dials; both
		 * do while there is no link, since the other may have lost
		 * its state and know of nobody.
		 */
		if (strcmp(agent->conf.node, state->members[i].name) == 0 ||
		    (strcmp(agent->conf.node, state->members[i].name) > 0 &&
		    find_link_of(agent, state->members[i].name)))
			continue;
		memcpy(targets[count].node, state->members[i].name,
		    sizeof(targets[count].node));
		memcpy(targets[count].address, state->members[i].address,
		    sizeof(targets[count].address));
		count++;
	}
	if (state->member_count == 0)
		for (i = 0; i < agent->conf.peer_count; i++)
			memcpy(targets[count++].address, agent->conf.peers[i],
			    sizeof(targets[0].address));
	agent->targets_set = monotime_now();
	peers_set_targets(agent->peers, targets, count);
	make_hello(agent, &hello);
	peers_set_hello(agent->peers, &hello);
}

int
agent_open_links(struct agent *agent, char *errmsg)
{
	static const struct peer_callbacks callbacks = {
		on_accept, on_up, on_down, on_frame, on_refused
	};
	char ca[CONF_PATH_MAX + 64], cert[CONF_PATH_MAX + 64];
	char key[CONF_PATH_MAX + 64];
	struct peer_hello hello;

	if (agent->peers != NULL)
		return 0;
	join_path(agent, ca, sizeof(ca), "tls/ca.crt");
	join_path(agent, cert, sizeof(cert), "tls/node.crt");
	join_path(agent, key, sizeof(key), "tls/node.key");
	agent->ssl = tls_context(ca, cert, key, agent->conf.node, errmsg);
	if (agent->ssl == NULL)
		return -1;
	make_hello(agent, &hello);
	agent->peers = peers_start(agent->loop, agent->ssl,
	    agent->conf.listen, &hello, &callbacks, agent, errmsg);
	if (agent->peers == NULL)
		return -1;
	agent_set_targets(agent);
	return 0;
}

void
agent_hand_over(struct agent *agent)
{
	uint32_t i;

	if (!raftio_is_leader(agent->raftio))
		return;
	for (i = 0; i < agent->state.member_count; i++) {
		const struct member *member = &agent->state.members[i];

		if (!member->voter || member->id == agent_self(agent) ||
		    !find_link_of(agent, member->name))
			continue;
		log_info("agree", "handing the coordinator over to %s",
		    member->name);
		raftio_transfer(agent->raftio, member->id);
		return;
	}
}

/* ---- what raftio tells ---- */

static void
raft_send(void *arg, uint32_t member_id, const void *frame, size_t len)
{
	(void)agent_send(arg, member_id, FRAME_RAFT, frame, len);
}

static void
raft_applied(void *arg, const struct raft_entry *entry, uint64_t index,
    bool effect, const char *why)
{
	struct agent *agent = arg;
	const struct state *state = &agent->state;

	if (entry->type == RAFT_ENTRY_COMMAND) {
		if (!effect)
			log_info("agree", "entry %llu had no effect: %s",
			    (unsigned long long)index, why);
		else if (state->event_count > 0) {
			const struct event *event = &state->events[
			    (state->event_first + state->event_count - 1) %
			    EVENTS_MAX];

			/* What a restart applies again is no news. */
			if (event->id != agent->last_event_said &&
			    event->time_us >= agent->start_us)
				log_info("event", "%s", event->text);
			agent->last_event_said = event->id;
		}
	}
	agent_set_targets(agent);
	agent_say(agent);
}

static void
raft_restored(void *arg)
{
	struct agent *agent = arg;

	log_info("agree", "state of entry %llu taken over",
	    (unsigned long long)agent->state.applied);
	agent_set_targets(agent);
	agent_say(agent);
}

static void
raft_role(void *arg)
{
	struct agent *agent = arg;
	const struct raft *raft = raftio_raft(agent->raftio);
	const char *name = agent_member_name(agent, raft->leader);

	if (raft->term != agent->view_term ||
	    monotime_is_never(agent->leader_since) ==
	    (raft->role == RAFT_LEADER)) {
		log_info("agree", "term %llu, coordinator %s",
		    (unsigned long long)raft->term,
		    raft->leader == agent_self(agent) &&
		    raft->leader != 0 ? "is this node" :
		    name != NULL ? name : "unknown");
		coordinate_reset(agent);
	}
	agent_say(agent);
}

static void
raft_disk_failed(void *arg, const char *errmsg)
{
	(void)arg;
	log_error("store", "%s", errmsg);
}

static void
raft_promise_kept(void *arg, uint64_t promise)
{
	struct agent *agent = arg;

	agent->voter.promise = promise;
	log_info("seal", "promised: nothing more for epochs before %llu",
	    (unsigned long long)promise);
	agent_say(agent);
}

/* ---- start and stop ---- */

static int
open_store(struct agent *agent, char *errmsg)
{
	static const struct raftio_callbacks callbacks = {
		raft_send, raft_applied, raft_restored, raft_role,
		raft_disk_failed, raft_promise_kept
	};
	struct store_identity identity;
	enum store_found found;
	uint64_t generation;
	size_t len;
	void *body;
	int result = -1;

	body = malloc(STORE_MAX);
	if (body == NULL) {
		snprintf(errmsg, ERRMSG_MAX, "out of memory");
		return -1;
	}
	if (store_load(agent->conf.state_dir, &identity, &generation, &found,
	    body, &len, errmsg) != 0)
		goto out;
	if (found == STORE_DAMAGED) {
		/* It would vote twice: it takes no part until it rejoins. */
		log_error("store", "%s", errmsg);
		log_error("store", "this node takes no part until the "
		    "coordinator has given it a new identity");
		agent->lost_state = true;
		memset(&identity, 0, sizeof(identity));
	}
	if (found == STORE_WHOLE && strcmp(identity.cluster,
	    agent->conf.cluster) != 0) {
		snprintf(errmsg, ERRMSG_MAX, "\"%s\" belongs to cluster "
		    "\"%s\", but failoverd.conf says \"%s\"",
		    agent->conf.state_dir, identity.cluster,
		    agent->conf.cluster);
		goto out;
	}
	agent->raftio = raftio_new(agent->loop, agent->conf.state_dir,
	    &agent->state, &identity, generation,
	    found == STORE_WHOLE ? body : NULL, len, &callbacks, agent,
	    errmsg);
	if (agent->raftio == NULL)
		goto out;
	agent->voter.promise = raftio_kept_promise(agent->raftio);
	agent->log_at_start = raft_last_index(raftio_raft(agent->raftio));
	result = 0;
out:
	free(body);
	return result;
}

static uint32_t
member_of_name(void *arg, const char *node)
{
	const struct agent *agent = arg;
	const struct member *member = state_member_named(&agent->state, node);

	return member != NULL ? member->id : 0;
}

static uint32_t
member_of_address(void *arg, const char *host, const char *port)
{
	const struct agent *agent = arg;
	char h[ADDRESS_MAX_LEN + 1], p[16], errmsg[ERRMSG_MAX];
	uint32_t i;

	for (i = 0; i < agent->state.member_count; i++)
		if (conf_split_address(agent->state.members[i].pg_address,
		    "5432", h, sizeof(h), p, sizeof(p), errmsg) == 0 &&
		    strcmp(h, host) == 0 && strcmp(p, port) == 0)
			return agent->state.members[i].id;
	return 0;
}

static void
probe_done(void *arg)
{
	struct agent *agent = arg;

	if (probe_has_parked(agent->probe))
		agent->node.has_parked = true;
	agent_wake(agent);
}

int
agent_start(struct agent *agent, const struct conf *conf, uv_loop_t *loop,
    char *errmsg)
{
	char path[CONF_PATH_MAX + 64];

	agent->loop = loop;
	agent->conf = *conf;
	agent->now = monotime_now();
	agent->start_ns = (uint64_t)agent->now.ns;
	agent->start_us = agent_wall_us() - EVENT_NEWS_US;
	agent->primary_heard = agent->now;
	state_init(&agent->state);
	lease_voter_init(&agent->voter, agent->now);
	uv_timer_init(loop, &agent->beat);
	uv_idle_init(loop, &agent->wake);
	agent->beat.data = agent->wake.data = agent;
	if (conf->has_postgresql && postgres_locate(&agent->pg, conf,
	    errmsg) != 0)
		return -1;
	if (open_store(agent, errmsg) != 0)
		return -1;
	agent->execute = execute_new(agent);
	agent->control = control_start(agent, errmsg);
	if (agent->control == NULL)
		return -1;
	join_path(agent, path, sizeof(path), "tls/node.crt");
	if ((agent_self(agent) != 0 || access(path, F_OK) == 0) &&
	    agent_open_links(agent, errmsg) != 0)
		return -1;
	if (conf->has_postgresql) {
		agent->probe = probe_new(loop, &agent->pg, member_of_name,
		    probe_done, agent);
		probe_set_upstream(agent->probe, member_of_address);
		guarded_find(agent);
	}
	uv_timer_start(&agent->beat, on_beat, 0, TURN_MS);
	return 0;
}

void
agent_stop(struct agent *agent, int exit_status)
{
	if (!agent->stopping) {
		agent->stopping = true;
		agent->exit_status = exit_status;
		log_info("stop", "leaving");
	}
	uv_stop(agent->loop);
}
