/*
 * quorum.c - may a commit be lost?
 *
 * The arithmetic of covers and sealed sets, nothing else.  Flexible quorums
 * as in Howard, Malkhi, Spiegelman (2016): an acknowledging set of K of U and
 * a sealed set of |U| - K + 1 of U always share a member.
 */
#include "quorum.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "mutant.h"

bool
cover_has(const struct cover *cover, uint32_t member_id, uint32_t incarnation)
{
	uint8_t i;

	for (i = 0; i < cover->count; i++)
		if (cover->names[i].member_id == member_id &&
		    (cover->names[i].incarnation == incarnation ||
		    RULE_OFF("cover-incarnation")))
			return true;
	return false;
}

int
cover_widen(struct cover *cover, const struct sync_list *list)
{
	uint8_t i;

	for (i = 0; i < list->count; i++) {
		if (cover_has(cover, list->names[i].member_id,
		    list->names[i].incarnation))
			continue;
		if (cover->count == SYNC_MAX)
			return -1;
		cover->names[cover->count].member_id =
		    list->names[i].member_id;
		cover->names[cover->count].incarnation =
		    list->names[i].incarnation;
		cover->count++;
	}
	if (list->k < cover->k)
		cover->k = list->k;
	return 0;
}

void
cover_from_list(struct cover *cover, uint64_t epoch, uint32_t primary_id,
    const struct sync_list *list)
{
	memset(cover, 0, sizeof(*cover));
	cover->epoch = epoch;
	cover->primary_id = primary_id;
	cover->k = list->k;
	(void)cover_widen(cover, list);
}

uint32_t
quorum_majority(uint32_t voters)
{
	return voters / 2 + 1;
}

static void
add_name(char *text, size_t size, uint32_t member_id, quorum_name_fn *name,
    const void *arg)
{
	size_t len = strlen(text);

	if (len < size)
		snprintf(text + len, size - len, "%s%s", len > 0 ? "," : "",
		    name(member_id, arg));
}

bool
quorum_cover_is_met(const struct cover *cover,
    const struct sealed_node *sealed, uint32_t count, struct trace *trace,
    quorum_name_fn *name, const void *arg)
{
	char members[160] = "", present[160] = "";
	const char *proof = NULL;
	uint32_t i, in_cover = 0, needed;
	uint8_t j;

	for (j = 0; j < cover->count; j++)
		add_name(members, sizeof(members), cover->names[j].member_id,
		    name, arg);
	for (i = 0; i < count; i++) {
		if (cover_has(cover, sealed[i].member_id,
		    sealed[i].incarnation)) {
			in_cover++;
			add_name(present, sizeof(present),
			    sealed[i].member_id, name, arg);
		}
		if (sealed[i].was_primary &&
		    sealed[i].member_id == cover->primary_id)
			proof = "its stopped primary is sealed";
		else if (cover->next_begin.value != 0 &&
		    (sealed[i].position.epoch > cover->epoch ||
		    (sealed[i].position.epoch == cover->epoch &&
		    sealed[i].position.lsn.value >=
		    cover->next_begin.value)))
			proof = "a sealed node holds the epoch that followed";
	}
	/*
	 * K = 0 asks for more than there are: only the primary will do.  K
	 * above |U| (a list of dummies) could acknowledge nothing at all.
	 */
	needed = cover->k > cover->count ? 0 :
	    (uint32_t)cover->count + 1 - cover->k;
	if (RULE_OFF("cover-majority") && needed > 1)
		needed = 1;
	if (RULE_OFF("alone-means-alone") && cover->k == 0)
		needed = 0;
	if (proof == NULL && (cover->k > 0 || RULE_OFF("alone-means-alone")) &&
	    in_cover >= needed)
		proof = "enough";
	trace_add(trace,
	    "cover of epoch %llu: any %u of {%s}; sealed {%s}, "
	    "%u of %u needed -> %s%s%s",
	    (unsigned long long)cover->epoch, cover->k, members, present,
	    in_cover, needed, proof != NULL ? "met" : "not met",
	    proof != NULL ? ": " : "", proof != NULL ? proof : "");
	return proof != NULL;
}
