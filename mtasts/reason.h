/*
 * The words for why: every reason for which a message is deferred, bounced or
 * only noted, from one list. The words are a public promise: they stand in
 * logs, in `sealpost queue --json` and in bounces. Those for TLS and policy
 * are RFC 8460 4.3's result types wherever one fits.
 */

#ifndef MTASTS_REASON_H
#define MTASTS_REASON_H

#include <stdbool.h>

/* REASON(enumerator, word, default enhanced code, advice) */
/* clang-format off */
#define REASON_LIST(REASON)						\
REASON(STARTTLS_NOT_SUPPORTED, "starttls-not-supported", "4.7.5",	\
    "the host does not offer STARTTLS, or someone on the path removes it;" \
    " ask its administrator, or compare from another network")		\
REASON(CERTIFICATE_HOST_MISMATCH, "certificate-host-mismatch", "4.7.5",	\
    "the host's certificate is for other names; its administrator must"	\
    " add the MX host name to it")					\
REASON(CERTIFICATE_EXPIRED, "certificate-expired", "4.7.5",		\
    "the host's certificate has expired; its administrator must renew it") \
REASON(CERTIFICATE_NOT_TRUSTED, "certificate-not-trusted", "4.7.5",	\
    "no authority in the trust store has signed the host's certificate;" \
    " its administrator must obtain one from a public authority")	\
REASON(VALIDATION_FAILURE, "validation-failure", "4.7.5",		\
    "TLS with the host could not be set up or checked; see the detail,"	\
    " and try `sealpost check`")					\
REASON(TLSA_INVALID, "tlsa-invalid", "4.7.5",				\
    "no TLSA record of the host fits the certificate it shows; its"	\
    " administrator must update the records or the certificate")	\
REASON(DNSSEC_INVALID, "dnssec-invalid", "4.7.5",			\
    "the host's TLSA records could not be validated; its name servers or" \
    " signatures are broken, or the resolver is")			\
REASON(DANE_REQUIRED, "dane-required", "4.7.5",				\
    "DANE is demanded, but the host has no secure TLSA records")	\
REASON(STS_POLICY_FETCH_ERROR, "sts-policy-fetch-error", "4.7.5",	\
    "the domain announces an MTA-STS policy that could not be fetched;"	\
    " its web server must answer at https://mta-sts.DOMAIN")		\
REASON(STS_POLICY_INVALID, "sts-policy-invalid", "4.7.5",		\
    "the domain's MTA-STS policy breaks the rules of RFC 8461; its"	\
    " administrator must correct the file")				\
REASON(STS_WEBPKI_INVALID, "sts-webpki-invalid", "4.7.5",		\
    "the certificate of the domain's MTA-STS policy host is not valid;"	\
    " its administrator must renew or replace it")			\
REASON(STS_MX_MISMATCH, "sts-mx-mismatch", "4.7.5",			\
    "the MX host is not among those that the domain's MTA-STS policy"	\
    " names: either DNS is forged, or the policy is out of date")	\
REASON(NO_POLICY, "no-policy", "4.7.5",					\
    "level strict asks for an MTA-STS policy in mode enforce or for"	\
    " DANE, and the destination has neither; `tls require` would do"	\
    " without")								\
REASON(PRIVATE_ADDRESS, "private-address", "4.4.4",			\
    "DNS gives the host a private or reserved address; `allow private`"	\
    " permits it where that is meant")					\
REASON(DNS_ERROR, "dns-error", "4.4.3",					\
    "name servers do not answer or answer with an error; check the"	\
    " resolver, then the domain's name servers")			\
REASON(NO_SUCH_DOMAIN, "no-such-domain", "5.1.2",			\
    "the domain does not exist, or has no mail host; check the spelling of" \
    " the address")							\
REASON(NULL_MX, "null-mx", "5.1.10",					\
    "the domain declares that it accepts no mail (RFC 7505)")		\
REASON(MAIL_LOOP, "mail-loop", "5.4.6",					\
    "mail for the domain would come back to this machine; its MX records" \
    " or `hostname` are wrong, or the message has gone in circles")	\
REASON(CONNECT_FAILED, "connect-failed", "4.4.1",			\
    "no connection to the host; it is down, or a firewall blocks port 25") \
REASON(TIMEOUT, "timeout", "4.4.2",					\
    "the host stopped answering; it is overloaded or unreachable")	\
REASON(PROTOCOL_ERROR, "protocol-error", "4.5.0",			\
    "the host broke the rules of SMTP; see the detail")			\
REASON(REMOTE_4XX, "remote-4xx", "4.0.0",				\
    "the host asks to try again later, with the reply given")		\
REASON(REMOTE_5XX, "remote-5xx", "5.0.0",				\
    "the host refuses the message, with the reply given")		\
REASON(EXPIRED, "expired", "5.4.7",					\
    "the message could not be delivered for as long as it may wait, or"	\
    " as the administrator let it wait; see its last reason")
/* clang-format on */

enum reason {
	REASON_NONE, /* nothing is wrong; its word is empty */
#define REASON_ENUM(name, word, dsn, advice) REASON_##name,
	REASON_LIST(REASON_ENUM)
#undef REASON_ENUM
	    REASON_COUNT
};

/* The public word; "" for REASON_NONE. A constant. */
const char *reason_word(enum reason);

/* The reason with that word, exactly; REASON_NONE for any other text. */
enum reason reason_parse(const char *word);

/*
 * The enhanced status code (RFC 3463) where nothing more exact is known, such
 * as "4.7.5"; "" for REASON_NONE. Class 4 defers, class 5 bounces. A constant.
 */
const char *reason_dsn(enum reason);

/* What it means and what to do: one sentence, no capital, no full stop. */
const char *reason_advice(enum reason);

/* Does it concern TLS or policy (`queue warn … tls`), not plain reachability? */
bool reason_is_tls(enum reason);

#endif
