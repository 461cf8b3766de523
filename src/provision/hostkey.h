/*
 * hostkey.h - which SSH host keys are known for one host.
 *
 * Reads known_hosts lines as sshd(8) "SSH_KNOWN_HOSTS FILE FORMAT" has them:
 * plain names with "*", "?" and "!", hashed names (|1|salt|hash), [host]:port,
 * @revoked, @cert-authority.  Works on text only; opens the files it is told
 * to and nothing else.
 */
#ifndef FAILOVERD_PROVISION_HOSTKEY_H
#define FAILOVERD_PROVISION_HOSTKEY_H

#include <stdbool.h>
#include <stddef.h>

#include "limits.h"

#define HOSTKEY_BLOB_MAX	2048	/* a public key as SSH sends it */
#define HOSTKEY_TYPE_MAX	64	/* "ecdsa-sha2-nistp521" */
#define HOSTKEY_ENTRIES_MAX	64	/* lines that name one host */
#define HOSTKEY_LINE_MAX	8192
#define HOSTKEY_FINGERPRINT_MAX	64	/* "SHA256:" and 43 characters */
#define HOSTKEY_ALGORITHMS_MAX	160

/* One line that names the host asked for. */
struct hostkey_entry {
	bool revoked;
	char type[HOSTKEY_TYPE_MAX];
	size_t blob_len;
	unsigned char blob[HOSTKEY_BLOB_MAX];
	char file[256];		/* where it stands, for messages */
	unsigned line;
};

struct hostkey_list {
	char host[ADDRESS_MAX_LEN + 1];
	int port;
	size_t count;
	bool overflow;		/* more lines than fit: judge nothing by it */
	struct hostkey_entry entries[HOSTKEY_ENTRIES_MAX];
};

enum hostkey_line {
	HOSTKEY_LINE_OTHER,	/* comment, empty, another host, a CA */
	HOSTKEY_LINE_MATCH,
	HOSTKEY_LINE_MALFORMED	/* skipped: one such line spoils no other */
};

enum hostkey_verdict {
	HOSTKEY_KNOWN,
	HOSTKEY_UNKNOWN,	/* no line names this host */
	HOSTKEY_OTHER_TYPE,	/* lines name it, none with this type */
	HOSTKEY_CHANGED,	/* a line of this type holds another key */
	HOSTKEY_REVOKED
};

void	hostkey_list_init(struct hostkey_list *list, const char *host,
	    int port);

/*
 * One line, with or without its newline.  entry is filled on
 * HOSTKEY_LINE_MATCH, except file and line.
 */
enum hostkey_line hostkey_parse_line(const char *line, const char *host,
	    int port, struct hostkey_entry *entry);

/* Adds a line to the list when it names the host; file and number for
 * messages.  The verdict of hostkey_parse_line(). */
enum hostkey_line hostkey_list_add(struct hostkey_list *list,
	    const char *line, const char *file, unsigned number);

/*
 * A file that is not there adds nothing.  -1 with errmsg when it cannot be
 * read, or when more than HOSTKEY_ENTRIES_MAX lines name the host: a revoked
 * one may be among the rest.
 */
int	hostkey_list_read(struct hostkey_list *list, const char *path,
	    char *errmsg);

/*
 * The key the host showed against the list.  *which is the line that decided,
 * NULL when none did.  A revoked line beats all others.
 */
enum hostkey_verdict hostkey_judge(const struct hostkey_list *list,
	    const unsigned char *blob, size_t len,
	    const struct hostkey_entry **which);

/*
 * The host key algorithms to ask for, best first, as libssh2 wants them:
 * those the list holds for the host before the others, so that a host known
 * only by its ECDSA key is asked for that one.  RSA is never in it.  `without`
 * (may be NULL) is one to leave out.  -1 when none is left.
 */
int	hostkey_algorithms(const struct hostkey_list *list,
	    const char *const *without, size_t without_count,
	    char text[HOSTKEY_ALGORITHMS_MAX]);

/* True when every line for the host holds an RSA (or DSA) key. */
bool	hostkey_only_rsa(const struct hostkey_list *list);

/* base64 of any length, padded or not; the decoded length, or -1. */
int	hostkey_decode_base64(const char *text, size_t len,
	    unsigned char *out, size_t size);

/* "ssh-ed25519" out of a key blob; "" when it is none. */
void	hostkey_type(const unsigned char *blob, size_t len,
	    char type[HOSTKEY_TYPE_MAX]);

/* "SHA256:" and unpadded base64, as ssh-keygen -l prints it. */
void	hostkey_fingerprint(const unsigned char *blob, size_t len,
	    char text[HOSTKEY_FINGERPRINT_MAX]);

/* Equal fingerprints; a forgotten "SHA256:" and padding are forgiven. */
bool	hostkey_fingerprint_equal(const char *a, const char *b);

/* The known_hosts line for this host and key; -1 when size is too small. */
int	hostkey_format_line(const char *host, int port,
	    const unsigned char *blob, size_t len, char *text, size_t size);

#endif
