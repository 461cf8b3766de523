/*
 * limits.h - every bound of the program, in one place.
 *
 * Arrays of the core are sized by these; a value that arrives from outside
 * and exceeds one is refused with a message, never truncated silently.
 */
/*
 * The system's <limits.h> finds this file through its own #include_next when
 * it is reached first from another header: pass on to the real one.
 */
#include_next <limits.h>

#ifndef FAILOVERD_LIMITS_H
#define FAILOVERD_LIMITS_H

#define MEMBERS_MAX		64	/* members of a cluster */
#define VOTERS_MAX		9	/* of them, voters */
#define NAME_MAX_LEN		31	/* node and cluster names, bytes */
#define ADDRESS_MAX_LEN		255	/* "host:port", bytes */
#define TEXT_MAX_LEN		255	/* a message, a reason, an event */
#define ERRMSG_MAX		1024	/* every errmsg buffer, with the NUL */

#define ENTRY_DATA_MAX		2048	/* one replicated command, bytes */
#define RAFT_LOG_MAX		256	/* entries kept behind the snapshot */
#define RAFT_BATCH_MAX		16	/* entries in one append message */
#define SNAPSHOT_MAX		114688	/* the whole replicated state, bytes */
#define FRAME_MAX		131072	/* one frame between agents, bytes */

#define LEDGER_MAX		256	/* epochs remembered */
#define EVENTS_MAX		128	/* entries of the event ring */
#define COVERS_MAX		8	/* epochs whose cover is still held */
#define JOBS_MAX		8	/* jobs kept, running and ended */
#define SYNC_MAX		16	/* names in one synchronous list */
#define WALSENDERS_MAX		64	/* walsenders in one report */
#define TRACE_MAX		4096	/* bytes of one decision trace */

#endif
