/*
 * pgstream.c - startup process, walreceiver and walsender.
 *
 * The startup process looks at its configuration only while it is parked at
 * the end of its WAL; a walreceiver goes on acknowledging until then,
 * whatever a reload said.  Only SIGTERM ends it.
 */
#include "sim.h"

#include <string.h>

#define RETRY		(200 * MS)
#define CONNECT_TIMEOUT	(2 * SECOND)
#define SENDER_TIMEOUT	(5 * SECOND)
#define KEEPALIVE	(150 * MS)
#define RECEIVER_TIMEOUT (6 * SECOND)

static uint64_t
new_session(void)
{
	return sim_random() | 1;
}

/* ---- walreceiver ---- */

void
pgstream_drop_receiver(struct node *node)
{
	struct pg *pg = &node->pg;

	if (pg->receiver == RECEIVER_STREAMING) {
		/* It flushes what it wrote, and answers no more. */
		if (pg->written != node->pgdisk.flushed)
			pg_take_flushed(node, pg->written);
	}
	pg->receiver = RECEIVER_NONE;
	pg->session = 0;
	pg->retry_at = sim.now + RETRY;
	pgstream_look(node, RETRY + MS);
}

static void
receiver_dies(struct sim_event *event)
{
	struct pg *pg = &event->node->pg;

	if (pg->session == event->a && pg->receiver != RECEIVER_NONE)
		pgstream_drop_receiver(event->node);
}

int
pgstream_terminate_receivers(struct node *node)
{
	struct pg *pg = &node->pg;
	struct sim_event *event;

	/* One that is about to be forked is in no process list. */
	if (pg->receiver != RECEIVER_CONNECTING &&
	    pg->receiver != RECEIVER_STREAMING)
		return 0;
	event = sim_plan(sim_delay(MS, 10 * MS), receiver_dies, node,
	    LAYER_PG);
	event->a = pg->session;
	return 1;
}

static void
connect_timeout(struct sim_event *event)
{
	struct pg *pg = &event->node->pg;

	if (pg->session == event->a && pg->receiver == RECEIVER_CONNECTING)
		pgstream_drop_receiver(event->node);
}

static bool
is_connected(const struct node *upstream, const struct node *node)
{
	const struct sender *sender = &upstream->pg.senders[node->index];

	return upstream->pg.run != PG_OFF && sender->used &&
	    sender->session == node->pg.session;
}

static void
receiver_silence(struct sim_event *event)
{
	struct node *node = event->node;
	struct pg *pg = &node->pg;
	struct node *upstream;

	if (pg->session != event->a || pg->receiver != RECEIVER_STREAMING)
		return;
	upstream = node_of(pg->receiver_from);
	/* A host that lives resets a connection it does not know. */
	if (upstream == NULL || sim.now - pg->receiver_heard >
	    RECEIVER_TIMEOUT || (!net_is_cut(upstream, node) &&
	    !net_is_cut(node, upstream) &&
	    !is_connected(upstream, node))) {
		pgstream_drop_receiver(node);
		return;
	}
	event = sim_plan(250 * MS, receiver_silence, node, LAYER_PG);
	event->a = pg->session;
}

static void
receiver_runs(struct sim_event *event)
{
	struct node *node = event->node;
	struct pg *pg = &node->pg;
	struct node *upstream = node_of(pg->receiver_from);

	if (pg->receiver != RECEIVER_FORKING || pg->session != event->a)
		return;
	pg->receiver = RECEIVER_CONNECTING;
	event = sim_plan(CONNECT_TIMEOUT, connect_timeout, node, LAYER_PG);
	event->a = pg->session;
	if (upstream == NULL)
		return;
	if (upstream->host_up && upstream->pg.run == PG_OFF &&
	    !net_is_cut(upstream, node) && !net_is_cut(node, upstream)) {
		pgstream_drop_receiver(node);	/* refused at once */
		return;
	}
	net_send(node, upstream, NET_CONNECT, NULL, 0, pg->session,
	    pg->written, node->pgdisk.incarnation,
	    wal_get(pg->written)->timeline);
}

/* ---- startup process ---- */

static void
look(struct sim_event *event)
{
	struct node *node = event->node;
	struct pg *pg = &node->pg;

	pg->look_planned = false;
	if (!pg_is_parked(node))
		return;
	if (pg->receiver != RECEIVER_NONE) {
		/* Its own request is taken back, forked or not. */
		if (pg->receiver_from == pg->startup_upstream)
			return;
		if (pg->receiver == RECEIVER_FORKING)
			pgstream_drop_receiver(node);
		else
			(void)pgstream_terminate_receivers(node);
		return;
	}
	if (pg->startup_upstream == 0)
		return;
	if (pg->retry_at > sim.now) {
		pgstream_look(node, pg->retry_at - sim.now);
		return;
	}
	pg->receiver = RECEIVER_FORKING;
	pg->receiver_from = pg->startup_upstream;
	pg->session = new_session();
	event = sim_plan(sim_delay(MS, 8 * MS), receiver_runs, node,
	    LAYER_PG);
	event->a = pg->session;
}

void
pgstream_look(struct node *node, int64_t in)
{
	if (node->pg.look_planned || node->pg.run != PG_RECOVERY)
		return;
	node->pg.look_planned = true;
	sim_plan(in, look, node, LAYER_PG);
}

/* ---- walsender ---- */

static uint32_t
flushed_here(const struct node *node)
{
	return node->pg.run == PG_OPEN || node->pg.run == PG_CLOSING ?
	    node->pgdisk.flushed : node->pg.written;
}

static void
send_wal(struct node *node, struct sender *sender)
{
	net_send(node, sim.nodes[sender->node], NET_WAL, NULL, 0,
	    sender->session, sender->sent, 0, 0);
}

void
pgstream_push(struct node *node)
{
	uint32_t i, end = flushed_here(node);

	for (i = 0; i < NODES_MAX; i++) {
		struct sender *sender = &node->pg.senders[i];

		if (!sender->used || sender->sent == end)
			continue;
		sender->sent = end;
		send_wal(node, sender);
	}
}

static void
keepalive(struct sim_event *event)
{
	struct node *node = event->node;
	struct sender *sender = &node->pg.senders[event->a];
	uint64_t session = event->b, slot = event->a;

	if (!sender->used || sender->session != session)
		return;
	if (sim.now - sender->heard > SENDER_TIMEOUT) {
		sender->used = false;
		return;
	}
	send_wal(node, sender);
	event = sim_plan(KEEPALIVE, keepalive, node, LAYER_PG);
	event->a = slot;
	event->b = session;
}

/* May a standby at that place of that timeline follow this server? */
static bool
may_follow(const struct node *node, uint32_t from, uint32_t timeline)
{
	const struct wal_record *r = wal_get(from);
	uint32_t end = flushed_here(node);
	uint32_t here = wal_get(end)->timeline, own, t;

	if (r->lsn > wal_lsn(end) || timeline > here)
		return false;
	/* Its timeline must lead to ours, and not have been left before. */
	own = wal_at(end, r->lsn);
	if (wal_get(own)->timeline != timeline)
		return false;
	for (t = timeline + 1; t <= here; t++)
		if (!pg_has_history(&node->pgdisk, t))
			return false;
	return true;
}

static void
take_connection(struct node *node, const struct net_message *m)
{
	struct node *standby = sim.nodes[m->from];
	struct sender *sender = &node->pg.senders[m->from];
	struct sim_event *event;
	uint32_t from = (uint32_t)m->b;

	if ((node->pg.run != PG_OPEN && node->pg.run != PG_RECOVERY) ||
	    !may_follow(node, from, (uint32_t)m->d)) {
		net_send(node, standby, NET_REFUSE, NULL, 0, m->a, 0, 0, 0);
		return;
	}
	memset(sender, 0, sizeof(*sender));
	sender->used = true;
	sender->session = m->a;
	sender->node = m->from;
	sender->member_id = standby->id;
	sender->incarnation = (uint32_t)m->c;
	sender->sent = wal_at(flushed_here(node), wal_lsn(from));
	sender->ssn = node->pg.postmaster_ssn;
	sender->heard = sim.now;
	pgsync_set_priority(sender);
	net_send(node, standby, NET_ACCEPT, NULL, 0, m->a, sender->sent,
	    wal_get(flushed_here(node))->timeline, 0);
	event = sim_plan(KEEPALIVE, keepalive, node, LAYER_PG);
	event->a = m->from;
	event->b = m->a;
}

static void
take_reply(struct node *node, const struct net_message *m)
{
	struct sender *sender = &node->pg.senders[m->from];

	if (!sender->used || sender->session != m->a)
		return;
	sender->heard = sim.now;
	if (sender->flush == 0 || wal_lsn((uint32_t)m->b) >
	    wal_lsn(sender->flush))
		sender->flush = (uint32_t)m->b;
	sender->replay = (uint32_t)m->c;
	if (sender->flush == sender->sent || wal_lsn(sender->flush) + 4096 >
	    wal_lsn(flushed_here(node)))
		sender->streaming = true;
	if (node->pg.run == PG_OPEN)
		pgsync_reply(node, sender);
}

/* ---- what the receiver gets ---- */

static void
send_reply(struct node *node)
{
	struct pg *pg = &node->pg;
	struct node *upstream = node_of(pg->receiver_from);

	if (upstream != NULL)
		net_send(node, upstream, NET_REPLY, NULL, 0, pg->session,
		    node->pgdisk.flushed, pg->replayed, 0);
}

static void
flush(struct sim_event *event)
{
	struct node *node = event->node;
	struct pg *pg = &node->pg;

	pg->flush_planned = false;
	if (pg->receiver != RECEIVER_STREAMING || pg->run != PG_RECOVERY)
		return;
	pg_take_flushed(node, pg->written);
	send_reply(node);
}

/* It fetches every history file between its timeline and `here`. */
static void
fetch_histories(struct node *node, const struct node *upstream,
    uint32_t here)
{
	uint32_t t, i;
	uint64_t fork;

	for (t = wal_get(node->pg.written)->timeline + 1; t <= here; t++) {
		fork = 1;
		for (i = 0; i < upstream->pgdisk.history_count; i++)
			if (upstream->pgdisk.histories[i].timeline == t)
				fork = upstream->pgdisk.histories[i].fork;
		pg_add_history(&node->pgdisk, t, fork);
	}
}

static void
take_accept(struct node *node, const struct net_message *m)
{
	struct pg *pg = &node->pg;
	struct node *upstream = sim.nodes[m->from];
	struct sim_event *event;

	if (pg->session != m->a || pg->receiver != RECEIVER_CONNECTING ||
	    pg->run != PG_RECOVERY)
		return;
	fetch_histories(node, upstream, (uint32_t)m->c);
	check_attached(node, pg->written, (uint32_t)m->b);
	pg->receiver = RECEIVER_STREAMING;
	pg->received = pg->written;
	pg->receiver_heard = sim.now;
	sim_say(node, "streams from n%u", upstream->id);
	send_reply(node);
	event = sim_plan(250 * MS, receiver_silence, node, LAYER_PG);
	event->a = pg->session;
}

static void
take_wal(struct node *node, const struct net_message *m)
{
	struct pg *pg = &node->pg;
	uint32_t to = (uint32_t)m->b;

	if (pg->session != m->a || pg->receiver != RECEIVER_STREAMING ||
	    pg->run != PG_RECOVERY)
		return;
	pg->receiver_heard = sim.now;
	if (wal_lsn(to) <= wal_lsn(pg->written)) {
		send_reply(node);
		return;
	}
	if (!wal_contains(to, pg->written))
		check_attached(node, pg->written,
		    wal_at(to, wal_lsn(pg->written)));
	fetch_histories(node, sim.nodes[m->from], wal_get(to)->timeline);
	pg->written = to;
	if (pg->flush_planned)
		return;
	pg->flush_planned = true;
	sim_plan(sim_delay(MS / 2, 30 * MS), flush, node, LAYER_PG);
}

void
pgstream_message(struct node *to, const struct net_message *m)
{
	switch (m->kind) {
	case NET_CONNECT:
		take_connection(to, m);
		break;
	case NET_ACCEPT:
		take_accept(to, m);
		break;
	case NET_REFUSE:
		if (to->pg.session == m->a &&
		    to->pg.receiver == RECEIVER_CONNECTING) {
			sim_say(to, "n%u refuses to stream from %llu of "
			    "timeline %u", sim.nodes[m->from]->id,
			    (unsigned long long)wal_lsn(to->pg.written),
			    wal_get(to->pg.written)->timeline);
			pgstream_drop_receiver(to);
		}
		break;
	case NET_WAL:
		take_wal(to, m);
		break;
	case NET_REPLY:
		take_reply(to, m);
		break;
	default:
		break;
	}
}
