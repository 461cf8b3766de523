/*
 * guard.h - what agent and guard say to each other.
 *
 * failover-guard is the parent of one postmaster and owns the kill switch.
 * One guard lives as long as one run of one postmaster: it starts it, reports
 * its death at once, kills every process of the cluster when told or when the
 * deadline in the shared page passes, and exits when no process is left.
 *
 * The page is a memfd made by the guard and handed to each agent that
 * attaches over guard.sock (SOCK_SEQPACKET, SCM_RIGHTS, uid checked).  The
 * agent writes the `agent` half, the guard writes the `guard` half; each half
 * has one writer.  A half is kept twice and the sequence number says which
 * copy counts, so a writer that is stopped or killed in the middle of a write
 * never keeps a reader from the last whole value.
 *
 * The agent's side of the socket is in guardlink.h.
 */
#ifndef FAILOVERD_GUARD_H
#define FAILOVERD_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#define GUARD_VERSION	1u
#define GUARD_PATH_MAX	1024	/* paths in the page, with the NUL */

#define GUARD_STATES(X)							\
	X(GUARD_STARTING, 1, "starting")   /* forked, exec not yet done */ \
	X(GUARD_RUNNING, 2, "running")					\
	X(GUARD_STOPPING, 3, "stopping")   /* fast stop asked for */	\
	X(GUARD_KILLING, 4, "killing")     /* decided; no way back */	\
	X(GUARD_GONE, 5, "gone")           /* all reaped: "none left" */

/* Why a postmaster is being killed or is gone. */
#define GUARD_REASONS(X)						\
	X(GUARD_REASON_NONE, 0, "none")					\
	X(GUARD_REASON_EXITED, 1, "exited")     /* by itself: exit_status */ \
	X(GUARD_REASON_STOPPED, 2, "stopped")   /* fast stop, asked for */ \
	X(GUARD_REASON_ORDERED, 3, "ordered")   /* kill, asked for */	\
	X(GUARD_REASON_DEADLINE, 4, "deadline") /* the lease ran out */	\
	X(GUARD_REASON_STANDBY_SIGNAL, 5, "standby-signal") /* no lease */

#define GUARD_ENUM(symbol, value, name) symbol = (value),
enum guard_state { GUARD_STATES(GUARD_ENUM) };
enum guard_reason { GUARD_REASONS(GUARD_ENUM) };
#undef GUARD_ENUM

/* What this host let the guard have; none of it is required. */
#define GUARD_HAS_MEMLOCK	0x01u	/* mlockall */
#define GUARD_HAS_REALTIME	0x02u	/* SCHED_FIFO */
#define GUARD_HAS_OOM_SCORE	0x04u	/* protected from the OOM killer */
#define GUARD_HAS_CGROUP	0x08u	/* kills through cgroup.kill as well */
#define GUARD_HAS_WATCH		0x10u	/* watches standby.signal (-g) */

/*
 * Written by the agent.
 *
 * armed: PostgreSQL may be read-write, so the deadline is enforced.
 * deadline_ns: CLOCK_BOOTTIME, when the lease ends; the guard begins to kill
 * margin_ms before it.
 */
struct guard_page_agent {
	uint32_t armed;
	uint32_t margin_ms;
	uint64_t epoch;
	int64_t deadline_ns;
};

/*
 * Written by the guard.  seen_*: the agent's half as the guard last read it;
 * current in the answer to GUARD_POKE, so "the guard is armed" can be
 * confirmed.
 */
struct guard_page_guard {
	uint32_t state;		/* enum guard_state */
	uint32_t reason;	/* enum guard_reason */
	int32_t postmaster_pid;	/* 0 when reaped */
	int32_t exit_status;	/* as of waitpid(), -1 while it runs */
	uint32_t kill_ms;	/* from the decision until none was left */
	uint32_t reaped;	/* processes reaped since that decision */
	uint32_t features;	/* GUARD_HAS_* */
	uint32_t seen_armed;
	uint64_t postmaster_start; /* field 22 of /proc/PID/stat, ticks */
	int64_t started_ns;	/* CLOCK_BOOTTIME of the fork */
	int64_t died_ns;	/* of the postmaster's death; 0 = lives */
	int64_t fenced_ns;	/* deadline kill decided; 0 = never */
	uint64_t seen_epoch;
	int64_t seen_deadline_ns;
};

/*
 * version and guard_pid stay where they are in every version.  The strings
 * are complete before state becomes GUARD_RUNNING.
 */
struct guard_page {
	uint32_t version;
	int32_t guard_pid;
	char data_dir[GUARD_PATH_MAX];	/* without symbolic links */
	char program[GUARD_PATH_MAX];	/* /proc/PID/exe of the postmaster */
	char cgroup[GUARD_PATH_MAX];	/* its own cgroup v2, or "" */
	struct {
		uint32_t sequence;	/* copy[sequence % 2] counts */
		uint32_t pad;
		struct guard_page_agent copy[2];
	} agent;
	struct {
		uint32_t sequence;
		uint32_t pad;
		struct guard_page_guard copy[2];
	} guard;
};

enum guard_message_type {
	/* agent to guard */
	GUARD_ATTACH = 1,	/* answered by GUARD_STATUS with the page fd */
	GUARD_STOP,		/* fast shutdown (SIGINT) */
	GUARD_KILL,		/* every process, now */
	/*
	 * The page was written: look at it now.  Needed after arming,
	 * disarming and moving the deadline closer; a deadline that moves away
	 * is found when the old one passes.  Answered by GUARD_STATUS.
	 */
	GUARD_POKE,
	/* guard to every attached agent */
	GUARD_STATUS = 64	/* the state changed; also the answer */
};

/*
 * version and type stay where they are in every version: a guard obeys
 * GUARD_STOP, GUARD_KILL and GUARD_POKE of any version, and reads nothing else
 * of a request.
 */
struct guard_message {
	uint32_t version;
	uint32_t type;
	struct guard_page_guard status;
};

/*
 * The halves of the page: written by one side, read whole by the other.
 *
 * A read returns false, and leaves *half as it was, only if the writer kept
 * publishing new values throughout some thousand attempts.
 */
void	guard_page_write_agent(struct guard_page *page,
	    const struct guard_page_agent *half);
bool	guard_page_read_agent(const struct guard_page *page,
	    struct guard_page_agent *half);
void	guard_page_write_guard(struct guard_page *page,
	    const struct guard_page_guard *half);
bool	guard_page_read_guard(const struct guard_page *page,
	    struct guard_page_guard *half);

/* Never NULL; "unknown" for a number that is none. */
const char *guard_state_name(unsigned state);
const char *guard_reason_name(unsigned reason);

/*
 * CLOCK_BOOTTIME at which the guard begins to kill for this half: deadline
 * minus margin, never below 0.  INT64_MAX when it is not armed.
 */
int64_t	guard_kill_time_ns(const struct guard_page_agent *half);

#endif
