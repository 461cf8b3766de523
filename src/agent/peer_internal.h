/*
 * peer_internal.h - what peer.c (who is it) and peer_dial.c (whom to call)
 * share.  Nobody else includes this.
 */
#ifndef FAILOVERD_PEER_INTERNAL_H
#define FAILOVERD_PEER_INTERNAL_H

#include "peer_link.h"

#define LISTENERS_MAX	4
#define PENDING_MAX	64	/* accepted connections that are not up */
#define SAID_MAX	64	/* lines remembered, not to repeat them */
#define SAY_MINUTE_MS	60000u

/* One address to call, and where we are with it. */
struct target {
	struct target *next;
	struct peers *peers;
	struct peer_target want;
	char learned[NAME_MAX_LEN + 1];	/* who answered there last */
	bool wanted;		/* false: goes as soon as nothing is open */
	bool is_self;		/* our own certificate answered */
	bool is_resolving;
	bool timer_closed;
	unsigned backoff_ms;
	uv_timer_t timer;
	uv_getaddrinfo_t resolving;
	struct addrinfo *addresses, *next_address;
	struct link *link;	/* its own dial, in progress or up */
};

struct peers {
	uv_loop_t *loop;
	SSL_CTX *ctx;
	struct peer_hello hello;
	struct peer_callbacks callbacks;
	void *arg;
	uv_tcp_t listeners[LISTENERS_MAX];
	unsigned listener_count;
	unsigned open_listeners;
	struct link *links;	/* newest first */
	struct target *targets;
	bool stopped;
	struct {
		uint64_t hash;
		uint64_t at;	/* uv_now() */
	} said[SAID_MAX];
	uint64_t minute;	/* the one that minute_lines counts */
	unsigned minute_lines;
};

/* peer.c */
struct link *peers_link_new(struct peers *peers);
struct link *peers_find_up(const struct peers *peers, const char *node);
/* May this be logged, or was it said within the last interval? */
bool	peers_may_say(struct peers *peers, const char *who, const char *text,
	    uint64_t interval_ms);

/* peer_dial.c */
void	dial_link_up(struct link *link);
void	dial_link_closed(struct link *link);
/* A link that was up has ended: whoever did not call because of it may. */
void	dial_wake(const struct link *link);
void	dial_stop(struct peers *peers);

#endif
