#include "smtpd/header.h"

#include <string.h>

#include "smtpd/address.h"

enum scan_state {
	AT_LINE_START, /* of the header */
	IN_NAME,       /* of a field */
	BEHIND_NAME,   /* blanks before the colon, RFC 5322 4.5 */
	IN_FIELD,      /* behind the colon, or a continuation line */
	IN_BODY
};

/* Is this the name of a field? 33 to 126 without the colon, RFC 5322 2.2. */
static bool
is_name_char(char c)
{
	return c > 32 && c < 127 && c != ':';
}

static bool
has_8bit(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)s[i] & 0x80) != 0)
			return true;
	return false;
}

void
header_scan_init(struct header_scan *scan)
{
	memset(scan, 0, sizeof *scan);
	scan->state = AT_LINE_START;
}

/* A name is complete: is it one of those that count? */
static void
note_field(struct header_scan *scan)
{
	scan->name[scan->name_len] = '\0';
	if (strcasecmp(scan->name, "Received") == 0)
		scan->received++;
	else if (strcasecmp(scan->name, "From") == 0)
		scan->has_from = true;
	else if (strcasecmp(scan->name, "Date") == 0)
		scan->has_date = true;
	else if (strcasecmp(scan->name, "Message-ID") == 0)
		scan->has_message_id = true;
}

static void
end_header(struct header_scan *scan, size_t body, bool no_blank_line)
{
	scan->ended = true;
	scan->no_blank_line = no_blank_line;
	scan->body = body;
	scan->state = IN_BODY;
}

static void
add_to_name(struct header_scan *scan, char c)
{
	/* A name too long to be known keeps what would not match either. */
	if (scan->name_len < HEADER_NAME_MAX)
		scan->name[scan->name_len++] = c;
}

/* The first byte of a line of the header, not its line end. */
static void
begin_line(struct header_scan *scan, char c)
{
	scan->name_len = 0;
	if ((c == ' ' || c == '\t') && scan->line_at > 0)
		scan->state = IN_FIELD;
	else if (is_name_char(c)) {
		scan->state = IN_NAME;
		add_to_name(scan, c);
	} else
		end_header(scan, scan->line_at, true);
}

static void
header_byte(struct header_scan *scan, char c)
{
	switch ((enum scan_state)scan->state) {
	case AT_LINE_START:
		begin_line(scan, c);
		break;
	case IN_NAME:
	case BEHIND_NAME:
		if (c == ':') {
			note_field(scan);
			scan->state = IN_FIELD;
		} else if (c == ' ' || c == '\t')
			scan->state = BEHIND_NAME;
		else if (scan->state == IN_NAME && is_name_char(c))
			add_to_name(scan, c);
		else
			end_header(scan, scan->line_at, true);
		break;
	case IN_FIELD:
	case IN_BODY:
		break;
	}
}

/* A line of the header is complete; "len" without its line end. */
static void
header_line_end(struct header_scan *scan, size_t len)
{
	if (len == 0)
		end_header(scan, scan->offset, false);
	else if (scan->state != IN_FIELD)
		end_header(scan, scan->line_at, true);
	else
		scan->state = AT_LINE_START;
}

static void
take_newline(struct header_scan *scan)
{
	size_t len = scan->line_len - (scan->last_cr ? 1 : 0);

	scan->offset++;
	if (len > scan->line_max)
		scan->line_max = len;
	if (!scan->ended)
		header_line_end(scan, len);
	scan->line_at = scan->offset;
	scan->line_len = 0;
	scan->last_cr = false;
}

/* Bytes of one line, its newline not among them. */
static void
take_bytes(struct header_scan *scan, const char *s, size_t len)
{
	bool eight = has_8bit(s, len);

	for (size_t i = 0; i < len && !scan->ended; i++) {
		if (scan->state == IN_FIELD)
			break;
		/* A CR may be the first half of a blank line. */
		if (s[i] != '\r' || scan->line_len + i > 0)
			header_byte(scan, s[i]);
	}
	if (eight && scan->ended)
		scan->body_8bit = true;
	else if (eight)
		scan->header_8bit = true;
	scan->offset += len;
	scan->line_len += len;
	if (len > 0)
		scan->last_cr = s[len - 1] == '\r';
}

void
header_scan_feed(struct header_scan *scan, const char *bytes, size_t len)
{
	const char *newline;
	size_t n;

	if (memchr(bytes, '\0', len) != NULL)
		scan->has_nul = true;
	while (len > 0) {
		newline = memchr(bytes, '\n', len);
		n = newline != NULL ? (size_t)(newline - bytes) : len;
		take_bytes(scan, bytes, n);
		if (newline != NULL) {
			take_newline(scan);
			n++;
		}
		bytes += n;
		len -= n;
	}
}

void
header_scan_end(struct header_scan *scan)
{
	size_t len = scan->line_len - (scan->last_cr ? 1 : 0);

	if (len > scan->line_max)
		scan->line_max = len;
	if (scan->ended)
		return;
	if (scan->state == IN_FIELD || len == 0)
		end_header(scan, scan->offset, false);
	else
		end_header(scan, scan->line_at, true);
}

/* One field of a header block, its continuation lines included. */
struct field {
	size_t start; /* offsets in the block */
	size_t body;  /* behind the colon */
	size_t end;   /* behind the last line end */
	size_t name_len;
};

static size_t
line_end(const char *head, size_t len, size_t at)
{
	const char *newline = memchr(head + at, '\n', len - at);

	return newline != NULL ? (size_t)(newline - head) + 1 : len;
}

/* The field at f->end, false where the header is over. */
static bool
next_field(const char *head, size_t len, struct field *f)
{
	size_t at = f->end;

	f->start = at;
	while (at < len && is_name_char(head[at]))
		at++;
	f->name_len = at - f->start;
	while (at < len && (head[at] == ' ' || head[at] == '\t'))
		at++;
	if (f->name_len == 0 || at == len || head[at] != ':')
		return false;
	f->body = at + 1;
	f->end = line_end(head, len, at);
	while (f->end < len && (head[f->end] == ' ' || head[f->end] == '\t'))
		f->end = line_end(head, len, f->end);
	return true;
}

static bool
is_named(const char *head, const struct field *f, const char *name)
{
	return strlen(name) == f->name_len &&
	    strncasecmp(head + f->start, name, f->name_len) == 0;
}

static bool
is_resent_rcpt(const char *head, const struct field *f)
{
	return is_named(head, f, "Resent-To") ||
	    is_named(head, f, "Resent-Cc") || is_named(head, f, "Resent-Bcc");
}

static bool
is_rcpt(const char *head, const struct field *f)
{
	return is_named(head, f, "To") || is_named(head, f, "Cc") ||
	    is_named(head, f, "Bcc");
}

int
header_rcpts(const char *head, size_t len, header_rcpt_fn *fn, void *arg,
    const char **why)
{
	bool (*wanted)(const char *, const struct field *) = is_rcpt;
	struct field f = { 0 };
	int total = 0, n;

	while (next_field(head, len, &f))
		if (is_resent_rcpt(head, &f))
			wanted = is_resent_rcpt;
	memset(&f, 0, sizeof f);
	while (next_field(head, len, &f)) {
		if (!wanted(head, &f))
			continue;
		n = header_list(head + f.body, f.end - f.body, fn, arg, why);
		if (n == -1)
			return -1;
		total += n;
	}
	return total;
}

/* A field while its addresses are completed. */
struct completing {
	struct header_taker taker;
	struct buf *out;
	const char *domain;
	const char *copied; /* up to here, behind it not yet */
};

/* Nothing of a list that cannot be read is changed. */
static int
pass(void *arg, const char *text, size_t len)
{
	(void)arg;
	(void)text;
	(void)len;
	return 0;
}

static int
complete_one(void *arg, const char *text, size_t len)
{
	struct completing *c = arg;
	const char *why;
	struct address a;

	if (address_parse(&a, text, len, ADDRESS_BARE | ADDRESS_UTF8, &why) ==
		-1 ||
	    a.domain[0] != '\0')
		return 0;
	buf_add(c->out, c->copied, (size_t)(c->taker.behind - c->copied));
	buf_adds(c->out, "@");
	buf_adds(c->out, c->domain);
	c->copied = c->taker.behind;
	return 0;
}

static bool
names_people(const char *head, const struct field *f)
{
	static const char *const names[] = { "From", "Sender", "Reply-To", "To",
		"Cc", "Bcc" };
	static const char resent[] = "Resent-";
	struct field g = *f;

	if (g.name_len > sizeof resent - 1 &&
	    strncasecmp(head + g.start, resent, sizeof resent - 1) == 0) {
		g.start += sizeof resent - 1;
		g.name_len -= sizeof resent - 1;
	}
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (is_named(head, &g, names[i]))
			return true;
	return false;
}

void
header_qualify(struct buf *out, const char *head, size_t len,
    const char *domain)
{
	const char *why;
	struct completing c = {
		.taker = { .fn = complete_one, .arg = &c, .why = &why },
		.out = out,
		.domain = domain,
		.copied = head,
	};
	struct header_taker probe = { .fn = pass, .why = &why };
	struct field f = { 0 };

	while (next_field(head, len, &f)) {
		if (!names_people(head, &f) ||
		    header_list_take(head + f.body, f.end - f.body, &probe) ==
			-1)
			continue;
		(void)header_list_take(head + f.body, f.end - f.body, &c.taker);
	}
	buf_add(out, c.copied, len - (size_t)(c.copied - head));
}

size_t
header_strip_bcc(char *head, size_t len)
{
	struct field f = { 0 };
	size_t kept = 0;

	while (next_field(head, len, &f)) {
		if (is_named(head, &f, "Bcc") ||
		    is_named(head, &f, "Resent-Bcc"))
			continue;
		memmove(head + kept, head + f.start, f.end - f.start);
		kept += f.end - f.start;
	}
	memmove(head + kept, head + f.start, len - f.start);
	return kept + len - f.start;
}
