#include <openssl/asn1.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "smtpd/base/tls_part.h"

#define TAG_PEER 3 /* its certificate, in OpenSSL's SSL_SESSION_ASN1 */

/* The next element of DER: where it begins, and "*at" behind it. */
static const unsigned char *
next_element(const unsigned char **at, const unsigned char *end, int *tag,
    int *class)
{
	const unsigned char *begin = *at;
	long len;

	if (begin >= end ||
	    (ASN1_get_object(at, &len, tag, class, end - begin) & 0x80) != 0)
		return NULL;
	*at += len;
	return begin;
}

/* Without the peer's certificate, if it has one. */
static void
cut_peer(struct tls_session *s)
{
	const unsigned char *der = s->der, *end = der + s->der_len;
	const unsigned char *first = der, *at, *peer = NULL;
	unsigned char *shorter, *to;
	int tag, class, left;
	long len;

	if (ASN1_get_object(&first, &len, &tag, &class, s->der_len) !=
		V_ASN1_CONSTRUCTED ||
	    first + len != end)
		return;
	at = first;
	do
		peer = next_element(&at, end, &tag, &class);
	while (peer != NULL &&
	    (class != V_ASN1_CONTEXT_SPECIFIC || tag != TAG_PEER));
	if (peer == NULL)
		return;
	left = (int)((peer - first) + (end - at));
	shorter =
	    OPENSSL_malloc((size_t)ASN1_object_size(1, left, V_ASN1_SEQUENCE));
	if (shorter == NULL)
		return;
	to = shorter;
	ASN1_put_object(&to, 1, left, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
	memcpy(to, first, (size_t)(peer - first));
	memcpy(to + (peer - first), at, (size_t)(end - at));
	OPENSSL_clear_free(s->der, (size_t)s->der_len);
	s->der = shorter;
	s->der_len = (int)(to - shorter) + left;
}

static bool
may_resume(const struct tls *tls, const struct tls_session *s)
{
	return s != NULL && s->ctx == tls->ctx &&
	    strcasecmp(s->name, tls->name) == 0 &&
	    s->facts.dane_tried == tls->dane;
}

bool
tls_session_offer(struct tls *tls, const struct tls_session *s)
{
	const unsigned char *der;
	SSL_SESSION *session;
	bool ok;

	if (!may_resume(tls, s))
		return true;
	der = s->der;
	session = d2i_SSL_SESSION(NULL, &der, s->der_len);
	ok = session != NULL && SSL_set_session(tls->ssl, session) == 1;
	SSL_SESSION_free(session);
	tls->facts = s->facts;
	return ok;
}

struct tls_session *
tls_session_take(struct tls *tls)
{
	struct tls_session *s;

	if (tls->session == NULL || !SSL_SESSION_is_resumable(tls->session) ||
	    (s = calloc(1, sizeof(*s))) == NULL)
		return NULL;
	s->ctx = tls->ctx;
	s->ctx->refs++;
	s->facts = tls->facts;
	s->name = strdup(tls->name);
	s->der_len = i2d_SSL_SESSION(tls->session, &s->der);
	SSL_SESSION_free(tls->session);
	tls->session = NULL;
	if (s->name == NULL || s->der_len <= 0) {
		tls_session_free(s);
		return NULL;
	}
	cut_peer(s);
	return s;
}

void
tls_session_free(struct tls_session *s)
{
	if (s == NULL)
		return;
	OPENSSL_clear_free(s->der, s->der_len > 0 ? (size_t)s->der_len : 0);
	tls_ctx_free(s->ctx);
	free(s->name);
	free(s);
}
