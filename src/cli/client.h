/*
 * client.h - one request to an agent over its control socket.
 *
 * The words are those of control.h.  An answer is always filled in: where
 * the agent gave none, it says what we know about that instead, in the same
 * form, so that a command has one way to report.
 */
#ifndef FAILOVERCTL_CLIENT_H
#define FAILOVERCTL_CLIENT_H

#include <stdbool.h>

#include <jansson.h>

/* answer.exit when a request that changes nothing met ^C. */
#define ANSWER_INTERRUPTED	(-1)

struct answer {
	int exit;		/* enum control_exit */
	int signal;		/* with ANSWER_INTERRUPTED */
	json_t *object;		/* {"exit","text","hint","data"}, ours */
};

struct client_request {
	const char *socket;	/* path */
	const char *cmd;
	json_t *args;		/* borrowed; NULL = {} */
	bool changes;		/* no answer = outcome unknown, exit 4 */
	int timeout_ms;		/* for the whole request; 0 = none */
	const char *look;	/* "jobs", "status": where to look when the
				 * outcome is unknown */
	void (*progress)(void *context, const char *text);
	/* Called every ten seconds in which nothing was heard. */
	void (*quiet)(void *context, unsigned seconds);
	void *context;		/* of both; each may be NULL */
};

/* Returns answer->exit.  The caller clears the answer. */
int	client_call(const struct client_request *request,
	    struct answer *answer);

/*
 * The pid of the process that listens on a control socket; -1 if nobody
 * does (or nobody lets us).
 */
long	client_agent_pid(const char *socket);

/* An answer of our own; hint may be NULL. */
void	answer_set(struct answer *answer, int exit, const char *hint,
	    const char *format, ...) __attribute__((format(printf, 4, 5)));
void	answer_clear(struct answer *answer);

/* "" and NULL and NULL where there is none; they live with the answer. */
const char *answer_text(const struct answer *answer);
const char *answer_hint(const struct answer *answer);
json_t	*answer_data(const struct answer *answer);

#endif
