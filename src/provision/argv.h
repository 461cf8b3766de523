/*
 * argv.h - one program run to its end, with a deadline and no shell.
 */
#ifndef FAILOVERD_PROVISION_ARGV_H
#define FAILOVERD_PROVISION_ARGV_H

#include <stddef.h>

/*
 * Runs argv[0] (a path, or a name looked up in PATH) with LC_ALL=C and stdin
 * /dev/null.  out gets the beginning of stdout and stderr together, NUL
 * terminated.  Returns the exit status 0-255, or -1 with errmsg when it could
 * not be run, was killed by a signal or did not end within timeout_ms (it is
 * killed then).
 */
int	argv_run(const char *const argv[], char *out, size_t size,
	    int timeout_ms, char *errmsg);

#endif
