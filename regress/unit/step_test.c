/*
 * step_test.c - every order in every situation has a step, and a safe one.
 *
 * walk() enumerates what gather() can say and more: every order kind that
 * state_order() issues, times the server's life, its pg_control, what it is
 * armed for, the permission, the promise, the plan and the markers, some
 * eighteen million combinations.  Each property below is asked of all of
 * them.  Where only some can be the case, possible() says so: a row must be
 * reached by one of those.
 */
#include "step.h"

#include <stdlib.h>

#include "tap.h"

#ifdef MUTANTS
const char *mutant;
#endif

#define EPOCH	5u		/* of the order; 4 is older, 6 is newer */
#define DETECT	1500
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- what there is ---- */

/* Orders as state_order() fills them: LEAVE names no epoch. */
static const struct { uint8_t kind; uint64_t epoch, seal; } orders[] = {
	{ ORDER_NOTHING, 0, 0 },
	{ ORDER_NOTHING, EPOCH, EPOCH },
	{ ORDER_WITNESS, EPOCH, EPOCH },
	{ ORDER_WITNESS, EPOCH, EPOCH + 1 },
	{ ORDER_PRIMARY, EPOCH, EPOCH },
	{ ORDER_FOLLOW, EPOCH, EPOCH },
	{ ORDER_SEAL, EPOCH, EPOCH },		/* another is promoted */
	{ ORDER_SEAL, EPOCH, EPOCH + 1 },	/* nobody is named yet */
	{ ORDER_PROMOTE, EPOCH, EPOCH },
	{ ORDER_STOP, EPOCH, EPOCH },
	{ ORDER_CLONE, EPOCH, EPOCH },
	{ ORDER_LEAVE, 0, 0 },
};

static const struct { const char *name; bool guarded, answering, hung; }
lives[] = {
	{ "stopped", false, false, false },
	{ "starting", true, false, false },
	{ "answering", true, true, false },
	{ "hung", true, false, true },
};

static const struct {
	const char *name;
	bool known, exists, foreign, shut_down, end;
} controls[] = {
	{ "pg_control not read", false, false, false, false, false },
	{ "no data", true, false, false, false, false },
	{ "crashed", true, true, false, false, false },
	{ "shut down as standby", true, true, false, true, false },
	{ "shut down as primary", true, true, false, true, true },
	{ "crashed, foreign", true, true, true, false, false },
	{ "shut down as standby, foreign", true, true, true, true, false },
	{ "shut down as primary, foreign", true, true, true, true, true },
};

static const struct { const char *name; bool known; enum rejoin plan; }
plans[] = {
	{ "end unknown", false, REJOIN_WAIT },
	{ "attach", true, REJOIN_ATTACH },
	{ "rewind", true, REJOIN_REWIND },
	{ "reclone", true, REJOIN_RECLONE },
	{ "chain open", true, REJOIN_WAIT },
};

static const uint64_t armed_epochs[] = { 0, EPOCH - 1, EPOCH, EPOCH + 1 };
static const uint64_t promises[] = { EPOCH - 1, EPOCH, EPOCH + 1 };
/* Young; beyond a second but below 2 * detect; beyond both. */
static const int64_t ages[] = { 500, 2000, 5000 };

/* What gather() can say; the walk itself goes further. */
static bool
possible(const struct step_facts *f)
{
	bool end_can_be_known = f->guarded ? f->answering :
	    f->control_known && f->shut_down;

	if (f->guarded && f->control_known)
		return false;
	if (!f->guarded && f->end_known != end_can_be_known)
		return false;
	return !f->end_known || end_can_be_known;
}

/* ---- the properties ---- */

enum property {
	P_ROW,
	P_START_LEASE,
	P_START_GUARDED,
	P_START_PROMISE,
	P_START_GIVEN_UP,
	P_START_DATA,
	P_ONE_SERVER,
	P_SEAL_KILLS,
	P_FOLLOW_KILLS,
	P_OTHER_EPOCH_KILLS,
	P_ARMED_UNTOUCHED,
	P_SERVE_MINE,
	P_FOLLOW_PROMISE,
	P_FOLLOW_REWIND,
	P_FOLLOW_KNOWN_END,
	P_REWIND_STOPPED,
	P_REWIND_KNOWN_END,
	P_PROMOTE_ONCE,
	P_PROMOTE_ANSWERING,
	P_PROMOTE_PROMISE,
	P_FAILED_STAYS,
	P_RELEASE_GONE,
	P_POSITION_OWN,
	P_UNDO_NEWCOMER,
	P_KEEP_MEMBER,
	P_CLONE_STOPPED,
	P_WAIT_SAYS_WHY,
	P_COUNT
};

static const char *const names[P_COUNT] = {
	[P_ROW] = "every order has a row in every situation",
	[P_START_LEASE] = "nothing is started read-write without the lease "
	    "of the order's epoch",
	[P_START_GUARDED] = "nothing is started read-write while a guard "
	    "lives",
	[P_START_PROMISE] = "nothing is started read-write below the "
	    "node's promise",
	[P_START_GIVEN_UP] = "nothing is started read-write under an order "
	    "whose lease was given up",
	[P_START_DATA] = "nothing is started on data that are unread, gone, "
	    "foreign or half rewound",
	[P_ONE_SERVER] = "nothing is started, of any kind, while a guard "
	    "lives",
	[P_SEAL_KILLS] = "a read-write server of an epoch below the seal is "
	    "killed",
	[P_FOLLOW_KILLS] = "a read-write server that is to follow is killed",
	[P_OTHER_EPOCH_KILLS] = "a read-write server of another epoch is "
	    "killed before its node is or becomes primary",
	[P_ARMED_UNTOUCHED] = "a read-write server of another epoch, or under "
	    "a seal, is never followed, configured, cut, served or promoted",
	[P_SERVE_MINE] = "only a read-write server of the order's epoch, not "
	    "below the promise, is served",
	[P_FOLLOW_PROMISE] = "nobody is followed below the node's promise",
	[P_FOLLOW_REWIND] = "nobody is followed with WAL that must be rewound "
	    "or cloned anew",
	[P_FOLLOW_KNOWN_END] = "a stopped standby gets an upstream only when "
	    "the end of its WAL is known, or it was none but a standby",
	[P_REWIND_STOPPED] = "nothing is rewound while a guard lives",
	[P_REWIND_KNOWN_END] = "nothing is rewound without a known end and "
	    "that plan",
	[P_PROMOTE_ONCE] = "a promotion is tried once",
	[P_PROMOTE_ANSWERING] = "only a server that answers is promoted",
	[P_PROMOTE_PROMISE] = "nothing is promoted below the node's promise",
	[P_FAILED_STAYS] = "a failed promotion or clone stays failed",
	[P_RELEASE_GONE] = "a lease is released only when no process is left",
	[P_POSITION_OWN] = "a stopped server gives a position only after a "
	    "clean end, and of this cluster's data",
	[P_UNDO_NEWCOMER] = "the data of a full member are never removed, nor "
	    "data that are no copy of ours",
	[P_KEEP_MEMBER] = "a copy is kept only once its node is a full member",
	[P_CLONE_STOPPED] = "nothing is copied while a guard lives",
	[P_WAIT_SAYS_WHY] = "whoever waits, kills or stops says why",
};

static bool
starts(enum step step)
{
	return step == STEP_START_PRIMARY || step == STEP_START_STANDBY ||
	    step == STEP_START_ALONE;
}

/* Gives it an upstream, or leaves it with one. */
static bool
follows(enum step step)
{
	return step == STEP_START_STANDBY || step == STEP_CONFIGURE ||
	    step == STEP_FOLLOW;
}

/* Started read-write, or promoted. */
static bool
holds_start(enum property p, const struct step_facts *f, enum step step)
{
	switch (p) {
	case P_START_LEASE:
		return step != STEP_START_PRIMARY || f->may_write;
	case P_START_GUARDED:
		return step != STEP_START_PRIMARY || !f->guarded;
	case P_START_PROMISE:
		return step != STEP_START_PRIMARY ||
		    f->promise <= f->order.epoch;
	case P_START_GIVEN_UP:
		return step != STEP_START_PRIMARY || !f->given_up;
	case P_START_DATA:
		return !starts(step) || (f->control_known && f->data_exists &&
		    !f->data_foreign && !f->rewind_unfinished);
	case P_ONE_SERVER:
		return !starts(step) || !f->guarded;
	case P_PROMOTE_ONCE:
		return step != STEP_PROMOTE || (!f->failed &&
		    f->opened_epoch != f->order.epoch);
	case P_PROMOTE_ANSWERING:
		return step != STEP_PROMOTE || (f->guarded && f->answering);
	case P_PROMOTE_PROMISE:
		return step != STEP_PROMOTE || f->promise <= f->order.epoch;
	default:
		abort();
	}
}

/* What becomes of a server that is read-write. */
static bool
holds_armed(enum property p, const struct step_facts *f, enum step step)
{
	bool runs = f->guarded && f->armed;
	bool other = runs && f->armed_epoch != f->order.epoch;

	switch (p) {
	case P_SEAL_KILLS:
		/*
		 * At or above it, that is after a restart of the agent, its
		 * own promotion may be the entry that it has yet to hear:
		 * it waits, and the guard ends it with its lease.
		 */
		if (!runs || f->order.kind != ORDER_SEAL)
			return true;
		return step == (f->armed_epoch < f->order.seal_epoch ?
		    STEP_KILL : STEP_WAIT);
	case P_FOLLOW_KILLS:
		return !runs || f->order.kind != ORDER_FOLLOW ||
		    step == STEP_KILL;
	case P_OTHER_EPOCH_KILLS:
		return !other || (f->order.kind != ORDER_PRIMARY &&
		    f->order.kind != ORDER_PROMOTE) || step == STEP_KILL;
	case P_ARMED_UNTOUCHED:
		return !(other || (runs && f->order.kind == ORDER_SEAL)) ||
		    !(follows(step) || step == STEP_SEAL ||
		    step == STEP_SERVE || step == STEP_PROMOTE);
	case P_SERVE_MINE:
		return step != STEP_SERVE || (runs && !other &&
		    f->answering && f->promise <= f->order.epoch);
	case P_RELEASE_GONE:
		return step != STEP_RELEASE || (f->armed && !f->guarded);
	default:
		abort();
	}
}

/* Standbys and copies. */
static bool
holds_standby(enum property p, const struct step_facts *f, enum step step)
{
	switch (p) {
	case P_FOLLOW_PROMISE:
		return !follows(step) || f->promise <= f->order.epoch;
	case P_FOLLOW_REWIND:
		return !follows(step) || !f->end_known ||
		    f->plan == REJOIN_ATTACH;
	case P_FOLLOW_KNOWN_END:
		return step != STEP_START_STANDBY || f->end_known ||
		    f->was_standby || !possible(f);
	case P_REWIND_STOPPED:
		return step != STEP_REWIND || !f->guarded;
	case P_REWIND_KNOWN_END:
		return step != STEP_REWIND || (f->end_known &&
		    f->plan == REJOIN_REWIND);
	case P_FAILED_STAYS:
		if (!f->failed || (f->order.kind != ORDER_PROMOTE &&
		    f->order.kind != ORDER_CLONE))
			return true;
		return step == STEP_FAIL || (step == STEP_KILL &&
		    f->guarded && f->armed &&
		    f->armed_epoch != f->order.epoch);
	case P_POSITION_OWN:
		return step != STEP_SEAL_STOPPED || (!f->guarded &&
		    f->control_known && f->data_exists && !f->data_foreign &&
		    f->shut_down && f->shutdown_known &&
		    !f->rewind_unfinished);
	case P_UNDO_NEWCOMER:
		return step != STEP_UNDO_CLONE || (f->newcomer &&
		    f->clone_marker);
	case P_KEEP_MEMBER:
		return step != STEP_KEEP_CLONE || !f->newcomer;
	case P_CLONE_STOPPED:
		return step != STEP_CLONE || !f->guarded;
	default:
		abort();
	}
}

static bool
holds(enum property p, const struct step_facts *f, enum step step,
    const char *why)
{
	switch (p) {
	case P_ROW:
		return true;	/* looked at where the row is found */
	case P_WAIT_SAYS_WHY:
		return why[0] != '\0' || (step != STEP_WAIT &&
		    step != STEP_KILL && step != STEP_STOP);
	case P_SEAL_KILLS:
	case P_FOLLOW_KILLS:
	case P_OTHER_EPOCH_KILLS:
	case P_ARMED_UNTOUCHED:
	case P_SERVE_MINE:
	case P_RELEASE_GONE:
		return holds_armed(p, f, step);
	case P_FOLLOW_PROMISE:
	case P_FOLLOW_REWIND:
	case P_FOLLOW_KNOWN_END:
	case P_REWIND_STOPPED:
	case P_REWIND_KNOWN_END:
	case P_FAILED_STAYS:
	case P_POSITION_OWN:
	case P_UNDO_NEWCOMER:
	case P_KEEP_MEMBER:
	case P_CLONE_STOPPED:
		return holds_standby(p, f, step);
	default:
		return holds_start(p, f, step);
	}
}

/* ---- telling them apart ---- */

static void
describe(const struct step_facts *f, char *text, size_t size)
{
	const char *life = "?", *control = "?", *plan = "?";
	char armed[32] = "";
	size_t i;

	for (i = 0; i < COUNT(lives); i++)
		if (lives[i].guarded == f->guarded &&
		    lives[i].answering == f->answering &&
		    lives[i].hung == f->hung)
			life = lives[i].name;
	for (i = 0; i < COUNT(controls); i++)
		if (controls[i].known == f->control_known &&
		    controls[i].exists == f->data_exists &&
		    controls[i].foreign == f->data_foreign &&
		    controls[i].shut_down == f->shut_down &&
		    controls[i].end == f->shutdown_known)
			control = controls[i].name;
	for (i = 0; i < COUNT(plans); i++)
		if (plans[i].known == f->end_known && plans[i].plan == f->plan)
			plan = plans[i].name;
	if (f->armed)
		snprintf(armed, sizeof(armed), ", armed for %llu",
		    (unsigned long long)f->armed_epoch);
	snprintf(text, size, "epoch %llu, seal %llu, promise %llu: %s%s, %s, "
	    "%s%s%s%s%s%s%s%s%s, for %lld ms",
	    (unsigned long long)f->order.epoch,
	    (unsigned long long)f->order.seal_epoch,
	    (unsigned long long)f->promise, life, armed, control, plan,
	    f->failed ? ", failed" : "",
	    f->opened_epoch == EPOCH ? ", opened" : "",
	    f->given_up ? ", given up" : "",
	    f->may_write ? ", may write" : "",
	    f->upstream_in_force ? ", upstream in force" :
	    f->upstream_other ? ", other upstream in force" : "",
	    f->rewind_unfinished ? ", rewind unfinished" : "",
	    f->clone_marker ? ", clone marker" : "",
	    f->newcomer ? ", newcomer" : "", (long long)f->order_age_ms);
}

/* ---- the walk ---- */

#define ROWS_MAX 256

static struct {
	uint64_t combinations;
	uint64_t broken[P_COUNT];
	struct step_facts first[P_COUNT];	/* that broke it */
	bool reached[ROWS_MAX];
	struct step_facts by[ROWS_MAX];		/* the plainest one */
	int by_weight[ROWS_MAX];
} seen;

/* How many facts are out of the ordinary: the plainest witness is kept. */
static int
weight(const struct step_facts *f)
{
	return f->failed + f->given_up + f->rewind_unfinished +
	    f->clone_marker + f->newcomer + f->data_foreign + f->hung +
	    (f->promise != EPOCH) + f->armed + (f->armed &&
	    f->armed_epoch != f->order.epoch) + !f->may_write +
	    (f->opened_epoch != EPOCH) + !f->upstream_in_force +
	    f->upstream_other + f->was_standby +
	    (f->end_known && f->plan != REJOIN_ATTACH) +
	    (f->order_age_ms != ages[0]);
}

static void
look_at(const struct step_facts *f)
{
	uint32_t row = step_find(f);
	struct step_row found;
	enum property p;

	seen.combinations++;
	if (row >= step_row_count()) {
		if (seen.broken[P_ROW]++ == 0)
			seen.first[P_ROW] = *f;
		return;
	}
	found = step_row(row);
	for (p = 0; p < P_COUNT; p++)
		if (!holds(p, f, found.step, found.why) &&
		    seen.broken[p]++ == 0)
			seen.first[p] = *f;
	if ((seen.reached[row] && seen.by_weight[row] <= weight(f)) ||
	    !possible(f))
		return;
	seen.reached[row] = true;
	seen.by[row] = *f;
	seen.by_weight[row] = weight(f);
}

/* Ten facts that are yes or no; two of them only beside certain others. */
static void
walk_flags(struct step_facts *f)
{
	unsigned bits;

	for (bits = 0; bits < 1u << 10; bits++) {
		if ((bits & 256 && bits & 8) || (bits & 512 &&
		    (f->shut_down || !f->data_exists)))
			continue;
		f->upstream_other = bits & 256;
		f->was_standby = bits & 512;
		f->failed = bits & 1;
		f->given_up = bits & 2;
		f->may_write = bits & 4;
		f->upstream_in_force = bits & 8;
		f->rewind_unfinished = bits & 16;
		f->clone_marker = bits & 32;
		f->newcomer = bits & 64;
		f->opened_epoch = bits & 128 ? EPOCH : EPOCH - 1;
		look_at(f);
	}
}

static void
walk_permission(struct step_facts *f)
{
	size_t armed, promise, age, plan;

	for (armed = 0; armed < COUNT(armed_epochs); armed++)
	for (promise = 0; promise < COUNT(promises); promise++)
	for (age = 0; age < COUNT(ages); age++)
	for (plan = 0; plan < COUNT(plans); plan++) {
		f->armed = armed_epochs[armed] != 0;
		f->armed_epoch = armed_epochs[armed];
		f->promise = promises[promise];
		f->order_age_ms = ages[age];
		f->end_known = plans[plan].known;
		f->plan = plans[plan].plan;
		walk_flags(f);
	}
}

static void
walk(void)
{
	struct step_facts f;
	size_t order, life, control;

	memset(&f, 0, sizeof(f));
	f.detect_ms = DETECT;
	for (order = 0; order < COUNT(orders); order++)
	for (life = 0; life < COUNT(lives); life++)
	for (control = 0; control < COUNT(controls); control++) {
		f.order.kind = orders[order].kind;
		f.order.epoch = orders[order].epoch;
		f.order.seal_epoch = orders[order].seal;
		f.guarded = lives[life].guarded;
		f.answering = lives[life].answering;
		f.hung = lives[life].hung;
		f.control_known = controls[control].known;
		f.data_exists = controls[control].exists;
		f.data_foreign = controls[control].foreign;
		f.shut_down = controls[control].shut_down;
		f.shutdown_known = controls[control].end;
		walk_permission(&f);
	}
}

static void
test_walk(void)
{
	char text[512];
	enum property p;

	walk();
	ok(seen.combinations > 12u * 4 * 8 * 4 * 3 * 3 * 5 * 256,
	    "%llu combinations were looked at",
	    (unsigned long long)seen.combinations);
	for (p = 0; p < P_COUNT; p++) {
		if (ok(seen.broken[p] == 0, "%s", names[p]))
			continue;
		describe(&seen.first[p], text, sizeof(text));
		printf("# broken %llu times, first: %s; %s\n",
		    (unsigned long long)seen.broken[p],
		    order_name(seen.first[p].order.kind), text);
	}
}

static void
test_rows(void)
{
	bool steps[STEP_COUNT] = { false }, kinds[ORDER_COUNT] = { false };
	char text[512];
	uint32_t i;

	ok(step_row_count() <= ROWS_MAX, "%u rows", step_row_count());
	for (i = 0; i < step_row_count() && i < ROWS_MAX; i++) {
		struct step_row row = step_row(i);

		ok(seen.reached[i], "row %u, %s, %s -> %s, is reached", i,
		    order_name(row.order), row.condition,
		    step_name(row.step));
		if (seen.reached[i]) {
			describe(&seen.by[i], text, sizeof(text));
			printf("# %s\n", text);
		}
		steps[row.step] = true;
		kinds[row.order] = true;
		/* One order after the other, and the last row takes all. */
		if (i + 1 == step_row_count() ||
		    step_row(i + 1).order != row.order)
			ok(strcmp(row.condition, "always") == 0, "the last "
			    "row of \"%s\" takes what is left",
			    order_name(row.order));
	}
	for (i = 0; i < STEP_COUNT; i++)
		ok(steps[i], "some row says: %s", step_name(i));
	for (i = 0; i < COUNT(orders); i++)
		kinds[orders[i].kind] = kinds[orders[i].kind] &&
		    order_name(orders[i].kind)[0] != '\0';
	for (i = 0; i < ORDER_COUNT; i++) {
		bool walked = false;
		size_t j;

		for (j = 0; j < COUNT(orders); j++)
			walked = walked || orders[j].kind == i;
		ok(kinds[i] && walked, "order \"%s\" is in the table and was "
		    "walked", order_name(i));
	}
}

/* ---- ordinary situations, by name ---- */

/* A healthy node of epoch 5, stopped in order, that follows. */
static struct step_facts
ordinary(uint8_t kind)
{
	struct step_facts f;

	memset(&f, 0, sizeof(f));
	f.order.kind = kind;
	f.order.epoch = f.order.seal_epoch = EPOCH;
	f.detect_ms = DETECT;
	f.control_known = f.data_exists = f.shut_down = true;
	f.promise = EPOCH;
	f.opened_epoch = EPOCH - 1;
	f.end_known = true;
	f.plan = REJOIN_ATTACH;
	return f;
}

static struct step_facts
running(uint8_t kind)
{
	struct step_facts f = ordinary(kind);

	f.guarded = f.answering = f.upstream_in_force = true;
	f.control_known = f.data_exists = f.shut_down = false;
	return f;
}

static struct step_facts
primary(uint8_t kind)
{
	struct step_facts f = running(kind);

	f.armed = f.may_write = true;
	f.armed_epoch = f.opened_epoch = EPOCH;
	return f;
}

static void
is_step(struct step_facts f, enum step want, const char *why,
    const char *name)
{
	const char *got_why;
	enum step got = step_next(&f, &got_why);

	if (!ok(got == want && strstr(got_why, why) != NULL, "%s: %s", name,
	    step_name(want)))
		printf("# got \"%s\", %s\n", step_name(got), got_why);
}

static void
test_primary(void)
{
	struct step_facts f = primary(ORDER_PRIMARY);

	is_step(f, STEP_SERVE, "", "a primary that runs");
	f.may_write = false;
	is_step(f, STEP_SERVE, "", "without a majority: its guard counts, "
	    "not this table");
	f.answering = false;
	f.hung = true;
	is_step(f, STEP_KILL, "hang", "a primary that hangs");
	f.hung = false;
	is_step(f, STEP_WAIT, "starting", "a primary that starts");
	f = primary(ORDER_PRIMARY);
	f.promise = EPOCH + 1;
	is_step(f, STEP_KILL, "later epoch", "a primary that has sealed the "
	    "next epoch");
	f = ordinary(ORDER_PRIMARY);
	is_step(f, STEP_WAIT, "lease", "the last primary, everything was off");
	f.may_write = true;
	is_step(f, STEP_START_PRIMARY, "", "the same with the lease");
	f.control_known = false;
	is_step(f, STEP_READ_CONTROL, "", "before its pg_control was read");
	f = ordinary(ORDER_PRIMARY);
	f.shut_down = false;
	f.armed = f.given_up = true;
	f.end_known = false;
	is_step(f, STEP_WAIT, "given up", "a primary that has just crashed");
	f.order_age_ms = 1500;
	is_step(f, STEP_START_ALONE, "reads go on", "still nobody is named a "
	    "second later");
	f.rewind_unfinished = true;
	is_step(f, STEP_FAIL, "rewind", "half rewound data");
	f = running(ORDER_PRIMARY);
	is_step(f, STEP_STOP, "standby", "the primary runs as a standby");
	f.given_up = true;
	is_step(f, STEP_WAIT, "read-only", "the same, lease given up");
}

static void
test_follow(void)
{
	struct step_facts f = running(ORDER_FOLLOW);

	is_step(f, STEP_FOLLOW, "", "a standby that runs");
	f.upstream_in_force = false;
	is_step(f, STEP_CONFIGURE, "", "a standby after a failover");
	f.plan = REJOIN_REWIND;
	is_step(f, STEP_STOP, "rewound", "a standby with WAL too much");
	f.plan = REJOIN_WAIT;
	is_step(f, STEP_WAIT, "not open", "a standby ahead of the ledger");
	f = running(ORDER_FOLLOW);
	f.clone_marker = f.newcomer = true;
	is_step(f, STEP_FOLLOW, "", "a copy that is no member's yet");
	f.newcomer = false;
	is_step(f, STEP_KEEP_CLONE, "", "a copy that has become a member's");
	f = running(ORDER_FOLLOW);
	f.promise = EPOCH + 1;
	is_step(f, STEP_SEAL, "later epoch", "a standby with a later promise");
	f = primary(ORDER_FOLLOW);
	is_step(f, STEP_KILL, "another node", "an old primary that runs on");
	f = ordinary(ORDER_FOLLOW);
	is_step(f, STEP_START_STANDBY, "", "a standby that was stopped");
	f.armed = true;
	f.armed_epoch = EPOCH - 1;
	is_step(f, STEP_RELEASE, "", "an old primary, stopped");
	f.armed = false;
	f.plan = REJOIN_REWIND;
	is_step(f, STEP_REWIND, "left the chain", "the same, after release, "
	    "with WAL too much");
	f.rewind_unfinished = true;
	is_step(f, STEP_FAIL, "did not end", "an interrupted rewind");
	f = ordinary(ORDER_FOLLOW);
	f.shut_down = f.end_known = false;
	is_step(f, STEP_START_ALONE, "crash", "a standby that crashed");
	f = ordinary(ORDER_FOLLOW);
	f.plan = REJOIN_RECLONE;
	is_step(f, STEP_FAIL, "ledger", "WAL of an unknown timeline");
	f = ordinary(ORDER_FOLLOW);
	f.data_exists = f.shut_down = f.end_known = false;
	is_step(f, STEP_FAIL, "no data directory", "an empty disk");
}

static void
test_seal(void)
{
	struct step_facts f = running(ORDER_SEAL);

	f.order.seal_epoch = EPOCH + 1;
	is_step(f, STEP_SEAL, "", "a standby that runs");
	f.answering = false;
	is_step(f, STEP_WAIT, "starting", "a standby that starts");
	f = primary(ORDER_SEAL);
	f.order.seal_epoch = EPOCH + 1;
	is_step(f, STEP_KILL, "sealed", "the primary");
	f.guarded = f.answering = false;
	is_step(f, STEP_RELEASE, "", "the primary, when it is gone");
	f = primary(ORDER_SEAL);
	f.armed_epoch = f.order.seal_epoch = EPOCH + 1;
	is_step(f, STEP_WAIT, "yet to be heard", "its own promotion is not "
	    "known again yet");
	f = ordinary(ORDER_SEAL);
	f.order.seal_epoch = EPOCH + 1;
	f.shutdown_known = true;
	is_step(f, STEP_SEAL_STOPPED, "cleanly", "the old primary of a "
	    "switchover");
	f.order_age_ms = 2 * DETECT;
	is_step(f, STEP_START_ALONE, "", "it is needed after all");
	f.data_foreign = true;
	is_step(f, STEP_FAIL, "another database system", "foreign data hold "
	    "no position");
	f = ordinary(ORDER_SEAL);
	f.shut_down = f.end_known = false;
	is_step(f, STEP_START_ALONE, "", "a primary that crashed");
}

static void
test_others(void)
{
	struct step_facts f = running(ORDER_PROMOTE);

	is_step(f, STEP_PROMOTE, "", "the candidate");
	f.failed = true;
	is_step(f, STEP_FAIL, "", "a promotion that failed");
	f = primary(ORDER_PROMOTE);
	is_step(f, STEP_DONE, "", "a promotion that is done");
	f.armed_epoch = f.opened_epoch = EPOCH - 1;
	is_step(f, STEP_KILL, "another epoch", "read-write for the epoch "
	    "before");
	f = running(ORDER_PROMOTE);
	f.guarded = f.answering = false;
	is_step(f, STEP_FAIL, "not running", "a candidate that is gone");

	f = primary(ORDER_STOP);
	is_step(f, STEP_STOP, "switchover", "the primary of a switchover");
	f = ordinary(ORDER_STOP);
	f.shutdown_known = true;
	is_step(f, STEP_DONE, "", "the same, stopped");
	f.shut_down = false;
	is_step(f, STEP_FAIL, "cleanly", "the same, crashed");

	f = ordinary(ORDER_CLONE);
	f.newcomer = true;
	f.data_exists = false;
	is_step(f, STEP_CLONE, "", "a new node");
	f.failed = true;
	is_step(f, STEP_FAIL, "", "a clone that failed");
	f = running(ORDER_CLONE);
	is_step(f, STEP_FAIL, "running here", "a server where the copy is "
	    "to go");
	f = ordinary(ORDER_NOTHING);
	is_step(f, STEP_IDLE, "", "no order");
	f.newcomer = f.clone_marker = true;
	is_step(f, STEP_UNDO_CLONE, "", "a copy that nobody wants");
	is_step(ordinary(ORDER_WITNESS), STEP_DONE, "", "a witness");

	f = primary(ORDER_LEAVE);
	is_step(f, STEP_STOP, "removed", "a primary that was removed");
	f.guarded = f.answering = false;
	is_step(f, STEP_RELEASE, "", "the same, stopped");
	f = ordinary(ORDER_LEAVE);
	f.clone_marker = true;
	is_step(f, STEP_DONE, "kept", "a member that was removed, its copy's "
	    "marker forgotten");
	f.newcomer = true;
	is_step(f, STEP_UNDO_CLONE, "called off", "a clone that was "
	    "cancelled");
}

int
main(void)
{
	test_walk();
	test_rows();
	test_primary();
	test_follow();
	test_seal();
	test_others();
	return done_testing();
}
