/*
 * ssh.h - one SSH session to one host, with deadlines on everything.
 *
 * The host key is judged before anything of ours is sent; the user key must
 * be Ed25519 or ECDSA.  Nothing is written: what became known is handed out
 * as a known_hosts line.
 */
#ifndef FAILOVERD_PROVISION_SSH_H
#define FAILOVERD_PROVISION_SSH_H

#include <stdbool.h>
#include <stddef.h>

#include "conf.h"
#include "hostkey.h"
#include "message.h"

#define SSH_KNOWN_HOSTS_MAX	8	/* files */

struct ssh_destination {
	char host[ADDRESS_MAX_LEN + 1];	/* a name or an address, no brackets */
	int port;
	char user[64];
	char key_file[CONF_PATH_MAX];	/* private; FILE.pub beside it */
	char cluster[NAME_MAX_LEN + 1];	/* for the authorized_keys line */
	char command[128];	/* "failoverctl clone-standby n2 --name n2" */
	char accept_host_key[128];	/* "" = none */
	char known_host_line[HOSTKEY_LINE_MAX];	/* "" = none */
	unsigned known_hosts_count;
	char known_hosts[SSH_KNOWN_HOSTS_MAX][CONF_PATH_MAX];
};

struct ssh;

/*
 * Connects, judges the host key, logs in.  NULL with problem, whose hint
 * names the command to run.  The caller closes it with ssh_close().
 */
struct ssh *ssh_open(const struct ssh_destination *destination,
	    struct problem *problem);
void	ssh_close(struct ssh *ssh);

/* The key the host has shown: a known_hosts line and its fingerprint. */
const char *ssh_host_line(const struct ssh *ssh);
const char *ssh_host_fingerprint(const struct ssh *ssh);
/* What should be said although the key was accepted; "" = nothing. */
const char *ssh_warning(const struct ssh *ssh);

/* Starts a program; its stdin and stdout are then ssh_write()'s and
 * ssh_read_line()'s.  Once per session. */
int	ssh_exec(struct ssh *ssh, const char *command, int timeout_ms,
	    struct problem *problem);

int	ssh_write(struct ssh *ssh, const char *text, size_t len,
	    int timeout_ms, struct problem *problem);

/* 1 a line (valid until the next call), 0 the program has closed its output,
 * -1 with problem. */
int	ssh_read_line(struct ssh *ssh, int timeout_ms, char **line,
	    struct problem *problem);

/*
 * After the program's end: its exit status (-1 = unknown) and the first line
 * it wrote to stderr ("" = none), cleaned for a terminal.
 */
int	ssh_exit_status(struct ssh *ssh, char *said, size_t size);

#endif
