/*
 * net.c - messages between hosts: lost, doubled, late, overtaken; links cut
 * in one direction or both.  A message to a host that is down is lost, one to
 * a process that stands still waits.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

static void
arrive(struct sim_event *event)
{
	const struct net_message *m = event->data;
	struct node *to = event->node;

	if (!to->host_up || sim.cut[m->from][m->to])
		return;
	switch (m->kind) {
	case NET_RAFT:
	case NET_REPORT:
	case NET_LEASE:
	case NET_PORT_ANSWER:
		if (to->agent_up)
			node_message(to, m);
		break;
	case NET_PORT_ASK:
		/* The kernel refuses; only a living server answers. */
		if (to->pg.run != PG_OFF && to->pg.run != PG_BOOTING &&
		    to->pg.hung_until > sim.now)
			break;
		net_send(to, sim.nodes[m->from], NET_PORT_ANSWER, NULL, 0,
		    to->pg.run == PG_OFF ? PORT_REFUSED : PORT_ANSWERS,
		    m->b, 0, 0);
		break;
	default:
		if (to->pg.run != PG_OFF)
			pgstream_message(to, m);
		break;
	}
}

static uint8_t
layer_of(uint8_t kind)
{
	switch (kind) {
	case NET_RAFT:
	case NET_REPORT:
	case NET_LEASE:
	case NET_PORT_ANSWER:
		return LAYER_AGENT;
	case NET_PORT_ASK:
		return LAYER_HOST;
	default:
		return LAYER_PG;
	}
}

static int64_t
latency(void)
{
	if (sim.options.quiet)
		return MS / 2;
	if (sim_chance(sim.slow_permille))
		return sim_between(MS, 400 * MS);
	return sim_between(MS / 10, 2 * MS);
}

static void
put_on_wire(struct node *to, const void *message, size_t len)
{
	struct sim_event *event;

	event = sim_plan(latency(), arrive, to,
	    layer_of(((const struct net_message *)message)->kind));
	event->life = LIFE_ANY;	/* the receiver decides when it arrives */
	event->data = malloc(len);
	if (event->data == NULL)
		abort();
	memcpy(event->data, message, len);
}

bool
net_is_cut(const struct node *from, const struct node *to)
{
	return sim.cut[from->index][to->index] || !to->host_up;
}

void
net_send(struct node *from, struct node *to, uint8_t kind, const void *data,
    size_t len, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	size_t size = sizeof(struct net_message) + len;
	struct net_message *m;

	if (from != to && (sim.cut[from->index][to->index] ||
	    sim_chance(sim.loss_permille)))
		return;
	m = calloc(1, size);
	if (m == NULL)
		abort();
	m->kind = kind;
	m->from = from->index;
	m->to = to->index;
	m->a = a;
	m->b = b;
	m->c = c;
	m->d = d;
	m->len = len;
	if (len > 0)
		memcpy(m->data, data, len);
	put_on_wire(to, m, size);
	if (sim_chance(sim.dup_permille))
		put_on_wire(to, m, size);
	free(m);
}

void
net_heal(void)
{
	memset(sim.cut, 0, sizeof(sim.cut));
	sim.loss_permille = sim.dup_permille = sim.slow_permille = 0;
}
