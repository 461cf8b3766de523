/*
 * client.c - one request to an agent over its control socket.
 *
 * Owns what it means when no answer comes: before the request was sent
 * nothing has happened; afterwards a change may have happened, and then it
 * must never say "failed", only "unknown".
 */
#include "client.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "interrupt.h"
#include "text.h"

#define CONNECT_MS	5000	/* for a socket with a full backlog */
#define QUIET_MS	10000
#define ANSWER_TEXT_MAX	2048

enum wait_result { WAIT_READY, WAIT_TIMEOUT, WAIT_INTERRUPTED };

struct conversation {
	const struct client_request *request;
	struct answer *answer;
	int fd;
	bool sent;
	int64_t begin_ms, deadline_ms;	/* deadline 0 = none */
	int64_t heard_ms;
	char *line;			/* CONTROL_LINE_MAX + 1 bytes */
	size_t len, scanned;
};

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
answer_set(struct answer *answer, int exit, const char *hint,
    const char *format, ...)
{
	char text[ANSWER_TEXT_MAX], clean[ANSWER_TEXT_MAX] = "";
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	text_clean(text);
	if (hint != NULL)
		snprintf(clean, sizeof(clean), "%s", hint);
	text_clean(clean);
	json_decref(answer->object);
	answer->exit = exit;
	answer->signal = 0;
	answer->object = json_pack("{s:i, s:s, s:s?, s:n}", "exit", exit,
	    "text", text, "hint", hint != NULL ? clean : NULL, "data");
}

void
answer_clear(struct answer *answer)
{
	json_decref(answer->object);
	memset(answer, 0, sizeof(*answer));
}

const char *
answer_text(const struct answer *answer)
{
	const char *text = json_string_value(json_object_get(answer->object,
	    "text"));

	return text != NULL ? text : "";
}

const char *
answer_hint(const struct answer *answer)
{
	const char *hint = json_string_value(json_object_get(answer->object,
	    "hint"));

	return hint != NULL && hint[0] != '\0' ? hint : NULL;
}

json_t *
answer_data(const struct answer *answer)
{
	json_t *data = json_object_get(answer->object, "data");

	return json_is_object(data) ? data : NULL;
}

/* What it means that no answer came, for whatever reason. */
static void
give_up(struct conversation *conv, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void
give_up(struct conversation *conv, const char *format, ...)
{
	const struct client_request *request = conv->request;
	char reason[512], hint[128];
	va_list ap;

	va_start(ap, format);
	vsnprintf(reason, sizeof(reason), format, ap);
	va_end(ap);
	if (!request->changes || !conv->sent) {
		answer_set(conv->answer, EXIT_CANNOT_TELL, NULL, "%s",
		    reason);
		return;
	}
	snprintf(hint, sizeof(hint), "Run \"failoverctl %s\" to see what "
	    "became of it.", request->look != NULL ? request->look :
	    "status");
	answer_set(conv->answer, EXIT_BEGUN_FAILED, hint, "%s; the outcome "
	    "of \"%s\" is unknown, the agent may go on with it", reason,
	    request->cmd);
}

static void
give_up_interrupted(struct conversation *conv)
{
	if (conv->request->changes && conv->sent) {
		give_up(conv, "interrupted");
		return;
	}
	answer_set(conv->answer, ANSWER_INTERRUPTED, NULL,
	    "interrupted, nothing was changed");
	conv->answer->signal = interrupt_signal();
}

static void
give_up_timeout(struct conversation *conv)
{
	give_up(conv, "no answer from the agent within %lld s",
	    (long long)(conv->request->timeout_ms / 1000));
}

/* Waits for the socket, minding the deadline, ^C and the operator. */
static enum wait_result
wait_for(struct conversation *conv, short events)
{
	const struct client_request *request = conv->request;
	int64_t now, until;
	int ready;

	for (;;) {
		now = now_ms();
		if (interrupt_signal() != 0)
			return WAIT_INTERRUPTED;
		if (conv->deadline_ms != 0 && now >= conv->deadline_ms)
			return WAIT_TIMEOUT;
		if (now - conv->heard_ms >= QUIET_MS) {
			conv->heard_ms = now;
			if (request->quiet != NULL)
				request->quiet(request->context,
				    (unsigned)((now - conv->begin_ms) /
				    1000));
		}
		until = conv->heard_ms + QUIET_MS;
		if (conv->deadline_ms != 0 && conv->deadline_ms < until)
			until = conv->deadline_ms;
		ready = interrupt_poll(conv->fd, events, until - now);
		if (ready == 1)
			return WAIT_READY;
	}
}

/* -1 with errno; ENAMETOOLONG for a path that no socket can have. */
static int
socket_connect(int fd, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	return connect(fd, (struct sockaddr *)&address, sizeof(address));
}

static int
open_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0);
}

static void
explain_connect(struct conversation *conv, int error)
{
	const char *path = conv->request->socket;

	switch (error) {
	case EACCES:
	case EPERM:
		answer_set(conv->answer, EXIT_NOT_PERMITTED,
		    "Run failoverctl as root, as the user of the agent "
		    "(\"sudo -u postgres failoverctl ...\") or as a member "
		    "of control_group.",
		    "not permitted to connect to \"%s\"", path);
		break;
	case ENOENT:
	case ECONNREFUSED:
		answer_set(conv->answer, EXIT_CANNOT_TELL,
		    "Start failoverd (\"systemctl start failoverd\"), or "
		    "see in its log why it ended (\"journalctl -u "
		    "failoverd\").",
		    "no agent is listening on \"%s\"", path);
		break;
	default:
		answer_set(conv->answer, EXIT_CANNOT_TELL, NULL,
		    "could not connect to \"%s\": %s", path,
		    strerror(error));
	}
}

static int
connect_agent(struct conversation *conv)
{
	int64_t limit = conv->begin_ms + CONNECT_MS;

	/* A ^C that came while nobody waited. */
	if (interrupt_poll(-1, 0, 0) == -1 && interrupt_signal() != 0) {
		give_up_interrupted(conv);
		return -1;
	}
	conv->fd = open_socket();
	if (conv->fd == -1) {
		answer_set(conv->answer, EXIT_CANNOT_TELL, NULL,
		    "could not create a socket: %s", strerror(errno));
		return -1;
	}
	if (conv->deadline_ms != 0 && conv->deadline_ms < limit)
		limit = conv->deadline_ms;
	while (socket_connect(conv->fd, conv->request->socket) == -1) {
		/* EAGAIN: more are waiting than the agent's backlog holds. */
		if (errno != EAGAIN && errno != EINTR) {
			explain_connect(conv, errno);
			return -1;
		}
		if (now_ms() >= limit) {
			give_up(conv, "the agent does not accept "
			    "connections on \"%s\"", conv->request->socket);
			return -1;
		}
		if (interrupt_poll(-1, 0, 50) == -1 &&
		    interrupt_signal() != 0) {
			give_up_interrupted(conv);
			return -1;
		}
	}
	return 0;
}

/* 0, also when the agent hung up: it may have said why before. */
static int
send_request(struct conversation *conv)
{
	const struct client_request *request = conv->request;
	json_t *object = json_pack("{s:i, s:s, s:O}", "v", CONTROL_VERSION,
	    "cmd", request->cmd, "args", request->args);
	char *text = object != NULL ? json_dumps(object, JSON_COMPACT) :
	    NULL;
	size_t len, done = 0;
	ssize_t n;
	int rc = -1;

	json_decref(object);
	if (text == NULL || strlen(text) >= CONTROL_LINE_MAX) {
		answer_set(conv->answer, EXIT_USAGE_ERROR, NULL,
		    text == NULL ? "an argument is not UTF-8" :
		    "the arguments are too long");
		goto out;
	}
	len = strlen(text);
	text[len++] = '\n';	/* in the place of the NUL */
	while (done < len) {
		n = send(conv->fd, text + done, len - done, MSG_NOSIGNAL);
		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		if (n == -1 && errno != EAGAIN && errno != EINTR)
			break;
		switch (wait_for(conv, POLLOUT)) {
		case WAIT_READY:
			continue;
		case WAIT_TIMEOUT:
			give_up_timeout(conv);
			goto out;
		case WAIT_INTERRUPTED:
			give_up_interrupted(conv);
			goto out;
		}
	}
	conv->sent = done == len;
	rc = 0;
out:
	free(text);
	return rc;
}

static bool
is_known_exit(json_int_t value)
{
	switch (value) {
	case EXIT_DONE:
	case EXIT_DEGRADED:
	case EXIT_NO_PRIMARY:
	case EXIT_REFUSED:
	case EXIT_BEGUN_FAILED:
	case EXIT_CANNOT_TELL:
	case EXIT_USAGE_ERROR:
	case EXIT_NOT_PERMITTED:
	case EXIT_BAD_CONFIG:
		return true;
	default:
		return false;
	}
}

static void
take_result(struct conversation *conv, json_t *line)
{
	json_t *status = json_object_get(line, "exit");
	json_t *text = json_object_get(line, "text");
	json_t *hint = json_object_get(line, "hint");
	json_t *data = json_object_get(line, "data");

	if (!json_is_integer(status) ||
	    !is_known_exit(json_integer_value(status))) {
		give_up(conv, "the agent's result has no exit status that "
		    "this failoverctl knows");
		return;
	}
	answer_clear(conv->answer);
	conv->answer->exit = (int)json_integer_value(status);
	conv->answer->object = json_pack("{s:O, s:O?, s:O?, s:O?}",
	    "exit", status, "text", text, "hint", hint, "data", data);
	/* Four keys, always: null stands for what was not said. */
	if (text == NULL)
		json_object_set_new(conv->answer->object, "text",
		    json_string(""));
	if (hint == NULL)
		json_object_set_new(conv->answer->object, "hint",
		    json_null());
	if (data == NULL)
		json_object_set_new(conv->answer->object, "data",
		    json_null());
}

/* True when the conversation is over. */
static bool
take_line(struct conversation *conv, const char *text, size_t len)
{
	const struct client_request *request = conv->request;
	json_error_t error;
	json_t *line = json_loadb(text, len, 0, &error);
	const char *type = json_string_value(json_object_get(line, "type"));
	const char *progress;
	bool over = false;

	if (type == NULL) {
		give_up(conv, "the agent's answer is not understood%s%s",
		    line == NULL ? ": " : "", line == NULL ? error.text : "");
		over = true;
	} else if (strcmp(type, "result") == 0) {
		take_result(conv, line);
		over = true;
	} else if (strcmp(type, "progress") == 0) {
		progress = json_string_value(json_object_get(line, "text"));
		if (progress != NULL && request->progress != NULL)
			request->progress(request->context, progress);
	}
	/* Other types are a newer agent's; a result follows them. */
	json_decref(line);
	return over;
}

/* Takes every whole line out of the buffer; true when it is over. */
static bool
take_lines(struct conversation *conv)
{
	char *end;
	size_t used;

	while ((end = memchr(conv->line + conv->scanned, '\n',
	    conv->len - conv->scanned)) != NULL) {
		used = (size_t)(end - conv->line) + 1;
		if (take_line(conv, conv->line, used - 1))
			return true;
		memmove(conv->line, conv->line + used, conv->len - used);
		conv->len -= used;
		conv->scanned = 0;
	}
	conv->scanned = conv->len;
	if (conv->len < CONTROL_LINE_MAX)
		return false;
	give_up(conv, "the agent's answer has a line of more than %d bytes",
	    CONTROL_LINE_MAX);
	return true;
}

static void
receive_answer(struct conversation *conv)
{
	ssize_t n;

	for (;;) {
		n = recv(conv->fd, conv->line + conv->len,
		    CONTROL_LINE_MAX - conv->len, 0);
		if (n > 0) {
			conv->heard_ms = now_ms();
			conv->len += (size_t)n;
			if (take_lines(conv))
				return;
			continue;
		}
		if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			give_up(conv, "the agent closed the connection "
			    "without a result");
			return;
		}
		switch (wait_for(conv, POLLIN)) {
		case WAIT_READY:
			break;
		case WAIT_TIMEOUT:
			give_up_timeout(conv);
			return;
		case WAIT_INTERRUPTED:
			give_up_interrupted(conv);
			return;
		}
	}
}

int
client_call(const struct client_request *request, struct answer *answer)
{
	struct client_request whole = *request;
	struct conversation conv = { .request = &whole, .answer = answer,
		.fd = -1 };
	json_t *empty = json_object();

	memset(answer, 0, sizeof(*answer));
	if (whole.args == NULL)
		whole.args = empty;
	conv.begin_ms = conv.heard_ms = now_ms();
	if (request->timeout_ms > 0)
		conv.deadline_ms = conv.begin_ms + request->timeout_ms;
	conv.line = malloc(CONTROL_LINE_MAX + 1);
	if (conv.line == NULL) {
		answer_set(answer, EXIT_CANNOT_TELL, NULL, "out of memory");
		goto out;
	}
	interrupt_begin();
	if (connect_agent(&conv) == 0 && send_request(&conv) == 0)
		receive_answer(&conv);
	interrupt_end();
out:
	if (conv.fd != -1)
		close(conv.fd);
	free(conv.line);
	json_decref(empty);
	return answer->exit;
}

long
client_agent_pid(const char *socket_path)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	long pid = -1;
	int fd = open_socket();

	if (fd == -1)
		return -1;
	if (socket_connect(fd, socket_path) == 0 && getsockopt(fd,
	    SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		pid = peer.pid;
	close(fd);
	return pid;
}
