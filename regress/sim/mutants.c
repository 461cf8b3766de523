/*
 * mutants.c - every rule switched off, one by one: something must notice.
 *
 * Tried in this order, until one fails: the scripted tests of the consensus
 * (regress/unit/raft_test, for its rules), the scripted schedules, random
 * seeds.  A rule that can be switched off without notice is not proven, and
 * that is a failure.
 */
#include "sim.h"

#ifdef MUTANTS

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mutant.h"

#define SECONDS_MAX	40	/* of seeds for one rule */

static const struct {
	const char *name, *rule;
	bool consensus;		/* raft_test has a script for it */
} rules[] = {
	{ "one-vote", "one vote per term", true },
	{ "one-vote-transfer", "... by transfer as well", true },
	{ "own-term-commit", "commit by entries of the own term", true },
	{ "no-op", "a no-op first in every term", true },
	{ "verified-ack", "only what this message verified is "
	    "acknowledged", true },
	{ "up-to-date", "no vote for a log that lacks entries", true },
	{ "pre-vote", "pre-vote", true },
	{ "stickiness", "no vote while a leader was heard", true },
	{ "promise-kept", "a shorter timeout takes no promise back", true },
	{ "silence-after-start", "no vote within a timeout of the start",
	    true },
	{ "check-quorum", "a leader without a majority steps down", true },
	{ "short-lease", "decide only within what voters promised", true },
	{ "voters-promise", "... and not longer than they did", true },
	{ "stamp-at-send", "freshness is stamped at send", true },
	{ "transfer-lease", "a transfer drops the lease first", true },
	{ "transfer-ends-term", "a transfer that was let out ends the term",
	    true },
	{ "learner-uncounted", "learners are not counted", true },
	{ "one-change", "one membership change at a time", true },
	{ "change-after-own-commit", "none before an own commit", true },
	{ "promote-caught-up", "a voter has caught up before", true },
	{ "config-rollback", "a truncated configuration is rolled back",
	    true },
	{ "removed-leader", "a leader without a vote leaves", true },
	{ "prompt-commit", "a commit is told at once", true },
	{ "stored-first", "stored before it is sent or applied", false },
	{ "may-decide", "decide only with a fresh quorum", false },

	{ "cover-frozen", "a seal freezes older covers", false },
	{ "version-checked", "a decision holds for its version only",
	    false },
	{ "cover-is-union", "cover = union, smaller k", false },
	{ "cover-majority", "|Q n U| >= |U| - K + 1", false },
	{ "cover-met", "promotion only when every cover is met", false },
	{ "alone-means-alone", "K = 0: only the primary itself", false },
	{ "dummy-cover", "a dummy list narrows no cover", false },
	{ "cover-drop", "covers go when k of the new set hold the switch",
	    false },
	{ "list-version", "only the newest list is confirmed", false },
	{ "silent-leave", "a silent standby leaves the set", false },
	{ "greatest-position", "the greatest position wins", false },
	{ "sealed-for-this", "Q is sealed for this very seal", false },
	{ "sealed-promised", "... with its promise on disk", false },
	{ "voters-sealed", "a majority of voters is sealed", false },
	{ "last-round", "no seal that could not be followed", false },
	{ "burnt-once", "a promotion that failed is burnt", false },
	{ "burnt-timelines", "the ledger keeps burnt timelines", false },
	{ "used-timelines", "... and what was opened against it", false },
	{ "fork-compared", "WAL beyond the fork is rewound", false },

	{ "lease-margin", "voters wait a fifth longer", false },
	{ "lease-silence", "silence of a voter that started", false },
	{ "lease-sealed", "no grant below the promise", false },
	{ "lease-majority", "a lease needs a majority", false },
	{ "lease-clear", "async and lease: clear at a majority", false },
	{ "lease-stamp-at-send", "the holder stamps at send", false },
	{ "release-stamp", "a release cancels older grants only", false },
	{ "grant-of-this-lease", "only grants asked for since it began",
	    false },
	{ "guard-deadline", "the guard kills at the deadline", false },

	{ "promise-obeyed", "nothing below the own promise", false },
	{ "lease-before-start", "no read-write start without a lease",
	    false },
	{ "seal-kills", "a seal kills the older primary", false },
	{ "rewind-before-follow", "divergent WAL is rewound first", false },
	{ "own-log-applied", "read-write only when the own log is applied",
	    false },
	{ "receiver-gone", "the walreceiver is gone before the answer",
	    false },
	{ "parked", "a position only at the end of WAL", false },
	{ "timeline-of-wal", "the position's timeline is that of the WAL",
	    false },
	{ "promoted-once", "a promotion is tried once", false },
	{ "histories-planted", "history files are contiguous", false },
	{ "timeline-expected", "it opens on the timeline of the ledger",
	    false },
	{ "list-confirmed", "every walsender has the list", false },
	{ "list-caught-up", "k of the list have caught up", false },
	{ "rise-by-first", "a rise of k goes by way of FIRST", false },
	{ "waiter-seen", "the empty list is left when a commit waits",
	    false },
};
#define RULES (sizeof(rules) / sizeof(rules[0]))

struct verdict {
	uint32_t number;
	bool caught;
	char by[1200];
};

static double
seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* The script that fails is named by its "not ok" line. */
static bool
scripts_fail(const char *name, char *by, size_t size)
{
	char line[512];
	bool failed = false;
	FILE *out;
	int fds[2];
	pid_t pid;

	if (pipe(fds) != 0 || (pid = fork()) < 0)
		return false;
	if (pid == 0) {
		dup2(fds[1], 1);
		dup2(fds[1], 2);
		close(fds[0]);
		setenv("MUTANT", name, 1);
		execl("obj/mutants/raft_test", "raft_test", (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	out = fdopen(fds[0], "r");
	while (out != NULL && fgets(line, sizeof(line), out) != NULL) {
		if (failed || (strncmp(line, "not ok", 6) != 0 &&
		    strstr(line, "Assertion") == NULL))
			continue;
		failed = true;
		line[strcspn(line, "\n")] = '\0';
		snprintf(by, size, "raft_test: %s", line);
	}
	if (out != NULL)
		fclose(out);
	waitpid(pid, NULL, 0);
	return failed;
}

static bool
seeds_fail(char *by, size_t size)
{
	static const uint32_t sizes[] = { 3, 5, 3, 0 };
	double until = seconds() + SECONDS_MAX;
	uint64_t seed;

	for (seed = 1; seconds() < until; seed++) {
		struct sim_options options = { .seed = seed,
		    .nodes = sizes[seed % 4], .durability = -1,
		    .failover_wait = -1 };
		struct sim_counts counts;
		char failure[1024];

		if (run_random(&options, &counts, failure, sizeof(failure)))
			continue;
		snprintf(by, size, "seed %llu, %u nodes: %.300s",
		    (unsigned long long)seed, options.nodes, failure);
		return true;
	}
	return false;
}

static bool
try_rule(uint32_t number, char *by, size_t size)
{
	if (rules[number].consensus &&
	    scripts_fail(rules[number].name, by, size))
		return true;
	if (scenarios_fail(by, size))
		return true;
	return seeds_fail(by, size);
}

/* An assertion of the core that ends the process is a catch as well. */
static void
try_in_child(uint32_t number, struct verdict *verdict)
{
	int fds[2], status = 0;
	pid_t pid;

	memset(verdict, 0, sizeof(*verdict));
	verdict->number = number;
	if (pipe(fds) != 0 || (pid = fork()) < 0)
		return;
	if (pid == 0) {
		close(fds[0]);
		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(1);
		mutant = rules[number].name;
		verdict->caught = try_rule(number, verdict->by,
		    sizeof(verdict->by));
		_exit(write(fds[1], verdict, sizeof(*verdict)) !=
		    sizeof(*verdict));
	}
	close(fds[1]);
	if (read(fds[0], verdict, sizeof(*verdict)) != sizeof(*verdict)) {
		verdict->number = number;
		verdict->caught = true;
		snprintf(verdict->by, sizeof(verdict->by),
		    "an assertion of the core");
	}
	close(fds[0]);
	waitpid(pid, &status, 0);
}

static void
worker(uint32_t first, uint32_t step, const char *only, int fd)
{
	struct verdict verdict;
	uint32_t i;

	for (i = first; i < RULES; i += step) {
		if (only != NULL && strcmp(only, rules[i].name) != 0)
			continue;
		try_in_child(i, &verdict);
		if (write(fd, &verdict, sizeof(verdict)) != sizeof(verdict))
			_exit(1);
	}
	_exit(0);
}

int
mutants_run(const char *only)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t i, workers = cores > 1 ? (uint32_t)cores : 1;
	struct verdict verdict;
	int fds[2], count = 0, failed = 0;

	if (pipe(fds) != 0)
		return 1;
	fflush(stdout);
	for (i = 0; i < workers; i++)
		if (fork() == 0) {
			close(fds[0]);
			worker(i, workers, only, fds[1]);
		}
	close(fds[1]);
	while (read(fds[0], &verdict, sizeof(verdict)) == sizeof(verdict)) {
		failed += !verdict.caught;
		printf("%sok %d - %s (%s): %s\n", verdict.caught ? "" :
		    "not ", ++count, rules[verdict.number].name,
		    rules[verdict.number].rule, verdict.caught ?
		    verdict.by : "nothing noticed");
		fflush(stdout);
	}
	while (wait(NULL) > 0)
		;
	printf("1..%d\n# %d rules, %d not caught\n", count, count, failed);
	return failed > 0 || count == 0;
}

#else

int
mutants_run(const char *only)
{
	(void)only;
	return 2;
}

#endif
