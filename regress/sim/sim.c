/*
 * sim.c - the simulator: seeds, runs, replay.
 *
 *	sim			the kept seeds and a bounded random part, in TAP
 *	sim --seed N [--nodes N]	one seed, with its whole trace
 *	sim --runs N [--from N] [--nodes N]	many, on both cores, with rates
 *	sim --scenario NAME	one scripted schedule, with its trace
 *	sim --mutants [RULE]	rules switched off, in the build for that
 */
#include "sim.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef MUTANTS
const char *mutant;
#endif

struct result {
	uint64_t seed;
	bool good;
	struct sim_counts counts;
	char failure[1024];
};

static double
seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct sim_options
options_of(uint64_t seed, uint32_t nodes)
{
	struct sim_options options = { 0 };

	options.seed = seed;
	options.nodes = nodes;
	options.durability = options.failover_wait = -1;
	return options;
}

static void
add(struct sim_counts *sum, const struct sim_counts *one)
{
	sum->events += one->events;
	sum->commits += one->commits;
	sum->acks += one->acks;
	sum->failovers += one->failovers;
	sum->elections += one->elections;
	sum->seals += one->seals;
	sum->stranded += one->stranded;
	sum->virtual_ns += one->virtual_ns;
}

/* One process; writes a struct result for every seed. */
static void
work(uint64_t first, uint64_t step, uint64_t end, double until,
    uint32_t nodes, int fd)
{
	struct result result;
	uint64_t seed;

	for (seed = first; seed < end && seconds() < until; seed += step) {
		struct sim_options options = options_of(seed, nodes);

		memset(&result, 0, sizeof(result));
		result.seed = seed;
		result.good = run_random(&options, &result.counts,
		    result.failure, sizeof(result.failure));
		if (write(fd, &result, sizeof(result)) != sizeof(result))
			_exit(1);
	}
	_exit(0);
}

struct tally {
	uint64_t runs, failed;
	struct sim_counts counts;
	double took;
};

/* Failures are printed as they come; `until` in seconds of our clock. */
static void
run_many(uint64_t from, uint64_t runs, double until, uint32_t nodes,
    struct tally *tally)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t i, workers = cores > 1 ? (uint64_t)cores : 1;
	double began = seconds();
	struct result result;
	int fds[2];

	memset(tally, 0, sizeof(*tally));
	fflush(stdout);
	if (pipe(fds) != 0)
		abort();
	for (i = 0; i < workers; i++)
		if (fork() == 0) {
			close(fds[0]);
			work(from + i, workers, from + runs, until, nodes,
			    fds[1]);
		}
	close(fds[1]);
	while (read(fds[0], &result, sizeof(result)) == sizeof(result)) {
		tally->runs++;
		add(&tally->counts, &result.counts);
		if (result.good)
			continue;
		tally->failed++;
		if (tally->failed <= 50)
			printf("# seed %llu: %s\n",
			    (unsigned long long)result.seed, result.failure);
		fflush(stdout);
	}
	close(fds[0]);
	for (i = 0; i < workers; i++) {
		int status = 1;

		if (wait(&status) < 0 || status != 0) {
			printf("# a worker of the simulator died (%d)\n",
			    status);
			tally->failed++;
		}
	}
	tally->took = seconds() - began;
}

static void
say_tally(const struct tally *tally)
{
	const struct sim_counts *c = &tally->counts;

	printf("# %llu runs, %llu failed; %.1f seeds/s, %.1f virtual hours, "
	    "%llu events\n", (unsigned long long)tally->runs,
	    (unsigned long long)tally->failed,
	    (double)tally->runs / tally->took,
	    (double)c->virtual_ns / 3.6e12, (unsigned long long)c->events);
	printf("# %llu commits, %llu acknowledged; %llu seals, %llu "
	    "promotions, %llu elections; %llu standbys left to the "
	    "operator\n", (unsigned long long)c->commits,
	    (unsigned long long)c->acks, (unsigned long long)c->seals,
	    (unsigned long long)c->failovers,
	    (unsigned long long)c->elections,
	    (unsigned long long)c->stranded);
}

static int
replay(uint64_t seed, uint32_t nodes)
{
	struct sim_options options = options_of(seed, nodes);
	struct sim_counts counts;
	char failure[1024];
	bool good;

	options.verbose = true;
	good = run_random(&options, &counts, failure, sizeof(failure));
	printf("%sok 1 - seed %llu, %u nodes%s%s\n1..1\n", good ? "" : "not ",
	    (unsigned long long)seed, sim.options.nodes, good ? "" : ": ",
	    failure);
	sim_free();
	return good ? 0 : 1;
}

static int
replay_scenario(const char *name)
{
	char failure[1024];
	uint32_t i;
	bool good;

	for (i = 0; i < scenario_count(); i++) {
		if (strcmp(scenario_name(i), name) != 0)
			continue;
		good = scenario_run(i, true, failure, sizeof(failure));
		printf("%sok 1 - %s%s%s\n1..1\n", good ? "" : "not ", name,
		    good ? "" : ": ", failure);
		return good ? 0 : 1;
	}
	for (i = 0; i < scenario_count(); i++)
		printf("%s\n", scenario_name(i));
	return 2;
}

static int
run_scenarios(int *failed, int count)
{
	char failure[1024];
	uint32_t i;

	for (i = 0; i < scenario_count(); i++) {
		bool good = scenario_run(i, false, failure, sizeof(failure));

		*failed += !good;
		printf("%sok %d - scenario %s%s%s\n", good ? "" : "not ",
		    ++count, scenario_name(i), good ? "" : ": ", failure);
	}
	return count;
}

static FILE *
open_seeds(void)
{
	const char *source = getenv("FAILOVERD_SRC");
	char path[4096];

	snprintf(path, sizeof(path), "%s/regress/sim/seeds",
	    source != NULL ? source : ".");
	return fopen(path, "r");
}

/* "seed nodes  what it found", # comments. */
static int
rerun_kept(int *failed)
{
	FILE *file = open_seeds();
	unsigned long long seed;
	unsigned nodes;
	char line[512];
	int count = 0;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		struct sim_options options;
		struct sim_counts counts;
		char failure[1024];
		bool good;

		if (line[0] == '#' || sscanf(line, "%llu %u", &seed,
		    &nodes) != 2)
			continue;
		options = options_of(seed, nodes);
		good = run_random(&options, &counts, failure,
		    sizeof(failure));
		*failed += !good;
		printf("%sok %d - kept seed %llu, %u nodes%s%s\n",
		    good ? "" : "not ", ++count, seed, nodes,
		    good ? "" : ": ", failure);
	}
	if (file != NULL)
		fclose(file);
	return count;
}

static int
test(void)
{
	static const uint32_t sizes[] = { 3, 5, 0 };
	struct tally tally;
	int failed = 0, count;
	size_t i;

	count = rerun_kept(&failed);
	count = run_scenarios(&failed, count);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		run_many(1, 1000000, seconds() + 12, sizes[i], &tally);
		say_tally(&tally);
		failed += tally.failed > 0;
		printf("%sok %d - random seeds, %s\n", tally.failed > 0 ?
		    "not " : "", ++count, sizes[i] == 3 ? "3 nodes" :
		    sizes[i] == 5 ? "5 nodes" : "1 to 9 nodes");
		fflush(stdout);
	}
	printf("1..%d\n", count);
	return failed > 0;
}

int
main(int argc, char **argv)
{
	static const struct option names[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "runs", required_argument, NULL, 'r' },
		{ "from", required_argument, NULL, 'f' },
		{ "nodes", required_argument, NULL, 'n' },
		{ "mutants", no_argument, NULL, 'm' },
		{ "scenario", required_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 }
	};
	uint64_t seed = 0, runs = 0, from = 1;
	struct tally tally;
	uint32_t nodes = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		uint64_t value = optarg != NULL ? strtoull(optarg, NULL, 10) :
		    0;

		if (c == 'm')
			return mutants_run(argv[optind]);
		else if (c == 'c')
			return replay_scenario(optarg);
		else if (c == 's')
			seed = value;
		else if (c == 'r')
			runs = value;
		else if (c == 'f')
			from = value;
		else if (c == 'n' && value <= 9)
			nodes = (uint32_t)value;
		else {
			fprintf(stderr, "usage: %s [--seed N | --runs N "
			    "[--from N] | --scenario NAME | --mutants "
			    "[RULE]] [--nodes 1..9]\n", argv[0]);
			return 2;
		}
	}
	if (seed != 0)
		return replay(seed, nodes);
	if (runs == 0)
		return test();
	run_many(from, runs, 1e18, nodes, &tally);
	say_tally(&tally);
	return tally.failed > 0;
}
