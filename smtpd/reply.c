#include "smtpd/reply.h"

#include <stdio.h>
#include <string.h>

void
reply_start(struct reply_parser *p)
{
	p->reply.code = 0;
	p->reply.dsn[0] = '\0';
	p->reply.text[0] = '\0';
	p->line_len = 0;
	p->text_len = 0;
	p->lines = 0;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Length of up to "max" digits at "s"; 0 if there are none, or more. */
static size_t
digits(const char *s, size_t len, size_t max)
{
	size_t n = 0;

	while (n < len && is_digit(s[n]))
		n++;
	return n <= max ? n : 0;
}

/* RFC 2034 4: class "." subject "." detail, then a blank or the end. */
static void
find_dsn(struct reply *r, const char *text, size_t len)
{
	size_t n, at = 2;

	if (len < 5 || text[0] - '0' != r->code / 100 || text[1] != '.')
		return;
	if ((n = digits(text + at, len - at, 3)) == 0)
		return;
	at += n;
	if (at == len || text[at++] != '.')
		return;
	if ((n = digits(text + at, len - at, 3)) == 0)
		return;
	at += n;
	if (at < len && text[at] != ' ')
		return;
	memcpy(r->dsn, text, at);
	r->dsn[at] = '\0';
}

static void
keep_text(struct reply_parser *p, const char *text, size_t len)
{
	char *to = p->reply.text + p->text_len;
	size_t i;

	if (p->text_len + len + 2 > sizeof p->reply.text)
		return;
	if (p->lines > 0)
		*to++ = '\n';
	for (i = 0; i < len; i++)
		*to++ =
		    (char)(text[i] >= ' ' && text[i] <= '~' ? text[i] : '?');
	*to = '\0';
	p->text_len = (size_t)(to - p->reply.text);
}

/* Judge one line without its CRLF: 1 it is the last, 0 not, -1 no reply. */
static int
take_line(struct reply_parser *p, const char **why)
{
	const char *s = p->line;
	size_t len = p->line_len;
	int code;

	if (len < 3 || digits(s, 3, 3) != 3 || s[0] < '2' || s[0] > '5' ||
	    (len > 3 && s[3] != ' ' && s[3] != '-')) {
		*why = "a line of the reply does not begin with a code";
		return -1;
	}
	code = (s[0] - '0') * 100 + (s[1] - '0') * 10 + (s[2] - '0');
	if (p->lines > 0 && code != p->reply.code) {
		*why = "the lines of the reply differ in their code";
		return -1;
	}
	p->reply.code = code;
	if (p->lines == 0 && len > 4)
		find_dsn(&p->reply, s + 4, len - 4);
	keep_text(p, s + (len > 4 ? 4 : len), len > 4 ? len - 4 : 0);
	if (++p->lines > REPLY_LINES_MAX) {
		*why = "the reply has too many lines";
		return -1;
	}
	p->line_len = 0;
	return len > 3 && s[3] == '-' ? 0 : 1;
}

/* Take bytes up to LF: 1 the line is complete, 0 more, -1 no reply. */
static int
gather(struct reply_parser *p, const char *bytes, size_t len, size_t *used,
    const char **why)
{
	const char *lf = memchr(bytes, '\n', len);
	size_t n = lf != NULL ? (size_t)(lf - bytes) + 1 : len;

	if (n > sizeof p->line - p->line_len) {
		*why = "a line of the reply is too long";
		return -1;
	}
	memcpy(p->line + p->line_len, bytes, n);
	p->line_len += n;
	*used += n;
	if (lf == NULL && p->line_len == sizeof p->line) {
		*why = "a line of the reply is too long";
		return -1;
	}
	if (lf == NULL)
		return 0;
	if (p->line_len < 2 || p->line[p->line_len - 2] != '\r') {
		*why = "a line of the reply ends in a bare LF";
		return -1;
	}
	p->line_len -= 2;
	if (memchr(p->line, '\r', p->line_len) != NULL) {
		*why = "the reply holds a bare CR";
		return -1;
	}
	if (memchr(p->line, '\0', p->line_len) != NULL) {
		*why = "the reply holds a NUL";
		return -1;
	}
	return 1;
}

int
reply_parse(struct reply_parser *p, const char *bytes, size_t len, size_t *used,
    const char **why)
{
	int got;

	*used = 0;
	while (*used < len) {
		got = gather(p, bytes + *used, len - *used, used, why);
		if (got != 1)
			return got;
		got = take_line(p, why);
		if (got != 0)
			return got;
	}
	return 0;
}

void
reply_show(const struct reply *r, char *text, size_t size)
{
	char *at;

	(void)snprintf(text, size, "%d%s%s", r->code,
	    r->text[0] != '\0' ? " " : "", r->text);
	for (at = text; *at != '\0'; at++) {
		if (*at == '\n')
			*at = ' ';
	}
}

bool
reply_line(const struct reply *r, size_t *pos, char *line, size_t size)
{
	const char *at = r->text + *pos;
	size_t len = strcspn(at, "\n");

	if (*at == '\0')
		return false;
	*pos += len + (at[len] == '\n' ? 1 : 0);
	if (len >= size)
		len = size - 1;
	memcpy(line, at, len);
	line[len] = '\0';
	return true;
}
