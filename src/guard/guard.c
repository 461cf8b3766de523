/*
 * guard.c - the loop of failover-guard.
 *
 * Decides when the processes of the cluster are killed and when it may be
 * said that none is left.  It must never allocate, never wait for the disk,
 * an agent or PostgreSQL, never go back on a kill once it has been decided,
 * and never exit while a process of the cluster is left.
 */
#include "guardrun.h"

#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "guardrules.h"
#include "procfs.h"

#define MS		1000000LL
/* The page is looked at this often even if nobody pokes. */
#define LOOK_MS		500
/* After the postmaster ended in order: for the logger's last lines. */
#define GRACE_MS	100
/* After the end: for an agent that wants to know how it ended. */
#define LINGER_MS	2000

int64_t
guard_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/*
 * Once the guard is done, and not before: the log may be on the disk that
 * hangs.
 */
static void
log_end(const struct guard *guard)
{
	char stamp[32], line[512];
	struct timespec now;
	struct tm tm;
	ssize_t n;
	int len;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &tm);
	len = snprintf(line, sizeof(line), "%s.%03ld UTC [%d] LOG:  "
	    "failover-guard: %s (epoch %llu); %u processes reaped within "
	    "%u ms, none is left\n", stamp, now.tv_nsec / 1000000L, (int)getpid(),
	    guard->why, (unsigned long long)guard->agent.epoch,
	    guard->half.reaped, guard->half.kill_ms);
	n = write(guard->log_fd, line, (size_t)len);
	(void)n;
}

static void
publish(struct guard *guard)
{
	guard_page_write_guard(guard->page, &guard->half);
	guard_agents_tell(guard);
}

static void
kill_round(struct guard *guard)
{
	int64_t pause_ms = 2;

	guard_kill_round(guard);
	/* What is left then hangs in the kernel; it dies when it wakes. */
	if (++guard->rounds > 200)
		pause_ms = 200;
	else if (guard->rounds > 100)
		pause_ms = 20;
	guard->kill_again_ns = guard_now_ns() + pause_ms * MS;
}

/*
 * The postmaster is dead.  If it ended in order its backends ended before it
 * and only a logger may still be writing; if it was killed they may be
 * committing at this moment.
 */
static void
clear_the_rest(struct guard *guard, int64_t now)
{
	guard->kill_again_ns = now;
	if (WIFEXITED(guard->half.exit_status))
		guard->kill_again_ns += GRACE_MS * MS;
	if (guard->kill_again_ns > guard_kill_time_ns(&guard->agent))
		guard->kill_again_ns = now;
}

/* Others may start a guard here from the moment that "gone" can be read. */
static void
end(struct guard *guard, int64_t now)
{
	guard->half.kill_ms = (uint32_t)((now - guard->kill_began_ns) / MS);
	cgroup_free(&guard->cgroup);
	if (guard_agents_attached(guard, false) || !guard->started) {
		guard_release(guard);
		guard->linger_until_ns = now;
	} else {
		close(guard->lock_fd);
		guard->lock_fd = -1;
		guard->linger_until_ns = now + LINGER_MS * MS;
	}
}

/* The one place where the state changes. */
static void
step(struct guard *guard, enum guard_event event)
{
	const struct guard_rule *rule;
	int64_t now = guard_now_ns();

	rule = guard_rule_find(guard->half.state, event);
	/* Not listed: never seen.  To abort would take PostgreSQL along. */
	if (rule == NULL || rule->action == GUARD_DO_NOTHING)
		return;
	if (rule->next == GUARD_KILLING && guard->kill_began_ns == 0) {
		guard->kill_began_ns = now;
		guard->why = rule->why;
	}
	if (rule->action == GUARD_DO_FENCE)
		guard->half.fenced_ns = now;
	guard->half.state = rule->next;
	if (rule->reason != GUARD_REASON_NONE)
		guard->half.reason = rule->reason;
	switch (rule->action) {
	case GUARD_DO_INTERRUPT:
		kill(guard->postmaster, SIGINT);
		break;
	case GUARD_DO_KILL:
	case GUARD_DO_FENCE:
		kill_round(guard);
		break;
	case GUARD_DO_CLEAR:
		clear_the_rest(guard, now);
		break;
	case GUARD_DO_END:
		end(guard, now);
		break;
	case GUARD_DO_NOTHING:
	case GUARD_DO_ANNOUNCE:
		break;
	}
	publish(guard);
}

/* Reads the agent's half, enforces it, sets the timer by it. */
static void
look_at_page(struct guard *guard)
{
	struct guard_page_guard *half = &guard->half;
	struct itimerspec timer;
	int64_t kill_time;

	/* Unreadable only if somebody writes without end: the old one holds. */
	guard_page_read_agent(guard->page, &guard->agent);
	if (half->seen_armed != guard->agent.armed ||
	    half->seen_epoch != guard->agent.epoch ||
	    half->seen_deadline_ns != guard->agent.deadline_ns) {
		half->seen_armed = guard->agent.armed;
		half->seen_epoch = guard->agent.epoch;
		half->seen_deadline_ns = guard->agent.deadline_ns;
		guard_page_write_guard(guard->page, half);
	}
	if (half->state >= GUARD_KILLING)
		return;
	kill_time = guard_kill_time_ns(&guard->agent);
	if (kill_time <= guard_now_ns()) {
		step(guard, GUARD_EV_DEADLINE);
		return;
	}
	memset(&timer, 0, sizeof(timer));
	if (kill_time != INT64_MAX) {
		timer.it_value.tv_sec = (time_t)(kill_time / 1000000000);
		timer.it_value.tv_nsec = (long)(kill_time % 1000000000);
	}
	timerfd_settime(guard->timer_fd, TFD_TIMER_ABSTIME, &timer, NULL);
}

static bool
event_is_loss(const struct inotify_event *event)
{
	/* What can no longer be watched counts as lost. */
	if (event->mask & (IN_Q_OVERFLOW | IN_IGNORED | IN_UNMOUNT |
	    IN_DELETE_SELF))
		return true;
	return event->len > 0 && strcmp(event->name, "standby.signal") == 0;
}

/*
 * PostgreSQL removes standby.signal as the last step before it is read-write;
 * so does a DBA's pg_ctl promote.  A lease makes the difference.
 */
static void
look_at_directory(struct guard *guard)
{
	static char buf[4096] __attribute__((aligned(8)));
	const struct inotify_event *event;
	bool lost = false;
	ssize_t n, at;

	while ((n = read(guard->inotify_fd, buf, sizeof(buf))) > 0) {
		for (at = 0; at < n; at += (ssize_t)sizeof(*event) +
		    (ssize_t)event->len) {
			event = (const void *)(buf + at);
			lost = lost || event_is_loss(event);
		}
	}
	if (!lost)
		return;
	close(guard->inotify_fd);
	guard->inotify_fd = -1;
	look_at_page(guard);
	if (guard->half.state < GUARD_KILLING && !guard->agent.armed)
		step(guard, GUARD_EV_SIGNAL_GONE);
}

static void
look_at_signals(struct guard *guard)
{
	struct signalfd_siginfo info;

	while (read(guard->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo != SIGCHLD)
			step(guard, GUARD_EV_STOP);
	}
}

/* Tells the process that started us; it has printed and gone afterwards. */
static bool
report_start(struct guard *guard, const char *text)
{
	bool told;

	told = write(guard->ready_fd, text, strlen(text) + 1) > 0;
	close(guard->ready_fd);
	guard->ready_fd = -1;
	return told;
}

static void
look_at_exec(struct guard *guard)
{
	char text[ERRMSG_MAX];
	int error = 0;
	ssize_t n;

	n = read(guard->exec_fd, &error, sizeof(error));
	if (n == -1 && (errno == EINTR || errno == EAGAIN))
		return;
	close(guard->exec_fd);
	guard->exec_fd = -1;
	if (n == sizeof(error)) {
		snprintf(text, sizeof(text), "could not execute program "
		    "\"%s\": %s", guard->arguments->postgres_argv[0],
		    strerror(error));
		report_start(guard, text);
		return;
	}
	if (procfs_link(guard->postmaster, "exe", guard->page->program,
	    sizeof(guard->page->program)) == -1)
		guard->page->program[0] = '\0';
	if (guard->cgroup.path[0] != '\0' &&
	    !cgroup_populated(&guard->cgroup)) {
		cgroup_free(&guard->cgroup);
		guard->page->cgroup[0] = '\0';
		guard->half.features &= ~GUARD_HAS_CGROUP;
	}
	guard->started = report_start(guard, "");
	step(guard, GUARD_EV_EXECUTED);
	/* Whoever started us has given up: it believes that nothing runs. */
	if (!guard->started)
		step(guard, GUARD_EV_KILL);
}

/* Reaps all that can be reaped; whether any child is left. */
static bool
reap(struct guard *guard)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (guard->half.state >= GUARD_KILLING ||
		    pid == guard->postmaster)
			guard->half.reaped++;
		if (pid != guard->postmaster)
			continue;
		/* Dead before the end of exec was noticed: that comes first. */
		if (guard->exec_fd != -1)
			look_at_exec(guard);
		guard->postmaster = 0;
		guard->half.postmaster_pid = 0;
		guard->half.exit_status = status;
		guard->half.died_ns = guard_now_ns();
		step(guard, GUARD_EV_EXITED);
	}
	return pid == 0;
}

static void
look_at_agents(struct guard *guard, const struct pollfd *fds)
{
	struct guard_peer *peer;
	int i;

	for (i = 0; i < GUARD_AGENTS_MAX; i++) {
		peer = &guard->peers[i];
		if (peer->fd == -1 || peer->fd != fds[i].fd)
			continue;
		if (fds[i].revents & POLLOUT)
			guard_agent_tell(guard, peer);
		if (peer->fd == -1 ||
		    !(fds[i].revents & (POLLIN | POLLHUP | POLLERR)))
			continue;
		switch (guard_agent_read(guard, peer)) {
		case GUARD_STOP:
			step(guard, GUARD_EV_STOP);
			break;
		case GUARD_KILL:
			step(guard, GUARD_EV_KILL);
			break;
		case GUARD_POKE:
			look_at_page(guard);
			guard_agent_tell(guard, peer);
			break;
		}
	}
	guard_agents_accept(guard);
}

enum { WAIT_SIGNAL, WAIT_TIMER, WAIT_INOTIFY, WAIT_EXEC, WAIT_LISTEN,
    WAIT_AGENTS, WAITS = WAIT_AGENTS + GUARD_AGENTS_MAX };

static void
wait_for_something(struct guard *guard, struct pollfd *fds)
{
	int64_t until = INT64_MAX, now = guard_now_ns(), ms = LOOK_MS;
	int i;

	memset(fds, 0, WAITS * sizeof(*fds));
	for (i = 0; i < WAITS; i++)
		fds[i].events = POLLIN;
	fds[WAIT_SIGNAL].fd = guard->signal_fd;
	fds[WAIT_TIMER].fd = guard->timer_fd;
	fds[WAIT_INOTIFY].fd = guard->inotify_fd;
	fds[WAIT_EXEC].fd = guard->exec_fd;
	fds[WAIT_LISTEN].fd = now < guard->accept_again_ns ? -1 :
	    guard->listen_fd;
	for (i = 0; i < GUARD_AGENTS_MAX; i++) {
		fds[WAIT_AGENTS + i].fd = guard->peers[i].fd;
		if (guard->peers[i].behind)
			fds[WAIT_AGENTS + i].events |= POLLOUT;
	}
	if (guard->half.state == GUARD_KILLING)
		until = guard->kill_again_ns;
	else if (guard->half.state == GUARD_GONE)
		until = guard->linger_until_ns;
	if (until != INT64_MAX && until - now < ms * MS)
		ms = until <= now ? 0 : (until - now) / MS + 1;
	if (poll(fds, WAITS, (int)ms) == -1)
		for (i = 0; i < WAITS; i++)
			fds[i].revents = 0;
}

/*
 * The last message must be readable: two seconds for an agent that has not
 * attached yet, one for agents whose queues are full.
 */
static void
say_goodbye(struct guard *guard)
{
	struct pollfd fds[WAITS];

	/* What nobody reads any more must not wake the loop for ever. */
	guard->inotify_fd = guard->timer_fd = -1;
	while (guard_now_ns() < guard->linger_until_ns &&
	    !guard_agents_attached(guard, false)) {
		wait_for_something(guard, fds);
		look_at_signals(guard);
		look_at_agents(guard, fds + WAIT_AGENTS);
	}
	guard->linger_until_ns = guard_now_ns() + LINGER_MS / 2 * MS;
	while (guard_now_ns() < guard->linger_until_ns &&
	    guard_agents_attached(guard, true)) {
		wait_for_something(guard, fds);
		look_at_signals(guard);
		look_at_agents(guard, fds + WAIT_AGENTS);
	}
}

void
guard_run(struct guard *guard)
{
	struct pollfd fds[WAITS];
	uint64_t expired;
	bool children;
	ssize_t n;

	look_at_page(guard);
	while (guard->half.state != GUARD_GONE) {
		wait_for_something(guard, fds);
		if (fds[WAIT_TIMER].revents) {
			n = read(guard->timer_fd, &expired, sizeof(expired));
			(void)n;
		}
		look_at_page(guard);
		if (fds[WAIT_EXEC].revents)
			look_at_exec(guard);
		look_at_signals(guard);
		children = reap(guard);
		if (guard->inotify_fd != -1 && fds[WAIT_INOTIFY].revents)
			look_at_directory(guard);
		look_at_agents(guard, fds + WAIT_AGENTS);
		if (guard->half.state != GUARD_KILLING)
			continue;
		if (!children && guard->postmaster == 0 &&
		    !cgroup_populated(&guard->cgroup))
			step(guard, GUARD_EV_NONE_LEFT);
		else if (guard_now_ns() >= guard->kill_again_ns)
			kill_round(guard);
	}
	say_goodbye(guard);
	guard_release(guard);
	log_end(guard);
}
