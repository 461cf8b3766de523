/*
 * control_internal.h - one request, shared by control*.c.
 */
#ifndef FAILOVERD_CONTROL_INTERNAL_H
#define FAILOVERD_CONTROL_INTERNAL_H

#include <jansson.h>

#include "agent.h"

struct request {
	struct request *next;
	struct control *control;
	struct agent *agent;
	uv_pipe_t pipe;
	uv_shutdown_t shutdown;
	char *input;
	size_t input_len, input_size;
	bool dispatched, answered, closed, orphaned;
	int pending;			/* callbacks that still point here */
	char cmd[32];
	json_t *args;
	char last_progress[TEXT_MAX_LEN + 1];

	/* asked by another node for one of its clients */
	char remote_node[NAME_MAX_LEN + 1];
	uint32_t remote_id;
	/* forwarded to the coordinator */
	uint32_t forward_id;
	char forwarded_to[NAME_MAX_LEN + 1];
	monotime_t forwarded_at;
	/* looked at every turn until it answers */
	void (*waiting)(struct request *r);
	monotime_t waiting_since;
	uint32_t job_id;
};

/* ---- control.c ---- */
/* Text as JSON, whatever its encoding; the caller owns it. */
json_t	*control_text(const char *text);
void	request_progress(struct request *r, const char *text);
/* Answers and ends; data is taken over and may be NULL. */
void	request_result(struct request *r, int exit_status, const char *text,
	    const char *hint, json_t *data);
/* To the coordinator; -1 when there is none. */
int	request_forward(struct request *r);
bool	request_release(struct request *r);

/* ---- control_commands.c ---- */
void	control_dispatch(struct request *r, json_t *line);
void	control_forward_answered(struct request *r, json_t *line);
void	control_without_coordinator(struct request *r);

#endif
