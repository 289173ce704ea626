#include "mtasts/verdict.h"

#include <stddef.h>
#include <string.h>

#define nitems(a) (sizeof(a) / sizeof((a)[0]))

static const char *const levels[] = {
	[LEVEL_REQUIRE] = "require",
	[LEVEL_STRICT] = "strict",
	[LEVEL_OPPORTUNISTIC] = "opportunistic",
};

static const char *const modes[] = {
	[POLICY_ABSENT] = "absent",
	[POLICY_NONE] = "none",
	[POLICY_TESTING] = "testing",
	[POLICY_ENFORCE] = "enforce",
	[POLICY_UNKNOWN] = "unknown",
};

static const char *const auths[] = {
	[AUTH_NONE] = "none",
	[AUTH_WEBPKI] = "webpki",
	[AUTH_MTA_STS] = "mta-sts",
	[AUTH_DANE] = "dane",
};

static const char *const danes[] = {
	[DANE_NONE] = "none",
	[DANE_USABLE] = "usable",
	[DANE_UNUSABLE] = "unusable",
	[DANE_FAILED] = "failed",
};

/* What must be shown before mail may go. */
enum demand {
	DEMAND_NOTHING,
	DEMAND_TLS,    /* any TLS, host unproved */
	DEMAND_WEBPKI, /* chain and name */
	DEMAND_DANE    /* a TLSA record */
};

/* Facts known before any contact that rule the host out. */
static enum reason
why_not_contact(const struct verdict_facts *f)
{
	if (f->mode == POLICY_UNKNOWN)
		return REASON_STS_POLICY_FETCH_ERROR;
	if (f->dane == DANE_FAILED)
		return REASON_DNSSEC_INVALID; /* RFC 7672 2.1.2, 2.1.3 */
	if (f->mode == POLICY_ENFORCE && !f->mx_matches)
		return REASON_STS_MX_MISMATCH; /* RFC 8461 4.1, DANE or not */
	if (f->level == LEVEL_STRICT && f->mode != POLICY_ENFORCE &&
	    f->dane != DANE_USABLE)
		return f->mode == POLICY_ABSENT &&
			f->policy_trouble != REASON_NONE
		    ? f->policy_trouble
		    : REASON_NO_POLICY;
	return REASON_NONE;
}

/* RFC 8461 2: with usable records DANE alone judges the certificate. */
static enum demand
demand_of(const struct verdict_facts *f)
{
	if (f->dane == DANE_USABLE)
		return DEMAND_DANE;
	if (f->mode == POLICY_ENFORCE || f->level != LEVEL_OPPORTUNISTIC)
		return DEMAND_WEBPKI;
	if (f->dane == DANE_UNUSABLE)
		return DEMAND_TLS; /* RFC 7672 2.2: encrypted at least */
	return DEMAND_NOTHING;
}

static enum reason
webpki_fault(const struct cert_facts *cert)
{
	switch (cert->chain) {
	case CERT_UNTRUSTED:
		return REASON_CERTIFICATE_NOT_TRUSTED;
	case CERT_EXPIRED:
		return REASON_CERTIFICATE_EXPIRED;
	case CERT_INVALID:
		return REASON_VALIDATION_FAILURE;
	case CERT_OK:
		break;
	}
	return cert->name_matches ? REASON_NONE
				  : REASON_CERTIFICATE_HOST_MISMATCH;
}

static enum reason
dane_fault(const struct cert_facts *cert)
{
	switch (cert->dane) {
	case CERT_DANE_NO_MATCH:
		break;
	case CERT_DANE_OTHER_NAME:
		return REASON_CERTIFICATE_HOST_MISMATCH;
	case CERT_DANE_EXPIRED:
		return REASON_CERTIFICATE_EXPIRED;
	case CERT_DANE_OK:
		return REASON_NONE;
	}
	return REASON_TLSA_INVALID;
}

static enum reason
cert_fault(const struct cert_facts *cert, enum demand demand)
{
	switch (demand) {
	case DEMAND_NOTHING:
	case DEMAND_TLS:
		return REASON_NONE;
	case DEMAND_WEBPKI:
		return webpki_fault(cert);
	case DEMAND_DANE:
		break;
	}
	return dane_fault(cert);
}

/* How the conversation, as far as it has come, falls short of "demand". */
static enum reason
tls_fault(const struct verdict_facts *f, enum demand demand)
{
	if (f->stage == TLS_FAILED_FIRST)
		return REASON_VALIDATION_FAILURE;
	if (demand == DEMAND_NOTHING)
		return REASON_NONE;
	switch (f->stage) {
	case TLS_BEFORE:
		return REASON_NONE;
	case TLS_NOT_OFFERED:
	case TLS_REFUSED:
		return REASON_STARTTLS_NOT_SUPPORTED;
	case TLS_FAILED:
	case TLS_FAILED_FIRST:
	case TLS_CLEAR:
		return REASON_VALIDATION_FAILURE;
	case TLS_DONE:
		break;
	}
	return cert_fault(&f->cert, demand);
}

static enum reason
fault_of(const struct verdict_facts *f)
{
	enum reason reason = why_not_contact(f);

	return reason != REASON_NONE ? reason : tls_fault(f, demand_of(f));
}

/* A testing policy is judged as if it bound (RFC 8461 5). */
static enum reason
sts_fault(const struct verdict_facts *f)
{
	struct verdict_facts as_if = *f;

	if (f->mode != POLICY_TESTING)
		return REASON_NONE;
	if (!f->mx_matches)
		return REASON_STS_MX_MISMATCH;
	if (f->dane == DANE_USABLE || f->dane == DANE_FAILED)
		return REASON_NONE; /* what DANE says is not its failure */
	as_if.mode = POLICY_ENFORCE;
	return tls_fault(&as_if, DEMAND_WEBPKI);
}

static enum reason
require_fault(const struct verdict_facts *f)
{
	struct verdict_facts as_if = *f;

	if (f->level != LEVEL_OPPORTUNISTIC)
		return REASON_NONE;
	as_if.level = LEVEL_REQUIRE;
	return fault_of(&as_if);
}

static enum verdict_auth
auth_of(const struct verdict_facts *f)
{
	if (f->stage != TLS_DONE)
		return AUTH_NONE;
	if (f->dane == DANE_USABLE)
		return f->cert.dane == CERT_DANE_OK ? AUTH_DANE : AUTH_NONE;
	if (webpki_fault(&f->cert) != REASON_NONE)
		return AUTH_NONE;
	return f->mode == POLICY_ENFORCE ? AUTH_MTA_STS : AUTH_WEBPKI;
}

struct verdict
verdict_decide(const struct verdict_facts *f)
{
	struct verdict v = { 0 };

	v.sts_failure = sts_fault(f);
	v.route_secure = f->origin != MX_INSECURE || f->dane == DANE_USABLE ||
	    f->mode == POLICY_ENFORCE;
	v.reason = fault_of(f);
	if (v.reason != REASON_NONE) {
		v.action = VERDICT_SKIP;
		return v;
	}
	/* A refusal or a broken handshake leaves no state worth trusting. */
	v.action = f->stage == TLS_REFUSED || f->stage == TLS_FAILED
	    ? VERDICT_RETRY_CLEAR
	    : VERDICT_GO;
	v.auth = auth_of(f);
	v.would_defer = require_fault(f);
	return v;
}

const char *
level_word(enum tls_level level)
{
	return levels[level];
}

const char *
mode_word(enum policy_mode mode)
{
	return modes[mode];
}

const char *
auth_word(enum verdict_auth auth)
{
	return auths[auth];
}

const char *
dane_word(enum dane_state dane)
{
	return danes[dane];
}

const char *
route_word(bool secure)
{
	return secure ? "secure" : "insecure";
}

int
level_parse(const char *word, enum tls_level *out)
{
	size_t i;

	for (i = 0; i < nitems(levels); i++)
		if (strcmp(levels[i], word) == 0) {
			*out = (enum tls_level)i;
			return 0;
		}
	return -1;
}
