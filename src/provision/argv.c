/*
 * argv.c - runs one short program and collects what it says.
 *
 * Must never pass anything to a shell and never leave a child behind.
 */
#include "argv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "limits.h"
#include "message.h"

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

static void
become_program(const char *const argv[], int out_fd, int status_fd)
{
	int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	size_t count = 0;
	char **copy;

	setenv("LC_ALL", "C", 1);
	signal(SIGPIPE, SIG_DFL);
	while (argv[count] != NULL)
		count++;
	copy = calloc(count + 1, sizeof(*copy));
	for (size_t i = 0; copy != NULL && i < count; i++)
		copy[i] = strdup(argv[i]);
	if (copy != NULL && null_fd >= 0 && dup2(null_fd, 0) == 0 &&
	    dup2(out_fd, 1) == 1 && dup2(out_fd, 2) == 2)
		execvp(copy[0], copy);
	if (write(status_fd, &errno, sizeof(errno)) < 0)
		_exit(126);
	_exit(127);
}

/* Until the other end closes; -1 when the deadline passed first. */
static int
collect(int fd, char *out, size_t size, int64_t deadline)
{
	char rest[512];
	size_t len = 0;
	ssize_t n;

	for (;;) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		int64_t left = deadline - message_now_ms();
		bool full = len + 1 >= size;

		out[len] = '\0';
		if (left <= 0 || poll(&pfd, 1, (int)left) == 0)
			return -1;
		n = read(fd, full ? rest : out + len,
		    full ? sizeof(rest) : size - 1 - len);
		if (n == 0)
			return 0;
		if (n > 0 && !full)
			len += (size_t)n;
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return 0;
	}
}

/* A program may close its output and go on: 0 when it has ended in time. */
static int
wait_end(pid_t pid, int64_t deadline)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd pfd = { .fd = pidfd, .events = POLLIN };
	int64_t left = deadline - message_now_ms();
	int rc;

	if (pidfd < 0)
		return 0;
	do {
		rc = poll(&pfd, 1, left < 0 ? 0 : (int)left);
	} while (rc < 0 && errno == EINTR);
	close(pidfd);
	return rc == 1 ? 0 : -1;
}

int
argv_run(const char *const argv[], char *out, size_t size, int timeout_ms,
    char *errmsg)
{
	const int64_t deadline = message_now_ms() + timeout_ms;
	int output[2], status[2], error = 0, wstatus = 0;
	bool late;
	pid_t pid;

	out[0] = '\0';
	if (pipe2(output, O_CLOEXEC) != 0)
		return fail(errmsg, "could not create a pipe: %s",
		    strerror(errno));
	if (pipe2(status, O_CLOEXEC) != 0) {
		close(output[0]);
		close(output[1]);
		return fail(errmsg, "could not create a pipe: %s",
		    strerror(errno));
	}
	pid = fork();
	if (pid == 0)
		become_program(argv, output[1], status[1]);
	close(output[1]);
	close(status[1]);
	late = pid > 0 && (collect(output[0], out, size, deadline) != 0 ||
	    wait_end(pid, deadline) != 0);
	if (late)
		kill(pid, SIGKILL);
	while (pid > 0 && waitpid(pid, &wstatus, 0) < 0 && errno == EINTR)
		continue;
	if (pid > 0 && read(status[0], &error, sizeof(error)) <= 0)
		error = 0;
	close(output[0]);
	close(status[0]);
	if (pid < 0)
		return fail(errmsg, "could not fork for \"%s\"", argv[0]);
	if (late)
		return fail(errmsg, "program \"%s\" did not end within %d ms",
		    argv[0], timeout_ms);
	if (error != 0)
		return fail(errmsg, "could not execute \"%s\": %s", argv[0],
		    strerror(error));
	if (!WIFEXITED(wstatus))
		return fail(errmsg, "program \"%s\" was ended by signal %d",
		    argv[0], WTERMSIG(wstatus));
	return WEXITSTATUS(wstatus);
}
