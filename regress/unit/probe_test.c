/*
 * probe_test.c - probe and mechanics against real servers: judged while they
 * live, hang, are full and restart; copied, followed, promoted, rewound.
 *
 * Two clusters in a scratch directory, n1 and n2, started here and not by a
 * guard.  PostgreSQL does not run as root: root becomes postgres first.
 */
#include "probe.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "child.h"
#include "postgres_file.h"
#include "probe_session.h"
#include "probe_sql.h"
#include "procfs.h"
#include "tap.h"

#define PATIENCE_MS	30000	/* nothing here should take that long */
#define BEAT_MS		20
#define LOOK_MS		300
#define PASSWORD	"pa:ss\\word with 'quotes'"

struct server {
	const char *name;
	uint32_t id, incarnation;
	char port[8];
	struct conf conf;
	struct postgres pg;
	pid_t pid;
	struct probe *probe;
	bool quiet;		/* no looks on the beat */
	unsigned looks;		/* told */
	struct report report;
};

static char scratch[64];
static char errmsg[ERRMSG_MAX];
static uv_loop_t loop;
static uv_timer_t beat;
static struct server n1, n2;

/* --- Time and processes --------------------------------------------------- */

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
look_at(struct server *server)
{
	if (server->probe != NULL && !server->quiet)
		probe_look(server->probe, server->pid, LOOK_MS);
}

static void
on_beat(uv_timer_t *timer)
{
	(void)timer;
	look_at(&n1);
	look_at(&n2);
}

/* Runs the loop until the expression holds; false when patience is over. */
#define until(expression) __extension__ ({				\
	int64_t until_end = now_ms() + PATIENCE_MS;			\
	bool until_good;						\
	while (!(until_good = (expression)) && now_ms() < until_end)	\
		uv_run(&loop, UV_RUN_ONCE);				\
	until_good;							\
})

static void
each_child(pid_t parent, int sig)
{
	struct procfs_entry entry;
	struct procfs_walk walk;
	pid_t pid;

	if (procfs_walk_open(&walk) != 0)
		return;
	while ((pid = procfs_walk_next(&walk)) > 0)
		if (procfs_read(pid, &entry) == 0 && entry.ppid == parent)
			kill(pid, sig);
	procfs_walk_close(&walk);
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

/* Nothing of ours runs on: orphans of a postmaster are ours as well. */
static void
clean_up(void)
{
	int64_t end = now_ms() + 5000;

	while (now_ms() < end) {
		each_child(n1.pid, SIGKILL);
		each_child(n2.pid, SIGKILL);
		each_child(getpid(), SIGKILL);
		if (waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD)
			break;
		nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
	}
	if (tap_failed == 0)
		nftw(scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	else
		printf("# data and logs are kept in %s\n", scratch);
}

static void
bail_out(const char *what)
{
	printf("Bail out! %s: %s\n", what, errmsg);
	tap_failed++;
	clean_up();
	exit(1);
}

static void
on_alarm(int sig)
{
	static const char text[] = "Bail out! took too long\n";
	ssize_t n = write(1, text, sizeof(text) - 1);

	(void)sig;
	(void)n;
	each_child(n1.pid, SIGKILL);
	each_child(n2.pid, SIGKILL);
	each_child(getpid(), SIGKILL);
	_exit(1);
}

/* --- Servers -------------------------------------------------------------- */

static uint32_t
member_of(void *arg, const char *node)
{
	(void)arg;
	return strcmp(node, "n1") == 0 ? 1 : strcmp(node, "n2") == 0 ? 2 : 0;
}

static uint32_t
upstream_of(void *arg, const char *host, const char *port)
{
	(void)arg;
	if (strcmp(host, "127.0.0.1") != 0)
		return 0;
	return strcmp(port, n1.port) == 0 ? 1 : strcmp(port, n2.port) == 0 ?
	    2 : 0;
}

static void
on_look(void *arg)
{
	struct server *server = arg;
	struct timespec now;

	server->looks++;
	clock_gettime(CLOCK_BOOTTIME, &now);
	probe_fill_report(server->probe, (monotime_t){ (int64_t)now.tv_sec *
	    1000000000 + now.tv_nsec }, &server->report);
}

static void
new_probe(struct server *server)
{
	server->probe = probe_new(&loop, &server->pg, member_of, on_look,
	    server);
	probe_set_upstream(server->probe, upstream_of);
}

/* A TCP port that was free a moment ago. */
static void
find_port(char *text, size_t size)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) != 0)
		bail_out("could not find a port");
	snprintf(text, size, "%d", ntohs(address.sin_port));
	close(fd);
}

static void
describe(struct server *server, const char *name, uint32_t id,
    uint32_t incarnation)
{
	struct conf *conf = &server->conf;

	server->name = name;
	server->id = id;
	server->incarnation = incarnation;
	find_port(server->port, sizeof(server->port));
	conf_init(conf);
	conf->has_postgresql = true;
	snprintf(conf->pg_advertise, sizeof(conf->pg_advertise),
	    "127.0.0.1:%s", server->port);
	snprintf(conf->data_dir, sizeof(conf->data_dir), "%s/%s", scratch,
	    name);
	snprintf(conf->state_dir, sizeof(conf->state_dir), "%s/%s.state",
	    scratch, name);
	snprintf(conf->socket_dir, sizeof(conf->socket_dir), "%s", scratch);
	snprintf(conf->listen_addresses, sizeof(conf->listen_addresses),
	    "127.0.0.1");
	mkdir(conf->state_dir, 0700);
	if (postgres_locate(&server->pg, conf, errmsg) != 0)
		bail_out("could not locate");
}

/* owned.conf, following upstream (NULL: nobody). */
static void
write_owned(struct server *server, const struct server *upstream,
    const char *list)
{
	char slot[64];
	struct postgres_owned owned = {
		.self_name = server->name,
		.self_id = server->id,
		.self_incarnation = server->incarnation,
		.upstream_host = upstream == NULL ? "" : "127.0.0.1",
		.upstream_port = upstream == NULL ? "" : upstream->port,
		.synchronous_standby_names = list,
		.max_members = 3,
	};

	postgres_slot_name(server->name, slot, sizeof(slot));
	owned.slot_name = upstream == NULL ? "" : slot;
	if (postgres_write_owned(&server->pg, &owned, errmsg) != 0)
		bail_out("could not write owned.conf");
}

static void
prepare(struct server *server)
{
	static const char *const addresses[] = { "127.0.0.1" };
	char changes[2048];

	if (postgres_take_over(&server->pg, false, changes, sizeof(changes),
	    errmsg) != 0 ||
	    postgres_write_hba(&server->pg, addresses, 1, false,
	    errmsg) != 0 ||
	    postgres_write_passfile(&server->pg, PASSWORD, errmsg) != 0)
		bail_out("could not prepare");
}

static void
start(struct server *server)
{
	struct postgres_argv argv;
	char *const *args;
	int fd;

	if (postgres_start_argv(&server->pg, &argv, errmsg) != 0)
		bail_out("could not start");
	args = (char *const *)(uintptr_t)argv.argv;
	fflush(stdout);
	server->pid = fork();
	if (server->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGQUIT);
		fd = open(server->pg.log_file, O_WRONLY | O_CREAT | O_APPEND,
		    0600);
		dup2(fd, 1);
		dup2(fd, 2);
		setsid();
		execv(args[0], args);
		_exit(1);
	}
}

/* Does any process work in its data directory? */
static bool
has_processes(const struct server *server)
{
	struct procfs_walk walk;
	bool found = false;
	char cwd[512];
	pid_t pid;

	if (procfs_walk_open(&walk) != 0)
		return true;
	while (!found && (pid = procfs_walk_next(&walk)) > 0)
		found = procfs_link(pid, "cwd", cwd, sizeof(cwd)) == 0 &&
		    strcmp(cwd, server->pg.data_dir) == 0;
	procfs_walk_close(&walk);
	return found;
}

/* Ends with sig; waits for the postmaster and whatever it left. */
static void
stop(struct server *server, int sig)
{
	int status;

	kill(server->pid, sig);
	ok(until(waitpid(server->pid, &status, WNOHANG) == server->pid),
	    "%s stops", server->name);
	server->pid = 0;
	/* Orphans come to us, their reaper. */
	ok(until(waitpid(-1, NULL, WNOHANG) <= 0 && !has_processes(server)),
	    "and leaves nothing behind");
}

static bool
is_answered(const struct server *server)
{
	return server->report.probe == PROBE_OK &&
	    server->report.sample_age_ms != UINT32_MAX;
}

/* --- Commands ------------------------------------------------------------- */

struct reply {
	unsigned count;
	bool failed;
	char error[ERRMSG_MAX];
	int rows, columns;
	char cells[8][512];
};

static void
on_reply(void *arg, const char *error, int rows, int columns,
    const char *const *values)
{
	struct reply *reply = arg;
	int i;

	reply->count++;
	reply->failed = error != NULL;
	snprintf(reply->error, sizeof(reply->error), "%s",
	    error == NULL ? "" : error);
	reply->rows = rows;
	reply->columns = columns;
	for (i = 0; i < rows * columns && i < 8; i++)
		snprintf(reply->cells[i], sizeof(reply->cells[i]), "%s",
		    values[i] == NULL ? "(null)" : values[i]);
}

/* Runs one statement and waits for its end. */
static bool
run(struct server *server, struct reply *reply, const char *sql, int count,
    const char *const *params)
{
	memset(reply, 0, sizeof(*reply));
	probe_command(server->probe, sql, count, params, 10000, on_reply,
	    reply);
	if (reply->count != 0)
		return false;	/* from within the call */
	return until(reply->count > 0) && !reply->failed;
}

static bool
run1(struct server *server, struct reply *reply, const char *sql,
    const char *param)
{
	return run(server, reply, sql, param == NULL ? 0 : 1, &param);
}

/* True when the first cell of sql's answer becomes text. */
static bool
becomes(struct server *server, const char *sql, const char *text)
{
	int64_t end = now_ms() + PATIENCE_MS;
	struct reply reply;

	do {
		if (!run(server, &reply, sql, 0, NULL))
			return false;
		if (reply.rows > 0 && strcmp(reply.cells[0], text) == 0)
			return true;
	} while (now_ms() < end);
	printf("# it is \"%s\"\n", reply.cells[0]);
	return false;
}

static void
reload(struct server *server)
{
	ok(postgres_reload_pid(server->pid, errmsg) == 0, "%s reloads",
	    server->name);
}

/* --- A primary ------------------------------------------------------------ */

static void
test_not_running(void)
{
	new_probe(&n1);
	ok(until(n1.looks > 0), "a look at nothing is told");
	is_int(n1.report.probe, PROBE_SOCKET, "nothing runs");
	is_int(n1.report.sample_age_ms, UINT32_MAX, "there is no sample");
	is_int(n1.report.pg_role, PG_ROLE_UNKNOWN, "and no role");
	ok(monotime_is_never(probe_silent_since(n1.probe)),
	    "what does not run is not silent");
}

/* So that few are enough to fill it. */
static void
limit_connections(struct server *server)
{
	FILE *f = fopen(server->pg.config_file, "a");

	if (f == NULL || fputs("max_connections = 12\n", f) < 0 ||
	    fclose(f) != 0)
		bail_out("could not edit postgresql.conf");
}

static void
test_primary(void)
{
	struct postgres_control control;

	if (postgres_initdb(&n1.pg, errmsg) != 0 ||
	    postgres_locate(&n1.pg, &n1.conf, errmsg) != 0)
		bail_out("initdb");
	ok(postgres_initdb(&n1.pg, errmsg) == -1, "initdb over data: %s",
	    errmsg);
	is_int(postgres_read_control(&n1.pg, &control, errmsg), 0,
	    "pg_control");
	ok(control.exists && control.checksums && control.shut_down &&
	    control.timeline == 1, "of a fresh cluster with checksums: %s",
	    control.state);
	write_owned(&n1, NULL, "");
	limit_connections(&n1);
	prepare(&n1);
	start(&n1);
	ok(until(is_answered(&n1)), "the first answer");
	is_int(n1.report.pg_role, PG_ROLE_PRIMARY, "a primary");
	is_int(n1.report.timeline, 1, "on timeline 1");
	ok(n1.report.system_identifier == control.system_identifier,
	    "the system identifier is that of pg_control");
	ok(n1.report.insert_lsn.value >= control.checkpoint_lsn.value &&
	    n1.report.flush_lsn.value > 0, "LSNs");
	ok(n1.report.receive_lsn.value == 0 && n1.report.replay_lsn.value == 0,
	    "none of a standby");
	is_int(n1.report.server_version / 10000, n1.pg.major, "the version");
	ok(n1.report.postmaster_start_us / 1000000 > 1700000000,
	    "when it started");
	ok(!n1.report.pending_restart, "nothing waits for a restart");
	ok(n1.report.sample_age_ms < 5000, "the age of it");
	is_text(probe_error(n1.probe), "", "no error");
	ok(postgres_is_running(&n1.pg, NULL), "postgres_is_running agrees");
}

static void
test_commands(void)
{
	const char *params[3] = { "it's", NULL, "\\" };
	struct reply reply, slow;
	unsigned looks;

	ok(run(&n1, &reply, "SELECT $1::text, $2::text, length($3),"
	    " current_setting('search_path'),"
	    " current_setting('synchronous_commit'),"
	    " current_setting('statement_timeout')", 3, params),
	    "a command: %s", reply.error);
	ok(reply.rows == 1 && reply.columns == 6, "its size");
	ok(strcmp(reply.cells[0], "it's") == 0 &&
	    strcmp(reply.cells[1], "(null)") == 0 &&
	    strcmp(reply.cells[2], "1") == 0, "its parameters");
	ok(strcmp(reply.cells[3], "pg_catalog") == 0 &&
	    strcmp(reply.cells[4], "local") == 0 &&
	    strcmp(reply.cells[5], "9s") == 0, "its session: %s, %s, %s",
	    reply.cells[3], reply.cells[4], reply.cells[5]);
	ok(!run(&n1, &reply, "SELECT 1/0", 0, NULL) &&
	    probe_error_is(reply.error, "22012"), "an error: %s",
	    reply.error);
	ok(!run(&n1, &reply, "SELECT 1; SELECT 2", 0, NULL) &&
	    probe_error_is(reply.error, "42601"),
	    "two statements are refused: %s", reply.error);

	memset(&slow, 0, sizeof(slow));
	memset(&reply, 0, sizeof(reply));
	looks = n1.looks;
	probe_command(n1.probe, "SELECT pg_sleep(60)", 0, NULL, 300, on_reply,
	    &slow);
	probe_command(n1.probe, "SELECT 'after'", 0, NULL, 5000, on_reply,
	    &reply);
	ok(until(slow.count > 0) && probe_error_is(slow.error, "57014"),
	    "statement_timeout ends it: %s", slow.error);
	ok(until(reply.count > 0) && strcmp(reply.cells[0], "after") == 0,
	    "the next one has its turn");
	ok(n1.looks > looks + 2, "looks went on meanwhile");
	is_int(slow.count, 1, "called once");

	memset(&slow, 0, sizeof(slow));
	memset(&reply, 0, sizeof(reply));
	probe_command_on(n1.probe, PROBE_SLOW, "SELECT pg_sleep(60)", 0, NULL,
	    60000, on_reply, &slow);
	ok(run(&n1, &reply, "SELECT 'quick'", 0, NULL) && slow.count == 0,
	    "a slow lane delays no quick one");
	probe_cancel_commands(n1.probe);
	ok(slow.count == 1 && probe_error_is(slow.error, "57014"),
	    "given up: %s", slow.error);
}

/* The replication role, without its password in any log. */
static void
test_role(void)
{
	char conninfo[1024], sql[PROBE_SQL_ROLE_MAX], *verifier, *log;
	struct reply reply;
	PGconn *conn;
	int i;

	snprintf(conninfo, sizeof(conninfo), "host=%s port=%s user=%s "
	    "dbname=postgres", scratch, n1.port, n1.pg.superuser);
	conn = PQconnectdb(conninfo);
	verifier = PQencryptPasswordConn(conn, PASSWORD, REPLICATION_ROLE,
	    "scram-sha-256");
	PQfinish(conn);
	ok(verifier != NULL && probe_sql_replication_role(verifier, sql,
	    sizeof(sql), errmsg) == 0, "a verifier");
	for (i = 0; i < 2; i++)
		ok(run(&n1, &reply, sql, 0, NULL), "the role, %s: %s",
		    i == 0 ? "made" : "there already", reply.error);
	for (i = 0; i < 2; i++)
		ok(run(&n1, &reply, PROBE_SQL_GRANT_REWIND, 0, NULL),
		    "what pg_rewind needs: %s", reply.error);
	ok(run(&n1, &reply, "SELECT rolsuper, rolreplication, rolcreaterole"
	    " FROM pg_roles WHERE rolname = 'failoverd_replication'", 0,
	    NULL) && strcmp(reply.cells[0], "f") == 0 &&
	    strcmp(reply.cells[1], "t") == 0 &&
	    strcmp(reply.cells[2], "f") == 0, "can replicate, nothing else");

	/* Even a statement that fails is not written down. */
	ok(run(&n1, &reply, "SET log_statement = 'all'", 0, NULL) &&
	    run(&n1, &reply, "SET log_statement = 'none'", 0, NULL),
	    "settings can be changed and put back");
	log = strdup("");
	free(log);
	if (postgres_file_read(n1.pg.log_file, &log, errmsg) != 0)
		bail_out("could not read the log");
	ok(strstr(log, "SCRAM-SHA-256$") == NULL && strstr(log, "pa:ss") ==
	    NULL, "neither password nor verifier is in the server's log");
	free(log);
	PQfreemem(verifier);

	snprintf(conninfo, sizeof(conninfo), "hostaddr=127.0.0.1 port=%s "
	    "user=%s dbname=postgres passfile=%s", n1.port, REPLICATION_ROLE,
	    n1.pg.passfile);
	conn = PQconnectdb(conninfo);
	ok(PQstatus(conn) == CONNECTION_OK, "the passfile lets it in: %s",
	    PQerrorMessage(conn));
	PQfinish(conn);
	snprintf(conninfo, sizeof(conninfo), "hostaddr=127.0.0.1 port=%s "
	    "user=%s dbname=postgres password=wrong", n1.port,
	    REPLICATION_ROLE);
	conn = PQconnectdb(conninfo);
	ok(PQstatus(conn) == CONNECTION_BAD, "nothing else does");
	PQfinish(conn);
	snprintf(conninfo, sizeof(conninfo), "host=%s port=%s user=%s "
	    "dbname=postgres passfile=%s", scratch, n1.port, REPLICATION_ROLE,
	    n1.pg.passfile);
	conn = PQconnectdb(conninfo);
	ok(PQstatus(conn) == CONNECTION_BAD &&
	    strstr(PQerrorMessage(conn), "pg_hba.conf rejects") != NULL,
	    "and not by the Unix socket");
	PQfinish(conn);
}

/* Every statement that has no side effect, on whatever server this is. */
static void
test_statements(struct server *server)
{
	static const struct { const char *name, *sql; int columns; } all[] = {
		{ "SLOTS", PROBE_SQL_SLOTS, 5 },
		{ "IS_OPEN", PROBE_SQL_IS_OPEN, 3 },
		{ "CHECKPOINT", PROBE_SQL_CHECKPOINT, 0 },
		{ "RELOAD", PROBE_SQL_RELOAD, 1 },
		{ "SETTINGS", PROBE_SQL_SETTINGS, 4 },
		{ "UPSTREAM", PROBE_SQL_UPSTREAM, 3 },
		{ "HBA_ERRORS", PROBE_SQL_HBA_ERRORS, 2 },
		{ "CONF_ERRORS", PROBE_SQL_CONF_ERRORS, 2 },
		{ "REPLAY", PROBE_SQL_REPLAY, 5 },
		{ "REPLAY_RESUME", PROBE_SQL_REPLAY_RESUME, 1 },
		{ "END_BLOCKERS", PROBE_SQL_END_BLOCKERS, 2 },
		{ "WALSENDERS", PROBE_SQL_WALSENDERS, 6 },
		{ "COMMIT_WAITS", PROBE_SQL_COMMIT_WAITS, 1 },
		{ "COMMIT_END", PROBE_SQL_COMMIT_END, 1 },
		{ "DATA_BYTES", PROBE_SQL_DATA_BYTES, 1 },
	};
	struct reply reply;
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		ok(run(server, &reply, all[i].sql, 0, NULL) &&
		    reply.columns == all[i].columns, "%s: %s %s",
		    server->name, all[i].name, reply.error);
	/* What is in force comes from our file, and nothing is wrong. */
	ok(run1(server, &reply, "SELECT string_agg(name, ' ') FROM"
	    " pg_settings WHERE name IN ('primary_conninfo',"
	    " 'restore_command', 'synchronous_standby_names',"
	    " 'restart_after_crash', 'hot_standby', 'primary_slot_name',"
	    " 'recovery_target_timeline', 'port') AND sourcefile IS DISTINCT"
	    " FROM $1", server->pg.owned_file) &&
	    strcmp(reply.cells[0], "(null)") == 0,
	    "every owned setting is ours: %s", reply.cells[0]);
	ok(run(server, &reply, PROBE_SQL_HBA_ERRORS, 0, NULL) &&
	    reply.rows == 0, "pg_hba.conf is understood");
	ok(run(server, &reply, PROBE_SQL_CONF_ERRORS, 0, NULL) &&
	    reply.rows == 0, "and the configuration");
}

static void
test_slots(void)
{
	struct reply reply;
	const char *params[2] = { "failoverd_n2", "FFFFFFFF/0" };

	ok(run(&n1, &reply, PROBE_SQL_SLOT_CREATE, 1, params) &&
	    reply.rows == 1, "a slot: %s", reply.error);
	ok(strchr(reply.cells[1], '/') != NULL, "that keeps WAL at once");
	ok(run(&n1, &reply, PROBE_SQL_SLOT_CREATE, 1, params) &&
	    reply.rows == 0, "is made once");
	ok(run(&n1, &reply, PROBE_SQL_SLOTS, 0, NULL) && reply.rows == 1 &&
	    strcmp(reply.cells[0], "failoverd_n2") == 0 &&
	    strcmp(reply.cells[1], "f") == 0, "and listed");
	ok(run(&n1, &reply, PROBE_SQL_SLOT_ADVANCE, 2, params) &&
	    reply.rows == 1, "advanced to what there is: %s %s", reply.error,
	    reply.cells[0]);
	ok(run(&n1, &reply, PROBE_SQL_SLOT_ADVANCE, 2, params) &&
	    !reply.failed, "again");
	ok(run1(&n1, &reply, PROBE_SQL_SLOT_DROP, "failoverd_none") &&
	    reply.rows == 0, "one that is not there is dropped already");
	ok(run1(&n1, &reply, PROBE_SQL_SLOT_CREATE, "failoverd_x") &&
	    run1(&n1, &reply, PROBE_SQL_SLOT_DROP, "failoverd_x") &&
	    reply.rows == 1, "one that is there is dropped");
}

/* --- Life and silence ----------------------------------------------------- */

struct port_reply {
	unsigned count;
	int answer;
};

static void
on_port(void *arg, int answer)
{
	struct port_reply *reply = arg;

	reply->count++;
	reply->answer = answer;
}

static int
ask_port(const char *address)
{
	struct port_reply reply = { 0, -1 };

	if (probe_port(&loop, address, LOOK_MS, on_port, &reply) != 0)
		return -1;
	(void)until(reply.count > 0);
	return reply.answer;
}

static void
test_ports(void)
{
	char tcp[32], name[32], closed[32], path[128], port[8];

	snprintf(tcp, sizeof(tcp), "127.0.0.1:%s", n1.port);
	snprintf(name, sizeof(name), "localhost:%s", n1.port);
	snprintf(path, sizeof(path), "%s/.s.PGSQL.%s", scratch, n1.port);
	find_port(port, sizeof(port));
	snprintf(closed, sizeof(closed), "127.0.0.1:%s", port);
	is_int(ask_port(tcp), PORT_ANSWERS, "a live server by TCP");
	is_int(ask_port(name), PORT_ANSWERS, "by name, whatever else it means");
	is_int(ask_port(path), PORT_ANSWERS, "by the Unix socket");
	is_int(ask_port(closed), PORT_REFUSED, "a closed port");
	is_int(ask_port("/nonexistent/.s.PGSQL.1"), PORT_REFUSED,
	    "a socket that is not there");
	is_int(ask_port("no such host"), -1, "an address without sense");

	kill(n1.pid, SIGSTOP);
	is_int(ask_port(tcp), PORT_SILENT,
	    "a stopped postmaster accepts and does not answer");
	is_int(ask_port(path), PORT_SILENT, "nor by the Unix socket");
	kill(n1.pid, SIGCONT);
	is_int(ask_port(tcp), PORT_ANSWERS, "it goes on, it answers");
}

static void
test_hang(void)
{
	uint64_t cpu[2], switches[2];
	struct procfs_entry entry;
	struct reply reply;
	unsigned looks;

	/* The postmaster alone: sessions live, a new one does not come. */
	kill(n1.pid, SIGSTOP);
	ok(until(procfs_read(n1.pid, &entry) == 0 && entry.state == 'T'),
	    "the postmaster is stopped");
	postgres_read_activity(n1.pid, &cpu[0], &switches[0]);
	looks = n1.looks;
	ok(until(n1.looks >= looks + 5) && n1.report.probe == PROBE_OK,
	    "a stopped postmaster: its sessions answer");
	is_int(postgres_read_activity(n1.pid, &cpu[1], &switches[1]), 0,
	    "its activity");
	ok(cpu[0] == cpu[1] && switches[0] == switches[1], "is none");
	probe_free(n1.probe);
	new_probe(&n1);
	ok(until(n1.report.probe == PROBE_CONNECT_TIMEOUT),
	    "a new session does not come: %s", probe_error(n1.probe));
	ok(!monotime_is_never(probe_silent_since(n1.probe)),
	    "silence has begun");
	looks = n1.looks;
	ok(until(n1.looks >= looks + 2), "more looks");
	kill(n1.pid, SIGCONT);
	ok(until(n1.report.probe == PROBE_OK), "the same attempt answers");
	ok(monotime_is_never(probe_silent_since(n1.probe)), "silence is over");

	/* Everything. */
	ok(run(&n1, &reply, "SELECT 1", 0, NULL), "the command session");
	kill(n1.pid, SIGSTOP);
	each_child(n1.pid, SIGSTOP);
	ok(until(n1.report.probe == PROBE_QUERY_TIMEOUT),
	    "all is stopped: no answer to a query");
	ok(!monotime_is_never(probe_silent_since(n1.probe)), "silence");
	ok(n1.report.pg_role == PG_ROLE_PRIMARY &&
	    n1.report.sample_age_ms >= LOOK_MS,
	    "what was seen last is still there, with its age");
	memset(&reply, 0, sizeof(reply));
	probe_command(n1.probe, "SELECT 1", 0, NULL, 200, on_reply, &reply);
	ok(until(reply.count > 0) && probe_error_is(reply.error, "08006"),
	    "a command has its own deadline: %s", reply.error);
	each_child(n1.pid, SIGCONT);
	kill(n1.pid, SIGCONT);
	ok(until(n1.report.probe == PROBE_OK), "it goes on, it answers");
	ok(monotime_is_never(probe_silent_since(n1.probe)), "silence is over");
	ok(run(&n1, &reply, "SELECT 1", 0, NULL), "commands as well: %s",
	    reply.error);
}

/* Connects until the server refuses; returns how many there are then. */
static int
fill(PGconn **conns, int count, int max, const char *conninfo)
{
	for (; count < max; count++) {
		conns[count] = PQconnectdb(conninfo);
		if (PQstatus(conns[count]) == CONNECTION_OK)
			continue;
		ok(strstr(PQerrorMessage(conns[count]), "too many") != NULL,
		    "the server is full: %s",
		    PQerrorMessage(conns[count]));
		PQfinish(conns[count]);
		break;
	}
	return count;
}

/* How many sessions of ours there are, asked on another one. */
static bool
has_no_session(PGconn *conn)
{
	PGresult *result = PQexec(conn, "SELECT count(*) FROM pg_stat_activity"
	    " WHERE application_name = '" PROBE_NAME "'");
	bool none = PQntuples(result) == 1 &&
	    strcmp(PQgetvalue(result, 0, 0), "0") == 0;

	PQclear(result);
	return none;
}

static void
test_full(void)
{
	PGconn *conns[32];
	char conninfo[256];
	int count, i;

	snprintf(conninfo, sizeof(conninfo), "host=%s port=%s user=%s "
	    "dbname=postgres", scratch, n1.port, n1.pg.superuser);
	count = fill(conns, 0, 32, conninfo);
	ok(count > 3 && count < 32, "%d sessions", count);
	ok(until(n1.report.probe == PROBE_OK), "the old session answers");
	/* Ours give their places up, which others take. */
	probe_free(n1.probe);
	new_probe(&n1);
	n1.quiet = true;
	ok(until(has_no_session(conns[0])), "ours are closed");
	count = fill(conns, count, 32, conninfo);
	n1.quiet = false;
	ok(until(n1.report.probe == PROBE_REFUSED), "a new one is refused");
	ok(probe_error_is(probe_error(n1.probe), "53300"), "by name: %s",
	    probe_error(n1.probe));
	ok(monotime_is_never(probe_silent_since(n1.probe)),
	    "which is life, not silence");
	for (i = 0; i < count; i++)
		PQfinish(conns[i]);
	ok(until(n1.report.probe == PROBE_OK), "there is room again");
}

static void
test_restart(void)
{
	struct postgres_control control;
	struct reply reply;
	int64_t started = n1.report.postmaster_start_us;
	unsigned looks = n1.looks;

	memset(&reply, 0, sizeof(reply));
	probe_command(n1.probe, "SELECT pg_sleep(60)", 0, NULL, 60000,
	    on_reply, &reply);
	ok(until(n1.looks > looks + 1) && reply.count == 0,
	    "a command is under way");
	stop(&n1, SIGINT);
	ok(until(n1.report.probe == PROBE_SOCKET &&
	    n1.report.sample_age_ms == UINT32_MAX),
	    "it has ended: nothing of it is reported");
	ok(n1.report.pg_role == PG_ROLE_UNKNOWN && n1.report.timeline == 0 &&
	    n1.report.insert_lsn.value == 0, "no role, no LSN");
	is_int(reply.count, 1, "its command has ended");
	ok(reply.failed, "with an error: %s", reply.error);
	is_int(postgres_read_control(&n1.pg, &control, errmsg), 0,
	    "pg_control");
	ok(control.shut_down && control.shutdown_end_lsn.value >
	    control.checkpoint_lsn.value, "says shut down");
	start(&n1);
	ok(until(is_answered(&n1)), "it answers again");
	ok(n1.report.postmaster_start_us > started, "it is another one");
	ok(run(&n1, &reply, "SELECT 1", 0, NULL), "commands, too");
}

/* --- A standby ------------------------------------------------------------ */

struct copy {
	struct child *child;
	unsigned progress;
	uint64_t done_bytes, total_bytes;
	bool over;
	struct child_result result;
};

static void
on_copy_line(void *arg, const char *line, bool is_error)
{
	struct copy *copy = arg;
	uint64_t done, total;

	(void)is_error;
	if (!postgres_parse_progress(line, &done, &total))
		return;
	copy->progress++;
	copy->done_bytes = done;
	copy->total_bytes = total;
}

static void
on_copied(void *arg, const struct child_result *result)
{
	struct copy *copy = arg;

	copy->over = true;
	copy->result = *result;
	child_free(copy->child);
}

static void
copy_run(struct copy *copy, const struct postgres_child *what)
{
	struct child_spec spec = {
		.argv = what->args.argv,
		.env = what->env,
		.timeout_ms = PATIENCE_MS,
		.line = on_copy_line,
		.done = on_copied,
		.arg = copy,
	};

	memset(copy, 0, sizeof(*copy));
	copy->child = child_start(&loop, &spec, errmsg);
	if (copy->child == NULL)
		bail_out("could not start a copy");
	(void)until(copy->over);
}

static void
test_clone(void)
{
	struct postgres_child what;
	struct reply reply;
	struct copy copy;

	if (postgres_basebackup_child(&n2.pg, "127.0.0.1", n1.port,
	    "failoverd_n2", &what, errmsg) != 0)
		bail_out("pg_basebackup");
	copy_run(&copy, &what);
	ok(!copy.result.ok && strstr(copy.result.error, "password") != NULL,
	    "no copy without the passfile: %s", copy.result.error);
	if (postgres_write_passfile(&n2.pg, PASSWORD, errmsg) != 0 ||
	    postgres_remove_data(&n2.pg, errmsg) != 0)
		bail_out("passfile");
	copy_run(&copy, &what);
	ok(copy.result.ok, "pg_basebackup: %s", copy.result.error);
	ok(copy.progress > 0 && copy.done_bytes == copy.total_bytes &&
	    copy.total_bytes > 1000000, "with progress");
	if (postgres_locate(&n2.pg, &n2.conf, errmsg) != 0)
		bail_out("locate");
	is_int(n2.pg.major, n1.pg.major, "it is there");
	write_owned(&n2, &n1, "ANY 1 (failoverd_nobody)");
	prepare(&n2);
	if (postgres_set_standby(&n2.pg, true, errmsg) != 0)
		bail_out("standby.signal");
	start(&n2);
	new_probe(&n2);
	ok(until(is_answered(&n2) && n2.report.receiver_streaming),
	    "the standby streams");
	is_int(n2.report.pg_role, PG_ROLE_STANDBY, "a standby");
	is_int(n2.report.timeline, 1, "its timeline");
	is_int(n2.report.upstream_id, 1, "it knows from whom");
	is_text(probe_receiver_slot(n2.probe), "failoverd_n2", "by its slot");
	ok(n2.report.system_identifier == n1.report.system_identifier &&
	    n2.report.insert_lsn.value == 0 && !n2.report.in_archive_recovery,
	    "the same system, no LSN of a primary");
	ok(until(n1.report.walsender_count == 1 &&
	    n1.report.walsenders[0].streaming), "the primary sees it");
	is_int(n1.report.walsenders[0].member_id, 2, "by its member");
	is_int(n1.report.walsenders[0].incarnation, 7, "and incarnation");
	is_int(n1.report.walsenders[0].sync, SYNC_ASYNC, "not synchronous");
	ok(run(&n1, &reply, PROBE_SQL_SWITCH_WAL, 0, NULL), "some WAL");
	ok(until(n2.report.receive_lsn.value != 0 &&
	    n2.report.replay_lsn.value == n2.report.receive_lsn.value &&
	    n2.report.receive_lsn.value == n1.report.flush_lsn.value &&
	    n1.report.walsenders[0].flush.value == n1.report.flush_lsn.value &&
	    n1.report.walsenders[0].replay.value ==
	    n1.report.flush_lsn.value), "both see it arrive");
	ok(until(probe_has_parked(n2.probe)), "replay is parked at its end");
	ok(!probe_has_parked(n1.probe), "a primary never is");
}

static void
test_synchronous(void)
{
	struct reply reply, commit;

	write_owned(&n1, NULL, "ANY 1 (failoverd_dummy)");
	reload(&n1);
	ok(becomes(&n1, "SELECT current_setting('synchronous_standby_names')",
	    "ANY 1 (failoverd_dummy)"), "the list is in force");
	/* The checkpointer sets the flag a moment later: try until it waits. */
	ok(becomes(&n1, "SELECT 1", "1"), "asked");
	memset(&commit, 0, sizeof(commit));
	probe_command_on(n1.probe, PROBE_COMMIT, PROBE_SQL_COMMIT, 0, NULL,
	    60000, on_reply, &commit);
	for (;;) {
		if (!run(&n1, &reply, PROBE_SQL_COMMIT_WAITS, 0, NULL) ||
		    reply.rows == 1)
			break;
		if (commit.count == 1) {
			memset(&commit, 0, sizeof(commit));
			probe_command_on(n1.probe, PROBE_COMMIT,
			    PROBE_SQL_COMMIT, 0, NULL, 60000, on_reply,
			    &commit);
		}
	}
	ok(reply.rows == 1 && commit.count == 0, "a commit of ours waits");
	ok(run(&n1, &reply, "CREATE TABLE public.t (i int)", 0, NULL),
	    "one of an ordinary session of ours does not: %s", reply.error);
	ok(run(&n1, &reply, PROBE_SQL_COMMIT_END, 0, NULL) && reply.rows == 1,
	    "it is ended");
	ok(until(commit.count == 1) && commit.failed, "and told so: %s",
	    commit.error);

	write_owned(&n1, NULL, "ANY 1 (\"n2.7\")");
	reload(&n1);
	ok(until(n1.report.walsender_count == 1 &&
	    n1.report.walsenders[0].sync == SYNC_QUORUM &&
	    n1.report.walsenders[0].sync_priority == 1),
	    "the standby is in the list");
	memset(&commit, 0, sizeof(commit));
	probe_command_on(n1.probe, PROBE_COMMIT, PROBE_SQL_COMMIT, 0, NULL,
	    10000, on_reply, &commit);
	ok(until(commit.count == 1) && !commit.failed,
	    "a synchronous commit returns: %s", commit.error);
}

static pid_t
startup_process(pid_t postmaster)
{
	char path[64], title[256];
	struct procfs_entry entry;
	struct procfs_walk walk;
	pid_t pid, found = 0;
	FILE *f;

	if (procfs_walk_open(&walk) != 0)
		return 0;
	while (found == 0 && (pid = procfs_walk_next(&walk)) > 0) {
		if (procfs_read(pid, &entry) != 0 || entry.ppid != postmaster)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
		f = fopen(path, "r");
		if (f != NULL && fgets(title, sizeof(title), f) != NULL &&
		    strstr(title, "startup") != NULL)
			found = pid;
		if (f != NULL)
			fclose(f);
	}
	procfs_walk_close(&walk);
	return found;
}

static void
test_walreceivers(void)
{
	struct reply reply;
	char before[512];
	pid_t startup;

	is_int(postgres_count_walreceivers(n1.pid), 0,
	    "a primary has no walreceiver");
	is_int(postgres_count_walreceivers(n2.pid), 1, "a standby has one");
	/* Replay paused: a reload alone would let it go on for ever. */
	ok(run(&n2, &(struct reply){ 0 }, "SELECT pg_wal_replay_pause()", 0,
	    NULL), "replay is paused");
	ok(until(n2.report.replay_paused), "and reported so");
	write_owned(&n2, NULL, "ANY 1 (failoverd_nobody)");
	is_int(postgres_remove_passfile(&n2.pg, errmsg), 0,
	    "the credential is gone");
	startup = startup_process(n2.pid);
	ok(startup > 0, "the startup process");
	kill(startup, SIGSTOP);
	reload(&n2);
	ok(until(postgres_is_reload_pending(n2.pid) == 1),
	    "a reload that is not taken is seen");
	kill(startup, SIGCONT);
	ok(until(postgres_is_reload_pending(n2.pid) == 0),
	    "one that is taken, too");
	ok(becomes(&n2, PROBE_SQL_UPSTREAM, ""),
	    "no upstream is in force in a session");
	/* It may be between two attempts: then none is found, at first. */
	ok(postgres_terminate_walreceivers(n2.pid, errmsg) >= 0, "SIGTERM");
	ok(until(postgres_count_walreceivers(n2.pid) == 0), "it is gone");
	ok(until(!n2.report.receiver_streaming && n1.report.walsender_count ==
	    0), "both reports say so");
	is_int(n2.report.timeline, 1, "its timeline is still known");
	ok(n2.report.receive_lsn.value != 0, "and what it has received");
	ok(run(&n2, &(struct reply){ 0 }, PROBE_SQL_REPLAY_RESUME, 0, NULL),
	    "replay goes on");

	write_owned(&n2, &n1, "ANY 1 (failoverd_nobody)");
	if (postgres_write_passfile(&n2.pg, PASSWORD, errmsg) != 0)
		bail_out("passfile");
	reload(&n2);
	ok(until(n2.report.receiver_streaming), "it streams again");
	ok(run(&n1, &reply, PROBE_SQL_WALSENDERS, 0, NULL) && reply.rows == 1,
	    "to one walsender");
	snprintf(before, sizeof(before), "%s", reply.cells[0]);
	is_int(postgres_terminate_walreceivers(n2.pid, errmsg), 1,
	    "SIGTERM to one that streams");
	ok(until(run(&n1, &reply, PROBE_SQL_WALSENDERS, 0, NULL) &&
	    reply.rows == 1 && strcmp(reply.cells[0], before) != 0 &&
	    strcmp(reply.cells[2], "streaming") == 0),
	    "which comes back by itself, as its conninfo is there");
}

/* --- Promotion ------------------------------------------------------------ */

static void
test_promote(void)
{
	struct postgres_control control;
	struct reply reply;
	uint32_t parent;
	lsn_t begin, end;

	stop(&n1, SIGINT);
	is_int(postgres_read_control(&n1.pg, &control, errmsg), 0,
	    "the old primary's pg_control");
	end = control.shutdown_end_lsn;
	ok(until(n2.report.receive_lsn.value == end.value),
	    "the standby has all, to the end of the shutdown checkpoint");
	printf("# shutdown checkpoint %llx, end %llx, received %llx\n",
	    (unsigned long long)control.checkpoint_lsn.value,
	    (unsigned long long)end.value,
	    (unsigned long long)n2.report.receive_lsn.value);
	ok(until(n2.report.replay_lsn.value == end.value), "and replayed it");

	write_owned(&n2, NULL, "");
	reload(&n2);
	ok(becomes(&n2, PROBE_SQL_UPSTREAM, ""), "sealed");
	is_int(postgres_plant_histories(&n2.pg, 1, 4, n2.report.replay_lsn,
	    errmsg), 0, "timelines 2 and 3 are reserved");
	/* Longer than its retry interval: it must not follow one of them. */
	ok(until(startup_process(n2.pid) > 0 &&
	    postgres_count_walreceivers(n2.pid) == 0), "no walreceiver");
	ok(run(&n2, &reply, PROBE_SQL_PROMOTE, 0, NULL), "pg_promote: %s",
	    reply.error);
	ok(becomes(&n2, PROBE_SQL_IS_OPEN, "t"), "it is open");
	ok(run(&n2, &reply, PROBE_SQL_IS_OPEN, 0, NULL) &&
	    strcmp(reply.cells[1], "00000004") == 0,
	    "on exactly the expected timeline: %s", reply.cells[1]);
	ok(until(n2.report.pg_role == PG_ROLE_PRIMARY), "the report, too");
	is_int(n2.report.timeline, 4, "says 4");
	is_int(postgres_timeline_begin(&n2.pg, 4, &parent, &begin, errmsg), 0,
	    "its history");
	is_int(parent, 1, "names the old timeline");
	ok(begin.value == end.value, "and where it ended");
	ok(!postgres_is_standby_configured(&n2.pg),
	    "standby.signal is gone");
}

static void
test_follow(void)
{
	struct reply reply;

	ok(run1(&n2, &reply, PROBE_SQL_SLOT_CREATE, "failoverd_n1") &&
	    reply.rows == 1, "a slot for the old primary");
	write_owned(&n1, &n2, "");
	if (postgres_set_standby(&n1.pg, true, errmsg) != 0)
		bail_out("standby.signal");
	start(&n1);
	ok(until(is_answered(&n1) && n1.report.receiver_streaming &&
	    n1.report.timeline == 4),
	    "it follows to timeline 4, through histories never used");
	is_int(n1.report.upstream_id, 2, "from the new primary");
	ok(until(n2.report.walsender_count == 1 &&
	    n2.report.walsenders[0].member_id == 1 &&
	    n2.report.walsenders[0].streaming), "which sees it");
	test_statements(&n1);
}

static void
test_rewind(void)
{
	struct postgres_control control;
	struct postgres_child what;
	struct reply reply;
	struct copy copy;

	/* n2 goes its own way, and dies. */
	stop(&n1, SIGINT);
	ok(run(&n2, &reply, "CREATE TABLE public.lost AS SELECT 1", 0, NULL) &&
	    run(&n2, &reply, PROBE_SQL_SWITCH_WAL, 0, NULL), "lost WAL");
	stop(&n2, SIGQUIT);
	is_int(postgres_read_control(&n2.pg, &control, errmsg), 0,
	    "pg_control");
	ok(!control.shut_down && control.shutdown_end_lsn.value == 0,
	    "of a crash: %s", control.state);
	write_owned(&n2, NULL, "ANY 1 (failoverd_nobody)");
	is_int(postgres_recover(&n2.pg, PATIENCE_MS, errmsg), 0,
	    "crash recovery alone, with a list that nobody meets");
	is_int(postgres_read_control(&n2.pg, &control, errmsg), 0,
	    "pg_control");
	ok(control.shut_down, "says: %s", control.state);

	write_owned(&n1, NULL, "");
	start(&n1);
	ok(until(is_answered(&n1) && probe_has_parked(n1.probe)),
	    "the other starts, and parks");
	is_int(postgres_plant_histories(&n1.pg, 4, 5, n1.report.replay_lsn,
	    errmsg), 0, "nothing to reserve from 4 to 5");
	ok(run(&n1, &reply, PROBE_SQL_PROMOTE, 0, NULL) &&
	    becomes(&n1, PROBE_SQL_IS_OPEN, "t"), "promoted");
	ok(until(n1.report.timeline == 5), "to 5");
	ok(run(&n1, &reply, PROBE_SQL_CHECKPOINT, 0, NULL), "checkpoint");

	if (postgres_rewind_child(&n2.pg, "127.0.0.1", n1.port, &what,
	    errmsg) != 0 || postgres_write_passfile(&n2.pg, PASSWORD,
	    errmsg) != 0)
		bail_out("pg_rewind");
	copy_run(&copy, &what);
	ok(copy.result.ok, "pg_rewind as the replication role: %s",
	    copy.result.error);
	ok(copy.progress > 0, "with progress");
	write_owned(&n2, &n1, "");
	prepare(&n2);
	if (postgres_set_standby(&n2.pg, true, errmsg) != 0)
		bail_out("standby.signal");
	ok(run1(&n1, &reply, PROBE_SQL_SLOT_CREATE, "failoverd_n2"),
	    "its slot");
	start(&n2);
	ok(until(is_answered(&n2) && n2.report.receiver_streaming &&
	    n2.report.timeline == 5), "it streams on timeline 5");
	ok(until(n1.report.walsender_count == 1), "seen by the primary");
	ok(run(&n2, &reply, "SELECT to_regclass('public.lost')", 0, NULL) &&
	    strcmp(reply.cells[0], "(null)") == 0, "what was lost is gone");
}

/* The gate, and a crash that nobody ordered. */
static void
test_gate(void)
{
	static const char *const addresses[] = { "127.0.0.1" };
	char conninfo[256];
	PGconn *conn;

	if (postgres_write_hba(&n1.pg, addresses, 1, true, errmsg) != 0)
		bail_out("gate");
	stop(&n1, SIGQUIT);
	start(&n1);
	ok(until(is_answered(&n1)), "behind the gate the agent gets in");
	snprintf(conninfo, sizeof(conninfo), "hostaddr=127.0.0.1 port=%s "
	    "user=%s dbname=postgres password=x", n1.port, n1.pg.superuser);
	conn = PQconnectdb(conninfo);
	ok(strstr(PQerrorMessage(conn), "no pg_hba.conf entry") != NULL,
	    "nobody else does");
	PQfinish(conn);
	ok(until(n1.report.walsender_count == 1), "members do");
	if (postgres_write_hba(&n1.pg, addresses, 1, false, errmsg) != 0)
		bail_out("gate");
	reload(&n1);
	ok(until((conn = PQconnectdb(conninfo), PQfinish(conn), conn != NULL)),
	    "opened");
}

/* --- Main ----------------------------------------------------------------- */

static void
become_postgres(void)
{
	const struct passwd *user;

	if (geteuid() != 0)
		return;
	user = getpwnam("postgres");
	if (user == NULL || initgroups(user->pw_name, user->pw_gid) != 0 ||
	    setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0) {
		printf("Bail out! could not become user postgres: %s\n",
		    user == NULL ? "no such user" : strerror(errno));
		exit(1);
	}
	/* Else /proc hides us from ourselves. */
	prctl(PR_SET_DUMPABLE, 1);
}

int
main(void)
{
	become_postgres();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGALRM, on_alarm);
	alarm(120);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	snprintf(scratch, sizeof(scratch), "/tmp/probe_test.%d",
	    (int)getpid());
	if (mkdir(scratch, 0700) != 0) {
		printf("Bail out! could not create %s\n", scratch);
		return 1;
	}
	uv_loop_init(&loop);
	uv_timer_init(&loop, &beat);
	uv_timer_start(&beat, on_beat, BEAT_MS, BEAT_MS);
	describe(&n1, "n1", 1, 3);
	describe(&n2, "n2", 2, 7);

	test_not_running();
	test_primary();
	test_commands();
	test_role();
	test_statements(&n1);
	test_slots();
	test_ports();
	test_hang();
	test_full();
	test_restart();
	test_clone();
	test_statements(&n2);
	test_synchronous();
	test_walreceivers();
	test_promote();
	test_follow();
	test_rewind();
	test_gate();

	probe_free(n1.probe);
	probe_free(n2.probe);
	probe_free(NULL);
	n1.probe = n2.probe = NULL;
	uv_close((uv_handle_t *)&beat, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	is_int(uv_loop_close(&loop), 0, "nothing is left in the loop");
	clean_up();
	return done_testing();
}
