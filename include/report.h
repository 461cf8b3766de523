/*
 * report.h - what one node saw of itself, and of the primary, this beat.
 *
 * Made by the agent from probe.c and the guard, carried by peer.c, heard by
 * state_hear().  Never replicated.  A zero LSN, timeline or time is unknown.
 */
#ifndef FAILOVERD_REPORT_H
#define FAILOVERD_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "limits.h"
#include "lsn.h"

/* What the PostgreSQL of a node is doing, as its own agent knows it. */
#define PG_STATE_LIST(X)						\
	X(PG_UNKNOWN, "unknown")	/* not looked yet */		\
	X(PG_ABSENT, "absent")		/* witness, or no data yet */	\
	X(PG_STOPPED, "stopped")	/* data, no process left */	\
	X(PG_STARTING, "starting")					\
	X(PG_RUNNING, "running")	/* answers */			\
	X(PG_HUNG, "hung")		/* alive, no answer */		\
	X(PG_STOPPING, "stopping")					\
	X(PG_CLONING, "cloning")					\
	X(PG_REWINDING, "rewinding")					\
	X(PG_FAILED, "failed")		/* cannot go on by itself */

enum pg_state {
#define X(name, text) name,
	PG_STATE_LIST(X)
#undef X
	PG_STATE_COUNT
};

enum pg_role { PG_ROLE_UNKNOWN, PG_ROLE_PRIMARY, PG_ROLE_STANDBY };

/* Which layer of the last probe failed; PROBE_OK when it was answered. */
#define PROBE_LAYER_LIST(X)						\
	X(PROBE_OK, "answered")						\
	X(PROBE_NOT_TRIED, "not tried")					\
	X(PROBE_SOCKET, "connection refused")				\
	X(PROBE_CONNECT_TIMEOUT, "no answer to a connection")		\
	X(PROBE_REFUSED, "refused by the server")	/* it lives */	\
	X(PROBE_QUERY_TIMEOUT, "no answer to a query")			\
	X(PROBE_QUERY, "query failed")			/* it lives */

enum probe_layer {
#define X(name, text) name,
	PROBE_LAYER_LIST(X)
#undef X
	PROBE_LAYER_COUNT
};

enum sync_state { SYNC_NONE, SYNC_ASYNC, SYNC_POTENTIAL, SYNC_SYNC,
	SYNC_QUORUM };

struct walsender {
	uint32_t member_id;	/* from application_name; 0 = not a member */
	uint32_t incarnation;
	bool streaming;		/* else catching up, backup, startup */
	lsn_t sent, flush, replay;
	uint32_t replay_lag_ms;	/* as the primary measured it */
	uint8_t sync;		/* enum sync_state */
	uint8_t sync_priority;
};

struct report {
	uint32_t member_id;
	uint32_t incarnation;
	uint64_t agent_start_ns;	/* boottime; another = restarted agent */
	uint64_t store_generation;
	uint64_t applied_index;		/* of the replicated log */
	uint64_t promise;		/* highest epoch sealed by this node */

	uint8_t pg_state;		/* enum pg_state */
	uint8_t pg_role;		/* enum pg_role */
	uint8_t probe;			/* enum probe_layer of the last look */
	uint32_t sample_age_ms;		/* of the values below, when sent */
	uint32_t server_version;	/* 150020 */
	bool pending_restart;
	uint64_t system_identifier;	/* 0 = no data directory */
	uint64_t data_bytes;		/* size of it, 0 = not measured */
	int64_t postmaster_start_us;	/* unix time; 0 = not running */
	uint32_t timeline;
	lsn_t insert_lsn, flush_lsn;	/* primary */
	lsn_t receive_lsn, replay_lsn;	/* standby */
	int64_t replay_time_us;		/* unix time of the last replayed
					 * commit; 0 unknown */
	bool replay_paused;
	bool receiver_streaming;	/* walreceiver streams ... */
	uint32_t upstream_id;		/* ... from this member; 0 unknown */
	bool in_archive_recovery;	/* fed by restore_command only */
	uint32_t walsender_count;
	struct walsender walsenders[WALSENDERS_MAX];

	/* certain knowledge about the own postmaster */
	bool guard_present;
	bool postmaster_died;		/* by itself, in the epoch below */
	uint64_t died_epoch;		/* all its processes are gone */
	bool stopped_clean;		/* pg_control: shut down */
	lsn_t shutdown_lsn;		/* end of the shutdown checkpoint */

	/* lease, as holder */
	uint64_t lease_epoch;		/* 0 = holds none */
	uint32_t lease_left_ms;
	bool released;			/* gave up the lease of died_epoch,
					 * or of an ordered stop */

	/* how this node sees the primary of the current epoch */
	uint32_t primary_silence_ms;	/* since its last lease request */
	uint8_t primary_port;		/* enum port_answer */

	/* seal */
	uint64_t sealed_epoch;		/* this seal is fully kept here */
	bool has_position;		/* else sealed, but not in Q */
	struct position position;
	bool clear;			/* own promise to e has run out */
	struct position primary_heard;	/* last (epoch, LSN) of a renewal */

	/* orders */
	uint64_t order_index;		/* entry of the order last taken up */
	uint8_t order_result;		/* enum order_result */
	uint64_t opened_epoch;		/* read-write confirmed in this epoch */
	uint32_t opened_timeline;
	lsn_t opened_lsn;		/* begin of that timeline */
	uint64_t sync_version;		/* list confirmed in force and caught up */
	uint64_t progress_bytes, total_bytes;	/* of a clone */
	char message[TEXT_MAX_LEN + 1];	/* one sentence for status, or "" */
};

enum port_answer {
	PORT_NOT_TRIED,
	PORT_ANSWERS,		/* replied to an SSLRequest */
	PORT_REFUSED,		/* host is there, nothing listens */
	PORT_SILENT		/* nothing came back in time */
};

enum order_result { ORDER_IDLE, ORDER_RUNNING, ORDER_DONE, ORDER_FAILED };

const char *pg_state_name(unsigned state);
const char *probe_layer_name(unsigned layer);
const char *port_answer_name(unsigned answer);

#endif
