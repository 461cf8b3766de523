/*
 * guard_kill.c - the kill.
 *
 * Owns the order in which the processes of the cluster are killed.  Killing
 * only the postmaster is no fence: a busy backend would go on committing.
 * Must never wait for longer than the scheduler takes to stop a process, and
 * never signal a pid that is not certain: own children stay pinned until we
 * reap them, those of a stopped postmaster until it is killed, and all others
 * are checked.
 */
#include "guardrun.h"

#include <sys/wait.h>

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "procfs.h"

#define STOP_LOOKS	10
#define STOP_PAUSE_NS	50000
#define PIDS_MAX	16384

/*
 * Whether the postmaster has come to a stop.  It may be running on another
 * processor when the signal is sent; half a millisecond is given to it.
 */
static bool
has_stopped(pid_t postmaster)
{
	const struct timespec pause = { 0, STOP_PAUSE_NS };
	siginfo_t info;
	int i;

	for (i = 0; i < STOP_LOOKS; i++) {
		info.si_pid = 0;
		if (waitid(P_PID, (id_t)postmaster, &info,
		    WSTOPPED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

/*
 * Listed first and killed then: a thousand processes that exit contend with
 * the listing for the kernel's lock on the list of processes.  Who finds no
 * room is left to the next round.
 */
static struct {
	int n;
	pid_t pids[PIDS_MAX];
} listed;

static void
list_pid(pid_t pid, const void *arg)
{
	(void)arg;
	if (listed.n < PIDS_MAX)
		listed.pids[listed.n++] = pid;
}

static void
kill_children_of_postmaster(const struct guard *guard)
{
	int fd, i;
	bool pinned;

	pinned = has_stopped(guard->postmaster);
	listed.n = 0;
	fd = procfs_children_open(guard->postmaster);
	procfs_children(fd, guard->postmaster, list_pid, NULL);
	if (fd != -1)
		close(fd);
	for (i = 0; i < listed.n; i++) {
		if (pinned)
			kill(listed.pids[i], SIGKILL);
		else
			procfs_signal_child(listed.pids[i], guard->postmaster,
			    SIGKILL);
	}
}

static void
kill_own_children(const struct guard *guard)
{
	int i;

	listed.n = 0;
	procfs_children(guard->children_fd, getpid(), list_pid, NULL);
	for (i = 0; i < listed.n; i++)
		kill(listed.pids[i], SIGKILL);
}

void
guard_kill_round(const struct guard *guard)
{
	cgroup_kill(&guard->cgroup);
	if (guard->postmaster > 0) {
		/* So that it starts nobody and reaps nobody meanwhile. */
		kill(guard->postmaster, SIGSTOP);
		kill_children_of_postmaster(guard);
		kill(guard->postmaster, SIGKILL);
	}
	kill_own_children(guard);
}
