/*
 * lease_test.c - the lease: each rule of voter and holder by name, and the
 * promise of both together as a property in virtual time.
 */
#include "lease.h"

#include <stdlib.h>

#include "tap.h"

#ifdef MUTANTS
const char *mutant;
#endif

#define L 5000			/* the lease */
#define WAIT 6000		/* what a voter promises for it */

static struct lease_voter voter;
static struct lease_holder holder;
static struct lease_message reply;

static monotime_t
at(int64_t ms)
{
	return monotime_from_ms(ms);
}

/* By member 1, run 77 of its agent, under the voters of entry 10. */
static struct lease_message
message(uint8_t type, uint64_t epoch, int64_t stamp_ms)
{
	struct lease_message m = {
		.type = type, .holder_id = 1, .epoch = epoch,
		.config_index = 10, .holder_start_ns = 77,
		.stamp_ns = at(stamp_ms).ns, .lease_ms = L
	};

	return m;
}

/* The voter, member 2, has applied that member 1 is primary of epoch 3. */
static bool
asks(const struct lease_message *m, int64_t now_ms)
{
	lease_voter_request(&voter, m, 2, 10, 1, 3, at(now_ms), &reply);
	return reply.type == LEASE_GRANT;
}

static bool
is_clear(int64_t now_ms)
{
	return lease_voter_is_clear(&voter, 3, L, at(now_ms));
}

/* One that was started long ago. */
static void
fresh_voter(void)
{
	lease_voter_init(&voter, at(1));
	voter.promise = 3;
}

static void
test_voter_grants(void)
{
	struct lease_message m = message(LEASE_REQUEST, 3, 99990);

	fresh_voter();
	m.lsn.value = 500;
	ok(asks(&m, 100000), "the named primary gets the lease");
	is_int(reply.voter_id, 2, "the grant says whose it is");
	is_int(reply.stamp_ns, m.stamp_ns, "and which request it answers");
	is_int(reply.lease_ms, L, "and for how long");
	ok(!is_clear(100000 + WAIT - 1), "not clear for 1.2 leases");
	ok(is_clear(100000 + WAIT), "clear after 1.2 leases from receipt");
	is_int(voter.heard_position.lsn.value, 500, "the position is kept");
	m.lsn.value = 400;
	m.stamp_ns = at(99980).ns;
	ok(asks(&m, 100100), "a late copy is granted too");
	is_int(voter.heard_position.lsn.value, 500,
	    "but never takes the position back");
	m.lsn.value = 0;
	asks(&m, 100200);
	is_int(voter.heard_position.lsn.value, 500,
	    "nor does an unknown one");
}

static void
is_denied(struct lease_message m, const char *why, const char *name)
{
	ok(!asks(&m, 100000), "%s: denied", name);
	is_text(reply.why, why, "  and says why");
	is_int(reply.type, LEASE_DENY, "  in a deny");
}

static void
test_voter_denies(void)
{
	struct lease_message m = message(LEASE_REQUEST, 3, 99990);

	fresh_voter();
	voter.promise = 4;
	is_denied(m, "sealed", "sealed for the next epoch");
	voter.promise = 3;
	ok(asks(&m, 100000), "sealed for this epoch: grants it");
	fresh_voter();
	is_denied(message(LEASE_REQUEST, 4, 1), "no such promotion committed "
	    "here", "an epoch no promotion names");
	voter.promise = 0;
	is_denied(message(LEASE_REQUEST, 2, 1), "epoch is over",
	    "an older epoch");
	m.holder_id = 5;
	is_denied(m, "another node is named", "another node");
	m.holder_id = 1;
	m.config_index = 9;
	is_denied(m, "other voters", "other voter configuration");
	m.config_index = 11;
	is_denied(m, "other voters", "newer voter configuration");
	ok(is_clear(100000), "what was denied was not promised");
}

static void
test_release(void)
{
	struct lease_message ask = message(LEASE_REQUEST, 3, 99990);
	struct lease_message release = message(LEASE_RELEASE, 3, 99995);
	struct lease_message r;

	fresh_voter();
	asks(&ask, 100000);
	lease_voter_release(&voter, &release, at(100010));
	ok(is_clear(100010), "a release makes the voter clear at once");

	ask.stamp_ns = at(99999).ns;
	asks(&ask, 100020);
	lease_voter_release(&voter, &release, at(100030));
	ok(!is_clear(100030), "a duplicated release cancels no newer grant");

	r = message(LEASE_RELEASE, 3, 99999999);
	r.holder_start_ns = 78;
	lease_voter_release(&voter, &r, at(100030));
	ok(!is_clear(100030), "a release of another run of the agent: no");
	r.holder_start_ns = 77;
	r.holder_id = 5;
	lease_voter_release(&voter, &r, at(100030));
	ok(!is_clear(100030), "a release of another node: no");
	r.holder_id = 1;
	r.epoch = 2;
	lease_voter_release(&voter, &r, at(100030));
	ok(!is_clear(100030), "a release of another epoch: no");
	r.epoch = 3;
	lease_voter_release(&voter, &r, at(100030));
	ok(is_clear(100030), "and the right one does");
}

/* The agent of the primary was restarted; copies of its old run are late. */
static void
test_older_run(void)
{
	struct lease_message old = message(LEASE_REQUEST, 3, 99000);
	struct lease_message new = message(LEASE_REQUEST, 3, 99990);
	struct lease_message release = message(LEASE_RELEASE, 3, 99001);

	fresh_voter();
	new.holder_start_ns = 88;
	asks(&new, 100000);
	ok(!asks(&old, 100001), "a late request of an older run: denied");
	lease_voter_release(&voter, &release, at(100002));
	ok(!is_clear(100002), "so its late release cancels nothing newer");
	ok(asks(&old, 100000 + WAIT), "after a reboot a run may look older: "
	    "granted when the last grant is over");
}

static void
test_older_epoch(void)
{
	struct lease_message ask = message(LEASE_REQUEST, 3, 99990);
	struct lease_message next = message(LEASE_REQUEST, 4, 100900);
	struct lease_message release = message(LEASE_RELEASE, 4, 101000);

	fresh_voter();
	asks(&ask, 100000);
	next.holder_id = release.holder_id = 5;
	lease_voter_request(&voter, &next, 2, 10, 5, 4, at(101000), &reply);
	is_int(reply.type, LEASE_GRANT, "the next primary is granted");
	ok(is_clear(100000 + WAIT), "a grant for a newer epoch says nothing "
	    "of the older one");
	ok(!lease_voter_is_clear(&voter, 4, L, at(101000 + WAIT - 1)),
	    "the newer one has its own time");
	lease_voter_release(&voter, &release, at(101010));
	ok(!lease_voter_is_clear(&voter, 4, L, at(100000 + WAIT - 1)),
	    "its release does not release the older epoch");
	ok(lease_voter_is_clear(&voter, 4, L, at(100000 + WAIT)),
	    "that one still runs out by itself");
}

static void
test_restarted_voter(void)
{
	struct lease_message ask = message(LEASE_REQUEST, 3, 99990);
	struct lease_message release = message(LEASE_RELEASE, 3, 99995);

	lease_voter_init(&voter, at(100000));
	voter.promise = 4;
	ok(!is_clear(100000 + WAIT - 1), "a restarted voter is silent for "
	    "1.2 leases");
	ok(is_clear(100000 + WAIT), "and no longer");
	lease_voter_init(&voter, at(100000));
	lease_voter_release(&voter, &release, at(100001));
	ok(!is_clear(100001), "a release it has no grant for: silent");
	asks(&ask, 100002);
	lease_voter_release(&voter, &release, at(100003));
	ok(!is_clear(100003), "late copies of before: still silent");
	ok(is_clear(100000 + WAIT), "until its time is over");
}

static void
test_longer_lease(void)
{
	struct lease_message ask = message(LEASE_REQUEST, 3, 99990);
	struct lease_message shorter = message(LEASE_REQUEST, 3, 100190);

	fresh_voter();
	ask.lease_ms = 100000;
	asks(&ask, 100000);
	shorter.lease_ms = 2000;
	asks(&shorter, 100200);
	ok(!lease_voter_is_clear(&voter, 3, 2000, at(100000 + 119999)),
	    "a shorter lease takes back nothing that was promised");
	ok(lease_voter_is_clear(&voter, 3, 2000, at(100000 + 120000)),
	    "which ends when it was to end");
}

/* ---- the holder ---- */

static const uint32_t three[] = { 1, 2, 3 };

static void
begin(void)
{
	memset(&holder, 0, sizeof(holder));
	lease_holder_set_voters(&holder, 10, three, 3);
	lease_holder_begin(&holder, 3, 77, at(100000));
}

static void
granted(uint32_t by, int64_t stamp_ms)
{
	struct lease_message m = message(LEASE_GRANT, 3, stamp_ms);

	m.voter_id = by;
	lease_holder_grant(&holder, &m, L);
}

static bool
is_valid(int64_t now_ms)
{
	return lease_holder_is_valid(&holder, at(now_ms));
}

static void
test_holder(void)
{
	begin();
	ok(!is_valid(100000), "nothing granted: nothing held");
	granted(1, 100000);
	granted(1, 100000);
	ok(!is_valid(100001), "one of three, twice: nothing held");
	granted(9, 100000);
	ok(!is_valid(100001), "whoever is no voter does not count");
	granted(3, 100000);
	ok(is_valid(100001), "two of three: held");
	ok(is_valid(100000 + L - 1), "until the send stamp + lease");
	ok(!is_valid(100000 + L), "and no longer");
	granted(2, 100200);
	ok(!is_valid(100000 + L), "one newer grant moves nothing");
	granted(1, 100400);
	ok(is_valid(100200 + L - 1), "a majority's newest common stamp does");
	ok(!is_valid(100200 + L), "and not the newest of all");
	is_int(holder.majority_heard.ns, at(100200).ns,
	    "when a majority was heard last");
	granted(2, 100100);
	granted(1, 100100);
	is_int(holder.deadline.ns, at(100200 + L).ns,
	    "late grants move nothing back");
}

static void
test_holder_refuses(void)
{
	struct lease_message m = message(LEASE_GRANT, 3, 100000);
	uint32_t by;

	begin();
	for (by = 1; by <= 3; by++) {
		m = message(LEASE_GRANT, 3, 100000);
		m.voter_id = by;
		m.epoch = 2;
		lease_holder_grant(&holder, &m, L);
		m.epoch = 3;
		m.holder_start_ns = 76;
		lease_holder_grant(&holder, &m, L);
		m.holder_start_ns = 77;
		m.config_index = 9;
		lease_holder_grant(&holder, &m, L);
	}
	ok(!is_valid(100001), "grants of another epoch, another run or "
	    "other voters do not count");
	granted(1, 100000);
	granted(2, 100000);
	lease_holder_begin(&holder, 0, 77, at(100010));
	ok(!is_valid(100010), "what was released is not held");
	granted(3, 100000);
	ok(!is_valid(100011), "nor by a grant that comes later");
	lease_holder_begin(&holder, 3, 77, at(100020));
	granted(1, 100009);
	granted(2, 100009);
	ok(!is_valid(100021), "asked before the release, granted after it: "
	    "a restart in place needs a new lease");
	granted(1, 100020);
	granted(2, 100020);
	ok(is_valid(100021), "and gets it");
}

static void
test_holder_voters(void)
{
	const uint32_t five[] = { 1, 2, 3, 4, 5 };
	const uint32_t one[] = { 1 };
	struct lease_message m;

	begin();
	granted(1, 100000);
	lease_holder_set_voters(&holder, 11, five, 5);
	granted(2, 100100);
	granted(3, 100100);
	ok(!is_valid(100101), "grants under other voters are forgotten");
	for (m = message(LEASE_GRANT, 3, 100200), m.voter_id = 1;
	    m.voter_id <= 2; m.voter_id++) {
		m.config_index = 11;
		lease_holder_grant(&holder, &m, L);
	}
	ok(!is_valid(100201), "two of five: nothing held");
	m.voter_id = 5;
	lease_holder_grant(&holder, &m, L);
	ok(is_valid(100201), "three of five hold");
	begin();
	lease_holder_set_voters(&holder, 12, one, 1);
	m = message(LEASE_GRANT, 3, 100300);
	m.config_index = 12;
	m.voter_id = 1;
	lease_holder_grant(&holder, &m, L);
	ok(is_valid(100301), "a single voter is a majority");
}

/* The setting changes between a request and its grant. */
static void
test_setting_changes(void)
{
	struct lease_message m = message(LEASE_GRANT, 3, 100000);

	begin();
	for (m.voter_id = 1; m.voter_id <= 2; m.voter_id++)
		lease_holder_grant(&holder, &m, 120000);
	is_int(holder.deadline.ns, at(100000 + L).ns,
	    "a longer lease holds only where it was asked for");
	begin();
	for (m.voter_id = 1; m.voter_id <= 2; m.voter_id++)
		lease_holder_grant(&holder, &m, 2000);
	is_int(holder.deadline.ns, at(102000).ns,
	    "a shorter one holds at once");
	/* Voter 2 never saw the long one: it may not count for it. */
	begin();
	m = message(LEASE_GRANT, 3, 100000);
	m.voter_id = 1;
	m.lease_ms = 120000;
	lease_holder_grant(&holder, &m, 120000);
	m = message(LEASE_GRANT, 3, 100200);
	m.voter_id = 2;
	lease_holder_grant(&holder, &m, 120000);
	is_int(holder.deadline.ns, at(100200 + L).ns,
	    "every voter counts for what it promised itself");
}

/* ---- both together ---- */

#define FLYING_MAX 4096
#define PROPERTY_LEASE 2000

struct clock {
	int64_t offset_ns, permille;
};

static struct {
	struct clock clocks[VOTERS_MAX + 1];	/* [0] is the holder's */
	struct lease_voter voters[VOTERS_MAX];
	struct lease_holder holder;
	uint32_t ids[VOTERS_MAX], count;
	monotime_t page;	/* the guard's deadline: outlives the agent */
	bool wants;
	int64_t wants_at, cut_until;
	unsigned cut;		/* voters that hear and say nothing */
	uint32_t flying;
	struct {
		int64_t due;
		struct lease_message m;
		uint32_t voter;
		bool to_holder;
	} air[FLYING_MAX];
	int64_t held_ms, clear_ms, apart;
	bool both;
} sim;

static monotime_t
clock_at(uint32_t who, int64_t real_ms)
{
	const struct clock *c = &sim.clocks[who];

	return (monotime_t){ c->offset_ns + real_ms * 1000 * c->permille };
}

static void
fly(const struct lease_message *m, uint32_t voter_index, bool to_holder,
    int64_t now)
{
	int copies = rand() % 10 == 0 ? 2 : 1;

	if (rand() % 5 == 0 || (sim.cut & 1u << voter_index) != 0)
		return;
	while (copies-- > 0 && sim.flying < FLYING_MAX) {
		sim.air[sim.flying].due = now + (rand() % 8 == 0 ?
		    rand() % 4000 : rand() % 15);
		sim.air[sim.flying].m = *m;
		sim.air[sim.flying].voter = voter_index;
		sim.air[sim.flying++].to_holder = to_holder;
	}
}

static void
ask_all(uint8_t type, int64_t now)
{
	struct lease_message m = {
		.type = type, .holder_id = 1, .epoch = 3, .config_index = 10,
		.holder_start_ns = sim.holder.start_ns,
		.stamp_ns = clock_at(0, now).ns,
		.lease_ms = PROPERTY_LEASE
	};
	uint32_t i;

	for (i = 0; i < sim.count; i++)
		fly(&m, i, false, now);
}

static void
deliver(int64_t now)
{
	struct lease_message answer;
	uint32_t i = 0;

	while (i < sim.flying) {
		uint32_t v = sim.air[i].voter;
		struct lease_message m = sim.air[i].m;
		bool to_holder = sim.air[i].to_holder;

		if (sim.air[i].due > now) {
			i++;
			continue;
		}
		sim.air[i] = sim.air[--sim.flying];
		if (to_holder) {
			lease_holder_grant(&sim.holder, &m, PROPERTY_LEASE);
			if (monotime_before(sim.page, sim.holder.deadline))
				sim.page = sim.holder.deadline;
		} else if (m.type == LEASE_RELEASE)
			lease_voter_release(&sim.voters[v], &m,
			    clock_at(v + 1, now));
		else {
			lease_voter_request(&sim.voters[v], &m, sim.ids[v],
			    10, 1, 3, clock_at(v + 1, now), &answer);
			if (answer.type == LEASE_GRANT)
				fly(&answer, v, true, now);
		}
	}
}

/* What may happen to the nodes, each now and then. */
static void
disturb(int64_t now)
{
	uint32_t v;

	if (rand() % 4000 == 0) {	/* PostgreSQL ends, none left */
		ask_all(LEASE_RELEASE, now);
		sim.page = monotime_never();
		lease_holder_begin(&sim.holder, 0, sim.holder.start_ns,
		    clock_at(0, now));
		sim.wants = false;
		sim.wants_at = now + rand() % 3000;
	}
	if (!sim.wants && now >= sim.wants_at) {	/* a newer entry */
		sim.wants = true;
		lease_holder_begin(&sim.holder, 3, sim.holder.start_ns,
		    clock_at(0, now));
	}
	if (rand() % 5000 == 0) {	/* agent restarts, guard lives on */
		memset(&sim.holder, 0, sizeof(sim.holder));
		lease_holder_set_voters(&sim.holder, 10, sim.ids, sim.count);
		lease_holder_begin(&sim.holder, sim.wants ? 3 : 0,
		    (uint64_t)clock_at(0, now).ns, clock_at(0, now));
	}
	if (rand() % 4000 == 0) {
		v = (uint32_t)rand() % sim.count;
		lease_voter_init(&sim.voters[v], clock_at(v + 1, now));
	}
	if (now >= sim.cut_until)
		sim.cut = 0;
	if (rand() % 5000 == 0) {
		sim.cut = (unsigned)rand() & ((1u << sim.count) - 1);
		sim.cut_until = now + rand() % 8000;
	}
}

static void
look(int64_t now, int64_t margin_ms)
{
	monotime_t here = monotime_add_ms(clock_at(0, now), margin_ms);
	bool writes = monotime_before(here, sim.page);
	uint32_t i, clear = 0;

	for (i = 0; i < sim.count; i++)
		clear += lease_voter_is_clear(&sim.voters[i], 3,
		    PROPERTY_LEASE, clock_at(i + 1, now));
	sim.held_ms += writes;
	sim.clear_ms += clear > sim.count / 2;
	sim.both |= writes && clear > sim.count / 2;
}

static void
run(unsigned seed, int64_t spread, int64_t margin_ms)
{
	int64_t now, held, clear;
	uint32_t i;

	held = sim.held_ms;
	clear = sim.clear_ms;
	memset(&sim, 0, sizeof(sim));
	sim.held_ms = held;
	sim.clear_ms = clear;
	srand(seed);
	sim.count = 1 + 2 * ((uint32_t)rand() % 3);
	for (i = 0; i <= sim.count; i++) {
		sim.clocks[i].offset_ns = (1 + rand() % 1000) *
		    INT64_C(1000000000);
		/* Extremes more often than not. */
		sim.clocks[i].permille = 1000 + (rand() % 3 == 0 ? spread :
		    rand() % 2 == 0 ? -spread :
		    rand() % (2 * spread + 1) - spread);
	}
	for (i = 0; i < sim.count; i++) {
		sim.ids[i] = i + 1;
		lease_voter_init(&sim.voters[i], clock_at(i + 1, 0));
	}
	lease_holder_set_voters(&sim.holder, 10, sim.ids, sim.count);
	lease_holder_begin(&sim.holder, 3, 77, clock_at(0, 0));
	sim.wants = true;
	for (now = 1; now < 30000; now++) {
		disturb(now);
		if (sim.wants && now % 200 == 0)
			ask_all(LEASE_REQUEST, now);
		deliver(now);
		look(now, margin_ms);
	}
}

/*
 * Of two clocks one may run 20 % faster: +-9 % each.  The kill comes a
 * margin earlier than the deadline, and with it +-10 % are covered too.
 */
static void
test_property(int64_t spread, int64_t margin_ms)
{
	unsigned seed, broken = 0, first = 0;

	sim.held_ms = sim.clear_ms = 0;
	for (seed = 1; seed <= 60; seed++) {
		run(seed, spread, margin_ms);
		if (sim.both && broken++ == 0)
			first = seed;
	}
	if (!ok(broken == 0, "clocks +-%d permille, margin %d ms: never "
	    "writing while a majority calls it clear", (int)spread,
	    (int)margin_ms))
		printf("# %u of 60 seeds, first %u\n", broken, first);
	ok(sim.held_ms > 60 * 2000 && sim.clear_ms > 60 * 1000,
	    "and both happen: writing %lld ms, clear %lld ms",
	    (long long)sim.held_ms, (long long)sim.clear_ms);
}

int
main(void)
{
	test_voter_grants();
	test_voter_denies();
	test_release();
	test_older_run();
	test_older_epoch();
	test_restarted_voter();
	test_longer_lease();
	test_holder();
	test_holder_refuses();
	test_holder_voters();
	test_setting_changes();
	test_property(0, 0);
	test_property(90, 0);
	test_property(100, 300);
	return done_testing();
}
