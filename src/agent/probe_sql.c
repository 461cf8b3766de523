/*
 * probe_sql.c - the statements that cannot take what they need as parameters.
 *
 * Decides what may be written into SQL text.  Must never put a password
 * there.
 */
#include "probe_sql.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "limits.h"

#define SCRAM		"SCRAM-SHA-256$"
#define SCRAM_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW" \
	"XYZ0123456789+/=$:-"

int
probe_sql_replication_role(const char *verifier, char *sql, size_t size,
    char *errmsg)
{
	static const char attributes[] = "LOGIN REPLICATION NOSUPERUSER "
	    "NOCREATEDB NOCREATEROLE NOBYPASSRLS CONNECTION LIMIT -1 "
	    "VALID UNTIL 'infinity'";
	int n;

	sql[0] = '\0';
	if (strncmp(verifier, SCRAM, strlen(SCRAM)) != 0 ||
	    verifier[strspn(verifier, SCRAM_CHARACTERS)] != '\0') {
		snprintf(errmsg, ERRMSG_MAX, "what is to be stored for role "
		    "\"%s\" is no SCRAM-SHA-256 verifier", REPLICATION_ROLE);
		return -1;
	}
	n = snprintf(sql, size,
	    "DO $do$ BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_roles"
	    " WHERE rolname = '%s') THEN ALTER ROLE %s %s PASSWORD '%s';"
	    " ELSE CREATE ROLE %s %s PASSWORD '%s'; END IF; END $do$",
	    REPLICATION_ROLE, REPLICATION_ROLE, attributes, verifier,
	    REPLICATION_ROLE, attributes, verifier);
	if (n > 0 && (size_t)n < size)
		return 0;
	sql[0] = '\0';
	snprintf(errmsg, ERRMSG_MAX, "the verifier for role \"%s\" is too "
	    "long", REPLICATION_ROLE);
	return -1;
}

int
probe_sql_reset_setting(const char *name, char *sql, size_t size,
    char *errmsg)
{
	sql[0] = '\0';
	if (!postgres_is_owned_setting(name) ||
	    snprintf(sql, size, "ALTER SYSTEM RESET %s", name) >= (int)size) {
		snprintf(errmsg, ERRMSG_MAX, "setting \"%.100s\" is not ours "
		    "to reset", name);
		return -1;
	}
	return 0;
}
