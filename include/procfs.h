/*
 * procfs.h - the processes of this host as /proc shows them.
 *
 * A pid alone names nobody: it may have been given to another process since
 * it was read.  Whoever signals a process that is not its own unreaped child
 * holds a struct procfs_entry and goes through procfs_signal().
 *
 * Nothing here allocates memory.
 */
#ifndef FAILOVERD_PROCFS_H
#define FAILOVERD_PROCFS_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct procfs_entry {
	pid_t pid;
	pid_t ppid;
	uint64_t start;		/* clock ticks since boot */
	char state;		/* 'R', 'S', 'D', 'T', 'Z', ... */
};

/* Reads /proc/PID/stat.  -1 if there is no such process (or no /proc). */
int	procfs_read(pid_t pid, struct procfs_entry *entry);

/*
 * Parses one line of /proc/PID/stat, whose second field may hold anything,
 * blanks and parentheses too.  -1 if it is none.
 */
int	procfs_parse(const char *line, struct procfs_entry *entry);

/*
 * Sends sig if entry->pid still is the process that was read (same start
 * time; its parent may have died) by way of a pidfd, so that nobody else can
 * be hit.  Where the kernel has no pidfd, the check is made just before
 * kill(2).
 * Returns 0 if sent, -1 with errno (ESRCH: no longer that process).
 */
int	procfs_signal(const struct procfs_entry *entry, int sig);

/* The same for whatever process is pid, if its parent is `parent`. */
int	procfs_signal_child(pid_t pid, pid_t parent, int sig);

/*
 * The target of /proc/PID/NAME ("exe", "cwd") without " (deleted)".
 * -1 if it cannot be read or does not fit.
 */
int	procfs_link(pid_t pid, const char *name, char *target, size_t size);

/* One walk over all processes. */
struct procfs_walk {
	int fd;
	int at;
	int filled;
	char entries[8192] __attribute__((aligned(8)));
};

int	procfs_walk_open(struct procfs_walk *walk);	/* 0, or -1 and errno */
/* The next pid, 0 at the end, -1 with errno. */
pid_t	procfs_walk_next(struct procfs_walk *walk);
void	procfs_walk_close(struct procfs_walk *walk);

/*
 * A descriptor for procfs_children(), to be opened while there are enough of
 * them; -1 if the kernel does not list children.
 */
int	procfs_children_open(pid_t parent);

/*
 * Calls found(pid, arg) for each child of a process that forks only from its
 * main thread, as the postmaster and the guard do.  Read from fd, or by a walk
 * if that is -1.  The list is exact only while the parent neither forks nor
 * reaps, so a caller that needs all repeats it until none is left.
 * Returns the number of children found, or -1 with errno.
 */
int	procfs_children(int fd, pid_t parent,
	    void (*found)(pid_t pid, const void *arg), const void *arg);

#endif
