/*
 * tls.h - the cluster's small PKI and its TLS contexts (OpenSSL 3).
 *
 * STATE_DIR/tls holds ca.crt, node.crt, node.key; STATE_DIR/secrets of
 * voters holds ca.key as well.  All keys are Ed25519.  A node is known by
 * the name in its certificate (one DNS subjectAltName, equal to the CN) and
 * by the SHA-256 of its public key (SubjectPublicKeyInfo), which the
 * cluster pins.
 */
#ifndef FAILOVERD_TLS_H
#define FAILOVERD_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "limits.h"

#define PEM_MAX		8192	/* any one PEM text, with the NUL */
#define KEY_HASH_LEN	32

struct ssl_ctx_st;
struct ssl_st;

/* Files are written 0600 by temporary name, fsync, rename; never over an
 * existing one.  All functions: 0, or -1 with errmsg. */

/* A new CA for a cluster: key and self-signed certificate, 10 years. */
int	tls_make_ca(const char *cluster, const char *key_file,
	    const char *cert_file, char *errmsg);

/* A new private key in key_file; csr gets a signing request for node. */
int	tls_make_request(const char *node, const char *key_file,
	    char csr[PEM_MAX], char *errmsg);

/*
 * Signs a request with the CA.  The request's name must be `node`; the
 * certificate gets only that name, 2 years.  key_hash gets the SHA-256 to
 * pin.
 */
int	tls_sign_request(const char *ca_key_file, const char *ca_cert_file,
	    const char *node, const char *csr, char cert[PEM_MAX],
	    uint8_t key_hash[KEY_HASH_LEN], char *errmsg);

/* The hash of the public key in a certificate file. */
int	tls_key_hash(const char *cert_file, uint8_t key_hash[KEY_HASH_LEN],
	    char *errmsg);

/*
 * A context for both directions: TLS 1.3 only, own certificate and key, the
 * CA as only trust anchor, the peer's certificate required.  Checks that the
 * key fits, that the certificate's name is `node`, and that the CA signed it.
 * The caller frees it with SSL_CTX_free().
 */
struct ssl_ctx_st *tls_context(const char *ca_file, const char *cert_file,
	    const char *key_file, const char *node, char *errmsg);

/*
 * The verify callback of that context accepts certificates that are expired
 * or not yet valid and remembers it: a cluster must not fall apart because of
 * a date.  Whoever lets a peer in asks here first.
 */
bool	tls_peer_expired(const struct ssl_st *ssl);

/* When a certificate file is valid, seconds since 1970. */
int	tls_validity(const char *cert_file, int64_t *not_before,
	    int64_t *not_after, char *errmsg);

/*
 * Why the last call on ssl failed, in words for a DBA; empties OpenSSL's
 * error queue.
 */
void	tls_explain(const struct ssl_st *ssl, char *errmsg);

/* After the handshake: who is it?  0, or -1 when it has no single name. */
int	tls_peer_identity(struct ssl_st *ssl, char name[NAME_MAX_LEN + 1],
	    uint8_t key_hash[KEY_HASH_LEN], char *errmsg);

/* "ab12..." */
void	tls_hash_format(const uint8_t key_hash[KEY_HASH_LEN],
	    char text[2 * KEY_HASH_LEN + 1]);

/* A 32-byte random secret as 43 characters of base64url and a NUL. */
int	tls_random_secret(char text[44], char *errmsg);

#endif
