#include "queue/dsn.h"

#include <stdlib.h>
#include <string.h>

#include "tests/t.h"

static const char *
advice(void *arg, const char *reason)
{
	(void)arg;
	return strcmp(reason, "certificate-expired") == 0
	    ? "the host's certificate has expired"
	    : "";
}

static const char content[] = "From: a@one.example\r\nSubject: secret\r\n"
			      "\r\nthe body\r\n";

struct setting {
	struct recipient rcpt;
	struct spool_attempt attempt;
	struct dsn_rcpt pair;
	struct envelope env;
	struct dsn d;
};

static void
set(struct setting *s)
{
	memset(s, 0, sizeof *s);
	s->rcpt.address = "b@two.example";
	s->rcpt.orcpt = "rfc822;b+2Bx@two.example";
	s->attempt.at_ms = 1700000000000;
	s->attempt.result.reason = "certificate-expired";
	s->attempt.result.dsn = "4.7.5";
	s->attempt.result.mx = "mx.two.example";
	s->attempt.result.reply = "";
	s->attempt.result.detail =
	    "mx.two.example shows an expired certificate";
	s->attempt.result.tls = true;
	s->pair.rcpt = &s->rcpt;
	s->pair.attempt = &s->attempt;
	envelope_init(&s->env);
	s->env.id = 6800000000000000001;
	s->env.arrived_us = 1699999999000000;
	s->env.sender = "a@one.example";
	s->env.envid = "QQ+2B1";
	s->env.message_id = "<m@one.example>";
	s->d.id = 6800000000000000005;
	s->d.hostname = "relay.example";
	s->d.env = &s->env;
	s->d.rcpts = &s->pair;
	s->d.rcpt_count = 1;
	s->d.now_ms = 1700000001000;
	s->d.expires_ms = 1700400000000;
	s->d.advice = advice;
	s->d.content = content;
	s->d.content_len = sizeof content - 1;
	s->d.full = true;
}

static char *
write_report(const struct setting *s)
{
	size_t len;
	char *text;
	FILE *to;

	to = open_memstream(&text, &len);
	if (to == NULL)
		abort();
	dsn_write(to, &s->d);
	if (fclose(to) != 0)
		abort();
	return text;
}

/* Lines end in CRLF and are short; boundaries stand where they must. */
static void
check_form(const char *text)
{
	const char *at, *end;

	for (at = text; *at != '\0'; at = end + 2) {
		end = strstr(at, "\r\n");
		t_true(end != NULL && end - at <= 998);
		if (end == NULL)
			return;
		t_true(memchr(at, '\n', (size_t)(end - at)) == NULL);
	}
}

static int
count(const char *text, const char *what)
{
	int n;

	for (n = 0; (text = strstr(text, what)) != NULL; n++)
		text += strlen(what);
	return n;
}

static void
has(const char *text, const char *what)
{
	if (strstr(text, what) == NULL)
		t_str(text, what);
	else
		t_true(true);
}

static void
bounce(void)
{
	struct setting s;
	char *text;

	t_case(
	    "a bounce is a multipart/report in three parts (RFC 3462, 3464)");
	set(&s);
	text = write_report(&s);
	check_form(text);
	has(text, "To: <a@one.example>\r\n");
	has(text,
	    "Content-Type: multipart/report;"
	    " report-type=delivery-status;\r\n");
	t_int(count(text, "\r\n--=_report_"), 4);
	has(text, "Reporting-MTA: dns; relay.example\r\n");
	has(text, "Original-Recipient: rfc822; b+x@two.example\r\n");
	has(text, "Final-Recipient: rfc822; b@two.example\r\n");
	has(text, "Action: failed\r\nStatus: 4.7.5\r\n");
	has(text, "Remote-MTA: dns; mx.two.example\r\n");
	has(text, "Original-Envelope-Id: QQ+1\r\n");
	has(text, "Last-Attempt-Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n");

	t_case("it is marked as automatic (RFC 3834) and answers the message");
	has(text, "Auto-Submitted: auto-replied\r\n");
	has(text, "References: <m@one.example>\r\n");
	free(text);
	s.env.message_id = "<cut.off@one";
	text = write_report(&s);
	t_true(strstr(text, "References") == NULL);
	t_true(strstr(text, "In-Reply-To") == NULL);

	t_case("people read the reason, what it means and what to do");
	has(text, "expired certificate");
	has(text, "Reason: certificate-expired\r\n");
	has(text, "the host's certificate has expired");
	has(text, "postmaster");

	t_case("RET=FULL brings the message back, RET=HDRS its header only");
	has(text, "Content-Type: message/rfc822\r\n");
	has(text, "the body\r\n");
	free(text);
	s.d.full = false;
	text = write_report(&s);
	has(text, "Content-Type: text/rfc822-headers\r\n");
	has(text, "Subject: secret\r\n");
	t_true(strstr(text, "the body") == NULL);
	free(text);
}

static void
others(void)
{
	struct setting s;
	char *text;

	t_case("a notice of delay says until when it is tried");
	set(&s);
	s.d.kind = REPORT_DELAY;
	text = write_report(&s);
	check_form(text);
	has(text, "Action: delayed\r\n");
	has(text, "Will-Retry-Until: Sun, 19 Nov 2023 13:20:00 +0000\r\n");
	free(text);

	t_case("`relayed` has no reason");
	set(&s);
	s.d.kind = REPORT_RELAYED;
	s.attempt.result.dsn = "";
	s.attempt.result.reply = "250 2.0.0 ok";
	text = write_report(&s);
	has(text, "Action: relayed\r\nStatus: 2.0.0\r\n");
	has(text, "Diagnostic-Code: smtp; 250 2.0.0 ok\r\n");
	t_true(strstr(text, "Reason:") == NULL);
	free(text);

	t_case("a host's long and wild reply stays text in short lines");
	set(&s);
	s.attempt.result.reply =
	    "550 \x1b[31mno\xc3\xa4 words words words words"
	    " words words words words words words words"
	    " words words words";
	text = write_report(&s);
	check_form(text);
	t_true(strchr(text, 0x1b) == NULL);
	has(text, "Diagnostic-Code: smtp; 550 ?[31mno??");
	free(text);

	t_case("addresses beyond ASCII need the global types (RFC 6533)");
	set(&s);
	s.rcpt.address = "j\xc3\xb6rg@two.example";
	text = write_report(&s);
	has(text, "Content-Type: message/global-delivery-status\r\n");
	has(text, "Final-Recipient: utf-8; j\xc3\xb6rg@two.example\r\n");
	free(text);
}

static void
wanted(void)
{
	static const struct {
		uint32_t notify;
		bool bounce, delay, relayed;
	} rows[] = {
		{ 0, true, true, false },
		{ NOTIFY_NEVER, false, false, false },
		{ NOTIFY_SUCCESS, false, false, true },
		{ NOTIFY_FAILURE, true, false, false },
		{ NOTIFY_DELAY, false, true, false },
		{ NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY, true, true,
		    true },
	};
	struct recipient rcpt = { "b@two.example", "", 0 };
	size_t i;

	t_case("NOTIFY says who is told of what (RFC 3461 4.1)");
	for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		t_row("NOTIFY %u", rows[i].notify);
		rcpt.notify = rows[i].notify;
		t_int(dsn_wanted(REPORT_BOUNCE, "a@one.example", &rcpt),
		    rows[i].bounce);
		t_int(dsn_wanted(REPORT_DELAY, "a@one.example", &rcpt),
		    rows[i].delay);
		t_int(dsn_wanted(REPORT_RELAYED, "a@one.example", &rcpt),
		    rows[i].relayed);
		t_true(!dsn_wanted(REPORT_BOUNCE, "", &rcpt));
	}
	t_row(NULL);

	t_case("a header ends at the first empty line");
	t_int(dsn_header_len("A: b\r\n\r\nx\r\n", 11), 6);
	t_int(dsn_header_len("\r\nx\r\n", 5), 0);
	t_int(dsn_header_len("A: b\r\n", 6), 6);
}

static char *
write_7bit(const char *report)
{
	size_t len;
	char *text;
	FILE *to;

	to = open_memstream(&text, &len);
	if (to == NULL)
		abort();
	dsn_write_7bit(to, report, strlen(report));
	if (fclose(to) != 0)
		abort();
	check_form(text);
	t_int(count(text, "\r\n--=_report_"), 4);
	t_int(count(text, "8bit\r\n"), 0);
	for (const char *p = text; *p != '\0'; p++)
		if ((*p & 0x80) != 0)
			t_str(text, "ASCII");
	return text;
}

static void
seven_bits(void)
{
	static const char header[] =
	    "From: a=b\r\nSubject: gr\xc3\xbc\xdf \r\n"
	    "X: ________________________________________"
	    "________________________________________\r\n"
	    "\r\nthe body\r\n";
	static const char body[] = "Subject: x=y\r\n\r\nthe b\xf6"
				   "dy\r\n";
	struct setting s;
	char *text, *again;

	t_case("for seven bits a header is quoted-printable (RFC 6522 4)");
	set(&s);
	s.d.content = header;
	s.d.content_len = sizeof header - 1;
	s.d.eight_bit = true;
	text = write_report(&s);
	again = write_7bit(text);
	has(again,
	    "Content-Type: text/rfc822-headers\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
	    "From: a=3Db\r\nSubject: gr=C3=BC=DF=20\r\nX: ___");
	has(again, "__=\r\n___");
	t_int(count(again, "the body"), 0);
	has(again, "\r\nAction: failed\r\nStatus: 4.7.5\r\n");
	free(again);
	free(text);

	t_case("... and of a message with an 8-bit body there is the header");
	s.d.content = body;
	s.d.content_len = sizeof body - 1;
	text = write_report(&s);
	again = write_7bit(text);
	has(again,
	    "\r\nContent-Type: text/rfc822-headers\r\n\r\n"
	    "Subject: x=y\r\n\r\n--=_report_");
	free(again);
	free(text);

	t_case("... and the global types are encoded (RFC 6533)");
	s.rcpt.address = "j\xc3\xb6rg@two.example";
	text = write_report(&s);
	again = write_7bit(text);
	has(again, "Final-Recipient: utf-8; j=C3=B6rg@two.example\r\n");
	has(again, "<j=C3=B6rg@two.example>\r\n");
	has(again, "Content-Type: message/global-headers\r\n");
	free(again);
	free(text);

	t_case("... and what needs no change has none");
	set(&s);
	text = write_report(&s);
	again = write_7bit(text);
	t_str(again, text);
	free(again);
	free(text);
}

int
main(void)
{
	bounce();
	others();
	seven_bits();
	wanted();
	return t_done();
}
