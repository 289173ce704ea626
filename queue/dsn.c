#include "queue/dsn.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

#include "queue/id.h"

#define TEXT_WIDTH 72 /* columns of the part for people */
#define FOLD_WIDTH 76 /* columns of a folded field */

static const struct {
	const char *subject;
	const char *opening;
	const char *action;
	const char *status; /* where none is known */
} kinds[] = {
	[REPORT_BOUNCE] = { "Undelivered mail",
	    "Your message could not be delivered to the recipients below."
	    " It will not be tried again.",
	    "failed", "5.0.0" },
	[REPORT_DELAY] = { "Delayed mail",
	    "Your message has not yet been delivered to the recipients below."
	    " You need not send it again: it is kept and tried further.",
	    "delayed", "4.0.0" },
	[REPORT_RELAYED] = { "Relayed mail",
	    "Your message was handed to the mail hosts of the recipients below."
	    " Those hosts do not report on delivery, so this is the last"
	    " notice about it.",
	    "relayed", "2.0.0" },
};

bool
dsn_wanted(enum spool_report kind, const char *sender,
    const struct recipient *rcpt)
{
	uint32_t notify;

	if (*sender == '\0')
		return false;
	notify =
	    rcpt->notify != 0 ? rcpt->notify : NOTIFY_FAILURE | NOTIFY_DELAY;
	switch (kind) {
	case REPORT_BOUNCE:
		return (notify & NOTIFY_FAILURE) != 0;
	case REPORT_DELAY:
		return (notify & NOTIFY_DELAY) != 0;
	case REPORT_RELAYED:
		return (notify & NOTIFY_SUCCESS) != 0;
	}
	return false;
}

size_t
dsn_header_len(const char *content, size_t len)
{
	const char *end;

	if (len >= 2 && memcmp(content, "\r\n", 2) == 0)
		return 0;
	end = memmem(content, len, "\r\n\r\n", 4);
	return end == NULL ? len : (size_t)(end - content) + 2;
}

static bool
is_ascii(const char *text)
{
	for (; *text != '\0'; text++)
		if ((*text & 0x80) != 0)
			return false;
	return true;
}

/* Does any address of the report need RFC 6533's types? */
static bool
is_global(const struct dsn *d)
{
	size_t i;

	for (i = 0; i < d->rcpt_count; i++)
		if (!is_ascii(d->rcpts[i].rcpt->address))
			return true;
	return !is_ascii(d->env->sender);
}

static void
put_date(FILE *to, const char *field, int64_t ms)
{
	char text[64];
	struct tm tm;
	time_t t;

	t = (time_t)(ms / 1000);
	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S +0000", &tm) ==
		0)
		return;
	(void)fprintf(to, "%s: %s\r\n", field, text);
}

/* Printable US-ASCII whatever a host sent. */
static int
plain(char c)
{
	return c >= 0x20 && c < 0x7f ? c : '?';
}

/* Words of "text", broken at "width"; later lines begin with "indent". */
static void
put_words(FILE *to, const char *indent, const char *text, size_t column,
    size_t width)
{
	size_t len, i;

	while (*text != '\0') {
		len = strcspn(text, " ");
		if (column > strlen(indent) && column + 1 + len > width) {
			(void)fprintf(to, "\r\n%s", indent);
			column = strlen(indent);
		} else if (column > strlen(indent)) {
			(void)putc(' ', to);
			column++;
		}
		for (i = 0; i < len; i++)
			(void)putc(plain(text[i]), to);
		column += len;
		text += len;
		text += strspn(text, " ");
	}
	(void)fputs("\r\n", to);
}

static void
put_paragraph(FILE *to, const char *indent, const char *text)
{
	(void)fputs(indent, to);
	put_words(to, indent, text, strlen(indent), TEXT_WIDTH);
}

/* ---- header ---- */

static void
put_boundary(FILE *to, const struct dsn *d, const char *before,
    const char *after)
{
	char id[ID_SIZE];

	id_format(d->id * 0x9e3779b97f4a7c15U, id);
	(void)fprintf(to, "%s=_report_%s%s", before, id, after);
}

/* One that another header may name (RFC 5322 3.6.4). */
static bool
is_message_id(const char *id)
{
	size_t len = strlen(id);

	return len > 2 && id[0] == '<' && strcspn(id + 1, "<>") == len - 2 &&
	    id[len - 1] == '>' && is_ascii(id);
}

static void
put_header(FILE *to, const struct dsn *d)
{
	char id[ID_SIZE];

	id_format(d->id, id);
	(void)fprintf(to, "From: Mail Delivery System <MAILER-DAEMON@%s>\r\n",
	    d->hostname);
	(void)fprintf(to, "To: <%s>\r\n", d->env->sender);
	(void)fprintf(to, "Subject: %s\r\n", kinds[d->kind].subject);
	put_date(to, "Date", d->now_ms);
	(void)fprintf(to, "Message-ID: <%s.report@%s>\r\n", id, d->hostname);
	if (is_message_id(d->env->message_id))
		(void)fprintf(to, "In-Reply-To: %s\r\nReferences: %s\r\n",
		    d->env->message_id, d->env->message_id);
	(void)fputs("Auto-Submitted: auto-replied\r\n"
		    "MIME-Version: 1.0\r\n"
		    "Content-Type: multipart/report;"
		    " report-type=delivery-status;\r\n",
	    to);
	put_boundary(to, d, "\tboundary=\"", "\"\r\n");
	if (d->eight_bit || is_global(d))
		(void)fputs("Content-Transfer-Encoding: 8bit\r\n", to);
	(void)fputs("\r\n", to);
}

/* ---- for people ---- */

static void
put_for_people(FILE *to, const struct dsn *d, const struct dsn_rcpt *r)
{
	const struct spool_result *result;
	const char *advice, *mx;

	result = &r->attempt->result;
	(void)fprintf(to, "\r\n<%s>\r\n", r->rcpt->address);
	if (result->detail[0] != '\0')
		put_paragraph(to, "    ", result->detail);
	if (result->reply[0] != '\0') {
		(void)fputs("    ", to);
		for (mx = result->mx; *mx != '\0'; mx++)
			(void)putc(plain(*mx), to);
		(void)fputs(*result->mx != '\0' ? " answered:\r\n"
						: "The host answered:\r\n",
		    to);
		put_paragraph(to, "      ", result->reply);
	}
	if (d->kind == REPORT_RELAYED || result->reason[0] == '\0')
		return;
	(void)fprintf(to, "    Reason: %s\r\n", result->reason);
	advice = d->advice == NULL ? "" : d->advice(d->arg, result->reason);
	if (advice[0] != '\0')
		put_paragraph(to, "    ", advice);
}

static void
put_people(FILE *to, const struct dsn *d)
{
	bool tls;
	size_t i;

	put_boundary(to, d, "--", "\r\n");
	(void)fprintf(to,
	    "Content-Type: text/plain; charset=%s\r\n"
	    "Content-Transfer-Encoding: %s\r\n\r\n",
	    is_global(d) ? "utf-8" : "us-ascii",
	    is_global(d) ? "8bit" : "7bit");
	(void)fprintf(to, "This is the mail system at %s.\r\n\r\n",
	    d->hostname);
	put_paragraph(to, "", kinds[d->kind].opening);
	if (d->kind == REPORT_DELAY)
		put_date(to, "\r\nIt is tried until", d->expires_ms);
	tls = false;
	for (i = 0; i < d->rcpt_count; i++) {
		put_for_people(to, d, &d->rcpts[i]);
		tls = tls || d->rcpts[i].attempt->result.tls;
	}
	if (!tls)
		return;
	(void)fputs("\r\n", to);
	put_paragraph(to, "",
	    "This system sends mail only to hosts that prove who they are over"
	    " an encrypted connection. If the message cannot wait, reach the"
	    " recipient in another way, and tell their postmaster, or the"
	    " administrator of this system, what is said above.");
}

/* ---- for programs ---- */

/* RFC 3461 4: +XX is an octet. Octets that are not text are left out. */
static void
put_xtext(FILE *to, const char *text)
{
	unsigned value;

	for (; *text != '\0'; text++) {
		if (*text == '+' && isxdigit((unsigned char)text[1]) &&
		    isxdigit((unsigned char)text[2]) &&
		    sscanf(text + 1, "%2x", &value) == 1) {
			(void)putc(plain((char)value), to);
			text += 2;
		} else
			(void)putc(plain(*text), to);
	}
}

static void
put_original(FILE *to, const char *orcpt)
{
	const char *address;

	address = strchr(orcpt, ';');
	if (address == NULL)
		return;
	(void)fprintf(to, "Original-Recipient: %.*s; ", (int)(address - orcpt),
	    orcpt);
	put_xtext(to, address + 1);
	(void)fputs("\r\n", to);
}

static void
put_for_programs(FILE *to, const struct dsn *d, const struct dsn_rcpt *r)
{
	const struct spool_result *result;
	const char *status;

	result = &r->attempt->result;
	(void)fputs("\r\n", to);
	put_original(to, r->rcpt->orcpt);
	(void)fprintf(to, "Final-Recipient: %s; %s\r\n",
	    is_ascii(r->rcpt->address) ? "rfc822" : "utf-8", r->rcpt->address);
	(void)fprintf(to, "Action: %s\r\n", kinds[d->kind].action);
	status = result->dsn[0] != '\0' ? result->dsn : kinds[d->kind].status;
	(void)fprintf(to, "Status: %s\r\n", status);
	if (result->mx[0] != '\0') {
		(void)fputs("Remote-MTA: dns; ", to);
		put_words(to, "", result->mx, 0, FOLD_WIDTH);
	}
	if (result->reply[0] != '\0') {
		(void)fputs("Diagnostic-Code: smtp;", to);
		put_words(to, "\t", result->reply, 22, FOLD_WIDTH);
	} else if (result->reason[0] != '\0') {
		(void)fputs("Diagnostic-Code: x-sealpost;", to);
		put_words(to, "\t", result->reason, 28, FOLD_WIDTH);
	}
	if (r->attempt->at_ms != 0)
		put_date(to, "Last-Attempt-Date", r->attempt->at_ms);
	if (d->kind == REPORT_DELAY)
		put_date(to, "Will-Retry-Until", d->expires_ms);
}

static void
put_programs(FILE *to, const struct dsn *d)
{
	char id[ID_SIZE];
	size_t i;

	put_boundary(to, d, "\r\n--", "\r\n");
	(void)fprintf(to, "Content-Type: message/%sdelivery-status\r\n",
	    is_global(d) ? "global-" : "");
	if (is_global(d))
		(void)fputs("Content-Transfer-Encoding: 8bit\r\n", to);
	(void)fprintf(to, "\r\nReporting-MTA: dns; %s\r\n", d->hostname);
	if (d->env->envid[0] != '\0') {
		(void)fputs("Original-Envelope-Id: ", to);
		put_xtext(to, d->env->envid);
		(void)fputs("\r\n", to);
	}
	id_format(d->env->id, id);
	(void)fprintf(to, "X-Sealpost-Id: %s\r\n", id);
	put_date(to, "Arrival-Date", (int64_t)(d->env->arrived_us / 1000));
	for (i = 0; i < d->rcpt_count; i++)
		put_for_programs(to, d, &d->rcpts[i]);
}

/* ---- the original ---- */

static void
put_content(FILE *to, const struct dsn *d)
{
	const char *type;
	size_t len;

	len = d->content_len;
	type = is_global(d) ? "message/global" : "message/rfc822";
	if (!d->full) {
		len = dsn_header_len(d->content, len);
		type = is_global(d) ? "message/global-headers"
				    : "text/rfc822-headers";
	}
	put_boundary(to, d, "\r\n--", "\r\n");
	(void)fprintf(to, "Content-Type: %s\r\n", type);
	if (d->eight_bit || is_global(d))
		(void)fputs("Content-Transfer-Encoding: 8bit\r\n", to);
	(void)fputs("\r\n", to);
	(void)fwrite(d->content, 1, len, to);
	put_boundary(to, d, "\r\n--", "--\r\n");
}

void
dsn_write(FILE *to, const struct dsn *d)
{
	put_header(to, d);
	put_people(to, d);
	put_programs(to, d);
	put_content(to, d);
}
