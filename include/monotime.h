/*
 * monotime.h - a point on CLOCK_BOOTTIME.
 *
 * One member, so that wall-clock time, durations and points in time cannot
 * be mixed by accident.  The core never reads a clock: it is given one of
 * these.  BOOTTIME and not MONOTONIC, because a lease must go on running out
 * while the machine is suspended.
 */
#ifndef FAILOVERD_MONOTIME_H
#define FAILOVERD_MONOTIME_H

#include <stdbool.h>
#include <stdint.h>

typedef struct monotime {
	int64_t ns;		/* since boot; 0 = never */
} monotime_t;

static inline monotime_t
monotime_never(void)
{
	return (monotime_t){ 0 };
}

static inline bool
monotime_is_never(monotime_t t)
{
	return t.ns == 0;
}

static inline monotime_t
monotime_from_ms(int64_t ms)
{
	return (monotime_t){ ms * 1000000 };
}

static inline monotime_t
monotime_add_ms(monotime_t t, int64_t ms)
{
	return (monotime_t){ t.ns + ms * 1000000 };
}

/* later - earlier in whole milliseconds, rounded towards zero. */
static inline int64_t
monotime_diff_ms(monotime_t later, monotime_t earlier)
{
	return (later.ns - earlier.ns) / 1000000;
}

static inline bool
monotime_before(monotime_t a, monotime_t b)
{
	return a.ns < b.ns;
}

#endif
