#include "smtpd/trouble.h"

#include <stdio.h>
#include <string.h>

/* clang-format off */
static const char *const stage_words[] = {
	[STAGE_CONNECT]	  = "connect",
	[STAGE_GREETING]  = "greeting",
	[STAGE_EHLO]	  = "ehlo",
	[STAGE_STARTTLS]  = "starttls",
	[STAGE_HANDSHAKE] = "handshake",
	[STAGE_AUTH]	  = "auth",
	[STAGE_MAIL]	  = "mail",
	[STAGE_RCPT]	  = "rcpt",
	[STAGE_DATA]	  = "data",
	[STAGE_CONTENT]	  = "content",
	[STAGE_END]	  = "end of content",
	[STAGE_OTHER]	  = "between messages",
	[STAGE_QUIT]	  = "quit",
};

/* What a reply of 4xx and of 5xx means at each stage. */
struct reply_row {
	enum scope scope;
	enum outcome on_4xx;
	enum outcome on_5xx;
	bool next_host; /* another host may say otherwise */
};

static const struct reply_row reply_rows[] = {
	[STAGE_CONNECT]	  = { SCOPE_HOST, OUTCOME_DEFERRED, OUTCOME_DEFERRED, true },
	[STAGE_GREETING]  = { SCOPE_HOST, OUTCOME_DEFERRED, OUTCOME_DEFERRED, true },
	[STAGE_EHLO]	  = { SCOPE_HOST, OUTCOME_DEFERRED, OUTCOME_DEFERRED, true },
	[STAGE_STARTTLS]  = { SCOPE_HOST, OUTCOME_DEFERRED, OUTCOME_DEFERRED, true },
	[STAGE_HANDSHAKE] = { SCOPE_HOST, OUTCOME_DEFERRED, OUTCOME_DEFERRED, true },
	[STAGE_AUTH]	  = { SCOPE_HOST, OUTCOME_DEFERRED, OUTCOME_DEFERRED, true },
	[STAGE_MAIL]	  = { SCOPE_MESSAGE, OUTCOME_DEFERRED, OUTCOME_BOUNCED, true },
	[STAGE_RCPT]	  = { SCOPE_RECIPIENT, OUTCOME_DEFERRED, OUTCOME_BOUNCED, false },
	[STAGE_DATA]	  = { SCOPE_MESSAGE, OUTCOME_DEFERRED, OUTCOME_BOUNCED, false },
	[STAGE_CONTENT]	  = { SCOPE_MESSAGE, OUTCOME_DEFERRED, OUTCOME_BOUNCED, false },
	[STAGE_END]	  = { SCOPE_MESSAGE, OUTCOME_DEFERRED, OUTCOME_BOUNCED, false },
	[STAGE_OTHER]	  = { SCOPE_HOST, OUTCOME_DEFERRED, OUTCOME_DEFERRED, true },
	[STAGE_QUIT]	  = { SCOPE_HOST, OUTCOME_DEFERRED, OUTCOME_DEFERRED, true },
};

/* What every other kind means, wherever it happens. */
struct kind_row {
	enum outcome outcome;
	enum scope scope;
	enum reason reason;
	bool next_host;
	const char *dsn;  /* NULL: the reason's */
	const char *what; /* said of the stage: "...: WHAT" */
};

static const struct kind_row kind_rows[] = {
	[TROUBLE_REPLY]	   = { OUTCOME_DEFERRED, SCOPE_HOST,
	    REASON_PROTOCOL_ERROR, true, NULL, "an unexpected reply" },
	[TROUBLE_LOST]	   = { OUTCOME_DEFERRED, SCOPE_HOST,
	    REASON_CONNECT_FAILED, true, "4.4.2", "the connection was lost" },
	[TROUBLE_TIMEOUT]  = { OUTCOME_DEFERRED, SCOPE_HOST,
	    REASON_TIMEOUT, true, NULL, "no answer in time" },
	[TROUBLE_PROTOCOL] = { OUTCOME_DEFERRED, SCOPE_HOST,
	    REASON_PROTOCOL_ERROR, true, NULL, "the rules of SMTP were broken" },
	[TROUBLE_NO_TLS]   = { OUTCOME_DEFERRED, SCOPE_HOST,
	    REASON_STARTTLS_NOT_SUPPORTED, true, NULL, "STARTTLS is not offered" },
	[TROUBLE_SIZE]	   = { OUTCOME_BOUNCED, SCOPE_MESSAGE,
	    REASON_REMOTE_5XX, true, "5.3.4",
	    "the message is larger than the host accepts" },
	[TROUBLE_8BIT]	   = { OUTCOME_BOUNCED, SCOPE_MESSAGE,
	    REASON_REMOTE_5XX, true, "5.6.3",
	    "8-bit content, and the host does not offer 8BITMIME" },
	[TROUBLE_UTF8]	   = { OUTCOME_BOUNCED, SCOPE_MESSAGE,
	    REASON_REMOTE_5XX, true, "5.6.7",
	    "an address or the header is not ASCII, and the host does not offer"
	    " SMTPUTF8" },
	[TROUBLE_ARGUMENT] = { OUTCOME_BOUNCED, SCOPE_MESSAGE,
	    REASON_PROTOCOL_ERROR, false, "5.1.3",
	    "an address holds characters that cannot be sent" },
	[TROUBLE_AUTH]	   = { OUTCOME_DEFERRED, SCOPE_HOST,
	    REASON_PROTOCOL_ERROR, true, "4.7.0",
	    "logging in is not possible" },
	[TROUBLE_LOCAL]	   = { OUTCOME_DEFERRED, SCOPE_MESSAGE,
	    REASON_PROTOCOL_ERROR, false, "4.3.0", "given up on our side" },
};
/* clang-format on */

#define nitems(a) (sizeof(a) / sizeof((a)[0]))
_Static_assert(nitems(stage_words) == STAGE_COUNT, "every stage has a word");
_Static_assert(nitems(reply_rows) == STAGE_COUNT, "every stage has a row");
_Static_assert(nitems(kind_rows) == TROUBLE_LOCAL + 1, "so has every kind");

/* Codes for refusals without an enhanced one (RFC 3463, RFC 5248 2.4). */
static const char *
dsn_for(enum stage stage, int code)
{
	switch (code) {
	case 421:
		return "4.3.2";
	case 450:
		return stage == STAGE_RCPT ? "4.2.0" : "4.0.0";
	case 452:
		return "4.3.1";
	case 521:
		return "5.3.2";
	case 530:
	case 535:
		return "5.7.0";
	case 550:
		return stage == STAGE_RCPT ? "5.1.1" : "5.0.0";
	case 552:
		return stage == STAGE_RCPT ? "5.2.2" : "5.3.4";
	case 553:
		return stage == STAGE_RCPT ? "5.1.3" : "5.1.7";
	default:
		return code < 500 ? "4.0.0" : "5.0.0";
	}
}

/* Is a 5xx to MAIL about the message, so that any host would say the same? */
static bool
is_about_message(const struct reply *r)
{
	return r->code == 552 || r->code == 553 ||
	    strncmp(r->dsn, "5.1.", 4) == 0 || strcmp(r->dsn, "5.3.4") == 0 ||
	    strncmp(r->dsn, "5.6.", 4) == 0;
}

static void
judge_reply(struct trouble *t, enum stage stage, const struct reply *r)
{
	const struct reply_row *row = &reply_rows[stage];
	bool permanent = r->code >= 500;

	t->outcome = permanent ? row->on_5xx : row->on_4xx;
	t->scope = row->scope;
	t->reason = permanent ? REASON_REMOTE_5XX : REASON_REMOTE_4XX;
	t->next_host = row->next_host;
	if (stage == STAGE_MAIL && permanent && is_about_message(r))
		t->next_host = false;
	/* The service closes (RFC 5321 3.8): that is about the host. */
	if (r->code == 421) {
		t->scope = SCOPE_HOST;
		t->next_host = stage != STAGE_END;
	}
	if (stage == STAGE_STARTTLS)
		t->reason = REASON_STARTTLS_NOT_SUPPORTED;
	(void)strlcpy(t->dsn,
	    r->dsn[0] != '\0' ? r->dsn : dsn_for(stage, r->code),
	    sizeof t->dsn);
	/* A refusal of the host is no verdict on the message. */
	if (t->outcome == OUTCOME_DEFERRED)
		t->dsn[0] = '4';
	if (stage == STAGE_STARTTLS)
		(void)strlcpy(t->dsn, reason_dsn(t->reason), sizeof t->dsn);
}

void
trouble_judge(struct trouble *t, enum stage stage, enum trouble_kind kind,
    const struct reply *reply, const char *detail)
{
	const struct kind_row *row = &kind_rows[kind];

	*t = (struct trouble){ .outcome = row->outcome,
		.scope = row->scope,
		.reason = row->reason,
		.next_host = row->next_host };
	(void)strlcpy(t->dsn,
	    row->dsn != NULL ? row->dsn : reason_dsn(row->reason),
	    sizeof t->dsn);
	if (kind == TROUBLE_REPLY && reply != NULL)
		judge_reply(t, stage, reply);
	/*
	 * Once the end of the content is out, the message may have been
	 * taken: elsewhere it would arrive twice (RFC 5321 4.5.4.1, RFC 1047).
	 */
	if (stage == STAGE_END && kind != TROUBLE_REPLY) {
		t->scope = SCOPE_MESSAGE;
		t->next_host = false;
	}
	if (detail != NULL)
		(void)strlcpy(t->detail, detail, sizeof t->detail);
	else if (kind == TROUBLE_REPLY && reply != NULL)
		(void)snprintf(t->detail, sizeof t->detail,
		    "%s was refused with %d", stage_words[stage], reply->code);
	else
		(void)snprintf(t->detail, sizeof t->detail, "%s: %s",
		    stage_words[stage], row->what);
}

void
trouble_none(struct trouble *t, const struct reply *reply)
{
	*t = (struct trouble){ .outcome = OUTCOME_DELIVERED,
		.scope = SCOPE_RECIPIENT,
		.reason = REASON_NONE };
	(void)strlcpy(t->dsn,
	    reply != NULL && reply->dsn[0] == '2' ? reply->dsn : "2.0.0",
	    sizeof t->dsn);
}
