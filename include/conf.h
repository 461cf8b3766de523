/*
 * conf.h - failoverd.conf: the node-local keys (failoverd.conf(5)).
 *
 * One table in conf.c {path, type, default, help} drives parsing, the
 * defaults, `failoverd -T` and the man page's list.  Unknown keys, wrong
 * types and values out of range are errors that name file, line and key.
 */
#ifndef FAILOVERD_CONF_H
#define FAILOVERD_CONF_H

#include <stdbool.h>
#include <stddef.h>

#include "limits.h"

#define CONF_PATH_MAX	512
#define CONF_PEERS_MAX	16

struct conf {
	char file[CONF_PATH_MAX];	/* where it was read from */
	char cluster[NAME_MAX_LEN + 1];
	char node[NAME_MAX_LEN + 1];
	char listen[ADDRESS_MAX_LEN + 1];
	char advertise[ADDRESS_MAX_LEN + 1];
	unsigned peer_count;
	char peers[CONF_PEERS_MAX][ADDRESS_MAX_LEN + 1];

	bool has_postgresql;		/* false on a witness */
	char pg_advertise[ADDRESS_MAX_LEN + 1];	/* postgresql.advertise */
	char data_dir[CONF_PATH_MAX];	/* postgresql.data_dir */
	char config_file[CONF_PATH_MAX];	/* "" = found, see postgres.h */
	char bin_dir[CONF_PATH_MAX];	/* "" = found */
	char pg_user[64];
	char passfile[CONF_PATH_MAX];
	char log_file[CONF_PATH_MAX];
	char listen_addresses[256];	/* "" = leave it to postgresql.conf */
	char socket_dir[CONF_PATH_MAX];	/* "" = leave it to postgresql.conf */

	char state_dir[CONF_PATH_MAX];
	char run_dir[CONF_PATH_MAX];
	char control_group[64];
	char http[ADDRESS_MAX_LEN + 1];
	char watchdog[CONF_PATH_MAX];
	char log_level[16];
	char known_hosts[CONF_PATH_MAX];
};

/* Every key at its default. */
void	conf_init(struct conf *conf);

/* Reads and checks a file.  0, or -1 with errmsg (file:line, key, hint). */
int	conf_read(struct conf *conf, const char *path, char *errmsg);

/*
 * Sets one key by its path ("state_dir", "postgresql.data_dir") from text,
 * as `--conf KEY=VALUE` does.  -1 with errmsg for an unknown key.
 */
int	conf_set(struct conf *conf, const char *key, const char *value,
	    char *errmsg);

/* The checks that need all keys: names, addresses, paths inside others. */
int	conf_check(const struct conf *conf, char *errmsg);

/*
 * Writes a file that conf_read() reads back to the same values, keys at
 * their default left out: temporary name, fsync, rename, fsync(directory).
 */
int	conf_write(const struct conf *conf, const char *path, char *errmsg);

/* Prints every key with its value and help, for `failoverd -T`. */
void	conf_print(const struct conf *conf, void *stdio_file);

/* The path to use: option, $FAILOVERD_CONFIG, compiled-in default. */
const char *conf_default_path(const char *option);

/* [a-z][a-z0-9-]{0,30} */
bool	conf_is_name(const char *name);

/*
 * "host:port", "[v6]:port", "host" (then default_port) -> host, port.
 * 0, or -1 with errmsg.
 */
int	conf_split_address(const char *address, const char *default_port,
	    char *host, size_t host_size, char *port, size_t port_size,
	    char *errmsg);

#endif
