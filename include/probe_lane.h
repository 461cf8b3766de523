/*
 * probe_lane.h - what probe.c and probe_command.c share: one queue of
 * commands and the session they run on.
 */
#ifndef FAILOVERD_PROBE_LANE_H
#define FAILOVERD_PROBE_LANE_H

#include "probe.h"
#include "probe_session.h"

struct command;

struct lane {
	struct probe *probe;
	struct session session;
	uv_timer_t timer;		/* deadline, or the next turn */
	struct command *head, *tail;	/* queued */
	struct command *running;
	bool timeout_is_set;		/* SET has been answered for it */
	bool warm_up;			/* open it without a command */
	uint32_t server_timeout_ms;	/* in force in the session; 0 = other */
	const struct session_kind *kind;
};

void	lane_init(struct lane *lane, struct probe *probe, uv_loop_t *loop,
	    enum probe_lane which);
/* Runs what can be run now; the server's socket may have become known. */
void	lane_kick(struct lane *lane);
/* Every command's callback gets error; the session is closed. */
void	lane_fail_all(struct lane *lane, const char *error);
/* Forgets every command without a callback; closed calls when the timer is. */
void	lane_close(struct lane *lane, uv_close_cb closed);

/* Of probe.c, for lanes. */
struct lane *probe_lane(struct probe *probe, enum probe_lane which);
bool	probe_is_running(const struct probe *probe);
/* True, and the session's opening has begun; false: the socket is not known
 * yet and is being looked for, lane_kick() follows. */
bool	probe_open_session(struct probe *probe, struct session *session,
	    const struct session_kind *kind);
void	probe_note_answer(struct probe *probe);

#endif
