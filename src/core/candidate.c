/*
 * candidate.c - who becomes primary.  The rules are numbered in candidate.h.
 */
#include "candidate.h"

#include <assert.h>
#include <stddef.h>

#include "mutant.h"

const char *
candidate_rule(int number)
{
	switch (number) {
#define X(rule, text) case rule: return text;
	CANDIDATE_RULE_LIST(X)
#undef X
	default:
		return NULL;
	}
}

int
candidate_compare(const struct candidate *a, const struct candidate *b,
    int *rule)
{
	int order;

	/* 1. may be promoted */
	*rule = 1;
	if (a->eligible && !b->eligible)
		return -1;
	if (!a->eligible && b->eligible)
		return 1;

	/* 2. greatest position */
	*rule = 2;
	order = RULE_OFF("greatest-position") ? 0 :
	    position_compare(b->position, a->position);
	if (order != 0)
		return order;

	/* 3. named by the operator */
	*rule = 3;
	if (a->named && !b->named)
		return -1;
	if (!a->named && b->named)
		return 1;

	/* 4. shortest replay backlog */
	*rule = 4;
	if (a->backlog_bytes < b->backlog_bytes)
		return -1;
	if (a->backlog_bytes > b->backlog_bytes)
		return 1;

	/* 5. higher priority */
	*rule = 5;
	if (a->priority > b->priority)
		return -1;
	if (a->priority < b->priority)
		return 1;

	/* 6. smaller member id */
	*rule = 6;
	assert(a->member_id != b->member_id);
	return a->member_id < b->member_id ? -1 : 1;
}

void
candidate_rank(struct candidate *candidates, uint32_t count)
{
	struct candidate held;
	uint32_t i, j;
	int rule;

	for (i = 1; i < count; i++) {
		held = candidates[i];
		for (j = i; j > 0 && candidate_compare(&held,
		    &candidates[j - 1], &rule) < 0; j--)
			candidates[j] = candidates[j - 1];
		candidates[j] = held;
	}
}
