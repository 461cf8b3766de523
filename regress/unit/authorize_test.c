/*
 * authorize_test.c - the line an operator is told to append.
 */
#include "provision.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"
#include "limits.h"
#include "tap.h"

#define KEY "ssh-ed25519 " \
	"AAAAC3NzaC1lZDI1NTE5AAAAILMJjocXCN/eaaDHH/7NVfa8K0FzFjCOvPqdoOvTEc/a"

static char dir[] = "/tmp/authorizeXXXXXX";
static char errmsg[ERRMSG_MAX];

static int
line_for(const char *key, const char *cluster, char *line, size_t size)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/key.pub", dir);
	file = fopen(path, "w");
	if (file == NULL)
		return -2;
	fputs(key, file);
	fclose(file);
	errmsg[0] = '\0';
	return provision_authorized_keys_line(path, cluster, line, size,
	    errmsg);
}

/* The program the line names has to stand beside the running one. */
static char *
make_program(void)
{
	static char program[CONF_PATH_MAX + 32];
	ssize_t n = readlink("/proc/self/exe", program, CONF_PATH_MAX);
	FILE *file;

	program[n < 0 ? 0 : n] = '\0';
	strcpy(strrchr(program, '/') + 1, "failover-provision");
	if (access(program, X_OK) == 0)
		return NULL;
	file = fopen(program, "w");
	if (file != NULL) {
		fclose(file);
		chmod(program, 0755);
	}
	return program;
}

int
main(void)
{
	char line[PROVISION_AUTHORIZED_MAX];
	char *made;

	if (!ok(mkdtemp(dir) != NULL, "scratch directory"))
		return done_testing();
	made = make_program();
	is_int(line_for(KEY " a comment of theirs\n", "sales", line,
	    sizeof(line)), 0, "a line");
	ok(strncmp(line, "restrict,port-forwarding,"
	    "permitopen=\"127.0.0.1:1\",command=\"/", 60) == 0,
	    "begins with what the key may do");
	ok(strstr(line, "/failover-provision --target\" " KEY
	    " failoverd:sales") != NULL, "the program, the key, the cluster");
	ok(strstr(line, "theirs") == NULL && strchr(line, '\n') == NULL,
	    "no comment of the key's, no newline");
	is_int(line_for(KEY, "sales", line, 100), -1, "no room");
	is_text(line, "", "and no half line");
	is_int(line_for("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAA x\n", "sales",
	    line, sizeof(line)), -1, "an RSA key");
	ok(strstr(errmsg, "RSA") != NULL &&
	    strstr(errmsg, "libssh2 1.10") != NULL, "said exactly: %s",
	    errmsg);
	is_int(line_for("hello\n", "sales", line, sizeof(line)), -1,
	    "no key at all");
	is_int(line_for("", "sales", line, sizeof(line)), -1, "empty file");
	is_int(line_for(KEY, "Sales\" evil", line, sizeof(line)), -1,
	    "no name of a cluster");
	is_int(provision_authorized_keys_line("/nonexistent.pub", "sales",
	    line, sizeof(line), errmsg), -1, "no file");
	if (made != NULL)
		unlink(made);
	snprintf(line, sizeof(line), "%s/key.pub", dir);
	unlink(line);
	rmdir(dir);
	return done_testing();
}
