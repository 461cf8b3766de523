/*
 * conf.c - failoverd.conf: one table of keys, and everything made from it.
 *
 * Decides what a key may hold and whether the keys fit together.  Must never
 * guess: a key it does not know, a wrong type and a value out of range are
 * errors with file, line and key, because a setting that is silently ignored
 * is found out during a failover.
 */
#include "conf.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"

#ifndef FAILOVERD_CONF_PATH
#define FAILOVERD_CONF_PATH	"/etc/failoverd/failoverd.conf"
#endif

#define CONF_FILE_MAX	65536	/* bytes; a real one has about 1500 */
#define STATE_DIR_MAX	400	/* room for the names of the files inside */
#define VALUE_MAX	(CONF_PEERS_MAX * (ADDRESS_MAX_LEN + 2))

#define PORT_AGENT	"7432"
#define PORT_POSTGRES	"5432"
#define PORT_HTTP	"8008"

enum value_type {
	TYPE_NAME,		/* [a-z][a-z0-9-]{0,30} */
	TYPE_AGENT,		/* host:port, port 7432 when left out */
	TYPE_POSTGRES,		/* the same with 5432 */
	TYPE_HTTP,		/* the same with 8008 */
	TYPE_PATH,		/* absolute, no ".." */
	TYPE_WORD,		/* no blanks, no quotes */
	TYPE_TEXT,
	TYPE_LEVEL,		/* of log.h */
	TYPE_PEERS		/* list of TYPE_AGENT */
};

struct conf_key {
	const char *path;
	enum value_type type;
	const char *fallback;	/* NULL = no default, must be given */
	size_t min, max;	/* length in bytes; TYPE_PEERS: entries */
	const char *help;
	size_t offset;		/* in struct conf */
};

#define AT(member)	offsetof(struct conf, member)
#define FIT(member)	(sizeof(((struct conf *)NULL)->member) - 1)

static const struct conf_key keys[] = {
	{ "cluster", TYPE_NAME, NULL, 1, NAME_MAX_LEN,
	    "name of the cluster, the same on every node", AT(cluster) },
	{ "node", TYPE_NAME, NULL, 1, NAME_MAX_LEN,
	    "name of this node; the name in its certificate", AT(node) },
	{ "listen", TYPE_AGENT, "0.0.0.0:7432", 1, ADDRESS_MAX_LEN,
	    "where the other agents connect, mutual TLS; "
	    "\"[::]:7432\" for both families", AT(listen) },
	{ "advertise", TYPE_AGENT, NULL, 1, ADDRESS_MAX_LEN,
	    "how the other agents reach this one; host names allowed",
	    AT(advertise) },
	{ "peers", TYPE_PEERS, "", 0, CONF_PEERS_MAX,
	    "first contact only; later the replicated members count",
	    AT(peers) },
	{ "postgresql.advertise", TYPE_POSTGRES, NULL, 1, ADDRESS_MAX_LEN,
	    "how standbys and clients reach PostgreSQL", AT(pg_advertise) },
	{ "postgresql.data_dir", TYPE_PATH, NULL, 1, 400,
	    "the data directory", AT(data_dir) },
	{ "postgresql.config_file", TYPE_PATH, "", 0, FIT(config_file),
	    "\"\" = /etc/postgresql/VERSION/NAME/postgresql.conf if Debian "
	    "knows data_dir, else the one in data_dir", AT(config_file) },
	{ "postgresql.bin_dir", TYPE_PATH, "", 0, 400,
	    "\"\" = by data_dir/PG_VERSION, then PATH", AT(bin_dir) },
	{ "postgresql.user", TYPE_TEXT, "postgres", 1, FIT(pg_user),
	    "role of the agent's own sessions: superuser, Unix socket, peer",
	    AT(pg_user) },
	{ "postgresql.passfile", TYPE_PATH, "", 0, FIT(passfile),
	    "only if the socket asks for a password (mode 0600)",
	    AT(passfile) },
	{ "postgresql.log_file", TYPE_PATH, "", 0, FIT(log_file),
	    "stdout and stderr of PostgreSQL; \"\" = "
	    "/var/log/postgresql/postgresql-VERSION-NAME.log if Debian knows "
	    "data_dir, else state_dir/postgresql.log", AT(log_file) },
	{ "postgresql.listen_addresses", TYPE_TEXT, "", 0,
	    FIT(listen_addresses),
	    "\"\" = leave it to postgresql.conf", AT(listen_addresses) },
	{ "postgresql.socket_dir", TYPE_PATH, "", 0, FIT(socket_dir),
	    "\"\" = leave it to postgresql.conf", AT(socket_dir) },
	{ "state_dir", TYPE_PATH, "/var/lib/failoverd", 1, STATE_DIR_MAX,
	    "consensus state, markers, secrets (mode 0700); never inside "
	    "data_dir", AT(state_dir) },
	{ "run_dir", TYPE_PATH, "/run/failoverd", 1, FIT(run_dir),
	    "control.sock, guard.sock; survives a restart of the agent",
	    AT(run_dir) },
	{ "control_group", TYPE_WORD, "", 0, FIT(control_group),
	    "group that may use failoverctl, besides root and our own user",
	    AT(control_group) },
	{ "http", TYPE_HTTP, "127.0.0.1:8008", 0, ADDRESS_MAX_LEN,
	    "health and metrics, read only; \"\" = off", AT(http) },
	{ "watchdog", TYPE_PATH, "", 0, FIT(watchdog),
	    "e.g. \"/dev/watchdog\" (needs a udev rule for our user)",
	    AT(watchdog) },
	{ "log_level", TYPE_LEVEL, "info", 1, FIT(log_level),
	    "error warning info debug; while running: failoverctl set",
	    AT(log_level) },
	{ "known_hosts", TYPE_PATH, "/var/lib/failoverd/known_hosts", 1,
	    FIT(known_hosts),
	    "read besides ~/.ssh/known_hosts; by default in state_dir",
	    AT(known_hosts) },
};

#define KEY_COUNT	(sizeof(keys) / sizeof(keys[0]))

__attribute__((format(printf, 2, 3)))
static int
fail(char *errmsg, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(errmsg, ERRMSG_MAX, format, ap);
	va_end(ap);
	return -1;
}

static char *
slot(struct conf *conf, const struct conf_key *key)
{
	return (char *)conf + key->offset;
}

static const char *
value_of(const struct conf *conf, const struct conf_key *key)
{
	return (const char *)conf + key->offset;
}

static const struct conf_key *
find_key(const char *path)
{
	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (strcmp(keys[i].path, path) == 0)
			return &keys[i];
	}
	return NULL;
}

/* "data_dir" of "postgresql.data_dir"; NULL for a key at the top. */
static const char *
in_group(const struct conf_key *key)
{
	const char *dot = strchr(key->path, '.');

	return dot == NULL ? NULL : dot + 1;
}

bool
conf_is_name(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > NAME_MAX_LEN || name[0] < 'a' || name[0] > 'z')
		return false;
	for (size_t i = 1; i < len; i++) {
		if (strchr("abcdefghijklmnopqrstuvwxyz0123456789-",
		    name[i]) == NULL)
			return false;
	}
	return true;
}

/* Enough to keep text that cannot be a host away from the resolver. */
static bool
is_host(const char *host, bool bracketed)
{
	size_t len = strlen(host);

	if (len == 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)host[i];

		if (isascii(c) && isalnum(c))
			continue;
		if (strchr(bracketed ? ":.%-_" : ".-_", c) == NULL)
			return false;
	}
	return host[0] != '-';
}

static bool
is_port(const char *port)
{
	size_t len = strlen(port);

	if (len == 0 || len > 5 || strspn(port, "0123456789") != len)
		return false;
	return atoi(port) >= 1 && atoi(port) <= 65535;
}

int
conf_split_address(const char *address, const char *default_port,
    char *host, size_t host_size, char *port, size_t port_size, char *errmsg)
{
	const char *start = address, *end, *rest;
	bool bracketed = address[0] == '[';
	size_t len;

	host[0] = port[0] = '\0';
	if (bracketed) {
		start = address + 1;
		end = strchr(start, ']');
		if (end == NULL)
			return fail(errmsg, "address \"%s\" has no \"]\"",
			    address);
		rest = end + 1;
	} else {
		end = strchr(start, ':');
		if (end != NULL && strchr(end + 1, ':') != NULL)
			return fail(errmsg, "address \"%s\" has more than one "
			    "colon; write an IPv6 address as \"[::1]:%s\"",
			    address, default_port);
		if (end == NULL)
			end = start + strlen(start);
		rest = end;
	}
	len = (size_t)(end - start);
	if (len >= host_size)
		return fail(errmsg, "address \"%s\" is too long", address);
	memcpy(host, start, len);
	host[len] = '\0';
	if (!is_host(host, bracketed)) {
		host[0] = '\0';
		return fail(errmsg, "address \"%s\" has no valid host; it must "
		    "be \"HOST:PORT\" or \"[IPV6]:PORT\"", address);
	}
	if (rest[0] == '\0')
		rest = default_port;
	else if (rest[0] == ':')
		rest++;
	else
		rest = "";
	if (!is_port(rest) || strlen(rest) >= port_size) {
		host[0] = '\0';
		return fail(errmsg, "address \"%s\" has no valid port; it must "
		    "be a number from 1 to 65535", address);
	}
	memcpy(port, rest, strlen(rest) + 1);
	return 0;
}

static int
check_address(const char *address, const char *default_port, char *errmsg)
{
	char host[ADDRESS_MAX_LEN + 1], port[8];

	return conf_split_address(address, default_port, host, sizeof(host),
	    port, sizeof(port), errmsg);
}

/* Absolute, and nothing in it that makes two spellings of one place. */
static int
check_path(const char *path, char *errmsg)
{
	size_t len = strlen(path);

	if (path[0] != '/')
		return fail(errmsg, "\"%s\" is not an absolute path", path);
	if (strstr(path, "/../") != NULL ||
	    (len >= 3 && strcmp(path + len - 3, "/..") == 0))
		return fail(errmsg, "\"%s\" must not contain \"..\"", path);
	return 0;
}

/* One value by its type.  What needs other keys is in conf_check(). */
static int
check_value(const struct conf_key *key, const char *text, char *errmsg)
{
	size_t len = strlen(text);
	enum log_level level;

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return fail(errmsg, "must not contain control "
			    "characters");
	}
	if (len < key->min && key->type != TYPE_PEERS)
		return fail(errmsg, "must not be empty");
	if (len > key->max && key->type != TYPE_PEERS)
		return fail(errmsg, "must not be longer than %zu bytes",
		    key->max);
	if (len == 0 && key->type != TYPE_PEERS)
		return 0;
	switch (key->type) {
	case TYPE_NAME:
		if (!conf_is_name(text))
			return fail(errmsg, "\"%s\" is not a name: a lower "
			    "case letter, then at most %d of a-z, 0-9 and "
			    "\"-\"", text, NAME_MAX_LEN - 1);
		return 0;
	case TYPE_AGENT:
	case TYPE_PEERS:
		return check_address(text, PORT_AGENT, errmsg);
	case TYPE_POSTGRES:
		return check_address(text, PORT_POSTGRES, errmsg);
	case TYPE_HTTP:
		return check_address(text, PORT_HTTP, errmsg);
	case TYPE_PATH:
		return check_path(text, errmsg);
	case TYPE_WORD:
		if (strpbrk(text, " \"'\\/:,") != NULL)
			return fail(errmsg, "\"%s\" is not a single word",
			    text);
		return 0;
	case TYPE_LEVEL:
		if (log_level_parse(text, &level) != 0)
			return fail(errmsg, "\"%s\" is none of error, "
			    "warning, info, debug", text);
		return 0;
	case TYPE_TEXT:
		return 0;
	}
	return fail(errmsg, "has an unknown type");
}

/* known_hosts stands in state_dir unless it was given. */
static void
default_of(const struct conf *conf, const struct conf_key *key, char *text,
    size_t size)
{
	if (key->offset == AT(known_hosts))
		snprintf(text, size, "%.*s/known_hosts", STATE_DIR_MAX,
		    conf->state_dir);
	else
		snprintf(text, size, "%s",
		    key->fallback == NULL ? "" : key->fallback);
}

static bool
is_default(const struct conf *conf, const struct conf_key *key)
{
	char text[CONF_PATH_MAX + 16];

	if (key->type == TYPE_PEERS)
		return conf->peer_count == 0;
	default_of(conf, key, text, sizeof(text));
	return strcmp(value_of(conf, key), text) == 0;
}

static int
add_peer(struct conf *conf, const struct conf_key *key, const char *text,
    char *errmsg)
{
	if (conf->peer_count >= key->max)
		return fail(errmsg, "must not have more than %zu entries",
		    key->max);
	if (strlen(text) > ADDRESS_MAX_LEN)
		return fail(errmsg, "must not have entries longer than %d "
		    "bytes", ADDRESS_MAX_LEN);
	if (check_value(key, text, errmsg) != 0)
		return -1;
	snprintf(conf->peers[conf->peer_count++], ADDRESS_MAX_LEN + 1, "%s",
	    text);
	return 0;
}

/* "a:7432, b:7432" as --conf gives it. */
static int
set_peers(struct conf *conf, const struct conf_key *key, const char *text,
    char *errmsg)
{
	char copy[VALUE_MAX], *save = NULL, *entry;

	if (strlen(text) >= sizeof(copy))
		return fail(errmsg, "is too long");
	snprintf(copy, sizeof(copy), "%s", text);
	conf->peer_count = 0;
	memset(conf->peers, 0, sizeof(conf->peers));
	for (entry = strtok_r(copy, ", ", &save); entry != NULL;
	    entry = strtok_r(NULL, ", ", &save)) {
		if (add_peer(conf, key, entry, errmsg) != 0)
			return -1;
	}
	return 0;
}

static int
set_value(struct conf *conf, const struct conf_key *key, const char *text,
    char *errmsg)
{
	const struct conf_key *known_hosts = find_key("known_hosts");
	bool follow = key->offset == AT(state_dir) &&
	    is_default(conf, known_hosts);

	if (check_value(key, text, errmsg) != 0)
		return -1;
	memset(slot(conf, key), 0, key->max + 1);
	memcpy(slot(conf, key), text, strlen(text));
	if (in_group(key) != NULL)
		conf->has_postgresql = true;
	if (follow)
		default_of(conf, known_hosts, conf->known_hosts,
		    sizeof(conf->known_hosts));
	return 0;
}

int
conf_set(struct conf *conf, const char *path, const char *text, char *errmsg)
{
	const struct conf_key *key = find_key(path);
	char inner[ERRMSG_MAX];
	int rc;

	if (key == NULL)
		return fail(errmsg, "unknown key \"%s\"; node-local keys are "
		    "listed by \"failoverd -T\", cluster settings are changed "
		    "with \"failoverctl config set\"", path);
	if (key->type == TYPE_PEERS)
		rc = set_peers(conf, key, text, inner);
	else
		rc = set_value(conf, key, text, inner);
	if (rc != 0)
		return fail(errmsg, "key \"%s\": %s", path, inner);
	return 0;
}

void
conf_init(struct conf *conf)
{
	memset(conf, 0, sizeof(*conf));
	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (keys[i].type != TYPE_PEERS && keys[i].fallback != NULL)
			memcpy(slot(conf, &keys[i]), keys[i].fallback,
			    strlen(keys[i].fallback) + 1);
	}
}

/*
 * The whole file as one string.  libconfig's own reader would end the
 * process on a directory and would read what @include names.
 */
static int
read_text(const char *path, char *text, size_t size, char *errmsg)
{
	struct stat st;
	size_t len = 0;
	ssize_t n = -1;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		if (errno == ENOENT)
			return fail(errmsg, "could not open file \"%s\": %s; "
			    "\"failoverctl init\" writes one on the first "
			    "node, \"failoverctl clone-standby\" on the "
			    "others", path, strerror(errno));
		return fail(errmsg, "could not open file \"%s\": %s", path,
		    strerror(errno));
	}
	if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
		close(fd);
		return fail(errmsg, "\"%s\" is not a regular file", path);
	}
	while (len < size &&
	    ((n = read(fd, text + len, size - len)) > 0 ||
	    (n < 0 && errno == EINTR))) {
		if (n > 0)
			len += (size_t)n;
	}
	if (n < 0)
		fail(errmsg, "could not read file \"%s\": %s", path,
		    strerror(errno));
	close(fd);
	if (n < 0)
		return -1;
	if (len >= size)
		return fail(errmsg, "file \"%s\" is longer than %zu bytes",
		    path, size - 1);
	text[len] = '\0';
	if (strlen(text) != len)
		return fail(errmsg, "file \"%s\" contains a zero byte", path);
	return 0;
}

static int
refuse_include(const char *path, const char *text, char *errmsg)
{
	const char *line = text;
	int number = 1;

	while (line != NULL) {
		line += strspn(line, " \t\r\f\v");
		if (strncmp(line, "@include", 8) == 0)
			return fail(errmsg, "%s:%d: \"@include\" is not "
			    "supported; all keys stand in one file", path,
			    number);
		line = strchr(line, '\n');
		if (line != NULL) {
			line++;
			number++;
		}
	}
	return 0;
}

static const char *
type_name(const config_setting_t *setting)
{
	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_GROUP:
		return "a group";
	case CONFIG_TYPE_LIST:
	case CONFIG_TYPE_ARRAY:
		return "a list";
	case CONFIG_TYPE_STRING:
		return "text";
	case CONFIG_TYPE_BOOL:
		return "a boolean";
	default:
		return "a number";
	}
}

static int
load_peers(struct conf *conf, const struct conf_key *key,
    config_setting_t *setting, char *errmsg)
{
	int type = config_setting_type(setting);

	if (type != CONFIG_TYPE_ARRAY && type != CONFIG_TYPE_LIST)
		return fail(errmsg, "must be a list like [ \"10.0.0.11:7432\" "
		    "], not %s", type_name(setting));
	for (int i = 0; i < config_setting_length(setting); i++) {
		config_setting_t *entry =
		    config_setting_get_elem(setting, (unsigned)i);

		if (config_setting_type(entry) != CONFIG_TYPE_STRING)
			return fail(errmsg, "must hold text in quotes, not "
			    "%s", type_name(entry));
		if (add_peer(conf, key, config_setting_get_string(entry),
		    errmsg) != 0)
			return -1;
	}
	return 0;
}

static int
load_setting(struct conf *conf, config_setting_t *setting, const char *group,
    char *errmsg)
{
	char path[128], inner[ERRMSG_MAX];
	const struct conf_key *key;
	int rc;

	snprintf(path, sizeof(path), "%s%s", group,
	    config_setting_name(setting));
	key = find_key(path);
	if (key == NULL && strcmp(path, "postgresql") == 0)
		return fail(errmsg, "key \"postgresql\": must be a group like "
		    "{ data_dir = \"...\"; }, not %s", type_name(setting));
	if (key == NULL)
		return conf_set(conf, path, "", errmsg);
	if (key->type == TYPE_PEERS)
		rc = load_peers(conf, key, setting, inner);
	else if (config_setting_type(setting) != CONFIG_TYPE_STRING)
		rc = fail(inner, "must be text in quotes, not %s",
		    type_name(setting));
	else
		rc = set_value(conf, key, config_setting_get_string(setting),
		    inner);
	if (rc != 0)
		return fail(errmsg, "key \"%s\": %s", path, inner);
	return 0;
}

static int
load_group(struct conf *conf, config_setting_t *group, bool is_root,
    const char *path, char *errmsg)
{
	char inner[ERRMSG_MAX];

	for (int i = 0; i < config_setting_length(group); i++) {
		config_setting_t *setting =
		    config_setting_get_elem(group, (unsigned)i);

		if (is_root && strcmp(config_setting_name(setting),
		    "postgresql") == 0 &&
		    config_setting_type(setting) == CONFIG_TYPE_GROUP) {
			conf->has_postgresql = true;
			if (load_group(conf, setting, false, path,
			    errmsg) != 0)
				return -1;
		} else if (load_setting(conf, setting,
		    is_root ? "" : "postgresql.", inner) != 0) {
			return fail(errmsg, "%s:%u: %s", path,
			    config_setting_source_line(setting), inner);
		}
	}
	return 0;
}

int
conf_read(struct conf *conf, const char *path, char *errmsg)
{
	char text[CONF_FILE_MAX + 1], inner[ERRMSG_MAX];
	config_t config;
	int rc = -1;

	conf_init(conf);
	if (strlen(path) >= sizeof(conf->file))
		return fail(errmsg, "the path of the configuration file is "
		    "longer than %zu bytes", sizeof(conf->file) - 1);
	memcpy(conf->file, path, strlen(path) + 1);
	if (read_text(path, text, sizeof(text), errmsg) != 0 ||
	    refuse_include(path, text, errmsg) != 0)
		return -1;

	config_init(&config);
	if (!config_read_string(&config, text)) {
		fail(errmsg, "%s:%d: %s", path, config_error_line(&config),
		    config_error_text(&config));
		goto out;
	}
	if (load_group(conf, config_root_setting(&config), true, path,
	    errmsg) != 0)
		goto out;
	if (conf_check(conf, inner) != 0) {
		fail(errmsg, "%s: %s", path, inner);
		goto out;
	}
	rc = 0;
out:
	config_destroy(&config);
	return rc;
}

/* Copies a path with "//" and "/./" taken out and no "/" at the end. */
static void
plain_path(const char *path, char *plain, size_t size)
{
	size_t len = 0;

	while (*path != '\0' && len + 1 < size) {
		if (path[0] == '/' && (path[1] == '/' || path[1] == '\0')) {
			path++;
			continue;
		}
		if (path[0] == '/' && path[1] == '.' &&
		    (path[2] == '/' || path[2] == '\0')) {
			path += 2;
			continue;
		}
		plain[len++] = *path++;
	}
	plain[len] = '\0';
}

static bool
is_inside(const char *path, const char *dir)
{
	char a[CONF_PATH_MAX], b[CONF_PATH_MAX];
	size_t len;

	plain_path(path, a, sizeof(a));
	plain_path(dir, b, sizeof(b));
	len = strlen(b);
	return strncmp(a, b, len) == 0 && (a[len] == '\0' || a[len] == '/');
}

/* An address that others dial cannot be a wildcard. */
static int
check_reachable(const char *path, const char *address,
    const char *default_port, char *errmsg)
{
	char host[ADDRESS_MAX_LEN + 1], port[8];

	if (conf_split_address(address, default_port, host, sizeof(host),
	    port, sizeof(port), errmsg) != 0)
		return -1;
	if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0)
		return fail(errmsg, "key \"%s\": \"%s\" is no address that "
		    "others can reach; give the address or name of this host",
		    path, address);
	return 0;
}

static int
check_directories(const struct conf *conf, char *errmsg)
{
	static const char *const outside[] = { "postgresql.passfile",
	    "postgresql.log_file", "run_dir", "known_hosts" };
	const struct conf_key *key;

	if (is_inside(conf->state_dir, conf->data_dir))
		return fail(errmsg, "key \"state_dir\": \"%s\" is inside "
		    "data_dir \"%s\", where a clone would remove and a base "
		    "backup would copy it", conf->state_dir, conf->data_dir);
	if (is_inside(conf->data_dir, conf->state_dir))
		return fail(errmsg, "key \"postgresql.data_dir\": \"%s\" is "
		    "inside state_dir \"%s\"", conf->data_dir,
		    conf->state_dir);
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		key = find_key(outside[i]);
		if (value_of(conf, key)[0] != '\0' &&
		    is_inside(value_of(conf, key), conf->data_dir))
			return fail(errmsg, "key \"%s\": \"%s\" is inside "
			    "data_dir \"%s\", where a clone would remove and "
			    "a base backup would copy it", key->path,
			    value_of(conf, key), conf->data_dir);
	}
	return 0;
}

int
conf_check(const struct conf *conf, char *errmsg)
{
	const size_t socket_max =
	    sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (keys[i].fallback == NULL &&
		    value_of(conf, &keys[i])[0] == '\0' &&
		    (in_group(&keys[i]) == NULL || conf->has_postgresql))
			return fail(errmsg, "key \"%s\" is missing (%s)",
			    keys[i].path, keys[i].help);
	}
	if (check_reachable("advertise", conf->advertise, PORT_AGENT,
	    errmsg) != 0)
		return -1;
	for (unsigned i = 0; i < conf->peer_count; i++) {
		if (check_reachable("peers", conf->peers[i], PORT_AGENT,
		    errmsg) != 0)
			return -1;
	}
	if (strlen(conf->run_dir) + strlen("/control.sock") > socket_max)
		return fail(errmsg, "key \"run_dir\": \"%s\" is too long for "
		    "a Unix-domain socket inside it (%zu bytes in all)",
		    conf->run_dir, socket_max);
	if (!conf->has_postgresql)
		return 0;
	if (strlen(conf->socket_dir) + strlen("/.s.PGSQL.65535") > socket_max)
		return fail(errmsg, "key \"postgresql.socket_dir\": \"%s\" is "
		    "too long for a Unix-domain socket inside it (%zu bytes "
		    "in all)", conf->socket_dir, socket_max);
	if (check_reachable("postgresql.advertise", conf->pg_advertise,
	    PORT_POSTGRES, errmsg) != 0)
		return -1;
	return check_directories(conf, errmsg);
}

static void
print_quoted(FILE *file, const char *text)
{
	fputc('"', file);
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', file);
		fputc(*text, file);
	}
	fputc('"', file);
}

static void
print_value(FILE *file, const struct conf *conf, const struct conf_key *key)
{
	if (key->type != TYPE_PEERS) {
		print_quoted(file, value_of(conf, key));
		return;
	}
	fputs("[", file);
	for (unsigned i = 0; i < conf->peer_count; i++) {
		fputs(i == 0 ? " " : ", ", file);
		print_quoted(file, conf->peers[i]);
	}
	fputs(" ]", file);
}

/* One loop writes the file and the listing: both read back the same. */
static void
print_keys(FILE *file, const struct conf *conf, bool everything)
{
	bool group = false;

	for (size_t i = 0; i < KEY_COUNT; i++) {
		const struct conf_key *key = &keys[i];
		const char *name = in_group(key);

		if (group && name == NULL) {
			fputs("};\n", file);
			group = false;
		}
		if (name != NULL && !conf->has_postgresql)
			continue;
		if (name != NULL && !group) {
			fputs("postgresql:\n{\n", file);
			group = true;
		}
		if (!everything && key->fallback != NULL &&
		    is_default(conf, key))
			continue;
		if (everything)
			fprintf(file, "%s# %s\n", group ? "  " : "",
			    key->help);
		fprintf(file, "%s%s = ", group ? "  " : "",
		    name != NULL ? name : key->path);
		print_value(file, conf, key);
		fputs(";\n", file);
	}
}

void
conf_print(const struct conf *conf, void *stdio_file)
{
	FILE *file = stdio_file;

	if (conf->file[0] != '\0')
		fprintf(file, "# %s\n", conf->file);
	if (!conf->has_postgresql)
		fputs("# no postgresql group: this node is a witness\n", file);
	print_keys(file, conf, true);
}

static int
sync_parent(const char *path, char *errmsg)
{
	char dir[CONF_PATH_MAX + 16];
	char *slash;
	int fd, rc;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash == NULL)
		snprintf(dir, sizeof(dir), ".");
	else
		slash[slash == dir ? 1 : 0] = '\0';
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail(errmsg, "could not open directory \"%s\": %s", dir,
		    strerror(errno));
	rc = fsync(fd);
	if (rc != 0)
		fail(errmsg, "could not fsync directory \"%s\": %s", dir,
		    strerror(errno));
	close(fd);
	return rc;
}

int
conf_write(const struct conf *conf, const char *path, char *errmsg)
{
	char temporary[CONF_PATH_MAX + 16];
	FILE *file = NULL;
	int fd;

	if (strlen(path) >= CONF_PATH_MAX)
		return fail(errmsg, "path \"%.200s...\" is too long", path);
	snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return fail(errmsg, "could not create file \"%s\": %s",
		    temporary, strerror(errno));
	/* No secret is in it, and control_group has to find run_dir. */
	if (fchmod(fd, 0644) != 0 || (file = fdopen(fd, "w")) == NULL) {
		fail(errmsg, "could not set up file \"%s\": %s", temporary,
		    strerror(errno));
		close(fd);
		goto failed;
	}
	fputs("# failoverd.conf(5); all keys: failoverd -T\n", file);
	print_keys(file, conf, false);
	if (fflush(file) != 0 || ferror(file) || fsync(fd) != 0) {
		fail(errmsg, "could not write file \"%s\": %s", temporary,
		    strerror(errno));
		fclose(file);
		goto failed;
	}
	if (fclose(file) != 0) {
		fail(errmsg, "could not close file \"%s\": %s", temporary,
		    strerror(errno));
		goto failed;
	}
	if (rename(temporary, path) != 0) {
		fail(errmsg, "could not rename file \"%s\" to \"%s\": %s",
		    temporary, path, strerror(errno));
		goto failed;
	}
	return sync_parent(path, errmsg);
failed:
	unlink(temporary);
	return -1;
}

const char *
conf_default_path(const char *option)
{
	const char *path = option;

	if (path == NULL || path[0] == '\0')
		path = getenv("FAILOVERD_CONFIG");
	if (path == NULL || path[0] == '\0')
		path = FAILOVERD_CONF_PATH;
	return path;
}
