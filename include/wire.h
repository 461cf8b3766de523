/*
 * wire.h - the frames between agents, pure over a buffer.
 *
 * On the stream a frame is: u32 length of what follows, u8 type, payload.
 * Each payload begins with a u8 format version.  All encoders write into a
 * struct buf, all decoders read from a struct reader and refuse anything
 * that is too long, too short or left over.
 */
#ifndef FAILOVERD_WIRE_H
#define FAILOVERD_WIRE_H

#include "buf.h"
#include "lease.h"
#include "peer.h"
#include "raft.h"
#include "report.h"

enum frame_type {
	FRAME_HELLO = 1,	/* struct peer_hello, peer.c's own */
	FRAME_REFUSED,		/* text: why the link is being closed */
	FRAME_RAFT,		/* struct raft_message */
	FRAME_REPORT,		/* struct report */
	FRAME_LEASE,		/* struct lease_message */
	FRAME_WELCOME,		/* struct wire_welcome, to a new member */
	FRAME_SECRETS,		/* struct wire_secrets, to a member */
	FRAME_CONTROL,		/* u32 id, text: a forwarded control request */
	FRAME_CONTROL_REPLY,	/* u32 id, u8 last, text: one line of answer */
	FRAME_FILES,		/* ask for / bring configuration files */
	FRAME_PROPOSE		/* a command, from a member to the leader */
};

/* What a new member needs before it can store anything. */
struct wire_welcome {
	uint8_t cluster_id[16];
	uint64_t generation;
	uint32_t member_id;
};

/* Only ever inside a link to the pinned key of that member. */
struct wire_secrets {
	char replication_password[64];
	bool has_voter_secrets;	/* the two below, for voters to be */
	char ca_key[PEM_MAX];
	char ssh_key[PEM_MAX];
	char ssh_public_key[1024];
};

void	wire_put_hello(struct buf *buf, const struct peer_hello *hello);
int	wire_get_hello(struct reader *reader, struct peer_hello *hello);
/* reason has room for ERRMSG_MAX bytes; a longer one is cut when put. */
void	wire_put_refused(struct buf *buf, const char *reason);
int	wire_get_refused(struct reader *reader, char *reason);
void	wire_put_raft(struct buf *buf, const struct raft_message *message);
/*
 * entries (RAFT_BATCH_MAX of them) and config receive what the message
 * points to; the snapshot points into the reader's memory.
 */
int	wire_get_raft(struct reader *reader, struct raft_message *message,
	    struct raft_entry *entries, struct raft_config *config);
void	wire_put_report(struct buf *buf, const struct report *report);
int	wire_get_report(struct reader *reader, struct report *report);
void	wire_put_lease(struct buf *buf, const struct lease_message *message);
int	wire_get_lease(struct reader *reader, struct lease_message *message);
void	wire_put_welcome(struct buf *buf, const struct wire_welcome *welcome);
int	wire_get_welcome(struct reader *reader, struct wire_welcome *welcome);
void	wire_put_secrets(struct buf *buf, const struct wire_secrets *secrets);
int	wire_get_secrets(struct reader *reader, struct wire_secrets *secrets);

#endif
