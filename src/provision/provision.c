/*
 * provision.c - failover-provision: the worker, its target, a new key.
 *
 * See include/provision.h for the words spoken.  Must never be given a secret
 * on its command line.
 */
#include "provision.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "argv.h"
#include "limits.h"
#include "target.h"
#include "worker.h"

#define EXIT_USAGE	64
#define KEYGEN_MS	30000

static int
make_key(const char *file, const char *comment)
{
	const char *argv[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "",
	    "-C", comment, "-f", file, NULL };
	char said[1024], public_file[4096], errmsg[ERRMSG_MAX];
	int status;

	snprintf(public_file, sizeof(public_file), "%s.pub", file);
	if (access(file, F_OK) == 0 || access(public_file, F_OK) == 0) {
		fprintf(stderr, "failover-provision: file \"%s\" exists and "
		    "is left as it is\n", access(file, F_OK) == 0 ? file :
		    public_file);
		return 1;
	}
	umask(077);
	status = argv_run(argv, said, sizeof(said), KEYGEN_MS, errmsg);
	if (status == 0 && chmod(file, 0600) == 0 &&
	    chmod(public_file, 0600) == 0)
		return 0;
	said[strcspn(said, "\r\n")] = '\0';
	fprintf(stderr, "failover-provision: could not make the SSH key "
	    "\"%s\": %s\n", file, status < 0 ? errmsg : said);
	if (status < 0 && strstr(errmsg, "No such file") != NULL)
		fprintf(stderr, "HINT: ssh-keygen is missing; as root run "
		    "\"apt-get install openssh-client\".\n");
	return 1;
}

int
main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--worker") == 0)
		return worker_run();
	if (argc == 2 && strcmp(argv[1], "--target") == 0)
		return target_run();
	if (argc == 4 && strcmp(argv[1], "--make-key") == 0)
		return make_key(argv[2], argv[3]);
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("failover-provision %s\n", FAILOVERD_VERSION);
		return 0;
	}
	fprintf(stderr, "usage: failover-provision --worker\n"
	    "       failover-provision --target\n"
	    "       failover-provision --make-key FILE COMMENT\n");
	return EXIT_USAGE;
}
