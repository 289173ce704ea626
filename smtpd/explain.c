#include "smtpd/explain.h"

#include <stdio.h>
#include <string.h>

#define EXCEPTION_S 2592000 /* what `until` suggests: 30 days */
#define NAMES_SIZE 160      /* of a certificate's names, with the NUL */

static void
date(char text[16], time_t when)
{
	struct tm tm;

	if (gmtime_r(&when, &tm) == NULL ||
	    strftime(text, 16, "%Y-%m-%d", &tm) == 0)
		(void)strlcpy(text, "?", 16);
}

/* Some of the names, none of them cut. */
static void
clip(char text[NAMES_SIZE], const char *names)
{
	size_t len = strlen(names);

	if (len >= NAMES_SIZE) {
		len = NAMES_SIZE - sizeof(" ...");
		while (len > 0 && names[len] != ' ')
			len--;
	}
	(void)snprintf(text, NAMES_SIZE, "%.*s%s", (int)len, names,
	    names[len] != '\0' ? " ..." : "");
}

static void
found_expired(char *text, size_t size, const struct tls_facts *tls)
{
	char day[16];

	date(day, tls->not_after);
	if (tls->dane == TLS_DANE_EXPIRED)
		(void)snprintf(text, size,
		    "its certificate (valid until %s), or one above it, has"
		    " expired or is not yet valid",
		    day);
	else
		(void)snprintf(text, size,
		    "%s (its certificate is valid until %s)", tls->why, day);
}

static void
found_names(char *text, size_t size, const struct explain_found_args *a)
{
	char names[NAMES_SIZE];

	clip(names, a->tls->names);
	if (a->tls->names[0] == '\0')
		(void)snprintf(text, size,
		    "its certificate names no host, so not %s either", a->host);
	else
		(void)snprintf(text, size,
		    "its certificate is for %s, not for %s", names, a->host);
}

static void
found_in_tls(char *text, size_t size, const struct explain_found_args *a)
{
	const struct tls_facts *tls = a->tls;
	char names[NAMES_SIZE];

	clip(names, tls->names);
	if (a->reason == REASON_CERTIFICATE_HOST_MISMATCH)
		found_names(text, size, a);
	else if (a->reason == REASON_CERTIFICATE_EXPIRED)
		found_expired(text, size, tls);
	else if (a->reason == REASON_TLSA_INVALID)
		(void)snprintf(text, size,
		    "its certificate (issued by %s, for %s) fits none of its"
		    " TLSA records",
		    tls->issuer, names);
	else
		(void)snprintf(text, size,
		    "its certificate, issued by %s, does not verify: %s",
		    tls->issuer, tls->why);
}

/* What opens the clause; NULL: the words stand for themselves. */
static const char *
prefix_of(enum reason reason)
{
	if (reason == REASON_STARTTLS_NOT_SUPPORTED)
		return "it refused STARTTLS: ";
	if (reason == REASON_STS_MX_MISMATCH)
		return "the destination's MTA-STS policy does not name it, but"
		       " only ";
	if (reason == REASON_STS_POLICY_INVALID)
		return "the destination's MTA-STS policy is invalid: ";
	if (reason == REASON_STS_POLICY_FETCH_ERROR ||
	    reason == REASON_STS_WEBPKI_INVALID)
		return "the destination's MTA-STS policy cannot be had: ";
	if (reason == REASON_DNSSEC_INVALID)
		return "what DNS says of it cannot be trusted: ";
	return NULL;
}

static const char *
found_plainly(const struct explain_found_args *a)
{
	if (a->reason == REASON_STARTTLS_NOT_SUPPORTED)
		return "it does not offer STARTTLS";
	if (a->reason == REASON_STS_MX_MISMATCH)
		return "the destination's MTA-STS policy does not name it";
	if (a->reason == REASON_NO_POLICY)
		return "level strict demands DANE, or an MTA-STS policy in"
		       " mode enforce; the destination has neither";
	return reason_advice(a->reason);
}

void
explain_found(char *text, size_t size, const struct explain_found_args *a)
{
	const char *prefix = prefix_of(a->reason);

	if (a->tls != NULL && a->reason >= REASON_CERTIFICATE_HOST_MISMATCH &&
	    a->reason <= REASON_TLSA_INVALID)
		found_in_tls(text, size, a);
	else if (a->words[0] != '\0')
		(void)snprintf(text, size, "%s%s", prefix != NULL ? prefix : "",
		    a->words);
	else
		(void)strlcpy(text, found_plainly(a), size);
}

static void
opportunistic(char *text, size_t size, const struct explain_exception_args *a)
{
	char day[16];

	date(day, a->now + EXCEPTION_S);
	(void)snprintf(text, size,
	    "to deliver nevertheless, unprotected: `destination %s { tls"
	    " opportunistic until %s because \"...\" }`",
	    a->destination, day);
}

/* Neither level nor time lifts a binding policy; a fixed host does. */
static void
fixed_host(char *text, size_t size, const struct explain_exception_args *a)
{
	bool dane = a->mode != POLICY_ENFORCE ||
	    (a->dane == DANE_USABLE && a->reason != REASON_STS_MX_MISMATCH) ||
	    a->reason == REASON_DNSSEC_INVALID;

	(void)snprintf(text, size,
	    "%s at every level; only a host of your choice goes past: "
	    "`destination %s { via HOST }`",
	    dane ? "DANE binds" : "the policy binds", a->destination);
}

/* Records that are all unusable demand TLS, but no proof (RFC 7672 2.2). */
static bool
dane_binds(const struct explain_exception_args *a)
{
	if (a->dane == DANE_UNUSABLE)
		return a->reason == REASON_STARTTLS_NOT_SUPPORTED ||
		    a->reason == REASON_VALIDATION_FAILURE;
	return a->dane != DANE_NONE;
}

/* Only the level asks for a policy; without it the host may do. */
static bool
is_for_strict(const struct explain_exception_args *a)
{
	/* The policy host's address: the mail host's was not looked at. */
	if (a->reason == REASON_PRIVATE_ADDRESS)
		return a->level == LEVEL_STRICT && a->mode == POLICY_ABSENT &&
		    a->dane != DANE_USABLE && a->addr[0] != '\0';
	return a->level == LEVEL_STRICT && a->mode != POLICY_UNKNOWN &&
	    (a->reason == REASON_NO_POLICY ||
		a->reason == REASON_STS_POLICY_FETCH_ERROR ||
		a->reason == REASON_STS_POLICY_INVALID ||
		a->reason == REASON_STS_WEBPKI_INVALID);
}

void
explain_exception(char *text, size_t size,
    const struct explain_exception_args *a)
{
	text[0] = '\0';
	if (is_for_strict(a))
		(void)snprintf(text, size,
		    "to do without a policy: `destination %s { tls require }`",
		    a->destination);
	else if (a->reason == REASON_PRIVATE_ADDRESS && a->addr[0] != '\0')
		(void)snprintf(text, size,
		    "if it is meant to be reached there: `allow private %s`",
		    a->addr);
	/* A damaged copy of a policy is replaced without anyone's help. */
	else if (!reason_is_tls(a->reason) || a->mode == POLICY_UNKNOWN)
		return;
	else if (a->mode == POLICY_ENFORCE || dane_binds(a))
		fixed_host(text, size, a);
	else if (a->level != LEVEL_OPPORTUNISTIC)
		opportunistic(text, size, a);
}
