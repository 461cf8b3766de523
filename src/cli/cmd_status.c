/*
 * cmd_status.c - failoverctl status: how is the cluster?
 *
 * Owns the exit status of `status` (the agent's) and the redrawing of
 * --watch.  It must never show an old table as if it were current.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "control.h"
#include "interrupt.h"

#define WATCH_MS	1000
#define ROWS_DEFAULT	24

static int
ask_status(struct cli *cli, struct answer *answer)
{
	json_t *args = json_pack("{s:b}", "verbose",
	    cli_has(cli, OPTION_BIT(VERBOSE)));

	return cli_call(cli, "status", args, NULL, answer);
}

static int
status_once(struct cli *cli)
{
	struct table_style style = cli_style(cli, stdout);
	struct answer answer;
	int status = ask_status(cli, &answer);
	json_t *data = answer_data(&answer);
	char *json;

	if (data == NULL) {
		/* A monitor that reads .health must not find nothing. */
		json_object_set_new(answer.object, "health",
		    json_string("unknown"));
		return cli_finish(cli, &answer);
	}
	if (cli->json) {
		json = json_dumps(data, JSON_COMPACT);
		if (json != NULL)
			printf("%s\n", json);
		free(json);
	} else {
		table_status(stdout, data, answer_text(&answer), &style);
		if (answer_hint(&answer) != NULL)
			printf("HINT: %s\n", answer_hint(&answer));
	}
	answer_clear(&answer);
	return status;
}

static int
terminal_rows(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 2)
		return size.ws_row;
	return ROWS_DEFAULT;
}

/* Draws over what is there, so that nothing flickers. */
static void
draw(const char *text, bool terminal)
{
	int rows = terminal ? terminal_rows() - 1 : 0;
	const char *line = text;
	size_t len;

	if (!terminal) {
		printf("%s\n", text);
		fflush(stdout);
		return;
	}
	fputs("\033[H", stdout);
	for (; *line != '\0' && rows > 0; rows--) {
		len = strcspn(line, "\n");
		fwrite(line, 1, len, stdout);
		fputs("\033[K\n", stdout);
		line += line[len] == '\n' ? len + 1 : len;
	}
	fputs("\033[J", stdout);
	fflush(stdout);
}

/* One picture: the time, the table, or the last table and why it is old. */
static void
watch_once(struct cli *cli, bool terminal, char **last, time_t *last_at)
{
	struct table_style style = cli_style(cli, stdout);
	time_t now = time(NULL);
	struct answer answer;
	struct tm tm;
	char stamp[32] = "", *text = NULL;
	size_t size;
	FILE *out;

	if (ask_status(cli, &answer) == ANSWER_INTERRUPTED) {
		answer_clear(&answer);
		return;
	}
	if (answer_data(&answer) != NULL &&
	    (out = open_memstream(&text, &size)) != NULL) {
		table_status(out, answer_data(&answer),
		    answer_text(&answer), &style);
		fclose(out);
		free(*last);
		*last = text;
		*last_at = now;
	}
	text = NULL;
	if (localtime_r(&now, &tm) != NULL)
		strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &tm);
	if ((out = open_memstream(&text, &size)) != NULL) {
		fprintf(out, "%s\n", stamp);
		if (answer_data(&answer) == NULL) {
			fprintf(out, "failoverctl: %s\n",
			    answer_text(&answer));
			if (*last != NULL)
				fprintf(out, "What follows is %lld s old:\n",
				    (long long)(now - *last_at));
		}
		fputs(*last != NULL ? *last : "", out);
		fclose(out);
		draw(text, terminal);
	}
	free(text);
	answer_clear(&answer);
}

static int
status_watch(struct cli *cli)
{
	bool terminal = isatty(STDOUT_FILENO) == 1;
	struct answer answer = { 0 };
	char *last = NULL;
	time_t last_at = 0;

	if (cli->json)
		return cli_fail(cli, EXIT_USAGE_ERROR, "Run \"failoverctl "
		    "status --format json\" as often as you need it.",
		    "--watch has no JSON form");
	if (cli_find_socket(cli, &answer) == -1)
		return cli_finish(cli, &answer);
	interrupt_begin();
	if (terminal)
		fputs("\033[?25l\033[H\033[2J", stdout);
	while (interrupt_signal() == 0 && !ferror(stdout)) {
		watch_once(cli, terminal, &last, &last_at);
		if (interrupt_signal() == 0)
			interrupt_poll(-1, 0, WATCH_MS);
	}
	if (terminal)
		fputs("\033[?25h", stdout);
	fflush(stdout);
	interrupt_end();
	free(last);
	return EXIT_DONE;
}

int
cmd_status(struct cli *cli)
{
	if (cli_has(cli, OPTION_BIT(WATCH)))
		return status_watch(cli);
	return status_once(cli);
}
