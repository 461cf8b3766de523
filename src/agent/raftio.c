/*
 * raftio.c - the glue between raft.c and the world.
 *
 * Owns the one struct raft of this process, the queue of events before it and
 * the order in which effects are carried out: persist, send, restore, apply,
 * notify.  Decides nothing.  It must never feed an event while a write is
 * under way, never let anything out that is not on the disk yet, and never
 * call a proposal failed whose outcome is not known.
 *
 *	raftio_receive(), raftio_propose(), timer ...
 *	    -> queue -> pump() -> raft_step() -> store_save() in a worker
 *	    -> carry_out() -> callbacks
 *
 * Whatever is asked for only queues and wakes the loop, so no step begins
 * before the last one is finished and nobody is called back before his own
 * call has returned.
 */
#include "raftio.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "log.h"
#include "wire.h"

/* What may wait while a write is under way. */
#define MESSAGES_QUEUED_MAX	512
#define BYTES_QUEUED_MAX	(4u * 1024 * 1024)
#define REQUESTS_QUEUED_MAX	128
/* In one turn of the loop: callbacks may go on asking for ever. */
#define STEPS_MAX		64
/* A disk that refuses is asked again no sooner. */
#define DISK_RETRY_MS		250
/* Said, because nothing is sent meanwhile: it may cost the leadership. */
#define SLOW_WRITE_MS		500
#define TIMER_MAX_MS		60000

enum item_kind {
	ITEM_TICK,
	ITEM_MESSAGE,		/* data: a FRAME_RAFT payload */
	ITEM_PROPOSE,		/* data: an encoded command */
	ITEM_CHANGE,
	ITEM_TRANSFER,
	ITEM_REFUSED		/* data: why; never in the queue */
};

struct item {
	struct item *next;
	uint8_t kind;
	uint8_t change;
	uint32_t member_id;	/* MESSAGE: sender */
	raftio_done_fn *done;
	void *arg;
	uint64_t index, term;	/* of a proposal in the log */
	size_t len;
	uint8_t data[];
};

struct raftio {
	uv_loop_t *loop;
	uv_timer_t timer;	/* the core's next deadline */
	uv_idle_t wakeup;	/* something was asked for */
	struct raftio_callbacks callbacks;
	void *arg;
	char *state_dir;
	struct state *state;	/* the caller's */
	struct state *scratch;	/* what is decoded before it is believed */

	bool is_member;		/* raft has been started */
	bool stepping;		/* a step is being carried out */
	bool closed;
	int handles;		/* that libuv still knows */
	char halted[ERRMSG_MAX];	/* "" = takes part */

	struct item *first, **end;
	struct item *tick;	/* the only one of its kind */
	bool tick_queued;
	uint32_t messages, requests;
	size_t message_bytes;
	unsigned long long dropped;
	struct item *pending;	/* proposals in the log, not applied */
	struct item *refused;	/* to be told why, which is their data */
	bool kept_due;		/* a promise asked for is kept already */

	uint8_t founding[ENTRY_DATA_MAX];
	size_t founding_len;	/* proposed whenever this node leads, until
				 * the cluster is there */

	/* as last told to role() */
	uint8_t role;
	uint32_t leader;
	uint64_t term;

	/* on the disk */
	struct store_identity identity;
	uint64_t store_generation;
	uint64_t promise_wanted;

	/* the write under way; the worker's until `written` is posted */
	uv_work_t work;
	uv_sem_t written;
	bool writing;
	struct store_identity writing_identity;
	size_t image_len;
	int write_rc;
	char write_errmsg[ERRMSG_MAX];
	monotime_t write_began;
	bool disk_failing;
	monotime_t retry_due;

	uint64_t compacted_at;	/* applied index of the last attempt */
	uint8_t image[RAFT_IMAGE_MAX];
	uint8_t frame[FRAME_MAX];
	uint8_t snapshot[SNAPSHOT_MAX];
	struct raft_entry entries[RAFT_BATCH_MAX];
	struct raft_config config;
	struct raft_effects effects;
	struct raft raft;
};

static void	pump(struct raftio *raftio);
static void	wake(struct raftio *raftio);

monotime_t
monotime_now(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_BOOTTIME, &ts) != 0)
		abort();	/* no promise can be kept without a clock */
	return (monotime_t){ (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec };
}

static unsigned long long
ull(uint64_t value)
{
	return value;
}

/* ---- the queue ---- */

static void
enqueue(struct raftio *raftio, struct item *item)
{
	item->next = NULL;
	*raftio->end = item;
	raftio->end = &item->next;
	if (item->kind == ITEM_MESSAGE) {
		raftio->messages++;
		raftio->message_bytes += item->len;
	} else if (item->kind != ITEM_TICK) {
		raftio->requests++;
	}
}

static struct item *
dequeue(struct raftio *raftio)
{
	struct item *item = raftio->first;

	if (item == NULL)
		return NULL;
	raftio->first = item->next;
	if (raftio->first == NULL)
		raftio->end = &raftio->first;
	if (item->kind == ITEM_MESSAGE) {
		raftio->messages--;
		raftio->message_bytes -= item->len;
	} else if (item->kind == ITEM_TICK) {
		raftio->tick_queued = false;
	} else {
		raftio->requests--;
	}
	return item;
}

/* Ticks are merged. */
static void
enqueue_tick(struct raftio *raftio)
{
	if (raftio->tick_queued)
		return;
	raftio->tick_queued = true;
	enqueue(raftio, raftio->tick);
}

static struct item *
new_item(enum item_kind kind, const void *data, size_t len)
{
	struct item *item = calloc(1, sizeof(*item) + len);

	if (item == NULL)
		return NULL;
	item->kind = (uint8_t)kind;
	item->len = len;
	if (len > 0)
		memcpy(item->data, data, len);
	return item;
}

/* Ends a proposal: the only place where done is called and the item freed. */
static void
finish_item(struct item *item, bool effect, const char *why)
{
	if (item->done != NULL)
		item->done(item->arg, effect, why);
	free(item);
}

/* ---- proposals in the log ---- */

/* An entry was applied: resolves the proposal that stood at its index. */
static void
resolve_pending(struct raftio *raftio, uint64_t index, uint64_t term,
    bool effect, const char *why)
{
	struct item **at, *item;

	for (at = &raftio->pending; (item = *at) != NULL; at = &item->next) {
		if (item->index != index)
			continue;
		*at = item->next;
		if (item->term == term)
			finish_item(item, effect, why);
		else
			finish_item(item, false, "not carried out: an entry "
			    "of another coordinator took its place");
		return;
	}
}

/* Whoever leads now may still commit them, or overwrite them. */
static void
give_up_pending(struct raftio *raftio, const char *why)
{
	struct item *item;

	while ((item = raftio->pending) != NULL) {
		raftio->pending = item->next;
		finish_item(item, false, why);
	}
}

/* ---- carrying out effects ---- */

static void
send_messages(struct raftio *raftio)
{
	const struct raft_effects *effects = &raftio->effects;
	uint32_t i;

	for (i = 0; i < effects->message_count; i++) {
		const struct raft_message *message = &effects->messages[i];
		struct buf buf;

		buf_init(&buf, raftio->frame, sizeof(raftio->frame));
		wire_put_raft(&buf, message);
		if (buf.failed) {
			log_error("raft", "message of type %u to member %u "
			    "does not fit in a frame",
			    (unsigned int)message->type, message->to);
			continue;
		}
		raftio->callbacks.send(raftio->arg, message->to, buf.data,
		    buf.len);
	}
}

/* Met something that this program does not know: takes part no longer. */
static void
halt(struct raftio *raftio, const char *why)
{
	snprintf(raftio->halted, sizeof(raftio->halted), "%s", why);
	log_error("raft", "this node takes part in no vote and no decision "
	    "any more: %s. Install a newer failoverd here.", why);
}

static void
restore_state(struct raftio *raftio)
{
	const struct raft *raft = &raftio->raft;
	char errmsg[ERRMSG_MAX], why[ERRMSG_MAX];
	struct reader reader;

	reader_init(&reader, raft->snapshot, raft->snapshot_len);
	if (state_decode(raftio->scratch, &reader, errmsg) != 0) {
		snprintf(why, sizeof(why), "snapshot at entry %llu: %.400s",
		    ull(raft->snapshot_index), errmsg);
		halt(raftio, why);
		return;
	}
	if (raftio->scratch->applied != raft->snapshot_index) {
		snprintf(why, sizeof(why), "snapshot at entry %llu holds the "
		    "state at entry %llu", ull(raft->snapshot_index),
		    ull(raftio->scratch->applied));
		halt(raftio, why);
		return;
	}
	*raftio->state = *raftio->scratch;
	raftio_retime(raftio);
	log_info("raft", "took over the state at entry %llu from a snapshot",
	    ull(raft->snapshot_index));
	raftio->callbacks.restored(raftio->arg);
}

static void
apply_entries(struct raftio *raftio)
{
	uint64_t index;

	if (raftio->effects.apply_first == 0)
		return;
	for (index = raftio->effects.apply_first;
	    index <= raftio->effects.apply_last; index++) {
		const struct raft_entry *entry;
		char why[TEXT_MAX_LEN + 1];
		bool effect, unknown;

		entry = raft_entry_at(&raftio->raft, index);
		assert(entry != NULL);
		effect = state_apply(raftio->state, entry, index, why,
		    &unknown);
		if (unknown) {
			halt(raftio, why);
			return;
		}
		raftio_retime(raftio);
		raftio->callbacks.applied(raftio->arg, entry, index, effect,
		    why);
		resolve_pending(raftio, index, entry->term, effect, why);
	}
}

static void
propose_founding(struct raftio *raftio)
{
	struct item *item;

	if (raftio->founding_len == 0 || raftio->state->reign_count > 0)
		return;
	item = new_item(ITEM_PROPOSE, raftio->founding, raftio->founding_len);
	if (item == NULL) {
		log_error("raft", "out of memory");
		return;
	}
	enqueue(raftio, item);
}

static void
notify(struct raftio *raftio)
{
	const struct raft *raft = &raftio->raft;

	if (raftio->halted[0] != '\0')
		give_up_pending(raftio, "outcome unknown: this node needs a "
		    "newer failoverd");
	if (raft->role != RAFT_LEADER || raft->term != raftio->term)
		give_up_pending(raftio, "outcome unknown: this node lost the "
		    "leadership before a majority had stored it");
	if (raft->role == raftio->role && raft->leader == raftio->leader &&
	    raft->term == raftio->term)
		return;
	raftio->role = raft->role;
	raftio->leader = raft->leader;
	raftio->term = raft->term;
	if (raft->role == RAFT_LEADER) {
		log_info("raft", "leads term %llu", ull(raft->term));
		propose_founding(raftio);
	} else if (raft->leader != RAFT_NOBODY) {
		log_info("raft", "follows %s in term %llu",
		    state_name(raft->leader, raftio->state), ull(raft->term));
	} else {
		log_info("raft", "knows of no leader in term %llu",
		    ull(raft->term));
	}
	raftio->callbacks.role(raftio->arg);
}

/* Everything behind persist; `stepping` is set. */
static void
carry_out(struct raftio *raftio)
{
	send_messages(raftio);
	if (raftio->effects.restore)
		restore_state(raftio);
	if (raftio->halted[0] == '\0')
		apply_entries(raftio);
	notify(raftio);
}

/* ---- the write ---- */

static void
write_in_worker(uv_work_t *work)
{
	struct raftio *raftio = work->data;

	raftio->write_rc = store_save(raftio->state_dir,
	    &raftio->writing_identity, raftio->store_generation + 1,
	    raftio->image, raftio->image_len, raftio->write_errmsg);
	uv_sem_post(&raftio->written);
}

static void
release(struct raftio *raftio)
{
	struct item *item;

	if (--raftio->handles > 0)
		return;
	while ((item = dequeue(raftio)) != NULL)
		if (item != raftio->tick)
			free(item);
	uv_sem_destroy(&raftio->written);
	free(raftio->tick);
	free(raftio->scratch);
	free(raftio->state_dir);
	free(raftio);
}

static void
on_written(struct raftio *raftio)
{
	bool kept = raftio->writing_identity.promise >
	    raftio->identity.promise;
	int64_t took_ms = monotime_diff_ms(monotime_now(),
	    raftio->write_began);

	if (took_ms >= SLOW_WRITE_MS)
		log_warning("store", "it took %lld ms to store %zu bytes in "
		    "\"%s\"", (long long)took_ms, raftio->image_len,
		    raftio->state_dir);
	raftio->store_generation++;
	raftio->identity = raftio->writing_identity;
	if (raftio->disk_failing) {
		raftio->disk_failing = false;
		log_info("store", "state is stored in \"%s\" again",
		    raftio->state_dir);
	}
	carry_out(raftio);
	if (kept)
		raftio->callbacks.promise_kept(raftio->arg,
		    raftio->identity.promise);
}

static void
on_write_failed(struct raftio *raftio)
{
	struct raft_event event = { .type = RAFT_EVENT_DISK_FAILED };
	bool first = !raftio->disk_failing;

	raftio->disk_failing = true;
	raftio->retry_due = monotime_add_ms(monotime_now(), DISK_RETRY_MS);
	raft_step(&raftio->raft, &event, monotime_now(), &raftio->effects);
	if (first)
		log_error("store", "%s", raftio->write_errmsg);
	notify(raftio);
	if (first)
		raftio->callbacks.disk_failed(raftio->arg,
		    raftio->write_errmsg);
}

static void
after_write(uv_work_t *work, int status)
{
	struct raftio *raftio = work->data;

	raftio->writing = false;
	if (raftio->closed) {
		release(raftio);
		return;
	}
	assert(status == 0);
	raftio->handles--;
	uv_sem_wait(&raftio->written);
	raftio->stepping = true;
	if (raftio->write_rc == 0)
		on_written(raftio);
	else
		on_write_failed(raftio);
	raftio->stepping = false;
	pump(raftio);
}

static void
start_write(struct raftio *raftio)
{
	struct buf buf;
	int rc;

	buf_init(&buf, raftio->image, sizeof(raftio->image));
	raft_encode(&raftio->raft, &buf);
	assert(!buf.failed);
	raftio->image_len = buf.len;
	raftio->writing_identity = raftio->identity;
	raftio->writing_identity.promise = raftio->promise_wanted;
	raftio->work.data = raftio;
	raftio->write_began = monotime_now();
	raftio->writing = true;
	raftio->handles++;
	rc = uv_queue_work(raftio->loop, &raftio->work, write_in_worker,
	    after_write);
	assert(rc == 0);
	(void)rc;
}

/* ---- one step ---- */

static void
log_trace(const struct trace *trace)
{
	const char *line = trace->text;

	if (trace->len == 0 || !log_is_enabled(LOG_LEVEL_DEBUG))
		return;
	while (*line != '\0') {
		size_t len = strcspn(line, "\n");

		log_debug("raft", "%.*s", (int)len, line);
		line += len;
		if (*line == '\n')
			line++;
	}
}

/* How a request went; takes the item. */
static void
settle_request(struct raftio *raftio, struct item *item)
{
	int result = raftio->effects.result;

	if (item->kind == ITEM_PROPOSE && result == 0 && item->done != NULL) {
		item->index = raftio->effects.proposed_index;
		item->term = raftio->raft.term;
		item->next = raftio->pending;
		raftio->pending = item;
		return;
	}
	if (result != 0 && item->kind == ITEM_TRANSFER)
		log_info("raft", "leadership was not handed to %s: %s",
		    state_name(item->member_id, raftio->state),
		    raft_strerror(result));
	if (result != 0 && item->kind == ITEM_CHANGE)
		log_debug("raft", "membership of %s was not changed: %s",
		    state_name(item->member_id, raftio->state),
		    raft_strerror(result));
	finish_item(item, false, raft_strerror(result));
}

static void
step(struct raftio *raftio, const struct raft_event *event,
    struct item *request, bool must_store)
{
	raftio->stepping = true;
	raft_step(&raftio->raft, event, monotime_now(), &raftio->effects);
	log_trace(&raftio->raft.trace);
	if (request != NULL)
		settle_request(raftio, request);
	if (raftio->effects.persist || must_store)
		start_write(raftio);
	else
		carry_out(raftio);
	raftio->stepping = false;
}

static void
step_message(struct raftio *raftio, struct item *item)
{
	struct raft_event event = { .type = RAFT_EVENT_MESSAGE };
	struct raft_message message;
	struct reader reader;

	reader_init(&reader, item->data, item->len);
	if (wire_get_raft(&reader, &message, raftio->entries,
	    &raftio->config) != 0) {
		log_warning("raft", "message of %zu bytes from %s cannot be "
		    "read", item->len, state_name(item->member_id,
		    raftio->state));
	} else if (message.from != item->member_id ||
	    message.to != raftio->raft.self) {
		log_warning("raft", "message from member %u to member %u came "
		    "from member %u to member %u", message.from, message.to,
		    item->member_id, raftio->raft.self);
	} else {
		event.message = &message;
		step(raftio, &event, NULL, false);
	}
	free(item);
}

static void
step_item(struct raftio *raftio, struct item *item)
{
	struct raft_event event = { 0 };

	switch (item->kind) {
	case ITEM_TICK:
		event.type = RAFT_EVENT_TICK;
		step(raftio, &event, NULL, false);
		return;
	case ITEM_MESSAGE:
		step_message(raftio, item);
		return;
	case ITEM_PROPOSE:
		event.type = RAFT_EVENT_PROPOSE;
		event.data = item->data;
		event.len = item->len;
		break;
	case ITEM_CHANGE:
		event.type = RAFT_EVENT_CHANGE;
		event.change = item->change;
		event.server_id = item->member_id;
		break;
	default:
		assert(item->kind == ITEM_TRANSFER);
		event.type = RAFT_EVENT_TRANSFER;
		event.server_id = item->member_id;
		break;
	}
	step(raftio, &event, item, false);
}

static bool
is_compaction_due(const struct raftio *raftio)
{
	const struct raft *raft = &raftio->raft;

	return raft->log_count > RAFT_LOG_COMPACT &&
	    raft->applied > raft->snapshot_index &&
	    raft->applied == raftio->state->applied &&
	    raft->applied != raftio->compacted_at;
}

static void
step_compact(struct raftio *raftio)
{
	struct raft_event event = { .type = RAFT_EVENT_COMPACT };
	struct buf buf;

	raftio->compacted_at = raftio->raft.applied;
	buf_init(&buf, raftio->snapshot, sizeof(raftio->snapshot));
	state_encode(raftio->state, &buf);
	if (buf.failed) {
		log_error("raft", "the state does not fit in a snapshot of "
		    "%d bytes; %u entries are in the log, at most %d can be",
		    SNAPSHOT_MAX, raftio->raft.log_count, RAFT_LOG_MAX);
		return;
	}
	event.data = buf.data;
	event.len = buf.len;
	step(raftio, &event, NULL, false);
}

static bool
may_step(const struct raftio *raftio)
{
	return raftio->is_member && !raftio->closed && !raftio->writing &&
	    !raftio->stepping && raftio->halted[0] == '\0' &&
	    (!raftio->disk_failing ||
	    !monotime_before(monotime_now(), raftio->retry_due));
}

static void
on_timer(uv_timer_t *timer)
{
	struct raftio *raftio = timer->data;

	enqueue_tick(raftio);
	pump(raftio);
}

static void
arm_timer(struct raftio *raftio)
{
	monotime_t due;
	int64_t ms;

	/* A write that ends, or a step that is finished, comes here again. */
	if (!raftio->is_member || raftio->closed || raftio->writing ||
	    raftio->stepping || raftio->halted[0] != '\0') {
		uv_timer_stop(&raftio->timer);
		return;
	}
	due = raftio->disk_failing ? raftio->retry_due :
	    raft_next_deadline(&raftio->raft);
	ms = monotime_diff_ms(due, monotime_now()) + 1;
	if (ms < 1)
		ms = 1;
	if (ms > TIMER_MAX_MS)
		ms = TIMER_MAX_MS;
	uv_update_time(raftio->loop);
	uv_timer_start(&raftio->timer, on_timer, (uint64_t)ms, 0);
}

static void
pump(struct raftio *raftio)
{
	struct item *item;
	unsigned int steps;

	for (steps = 0; may_step(raftio); steps++) {
		if (steps == STEPS_MAX) {
			wake(raftio);
			break;
		}
		if (is_compaction_due(raftio)) {
			step_compact(raftio);
		} else if (raftio->promise_wanted > raftio->identity.promise) {
			/*
			 * With a step of its own, so that a write that fails
			 * is undone like any other.
			 */
			struct raft_event event = { .type = RAFT_EVENT_TICK };

			step(raftio, &event, NULL, true);
		} else {
			item = dequeue(raftio);
			if (item == NULL)
				break;
			step_item(raftio, item);
		}
	}
	arm_timer(raftio);
}

static void
tell_refused(struct raftio *raftio)
{
	struct item *item, *list = raftio->refused;

	raftio->refused = NULL;		/* a callback may propose again */
	while ((item = list) != NULL) {
		char why[ERRMSG_MAX];

		list = item->next;
		snprintf(why, sizeof(why), "%s", (const char *)item->data);
		finish_item(item, false, why);
	}
}

static void
on_wakeup(uv_idle_t *wakeup)
{
	struct raftio *raftio = wakeup->data;

	uv_idle_stop(wakeup);
	raftio->stepping = true;
	tell_refused(raftio);
	if (raftio->kept_due) {
		raftio->kept_due = false;
		raftio->callbacks.promise_kept(raftio->arg,
		    raftio->identity.promise);
	}
	raftio->stepping = false;
	pump(raftio);
}

/* The loop comes here before it waits for anything, once in each turn. */
static void
wake(struct raftio *raftio)
{
	if (!raftio->closed)
		uv_idle_start(&raftio->wakeup, on_wakeup);
}

/* ---- life ---- */

static void
start(struct raftio *raftio, uint32_t election_ms, uint32_t heartbeat_ms)
{
	monotime_t now = monotime_now();
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = (uint64_t)now.ns * 0x9e3779b97f4a7c15u;
	raft_start(&raftio->raft, election_ms, heartbeat_ms, seed, now);
	raftio->role = raftio->raft.role;
	raftio->leader = raftio->raft.leader;
	raftio->term = raftio->raft.term;
	raftio->is_member = true;
	/* Hands out the snapshot and what is known to be committed. */
	enqueue_tick(raftio);
	wake(raftio);
}

/*
 * The longest election timeout that may have been in force when this node
 * stopped: it must be silent for so long.  Entries behind the commit index
 * known here may be committed elsewhere, so they count too.
 */
static uint32_t
longest_election_ms(struct raftio *raftio, int64_t *heartbeat_ms)
{
	const struct raft *raft = &raftio->raft;
	struct state *state = raftio->scratch;
	char errmsg[ERRMSG_MAX], why[TEXT_MAX_LEN + 1];
	struct reader reader;
	int64_t longest;
	uint64_t index;
	bool unknown = false;

	state_init(state);
	reader_init(&reader, raft->snapshot, raft->snapshot_len);
	if (raft->snapshot_index > 0 &&
	    state_decode(state, &reader, errmsg) != 0) {
		state_init(state);	/* the first step says so and halts */
		unknown = true;
	}
	longest = state->settings.election_ms;
	*heartbeat_ms = state->settings.heartbeat_ms;
	for (index = raft->snapshot_index + 1;
	    index <= raft_last_index(raft) && !unknown; index++) {
		state_apply(state, raft_entry_at(raft, index), index, why,
		    &unknown);
		if (state->settings.election_ms > longest)
			longest = state->settings.election_ms;
		if (index <= raft->commit)
			*heartbeat_ms = state->settings.heartbeat_ms;
	}
	return (uint32_t)longest;
}

static int
decode_body(struct raftio *raftio, const void *body, size_t body_len,
    char *errmsg)
{
	struct reader reader;

	reader_init(&reader, body, body_len);
	if (raft_decode(&raftio->raft, &reader, errmsg) != 0)
		return -1;
	if (!reader_is_done(&reader)) {
		snprintf(errmsg, ERRMSG_MAX, "%zu bytes follow the consensus "
		    "state", reader.size - reader.pos);
		return -1;
	}
	if (raftio->raft.self != raftio->identity.member_id) {
		snprintf(errmsg, ERRMSG_MAX, "stored consensus state is that "
		    "of member %u, but this node is member %u",
		    raftio->raft.self, raftio->identity.member_id);
		return -1;
	}
	return 0;
}

static struct raftio *
allocate(const char *state_dir)
{
	struct raftio *raftio = calloc(1, sizeof(*raftio));

	if (raftio == NULL)
		return NULL;
	raftio->end = &raftio->first;
	raftio->state_dir = strdup(state_dir);
	raftio->scratch = calloc(1, sizeof(*raftio->scratch));
	raftio->tick = new_item(ITEM_TICK, NULL, 0);
	if (raftio->state_dir != NULL && raftio->scratch != NULL &&
	    raftio->tick != NULL && uv_sem_init(&raftio->written, 0) == 0)
		return raftio;
	free(raftio->tick);
	free(raftio->scratch);
	free(raftio->state_dir);
	free(raftio);
	return NULL;
}

struct raftio *
raftio_new(uv_loop_t *loop, const char *state_dir, struct state *state,
    const struct store_identity *identity, uint64_t store_generation,
    const void *body, size_t body_len,
    const struct raftio_callbacks *callbacks, void *arg, char *errmsg)
{
	struct raftio *raftio;
	int64_t heartbeat_ms;
	uint32_t election_ms;

	errmsg[0] = '\0';
	raftio = allocate(state_dir);
	if (raftio == NULL) {
		snprintf(errmsg, ERRMSG_MAX, "out of memory");
		return NULL;
	}
	raftio->loop = loop;
	raftio->state = state;
	raftio->identity = *identity;
	raftio->promise_wanted = identity->promise;
	raftio->store_generation = store_generation;
	raftio->callbacks = *callbacks;
	raftio->arg = arg;
	state_init(state);
	raft_init(&raftio->raft, RAFT_NOBODY);
	if ((identity->member_id != 0) != (body != NULL))
		snprintf(errmsg, ERRMSG_MAX, "stored identity of member %u "
		    "%s consensus state", identity->member_id,
		    body != NULL ? "has a" : "has no");
	else if (body == NULL || decode_body(raftio, body, body_len,
	    errmsg) == 0)
		errmsg[0] = '\0';
	if (errmsg[0] != '\0') {
		raftio->handles = 1;
		release(raftio);
		return NULL;
	}
	uv_timer_init(loop, &raftio->timer);
	uv_idle_init(loop, &raftio->wakeup);
	raftio->timer.data = raftio->wakeup.data = raftio;
	raftio->handles = 2;
	if (body != NULL) {
		election_ms = longest_election_ms(raftio, &heartbeat_ms);
		start(raftio, election_ms, (uint32_t)heartbeat_ms);
	}
	return raftio;
}

static void
on_closed(uv_handle_t *handle)
{
	release(handle->data);
}

void
raftio_free(struct raftio *raftio)
{
	struct item *item;

	if (raftio == NULL)
		return;
	assert(!raftio->stepping && !raftio->closed);
	raftio->closed = true;
	/* One that has not begun never will. */
	if (raftio->writing &&
	    uv_cancel((uv_req_t *)&raftio->work) != 0)
		uv_sem_wait(&raftio->written);
	give_up_pending(raftio, "outcome unknown: this agent is stopping");
	while ((item = dequeue(raftio)) != NULL)
		if (item != raftio->tick)
			finish_item(item, false,
			    "not proposed: this agent is stopping");
	tell_refused(raftio);
	uv_close((uv_handle_t *)&raftio->timer, on_closed);
	uv_close((uv_handle_t *)&raftio->wakeup, on_closed);
}

/* Identity and raft, as they are now, to the disk.  [blocking] */
static int
store_now(struct raftio *raftio, const struct store_identity *identity,
    char *errmsg)
{
	struct store_identity mine = *identity;
	struct buf buf;

	if (mine.promise < raftio->promise_wanted)
		mine.promise = raftio->promise_wanted;
	buf_init(&buf, raftio->image, sizeof(raftio->image));
	raft_encode(&raftio->raft, &buf);
	assert(!buf.failed);
	if (store_save(raftio->state_dir, &mine, raftio->store_generation + 1,
	    buf.data, buf.len, errmsg) != 0) {
		raft_init(&raftio->raft, RAFT_NOBODY);
		return -1;
	}
	raftio->store_generation++;
	raftio->identity = mine;
	raftio->promise_wanted = mine.promise;
	return 0;
}

/* Stored as the only member, but stopped before it was a cluster. */
static bool
is_half_founded(const struct raftio *raftio)
{
	const struct raft *raft = &raftio->raft;
	uint64_t index;

	if (raftio->writing || raftio->stepping || raftio->founding_len > 0 ||
	    raftio->identity.member_id != 1 || raft->snapshot_index > 0 ||
	    raft->config.count != 1 || raftio->state->reign_count > 0)
		return false;
	for (index = 1; index <= raft_last_index(raft); index++)
		if (raft_entry_at(raft, index)->type == RAFT_ENTRY_COMMAND)
			return false;
	return true;
}

static int
check_newcomer(const struct raftio *raftio,
    const struct store_identity *identity, char *errmsg)
{
	static const uint8_t none[sizeof(identity->cluster_id)];

	if (raftio->closed || raftio->identity.member_id != 0) {
		snprintf(errmsg, ERRMSG_MAX, "this node is member %u of "
		    "cluster \"%s\" already", raftio->identity.member_id,
		    raftio->identity.cluster);
		return -1;
	}
	if (identity->member_id == 0 ||
	    memcmp(identity->cluster_id, none, sizeof(none)) == 0) {
		snprintf(errmsg, ERRMSG_MAX, "identity of a member needs a "
		    "member number and a cluster id");
		return -1;
	}
	return 0;
}

int
raftio_bootstrap(struct raftio *raftio,
    const struct store_identity *identity, const struct command *command,
    char *errmsg)
{
	struct store_identity mine = *identity;
	struct buf buf;

	errmsg[0] = '\0';
	mine.member_id = 1;
	if (is_half_founded(raftio)) {
		raftio->is_member = false;
		raftio->identity.member_id = 0;
	}
	if (check_newcomer(raftio, &mine, errmsg) != 0)
		return -1;
	buf_init(&buf, raftio->founding, sizeof(raftio->founding));
	command_encode(command, &buf);
	if (buf.failed) {
		snprintf(errmsg, ERRMSG_MAX, "the command that founds the "
		    "cluster does not fit in one entry");
		return -1;
	}
	raft_init(&raftio->raft, mine.member_id);
	raft_bootstrap(&raftio->raft);
	if (store_now(raftio, &mine, errmsg) != 0)
		return -1;
	raftio->founding_len = buf.len;
	state_init(raftio->state);
	start(raftio, (uint32_t)raftio->state->settings.election_ms,
	    (uint32_t)raftio->state->settings.heartbeat_ms);
	return 0;
}

int
raftio_join(struct raftio *raftio, const struct store_identity *identity,
    char *errmsg)
{
	errmsg[0] = '\0';
	if (check_newcomer(raftio, identity, errmsg) != 0)
		return -1;
	raft_init(&raftio->raft, identity->member_id);
	if (store_now(raftio, identity, errmsg) != 0)
		return -1;
	start(raftio, (uint32_t)raftio->state->settings.election_ms,
	    (uint32_t)raftio->state->settings.heartbeat_ms);
	return 0;
}

void
raftio_retime(struct raftio *raftio)
{
	const struct settings *settings = &raftio->state->settings;

	raftio->raft.election_ms = (uint32_t)settings->election_ms;
	raftio->raft.heartbeat_ms = (uint32_t)settings->heartbeat_ms;
}

/* ---- what comes in ---- */

void
raftio_receive(struct raftio *raftio, uint32_t from, const void *data,
    size_t len)
{
	struct item *item;

	if (!raftio->is_member || raftio->closed ||
	    raftio->halted[0] != '\0' || len > FRAME_MAX)
		return;
	if (raftio->messages >= MESSAGES_QUEUED_MAX ||
	    raftio->message_bytes + len > BYTES_QUEUED_MAX ||
	    (item = new_item(ITEM_MESSAGE, data, len)) == NULL) {
		if (raftio->dropped++ % 1000 == 0)
			log_warning("raft", "the disk does not keep up: %llu "
			    "messages dropped so far", raftio->dropped);
		return;
	}
	item->member_id = from;
	enqueue(raftio, item);
	wake(raftio);
}

/* Why this node takes no request; NULL if it does. */
static const char *
request_obstacle(const struct raftio *raftio)
{
	if (raftio->closed)
		return "this agent is stopping";
	if (!raftio->is_member)
		return "this node is no member of a cluster yet";
	if (raftio->halted[0] != '\0')
		return raftio->halted;
	if (raftio->requests >= REQUESTS_QUEUED_MAX)
		return raft_strerror(RAFT_E_BUSY);
	return NULL;
}

void
raftio_propose(struct raftio *raftio, const struct command *command,
    raftio_done_fn *done, void *arg)
{
	const char *why = request_obstacle(raftio);
	uint8_t data[ENTRY_DATA_MAX];
	struct item *item;
	struct buf buf;

	buf_init(&buf, data, sizeof(data));
	command_encode(command, &buf);
	if (why == NULL && buf.failed)
		why = raft_strerror(RAFT_E_TOO_LARGE);
	item = why == NULL ? new_item(ITEM_PROPOSE, data, buf.len) :
	    new_item(ITEM_REFUSED, why, strlen(why) + 1);
	if (item == NULL) {
		log_error("raft", "out of memory");
		abort();	/* an answer that never comes would be worse */
	}
	item->done = done;
	item->arg = arg;
	if (why != NULL) {
		item->next = raftio->refused;
		raftio->refused = item;
	} else {
		enqueue(raftio, item);
	}
	wake(raftio);
}

static void
request(struct raftio *raftio, enum item_kind kind, uint8_t change,
    uint32_t member_id)
{
	struct item *item;

	if (request_obstacle(raftio) != NULL ||
	    (item = new_item(kind, NULL, 0)) == NULL)
		return;
	item->change = change;
	item->member_id = member_id;
	enqueue(raftio, item);
	wake(raftio);
}

void
raftio_change(struct raftio *raftio, enum raft_change change,
    uint32_t member_id)
{
	request(raftio, ITEM_CHANGE, (uint8_t)change, member_id);
}

void
raftio_transfer(struct raftio *raftio, uint32_t member_id)
{
	request(raftio, ITEM_TRANSFER, 0, member_id);
}

void
raftio_promise(struct raftio *raftio, uint64_t epoch)
{
	if (raftio->closed)
		return;
	if (epoch <= raftio->identity.promise)
		raftio->kept_due = true;
	else if (epoch > raftio->promise_wanted)
		raftio->promise_wanted = epoch;
	wake(raftio);
}

/* ---- what can be asked ---- */

uint64_t
raftio_kept_promise(const struct raftio *raftio)
{
	return raftio->identity.promise;
}

const struct raft *
raftio_raft(const struct raftio *raftio)
{
	return &raftio->raft;
}

const struct store_identity *
raftio_identity(const struct raftio *raftio)
{
	return &raftio->identity;
}

uint64_t
raftio_store_generation(const struct raftio *raftio)
{
	return raftio->store_generation;
}

const char *
raftio_halted(const struct raftio *raftio)
{
	return raftio->halted[0] != '\0' ? raftio->halted : NULL;
}

bool
raftio_is_leader(const struct raftio *raftio)
{
	return raftio->role == RAFT_LEADER && raftio->halted[0] == '\0' &&
	    raftio->raft.role == RAFT_LEADER &&
	    raftio->raft.term == raftio->term;
}

bool
raftio_may_decide(const struct raftio *raftio)
{
	return raftio_is_leader(raftio) &&
	    raft_may_decide(&raftio->raft, monotime_now());
}
