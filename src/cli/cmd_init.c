/*
 * cmd_init.c - failoverctl init: the first node of a cluster.
 *
 * Writes failoverd.conf if there is none, sees to it that an agent runs and
 * asks it to create the cluster.  Must never leave anything half done: when
 * the agent cannot be started or refuses, what was written is removed and
 * what was started is stopped again; but never once the outcome is unknown.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <libconfig.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli.h"
#include "conf.h"
#include "control.h"
#include "interrupt.h"
#include "launch.h"
#include "argument.h"

#define POSTGRES_DIR	"/usr/lib/postgresql"
#define START_MS	30000
#define STOP_MS		15000

struct init {
	struct cli *cli;
	struct conf conf;
	char path[CONF_PATH_MAX];	/* of failoverd.conf, absolute */
	bool wrote;			/* we wrote it */
	bool started;			/* we started the agent, or the
					 * file we wrote did */
	struct answer answer;
};

static int
fail(struct init *init, int exit, const char *hint, const char *text)
{
	answer_set(&init->answer, exit, hint, "%s", text);
	return -1;
}

/* The agent changes its directory, so the path must be absolute. */
static int
find_path(struct init *init)
{
	const char *path = conf_default_path(
	    init->cli->options.value[OPTION_CONFIG]);
	char *here = path[0] == '/' ? NULL : getcwd(NULL, 0);
	int len = snprintf(init->path, sizeof(init->path), "%s%s%s",
	    here != NULL ? here : "", here != NULL ? "/" : "", path);

	free(here);
	if (len < (int)sizeof(init->path))
		return 0;
	return fail(init, EXIT_USAGE_ERROR, NULL,
	    "the path of the configuration file is too long");
}

/* /var/lib/postgresql/MAJOR/main of the newest version installed. */
static int
default_data_dir(char *out, size_t size)
{
	DIR *dir = opendir(POSTGRES_DIR);
	struct dirent *entry;
	long newest = 0, major;
	char *end;

	if (dir == NULL)
		return -1;
	while ((entry = readdir(dir)) != NULL) {
		major = isdigit((unsigned char)entry->d_name[0]) ?
		    strtol(entry->d_name, &end, 10) : 0;
		if (major > newest && *end == '\0')
			newest = major;
	}
	closedir(dir);
	if (newest == 0)
		return -1;
	snprintf(out, size, "/var/lib/postgresql/%ld/main", newest);
	return 0;
}

/* The value of a key as the file has it, for an error message. */
static void
value_in_file(const struct init *init, const char *key, char *out,
    size_t size)
{
	const char *text;
	config_t config;

	snprintf(out, size, "another value");
	config_init(&config);
	if (config_read_file(&config, init->path) &&
	    config_lookup_string(&config, key, &text))
		snprintf(out, size, "\"%s\"", text);
	else if (config_lookup(&config, key) == NULL)
		snprintf(out, size, "the default");
	config_destroy(&config);
}

/* An option against the file that is there: both values, by name. */
static int
compare_key(struct init *init, const char *key, const char *value)
{
	struct conf changed;
	char errmsg[ERRMSG_MAX], have[CONF_PATH_MAX];
	char text[ERRMSG_MAX + 2 * CONF_PATH_MAX];

	memcpy(&changed, &init->conf, sizeof(changed));
	if (conf_set(&changed, key, value, errmsg) == -1)
		return fail(init, EXIT_USAGE_ERROR, NULL, errmsg);
	if (memcmp(&changed, &init->conf, sizeof(changed)) == 0)
		return 0;
	value_in_file(init, key, have, sizeof(have));
	snprintf(text, sizeof(text), "\"%s\" exists and says %s for \"%s\", "
	    "the command line says \"%.400s\"", init->path, have, key,
	    value);
	return fail(init, EXIT_USAGE_ERROR, "Leave the option out, or change "
	    "the file.", text);
}

/* The same for addresses, where a port may be left out on either side. */
static int
compare_address(struct init *init, const char *key, const char *value,
    const char *have, const char *default_port)
{
	char a[ADDRESS_MAX_LEN + 1], b[ADDRESS_MAX_LEN + 1];
	char errmsg[ERRMSG_MAX];

	if (value == NULL)
		return 0;
	if (argument_address(value, default_port, a, errmsg) == -1)
		return fail(init, EXIT_USAGE_ERROR, NULL, errmsg);
	if (argument_address(have, default_port, b, errmsg) == 0 &&
	    strcmp(a, b) == 0)
		return 0;
	return compare_key(init, key, a);
}

static int
compare_options(struct init *init)
{
	const char *const *value = init->cli->options.value;
	const struct settings *list = &init->cli->options.conf;
	const char *data_dir = value[OPTION_ADOPT] != NULL ?
	    value[OPTION_ADOPT] : value[OPTION_DATA_DIR];
	const char *text;
	char key[128];
	unsigned i;

	if ((value[OPTION_CLUSTER] != NULL && compare_key(init, "cluster",
	    value[OPTION_CLUSTER]) == -1) ||
	    (value[OPTION_NODE] != NULL && compare_key(init, "node",
	    value[OPTION_NODE]) == -1) ||
	    compare_address(init, "advertise", value[OPTION_ADVERTISE],
	    init->conf.advertise, PORT_AGENT) == -1 ||
	    compare_address(init, "postgresql.advertise",
	    value[OPTION_PG_ADVERTISE], init->conf.pg_advertise,
	    PORT_POSTGRES) == -1 ||
	    (data_dir != NULL && compare_key(init, "postgresql.data_dir",
	    data_dir) == -1))
		return -1;
	for (i = 0; i < list->count; i++) {
		text = argument_split(list->text[i], key, sizeof(key));
		if (compare_key(init, key, text) == -1)
			return -1;
	}
	return 0;
}

/* listen follows the port of advertise, and its family. */
static int
set_addresses(struct init *init, char *errmsg)
{
	const char *const *value = init->cli->options.value;
	struct conf *conf = &init->conf;
	char address[ADDRESS_MAX_LEN + 1], host[ADDRESS_MAX_LEN + 1];
	char port[16], listen[32], same[ADDRESS_MAX_LEN + 3];

	if (argument_address(value[OPTION_ADVERTISE], PORT_AGENT, address,
	    errmsg) == -1 ||
	    conf_set(conf, "advertise", address, errmsg) == -1 ||
	    conf_set(conf, "peers", address, errmsg) == -1 ||
	    argument_host_port(address, PORT_AGENT, host, sizeof(host),
	    port, sizeof(port), errmsg) == -1)
		return -1;
	snprintf(listen, sizeof(listen), "%s:%s",
	    strchr(host, ':') != NULL ? "[::]" : "0.0.0.0", port);
	if (conf_set(conf, "listen", listen, errmsg) == -1)
		return -1;
	/* PostgreSQL: as given, else on the same host. */
	if (value[OPTION_PG_ADVERTISE] != NULL)
		snprintf(same, sizeof(same), "%.256s",
		    value[OPTION_PG_ADVERTISE]);
	else
		snprintf(same, sizeof(same), strchr(host, ':') != NULL ?
		    "[%s]" : "%s", host);
	if (argument_address(same, PORT_POSTGRES, address, errmsg) == -1)
		return -1;
	return conf_set(conf, "postgresql.advertise", address, errmsg);
}

/* A new configuration from the options. */
static int
build_conf(struct init *init)
{
	const char *const *value = init->cli->options.value;
	const struct settings *list = &init->cli->options.conf;
	char data_dir[CONF_PATH_MAX] = "", key[128], errmsg[ERRMSG_MAX];
	const char *text;
	unsigned i;

	conf_init(&init->conf);
	strcpy(init->conf.file, init->path);
	if (value[OPTION_CLUSTER] == NULL || value[OPTION_NODE] == NULL ||
	    value[OPTION_ADVERTISE] == NULL)
		return fail(init, EXIT_USAGE_ERROR, "For example: failoverctl "
		    "init --cluster sales --node n1 --advertise 10.0.0.11",
		    "a new cluster needs --cluster, --node and --advertise");
	if (value[OPTION_DATA_DIR] != NULL || value[OPTION_ADOPT] != NULL)
		snprintf(data_dir, sizeof(data_dir), "%s",
		    value[OPTION_ADOPT] != NULL ? value[OPTION_ADOPT] :
		    value[OPTION_DATA_DIR]);
	else if (default_data_dir(data_dir, sizeof(data_dir)) == -1 &&
	    !cli_has(init->cli, OPTION_BIT(CONF)))
		return fail(init, EXIT_USAGE_ERROR, "Name the data directory "
		    "with --data-dir, or install PostgreSQL.",
		    "could not find PostgreSQL below \"" POSTGRES_DIR "\"");
	if (conf_set(&init->conf, "cluster", value[OPTION_CLUSTER],
	    errmsg) == -1 || conf_set(&init->conf, "node",
	    value[OPTION_NODE], errmsg) == -1 ||
	    set_addresses(init, errmsg) == -1 || (data_dir[0] != '\0' &&
	    conf_set(&init->conf, "postgresql.data_dir", data_dir,
	    errmsg) == -1))
		return fail(init, EXIT_USAGE_ERROR, NULL, errmsg);
	for (i = 0; i < list->count; i++) {
		text = argument_split(list->text[i], key, sizeof(key));
		if (conf_set(&init->conf, key, text, errmsg) == -1)
			return fail(init, EXIT_USAGE_ERROR, NULL, errmsg);
	}
	if (conf_check(&init->conf, errmsg) == -1)
		return fail(init, EXIT_USAGE_ERROR, NULL, errmsg);
	return 0;
}

/* Reads the file that is there, or writes a new one. */
static int
settle_conf(struct init *init)
{
	char errmsg[ERRMSG_MAX];
	int error;

	if (access(init->path, F_OK) == 0) {
		if (conf_read(&init->conf, init->path, errmsg) == -1)
			return fail(init, EXIT_BAD_CONFIG, NULL, errmsg);
		return compare_options(init);
	}
	error = errno;
	if (error != ENOENT) {
		snprintf(errmsg, sizeof(errmsg), "could not access file "
		    "\"%.300s\": %s", init->path, strerror(error));
		return fail(init, error == EACCES ? EXIT_NOT_PERMITTED :
		    EXIT_BAD_CONFIG, NULL, errmsg);
	}
	if (build_conf(init) == -1)
		return -1;
	snprintf(init->cli->socket, sizeof(init->cli->socket),
	    "%s/control.sock", init->conf.run_dir);
	if (client_agent_pid(init->cli->socket) != -1)
		return fail(init, EXIT_REFUSED, "Give its configuration file "
		    "with -c, or another run_dir with --conf run_dir=DIR.",
		    "another agent is listening in run_dir already");
	if (conf_write(&init->conf, init->path, errmsg) == -1)
		return fail(init, EXIT_REFUSED, "The directory must exist "
		    "and be writable for this user; the package makes it, -c "
		    "FILE names another.", errmsg);
	init->wrote = true;
	cli_note("wrote \"%s\"", init->path);
	return 0;
}

static int
ensure_agent(struct init *init)
{
	char errmsg[ERRMSG_MAX];

	snprintf(init->cli->socket, sizeof(init->cli->socket),
	    "%s/control.sock", init->conf.run_dir);
	if (client_agent_pid(init->cli->socket) != -1)
		return 0;
	if (launch_is_service_managed()) {
		init->started = init->wrote;
		if (launch_wait_socket(&init->conf, START_MS, errmsg) == 0)
			return 0;
		return fail(init, EXIT_CANNOT_TELL, "Run \"systemctl status "
		    "failoverd\" and, as root, \"systemctl start failoverd\".",
		    errmsg);
	}
	init->started = true;
	if (launch_agent(&init->conf, START_MS, errmsg) == 0)
		return 0;
	return fail(init, EXIT_REFUSED, NULL, errmsg);
}

/* SIGTERM to whoever listens, and wait until it is gone. */
static void
stop_agent(struct init *init)
{
	long pid = client_agent_pid(init->cli->socket);
	struct pollfd ended = { .events = POLLIN };

	if (pid <= 1 || pid == getpid())
		return;
	ended.fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	if (ended.fd == -1)
		return;
	if (kill((pid_t)pid, SIGTERM) == 0 &&
	    poll(&ended, 1, STOP_MS) == 1)
		cli_note("stopped the agent again (pid %ld)", pid);
	else
		cli_note("could not stop the agent (pid %ld)", pid);
	close(ended.fd);
}

/* Leaves this host as we found it. */
static void
undo(struct init *init)
{
	/* The file first: a service manager would start the agent again. */
	if (init->wrote && unlink(init->path) == 0)
		cli_note("removed \"%s\" again", init->path);
	else if (init->wrote)
		cli_note("could not remove file \"%s\": %s", init->path,
		    strerror(errno));
	if (init->started)
		stop_agent(init);
}

static json_t *
request_args(const struct init *init, json_t *settings)
{
	const struct cli *cli = init->cli;

	return json_pack("{s:O, s:b, s:b}", "settings", settings, "adopt",
	    cli_has(cli, OPTION_BIT(ADOPT)), "dry_run",
	    cli_has(cli, OPTION_BIT(DRY_RUN)));
}

/* Asks the agent, and first the operator where service is interrupted. */
static void
ask_agent(struct init *init, json_t *settings)
{
	struct cli *cli = init->cli;
	bool dry_run = cli_has(cli, OPTION_BIT(DRY_RUN));

	if (cli_has(cli, OPTION_BIT(ADOPT)) && !dry_run) {
		if (cli_is_asking(cli) && cli_preview(cli, "init",
		    request_args(init, settings), &init->answer) == -1)
			return;
		if (cli_confirm(cli, "PostgreSQL is restarted once to adopt "
		    "it. Go on?", &init->answer) == -1)
			return;
	}
	cli_call(cli, "init", request_args(init, settings),
	    dry_run ? NULL : "status", &init->answer);
}

/* "n1" -> "n2": the name a reader expects next. */
static void
next_name(const char *node, char out[NAME_MAX_LEN + 8])
{
	size_t len = strlen(node), digits = len;

	while (digits > 0 && isdigit((unsigned char)node[digits - 1]))
		digits--;
	if (digits < len && len - digits < 6)
		snprintf(out, NAME_MAX_LEN + 8, "%.*s%ld", (int)digits,
		    node, strtol(node + digits, NULL, 10) + 1);
	else
		snprintf(out, NAME_MAX_LEN + 8, "NAME");
}

static void
print_next_steps(const struct init *init)
{
	const struct cli *cli = init->cli;
	const char *key = json_string_value(json_object_get(
	    answer_data(&init->answer), "authorized_keys"));
	char name[NAME_MAX_LEN + 8];
	size_t len;

	if (key == NULL)
		return;
	len = strcspn(key, "\r\n");
	next_name(init->conf.node, name);
	printf("\nOn each new host, as postgres:\n"
	    "  install -d -m 700 ~/.ssh\n"
	    "  echo '%.*s' >> ~/.ssh/authorized_keys\n\n"
	    "Then, here:\n  failoverctl%s%s clone-standby HOST --name %s\n",
	    (int)len, key,
	    cli_has(cli, OPTION_BIT(CONFIG)) ? " -c " : "",
	    cli_has(cli, OPTION_BIT(CONFIG)) ?
	    cli->options.value[OPTION_CONFIG] : "", name);
}

/* What the options alone can tell; nothing is touched before it. */
static int
check_options(struct init *init)
{
	struct cli *cli = init->cli;
	const char *const *value = cli->options.value;

	if (cli_has(cli, OPTION_BIT(SOCKET)))
		return fail(init, EXIT_USAGE_ERROR, "Use --conf run_dir=DIR.",
		    "init finds the socket through run_dir, not -S");
	if (value[OPTION_ADOPT] != NULL && value[OPTION_DATA_DIR] != NULL &&
	    strcmp(value[OPTION_ADOPT], value[OPTION_DATA_DIR]) != 0)
		return fail(init, EXIT_USAGE_ERROR, NULL,
		    "--adopt and --data-dir name different directories");
	if (geteuid() == 0)
		return fail(init, EXIT_NOT_PERMITTED, "Run \"runuser -u "
		    "postgres -- failoverctl init ...\".", "init must run as "
		    "the user of PostgreSQL, not as root");
	if (value[OPTION_ADOPT] != NULL && !cli->yes &&
	    !cli_has(cli, OPTION_BIT(DRY_RUN)) && !cli_is_asking(cli))
		return cli_confirm(cli, "", &init->answer);
	return find_path(init);
}

int
cmd_init(struct cli *cli)
{
	struct init init = { .cli = cli };
	char errmsg[ERRMSG_MAX];
	json_t *settings = argument_object(&cli->options.set, errmsg);
	bool dry_run = cli_has(cli, OPTION_BIT(DRY_RUN)), begun;

	if (settings == NULL)
		return cli_fail(cli, EXIT_USAGE_ERROR, NULL, "%s", errmsg);
	if (check_options(&init) == -1) {
		json_decref(settings);
		return cli_finish(cli, &init.answer);
	}
	/* From the first file on, ^C must find its way through undo(). */
	interrupt_begin();
	if (settle_conf(&init) == 0 && ensure_agent(&init) == 0)
		ask_agent(&init, settings);
	json_decref(settings);
	/* Unknown outcome: the agent may be at it, so its file must stay. */
	begun = init.answer.exit == EXIT_BEGUN_FAILED;
	if (dry_run || (init.answer.exit != EXIT_DONE && !begun))
		undo(&init);
	interrupt_end();
	if (init.answer.exit == EXIT_DONE && !cli->json && !dry_run) {
		printf("%s\n", answer_text(&init.answer));
		print_next_steps(&init);
		answer_clear(&init.answer);
		return EXIT_DONE;
	}
	return cli_finish(cli, &init.answer);
}
