/*
 * world.c - virtual time, the queue of events, chance, the verdict.
 */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sim sim;

static struct {
	struct sim_event **heap;
	size_t count, room;
	uint64_t order;
} queue;

/* ---- chance ---- */

uint64_t
sim_random(void)
{
	uint64_t z = sim.random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

int64_t
sim_between(int64_t lowest, int64_t highest)
{
	return lowest + (int64_t)(sim_random() %
	    (uint64_t)(highest - lowest + 1));
}

bool
sim_chance(uint32_t permille)
{
	return sim_random() % 1000 < permille;
}

int64_t
sim_delay(int64_t usual, int64_t longest)
{
	if (sim.options.quiet)
		return usual;
	if (sim_random() % 50 == 0)
		return sim_between(usual, longest);
	return sim_between(usual / 2, usual * 2);
}

uint64_t
sim_hash(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint64_t hash = 14695981039346656037u;

	while (len-- > 0)
		hash = (hash ^ *p++) * 1099511628211u;
	return hash;
}

/* ---- events ---- */

static bool
is_before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void
push(struct sim_event *event)
{
	size_t i;

	if (queue.count == queue.room) {
		queue.room = queue.room * 2 + 256;
		queue.heap = realloc(queue.heap,
		    queue.room * sizeof(*queue.heap));
		if (queue.heap == NULL)
			abort();
	}
	for (i = queue.count++; i > 0 &&
	    is_before(event, queue.heap[(i - 1) / 2]); i = (i - 1) / 2)
		queue.heap[i] = queue.heap[(i - 1) / 2];
	queue.heap[i] = event;
}

static struct sim_event *
pop(void)
{
	struct sim_event *first = queue.heap[0];
	struct sim_event *last = queue.heap[--queue.count];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < queue.count) {
		if (child + 1 < queue.count && is_before(
		    queue.heap[child + 1], queue.heap[child]))
			child++;
		if (!is_before(queue.heap[child], last))
			break;
		queue.heap[i] = queue.heap[child];
		i = child;
	}
	queue.heap[i] = last;
	return first;
}

static uint64_t
life_of(const struct node *node, uint8_t layer)
{
	switch (layer) {
	case LAYER_HOST:
		return node->host_life;
	case LAYER_AGENT:
		return node->agent_life;
	case LAYER_PG:
		return node->pg.life;
	default:
		return 0;
	}
}

struct sim_event *
sim_plan(int64_t in, void (*run)(struct sim_event *), struct node *node,
    uint8_t layer)
{
	struct sim_event *event = calloc(1, sizeof(*event));

	if (event == NULL)
		abort();
	event->at = sim.now + (in > 0 ? in : 0);
	event->order = ++queue.order;
	event->run = run;
	event->node = node;
	event->layer = layer;
	event->life = node != NULL ? life_of(node, layer) : 0;
	push(event);
	return event;
}

/* Until when that layer of the node stands still; 0 = it runs. */
static int64_t
frozen_until(const struct node *node, uint8_t layer)
{
	int64_t until = 0;

	if (layer == LAYER_WORLD)
		return 0;
	until = node->host_frozen;
	if (layer == LAYER_AGENT && node->agent_frozen > until)
		until = node->agent_frozen;
	if (layer == LAYER_PG && node->pg.hung_until > until)
		until = node->pg.hung_until;
	return until > sim.now ? until : 0;
}

static void
run_one(struct sim_event *event)
{
	int64_t until;

	sim.now = event->at;
	if (event->node != NULL && event->life != LIFE_ANY &&
	    event->life != life_of(event->node, event->layer))
		goto done;
	if (event->node != NULL && (until = frozen_until(event->node,
	    event->layer)) > 0) {
		event->at = until;
		push(event);
		return;
	}
	sim.counts.events++;
	event->run(event);
done:
	free(event->data);
	free(event);
}

void
sim_run_until(int64_t until)
{
	while (!sim.failed && queue.count > 0 && queue.heap[0]->at <= until)
		run_one(pop());
	if (!sim.failed && sim.now < until)
		sim.now = until;
}

/* ---- one world after the other ---- */

static void
free_node(struct node *node)
{
	consensus_stop(node);
	free(node->io.disk.bytes);
	free(node->io.image.bytes);
	free(node->io.raft);
	free(node->io.effects);
	free(node->state);
	free(node->view);
	free(node);
}

void
sim_free(void)
{
	uint32_t i;

	while (queue.count > 0) {
		struct sim_event *event = queue.heap[--queue.count];

		free(event->data);
		free(event);
	}
	for (i = 0; i < sim.node_count; i++)
		free_node(sim.nodes[i]);
	free(sim.commits);
	free(sim.truth);
	memset(&sim, 0, sizeof(sim));
	queue.order = 0;
}

void
sim_reset(const struct sim_options *options)
{
	sim_free();
	sim.options = *options;
	sim.random = sim_hash(&options->seed, sizeof(options->seed));
	sim.now = SECOND;
	sim.truth = calloc(1, sizeof(*sim.truth));
	if (sim.truth == NULL)
		abort();
	wal_reset();
	check_reset();
}

/* ---- what is said ---- */

void
sim_say(const struct node *node, const char *format, ...)
{
	va_list ap;

	if (!sim.options.verbose)
		return;
	printf("# %10.6f %s%.0u", (double)sim.now / 1e9,
	    node != NULL ? "n" : "- ", 0u);
	if (node != NULL)
		printf("%u ", node->id);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf("\n");
}

void
sim_fail(const char *checker, const char *format, ...)
{
	size_t len;
	va_list ap;

	if (sim.failed)
		return;
	sim.failed = true;
	len = (size_t)snprintf(sim.failure, sizeof(sim.failure),
	    "%.3f s: %s: ", (double)sim.now / 1e9, checker);
	va_start(ap, format);
	vsnprintf(sim.failure + len, sizeof(sim.failure) - len, format, ap);
	va_end(ap);
	sim_say(NULL, "FAILED %s", sim.failure);
}
