/*
 * A throw-away authority and servers' certificates for tests of TLS.
 */

#ifndef TESTS_PKI_H
#define TESTS_PKI_H

#include <openssl/ssl.h>
#include <stdint.h>

struct pki;

/* With a fresh key and root; ends the program on failure. */
struct pki *pki_new(void);
void pki_free(struct pki *);
/* The root as PEM text. */
const char *pki_root(const struct pki *);

/* What a server shows. */
struct pki_leaf {
	const char *names;  /* dNSNames, comma-separated; NULL: no SAN */
	const char *common; /* CN, or NULL */
	int days;           /* left; negative: expired since */
	int no_tls13;
	int own;     /* signed by itself */
	int seconds; /* left, instead of days, if positive */
};

/* A server's context; free with SSL_CTX_free(). */
SSL_CTX *pki_server(const struct pki *, const struct pki_leaf *);
/* SHA-256 of the leaf's public key (TLSA selector 1). */
void pki_spki(SSL_CTX *, uint8_t digest[32]);
/* SHA-256 of the root's public key. */
void pki_root_spki(const struct pki *, uint8_t digest[32]);

#endif
