/*
 * peer_hello.c - a HELLO for tests that talk to agents: written and read by
 * the code of the agents, so that a test never speaks an old format.
 *
 * peer_hello NODE CLUSTER	a whole frame on standard output, of an agent
 *				that is no member of anything yet
 * peer_hello			reads one, prints node, cluster, cluster id
 */
#include <stdio.h>
#include <string.h>

#include "wire.h"

#define FRAME_HEAD	5u	/* u32 length, u8 type */

static int
say(const char *node, const char *cluster)
{
	struct peer_hello hello = { .level = PEER_LEVEL, .agent_start = 1 };
	uint8_t memory[2048];
	struct buf head, buf;

	snprintf(hello.node, sizeof(hello.node), "%s", node);
	snprintf(hello.cluster, sizeof(hello.cluster), "%s", cluster);
	snprintf(hello.advertise, sizeof(hello.advertise), "127.0.0.1:7432");
	buf_init(&buf, memory + FRAME_HEAD, sizeof(memory) - FRAME_HEAD);
	wire_put_hello(&buf, &hello);
	buf_init(&head, memory, FRAME_HEAD);
	buf_put_u32(&head, (uint32_t)buf.len + 1);
	buf_put_u8(&head, FRAME_HELLO);
	if (buf.failed || head.failed)
		return 1;
	return fwrite(memory, 1, FRAME_HEAD + buf.len, stdout) ==
	    FRAME_HEAD + buf.len ? 0 : 1;
}

static int
hear(void)
{
	struct peer_hello hello;
	struct reader reader;
	uint8_t memory[2048];
	uint32_t len;
	size_t have;

	have = fread(memory, 1, sizeof(memory), stdin);
	reader_init(&reader, memory, have);
	len = reader_get_u32(&reader);
	if (have < FRAME_HEAD || len == 0 || len > have - 4 ||
	    reader_get_u8(&reader) != FRAME_HELLO)
		return 1;
	reader_init(&reader, memory + FRAME_HEAD, len - 1);
	if (wire_get_hello(&reader, &hello) != 0)
		return 1;
	printf("%s %s ", hello.node, hello.cluster);
	for (size_t i = 0; i < sizeof(hello.cluster_id); i++)
		printf("%02x", hello.cluster_id[i]);
	printf("\n");
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 3)
		return say(argv[1], argv[2]);
	if (argc == 1)
		return hear();
	fprintf(stderr, "usage: peer_hello [NODE CLUSTER]\n");
	return 64;
}
