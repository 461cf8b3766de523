/*
 * run.c - one seed from beginning to end: a cluster, faults, calm, verdict.
 */
#include "sim.h"

#include <stdio.h>

#define STEP		(250 * MS)

/* By when a healed cluster must serve and follow again. */
static int64_t
bound(void)
{
	const struct settings *s = &sim.truth->settings;

	return 30 * SECOND + MS * (3 * s->lease_ms + 4 * s->election_ms +
	    4 * s->detect_ms + 2 * s->hang_ms + 2 * s->promote_timeout_ms);
}

bool
run_random(const struct sim_options *wanted, struct sim_counts *counts,
    char *failure, size_t size)
{
	struct sim_options options = *wanted;
	int64_t end, calm_at;
	bool good;

	sim_reset(&options);
	if (options.nodes == 0) {
		static const uint32_t sizes[] = { 1, 2, 3, 3, 3, 3, 3, 4, 5,
			5, 7, 9 };

		sim.options.nodes = sizes[sim_random() %
		    (sizeof(sizes) / sizeof(sizes[0]))];
	}
	if (sim.options.nodes >= 3 && sim_chance(250))
		sim.options.witnesses = 1;
	cluster_found();
	clients_start();
	nemesis_start();
	calm_at = sim.now + sim_between(10 * SECOND, 40 * SECOND);
	sim_run_until(calm_at);
	if (!sim.failed) {
		nemesis_end();
		end = sim.now + bound();
		while (!sim.failed && sim.now < end && !check_is_healthy())
			sim_run_until(sim.now + STEP);
		if (!sim.failed && !check_is_healthy())
			check_say_sick();
		if (!sim.failed)
			check_end();
	}
	good = !sim.failed;
	snprintf(failure, size, "%s", sim.failure);
	sim.counts.virtual_ns = sim.now;
	*counts = sim.counts;
	return good;
}
