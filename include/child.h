/*
 * child.h - other programs, run without a shell.
 *
 * argv and the whole environment are given by the caller; the program's path
 * (argv[0]) is absolute.  A child leads its own session, so that it has no
 * terminal to ask for a password on and its whole process group can be killed.
 * Secrets never go on argv or into the environment: stdin_text is for them.
 */
#ifndef FAILOVERD_CHILD_H
#define FAILOVERD_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "limits.h"

#define CHILD_LINE_MAX		1024	/* longer lines are cut */
#define CHILD_GRACE_MS		500	/* from SIGTERM to SIGKILL */

/* How a child ended. */
struct child_result {
	bool ok;		/* exit status 0, within the deadline */
	bool timed_out;
	int exit_status;	/* 0..255, -1 when a signal ended it */
	int signal;		/* 0 when it exited */
	bool output_cut;	/* more than output_max came */
	char last_line[CHILD_LINE_MAX];	/* the last one that says anything,
				 * of stderr if there was any there */
	char error[ERRMSG_MAX];	/* one sentence; "" when ok */
};

struct child;

/* One line of output without its end; is_error: it came from stderr. */
typedef void child_line_fn(void *arg, const char *line, bool is_error);
/* Called exactly once, unless child_free() came first. */
typedef void child_done_fn(void *arg, const struct child_result *result);

struct child_spec {
	const char *const *argv;	/* copied by the start */
	const char *const *env;		/* the whole environment */
	const char *stdin_text;		/* NULL = /dev/null; copied */
	bool interactive;		/* stdin is child_write()'s instead */
	uint32_t timeout_ms;		/* 0 = none */
	size_t output_max;		/* bytes handed to `line`, the rest is
					 * read and dropped; 0 = 1 MiB */
	child_line_fn *line;		/* may be NULL */
	child_done_fn *done;
	void *arg;
};

/*
 * Starts a program in the loop.  The process must ignore SIGPIPE.  A line
 * ends at a newline or a carriage return (progress).  done is called after
 * the program has ended and its output has been delivered; a grandchild that
 * keeps the output open is killed with the group.  At the deadline the group
 * gets SIGTERM, CHILD_GRACE_MS later SIGKILL.
 *
 * NULL with errmsg when it cannot be started (done is then never called).
 * The caller frees the child, in done or at any other time.
 */
struct child *child_start(uv_loop_t *loop, const struct child_spec *spec,
	    char *errmsg);

/* For an interactive child: queues text, which is copied. */
int	child_write(struct child *child, const char *text);
/* End of input for it. */
void	child_close_input(struct child *child);

/* Ends it as the deadline does; done will be called. */
void	child_stop(struct child *child);
pid_t	child_pid(const struct child *child);

/* Kills the group at once if it runs; no callback comes any more.  The loop
 * must run on for the memory to be given back.  NULL is legal. */
void	child_free(struct child *child);

/*
 * The same for a worker thread: runs a program to its end and collects what
 * it writes to stdout and stderr, in order, as text in output (cut at
 * output_size - 1; the rest is read and dropped; output may be NULL).  The
 * program gets SIGKILL when the calling thread ends.
 *
 * Returns 0 for exit status 0, the exit status if it is another, -1 if the
 * program could not be run, was ended by a signal or by the deadline; errmsg
 * is "" for 0, else one sentence with the last line of output.
 */
int	child_run(const char *const *argv, const char *const *env,
	    const char *stdin_text, uint32_t timeout_ms, char *output,
	    size_t output_size, char *errmsg);

#endif
