#include "smtpd/explain.h"

#include <string.h>

#include "tests/t.h"

static void
test_found(void)
{
	struct tls_facts tls = { .names = "a.test b.test",
		.issuer = "CN=Root",
		.why = "certificate has expired",
		.not_after = 1790000000 };
	static const struct {
		enum reason reason;
		bool tls;
		const char *words;
		const char *want;
	} rows[] = {
		{ REASON_CERTIFICATE_HOST_MISMATCH, true, "",
		    "its certificate is for a.test b.test, not for mx.test" },
		{ REASON_CERTIFICATE_EXPIRED, true, "",
		    "certificate has expired (its certificate is valid until"
		    " 2026-09-21)" },
		{ REASON_CERTIFICATE_NOT_TRUSTED, true, "",
		    "its certificate, issued by CN=Root, does not verify:"
		    " certificate has expired" },
		{ REASON_TLSA_INVALID, true, "",
		    "its certificate (issued by CN=Root, for a.test b.test)"
		    " fits none of its TLSA records" },
		{ REASON_STARTTLS_NOT_SUPPORTED, false, "",
		    "it does not offer STARTTLS" },
		{ REASON_STARTTLS_NOT_SUPPORTED, false, "454 no",
		    "it refused STARTTLS: 454 no" },
		{ REASON_VALIDATION_FAILURE, false, "TLS handshake: reset",
		    "TLS handshake: reset" },
		{ REASON_STS_MX_MISMATCH, false, "",
		    "the destination's MTA-STS policy does not name it" },
		{ REASON_STS_MX_MISMATCH, false, "mx.a.test *.b.test",
		    "the destination's MTA-STS policy does not name it, but"
		    " only mx.a.test *.b.test" },
		{ REASON_DNSSEC_INVALID, false, "its TLSA records: SERVFAIL",
		    "what DNS says of it cannot be trusted: its TLSA records:"
		    " SERVFAIL" },
		{ REASON_STS_POLICY_FETCH_ERROR, false, "status 404",
		    "the destination's MTA-STS policy cannot be had: status"
		    " 404" },
		{ REASON_STS_POLICY_INVALID, false, "it has no mode",
		    "the destination's MTA-STS policy is invalid: it has no"
		    " mode" },
	};
	struct explain_found_args args = { .host = "mx.test" };
	char text[600];
	size_t i;

	t_case("explain: what was found, in words");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		args.reason = rows[i].reason;
		args.tls = rows[i].tls ? &tls : NULL;
		args.words = rows[i].words;
		explain_found(text, sizeof(text), &args);
		t_str(text, rows[i].want);
	}
	(void)strlcpy(tls.names, "an.example the.example", sizeof(tls.names));
	while (strlen(tls.names) < 400)
		(void)strlcat(tls.names, " one.more.example",
		    sizeof(tls.names));
	args.tls = &tls;
	args.reason = REASON_CERTIFICATE_HOST_MISMATCH;
	explain_found(text, sizeof(text), &args);
	t_true(strlen(text) < 240);
	t_true(strstr(text, "one.more.example ..., not for mx.test") != NULL);
	tls.names[0] = '\0';
	args.tls = &tls;
	args.reason = REASON_CERTIFICATE_HOST_MISMATCH;
	explain_found(text, sizeof(text), &args);
	t_str(text, "its certificate names no host, so not mx.test either");
	tls.dane = TLS_DANE_EXPIRED;
	args.reason = REASON_CERTIFICATE_EXPIRED;
	explain_found(text, sizeof(text), &args);
	t_str(text,
	    "its certificate (valid until 2026-09-21), or one above it, has"
	    " expired or is not yet valid");
}

static void
test_exception(void)
{
	static const struct {
		const char *name;
		enum reason reason;
		enum tls_level level;
		enum policy_mode mode;
		enum dane_state dane;
		const char *want; /* part; "": nothing at all */
	} rows[] = {
		{ "no policy binds", REASON_CERTIFICATE_EXPIRED, LEVEL_REQUIRE,
		    POLICY_TESTING, DANE_NONE,
		    "`destination example.net { tls opportunistic until"
		    " 2026-12-24 because \"...\" }`" },
		{ "an enforced policy", REASON_CERTIFICATE_EXPIRED,
		    LEVEL_REQUIRE, POLICY_ENFORCE, DANE_NONE,
		    "the policy binds at every level" },
		{ "DANE", REASON_TLSA_INVALID, LEVEL_REQUIRE, POLICY_ABSENT,
		    DANE_USABLE, "DANE binds at every level" },
		{ "DANE and an enforced policy, the certificate",
		    REASON_CERTIFICATE_EXPIRED, LEVEL_REQUIRE, POLICY_ENFORCE,
		    DANE_USABLE, "DANE binds at every level" },
		{ "DANE and an enforced policy, the host",
		    REASON_STS_MX_MISMATCH, LEVEL_REQUIRE, POLICY_ENFORCE,
		    DANE_USABLE, "the policy binds at every level" },
		{ "unusable TLSA records and a certificate",
		    REASON_CERTIFICATE_NOT_TRUSTED, LEVEL_REQUIRE,
		    POLICY_ABSENT, DANE_UNUSABLE, "{ tls opportunistic" },
		{ "unusable TLSA records and no STARTTLS",
		    REASON_STARTTLS_NOT_SUPPORTED, LEVEL_OPPORTUNISTIC,
		    POLICY_ABSENT, DANE_UNUSABLE, "DANE binds at every level" },
		{ "an exception that there is does not help",
		    REASON_VALIDATION_FAILURE, LEVEL_OPPORTUNISTIC,
		    POLICY_ABSENT, DANE_NONE, "" },
		{ "strict, no policy", REASON_NO_POLICY, LEVEL_STRICT,
		    POLICY_ABSENT, DANE_NONE,
		    "`destination example.net { tls require }`" },
		{ "strict, fetch failed", REASON_STS_POLICY_FETCH_ERROR,
		    LEVEL_STRICT, POLICY_ABSENT, DANE_NONE,
		    "`destination example.net { tls require }`" },
		{ "a damaged copy", REASON_STS_POLICY_FETCH_ERROR,
		    LEVEL_REQUIRE, POLICY_UNKNOWN, DANE_NONE, "" },
		{ "private", REASON_PRIVATE_ADDRESS, LEVEL_REQUIRE,
		    POLICY_ENFORCE, DANE_NONE, "`allow private 10.1.2.3`" },
		{ "private policy host", REASON_PRIVATE_ADDRESS, LEVEL_STRICT,
		    POLICY_ABSENT, DANE_NONE,
		    "`destination example.net { tls require }`" },
		{ "no TLS matter", REASON_TIMEOUT, LEVEL_REQUIRE, POLICY_ABSENT,
		    DANE_NONE, "" },
	};
	struct explain_exception_args args = { .destination = "example.net",
		.addr = "10.1.2.3",
		.now = 1795492800 }; /* 2026-11-24 */
	char text[600];
	size_t i;

	t_case("explain: the lines that would make an exception");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		t_row("%s", rows[i].name);
		args.reason = rows[i].reason;
		args.level = rows[i].level;
		args.mode = rows[i].mode;
		args.dane = rows[i].dane;
		explain_exception(text, sizeof(text), &args);
		if (rows[i].want[0] == '\0')
			t_str(text, "");
		else if (strstr(text, rows[i].want) == NULL)
			t_str(text, rows[i].want);
		else
			t_true(strlen(text) < 300);
	}
	t_row(NULL);
}

int
main(void)
{
	test_found();
	test_exception();
	return t_done();
}
