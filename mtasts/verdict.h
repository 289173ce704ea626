/*
 * The verdict: may mail go to this host, now, over this connection?
 *
 * One pure function takes all that is known and answers; nothing else in the
 * tree decides. It is asked three times for a host: before it is contacted,
 * where EHLO (or STARTTLS) shows that there will be no TLS, and after the
 * handshake. Each time the caller fills in what it knows; the rest is zero.
 *
 * RFC 8461 4 and 5, RFC 7672 2, RFC 7435; levels as in sealpost.conf(5).
 */

#ifndef MTASTS_VERDICT_H
#define MTASTS_VERDICT_H

#include <stdbool.h>

#include "mtasts/reason.h"

/* What the administrator demands. An exception that has run out is REQUIRE. */
enum tls_level { LEVEL_REQUIRE, LEVEL_STRICT, LEVEL_OPPORTUNISTIC };

/* The MTA-STS policy in force for the destination's policy domain. */
enum policy_mode {
	POLICY_ABSENT, /* none, or none that could be obtained */
	POLICY_NONE,   /* one in mode none: as if absent */
	POLICY_TESTING,
	POLICY_ENFORCE,
	POLICY_UNKNOWN /* our copy was damaged: wait, once, for a new one */
};

/* What the secure TLSA records of one host amount to (RFC 7672 2.2). */
enum dane_state {
	DANE_NONE,     /* no secure records, or DANE is off */
	DANE_USABLE,   /* the certificate is judged by the records alone */
	DANE_UNUSABLE, /* secure, but none of a kind we know: TLS, unverified */
	DANE_FAILED    /* the look-up failed where it must not: skip the host */
};

/* How the host's name was learnt. */
enum mx_origin {
	MX_INSECURE, /* from DNS without DNSSEC */
	MX_SECURE,   /* from DNS, authenticated data */
	MX_VIA       /* from a `via` line */
};

/* How far the conversation has come. */
enum tls_stage {
	TLS_BEFORE,       /* the host is not yet contacted */
	TLS_NOT_OFFERED,  /* its EHLO reply lacks STARTTLS */
	TLS_REFUSED,      /* it answered STARTTLS with anything but 220 */
	TLS_FAILED,       /* the handshake did not complete */
	TLS_FAILED_FIRST, /* the same with implicit TLS: no clear to go to */
	TLS_CLEAR,        /* second connection, after VERDICT_RETRY_CLEAR */
	TLS_DONE          /* handshake complete; "cert" is filled in */
};

/* What verifying the chain against the trust store gave, names aside. */
enum cert_chain {
	CERT_UNTRUSTED, /* does not lead to a trusted authority */
	CERT_EXPIRED,   /* some certificate of it has expired */
	CERT_INVALID,   /* any other fault, or no certificate at all */
	CERT_OK
};

/* What OpenSSL's DANE check gave; names and dates count with usage 2 alone. */
enum cert_dane {
	CERT_DANE_NO_MATCH, /* no usable record fits the certificate */
	CERT_DANE_OTHER_NAME,
	CERT_DANE_EXPIRED,
	CERT_DANE_OK
};

/* Facts about the certificate shown; all zero means nothing is proved. */
struct cert_facts {
	enum cert_chain chain;
	bool name_matches; /* a SAN dNSName fits the MX host name (RFC 6125) */
	enum cert_dane dane;
};

struct verdict_facts {
	enum tls_level level;
	enum policy_mode mode;
	enum reason policy_trouble; /* with POLICY_ABSENT: why none could be
				       had; REASON_NONE: none is announced */
	bool mx_matches; /* the host's name fits a pattern of the policy */
	enum dane_state dane;
	enum mx_origin origin;
	enum tls_stage stage;
	struct cert_facts cert;
};

enum verdict_action {
	VERDICT_SKIP,       /* not to this host; try the next, or defer */
	VERDICT_GO,         /* go on: connect, or send MAIL FROM */
	VERDICT_RETRY_CLEAR /* close, connect anew, and do without TLS */
};

/* What authenticated the host. */
enum verdict_auth { AUTH_NONE, AUTH_WEBPKI, AUTH_MTA_STS, AUTH_DANE };

struct verdict {
	enum verdict_action action;
	enum reason reason;      /* why VERDICT_SKIP; else REASON_NONE */
	enum verdict_auth auth;  /* after TLS_DONE; credentials (AUTH) may go
				   only where it is not AUTH_NONE */
	bool route_secure;       /* for `route=` of the log */
	enum reason would_defer; /* opportunistic: why `require` would have
				    deferred; log and count on delivery */
	enum reason sts_failure; /* testing: how the policy was broken; log,
				    count and report (RFC 8460) */
};

/*
 * Decide. Before the handshake VERDICT_GO promises nothing for later. After
 * VERDICT_RETRY_CLEAR keep its would_defer for the delivery that follows:
 * the later TLS_CLEAR verdict only repeats "validation-failure".
 */
struct verdict verdict_decide(const struct verdict_facts *);

/* Words of configuration, logs and JSON; constants. */
const char *level_word(enum tls_level);
const char *mode_word(enum policy_mode);
const char *auth_word(enum verdict_auth);
const char *dane_word(enum dane_state); /* none usable unusable failed */
const char *route_word(bool secure);    /* secure insecure */

/* 0 and *out set, or -1 for any other word (case counts). */
int level_parse(const char *word, enum tls_level *out);

#endif
