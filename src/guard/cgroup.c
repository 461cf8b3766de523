/*
 * cgroup.c - the postmaster's own cgroup v2, where one was delegated to us.
 *
 * Owns one directory, pg/GUARDPID beside the agent's cgroup, and nothing else
 * of the hierarchy.  A failure is never an error: it means there is none.
 */
#include "cgroup.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Our path within the v2 hierarchy: the line "0::PATH". */
static int
own_path(char *path, size_t size)
{
	char line[GUARD_PATH_MAX + 64];
	FILE *f;
	int r = -1;

	f = fopen("/proc/self/cgroup", "re");
	if (f == NULL)
		return -1;
	while (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::/", 4) == 0 &&
		    strstr(line, "/..") == NULL &&
		    strlen(line + 3) < size) {
			memcpy(path, line + 3, strlen(line + 3) + 1);
			r = 0;
		}
	}
	fclose(f);
	return r;
}

/* Where the v2 hierarchy is mounted whole. */
static int
mount_point(char *path, size_t size)
{
	char line[4096], root[1024], point[GUARD_PATH_MAX];
	const char *type;
	FILE *f;
	int r = -1;

	f = fopen("/proc/self/mountinfo", "re");
	if (f == NULL)
		return -1;
	while (r == -1 && fgets(line, sizeof(line), f) != NULL) {
		type = strstr(line, " - cgroup2 ");
		if (type == NULL || sscanf(line, "%*d %*d %*s %1023s %1023s",
		    root, point) != 2)
			continue;
		if (strcmp(root, "/") == 0 && strlen(point) < size) {
			memcpy(path, point, strlen(point) + 1);
			r = 0;
		}
	}
	fclose(f);
	return r;
}

static int
open_in(const char *dir, const char *name, int flags)
{
	char path[GUARD_PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return open(path, flags | O_CLOEXEC);
}

static void
forget(struct cgroup *cgroup)
{
	cgroup->path[0] = '\0';
	cgroup->procs_fd = cgroup->kill_fd = cgroup->events_fd = -1;
}

void
cgroup_make(struct cgroup *cgroup)
{
	char mount[GUARD_PATH_MAX], own[GUARD_PATH_MAX], pg[GUARD_PATH_MAX];
	char *last;
	int n;

	forget(cgroup);
	if (own_path(own, sizeof(own)) == -1 ||
	    mount_point(mount, sizeof(mount)) == -1)
		return;
	last = strrchr(own, '/');
	if (last == NULL || strcmp(last, "/agent") != 0)
		return;
	*last = '\0';
	n = snprintf(pg, sizeof(pg), "%s%s/pg", mount, own);
	if (n < 0 || (size_t)n >= sizeof(pg) - 16)
		return;
	if (mkdir(pg, 0755) == -1 && errno != EEXIST)
		return;
	n = snprintf(cgroup->path, sizeof(cgroup->path), "%s/%d", pg,
	    (int)getpid());
	if (n < 0 || (size_t)n >= sizeof(cgroup->path) ||
	    mkdir(cgroup->path, 0755) == -1) {
		forget(cgroup);
		return;
	}
	cgroup->procs_fd = open_in(cgroup->path, "cgroup.procs", O_WRONLY);
	cgroup->kill_fd = open_in(cgroup->path, "cgroup.kill", O_WRONLY);
	cgroup->events_fd = open_in(cgroup->path, "cgroup.events", O_RDONLY);
	if (cgroup->procs_fd == -1 || cgroup->kill_fd == -1 ||
	    cgroup->events_fd == -1)
		cgroup_free(cgroup);
}

int
cgroup_join(const struct cgroup *cgroup)
{
	if (cgroup->procs_fd == -1)
		return -1;
	return write(cgroup->procs_fd, "0", 1) == 1 ? 0 : -1;
}

bool
cgroup_populated(const struct cgroup *cgroup)
{
	char text[256];
	ssize_t n;

	if (cgroup->events_fd == -1)
		return false;
	n = pread(cgroup->events_fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return strstr(text, "populated 1") != NULL;
}

void
cgroup_kill(const struct cgroup *cgroup)
{
	ssize_t n;

	if (cgroup->kill_fd == -1)
		return;
	/* Its success is not needed: every process is signalled as well. */
	n = pwrite(cgroup->kill_fd, "1", 1, 0);
	(void)n;
}

int
cgroup_kill_path(const char *path)
{
	ssize_t n;
	int fd, saved;

	fd = open_in(path, "cgroup.kill", O_WRONLY);
	if (fd == -1)
		return -1;
	n = write(fd, "1", 1);
	saved = errno;
	close(fd);
	errno = saved;
	return n == 1 ? 0 : -1;
}

void
cgroup_free(struct cgroup *cgroup)
{
	if (cgroup->procs_fd != -1)
		close(cgroup->procs_fd);
	if (cgroup->kill_fd != -1)
		close(cgroup->kill_fd);
	if (cgroup->events_fd != -1)
		close(cgroup->events_fd);
	if (cgroup->path[0] != '\0')
		rmdir(cgroup->path);
	forget(cgroup);
}
