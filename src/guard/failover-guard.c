/*
 * failover-guard.c - the program: command line, daemon, error line.
 *
 * Owns what the caller sees: exit 0 once the socket listens and the
 * postmaster has been executed, else one line on stderr and exit 1.
 */
#include "guardrun.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MARGIN_MS_DEFAULT	300

static void
usage(void)
{
	fprintf(stderr, "usage: failover-guard -s SOCKET -l LOGFILE -D DATADIR "
	    "[-g] [-p] [-d DEADLINE_NS]\n"
	    "                      [-m MARGIN_MS] [-e EPOCH] -- "
	    "POSTGRES_PROGRAM [ARGUMENT ...]\n");
	exit(64);
}

static void
refuse(const char *text, const char *value)
{
	fprintf(stderr, "failover-guard: %s: \"%s\"\n", text, value);
	exit(64);
}

static long long
number(const char *text, long long most)
{
	long long n;
	char *rest;

	errno = 0;
	n = strtoll(text, &rest, 10);
	if (errno != 0 || rest == text || *rest != '\0' || n < 0 || n > most)
		refuse("not a number in the range of this option", text);
	return n;
}

/* The daemon lives in "/", so a relative path would mean something else. */
static const char *
absolute(const char *path, size_t size)
{
	if (path[0] != '/')
		refuse("the path must be absolute", path);
	if (strlen(path) >= size)
		refuse("the path is too long", path);
	return path;
}

static void
parse(int argc, char **argv, struct guard_arguments *args)
{
	int option;

	memset(args, 0, sizeof(*args));
	args->agent.margin_ms = MARGIN_MS_DEFAULT;
	while ((option = getopt(argc, argv, "+s:l:D:gpd:m:e:")) != -1) {
		switch (option) {
		case 's':
			args->socket_path = absolute(optarg,
			    sizeof(((struct sockaddr_un *)NULL)->sun_path));
			break;
		case 'l':
			args->log_file = absolute(optarg, GUARD_PATH_MAX);
			break;
		case 'D':
			args->data_dir = absolute(optarg, GUARD_PATH_MAX);
			break;
		case 'g':
			args->watch_standby_signal = true;
			break;
		case 'p':
			args->agent.armed = 1;
			break;
		case 'd':
			args->agent.deadline_ns = number(optarg, INT64_MAX);
			break;
		case 'm':
			args->agent.margin_ms = (uint32_t)number(optarg,
			    3600000);
			break;
		case 'e':
			args->agent.epoch = (uint64_t)number(optarg,
			    INT64_MAX);
			break;
		default:
			usage();
		}
	}
	if (args->socket_path == NULL || args->log_file == NULL ||
	    args->data_dir == NULL || optind >= argc)
		usage();
	if (args->agent.armed && args->agent.deadline_ns == 0)
		refuse("a primary needs a lease (-d)", "-p");
	args->postgres_argv = argv + optind;
	absolute(args->postgres_argv[0], GUARD_PATH_MAX);
}

static void
close_inherited(void)
{
	int fd;

	if (close_range(3, ~0U, 0) == 0)
		return;
	for (fd = 3; fd < sysconf(_SC_OPEN_MAX) && fd < 65536; fd++)
		close(fd);
}

/* 0, 1 and 2 are /dev/null, so that no pipe to a dead reader is left. */
static void
let_go_of_terminal(void)
{
	int fd;

	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd == -1)
		return;
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

static int
run_daemon(const struct guard_arguments *args, int ready_fd)
{
	static struct guard guard;
	char errmsg[ERRMSG_MAX];
	sigset_t all;
	ssize_t n;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGCHLD, SIG_DFL);
	let_go_of_terminal();
	if (chdir("/") == -1)
		return 1;
	if (guard_prepare(&guard, args, errmsg) == -1 ||
	    guard_fork_postmaster(&guard, errmsg) == -1) {
		cgroup_free(&guard.cgroup);
		guard_release(&guard);
		n = write(ready_fd, errmsg, strlen(errmsg) + 1);
		return n > 0 ? 1 : 2;
	}
	guard.ready_fd = ready_fd;
	guard_run(&guard);
	return 0;
}

/* Waits for the daemon's word: "" is success, nothing at all a crash. */
static int
report(int ready_fd)
{
	char text[ERRMSG_MAX];
	size_t filled = 0;
	ssize_t n;

	while (filled < sizeof(text) - 1) {
		n = read(ready_fd, text + filled, sizeof(text) - 1 - filled);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		filled += (size_t)n;
		if (text[filled - 1] == '\0')
			break;
	}
	text[filled] = '\0';
	if (filled == 1 && text[0] == '\0')
		return 0;
	fprintf(stderr, "failover-guard: %s\n",
	    filled > 0 ? text : "the guard ended while it started");
	return 1;
}

int
main(int argc, char **argv)
{
	struct guard_arguments args;
	int ready[2], fd;
	pid_t pid;

	/* No descriptor of ours may take the place of a closed 0, 1 or 2. */
	do
		fd = open("/dev/null", O_RDWR);
	while (fd != -1 && fd <= STDERR_FILENO);
	parse(argc, argv, &args);
	close_inherited();
	/* Reads its files now, not when a disk may hang. */
	tzset();
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	if (pipe2(ready, O_CLOEXEC) == -1 || (pid = fork()) == -1) {
		fprintf(stderr, "failover-guard: could not start: %s\n",
		    strerror(errno));
		return 1;
	}
	if (pid > 0) {
		close(ready[1]);
		waitpid(pid, NULL, 0);
		return report(ready[0]);
	}
	close(ready[0]);
	setsid();
	pid = fork();
	if (pid == -1)
		_exit(1);
	if (pid > 0)
		_exit(0);
	return run_daemon(&args, ready[1]);
}
