/*
 * fixtures_test.c - formats stay what their version says.
 *
 * Each file of regress/fixtures is decoded, its values looked at, encoded
 * again to the same bytes, and written anew from golden.h to the same bytes.
 * So a format that changes without a new version fails here.
 */
#include "../fixtures/table.h"

#include "tap.h"

static uint8_t bytes[GOLDEN_MAX], again[GOLDEN_MAX];

/* The bytes of a fixture; 0 when it is missing or empty. */
static size_t
read_fixture(const char *name)
{
	const char *top = getenv("FAILOVERD_SRC");
	char path[4096];
	size_t len;
	FILE *file;

	snprintf(path, sizeof(path), "%s/regress/fixtures/%s",
	    top != NULL ? top : ".", name);
	file = fopen(path, "rb");
	if (file == NULL)
		return 0;
	len = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	return len;
}

static bool
same_bytes(const struct buf *buf, size_t len)
{
	size_t i;

	if (!buf->failed && buf->len == len &&
	    memcmp(buf->data, bytes, len) == 0)
		return true;
	for (i = 0; i < len && i < buf->len; i++)
		if (buf->data[i] != bytes[i])
			break;
	printf("# %zu bytes, the file has %zu; the first difference is at "
	    "%zu\n", buf->len, len, i);
	return false;
}

static void
test_bytes(const struct golden *golden)
{
	struct reader reader;
	struct buf buf;
	size_t len = read_fixture(golden->file);

	if (!ok(len > 0, "%s is there", golden->file))
		return;
	buf_init(&buf, again, sizeof(again));
	golden->put(&buf, golden->type);
	ok(same_bytes(&buf, len), "%s is what is written today",
	    golden->file);

	buf_init(&buf, again, sizeof(again));
	reader_init(&reader, bytes, len);
	if (ok(golden->again(&reader, &buf) == 0, "%s can be read",
	    golden->file))
		ok(same_bytes(&buf, len), "%s is kept by reading and writing",
		    golden->file);

	reader_init(&reader, bytes, len - 1);
	buf_init(&buf, again, sizeof(again));
	ok(golden->again(&reader, &buf) != 0, "%s cut short is refused",
	    golden->file);
}

/* Where a version stands first, another one is refused. */
static void
test_version(const struct golden *golden)
{
	struct reader reader;
	struct buf buf;
	size_t len = read_fixture(golden->file);

	is_int(bytes[0], 1, golden->file);
	bytes[0] = 2;
	buf_init(&buf, again, sizeof(again));
	reader_init(&reader, bytes, len);
	ok(golden->again(&reader, &buf) != 0, "%s: version 2 is refused",
	    golden->file);
}

/* ---- what the values are, said once more ---- */

static void
test_report(void)
{
	static struct report r;
	struct reader reader;

	reader_init(&reader, bytes, read_fixture("frame-report.v1"));
	is_int(wire_get_report(&reader, &r), 0, "report");
	is_int(r.member_id, 21, "member_id");
	is_int(r.incarnation, 22, "incarnation");
	is_int(r.applied_index, 24, "applied_index");
	is_int(r.promise, 25, "promise");
	is_int(r.pg_state, 4, "pg_state: running is number 4");
	is_int(r.pg_role, 1, "pg_role: primary is number 1");
	is_int(r.probe, 5, "probe: no answer to a query is number 5");
	is_int(r.timeline, 29, "timeline");
	is_int(r.flush_lsn.value, 0x31, "flush_lsn");
	is_int(r.replay_time_us, -34, "replay_time_us");
	is_int(r.walsender_count, 2, "walsender_count");
	is_int(r.walsenders[1].member_id, 3, "second walsender");
	is_int(r.walsenders[0].sync, 4, "sync: quorum is number 4");
	is_int(r.position.epoch, 42, "position, epoch");
	is_int(r.position.lsn.value, 0x43, "position, LSN");
	is_int(r.order_result, 3, "order_result: failed is number 3");
	is_text(r.message, "replaying, 3 MB left", "message");
}

static void
test_append(void)
{
	static struct raft_entry entries[RAFT_BATCH_MAX];
	static struct raft_config config;
	struct raft_message m;
	struct reader reader;

	reader_init(&reader, bytes, read_fixture("frame-raft-append.v1"));
	is_int(wire_get_raft(&reader, &m, entries, &config), 0, "append");
	is_int(m.type, 3, "an append is number 3");
	is_int(m.from, 131, "from");
	is_int(m.to, 132, "to");
	is_int(m.term, 133, "term");
	is_int(m.prev_index, 134, "prev_index");
	is_int(m.prev_term, 135, "prev_term");
	is_int(m.commit, 136, "commit");
	is_int(m.stamp_ns, -138, "stamp_ns");
	is_int(m.entry_count, 3, "entries");
	is_int(entries[0].len, 0, "an empty entry first");
	is_int(entries[1].type, 2, "a command is number 2");
	is_int(entries[2].type, 3, "a configuration is number 3");
	is_int(entries[2].term, 9, "term of the last");
}

static void
test_command(void)
{
	static struct command c;
	struct reader reader;

	reader_init(&reader, bytes, read_fixture("command-promote.v1"));
	is_int(command_decode(&c, &reader), 0, "command");
	is_int(c.type, 8, "promote is number 8");
	is_int(c.based_on, 90, "based_on");
	is_int(c.time_us, 1700000000000091, "time_us");
	is_text(c.why, "promote", "why");
	is_int(c.u.promote.epoch, 94, "epoch");
	is_int(c.u.promote.primary_id, 95, "primary_id");
	is_int(c.u.promote.timeline, 97, "timeline");
	is_int(c.u.promote.sync.k, 1, "k");
	is_int(c.u.promote.sync.names[1].incarnation, 41, "incarnation");
}

static void
test_state(void)
{
	static struct state s;
	char errmsg[ERRMSG_MAX] = "";
	struct reader reader;

	reader_init(&reader, bytes, read_fixture("state.v1"));
	is_int(state_decode(&s, &reader, errmsg), 0, "state");
	is_text(s.cluster, "sales", "cluster");
	is_int(s.generation, 110, "generation");
	is_int(s.version, 111, "version");
	is_int(s.settings.detect_ms, 1400, "detect");
	is_int(s.settings.max_lag_bytes, 2097152, "max_lag_bytes");
	is_int(s.member_count, 4, "members");
	is_text(s.members[3].name, "n4", "name");
	is_int(s.members[3].priority, -4, "priority");
	is_int(s.reigns[2].epoch, 3, "epoch");
	is_int(s.reigns[1].opened, 0, "the second never opened");
	is_int(s.seal, 4, "seal");
	is_int(s.covers[0].next_begin.value, 0xf000000, "next_begin");
	is_int(s.jobs[0].step, 3, "copy is step 3");
	is_text(s.events[1].text, "event 122", "event");
}

static void
test_image(void)
{
	static struct raft raft;
	char errmsg[ERRMSG_MAX] = "";
	struct reader reader;

	reader_init(&reader, bytes, read_fixture("raft-image.v1"));
	is_int(raft_decode(&raft, &reader, errmsg), 0, "raft image");
	is_int(raft.self, 2, "self");
	is_int(raft.term, 9, "term");
	is_int(raft.voted_for, 3, "voted_for");
	is_int(raft.commit, 12, "commit");
	is_int(raft.snapshot_index, 10, "snapshot_index");
	is_int(raft.log_count, 4, "log_count");
	is_int(raft.config.index, 13, "configuration in force");
	is_int(raft.committed_config.index, 8, "committed configuration");
}

static void
test_identity(void)
{
	static uint8_t body[STORE_MAX];
	char dir[] = "/tmp/golden.XXXXXX", path[512], errmsg[ERRMSG_MAX] = "";
	struct store_identity identity;
	size_t len = read_fixture("store.v1"), body_len = 0;
	enum store_found found = STORE_EMPTY;
	uint64_t generation = 0;
	struct buf rest;
	FILE *file;

	if (!ok(mkdtemp(dir) != NULL, "a directory of its own"))
		return;
	golden_store_path(path, sizeof(path), dir);
	file = fopen(path, "wb");
	if (ok(file != NULL, "the store's file") && file != NULL) {
		ok(fwrite(bytes, 1, len, file) == len, "written");
		fclose(file);
		chmod(path, 0600);
	}
	is_int(store_load(dir, &identity, &generation, &found, body,
	    &body_len, errmsg), 0, "store");
	is_int(found, STORE_WHOLE, "it is whole");
	is_int(generation, 7, "store generation");
	is_int(identity.generation, 110, "generation of the cluster");
	is_int(identity.member_id, 2, "member_id");
	is_int(identity.promise, 4, "promise");
	is_text(identity.cluster, "sales", "cluster");
	is_text(identity.node, "n2", "node");
	ok(body_len == read_fixture("raft-image.v1") &&
	    memcmp(body, bytes, body_len) == 0, "the raft image is its body");
	buf_init(&rest, again, sizeof(again));
	golden_store_take(dir, &rest);
	rmdir(dir);
}

/* A command or message that is new needs a fixture. */
static void
test_complete(void)
{
	unsigned type, frame;
	size_t i;

	for (type = CMD_NONE + 1; type < CMD_COUNT; type++) {
		for (i = 0; i < GOLDEN_COUNT; i++)
			if (goldens[i].again == again_command &&
			    goldens[i].type == type)
				break;
		ok(i < GOLDEN_COUNT, "there is a fixture for command \"%s\"",
		    command_name(type));
	}
	for (type = RAFT_MSG_VOTE; type <= RAFT_MSG_TIMEOUT_NOW; type++) {
		for (i = 0; i < GOLDEN_COUNT; i++)
			if (goldens[i].again == again_message &&
			    goldens[i].type == type)
				break;
		ok(i < GOLDEN_COUNT, "there is one for message %u", type);
	}
	for (frame = FRAME_HELLO; frame <= FRAME_SECRETS; frame++) {
		for (i = 0; i < GOLDEN_COUNT; i++)
			if (goldens[i].frame == frame)
				break;
		ok(i < GOLDEN_COUNT, "there is one for frame %u", frame);
	}
}

int
main(void)
{
	size_t i;

	for (i = 0; i < GOLDEN_COUNT; i++) {
		test_bytes(&goldens[i]);
		if (strcmp(goldens[i].file, "raft-image.v1") != 0 &&
		    strcmp(goldens[i].file, "store.v1") != 0)
			test_version(&goldens[i]);
	}
	test_report();
	test_append();
	test_command();
	test_state();
	test_image();
	test_identity();
	test_complete();
	return done_testing();
}
