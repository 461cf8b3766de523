/*
 * conf_test.c - failoverd.conf: what is read, what is refused and how it is
 * said, and that what is written reads back the same.
 */
#include "conf.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#include "tap.h"

static char dir[] = "/tmp/conf_test.XXXXXX";
static char file[128];

#define HEAD								\
	"cluster = \"sales\";\nnode = \"n1\";\n"			\
	"advertise = \"10.0.0.11:7432\";\n"

/* The file of the manual, with every commented default switched on. */
static const char documented[] =
    "cluster   = \"sales\";                  # same on every node\n"
    "node      = \"n1\";                     # [a-z][a-z0-9-]{0,30}\n"
    "listen    = \"0.0.0.0:7432\";           # agents, mutual TLS\n"
    "advertise = \"10.0.0.11:7432\";         # how the others reach it\n"
    "peers     = [ \"10.0.0.11:7432\" ];     # first contact only\n"
    "postgresql:                           # left out on a witness\n"
    "{\n"
    "  advertise   = \"10.0.0.11:5432\";     # how standbys reach it\n"
    "  data_dir    = \"/var/lib/postgresql/15/main\";\n"
    "%s config_file = \"\";                 # found\n"
    "%s bin_dir   = \"\";                   # found\n"
    "%s user      = \"postgres\";           # superuser\n"
    "%s passfile  = \"\";                   # 0600\n"
    "%s log_file  = \"/var/log/postgresql/postgresql-15-main.log\";\n"
    "};\n"
    "%s state_dir = \"/var/lib/failoverd\";   # 0700\n"
    "%s run_dir   = \"/run/failoverd\";       # survives a restart\n"
    "%s control_group = \"\";                 # may use failoverctl\n"
    "%s http      = \"127.0.0.1:8008\";       # health and metrics\n"
    "%s watchdog  = \"\";                     # e.g. /dev/watchdog\n"
    "%s log_level = \"info\";                 # error warning info debug\n"
    "%s known_hosts = \"/var/lib/failoverd/known_hosts\";\n";

static void
put(const char *text, size_t len)
{
	FILE *f = fopen(file, "w");

	if (f == NULL || fwrite(text, 1, len, f) != len || fclose(f) != 0) {
		printf("Bail out! could not write %s\n", file);
		exit(1);
	}
}

static void
put_documented(const char *m)
{
	char text[4096];

	snprintf(text, sizeof(text), documented, m, m, m, m, m, m, m, m, m, m,
	    m, m);
	put(text, strlen(text));
}

static void
test_documented(void)
{
	struct conf plain, full;
	char errmsg[ERRMSG_MAX] = "";

	put_documented("#");
	if (!ok(conf_read(&plain, file, errmsg) == 0, "documented file"))
		printf("# %s\n", errmsg);
	is_text(plain.cluster, "sales", "cluster");
	is_text(plain.node, "n1", "node");
	is_text(plain.listen, "0.0.0.0:7432", "listen");
	is_text(plain.advertise, "10.0.0.11:7432", "advertise");
	is_int(plain.peer_count, 1, "one peer");
	is_text(plain.peers[0], "10.0.0.11:7432", "the peer");
	ok(plain.has_postgresql, "has PostgreSQL");
	is_text(plain.pg_advertise, "10.0.0.11:5432", "its address");
	is_text(plain.data_dir, "/var/lib/postgresql/15/main", "data_dir");
	is_text(plain.pg_user, "postgres", "default user");
	is_text(plain.state_dir, "/var/lib/failoverd", "default state_dir");
	is_text(plain.run_dir, "/run/failoverd", "default run_dir");
	is_text(plain.http, "127.0.0.1:8008", "default http");
	is_text(plain.log_level, "info", "default log_level");
	is_text(plain.known_hosts, "/var/lib/failoverd/known_hosts",
	    "default known_hosts");
	is_text(plain.listen_addresses, "", "default listen_addresses");
	is_text(plain.socket_dir, "", "default socket_dir");
	is_text(plain.file, file, "remembers the file");

	put_documented("");
	if (!ok(conf_read(&full, file, errmsg) == 0,
	    "documented file with every line switched on"))
		printf("# %s\n", errmsg);
	is_text(full.log_file, "/var/log/postgresql/postgresql-15-main.log",
	    "log_file");
	memset(full.log_file, 0, sizeof(full.log_file));
	ok(memcmp(&plain, &full, sizeof(plain)) == 0,
	    "the commented lines are the defaults");
}

static void
test_witness(void)
{
	struct conf conf;
	char errmsg[ERRMSG_MAX];

	put(HEAD, strlen(HEAD));
	is_int(conf_read(&conf, file, errmsg), 0, "a witness");
	ok(!conf.has_postgresql, "has no PostgreSQL");
	is_int(conf.peer_count, 0, "and no peers");
	is_text(conf.listen, "0.0.0.0:7432", "listens by default");
}

/* The text after "FILE" of the error message must begin with `want`. */
static void
refused(const char *name, const char *text, const char *want)
{
	struct conf conf;
	char errmsg[ERRMSG_MAX] = "";
	int rc;

	put(text, strlen(text));
	rc = conf_read(&conf, file, errmsg);
	if (!ok(rc == -1 && strncmp(errmsg, file, strlen(file)) == 0 &&
	    strncmp(errmsg + strlen(file), want, strlen(want)) == 0,
	    "refused: %s", name))
		printf("# rc %d, message \"%s\"\n", rc, errmsg);
}

#define PG(lines) HEAD "postgresql:\n{\n" lines "\n};\n"
#define PG_OK "advertise=\"a\"; data_dir=\"/d\";"

static void
test_refused(void)
{
	refused("unknown key", HEAD "lisen = \"x\";\n",
	    ":4: unknown key \"lisen\"");
	refused("unknown key in the group", PG("datadir = \"/x\";"),
	    ":6: unknown key \"postgresql.datadir\"");
	refused("key of the group at the top", HEAD "data_dir = \"/x\";\n",
	    ":4: unknown key \"data_dir\"");
	refused("unknown group", HEAD "mysql: { };\n",
	    ":4: unknown key \"mysql\"");
	refused("group as text", HEAD "postgresql = \"x\";\n",
	    ":4: key \"postgresql\": must be a group");
	refused("number for text", HEAD "listen = 7432;\n",
	    ":4: key \"listen\": must be text in quotes, not a number");
	refused("boolean for text", HEAD "http = false;\n",
	    ":4: key \"http\": must be text in quotes, not a boolean");
	refused("group for text", HEAD "http: { };\n",
	    ":4: key \"http\": must be text in quotes, not a group");
	refused("text for list", HEAD "peers = \"a:1\";\n",
	    ":4: key \"peers\": must be a list");
	refused("numbers in the list", HEAD "peers = [ 1 ];\n",
	    ":4: key \"peers\": must hold text in quotes, not a number");
	refused("entry of the list", HEAD "peers = [ \"a:b:c\" ];\n",
	    ":4: key \"peers\": address \"a:b:c\" has more than one colon");
	refused("syntax", HEAD "listen = ;\n", ":4: syntax error");
	refused("unterminated text", HEAD "listen = \"abc\n", ":");
	refused("duplicate", HEAD "node = \"n2\";\n", ":4: duplicate");
	refused("include", HEAD "  @include \"/etc/passwd\"\n",
	    ":4: \"@include\" is not supported");
	refused("empty name", "node = \"\";\n",
	    ":1: key \"node\": must not be empty");
	refused("upper case name", "node = \"N1\";\n",
	    ":1: key \"node\": \"N1\" is not a name");
	refused("name of 32", "node = \"a1234567890123456789012345678901\";\n",
	    ":1: key \"node\": must not be longer than 31 bytes");
	refused("bad port", HEAD "listen = \"0.0.0.0:99999\";\n",
	    ":4: key \"listen\": address \"0.0.0.0:99999\" has no valid port");
	refused("relative path", HEAD "state_dir = \"x/y\";\n",
	    ":4: key \"state_dir\": \"x/y\" is not an absolute path");
	refused("path with ..", HEAD "state_dir = \"/a/../b\";\n",
	    ":4: key \"state_dir\": \"/a/../b\" must not contain \"..\"");
	refused("control character", HEAD "run_dir = \"/a\\nb\";\n",
	    ":4: key \"run_dir\": must not contain control characters");
	refused("log_level", HEAD "log_level = \"chatty\";\n",
	    ":4: key \"log_level\": \"chatty\" is none of error");
	refused("two groups", HEAD "control_group = \"a b\";\n",
	    ":4: key \"control_group\": \"a b\" is not a single word");
	refused("user too long", PG("user = \""
	    "u123456789012345678901234567890123456789012345678901234567890123"
	    "\";"), ":6: key \"postgresql.user\": must not be longer than 63");
}

static void
test_missing(void)
{
	refused("no cluster", "node = \"n1\";\nadvertise = \"a\";\n",
	    ": key \"cluster\" is missing");
	refused("no node", "cluster = \"c\";\nadvertise = \"a\";\n",
	    ": key \"node\" is missing");
	refused("no advertise", "cluster = \"c\";\nnode = \"n\";\n",
	    ": key \"advertise\" is missing");
	refused("empty file", "", ": key \"cluster\" is missing");
	refused("no data_dir", PG("advertise = \"a\";"),
	    ": key \"postgresql.data_dir\" is missing");
	refused("no PostgreSQL address", PG("data_dir = \"/d\";"),
	    ": key \"postgresql.advertise\" is missing");
	refused("empty group", PG(""),
	    ": key \"postgresql.advertise\" is missing");
	refused("wildcard", "cluster = \"c\";\nnode = \"n\";\n"
	    "advertise = \"0.0.0.0:7432\";\n",
	    ": key \"advertise\": \"0.0.0.0:7432\" is no address");
	refused("state_dir in data_dir", PG(PG_OK)
	    "state_dir = \"/d//./failoverd\";\n",
	    ": key \"state_dir\": \"/d//./failoverd\" is inside data_dir");
	refused("state_dir is data_dir", PG(PG_OK) "state_dir = \"/d/\";\n",
	    ": key \"state_dir\": \"/d/\" is inside data_dir");
	refused("data_dir in state_dir",
	    PG("advertise=\"a\"; data_dir=\"/var/lib/failoverd/data\";"),
	    ": key \"postgresql.data_dir\": ");
	refused("passfile in data_dir", PG(PG_OK "passfile=\"/d/pass\";"),
	    ": key \"postgresql.passfile\": \"/d/pass\" is inside data_dir");
	refused("run_dir too long", HEAD "run_dir = \"/"
	    "01234567890123456789012345678901234567890123456789"
	    "01234567890123456789012345678901234567890123456789\";\n",
	    ": key \"run_dir\": ");
}

static void
test_files(void)
{
	struct conf conf;
	char errmsg[ERRMSG_MAX];
	static char big[70000];

	unlink(file);
	ok(conf_read(&conf, file, errmsg) == -1 &&
	    strstr(errmsg, "could not open file") != NULL &&
	    strstr(errmsg, "failoverctl init") != NULL,
	    "missing file, with a hint");
	ok(conf_read(&conf, dir, errmsg) == -1 &&
	    strstr(errmsg, "is not a regular file") != NULL, "a directory");
	memset(big, ' ', sizeof(big));
	put(big, sizeof(big));
	ok(conf_read(&conf, file, errmsg) == -1 &&
	    strstr(errmsg, "is longer than") != NULL, "too long a file");
	put(HEAD "\0nonsense", sizeof(HEAD "\0nonsense"));
	ok(conf_read(&conf, file, errmsg) == -1 &&
	    strstr(errmsg, "contains a zero byte") != NULL, "a zero byte");
	put(HEAD "/data:((((((((((", strlen(HEAD) + 16);
	is_int(conf_read(&conf, file, errmsg), -1, "garbage");
	memset(big, '(', sizeof(big));
	memcpy(big, "peers = ", 8);
	put(big, 60000);
	is_int(conf_read(&conf, file, errmsg), -1, "60000 open parentheses");
}

static void
test_peers_bound(void)
{
	struct conf conf;
	char text[2048], errmsg[ERRMSG_MAX];
	size_t len;

	for (unsigned count = 16; count <= 17; count++) {
		len = (size_t)snprintf(text, sizeof(text), HEAD "peers = [");
		for (unsigned i = 0; i < count; i++)
			len += (size_t)snprintf(text + len,
			    sizeof(text) - len, "%s\"h%u:1\"",
			    i > 0 ? "," : "", i);
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    "];\n");
		put(text, len);
		is_int(conf_read(&conf, file, errmsg), count == 16 ? 0 : -1,
		    count == 16 ? "16 peers" : "not 17");
	}
}

static void
test_set(void)
{
	struct conf conf;
	char errmsg[ERRMSG_MAX];

	conf_init(&conf);
	is_int(conf_set(&conf, "node", "n7", errmsg), 0, "set a key");
	is_text(conf.node, "n7", "to the value");
	is_int(conf_set(&conf, "node", "n7-longer", errmsg), 0, "again");
	is_int(conf_set(&conf, "node", "n8", errmsg), 0, "and again");
	is_text(conf.node, "n8", "without a rest");
	ok(!conf.has_postgresql, "still a witness");
	is_int(conf_set(&conf, "postgresql.data_dir", "/d", errmsg), 0,
	    "set a key of the group");
	ok(conf.has_postgresql, "no witness any more");
	is_int(conf_set(&conf, "peers", "a:1, [::1]:2", errmsg), 0,
	    "set a list");
	is_int(conf.peer_count, 2, "of two");
	is_text(conf.peers[1], "[::1]:2", "the second");
	is_int(conf_set(&conf, "state_dir", "/s", errmsg), 0, "state_dir");
	is_text(conf.known_hosts, "/s/known_hosts", "known_hosts follows");
	is_int(conf_set(&conf, "known_hosts", "/k", errmsg), 0, "given");
	is_int(conf_set(&conf, "state_dir", "/t", errmsg), 0, "state_dir");
	is_text(conf.known_hosts, "/k", "then it stays");
	is_int(conf_set(&conf, "postgresql.nothing", "1", errmsg), -1,
	    "unknown key");
	ok(strstr(errmsg, "failoverctl config set") != NULL, "with a hint");
	is_int(conf_set(&conf, "log_level", "loud", errmsg), -1, "bad value");
	is_text(conf.log_level, "info", "changes nothing");
	is_int(conf_set(&conf, "http", "", errmsg), 0, "http off");
	is_int(conf_set(&conf, "listen", "", errmsg), -1, "listen not");
}

static void
fill(struct conf *conf)
{
	static const char *const set[][2] = {
		{ "cluster", "c1" }, { "node", "w-2" },
		{ "listen", "[::]:7000" }, { "advertise", "db.example.org" },
		{ "peers", "a.example.org:7432,[2001:db8::1]:7000" },
		{ "postgresql.advertise", "[2001:db8::2]:5433" },
		{ "postgresql.data_dir", "/srv/pg \"quoted\" \\ back" },
		{ "postgresql.config_file", "/etc/pg.conf" },
		{ "postgresql.bin_dir", "/opt/pg/bin" },
		{ "postgresql.user", "rep admin" },
		{ "postgresql.passfile", "/etc/pgpass" },
		{ "postgresql.log_file", "/var/log/pg.log" },
		{ "postgresql.listen_addresses", "127.0.0.1, ::1" },
		{ "postgresql.socket_dir", "/tmp/s" },
		{ "state_dir", "/srv/f" }, { "run_dir", "/run/f" },
		{ "control_group", "dba" }, { "http", "" },
		{ "watchdog", "/dev/watchdog" }, { "log_level", "debug" },
		{ "known_hosts", "/etc/known" },
	};
	char errmsg[ERRMSG_MAX];

	conf_init(conf);
	for (size_t i = 0; i < sizeof(set) / sizeof(set[0]); i++) {
		if (conf_set(conf, set[i][0], set[i][1], errmsg) != 0)
			ok(false, "%s", errmsg);
	}
}

static int
count_files(const char *suffix)
{
	char path[160];

	snprintf(path, sizeof(path), "%s%s", dir, suffix);
	return access(path, F_OK) == 0;
}

static void
test_write(void)
{
	struct conf conf, back;
	char errmsg[ERRMSG_MAX], text[4096], path[160];
	struct stat st;
	size_t len;
	FILE *f;

	fill(&conf);
	is_int(conf_write(&conf, file, errmsg), 0, "write");
	if (!ok(conf_read(&back, file, errmsg) == 0, "read back"))
		printf("# %s\n", errmsg);
	memset(back.file, 0, sizeof(back.file));
	ok(memcmp(&conf, &back, sizeof(conf)) == 0, "to the same values");
	ok(stat(file, &st) == 0 && (st.st_mode & 0777) == 0644, "mode 0644");

	f = fopen(file, "w");
	conf_print(&conf, f);
	fclose(f);
	is_int(conf_read(&back, file, errmsg), 0, "the listing is a file too");
	memset(back.file, 0, sizeof(back.file));
	ok(memcmp(&conf, &back, sizeof(conf)) == 0, "of the same values");

	conf_init(&conf);
	conf_set(&conf, "cluster", "c", errmsg);
	conf_set(&conf, "node", "n", errmsg);
	conf_set(&conf, "advertise", "h:1", errmsg);
	is_int(conf_write(&conf, file, errmsg), 0, "write defaults");
	f = fopen(file, "r");
	len = fread(text, 1, sizeof(text) - 1, f);
	text[len] = '\0';
	fclose(f);
	ok(strstr(text, "cluster = \"c\";\n") != NULL &&
	    strstr(text, "state_dir") == NULL &&
	    strstr(text, "postgresql") == NULL &&
	    strstr(text, "peers") == NULL, "defaults are left out");

	snprintf(path, sizeof(path), "%s/nowhere/failoverd.conf", dir);
	ok(conf_write(&conf, path, errmsg) == -1 &&
	    strstr(errmsg, "could not create file") != NULL,
	    "a directory that is not there");
	ok(!count_files("/nowhere"), "nothing made");
}

static void
test_address(void)
{
	static const struct {
		const char *text, *host, *port;
	} good[] = {
		{ "10.0.0.1:7432", "10.0.0.1", "7432" },
		{ "10.0.0.1", "10.0.0.1", "9" },
		{ "[::1]:65535", "::1", "65535" },
		{ "[fe80::1%eth0]", "fe80::1%eth0", "9" },
		{ "db-1.example.org:1", "db-1.example.org", "1" },
	};
	static const char *const bad[] = { "", ":7432", "a:", "a:0", "a:65536",
		"a:1x", "a:-1", "a: 1", "::1", "[::1", "[]:1", "[::1]x",
		"[::1]1", "a b:1", "a/b", "-a:1", "a:000001", "\xc3\xa4:1" };
	char host[64], port[8], small[4], errmsg[ERRMSG_MAX];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		int rc = conf_split_address(good[i].text, "9", host,
		    sizeof(host), port, sizeof(port), errmsg);

		ok(rc == 0 && strcmp(host, good[i].host) == 0 &&
		    strcmp(port, good[i].port) == 0, "address %s",
		    good[i].text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(conf_split_address(bad[i], "9", host, sizeof(host), port,
		    sizeof(port), errmsg) == -1 && host[0] == '\0',
		    "not an address: \"%s\"", bad[i]);
	is_int(conf_split_address("abcd:1", "9", small, sizeof(small), port,
	    sizeof(port), errmsg), -1, "host that does not fit");
}

static void
test_name(void)
{
	ok(conf_is_name("a") && conf_is_name("n1") && conf_is_name("a-b-9") &&
	    conf_is_name("a123456789012345678901234567890"), "names");
	ok(!conf_is_name("") && !conf_is_name("1a") && !conf_is_name("-a") &&
	    !conf_is_name("A") && !conf_is_name("a_b") &&
	    !conf_is_name("a.b") && !conf_is_name("a\n") &&
	    !conf_is_name("a1234567890123456789012345678901"), "not names");
}

static void
test_default_path(void)
{
	unsetenv("FAILOVERD_CONFIG");
	is_text(conf_default_path(NULL), "/etc/failoverd/failoverd.conf",
	    "compiled-in path");
	setenv("FAILOVERD_CONFIG", "/from/environment", 1);
	is_text(conf_default_path(NULL), "/from/environment", "environment");
	is_text(conf_default_path("/option"), "/option", "option first");
	unsetenv("FAILOVERD_CONFIG");
}

/* A pipe that nobody empties must cost lines, not time. */
static void
test_log(void)
{
	char text[65536 + 1], pid[32];
	int fds[2], saved = dup(STDERR_FILENO);
	ssize_t n;
	size_t len = 0;

	if (pipe(fds) != 0 || dup2(fds[1], STDERR_FILENO) < 0)
		exit(1);
	close(fds[1]);
	log_init("n1", LOG_LEVEL_INFO);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	log_debug("seal", "not seen");
	log_warning("seal", "one %s\ntwo\x1b[31m\n", "line");
	n = read(fds[0], text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	snprintf(pid, sizeof(pid), " n1 [%ld] WARN  seal: ", (long)getpid());
	ok(strstr(text, pid) != NULL, "form of a log line");
	ok(strstr(text, "one line two [31m\n") != NULL &&
	    strchr(text, '\n') == text + n - 1, "one line, no control bytes");
	for (int i = 0; i < 4000; i++)
		log_info("flood", "%0100d", i);
	while ((n = read(fds[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	ok(len > 4096, "a full pipe does not block");
	log_info("flood", "the end");
	n = read(fds[0], text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	ok(strstr(text, " lines were lost") != NULL &&
	    strstr(text, "flood: the end\n") != NULL, "lost lines are said");
	close(fds[0]);
	log_error("flood", "nobody reads");
	ok(true, "a pipe without a reader does not kill");
	dup2(saved, STDERR_FILENO);
	close(saved);
}

int
main(void)
{
	if (mkdtemp(dir) == NULL)
		return 1;
	snprintf(file, sizeof(file), "%s/failoverd.conf", dir);
	test_documented();
	test_witness();
	test_refused();
	test_missing();
	test_files();
	test_peers_bound();
	test_set();
	test_write();
	test_address();
	test_name();
	test_default_path();
	test_log();
	unlink(file);
	rmdir(dir);
	return done_testing();
}
