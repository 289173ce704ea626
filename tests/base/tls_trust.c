#include "smtpd/base/tls_trust.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/pki.h"
#include "tests/t.h"

static const struct pki_leaf good = { .names = "mx.test", .days = 9 };
static const struct pki_leaf own = { .names = "mx.test", .days = 9, .own = 1 };

/* What OpenSSL finds out about a server's certificate. */
static int
verify(X509_STORE *store, SSL_CTX *server)
{
	X509_STORE_CTX *c = X509_STORE_CTX_new();
	int error;

	X509_STORE_CTX_init(c, store, SSL_CTX_get0_certificate(server), NULL);
	X509_verify_cert(c);
	error = X509_STORE_CTX_get_error(c);
	X509_STORE_CTX_free(c);
	return error;
}

static int
parsed(X509_STORE *store)
{
	return sk_X509_OBJECT_num(X509_STORE_get0_objects(store));
}

static X509_STORE *
bundle(const char *one, const char *two, size_t *roots)
{
	char text[16384];

	snprintf(text, sizeof(text),
	    "a comment\n%s-----BEGIN CERTIFICATE-----\nAAAA\n"
	    "-----END CERTIFICATE-----\n-----BEGIN X509 CRL-----\nAAAA\n"
	    "-----END X509 CRL-----\n%s",
	    one, two);
	return tls_trust_new(text, strlen(text), roots);
}

static void
test_chains(void)
{
	struct pki *first = pki_new(), *second = pki_new(), *third = pki_new();
	SSL_CTX *one = pki_server(first, &good);
	SSL_CTX *three = pki_server(third, &good);
	X509_STORE *store;
	size_t roots;

	t_case("trust: a certificate is parsed when a chain leads to its name");
	store = bundle(pki_root(first), pki_root(second), &roots);
	t_int(roots, 2);
	t_int(parsed(store), 0);
	t_int(verify(store, one), X509_V_OK);
	t_int(parsed(store), 2); /* they share it */
	t_int(verify(store, one), X509_V_OK);
	t_int(parsed(store), 2);

	t_case("trust: a root of that name that is not among them is not");
	t_true(verify(store, three) != X509_V_OK);
	X509_STORE_free(store);

	t_case("trust: a bundle that nobody asked is freed whole");
	store = bundle(pki_root(first), "", &roots);
	t_int(roots, 1);
	X509_STORE_free(store);
	SSL_CTX_free(one);
	SSL_CTX_free(three);
	pki_free(first);
	pki_free(second);
	pki_free(third);
}

/* The certificate of a server as PEM, cut to "most" bytes of DER (0: whole). */
static char *
as_pem(SSL_CTX *server, long most)
{
	unsigned char *der = NULL;
	long len = i2d_X509(SSL_CTX_get0_certificate(server), &der);
	BIO *bio = BIO_new(BIO_s_mem());
	char *mem, *text;
	long size;

	PEM_write_bio(bio, "CERTIFICATE", "", der,
	    most == 0 || most > len ? len : most);
	size = BIO_get_mem_data(bio, &mem);
	text = strndup(mem, (size_t)size);
	BIO_free(bio);
	OPENSSL_free(der);
	return text;
}

static void
test_odd(void)
{
	struct pki *pki = pki_new();
	SSL_CTX *server = pki_server(pki, &own);
	X509_STORE *store;
	char *text = as_pem(server, 0);
	long most, len = i2d_X509(SSL_CTX_get0_certificate(server), NULL);
	size_t roots;

	t_case("trust: a host's own certificate may be named itself");
	store = bundle(text, "", &roots);
	t_int(verify(store, server), X509_V_OK);
	X509_STORE_free(store);
	free(text);

	t_case("trust: one that is cut off is never trusted");
	for (most = 1; most < len; most++) {
		text = as_pem(server, most);
		store = tls_trust_new(text, strlen(text), &roots);
		if (most < 20)
			t_int(roots, 0);
		t_true(verify(store, server) != X509_V_OK);
		X509_STORE_free(store);
		free(text);
	}
	t_int(ERR_peek_error(), 0);
	SSL_CTX_free(server);
	pki_free(pki);
}

int
main(void)
{
	test_chains();
	test_odd();
	return t_done();
}
