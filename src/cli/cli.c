/*
 * cli.c - what every command of failoverctl shares: finding the agent,
 * reporting its answer, asking the operator.
 *
 * Owns what goes to stdout and what to stderr.  It must never print
 * anything on stdout with --format json but the one object.
 */
#include "cli.h"

#include <errno.h>
#include <langinfo.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "control.h"
#include "interrupt.h"
#include "text.h"

#define LOOK_TIMEOUT_MS	10000	/* for requests that change nothing */
#define CHECK_TIMEOUT_MS 120000	/* dry runs ask other hosts */
#define LINE_SIZE	4096
#define WIDTH_DEFAULT	80
#define WIDTH_MIN	40
#define WIDTH_MAX	1000

/* Progress on a terminal: lines that differ in numbers overwrite. */
struct progress {
	bool terminal;
	size_t width;
	char last[LINE_SIZE];
	bool open;		/* the cursor stands behind the last line */
};

static size_t
terminal_width(int fd)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	long width = columns != NULL ? strtol(columns, NULL, 10) : 0;

	if (width <= 0 && ioctl(fd, TIOCGWINSZ, &size) == 0)
		width = size.ws_col;
	if (width <= 0)
		width = WIDTH_DEFAULT;
	if (width < WIDTH_MIN)
		width = WIDTH_MIN;
	return width > WIDTH_MAX ? WIDTH_MAX : (size_t)width;
}

struct table_style
cli_style(const struct cli *cli, FILE *out)
{
	struct table_style style = { .width = terminal_width(fileno(out)) };
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	style.color = isatty(fileno(out)) && term != NULL &&
	    strcmp(term, "dumb") != 0 &&
	    (no_color == NULL || no_color[0] == '\0');
	style.utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	style.verbose = cli_has(cli, OPTION_BIT(VERBOSE));
	return style;
}

void
cli_note(const char *format, ...)
{
	char line[LINE_SIZE];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	text_clean(line);
	fprintf(stderr, "%s\n", line);
}

/* Same words, other numbers? */
static bool
is_same_but_numbers(const char *a, const char *b)
{
	static const char number[] = "0123456789.";

	for (;;) {
		a += strspn(a, number);
		b += strspn(b, number);
		if (*a != *b)
			return false;
		if (*a == '\0')
			return true;
		a++;
		b++;
	}
}

static void
progress_end(struct progress *progress)
{
	if (progress->open)
		fputc('\n', stderr);
	progress->open = false;
}

static void
progress_line(void *context, const char *text)
{
	struct progress *progress = context;
	char line[LINE_SIZE];

	snprintf(line, sizeof(line), "%s", text);
	text_clean(line);
	if (!progress->terminal) {
		fprintf(stderr, "%s\n", line);
		return;
	}
	if (progress->open && is_same_but_numbers(line, progress->last) &&
	    text_columns(progress->last) < progress->width)
		fputs("\r\033[K", stderr);
	else
		progress_end(progress);
	fputs(line, stderr);
	fflush(stderr);
	progress->open = true;
	memcpy(progress->last, line, sizeof(progress->last));
}

static void
progress_quiet(void *context, unsigned seconds)
{
	struct progress *progress = context;
	char line[80];

	if (!progress->terminal)
		return;
	snprintf(line, sizeof(line), "(still waiting for the agent, %u s; "
	    "^C stops the waiting only)", seconds);
	progress_line(progress, line);
}

int
cli_find_socket(struct cli *cli, struct answer *answer)
{
	const char *option = cli->options.value[OPTION_CONFIG];
	const char *path = conf_default_path(option);
	const char *variable = getenv("FAILOVERD_CONFIG");
	struct conf conf;
	char errmsg[ERRMSG_MAX];

	if (cli->socket[0] != '\0')
		return 0;
	if (cli_has(cli, OPTION_BIT(SOCKET))) {
		snprintf(cli->socket, sizeof(cli->socket), "%s",
		    cli->options.value[OPTION_SOCKET]);
		return 0;
	}
	if (conf_read(&conf, path, errmsg) == 0) {
		snprintf(cli->socket, sizeof(cli->socket),
		    "%s/control.sock", conf.run_dir);
		return 0;
	}
	if (access(path, R_OK) == -1 && errno == EACCES) {
		/* Members of control_group need not see the file. */
		if (option == NULL && (variable == NULL ||
		    variable[0] == '\0')) {
			conf_init(&conf);
			snprintf(cli->socket, sizeof(cli->socket),
			    "%s/control.sock", conf.run_dir);
			return 0;
		}
		answer_set(answer, EXIT_NOT_PERMITTED, "Run failoverctl as "
		    "the user of the agent: \"sudo -u postgres failoverctl "
		    "...\", or give the socket with -S.", "%s", errmsg);
		return -1;
	}
	answer_set(answer, EXIT_BAD_CONFIG, access(path, F_OK) == 0 ?
	    "Run \"failoverd -T\" to check the file, or give the control "
	    "socket with -S." : "Give the file with -c, if it is elsewhere.",
	    "%s", errmsg);
	return -1;
}

int
cli_call(struct cli *cli, const char *cmd, json_t *args, const char *look,
    struct answer *answer)
{
	struct progress progress = {
		.terminal = isatty(STDERR_FILENO) == 1,
		.width = terminal_width(STDERR_FILENO),
	};
	struct client_request request = {
		.cmd = cmd, .args = args, .changes = look != NULL,
		.timeout_ms = cli->timeout_ms, .look = look,
		.progress = progress_line, .quiet = progress_quiet,
		.context = &progress,
	};

	memset(answer, 0, sizeof(*answer));
	if (request.timeout_ms == 0 && look == NULL)
		request.timeout_ms = json_is_true(json_object_get(args,
		    "dry_run")) ? CHECK_TIMEOUT_MS : LOOK_TIMEOUT_MS;
	if (cli_find_socket(cli, answer) == 0) {
		request.socket = cli->socket;
		client_call(&request, answer);
	}
	progress_end(&progress);
	json_decref(args);
	return answer->exit;
}

/* The text, the reasons behind it, and last what to do. */
static void
print_answer(const struct cli *cli, const struct answer *answer)
{
	struct table_style style;
	FILE *out = answer->exit == EXIT_DONE ? stdout : stderr;
	const char *hint = answer_hint(answer);
	char line[LINE_SIZE];

	snprintf(line, sizeof(line), "%s", answer_text(answer));
	text_clean(line);
	if (out == stderr)
		fprintf(out, "failoverctl: %s\n", line[0] != '\0' ? line :
		    "the agent refused without a reason");
	else if (line[0] != '\0')
		fprintf(out, "%s\n", line);
	if (!cli->json) {
		style = cli_style(cli, out);
		table_trace(out, json_object_get(answer_data(answer),
		    "trace"), 2, &style);
	}
	if (hint == NULL)
		return;
	snprintf(line, sizeof(line), "%s", hint);
	text_clean(line);
	fprintf(out, "HINT: %s\n", line);
}

int
cli_finish(struct cli *cli, struct answer *answer)
{
	int status = answer->exit, signal_number = answer->signal;
	char *json;

	if (status == ANSWER_INTERRUPTED) {
		answer_clear(answer);
		fflush(stdout);
		interrupt_die(signal_number);
	}
	if (cli->json && (json = json_dumps(answer->object,
	    JSON_COMPACT)) != NULL) {
		printf("%s\n", json);
		free(json);
	}
	if (!cli->json || status != EXIT_DONE) {
		fflush(stdout);
		print_answer(cli, answer);
	}
	answer_clear(answer);
	return status;
}

int
cli_preview(struct cli *cli, const char *cmd, json_t *args,
    struct answer *answer)
{
	struct table_style style = cli_style(cli, stderr);

	json_object_set_new(args, "dry_run", json_true());
	if (cli_call(cli, cmd, args, NULL, answer) != EXIT_DONE)
		return -1;
	if (answer_text(answer)[0] != '\0')
		cli_note("%s", answer_text(answer));
	table_trace(stderr, json_object_get(answer_data(answer), "trace"), 2,
	    &style);
	answer_clear(answer);
	return 0;
}

int
cli_fail(struct cli *cli, int exit, const char *hint, const char *format,
    ...)
{
	struct answer answer = { 0 };
	char text[LINE_SIZE];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	answer_set(&answer, exit, hint, "%s", text);
	return cli_finish(cli, &answer);
}

bool
cli_is_asking(const struct cli *cli)
{
	return !cli->yes && isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

/* Asks on the terminal; -1 at ^C, ^D or anything but yes. */
static int
ask(const char *question)
{
	char line[64];
	ssize_t n;

	interrupt_begin();
	fprintf(stderr, "%s [y/N] ", question);
	fflush(stderr);
	while (interrupt_poll(STDIN_FILENO, POLLIN, -1) != 1)
		if (interrupt_signal() != 0)
			break;
	n = interrupt_signal() == 0 ? read(STDIN_FILENO, line,
	    sizeof(line) - 1) : 0;
	interrupt_end();
	if (n <= 0) {
		fputc('\n', stderr);
		return -1;
	}
	line[n] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	return strcasecmp(line, "y") == 0 || strcasecmp(line, "yes") == 0 ?
	    0 : -1;
}

int
cli_confirm(struct cli *cli, const char *what, struct answer *answer)
{
	if (cli->yes)
		return 0;
	if (!cli_is_asking(cli)) {
		answer_set(answer, EXIT_USAGE_ERROR, "Add --yes to do it, or "
		    "--dry-run to see what would be done.", "\"%s\" "
		    "interrupts service and there is no terminal to ask on",
		    cli->command->name);
		if ((cli->command->options & OPTION_BIT(DRY_RUN)) == 0)
			json_object_set_new(answer->object, "hint",
			    json_string("Add --yes to do it."));
		return -1;
	}
	if (ask(what) == 0)
		return 0;
	answer_set(answer, EXIT_REFUSED, NULL,
	    "not confirmed, nothing was changed");
	return -1;
}
