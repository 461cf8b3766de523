/*
 * cmd_member.c - remove, pause, resume: short orders to the cluster.
 */
#include <stdio.h>

#include "cli.h"
#include "conf.h"
#include "control.h"

int
cmd_remove(struct cli *cli)
{
	const char *node = cli_argument(cli, 1);
	struct answer answer = { 0 };
	char question[160];

	if (!conf_is_name(node))
		return cli_fail(cli, EXIT_USAGE_ERROR, "Run \"failoverctl "
		    "status\" to see the names.",
		    "\"%s\" is not a name of a node", node);
	snprintf(question, sizeof(question), "Remove %s from the cluster? Its "
	    "key is no longer accepted; its data are kept. Go on?", node);
	if (cli_confirm(cli, question, &answer) == 0)
		cli_call(cli, "remove", json_pack("{s:s}", "node", node),
		    "status", &answer);
	return cli_finish(cli, &answer);
}

int
cmd_pause(struct cli *cli)
{
	struct answer answer;

	cli_call(cli, cli->command->name, NULL, "status", &answer);
	return cli_finish(cli, &answer);
}
