/*
 * table_test.c - what an operator sees, from the JSON an agent sends.
 *
 * The goldens are whole screens, so that a change of layout is read by
 * somebody; the rules (80 columns, "?" for unknown, no control characters)
 * are checked for every one of them besides.
 */
#include "../../src/cli/table.h"

#include <stdlib.h>

#include "../../src/cli/options.h"
#include "../../src/cli/text.h"
#include "limits.h"
#include "tap.h"

static char screen[65536];

/* Renders a status; the screen is a static buffer. */
static const char *
render(const char *json, const char *text, struct table_style style)
{
	json_error_t error;
	json_t *data = json_loads(json, 0, &error);
	FILE *out = fmemopen(screen, sizeof(screen), "w");

	if (data == NULL)
		printf("# not JSON: %s at %d\n", error.text, error.position);
	table_status(out, data, text, &style);
	fclose(out);
	json_decref(data);
	return screen;
}

static struct table_style
plain(size_t width)
{
	return (struct table_style){ .width = width };
}

/* The widest line, in columns. */
static size_t
widest(const char *text)
{
	char line[4096];
	size_t max = 0, len;

	for (; *text != '\0'; text += len + (text[len] == '\n')) {
		len = strcspn(text, "\n");
		snprintf(line, sizeof(line), "%.*s", (int)len, text);
		if (text_columns(line) > max)
			max = text_columns(line);
	}
	return max;
}

static bool
has(const char *text, const char *part)
{
	bool found = strstr(text, part) != NULL;

	if (!found)
		printf("# \"%s\" is not in:\n# %s\n", part, text);
	return found;
}

static void
is_screen(const char *got, const char *want, const char *name)
{
	if (!ok(strcmp(got, want) == 0, "%s", name))
		printf("--- got\n%s--- wanted\n%s---\n", got, want);
}

#define HEAD "\"cluster\":\"sales\",\"health\":\"healthy\",\"epoch\":4," \
	"\"coordinator\":\"n2\",\"primary\":\"n1\","			\
	"\"durability\":\"preferred\",\"quorum\":{\"voters\":3,"	\
	"\"reachable\":3,\"needed\":2},\"paused\":false,"		\
	"\"maintenance\":null,"

static const char healthy[] = "{" HEAD "\"warnings\":[],\"nodes\":["
	"{\"name\":\"n1\",\"host\":\"10.0.0.11\",\"port\":5432,"
	"\"role\":\"primary\",\"state\":\"running\",\"timeline\":2,"
	"\"lsn\":\"16/B374D848\",\"lag_bytes\":null,\"lag_ms\":null,"
	"\"sync\":null,\"age_ms\":130,\"reachable\":true},"
	"{\"name\":\"n2\",\"host\":\"10.0.0.12\",\"port\":5432,"
	"\"role\":\"standby\",\"state\":\"streaming\",\"timeline\":2,"
	"\"lsn\":\"16/B374D848\",\"lag_bytes\":0,\"lag_ms\":0,"
	"\"sync\":\"quorum\",\"age_ms\":90,\"reachable\":true},"
	"{\"name\":\"w1\",\"host\":\"10.0.0.13\",\"port\":null,"
	"\"role\":\"witness\",\"state\":\"running\",\"timeline\":null,"
	"\"lsn\":null,\"lag_bytes\":null,\"lag_ms\":null,\"sync\":null,"
	"\"age_ms\":200,\"reachable\":true}]}";

static void
test_healthy(void)
{
	is_screen(render(healthy, NULL, plain(80)),
	    "sales: healthy. Primary n1, coordinator n2, epoch 4, "
	    "durability preferred.\n\n"
	    "Node  Host       Role     State      TL  LSN          Lag       "
	    "Sync     Seen\n"
	    "n1    10.0.0.11  primary  running     2  16/B374D848  -         "
	    "-       0.2 s\n"
	    "n2    10.0.0.12  standby  streaming   2  16/B374D848  0 B 0 ms  "
	    "quorum  0.1 s\n"
	    "w1    10.0.0.13  witness  running     -  -            -         "
	    "-       0.2 s\n", "a healthy cluster");
	ok(widest(screen) <= 80, "fits 80 columns");
}

static void
test_unknown(void)
{
	const char *text = render("{\"cluster\":\"sales\",\"health\":"
	    "\"unknown\",\"epoch\":null,\"coordinator\":null,\"primary\":"
	    "null,\"durability\":null,\"stale\":true,\"quorum\":{\"voters\":3"
	    ",\"reachable\":1,\"needed\":2},\"warnings\":[{\"text\":\"n1 and "
	    "n3 have not been heard for 12 s.\",\"command\":\"failoverctl "
	    "explain\"}],\"nodes\":[{\"name\":\"n2\",\"host\":null,\"role\":"
	    "null,\"state\":null,\"timeline\":null,\"lsn\":null,"
	    "\"lag_bytes\":null,\"lag_ms\":null,\"sync\":null,\"age_ms\":null"
	    ",\"reachable\":false}]}", "no majority is reachable from n2.",
	    plain(80));

	is_screen(text,
	    "sales: health unknown. Primary ?, coordinator ?, epoch "
	    "?, durability ?.\n"
	    "STALE: no majority is reachable from n2.\n"
	    "Voters: 1 of 3 reachable, 2 needed.\n\n"
	    "Node  Host  Role  State  TL  LSN  Lag  Sync  Seen\n"
	    "n2    ?     ?     ?       ?  ?    ?    ?        ?\n\n"
	    "WARNING: n1 and n3 have not been heard for 12 s. Run: "
	    "failoverctl explain\n", "what is unknown is \"?\"");
	ok(strstr(text, "0 B") == NULL && strstr(text, " 0 ") == NULL,
	    "nothing unknown is shown as 0");
}

static void
test_partly_known(void)
{
	render("{" HEAD "\"nodes\":[{\"name\":\"n2\",\"role\":\"standby\","
	    "\"lag_bytes\":null,\"lag_ms\":1250},{\"name\":\"n3\",\"role\":"
	    "\"standby\",\"lag_bytes\":431882240,\"lag_ms\":null,"
	    "\"age_ms\":43200000}]}", NULL, plain(80));
	ok(has(screen, "? 1.2 s"), "bytes unknown, time known");
	ok(has(screen, "412 MB ?"), "time unknown, bytes known");
	ok(has(screen, "12 h"), "the age of an old sample");
}

static void
test_no_primary(void)
{
	struct table_style style = plain(80);
	const char json[] = "{\"cluster\":\"sales\",\"health\":\"no-primary\","
	    "\"epoch\":5,\"coordinator\":\"n2\",\"primary\":null,"
	    "\"durability\":\"required\",\"paused\":true,"
	    "\"maintenance\":[\"n3\"],\"nodes\":[]}";

	is_screen(render(json, NULL, style),
	    "sales: NO PRIMARY. Primary none, coordinator n2, epoch "
	    "5, durability required.\n"
	    "Paused: no automatic failover. Run: failoverctl resume\n"
	    "Maintenance: n3.\n", "no primary, paused, maintenance");
	ok(strchr(screen, '\033') == NULL, "no colours unless asked for");
	style.color = true;
	ok(has(render(json, NULL, style), "\033[1;31msales: NO"),
	    "no primary is red");
}

static const char wide[] = "{" HEAD "\"warnings\":[],\"nodes\":["
	"{\"name\":\"frankfurt-database-1\",\"host\":"
	"\"database-1.frankfurt.internal.example.org\",\"port\":5433,"
	"\"role\":\"primary\",\"state\":\"running\",\"timeline\":117,"
	"\"lsn\":\"FFFFFFFF/FFFFFFFF\",\"age_ms\":130},"
	"{\"name\":\"frankfurt-database-2\",\"host\":\"2001:db8::12\","
	"\"port\":5432,\"role\":\"standby\",\"state\":\"archive-recovery\","
	"\"timeline\":117,\"lsn\":\"FFFFFFFF/FFFFFFFF\",\"lag_bytes\":"
	"1999999999999,\"lag_ms\":7199000,\"sync\":\"potential\","
	"\"age_ms\":130}]}";

static void
test_narrow(void)
{
	struct table_style style = plain(80);

	render(wide, NULL, style);
	ok(has(screen, "FFFFFFFF/FFFFFFFF"), "an LSN is never cut");
	ok(has(screen, "1.8 TB 119 min"), "nor is the lag");
	ok(has(screen, ".."), "names are cut in the middle");
	ok(has(screen, "dat..433"), "the end of an address stays");
	render(wide, NULL, plain(120));
	ok(widest(screen) <= 120, "120 columns");
	ok(has(screen, "frankfurt-database-2"), "more room, longer names");
	render(wide, NULL, plain(200));
	ok(has(screen, "database-1.frankfurt.internal.example.org:5433"),
	    "enough room: nothing is cut");
	ok(has(screen, "[2001:db8::12]:5432"), "an IPv6 address with port");
	style.utf8 = true;
	ok(has(render(wide, NULL, style), "\xe2\x80\xa6"),
	    "a real ellipsis where the terminal has one");
}

/* Whatever a column can hold, an ordinary cluster fits a terminal. */
static void
test_fits(void)
{
	static const char *const states[] = { "starting", "catching-up",
		"archive-recovery", "read-only", "unknown" };
	static const char *const hosts[] = { "10.0.0.11",
		"db1.example.org", "database-1.frankfurt.example.org" };
	char json[2048];
	size_t i, k, bad = 0;

	for (i = 0; i < sizeof(states) / sizeof(*states); i++)
		for (k = 0; k < sizeof(hosts) / sizeof(*hosts); k++) {
			snprintf(json, sizeof(json), "{" HEAD "\"nodes\":[{"
			    "\"name\":\"db1\",\"host\":\"%s\",\"port\":5432,"
			    "\"role\":\"standby\",\"state\":\"%s\","
			    "\"timeline\":12,\"lsn\":\"16/B374D848\","
			    "\"lag_bytes\":431882240,\"lag_ms\":120000,"
			    "\"sync\":\"quorum\",\"age_ms\":1200}]}",
			    hosts[k], states[i]);
			if (widest(render(json, NULL, plain(80))) > 80) {
				printf("# %s %s:\n%s", hosts[k], states[i],
				    screen);
				bad++;
			}
		}
	is_int(bad, 0, "every state and host fits 80 columns");
}

static void
test_remarks(void)
{
	struct table_style style = plain(80);
	const char json[] = "{" HEAD "\"warnings\":[{\"text\":\"no automatic "
	    "failover: add a third node or a witness.\",\"command\":null}],"
	    "\"nodes\":[{\"name\":\"n2\",\"role\":\"standby\",\"state\":"
	    "\"failed\",\"message\":\"FATAL: \\u001b[2Jcould not\\nread\","
	    "\"pending_restart\":true,\"slot\":\"failoverd_2\",\"upstream\":"
	    "\"n1\",\"incarnation\":3,\"tags\":[\"no_failover\"]}]}";

	render(json, NULL, style);
	ok(has(screen, "\nn2: FATAL: [2Jcould not read\n"),
	    "a message is shown without control characters");
	ok(has(screen, "n2: changed settings wait for a restart"),
	    "pending restart");
	ok(has(screen, "\nWARNING: no automatic failover: add a third node "
	    "or a witness.\n"), "a warning without a command");
	ok(strstr(screen, "failoverd_2") == NULL, "no details unless asked");
	style.verbose = true;
	ok(has(render(json, NULL, style), "\nn2: from n1, slot failoverd_2, "
	    "incarnation 3, tags no_failover\n"), "--verbose");
	ok(has(screen, "Voters: 3 of 3 reachable, 2 needed."),
	    "--verbose: voters");
}

/* Nonsense must not crash: the agent may be another version. */
static void
test_nonsense(void)
{
	render("{}", NULL, plain(80));
	ok(has(screen, "?: health unknown. Primary ?"), "empty");
	render("{\"nodes\":[null,1,[],{\"name\":7,\"lag_bytes\":-5,"
	    "\"port\":\"x\",\"lsn\":{}}],\"warnings\":{\"a\":1},"
	    "\"health\":3,\"quorum\":[],\"maintenance\":\"n1\"}", NULL,
	    plain(80));
	ok(has(screen, "Node"), "wrong types");
	ok(has(screen, "\n7 "), "a number where a name belongs");
}

static void
test_jobs_events(void)
{
	struct table_style style = plain(80);
	json_t *data = json_loads("{\"jobs\":[{\"id\":\"12\",\"kind\":"
	    "\"clone\",\"node\":\"n3\",\"step\":\"copy\",\"state\":"
	    "\"running\",\"text\":\"copied 412 MB of 1.9 GB, 22 %\"},"
	    "{\"id\":13,\"kind\":\"switchover\",\"node\":null,\"step\":"
	    "\"seal\",\"state\":\"done\"}]}", 0, NULL);
	json_t *event = json_loads("{\"id\":7,\"time\":1790000000123456,"
	    "\"text\":\"n2 promoted\"}", 0, NULL);
	json_t *trace = json_loads("[\"candidate 1: n2 at epoch 4, "
	    "16/B374D848, 0 bytes to replay, named by the operator of this "
	    "cluster\",\"  before the next by rule 4\",7]", 0, NULL);
	json_t *text_event = json_loads("{\"id\":8,\"time\":\"2026-01-02 "
	    "03:04:05.678\",\"text\":\"paused\"}", 0, NULL);
	FILE *out = fmemopen(screen, sizeof(screen), "w");

	table_jobs(out, data, &style);
	table_event(out, event, &style);
	table_event(out, text_event, &style);
	table_trace(out, trace, 2, &style);
	fclose(out);
	is_screen(screen,
	    "Job  Kind        Node  State    Step\n"
	    "12   clone       n3    running  copy\n"
	    "13   switchover  -     done     seal\n"
	    "12: copied 412 MB of 1.9 GB, 22 %\n"
	    "2026-09-21 14:13:20 n2 promoted\n"
	    "2026-01-02 03:04:05.678 paused\n"
	    "  candidate 1: n2 at epoch 4, 16/B374D848, 0 bytes to replay, "
	    "named by the\n      operator of this cluster\n"
	    "    before the next by rule 4\n", "jobs, events, a trace");
	json_decref(trace);
	json_decref(data);
	json_decref(event);
	json_decref(text_event);
}

static void
test_text(void)
{
	static const struct {
		int64_t value;
		const char *bytes, *duration, *age;
	} rows[] = {
		{ 0, "0 B", "0 ms", "0.0 s" },
		{ 1, "1 B", "1 ms", "0.1 s" },
		{ 999, "999 B", "999 ms", "1.0 s" },
		{ 1023, "1023 B", "1.0 s", "1.0 s" },
		{ 1024, "1.0 kB", "1.0 s", "1.0 s" },
		{ 10188, "9.9 kB", "10 s", "10 s" },
		{ 119999, "117 kB", "119 s", "119 s" },
		{ 120000, "117 kB", "2 min", "2 min" },
		{ 1048575, "1.0 MB", "17 min", "17 min" },
		{ 2040109466, "1.9 GB", "23 d", "23 d" },
		{ INT64_C(1) << 60, "1024 PB", NULL, NULL },
	};
	char out[TEXT_NUMBER_MAX], name[64], cut[64];
	char broken[] = "a\xff\xc3(\xe2\x80\xa6\x1b\xc2\x9b\xed\xa0\x80z";
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		snprintf(name, sizeof(name), "%lld", (long long)rows[i].value);
		is_text(text_bytes(out, rows[i].value), rows[i].bytes, name);
		if (rows[i].duration == NULL)
			continue;
		is_text(text_duration(out, rows[i].value), rows[i].duration,
		    name);
		is_text(text_age(out, rows[i].value), rows[i].age, name);
	}
	text_clean(broken);
	is_text(broken, "a\x3f\x3f(\xe2\x80\xa6   \x3f\x3f\x3fz", "text_clean");
	is_text(text_shorten(cut, sizeof(cut), "abcdefghij", 10, ".."),
	    "abcdefghij", "fits: not shortened");
	is_text(text_shorten(cut, sizeof(cut), "abcdefghij", 7, ".."),
	    "abc..ij", "shortened in the middle");
	is_text(text_shorten(cut, sizeof(cut),
	    "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f" "abcd", 5, "."),
	    "\xc3\xa4\xc3\xb6.cd", "characters are not cut");
	is_text(text_shorten(cut, sizeof(cut), "abcdef", 2, "..."), "ab",
	    "no room for an ellipsis");
	is_int(text_distance("statsu", "status"), 1, "swapped letters");
	is_int(text_distance("promot", "promote"), 1, "a letter left out");
	is_int(text_distance("", "jobs"), 4, "an empty word");
}

static bool
reads(struct options *options, char *errmsg, int argc, const char **argv)
{
	return options_read(options, argc, (char *const *)(uintptr_t)argv,
	    errmsg) == 0;
}

#define READ(...) (argv = (const char *[]){ "failoverctl", __VA_ARGS__,	\
	NULL }, reads(&options, errmsg, (int)(sizeof((const char *[]){	\
	"failoverctl", __VA_ARGS__ }) / sizeof(char *)), argv))

static void
test_options(void)
{
	struct options options;
	char errmsg[ERRMSG_MAX];
	const char **argv;

	ok(READ("--format", "json", "promote", "--dry-run", "n2", "-c", "x"),
	    "options before and after");
	is_int(options.count, 2, "two arguments");
	is_text(options.argument[1], "n2", "the node");
	is_text(options.value[OPTION_CONFIG], "x", "-c");
	is_text(options.value[OPTION_FORMAT], "json", "--format");
	ok(READ("x", "-cfile", "--conf", "a=1", "--conf=b=2"), "repeated");
	is_int(options.conf.count, 2, "two settings");
	is_text(options.conf.text[1], "b=2", "the value may have a \"=\"");
	ok(READ("remove", "--", "--yes"), "--");
	is_text(options.argument[1], "--yes", "no option after --");
	ok(!READ("status", "--dry"), "an abbreviation");
	is_text(errmsg, "unknown option \"--dry\", did you mean "
	    "\"--dry-run\"?", "is refused with the whole name");
	ok(!READ("init", "--node", "--cluster", "x"), "a forgotten value");
	is_text(errmsg, "option --node needs a value: NAME", "says so");
	ok(!READ("init", "--node", "a", "--node", "b"), "given twice");
	ok(!READ("status", "--yes=no"), "a value for a switch");
	ok(!READ("init", "--conf", "key"), "no \"=\"");
	ok(!READ("promote", "--wait", "--no-wait"), "contradiction");
	ok(!READ("status", "-c"), "a missing value of a letter");
	ok(!READ("status", "-q"), "an unknown letter");
	ok(!READ("a", "b", "c", "d", "e", "f", "g", "h", "i"),
	    "more arguments than there is room for");
	ok(READ("status", "--accept-data-loss") &&
	    options_check(&options, "status", OPTION_BIT(WATCH), errmsg) ==
	    -1, "an option of another command");
	is_text(errmsg, "status has no option --accept-data-loss",
	    "says so");
}

int
main(void)
{
	setenv("TZ", "UTC", 1);
	test_healthy();
	test_unknown();
	test_partly_known();
	test_no_primary();
	test_narrow();
	test_fits();
	test_remarks();
	test_nonsense();
	test_jobs_events();
	test_text();
	test_options();
	return done_testing();
}
