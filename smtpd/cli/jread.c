#include "smtpd/cli/jread.h"

#include <stdlib.h>
#include <string.h>

struct input {
	const char *p;
	const char *end;
	const char *why;
	unsigned depth;
};

/* Nesting is bounded by JREAD_DEPTH_MAX. NOLINTBEGIN(misc-no-recursion) */

static struct jread *read_value(struct input *);

static struct jread *
fail(struct input *in, const char *why, struct jread *partial)
{
	if (in->why == NULL)
		in->why = why;
	jread_free(partial);
	return NULL;
}

static struct jread *
new_value(struct input *in, enum jread_kind kind)
{
	struct jread *j = calloc(1, sizeof *j);

	if (j == NULL)
		return fail(in, "out of memory", NULL);
	j->kind = kind;
	return j;
}

static void
skip_blanks(struct input *in)
{
	while (in->p < in->end && strchr(" \t\r\n", *in->p) != NULL &&
	    *in->p != '\0')
		in->p++;
}

static bool
take_char(struct input *in, char c)
{
	skip_blanks(in);
	if (in->p == in->end || *in->p != c)
		return false;
	in->p++;
	return true;
}

/* Four hex digits, or -1. */
static long
take_hex4(struct input *in)
{
	char digits[5] = "", *end;
	long value;

	if (in->end - in->p < 4)
		return -1;
	memcpy(digits, in->p, 4);
	value = strtol(digits, &end, 16);
	if (end != digits + 4 || strspn(digits, " +-") > 0 || digits[1] == 'x')
		return -1;
	in->p += 4;
	return value;
}

static size_t
put_utf8(char *out, long c)
{
	size_t n = 0;

	if (c < 0x80) {
		out[n++] = (char)c;
		return n;
	}
	if (c < 0x800)
		out[n++] = (char)(0xc0 | c >> 6);
	else {
		if (c < 0x10000)
			out[n++] = (char)(0xe0 | c >> 12);
		else {
			out[n++] = (char)(0xf0 | c >> 18);
			out[n++] = (char)(0x80 | (c >> 12 & 0x3f));
		}
		out[n++] = (char)(0x80 | (c >> 6 & 0x3f));
	}
	out[n++] = (char)(0x80 | (c & 0x3f));
	return n;
}

/* \uXXXX, its "\u" taken: a character, a pair of surrogates included. */
static long
take_unicode(struct input *in)
{
	long high = take_hex4(in), low;

	if (high < 0xd800 || high > 0xdfff)
		return high == 0 ? -1 : high;
	if (high > 0xdbff || in->end - in->p < 6 || in->p[0] != '\\' ||
	    in->p[1] != 'u')
		return -1;
	in->p += 2;
	low = take_hex4(in);
	if (low < 0xdc00 || low > 0xdfff)
		return -1;
	return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

/* An escape, its backslash taken; bytes into "out". 0: malformed. */
static size_t
take_escape(struct input *in, char *out)
{
	static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
	const char *at;
	long c;

	if (in->p == in->end || *in->p == '\0')
		return 0;
	if (*in->p == 'u') {
		in->p++;
		c = take_unicode(in);
		return c == -1 ? 0 : put_utf8(out, c);
	}
	at = strchr(names, *in->p++);
	if (at == NULL)
		return 0;
	*out = bytes[at - names];
	return 1;
}

/* Bytes up to the quote that ends a string, or to the end of all. */
static size_t
raw_length(const struct input *in)
{
	const char *p = in->p;

	while (p < in->end && *p != '"')
		p += *p == '\\' && p + 1 < in->end ? 2 : 1;
	return (size_t)(p - in->p);
}

/* A string, its first quote taken. NULL: malformed. free(3) it. */
static char *
read_text(struct input *in)
{
	/* No escape is shorter than what it stands for. */
	char *text = malloc(raw_length(in) + 1);
	size_t n = 0, step;

	if (text == NULL)
		return NULL;
	while (in->p < in->end && *in->p != '"') {
		if ((unsigned char)*in->p < 0x20)
			goto out;
		if (*in->p != '\\') {
			text[n++] = *in->p++;
			continue;
		}
		in->p++;
		step = take_escape(in, text + n);
		if (step == 0)
			goto out;
		n += step;
	}
	if (in->p == in->end)
		goto out;
	in->p++;
	text[n] = '\0';
	return text;
out:
	free(text);
	return NULL;
}

static struct jread *
read_string(struct input *in)
{
	struct jread *j = new_value(in, JREAD_STRING);

	if (j == NULL)
		return NULL;
	j->string = read_text(in);
	return j->string != NULL ? j : fail(in, "malformed string", j);
}

static struct jread *
read_member(struct input *in, bool keyed)
{
	struct jread *j;
	char *key = NULL;

	if (keyed) {
		if (!take_char(in, '"') || (key = read_text(in)) == NULL)
			return fail(in, "malformed key", NULL);
		if (!take_char(in, ':')) {
			free(key);
			return fail(in, "no colon behind a key", NULL);
		}
	}
	j = read_value(in);
	if (j == NULL)
		free(key);
	else
		j->key = key;
	return j;
}

/* A list or an object, its bracket taken. */
static struct jread *
read_members(struct input *in, enum jread_kind kind, char closing)
{
	struct jread *j = new_value(in, kind), **last;

	if (j == NULL)
		return NULL;
	last = &j->first;
	if (take_char(in, closing))
		return j;
	if (++in->depth > JREAD_DEPTH_MAX)
		return fail(in, "nested too deeply", j);
	do {
		*last = read_member(in, kind == JREAD_OBJECT);
		if (*last == NULL)
			return fail(in, "malformed member", j);
		last = &(*last)->next;
	} while (take_char(in, ','));
	in->depth--;
	return take_char(in, closing) ? j : fail(in, "not closed", j);
}

static struct jread *
read_number(struct input *in)
{
	struct jread *j;
	char digits[32];
	size_t n = 0;

	while (in->p < in->end && strchr("+-0123456789.eE", *in->p) != NULL &&
	    *in->p != '\0') {
		if (n + 1 < sizeof digits)
			digits[n++] = *in->p;
		in->p++;
	}
	digits[n] = '\0';
	if (n == 0 ||
	    (digits[0] != '-' && (digits[0] < '0' || digits[0] > '9')))
		return fail(in, "not a value", NULL);
	j = new_value(in, JREAD_NUMBER);
	if (j != NULL)
		j->number = strtoll(digits, NULL, 10);
	return j;
}

static struct jread *
read_word(struct input *in)
{
	static const struct {
		const char *word;
		enum jread_kind kind;
		int number;
	} words[] = { { "null", JREAD_NULL, 0 }, { "true", JREAD_BOOL, 1 },
		{ "false", JREAD_BOOL, 0 } };
	struct jread *j;
	size_t len;

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		len = strlen(words[i].word);
		if ((size_t)(in->end - in->p) < len ||
		    memcmp(in->p, words[i].word, len) != 0)
			continue;
		in->p += len;
		j = new_value(in, words[i].kind);
		if (j != NULL)
			j->number = words[i].number;
		return j;
	}
	return read_number(in);
}

static struct jread *
read_value(struct input *in)
{
	if (take_char(in, '{'))
		return read_members(in, JREAD_OBJECT, '}');
	if (take_char(in, '['))
		return read_members(in, JREAD_LIST, ']');
	if (take_char(in, '"'))
		return read_string(in);
	return read_word(in);
}

struct jread *
jread_parse(const char *text, size_t len, const char **why)
{
	struct input in = { text, text + len, NULL, 0 };
	struct jread *j = read_value(&in);

	skip_blanks(&in);
	if (j != NULL && in.p != in.end)
		j = fail(&in, "more than one value", j);
	if (j == NULL)
		*why = in.why;
	return j;
}

void
jread_free(struct jread *j)
{
	struct jread *next;

	for (; j != NULL; j = next) {
		next = j->next;
		jread_free(j->first);
		free(j->string);
		free(j->key);
		free(j);
	}
}

/* NOLINTEND(misc-no-recursion) */

const struct jread *
jread_get(const struct jread *j, const char *key)
{
	if (j == NULL || j->kind != JREAD_OBJECT)
		return NULL;
	for (j = j->first; j != NULL; j = j->next)
		if (strcmp(j->key, key) == 0)
			return j;
	return NULL;
}

const char *
jread_text(const struct jread *j, const char *key)
{
	j = jread_get(j, key);
	return j != NULL && j->kind == JREAD_STRING ? j->string : NULL;
}

int64_t
jread_int(const struct jread *j, const char *key, int64_t otherwise)
{
	j = jread_get(j, key);
	if (j == NULL || (j->kind != JREAD_NUMBER && j->kind != JREAD_BOOL))
		return otherwise;
	return j->number;
}
