/*
 * rejoin_test.c - attach, rewind, re-clone or wait.
 */
#include "rejoin.h"

#include "cluster.h"

static void
plans(uint32_t timeline, uint64_t end, enum rejoin want, uint64_t want_fork,
    const char *name)
{
	lsn_t fork = { 1 };
	enum rejoin got = rejoin_plan(&w.state, timeline, LSN(end), &fork);

	if (!ok(got == want && fork.value == want_fork, "%s", name))
		printf("# got %d, fork %llx\n", (int)got,
		    (unsigned long long)fork.value);
}

/* Promotes member id, whose WAL is of epoch parent. */
static void
promote_from(uint64_t parent, uint64_t epoch, uint32_t id)
{
	struct command c = promotion(epoch, id, 1, 1, 3);

	c.u.promote.position.epoch = parent;
	c.u.promote.position.lsn = LSN(1);
	apply(&c);
}

/* Epoch 1, then 2 opened at 1000, 3 burnt, 4 opened at 2000. */
static void
make_ledger(void)
{
	cluster_start(3);
	seal(2);
	promote_from(1, 2, 2);
	opened(2, 1000);
	seal(3);
	promote_from(2, 3, 3);
	seal(4);
	promote_from(2, 4, 1);
}

int
main(void)
{
	cluster_start(3);
	plans(1, 500, REJOIN_ATTACH, 0, "the present timeline: attach");
	plans(7, 500, REJOIN_RECLONE, 0, "a timeline of no ledger: re-clone");
	seal(2);
	plans(1, 500, REJOIN_ATTACH, 0, "a seal alone changes nothing");
	promote_from(1, 2, 2);
	plans(1, 500, REJOIN_WAIT, 0, "promoted, not open yet: wait");
	opened(2, 1000);
	plans(1, 999, REJOIN_ATTACH, 1000, "ends before the fork: attach");
	plans(1, 1000, REJOIN_ATTACH, 1000, "ends at the fork: attach");
	plans(1, 1001, REJOIN_REWIND, 1000, "one byte behind it: rewind");
	plans(2, 5000, REJOIN_ATTACH, 0, "on the new timeline: attach");

	make_ledger();
	plans(3, 10, REJOIN_WAIT, 0, "a burnt epoch before the next is open: "
	    "wait");
	plans(1, 500, REJOIN_WAIT, 0, "nobody follows before it is open");
	opened(4, 2000);
	plans(3, 10, REJOIN_REWIND, 0, "a burnt epoch has left nothing on "
	    "the chain: rewind, wherever it ends");
	plans(2, 2000, REJOIN_ATTACH, 2000, "burnt epochs are stepped over");
	plans(2, 2001, REJOIN_REWIND, 2000, "behind the fork from there: "
	    "rewind");
	plans(1, 1500, REJOIN_REWIND, 1000, "two epochs behind, past the "
	    "first fork: rewind");
	plans(4, 9000, REJOIN_ATTACH, 0, "the present timeline: attach");
	seal(5);
	promote_from(1, 5, 3);
	opened(5, 700);
	plans(2, 1500, REJOIN_REWIND, 0, "an opened epoch that the chain has "
	    "stepped over: rewind");
	plans(4, 9000, REJOIN_REWIND, 0, "and what followed it");
	plans(1, 700, REJOIN_ATTACH, 700, "its parent's end: attach");
	plans(0, 9000, REJOIN_RECLONE, 0, "no timeline at all: re-clone");
	return done_testing();
}
