/*
 * guard_client.c - a small agent for 015_guard.t, driven by lines.
 *
 * Lines read: attach, stop, kill, poke, arm MS MARGIN_MS EPOCH, deadline MS
 * (from now, no poke), disarm, page, detach, ended, kill_all MS, quit, and
 * start ARMED MS MARGIN_MS EPOCH WATCH PROGRAM LOG DATADIR POSTGRES ARG...
 *
 * Each is answered by one line; a status from the guard is printed when it
 * comes, and "closed" when the connection ends.
 */
#include "guardlink.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct guard_link guard = { .fd = -1, .pidfd = -1 };
static const char *socket_path;

static int64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void
print_status(const char *word, const struct guard_page_guard *status)
{
	printf("%s state=%s reason=%s pid=%d exit=%d kill_ms=%u reaped=%u "
	    "features=%u armed=%u epoch=%llu fenced=%d died_us_ago=%lld\n",
	    word, guard_state_name(status->state),
	    guard_reason_name(status->reason), status->postmaster_pid,
	    status->exit_status, status->kill_ms, status->reaped,
	    status->features, status->seen_armed,
	    (unsigned long long)status->seen_epoch, status->fenced_ns != 0,
	    status->died_ns == 0 ? -1LL :
	    (long long)(now_ns() - status->died_ns) / 1000);
}

static void
do_attach(void)
{
	char errmsg[ERRMSG_MAX];

	guard_detach(&guard);
	if (guard_attach(socket_path, &guard, errmsg) == -1) {
		printf("error errno=%s %s\n", strerrorname_np(errno), errmsg);
		return;
	}
	printf("attached guard=%d ", guard.guard_pid);
	print_status("now", &guard.status);
}

static void
do_send(enum guard_message_type type)
{
	char errmsg[ERRMSG_MAX];

	if (guard.fd == -1)
		printf("error not attached\n");
	else if (guard_send(&guard, type, errmsg) == -1)
		printf("error %s\n", errmsg);
	else
		printf("sent\n");
}

static void
do_page(void)
{
	struct guard_page_agent agent;
	struct guard_page_guard half;

	if (guard.page == NULL) {
		printf("error not attached\n");
		return;
	}
	memset(&agent, 0, sizeof(agent));
	memset(&half, 0, sizeof(half));
	guard_page_read_agent(guard.page, &agent);
	guard_page_read_guard(guard.page, &half);
	printf("page version=%u guard=%d mine_epoch=%llu mine_armed=%u "
	    "mine_margin=%u program=%s cgroup=%s data=%s ",
	    guard.page->version, guard.page->guard_pid,
	    (unsigned long long)agent.epoch, agent.armed, agent.margin_ms,
	    guard.page->program, guard.page->cgroup, guard.page->data_dir);
	print_status("guard", &half);
}

static void
do_write(bool armed, const char *ms, const char *margin, const char *epoch)
{
	struct guard_page_agent half;

	if (guard.page == NULL) {
		printf("error not attached\n");
		return;
	}
	memset(&half, 0, sizeof(half));
	guard_page_read_agent(guard.page, &half);
	half.armed = armed;
	if (ms != NULL)
		half.deadline_ns = now_ns() + atoll(ms) * 1000000;
	if (margin != NULL)
		half.margin_ms = (uint32_t)atoi(margin);
	if (epoch != NULL)
		half.epoch = (uint64_t)atoll(epoch);
	guard_page_write_agent(guard.page, &half);
	printf("written\n");
}

static void
do_kill_all(const char *ms)
{
	char errmsg[ERRMSG_MAX];
	int64_t began = now_ns();

	if (guard.page == NULL)
		printf("error not attached\n");
	else if (guard_kill_all(&guard, atoi(ms), errmsg) == -1)
		printf("error %s\n", errmsg);
	else
		printf("killed us=%lld\n", (long long)(now_ns() - began) / 1000);
}

/* start ARMED MS MARGIN_MS EPOCH WATCH PROGRAM LOG DATADIR POSTGRES ARG... */
static void
do_start(char **words)
{
	struct guard_options options;
	const char *argv[32];
	char errmsg[ERRMSG_MAX];
	int n;

	memset(&options, 0, sizeof(options));
	options.agent.armed = (uint32_t)atoi(words[1]);
	options.agent.deadline_ns = now_ns() + atoll(words[2]) * 1000000;
	options.agent.margin_ms = (uint32_t)atoi(words[3]);
	options.agent.epoch = (uint64_t)atoll(words[4]);
	options.watch_standby_signal = atoi(words[5]) != 0;
	options.program = words[6];
	options.log_file = words[7];
	options.data_dir = words[8];
	options.socket_path = socket_path;
	for (n = 0; n < 31 && words[9 + n] != NULL; n++)
		argv[n] = words[9 + n];
	argv[n] = NULL;
	options.postgres_argv = argv;
	if (guard_start(&options, errmsg) == -1)
		printf("error %s\n", errmsg);
	else
		printf("started\n");
}

/* One line of the test; false at "quit". */
static bool
obey(char *line)
{
	char *words[48] = { NULL }, *rest = line;
	int n = 0;

	while (n < 47 && (words[n] = strsep(&rest, " \n")) != NULL) {
		if (*words[n] != '\0')
			n++;
	}
	words[n] = NULL;
	if (n == 0)
		return true;
	if (strcmp(words[0], "quit") == 0)
		return false;
	if (strcmp(words[0], "attach") == 0)
		do_attach();
	else if (strcmp(words[0], "stop") == 0)
		do_send(GUARD_STOP);
	else if (strcmp(words[0], "kill") == 0)
		do_send(GUARD_KILL);
	else if (strcmp(words[0], "poke") == 0)
		do_send(GUARD_POKE);
	else if (strcmp(words[0], "page") == 0)
		do_page();
	else if (strcmp(words[0], "arm") == 0 && n == 4)
		do_write(true, words[1], words[2], words[3]);
	else if (strcmp(words[0], "deadline") == 0 && n == 2)
		do_write(true, words[1], NULL, NULL);
	else if (strcmp(words[0], "disarm") == 0)
		do_write(false, NULL, NULL, NULL);
	else if (strcmp(words[0], "ended") == 0)
		printf("ended %d\n", guard_ended(&guard));
	else if (strcmp(words[0], "kill_all") == 0 && n == 2)
		do_kill_all(words[1]);
	else if (strcmp(words[0], "start") == 0 && n >= 10)
		do_start(words);
	else if (strcmp(words[0], "detach") == 0) {
		guard_detach(&guard);
		printf("detached\n");
	} else
		printf("error unknown line\n");
	return true;
}

static void
hear_guard(void)
{
	struct guard_message message;
	int r;

	while ((r = guard_receive(&guard, &message)) == 1)
		print_status("status", &message.status);
	if (r == -1) {
		printf("closed\n");
		/* The page and the pidfd are still good. */
		close(guard.fd);
		guard.fd = -1;
	}
}

int
main(int argc, char **argv)
{
	struct pollfd fds[2];
	char *line = NULL;
	size_t size = 0;

	if (argc != 2) {
		fprintf(stderr, "usage: guard_client SOCKET\n");
		return 64;
	}
	socket_path = argv[1];
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* One line per read: nothing may wait in stdio's buffer unseen. */
	setvbuf(stdin, NULL, _IONBF, 0);
	for (;;) {
		fds[0] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = guard.fd, .events = POLLIN };
		if (poll(fds, 2, -1) == -1)
			continue;
		if (fds[1].revents)
			hear_guard();
		if (fds[0].revents &&
		    (getline(&line, &size, stdin) <= 0 || !obey(line)))
			break;
	}
	free(line);
	guard_detach(&guard);
	return 0;
}
