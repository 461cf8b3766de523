/*
 * quorum_test.c - covers: the arithmetic against brute force, and each proof
 * and each refusal by name.
 */
#include "quorum.h"

#include "tap.h"

#ifdef MUTANTS
const char *mutant;
#endif

static const char *
name_of(uint32_t id, const void *arg)
{
	static char text[16][12];

	(void)arg;
	snprintf(text[id % 16], sizeof(text[0]), "n%u", id);
	return text[id % 16];
}

static struct sync_list
list_of(uint8_t k, unsigned mask)
{
	struct sync_list list = { .k = k };
	uint32_t id;

	for (id = 0; id < SYNC_MAX; id++)
		if ((mask & 1u << id) != 0) {
			list.names[list.count].member_id = id + 1;
			list.names[list.count++].incarnation = id + 101;
		}
	return list;
}

static uint32_t
sealed_of(unsigned mask, struct sealed_node *q)
{
	uint32_t id, count = 0;

	for (id = 0; id < SYNC_MAX; id++)
		if ((mask & 1u << id) != 0) {
			memset(&q[count], 0, sizeof(q[count]));
			q[count].member_id = id + 1;
			q[count].incarnation = id + 101;
			q[count].position.epoch = 3;
			q[count].position.lsn.value = 500;
			count++;
		}
	return count;
}

static bool
is_met(const struct cover *cover, const struct sealed_node *q, uint32_t count)
{
	return quorum_cover_is_met(cover, q, count, NULL, name_of, NULL);
}

static struct cover
cover_of(uint8_t k, unsigned mask)
{
	struct sync_list list = list_of(k, mask);
	struct cover cover;

	cover_from_list(&cover, 3, 16, &list);
	return cover;
}

static uint32_t
bits(unsigned mask)
{
	return (uint32_t)__builtin_popcount(mask);
}

/*
 * For every U of n nodes, K and Q: the rule says met exactly when Q has a
 * member of every set of K of U that can have acknowledged.
 */
static void
test_exhaustive(void)
{
	unsigned n = 5, all = (1u << n) - 1, u, q, ack;
	int unsafe = 0, too_strict = 0, tried = 0;
	uint8_t k;

	for (u = 0; u <= all; u++)
		for (k = 1; k <= n; k++)
			for (q = 0; q <= all; q++) {
				struct sealed_node sealed[SYNC_MAX];
				struct cover cover = cover_of(k, u);
				bool met = is_met(&cover, sealed,
				    sealed_of(q, sealed)), safe = true;

				for (ack = 0; ack <= u; ack++)
					if ((ack & ~u) == 0 &&
					    bits(ack) == k && (ack & q) == 0)
						safe = false;
				unsafe += met && !safe;
				too_strict += !met && safe;
				tried++;
			}
	is_int(unsafe, 0, "met: Q has a member of every acknowledging set");
	is_int(too_strict, 0, "the rule is tight: not met only where some "
	    "acknowledging set is missed");
	is_int(tried, 32 * 5 * 32, "every U, K and Q of five nodes");
}

/*
 * A change from (S,k) to (S2,k2) in flight: every walsender acts on its own
 * copy, so any k or k2 of the union may have acknowledged.
 */
static void
test_change_in_flight(void)
{
	unsigned n = 4, all = (1u << n) - 1, s, s2, q, ack;
	int unsafe = 0, narrow = 0;
	uint8_t k, k2;

	for (s = 1; s <= all; s++)
	for (s2 = 1; s2 <= all; s2++)
	for (k = 1; k <= 2; k++)
	for (k2 = 1; k2 <= 2; k2++) {
		struct cover cover = cover_of(k, s);
		struct sync_list wider = list_of(k2, s2);
		struct sealed_node sealed[SYNC_MAX];
		uint8_t least = k < k2 ? k : k2;

		if (cover_widen(&cover, &wider) != 0 || cover.k != least ||
		    cover.count != bits(s | s2))
			narrow++;
		for (q = 0; q <= all; q++) {
			if (!is_met(&cover, sealed, sealed_of(q, sealed)))
				continue;
			for (ack = 0; ack <= all; ack++)
				unsafe += (ack & ~(s | s2)) == 0 &&
				    bits(ack) == least && (ack & q) == 0;
		}
	}
	is_int(narrow, 0, "a cover in flight is the union and the smaller k");
	is_int(unsafe, 0, "no mix of both lists can acknowledge unseen");
}

static void
test_widen(void)
{
	struct cover cover = cover_of(2, 0xff);
	struct sync_list more = list_of(1, 0xff00), one = list_of(3, 1);
	struct cover before;

	is_int(cover_widen(&cover, &more), 0, "sixteen names fit");
	is_int(cover.count, SYNC_MAX, "and are all there");
	is_int(cover.k, 1, "with the smaller k");
	is_int(cover_widen(&cover, &one), 0, "a name that is there already "
	    "takes no room");
	is_int(cover.k, 1, "a greater k never raises K");
	before = cover;
	one.names[0].incarnation = 999;
	is_int(cover_widen(&cover, &one), -1, "a seventeenth is refused");
	ok(cover.count == before.count, "and counts nowhere");
	ok(cover_has(&before, 1, 101), "a name of U is found");
	ok(!cover_has(&before, 1, 102), "another incarnation is not it");
}

static void
test_incarnation(void)
{
	struct cover cover = cover_of(1, 3);
	struct sealed_node q[SYNC_MAX];
	uint32_t count = sealed_of(3, q);

	ok(is_met(&cover, q, count), "both of U: met");
	q[1].incarnation++;
	ok(!is_met(&cover, q, count), "a stale incarnation never counts");
	q[1].incarnation -= 2;
	ok(!is_met(&cover, q, count), "nor does an older one");
}

static void
test_alone(void)
{
	struct cover cover = cover_of(0, 0), left = cover_of(0, 3);
	struct sealed_node q[SYNC_MAX];
	uint32_t count = sealed_of(0x7fff, q);

	ok(!is_met(&cover, q, count), "K = 0: not by all the others");
	ok(!is_met(&left, q, count), "K = 0 with a U left: nor then");
	q[0].was_primary = true;
	ok(!is_met(&cover, q, count), "K = 0: not by another epoch's primary");
	q[0].member_id = 16;
	ok(is_met(&cover, q, count), "K = 0: only by the stopped primary");
	q[0].was_primary = false;
	ok(!is_met(&cover, q, count), "K = 0: not by the primary's node in "
	    "another life");
}

static void
test_dummies(void)
{
	struct sealed_node q[1];
	struct cover cover;
	uint8_t k;

	for (k = 1; k <= 3; k++) {
		cover = cover_of(k, 0);
		ok(is_met(&cover, q, 0), "ANY %d of dummies alone: hinders "
		    "nobody", k);
	}
	cover = cover_of(3, 1);
	ok(is_met(&cover, q, 0), "ANY 3 of one: could acknowledge nothing");
	cover = cover_of(2, 3);
	ok(!is_met(&cover, q, 0), "ANY 2 of two: needs one");
}

static void
test_old_primary(void)
{
	struct cover cover = cover_of(1, 3);
	struct sealed_node q[2];

	memset(q, 0, sizeof(q));
	q[0].member_id = 16;
	ok(!is_met(&cover, q, 1), "the primary's node alone: no proof");
	q[0].was_primary = true;
	ok(is_met(&cover, q, 1), "the stopped old primary is in Q: met");
	q[0].member_id = 15;
	ok(!is_met(&cover, q, 1), "the primary of another epoch: no proof");
}

static void
test_next_begin(void)
{
	struct cover cover = cover_of(1, 3);
	struct sealed_node q[SYNC_MAX];
	uint32_t count = sealed_of(1, q);

	q[0].position.lsn.value = 500;
	ok(!is_met(&cover, q, count), "one of two, next epoch not open: no");
	q[0].position.epoch = 4;
	ok(!is_met(&cover, q, count), "nor at a later epoch that never "
	    "opened");
	cover.next_begin.value = 500;
	ok(is_met(&cover, q, count), "at the epoch that followed: met");
	q[0].position.epoch = 3;
	ok(is_met(&cover, q, count), "reaches next_begin exactly: met");
	q[0].position.lsn.value = 499;
	ok(!is_met(&cover, q, count), "one byte short of it: not");
	q[0].position.epoch = 2;
	q[0].position.lsn.value = 9999;
	ok(!is_met(&cover, q, count), "an older epoch's LSN says nothing");
}

static void
test_trace(void)
{
	struct cover cover = cover_of(1, 3);
	struct sealed_node q[SYNC_MAX];
	struct trace trace;

	trace_reset(&trace);
	quorum_cover_is_met(&cover, q, sealed_of(3, q), &trace, name_of, NULL);
	quorum_cover_is_met(&cover, q, sealed_of(2, q), &trace, name_of, NULL);
	is_text(trace.text, "cover of epoch 3: any 1 of {n1,n2}; sealed "
	    "{n1,n2}, 2 of 2 needed -> met: enough\n"
	    "cover of epoch 3: any 1 of {n1,n2}; sealed {n2}, "
	    "1 of 2 needed -> not met\n", "the reason is in the trace");
}

static void
test_majority(void)
{
	uint32_t n, bad = 0;

	for (n = 1; n <= VOTERS_MAX; n++)
		bad += 2 * quorum_majority(n) <= n ||
		    2 * (quorum_majority(n) - 1) > n;
	is_int(bad, 0, "two majorities always meet, and no more is asked");
}

int
main(void)
{
	test_exhaustive();
	test_change_in_flight();
	test_widen();
	test_incarnation();
	test_alone();
	test_dummies();
	test_old_primary();
	test_next_begin();
	test_trace();
	test_majority();
	return done_testing();
}
