#include "mtasts/verdict.h"

#include <string.h>

#include "tests/t.h"

#define nitems(a) (sizeof(a) / sizeof((a)[0]))

#define OK \
	{ \
		CERT_OK, true, CERT_DANE_NO_MATCH \
	}
#define OTHER_NAME \
	{ \
		CERT_OK, false, CERT_DANE_NO_MATCH \
	}
#define OLD \
	{ \
		CERT_EXPIRED, true, CERT_DANE_NO_MATCH \
	}
#define SELF_SIGNED \
	{ \
		CERT_UNTRUSTED, true, CERT_DANE_NO_MATCH \
	}
#define BAD \
	{ \
		CERT_INVALID, true, CERT_DANE_NO_MATCH \
	}
#define BY_DANE \
	{ \
		CERT_UNTRUSTED, false, CERT_DANE_OK \
	}
#define OTHER_TA_NAME \
	{ \
		CERT_UNTRUSTED, false, CERT_DANE_OTHER_NAME \
	}
#define OLD_BY_TA \
	{ \
		CERT_UNTRUSTED, true, CERT_DANE_EXPIRED \
	}
#define NO_CERT \
	{ \
		CERT_UNTRUSTED, false, CERT_DANE_NO_MATCH \
	}

#define REQ LEVEL_REQUIRE
#define STR LEVEL_STRICT
#define OPP LEVEL_OPPORTUNISTIC
#define ABS POLICY_ABSENT
#define ENF POLICY_ENFORCE
#define TST POLICY_TESTING
#define FETCH REASON_STS_POLICY_FETCH_ERROR

/*
 * want: action, reason or "-", auth, route, would-defer or "-", testing
 * failure or "-".
 */
/* clang-format off */
static const struct {
	const char *sentence;
	struct verdict_facts facts;
	const char *want;
} rows[] = {
{ "require: any host is contacted",
  { REQ, ABS, 0, 0, DANE_NONE, MX_INSECURE, TLS_BEFORE, NO_CERT },
  "go - none insecure - -" },
{ "require: no STARTTLS is deferred, never sent in clear",
  { REQ, ABS, 0, 0, DANE_NONE, MX_INSECURE, TLS_NOT_OFFERED, NO_CERT },
  "skip starttls-not-supported none insecure - -" },
{ "require: STARTTLS refused with 502 is no verdict on the message (mox#365)",
  { REQ, ABS, 0, 0, DANE_NONE, MX_INSECURE, TLS_REFUSED, NO_CERT },
  "skip starttls-not-supported none insecure - -" },
{ "require: a broken handshake is deferred",
  { REQ, ABS, 0, 0, DANE_NONE, MX_INSECURE, TLS_FAILED, NO_CERT },
  "skip validation-failure none insecure - -" },
{ "require: chain and name authenticate the host, not the route",
  { REQ, ABS, 0, 0, DANE_NONE, MX_INSECURE, TLS_DONE, OK },
  "go - webpki insecure - -" },
{ "require: a signed MX makes the route secure",
  { REQ, ABS, 0, 0, DANE_NONE, MX_SECURE, TLS_DONE, OK },
  "go - webpki secure - -" },
{ "require: a via line makes the route secure",
  { REQ, ABS, 0, 0, DANE_NONE, MX_VIA, TLS_DONE, OK },
  "go - webpki secure - -" },
{ "require: a certificate for another name",
  { REQ, ABS, 0, 0, DANE_NONE, MX_INSECURE, TLS_DONE, OTHER_NAME },
  "skip certificate-host-mismatch none insecure - -" },
{ "require: an expired certificate",
  { REQ, ABS, 0, 0, DANE_NONE, MX_INSECURE, TLS_DONE, OLD },
  "skip certificate-expired none insecure - -" },
{ "require: a self-signed certificate",
  { REQ, ABS, 0, 0, DANE_NONE, MX_INSECURE, TLS_DONE, SELF_SIGNED },
  "skip certificate-not-trusted none insecure - -" },
{ "require: any other fault of the certificate",
  { REQ, ABS, 0, 0, DANE_NONE, MX_INSECURE, TLS_DONE, BAD },
  "skip validation-failure none insecure - -" },
{ "require: a via host needs its certificate too",
  { REQ, ABS, 0, 0, DANE_NONE, MX_VIA, TLS_DONE, OTHER_NAME },
  "skip certificate-host-mismatch none secure - -" },
{ "enforce: a host outside the policy is not contacted (RFC 8461 4.1)",
  { REQ, ENF, 0, false, DANE_NONE, MX_INSECURE, TLS_BEFORE, NO_CERT },
  "skip sts-mx-mismatch none secure - -" },
{ "enforce: a matching host is contacted (RFC 8461 4.1)",
  { REQ, ENF, 0, true, DANE_NONE, MX_INSECURE, TLS_BEFORE, NO_CERT },
  "go - none secure - -" },
{ "enforce: matching and verified (RFC 8461 4.2)",
  { REQ, ENF, 0, true, DANE_NONE, MX_INSECURE, TLS_DONE, OK },
  "go - mta-sts secure - -" },
{ "enforce: a valid certificate does not save a wrong host (RFC 8461 4)",
  { REQ, ENF, 0, false, DANE_NONE, MX_INSECURE, TLS_DONE, OK },
  "skip sts-mx-mismatch none secure - -" },
{ "enforce binds under opportunistic too (RFC 8461 5)",
  { OPP, ENF, 0, true, DANE_NONE, MX_INSECURE, TLS_NOT_OFFERED, NO_CERT },
  "skip starttls-not-supported none secure - -" },
{ "enforce under opportunistic: the certificate is checked (RFC 8461 5)",
  { OPP, ENF, 0, true, DANE_NONE, MX_INSECURE, TLS_DONE, SELF_SIGNED },
  "skip certificate-not-trusted none secure - -" },
{ "testing: a mismatch is noted and delivery goes on (RFC 8461 5)",
  { REQ, TST, 0, false, DANE_NONE, MX_INSECURE, TLS_DONE, OK },
  "go - webpki insecure - sts-mx-mismatch" },
{ "testing: all is well",
  { REQ, TST, 0, true, DANE_NONE, MX_INSECURE, TLS_DONE, OK },
  "go - webpki insecure - -" },
{ "testing never lowers the level (KumoMTA)",
  { REQ, TST, 0, true, DANE_NONE, MX_INSECURE, TLS_DONE, SELF_SIGNED },
  "skip certificate-not-trusted none insecure - certificate-not-trusted" },
{ "testing under opportunistic: sent in clear, and noted (RFC 8461 5)",
  { OPP, TST, 0, true, DANE_NONE, MX_INSECURE, TLS_NOT_OFFERED, NO_CERT },
  "go - none insecure starttls-not-supported starttls-not-supported" },
{ "none is as if there were no policy (RFC 8461 5)",
  { REQ, POLICY_NONE, 0, false, DANE_NONE, MX_INSECURE, TLS_DONE, OK },
  "go - webpki insecure - -" },
{ "strict: no policy",
  { STR, ABS, 0, 0, DANE_NONE, MX_INSECURE, TLS_BEFORE, NO_CERT },
  "skip no-policy none insecure - -" },
{ "strict: a policy that could not be had is named as such",
  { STR, ABS, FETCH, 0, DANE_NONE, MX_INSECURE, TLS_BEFORE, NO_CERT },
  "skip sts-policy-fetch-error none insecure - -" },
{ "require goes on without the policy that could not be had (RFC 8461 3.3)",
  { REQ, ABS, FETCH, 0, DANE_NONE, MX_INSECURE, TLS_DONE, OK },
  "go - webpki insecure - -" },
{ "strict: testing is not enough",
  { STR, TST, 0, true, DANE_NONE, MX_INSECURE, TLS_BEFORE, NO_CERT },
  "skip no-policy none insecure - -" },
{ "strict: mode none is not enough",
  { STR, POLICY_NONE, 0, 0, DANE_NONE, MX_INSECURE, TLS_BEFORE, NO_CERT },
  "skip no-policy none insecure - -" },
{ "strict: a via line alone is not enough",
  { STR, ABS, 0, 0, DANE_NONE, MX_VIA, TLS_BEFORE, NO_CERT },
  "skip no-policy none secure - -" },
{ "strict: enforce will do",
  { STR, ENF, 0, true, DANE_NONE, MX_INSECURE, TLS_DONE, OK },
  "go - mta-sts secure - -" },
{ "strict: DANE will do",
  { STR, ABS, 0, 0, DANE_USABLE, MX_SECURE, TLS_DONE, BY_DANE },
  "go - dane secure - -" },
{ "strict: unusable records are no DANE",
  { STR, ABS, 0, 0, DANE_UNUSABLE, MX_SECURE, TLS_BEFORE, NO_CERT },
  "skip no-policy none secure - -" },
{ "DANE: a record suffices, whatever the chain and name (RFC 7672 3.1.1)",
  { REQ, ABS, 0, 0, DANE_USABLE, MX_SECURE, TLS_DONE, BY_DANE },
  "go - dane secure - -" },
{ "DANE: a chain to a trusted root rescues nothing (RFC 8461 2)",
  { REQ, ENF, 0, true, DANE_USABLE, MX_SECURE, TLS_DONE, OK },
  "skip tlsa-invalid none secure - -" },
{ "DANE-TA: the name counts (RFC 7672 3.1.2)",
  { REQ, ABS, 0, 0, DANE_USABLE, MX_SECURE, TLS_DONE, OTHER_TA_NAME },
  "skip certificate-host-mismatch none secure - -" },
{ "DANE-TA: the dates count (RFC 7672 3.1.2)",
  { OPP, ABS, 0, 0, DANE_USABLE, MX_SECURE, TLS_DONE, OLD_BY_TA },
  "skip certificate-expired none secure - -" },
{ "DANE under enforce: the host must match as well",
  { REQ, ENF, 0, false, DANE_USABLE, MX_SECURE, TLS_DONE, BY_DANE },
  "skip sts-mx-mismatch none secure - -" },
{ "DANE under enforce: both hold",
  { REQ, ENF, 0, true, DANE_USABLE, MX_SECURE, TLS_DONE, BY_DANE },
  "go - dane secure - -" },
{ "DANE binds under opportunistic (RFC 7672 2.2)",
  { OPP, ABS, 0, 0, DANE_USABLE, MX_SECURE, TLS_NOT_OFFERED, NO_CERT },
  "skip starttls-not-supported none secure - -" },
{ "DANE: a failed look-up skips the host (RFC 7672 2.1.2)",
  { OPP, ABS, 0, 0, DANE_FAILED, MX_SECURE, TLS_BEFORE, NO_CERT },
  "skip dnssec-invalid none secure - -" },
{ "DANE unusable: TLS stays mandatory (RFC 7672 2.2)",
  { OPP, ABS, 0, 0, DANE_UNUSABLE, MX_SECURE, TLS_NOT_OFFERED, NO_CERT },
  "skip starttls-not-supported none secure - -" },
{ "DANE unusable: authentication falls to the level, opportunistic",
  { OPP, ABS, 0, 0, DANE_UNUSABLE, MX_SECURE, TLS_DONE, SELF_SIGNED },
  "go - none secure certificate-not-trusted -" },
{ "DANE unusable: authentication falls to the level, require",
  { REQ, ABS, 0, 0, DANE_UNUSABLE, MX_SECURE, TLS_DONE, SELF_SIGNED },
  "skip certificate-not-trusted none secure - -" },
{ "DANE unusable: under require a certificate will do",
  { REQ, ABS, 0, 0, DANE_UNUSABLE, MX_SECURE, TLS_DONE, OK },
  "go - webpki secure - -" },
{ "opportunistic: no STARTTLS goes in clear and is noted (RFC 7435)",
  { OPP, ABS, 0, 0, DANE_NONE, MX_INSECURE, TLS_NOT_OFFERED, NO_CERT },
  "go - none insecure starttls-not-supported -" },
{ "opportunistic: STARTTLS refused: a fresh connection in clear",
  { OPP, ABS, 0, 0, DANE_NONE, MX_INSECURE, TLS_REFUSED, NO_CERT },
  "clear - none insecure starttls-not-supported -" },
{ "opportunistic: a broken handshake: a fresh connection in clear",
  { OPP, ABS, 0, 0, DANE_NONE, MX_INSECURE, TLS_FAILED, NO_CERT },
  "clear - none insecure validation-failure -" },
{ "opportunistic: a broken handshake where there is no clear to go back to",
  { OPP, ABS, 0, 0, DANE_NONE, MX_VIA, TLS_FAILED_FIRST, NO_CERT },
  "skip validation-failure none secure - -" },
{ "opportunistic: that fresh connection is used",
  { OPP, ABS, 0, 0, DANE_NONE, MX_INSECURE, TLS_CLEAR, NO_CERT },
  "go - none insecure validation-failure -" },
{ "no level but opportunistic uses such a connection",
  { REQ, ABS, 0, 0, DANE_NONE, MX_INSECURE, TLS_CLEAR, NO_CERT },
  "skip validation-failure none insecure - -" },
{ "opportunistic: any certificate is better than none (RFC 7435)",
  { OPP, ABS, 0, 0, DANE_NONE, MX_INSECURE, TLS_DONE, SELF_SIGNED },
  "go - none insecure certificate-not-trusted -" },
{ "opportunistic: a good certificate is told as such",
  { OPP, ABS, 0, 0, DANE_NONE, MX_INSECURE, TLS_DONE, OK },
  "go - webpki insecure - -" },
{ "a damaged copy of a policy waits, at any level",
  { OPP, POLICY_UNKNOWN, 0, 0, DANE_NONE, MX_INSECURE, TLS_BEFORE, NO_CERT },
  "skip sts-policy-fetch-error none insecure - -" },
};
/* clang-format on */

static const char *
word_or_dash(enum reason reason)
{
	return reason == REASON_NONE ? "-" : reason_word(reason);
}

static const char *
show(const struct verdict *v)
{
	static const char *const actions[] = {
		[VERDICT_SKIP] = "skip",
		[VERDICT_GO] = "go",
		[VERDICT_RETRY_CLEAR] = "clear",
	};
	const char *const words[] = { actions[v->action],
		word_or_dash(v->reason), auth_word(v->auth),
		route_word(v->route_secure), word_or_dash(v->would_defer),
		word_or_dash(v->sts_failure) };
	static char text[256];
	size_t i;

	text[0] = '\0';
	for (i = 0; i < nitems(words); i++) {
		if (i > 0)
			strlcat(text, " ", sizeof(text));
		strlcat(text, words[i], sizeof(text));
	}
	return text;
}

/* What the documents say, put another way than verdict.c does. */
static bool
binds(const struct verdict_facts *f)
{
	return f->level != OPP || f->mode == ENF || f->dane == DANE_USABLE;
}

static bool
proved(const struct verdict_facts *f)
{
	if (f->stage != TLS_DONE)
		return false;
	if (f->dane == DANE_USABLE)
		return f->cert.dane == CERT_DANE_OK;
	return f->cert.chain == CERT_OK && f->cert.name_matches;
}

static bool
host_fits(const struct verdict_facts *f)
{
	if (f->mode == POLICY_UNKNOWN || f->dane == DANE_FAILED)
		return false;
	if (f->mode == ENF && !f->mx_matches)
		return false;
	return f->level != STR || f->mode == ENF || f->dane == DANE_USABLE;
}

static enum verdict_action
expected(const struct verdict_facts *f)
{
	if (!host_fits(f))
		return VERDICT_SKIP;
	if (f->stage == TLS_BEFORE)
		return VERDICT_GO;
	if (binds(f))
		return proved(f) ? VERDICT_GO : VERDICT_SKIP;
	if (f->stage == TLS_DONE)
		return VERDICT_GO;
	if (f->dane == DANE_UNUSABLE || f->stage == TLS_FAILED_FIRST)
		return VERDICT_SKIP;
	return f->stage == TLS_REFUSED || f->stage == TLS_FAILED
	    ? VERDICT_RETRY_CLEAR
	    : VERDICT_GO;
}

static bool
action_as_written(const struct verdict_facts *f, const struct verdict *v)
{
	return v->action == expected(f) &&
	    (v->reason == REASON_NONE) == (v->action != VERDICT_SKIP);
}

static bool
nothing_unproved(const struct verdict_facts *f, const struct verdict *v)
{
	return f->level == OPP || f->stage == TLS_BEFORE ||
	    v->action == VERDICT_SKIP ||
	    (v->auth != AUTH_NONE && f->stage == TLS_DONE);
}

static bool
enforce_binds(const struct verdict_facts *f, const struct verdict *v)
{
	return f->mode != ENF || f->stage == TLS_BEFORE ||
	    v->action == VERDICT_SKIP ||
	    (f->mx_matches &&
		(v->auth == AUTH_MTA_STS || v->auth == AUTH_DANE));
}

static bool
would_defer_exact(const struct verdict_facts *f, const struct verdict *v)
{
	struct verdict_facts g = *f;

	if (f->level != OPP || v->action == VERDICT_SKIP)
		return v->would_defer == REASON_NONE;
	g.level = REQ;
	return v->would_defer == verdict_decide(&g).reason;
}

static bool
levels_in_order(const struct verdict_facts *f, const struct verdict *v)
{
	struct verdict_facts g = *f;

	if (v->action != VERDICT_GO || f->level == OPP)
		return true;
	g.level = f->level == STR ? REQ : OPP;
	return verdict_decide(&g).action == VERDICT_GO;
}

static bool
testing_harmless(const struct verdict_facts *f, const struct verdict *v)
{
	struct verdict_facts g = *f;
	struct verdict other;

	if (f->mode != TST)
		return v->sts_failure == REASON_NONE;
	g.mode = POLICY_NONE;
	other = verdict_decide(&g);
	return v->action == other.action && v->auth == other.auth;
}

static const struct {
	const char *sentence;
	bool (*holds)(const struct verdict_facts *, const struct verdict *);
} properties[] = {
	{ "walk: the action is the documents', for all facts",
	    action_as_written },
	{ "walk: nothing goes unproved under require and strict",
	    nothing_unproved },
	{ "walk: enforce means match and proof, at any level", enforce_binds },
	{ "walk: would-defer is what require says", would_defer_exact },
	{ "walk: what a stricter level permits, a laxer one does",
	    levels_in_order },
	{ "walk: a testing policy changes no action", testing_harmless },
};

static bool
next(unsigned *rest, unsigned count, unsigned *value)
{
	*value = *rest % count;
	*rest /= count;
	return true;
}

/* The n-th of all combinations; false behind the last. */
static bool
combination(unsigned n, struct verdict_facts *f)
{
	unsigned v[10];

	next(&n, 3, &v[0]);
	next(&n, 5, &v[1]);
	next(&n, 2, &v[2]);
	next(&n, 2, &v[3]);
	next(&n, 4, &v[4]);
	next(&n, 3, &v[5]);
	next(&n, 7, &v[6]);
	next(&n, 4, &v[7]);
	next(&n, 2, &v[8]);
	next(&n, 4, &v[9]);
	f->level = (enum tls_level)v[0];
	f->mode = (enum policy_mode)v[1];
	f->policy_trouble = v[2] ? REASON_STS_POLICY_INVALID : REASON_NONE;
	f->mx_matches = v[3] != 0;
	f->dane = (enum dane_state)v[4];
	f->origin = (enum mx_origin)v[5];
	f->stage = (enum tls_stage)v[6];
	f->cert.chain = (enum cert_chain)v[7];
	f->cert.name_matches = v[8] != 0;
	f->cert.dane = (enum cert_dane)v[9];
	return n == 0;
}

static void
walk(size_t property)
{
	struct verdict_facts f;
	struct verdict v;
	unsigned n, broken = 0;

	t_case(properties[property].sentence);
	for (n = 0; combination(n, &f); n++) {
		v = verdict_decide(&f);
		if (properties[property].holds(&f, &v))
			continue;
		if (broken++ == 0)
			t_row("first at combination %u: %s", n, show(&v));
	}
	t_int(broken, 0);
	t_int(n, 3 * 5 * 2 * 2 * 4 * 3 * 7 * 4 * 2 * 4);
}

static void
words(void)
{
	enum tls_level level = STR;

	t_case("words of levels, modes and the rest");
	t_str(level_word(OPP), "opportunistic");
	t_str(mode_word(ENF), "enforce");
	t_str(auth_word(AUTH_MTA_STS), "mta-sts");
	t_str(dane_word(DANE_FAILED), "failed");
	t_str(route_word(false), "insecure");
	t_int(level_parse("require", &level), 0);
	t_int(level, REQ);
	t_int(level_parse("Require", &level), -1);
}

int
main(void)
{
	size_t i;

	for (i = 0; i < nitems(rows); i++) {
		struct verdict v = verdict_decide(&rows[i].facts);

		t_case(rows[i].sentence);
		t_str(show(&v), rows[i].want);
	}
	for (i = 0; i < nitems(properties); i++)
		walk(i);
	words();
	return t_done();
}
