/*
 * postgres_file.h - the files of the local cluster, written whole or not at
 * all, and PostgreSQL's configuration syntax.
 *
 * For postgres*.c and their tests.  Everything here may block on a disk.
 */
#ifndef FAILOVERD_POSTGRES_FILE_H
#define FAILOVERD_POSTGRES_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "limits.h"

#define POSTGRES_FILE_MAX	(4 * 1024 * 1024)	/* one we read whole */

/* errmsg = the formatted text; returns -1, to be returned. */
int	postgres_fail(char *errmsg, const char *format, ...)
	    __attribute__((format(printf, 2, 3)));

/* directory/name into path[CONF_PATH_MAX]; -1 with errmsg: does not fit. */
int	postgres_path(char *path, const char *directory, const char *name,
	    char *errmsg);

/*
 * The whole file as text, to be freed by the caller.  0; 1 if there is no
 * such file (text NULL, errmsg says so); -1.
 */
int	postgres_file_read(const char *path, char **text, char *errmsg);

/*
 * Writes path + ".tmp" (or, when given, temporary), fsyncs it, renames it to
 * path, fsyncs the directory.  An existing file keeps its mode and owner;
 * a new one gets mode.
 */
int	postgres_file_write(const char *path, const char *text, mode_t mode,
	    const char *temporary, char *errmsg);

/* Unlinks path and fsyncs its directory.  No such file is success. */
int	postgres_file_remove(const char *path, char *errmsg);

/* fsync of a directory. */
int	postgres_directory_sync(const char *path, char *errmsg);

/* path of the file in which path is: everything before the last slash. */
void	postgres_directory_of(const char *path, char *directory, size_t size);

/* text in single quotes as postgresql.conf wants it.  -1: does not fit, or
 * has a control character. */
int	postgres_quote_setting(const char *text, char *quoted, size_t size);

/*
 * One line of postgresql.conf into name and value (unquoted).  False if it
 * sets nothing (blank, comment) or cannot be understood.
 */
bool	postgres_parse_setting(const char *line, char *name, size_t name_size,
	    char *value, size_t value_size);

/*
 * What file, with everything it includes, sets name to; the last one counts,
 * as for PostgreSQL.  skip (NULL or a path) is not followed.  False: not set.
 */
bool	postgres_find_setting(const char *file, const char *name,
	    const char *skip, char *value, size_t size);

#endif
