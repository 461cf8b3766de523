/*
 * child.c - other programs, run without a shell, with a deadline, reaped.
 *
 * Owns a child from its start to its reaping, and its whole process group.
 * Must never pass on more than it was told to: argv, environment, stdin and
 * two output pipes.  Must never wait without a deadline that the caller set.
 *
 * Standard input is a sealed piece of memory (memfd), not a pipe: nothing to
 * pump, nobody to get SIGPIPE from, and a secret in it is never on a disk.
 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OUTPUT_MAX_DEFAULT	(1024 * 1024)
#define DRAIN_MS		200	/* output after the program's end */
#define FD_FALLBACK_MAX		1024

/* Bytes to lines; keeps the last line that says anything. */
struct lines {
	char text[CHILD_LINE_MAX];
	size_t len;
	char last[CHILD_LINE_MAX];
};

static void
lines_end(struct lines *lines, child_line_fn *line, void *arg, bool is_error)
{
	lines->text[lines->len] = '\0';
	if (lines->len > 0)
		memcpy(lines->last, lines->text, lines->len + 1);
	lines->len = 0;
	if (line != NULL)
		line(arg, lines->text, is_error);
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

static int
check_argv(const char *const *argv, char *errmsg)
{
	if (argv[0] != NULL && argv[0][0] == '/')
		return 0;
	snprintf(errmsg, ERRMSG_MAX, "could not run \"%.200s\": "
	    "its path is not absolute", argv[0] == NULL ? "" : argv[0]);
	return -1;
}

/* A descriptor at the beginning of text, or of nothing. */
static int
input_open(const char *text, char *errmsg)
{
	size_t len, done = 0;
	ssize_t n;
	int fd;

	if (text == NULL)
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	else
		fd = memfd_create("stdin", MFD_CLOEXEC);
	if (fd == -1) {
		snprintf(errmsg, ERRMSG_MAX, "could not open standard input "
		    "for a program: %s", strerror(errno));
		return -1;
	}
	len = text == NULL ? 0 : strlen(text);
	while (done < len) {
		n = write(fd, text + done, len - done);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0) {
			snprintf(errmsg, ERRMSG_MAX, "could not write standard "
			    "input for a program: %s", strerror(errno));
			close(fd);
			return -1;
		}
		done += (size_t)n;
	}
	if (text != NULL)
		lseek(fd, 0, SEEK_SET);
	return fd;
}

/* Fills result->error from the rest of it. */
static void
describe(struct child_result *result, const char *program,
    uint32_t timeout_ms)
{
	const char *name = base_name(program);
	const char *colon = result->last_line[0] == '\0' ? "" : ": ";

	result->ok = !result->timed_out && result->exit_status == 0;
	if (result->ok)
		result->error[0] = '\0';
	else if (result->timed_out)
		snprintf(result->error, sizeof(result->error),
		    "\"%.64s\" did not end within %u ms%s%.300s", name,
		    timeout_ms, colon, result->last_line);
	else if (result->signal != 0)
		snprintf(result->error, sizeof(result->error),
		    "\"%.64s\" was ended by signal %d (%s)%s%.300s", name,
		    result->signal, strsignal(result->signal), colon,
		    result->last_line);
	else
		snprintf(result->error, sizeof(result->error),
		    "\"%.64s\" ended with exit status %d%s%.300s", name,
		    result->exit_status, colon, result->last_line);
}

/* --- In the loop ---------------------------------------------------------- */

struct stream {
	uv_pipe_t pipe;
	struct child *child;
	struct lines lines;
	bool is_error;
	bool ended;
	char memory[4096];
};

struct child {
	uv_process_t process;
	uv_timer_t timer;
	struct stream out, err;
	uv_pipe_t input;
	bool interactive, input_closed;
	bool has_process;	/* the handle is initialised */
	bool exited, freed, done_called;
	bool killing;		/* SIGTERM sent, the timer brings SIGKILL */
	unsigned handles;	/* not closed yet */
	char program[256];
	uint32_t timeout_ms;
	size_t output_left;
	child_line_fn *line;
	child_done_fn *done;
	void *arg;
	struct child_result result;
};

struct write_request {
	uv_write_t request;
	char text[];
};

static void
on_closed(uv_handle_t *handle)
{
	struct child *child = handle->data;

	if (--child->handles == 0)
		free(child);
}

static void
close_handle(uv_handle_t *handle)
{
	if (!uv_is_closing(handle))
		uv_close(handle, on_closed);
}

static void
kill_group(const struct child *child, int sig)
{
	/* The pid is ours until the loop has reaped it; after that the group
	 * lives only while somebody of it does, and keeps the number. */
	if (child->process.pid > 1)
		(void)kill(-child->process.pid, sig);
}

static void
finish_if_over(struct child *child)
{
	if (!child->exited || !child->out.ended || !child->err.ended ||
	    child->done_called || child->freed)
		return;
	child->done_called = true;
	uv_timer_stop(&child->timer);
	snprintf(child->result.last_line, sizeof(child->result.last_line),
	    "%s", child->err.lines.last[0] != '\0' ? child->err.lines.last :
	    child->out.lines.last);
	describe(&child->result, child->program, child->timeout_ms);
	child->done(child->arg, &child->result);
}

static void
stream_end(struct stream *stream)
{
	struct child *child = stream->child;

	if (stream->ended)
		return;
	stream->ended = true;
	if (stream->lines.len > 0)
		lines_end(&stream->lines, child->freed ? NULL : child->line,
		    child->arg, stream->is_error);
	close_handle((uv_handle_t *)&stream->pipe);
}

static void
on_timer(uv_timer_t *timer)
{
	struct child *child = timer->data;

	if (child->exited) {
		/* Somebody of its group still holds the output. */
		kill_group(child, SIGKILL);
		stream_end(&child->out);
		stream_end(&child->err);
		finish_if_over(child);
	} else if (child->killing) {
		kill_group(child, SIGKILL);
	} else {
		child->result.timed_out = true;
		child_stop(child);
	}
}

static void
on_process_exit(uv_process_t *process, int64_t status, int sig)
{
	struct child *child = process->data;

	child->exited = true;
	child->result.signal = sig;
	child->result.exit_status = sig != 0 ? -1 : (int)status;
	if (child->freed) {
		close_handle((uv_handle_t *)process);
		return;
	}
	if (child->out.ended && child->err.ended)
		finish_if_over(child);
	else
		uv_timer_start(&child->timer, on_timer, DRAIN_MS, 0);
}

static void
on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct child *child = handle->data;
	struct stream *stream = handle == (uv_handle_t *)&child->out.pipe ?
	    &child->out : &child->err;

	(void)suggested;
	*buf = uv_buf_init(stream->memory, sizeof(stream->memory));
}

static void
on_read(uv_stream_t *handle, ssize_t count, const uv_buf_t *buf)
{
	struct child *child = handle->data;
	struct stream *stream = handle == (uv_stream_t *)&child->out.pipe ?
	    &child->out : &child->err;
	ssize_t i;

	for (i = 0; i < count && !child->freed; i++) {
		if (child->output_left == 0) {
			child->result.output_cut = true;
			break;
		}
		child->output_left--;
		if (buf->base[i] == '\n' || buf->base[i] == '\r')
			lines_end(&stream->lines, child->line, child->arg,
			    stream->is_error);
		else if (stream->lines.len < CHILD_LINE_MAX - 1)
			stream->lines.text[stream->lines.len++] =
			    buf->base[i] == '\0' ? ' ' : buf->base[i];
	}
	if (count < 0 && !child->freed) {
		stream_end(stream);
		finish_if_over(child);
	}
}

static void
init_handles(struct child *child, uv_loop_t *loop)
{
	uv_timer_init(loop, &child->timer);
	uv_pipe_init(loop, &child->out.pipe, 0);
	uv_pipe_init(loop, &child->err.pipe, 0);
	child->timer.data = child->out.pipe.data = child->err.pipe.data = child;
	child->process.data = child->input.data = child;
	child->out.child = child->err.child = child;
	child->err.is_error = true;
	child->handles = 3;
	if (child->interactive) {
		uv_pipe_init(loop, &child->input, 0);
		child->handles++;
	}
}

static int
spawn(struct child *child, uv_loop_t *loop, const struct child_spec *spec,
    char *errmsg)
{
	uv_process_options_t options;
	uv_stdio_container_t stdio[3];
	int fd = -1, error;

	memset(&options, 0, sizeof(options));
	if (child->interactive) {
		stdio[0].flags = UV_CREATE_PIPE | UV_READABLE_PIPE;
		stdio[0].data.stream = (uv_stream_t *)&child->input;
	} else {
		fd = input_open(spec->stdin_text, errmsg);
		if (fd == -1)
			return -1;
		stdio[0].flags = UV_INHERIT_FD;
		stdio[0].data.fd = fd;
	}
	stdio[1].flags = stdio[2].flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
	stdio[1].data.stream = (uv_stream_t *)&child->out.pipe;
	stdio[2].data.stream = (uv_stream_t *)&child->err.pipe;
	options.exit_cb = on_process_exit;
	options.file = spec->argv[0];
	/* libuv only reads them; its prototype is older than const. */
	memcpy(&options.args, &spec->argv, sizeof(options.args));
	memcpy(&options.env, &spec->env, sizeof(options.env));
	options.cwd = "/";
	options.flags = UV_PROCESS_DETACHED;	/* setsid: own group */
	options.stdio_count = 3;
	options.stdio = stdio;
	error = uv_spawn(loop, &child->process, &options);
	child->has_process = true;
	child->handles++;
	if (fd != -1)
		close(fd);
	if (error != 0) {
		snprintf(errmsg, ERRMSG_MAX, "could not run \"%.200s\": %s",
		    spec->argv[0], uv_strerror(error));
		return -1;
	}
	return 0;
}

struct child *
child_start(uv_loop_t *loop, const struct child_spec *spec, char *errmsg)
{
	struct child *child;

	errmsg[0] = '\0';
	if (check_argv(spec->argv, errmsg) != 0)
		return NULL;
	child = calloc(1, sizeof(*child));
	if (child == NULL) {
		snprintf(errmsg, ERRMSG_MAX, "out of memory");
		return NULL;
	}
	snprintf(child->program, sizeof(child->program), "%s", spec->argv[0]);
	child->interactive = spec->interactive;
	child->timeout_ms = spec->timeout_ms;
	child->output_left = spec->output_max != 0 ? spec->output_max :
	    OUTPUT_MAX_DEFAULT;
	child->line = spec->line;
	child->done = spec->done;
	child->arg = spec->arg;
	init_handles(child, loop);
	if (spawn(child, loop, spec, errmsg) != 0) {
		child->exited = true;
		child_free(child);
		return NULL;
	}
	uv_read_start((uv_stream_t *)&child->out.pipe, on_alloc, on_read);
	uv_read_start((uv_stream_t *)&child->err.pipe, on_alloc, on_read);
	if (spec->timeout_ms != 0)
		uv_timer_start(&child->timer, on_timer, spec->timeout_ms, 0);
	return child;
}

static void
on_written(uv_write_t *request, int status)
{
	(void)status;	/* a program that no longer reads says so itself */
	free(request->data);
}

int
child_write(struct child *child, const char *text)
{
	struct write_request *request;
	uv_buf_t buf;
	size_t len = strlen(text);

	if (!child->interactive || child->input_closed || child->exited ||
	    child->freed)
		return -1;
	request = malloc(sizeof(*request) + len);
	if (request == NULL)
		return -1;
	memcpy(request->text, text, len);
	request->request.data = request;
	buf = uv_buf_init(request->text, (unsigned)len);
	if (uv_write(&request->request, (uv_stream_t *)&child->input, &buf, 1,
	    on_written) != 0) {
		free(request);
		return -1;
	}
	return 0;
}

static void
on_shutdown(uv_shutdown_t *request, int status)
{
	(void)status;
	free(request);
}

void
child_close_input(struct child *child)
{
	uv_shutdown_t *request;

	if (!child->interactive || child->input_closed || child->freed)
		return;
	child->input_closed = true;
	request = malloc(sizeof(*request));
	/* A shutdown lets what is queued out first; closing would not. */
	if (request == NULL || uv_shutdown(request,
	    (uv_stream_t *)&child->input, on_shutdown) != 0) {
		free(request);
		close_handle((uv_handle_t *)&child->input);
	}
}

void
child_stop(struct child *child)
{
	if (child->exited || child->killing)
		return;
	child->killing = true;
	kill_group(child, SIGTERM);
	/* A stopped process takes SIGTERM only once it runs again. */
	uv_timer_start(&child->timer, on_timer, CHILD_GRACE_MS, 0);
}

pid_t
child_pid(const struct child *child)
{
	return child->exited ? 0 : child->process.pid;
}

void
child_free(struct child *child)
{
	if (child == NULL || child->freed)
		return;
	child->freed = true;
	if (!child->exited)
		kill_group(child, SIGKILL);
	uv_timer_stop(&child->timer);
	close_handle((uv_handle_t *)&child->timer);
	child->out.ended = child->err.ended = true;
	close_handle((uv_handle_t *)&child->out.pipe);
	close_handle((uv_handle_t *)&child->err.pipe);
	if (child->interactive)
		close_handle((uv_handle_t *)&child->input);
	/* A closed process handle would leave a zombie behind: a running one
	 * is closed by on_process_exit(). */
	if (child->has_process && child->exited)
		close_handle((uv_handle_t *)&child->process);
}

/* --- In a worker ---------------------------------------------------------- */

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
close_from(int first)
{
	int fd;

#ifdef SYS_close_range
	if (syscall(SYS_close_range, (unsigned)first, ~0u, 0) == 0)
		return;
#endif
	for (fd = first; fd < FD_FALLBACK_MAX; fd++)
		close(fd);
}

/*
 * Between fork and exec: only what is safe while other threads hold locks.
 * report_fd takes errno when it does not come to the exec.
 */
static void
become(const char *const *argv, const char *const *env, int input, int output,
    int report_fd)
{
	struct sigaction action;
	sigset_t none;
	char *const *args, *const *vars;
	int sig, error;
	ssize_t n;

	memset(&action, 0, sizeof(action));
	action.sa_handler = SIG_DFL;
	for (sig = 1; sig < NSIG; sig++)
		(void)sigaction(sig, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	memcpy(&args, &argv, sizeof(args));
	memcpy(&vars, &env, sizeof(vars));
	/* The four are above 2: see run_open(). */
	if (chdir("/") == 0 && dup2(input, 0) == 0 && dup2(output, 1) == 1 &&
	    dup2(output, 2) == 2 && dup2(report_fd, 3) == 3 &&
	    fcntl(3, F_SETFD, FD_CLOEXEC) == 0) {
		report_fd = 3;
		close_from(4);
		execve(args[0], args, vars);
	}
	error = errno;
	n = write(report_fd, &error, sizeof(error));
	(void)n;
	_exit(127);
}

/* Moved out of the way of 0 to 3, which become() fills. */
static int
above_stdio(int fd)
{
	int moved;

	if (fd == -1 || fd > 3)
		return fd;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, 4);
	close(fd);
	return moved;
}

struct run {
	pid_t pid;
	int output;		/* read end */
	int report;		/* read end: errno of a failed exec */
	struct lines lines;
};

static int
run_start(struct run *run, const char *const *argv, const char *const *env,
    const char *stdin_text, char *errmsg)
{
	int out[2] = { -1, -1 }, report[2] = { -1, -1 };
	int input, error = 0, i;
	ssize_t n;

	run->pid = -1;
	run->output = run->report = -1;
	input = input_open(stdin_text, errmsg);
	if (input == -1)
		return -1;
	if (pipe2(out, O_CLOEXEC) == 0 && pipe2(report, O_CLOEXEC) == 0) {
		input = above_stdio(input);
		for (i = 0; i < 2; i++) {
			out[i] = above_stdio(out[i]);
			report[i] = above_stdio(report[i]);
		}
		run->pid = fork();
		if (run->pid == 0)
			become(argv, env, input, out[1], report[1]);
	}
	error = errno;
	close(input);
	if (out[1] != -1)
		close(out[1]);
	if (report[1] != -1)
		close(report[1]);
	run->output = out[0];
	run->report = report[0];
	if (run->pid > 0) {
		error = 0;
		do
			n = read(run->report, &error, sizeof(error));
		while (n == -1 && errno == EINTR);
		if (n != (ssize_t)sizeof(error))
			return 0;
		while (waitpid(run->pid, NULL, 0) == -1 && errno == EINTR)
			;
	}
	snprintf(errmsg, ERRMSG_MAX, "could not run \"%.200s\": %s", argv[0],
	    strerror(error));
	return -1;
}

/* Takes what there is; false at the end of output. */
static bool
run_read(struct run *run, char *output, size_t size, size_t *len)
{
	char chunk[4096];
	ssize_t n, i;

	n = read(run->output, chunk, sizeof(chunk));
	if (n == -1)
		return errno == EINTR || errno == EAGAIN;
	for (i = 0; i < n; i++) {
		if (output != NULL && *len + 1 < size)
			output[(*len)++] = chunk[i] == '\0' ? ' ' : chunk[i];
		if (chunk[i] == '\n' || chunk[i] == '\r')
			lines_end(&run->lines, NULL, NULL, false);
		else if (run->lines.len < CHILD_LINE_MAX - 1)
			run->lines.text[run->lines.len++] = chunk[i];
	}
	return n > 0;
}

/*
 * Looks without reaping, so that the group can still be killed by a number
 * that is nobody else's.
 */
static bool
has_ended(pid_t pid)
{
	siginfo_t info;

	info.si_pid = 0;
	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) ==
	    0 && info.si_pid == pid;
}

/* Until it has ended and its output too; true if the deadline came first. */
static bool
run_wait(struct run *run, uint32_t timeout_ms, char *output, size_t size,
    size_t *len)
{
	int64_t deadline = timeout_ms == 0 ? INT64_MAX :
	    now_ms() + timeout_ms;
	int64_t kill_at = INT64_MAX, drain_until = INT64_MAX, now;
	bool open = true, timed_out = false, ended = false;
	struct pollfd pollfd;

	while (!ended || (open && now_ms() < drain_until)) {
		pollfd.fd = open ? run->output : -1;
		pollfd.events = POLLIN;
		pollfd.revents = 0;
		/* While output is open its end wakes us; without it, look
		 * often: there is no descriptor for an exit on old kernels. */
		poll(&pollfd, 1, open ? 50 : 5);
		if (pollfd.revents != 0)
			open = run_read(run, output, size, len);
		now = now_ms();
		if (!ended && has_ended(run->pid)) {
			ended = true;
			drain_until = now + DRAIN_MS;
		}
		if (ended)
			continue;
		if (!timed_out && now >= deadline) {
			timed_out = true;
			kill(-run->pid, SIGTERM);
			kill_at = now + CHILD_GRACE_MS;
		} else if (now >= kill_at) {
			kill(-run->pid, SIGKILL);
			kill_at = now + CHILD_GRACE_MS;
		}
	}
	return timed_out;
}

int
child_run(const char *const *argv, const char *const *env,
    const char *stdin_text, uint32_t timeout_ms, char *output,
    size_t output_size, char *errmsg)
{
	struct child_result result;
	struct run run;
	size_t len = 0;
	int status = 0, value = -1;

	errmsg[0] = '\0';
	if (output != NULL && output_size > 0)
		output[0] = '\0';
	memset(&run, 0, sizeof(run));
	memset(&result, 0, sizeof(result));
	if (check_argv(argv, errmsg) != 0)
		return -1;
	if (run_start(&run, argv, env, stdin_text, errmsg) != 0)
		goto out;
	result.timed_out = run_wait(&run, timeout_ms, output, output_size,
	    &len);
	/* Whatever it left behind goes with it, then the number is free. */
	kill(-run.pid, SIGKILL);
	while (waitpid(run.pid, &status, 0) == -1 && errno == EINTR)
		;
	if (output != NULL && output_size > 0)
		output[len] = '\0';
	if (run.lines.len > 0)
		lines_end(&run.lines, NULL, NULL, false);
	result.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	snprintf(result.last_line, sizeof(result.last_line), "%s",
	    run.lines.last);
	describe(&result, argv[0], timeout_ms);
	snprintf(errmsg, ERRMSG_MAX, "%s", result.error);
	value = result.timed_out ? -1 : result.exit_status;
out:
	if (run.output > 0)
		close(run.output);
	if (run.report > 0)
		close(run.report);
	return value;
}
