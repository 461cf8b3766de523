/*
 * postgres_conf.c - the configuration of the local cluster that is ours.
 *
 * Owns owned.conf, our pg_hba.conf, the replication passfile, and the few
 * marks in the user's files (one include, Debian's start.conf, settings of
 * ours in postgresql.auto.conf).  Must never change anything else of the
 * user's, and never put a password anywhere but into the passfile.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postgres_conninfo.h"
#include "postgres_file.h"

#define BEFORE		".before-failoverd"
#define MARK		"# failoverd: keep this the last line"
#define WAL_KEEP_MB	256
#define SENDERS_MIN	10
#define SENDERS_MAX	(2 * MEMBERS_MAX + 4)

/* --- Which settings are ours ---------------------------------------------- */

/*
 * FLOOR: the user's, unless it is too little.  A user's wal_level=logical,
 * larger wal_keep_size or more walsenders stay.
 */
enum ownership { OWNED, FLOOR };

static const struct owned_setting {
	const char *name;
	enum ownership ownership;
} owned_settings[] = {
	{ "port", OWNED },
	{ "listen_addresses", OWNED },
	{ "unix_socket_directories", OWNED },
	{ "hba_file", OWNED },
	{ "hot_standby", OWNED },
	{ "primary_conninfo", OWNED },
	{ "primary_slot_name", OWNED },
	{ "synchronous_standby_names", OWNED },
	{ "recovery_target_timeline", OWNED },
	{ "recovery_target", OWNED },
	{ "recovery_target_lsn", OWNED },
	{ "recovery_target_name", OWNED },
	{ "recovery_target_time", OWNED },
	{ "recovery_target_xid", OWNED },
	{ "promote_trigger_file", OWNED },
	{ "restore_command", OWNED },
	{ "archive_command", OWNED },
	{ "restart_after_crash", OWNED },
	{ "wal_log_hints", OWNED },
	{ "wal_receiver_status_interval", OWNED },
	{ "wal_receiver_timeout", OWNED },
	{ "wal_retrieve_retry_interval", OWNED },
	{ "wal_sender_timeout", OWNED },
	{ "wal_level", FLOOR },
	{ "wal_keep_size", FLOOR },
	{ "max_wal_senders", FLOOR },
	{ "max_replication_slots", FLOOR },
};

static const struct owned_setting *
find_owned(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(owned_settings) / sizeof(owned_settings[0]); i++)
		if (strcasecmp(owned_settings[i].name, name) == 0)
			return &owned_settings[i];
	return NULL;
}

bool
postgres_is_owned_setting(const char *name)
{
	return find_owned(name) != NULL;
}

/* "1GB", "512MB", "65536kB", "300" -> megabytes. */
static unsigned long
parse_megabytes(const char *text)
{
	unsigned long value;
	char *unit;

	value = strtoul(text, &unit, 10);
	unit += strspn(unit, " ");
	if (strcmp(unit, "kB") == 0)
		return value / 1024;
	if (strcmp(unit, "GB") == 0)
		return value * 1024;
	if (strcmp(unit, "TB") == 0)
		return value * 1024 * 1024;
	return value;
}

static bool
is_enough(const char *name, const char *value, unsigned long needed)
{
	if (strcmp(name, "wal_level") == 0)
		return strcasecmp(value, "minimal") != 0;
	if (strcmp(name, "wal_keep_size") == 0)
		return parse_megabytes(value) >= needed;
	return strtoul(value, NULL, 10) >= needed;
}

/* What the user has set, owned.conf aside; def if nothing. */
static void
user_value(const struct postgres *pg, const char *name, const char *def,
    char *value, size_t size)
{
	char path[CONF_PATH_MAX], errmsg[ERRMSG_MAX];

	if (postgres_path(path, pg->data_dir, "postgresql.auto.conf",
	    errmsg) == 0 &&
	    postgres_find_setting(path, name, NULL, value, size))
		return;
	if (!postgres_find_setting(pg->config_file, name, pg->owned_file,
	    value, size))
		snprintf(value, size, "%s", def);
}

/* --- owned.conf ----------------------------------------------------------- */

static int
put_setting(FILE *out, const char *name, const char *value, char *errmsg)
{
	char quoted[4096];

	if (postgres_quote_setting(value, quoted, sizeof(quoted)) != 0)
		return postgres_fail(errmsg, "setting %s has a value that is "
		    "too long or has a control character", name);
	fprintf(out, "%s = %s\n", name, quoted);
	return 0;
}

static void
put_floor(FILE *out, const struct postgres *pg, const char *name,
    const char *def, unsigned long needed)
{
	char value[128];

	user_value(pg, name, def, value, sizeof(value));
	if (is_enough(name, value, needed))
		return;
	if (strcmp(name, "wal_level") == 0)
		fprintf(out, "wal_level = replica\n");
	else
		fprintf(out, "%s = %lu%s\n", name, needed,
		    strcmp(name, "wal_keep_size") == 0 ? "MB" : "");
}

/* Settings that are the same on every node and at all times. */
static void
put_constants(FILE *out, const struct postgres *pg)
{
	fputs("\n"
	    "# A crashed backend ends the postmaster: every crash passes the\n"
	    "# agent, so that nobody sees what was never acknowledged.\n"
	    "restart_after_crash = off\n"
	    "hot_standby = on\n"
	    "# So that a former primary can be rewound instead of copied.\n"
	    "wal_log_hints = on\n"
	    "\n"
	    "# Following: the newest timeline, no other end of recovery, a new\n"
	    "# attempt soon.  A status interval of 0 would make commits wait\n"
	    "# for the sender's ping.\n"
	    "recovery_target_timeline = 'latest'\n"
	    "recovery_target = ''\n"
	    "recovery_target_lsn = ''\n"
	    "recovery_target_name = ''\n"
	    "recovery_target_time = ''\n"
	    "recovery_target_xid = ''\n", out);
	if (pg->major <= 15)
		fputs("promote_trigger_file = ''\n", out);
	fputs("wal_retrieve_retry_interval = '200ms'\n"
	    "wal_receiver_status_interval = '1s'\n"
	    "# A peer that is silent this long is given up; a fast shutdown\n"
	    "# waits for a hung standby no longer than that.\n"
	    "wal_receiver_timeout = '20s'\n"
	    "wal_sender_timeout = '20s'\n", out);
}

static void
put_floors(FILE *out, const struct postgres *pg,
    const struct postgres_owned *owned)
{
	const struct postgres_control *control = owned->control;
	unsigned long senders = 2ul * owned->max_members + 4;

	if (senders < SENDERS_MIN)
		senders = SENDERS_MIN;
	if (senders > SENDERS_MAX)
		senders = SENDERS_MAX;
	if (control != NULL && control->max_wal_senders > senders)
		senders = control->max_wal_senders;
	fputs("\n# Only what postgresql.conf has less of.  A walsender and a\n"
	    "# slot for every member, another while it is copied; some WAL\n"
	    "# for those that change their primary before they have a slot.\n",
	    out);
	put_floor(out, pg, "wal_level", "replica", 0);
	put_floor(out, pg, "max_wal_senders", "10", senders);
	put_floor(out, pg, "max_replication_slots", "10", senders);
	put_floor(out, pg, "wal_keep_size", "0", WAL_KEEP_MB);
	if (control == NULL)
		return;
	/* With less than its primary had a standby does not start. */
	put_floor(out, pg, "max_connections", "100",
	    control->max_connections);
	put_floor(out, pg, "max_worker_processes", "8",
	    control->max_worker_processes);
	put_floor(out, pg, "max_prepared_transactions", "0",
	    control->max_prepared_transactions);
	put_floor(out, pg, "max_locks_per_transaction", "64",
	    control->max_locks_per_transaction);
}

static int
put_upstream(FILE *out, const struct postgres *pg,
    const struct postgres_owned *owned, char *errmsg)
{
	char conninfo[POSTGRES_CONNINFO_MAX] = "", name[64];

	postgres_application_name(owned->self_name, owned->self_incarnation,
	    name, sizeof(name));
	if (owned->upstream_host != NULL && owned->upstream_host[0] != '\0' &&
	    postgres_conninfo(pg, owned->upstream_host,
	    owned->upstream_address, owned->upstream_port, name, NULL,
	    conninfo, errmsg) != 0)
		return -1;
	fputs("\n", out);
	if (put_setting(out, "primary_conninfo", conninfo, errmsg) != 0 ||
	    put_setting(out, "primary_slot_name",
	    owned->slot_name == NULL ? "" : owned->slot_name, errmsg) != 0 ||
	    put_setting(out, "restore_command", owned->restore_command == NULL ?
	    "" : owned->restore_command, errmsg) != 0 ||
	    put_setting(out, "synchronous_standby_names",
	    owned->synchronous_standby_names == NULL ? "" :
	    owned->synchronous_standby_names, errmsg) != 0)
		return -1;
	if (owned->archive_command != NULL)
		return put_setting(out, "archive_command",
		    owned->archive_command, errmsg);
	return 0;
}

char *
postgres_owned_text(const struct postgres *pg,
    const struct postgres_owned *owned, char *errmsg)
{
	char *text = NULL;
	size_t size = 0;
	int result = 0;
	FILE *out;

	out = open_memstream(&text, &size);
	if (out == NULL) {
		postgres_fail(errmsg, "out of memory");
		return NULL;
	}
	fprintf(out, "# Written by failoverd for node \"%s\"; edits are lost.\n"
	    "# It is included by postgresql.conf, as its last line.\n\n"
	    "port = %s\n", owned->self_name, pg->port);
	if (pg->listen_addresses[0] != '\0')
		result = put_setting(out, "listen_addresses",
		    pg->listen_addresses, errmsg);
	if (result == 0 && pg->socket_dir[0] != '\0')
		result = put_setting(out, "unix_socket_directories",
		    pg->socket_dir, errmsg);
	put_constants(out, pg);
	put_floors(out, pg, owned);
	if (result == 0)
		result = put_upstream(out, pg, owned, errmsg);
	if (fclose(out) != 0 && result == 0)
		result = postgres_fail(errmsg, "out of memory");
	if (result != 0) {
		free(text);
		text = NULL;
	}
	return text;
}

int
postgres_write_owned(const struct postgres *pg,
    const struct postgres_owned *owned, char *errmsg)
{
	char *text = postgres_owned_text(pg, owned, errmsg);
	int result;

	if (text == NULL)
		return -1;
	/* No secret in it, but nobody's business either. */
	result = postgres_file_write(pg->owned_file, text, 0600, NULL, errmsg);
	free(text);
	return result;
}

/* --- pg_hba.conf ---------------------------------------------------------- */

static int
put_hba_address(FILE *out, const char *address, char *errmsg)
{
	unsigned char number[sizeof(struct in6_addr)];
	const char *mask = "";

	if (inet_pton(AF_INET, address, number) == 1)
		mask = "/32";
	else if (inet_pton(AF_INET6, address, number) == 1)
		mask = "/128";
	/* Words of pg_hba.conf that are no host: they would let others in. */
	else if (address[0] == '\0' || address[0] == '.' ||
	    address[strspn(address, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")] != '\0' ||
	    strcasecmp(address, "all") == 0 ||
	    strcasecmp(address, "samehost") == 0 ||
	    strcasecmp(address, "samenet") == 0)
		return postgres_fail(errmsg, "\"%.200s\" is no host for "
		    "pg_hba.conf", address);
	fprintf(out, "host    replication,\"postgres\"  \"%s\"  %s%s  "
	    "scram-sha-256\n", REPLICATION_ROLE, address, mask);
	return 0;
}

/*
 * A copy of the user's line.  "@file" is looked up beside the file it stands
 * in, and the copy stands elsewhere.
 */
static void
put_user_line(FILE *out, const char *line, size_t len, const char *directory)
{
	bool quoted = false, begins = true;
	size_t i;

	for (i = 0; i < len && (line[i] != '#' || quoted); i++) {
		fputc(line[i], out);
		if (line[i] == '@' && begins && !quoted && i + 1 < len &&
		    line[i + 1] != '/' && line[i + 1] != '"')
			fprintf(out, "%s/", directory);
		if (line[i] == '"')
			quoted = !quoted;
		begins = line[i] == ',' || isspace((unsigned char)line[i]);
	}
	fwrite(line + i, 1, len - i, out);
	fputc('\n', out);
}

static int
put_user_hba(FILE *out, const struct postgres *pg, char *errmsg)
{
	char directory[CONF_PATH_MAX], *text, *line, *end;

	/* Its own includes, relative to itself, work only as an include. */
	if (pg->major >= 16) {
		fprintf(out, "include \"%s\"\n", pg->user_hba_file);
		return 0;
	}
	if (postgres_file_read(pg->user_hba_file, &text, errmsg) != 0)
		return -1;
	postgres_directory_of(pg->user_hba_file, directory,
	    sizeof(directory));
	for (line = text; *line != '\0'; line = *end ? end + 1 : end) {
		end = strchrnul(line, '\n');
		put_user_line(out, line, (size_t)(end - line), directory);
	}
	free(text);
	return 0;
}

char *
postgres_hba_text(const struct postgres *pg, const char *const *addresses,
    unsigned address_count, bool gate, char *errmsg)
{
	const char *method = pg->agent_passfile[0] != '\0' ?
	    "scram-sha-256" : "peer";
	char *text = NULL;
	size_t size = 0;
	int result = 0;
	unsigned i;
	FILE *out;

	out = open_memstream(&text, &size);
	if (out == NULL) {
		postgres_fail(errmsg, "out of memory");
		return NULL;
	}
	fprintf(out, "# Written by failoverd; edits are lost.  Yours is\n"
	    "# \"%s\".\n\n# The agent of this node.\n"
	    "local   all  \"%s\"  %s\n\n"
	    "# The members of the cluster, and nobody else as this role.\n",
	    pg->user_hba_file, pg->superuser, method);
	for (i = 0; i < address_count && result == 0; i++)
		result = put_hba_address(out, addresses[i], errmsg);
	fprintf(out, "host    all,replication  \"%s\"  all  reject\n"
	    "local   all,replication  \"%s\"  reject\n",
	    REPLICATION_ROLE, REPLICATION_ROLE);
	if (result == 0 && gate)
		fputs("\n# Closed for everybody else until enough standbys "
		    "have caught up.\n", out);
	else if (result == 0) {
		fprintf(out, "\n# From here on: \"%s\".\n", pg->user_hba_file);
		result = put_user_hba(out, pg, errmsg);
	}
	if (fclose(out) != 0 && result == 0)
		result = postgres_fail(errmsg, "out of memory");
	if (result != 0) {
		free(text);
		text = NULL;
	}
	return text;
}

int
postgres_write_hba(const struct postgres *pg, const char *const *addresses,
    unsigned address_count, bool gate, char *errmsg)
{
	char *text;
	int result;

	text = postgres_hba_text(pg, addresses, address_count, gate, errmsg);
	if (text == NULL)
		return -1;
	result = postgres_file_write(pg->hba_file, text, 0600, NULL, errmsg);
	free(text);
	return result;
}

/* --- The replication credential ------------------------------------------- */

int
postgres_write_passfile(const struct postgres *pg, const char *password,
    char *errmsg)
{
	char text[1024], directory[CONF_PATH_MAX];
	size_t len;
	int result;

	len = (size_t)snprintf(text, sizeof(text), "*:*:*:%s:",
	    REPLICATION_ROLE);
	for (; *password != '\0' && len + 4 < sizeof(text); password++) {
		if (iscntrl((unsigned char)*password))
			break;
		if (*password == ':' || *password == '\\')
			text[len++] = '\\';
		text[len++] = *password;
	}
	text[len++] = '\n';
	text[len] = '\0';
	if (*password != '\0') {
		explicit_bzero(text, sizeof(text));
		return postgres_fail(errmsg, "the replication password is "
		    "too long or has a control character");
	}
	postgres_directory_of(pg->passfile, directory, sizeof(directory));
	if (mkdir(directory, 0700) == -1 && errno != EEXIST)
		result = postgres_fail(errmsg, "could not create directory "
		    "\"%.300s\": %s", directory, strerror(errno));
	else
		result = postgres_file_write(pg->passfile, text, 0600, NULL,
		    errmsg);
	explicit_bzero(text, sizeof(text));
	return result;
}

int
postgres_remove_passfile(const struct postgres *pg, char *errmsg)
{
	char directory[CONF_PATH_MAX];

	postgres_directory_of(pg->passfile, directory, sizeof(directory));
	if (access(directory, F_OK) == -1 && errno == ENOENT)
		return 0;
	return postgres_file_remove(pg->passfile, errmsg);
}

/* --- The user's files ----------------------------------------------------- */

struct changes {
	char *text;
	size_t size, len;
	bool dry_run;
};

__attribute__((format(printf, 2, 3)))
static void
changes_add(struct changes *changes, const char *format, ...)
{
	size_t left = changes->size - changes->len;
	va_list ap;
	int n;

	if (left < 2)
		return;
	va_start(ap, format);
	n = vsnprintf(changes->text + changes->len, left - 1, format, ap);
	va_end(ap);
	if (n < 0)
		return;
	changes->len += (size_t)n < left - 1 ? (size_t)n : left - 2;
	changes->text[changes->len++] = '\n';
	changes->text[changes->len] = '\0';
}

static bool
is_our_include(const struct postgres *pg, const char *line)
{
	char name[64], value[CONF_PATH_MAX];

	if (!postgres_parse_setting(line, name, sizeof(name), value,
	    sizeof(value)) || strcasecmp(name, "include") != 0)
		return false;
	return strcmp(value, pg->owned_file) == 0 || strstr(line, MARK) != NULL;
}

/*
 * The configuration without any include of ours, then, if add is set, with
 * it as the last line.  To be freed; NULL: out of memory.
 */
static char *
edit_config(const struct postgres *pg, const char *text, bool add)
{
	char quoted[2 * CONF_PATH_MAX], *result = NULL, *line;
	const char *end;
	size_t size = 0;
	FILE *out;

	out = open_memstream(&result, &size);
	if (out == NULL)
		return NULL;
	for (; *text != '\0'; text = *end ? end + 1 : end) {
		end = strchrnul(text, '\n');
		line = strndup(text, (size_t)(end - text));
		if (line == NULL)
			break;
		if (!is_our_include(pg, line))
			fprintf(out, "%s\n", line);
		free(line);
	}
	if (add && postgres_quote_setting(pg->owned_file, quoted,
	    sizeof(quoted)) == 0)
		fprintf(out, "include %s\t%s\n", quoted, MARK);
	if (fclose(out) != 0 || *text != '\0') {
		free(result);
		return NULL;
	}
	return result;
}

/* Keeps path as path.before-failoverd, unless that is there already. */
static int
keep_before(const char *path, const char *text, char *errmsg)
{
	char before[CONF_PATH_MAX + sizeof(BEFORE)];

	snprintf(before, sizeof(before), "%s%s", path, BEFORE);
	if (access(before, F_OK) == 0)
		return 0;
	return postgres_file_write(before, text, 0600, NULL, errmsg);
}

static int
take_config(const struct postgres *pg, bool add, struct changes *changes,
    char *errmsg)
{
	char path[PATH_MAX], *text, *edited;
	int result = 0;

	/* A rename must replace the file, not a link to it. */
	if (realpath(pg->config_file, path) == NULL)
		return postgres_fail(errmsg, "could not find file \"%.300s\": "
		    "%s", pg->config_file, strerror(errno));
	if (strlen(path) >= CONF_PATH_MAX)
		return postgres_fail(errmsg, "path \"%.300s\" is too long",
		    path);
	if (postgres_file_read(path, &text, errmsg) != 0)
		return -1;
	edited = edit_config(pg, text, add);
	if (edited == NULL)
		result = postgres_fail(errmsg, "out of memory");
	else if (strcmp(edited, text) != 0) {
		changes_add(changes, add ? "%s: the last line includes %s" :
		    "%s: no longer includes %s", path, pg->owned_file);
		if (!changes->dry_run && add)
			result = keep_before(path, text, errmsg);
		if (!changes->dry_run && result == 0)
			result = postgres_file_write(path, edited, 0600, NULL,
			    errmsg);
	}
	free(edited);
	free(text);
	return result;
}

/* The word of a start.conf: the first that is no comment. */
static void
start_word(const char *text, char *word, size_t size)
{
	size_t len;

	snprintf(word, size, "auto");
	for (; text != NULL && *text != '\0';
	    text = strchr(text, '\n') ? strchr(text, '\n') + 1 : NULL) {
		text += strspn(text, " \t");
		len = strcspn(text, " \t\r\n#");
		if (len > 0 && len < size) {
			snprintf(word, size, "%.*s", (int)len, text);
			return;
		}
	}
}

static int
take_start_conf(const struct postgres *pg, struct changes *changes,
    char *errmsg)
{
	char word[32], *text = NULL;
	int result;

	if (pg->start_conf[0] == '\0')
		return 0;
	if (postgres_file_read(pg->start_conf, &text, errmsg) < 0)
		return -1;
	start_word(text, word, sizeof(word));
	if (strcmp(word, "disabled") == 0) {
		free(text);
		return 0;
	}
	changes_add(changes, "%s: \"%s\" becomes \"disabled\", so that only "
	    "failoverd starts this cluster", pg->start_conf, word);
	result = 0;
	if (!changes->dry_run && text != NULL)
		result = keep_before(pg->start_conf, text, errmsg);
	if (!changes->dry_run && result == 0)
		result = postgres_file_write(pg->start_conf,
		    "# Written by failoverd, which alone starts this cluster:\n"
		    "# failoverctl detach restores what was here before.\n"
		    "disabled\n", 0644, NULL, errmsg);
	free(text);
	return result;
}

/* Is the line a setting that would defeat owned.conf? */
static bool
defeats_us(const struct postgres *pg, const char *line, char *name,
    size_t size)
{
	const struct owned_setting *setting;
	char value[4096];

	if (!postgres_parse_setting(line, name, size, value, sizeof(value)))
		return false;
	setting = find_owned(name);
	if (setting == NULL)
		return false;
	if (setting->ownership == FLOOR)
		return !is_enough(setting->name, value,
		    strcmp(setting->name, "wal_keep_size") == 0 ?
		    WAL_KEEP_MB : SENDERS_MIN);
	/* These two are ours only when failoverd.conf has them, and these
	 * two can stay where they have no effect. */
	if (strcmp(setting->name, "listen_addresses") == 0)
		return pg->listen_addresses[0] != '\0';
	if (strcmp(setting->name, "unix_socket_directories") == 0)
		return pg->socket_dir[0] != '\0';
	return strcmp(setting->name, "archive_command") != 0 &&
	    strcmp(setting->name, "hba_file") != 0;
}

static int
take_auto_conf(const struct postgres *pg, struct changes *changes,
    char *errmsg)
{
	char path[CONF_PATH_MAX], name[128], *text, *edited = NULL, *line;
	bool running, changed = false;
	const char *at, *end;
	size_t size = 0;
	int result;
	FILE *out;

	if (postgres_path(path, pg->data_dir, "postgresql.auto.conf",
	    errmsg) != 0)
		return -1;
	result = postgres_file_read(path, &text, errmsg);
	if (result != 0)
		return result < 0 ? -1 : 0;
	running = postgres_is_running(pg, NULL);
	out = open_memstream(&edited, &size);
	for (at = text; out != NULL && *at != '\0';
	    at = *end ? end + 1 : end) {
		end = strchrnul(at, '\n');
		line = strndup(at, (size_t)(end - at));
		if (line == NULL)
			break;
		if (!defeats_us(pg, line, name, sizeof(name)))
			fprintf(out, "%s\n", line);
		else {
			changed = true;
			changes_add(changes, running ? "%s: setting \"%s\" "
			    "defeats failoverd; run ALTER SYSTEM RESET" :
			    "%s: setting \"%s\" is removed", path, name);
		}
		free(line);
	}
	if (out == NULL || fclose(out) != 0 || *at != '\0')
		result = postgres_fail(errmsg, "out of memory");
	else if (changed && !running && !changes->dry_run)
		result = postgres_file_write(path, edited, 0600, NULL, errmsg);
	free(edited);
	free(text);
	return result;
}

int
postgres_take_over(const struct postgres *pg, bool dry_run, char *changes,
    size_t changes_size, char *errmsg)
{
	struct changes list = { changes, changes_size, 0, dry_run };

	if (changes_size > 0)
		changes[0] = '\0';
	/* start.conf first: from here on nobody else starts it. */
	if (take_start_conf(pg, &list, errmsg) != 0 ||
	    take_config(pg, true, &list, errmsg) != 0)
		return -1;
	return take_auto_conf(pg, &list, errmsg);
}

static int
give_back_start_conf(const struct postgres *pg, struct changes *changes,
    char *errmsg)
{
	char before[CONF_PATH_MAX + sizeof(BEFORE)], *text;
	int result;

	if (pg->start_conf[0] == '\0')
		return 0;
	snprintf(before, sizeof(before), "%s%s", pg->start_conf, BEFORE);
	result = postgres_file_read(before, &text, errmsg);
	if (result != 0)
		return result < 0 ? -1 : 0;
	changes_add(changes, "%s: restored", pg->start_conf);
	result = postgres_file_write(pg->start_conf, text, 0644, NULL, errmsg);
	free(text);
	return result == 0 ? postgres_file_remove(before, errmsg) : -1;
}

int
postgres_give_back(const struct postgres *pg, char *changes,
    size_t changes_size, char *errmsg)
{
	struct changes list = { changes, changes_size, 0, false };
	char before[PATH_MAX + sizeof(BEFORE)], path[PATH_MAX];

	if (changes_size > 0)
		changes[0] = '\0';
	if (take_config(pg, false, &list, errmsg) != 0 ||
	    give_back_start_conf(pg, &list, errmsg) != 0)
		return -1;
	if (realpath(pg->config_file, path) == NULL)
		return 0;
	snprintf(before, sizeof(before), "%s%s", path, BEFORE);
	return postgres_file_remove(before, errmsg);
}

/* --- standby.signal ------------------------------------------------------- */

int
postgres_set_standby(const struct postgres *pg, bool standby, char *errmsg)
{
	char path[CONF_PATH_MAX];

	if (postgres_path(path, pg->data_dir, "standby.signal", errmsg) != 0)
		return -1;
	if (standby && access(path, F_OK) != 0 &&
	    postgres_file_write(path, "", 0600, NULL, errmsg) != 0)
		return -1;
	if (!standby && postgres_file_remove(path, errmsg) != 0)
		return -1;
	/* A recovery to some target would end in a promotion of its own. */
	if (postgres_path(path, pg->data_dir, "recovery.signal", errmsg) != 0)
		return -1;
	return postgres_file_remove(path, errmsg);
}

bool
postgres_is_standby_configured(const struct postgres *pg)
{
	char path[CONF_PATH_MAX], errmsg[ERRMSG_MAX];

	return postgres_path(path, pg->data_dir, "standby.signal",
	    errmsg) == 0 && access(path, F_OK) == 0;
}
