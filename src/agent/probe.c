/*
 * probe.c - how the local PostgreSQL is judged.
 *
 * Decides which layer of a look failed and keeps what the last answered look
 * saw.  Must never block the loop, never take the want of an answer for an
 * answer, and never report a value of an earlier postmaster.
 *
 * The question is one statement, prepared once per session; what changes
 * rarely or costs more is asked every SLOW_LOOKS looks.
 */
#include "probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "probe_lane.h"
#include "probe_session.h"

#define SLOW_LOOKS	25	/* at five looks a second, every 5 s */
#define STATEMENT	"failoverd_look"

#define FIELD_END	'\x1f'
#define ROW_END		'\x1e'

enum column {
	C_RECOVERY, C_TIMELINE, C_INSERT, C_FLUSH, C_RECEIVE, C_REPLAY,
	C_PAUSED, C_REPLAY_TIME, C_CHECKPOINT_TLI, C_RECOVERY_TLI,
	C_RECEIVER_STATUS, C_RECEIVER_TLI, C_SENDER_HOST, C_SENDER_PORT,
	C_SLOT, C_HAS_RESTORE, C_WALSENDERS, C_STARTUP_WAIT, C_SYSTEM,
	C_PENDING, C_STARTED, C_COUNT
};

/*
 * $1: the slow values too.  $2: what the startup process waits for.
 *
 * The timeline of a primary comes from the name of its WAL file, never from
 * pg_control, which follows at the next checkpoint; that of a standby is the
 * greatest of what it has replayed and what it receives.
 */
static const char look_sql[] =
"SELECT pg_is_in_recovery(),"
" CASE WHEN NOT pg_is_in_recovery()"
"  THEN substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END,"
" CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_insert_lsn() END,"
" CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() END,"
" CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() END,"
" CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() END,"
" CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END,"
" (extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000000)::bigint,"
" CASE WHEN pg_is_in_recovery()"
"  THEN (SELECT timeline_id FROM pg_control_checkpoint()) END,"
" CASE WHEN pg_is_in_recovery()"
"  THEN (SELECT min_recovery_end_timeline FROM pg_control_recovery()) END,"
" r.status, r.received_tli, r.sender_host, r.sender_port, r.slot_name,"
" current_setting('restore_command') <> '',"
" (SELECT string_agg(concat(application_name, E'\\x1f', state, E'\\x1f',"
"   sent_lsn, E'\\x1f', flush_lsn, E'\\x1f', replay_lsn, E'\\x1f',"
"   (extract(epoch FROM replay_lag) * 1000)::bigint, E'\\x1f',"
"   sync_state, E'\\x1f', sync_priority), E'\\x1e')"
"  FROM pg_stat_replication),"
" CASE WHEN $2::boolean THEN (SELECT wait_event FROM pg_stat_activity"
"  WHERE backend_type = 'startup') END,"
" CASE WHEN $1::boolean"
"  THEN (SELECT system_identifier FROM pg_control_system()) END,"
" CASE WHEN $1::boolean"
"  THEN EXISTS (SELECT FROM pg_settings WHERE pending_restart) END,"
" CASE WHEN $1::boolean"
"  THEN (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint"
"  END"
" FROM (SELECT) one LEFT JOIN pg_stat_wal_receiver r ON true";

/* What an answered look saw. */
struct sample {
	bool known;
	monotime_t sent;
	enum pg_role role;
	uint32_t server_version;
	uint32_t timeline;
	lsn_t insert_lsn, flush_lsn, receive_lsn, replay_lsn;
	int64_t replay_time_us;
	bool replay_paused, receiver_streaming, in_archive_recovery;
	char receiver_host[256], receiver_port[8], receiver_slot[64];
	uint32_t upstream_id;
	uint32_t walsender_count;
	struct walsender walsenders[WALSENDERS_MAX];
	/* asked less often */
	uint64_t system_identifier;
	bool pending_restart;
	int64_t postmaster_start_us;
};

enum look { LOOK_NONE, LOOK_UNDER_WAY, LOOK_TO_TELL };

struct probe {
	uv_loop_t *loop;
	const struct postgres *pg;
	probe_member_fn *member;
	probe_upstream_fn *upstream;
	probe_done_fn *done;
	void *arg;
	unsigned handles;
	bool freed;

	pid_t postmaster;		/* 0 = known not to run */
	bool located, locating;
	char socket_dir[CONF_PATH_MAX];
	char port[16];

	struct session session;
	uv_timer_t timer;
	enum look look;
	bool prepared;
	bool query_is_look;		/* else the PREPARE */
	bool query_is_slow, query_asks_wait;
	bool in_call;			/* of probe_look(): tell later */
	unsigned slow_in;		/* looks until the next slow one */
	monotime_t look_began, query_sent, session_opened;

	enum probe_layer layer;		/* of the last look */
	char error[ERRMSG_MAX];
	monotime_t silent_since;
	struct sample sample;
	uint32_t received_timeline;	/* greatest seen of this postmaster */
	unsigned parked;		/* looks in a row; 2 stays */

	struct lane lanes[PROBE_LANES];
};

static void	go_on(struct probe *probe);

static monotime_t
boottime_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (monotime_t){ (int64_t)now.tv_sec * 1000000000 + now.tv_nsec };
}

struct lane *
probe_lane(struct probe *probe, enum probe_lane which)
{
	return &probe->lanes[which];
}

bool
probe_is_running(const struct probe *probe)
{
	return probe->postmaster != 0;
}

void
probe_note_answer(struct probe *probe)
{
	probe->silent_since = monotime_never();
}

static void	on_timer(uv_timer_t *timer);

/* A callback from within probe_look() would surprise its caller. */
static void
tell_later(struct probe *probe)
{
	probe->look = LOOK_TO_TELL;
	uv_timer_start(&probe->timer, on_timer, 0, 0);
}

/* The look is over, answered or not. */
static void
finish_look(struct probe *probe, enum probe_layer layer, const char *error)
{
	if (probe->look == LOOK_NONE)
		return;
	probe->layer = layer;
	snprintf(probe->error, sizeof(probe->error), "%s",
	    error == NULL ? "" : error);
	if (probe->in_call) {
		tell_later(probe);
		return;
	}
	probe->look = LOOK_NONE;
	uv_timer_stop(&probe->timer);
	if (layer == PROBE_OK || layer == PROBE_REFUSED ||
	    layer == PROBE_QUERY)
		probe_note_answer(probe);
	else if (probe->postmaster != 0 &&
	    monotime_is_never(probe->silent_since))
		probe->silent_since = probe->look_began;
	if (probe->done != NULL)
		probe->done(probe->arg);
}

/* --- What was seen -------------------------------------------------------- */

static const char *
column_text(const PGresult *result, enum column column)
{
	return PQgetisnull(result, 0, column) ? "" :
	    PQgetvalue(result, 0, column);
}

static bool
column_bool(const PGresult *result, enum column column)
{
	return column_text(result, column)[0] == 't';
}

static lsn_t
column_lsn(const PGresult *result, enum column column)
{
	lsn_t lsn;

	if (lsn_parse(column_text(result, column), &lsn) != 0)
		lsn.value = 0;
	return lsn;
}

static uint32_t
column_u32(const PGresult *result, enum column column, int base)
{
	return (uint32_t)strtoul(column_text(result, column), NULL, base);
}

/* Copies the text up to the next separator; *at is moved behind it. */
static void
next_field(const char **at, char *field, size_t size)
{
	size_t len = 0;

	for (; **at != '\0' && **at != FIELD_END && **at != ROW_END; (*at)++)
		if (len + 1 < size)
			field[len++] = **at;
	field[len] = '\0';
	if (**at == FIELD_END)
		(*at)++;
}

static enum sync_state
parse_sync(const char *text)
{
	if (strcmp(text, "sync") == 0)
		return SYNC_SYNC;
	if (strcmp(text, "quorum") == 0)
		return SYNC_QUORUM;
	if (strcmp(text, "potential") == 0)
		return SYNC_POTENTIAL;
	return strcmp(text, "async") == 0 ? SYNC_ASYNC : SYNC_NONE;
}

static void
parse_walsender(struct probe *probe, const char **at,
    struct walsender *walsender)
{
	char field[128], node[NAME_MAX_LEN + 1];
	lsn_t *const lsns[] = { &walsender->sent, &walsender->flush,
	    &walsender->replay };
	unsigned long priority;
	size_t i;

	memset(walsender, 0, sizeof(*walsender));
	next_field(at, field, sizeof(field));
	if (postgres_parse_application_name(field, node, sizeof(node),
	    &walsender->incarnation) == 0 && probe->member != NULL)
		walsender->member_id = probe->member(probe->arg, node);
	next_field(at, field, sizeof(field));
	walsender->streaming = strcmp(field, "streaming") == 0;
	for (i = 0; i < 3; i++) {
		next_field(at, field, sizeof(field));
		if (lsn_parse(field, lsns[i]) != 0)
			lsns[i]->value = 0;
	}
	next_field(at, field, sizeof(field));
	walsender->replay_lag_ms = (uint32_t)strtoul(field, NULL, 10);
	next_field(at, field, sizeof(field));
	walsender->sync = (uint8_t)parse_sync(field);
	next_field(at, field, sizeof(field));
	priority = strtoul(field, NULL, 10);
	walsender->sync_priority = priority > 255 ? 255 : (uint8_t)priority;
}

/* When there are more than we report, members come before others. */
static void
parse_walsenders(struct probe *probe, const char *at, struct sample *sample)
{
	struct walsender walsender;
	uint32_t i;

	sample->walsender_count = 0;
	while (*at != '\0') {
		parse_walsender(probe, &at, &walsender);
		while (*at != '\0' && *at != ROW_END)
			at++;
		if (*at == ROW_END)
			at++;
		i = sample->walsender_count;
		if (i == WALSENDERS_MAX && walsender.member_id != 0)
			for (i = 0; i < WALSENDERS_MAX &&
			    sample->walsenders[i].member_id != 0; i++)
				;
		if (i == WALSENDERS_MAX)
			continue;
		sample->walsenders[i] = walsender;
		if (i == sample->walsender_count)
			sample->walsender_count++;
	}
}

static void
parse_standby(struct probe *probe, const PGresult *result,
    struct sample *sample)
{
	const char *status = column_text(result, C_RECEIVER_STATUS);
	uint32_t timelines[3] = {
		column_u32(result, C_CHECKPOINT_TLI, 10),
		column_u32(result, C_RECOVERY_TLI, 10),
		column_u32(result, C_RECEIVER_TLI, 10)
	};
	int i;

	/* Remembered: the receiver's is gone once it is ended by a seal. */
	if (timelines[2] > probe->received_timeline)
		probe->received_timeline = timelines[2];
	sample->timeline = probe->received_timeline;
	for (i = 0; i < 3; i++)
		if (timelines[i] > sample->timeline)
			sample->timeline = timelines[i];
	sample->receiver_streaming = strcmp(status, "streaming") == 0;
	sample->in_archive_recovery = status[0] == '\0' &&
	    column_bool(result, C_HAS_RESTORE);
	snprintf(sample->receiver_host, sizeof(sample->receiver_host), "%s",
	    column_text(result, C_SENDER_HOST));
	snprintf(sample->receiver_port, sizeof(sample->receiver_port), "%s",
	    column_text(result, C_SENDER_PORT));
	snprintf(sample->receiver_slot, sizeof(sample->receiver_slot), "%s",
	    column_text(result, C_SLOT));
	if (status[0] != '\0' && probe->upstream != NULL)
		sample->upstream_id = probe->upstream(probe->arg,
		    sample->receiver_host, sample->receiver_port);
}

static void
note_parked(struct probe *probe, const PGresult *result)
{
	const char *event = column_text(result, C_STARTUP_WAIT);

	if (!probe->query_asks_wait || probe->parked >= 2)
		return;
	if (strcmp(event, "RecoveryWalStream") == 0 ||
	    strcmp(event, "RecoveryRetrieveRetryInterval") == 0)
		probe->parked++;
	else
		probe->parked = 0;
}

static void
take_sample(struct probe *probe, const PGresult *result)
{
	struct sample sample, *old = &probe->sample;

	memset(&sample, 0, sizeof(sample));
	sample.known = true;
	sample.sent = probe->query_sent;
	sample.server_version =
	    (uint32_t)session_server_version(&probe->session);
	sample.system_identifier = old->system_identifier;
	sample.pending_restart = old->pending_restart;
	sample.postmaster_start_us = old->postmaster_start_us;
	if (probe->query_is_slow) {
		sample.system_identifier = strtoull(column_text(result,
		    C_SYSTEM), NULL, 10);
		sample.pending_restart = column_bool(result, C_PENDING);
		sample.postmaster_start_us = strtoll(column_text(result,
		    C_STARTED), NULL, 10);
		probe->slow_in = SLOW_LOOKS;
	}
	sample.insert_lsn = column_lsn(result, C_INSERT);
	sample.flush_lsn = column_lsn(result, C_FLUSH);
	sample.receive_lsn = column_lsn(result, C_RECEIVE);
	sample.replay_lsn = column_lsn(result, C_REPLAY);
	sample.replay_paused = column_bool(result, C_PAUSED);
	sample.replay_time_us = strtoll(column_text(result, C_REPLAY_TIME),
	    NULL, 10);
	parse_walsenders(probe, column_text(result, C_WALSENDERS), &sample);
	if (column_bool(result, C_RECOVERY)) {
		sample.role = PG_ROLE_STANDBY;
		parse_standby(probe, result, &sample);
		note_parked(probe, result);
	} else {
		sample.role = PG_ROLE_PRIMARY;
		sample.timeline = column_u32(result, C_TIMELINE, 16);
	}
	*old = sample;
}

/* --- A look --------------------------------------------------------------- */

/* Everything that belongs to one postmaster. */
static void
forget(struct probe *probe)
{
	session_close(&probe->session);
	memset(&probe->sample, 0, sizeof(probe->sample));
	probe->located = false;
	probe->prepared = false;
	probe->received_timeline = 0;
	probe->parked = 0;
	probe->slow_in = 0;
	probe->silent_since = monotime_never();
}

struct locate {
	uv_work_t work;
	struct probe *probe;
	pid_t postmaster, found;
	struct postgres pg;
	char socket_dir[CONF_PATH_MAX];
	char port[16];
	char errmsg[ERRMSG_MAX];
	bool ok;
};

static void
locate_work(uv_work_t *work)
{
	struct locate *locate = work->data;

	locate->ok = postgres_read_pidfile(&locate->pg, &locate->found,
	    locate->socket_dir, sizeof(locate->socket_dir), locate->port,
	    sizeof(locate->port), locate->errmsg) == 0 &&
	    locate->found == locate->postmaster &&
	    locate->socket_dir[0] != '\0';
}

static void	free_if_over(struct probe *probe);

static void
locate_done(uv_work_t *work, int status)
{
	struct locate *locate = work->data;
	struct probe *probe = locate->probe;
	int i;

	probe->locating = false;
	if (probe->freed) {
		free(locate);
		free_if_over(probe);
		return;
	}
	if (status == 0 && locate->ok &&
	    locate->postmaster == probe->postmaster) {
		probe->located = true;
		snprintf(probe->socket_dir, sizeof(probe->socket_dir), "%s",
		    locate->socket_dir);
		snprintf(probe->port, sizeof(probe->port), "%s", locate->port);
	}
	free(locate);
	if (probe->look == LOOK_UNDER_WAY && probe->postmaster != 0) {
		if (probe->located)
			go_on(probe);
		else
			finish_look(probe, PROBE_SOCKET, "08001: the server "
			    "has not opened its socket yet");
	}
	for (i = 0; i < PROBE_LANES && probe->located && !probe->freed; i++)
		lane_kick(&probe->lanes[i]);
}

/*
 * Where its socket is stands in postmaster.pid, on a disk that may hang:
 * read by a worker, one at a time.
 */
static void
locate(struct probe *probe)
{
	struct locate *locate;

	if (probe->locating)
		return;
	locate = calloc(1, sizeof(*locate));
	if (locate == NULL)
		return;
	locate->work.data = locate;
	locate->probe = probe;
	locate->postmaster = probe->postmaster;
	locate->pg = *probe->pg;
	if (uv_queue_work(probe->loop, &locate->work, locate_work,
	    locate_done) != 0)
		free(locate);
	else
		probe->locating = true;
}

bool
probe_open_session(struct probe *probe, struct session *session,
    const struct session_kind *kind)
{
	if (!probe->located) {
		locate(probe);
		return false;
	}
	session_open(session, probe->pg, probe->socket_dir, probe->port, kind);
	return true;
}

static void
send_query(struct probe *probe)
{
	const char *params[2];

	probe->query_sent = boottime_now();
	probe->query_is_look = probe->prepared;
	if (!probe->prepared) {
		session_query(&probe->session, STATEMENT, false, look_sql, 0,
		    NULL);
		return;
	}
	probe->query_is_slow = probe->slow_in == 0;
	probe->query_asks_wait = probe->parked < 2;
	if (probe->slow_in > 0)
		probe->slow_in--;
	params[0] = probe->query_is_slow ? "t" : "f";
	params[1] = probe->query_asks_wait ? "t" : "f";
	session_query(&probe->session, STATEMENT, true, NULL, 2, params);
}

/* The next step of the look that is under way. */
static void
go_on(struct probe *probe)
{
	static const struct session_kind kind = { PROBE_NAME, "local" };

	switch (probe->session.state) {
	case SESSION_CLOSED:
		probe->prepared = false;
		probe->session_opened = boottime_now();
		(void)probe_open_session(probe, &probe->session, &kind);
		break;
	case SESSION_IDLE:
		send_query(probe);
		break;
	case SESSION_OPENING:	/* of an earlier look: it answers this one */
	case SESSION_BUSY:
		break;
	}
}

static void
on_session(void *arg, struct session *session, int layer,
    const PGresult *result, const char *error)
{
	struct probe *probe = arg;
	bool was_query = result != NULL;

	(void)session;
	if (layer != PROBE_OK) {
		finish_look(probe, (enum probe_layer)layer, error);
		/* A late refusal, after its look was given up, is life. */
		if (layer == PROBE_REFUSED || layer == PROBE_QUERY)
			probe_note_answer(probe);
		return;
	}
	probe_note_answer(probe);
	if (!was_query || !probe->query_is_look) {
		probe->prepared = was_query;
		if (probe->look == LOOK_UNDER_WAY)
			go_on(probe);
		return;
	}
	if (PQntuples(result) != 1 || PQnfields(result) != C_COUNT) {
		finish_look(probe, PROBE_QUERY, "XX000: not the answer to "
		    "this question");
		return;
	}
	take_sample(probe, result);
	finish_look(probe, PROBE_OK, NULL);
}

static void
on_timer(uv_timer_t *timer)
{
	struct probe *probe = timer->data;
	enum session_state state = probe->session.state;
	char error[ERRMSG_MAX];
	int64_t age_ms;

	if (probe->look == LOOK_TO_TELL) {
		memcpy(error, probe->error, sizeof(error));
		finish_look(probe, probe->layer, error);
		return;
	}
	if (state == SESSION_CLOSED || state == SESSION_OPENING) {
		finish_look(probe, PROBE_CONNECT_TIMEOUT,
		    "08006: no answer to a connection");
		return;
	}
	age_ms = monotime_diff_ms(boottime_now(), probe->session_opened);
	/* Where queries hang, every session given up leaves a backend behind
	 * for a while. */
	if (age_ms >= SESSION_KEEP_MS)
		session_close(&probe->session);
	finish_look(probe, PROBE_QUERY_TIMEOUT, "08006: no answer to a query");
}

void
probe_look(struct probe *probe, pid_t postmaster_pid, uint32_t timeout_ms)
{
	int i;

	if (postmaster_pid != probe->postmaster) {
		probe->postmaster = postmaster_pid;
		forget(probe);
		for (i = 0; i < PROBE_LANES && !probe->freed; i++)
			lane_fail_all(&probe->lanes[i],
			    "08006: the server has ended");
		if (probe->freed)
			return;
		/* One under way starts over with the new postmaster. */
		if (probe->look == LOOK_UNDER_WAY)
			probe->look = LOOK_NONE;
	}
	if (probe->look != LOOK_NONE)
		return;
	probe->look_began = boottime_now();
	probe->look = LOOK_UNDER_WAY;
	uv_timer_start(&probe->timer, on_timer, timeout_ms, 0);
	probe->in_call = true;
	if (postmaster_pid == 0)
		finish_look(probe, PROBE_SOCKET,
		    "08001: PostgreSQL is not running");
	else
		go_on(probe);
	probe->in_call = false;
}

/* --- Asking what was seen ------------------------------------------------- */

static uint32_t
age_of(monotime_t then, monotime_t now)
{
	int64_t ms = monotime_diff_ms(now, then);

	if (ms < 0)
		return 0;
	return ms >= UINT32_MAX ? UINT32_MAX - 1 : (uint32_t)ms;
}

void
probe_fill_report(const struct probe *probe, monotime_t now,
    struct report *report)
{
	const struct sample *sample = &probe->sample;

	report->probe = (uint8_t)probe->layer;
	report->pg_role = (uint8_t)sample->role;
	report->sample_age_ms = sample->known ? age_of(sample->sent, now) :
	    UINT32_MAX;
	report->server_version = sample->server_version;
	report->pending_restart = sample->pending_restart;
	if (sample->system_identifier != 0)
		report->system_identifier = sample->system_identifier;
	report->postmaster_start_us = sample->postmaster_start_us;
	report->timeline = sample->timeline;
	report->insert_lsn = sample->insert_lsn;
	report->flush_lsn = sample->flush_lsn;
	report->receive_lsn = sample->receive_lsn;
	report->replay_lsn = sample->replay_lsn;
	report->replay_time_us = sample->replay_time_us;
	report->replay_paused = sample->replay_paused;
	report->receiver_streaming = sample->receiver_streaming;
	report->upstream_id = sample->upstream_id;
	report->in_archive_recovery = sample->in_archive_recovery;
	report->walsender_count = sample->walsender_count;
	memcpy(report->walsenders, sample->walsenders,
	    sizeof(report->walsenders));
}

monotime_t
probe_silent_since(const struct probe *probe)
{
	return probe->silent_since;
}

const char *
probe_error(const struct probe *probe)
{
	return probe->error;
}

bool
probe_error_is(const char *error, const char *sqlstate)
{
	return error != NULL && strncmp(error, sqlstate, 5) == 0 &&
	    error[5] == ':';
}

bool
probe_has_parked(const struct probe *probe)
{
	return probe->parked >= 2;
}

const char *
probe_receiver_host(const struct probe *probe)
{
	return probe->sample.receiver_host;
}

const char *
probe_receiver_port(const struct probe *probe)
{
	return probe->sample.receiver_port;
}

const char *
probe_receiver_slot(const struct probe *probe)
{
	return probe->sample.receiver_slot;
}

/* --- Beginning and end ---------------------------------------------------- */

struct probe *
probe_new(uv_loop_t *loop, const struct postgres *pg, probe_member_fn *member,
    probe_done_fn *done, void *arg)
{
	struct probe *probe = calloc(1, sizeof(*probe));
	int i;

	if (probe == NULL)
		return NULL;
	probe->loop = loop;
	probe->pg = pg;
	probe->member = member;
	probe->done = done;
	probe->arg = arg;
	probe->layer = PROBE_NOT_TRIED;
	uv_timer_init(loop, &probe->timer);
	probe->timer.data = probe;
	session_init(&probe->session, loop, on_session, probe);
	for (i = 0; i < PROBE_LANES; i++)
		lane_init(&probe->lanes[i], probe, loop, (enum probe_lane)i);
	probe->handles = 1 + PROBE_LANES;
	return probe;
}

void
probe_set_upstream(struct probe *probe, probe_upstream_fn *upstream)
{
	probe->upstream = upstream;
}

static void
free_if_over(struct probe *probe)
{
	if (probe->handles == 0 && !probe->locating)
		free(probe);
}

static void
on_closed(uv_handle_t *handle)
{
	struct probe *probe = handle->data;

	probe->handles--;
	free_if_over(probe);
}

void
probe_free(struct probe *probe)
{
	int i;

	if (probe == NULL || probe->freed)
		return;
	probe->freed = true;
	probe->look = LOOK_NONE;
	session_close(&probe->session);
	for (i = 0; i < PROBE_LANES; i++)
		lane_close(&probe->lanes[i], on_closed);
	uv_timer_stop(&probe->timer);
	uv_close((uv_handle_t *)&probe->timer, on_closed);
}
