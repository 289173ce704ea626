#include "tests/pki.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pki {
	EVP_PKEY *key;
	X509 *root;
	char *pem;
};

static void
must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "pki: %s\n", what);
	exit(1);
}

static void
add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	must(ext != NULL && X509_add_ext(cert, ext, -1) == 1, value);
	X509_EXTENSION_free(ext);
}

static X509 *
new_cert(EVP_PKEY *key, const char *common, int days)
{
	static long serial = 1;
	X509 *cert = X509_new();
	X509_NAME *name;

	must(cert != NULL, "certificate");
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(cert), -86400L * 400);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400L * days);
	X509_set_pubkey(cert, key);
	name = X509_get_subject_name(cert);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	    (const unsigned char *)common, -1, -1, 0);
	return cert;
}

struct pki *
pki_new(void)
{
	struct pki *pki = calloc(1, sizeof(*pki));
	char *mem;
	long len;
	BIO *bio;

	must(pki != NULL, "memory");
	pki->key = EVP_EC_gen("P-256");
	must(pki->key != NULL, "key");
	pki->root = new_cert(pki->key, "Throw-away Root", 30);
	X509_set_issuer_name(pki->root, X509_get_subject_name(pki->root));
	add_extension(pki->root, pki->root, NID_basic_constraints,
	    "critical,CA:TRUE");
	add_extension(pki->root, pki->root, NID_subject_key_identifier, "hash");
	must(X509_sign(pki->root, pki->key, EVP_sha256()) > 0, "sign");
	bio = BIO_new(BIO_s_mem());
	PEM_write_bio_X509(bio, pki->root);
	len = BIO_get_mem_data(bio, &mem);
	pki->pem = strndup(mem, (size_t)len);
	BIO_free(bio);
	return pki;
}

void
pki_free(struct pki *pki)
{
	EVP_PKEY_free(pki->key);
	X509_free(pki->root);
	free(pki->pem);
	free(pki);
}

const char *
pki_root(const struct pki *pki)
{
	return pki->pem;
}

static void
add_names(X509 *cert, X509 *issuer, const char *names)
{
	char value[600] = "", *copy = strdup(names), *rest = copy, *name;

	must(copy != NULL, "memory");
	while ((name = strsep(&rest, ",")) != NULL) {
		if (value[0] != '\0')
			strlcat(value, ",", sizeof(value));
		strlcat(value, "DNS:", sizeof(value));
		strlcat(value, name, sizeof(value));
	}
	add_extension(cert, issuer, NID_subject_alt_name, value);
	free(copy);
}

SSL_CTX *
pki_server(const struct pki *pki, const struct pki_leaf *leaf)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert, *issuer;

	must(ctx != NULL && key != NULL, "server");
	cert = new_cert(key, leaf->common != NULL ? leaf->common : "nobody",
	    leaf->days);
	if (leaf->seconds > 0)
		X509_gmtime_adj(X509_getm_notAfter(cert), leaf->seconds);
	issuer = leaf->own ? cert : pki->root;
	X509_set_issuer_name(cert, X509_get_subject_name(issuer));
	if (leaf->names != NULL)
		add_names(cert, issuer, leaf->names);
	must(X509_sign(cert, leaf->own ? key : pki->key, EVP_sha256()) > 0,
	    "sign");
	must(SSL_CTX_use_certificate(ctx, cert) == 1, "certificate");
	must(SSL_CTX_use_PrivateKey(ctx, key) == 1, "private key");
	if (!leaf->own)
		SSL_CTX_add1_chain_cert(ctx, pki->root);
	if (leaf->no_tls13)
		SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"test", 4);
	X509_free(cert);
	EVP_PKEY_free(key);
	return ctx;
}

static void
spki_digest(X509 *cert, uint8_t digest[32])
{
	unsigned char *der = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);

	must(len > 0, "public key");
	EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL);
	OPENSSL_free(der);
}

void
pki_spki(SSL_CTX *ctx, uint8_t digest[32])
{
	spki_digest(SSL_CTX_get0_certificate(ctx), digest);
}

void
pki_root_spki(const struct pki *pki, uint8_t digest[32])
{
	spki_digest(pki->root, digest);
}
