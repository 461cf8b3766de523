/*
 * postgres_conninfo.h - connection strings for replication, and what a child
 * of ours gets as its environment.  For postgres*.c.
 */
#ifndef FAILOVERD_POSTGRES_CONNINFO_H
#define FAILOVERD_POSTGRES_CONNINFO_H

#include "postgres.h"

#define POSTGRES_CONNINFO_MAX	2048

/*
 * As REPLICATION_ROLE with the passfile, no password, deadlines on everything
 * that can hang.  address: the host's number or NULL; a host that is a number
 * itself is its own.  database NULL = left out (a walreceiver has none).
 */
int	postgres_conninfo(const struct postgres *pg, const char *host,
	    const char *address, const char *port,
	    const char *application_name, const char *database,
	    char *conninfo, char *errmsg);

#endif
