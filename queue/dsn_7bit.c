/* A report for a host that takes seven bits only. */

#include <string.h>

#include "queue/dsn.h"

#define QP_WIDTH 76 /* columns, RFC 2045 6.7 (5) */

static const char eight[] = "Content-Transfer-Encoding: 8bit\r\n";

bool
dsn_has_8bit(const char *bytes, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if ((bytes[i] & 0x80) != 0)
			return true;
	return false;
}

static void
put(FILE *to, const char *bytes, size_t len)
{
	(void)fwrite(bytes, 1, len, to);
}

static bool
at_line_end(const char *p, const char *end)
{
	return p == end || (end - p >= 2 && p[0] == '\r' && p[1] == '\n');
}

/* Quoted-printable; line ends are text's. */
static void
put_quoted(FILE *to, const char *p, size_t len)
{
	const char *end = p + len;
	size_t column = 0, width;

	while (p < end) {
		if (at_line_end(p, end)) {
			(void)fputs("\r\n", to);
			p += 2;
			column = 0;
			continue;
		}
		width = (*p > ' ' && *p <= '~' && *p != '=') ||
			((*p == ' ' || *p == '\t') && !at_line_end(p + 1, end))
		    ? 1
		    : 3;
		/* The last column is for the "=" of a line that goes on. */
		if (column + width >= QP_WIDTH) {
			(void)fputs("=\r\n", to);
			column = 0;
		}
		if (width == 1)
			(void)putc(*p, to);
		else
			(void)fprintf(to, "=%02X", (unsigned char)*p);
		column += width;
		p++;
	}
}

/*
 * A part: header, empty line, body. A message may not be encoded (RFC 2046
 * 5.2.1); its header may be, as one of text or of message/global-headers.
 */
static void
put_part(FILE *to, const char *part, size_t len)
{
	const char *mark = memmem(part, len, eight, sizeof eight - 1);
	const char *body = memmem(part, len, "\r\n\r\n", 4);
	size_t left;

	if (mark == NULL || body == NULL || mark > body) {
		put(to, part, len);
		return;
	}
	body += 4;
	left = len - (size_t)(body - part);
	if (memmem(part, (size_t)(body - part), "/rfc822\r\n", 9) != NULL) {
		left = dsn_header_len(body, left);
		(void)fputs("Content-Type: text/rfc822-headers\r\n", to);
	} else if (memmem(part, (size_t)(body - part), "/global\r\n", 9) !=
	    NULL) {
		left = dsn_header_len(body, left);
		(void)fputs("Content-Type: message/global-headers\r\n", to);
	} else
		put(to, part, (size_t)(mark - part));
	if (!dsn_has_8bit(body, left)) {
		(void)fputs("\r\n", to);
		put(to, body, left);
		return;
	}
	(void)fputs("Content-Transfer-Encoding: quoted-printable\r\n\r\n", to);
	put_quoted(to, body, left);
}

/* The line that parts are set off with, from its line end to its own. */
static size_t
find_delimiter(const char *text, size_t len, char *line, size_t size)
{
	static const char key[] = "boundary=\"";
	const char *from = memmem(text, len, key, sizeof key - 1), *quote;

	if (from == NULL)
		return 0;
	from += sizeof key - 1;
	quote = memchr(from, '"', len - (size_t)(from - text));
	if (quote == NULL || (size_t)(quote - from) + 5 > size)
		return 0;
	return (size_t)snprintf(line, size, "\r\n--%.*s", (int)(quote - from),
	    from);
}

void
dsn_write_7bit(FILE *to, const char *text, size_t len)
{
	const char *end = text + len, *part, *next, *mark;
	char line[80];
	size_t n = find_delimiter(text, len, line, sizeof line);

	part = n == 0 ? NULL : memmem(text, len, line, n);
	if (part == NULL) {
		put(to, text, len);
		return;
	}
	mark = memmem(text, (size_t)(part - text), eight, sizeof eight - 1);
	if (mark != NULL) {
		put(to, text, (size_t)(mark - text));
		text = mark + sizeof eight - 1;
	}
	put(to, text, (size_t)(part - text));
	for (; part != NULL; part = next) {
		/* Two bytes end the delimiter's line, or "--" the last one. */
		put(to, part, n + 2);
		part += n + 2;
		next = memmem(part, (size_t)(end - part), line, n);
		if (next == NULL)
			put(to, part, (size_t)(end - part));
		else
			put_part(to, part, (size_t)(next - part));
	}
}
