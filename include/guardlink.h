/*
 * guardlink.h - the agent's side of the guard.
 *
 * Starting a guard, attaching to it, its messages, and the kill that the
 * agent does itself when the guard died before its work was done.  Nothing
 * here uses an event loop: link->fd (readable: guard_receive()) and
 * link->pidfd (readable: the guard has ended) can be polled by any.
 */
#ifndef FAILOVERD_GUARDLINK_H
#define FAILOVERD_GUARDLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guard.h"
#include "limits.h"

struct guard_options {
	const char *program;		/* path of failover-guard */
	const char *socket_path;	/* absolute, all three */
	const char *log_file;
	const char *data_dir;
	struct guard_page_agent agent;	/* armed, margin, epoch, deadline */
	bool watch_standby_signal;	/* to be started as a standby */
	const char *const *postgres_argv; /* absolute program first, NULL last */
};

/*
 * Starts a guard, and it the postmaster.  Blocks until the guard answers, at
 * most 5 s: call it from a worker thread or a child.  Signal handlers, masks
 * and close-on-exec of the caller do not matter.
 *
 * 0: the postmaster has been executed; guard_attach() tells how it fares.
 * -1 with errmsg: nothing was left running.  After a timeout (the text says
 * so) a guard that gets going later finds that nobody waits, and kills what
 * it started.
 */
int	guard_start(const struct guard_options *options, char *errmsg);

struct guard_link {
	int fd;			/* SOCK_SEQPACKET, non-blocking; -1 = none */
	int pidfd;		/* of the guard; -1: had ended, or no pidfd */
	int guard_pid;
	uint64_t guard_start;	/* for kernels without pidfd */
	struct guard_page *page;
	struct guard_page_guard status;	/* in the answer to the attach */
	struct guard_process *processes; /* room for guard_kill_step() */
	size_t processes_size;
};

/*
 * Attaches to the guard on this socket.  Blocks for its answer, which comes
 * within a millisecond, for at most 1 s.  On success *link is the caller's
 * until guard_detach().
 *
 * 0, or -1 with errmsg; errno is ENOENT or ECONNREFUSED when there is no guard.
 */
int	guard_attach(const char *socket_path, struct guard_link *link,
	    char *errmsg);

/*
 * Does not block.  1: *message was filled.  0: nothing there now.  -1: the
 * connection has ended: if the page says "gone" that is the end of it, else
 * the guard died (guard_kill_all()), or gave the place to another agent
 * (link->pidfd tells).
 */
int	guard_receive(struct guard_link *link, struct guard_message *message);

/*
 * Sends GUARD_STOP, GUARD_KILL or GUARD_POKE.  Does not block.  0, or -1 with
 * errmsg.
 */
int	guard_send(struct guard_link *link, enum guard_message_type type,
	    char *errmsg);

/*
 * Whether the guard's process has ended.  When it dies, its connection ends a
 * moment earlier than its process.
 */
bool	guard_ended(const struct guard_link *link);

/* Closes everything.  Guard and PostgreSQL go on.  Twice is harmless. */
void	guard_detach(struct guard_link *link);

/*
 * What the agent does when guard_ended() and the page does not say "gone":
 * one round of stop, enumerate, kill.  Killed are
 * - the postmaster: pid and start time from the page,
 * - all descendants of it and of everything else found here,
 * - all processes of our uid that run its program with its data directory as
 *   working directory and were started after it: orphans of a postmaster that
 *   has died already, whose other traces are gone.
 * Never the caller itself, never a pid whose start time changed since it was
 * read.
 *
 * Takes a few milliseconds on a host with a thousand processes.  Returns the
 * number of processes that were still there, a postmaster that nobody reaped
 * included, so 0 is "none left": PostgreSQL may be started.  -1 with errmsg:
 * could not look.  *alive (may be NULL) counts those that were not dead when
 * this round began: at 0 nothing can acknowledge anything any more, whenever
 * process 1 may find time to reap.
 */
int	guard_kill_step(struct guard_link *link, int *alive, char *errmsg);

/*
 * Rounds until none is left; blocks for at most timeout_ms.  0, or -1 with
 * errmsg, which says how many are left and how many of them are dead already.
 */
int	guard_kill_all(struct guard_link *link, int timeout_ms, char *errmsg);

#endif
