#include "mtasts/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 15
#define SIZE_FIRST 256

static void
put(struct json *j, const char *bytes, size_t len)
{
	size_t size = j->size;
	char *grown;

	if (j->failed)
		return;
	while (size - j->len <= len)
		size = size == 0 ? SIZE_FIRST : size * 2;
	if (size != j->size) {
		grown = realloc(j->text, size);
		if (grown == NULL) {
			j->failed = true;
			return;
		}
		j->text = grown;
		j->size = size;
	}
	memcpy(j->text + j->len, bytes, len);
	j->len += len;
	j->text[j->len] = '\0';
}

static void
put_text(struct json *j, const char *text)
{
	put(j, text, strlen(text));
}

/* What stands before every value. */
static void
begin(struct json *j, const char *key)
{
	if (j->filled)
		put_text(j, ",");
	j->filled = true;
	if (key == NULL)
		return;
	put_text(j, "\"");
	put_text(j, key);
	put_text(j, "\":");
}

static void
nest(struct json *j, const char *key, bool list)
{
	begin(j, key);
	if (j->depth == DEPTH_MAX) {
		j->failed = true;
		return;
	}
	j->depth++;
	j->lists &= ~(UINT32_C(1) << j->depth);
	if (list)
		j->lists |= UINT32_C(1) << j->depth;
	put_text(j, list ? "[" : "{");
	j->filled = false;
}

/*
 * Length of the UTF-8 sequence at "s", of which "len" bytes are at hand; 0 if
 * it is none: overlong, a surrogate, beyond U+10FFFF, cut short (RFC 3629 4).
 */
static size_t
utf8_len(const unsigned char *s, size_t len)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t i, n;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	if (len < n || s[1] < low || s[1] > high)
		return 0;
	for (i = 2; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

static void
put_escaped(struct json *j, const unsigned char *s, size_t len)
{
	char hex[8];
	size_t n;

	n = utf8_len(s, len);
	if (n == 0)
		put_text(j, "\xef\xbf\xbd"); /* U+FFFD */
	else if (s[0] == '"' || s[0] == '\\') {
		put_text(j, "\\");
		put(j, (const char *)s, 1);
	} else if (s[0] < 0x20 || s[0] == 0x7f ||
	    (s[0] == 0xc2 && s[1] < 0xa0)) { /* C1: a terminal may obey */
		snprintf(hex, sizeof(hex), "\\u%04x", s[n - 1]);
		put_text(j, hex);
	} else
		put(j, (const char *)s, n);
}

void
json_init(struct json *j)
{
	memset(j, 0, sizeof(*j));
}

void
json_clear(struct json *j)
{
	free(j->text);
	json_init(j);
}

void
json_reset(struct json *j)
{
	if (j->text != NULL)
		j->text[0] = '\0';
	j->len = 0;
	j->depth = 0;
	j->filled = false;
	j->failed = false;
}

void
json_drain(struct json *j)
{
	if (j->text != NULL)
		j->text[0] = '\0';
	j->len = 0;
}

void
json_object(struct json *j, const char *key)
{
	nest(j, key, false);
}

void
json_list(struct json *j, const char *key)
{
	nest(j, key, true);
}

void
json_end(struct json *j)
{
	if (j->depth == 0) {
		j->failed = true;
		return;
	}
	put_text(j, j->lists & UINT32_C(1) << j->depth ? "]" : "}");
	j->depth--;
	j->filled = true;
}

void
json_bytes(struct json *j, const char *key, const char *value, size_t len)
{
	const unsigned char *s = (const unsigned char *)value;
	size_t n;

	begin(j, key);
	put_text(j, "\"");
	while (len > 0) {
		put_escaped(j, s, len);
		n = utf8_len(s, len);
		n = n == 0 ? 1 : n;
		s += n;
		len -= n;
	}
	put_text(j, "\"");
}

void
json_string(struct json *j, const char *key, const char *value)
{
	if (value == NULL)
		json_null(j, key);
	else
		json_bytes(j, key, value, strlen(value));
}

void
json_number(struct json *j, const char *key, int64_t value)
{
	char text[32];

	begin(j, key);
	snprintf(text, sizeof(text), "%" PRId64, value);
	put_text(j, text);
}

void
json_bool(struct json *j, const char *key, bool value)
{
	begin(j, key);
	put_text(j, value ? "true" : "false");
}

void
json_null(struct json *j, const char *key)
{
	begin(j, key);
	put_text(j, "null");
}

void
json_time(struct json *j, const char *key, time_t when)
{
	char text[40];
	struct tm tm;

	if (when == 0 || gmtime_r(&when, &tm) == NULL ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
		json_null(j, key);
		return;
	}
	json_string(j, key, text);
}

const char *
json_text(const struct json *j)
{
	if (j->failed)
		return NULL;
	return j->text == NULL ? "" : j->text;
}
