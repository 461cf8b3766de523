/*
 * argument.c - "KEY=VALUE" lists and addresses on the command line.
 */
#include "argument.h"

#include <stdio.h>
#include <string.h>

const char *
argument_split(const char *text, char *key, size_t size)
{
	size_t len = strcspn(text, "=");

	snprintf(key, size, "%.*s", (int)len, text);
	return text[len] == '=' ? text + len + 1 : "";
}

json_t *
argument_object(const struct settings *settings, char *errmsg)
{
	json_t *object = json_object();
	char key[128];
	const char *value;
	unsigned i;

	for (i = 0; i < settings->count; i++) {
		value = argument_split(settings->text[i], key, sizeof(key));
		if (json_object_get(object, key) != NULL) {
			snprintf(errmsg, ERRMSG_MAX, "\"%s\" is given twice",
			    key);
			json_decref(object);
			return NULL;
		}
		if (json_object_set_new(object, key,
		    json_string(value)) == -1) {
			snprintf(errmsg, ERRMSG_MAX, "\"%s\" is not UTF-8",
			    key);
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

int
argument_host_port(const char *text, const char *default_port, char *host,
    size_t host_size, char *port, size_t port_size, char *errmsg)
{
	const char *colon = strchr(text, ':');

	if (text[0] != '[' && colon != NULL && strchr(colon + 1, ':') !=
	    NULL) {
		snprintf(errmsg, ERRMSG_MAX, "\"%.200s\" is ambiguous, write "
		    "an IPv6 address in brackets: [%.200s]", text, text);
		return -1;
	}
	return conf_split_address(text, default_port, host, host_size, port,
	    port_size, errmsg);
}

int
argument_address(const char *text, const char *default_port,
    char out[ADDRESS_MAX_LEN + 1], char *errmsg)
{
	char host[ADDRESS_MAX_LEN + 1], port[16];
	int len;

	out[0] = '\0';
	if (argument_host_port(text, default_port, host, sizeof(host), port,
	    sizeof(port), errmsg) == -1)
		return -1;
	len = snprintf(out, ADDRESS_MAX_LEN + 1, strchr(host, ':') != NULL ?
	    "[%s]:%s" : "%s:%s", host, port);
	if (len > ADDRESS_MAX_LEN) {
		snprintf(errmsg, ERRMSG_MAX, "address \"%.200s...\" is too "
		    "long", text);
		return -1;
	}
	return 0;
}
