/*
 * target.h - failover-provision --target, the half on the new host.
 *
 * Worker to target, one object per line, the agent's first line (see
 * provision.h) with another op:
 *
 *   check     findings, then {"type":"checked","fails":N,"resumed":bool,
 *             "touched":bool,"advertise","pg_advertise","data_dir"}
 *   request   {"type":"request","csr":PEM}
 *   install   + "cert":PEM; {"type":"installed"}
 *   start     {"type":"started","pid":N}
 *   undo      {"type":"undone","text","left":[...]}
 *
 * or {"type":"error","text","hint"}.  Every op can be repeated.  The first
 * line, unasked: {"type":"hello","program":"failover-provision","protocol":1,
 * "version","forced":bool}; forced says that the forced command is in force.
 */
#ifndef FAILOVERD_PROVISION_TARGET_H
#define FAILOVERD_PROVISION_TARGET_H

#define TARGET_PROTOCOL		1
#define TARGET_START_MS		30000	/* for the agent to accept */
#define TARGET_STOP_MS		60000	/* for the agent to end */

/* Serves stdin until it closes.  The exit status of the program. */
int	target_run(void);

#endif
