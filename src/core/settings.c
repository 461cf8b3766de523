/*
 * settings.c - the replicated settings: one table, its texts and its rules.
 */
#include <stdio.h>
#include <string.h>

#include "state.h"

struct setting_row {
	const char *name;
	size_t offset;
	int64_t def, min, max;
	const char *unit;
};

static const struct setting_row rows[] = {
#define X(field, name, def, min, max, unit, help)			\
	{ name, offsetof(struct settings, field), def, min, max, unit },
	SETTING_LIST(X)
#undef X
};
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static int64_t *
field(struct settings *settings, const struct setting_row *row)
{
	return (int64_t *)(void *)((char *)settings + row->offset);
}

static const int64_t *
value_of(const struct settings *settings, const struct setting_row *row)
{
	return (const int64_t *)(const void *)((const char *)settings +
	    row->offset);
}

static const struct setting_row *
find_row(const char *name, char *errmsg)
{
	size_t i;

	for (i = 0; i < ROW_COUNT; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	snprintf(errmsg, ERRMSG_MAX, "there is no setting \"%s\"", name);
	return NULL;
}

void
settings_init(struct settings *settings)
{
	size_t i;

	for (i = 0; i < ROW_COUNT; i++)
		*field(settings, &rows[i]) = rows[i].def;
}

const char *
durability_name(int64_t durability)
{
	switch (durability) {
	case DURABILITY_REQUIRED:
		return "required";
	case DURABILITY_PREFERRED:
		return "preferred";
	case DURABILITY_ASYNC:
		return "async";
	default:
		return "unknown";
	}
}

/* Words that stand for numbers; -1 = this setting takes no words. */
static int
parse_word(const char *name, const char *text, int64_t *value)
{
	static const struct {
		const char *name, *word;
		int64_t value;
	} words[] = {
		{ "durability", "required", DURABILITY_REQUIRED },
		{ "durability", "preferred", DURABILITY_PREFERRED },
		{ "durability", "async", DURABILITY_ASYNC },
		{ "failover_wait", "seal", FAILOVER_WAIT_SEAL },
		{ "failover_wait", "lease", FAILOVER_WAIT_LEASE },
	};
	size_t i;
	bool takes_words = false;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(words[i].name, name) != 0)
			continue;
		takes_words = true;
		if (strcmp(words[i].word, text) == 0) {
			*value = words[i].value;
			return 1;
		}
	}
	return takes_words ? -1 : 0;
}

/* "ms" and so on as a factor for a setting of this unit; 0 = wrong. */
static int64_t
unit_factor(const char *unit, const char *suffix)
{
	if (strcmp(unit, "ms") == 0) {
		if (strcmp(suffix, "ms") == 0)
			return 1;
		if (strcmp(suffix, "s") == 0)
			return 1000;
		if (strcmp(suffix, "min") == 0)
			return 60000;
		return 0;
	}
	if (strcmp(unit, "bytes") == 0) {
		if (suffix[0] == '\0' || strcmp(suffix, "B") == 0)
			return 1;
		if (strcmp(suffix, "kB") == 0)
			return 1024;
		if (strcmp(suffix, "MB") == 0)
			return 1024 * 1024;
		if (strcmp(suffix, "GB") == 0)
			return 1024 * 1024 * 1024;
		return 0;
	}
	return suffix[0] == '\0' ? 1 : 0;
}

int
settings_parse(const char *name, const char *text, int64_t *value,
    char *errmsg)
{
	const struct setting_row *row = find_row(name, errmsg);
	int64_t number = 0, factor;
	const char *p;
	int word;

	*value = 0;
	if (row == NULL)
		return -1;
	word = parse_word(name, text, value);
	if (word > 0)
		return 0;
	for (p = text; *p >= '0' && *p <= '9' && number < INT64_MAX / 100; p++)
		number = number * 10 + (*p - '0');
	factor = p == text || word < 0 ? 0 : unit_factor(row->unit, p);
	if (factor == 0 || number > INT64_MAX / factor) {
		snprintf(errmsg, ERRMSG_MAX,
		    "setting \"%s\" cannot be \"%s\"; it takes %s", name,
		    text, word < 0 ? (strcmp(name, "durability") == 0 ?
		    "required, preferred or async" : "seal or lease") :
		    strcmp(row->unit, "ms") == 0 ? "a time such as 500ms or 2s" :
		    strcmp(row->unit, "bytes") == 0 ? "a size such as 16MB" :
		    "a whole number");
		return -1;
	}
	*value = number * factor;
	return 0;
}

static int
check_range(const struct setting_row *row, int64_t value, char *errmsg)
{
	if (value >= row->min && value <= row->max)
		return 0;
	snprintf(errmsg, ERRMSG_MAX,
	    "setting \"%s\" must be between %lld and %lld%s%s, not %lld",
	    row->name, (long long)row->min, (long long)row->max,
	    row->unit[0] != '\0' ? " " : "", row->unit, (long long)value);
	return -1;
}

int
settings_set(struct settings *settings, const char *name, int64_t value,
    char *errmsg)
{
	const struct setting_row *row = find_row(name, errmsg);

	if (row == NULL)
		return -1;
	if (check_range(row, value, errmsg) != 0)
		return -1;
	*field(settings, row) = value;
	return 0;
}

int
settings_check(const struct settings *settings, char *errmsg)
{
	size_t i;

	for (i = 0; i < ROW_COUNT; i++)
		if (check_range(&rows[i], *value_of(settings, &rows[i]),
		    errmsg) != 0)
			return -1;
	if (settings->detect_ms < 2 * settings->heartbeat_ms) {
		snprintf(errmsg, ERRMSG_MAX,
		    "detect (%lld ms) must be at least two heartbeats (%lld ms)",
		    (long long)settings->detect_ms,
		    (long long)settings->heartbeat_ms);
		return -1;
	}
	if (settings->lease_ms < settings->detect_ms) {
		snprintf(errmsg, ERRMSG_MAX,
		    "lease (%lld ms) must not be shorter than detect (%lld ms)",
		    (long long)settings->lease_ms,
		    (long long)settings->detect_ms);
		return -1;
	}
	if (settings->election_ms < 3 * settings->heartbeat_ms) {
		snprintf(errmsg, ERRMSG_MAX, "election (%lld ms) must be at "
		    "least three heartbeats (%lld ms)",
		    (long long)settings->election_ms,
		    (long long)settings->heartbeat_ms);
		return -1;
	}
	return 0;
}
