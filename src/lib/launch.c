/*
 * launch.c - starts an agent on a host without a service manager.
 *
 * Must never wait without a deadline, and never leave the agent tied to the
 * caller: own session, no descriptor and no SSH variable of the caller's.
 */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef FAILOVERD_SBINDIR
#define FAILOVERD_SBINDIR	"/usr/sbin"
#endif
#ifndef FAILOVERD_PKGLIBDIR
#define FAILOVERD_PKGLIBDIR	"/usr/lib/failoverd"
#endif
#ifndef FAILOVERD_BINDIR
#define FAILOVERD_BINDIR	"/usr/bin"
#endif

#define LOOK_MS		50	/* between two looks at the socket */
#define TAIL_MAX	4096	/* of the agent's log, for its last line */

/* Asked one after the other; the first that has a unit wins. */
static const char *const unit_dirs[] = {
	"/etc/systemd/system", "/run/systemd/system",
	"/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
	"/lib/systemd/system"
};

static const char *const units[] = { "failoverd.path", "failoverd.service" };

__attribute__((format(printf, 2, 3)))
static int
fail(char *errmsg, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(errmsg, ERRMSG_MAX, format, ap);
	va_end(ap);
	return -1;
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

bool
launch_is_service_managed(void)
{
	char path[CONF_PATH_MAX];

	if (access("/run/systemd/system", F_OK) != 0)
		return false;
	for (size_t i = 0; i < sizeof(unit_dirs) / sizeof(unit_dirs[0]); i++) {
		for (size_t k = 0; k < sizeof(units) / sizeof(units[0]); k++) {
			snprintf(path, sizeof(path), "%s/%s", unit_dirs[i],
			    units[k]);
			if (access(path, F_OK) == 0)
				return true;
		}
	}
	return false;
}

/* The directory the running program stands in; "" when unknown. */
static void
own_directory(char *dir, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", dir, size - 1);
	char *slash;

	dir[n < 0 ? 0 : n] = '\0';
	slash = strrchr(dir, '/');
	if (slash != NULL)
		*slash = '\0';
}

int
launch_find_program(const char *name, char *path, size_t size, char *errmsg)
{
	char own[CONF_PATH_MAX];
	const char *const dirs[] = { own, FAILOVERD_PKGLIBDIR,
	    FAILOVERD_SBINDIR, FAILOVERD_BINDIR };

	own_directory(own, sizeof(own));
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		int n = snprintf(path, size, "%s/%s", dirs[i], name);

		if (n > 0 && (size_t)n < size && access(path, X_OK) == 0)
			return 0;
	}
	path[0] = '\0';
	return fail(errmsg, "could not find program \"%s\" in \"%s\", \"%s\", "
	    "\"%s\" or \"%s\"; install the package failoverd", name, own,
	    dirs[1], dirs[2], dirs[3]);
}

static bool
socket_accepts(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	bool accepts;
	int fd;

	if (strlen(path) >= sizeof(sun.sun_path))
		return false;
	memcpy(sun.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	accepts = connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0;
	close(fd);
	return accepts;
}

/*
 * 1 accepts, 0 not within the time, -1 the agent ended first.  pidfd -1 = no
 * agent to look at.
 */
static int
wait_accepting(const struct conf *conf, int pidfd, int timeout_ms)
{
	const int64_t deadline = now_ms() + timeout_ms;
	char path[CONF_PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/control.sock", conf->run_dir);
	for (;;) {
		struct pollfd pfd = { .fd = pidfd, .events = POLLIN };

		if (socket_accepts(path))
			return 1;
		if (now_ms() >= deadline)
			return 0;
		if (poll(&pfd, pidfd < 0 ? 0 : 1, LOOK_MS) == 1)
			return socket_accepts(path) ? 1 : -1;
	}
}

int
launch_wait_socket(const struct conf *conf, int timeout_ms, char *errmsg)
{
	if (wait_accepting(conf, -1, timeout_ms) == 1)
		return 0;
	return fail(errmsg, "no agent accepted connections on "
	    "\"%s/control.sock\" within %d ms", conf->run_dir, timeout_ms);
}

/* In the daemon to be: everything of the caller's goes, then exec. */
static void
become_agent(const char *program, const char *conf_file, int log_fd,
    int status_fd)
{
	const char *const ssh_names[] = { "SSH_CLIENT", "SSH_CONNECTION",
	    "SSH_ORIGINAL_COMMAND", "SSH_TTY", "SSH_AUTH_SOCK",
	    "NOTIFY_SOCKET", "JOURNAL_STREAM" };
	char *const argv[] = { strdup(program), strdup("-c"),
	    strdup(conf_file), NULL };
	struct sigaction act = { .sa_handler = SIG_DFL };
	sigset_t none;
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &act, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (size_t i = 0; i < sizeof(ssh_names) / sizeof(ssh_names[0]); i++)
		unsetenv(ssh_names[i]);
	umask(077);
	if (null_fd >= 0 && chdir("/") == 0 && dup2(null_fd, 0) == 0 &&
	    dup2(log_fd, 1) == 1 && dup2(log_fd, 2) == 2 &&
	    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
		execv(program, argv);
	if (write(status_fd, &errno, sizeof(errno)) < 0)
		_exit(126);
	_exit(127);
}

/* Double fork; *pid is the daemon's.  -1 with errmsg. */
static int
start_daemon(const char *program, const char *conf_file, int log_fd,
    pid_t *pid, char *errmsg)
{
	int ids[2], status[2], error = 0, wstatus;
	pid_t child;
	ssize_t n;

	if (pipe2(ids, O_CLOEXEC) != 0)
		return fail(errmsg, "could not create a pipe: %s",
		    strerror(errno));
	if (pipe2(status, O_CLOEXEC) != 0) {
		close(ids[0]);
		close(ids[1]);
		return fail(errmsg, "could not create a pipe: %s",
		    strerror(errno));
	}
	child = fork();
	if (child == 0) {
		setsid();
		*pid = fork();
		if (*pid == 0)
			become_agent(program, conf_file, log_fd, status[1]);
		if (*pid < 0 || write(ids[1], pid, sizeof(*pid)) < 0)
			_exit(1);
		_exit(0);
	}
	close(ids[1]);
	close(status[1]);
	*pid = 0;
	if (child > 0) {
		while (waitpid(child, &wstatus, 0) < 0 && errno == EINTR)
			continue;
		if (read(ids[0], pid, sizeof(*pid)) != sizeof(*pid))
			*pid = 0;
	}
	/* Ends without a byte when exec closed the other side. */
	n = *pid > 0 ? read(status[0], &error, sizeof(error)) : 0;
	close(ids[0]);
	close(status[0]);
	if (*pid <= 0)
		return fail(errmsg, "could not fork for \"%s\"", program);
	if (n > 0)
		return fail(errmsg, "could not execute \"%s\": %s", program,
		    strerror(error));
	return 0;
}

/* The last line with something on it that was written since `from`. */
static void
last_line(const char *path, off_t from, char *line, size_t size)
{
	char text[TAIL_MAX + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t end;
	ssize_t n = -1;
	char *start;

	line[0] = '\0';
	if (fd < 0)
		return;
	end = lseek(fd, 0, SEEK_END);
	if (end - from > TAIL_MAX)
		from = end - TAIL_MAX;
	n = pread(fd, text, TAIL_MAX, from);
	close(fd);
	while (n > 0 && strchr(" \t\r\n", text[n - 1]) != NULL)
		n--;
	if (n <= 0)
		return;
	text[n] = '\0';
	start = strrchr(text, '\n');
	snprintf(line, size, "%.200s", start == NULL ? text : start + 1);
}

static int
say_why(const struct conf *conf, const char *log_path, off_t log_start,
    int timeout_ms, bool ended, char *errmsg)
{
	char line[256];

	last_line(log_path, log_start, line, sizeof(line));
	if (ended)
		return fail(errmsg, "failoverd ended right after its start%s%s"
		    "; see \"%s\"", line[0] == '\0' ? "" : ": ", line,
		    log_path);
	return fail(errmsg, "failoverd did not accept connections on "
	    "\"%s/control.sock\" within %d ms%s%s; see \"%s\"", conf->run_dir,
	    timeout_ms, line[0] == '\0' ? "" : "; its last line was: ", line,
	    log_path);
}

int
launch_agent(const struct conf *conf, int timeout_ms, char *errmsg)
{
	char program[CONF_PATH_MAX], log_path[CONF_PATH_MAX + 16];
	int log_fd, pidfd, rc;
	off_t log_start;
	pid_t pid;

	if (launch_find_program("failoverd", program, sizeof(program),
	    errmsg) != 0)
		return -1;
	snprintf(log_path, sizeof(log_path), "%s/failoverd.log",
	    conf->state_dir);
	log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
	    0600);
	if (log_fd < 0)
		return fail(errmsg, "could not open file \"%s\": %s",
		    log_path, strerror(errno));
	log_start = lseek(log_fd, 0, SEEK_END);
	rc = start_daemon(program, conf->file, log_fd, &pid, errmsg);
	close(log_fd);
	if (rc != 0)
		return -1;
	/* Gone already: then there is nothing to wait for. */
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	rc = wait_accepting(conf, pidfd, pidfd < 0 ? 0 : timeout_ms);
	if (rc != 1)
		say_why(conf, log_path, log_start, timeout_ms,
		    rc < 0 || pidfd < 0, errmsg);
	if (pidfd >= 0)
		close(pidfd);
	return rc == 1 ? 0 : -1;
}
