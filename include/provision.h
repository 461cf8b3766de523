/*
 * provision.h - the words of the provision worker.
 *
 * failover-provision has three ways to run:
 *
 *   failover-provision --worker
 *	started by the coordinator's agent; JSON lines on stdin and stdout;
 *	brings an agent to a host over SSH (libssh2).
 *   failover-provision --target
 *	its other half on the new host, the forced command of the cluster's
 *	key; JSON lines on stdin and stdout; no shell anywhere.
 *   failover-provision --make-key FILE COMMENT
 *	a new Ed25519 key pair FILE and FILE.pub (init).
 *
 * Agent to worker, first line:
 *   {"op":"provision"|"undo"|"check",
 *    "job":"12", "host":"n2.example.org", "port":22, "user":"postgres",
 *    "ssh_key":"STATE_DIR/secrets/ssh_key",
 *    "known_hosts":["file",...],	files that need not exist
 *    "accept_host_key":"SHA256:..."|null, "known_host_line":"..."|null,
 *    "ca":"PEM of ca.crt",
 *    "conf":{"cluster":"sales","node":"n2","listen":...,"peers":[...],
 *            "postgresql.data_dir":..., any key of failoverd.conf by path},
 *    "facts":{"pg_major":15,"data_bytes":123456,"replace":false}}
 * Keys missing in conf get the target's own defaults: advertise = host as
 * typed with port 7432, postgresql.advertise = the same host with 5432,
 * postgresql.data_dir = where the host's packages keep a cluster of pg_major.
 * Without any postgresql.* key and with pg_major 0 the node is a witness.
 * Both known_hosts files belong into known_hosts: the one of failoverd.conf
 * and ~/.ssh/known_hosts.
 *
 * Worker to agent:
 *   {"type":"progress","text":...}
 *   {"type":"host_key","line":"known_hosts line","fingerprint":"SHA256:.."}
 *   {"type":"finding","level":"pass|warn|fail","text":...,"hint":...}
 *   {"type":"sign","node":"n2","csr":"PEM","advertise":"host:port",
 *    "pg_advertise":"host:port","data_dir":...,"known_host_line":...}
 *	then the agent answers on stdin {"type":"certificate","cert":"PEM"}
 *	or {"type":"refused","text":...}
 *   {"type":"done","text":...}				exit 0
 *   {"type":"error","text":...,"hint":...,"changed":bool}	exit 1; changed
 *	is false when the host is as it was before.
 * "check" changes nothing: findings, then done or error.  A job that was cut
 * can be given again; the request to sign is then for the same key.
 * "undo" removes exactly what the marker of that job on the host lists and
 * stops the agent started for it.
 */
#ifndef FAILOVERD_PROVISION_H
#define FAILOVERD_PROVISION_H

#include <stddef.h>

#define PROVISION_LINE_MAX	65536

/* File in STATE_DIR/markers naming every file a job has put on this host. */
#define PROVISION_MARKER	"provision"

/* Room for one authorized_keys line of ours. */
#define PROVISION_AUTHORIZED_MAX	2048

/*
 * The line that lets a cluster's SSH key run failover-provision on a new
 * host and nothing else, to be appended to ~/.ssh/authorized_keys there.
 * public_key_file is FILE.pub as ssh-keygen writes it; the path of
 * failover-provision is that of this installation.  0, or -1 with errmsg.
 */
int	provision_authorized_keys_line(const char *public_key_file,
	    const char *cluster, char *line, size_t size, char *errmsg);

#endif
