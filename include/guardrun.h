/*
 * guardrun.h - the inside of failover-guard; no other program uses it.
 */
#ifndef FAILOVERD_GUARDRUN_H
#define FAILOVERD_GUARDRUN_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include "cgroup.h"
#include "guard.h"
#include "limits.h"

#define GUARD_AGENTS_MAX	4	/* attached at once; the oldest goes */

/* The command line. */
struct guard_arguments {
	const char *socket_path;	/* absolute, all three */
	const char *log_file;
	const char *data_dir;
	struct guard_page_agent agent;	/* the first value of that half */
	bool watch_standby_signal;
	char **postgres_argv;		/* [0] is an absolute path */
};

struct guard_peer {
	int fd;				/* -1 = free */
	bool attached;			/* has sent GUARD_ATTACH */
	bool behind;			/* its queue was full: owed a status */
	uint64_t number;		/* of the connection, to find the oldest */
};

struct guard {
	const struct guard_arguments *arguments;
	struct guard_page *page;
	struct guard_page_guard half;	/* ours, as it will be published */
	struct guard_page_agent agent;	/* theirs, as last read */

	int ready_fd;			/* to the process that was started */
	int exec_fd;			/* errno of a failed exec, or EOF */
	int lock_fd;
	int listen_fd;
	int page_fd;
	int log_fd;
	int signal_fd;
	int timer_fd;			/* CLOCK_BOOTTIME */
	int inotify_fd;
	int children_fd;		/* list of our own children, or -1 */
	ino_t socket_inode;

	pid_t postmaster;		/* 0 when reaped */
	struct cgroup cgroup;

	int64_t kill_began_ns;		/* the decision; 0 = none */
	int64_t kill_again_ns;		/* next round, not before */
	unsigned rounds;
	int64_t linger_until_ns;	/* after the end */
	bool started;			/* exec succeeded and was reported */
	const char *why;		/* the decision, for the log */

	uint64_t connections;
	int64_t accept_again_ns;	/* not before, after a failure */
	struct guard_peer peers[GUARD_AGENTS_MAX];
};

int64_t	guard_now_ns(void);		/* CLOCK_BOOTTIME */

/* guard_start.c */

/*
 * Everything up to the postmaster's fork, in the daemon.  0, or -1 with
 * errmsg, after which guard_release() and exit are all that is left to do.
 */
int	guard_prepare(struct guard *guard, const struct guard_arguments *args,
	    char *errmsg);
int	guard_fork_postmaster(struct guard *guard, char *errmsg);
/*
 * Removes the socket and lets go of the lock, so that another guard may take
 * the place; a socket that is another guard's by now is left alone.
 */
void	guard_release(struct guard *guard);

/* guard.c */

/* From the fork to the end; returns when no process is left. */
void	guard_run(struct guard *guard);

/* guard_kill.c */

/*
 * One round of the kill: stops the postmaster, kills its children, kills it,
 * kills whoever is an own child by now.  Repeated until none is left, because
 * orphans become children of the guard only when their parents have died.
 */
void	guard_kill_round(const struct guard *guard);

/* guard_agents.c */

/*
 * Accepts whoever waits; our own uid and root only.  If the host has no
 * descriptor to give, it is not tried again for a while.
 */
void	guard_agents_accept(struct guard *guard);
/*
 * Reads what one agent sent.  Returns the request (GUARD_STOP, GUARD_KILL,
 * GUARD_POKE), or 0 if there was nothing more for the caller to do.
 */
unsigned guard_agent_read(struct guard *guard, struct guard_peer *peer);
/* Sends the status to one agent, or to all that attached. */
void	guard_agent_tell(struct guard *guard, struct guard_peer *peer);
void	guard_agents_tell(struct guard *guard);
/* Whether any is attached (and, with `behind`, is still owed a status). */
bool	guard_agents_attached(const struct guard *guard, bool behind);

#endif
