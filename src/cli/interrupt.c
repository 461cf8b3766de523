/*
 * interrupt.c - ^C while failoverctl waits.
 *
 * Owns the signal mask and the handlers; the outermost end puts back what
 * was there.
 */
#include "interrupt.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const int watched[] = { SIGINT, SIGTERM, SIGHUP, SIGWINCH };
#define WATCHED_COUNT	(sizeof(watched) / sizeof(*watched))

static volatile sig_atomic_t caught;
static unsigned depth;
static sigset_t mask_before;
static struct sigaction action_before[WATCHED_COUNT];

static void
catch(int signal_number)
{
	if (signal_number != SIGWINCH)
		caught = signal_number;
}

void
interrupt_begin(void)
{
	struct sigaction action = { .sa_handler = catch };
	sigset_t block;
	size_t i;

	if (depth++ > 0)
		return;
	caught = 0;
	sigemptyset(&block);
	sigemptyset(&action.sa_mask);
	for (i = 0; i < WATCHED_COUNT; i++)
		sigaddset(&block, watched[i]);
	sigprocmask(SIG_BLOCK, &block, &mask_before);
	for (i = 0; i < WATCHED_COUNT; i++) {
		sigaction(watched[i], NULL, &action_before[i]);
		/* nohup and background jobs ignore some on purpose. */
		if (action_before[i].sa_handler != SIG_IGN)
			sigaction(watched[i], &action, NULL);
	}
}

void
interrupt_end(void)
{
	size_t i;

	if (--depth > 0)
		return;
	for (i = 0; i < WATCHED_COUNT; i++)
		sigaction(watched[i], &action_before[i], NULL);
	sigprocmask(SIG_SETMASK, &mask_before, NULL);
}

int
interrupt_poll(int fd, short events, long long wait_ms)
{
	struct pollfd pollfd = { .fd = fd, .events = events };
	struct timespec wait, *limit = NULL;
	int ready;

	if (wait_ms >= 0) {
		wait.tv_sec = (time_t)(wait_ms / 1000);
		wait.tv_nsec = (long)(wait_ms % 1000) * 1000000;
		limit = &wait;
	}
	ready = ppoll(&pollfd, 1, limit, &mask_before);
	if (ready == -1)
		return errno == EINTR ? -1 : 0;
	return ready > 0;
}

int
interrupt_signal(void)
{
	return caught;
}

void
interrupt_die(int signal_number)
{
	sigset_t only;

	signal(signal_number, SIG_DFL);
	sigemptyset(&only);
	sigaddset(&only, signal_number);
	sigprocmask(SIG_UNBLOCK, &only, NULL);
	raise(signal_number);
	_exit(128 + signal_number);
}
