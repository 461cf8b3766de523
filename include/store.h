/*
 * store.h - what this node must never forget, in one file per generation.
 *
 * STATE_DIR/state.N: a header with a checksum over everything, then identity
 * and the durable half of raft.  Written as a whole: temporary name, write,
 * fdatasync, rename to state.N+1, fsync of the directory; the older one is
 * removed after that.  The newest file is the only one that counts: an older
 * one is amnesia, so damage is never repaired by falling back.
 *
 * STATE_DIR/incarnation stands beside it as a witness that this node was
 * once a member: with it and without a whole state.N the node does not vote.
 */
#ifndef FAILOVERD_STORE_H
#define FAILOVERD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "limits.h"

#define STORE_MAX	(1024u * 1024u)	/* one file */

struct store_identity {
	uint8_t cluster_id[16];		/* zero: no member of anything yet */
	uint64_t generation;		/* of the cluster */
	uint32_t member_id;		/* 0: not yet told */
	uint64_t promise;		/* highest epoch this node has sealed */
	char cluster[NAME_MAX_LEN + 1];
	char node[NAME_MAX_LEN + 1];
};

enum store_found {
	STORE_EMPTY,		/* never a member: may join or be founded */
	STORE_WHOLE,
	STORE_DAMAGED		/* was a member; must not vote */
};

/*
 * Finds and reads the newest generation.  body (STORE_MAX bytes, the
 * caller's) gets the raft image, *body_len its length.  STORE_DAMAGED and
 * -1 (I/O error) fill errmsg.  [blocking; at start only]
 */
int	store_load(const char *state_dir, struct store_identity *identity,
	    uint64_t *store_generation, enum store_found *found,
	    void *body, size_t *body_len, char *errmsg);

/*
 * Writes generation `store_generation`; blocking, for a libuv worker; touches
 * nothing but its arguments.  Only when it returns 0 is anything durable.
 */
int	store_save(const char *state_dir,
	    const struct store_identity *identity, uint64_t store_generation,
	    const void *body, size_t body_len, char *errmsg);

/* CRC-32C (Castagnoli), as in the file's header. */
uint32_t store_crc(const void *bytes, size_t len);

#endif
