/*
 * raft_test.c - consensus: every rule by a scripted scenario, then all of
 * them together under random faults.
 *
 *	raft_test [SEEDS [FIRST]]
 *
 * Random search alone does not find the loss of every rule (counting older
 * entries, for one), so each has its own scenario.  In a build with
 * -DMUTANTS the environment variable MUTANT switches one rule off, and this
 * program must then fail.
 */
#include "raft.h"

#include "raft_net.h"
#include "tap.h"

#ifdef MUTANTS
const char *mutant;
#endif

static void
is_clean(const char *name)
{
	check_log_matching();
	if (!ok(net.violation[0] == '\0', "%s: nothing violated", name))
		printf("# %s\n", net.violation);
}

static uint64_t
last_of(uint32_t id)
{
	return raft_last_index(raft_of(id));
}

/* Never NULL: what is not there has no term. */
static const struct raft_entry *
entry_of(uint32_t id, uint64_t index)
{
	static const struct raft_entry none;
	const struct raft_entry *entry = raft_entry_at(raft_of(id), index);

	return entry != NULL ? entry : &none;
}

/* A request for a vote with the best log there is. */
static struct raft_message
vote_request(uint32_t from, uint32_t to, uint64_t term)
{
	uint32_t best = last_of(from) > last_of(to) ? from : to;
	struct raft_message m = {
		.type = RAFT_MSG_VOTE, .from = from, .to = to, .term = term,
		.prev_index = last_of(best), .prev_term = raft_of(best)->term
	};

	return m;
}

static bool
is_granted(void)
{
	return net.effects.message_count == 1 &&
	    net.effects.messages[0].type == RAFT_MSG_VOTE_REPLY &&
	    net.effects.messages[0].granted;
}

/* Waits for a role, but not for ever. */
static bool
becomes(uint32_t id, uint8_t role)
{
	int ms;

	for (ms = 0; ms < 5 * ELECTION_MS && raft_of(id)->role != role; ms++)
		run_one_ms();
	return raft_of(id)->role == role;
}

/* ---- elections ---- */

static void
test_single(void)
{
	net_reset(1);
	node_create(1, true);
	ok(!monotime_before(clock_of(&net.nodes[1]),
	    raft_next_deadline(raft_of(1))), "an only voter is due at once");
	tick(1);
	ok(raft_of(1)->role == RAFT_LEADER, "and leads with its first tick");
	ok(may_decide(1), "and may decide");
	is_int(propose(1, "x"), 0, "it takes a proposal");
	ok(net.effects.persist && net.effects.apply_last ==
	    net.effects.proposed_index && net.effects.apply_last == 3,
	    "and commits it with its own write");
	node_crash(1);
	node_restart(1);
	tick(1);
	ok(raft_of(1)->role == RAFT_LEADER && net.nodes[1].applied == 4,
	    "also after a restart, and applies all again");
	ok(propose(1, "y") == 0 && compact(1) == 0, "it compacts");
	is_int(raft_of(1)->log_count, 0, "all that was applied is folded");
	is_int(compact(1), 0, "twice changes nothing");
	ok(!net.effects.persist, "and writes nothing");
	node_crash(1);
	node_restart(1);
	tick(1);
	ok(net.nodes[1].restores == 1 && net.nodes[1].applied == 6,
	    "a restart hands the snapshot out first");
	is_int(change(1, RAFT_REMOVE, 1), RAFT_E_LAST_VOTER,
	    "the last voter stays");
	is_clean("single server");
}

static void
test_election(void)
{
	uint32_t first, second;

	make_cluster(3, 2);
	first = leader();
	is_int(first, 1, "the first server leads");
	is_int(propose(1, "before"), 0, "a proposal is taken");
	run_ms(5);
	ok(raft_of(2)->commit == last_of(1) && raft_of(3)->commit == last_of(1),
	    "followers know at once that it is committed");
	is_int(propose(2, "x"), RAFT_E_NOT_LEADER, "a follower takes none");

	node_crash(1);
	run_ms(ELECTION_MS - HEARTBEAT_MS - 10);
	is_int(leader(), 0, "nobody is elected within an election timeout");
	second = wait_leader(3 * ELECTION_MS);
	ok(second == 2 || second == 3, "then another one is");
	ok(raft_of(second)->commit == last_of(second),
	    "and commits what there was by its own first entry");
	is_int(propose(second, "after"), 0, "it takes a proposal");
	node_restart(1);
	run_ms(3 * ELECTION_MS);
	ok(leader() == second && raft_of(1)->role == RAFT_FOLLOWER &&
	    raft_of(1)->leader == second, "the old leader follows");
	is_int(net.nodes[1].applied, last_of(second), "and has all");
	is_clean("election");
}

static void
test_prevote(void)
{
	uint64_t term;

	make_cluster(3, 3);
	term = raft_of(1)->term;
	cut_off(3, true);
	run_ms(20 * ELECTION_MS);
	is_int(raft_of(3)->term, term, "alone, a server raises no term");
	ok(raft_of(3)->leader == RAFT_NOBODY, "it knows no leader");
	cut_off(3, false);
	run_ms(3 * ELECTION_MS);
	ok(leader() == 1 && raft_of(1)->term == term,
	    "when it comes back the leader stays");
	is_clean("pre-vote");
}

static void
test_stickiness(void)
{
	struct raft_message m;
	uint64_t term;

	make_cluster(3, 4);
	term = raft_of(1)->term;
	m = vote_request(3, 2, term + 1);
	hand(&m);
	ok(!is_granted() && raft_of(2)->term == term,
	    "no vote, and no new term, while a leader is heard");
	m.pre = true;
	hand(&m);
	ok(!is_granted(), "no pre-vote either");
	m = vote_request(3, 1, term + 1);
	hand(&m);
	ok(!is_granted() && raft_of(1)->role == RAFT_LEADER,
	    "the leader itself stays");
	ok(strstr(raft_of(1)->trace.text, "this server leads") != NULL,
	    "and says why");

	cut_off(1, true);
	m = vote_request(3, 2, term + 1);
	net.now += (ELECTION_MS - HEARTBEAT_MS - 1) * MS;
	hand(&m);
	ok(!is_granted(), "no vote for an election timeout of silence");
	net.now += (HEARTBEAT_MS + 2) * MS;
	hand(&m);
	ok(is_granted() && raft_of(2)->term == term + 1,
	    "a vote thereafter");
	ok(net.effects.persist, "on disk before it is given");
	is_clean("stickiness");
}

static void
test_silence_after_start(void)
{
	struct raft_message m;
	uint64_t term;

	make_cluster(3, 5);
	term = raft_of(1)->term;
	cut_off(1, true);
	node_crash(2);
	node_restart(2);
	m = vote_request(3, 2, term + 1);
	hand(&m);
	ok(!is_granted(), "a server that has just started votes for nobody");
	net.now += (ELECTION_MS - 1) * MS;
	hand(&m);
	ok(!is_granted(), "for an election timeout");
	net.now += MS;
	hand(&m);
	ok(is_granted(), "and does so thereafter");
	is_clean("silence after start");
}

static void
test_one_vote(void)
{
	struct raft_message m;
	uint64_t term;

	make_cluster(3, 6);
	term = raft_of(1)->term + 5;
	cut_off(1, true);
	net.now += 2 * ELECTION_MS * MS;
	m = vote_request(3, 2, term);
	hand(&m);
	ok(is_granted(), "the vote of a term is given");
	hand(&m);
	ok(is_granted(), "the same one again when asked again");
	m.from = 1;
	hand(&m);
	ok(!is_granted(), "but not to another");
	m.transfer = true;
	hand(&m);
	ok(!is_granted(), "not even by transfer");
	node_crash(2);
	node_restart(2);
	net.now += 2 * ELECTION_MS * MS;
	hand(&m);
	ok(!is_granted(), "not after a restart either");
	m.transfer = false;
	hand(&m);
	ok(!is_granted(), "with or without transfer");
	m.from = 3;
	hand(&m);
	ok(is_granted(), "only to the one that has it");
	is_clean("one vote");
}

static void
test_up_to_date(void)
{
	struct raft_message m;

	make_cluster(3, 7);
	propose(1, "x");
	run_ms(5);
	cut_off(1, true);
	net.now += 2 * ELECTION_MS * MS;
	m = vote_request(3, 2, raft_of(2)->term + 1);
	m.prev_index--;
	m.pre = true;
	hand(&m);
	ok(!is_granted(), "no pre-vote for a shorter log");
	m.pre = false;
	hand(&m);
	ok(!is_granted(), "no vote for a shorter log");
	m.prev_term--;
	m.prev_index += 100;
	hand(&m);
	ok(!is_granted(), "nor for a longer one of an older term");
	m.prev_term += 2;
	m.prev_index = 1;
	m.term++;
	hand(&m);
	ok(is_granted(), "a newer last term is enough");
	is_clean("up to date");
}

/* ---- the log ---- */

static bool
strip_own_term(struct raft_message *m)
{
	if (m->type == RAFT_MSG_APPEND)
		while (m->entry_count > 0 &&
		    m->entries[m->entry_count - 1].term == m->term)
			m->entry_count--;
	return true;
}

static bool
strip_all(struct raft_message *m)
{
	if (m->type == RAFT_MSG_APPEND)
		m->entry_count = 0;
	return true;
}

/*
 * Figure 8: S1 brings entries of an older term to a majority without its own
 * no-op.  They may still be overwritten, so they must not be committed.
 */
static void
test_figure8(void)
{
	uint64_t before, term;
	int i;

	make_cluster(5, 8);
	before = raft_of(1)->commit;
	cut_off(1, true);
	for (i = 0; i < 5; i++)
		propose(1, "old");
	node_crash(1);

	/* S5 is elected, takes entries at the same places, and vanishes. */
	cut_off(2, true);
	net.filter = strip_all;
	for (i = 0; i < 40 && raft_of(5)->role != RAFT_LEADER; i++) {
		struct raft_message m;

		cut_off(5, false);
		cut_off(2, true);
		cut_off(1, true);
		net.now += 2 * ELECTION_MS * MS;
		m = (struct raft_message){ .type = RAFT_MSG_TIMEOUT_NOW,
		    .from = 1, .to = 5, .term = raft_of(5)->term };
		hand(&m);
		run_ms(5);
	}
	ok(raft_of(5)->role == RAFT_LEADER, "S5 leads with S3 and S4");
	propose(5, "new");
	propose(5, "new");
	is_int(raft_of(5)->commit, before, "but commits nothing");
	cut_off(5, true);

	/* S1 is back and leads again, S5 does not hear it. */
	term = raft_of(5)->term;
	node_restart(1);
	cut_off(1, false);
	cut_off(2, false);
	cut_off(5, true);
	net.filter = strip_own_term;
	for (i = 0; i < 40 && raft_of(1)->role != RAFT_LEADER; i++) {
		net.now += 2 * ELECTION_MS * MS;
		hand(&(struct raft_message){ .type = RAFT_MSG_TIMEOUT_NOW,
		    .from = 4, .to = 1, .term = raft_of(1)->term });
		run_ms(10);
	}
	ok(raft_of(1)->role == RAFT_LEADER && raft_of(1)->term > term,
	    "S1 leads a later term");
	run_ms(500);
	ok(last_of(2) == before + 5 && last_of(3) == before + 5,
	    "its old entries are in the logs of a majority");
	is_int(raft_of(1)->commit, before, "and are not committed");
	is_int(net.truth_last, before, "nowhere");

	/* S5 takes over and overwrites them. */
	node_crash(1);
	cut_off(1, true);
	cut_off(5, false);
	cut_off(1, true);
	net.filter = NULL;
	for (i = 0; i < 40 && raft_of(5)->role != RAFT_LEADER; i++) {
		net.now += 2 * ELECTION_MS * MS;
		hand(&(struct raft_message){ .type = RAFT_MSG_TIMEOUT_NOW,
		    .from = 2, .to = 5, .term = raft_of(5)->term });
		run_ms(10);
	}
	run_ms(500);
	ok(raft_of(2)->commit > before + 2 && memcmp(entry_of(2,
	    before + 2)->data, "new", 3) == 0, "S5 may overwrite them");
	node_restart(1);
	cut_off(1, false);
	run_ms(3 * ELECTION_MS);
	is_int(net.nodes[1].applied, net.truth_last, "and S1 agrees");
	is_clean("figure 8");
}

/* A leader commits what it found only by an entry of its own. */
static void
test_noop(void)
{
	uint64_t index;
	uint32_t id;

	make_cluster(3, 9);
	net.cut[2][1] = net.cut[3][1] = true;
	propose(1, "half way");
	index = last_of(1);
	run_ms(5);
	node_crash(1);
	ok(last_of(2) == index && raft_of(2)->commit < index,
	    "followers have an entry that is not committed");
	id = wait_leader(5 * ELECTION_MS);
	ok(id != 0, "the next leader may decide without any proposal");
	ok(id != 0 && raft_of(id)->commit == index + 1,
	    "its no-op has committed the older entry");
	is_clean("no-op");
}

/* The old leader has a longer tail of its own; it acknowledges none of it. */
static void
test_false_ack(void)
{
	uint64_t before, term;
	struct raft_message m;
	uint32_t second;

	make_cluster(3, 10);
	before = raft_of(1)->commit;
	cut_off(1, true);
	propose(1, "A1");
	propose(1, "A2");
	propose(1, "A3");
	run_ms(ELECTION_MS);
	second = wait_leader(5 * ELECTION_MS);
	ok(second > 1, "the others elect a leader");
	node_crash(5 - second);
	cut_off(1, false);
	net.filter = strip_all;
	propose(second, "B");
	propose(second, "C");
	run_ms(5 * HEARTBEAT_MS);
	is_int(raft_of(second)->commit, before + 1,
	    "what only the new leader has is not committed");
	is_int(last_of(1), before + 3, "the old one still has its own");

	term = raft_of(1)->term;
	m = (struct raft_message){ .type = RAFT_MSG_APPEND, .from = second,
	    .to = 1, .term = term, .prev_index = before,
	    .prev_term = entry_of(1, before)->term };
	m.commit = before + 3;
	hand(&m);
	ok(net.effects.message_count == 1 &&
	    net.effects.messages[0].granted, "a heartbeat that matches");
	is_int(net.effects.messages[0].match, before,
	    "is acknowledged as far as it reaches");
	is_int(raft_of(1)->commit, before, "and commits no further");

	net.filter = NULL;
	run_ms(5 * HEARTBEAT_MS);
	ok(raft_of(second)->commit == before + 3 &&
	    last_of(1) == before + 3, "the entries themselves replace them");
	node_crash(second);
	node_restart(5 - second);
	ok(wait_leader(6 * ELECTION_MS) == 1,
	    "only the one that has them can lead then");
	run_ms(500);
	is_int(net.nodes[5 - second].applied, net.truth_last,
	    "and nothing is lost");
	is_clean("false acknowledgement");
}

static void
test_log_full(void)
{
	static struct raft_entry entries[RAFT_BATCH_MAX];
	struct raft_message m;
	uint32_t i, taken = 0;
	int rc;

	make_cluster(3, 11);
	net.filter = strip_all;
	while ((rc = propose(1, "fill")) == 0) {
		taken++;
		if (taken % 50 == 0)
			run_ms(HEARTBEAT_MS);
	}
	is_int(rc, RAFT_E_FULL, "a log full of uncommitted entries says so");
	ok(raft_of(1)->log_count == RAFT_LOG_MAX - RAFT_LOG_RESERVE,
	    "and keeps its reserve");
	is_int(change(1, RAFT_ADD_LEARNER, 4), RAFT_E_FULL,
	    "also before a change");
	net.filter = NULL;
	run_ms(5 * HEARTBEAT_MS);
	is_int(raft_of(1)->commit, last_of(1), "all is committed in the end");
	is_int(propose(1, "more"), RAFT_E_FULL, "it is full until compacted");
	is_int(compact(1), 0, "then it is");
	is_int(propose(1, "more"), 0, "and takes more");
	is_int(propose(1, "x") + step(1, &(struct raft_event){
	    .type = RAFT_EVENT_PROPOSE, .data = net.scratch,
	    .len = ENTRY_DATA_MAX + 1 }), RAFT_E_TOO_LARGE,
	    "a command too long for an entry is refused");
	run_ms(5 * HEARTBEAT_MS);

	/* A follower takes what it has room for, and acknowledges that. */
	for (i = 0; i < RAFT_BATCH_MAX; i++)
		entries[i] = (struct raft_entry){ .term = raft_of(3)->term,
		    .type = RAFT_ENTRY_COMMAND };
	m = (struct raft_message){ .type = RAFT_MSG_APPEND, .from = 1,
	    .to = 3, .term = raft_of(3)->term, .entries = entries };
	for (i = 0; raft_of(3)->log_count < RAFT_LOG_MAX && i < 99; i++) {
		m.prev_index = last_of(3);
		m.prev_term = m.term;
		m.entry_count = RAFT_BATCH_MAX - 1;
		hand(&m);
	}
	ok(net.effects.messages[0].granted &&
	    net.effects.messages[0].match == last_of(3) &&
	    net.effects.messages[0].match < m.prev_index + m.entry_count,
	    "a full follower acknowledges only what it took");
	net.now += 3 * ELECTION_MS * MS;
	tick(3);
	hand(&(struct raft_message){ .type = RAFT_MSG_TIMEOUT_NOW, .from = 1,
	    .to = 3, .term = raft_of(3)->term });
	ok(raft_of(3)->role == RAFT_FOLLOWER,
	    "and asks for no votes: there is no room for its no-op");
	is_clean("log full");
}

static void
test_prompt_commit(void)
{
	uint32_t i, appends = 0;
	uint64_t index;

	make_cluster(3, 12);
	propose(1, "x");
	index = net.effects.proposed_index;
	for (i = 0; i < net.effects.message_count; i++)
		appends += net.effects.messages[i].type == RAFT_MSG_APPEND;
	is_int(appends, 2, "a proposal goes out in its own step");
	run_ms(2);
	is_int(raft_of(1)->commit, index, "it is committed by the answers");
	run_ms(1);
	ok(raft_of(2)->commit == index && raft_of(3)->commit == index,
	    "which the followers learn at once");
	is_clean("prompt commit");
}

/* ---- freshness ---- */

static void
test_check_quorum(void)
{
	int ms;

	make_cluster(3, 13);
	cut_off(1, true);
	for (ms = 0; raft_of(1)->role == RAFT_LEADER && ms < 5000; ms++)
		run_one_ms();
	ok(ms <= ELECTION_MS + HEARTBEAT_MS,
	    "a leader that nobody answers steps down");
	ok(ms >= ELECTION_MS - HEARTBEAT_MS - 5, "but not too soon");
	ok(strstr(raft_of(1)->trace.text, "fewer than 2 of 3 voters") != NULL,
	    "and says why");
	cut_off(1, false);
	ok(wait_leader(5 * ELECTION_MS) != 0, "there is a leader again");
	is_clean("check-quorum");
}

/* Returns for how long after a partition the old leader may decide. */
static int
decides_for_ms(void)
{
	uint32_t i;
	int ms;

	for (i = 2; i <= NODES; i++)
		net.cut[1][i] = true;	/* answers still come in */
	for (ms = 0; ms < 5000 && may_decide(1); ms++)
		run_one_ms();
	return ms;
}

static void
test_may_decide(void)
{
	int ms;

	make_cluster(3, 14);
	ok(may_decide(1), "a leader with fresh answers may decide");
	ok(!may_decide(2), "a follower may not");
	is_int(raft_fresh_voters(raft_of(1), clock_of(&net.nodes[1])), 3,
	    "three of three are fresh");
	ms = decides_for_ms();
	ok(ms <= ELECTION_MS * 8 / 10 + 1, "it may not after a partition");
	ok(ms >= ELECTION_MS * 8 / 10 - HEARTBEAT_MS - 5, "but until then");
	ok(raft_of(1)->role == RAFT_LEADER, "though it still leads");
	ok(wait_leader(5 * ELECTION_MS) > 1, "another one decides later");

	make_cluster(3, 15);
	net.latency_ms = 300;
	run_ms(1000);
	ok(may_decide(1), "slow answers are fresh enough");
	ms = decides_for_ms();
	ok(ms <= ELECTION_MS * 8 / 10 + 1,
	    "freshness runs from the sending, however late the answer");

	make_cluster(3, 16);
	net.filter = strip_all;
	node_crash(1);
	run_ms(3 * ELECTION_MS);
	ok(leader() != 0 && !may_decide(leader()),
	    "no deciding before an entry of the own term is committed");
	is_clean("may decide");
}

/* The timeouts are a setting, which no two servers learn at one time. */
static void
test_retimed(void)
{
	struct raft_message m;
	int ms;

	make_cluster(3, 39);
	raft_of(1)->election_ms = 5 * ELECTION_MS;
	run_ms(5 * HEARTBEAT_MS);
	ms = decides_for_ms();
	ok(ms <= ELECTION_MS * 8 / 10 + 1,
	    "a leader decides only as long as its voters promise");

	make_cluster(3, 40);
	run_ms(HEARTBEAT_MS);
	cut_off(1, true);
	raft_of(2)->election_ms = 10;
	net.now += (ELECTION_MS - HEARTBEAT_MS - 1) * MS;
	m = vote_request(3, 2, raft_of(2)->term + 1);
	hand(&m);
	ok(!is_granted(), "a shorter timeout takes no promise back");

	make_cluster(3, 41);
	raft_of(1)->election_ms = ELECTION_MS / 2;
	run_ms(HEARTBEAT_MS);
	ms = decides_for_ms();
	ok(ms <= ELECTION_MS * 4 / 10 + 1,
	    "nor longer than its own timeout says");

	make_cluster(3, 42);
	cut_off(1, true);
	m = (struct raft_message){ .type = RAFT_MSG_APPEND, .from = 1,
	    .to = 2, .term = raft_of(2)->term, .prev_index = 1,
	    .prev_term = 1 };
	hand(&m);
	raft_of(2)->election_ms = 10;
	hand(&m);
	net.now += (ELECTION_MS - 1) * MS;
	m = vote_request(3, 2, raft_of(2)->term + 1);
	hand(&m);
	ok(!is_granted(), "not even when the leader is heard again");
	net.now += 2 * MS;
	hand(&m);
	ok(is_granted(), "but it ends in its time");
	is_clean("timeouts changed");
}

/* A message held back, to be handed over later. */
static struct raft_message held;

static bool
hold_timeout_now(struct raft_message *m)
{
	if (m->type != RAFT_MSG_TIMEOUT_NOW)
		return true;
	held = *m;
	return false;
}

static void
test_transfer(void)
{
	uint64_t term;
	int ms;

	make_cluster(3, 17);
	term = raft_of(1)->term;
	is_int(transfer(2, 3), RAFT_E_NOT_LEADER, "only a leader hands over");
	is_int(transfer(1, 5), RAFT_E_UNKNOWN_SERVER, "and only to a voter");
	is_int(transfer(1, 2), 0, "leadership is handed over");
	ok(raft_of(1)->role == RAFT_LEADER && !may_decide(1),
	    "from that step on the old leader decides nothing");
	is_int(propose(1, "x"), RAFT_E_BUSY, "takes no proposal");
	is_int(change(1, RAFT_REMOVE, 3), RAFT_E_BUSY, "no change");
	is_int(transfer(1, 3), RAFT_E_BUSY, "and no second transfer");
	for (ms = 0; leader() != 2 && ms < 5000; ms++)
		run_one_ms();
	ok(ms < 10, "the other one leads without waiting");
	is_int(raft_of(2)->term, term + 1, "in the very next term");
	ok(wait_leader(100) == 2, "and decides");
	node_crash(1);
	run_ms(2 * ELECTION_MS);
	is_int(transfer(2, 1), RAFT_E_NOT_CAUGHT_UP,
	    "not to one that does not answer");
	node_restart(1);
	run_ms(500);
	net.cut[2][3] = true;
	propose(2, "y");
	is_int(transfer(2, 3), 0, "one that lacks an entry gets it first");
	ok(raft_of(2)->transfer_to == 3 && !raft_of(2)->transfer_sent,
	    "and is not told to take over before");
	net.cut[2][3] = false;
	run_ms(2 * HEARTBEAT_MS);
	is_int(leader(), 3, "then it leads");

	net.cut[3][2] = true;
	propose(3, "z");
	is_int(transfer(3, 2), 0, "a target that never catches up");
	run_ms(ELECTION_MS + HEARTBEAT_MS);
	ok(leader() == 3 && may_decide(3) && raft_of(3)->term == term + 2,
	    "costs the leader nothing in the end");
	is_clean("transfer");
}

/* The target's request may come at any time: the term is spent. */
static void
test_transfer_lost(void)
{
	uint64_t term;

	make_cluster(3, 18);
	term = raft_of(1)->term;
	net.filter = hold_timeout_now;
	is_int(transfer(1, 2), 0, "leadership is handed over");
	run_ms(ELECTION_MS + HEARTBEAT_MS + 20);
	net.filter = NULL;
	ok(wait_leader(100) == 1,
	    "the target never heard of it: the old leader leads on");
	cut_off(1, true);
	hand(&held);
	run_ms(10);
	ok(leader() == 1 || !may_decide(1),
	    "and a late message makes no second one while it may decide");
	is_int(raft_of(1)->term, term + 1, "because it leads a new term");
	is_clean("lost transfer");
}

/* ---- membership ---- */

static void
test_learner(void)
{
	uint64_t before;

	make_cluster(3, 19);
	node_create(4, false);
	is_int(change(1, RAFT_ADD_LEARNER, 4), 0, "a learner is added");
	is_int(change(1, RAFT_ADD_LEARNER, 5), RAFT_E_BUSY,
	    "one change at a time");
	run_ms(50);
	is_int(change(1, RAFT_ADD_LEARNER, 4), RAFT_E_NO_CHANGE, "once");
	is_int(net.nodes[4].applied, last_of(1), "it gets all");
	cut_off(2, true);
	cut_off(3, true);
	before = raft_of(1)->commit;
	propose(1, "x");
	run_ms(ELECTION_MS / 2);
	is_int(last_of(4), before + 1, "a learner stores");
	is_int(raft_of(1)->commit, before, "but is not counted for a commit");
	run_ms(ELECTION_MS);
	ok(raft_of(1)->role != RAFT_LEADER, "nor for the quorum of a leader");
	run_ms(10 * ELECTION_MS);
	ok(raft_of(4)->role == RAFT_FOLLOWER && leader() == 0,
	    "nor is it elected");
	cut_off(2, false);
	cut_off(3, false);
	ok(wait_leader(5 * ELECTION_MS) != 0, "a majority of voters leads");
	is_clean("learner");
}

static void
test_membership(void)
{
	uint32_t id;

	make_cluster(3, 20);
	is_int(change(1, RAFT_ADD_LEARNER, 4), 0, "4 is added");
	run_ms(50);
	is_int(change(1, RAFT_PROMOTE_VOTER, 4), RAFT_E_NOT_CAUGHT_UP,
	    "one that never answered is not promoted");
	is_int(change(1, RAFT_PROMOTE_VOTER, 9), RAFT_E_UNKNOWN_SERVER,
	    "an unknown one neither");
	node_create(4, false);
	run_ms(3 * HEARTBEAT_MS);
	is_int(change(1, RAFT_PROMOTE_VOTER, 4), 0, "caught up, it is");
	run_ms(50);
	is_int(change(1, RAFT_PROMOTE_VOTER, 4), RAFT_E_NO_CHANGE, "once");
	ok(raft_voters(&raft_of(3)->committed_config) == 4 &&
	    raft_is_voter(&raft_of(3)->config, 4), "all have four voters");
	is_int(change(1, RAFT_DEMOTE_VOTER, 4), 0, "it is demoted");
	run_ms(50);
	node_crash(4);
	run_ms(2 * ELECTION_MS);
	is_int(change(1, RAFT_PROMOTE_VOTER, 4), RAFT_E_NOT_CAUGHT_UP,
	    "one that has died is not promoted");
	is_int(change(1, RAFT_REMOVE, 4), 0, "it is removed");
	run_ms(50);
	ok(raft_find_server(&raft_of(2)->committed_config, 4) == NULL,
	    "for all");
	node_restart(4);
	run_ms(10 * ELECTION_MS);
	is_int(leader(), 1, "a removed server disturbs nobody");

	is_int(change(1, RAFT_REMOVE, 1), 0, "a leader removes itself");
	ok(!may_decide(1), "decides nothing from then on");
	run_ms(10);
	ok(raft_of(1)->role != RAFT_LEADER, "and leaves when that is done");
	ok(raft_find_server(&raft_of(2)->committed_config, 1) == NULL,
	    "having told the others");
	id = wait_leader(5 * ELECTION_MS);
	ok(id == 2 || id == 3, "who elect another");
	run_ms(10 * ELECTION_MS);
	ok(leader() == id && raft_of(1)->role == RAFT_FOLLOWER,
	    "and keep it");
	is_int(change(id, RAFT_REMOVE, 5 - id), 0, "down to one");
	run_ms(50);
	is_int(change(id, RAFT_DEMOTE_VOTER, id), RAFT_E_LAST_VOTER,
	    "which stays a voter");
	ok(propose(id, "alone") == 0 && raft_of(id)->commit == last_of(id),
	    "and commits alone");
	is_clean("membership");
}

/* No change on the ground of what may still be rolled back. */
static void
test_change_needs_own_commit(void)
{
	uint32_t id;

	make_cluster(3, 21);
	net.filter = strip_all;
	node_crash(1);
	run_ms(3 * ELECTION_MS);
	id = leader();
	ok(id != 0, "there is a leader whose no-op is not committed");
	is_int(change(id, RAFT_REMOVE, 1), RAFT_E_BUSY, "it changes nothing");
	net.filter = NULL;
	run_ms(2 * HEARTBEAT_MS);
	is_int(change(id, RAFT_REMOVE, 1), 0, "before it is");
	is_clean("change needs own commit");
}

/* The voter whose vote is needed does not know yet that it is one. */
static void
test_vote_of_new_voter(void)
{
	net_reset(22);
	node_create(1, true);
	node_create(2, false);
	run_ms(5);
	change(1, RAFT_ADD_LEARNER, 2);
	run_ms(20);
	cut_off(1, true);
	is_int(change(1, RAFT_PROMOTE_VOTER, 2), 0, "a learner is promoted");
	node_crash(1);
	node_restart(1);
	cut_off(1, false);
	ok(!raft_is_voter(&raft_of(2)->config, 2), "and has not heard of it");
	ok(wait_leader(6 * ELECTION_MS) == 1,
	    "but its vote elects the leader that tells it");
	is_clean("vote of a new voter");
}

/* A member that was away follows a leader that it does not know. */
static void
test_unknown_leader(void)
{
	make_cluster(3, 23);
	node_crash(3);
	node_create(4, false);
	change(1, RAFT_ADD_LEARNER, 4);
	run_ms(50);
	is_int(change(1, RAFT_PROMOTE_VOTER, 4), 0, "4 became a voter");
	run_ms(50);
	transfer(1, 4);
	run_ms(50);
	is_int(leader(), 4, "and leads");
	node_crash(1);
	node_restart(3);
	ok(raft_find_server(&raft_of(3)->config, 4) == NULL,
	    "3 comes back and does not know it");
	run_ms(ELECTION_MS / 2);
	ok(propose(4, "x") == 0, "3 of 4 voters are needed");
	run_ms(50);
	is_int(raft_of(4)->commit, last_of(4), "and 3 is one of them");
	is_clean("unknown leader");
}

static void
test_config_rollback(void)
{
	uint32_t second;

	make_cluster(3, 24);
	cut_off(1, true);
	is_int(change(1, RAFT_REMOVE, 3), 0, "a change that nobody hears");
	ok(!raft_is_voter(&raft_of(1)->config, 3) &&
	    raft_is_voter(&raft_of(1)->committed_config, 3),
	    "is in force here, though not committed");
	run_ms(ELECTION_MS);
	second = wait_leader(5 * ELECTION_MS);
	cut_off(1, false);
	run_ms(3 * HEARTBEAT_MS);
	ok(second > 1 && raft_of(1)->leader == second,
	    "the old leader follows the others");
	ok(raft_is_voter(&raft_of(1)->config, 3) &&
	    raft_of(1)->config.index == raft_of(2)->config.index,
	    "and its change is rolled back");
	is_clean("configuration rollback");
}

/* ---- snapshots ---- */

static void
test_snapshot(void)
{
	uint32_t i;

	make_cluster(3, 25);
	node_crash(3);
	change(1, RAFT_ADD_LEARNER, 4);
	run_ms(20);
	for (i = 0; i < 20; i++)
		propose(1, "x");
	run_ms(20);
	is_int(compact(1), 0, "the leader folds what 3 lacks");
	propose(1, "y");
	node_restart(3);
	run_ms(5 * HEARTBEAT_MS);
	ok(net.nodes[3].restores == 1 && raft_of(3)->snapshot_index ==
	    raft_of(1)->snapshot_index, "3 gets the snapshot");
	is_int(net.nodes[3].applied, last_of(1), "and what follows it");
	ok(raft_find_server(&raft_of(3)->config, 4) != NULL,
	    "and the members of that time");
	node_crash(3);
	node_restart(3);
	run_ms(5 * HEARTBEAT_MS);
	ok(net.nodes[3].restores == 2 && net.nodes[3].applied == last_of(1),
	    "also after a restart");
	node_create(4, false);
	run_ms(2 * ELECTION_MS);
	ok(net.nodes[4].restores == 1 && net.nodes[4].applied == last_of(1),
	    "an empty learner is brought up by a snapshot");
	ok(change(1, RAFT_PROMOTE_VOTER, 4) == 0, "and can be promoted");
	is_clean("snapshot");
}

static void
test_snapshot_details(void)
{
	static uint8_t data[SNAPSHOT_MAX + 1];
	struct raft_config config;
	struct raft_message m;
	uint64_t last, kept;
	struct buf buf;

	make_cluster(3, 26);
	propose(1, "x");
	propose(1, "y");
	run_ms(1);
	cut_off(3, true);
	run_ms(20);
	last = last_of(3);
	ok(raft_of(3)->commit < last, "3 has entries it cannot commit");
	kept = last - 1;
	config = raft_of(3)->config;
	buf_init(&buf, data, sizeof(data));
	buf_put_u64(&buf, kept);
	buf_put_u64(&buf, net.truth[kept]);
	m = (struct raft_message){ .type = RAFT_MSG_SNAPSHOT, .from = 1,
	    .to = 3, .term = raft_of(3)->term, .prev_index = kept,
	    .prev_term = raft_of(3)->term, .snapshot = data,
	    .snapshot_len = SNAPSHOT_MAX + 1, .snapshot_config = &config };
	hand(&m);
	ok(net.effects.message_count == 0 && !net.effects.restore,
	    "a snapshot that is too long is ignored");
	m.snapshot_len = buf.len;
	config.count = 0;
	hand(&m);
	ok(net.effects.message_count == 0, "one without members, too");
	config = raft_of(3)->config;
	hand(&m);
	ok(net.effects.restore && net.effects.messages[0].match == kept,
	    "a good one is installed and acknowledged");
	is_int(last_of(3), last, "what it knew to follow it stays");
	hand(&m);
	ok(!net.effects.restore && net.effects.messages[0].match == kept,
	    "a second time it is only acknowledged");
	is_int(step(1, &(struct raft_event){ .type = RAFT_EVENT_COMPACT,
	    .data = data, .len = sizeof(data) }), RAFT_E_TOO_LARGE,
	    "a state that is too long is not folded");
	is_clean("snapshot details");
}

/* ---- disk and image ---- */

static void
test_disk_failed(void)
{
	uint64_t before, applied;

	make_cluster(3, 27);
	before = raft_of(1)->commit;
	net.nodes[1].disk_broken = true;
	propose(1, "x");
	ok(raft_of(1)->role == RAFT_FOLLOWER && net.effects.role_changed,
	    "a leader that cannot write leads no more");
	run_ms(6 * ELECTION_MS);
	ok(leader() > 1 && raft_of(leader())->commit > before,
	    "another one does");
	ok(raft_of(1)->commit == before, "while it takes nothing in");
	net.nodes[1].disk_broken = false;
	run_ms(3 * HEARTBEAT_MS);
	is_int(net.nodes[1].applied, net.truth_last,
	    "repaired, it catches up");

	/* An only voter: the commit is taken back, then given again. */
	net_reset(28);
	node_create(1, true);
	run_ms(5);
	applied = net.nodes[1].applied;
	net.nodes[1].disk_broken = true;
	propose(1, "x");
	ok(raft_of(1)->commit == applied, "nothing is committed unwritten");
	net.nodes[1].disk_broken = false;
	run_ms(3 * ELECTION_MS);
	ok(net.nodes[1].applied > applied, "later it is, once");

	/* A snapshot whose write failed is handed out again. */
	make_cluster(3, 29);
	node_crash(3);
	propose(1, "x");
	run_ms(10);
	compact(1);
	node_restart(3);
	net.nodes[3].disk_broken = true;
	run_ms(5 * HEARTBEAT_MS);
	is_int(net.nodes[3].restores, 0, "no restore before the write");
	net.nodes[3].disk_broken = false;
	run_ms(3 * ELECTION_MS);
	ok(net.nodes[3].restores > 0 &&
	    net.nodes[3].applied == net.truth_last, "but after it");
	is_clean("disk failed");
}

static void
test_force_alone(void)
{
	make_cluster(3, 30);
	propose(1, "x");
	run_ms(20);
	node_crash(1);
	node_crash(3);
	node_crash(2);
	is_int(raft_force_alone(raft_of(2)), 0, "a survivor is made alone");
	save(&net.nodes[2]);
	node_restart(2);
	tick(2);
	ok(raft_of(2)->role == RAFT_LEADER && may_decide(2) &&
	    net.nodes[2].applied == net.truth_last,
	    "and leads with all it had");
	is_clean("forced alone");
}

static void
test_image(void)
{
	static struct raft copy;
	static uint8_t damaged[RAFT_IMAGE_MAX], again[RAFT_IMAGE_MAX];
	size_t len, i, silent = 0, strange = 0;
	char errmsg[ERRMSG_MAX];
	struct reader reader;
	struct node *node;
	struct buf buf;
	int bit;

	make_cluster(3, 31);
	propose(1, "first");
	run_ms(20);
	compact(1);
	propose(1, "second");
	change(1, RAFT_DEMOTE_VOTER, 3);
	run_ms(20);
	node = &net.nodes[1];
	save(node);
	len = node->image_len;

	reader_init(&reader, node->image, len);
	is_int(raft_decode(&copy, &reader, errmsg), 0, "an image is read");
	ok(reader_is_done(&reader), "exactly to its end");
	ok(copy.term == node->raft->term && copy.self == 1 &&
	    copy.voted_for == node->raft->voted_for &&
	    copy.commit == node->raft->commit &&
	    raft_last_index(&copy) == last_of(1) &&
	    memcmp(&copy.config, &node->raft->config,
	    sizeof(copy.config)) == 0 &&
	    memcmp(&copy.committed_config, &node->raft->committed_config,
	    sizeof(copy.config)) == 0, "and says the same");

	for (i = 0; i < len; i++) {
		/* Of exactly this size, so that sanitizers see one too far. */
		uint8_t *cut = malloc(i + 1);

		if (cut == NULL)
			abort();
		memcpy(cut, node->image, i);
		reader_init(&reader, cut, i);
		errmsg[0] = '\0';
		if (raft_decode(&copy, &reader, errmsg) == 0 ||
		    errmsg[0] == '\0' || copy.self != RAFT_NOBODY)
			silent++;
		free(cut);
	}
	is_int(silent, 0, "cut short anywhere, it is refused with a message");

	for (i = 0; i < len; i++)
		for (bit = 0; bit < 8; bit++) {
			memcpy(damaged, node->image, len);
			damaged[i] ^= (uint8_t)(1u << bit);
			reader_init(&reader, damaged, len);
			errmsg[0] = '\0';
			if (raft_decode(&copy, &reader, errmsg) != 0) {
				silent += errmsg[0] == '\0';
				continue;
			}
			/* Another image then, but one without slack. */
			buf_init(&buf, again, sizeof(again));
			raft_encode(&copy, &buf);
			if (buf.len != reader.pos ||
			    memcmp(again, damaged, buf.len) != 0)
				strange++;
		}
	is_int(silent, 0, "no damage is refused without a message");
	is_int(strange, 0, "what is read is all that was written");
	is_clean("image");
}

static void
test_image_contents(void)
{
	static struct raft raft, copy;
	static uint8_t memory[RAFT_IMAGE_MAX];
	char errmsg[ERRMSG_MAX];
	struct reader reader;
	struct buf buf;
	uint32_t i;

#define REFUSED(what, name) do {					\
	raft_init(&raft, 1);						\
	raft_bootstrap(&raft);						\
	what;								\
	buf_init(&buf, memory, sizeof(memory));				\
	raft_encode(&raft, &buf);					\
	reader_init(&reader, memory, buf.len);				\
	ok(raft_decode(&copy, &reader, errmsg) == -1, "%s", name);	\
} while (0)
	REFUSED(raft.self = 0, "an image of nobody is refused");
	REFUSED(raft.commit = 2, "one committed beyond its log");
	REFUSED(raft.log[0].term = 2, "one with an entry of a later term");
	REFUSED(raft.log[0].type = 9, "one with an entry of unknown type");
	REFUSED(raft.log[0].data[0] = 9, "one with unknown members");
	REFUSED(raft.log[0].len--, "one with half of its members");
	REFUSED(raft.snapshot_len = 5, "one with a snapshot of nothing");
	REFUSED(raft.snapshot_index = 1, "one with a snapshot of no term");
	REFUSED(raft.term = UINT64_MAX, "one of an absurd term");
#undef REFUSED

	/* The longest image there can be. */
	raft_init(&raft, 1);
	raft_bootstrap(&raft);
	raft.snapshot_index = 7;
	raft.snapshot_term = 1;
	raft.snapshot_len = SNAPSHOT_MAX;
	raft.commit = 7;
	raft.snapshot_config.index = 7;
	raft.snapshot_config.count = MEMBERS_MAX;
	for (i = 0; i < MEMBERS_MAX; i++)
		raft.snapshot_config.servers[i] = (struct raft_server){
		    .id = i + 1, .voter = i < VOTERS_MAX };
	raft.log_count = RAFT_LOG_MAX;
	for (i = 0; i < RAFT_LOG_MAX; i++) {
		raft.log[i].term = 1;
		raft.log[i].type = RAFT_ENTRY_COMMAND;
		raft.log[i].len = ENTRY_DATA_MAX;
	}
	buf_init(&buf, memory, sizeof(memory));
	raft_encode(&raft, &buf);
	ok(!buf.failed, "the longest image fits into RAFT_IMAGE_MAX");
	reader_init(&reader, memory, buf.len);
	ok(raft_decode(&copy, &reader, errmsg) == 0 &&
	    raft_voters(&copy.config) == VOTERS_MAX, "and is read again");
}

/* ---- messages that are late, or cannot be ---- */

/* What follows the verified part of a log is neither committed nor acked. */
static void
test_partly_verified(void)
{
	struct raft_message m;
	uint64_t before;

	make_cluster(3, 33);
	before = raft_of(1)->commit;
	net.cut[2][1] = net.cut[3][1] = true;
	propose(1, "x");
	propose(1, "y");
	propose(1, "z");
	run_ms(5);
	m = (struct raft_message){ .type = RAFT_MSG_APPEND, .from = 1,
	    .to = 2, .term = raft_of(1)->term, .prev_index = before + 1,
	    .prev_term = raft_of(1)->term, .commit = before + 3 };
	hand(&m);
	is_int(raft_of(2)->commit, before + 1,
	    "committed is what is committed and verified");
	is_int(net.effects.messages[0].match, before + 1,
	    "acknowledged is what is verified");
	m.prev_index = before - 1;
	m.prev_term = entry_of(2, before - 1)->term;
	hand(&m);
	ok(raft_of(2)->commit == before + 1 && last_of(2) == before + 3,
	    "an older message takes nothing back");
	is_clean("partly verified");
}

static void
test_late_stamps(void)
{
	struct raft_message m;
	uint64_t old_term;

	make_cluster(3, 34);
	old_term = raft_of(1)->term;
	cut_off(1, true);
	run_ms(ELECTION_MS);
	ok(wait_leader(5 * ELECTION_MS) > 1, "there is a new leader");
	m = (struct raft_message){ .type = RAFT_MSG_APPEND, .from = 1,
	    .to = 2, .term = old_term, .stamp_ns = 77 };
	hand(&m);
	ok(!net.effects.messages[0].granted &&
	    net.effects.messages[0].term > old_term, "an old one is refused");
	is_int(net.effects.messages[0].stamp_ns, 0,
	    "and its stamp is not sent back");

	make_cluster(3, 35);
	cut_off(1, true);
	m = (struct raft_message){ .type = RAFT_MSG_APPEND_REPLY, .from = 2,
	    .to = 1, .term = raft_of(1)->term, .granted = true,
	    .promise_ms = ELECTION_MS, .stamp_ns = net.now + 10 * ELECTION_MS * MS };
	hand(&m);
	run_ms(ELECTION_MS - HEARTBEAT_MS);
	ok(raft_of(1)->role == RAFT_LEADER && !may_decide(1),
	    "an answer to what has not been sent yet is not fresh");
	is_clean("late stamps");

	/* Elected again: what an earlier reign has sent counts no more. */
	make_cluster(3, 36);
	m.stamp_ns = net.now;
	node_crash(2);
	node_crash(3);
	ok(becomes(1, RAFT_PRE_CANDIDATE), "a leader lost its voters");
	m.stamp_ns = net.now;
	run_ms(10);
	hand(&(struct raft_message){ .type = RAFT_MSG_VOTE_REPLY, .from = 2,
	    .to = 1, .term = raft_of(1)->term + 1, .pre = true,
	    .granted = true });
	hand(&(struct raft_message){ .type = RAFT_MSG_VOTE_REPLY, .from = 2,
	    .to = 1, .term = raft_of(1)->term, .granted = true });
	ok(raft_of(1)->role == RAFT_LEADER, "it is elected again");
	m.term = raft_of(1)->term;
	m.match = last_of(1);
	hand(&m);
	ok(raft_of(1)->commit == last_of(1) && !may_decide(1),
	    "a stamp from before its election is not fresh");
	m.stamp_ns = net.now;
	m.promise_ms = ELECTION_MS;
	hand(&m);
	ok(may_decide(1), "one from after it is");
	is_clean("earlier reign");
}

static void
test_late_replies(void)
{
	struct raft_message m;
	uint64_t term, commit;
	uint32_t i;

	make_cluster(5, 37);
	for (i = 2; i <= 5; i++)
		node_crash(i);
	term = raft_of(1)->term;
	commit = raft_of(1)->commit;
	propose(1, "x");
	m = (struct raft_message){ .type = RAFT_MSG_APPEND_REPLY, .from = 2,
	    .to = 1, .term = term - 1, .granted = true, .match = last_of(1) };
	hand(&m);
	m.from = 3;
	hand(&m);
	is_int(raft_of(1)->commit, commit,
	    "acknowledgements of an older term count for nothing");
	m.term = term;
	m.match = last_of(1) + 1;
	hand(&m);
	m.from = 2;
	hand(&m);
	is_int(raft_of(1)->commit, commit, "nor do impossible ones");
	m.from = 6;
	m.match = last_of(1);
	hand(&m);
	m.from = 2;
	hand(&m);
	is_int(raft_of(1)->commit, commit, "nor those of strangers");
	m.from = 3;
	hand(&m);
	is_int(raft_of(1)->commit, last_of(1), "good ones do");

	ok(becomes(1, RAFT_PRE_CANDIDATE), "alone it asks for pre-votes");
	m = (struct raft_message){ .type = RAFT_MSG_VOTE_REPLY, .to = 1,
	    .term = term, .pre = true, .granted = true };
	for (m.from = 2; m.from <= 4; m.from++)
		hand(&m);
	ok(raft_of(1)->role == RAFT_PRE_CANDIDATE && raft_of(1)->term == term,
	    "pre-votes of an older round count for nothing");
	m.term = term + 1;
	for (m.from = 2; m.from <= 3; m.from++)
		hand(&m);
	is_int(raft_of(1)->role, RAFT_CANDIDATE, "those of this round do");
	m.pre = false;
	m.term = term;
	for (m.from = 2; m.from <= 4; m.from++)
		hand(&m);
	is_int(raft_of(1)->role, RAFT_CANDIDATE,
	    "votes of an older term count for nothing");
	m.term = term + 1;
	m.from = 3;
	hand(&m);
	hand(&m);
	is_int(raft_of(1)->role, RAFT_CANDIDATE, "one twice counts once");
	m.from = 2;
	m.granted = false;
	hand(&m);
	is_int(raft_of(1)->role, RAFT_CANDIDATE, "a refusal is none");
	m.granted = true;
	hand(&m);
	is_int(raft_of(1)->role, RAFT_LEADER, "those of this term do");
	is_clean("late replies");
}

static void
test_pretenders(void)
{
	struct raft_message m;

	make_cluster(3, 38);
	m = (struct raft_message){ .type = RAFT_MSG_APPEND, .from = 3,
	    .to = 2, .term = raft_of(1)->term, .prev_index = 1,
	    .prev_term = 1 };
	hand(&m);
	ok(net.effects.message_count == 0 && raft_of(2)->leader == 1,
	    "a second leader of the term is not followed");
	m.to = 1;
	hand(&m);
	ok(raft_of(1)->role == RAFT_LEADER, "least of all by the first");

	/* A member whose disk is gone: its vote may have been given. */
	node_create(4, false);
	net.now += 2 * ELECTION_MS * MS;
	m = vote_request(1, 4, raft_of(1)->term + 1);
	hand(&m);
	ok(!is_granted(), "a server that knows no members votes for nobody");
	m.transfer = true;
	hand(&m);
	ok(!is_granted(), "nor by transfer");
	is_clean("pretenders");
}

/* ---- nonsense from a member ---- */

static void
random_message(struct raft_message *m, struct raft_entry *entries,
    struct raft_config *config, uint8_t *data)
{
	const struct raft *raft = raft_of(2);
	uint32_t i;

	memset(m, 0, sizeof(*m));
	m->type = (uint8_t)(net_random() % 8);
	m->pre = one_in(2);
	m->granted = one_in(2);
	m->transfer = one_in(4);
	m->from = (uint32_t)(net_random() % 5);
	m->to = one_in(50) ? 3 : 2;
	m->term = one_in(200) ? UINT64_MAX : raft->term + one_in(20) -
	    one_in(20);
	m->prev_index = one_in(20) ? net_random() :
	    raft_last_index(raft) + 3 - net_random() % 8;
	m->prev_term = one_in(4) ? net_random() % 5 : raft->term;
	m->commit = one_in(20) ? UINT64_MAX : raft->commit + net_random() % 3;
	m->match = net_random() % 300;
	m->stamp_ns = one_in(4) ? (int64_t)net_random() : net.now;
	m->entry_count = (uint32_t)(net_random() % (RAFT_BATCH_MAX + 3));
	m->entries = one_in(20) ? NULL : entries;
	for (i = 0; i < RAFT_BATCH_MAX + 2; i++) {
		entries[i].term = raft->term;
		entries[i].type = (uint8_t)(1 + net_random() % 2);
		entries[i].len = 0;
		if (one_in(10)) {
			entries[i].type = (uint8_t)net_random();
			entries[i].len = (uint16_t)net_random();
			entries[i].term = net_random() % 9;
			memset(entries[i].data, (int)(net_random() & 3), 64);
		}
	}
	m->snapshot = one_in(4) ? NULL : data;
	m->snapshot_len = net_random() % 100;
	*config = raft->config;
	config->count = (uint32_t)(net_random() % (MEMBERS_MAX + 2));
	m->snapshot_config = one_in(10) ? NULL : config;
}

/* A server that is given nonsense by a member may stop, never fall. */
static void
test_nonsense(void)
{
	static struct raft_entry entries[RAFT_BATCH_MAX + 2];
	static uint8_t data[128];
	struct raft_config config;
	struct raft_message m;
	uint64_t term, commit;
	int i, backwards = 0, unreadable = 0;
	char errmsg[ERRMSG_MAX];
	static struct raft copy;
	struct reader reader;

	make_cluster(3, 32);
	for (i = 0; i < 20000; i++) {
		term = raft_of(2)->term;
		commit = raft_of(2)->commit;
		random_message(&m, entries, &config, data);
		m.snapshot_len = m.snapshot_len == 0 ? SNAPSHOT_MAX + 1 : 0;
		raft_step(raft_of(m.to), &(struct raft_event){
		    .type = RAFT_EVENT_MESSAGE, .message = &m },
		    clock_of(&net.nodes[2]), &net.effects);
		if (one_in(10)) {
			net.now += (int64_t)(net_random() % 3000) * MS;
			raft_step(raft_of(2), &(struct raft_event){
			    .type = RAFT_EVENT_TICK },
			    clock_of(&net.nodes[2]), &net.effects);
		}
		backwards += raft_of(2)->term < term ||
		    raft_of(2)->commit < commit ||
		    raft_of(2)->log_count > RAFT_LOG_MAX ||
		    raft_of(2)->commit > last_of(2);
		if (one_in(100)) {
			save(&net.nodes[2]);
			reader_init(&reader, net.nodes[2].image,
			    net.nodes[2].image_len);
			unreadable += raft_decode(&copy, &reader, errmsg) != 0;
		}
		if (one_in(200))
			raft_step(raft_of(2), &(struct raft_event){
			    .type = RAFT_EVENT_COMPACT, .data = data,
			    .len = 16 }, clock_of(&net.nodes[2]),
			    &net.effects);
	}
	is_int(backwards, 0, "20000 nonsensical messages do no harm");
	is_int(unreadable, 0, "and leave nothing that cannot be read again");
}

/* ---- everything at once ---- */

static struct {
	uint64_t leaders, entries, snapshots, changes, transfers;
} seen;

static void
random_cuts(void)
{
	uint32_t i, j;

	for (i = 1; i <= NODES; i++)
		for (j = 1; j <= NODES; j++)
			net.cut[i][j] = false;
	if (one_in(3))
		return;
	if (one_in(3)) {	/* one way only */
		i = 1 + (uint32_t)(net_random() % NODES);
		for (j = 1; j <= NODES; j++)
			net.cut[i][j] = i != j;
		return;
	}
	if (one_in(3)) {
		i = 1 + (uint32_t)(net_random() % NODES);
		cut_off(i, true);
		return;
	}
	for (i = 1; i <= NODES; i++)
		for (j = i + 1; j <= NODES; j++)
			net.cut[i][j] = net.cut[j][i] = one_in(3);
}

static void
random_change(uint32_t id)
{
	uint32_t other = 1 + (uint32_t)(net_random() % NODES);
	uint8_t what = (uint8_t)(1 + net_random() % 4);

	if (net.nodes[other].raft == NULL)
		node_create(other, false);
	if (what > RAFT_PROMOTE_VOTER &&
	    raft_voters(&raft_of(id)->config) <= 2)
		return;
	seen.changes += change(id, what, other) == 0;
}

static void
random_fault(void)
{
	uint32_t id = 1 + (uint32_t)(net_random() % NODES);
	struct node *node = &net.nodes[id];

	if (node->raft == NULL)
		return;
	switch (net_random() % 6) {
	case 0:
		random_cuts();
		break;
	case 1:
		if (node->up)
			node_crash(id);
		break;
	case 2:		/* the leader, after all, is who matters most */
		if (leader() != 0)
			cut_off(leader(), true);
		break;
	case 3:
		node->frozen_until = net.now +
		    (int64_t)(net_random() % 3000) * MS;
		break;
	case 4:
		node->disk_broken = one_in(3);
		break;
	default:	/* gone and back before anybody has noticed */
		if (node->up) {
			node_crash(id);
			node_restart(id);
		}
		break;
	}
}

static void
random_repair(void)
{
	uint32_t id = 1 + (uint32_t)(net_random() % NODES);
	struct node *node = &net.nodes[id];

	if (node->raft != NULL && !node->up)
		node_restart(id);
	node->disk_broken = false;
	cut_off(id, false);
	/* Never longer than the silence after the next start. */
	if (node->raft != NULL && one_in(4))
		node->raft->election_ms = ELECTION_MS / 2 +
		    (uint32_t)(net_random() % (ELECTION_MS / 2));
}

static void
random_load(void)
{
	uint32_t id = 1 + (uint32_t)(net_random() % NODES);
	struct node *node = &net.nodes[id];
	char text[32];

	if (node->raft == NULL || !is_awake(id))
		return;
	if (node->raft->log_count > 40 + net_random() % 100) {
		compact(id);
		return;
	}
	if (node->raft->role != RAFT_LEADER)
		return;
	if (one_in(40)) {
		random_change(id);
	} else if (one_in(60)) {
		seen.transfers += transfer(id, 1 +
		    (uint32_t)(net_random() % NODES)) == 0;
	} else {
		snprintf(text, sizeof(text), "%u/%" PRIu64, id,
		    net_random() % 1000000);
		propose(id, text);
	}
}

/* After all faults have ended everybody must agree, and go on. */
static bool
heals(void)
{
	uint64_t before = net.truth_last;
	const struct raft_config *config;
	uint32_t i, id;

	memset(net.cut, 0, sizeof(net.cut));
	net.loss_percent = net.dup_percent = 0;
	/* An answer must come within an election timeout. */
	if (net.jitter_ms > ELECTION_MS / 10)
		net.jitter_ms = ELECTION_MS / 10;
	for (i = 1; i <= NODES; i++) {
		struct node *node = &net.nodes[i];

		node->disk_broken = false;
		node->frozen_until = 0;
		if (node->raft != NULL && !node->up)
			node_restart(i);
	}
	run_ms(10 * ELECTION_MS);
	id = wait_leader(20 * ELECTION_MS);
	if (id == 0) {
		violated("nobody leads although all is well");
		return false;
	}
	if (raft_of(id)->log_count > RAFT_LOG_COMPACT)
		compact(id);
	if (propose(id, "the end") != 0)
		violated("the last proposal is refused");
	run_ms(2 * ELECTION_MS);
	if (net.truth_last <= before)
		violated("the last proposal is not committed");
	config = &raft_of(id)->config;
	for (i = 0; i < config->count; i++)
		if (net.nodes[config->servers[i].id].applied !=
		    net.truth_last)
			violated("%u of leader %u has applied %" PRIu64
			    " of %" PRIu64, config->servers[i].id, id,
			    net.nodes[config->servers[i].id].applied,
			    net.truth_last);
	return net.violation[0] == '\0';
}

static bool
run_seed(uint64_t seed)
{
	uint32_t i, ms;

	make_cluster(seed % 3 == 0 ? 5 : 3, seed);
	net.jitter_ms = 1 + (int64_t)(net_random() %
	    (one_in(3) ? ELECTION_MS : 60));
	net.loss_percent = (uint32_t)(net_random() % 15);
	net.dup_percent = (uint32_t)(net_random() % 15);
	net.drift_since = net.now;
	for (i = 1; i <= NODES; i++)
		net.nodes[i].drift_ppm =
		    (int64_t)(net_random() % 40000) - 20000;
	for (ms = 0; ms < 30000 && net.violation[0] == '\0'; ms++) {
		run_one_ms();
		if (one_in(700))
			random_fault();
		if (one_in(500))
			random_repair();
		if (one_in(10))
			random_load();
		if (one_in(500))
			check_log_matching();
	}
	if (net.violation[0] == '\0')
		heals();
	check_log_matching();
	for (i = 1; i <= NODES; i++)
		seen.snapshots += net.nodes[i].restores;
	for (i = 0; i < 4096; i++)
		seen.leaders += net.leader_of[i] != 0;
	seen.entries += net.truth_last;
	return net.violation[0] == '\0';
}

static void
test_random(uint64_t first, uint64_t count)
{
	uint64_t seed, good = 0;

	memset(&seen, 0, sizeof(seen));
	for (seed = first; seed < first + count; seed++) {
		if (run_seed(seed)) {
			good++;
			continue;
		}
		printf("# seed %" PRIu64 ": %s\n", seed, net.violation);
		if (seed - first - good >= 4)
			break;
	}
	printf("# %" PRIu64 " leaders, %" PRIu64 " entries, %" PRIu64
	    " restores, %" PRIu64 " changes, %" PRIu64 " transfers\n",
	    seen.leaders, seen.entries, seen.snapshots, seen.changes,
	    seen.transfers);
	ok(good == count, "%" PRIu64 " random seeds hold every invariant",
	    count);
	ok(count < 20 || (seen.leaders > 4 * count && seen.entries > 50 *
	    count && seen.snapshots > count && seen.changes > count &&
	    seen.transfers > count), "and were not idle");
}

int
main(int argc, char **argv)
{
	uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 500;
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

#ifdef MUTANTS
	mutant = getenv("MUTANT");
#endif
	test_single();
	test_election();
	test_prevote();
	test_stickiness();
	test_silence_after_start();
	test_one_vote();
	test_up_to_date();
	test_figure8();
	test_noop();
	test_false_ack();
	test_log_full();
	test_prompt_commit();
	test_check_quorum();
	test_may_decide();
	test_retimed();
	test_transfer();
	test_transfer_lost();
	test_learner();
	test_membership();
	test_change_needs_own_commit();
	test_vote_of_new_voter();
	test_unknown_leader();
	test_config_rollback();
	test_snapshot();
	test_snapshot_details();
	test_disk_failed();
	test_force_alone();
	test_image();
	test_image_contents();
	test_partly_verified();
	test_late_stamps();
	test_late_replies();
	test_pretenders();
	test_nonsense();
	test_random(first, count);
	net_reset(0);
	return done_testing();
}
