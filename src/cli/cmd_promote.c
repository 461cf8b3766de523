/*
 * cmd_promote.c - promote, switchover, failover: a new primary.
 *
 * The three are one request with three names; which of them fits is the
 * coordinator's to say.  Never sends one that interrupts service unless the
 * operator has said yes to it.
 */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "conf.h"
#include "control.h"

static json_t *
request_args(const struct cli *cli, const char *node)
{
	json_t *args = json_object();

	if (node != NULL)
		json_object_set_new(args, "node", json_string(node));
	json_object_set_new(args, "dry_run",
	    json_boolean(cli_has(cli, OPTION_BIT(DRY_RUN))));
	if ((cli->command->options & OPTION_BIT(ACCEPT_DATA_LOSS)) != 0)
		json_object_set_new(args, "accept_data_loss", json_boolean(
		    cli_has(cli, OPTION_BIT(ACCEPT_DATA_LOSS))));
	json_object_set_new(args, "wait", json_boolean(cli->wait));
	return args;
}

int
cmd_promote(struct cli *cli)
{
	const char *cmd = cli->command->name, *node = cli_argument(cli, 1);
	struct answer answer = { 0 };
	char question[160];

	if (node != NULL && !conf_is_name(node))
		return cli_fail(cli, EXIT_USAGE_ERROR, "Run \"failoverctl "
		    "status\" to see the names.",
		    "\"%s\" is not a name of a node", node);
	if (cli_has(cli, OPTION_BIT(DRY_RUN))) {
		cli_call(cli, cmd, request_args(cli, node), NULL, &answer);
		return cli_finish(cli, &answer);
	}
	if (cli_is_asking(cli) && cli_preview(cli, cmd,
	    request_args(cli, node), &answer) == -1)
		return cli_finish(cli, &answer);
	snprintf(question, sizeof(question), "%s%s: make %s the primary%s?",
	    cli_has(cli, OPTION_BIT(ACCEPT_DATA_LOSS)) ?
	    "Commits may be lost for ever. " : "", cmd,
	    node != NULL ? node : "the best candidate",
	    strcmp(cmd, "switchover") == 0 ?
	    ", interrupting writes for a moment" : "");
	if (cli_confirm(cli, question, &answer) == 0)
		cli_call(cli, cmd, request_args(cli, node), "jobs", &answer);
	return cli_finish(cli, &answer);
}
