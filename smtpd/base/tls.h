/*
 * TLS: contexts, streams over a non-blocking socket, facts about the peer.
 *
 * The only file that knows OpenSSL's TLS half. It reports facts and decides
 * nothing: the handshake itself never fails for a certificate; whether the
 * peer is whom one wants is the verdict's business (mtasts/verdict.h).
 */

#ifndef SMTPD_BASE_TLS_H
#define SMTPD_BASE_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define TLS_SHA256_SIZE 32 /* bytes of a digest */
#define TLS_TLSA_SIZE 12   /* usage, selector, matching (RFC 6698 2.1) */

struct tls_ctx;     /* settings and trust, shared by many streams */
struct tls;         /* one stream */
struct tls_session; /* a session to resume, with what authenticated it */

#define TLS_TEXT_SIZE 64
#define TLS_ALSO_MAX 2

/* One usable TLSA record (RFC 6698 2.1). */
struct tls_tlsa {
	uint8_t usage;    /* 2 DANE-TA, 3 DANE-EE */
	uint8_t selector; /* 0 certificate, 1 public key */
	uint8_t matching; /* 0 exact, 1 SHA-256, 2 SHA-512 */
	uint16_t len;
	const uint8_t *data; /* borrowed */
};

/* What the certificate check against the trust store found. */
enum tls_chain {
	TLS_CHAIN_NONE, /* no certificate */
	TLS_CHAIN_OK,
	TLS_CHAIN_EXPIRED,   /* or not yet valid */
	TLS_CHAIN_UNTRUSTED, /* no path to a trusted root */
	TLS_CHAIN_BAD        /* signature, purpose, key too weak, revoked... */
};

/* What the TLSA records make of the certificate. */
enum tls_dane {
	TLS_DANE_NO_MATCH,   /* none fits it or its chain; or none was given */
	TLS_DANE_OTHER_NAME, /* one of usage 2 does, but not the name */
	TLS_DANE_EXPIRED,    /* one of usage 2 does, but not the dates */
	TLS_DANE_OK
};

/* Facts, valid once the handshake is complete. */
struct tls_facts {
	char version[TLS_TEXT_SIZE]; /* "TLSv1.3" */
	char cipher[TLS_TEXT_SIZE];
	char group[TLS_TEXT_SIZE]; /* key exchange group, "X25519" */
	enum tls_chain chain;
	bool name_matches; /* a SAN dNSName matches the reference name */
	bool dane_tried;   /* TLSA records were given and usable */
	enum tls_dane dane;
	char tlsa[TLS_TLSA_SIZE]; /* the record that did, "3 1 1"; else "" */
	bool resumed;    /* the rest is what the full handshake showed */
	char why[256];   /* OpenSSL's words for a chain that is not OK */
	char names[512]; /* dNSNames of the leaf, blank-separated, cut */
	char issuer[256];
	time_t not_after;                /* of the leaf */
	uint8_t sha256[TLS_SHA256_SIZE]; /* of the leaf, DER */
};

/* How a stream to a mail host is to be set up. */
struct tls_target {
	const char *name; /* reference name and SNI: A-labels, no final dot */
	const struct tls_tlsa *tlsa; /* usable records, or NULL */
	size_t tlsa_count;
	/* With records: SNI, and a reference name for DANE-TA, where that is
	 * not "name" (the TLSA base domain, RFC 7672 2.2.3); NULL, "": none. */
	const char *base;
	const char *also[TLS_ALSO_MAX];   /* more names for DANE-TA; likewise */
	const struct tls_session *resume; /* or NULL */
};

/*
 * A client context: TLS 1.2 and 1.3, security level 2, no compression, no
 * renegotiation, no session cache of its own, bounded chain depth and size.
 *
 * pem, len   the CA bundle's text; read once. NULL: nothing is trusted
 * why        set on NULL: constant or static text for a log line
 */
struct tls_ctx *tls_ctx_client(const char *pem, size_t len, const char **why);
/* Streams and sessions made with it go on. */
void tls_ctx_free(struct tls_ctx *);
/*
 * For libcurl: put this context's trust store into "ssl_ctx" (SSL_CTX *), let
 * no read go on for ever, and have OpenSSL demand there a SAN dNSName that
 * matches "host": never the CN, no partial wildcards (RFC 8461 3.3; libcurl
 * alone would accept a CN).
 */
void tls_ctx_lend_trust(const struct tls_ctx *, void *ssl_ctx,
    const char *host);

/*
 * A stream that is to begin its handshake as a client over the non-blocking
 * socket "fd" (borrowed). NULL: no memory.
 */
struct tls *tls_client(struct tls_ctx *, const struct tls_target *, int fd);
void tls_free(struct tls *);

/*
 * What a step of the stream came to. TLS_STEP_WANT: nothing more to do until
 * the socket is readable, or writable if tls_wants_write(), unless
 * tls_has_more(). TLS_STEP_CLOSED: the peer ended the stream in order
 * (close_notify). TLS_STEP_FAILED: tls_why() tells; a stream that ends without
 * close_notify is one such.
 */
enum tls_step {
	TLS_STEP_DONE,
	TLS_STEP_WANT,
	TLS_STEP_CLOSED,
	TLS_STEP_FAILED
};

enum tls_step tls_handshake(struct tls *);
/* TLS_STEP_DONE: at least one byte was read. */
enum tls_step tls_read(struct tls *, void *bytes, size_t room, size_t *got);
/* TLS_STEP_DONE: at least one byte was taken; perhaps not all. */
enum tls_step tls_write(struct tls *, const void *bytes, size_t len,
    size_t *taken);
/* After TLS_STEP_WANT: wait for the socket to be writable. */
bool tls_wants_write(const struct tls *);
/* Bytes wait inside, of which the socket gives no further notice. */
bool tls_has_more(const struct tls *);
/* Send close_notify. */
void tls_shutdown(struct tls *);
/* Plain words for the failure; never NULL. */
const char *tls_why(const struct tls *);
/* Valid after tls_handshake() returned TLS_STEP_DONE. */
const struct tls_facts *tls_facts(const struct tls *);

/*
 * The newest session to resume later, or NULL; free with tls_session_free().
 * It is used only for the same name, trust store and use of DANE, and what it
 * proved is what its full handshake proved, dates checked again. Which
 * address and verdict it belongs to is for the caller to keep apart.
 */
struct tls_session *tls_session_take(struct tls *);
void tls_session_free(struct tls_session *);

/* The SHA-256 digest of "len" bytes; false, and zero: memory is short. */
bool tls_sha256(const void *bytes, size_t len, uint8_t digest[TLS_SHA256_SIZE]);

#endif
