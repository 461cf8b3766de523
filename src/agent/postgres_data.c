/*
 * postgres_data.c - the data directory of the local cluster.
 *
 * Owns reading pg_control, timeline history files, making, copying, rewinding
 * and setting aside a data directory.  Must never touch one that is in use,
 * and never remove one that does not look like one.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child.h"
#include "postgres_conninfo.h"
#include "postgres_file.h"

#define CONTROL_TIMEOUT_MS	10000
#define INITDB_TIMEOUT_MS	300000
#define TREE_DEPTH_MAX		64

#define WAL_START		0x1000000u	/* where initdb begins */
/* A shutdown checkpoint: header 24, data header 2, struct CheckPoint 88 (the
 * same from 13 to 18), aligned to 8. */
#define CHECKPOINT_RECORD	120u
#define SHORT_PAGE_HEADER	24u
#define LONG_PAGE_HEADER	40u

/* What programs of PostgreSQL get: messages in English, no PG* variables. */
static const char *const plain_env[] = {
	"LC_ALL=C", "PATH=/usr/local/bin:/usr/bin:/bin", NULL
};

/* --- pg_control ----------------------------------------------------------- */

/* "Label:   value" of pg_controldata's output, "" if there is none. */
static void
control_text(const char *output, const char *label, char *value, size_t size)
{
	size_t len = strlen(label);
	const char *at = output;

	value[0] = '\0';
	while (at != NULL) {
		if (strncmp(at, label, len) == 0 && at[len] == ':') {
			at += len + 1;
			at += strspn(at, " ");
			snprintf(value, size, "%.*s", (int)strcspn(at, "\n"),
			    at);
			return;
		}
		at = strchr(at, '\n');
		if (at != NULL)
			at++;
	}
}

static uint64_t
control_number(const char *output, const char *label)
{
	char value[64];

	control_text(output, label, value, sizeof(value));
	return strtoull(value, NULL, 10);
}

static lsn_t
control_lsn(const char *output, const char *label)
{
	char value[64];
	lsn_t lsn;

	control_text(output, label, value, sizeof(value));
	if (lsn_parse(value, &lsn) != 0)
		lsn.value = 0;
	return lsn;
}

/*
 * Where a record of CHECKPOINT_RECORD bytes at start ends, headers of the
 * pages it runs over included.
 */
static lsn_t
record_end(lsn_t start, uint64_t page, uint64_t segment)
{
	uint64_t at = start.value, left = CHECKPOINT_RECORD, room;

	while (page != 0 && segment != 0 && left > 0) {
		room = page - at % page;
		if (room > left)
			room = left;
		at += room;
		left -= room;
		if (left > 0)
			at += at % segment == 0 ? LONG_PAGE_HEADER :
			    SHORT_PAGE_HEADER;
	}
	return (lsn_t){ at };
}

static void
parse_control(const char *output, struct postgres_control *control)
{
	char value[64];

	control->system_identifier = control_number(output,
	    "Database system identifier");
	control->catalog_version = (uint32_t)control_number(output,
	    "Catalog version number");
	control_text(output, "Database cluster state", control->state,
	    sizeof(control->state));
	control->timeline = (uint32_t)control_number(output,
	    "Latest checkpoint's TimeLineID");
	control->min_recovery_timeline = (uint32_t)control_number(output,
	    "Min recovery ending loc's timeline");
	control->checkpoint_lsn = control_lsn(output,
	    "Latest checkpoint location");
	control->redo_lsn = control_lsn(output,
	    "Latest checkpoint's REDO location");
	control->min_recovery_lsn = control_lsn(output,
	    "Minimum recovery ending location");
	control->checksums = control_number(output,
	    "Data page checksum version") != 0;
	control_text(output, "wal_log_hints setting", value, sizeof(value));
	control->wal_log_hints = strcmp(value, "on") == 0;
	control->max_connections = (unsigned)control_number(output,
	    "max_connections setting");
	control->max_worker_processes = (unsigned)control_number(output,
	    "max_worker_processes setting");
	control->max_wal_senders = (unsigned)control_number(output,
	    "max_wal_senders setting");
	control->max_prepared_transactions = (unsigned)control_number(output,
	    "max_prepared_xacts setting");
	control->max_locks_per_transaction = (unsigned)control_number(output,
	    "max_locks_per_xact setting");
	if (strcmp(control->state, "shut down") == 0) {
		control->shut_down = true;
		control->shutdown_end_lsn = record_end(control->checkpoint_lsn,
		    control_number(output, "WAL block size"),
		    control_number(output, "Bytes per WAL segment"));
	} else if (strcmp(control->state, "shut down in recovery") == 0)
		control->shut_down = true;
}

int
postgres_read_control(const struct postgres *pg,
    struct postgres_control *control, char *errmsg)
{
	char path[CONF_PATH_MAX], program[CONF_PATH_MAX], output[8192];
	const char *argv[] = { program, "-D", pg->data_dir, NULL };

	memset(control, 0, sizeof(*control));
	if (postgres_path(path, pg->data_dir, "global/pg_control",
	    errmsg) != 0 ||
	    postgres_path(program, pg->bin_dir, "pg_controldata",
	    errmsg) != 0)
		return -1;
	if (access(path, F_OK) == -1) {
		if (errno == ENOENT || errno == ENOTDIR)
			return 0;
		return postgres_fail(errmsg, "could not access file "
		    "\"%.300s\": %s", path, strerror(errno));
	}
	if (child_run(argv, plain_env, NULL, CONTROL_TIMEOUT_MS, output,
	    sizeof(output), errmsg) != 0)
		return -1;
	parse_control(output, control);
	/* Torn while it is being written, or overwritten by a bad disk. */
	if (strstr(output, "WARNING") != NULL)
		return postgres_fail(errmsg, "file \"%.300s\" is damaged: its "
		    "checksum does not match", path);
	if (control->system_identifier == 0 || control->state[0] == '\0')
		return postgres_fail(errmsg, "could not understand the output "
		    "of \"%.300s\"", program);
	control->exists = true;
	if (postgres_path(path, pg->data_dir, "backup_label", errmsg) != 0)
		return -1;
	control->backup_label = access(path, F_OK) == 0;
	return 0;
}

/* --- Making one ----------------------------------------------------------- */

static int
run_initdb(const struct postgres *pg, const char *locale, char *errmsg)
{
	char program[CONF_PATH_MAX], locale_option[64];
	const char *argv[] = { program, "-D", pg->data_dir, "-U",
	    pg->superuser, "--data-checksums", "--encoding=UTF8",
	    locale_option, "--auth-local=peer", "--auth-host=scram-sha-256",
	    NULL };

	if (postgres_path(program, pg->bin_dir, "initdb", errmsg) != 0)
		return -1;
	snprintf(locale_option, sizeof(locale_option), "--locale=%s", locale);
	return child_run(argv, plain_env, NULL, INITDB_TIMEOUT_MS, NULL, 0,
	    errmsg) == 0 ? 0 : -1;
}

int
postgres_initdb(const struct postgres *pg, char *errmsg)
{
	if (!postgres_is_empty(pg->data_dir))
		return postgres_fail(errmsg, "directory \"%.300s\" is not "
		    "empty", pg->data_dir);
	if (run_initdb(pg, "C.UTF-8", errmsg) == 0)
		return 0;
	/* Older systems do not know that one; initdb cleaned up. */
	if (strstr(errmsg, "locale") == NULL)
		return -1;
	return run_initdb(pg, "C", errmsg);
}

bool
postgres_is_empty(const char *data_dir)
{
	struct dirent *entry;
	bool empty = true;
	DIR *dir;

	dir = opendir(data_dir);
	if (dir == NULL)
		return errno == ENOENT;
	while (empty && (entry = readdir(dir)) != NULL)
		empty = entry->d_name[0] == '.' ||
		    strcmp(entry->d_name, "lost+found") == 0;
	closedir(dir);
	return empty;
}

/* --- Timelines ------------------------------------------------------------ */

static int
history_path(const struct postgres *pg, uint32_t timeline, char *path,
    char *errmsg)
{
	char name[64];

	snprintf(name, sizeof(name), "pg_wal/%08X.history", timeline);
	return postgres_path(path, pg->data_dir, name, errmsg);
}

/* The last line "PARENT\tLSN\treason" of a history; false if none is one. */
static bool
parse_history(const char *text, uint32_t *parent, lsn_t *begin)
{
	char lsn[LSN_TEXT_MAX + 1];
	bool found = false;
	unsigned tli;
	lsn_t value;

	for (; text != NULL && *text != '\0';
	    text = strchr(text, '\n') ? strchr(text, '\n') + 1 : NULL) {
		text += strspn(text, " \t");
		if (!isdigit((unsigned char)*text))
			continue;
		if (sscanf(text, "%u %24s", &tli, lsn) != 2 ||
		    lsn_parse(lsn, &value) != 0)
			continue;
		*parent = tli;
		*begin = value;
		found = true;
	}
	return found;
}

int
postgres_timeline_begin(const struct postgres *pg, uint32_t timeline,
    uint32_t *parent, lsn_t *begin, char *errmsg)
{
	char path[CONF_PATH_MAX], *text;
	int result = 0;

	*parent = 0;
	begin->value = 0;
	if (timeline <= 1)
		return 0;
	if (history_path(pg, timeline, path, errmsg) != 0 ||
	    postgres_file_read(path, &text, errmsg) != 0)
		return -1;
	if (!parse_history(text, parent, begin))
		result = postgres_fail(errmsg, "file \"%.300s\" names no "
		    "parent timeline", path);
	free(text);
	return result;
}

/* Is what stands for timeline harmless: does it fork below replay_lsn? */
static int
check_history(const struct postgres *pg, uint32_t timeline, lsn_t replay_lsn,
    char *errmsg)
{
	char lsn[LSN_TEXT_MAX];
	uint32_t parent;
	lsn_t begin;

	if (postgres_timeline_begin(pg, timeline, &parent, &begin,
	    errmsg) != 0)
		return -1;
	if (begin.value < replay_lsn.value)
		return 0;
	return postgres_fail(errmsg, "timeline %u forks off at %s, ahead of "
	    "this node's replay: PostgreSQL would follow it instead of "
	    "beginning a new one", timeline, lsn_format(begin, lsn));
}

/*
 * Where the planted histories fork: as low as the current timeline allows,
 * so that no standby on it, however far behind, can follow one by mistake.
 */
static int
planted_fork(const struct postgres *pg, uint32_t current, lsn_t replay_lsn,
    char **ancestors, lsn_t *fork, char *errmsg)
{
	char path[CONF_PATH_MAX];
	uint32_t parent;

	*ancestors = NULL;
	fork->value = WAL_START;
	if (current > 1) {
		if (history_path(pg, current, path, errmsg) != 0 ||
		    postgres_file_read(path, ancestors, errmsg) != 0)
			return -1;
		if (!parse_history(*ancestors, &parent, fork)) {
			free(*ancestors);
			*ancestors = NULL;
			return postgres_fail(errmsg, "file \"%.300s\" names "
			    "no parent timeline", path);
		}
	}
	if (fork->value >= replay_lsn.value)
		fork->value = replay_lsn.value - 1;
	return 0;
}

static int
plant_one(const struct postgres *pg, uint32_t timeline, uint32_t current,
    const char *ancestors, lsn_t fork, char *errmsg)
{
	char path[CONF_PATH_MAX], temporary[CONF_PATH_MAX], *text;
	char lsn[LSN_TEXT_MAX];
	size_t size, len;
	int result;

	/* PostgreSQL removes xlogtemp.* at its next start. */
	if (history_path(pg, timeline, path, errmsg) != 0 ||
	    postgres_path(temporary, pg->data_dir, "pg_wal/xlogtemp.failoverd",
	    errmsg) != 0)
		return -1;
	len = ancestors == NULL ? 0 : strlen(ancestors);
	size = len + 256;
	text = malloc(size);
	if (text == NULL)
		return postgres_fail(errmsg, "out of memory");
	snprintf(text, size, "%s%s%u\t%s\tnever used: reserved by "
	    "failoverd\n", ancestors == NULL ? "" : ancestors,
	    len > 0 && ancestors[len - 1] != '\n' ? "\n" : "", current,
	    lsn_format(fork, lsn));
	result = postgres_file_write(path, text, 0600, temporary, errmsg);
	free(text);
	return result;
}

int
postgres_plant_histories(const struct postgres *pg, uint32_t current,
    uint32_t expected, lsn_t replay_lsn, char *errmsg)
{
	char path[CONF_PATH_MAX], *ancestors = NULL;
	uint32_t timeline;
	int result = 0;
	lsn_t fork;

	if (current == 0 || expected <= current || replay_lsn.value < 2)
		return postgres_fail(errmsg, "could not prepare timeline %u: "
		    "the current one is %u", expected, current);
	if (history_path(pg, expected, path, errmsg) != 0)
		return -1;
	if (access(path, F_OK) == 0)
		return postgres_fail(errmsg, "could not prepare timeline %u: "
		    "\"%.300s\" exists already", expected, path);
	if (expected == current + 1)
		return 0;
	if (planted_fork(pg, current, replay_lsn, &ancestors, &fork,
	    errmsg) != 0)
		return -1;
	for (timeline = current + 1; timeline < expected && result == 0;
	    timeline++) {
		result = history_path(pg, timeline, path, errmsg);
		if (result == 0 && access(path, F_OK) == 0)
			result = check_history(pg, timeline, replay_lsn,
			    errmsg);
		else if (result == 0)
			result = plant_one(pg, timeline, current, ancestors,
			    fork, errmsg);
	}
	free(ancestors);
	return result;
}

/* --- Copying and rewinding ------------------------------------------------ */

/* name='value' with libpq's quoting, at text + len.  -1: does not fit. */
static int
put_option(char *text, size_t *len, const char *name, const char *value)
{
	const size_t size = POSTGRES_CONNINFO_MAX;
	int n;

	n = snprintf(text + *len, size - *len, "%s%s='", *len == 0 ? "" : " ",
	    name);
	if (n < 0 || (size_t)n >= size - *len)
		return -1;
	*len += (size_t)n;
	for (; *value != '\0'; value++) {
		if (*len + 4 > size || iscntrl((unsigned char)*value))
			return -1;
		if (*value == '\'' || *value == '\\')
			text[(*len)++] = '\\';
		text[(*len)++] = *value;
	}
	if (*len + 2 > size)
		return -1;
	text[(*len)++] = '\'';
	text[*len] = '\0';
	return 0;
}

int
postgres_conninfo(const struct postgres *pg, const char *host,
    const char *address, const char *port, const char *application_name,
    const char *database, char *conninfo, char *errmsg)
{
	static const char constants[] = " connect_timeout=5"
	    " tcp_user_timeout=5000 keepalives=1 keepalives_idle=2"
	    " keepalives_interval=1 keepalives_count=3 sslmode=prefer"
	    " gssencmode=disable";
	unsigned char number[sizeof(struct in6_addr)];
	size_t len = 0;

	if ((address == NULL || address[0] == '\0') &&
	    (inet_pton(AF_INET, host, number) == 1 ||
	    inet_pton(AF_INET6, host, number) == 1))
		address = host;
	/* Resolving a name inside libpq could not be interrupted. */
	if (put_option(conninfo, &len, "host", host) != 0 ||
	    (address != NULL && address[0] != '\0' &&
	    put_option(conninfo, &len, "hostaddr", address) != 0) ||
	    put_option(conninfo, &len, "port", port) != 0 ||
	    put_option(conninfo, &len, "user", REPLICATION_ROLE) != 0 ||
	    (database != NULL &&
	    put_option(conninfo, &len, "dbname", database) != 0) ||
	    put_option(conninfo, &len, "passfile", pg->passfile) != 0 ||
	    put_option(conninfo, &len, "application_name",
	    application_name) != 0 ||
	    len + sizeof(constants) > POSTGRES_CONNINFO_MAX) {
		conninfo[0] = '\0';
		return postgres_fail(errmsg, "the connection string for host "
		    "\"%.200s\" is too long", host);
	}
	memcpy(conninfo + len, constants, sizeof(constants));
	return 0;
}

/* Adds one argument; false when there is no room. */
static bool
add_argument(struct postgres_argv *args, unsigned *count, const char *text)
{
	int n;

	if (*count >= POSTGRES_ARGV_MAX)
		return false;
	n = snprintf(args->storage[*count], sizeof(args->storage[0]), "%s",
	    text);
	if (n < 0 || (size_t)n >= sizeof(args->storage[0]))
		return false;
	args->argv[*count] = args->storage[*count];
	(*count)++;
	args->argv[*count] = NULL;
	return true;
}

static int
fill_child(const struct postgres *pg, const char *program,
    const char *const *arguments, struct postgres_child *child, char *errmsg)
{
	char path[CONF_PATH_MAX];
	unsigned count = 0, i;

	if (postgres_path(path, pg->bin_dir, program, errmsg) != 0)
		return -1;
	memset(child, 0, sizeof(*child));
	if (!add_argument(&child->args, &count, path))
		return postgres_fail(errmsg, "path \"%.300s\" is too long",
		    path);
	for (i = 0; arguments[i] != NULL; i++)
		if (!add_argument(&child->args, &count, arguments[i]))
			return postgres_fail(errmsg, "argument \"%.300s\" of "
			    "%s is too long", arguments[i], program);
	for (i = 0; plain_env[i] != NULL; i++) {
		snprintf(child->env_storage[i], sizeof(child->env_storage[i]),
		    "%s", plain_env[i]);
		child->env[i] = child->env_storage[i];
	}
	/* For the second connection, which streams WAL, as well. */
	snprintf(child->env_storage[i], sizeof(child->env_storage[i]),
	    "PGPASSFILE=%s", pg->passfile);
	child->env[i] = child->env_storage[i];
	return 0;
}

int
postgres_basebackup_child(const struct postgres *pg, const char *host,
    const char *port, const char *slot, struct postgres_child *child,
    char *errmsg)
{
	char conninfo[POSTGRES_CONNINFO_MAX];
	const char *const arguments[] = { "-D", pg->data_dir, "-d", conninfo,
	    "--wal-method=stream", "--checkpoint=fast", "--progress",
	    "--no-password", "--status-interval=1", "--slot", slot, NULL };

	if (postgres_conninfo(pg, host, NULL, port, "failoverd_clone", NULL,
	    conninfo, errmsg) != 0)
		return -1;
	return fill_child(pg, "pg_basebackup", arguments, child, errmsg);
}

int
postgres_rewind_child(const struct postgres *pg, const char *host,
    const char *port, struct postgres_child *child, char *errmsg)
{
	char conninfo[POSTGRES_CONNINFO_MAX],
	    source[POSTGRES_CONNINFO_MAX + 32];
	/* Crash recovery is ours: before 15 it would not find a
	 * postgresql.conf that is outside the data directory. */
	const char *const arguments[] = { "-D", pg->data_dir, source,
	    "--progress", "--no-ensure-shutdown", NULL };

	if (postgres_conninfo(pg, host, NULL, port, "failoverd_rewind",
	    "postgres", conninfo, errmsg) != 0)
		return -1;
	snprintf(source, sizeof(source), "--source-server=%s", conninfo);
	return fill_child(pg, "pg_rewind", arguments, child, errmsg);
}

/* " 12345/67890 kB (18%), ..." of both programs. */
bool
postgres_parse_progress(const char *line, uint64_t *done_bytes,
    uint64_t *total_bytes)
{
	unsigned long long done, total;
	int end = 0;

	*done_bytes = *total_bytes = 0;
	if (sscanf(line, " %llu/%llu kB (%n", &done, &total, &end) != 2 ||
	    end == 0 || done > UINT64_MAX / 1024 || total > UINT64_MAX / 1024)
		return false;
	*done_bytes = done * 1024;
	*total_bytes = total * 1024;
	return true;
}

int
postgres_recover(const struct postgres *pg, uint32_t timeout_ms, char *errmsg)
{
	char program[CONF_PATH_MAX], config[CONF_PATH_MAX + 16];
	const char *const argv[] = { program, "--single", "-D", pg->data_dir,
	    "-c", config, "-c", "synchronous_standby_names=", "template1",
	    NULL };
	char ignored[ERRMSG_MAX] = "";
	bool standby;
	int result;

	if (postgres_is_running(pg, NULL))
		return postgres_fail(errmsg, "PostgreSQL is running in "
		    "\"%.300s\"", pg->data_dir);
	if (postgres_path(program, pg->bin_dir, "postgres", errmsg) != 0)
		return -1;
	snprintf(config, sizeof(config), "config_file=%s", pg->config_file);
	standby = postgres_is_standby_configured(pg);
	if (postgres_set_standby(pg, false, errmsg) != 0)
		return -1;
	result = child_run(argv, plain_env, NULL, timeout_ms, NULL, 0, errmsg);
	if (standby && postgres_set_standby(pg, true,
	    result == 0 ? errmsg : ignored) != 0)
		return -1;
	return result == 0 ? 0 : -1;
}

/* --- Setting aside, removing ---------------------------------------------- */

int
postgres_set_aside(const struct postgres *pg, const char *suffix,
    char *errmsg)
{
	char path[PATH_MAX], aside[CONF_PATH_MAX], parent[CONF_PATH_MAX];

	if (postgres_is_running(pg, NULL))
		return postgres_fail(errmsg, "PostgreSQL is running in "
		    "\"%.300s\"", pg->data_dir);
	/* Of a symbolic link the directory itself moves, the link stays. */
	if (realpath(pg->data_dir, path) == NULL)
		return errno == ENOENT ? 0 : postgres_fail(errmsg, "could not "
		    "find directory \"%.300s\": %s", pg->data_dir,
		    strerror(errno));
	if (strchr(suffix, '/') != NULL || suffix[0] == '\0' ||
	    snprintf(aside, sizeof(aside), "%s.%s", path, suffix) >=
	    (int)sizeof(aside))
		return postgres_fail(errmsg, "could not set \"%.200s\" aside "
		    "as \"%.200s\"", path, suffix);
	if (access(aside, F_OK) == 0)
		return postgres_fail(errmsg, "\"%.300s\" exists already; "
		    "remove it or rename it", aside);
	if (rename(path, aside) == -1)
		return postgres_fail(errmsg, "could not rename directory "
		    "\"%.200s\" to \"%.200s\": %s", path, aside,
		    strerror(errno));
	if (mkdir(path, 0700) == -1)
		return postgres_fail(errmsg, "could not create directory "
		    "\"%.300s\": %s", path, strerror(errno));
	postgres_directory_of(aside, parent, sizeof(parent));
	return postgres_directory_sync(parent, errmsg);
}

/*
 * Removes what is below the directory dirfd, following no link and crossing
 * into no other file system.  Closes dirfd.
 */
static int
remove_below(int dirfd, dev_t device, int depth)
{
	struct dirent *entry;
	int result = 0, fd, error;
	struct stat st;
	DIR *dir;

	dir = depth > 0 ? fdopendir(dirfd) : NULL;
	if (dir == NULL) {
		close(dirfd);
		return -1;
	}
	while (result == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		if (fstatat(dirfd, entry->d_name, &st,
		    AT_SYMLINK_NOFOLLOW) == -1) {
			result = -1;
		} else if (!S_ISDIR(st.st_mode)) {
			result = unlinkat(dirfd, entry->d_name, 0);
		} else if (st.st_dev != device) {
			errno = EXDEV;
			result = -1;
		} else {
			fd = openat(dirfd, entry->d_name, O_RDONLY |
			    O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			result = fd == -1 ? -1 : remove_below(fd, device,
			    depth - 1);
			if (result == 0)
				result = unlinkat(dirfd, entry->d_name,
				    AT_REMOVEDIR);
		}
	}
	if (errno != 0)
		result = -1;
	error = errno;
	closedir(dir);
	errno = error;
	return result;
}

static int
empty_directory(const char *path, char *errmsg)
{
	struct stat st;
	int fd;

	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1 && errno == ENOENT)
		return 0;
	if (fd == -1 || fstat(fd, &st) == -1) {
		postgres_fail(errmsg, "could not open directory \"%.300s\": "
		    "%s", path, strerror(errno));
		if (fd != -1)
			close(fd);
		return -1;
	}
	if (remove_below(fd, st.st_dev, TREE_DEPTH_MAX) != 0)
		return postgres_fail(errmsg, "could not empty directory "
		    "\"%.300s\": %s", path, strerror(errno));
	return postgres_directory_sync(path, errmsg);
}

/* The PG_15_202209061 directories of a tablespace are of one cluster each;
 * a copy of ours had to find the place without one. */
static int
empty_tablespace(const char *path, unsigned major, char *errmsg)
{
	char prefix[32], inside[CONF_PATH_MAX];
	struct dirent *entry;
	int result = 0;
	DIR *dir;

	dir = opendir(path);
	if (dir == NULL)
		return 0;
	snprintf(prefix, sizeof(prefix), "PG_%u_", major);
	while (result == 0 && (entry = readdir(dir)) != NULL) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
			continue;
		result = postgres_path(inside, path, entry->d_name, errmsg);
		if (result == 0)
			result = empty_directory(inside, errmsg);
		if (result == 0 && rmdir(inside) == -1)
			result = postgres_fail(errmsg, "could not remove "
			    "directory \"%.300s\": %s", inside,
			    strerror(errno));
	}
	closedir(dir);
	return result;
}

static int
empty_tablespaces(const struct postgres *pg, char *errmsg)
{
	char base[CONF_PATH_MAX], link[CONF_PATH_MAX], target[CONF_PATH_MAX];
	struct dirent *entry;
	int result = 0;
	ssize_t n;
	DIR *dir;

	if (postgres_path(base, pg->data_dir, "pg_tblspc", errmsg) != 0)
		return -1;
	dir = opendir(base);
	if (dir == NULL)
		return 0;
	while (result == 0 && (entry = readdir(dir)) != NULL) {
		if (postgres_path(link, base, entry->d_name, errmsg) != 0)
			result = -1;
		n = readlink(link, target, sizeof(target) - 1);
		if (result != 0 || n <= 0)
			continue;
		target[n] = '\0';
		result = empty_tablespace(target, pg->major, errmsg);
	}
	closedir(dir);
	return result;
}

int
postgres_remove_data(const struct postgres *pg, char *errmsg)
{
	static const char *const marks[] = { "PG_VERSION", "backup_label",
	    "backup_manifest", "backup_manifest.tmp", "pg_wal", "base" };
	char path[CONF_PATH_MAX];
	bool known = false;
	size_t i;

	if (postgres_is_running(pg, NULL))
		return postgres_fail(errmsg, "PostgreSQL is running in "
		    "\"%.300s\"", pg->data_dir);
	if (access(pg->data_dir, F_OK) == -1 && errno == ENOENT)
		return 0;
	for (i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		if (postgres_path(path, pg->data_dir, marks[i], errmsg) != 0)
			return -1;
		known = known || access(path, F_OK) == 0;
	}
	if (!known && !postgres_is_empty(pg->data_dir))
		return postgres_fail(errmsg, "\"%.300s\" does not look like a "
		    "data directory; remove its contents by hand",
		    pg->data_dir);
	if (empty_tablespaces(pg, errmsg) != 0)
		return -1;
	/* A pg_wal elsewhere is emptied as well, before the link goes. */
	if (postgres_path(path, pg->data_dir, "pg_wal", errmsg) != 0 ||
	    empty_directory(path, errmsg) != 0)
		return -1;
	return empty_directory(pg->data_dir, errmsg);
}
