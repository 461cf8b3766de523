/*
 * guard_kill.c - the kill.
 *
 * Owns the order in which the processes of the cluster are killed.  Killing
 * only the postmaster is no fence: a busy backend would go on committing.
 * Must never wait for anything, and never signal a pid that is not certain:
 * own children stay pinned until we reap them, all others are checked.
 */
#include "guardrun.h"

#include <signal.h>
#include <unistd.h>

#include "procfs.h"

static void
kill_child_of_postmaster(pid_t pid, const void *arg)
{
	const struct guard *guard = arg;

	procfs_signal_child(pid, guard->postmaster, SIGKILL);
}

static void
kill_own_child(pid_t pid, const void *arg)
{
	const struct guard *guard = arg;

	if (pid != guard->postmaster)
		kill(pid, SIGKILL);
}

void
guard_kill_round(const struct guard *guard)
{
	int fd;

	cgroup_kill(&guard->cgroup);
	if (guard->postmaster > 0) {
		/* So that it starts nobody and reaps nobody meanwhile. */
		kill(guard->postmaster, SIGSTOP);
		fd = procfs_children_open(guard->postmaster);
		procfs_children(fd, guard->postmaster,
		    kill_child_of_postmaster, guard);
		if (fd != -1)
			close(fd);
		kill(guard->postmaster, SIGKILL);
	}
	procfs_children(guard->children_fd, getpid(), kill_own_child, guard);
}
