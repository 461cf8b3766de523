/*
 * guard_page_test.c - the shared page, the guard's table, /proc lines.
 */
#include "guard.h"

#include <sys/mman.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guardrules.h"
#include "procfs.h"
#include "tap.h"

static struct guard_page *
new_page(void)
{
	void *page;

	page = mmap(NULL, sizeof(struct guard_page), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		abort();
	return page;
}

static void
test_halves(void)
{
	struct guard_page *page = new_page();
	struct guard_page_agent agent = { .armed = 1, .margin_ms = 300,
	    .epoch = 7, .deadline_ns = 1234567890123 };
	struct guard_page_agent agent_back;
	struct guard_page_guard guard = { .state = GUARD_RUNNING,
	    .postmaster_pid = 4711, .exit_status = -1, .seen_epoch = 7 };
	struct guard_page_guard guard_back;

	memset(&agent_back, 0xff, sizeof(agent_back));
	ok(guard_page_read_agent(page, &agent_back) && !agent_back.armed,
	    "a fresh page is readable and not armed");
	guard_page_write_agent(page, &agent);
	ok(guard_page_read_agent(page, &agent_back) &&
	    memcmp(&agent, &agent_back, sizeof(agent)) == 0,
	    "the agent's half comes back as written");
	guard_page_write_guard(page, &guard);
	ok(guard_page_read_guard(page, &guard_back) &&
	    memcmp(&guard, &guard_back, sizeof(guard)) == 0,
	    "the guard's half comes back as written");
	ok(guard_page_read_agent(page, &agent_back) && agent_back.epoch == 7,
	    "and has not touched the agent's");
	is_int(sizeof(struct guard_page_agent), 24, "size of the agent's half");
	is_int(sizeof(struct guard_page_guard), 80, "size of the guard's half");
	is_int(offsetof(struct guard_page, guard_pid), 4,
	    "guard_pid stays where it is");
	munmap(page, sizeof(*page));
}

/* A writer that ends anywhere in a write leaves the last whole value. */
static void
test_writer_dies(void)
{
	struct guard_page *page = new_page();
	struct guard_page_agent half = { .armed = 1, .epoch = 5,
	    .deadline_ns = 5 };
	struct guard_page_agent back;
	bool good = true;
	size_t bytes;

	guard_page_write_agent(page, &half);
	for (bytes = 0; bytes <= sizeof(half); bytes++) {
		memset(&page->agent.copy[(page->agent.sequence + 1) % 2], 0xee,
		    bytes);
		memset(&back, 0, sizeof(back));
		good = good && guard_page_read_agent(page, &back) &&
		    memcmp(&back, &half, sizeof(half)) == 0;
	}
	ok(good, "a write broken off after any byte does not show");
	half.epoch = half.armed = 6;
	half.deadline_ns = 6;
	guard_page_write_agent(page, &half);
	ok(guard_page_read_agent(page, &back) && back.epoch == 6 &&
	    back.deadline_ns == 6, "the next writer needs no repair");
	munmap(page, sizeof(*page));
}

static void
test_writer_races(void)
{
	struct guard_page *page = new_page();
	struct guard_page_agent half, back;
	unsigned long torn = 0, whole = 0, backwards = 0;
	uint64_t last = 0;
	pid_t pid;
	int status;

	memset(&half, 0, sizeof(half));
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		for (half.epoch = 1; half.epoch <= 3000000; half.epoch++) {
			half.armed = (uint32_t)half.epoch;
			half.margin_ms = (uint32_t)half.epoch;
			half.deadline_ns = (int64_t)half.epoch;
			guard_page_write_agent(page, &half);
		}
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (!guard_page_read_agent(page, &back))
			continue;
		whole++;
		if (back.armed != back.epoch || back.margin_ms != back.epoch ||
		    back.deadline_ns != (int64_t)back.epoch)
			torn++;
		if (back.epoch < last)
			backwards++;
		last = back.epoch;
	}
	printf("# %lu reads during 3000000 writes\n", whole);
	is_int(torn, 0, "no read is torn");
	is_int(backwards, 0, "no read goes back");
	ok(guard_page_read_agent(page, &back) && back.epoch == 3000000,
	    "the last value is what stays");
	munmap(page, sizeof(*page));
}

static void
test_kill_time(void)
{
	struct guard_page_agent half = { .armed = 1, .margin_ms = 300,
	    .deadline_ns = 1000000000 };

	is_int(guard_kill_time_ns(&half), 700000000, "deadline minus margin");
	half.margin_ms = UINT32_MAX;
	is_int(guard_kill_time_ns(&half), 0, "a margin above the deadline");
	half.deadline_ns = INT64_MIN;
	is_int(guard_kill_time_ns(&half), 0, "a deadline before the boot");
	half.deadline_ns = 0;
	half.margin_ms = 0;
	is_int(guard_kill_time_ns(&half), 0, "armed without a deadline: now");
	half.armed = 0;
	ok(guard_kill_time_ns(&half) == INT64_MAX, "not armed: never");
}

static void
test_names(void)
{
	is_text(guard_state_name(GUARD_GONE), "gone", "name of a state");
	is_text(guard_reason_name(GUARD_REASON_DEADLINE), "deadline",
	    "name of a reason");
	is_text(guard_state_name(99), "unknown", "name of no state");
	is_text(guard_reason_name(99), "unknown", "name of no reason");
}

/* What holds for every row, whoever adds one. */
static void
test_rules(void)
{
	const struct guard_rule *rule;
	unsigned state, event;
	bool forward = true, final = true, reasons = true, complete = true;

	for (state = GUARD_STARTING; state <= GUARD_GONE; state++) {
		for (event = GUARD_EV_EXECUTED; event <= GUARD_EV_NONE_LEFT;
		    event++) {
			rule = guard_rule_find(state, event);
			if (rule == NULL) {
				/* Kill, stop and deadline always have one. */
				if (state < GUARD_KILLING &&
				    event >= GUARD_EV_STOP &&
				    event <= GUARD_EV_EXITED)
					complete = false;
				continue;
			}
			forward = forward && rule->next >= rule->state;
			if (state == GUARD_KILLING)
				final = final &&
				    rule->reason == GUARD_REASON_NONE &&
				    (rule->next == GUARD_KILLING ||
				    event == GUARD_EV_NONE_LEFT);
			if (state < GUARD_KILLING &&
			    rule->next == GUARD_KILLING)
				reasons = reasons &&
				    rule->reason != GUARD_REASON_NONE;
		}
	}
	ok(forward, "no rule leads back");
	ok(final, "a kill that was decided ends in \"gone\" and keeps its "
	    "reason");
	ok(reasons, "every decision to kill has a reason");
	ok(complete, "no way to a dead PostgreSQL is missing before the kill");
	for (state = GUARD_STARTING; state < GUARD_KILLING; state++) {
		rule = guard_rule_find(state, GUARD_EV_DEADLINE);
		ok(rule != NULL && rule->action == GUARD_DO_FENCE &&
		    rule->reason == GUARD_REASON_DEADLINE,
		    "the deadline fences in state %s", guard_state_name(state));
		ok(guard_rule_find(state, GUARD_EV_NONE_LEFT) == NULL,
		    "\"none left\" cannot be said in state %s",
		    guard_state_name(state));
	}
}

static void
test_procfs_parse(void)
{
	static const char plain[] = "42 (postgres) S 1 42 42 0 -1 4194304 "
	    "1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2";
	static const char odd[] = "43 (a) S 9 (b)) Z 42 42 42 0 -1 4194304 "
	    "1 2 3 4 5 6 7 8 20 0 1 0 18446744073709551615 1 2";
	struct procfs_entry entry;

	memset(&entry, 0, sizeof(entry));
	ok(procfs_parse(plain, &entry) == 0 && entry.pid == 42 &&
	    entry.ppid == 1 && entry.state == 'S' && entry.start == 987654,
	    "a line of /proc/PID/stat");
	ok(procfs_parse(odd, &entry) == 0 && entry.pid == 43 &&
	    entry.ppid == 42 && entry.state == 'Z' &&
	    entry.start == UINT64_MAX, "a name with blanks and parentheses");
	is_int(procfs_parse("43 (x) S 1 2", &entry), -1, "a line cut short");
	is_int(procfs_parse("", &entry), -1, "an empty line");
	is_int(procfs_parse("x (y) S", &entry), -1, "no pid");
}

static int children_found;
static pid_t child_wanted;

static void
count_child(pid_t pid, const void *arg)
{
	(void)arg;
	if (pid == child_wanted)
		children_found++;
}

static void
test_procfs_live(void)
{
	struct procfs_entry entry, other;
	struct procfs_walk walk;
	char cwd[4096], link[4096];
	bool seen = false;
	int status, fd;
	pid_t pid, at;

	fflush(stdout);
	pid = fork();
	if (pid == 0)
		for (;;)
			pause();
	ok(procfs_read(pid, &entry) == 0 && entry.pid == pid &&
	    entry.ppid == getpid() && entry.start > 0, "reads a child");
	ok(getcwd(cwd, sizeof(cwd)) != NULL &&
	    procfs_link(pid, "cwd", link, sizeof(link)) == 0 &&
	    strcmp(cwd, link) == 0, "and its working directory");
	is_int(procfs_link(pid, "cwd", link, 2), -1,
	    "which must fit to be returned");
	child_wanted = pid;
	fd = procfs_children_open(getpid());
	ok(fd != -1 && procfs_children(fd, getpid(), count_child, NULL) >= 1 &&
	    children_found == 1, "finds it among our children");
	close(fd);
	ok(procfs_children(-1, getpid(), count_child, NULL) >= 1 &&
	    children_found == 2, "also where the kernel does not list them");
	if (procfs_walk_open(&walk) == 0) {
		while ((at = procfs_walk_next(&walk)) > 0)
			seen = seen || at == pid;
		procfs_walk_close(&walk);
	}
	ok(seen, "and among all processes");
	other = entry;
	other.start++;
	ok(procfs_signal(&other, SIGKILL) == -1 && errno == ESRCH,
	    "the same pid with another start time is nobody");
	ok(procfs_signal_child(pid, getpid() + 1, SIGKILL) == -1 &&
	    errno == ESRCH, "so is the child of somebody else");
	ok(waitpid(pid, &status, WNOHANG) == 0, "it has not been signalled");
	is_int(procfs_signal(&entry, SIGKILL), 0, "the process itself is");
	ok(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
	    WTERMSIG(status) == SIGKILL, "and dies of it");
	ok(procfs_signal(&entry, 0) == -1 && errno == ESRCH,
	    "afterwards there is nobody");
	entry.pid = 0;
	ok(procfs_signal(&entry, 0) == -1, "never a process group");
	entry.pid = 1;
	ok(procfs_signal(&entry, 0) == -1, "never process 1");
}

int
main(void)
{
	test_halves();
	test_writer_dies();
	test_writer_races();
	test_kill_time();
	test_names();
	test_rules();
	test_procfs_parse();
	test_procfs_live();
	return done_testing();
}
