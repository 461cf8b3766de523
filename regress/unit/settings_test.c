/*
 * settings_test.c - the replicated settings: texts, bounds, rules.
 */
#include "state.h"

#include "tap.h"

#ifdef MUTANTS
const char *mutant;
#endif

static char errmsg[ERRMSG_MAX];

static void
parses(const char *name, const char *text, int64_t want)
{
	int64_t value = -1;

	ok(settings_parse(name, text, &value, errmsg) == 0 && value == want,
	    "%s = \"%s\" is %lld", name, text, (long long)want);
}

static void
refuses(const char *name, const char *text, const char *want)
{
	int64_t value = -1;

	ok(settings_parse(name, text, &value, errmsg) == -1 && value == 0,
	    "%s = \"%s\" is refused", name, text);
	is_text(errmsg, want, "  with the reason");
}

static void
test_parse(void)
{
	parses("lease", "500ms", 500);
	parses("lease", "2s", 2000);
	parses("lease", "1min", 60000);
	parses("durability", "required", DURABILITY_REQUIRED);
	parses("durability", "preferred", DURABILITY_PREFERRED);
	parses("durability", "async", DURABILITY_ASYNC);
	parses("failover_wait", "seal", FAILOVER_WAIT_SEAL);
	parses("failover_wait", "lease", FAILOVER_WAIT_LEASE);
	parses("max_lag_bytes", "0", 0);
	parses("max_lag_bytes", "12B", 12);
	parses("max_lag_bytes", "16kB", 16384);
	parses("max_lag_bytes", "16MB", 16777216);
	parses("max_lag_bytes", "2GB", INT64_C(2147483648));
	parses("sync_standbys", "3", 3);
	refuses("leas", "2s", "there is no setting \"leas\"");
	refuses("lease", "", "setting \"lease\" cannot be \"\"; "
	    "it takes a time such as 500ms or 2s");
	refuses("lease", "2", "setting \"lease\" cannot be \"2\"; "
	    "it takes a time such as 500ms or 2s");
	refuses("lease", "-2s", "setting \"lease\" cannot be \"-2s\"; "
	    "it takes a time such as 500ms or 2s");
	refuses("lease", "2 s", "setting \"lease\" cannot be \"2 s\"; "
	    "it takes a time such as 500ms or 2s");
	refuses("lease", "2sx", "setting \"lease\" cannot be \"2sx\"; "
	    "it takes a time such as 500ms or 2s");
	refuses("max_lag_bytes", "99999999999999999999", "setting "
	    "\"max_lag_bytes\" cannot be \"99999999999999999999\"; it takes "
	    "a size such as 16MB");
	refuses("max_lag_bytes", "99999999999GB", "setting "
	    "\"max_lag_bytes\" cannot be \"99999999999GB\"; it takes a size "
	    "such as 16MB");
	refuses("durability", "1", "setting \"durability\" cannot be \"1\"; "
	    "it takes required, preferred or async");
	refuses("failover_wait", "soon", "setting \"failover_wait\" cannot "
	    "be \"soon\"; it takes seal or lease");
	refuses("sync_standbys", "2s", "setting \"sync_standbys\" cannot be "
	    "\"2s\"; it takes a whole number");
}

static void
test_bounds(void)
{
	struct settings s;
	static const struct { const char *name; int64_t min, max; } rows[] = {
#define X(field, name, def, min, max, unit, help) { name, min, max },
		SETTING_LIST(X)
#undef X
	};
	size_t i;
	int wrong = 0;

	settings_init(&s);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		wrong += settings_set(&s, rows[i].name, rows[i].min,
		    errmsg) != 0;
		wrong += settings_set(&s, rows[i].name, rows[i].max,
		    errmsg) != 0;
		wrong += settings_set(&s, rows[i].name, rows[i].min - 1,
		    errmsg) == 0;
		if (rows[i].max < INT64_MAX)
			wrong += settings_set(&s, rows[i].name,
			    rows[i].max + 1, errmsg) == 0;
	}
	is_int(wrong, 0, "every setting takes its bounds and nothing beyond");
	settings_init(&s);
	ok(settings_set(&s, "lease", 1999, errmsg) == -1,
	    "a lease below two seconds is refused");
	is_text(errmsg, "setting \"lease\" must be between 2000 and 120000 "
	    "ms, not 1999", "  with the bounds");
	is_int(s.lease_ms, 5000, "  and changes nothing");
	ok(settings_set(&s, "nothing", 1, errmsg) == -1,
	    "an unknown one is refused");
}

static void
breaks(const char *name, int64_t value, const char *want)
{
	struct settings s;

	settings_init(&s);
	ok(settings_set(&s, name, value, errmsg) == 0 &&
	    settings_check(&s, errmsg) == -1, "%s = %lld breaks a rule", name,
	    (long long)value);
	is_text(errmsg, want, "  which it names");
}

static void
test_check(void)
{
	struct settings s;

	settings_init(&s);
	is_int(settings_check(&s, errmsg), 0, "the defaults keep the rules");
	s.detect_ms = 4000;
	s.lease_ms = 15000;
	s.hang_ms = 20000;
	is_int(settings_check(&s, errmsg), 0, "so does profile cloud");
	breaks("detect", 399, "detect (399 ms) must be at least two "
	    "heartbeats (200 ms)");
	breaks("detect", 5001, "lease (5000 ms) must not be shorter than "
	    "detect (5001 ms)");
	breaks("election", 599, "election (599 ms) must be at least three "
	    "heartbeats (200 ms)");
}

int
main(void)
{
	test_parse();
	test_bounds();
	test_check();
	is_text(durability_name(DURABILITY_ASYNC), "async", "a name");
	is_text(durability_name(99), "unknown", "no name");
	return done_testing();
}
