/*
 * marker.h - what one job has put on this host.
 *
 * STATE_DIR/markers/provision (JSON) names every directory and file before
 * it is made, so that undo removes exactly these, whenever the job was cut.
 * It stays after the job: it is how a later job knows what is ours.
 */
#ifndef FAILOVERD_PROVISION_MARKER_H
#define FAILOVERD_PROVISION_MARKER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <jansson.h>

#include "conf.h"
#include "message.h"

#define MARKER_HASH_MAX	65	/* SHA-256 in hex, with the NUL */

/* Whose marker it is.  ca is the SHA-256 of the cluster's CA certificate. */
struct marker_owner {
	char job[32];
	char cluster[NAME_MAX_LEN + 1];
	char node[NAME_MAX_LEN + 1];
	char ca[MARKER_HASH_MAX];
};

struct marker {
	char path[CONF_PATH_MAX];
	char state_dir[CONF_PATH_MAX];
	json_t *content;	/* NULL = there is none */
	struct marker_owner owner;
	char conf_file[CONF_PATH_MAX];
	char run_dir[CONF_PATH_MAX];
	int lock_fd;		/* -1 = not locked */
};

/* Reads the marker of a state directory.  None is no error. */
int	marker_load(struct marker *marker, const char *state_dir,
	    struct problem *problem);
void	marker_free(struct marker *marker);

/* Same cluster (by its CA), node and job; an undo may come without a CA. */
bool	marker_is_of(const struct marker *marker,
	    const struct marker_owner *owner);

/*
 * Makes STATE_DIR/markers, locks it against another failover-provision, and
 * writes a marker unless there is one.
 */
int	marker_begin(struct marker *marker, const struct conf *conf,
	    const struct marker_owner *owner, struct problem *problem);

/*
 * Locks, then reads the marker again: another run may have come between.  0
 * also when there is no directory to lock.  Held until marker_free().
 */
int	marker_lock(struct marker *marker, struct problem *problem);

/* Was this path made by the job? */
bool	marker_has(const struct marker *marker, const char *path);

/* Notes a file that is about to be made, durably. */
int	marker_note_file(struct marker *marker, const char *path,
	    struct problem *problem);

/* Notes that an agent is about to be started; marker_was_started() asks. */
int	marker_note_start(struct marker *marker, struct problem *problem);
bool	marker_was_started(const struct marker *marker);

/*
 * Makes a directory and its parents, each noted first, with this mode whatever
 * the umask.  Those that exist are left as they are.
 */
int	marker_make_directory(struct marker *marker, const char *path,
	    mode_t mode, struct problem *problem);

/* Notes, then writes by temporary name, fsync, rename, fsync(directory). */
int	marker_write_file(struct marker *marker, const char *path,
	    const char *text, struct problem *problem);

/*
 * Removes what the marker names, what the agent made in STATE_DIR and RUN_DIR
 * since, and at last the marker.  The agent must not run.  What had to stay
 * is appended to left.  With keep_conf the first half: only the
 * configuration file goes.
 */
int	marker_remove_conf(struct marker *marker, struct problem *problem);
int	marker_remove_all(struct marker *marker, json_t *left,
	    struct problem *problem);

#endif
