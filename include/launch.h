/*
 * launch.h - starting an agent where no service manager does it.
 *
 * On a systemd host failoverd.path starts the agent as soon as failoverd.conf
 * exists; elsewhere (containers, the sandbox) `failoverctl init` and
 * `failover-provision --target` start it themselves through this.
 */
#ifndef FAILOVERD_LAUNCH_H
#define FAILOVERD_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>

#include "conf.h"

/*
 * True when systemd runs here and manages failoverd: /run/systemd/system
 * exists and failoverd.path or failoverd.service is installed.
 */
bool	launch_is_service_managed(void);

/*
 * The absolute path of one of our programs: beside the running one, else in
 * the directories of the installation.  -1 with errmsg when it is in none.
 */
int	launch_find_program(const char *name, char *path, size_t size,
	    char *errmsg);

/*
 * Starts `failoverd -c conf->file`, found beside the calling program or in
 * the install directory, as a daemon of its own session (double fork, stdin
 * /dev/null, stdout and stderr appended to STATE_DIR/failoverd.log).  Waits
 * until RUN_DIR/control.sock accepts or the agent has ended, at most
 * timeout_ms.  0, or -1 with errmsg, which carries the agent's last line.
 */
int	launch_agent(const struct conf *conf, int timeout_ms, char *errmsg);

/* Waits for RUN_DIR/control.sock to accept; -1 with errmsg after timeout. */
int	launch_wait_socket(const struct conf *conf, int timeout_ms,
	    char *errmsg);

#endif
