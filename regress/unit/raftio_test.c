/*
 * raftio_test.c - several nodes in one loop, with real files.
 *
 * The network is a list of copied frames.  At every frame that leaves a node
 * its file is read back: what the frame says must be on the disk by then.
 */
#include "raftio.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "wire.h"

#include "tap.h"

#define NODES		5
#define PATIENCE_MS	20000

struct node {
	uint32_t id;
	char dir[64];
	struct raftio *raftio;
	struct state state;
	bool cut;		/* off the network */
	unsigned int sent, applied, restored, roles, disk_failed, kept;
	uint64_t kept_promise;
	char disk_errmsg[ERRMSG_MAX];
};

struct frame {
	struct frame *next;
	uint32_t from, to;
	size_t len;
	uint8_t data[];
};

static uv_loop_t loop;
static uv_timer_t bell;
static struct node nodes[NODES + 1];	/* by member id */
static struct frame *frames, **frames_end = &frames;
static size_t undurable, frames_checked;
static char errmsg[ERRMSG_MAX];
static char root[] = "/tmp/raftio_test.XXXXXX";

static void
bail_out(const char *what, const char *why)
{
	printf("Bail out! %s: %s\n", what, why);
	exit(1);
}

/* ---- what is on the disk ---- */

static struct {
	struct store_identity identity;
	uint64_t generation;
	enum store_found found;
	uint8_t body[STORE_MAX];
	size_t len;
	struct raft raft;
} disk;

/* Only when that node is not writing. */
static void
read_disk(const struct node *node)
{
	struct reader reader;

	if (store_load(node->dir, &disk.identity, &disk.generation,
	    &disk.found, disk.body, &disk.len, errmsg) != 0)
		bail_out(node->dir, errmsg);
	raft_init(&disk.raft, 0);
	if (disk.found != STORE_WHOLE)
		return;
	reader_init(&reader, disk.body, disk.len);
	if (raft_decode(&disk.raft, &reader, errmsg) != 0)
		bail_out(node->dir, errmsg);
}

/* Is everything that this message says on the disk of its sender? */
static bool
is_durable(const struct node *node, const struct raft_message *m)
{
	read_disk(node);
	if (disk.found != STORE_WHOLE || disk.raft.self != m->from ||
	    disk.identity.member_id != m->from)
		return false;
	if (m->pre)
		return true;
	if (disk.raft.term < m->term)
		return false;
	switch (m->type) {
	case RAFT_MSG_VOTE:
		return disk.raft.voted_for == m->from;
	case RAFT_MSG_VOTE_REPLY:
		return !m->granted || disk.raft.voted_for == m->to;
	case RAFT_MSG_APPEND:
		return raft_last_index(&disk.raft) >= m->prev_index +
		    m->entry_count;
	case RAFT_MSG_APPEND_REPLY:
		return !m->granted || raft_last_index(&disk.raft) >= m->match;
	default:
		return true;
	}
}

/* ---- the world of a node ---- */

static void
on_send(void *arg, uint32_t to, const void *data, size_t len)
{
	static struct raft_entry entries[RAFT_BATCH_MAX];
	struct node *node = arg;
	struct raft_config config;
	struct raft_message m;
	struct frame *frame;
	struct reader reader;

	node->sent++;
	reader_init(&reader, data, len);
	frames_checked++;
	if (wire_get_raft(&reader, &m, entries, &config) != 0 ||
	    m.to != to || m.from != node->id || !is_durable(node, &m)) {
		if (undurable++ == 0)
			printf("# %u to %u: type %u of term %llu is not on "
			    "the disk\n", m.from, m.to, (unsigned)m.type,
			    (unsigned long long)m.term);
	}
	frame = malloc(sizeof(*frame) + len);
	if (frame == NULL)
		bail_out("malloc", "out of memory");
	frame->next = NULL;
	frame->from = node->id;
	frame->to = to;
	frame->len = len;
	memcpy(frame->data, data, len);
	*frames_end = frame;
	frames_end = &frame->next;
}

static void
on_applied(void *arg, const struct raft_entry *entry, uint64_t index,
    bool effect, const char *why)
{
	struct node *node = arg;

	(void)entry;
	(void)effect;
	(void)why;
	if (node->state.applied != index)
		bail_out("applied", "state is not at that entry");
	node->applied++;
}

static void
on_restored(void *arg)
{
	((struct node *)arg)->restored++;
}

static void
on_role(void *arg)
{
	((struct node *)arg)->roles++;
}

static void
on_disk_failed(void *arg, const char *why)
{
	struct node *node = arg;

	node->disk_failed++;
	memcpy(node->disk_errmsg, why, sizeof(node->disk_errmsg));
}

static void
on_promise_kept(void *arg, uint64_t promise)
{
	struct node *node = arg;

	read_disk(node);
	if (disk.identity.promise < promise)
		bail_out("promise_kept", "the promise is not on the disk");
	node->kept++;
	node->kept_promise = promise;
}

static const struct raftio_callbacks callbacks = {
	on_send, on_applied, on_restored, on_role, on_disk_failed,
	on_promise_kept
};

static void
deliver(void)
{
	struct frame *frame;

	while ((frame = frames) != NULL) {
		struct node *to = &nodes[frame->to];

		frames = frame->next;
		if (frames == NULL)
			frames_end = &frames;
		if (to->raftio != NULL && !to->cut && !nodes[frame->from].cut)
			raftio_receive(to->raftio, frame->from, frame->data,
			    frame->len);
		free(frame);
	}
}

static void
on_bell(uv_timer_t *timer)
{
	(void)timer;
}

static void
turn(void)
{
	deliver();
	uv_run(&loop, UV_RUN_ONCE);
}

/* Runs the world until the condition holds; false when patience ends. */
#define until(condition)						\
	__extension__ ({						\
		monotime_t until_end = monotime_add_ms(monotime_now(),	\
		    PATIENCE_MS);					\
		bool until_good;					\
									\
		while (!(until_good = (condition)) &&			\
		    monotime_before(monotime_now(), until_end))		\
			turn();						\
		until_good;						\
	})

static void
open_node(uint32_t id)
{
	struct node *node = &nodes[id];

	memset(node, 0, sizeof(*node));
	node->id = id;
	snprintf(node->dir, sizeof(node->dir), "%s/n%u", root, id);
	if (mkdir(node->dir, 0700) != 0 && errno != EEXIST)
		bail_out(node->dir, strerror(errno));
	read_disk(node);
	node->raftio = raftio_new(&loop, node->dir, &node->state,
	    &disk.identity, disk.generation,
	    disk.found == STORE_WHOLE ? disk.body : NULL, disk.len,
	    &callbacks, node, errmsg);
	if (node->raftio == NULL)
		bail_out("raftio_new", errmsg);
}

static void
close_node(uint32_t id)
{
	raftio_free(nodes[id].raftio);
	nodes[id].raftio = NULL;
}

static void
wipe_node(uint32_t id)
{
	char path[sizeof(nodes[id].dir) + 300];
	struct dirent *entry;
	DIR *stream;

	stream = opendir(nodes[id].dir);
	if (stream == NULL)
		return;
	while ((entry = readdir(stream)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", nodes[id].dir,
		    entry->d_name);
		(void)unlink(path);
	}
	closedir(stream);
	if (rmdir(nodes[id].dir) != 0)
		bail_out(nodes[id].dir, strerror(errno));
	nodes[id].dir[0] = '\0';
}

/* ---- what the tests ask for ---- */

static uint32_t
leader(void)
{
	uint32_t id;

	for (id = 1; id <= NODES; id++)
		if (nodes[id].raftio != NULL && !nodes[id].cut &&
		    raftio_may_decide(nodes[id].raftio))
			return id;
	return 0;
}

/* Waits for one; leadership may move at any moment on a slow machine. */
static uint32_t
a_leader(void)
{
	uint32_t id = 0;

	if (!until((id = leader()) != 0))
		bail_out("leader", "nobody leads");
	return id;
}

static struct store_identity
identity_of(uint32_t id)
{
	struct store_identity identity = { .cluster_id = { 0xc1, 1 },
	    .generation = 1, .member_id = id, .cluster = "sales" };

	snprintf(identity.node, sizeof(identity.node), "n%u", id);
	return identity;
}

static struct command
founding_command(void)
{
	static struct command command;

	memset(&command, 0, sizeof(command));
	command.type = CMD_BOOTSTRAP;
	command.time_us = 1;
	snprintf(command.why, sizeof(command.why), "founded");
	command.u.bootstrap.cluster_id[0] = 0xc1;
	command.u.bootstrap.cluster_id[1] = 1;
	snprintf(command.u.bootstrap.cluster,
	    sizeof(command.u.bootstrap.cluster), "sales");
	command.u.bootstrap.system_identifier = 1234567;
	command.u.bootstrap.pg_major = 15;
	command.u.bootstrap.timeline = 1;
	snprintf(command.u.bootstrap.first.name,
	    sizeof(command.u.bootstrap.first.name), "n1");
	command.u.bootstrap.first.has_data = true;
	settings_init(&command.u.bootstrap.settings);
	command.u.bootstrap.settings.election_ms = 300;
	command.u.bootstrap.settings.heartbeat_ms = 50;
	return command;
}

static struct command
event_command(unsigned int number)
{
	struct command command;

	memset(&command, 0, sizeof(command));
	command.type = CMD_EVENT;
	command.time_us = number;
	snprintf(command.why, sizeof(command.why), "event %u", number);
	return command;
}

struct outcome {
	unsigned int called, effects;
	char why[TEXT_MAX_LEN + 1];
};

static void
on_done(void *arg, bool effect, const char *why)
{
	struct outcome *outcome = arg;

	outcome->called++;
	outcome->effects += effect;
	snprintf(outcome->why, sizeof(outcome->why), "%s", why);
}

/*
 * Has that many events applied, some at a time.  What a change of leader
 * leaves in doubt is proposed again: a slow machine has such changes.
 */
static bool
propose_events(unsigned int count)
{
	struct outcome outcomes[16];
	struct command command;
	unsigned int i, n, rounds, answered;
	uint32_t id;

	for (rounds = 0; count > 0 && rounds < 1000; rounds++) {
		memset(outcomes, 0, sizeof(outcomes));
		n = count < 16 ? count : 16;
		id = a_leader();
		for (i = 0; i < n; i++) {
			command = event_command(i);
			raftio_propose(nodes[id].raftio, &command, on_done,
			    &outcomes[i]);
		}
		/* None may be called back when this returns. */
		for (answered = 0; answered < n; answered++)
			if (!until(outcomes[answered].called > 0))
				bail_out("proposal", "never answered");
		for (i = 0; i < n; i++)
			count -= outcomes[i].effects;
	}
	return count == 0;
}

/* All that are open have applied the same and are in the same state. */
static bool
are_equal(void)
{
	static uint8_t first[SNAPSHOT_MAX], other[SNAPSHOT_MAX];
	struct buf a, b;
	uint64_t commit;
	uint32_t id, lead = leader();

	if (lead == 0)
		return false;
	commit = raftio_raft(nodes[lead].raftio)->commit;
	buf_init(&a, first, sizeof(first));
	state_encode(&nodes[lead].state, &a);
	for (id = 1; id <= NODES; id++) {
		if (nodes[id].raftio == NULL || nodes[id].cut)
			continue;
		buf_init(&b, other, sizeof(other));
		state_encode(&nodes[id].state, &b);
		if (nodes[id].state.applied != commit || a.len != b.len ||
		    memcmp(first, other, a.len) != 0)
			return false;
	}
	return true;
}

static bool
has_event(const struct state *state, const char *text)
{
	uint32_t i;

	for (i = 0; i < state->event_count; i++)
		if (strcmp(state->events[i].text, text) == 0)
			return true;
	return false;
}

static bool
is_server(uint32_t id, bool voter)
{
	const struct raft_server *server;
	const struct raft *raft;
	uint32_t lead = leader();

	if (lead == 0)
		return false;
	raft = raftio_raft(nodes[lead].raftio);
	server = raft_find_server(&raft->committed_config, id);
	return server != NULL && server->voter == voter;
}

/* Is it so?  If not, it is asked for, fifty times a second. */
static bool
is_changed(enum raft_change what, uint32_t id, bool voter)
{
	static monotime_t next;

	if (is_server(id, voter))
		return true;
	if (monotime_before(next, monotime_now()) && leader() != 0) {
		next = monotime_add_ms(monotime_now(), 20);
		raftio_change(nodes[a_leader()].raftio, what, id);
	}
	return false;
}

/* It may be refused for the moment. */
static bool
change(enum raft_change what, uint32_t id, bool voter)
{
	return until(is_changed(what, id, voter));
}

/* The leader knows a member of that name; proposed until it does. */
static bool
name_member(uint32_t id)
{
	struct outcome outcome;
	struct command command;
	const struct member *member = NULL;

	memset(&command, 0, sizeof(command));
	command.type = CMD_MEMBER_ADD;
	snprintf(command.why, sizeof(command.why), "added");
	snprintf(command.u.member.name, sizeof(command.u.member.name), "n%u",
	    id);
	command.u.member.has_data = true;
	while (member == NULL) {
		memset(&outcome, 0, sizeof(outcome));
		raftio_propose(nodes[a_leader()].raftio, &command, on_done,
		    &outcome);
		if (!until(outcome.called == 1))
			bail_out("proposal", "never answered");
		member = state_member_named(&nodes[a_leader()].state,
		    command.u.member.name);
	}
	return member->id == id;
}

/* A member is named, told who it is, and made a learner or voter. */
static bool
add_member(uint32_t id, bool voter)
{
	struct store_identity identity = identity_of(id);

	if (!name_member(id))
		return false;
	open_node(id);
	if (raftio_join(nodes[id].raftio, &identity, errmsg) != 0)
		return false;
	return change(RAFT_ADD_LEARNER, id, false) &&
	    (!voter || change(RAFT_PROMOTE_VOTER, id, true));
}

/* ---- the tests ---- */

static void
test_founding(void)
{
	struct store_identity identity = identity_of(0);
	struct command command = founding_command();
	struct outcome outcome = { 0 };

	open_node(1);
	ok(raftio_identity(nodes[1].raftio)->member_id == 0 &&
	    !raftio_is_leader(nodes[1].raftio), "nobody yet");
	raftio_propose(nodes[1].raftio, &command, on_done, &outcome);
	ok(outcome.called == 0, "no answer before the call has returned");
	ok(until(outcome.called == 1) && outcome.effects == 0,
	    "nobody may propose nothing: %s", outcome.why);
	raftio_receive(nodes[1].raftio, 2, "junk", 4);
	rmdir(nodes[1].dir);
	ok(raftio_bootstrap(nodes[1].raftio, &identity, &command,
	    errmsg) == -1 &&
	    raftio_identity(nodes[1].raftio)->member_id == 0,
	    "nobody becomes a member without a disk: %s", errmsg);
	if (mkdir(nodes[1].dir, 0700) != 0)
		bail_out(nodes[1].dir, strerror(errno));

	ok(raftio_bootstrap(nodes[1].raftio, &identity, &command,
	    errmsg) == 0, "founded: %s", errmsg);
	read_disk(&nodes[1]);
	ok(disk.found == STORE_WHOLE && disk.identity.member_id == 1 &&
	    disk.raft.self == 1 && disk.generation == 1,
	    "its identity is on the disk before anything else");
	ok(raftio_bootstrap(nodes[1].raftio, &identity, &command,
	    errmsg) == -1, "not twice: %s", errmsg);
	identity.member_id = 2;
	ok(raftio_join(nodes[1].raftio, &identity, errmsg) == -1,
	    "nor as somebody else: %s", errmsg);

	/* Stopped before the command was in the log. */
	close_node(1);
	open_node(1);
	ok(raftio_identity(nodes[1].raftio)->member_id == 1, "back as itself");
	identity = identity_of(0);
	ok(raftio_bootstrap(nodes[1].raftio, &identity, &command,
	    errmsg) == 0, "a founding cut short is begun again: %s", errmsg);
	ok(until(nodes[1].state.reign_count == 1 && leader() == 1),
	    "and leads to a cluster");
	is_text(nodes[1].state.cluster, "sales", "of this name");
	is_int(raftio_raft(nodes[1].raftio)->election_ms, 300,
	    "whose times are taken over");
	ok(propose_events(3), "which accepts commands");
}

static void
test_joining(void)
{
	ok(add_member(2, false), "the second is a learner");
	ok(until(are_equal()), "in the same state");
	ok(add_member(3, false), "the third is a learner");
	ok(change(RAFT_PROMOTE_VOTER, 2, true), "the second is a voter");
	ok(change(RAFT_PROMOTE_VOTER, 3, true), "the third is a voter");
	ok(propose_events(20), "commands are applied");
	ok(until(are_equal()) && nodes[3].state.member_count == 3 &&
	    state_member(&nodes[3].state, 2)->voter,
	    "all are in the same state");
}

/* A follower, a sender who lies, and bytes that are no message. */
static void
test_refusals(void)
{
	uint32_t lead = a_leader(), other = lead == 1 ? 2 : 1;
	struct outcome outcome = { 0 };
	struct command command = event_command(0);
	struct raft_message m = { .type = RAFT_MSG_VOTE, .from = other,
	    .to = lead, .term = 1000000, .transfer = true,
	    .prev_index = 1000000, .prev_term = 999999 };
	uint8_t bytes[256];
	struct buf buf;
	size_t i;

	raftio_propose(nodes[other].raftio, &command, on_done, &outcome);
	ok(until(outcome.called == 1) && outcome.effects == 0,
	    "a follower says so: %s", outcome.why);
	buf_init(&buf, bytes, sizeof(bytes));
	wire_put_raft(&buf, &m);
	raftio_receive(nodes[lead].raftio, 3 + 1, bytes, buf.len);
	raftio_receive(nodes[3].raftio, other, bytes, buf.len);
	for (i = 0; i < buf.len; i++)
		raftio_receive(nodes[lead].raftio, other, bytes, i);
	ok(propose_events(3) && until(are_equal()) &&
	    raftio_raft(nodes[lead].raftio)->term < 1000 &&
	    raftio_raft(nodes[3].raftio)->term < 1000,
	    "false senders and broken messages change nothing");
}

static void
test_promise(void)
{
	raftio_promise(nodes[2].raftio, 7);
	ok(raftio_kept_promise(nodes[2].raftio) == 0 && nodes[2].kept == 0,
	    "a promise is not kept at once");
	ok(until(nodes[2].kept == 1) && nodes[2].kept_promise == 7 &&
	    raftio_kept_promise(nodes[2].raftio) == 7,
	    "but when it is on the disk");
	raftio_promise(nodes[2].raftio, 5);
	ok(until(nodes[2].kept == 2) && nodes[2].kept_promise == 7 &&
	    raftio_kept_promise(nodes[2].raftio) == 7,
	    "a smaller one is kept already");
	raftio_promise(nodes[2].raftio, 8);
	raftio_promise(nodes[2].raftio, 9);
	ok(until(raftio_kept_promise(nodes[2].raftio) == 9), "two at once");
	ok(propose_events(5) && until(are_equal()), "it stays so while ...");
	close_node(2);
	open_node(2);
	ok(raftio_kept_promise(nodes[2].raftio) == 9, "... and over a restart");
	ok(until(are_equal()), "which changes nothing else");
}

static void
test_restart(void)
{
	uint32_t id = a_leader() == 3 ? 2 : 3;

	close_node(id);
	ok(propose_events(5), "two of three go on");
	open_node(id);
	ok(nodes[id].state.applied == 0, "a restarted node begins empty");
	ok(until(are_equal()), "and comes to the same state");
	ok(nodes[id].applied > 0, "having applied entries");
}

static void
test_leader_closed(void)
{
	struct outcome outcome = { 0 };
	struct command command = event_command(0);
	uint32_t old = a_leader();

	raftio_propose(nodes[old].raftio, &command, on_done, &outcome);
	close_node(old);
	ok(outcome.called == 1 && outcome.effects == 0 &&
	    (strncmp(outcome.why, "outcome unknown", 15) == 0 ||
	    strncmp(outcome.why, "not proposed", 12) == 0),
	    "a proposal of a node that stops: %s", outcome.why);
	ok(until(leader() != 0) && leader() != old, "another leads");
	ok(propose_events(5), "and takes commands");
	open_node(old);
	ok(until(are_equal()), "the old one follows, in the same state");
	ok(!raftio_is_leader(nodes[old].raftio), "and does not lead");
}

static void
test_transfer(void)
{
	uint32_t old = a_leader(), next = old % 3 + 1;

	/* Refused while the third has only just started: it may not vote. */
	ok(until(leader() == next || (leader() == old &&
	    (raftio_transfer(nodes[old].raftio, next), false))),
	    "leadership is handed over");
	ok(propose_events(3) && until(are_equal()), "and works");
}

/* The leader alone: what it proposes is neither done nor undone. */
/* Cuts a leader off and has it append a command; false: it led no more. */
static bool
propose_alone(uint32_t id, struct outcome *outcome)
{
	struct command command = event_command(4711);
	uint64_t before = raft_last_index(raftio_raft(nodes[id].raftio));

	memset(outcome, 0, sizeof(*outcome));
	nodes[id].cut = true;
	raftio_propose(nodes[id].raftio, &command, on_done, outcome);
	(void)until(outcome->called > 0 || raft_last_index(
	    raftio_raft(nodes[id].raftio)) > before);
	if (outcome->called > 0)
		nodes[id].cut = false;
	return outcome->called == 0;
}

static void
test_cut(void)
{
	uint32_t old;
	struct outcome outcome;
	int tries = 0;

	/* On a busy machine it may lose the lead before it has appended. */
	do
		old = a_leader();
	while (!propose_alone(old, &outcome) && ++tries < 10);
	ok(until(!raftio_may_decide(nodes[old].raftio)),
	    "a leader without the others may not decide");
	ok(until(leader() != 0), "the others elect one");
	ok(propose_events(3), "who takes commands");
	nodes[old].cut = false;
	ok(until(outcome.called == 1) && outcome.effects == 0 &&
	    strncmp(outcome.why, "outcome unknown", 15) == 0,
	    "the old one cannot tell: %s", outcome.why);
	ok(until(are_equal()), "and comes to the same state");
	ok(!has_event(&nodes[old].state, "event 4711"),
	    "in which its command has no place");
}

static void
test_disk_failure(void)
{
	struct node *node;
	struct outcome outcome = { 0 };
	struct command command = event_command(815);
	char away[80];
	unsigned int sent;
	uint32_t old;
	uint64_t generation;

	snprintf(away, sizeof(away), "%s/away", root);
	if (!until(are_equal()))
		bail_out("disk failure", "there is no leader");
	old = a_leader();
	node = &nodes[old];
	if (rename(node->dir, away) != 0)
		bail_out("rename", strerror(errno));
	generation = raftio_store_generation(node->raftio);
	raftio_propose(node->raftio, &command, on_done, &outcome);
	ok(until(node->disk_failed == 1), "the disk refuses: %s",
	    node->disk_errmsg);
	sent = node->sent;
	ok(!raftio_is_leader(node->raftio), "leadership is given up");
	ok(until(outcome.called == 1) && outcome.effects == 0,
	    "a proposal meanwhile: %s", outcome.why);
	raftio_promise(node->raftio, 100);
	ok(until(leader() != 0 && leader() != old), "another leads");
	ok(propose_events(3), "and takes commands");
	ok(node->sent == sent, "nothing leaves the one without a disk");
	ok(node->disk_failed == 1, "which says so once");
	ok(raftio_kept_promise(node->raftio) != 100 &&
	    raftio_store_generation(node->raftio) == generation,
	    "and has promised nothing");
	if (rename(away, node->dir) != 0)
		bail_out("rename", strerror(errno));
	ok(until(are_equal()), "with its disk back it follows");
	ok(until(raftio_kept_promise(node->raftio) == 100 &&
	    node->kept_promise == 100), "and its promise is kept");
}

static void
test_compaction(void)
{
	const struct raft *raft;
	uint32_t id = a_leader() == 1 ? 2 : 1;

	ok(propose_events(150), "many commands");
	raft = raftio_raft(nodes[a_leader()].raftio);
	ok(raft->snapshot_index > 100 && raft->log_count <= RAFT_LOG_COMPACT,
	    "the log is compacted: %u entries behind entry %llu",
	    raft->log_count, (unsigned long long)raft->snapshot_index);
	ok(until(are_equal()), "all are in the same state");
	ok(add_member(4, false) && until(are_equal()),
	    "a fourth comes to the same state");
	ok(nodes[4].restored == 1, "by a snapshot");

	close_node(id);
	ok(propose_events(150), "many more without one of them");
	open_node(id);
	ok(until(are_equal()), "which comes to the same state");
	ok(nodes[id].restored == 2, "by its own snapshot and a newer one");
	close_node(4);
	open_node(4);
	ok(until(are_equal()) && nodes[4].restored > 0,
	    "a learner starts from its snapshot");
}

/* More at once than is taken; each gets one answer. */
static void
test_many_at_once(void)
{
	static struct outcome outcomes[300];
	struct command command;
	unsigned int i, effects = 0, busy = 0, wrong = 0;
	uint32_t id = a_leader();

	memset(outcomes, 0, sizeof(outcomes));
	for (i = 0; i < 300; i++) {
		command = event_command(10000 + i);
		raftio_propose(nodes[id].raftio, &command, on_done,
		    &outcomes[i]);
	}
	for (i = 0; i < 300; i++) {
		if (!until(outcomes[i].called > 0))
			break;
		effects += outcomes[i].effects;
		busy += strcmp(outcomes[i].why,
		    raft_strerror(RAFT_E_BUSY)) == 0;
	}
	for (i = 0; i < 300; i++)
		wrong += outcomes[i].called != 1;
	ok(wrong == 0, "300 at once, each answered once");
	ok(effects > 0 && busy > 0, "%u applied, %u told to come again",
	    effects, busy);
	ok(until(are_equal()), "all are in the same state");
}

/* One proposes the next: a step never begins inside another. */
static struct chain {
	struct raftio *raftio;
	unsigned int left;
	bool broken;
} chain;

static void
propose_next(void *arg, bool effect, const char *why)
{
	struct command command = event_command(chain.left);

	(void)arg;
	(void)why;
	if (!effect)
		chain.broken = true;
	else if (--chain.left > 0)
		raftio_propose(chain.raftio, &command, propose_next, NULL);
}

static void
test_reentry(void)
{
	struct command command = event_command(0);

	chain.left = 10;
	do {
		chain.broken = false;
		chain.raftio = nodes[a_leader()].raftio;
		raftio_propose(chain.raftio, &command, propose_next, NULL);
		if (!until(chain.left == 0 || chain.broken))
			break;
	} while (chain.left > 0);
	ok(chain.left == 0, "proposals out of callbacks");
}

/* One that never takes no for an answer must not stop the loop. */
static struct stubborn {
	struct raftio *raftio;
	unsigned int refused;
	bool enough;
} stubborn;

static void
propose_anyway(void *arg, bool effect, const char *why)
{
	struct command command = event_command(1);

	(void)arg;
	(void)effect;
	(void)why;
	stubborn.refused++;
	if (!stubborn.enough)
		raftio_propose(stubborn.raftio, &command, propose_anyway,
		    NULL);
}

static void
test_stubborn(void)
{
	uint32_t id = a_leader() == 1 ? 2 : 1;
	struct command command = event_command(1);

	stubborn.raftio = nodes[id].raftio;
	raftio_propose(stubborn.raftio, &command, propose_anyway, NULL);
	ok(until(stubborn.refused > 200) && propose_events(3),
	    "a proposer that never gives up does not stop the others");
	stubborn.enough = true;
	ok(until(are_equal()), "all are in the same state");
}

/* An agent is stopped at any moment of a write. */
static void
test_stop_while_writing(void)
{
	unsigned int round, wrong = 0, turns;
	struct outcome outcome;
	struct command command = event_command(1);
	uint32_t id;

	for (round = 0; round < 12; round++) {
		if (!until(are_equal())) {
			wrong++;
			break;
		}
		id = a_leader();
		memset(&outcome, 0, sizeof(outcome));
		raftio_propose(nodes[id].raftio, &command, on_done, &outcome);
		for (turns = 0; turns < round / 2; turns++)
			turn();
		close_node(id);
		wrong += outcome.called != 1;
		open_node(id);	/* reads the disk: damage bails out */
		wrong += disk.found != STORE_WHOLE;
	}
	ok(wrong == 0, "stopped while it writes, twelve times");
	ok(until(are_equal()), "all are in the same state");
}

/* A node that lost its file, though not its name. */
static void
test_lost_state(void)
{
	char path[128];
	uint32_t id = a_leader() == 2 ? 3 : 2;

	close_node(id);
	read_disk(&nodes[id]);
	snprintf(path, sizeof(path), "%s/state.%llu", nodes[id].dir,
	    (unsigned long long)disk.generation);
	if (unlink(path) != 0)
		bail_out(path, strerror(errno));
	open_node(id);
	ok(disk.found == STORE_DAMAGED, "a state file lost is noticed");
	ok(raftio_identity(nodes[id].raftio)->member_id == 0,
	    "it is nobody, and takes part in nothing");
	ok(propose_events(3), "the others go on");
	ok(nodes[id].sent == 0, "without a word from it");
	close_node(id);
	ok(change(RAFT_DEMOTE_VOTER, id, false), "its vote is taken away");
	wipe_node(id);
	ok(add_member(5, true), "it comes back as another member");
	ok(until(are_equal()), "in the same state");
}

static unsigned int
halted_nodes(void)
{
	unsigned int count = 0;
	uint32_t id;

	for (id = 1; id <= NODES; id++)
		count += nodes[id].raftio != NULL &&
		    raftio_halted(nodes[id].raftio) != NULL;
	return count;
}

static void
test_unknown_entry(void)
{
	struct outcome outcome = { 0 };
	struct command command = event_command(0);
	uint32_t id = a_leader();

	command.type = 200;
	raftio_propose(nodes[id].raftio, &command, on_done, &outcome);
	ok(until(outcome.called == 1) && outcome.effects == 0,
	    "an entry of a newer program: %s", outcome.why);
	ok(until(halted_nodes() >= 2 && leader() == 0),
	    "nobody who does not know it decides");
	for (id = 1; nodes[id].raftio == NULL ||
	    raftio_halted(nodes[id].raftio) == NULL; id++)
		;
	memset(&outcome, 0, sizeof(outcome));
	command = event_command(0);
	raftio_propose(nodes[id].raftio, &command, on_done, &outcome);
	ok(until(outcome.called == 1) && outcome.effects == 0 &&
	    strstr(outcome.why, "newer failoverd") != NULL,
	    "or takes commands: %s", outcome.why);
	for (id = 1; id <= NODES; id++)
		if (nodes[id].raftio != NULL) {
			close_node(id);
			open_node(id);
		}
	ok(until(halted_nodes() >= 2 && leader() == 0),
	    "nor does it when all are started again");
}

int
main(void)
{
	uint32_t id;

	log_init("raftio_test", getenv("VERBOSE") != NULL ?
	    LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	if (mkdtemp(root) == NULL)
		bail_out(root, strerror(errno));
	uv_loop_init(&loop);
	uv_timer_init(&loop, &bell);
	uv_timer_start(&bell, on_bell, 5, 5);

	test_founding();
	test_joining();
	test_refusals();
	test_promise();
	test_restart();
	test_leader_closed();
	test_transfer();
	test_cut();
	test_disk_failure();
	test_compaction();
	test_many_at_once();
	test_reentry();
	test_stubborn();
	test_stop_while_writing();
	test_lost_state();
	test_unknown_entry();
	ok(undurable == 0, "%zu messages, and what each said was on the disk",
	    frames_checked);

	for (id = 1; id <= NODES; id++)
		close_node(id);
	deliver();
	uv_close((uv_handle_t *)&bell, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	ok(uv_loop_close(&loop) == 0, "nothing is left in the loop");
	for (id = 1; id <= NODES; id++)
		if (nodes[id].dir[0] != '\0')
			wipe_node(id);
	if (rmdir(root) != 0)
		bail_out(root, strerror(errno));
	return done_testing();
}
