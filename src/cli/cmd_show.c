/*
 * cmd_show.c - explain, events, jobs: why, when, and what is going on.
 *
 * Read only.  Prints what the agent says, as text that can be read at three
 * in the morning; never judges it.
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "conf.h"
#include "control.h"
#include "interrupt.h"
#include "text.h"

#define FOLLOW_MS	1000

int
cmd_explain(struct cli *cli)
{
	const char *node = cli_argument(cli, 1);
	struct table_style style = cli_style(cli, stdout);
	struct answer answer;
	json_t *args;

	if (node != NULL && !conf_is_name(node))
		return cli_fail(cli, EXIT_USAGE_ERROR, "Run \"failoverctl "
		    "status\" to see the names.",
		    "\"%s\" is not a name of a node", node);
	args = json_object();
	if (node != NULL)
		json_object_set_new(args, "node", json_string(node));
	if (cli_call(cli, "explain", args, NULL, &answer) != EXIT_DONE ||
	    cli->json)
		return cli_finish(cli, &answer);
	if (answer_text(&answer)[0] != '\0')
		printf("%s\n", answer_text(&answer));
	table_trace(stdout, json_object_get(answer_data(&answer), "trace"),
	    2, &style);
	table_decision(stdout, json_object_get(answer_data(&answer), "last"),
	    &style);
	answer_clear(&answer);
	return EXIT_DONE;
}

/* Prints the events of an answer; returns the greatest id seen. */
static json_int_t
print_events(struct cli *cli, const struct answer *answer, json_int_t after)
{
	struct table_style style = cli_style(cli, stdout);
	json_t *events = json_object_get(answer_data(answer), "events");
	json_t *event;
	json_int_t id;
	size_t i;

	json_array_foreach(events, i, event) {
		id = json_integer_value(json_object_get(event, "id"));
		if (id != 0 && id <= after)
			continue;
		table_event(stdout, event, &style);
		if (id > after)
			after = id;
	}
	fflush(stdout);
	return after;
}

/* The agent may be restarted while we follow: say so once, go on. */
static int
follow_events(struct cli *cli, json_int_t after)
{
	struct answer answer;
	bool lost = false;

	interrupt_begin();
	while (interrupt_signal() == 0 && !ferror(stdout)) {
		interrupt_poll(-1, 0, FOLLOW_MS);
		if (interrupt_signal() != 0)
			break;
		if (cli_call(cli, "events", json_pack("{s:I}", "after",
		    after), NULL, &answer) == EXIT_DONE) {
			after = print_events(cli, &answer, after);
			lost = false;
		} else if (answer.exit != ANSWER_INTERRUPTED && !lost) {
			cli_note("failoverctl: %s; trying again",
			    answer_text(&answer));
			lost = true;
		}
		answer_clear(&answer);
	}
	interrupt_end();
	return EXIT_DONE;
}

int
cmd_events(struct cli *cli)
{
	const char *text = cli->options.value[OPTION_AFTER];
	struct answer answer;
	json_int_t after = 0;
	char *end;

	if (text != NULL) {
		after = strtoll(text, &end, 10);
		if (end == text || *end != '\0' || after < 0)
			return cli_fail(cli, EXIT_USAGE_ERROR, NULL,
			    "--after needs the number of an event, not "
			    "\"%s\"", text);
	}
	if (cli->json && cli_has(cli, OPTION_BIT(FOLLOW)))
		return cli_fail(cli, EXIT_USAGE_ERROR, "Run \"failoverctl "
		    "events --after ID --format json\" as often as you need "
		    "it.", "--follow has no JSON form");
	if (cli_call(cli, "events", json_pack("{s:I}", "after", after), NULL,
	    &answer) != EXIT_DONE || cli->json)
		return cli_finish(cli, &answer);
	if (json_array_size(json_object_get(answer_data(&answer),
	    "events")) == 0 && !cli_has(cli, OPTION_BIT(FOLLOW)))
		printf("No events.\n");
	after = print_events(cli, &answer, after);
	answer_clear(&answer);
	if (!cli_has(cli, OPTION_BIT(FOLLOW)))
		return EXIT_DONE;
	return follow_events(cli, after);
}

int
cmd_jobs(struct cli *cli)
{
	struct table_style style = cli_style(cli, stdout);
	struct answer answer;

	if (cli_call(cli, "jobs", NULL, NULL, &answer) != EXIT_DONE ||
	    cli->json)
		return cli_finish(cli, &answer);
	table_jobs(stdout, answer_data(&answer), &style);
	answer_clear(&answer);
	return EXIT_DONE;
}
