/*
 * job.h - a request of the worker as the target understands it.
 */
#ifndef FAILOVERD_PROVISION_JOB_H
#define FAILOVERD_PROVISION_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "conf.h"
#include "marker.h"
#include "message.h"

/*
 * Where findings go: each is written as a line to fd (-1 = to nobody), and
 * the first that fails is kept as the problem.
 */
struct findings {
	int fd;
	unsigned failed, warned;
	struct problem first;
};

void	finding_pass(struct findings *findings, const char *format, ...)
	    __attribute__((format(printf, 2, 3)));
/* The hint may be NULL. */
void	finding_warn(struct findings *findings, const char *hint,
	    const char *format, ...) __attribute__((format(printf, 3, 4)));
void	finding_fail(struct findings *findings, const char *hint,
	    const char *format, ...) __attribute__((format(printf, 3, 4)));

struct job {
	struct marker_owner owner;
	char host[ADDRESS_MAX_LEN + 1];	/* as typed by the operator */
	const char *ca;		/* PEM, inside the request */
	struct conf conf;
	bool keeps_conf;	/* the operator's own file, left as it is */
	int pg_major;		/* 0 = unknown or witness */
	uint64_t data_bytes;
	bool replace;
	struct marker marker;
	bool resumed;		/* the marker is this job's */
};

/*
 * Fills job from a request (op check, request, install, start, undo), the
 * existing configuration file and the marker.  What is wrong with them is a
 * finding.  job_free() in any case; the request must live as long.
 */
void	job_load(struct job *job, const json_t *request,
	    struct findings *findings);
void	job_free(struct job *job);

/* Is the CA in this file the one of the job?  False when it is not there. */
bool	job_has_ca(const struct job *job, const char *path);

/* STATE_DIR/tls/NAME */
void	job_tls_path(const struct job *job, const char *name,
	    char path[CONF_PATH_MAX]);

/* Directory of postgres for this major version, or -1. */
int	job_find_bin_dir(const struct job *job, char dir[CONF_PATH_MAX]);

/* Every check that changes nothing. */
void	job_check(struct job *job, struct findings *findings);

/* The pid behind RUN_DIR/control.sock by its peer credentials; 0 = none. */
int	agent_find(const char *run_dir);
/* Is this process failoverd, started with this file? */
bool	agent_is_ours(int pid, const char *conf_file);

#endif
