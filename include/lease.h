/*
 * lease.h - who may accept writes until when.
 *
 * The primary's agent asks every voter for the lease each heartbeat; a voter
 * grants from its own memory.  Deadlines are stamped at send by the holder
 * and at receipt by the voter, each on its own CLOCK_BOOTTIME:
 *
 *	holder:	may write until t_send + lease, once a majority granted
 *	voter:	calls the epoch clear no sooner than t_recv + lease * 1.2
 *
 * so the holder always stops first as long as clock rates differ by less
 * than 20 %.  A voter that is new or restarted has forgotten its grants and
 * calls nothing clear for lease * 1.2.  Pure.
 */
#ifndef FAILOVERD_LEASE_H
#define FAILOVERD_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "limits.h"
#include "lsn.h"
#include "monotime.h"

enum lease_message_type {
	LEASE_REQUEST = 1,
	LEASE_GRANT,
	LEASE_DENY,
	LEASE_RELEASE
};

struct lease_message {
	uint8_t type;
	uint32_t holder_id;	/* the primary's member id */
	uint32_t voter_id;	/* GRANT, DENY */
	uint64_t epoch;
	uint64_t config_index;	/* voter configuration of the sender */
	uint64_t holder_start_ns;	/* agent start, with ... */
	int64_t stamp_ns;	/* ... the send stamp: orders requests */
	uint32_t lease_ms;
	lsn_t lsn;		/* REQUEST: the primary's flush position */
	char why[64];		/* DENY */
};

/* What a voter remembers; volatile, except that promise is durable. */
struct lease_voter {
	monotime_t started;	/* silent until started + lease * 1.2 */
	uint64_t promise;	/* sealed for: grants no older epoch */
	uint64_t granted_epoch;	/* newest grant */
	uint32_t granted_to;
	uint64_t granted_start_ns;
	int64_t granted_stamp_ns;
	monotime_t granted_until;	/* t_recv + lease * 1.2 */
	monotime_t older_until;	/* and what older epochs were promised */
	monotime_t heard;	/* last request of the current primary */
	struct position heard_position;
};

void	lease_voter_init(struct lease_voter *voter, monotime_t now);

/*
 * Judges a request.  named_id and named_epoch: whom the applied state names
 * primary, of which epoch (the newest promotion entry).  Fills reply
 * (GRANT or DENY).
 */
void	lease_voter_request(struct lease_voter *voter,
	    const struct lease_message *request, uint32_t self,
	    uint64_t config_index, uint32_t named_id, uint64_t named_epoch,
	    monotime_t now, struct lease_message *reply);

/* A release cancels only grants stamped before it by the same agent. */
void	lease_voter_release(struct lease_voter *voter,
	    const struct lease_message *release, monotime_t now);

/* Is every promise to epochs up to `epoch` over at this voter? */
bool	lease_voter_is_clear(const struct lease_voter *voter, uint64_t epoch,
	    uint32_t lease_ms, monotime_t now);

/* What the holder knows; volatile. */
struct lease_holder {
	uint64_t epoch;		/* 0 = none wanted */
	uint64_t start_ns;	/* own agent start */
	monotime_t begun;	/* what was asked for before is void */
	uint64_t config_index;
	uint32_t voter_count;
	struct {
		uint32_t id;
		int64_t stamp_ns;	/* newest granted send stamp */
		int64_t until_ns;	/* that stamp + the lease it asked */
	} voters[VOTERS_MAX];
	monotime_t deadline;	/* never = not held */
	monotime_t majority_heard;	/* newest majority grant's send stamp */
};

/*
 * Starts to hold (or, epoch 0, stops wanting) a lease; forgets all grants,
 * also those still to come of requests stamped before now.
 */
void	lease_holder_begin(struct lease_holder *holder, uint64_t epoch,
	    uint64_t start_ns, monotime_t now);
/* Voters changed: grants of others no longer count. */
void	lease_holder_set_voters(struct lease_holder *holder,
	    uint64_t config_index, const uint32_t *ids, uint32_t count);
/*
 * A grant came; moves the deadline when a majority has granted.  lease_ms is
 * the present setting: never more than what was asked for is counted upon.
 */
void	lease_holder_grant(struct lease_holder *holder,
	    const struct lease_message *grant, uint32_t lease_ms);
bool	lease_holder_is_valid(const struct lease_holder *holder,
	    monotime_t now);

#endif
