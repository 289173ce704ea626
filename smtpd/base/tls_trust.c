#include "smtpd/base/tls_trust.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <string.h>

/* A certificate not yet asked for. */
struct anchor {
	unsigned long subject; /* hash of its name */
	unsigned char *der;    /* OpenSSL's; NULL: it is in the store */
	long len;
};

struct trust {
	struct anchor *anchors;
	size_t count;
};

static int slot = -1; /* of a store's trust */

/* ---- which name is whose ---- */

/*
 * The subject of a certificate without a look at the rest (RFC 5280 4.1);
 * NULL: it is none. To be freed.
 */
static X509_NAME *
read_subject(const unsigned char *der, long len)
{
	const unsigned char *at = der, *end = der + len;
	int tag, class, i;
	long size;

	/* Into Certificate, and into its tbsCertificate. */
	for (i = 0; i < 2; i++) {
		if (ASN1_get_object(&at, &size, &tag, &class, end - at) !=
			V_ASN1_CONSTRUCTED ||
		    tag != V_ASN1_SEQUENCE)
			return NULL;
		end = at + size;
	}
	/* Past version, serialNumber, signature, issuer, validity. */
	for (i = 0; i < 5; i++) {
		if ((ASN1_get_object(&at, &size, &tag, &class, end - at) &
			~V_ASN1_CONSTRUCTED) != 0)
			return NULL;
		if (i == 0 && class != V_ASN1_CONTEXT_SPECIFIC)
			i++; /* version 1 is not written */
		at += size;
	}
	return d2i_X509_NAME(NULL, &at, end - at);
}

/* Takes "der". */
static void
add_anchor(struct trust *t, unsigned char *der, long len)
{
	X509_NAME *subject = read_subject(der, len);
	struct anchor *grown, a = { .der = der, .len = len };

	grown = subject == NULL
	    ? NULL
	    : reallocarray(t->anchors, t->count + 1, sizeof(a));
	if (grown == NULL) {
		OPENSSL_free(der);
	} else {
		a.subject = X509_NAME_hash_ex(subject, NULL, NULL, NULL);
		t->anchors = grown;
		t->anchors[t->count++] = a;
	}
	X509_NAME_free(subject);
}

static void
read_bundle(struct trust *t, BIO *bio)
{
	char *name, *header;
	unsigned char *der;
	long len;

	for (;;) {
		ERR_clear_error();
		if (PEM_read_bio(bio, &name, &header, &der, &len) == 1) {
			if (strcmp(name, PEM_STRING_X509) == 0 ||
			    strcmp(name, PEM_STRING_X509_OLD) == 0)
				add_anchor(t, der, len);
			else
				OPENSSL_free(der);
			OPENSSL_free(name);
			OPENSSL_free(header);
		} else if (BIO_eof(bio) ||
		    ERR_GET_REASON(ERR_peek_last_error()) ==
			PEM_R_NO_START_LINE)
			/* One that cannot be read does not hide the rest. */
			break;
	}
	ERR_clear_error();
}

/* ---- when a chain asks ---- */

/* Parse those of that name into the store. */
static void
add_named(X509_STORE *store, const X509_NAME *name)
{
	struct trust *t = X509_STORE_get_ex_data(store, slot);
	unsigned long subject = X509_NAME_hash_ex(name, NULL, NULL, NULL);
	const unsigned char *at;
	struct anchor *a;
	X509 *cert;
	size_t i;

	for (i = 0; i < t->count; i++) {
		a = &t->anchors[i];
		if (a->subject != subject || a->der == NULL)
			continue;
		at = a->der;
		cert = d2i_X509(NULL, &at, a->len);
		if (cert != NULL)
			X509_STORE_add_cert(store, cert);
		X509_free(cert);
		OPENSSL_free(a->der);
		a->der = NULL;
	}
}

static int
get_issuer(X509 **issuer, X509_STORE_CTX *ctx, X509 *cert)
{
	add_named(X509_STORE_CTX_get0_store(ctx), X509_get_issuer_name(cert));
	return X509_STORE_CTX_get1_issuer(issuer, ctx, cert);
}

static STACK_OF(X509) * get_named(X509_STORE_CTX *ctx, const X509_NAME *name)
{
	add_named(X509_STORE_CTX_get0_store(ctx), name);
	return X509_STORE_CTX_get1_certs(ctx, name);
}

/* ---- the store ---- */

/* NOLINTBEGIN(readability-function-size): a CRYPTO_EX_free has six arguments */
static void
free_trust(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl,
    void *argp)
{
	struct trust *t = ptr;
	size_t i;

	(void)parent;
	(void)ad;
	(void)idx;
	(void)argl;
	(void)argp;
	if (t == NULL)
		return;
	for (i = 0; i < t->count; i++)
		OPENSSL_free(t->anchors[i].der);
	free(t->anchors);
	free(t);
}
/* NOLINTEND(readability-function-size) */

static X509_STORE *
new_store(struct trust *t)
{
	X509_STORE *store = X509_STORE_new();

	if (slot == -1)
		slot = X509_STORE_get_ex_new_index(0, NULL, NULL, NULL,
		    free_trust);
	if (store == NULL || slot == -1 ||
	    X509_STORE_set_ex_data(store, slot, t) != 1) {
		X509_STORE_free(store);
		return NULL;
	}
	X509_STORE_set_get_issuer(store, get_issuer);
	X509_STORE_set_lookup_certs(store, get_named);
	return store;
}

X509_STORE *
tls_trust_new(const char *pem, size_t len, size_t *roots)
{
	struct trust *t = calloc(1, sizeof(*t));
	X509_STORE *store = NULL;
	BIO *bio;

	*roots = 0;
	if (t != NULL)
		store = new_store(t);
	if (store == NULL) {
		free(t);
		return NULL;
	}
	bio = len <= INT_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
	if (bio != NULL)
		read_bundle(t, bio);
	BIO_free(bio);
	*roots = t->count;
	return store;
}
