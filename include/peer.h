/*
 * peer.h - links to the other agents: mutual TLS 1.3 over libuv.
 *
 * One link per pair of nodes.  Of two members the one with the smaller name
 * dials; a node that is no member yet dials the seed addresses.  When a
 * second link to the same node comes up the newer one wins (the older may be
 * half open).  A link counts as up only after the peer's HELLO frame: in TLS
 * 1.3 a client that the server is about to reject still sees a finished
 * handshake and a successful first write.
 *
 * The peer module carries frames and judges identities; it does not know
 * what is in a frame.  Queues are bounded: a link whose queue exceeds
 * PEER_QUEUE_MAX bytes is closed, which the sender learns as "not sent".
 * Names are resolved with uv_getaddrinfo, never in the loop.
 */
#ifndef FAILOVERD_PEER_H
#define FAILOVERD_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "limits.h"
#include "tls.h"

#define PEER_QUEUE_MAX	(4u * FRAME_MAX)
#define PEER_LEVEL	1u	/* highest level of formats we understand */

/* First frame in both directions, checked before anything else. */
struct peer_hello {
	char node[NAME_MAX_LEN + 1];	/* must be the certificate's name */
	char cluster[NAME_MAX_LEN + 1];
	uint8_t cluster_id[16];		/* zero = no member yet */
	uint64_t generation;
	uint32_t level;
	uint32_t member_id;		/* 0 = no member yet */
	uint64_t agent_start;		/* boottime ns: another start, another agent */
	char advertise[ADDRESS_MAX_LEN + 1];
	/*
	 * Not sent: set by the receiving side when the certificate's dates do
	 * not fit our clock.  Accept it for a pinned member only.
	 */
	bool expired;
	/* Was a member, and its state is gone or damaged: it takes no part
	 * until it has been given a new identity. */
	bool lost;
};

struct peers;

/*
 * All of them are called from the loop, never from inside a function below,
 * except that peers_stop() is the last word: nothing is called after it.
 * down follows every up exactly once, before an up of the same node.
 */
struct peer_callbacks {
	/*
	 * May this peer talk to us?  Called with the verified certificate's
	 * name and key hash and the hello, before the link is up.  Returns
	 * true, or false with the reason in errmsg (logged, and sent to the
	 * peer as its last frame, so that it can say why).
	 */
	bool (*accept)(void *arg, const struct peer_hello *hello,
	    const uint8_t key_hash[KEY_HASH_LEN], char *errmsg);
	void (*up)(void *arg, const struct peer_hello *hello);
	void (*down)(void *arg, const char *node, const char *reason);
	/* data is borrowed for the duration of the call */
	void (*frame)(void *arg, const char *node, uint8_t type,
	    const uint8_t *data, size_t len);
	/*
	 * That node, known by its certificate, would not have us.  May be
	 * NULL.
	 */
	void (*refused)(void *arg, const char *node, const char *reason);
};

/*
 * Binds `listen` ("host:port", "[::]:port"; a host name is resolved here and
 * may block).  hello is copied and may be replaced by peers_set_hello()
 * (links made before keep the old one).  ctx is shared: the caller may free
 * its own reference.  SIGPIPE is ignored from here on.  NULL with errmsg.
 */
struct peers *peers_start(uv_loop_t *loop, struct ssl_ctx_st *ctx,
	    const char *listen, const struct peer_hello *hello,
	    const struct peer_callbacks *callbacks, void *arg, char *errmsg);

void	peers_set_hello(struct peers *peers, const struct peer_hello *hello);

/* A renewed certificate: for new links; those that are up keep the old. */
void	peers_set_context(struct peers *peers, struct ssl_ctx_st *ctx);

/*
 * Whom to dial: the wanted set is replaced as a whole.  node may be "" for a
 * seed whose name is not known yet; node[0] != 0 requires that name in the
 * certificate.  Entries that stay keep their link.  An entry that goes only
 * stops dialling: a link that is up stays up until it breaks or peers_drop()
 * ends it.  The own name and a second entry for the same address are ignored.
 */
struct peer_target {
	char node[NAME_MAX_LEN + 1];
	char address[ADDRESS_MAX_LEN + 1];
};
void	peers_set_targets(struct peers *peers,
	    const struct peer_target *targets, unsigned count);

/*
 * Queues one frame of at most FRAME_MAX bytes; -1 when no link to that node is
 * up or its queue is full (then the link is closed and down follows).
 */
int	peers_send(struct peers *peers, const char *node, uint8_t type,
	    const void *data, size_t len);
bool	peers_is_up(const struct peers *peers, const char *node);
/* The peer is told the reason; down follows. */
void	peers_drop(struct peers *peers, const char *node, const char *reason);

/* Closes everything; the loop must run on until the handles are closed. */
void	peers_stop(struct peers *peers);
bool	peers_is_stopped(const struct peers *peers);
/* Only when peers_is_stopped(); NULL is legal. */
void	peers_free(struct peers *peers);

#endif
