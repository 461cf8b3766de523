/*
 * postgres_test.c - names, files and processes of the local cluster, without
 * a server: scratch directories stand for it.
 */
#include "postgres.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "postgres_file.h"
#include "probe_sql.h"
#include "tap.h"

static char scratch[64];
static char errmsg[ERRMSG_MAX];

/* --- Scratch files -------------------------------------------------------- */

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static const char *
at(const char *name)
{
	static char paths[8][CONF_PATH_MAX];
	static unsigned turn;
	char *path = paths[turn++ % 8];

	snprintf(path, CONF_PATH_MAX, "%s/%s", scratch, name);
	return path;
}

/* Every directory above NAME in the scratch directory. */
static void
make_above(const char *name)
{
	char path[CONF_PATH_MAX], *slash;

	snprintf(path, sizeof(path), "%s", at(name));
	for (slash = path + strlen(scratch) + 1;
	    (slash = strchr(slash, '/')) != NULL; slash++) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
}

static void
put(const char *name, const char *text)
{
	FILE *f;

	make_above(name);
	f = fopen(at(name), "w");
	if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0) {
		printf("Bail out! could not write %s\n", name);
		exit(1);
	}
}

static const char *
get(const char *name)
{
	static char *text;

	free(text);
	if (postgres_file_read(at(name), &text, errmsg) != 0)
		text = strdup("(no file)");
	return text;
}

static bool
is_there(const char *name)
{
	struct stat st;

	return lstat(at(name), &st) == 0;
}

static unsigned
mode_of(const char *name)
{
	struct stat st;

	return lstat(at(name), &st) == 0 ? st.st_mode & 07777 : 0;
}

/* A located cluster in scratch/data with its state in scratch/state. */
static void
fake(struct postgres *pg, unsigned major)
{
	memset(pg, 0, sizeof(*pg));
	snprintf(pg->data_dir, sizeof(pg->data_dir), "%s", at("data"));
	snprintf(pg->state_dir, sizeof(pg->state_dir), "%s", at("state"));
	snprintf(pg->config_file, sizeof(pg->config_file), "%s",
	    at("data/postgresql.conf"));
	snprintf(pg->user_hba_file, sizeof(pg->user_hba_file), "%s",
	    at("data/pg_hba.conf"));
	snprintf(pg->hba_file, sizeof(pg->hba_file), "%s",
	    at("state/pg_hba.conf"));
	snprintf(pg->owned_file, sizeof(pg->owned_file),
	    "/var/lib/failoverd/owned.conf");
	snprintf(pg->passfile, sizeof(pg->passfile), "%s",
	    at("state/secrets/replication.pgpass"));
	snprintf(pg->bin_dir, sizeof(pg->bin_dir), "/opt/pg/bin");
	snprintf(pg->superuser, sizeof(pg->superuser), "postgres");
	snprintf(pg->host, sizeof(pg->host), "10.0.0.11");
	snprintf(pg->port, sizeof(pg->port), "5432");
	pg->major = major;
	put("data/PG_VERSION", "15\n");
	put("data/postgresql.conf", "shared_buffers = 128MB\n");
	put("data/pg_hba.conf", "host all all 10.0.0.0/8 scram-sha-256\n");
	put("data/pg_wal/x", "");
	put("state/x", "");
}

static void
reset_scratch(void)
{
	nftw(scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	mkdir(scratch, 0700);
}

/* --- Names ---------------------------------------------------------------- */

static void
test_names(void)
{
	static const char *const wrong[] = { "", "n2", "n2.", "n2.x", "n2.3 ",
	    ".3", "2n.3", "N2.3", "n2.-1", "n2.03", "n2.3.4", "n_2.3",
	    "n2.99999999999", "pg_basebackup", "failoverd_clone" };
	char text[64], node[NAME_MAX_LEN + 1];
	uint32_t incarnation;
	size_t i;

	postgres_application_name("n2", 3, text, sizeof(text));
	is_text(text, "n2.3", "application name");
	is_int(postgres_parse_application_name(text, node, sizeof(node),
	    &incarnation), 0, "and back");
	is_text(node, "n2", "its node");
	is_int(incarnation, 3, "its incarnation");
	is_int(postgres_parse_application_name("a-b.4294967295", node,
	    sizeof(node), &incarnation), 0, "the greatest incarnation");
	is_int(incarnation, 4294967295, "is kept");
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ok(postgres_parse_application_name(wrong[i], node,
		    sizeof(node), &incarnation) == -1 && node[0] == '\0',
		    "\"%s\" is no member's name", wrong[i]);
	postgres_slot_name("data-center-2", text, sizeof(text));
	is_text(text, "failoverd_data_center_2", "slot names have no hyphen");
}

static void
test_progress(void)
{
	uint64_t done, total;

	ok(postgres_parse_progress("  3421/23456 kB (14%), 0/1 tablespace "
	    "(/srv/data/base/1/1259)", &done, &total), "pg_basebackup's line");
	is_int(done, 3421 * 1024, "bytes done");
	is_int(total, 23456 * 1024, "bytes in all");
	ok(postgres_parse_progress(" 65536/65536 kB (100%) copied", &done,
	    &total) && done == total, "pg_rewind's line");
	ok(!postgres_parse_progress("waiting for checkpoint", &done, &total),
	    "a word is no progress");
	ok(!postgres_parse_progress("12/13 files", &done, &total) &&
	    done == 0, "nor are other numbers");
	ok(!postgres_parse_progress("18446744073709551615/1 kB (1%)", &done,
	    &total), "nor one that does not fit");
}

/* --- Configuration syntax ------------------------------------------------- */

static void
test_settings(void)
{
	char name[64], value[64];

	ok(postgres_parse_setting("  Port = 5433 # c", name, sizeof(name),
	    value, sizeof(value)) && strcmp(name, "Port") == 0 &&
	    strcmp(value, "5433") == 0, "a number");
	ok(postgres_parse_setting("a.b 'it''s \\'x\\\\ \\101'", name,
	    sizeof(name), value, sizeof(value)) &&
	    strcmp(value, "it's 'x\\ A") == 0, "quotes: %s", value);
	ok(!postgres_parse_setting("# port = 1", name, sizeof(name), value,
	    sizeof(value)), "a comment");
	ok(!postgres_parse_setting("x = 'open", name, sizeof(name), value,
	    sizeof(value)), "a quote that is not closed");
	is_int(postgres_quote_setting("it's a \\", value, sizeof(value)), 0,
	    "quoting");
	is_text(value, "'it''s a \\\\'", "doubles both");
	is_int(postgres_quote_setting("a\nb", value, sizeof(value)), -1,
	    "a newline has no place in it");
	is_int(postgres_quote_setting("1234567", value, 8), -1,
	    "what does not fit is refused");

	put("c/main.conf", "a = 1\ninclude 'sub.conf'\n"
	    "include_if_exists 'missing.conf'\ninclude_dir 'd'\nd = main\n"
	    "include 'skipped.conf'\n");
	put("c/sub.conf", "b = 'sub'\na = 2\ninclude 'main.conf'\n");
	put("c/skipped.conf", "d = skipped\n");
	put("c/d/2.conf", "c = two\n");
	put("c/d/10.conf", "c = ten\n");
	put("c/d/.3.conf", "c = hidden\n");
	put("c/d/4.txt", "c = text\n");
	ok(postgres_find_setting(at("c/main.conf"), "A", NULL, value,
	    sizeof(value)) && strcmp(value, "2") == 0,
	    "the last one counts, through an include that includes itself");
	ok(postgres_find_setting(at("c/main.conf"), "c", NULL, value,
	    sizeof(value)) && strcmp(value, "two") == 0,
	    "a directory in the order of the C locale, without other files");
	ok(postgres_find_setting(at("c/main.conf"), "d",
	    at("c/skipped.conf"), value, sizeof(value)) &&
	    strcmp(value, "main") == 0, "one file can be left out");
	ok(!postgres_find_setting(at("c/main.conf"), "nothing", NULL, value,
	    sizeof(value)) && value[0] == '\0', "not set");
	ok(!postgres_find_setting(at("c/none.conf"), "a", NULL, value,
	    sizeof(value)), "no file");
}

/* --- Where it is ---------------------------------------------------------- */

static void
base_conf(struct conf *conf)
{
	conf_init(conf);
	conf->has_postgresql = true;
	snprintf(conf->pg_advertise, sizeof(conf->pg_advertise),
	    "10.0.0.11:5433");
	snprintf(conf->data_dir, sizeof(conf->data_dir), "%s", at("pgdata"));
	snprintf(conf->state_dir, sizeof(conf->state_dir), "%s", at("state"));
}

static void
put_program(const char *name)
{
	put(name, "");
	chmod(at(name), 0755);
}

static void
test_locate(void)
{
	struct postgres pg;
	struct conf conf;
	char text[CONF_PATH_MAX * 2];

	reset_scratch();
	put_program("root/usr/lib/postgresql/9.6/bin/postgres");
	put_program("root/usr/lib/postgresql/15/bin/postgres");
	put_program("root/usr/lib/postgresql/17/bin/postgres");
	base_conf(&conf);
	is_int(postgres_locate_below(at("root"), &pg, &conf, errmsg), 0,
	    "no data directory yet");
	is_int(pg.major, 0, "has no version");
	is_text(pg.bin_dir, at("root/usr/lib/postgresql/17/bin"),
	    "and gets the newest programs");
	is_text(pg.port, "5433", "the port is the advertised one");
	is_text(pg.config_file, at("pgdata/postgresql.conf"),
	    "the configuration will be inside");

	put("pgdata/PG_VERSION", "15\n");
	is_int(postgres_locate_below(at("root"), &pg, &conf, errmsg), 0,
	    "a data directory");
	is_int(pg.major, 15, "its version");
	is_text(pg.bin_dir, at("root/usr/lib/postgresql/15/bin"),
	    "and programs");
	is_text(pg.user_hba_file, at("pgdata/pg_hba.conf"), "pg_hba.conf");
	is_text(pg.log_file, at("state/postgresql.log"), "the log");
	is_text(pg.start_conf, "", "no start.conf");

	snprintf(text, sizeof(text), "data_directory = '%s'\n"
	    "hba_file = '/elsewhere/hba.conf'\nident_file = 'id.conf'\n",
	    at("pgdata"));
	put("root/etc/postgresql/15/other/postgresql.conf",
	    "data_directory = '/var/lib/postgresql/15/other'\n");
	put("root/etc/postgresql/15/main/postgresql.conf", text);
	is_int(postgres_locate_below(at("root"), &pg, &conf, errmsg), 0,
	    "a cluster that Debian knows");
	is_text(pg.config_file,
	    at("root/etc/postgresql/15/main/postgresql.conf"),
	    "its configuration");
	is_text(pg.start_conf, at("root/etc/postgresql/15/main/start.conf"),
	    "its start.conf");
	is_text(pg.log_file,
	    at("root/var/log/postgresql/postgresql-15-main.log"), "its log");
	is_text(pg.user_hba_file, "/elsewhere/hba.conf", "its pg_hba.conf");
	is_text(pg.ident_file, at("pgdata/id.conf"),
	    "a relative name is below the data directory");

	rename(at("pgdata"), at("real"));
	is_int(symlink(at("real"), at("pgdata")), 0, "through a link");
	snprintf(conf.data_dir, sizeof(conf.data_dir), "%s", at("real"));
	is_int(postgres_locate_below(at("root"), &pg, &conf, errmsg), 0,
	    "another name of the same directory");
	is_text(pg.config_file,
	    at("root/etc/postgresql/15/main/postgresql.conf"), "is known");

	snprintf(conf.config_file, sizeof(conf.config_file), "/c/p.conf");
	snprintf(conf.bin_dir, sizeof(conf.bin_dir), "/nowhere");
	is_int(postgres_locate_below(at("root"), &pg, &conf, errmsg), -1,
	    "programs that are not there");
	ok(strstr(errmsg, "set postgresql.bin_dir") != NULL, "%s", errmsg);
	is_text(pg.config_file, "/c/p.conf", "what is configured counts");

	base_conf(&conf);
	put("real/PG_VERSION", "12\n");
	is_int(postgres_locate_below(at("root"), &pg, &conf, errmsg), -1,
	    "too old");
	ok(strstr(errmsg, "needs 13 or later") != NULL, "%s", errmsg);
	put("real/PG_VERSION", "16\n");
	setenv("PATH", "/nonexistent", 1);
	is_int(postgres_locate_below(at("root"), &pg, &conf, errmsg), -1,
	    "programs of another version do not do");
	ok(strstr(errmsg, "PostgreSQL 16") != NULL, "%s", errmsg);
	setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
	conf.has_postgresql = false;
	is_int(postgres_locate_below(at("root"), &pg, &conf, errmsg), -1,
	    "a witness has none");
}

static void
test_start_argv(void)
{
	struct postgres_argv argv;
	struct postgres pg;

	fake(&pg, 15);
	is_int(postgres_start_argv(&pg, &argv, errmsg), 0, "what to start");
	is_text(argv.argv[0], "/opt/pg/bin/postgres", "never pg_ctl");
	is_text(argv.argv[2], pg.data_dir, "the data directory");
	ok(strncmp(argv.argv[4], "config_file=", 12) == 0 &&
	    strncmp(argv.argv[6], "hba_file=", 9) == 0 &&
	    argv.argv[7] == NULL, "configuration and our pg_hba.conf");
	pg.major = 0;
	is_int(postgres_start_argv(&pg, &argv, errmsg), -1,
	    "nothing to start without data");
}

/* --- owned.conf ----------------------------------------------------------- */

static const char owned_golden[] =
"# Written by failoverd for node \"n2\"; edits are lost.\n"
"# It is included by postgresql.conf, as its last line.\n"
"\n"
"port = 5432\n"
"listen_addresses = '10.0.0.11,localhost'\n"
"unix_socket_directories = '/run/pg''s'\n"
"\n"
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
"recovery_target_xid = ''\n"
"promote_trigger_file = ''\n"
"wal_retrieve_retry_interval = '200ms'\n"
"wal_receiver_status_interval = '1s'\n"
"# A peer that is silent this long is given up; a fast shutdown\n"
"# waits for a hung standby no longer than that.\n"
"wal_receiver_timeout = '20s'\n"
"wal_sender_timeout = '20s'\n"
"\n"
"# Only what postgresql.conf has less of.  A walsender and a\n"
"# slot for every member, another while it is copied; some WAL\n"
"# for those that change their primary before they have a slot.\n"
"max_wal_senders = 12\n"
"max_replication_slots = 12\n"
"wal_keep_size = 256MB\n"
"\n"
"primary_conninfo = 'host=''10.0.0.12'' hostaddr=''10.0.0.12''"
" port=''5432'' user=''failoverd_replication'' passfile=''/s/p\\\\\\\\w''"
" application_name=''n2.3'' connect_timeout=5 tcp_user_timeout=5000"
" keepalives=1 keepalives_idle=2 keepalives_interval=1 keepalives_count=3"
" sslmode=prefer gssencmode=disable'\n"
"primary_slot_name = 'failoverd_n2'\n"
"restore_command = ''\n"
"synchronous_standby_names = 'ANY 1 (\"n1.1\")'\n";

static void
test_owned(void)
{
	struct postgres_control control;
	struct postgres_owned owned;
	struct postgres pg;
	char *text;

	reset_scratch();
	fake(&pg, 15);
	snprintf(pg.listen_addresses, sizeof(pg.listen_addresses),
	    "10.0.0.11,localhost");
	snprintf(pg.socket_dir, sizeof(pg.socket_dir), "/run/pg's");
	snprintf(pg.passfile, sizeof(pg.passfile), "/s/p\\w");
	memset(&owned, 0, sizeof(owned));
	owned.self_name = "n2";
	owned.self_incarnation = 3;
	owned.upstream_host = "10.0.0.12";
	owned.upstream_port = "5432";
	owned.slot_name = "failoverd_n2";
	owned.synchronous_standby_names = "ANY 1 (\"n1.1\")";
	owned.max_members = 4;
	text = postgres_owned_text(&pg, &owned, errmsg);
	is_text(text, owned_golden, "owned.conf of a standby");
	free(text);

	put("data/postgresql.conf", "wal_level = 'minimal'\n"
	    "max_wal_senders = 30\nwal_keep_size = '1GB'\n");
	put("data/postgresql.auto.conf", "max_replication_slots = 5\n");
	memset(&control, 0, sizeof(control));
	control.max_connections = 500;
	control.max_worker_processes = 8;
	control.max_wal_senders = 40;
	control.max_locks_per_transaction = 64;
	owned.control = &control;
	owned.upstream_host = "db2.example.org";
	owned.upstream_address = NULL;
	owned.archive_command = "cp %p /a/%f";
	pg.major = 16;
	text = postgres_owned_text(&pg, &owned, errmsg);
	ok(strstr(text, "wal_level = replica\n") != NULL,
	    "too low a wal_level is raised");
	ok(strstr(text, "max_wal_senders = 40\n") != NULL,
	    "as many walsenders as the primary had");
	ok(strstr(text, "wal_keep_size") == NULL, "what is enough is left");
	ok(strstr(text, "max_replication_slots = 40\n") != NULL,
	    "ALTER SYSTEM counts as the user's");
	ok(strstr(text, "max_connections = 500\n") != NULL &&
	    strstr(text, "max_worker_processes") == NULL,
	    "a standby gets what its WAL needs");
	ok(strstr(text, "hostaddr") == NULL, "a name has no number");
	ok(strstr(text, "promote_trigger_file") == NULL,
	    "nothing that 16 does not know");
	ok(strstr(text, "archive_command = 'cp %p /a/%f'\n") != NULL,
	    "an archive_command that is given");
	free(text);

	owned.upstream_address = "10.9.9.9";
	text = postgres_owned_text(&pg, &owned, errmsg);
	ok(strstr(text, "host=''db2.example.org'' hostaddr=''10.9.9.9''") !=
	    NULL, "a name with its number");
	free(text);

	memset(&owned, 0, sizeof(owned));
	owned.self_name = "n2";
	owned.upstream_host = owned.upstream_port = "";
	text = postgres_owned_text(&pg, &owned, errmsg);
	ok(strstr(text, "primary_conninfo = ''\nprimary_slot_name = ''\n"
	    "restore_command = ''\nsynchronous_standby_names = ''\n") != NULL,
	    "no upstream: sealed, or a primary");
	free(text);
	owned.synchronous_standby_names = "a\nport = 1";
	ok(postgres_owned_text(&pg, &owned, errmsg) == NULL,
	    "no line can be smuggled in");
	ok(strstr(errmsg, "synchronous_standby_names") != NULL, "%s", errmsg);

	owned.synchronous_standby_names = "";
	snprintf(pg.owned_file, sizeof(pg.owned_file), "%s",
	    at("state/owned.conf"));
	is_int(postgres_write_owned(&pg, &owned, errmsg), 0, "written");
	is_int(mode_of("state/owned.conf"), 0600, "for us alone");
	ok(!is_there("state/owned.conf.tmp"), "no temporary file is left");
}

/* --- pg_hba.conf ---------------------------------------------------------- */

static void
test_hba(void)
{
	static const char *const addresses[] = { "10.0.0.11", "fd00::12",
	    "n3.example.org" };
	static const char *const wrong[] = { "", "all", "samenet",
	    ".example.org", "a b", "x/0", "h\nhost all all all trust" };
	char golden[4096], *text;
	struct postgres pg;
	size_t i;

	reset_scratch();
	fake(&pg, 15);
	put("data/pg_hba.conf", "local all @admins,@/etc/x peer # @no\n"
	    "host \"@db\" all all md5");
	snprintf(golden, sizeof(golden),
	    "# Written by failoverd; edits are lost.  Yours is\n"
	    "# \"%s/data/pg_hba.conf\".\n\n"
	    "# The agent of this node.\n"
	    "local   all  \"postgres\"  peer\n\n"
	    "# The members of the cluster, and nobody else as this role.\n"
	    "host    replication,\"postgres\"  \"failoverd_replication\"  "
	    "10.0.0.11/32  scram-sha-256\n"
	    "host    replication,\"postgres\"  \"failoverd_replication\"  "
	    "fd00::12/128  scram-sha-256\n"
	    "host    replication,\"postgres\"  \"failoverd_replication\"  "
	    "n3.example.org  scram-sha-256\n"
	    "host    all,replication  \"failoverd_replication\"  all  reject\n"
	    "local   all,replication  \"failoverd_replication\"  reject\n"
	    "\n# From here on: \"%s/data/pg_hba.conf\".\n"
	    "local all @%s/data/admins,@/etc/x peer # @no\n"
	    "host \"@db\" all all md5\n", scratch, scratch, scratch);
	text = postgres_hba_text(&pg, addresses, 3, false, errmsg);
	is_text(text, golden, "pg_hba.conf");
	free(text);

	text = postgres_hba_text(&pg, addresses, 1, true, errmsg);
	ok(strstr(text, "\"postgres\"  peer") != NULL &&
	    strstr(text, "admins") == NULL && strstr(text, "md5") == NULL,
	    "the gate is the same without the user's part");
	free(text);
	pg.major = 16;
	text = postgres_hba_text(&pg, addresses, 1, false, errmsg);
	ok(strstr(text, "\ninclude \"/") != NULL &&
	    strstr(text, "md5") == NULL, "16 includes it");
	free(text);
	pg.major = 15;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ok(postgres_hba_text(&pg, &wrong[i], 1, true, errmsg) == NULL,
		    "\"%s\" is refused", i == 6 ? "two lines" : wrong[i]);
	is_int(postgres_write_hba(&pg, addresses, 2, false, errmsg), 0,
	    "written");
	is_int(mode_of("state/pg_hba.conf"), 0600, "for us alone");
	unlink(at("data/pg_hba.conf"));
	is_int(postgres_write_hba(&pg, addresses, 2, false, errmsg), -1,
	    "without the user's file nothing is written");
	ok(strstr(get("state/pg_hba.conf"), "fd00::12") != NULL,
	    "the previous one stays");
}

static void
test_passfile(void)
{
	struct postgres pg;

	reset_scratch();
	fake(&pg, 15);
	is_int(postgres_remove_passfile(&pg, errmsg), 0,
	    "none to remove yet");
	is_int(postgres_write_passfile(&pg, "a:b\\c", errmsg), 0, "written");
	is_text(get("state/secrets/replication.pgpass"),
	    "*:*:*:failoverd_replication:a\\:b\\\\c\n", "quoted as libpq "
	    "reads it");
	is_int(mode_of("state/secrets/replication.pgpass"), 0600,
	    "for us alone");
	is_int(mode_of("state/secrets"), 0700, "in a directory of ours");
	is_int(postgres_write_passfile(&pg, "a\nb", errmsg), -1,
	    "no second line");
	is_int(postgres_remove_passfile(&pg, errmsg), 0, "removed");
	ok(!is_there("state/secrets/replication.pgpass"), "and gone");
}

/* --- The user's files ----------------------------------------------------- */

static void
test_take_over(void)
{
	static const char other[] = "include '/other/state/owned.conf'\t"
	    "# failoverd: keep this the last line\n";
	char changes[2048], before[1024];
	struct postgres pg;

	reset_scratch();
	fake(&pg, 15);
	snprintf(pg.start_conf, sizeof(pg.start_conf), "%s",
	    at("etc/start.conf"));
	put("etc/start.conf", "# a comment\nauto\n");
	snprintf(before, sizeof(before), "a = 1\n%sb = 2", other);
	put("data/postgresql.conf", before);
	put("data/postgresql.auto.conf", "# Do not edit this file manually!\n"
	    "work_mem = '8MB'\nprimary_conninfo = 'host=evil'\n"
	    "wal_level = 'logical'\nmax_wal_senders = '2'\n");
	chmod(at("data/postgresql.conf"), 0640);

	is_int(postgres_take_over(&pg, true, changes, sizeof(changes),
	    errmsg), 0, "a dry run");
	is_text(get("data/postgresql.conf"), before, "changes nothing");
	is_text(get("etc/start.conf"), "# a comment\nauto\n", "anywhere");
	ok(strstr(changes, "start.conf: \"auto\" becomes \"disabled\"") != NULL
	    && strstr(changes, "\"primary_conninfo\" is removed") != NULL &&
	    strstr(changes, "\"max_wal_senders\" is removed") != NULL &&
	    strstr(changes, "wal_level") == NULL, "but says it all");

	is_int(postgres_take_over(&pg, false, changes, sizeof(changes),
	    errmsg), 0, "taken over");
	is_text(get("data/postgresql.conf"), "a = 1\nb = 2\n"
	    "include '/var/lib/failoverd/owned.conf'\t"
	    "# failoverd: keep this the last line\n",
	    "one include, the last line, another node's is gone");
	is_int(mode_of("data/postgresql.conf"), 0640, "the mode is kept");
	is_text(get("data/postgresql.conf.before-failoverd"), before,
	    "the original is kept");
	ok(strstr(get("etc/start.conf"), "\ndisabled\n") != NULL,
	    "start.conf says disabled");
	is_text(get("data/postgresql.auto.conf"),
	    "# Do not edit this file manually!\nwork_mem = '8MB'\n"
	    "wal_level = 'logical'\n", "settings of ours are gone from "
	    "postgresql.auto.conf, the user's are not");
	is_int(postgres_take_over(&pg, false, changes, sizeof(changes),
	    errmsg), 0, "once more");
	is_text(changes, "", "changes nothing");

	put("data/postgresql.conf", "include "
	    "'/var/lib/failoverd/owned.conf'\nc = 3\n");
	is_int(postgres_take_over(&pg, false, changes, sizeof(changes),
	    errmsg), 0, "after an edit below our line");
	ok(strncmp(get("data/postgresql.conf"), "c = 3\ninclude ", 14) == 0,
	    "it is the last again");
	is_text(get("data/postgresql.conf.before-failoverd"), before,
	    "the first original stays");

	is_int(postgres_give_back(&pg, changes, sizeof(changes), errmsg), 0,
	    "given back");
	is_text(get("data/postgresql.conf"), "c = 3\n", "the include is gone");
	is_text(get("etc/start.conf"), "# a comment\nauto\n",
	    "start.conf is as it was");
	ok(!is_there("etc/start.conf.before-failoverd") &&
	    !is_there("data/postgresql.conf.before-failoverd"),
	    "no copies are left");
}

static void
test_standby_signal(void)
{
	struct postgres pg;

	reset_scratch();
	fake(&pg, 15);
	put("data/recovery.signal", "");
	is_int(postgres_set_standby(&pg, true, errmsg), 0, "a standby");
	ok(postgres_is_standby_configured(&pg) &&
	    !is_there("data/recovery.signal"), "and nothing else");
	is_int(postgres_set_standby(&pg, false, errmsg), 0, "not any more");
	ok(!postgres_is_standby_configured(&pg), "the file is gone");
}

/* --- Timelines ------------------------------------------------------------ */

static void
test_timelines(void)
{
	struct postgres pg;
	uint32_t parent;
	lsn_t begin, replay = { 0x5000000 };

	reset_scratch();
	fake(&pg, 15);
	is_int(postgres_timeline_begin(&pg, 1, &parent, &begin, errmsg), 0,
	    "timeline 1");
	is_int(parent, 0, "has no parent");
	is_int(postgres_timeline_begin(&pg, 4, &parent, &begin, errmsg), -1,
	    "one without a history file");
	put("data/pg_wal/00000004.history", "1\t0/3000060\tno recovery target "
	    "specified\n\n# comment\n3\t16/B374D848\tno recovery target\n");
	is_int(postgres_timeline_begin(&pg, 4, &parent, &begin, errmsg), 0,
	    "one with a history file");
	is_int(parent, 3, "its last line counts: parent");
	ok(begin.value == 0x16B374D848, "and where it begins");

	reset_scratch();
	fake(&pg, 15);
	is_int(postgres_plant_histories(&pg, 1, 2, replay, errmsg), 0,
	    "1 to 2");
	ok(!is_there("data/pg_wal/00000002.history"), "needs nothing");
	is_int(postgres_plant_histories(&pg, 1, 4, replay, errmsg), 0,
	    "1 to 4");
	is_text(get("data/pg_wal/00000002.history"),
	    "1\t0/1000000\tnever used: reserved by failoverd\n",
	    "2 is reserved, below replay");
	is_text(get("data/pg_wal/00000003.history"),
	    "1\t0/1000000\tnever used: reserved by failoverd\n", "so is 3");
	ok(!is_there("data/pg_wal/00000004.history") &&
	    !is_there("data/pg_wal/xlogtemp.failoverd"), "nothing else");
	is_int(postgres_plant_histories(&pg, 1, 4, replay, errmsg), 0,
	    "twice is as once");
	is_int(postgres_plant_histories(&pg, 1, 3, replay, errmsg), -1,
	    "one that exists cannot be chosen");
	ok(strstr(errmsg, "exists already") != NULL, "%s", errmsg);
	is_int(postgres_plant_histories(&pg, 4, 4, replay, errmsg), -1,
	    "nor the current one");

	reset_scratch();
	fake(&pg, 15);
	put("data/pg_wal/00000003.history", "1\t0/3000060\treason\n");
	is_int(postgres_plant_histories(&pg, 3, 5, replay, errmsg), 0,
	    "3 to 5");
	is_text(get("data/pg_wal/00000004.history"),
	    "1\t0/3000060\treason\n"
	    "3\t0/3000060\tnever used: reserved by failoverd\n",
	    "with its ancestors, forking where the timeline begins");
	put("data/pg_wal/00000005.history",
	    "1\t0/3000060\treason\n3\t0/6000000\tburnt\n");
	is_int(postgres_plant_histories(&pg, 3, 6, replay, errmsg), -1,
	    "a fork ahead of replay would be followed");
	ok(strstr(errmsg, "timeline 5 forks off at 0/6000000") != NULL, "%s",
	    errmsg);
	replay.value = 0x6000001;
	is_int(postgres_plant_histories(&pg, 3, 6, replay, errmsg), 0,
	    "one behind it is harmless");
	is_int(postgres_plant_histories(&pg, 7, 9, replay, errmsg), -1,
	    "the history of the current timeline must be there");
}

/* --- Data directories ----------------------------------------------------- */

static void
test_running(void)
{
	struct postgres pg;
	pid_t pid, found;
	char socket_dir[128], port[16], text[1024];

	reset_scratch();
	fake(&pg, 15);
	snprintf(text, sizeof(text), "%d\n%s\n1700000000\n5433\n/run/pg\n",
	    (int)getpid(), pg.data_dir);
	put("data/postmaster.pid", text);
	ok(!postgres_is_running(&pg, NULL),
	    "a pid that is somebody else's is no postmaster");
	is_int(postgres_read_pidfile(&pg, &pid, socket_dir,
	    sizeof(socket_dir), port, sizeof(port), errmsg), 0,
	    "postmaster.pid");
	ok(pid == getpid() && strcmp(port, "5433") == 0 &&
	    strcmp(socket_dir, "/run/pg") == 0, "pid, port, socket");
	put("data/postmaster.pid", "4711\n/x\n1700000000\n54");
	is_int(postgres_read_pidfile(&pg, &pid, socket_dir,
	    sizeof(socket_dir), port, sizeof(port), errmsg), 0,
	    "one that is still being written");
	ok(pid == 4711 && port[0] == '\0' && socket_dir[0] == '\0',
	    "has no half values");
	put("data/postmaster.pid", "-4711\n");
	is_int(postgres_read_pidfile(&pg, &pid, socket_dir,
	    sizeof(socket_dir), port, sizeof(port), errmsg), -1,
	    "a single-user server is no postmaster");

	pid = fork();
	if (pid == 0) {
		if (chdir(pg.data_dir) != 0)
			_exit(1);
		for (;;)
			pause();
	}
	snprintf(text, sizeof(text), "%d\n", (int)pid);
	put("data/postmaster.pid", text);
	for (int i = 0; i < 500 && !postgres_is_running(&pg, &found); i++)
		nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	ok(postgres_is_running(&pg, &found) && found == pid,
	    "a process that works in the data directory is one");
	is_int(postgres_set_aside(&pg, "before-1", errmsg), -1,
	    "nothing is set aside while it runs");
	is_int(postgres_remove_data(&pg, errmsg), -1, "or removed");
	is_int(postgres_reload(&pg, errmsg), -1,
	    "and no SIGHUP goes to what is no postgres");
	ok(strstr(errmsg, "is \"") != NULL, "%s", errmsg);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void
test_directories(void)
{
	struct postgres pg;

	reset_scratch();
	fake(&pg, 15);
	ok(postgres_is_empty(at("none")), "a missing directory is empty");
	put("e/.hidden", "");
	put("e/lost+found/x", "");
	ok(postgres_is_empty(at("e")), "dot files and lost+found do not count");
	put("e/file", "");
	ok(!postgres_is_empty(at("e")), "a file does");
	ok(!postgres_is_empty(at("e/file")), "a file is no empty directory");

	is_int(postgres_set_aside(&pg, "before-1", errmsg), 0, "set aside");
	ok(is_there("data.before-1/PG_VERSION") &&
	    postgres_is_empty(pg.data_dir), "an empty one takes its place");
	is_int(postgres_set_aside(&pg, "before-1", errmsg), -1,
	    "never over an older one");
	is_int(postgres_set_aside(&pg, "../x", errmsg), -1, "nor elsewhere");

	put("data/holiday/photo", "");
	is_int(postgres_remove_data(&pg, errmsg), -1,
	    "what does not look like a data directory is not removed");
	ok(is_there("data/holiday/photo"), "not in part either");
	put("data/PG_VERSION", "15\n");
	put("wal/000000010000000000000001", "x");
	put("space/PG_15_202209061/5/1234", "x");
	put("space/PG_16_202307071/5/1234", "x");
	put("keep/file", "x");
	put("data/pg_tblspc/x", "");
	is_int(symlink(at("wal"), at("data/pg_wal")), 0, "pg_wal elsewhere");
	is_int(symlink(at("space"), at("data/pg_tblspc/1")), 0,
	    "a tablespace");
	is_int(symlink(at("keep"), at("data/link")), 0, "some other link");
	is_int(postgres_remove_data(&pg, errmsg), 0, "removed");
	ok(postgres_is_empty(pg.data_dir) && is_there("data"),
	    "the directory itself stays");
	ok(!is_there("wal/000000010000000000000001") &&
	    !is_there("space/PG_15_202209061"),
	    "its WAL and tablespaces went too");
	ok(is_there("space/PG_16_202307071/5/1234") && is_there("keep/file"),
	    "nothing else did");
}

static void
test_children(void)
{
	struct postgres_child child;
	struct postgres pg;
	unsigned i, found = 0;

	reset_scratch();
	fake(&pg, 15);
	is_int(postgres_basebackup_child(&pg, "10.0.0.12", "5432",
	    "failoverd_n2", &child, errmsg), 0, "pg_basebackup");
	is_text(child.args.argv[0], "/opt/pg/bin/pg_basebackup", "program");
	for (i = 0; child.args.argv[i] != NULL; i++)
		found += strcmp(child.args.argv[i], "--no-password") == 0 ||
		    strcmp(child.args.argv[i], "--slot") == 0 ||
		    strcmp(child.args.argv[i], "failoverd_n2") == 0;
	is_int(found, 3, "arguments");
	for (found = i = 0; child.env[i] != NULL; i++)
		found += strncmp(child.env[i], "PGPASSFILE=", 11) == 0 ||
		    strcmp(child.env[i], "LC_ALL=C") == 0;
	is_int(found, 2, "environment");
	is_int(postgres_rewind_child(&pg, "10.0.0.12", "5432", &child,
	    errmsg), 0, "pg_rewind");
	ok(strstr(child.args.argv[3], "--source-server=host='10.0.0.12'") !=
	    NULL && strstr(child.args.argv[3], "dbname='postgres'") != NULL,
	    "its source");
}

static void
test_sql(void)
{
	char sql[PROBE_SQL_ROLE_MAX];

	is_int(probe_sql_replication_role("SCRAM-SHA-256$4096:c2Fs$a+/=:b",
	    sql, sizeof(sql), errmsg), 0, "a verifier");
	ok(strstr(sql, "PASSWORD 'SCRAM-SHA-256$4096:c2Fs$a+/=:b'") != NULL,
	    "is in the statement");
	is_int(probe_sql_replication_role("secret", sql, sizeof(sql), errmsg),
	    -1, "a password is refused");
	ok(sql[0] == '\0' && strstr(errmsg, "secret") == NULL,
	    "and told nobody");
	is_int(probe_sql_replication_role("SCRAM-SHA-256$'; DROP", sql,
	    sizeof(sql), errmsg), -1, "so is what would end the literal");
	is_int(probe_sql_reset_setting("primary_conninfo", sql, sizeof(sql),
	    errmsg), 0, "one of ours");
	is_text(sql, "ALTER SYSTEM RESET primary_conninfo", "is reset");
	is_int(probe_sql_reset_setting("work_mem", sql, sizeof(sql), errmsg),
	    -1, "the user's is not");
}

int
main(void)
{
	snprintf(scratch, sizeof(scratch), "/tmp/postgres_test.%d",
	    (int)getpid());
	reset_scratch();
	test_names();
	test_progress();
	test_settings();
	test_locate();
	test_start_argv();
	test_owned();
	test_hba();
	test_passfile();
	test_take_over();
	test_standby_signal();
	test_timelines();
	test_running();
	test_directories();
	test_children();
	test_sql();
	nftw(scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return done_testing();
}
