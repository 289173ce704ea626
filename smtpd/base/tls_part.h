/*
 * Inside TLS: what tls.c (contexts and streams) and tls_session.c (sessions
 * to resume) share. Nobody else includes this.
 */

#ifndef SMTPD_BASE_TLS_PART_H
#define SMTPD_BASE_TLS_PART_H

#include <openssl/ssl.h>

#include "smtpd/base/tls.h"

struct tls_ctx {
	SSL_CTX *ssl_ctx;
	X509_STORE *store; /* the context's */
	unsigned refs;
};

struct tls {
	SSL *ssl;
	struct tls_ctx *ctx;
	SSL_SESSION *session; /* the newest that the peer gave */
	char *name;
	bool dane;
	bool wants_write;
	char why[256];
	struct tls_facts facts;
};

/*
 * In DER and without the certificate: that is not needed to resume, and to
 * parse it would take longer than the rest of a resumed handshake.
 */
struct tls_session {
	uint8_t *der;
	int der_len;
	struct tls_ctx *ctx;
	char *name;
	struct tls_facts facts;
};

/*
 * Offer to resume "s" (NULL: nothing), unless it was made for another name,
 * trust store or use of DANE; then the facts of its full handshake are the
 * stream's. False: OpenSSL refuses.
 */
bool tls_session_offer(struct tls *, const struct tls_session *s);

#endif
