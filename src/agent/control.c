/*
 * control.c - the control socket: sessions, permission, forwarding.
 *
 * What a command does is in control_commands.c.  Jobs are watched in the
 * replicated state of this node, so that a change of coordinator loses no
 * answer.
 */
#include "control_server.h"

#include <grp.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "control.h"
#include "control_internal.h"
#include "log.h"

#define FORWARD_DEADLINE_MS	5000

struct control {
	struct agent *agent;
	uv_pipe_t server;
	char path[CONF_PATH_MAX + 32];
	uint32_t next_id;
	struct request *requests;
};

/* ---- answering ---- */

struct line_write {
	uv_write_t req;
	char *text;
};

static void
line_written(uv_write_t *req, int status)
{
	struct line_write *w = (struct line_write *)req;

	(void)status;
	free(w->text);
	free(w);
}

static void
write_pipe(struct request *r, const char *text)
{
	struct line_write *w = malloc(sizeof(*w));
	size_t len = strlen(text);
	uv_buf_t buf;

	if (w == NULL || (w->text = malloc(len + 1)) == NULL) {
		free(w);
		return;
	}
	memcpy(w->text, text, len);
	w->text[len] = '\n';
	buf = uv_buf_init(w->text, (unsigned)(len + 1));
	if (uv_write(&w->req, (uv_stream_t *)&r->pipe, &buf, 1,
	    line_written) != 0) {
		free(w->text);
		free(w);
	}
}

static void
write_frame(struct request *r, const char *text, bool last)
{
	uint8_t *memory = malloc(FRAME_MAX);
	struct buf buf;

	if (memory == NULL)
		return;
	buf_init(&buf, memory, FRAME_MAX - 16);
	buf_put_u32(&buf, r->remote_id);
	buf_put_u8(&buf, last);
	buf_put_blob(&buf, text, strlen(text));
	if (!buf.failed && r->control->agent->peers != NULL)
		(void)peers_send(r->control->agent->peers, r->remote_node,
		    FRAME_CONTROL_REPLY, buf.data, buf.len);
	free(memory);
}

static void
write_line(struct request *r, json_t *line, bool last)
{
	char *text = json_dumps(line, JSON_COMPACT);

	json_decref(line);
	if (text == NULL)
		return;
	if (r->remote_node[0] != '\0')
		write_frame(r, text, last);
	else if (!r->closed)
		write_pipe(r, text);
	free(text);
}

static void
request_unlink(struct request *r)
{
	struct request **p;

	for (p = &r->control->requests; *p != NULL; p = &(*p)->next)
		if (*p == r) {
			*p = r->next;
			break;
		}
}

static void
request_free(struct request *r)
{
	request_unlink(r);
	json_decref(r->args);
	free(r->input);
	free(r);
}

static void
pipe_closed(uv_handle_t *handle)
{
	struct request *r = handle->data;

	r->closed = true;
	/* A proposal under way still points here. */
	if (r->pending == 0)
		request_free(r);
	else
		r->orphaned = true;
}

static void
pipe_shut(uv_shutdown_t *req, int status)
{
	struct request *r = req->data;

	(void)status;
	if (!uv_is_closing((uv_handle_t *)&r->pipe))
		uv_close((uv_handle_t *)&r->pipe, pipe_closed);
}

static void
request_end(struct request *r)
{
	r->answered = true;
	if (r->remote_node[0] != '\0') {
		if (r->pending == 0)
			request_free(r);
		else
			r->orphaned = true;
		return;
	}
	if (r->closed || uv_is_closing((uv_handle_t *)&r->pipe))
		return;
	r->shutdown.data = r;
	if (uv_shutdown(&r->shutdown, (uv_stream_t *)&r->pipe,
	    pipe_shut) != 0)
		uv_close((uv_handle_t *)&r->pipe, pipe_closed);
}

/*
 * A text that is no UTF-8, because a server writes another encoding or a
 * letter was cut in two, would be no JSON, and the client without an answer.
 */
json_t *
control_text(const char *text)
{
	json_t *string = json_string(text);
	char *plain, *at;

	if (string != NULL)
		return string;
	plain = strdup(text);
	for (at = plain; at != NULL && *at != '\0'; at++)
		if ((unsigned char)*at >= 0x80)
			*at = '?';
	string = json_string(plain != NULL ? plain : "");
	free(plain);
	return string;
}

void
request_progress(struct request *r, const char *text)
{
	if (strcmp(r->last_progress, text) == 0 || text[0] == '\0')
		return;
	snprintf(r->last_progress, sizeof(r->last_progress), "%s", text);
	write_line(r, json_pack("{s:s,s:o}", "type", "progress", "text",
	    control_text(text)), false);
}

void
request_result(struct request *r, int exit_status, const char *text,
    const char *hint, json_t *data)
{
	json_t *line;

	if (r->answered) {
		json_decref(data);
		return;
	}
	line = json_pack("{s:s,s:i,s:o}", "type", "result", "exit",
	    exit_status, "text", control_text(text));
	if (hint != NULL && hint[0] != '\0')
		json_object_set_new(line, "hint", control_text(hint));
	if (data != NULL)
		json_object_set_new(line, "data", data);
	write_line(r, line, true);
	request_end(r);
}

/* A callback that held the request is over; true: nothing is left of it. */
bool
request_release(struct request *r)
{
	r->pending--;
	if (r->pending > 0 || !r->orphaned)
		return false;
	request_free(r);
	return true;
}

/* ---- forwarding ---- */

int
request_forward(struct request *r)
{
	struct agent *agent = r->control->agent;
	uint32_t coordinator = agent_coordinator(agent);
	uint8_t *memory;
	struct buf buf;
	json_t *line;
	char *text;
	int sent = -1;

	if (coordinator == 0 || coordinator == agent_self(agent) ||
	    r->remote_node[0] != '\0')
		return -1;
	line = json_pack("{s:i,s:s,s:O}", "v", CONTROL_VERSION, "cmd", r->cmd,
	    "args", r->args);
	text = json_dumps(line, JSON_COMPACT);
	json_decref(line);
	memory = malloc(FRAME_MAX);
	if (text != NULL && memory != NULL) {
		r->forward_id = ++r->control->next_id;
		buf_init(&buf, memory, FRAME_MAX - 16);
		buf_put_u32(&buf, r->forward_id);
		buf_put_blob(&buf, text, strlen(text));
		if (!buf.failed)
			sent = agent_send(agent, coordinator, FRAME_CONTROL,
			    buf.data, buf.len);
	}
	free(memory);
	free(text);
	if (sent != 0)
		return -1;
	snprintf(r->forwarded_to, sizeof(r->forwarded_to), "%s",
	    agent_member_name(agent, coordinator));
	r->forwarded_at = agent->now;
	return 0;
}

/* The coordinator did not answer: what this node knows, or "cannot tell". */
static void
forward_failed(struct request *r)
{
	r->forward_id = 0;
	control_without_coordinator(r);
}

static void
take_reply(struct control *control, const char *node, const uint8_t *data,
    size_t len)
{
	struct reader reader;
	const uint8_t *text;
	struct request *r;
	size_t text_len;
	uint32_t id;
	json_t *line;
	bool last;

	reader_init(&reader, data, len);
	id = reader_get_u32(&reader);
	last = reader_get_u8(&reader) != 0;
	text = reader_get_blob(&reader, &text_len);
	if (!reader_is_done(&reader))
		return;
	for (r = control->requests; r != NULL; r = r->next)
		if (r->forward_id == id &&
		    strcmp(r->forwarded_to, node) == 0)
			break;
	if (r == NULL)
		return;
	line = json_loadb((const char *)text, text_len, 0, NULL);
	if (line == NULL)
		return;
	if (!last) {
		json_decref(line);
		return;
	}
	r->forward_id = 0;
	control_forward_answered(r, line);
	json_decref(line);
}

static void
take_request(struct control *control, const char *node, const uint8_t *data,
    size_t len)
{
	struct reader reader;
	const uint8_t *text;
	struct request *r;
	size_t text_len;
	uint32_t id;
	json_t *line;

	reader_init(&reader, data, len);
	id = reader_get_u32(&reader);
	text = reader_get_blob(&reader, &text_len);
	if (!reader_is_done(&reader))
		return;
	line = json_loadb((const char *)text, text_len, 0, NULL);
	r = calloc(1, sizeof(*r));
	if (r == NULL || line == NULL) {
		json_decref(line);
		free(r);
		return;
	}
	r->control = control;
	r->agent = control->agent;
	r->remote_id = id;
	r->closed = true;
	snprintf(r->remote_node, sizeof(r->remote_node), "%s", node);
	r->next = control->requests;
	control->requests = r;
	control_dispatch(r, line);
	json_decref(line);
}

void
control_frame(struct control *control, const char *node, uint8_t type,
    const uint8_t *data, size_t len)
{
	if (type == FRAME_CONTROL)
		take_request(control, node, data, len);
	else
		take_reply(control, node, data, len);
}

void
control_link_down(struct control *control, const char *node)
{
	struct request *r, *next;

	if (control == NULL)
		return;
	for (r = control->requests; r != NULL; r = next) {
		next = r->next;
		if (r->forward_id != 0 && strcmp(r->forwarded_to, node) == 0)
			forward_failed(r);
	}
}

void
control_turn(struct control *control)
{
	struct request *r, *next;

	for (r = control->requests; r != NULL; r = next) {
		next = r->next;
		if (r->answered)
			continue;
		if (r->forward_id != 0 && monotime_diff_ms(
		    control->agent->now, r->forwarded_at) >
		    FORWARD_DEADLINE_MS)
			forward_failed(r);
		else if (r->waiting != NULL)
			r->waiting(r);
	}
}

/* ---- the socket ---- */

static bool
is_permitted(struct agent *agent, uv_pipe_t *pipe)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	struct group *group;
	uv_os_fd_t fd;

	if (uv_fileno((uv_handle_t *)pipe, &fd) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		return false;
	if (peer.uid == 0 || peer.uid == geteuid())
		return true;
	if (agent->conf.control_group[0] == '\0')
		return false;
	group = getgrnam(agent->conf.control_group);
	return group != NULL && peer.gid == group->gr_gid;
}

static void
take_line(struct request *r, const char *text, size_t len)
{
	json_t *line = json_loadb(text, len, 0, NULL);

	if (line == NULL || !json_is_object(line))
		request_result(r, EXIT_USAGE_ERROR,
		    "the request is not one JSON object", NULL, NULL);
	else
		control_dispatch(r, line);
	json_decref(line);
}

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct request *r = handle->data;
	size_t room = r->input_size - r->input_len;
	char *bigger;

	(void)suggested;
	if (room < 4096 && r->input_size < CONTROL_LINE_MAX) {
		bigger = realloc(r->input, r->input_size + 16384);
		if (bigger != NULL) {
			r->input = bigger;
			r->input_size += 16384;
			room += 16384;
		}
	}
	*buf = uv_buf_init(r->input + r->input_len, (unsigned)room);
}

static void
on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
	struct request *r = stream->data;
	char *end;

	(void)buf;
	if (got < 0) {
		/* Nobody listens any more; what was begun goes on. */
		r->waiting = NULL;
		if (!uv_is_closing((uv_handle_t *)stream))
			uv_close((uv_handle_t *)stream, pipe_closed);
		return;
	}
	r->input_len += (size_t)got;
	end = memchr(r->input, '\n', r->input_len);
	if (end == NULL || r->dispatched)
		return;
	r->dispatched = true;
	r->agent->now = monotime_now();
	take_line(r, r->input, (size_t)(end - r->input));
}

static void
on_connection(uv_stream_t *server, int status)
{
	struct control *control = server->data;
	struct request *r;

	if (status != 0)
		return;
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return;
	r->control = control;
	r->agent = control->agent;
	uv_pipe_init(control->agent->loop, &r->pipe, 0);
	r->pipe.data = r;
	r->next = control->requests;
	control->requests = r;
	if (uv_accept(server, (uv_stream_t *)&r->pipe) != 0) {
		uv_close((uv_handle_t *)&r->pipe, pipe_closed);
		return;
	}
	if (!is_permitted(control->agent, &r->pipe)) {
		request_result(r, EXIT_NOT_PERMITTED, "only root, the agent's "
		    "own user and control_group may use failoverctl here",
		    NULL, NULL);
		return;
	}
	uv_read_start((uv_stream_t *)&r->pipe, on_alloc, on_read);
}

struct control *
control_start(struct agent *agent, char *errmsg)
{
	struct control *control = calloc(1, sizeof(*control));
	int rc;

	if (control == NULL)
		return NULL;
	control->agent = agent;
	snprintf(control->path, sizeof(control->path), "%s/control.sock",
	    agent->conf.run_dir);
	/* The lock of the state directory says that no other agent lives. */
	unlink(control->path);
	uv_pipe_init(agent->loop, &control->server, 0);
	control->server.data = control;
	rc = uv_pipe_bind(&control->server, control->path);
	if (rc == 0)
		rc = uv_listen((uv_stream_t *)&control->server, 16,
		    on_connection);
	if (rc == 0 && chmod(control->path, agent->conf.control_group[0] !=
	    '\0' ? 0666 : 0600) != 0)
		rc = -1;
	if (rc != 0) {
		snprintf(errmsg, ERRMSG_MAX, "could not listen on \"%s\": %s",
		    control->path, uv_strerror(rc));
		return NULL;
	}
	return control;
}

void
control_stop(struct control *control)
{
	if (control != NULL)
		unlink(control->path);
}
