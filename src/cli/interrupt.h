/*
 * interrupt.h - ^C while failoverctl waits.
 *
 * Between begin and end SIGINT, SIGTERM, SIGHUP and SIGWINCH are blocked and
 * arrive only inside interrupt_poll(), so that none is lost between a look
 * and a sleep.  Outside they have their ordinary effect.  A child started
 * in between must reset the mask (launch.c does).  Begin may be nested; the
 * outermost end restores.
 */
#ifndef FAILOVERCTL_INTERRUPT_H
#define FAILOVERCTL_INTERRUPT_H

#include <stdbool.h>

void	interrupt_begin(void);
void	interrupt_end(void);

/*
 * Waits until fd (or nothing, if -1) has one of events or until wait_ms have
 * passed (< 0: for ever).  1 ready, 0 time is up, -1 a signal arrived.
 */
int	interrupt_poll(int fd, short events, long long wait_ms);

/* The signal that asks us to end, 0 if there was none since begin. */
int	interrupt_signal(void);

/* Ends the program by this signal, as if it had never been caught. */
__attribute__((noreturn))
void	interrupt_die(int signal_number);

#endif
