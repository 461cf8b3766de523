/*
 * provision_sign.c - the agent's half of signing, for tests.
 *
 *   provision_sign ca CLUSTER DIR         DIR/ca.key and DIR/ca.crt
 *   provision_sign sign DIR NODE <csr     the certificate on stdout
 *   provision_sign authorize FILE CLUSTER the authorized_keys line
 */
#include <stdio.h>
#include <string.h>

#include "conf.h"
#include "provision.h"
#include "tls.h"

static int
make_ca(const char *cluster, const char *dir, char *errmsg)
{
	char key[CONF_PATH_MAX], cert[CONF_PATH_MAX];

	snprintf(key, sizeof(key), "%s/ca.key", dir);
	snprintf(cert, sizeof(cert), "%s/ca.crt", dir);
	return tls_make_ca(cluster, key, cert, errmsg);
}

static int
sign(const char *dir, const char *node, char *errmsg)
{
	char key[CONF_PATH_MAX], ca[CONF_PATH_MAX];
	char csr[PEM_MAX] = "", cert[PEM_MAX];
	uint8_t hash[KEY_HASH_LEN];

	csr[fread(csr, 1, sizeof(csr) - 1, stdin)] = '\0';
	snprintf(key, sizeof(key), "%s/ca.key", dir);
	snprintf(ca, sizeof(ca), "%s/ca.crt", dir);
	if (tls_sign_request(key, ca, node, csr, cert, hash, errmsg) != 0)
		return -1;
	fputs(cert, stdout);
	return 0;
}

int
main(int argc, char **argv)
{
	char errmsg[ERRMSG_MAX] = "usage", line[PROVISION_AUTHORIZED_MAX];
	int rc = -1;

	if (argc == 4 && strcmp(argv[1], "ca") == 0)
		rc = make_ca(argv[2], argv[3], errmsg);
	else if (argc == 4 && strcmp(argv[1], "sign") == 0)
		rc = sign(argv[2], argv[3], errmsg);
	else if (argc == 4 && strcmp(argv[1], "authorize") == 0) {
		rc = provision_authorized_keys_line(argv[2], argv[3], line,
		    sizeof(line), errmsg);
		if (rc == 0)
			puts(line);
	}
	if (rc != 0)
		fprintf(stderr, "%s\n", errmsg);
	return rc != 0;
}
