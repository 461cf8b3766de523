/*
 * lease.c - who may accept writes until when.
 *
 * Decides on grants and deadlines from arguments alone; never reads a clock,
 * never stops anything: the guard enforces the deadline.
 */
#include "lease.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "mutant.h"

/* A voter waits a fifth longer than the holder: clocks may differ so much. */
static int64_t
voter_wait_ms(uint32_t lease_ms)
{
	if (RULE_OFF("lease-margin"))
		return (int64_t)lease_ms / 2;
	return (int64_t)lease_ms + lease_ms / 5;
}

void
lease_voter_init(struct lease_voter *voter, monotime_t now)
{
	memset(voter, 0, sizeof(*voter));
	voter->started = now;
}

static const char *
deny_reason(const struct lease_voter *voter,
    const struct lease_message *request, uint64_t config_index,
    uint32_t named_id, uint64_t named_epoch, monotime_t now)
{
	if (request->epoch < voter->promise && !RULE_OFF("lease-sealed"))
		return "sealed";
	if (named_epoch != request->epoch)
		return request->epoch < named_epoch ?
		    "epoch is over" : "no such promotion committed here";
	if (named_id != request->holder_id && !RULE_OFF("lease-named"))
		return "another node is named";
	if (request->config_index != config_index && !RULE_OFF("lease-voters"))
		return "other voters";
	/* A late copy would make the release of that run count again. */
	if (request->epoch == voter->granted_epoch &&
	    request->holder_start_ns < voter->granted_start_ns &&
	    monotime_before(now, voter->granted_until))
		return "an older run of the agent";
	return NULL;
}

void
lease_voter_request(struct lease_voter *voter,
    const struct lease_message *request, uint32_t self,
    uint64_t config_index, uint32_t named_id, uint64_t named_epoch,
    monotime_t now, struct lease_message *reply)
{
	const char *reason;
	monotime_t until;

	*reply = *request;
	reply->voter_id = self;
	reply->lsn = (lsn_t){ 0 };
	reply->why[0] = '\0';
	reason = deny_reason(voter, request, config_index, named_id,
	    named_epoch, now);
	if (reason != NULL) {
		reply->type = LEASE_DENY;
		snprintf(reply->why, sizeof(reply->why), "%s", reason);
		return;
	}
	reply->type = LEASE_GRANT;
	until = monotime_add_ms(now, voter_wait_ms(request->lease_ms));
	/* Whoever releases a newer epoch does not release an older one. */
	if (voter->granted_epoch != request->epoch) {
		if (monotime_before(voter->older_until, voter->granted_until))
			voter->older_until = voter->granted_until;
		voter->granted_until = monotime_never();
	}
	/* A delayed request never shortens what was promised later. */
	if (voter->granted_epoch != request->epoch ||
	    voter->granted_start_ns != request->holder_start_ns ||
	    request->stamp_ns > voter->granted_stamp_ns)
		voter->granted_stamp_ns = request->stamp_ns;
	voter->granted_epoch = request->epoch;
	voter->granted_to = request->holder_id;
	voter->granted_start_ns = request->holder_start_ns;
	if (monotime_before(voter->granted_until, until))
		voter->granted_until = until;
	voter->heard = now;
	if (request->lsn.value != 0) {
		struct position position = { request->epoch, request->lsn };

		if (position_compare(position, voter->heard_position) > 0)
			voter->heard_position = position;
	}
}

void
lease_voter_release(struct lease_voter *voter,
    const struct lease_message *release, monotime_t now)
{
	if (release->epoch != voter->granted_epoch ||
	    release->holder_id != voter->granted_to ||
	    release->holder_start_ns != voter->granted_start_ns ||
	    (release->stamp_ns < voter->granted_stamp_ns &&
	    !RULE_OFF("release-stamp")))
		return;
	voter->granted_until = now;
}

bool
lease_voter_is_clear(const struct lease_voter *voter, uint64_t epoch,
    uint32_t lease_ms, monotime_t now)
{
	if (monotime_before(now, voter->older_until))
		return false;
	if (voter->granted_epoch <= epoch &&
	    monotime_before(now, voter->granted_until))
		return false;
	/*
	 * Until then a grant of an earlier run may still be in force, also
	 * behind a release: that could be a late copy from before it.
	 */
	return !monotime_before(now, monotime_add_ms(voter->started,
	    voter_wait_ms(lease_ms))) || RULE_OFF("lease-silence");
}

void
lease_holder_begin(struct lease_holder *holder, uint64_t epoch,
    uint64_t start_ns, monotime_t now)
{
	uint32_t i;

	holder->epoch = epoch;
	holder->start_ns = start_ns;
	holder->begun = now;
	holder->deadline = monotime_never();
	holder->majority_heard = monotime_never();
	for (i = 0; i < holder->voter_count; i++)
		holder->voters[i].stamp_ns = holder->voters[i].until_ns = 0;
}

void
lease_holder_set_voters(struct lease_holder *holder, uint64_t config_index,
    const uint32_t *ids, uint32_t count)
{
	uint32_t i;

	if (holder->config_index == config_index &&
	    holder->voter_count == count)
		return;
	assert(count <= VOTERS_MAX);
	holder->config_index = config_index;
	holder->voter_count = count;
	for (i = 0; i < count; i++) {
		holder->voters[i].id = ids[i];
		holder->voters[i].stamp_ns = holder->voters[i].until_ns = 0;
	}
}

/* The greatest value that a majority of the voters reaches; 0 = none. */
static int64_t
majority_value(const int64_t *values, uint32_t count)
{
	uint32_t i, j, at_least;
	int64_t best = 0;

	for (i = 0; i < count; i++) {
		at_least = 0;
		for (j = 0; j < count; j++)
			if (values[j] >= values[i])
				at_least++;
		if (at_least >= (RULE_OFF("lease-majority") ? 1 :
		    count / 2 + 1) && values[i] > best)
			best = values[i];
	}
	return best;
}

void
lease_holder_grant(struct lease_holder *holder,
    const struct lease_message *grant, uint32_t lease_ms)
{
	int64_t stamps[VOTERS_MAX], untils[VOTERS_MAX], until;
	monotime_t sent = { grant->stamp_ns };
	uint32_t i;

	if (holder->epoch == 0 || grant->epoch != holder->epoch ||
	    grant->holder_start_ns != holder->start_ns ||
	    (grant->config_index != holder->config_index &&
	    !RULE_OFF("lease-voters")) ||
	    (monotime_before(sent, holder->begun) &&
	    !RULE_OFF("grant-of-this-lease")))
		return;
	/* The setting may have changed since: what was granted counts. */
	until = monotime_add_ms(sent, grant->lease_ms < lease_ms ?
	    grant->lease_ms : lease_ms).ns;
	for (i = 0; i < holder->voter_count; i++) {
		if (holder->voters[i].id == grant->voter_id) {
			if (holder->voters[i].stamp_ns < sent.ns)
				holder->voters[i].stamp_ns = sent.ns;
			if (holder->voters[i].until_ns < until)
				holder->voters[i].until_ns = until;
		}
		stamps[i] = holder->voters[i].stamp_ns;
		untils[i] = holder->voters[i].until_ns;
	}
	sent.ns = majority_value(stamps, holder->voter_count);
	if (monotime_before(holder->majority_heard, sent))
		holder->majority_heard = sent;
	until = majority_value(untils, holder->voter_count);
	if (holder->deadline.ns < until)
		holder->deadline.ns = until;
}

bool
lease_holder_is_valid(const struct lease_holder *holder, monotime_t now)
{
	return holder->epoch != 0 && !monotime_is_never(holder->deadline) &&
	    monotime_before(now, holder->deadline);
}
