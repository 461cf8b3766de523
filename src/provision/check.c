/*
 * check.c - is this host fit for the new node?  Every finding, not the first.
 *
 * Must never change anything on the host.
 */
#include "job.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#include "argv.h"
#include "launch.h"

#define PROGRAM_MS	10000
#define SPARE_BYTES	(UINT64_C(64) << 20)
#define MB		1048576.0

int
agent_find(const char *run_dir)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct ucred peer = { .pid = 0 };
	socklen_t len = sizeof(peer);
	int fd;

	if ((size_t)snprintf(sun.sun_path, sizeof(sun.sun_path),
	    "%s/control.sock", run_dir) >= sizeof(sun.sun_path))
		return 0;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return 0;
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		peer.pid = 0;
	close(fd);
	return peer.pid;
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

/* argv of a process; an interpreter may stand before the program's name. */
bool
agent_is_ours(int pid, const char *conf_file)
{
	char path[64], text[8192];
	const char *words[64];
	size_t count = 0, named = 0;
	struct stat st;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = fstat(fd, &st) == 0 && st.st_uid == geteuid() ?
	    read(fd, text, sizeof(text) - 1) : -1;
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	for (char *p = text; p < text + n && count < 64; p += strlen(p) + 1)
		words[count++] = p;
	while (named < count && named < 3 &&
	    strcmp(base_name(words[named]), "failoverd") != 0)
		named++;
	if (named == count || named == 3)
		return false;
	for (size_t i = named + 1; i + 1 < count; i++) {
		if (strcmp(words[i], "-c") == 0)
			return strcmp(words[i + 1], conf_file) == 0;
	}
	/* A unit file that names none: then it is the default one. */
	return strcmp(conf_default_path(NULL), conf_file) == 0;
}

/* The nearest directory above path that exists. */
static void
existing_ancestor(const char *path, char dir[CONF_PATH_MAX])
{
	struct stat st;
	char *slash;

	snprintf(dir, CONF_PATH_MAX, "%s", path);
	while (dir[0] != '\0' && dir[1] != '\0' && stat(dir, &st) != 0) {
		slash = strrchr(dir, '/');
		if (slash == NULL)
			break;
		slash[slash == dir ? 1 : 0] = '\0';
	}
}

static void
check_user(struct findings *findings)
{
	if (geteuid() == 0)
		finding_fail(findings, "Put the authorized_keys line into the "
		    "account of postgres, not of root.", "failover-provision "
		    "runs as root, and PostgreSQL refuses to run as root");
}

/* Exists and is ours, or can be made. */
static void
check_directory(const char *what, const char *path,
    struct findings *findings)
{
	char dir[CONF_PATH_MAX], hint[CONF_PATH_MAX + 128];
	struct stat st;

	snprintf(hint, sizeof(hint), "As root run \"install -d -o postgres -g "
	    "postgres -m 700 %s\".", path);
	existing_ancestor(path, dir);
	if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode))
		finding_fail(findings, hint, "%s \"%s\": \"%s\" is no "
		    "directory", what, path, dir);
	else if (access(dir, W_OK | X_OK) != 0)
		finding_fail(findings, hint, "%s \"%s\": this user cannot "
		    "write to \"%s\"", what, path, dir);
	else
		finding_pass(findings, "%s \"%s\" is writable", what, path);
}

static void
check_directories(const struct job *job, struct findings *findings)
{
	char dir[CONF_PATH_MAX];
	char *slash;

	check_directory("state_dir", job->conf.state_dir, findings);
	check_directory("run_dir", job->conf.run_dir, findings);
	snprintf(dir, sizeof(dir), "%s", job->conf.file);
	slash = strrchr(dir, '/');
	if (slash != NULL && slash != dir)
		*slash = '\0';
	if (!job->keeps_conf)
		check_directory("the directory of failoverd.conf", dir,
		    findings);
}

/* An earlier job's marker: ours to continue, to take over, or a stranger's. */
static void
check_marker(const struct job *job, int agent, struct findings *findings)
{
	const struct marker_owner *owner = &job->marker.owner;

	if (job->marker.content == NULL || job->resumed)
		return;
	if (strcmp(owner->ca, job->owner.ca) != 0)
		finding_fail(findings, "Is this the right host?  If that "
		    "cluster is gone, remove its state directory.",
		    "\"%s\" belongs to node \"%s\" of another cluster, "
		    "\"%s\"", job->conf.state_dir, owner->node,
		    owner->cluster);
	else if (agent != 0)
		finding_fail(findings, "Remove that member with \"failoverctl "
		    "remove\", then stop its agent on the host.", "this host "
		    "is node \"%s\" of cluster \"%s\" already (job %s), and "
		    "its agent runs", owner->node, owner->cluster,
		    owner->job);
	else
		finding_warn(findings, NULL, "what job %s has left here for "
		    "node \"%s\" will be removed first", owner->job,
		    owner->node);
}

/* Certificates and state that no marker explains: another life's. */
static void
check_old_state(const struct job *job, struct findings *findings)
{
	static const char *const names[] = { "ca.crt", "node.crt",
	    "node.key" };
	char path[CONF_PATH_MAX];

	if (job->marker.content != NULL)
		return;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		job_tls_path(job, names[i], path);
		if (access(path, F_OK) != 0)
			continue;
		job_tls_path(job, "ca.crt", path);
		finding_fail(findings, "If that node is gone for good, move "
		    "the state directory away.", job_has_ca(job, path) ?
		    "\"%s/tls\" holds the key of an earlier node of this "
		    "cluster" : "\"%s/tls\" holds certificates of another "
		    "cluster", job->conf.state_dir);
		return;
	}
	snprintf(path, sizeof(path), "%.400s/incarnation",
	    job->conf.state_dir);
	if (access(path, F_OK) == 0)
		finding_fail(findings, "If that node is gone for good, move "
		    "the state directory away.", "\"%s\" holds the state of "
		    "an earlier node", job->conf.state_dir);
}

static int
program_major(const char *program, struct problem *problem)
{
	const char *argv[] = { program, "--version", NULL };
	char text[512], errmsg[ERRMSG_MAX];
	const char *number;
	int status = argv_run(argv, text, sizeof(text), PROGRAM_MS, errmsg);

	text[strcspn(text, "\r\n")] = '\0';
	message_clean(text);
	if (status != 0) {
		problem_set(problem, "\"%s --version\" does not work: %s",
		    program, status < 0 ? errmsg : text);
		return -1;
	}
	number = strstr(text, "(PostgreSQL) ");
	if (number == NULL || !isdigit((unsigned char)number[13])) {
		problem_set(problem, "\"%s --version\" says \"%s\"", program,
		    text);
		return -1;
	}
	return atoi(number + 13);
}

static void
check_postgres(const struct job *job, struct findings *findings)
{
	static const char *const names[] = { "pg_basebackup",
	    "pg_controldata" };
	char dir[CONF_PATH_MAX], path[CONF_PATH_MAX + 32], hint[160];
	struct problem problem;
	int major;

	snprintf(hint, sizeof(hint), "As root install PostgreSQL %d, on "
	    "Debian with \"apt-get install postgresql-%d\".", job->pg_major,
	    job->pg_major);
	if (job->pg_major <= 0) {
		finding_fail(findings, NULL, "the request does not say which "
		    "PostgreSQL the cluster runs");
		return;
	}
	if (job_find_bin_dir(job, dir) != 0) {
		finding_fail(findings, hint, "PostgreSQL %d is not installed "
		    "here", job->pg_major);
		return;
	}
	snprintf(path, sizeof(path), "%s/postgres", dir);
	major = program_major(path, &problem);
	if (major < 0) {
		finding_fail(findings, hint, "%s", problem.text);
		return;
	}
	if (major != job->pg_major) {
		finding_fail(findings, hint, "\"%s\" is PostgreSQL %d, and "
		    "the cluster runs %d", path, major, job->pg_major);
		return;
	}
	finding_pass(findings, "PostgreSQL %d in \"%s\"", major, dir);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		if (access(path, X_OK) != 0)
			finding_fail(findings, hint, "program \"%s\" is "
			    "missing", path);
	}
}

static void
check_own_programs(const struct job *job, struct findings *findings)
{
	static const char *const names[] = { "failoverd", "failover-guard" };
	char path[CONF_PATH_MAX], errmsg[ERRMSG_MAX];
	const size_t count = job->conf.has_postgresql ? 2 : 1;

	for (size_t i = 0; i < count; i++) {
		if (launch_find_program(names[i], path, sizeof(path),
		    errmsg) != 0)
			finding_fail(findings, "As root install the package "
			    "failoverd.", "%s", errmsg);
	}
}

/* Names that count: not dotfiles, not lost+found.  -1 = cannot be read. */
static int
count_entries(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int count = 0;

	if (dir == NULL)
		return -1;
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.' &&
		    strcmp(entry->d_name, "lost+found") != 0)
			count++;
	}
	closedir(dir);
	return count;
}

static bool
is_postgres(const char *pid)
{
	char path[300], name[64] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	if (fgets(name, sizeof(name), file) == NULL)
		name[0] = '\0';
	fclose(file);
	return strncmp(name, "postgres", 8) == 0 ||
	    strncmp(name, "postmaster", 10) == 0;
}

/* A server process of ours that works in this directory, as all of them do. */
static int
user_of_directory(const char *path)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	struct stat wanted, cwd;
	char link[300];
	int pid = 0;

	if (proc == NULL || stat(path, &wanted) != 0)
		wanted.st_ino = 0;
	while (proc != NULL && wanted.st_ino != 0 && pid == 0 &&
	    (entry = readdir(proc)) != NULL) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(link, sizeof(link), "/proc/%s/cwd", entry->d_name);
		if (stat(link, &cwd) == 0 && cwd.st_ino == wanted.st_ino &&
		    cwd.st_dev == wanted.st_dev && is_postgres(entry->d_name))
			pid = atoi(entry->d_name);
	}
	if (proc != NULL)
		closedir(proc);
	return pid;
}

/* postmaster.pid whose process lives, whoever's it is. */
static int
postmaster_of(const char *data_dir)
{
	char path[CONF_PATH_MAX + 32], text[32] = "";
	FILE *file;
	int pid;

	pid = user_of_directory(data_dir);
	if (pid != 0)
		return pid;
	snprintf(path, sizeof(path), "%s/postmaster.pid", data_dir);
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	if (fgets(text, sizeof(text), file) == NULL)
		text[0] = '\0';
	fclose(file);
	pid = atoi(text);
	return pid > 1 && (kill(pid, 0) == 0 || errno == EPERM) ? pid : 0;
}

static void
warn_in_production(const struct job *job, struct findings *findings)
{
	char dir[CONF_PATH_MAX], program[CONF_PATH_MAX + 32], text[4096];
	char errmsg[ERRMSG_MAX];
	const char *argv[] = { program, job->conf.data_dir, NULL };

	if (job_find_bin_dir(job, dir) != 0)
		return;
	snprintf(program, sizeof(program), "%s/pg_controldata", dir);
	if (argv_run(argv, text, sizeof(text), PROGRAM_MS, errmsg) == 0 &&
	    strstr(text, "in production") != NULL)
		finding_warn(findings, "Look at it before it is replaced.",
		    "the control file of \"%s\" says \"in production\": its "
		    "server was a primary and has crashed",
		    job->conf.data_dir);
}

static void
check_replaced(const struct job *job, struct findings *findings)
{
	const char *data_dir = job->conf.data_dir;
	char path[CONF_PATH_MAX + 32];
	int pid;

	snprintf(path, sizeof(path), "%s/PG_VERSION", data_dir);
	if (access(path, F_OK) != 0) {
		finding_fail(findings, "Move the files away, or name another "
		    "directory with --conf postgresql.data_dir=DIR.",
		    "\"%s\" is not empty and is no data directory of "
		    "PostgreSQL", data_dir);
		return;
	}
	pid = postmaster_of(data_dir);
	if (pid != 0) {
		finding_fail(findings, "Stop that server first; on Debian "
		    "\"pg_lsclusters\" names it.", "a running server (pid "
		    "%d) uses the data directory \"%s\"", pid, data_dir);
		return;
	}
	finding_warn(findings, NULL, "the data directory \"%s\" will be "
	    "replaced", data_dir);
	warn_in_production(job, findings);
}

static void
check_parent(const char *data_dir, struct findings *findings)
{
	char parent[CONF_PATH_MAX], dir[CONF_PATH_MAX];
	char hint[CONF_PATH_MAX + 128];
	char *slash;

	snprintf(parent, sizeof(parent), "%s", data_dir);
	slash = strrchr(parent, '/');
	if (slash == NULL || slash == parent)
		return;
	*slash = '\0';
	existing_ancestor(parent, dir);
	snprintf(hint, sizeof(hint), "As root run \"install -d -o postgres -g "
	    "postgres %s\".", parent);
	if (access(dir, W_OK | X_OK) != 0)
		finding_fail(findings, hint, "this user cannot write to "
		    "\"%s\", where the data directory \"%s\" is to be", dir,
		    data_dir);
}

static void
check_data_dir(const struct job *job, struct findings *findings)
{
	const char *data_dir = job->conf.data_dir;
	struct stat st;
	int count = 0;

	if (data_dir[0] == '\0')
		return;		/* conf_check() has said it */
	check_parent(data_dir, findings);
	if (stat(data_dir, &st) != 0) {
		if (errno != ENOENT)
			finding_fail(findings, NULL, "could not look at data "
			    "directory \"%s\": %s", data_dir,
			    strerror(errno));
		else
			finding_pass(findings, "the data directory \"%s\" is "
			    "still to be made", data_dir);
		return;
	}
	count = count_entries(data_dir);
	if (!S_ISDIR(st.st_mode) || count < 0)
		finding_fail(findings, NULL, "the data directory \"%s\" "
		    "cannot be read: %s", data_dir, strerror(
		    S_ISDIR(st.st_mode) ? errno : ENOTDIR));
	else if (st.st_uid != geteuid())
		finding_fail(findings, "As root run \"chown\" on it.", "the "
		    "data directory \"%s\" belongs to another user",
		    data_dir);
	else if (count == 0)
		finding_pass(findings, "the data directory \"%s\" is empty",
		    data_dir);
	else if (job->replace)
		check_replaced(job, findings);
	else if (!job->resumed)
		finding_fail(findings, "Add --replace to give up what is in "
		    "it, or name another with --conf postgresql.data_dir=DIR; "
		    "the unused first cluster of a Debian package goes with "
		    "\"pg_dropcluster\".", "the data directory \"%s\" is not "
		    "empty", data_dir);
}

static void
check_space(const struct job *job, struct findings *findings)
{
	uint64_t needed = job->data_bytes + job->data_bytes / 10 +
	    SPARE_BYTES;
	char dir[CONF_PATH_MAX];
	struct statvfs vfs;
	uint64_t free_bytes;

	existing_ancestor(job->conf.data_dir, dir);
	if (statvfs(dir, &vfs) != 0) {
		finding_fail(findings, NULL, "could not look at the file "
		    "system of \"%s\": %s", dir, strerror(errno));
		return;
	}
	free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	if (free_bytes < needed)
		finding_fail(findings, "Make room, or name a directory on "
		    "another file system with --conf "
		    "postgresql.data_dir=DIR.", "\"%s\" has %.0f MB free, "
		    "and the copy needs %.0f MB", dir,
		    (double)free_bytes / MB, (double)needed / MB);
	else
		finding_pass(findings, "\"%s\" has %.0f MB free, the copy "
		    "needs %.0f MB", dir, (double)free_bytes / MB,
		    (double)needed / MB);
}

/* Can this host listen there?  0, or an errno; EAI_* as -1. */
static int
try_bind(const char *host, const char *port)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE
	};
	struct addrinfo *list = NULL;
	int error = 0, on = 1;

	if (getaddrinfo(host, port, &hints, &list) != 0)
		return -1;
	for (struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
		int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0)
			continue;
		/* What lingers is no matter; a listener still is one. */
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 &&
		    (error == 0 || errno == EADDRINUSE))
			error = errno;
		close(fd);
	}
	freeaddrinfo(list);
	return error;
}

static void
check_port(const char *key, const char *host, const char *port,
    struct findings *findings)
{
	int error = try_bind(host, port);
	char hint[160];

	snprintf(hint, sizeof(hint), "\"ss -ltnp\" on the host shows who "
	    "listens; name another port with --conf %s=ADDRESS:PORT.", key);
	if (error == 0)
		finding_pass(findings, "port %s of \"%s\" is free", port,
		    host == NULL ? "*" : host);
	else if (error == EADDRINUSE)
		finding_fail(findings, hint, "port %s (%s) is in use on this "
		    "host", port, key);
	else if (error == EADDRNOTAVAIL || error == -1)
		finding_fail(findings, NULL, "\"%s\" (%s) is no address of "
		    "this host", host == NULL ? "*" : host, key);
	else
		finding_fail(findings, NULL, "could not listen on port %s "
		    "(%s): %s", port, key, strerror(error));
}

static void
check_ports(const struct job *job, struct findings *findings)
{
	const struct conf *conf = &job->conf;
	char host[ADDRESS_MAX_LEN + 1], port[16], errmsg[ERRMSG_MAX];
	char list[sizeof(conf->listen_addresses)], *save = NULL, *entry;

	if (conf_split_address(conf->listen, "7432", host, sizeof(host), port,
	    sizeof(port), errmsg) == 0)
		check_port("listen", host, port, findings);
	if (!conf->has_postgresql ||
	    conf_split_address(conf->pg_advertise, "5432", host, sizeof(host),
	    port, sizeof(port), errmsg) != 0)
		return;
	snprintf(list, sizeof(list), "%s", conf->listen_addresses);
	entry = strtok_r(list, ", ", &save);
	if (entry == NULL)
		check_port("postgresql.advertise", NULL, port, findings);
	for (; entry != NULL; entry = strtok_r(NULL, ", ", &save))
		check_port("postgresql.advertise",
		    strcmp(entry, "*") == 0 ? NULL : entry, port, findings);
}

static void
check_agent(const struct job *job, int agent, struct findings *findings)
{
	if (agent == 0 || (job->marker.content != NULL && !job->resumed))
		return;		/* check_marker() has said it */
	if (job->resumed && agent_is_ours(agent, job->conf.file))
		finding_pass(findings, "the agent of this job runs already "
		    "(pid %d)", agent);
	else
		finding_fail(findings, "Stop it first, on a host with systemd "
		    "with \"systemctl stop failoverd\".", "an agent (pid %d) "
		    "runs already with run_dir \"%s\"", agent,
		    job->conf.run_dir);
}

void
job_check(struct job *job, struct findings *findings)
{
	int agent = agent_find(job->conf.run_dir);

	if (job->resumed)
		finding_pass(findings, "job %s continues where it was cut",
		    job->owner.job);
	check_user(findings);
	check_marker(job, agent, findings);
	check_old_state(job, findings);
	check_directories(job, findings);
	check_own_programs(job, findings);
	check_agent(job, agent, findings);
	if (job->conf.has_postgresql) {
		check_postgres(job, findings);
		check_data_dir(job, findings);
		check_space(job, findings);
	}
	/* A running agent of this job holds them itself. */
	if (agent == 0)
		check_ports(job, findings);
}
