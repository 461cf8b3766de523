/*
 * wire_test.c - the frames of consensus, reports and leases.
 *
 * For bytes from outside one rule covers all: what a decoder takes, the
 * encoder writes back byte for byte; everything else is refused.  So there
 * is one encoding of each value, and no length can lie.
 */
#include "wire.h"

#include <stdlib.h>

#include "tap.h"

enum kind { RAFT, REPORT, LEASE };
static const char *const kind_names[] = { "raft", "report", "lease" };

static union {
	struct raft_message raft;
	struct report report;
	struct lease_message lease;
} got;
static struct raft_entry entries[RAFT_BATCH_MAX];
static struct raft_config config;
static uint8_t again[FRAME_MAX];

static int
decode(enum kind kind, const void *bytes, size_t len)
{
	struct reader reader;

	reader_init(&reader, bytes, len);
	switch (kind) {
	case RAFT:
		return wire_get_raft(&reader, &got.raft, entries, &config);
	case REPORT:
		return wire_get_report(&reader, &got.report);
	default:
		return wire_get_lease(&reader, &got.lease);
	}
}

static size_t
encode(enum kind kind, const void *value, uint8_t *bytes, size_t size)
{
	struct buf buf;

	buf_init(&buf, bytes, size);
	switch (kind) {
	case RAFT:
		wire_put_raft(&buf, value);
		break;
	case REPORT:
		wire_put_report(&buf, value);
		break;
	default:
		wire_put_lease(&buf, value);
		break;
	}
	return buf.failed ? 0 : buf.len;
}

/* 0: refused; 1: taken and written back the same; -1: neither. */
static int
judge(enum kind kind, const void *bytes, size_t len)
{
	static const struct raft_message no_raft;
	static const struct report no_report;
	static const struct lease_message no_lease;

	if (decode(kind, bytes, len) == 0)
		return encode(kind, &got, again, sizeof(again)) == len &&
		    memcmp(again, bytes, len) == 0 ? 1 : -1;
	switch (kind) {
	case RAFT:
		return memcmp(&got.raft, &no_raft, sizeof(no_raft)) == 0 ?
		    0 : -1;
	case REPORT:
		return memcmp(&got.report, &no_report,
		    sizeof(no_report)) == 0 ? 0 : -1;
	default:
		return memcmp(&got.lease, &no_lease, sizeof(no_lease)) == 0 ?
		    0 : -1;
	}
}

/* In memory of its exact size, so that a sanitizer sees a read beyond. */
static int
judge_exact(enum kind kind, const void *bytes, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	int verdict;

	if (copy == NULL)
		abort();
	memcpy(copy, bytes, len);
	verdict = judge(kind, copy, len);
	free(copy);
	return verdict;
}

/* What holds for every frame. */
static void
check_frame(enum kind kind, const char *name, const void *value,
    uint8_t *bytes, size_t size, size_t *len)
{
	size_t i, wrong = 0, step;
	uint8_t saved;
	int v;

	*len = encode(kind, value, bytes, size);
	ok(*len > 0 && *len <= FRAME_MAX, "%s: %zu bytes", name, *len);
	ok(judge_exact(kind, bytes, *len) == 1, "%s: round trip", name);

	step = *len > 10000 ? 997 : *len > 1000 ? 5 : 1;
	for (i = 0; i < *len; i += step)
		wrong += judge_exact(kind, bytes, i) != 0;
	ok(wrong == 0, "%s: every truncation is refused", name);
	bytes[*len] = 0;
	ok(judge_exact(kind, bytes, *len + 1) == 0,
	    "%s: a byte too many is refused", name);

	for (i = 0; i < *len; i += step)
		for (v = 0; v < 256; v += step > 1 ? 15 : 1) {
			saved = bytes[i];
			bytes[i] = (uint8_t)v;
			wrong += judge(kind, bytes, *len) < 0;
			bytes[i] = saved;
		}
	ok(wrong == 0, "%s: any byte changed is refused or means itself",
	    name);
	saved = bytes[0];
	for (v = 0; v < 256; v++) {
		bytes[0] = (uint8_t)v;
		wrong += v != saved && judge(kind, bytes, *len) != 0;
	}
	bytes[0] = saved;
	ok(wrong == 0, "%s: every other version is refused", name);
}

/* A length or count at this place: every other value of it is a lie. */
static void
check_length(enum kind kind, const char *name, uint8_t *bytes, size_t len,
    size_t at, unsigned int width, uint32_t want)
{
	uint32_t truth = 0, value, most = width == 1 ? 0xff : 0xffff;
	unsigned int i;
	size_t wrong = 0;
	uint8_t saved[4];

	memcpy(saved, bytes + at, width);
	for (i = 0; i < width; i++)
		truth = truth << 8 | saved[i];
	is_int(truth, want, name);
	for (value = 0; value <= most; value++) {
		uint32_t lie = value;

		if (width == 4 && value > 0x8000)	/* far beyond as well */
			lie = 0xffffffffu - (value - 0x8000) * 65537;
		if (lie == truth)
			continue;
		for (i = 0; i < width; i++)
			bytes[at + i] = (uint8_t)(lie >> 8 * (width - 1 - i));
		wrong += judge(kind, bytes, len) != 0;
	}
	memcpy(bytes + at, saved, width);
	ok(wrong == 0, "%s: every lie is refused", name);
}

/* ---- consensus ---- */

#define RAFT_HEAD 65		/* up to the entries or the snapshot */

static struct raft_message
some_message(uint8_t type)
{
	struct raft_message message = {
		.type = type, .from = 3, .to = 0xfffffffe,
		.term = 0x0102030405060708, .prev_index = 77, .prev_term = 5,
		.commit = 76, .match = 75, .stamp_ns = -1234567890123,
		.promise_ms = 74,
	};

	return message;
}

static void
test_raft_plain(void)
{
	static uint8_t bytes[512];
	struct raft_message message;
	unsigned int type, flags;
	size_t len, wrong = 0;

	message = (struct raft_message){ .type = RAFT_MSG_VOTE };
	check_frame(RAFT, "smallest message", &message, bytes, sizeof(bytes),
	    &len);
	for (type = RAFT_MSG_VOTE; type <= RAFT_MSG_TIMEOUT_NOW; type++) {
		if (type == RAFT_MSG_SNAPSHOT)
			continue;
		for (flags = 0; flags < 8; flags++) {
			const struct raft_message *m = &got.raft;

			message = some_message((uint8_t)type);
			message.pre = (flags & 1) != 0;
			message.granted = (flags & 2) != 0;
			message.transfer = (flags & 4) != 0;
			len = encode(RAFT, &message, bytes, sizeof(bytes));
			if (decode(RAFT, bytes, len) != 0 ||
			    m->type != type || m->pre != message.pre ||
			    m->granted != message.granted ||
			    m->transfer != message.transfer ||
			    m->from != 3 || m->to != 0xfffffffe ||
			    m->term != 0x0102030405060708 ||
			    m->prev_index != 77 || m->prev_term != 5 ||
			    m->commit != 76 || m->match != 75 ||
			    m->stamp_ns != -1234567890123 ||
			    m->promise_ms != 74 ||
			    m->entry_count != 0 || m->snapshot != NULL)
				wrong++;
		}
	}
	ok(wrong == 0, "all types and flags come back");
	message = some_message(RAFT_MSG_VOTE);
	len = encode(RAFT, &message, bytes, sizeof(bytes));
	bytes[1] = 0;
	ok(judge(RAFT, bytes, len) == 0, "type 0 is refused");
	bytes[1] = RAFT_MSG_TIMEOUT_NOW + 1;
	ok(judge(RAFT, bytes, len) == 0, "an unknown type is refused");
}

static void
test_raft_append(void)
{
	static struct raft_entry sent[RAFT_BATCH_MAX];
	static uint8_t bytes[FRAME_MAX];
	struct raft_message message = some_message(RAFT_MSG_APPEND);
	size_t len, i, wrong = 0;

	for (i = 0; i < RAFT_BATCH_MAX; i++) {
		sent[i].term = 1000 + i;
		sent[i].type = RAFT_ENTRY_COMMAND;
		sent[i].len = ENTRY_DATA_MAX;
		memset(sent[i].data, (int)(0x40 + i), ENTRY_DATA_MAX);
	}
	message.entries = sent;
	message.entry_count = RAFT_BATCH_MAX;
	check_frame(RAFT, "full append", &message, bytes, sizeof(bytes), &len);
	decode(RAFT, bytes, len);
	for (i = 0; i < RAFT_BATCH_MAX; i++)
		wrong += entries[i].term != sent[i].term ||
		    entries[i].len != sent[i].len ||
		    memcmp(entries[i].data, sent[i].data, sent[i].len) != 0;
	ok(wrong == 0 && got.raft.entry_count == RAFT_BATCH_MAX &&
	    got.raft.entries == entries, "its entries come back");
	message.entry_count = RAFT_BATCH_MAX + 1;
	ok(encode(RAFT, &message, bytes, sizeof(bytes)) == 0,
	    "an append above the bound is not written");

	sent[0].len = 0;
	sent[0].type = RAFT_ENTRY_NOOP;
	sent[1].len = 20;
	message.entry_count = 2;
	check_frame(RAFT, "small append", &message, bytes, sizeof(bytes),
	    &len);
	check_length(RAFT, "entry count", bytes, len, RAFT_HEAD, 1, 2);
	check_length(RAFT, "length of an empty entry", bytes, len,
	    RAFT_HEAD + 10, 2, 0);
	check_length(RAFT, "length of the last entry", bytes, len,
	    RAFT_HEAD + 21, 2, 20);
}

static void
test_raft_snapshot(void)
{
	static uint8_t bytes[FRAME_MAX], snapshot[SNAPSHOT_MAX + 1];
	static struct raft_config all = { .index = 70, .count = MEMBERS_MAX };
	struct raft_message message = some_message(RAFT_MSG_SNAPSHOT);
	size_t len, i;

	for (i = 0; i < sizeof(snapshot); i++)
		snapshot[i] = (uint8_t)(i * 31 >> 3);
	for (i = 0; i < MEMBERS_MAX; i++) {
		all.servers[i].id = (uint32_t)(10 * i + 1);
		all.servers[i].voter = i < VOTERS_MAX;
	}
	message.snapshot = snapshot;
	message.snapshot_len = SNAPSHOT_MAX;
	message.snapshot_config = &all;
	check_frame(RAFT, "full snapshot", &message, bytes, sizeof(bytes),
	    &len);
	decode(RAFT, bytes, len);
	ok(got.raft.snapshot_len == SNAPSHOT_MAX &&
	    memcmp(got.raft.snapshot, snapshot, SNAPSHOT_MAX) == 0 &&
	    got.raft.snapshot_config == &config &&
	    config.index == 70 && config.count == MEMBERS_MAX &&
	    config.servers[63].id == 631 && !config.servers[63].voter &&
	    config.servers[8].voter, "state and members come back");
	message.snapshot_len = SNAPSHOT_MAX + 1;
	len = encode(RAFT, &message, bytes, sizeof(bytes));
	ok(judge(RAFT, bytes, len) == 0, "a snapshot too long is refused");

	all.count = 3;
	message.snapshot_len = 30;
	check_frame(RAFT, "small snapshot", &message, bytes, sizeof(bytes),
	    &len);
	check_length(RAFT, "count of members", bytes, len, RAFT_HEAD + 9, 2,
	    3);
	check_length(RAFT, "length of the state", bytes, len,
	    RAFT_HEAD + 11 + 3 * 5, 4, 30);
}

/* ---- reports ---- */

/*
 * A field that the codec forgets comes back as zero.  Every byte of this one
 * is 1 where there is no bound, so that none is missed, new ones included.
 */
#define REPORT_PADDING 633	/* bytes of it that are no field's */

static void
fill_report(struct report *report)
{
	memset(report, 1, sizeof(*report));
	report->walsender_count = WALSENDERS_MAX;
	memset(report->message, 'm', TEXT_MAX_LEN);
	report->message[TEXT_MAX_LEN] = '\0';
}

static void
test_report(void)
{
	static uint8_t bytes[FRAME_MAX];
	static struct report report, empty;
	size_t len, at, wrong = 0, lost = 0;
	unsigned int i;

	check_frame(REPORT, "empty report", &empty, bytes, sizeof(bytes),
	    &len);
	ok(len < 300, "an empty report is %zu bytes", len);
	check_length(REPORT, "length of the message", bytes, len, len - 2, 2,
	    0);
	/* A count of senders that are not there, found by changing it. */
	report.walsender_count = 1;
	(void)encode(REPORT, &report, again, sizeof(again));
	for (at = 0; bytes[at] == again[at]; at++)
		;
	check_length(REPORT, "count of walsenders", bytes, len, at, 1, 0);

	fill_report(&report);
	check_frame(REPORT, "full report", &report, bytes, sizeof(bytes),
	    &len);
	decode(REPORT, bytes, len);
	for (i = 0; i < WALSENDERS_MAX; i++)
		wrong += got.report.walsenders[i].replay.value !=
		    0x0101010101010101 || !got.report.walsenders[i].streaming;
	ok(wrong == 0, "every walsender comes back");
	for (at = 0; at < sizeof(report); at++)
		lost += ((const uint8_t *)&report)[at] !=
		    ((const uint8_t *)&got.report)[at];
	if (sizeof(void *) == 8)
		is_int(lost, REPORT_PADDING, "every field comes back");
	is_int(strlen(got.report.message), TEXT_MAX_LEN, "the longest text");

	report.walsender_count = WALSENDERS_MAX + 1;
	ok(encode(REPORT, &report, bytes, sizeof(bytes)) == 0,
	    "a report above the bound is not written");
}

/* Numbers of states that nobody has a name for. */
static void
test_report_bounds(void)
{
	static uint8_t bytes[1024];
	static struct report report;
	uint8_t *const fields[] = { &report.pg_state, &report.pg_role,
	    &report.probe, &report.primary_port, &report.order_result };
	const uint8_t most[] = { PG_STATE_COUNT - 1, PG_ROLE_STANDBY,
	    PROBE_LAYER_COUNT - 1, PORT_SILENT, ORDER_FAILED };
	size_t i, len, wrong = 0;

	for (i = 0; i < sizeof(most); i++) {
		*fields[i] = most[i];
		len = encode(REPORT, &report, bytes, sizeof(bytes));
		wrong += judge(REPORT, bytes, len) != 1;
		*fields[i] = (uint8_t)(most[i] + 1);
		len = encode(REPORT, &report, bytes, sizeof(bytes));
		wrong += judge(REPORT, bytes, len) != 0;
		*fields[i] = 0;
	}
	ok(wrong == 0, "states and roles out of range are refused");
}

/* ---- leases ---- */

static void
test_lease(void)
{
	static uint8_t bytes[256];
	struct lease_message lease = { .type = LEASE_REQUEST };
	size_t len;

	check_frame(LEASE, "smallest lease", &lease, bytes, sizeof(bytes),
	    &len);
	check_length(LEASE, "length of the reason", bytes, len, len - 2, 2, 0);
	lease = (struct lease_message){ .type = LEASE_DENY, .holder_id = 2,
	    .voter_id = 3, .epoch = 4, .config_index = 5,
	    .holder_start_ns = 6, .stamp_ns = -7, .lease_ms = 8,
	    .lsn = { 9 }, .why = "sealed" };
	memset(lease.why, 'w', sizeof(lease.why) - 1);
	check_frame(LEASE, "full lease", &lease, bytes, sizeof(bytes), &len);
	decode(LEASE, bytes, len);
	ok(got.lease.type == LEASE_DENY && got.lease.holder_id == 2 &&
	    got.lease.voter_id == 3 && got.lease.epoch == 4 &&
	    got.lease.config_index == 5 && got.lease.holder_start_ns == 6 &&
	    got.lease.stamp_ns == -7 && got.lease.lease_ms == 8 &&
	    got.lease.lsn.value == 9 && strlen(got.lease.why) == 63,
	    "every field comes back");
	bytes[len - 1] = '\0';
	ok(judge(LEASE, bytes, len) == 0, "a text with a NUL is refused");
	lease.type = 0;
	len = encode(LEASE, &lease, bytes, sizeof(bytes));
	ok(judge(LEASE, bytes, len) == 0, "type 0 is refused");
	lease.type = LEASE_RELEASE + 1;
	len = encode(LEASE, &lease, bytes, sizeof(bytes));
	ok(judge(LEASE, bytes, len) == 0, "an unknown type is refused");
}

/* ---- anything at all ---- */

static uint64_t
next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* Half of the bytes are small, as lengths and flags are. */
static void
fill_random(uint8_t *bytes, size_t len, uint64_t *seed)
{
	size_t i;

	for (i = 0; i < len; i++) {
		uint64_t r = next_random(seed);

		bytes[i] = (uint8_t)(r & 0x100 ? r & 3 : r);
	}
}

static void
test_random(void)
{
	static uint8_t bytes[2048];
	uint64_t seed = 0x9e3779b97f4a7c15u;
	size_t i, wrong, len;
	unsigned int kind;
	bool any;

	for (kind = RAFT; kind <= LEASE; kind++) {
		for (wrong = 0, any = false, i = 0; i < 40000; i++) {
			int verdict;

			len = next_random(&seed) % 300;
			fill_random(bytes, len, &seed);
			if (len > 2) {
				bytes[0] = 1;
				bytes[1] = (uint8_t)(i % 8);
			}
			verdict = judge_exact(kind, bytes, len);
			wrong += verdict < 0;
			any = any || verdict == 1;
		}
		ok(wrong == 0, "%s: 40000 times random bytes%s",
		    kind_names[kind], any ? ", some of them a frame" : "");
	}
}

int
main(void)
{
	test_raft_plain();
	test_raft_append();
	test_raft_snapshot();
	test_report();
	test_report_bounds();
	test_lease();
	test_random();
	return done_testing();
}
