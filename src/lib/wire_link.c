/*
 * wire_link.c - the frames that make a link and a member: hello, refused,
 * welcome, secrets.
 *
 * Pure over a buffer; decides nothing about who may talk to whom.  A secret
 * that could not be decoded whole must not stay in memory.
 */
#include "wire.h"

#include <string.h>

#define HELLO_VERSION	1u
#define REFUSED_VERSION	1u
#define WELCOME_VERSION	1u
#define SECRETS_VERSION	1u

void
wire_put_hello(struct buf *buf, const struct peer_hello *hello)
{
	buf_put_u8(buf, HELLO_VERSION);
	buf_put_string(buf, hello->node);
	buf_put_string(buf, hello->cluster);
	buf_put_bytes(buf, hello->cluster_id, sizeof(hello->cluster_id));
	buf_put_u64(buf, hello->generation);
	buf_put_u32(buf, hello->level);
	buf_put_u32(buf, hello->member_id);
	buf_put_u64(buf, hello->agent_start);
	buf_put_u8(buf, hello->lost);
	buf_put_string(buf, hello->advertise);
}

int
wire_get_hello(struct reader *reader, struct peer_hello *hello)
{
	uint8_t lost;

	memset(hello, 0, sizeof(*hello));
	if (reader_get_u8(reader) != HELLO_VERSION)
		return -1;
	reader_get_string(reader, hello->node, sizeof(hello->node));
	reader_get_string(reader, hello->cluster, sizeof(hello->cluster));
	reader_get_bytes(reader, hello->cluster_id, sizeof(hello->cluster_id));
	hello->generation = reader_get_u64(reader);
	hello->level = reader_get_u32(reader);
	hello->member_id = reader_get_u32(reader);
	hello->agent_start = reader_get_u64(reader);
	lost = reader_get_u8(reader);
	reader->failed = reader->failed || lost > 1;
	hello->lost = lost == 1;
	reader_get_string(reader, hello->advertise, sizeof(hello->advertise));
	return reader_is_done(reader) ? 0 : -1;
}

void
wire_put_refused(struct buf *buf, const char *reason)
{
	char text[ERRMSG_MAX];
	size_t len = strnlen(reason, sizeof(text) - 1);

	memcpy(text, reason, len);
	text[len] = '\0';
	buf_put_u8(buf, REFUSED_VERSION);
	buf_put_string(buf, text);
}

int
wire_get_refused(struct reader *reader, char *reason)
{
	reason[0] = '\0';
	if (reader_get_u8(reader) != REFUSED_VERSION)
		return -1;
	reader_get_string(reader, reason, ERRMSG_MAX);
	return reader_is_done(reader) ? 0 : -1;
}

void
wire_put_welcome(struct buf *buf, const struct wire_welcome *welcome)
{
	buf_put_u8(buf, WELCOME_VERSION);
	buf_put_bytes(buf, welcome->cluster_id, sizeof(welcome->cluster_id));
	buf_put_u64(buf, welcome->generation);
	buf_put_u32(buf, welcome->member_id);
}

int
wire_get_welcome(struct reader *reader, struct wire_welcome *welcome)
{
	memset(welcome, 0, sizeof(*welcome));
	if (reader_get_u8(reader) != WELCOME_VERSION)
		return -1;
	reader_get_bytes(reader, welcome->cluster_id,
	    sizeof(welcome->cluster_id));
	welcome->generation = reader_get_u64(reader);
	welcome->member_id = reader_get_u32(reader);
	return reader_is_done(reader) ? 0 : -1;
}

void
wire_put_secrets(struct buf *buf, const struct wire_secrets *secrets)
{
	buf_put_u8(buf, SECRETS_VERSION);
	buf_put_string(buf, secrets->replication_password);
	buf_put_u8(buf, secrets->has_voter_secrets ? 1 : 0);
	if (!secrets->has_voter_secrets)
		return;
	buf_put_string(buf, secrets->ca_key);
	buf_put_string(buf, secrets->ssh_key);
	buf_put_string(buf, secrets->ssh_public_key);
}

int
wire_get_secrets(struct reader *reader, struct wire_secrets *secrets)
{
	uint8_t has = 0;

	memset(secrets, 0, sizeof(*secrets));
	if (reader_get_u8(reader) == SECRETS_VERSION) {
		reader_get_string(reader, secrets->replication_password,
		    sizeof(secrets->replication_password));
		has = reader_get_u8(reader);
		if (has == 1) {
			secrets->has_voter_secrets = true;
			reader_get_string(reader, secrets->ca_key,
			    sizeof(secrets->ca_key));
			reader_get_string(reader, secrets->ssh_key,
			    sizeof(secrets->ssh_key));
			reader_get_string(reader, secrets->ssh_public_key,
			    sizeof(secrets->ssh_public_key));
		}
		if (has <= 1 && reader_is_done(reader))
			return 0;
	}
	explicit_bzero(secrets, sizeof(*secrets));
	return -1;
}
