/*
 * cli.h - what every command of failoverctl shares.
 */
#ifndef FAILOVERCTL_CLI_H
#define FAILOVERCTL_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "client.h"
#include "conf.h"
#include "options.h"
#include "table.h"

#ifndef FAILOVERD_VERSION
#define FAILOVERD_VERSION "0.1"
#endif

struct cli {
	const struct command *command;
	struct options options;
	bool json;
	bool yes;
	bool wait;
	int timeout_ms;		/* 0 = the command's own */
	char socket[CONF_PATH_MAX + 16];	/* "" until cli_call() */
};

struct command {
	const char *name;
	int (*run)(struct cli *cli);
	const char *usage;	/* what stands after the name */
	const char *help;	/* one line */
	const char *about;	/* what --help says besides */
	uint32_t options;	/* besides OPTIONS_GLOBAL */
	unsigned args_min, args_max;
};

/* The commands; each returns the exit status. */
int	cmd_init(struct cli *cli);
int	cmd_clone_standby(struct cli *cli);
int	cmd_status(struct cli *cli);
int	cmd_promote(struct cli *cli);		/* switchover, failover too */
int	cmd_explain(struct cli *cli);
int	cmd_events(struct cli *cli);
int	cmd_jobs(struct cli *cli);
int	cmd_pause(struct cli *cli);		/* and resume */
int	cmd_remove(struct cli *cli);

static inline bool
cli_has(const struct cli *cli, uint32_t option_bit)
{
	return (cli->options.given & option_bit) != 0;
}

/* The argument after the command and those before it; NULL if not given. */
static inline const char *
cli_argument(const struct cli *cli, unsigned number)
{
	return number < cli->options.count ?
	    cli->options.argument[number] : NULL;
}

/*
 * One request; args is taken over and may be NULL.  Progress goes to stderr.
 * look: see struct client_request; NULL for a request that changes nothing,
 * which then has a deadline of its own.  Returns answer->exit.
 */
int	cli_call(struct cli *cli, const char *cmd, json_t *args,
	    const char *look, struct answer *answer);

/*
 * Reports an answer: JSON on stdout with --format json; text on stdout when
 * it was done; "failoverctl: ..." and "HINT: ..." on stderr when not.
 * Clears the answer and returns the exit status.
 */
int	cli_finish(struct cli *cli, struct answer *answer);

/* Reports a failure of our own; hint may be NULL.  Returns exit. */
int	cli_fail(struct cli *cli, int exit, const char *hint,
	    const char *format, ...) __attribute__((format(printf, 4, 5)));

/*
 * The socket to use, into cli->socket: -S, else run_dir of the
 * configuration.  0, or -1 with the answer set.
 */
int	cli_find_socket(struct cli *cli, struct answer *answer);

/*
 * May service be interrupted?  With --yes: yes.  On a terminal it asks; what
 * is a sentence that ends in "?".  0 go on, -1 with the answer set.
 */
int	cli_confirm(struct cli *cli, const char *what,
	    struct answer *answer);

/*
 * Before asking: sends the request as a dry run (args is taken over) and
 * prints what would be done on stderr.  0, or -1 with the refusal in answer.
 */
int	cli_preview(struct cli *cli, const char *cmd, json_t *args,
	    struct answer *answer);

/* True if cli_confirm() would ask: a terminal, and no --yes. */
bool	cli_is_asking(const struct cli *cli);

/* A line on stderr that is neither result nor error. */
void	cli_note(const char *format, ...)
	    __attribute__((format(printf, 1, 2)));

/* How to print on this stream. */
struct table_style cli_style(const struct cli *cli, FILE *out);

#endif
