#include "smtpd/base/tls_part.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtpd/base/tls_trust.h"

#define CERT_LIST_MAX 102400 /* bytes of a peer's certificates */
#define DEPTH_MAX 10         /* of a chain */
/* Classical first: large post-quantum hellos hang some peers. */
static char groups[] = "X25519:P-256:X448:P-521:P-384";

/* ---- contexts ---- */

static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls *tls = SSL_get_app_data(ssl);

	SSL_SESSION_free(tls->session);
	tls->session = session;
	return 1; /* kept */
}

static bool
configure(SSL_CTX *c)
{
	SSL_CTX_set_security_level(c, 2);
	SSL_CTX_set_options(c, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_mode(c,
	    SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* Otherwise SSL_read() goes on while a peer sends tickets (RFC 8446
	 * 4.6.1). */
	SSL_CTX_clear_mode(c, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_read_ahead(c, 1);
	SSL_CTX_set_max_cert_list(c, CERT_LIST_MAX);
	SSL_CTX_set_verify_depth(c, DEPTH_MAX);
	/* The chain is verified and the finding kept; the verdict judges. */
	SSL_CTX_set_verify(c, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_session_cache_mode(c,
	    SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(c, on_new_session);
	return SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) == 1 &&
	    SSL_CTX_set1_groups_list(c, groups) == 1 &&
	    SSL_CTX_dane_enable(c) == 1;
}

static bool
trust(struct tls_ctx *ctx, const char *pem, size_t len, const char **why)
{
	size_t roots;
	X509_STORE *store = tls_trust_new(pem, len, &roots);

	if (store == NULL)
		return false;
	SSL_CTX_set_cert_store(ctx->ssl_ctx, store);
	*why = "no certificate in the CA bundle";
	return roots > 0;
}

struct tls_ctx *
tls_ctx_client(const char *pem, size_t len, const char **why)
{
	struct tls_ctx *ctx = calloc(1, sizeof(*ctx));

	*why = "out of memory";
	if (ctx == NULL)
		return NULL;
	/* A process in a cage has no openssl.cnf, and one outside follows the
	 * same rules. */
	OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	ctx->refs = 1;
	ctx->ssl_ctx = SSL_CTX_new(TLS_client_method());
	if (ctx->ssl_ctx == NULL || !configure(ctx->ssl_ctx)) {
		*why = "OpenSSL refuses a client context";
		tls_ctx_free(ctx);
		return NULL;
	}
	if (pem != NULL && !trust(ctx, pem, len, why)) {
		tls_ctx_free(ctx);
		return NULL;
	}
	ctx->store = SSL_CTX_get_cert_store(ctx->ssl_ctx);
	return ctx;
}

void
tls_ctx_free(struct tls_ctx *ctx)
{
	if (ctx == NULL || --ctx->refs > 0)
		return;
	SSL_CTX_free(ctx->ssl_ctx);
	free(ctx);
}

/* RFC 6125 6.4 as narrowed by RFC 8461 4.1: SANs alone, whole labels. */
#define NAME_FLAGS \
	(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | \
	    X509_CHECK_FLAG_NEVER_CHECK_SUBJECT)

void
tls_ctx_lend_trust(const struct tls_ctx *ctx, void *ssl_ctx, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ssl_ctx);

	SSL_CTX_set1_cert_store(ssl_ctx, ctx->store);
	SSL_CTX_clear_mode(ssl_ctx, SSL_MODE_AUTO_RETRY);
	X509_VERIFY_PARAM_set_hostflags(param, NAME_FLAGS);
	/* An empty name is one that nothing matches. */
	if (X509_VERIFY_PARAM_set1_host(param, host, 0) != 1)
		X509_VERIFY_PARAM_set1_host(param, "invalid.", 0);
}

/* ---- streams ---- */

static bool
is_address(const char *name)
{
	ASN1_OCTET_STRING *ip = a2i_IPADDRESS(name);

	ASN1_OCTET_STRING_free(ip);
	return ip != NULL;
}

static bool
is_given(const char *name)
{
	return name != NULL && name[0] != '\0';
}

/*
 * RFC 7672 3.1: records of usage 2 and 3; others are not usable here. SNI is
 * then the TLSA base domain (8.1).
 */
static bool
set_dane(struct tls *tls, const struct tls_target *target)
{
	const char *base = is_given(target->base) ? target->base : target->name;
	const struct tls_tlsa *r;
	size_t i;
	int added = 0;

	if (SSL_dane_enable(tls->ssl, base) != 1)
		return false;
	SSL_set_hostflags(tls->ssl, NAME_FLAGS);
	SSL_dane_set_flags(tls->ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	if (SSL_add1_host(tls->ssl, target->name) != 1)
		return false;
	for (i = 0; i < TLS_ALSO_MAX; i++)
		if (is_given(target->also[i]) &&
		    SSL_add1_host(tls->ssl, target->also[i]) != 1)
			return false;
	for (i = 0; i < target->tlsa_count; i++) {
		r = &target->tlsa[i];
		if (r->usage != 2 && r->usage != 3)
			continue;
		if (SSL_dane_tlsa_add(tls->ssl, r->usage, r->selector,
			r->matching, r->data, r->len) > 0)
			added++;
	}
	/* With none added OpenSSL would verify as without DANE. */
	tls->dane = added > 0;
	return true;
}

static bool
set_up(struct tls *tls, const struct tls_target *target, int fd)
{
	if (SSL_set_fd(tls->ssl, fd) != 1)
		return false;
	SSL_set_app_data(tls->ssl, tls);
	SSL_set_connect_state(tls->ssl);
	if (target->tlsa_count > 0) {
		if (!set_dane(tls, target))
			return false;
	} else if (!is_address(target->name) &&
	    SSL_set_tlsext_host_name(tls->ssl, tls->name) != 1)
		return false;
	return tls_session_offer(tls, target->resume);
}

struct tls *
tls_client(struct tls_ctx *ctx, const struct tls_target *target, int fd)
{
	struct tls *tls = calloc(1, sizeof(*tls));

	if (tls == NULL)
		return NULL;
	ctx->refs++;
	tls->ctx = ctx;
	tls->name = strdup(target->name);
	tls->ssl = SSL_new(ctx->ssl_ctx);
	ERR_clear_error();
	if (tls->name == NULL || tls->ssl == NULL || !set_up(tls, target, fd)) {
		tls_free(tls);
		errno = ENOMEM;
		return NULL;
	}
	return tls;
}

void
tls_free(struct tls *tls)
{
	if (tls == NULL)
		return;
	/* A session stays good however its connection ended. */
	if (tls->ssl != NULL && SSL_is_init_finished(tls->ssl))
		SSL_set_shutdown(tls->ssl,
		    SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(tls->ssl);
	SSL_SESSION_free(tls->session);
	tls_ctx_free(tls->ctx);
	free(tls->name);
	free(tls);
}

/* Does "error" of OpenSSL only say that the stream ended? */
static bool
is_end(unsigned long error)
{
	return error == 0 ||
	    ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
}

static enum tls_step
step_of(struct tls *tls, int ret, const char *doing)
{
	int saved = errno, kind = SSL_get_error(tls->ssl, ret);
	unsigned long error = ERR_peek_error();
	const char *words = ERR_reason_error_string(error);

	tls->wants_write = kind == SSL_ERROR_WANT_WRITE;
	if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE)
		return TLS_STEP_WANT;
	if (kind == SSL_ERROR_ZERO_RETURN)
		return TLS_STEP_CLOSED;
	if (kind == SSL_ERROR_SYSCALL && error == 0 && saved != 0)
		words = strerror(saved);
	else if (is_end(error))
		words = "the peer closed the connection without notice";
	snprintf(tls->why, sizeof(tls->why), "%s: %s", doing,
	    words == NULL ? "unknown error" : words);
	ERR_clear_error();
	return TLS_STEP_FAILED;
}

/* ---- facts ---- */

static enum tls_chain
chain_of(long result)
{
	switch (result) {
	case X509_V_OK:
		return TLS_CHAIN_OK;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return TLS_CHAIN_EXPIRED;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_CERT_UNTRUSTED:
		return TLS_CHAIN_UNTRUSTED;
	default:
		return TLS_CHAIN_BAD;
	}
}

/* With DANE in use OpenSSL has not asked the trust store. */
static long
verify_by_store(const struct tls *tls, X509 *leaf)
{
	X509_STORE_CTX *c = X509_STORE_CTX_new();
	long result = X509_V_ERR_UNSPECIFIED;

	if (c == NULL)
		return result;
	if (X509_STORE_CTX_init(c, tls->ctx->store, leaf,
		SSL_get_peer_cert_chain(tls->ssl)) == 1 &&
	    X509_STORE_CTX_set_default(c, "ssl_server") == 1) {
		X509_VERIFY_PARAM_set_depth(X509_STORE_CTX_get0_param(c),
		    DEPTH_MAX);
		X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(c),
		    2);
		X509_verify_cert(c);
		result = X509_STORE_CTX_get_error(c);
	}
	X509_STORE_CTX_free(c);
	ERR_clear_error();
	return result;
}

static void
tell_names(struct tls_facts *f, const X509 *leaf)
{
	GENERAL_NAMES *names =
	    X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	const GENERAL_NAME *name;
	size_t len = 0;
	int i, n;

	for (i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		name = sk_GENERAL_NAME_value(names, i);
		if (name->type != GEN_DNS)
			continue;
		n = snprintf(f->names + len, sizeof(f->names) - len, "%s%.*s",
		    len > 0 ? " " : "", ASN1_STRING_length(name->d.dNSName),
		    (const char *)ASN1_STRING_get0_data(name->d.dNSName));
		if (n < 0 || (size_t)n >= sizeof(f->names) - len)
			break;
		len += (size_t)n;
	}
	GENERAL_NAMES_free(names);
}

static void
tell_issuer(struct tls_facts *f, const X509 *leaf)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int n;

	if (bio == NULL)
		return;
	X509_NAME_print_ex(bio, X509_get_issuer_name(leaf), 0, XN_FLAG_RFC2253);
	n = BIO_read(bio, f->issuer, sizeof(f->issuer) - 1);
	f->issuer[n < 0 ? 0 : n] = '\0';
	BIO_free(bio);
}

static void
tell_leaf(struct tls *tls, X509 *leaf)
{
	struct tls_facts *f = &tls->facts;
	struct tm tm;

	f->name_matches =
	    X509_check_host(leaf, tls->name, 0, NAME_FLAGS, NULL) == 1;
	tell_names(f, leaf);
	tell_issuer(f, leaf);
	X509_digest(leaf, EVP_sha256(), f->sha256, NULL);
	if (ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &tm) == 1)
		f->not_after = timegm(&tm);
}

/* RFC 7672 3.1: names and dates count with usage 2 alone. */
static enum tls_dane
dane_of(long result)
{
	switch (result) {
	case X509_V_OK:
		return TLS_DANE_OK;
	case X509_V_ERR_HOSTNAME_MISMATCH:
		return TLS_DANE_OTHER_NAME;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return TLS_DANE_EXPIRED;
	default:
		return TLS_DANE_NO_MATCH;
	}
}

/* Which TLSA record matched? */
static void
tell_tlsa(struct tls *tls)
{
	struct tls_facts *f = &tls->facts;
	uint8_t usage = 0, selector = 0, matching = 0;

	if (f->dane == TLS_DANE_OK &&
	    SSL_get0_dane_tlsa(tls->ssl, &usage, &selector, &matching, NULL,
		NULL) < 0)
		f->dane = TLS_DANE_NO_MATCH;
	if (f->dane == TLS_DANE_OK)
		snprintf(f->tlsa, sizeof(f->tlsa), "%u %u %u", usage, selector,
		    matching);
}

static void
tell_peer(struct tls *tls)
{
	struct tls_facts *f = &tls->facts;
	X509 *leaf = SSL_get0_peer_certificate(tls->ssl);
	long result = SSL_get_verify_result(tls->ssl);

	memset(f, 0, sizeof(*f));
	f->dane_tried = tls->dane;
	if (leaf == NULL) {
		f->chain = TLS_CHAIN_NONE;
		return;
	}
	if (tls->dane) {
		f->dane = dane_of(result);
		tell_tlsa(tls);
		result = verify_by_store(tls, leaf);
	}
	f->chain = chain_of(result);
	if (f->chain != TLS_CHAIN_OK)
		snprintf(f->why, sizeof(f->why), "%s",
		    X509_verify_cert_error_string(result));
	tell_leaf(tls, leaf);
}

static void
tell_facts(struct tls *tls)
{
	struct tls_facts *f = &tls->facts;
	const char *group;

	if (!SSL_session_reused(tls->ssl))
		tell_peer(tls);
	else if (f->not_after < time(NULL)) {
		if (f->chain == TLS_CHAIN_OK)
			f->chain = TLS_CHAIN_EXPIRED;
		/* Usage 3 ignores dates, usage 2 does not (RFC 7672 3.1). */
		if (f->tlsa[0] == '2')
			f->dane = TLS_DANE_EXPIRED;
	}
	f->resumed = SSL_session_reused(tls->ssl);
	group = SSL_group_to_name(tls->ssl,
	    (int)SSL_get_negotiated_group(tls->ssl));
	snprintf(f->version, sizeof(f->version), "%s",
	    SSL_get_version(tls->ssl));
	snprintf(f->cipher, sizeof(f->cipher), "%s",
	    SSL_get_cipher_name(tls->ssl));
	snprintf(f->group, sizeof(f->group), "%s", group == NULL ? "" : group);
}

/* ---- bytes ---- */

enum tls_step
tls_handshake(struct tls *tls)
{
	enum tls_step step;
	int ret;

	ERR_clear_error();
	errno = 0;
	ret = SSL_do_handshake(tls->ssl);
	if (ret != 1) {
		step = step_of(tls, ret, "TLS handshake");
		if (step != TLS_STEP_CLOSED)
			return step;
		snprintf(tls->why, sizeof(tls->why),
		    "TLS handshake: the peer ended it");
		return TLS_STEP_FAILED;
	}
	tell_facts(tls);
	return TLS_STEP_DONE;
}

enum tls_step
tls_read(struct tls *tls, void *bytes, size_t room, size_t *got)
{
	int ret;

	ERR_clear_error();
	errno = 0;
	ret = SSL_read_ex(tls->ssl, bytes, room, got);
	return ret == 1 ? TLS_STEP_DONE : step_of(tls, ret, "TLS");
}

enum tls_step
tls_write(struct tls *tls, const void *bytes, size_t len, size_t *taken)
{
	int ret;

	ERR_clear_error();
	errno = 0;
	ret = SSL_write_ex(tls->ssl, bytes, len, taken);
	return ret == 1 ? TLS_STEP_DONE : step_of(tls, ret, "TLS");
}

bool
tls_wants_write(const struct tls *tls)
{
	return tls->wants_write;
}

bool
tls_has_more(const struct tls *tls)
{
	return SSL_has_pending(tls->ssl) == 1;
}

void
tls_shutdown(struct tls *tls)
{
	ERR_clear_error();
	SSL_shutdown(tls->ssl);
	ERR_clear_error();
}

const char *
tls_why(const struct tls *tls)
{
	return tls->why;
}

const struct tls_facts *
tls_facts(const struct tls *tls)
{
	return &tls->facts;
}

bool
tls_sha256(const void *bytes, size_t len, uint8_t digest[TLS_SHA256_SIZE])
{
	if (EVP_Digest(bytes, len, digest, NULL, EVP_sha256(), NULL) == 1)
		return true;
	memset(digest, 0, TLS_SHA256_SIZE);
	return false;
}
