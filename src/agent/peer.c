/*
 * peer.c - links to the other agents: who is it, and may it talk.
 *
 * Owns the set of links, the rules of identity and the choice between two
 * links to one node.  It must never pass a frame of a peer that has not been
 * accepted, never answer a stranger with more than a TLS alert, and never
 * look into a frame that is not its own (HELLO, REFUSED).
 *
 * The side that was called keeps its HELLO until it has accepted the
 * caller's: in TLS 1.3 a caller believes in a handshake that the other side
 * is about to refuse.
 */
#include "peer_internal.h"

#include <netdb.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "log.h"
#include "wire.h"

#define HELLO_SIZE	1024	/* more than any hello or refusal needs */
#define COLLISION_MS	2000	/* two links this close called each other */
#define LINES_MAX	60	/* refusals logged in a minute, of all peers */
#define BACKLOG		128

static const struct link_callbacks link_callbacks;

struct link *
peers_find_up(const struct peers *peers, const char *node)
{
	for (struct link *link = peers->links; link != NULL; link = link->next) {
		if (link->state == LINK_UP && strcmp(link->node, node) == 0)
			return link;
	}
	return NULL;
}

static uint64_t
hash_text(uint64_t hash, const char *text)
{
	for (; *text != '\0'; text++)
		hash = (hash ^ (uint8_t)*text) * 1099511628211u;
	return (hash ^ 0xff) * 1099511628211u;
}

bool
peers_may_say(struct peers *peers, const char *who, const char *text,
    uint64_t interval_ms)
{
	uint64_t now = uv_now(peers->loop), oldest = UINT64_MAX;
	uint64_t hash = hash_text(hash_text(14695981039346656037u, who), text);
	size_t at = 0;

	for (size_t i = 0; i < SAID_MAX; i++) {
		if (peers->said[i].hash == hash) {
			if (now - peers->said[i].at < interval_ms)
				return false;
			at = i;
			break;
		}
		if (peers->said[i].at < oldest) {
			oldest = peers->said[i].at;
			at = i;
		}
	}
	if (now / SAY_MINUTE_MS != peers->minute) {
		peers->minute = now / SAY_MINUTE_MS;
		peers->minute_lines = 0;
	}
	if (++peers->minute_lines > LINES_MAX)
		return false;
	peers->said[at].hash = hash;
	peers->said[at].at = now;
	return true;
}

/* The other side as a DBA would name it. */
static void
who_is(const struct link *link, char *text, size_t size)
{
	if (link->node[0] != '\0')
		snprintf(text, size, "%s (%s)", link->node, link->address);
	else if (link->target != NULL && link->target->want.node[0] != '\0')
		snprintf(text, size, "%s at %s (%s)", link->target->want.node,
		    link->target->want.address, link->address);
	else if (link->target != NULL)
		snprintf(text, size, "%s (%s)", link->target->want.address,
		    link->address);
	else
		snprintf(text, size, "%s", link->address);
}

/* Name or host: the port of a caller changes with every call. */
static void
key_of(const struct link *link, char *key, size_t size)
{
	char *colon;

	snprintf(key, size, "%s", link->node[0] != '\0' ? link->node :
	    link->address);
	colon = strrchr(key, ':');
	if (colon != NULL && !link->dialled)
		*colon = '\0';
}

static void
say_refused(struct link *link, const char *verb, const char *reason)
{
	char who[ADDRESS_MAX_LEN + LINK_ADDRESS + NAME_MAX_LEN + 16];
	char key[ADDRESS_MAX_LEN + 1];

	link->logged = true;
	who_is(link, who, sizeof(who));
	key_of(link, key, sizeof(key));
	if (peers_may_say(link->peers, key, reason, SAY_MINUTE_MS))
		log_warning("peer", "%s %s: %s", verb, who, reason);
	else
		log_debug("peer", "%s %s: %s", verb, who, reason);
}

/* With the reason as last frame, which is all that this peer ever gets. */
static void
refuse(struct link *link, const char *reason)
{
	uint8_t memory[HELLO_SIZE];
	struct buf buf;

	say_refused(link, "refused the link with", reason);
	buf_init(&buf, memory, sizeof(memory));
	wire_put_refused(&buf, reason);
	if (!buf.failed && link_send(link, FRAME_REFUSED, buf.data,
	    buf.len) == 0)
		link_linger(link, reason);
	else
		link_close(link, reason);
}

static int
send_hello(struct link *link)
{
	uint8_t memory[HELLO_SIZE];
	struct buf buf;

	buf_init(&buf, memory, sizeof(memory));
	wire_put_hello(&buf, &link->peers->hello);
	if (buf.failed) {
		link_close(link, "our own hello is too long");
		return -1;
	}
	return link_send(link, FRAME_HELLO, buf.data, buf.len);
}

static void
tell_down(struct link *link)
{
	if (!link->was_up || link->down_told)
		return;
	link->down_told = true;
	if (link->peers->stopped)
		return;
	log_info("peer", "link to %s is down: %s", link->node, link->reason);
	link->peers->callbacks.down(link->peers->arg, link->node,
	    link->reason);
}

/*
 * Not: port scans and health checks, which say nothing; a node that called
 * itself; the second of two links.
 */
static bool
is_worth_a_line(const struct link *link)
{
	return !link->was_up && !link->logged && link->heard &&
	    strcmp(link->node, link->peers->hello.node) != 0 &&
	    (link->node[0] == '\0' ||
	    peers_find_up(link->peers, link->node) == NULL);
}

static void
on_closed(struct link *link)
{
	struct peers *peers = link->peers;

	tell_down(link);
	if (link->prev != NULL)
		link->prev->next = link->next;
	else
		peers->links = link->next;
	if (link->next != NULL)
		link->next->prev = link->prev;
	if (peers->stopped)
		return;
	if (is_worth_a_line(link))
		say_refused(link, "could not set up the link with",
		    link->reason);
	dial_link_closed(link);
	if (link->was_up)
		dial_wake(link);
}

/* TLS is done.  The caller speaks first; the called one waits. */
static void
on_secure(struct link *link)
{
	const struct target *target = link->target;
	char errmsg[ERRMSG_MAX];

	if (tls_peer_identity(link->ssl, link->node, link->key_hash,
	    errmsg) != 0) {
		refuse(link, errmsg);
		return;
	}
	if (!link->dialled)
		return;
	if (target == NULL) {
		link_close(link, "its address is no longer wanted");
		return;
	}
	if (target->want.node[0] != '\0' &&
	    strcmp(target->want.node, link->node) != 0) {
		snprintf(errmsg, sizeof(errmsg), "node \"%s\" was expected at "
		    "%s, but the certificate there is that of \"%s\"",
		    target->want.node, target->want.address, link->node);
		refuse(link, errmsg);
		return;
	}
	(void)send_hello(link);
}

static bool
is_zero(const uint8_t id[16])
{
	static const uint8_t zero[16];

	return memcmp(id, zero, sizeof(zero)) == 0;
}

/* Rules about the cluster, once the name is sure.  -1 with the reason. */
static int
judge_cluster(const struct peer_hello *own, const struct peer_hello *hello,
    char *errmsg)
{
	if (strcmp(hello->cluster, own->cluster) != 0) {
		snprintf(errmsg, ERRMSG_MAX, "node \"%s\" belongs to cluster "
		    "\"%s\", node \"%s\" to cluster \"%s\"", hello->node,
		    hello->cluster, own->node, own->cluster);
		return -1;
	}
	if (is_zero(hello->cluster_id) || is_zero(own->cluster_id))
		return 0;
	if (memcmp(hello->cluster_id, own->cluster_id, 16) != 0) {
		snprintf(errmsg, ERRMSG_MAX, "node \"%s\" belongs to another "
		    "cluster that is also named \"%s\"", hello->node,
		    hello->cluster);
		return -1;
	}
	if (hello->generation != own->generation) {
		snprintf(errmsg, ERRMSG_MAX, "node \"%s\" is of generation "
		    "%llu of this cluster, node \"%s\" of generation %llu; "
		    "after \"failoverctl force-quorum\" the members of the "
		    "older generation must be removed and cloned again",
		    hello->node, (unsigned long long)hello->generation,
		    own->node, (unsigned long long)own->generation);
		return -1;
	}
	return 0;
}

static int
judge(const struct link *link, const struct peer_hello *hello, char *errmsg)
{
	const struct peer_hello *own = &link->peers->hello;
	char host[ADDRESS_MAX_LEN + 1], port[8];

	if (!conf_is_name(hello->node) || !conf_is_name(hello->cluster)) {
		snprintf(errmsg, ERRMSG_MAX, "its hello has no valid names");
		return -1;
	}
	if (strcmp(hello->node, link->node) != 0) {
		snprintf(errmsg, ERRMSG_MAX, "it calls itself \"%s\", but its "
		    "certificate is that of \"%s\"", hello->node, link->node);
		return -1;
	}
	if (strcmp(hello->node, own->node) == 0) {
		snprintf(errmsg, ERRMSG_MAX, "another agent already runs as "
		    "node \"%s\" (%s); was this host copied?", own->node,
		    own->advertise);
		return -1;
	}
	if (hello->advertise[0] != '\0' && conf_split_address(hello->advertise,
	    "7432", host, sizeof(host), port, sizeof(port), errmsg) != 0)
		return -1;
	return judge_cluster(own, hello, errmsg);
}

/*
 * Newer wins, because the older may be half open and nobody can tell.  Only
 * when both nodes have just called each other is the older one surely alive;
 * then both sides must keep the same one: that which the smaller name called.
 */
static bool
keeps_older(const struct link *older, const struct link *newer)
{
	const struct peers *peers = newer->peers;
	bool we_are_smaller = strcmp(peers->hello.node, newer->node) < 0;

	return older->dialled != newer->dialled &&
	    older->hello.agent_start == newer->hello.agent_start &&
	    uv_now(peers->loop) - older->up_at < COLLISION_MS &&
	    older->dialled == we_are_smaller;
}

static void
raise_link(struct link *link)
{
	struct peers *peers = link->peers;
	struct link *older = peers_find_up(peers, link->node);

	if (older != NULL && keeps_older(older, link)) {
		link->logged = true;
		link_close(link, "both nodes called; the other link stays");
		return;
	}
	if (!link->dialled && send_hello(link) != 0)
		return;
	if (older != NULL)
		link_close(older, "replaced by a newer link");
	for (older = peers->links; older != NULL; older = older->next) {
		if (older != link && strcmp(older->node, link->node) == 0)
			tell_down(older);
	}
	if (link->state != LINK_SECURE)
		return;		/* a down callback ended it */
	link->was_up = true;
	link->up_at = uv_now(peers->loop);
	link_set_up(link);
	dial_link_up(link);
	log_info("peer", "link to %s is up (%s %s)", link->node,
	    link->dialled ? "to" : "from", link->address);
	peers->callbacks.up(peers->arg, &link->hello);
}

static void
on_hello(struct link *link, const uint8_t *data, size_t len)
{
	struct peers *peers = link->peers;
	char errmsg[ERRMSG_MAX] = "";
	struct reader reader;

	reader_init(&reader, data, len);
	if (wire_get_hello(&reader, &link->hello) != 0) {
		refuse(link, "its hello is not one; do both nodes run a "
		    "supported version of failoverd?");
		return;
	}
	link->hello.expired = tls_peer_expired(link->ssl);
	if (!link->dialled && strcmp(link->node, peers->hello.node) == 0 &&
	    link->hello.agent_start == peers->hello.agent_start) {
		/* Our own address among the seeds: no news to anybody. */
		link->logged = true;
		link_close(link, "this is our own address");
		return;
	}
	if (judge(link, &link->hello, errmsg) != 0) {
		refuse(link, errmsg);
		return;
	}
	if (!peers->callbacks.accept(peers->arg, &link->hello,
	    link->key_hash, errmsg)) {
		refuse(link, errmsg[0] != '\0' ? errmsg : "not accepted");
		return;
	}
	if (link->state != LINK_SECURE)
		return;		/* stopped by the callback */
	if (link->hello.expired && peers_may_say(peers, link->node, "expired",
	    10 * SAY_MINUTE_MS))
		log_warning("peer", "the certificate of %s has expired or is "
		    "not yet valid by the clock of this host; the link is "
		    "kept because its key is known; run \"failoverctl check\"",
		    link->node);
	raise_link(link);
}

static void
on_refused(struct link *link, const uint8_t *data, size_t len)
{
	char reason[ERRMSG_MAX], text[ERRMSG_MAX + 32];
	struct reader reader;

	reader_init(&reader, data, len);
	if (wire_get_refused(&reader, reason) != 0)
		snprintf(reason, sizeof(reason), "no reason given");
	say_refused(link, "this node is refused by", reason);
	if (link->node[0] != '\0' &&
	    link->peers->callbacks.refused != NULL)
		link->peers->callbacks.refused(link->peers->arg, link->node,
		    reason);
	snprintf(text, sizeof(text), "it refuses this node: %s", reason);
	link_close(link, text);
}

static void
on_frame(struct link *link, uint8_t type, const uint8_t *data, size_t len)
{
	struct peers *peers = link->peers;

	if (type == FRAME_REFUSED)
		on_refused(link, data, len);
	else if (link->state == LINK_SECURE && type == FRAME_HELLO)
		on_hello(link, data, len);
	else if (link->state == LINK_SECURE)
		refuse(link, "its first frame is not a hello");
	else if (type == FRAME_HELLO)
		link_close(link, "it sent a second hello");
	else
		peers->callbacks.frame(peers->arg, link->node, type, data,
		    len);
}

static const struct link_callbacks link_callbacks = {
	.secure = on_secure,
	.frame = on_frame,
	.closed = on_closed,
};

struct link *
peers_link_new(struct peers *peers)
{
	struct link *link = link_new(peers->loop, peers->ctx, &link_callbacks);

	if (link == NULL) {
		ERR_clear_error();
		return NULL;
	}
	link->peers = peers;
	link->next = peers->links;
	if (link->next != NULL)
		link->next->prev = link;
	peers->links = link;
	return link;
}

/* A flood of callers costs the callers, not the memory of this host. */
static void
bound_pending(struct peers *peers)
{
	struct link *oldest = NULL;
	unsigned count = 0;

	for (struct link *link = peers->links; link != NULL; link = link->next) {
		if (link->dialled || link->state == LINK_UP ||
		    link->state == LINK_CLOSED)
			continue;
		count++;
		oldest = link;
	}
	if (count > PENDING_MAX)
		link_close(oldest, "too many connections wait to introduce "
		    "themselves");
}

static void
on_connection(uv_stream_t *listener, int status)
{
	struct peers *peers = listener->data;
	struct link *link;

	if (peers->stopped)
		return;
	if (status < 0) {
		if (peers_may_say(peers, "listen", uv_strerror(status),
		    SAY_MINUTE_MS))
			log_error("peer", "could not accept a connection: %s",
			    uv_strerror(status));
		return;
	}
	link = peers_link_new(peers);
	if (link == NULL) {
		log_error("peer", "could not accept a connection: out of "
		    "memory");
		return;
	}
	if (link_accept(link, listener) == 0)
		bound_pending(peers);
}

/*
 * Start and stop
 */

static void
on_listener_closed(uv_handle_t *handle)
{
	struct peers *peers = handle->data;

	peers->open_listeners--;
}

static int
listen_on(struct peers *peers, const struct addrinfo *address)
{
	uv_tcp_t *tcp = &peers->listeners[peers->listener_count];
	int rc;

	rc = uv_tcp_init(peers->loop, tcp);
	if (rc != 0)
		return rc;
	tcp->data = peers;
	peers->listener_count++;
	peers->open_listeners++;
	rc = uv_tcp_bind(tcp, address->ai_addr, 0);
	if (rc == 0)
		rc = uv_listen((uv_stream_t *)tcp, BACKLOG, on_connection);
	return rc;
}

static int
start_listening(struct peers *peers, const char *where, char *errmsg)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV }, *list, *address;
	char host[ADDRESS_MAX_LEN + 1], port[8];
	int rc;

	if (conf_split_address(where, "7432", host, sizeof(host), port,
	    sizeof(port), errmsg) != 0)
		return -1;
	rc = getaddrinfo(host, port, &hints, &list);
	if (rc != 0) {
		snprintf(errmsg, ERRMSG_MAX, "could not resolve \"%s\" to "
		    "listen on: %s", host, gai_strerror(rc));
		return -1;
	}
	for (address = list; address != NULL && rc == 0 &&
	    peers->listener_count < LISTENERS_MAX; address = address->ai_next)
		rc = listen_on(peers, address);
	freeaddrinfo(list);
	if (rc != 0) {
		snprintf(errmsg, ERRMSG_MAX, "could not listen on \"%s\": %s",
		    where, uv_strerror(rc));
		return -1;
	}
	return 0;
}

struct peers *
peers_start(uv_loop_t *loop, SSL_CTX *ctx, const char *listen,
    const struct peer_hello *hello, const struct peer_callbacks *callbacks,
    void *arg, char *errmsg)
{
	struct peers *peers = calloc(1, sizeof(*peers));

	if (peers == NULL) {
		snprintf(errmsg, ERRMSG_MAX, "out of memory");
		return NULL;
	}
	/* A write to a peer that has gone must be an error, not the end. */
	signal(SIGPIPE, SIG_IGN);
	peers->loop = loop;
	SSL_CTX_up_ref(ctx);
	peers->ctx = ctx;
	peers->hello = *hello;
	peers->callbacks = *callbacks;
	peers->arg = arg;
	if (start_listening(peers, listen, errmsg) == 0)
		return peers;
	/* The loop is not running yet: let it close what was opened. */
	peers_stop(peers);
	while (!peers_is_stopped(peers))
		uv_run(loop, UV_RUN_NOWAIT);
	peers_free(peers);
	return NULL;
}

void
peers_set_hello(struct peers *peers, const struct peer_hello *hello)
{
	peers->hello = *hello;
}

void
peers_set_context(struct peers *peers, SSL_CTX *ctx)
{
	SSL_CTX_up_ref(ctx);
	SSL_CTX_free(peers->ctx);
	peers->ctx = ctx;
}

int
peers_send(struct peers *peers, const char *node, uint8_t type,
    const void *data, size_t len)
{
	struct link *link = peers_find_up(peers, node);

	return link == NULL ? -1 : link_send(link, type, data, len);
}

bool
peers_is_up(const struct peers *peers, const char *node)
{
	return peers_find_up(peers, node) != NULL;
}

void
peers_drop(struct peers *peers, const char *node, const char *reason)
{
	struct link *link = peers_find_up(peers, node);

	if (link != NULL)
		refuse(link, reason);
}

void
peers_stop(struct peers *peers)
{
	if (peers->stopped)
		return;
	peers->stopped = true;
	for (unsigned i = 0; i < peers->listener_count; i++)
		uv_close((uv_handle_t *)&peers->listeners[i],
		    on_listener_closed);
	for (struct link *link = peers->links; link != NULL; link = link->next)
		link_close(link, "this agent stops");
	dial_stop(peers);
}

bool
peers_is_stopped(const struct peers *peers)
{
	return peers->stopped && peers->open_listeners == 0 &&
	    peers->links == NULL && peers->targets == NULL;
}

void
peers_free(struct peers *peers)
{
	if (peers == NULL)
		return;
	SSL_CTX_free(peers->ctx);
	free(peers);
}
