/*
 * procfs.c - the processes of this host as /proc shows them.
 *
 * Owns reading /proc and signalling by identity instead of by number.  Must
 * never allocate, and never touch a file outside /proc: the guard uses this
 * while a data disk may hang.
 *
 * Linked by the guard and by the agent.
 */
#include "procfs.h"

#include <sys/syscall.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

/* Reads a small file of /proc whole; -1 with errno. */
static ssize_t
read_small(const char *path, char *buf, size_t size)
{
	ssize_t n;
	int fd, saved;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return -1;
	do
		n = read(fd, buf, size - 1);
	while (n == -1 && errno == EINTR);
	saved = errno;
	close(fd);
	errno = saved;
	if (n >= 0)
		buf[n] = '\0';
	return n;
}

int
procfs_parse(const char *line, struct procfs_entry *entry)
{
	const char *after;
	int pid, ppid;
	unsigned long long start;
	char state;

	/* The name ends at the last parenthesis: no later field holds one. */
	after = strrchr(line, ')');
	if (after == NULL || sscanf(line, "%d (", &pid) != 1)
		return -1;
	if (sscanf(after + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u"
	    " %*u %*u %*d %*d %*d %*d %*d %*d %llu", &state, &ppid,
	    &start) != 3)
		return -1;
	entry->pid = pid;
	entry->ppid = ppid;
	entry->start = start;
	entry->state = state;
	return 0;
}

int
procfs_read(pid_t pid, struct procfs_entry *entry)
{
	char path[64], line[1024];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (read_small(path, line, sizeof(line)) <= 0)
		return -1;
	return procfs_parse(line, entry);
}

/* 0 as parent or start: any will do. */
static bool
still_the_same(pid_t pid, pid_t ppid, uint64_t start)
{
	struct procfs_entry now;

	return procfs_read(pid, &now) == 0 &&
	    (ppid == 0 || now.ppid == ppid) &&
	    (start == 0 || now.start == start);
}

static int
signal_checked(pid_t pid, pid_t ppid, uint64_t start, int sig)
{
	long r;
	int fd, saved;

	/* 0 and below would be groups, 1 is never part of a cluster. */
	if (pid <= 1) {
		errno = EINVAL;
		return -1;
	}
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd == -1 && errno == ESRCH)
		return -1;
	/* After the open: from here on the descriptor cannot change owner. */
	if (!still_the_same(pid, ppid, start)) {
		if (fd != -1)
			close(fd);
		errno = ESRCH;
		return -1;
	}
	if (fd == -1)
		return kill(pid, sig);
	r = syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0);
	saved = errno;
	close(fd);
	errno = saved;
	return r == 0 ? 0 : -1;
}

int
procfs_signal(const struct procfs_entry *entry, int sig)
{
	return signal_checked(entry->pid, 0, entry->start, sig);
}

int
procfs_signal_child(pid_t pid, pid_t parent, int sig)
{
	return signal_checked(pid, parent, 0, sig);
}

int
procfs_link(pid_t pid, const char *name, char *target, size_t size)
{
	static const char deleted[] = " (deleted)";
	char path[64];
	size_t len;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	n = readlink(path, target, size);
	if (n <= 0 || (size_t)n >= size) {
		if (n > 0)
			errno = ENAMETOOLONG;
		return -1;
	}
	target[n] = '\0';
	len = (size_t)n;
	/* A binary replaced by a package upgrade is still the same program. */
	if (len > sizeof(deleted) - 1 &&
	    strcmp(target + len - (sizeof(deleted) - 1), deleted) == 0)
		target[len - (sizeof(deleted) - 1)] = '\0';
	return 0;
}

int
procfs_walk_open(struct procfs_walk *walk)
{
	walk->at = walk->filled = 0;
	walk->fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return walk->fd == -1 ? -1 : 0;
}

/* struct linux_dirent64: u64 inode, i64 offset, u16 length, u8 type, name. */
#define DIRENT_LENGTH_AT	16
#define DIRENT_NAME_AT		19

pid_t
procfs_walk_next(struct procfs_walk *walk)
{
	const char *name;
	unsigned short length;
	pid_t pid;

	for (;;) {
		if (walk->at >= walk->filled) {
			walk->at = 0;
			walk->filled = (int)syscall(SYS_getdents64, walk->fd,
			    walk->entries, sizeof(walk->entries));
			if (walk->filled <= 0)
				return walk->filled == 0 ? 0 : -1;
		}
		memcpy(&length, walk->entries + walk->at + DIRENT_LENGTH_AT,
		    sizeof(length));
		name = walk->entries + walk->at + DIRENT_NAME_AT;
		walk->at += length;
		for (pid = 0; isdigit((unsigned char)*name); name++)
			pid = pid * 10 + (*name - '0');
		if (*name == '\0' && pid > 0)
			return pid;
	}
}

void
procfs_walk_close(struct procfs_walk *walk)
{
	if (walk->fd != -1)
		close(walk->fd);
	walk->fd = -1;
}

static int
children_by_walk(pid_t parent, void (*found)(pid_t pid, const void *arg),
    const void *arg)
{
	static struct procfs_walk walk;
	struct procfs_entry entry;
	pid_t pid;
	int n = 0;

	if (procfs_walk_open(&walk) == -1)
		return -1;
	while ((pid = procfs_walk_next(&walk)) > 0) {
		if (procfs_read(pid, &entry) == 0 && entry.ppid == parent) {
			found(pid, arg);
			n++;
		}
	}
	procfs_walk_close(&walk);
	return pid == 0 ? n : -1;
}

int
procfs_children_open(pid_t parent)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent,
	    (int)parent);
	return open(path, O_RDONLY | O_CLOEXEC);
}

int
procfs_children(int fd, pid_t parent,
    void (*found)(pid_t pid, const void *arg), const void *arg)
{
	char buf[4096];
	ssize_t got, i;
	off_t at = 0;
	pid_t pid = 0;
	int n = 0;

	if (fd == -1)
		return children_by_walk(parent, found, arg);
	while ((got = pread(fd, buf, sizeof(buf), at)) > 0) {
		at += got;
		for (i = 0; i < got; i++) {
			if (isdigit((unsigned char)buf[i])) {
				pid = pid * 10 + (buf[i] - '0');
			} else if (pid > 0) {
				found(pid, arg);
				n++;
				pid = 0;
			}
		}
	}
	return got == 0 ? n : -1;
}
