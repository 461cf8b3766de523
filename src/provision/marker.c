/*
 * marker.c - notes what is made on this host and takes it away again.
 *
 * Must never remove what neither the marker names nor an agent makes in its
 * own two directories; must never touch a data directory.
 */
#include "marker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_MS		45000	/* longer than the start of an agent */
#define LOCK_LOOK_MS	50
#define DEPTH_MAX	32	/* directories made for one path */

/*
 * What a running agent makes in its own directories.  Files only; a name
 * that stood there before the job is never touched.  Divergent WAL is kept.
 */
static const char *const agent_files[] = {
	"state.[0-9]*", "incarnation*", "failoverd.log", "postgresql.log",
	"events.log*", "pg_hba.conf*", "owned.conf*", "known_hosts",
	"*.lock", "lock", "*.pid", "control.sock", "guard.sock"
};

/* Directories of the agent whose files go, and then they. */
static const char *const agent_dirs[] = { "secrets", "tls", "markers" };

#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))

static int
sync_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 ? -1 : fsync(fd);

	if (fd >= 0)
		close(fd);
	return rc;
}

static int
sync_parent(const char *path)
{
	char dir[CONF_PATH_MAX + 32];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash == NULL)
		return -1;
	slash[slash == dir ? 1 : 0] = '\0';
	return sync_directory(dir);
}

static int
write_file(const char *path, const char *text, struct problem *problem)
{
	char temporary[CONF_PATH_MAX + 32];
	size_t len = strlen(text), done = 0;
	ssize_t n = 0;
	int fd, rc = -1;

	snprintf(temporary, sizeof(temporary), "%s.new", path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC |
	    O_NOFOLLOW, 0600);
	if (fd < 0)
		return problem_set(problem, "could not create file \"%s\": %s",
		    temporary, strerror(errno));
	while (done < len && ((n = write(fd, text + done, len - done)) > 0 ||
	    (n < 0 && errno == EINTR)))
		done += n > 0 ? (size_t)n : 0;
	if (done < len || fsync(fd) != 0)
		problem_set(problem, "could not write file \"%s\": %s",
		    temporary, strerror(errno));
	else if (rename(temporary, path) != 0)
		problem_set(problem, "could not rename file \"%s\" to "
		    "\"%s\": %s", temporary, path, strerror(errno));
	else if (sync_parent(path) != 0)
		problem_set(problem, "could not fsync the directory of "
		    "\"%s\": %s", path, strerror(errno));
	else
		rc = 0;
	close(fd);
	if (rc != 0)
		unlink(temporary);
	return rc;
}

static int
save(struct marker *marker, struct problem *problem)
{
	char *text = json_dumps(marker->content, JSON_INDENT(1));
	int rc;

	if (text == NULL)
		return problem_set(problem, "out of memory");
	rc = write_file(marker->path, text, problem);
	free(text);
	return rc;
}

static void
copy_text(char *to, size_t size, const json_t *content, const char *key)
{
	snprintf(to, size, "%s", message_text(content, key, ""));
}

int
marker_load(struct marker *marker, const char *state_dir,
    struct problem *problem)
{
	json_error_t error;

	memset(marker, 0, sizeof(*marker));
	marker->lock_fd = -1;
	snprintf(marker->state_dir, sizeof(marker->state_dir), "%s",
	    state_dir);
	snprintf(marker->path, sizeof(marker->path), "%.400s/markers/"
	    PROVISION_MARKER, state_dir);
	if (access(marker->path, F_OK) != 0 &&
	    (errno == ENOENT || errno == ENOTDIR))
		return 0;
	marker->content = json_load_file(marker->path, 0, &error);
	if (marker->content == NULL ||
	    !json_is_array(json_object_get(marker->content, "made"))) {
		problem_set(problem, "the marker \"%s\" cannot be read: %s",
		    marker->path, marker->content == NULL ? error.text :
		    "it lists nothing");
		return problem_hint(problem, "It names what an earlier job "
		    "has put on this host; move it away only after looking "
		    "into it.");
	}
	copy_text(marker->owner.job, sizeof(marker->owner.job),
	    marker->content, "job");
	copy_text(marker->owner.cluster, sizeof(marker->owner.cluster),
	    marker->content, "cluster");
	copy_text(marker->owner.node, sizeof(marker->owner.node),
	    marker->content, "node");
	copy_text(marker->owner.ca, sizeof(marker->owner.ca),
	    marker->content, "ca");
	copy_text(marker->conf_file, sizeof(marker->conf_file),
	    marker->content, "conf_file");
	copy_text(marker->run_dir, sizeof(marker->run_dir),
	    marker->content, "run_dir");
	return 0;
}

void
marker_free(struct marker *marker)
{
	json_decref(marker->content);
	marker->content = NULL;
	if (marker->lock_fd >= 0)
		close(marker->lock_fd);
	marker->lock_fd = -1;
}

bool
marker_is_of(const struct marker *marker, const struct marker_owner *owner)
{
	return marker->content != NULL &&
	    strcmp(marker->owner.job, owner->job) == 0 &&
	    strcmp(marker->owner.cluster, owner->cluster) == 0 &&
	    strcmp(marker->owner.node, owner->node) == 0 &&
	    (owner->ca[0] == '\0' ||
	    strcmp(marker->owner.ca, owner->ca) == 0);
}

static int
take_lock(int fd, struct problem *problem)
{
	const int64_t deadline = message_now_ms() + LOCK_MS;
	const struct timespec pause = { .tv_nsec = LOCK_LOOK_MS * 1000000 };

	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (message_now_ms() >= deadline) {
			problem_set(problem, "another failover-provision is "
			    "at work on this host");
			return problem_hint(problem, "Wait until its job has "
			    "ended (failoverctl jobs), then try again.");
		}
		nanosleep(&pause, NULL);
	}
	return 0;
}

/* What was read before the lock may have changed since: it is read again. */
int
marker_lock(struct marker *marker, struct problem *problem)
{
	char state_dir[CONF_PATH_MAX], dir[CONF_PATH_MAX];
	int fd, rc;

	if (marker->lock_fd >= 0)
		return 0;
	memcpy(state_dir, marker->state_dir, sizeof(state_dir));
	snprintf(dir, sizeof(dir), "%.400s/markers", state_dir);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : problem_set(problem,
		    "could not open directory \"%s\": %s", dir,
		    strerror(errno));
	if (take_lock(fd, problem) != 0) {
		close(fd);
		return -1;
	}
	marker_free(marker);
	rc = marker_load(marker, state_dir, problem);
	marker->lock_fd = fd;
	return rc;
}

static json_t *
made_list(const struct marker *marker)
{
	return json_object_get(marker->content, "made");
}

bool
marker_has(const struct marker *marker, const char *path)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(made_list(marker), i, entry) {
		if (strcmp(message_text(entry, "path", ""), path) == 0)
			return true;
	}
	return false;
}

static int
add(struct marker *marker, const char *kind, const char *path)
{
	return json_array_append_new(made_list(marker),
	    json_pack("{s:s, s:s}", "kind", kind, "path", path));
}

static int
note(struct marker *marker, const char *kind, const char *path,
    struct problem *problem)
{
	if (marker_has(marker, path))
		return 0;
	if (add(marker, kind, path) != 0)
		return problem_set(problem, "out of memory");
	return save(marker, problem);
}

int
marker_note_file(struct marker *marker, const char *path,
    struct problem *problem)
{
	return note(marker, "file", path, problem);
}

int
marker_note_start(struct marker *marker, struct problem *problem)
{
	if (marker_was_started(marker))
		return 0;
	if (json_object_set_new(marker->content, "started",
	    json_true()) != 0)
		return problem_set(problem, "out of memory");
	return save(marker, problem);
}

bool
marker_was_started(const struct marker *marker)
{
	return json_is_true(json_object_get(marker->content, "started"));
}

/*
 * Makes path and its missing parents, outermost first.  With a marker each is
 * noted before; without one (its own directories) they are listed in made.
 */
static int
make_directories(struct marker *marker, const char *path, mode_t mode,
    json_t *made, struct problem *problem)
{
	char missing[DEPTH_MAX][CONF_PATH_MAX];
	char dir[CONF_PATH_MAX];
	unsigned count = 0;
	struct stat st;
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	while (count < DEPTH_MAX && dir[0] != '\0' && stat(dir, &st) != 0) {
		memcpy(missing[count++], dir, sizeof(dir));
		slash = strrchr(dir, '/');
		if (slash == NULL)
			break;
		*slash = '\0';
	}
	while (count-- > 0) {
		if (marker != NULL && note(marker, "directory",
		    missing[count], problem) != 0)
			return -1;
		if (mkdir(missing[count], mode) == 0 ?
		    chmod(missing[count], mode) != 0 : errno != EEXIST)
			return problem_set(problem, "could not create "
			    "directory \"%s\": %s", missing[count],
			    strerror(errno));
		if (sync_parent(missing[count]) != 0)
			return problem_set(problem, "could not fsync the "
			    "directory of \"%s\": %s", missing[count],
			    strerror(errno));
		if (made != NULL)
			json_array_append_new(made,
			    json_string(missing[count]));
	}
	return 0;
}

int
marker_make_directory(struct marker *marker, const char *path, mode_t mode,
    struct problem *problem)
{
	return make_directories(marker, path, mode, NULL, problem);
}

/* The names in a directory, so that what was there before is known. */
static json_t *
list_names(const char *path)
{
	json_t *names = json_array();
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0)
			json_array_append_new(names,
			    json_string(entry->d_name));
	}
	if (dir != NULL)
		closedir(dir);
	return names;
}

static bool
has_entries(const char *path)
{
	json_t *names = list_names(path);
	bool has = json_array_size(names) > 0;

	json_decref(names);
	return has;
}

static int
write_new(struct marker *marker, const struct conf *conf,
    const struct marker_owner *owner, json_t *state_before, json_t *made,
    struct problem *problem)
{
	const json_t *dir;
	size_t i;

	marker->owner = *owner;
	snprintf(marker->conf_file, sizeof(marker->conf_file), "%s",
	    conf->file);
	snprintf(marker->run_dir, sizeof(marker->run_dir), "%s",
	    conf->run_dir);
	marker->content = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, "
	    "s:b, s:O, s:o, s:b, s:[]}", "version", 1, "job", owner->job,
	    "cluster", owner->cluster, "node", owner->node, "ca", owner->ca,
	    "conf_file", conf->file, "run_dir", conf->run_dir, "data_dir",
	    conf->data_dir, "data_before", has_entries(conf->data_dir),
	    "state_before", state_before, "run_before",
	    list_names(conf->run_dir), "started", 0, "made");
	if (marker->content == NULL)
		return problem_set(problem, "out of memory");
	json_array_foreach(made, i, dir)
		add(marker, "directory", json_string_value(dir));
	return save(marker, problem);
}

int
marker_begin(struct marker *marker, const struct conf *conf,
    const struct marker_owner *owner, struct problem *problem)
{
	json_t *made = json_array();
	json_t *before = list_names(conf->state_dir);
	char dir[CONF_PATH_MAX];
	int rc;

	snprintf(dir, sizeof(dir), "%.400s/markers", conf->state_dir);
	rc = make_directories(NULL, dir, 0700, made, problem);
	if (rc == 0)
		rc = marker_lock(marker, problem);
	if (rc == 0 && marker->content == NULL)
		rc = write_new(marker, conf, owner, before, made, problem);
	for (size_t i = json_array_size(made); rc != 0 && i-- > 0;)
		rmdir(json_string_value(json_array_get(made, i)));
	json_decref(made);
	json_decref(before);
	return rc;
}

int
marker_write_file(struct marker *marker, const char *path, const char *text,
    struct problem *problem)
{
	if (marker_note_file(marker, path, problem) != 0)
		return -1;
	return write_file(path, text, problem);
}

static bool
was_before(const struct marker *marker, const char *key, const char *name)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(marker->content, key), i, entry) {
		const char *text = json_string_value(entry);

		if (text != NULL && strcmp(text, name) == 0)
			return true;
	}
	return false;
}

static bool
is_agent_file(const char *name)
{
	for (size_t i = 0; i < COUNT(agent_files); i++) {
		if (fnmatch(agent_files[i], name, 0) == 0)
			return true;
	}
	return false;
}

/* Every file in one directory of the agent's, then the directory. */
static void
remove_flat(const char *path, const char *keep)
{
	json_t *names = list_names(path);
	char inner[CONF_PATH_MAX + 600];
	const json_t *entry;
	size_t i;

	json_array_foreach(names, i, entry) {
		snprintf(inner, sizeof(inner), "%s/%s", path,
		    json_string_value(entry));
		if (strcmp(inner, keep) != 0)
			unlink(inner);
	}
	json_decref(names);
	rmdir(path);
}

static void
remove_agent_files(const struct marker *marker, const char *dir,
    const char *before)
{
	json_t *names = list_names(dir);
	char path[CONF_PATH_MAX + 300];
	const json_t *entry;
	size_t i;

	json_array_foreach(names, i, entry) {
		const char *name = json_string_value(entry);

		snprintf(path, sizeof(path), "%s/%s", dir, name);
		if (was_before(marker, before, name))
			continue;
		if (is_agent_file(name))
			unlink(path);
		for (size_t k = 0; k < COUNT(agent_dirs); k++) {
			if (strcmp(name, agent_dirs[k]) == 0)
				remove_flat(path, marker->path);
		}
	}
	json_decref(names);
}

static int
remove_one(const char *path, bool directory, json_t *left,
    struct problem *problem)
{
	char temporary[CONF_PATH_MAX + 32];

	if (!directory) {
		snprintf(temporary, sizeof(temporary), "%s.new", path);
		unlink(temporary);
	}
	if ((directory ? rmdir(path) : unlink(path)) == 0) {
		sync_parent(path);
		return 0;
	}
	if (errno == ENOENT || errno == ENOTDIR)
		return 0;
	if (directory && (errno == ENOTEMPTY || errno == EEXIST ||
	    errno == EBUSY)) {
		json_array_append_new(left, json_string(path));
		return 0;
	}
	return problem_set(problem, "could not remove \"%s\": %s", path,
	    strerror(errno));
}

int
marker_remove_conf(struct marker *marker, struct problem *problem)
{
	if (!marker_has(marker, marker->conf_file))
		return 0;
	return remove_one(marker->conf_file, false, NULL, problem);
}

static bool
holds_marker(const struct marker *marker, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(marker->path, dir, len) == 0 &&
	    marker->path[len] == '/';
}

/* What a copy has begun is not ours to remove, but has to be said. */
static void
name_data_dir(const struct marker *marker, json_t *left)
{
	const char *path = message_text(marker->content, "data_dir", "");

	if (path[0] == '/' && has_entries(path) &&
	    json_is_false(json_object_get(marker->content, "data_before")))
		json_array_append_new(left, json_string(path));
}

int
marker_remove_all(struct marker *marker, json_t *left,
    struct problem *problem)
{
	json_t *list = made_list(marker);

	name_data_dir(marker, left);
	remove_agent_files(marker, marker->state_dir, "state_before");
	remove_agent_files(marker, marker->run_dir, "run_before");
	/* Files, other directories, the marker, the directories it is in. */
	for (int round = 0; round < 3; round++) {
		for (size_t i = json_array_size(list); i-- > 0;) {
			const json_t *entry = json_array_get(list, i);
			const char *path = message_text(entry, "path", "");
			bool directory = strcmp(message_text(entry, "kind",
			    ""), "directory") == 0;
			int turn = !directory ? 0 :
			    holds_marker(marker, path) ? 2 : 1;

			if (path[0] == '/' && turn == round &&
			    remove_one(path, directory, left, problem) != 0)
				return -1;
		}
		if (round == 1 && unlink(marker->path) != 0 &&
		    errno != ENOENT)
			return problem_set(problem, "could not remove \"%s\": "
			    "%s", marker->path, strerror(errno));
		if (round == 1)
			sync_parent(marker->path);
	}
	return 0;
}
