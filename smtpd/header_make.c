/*
 * The fields that we write.
 */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "smtpd/base/utf8.h"
#include "smtpd/header.h"

#define WORD_BYTES 45 /* of text in an encoded word: 60 in base64, RFC 2047 2 */

/* Text with a bound; what does not fit makes the whole fail. */
struct text {
	char *out;
	size_t size;
	size_t len;
	bool failed;
};

static void put(struct text *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
put(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (t->failed)
		return;
	va_start(ap, fmt);
	n = vsnprintf(t->out + t->len, t->size - t->len, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= t->size - t->len)
		t->failed = true;
	else
		t->len += (size_t)n;
}

static int
finish(const struct text *t)
{
	if (!t->failed)
		return (int)t->len;
	if (t->size > 0)
		t->out[0] = '\0';
	return -1;
}

/* What of a stranger's word may stand outside quotes and comments. */
static bool
is_plain(char c)
{
	return c > 32 && c < 127 && strchr("()<>,;\\\"", c) == NULL;
}

static void
put_plain(struct text *t, const char *s)
{
	for (; *s != '\0'; s++)
		if (is_plain(*s))
			put(t, "%c", *s);
}

static bool
is_ascii(const char *s)
{
	while (*s != '\0' && ((unsigned char)*s & 0x80) == 0)
		s++;
	return *s == '\0';
}

/* "Tue, 24 Nov 2026 02:32:59 +0000" */
static int
date_text(char *out, size_t size, time_t when)
{
	struct text t = { .out = out, .size = size };
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm tm;

	if (gmtime_r(&when, &tm) == NULL)
		memset(&tm, 0, sizeof tm);
	put(&t, "%.3s, %d %.3s %d %02d:%02d:%02d +0000",
	    days + (size_t)tm.tm_wday * 3, tm.tm_mday,
	    months + (size_t)tm.tm_mon * 3, tm.tm_year + 1900, tm.tm_hour,
	    tm.tm_min, tm.tm_sec);
	return finish(&t);
}

int
header_received(char *out, size_t size, const struct header_trace *trace)
{
	struct text t = { .out = out, .size = size };
	char date[64];

	put(&t, "Received: ");
	if (trace->helo != NULL && trace->helo[0] != '\0') {
		put(&t, "from ");
		put_plain(&t, trace->helo);
		put(&t, " ");
	}
	if (trace->client != NULL)
		put(&t, "(%s)", trace->client);
	else if (trace->uid >= 0)
		put(&t, "(uid %ld)", trace->uid);
	if (trace->tls != NULL) {
		put(&t, "\r\n\t(");
		for (const char *s = trace->tls; *s != '\0'; s++)
			if (is_plain(*s) || *s == ' ')
				put(&t, "%c", *s);
		put(&t, ")");
	}
	put(&t, "\r\n\tby %s", trace->by);
	if (trace->with != NULL)
		put(&t, " with %s", trace->with);
	if (trace->id != NULL)
		put(&t, " id %s", trace->id);
	/* Without SMTPUTF8 at the next host a header must be ASCII. */
	if (trace->rcpt != NULL && is_ascii(trace->rcpt))
		put(&t, "\r\n\tfor <%s>", trace->rcpt);
	(void)date_text(date, sizeof date, trace->now);
	put(&t, ";\r\n\t%s\r\n", date);
	return finish(&t);
}

int
header_date(char *out, size_t size, time_t now)
{
	struct text t = { .out = out, .size = size };
	char date[64];

	(void)date_text(date, sizeof date, now);
	put(&t, "Date: %s\r\n", date);
	return finish(&t);
}

int
header_message_id(char *out, size_t size, const char *id, const char *hostname)
{
	struct text t = { .out = out, .size = size };

	put(&t, "Message-ID: <");
	put_plain(&t, id);
	put(&t, "@");
	put_plain(&t, hostname);
	put(&t, ">\r\n");
	return finish(&t);
}

/* RFC 4648 4 */
static void
put_base64(struct text *t, const unsigned char *s, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"
				     "ghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		unsigned v = (unsigned)s[i] << 16;

		if (i + 1 < len)
			v |= (unsigned)s[i + 1] << 8;
		if (i + 2 < len)
			v |= s[i + 2];
		put(t, "%c%c%c%c", digits[v >> 18], digits[v >> 12 & 63],
		    i + 1 < len ? digits[v >> 6 & 63] : '=',
		    i + 2 < len ? digits[v & 63] : '=');
	}
}

/* RFC 2047 5 (3): encoded words, none of which splits a character. */
static void
put_encoded(struct text *t, const char *name)
{
	size_t left = strlen(name), n;

	while (left > 0) {
		n = left < WORD_BYTES ? left : WORD_BYTES;
		while (n < left && ((unsigned char)name[n] & 0xc0) == 0x80)
			n--;
		put(t, "=?UTF-8?B?");
		put_base64(t, (const unsigned char *)name, n);
		put(t, "?=%s", n < left ? "\r\n\t" : "");
		name += n;
		left -= n;
	}
}

/* RFC 5322 3.2.4 */
static void
put_quoted(struct text *t, const char *name)
{
	put(t, "\"");
	for (; *name != '\0'; name++) {
		if (*name == '"' || *name == '\\')
			put(t, "\\");
		put(t, "%c", *name);
	}
	put(t, "\"");
}

int
header_from(char *out, size_t size, const char *address, const char *name)
{
	struct text t = { .out = out, .size = size };
	char clean[512] = "";
	size_t n = 0;

	/* Control characters, and bytes that are no UTF-8, are dropped. */
	for (; name != NULL && *name != '\0' && n + 1 < sizeof clean; name++)
		if ((unsigned char)*name >= 0x20 && *name != 0x7f)
			clean[n++] = *name;
	clean[n] = '\0';
	if (!utf8_is_valid(clean, n)) {
		n = 0;
		for (const char *s = clean; *s != '\0'; s++)
			if (((unsigned char)*s & 0x80) == 0)
				clean[n++] = *s;
		clean[n] = '\0';
	}
	put(&t, "From: ");
	if (n > 0 && is_ascii(clean))
		put_quoted(&t, clean);
	else if (n > 0)
		put_encoded(&t, clean);
	put(&t, n > 0 ? " <%s>\r\n" : "<%s>\r\n", address);
	return finish(&t);
}
