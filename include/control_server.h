/*
 * control_server.h - the agent's side of control.h.
 *
 * Answers what this node can, forwards the rest to the coordinator over the
 * peer link and streams the answer back.
 */
#ifndef FAILOVERD_CONTROL_SERVER_H
#define FAILOVERD_CONTROL_SERVER_H

#include <stddef.h>
#include <stdint.h>

struct agent;
struct control;

/* Listens on RUN_DIR/control.sock; NULL with errmsg. */
struct control *control_start(struct agent *agent, char *errmsg);
void	control_stop(struct control *control);

/* FRAME_CONTROL and FRAME_CONTROL_REPLY of that node. */
void	control_frame(struct control *control, const char *node,
	    uint8_t type, const uint8_t *data, size_t len);
/* Requests forwarded there get no answer any more. */
void	control_link_down(struct control *control, const char *node);
/* Something happened: waiting requests look again. */
void	control_turn(struct control *control);

#endif
