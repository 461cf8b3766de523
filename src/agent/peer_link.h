/*
 * peer_link.h - one link: frames over TLS 1.3 over a TCP handle of the loop.
 *
 * Between peer.c, which decides who is on the other end and what that means,
 * and peer_link.c, which moves bytes and keeps deadlines.  Nobody else
 * includes this.
 */
#ifndef FAILOVERD_PEER_LINK_H
#define FAILOVERD_PEER_LINK_H

#include <openssl/ssl.h>

#include "peer.h"

#define LINK_HEAD	5	/* u32 length, u8 type */
#define LINK_FIRST_MAX	2048	/* payload before the link is up */
#define LINK_ADDRESS	80	/* "[IPv6%scope]:port" */

enum link_state {
	LINK_CONNECTING,	/* TCP */
	LINK_HANDSHAKE,		/* TLS */
	LINK_SECURE,		/* certificate verified, no HELLO yet */
	LINK_UP,
	LINK_LINGER,		/* last words on their way */
	LINK_CLOSED		/* handles closing */
};

struct link;
struct target;

/* Called from the loop only, never from inside a function below. */
struct link_callbacks {
	/* TLS is done: the certificate is the CA's and the key its owner's */
	void (*secure)(struct link *link);
	/* data is borrowed */
	void (*frame)(struct link *link, uint8_t type, const uint8_t *data,
	    size_t len);
	/* once, last: link->reason says why; the memory goes afterwards */
	void (*closed)(struct link *link);
};

struct link {
	/* peer_link.c */
	uv_tcp_t tcp;
	uv_timer_t timer;
	uv_connect_t connecting;
	uv_shutdown_t ending;
	unsigned open_handles;
	const struct link_callbacks *callbacks;
	enum link_state state;
	bool dialled;		/* by us */
	bool connected;		/* TCP came up */
	bool heard;		/* the other side sent something */
	SSL *ssl;
	BIO *in, *out;
	size_t queued;		/* bytes that wait for the socket */
	uint8_t head[LINK_HEAD];
	size_t head_len;
	uint8_t *data;
	size_t data_size, data_len, data_want;
	char address[LINK_ADDRESS];	/* of the other side */
	char reason[ERRMSG_MAX];	/* why it ended */

	/* peer.c */
	struct link *next, *prev;
	struct peers *peers;
	struct target *target;	/* whose dial this is, or NULL */
	char node[NAME_MAX_LEN + 1];	/* by certificate, "" before */
	uint8_t key_hash[KEY_HASH_LEN];
	struct peer_hello hello;	/* of the other side */
	uint64_t up_at;		/* uv_now() */
	bool was_up;
	bool down_told;
	bool logged;		/* its end needs no further line */
};

/* A link with its handles open but not connected.  NULL: out of memory. */
struct link *link_new(uv_loop_t *loop, SSL_CTX *ctx,
	    const struct link_callbacks *callbacks);

/* One of the two begins its life.  -1: closed; `closed` follows. */
int	link_accept(struct link *link, uv_stream_t *listener);
int	link_dial(struct link *link, const struct sockaddr *address);

/* -1: not sent; the link is closed if it was open. */
int	link_send(struct link *link, uint8_t type, const void *data,
	    size_t len);

/* The HELLO has been accepted: no deadline any more, long frames allowed. */
void	link_set_up(struct link *link);

/* What has been sent goes out, what arrives is thrown away, then close. */
void	link_linger(struct link *link, const char *reason);

/* At once.  A second call keeps the first reason. */
void	link_close(struct link *link, const char *reason);

#endif
