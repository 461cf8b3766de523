/*
 * argument.h - "KEY=VALUE" lists and addresses on the command line.
 */
#ifndef FAILOVERCTL_ARGUMENT_H
#define FAILOVERCTL_ARGUMENT_H

#include <jansson.h>

#include "conf.h"
#include "options.h"

#define PORT_AGENT	"7432"
#define PORT_POSTGRES	"5432"

/* Copies the part before "=" into key; returns the value. */
const char *argument_split(const char *text, char *key, size_t size);

/* The list as an object {KEY: VALUE}, or NULL with errmsg. */
json_t	*argument_object(const struct settings *settings, char *errmsg);

/*
 * HOST[:PORT] as "host:port" ("[v6]:port") into out.  0, or -1 with errmsg,
 * which asks for brackets where an IPv6 address has none.
 */
int	argument_address(const char *text, const char *default_port,
	    char out[ADDRESS_MAX_LEN + 1], char *errmsg);

/* The same, host and port apart. */
int	argument_host_port(const char *text, const char *default_port,
	    char *host, size_t host_size, char *port, size_t port_size,
	    char *errmsg);

#endif
