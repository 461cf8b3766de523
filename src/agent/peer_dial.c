/*
 * peer_dial.c - whom to call, and when to call again.
 *
 * Owns the wanted addresses, their backoff and the resolving of names.  It
 * must never resolve a name in the loop, never call a node whose link is up,
 * and never keep an address longer than it is wanted.
 */
#include "peer_internal.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "conf.h"
#include "log.h"

#define BACKOFF_MIN_MS	100u
#define BACKOFF_MAX_MS	2000u
#define STEADY_MS	2000u	/* a link this old was a success */
#define SELF_MS		60000u	/* until our own address is tried again */
#define REPEAT_MS	600000u	/* until "could not connect" is said again */

static void
free_addresses(struct target *target)
{
	if (target->addresses != NULL)
		freeaddrinfo(target->addresses);
	target->addresses = target->next_address = NULL;
}

/* Takes it out of the list once nothing of it is open any more. */
static void
reap(struct target *target)
{
	struct target **at = &target->peers->targets;

	if (target->wanted || !target->timer_closed || target->is_resolving)
		return;
	while (*at != target)
		at = &(*at)->next;
	*at = target->next;
	free_addresses(target);
	free(target);
}

static void
on_timer_closed(uv_handle_t *handle)
{
	struct target *target = handle->data;

	target->timer_closed = true;
	reap(target);
}

static void
forget(struct target *target)
{
	if (target->link != NULL) {
		target->link->target = NULL;
		if (target->link->state != LINK_UP)
			link_close(target->link,
			    "its address is no longer wanted");
		target->link = NULL;
	}
	if (target->is_resolving)
		(void)uv_cancel((uv_req_t *)&target->resolving);
	free_addresses(target);
	uv_close((uv_handle_t *)&target->timer, on_timer_closed);
}

static void
say_failed(struct target *target, const char *text)
{
	const char *node = target->want.node;

	if (peers_may_say(target->peers, target->want.address, text,
	    REPEAT_MS))
		log_info("peer", "could not connect to %s%s%s: %s", node,
		    node[0] != '\0' ? " at " : "", target->want.address,
		    text);
	else
		log_debug("peer", "could not connect to %s: %s",
		    target->want.address, text);
}

static void	on_timer(uv_timer_t *);

/* Nodes that lost the same peer must not call it in step. */
static void
schedule(struct target *target)
{
	unsigned delay_ms = target->backoff_ms, random = 0;

	if (!target->wanted || uv_is_active((uv_handle_t *)&target->timer))
		return;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = (unsigned)uv_hrtime();
	delay_ms = delay_ms / 2 + random % (delay_ms / 2 + 1);
	target->backoff_ms *= 2;
	if (target->backoff_ms > BACKOFF_MAX_MS)
		target->backoff_ms = BACKOFF_MAX_MS;
	if (target->is_self)
		delay_ms = SELF_MS;
	uv_timer_start(&target->timer, on_timer, delay_ms, 0);
}

/* Whom we expect there; "" before a seed has answered once. */
static const char *
node_of(const struct target *target)
{
	return target->want.node[0] != '\0' ? target->want.node :
	    target->learned;
}

/* A link that ends at once must not be called again at once for ever. */
static bool
was_steady(const struct link *link)
{
	return uv_now(link->peers->loop) - link->up_at >= STEADY_MS;
}

/* The next address of the list; the backoff when there is none left. */
static void
dial_next(struct target *target)
{
	while (target->next_address != NULL) {
		struct addrinfo *address = target->next_address;
		struct link *link = peers_link_new(target->peers);

		target->next_address = address->ai_next;
		if (link == NULL) {
			say_failed(target, "out of memory");
			continue;
		}
		link->target = target;
		if (link_dial(link, address->ai_addr) == 0) {
			target->link = link;
			return;
		}
		/* Its closing is no end of this target's call. */
		say_failed(target, link->reason);
		link->target = NULL;
	}
	free_addresses(target);
	schedule(target);
}

static void
on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
	struct target *target = request->data;

	target->is_resolving = false;
	if (!target->wanted) {
		if (list != NULL)
			freeaddrinfo(list);
		reap(target);
		return;
	}
	if (status != 0) {
		say_failed(target, uv_strerror(status));
		schedule(target);
		return;
	}
	target->addresses = target->next_address = list;
	dial_next(target);
}

/* Numbers at once; names in a worker, which may take its time. */
static void
resolve(struct target *target)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
	char host[ADDRESS_MAX_LEN + 1], port[8], errmsg[ERRMSG_MAX];
	int rc;

	if (conf_split_address(target->want.address, "7432", host,
	    sizeof(host), port, sizeof(port), errmsg) != 0) {
		say_failed(target, errmsg);
		target->backoff_ms = BACKOFF_MAX_MS;
		schedule(target);
		return;
	}
	if (getaddrinfo(host, port, &hints, &target->addresses) == 0) {
		target->next_address = target->addresses;
		dial_next(target);
		return;
	}
	target->addresses = NULL;
	hints.ai_flags = AI_NUMERICSERV;
	target->resolving.data = target;
	rc = uv_getaddrinfo(target->peers->loop, &target->resolving,
	    on_resolved, host, port, &hints);
	if (rc != 0) {
		say_failed(target, uv_strerror(rc));
		schedule(target);
		return;
	}
	target->is_resolving = true;
}

static void
on_timer(uv_timer_t *timer)
{
	struct target *target = timer->data;
	const char *node = node_of(target);

	if (!target->wanted || target->link != NULL || target->is_resolving)
		return;
	/* Idle until that link ends; then dial_wake() comes. */
	if (node[0] != '\0' && peers_find_up(target->peers, node) != NULL)
		return;
	resolve(target);
}

void
dial_link_up(struct link *link)
{
	struct target *target = link->target;

	if (target == NULL)
		return;
	snprintf(target->learned, sizeof(target->learned), "%s", link->node);
	target->is_self = false;
	free_addresses(target);
}

void
dial_link_closed(struct link *link)
{
	struct target *target = link->target;

	if (target == NULL)
		return;
	target->link = NULL;
	if (link->was_up) {
		if (was_steady(link))
			target->backoff_ms = BACKOFF_MIN_MS;
		schedule(target);
		return;
	}
	target->is_self = strcmp(link->node, link->peers->hello.node) == 0;
	if (!link->logged && !target->is_self)
		say_failed(target, link->reason);
	dial_next(target);
}

void
dial_wake(const struct link *link)
{
	struct target *t;

	for (t = link->peers->targets; t != NULL; t = t->next) {
		if (!t->wanted || t->link != NULL || t->is_resolving ||
		    strcmp(node_of(t), link->node) != 0)
			continue;
		if (was_steady(link))
			t->backoff_ms = BACKOFF_MIN_MS;
		schedule(t);
	}
}

/* Ourselves; a seed whose address is given with a name, or given twice. */
static bool
is_superfluous(const struct peers *peers, const struct peer_target *targets,
    unsigned count, unsigned at)
{
	const struct peer_target *target = &targets[at];

	if (strcmp(target->node, peers->hello.node) == 0 ||
	    strcmp(target->address, peers->hello.advertise) == 0)
		return true;
	for (unsigned i = 0; i < count; i++) {
		if (i == at || strcmp(targets[i].address,
		    target->address) != 0)
			continue;
		if (strcmp(targets[i].node, target->node) == 0 ? i < at :
		    target->node[0] == '\0')
			return true;
	}
	return false;
}

static void
add_target(struct peers *peers, const struct peer_target *want)
{
	struct target *target = calloc(1, sizeof(*target));

	if (target == NULL) {
		log_error("peer", "could not add an address: out of memory");
		return;
	}
	target->peers = peers;
	target->want = *want;
	target->wanted = true;
	target->backoff_ms = BACKOFF_MIN_MS;
	uv_timer_init(peers->loop, &target->timer);
	target->timer.data = target;
	target->next = peers->targets;
	peers->targets = target;
	uv_timer_start(&target->timer, on_timer, 0, 0);
}

static struct target *
find_target(struct peers *peers, const struct peer_target *want)
{
	for (struct target *t = peers->targets; t != NULL; t = t->next) {
		if (t->wanted && strcmp(t->want.node, want->node) == 0 &&
		    strcmp(t->want.address, want->address) == 0)
			return t;
	}
	return NULL;
}

static bool
is_listed(const struct target *target, const struct peers *peers,
    const struct peer_target *targets, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(targets[i].node, target->want.node) == 0 &&
		    strcmp(targets[i].address, target->want.address) == 0 &&
		    !is_superfluous(peers, targets, count, i))
			return true;
	}
	return false;
}

void
peers_set_targets(struct peers *peers, const struct peer_target *targets,
    unsigned count)
{
	if (peers->stopped)
		return;
	for (struct target *t = peers->targets; t != NULL; t = t->next) {
		if (t->wanted && !is_listed(t, peers, targets, count)) {
			t->wanted = false;
			forget(t);
		}
	}
	for (unsigned i = 0; i < count; i++) {
		if (!is_superfluous(peers, targets, count, i) &&
		    find_target(peers, &targets[i]) == NULL)
			add_target(peers, &targets[i]);
	}
}

void
dial_stop(struct peers *peers)
{
	for (struct target *t = peers->targets; t != NULL; t = t->next) {
		if (t->wanted) {
			t->wanted = false;
			forget(t);
		}
	}
}
