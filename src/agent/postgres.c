/*
 * postgres.c - where the local cluster is, and its processes.
 *
 * Owns finding things: directories, programs, the postmaster, its children.
 * Decides nothing, keeps no state, never starts PostgreSQL (that is the
 * guard's) and never sends SIGKILL to a process of it.
 *
 * Its configuration files are in postgres_conf.c, its data directory in
 * postgres_data.c.
 */
#include "postgres.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "postgres_file.h"
#include "procfs.h"

#define MAJOR_MIN	13	/* primary_conninfo by reload */
#define ROOT_PATH_MAX	(2 * CONF_PATH_MAX)

/* --- Where everything is -------------------------------------------------- */

/* Both exist and are the same directory, or are written alike. */
static bool
is_same_path(const char *a, const char *b)
{
	struct stat sa, sb;

	if (strcmp(a, b) == 0)
		return true;
	return stat(a, &sa) == 0 && stat(b, &sb) == 0 &&
	    sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

static unsigned
parse_major(const char *text)
{
	unsigned long value;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return 0;
	value = strtoul(text, &end, 10);
	/* "9.6" is of another time. */
	return *end == '.' || value > 999 ? 0 : (unsigned)value;
}

/* PG_VERSION; a directory without one has major 0. */
static int
read_major(struct postgres *pg, char *errmsg)
{
	char path[CONF_PATH_MAX], *text;
	int result;

	pg->major = 0;
	if (postgres_path(path, pg->data_dir, "PG_VERSION", errmsg) != 0)
		return -1;
	result = postgres_file_read(path, &text, errmsg);
	if (result == 1)
		return 0;
	if (result != 0)
		return -1;
	pg->major = parse_major(text);
	result = pg->major >= MAJOR_MIN ? 0 : postgres_fail(errmsg,
	    "data directory \"%.200s\" is of PostgreSQL %.*s; failoverd needs "
	    "%d or later", pg->data_dir, (int)strcspn(text, "\n") % 16, text,
	    MAJOR_MIN);
	free(text);
	return result;
}

/*
 * The Debian cluster whose data_directory is ours: its configuration
 * directory and the name of its log.  False when Debian does not know it.
 */
static bool
find_debian(const char *root, const char *data_dir, char *config_dir,
    char *log_file)
{
	char base[CONF_PATH_MAX], version_dir[ROOT_PATH_MAX];
	char file[ROOT_PATH_MAX + 512], value[CONF_PATH_MAX];
	struct dirent *version, *name;
	bool found = false;
	DIR *versions, *names;

	snprintf(base, sizeof(base), "%.200s/etc/postgresql", root);
	versions = opendir(base);
	while (versions != NULL && !found &&
	    (version = readdir(versions)) != NULL) {
		if (parse_major(version->d_name) == 0)
			continue;
		snprintf(version_dir, sizeof(version_dir), "%s/%s", base,
		    version->d_name);
		names = opendir(version_dir);
		while (names != NULL && !found &&
		    (name = readdir(names)) != NULL) {
			snprintf(file, sizeof(file), "%s/%s/postgresql.conf",
			    version_dir, name->d_name);
			if (name->d_name[0] == '.' ||
			    !postgres_find_setting(file, "data_directory",
			    NULL, value, sizeof(value)) ||
			    !is_same_path(value, data_dir))
				continue;
			found = snprintf(config_dir, CONF_PATH_MAX, "%s/%s",
			    version_dir, name->d_name) < CONF_PATH_MAX &&
			    snprintf(log_file, CONF_PATH_MAX, "%s/var/log/"
			    "postgresql/postgresql-%s-%s.log", root,
			    version->d_name, name->d_name) < CONF_PATH_MAX;
		}
		if (names != NULL)
			closedir(names);
	}
	if (versions != NULL)
		closedir(versions);
	return found;
}

static bool
has_postgres(const char *bin_dir)
{
	char file[ROOT_PATH_MAX];

	snprintf(file, sizeof(file), "%.900s/postgres", bin_dir);
	return access(file, X_OK) == 0;
}

/* The directory DIR/PREFIX<major>SUFFIX with the greatest major. */
static unsigned
newest_of(const char *dir, const char *prefix)
{
	size_t len = strlen(prefix);
	unsigned newest = 0, major;
	struct dirent *entry;
	DIR *handle;

	handle = opendir(dir);
	while (handle != NULL && (entry = readdir(handle)) != NULL) {
		if (strncmp(entry->d_name, prefix, len) != 0)
			continue;
		major = parse_major(entry->d_name + len);
		if (major > newest)
			newest = major;
	}
	if (handle != NULL)
		closedir(handle);
	return newest;
}

static bool
find_in_path(char *bin_dir)
{
	const char *path = getenv("PATH"), *end;

	for (; path != NULL && *path != '\0'; path = *end ? end + 1 : end) {
		end = strchrnul(path, ':');
		if (*path == '/' && end - path < CONF_PATH_MAX) {
			snprintf(bin_dir, CONF_PATH_MAX, "%.*s",
			    (int)(end - path), path);
			if (has_postgres(bin_dir))
				return true;
		}
	}
	bin_dir[0] = '\0';
	return false;
}

static int
find_programs(const char *root, struct postgres *pg, char *errmsg)
{
	static const struct { const char *dir, *prefix; } places[] = {
		{ "/usr/lib/postgresql/", "" },		/* Debian */
		{ "/usr/", "pgsql-" },			/* PGDG's RPMs */
	};
	char dir[CONF_PATH_MAX];
	unsigned major;
	size_t i;

	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(dir, sizeof(dir), "%.200s%s", root, places[i].dir);
		major = pg->major != 0 ? pg->major :
		    newest_of(dir, places[i].prefix);
		snprintf(pg->bin_dir, sizeof(pg->bin_dir), "%.300s%s%u/bin",
		    dir, places[i].prefix, major);
		if (major != 0 && has_postgres(pg->bin_dir))
			return 0;
	}
	if (find_in_path(pg->bin_dir))
		return 0;
	if (pg->major == 0)
		return postgres_fail(errmsg, "could not find PostgreSQL's "
		    "programs; install PostgreSQL, or set postgresql.bin_dir "
		    "in failoverd.conf");
	return postgres_fail(errmsg, "could not find the programs of "
	    "PostgreSQL %u; install them, or set postgresql.bin_dir in "
	    "failoverd.conf", pg->major);
}

/* A file that the user's postgresql.conf names, or NAME in data_dir. */
static int
find_named_file(const struct postgres *pg, const char *setting,
    const char *name, char *file, char *errmsg)
{
	char value[CONF_PATH_MAX];

	if (!postgres_find_setting(pg->config_file, setting, pg->owned_file,
	    value, sizeof(value)) || value[0] == '\0')
		return postgres_path(file, pg->data_dir, name, errmsg);
	if (value[0] != '/')
		return postgres_path(file, pg->data_dir, value, errmsg);
	memcpy(file, value, sizeof(value));
	return 0;
}

static int
find_files(const char *root, struct postgres *pg, const struct conf *conf,
    char *errmsg)
{
	char config_dir[CONF_PATH_MAX], log_file[CONF_PATH_MAX];
	bool debian;

	debian = find_debian(root, pg->data_dir, config_dir, log_file);
	if (conf->config_file[0] != '\0')
		memcpy(pg->config_file, conf->config_file,
		    sizeof(pg->config_file));
	else if (postgres_path(pg->config_file, debian ? config_dir :
	    pg->data_dir, "postgresql.conf", errmsg) != 0)
		return -1;
	if (debian && postgres_path(pg->start_conf, config_dir, "start.conf",
	    errmsg) != 0)
		return -1;
	if (conf->log_file[0] != '\0')
		memcpy(pg->log_file, conf->log_file, sizeof(pg->log_file));
	else if (debian)
		memcpy(pg->log_file, log_file, sizeof(pg->log_file));
	else if (postgres_path(pg->log_file, pg->state_dir, "postgresql.log",
	    errmsg) != 0)
		return -1;
	if (find_named_file(pg, "hba_file", "pg_hba.conf", pg->user_hba_file,
	    errmsg) != 0)
		return -1;
	return find_named_file(pg, "ident_file", "pg_ident.conf",
	    pg->ident_file, errmsg);
}

int
postgres_locate_below(const char *root, struct postgres *pg,
    const struct conf *conf, char *errmsg)
{
	memset(pg, 0, sizeof(*pg));
	errmsg[0] = '\0';
	if (!conf->has_postgresql)
		return postgres_fail(errmsg, "failoverd.conf has no section "
		    "\"postgresql\": this node is a witness");
	memcpy(pg->data_dir, conf->data_dir, sizeof(pg->data_dir));
	memcpy(pg->state_dir, conf->state_dir, sizeof(pg->state_dir));
	memcpy(pg->run_dir, conf->run_dir, sizeof(pg->run_dir));
	memcpy(pg->superuser, conf->pg_user, sizeof(pg->superuser));
	memcpy(pg->agent_passfile, conf->passfile,
	    sizeof(pg->agent_passfile));
	memcpy(pg->listen_addresses, conf->listen_addresses,
	    sizeof(pg->listen_addresses));
	memcpy(pg->socket_dir, conf->socket_dir, sizeof(pg->socket_dir));
	if (postgres_path(pg->hba_file, pg->state_dir, "pg_hba.conf",
	    errmsg) != 0 ||
	    postgres_path(pg->owned_file, pg->state_dir, "owned.conf",
	    errmsg) != 0 ||
	    postgres_path(pg->passfile, pg->state_dir,
	    "secrets/replication.pgpass", errmsg) != 0 ||
	    conf_split_address(conf->pg_advertise, "5432", pg->host,
	    sizeof(pg->host), pg->port, sizeof(pg->port), errmsg) != 0 ||
	    read_major(pg, errmsg) != 0 ||
	    find_files(root, pg, conf, errmsg) != 0)
		return -1;
	if (conf->bin_dir[0] == '\0')
		return find_programs(root, pg, errmsg);
	memcpy(pg->bin_dir, conf->bin_dir, sizeof(pg->bin_dir));
	if (!has_postgres(pg->bin_dir))
		return postgres_fail(errmsg, "there is no program "
		    "\"%.300s/postgres\"; set postgresql.bin_dir in "
		    "failoverd.conf", pg->bin_dir);
	return 0;
}

int
postgres_locate(struct postgres *pg, const struct conf *conf, char *errmsg)
{
	return postgres_locate_below("", pg, conf, errmsg);
}

/* --- The postmaster ------------------------------------------------------- */

/* The n-th line (from 1) of text into line; "" if there is none. */
static void
nth_line(const char *text, int n, char *line, size_t size)
{
	size_t len;

	while (--n > 0 && text != NULL) {
		text = strchr(text, '\n');
		if (text != NULL)
			text++;
	}
	/* A line without its end is still being written. */
	if (text == NULL || strchr(text, '\n') == NULL) {
		line[0] = '\0';
		return;
	}
	len = strcspn(text, "\n");
	snprintf(line, size, "%.*s", (int)len, text);
}

int
postgres_read_pidfile(const struct postgres *pg, pid_t *pid,
    char *socket_dir, size_t size, char *port, size_t port_size,
    char *errmsg)
{
	char path[CONF_PATH_MAX], line[32], *text;
	long value;

	*pid = 0;
	socket_dir[0] = port[0] = '\0';
	if (postgres_path(path, pg->data_dir, "postmaster.pid", errmsg) != 0 ||
	    postgres_file_read(path, &text, errmsg) != 0)
		return -1;
	nth_line(text, 1, line, sizeof(line));
	value = strtol(line, NULL, 10);
	/* Negative: a single-user server. */
	if (value <= 0 || value > 0x7fffffff) {
		free(text);
		return postgres_fail(errmsg, "file \"%.300s\" names no "
		    "postmaster", path);
	}
	*pid = (pid_t)value;
	nth_line(text, 5, socket_dir, size);
	nth_line(text, 4, port, port_size);
	/* Lines 4 and 5 are written together with 3, empty ones included. */
	if (port[0] == '\0')
		socket_dir[0] = '\0';
	free(text);
	return 0;
}

bool
postgres_is_running(const struct postgres *pg, pid_t *pid)
{
	char path[CONF_PATH_MAX], cwd[CONF_PATH_MAX], line[32];
	char errmsg[ERRMSG_MAX], *text;
	struct procfs_entry entry;
	long value;

	if (pid != NULL)
		*pid = 0;
	if (postgres_path(path, pg->data_dir, "postmaster.pid", errmsg) != 0 ||
	    postgres_file_read(path, &text, errmsg) != 0)
		return false;
	snprintf(line, sizeof(line), "%.20s", text);
	free(text);
	value = labs(strtol(line, NULL, 10));
	if (value <= 1 || value > 0x7fffffff ||
	    procfs_read((pid_t)value, &entry) != 0 || entry.state == 'Z')
		return false;
	/* Not readable: another user's, so to be on the safe side it is. */
	if (procfs_link((pid_t)value, "cwd", cwd, sizeof(cwd)) == 0 &&
	    !is_same_path(cwd, pg->data_dir))
		return false;
	if (pid != NULL)
		*pid = (pid_t)value;
	return true;
}

int
postgres_reload_pid(pid_t postmaster, char *errmsg)
{
	char exe[CONF_PATH_MAX];
	const char *slash;
	struct procfs_entry entry;

	if (postmaster <= 1 || procfs_read(postmaster, &entry) != 0 ||
	    procfs_link(postmaster, "exe", exe, sizeof(exe)) != 0)
		return postgres_fail(errmsg, "could not reload PostgreSQL: "
		    "there is no process %d", (int)postmaster);
	slash = strrchr(exe, '/');
	if (slash == NULL || strcmp(slash, "/postgres") != 0)
		return postgres_fail(errmsg, "could not reload PostgreSQL: "
		    "process %d is \"%.200s\"", (int)postmaster, exe);
	if (procfs_signal(&entry, SIGHUP) != 0)
		return postgres_fail(errmsg, "could not reload PostgreSQL: "
		    "could not signal process %d: %s", (int)postmaster,
		    strerror(errno));
	return 0;
}

int
postgres_reload(const struct postgres *pg, char *errmsg)
{
	pid_t pid;

	if (!postgres_is_running(pg, &pid))
		return postgres_fail(errmsg, "could not reload PostgreSQL: no "
		    "postmaster runs in \"%.300s\"", pg->data_dir);
	return postgres_reload_pid(pid, errmsg);
}

/* A file of /proc/PID as text; NULs become blanks.  Its length, or -1. */
static ssize_t
read_proc(pid_t pid, const char *name, char *text, size_t size)
{
	char path[64];
	ssize_t n, i;
	int fd;

	text[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return -1;
	n = read(fd, text, size - 1);
	close(fd);
	if (n < 0)
		return -1;
	for (i = 0; i < n; i++)
		if (text[i] == '\0')
			text[i] = ' ';
	text[n] = '\0';
	return n;
}

/* "LABEL value" in a file of /proc like status. */
static uint64_t
proc_value(const char *text, const char *label, int base)
{
	const char *at = strstr(text, label);

	return at == NULL ? 0 : strtoull(at + strlen(label), NULL, base);
}

int
postgres_read_activity(pid_t postmaster, uint64_t *cpu_ticks,
    uint64_t *context_switches)
{
	char text[4096];
	unsigned long long user, system;
	const char *after;

	*cpu_ticks = *context_switches = 0;
	if (read_proc(postmaster, "stat", text, sizeof(text)) <= 0)
		return -1;
	after = strrchr(text, ')');
	if (after == NULL || sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u "
	    "%*u %*u %*u %*u %llu %llu", &user, &system) != 2)
		return -1;
	*cpu_ticks = user + system;
	if (read_proc(postmaster, "status", text, sizeof(text)) <= 0)
		return -1;
	/* The longer label contains the shorter one: match from the line's
	 * beginning. */
	*context_switches =
	    proc_value(text, "\nvoluntary_ctxt_switches:", 10) +
	    proc_value(text, "\nnonvoluntary_ctxt_switches:", 10);
	return 0;
}

/* --- Its children --------------------------------------------------------- */

/*
 * What follows ": WORD" in a title, without the blank before it; NULL if the
 * title is of something else.  "postgres: CLUSTER: walreceiver streaming ..."
 */
static const char *
title_rest(const char *title, const char *word)
{
	size_t len = strlen(word);
	const char *at = title;

	if (strncmp(title, "postgres: ", 10) != 0)
		return NULL;
	while ((at = strstr(at, ": ")) != NULL) {
		at += 2;
		if (strncmp(at, word, len) == 0 &&
		    (at[len] == ' ' || at[len] == '\0'))
			return at + len + strspn(at + len, " ");
	}
	return NULL;
}

/* A backend of a role called walreceiver must not be taken for one. */
static bool
is_walreceiver(const char *title)
{
	static const char *const states[] = { "streaming ", "idle ",
	    "restarting ", "waiting ", "starting ", "stopping " };
	const char *rest = title_rest(title, "walreceiver");
	char word[32];
	size_t i;

	if (rest == NULL)
		return false;
	if (*rest == '\0')
		return true;
	snprintf(word, sizeof(word), "%.*s ", (int)strcspn(rest, " "), rest);
	for (i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (strcmp(word, states[i]) == 0)
			return true;
	return false;
}

typedef int walk_fn(const struct procfs_entry *entry, const char *title);

/*
 * Calls visit for every child of postmaster and adds up what it returns.  A
 * whole walk over /proc, because the kernel's list of children may lack some
 * while others come and go.  -1 on error.
 */
static int
walk_children(pid_t postmaster, walk_fn *visit)
{
	struct procfs_entry entry;
	struct procfs_walk walk;
	char title[512];
	int sum = 0;
	pid_t pid;

	if (procfs_walk_open(&walk) != 0)
		return -1;
	while ((pid = procfs_walk_next(&walk)) > 0) {
		if (procfs_read(pid, &entry) != 0 || entry.ppid != postmaster ||
		    entry.state == 'Z')
			continue;
		if (read_proc(pid, "cmdline", title, sizeof(title)) < 0)
			continue;
		sum += visit(&entry, title);
	}
	procfs_walk_close(&walk);
	return pid < 0 ? -1 : sum;
}

static int
visit_count(const struct procfs_entry *entry, const char *title)
{
	(void)entry;
	return is_walreceiver(title);
}

static int
visit_terminate(const struct procfs_entry *entry, const char *title)
{
	if (!is_walreceiver(title))
		return 0;
	(void)procfs_signal(entry, SIGTERM);	/* gone meanwhile: counted */
	return 1;
}

int
postgres_count_walreceivers(pid_t postmaster)
{
	return walk_children(postmaster, visit_count);
}

int
postgres_terminate_walreceivers(pid_t postmaster, char *errmsg)
{
	int count = walk_children(postmaster, visit_terminate);

	if (count < 0)
		postgres_fail(errmsg, "could not read /proc: %s",
		    strerror(errno));
	return count;
}

static int
has_pending_hangup(pid_t pid)
{
	char text[4096];

	if (read_proc(pid, "status", text, sizeof(text)) <= 0)
		return 0;
	return (int)((proc_value(text, "\nSigPnd:", 16) |
	    proc_value(text, "\nShdPnd:", 16)) >> (SIGHUP - 1) & 1);
}

static int
visit_pending(const struct procfs_entry *entry, const char *title)
{
	if (!is_walreceiver(title) && title_rest(title, "startup") == NULL)
		return 0;
	return has_pending_hangup(entry->pid);
}

int
postgres_is_reload_pending(pid_t postmaster)
{
	int count;

	if (has_pending_hangup(postmaster))
		return 1;
	count = walk_children(postmaster, visit_pending);
	return count > 0 ? 1 : count;
}

/* --- Programs and names --------------------------------------------------- */

int
postgres_start_argv(const struct postgres *pg, struct postgres_argv *argv,
    char *errmsg)
{
	const size_t size = sizeof(argv->storage[0]);
	unsigned count = 0;

	memset(argv, 0, sizeof(*argv));
	if (pg->major == 0)
		return postgres_fail(errmsg, "there is no data directory in "
		    "\"%.300s\"", pg->data_dir);
	snprintf(argv->storage[count++], size, "%s/postgres", pg->bin_dir);
	snprintf(argv->storage[count++], size, "-D");
	snprintf(argv->storage[count++], size, "%s", pg->data_dir);
	snprintf(argv->storage[count++], size, "-c");
	snprintf(argv->storage[count++], size, "config_file=%s",
	    pg->config_file);
	snprintf(argv->storage[count++], size, "-c");
	snprintf(argv->storage[count++], size, "hba_file=%s", pg->hba_file);
	while (count-- > 0)
		argv->argv[count] = argv->storage[count];
	return 0;
}

void
postgres_application_name(const char *node, uint32_t incarnation, char *text,
    size_t size)
{
	snprintf(text, size, "%s.%u", node, incarnation);
}

int
postgres_parse_application_name(const char *text, char *node, size_t size,
    uint32_t *incarnation)
{
	char name[NAME_MAX_LEN + 1], *end;
	const char *dot = strchr(text, '.');
	unsigned long value;
	size_t len;

	node[0] = '\0';
	*incarnation = 0;
	if (dot == NULL || !isdigit((unsigned char)dot[1]))
		return -1;
	len = (size_t)(dot - text);
	if (len > NAME_MAX_LEN || len >= size)
		return -1;
	memcpy(name, text, len);
	name[len] = '\0';
	errno = 0;
	value = strtoul(dot + 1, &end, 10);
	if (!conf_is_name(name) || *end != '\0' || errno != 0 ||
	    value > UINT32_MAX || (dot[1] == '0' && dot[2] != '\0'))
		return -1;
	memcpy(node, name, len + 1);
	*incarnation = (uint32_t)value;
	return 0;
}

void
postgres_slot_name(const char *node, char *text, size_t size)
{
	char *at;

	snprintf(text, size, "failoverd_%s", node);
	/* Slot names have no hyphen, node names no underscore. */
	for (at = text; *at != '\0'; at++)
		if (*at == '-')
			*at = '_';
}
