/*
 * order.h - what one node must do now, derived from the agreed state.
 *
 * Nobody sends orders: every agent derives its own from the state it has
 * applied, so a coordinator that vanishes leaves nobody half done, and a node
 * that comes late finds its order waiting.
 */
#ifndef FAILOVERD_ORDER_H
#define FAILOVERD_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "limits.h"
#include "lsn.h"

#define ORDER_LIST(X)							\
	X(ORDER_NOTHING, "nothing to do")				\
	X(ORDER_WITNESS, "vote, run no PostgreSQL")			\
	X(ORDER_PRIMARY, "be primary")					\
	X(ORDER_FOLLOW, "stream from the primary")			\
	X(ORDER_SEAL, "have nothing more to do with older epochs")	\
	X(ORDER_PROMOTE, "become primary")				\
	X(ORDER_STOP, "stop fast and hand over")			\
	X(ORDER_CLONE, "copy the data directory")			\
	X(ORDER_LEAVE, "removed: stop, keep the data")

enum order_kind {
#define X(name, text) name,
	ORDER_LIST(X)
#undef X
	ORDER_COUNT
};

/* One synchronous configuration: ANY k (members), k = 0: empty list. */
struct sync_list {
	uint8_t k;
	uint8_t count;
	struct { uint32_t member_id, incarnation; } names[SYNC_MAX];
};

struct order {
	uint8_t kind;		/* enum order_kind */
	uint64_t index;		/* entry that gave it; a newer one is another */
	uint64_t generation;
	uint64_t epoch;
	uint32_t target_id, target_incarnation;

	uint32_t upstream_id;	/* FOLLOW, CLONE: from whom */
	uint64_t seal_epoch;	/* SEAL, PROMOTE: promise this */
	uint32_t timeline;	/* PROMOTE: expected; FOLLOW: current */
	lsn_t begin_lsn;	/* FOLLOW: where that timeline begins; else 0 */
	uint64_t sync_version;	/* PRIMARY, PROMOTE: list to be in force */
	struct sync_list sync;
	bool sync_confirm;	/* wait until k of the list have caught up */
	bool restart_allowed;	/* PRIMARY: may be started read-write when
				 * it is not running and nothing was released */
	bool checkpoint;	/* PRIMARY, FOLLOW: run one ahead of a
				 * switchover */
	uint32_t job_id;	/* CLONE, STOP */
};

const char *order_name(unsigned kind);

#endif
