/*
 * options.h - the command line of failoverctl.
 *
 * An option means the same for every command and may stand before or after
 * the command and its arguments; "--" ends the options.  Long names are
 * never abbreviated, so that an option added later cannot change what an
 * old script does.
 */
#ifndef FAILOVERCTL_OPTIONS_H
#define FAILOVERCTL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define ARGUMENTS_MAX	8
#define SETTINGS_MAX	64

/*
 * name, long name, letter, argument (NULL for a switch), may be repeated,
 * help.
 */
#define CLI_OPTIONS(X)							\
	X(CONFIG, NULL, 'c', "FILE", false,				\
	    "configuration file (else $FAILOVERD_CONFIG)") \
	X(SOCKET, NULL, 'S', "SOCKET", false,				\
	    "control socket (else control.sock in run_dir)")		\
	X(FORMAT, "format", 0, "table|json", false,			\
	    "text for people (default) or one JSON object")		\
	X(YES, "yes", 0, NULL, false,					\
	    "do not ask before service is interrupted")			\
	X(WAIT, "wait", 0, NULL, false,					\
	    "wait until it is done (default)")				\
	X(NO_WAIT, "no-wait", 0, NULL, false,				\
	    "return as soon as the job is accepted")			\
	X(TIMEOUT, "timeout", 0, "SECONDS", false,			\
	    "give up waiting after this time")				\
	X(HELP, "help", 'h', NULL, false,				\
	    "this help; after a command, help for it")			\
	X(VERSION, "version", 'V', NULL, false,				\
	    "print the version")					\
	X(CLUSTER, "cluster", 0, "NAME", false,				\
	    "name of the cluster, the same on every node")		\
	X(NODE, "node", 0, "NAME", false,				\
	    "name of this node")					\
	X(NAME, "name", 0, "NAME", false,				\
	    "name of the new node (else the first label of HOST)")	\
	X(ADVERTISE, "advertise", 0, "HOST[:PORT]", false,		\
	    "how the other agents reach this agent (port 7432)")	\
	X(PG_ADVERTISE, "pg-advertise", 0, "HOST[:PORT]", false,	\
	    "how standbys and clients reach PostgreSQL (port 5432)")	\
	X(DATA_DIR, "data-dir", 0, "DIR", false,			\
	    "data directory of PostgreSQL")				\
	X(ADOPT, "adopt", 0, "DIR", false,				\
	    "take over the running primary of this data directory")	\
	X(CONF, "conf", 0, "KEY=VALUE", true,				\
	    "a key of failoverd.conf")					\
	X(SET, "set", 0, "SETTING=VALUE", true,				\
	    "a setting of the cluster")					\
	X(ACCEPT_HOST_KEY, "accept-host-key", 0, "SHA256:...", false,	\
	    "host key to accept when known_hosts has none")	\
	X(REPLACE, "replace", 0, NULL, false,				\
	    "replace the member of this name")				\
	X(DRY_RUN, "dry-run", 0, NULL, false,				\
	    "only check, and say what would be done")			\
	X(ACCEPT_DATA_LOSS, "accept-data-loss", 0, NULL, false,		\
	    "promote even if commits may be lost")			\
	X(WATCH, "watch", 0, NULL, false,				\
	    "redraw every second until interrupted")			\
	X(FOLLOW, "follow", 0, NULL, false,				\
	    "go on with new events until interrupted")			\
	X(AFTER, "after", 0, "ID", false,				\
	    "only events after this one")				\
	X(VERBOSE, "verbose", 'v', NULL, false,				\
	    "more about each node")

enum option {
#define X(id, name, letter, argument, many, help) OPTION_##id,
	CLI_OPTIONS(X)
#undef X
	OPTION_COUNT
};

#define OPTION_BIT(id)	(UINT32_C(1) << OPTION_##id)

/* The options that every command takes. */
#define OPTIONS_GLOBAL	(OPTION_BIT(CONFIG) | OPTION_BIT(SOCKET) |	\
	OPTION_BIT(FORMAT) | OPTION_BIT(YES) | OPTION_BIT(WAIT) |	\
	OPTION_BIT(NO_WAIT) | OPTION_BIT(TIMEOUT) | OPTION_BIT(HELP) |	\
	OPTION_BIT(VERSION))

struct settings {
	unsigned count;
	const char *text[SETTINGS_MAX];	/* "KEY=VALUE" */
};

struct options {
	uint32_t given;			/* OPTION_BIT()s */
	const char *value[OPTION_COUNT];
	struct settings conf, set;
	unsigned count;			/* arguments, the command first */
	const char *argument[ARGUMENTS_MAX];
};

/*
 * Reads the command line; the texts stay argv's.  0, or -1 with errmsg.
 * Whether an option belongs to the command is options_check()'s business.
 */
int	options_read(struct options *options, int argc, char *const *argv,
	    char *errmsg);

/* -1 with errmsg if an option is given that is neither global nor allowed. */
int	options_check(const struct options *options, const char *command,
	    uint32_t allowed, char *errmsg);

/* Prints name, argument and help of each option in the set. */
void	options_print(FILE *out, uint32_t set);

#endif
