/*
 * A CA bundle as OpenSSL's trust store, each certificate parsed when a chain
 * first leads to it: of some 140 a process meets a few, and the rest would
 * cost every process a megabyte and 40 ms at its start.
 */

#ifndef SMTPD_BASE_TLS_TRUST_H
#define SMTPD_BASE_TLS_TRUST_H

#include <openssl/x509.h>
#include <stddef.h>

/*
 * The store of the certificates in "pem", text of PEM blocks; what is none is
 * passed over.
 *
 * roots    set to how many there are
 * returns  to free with X509_STORE_free(); NULL: no memory
 */
X509_STORE *tls_trust_new(const char *pem, size_t len, size_t *roots);

#endif
