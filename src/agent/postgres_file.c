/*
 * postgres_file.c - the files of the local cluster, written whole or not at
 * all, and PostgreSQL's configuration syntax.
 *
 * Decides nothing.  Must never leave half a file under its final name, and
 * never answer before what it wrote is on disk.
 */
#include "postgres_file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"

#define INCLUDE_DEPTH_MAX	10	/* as PostgreSQL's */
#define SETTING_MAX		4096

int
postgres_fail(char *errmsg, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(errmsg, ERRMSG_MAX, format, ap);
	va_end(ap);
	return -1;
}

void
postgres_directory_of(const char *path, char *directory, size_t size)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash == NULL ? 0 : (size_t)(slash - path);

	if (slash == path)
		len = 1;
	if (slash == NULL)
		snprintf(directory, size, ".");
	else
		snprintf(directory, size, "%.*s", (int)len, path);
}

int
postgres_path(char *path, const char *directory, const char *name,
    char *errmsg)
{
	int n = snprintf(path, CONF_PATH_MAX, "%s/%s", directory, name);

	if (n < 0 || n >= CONF_PATH_MAX)
		return postgres_fail(errmsg, "path \"%.200s/%.200s\" is longer "
		    "than %d bytes", directory, name, CONF_PATH_MAX - 1);
	return 0;
}

int
postgres_file_read(const char *path, char **text, char *errmsg)
{
	size_t len = 0;
	struct stat st;
	ssize_t n = 0;
	int fd, missing;

	*text = NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1) {
		missing = errno == ENOENT;
		postgres_fail(errmsg, "could not open file \"%.300s\": %s",
		    path, strerror(errno));
		return missing ? 1 : -1;
	}
	if (fstat(fd, &st) == -1 || st.st_size > POSTGRES_FILE_MAX) {
		postgres_fail(errmsg, "file \"%.300s\" is larger than %d "
		    "bytes", path, POSTGRES_FILE_MAX);
		goto fail;
	}
	/* Room to grow: it may be appended to while it is read. */
	*text = malloc((size_t)st.st_size + 4096);
	if (*text == NULL) {
		postgres_fail(errmsg, "out of memory");
		goto fail;
	}
	while (len < (size_t)st.st_size + 4095) {
		n = read(fd, *text + len, (size_t)st.st_size + 4095 - len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	if (n == -1) {
		postgres_fail(errmsg, "could not read file \"%.300s\": %s",
		    path, strerror(errno));
		goto fail;
	}
	(*text)[len] = '\0';
	close(fd);
	return 0;
fail:
	free(*text);
	*text = NULL;
	close(fd);
	return -1;
}

int
postgres_directory_sync(const char *path, char *errmsg)
{
	int fd, error = 0;

	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1 || fsync(fd) == -1)
		error = errno;
	if (fd != -1)
		close(fd);
	if (error != 0)
		return postgres_fail(errmsg, "could not fsync directory "
		    "\"%.300s\": %s", path, strerror(error));
	return 0;
}

static int
write_all(int fd, const char *text, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, text, len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

int
postgres_file_write(const char *path, const char *text, mode_t mode,
    const char *temporary, char *errmsg)
{
	char name[CONF_PATH_MAX + 16], directory[CONF_PATH_MAX];
	struct stat st;
	bool exists;
	int fd, error;

	if (temporary == NULL) {
		snprintf(name, sizeof(name), "%s.tmp", path);
		temporary = name;
	}
	exists = stat(path, &st) == 0;
	/* Left over from a crash, perhaps with a mode that is too open. */
	(void)unlink(temporary);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd == -1)
		return postgres_fail(errmsg, "could not create file "
		    "\"%.300s\": %s", temporary, strerror(errno));
	if (fchmod(fd, exists ? st.st_mode & 07777 : mode) == -1 ||
	    (exists && (st.st_uid != geteuid() || st.st_gid != getegid()) &&
	    fchown(fd, st.st_uid, st.st_gid) == -1 && errno != EPERM) ||
	    write_all(fd, text, strlen(text)) == -1 || fsync(fd) == -1) {
		error = errno;
		close(fd);
		unlink(temporary);
		return postgres_fail(errmsg, "could not write file "
		    "\"%.300s\": %s", temporary, strerror(error));
	}
	close(fd);
	if (rename(temporary, path) == -1) {
		error = errno;
		unlink(temporary);
		return postgres_fail(errmsg, "could not rename file to "
		    "\"%.300s\": %s", path, strerror(error));
	}
	postgres_directory_of(path, directory, sizeof(directory));
	return postgres_directory_sync(directory, errmsg);
}

int
postgres_file_remove(const char *path, char *errmsg)
{
	char directory[CONF_PATH_MAX];

	if (unlink(path) == -1 && errno != ENOENT)
		return postgres_fail(errmsg, "could not remove file "
		    "\"%.300s\": %s", path, strerror(errno));
	postgres_directory_of(path, directory, sizeof(directory));
	return postgres_directory_sync(directory, errmsg);
}

/* --- The syntax of postgresql.conf --------------------------------------- */

int
postgres_quote_setting(const char *text, char *quoted, size_t size)
{
	size_t len = 0;

	if (size < 3)
		return -1;
	quoted[len++] = '\'';
	for (; *text != '\0'; text++) {
		if (iscntrl((unsigned char)*text) || len + 4 > size) {
			quoted[0] = '\0';
			return -1;
		}
		/* A backslash begins an escape there; both are doubled. */
		if (*text == '\'' || *text == '\\')
			quoted[len++] = *text;
		quoted[len++] = *text;
	}
	quoted[len++] = '\'';
	quoted[len] = '\0';
	return 0;
}

/* After the opening quote; false when the closing one is missing. */
static bool
unquote(const char *at, char *value, size_t size)
{
	size_t len = 0;
	char c;

	for (;; at++) {
		c = *at;
		if (c == '\0' || c == '\n')
			return false;
		if (c == '\'') {
			if (at[1] != '\'')
				break;
			at++;
		} else if (c == '\\' && at[1] != '\0') {
			c = *++at;
			if (c >= '0' && c <= '7') {
				c = (char)(c - '0');
				while (at[1] >= '0' && at[1] <= '7')
					c = (char)(c * 8 + (*++at - '0'));
			} else
				c = (char)(c == 'n' ? '\n' : c == 't' ? '\t' :
				    c == 'r' ? '\r' : c == 'b' ? '\b' :
				    c == 'f' ? '\f' : c);
		}
		if (len + 1 < size)
			value[len++] = c;
	}
	value[len] = '\0';
	return true;
}

bool
postgres_parse_setting(const char *line, char *name, size_t name_size,
    char *value, size_t value_size)
{
	size_t len;

	line += strspn(line, " \t\r");
	len = strspn(line, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"
	    "XYZ0123456789_.$");
	if (len == 0 || len >= name_size)
		return false;
	memcpy(name, line, len);
	name[len] = '\0';
	line += len;
	line += strspn(line, " \t");
	if (*line == '=')
		line++;
	line += strspn(line, " \t");
	if (*line == '\'')
		return unquote(line + 1, value, value_size);
	len = strcspn(line, " \t\r\n#");
	if (len == 0 || len >= value_size)
		return false;
	memcpy(value, line, len);
	value[len] = '\0';
	return true;
}

struct search {
	const char *name;
	const char *skip;
	char *value;
	size_t size;
	bool found;
	int depth;
};

static void	search_file(struct search *search, const char *file);

static int
is_config_name(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 5 &&
	    strcmp(entry->d_name + len - 5, ".conf") == 0;
}

static void
search_directory(struct search *search, const char *directory)
{
	struct dirent **entries;
	char path[SETTING_MAX + CONF_PATH_MAX + 260];
	int count, i;

	count = scandir(directory, &entries, is_config_name, NULL);
	if (count < 0)
		return;
	/* strcmp and not alphasort: PostgreSQL orders as in the C locale. */
	for (i = 1; i < count; i++) {
		struct dirent *entry = entries[i];
		int j = i;

		for (; j > 0 && strcmp(entries[j - 1]->d_name,
		    entry->d_name) > 0; j--)
			entries[j] = entries[j - 1];
		entries[j] = entry;
	}
	for (i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory,
		    entries[i]->d_name);
		search_file(search, path);
		free(entries[i]);
	}
	free(entries);
}

static void
search_line(struct search *search, const char *file, const char *line)
{
	char name[128], value[SETTING_MAX], path[SETTING_MAX + CONF_PATH_MAX];
	char directory[CONF_PATH_MAX];

	if (!postgres_parse_setting(line, name, sizeof(name), value,
	    sizeof(value)))
		return;
	if (strcasecmp(name, search->name) == 0) {
		search->found = true;
		snprintf(search->value, search->size, "%s", value);
		return;
	}
	if (strncasecmp(name, "include", 7) != 0)
		return;
	postgres_directory_of(file, directory, sizeof(directory));
	if (value[0] == '/')
		snprintf(path, sizeof(path), "%s", value);
	else
		snprintf(path, sizeof(path), "%s/%s", directory, value);
	if (strcasecmp(name, "include_dir") == 0)
		search_directory(search, path);
	else if (strcasecmp(name, "include") == 0 ||
	    strcasecmp(name, "include_if_exists") == 0)
		search_file(search, path);
}

static void
search_file(struct search *search, const char *file)
{
	char errmsg[ERRMSG_MAX], *text, *line, *next;

	if (search->depth >= INCLUDE_DEPTH_MAX ||
	    (search->skip != NULL && strcmp(search->skip, file) == 0) ||
	    postgres_file_read(file, &text, errmsg) != 0)
		return;
	search->depth++;
	for (line = text; line != NULL; line = next) {
		next = strchr(line, '\n');
		if (next != NULL)
			*next++ = '\0';
		search_line(search, file, line);
	}
	search->depth--;
	free(text);
}

bool
postgres_find_setting(const char *file, const char *name, const char *skip,
    char *value, size_t size)
{
	struct search search;

	memset(&search, 0, sizeof(search));
	search.name = name;
	search.skip = skip;
	search.value = value;
	search.size = size;
	value[0] = '\0';
	search_file(&search, file);
	return search.found;
}
