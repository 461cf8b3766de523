/*
 * tap.h - the little that a unit test needs to speak TAP.
 *
 * ok(expression, "name %d", ...) prints one line; the program ends with
 * `return done_testing();`, which prints the plan and is non-zero when
 * anything failed.
 */
#ifndef FAILOVERD_TAP_H
#define FAILOVERD_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int tap_count, tap_failed;

__attribute__((format(printf, 4, 5)))
static inline bool
tap_ok(bool good, const char *file, int line, const char *format, ...)
{
	va_list ap;

	printf("%sok %d - ", good ? "" : "not ", ++tap_count);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf("\n");
	if (!good) {
		tap_failed++;
		printf("# failed at %s line %d\n", file, line);
	}
	fflush(stdout);
	return good;
}

#define ok(good, ...) tap_ok((good), __FILE__, __LINE__, __VA_ARGS__)

#define is_int(got, want, name) do {					\
	long long tap_got = (long long)(got);				\
	long long tap_want = (long long)(want);				\
	if (!ok(tap_got == tap_want, "%s", (name)))			\
		printf("# got %lld, wanted %lld\n", tap_got, tap_want);	\
} while (0)

#define is_text(got, want, name) do {					\
	const char *tap_got = (got);					\
	const char *tap_want = (want);					\
	if (!ok(strcmp(tap_got, tap_want) == 0, "%s", (name)))		\
		printf("# got    \"%s\"\n# wanted \"%s\"\n", tap_got,	\
		    tap_want);						\
} while (0)

static inline int
done_testing(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed != 0;
}

#endif
