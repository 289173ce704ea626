#include "smtpd/trouble.h"

#include <stdio.h>
#include <string.h>

#include "tests/t.h"

static const char *const outcomes[] = { "deliver", "defer", "bounce" };
static const char *const scopes[] = { "recipient", "message", "host",
	"destination" };

struct row {
	enum stage stage;
	enum trouble_kind kind;
	int code; /* of a reply; 0: none */
	const char *dsn;
	const char *want; /* outcome scope reason dsn next|stay */
};

/* clang-format off */
static const struct row rows[] = {
	/* The host refuses: never a verdict on the message. */
	{ STAGE_GREETING, TROUBLE_REPLY, 554, "", "defer host remote-5xx 4.0.0 next" },
	{ STAGE_GREETING, TROUBLE_REPLY, 421, "", "defer host remote-4xx 4.3.2 next" },
	{ STAGE_EHLO, TROUBLE_REPLY, 550, "5.7.1", "defer host remote-5xx 4.7.1 next" },
	{ STAGE_EHLO, TROUBLE_REPLY, 502, "", "defer host remote-5xx 4.0.0 next" },
	{ STAGE_STARTTLS, TROUBLE_REPLY, 454, "4.7.0", "defer host starttls-not-supported 4.7.5 next" },
	{ STAGE_STARTTLS, TROUBLE_REPLY, 554, "5.7.0", "defer host starttls-not-supported 4.7.5 next" },
	{ STAGE_STARTTLS, TROUBLE_NO_TLS, 0, "", "defer host starttls-not-supported 4.7.5 next" },
	{ STAGE_AUTH, TROUBLE_REPLY, 535, "5.7.8", "defer host remote-5xx 4.7.8 next" },
	{ STAGE_AUTH, TROUBLE_REPLY, 535, "", "defer host remote-5xx 4.7.0 next" },
	/* MAIL: another host only where it can help. */
	{ STAGE_MAIL, TROUBLE_REPLY, 550, "5.7.1", "bounce message remote-5xx 5.7.1 next" },
	{ STAGE_MAIL, TROUBLE_REPLY, 521, "", "bounce message remote-5xx 5.3.2 next" },
	{ STAGE_MAIL, TROUBLE_REPLY, 552, "", "bounce message remote-5xx 5.3.4 stay" },
	{ STAGE_MAIL, TROUBLE_REPLY, 550, "5.1.8", "bounce message remote-5xx 5.1.8 stay" },
	{ STAGE_MAIL, TROUBLE_REPLY, 553, "", "bounce message remote-5xx 5.1.7 stay" },
	{ STAGE_MAIL, TROUBLE_REPLY, 451, "4.3.0", "defer message remote-4xx 4.3.0 next" },
	{ STAGE_MAIL, TROUBLE_REPLY, 452, "", "defer message remote-4xx 4.3.1 next" },
	/* RCPT: that recipient alone. */
	{ STAGE_RCPT, TROUBLE_REPLY, 550, "", "bounce recipient remote-5xx 5.1.1 stay" },
	{ STAGE_RCPT, TROUBLE_REPLY, 552, "", "bounce recipient remote-5xx 5.2.2 stay" },
	{ STAGE_RCPT, TROUBLE_REPLY, 450, "", "defer recipient remote-4xx 4.2.0 stay" },
	{ STAGE_RCPT, TROUBLE_REPLY, 451, "4.7.1", "defer recipient remote-4xx 4.7.1 stay" },
	{ STAGE_RCPT, TROUBLE_REPLY, 421, "4.3.2", "defer host remote-4xx 4.3.2 next" },
	/* Content. */
	{ STAGE_DATA, TROUBLE_REPLY, 554, "", "bounce message remote-5xx 5.0.0 stay" },
	{ STAGE_DATA, TROUBLE_REPLY, 451, "", "defer message remote-4xx 4.0.0 stay" },
	{ STAGE_END, TROUBLE_REPLY, 554, "5.6.0", "bounce message remote-5xx 5.6.0 stay" },
	{ STAGE_END, TROUBLE_REPLY, 452, "4.3.1", "defer message remote-4xx 4.3.1 stay" },
	{ STAGE_END, TROUBLE_REPLY, 421, "", "defer host remote-4xx 4.3.2 stay" },
	/* Lost: before the end elsewhere at once; after it, never twice. */
	{ STAGE_CONNECT, TROUBLE_LOST, 0, "", "defer host connect-failed 4.4.2 next" },
	{ STAGE_RCPT, TROUBLE_LOST, 0, "", "defer host connect-failed 4.4.2 next" },
	{ STAGE_CONTENT, TROUBLE_LOST, 0, "", "defer host connect-failed 4.4.2 next" },
	{ STAGE_END, TROUBLE_LOST, 0, "", "defer message connect-failed 4.4.2 stay" },
	{ STAGE_END, TROUBLE_TIMEOUT, 0, "", "defer message timeout 4.4.2 stay" },
	{ STAGE_END, TROUBLE_PROTOCOL, 0, "", "defer message protocol-error 4.5.0 stay" },
	{ STAGE_EHLO, TROUBLE_TIMEOUT, 0, "", "defer host timeout 4.4.2 next" },
	/* What the message asks of a host. */
	{ STAGE_MAIL, TROUBLE_SIZE, 0, "", "bounce message remote-5xx 5.3.4 next" },
	{ STAGE_MAIL, TROUBLE_8BIT, 0, "", "bounce message remote-5xx 5.6.3 next" },
	{ STAGE_MAIL, TROUBLE_UTF8, 0, "", "bounce message remote-5xx 5.6.7 next" },
	{ STAGE_RCPT, TROUBLE_ARGUMENT, 0, "", "bounce message protocol-error 5.1.3 stay" },
	{ STAGE_AUTH, TROUBLE_AUTH, 0, "", "defer host protocol-error 4.7.0 next" },
	{ STAGE_CONTENT, TROUBLE_LOCAL, 0, "", "defer message protocol-error 4.3.0 stay" },
};
/* clang-format on */

static void
judged(void)
{
	struct trouble t;
	struct reply r;
	char got[256];
	size_t i;

	t_case("failure to scope, outcome, reason and code");
	for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		memset(&r, 0, sizeof r);
		r.code = rows[i].code;
		(void)strlcpy(r.dsn, rows[i].dsn, sizeof r.dsn);
		trouble_judge(&t, rows[i].stage, rows[i].kind,
		    r.code != 0 ? &r : NULL, NULL);
		(void)snprintf(got, sizeof got, "%s %s %s %s %s",
		    outcomes[t.outcome], scopes[t.scope], reason_word(t.reason),
		    t.dsn, t.next_host ? "next" : "stay");
		t_row("stage %d, row %zu", rows[i].stage, i);
		t_str(got, rows[i].want);
		t_true(t.detail[0] != '\0');
		t_int(t.dsn[0], t.outcome == OUTCOME_BOUNCED ? '5' : '4');
	}
}

static void
nothing_before_mail_bounces(void)
{
	struct reply r = { .code = 550, .dsn = "5.7.1" };
	struct trouble t;
	int kind, stage;

	t_case("whatever happens before MAIL, no message bounces for it "
	       "(RFC 8461 5.1)");
	for (stage = STAGE_CONNECT; stage <= STAGE_AUTH; stage++) {
		for (kind = TROUBLE_REPLY; kind <= TROUBLE_NO_TLS; kind++) {
			trouble_judge(&t, (enum stage)stage,
			    (enum trouble_kind)kind,
			    kind == TROUBLE_REPLY ? &r : NULL, NULL);
			t_row("stage %d, kind %d", stage, kind);
			t_int(t.outcome, OUTCOME_DEFERRED);
			t_int(t.scope, SCOPE_HOST);
		}
	}
}

static void
delivered(void)
{
	struct reply r = { .code = 250, .dsn = "2.6.0" };
	struct trouble t;

	t_case("delivered, with the peer's code or 2.0.0");
	trouble_none(&t, &r);
	t_int(t.outcome, OUTCOME_DELIVERED);
	t_str(t.dsn, "2.6.0");
	t_int(t.reason, REASON_NONE);
	trouble_none(&t, NULL);
	t_str(t.dsn, "2.0.0");

	t_case("the detail given is kept");
	trouble_judge(&t, STAGE_EHLO, TROUBLE_PROTOCOL, NULL, "because");
	t_str(t.detail, "because");
}

int
main(void)
{
	judged();
	nothing_before_mail_bounces();
	delivered();
	return t_done();
}
