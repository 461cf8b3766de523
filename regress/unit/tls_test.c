/*
 * tls_test.c - the PKI and its handshakes, two TLS ends in memory.
 */
#include "tls.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"

#define DAY (24L * 60 * 60)

static char dir[] = "/tmp/tls_test.XXXXXX";

/* Paths by name; a few live at once. */
static const char *
at(const char *name)
{
	static char paths[8][160];
	static int next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static void
must(bool good, const char *what, const char *errmsg)
{
	if (!good) {
		printf("Bail out! %s: %s\n", what, errmsg);
		exit(1);
	}
}

static void
save(const char *name, const char *text, mode_t mode)
{
	FILE *f = fopen(at(name), "w");

	must(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0 &&
	    chmod(at(name), mode) == 0, "save", name);
}

static X509 *
load(const char *name)
{
	FILE *f = fopen(at(name), "r");
	X509 *cert = f == NULL ? NULL : PEM_read_X509(f, NULL, NULL, NULL);

	must(cert != NULL, "load", name);
	fclose(f);
	return cert;
}

static EVP_PKEY *
load_key(const char *name)
{
	FILE *f = fopen(at(name), "r");
	EVP_PKEY *key = f == NULL ? NULL :
	    PEM_read_PrivateKey(f, NULL, NULL, NULL);

	must(key != NULL, "load", name);
	fclose(f);
	return key;
}

static void
make_node(const char *ca, const char *node, const char *as)
{
	char csr[PEM_MAX], cert[PEM_MAX], errmsg[ERRMSG_MAX] = "";
	char key_file[64], cert_file[64], ca_key[64], ca_cert[64];
	uint8_t hash[KEY_HASH_LEN];

	snprintf(key_file, sizeof(key_file), "%s.key", as);
	snprintf(cert_file, sizeof(cert_file), "%s.crt", as);
	snprintf(ca_key, sizeof(ca_key), "%s.key", ca);
	snprintf(ca_cert, sizeof(ca_cert), "%s.crt", ca);
	must(tls_make_request(node, at(key_file), csr, errmsg) == 0 &&
	    tls_sign_request(at(ca_key), at(ca_cert), node, csr, cert, hash,
	    errmsg) == 0, "make_node", errmsg);
	save(cert_file, cert, 0600);
}

/*
 * A certificate as nobody should have it, for the key of node n1: other
 * names, other dates, other purposes, but the right CA.
 */
static void
make_odd(const char *as, const char *cn, const char *san, const char *usage,
    long from, long until)
{
	EVP_PKEY *ca_key = load_key("ca.key"), *key = load_key("n1.key");
	X509 *ca = load("ca.crt"), *cert = X509_new();
	X509_NAME *name = X509_NAME_new();
	X509V3_CTX ctx;
	X509_EXTENSION *extension;
	FILE *f;

	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	    (const unsigned char *)cn, -1, -1, 0);
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 77);
	X509_set_subject_name(cert, name);
	X509_set_issuer_name(cert, X509_get_subject_name(ca));
	X509_gmtime_adj(X509_getm_notBefore(cert), from);
	X509_gmtime_adj(X509_getm_notAfter(cert), until);
	X509_set_pubkey(cert, key);
	X509V3_set_ctx(&ctx, ca, cert, NULL, NULL, 0);
	if (san != NULL) {
		extension = X509V3_EXT_conf_nid(NULL, &ctx,
		    NID_subject_alt_name, san);
		X509_add_ext(cert, extension, -1);
		X509_EXTENSION_free(extension);
	}
	extension = X509V3_EXT_conf_nid(NULL, &ctx, NID_ext_key_usage, usage);
	X509_add_ext(cert, extension, -1);
	X509_EXTENSION_free(extension);
	must(X509_sign(cert, ca_key, NULL) != 0, "make_odd", as);
	f = fopen(at(as), "w");
	must(f != NULL && PEM_write_X509(f, cert) == 1, "make_odd", as);
	fclose(f);
	X509_NAME_free(name);
	X509_free(cert);
	X509_free(ca);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
}

#define BOTH "serverAuth,clientAuth"

static void
test_ca(void)
{
	char errmsg[ERRMSG_MAX] = "";
	struct stat st;
	X509 *ca;
	EVP_PKEY *key;
	time_t now = time(NULL);
	int64_t from, until;

	is_int(tls_make_ca("sales", at("ca.key"), at("ca.crt"), errmsg), 0,
	    "make a CA");
	ok(stat(at("ca.key"), &st) == 0 && (st.st_mode & 07777) == 0600,
	    "key has mode 0600");
	ok(stat(at("ca.crt"), &st) == 0 && (st.st_mode & 07777) == 0600,
	    "certificate has mode 0600");
	ca = load("ca.crt");
	key = load_key("ca.key");
	is_int(EVP_PKEY_get_id(key), EVP_PKEY_ED25519, "Ed25519");
	is_int(X509_check_ca(ca), 1, "is a CA");
	is_int(X509_get_pathlen(ca), 0, "of nodes only");
	is_int(X509_get_key_usage(ca), KU_KEY_CERT_SIGN | KU_CRL_SIGN,
	    "key usage");
	ok(X509_verify(ca, key) == 1, "signed by itself");
	ok(tls_validity(at("ca.crt"), &from, &until, errmsg) == 0 &&
	    from < now && from > now - 2 * DAY, "valid since yesterday");
	ok(until > now + 3650 * DAY && until < now + 3660 * DAY,
	    "for ten years");
	X509_free(ca);
	EVP_PKEY_free(key);

	ok(tls_make_ca("sales", at("ca.key"), at("ca.crt"), errmsg) == -1 &&
	    strstr(errmsg, "File exists") != NULL, "never a second time");
	ok(tls_make_ca("sales", at("ca.key"), at("new.crt"), errmsg) == -1 &&
	    access(at("new.crt"), F_OK) != 0, "and no half of one");
	is_int(tls_make_ca("Sales!", at("x.key"), at("x.crt"), errmsg), -1,
	    "not for a name that is none");
}

static void
test_sign(void)
{
	char csr[PEM_MAX], cert_text[PEM_MAX], errmsg[ERRMSG_MAX] = "";
	uint8_t hash[KEY_HASH_LEN], again[KEY_HASH_LEN];
	X509 *cert, *ca;
	EVP_PKEY *ca_key;
	struct stat st;
	time_t now = time(NULL);
	int64_t from, until;

	is_int(tls_make_request("n1", at("n1.key"), csr, errmsg), 0,
	    "make a request");
	ok(stat(at("n1.key"), &st) == 0 && (st.st_mode & 07777) == 0600,
	    "key has mode 0600");
	ok(strstr(csr, "PRIVATE") == NULL, "no private key in it");
	is_int(tls_sign_request(at("ca.key"), at("ca.crt"), "n1", csr,
	    cert_text, hash, errmsg), 0, "sign it");
	save("n1.crt", cert_text, 0600);
	cert = load("n1.crt");
	ca = load("ca.crt");
	ca_key = load_key("ca.key");
	ok(X509_verify(cert, ca_key) == 1, "signed by the CA");
	is_int(X509_check_ca(cert), 0, "is no CA");
	is_int(X509_get_key_usage(cert), KU_DIGITAL_SIGNATURE, "key usage");
	is_int(X509_get_extended_key_usage(cert), XKU_SSL_SERVER |
	    XKU_SSL_CLIENT, "extended key usage");
	is_int(X509_check_host(cert, "n1", 0, 0, NULL), 1, "name in SAN");
	is_int(X509_check_issued(ca, cert), X509_V_OK, "issuer fits");
	ok(tls_validity(at("n1.crt"), &from, &until, errmsg) == 0 &&
	    from < now - DAY + 60 && until > now + 729 * DAY &&
	    until < now + 731 * DAY, "two years from yesterday");
	is_int(tls_key_hash(at("n1.crt"), again, errmsg), 0, "hash of file");
	ok(memcmp(hash, again, sizeof(hash)) == 0, "is the one to pin");
	X509_free(cert);
	X509_free(ca);
	EVP_PKEY_free(ca_key);

	ok(tls_sign_request(at("ca.key"), at("ca.crt"), "n2", csr, cert_text,
	    hash, errmsg) == -1 && strstr(errmsg, "\"n1\"") != NULL &&
	    cert_text[0] == '\0', "not under another name");
	is_int(tls_make_request("n1", at("n1.key"), csr, errmsg), -1,
	    "an existing key stays");
	is_int(tls_make_request("N 1", at("x.key"), csr, errmsg), -1,
	    "no request for a name that is none");
	ok(access(at("x.key"), F_OK) != 0, "and no key");
}

static void
refuse_request(const char *name, const char *csr, const char *want)
{
	char cert[PEM_MAX], errmsg[ERRMSG_MAX] = "";
	uint8_t hash[KEY_HASH_LEN];

	if (!ok(tls_sign_request(at("ca.key"), at("ca.crt"), "n9", csr, cert,
	    hash, errmsg) == -1 && strstr(errmsg, want) != NULL &&
	    cert[0] == '\0', "request refused: %s", name))
		printf("# %s\n", errmsg);
}

/* A request with any key for any subject; sign_key may be another. */
static void
odd_request(char *csr, EVP_PKEY *key, EVP_PKEY *sign_key, const EVP_MD *md,
    const char *cn, const char *second)
{
	X509_REQ *request = X509_REQ_new();
	X509_NAME *name = X509_NAME_new();
	BIO *bio = BIO_new(BIO_s_mem());
	int n;

	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	    (const unsigned char *)cn, -1, -1, 0);
	if (second != NULL)
		X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
		    (const unsigned char *)second, -1, -1, 0);
	X509_REQ_set_subject_name(request, name);
	X509_REQ_set_pubkey(request, key);
	X509_REQ_sign(request, sign_key, md);
	PEM_write_bio_X509_REQ(bio, request);
	n = BIO_read(bio, csr, PEM_MAX - 1);
	csr[n > 0 ? n : 0] = '\0';
	BIO_free(bio);
	X509_NAME_free(name);
	X509_REQ_free(request);
}

static void
test_bad_requests(void)
{
	EVP_PKEY *one = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	EVP_PKEY *two = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	char csr[PEM_MAX], cert[PEM_MAX], errmsg[ERRMSG_MAX] = "";
	uint8_t hash[KEY_HASH_LEN];

	refuse_request("empty", "", "is not one");
	refuse_request("garbage", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"
	    "-----END CERTIFICATE REQUEST-----\n", "is not one");
	odd_request(csr, one, two, NULL, "n9", NULL);
	refuse_request("signed by another key", csr, "with its own key");
	odd_request(csr, ec, ec, EVP_sha256(), "n9", NULL);
	refuse_request("not Ed25519", csr, "no Ed25519 key");
	odd_request(csr, one, one, NULL, "n9", "n1");
	refuse_request("two names", csr, "not for \"n9\"");
	odd_request(csr, one, one, NULL, "N9", NULL);
	refuse_request("upper case", csr, "not for \"n9\"");
	odd_request(csr, one, one, NULL, "n9", NULL);
	is_int(tls_sign_request(at("ca.key"), at("ca.crt"), "n9", csr, cert,
	    hash, errmsg), 0, "the right one passes");
	is_int(tls_sign_request(at("n1.key"), at("ca.crt"), "n9", csr, cert,
	    hash, errmsg), -1, "not with a key that is not the CA's");
	EVP_PKEY_free(one);
	EVP_PKEY_free(two);
	EVP_PKEY_free(ec);
}

static void
context_fails(const char *name, const char *ca, const char *cert,
    const char *key, const char *node, const char *want)
{
	char errmsg[ERRMSG_MAX] = "";
	SSL_CTX *ctx = tls_context(at(ca), at(cert), at(key), node, errmsg);

	if (!ok(ctx == NULL && strstr(errmsg, want) != NULL,
	    "no context: %s", name))
		printf("# %s\n", errmsg);
	SSL_CTX_free(ctx);
}

static void
test_context(void)
{
	char errmsg[ERRMSG_MAX] = "";
	SSL_CTX *ctx = tls_context(at("ca.crt"), at("n1.crt"), at("n1.key"),
	    "n1", errmsg);

	ok(ctx != NULL, "context");
	SSL_CTX_free(ctx);
	context_fails("another name", "ca.crt", "n1.crt", "n1.key", "n2",
	    "is that of node \"n1\", but this node is \"n2\"");
	context_fails("another key", "ca.crt", "n1.crt", "n2.key", "n1",
	    "is not that of the certificate");
	context_fails("another CA", "foreign.crt", "n1.crt", "n1.key", "n1",
	    "was not issued by the CA in");
	context_fails("no such file", "ca.crt", "none.crt", "n1.key", "n1",
	    "No such file");
	context_fails("no certificate", "ca.crt", "n1.key", "n1.key", "n1",
	    "holds no certificate");
	context_fails("a directory", "", "n1.crt", "n1.key", "n1",
	    "is not a file");
	chmod(at("n1.key"), 0640);
	context_fails("key that others read", "ca.crt", "n1.crt", "n1.key",
	    "n1", "chmod 0600");
	chmod(at("n1.key"), 0600);
	make_odd("old.crt", "n1", "DNS:n1", BOTH, -9 * DAY, -DAY);
	ctx = tls_context(at("ca.crt"), at("old.crt"), at("n1.key"), "n1",
	    errmsg);
	ok(ctx != NULL, "an expired certificate of our own still starts");
	SSL_CTX_free(ctx);
}

struct ends {
	SSL *client, *server;
	bool client_done, server_done;
	char client_error[ERRMSG_MAX], server_error[ERRMSG_MAX];
};

static void
push(SSL *ssl, bool *done, char *error)
{
	int rc;
	char byte;

	if (error[0] != '\0')
		return;
	ERR_clear_error();
	/* After the handshake a client still has to read what is wrong. */
	rc = *done ? SSL_read(ssl, &byte, 1) : SSL_do_handshake(ssl);
	if (rc == 1)
		*done = true;
	else if (SSL_get_error(ssl, rc) != SSL_ERROR_WANT_READ)
		tls_explain(ssl, error);
}

static struct ends
handshake(SSL_CTX *client_ctx, SSL_CTX *server_ctx)
{
	struct ends e;
	BIO *a, *b;

	memset(&e, 0, sizeof(e));
	e.client = SSL_new(client_ctx);
	e.server = SSL_new(server_ctx);
	must(BIO_new_bio_pair(&a, 0, &b, 0) == 1, "handshake", "bio pair");
	SSL_set_bio(e.client, a, a);
	SSL_set_bio(e.server, b, b);
	SSL_set_connect_state(e.client);
	SSL_set_accept_state(e.server);
	for (int i = 0; i < 10; i++) {
		push(e.client, &e.client_done, e.client_error);
		push(e.server, &e.server_done, e.server_error);
	}
	return e;
}

static void
ends_free(struct ends *e)
{
	SSL_free(e->client);
	SSL_free(e->server);
}

static SSL_CTX *
context_of(const char *ca, const char *cert, const char *key, const char *node)
{
	char errmsg[ERRMSG_MAX] = "";
	SSL_CTX *ctx = tls_context(at(ca), at(cert), at(key), node, errmsg);

	must(ctx != NULL, "context", errmsg);
	return ctx;
}

/* Client side without our checks, to show what the server does alone. */
static SSL_CTX *
raw_context(const char *cert, const char *key, int version)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());

	SSL_CTX_set_max_proto_version(ctx, version);
	if (cert != NULL)
		must(SSL_CTX_use_certificate_file(ctx, at(cert),
		    SSL_FILETYPE_PEM) == 1 && SSL_CTX_use_PrivateKey_file(ctx,
		    at(key), SSL_FILETYPE_PEM) == 1, "raw", cert);
	return ctx;
}

static void
test_handshake(void)
{
	SSL_CTX *one = context_of("ca.crt", "n1.crt", "n1.key", "n1");
	SSL_CTX *two = context_of("ca.crt", "n2.crt", "n2.key", "n2");
	struct ends e = handshake(one, two);
	char name[NAME_MAX_LEN + 1], errmsg[ERRMSG_MAX] = "";
	uint8_t hash[KEY_HASH_LEN], want[KEY_HASH_LEN];

	ok(e.client_done && e.server_done, "both ends are done");
	is_text(SSL_get_version(e.client), "TLSv1.3", "TLS 1.3");
	is_int(tls_peer_identity(e.server, name, hash, errmsg), 0,
	    "the server knows the client");
	is_text(name, "n1", "by name");
	tls_key_hash(at("n1.crt"), want, errmsg);
	ok(memcmp(hash, want, sizeof(hash)) == 0, "and by key");
	is_int(tls_peer_identity(e.client, name, hash, errmsg), 0,
	    "the client knows the server");
	is_text(name, "n2", "by name");
	ok(!tls_peer_expired(e.client) && !tls_peer_expired(e.server),
	    "nothing has expired");
	ok(!SSL_session_reused(e.client) &&
	    !SSL_SESSION_is_resumable(SSL_get_session(e.client)),
	    "no session to resume");
	ends_free(&e);
	SSL_CTX_free(one);
	SSL_CTX_free(two);
}

static void
client_fails(const char *name, SSL_CTX *client, const char *server_says)
{
	SSL_CTX *server = context_of("ca.crt", "n2.crt", "n2.key", "n2");
	struct ends e = handshake(client, server);

	if (!ok(!e.server_done && strstr(e.server_error, server_says) != NULL,
	    "client refused: %s", name))
		printf("# server: %s\n# client: %s\n", e.server_error,
		    e.client_error);
	ok(e.client_error[0] != '\0', "and the client learns it");
	ends_free(&e);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
}

static void
test_refused(void)
{
	SSL_CTX *one, *two;
	struct ends e;

	client_fails("CA of the same name, other key",
	    raw_context("f1.crt", "f1.key", TLS1_3_VERSION),
	    "was not issued by the CA of this cluster");
	client_fails("no certificate", raw_context(NULL, NULL,
	    TLS1_3_VERSION), "it sent no certificate");
	client_fails("TLS 1.2", raw_context("n1.crt", "n1.key",
	    TLS1_2_VERSION), "it does not speak TLS 1.3");
	make_odd("server.crt", "n1", "DNS:n1", "serverAuth", -DAY, DAY);
	client_fails("certificate for servers only",
	    raw_context("server.crt", "n1.key", TLS1_3_VERSION),
	    "not one for both");

	one = context_of("ca.crt", "n1.crt", "n1.key", "n1");
	two = context_of("foreign.crt", "f1.crt", "f1.key", "n1");
	e = handshake(one, two);
	ok(!e.client_done && strstr(e.client_error, "was not issued by the CA "
	    "of this cluster") != NULL, "server of a foreign CA refused");
	ok(strstr(e.client_error, "CN=failoverd CA sales") != NULL,
	    "with the issuer's name");
	ok(strstr(e.server_error, "does not accept our certificate") != NULL,
	    "and the server learns it");
	ends_free(&e);
	SSL_CTX_free(one);
	SSL_CTX_free(two);
}

static void
test_dates(void)
{
	SSL_CTX *two = context_of("ca.crt", "n2.crt", "n2.key", "n2"), *one;
	char name[NAME_MAX_LEN + 1], errmsg[ERRMSG_MAX] = "";
	uint8_t hash[KEY_HASH_LEN];
	struct ends e;

	one = context_of("ca.crt", "old.crt", "n1.key", "n1");
	e = handshake(one, two);
	ok(e.client_done && e.server_done, "an expired certificate passes");
	ok(tls_peer_expired(e.server) && !tls_peer_expired(e.client),
	    "and is noted on the side that saw it");
	ok(tls_peer_identity(e.server, name, hash, errmsg) == 0 &&
	    strcmp(name, "n1") == 0, "with its identity");
	ends_free(&e);
	SSL_CTX_free(one);

	make_odd("new.crt", "n1", "DNS:n1", BOTH, DAY, 9 * DAY);
	one = context_of("ca.crt", "new.crt", "n1.key", "n1");
	e = handshake(two, one);
	ok(e.client_done && e.server_done && tls_peer_expired(e.client),
	    "so is one that is not valid yet");
	ends_free(&e);
	SSL_CTX_free(one);
	SSL_CTX_free(two);

	make_odd("oldserver.crt", "n1", "DNS:n1", "serverAuth", -9 * DAY,
	    -DAY);
	client_fails("expired and wrong otherwise", raw_context(
	    "oldserver.crt", "n1.key", TLS1_3_VERSION), "not one for both");
}

static void
identity_fails(const char *name, const char *cn, const char *san)
{
	SSL_CTX *two = context_of("ca.crt", "n2.crt", "n2.key", "n2"), *one;
	char node[NAME_MAX_LEN + 1], errmsg[ERRMSG_MAX] = "";
	uint8_t hash[KEY_HASH_LEN];
	struct ends e;

	make_odd("odd.crt", cn, san, BOTH, -DAY, DAY);
	one = raw_context("odd.crt", "n1.key", TLS1_3_VERSION);
	e = handshake(one, two);
	ok(e.server_done && tls_peer_identity(e.server, node, hash,
	    errmsg) == -1 && node[0] == '\0', "no identity: %s", name);
	ends_free(&e);
	SSL_CTX_free(one);
	SSL_CTX_free(two);
}

static void
test_identity(void)
{
	identity_fails("no subjectAltName", "n1", NULL);
	identity_fails("two names", "n1", "DNS:n1,DNS:n3");
	identity_fails("names that differ", "n1", "DNS:n3");
	identity_fails("an address", "n1", "IP:10.0.0.1");
	identity_fails("a wildcard", "*", "DNS:*");
	identity_fails("upper case", "N1", "DNS:N1");
}

static void
test_text(void)
{
	char a[44], b[44], errmsg[ERRMSG_MAX], text[2 * KEY_HASH_LEN + 1];
	uint8_t hash[KEY_HASH_LEN];

	ok(tls_random_secret(a, errmsg) == 0 && tls_random_secret(b,
	    errmsg) == 0, "random secrets");
	is_int(strlen(a), 43, "43 characters");
	is_int(strspn(a, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	    "0123456789-_"), 43, "of base64url");
	ok(strcmp(a, b) != 0, "two differ");
	for (int i = 0; i < KEY_HASH_LEN; i++)
		hash[i] = (uint8_t)(i * 9);
	tls_hash_format(hash, text);
	is_text(text, "0009121b242d363f48515a636c757e879099a2abb4bdc6cfd8e1ea"
	    "f3fc050e17", "hash in hex");
}

int
main(void)
{
	static const char *const names[] = { "ca.key", "ca.crt", "n1.key",
		"n1.crt", "n2.key", "n2.crt", "foreign.key", "foreign.crt",
		"f1.key", "f1.crt", "old.crt", "new.crt", "odd.crt",
		"server.crt", "oldserver.crt" };
	char errmsg[ERRMSG_MAX] = "";

	must(mkdtemp(dir) != NULL, "mkdtemp", dir);
	test_ca();
	test_sign();
	make_node("ca", "n2", "n2");
	must(tls_make_ca("sales", at("foreign.key"), at("foreign.crt"),
	    errmsg) == 0, "foreign CA", errmsg);
	make_node("foreign", "n1", "f1");
	test_bad_requests();
	test_context();
	test_handshake();
	test_refused();
	test_dates();
	test_identity();
	test_text();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(at(names[i]));
	is_int(rmdir(dir), 0, "no temporary file is left");
	return done_testing();
}
