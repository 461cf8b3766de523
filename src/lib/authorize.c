/*
 * authorize.c - the authorized_keys line of a cluster's SSH key.
 *
 * One text for the agent, failoverctl and failover-provision, so that what
 * an operator is told to append is always the same.  Must never write to an
 * authorized_keys file.
 */
#include "provision.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "conf.h"
#include "launch.h"
#include "limits.h"

__attribute__((format(printf, 2, 3)))
static int
fail(char *errmsg, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(errmsg, ERRMSG_MAX, format, ap);
	va_end(ap);
	return -1;
}

/* sshd hands the command to the login shell: nothing to quote may be in it. */
static bool
is_plain(const char *path)
{
	return strspn(path, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789/._+-") == strlen(path);
}

/* Cuts "TYPE BASE64 COMMENT" down to the first two words. */
static int
read_public_key(const char *path, char *text, size_t size, char *errmsg)
{
	FILE *file = fopen(path, "re");
	size_t type_len, key_len;
	char *key;

	if (file == NULL)
		return fail(errmsg, "could not open file \"%s\": %s", path,
		    strerror(errno));
	if (fgets(text, (int)size, file) == NULL)
		text[0] = '\0';
	fclose(file);
	type_len = strcspn(text, " \t\r\n");
	key = text + type_len + strspn(text + type_len, " \t");
	key_len = strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789+/=");
	if (type_len == 0 || key_len < 16 || strncmp(key, "AAAA", 4) != 0 ||
	    strchr(" \t\r\n", key[key_len]) == NULL)
		return fail(errmsg, "file \"%s\" is no OpenSSH public key",
		    path);
	if (strncmp(text, "ssh-rsa", type_len) == 0 && type_len == 7)
		return fail(errmsg, "file \"%s\" is an RSA key, which "
		    "libssh2 1.10 cannot use; make an Ed25519 one with "
		    "\"failover-provision --make-key\"", path);
	text[type_len] = ' ';
	memmove(text + type_len + 1, key, key_len);
	text[type_len + 1 + key_len] = '\0';
	return 0;
}

int
provision_authorized_keys_line(const char *public_key_file,
    const char *cluster, char *line, size_t size, char *errmsg)
{
	char key[PROVISION_AUTHORIZED_MAX], program[CONF_PATH_MAX];
	int n;

	line[0] = '\0';
	if (!conf_is_name(cluster))
		return fail(errmsg, "\"%s\" is not the name of a cluster",
		    cluster);
	if (read_public_key(public_key_file, key, sizeof(key), errmsg) != 0 ||
	    launch_find_program("failover-provision", program,
	    sizeof(program), errmsg) != 0)
		return -1;
	if (!is_plain(program))
		return fail(errmsg, "the path \"%s\" cannot stand in an "
		    "authorized_keys file; install failoverd in a directory "
		    "without special characters", program);
	n = snprintf(line, size, "restrict,port-forwarding,"
	    "permitopen=\"127.0.0.1:1\",command=\"%s --target\" %s "
	    "failoverd:%s", program, key, cluster);
	if (n < 0 || (size_t)n >= size) {
		line[0] = '\0';
		return fail(errmsg, "the authorized_keys line for \"%s\" is "
		    "too long", public_key_file);
	}
	return 0;
}
