/*
 * rules.c - the tables of this program, printed.
 *
 * Only shows what the core decides by; failover(7) explains it, and a test
 * compares the two.  Reads no configuration, so that it answers when nothing
 * else works.
 */
#include "rules.h"

#include <inttypes.h>
#include <string.h>

#include "candidate.h"
#include "control.h"
#include "decide.h"
#include "step.h"

static const char *
or_dash(const char *text)
{
	return text[0] != '\0' ? text : "-";
}

static void
print_candidates(FILE *out)
{
	int i;

	fprintf(out, "# candidate\trule\ttext\n");
	for (i = 1; candidate_rule(i) != NULL; i++)
		fprintf(out, "candidate\t%d\t%s\n", i, candidate_rule(i));
}

static void
print_decisions(FILE *out)
{
	static const struct { enum reign_phase phase; const char *name; }
	phases[] = {
		{ REIGN_OPEN, "open" },
		{ REIGN_SEALING, "sealing" },
		{ REIGN_PROMOTING, "promoting" },
	};
	uint32_t i;
	size_t j;

	fprintf(out, "# decision\trow\tphases\tfact -> wanted\n");
	for (i = 0; i < decide_row_count(); i++) {
		struct decide_row row = decide_row(i);
		const char *comma = "";

		fprintf(out, "decision\t%" PRIu32 "\t", i + 1);
		for (j = 0; j < sizeof(phases) / sizeof(phases[0]); j++) {
			if ((row.phases & 1u << phases[j].phase) == 0)
				continue;
			fprintf(out, "%s%s", comma, phases[j].name);
			comma = ",";
		}
		fprintf(out, "\t%s\n", row.what);
	}
}

static void
print_orders(FILE *out)
{
	unsigned i;

	fprintf(out, "# order\ttext\n");
	for (i = 0; i < ORDER_COUNT; i++)
		fprintf(out, "order\t%s\n", order_name(i));
}

/* Rows are numbered within their order. */
static void
print_steps(FILE *out)
{
	unsigned number = 0, order = ORDER_COUNT;
	uint32_t i;

	fprintf(out, "# step\torder\trow\tcondition\tstep\twhy\n");
	for (i = 0; i < step_row_count(); i++) {
		struct step_row row = step_row(i);

		number = row.order == order ? number + 1 : 1;
		order = row.order;
		fprintf(out, "step\t%s\t%u\t%s\t%s\t%s\n",
		    order_name(row.order), number, row.condition,
		    step_name(row.step), or_dash(row.why));
	}
}

/* As it is typed; some settings take words. */
static void
print_value(FILE *out, const char *name, int64_t value)
{
	if (strcmp(name, "durability") == 0)
		fprintf(out, "\t%s", durability_name(value));
	else if (strcmp(name, "failover_wait") == 0)
		fprintf(out, "\t%s", value == FAILOVER_WAIT_LEASE ? "lease" :
		    "seal");
	else
		fprintf(out, "\t%" PRId64, value);
}

static void
print_settings(FILE *out)
{
	static const struct {
		const char *name;
		int64_t def, min, max;
		const char *unit, *help;
	} settings[] = {
#define X(field, name, def, min, max, unit, help)			\
		{ name, def, min, max, unit, help },
		SETTING_LIST(X)
#undef X
	};
	size_t i;

	fprintf(out, "# setting\tname\tdefault\tleast\tmost\tunit\thelp\n");
	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		fprintf(out, "setting\t%s", settings[i].name);
		print_value(out, settings[i].name, settings[i].def);
		print_value(out, settings[i].name, settings[i].min);
		print_value(out, settings[i].name, settings[i].max);
		fprintf(out, "\t%s\t%s\n", or_dash(settings[i].unit),
		    settings[i].help);
	}
}

static void
print_exits(FILE *out)
{
	fprintf(out, "# exit\tstatus\ttext\n");
#define X(name, status, text) fprintf(out, "exit\t%d\t%s\n", status, text);
	CONTROL_EXIT_LIST(X)
#undef X
}

int
rules_print(const char *topic, FILE *out, char *errmsg)
{
	if (strcmp(topic, "rules") != 0) {
		snprintf(errmsg, ERRMSG_MAX, "there is nothing called \"%s\" "
		    "to print: run failoverd -D rules", topic);
		return -1;
	}
	print_candidates(out);
	print_decisions(out);
	print_orders(out);
	print_steps(out);
	print_settings(out);
	print_exits(out);
	return 0;
}
