/*
 * wire_link_test.c - hello, refused, welcome and secrets: round trips, and
 * every truncation, extension and wrong version refused.
 */
#include "wire.h"

#include <stdlib.h>

#include "tap.h"

#define SIZE	32768

static uint8_t memory[SIZE];

static void
fill(char *text, size_t size)
{
	memset(text, 'x', size - 1);
	text[size - 1] = '\0';
}

static int
get_any(int kind, const uint8_t *bytes, size_t len, void *out)
{
	/* An exact copy on the heap, so that a read beyond it is seen. */
	uint8_t *copy = malloc(len > 0 ? len : 1);
	struct reader reader;
	int rc = -1;

	memcpy(copy, bytes, len);
	reader_init(&reader, copy, len);
	switch (kind) {
	case 0:
		rc = wire_get_hello(&reader, out);
		break;
	case 1:
		rc = wire_get_refused(&reader, out);
		break;
	case 2:
		rc = wire_get_welcome(&reader, out);
		break;
	case 3:
		rc = wire_get_secrets(&reader, out);
		break;
	}
	free(copy);
	return rc;
}

/* Only the whole and nothing but the whole is a message. */
static void
strict(const char *name, int kind, size_t len, void *out)
{
	unsigned accepted = 0;

	for (size_t n = 0; n < len; n++)
		accepted += get_any(kind, memory, n, out) == 0;
	is_int(accepted, 0, "no truncation is accepted");
	memory[len] = 0;
	is_int(get_any(kind, memory, len + 1, out), -1, "nor one byte more");
	memory[0]++;
	is_int(get_any(kind, memory, len, out), -1, "nor another version");
	memory[0]--;
	is_int(get_any(kind, memory, len, out), 0, name);
}

static void
test_hello(void)
{
	struct peer_hello in, out;
	struct buf buf;

	memset(&in, 0, sizeof(in));
	fill(in.node, sizeof(in.node));
	fill(in.cluster, sizeof(in.cluster));
	fill(in.advertise, sizeof(in.advertise));
	for (unsigned i = 0; i < 16; i++)
		in.cluster_id[i] = (uint8_t)(i + 1);
	in.generation = 0x0102030405060708u;
	in.level = 9;
	in.member_id = 0xfffffffeu;
	in.agent_start = UINT64_MAX;
	buf_init(&buf, memory, sizeof(memory));
	wire_put_hello(&buf, &in);
	ok(!buf.failed, "the longest hello fits");
	strict("hello", 0, buf.len, &out);
	ok(memcmp(&in, &out, sizeof(in)) == 0, "comes back the same");

	in.expired = true;
	buf_init(&buf, memory, sizeof(memory));
	wire_put_hello(&buf, &in);
	memset(&out, 0xff, sizeof(out));
	is_int(get_any(0, memory, buf.len, &out), 0, "hello");
	ok(!out.expired, "nobody can say of himself whether he has expired");
	/* One more character in the name than fits. */
	memory[2]++;
	is_int(get_any(0, memory, buf.len, &out), -1, "a name that is longer");
}

static void
test_refused(void)
{
	char in[2 * ERRMSG_MAX], out[ERRMSG_MAX];
	struct buf buf;

	buf_init(&buf, memory, sizeof(memory));
	wire_put_refused(&buf, "n3 is no member here");
	strict("refused", 1, buf.len, out);
	is_text(out, "n3 is no member here", "comes back the same");
	fill(in, sizeof(in));
	buf_init(&buf, memory, sizeof(memory));
	wire_put_refused(&buf, in);
	is_int(get_any(1, memory, buf.len, out), 0, "a long one");
	is_int(strlen(out), ERRMSG_MAX - 1, "is cut");
}

static void
test_welcome(void)
{
	struct wire_welcome in, out;
	struct buf buf;

	memset(&in, 0, sizeof(in));
	memset(in.cluster_id, 0xab, sizeof(in.cluster_id));
	in.generation = 3;
	in.member_id = 12;
	buf_init(&buf, memory, sizeof(memory));
	wire_put_welcome(&buf, &in);
	strict("welcome", 2, buf.len, &out);
	ok(memcmp(in.cluster_id, out.cluster_id, 16) == 0 &&
	    out.generation == 3 && out.member_id == 12,
	    "comes back the same");
}

static bool
is_zero(const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

static void
test_secrets(void)
{
	static struct wire_secrets in, out;
	struct buf buf;

	fill(in.replication_password, sizeof(in.replication_password));
	buf_init(&buf, memory, sizeof(memory));
	wire_put_secrets(&buf, &in);
	strict("secrets of a member", 3, buf.len, &out);
	ok(memcmp(&in, &out, sizeof(in)) == 0, "come back the same");
	ok(buf.len < 100, "without those of voters");

	in.has_voter_secrets = true;
	fill(in.ca_key, sizeof(in.ca_key));
	fill(in.ssh_key, sizeof(in.ssh_key));
	fill(in.ssh_public_key, sizeof(in.ssh_public_key));
	buf_init(&buf, memory, sizeof(memory));
	wire_put_secrets(&buf, &in);
	ok(!buf.failed && buf.len < FRAME_MAX, "the longest fit a frame");
	is_int(get_any(3, memory, buf.len, &out), 0, "secrets of a voter");
	ok(memcmp(&in, &out, sizeof(in)) == 0, "come back the same");
	is_int(get_any(3, memory, buf.len - 1, &out), -1, "cut short");
	ok(is_zero(&out, sizeof(out)), "leave nothing in memory");
	memory[1 + 2 + 63] = 2;
	is_int(get_any(3, memory, buf.len, &out), -1, "a flag of 2");
	ok(is_zero(&out, sizeof(out)), "leaves nothing in memory");
}

int
main(void)
{
	test_hello();
	test_refused();
	test_welcome();
	test_secrets();
	return done_testing();
}
