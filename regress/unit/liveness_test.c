/*
 * liveness_test.c - down or merely quiet: unknown is never down.
 */
#include "cluster.h"

static struct primary_evidence evidence;

static void
look(void)
{
	liveness_primary(&w.state, &w.view, w.now, &evidence);
}

static enum liveness
liveness(uint32_t id)
{
	return liveness_of(&w.state, &w.view, id, w.now);
}

static void
test_ages(void)
{
	cluster_start(3);
	is_int(liveness(1), LIVENESS_FRESH, "heard now: fresh");
	pass_ms(500);
	is_int(liveness(1), LIVENESS_FRESH, "two and a half heartbeats: "
	    "fresh");
	pass_ms(1);
	is_int(liveness(1), LIVENESS_LATE, "longer: late");
	pass_ms(998);
	is_int(liveness(1), LIVENESS_LATE, "just below detect: late");
	pass_ms(1);
	is_int(liveness(1), LIVENESS_SILENT, "detect: silent");
	set_setting("detect", 4000);
	is_int(liveness(1), LIVENESS_LATE, "as the setting says");
	is_int(liveness(99), LIVENESS_UNKNOWN, "nobody: unknown");
}

static void
test_unknown_is_not_down(void)
{
	cluster_start(3);
	view_reset(&w.view, w.now);
	pass_ms(3600000);
	is_int(liveness(1), LIVENESS_UNKNOWN, "never heard for an hour: "
	    "unknown, not down");
	look();
	is_int(evidence.asked, 0, "who was not heard says nothing");
	ok(!evidence.majority_silent, "unknown is no majority of silence");
	ok(!evidence.majority_clear, "nor of clear leases");
	report_of(2)->primary_silence_ms = 60000;
	report_of(2)->clear = true;
	say(2);
	look();
	is_int(evidence.silent, 1, "one voter of three misses it");
	ok(!evidence.majority_silent, "one of three heard, and silent: no "
	    "majority");
	ok(!evidence.majority_clear, "one of three clear: no majority");
}

static void
test_evidence(void)
{
	cluster_start(3);
	look();
	is_int(evidence.members, 3, "three vote");
	is_int(evidence.asked, 2, "all but the primary itself are asked");
	ok(!evidence.majority_silent, "a healthy primary is not silent");
	report_of(2)->primary_silence_ms = 1499;
	report_of(3)->primary_silence_ms = 1500;
	report_of(2)->primary_port = PORT_ANSWERS;
	report_of(3)->primary_port = PORT_SILENT;
	report_of(3)->clear = true;
	say(2);
	say(3);
	look();
	is_int(evidence.silent, 1, "below detect is not silence");
	is_int(evidence.port_answers, 1, "an answer of the port");
	is_int(evidence.port_dead, 1, "a silent port");
	is_int(evidence.clear, 1, "a clear voter");
	ok(!evidence.majority_silent, "one of three is no majority");
	report_of(2)->primary_silence_ms = 1500;
	report_of(2)->primary_port = PORT_REFUSED;
	report_of(2)->clear = true;
	say(2);
	look();
	ok(evidence.majority_silent, "two of three are");
	ok(evidence.majority_clear, "also when clear");
	is_int(evidence.port_dead, 2, "a refused connection is a dead port");
	report_of(2)->primary_port = PORT_NOT_TRIED;
	say(2);
	look();
	is_int(evidence.port_dead, 1, "a port not tried is neither");
	is_int(evidence.port_answers, 0, "nor an answer");
	pass_ms(600);
	say(2);
	look();
	is_int(evidence.asked, 1, "late agents are not asked");
	ok(!evidence.majority_silent, "what they said before is old");
}

static void
test_who_counts(void)
{
	cluster_start(4);	/* n4 is a learner */
	report_of(3)->primary_silence_ms = 9000;
	report_of(4)->primary_silence_ms = 9000;
	report_of(4)->clear = report_of(3)->clear = true;
	say(3);
	say(4);
	look();
	is_int(evidence.silent, 2, "a learner's word is heard");
	ok(!evidence.majority_silent, "but a learner makes no majority");
	ok(!evidence.majority_clear, "not of clear leases either");
	report_of(1)->primary_silence_ms = 9000;
	report_of(1)->clear = true;
	say(1);
	look();
	ok(!evidence.majority_silent, "nor does the primary about itself");
}

/* n2 was promoted; n3 has not applied that and speaks of n1. */
static void
test_of_which_primary(void)
{
	cluster_start(3);
	seal(2);
	promote(2, 2, 1, 1, 3);
	opened(2, HERE);
	be_well_all();
	report_of(3)->primary_silence_ms = 9000;
	report_of(3)->primary_port = PORT_SILENT;
	report_of(3)->clear = true;
	report_of(3)->applied_index = w.state.promote_index - 1;
	w.view.hearings[2].report = *report_of(3);
	report_of(1)->primary_silence_ms = 9000;
	say(1);
	look();
	is_int(evidence.asked, 1, "who has not applied the promotion is not "
	    "asked about its primary");
	is_int(evidence.port_dead + evidence.clear, 0,
	    "neither about ports nor leases");
	ok(!evidence.majority_silent, "nor does it make a majority");
	report_of(3)->applied_index = w.state.promote_index;
	w.view.hearings[2].report = *report_of(3);
	look();
	ok(evidence.majority_silent, "once applied it does");
}

static void
test_hearing(void)
{
	const struct hearing *h;
	uint32_t i;

	cluster_start(3);
	pass_ms(1000);
	report_of(2)->applied_index = 1;
	state_hear(&w.view, report_of(2), w.now);
	h = view_of(&w.view, 2);
	ok(h->at.ns < w.now.ns, "an older report of the same run is no news");
	report_of(2)->agent_start_ns++;
	state_hear(&w.view, report_of(2), w.now);
	ok(h->at.ns == w.now.ns, "of a restarted agent it is");
	ok(view_of(&w.view, 0) == NULL, "nobody has id 0");
	report_of(0)->member_id = 0;
	state_hear(&w.view, report_of(0), w.now);
	ok(view_of(&w.view, 0) == NULL, "and is not heard");

	ok(monotime_is_never(h->unhealthy_since), "a healthy standby");
	report_of(2)->receiver_streaming = false;
	say(2);
	ok(h->unhealthy_since.ns == w.now.ns &&
	    monotime_is_never(h->healthy_since), "stops streaming: since now");
	pass_ms(100);
	say(2);
	ok(monotime_diff_ms(w.now, h->unhealthy_since) == 100,
	    "and stays so since then");
	report_of(2)->receiver_streaming = true;
	say(2);
	ok(h->healthy_since.ns == w.now.ns, "streams again: since now");
	pass_ms(100);
	report_of(2)->incarnation++;
	say(2);
	ok(h->healthy_since.ns == w.now.ns,
	    "a new incarnation begins its health anew");

	for (i = 1; i <= MEMBERS_MAX + 1; i++) {
		report_of(3)->member_id = i + 100;
		state_hear(&w.view, report_of(3), w.now);
	}
	ok(view_of(&w.view, 1) != NULL && view_of(&w.view, 101) != NULL,
	    "more reporters than slots: the first stay");
}

int
main(void)
{
	test_ages();
	test_unknown_is_not_down();
	test_evidence();
	test_who_counts();
	test_of_which_primary();
	test_hearing();
	is_text(liveness_name(LIVENESS_UNKNOWN), "not heard yet",
	    "unknown is not called down");
	return done_testing();
}
