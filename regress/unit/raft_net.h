/*
 * raft_net.h - a few raft servers in memory, in virtual time.
 *
 * The network copies every message, a disk keeps what raft_encode() wrote
 * when an effect asked for it, and every step is checked: one leader a term,
 * one entry an index, nothing durable changed without a write, no leader
 * elected while another one may decide.  The first violation is kept.
 */
#ifndef FAILOVERD_RAFT_NET_H
#define FAILOVERD_RAFT_NET_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raft.h"

#define NODES		6		/* ids 1..NODES */
#define ELECTION_MS	1000
#define HEARTBEAT_MS	100
#define TRUTH_MAX	20000
#define PACKETS_MAX	8192
#define MS		INT64_C(1000000)

struct packet {
	int64_t due;
	uint64_t number;
	struct raft_message message;
	struct raft_config config;
	uint8_t *snapshot;
	struct raft_entry entries[];
};

struct node {
	struct raft *raft;
	bool up;
	bool disk_broken;
	int64_t frozen_until;
	int64_t drift_ppm;
	uint8_t *image;
	size_t image_len;
	uint64_t saved_commit;
	/* The state machine: all that was applied, as one number. */
	uint64_t applied, hash;
	uint32_t restores;
};

static struct net {
	int64_t now, drift_since;
	struct node nodes[NODES + 1];
	bool cut[NODES + 1][NODES + 1];
	struct packet *packets[PACKETS_MAX];
	uint32_t packet_count;
	uint64_t packet_number;
	int64_t latency_ms, jitter_ms;
	uint32_t loss_percent, dup_percent;
	uint64_t random;
	bool (*filter)(struct raft_message *m);	/* false = lost */
	uint64_t truth[TRUTH_MAX];		/* hash after that index */
	uint64_t truth_last;
	uint32_t leader_of[4096];
	char violation[256];
	struct raft_effects effects;		/* of the last step */
	uint8_t scratch[RAFT_IMAGE_MAX];
} net;

__attribute__((format(printf, 1, 2)))
static void
violated(const char *format, ...)
{
	va_list ap;

	if (net.violation[0] != '\0')
		return;
	va_start(ap, format);
	vsnprintf(net.violation, sizeof(net.violation), format, ap);
	va_end(ap);
}

static uint64_t
net_random(void)
{
	uint64_t z = net.random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static bool
one_in(uint32_t n)
{
	return net_random() % n == 0;
}

static void
free_packet(struct packet *packet)
{
	free(packet->snapshot);
	free(packet);
}

static void
net_reset(uint64_t seed)
{
	uint32_t i;

	while (net.packet_count > 0)
		free_packet(net.packets[--net.packet_count]);
	for (i = 1; i <= NODES; i++) {
		free(net.nodes[i].raft);
		free(net.nodes[i].image);
	}
	memset(&net, 0, sizeof(net));
	net.now = 1000 * 1000 * MS;
	net.latency_ms = 1;
	net.random = seed;
}

static monotime_t
clock_of(const struct node *node)
{
	return (monotime_t){ net.now +
	    (net.now - net.drift_since) / 1000000 * node->drift_ppm };
}

static uint64_t
mix(uint64_t hash, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	while (len-- > 0)
		hash = (hash ^ *at++) * 0x100000001b3u;
	return hash;
}

static struct packet *
copy_message(const struct raft_message *m)
{
	struct packet *packet;

	packet = calloc(1, sizeof(*packet) +
	    m->entry_count * sizeof(struct raft_entry));
	if (packet == NULL)
		abort();
	packet->message = *m;
	if (m->entry_count > 0)
		memcpy(packet->entries, m->entries,
		    m->entry_count * sizeof(struct raft_entry));
	packet->message.entries = packet->entries;
	if (m->type == RAFT_MSG_SNAPSHOT) {
		packet->snapshot = malloc(m->snapshot_len + 1);
		if (packet->snapshot == NULL)
			abort();
		memcpy(packet->snapshot, m->snapshot, m->snapshot_len);
		packet->config = *m->snapshot_config;
		packet->message.snapshot = packet->snapshot;
		packet->message.snapshot_config = &packet->config;
	}
	return packet;
}

static void
post(const struct raft_message *m)
{
	struct packet *packet;

	if (m->entry_count > RAFT_BATCH_MAX)
		violated("%u entries in a message", m->entry_count);
	if (m->to == 0 || m->to > NODES || net.cut[m->from][m->to])
		return;
	if (net_random() % 100 < net.loss_percent ||
	    net.packet_count == PACKETS_MAX)
		return;
	packet = copy_message(m);
	if (net.filter != NULL && !net.filter(&packet->message)) {
		free_packet(packet);
		return;
	}
	packet->number = net.packet_number++;
	packet->due = net.now + net.latency_ms * MS;
	if (net.jitter_ms > 0)
		packet->due += (int64_t)(net_random() %
		    (uint64_t)net.jitter_ms) * MS;
	net.packets[net.packet_count++] = packet;
	if (net_random() % 100 < net.dup_percent)
		post(m);
}

/* ---- what is checked after every step ---- */

static void
check_leader(uint32_t id)
{
	struct raft *raft = net.nodes[id].raft;
	uint32_t i, *known = &net.leader_of[raft->term % 4096];

	if (raft->role != RAFT_LEADER)
		return;
	if (*known != 0 && *known != id)
		violated("%u and %u both lead term %" PRIu64, *known, id,
		    raft->term);
	*known = id;
	for (i = 1; i <= NODES; i++) {
		struct node *other = &net.nodes[i];

		if (i != id && other->up && other->raft->term < raft->term &&
		    raft_may_decide(other->raft, clock_of(other)))
			violated("%u may decide in term %" PRIu64 " while %u "
			    "leads term %" PRIu64, i, other->raft->term, id,
			    raft->term);
	}
}

/* Would a restart bring back all that may have been promised? */
static void
check_durable(uint32_t id)
{
	struct node *node = &net.nodes[id];
	uint64_t commit = node->raft->commit;
	struct buf buf;

	node->raft->commit = node->saved_commit;
	buf_init(&buf, net.scratch, sizeof(net.scratch));
	raft_encode(node->raft, &buf);
	node->raft->commit = commit;
	if (buf.failed || buf.len != node->image_len ||
	    memcmp(net.scratch, node->image, buf.len) != 0)
		violated("%u changed something durable without a write", id);
}

static void
check_applied(uint32_t id, uint64_t index, uint64_t hash)
{
	if (index >= TRUTH_MAX) {
		violated("more entries than the test has room for");
		return;
	}
	if (index <= net.truth_last && net.truth[index] != hash)
		violated("%u applied another entry %" PRIu64, id, index);
	if (index > net.truth_last) {
		if (index != net.truth_last + 1)
			violated("%u applied entry %" PRIu64 " after a gap",
			    id, index);
		net.truth_last = index;
	}
	net.truth[index] = hash;
}

/* Same index and term: same entry, and the same before it. */
static void
check_log_matching(void)
{
	uint32_t i, j;

	for (i = 1; i <= NODES; i++)
		for (j = i + 1; j <= NODES; j++) {
			const struct raft *a = net.nodes[i].raft;
			const struct raft *b = net.nodes[j].raft;
			const struct raft_entry *x, *y;
			uint64_t index;
			bool matched = false;

			if (a == NULL || b == NULL)
				continue;
			index = raft_last_index(a);
			for (; (x = raft_entry_at(a, index)) != NULL; index--) {
				y = raft_entry_at(b, index);
				if (y == NULL)
					continue;
				if (x->term != y->term) {
					if (matched)
						violated("logs of %u and %u "
						    "differ below a match", i,
						    j);
					continue;
				}
				matched = true;
				if (x->type != y->type || x->len != y->len ||
				    memcmp(x->data, y->data, x->len) != 0)
					violated("entries %" PRIu64 " of %u "
					    "and %u differ", index, i, j);
			}
		}
}

/* ---- one step of one server ---- */

static void
save(struct node *node)
{
	struct buf buf;

	free(node->image);
	buf_init(&buf, net.scratch, sizeof(net.scratch));
	raft_encode(node->raft, &buf);
	if (buf.failed)
		violated("an image does not fit into RAFT_IMAGE_MAX");
	node->image = malloc(buf.len);
	if (node->image == NULL)
		abort();
	memcpy(node->image, net.scratch, buf.len);
	node->image_len = buf.len;
	node->saved_commit = node->raft->commit;
}

static void
restore(uint32_t id)
{
	struct node *node = &net.nodes[id];
	struct reader reader;

	reader_init(&reader, node->raft->snapshot, node->raft->snapshot_len);
	node->applied = reader_get_u64(&reader);
	node->hash = reader_get_u64(&reader);
	node->restores++;
	if (!reader_is_done(&reader) ||
	    node->applied != node->raft->snapshot_index)
		violated("%u was given a wrong snapshot", id);
}

static void
apply(uint32_t id, uint64_t first, uint64_t last)
{
	struct node *node = &net.nodes[id];

	for (; first <= last; first++) {
		const struct raft_entry *entry;

		entry = raft_entry_at(node->raft, first);
		if (entry == NULL || first != node->applied + 1) {
			violated("%u was to apply entry %" PRIu64 " after %"
			    PRIu64, id, first, node->applied);
			return;
		}
		node->hash = mix(node->hash, &entry->term, sizeof(uint64_t));
		node->hash = mix(node->hash, entry->data, entry->len);
		node->applied = first;
		check_applied(id, first, node->hash);
	}
}

static int
step(uint32_t id, const struct raft_event *event)
{
	struct node *node = &net.nodes[id];
	struct raft_effects *effects = &net.effects;
	uint32_t i;

	if (node->raft == NULL) {	/* id 0: there was no leader */
		violated("there is no server %u to take an event", id);
		return RAFT_E_NOT_LEADER;
	}
	raft_step(node->raft, event, clock_of(node), effects);
	if (effects->persist && node->disk_broken) {
		static const struct raft_event failed = {
			.type = RAFT_EVENT_DISK_FAILED
		};

		raft_step(node->raft, &failed, clock_of(node), effects);
		if (effects->message_count > 0 || effects->persist ||
		    effects->apply_last > 0 || effects->restore)
			violated("%u acts after a failed write", id);
		effects->result = RAFT_E_NOT_LEADER;
		return effects->result;
	}
	if (effects->persist)
		save(node);
	else
		check_durable(id);
	for (i = 0; i < effects->message_count; i++)
		post(&effects->messages[i]);
	if (effects->restore)
		restore(id);
	if (effects->apply_last > 0)
		apply(id, effects->apply_first, effects->apply_last);
	check_leader(id);
	return effects->result;
}

/* Id 0 (no leader was found) has an empty one, so that a test just fails. */
static struct raft *
raft_of(uint32_t id)
{
	static struct raft nobody;

	return net.nodes[id].raft != NULL ? net.nodes[id].raft : &nobody;
}

static int
propose(uint32_t id, const char *text)
{
	return step(id, &(struct raft_event){ .type = RAFT_EVENT_PROPOSE,
	    .data = text, .len = strlen(text) });
}

static int
change(uint32_t id, uint8_t what, uint32_t server_id)
{
	return step(id, &(struct raft_event){ .type = RAFT_EVENT_CHANGE,
	    .change = what, .server_id = server_id });
}

static int
transfer(uint32_t id, uint32_t to)
{
	return step(id, &(struct raft_event){ .type = RAFT_EVENT_TRANSFER,
	    .server_id = to });
}

static int
compact(uint32_t id)
{
	const struct node *node = &net.nodes[id];
	uint8_t memory[16];
	struct buf buf;

	buf_init(&buf, memory, sizeof(memory));
	buf_put_u64(&buf, node->applied);
	buf_put_u64(&buf, node->hash);
	return step(id, &(struct raft_event){ .type = RAFT_EVENT_COMPACT,
	    .data = memory, .len = buf.len });
}

static void
tick(uint32_t id)
{
	step(id, &(struct raft_event){ .type = RAFT_EVENT_TICK });
}

/* Hands a message over at once; the first answer is in net.effects. */
static void
hand(const struct raft_message *m)
{
	step(m->to, &(struct raft_event){ .type = RAFT_EVENT_MESSAGE,
	    .message = m });
}

/* ---- life of a server ---- */

static void
node_start(uint32_t id)
{
	struct node *node = &net.nodes[id];

	raft_start(node->raft, ELECTION_MS, HEARTBEAT_MS, net_random(),
	    clock_of(node));
	node->up = true;
	node->applied = node->hash = 0;
}

/* An empty server, or the first of a cluster. */
static void
node_create(uint32_t id, bool first)
{
	struct node *node = &net.nodes[id];

	node->raft = malloc(sizeof(*node->raft));
	if (node->raft == NULL)
		abort();
	raft_init(node->raft, id);
	if (first)
		raft_bootstrap(node->raft);
	save(node);
	node_start(id);
}

static void
node_crash(uint32_t id)
{
	net.nodes[id].up = false;
}

static void
node_restart(uint32_t id)
{
	struct node *node = &net.nodes[id];
	char errmsg[ERRMSG_MAX];
	struct reader reader;

	if (node->raft == NULL)
		return;
	reader_init(&reader, node->image, node->image_len);
	if (raft_decode(node->raft, &reader, errmsg) != 0 ||
	    !reader_is_done(&reader))
		violated("%u cannot read its own image: %s", id, errmsg);
	if (node->raft->commit != node->saved_commit)
		violated("%u forgot what was committed", id);
	node_start(id);
}

/* ---- time ---- */

static bool
is_awake(uint32_t id)
{
	return net.nodes[id].up && net.nodes[id].frozen_until <= net.now;
}

/* The next packet that is due for a server that is awake, or -1. */
static int64_t
next_packet(void)
{
	int64_t found = -1;
	uint32_t i;

	for (i = 0; i < net.packet_count; i++) {
		const struct packet *packet = net.packets[i];
		const struct node *to = &net.nodes[packet->message.to];

		if (packet->due > net.now || to->frozen_until > net.now)
			continue;
		if (found < 0 || packet->due < net.packets[found]->due ||
		    (packet->due == net.packets[found]->due &&
		    packet->number < net.packets[found]->number))
			found = i;
	}
	return found;
}

static void
run_one_ms(void)
{
	int64_t at;
	uint32_t i;

	net.now += MS;
	while ((at = next_packet()) >= 0) {
		struct packet *packet = net.packets[at];

		net.packets[at] = net.packets[--net.packet_count];
		if (net.nodes[packet->message.to].up &&
		    !net.cut[packet->message.from][packet->message.to])
			hand(&packet->message);
		free_packet(packet);
	}
	for (i = 1; i <= NODES; i++) {
		struct node *node = &net.nodes[i];

		if (is_awake(i) && !monotime_before(clock_of(node),
		    raft_next_deadline(node->raft)))
			tick(i);
	}
}

static void
run_ms(int64_t ms)
{
	while (ms-- > 0)
		run_one_ms();
}

/* The leader of the highest term that is up, or 0. */
static uint32_t
leader(void)
{
	uint32_t i, found = 0;

	for (i = 1; i <= NODES; i++)
		if (net.nodes[i].up &&
		    net.nodes[i].raft->role == RAFT_LEADER && (found == 0 ||
		    net.nodes[i].raft->term > net.nodes[found].raft->term))
			found = i;
	return found;
}

/* Runs until somebody may decide; 0 when nobody does in time. */
static uint32_t
wait_leader(int64_t limit_ms)
{
	while (limit_ms-- > 0) {
		uint32_t id = leader();

		if (id != 0 && raft_may_decide(net.nodes[id].raft,
		    clock_of(&net.nodes[id])))
			return id;
		run_one_ms();
	}
	return 0;
}

static void
cut_off(uint32_t id, bool cut)
{
	uint32_t i;

	for (i = 1; i <= NODES; i++)
		net.cut[i][id] = net.cut[id][i] = i != id && cut;
}

static bool
may_decide(uint32_t id)
{
	return raft_may_decide(raft_of(id), clock_of(&net.nodes[id]));
}

/* Servers 1..voters, the first of them leader, all with everything. */
static void
make_cluster(uint32_t voters, uint64_t seed)
{
	uint32_t i;

	net_reset(seed);
	node_create(1, true);
	run_ms(5);
	for (i = 2; i <= voters; i++) {
		node_create(i, false);
		if (change(1, RAFT_ADD_LEARNER, i) != 0)
			violated("could not add %u", i);
		run_ms(20);
		if (change(1, RAFT_PROMOTE_VOTER, i) != 0)
			violated("could not promote %u", i);
		run_ms(20);
	}
	run_ms(ELECTION_MS);
}

#endif
