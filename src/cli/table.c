/*
 * table.c - answers of an agent as text for a terminal.
 *
 * Owns what `status`, `jobs` and `events` look like: columns, what is cut
 * first when the terminal is narrow, colours.  It must never show a number
 * for something that is not known, and never cut an LSN.
 */
#include "table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "limits.h"
#include "text.h"

#define GRID_COLUMNS	9
#define CELL_MAX	(ADDRESS_MAX_LEN + 25)	/* "[host]:port" */
#define LINE_SIZE	4096

enum tone { TONE_NONE, TONE_BOLD, TONE_GOOD, TONE_CARE, TONE_ALARM };

struct cell {
	char text[CELL_MAX];
	enum tone tone;
};

struct column {
	const char *title;
	size_t shrink_to;	/* may be cut down to this; 0 = never */
	bool right;
	size_t width;
};

struct grid {
	const struct table_style *style;
	size_t columns, rows;
	struct column column[GRID_COLUMNS];
	struct cell (*cell)[GRID_COLUMNS];
};

enum { COL_NODE, COL_HOST, COL_ROLE, COL_STATE, COL_TL, COL_LSN, COL_LAG,
	COL_SYNC, COL_SEEN };

/* Cut in the order host, node, state: an address can be looked up. */
static const struct column status_columns[] = {
	[COL_NODE] = { .title = "Node", .shrink_to = 8 },
	[COL_HOST] = { .title = "Host", .shrink_to = 8 },
	[COL_ROLE] = { .title = "Role" },
	[COL_STATE] = { .title = "State", .shrink_to = 9 },
	[COL_TL] = { .title = "TL", .right = true },
	[COL_LSN] = { .title = "LSN" },
	[COL_LAG] = { .title = "Lag" },
	[COL_SYNC] = { .title = "Sync" },
	[COL_SEEN] = { .title = "Seen", .right = true },
};

static const size_t shrink_order[] = { COL_HOST, COL_NODE, COL_STATE };

static const struct column job_columns[] = {
	{ .title = "Job" }, { .title = "Kind" }, { .title = "Node" },
	{ .title = "State" }, { .title = "Step" },
};

static const char *
tone_begin(const struct table_style *style, enum tone tone)
{
	static const char *const code[] = {
		[TONE_NONE] = "", [TONE_BOLD] = "\033[1m",
		[TONE_GOOD] = "\033[32m", [TONE_CARE] = "\033[33m",
		[TONE_ALARM] = "\033[1;31m",
	};

	return style->color ? code[tone] : "";
}

static const char *
tone_end(const struct table_style *style, enum tone tone)
{
	return style->color && tone != TONE_NONE ? "\033[0m" : "";
}

/* The text of a key, NULL if it is no text. */
static const char *
text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

/* Text or number of a key, made safe to print; `unknown` if it is neither. */
static void
value_of(const json_t *object, const char *key, const char *unknown,
    char *out, size_t size)
{
	const json_t *value = json_object_get(object, key);

	if (json_is_string(value))
		snprintf(out, size, "%s", json_string_value(value));
	else if (json_is_integer(value))
		snprintf(out, size, "%" JSON_INTEGER_FORMAT,
		    json_integer_value(value));
	else
		snprintf(out, size, "%s", unknown);
	text_clean(out);
}

/* A number of a key; false if it is not known. */
static bool
number_of(const json_t *object, const char *key, int64_t *out)
{
	const json_t *value = json_object_get(object, key);

	*out = 0;
	if (!json_is_number(value))
		return false;
	*out = (int64_t)json_number_value(value);
	return *out >= 0;
}

/* A line of prose, wrapped, in one tone. */
static void
say(FILE *out, const struct table_style *style, enum tone tone,
    size_t indent, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

static void
say(FILE *out, const struct table_style *style, enum tone tone,
    size_t indent, const char *format, ...)
{
	char line[LINE_SIZE];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	text_clean(line);
	fputs(tone_begin(style, tone), out);
	text_wrap(out, style->width, indent, line);
	fputs(tone_end(style, tone), out);
}

static int
grid_init(struct grid *grid, const struct column *columns, size_t count,
    size_t rows, const struct table_style *style)
{
	memset(grid, 0, sizeof(*grid));
	grid->style = style;
	grid->columns = count;
	grid->rows = rows;
	memcpy(grid->column, columns, count * sizeof(*columns));
	grid->cell = calloc(rows > 0 ? rows : 1, sizeof(*grid->cell));
	return grid->cell == NULL ? -1 : 0;
}

static size_t
grid_total(const struct grid *grid, size_t gap)
{
	size_t i, total = gap * (grid->columns - 1);

	for (i = 0; i < grid->columns; i++)
		total += grid->column[i].width;
	return total;
}

/* Natural widths, then whatever must shrink; returns the gap. */
static size_t
grid_fit(struct grid *grid)
{
	size_t gap = 2, i, r, columns, total, excess, spare;

	for (i = 0; i < grid->columns; i++) {
		grid->column[i].width = strlen(grid->column[i].title);
		for (r = 0; r < grid->rows; r++) {
			columns = text_columns(grid->cell[r][i].text);
			if (columns > grid->column[i].width)
				grid->column[i].width = columns;
		}
	}
	if (grid_total(grid, gap) > grid->style->width)
		gap = 1;
	for (i = 0; i < sizeof(shrink_order) / sizeof(*shrink_order); i++) {
		struct column *column = &grid->column[shrink_order[i]];

		total = grid_total(grid, gap);
		if (total <= grid->style->width)
			break;
		if (column->shrink_to == 0 ||
		    column->width <= column->shrink_to)
			continue;
		excess = total - grid->style->width;
		spare = column->width - column->shrink_to;
		column->width -= excess < spare ? excess : spare;
	}
	return gap;
}

static void
grid_print_cell(FILE *out, const struct grid *grid, size_t i,
    const char *text, enum tone tone, size_t gap)
{
	const struct column *column = &grid->column[i];
	char fitted[CELL_MAX];
	size_t pad;

	text_shorten(fitted, sizeof(fitted), text, column->width,
	    grid->style->utf8 ? "\xe2\x80\xa6" : "..");
	pad = column->width - text_columns(fitted);
	if (i > 0)
		fprintf(out, "%*s", (int)gap, "");
	if (column->right)
		fprintf(out, "%*s", (int)pad, "");
	fprintf(out, "%s%s%s", tone_begin(grid->style, tone), fitted,
	    tone_end(grid->style, tone));
	if (!column->right && i + 1 < grid->columns)
		fprintf(out, "%*s", (int)pad, "");
}

static void
grid_print(FILE *out, struct grid *grid)
{
	size_t gap = grid_fit(grid), r, i;

	for (i = 0; i < grid->columns; i++)
		grid_print_cell(out, grid, i, grid->column[i].title,
		    TONE_BOLD, gap);
	fputc('\n', out);
	for (r = 0; r < grid->rows; r++) {
		for (i = 0; i < grid->columns; i++)
			grid_print_cell(out, grid, i,
			    grid->cell[r][i].text, grid->cell[r][i].tone,
			    gap);
		fputc('\n', out);
	}
	free(grid->cell);
	grid->cell = NULL;
}

static enum tone
state_tone(const char *state)
{
	static const struct {
		const char *state;
		enum tone tone;
	} tones[] = {
		{ "running", TONE_GOOD }, { "streaming", TONE_GOOD },
		{ "failed", TONE_ALARM }, { "fenced", TONE_ALARM },
		{ "stopped", TONE_ALARM }, { "read-only", TONE_ALARM },
	};
	size_t i;

	for (i = 0; i < sizeof(tones) / sizeof(*tones); i++)
		if (strcmp(state, tones[i].state) == 0)
			return tones[i].tone;
	return TONE_CARE;
}

/* "host", or "host:port" where some node does not use 5432. */
static void
fill_host(struct cell *cell, const json_t *node, bool with_port)
{
	const char *host = text_of(node, "host");
	int64_t port;

	if (host == NULL) {
		snprintf(cell->text, sizeof(cell->text), "?");
		return;
	}
	if (!with_port || !number_of(node, "port", &port) || port == 0)
		snprintf(cell->text, sizeof(cell->text), "%s", host);
	else if (strchr(host, ':') != NULL && host[0] != '[')
		snprintf(cell->text, sizeof(cell->text), "[%.*s]:%" PRId64,
		    ADDRESS_MAX_LEN, host, port);
	else
		snprintf(cell->text, sizeof(cell->text), "%.*s:%" PRId64,
		    ADDRESS_MAX_LEN, host, port);
	text_clean(cell->text);
}

static void
fill_lag(struct cell *cell, const json_t *node)
{
	char size[TEXT_NUMBER_MAX] = "?", time[TEXT_NUMBER_MAX] = "?";
	int64_t bytes, ms;
	bool known_bytes = number_of(node, "lag_bytes", &bytes);
	bool known_ms = number_of(node, "lag_ms", &ms);

	if (!known_bytes && !known_ms) {
		snprintf(cell->text, sizeof(cell->text), "?");
		return;
	}
	if (known_bytes)
		text_bytes(size, bytes);
	if (known_ms)
		text_duration(time, ms);
	snprintf(cell->text, sizeof(cell->text), "%s %s", size, time);
}

static void
fill_seen(struct cell *cell, const json_t *node)
{
	char age[TEXT_NUMBER_MAX] = "?";
	int64_t ms;

	if (number_of(node, "age_ms", &ms))
		text_age(age, ms);
	snprintf(cell->text, sizeof(cell->text), "%s", age);
	if (json_is_false(json_object_get(node, "reachable")))
		cell->tone = TONE_ALARM;
}

static void
fill_node(struct cell row[GRID_COLUMNS], const json_t *node, bool with_port)
{
	static const struct {
		size_t column;
		const char *key;
	} plain[] = {
		{ COL_NODE, "name" }, { COL_ROLE, "role" },
		{ COL_STATE, "state" }, { COL_TL, "timeline" },
		{ COL_LSN, "lsn" }, { COL_SYNC, "sync" },
	};
	const char *role = text_of(node, "role");
	size_t i;

	for (i = 0; i < sizeof(plain) / sizeof(*plain); i++)
		value_of(node, plain[i].key, "?", row[plain[i].column].text,
		    CELL_MAX);
	fill_host(&row[COL_HOST], node, with_port);
	fill_lag(&row[COL_LAG], node);
	fill_seen(&row[COL_SEEN], node);
	row[COL_STATE].tone = state_tone(row[COL_STATE].text);
	if (role != NULL && strcmp(role, "primary") == 0) {
		row[COL_ROLE].tone = TONE_BOLD;
		snprintf(row[COL_LAG].text, CELL_MAX, "-");
		if (text_of(node, "sync") == NULL)
			snprintf(row[COL_SYNC].text, CELL_MAX, "-");
	} else if (role != NULL && strcmp(role, "witness") == 0) {
		for (i = COL_TL; i <= COL_SYNC; i++)
			snprintf(row[i].text, CELL_MAX, "-");
	}
}

static void
print_nodes(FILE *out, const json_t *nodes, const struct table_style *style)
{
	struct grid grid;
	bool with_port = false;
	const json_t *node;
	size_t i;
	int64_t port;

	if (json_array_size(nodes) == 0 || grid_init(&grid, status_columns,
	    GRID_COLUMNS, json_array_size(nodes), style) == -1)
		return;
	json_array_foreach(nodes, i, node)
		if (number_of(node, "port", &port) && port != 0 &&
		    port != 5432)
			with_port = true;
	json_array_foreach(nodes, i, node)
		fill_node(grid.cell[i], node, with_port);
	fputc('\n', out);
	grid_print(out, &grid);
}

static void
print_headline(FILE *out, const json_t *data,
    const struct table_style *style)
{
	static const struct {
		const char *health, *words;
		enum tone tone;
	} words[] = {
		{ "healthy", "healthy", TONE_GOOD },
		{ "degraded", "degraded", TONE_CARE },
		{ "no-primary", "NO PRIMARY", TONE_ALARM },
		{ "unknown", "health unknown", TONE_ALARM },
	};
	const char *health = text_of(data, "health");
	char cluster[NAME_MAX_LEN + 1], primary[NAME_MAX_LEN + 1];
	char coordinator[NAME_MAX_LEN + 1], epoch[TEXT_NUMBER_MAX];
	char durability[NAME_MAX_LEN + 1];
	size_t i, last = sizeof(words) / sizeof(*words) - 1;
	bool no_writes;

	for (i = 0; i < last; i++)
		if (health != NULL && strcmp(health, words[i].health) == 0)
			break;
	value_of(data, "cluster", "?", cluster, sizeof(cluster));
	value_of(data, "primary", health != NULL &&
	    strcmp(health, "no-primary") == 0 ? "none" : "?", primary,
	    sizeof(primary));
	value_of(data, "coordinator", "?", coordinator, sizeof(coordinator));
	value_of(data, "epoch", "?", epoch, sizeof(epoch));
	value_of(data, "durability", "?", durability, sizeof(durability));
	/* A primary there is, by agreement; it does not take writes. */
	no_writes = health != NULL && strcmp(health, "no-primary") == 0 &&
	    text_of(data, "primary") != NULL;
	say(out, style, words[i].tone, 2, "%s: %s. Primary %s, "
	    "coordinator %s, epoch %s, durability %s.", cluster,
	    no_writes ? "NO WRITES" : words[i].words, primary, coordinator,
	    epoch, durability);
}

/* The names in an array, or of the keys of an object: "n1, n3". */
static void
join_names(json_t *value, char *out, size_t size)
{
	json_t *item;
	const char *key;
	size_t i, len = 0;

	out[0] = '\0';
	json_array_foreach(value, i, item)
		if (json_is_string(item) && len < size)
			len += (size_t)snprintf(out + len, size - len,
			    "%s%s", len > 0 ? ", " : "",
			    json_string_value(item));
	json_object_foreach(value, key, item)
		if (len < size)
			len += (size_t)snprintf(out + len, size - len,
			    "%s%s", len > 0 ? ", " : "", key);
}

/* True, or the time until which it is so. */
static bool
is_said(const json_t *value)
{
	return json_is_true(value) || json_is_string(value) ||
	    (json_is_integer(value) && json_integer_value(value) != 0);
}

/* Stale, quorum, pause, maintenance: only what is out of the ordinary. */
static void
print_condition(FILE *out, const json_t *data, const char *text,
    const struct table_style *style)
{
	const json_t *quorum = json_object_get(data, "quorum");
	int64_t voters, reachable, needed;
	char names[1024];

	if (json_is_true(json_object_get(data, "stale")))
		say(out, style, TONE_ALARM, 2, "STALE: %s",
		    text != NULL && text[0] != '\0' ? text :
		    "no coordinator answers; this is what this node knows.");
	if (number_of(quorum, "voters", &voters) &&
	    number_of(quorum, "reachable", &reachable) &&
	    number_of(quorum, "needed", &needed) &&
	    (reachable < voters || style->verbose))
		say(out, style, reachable < needed ? TONE_ALARM :
		    reachable < voters ? TONE_CARE : TONE_NONE, 2,
		    "Voters: %" PRId64 " of %" PRId64 " reachable, %" PRId64
		    " needed.", reachable, voters, needed);
	if (is_said(json_object_get(data, "paused")))
		say(out, style, TONE_CARE, 2, "Paused: no automatic "
		    "failover. Run: failoverctl resume");
	join_names(json_object_get(data, "maintenance"), names,
	    sizeof(names));
	if (names[0] != '\0')
		say(out, style, TONE_CARE, 2, "Maintenance: %s.", names);
}

/* Does a warning say it, in these words? */
static bool
is_warned(const json_t *data, const char *name, const char *message)
{
	const json_t *warnings = json_object_get(data, "warnings"), *warning;
	size_t len = strlen(name), i;
	const char *text;

	json_array_foreach(warnings, i, warning) {
		text = text_of(warning, "text");
		if (text != NULL && strncmp(text, name, len) == 0 &&
		    strncmp(text + len, ": ", 2) == 0 &&
		    strncmp(text + len + 2, message, strlen(message)) == 0)
			return true;
	}
	return false;
}

/* What a node has to say beyond its row. */
static void
print_remarks(FILE *out, const json_t *data,
    const struct table_style *style)
{
	const json_t *nodes = json_object_get(data, "nodes"), *node;
	const char *message;
	char name[NAME_MAX_LEN + 1];
	size_t i;

	json_array_foreach(nodes, i, node) {
		value_of(node, "name", "?", name, sizeof(name));
		message = text_of(node, "message");
		if (message != NULL && message[0] != '\0' &&
		    !is_warned(data, name, message))
			say(out, style, TONE_NONE, 2, "%s: %s", name, message);
		if (json_is_true(json_object_get(node, "pending_restart")))
			say(out, style, TONE_CARE, 2, "%s: changed settings "
			    "wait for a restart of PostgreSQL.", name);
	}
}

/* status --verbose: what the table has no column for. */
static void
print_details(FILE *out, const json_t *nodes,
    const struct table_style *style)
{
	static const char *const keys[][2] = {
		{ "receive_lsn", "received" }, { "replay_lsn", "replayed" },
		{ "upstream", "from" }, { "slot", "slot" },
		{ "incarnation", "incarnation" },
		{ "server_version", "PostgreSQL" },
		{ "agent_version", "agent" },
	};
	char line[LINE_SIZE], value[ADDRESS_MAX_LEN + 1];
	const json_t *node;
	size_t i, k;
	int len;

	if (json_array_size(nodes) > 0)
		fputc('\n', out);
	json_array_foreach(nodes, i, node) {
		value_of(node, "name", "?", value, sizeof(value));
		len = snprintf(line, sizeof(line), "%s:", value);
		for (k = 0; k < sizeof(keys) / sizeof(*keys); k++) {
			value_of(node, keys[k][0], "", value, sizeof(value));
			if (value[0] != '\0')
				len += snprintf(line + len,
				    sizeof(line) - (size_t)len, "%s %s %s",
				    line[len - 1] == ':' ? "" : ",",
				    keys[k][1], value);
		}
		join_names(json_object_get(node, "tags"), value,
		    sizeof(value));
		if (value[0] != '\0')
			snprintf(line + len, sizeof(line) - (size_t)len,
			    "%s tags %s", line[len - 1] == ':' ? "" : ",",
			    value);
		say(out, style, TONE_NONE, 4, "%s", line);
	}
}

static void
print_warnings(FILE *out, const json_t *data,
    const struct table_style *style)
{
	const json_t *warnings = json_object_get(data, "warnings"), *warning;
	const char *text, *command;
	size_t i;

	if (json_array_size(warnings) > 0)
		fputc('\n', out);
	json_array_foreach(warnings, i, warning) {
		text = text_of(warning, "text");
		command = text_of(warning, "command");
		if (text == NULL)
			continue;
		if (command == NULL || command[0] == '\0')
			say(out, style, TONE_CARE, 2, "WARNING: %s", text);
		else
			say(out, style, TONE_CARE, 2, "WARNING: %s Run: %s",
			    text, command);
	}
}

void
table_status(FILE *out, const json_t *data, const char *text,
    const struct table_style *style)
{
	const json_t *nodes = json_object_get(data, "nodes");

	print_headline(out, data, style);
	print_condition(out, data, text, style);
	print_nodes(out, nodes, style);
	print_remarks(out, data, style);
	if (style->verbose)
		print_details(out, nodes, style);
	print_warnings(out, data, style);
}

void
table_jobs(FILE *out, const json_t *data, const struct table_style *style)
{
	static const char *const keys[] = { "id", "kind", "node", "state",
		"step" };
	const json_t *jobs = json_object_get(data, "jobs"), *job;
	const size_t columns = sizeof(keys) / sizeof(*keys);
	struct grid grid;
	const char *text;
	char id[TEXT_NUMBER_MAX];
	size_t i, k;

	if (json_array_size(jobs) == 0) {
		fputs("No jobs.\n", out);
		return;
	}
	if (grid_init(&grid, job_columns, columns, json_array_size(jobs),
	    style) == -1)
		return;
	json_array_foreach(jobs, i, job)
		for (k = 0; k < columns; k++)
			value_of(job, keys[k], "-", grid.cell[i][k].text,
			    CELL_MAX);
	grid_print(out, &grid);
	json_array_foreach(jobs, i, job) {
		text = text_of(job, "text");
		value_of(job, "id", "?", id, sizeof(id));
		if (text != NULL && text[0] != '\0')
			say(out, style, TONE_NONE, 2, "%s: %s", id, text);
	}
}

/* The key "time" as local time; "?" when there is none. */
static void
stamp_of(const json_t *object, char *out, size_t size)
{
	const json_t *when = json_object_get(object, "time");
	struct tm tm;
	time_t seconds;
	int64_t value;

	if (!json_is_number(when)) {
		value_of(object, "time", "?", out, size);
		return;
	}
	value = (int64_t)json_number_value(when);
	/* Seconds since 1970, in milli- or microseconds as well. */
	while (value > 100000000000)
		value /= 1000;
	seconds = (time_t)value;
	if (localtime_r(&seconds, &tm) == NULL ||
	    strftime(out, size, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(out, size, "?");
}

void
table_event(FILE *out, const json_t *event, const struct table_style *style)
{
	const char *text = text_of(event, "text");
	char stamp[64];

	stamp_of(event, stamp, sizeof(stamp));
	say(out, style, TONE_NONE, text_columns(stamp) + 1, "%s %s", stamp,
	    text != NULL ? text : "?");
}

void
table_decision(FILE *out, const json_t *last, const struct table_style *style)
{
	const char *what = text_of(last, "what");
	char stamp[64];

	if (what == NULL)
		return;
	stamp_of(last, stamp, sizeof(stamp));
	fputc('\n', out);
	say(out, style, TONE_NONE, 4, "Last decision%s%s: %s",
	    stamp[0] != '?' ? ", " : "", stamp[0] != '?' ? stamp : "", what);
	table_trace(out, json_object_get(last, "trace"), 2, style);
}

void
table_trace(FILE *out, const json_t *trace, size_t indent,
    const struct table_style *style)
{
	const json_t *line;
	size_t i, blanks;
	char text[LINE_SIZE];

	json_array_foreach(trace, i, line) {
		if (!json_is_string(line))
			continue;
		snprintf(text, sizeof(text), "%s", json_string_value(line));
		text_clean(text);
		/* A trace indents what belongs to the line before. */
		blanks = indent + strspn(text, " ");
		fprintf(out, "%*s", (int)blanks, "");
		text_wrap(out, style->width > 2 * blanks ?
		    style->width - blanks : style->width, indent + 4, text);
	}
}
