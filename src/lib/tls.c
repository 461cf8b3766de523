/*
 * tls.c - the cluster's small PKI and its TLS contexts.
 *
 * Decides what a certificate of ours looks like and which peers a handshake
 * lets through.  Must never write over a key, never let a private key leave
 * its file, never ask a terminal for a passphrase, and never judge by a date
 * alone: see verify().
 */
#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "conf.h"

#define DAY		(24L * 60 * 60)
#define CA_LIFE		(3653 * DAY)	/* ten years */
#define NODE_LIFE	(730 * DAY)	/* two years */
#define CLOCK_SKEW	DAY		/* notBefore stands this far back */
#define CHAIN_MAX	8		/* certificates in one file */
#define FILE_MAX	(CHAIN_MAX * PEM_MAX)

/* What verify() saw; hangs on the SSL. */
struct note {
	bool expired;
	char subject[TEXT_MAX_LEN + 1];
	char issuer[TEXT_MAX_LEN + 1];
};

__attribute__((format(printf, 2, 3)))
static int
fail(char *errmsg, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(errmsg, ERRMSG_MAX, format, ap);
	va_end(ap);
	return -1;
}

/* OpenSSL's reason for what just failed; empties its queue. */
static const char *
reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return text != NULL ? text : "unknown reason";
}

static int
no_passphrase(char *text, int size, int writing, void *arg)
{
	(void)text;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

/*
 * Files
 */

/* NULL with errmsg; the caller frees it with OPENSSL_clear_free(size + 1). */
static char *
read_whole(const char *path, size_t *size, bool secret, char *errmsg)
{
	struct stat st;
	char *text = NULL;
	size_t len = 0;
	ssize_t n = 0;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) != 0) {
		fail(errmsg, "could not open file \"%s\": %s", path,
		    strerror(errno));
		goto failed;
	}
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > FILE_MAX) {
		fail(errmsg, "\"%s\" is not a file of 1 to %d bytes", path,
		    FILE_MAX);
		goto failed;
	}
	if (secret && (st.st_mode & 077) != 0) {
		fail(errmsg, "private key file \"%s\" has group or world "
		    "access; run \"chmod 0600 %s\"", path, path);
		goto failed;
	}
	*size = (size_t)st.st_size;
	text = OPENSSL_zalloc(*size + 1);
	while (text != NULL && len < *size &&
	    ((n = read(fd, text + len, *size - len)) > 0 ||
	    (n < 0 && errno == EINTR)))
		len += n > 0 ? (size_t)n : 0;
	if (text == NULL || len != *size) {
		fail(errmsg, "could not read file \"%s\": %s", path,
		    n < 0 ? strerror(errno) : "it is shorter than it was");
		goto failed;
	}
	close(fd);
	return text;
failed:
	OPENSSL_clear_free(text, text == NULL ? 0 : *size + 1);
	if (fd >= 0)
		close(fd);
	return NULL;
}

static BIO *
read_bio(const char *path, bool secret, char *errmsg)
{
	size_t size = 0;
	char *text = read_whole(path, &size, secret, errmsg);
	BIO *bio;

	if (text == NULL)
		return NULL;
	bio = BIO_new(BIO_s_secmem());
	if (bio == NULL || BIO_write(bio, text, (int)size) != (int)size) {
		fail(errmsg, "could not read file \"%s\": %s", path, reason());
		BIO_free(bio);
		bio = NULL;
	}
	OPENSSL_clear_free(text, size + 1);
	return bio;
}

static int
sync_parent(const char *path, char *errmsg)
{
	char dir[CONF_PATH_MAX + 1];
	char *slash;
	int fd, rc;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash == NULL)
		snprintf(dir, sizeof(dir), ".");
	else
		slash[slash == dir ? 1 : 0] = '\0';
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = fd < 0 ? -1 : fsync(fd);
	if (rc != 0)
		fail(errmsg, "could not fsync directory \"%s\": %s", dir,
		    strerror(errno));
	if (fd >= 0)
		close(fd);
	return rc;
}

static int
write_all(int fd, const char *data, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* link(2), not rename(2): what exists already must stay. */
static int
write_new(const char *path, BIO *content, char *errmsg)
{
	char temporary[CONF_PATH_MAX + 16], *data;
	long len = BIO_get_mem_data(content, &data);
	int fd, rc = -1;

	if (strlen(path) > CONF_PATH_MAX)
		return fail(errmsg, "path \"%.200s...\" is too long", path);
	snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
	fd = mkostemp(temporary, O_CLOEXEC);	/* mode 0600 */
	if (fd < 0)
		return fail(errmsg, "could not create file \"%s\": %s",
		    temporary, strerror(errno));
	if (write_all(fd, data, (size_t)len) != 0 || fsync(fd) != 0)
		fail(errmsg, "could not write file \"%s\": %s", temporary,
		    strerror(errno));
	else if (link(temporary, path) != 0)
		fail(errmsg, "could not create file \"%s\": %s", path,
		    strerror(errno));
	else
		rc = 0;
	close(fd);
	unlink(temporary);
	return rc == 0 ? sync_parent(path, errmsg) : -1;
}

static int
write_key(const char *path, EVP_PKEY *key, char *errmsg)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	int rc;

	if (bio == NULL || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL,
	    0, NULL, NULL) != 1)
		rc = fail(errmsg, "could not write a private key: %s",
		    reason());
	else
		rc = write_new(path, bio, errmsg);
	BIO_free(bio);
	return rc;
}

static EVP_PKEY *
read_key(const char *path, char *errmsg)
{
	BIO *bio = read_bio(path, true, errmsg);
	EVP_PKEY *key;

	if (bio == NULL)
		return NULL;
	key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	if (key == NULL)
		fail(errmsg, "file \"%s\" holds no private key without a "
		    "passphrase: %s", path, reason());
	BIO_free(bio);
	return key;
}

/* The first certificate of a file. */
static X509 *
read_certificate(const char *path, char *errmsg)
{
	BIO *bio = read_bio(path, false, errmsg);
	X509 *cert;

	if (bio == NULL)
		return NULL;
	cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
	if (cert == NULL)
		fail(errmsg, "file \"%s\" holds no certificate: %s", path,
		    reason());
	BIO_free(bio);
	return cert;
}

/* Text of a BIO into a PEM_MAX buffer. */
static int
take_pem(BIO *bio, char text[PEM_MAX], char *errmsg)
{
	char *data;
	long len = BIO_get_mem_data(bio, &data);

	if (len <= 0 || len >= PEM_MAX)
		return fail(errmsg, "a PEM text of %ld bytes does not fit",
		    len);
	memcpy(text, data, (size_t)len);
	text[len] = '\0';
	return 0;
}

/*
 * Certificates
 */

static bool
add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *extension;
	int rc = 0;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (extension != NULL)
		rc = X509_add_ext(cert, extension, -1);
	X509_EXTENSION_free(extension);
	return rc == 1;
}

/* Random, positive, below 128 bits: nobody has to count certificates. */
static bool
set_serial(X509 *cert)
{
	unsigned char bytes[16];
	BIGNUM *number;
	bool done;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return false;
	bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40);
	number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	done = number != NULL &&
	    BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
	BN_free(number);
	return done;
}

static X509_NAME *
make_name(const char *text)
{
	X509_NAME *name = X509_NAME_new();

	if (name == NULL || X509_NAME_add_entry_by_txt(name, "CN",
	    MBSTRING_ASC, (const unsigned char *)text, -1, -1, 0) != 1) {
		X509_NAME_free(name);
		return NULL;
	}
	return name;
}

/* Everything but the extensions and the signature. */
static X509 *
make_certificate(const char *subject, const X509_NAME *issuer, EVP_PKEY *key,
    long life)
{
	X509_NAME *name = make_name(subject);
	X509 *cert = X509_new();

	if (name == NULL || cert == NULL ||
	    X509_set_version(cert, X509_VERSION_3) != 1 ||
	    !set_serial(cert) ||
	    X509_set_subject_name(cert, name) != 1 ||
	    X509_set_issuer_name(cert, issuer != NULL ? issuer : name) != 1 ||
	    X509_gmtime_adj(X509_getm_notBefore(cert), -CLOCK_SKEW) == NULL ||
	    X509_gmtime_adj(X509_getm_notAfter(cert), life) == NULL ||
	    X509_set_pubkey(cert, key) != 1) {
		X509_free(cert);
		cert = NULL;
	}
	X509_NAME_free(name);
	return cert;
}

int
tls_make_ca(const char *cluster, const char *key_file, const char *cert_file,
    char *errmsg)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	BIO *bio = BIO_new(BIO_s_mem());
	char subject[64];
	X509 *cert = NULL;
	int rc = -1;

	if (!conf_is_name(cluster)) {
		fail(errmsg, "\"%s\" is not a name of a cluster", cluster);
		goto out;
	}
	snprintf(subject, sizeof(subject), "failoverd CA %s", cluster);
	if (key != NULL)
		cert = make_certificate(subject, NULL, key, CA_LIFE);
	if (bio == NULL || cert == NULL ||
	    !add_extension(cert, cert, NID_basic_constraints,
	    "critical,CA:TRUE,pathlen:0") ||
	    !add_extension(cert, cert, NID_key_usage,
	    "critical,keyCertSign,cRLSign") ||
	    !add_extension(cert, cert, NID_subject_key_identifier, "hash") ||
	    X509_sign(cert, key, NULL) == 0 ||
	    PEM_write_bio_X509(bio, cert) != 1) {
		fail(errmsg, "could not make the certificate of the CA: %s",
		    reason());
		goto out;
	}
	/* The key last: who finds it finds its certificate too. */
	if (write_new(cert_file, bio, errmsg) != 0)
		goto out;
	if (write_key(key_file, key, errmsg) != 0) {
		unlink(cert_file);
		goto out;
	}
	rc = 0;
out:
	X509_free(cert);
	EVP_PKEY_free(key);
	BIO_free(bio);
	return rc;
}

int
tls_make_request(const char *node, const char *key_file, char csr[PEM_MAX],
    char *errmsg)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	BIO *bio = BIO_new(BIO_s_mem());
	X509_NAME *name = make_name(node);
	X509_REQ *request = X509_REQ_new();
	int rc = -1;

	csr[0] = '\0';
	if (!conf_is_name(node))
		fail(errmsg, "\"%s\" is not a name of a node", node);
	else if (key == NULL || bio == NULL || name == NULL ||
	    request == NULL ||
	    X509_REQ_set_version(request, X509_REQ_VERSION_1) != 1 ||
	    X509_REQ_set_subject_name(request, name) != 1 ||
	    X509_REQ_set_pubkey(request, key) != 1 ||
	    X509_REQ_sign(request, key, NULL) == 0 ||
	    PEM_write_bio_X509_REQ(bio, request) != 1)
		fail(errmsg, "could not make a signing request: %s", reason());
	else if (take_pem(bio, csr, errmsg) == 0)
		rc = write_key(key_file, key, errmsg);
	if (rc != 0)
		csr[0] = '\0';
	X509_REQ_free(request);
	X509_NAME_free(name);
	EVP_PKEY_free(key);
	BIO_free(bio);
	return rc;
}

/* The one common name of a subject; -1 if it has none, two or a strange one. */
static int
common_name(const X509_NAME *subject, char name[NAME_MAX_LEN + 1])
{
	const ASN1_STRING *text;
	int at, len;

	name[0] = '\0';
	if (X509_NAME_entry_count(subject) != 1)
		return -1;
	at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (at < 0)
		return -1;
	text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
	len = ASN1_STRING_length(text);
	if (len <= 0 || len > NAME_MAX_LEN)
		return -1;
	memcpy(name, ASN1_STRING_get0_data(text), (size_t)len);
	name[len] = '\0';
	if (strlen(name) != (size_t)len || !conf_is_name(name)) {
		name[0] = '\0';
		return -1;
	}
	return 0;
}

static int
hash_of_key(X509 *cert, uint8_t key_hash[KEY_HASH_LEN], char *errmsg)
{
	unsigned char *der = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
	int rc = 0;

	memset(key_hash, 0, KEY_HASH_LEN);
	if (len <= 0 || EVP_Digest(der, (size_t)len, key_hash, NULL,
	    EVP_sha256(), NULL) != 1)
		rc = fail(errmsg, "could not hash a public key: %s", reason());
	OPENSSL_free(der);
	return rc;
}

/* Only what we ask for ourselves: an Ed25519 key that signed for this name. */
static X509_REQ *
read_request(const char *csr, const char *node, char *errmsg)
{
	BIO *bio = BIO_new_mem_buf(csr, -1);
	X509_REQ *request = NULL;
	char name[NAME_MAX_LEN + 1];
	EVP_PKEY *key;

	if (bio != NULL)
		request = PEM_read_bio_X509_REQ(bio, NULL, no_passphrase,
		    NULL);
	BIO_free(bio);
	if (request == NULL) {
		fail(errmsg, "the signing request of node \"%s\" is not one: "
		    "%s", node, reason());
		return NULL;
	}
	key = X509_REQ_get0_pubkey(request);
	if (key == NULL || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519)
		fail(errmsg, "the signing request of node \"%s\" has no "
		    "Ed25519 key", node);
	else if (X509_REQ_verify(request, key) != 1)
		fail(errmsg, "the signing request of node \"%s\" was not "
		    "signed with its own key", node);
	else if (common_name(X509_REQ_get_subject_name(request), name) != 0 ||
	    strcmp(name, node) != 0)
		fail(errmsg, "the signing request is for node \"%s\", not for "
		    "\"%s\"", name, node);
	else
		return request;
	ERR_clear_error();
	X509_REQ_free(request);
	return NULL;
}

static bool
add_node_extensions(X509 *cert, X509 *ca, const char *node)
{
	char dns[NAME_MAX_LEN + 8];

	snprintf(dns, sizeof(dns), "DNS:%s", node);
	return add_extension(cert, ca, NID_basic_constraints,
	    "critical,CA:FALSE") &&
	    add_extension(cert, ca, NID_key_usage,
	    "critical,digitalSignature") &&
	    add_extension(cert, ca, NID_ext_key_usage,
	    "serverAuth,clientAuth") &&
	    add_extension(cert, ca, NID_subject_alt_name, dns) &&
	    add_extension(cert, ca, NID_subject_key_identifier, "hash") &&
	    add_extension(cert, ca, NID_authority_key_identifier,
	    "keyid:always");
}

int
tls_sign_request(const char *ca_key_file, const char *ca_cert_file,
    const char *node, const char *csr, char cert_text[PEM_MAX],
    uint8_t key_hash[KEY_HASH_LEN], char *errmsg)
{
	EVP_PKEY *ca_key = NULL;
	X509_REQ *request = NULL;
	X509 *ca = NULL, *cert = NULL;
	BIO *bio = BIO_new(BIO_s_mem());
	int rc = -1;

	cert_text[0] = '\0';
	memset(key_hash, 0, KEY_HASH_LEN);
	if (!conf_is_name(node)) {
		fail(errmsg, "\"%s\" is not a name of a node", node);
		goto out;
	}
	if ((ca_key = read_key(ca_key_file, errmsg)) == NULL ||
	    (ca = read_certificate(ca_cert_file, errmsg)) == NULL)
		goto out;
	if (X509_check_private_key(ca, ca_key) != 1) {
		fail(errmsg, "the key in \"%s\" is not that of the "
		    "certificate in \"%s\"", ca_key_file, ca_cert_file);
		goto out;
	}
	if ((request = read_request(csr, node, errmsg)) == NULL)
		goto out;
	cert = make_certificate(node, X509_get_subject_name(ca),
	    X509_REQ_get0_pubkey(request), NODE_LIFE);
	if (bio == NULL || cert == NULL ||
	    !add_node_extensions(cert, ca, node) ||
	    X509_sign(cert, ca_key, EVP_PKEY_get_id(ca_key) ==
	    EVP_PKEY_ED25519 ? NULL : EVP_sha256()) == 0 ||
	    PEM_write_bio_X509(bio, cert) != 1) {
		fail(errmsg, "could not sign the certificate of node \"%s\": "
		    "%s", node, reason());
		goto out;
	}
	if (hash_of_key(cert, key_hash, errmsg) != 0)
		goto out;
	rc = take_pem(bio, cert_text, errmsg);
out:
	ERR_clear_error();
	X509_free(cert);
	X509_free(ca);
	X509_REQ_free(request);
	EVP_PKEY_free(ca_key);
	BIO_free(bio);
	return rc;
}

int
tls_key_hash(const char *cert_file, uint8_t key_hash[KEY_HASH_LEN],
    char *errmsg)
{
	X509 *cert = read_certificate(cert_file, errmsg);
	int rc = -1;

	memset(key_hash, 0, KEY_HASH_LEN);
	if (cert != NULL)
		rc = hash_of_key(cert, key_hash, errmsg);
	X509_free(cert);
	return rc;
}

static int64_t
seconds_of(const ASN1_TIME *when)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(when, &tm) != 1)
		return 0;
	return (int64_t)timegm(&tm);
}

int
tls_validity(const char *cert_file, int64_t *not_before, int64_t *not_after,
    char *errmsg)
{
	X509 *cert = read_certificate(cert_file, errmsg);

	*not_before = *not_after = 0;
	if (cert == NULL)
		return -1;
	*not_before = seconds_of(X509_get0_notBefore(cert));
	*not_after = seconds_of(X509_get0_notAfter(cert));
	X509_free(cert);
	return 0;
}

/*
 * Handshakes
 */

static void
free_note(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long argl,
    void *argp)
{
	(void)parent;
	(void)data;
	(void)index;
	(void)argl;
	(void)argp;
	free(ptr);
}

static int
note_index(void)
{
	static int index = -1;

	if (index < 0)
		index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_note);
	return index;
}

static struct note *
get_note(SSL *ssl)
{
	struct note *note = SSL_get_ex_data(ssl, note_index());

	if (note == NULL) {
		note = calloc(1, sizeof(*note));
		if (note != NULL &&
		    SSL_set_ex_data(ssl, note_index(), note) != 1) {
			free(note);
			note = NULL;
		}
	}
	return note;
}

static bool
is_date_error(int error)
{
	return error == X509_V_ERR_CERT_HAS_EXPIRED ||
	    error == X509_V_ERR_CERT_NOT_YET_VALID;
}

/*
 * A date is noted and passed on, because peers that pinned each other's keys
 * need no date and a wrong clock must not end a cluster.  Everything else
 * that OpenSSL objects to ends the handshake.
 */
static int
verify(int good, X509_STORE_CTX *store_ctx)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store_ctx,
	    SSL_get_ex_data_X509_STORE_CTX_idx());
	X509 *cert = X509_STORE_CTX_get_current_cert(store_ctx);
	struct note *note;

	if (good)
		return 1;
	note = ssl == NULL ? NULL : get_note(ssl);
	if (note == NULL)
		return 0;
	if (is_date_error(X509_STORE_CTX_get_error(store_ctx))) {
		note->expired = true;
		X509_STORE_CTX_set_error(store_ctx, X509_V_OK);
		return 1;
	}
	if (cert != NULL) {
		X509_NAME_oneline(X509_get_subject_name(cert), note->subject,
		    sizeof(note->subject));
		X509_NAME_oneline(X509_get_issuer_name(cert), note->issuer,
		    sizeof(note->issuer));
	}
	return 0;
}

bool
tls_peer_expired(const SSL *ssl)
{
	const struct note *note = SSL_get_ex_data(ssl, note_index());

	return note != NULL && note->expired;
}

static void
explain_verify(const SSL *ssl, char *errmsg)
{
	const struct note *note = SSL_get_ex_data(ssl, note_index());
	long result = SSL_get_verify_result(ssl);
	const char *subject = note == NULL ? "" : note->subject;
	const char *issuer = note == NULL ? "" : note->issuer;

	switch (result) {
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		fail(errmsg, "its certificate (subject \"%.100s\", issuer "
		    "\"%.100s\") was not issued by the CA of this cluster",
		    subject, issuer);
		break;
	case X509_V_ERR_INVALID_PURPOSE:
		fail(errmsg, "its certificate (subject \"%.100s\") is not one "
		    "for both TLS client and TLS server", subject);
		break;
	default:
		fail(errmsg, "its certificate (subject \"%.100s\") was "
		    "refused: %s", subject,
		    X509_verify_cert_error_string(result));
	}
}

/* What OpenSSL says, and what it means to somebody who runs databases. */
static const struct {
	int reason;
	const char *text;
} meanings[] = {
	{ SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE,
	    "it sent no certificate" },
	{ SSL_R_UNSUPPORTED_PROTOCOL, "it does not speak TLS 1.3" },
	{ SSL_R_WRONG_VERSION_NUMBER, "it does not speak TLS" },
	{ SSL_R_HTTP_REQUEST, "it speaks HTTP, not TLS" },
	{ SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "it does not speak TLS 1.3" },
	{ SSL_R_TLSV1_ALERT_UNKNOWN_CA,
	    "it does not accept our certificate: it was not issued by the CA "
	    "of its cluster" },
	{ SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED,
	    "it got no certificate from us" },
	{ SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED,
	    "it does not accept our certificate: it has expired" },
	{ SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,
	    "it does not accept our certificate" },
	{ SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN,
	    "it does not accept our certificate" },
	{ SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE,
	    "it does not accept our certificate: wrong purpose" },
	{ SSL_R_TLSV1_ALERT_DECRYPT_ERROR,
	    "it does not accept our certificate: it was not issued by the CA "
	    "of its cluster" },
};

void
tls_explain(const SSL *ssl, char *errmsg)
{
	unsigned long error = ERR_peek_error();
	int code = ERR_GET_REASON(error);

	if (error == 0) {
		fail(errmsg, "the TLS connection ended early");
		return;
	}
	if (ERR_GET_LIB(error) == ERR_LIB_SSL &&
	    code == SSL_R_CERTIFICATE_VERIFY_FAILED) {
		explain_verify(ssl, errmsg);
		ERR_clear_error();
		return;
	}
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		if (ERR_GET_LIB(error) == ERR_LIB_SSL &&
		    meanings[i].reason == code) {
			fail(errmsg, "%s", meanings[i].text);
			ERR_clear_error();
			return;
		}
	}
	fail(errmsg, "TLS error: %s", reason());
}

/* The one name that CN and subjectAltName agree upon. */
static int
certificate_name(X509 *cert, char name[NAME_MAX_LEN + 1], char *errmsg)
{
	STACK_OF(GENERAL_NAME) *names =
	    X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	const GENERAL_NAME *only;
	int rc = -1;

	name[0] = '\0';
	if (names == NULL || sk_GENERAL_NAME_num(names) != 1 ||
	    (only = sk_GENERAL_NAME_value(names, 0))->type != GEN_DNS)
		fail(errmsg, "the certificate does not have exactly one name "
		    "(one DNS subjectAltName)");
	else if (common_name(X509_get_subject_name(cert), name) != 0)
		fail(errmsg, "the certificate's common name is not the name "
		    "of a node");
	else if ((size_t)ASN1_STRING_length(only->d.dNSName) !=
	    strlen(name) || memcmp(ASN1_STRING_get0_data(only->d.dNSName),
	    name, strlen(name)) != 0)
		fail(errmsg, "the certificate has two names: its common name "
		    "is \"%s\", its subjectAltName is another", name);
	else
		rc = 0;
	if (rc != 0)
		name[0] = '\0';
	GENERAL_NAMES_free(names);
	return rc;
}

int
tls_peer_identity(SSL *ssl, char name[NAME_MAX_LEN + 1],
    uint8_t key_hash[KEY_HASH_LEN], char *errmsg)
{
	X509 *cert = SSL_get1_peer_certificate(ssl);
	int rc = -1;

	name[0] = '\0';
	memset(key_hash, 0, KEY_HASH_LEN);
	if (cert == NULL || SSL_get_verify_result(ssl) != X509_V_OK)
		fail(errmsg, "it has no verified certificate");
	else if (certificate_name(cert, name, errmsg) == 0)
		rc = hash_of_key(cert, key_hash, errmsg);
	X509_free(cert);
	return rc;
}

/* Every certificate of ca_file becomes an anchor: two while a CA changes. */
static int
load_anchors(SSL_CTX *ctx, const char *ca_file, char *errmsg)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	BIO *bio = read_bio(ca_file, false, errmsg);
	int count = 0, rc = 0;
	X509 *ca;

	if (bio == NULL)
		return -1;
	while (rc == 0 && count < CHAIN_MAX && (ca = PEM_read_bio_X509(bio,
	    NULL, no_passphrase, NULL)) != NULL) {
		if (X509_STORE_add_cert(store, ca) != 1 ||
		    SSL_CTX_add_client_CA(ctx, ca) != 1)
			rc = fail(errmsg, "could not use the CA in \"%s\": %s",
			    ca_file, reason());
		X509_free(ca);
		count++;
	}
	if (count == 0)
		rc = fail(errmsg, "file \"%s\" holds no certificate: %s",
		    ca_file, reason());
	ERR_clear_error();
	BIO_free(bio);
	return rc;
}

/* Own certificate first, then what stands between it and the CA. */
static int
load_certificate(SSL_CTX *ctx, const char *cert_file, const char *node,
    char *errmsg)
{
	BIO *bio = read_bio(cert_file, false, errmsg);
	char name[NAME_MAX_LEN + 1], inner[ERRMSG_MAX];
	X509 *cert, *extra;
	int rc = -1;

	if (bio == NULL)
		return -1;
	cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
	if (cert == NULL)
		fail(errmsg, "file \"%s\" holds no certificate: %s", cert_file,
		    reason());
	else if (certificate_name(cert, name, inner) != 0)
		fail(errmsg, "file \"%s\": %s", cert_file, inner);
	else if (strcmp(name, node) != 0)
		fail(errmsg, "the certificate in \"%s\" is that of node "
		    "\"%s\", but this node is \"%s\"", cert_file, name, node);
	else if (SSL_CTX_use_certificate(ctx, cert) != 1)
		fail(errmsg, "could not use the certificate in \"%s\": %s",
		    cert_file, reason());
	else
		rc = 0;
	for (int i = 0; rc == 0 && i < CHAIN_MAX && (extra =
	    PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL; i++) {
		if (SSL_CTX_add0_chain_cert(ctx, extra) != 1) {
			X509_free(extra);
			rc = fail(errmsg, "could not use the chain in \"%s\": "
			    "%s", cert_file, reason());
		}
	}
	ERR_clear_error();
	X509_free(cert);
	BIO_free(bio);
	return rc;
}

/* Better to say it at start than to be refused by every peer. */
static int
check_own_chain(SSL_CTX *ctx, const char *ca_file, const char *cert_file,
    char *errmsg)
{
	X509_STORE_CTX *check = X509_STORE_CTX_new();
	STACK_OF(X509) *chain = NULL;
	int rc = 0;

	SSL_CTX_get0_chain_certs(ctx, &chain);
	if (check == NULL || X509_STORE_CTX_init(check,
	    SSL_CTX_get_cert_store(ctx), SSL_CTX_get0_certificate(ctx),
	    chain) != 1) {
		rc = fail(errmsg, "could not check the certificate in \"%s\": "
		    "%s", cert_file, reason());
	} else {
		X509_STORE_CTX_set_flags(check, X509_V_FLAG_NO_CHECK_TIME);
		if (X509_verify_cert(check) != 1)
			rc = fail(errmsg, "the certificate in \"%s\" was not "
			    "issued by the CA in \"%s\": %s", cert_file,
			    ca_file, X509_verify_cert_error_string(
			    X509_STORE_CTX_get_error(check)));
	}
	X509_STORE_CTX_free(check);
	ERR_clear_error();
	return rc;
}

/* No resumption: every link shows its certificate again. */
static bool
set_policy(SSL_CTX *ctx)
{
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER |
	    SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
	    SSL_OP_NO_RENEGOTIATION);
	/* The peer has the CA already; who does not shall not get it. */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS |
	    SSL_MODE_NO_AUTO_CHAIN);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	    SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	    SSL_CTX_set_num_tickets(ctx, 0) == 1;
}

SSL_CTX *
tls_context(const char *ca_file, const char *cert_file, const char *key_file,
    const char *node, char *errmsg)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	EVP_PKEY *key = NULL;
	int rc = -1;

	if (ctx == NULL || note_index() < 0 || !set_policy(ctx)) {
		fail(errmsg, "could not set up TLS: %s", reason());
		goto out;
	}
	if (load_anchors(ctx, ca_file, errmsg) != 0 ||
	    load_certificate(ctx, cert_file, node, errmsg) != 0 ||
	    (key = read_key(key_file, errmsg)) == NULL)
		goto out;
	if (SSL_CTX_use_PrivateKey(ctx, key) != 1 ||
	    SSL_CTX_check_private_key(ctx) != 1) {
		fail(errmsg, "the key in \"%s\" is not that of the "
		    "certificate in \"%s\"", key_file, cert_file);
		goto out;
	}
	rc = check_own_chain(ctx, ca_file, cert_file, errmsg);
out:
	ERR_clear_error();
	EVP_PKEY_free(key);
	if (rc != 0) {
		SSL_CTX_free(ctx);
		ctx = NULL;
	}
	return ctx;
}

void
tls_hash_format(const uint8_t key_hash[KEY_HASH_LEN],
    char text[2 * KEY_HASH_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < KEY_HASH_LEN; i++) {
		text[2 * i] = digits[key_hash[i] >> 4];
		text[2 * i + 1] = digits[key_hash[i] & 15];
	}
	text[2 * KEY_HASH_LEN] = '\0';
}

int
tls_random_secret(char text[44], char *errmsg)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned char bytes[33];

	text[0] = '\0';
	if (RAND_priv_bytes(bytes, 32) != 1)
		return fail(errmsg, "could not get random bytes: %s",
		    reason());
	bytes[32] = 0;
	for (int i = 0, o = 0; i < 33; i += 3) {
		unsigned bits = (unsigned)bytes[i] << 16 |
		    (unsigned)bytes[i + 1] << 8 | bytes[i + 2];

		for (int shift = 18; shift >= 0 && o < 43; shift -= 6)
			text[o++] = digits[bits >> shift & 63];
	}
	text[43] = '\0';
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return 0;
}
