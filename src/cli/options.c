/*
 * options.c - the command line of failoverctl.
 *
 * Owns how options are written.  It must never guess: an unknown option, a
 * missing value and an option given twice are errors.
 */
#include "options.h"

#include <string.h>

#include "limits.h"
#include "text.h"

struct rule {
	const char *name;
	char letter;
	const char *argument;
	bool many;
	const char *help;
};

static const struct rule rules[OPTION_COUNT] = {
#define X(id, name, letter, argument, many, help)			\
	[OPTION_##id] = { name, letter, argument, many, help },
	CLI_OPTIONS(X)
#undef X
};

static void
rule_name(const struct rule *rule, char *out, size_t size)
{
	if (rule->name != NULL)
		snprintf(out, size, "--%s", rule->name);
	else
		snprintf(out, size, "-%c", rule->letter);
}

static int
store(struct options *options, size_t id, const char *value, char *errmsg)
{
	const struct rule *rule = &rules[id];
	struct settings *list = NULL;
	char name[32];

	if (id == OPTION_CONF)
		list = &options->conf;
	else if (id == OPTION_SET)
		list = &options->set;
	rule_name(rule, name, sizeof(name));
	if (!rule->many && rule->argument != NULL &&
	    (options->given & UINT32_C(1) << id) != 0) {
		snprintf(errmsg, ERRMSG_MAX, "option %s is given twice",
		    name);
		return -1;
	}
	options->given |= UINT32_C(1) << id;
	options->value[id] = value;
	if (list == NULL)
		return 0;
	if (strchr(value, '=') == NULL || value[0] == '=') {
		snprintf(errmsg, ERRMSG_MAX,
		    "option %s needs %s, not \"%.200s\"", name,
		    rule->argument, value);
		return -1;
	}
	if (list->count == SETTINGS_MAX) {
		snprintf(errmsg, ERRMSG_MAX,
		    "option %s is given more than %d times", name,
		    SETTINGS_MAX);
		return -1;
	}
	list->text[list->count++] = value;
	return 0;
}

static void
explain_unknown(const char *given, size_t len, char *errmsg)
{
	char name[64];
	size_t i, best = OPTION_COUNT;
	unsigned distance, least = 3;

	snprintf(name, sizeof(name), "%.*s", (int)len, given);
	for (i = 0; i < OPTION_COUNT; i++) {
		if (rules[i].name == NULL || name[0] == '\0')
			continue;
		distance = strncmp(rules[i].name, name, strlen(name)) == 0 ?
		    1 : text_distance(name, rules[i].name);
		if (distance < least) {
			least = distance;
			best = i;
		}
	}
	if (best < OPTION_COUNT)
		snprintf(errmsg, ERRMSG_MAX, "unknown option \"--%s\", did "
		    "you mean \"--%s\"?", name, rules[best].name);
	else
		snprintf(errmsg, ERRMSG_MAX, "unknown option \"--%s\"",
		    name);
}

/* "--name", "--name=value", "--name value".  Returns words used, or -1. */
static int
read_long(struct options *options, const char *word, const char *next,
    char *errmsg)
{
	size_t len = strcspn(word, "="), i;
	const char *value = word[len] == '=' ? word + len + 1 : NULL;
	int used = 1;

	for (i = 0; i < OPTION_COUNT; i++)
		if (rules[i].name != NULL &&
		    strlen(rules[i].name) == len &&
		    memcmp(rules[i].name, word, len) == 0)
			break;
	if (i == OPTION_COUNT) {
		explain_unknown(word, len, errmsg);
		return -1;
	}
	if (rules[i].argument == NULL && value != NULL) {
		snprintf(errmsg, ERRMSG_MAX, "option --%s takes no value",
		    rules[i].name);
		return -1;
	}
	if (rules[i].argument != NULL && value == NULL) {
		/* "--name --dry-run" is a forgotten value, not a name. */
		if (next == NULL || strncmp(next, "--", 2) == 0) {
			snprintf(errmsg, ERRMSG_MAX,
			    "option --%s needs a value: %s", rules[i].name,
			    rules[i].argument);
			return -1;
		}
		value = next;
		used = 2;
	}
	return store(options, i, value, errmsg) == -1 ? -1 : used;
}

/* "-x", "-xvalue", "-x value".  Returns words used, or -1. */
static int
read_letters(struct options *options, const char *word, const char *next,
    char *errmsg)
{
	size_t i;

	for (; *word != '\0'; word++) {
		for (i = 0; i < OPTION_COUNT; i++)
			if (rules[i].letter == *word)
				break;
		if (i == OPTION_COUNT) {
			snprintf(errmsg, ERRMSG_MAX,
			    "unknown option \"-%c\"", *word);
			return -1;
		}
		if (rules[i].argument == NULL) {
			if (store(options, i, NULL, errmsg) == -1)
				return -1;
			continue;
		}
		if (word[1] != '\0')
			return store(options, i, word + 1, errmsg) == -1 ?
			    -1 : 1;
		if (next == NULL) {
			snprintf(errmsg, ERRMSG_MAX,
			    "option -%c needs a value: %s", *word,
			    rules[i].argument);
			return -1;
		}
		return store(options, i, next, errmsg) == -1 ? -1 : 2;
	}
	return 1;
}

int
options_read(struct options *options, int argc, char *const *argv,
    char *errmsg)
{
	bool ended = false;
	const char *word, *next;
	int i, used;

	memset(options, 0, sizeof(*options));
	errmsg[0] = '\0';
	for (i = 1; i < argc; i += used) {
		word = argv[i];
		next = i + 1 < argc ? argv[i + 1] : NULL;
		used = 1;
		if (ended || word[0] != '-' || word[1] == '\0') {
			if (options->count == ARGUMENTS_MAX) {
				snprintf(errmsg, ERRMSG_MAX,
				    "too many arguments");
				return -1;
			}
			options->argument[options->count++] = word;
		} else if (strcmp(word, "--") == 0)
			ended = true;
		else if (word[1] == '-')
			used = read_long(options, word + 2, next, errmsg);
		else
			used = read_letters(options, word + 1, next, errmsg);
		if (used == -1)
			return -1;
	}
	if ((options->given & OPTION_BIT(WAIT)) != 0 &&
	    (options->given & OPTION_BIT(NO_WAIT)) != 0) {
		snprintf(errmsg, ERRMSG_MAX,
		    "--wait and --no-wait contradict each other");
		return -1;
	}
	return 0;
}

int
options_check(const struct options *options, const char *command,
    uint32_t allowed, char *errmsg)
{
	uint32_t wrong = options->given & ~(allowed | OPTIONS_GLOBAL);
	char name[32];
	size_t i;

	for (i = 0; i < OPTION_COUNT; i++) {
		if ((wrong & UINT32_C(1) << i) == 0)
			continue;
		rule_name(&rules[i], name, sizeof(name));
		snprintf(errmsg, ERRMSG_MAX, "%s has no option %s", command,
		    name);
		return -1;
	}
	return 0;
}

void
options_print(FILE *out, uint32_t set)
{
	char left[48], name[32];
	const struct rule *rule;
	size_t i;

	for (i = 0; i < OPTION_COUNT; i++) {
		if ((set & UINT32_C(1) << i) == 0)
			continue;
		rule = &rules[i];
		if (rule->name != NULL && rule->letter != '\0')
			snprintf(name, sizeof(name), "-%c, --%s",
			    rule->letter, rule->name);
		else
			rule_name(rule, name, sizeof(name));
		snprintf(left, sizeof(left), "%s%s%s", name,
		    rule->argument != NULL ? " " : "",
		    rule->argument != NULL ? rule->argument : "");
		if (strlen(left) > 22)
			fprintf(out, "  %s\n  %22s  %s\n", left, "",
			    rule->help);
		else
			fprintf(out, "  %-22s  %s\n", left, rule->help);
	}
}
