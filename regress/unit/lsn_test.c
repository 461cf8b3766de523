/*
 * lsn_test.c - positions in the write-ahead log: text and order; and the
 * trace, which prints them.
 */
#include "lsn.h"

#include <stddef.h>
#include <string.h>

#include "tap.h"
#include "trace.h"

static void
test_parse(void)
{
	static const struct {
		const char *text;
		uint64_t value;
	} good[] = {
		{ "16/B374D848", 0x16b374d848 },
		{ "0/0", 0 },
		{ "0/1", 1 },
		{ "1/0", 0x100000000 },
		{ "ffffffff/FFFFFFFF", UINT64_MAX },
		{ "00000001/0000000a", 0x10000000a },
	};
	static const char *const wrong[] = {
		"", "/", "0/", "/0", "0", "0/0 ", " 0/0", "0/0/0", "g/0",
		"0/g", "123456789/0", "0/123456789", "0x1/0", "-1/0", "0/-1",
		"+1/0", "0\\0", "16/B374D848\n", "000000001/0",
	};
	size_t i;
	lsn_t lsn;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		lsn.value = 42;
		ok(lsn_parse(good[i].text, &lsn) == 0 &&
		    lsn.value == good[i].value, "\"%s\" is a position",
		    good[i].text);
	}
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		lsn.value = 42;
		/* By number: one of them has a newline in it. */
		ok(lsn_parse(wrong[i], &lsn) == -1 && lsn.value == 0,
		    "wrong text %zu is none, and leaves none", i);
	}
}

static void
test_format(void)
{
	char text[LSN_TEXT_MAX];

	is_text(lsn_format((lsn_t){ 0x16b374d848 }, text), "16/B374D848",
	    "written as PostgreSQL does");
	is_text(lsn_format((lsn_t){ 0x100000000 }, text), "1/0",
	    "without leading zeroes");
	is_text(lsn_format((lsn_t){ UINT64_MAX }, text), "FFFFFFFF/FFFFFFFF",
	    "the longest one fits");
}

static int
compare(uint64_t epoch_a, uint64_t lsn_a, uint64_t epoch_b, uint64_t lsn_b)
{
	return position_compare(
	    (struct position){ epoch_a, { lsn_a } },
	    (struct position){ epoch_b, { lsn_b } });
}

static void
test_order(void)
{
	ok(compare(2, 5, 2, 5) == 0, "a position equals itself");
	ok(compare(2, 5, 2, 6) < 0, "in one epoch the LSN decides");
	ok(compare(2, 6, 2, 5) > 0, "both ways");
	ok(compare(1, 900, 2, 5) < 0, "an older epoch is before any LSN");
	ok(compare(3, 1, 2, UINT64_MAX) > 0, "a newer one behind any LSN");
	ok(compare(0, 0, UINT64_MAX, 0) < 0, "without overflow");
	ok(lsn_max((lsn_t){ 3 }, (lsn_t){ 4 }).value == 4 &&
	    lsn_max((lsn_t){ 4 }, (lsn_t){ 3 }).value == 4, "the greater one");
	ok(lsn_is_known((lsn_t){ 1 }) && !lsn_is_known((lsn_t){ 0 }),
	    "0 is unknown");
}

static void
test_trace(void)
{
	static char line[TRACE_MAX + 10];
	struct trace trace;
	size_t i, before;

	trace_reset(&trace);
	is_text(trace.text, "", "a trace begins empty");
	trace_add(NULL, "nobody listens %d", 1);
	trace_add(&trace, "lag %d -> %s", 5, "wait");
	trace_add(&trace, "lag 0 -> go");
	is_text(trace.text, "lag 5 -> wait\nlag 0 -> go\n", "line by line");
	is_int(trace.len, strlen(trace.text), "and knows its length");

	before = trace.len;
	memset(line, 'x', sizeof(line) - 1);
	trace_add(&trace, "%s", line);
	ok(trace.full && strcmp(trace.text + before, "...\n") == 0,
	    "a line that does not fit becomes an ellipsis");
	trace_add(&trace, "y");
	is_int(trace.len, before + 4, "and is the last one");

	/* Any amount that is left, also none at all. */
	for (i = 1; i < 40; i++) {
		trace_reset(&trace);
		line[i] = '\0';
		while (!trace.full)
			trace_add(&trace, "%s", line);
		if (trace.len != strlen(trace.text) ||
		    trace.len >= sizeof(trace.text) ||
		    strcmp(trace.text + trace.len - 4, "...\n") != 0)
			break;
		line[i] = 'x';
	}
	is_int(i, 40, "however long the lines are, it ends with an ellipsis");
}

int
main(void)
{
	test_parse();
	test_format();
	test_order();
	test_trace();
	return done_testing();
}
