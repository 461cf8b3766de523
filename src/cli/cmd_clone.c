/*
 * cmd_clone.c - failoverctl clone-standby: a new standby on a new host.
 *
 * Only turns the command line into a request; who connects where, and every
 * check, is the coordinator's.
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "conf.h"
#include "control.h"
#include "argument.h"

#define PORT_SSH	"22"
#define USER_DEFAULT	"postgres"

struct target {
	char user[64];
	char host[ADDRESS_MAX_LEN + 1];
	int port;
};

/* [USER@]HOST[:PORT] */
static int
parse_target(const char *text, struct target *target, char *errmsg)
{
	const char *at = strrchr(text, '@');
	char port[16];

	memset(target, 0, sizeof(*target));
	if (at == text || (at != NULL &&
	    (size_t)(at - text) >= sizeof(target->user))) {
		snprintf(errmsg, ERRMSG_MAX,
		    "\"%.200s\" has no user name before \"@\"", text);
		return -1;
	}
	if (at != NULL)
		snprintf(target->user, sizeof(target->user), "%.*s",
		    (int)(at - text), text);
	else
		snprintf(target->user, sizeof(target->user), USER_DEFAULT);
	if (argument_host_port(at != NULL ? at + 1 : text, PORT_SSH,
	    target->host, sizeof(target->host), port, sizeof(port),
	    errmsg) == -1)
		return -1;
	target->port = (int)strtol(port, NULL, 10);
	return 0;
}

/* --name, else the first label of the host if that can be a name. */
static int
choose_name(const struct cli *cli, const struct target *target,
    char name[NAME_MAX_LEN + 1], char *errmsg)
{
	const char *given = cli->options.value[OPTION_NAME];
	size_t len = strcspn(target->host, ".");

	name[0] = '\0';
	if (given != NULL) {
		if (!conf_is_name(given)) {
			snprintf(errmsg, ERRMSG_MAX, "\"%.200s\" cannot be "
			    "the name of a node: a lower case letter, then "
			    "at most 30 of a-z, 0-9 and \"-\"", given);
			return -1;
		}
		strcpy(name, given);
		return 0;
	}
	if (len <= NAME_MAX_LEN)
		snprintf(name, NAME_MAX_LEN + 1, "%.*s", (int)len,
		    target->host);
	if (conf_is_name(name))
		return 0;
	snprintf(errmsg, ERRMSG_MAX,
	    "no name for the new node follows from \"%.200s\"",
	    target->host);
	return -1;
}

/* An option that is a key of the new node's failoverd.conf. */
static int
add_key(json_t *conf, const char *key, const char *value, char *errmsg)
{
	if (value == NULL)
		return 0;
	if (json_object_get(conf, key) != NULL) {
		snprintf(errmsg, ERRMSG_MAX,
		    "\"%s\" is given twice, by an option and by --conf", key);
		return -1;
	}
	return json_object_set_new(conf, key, json_string(value));
}

/* cluster, node and peers follow from the cluster; others must exist. */
static int
check_keys(json_t *conf, char *errmsg)
{
	static const char *const ours[] = { "cluster", "node", "peers" };
	struct conf scratch;
	const char *key;
	json_t *value;
	size_t i;

	conf_init(&scratch);
	json_object_foreach(conf, key, value) {
		for (i = 0; i < sizeof(ours) / sizeof(*ours); i++)
			if (strcmp(key, ours[i]) == 0) {
				snprintf(errmsg, ERRMSG_MAX, "key \"%s\" is "
				    "set by clone-standby itself", key);
				return -1;
			}
		if (conf_set(&scratch, key, json_string_value(value),
		    errmsg) == -1)
			return -1;
	}
	return 0;
}

/* {KEY: VALUE} for the new node's failoverd.conf, or NULL with errmsg. */
static json_t *
make_conf(const struct cli *cli, char *errmsg)
{
	const char *const *value = cli->options.value;
	json_t *conf = argument_object(&cli->options.conf, errmsg);
	char agent[ADDRESS_MAX_LEN + 1], postgres[ADDRESS_MAX_LEN + 1];

	if (conf == NULL)
		return NULL;
	if (value[OPTION_ADVERTISE] != NULL && argument_address(
	    value[OPTION_ADVERTISE], PORT_AGENT, agent, errmsg) == -1)
		goto failed;
	if (value[OPTION_PG_ADVERTISE] != NULL && argument_address(
	    value[OPTION_PG_ADVERTISE], PORT_POSTGRES, postgres,
	    errmsg) == -1)
		goto failed;
	if (add_key(conf, "advertise", value[OPTION_ADVERTISE] != NULL ?
	    agent : NULL, errmsg) == -1 ||
	    add_key(conf, "postgresql.advertise",
	    value[OPTION_PG_ADVERTISE] != NULL ? postgres : NULL,
	    errmsg) == -1 ||
	    add_key(conf, "postgresql.data_dir", value[OPTION_DATA_DIR],
	    errmsg) == -1 || check_keys(conf, errmsg) == -1)
		goto failed;
	return conf;
failed:
	json_decref(conf);
	return NULL;
}

int
cmd_clone_standby(struct cli *cli)
{
	const char *fingerprint = cli->options.value[OPTION_ACCEPT_HOST_KEY];
	bool dry_run = cli_has(cli, OPTION_BIT(DRY_RUN));
	struct answer answer = { 0 };
	struct target target;
	char name[NAME_MAX_LEN + 1], errmsg[ERRMSG_MAX];
	json_t *conf, *args;

	if (parse_target(cli_argument(cli, 1), &target, errmsg) == -1)
		return cli_fail(cli, EXIT_USAGE_ERROR, NULL, "%s", errmsg);
	if (choose_name(cli, &target, name, errmsg) == -1)
		return cli_fail(cli, EXIT_USAGE_ERROR, "Give a name with "
		    "--name, for example --name n2.", "%s", errmsg);
	if (fingerprint != NULL && strncmp(fingerprint, "SHA256:", 7) != 0)
		return cli_fail(cli, EXIT_USAGE_ERROR, "Run \"ssh-keygen -lf "
		    "/etc/ssh/ssh_host_ed25519_key.pub\" on the new host to "
		    "see it.", "--accept-host-key needs a fingerprint that "
		    "begins with \"SHA256:\"");
	conf = make_conf(cli, errmsg);
	if (conf == NULL)
		return cli_fail(cli, EXIT_USAGE_ERROR, NULL, "%s", errmsg);
	args = json_pack("{s:s, s:i, s:s, s:s, s:o, s:b, s:b, s:b}",
	    "host", target.host, "port", target.port, "user", target.user,
	    "name", name, "conf", conf, "replace",
	    cli_has(cli, OPTION_BIT(REPLACE)), "dry_run", dry_run, "wait",
	    cli->wait);
	if (args == NULL)
		return cli_fail(cli, EXIT_USAGE_ERROR, NULL,
		    "the user name is not UTF-8");
	if (fingerprint != NULL)
		json_object_set_new(args, "accept_host_key",
		    json_string(fingerprint));
	cli_call(cli, "clone-standby", args, dry_run ? NULL : "jobs",
	    &answer);
	return cli_finish(cli, &answer);
}
