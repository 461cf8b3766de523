/*
 * cgroup.h - the postmaster's own cgroup v2, where one was delegated to us.
 *
 * The unit delegates its subtree; the agent and its guard stand in agent/,
 * each run of PostgreSQL in pg/GUARDPID/ beside it.  There cgroup.kill ends
 * every process at once.  Without delegation there is none, and the guard
 * does without: nothing is a fence because of a cgroup alone.
 */
#ifndef FAILOVERD_CGROUP_H
#define FAILOVERD_CGROUP_H

#include <stdbool.h>

#include "guard.h"

struct cgroup {
	char path[GUARD_PATH_MAX];	/* "" = none */
	int procs_fd;			/* -1 = none, all three */
	int kill_fd;
	int events_fd;
};

/* Makes it if this process stands in .../agent of a delegated subtree. */
void	cgroup_make(struct cgroup *cgroup);

/* In the child, before exec: moves the calling process.  0 or -1. */
int	cgroup_join(const struct cgroup *cgroup);

/* Whether any process is in it.  false if there is no cgroup. */
bool	cgroup_populated(const struct cgroup *cgroup);

void	cgroup_kill(const struct cgroup *cgroup);

/* Kills by name; for whoever has only the path.  0, or -1 with errno. */
int	cgroup_kill_path(const char *path);

/* Closes and removes it, if it is empty. */
void	cgroup_free(struct cgroup *cgroup);

#endif
