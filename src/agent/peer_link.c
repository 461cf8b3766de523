/*
 * peer_link.c - one link: frames over TLS 1.3 over a TCP handle of the loop.
 *
 * Owns the bytes, the bounds and the deadlines of one connection.  It must
 * never block, never hold more than PEER_QUEUE_MAX for a peer that does not
 * read, and never hand up a byte before the other side's certificate has
 * been verified.  Who that is and whether it may talk is peer.c's business.
 *
 * Every end goes through link_close(); its callback comes from the loop, so
 * that a sender is never called back from inside its own send.
 */
#include "peer_link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CONNECT_MS	2000	/* for one address */
#define HANDSHAKE_MS	5000	/* from connected to HELLO */
#define LINGER_MS	1000
#define KEEPALIVE_S	5
#define USER_TIMEOUT_MS	10000	/* unacknowledged data ends the link */
#define CHUNK		16384	/* one TLS record's worth */
#define KEEP_DATA	4096	/* a larger frame buffer is given back */

#define TLS_ALERT	0x15	/* first bytes of what can be TLS */
#define TLS_HANDSHAKE	0x16

struct write {
	uv_write_t request;
	struct link *link;
	size_t len;
	char data[];
};

static void
on_handle_closed(uv_handle_t *handle)
{
	struct link *link = handle->data;

	if (--link->open_handles > 0)
		return;
	link->callbacks->closed(link);
	SSL_free(link->ssl);
	free(link->data);
	free(link);
}

void
link_close(struct link *link, const char *reason)
{
	if (link->state == LINK_CLOSED)
		return;
	if (link->reason[0] == '\0')
		snprintf(link->reason, sizeof(link->reason), "%s", reason);
	link->state = LINK_CLOSED;
	uv_close((uv_handle_t *)&link->tcp, on_handle_closed);
	uv_close((uv_handle_t *)&link->timer, on_handle_closed);
}

struct link *
link_new(uv_loop_t *loop, SSL_CTX *ctx, const struct link_callbacks *callbacks)
{
	struct link *link = calloc(1, sizeof(*link));

	if (link == NULL)
		return NULL;
	link->ssl = SSL_new(ctx);
	link->in = BIO_new(BIO_s_mem());
	link->out = BIO_new(BIO_s_mem());
	if (link->ssl == NULL || link->in == NULL || link->out == NULL ||
	    uv_tcp_init(loop, &link->tcp) != 0) {
		BIO_free(link->in);
		BIO_free(link->out);
		SSL_free(link->ssl);
		free(link);
		return NULL;
	}
	SSL_set_bio(link->ssl, link->in, link->out);
	uv_timer_init(loop, &link->timer);
	link->tcp.data = link->timer.data = link;
	link->open_handles = 2;
	link->callbacks = callbacks;
	link->state = LINK_CONNECTING;
	return link;
}

static void
on_deadline(uv_timer_t *timer)
{
	struct link *link = timer->data;

	if (link->state == LINK_CONNECTING)
		link_close(link, "no answer to the connection attempt");
	else
		link_close(link, "it did not introduce itself in time");
}

static void
on_written(uv_write_t *request, int status)
{
	struct write *write = request->data;
	struct link *link = write->link;

	link->queued -= write->len;
	free(write);
	if (status < 0)
		link_close(link, uv_strerror(status));
}

/* What the socket does not take at once waits in a copy, and is counted. */
static void
write_bytes(struct link *link, const char *bytes, size_t len)
{
	uv_stream_t *stream = (uv_stream_t *)&link->tcp;
	struct write *write;
	uv_buf_t buf;
	int rc = 0;

	if (link->queued == 0) {
		/* uv_buf_t is not const; it is only read here. */
		buf.base = (char *)(uintptr_t)bytes;
		buf.len = len;
		rc = uv_try_write(stream, &buf, 1);
		if (rc < 0 && rc != UV_EAGAIN) {
			link_close(link, uv_strerror(rc));
			return;
		}
	}
	if (rc > 0) {
		bytes += rc;
		len -= (size_t)rc;
	}
	if (len == 0)
		return;
	write = malloc(sizeof(*write) + len);
	if (write == NULL) {
		link_close(link, "out of memory");
		return;
	}
	write->link = link;
	write->len = len;
	write->request.data = write;
	memcpy(write->data, bytes, len);
	buf = uv_buf_init(write->data, (unsigned)len);
	rc = uv_write(&write->request, stream, &buf, 1, on_written);
	if (rc != 0) {
		free(write);
		link_close(link, uv_strerror(rc));
		return;
	}
	link->queued += len;
}

static void
flush(struct link *link)
{
	char chunk[CHUNK];
	int n;

	while (link->state != LINK_CLOSED &&
	    (n = BIO_read(link->out, chunk, sizeof(chunk))) > 0)
		write_bytes(link, chunk, (size_t)n);
}

int
link_send(struct link *link, uint8_t type, const void *data, size_t len)
{
	const uint8_t *next = data;
	uint8_t chunk[CHUNK];
	size_t fill = LINK_HEAD, part;

	if ((link->state != LINK_SECURE && link->state != LINK_UP) ||
	    len > FRAME_MAX)
		return -1;
	if (link->queued + len > PEER_QUEUE_MAX) {
		link_close(link, "it does not read what we send");
		return -1;
	}
	chunk[0] = (uint8_t)((len + 1) >> 24);
	chunk[1] = (uint8_t)((len + 1) >> 16);
	chunk[2] = (uint8_t)((len + 1) >> 8);
	chunk[3] = (uint8_t)(len + 1);
	chunk[4] = type;
	do {
		part = len < sizeof(chunk) - fill ? len : sizeof(chunk) - fill;
		if (part > 0)
			memcpy(chunk + fill, next, part);
		ERR_clear_error();
		if (SSL_write(link->ssl, chunk, (int)(fill + part)) <= 0) {
			ERR_clear_error();
			link_close(link, "could not encrypt a frame");
			return -1;
		}
		flush(link);
		if (link->state == LINK_CLOSED)
			return -1;
		next += part;
		len -= part;
		fill = 0;
	} while (len > 0);
	return 0;
}

void
link_set_up(struct link *link)
{
	uv_timer_stop(&link->timer);
	link->state = LINK_UP;
}

static void
on_shutdown(uv_shutdown_t *request, int status)
{
	(void)request;
	(void)status;
}

/*
 * A close with bytes unread would make the kernel send a reset, and a reset
 * can overtake the last words.  So the other side closes first, or time does.
 */
void
link_linger(struct link *link, const char *reason)
{
	if (link->state == LINK_LINGER || link->state == LINK_CLOSED)
		return;
	snprintf(link->reason, sizeof(link->reason), "%s", reason);
	if (link->state == LINK_SECURE || link->state == LINK_UP) {
		SSL_shutdown(link->ssl);
		ERR_clear_error();
	}
	flush(link);
	if (link->state == LINK_CLOSED)
		return;
	link->state = LINK_LINGER;
	if (uv_shutdown(&link->ending, (uv_stream_t *)&link->tcp,
	    on_shutdown) != 0 ||
	    uv_timer_start(&link->timer, on_deadline, LINGER_MS, 0) != 0)
		link_close(link, reason);
}

/* A negative answer of SSL_read and its kind: nothing yet, or the end. */
static void
tls_stopped(struct link *link, int rc)
{
	int error = SSL_get_error(link->ssl, rc);
	char errmsg[ERRMSG_MAX];

	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return;
	if (error == SSL_ERROR_ZERO_RETURN) {
		link_close(link, "it closed the connection");
		return;
	}
	tls_explain(link->ssl, errmsg);
	/* No goodbye after a fatal error; the alert is what we have to say. */
	if (link->state != LINK_CLOSED)
		link->state = LINK_HANDSHAKE;
	link_linger(link, errmsg);
}

/* The head is complete: make room for what it announces. */
static void
begin_data(struct link *link)
{
	uint32_t len = (uint32_t)link->head[0] << 24 |
	    (uint32_t)link->head[1] << 16 | (uint32_t)link->head[2] << 8 |
	    link->head[3];
	uint32_t max = link->state == LINK_UP ? FRAME_MAX : LINK_FIRST_MAX;
	char text[128];

	if (len == 0 || len - 1 > max) {
		snprintf(text, sizeof(text), "it sent a frame of %u bytes; "
		    "the limit is %u", len, max);
		link_close(link, text);
		return;
	}
	link->data_want = len - 1;
	link->data_len = 0;
	if (link->data_want <= link->data_size)
		return;
	free(link->data);
	link->data_size = link->data_want < 256 ? 256 : link->data_want;
	link->data = malloc(link->data_size);
	if (link->data == NULL) {
		link->data_size = 0;
		link_close(link, "out of memory");
	}
}

static void
deliver(struct link *link)
{
	link->head_len = 0;
	link->callbacks->frame(link, link->head[4], link->data,
	    link->data_want);
	if (link->data_size > KEEP_DATA) {
		free(link->data);
		link->data = NULL;
		link->data_size = 0;
	}
}

/* One step of reading; false when there is nothing more to take. */
static bool
read_step(struct link *link)
{
	bool head = link->head_len < LINK_HEAD;
	int n;

	ERR_clear_error();
	if (head)
		n = SSL_read(link->ssl, link->head + link->head_len,
		    (int)(LINK_HEAD - link->head_len));
	else
		n = SSL_read(link->ssl, link->data + link->data_len,
		    (int)(link->data_want - link->data_len));
	if (n <= 0) {
		tls_stopped(link, n);
		return false;
	}
	if (head) {
		link->head_len += (size_t)n;
		if (link->head_len < LINK_HEAD)
			return true;
		begin_data(link);
	} else {
		link->data_len += (size_t)n;
	}
	if (link->state != LINK_CLOSED && link->data_len == link->data_want)
		deliver(link);
	return true;
}

static void
pump(struct link *link)
{
	int rc;

	if (link->state == LINK_HANDSHAKE) {
		ERR_clear_error();
		rc = SSL_do_handshake(link->ssl);
		if (rc != 1) {
			if (SSL_get_error(link->ssl, rc) ==
			    SSL_ERROR_WANT_READ)
				flush(link);
			else
				tls_stopped(link, rc);
			return;
		}
		link->state = LINK_SECURE;
		flush(link);
		if (link->state == LINK_SECURE)
			link->callbacks->secure(link);
	}
	while ((link->state == LINK_SECURE || link->state == LINK_UP) &&
	    read_step(link))
		continue;
	if (link->state != LINK_CLOSED)
		flush(link);
}

/* One buffer for all links: what is read is consumed before the next read. */
static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	static char bytes[CHUNK];

	(void)handle;
	(void)suggested;
	*buf = uv_buf_init(bytes, sizeof(bytes));
}

static void
on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct link *link = stream->data;
	uint8_t first;

	if (link->state == LINK_CLOSED || n == 0)
		return;
	if (n < 0) {
		link_close(link, n == UV_EOF ? "it closed the connection" :
		    uv_strerror((int)n));
		return;
	}
	if (link->state == LINK_LINGER)
		return;
	if (!link->heard) {
		/* Strangers who do not speak TLS get no byte at all. */
		first = (uint8_t)buf->base[0];
		link->heard = true;
		if (first != TLS_HANDSHAKE &&
		    !(link->dialled && first == TLS_ALERT)) {
			link_close(link, "what it sent is not TLS; is this "
			    "the port of another program?");
			return;
		}
	}
	if (BIO_write(link->in, buf->base, (int)n) != (int)n) {
		link_close(link, "out of memory");
		return;
	}
	pump(link);
}

static void
set_options(struct link *link)
{
	unsigned timeout_ms = USER_TIMEOUT_MS;
	uv_os_fd_t fd;

	(void)uv_tcp_nodelay(&link->tcp, 1);
	(void)uv_tcp_keepalive(&link->tcp, 1, KEEPALIVE_S);
	if (uv_fileno((uv_handle_t *)&link->tcp, &fd) == 0)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
		    &timeout_ms, sizeof(timeout_ms));
}

static void
set_address(struct link *link, const struct sockaddr *address)
{
	char host[LINK_ADDRESS - 16] = "?";
	unsigned port = 0;

	(void)uv_ip_name(address, host, sizeof(host));
	if (address->sa_family == AF_INET6)
		port = ntohs(((const struct sockaddr_in6 *)
		    (const void *)address)->sin6_port);
	else if (address->sa_family == AF_INET)
		port = ntohs(((const struct sockaddr_in *)
		    (const void *)address)->sin_port);
	snprintf(link->address, sizeof(link->address),
	    strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, port);
}

static int
begin(struct link *link)
{
	int rc;

	link->connected = true;
	link->state = LINK_HANDSHAKE;
	set_options(link);
	rc = uv_timer_start(&link->timer, on_deadline, HANDSHAKE_MS, 0);
	if (rc == 0)
		rc = uv_read_start((uv_stream_t *)&link->tcp, on_alloc,
		    on_read);
	if (rc != 0) {
		link_close(link, uv_strerror(rc));
		return -1;
	}
	return 0;
}

int
link_accept(struct link *link, uv_stream_t *listener)
{
	struct sockaddr_storage address;
	int len = sizeof(address), rc;

	rc = uv_accept(listener, (uv_stream_t *)&link->tcp);
	if (rc != 0) {
		link_close(link, uv_strerror(rc));
		return -1;
	}
	if (uv_tcp_getpeername(&link->tcp, (struct sockaddr *)&address,
	    &len) == 0)
		set_address(link, (struct sockaddr *)&address);
	SSL_set_accept_state(link->ssl);
	return begin(link);
}

static void
on_connected(uv_connect_t *request, int status)
{
	struct link *link = request->data;

	if (link->state == LINK_CLOSED)
		return;
	if (status != 0) {
		link_close(link, uv_strerror(status));
		return;
	}
	SSL_set_connect_state(link->ssl);
	if (begin(link) == 0)
		pump(link);
}

int
link_dial(struct link *link, const struct sockaddr *address)
{
	int rc;

	link->dialled = true;
	set_address(link, address);
	link->connecting.data = link;
	rc = uv_tcp_connect(&link->connecting, &link->tcp, address,
	    on_connected);
	if (rc == 0)
		rc = uv_timer_start(&link->timer, on_deadline, CONNECT_MS, 0);
	if (rc != 0) {
		link_close(link, uv_strerror(rc));
		return -1;
	}
	return 0;
}
