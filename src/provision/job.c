/*
 * job.c - from the words of a request to the configuration of this host.
 *
 * Decides the target's own defaults.  Must never change anything.
 */
#include "job.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/sha.h>

#define PORT_AGENT	"7432"
#define PORT_POSTGRES	"5432"

static void
report(struct findings *findings, const char *level, const char *hint,
    const char *text)
{
	json_t *message = json_pack("{s:s, s:s, s:s}", "type", "finding",
	    "level", level, "text", text);

	if (hint != NULL && message != NULL)
		json_object_set_new(message, "hint", json_string(hint));
	if (findings->fd >= 0 && message != NULL)
		message_write(findings->fd, message);
	else
		json_decref(message);
}

void
finding_pass(struct findings *findings, const char *format, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	report(findings, "pass", NULL, text);
}

void
finding_warn(struct findings *findings, const char *hint,
    const char *format, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	findings->warned++;
	report(findings, "warn", hint, text);
}

void
finding_fail(struct findings *findings, const char *hint,
    const char *format, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (findings->failed++ == 0) {
		problem_set(&findings->first, "%s", text);
		problem_hint(&findings->first, "%s", hint == NULL ? "" : hint);
	}
	report(findings, "fail", hint, text);
}

/* conf_set() takes lists as "a, b". */
static int
value_text(const json_t *value, char *text, size_t size)
{
	const json_t *entry;
	size_t i, len = 0;

	text[0] = '\0';
	if (json_is_string(value)) {
		if (json_string_length(value) >= size)
			return -1;
		strcpy(text, json_string_value(value));
		return 0;
	}
	if (!json_is_array(value))
		return -1;
	json_array_foreach(value, i, entry) {
		if (!json_is_string(entry) ||
		    len + json_string_length(entry) + 3 > size)
			return -1;
		len += (size_t)snprintf(text + len, size - len, "%s%s",
		    i == 0 ? "" : ", ", json_string_value(entry));
	}
	return 0;
}

static void
set_keys(struct job *job, const json_t *keys, struct findings *findings)
{
	char text[CONF_PEERS_MAX * (ADDRESS_MAX_LEN + 2)], errmsg[ERRMSG_MAX];
	const json_t *value;
	const char *key;

	json_object_foreach((json_t *)(uintptr_t)keys, key, value) {
		if (value_text(value, text, sizeof(text)) != 0)
			finding_fail(findings, NULL, "key \"%s\": must be "
			    "text or a list of texts", key);
		else if (conf_set(&job->conf, key, text, errmsg) != 0)
			finding_fail(findings, "failoverd.conf(5) lists the "
			    "keys.", "%s", errmsg);
	}
}

/*
 * A file that stands here already is the operator's: it is used as it is, so
 * what was asked for must agree with it.
 */
static void
compare_keys(const struct job *job, const json_t *keys,
    struct findings *findings)
{
	char text[CONF_PEERS_MAX * (ADDRESS_MAX_LEN + 2)], errmsg[ERRMSG_MAX];
	const json_t *value;
	const char *key;
	struct conf copy;

	json_object_foreach((json_t *)(uintptr_t)keys, key, value) {
		copy = job->conf;
		if (strcmp(key, "peers") == 0)
			continue;
		if (value_text(value, text, sizeof(text)) != 0 ||
		    conf_set(&copy, key, text, errmsg) != 0)
			finding_fail(findings, "failoverd.conf(5) lists the "
			    "keys.", "key \"%s\" = \"%s\" is not possible",
			    key, text);
		else if (memcmp(&copy, &job->conf, sizeof(copy)) != 0)
			finding_fail(findings, "Move the file away, change it "
			    "there, or ask for what it says.",
			    "\"%s\" exists and has another \"%s\" than the "
			    "\"%s\" asked for", job->conf.file, key, text);
	}
}

static void
set_missing(struct conf *conf, const char *key, const char *value,
    struct findings *findings)
{
	char errmsg[ERRMSG_MAX];

	if (conf_set(conf, key, value, errmsg) != 0)
		finding_fail(findings, NULL, "%s", errmsg);
}

/* Where the packages of this host keep a cluster of this version. */
static int
default_data_dir(int major, char *path, size_t size)
{
	static const struct {
		const char *programs, *data;
	} layouts[] = {
		{ "/usr/lib/postgresql/%d/bin", "/var/lib/postgresql/%d/main" },
		{ "/usr/pgsql-%d/bin", "/var/lib/pgsql/%d/data" }
	};

	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
		const char *programs = layouts[i].programs;
		const char *data = layouts[i].data;
		const char *mark = strstr(programs, "%d");

		snprintf(path, size, "%.*s%d%s", (int)(mark - programs),
		    programs, major, mark + 2);
		if (access(path, X_OK) != 0)
			continue;
		mark = strstr(data, "%d");
		snprintf(path, size, "%.*s%d%s", (int)(mark - data), data,
		    major, mark + 2);
		return 0;
	}
	return -1;
}

static void
fill_defaults(struct job *job, struct findings *findings)
{
	struct conf *conf = &job->conf;
	const bool v6 = strchr(job->host, ':') != NULL;
	char text[CONF_PATH_MAX];

	if (conf->advertise[0] == '\0') {
		snprintf(text, sizeof(text), v6 ? "[%s]:%s" : "%s:%s",
		    job->host, PORT_AGENT);
		set_missing(conf, "advertise", text, findings);
	}
	if (!conf->has_postgresql && job->pg_major == 0)
		return;		/* a witness */
	if (conf->pg_advertise[0] == '\0') {
		snprintf(text, sizeof(text), v6 ? "[%s]:%s" : "%s:%s",
		    job->host, PORT_POSTGRES);
		set_missing(conf, "postgresql.advertise", text, findings);
	}
	if (conf->data_dir[0] == '\0' &&
	    default_data_dir(job->pg_major, text, sizeof(text)) == 0)
		set_missing(conf, "postgresql.data_dir", text, findings);
}

static void
load_marker(struct job *job, struct findings *findings)
{
	struct problem problem;

	if (marker_load(&job->marker, job->conf.state_dir, &problem) != 0)
		finding_fail(findings, problem.hint, "%s", problem.text);
}

static void
load_conf(struct job *job, const json_t *keys, struct findings *findings)
{
	const char *file = conf_default_path(NULL);
	char errmsg[ERRMSG_MAX];
	struct conf found;

	conf_init(&job->conf);
	set_keys(job, keys, findings);
	snprintf(job->conf.file, sizeof(job->conf.file), "%s", file);
	fill_defaults(job, findings);
	load_marker(job, findings);
	if (access(file, F_OK) != 0 || marker_has(&job->marker, file))
		return;
	if (conf_read(&found, file, errmsg) != 0) {
		finding_fail(findings, "Correct it or move it away.", "%s",
		    errmsg);
		return;
	}
	if (strcmp(found.cluster, job->conf.cluster) != 0 ||
	    strcmp(found.node, job->conf.node) != 0) {
		finding_fail(findings, "Is this the right host?  If that "
		    "cluster is gone, move the file away.", "\"%s\" exists "
		    "and is of node \"%s\" of cluster \"%s\"", file,
		    found.node, found.cluster);
		return;
	}
	job->conf = found;
	job->keeps_conf = true;
	compare_keys(job, keys, findings);
	marker_free(&job->marker);
	load_marker(job, findings);
}

static void
hash_text(const char *text, char hex[MARKER_HASH_MAX])
{
	unsigned char hash[SHA256_DIGEST_LENGTH];

	hex[0] = '\0';
	if (text[0] == '\0')
		return;
	SHA256((const unsigned char *)text, strlen(text), hash);
	for (size_t i = 0; i < sizeof(hash); i++)
		snprintf(hex + 2 * i, 3, "%02x", hash[i]);
}

void
job_load(struct job *job, const json_t *request, struct findings *findings)
{
	const json_t *keys = json_object_get(request, "conf");
	const json_t *facts = json_object_get(request, "facts");
	char errmsg[ERRMSG_MAX];
	double bytes;

	memset(job, 0, sizeof(*job));
	job->marker.lock_fd = -1;
	snprintf(job->owner.job, sizeof(job->owner.job), "%s",
	    message_text(request, "job", ""));
	snprintf(job->owner.cluster, sizeof(job->owner.cluster), "%s",
	    message_text(keys, "cluster", ""));
	snprintf(job->owner.node, sizeof(job->owner.node), "%s",
	    message_text(keys, "node", ""));
	snprintf(job->host, sizeof(job->host), "%s",
	    message_text(request, "host", ""));
	job->ca = message_text(request, "ca", "");
	hash_text(job->ca, job->owner.ca);
	job->pg_major = (int)json_integer_value(
	    json_object_get(facts, "pg_major"));
	bytes = json_number_value(json_object_get(facts, "data_bytes"));
	job->data_bytes = bytes > 0 && bytes < 1e18 ? (uint64_t)bytes : 0;
	job->replace = json_is_true(json_object_get(facts, "replace"));
	if (job->owner.job[0] == '\0' || !json_is_object(keys)) {
		finding_fail(findings, NULL, "the request has no job or no "
		    "conf");
		return;
	}
	load_conf(job, keys, findings);
	job->resumed = marker_is_of(&job->marker, &job->owner);
	if (findings->failed == 0 && conf_check(&job->conf, errmsg) != 0)
		finding_fail(findings, "Name the key with --conf KEY=VALUE; "
		    "failoverd.conf(5) lists them.", "%s", errmsg);
}

void
job_free(struct job *job)
{
	marker_free(&job->marker);
}

void
job_tls_path(const struct job *job, const char *name,
    char path[CONF_PATH_MAX])
{
	snprintf(path, CONF_PATH_MAX, "%.400s/tls/%.64s", job->conf.state_dir,
	    name);
}

bool
job_has_ca(const struct job *job, const char *path)
{
	char text[PROVISION_LINE_MAX];
	FILE *file = fopen(path, "re");
	size_t n;

	if (file == NULL)
		return false;
	n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = '\0';
	return strcmp(text, job->ca) == 0;
}

static int
find_in_path(char dir[CONF_PATH_MAX])
{
	const char *path = getenv("PATH");
	char copy[4096], program[CONF_PATH_MAX + 16], whole[PATH_MAX];
	char *save = NULL, *entry;

	snprintf(copy, sizeof(copy), "%s", path == NULL ? "" : path);
	for (entry = strtok_r(copy, ":", &save); entry != NULL;
	    entry = strtok_r(NULL, ":", &save)) {
		if (strlen(entry) >= CONF_PATH_MAX)
			continue;
		snprintf(program, sizeof(program), "%s/postgres", entry);
		/* A link in /usr/local/bin: the others stand where it ends. */
		if (access(program, X_OK) != 0 ||
		    realpath(program, whole) == NULL ||
		    strlen(whole) >= CONF_PATH_MAX)
			continue;
		*strrchr(whole, '/') = '\0';
		snprintf(dir, CONF_PATH_MAX, "%.*s", CONF_PATH_MAX - 1, whole);
		return 0;
	}
	return -1;
}

int
job_find_bin_dir(const struct job *job, char dir[CONF_PATH_MAX])
{
	if (job->conf.bin_dir[0] != '\0') {
		snprintf(dir, CONF_PATH_MAX, "%s", job->conf.bin_dir);
		return access(dir, X_OK);
	}
	snprintf(dir, CONF_PATH_MAX, "/usr/lib/postgresql/%d/bin",
	    job->pg_major);
	if (access(dir, X_OK) == 0)
		return 0;
	snprintf(dir, CONF_PATH_MAX, "/usr/pgsql-%d/bin", job->pg_major);
	if (access(dir, X_OK) == 0)
		return 0;
	return find_in_path(dir);
}
