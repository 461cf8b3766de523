/*
 * probe_port.c - does a PostgreSQL answer there?
 *
 * Decides it by one byte that only a server sends.  Must never take an open
 * port for an answer: the kernel accepts for a stopped postmaster, and a
 * router for a dead host.
 */
#include "probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char ssl_request[8] = { 0, 0, 0, 8, 4, (char)0xd2, 22, 47 };

/* A name may have addresses of both families; the server listens on one. */
#define ADDRESSES_MAX	4

struct port;

struct attempt {
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} socket;
	uv_connect_t connect;
	struct port *port;
	bool over;
	char byte[1];
};

struct port {
	uv_loop_t *loop;
	uv_timer_t timer;
	uv_getaddrinfo_t resolve;
	bool resolving;		/* its callback is still to come */
	bool told;
	unsigned handles;	/* not closed yet */
	unsigned count, refused;
	struct attempt attempts[ADDRESSES_MAX];
	probe_port_fn *done;
	void *arg;
};

static void
free_if_over(struct port *port)
{
	if (port->handles == 0 && !port->resolving)
		free(port);
}

static void
on_closed(uv_handle_t *handle)
{
	struct port *port = handle->data;

	port->handles--;
	free_if_over(port);
}

static void
on_attempt_closed(uv_handle_t *handle)
{
	struct attempt *attempt = handle->data;

	attempt->port->handles--;
	free_if_over(attempt->port);
}

static void
end_attempt(struct attempt *attempt)
{
	attempt->over = true;
	if (!uv_is_closing(&attempt->socket.handle))
		uv_close(&attempt->socket.handle, on_attempt_closed);
}

static void
tell(struct port *port, enum port_answer answer)
{
	unsigned i;

	if (port->told)
		return;
	port->told = true;
	uv_close((uv_handle_t *)&port->timer, on_closed);
	for (i = 0; i < port->count; i++)
		end_attempt(&port->attempts[i]);
	if (port->resolving)
		(void)uv_cancel((uv_req_t *)&port->resolve);
	port->done(port->arg, (int)answer);
}

static void
on_timer(uv_timer_t *timer)
{
	tell(timer->data, PORT_SILENT);
}

/*
 * One address has said no, or nothing more will come from it.  Silence of
 * any of them is silence, told at the deadline; a refusal by all is one.
 */
static void
fail_attempt(struct attempt *attempt, int error)
{
	struct port *port = attempt->port;

	if (attempt->over || port->told)
		return;
	end_attempt(attempt);
	switch (error) {
	case UV_ECONNREFUSED:
	case UV_ECONNRESET:
	case UV_EPIPE:
	case UV_ENOENT:
	case UV_EOF:
		port->refused++;
		break;
	default:
		break;
	}
	if (port->refused == port->count)
		tell(port, PORT_REFUSED);
}

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct attempt *attempt = handle->data;

	(void)suggested;
	*buf = uv_buf_init(attempt->byte, sizeof(attempt->byte));
}

static void
on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
	struct attempt *attempt = stream->data;
	char byte = attempt->byte[0];

	(void)buf;
	if (count < 0)
		fail_attempt(attempt, (int)count);
	/* Yes, no, or an error message of a server that cannot fork. */
	else if (count > 0 && (byte == 'S' || byte == 'N' || byte == 'E'))
		tell(attempt->port, PORT_ANSWERS);
	else if (count > 0)
		fail_attempt(attempt, UV_EPROTO);
}

static void
on_connect(uv_connect_t *request, int status)
{
	struct attempt *attempt = request->data;
	char bytes[sizeof(ssl_request)];
	uv_buf_t buf;
	int n;

	if (attempt->over)
		return;
	if (status != 0) {
		fail_attempt(attempt, status);
		return;
	}
	memcpy(bytes, ssl_request, sizeof(bytes));
	buf = uv_buf_init(bytes, sizeof(bytes));
	/* Eight bytes always fit at once: no copy has to outlive this. */
	n = uv_try_write(&attempt->socket.stream, &buf, 1);
	if (n == (int)sizeof(bytes))
		n = uv_read_start(&attempt->socket.stream, on_alloc, on_read);
	else if (n >= 0)
		n = UV_EPROTO;
	if (n < 0)
		fail_attempt(attempt, n);
}

static struct attempt *
new_attempt(struct port *port)
{
	struct attempt *attempt = &port->attempts[port->count++];

	attempt->port = port;
	attempt->connect.data = attempt;
	port->handles++;
	return attempt;
}

static void
on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
	struct port *port = request->data;
	const struct addrinfo *address;
	struct attempt *attempt;
	unsigned i;
	int error;

	port->resolving = false;
	if (port->told) {
		uv_freeaddrinfo(list);
		free_if_over(port);
		return;
	}
	/* All begin before any can end: count is complete by then. */
	for (address = list; status == 0 && address != NULL &&
	    port->count < ADDRESSES_MAX; address = address->ai_next) {
		attempt = new_attempt(port);
		uv_tcp_init(port->loop, &attempt->socket.tcp);
		attempt->socket.handle.data = attempt;
	}
	for (i = 0, address = list; i < port->count && !port->told;
	    i++, address = address->ai_next) {
		attempt = &port->attempts[i];
		error = uv_tcp_connect(&attempt->connect,
		    &attempt->socket.tcp, address->ai_addr, on_connect);
		if (error != 0)
			fail_attempt(attempt, error);
	}
	/* A name that cannot be resolved is known at the deadline, too: no
	 * sooner, or callers would ask in a circle. */
	uv_freeaddrinfo(list);
}

static int
start_resolving(struct port *port, const char *address)
{
	char host[ADDRESS_MAX_LEN + 1], service[16], errmsg[ERRMSG_MAX];
	struct addrinfo hints;

	if (conf_split_address(address, "5432", host, sizeof(host), service,
	    sizeof(service), errmsg) != 0)
		return -1;
	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	port->resolve.data = port;
	if (uv_getaddrinfo(port->loop, &port->resolve, on_resolved, host,
	    service, &hints) != 0)
		return -1;
	port->resolving = true;
	return 0;
}

int
probe_port(uv_loop_t *loop, const char *address, uint32_t timeout_ms,
    probe_port_fn *done, void *arg)
{
	struct port *port = calloc(1, sizeof(*port));
	struct attempt *attempt;

	if (port == NULL)
		return -1;
	port->loop = loop;
	port->done = done;
	port->arg = arg;
	if (address[0] != '/' && start_resolving(port, address) != 0) {
		free(port);
		return -1;
	}
	uv_timer_init(loop, &port->timer);
	port->timer.data = port;
	port->handles++;
	uv_timer_start(&port->timer, on_timer, timeout_ms, 0);
	if (address[0] == '/') {
		attempt = new_attempt(port);
		uv_pipe_init(loop, &attempt->socket.pipe, 0);
		attempt->socket.handle.data = attempt;
		uv_pipe_connect(&attempt->connect, &attempt->socket.pipe,
		    address, on_connect);
	}
	return 0;
}
