/*
 * quorum.h - may a commit be lost?  Covers and sealed sets.
 *
 * The cover of an epoch is everything that may have been in force as its
 * synchronous configuration: U = union of the sets, K = smallest k.  Every
 * acknowledged commit of that epoch was flushed by at least K members of U.
 * If the sealed set Q leaves out fewer than K members of U, that is
 * |Q n U| >= |U| - K + 1, one member of Q has it, and so has the greatest
 * position of Q.  A node counts only under the incarnation named in U.
 */
#ifndef FAILOVERD_QUORUM_H
#define FAILOVERD_QUORUM_H

#include <stdbool.h>
#include <stdint.h>

#include "limits.h"
#include "lsn.h"
#include "order.h"
#include "trace.h"

struct cover {
	uint64_t epoch;
	uint32_t primary_id;	/* of that epoch */
	uint8_t k;		/* K; 0: alone is enough ("async since") */
	uint8_t count;
	struct { uint32_t member_id, incarnation; } names[SYNC_MAX];
	lsn_t next_begin;	/* begin of the epoch that followed; 0 none */
};

/* One sealed node with a position. */
struct sealed_node {
	uint32_t member_id, incarnation;
	bool was_primary;	/* the stopped primary of the last open epoch,
				 * or of one since that never opened */
	struct position position;
};

/* cover := cover widened by list (union, smaller k). */
int	cover_widen(struct cover *cover, const struct sync_list *list);
void	cover_from_list(struct cover *cover, uint64_t epoch,
	    uint32_t primary_id, const struct sync_list *list);
bool	cover_has(const struct cover *cover, uint32_t member_id,
	    uint32_t incarnation);

/*
 * Does Q hold every acknowledged commit of that cover's epoch?  Writes the
 * reason into the trace, "cover of epoch 3: ANY 1 of n2,n3; sealed n2,n3;
 * 2 of 2 needed -> met".  name(id, arg) gives node names.
 */
typedef const char *quorum_name_fn(uint32_t member_id, const void *arg);
bool	quorum_cover_is_met(const struct cover *cover,
	    const struct sealed_node *sealed, uint32_t count,
	    struct trace *trace, quorum_name_fn *name, const void *arg);

uint32_t quorum_majority(uint32_t voters);

#endif
