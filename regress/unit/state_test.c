/*
 * state_test.c - what the agreed state lets happen, and its bytes.
 */
#include "cluster.h"

static uint8_t image[2 * SNAPSHOT_MAX];

static void
is_ignored(bool effect, const char *why, const char *name)
{
	ok(!effect, "%s: no effect", name);
	is_text(w.why, why, "  because");
}

static const struct cover *
newest(void)
{
	return &w.state.covers[w.state.cover_count - 1];
}

/* ---- the rules that protect data ---- */

/* From the seal on the cover of every older epoch is frozen. */
static void
test_frozen(void)
{
	struct command begin, done, drop;
	struct cover before;

	cluster_start(3);
	sync_begin(1, 2, 0);
	before = *newest();
	begin = command_of(CMD_SYNC_BEGIN);
	begin.u.sync_begin.epoch = 1;
	done = command_of(CMD_SYNC_DONE);
	done.u.sync_done.epoch = 1;
	done.u.sync_done.version = w.state.sync_version;
	drop = command_of(CMD_COVER_DROP);
	seal(2);
	/* Even if they were decided upon the present version. */
	begin.based_on = done.based_on = drop.based_on = w.state.version;
	is_ignored(apply(&begin), "the cover of epoch 1 is frozen",
	    "frozen from the seal on: \"async since\"");
	begin.u.sync_begin.list = list_of(1, 2, 3);
	is_ignored(apply(&begin), "the cover of epoch 1 is frozen",
	    "frozen from the seal on: a wider list");
	is_ignored(apply(&done), "the cover of epoch 1 is frozen",
	    "frozen from the seal on: a confirmation");
	is_ignored(apply(&drop), "covers are frozen",
	    "frozen from the seal on: dropping");
	begin.u.sync_begin.epoch = done.u.sync_done.epoch = 2;
	is_ignored(apply(&begin), "the cover of epoch 2 is frozen",
	    "an epoch not promoted has no list");
	ok(memcmp(newest(), &before, sizeof(before)) == 0,
	    "the cover is what it was");
	promote(2, 2, 1, 3, 0);
	begin.based_on = done.based_on = w.state.version;
	begin.u.sync_begin.epoch = done.u.sync_done.epoch = 1;
	is_ignored(apply(&begin), "the cover of epoch 1 is frozen",
	    "frozen after the promotion too");
	is_ignored(apply(&done), "the cover of epoch 1 is frozen",
	    "and its confirmation");
}

static void
test_old_version(void)
{
	static const uint8_t types[] = { CMD_SEAL, CMD_PROMOTE, CMD_OPENED,
	    CMD_SYNC_BEGIN, CMD_SYNC_DONE, CMD_COVER_DROP };
	char name[80];
	size_t i;
	int older;

	for (i = 0; i < sizeof(types); i++)
		for (older = 0; older < 2; older++) {
			struct command c;

			cluster_start(3);
			if (types[i] == CMD_PROMOTE || types[i] == CMD_OPENED)
				seal(2);
			if (types[i] == CMD_OPENED)
				promote(2, 2, 1, 3, 0);
			c = command_of(types[i]);
			switch (types[i]) {
			case CMD_SEAL:
				c.u.seal.epoch = 2;
				break;
			case CMD_PROMOTE:
				c = promotion(2, 2, 1, 3, 0);
				break;
			case CMD_OPENED:
				c.u.opened.epoch = 2;
				break;
			case CMD_SYNC_BEGIN:
				c.u.sync_begin.epoch = 1;
				break;
			case CMD_SYNC_DONE:
				c.u.sync_done.epoch = 1;
				c.u.sync_done.version =
				    w.state.sync_version;
				break;
			default:
				break;
			}
			if (older)
				c.based_on--;
			snprintf(name, sizeof(name), "%s decided upon %s "
			    "version", command_name(types[i]),
			    older ? "an old" : "the present");
			ok(apply(&c) == !older, "%s %s effect", name,
			    older ? "has no" : "has");
		}
	cluster_start(3);
	{
		struct command c = command_of(CMD_SEAL);

		c.u.seal.epoch = 2;
		c.based_on = 0;
		ok(!apply(&c), "a decision that rests on nothing has no "
		    "effect");
		is_text(w.why, "decided upon version 0, now 3",
		    "  and says so");
	}
}

/* Each decision makes a new version; what decides nothing does not. */
static void
test_versions(void)
{
	uint64_t version;

#define RISES(what, name) do {						\
	version = w.state.version;					\
	ok((what) && w.state.version == version + 1, "%s", (name));	\
} while (0)
	cluster_start(3);
	RISES(sync_begin(1, 2, 0), "a new list is a new version");
	RISES(sync_done(), "so is its confirmation");
	RISES(seal(2), "and a seal");
	RISES(promote(2, 2, 1, 3, 0), "and a promotion");
	RISES(opened(2, HERE), "and its opening");
	RISES(drop_covers(1), "and dropping covers");
#undef RISES
	version = w.state.version;
	set_setting("detect", 2000);
	pause_until(1);
	is_int((long long)w.state.version, (long long)version,
	    "a setting or a pause is not");
	seal(9);
	is_int((long long)w.state.version, (long long)version,
	    "nor what had no effect");
}

static void
test_seal(void)
{
	struct command c;

	state_init(&w.state);
	is_ignored(seal(1), "epoch 1 is not the one to seal next",
	    "a seal without a cluster");
	cluster_start(3);
	is_ignored(seal(1), "epoch 1 is not the one to seal next",
	    "a seal of the present epoch");
	is_ignored(seal(3), "epoch 3 is not the one to seal next",
	    "a seal that leaves one out");
	is_int(state_phase(&w.state), REIGN_OPEN, "open so far");
	ok(seal(2), "a seal of the next has effect");
	is_int(state_phase(&w.state), REIGN_SEALING, "and is open");
	is_text(w.state.seal_why, "sealed by a test", "with its reason");
	is_int((long long)w.state.seal_index, (long long)w.state.applied,
	    "and entry");
	is_ignored(seal(2), "epoch 2 is not the one to seal next",
	    "the same seal again");
	is_ignored(seal(3), "epoch 3 is not the one to seal next",
	    "the next before somebody was promoted");
	c = promotion(3, 2, 1, 3, 0);
	is_ignored(apply(&c), "epoch 3 is not sealed for",
	    "a promotion of another epoch");
	ok(promote(2, 2, 1, 3, 0), "a promotion of the sealed one");
	is_int(state_phase(&w.state), REIGN_PROMOTING, "is under way");
	is_ignored(promote(2, 3, 1, 2, 0), "epoch 2 is not sealed for",
	    "a second promotion in one epoch");
	is_ignored(opened(1, 5), "epoch 1 is not the newest",
	    "an opening of another epoch");
	ok(seal(3), "a burnt promotion: the next is sealed");
	is_ignored(opened(2, 5), "no promotion is waiting",
	    "an opening behind the next seal");
	ok(!state_reign(&w.state)->opened, "the burnt epoch never opened");
	ok(promote(3, 3, 1, 2, 0) && opened(3, HERE), "the next one does");
	is_int(state_phase(&w.state), REIGN_OPEN, "open");
	is_ignored(opened(3, 5), "no promotion is waiting", "once is once");
}

static void
test_promote_whom(void)
{
	struct command c;
	uint32_t id;

	cluster_make(3, true);
	seal(2);
	c = promotion(2, 2, 0, 0, 0);
	c.u.promote.primary_incarnation++;
	is_ignored(apply(&c), "the node to promote is not what it was",
	    "a stale incarnation is never promoted");
	c = promotion(2, 3, 0, 0, 0);
	is_ignored(apply(&c), "the node to promote is not what it was",
	    "nor a witness");
	id = add_member("n7", true);
	c = promotion(2, id, 0, 0, 0);
	remove_member(id);
	is_ignored(apply(&c), "the node to promote is not what it was",
	    "nor a member that was removed meanwhile");
	ok(promote(2, 2, 0, 0, 0), "a data node as it was is");
}

/* ---- covers ---- */

static void
is_cover(const struct cover *cover, uint8_t k, uint8_t count,
    const char *name)
{
	if (!ok(cover->k == k && cover->count == count, "%s", name))
		printf("# got any %u of %u\n", cover->k, cover->count);
}

static void
test_cover(void)
{
	struct command c;

	cluster_start(3);
	is_cover(newest(), 1, 2, "settled: any 1 of two");
	ok(sync_begin(2, 2, 0), "another list");
	is_cover(newest(), 1, 2, "in flight: the union, the smaller k");
	ok(!w.state.sync_settled, "in flight: not settled");
	c = command_of(CMD_SYNC_DONE);
	c.u.sync_done.epoch = 1;
	c.u.sync_done.version = w.state.sync_version - 1;
	is_ignored(apply(&c), "the list has changed again",
	    "a confirmation of the list before");
	is_cover(newest(), 1, 2, "so it stays wide");
	ok(sync_begin(1, 3, 0), "a third list before the second is in force");
	is_cover(newest(), 1, 2, "covers all three");
	ok(sync_done(), "confirmed");
	is_cover(newest(), 1, 1, "then it stands alone");
	ok(sync_begin(2, 3, 0), "a list that nobody can satisfy");
	ok(sync_done(), "in force");
	is_cover(newest(), 1, 1, "what was acknowledged before stays there");
	ok(sync_begin(0, 0, 0), "\"async since\"");
	is_cover(newest(), 0, 1, "K = 0 before it is in force");
	ok(sync_begin(1, 2, 3), "and back");
	is_cover(newest(), 0, 2, "K = 0 until the list is confirmed");
	sync_done();
	is_cover(newest(), 1, 2, "and only then 1 again");
}

static void
test_sync_since(void)
{
	struct command c;

	cluster_start(3);
	w.state.sync_since_us = 5;
	sync_begin(1, 2, 0);
	is_int(w.state.sync_since_us, 5, "another list: since stays");
	c = command_of(CMD_SYNC_BEGIN);
	c.u.sync_begin.epoch = 1;
	c.time_us = 99;
	apply(&c);
	is_int(w.state.sync_since_us, 99, "to none: since then");
	seal(2);
	c = promotion(2, 2, 1, 3, 0);
	c.time_us = 100;
	apply(&c);
	is_int(w.state.sync_since_us, 100, "from none, by a promotion");
}

static void
test_cover_of_epochs(void)
{
	struct command c;

	cluster_start(3);
	seal(2);
	promote(2, 2, 1, 3, 0);
	is_int(w.state.cover_count, 2, "both epochs' covers are held");
	is_int((long long)newest()->epoch, 2, "the new one is the newest");
	is_int(newest()->primary_id, 2, "with its primary");
	ok(w.state.sync_settled, "settled: it is in force before it opens");
	is_int((long long)w.state.covers[0].next_begin.value, 0,
	    "the older one does not know yet where the next began");
	seal(3);
	promote(3, 3, 1, 2, 0);
	opened(3, 777);
	is_int((long long)w.state.covers[0].next_begin.value, 777,
	    "once open, it does");
	is_int((long long)w.state.covers[1].next_begin.value, 777,
	    "the burnt one too");
	is_int((long long)w.state.covers[2].next_begin.value, 0,
	    "the newest has no next");
	is_ignored(drop_covers(3), "covers are frozen",
	    "dropping the newest cover");
	ok(drop_covers(2), "dropping the older ones");
	is_int(w.state.cover_count, 1, "leaves the newest");
	is_int((long long)newest()->epoch, 3, "which is of epoch 3");

	seal(4);
	c = promotion(4, 2, 0, 0, 0);
	c.u.promote.lossy = true;
	apply(&c);
	is_int(w.state.cover_count, 1, "an accepted loss drops all older "
	    "covers");
	ok(state_reign(&w.state)->lossy, "and is remembered");
}

/* As many promotions burn as it takes. */
static void
test_many_burnt(void)
{
	uint64_t epoch;
	int refused = 0;

	cluster_start(3);
	for (epoch = 2; epoch < 40; epoch++) {
		uint32_t id = 2 + (uint32_t)(epoch % 2);

		seal(epoch);
		refused += !promote(epoch, id, 1, 5 - id, 0);
	}
	is_int(refused, 0, "burnt promotions never use up the covers");
	is_int(w.state.cover_count, COVERS_MAX, "the table is full");
	is_cover(&w.state.covers[0], 1, 2, "the oldest stand for many");
	is_int(w.state.covers[0].primary_id, 0,
	    "no one primary is proof for them");
	is_int((long long)newest()->epoch, 39, "the newest is there");
	cluster_start(3);
	for (epoch = 2; epoch < 40; epoch++) {
		struct command c;

		seal(epoch);
		c = promotion(epoch, 2, 2, 0, 0);	/* dummies alone */
		apply(&c);
	}
	is_cover(&w.state.covers[0], 1, 2, "dummy lists leave the oldest as "
	    "it was");
	is_int(w.state.covers[0].primary_id, 1, "with its own primary");
	seal(40);
	{
		struct command c = promotion(40, 2, 1, 3, 0);

		c.u.promote.lossy = true;
		ok(apply(&c), "an accepted loss is possible with a full "
		    "table");
	}
	is_int(w.state.cover_count, 1, "and empties it");
}

/* ---- members, jobs, events, ledger ---- */

static void
test_members(void)
{
	struct command c;
	uint32_t id;

	cluster_start(3);
	ok(!remove_member(1), "the primary cannot be removed");
	is_text(w.why, "\"n1\" is the primary", "  because it is");
	ok(add_member("n2", true) == 0, "a name is taken once");
	is_text(w.why, "\"n2\" is a member already", "  and says so");
	id = add_member("n4", true);
	is_int(id, 4, "a new id");
	is_int(state_member(&w.state, id)->phase, MEMBER_JOINING, "joining");
	ok(!state_member(&w.state, id)->voter, "no voter by itself");
	ok(remove_member(id), "removed");
	is_int(add_member("n4", true), 5, "an id is never used twice");
	is_int(state_member_named(&w.state, "n4")->incarnation, 5,
	    "nor an incarnation");
	set_phase(5, MEMBER_READY, true);
	is_int(state_member(&w.state, 5)->incarnation, 6, "a new incarnation");
	is_int((long long)state_member(&w.state, 5)->ready_index,
	    (long long)w.state.applied, "ready since this entry");
	ok(!set_phase(77, MEMBER_READY, false), "nobody's phase");
	ok(!remove_member(77), "nobody to remove");
	ok(remove_member(2) && state_member(&w.state, 3) != NULL &&
	    state_member(&w.state, 5) != NULL,
	    "removing one leaves the others");
	c = command_of(CMD_MEMBER_ADDRESS);
	c.u.address.id = 3;
	snprintf(c.u.address.address, sizeof(c.u.address.address), "h:1");
	snprintf(c.u.address.pg_address, sizeof(c.u.address.pg_address),
	    "h:2");
	ok(apply(&c), "a new address");
	is_text(state_member(&w.state, 3)->address, "h:1", "  of the agent");
	is_text(state_member(&w.state, 3)->pg_address, "h:2",
	    "  and PostgreSQL");
	is_int(state_data_members(&w.state), 3, "data members are counted");
	is_text(state_name(3, &w.state), "n3", "a name");
	is_text(state_name(2, &w.state), "a former member", "a former one");
	is_text(state_name(0, &w.state), "nobody", "nobody");
	set_voters(2);
	ok(state_member(&w.state, 1)->voter && state_member(&w.state,
	    3)->voter != state_member(&w.state, 5)->voter,
	    "who votes follows the configuration entry");
	while (w.state.member_count < MEMBERS_MAX) {
		char name[16];

		snprintf(name, sizeof(name), "m%u", w.state.next_member_id);
		if (add_member(name, true) == 0)
			break;
	}
	is_int(w.state.member_count, MEMBERS_MAX, "64 members");
	ok(add_member("one-more", true) == 0, "and no more");
}

/* Who has lost its state is somebody else from then on. */
static void
test_renew(void)
{
	struct command c, decided;
	const struct member *member;

	cluster_start(3);
	decided = command_of(CMD_SEAL);
	decided.u.seal.epoch = 2;
	c = command_of(CMD_MEMBER_RENEW);
	c.u.member_id = 3;
	ok(apply(&c), "a member that has lost its state");
	member = state_member_named(&w.state, "n3");
	ok(state_member(&w.state, 3) == NULL && member != NULL &&
	    member->id == 4, "is known under a new id");
	is_int(member->incarnation, 4, "in a new incarnation");
	ok(!member->voter, "and votes no more by itself");
	ok(!cover_has(newest(), member->id, member->incarnation),
	    "it never counts in the old U");
	is_cover(newest(), 1, 2, "which is what it was");
	is_ignored(apply(&decided), "decided upon version 3, now 4",
	    "what was decided with the old one in mind");
	is_ignored(apply(&c), "no member has id 3", "nobody twice");
}

static void
test_settings(void)
{
	cluster_start(3);
	ok(set_setting("detect", 2000), "a setting");
	is_int(w.state.settings.detect_ms, 2000, "is set");
	is_ignored(set_setting("detect", 6000), "lease (5000 ms) must not be "
	    "shorter than detect (6000 ms)", "one that breaks a rule");
	is_int(w.state.settings.detect_ms, 2000, "is not");
	is_ignored(set_setting("colour", 1), "there is no setting \"colour\"",
	    "one there is not");
}

static bool
end_job(uint32_t id)
{
	struct command c = command_of(CMD_JOB_END);

	c.u.job_step.id = id;
	c.u.job_step.status = JOB_DONE;
	return apply(&c);
}

static void
test_jobs(void)
{
	uint32_t id;
	int i;

	cluster_start(3);
	ok(start_job(JOB_CLONE, JOB_STEP_SSH, 0, false), "a clone");
	ok(!start_job(JOB_CLONE, JOB_STEP_SSH, 0, false), "one at a time");
	ok(!start_job(JOB_SWITCHOVER, JOB_STEP_PREPARE, 2, false),
	    "no switchover meanwhile");
	ok(start_job(JOB_FAILOVER, JOB_STEP_SEAL, 2, false),
	    "a failover does not wait for it");
	ok(!start_job(JOB_FAILOVER, JOB_STEP_SEAL, 3, false),
	    "but for another failover");
	id = w.state.jobs[1].id;
	is_int((long long)w.state.jobs[1].epoch, 1, "begun in this epoch");
	ok(end_job(id), "ended");
	ok(!end_job(id), "once");
	ok(state_job(&w.state, id) != NULL, "and still known");
	for (i = 0; i < 4 * JOBS_MAX; i++) {
		start_job(JOB_FAILOVER, JOB_STEP_SEAL, 2, false);
		end_job(w.state.next_job_id - 1);
	}
	is_int(w.state.job_count, JOBS_MAX, "ended ones make room");
	ok(state_running_job(&w.state, JOB_CLONE) != NULL,
	    "running ones do not");
	is_int(w.state.jobs[0].id, 1, "and keep their place");
}

static void
test_events(void)
{
	struct command c;
	uint32_t i;

	cluster_start(3);
	for (i = 0; i < 3 * EVENTS_MAX; i++) {
		c = command_of(CMD_EVENT);
		snprintf(c.why, sizeof(c.why), "event %u", i);
		apply(&c);
	}
	is_int(w.state.event_count, EVENTS_MAX, "the ring is full");
	is_text(w.state.events[w.state.event_first].text, "event 256",
	    "oldest first");
	i = (w.state.event_first + EVENTS_MAX - 1) % EVENTS_MAX;
	is_text(w.state.events[i].text, "event 383", "newest last");
	is_int((long long)w.state.events[i].id,
	    (long long)w.state.last_event_id, "numbered");
	c = command_of(CMD_SEAL);
	snprintf(c.why, sizeof(c.why), "not so");
	apply(&c);
	is_text(w.state.events[i].text, "event 383",
	    "what had no effect is no event");
	memset(c.why, 'x', TEXT_MAX_LEN);
	c.type = CMD_EVENT;
	apply(&c);
	i = (w.state.event_first + EVENTS_MAX - 1) % EVENTS_MAX;
	is_int((long long)strlen(w.state.events[i].text), EVENT_TEXT_MAX,
	    "a long one is cut");
}

static void
test_ledger(void)
{
	uint64_t epoch;
	int failed = 0;

	cluster_start(3);
	for (epoch = 2; epoch <= LEDGER_MAX + 44; epoch++)
		failed += !seal(epoch) || !promote(epoch, 2, 1, 3, 0) ||
		    !opened(epoch, epoch * 100) || !drop_covers(epoch - 1);
	is_int(failed, 0, "three hundred epochs");
	is_int(w.state.reign_count, LEDGER_MAX, "the last 256 are kept");
	is_int((long long)state_epoch_of_timeline(&w.state, 300), 300,
	    "an epoch by its timeline");
	is_int((long long)state_epoch_of_timeline(&w.state, 44), 0,
	    "a folded one is unknown");
	ok(state_reign_of(&w.state, 45) != NULL && state_reign_of(&w.state,
	    44) == NULL, "and has no reign");
}

static void
test_bootstrap(void)
{
	struct command c;

	cluster_start(3);
	c = command_of(CMD_BOOTSTRAP);
	is_ignored(apply(&c), "the cluster exists already",
	    "founding a cluster twice");
	memset(&w.state, 0, sizeof(w.state));
	state_init(&w.state);
	is_int(state_phase(&w.state), REIGN_NONE, "no cluster yet");
	ok(state_reign(&w.state) == NULL, "no reign");
	cluster_found(false, 1);
	is_int(state_phase(&w.state), REIGN_OPEN, "founded: open");
	is_int((long long)w.state.generation, 1, "generation 1");
	is_cover(newest(), 0, 0, "alone: K = 0");
	ok(w.state.members[0].voter && w.state.members[0].phase ==
	    MEMBER_READY, "the first member votes and is ready");
}

static void
test_unknown(void)
{
	struct raft_entry entry = { .type = RAFT_ENTRY_COMMAND };
	uint64_t applied;

	cluster_start(3);
	applied = w.state.applied;
	entry.len = 2;
	entry.data[0] = 1;
	entry.data[1] = CMD_COUNT;
	ok(!apply_entry(&entry) && w.unknown, "an unknown command: this "
	    "binary must stop voting");
	is_int((long long)w.state.applied, (long long)applied,
	    "and it was not applied");
	entry.data[0] = 2;
	entry.data[1] = CMD_EVENT;
	ok(!apply_entry(&entry) && w.unknown, "a newer format: the same");
	entry.type = RAFT_ENTRY_NOOP;
	ok(!apply_entry(&entry) && !w.unknown, "a no-op has no effect");
	is_int((long long)w.state.applied, (long long)applied + 1,
	    "but is applied");
	entry.type = RAFT_ENTRY_CONFIG;
	entry.len = 1;
	ok(!apply_entry(&entry), "a damaged configuration has none either");
	ok(state_member(&w.state, 3)->voter, "and changes no voter");
}

/* ---- bytes ---- */

static uint8_t
random_byte(void)
{
	return (uint8_t)(rand() >> 4);
}

static void
random_bytes(void *at, size_t size)
{
	uint8_t *byte = at;

	while (size-- > 0)
		*byte++ = random_byte();
}

/* Some text of up to size - 1 bytes; sometimes exactly that. */
static void
random_text(char *text, size_t size)
{
	size_t len = rand() % 3 == 0 ? size - 1 : (size_t)rand() % size, i;

	memset(text, 0, size);
	for (i = 0; i < len; i++)
		text[i] = (char)('a' + rand() % 26);
}

static void
random_list(struct sync_list *list)
{
	uint8_t i;

	memset(list, 0, sizeof(*list));
	list->k = (uint8_t)(rand() % (SYNC_MAX + 1));
	list->count = (uint8_t)(rand() % (SYNC_MAX + 1));
	for (i = 0; i < list->count; i++) {
		list->names[i].member_id = (uint32_t)rand();
		list->names[i].incarnation = (uint32_t)rand();
	}
}

static void
random_member(struct member *m)
{
	memset(m, 0, sizeof(*m));
	m->id = (uint32_t)rand();
	m->incarnation = (uint32_t)rand();
	m->phase = random_byte();
	m->voter = rand() % 2;
	m->has_data = rand() % 2;
	m->no_failover = rand() % 2;
	m->priority = rand() - RAND_MAX / 2;
	random_text(m->name, sizeof(m->name));
	random_text(m->address, sizeof(m->address));
	random_text(m->pg_address, sizeof(m->pg_address));
	random_bytes(m->key_hash, sizeof(m->key_hash));
	m->ready_index = (uint64_t)rand();
}

static void
random_job(struct job *job)
{
	memset(job, 0, sizeof(*job));
	job->id = (uint32_t)rand();
	job->kind = random_byte();
	job->status = random_byte();
	job->step = random_byte();
	job->member_id = (uint32_t)rand();
	job->epoch = (uint64_t)rand();
	job->accept_data_loss = rand() % 2;
	job->step_index = (uint64_t)rand();
	random_text(job->name, sizeof(job->name));
	random_text(job->text, 60);
	random_text(job->args, sizeof(job->args) - 200);
}

static void
random_bootstrap(struct command *c)
{
	random_bytes(c->u.bootstrap.cluster_id, 16);
	random_text(c->u.bootstrap.cluster,
	    sizeof(c->u.bootstrap.cluster));
	c->u.bootstrap.system_identifier = (uint64_t)rand();
	c->u.bootstrap.pg_major = (uint32_t)rand();
	c->u.bootstrap.timeline = (uint32_t)rand();
	random_member(&c->u.bootstrap.first);
	random_bytes(&c->u.bootstrap.settings,
	    sizeof(c->u.bootstrap.settings));
}

static void
random_promote(struct command *c)
{
	c->u.promote.epoch = (uint64_t)rand();
	c->u.promote.primary_id = (uint32_t)rand();
	c->u.promote.primary_incarnation = (uint32_t)rand();
	c->u.promote.timeline = (uint32_t)rand();
	c->u.promote.lossy = rand() % 2;
	random_list(&c->u.promote.sync);
	random_text(c->u.promote.trace, sizeof(c->u.promote.trace));
}

static void
random_command(struct command *c, uint8_t type)
{
	memset(c, 0, sizeof(*c));
	c->type = type;
	random_bytes(&c->based_on, sizeof(c->based_on));
	random_bytes(&c->time_us, sizeof(c->time_us));
	random_text(c->why, type == CMD_JOB_START ? 60 : sizeof(c->why));
	switch (type) {
	case CMD_BOOTSTRAP:
		random_bootstrap(c);
		break;
	case CMD_MEMBER_ADD:
		random_member(&c->u.member);
		break;
	case CMD_MEMBER_PHASE:
		c->u.phase.id = (uint32_t)rand();
		c->u.phase.phase = random_byte();
		c->u.phase.new_incarnation = rand() % 2;
		break;
	case CMD_MEMBER_ADDRESS:
		c->u.address.id = (uint32_t)rand();
		random_text(c->u.address.address,
		    sizeof(c->u.address.address));
		random_text(c->u.address.pg_address,
		    sizeof(c->u.address.pg_address));
		break;
	case CMD_MEMBER_REMOVE:
	case CMD_MEMBER_RENEW:
		c->u.member_id = (uint32_t)rand();
		break;
	case CMD_SETTING:
		random_text(c->u.setting.name, sizeof(c->u.setting.name));
		c->u.setting.value = -rand();
		break;
	case CMD_SEAL:
		c->u.seal.epoch = (uint64_t)rand();
		random_text(c->u.seal.trace, sizeof(c->u.seal.trace));
		break;
	case CMD_PROMOTE:
		random_promote(c);
		break;
	case CMD_OPENED:
		c->u.opened.epoch = (uint64_t)rand();
		c->u.opened.timeline = (uint32_t)rand();
		c->u.opened.begin_lsn = LSN((uint64_t)rand());
		break;
	case CMD_SYNC_BEGIN:
		c->u.sync_begin.epoch = (uint64_t)rand();
		random_list(&c->u.sync_begin.list);
		break;
	case CMD_SYNC_DONE:
		c->u.sync_done.epoch = (uint64_t)rand();
		c->u.sync_done.version = (uint64_t)rand();
		break;
	case CMD_COVER_DROP:
		c->u.cover_epoch = (uint64_t)rand();
		break;
	case CMD_JOB_START:
		random_job(&c->u.job);
		break;
	case CMD_JOB_STEP:
	case CMD_JOB_END:
		c->u.job_step.id = (uint32_t)rand();
		c->u.job_step.step = random_byte();
		c->u.job_step.status = random_byte();
		c->u.job_step.member_id = (uint32_t)rand();
		random_text(c->u.job_step.text, sizeof(c->u.job_step.text));
		break;
	case CMD_PAUSE:
		c->u.paused_until_us = -rand();
		break;
	default:
		break;
	}
}

static int
decode_command(struct command *c, const uint8_t *data, size_t size)
{
	struct reader reader;

	reader_init(&reader, data, size);
	return command_decode(c, &reader);
}

static void
test_command_bytes(void)
{
	struct command c, back;
	uint8_t type, longer[ENTRY_DATA_MAX + 1];
	struct buf buf;
	int i;

	srand(3);
	for (type = 1; type < CMD_COUNT; type++) {
		int differs = 0, refused = 0, cut_taken = 0;

		for (i = 0; i < 100; i++) {
			size_t cut;

			random_command(&c, type);
			buf_init(&buf, longer, ENTRY_DATA_MAX);
			command_encode(&c, &buf);
			refused += buf.failed || decode_command(&back,
			    longer, buf.len) != 0;
			differs += memcmp(&c, &back, sizeof(c)) != 0;
			if (i > 4)
				continue;
			for (cut = 0; cut < buf.len; cut++)
				cut_taken += decode_command(&back, longer,
				    cut) == 0;
			longer[buf.len] = 0;
			cut_taken += decode_command(&back, longer,
			    buf.len + 1) == 0;
		}
		is_int(refused + differs, 0, command_name(type));
		is_int(cut_taken, 0, "  cut short or with a byte too many: "
		    "refused");
	}
	memset(&c, 0, sizeof(c));
	buf_init(&buf, longer, sizeof(longer));
	command_encode(&c, &buf);
	ok(buf.failed, "no command: nothing to encode");
	is_text(command_name(CMD_COUNT), "unknown", "an unknown name");
}

/* The longest of each type: must fit in an entry. */
static void
test_command_room(void)
{
	struct command c;
	struct buf buf;
	uint8_t type;

	for (type = 1; type < CMD_COUNT; type++) {
		static uint8_t room[2 * ENTRY_DATA_MAX];
		int i;
		size_t most = 0;

		for (i = 0; i < 3000; i++) {
			random_command(&c, type);
			/* A job begins with a short sentence. */
			if (type == CMD_JOB_START)
				random_text(c.u.job.args,
				    sizeof(c.u.job.args));
			buf_init(&buf, room, sizeof(room));
			command_encode(&c, &buf);
			if (buf.len > most)
				most = buf.len;
		}
		ok(most <= ENTRY_DATA_MAX, "the longest \"%s\" fits in an "
		    "entry (%zu bytes)", command_name(type), most);
	}
}

static size_t
encode_state(const struct state *state)
{
	struct buf buf;

	buf_init(&buf, image, sizeof(image));
	state_encode(state, &buf);
	return buf.failed ? 0 : buf.len;
}

static struct state back;

static int
decode_state(const uint8_t *data, size_t size, char *errmsg)
{
	struct reader reader;

	reader_init(&reader, data, size);
	return state_decode(&back, &reader, errmsg);
}

static void
random_state(struct state *s, bool full)
{
	uint32_t i;

#define SOME(max) (full ? (uint32_t)(max) : (uint32_t)(rand() % ((max) + 1)))
	memset(s, 0, sizeof(*s));
	random_bytes(s->cluster_id, 16);
	random_text(s->cluster, sizeof(s->cluster));
	s->generation = (uint64_t)rand();
	s->system_identifier = (uint64_t)rand();
	s->pg_major = 15;
	s->applied = (uint64_t)rand();
	s->version = (uint64_t)rand();
#define X(field, name, def, min, max, unit, help)			\
	s->settings.field = (def) + rand() % 2;
	SETTING_LIST(X)
#undef X
	s->next_member_id = MEMBERS_MAX + 1 + (uint32_t)(rand() % 1000);
	s->next_incarnation = (uint32_t)rand();
	s->next_job_id = (uint32_t)rand();
	s->member_count = SOME(MEMBERS_MAX);
	for (i = 0; i < s->member_count; i++) {
		random_member(&s->members[i]);
		s->members[i].id = i + 1;
	}
	s->voters_index = (uint64_t)rand();
	s->reign_count = SOME(LEDGER_MAX);
	for (i = 0; i < s->reign_count; i++) {
		s->reigns[i].epoch = (uint64_t)rand();
		s->reigns[i].primary_id = (uint32_t)rand();
		s->reigns[i].primary_incarnation = (uint32_t)rand();
		s->reigns[i].timeline = (uint32_t)rand();
		s->reigns[i].begin_lsn = LSN((uint64_t)rand());
		s->reigns[i].opened = rand() % 2;
		s->reigns[i].lossy = rand() % 2;
	}
	s->seal = (uint64_t)rand();
	s->seal_index = (uint64_t)rand();
	s->promote_index = (uint64_t)rand();
	s->opened_index = (uint64_t)rand();
	random_text(s->seal_why, sizeof(s->seal_why));
	s->sync_version = (uint64_t)rand();
	random_list(&s->sync);
	s->sync_settled = rand() % 2;
	s->sync_since_us = -rand();
	s->cover_count = SOME(COVERS_MAX);
	for (i = 0; i < s->cover_count; i++) {
		struct sync_list list;

		random_list(&list);
		if (full)
			list.count = SYNC_MAX;
		s->covers[i].epoch = (uint64_t)rand();
		s->covers[i].primary_id = (uint32_t)rand();
		s->covers[i].k = list.k;
		s->covers[i].count = list.count;
		memcpy(s->covers[i].names, list.names, sizeof(list.names));
		s->covers[i].next_begin = LSN((uint64_t)rand());
	}
	s->job_count = SOME(JOBS_MAX);
	for (i = 0; i < s->job_count; i++)
		random_job(&s->jobs[i]);
	s->paused_until_us = -rand();
	s->last_event_id = (uint64_t)rand();
	s->event_count = SOME(EVENTS_MAX);
	for (i = 0; i < s->event_count; i++) {
		s->events[i].id = (uint64_t)rand();
		s->events[i].time_us = rand();
		random_text(s->events[i].text, sizeof(s->events[i].text));
	}
	random_text(s->last_decision, sizeof(s->last_decision));
#undef SOME
}

/* What would stop every node that applies or decides upon it. */
static void
test_unsound(void)
{
	char errmsg[ERRMSG_MAX];
	size_t len;

	cluster_start(3);
	w.state.settings.election_ms = 0;
	len = encode_state(&w.state);
	ok(len > 0 && decode_state(image, len, errmsg) != 0,
	    "a setting out of its range is refused");
	cluster_start(3);
	w.state.members[1].id = w.state.members[0].id;
	len = encode_state(&w.state);
	ok(len > 0 && decode_state(image, len, errmsg) != 0,
	    "two members of one id are refused");
	cluster_start(3);
	w.state.next_member_id = w.state.members[2].id;
	len = encode_state(&w.state);
	ok(len > 0 && decode_state(image, len, errmsg) != 0,
	    "an id that would be given out again is refused");
}

static void
test_state_bytes(void)
{
	static uint8_t copy[2 * SNAPSHOT_MAX];
	char errmsg[ERRMSG_MAX];
	int i, differs = 0, refused = 0;
	size_t len, cut, taken = 0;

	srand(4);
	for (i = 0; i < 300; i++) {
		random_state(&w.state, i % 10 == 0);
		len = encode_state(&w.state);
		refused += len == 0 || decode_state(image, len, errmsg) != 0;
		differs += memcmp(&w.state, &back, sizeof(back)) != 0;
	}
	is_int(refused, 0, "a state can be read back");
	is_int(differs, 0, "and is the same");
	test_unsound();
	cluster_start(3);
	len = encode_state(&w.state);
	memcpy(copy, image, len);
	for (cut = 0; cut < len; cut++)
		taken += decode_state(copy, cut, errmsg) == 0;
	is_int((long long)taken, 0, "every truncation is refused");
	copy[len] = 0;
	ok(decode_state(copy, len + 1, errmsg) != 0, "a byte too many too");
	ok(strncmp(errmsg, "the state is damaged near byte ", 31) == 0,
	    "with where it is damaged");
	ok(back.member_count == 0, "and nothing half read is left");
	copy[0] = 2;
	ok(decode_state(copy, len, errmsg) != 0, "another format is refused");
	is_text(errmsg, "the state has format 2, this failoverd knows "
	    "format 1", "  with both numbers");
}

/* The ring may begin anywhere; what was applied is what is read back. */
static void
test_ring_bytes(void)
{
	char errmsg[ERRMSG_MAX];
	struct command c;
	size_t len;
	int i;

	cluster_start(3);
	for (i = 0; i < EVENTS_MAX + 40; i++) {
		c = command_of(CMD_EVENT);
		snprintf(c.why, sizeof(c.why), "event %d", i);
		apply(&c);
	}
	len = encode_state(&w.state);
	is_int(decode_state(image, len, errmsg), 0, "a turned ring");
	is_text(back.events[back.event_first].text, "event 40",
	    "begins with the oldest");
	w.state = back;
	c = command_of(CMD_EVENT);
	snprintf(c.why, sizeof(c.why), "one more");
	apply(&c);
	is_text(w.state.events[(w.state.event_first + EVENTS_MAX - 1) %
	    EVENTS_MAX].text, "one more", "and goes on where it was");
}

static void
longest(char *text, size_t size)
{
	memset(text, 'x', size - 1);
	text[size - 1] = '\0';
}

/*
 * Every array full and every text as long as it may be; two jobs can run, a
 * clone and a failover, and only those keep their arguments.
 */
static void
test_full_state(void)
{
	uint32_t i;
	size_t len;

	srand(5);
	random_state(&w.state, true);
	longest(w.state.cluster, sizeof(w.state.cluster));
	longest(w.state.seal_why, sizeof(w.state.seal_why));
	longest(w.state.last_decision, sizeof(w.state.last_decision));
	w.state.sync.count = SYNC_MAX;
	for (i = 0; i < MEMBERS_MAX; i++) {
		struct member *m = &w.state.members[i];

		longest(m->name, sizeof(m->name));
		longest(m->address, sizeof(m->address));
		longest(m->pg_address, sizeof(m->pg_address));
	}
	for (i = 0; i < JOBS_MAX; i++) {
		longest(w.state.jobs[i].name, sizeof(w.state.jobs[i].name));
		longest(w.state.jobs[i].text, sizeof(w.state.jobs[i].text));
		w.state.jobs[i].args[0] = '\0';
		if (i < 2)
			longest(w.state.jobs[i].args,
			    sizeof(w.state.jobs[i].args));
	}
	for (i = 0; i < EVENTS_MAX; i++)
		longest(w.state.events[i].text,
		    sizeof(w.state.events[i].text));
	len = encode_state(&w.state);
	ok(len > 0 && len <= SNAPSHOT_MAX, "the fullest state fits in a "
	    "snapshot (%zu of %d bytes)", len, SNAPSHOT_MAX);
	ok(SNAPSHOT_MAX + 1024 <= FRAME_MAX, "and a snapshot in a frame");
}

/* Grown by commands alone, as far as they go. */
static void
test_grown_state(void)
{
	struct command c;
	size_t len, most = 0;
	uint64_t epoch;
	uint32_t i;
	char text[64];

	cluster_start(3);
	while (w.state.member_count < MEMBERS_MAX) {
		c = command_of(CMD_MEMBER_ADD);
		longest(c.u.member.name, sizeof(c.u.member.name));
		snprintf(text, sizeof(text), "%u-", w.state.next_member_id);
		memcpy(c.u.member.name, text, strlen(text));
		longest(c.u.member.address, sizeof(c.u.member.address));
		longest(c.u.member.pg_address, sizeof(c.u.member.pg_address));
		longest(c.why, sizeof(c.why));
		if (!apply(&c))
			break;
	}
	for (epoch = 2; epoch <= LEDGER_MAX + 4; epoch++) {
		seal(epoch);
		c = promotion(epoch, 2, 1, 3, 0);
		longest(c.why, sizeof(c.why));
		longest(c.u.promote.trace, sizeof(c.u.promote.trace));
		apply(&c);
		len = encode_state(&w.state);
		if (len > most)
			most = len;
	}
	for (i = 0; i < 2 * EVENTS_MAX; i++) {
		c = command_of(CMD_EVENT);
		longest(c.why, sizeof(c.why));
		apply(&c);
		len = encode_state(&w.state);
		if (len > most)
			most = len;
	}
	ok(most > 0 && most <= SNAPSHOT_MAX, "64 members, 256 epochs, a full "
	    "ring: at most %zu bytes on the way", most);
	is_int(w.state.member_count, MEMBERS_MAX, "all members are there");
	is_int(w.state.reign_count, LEDGER_MAX, "all epochs too");
}

static void
test_random_bytes(void)
{
	static uint8_t noise[4096], copy[2 * SNAPSHOT_MAX];
	char errmsg[ERRMSG_MAX];
	struct command c;
	int i, j, taken = 0, damaged = 0;
	size_t len;

	srand(6);
	for (i = 0; i < 20000; i++) {
		size_t size = (size_t)(rand() % 600);

		random_bytes(noise, size);
		noise[0] = 1;
		noise[1] = (uint8_t)(rand() % CMD_COUNT);
		/* Texts of a likely length, so that more is reached. */
		noise[18] = noise[19] = 0;
		taken += decode_command(&c, noise, size) == 0;
		(void)decode_state(noise, size, errmsg);
	}
	ok(taken < 20000, "random bytes as a command: no crash");
	cluster_start(3);
	len = encode_state(&w.state);
	memcpy(copy, image, len);
	for (i = 0; i < 20000; i++) {
		memcpy(image, copy, len);
		for (j = 0; j < 3; j++)
			image[(size_t)rand() % len] = random_byte();
		if (decode_state(image, len, errmsg) != 0)
			continue;
		damaged++;
		w.state = back;		/* whatever it is now, look at it */
		(void)state_phase(&w.state);
		(void)encode_state(&w.state);
	}
	ok(damaged > 0, "a state with flipped bytes: no crash");
}

/* The same entries give the same state, whatever stood in memory before. */
static void
test_deterministic(void)
{
	static uint8_t first[2 * SNAPSHOT_MAX];
	struct raft_entry entry;
	struct command c;
	size_t len = 0;
	int round, i, effects = 0, broken = 0;

	for (round = 0; round < 2; round++) {
		cluster_start(3);
		srand(7);
		for (i = 0; i < 5000; i++) {
			random_command(&c, (uint8_t)(1 + rand() %
			    (CMD_COUNT - 1)));
			if (rand() % 4 != 0)
				c.based_on = w.state.version;
			if (c.type == CMD_SEAL)
				c.u.seal.epoch = w.state.reigns[
				    w.state.reign_count - 1].epoch + 1;
			if (c.type == CMD_PROMOTE) {
				c.u.promote.epoch = w.state.seal;
				c.u.promote.primary_id = 2;
				c.u.promote.primary_incarnation = 2;
			}
			if (c.type == CMD_OPENED)
				c.u.opened.epoch = w.state.seal;
			if (c.type == CMD_SYNC_BEGIN)
				c.u.sync_begin.epoch = w.state.seal;
			if (c.type == CMD_MEMBER_RENEW)
				c.u.member_id = 3;
			if (c.type == CMD_MEMBER_REMOVE && rand() % 8 != 0)
				c.u.member_id = w.state.next_member_id - 1;
			make_entry(&c, &entry);
			effects += apply_entry(&entry);
			broken += w.state.cover_count > COVERS_MAX ||
			    w.state.cover_count == 0;
		}
		if (round == 0) {
			len = encode_state(&w.state);
			memcpy(first, image, len);
		}
	}
	ok(len > 0 && encode_state(&w.state) == len && memcmp(first, image,
	    len) == 0, "the same entries give the same state");
	ok(effects > 2000, "%d of 10000 random entries had an effect",
	    effects);
	is_int(broken, 0, "it stays within its bounds, and a cover is "
	    "always held");
}

int
main(void)
{
	test_bootstrap();
	test_frozen();
	test_old_version();
	test_versions();
	test_seal();
	test_promote_whom();
	test_cover();
	test_sync_since();
	test_cover_of_epochs();
	test_many_burnt();
	test_members();
	test_renew();
	test_settings();
	test_jobs();
	test_events();
	test_ledger();
	test_unknown();
	test_command_bytes();
	test_command_room();
	test_state_bytes();
	test_ring_bytes();
	test_full_state();
	test_grown_state();
	test_random_bytes();
	test_deterministic();
	return done_testing();
}
