/*
 * failoverctl.c - the operator's command.
 *
 * Owns the table of commands.  Decides nothing about a cluster: it asks an
 * agent over the control socket (control.h) and shows the answer.
 */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "control.h"
#include "text.h"

#define TIMEOUT_MAX_S	86400
#define PING_MS		2000
#define HELP_WIDTH	79

static int	cmd_version(struct cli *cli);
static int	cmd_help(struct cli *cli);

#define PROMOTE_OPTIONS	(OPTION_BIT(DRY_RUN) |			\
	OPTION_BIT(ACCEPT_DATA_LOSS))
#define NODE_OPTIONS	(OPTION_BIT(ADVERTISE) |			\
	OPTION_BIT(PG_ADVERTISE) | OPTION_BIT(DATA_DIR) |		\
	OPTION_BIT(CONF) | OPTION_BIT(DRY_RUN))

static const struct command commands[] = {
	{ "init", cmd_init,
	    "--cluster NAME --node NAME --advertise HOST [options]",
	    "create a cluster with this host as its first node",
	    "Writes failoverd.conf if there is none, starts the agent where "
	    "no service manager does, and creates a new PostgreSQL or, with "
	    "--adopt, takes over a running primary (one restart, asks "
	    "first). Run it as the user of PostgreSQL. When it cannot be "
	    "done, nothing is left behind.",
	    OPTION_BIT(CLUSTER) | OPTION_BIT(NODE) | OPTION_BIT(ADOPT) |
	    OPTION_BIT(SET) | NODE_OPTIONS, 0, 0 },
	{ "clone-standby", cmd_clone_standby,
	    "[USER@]HOST[:PORT] [--name NAME] [options]",
	    "bring up a standby on a new host, over SSH",
	    "The host needs PostgreSQL, failoverd and the line in "
	    "authorized_keys that \"init\" printed. ^C stops only the "
	    "waiting; \"failoverctl jobs\" shows how far it is. A failure "
	    "before the new standby streams undoes everything.",
	    OPTION_BIT(NAME) | OPTION_BIT(ACCEPT_HOST_KEY) |
	    OPTION_BIT(REPLACE) | NODE_OPTIONS, 1, 1 },
	{ "status", cmd_status, "[--watch] [--verbose]",
	    "how the cluster is, and each node of it",
	    "A line for the cluster, a table of the nodes, a line for each "
	    "warning with the command that helps. \"?\" means unknown. See "
	    "failover(7) on how to read it. Exit status: 0 healthy, 1 "
	    "degraded, 2 no primary, 5 cannot tell.",
	    OPTION_BIT(WATCH) | OPTION_BIT(VERBOSE), 0, 0 },
	{ "promote", cmd_promote, "[NODE] [options]",
	    "switchover or failover, whichever fits; says which",
	    "Asks on a terminal, needs --yes elsewhere. Without NODE the best "
	    "candidate becomes primary.",
	    PROMOTE_OPTIONS, 0, 1 },
	{ "switchover", cmd_promote, "[NODE] [options]",
	    "hand over from a primary that is well",
	    "Refused unless the primary is well. Asks on a terminal, needs "
	    "--yes elsewhere.",
	    OPTION_BIT(DRY_RUN), 0, 1 },
	{ "failover", cmd_promote, "[NODE] [options]",
	    "replace a primary that is not well",
	    "Refused while the primary is well. Asks on a terminal, needs "
	    "--yes elsewhere.",
	    PROMOTE_OPTIONS, 0, 1 },
	{ "explain", cmd_explain, "[NODE]",
	    "why the coordinator does what it does, or does nothing",
	    "With NODE: why this node is or is not a candidate.",
	    0, 0, 1 },
	{ "events", cmd_events, "[--after ID] [--follow]",
	    "what happened, and when",
	    "The last events that the cluster remembers, oldest first.",
	    OPTION_BIT(AFTER) | OPTION_BIT(FOLLOW), 0, 0 },
	{ "jobs", cmd_jobs, "",
	    "clones and switchovers, running and ended",
	    "A job goes on when the failoverctl that began it is gone.",
	    0, 0, 0 },
	{ "pause", cmd_pause, "",
	    "no automatic failover until resume",
	    "Everything that keeps data safe goes on.",
	    0, 0, 0 },
	{ "resume", cmd_pause, "",
	    "automatic failover again",
	    "Ends a pause.",
	    0, 0, 0 },
	{ "remove", cmd_remove, "NODE",
	    "take a node out of the cluster",
	    "Asks on a terminal, needs --yes elsewhere. The node's data are "
	    "kept.",
	    0, 1, 1 },
	{ "version", cmd_version, "",
	    "the version of failoverctl and of the agent here",
	    "",
	    0, 0, 0 },
	{ "help", cmd_help, "[COMMAND]",
	    "this list, or more about a command",
	    "",
	    0, 0, 1 },
};

#define COMMAND_COUNT	(sizeof(commands) / sizeof(*commands))

static const struct command *
find_command(const char *name)
{
	size_t i;

	for (i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static void
print_overview(FILE *out)
{
	size_t i;

	fprintf(out, "failoverctl: replication and failover of a PostgreSQL "
	    "cluster\n\nUsage: failoverctl [options] COMMAND [arguments]\n\n");
	for (i = 0; i < COMMAND_COUNT; i++)
		fprintf(out, "  %-13s  %s\n", commands[i].name,
		    commands[i].help);
	fprintf(out, "\nOptions, before or after the command:\n");
	options_print(out, OPTIONS_GLOBAL);
	fprintf(out, "\nExit status: 0 done or healthy, 1 degraded, 2 no "
	    "primary, 3 refused,\n4 begun and failed or outcome unknown, "
	    "5 cannot tell, 64 usage,\n77 not permitted, 78 bad "
	    "configuration.  Manual: failoverctl(1), failover(7).\n");
}

static void
print_command(const struct command *command)
{
	printf("failoverctl %s: %s\n\nUsage: failoverctl %s%s%s\n",
	    command->name, command->help, command->name,
	    command->usage[0] != '\0' ? " " : "", command->usage);
	if (command->about[0] != '\0') {
		putchar('\n');
		text_wrap(stdout, HELP_WIDTH, 0, command->about);
	}
	if (command->options != 0) {
		printf("\nOptions:\n");
		options_print(stdout, command->options);
	}
	printf("\nOptions of every command:\n");
	options_print(stdout, OPTIONS_GLOBAL & ~OPTION_BIT(VERSION));
}

static int
unknown_command(struct cli *cli, const char *name)
{
	const char *best = NULL;
	char hint[128];
	unsigned distance, least = 4;
	size_t i;

	for (i = 0; i < COMMAND_COUNT; i++) {
		distance = name[0] != '\0' && strncmp(commands[i].name, name,
		    strlen(name)) == 0 ? 1 :
		    text_distance(name, commands[i].name);
		if (distance < least && distance < strlen(name)) {
			least = distance;
			best = commands[i].name;
		}
	}
	if (best != NULL)
		snprintf(hint, sizeof(hint), "Did you mean \"failoverctl "
		    "%s\"?", best);
	else
		snprintf(hint, sizeof(hint),
		    "Run \"failoverctl help\" for the list.");
	return cli_fail(cli, EXIT_USAGE_ERROR, hint,
	    "unknown command \"%.100s\"", name);
}

static int
cmd_help(struct cli *cli)
{
	const char *name = cli_argument(cli, 1);
	const struct command *command;

	if (name == NULL) {
		print_overview(stdout);
		return EXIT_DONE;
	}
	command = find_command(name);
	if (command == NULL)
		return unknown_command(cli, name);
	print_command(command);
	return EXIT_DONE;
}

/* The agent's part is an extra: no agent is no failure here. */
static int
cmd_version(struct cli *cli)
{
	struct answer answer = { 0 };
	json_t *data = NULL, *object;
	char *json;

	if (cli->timeout_ms == 0)
		cli->timeout_ms = PING_MS;
	if (cli_call(cli, "ping", NULL, NULL, &answer) == EXIT_DONE)
		data = answer_data(&answer);
	if (cli->json) {
		object = json_pack("{s:i, s:s, s:n, s:{s:s, s:O?}}", "exit",
		    EXIT_DONE, "text", "failoverctl " FAILOVERD_VERSION,
		    "hint", "data", "version", FAILOVERD_VERSION, "agent",
		    data);
		json = json_dumps(object, JSON_COMPACT);
		printf("%s\n", json != NULL ? json : "{}");
		free(json);
		json_decref(object);
	} else {
		printf("failoverctl %s\n", FAILOVERD_VERSION);
		if (json_is_string(json_object_get(data, "version")))
			printf("failoverd %s, running here as node %s of "
			    "cluster %s\n", json_string_value(json_object_get(
			    data, "version")),
			    json_is_string(json_object_get(data, "node")) ?
			    json_string_value(json_object_get(data, "node")) :
			    "?", json_is_string(json_object_get(data,
			    "cluster")) ? json_string_value(json_object_get(
			    data, "cluster")) : "?");
	}
	answer_clear(&answer);
	return EXIT_DONE;
}

/* The values of the global options. */
static int
take_globals(struct cli *cli, char *errmsg)
{
	const char *format = cli->options.value[OPTION_FORMAT];
	const char *timeout = cli->options.value[OPTION_TIMEOUT];
	char *end;
	long seconds;

	cli->yes = cli_has(cli, OPTION_BIT(YES));
	cli->wait = !cli_has(cli, OPTION_BIT(NO_WAIT));
	if (format != NULL && strcmp(format, "json") == 0)
		cli->json = true;
	else if (format != NULL && strcmp(format, "table") != 0 &&
	    strcmp(format, "text") != 0) {
		snprintf(errmsg, ERRMSG_MAX, "--format is \"table\" or "
		    "\"json\", not \"%.100s\"", format);
		return -1;
	}
	if (timeout == NULL)
		return 0;
	seconds = strtol(timeout, &end, 10);
	if (end == timeout || *end != '\0' || seconds < 1 ||
	    seconds > TIMEOUT_MAX_S) {
		snprintf(errmsg, ERRMSG_MAX, "--timeout needs a number of "
		    "seconds from 1 to %d, not \"%.100s\"", TIMEOUT_MAX_S,
		    timeout);
		return -1;
	}
	cli->timeout_ms = (int)seconds * 1000;
	return 0;
}

static int
check_arguments(struct cli *cli, char *errmsg)
{
	const struct command *command = cli->command;
	unsigned count = cli->options.count - 1;

	if (options_check(&cli->options, command->name, command->options,
	    errmsg) == -1)
		return -1;
	if (count < command->args_min) {
		snprintf(errmsg, ERRMSG_MAX, "%s needs an argument: %s",
		    command->name, command->usage);
		return -1;
	}
	if (count > command->args_max) {
		snprintf(errmsg, ERRMSG_MAX, command->args_max == 0 ?
		    "%s takes no argument, not \"%.100s\"" :
		    "%s takes one argument only, not also \"%.100s\"",
		    command->name, cli_argument(cli, command->args_max + 1));
		return -1;
	}
	return 0;
}

static int
run(struct cli *cli, int argc, char **argv)
{
	char errmsg[ERRMSG_MAX], hint[96] = "Run \"failoverctl help\".";
	const char *name;
	int i;

	/* Known before the rest is, so that its errors have the form too. */
	for (i = 1; i < argc; i++)
		if (strcmp(argv[i], "--format=json") == 0 ||
		    (strcmp(argv[i], "--format") == 0 && i + 1 < argc &&
		    strcmp(argv[i + 1], "json") == 0))
			cli->json = true;
	if (options_read(&cli->options, argc, argv, errmsg) == -1 ||
	    take_globals(cli, errmsg) == -1)
		return cli_fail(cli, EXIT_USAGE_ERROR, hint, "%s", errmsg);
	name = cli_argument(cli, 0);
	if (cli_has(cli, OPTION_BIT(VERSION)))
		return cmd_version(cli);
	if (name == NULL && cli_has(cli, OPTION_BIT(HELP)))
		return cmd_help(cli);
	if (name == NULL) {
		if (cli->json)
			return cli_fail(cli, EXIT_USAGE_ERROR, hint,
			    "no command is given");
		print_overview(stderr);
		return EXIT_USAGE_ERROR;
	}
	cli->command = find_command(name);
	if (cli->command == NULL)
		return unknown_command(cli, name);
	if (cli_has(cli, OPTION_BIT(HELP))) {
		print_command(cli->command);
		return EXIT_DONE;
	}
	snprintf(hint, sizeof(hint), "Run \"failoverctl %s --help\".", name);
	if (check_arguments(cli, errmsg) == -1)
		return cli_fail(cli, EXIT_USAGE_ERROR, hint, "%s", errmsg);
	return cli->command->run(cli);
}

int
main(int argc, char **argv)
{
	static struct cli cli;
	int status;

	/* Characters only: numbers and messages stay as they are. */
	setlocale(LC_CTYPE, "");
	status = run(&cli, argc, argv);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		cli_note("failoverctl: could not write to standard output");
		if (status == EXIT_DONE)
			status = EXIT_CANNOT_TELL;
	}
	return status;
}
