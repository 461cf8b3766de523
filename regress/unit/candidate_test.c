/*
 * candidate_test.c - the numbered rules of candidate.h, one by one, and that
 * together they are a total order.
 */
#include "candidate.h"

#include <stdlib.h>

#include "tap.h"

#ifdef MUTANTS
const char *mutant;
#endif

static struct candidate
candidate(uint32_t id)
{
	struct candidate c = {
		.member_id = id, .eligible = true,
		.position = { 5, { 1000 } }, .backlog_bytes = 100,
		.priority = 0
	};

	return c;
}

/* a ranks before b, by that rule, whichever is asked first. */
static void
is_before(struct candidate a, struct candidate b, int want, const char *name)
{
	int rule = 0, back = 0;

	ok(candidate_compare(&a, &b, &rule) < 0 && rule == want,
	    "rule %d: %s", want, name);
	ok(candidate_compare(&b, &a, &back) > 0 && back == want,
	    "rule %d: %s, asked the other way round", want, name);
}

static void
test_rules(void)
{
	struct candidate a = candidate(2), b = candidate(1);

	/* b is the better one by every later rule, each time. */
	b.position.lsn.value = 9999;
	b.eligible = false;
	is_before(a, b, 1, "may be promoted");

	a = candidate(2);
	b = candidate(1);
	b.named = true;
	b.backlog_bytes = 0;
	b.priority = 9;
	b.position.lsn.value = 999;
	is_before(a, b, 2, "greater LSN");

	b.position.epoch = 4;
	b.position.lsn.value = 5000;
	is_before(a, b, 2, "newer epoch, whatever the LSN");

	a = candidate(2);
	b = candidate(1);
	a.named = true;
	b.backlog_bytes = 0;
	b.priority = 9;
	is_before(a, b, 3, "named by the operator, among equals");

	a.named = false;
	a.backlog_bytes = 10;
	b.backlog_bytes = 11;
	is_before(a, b, 4, "shortest replay backlog");

	b.backlog_bytes = 10;
	a.priority = 10;
	is_before(a, b, 5, "higher priority");

	a.priority = 0;
	b.priority = -1;
	is_before(a, b, 5, "higher priority, below zero");

	b.priority = 0;
	a.member_id = 1;
	b.member_id = 2;
	is_before(a, b, 6, "smaller member id");
}

/* Few values each, so that equals are common. */
static struct candidate
random_candidate(uint32_t id)
{
	struct candidate c = candidate(id);

	c.eligible = rand() % 4 != 0;
	c.position.epoch = 1 + (uint64_t)(rand() % 2);
	c.position.lsn.value = (uint64_t)(rand() % 3);
	c.named = rand() % 3 == 0;
	c.backlog_bytes = (uint64_t)(rand() % 2);
	c.priority = rand() % 3 - 1;
	return c;
}

static int
sign(int n)
{
	return (n > 0) - (n < 0);
}

static void
test_total_order(void)
{
	struct candidate c[3];
	int i, rule, turned = 0, loops = 0, ties = 0;

	srand(1);
	for (i = 0; i < 200000; i++) {
		int ab, bc, ac, ba;

		c[0] = random_candidate(1);
		c[1] = random_candidate(2);
		c[2] = random_candidate(3);
		ab = candidate_compare(&c[0], &c[1], &rule);
		ba = candidate_compare(&c[1], &c[0], &rule);
		bc = candidate_compare(&c[1], &c[2], &rule);
		ac = candidate_compare(&c[0], &c[2], &rule);
		ties += ab == 0;
		turned += sign(ab) != -sign(ba);
		loops += ab < 0 && bc < 0 && ac >= 0;
		loops += ab > 0 && bc > 0 && ac <= 0;
	}
	is_int(ties, 0, "two different nodes never compare equal");
	is_int(turned, 0, "total order: antisymmetric");
	is_int(loops, 0, "total order: transitive");
}

static void
test_rank(void)
{
	struct candidate c[8], d[8];
	int i, j, rule, wrong = 0, moved = 0, lost = 0;

	srand(2);
	for (i = 0; i < 2000; i++) {
		uint32_t count = (uint32_t)(1 + rand() % 8), k;

		for (k = 0; k < count; k++)
			c[k] = random_candidate(k + 1);
		memcpy(d, c, sizeof(c));
		for (k = count - 1; k > 0; k--) {	/* shuffled */
			struct candidate held = d[k];

			j = rand() % (int)(k + 1);
			d[k] = d[j];
			d[j] = held;
		}
		candidate_rank(c, count);
		candidate_rank(d, count);
		for (k = 0; k + 1 < count; k++)
			wrong += candidate_compare(&c[k], &c[k + 1],
			    &rule) >= 0;
		for (k = 0; k < count; k++) {
			moved += c[k].member_id != d[k].member_id;
			lost += c[k].member_id == 0 ||
			    c[k].member_id > count;
		}
	}
	is_int(wrong, 0, "ranked best first");
	is_int(moved, 0, "the order heard in makes no difference");
	is_int(lost, 0, "nobody is lost while ranking");
	candidate_rank(c, 0);
	ok(true, "nobody can be ranked");
}

int
main(void)
{
	test_rules();
	test_total_order();
	test_rank();
	return done_testing();
}
