/*
 * child_test.c - programs run without a shell: argument, environment, input,
 * deadline, bounded output, nothing left behind.
 *
 * The programs run are this test itself, called with a word that says what to
 * be, so that nothing depends on what is installed.
 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"

static char self[512];
static const char *const environment[] = { "ONE=1", NULL };

/* --- What the children do ------------------------------------------------- */

static void
be_cat(void)
{
	char chunk[4096];
	ssize_t n;

	while ((n = read(0, chunk, sizeof(chunk))) > 0)
		if (write(1, chunk, (size_t)n) != n)
			_exit(9);
	_exit(0);
}

static void
be_lines(void)
{
	printf("first\nsecond\r\nprogress 1\rprogress 2\rlast without end");
	fflush(stdout);
	fprintf(stderr, "a word of warning\n");
	_exit(3);
}

static void
be_flood(void)
{
	char line[100];
	int i;

	memset(line, 'x', sizeof(line));
	line[99] = '\n';
	for (i = 0; i < 3000; i++)
		if (write(1, line, sizeof(line)) < 0)
			_exit(9);
	_exit(0);
}

/* Leaves a grandchild in its group that keeps the output open. */
static void
be_parent(bool ends)
{
	pid_t pid = fork();

	if (pid != 0)
		printf("%d\n", (int)pid);
	fflush(stdout);
	if (pid == 0 || !ends)
		for (;;)
			pause();
	_exit(0);
}

static int
be(const char *what)
{
	if (strcmp(what, "cat") == 0)
		be_cat();
	if (strcmp(what, "lines") == 0)
		be_lines();
	if (strcmp(what, "flood") == 0)
		be_flood();
	if (strcmp(what, "parent-ends") == 0)
		be_parent(true);
	if (strcmp(what, "parent-stays") == 0)
		be_parent(false);
	if (strcmp(what, "deaf") == 0) {
		signal(SIGTERM, SIG_IGN);
		printf("ready\n");
		fflush(stdout);
		for (;;)
			pause();
	}
	if (strcmp(what, "environment") == 0) {
		char **at;

		for (at = environ; *at != NULL; at++)
			printf("%s\n", *at);
		printf("tty %s\n", open("/dev/tty", O_RDWR) == -1 ? "no" :
		    "yes");
		printf("fd 20 %s\n", fcntl(20, F_GETFD) == -1 ? "closed" :
		    "open");
		printf("pipe %s\n", signal(SIGPIPE, SIG_DFL) == SIG_DFL ?
		    "default" : "ignored");
		return 0;
	}
	if (strcmp(what, "abort") == 0) {
		signal(SIGABRT, SIG_DFL);
		abort();
	}
	return 2;
}

/* --- Small things --------------------------------------------------------- */

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* True when pid is gone (or a zombie of somebody else) within 5 s. */
static bool
is_gone(pid_t pid)
{
	int64_t until = now_ms() + 5000;
	struct timespec tick = { 0, 2000000 };
	char path[64], line[512], *after;
	size_t n;
	FILE *f;

	do {
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
		f = fopen(path, "r");
		if (f == NULL)
			return true;
		n = fread(line, 1, sizeof(line) - 1, f);
		line[n] = '\0';
		fclose(f);
		after = strrchr(line, ')');
		if (after != NULL && after[1] == ' ' && after[2] == 'Z')
			return true;
		nanosleep(&tick, NULL);
	} while (now_ms() < until);
	return false;
}

/* --- child_run ------------------------------------------------------------ */

static void
test_run(void)
{
	const char *argv[] = { self, "cat", NULL };
	char output[8192], errmsg[ERRMSG_MAX], *big;
	int64_t begin;
	int pid;

	is_int(child_run(argv, environment, "a secret\n", 5000, output,
	    sizeof(output), errmsg), 0, "cat ends with 0");
	is_text(output, "a secret\n", "its output is its input");
	is_text(errmsg, "", "no message");
	is_int(child_run(argv, environment, NULL, 5000, output,
	    sizeof(output), errmsg), 0, "no input is an empty input");
	is_text(output, "", "nothing comes out");

	big = malloc(300001);
	memset(big, 'y', 300000);
	big[300000] = '\0';
	is_int(child_run(argv, environment, big, 5000, output, 100, errmsg),
	    0, "input and output beyond any pipe");
	is_int(strlen(output), 99, "output is cut to the buffer");
	free(big);

	argv[1] = "lines";
	is_int(child_run(argv, environment, NULL, 5000, output,
	    sizeof(output), errmsg), 3, "exit status 3");
	ok(strstr(errmsg, "ended with exit status 3: ") != NULL,
	    "the message says so: %s", errmsg);
	ok(strstr(output, "a word of warning") != NULL &&
	    strstr(output, "first") != NULL, "both streams are there");

	argv[1] = "abort";
	is_int(child_run(argv, environment, NULL, 5000, NULL, 0, errmsg), -1,
	    "a signal is -1");
	ok(strstr(errmsg, "signal 6") != NULL, "and named: %s", errmsg);

	argv[1] = "environment";
	dup2(1, 20);
	signal(SIGPIPE, SIG_IGN);
	is_int(child_run(argv, environment, NULL, 5000, output,
	    sizeof(output), errmsg), 0, "environment printed");
	is_text(output, "ONE=1\ntty no\nfd 20 closed\npipe default\n",
	    "the given environment alone, no terminal, no descriptor, "
	    "signals at their default");
	close(20);

	argv[1] = "deaf";
	begin = now_ms();
	is_int(child_run(argv, environment, NULL, 200, output,
	    sizeof(output), errmsg), -1, "the deadline is -1");
	ok(strstr(errmsg, "did not end within 200 ms: ready") != NULL,
	    "and named: %s", errmsg);
	ok(now_ms() - begin >= 200 + CHILD_GRACE_MS, "SIGTERM came first");

	argv[1] = "parent-ends";
	is_int(child_run(argv, environment, NULL, 5000, output,
	    sizeof(output), errmsg), 0, "a program that leaves one behind");
	pid = atoi(output);
	ok(pid > 1 && is_gone(pid), "what it left behind is killed");

	argv[1] = "parent-stays";
	is_int(child_run(argv, environment, NULL, 100, output,
	    sizeof(output), errmsg), -1, "the group has the deadline");
	pid = atoi(output);
	ok(pid > 1 && is_gone(pid), "the grandchild is gone");

	argv[0] = "/nonexistent/program";
	is_int(child_run(argv, environment, NULL, 100, NULL, 0, errmsg), -1,
	    "a program that is not there");
	is_text(errmsg, "could not run \"/nonexistent/program\": "
	    "No such file or directory", "is named");
	argv[0] = "cat";
	is_int(child_run(argv, environment, NULL, 100, NULL, 0, errmsg), -1,
	    "no search along PATH");
	ok(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD,
	    "nothing is left to reap");
}

/* --- child_start ---------------------------------------------------------- */

struct watch {
	char text[8192];
	char errors[1024];
	unsigned line_count, done_count;
	struct child_result result;
	struct child *child;
	bool free_on_line, stop_on_line;
	const char *answer;	/* written after the first line */
};

static void
on_line(void *arg, const char *line, bool is_error)
{
	struct watch *watch = arg;
	char *text = is_error ? watch->errors : watch->text;
	size_t size = is_error ? sizeof(watch->errors) : sizeof(watch->text);
	size_t len = strlen(text);

	watch->line_count++;
	snprintf(text + len, size - len, "%s|", line);
	if (watch->stop_on_line)
		child_stop(watch->child);
	if (watch->free_on_line) {
		child_free(watch->child);
		watch->child = NULL;
	}
	if (watch->answer != NULL) {
		child_write(watch->child, watch->answer);
		child_close_input(watch->child);
		watch->answer = NULL;
	}
}

static void
on_done(void *arg, const struct child_result *result)
{
	struct watch *watch = arg;

	watch->done_count++;
	watch->result = *result;
	child_free(watch->child);
	watch->child = NULL;
}

/* Starts what in a loop of its own and runs the loop to its end. */
static void
watch_run(struct watch *watch, const char *what, struct child_spec *spec,
    const char *first)
{
	const char *argv[] = { self, what, NULL };
	char errmsg[ERRMSG_MAX];
	uv_loop_t loop;

	uv_loop_init(&loop);
	spec->argv = argv;
	spec->env = environment;
	spec->line = on_line;
	spec->done = on_done;
	spec->arg = watch;
	watch->child = child_start(&loop, spec, errmsg);
	ok(watch->child != NULL, "%s starts", what);
	if (first != NULL)
		child_write(watch->child, first);
	alarm(30);
	uv_run(&loop, UV_RUN_DEFAULT);
	alarm(0);
	is_int(uv_loop_close(&loop), 0, "nothing is left in the loop");
}

static void
test_start(void)
{
	struct child_spec spec;
	struct watch watch;
	int64_t begin;

	memset(&watch, 0, sizeof(watch));
	memset(&spec, 0, sizeof(spec));
	spec.timeout_ms = 5000;
	watch_run(&watch, "lines", &spec, NULL);
	is_text(watch.text, "first|second||progress 1|progress 2|"
	    "last without end|", "lines end at newline and carriage return");
	is_text(watch.errors, "a word of warning|", "stderr is told apart");
	is_int(watch.done_count, 1, "done is called once");
	is_int(watch.result.exit_status, 3, "with the exit status");
	ok(!watch.result.ok && strstr(watch.result.error,
	    "exit status 3: a word of warning") != NULL,
	    "the sentence has the last line of stderr: %s",
	    watch.result.error);

	memset(&watch, 0, sizeof(watch));
	memset(&spec, 0, sizeof(spec));
	spec.stdin_text = "from memory\n";
	watch_run(&watch, "cat", &spec, NULL);
	is_text(watch.text, "from memory|", "input from memory");
	ok(watch.result.ok, "ended well");

	memset(&watch, 0, sizeof(watch));
	memset(&spec, 0, sizeof(spec));
	spec.interactive = true;
	watch.answer = "answer\n";
	watch_run(&watch, "cat", &spec, "question\n");
	is_text(watch.text, "question|answer|", "a dialogue, then its end");

	memset(&watch, 0, sizeof(watch));
	memset(&spec, 0, sizeof(spec));
	spec.output_max = 1000;
	watch_run(&watch, "flood", &spec, NULL);
	is_int(watch.line_count, 10, "output beyond the bound is dropped");
	ok(watch.result.ok && watch.result.output_cut,
	    "the program still ended by itself, and the cut is told");

	memset(&watch, 0, sizeof(watch));
	memset(&spec, 0, sizeof(spec));
	spec.timeout_ms = 100;
	begin = now_ms();
	watch_run(&watch, "deaf", &spec, NULL);
	ok(watch.result.timed_out && watch.result.signal == SIGKILL,
	    "deadline, SIGTERM ignored, SIGKILL: %s", watch.result.error);
	ok(now_ms() - begin >= 100 + CHILD_GRACE_MS, "after the grace");

	memset(&watch, 0, sizeof(watch));
	memset(&spec, 0, sizeof(spec));
	watch.stop_on_line = true;
	watch_run(&watch, "parent-stays", &spec, NULL);
	ok(!watch.result.timed_out && watch.result.signal == SIGTERM,
	    "stopped by hand");
	ok(is_gone(atoi(watch.text)), "with its grandchild");

	memset(&watch, 0, sizeof(watch));
	memset(&spec, 0, sizeof(spec));
	watch_run(&watch, "parent-ends", &spec, NULL);
	ok(watch.result.ok, "a grandchild with the output does not hold us up");
	ok(is_gone(atoi(watch.text)), "and is killed");

	memset(&watch, 0, sizeof(watch));
	memset(&spec, 0, sizeof(spec));
	watch.free_on_line = true;
	watch_run(&watch, "deaf", &spec, NULL);
	is_int(watch.done_count, 0, "a freed child calls nobody");
	ok(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD,
	    "but is killed and reaped");
}

static void
test_start_errors(void)
{
	const char *argv[] = { "/nonexistent/program", NULL };
	struct child_spec spec;
	char errmsg[ERRMSG_MAX];
	uv_loop_t loop;

	memset(&spec, 0, sizeof(spec));
	spec.argv = argv;
	spec.env = environment;
	spec.done = on_done;
	uv_loop_init(&loop);
	ok(child_start(&loop, &spec, errmsg) == NULL,
	    "a program that is not there");
	is_text(errmsg, "could not run \"/nonexistent/program\": "
	    "no such file or directory", "is named");
	argv[0] = "cat";
	ok(child_start(&loop, &spec, errmsg) == NULL, "no search along PATH");
	uv_run(&loop, UV_RUN_DEFAULT);
	is_int(uv_loop_close(&loop), 0, "nothing is left in the loop");
	child_free(NULL);
}

int
main(int argc, char **argv)
{
	ssize_t n;

	if (argc > 1)
		return be(argv[1]);
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0) {
		printf("Bail out! cannot find myself\n");
		return 1;
	}
	self[n] = '\0';
	test_run();
	test_start();
	test_start_errors();
	return done_testing();
}
