/*
 * seeds.c - what the fuzzers begin with, and fixtures that are missing.
 *
 *	seeds REGRESS_DIR
 *
 * Writes corpus files seed-* under REGRESS_DIR/fuzz/corpus/NAME anew, and
 * files of REGRESS_DIR/fixtures that are not there yet.  A fixture that is
 * there is never written: it is what version 1 was.
 */
#include <errno.h>

#include "../fixtures/table.h"

static const char *top;
static uint8_t memory[GOLDEN_MAX];

static void
write_file(const char *dir, const char *name, const void *bytes, size_t len,
    bool replace)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", top, dir);
	if (mkdir(path, 0777) != 0 && errno != EEXIST) {
		perror(path);
		exit(1);
	}
	snprintf(path, sizeof(path), "%s/%s/%s", top, dir, name);
	file = fopen(path, replace ? "wb" : "wbx");
	if (file == NULL && !replace && errno == EEXIST)
		return;
	if (file == NULL || fwrite(bytes, 1, len, file) != len ||
	    fclose(file) != 0) {
		perror(path);
		exit(1);
	}
}

static void
seed(const char *fuzzer, const char *name, const struct buf *buf)
{
	char dir[256], file[256];

	if (buf->failed) {
		fprintf(stderr, "%s %s does not fit\n", fuzzer, name);
		exit(1);
	}
	snprintf(dir, sizeof(dir), "fuzz/corpus/%s", fuzzer);
	snprintf(file, sizeof(file), "seed-%s", name);
	write_file(dir, file, buf->data, buf->len, true);
}

/* A seed of text behind a first byte, or without one when first < 0. */
static void
seed_text(const char *fuzzer, int first, unsigned number, const char *text)
{
	struct buf buf;
	char name[32];

	buf_init(&buf, memory, sizeof(memory));
	if (first >= 0)
		buf_put_u8(&buf, (uint8_t)first);
	buf_put_bytes(&buf, text, strlen(text));
	snprintf(name, sizeof(name), "%02u", number);
	seed(fuzzer, name, &buf);
}

/* ---- fixtures, and the seeds that are made of them ---- */

static void
write_goldens(void)
{
	struct buf buf;
	size_t i;

	for (i = 0; i < GOLDEN_COUNT; i++) {
		const struct golden *g = &goldens[i];

		buf_init(&buf, memory, sizeof(memory));
		g->put(&buf, g->type);
		if (buf.failed) {
			fprintf(stderr, "%s could not be made\n", g->file);
			exit(1);
		}
		write_file("fixtures", g->file, buf.data, buf.len, false);
		buf_init(&buf, memory, sizeof(memory));
		if (g->frame != 0)
			buf_put_u8(&buf, g->frame);
		else if (g->again == again_store)
			buf_put_u8(&buf, 3);
		else if (g->again != again_image)
			buf_put_u8(&buf, g->again == again_command);
		g->put(&buf, g->type);
		seed(g->frame != 0 ? "wire" : g->again == again_store ?
		    "store" : g->again == again_image ? "raft" : "state",
		    g->file, &buf);
	}
}

/* The length in the file's head left as it is found: it must be checked. */
static void
write_store(void)
{
	struct buf buf;

	buf_init(&buf, memory, sizeof(memory));
	buf_put_u8(&buf, 1);
	put_store(&buf, 0);
	seed("store", "length", &buf);
}

/* ---- state: entries ---- */

static void
put_entry(struct buf *buf, uint8_t type, const struct raft_entry *entry)
{
	buf_put_u8(buf, (uint8_t)(type - RAFT_ENTRY_NOOP));
	buf_put_u16(buf, entry->len);
	buf_put_bytes(buf, entry->data, entry->len);
}

static void
put_command_entry(struct buf *buf, const struct command *command)
{
	struct raft_entry entry;
	struct buf data;

	buf_init(&data, entry.data, sizeof(entry.data));
	command_encode(command, &data);
	entry.len = (uint16_t)data.len;
	put_entry(buf, RAFT_ENTRY_COMMAND, &entry);
}

/* Founding, a second member, a failover to it, with versions that fit. */
static void
write_history(void)
{
	static struct command c;
	struct raft_entry entry;
	struct buf buf;

	buf_init(&buf, memory, sizeof(memory));
	buf_put_u8(&buf, 2);
	golden_entry(&entry, 1, RAFT_ENTRY_CONFIG, 1);
	put_entry(&buf, RAFT_ENTRY_CONFIG, &entry);
	golden_command(&c, CMD_BOOTSTRAP);
	put_command_entry(&buf, &c);
	golden_command(&c, CMD_MEMBER_ADD);
	put_command_entry(&buf, &c);
	golden_command(&c, CMD_SYNC_BEGIN);
	c.based_on = 1;
	c.u.sync_begin.epoch = 1;
	put_command_entry(&buf, &c);
	golden_command(&c, CMD_SYNC_DONE);
	c.based_on = 2;
	c.u.sync_done.epoch = 1;
	c.u.sync_done.version = 2;
	put_command_entry(&buf, &c);
	golden_command(&c, CMD_SEAL);
	c.based_on = 3;
	c.u.seal.epoch = 2;
	put_command_entry(&buf, &c);
	golden_command(&c, CMD_PROMOTE);
	c.based_on = 4;
	c.u.promote.epoch = 2;
	c.u.promote.primary_id = 2;
	c.u.promote.primary_incarnation = 2;
	c.u.promote.lossy = false;
	put_command_entry(&buf, &c);
	golden_command(&c, CMD_OPENED);
	c.based_on = 5;
	c.u.opened.epoch = 2;
	put_command_entry(&buf, &c);
	golden_command(&c, CMD_COVER_DROP);
	c.based_on = 6;
	c.u.cover_epoch = 1;
	put_command_entry(&buf, &c);
	seed("state", "history", &buf);
}

static void
write_entries(void)
{
	static struct command c;
	struct buf buf;
	uint8_t type;

	buf_init(&buf, memory, sizeof(memory));
	buf_put_u8(&buf, 3);
	for (type = CMD_NONE + 1; type < CMD_COUNT; type++) {
		golden_command(&c, type);
		c.based_on = 111;
		put_command_entry(&buf, &c);
	}
	seed("state", "all", &buf);
}

/* ---- raft: an image and events ---- */

static void
put_event(struct buf *buf, unsigned ms, uint8_t type)
{
	buf_put_u8(buf, (uint8_t)(ms / 16));
	buf_put_u8(buf, (uint8_t)(type - RAFT_EVENT_TICK));
}

static void
put_message_event(struct buf *buf, const struct raft_message *message)
{
	static uint8_t frame[FRAME_MAX];
	struct buf data;

	put_event(buf, 16, RAFT_EVENT_MESSAGE);
	buf_init(&data, frame, sizeof(frame));
	wire_put_raft(&data, message);
	buf_put_u16(buf, (uint16_t)data.len);
	buf_put_bytes(buf, frame, data.len);
}

static void
put_ticks(struct buf *buf, int count)
{
	while (count-- > 0)
		put_event(buf, 3200, RAFT_EVENT_TICK);
}

/* A lonely server leads, takes commands and a learner. */
static void
write_lonely(void)
{
	static struct raft raft;
	struct raft_message m;
	struct buf buf;

	raft_init(&raft, 1);
	raft_bootstrap(&raft);
	buf_init(&buf, memory, sizeof(memory));
	raft_encode(&raft, &buf);
	put_ticks(&buf, 2);
	put_event(&buf, 16, RAFT_EVENT_PROPOSE);
	buf_put_u16(&buf, 3);
	buf_put_bytes(&buf, "abc", 3);
	put_event(&buf, 16, RAFT_EVENT_COMPACT);
	buf_put_u16(&buf, 2);
	buf_put_bytes(&buf, "xy", 2);
	put_event(&buf, 16, RAFT_EVENT_CHANGE);
	buf_put_u8(&buf, RAFT_ADD_LEARNER);
	buf_put_u8(&buf, 2);
	golden_message(&m, RAFT_MSG_APPEND_REPLY);
	m.from = 2;
	m.to = 1;
	m.term = 2;
	m.match = 4;
	m.stamp_ns = 1006480ll * 1000000;
	put_message_event(&buf, &m);
	put_event(&buf, 16, RAFT_EVENT_CHANGE);
	buf_put_u8(&buf, RAFT_PROMOTE_VOTER);
	buf_put_u8(&buf, 2);
	put_message_event(&buf, &m);
	put_event(&buf, 16, RAFT_EVENT_TRANSFER);
	buf_put_u8(&buf, 2);
	put_ticks(&buf, 2);
	seed("raft", "lonely", &buf);
}

/* A member hears every message once, then stands for election. */
static void
write_member(void)
{
	struct raft_message m;
	struct buf buf;
	uint8_t type;

	buf_init(&buf, memory, sizeof(memory));
	put_image(&buf, 0);
	put_event(&buf, 3200, RAFT_EVENT_COMPACT);
	buf_put_u16(&buf, 0);
	for (type = RAFT_MSG_VOTE; type <= RAFT_MSG_TIMEOUT_NOW; type++) {
		golden_message(&m, type);
		m.from = 1;
		m.to = 2;
		m.term = 10;
		m.prev_index = type == RAFT_MSG_SNAPSHOT ? 140 : 14;
		m.prev_term = 9;
		m.commit = 14;
		put_message_event(&buf, &m);
	}
	put_ticks(&buf, 2);
	golden_message(&m, RAFT_MSG_VOTE_REPLY);
	m.from = 1;
	m.granted = true;
	m.pre = true;
	m.term = 11;
	put_message_event(&buf, &m);
	m.pre = false;
	put_message_event(&buf, &m);
	put_event(&buf, 0, RAFT_EVENT_DISK_FAILED);
	put_ticks(&buf, 1);
	seed("raft", "member", &buf);
}

/* Heartbeats and appends at every place of the log, old ones included. */
static void
write_appends(void)
{
	static struct raft_entry entry;
	struct raft_message m;
	uint64_t prev, commit;
	struct buf buf;

	golden_entry(&entry, 10, RAFT_ENTRY_NOOP, 0);
	buf_init(&buf, memory, sizeof(memory));
	put_image(&buf, 0);
	for (commit = 11; commit <= 16; commit++)
		for (prev = 9; prev <= 16; prev += 2) {
			golden_message(&m, RAFT_MSG_APPEND);
			m.from = 1;
			m.term = 10;
			m.prev_index = prev;
			m.prev_term = prev <= 10 ? 7 : prev <= 12 ? 8 :
			    prev <= 14 ? 9 : 10;
			m.commit = commit;
			m.entries = &entry;
			m.entry_count = prev >= 13;
			put_message_event(&buf, &m);
		}
	seed("raft", "appends", &buf);
}

/* ---- decide: bytes that pick ---- */

static void
write_picks(void)
{
	uint64_t random = 1;
	struct buf buf;
	char name[32];
	unsigned i, j;

	for (i = 0; i < 64; i++) {
		buf_init(&buf, memory, sizeof(memory));
		for (j = 0; j < 40 + 8 * i; j++) {
			random = random * 6364136223846793005u +
			    1442695040888963407u;
			/* The later ones leave more at the usual value. */
			buf_put_u8(&buf, (random >> 33) % 64 < i ? 0 :
			    (uint8_t)(random >> 56));
		}
		snprintf(name, sizeof(name), "%02u", i);
		seed("decide", name, &buf);
	}
}

/* ---- text ---- */

static void
write_conf(void)
{
	static const char *const texts[] = {
		"cluster = \"sales\";\nnode = \"n1\";\n"
		"listen = \"0.0.0.0:7432\";\n"
		"advertise = \"10.0.0.11:7432\";\n"
		"peers = [ \"10.0.0.11:7432\", \"n2.example.org\" ];\n"
		"postgresql:\n{\n  advertise = \"10.0.0.11:5432\";\n"
		"  data_dir = \"/var/lib/postgresql/15/main\";\n"
		"  config_file = \"\";\n  bin_dir = \"\";\n"
		"  user = \"postgres\";\n  passfile = \"/etc/pass\";\n"
		"  log_file = \"/var/log/pg.log\";\n"
		"  listen_addresses = \"*\";\n  socket_dir = \"/run\";\n};\n",
		"cluster = \"sales\"; node = \"n3\";\n"
		"listen = \"[::]:7432\"; advertise = \"[fd00::3]:7432\";\n"
		"state_dir = \"/var/lib/failoverd\";\n"
		"run_dir = \"/run/failoverd\"; control_group = \"dba\";\n"
		"http = \"127.0.0.1:8008\"; watchdog = \"/dev/watchdog\";\n"
		"log_level = \"debug\"; known_hosts = \"/etc/hosts\";\n",
		"state_dir=/var/lib/x\npostgresql.data_dir=/d\n"
		"peers=a:1, b:2\nhttp=\n[::1]:5\nhost\nhost:99999\n",
		"node = 1;\npeers = ( 1 );\npostgresql = \"x\";\n",
		"@include \"/etc/passwd\"\n",
		"nodes = \"n1\";\n# comment\n/* another */ // third\n",
	};
	unsigned i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		seed_text("conf", -1, i, texts[i]);
}

#define X10 "xxxxxxxxxx"
#define X63 X10 X10 X10 X10 X10 X10 "xxx"
#define REQUEST(cmd, args) "{\"v\":1,\"cmd\":\"" cmd "\",\"args\":{" args "}}"

static void
write_control(void)
{
	static const char *const lines[] = {
		REQUEST("ping", ""),
		REQUEST("status", "\"verbose\":true"),
		REQUEST("explain", "\"node\":\"n2\""),
		REQUEST("events", "\"after\":121"),
		REQUEST("jobs", ""),
		REQUEST("init", "\"settings\":{\"detect\":\"500ms\","
		    "\"durability\":\"required\"},\"dry_run\":true"),
		REQUEST("clone-standby", "\"host\":\"10.0.0.5\",\"port\":22,"
		    "\"user\":\"root\",\"name\":\"n5\",\"conf\":{\"a\":\"b\"},"
		    "\"replace\":false,\"wait\":true"),
		REQUEST("clone-standby", "\"host\":\"h\",\"name\":\"n5\","
		    "\"accept_host_key\":\"SHA256:x\",\"dry_run\":true"),
		REQUEST("promote", "\"node\":\"n2\",\"dry_run\":true"),
		REQUEST("switchover", "\"node\":\"n4\",\"wait\":false"),
		REQUEST("failover", "\"node\":\"n4\","
		    "\"accept_data_loss\":true"),
		REQUEST("failover", "\"dry_run\":true"),
		REQUEST("remove", "\"node\":\"n4\""),
		REQUEST("pause", "\"for\":60"),
		REQUEST("pause", "\"for\":9223372036854775807"),
		REQUEST("resume", ""),
		/* A name that is cut within a letter of two bytes. */
		REQUEST("explain", "\"node\":\"" X63 "\xc3\xa9\""),
		REQUEST("clone-standby", "\"name\":\"n6\",\"dry_run\":true,"
		    "\"host\":\"" X63 X10 X10 X10 X10 X10 "xxxxxx\xc3\xa9\""),
		"{\"v\":1,\"cmd\":\"" X10 X10 X10 "xxxxxxxxx\xc3\xa9\"}",
		"{\"v\":2}", "{\"v\":1,\"cmd\":7,\"args\":[]}", "[]",
		"{\"v\":1,\"cmd\":\"\xc3\xa9\"}",
	};
	static const char *const replies[] = {
		"{\"type\":\"result\",\"exit\":0,\"text\":\"done\","
		"\"data\":{\"job\":71}}",
		"{\"type\":\"result\",\"exit\":3,\"text\":\"refused\","
		"\"hint\":\"Run failoverctl status.\"}",
	};
	struct buf buf;
	char name[32];
	unsigned i;

	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		seed_text("control", 0, i, lines[i]);
		buf_init(&buf, memory, sizeof(memory));
		buf_put_u8(&buf, i % 4 == 0 ? 5 : 1);
		buf_put_u32(&buf, 9);
		buf_put_blob(&buf, lines[i], strlen(lines[i]));
		snprintf(name, sizeof(name), "frame-%02u", i);
		seed("control", name, &buf);
	}
	for (i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		buf_init(&buf, memory, sizeof(memory));
		buf_put_u8(&buf, 6);
		buf_put_u32(&buf, 1);
		buf_put_u8(&buf, 1);
		buf_put_blob(&buf, replies[i], strlen(replies[i]));
		snprintf(name, sizeof(name), "reply-%02u", i);
		seed("control", name, &buf);
	}
}

#define KEY "AAAAC3NzaC1lZDI1NTE5AAAAILMJjocXCN/eaaDHH/7NVfa8K0FzFjCOvPqdo" \
	    "OvTEc/a"

static void
write_hostkey(void)
{
	static const char *const texts[] = {
		"n2 ssh-ed25519 " KEY " a comment\n",
		"[n2]:22,n2.example.org ssh-ed25519 " KEY,
		"@revoked * ssh-ed25519 " KEY,
		"@cert-authority *.example.org,!n2 ssh-rsa AAAAB3NzaC1yc2E=",
		"|1|XKwy98WJWQzHyfB70b2Eq8mDH74=|"
		"TYP5Ua/fP+jSRb+VOeBzi8pyfUE= ssh-ed25519 " KEY,
		"# comment\n", "n? ssh-ed25519 " KEY,
	};
	unsigned i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		seed_text("hostkey", -1, i, texts[i]);
}

static const char readme[] =
    "Inputs that the fuzzers begin with, a folder for each.  seed-* is\n"
    "written by \"make corpus\"; whatever else is there once broke\n"
    "something, or reaches far, and stays.\n";

int
main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "Usage: seeds REGRESS_DIR\n");
		return 64;
	}
	top = argv[1];
	write_file("fuzz/corpus", "README", readme, sizeof(readme) - 1, true);
	write_goldens();
	write_store();
	write_history();
	write_entries();
	write_lonely();
	write_member();
	write_appends();
	write_picks();
	write_conf();
	write_control();
	write_hostkey();
	return 0;
}
