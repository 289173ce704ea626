#include "mtasts/reason.h"

#include <string.h>

#include "tests/t.h"

/* The public words, written out anew: they are a promise. */
static const char *const promised[] = { "starttls-not-supported",
	"certificate-host-mismatch", "certificate-expired",
	"certificate-not-trusted", "validation-failure", "tlsa-invalid",
	"dnssec-invalid", "dane-required", "sts-policy-fetch-error",
	"sts-policy-invalid", "sts-webpki-invalid", "sts-mx-mismatch",
	"no-policy", "private-address", "dns-error", "no-such-domain",
	"null-mx", "mail-loop", "connect-failed", "timeout", "protocol-error",
	"remote-4xx", "remote-5xx", "expired" };
#define COUNT (sizeof(promised) / sizeof(promised[0]))

int
main(void)
{
	size_t i;

	t_case("every promised reason is there, and no other");
	t_int(REASON_COUNT - 1, COUNT);
	for (i = 0; i < COUNT; i++) {
		enum reason r = reason_parse(promised[i]);

		t_row("%s", promised[i]);
		t_str(reason_word(r), promised[i]);
		t_true(strlen(reason_dsn(r)) >= 5);
		t_true(reason_dsn(r)[0] == '4' || reason_dsn(r)[0] == '5');
		t_true(strlen(reason_advice(r)) > 20);
	}
	t_row(NULL);
	t_case("a text that is no reason is none");
	t_int(reason_parse("nonsense"), REASON_NONE);
	t_int(reason_parse(""), REASON_NONE);
	t_str(reason_word((enum reason)9999), "");
	t_case("a failure of TLS or policy is 4.7.5");
	t_str(reason_dsn(REASON_STARTTLS_NOT_SUPPORTED), "4.7.5");
	t_case("null MX is 5.1.10 (RFC 7505 4.2)");
	t_str(reason_dsn(REASON_NULL_MX), "5.1.10");
	t_case("no such domain is 5.1.2 (RFC 3463 3.2)");
	t_str(reason_dsn(REASON_NO_SUCH_DOMAIN), "5.1.2");
	t_case("a loop is 5.4.6 (RFC 3463 3.5)");
	t_str(reason_dsn(REASON_MAIL_LOOP), "5.4.6");
	t_case("policy trouble is told from trouble of the line");
	t_true(reason_is_tls(REASON_NO_POLICY));
	t_true(reason_is_tls(REASON_STARTTLS_NOT_SUPPORTED));
	t_true(!reason_is_tls(REASON_DNS_ERROR));
	t_true(!reason_is_tls(REASON_NONE));
	return t_done();
}
