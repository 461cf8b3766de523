/*
 * hostkey.c - decides whether the key a host shows is known for that host.
 *
 * Must never take a host for known because a line could not be understood:
 * such a line counts as absent.
 */
#include "hostkey.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

/* What libssh2 1.10 can verify, best first; never RSA (SHA-1 only). */
static const char *const usable_types[] = {
	"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384",
	"ecdsa-sha2-nistp521"
};

#define USABLE_COUNT	(sizeof(usable_types) / sizeof(usable_types[0]))

void
hostkey_list_init(struct hostkey_list *list, const char *host, int port)
{
	memset(list, 0, sizeof(*list));
	snprintf(list->host, sizeof(list->host), "%s", host);
	list->port = port;
}

int
hostkey_decode_base64(const char *text, size_t len, unsigned char *out,
    size_t size)
{
	uint32_t bits = 0;
	int have = 0;
	size_t n = 0;

	while (len > 0 && text[len - 1] == '=')
		len--;
	for (size_t i = 0; i < len; i++) {
		static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		    "abcdefghijklmnopqrstuvwxyz0123456789+/";
		const char *digit = memchr(digits, text[i], 64);

		if (digit == NULL)
			return -1;
		bits = (bits << 6) | (uint32_t)(digit - digits);
		have += 6;
		if (have >= 8) {
			have -= 8;
			if (n >= size)
				return -1;
			out[n++] = (unsigned char)(bits >> have);
			bits &= (1u << have) - 1;
		}
	}
	/* A lone digit, or bits that no encoder leaves behind. */
	return have == 6 || bits != 0 ? -1 : (int)n;
}

/* The name a line must hold: "host", or "[host]:port" off port 22. */
static int
name_in_file(const char *host, int port, char *name, size_t size)
{
	int n;

	if (port == 22)
		n = snprintf(name, size, "%s", host);
	else
		n = snprintf(name, size, "[%s]:%d", host, port);
	if (n < 0 || (size_t)n >= size)
		return -1;
	for (char *p = name; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	return 0;
}

/* "*" and "?" only, as ssh has them; no brackets, no backslash. */
static bool
pattern_matches(const char *pattern, size_t len, const char *name)
{
	const char *end = pattern + len, *star = NULL, *retry = name;

	while (*name != '\0') {
		if (pattern < end && *pattern == '*') {
			star = pattern++;
			retry = name;
		} else if (pattern < end && (*pattern == '?' ||
		    tolower((unsigned char)*pattern) == *name)) {
			pattern++;
			name++;
		} else if (star != NULL) {
			pattern = star + 1;
			name = ++retry;
		} else {
			return false;
		}
	}
	while (pattern < end && *pattern == '*')
		pattern++;
	return pattern == end;
}

/* |1|salt|hash: 1 it is this host, 0 it is not, -1 malformed. */
static int
hashed_matches(const char *field, size_t len, const char *name)
{
	unsigned char salt[64], hash[64], want[EVP_MAX_MD_SIZE];
	const char *bar;
	unsigned want_len = 0;
	int salt_len, hash_len;

	if (len < 3 || strncmp(field, "|1|", 3) != 0)
		return -1;
	field += 3;
	len -= 3;
	bar = memchr(field, '|', len);
	if (bar == NULL)
		return -1;
	salt_len = hostkey_decode_base64(field, (size_t)(bar - field), salt,
	    sizeof(salt));
	hash_len = hostkey_decode_base64(bar + 1,
	    len - (size_t)(bar + 1 - field), hash, sizeof(hash));
	if (salt_len <= 0 || hash_len != SHA_DIGEST_LENGTH)
		return -1;
	if (HMAC(EVP_sha1(), salt, salt_len, (const unsigned char *)name,
	    strlen(name), want, &want_len) == NULL ||
	    want_len != SHA_DIGEST_LENGTH)
		return -1;
	return CRYPTO_memcmp(hash, want, want_len) == 0;
}

/* A comma-separated list in which one "!pattern" that fits ends it all. */
static int
names_match(const char *field, size_t len, const char *name)
{
	const char *end = field + len;
	bool found = false;

	if (len > 0 && field[0] == '|')
		return hashed_matches(field, len, name);
	while (field < end) {
		const char *comma = memchr(field, ',', (size_t)(end - field));
		const char *stop = comma != NULL ? comma : end;
		bool negated = *field == '!';

		if (negated)
			field++;
		if (field < stop &&
		    pattern_matches(field, (size_t)(stop - field), name)) {
			if (negated)
				return 0;
			found = true;
		}
		field = stop + 1;
	}
	return found;
}

static const char *
next_field(const char **cursor, size_t *len)
{
	const char *start = *cursor + strspn(*cursor, " \t");

	*len = strcspn(start, " \t\r\n");
	*cursor = start + *len;
	return start;
}

void
hostkey_type(const unsigned char *blob, size_t len,
    char type[HOSTKEY_TYPE_MAX])
{
	size_t n;

	type[0] = '\0';
	if (len < 4)
		return;
	n = (size_t)blob[0] << 24 | (size_t)blob[1] << 16 |
	    (size_t)blob[2] << 8 | blob[3];
	if (n > len - 4 || n >= HOSTKEY_TYPE_MAX)
		return;
	for (size_t i = 0; i < n; i++) {
		if (!isgraph(blob[4 + i]))
			return;
	}
	memcpy(type, blob + 4, n);
	type[n] = '\0';
}

enum hostkey_line
hostkey_parse_line(const char *line, const char *host, int port,
    struct hostkey_entry *entry)
{
	char name[ADDRESS_MAX_LEN + 16];
	const char *names, *type, *key;
	size_t names_len, type_len, key_len;
	bool revoked = false;
	int matches, blob_len;

	names = next_field(&line, &names_len);
	if (names_len == 0 || names[0] == '#')
		return HOSTKEY_LINE_OTHER;
	if (names[0] == '@') {
		if (names_len == 15 &&
		    strncmp(names, "@cert-authority", 15) == 0)
			return HOSTKEY_LINE_OTHER;
		if (names_len != 8 || strncmp(names, "@revoked", 8) != 0)
			return HOSTKEY_LINE_MALFORMED;
		revoked = true;
		names = next_field(&line, &names_len);
	}
	type = next_field(&line, &type_len);
	key = next_field(&line, &key_len);
	if (key_len == 0 || name_in_file(host, port, name, sizeof(name)) != 0)
		return HOSTKEY_LINE_MALFORMED;
	matches = names_match(names, names_len, name);
	if (matches < 0)
		return HOSTKEY_LINE_MALFORMED;
	if (matches == 0)
		return HOSTKEY_LINE_OTHER;
	memset(entry, 0, sizeof(*entry));
	entry->revoked = revoked;
	blob_len = hostkey_decode_base64(key, key_len, entry->blob,
	    sizeof(entry->blob));
	if (blob_len <= 0)
		return HOSTKEY_LINE_MALFORMED;
	entry->blob_len = (size_t)blob_len;
	hostkey_type(entry->blob, entry->blob_len, entry->type);
	if (strlen(entry->type) != type_len ||
	    strncmp(entry->type, type, type_len) != 0)
		return HOSTKEY_LINE_MALFORMED;
	return HOSTKEY_LINE_MATCH;
}

enum hostkey_line
hostkey_list_add(struct hostkey_list *list, const char *line,
    const char *file, unsigned number)
{
	struct hostkey_entry entry;
	enum hostkey_line verdict;

	verdict = hostkey_parse_line(line, list->host, list->port, &entry);
	if (verdict != HOSTKEY_LINE_MATCH)
		return verdict;
	if (list->count == HOSTKEY_ENTRIES_MAX) {
		list->overflow = true;
		return verdict;
	}
	snprintf(entry.file, sizeof(entry.file), "%s", file);
	entry.line = number;
	list->entries[list->count++] = entry;
	return verdict;
}

int
hostkey_list_read(struct hostkey_list *list, const char *path, char *errmsg)
{
	char line[HOSTKEY_LINE_MAX];
	unsigned number = 0;
	bool continued = false;
	FILE *file = fopen(path, "re");
	int rc = 0;

	if (file == NULL) {
		if (errno == ENOENT || errno == ENOTDIR)
			return 0;
		snprintf(errmsg, ERRMSG_MAX, "could not open file \"%s\": %s",
		    path, strerror(errno));
		return -1;
	}
	while (fgets(line, sizeof(line), file) != NULL) {
		bool whole = strchr(line, '\n') != NULL || feof(file);

		/* The rest of a line too long for us is no line of its own. */
		if (!continued) {
			number++;
			if (whole)
				hostkey_list_add(list, line, path, number);
		}
		continued = !whole;
	}
	if (ferror(file)) {
		snprintf(errmsg, ERRMSG_MAX, "could not read file \"%s\": %s",
		    path, strerror(errno));
		rc = -1;
	} else if (list->overflow) {
		snprintf(errmsg, ERRMSG_MAX, "more than %d lines of \"%s\" "
		    "name host \"%s\"", HOSTKEY_ENTRIES_MAX, path,
		    list->host);
		rc = -1;
	}
	fclose(file);
	return rc;
}

static bool
is_key(const struct hostkey_entry *entry, const unsigned char *blob,
    size_t len)
{
	return entry->blob_len == len && memcmp(entry->blob, blob, len) == 0;
}

enum hostkey_verdict
hostkey_judge(const struct hostkey_list *list, const unsigned char *blob,
    size_t len, const struct hostkey_entry **which)
{
	enum hostkey_verdict verdict = HOSTKEY_UNKNOWN;
	char type[HOSTKEY_TYPE_MAX];

	*which = NULL;
	hostkey_type(blob, len, type);
	for (size_t i = 0; i < list->count; i++) {
		const struct hostkey_entry *entry = &list->entries[i];
		enum hostkey_verdict says;

		if (entry->revoked) {
			if (!is_key(entry, blob, len))
				continue;
			*which = entry;
			return HOSTKEY_REVOKED;
		}
		if (is_key(entry, blob, len))
			says = HOSTKEY_KNOWN;
		else if (strcmp(entry->type, type) == 0)
			says = HOSTKEY_CHANGED;
		else
			says = HOSTKEY_OTHER_TYPE;
		if (verdict == HOSTKEY_KNOWN ||
		    (verdict == HOSTKEY_CHANGED && says != HOSTKEY_KNOWN))
			continue;
		verdict = says;
		*which = entry;
	}
	return verdict;
}

static bool
holds_type(const struct hostkey_list *list, const char *type)
{
	for (size_t i = 0; i < list->count; i++) {
		if (!list->entries[i].revoked &&
		    strcmp(list->entries[i].type, type) == 0)
			return true;
	}
	return false;
}

int
hostkey_algorithms(const struct hostkey_list *list,
    const char *const *without, size_t without_count,
    char text[HOSTKEY_ALGORITHMS_MAX])
{
	size_t len = 0;

	text[0] = '\0';
	for (int held = 1; held >= 0; held--) {
		for (size_t i = 0; i < USABLE_COUNT; i++) {
			bool skip = holds_type(list, usable_types[i]) !=
			    (held == 1);

			for (size_t k = 0; k < without_count && !skip; k++)
				skip = strcmp(usable_types[i],
				    without[k]) == 0;
			if (skip)
				continue;
			len += (size_t)snprintf(text + len,
			    HOSTKEY_ALGORITHMS_MAX - len, "%s%s",
			    len == 0 ? "" : ",", usable_types[i]);
		}
	}
	return len == 0 ? -1 : 0;
}

bool
hostkey_only_rsa(const struct hostkey_list *list)
{
	bool any = false;

	for (size_t i = 0; i < list->count; i++) {
		if (list->entries[i].revoked)
			continue;
		any = true;
		for (size_t k = 0; k < USABLE_COUNT; k++) {
			if (strcmp(list->entries[i].type,
			    usable_types[k]) == 0)
				return false;
		}
	}
	return any;
}

void
hostkey_fingerprint(const unsigned char *blob, size_t len,
    char text[HOSTKEY_FINGERPRINT_MAX])
{
	unsigned char hash[SHA256_DIGEST_LENGTH];
	size_t n;

	SHA256(blob, len, hash);
	memcpy(text, "SHA256:", 7);
	n = (size_t)EVP_EncodeBlock((unsigned char *)text + 7, hash,
	    (int)sizeof(hash));
	while (n > 0 && text[7 + n - 1] == '=')
		n--;
	text[7 + n] = '\0';
}

/* The digits of a fingerprint; 0 when it is one of another kind (MD5). */
static size_t
fingerprint_digits(const char **text)
{
	size_t len;

	if (strncasecmp(*text, "SHA256:", 7) == 0)
		*text += 7;
	len = strlen(*text);
	while (len > 0 && (*text)[len - 1] == '=')
		len--;
	return len == 43 ? len : 0;
}

bool
hostkey_fingerprint_equal(const char *a, const char *b)
{
	size_t a_len = fingerprint_digits(&a), b_len = fingerprint_digits(&b);

	return a_len != 0 && a_len == b_len && memcmp(a, b, a_len) == 0;
}

int
hostkey_format_line(const char *host, int port, const unsigned char *blob,
    size_t len, char *text, size_t size)
{
	char name[ADDRESS_MAX_LEN + 16], type[HOSTKEY_TYPE_MAX];
	char key[(HOSTKEY_BLOB_MAX + 2) / 3 * 4 + 1];
	int n;

	text[0] = '\0';
	hostkey_type(blob, len, type);
	if (type[0] == '\0' || len > HOSTKEY_BLOB_MAX ||
	    name_in_file(host, port, name, sizeof(name)) != 0)
		return -1;
	EVP_EncodeBlock((unsigned char *)key, blob, (int)len);
	n = snprintf(text, size, "%s %s %s", name, type, key);
	return n < 0 || (size_t)n >= size ? -1 : 0;
}
