/*
 * worker.h - failover-provision --worker, see include/provision.h.
 */
#ifndef FAILOVERD_PROVISION_WORKER_H
#define FAILOVERD_PROVISION_WORKER_H

/* One job from stdin, its story on stdout.  0 done, 1 not. */
int	worker_run(void);

#endif
